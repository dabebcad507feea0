/* The world itself: its clock, its queue of events, its randomness and its memory of what happened.
 * Called by tests/sim and by the other files of runtime/sim. */
#include "sim/sim_internal.h"

#include <assert.h>

enum { EVENTS_FIRST = 1024, SPINNING = 400000 };

void *sim_take(size_t size)
{
    void *block = calloc(1, size);
    assert(block && "the simulator has no memory left");
    return block;
}

struct pg_sim *pg_sim_new(uint64_t seed)
{
    struct pg_sim *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->random = seed;
    s->trace = 0xcbf29ce484222325u;
    s->heap_room = EVENTS_FIRST;
    s->heap = sim_take(EVENTS_FIRST * sizeof *s->heap);
    s->next_port = SIM_PORTS_FROM;
    s->tell_fd = -1;
    s->rules = (struct pg_sim_rules){.buffer = 256 * 1024};
    s->home.latency_us = 20;
    s->wide.latency_us = 1000;
    pg_sim_widen(s, PG_SIM_HOSTS);
    for (unsigned a = 0; a < PG_SIM_HOSTS; a++)
        for (unsigned b = 0; b < PG_SIM_HOSTS; b++)
            s->paths[a][b] = (struct pg_sim_path){.latency_us = a == b ? 20 : 1000};
    return s;
}

void pg_sim_free(struct pg_sim *s)
{
    if (!s)
        return;
    for (struct pg_sim_socket *k = s->sockets, *next; k; k = next) {
        next = k->next;
        free(k->ring);
        free(k);
    }
    for (struct pg_sim_process *p = s->processes, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    sim_datagrams_free(s, true);
    sim_nat_free(s);
    free(s->host_down);
    for (struct sim_record *r = s->records, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    free(s->heap);
    free(s);
}

/* Randomness: splitmix64. */

uint64_t pg_sim_random(struct pg_sim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t pg_sim_below(struct pg_sim *s, uint32_t bound)
{
    return bound ? (uint32_t)((pg_sim_random(s) >> 32) * bound >> 32) : 0;
}

bool pg_sim_chance(struct pg_sim *s, uint32_t of_thousand)
{
    return of_thousand && pg_sim_below(s, 1000) < of_thousand;
}

/* Memory of what happened. */

void sim_mix_number(struct pg_sim *s, uint64_t n)
{
    s->trace = (s->trace ^ n) * 0x9fb21c651e98df25u;
    s->trace ^= s->trace >> 29;
}

void sim_mix(struct pg_sim *s, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint64_t word;
    sim_mix_number(s, n);
    for (; n >= 8; n -= 8, at += 8) {
        memcpy(&word, at, 8);
        sim_mix_number(s, word);
    }
    for (word = 0; n > 0; n--)
        word = word << 8 | *at++;
    sim_mix_number(s, word);
}

uint64_t pg_sim_trace(const struct pg_sim *s)
{
    return s->trace;
}

void pg_sim_tell(struct pg_sim *s, int fd)
{
    s->tell_fd = fd;
}

/* Events: a binary heap. */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

void pg_sim_at(struct pg_sim *s, uint64_t at_us, void (*run)(void *, uint64_t), void *context, uint64_t argument)
{
    struct sim_event e = {at_us > s->now_us ? at_us : s->now_us, ++s->events, run, context, argument};
    if (s->n_heap + 2 > s->heap_room) {
        struct sim_event *more = realloc(s->heap, 2 * s->heap_room * sizeof *more);
        assert(more);
        s->heap = more;
        s->heap_room *= 2;
    }
    size_t at = ++s->n_heap;
    for (; at > 1 && earlier(&e, &s->heap[at / 2]); at /= 2)
        s->heap[at] = s->heap[at / 2];
    s->heap[at] = e;
}

static struct sim_event take_first(struct pg_sim *s)
{
    struct sim_event first = s->heap[1], last = s->heap[s->n_heap--];
    size_t at = 1;
    for (size_t child; (child = 2 * at) <= s->n_heap; at = child) {
        if (child < s->n_heap && earlier(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!earlier(&s->heap[child], &last))
            break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = last;
    return first;
}

bool pg_sim_run(struct pg_sim *s, uint64_t until_us)
{
    unsigned at_once = 0;
    while (s->n_heap > 0 && s->heap[1].at_us <= until_us) {
        struct sim_event e = take_first(s);
        at_once = e.at_us == s->now_us ? at_once + 1 : 0;
        if (at_once > SPINNING)
            return false;
        s->now_us = e.at_us;
        e.run(e.context, e.argument);
    }
    if (s->now_us < until_us)
        s->now_us = until_us;
    return true;
}

uint64_t pg_sim_now(const struct pg_sim *s)
{
    return s->now_us;
}

/* Hosts and paths. */

void pg_sim_widen(struct pg_sim *s, unsigned hosts)
{
    assert(hosts < PG_SIM_HOSTS_MOST && s->n_sockets == 0);
    free(s->host_down);
    s->host_down = sim_take(hosts * sizeof *s->host_down);
    s->n_hosts = hosts;
}

struct pg_endpoint pg_sim_endpoint(unsigned host, uint16_t port)
{
    unsigned n = host + 1;
    return (struct pg_endpoint){.family = 4, .ip = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, .port = port};
}

struct pg_endpoint pg_sim_loopback(uint16_t port)
{
    return (struct pg_endpoint){.family = 4, .ip = {127, 0, 0, 1}, .port = port};
}

struct pg_endpoint pg_sim_unix(const char *path)
{
    struct pg_endpoint e = {.family = PG_SIM_UNIX};
    assert(strlen(path) < sizeof e.ip);
    memcpy(e.ip, path, strlen(path));
    return e;
}

struct pg_sim_path *pg_sim_path(struct pg_sim *s, unsigned a, unsigned b)
{
    if (a >= PG_SIM_HOSTS || b >= PG_SIM_HOSTS)
        return a == b ? &s->home : &s->wide;
    return a < b ? &s->paths[a][b] : &s->paths[b][a];
}

struct pg_sim_rules *pg_sim_rules(struct pg_sim *s)
{
    return &s->rules;
}
