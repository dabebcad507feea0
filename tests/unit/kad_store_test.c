/* Records of the DHT: whose they are, when they end, who gives way, and what they take.
 * Run by ctest; the clock is the test's. Serves src/core/kad_store.h and spec/limits.list. */
#include "core/address_book.h"
#include "core/kad_store.h"
#include "core/kad_table.h"
#include "crypto_suite.h"

enum { SECOND_US = 1000000 };
static const uint64_t HOUR_US = 3600000000u;
static struct pg_kad_store store;
static struct pg_limits limits;
static struct pg_peer_id own;
static uint64_t random_state = 5;
static uint8_t room[PG_KAD_VALUE_MAX + PG_PEER_ID_MAX];

static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct pg_peer_id peer(unsigned number)
{
    struct pg_peer_id id = {.len = 34, .at = {0x12, 32}};
    memcpy(id.at + 2, &number, sizeof number);
    return id;
}

static void start_with(uint64_t records, uint64_t each, uint64_t memory)
{
    own = peer(1000000);
    pg_limits_standard(&limits);
    limits.value[PG_LIMIT_KAD_RECORDS] = records;
    limits.value[PG_LIMIT_KAD_RECORDS_PEER] = each;
    limits.value[PG_LIMIT_KAD_MEMORY] = memory;
    CU_ASSERT_FATAL(pg_kad_store_init(&store, &own, &limits, 7));
}

static struct pg_bytes key_of(unsigned number)
{
    static char text[4][40];
    static unsigned turn;
    char *at = text[turn++ % 4];
    snprintf(at, sizeof *text, "/punchgate/svc/service-%u", number);
    return pg_text(at);
}

static struct pg_kad_contact contact_of(const struct pg_peer_id *id, unsigned n_addrs)
{
    struct pg_kad_contact c = {.id = *id, .n_addrs = n_addrs};
    for (unsigned i = 0; i < n_addrs; i++)
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.addrs[i], PG_LIT("/ip4/192.168.1.1/tcp/4001")), PG_OK);
    return c;
}

static enum pg_err provide(unsigned key, unsigned who, uint64_t now_us)
{
    struct pg_peer_id id = peer(who);
    struct pg_kad_contact c = contact_of(&id, 1);
    return pg_kad_store_provide(&store, key_of(key), &c, 0, now_us);
}

static enum pg_err put(unsigned key, struct pg_bytes value, unsigned who, uint64_t ttl_us, uint64_t now_us)
{
    struct pg_peer_id id = peer(who);
    struct pg_kad_value v = {.key = key_of(key), .value = value, .publisher = pg_bytes(id.at, id.len), .ttl_us = ttl_us};
    return pg_kad_store_put(&store, &v, &id, now_us);
}

static unsigned count_providers(unsigned key, uint64_t now_us)
{
    const struct pg_kad_record *found[PG_FIXED_KAD_PROVIDERS];
    return pg_kad_store_providers(&store, key_of(key), now_us, PG_FIXED_KAD_PROVIDERS, found);
}

static bool has_value(unsigned key, uint64_t now_us)
{
    struct pg_kad_value v;
    return pg_kad_store_get(&store, key_of(key), now_us, &v, room);
}

static bool provides(unsigned key, unsigned who, uint64_t now_us)
{
    const struct pg_kad_record *found[PG_FIXED_KAD_PROVIDERS];
    struct pg_kad_contact c;
    struct pg_peer_id id = peer(who);
    uint32_t n = pg_kad_store_providers(&store, key_of(key), now_us, PG_FIXED_KAD_PROVIDERS, found);
    for (uint32_t i = 0; i < n; i++) {
        pg_kad_store_contact(&store, found[i], &c);
        if (pg_peer_id_equal(&c.id, &id))
            return true;
    }
    return false;
}

/* Nothing is left, and nothing leaks. */
static void end(void)
{
    pg_kad_store_expire(&store, UINT64_MAX);
    CU_ASSERT_EQUAL(store.records.used + store.entries.used + store.holders.used + store.texts.cells.used, 0);
    CU_ASSERT_EQUAL(store.n_values + store.n_providers + store.n_own + store.n_heap, 0);
    CU_ASSERT_PTR_NULL(store.oldest);
    CU_ASSERT_PTR_NULL(store.newest);
    pg_kad_store_free(&store);
}

static void a_value_comes_back_as_it_was_with_the_time_that_is_left(void)
{
    static uint8_t big[PG_KAD_VALUE_MAX + 1];
    struct pg_kad_value v;
    struct pg_peer_id publisher = peer(3);
    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 31);
    start_with(100, 50, 4 << 20);
    CU_ASSERT_EQUAL(put(1, PG_LIT("\"one\""), 3, 100 * SECOND_US, 5 * SECOND_US), PG_OK);
    CU_ASSERT(pg_kad_store_get(&store, key_of(1), 25 * SECOND_US, &v, room));
    CU_ASSERT(pg_bytes_equal(v.value, PG_LIT("\"one\"")));
    CU_ASSERT(pg_bytes_equal(v.publisher, pg_bytes(publisher.at, publisher.len)));
    CU_ASSERT_EQUAL(v.ttl_us, 80 * SECOND_US);
    CU_ASSERT_FALSE(has_value(2, 25 * SECOND_US));
    CU_ASSERT_EQUAL(put(2, pg_bytes(big, PG_KAD_VALUE_MAX), 3, 0, 25 * SECOND_US), PG_OK);
    CU_ASSERT(pg_kad_store_get(&store, key_of(2), 26 * SECOND_US, &v, room));
    CU_ASSERT(pg_bytes_equal(v.value, pg_bytes(big, PG_KAD_VALUE_MAX)));
    CU_ASSERT_EQUAL(put(3, pg_bytes(big, PG_KAD_VALUE_MAX + 1), 3, 0, 0), PG_ERR_PROTOBUF_LIMIT);
    v = (struct pg_kad_value){.key = pg_bytes(big, PG_KAD_KEY_MAX + 1)};
    CU_ASSERT_EQUAL(pg_kad_store_put(&store, &v, &publisher, 0), PG_ERR_PROTOBUF_LIMIT);
    v.key = PG_NONE;
    CU_ASSERT_EQUAL(pg_kad_store_put(&store, &v, &publisher, 0), PG_ERR_PROTOBUF_LIMIT);
    v.key = pg_bytes(big, PG_KAD_KEY_MAX); /* the longest key, and a value of nothing */
    CU_ASSERT_EQUAL(pg_kad_store_put(&store, &v, &publisher, 27 * SECOND_US), PG_OK);
    CU_ASSERT(pg_kad_store_get(&store, pg_bytes(big, PG_KAD_KEY_MAX), 27 * SECOND_US, &v, room));
    CU_ASSERT_EQUAL(v.value.len, 0);
    end();
}

static void what_is_past_its_end_is_gone_at_the_next_look(void)
{
    start_with(1000, 1000, 4 << 20);
    for (unsigned i = 0; i < 500; i++)
        CU_ASSERT_EQUAL(put(i, PG_LIT("x"), i % 7, (1 + (i * 37) % 500) * (uint64_t)SECOND_US, 0), PG_OK);
    for (unsigned s = 0; s <= 500; s += 50) {
        unsigned left = 0;
        for (unsigned i = 0; i < 500; i++) {
            left += has_value(i, s * (uint64_t)SECOND_US);
            CU_ASSERT_EQUAL(has_value(i, s * (uint64_t)SECOND_US), 1 + (i * 37) % 500 > s);
        }
        CU_ASSERT_EQUAL(store.n_values, left);
        CU_ASSERT_EQUAL(store.records.used, left);
    }
    /* Nobody keeps a thing here for ever: of a longer life two days are left, as of one that is not said. */
    CU_ASSERT_EQUAL(put(1, PG_LIT("x"), 1, UINT64_MAX / 2, 500 * (uint64_t)SECOND_US), PG_OK);
    CU_ASSERT_EQUAL(provide(1, 1, 500 * (uint64_t)SECOND_US), PG_OK);
    CU_ASSERT(has_value(1, 47 * HOUR_US) && count_providers(1, 47 * HOUR_US) == 1);
    CU_ASSERT(!has_value(1, 49 * HOUR_US) && count_providers(1, 49 * HOUR_US) == 0);
    end();
}

static void the_newest_value_stays_but_ours_always(void)
{
    struct pg_kad_value v;
    start_with(100, 50, 4 << 20);
    CU_ASSERT_EQUAL(put(1, PG_LIT("old"), 3, 0, 1), PG_OK);
    CU_ASSERT_EQUAL(put(1, PG_LIT("new"), 4, 0, 2), PG_OK);
    CU_ASSERT(pg_kad_store_get(&store, key_of(1), 3, &v, room));
    CU_ASSERT(pg_bytes_equal(v.value, PG_LIT("new")));
    CU_ASSERT_EQUAL(store.n_values, 1);
    CU_ASSERT_EQUAL(store.holders.used, 1);
    CU_ASSERT_EQUAL(put(1, PG_LIT("ours"), 1000000, 0, 4), PG_OK);
    CU_ASSERT_EQUAL(put(1, PG_LIT("theirs"), 4, 0, 5), PG_OK); /* taken, as rust-libp2p says to whoever sends it, and dropped */
    CU_ASSERT(pg_kad_store_get(&store, key_of(1), 6, &v, room));
    CU_ASSERT(pg_bytes_equal(v.value, PG_LIT("ours")));
    CU_ASSERT_EQUAL(store.n_own, 1);
    CU_ASSERT_EQUAL(provide(1, 1000000, 6), PG_OK);
    CU_ASSERT_EQUAL(provide(1, 8, 6), PG_OK);
    CU_ASSERT_EQUAL(store.n_own, 2);
    pg_kad_store_withdraw(&store, key_of(1));
    CU_ASSERT_FALSE(has_value(1, 7));
    CU_ASSERT_EQUAL(store.n_own, 0);
    CU_ASSERT(count_providers(1, 7) == 1 && provides(1, 8, 7));
    end();
}

static void a_provider_is_there_once_with_what_it_said_last(void)
{
    const struct pg_kad_record *found[4];
    struct pg_kad_contact c;
    struct pg_peer_id id = peer(5);
    start_with(100, 50, 4 << 20);
    for (unsigned round = 0; round < 3; round++) {
        c = contact_of(&id, round);
        CU_ASSERT_EQUAL(pg_kad_store_provide(&store, key_of(1), &c, 0, round), PG_OK);
        CU_ASSERT_EQUAL(provide(1, 6 + round, round), PG_OK);
    }
    CU_ASSERT_EQUAL(pg_kad_store_providers(&store, key_of(1), 9, 4, found), 4);
    pg_kad_store_contact(&store, found[1], &c); /* newest first */
    CU_ASSERT(pg_peer_id_equal(&c.id, &id));
    CU_ASSERT_EQUAL(c.n_addrs, 2);
    CU_ASSERT_EQUAL(pg_kad_store_providers(&store, key_of(1), 9, 1, found), 1);
    pg_kad_store_contact(&store, found[0], &c);
    id = peer(8);
    CU_ASSERT(pg_peer_id_equal(&c.id, &id));
    end();
}

static void a_key_has_no_more_than_its_providers_and_we_stay_among_them(void)
{
    start_with(1000, 50, 4 << 20);
    CU_ASSERT_EQUAL(provide(1, 1000000, 0), PG_OK);
    for (unsigned i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(provide(1, i, i), PG_OK);
    CU_ASSERT_EQUAL(count_providers(1, 200), PG_FIXED_KAD_PROVIDERS);
    CU_ASSERT(provides(1, 1000000, 200) && provides(1, 199, 200) && !provides(1, 3, 200));
    end();
}

static void a_peer_has_its_share_and_its_own_oldest_gives_way(void)
{
    start_with(10000, 100, 16 << 20);
    CU_ASSERT_EQUAL(provide(7, 1, 0), PG_OK);
    for (unsigned i = 0; i < 5000; i++)
        CU_ASSERT_EQUAL(provide(1000 + i, 2, i), PG_OK);
    CU_ASSERT_EQUAL(store.n_providers, 101);
    CU_ASSERT(provides(7, 1, 5000));
    CU_ASSERT(provides(1000 + 4999, 2, 5000) && provides(1000 + 4900, 2, 5000) && !provides(1000 + 4899, 2, 5000));
    end();
}

static void when_all_is_full_the_oldest_gives_way(void)
{
    start_with(100, 50, 4 << 20);
    for (unsigned i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(provide(i, i, i), PG_OK); /* each of another peer: nobody has more than an equal share */
        CU_ASSERT(store.n_providers <= 100);
    }
    for (unsigned i = 0; i < 1000; i++)
        CU_ASSERT_EQUAL(provides(i, i, 1000), i >= 900);
    CU_ASSERT_EQUAL(store.evicted, 900);
    end();
}

/* Twenty spammers, each within its share, could fill the store twice, all at once or one after the other. What others have
 * published before stays. */
static void whoever_fills_the_store_pushes_out_itself(void)
{
    start_with(10000, 1000, 16 << 20);
    for (unsigned i = 0; i < 50; i++)
        CU_ASSERT_EQUAL(provide(i, i, i), PG_OK);
    for (unsigned i = 0; i < 20 * 2000; i++)
        CU_ASSERT_EQUAL(provide(1000 + i, 500 + i / 2000, 100 + i), PG_OK);
    for (unsigned i = 0; i < 20 * 2000; i++)
        CU_ASSERT_EQUAL(provide(1000 + i, 500 + i % 20, 100 + i), PG_OK);
    unsigned kept = 0;
    for (unsigned i = 0; i < 50; i++)
        kept += provides(i, i, 50000);
    CU_ASSERT_EQUAL(kept, 50);
    CU_ASSERT_EQUAL(store.n_providers, 10000);
    CU_ASSERT_EQUAL(provide(60, 60, 50000), PG_OK); /* and newcomers find a place */
    CU_ASSERT(provides(60, 60, 50000));
    end();
}

static void long_values_are_bounded_by_memory_for_one_peer_and_for_all(void)
{
    static uint8_t big[PG_KAD_VALUE_MAX];
    start_with(10000, 10000, 4 << 20); /* of which an eighth is 512 KiB: seven of these */
    CU_ASSERT_EQUAL(put(9999, PG_LIT("small"), 9, 0, 0), PG_OK);
    for (unsigned i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(put(i, pg_bytes(big, sizeof big), 1, 0, i), PG_OK);
    CU_ASSERT_EQUAL(store.n_values, 1 + 7);
    CU_ASSERT(has_value(9999, 200) && has_value(199, 200));
    for (unsigned i = 0; i < 2000; i++)
        CU_ASSERT_EQUAL(put(i, pg_bytes(big, sizeof big), i % 50, 0, 200 + i), PG_OK);
    CU_ASSERT(pg_kad_store_bytes(&store) < (6 << 20));
    CU_ASSERT(has_value(1999, 3000));
    /* Ours have room whatever others have stored. */
    CU_ASSERT_EQUAL(put(77777, pg_bytes(big, sizeof big), 1000000, 0, 3000), PG_OK);
    CU_ASSERT(has_value(77777, 3000));
    end();
    start_with(100, 100, 256 << 10);
    CU_ASSERT_EQUAL(put(1, pg_bytes(big, sizeof big), 1, 0, 0), PG_ERR_LIMIT_REACHED); /* more than anybody's share */
    end();
}

static void our_own_have_places_of_their_own(void)
{
    start_with(16, 16, 1 << 20);
    for (unsigned i = 0; i < 500; i++)
        (void)provide(i, i, i);
    for (unsigned i = 0; i < PG_KAD_OWN_RECORDS; i++)
        CU_ASSERT_EQUAL(provide(10000 + i, 1000000, 500), PG_OK);
    CU_ASSERT_EQUAL(provide(1, 1000000, 500), PG_ERR_LIMIT_REACHED);
    CU_ASSERT_EQUAL(provide(10000, 1000000, 500), PG_OK); /* once more the same is none more */
    for (unsigned i = 0; i < 500; i++)
        (void)provide(i, i, 501 + i);
    for (unsigned i = 0; i < PG_KAD_OWN_RECORDS; i++)
        CU_ASSERT(provides(10000 + i, 1000000, 2000));
    end();
}

/* Any order of everything: the lists agree with one another all the time. */
static void any_order_of_events_leaves_a_store_whole(void)
{
    static uint8_t big[3000];
    start_with(60, 12, 64 << 10);
    for (unsigned round = 0; round < 60000; round++) {
        uint64_t now_us = round * (uint64_t)SECOND_US;
        unsigned key = (unsigned)(draw() % 40), who = (unsigned)(draw() % 10);
        struct pg_peer_id id = peer(who ? who : 1000000);
        struct pg_kad_contact c = contact_of(&id, (unsigned)(draw() % 9));
        struct pg_kad_value v = {.key = key_of(key), .value = pg_bytes(big, draw() % sizeof big), .ttl_us = draw() % (900 * SECOND_US)};
        switch (draw() % 6) {
        case 0:
        case 1: (void)pg_kad_store_provide(&store, key_of(key), &c, draw() % (900 * SECOND_US), now_us); break;
        case 2: (void)pg_kad_store_put(&store, &v, &id, now_us); break;
        case 3: (void)has_value(key, now_us); break;
        case 4: (void)count_providers(key, now_us); break;
        default: if (who == 0) pg_kad_store_withdraw(&store, key_of(key)); break;
        }
        uint32_t kept = 0, held = 0;
        for (const struct pg_kad_record *r = store.oldest; r; r = r->next_kept)
            kept++;
        for (uint32_t b = 0; b < store.n_buckets; b++) {
            for (const struct pg_kad_holder *h = store.by_peer[b]; h; h = h->next)
                held += h->held[PG_KAD_MEASURE_RECORDS];
        }
        for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
            for (uint32_t i = 2; i <= store.holders.used; i++)
                CU_ASSERT_FATAL(store.heaviest[m][i / 2]->held[m] >= store.heaviest[m][i]->held[m] && store.heaviest[m][i]->place[m] == i);
        CU_ASSERT_FATAL(kept == held && kept + store.n_own == store.n_heap && store.n_heap == store.records.used);
        CU_ASSERT_FATAL(store.n_values + store.n_providers == store.records.used && kept <= 60);
        for (uint32_t i = 2; i <= store.n_heap; i++)
            CU_ASSERT_FATAL(store.heap[i / 2]->until_us <= store.heap[i]->until_us && store.heap[i]->place == i);
    }
    end();
}

static void ten_thousand_records_and_a_thousand_peers_take_less_than_eight_mebibytes(void)
{
    static struct pg_kad_table table;
    static struct pg_address_book book;
    struct pg_peer_id id;
    struct pg_multiaddr addrs[8];
    for (unsigned i = 0; i < 8; i++)
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addrs[i], PG_LIT("/ip6/2001:db8:1:2:3:4:5:6/tcp/40001")), PG_OK);
    pg_limits_standard(&limits);
    start_with(limits.value[PG_LIMIT_KAD_RECORDS], limits.value[PG_LIMIT_KAD_RECORDS_PEER], limits.value[PG_LIMIT_KAD_MEMORY]);
    CU_ASSERT_FATAL(pg_kad_table_init(&table, &own, PG_FIXED_KAD_SERVERS));
    CU_ASSERT_FATAL(pg_address_book_init(&book, PG_FIXED_KNOWN_PEERS, 3));
    /* The worst of it: each record under its own key and by its own peer, half of them providers with three addresses. */
    for (unsigned i = 0; i < 10000; i++) {
        id = peer(i);
        struct pg_kad_contact c = {.id = id, .n_addrs = 3, .addrs = {addrs[0], addrs[0], addrs[0]}};
        CU_ASSERT_EQUAL(i % 2 ? put(i, PG_LIT("\"service-12345\""), i, 0, i) : pg_kad_store_provide(&store, key_of(i), &c, 0, i), PG_OK);
        if (i < 1000) {
            pg_address_book_learn(&book, &id, addrs, 8, HOUR_US);
            c.id = peer((unsigned)draw());
            for (unsigned a = 0; a < 8; a++)
                c.addrs[a] = addrs[a];
            c.n_addrs = 8;
            (void)pg_kad_table_heard(&table, &c, NULL, i);
        }
    }
    CU_ASSERT_EQUAL(store.records.used, 10000);
    size_t servers = pg_kad_table_bytes(&table) / (table.servers.fresh ? table.servers.fresh : 1) * 1000;
    size_t known = book.cards.fresh * (book.cards.slot + sizeof *book.cards.free) + book.n_buckets * sizeof(void *);
    size_t records = pg_kad_store_bytes(&store);
    printf("10,000 records %zu KiB, 1,000 servers %zu KiB, 1,000 known peers %zu KiB ", records >> 10, servers >> 10, known >> 10);
    CU_ASSERT(records + servers + known < 8u << 20);
    pg_address_book_free(&book);
    pg_kad_table_free(&table);
    end();
}

int main(void)
{
    static const struct sentence all[] = {
        {"a value comes back as it was, with the time that is left", a_value_comes_back_as_it_was_with_the_time_that_is_left},
        {"what is past its end is gone at the next look", what_is_past_its_end_is_gone_at_the_next_look},
        {"the newest value stays, but ours always", the_newest_value_stays_but_ours_always},
        {"a provider is there once, with what it said last", a_provider_is_there_once_with_what_it_said_last},
        {"a key has no more than its providers, and we stay among them", a_key_has_no_more_than_its_providers_and_we_stay_among_them},
        {"a peer has its share, and its own oldest gives way", a_peer_has_its_share_and_its_own_oldest_gives_way},
        {"when all is full the oldest gives way", when_all_is_full_the_oldest_gives_way},
        {"whoever fills the store pushes out itself", whoever_fills_the_store_pushes_out_itself},
        {"long values are bounded by memory, for one peer and for all", long_values_are_bounded_by_memory_for_one_peer_and_for_all},
        {"our own have places of their own", our_own_have_places_of_their_own},
        {"any order of events leaves a store whole", any_order_of_events_leaves_a_store_whole},
        {"ten thousand records and a thousand peers take less than eight mebibytes",
         ten_thousand_records_and_a_thousand_peers_take_less_than_eight_mebibytes},
    };
    return RUN_SUITE("records of the DHT", all);
}
