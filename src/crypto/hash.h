/* SHA-256 of public things. Called by src/core for places in Kademlia's key space; keys and handshakes hash on their own. */
#pragma once
#include "mem/bytes.h"

#define PG_SHA256 32u

void pg_sha256(uint8_t out[PG_SHA256], struct pg_bytes of);
