/* Vouchers: what a relay signs for a peer that has reserved there. Called by hop_serve.c, and by whoever reserves.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation Vouchers". */
#pragma once
#include "crypto/envelope.h"

#define PG_VOUCHER_MAX 3072u

/* Appends the voucher alone, without signature. */
bool pg_voucher_write(const struct pg_peer_id *relay, const struct pg_peer_id *peer, uint64_t expiration_s, struct pg_writer *out);
/* Appends the envelope of a voucher by us for this peer. False when it does not fit or memory is short. */
bool pg_voucher_seal(const struct pg_identity *relay, const struct pg_peer_id *peer, uint64_t expiration_s, struct pg_writer *out);

/* Whether it was signed by this relay, for this peer, and is good at now_s (seconds since 1970): until when.
 * PG_ERR_VOUCHER_RELAY, PG_ERR_VOUCHER_PEER, PG_ERR_VOUCHER_EXPIRED, or what pg_envelope_open and the protobuf reader say. */
enum pg_err pg_voucher_open(struct pg_bytes envelope, const struct pg_peer_id *relay, const struct pg_peer_id *peer, uint64_t now_s,
                            uint64_t *expiration_s);
