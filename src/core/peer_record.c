/* Makes and reads signed peer records. Called by identify.c.
 * Serves libp2p/specs RFC/0003-routing-records.md, "Certification / Verification". */
#include "core/peer_record.h"

#include "record.pb.gen.h"

#include <assert.h>

#define DOMAIN PG_LIT("libp2p-peer-record")
#define TYPE PG_LIT("\x03\x01") /* multicodec table, libp2p-peer-record */

static_assert(PG_RECORD_ADDRS == sizeof((struct pg_pb_peer_record *)0)->addresses / sizeof(struct pg_pb_address_info),
              "as many as the reader takes");

bool pg_peer_record_write(const struct pg_peer_id *peer, uint64_t seq, const struct pg_multiaddr *addrs, uint32_t n,
                          struct pg_writer *out)
{
    struct pg_pb_peer_record m = {.has_peer_id = true, .peer_id = pg_bytes(peer->at, peer->len), .has_seq = seq != 0, .seq = seq};
    assert(n <= PG_RECORD_ADDRS);
    for (uint32_t i = 0; i < n; i++)
        m.addresses[m.n_addresses++] =
            (struct pg_pb_address_info){.has_multiaddr = true, .multiaddr = pg_bytes(addrs[i].at, addrs[i].len)};
    pg_pb_peer_record_write(&m, out);
    return !out->failed;
}

bool pg_peer_record_seal(const struct pg_identity *identity, uint64_t seq, const struct pg_multiaddr *addrs, uint32_t n,
                         struct pg_writer *out)
{
    uint8_t payload[PG_ENVELOPE_PAYLOAD_MAX];
    struct pg_writer w = pg_writer(payload, sizeof payload);
    return pg_peer_record_write(pg_identity_peer_id(identity), seq, addrs, n, &w) &&
           pg_envelope_seal(identity, DOMAIN, TYPE, pg_written(&w), out);
}

enum pg_err pg_peer_record_open(struct pg_peer_record *record, struct pg_bytes envelope, const struct pg_peer_id *peer)
{
    struct pg_pb_peer_record m;
    struct pg_public_key author;
    struct pg_peer_id author_id;
    struct pg_bytes payload;
    record->n_addrs = 0;
    TRY(pg_envelope_open(envelope, DOMAIN, TYPE, &author, &payload));
    pg_peer_id_from_key(&author_id, &author);
    if (!pg_peer_id_equal(&author_id, peer))
        return PG_ERR_RECORD_PEER;
    TRY(pg_pb_peer_record_read(&m, payload));
    if (pg_peer_id_read(&record->peer, m.peer_id) != PG_OK || !pg_peer_id_equal(&record->peer, peer))
        return PG_ERR_RECORD_PEER;
    record->seq = m.seq;
    for (uint32_t i = 0; i < m.n_addresses; i++)
        if (pg_multiaddr_read(&record->addrs[record->n_addrs], m.addresses[i].multiaddr) == PG_OK)
            record->n_addrs++;
    return PG_OK;
}
