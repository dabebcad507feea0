/* Breadth-first over orderings: a state is the list of events that leads there, and is made again from nothing by them.
 * States that hold the same are gone on from once. Called by main.c and by whatever kills mutants.
 * An assert of the core is a fault like any other: it is caught, and the run ends. */
#include "orders.h"
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct node {
    uint32_t parent;
    uint8_t choice, depth;
    uint64_t possible; /* choices */
};

static struct {
    struct node *nodes;
    uint64_t *seen;
    uint32_t n_nodes, room, seen_room;
    struct orders_result result;
    char fault[600];
    sigjmp_buf back;
} x;
const struct orders_subject *orders_running;
const struct orders_subject *const orders_subjects[] = {
    &orders_plane_seeded, &orders_plane_reserved, &orders_plane_alone, &orders_tunnel_joined, &orders_tunnel_open, NULL};

void orders_fault(const char *format, ...)
{
    va_list args;
    if (x.fault[0])
        return;
    va_start(args, format);
    vsnprintf(x.fault, sizeof x.fault, format, args);
    va_end(args);
}

bool orders_failed(void)
{
    return x.fault[0] != 0;
}

static void on_abort(int number)
{
    siglongjmp(x.back, number);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* False when the core stopped itself. */
static bool run(const uint8_t *path, unsigned n, bool check_last)
{
    int stopped = sigsetjmp(x.back, 1);
    if (stopped) {
        orders_fault("the core stopped itself by signal %d (an assert speaks above)", stopped);
        return false;
    }
    x.result.orders++;
    orders_running->begin();
    for (unsigned i = 0; i < n && !orders_failed(); i++)
        orders_running->apply(path[i]);
    if (check_last && !orders_failed())
        orders_running->check();
    return !orders_failed();
}

static unsigned path_to(uint32_t at, uint8_t out[256])
{
    unsigned n = x.nodes[at].depth;
    for (unsigned i = n; i > 0; i--, at = x.nodes[at].parent)
        out[i - 1] = x.nodes[at].choice;
    return n;
}

static void save(const char *file, const uint8_t *path, unsigned n)
{
    FILE *out = fopen(file, "w");
    if (!out) {
        perror(file);
        return;
    }
    fprintf(out, ORDERS_MAGIC "\n# %s\n%s\n", x.fault, orders_running->word);
    for (unsigned i = 0; i < n; i++)
        fprintf(out, "%s\n", orders_running->choice(path[i]));
    fclose(out);
}

static void print_fault(const struct orders_limits *limits, const uint8_t *path, unsigned n)
{
    x.result.failed = true;
    if (limits->save)
        save(limits->save, path, n);
    if (limits->quiet)
        return;
    printf("%s: %s\n", orders_running->name, x.fault);
    for (unsigned i = 0; i < n; i++)
        printf("  %s\n", orders_running->choice(path[i]));
}

static bool fresh(uint64_t hash)
{
    if (x.n_nodes * 2 >= x.seen_room) {
        uint64_t *old = x.seen;
        uint32_t before = x.seen_room;
        x.seen_room = before ? before * 4 : 1u << 16;
        x.seen = calloc(x.seen_room, sizeof *x.seen);
        if (!x.seen)
            abort();
        for (uint32_t n = 0; n < before; n++) {
            uint32_t at = (uint32_t)(old[n] % x.seen_room);
            while (old[n] && x.seen[at])
                at = (at + 1) % x.seen_room;
            if (old[n])
                x.seen[at] = old[n];
        }
        free(old);
    }
    uint32_t at = (uint32_t)((hash | 1) % x.seen_room);
    while (x.seen[at] && x.seen[at] != (hash | 1))
        at = (at + 1) % x.seen_room;
    if (x.seen[at])
        return false;
    x.seen[at] = hash | 1;
    return true;
}

static void add(uint32_t parent, unsigned choice, unsigned depth)
{
    if (!fresh(orders_running->state(true)))
        return;
    if (x.n_nodes == x.room) {
        x.room = x.room ? x.room * 2 : 4096;
        x.nodes = realloc(x.nodes, x.room * sizeof *x.nodes);
        if (!x.nodes)
            abort();
    }
    struct node *node = &x.nodes[x.n_nodes++];
    *node = (struct node){.parent = parent, .choice = (uint8_t)choice, .depth = (uint8_t)depth};
    for (unsigned n = 0; n < orders_running->n_choices; n++)
        if (orders_running->possible(n))
            node->possible |= UINT64_C(1) << n;
}

/* Both orders of two events that the spec calls independent, from one state. */
static bool commutes(const struct orders_limits *limits, uint8_t *path, unsigned n, unsigned a, unsigned b)
{
    uint64_t ends[2];
    for (unsigned order = 0; order < 2; order++) {
        const unsigned choices[2] = {order ? b : a, order ? a : b};
        path[n] = (uint8_t)choices[0];
        if (!run(path, n + 1, false)) {
            print_fault(limits, path, n + 1);
            return false;
        }
        if (!orders_running->possible(choices[1]))
            return true; /* the world has only one order here */
        path[n + 1] = (uint8_t)choices[1];
        if (!run(path, n + 2, true)) {
            print_fault(limits, path, n + 2);
            return false;
        }
        ends[order] = orders_running->state(false);
    }
    if (ends[0] == ends[1])
        return true;
    orders_fault("the last two events commute by the spec, and the other order ends with other data or other commands");
    print_fault(limits, path, n + 2);
    return false;
}

static bool expand(const struct orders_limits *limits, const char *system, uint32_t at)
{
    uint8_t path[256];
    unsigned n = path_to(at, path), depth = n + 1;
    uint64_t possible = x.nodes[at].possible;
    for (unsigned a = 0; a < orders_running->n_choices; a++) {
        if (!(possible >> a & 1u))
            continue;
        path[n] = (uint8_t)a;
        if (!run(path, depth, true)) {
            print_fault(limits, path, depth);
            return false;
        }
        add(at, a, depth);
        const char *event = orders_running->event(a);
        for (unsigned b = 0; event && b < orders_running->n_choices; b++) {
            const char *other = possible >> b & 1u ? orders_running->event(b) : NULL;
            if (other && orders_commute(system, event, other) && !commutes(limits, path, n, a, b))
                return false;
        }
    }
    return true;
}

static struct sigaction before[2];

static void begin(const struct orders_subject *subject)
{
    struct sigaction caught = {.sa_handler = on_abort, .sa_flags = SA_NODEFER};
    sigaction(SIGABRT, &caught, &before[0]);
    sigaction(SIGSEGV, &caught, &before[1]);
    memset(&x, 0, sizeof x);
    orders_running = subject;
}

static void end(void)
{
    if (!x.result.failed)
        orders_running->end();
    free(x.nodes);
    free(x.seen);
    sigaction(SIGABRT, &before[0], NULL);
    sigaction(SIGSEGV, &before[1], NULL);
    orders_running = NULL;
}

struct orders_result orders_explore(const struct orders_subject *subject, const struct orders_limits *limits)
{
    begin(subject);
    double until = seconds() + limits->seconds;
    if (run(NULL, 0, true)) {
        add(0, 0, 0);
        uint32_t at = 0;
        for (; at < x.n_nodes && x.nodes[at].depth < limits->depth && seconds() < until; at++)
            if (!expand(limits, subject->system, at))
                break;
        x.result.depth = x.result.failed ? 0 : at < x.n_nodes ? x.nodes[at].depth : limits->depth;
    } else
        print_fault(limits, NULL, 0);
    x.result.states = x.n_nodes;
    end();
    return x.result;
}

/* Playing. */

static int cannot(const char *file, unsigned line, const char *why, const char *what)
{
    fprintf(stderr, "orders: %s:%u: %s%s; see --save\n", file, line, why, what);
    return 2;
}

static const struct orders_subject *subject_named(const char *name)
{
    unsigned n = 0;
    while (orders_subjects[n] && strcmp(orders_subjects[n]->word, name) != 0)
        n++;
    return orders_subjects[n];
}

/* The events, as numbers of choices; 0 when all can be read. */
static int read_events(FILE *in, const char *file, const struct orders_subject **subject, uint8_t path[256], unsigned *n)
{
    char line[300];
    for (unsigned number = 1; fgets(line, sizeof line, in); number++) {
        unsigned choice = 0;
        line[strcspn(line, "\n")] = 0;
        if (number == 1 && strcmp(line, ORDERS_MAGIC) != 0)
            return cannot(file, number, "not a list of events that was saved", "");
        if (number == 1 || line[0] == '#' || !line[0])
            continue;
        if (!*subject) {
            if (!(*subject = subject_named(line)))
                return cannot(file, number, "no subject has the name ", line);
            continue;
        }
        while (choice < (*subject)->n_choices && strcmp((*subject)->choice(choice), line) != 0)
            choice++;
        if (choice == (*subject)->n_choices)
            return cannot(file, number, "there is no event ", line);
        if (*n == 200)
            return cannot(file, number, "more than 200 events", "");
        path[(*n)++] = (uint8_t)choice;
    }
    return *subject ? 0 : cannot(file, 1, "no subject, no events", "");
}

/* The event that cannot come where the list has it, or NULL. */
static const char *play(const struct orders_limits *limits, uint8_t path[256], unsigned n)
{
    for (unsigned i = 0; i <= n; i++) {
        if (!run(path, i, true)) {
            print_fault(limits, path, i);
            return NULL;
        }
        if (i < n && !orders_running->possible(path[i]))
            return orders_running->choice(path[i]);
    }
    const char *a = n > 1 ? orders_running->event(path[n - 2]) : NULL, *b = n > 1 ? orders_running->event(path[n - 1]) : NULL;
    if (a && b && orders_commute(orders_running->system, a, b))
        (void)commutes(limits, path, n - 2, path[n - 2], path[n - 1]);
    return NULL;
}

int orders_play(const char *file)
{
    static const struct orders_limits loud = {.quiet = false};
    const struct orders_subject *subject = NULL;
    uint8_t path[256];
    unsigned n = 0;
    FILE *in = fopen(file, "r");
    if (!in) {
        perror(file);
        return 2;
    }
    int status = read_events(in, file, &subject, path, &n);
    fclose(in);
    if (status)
        return status;
    begin(subject);
    const char *odd = play(&loud, path, n);
    bool failed = x.result.failed;
    end();
    if (odd)
        return cannot(file, 1, "where the list has it there is no such event any more: ", odd);
    if (!failed)
        printf("%s: all holds over these %u events\n", subject->name, n);
    return failed;
}

/* Small things. */

uint64_t orders_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

uint64_t orders_mix_bytes(uint64_t hash, const void *at, size_t n)
{
    for (const uint8_t *byte = at; n-- > 0; byte++)
        hash = (hash ^ *byte) * UINT64_C(1099511628211);
    return orders_mix(hash, n);
}

uint64_t orders_mix_instance(uint64_t hash, const struct pg_instance *in)
{
    hash = orders_mix(hash, in->ctl.state);
    hash = orders_mix(hash, in->ctl.flags);
    for (unsigned n = 0; n < in->machine->n_counts; n++)
        hash = orders_mix(hash, in->ctl.count[n]);
    for (unsigned n = 0; n < in->machine->n_timers; n++)
        hash = orders_mix(hash, pg_timer_runs(in, n) ? 1 + in->timers[n].at_us - in->scope->now_us : 0);
    return hash;
}

bool orders_has(const struct pg_instance *in, const char *flag)
{
    for (unsigned n = 0; n < in->machine->n_flags; n++)
        if (strcmp(in->machine->flags[n], flag) == 0)
            return in->ctl.flags >> n & 1u;
    return false;
}

bool orders_is(const struct pg_instance *in, const char *state)
{
    return strcmp(in->machine->states[in->ctl.state], state) == 0;
}

bool orders_runs(const struct pg_instance *in, const char *timer, uint64_t *left_us)
{
    for (unsigned n = 0; n < in->machine->n_timers; n++)
        if (strcmp(in->machine->timers[n], timer) == 0 && pg_timer_runs(in, n)) {
            *left_us = in->timers[n].at_us - in->scope->now_us;
            return true;
        }
    return false;
}
