/* Kademlia's key space and routing table, against lists that are searched from end to end.
 * Run by ctest; the clock is the test's. Serves src/core/kad_key.h and kad_table.h. */
#include "core/kad_table.h"
#include "crypto/hash.h"
#include "crypto_suite.h"

static uint64_t random_state = 1;

static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct pg_peer_id some_id(void)
{
    struct pg_peer_id id = {.len = 34, .at = {0x12, 32}};
    for (unsigned i = 2; i < 34; i += 8) {
        uint64_t r = draw();
        memcpy(id.at + i, &r, 8);
    }
    return id;
}

static struct pg_multiaddr address(const char *text)
{
    struct pg_multiaddr a;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&a, pg_text(text)), PG_OK);
    return a;
}

static struct pg_kad_contact some_contact(void)
{
    struct pg_kad_contact c = {.id = some_id(), .n_addrs = 1};
    c.addrs[0] = address("/ip4/127.0.0.1/tcp/4001");
    return c;
}

static struct pg_endpoint ip4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (struct pg_endpoint){.family = 4, .ip = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}, .port = 4001};
}

static const struct pg_endpoint here = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};

static struct pg_kad_table table;
static struct pg_peer_id own;

static void start(void)
{
    own = some_id();
    CU_ASSERT_FATAL(pg_kad_table_init(&table, &own, 2048));
}

static uint32_t bucket_of(const struct pg_peer_id *id)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, id);
    return pg_kad_common_bits(&table.own, &key);
}

/* A contact that lies in this bucket: any, looked for long enough. */
static struct pg_kad_contact contact_in(uint32_t bucket)
{
    struct pg_kad_contact c = some_contact();
    while (bucket_of(&c.id) != bucket)
        c.id = some_id();
    return c;
}

static void distances_order_keys_as_numbers_do(void)
{
    for (unsigned round = 0; round < 2000; round++) {
        struct pg_kad_key t, a, b, to_a, to_b;
        uint64_t words[3] = {draw(), draw(), draw()};
        pg_kad_key_of(&t, pg_bytes(&words[0], 8));
        pg_kad_key_of(&a, pg_bytes(&words[1], 8));
        pg_kad_key_of(&b, pg_bytes(&words[2], 8));
        pg_kad_distance(&t, &a, &to_a);
        pg_kad_distance(&t, &b, &to_b);
        int order = memcmp(&to_a, &to_b, 32);
        CU_ASSERT((pg_kad_nearer(&t, &a, &b) < 0) == (order < 0));
        CU_ASSERT((pg_kad_nearer(&t, &b, &a) < 0) == (order > 0));
        uint32_t bits = pg_kad_common_bits(&t, &a);
        CU_ASSERT(bits == 256 || (to_a.at[bits / 8] >> (7 - bits % 8) == 1));
        for (uint32_t i = 0; i < bits / 8; i++)
            CU_ASSERT_EQUAL(to_a.at[i], 0);
    }
    struct pg_kad_key t;
    pg_kad_key_of(&t, PG_LIT("a"));
    CU_ASSERT_EQUAL(pg_kad_common_bits(&t, &t), 256);
    CU_ASSERT_EQUAL(pg_kad_nearer(&t, &t, &t), 0);
}

static void a_service_has_the_originals_key(void)
{
    uint8_t key[PG_KAD_SERVICE_KEY_MAX], name[256];
    size_t len;
    memset(name, 'x', sizeof name);
    CU_ASSERT(pg_kad_service_key(PG_LIT("echo"), key, &len));
    CU_ASSERT(pg_bytes_equal(pg_bytes(key, len), PG_LIT("/punchgate/svc/echo")));
    CU_ASSERT(pg_kad_service_key(pg_bytes(name, 255), key, &len));
    CU_ASSERT_EQUAL(len, 15 + 255);
    CU_ASSERT_FALSE(pg_kad_service_key(pg_bytes(name, 256), key, &len));
    CU_ASSERT_FALSE(pg_kad_service_key(PG_NONE, key, &len));
}

static void addresses_are_packed_as_far_as_they_fit_and_come_back(void)
{
    struct pg_multiaddr in[10], out[PG_KAD_ADDRS];
    uint8_t room[512], n;
    for (unsigned i = 0; i < 10; i++)
        in[i] = address(i % 2 ? "/ip6/2001:db8::1/tcp/80" : "/ip4/127.0.0.1/tcp/4001");
    size_t len = pg_kad_addrs_pack(in, 10, room, sizeof room, &n);
    CU_ASSERT_EQUAL(n, PG_KAD_ADDRS);
    CU_ASSERT_EQUAL(pg_kad_addrs_unpack(pg_bytes(room, len), out), PG_KAD_ADDRS);
    for (unsigned i = 0; i < PG_KAD_ADDRS; i++)
        CU_ASSERT(pg_multiaddr_equal(&in[i], &out[i]));
    len = pg_kad_addrs_pack(in, 10, room, 30, &n); /* 9 bytes each of IPv4, 21 of IPv6 */
    CU_ASSERT_EQUAL(n, 2);
    CU_ASSERT_EQUAL(len, 9 + 21);
}

static int by_distance(const void *a, const void *b, void *target)
{
    return pg_kad_nearer(target, a, b);
}

static void the_nearest_are_those_that_a_search_of_all_finds(void)
{
    static struct pg_kad_key all[4000];
    start();
    unsigned n = 0;
    for (unsigned i = 0; i < 4000; i++) {
        struct pg_kad_contact c = some_contact();
        (void)pg_kad_table_heard(&table, &c, &here, i);
    }
    for (const struct pg_kad_server *s = NULL; (s = pg_kad_table_next(&table, s));)
        all[n++] = s->key;
    CU_ASSERT_EQUAL(n, table.n);
    CU_ASSERT(n > 140);
    for (unsigned round = 0; round < 500; round++) {
        const struct pg_kad_server *near[PG_KAD_K];
        struct pg_kad_key target = table.own;
        /* Targets of all kinds: anywhere, in a bucket of ours, ourselves. */
        if (round > 0 && round % 2)
            target.at[round % 31] ^= (uint8_t)(draw() | 1);
        else if (round > 0)
            pg_kad_key_of(&target, pg_bytes(&round, sizeof round));
        uint32_t most = 1 + round % PG_KAD_K;
        qsort_r(all, n, sizeof *all, by_distance, &target);
        CU_ASSERT_EQUAL_FATAL(pg_kad_table_nearest_servers(&table, &target, most, near), most);
        for (uint32_t i = 0; i < most; i++)
            CU_ASSERT_EQUAL(memcmp(&near[i]->key, &all[i], 32), 0);
    }
    pg_kad_table_free(&table);
}

static void a_lab_of_fifty_on_loopback_is_known_whole_where_buckets_have_room(void)
{
    start();
    uint32_t refused = 0;
    for (unsigned i = 0; i < 50; i++) {
        struct pg_kad_contact c = some_contact();
        refused += pg_kad_table_heard(&table, &c, &here, i) == PG_KAD_HEARD_REFUSED;
    }
    CU_ASSERT_EQUAL(refused, 0);
    CU_ASSERT_EQUAL(table.n + table.n_spares, 50);
    CU_ASSERT(table.n >= 40);
    pg_kad_table_free(&table);
}

static void one_network_does_not_take_a_table_over(void)
{
    start();
    struct pg_kad_contact honest[PG_KAD_K];
    /* A hundred thousand peers of one /16, a hundred of each /24 in it. */
    for (unsigned i = 0; i < 100000; i++) {
        struct pg_kad_contact c = some_contact();
        struct pg_endpoint from = ip4(6, 6, i / 100 % 256, i % 100);
        (void)pg_kad_table_heard(&table, &c, &from, i);
    }
    for (unsigned b = 0; b < PG_KAD_BITS; b++) {
        CU_ASSERT(table.buckets[b].n <= PG_KAD_SAME_WIDE);
        CU_ASSERT(table.buckets[b].n_spares <= PG_KAD_SAME_WIDE);
        for (const struct pg_kad_server *s = table.buckets[b].first; s; s = s->next) {
            unsigned same = 0;
            for (const struct pg_kad_server *o = table.buckets[b].first; o; o = o->next)
                same += memcmp(o->seen, s->seen, 3) == 0;
            CU_ASSERT(same <= PG_KAD_SAME_NARROW);
        }
    }
    CU_ASSERT_EQUAL(table.buckets[0].n, PG_KAD_SAME_WIDE);
    /* Others still find their places. */
    for (unsigned i = 0; i < PG_KAD_K - PG_KAD_SAME_WIDE; i++) {
        struct pg_endpoint from = ip4(100 + i, 1, 1, 1);
        if (i % 16 == 0) /* of 100.64.0.0/10 and the like nothing is counted; these are public */
            from = ip4(20, i, 1, 1);
        honest[i] = contact_in(0);
        CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &honest[i], &from, i), PG_KAD_HEARD_NEW);
    }
    CU_ASSERT_EQUAL(table.buckets[0].n, PG_KAD_K);
    pg_kad_table_free(&table);
}

static void one_ipv6_site_is_one_network(void)
{
    start();
    uint32_t taken = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct pg_kad_contact c = contact_in(0);
        struct pg_endpoint from = {.family = 6, .ip = {0x2a, 0, 1, 2, 3, 4, (uint8_t)i, 7, [15] = (uint8_t)i}, .port = 1};
        taken += pg_kad_table_heard(&table, &c, &from, i) == PG_KAD_HEARD_NEW;
    }
    CU_ASSERT_EQUAL(taken, PG_KAD_SAME_NARROW);
    pg_kad_table_free(&table);
}

static void whoever_moves_into_a_crowded_network_is_out(void)
{
    start();
    struct pg_kad_contact c[3];
    for (unsigned i = 0; i < 3; i++) {
        struct pg_endpoint from = i < 2 ? ip4(6, 6, 6, i) : ip4(7, 7, 7, 7);
        c[i] = contact_in(0);
        CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &c[i], &from, i), PG_KAD_HEARD_NEW);
    }
    struct pg_endpoint there = ip4(6, 6, 6, 9);
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &c[2], &there, 5), PG_KAD_HEARD_REFUSED);
    CU_ASSERT_EQUAL(table.n, 2);
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &c[1], &there, 6), PG_KAD_HEARD_KNOWN);
    pg_kad_table_free(&table);
}

static void a_full_bucket_keeps_who_is_there_and_the_failing_give_way(void)
{
    start();
    struct pg_kad_contact in[PG_KAD_K], waiting[PG_KAD_SPARES + 3], found;
    for (unsigned i = 0; i < PG_KAD_K; i++) {
        in[i] = contact_in(1);
        CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &in[i], &here, i), PG_KAD_HEARD_NEW);
    }
    for (unsigned i = 0; i < PG_KAD_SPARES + 3; i++) {
        waiting[i] = contact_in(1);
        CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &waiting[i], &here, 100 + i), PG_KAD_HEARD_SPARE);
    }
    CU_ASSERT_EQUAL(table.n, PG_KAD_K);
    CU_ASSERT_EQUAL(table.n_spares, PG_KAD_SPARES);
    CU_ASSERT_FALSE(pg_kad_table_find(&table, &waiting[0].id, &found)); /* the oldest of those that wait went */
    /* One failure is none; the second in a row is one; between them it was not heard of. */
    pg_kad_table_failed(&table, &in[3].id, 1000000);
    pg_kad_table_failed(&table, &in[3].id, 1500000); /* the same moment, another query */
    CU_ASSERT(pg_kad_table_find(&table, &in[3].id, &found));
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &in[3], &here, 2000000), PG_KAD_HEARD_KNOWN);
    pg_kad_table_failed(&table, &in[3].id, 4000000);
    CU_ASSERT(pg_kad_table_find(&table, &in[3].id, &found));
    pg_kad_table_failed(&table, &in[3].id, 6000000);
    CU_ASSERT_FALSE(pg_kad_table_find(&table, &in[3].id, &found));
    CU_ASSERT_EQUAL(table.n, PG_KAD_K);
    CU_ASSERT_EQUAL(table.n_spares, PG_KAD_SPARES - 1);
    const struct pg_kad_server *last = table.buckets[1].last;
    CU_ASSERT(pg_peer_id_equal(&last->id, &waiting[PG_KAD_SPARES + 2].id)); /* the one heard of last has come in */
    /* Who has failed once gives way to a newcomer of a full bucket. */
    struct pg_kad_contact fresh = contact_in(1);
    pg_kad_table_failed(&table, &in[7].id, 8000000);
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &fresh, &here, 9000000), PG_KAD_HEARD_NEW);
    CU_ASSERT_FALSE(pg_kad_table_find(&table, &in[7].id, &found));
    pg_kad_table_gone(&table, &fresh.id);
    CU_ASSERT_FALSE(pg_kad_table_find(&table, &fresh.id, &found));
    CU_ASSERT_EQUAL(table.n, PG_KAD_K);
    pg_kad_table_free(&table);
}

static void ourselves_and_those_without_addresses_stay_out(void)
{
    start();
    struct pg_kad_contact me = some_contact(), nowhere = some_contact(), found;
    me.id = own;
    nowhere.n_addrs = 0;
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &me, &here, 1), PG_KAD_HEARD_REFUSED);
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &nowhere, &here, 1), PG_KAD_HEARD_REFUSED);
    CU_ASSERT_FALSE(pg_kad_table_find(&table, &own, &found));
    nowhere.n_addrs = 1;
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &nowhere, &here, 1), PG_KAD_HEARD_NEW);
    nowhere.n_addrs = 0;
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &nowhere, NULL, 2), PG_KAD_HEARD_KNOWN); /* and keeps what it had */
    CU_ASSERT(pg_kad_table_find(&table, &nowhere.id, &found));
    CU_ASSERT_EQUAL(found.n_addrs, 1);
    nowhere.n_addrs = 2;
    nowhere.addrs[1] = address("/ip6/::1/tcp/4002");
    CU_ASSERT_EQUAL(pg_kad_table_heard(&table, &nowhere, NULL, 3), PG_KAD_HEARD_KNOWN);
    CU_ASSERT(pg_kad_table_find(&table, &nowhere.id, &found));
    CU_ASSERT_EQUAL(found.n_addrs, 2);
    CU_ASSERT(pg_multiaddr_equal(&found.addrs[1], &nowhere.addrs[1]));
    pg_kad_table_free(&table);
}

static void stale_buckets_are_named_and_get_a_key_of_their_own(void)
{
    start();
    struct pg_kad_key key;
    uint8_t raw[PG_KAD_TARGET], other[PG_KAD_TARGET];
    struct pg_peer_id id;
    CU_ASSERT_EQUAL(pg_kad_table_stale(&table, 0, 0), -1);
    struct pg_kad_contact c = contact_in(3);
    (void)pg_kad_table_heard(&table, &c, &here, 1);
    for (int b = 0; b <= 3; b++) {
        CU_ASSERT_EQUAL(pg_kad_table_stale(&table, 0, 50), b);
        pg_kad_table_target(&table, (uint32_t)b, draw(), raw);
        pg_kad_table_target(&table, (uint32_t)b, draw(), other);
        CU_ASSERT(memcmp(raw, other, sizeof raw) != 0);
        CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(raw, sizeof raw)), PG_OK);
        pg_kad_key_of(&key, pg_bytes(raw, sizeof raw));
        CU_ASSERT_EQUAL(pg_kad_common_bits(&table.own, &key), b);
        pg_kad_table_asked(&table, &key, 100);
    }
    CU_ASSERT_EQUAL(pg_kad_table_stale(&table, 0, 50), -1);
    CU_ASSERT_EQUAL(pg_kad_table_stale(&table, 2, 100), 2);
    pg_kad_table_target(&table, PG_KAD_REFRESHED - 1, draw(), raw);
    pg_kad_table_free(&table);
}

/* Any order of events: the counts are those of the lists, nobody is there twice, and what is left is given back. */
static void any_order_of_events_leaves_a_table_whole(void)
{
    enum { PEERS = 400 };
    static struct pg_kad_contact peers[PEERS];
    start();
    for (unsigned i = 0; i < PEERS; i++)
        peers[i] = some_contact();
    for (unsigned round = 0; round < 40000; round++) {
        struct pg_kad_contact *c = &peers[draw() % PEERS];
        struct pg_endpoint from = draw() % 2 ? here : ip4(5, (unsigned)(draw() % 3), (unsigned)(draw() % 4), 1);
        uint64_t now_us = round * 400000u;
        switch (draw() % 8) {
        case 0: pg_kad_table_gone(&table, &c->id); break;
        case 1:
        case 2: pg_kad_table_failed(&table, &c->id, now_us); break;
        case 3:
            c->n_addrs = 1 + (uint32_t)(draw() % 8);
            for (unsigned i = 1; i < 8; i++)
                c->addrs[i] = c->addrs[0];
            break;
        default: (void)pg_kad_table_heard(&table, c, &from, now_us); break;
        }
        if (round % 500)
            continue;
        uint32_t n = 0, n_spares = 0;
        for (unsigned b = 0; b < PG_KAD_BITS; b++) {
            for (const struct pg_kad_server *s = table.buckets[b].first; s; s = s->next, n++)
                CU_ASSERT(s->bucket == b && !s->spare && bucket_of(&s->id) == b);
            for (const struct pg_kad_server *s = table.buckets[b].first_spare; s; s = s->next, n_spares++)
                CU_ASSERT(s->bucket == b && s->spare);
            CU_ASSERT(table.buckets[b].n <= PG_KAD_K && table.buckets[b].n_spares <= PG_KAD_SPARES);
        }
        CU_ASSERT_EQUAL(n, table.n);
        CU_ASSERT_EQUAL(n_spares, table.n_spares);
        CU_ASSERT_EQUAL(n + n_spares, table.servers.used);
    }
    for (unsigned i = 0; i < PEERS; i++)
        pg_kad_table_gone(&table, &peers[i].id);
    CU_ASSERT_EQUAL(table.n + table.n_spares, 0);
    CU_ASSERT_EQUAL(table.servers.used, 0);
    CU_ASSERT_EQUAL(table.texts.cells.used, 0);
    pg_kad_table_free(&table);
}

static void a_thousand_servers_take_less_than_a_mebibyte(void)
{
    start();
    /* More than any network gives: buckets are filled from the first to the one that is still found. */
    for (unsigned i = 0; i < 60000 && table.servers.fresh < 1000; i++) {
        struct pg_kad_contact c = some_contact();
        c.n_addrs = 3;
        c.addrs[1] = address("/ip4/192.168.100.100/tcp/40001");
        c.addrs[2] = address("/ip6/2001:db8:1:2:3:4:5:6/tcp/40001");
        (void)pg_kad_table_heard(&table, &c, &here, i);
    }
    size_t each = pg_kad_table_bytes(&table) / table.servers.fresh;
    printf("%u servers, %zu bytes each with three addresses: %zu KiB for 1,000\n", table.servers.fresh, each, each * 1000 / 1024);
    CU_ASSERT(each * 1000 < 1024 * 1024);
    pg_kad_table_free(&table);
}

int main(void)
{
    static const struct sentence all[] = {
        {"distances order keys as numbers do", distances_order_keys_as_numbers_do},
        {"a service has the original's key", a_service_has_the_originals_key},
        {"addresses are packed as far as they fit and come back", addresses_are_packed_as_far_as_they_fit_and_come_back},
        {"the nearest are those that a search of all finds", the_nearest_are_those_that_a_search_of_all_finds},
        {"a lab of fifty on loopback is known whole where buckets have room",
         a_lab_of_fifty_on_loopback_is_known_whole_where_buckets_have_room},
        {"one network does not take a table over", one_network_does_not_take_a_table_over},
        {"one IPv6 site is one network", one_ipv6_site_is_one_network},
        {"whoever moves into a crowded network is out", whoever_moves_into_a_crowded_network_is_out},
        {"a full bucket keeps who is there and the failing give way", a_full_bucket_keeps_who_is_there_and_the_failing_give_way},
        {"ourselves and those without addresses stay out", ourselves_and_those_without_addresses_stay_out},
        {"stale buckets are named and get a key of their own", stale_buckets_are_named_and_get_a_key_of_their_own},
        {"any order of events leaves a table whole", any_order_of_events_leaves_a_table_whole},
        {"a thousand servers take less than a mebibyte", a_thousand_servers_take_less_than_a_mebibyte},
    };
    return RUN_SUITE("Kademlia's routing table", all);
}
