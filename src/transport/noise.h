/* The Noise handshake of a connection. Source: libp2p/specs noise/README.md. */
#pragma once
#include "transport/conn.h"

/* Makes the payload that every handshake of this process sends: identity, signature, our muxers. */
bool pg_noise_payload_make(struct pg_transport *);
void pg_conn_noise_begin(struct pg_conn *);
/* One handshake message, without its length. */
void pg_conn_noise_message(struct pg_conn *, struct pg_bytes);
/* Wipes what only the handshake needed. */
void pg_conn_noise_end(struct pg_conn *);
