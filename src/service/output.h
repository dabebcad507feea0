/* Peer ids and addresses in what commands and the control socket print. Called by src/service and src/cli; see trace/output.h. */
#pragma once
#include "crypto/multiaddr.h"
#include "trace/output.h"

/* In an object give the key; in an array NULL. An empty id or address is an empty string. */
void pg_out_peer(struct pg_out *, const char *key, const struct pg_peer_id *);
void pg_out_addr(struct pg_out *, const char *key, const struct pg_multiaddr *);
void pg_out_addrs(struct pg_out *, const char *key, const struct pg_multiaddr *, uint32_t n);
