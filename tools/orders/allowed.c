/* What the models reach: reads what verify.py has written of each system, and compares what the core measures with it.
 * Called by subjects between events, and by spy.c when a fact is asked.
 * Lines: `system NAME`, `vector NUMBERS` as `verify vectors` prints them, `given FACTOR FACT CONDITION` in the numbers of
 * gen/smc/write_system.py, `commute EVENT EVENT`, `apart EVENT MACHINE FLAG`. */
#include "orders.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEMS 128u
#define PAIRS 64u
#define GIVENS 16u
#define NUMBERS 80u

struct given {
    unsigned factor, fact, n;
    long numbers[NUMBERS];
};
static struct system {
    char name[48];
    uint64_t *set;
    uint32_t used, room;
    struct given givens[GIVENS];
    char commute[PAIRS][2][48], apart[PAIRS][3][48];
    unsigned n_givens, n_commute, n_apart;
} systems[SYSTEMS];
static unsigned n_systems;

static struct system *find(const char *name)
{
    for (unsigned n = 0; n < n_systems; n++)
        if (strcmp(systems[n].name, name) == 0)
            return &systems[n];
    return NULL;
}

static uint64_t *place(struct system *s, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash % s->room);
    while (s->set[at] && s->set[at] != hash)
        at = (at + 1) % s->room;
    return &s->set[at];
}

static void add(struct system *s, uint64_t hash)
{
    if (s->used * 2 >= s->room) {
        struct system old = *s;
        s->room = old.room ? old.room * 2 : 1024;
        s->set = calloc(s->room, sizeof *s->set);
        if (!s->set)
            abort();
        for (uint32_t n = 0; n < old.room; n++)
            if (old.set[n])
                *place(s, old.set[n]) = old.set[n];
        free(old.set);
    }
    uint64_t *at = place(s, hash);
    s->used += !*at;
    *at = hash;
}

static uint64_t hash_numbers(char *at)
{
    uint64_t hash = 1;
    for (char *end;; at = end) {
        long value = strtol(at, &end, 10);
        if (end == at)
            return hash | 1;
        hash = orders_mix(hash, (uint64_t)value);
    }
}

static bool read_line(struct system *s, const char *word, char *at)
{
    if (strcmp(word, "vector") == 0) {
        add(s, hash_numbers(at));
        return true;
    }
    if (strcmp(word, "given") == 0 && s->n_givens < GIVENS) {
        struct given *g = &s->givens[s->n_givens++];
        g->factor = (unsigned)strtol(at, &at, 10);
        g->fact = (unsigned)strtol(at, &at, 10);
        for (char *end; g->n < NUMBERS; at = end) {
            g->numbers[g->n] = strtol(at, &end, 10);
            if (end == at)
                return true;
            g->n++;
        }
        return false;
    }
    if (strcmp(word, "commute") == 0 && s->n_commute < PAIRS)
        return sscanf(at, "%47s %47s", s->commute[s->n_commute][0], s->commute[s->n_commute][1]) == 2 && ++s->n_commute;
    if (strcmp(word, "apart") == 0 && s->n_apart < PAIRS) {
        char (*a)[48] = s->apart[s->n_apart++];
        a[2][0] = 0;
        return sscanf(at, "%47s %47s %47s", a[0], a[1], a[2]) >= 2;
    }
    return false;
}

bool orders_read_allowed(const char *path)
{
    char line[2048], word[16];
    int used;
    FILE *file = fopen(path, "r");
    bool good = file != NULL;
    while (good && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s %n", word, &used) != 1)
            continue;
        if (strcmp(word, "system") == 0) {
            good = n_systems < SYSTEMS;
            if (good)
                (void)sscanf(line + used, "%47s", systems[n_systems++].name);
        } else
            good = n_systems && read_line(&systems[n_systems - 1], word, line + used);
    }
    if (file)
        fclose(file);
    return good && n_systems;
}

static void print_vector(const struct orders_group *g, char *out, size_t room)
{
    size_t used = 0;
    for (unsigned f = 0; f < g->n && used < room; f++) {
        const struct pg_instance *in = g->in[f];
        if (!in)
            continue;
        used += (size_t)snprintf(out + used, room - used, "%s%s is %s", used ? "; " : "", in->machine->name, in->machine->states[in->ctl.state]);
        for (unsigned n = 0; n < in->machine->n_flags && used < room; n++)
            if (in->ctl.flags >> n & 1u)
                used += (size_t)snprintf(out + used, room - used, " has %s", in->machine->flags[n]);
        for (unsigned n = 0; n < in->machine->n_timers && used < room; n++)
            if (pg_timer_runs(in, n))
                used += (size_t)snprintf(out + used, room - used, " runs %s", in->machine->timers[n]);
    }
}

/* As `verify vectors` writes it: of a machine that does not live all is 0. */
static uint64_t vector_of(const struct system *s, const struct orders_group *g, const struct pg_machine *const machines[])
{
    uint64_t hash = orders_mix(1, g->begun);
    (void)s;
    for (unsigned f = 0; f < g->n; f++) {
        const struct pg_machine *m = machines[f];
        const struct pg_instance *in = g->in[f];
        hash = orders_mix(hash, in != NULL);
        hash = orders_mix(hash, in ? in->ctl.state : 0u);
        for (unsigned n = 0; n < m->n_flags; n++)
            hash = orders_mix(hash, in ? in->ctl.flags >> n & 1u : 0u);
        for (unsigned n = 0; n < m->n_counts; n++)
            hash = orders_mix(hash, in ? in->ctl.count[n] : 0u);
        for (unsigned n = 0; n < m->n_timers; n++)
            hash = orders_mix(hash, in && pg_timer_runs(in, n));
    }
    return hash | 1;
}

void orders_check_group(const struct orders_group *g)
{
    char text[400] = "";
    struct system *s = find(g->system);
    if (!n_systems)
        return; /* no models were given */
    if (!s) {
        orders_fault("system %s is not among those that were read", g->system);
        return;
    }
    if (*place(s, vector_of(s, g, g->machines)))
        return;
    print_vector(g, text, sizeof text);
    orders_fault("the model of %s never comes to: %s", g->system, text);
}

/* `alternatives (atoms (factor kind value wanted)…)…` */
static bool holds(const struct orders_group *g, const struct given *given)
{
    unsigned at = 0;
    for (long ways = given->numbers[at++]; ways > 0; ways--) {
        bool all = true;
        for (long atoms = given->numbers[at++]; atoms > 0; atoms--, at += 4) {
            const long *atom = &given->numbers[at];
            const struct pg_instance *in = g->in[atom[0]];
            uint32_t bits = 0, timers = 0;
            for (unsigned n = 0; in && n < in->machine->n_timers; n++)
                timers |= (uint32_t)pg_timer_runs(in, n) << n;
            if (in)
                bits = atom[1] == 0 ? 1u << in->ctl.state : atom[1] == 1 ? in->ctl.flags : timers;
            bool is = in && (atom[1] == 3 || (bits & (uint32_t)atom[2]) != 0);
            all = all && is == (atom[3] != 0);
        }
        if (all)
            return true;
    }
    return false;
}

void orders_check_given(const struct orders_group *g, const void *self, unsigned fact)
{
    struct system *s = find(g->system);
    for (unsigned n = 0; s && n < s->n_givens; n++) {
        const struct given *given = &s->givens[n];
        const struct pg_instance *in = g->in[given->factor];
        if (in && in->self == self && given->fact == fact && !holds(g, given))
            orders_fault("%s.%s is true, where `given` of %s says that it cannot be", in->machine->name, in->machine->facts[fact], g->system);
    }
}

bool orders_commute(const char *system, const char *event, const char *other)
{
    struct system *s = find(system);
    for (unsigned n = 0; s && n < s->n_commute; n++)
        if (strcmp(s->commute[n][0], event) == 0 && strcmp(s->commute[n][1], other) == 0)
            return true;
    return false;
}

bool orders_apart(const char *system, const char *event, const char *machine, const char *flag)
{
    struct system *s = find(system);
    for (unsigned n = 0; s && n < s->n_apart; n++)
        if (strcmp(s->apart[n][0], event) == 0 && strcmp(s->apart[n][1], machine) == 0 && strcmp(s->apart[n][2], flag) == 0)
            return true;
    return false;
}
