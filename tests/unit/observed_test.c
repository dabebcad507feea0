/* What is made of the addresses at which others say to see us. Run by ctest. Serves src/core/observed.c. */
#include "core/observed.h"
#include "crypto_suite.h"

static struct pg_observed o;
static int sessions[200];

static struct pg_endpoint place(const char *text)
{
    struct pg_multiaddr addr;
    struct pg_endpoint e = {0};
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(text)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_tcp(&addr, &e, NULL), PG_OK);
    return e;
}

/* Session and peer n, at `from`, sees us at `seen`. */
static bool word(int n, int peer, const char *from, const char *seen, bool dialled)
{
    struct pg_observation w = {.session = &sessions[n], .from = place(from), .seen = place(seen), .port = 4001, .dialled = dialled};
    w.peer.len = 2;
    w.peer.at[0] = (uint8_t)peer;
    w.peer.at[1] = (uint8_t)(peer >> 8);
    return pg_observed_take(&o, &w);
}

static bool confirmed(const char *text)
{
    struct pg_endpoint e = place(text);
    for (uint32_t i = 0; i < o.n_confirmed; i++)
        if (pg_endpoint_equal(&o.confirmed[i], &e))
            return true;
    return false;
}

#define HERE "/ip4/9.8.7.6/tcp/20385"
#define LIE "/ip4/6.6.6.6/tcp/4001"

static void three_networks_convince_and_two_do_not(void)
{
    o = (struct pg_observed){0};
    CU_ASSERT_TRUE(word(1, 1, "/ip4/1.2.3.4/tcp/1", HERE, true));
    CU_ASSERT_TRUE(word(2, 2, "/ip4/2.2.3.4/tcp/1", HERE, true));
    CU_ASSERT_FALSE(confirmed(HERE));
    CU_ASSERT_TRUE(word(3, 3, "/ip6/2606:4700::1/tcp/1", "/ip6/2606:4701::1/tcp/4001", true));
    CU_ASSERT_FALSE(confirmed(HERE));
    CU_ASSERT_TRUE(word(4, 4, "/ip4/3.2.3.4/tcp/1", HERE, false));
    CU_ASSERT_TRUE(confirmed(HERE));
}

static void ten_peers_of_one_network_are_one_voice(void)
{
    o = (struct pg_observed){0};
    for (int i = 0; i < 10; i++) {
        char from[40];
        snprintf(from, sizeof from, "/ip4/1.2.3.%d/tcp/1", i + 1);
        CU_ASSERT_EQUAL(word(i, i, from, LIE, true), i < 2); /* and do not fill the list */
    }
    CU_ASSERT_FALSE(confirmed(LIE));
    CU_ASSERT_TRUE(word(20, 20, "/ip4/2.2.3.4/tcp/1", LIE, true));
    CU_ASSERT_FALSE(confirmed(LIE));
}

static void one_peer_on_connections_from_three_networks_is_one_voice(void)
{
    o = (struct pg_observed){0};
    CU_ASSERT_TRUE(word(1, 1, "/ip4/1.2.3.4/tcp/1", LIE, true));
    CU_ASSERT_TRUE(word(2, 1, "/ip4/2.2.3.4/tcp/1", LIE, true));
    CU_ASSERT_TRUE(word(3, 1, "/ip4/3.2.3.4/tcp/1", LIE, true));
    CU_ASSERT_FALSE(confirmed(LIE));
}

static void who_is_near_speaks_of_near_addresses_only(void)
{
    o = (struct pg_observed){0};
    CU_ASSERT_FALSE(word(1, 1, "/ip4/127.0.0.1/tcp/1", HERE, true));
    CU_ASSERT_FALSE(word(2, 2, "/ip4/192.168.1.2/tcp/1", HERE, true));
    CU_ASSERT_FALSE(word(3, 3, "/ip4/1.2.3.4/tcp/1", "/ip4/192.168.1.7/tcp/4001", true));
    CU_ASSERT_FALSE(word(4, 4, "/ip4/192.168.1.2/tcp/1", "/ip4/127.0.0.1/tcp/4001", true));
    CU_ASSERT_FALSE(word(5, 5, "/ip4/1.2.3.4/tcp/1", "/ip4/192.0.2.1/tcp/4001", true)); /* documentation: nobody is there */
    CU_ASSERT_FALSE(word(6, 6, "/ip4/1.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/0", true));
    CU_ASSERT_TRUE(word(7, 7, "/ip4/192.168.1.2/tcp/1", "/ip4/192.168.1.7/tcp/4001", true));
    CU_ASSERT_TRUE(word(8, 8, "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/4001", true));
    CU_ASSERT_EQUAL(o.n, 2);
    CU_ASSERT_EQUAL(pg_observed_kind(&o), PG_MAPPING_UNKNOWN);
}

static void what_was_confirmed_stays_while_anybody_says_it(void)
{
    o = (struct pg_observed){0};
    for (int i = 1; i <= 3; i++) {
        char from[40];
        snprintf(from, sizeof from, "/ip4/%d.2.3.4/tcp/1", i);
        CU_ASSERT_TRUE(word(i, i, from, HERE, true));
    }
    CU_ASSERT_TRUE(pg_observed_forget(&o, &sessions[1]));
    CU_ASSERT_TRUE(pg_observed_forget(&o, &sessions[2]));
    CU_ASSERT_FALSE(pg_observed_forget(&o, &sessions[2]));
    CU_ASSERT_TRUE(confirmed(HERE));
    CU_ASSERT_TRUE(word(3, 3, "/ip4/3.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/7", true)); /* it changes its mind */
    CU_ASSERT_FALSE(confirmed(HERE));
}

static void two_ports_for_two_observers_are_a_dependent_mapping(void)
{
    o = (struct pg_observed){0};
    CU_ASSERT_TRUE(word(1, 1, "/ip4/1.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/1111", true));
    CU_ASSERT_EQUAL(pg_observed_kind(&o), PG_MAPPING_UNKNOWN);
    CU_ASSERT_TRUE(word(2, 2, "/ip4/1.2.3.5/tcp/1", "/ip4/9.8.7.6/tcp/2222", true));
    CU_ASSERT_EQUAL(pg_observed_kind(&o), PG_MAPPING_DEPENDENT);
    CU_ASSERT_TRUE(word(3, 3, "/ip4/3.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/2222", true)); /* two agree: one of the others lies */
    CU_ASSERT_EQUAL(pg_observed_kind(&o), PG_MAPPING_INDEPENDENT);
}

static void a_forwarded_port_is_no_sign_of_a_mapping(void)
{
    o = (struct pg_observed){0};
    CU_ASSERT_TRUE(word(1, 1, "/ip4/1.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/1111", true));
    CU_ASSERT_TRUE(word(2, 2, "/ip4/2.2.3.4/tcp/1", "/ip4/9.8.7.6/tcp/4001", false)); /* it has dialled us there */
    CU_ASSERT_EQUAL(pg_observed_kind(&o), PG_MAPPING_UNKNOWN);
}

static void most_networks_come_first_and_a_crowd_pushes_nobody_out(void)
{
    struct pg_observed_view v[PG_OBSERVATIONS];
    o = (struct pg_observed){0};
    CU_ASSERT_TRUE(word(1, 1, "/ip4/1.2.3.4/tcp/1", LIE, true));
    CU_ASSERT_TRUE(word(2, 2, "/ip4/2.2.3.4/tcp/1", HERE, true));
    CU_ASSERT_TRUE(word(3, 3, "/ip4/3.2.3.4/tcp/1", HERE, true));
    for (int i = 4; i < 150; i++) { /* each pair of them from one network, and each says something else */
        char from[40], seen[40];
        snprintf(from, sizeof from, "/ip4/%d.7.3.%d/tcp/1", 11 + i / 2, i % 2);
        snprintf(seen, sizeof seen, "/ip4/9.8.7.6/tcp/%d", 30000 + i);
        CU_ASSERT_TRUE(word(i, i, from, seen, true));
    }
    CU_ASSERT_EQUAL(o.n, PG_OBSERVATIONS);
    uint32_t n = pg_observed_list(&o, v, PG_OBSERVATIONS);
    struct pg_endpoint here = place(HERE), lie = place(LIE);
    CU_ASSERT_EQUAL(n, PG_OBSERVATIONS - 1);
    CU_ASSERT_TRUE(pg_endpoint_equal(&v[0].seen, &here));
    CU_ASSERT_EQUAL(v[0].networks, 2);
    CU_ASSERT_TRUE(pg_endpoint_equal(&v[1].seen, &lie));
    CU_ASSERT_EQUAL(pg_observed_list(&o, v, 1), 1);
    CU_ASSERT_TRUE(pg_endpoint_equal(&v[0].seen, &here));
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"three networks convince, and two do not", three_networks_convince_and_two_do_not},
        {"ten peers of one network are one voice", ten_peers_of_one_network_are_one_voice},
        {"one peer on connections from three networks is one voice", one_peer_on_connections_from_three_networks_is_one_voice},
        {"who is near speaks of near addresses only", who_is_near_speaks_of_near_addresses_only},
        {"what was confirmed stays while anybody says it", what_was_confirmed_stays_while_anybody_says_it},
        {"two ports for two observers are a dependent mapping", two_ports_for_two_observers_are_a_dependent_mapping},
        {"a forwarded port is no sign of a mapping", a_forwarded_port_is_no_sign_of_a_mapping},
        {"most networks come first, and a crowd pushes nobody out", most_networks_come_first_and_a_crowd_pushes_nobody_out},
    };
    return RUN_SUITE("observed addresses", sentences);
}
