/* Which offered addresses may be dialled, case by case. Run by ctest. Serves src/core/offered.c. */
#include "core/offered.h"
#include "crypto_suite.h"

#define PEER "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
#define RELAY "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
#define OTHER "12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p"

enum { P = 1, L = 2, H = 4, N = 8 }; /* seen at a public, a local-network and a loopback address, and in our own network, interface 1 */

static const struct {
    const char *addr;
    int good;
} cases[] = {
    {"/ip4/8.8.8.8/tcp/4001", P | L | H | N},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" PEER, P | L | H | N},
    {"/ip6/2606:4700::1/tcp/4001", P | L | H | N},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" OTHER, 0},
    {"/ip4/8.8.8.8/tcp/0", 0},
    {"/ip4/8.8.8.8/udp/4001/quic-v1", 0},
    {"/ip4/8.8.8.8/tcp/4001/ws", 0},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" OTHER "/p2p-circuit", 0},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" PEER "/p2p-circuit", 0}, /* by itself */
    {"/ip4/8.8.8.8/tcp/4001/p2p/" RELAY "/p2p-circuit", P | L | H | N},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" RELAY "/p2p-circuit/p2p/" PEER, P | L | H | N},
    {"/ip4/8.8.8.8/tcp/4001/p2p/" RELAY "/p2p-circuit/p2p/" OTHER, 0},
    {"/ip4/8.8.8.8/tcp/0/p2p/" RELAY "/p2p-circuit", 0},
    {"/ip4/8.8.8.8/udp/4001/quic-v1/p2p/" RELAY "/p2p-circuit", 0},
    {"/ip4/10.0.0.1/tcp/4001/p2p/" RELAY "/p2p-circuit", L | H | N},
    {"/ip4/127.0.0.1/tcp/22/p2p/" RELAY "/p2p-circuit", H},
    {"/ip4/169.254.169.254/tcp/80/p2p/" RELAY "/p2p-circuit", N},
    {"/ip4/5.6.7.8/tcp/4001/p2p/" RELAY "/p2p-circuit", 0}, /* our own place */
    {"/dns4/relay.example/tcp/4001/p2p/" RELAY "/p2p-circuit", 0},
    {"/p2p/" RELAY "/p2p-circuit", 0},
    {"/ip4/8.8.8.8/tcp/4001/p2p-circuit", 0},
    {"/ip4/10.0.0.1/tcp/4001", L | H | N},
    {"/ip4/172.16.0.1/tcp/4001", L | H | N},
    {"/ip4/192.168.1.1/tcp/22", L | H | N},
    {"/ip4/100.64.0.1/tcp/4001", L | H | N},
    {"/ip6/fd00::1/tcp/4001", L | H | N},
    {"/ip4/127.0.0.1/tcp/22", H},
    {"/ip4/127.9.9.9/tcp/22", H},
    {"/ip6/::1/tcp/22", H},
    {"/ip4/0.0.0.0/tcp/22", 0},
    {"/ip4/0.1.2.3/tcp/22", 0},
    {"/ip6/::/tcp/22", 0},
    {"/ip6/::ffff:127.0.0.1/tcp/22", 0},
    {"/ip6/::ffff:8.8.8.8/tcp/22", 0},
    {"/ip6/::7f00:1/tcp/22", 0},
    {"/ip4/169.254.169.254/tcp/80", N},
    {"/ip6/fe80::1/tcp/80", 0},
    {"/ip6zone/1/ip6/fe80::1/tcp/80", N},
    {"/ip6zone/2/ip6/fe80::1/tcp/80", 0},
    {"/ip6zone/1/ip6/fd00::1/tcp/80", 0},
    {"/ip6zone/1/ip6/2606:4700::1/tcp/4001", 0},
    {"/ip4/224.0.0.251/tcp/80", 0},
    {"/ip6/ff02::1/tcp/80", 0},
    {"/ip4/255.255.255.255/tcp/80", 0},
    {"/ip4/192.0.2.1/tcp/80", 0},
    {"/ip6/2001:db8::1/tcp/80", 0},
    {"/ip4/5.6.7.8/tcp/4001", 0}, /* our own */
    {"/ip4/5.6.7.8/tcp/4002", P | L | H | N},
    {"/dns4/printer.local/tcp/80", 0},
    {"/dns/example.org/tcp/4001", 0},
    {"/dnsaddr/example.org", 0},
    {"/p2p/" PEER, 0},
};

static void only_addresses_of_the_peers_own_reach_are_good(void)
{
    static const struct pg_endpoint seen[] = {{.family = 4, .ip = {9, 9, 9, 9}, .port = 1}, {.family = 4, .ip = {192, 168, 1, 9}, .port = 1},
                                              {.family = 4, .ip = {127, 0, 0, 1}, .port = 1}, {.family = 4, .ip = {9, 9, 9, 9}, .port = 1}};
    struct pg_peer_id peer, own_id;
    struct pg_multiaddr own;
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&peer, PG_LIT(PEER)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&own_id, PG_LIT(OTHER)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&own, PG_LIT("/ip4/5.6.7.8/tcp/4001")), PG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned s = 0; s < 4; s++) {
            struct pg_offer offer = {&peer, &own_id, &seen[s], &own, 1, s == 3};
            struct pg_multiaddr addr;
            CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(cases[i].addr)), PG_OK);
            if (pg_offer_good(&offer, &addr) != ((cases[i].good >> s & 1) != 0)) {
                fprintf(stderr, "%s offered from place %u\n", cases[i].addr, s);
                CU_FAIL("the rule says otherwise");
            }
        }
}

static void whoever_says_to_be_us_offers_nothing(void)
{
    static const struct pg_endpoint seen = {.family = 4, .ip = {9, 9, 9, 9}, .port = 1};
    struct pg_peer_id own_id;
    struct pg_multiaddr addr;
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&own_id, PG_LIT(OTHER)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, PG_LIT("/ip4/8.8.8.8/tcp/4001")), PG_OK);
    CU_ASSERT_FALSE(pg_offer_good(&(struct pg_offer){&own_id, &own_id, &seen, NULL, 0, 0}, &addr));
}

/* What is kept to be told to others, from a public, a local and a loopback place; and who it is told to, by where the asker is. */
static void what_is_told_to_others_is_of_use_to_them(void)
{
    static const struct {
        const char *addr;
        int kept, told;
    } told[] = {
        {"/ip4/8.8.8.8/tcp/4001", P | L | H, P | L | H},
        {"/ip4/8.8.8.8/udp/4001/quic-v1", P | L | H, P | L | H}, /* who asks may speak what we do not */
        {"/ip4/8.8.8.8/tcp/4001/p2p/" OTHER "/p2p-circuit", P | L | H, P | L | H},
        {"/ip4/8.8.8.8/tcp/4001/p2p/" PEER, P | L | H, P | L | H},
        {"/ip4/8.8.8.8/tcp/4001/p2p/" OTHER, 0, P | L | H},
        {"/ip4/192.168.1.1/tcp/22", L | H, L | H},
        {"/ip4/100.64.0.1/tcp/22", L | H, L | H},
        {"/ip6/fd00::1/udp/1/quic-v1", L | H, L | H},
        {"/ip4/127.0.0.1/tcp/22", H, H},
        {"/ip6/::1/tcp/22", H, H},
        {"/ip6/::ffff:127.0.0.1/tcp/22", 0, H},
        {"/ip4/0.0.0.0/tcp/22", 0, 0},
        {"/ip6/::/tcp/22", 0, 0},
        {"/ip4/169.254.169.254/tcp/80", 0, 0},
        {"/ip6/fe80::1/tcp/80", 0, 0},
        {"/ip6zone/1/ip6/fe80::1/tcp/80", 0, 0},
        {"/ip4/192.0.2.1/tcp/80", 0, P | L | H},
        {"/dns4/printer.local/tcp/80", 0, P | L | H}, /* of ourselves, as the user says */
        {"/p2p/" PEER, 0, 0},
    };
    static const struct pg_endpoint places[] = {{.family = 4, .ip = {9, 9, 9, 9}, .port = 1}, {.family = 4, .ip = {192, 168, 1, 9}, .port = 1},
                                                {.family = 4, .ip = {127, 0, 0, 1}, .port = 1}};
    struct pg_peer_id peer, own_id;
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&peer, PG_LIT(PEER)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&own_id, PG_LIT(OTHER)), PG_OK);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        for (unsigned s = 0; s < 3; s++) {
            struct pg_offer offer = {.peer = &peer, .own_id = &own_id, .from = &places[s]};
            struct pg_multiaddr addr;
            CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(told[i].addr)), PG_OK);
            if (pg_offer_keepable(&offer, &addr) != ((told[i].kept >> s & 1) != 0) ||
                pg_offer_tellable(&places[s], &addr) != ((told[i].told >> s & 1) != 0)) {
                fprintf(stderr, "%s at place %u\n", told[i].addr, s);
                CU_FAIL("the rule says otherwise");
            }
        }
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"only addresses of the peer's own reach are good", only_addresses_of_the_peers_own_reach_are_good},
        {"what is told to others is of use to them", what_is_told_to_others_is_of_use_to_them},
        {"whoever says to be us offers nothing", whoever_says_to_be_us_offers_nothing},
    };
    return RUN_SUITE("offered addresses", sentences);
}
