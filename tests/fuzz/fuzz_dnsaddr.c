/* Fuzz target: whatever stands in a TXT record, what is taken of it ends in what was asked for, prints and reads back; and
 * what names ask for can be dialled. The first byte chooses the question and how the record begins.
 * Run by libFuzzer or by standalone.c.
 * Serves src/crypto/dnsaddr.c. */
#include "crypto/dnsaddr.h"
#include "fuzz.h"

#define ONE "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"

static const char *const questions[] = {"/dnsaddr/a.test", "/dnsaddr/a.test/p2p/" ONE, "/dnsaddr/a.test/tcp/4001", "/dns/a.test/tcp/1"};
static const char *const beginnings[] = {"", "dnsaddr=", "dnsaddr=/ip4/192.0.2.7", "dnsaddr=/dns4/", "dnsaddr=/dnsaddr/a/p2p/" ONE,
                                         "dnsaddr=/ip6/::1/tcp/4001", "dnsaddr=/p2p/", "dnsaddr=/ip4/192.0.2.7/tcp/4001/p2p/" ONE};

static void look_at(const struct pg_multiaddr *addr)
{
    static const struct pg_endpoint four = {.family = 4, .ip = {192, 0, 2, 7}};
    struct pg_multiaddr again, at;
    struct pg_endpoint endpoint;
    struct pg_named named;
    char text[PG_MULTIADDR_TEXT];
    size_t n = pg_multiaddr_text(addr, text, sizeof text);
    FUZZ_WANT(n > 0 && pg_multiaddr_parse(&again, pg_bytes(text, n)) == PG_OK && pg_multiaddr_equal(addr, &again));
    if (!pg_named_take(addr, &named) || pg_named_check(&named) != PG_OK)
        return;
    FUZZ_WANT(named.name.len > 0 && named.name.len <= PG_DNS_NAME_MAX + 1);
    FUZZ_WANT(named.code == PG_MA_DNSADDR || (pg_named_at(&named, &four, &at) && pg_multiaddr_tcp(&at, &endpoint, NULL) == PG_OK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t record[4096];
    struct pg_multiaddr asked, taken;
    struct pg_named named;
    const char *begin = beginnings[size ? data[0] >> 2 & 7 : 0];
    size_t n = strlen(begin), more = size > 1 ? size - 1 : 0;
    more = more < sizeof record - n ? more : sizeof record - n;
    memcpy(record, begin, n);
    if (more > 0)
        memcpy(record + n, data + 1, more);
    FUZZ_WANT(pg_multiaddr_parse(&asked, pg_text(questions[size ? data[0] & 3 : 0])) == PG_OK && pg_named_take(&asked, &named));
    if (pg_named_record(&named, pg_bytes(record, n + more), &taken)) {
        FUZZ_WANT(taken.len >= named.rest.len);
        FUZZ_WANT(named.rest.len == 0 || memcmp(taken.at + taken.len - named.rest.len, named.rest.at, named.rest.len) == 0);
        look_at(&taken);
    } else {
        FUZZ_WANT(pg_multiaddr_parse(&taken, pg_bytes(record, n + more)) != PG_OK || (look_at(&taken), true));
    }
    return 0;
}
