/* Peer records: where a peer says that it can be dialled, with its signature. Called by identify.c.
 * Serves libp2p/specs RFC/0003-routing-records.md; domain and type are those that go-libp2p (core/peer/record.go) and
 * js-libp2p use today, which the RFC, and rust-libp2p with it, do not have yet. */
#pragma once
#include "crypto/envelope.h"
#include "crypto/multiaddr.h"

#define PG_RECORD_ADDRS 64u

struct pg_peer_record {
    struct pg_peer_id peer;
    uint64_t seq;
    uint32_t n_addrs;
    struct pg_multiaddr addrs[PG_RECORD_ADDRS];
};

/* Appends the record alone, without signature. */
bool pg_peer_record_write(const struct pg_peer_id *, uint64_t seq, const struct pg_multiaddr *addrs, uint32_t n,
                          struct pg_writer *out);
/* Appends the envelope of our own record. False when it does not fit or memory is short. */
bool pg_peer_record_seal(const struct pg_identity *, uint64_t seq, const struct pg_multiaddr *addrs, uint32_t n,
                         struct pg_writer *out);

/* Reads the record of this peer: its author, the peer that it is about and `peer` must be one. Addresses that are none are
 * left out. PG_ERR_RECORD_PEER, or what pg_envelope_open and the protobuf reader say. */
enum pg_err pg_peer_record_open(struct pg_peer_record *, struct pg_bytes envelope, const struct pg_peer_id *peer);
