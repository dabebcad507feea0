/* Walks over a network in memory: every peer knows its neighbours and some far ones, as a routing table has them, and answers with
 * the nearest that it knows. What a walk finds is compared with what is really nearest. Hostile row 28. */
#include "core/kad_frontier.h"
#include "crypto_suite.h"

#include <stdlib.h>

enum { PEERS = 1000, TABLE = 160, LIARS = 120 };

struct peer {
    struct pg_kad_contact contact;
    struct pg_kad_key key;
    bool dead, liar, holds;
    uint16_t table[TABLE];
    unsigned n_table;
};

static struct peer *peers;
static unsigned n_peers;
static uint64_t state;

static uint64_t draw(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Any 32 bytes behind the header of a SHA-256 multihash are a peer id; the last two tell us who it is. */
static void name_peer(struct peer *p)
{
    p->contact.id = (struct pg_peer_id){.len = 34, .at = {0x12, 0x20}};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t r = draw();
        memcpy(p->contact.id.at + 2 + 8 * i, &r, 8);
    }
    uint16_t number = (uint16_t)(p - peers);
    memcpy(p->contact.id.at + 32, &number, sizeof number);
    struct pg_endpoint at = {.family = 4, .ip = {10, (uint8_t)draw(), (uint8_t)draw(), (uint8_t)draw()}, .port = 4001};
    pg_multiaddr_from_tcp(&p->contact.addrs[0], &at);
    p->contact.n_addrs = 1;
    pg_kad_key_of_peer(&p->key, &p->contact.id);
}

/* At most k for each number of bits that are shared, found in any order. */
static void fill_table(struct peer *p, unsigned n)
{
    unsigned in_bucket[PG_KAD_BITS + 1] = {0};
    for (unsigned i = 0; i < n && p->n_table < TABLE; i++) {
        unsigned other = (unsigned)((draw() % n + i) % n);
        uint32_t bits = pg_kad_common_bits(&p->key, &peers[other].key);
        if (bits == PG_KAD_BITS || in_bucket[bits] == PG_KAD_K)
            continue;
        in_bucket[bits]++;
        p->table[p->n_table++] = (uint16_t)other;
    }
    for (unsigned other = 0; other < n && p->n_table < TABLE; other++) { /* the neighbourhood is known whole */
        uint32_t bits = pg_kad_common_bits(&p->key, &peers[other].key);
        if (bits >= 6 && bits < PG_KAD_BITS)
            p->table[p->n_table++] = (uint16_t)other;
    }
}

static void network_make(uint64_t seed, unsigned n)
{
    state = seed;
    n_peers = n;
    peers = calloc(n + LIARS, sizeof *peers);
    for (unsigned i = 0; i < n; i++)
        name_peer(&peers[i]);
    for (unsigned i = 0; i < n; i++)
        fill_table(&peers[i], n);
}

static void network_free(void)
{
    free(peers);
}

static const struct pg_kad_key *sorted_for;

static int by_distance(const void *a, const void *b)
{
    return pg_kad_nearer(sorted_for, &peers[*(const uint16_t *)a].key, &peers[*(const uint16_t *)b].key);
}

/* The nearest of those, by their numbers. */
static unsigned nearest(const struct pg_kad_key *target, uint16_t *numbers, unsigned n, unsigned most)
{
    sorted_for = target;
    qsort(numbers, n, sizeof *numbers, by_distance);
    return n < most ? n : most;
}

static unsigned all_alive(uint16_t *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_peers; i++)
        if (!peers[i].dead)
            out[n++] = (uint16_t)i;
    return n;
}

static unsigned number_of(const struct pg_peer_id *id)
{
    uint16_t number;
    memcpy(&number, id->at + 32, sizeof number);
    return number;
}

/* What a peer says: the nearest that it knows; a liar names liars alone. */
static void answer(struct pg_kad_frontier *f, uint32_t walker)
{
    uint16_t known[PEERS + LIARS];
    unsigned n = 0, number = number_of(&pg_kad_frontier_walker(f, walker)->id);
    const struct peer *p = &peers[number];
    if (p->dead) {
        pg_kad_frontier_mark(f, walker, PG_KAD_FAILED);
        return;
    }
    for (unsigned i = 0; p->liar && i < n_peers; i++)
        if (peers[i].liar)
            known[n++] = (uint16_t)i;
    for (unsigned i = 0; !p->liar && i < p->n_table; i++)
        known[n++] = p->table[i];
    n = nearest(&f->target, known, n, PG_KAD_K);
    for (unsigned i = 0; i < n; i++)
        pg_kad_frontier_hear(f, walker, &peers[known[i]].contact);
    pg_kad_frontier_mark(f, walker, PG_KAD_ANSWERED);
}

/* From some peers that are known at first to the end; returns how many were asked. */
static unsigned walk(struct pg_kad_frontier *f, const struct pg_kad_key *target, unsigned from, uint32_t network)
{
    uint16_t start[TABLE];
    unsigned asked = 0;
    struct pg_kad_contact *seeds = calloc(PG_KAD_K, sizeof *seeds);
    memcpy(start, peers[from].table, peers[from].n_table * sizeof *start);
    unsigned n = nearest(target, start, peers[from].n_table, PG_KAD_K);
    for (unsigned i = 0; i < n; i++)
        seeds[i] = peers[start[i]].contact;
    pg_kad_frontier_init(f, target, PG_KAD_K, network);
    pg_kad_frontier_seed(f, seeds, n);
    free(seeds);
    for (;;) {
        uint32_t next[3];
        unsigned width = 0;
        for (; width < 3 && (next[width] = pg_kad_frontier_next(f)) != PG_KAD_NOBODY; width++)
            pg_kad_frontier_mark(f, next[width], PG_KAD_ASKED);
        if (width == 0)
            break;
        asked += width;
        while (width > 0)
            answer(f, next[--width]);
    }
    return asked;
}

static void random_key(struct pg_kad_key *key)
{
    for (unsigned i = 0; i < sizeof key->at; i++)
        key->at[i] = (uint8_t)draw();
}

/* How many of the nearest that there are have been found. */
static unsigned agreement(const struct pg_kad_frontier *f, unsigned *wanted)
{
    uint16_t truth[PEERS + LIARS], found[3 * PG_KAD_K];
    unsigned n = all_alive(truth), same = 0;
    *wanted = nearest(&f->target, truth, n, PG_KAD_K);
    uint32_t count = pg_kad_frontier_nearest(f, PG_KAD_K, found);
    for (uint32_t i = 0; i < count; i++)
        for (unsigned k = 0; k < *wanted; k++)
            same += number_of(&pg_kad_frontier_walker(f, found[i])->id) == truth[k];
    return same;
}

static void test_a_walk_finds_the_nearest_of_a_thousand_peers_in_a_few_hops(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    unsigned found = 0, wanted = 0, hops = 0, most = 0;
    network_make(1, PEERS);
    for (unsigned i = 0; i < 40; i++) {
        unsigned all;
        random_key(&target);
        unsigned asked = walk(&f, &target, (unsigned)(draw() % PEERS), 0);
        found += agreement(&f, &all);
        wanted += all;
        hops += pg_kad_frontier_hops(&f);
        most = asked > most ? asked : most;
    }
    CU_ASSERT(found * 100 >= wanted * 97);
    CU_ASSERT(hops <= 40 * 12);
    CU_ASSERT(most <= 80);
    network_free();
}

static void test_dead_peers_cost_requests_and_no_result(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    unsigned found = 0, wanted = 0;
    network_make(2, PEERS);
    for (unsigned i = 0; i < PEERS; i++)
        peers[i].dead = draw() % 10 < 3;
    for (unsigned i = 0; i < 40; i++) {
        unsigned all;
        random_key(&target);
        (void)walk(&f, &target, (unsigned)(draw() % PEERS), 0);
        found += agreement(&f, &all);
        wanted += all;
    }
    CU_ASSERT(found * 100 >= wanted * 90);
    network_free();
}

/* Whoever has a place left in the bucket takes it; what is there stays. */
static void tell_of(struct peer *p, unsigned other)
{
    uint32_t bits = pg_kad_common_bits(&p->key, &peers[other].key);
    unsigned same = 0;
    for (unsigned i = 0; i < p->n_table; i++)
        same += pg_kad_common_bits(&p->key, &peers[p->table[i]].key) == bits;
    if (same < PG_KAD_K && p->n_table < TABLE)
        p->table[p->n_table++] = (uint16_t)other;
}

/* Many liars with ids ground so that they are nearer to the key than anybody: they know nothing but one another. */
static void surround(const struct pg_kad_key *target, unsigned honest)
{
    for (unsigned i = honest; i < honest + LIARS; i++) {
        do
            name_peer(&peers[i]);
        while (pg_kad_common_bits(target, &peers[i].key) < 10);
        peers[i].liar = true;
        for (unsigned k = 0; k < honest; k++)
            if (pg_kad_common_bits(target, &peers[k].key) >= 4 || draw() % 8 == 0)
                tell_of(&peers[k], i);
    }
    n_peers = honest + LIARS;
}

/* Somebody provides a key that is surrounded, and somebody else looks for it: liars keep nothing. */
static bool finds_in_spite_of_liars(uint64_t seed, bool guarded, uint32_t *crowding)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    uint16_t told[3 * PG_KAD_K];
    unsigned asked = 0;
    network_make(seed, 400);
    random_key(&target);
    surround(&target, 400);
    (void)walk(&f, &target, (unsigned)(draw() % 400), guarded ? 400 : 0);
    uint32_t n = pg_kad_frontier_nearest(&f, PG_KAD_K, told);
    for (uint32_t i = 0; i < n; i++) {
        struct peer *p = &peers[number_of(&f.walkers[told[i]].id)];
        p->holds = !p->liar;
    }
    (void)walk(&f, &target, (unsigned)(draw() % 400), guarded ? 400 : 0);
    for (uint32_t i = 0; i < f.n; i++) {
        const struct pg_kad_walker *w = &f.walkers[f.order[i]];
        asked += w->mark == PG_KAD_ANSWERED && peers[number_of(&w->id)].holds;
    }
    *crowding = f.crowding;
    network_free();
    return asked > 0;
}

static void test_liars_around_a_key_do_not_hide_those_who_hold_it(void)
{
    unsigned found = 0, told = 0, unguarded = 0;
    for (uint64_t seed = 10; seed < 20; seed++) {
        uint32_t crowding;
        found += finds_in_spite_of_liars(seed, true, &crowding);
        told += crowding >= PG_KAD_K;
        unguarded += finds_in_spite_of_liars(seed, false, &crowding);
    }
    CU_ASSERT(found >= 9);
    CU_ASSERT(told >= 9);
    CU_ASSERT(unguarded < 5); /* else nothing was tried */
}

static void test_an_honest_network_is_not_taken_for_a_crowd(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    unsigned told = 0;
    network_make(3, PEERS);
    for (unsigned i = 0; i < 100; i++) {
        random_key(&target);
        (void)walk(&f, &target, (unsigned)(draw() % PEERS), PEERS);
        told += f.crowding >= PG_KAD_K;
    }
    CU_ASSERT(told == 0);
    network_free();
}

static void test_what_a_peer_says_is_believed_on_its_own_path_only(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    uint16_t out[3 * PG_KAD_K];
    network_make(4, 60);
    random_key(&target);
    struct pg_kad_contact seeds[2] = {peers[0].contact, peers[1].contact};
    pg_kad_frontier_init(&f, &target, 4, 0);
    pg_kad_frontier_seed(&f, seeds, 2);
    uint32_t liar = pg_kad_frontier_next(&f);
    pg_kad_frontier_mark(&f, liar, PG_KAD_ASKED);
    uint32_t other = pg_kad_frontier_next(&f);
    pg_kad_frontier_mark(&f, other, PG_KAD_ASKED);
    CU_ASSERT_NOT_EQUAL(pg_kad_frontier_walker(&f, liar)->path, pg_kad_frontier_walker(&f, other)->path);
    for (unsigned i = 2; i < 40; i++)
        pg_kad_frontier_hear(&f, liar, &peers[i].contact);
    for (unsigned i = 40; i < 44; i++)
        pg_kad_frontier_hear(&f, other, &peers[i].contact);
    pg_kad_frontier_mark(&f, liar, PG_KAD_ANSWERED);
    pg_kad_frontier_mark(&f, other, PG_KAD_ANSWERED);
    for (uint32_t next; (next = pg_kad_frontier_next(&f)) != PG_KAD_NOBODY;) {
        pg_kad_frontier_mark(&f, next, PG_KAD_ASKED);
        pg_kad_frontier_mark(&f, next, PG_KAD_ANSWERED);
    }
    unsigned honest = 0;
    uint32_t n = pg_kad_frontier_nearest(&f, 4, out);
    for (uint32_t i = 0; i < n; i++)
        honest += f.walkers[out[i]].path == f.walkers[other].path;
    CU_ASSERT_EQUAL(n, 4);
    CU_ASSERT(honest >= 2); /* half of the result is the other path's, however near the liars are */
    network_free();
}

static void test_the_farthest_gives_way_when_a_walk_has_heard_of_too_many(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    network_make(5, PEERS);
    random_key(&target);
    pg_kad_frontier_init(&f, &target, PG_KAD_K, 0);
    pg_kad_frontier_seed(&f, &peers[0].contact, 1);
    uint32_t first = pg_kad_frontier_next(&f);
    pg_kad_frontier_mark(&f, first, PG_KAD_ASKED);
    for (unsigned i = 1; i < PEERS; i++)
        pg_kad_frontier_hear(&f, first, &peers[i].contact);
    CU_ASSERT_EQUAL(f.n, PG_KAD_HEARD_MAX);
    CU_ASSERT_EQUAL(f.walkers[first].mark, PG_KAD_ASKED);
    CU_ASSERT(pg_peer_id_equal(&f.walkers[first].id, &peers[0].contact.id));
    for (uint32_t i = 1; i < f.n; i++)
        CU_ASSERT(pg_kad_nearer(&target, &f.walkers[f.order[i - 1]].key, &f.walkers[f.order[i]].key) < 0);
    uint16_t truth[PEERS];
    unsigned n = nearest(&target, truth, all_alive(truth), 200);
    for (unsigned i = 0; i < n; i++) {
        uint32_t walker;
        CU_ASSERT(pg_kad_frontier_find(&f, &peers[truth[i]].contact.id, &walker));
    }
    network_free();
}

static void test_slow_ones_are_not_waited_for_once_somebody_has_answered(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    network_make(6, 30);
    random_key(&target);
    struct pg_kad_contact seeds[2] = {peers[0].contact, peers[1].contact};
    pg_kad_frontier_init(&f, &target, PG_KAD_K, 0);
    pg_kad_frontier_seed(&f, seeds, 2);
    uint32_t a = pg_kad_frontier_next(&f);
    pg_kad_frontier_mark(&f, a, PG_KAD_ASKED);
    uint32_t b = pg_kad_frontier_next(&f);
    pg_kad_frontier_mark(&f, b, PG_KAD_ASKED);
    pg_kad_frontier_mark(&f, a, PG_KAD_SLOW);
    CU_ASSERT(pg_kad_frontier_pending(&f));
    pg_kad_frontier_mark(&f, b, PG_KAD_FAILED);
    CU_ASSERT(pg_kad_frontier_pending(&f)); /* nobody else is left */
    pg_kad_frontier_mark(&f, b, PG_KAD_ANSWERED);
    CU_ASSERT(!pg_kad_frontier_pending(&f));
    CU_ASSERT_EQUAL(f.n_slow, 1);
    CU_ASSERT_EQUAL(f.n_failed, 0);
    network_free();
}

static void test_addresses_of_several_tellers_are_joined(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    struct pg_kad_contact out, again;
    network_make(7, 3);
    random_key(&target);
    pg_kad_frontier_init(&f, &target, PG_KAD_K, 0);
    pg_kad_frontier_seed(&f, &peers[0].contact, 1);
    uint32_t teller = pg_kad_frontier_next(&f), walker = 0;
    again = peers[1].contact;
    pg_kad_frontier_hear(&f, teller, &again);
    again.addrs[0] = peers[2].contact.addrs[0];
    pg_kad_frontier_hear(&f, teller, &again);
    pg_kad_frontier_hear(&f, teller, &again);
    CU_ASSERT(pg_kad_frontier_find(&f, &again.id, &walker));
    pg_kad_frontier_contact(&f, walker, &out);
    CU_ASSERT_EQUAL(f.n, 2);
    CU_ASSERT_EQUAL(out.n_addrs, 2);
    CU_ASSERT_EQUAL(f.walkers[walker].hops, 2);
    network_free();
}

/* The honest one is the liar's way to them all: who names again, at other places, what somebody else has named first. */
static void test_who_names_again_what_another_has_named_does_not_make_a_liar_of_it(void)
{
    static struct pg_kad_frontier f;
    struct pg_kad_key target;
    struct pg_kad_contact again;
    network_make(8, 40);
    random_key(&target);
    pg_kad_frontier_init(&f, &target, PG_KAD_K, 0);
    struct pg_kad_contact seeds[2] = {peers[0].contact, peers[1].contact};
    pg_kad_frontier_seed(&f, seeds, 1);
    uint32_t honest = pg_kad_frontier_next(&f), walker = 0;
    pg_kad_frontier_mark(&f, honest, PG_KAD_ASKED);
    for (unsigned i = 2; i < 12; i++)
        pg_kad_frontier_hear(&f, honest, &peers[i].contact);
    pg_kad_frontier_mark(&f, honest, PG_KAD_ANSWERED);
    again = peers[2].contact;
    for (unsigned i = 0; i < 10; i++) { /* it has gone, and is said to be somewhere else ten times */
        CU_ASSERT_FATAL(pg_kad_frontier_find(&f, &again.id, &walker));
        CU_ASSERT_EQUAL(f.walkers[walker].mark, PG_KAD_UNASKED);
        pg_kad_frontier_mark(&f, walker, PG_KAD_ASKED);
        pg_kad_frontier_unreached(&f, walker);
        again.addrs[0] = peers[20 + i].contact.addrs[0];
        pg_kad_frontier_hear(&f, honest, &again);
    }
    CU_ASSERT_EQUAL(f.walkers[honest].n_false, 1);
    CU_ASSERT_NOT_EQUAL(pg_kad_frontier_next(&f), PG_KAD_NOBODY);
    unsigned left = 0;
    for (uint32_t next; (next = pg_kad_frontier_next(&f)) != PG_KAD_NOBODY; left++)
        pg_kad_frontier_mark(&f, next, PG_KAD_ANSWERED);
    CU_ASSERT_EQUAL(left, 10); /* all that the honest one has named */
    network_free();
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a walk finds the nearest of a thousand peers in a few hops", test_a_walk_finds_the_nearest_of_a_thousand_peers_in_a_few_hops},
        {"dead peers cost requests and no result", test_dead_peers_cost_requests_and_no_result},
        {"liars around a key do not hide those who hold it", test_liars_around_a_key_do_not_hide_those_who_hold_it},
        {"an honest network is not taken for a crowd", test_an_honest_network_is_not_taken_for_a_crowd},
        {"what a peer says is believed on its own path only", test_what_a_peer_says_is_believed_on_its_own_path_only},
        {"the farthest gives way when a walk has heard of too many", test_the_farthest_gives_way_when_a_walk_has_heard_of_too_many},
        {"slow ones are not waited for once somebody has answered", test_slow_ones_are_not_waited_for_once_somebody_has_answered},
        {"addresses of several tellers are joined", test_addresses_of_several_tellers_are_joined},
        {"who names again what another has named does not make a liar of it",
         test_who_names_again_what_another_has_named_does_not_make_a_liar_of_it},
    };
    return RUN_SUITE("frontier of a walk", sentences);
}
