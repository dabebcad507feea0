/* Fuzz target: peer ids as text and as bytes, and the keys in them: what is read is written, and reads back as the same.
 * Run by libFuzzer or by standalone.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "String representation". */
#include "crypto/keys.h"
#include "fuzz.h"

static void round_trip(const struct pg_peer_id *id)
{
    char text[PG_PEER_ID_TEXT];
    struct pg_peer_id again;
    struct pg_public_key key;
    size_t n = pg_peer_id_text(id, text);
    FUZZ_WANT(n > 0 && n < sizeof text && strlen(text) == n);
    FUZZ_WANT(pg_peer_id_parse(&again, pg_bytes(text, n)) == PG_OK && pg_peer_id_equal(id, &again));
    FUZZ_WANT(pg_peer_id_read(&again, pg_bytes(id->at, id->len)) == PG_OK && pg_peer_id_equal(id, &again));
    if (pg_peer_id_key(id, &key) == PG_OK) {
        /* The fields of a key may stand in another order: a name that nobody can prove to have, but no harm. */
        bool canonical = pg_bytes_equal(pg_public_key_protobuf(&key), pg_bytes(id->at + 2, id->len - 2u));
        pg_peer_id_from_key(&again, &key);
        FUZZ_WANT(pg_peer_id_equal(id, &again) == canonical);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_peer_id id;
    if (pg_peer_id_parse(&id, pg_bytes(data, size)) == PG_OK)
        round_trip(&id);
    else
        FUZZ_WANT(id.len == 0);
    if (pg_peer_id_read(&id, pg_bytes(data, size)) == PG_OK) {
        FUZZ_WANT(id.len == size && memcmp(id.at, data, size) == 0);
        round_trip(&id);
    } else {
        FUZZ_WANT(id.len == 0);
    }
    return 0;
}
