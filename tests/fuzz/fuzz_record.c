/* Fuzz target: any bytes as a signed peer record of a peer, and any bytes as the record inside a good envelope: what is taken
 * is about that peer and comes back the same. Run by libFuzzer or by standalone.c. Serves src/core/peer_record.h. */
#include "core/peer_record.h"
#include "fuzz.h"

static void again(const struct pg_identity *identity, const struct pg_peer_record *record)
{
    static struct pg_peer_record back;
    static uint8_t out[2 * PG_ENVELOPE_PAYLOAD_MAX];
    struct pg_writer w = pg_writer(out, sizeof out);
    if (!pg_peer_record_seal(identity, record->seq, record->addrs, record->n_addrs, &w))
        return; /* 64 long addresses do not fit */
    FUZZ_WANT(pg_peer_record_open(&back, pg_written(&w), pg_identity_peer_id(identity)) == PG_OK);
    FUZZ_WANT(back.seq == record->seq && back.n_addrs == record->n_addrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pg_identity *identity;
    static struct pg_peer_record record;
    static uint8_t out[2 * PG_ENVELOPE_PAYLOAD_MAX];
    if (!identity)
        identity = pg_identity_from_seed((const uint8_t[32]){5});
    const struct pg_peer_id *peer = pg_identity_peer_id(identity);
    if (pg_peer_record_open(&record, pg_bytes(data, size), peer) == PG_OK)
        again(identity, &record);
    struct pg_writer w = pg_writer(out, sizeof out);
    if (size <= PG_ENVELOPE_PAYLOAD_MAX &&
        pg_envelope_seal(identity, PG_LIT("libp2p-peer-record"), PG_LIT("\x03\x01"), pg_bytes(data, size), &w) &&
        pg_peer_record_open(&record, pg_written(&w), peer) == PG_OK) {
        FUZZ_WANT(pg_peer_id_equal(&record.peer, peer));
        again(identity, &record);
    }
    return 0;
}
