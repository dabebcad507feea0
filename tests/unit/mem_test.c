/* Pools, queues, maps and arenas against simple models, with random operations.
 * Run by ctest; includes runtime/mem only.
 * Serves docs/ARCHITECTURE.md, "Memory": every structure here has a limit and keeps it. */
#include "crypto_suite.h"
#include "mem/arena.h"
#include "mem/blob.h"
#include "mem/map.h"
#include "mem/poison.h"
#include "mem/queue.h"
#include "mem/rate.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

/* Pool. */

enum { SLOTS = 50, SLOT_ROOM = 4096 };

static void a_pool_gives_each_slot_once_and_no_more_than_it_has(void)
{
    struct pg_pool p;
    uint8_t *taken[SLOTS];
    CU_ASSERT_FATAL(pg_pool_init(&p, 100, SLOTS, 4));
    CU_ASSERT_EQUAL(p.slot, 112);
    for (unsigned i = 0; i < SLOTS; i++) {
        taken[i] = pg_pool_take(&p);
        CU_ASSERT_PTR_NOT_NULL_FATAL(taken[i]);
        CU_ASSERT_EQUAL((uintptr_t)taken[i] % 16, 0);
        CU_ASSERT_EQUAL(taken[i] - p.base, (ptrdiff_t)(pg_pool_number(&p, taken[i]) * p.slot));
        memset(taken[i], (int)i, 100);
    }
    CU_ASSERT_PTR_NULL(pg_pool_take(&p));
    CU_ASSERT_PTR_NULL(pg_pool_take_zero(&p));
    for (unsigned i = 0; i < SLOTS; i++)
        for (unsigned j = 0; j < 100; j++)
            CU_ASSERT_EQUAL_FATAL(taken[i][j], i);
    pg_pool_give(&p, taken[7]);
    CU_ASSERT_PTR_EQUAL(pg_pool_take(&p), taken[7]);
    CU_ASSERT_EQUAL(p.used, SLOTS);
    pg_pool_free(&p);
}

static void a_pool_keeps_what_is_written_through_any_order_of_take_and_give(void)
{
    struct pg_pool p;
    uint8_t *held[SLOTS], marks[SLOTS];
    unsigned n = 0;
    CU_ASSERT_FATAL(pg_pool_init(&p, SLOT_ROOM, SLOTS, 3));
    random_state = 1;
    for (unsigned step = 0; step < 20000; step++) {
        if (pick(2) && n < SLOTS) {
            bool zero = pick(2);
            held[n] = zero ? pg_pool_take_zero(&p) : pg_pool_take(&p);
            CU_ASSERT_PTR_NOT_NULL_FATAL(held[n]);
            if (zero)
                CU_ASSERT_FATAL(held[n][0] == 0 && held[n][SLOT_ROOM - 1] == 0 && held[n][pick(SLOT_ROOM)] == 0);
            marks[n] = (uint8_t)(1 + pick(255));
            memset(held[n], marks[n], SLOT_ROOM);
            n++;
        } else if (n > 0) {
            unsigned i = pick(n);
            uint32_t at = pick(SLOT_ROOM);
            CU_ASSERT_FATAL(held[i][0] == marks[i] && held[i][at] == marks[i] && held[i][SLOT_ROOM - 1] == marks[i]);
            pg_pool_give(&p, held[i]);
            held[i] = held[--n];
            marks[i] = marks[n];
        }
        CU_ASSERT_EQUAL_FATAL(p.used, n);
    }
    pg_pool_free(&p);
}

/* Queue. */

enum { MODEL = 12 * 1024 * 1024 };

/* What ought to be in the queue: the bytes from head to tail of one long block. */
struct model {
    struct pg_queue q;
    uint8_t *bytes;
    size_t head, tail;
};

static void check_front(struct model *m)
{
    struct pg_bytes slices[8];
    unsigned n = pg_queue_peek(&m->q, slices, 1 + pick(8));
    size_t at = m->head;
    CU_ASSERT_EQUAL_FATAL(m->q.bytes, m->tail - m->head);
    CU_ASSERT_EQUAL_FATAL(n == 0, m->q.bytes == 0);
    for (unsigned i = 0; i < n; i++) {
        CU_ASSERT_FATAL(slices[i].len > 0 && slices[i].len <= m->tail - at);
        CU_ASSERT_FATAL(memcmp(slices[i].at, m->bytes + at, slices[i].len) == 0);
        at += slices[i].len;
    }
}

static void append(struct model *m, size_t n, bool in_place)
{
    uint8_t block[PG_CHUNK_ROOM * 3];
    for (size_t i = 0; i < n; i++)
        block[i] = (uint8_t)pick(256);
    if (in_place) {
        n = n < PG_CHUNK_ROOM ? n : PG_CHUNK_ROOM;
        uint8_t *room = pg_queue_reserve(&m->q, n);
        if (!room)
            return;
        memcpy(room, block, n);
        pg_queue_commit(&m->q, n);
    } else {
        size_t before = m->q.bytes;
        if (!pg_queue_put(&m->q, pg_bytes(block, n))) {
            CU_ASSERT_EQUAL_FATAL(m->q.bytes, before); /* all or nothing */
            return;
        }
    }
    memcpy(m->bytes + m->tail, block, n);
    m->tail += n;
}

static void a_queue_gives_back_what_was_put_in_whatever_the_pieces(void)
{
    struct pg_pool pool;
    struct model m = {.bytes = malloc(MODEL)};
    CU_ASSERT_PTR_NOT_NULL_FATAL(m.bytes);
    CU_ASSERT_FATAL(pg_pool_init(&pool, PG_CHUNK_SLOT, 5, 2));
    pg_queue_init(&m.q, &pool);
    random_state = 7;
    while (m.tail < MODEL - PG_CHUNK_ROOM * 3) {
        size_t most = pick(3) ? 400 : pick(2) ? PG_CHUNK_ROOM + 10 : PG_CHUNK_ROOM * 3;
        size_t n = 1 + pick((uint32_t)most - 1);
        if (pick(2)) {
            append(&m, n, pick(2));
        } else {
            n = n < m.q.bytes ? n : m.q.bytes;
            pg_queue_drop(&m.q, n);
            m.head += n;
        }
        check_front(&m);
        CU_ASSERT_FATAL(pool.used <= 5);
        if (m.q.bytes == 0 && pick(10) == 0) {
            pg_queue_clear(&m.q);
            CU_ASSERT_EQUAL(pool.used, 0);
        }
    }
    pg_queue_clear(&m.q);
    CU_ASSERT_EQUAL(pool.used, 0);
    pg_pool_free(&pool);
    free(m.bytes);
}

static void a_queue_holds_no_memory_when_it_is_empty(void)
{
    struct pg_pool pool;
    struct pg_queue q;
    CU_ASSERT_FATAL(pg_pool_init(&pool, PG_CHUNK_SLOT, 3, 2));
    pg_queue_init(&q, &pool);
    CU_ASSERT(pg_queue_put(&q, PG_NONE));
    CU_ASSERT_EQUAL(pool.used, 0);
    CU_ASSERT(pg_queue_put(&q, PG_LIT("abc")));
    pg_queue_drop(&q, 3);
    CU_ASSERT_EQUAL(pool.used, 0);
    /* Reserving is not using. */
    CU_ASSERT_PTR_NOT_NULL(pg_queue_reserve(&q, PG_CHUNK_ROOM));
    pg_queue_clear(&q);
    CU_ASSERT_EQUAL(pool.used, 0);
    pg_pool_free(&pool);
}

static void a_queue_takes_the_longest_noise_message_in_one_piece(void)
{
    struct pg_pool pool;
    struct pg_queue q;
    struct pg_bytes slices[4];
    CU_ASSERT_FATAL(pg_pool_init(&pool, PG_CHUNK_SLOT, 3, 2));
    pg_queue_init(&q, &pool);
    CU_ASSERT(pg_queue_put(&q, PG_LIT("before it")));
    uint8_t *at = pg_queue_reserve(&q, 65537);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memset(at, 1, 65537);
    pg_queue_commit(&q, 65537);
    unsigned n = pg_queue_peek(&q, slices, 4);
    CU_ASSERT(n > 0 && slices[n - 1].len >= 65537);
    pg_queue_clear(&q);
    pg_pool_free(&pool);
}

/* Map. */

enum { KEYS = 3000 };

static void check_map(const struct pg_map *m, const uint32_t *keys, void *const *values, uint32_t n)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < n; i++) {
        CU_ASSERT_PTR_EQUAL_FATAL(pg_map_get(m, keys[i]), values[i]);
        live += values[i] != NULL;
    }
    CU_ASSERT_EQUAL_FATAL(m->used, live);
}

static void random_map(uint64_t seed, uint32_t step)
{
    struct pg_map m;
    pg_map_init(&m, seed);
    static uint32_t keys[KEYS];
    static void *values[KEYS];
    memset(values, 0, sizeof values);
    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = i * step;
    for (uint32_t turn = 0; turn < 60000; turn++) {
        uint32_t i = pick(KEYS);
        if (!values[i] && pick(3)) {
            values[i] = &keys[pick(KEYS)];
            CU_ASSERT_FATAL(pg_map_put(&m, keys[i], values[i]));
        } else {
            pg_map_remove(&m, keys[i]); /* also of keys that are not there */
            values[i] = NULL;
        }
        if (turn % 2000 == 0)
            check_map(&m, keys, values, KEYS);
    }
    check_map(&m, keys, values, KEYS);
    for (uint32_t i = 0; i < KEYS; i++)
        pg_map_remove(&m, keys[i]);
    CU_ASSERT_EQUAL(m.used, 0);
    CU_ASSERT(m.room <= 8192);
    pg_map_free(&m);
    struct pg_map again;
    pg_map_init(&again, seed);
    CU_ASSERT_EQUAL(memcmp(&m, &again, sizeof m), 0);
    CU_ASSERT_PTR_NULL(pg_map_get(&m, 1));
}

static void a_map_answers_like_a_list_whatever_the_order(void)
{
    random_state = 3;
    random_map(0, 1);
    random_map(0x0123456789abcdef, 2);
    random_map(99, 0x10000); /* equal low halves */
    random_map(99, 4096);
}

static void a_maps_home_depends_on_the_seed(void)
{
    struct pg_map a, b;
    pg_map_init(&a, 1);
    pg_map_init(&b, 2);
    unsigned same = 0;
    for (uint32_t key = 2; key < 400; key += 2) {
        CU_ASSERT_FATAL(pg_map_put(&a, key, &a) && pg_map_put(&b, key, &b));
    }
    for (uint32_t i = 0; i < a.room; i++)
        same += a.slots[i].value && b.slots[i].value && a.slots[i].key == b.slots[i].key;
    CU_ASSERT(same < 50);
    pg_map_free(&a);
    pg_map_free(&b);
}

static unsigned longest_run(const struct pg_map *m)
{
    unsigned longest = 0, run = 0;
    for (uint32_t i = 0; i < 2 * m->room; i++) {
        run = m->slots[i & (m->room - 1)].value ? run + 1 : 0;
        if (run > longest)
            longest = run;
    }
    return longest;
}

/* Numbers that differ in high bits only, or ascend as streams do, may not meet in one place. */
static void a_maps_runs_stay_short_for_keys_that_a_peer_chooses(void)
{
    static const uint32_t steps[] = {1, 2, 1024, 65536, 1u << 20};
    for (unsigned s = 0; s < sizeof steps / sizeof *steps; s++) {
        struct pg_map m;
        pg_map_init(&m, 0x5eed5eed5eed5eedu);
        for (uint32_t i = 0; i < 3000; i++)
            CU_ASSERT_FATAL(pg_map_get(&m, i * steps[s] + 1) == &m || pg_map_put(&m, i * steps[s] + 1, &m));
        CU_ASSERT(longest_run(&m) < 400);
        pg_map_free(&m);
    }
}

/* Keys that all meet for one who knows the seed are nothing special to a map with another. */
static void keys_chosen_to_meet_under_one_seed_do_not_meet_under_another(void)
{
    enum { CHOSEN = 1000, ROOM = 2048 };
    static uint32_t keys[CHOSEN];
    struct pg_map known, ours;
    struct pg_keyed hash;
    pg_keyed_init(&hash, 1);
    pg_map_init(&known, 1);
    pg_map_init(&ours, 2);
    for (uint32_t n = 0, key = 1; n < CHOSEN; key += 2)
        if ((pg_keyed_hash(&hash, &key, sizeof key) & (ROOM - 1)) < 8)
            keys[n++] = key;
    for (unsigned i = 0; i < CHOSEN; i++)
        CU_ASSERT_FATAL(pg_map_put(&known, keys[i], &known) && pg_map_put(&ours, keys[i], &ours));
    CU_ASSERT(known.room == ROOM && ours.room == ROOM);
    CU_ASSERT(longest_run(&known) >= CHOSEN - 8);
    CU_ASSERT(longest_run(&ours) < 100);
    pg_map_free(&known);
    pg_map_free(&ours);
}

/* What a rate lets through: as many at once as its burst, then so many in each second, whatever came before. */
static void a_rate_lets_a_burst_pass_and_then_its_number_in_each_second(void)
{
    struct pg_rate r = {0};
    unsigned passed = 0;
    for (unsigned i = 0; i < 1000; i++)
        passed += pg_rate_take(&r, 5000000, 50, 100);
    CU_ASSERT_EQUAL(passed, 100);
    passed = 0;
    for (uint64_t us = 5000000; us < 15000000; us += 1000)
        passed += pg_rate_take(&r, us, 50, 100);
    CU_ASSERT(passed >= 499 && passed <= 500);
    passed = 0;
    for (unsigned i = 0; i < 1000; i++)
        passed += pg_rate_take(&r, 60000000, 50, 100);
    CU_ASSERT_EQUAL(passed, 100);
}

/* Blobs. */

static void texts_of_any_length_come_back_and_leave_their_room(void)
{
    enum { TEXTS = 200, LONGEST = 700 };
    static uint8_t text[TEXTS][LONGEST], out[LONGEST];
    uint32_t number[TEXTS] = {0}, cells = 0;
    size_t len[TEXTS] = {0};
    struct pg_blobs b;
    CU_ASSERT_FATAL(pg_blobs_init(&b, 64 * PG_BLOB_CELL * 10));
    random_state = 21;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)pick(TEXTS);
        cells -= pg_blob_cells(len[i]);
        pg_blob_drop(&b, number[i]);
        len[i] = pick(LONGEST);
        for (size_t n = 0; n < len[i]; n++)
            text[i][n] = (uint8_t)pick(256);
        size_t head = len[i] ? pick((unsigned)len[i]) : 0;
        bool fits = pg_blobs_left(&b) >= pg_blob_cells(len[i]);
        number[i] = pg_blob_keep(&b, pg_bytes(text[i], head), pg_bytes(text[i] + head, len[i] - head));
        CU_ASSERT_EQUAL_FATAL(number[i] != 0, fits && len[i] > 0);
        len[i] = number[i] ? len[i] : 0;
        cells += pg_blob_cells(len[i]);
        CU_ASSERT_EQUAL_FATAL(b.cells.used, cells);
        unsigned k = (unsigned)pick(TEXTS);
        pg_blob_copy(&b, number[k], out, len[k]);
        CU_ASSERT_EQUAL_FATAL(memcmp(out, text[k], len[k]), 0);
        CU_ASSERT_FATAL(pg_blob_is(&b, number[k], pg_bytes(text[k], len[k])));
        if (len[k] > 0) {
            text[k][len[k] - 1] ^= 1;
            CU_ASSERT_FALSE(pg_blob_is(&b, number[k], pg_bytes(text[k], len[k])));
            text[k][len[k] - 1] ^= 1;
        }
    }
    pg_blobs_free(&b);
}

/* Arena. */

static void an_arena_gives_aligned_pieces_until_it_is_full(void)
{
    static uint64_t room[128];
    struct pg_arena a = {(uint8_t *)room, sizeof room, 0};
    random_state = 11;
    for (unsigned round = 0; round < 1000; round++) {
        uint8_t *end = a.base;
        for (;;) {
            size_t n = pick(200);
            size_t start = (a.used + 7) & ~(size_t)7;
            uint8_t *at = pg_arena_take(&a, n);
            CU_ASSERT_EQUAL_FATAL(at != NULL, start <= a.room && n <= a.room - start);
            if (!at)
                break;
            CU_ASSERT_EQUAL_FATAL((uintptr_t)at % 8, 0);
            CU_ASSERT_FATAL(at >= end && at + n <= a.base + a.room);
            end = at + n;
            memset(at, 1, n);
        }
        pg_arena_reset(&a);
        CU_ASSERT_EQUAL(a.used, 0);
    }
    CU_ASSERT_PTR_NULL(pg_arena_take(&a, SIZE_MAX));
    CU_ASSERT_PTR_NULL(pg_arena_take(&a, SIZE_MAX - 7));
    CU_ASSERT_PTR_NOT_NULL(pg_arena_take(&a, sizeof room));
}

/* Use after giving back. */

#ifdef PG_POISONS
static const bool looks = true;
#else
static const bool looks = false; /* only builds under the address sanitizer do */
#endif

/* Whether a process that reads there is ended. */
static bool is_fatal(const volatile uint8_t *at)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        (void)*at;
        _exit(0);
    }
    CU_ASSERT_FATAL(child > 0 && waitpid(child, &status, 0) == child);
    return status != 0;
}

static void whoever_uses_a_slot_after_giving_it_back_is_found_under_the_sanitizers(void)
{
    struct pg_pool p;
    CU_ASSERT_FATAL(pg_pool_init(&p, 100, 3, 3));
    uint8_t *a = pg_pool_take(&p), *b = pg_pool_take(&p);
    memset(a, 1, p.slot);
    CU_ASSERT_FALSE(is_fatal(a));
    pg_pool_give(&p, a);
    CU_ASSERT_EQUAL(is_fatal(a), looks);
    CU_ASSERT_EQUAL(is_fatal(a + 99), looks);
    CU_ASSERT_FALSE(is_fatal(b));
    CU_ASSERT_EQUAL(is_fatal(b + p.slot), looks); /* has never been taken */
    CU_ASSERT_PTR_EQUAL(pg_pool_take(&p), a);
    CU_ASSERT_FALSE(is_fatal(a));
    pg_pool_free(&p);
}

static void whoever_reads_a_chunk_that_its_queue_has_dropped_is_found_under_the_sanitizers(void)
{
    struct pg_pool pool;
    struct pg_queue q;
    struct pg_bytes slice;
    CU_ASSERT_FATAL(pg_pool_init(&pool, PG_CHUNK_SLOT, 2, 2));
    pg_queue_init(&q, &pool);
    CU_ASSERT_FATAL(pg_queue_put(&q, PG_LIT("here today")));
    CU_ASSERT_FATAL(pg_queue_peek(&q, &slice, 1) == 1);
    pg_queue_drop(&q, 5);
    CU_ASSERT_FALSE(is_fatal(slice.at + 9));
    pg_queue_drop(&q, 5);
    CU_ASSERT_EQUAL(is_fatal(slice.at + 9), looks);
    pg_pool_free(&pool);
}

static void whoever_keeps_what_lies_in_an_arena_beyond_its_turn_is_found_under_the_sanitizers(void)
{
    uint8_t *room = malloc(64);
    CU_ASSERT_FATAL(room != NULL);
    struct pg_arena a = {room, 64, 0};
    uint8_t *one = pg_arena_take(&a, 16);
    memset(one, 1, 16);
    CU_ASSERT_FALSE(is_fatal(one));
    pg_arena_reset(&a);
    CU_ASSERT_EQUAL(is_fatal(one + 15), looks);
    CU_ASSERT_PTR_EQUAL(pg_arena_take(&a, 16), one);
    CU_ASSERT_FALSE(is_fatal(one));
    free(room);
}

int main(void)
{
    static const struct sentence all[] = {
        {"a pool gives each slot once and no more than it has", a_pool_gives_each_slot_once_and_no_more_than_it_has},
        {"a pool keeps what is written through any order of take and give",
         a_pool_keeps_what_is_written_through_any_order_of_take_and_give},
        {"a queue gives back what was put in, whatever the pieces", a_queue_gives_back_what_was_put_in_whatever_the_pieces},
        {"a queue holds no memory when it is empty", a_queue_holds_no_memory_when_it_is_empty},
        {"a queue takes the longest Noise message in one piece", a_queue_takes_the_longest_noise_message_in_one_piece},
        {"a map answers like a list, whatever the order", a_map_answers_like_a_list_whatever_the_order},
        {"a map's home depends on the seed", a_maps_home_depends_on_the_seed},
        {"a map's runs stay short for keys that a peer chooses", a_maps_runs_stay_short_for_keys_that_a_peer_chooses},
        {"keys chosen to meet under one seed do not meet under another", keys_chosen_to_meet_under_one_seed_do_not_meet_under_another},
        {"a rate lets a burst pass and then its number in each second", a_rate_lets_a_burst_pass_and_then_its_number_in_each_second},
        {"texts of any length come back and leave their room", texts_of_any_length_come_back_and_leave_their_room},
        {"an arena gives aligned pieces until it is full", an_arena_gives_aligned_pieces_until_it_is_full},
        {"whoever uses a slot after giving it back is found under the sanitizers",
         whoever_uses_a_slot_after_giving_it_back_is_found_under_the_sanitizers},
        {"whoever reads a chunk that its queue has dropped is found under the sanitizers",
         whoever_reads_a_chunk_that_its_queue_has_dropped_is_found_under_the_sanitizers},
        {"whoever keeps what lies in an arena beyond its turn is found under the sanitizers",
         whoever_keeps_what_lies_in_an_arena_beyond_its_turn_is_found_under_the_sanitizers},
    };
    return RUN_SUITE("memory", all);
}
