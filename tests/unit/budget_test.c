/* The resource budget alone: counts by address, prefix and peer, rates, and what is said of refusals.
 * Run by ctest; the clock is the test's. Serves spec/limits.list and src/core/budget.c. */
#include "core/budget.h"
#include "crypto_suite.h"

static struct pg_metrics metrics;
static struct pg_limits limits;
static char last_line[1024];
static unsigned lines;

static void sink(void *context, unsigned id, struct pg_bytes text)
{
    (void)context;
    CU_ASSERT_EQUAL(id, PG_LOG_LIMIT_REACHED);
    pg_bytes_text(last_line, sizeof last_line, text);
    lines++;
}

static struct pg_log log_here = {.sink = sink};

static void start(struct pg_budget *b)
{
    pg_limits_standard(&limits);
    memset(&metrics, 0, sizeof metrics);
    lines = 0;
    CU_ASSERT_FATAL(pg_budget_init(b, &limits, 7, &log_here, &metrics));
}

static struct pg_endpoint ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    return (struct pg_endpoint){.family = 4, .ip = {a, b, c, d}, .port = 1};
}

/* How many of n connections from there find a seat; what stopped the last one. */
static unsigned enter(struct pg_budget *b, const struct pg_endpoint *from, unsigned n, uint64_t now_us, struct pg_seat *seats,
                      enum pg_limit *why)
{
    unsigned seated = 0;
    for (unsigned i = 0; i < n; i++) {
        enum pg_limit limit = pg_budget_enter(b, from, now_us, &seats[seated]);
        seated += limit == PG_LIMITS;
        if (limit != PG_LIMITS)
            *why = limit;
    }
    return seated;
}

static void one_address_has_its_share_of_what_is_being_set_up_and_others_come_in(void)
{
    struct pg_budget b;
    static struct pg_seat seats[200];
    struct pg_endpoint bad = ip4(203, 0, 113, 5), neighbour = ip4(203, 0, 113, 6), far = ip4(198, 51, 100, 1);
    enum pg_limit why = PG_LIMITS;
    start(&b);
    unsigned n = enter(&b, &bad, 150, 1000, seats, &why);
    CU_ASSERT_EQUAL(n, 64);
    CU_ASSERT_EQUAL(why, PG_LIMIT_PENDING_ADDRESS);
    n += enter(&b, &neighbour, 150, 1000, seats + n, &why);
    CU_ASSERT_EQUAL(n, 128);
    struct pg_endpoint third = ip4(203, 0, 113, 7);
    CU_ASSERT_EQUAL(enter(&b, &third, 1, 1000, seats + n, &why), 0);
    CU_ASSERT_EQUAL(why, PG_LIMIT_PENDING_PREFIX);
    CU_ASSERT_EQUAL(enter(&b, &far, 1, 1000, seats + n, &why), 1);
    /* What is set up is pending no more, and its address may open others. */
    for (unsigned i = 0; i < 64; i++)
        pg_budget_settle(&b, &seats[i]);
    CU_ASSERT_EQUAL(enter(&b, &bad, 10, 1000000, seats + n + 1, &why), 10);
    for (unsigned i = 0; i < n + 11; i++)
        pg_budget_leave(&b, &seats[i]);
    CU_ASSERT(b.conns == 0 && b.inbound == 0 && b.pending == 0);
    pg_budget_free(&b);
}

static void connections_of_an_address_and_of_a_prefix_have_an_end(void)
{
    struct pg_budget b;
    static struct pg_seat seats[600];
    enum pg_limit why = PG_LIMITS;
    unsigned n = 0;
    start(&b);
    for (uint8_t host = 1; host <= 3; host++) {
        struct pg_endpoint from = ip4(203, 0, 113, host);
        for (unsigned i = 0; i < 300; i++) {
            uint64_t now = (host * 1000 + i) * 20000ull; /* slowly: no rate stops it */
            n += enter(&b, &from, 1, now, &seats[n], &why);
            if (n > 0)
                pg_budget_settle(&b, &seats[n - 1]);
        }
        CU_ASSERT_EQUAL(n, host < 3 ? host * 256u : 512u);
        CU_ASSERT_EQUAL(why, host < 3 ? PG_LIMIT_CONNS_ADDRESS : PG_LIMIT_CONNS_PREFIX);
    }
    pg_budget_leave(&b, &seats[0]);
    struct pg_endpoint third = ip4(203, 0, 113, 3);
    CU_ASSERT_EQUAL(enter(&b, &third, 5, 1000000000, seats, &why), 1);
    pg_budget_free(&b);
}

static void an_ipv6_host_counts_by_its_64_and_its_owner_by_his_48(void)
{
    struct pg_budget b;
    static struct pg_seat seats[400];
    struct pg_endpoint from = {.family = 6, .ip = {0x20, 1, 0xd, 0xb8, 0, 1}};
    enum pg_limit why = PG_LIMITS;
    unsigned n = 0;
    start(&b);
    for (unsigned i = 0; i < 100; i++) {
        from.ip[15] = (uint8_t)i;
        n += enter(&b, &from, 1, 1000, &seats[n], &why);
    }
    CU_ASSERT(n == 64 && why == PG_LIMIT_PENDING_ADDRESS);
    for (unsigned i = 0; i < 100; i++) {
        from.ip[7] = (uint8_t)(i + 1); /* another /64 each time */
        n += enter(&b, &from, 1, 1000, &seats[n], &why);
    }
    CU_ASSERT(n == 128 && why == PG_LIMIT_PENDING_PREFIX);
    from.ip[5] = 9;
    CU_ASSERT_EQUAL(enter(&b, &from, 1, 1000, &seats[n], &why), 1);
    pg_budget_free(&b);
}

static void loopback_is_bounded_in_all_only(void)
{
    struct pg_budget b;
    static struct pg_seat seats[1100];
    struct pg_endpoint here = ip4(127, 0, 0, 1);
    enum pg_limit why = PG_LIMITS;
    unsigned n = 0;
    start(&b);
    for (unsigned i = 0; i < 1100; i++) {
        n += enter(&b, &here, 1, 1000, &seats[n], &why);
        pg_budget_settle(&b, &seats[n - 1]);
    }
    CU_ASSERT(n == 896 && why == PG_LIMIT_CONNS_INBOUND);
    pg_budget_free(&b);
}

static void an_address_that_comes_too_often_waits_and_others_do_not(void)
{
    struct pg_budget b;
    struct pg_seat seat;
    struct pg_endpoint fast = ip4(203, 0, 113, 5), slow = ip4(203, 0, 113, 6);
    unsigned seated = 0;
    start(&b);
    for (unsigned i = 0; i < 10000; i++)
        if (pg_budget_enter(&b, &fast, 1000000, &seat) == PG_LIMITS) {
            pg_budget_leave(&b, &seat);
            seated++;
        }
    CU_ASSERT_EQUAL(seated, 200);
    CU_ASSERT_EQUAL(pg_budget_enter(&b, &fast, 1000000, &seat), PG_LIMIT_ACCEPT_RATE);
    CU_ASSERT_EQUAL(pg_budget_enter(&b, &slow, 1000000, &seat), PG_LIMITS);
    CU_ASSERT_EQUAL(pg_budget_enter(&b, &fast, 1010000, &seat), PG_LIMITS);
    CU_ASSERT_EQUAL(pg_budget_enter(&b, &fast, 1010000, &seat), PG_LIMIT_ACCEPT_RATE);
    pg_budget_free(&b);
}

static void dials_are_bounded_in_number_to_one_peer_and_in_rate(void)
{
    struct pg_budget b;
    unsigned n = 0;
    start(&b);
    CU_ASSERT_EQUAL(pg_budget_dial(&b, 8, 1000), PG_LIMIT_DIALS_PEER);
    while (pg_budget_dial(&b, 0, 1000) == PG_LIMITS)
        n++;
    CU_ASSERT_EQUAL(n, 64);
    CU_ASSERT_EQUAL(pg_budget_dial(&b, 0, 1000), PG_LIMIT_DIALS);
    for (n = 0; n < 1000 && b.dials + b.conns > 0; n++) {
        b.dials = b.conns = 0;
        if (pg_budget_dial(&b, 0, 1000) != PG_LIMITS)
            break;
    }
    CU_ASSERT_EQUAL(n, 200 - 64);
    CU_ASSERT_EQUAL(pg_budget_dial(&b, 0, 1000), PG_LIMIT_DIAL_RATE);
    CU_ASSERT_EQUAL(pg_budget_dial(&b, 0, 1000 + 10000), PG_LIMITS);
    pg_budget_free(&b);
}

/* An attacker with many addresses finds memory for places used up by himself only, and what counts is not forgotten. */
static void a_hundred_thousand_addresses_need_no_more_memory_than_the_places_there_are(void)
{
    struct pg_budget b;
    struct pg_seat kept, seat;
    struct pg_endpoint good = ip4(198, 51, 100, 1);
    start(&b);
    CU_ASSERT_EQUAL(pg_budget_enter(&b, &good, 1000, &kept), PG_LIMITS);
    for (uint32_t i = 0; i < 100000; i++) {
        struct pg_endpoint from = ip4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);
        CU_ASSERT_EQUAL_FATAL(pg_budget_enter(&b, &from, 1000, &seat), PG_LIMITS);
        pg_budget_leave(&b, &seat);
    }
    CU_ASSERT(b.places.used <= b.places.count);
    CU_ASSERT(kept.address->conns == 1 && kept.address->key[7] == 1 && kept.prefix->conns == 1);
    pg_budget_leave(&b, &kept);
    pg_budget_free(&b);
}

/* Where places lie follows from the seed. */
static void the_longest_chain_of_chosen_addresses_depends_on_the_seed(void)
{
    enum { CHOSEN = 400 };
    static struct pg_endpoint chosen[CHOSEN];
    unsigned longest[2];
    struct pg_budget b;
    struct pg_keyed known;
    pg_keyed_init(&known, 1);
    start(&b);
    uint32_t mask = b.n_buckets - 1;
    pg_budget_free(&b);
    for (uint32_t i = 0, n = 0; n < CHOSEN; i++) {
        uint8_t key[PG_PLACE_KEY] = {0, 4, 0, 0, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        if ((pg_keyed_hash(&known, key, sizeof key) & mask) < 4)
            chosen[n++] = ip4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);
    }
    for (unsigned seed = 1; seed <= 2; seed++) {
        static struct pg_seat seats[CHOSEN];
        limits.value[PG_LIMIT_PENDING] = limits.value[PG_LIMIT_PENDING_PREFIX] = 1000;
        CU_ASSERT_FATAL(pg_budget_init(&b, &limits, seed, &log_here, &metrics));
        for (unsigned i = 0; i < CHOSEN; i++)
            CU_ASSERT_EQUAL(pg_budget_enter(&b, &chosen[i], 1000, &seats[i]), PG_LIMITS);
        longest[seed - 1] = 0;
        for (uint32_t i = 0; i < b.n_buckets; i++) {
            unsigned n = 0;
            for (struct pg_place *p = b.buckets[i]; p; p = p->next)
                n++;
            longest[seed - 1] = n > longest[seed - 1] ? n : longest[seed - 1];
        }
        pg_budget_free(&b);
    }
    CU_ASSERT(longest[0] >= CHOSEN / 4);
    CU_ASSERT(longest[1] <= 10);
}

static void a_refusal_names_limit_and_option_once_a_second_and_counts_all(void)
{
    struct pg_budget b;
    start(&b);
    for (unsigned i = 0; i < 1000; i++)
        pg_budget_refuse(&b, PG_LIMIT_PENDING_ADDRESS, NULL, PG_LIT("/ip4/203.0.113.5/tcp/1"), 5000000 + i);
    CU_ASSERT_EQUAL(lines, 1);
    CU_ASSERT_STRING_EQUAL(last_line, "limit reached, connection refused from=/ip4/203.0.113.5/tcp/1 limit=pending_address most=64 "
                                      "option=--max-pending-per-address refused=1");
    pg_budget_refuse(&b, PG_LIMIT_STREAMS_CONN, NULL, PG_LIT("12D3"), 5000500);
    CU_ASSERT_EQUAL(lines, 2);
    pg_budget_refuse(&b, PG_LIMIT_PENDING_ADDRESS, NULL, PG_LIT("x"), 6000000);
    CU_ASSERT_EQUAL(lines, 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_line, " refused=1001"));
    CU_ASSERT_EQUAL(metrics.value[PG_METRIC_REFUSED_PENDING_ADDRESS], 1001);
    CU_ASSERT_EQUAL(metrics.value[PG_METRIC_REFUSED_STREAMS_CONN], 1);
    pg_budget_free(&b);
}

int main(void)
{
    static const struct sentence all[] = {
        {"one address has its share of what is being set up, and others come in",
         one_address_has_its_share_of_what_is_being_set_up_and_others_come_in},
        {"connections of an address and of a prefix have an end", connections_of_an_address_and_of_a_prefix_have_an_end},
        {"an IPv6 host counts by its /64, and its owner by his /48", an_ipv6_host_counts_by_its_64_and_its_owner_by_his_48},
        {"loopback is bounded in all only", loopback_is_bounded_in_all_only},
        {"an address that comes too often waits, and others do not", an_address_that_comes_too_often_waits_and_others_do_not},
        {"dials are bounded in number, to one peer and in rate", dials_are_bounded_in_number_to_one_peer_and_in_rate},
        {"a hundred thousand addresses need no more memory than the places there are",
         a_hundred_thousand_addresses_need_no_more_memory_than_the_places_there_are},
        {"the longest chain of chosen addresses depends on the seed", the_longest_chain_of_chosen_addresses_depends_on_the_seed},
        {"a refusal names limit and option once a second, and counts all", a_refusal_names_limit_and_option_once_a_second_and_counts_all},
    };
    return RUN_SUITE("budget", all);
}
