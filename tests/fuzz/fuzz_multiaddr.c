/* Fuzz target: what is read as a multiaddr, from text or from bytes, prints as canonical text that reads back as the same bytes.
 * Run by libFuzzer or by standalone.c.
 * Serves multiformats/multiaddr README.md, "Interpreting multiaddrs". */
#include "crypto/multiaddr.h"
#include "fuzz.h"

static void check_parts(const struct pg_multiaddr *a)
{
    struct pg_ma_part part;
    struct pg_peer_id last, id;
    struct pg_endpoint at;
    struct pg_multiaddr bare = *a;
    size_t offset = 0, n = 0;
    while (pg_multiaddr_next(a, &offset, &part)) {
        n++;
        FUZZ_WANT(part.value.len == 0 || (part.value.at >= a->at && part.value.at + part.value.len <= a->at + a->len));
    }
    FUZZ_WANT(n > 0 && n <= PG_MULTIADDR_PARTS && offset == a->len);
    pg_multiaddr_peer(a, &last);
    pg_multiaddr_strip_p2p(&bare);
    if (pg_multiaddr_tcp(a, &at, &id) == PG_OK) {
        FUZZ_WANT(pg_peer_id_equal(&last, &id));
        struct pg_multiaddr made;
        pg_multiaddr_from_tcp(&made, &at);
        FUZZ_WANT(pg_multiaddr_equal(&made, &bare));
    }
    struct pg_multiaddr relay;
    struct pg_peer_id by, behind;
    if (pg_multiaddr_circuit(a, &relay, &by, &behind) == PG_OK) { /* its parts make the same address again */
        FUZZ_WANT(by.len > 0 && pg_multiaddr_append_circuit(&relay));
        FUZZ_WANT(behind.len == 0 || pg_multiaddr_append_p2p(&relay, &behind));
        FUZZ_WANT(pg_multiaddr_equal(a, &relay));
    }
    if (last.len == 0)
        FUZZ_WANT(pg_multiaddr_equal(a, &bare));
    else if (bare.len > 0)
        FUZZ_WANT(pg_multiaddr_append_p2p(&bare, &last) && pg_multiaddr_equal(a, &bare));
}

static void round_trip(const struct pg_multiaddr *a)
{
    char text[PG_MULTIADDR_TEXT];
    struct pg_multiaddr again;
    size_t n = pg_multiaddr_text(a, text, sizeof text);
    FUZZ_WANT(n > 0 && n < sizeof text && strlen(text) == n);
    FUZZ_WANT(pg_multiaddr_parse(&again, pg_bytes(text, n)) == PG_OK && pg_multiaddr_equal(a, &again));
    FUZZ_WANT(pg_multiaddr_read(&again, pg_bytes(a->at, a->len)) == PG_OK && pg_multiaddr_equal(a, &again));
    check_parts(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_multiaddr a;
    if (pg_multiaddr_parse(&a, pg_bytes(data, size)) == PG_OK)
        round_trip(&a);
    else
        FUZZ_WANT(a.len == 0);
    if (pg_multiaddr_read(&a, pg_bytes(data, size)) == PG_OK) {
        FUZZ_WANT(a.len == size && memcmp(a.at, data, size) == 0);
        round_trip(&a);
    } else {
        FUZZ_WANT(a.len == 0);
    }
    return 0;
}
