/* secp256k1 as libp2p uses it, over libsecp256k1; private to keys.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Secp256k1". */
#pragma once
#include "mem/bytes.h"

#define PG_SECP256K1_PUBLIC 33 /* compressed */
#define PG_SECP256K1_SECRET 32

/* Makes the secret's public half. False when the secret is zero or not below the group's order, or memory is short. */
bool pg_secp256k1_public(const uint8_t secret[PG_SECP256K1_SECRET], uint8_t out[PG_SECP256K1_PUBLIC]);

/* Reads a point of 33 or 65 bytes and writes it compressed. False when it is none of the curve. */
bool pg_secp256k1_read(struct pg_bytes point, uint8_t out[PG_SECP256K1_PUBLIC]);

/* Signs the SHA-256 of message: DER with a low s, at most 72 bytes. Returns the length, 0 when memory is short. */
size_t pg_secp256k1_sign(const uint8_t secret[PG_SECP256K1_SECRET], struct pg_bytes message, uint8_t out[72]);

bool pg_secp256k1_verify(const uint8_t public_key[PG_SECP256K1_PUBLIC], struct pg_bytes message, struct pg_bytes signature);
