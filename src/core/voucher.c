/* Makes and opens vouchers. Called by hop_serve.c, and by whoever reserves.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation Vouchers". */
#include "core/voucher.h"

#include "circuit.pb.gen.h"

#define DOMAIN PG_LIT("libp2p-relay-rsvp")
#define TYPE PG_LIT("\x03\x02") /* multicodec 0x0302, the same section */

bool pg_voucher_write(const struct pg_peer_id *relay, const struct pg_peer_id *peer, uint64_t expiration_s, struct pg_writer *out)
{
    struct pg_pb_voucher m = {.has_relay = true, .relay = pg_bytes(relay->at, relay->len), .has_peer = true,
                              .peer = pg_bytes(peer->at, peer->len), .has_expiration = true, .expiration = expiration_s};
    pg_pb_voucher_write(&m, out);
    return !out->failed;
}

bool pg_voucher_seal(const struct pg_identity *relay, const struct pg_peer_id *peer, uint64_t expiration_s, struct pg_writer *out)
{
    uint8_t payload[256];
    struct pg_writer w = pg_writer(payload, sizeof payload);
    return pg_voucher_write(pg_identity_peer_id(relay), peer, expiration_s, &w) &&
           pg_envelope_seal(relay, DOMAIN, TYPE, pg_written(&w), out);
}

static bool is(struct pg_bytes id, const struct pg_peer_id *wanted)
{
    struct pg_peer_id peer;
    return pg_peer_id_read(&peer, id) == PG_OK && pg_peer_id_equal(&peer, wanted);
}

enum pg_err pg_voucher_open(struct pg_bytes envelope, const struct pg_peer_id *relay, const struct pg_peer_id *peer, uint64_t now_s,
                            uint64_t *expiration_s)
{
    struct pg_pb_voucher m;
    struct pg_public_key author;
    struct pg_peer_id author_id;
    struct pg_bytes payload;
    *expiration_s = 0;
    TRY(pg_envelope_open(envelope, DOMAIN, TYPE, &author, &payload));
    pg_peer_id_from_key(&author_id, &author);
    TRY(pg_pb_voucher_read(&m, payload));
    if (!pg_peer_id_equal(&author_id, relay) || !is(m.relay, relay))
        return PG_ERR_VOUCHER_RELAY;
    if (!is(m.peer, peer))
        return PG_ERR_VOUCHER_PEER;
    if (m.expiration <= now_s)
        return PG_ERR_VOUCHER_EXPIRED;
    *expiration_s = m.expiration;
    return PG_OK;
}
