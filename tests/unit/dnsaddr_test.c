/* Names in multiaddrs: which are good, what a record of dnsaddr makes of them, and what it must not.
 * Run by ctest. Serves src/crypto/dnsaddr.c. */
#include "crypto/dnsaddr.h"
#include "crypto_suite.h"

#define ONE "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
#define TWO "12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p"

static struct pg_multiaddr parsed(const char *text)
{
    struct pg_multiaddr addr;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(text)), PG_OK);
    return addr;
}

static void names_are_those_that_dns_can_hold(void)
{
    static const struct {
        const char *name;
        bool ok;
    } cases[] = {{"a", true}, {"localhost", true}, {"a.b-c.d_e.Z9", true}, {"a.b.", true}, {"_dnsaddr.a", true}, {"", false}, {".", false},
                 {"a..b", false}, {".a", false}, {"a b", false}, {"a/b", false}, {"b\xc3\xbc.de", false}, {"a\n", false}, {"a..", false}};
    char name[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CU_ASSERT_EQUAL(pg_dns_name_ok(pg_text(cases[i].name), false), cases[i].ok);
    memset(name, 'a', sizeof name);
    CU_ASSERT_TRUE(pg_dns_name_ok(pg_bytes(name, 63), false));
    CU_ASSERT_FALSE(pg_dns_name_ok(pg_bytes(name, 64), false));
    for (size_t i = 50; i < sizeof name; i += 50)
        name[i] = '.';
    CU_ASSERT_TRUE(pg_dns_name_ok(pg_bytes(name, 253), false));
    CU_ASSERT_FALSE(pg_dns_name_ok(pg_bytes(name, 254), false));
    CU_ASSERT_TRUE(pg_dns_name_ok(pg_bytes(name, 244), true));
    CU_ASSERT_FALSE(pg_dns_name_ok(pg_bytes(name, 245), true));
}

static void an_address_by_name_becomes_one_by_number(void)
{
    static const struct pg_endpoint four = {.family = 4, .ip = {192, 0, 2, 7}}, six = {.family = 6, .ip = {0x20, 1, 0xd, 0xb8, [15] = 7}};
    struct pg_multiaddr addr = parsed("/dns/a.test/tcp/4001/p2p/" ONE), out, plain = parsed("/ip4/192.0.2.7/tcp/4001");
    struct pg_named named;
    char text[PG_MULTIADDR_TEXT];
    CU_ASSERT_TRUE_FATAL(pg_named_take(&addr, &named));
    CU_ASSERT_TRUE(pg_bytes_equal(named.name, PG_LIT("a.test")));
    CU_ASSERT_EQUAL(pg_named_check(&named), PG_OK);
    CU_ASSERT_TRUE(pg_named_at(&named, &four, &out));
    pg_multiaddr_text(&out, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "/ip4/192.0.2.7/tcp/4001/p2p/" ONE);
    CU_ASSERT_TRUE(pg_named_at(&named, &six, &out));
    pg_multiaddr_text(&out, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "/ip6/2001:db8::7/tcp/4001/p2p/" ONE);
    CU_ASSERT_FALSE(pg_named_at(&named, &(struct pg_endpoint){0}, &out));
    CU_ASSERT_FALSE(pg_named_take(&plain, &named));
}

static void what_stands_behind_a_name_must_be_dialable(void)
{
    static const struct {
        const char *addr;
        enum pg_err err;
    } cases[] = {{"/dns/a.test/tcp/1", PG_OK}, {"/dnsaddr/a.test", PG_OK}, {"/dnsaddr/a.test/p2p/" ONE, PG_OK},
                 {"/dns4/a.test", PG_ERR_ADDR_UNSUPPORTED}, {"/dns4/a.test/udp/1/quic-v1", PG_ERR_ADDR_UNSUPPORTED},
                 {"/dns4/a.test/tcp/1/ws", PG_ERR_ADDR_UNSUPPORTED}, {"/dns4/a.test/ip4/1.2.3.4/tcp/1", PG_ERR_ADDR_UNSUPPORTED},
                 {"/dns6/a..test/tcp/1", PG_ERR_ADDR_NAME_BAD}, {"/dnsaddr/-/p2p-circuit", PG_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_multiaddr addr = parsed(cases[i].addr);
        struct pg_named named;
        CU_ASSERT_TRUE_FATAL(pg_named_take(&addr, &named));
        CU_ASSERT_EQUAL(pg_named_check(&named), cases[i].err);
    }
}

static void records_count_when_they_end_in_what_was_asked_for(void)
{
    static const struct {
        const char *asked, *record;
        bool taken;
    } cases[] = {
        {"/dnsaddr/a.test", "dnsaddr=/ip4/192.0.2.7/tcp/1", true},
        {"/dnsaddr/a.test", "dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/" ONE, true},
        {"/dnsaddr/a.test", "dnsaddr=/dnsaddr/b.test", true},
        {"/dnsaddr/a.test/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/" ONE, true},
        {"/dnsaddr/a.test/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/1/ipfs/" ONE, true},
        {"/dnsaddr/a.test/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/" TWO, false},
        {"/dnsaddr/a.test/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/1", false},
        {"/dnsaddr/a.test/p2p/" ONE, "dnsaddr=/p2p/" ONE, true}, /* an address, but none that can be dialled */
        {"/dnsaddr/a.test/tcp/1/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/" ONE, true},
        {"/dnsaddr/a.test/tcp/1/p2p/" ONE, "dnsaddr=/ip4/192.0.2.7/tcp/2/p2p/" ONE, false},
        {"/dnsaddr/a.test", "DNSADDR=/ip4/192.0.2.7/tcp/1", false},
        {"/dnsaddr/a.test", " dnsaddr=/ip4/192.0.2.7/tcp/1", false},
        {"/dnsaddr/a.test", "dnsaddr=", false},
        {"/dnsaddr/a.test", "dnsaddr=/", false},
        {"/dnsaddr/a.test", "dnsaddr=/ip4/192.0.2.7/tcp/1 ", false},
        {"/dnsaddr/a.test", "v=spf1 -all", false},
        {"/dnsaddr/a.test", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_multiaddr asked = parsed(cases[i].asked), out;
        struct pg_named named;
        CU_ASSERT_TRUE_FATAL(pg_named_take(&asked, &named));
        CU_ASSERT_EQUAL(pg_named_record(&named, pg_text(cases[i].record), &out), cases[i].taken);
    }
}

/* The last bytes of a value may be those that were asked for; only whole parts count. */
static void a_record_is_compared_part_by_part(void)
{
    struct pg_multiaddr asked, out;
    struct pg_named named = {.code = PG_MA_DNSADDR, .name = PG_LIT("a.test"), .rest = PG_LIT("t")};
    asked = parsed("/dns4/test");
    CU_ASSERT_FALSE(pg_named_record(&named, PG_LIT("dnsaddr=/dns4/test"), &out));
    named.rest = pg_bytes(asked.at, asked.len);
    CU_ASSERT_TRUE(pg_named_record(&named, PG_LIT("dnsaddr=/dns4/test"), &out));
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"names are those that dns can hold", names_are_those_that_dns_can_hold},
        {"an address by name becomes one by number", an_address_by_name_becomes_one_by_number},
        {"what stands behind a name must be dialable", what_stands_behind_a_name_must_be_dialable},
        {"records count when they end in what was asked for", records_count_when_they_end_in_what_was_asked_for},
        {"a record is compared part by part", a_record_is_compared_part_by_part},
    };
    return RUN_SUITE("names in multiaddrs", sentences);
}
