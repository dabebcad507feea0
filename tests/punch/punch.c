/* Peers that reach each other through NATs, on the simulated network: thousands of punches over drawn kinds of routers, round trips and
 * losses, and a mesh whose relays die. Run by `make sim` and tools/experiment.
 *   punch [--count N] [--seed N] [--rows FILE]                                one world of two peers for each
 *   punch --minutes N [--pairs N] [--relays N] [--silent PERMILLE] [--seed N] [--rows FILE]       half of the relays die each minute
 * Every punch, or every second of every private peer, is a row of CSV in FILE; standard output has lines of JSON. Status 1 when something
 * was not as it has to be. */
#include "churn.h"
#include "sim/seeded.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { RELAYS = 3, DIALLER = RELAYS, LISTENER, HOSTS };
enum { JOIN_S = 2, RESERVE_S = 30, REACH_S = 30, SETTLE_S = 20, STEP_US = 5000, BYTES = 40000, CLIENT_S = 60, GOOD_OF_THOUSAND = 970 };

struct punch {
    uint64_t seed;
    enum kind dialler, listener;
    unsigned rtt_direct_ms, rtt_dialler_ms, rtt_listener_ms, lost; /* lost: of a thousand packets */
    bool reserved, reached, direct, complete;
    double reach_ms, direct_ms; /* from the dialler's start to a connection; from there to a direct one */
};

static bool is_hard(const struct punch *p)
{
    enum kind a = p->dialler, b = p->listener;
    return (a == SYMMETRIC && (b == SYMMETRIC || b == PORT_RESTRICTED)) || (b == SYMMETRIC && a == PORT_RESTRICTED);
}

static unsigned draw_path(struct world *w, unsigned a, unsigned b, unsigned lost)
{
    uint64_t us = 2500 + pg_sim_below(w->sim, 100000);
    *pg_sim_path(w->sim, a, b) = (struct pg_sim_path){.latency_us = us, .jitter_us = us / 20, .lost = lost};
    return (unsigned)(2 * us / 1000);
}

static void draw(struct world *w, struct punch *p)
{
    p->lost = pg_sim_below(w->sim, 2) ? pg_sim_below(w->sim, 30) : 0;
    for (unsigned r = 0; r < RELAYS; r++) {
        unsigned a = draw_path(w, DIALLER, r, p->lost), b = draw_path(w, LISTENER, r, p->lost);
        p->rtt_dialler_ms = r == 0 ? a : p->rtt_dialler_ms;
        p->rtt_listener_ms = r == 0 ? b : p->rtt_listener_ms;
        for (unsigned other = 0; other < r; other++)
            (void)draw_path(w, r, other, 0);
    }
    p->rtt_direct_ms = draw_path(w, DIALLER, LISTENER, p->lost);
}

/* Until somebody says so, or time is over. */
static bool reserved(struct world *w)
{
    return member_reservations(&w->members[LISTENER]) > 0;
}

static bool reached(struct world *w)
{
    return member_connected(&w->members[DIALLER], &w->members[LISTENER], true) || member_connected(&w->members[DIALLER], &w->members[LISTENER], false);
}

static bool direct(struct world *w)
{
    return member_connected(&w->members[DIALLER], &w->members[LISTENER], false) && member_connected(&w->members[LISTENER], &w->members[DIALLER], false);
}

static bool until(struct world *w, bool (*holds)(struct world *), unsigned seconds, double *ms)
{
    uint64_t begun = pg_sim_now(w->sim), end = begun + seconds * SECONDS;
    while (!holds(w) && pg_sim_now(w->sim) < end)
        world_run(w, STEP_US);
    if (ms)
        *ms = (double)(pg_sim_now(w->sim) - begun) / 1000;
    return holds(w);
}

static void punch_run(struct punch *p)
{
    struct world w;
    struct client c;
    enum kind kinds[2] = {p->dialler, p->listener};
    seeded_begin(p->seed);
    world_open(&w, p->seed, RELAYS, HOSTS, kinds);
    draw(&w, p);
    service_open(&w, LISTENER);
    for (unsigned r = 0; r < RELAYS; r++)
        member_start(&w, r, false, -1);
    world_run(&w, JOIN_S * SECONDS);
    member_start(&w, LISTENER, true, -1);
    p->reserved = until(&w, reserved, RESERVE_S, NULL);
    world_run(&w, JOIN_S * SECONDS);
    member_start(&w, DIALLER, false, LISTENER);
    p->reached = until(&w, reached, REACH_S, &p->reach_ms);
    p->direct = until(&w, direct, SETTLE_S, &p->direct_ms);
    client_begin(&c, &w.members[DIALLER], BYTES);
    for (unsigned s = 0; s < CLIENT_S && !c.over; s++)
        world_run(&w, SECONDS);
    p->complete = client_complete(&c);
    world_close(&w);
}

static int by_time(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Says how one kind met another; false when too few did. */
static bool tell_cell(const struct punch *all, unsigned n, enum kind a, enum kind b)
{
    double *ms = calloc(n + 1, sizeof *ms);
    unsigned tried = 0, made = 0, complete = 0;
    bool hard = false;
    for (unsigned i = 0; i < n; i++) {
        if (all[i].dialler != a || all[i].listener != b)
            continue;
        hard = is_hard(&all[i]);
        tried++;
        complete += all[i].complete;
        if (all[i].direct)
            ms[made++] = all[i].direct_ms;
    }
    qsort(ms, made, sizeof *ms, by_time);
    if (tried)
        printf("{\"event\":\"punch\",\"dialler\":\"%s\",\"listener\":\"%s\",\"tried\":%u,\"direct\":%u,\"median_ms\":%.0f,\"p95_ms\":%.0f,\"complete\":%u}\n",
               kind_names[a], kind_names[b], tried, made, made ? ms[made / 2] : 0.0, made ? ms[made * 95 / 100] : 0.0, complete);
    free(ms);
    return complete == tried && (hard || tried == 0 || made * 1000 >= tried * GOOD_OF_THOUSAND || tried - made <= 1);
}

static bool punches(uint64_t seed, unsigned count, FILE *rows)
{
    struct punch *all = calloc(count, sizeof *all);
    bool good = true;
    if (rows)
        fprintf(rows, "seed,dialler,listener,rtt_direct_ms,rtt_dialler_ms,rtt_listener_ms,lost,reserved,reached,reach_ms,direct,direct_ms,complete\n");
    for (unsigned i = 0; i < count && all; i++) {
        struct punch *p = &all[i];
        p->seed = seed + i;
        p->dialler = (enum kind)((seed + i) % (KINDS + 1)); /* a public one is dialled back */
        p->listener = (enum kind)((seed + i) / (KINDS + 1) % KINDS);
        punch_run(p);
        if (rows)
            fprintf(rows, "%llu,%s,%s,%u,%u,%u,%u,%d,%d,%.1f,%d,%.1f,%d\n", (unsigned long long)p->seed, kind_names[p->dialler],
                    kind_names[p->listener], p->rtt_direct_ms, p->rtt_dialler_ms, p->rtt_listener_ms, p->lost, p->reserved, p->reached,
                    p->reach_ms, p->direct, p->direct_ms, p->complete);
        if (!p->complete || (!p->direct && !is_hard(p)))
            printf("{\"event\":\"failed\",\"seed\":%llu,\"dialler\":\"%s\",\"listener\":\"%s\",\"reserved\":%d,\"reached\":%d,\"direct\":%d,\"complete\":%d}\n",
                   (unsigned long long)p->seed, kind_names[p->dialler], kind_names[p->listener], p->reserved, p->reached, p->direct, p->complete);
    }
    for (unsigned a = 0; a <= KINDS && all; a++)
        for (unsigned b = 0; b < KINDS; b++)
            good &= tell_cell(all, count, (enum kind)a, (enum kind)b);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"event\":\"punches\",\"worlds\":%u,\"cpu_s\":%.1f,\"good\":%s}\n", count,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6, good && all ? "true" : "false");
    free(all);
    return good && all;
}

int main(int n, char **at)
{
    unsigned count = 100;
    struct churn_options o = {.seed = 1, .pairs = 8, .relays = 6};
    const char *path = NULL;
    world_talks = getenv("PUNCH_TALKS") != NULL;
    for (int i = 1; i < n; i += 2) {
        struct { const char *name; unsigned *value; } numbers[] = {{"--count", &count}, {"--minutes", &o.minutes}, {"--pairs", &o.pairs},
                                                                  {"--relays", &o.relays}, {"--silent", &o.silent}};
        bool known = i + 1 < n && (strcmp(at[i], "--rows") == 0 || strcmp(at[i], "--seed") == 0);
        for (unsigned k = 0; k < sizeof numbers / sizeof *numbers && i + 1 < n; k++)
            if (strcmp(at[i], numbers[k].name) == 0) {
                *numbers[k].value = (unsigned)strtoul(at[i + 1], NULL, 10);
                known = true;
            }
        if (!known) {
            fprintf(stderr, "usage: punch [--count N] [--seed N] [--rows FILE] | --minutes N [--pairs N] [--relays N] [--silent PERMILLE] [--seed N] [--rows FILE]\n");
            return 2;
        }
        if (strcmp(at[i], "--rows") == 0)
            path = at[i + 1];
        if (strcmp(at[i], "--seed") == 0)
            o.seed = strtoull(at[i + 1], NULL, 0);
    }
    FILE *rows = path ? fopen(path, "w") : NULL;
    if (path && !rows) {
        fprintf(stderr, "punch: %s cannot be written\n", path);
        return 1;
    }
    seeded_install();
    bool good = o.minutes ? churn(&o, rows) : punches(o.seed, count, rows);
    if (rows && fclose(rows) != 0)
        good = false;
    return good ? 0 : 1;
}
