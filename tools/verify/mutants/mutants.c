/* mutants [--machine NAME] [--sample N] [--seed S] [--jobs N] [--each] <LISTINGS: breaks every row of every machine once and counts who notices.
 * Called by tools/verify/mutants.py with the listings of all systems. Exit status 1 when too many live.
 * Serves design section 7, point 7. Every mutant is tried in a process of its own, since an assert is a way to notice. */
#include "mutants.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MUTANTS 65535u
#define MAX_SYSTEMS 128u
#define CPU_SECONDS 120u /* of one mutant */

enum verdict { UNTRIED, KILLED, EQUIVALENT, ALIVE, UNDECIDED };
enum { STATUS_EQUIVALENT = 40, STATUS_ALIVE, STATUS_KILLED };

struct result {
    unsigned char verdict;
    float seconds; /* of CPU */
    char how[80];
};

/* Between the processes. */
static struct shared {
    atomic_uint next, n_unvisited;
    struct result results[MAX_MUTANTS];
} *shared;

static struct mutant mutants[MAX_MUTANTS];
static unsigned n_mutants, n_chosen;
static unsigned chosen[MAX_MUTANTS];
static uint8_t seen[PG_MACHINES][256][32]; /* state, event: some run of a system looks there */
static struct options {
    unsigned long sample, seed, jobs;
    const char *machine; /* NULL: all */
    bool each;
} options = {.seed = 1, .jobs = 2};

/* None of their mutants may live; of the others' one in ten. */
static const char *const strict[] = {"phase", "nat", "relay", "tunnel_consumer", "tunnel_provider", "pipe", "publish", "resolve"};

static void saw(const struct pg_machine *m, unsigned state, unsigned event)
{
    seen[m->id][event][state] = 1;
}

static bool in_some_system(const struct pg_machine *m)
{
    for (unsigned n = 0; n < systems.n; n++)
        if (stands_in(m, &systems.models[n]))
            return true;
    return false;
}

static int by_size(const void *a, const void *b)
{
    const struct model *x = a, *y = b;
    return x->n_turns < y->n_turns ? -1 : x->n_turns > y->n_turns;
}

/* The systems as they are must hold; the smallest come first, since most mutants are noticed there. */
static void read_systems(void)
{
    systems.models = calloc(MAX_SYSTEMS, sizeof *systems.models);
    if (!systems.models)
        give_up("out of memory");
    model_saw_cell = saw;
    while (systems.n < MAX_SYSTEMS && model_read(&systems.models[systems.n])) {
        struct model *m = &systems.models[systems.n++];
        model_build(m);
        for (unsigned p = 0; p < m->n_properties; p++)
            if (property_check(m, &m->properties[p]))
                give_up("%s: does not hold as it is: see make verify", m->name);
    }
    model_saw_cell = NULL;
    qsort(systems.models, systems.n, sizeof *systems.models, by_size);
    for (unsigned n = 0; n < systems.n; n++)
        model_free(&systems.models[n]);
}

/* In the process of its own. */
static _Noreturn void try_one(unsigned number)
{
    struct mutant *x = &mutants[number];
    char *how = shared->results[number].how;
    size_t room = sizeof shared->results[number].how;
    struct rlimit time = {CPU_SECONDS, CPU_SECONDS}, no_core = {0, 0};
    int nowhere = open("/dev/null", O_WRONLY);
    setrlimit(RLIMIT_CPU, &time);
    setrlimit(RLIMIT_CORE, &no_core);
    dup2(nowhere, 1), dup2(nowhere, 2);
    struct tables tables = mutant_tables(x);
    tables_break(&tables);
    for (unsigned k = 0; k < n_killers; k++)
        if (killers[k].kills(x, how, room))
            _exit(STATUS_KILLED);
    tables_mend(&tables);
    how[0] = '\0';
    _exit(in_some_system(x->machine) && proved_equal(x, &tables) ? STATUS_EQUIVALENT : STATUS_ALIVE);
}

static enum verdict verdict_of(int status)
{
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
        return UNDECIDED;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_EQUIVALENT)
        return EQUIVALENT;
    return WIFEXITED(status) && WEXITSTATUS(status) == STATUS_ALIVE ? ALIVE : KILLED;
}

static float seconds_of(const struct rusage *r)
{
    return (float)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) + (float)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e6f;
}

static _Noreturn void work(void)
{
    for (;;) {
        unsigned place = atomic_fetch_add(&shared->next, 1);
        if (place >= n_chosen)
            _exit(0);
        unsigned number = chosen[place];
        const struct mutant *x = &mutants[number];
        if (in_some_system(x->machine) && !seen[x->machine->id][x->event][x->state]) {
            shared->results[number].verdict = EQUIVALENT; /* no run of any system comes here */
            atomic_fetch_add(&shared->n_unvisited, 1);
            continue;
        }
        pid_t child = fork();
        if (child == 0)
            try_one(number);
        int status = 0;
        struct rusage used;
        if (child < 0 || wait4(child, &status, 0, &used) < 0)
            give_up("cannot start a process");
        shared->results[number].verdict = (unsigned char)verdict_of(status);
        shared->results[number].seconds = seconds_of(&used);
    }
}

static uint64_t random_state;
static unsigned random_below(unsigned limit)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (unsigned)(random_state % limit);
}

static void choose(void)
{
    n_chosen = n_mutants;
    for (unsigned n = 0; n < n_mutants; n++)
        chosen[n] = n;
    if (!options.sample || options.sample >= n_mutants)
        return;
    random_state = (options.seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    n_chosen = (unsigned)options.sample;
    for (unsigned n = 0; n < n_chosen; n++) {
        unsigned other = n + random_below(n_mutants - n), kept = chosen[n];
        chosen[n] = chosen[other], chosen[other] = kept;
    }
}

static void run_all(void)
{
    pid_t workers[64];
    fflush(stdout);
    for (unsigned n = 0; n < options.jobs; n++) {
        workers[n] = fork();
        if (workers[n] == 0)
            work();
        if (workers[n] < 0)
            give_up("cannot start a process");
    }
    for (unsigned n = 0; n < options.jobs; n++) {
        int status = 0;
        if (waitpid(workers[n], &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            give_up("a worker has failed");
    }
}

static void print_one(const struct mutant *x, const struct result *r)
{
    static const char *const words[] = {"untried", "killed", "equivalent", "alive", "undecided"};
    char text[300];
    mutant_text(x, text, sizeof text);
    printf("  %s  %s%s%s  %.1f s\n", words[r->verdict], text, r->verdict == KILLED ? "  by  " : "", r->verdict == KILLED ? r->how : "",
           (double)r->seconds);
}

/* The line of one machine; whether it is good enough. */
static bool report(const struct pg_machine *m, unsigned totals[5])
{
    unsigned counts[5] = {0}, transitions = 0, tried = 0;
    float seconds = 0;
    for (unsigned n = 0; n < n_mutants; n++)
        if (mutants[n].machine == m && shared->results[n].verdict != UNTRIED) {
            counts[shared->results[n].verdict]++, tried++;
            seconds += shared->results[n].seconds;
        }
    for (unsigned n = 0; n < m->first[m->n_states * m->n_events]; n++)
        transitions += m->rows[n].verdict == PG_ON || m->rows[n].verdict == PG_REJECT;
    unsigned alive = counts[ALIVE] + counts[UNDECIDED];
    printf("%s: %u transitions, %u mutants, %u killed, %u equivalent, %u alive; %.0f s\n", m->name, transitions, tried, counts[KILLED],
           counts[EQUIVALENT], alive, (double)seconds);
    for (unsigned n = 0; n < n_mutants; n++) {
        enum verdict verdict = (enum verdict)shared->results[n].verdict;
        if (mutants[n].machine == m && (verdict == ALIVE || verdict == UNDECIDED || (options.each && verdict != UNTRIED)))
            print_one(&mutants[n], &shared->results[n]);
    }
    for (unsigned n = 0; n < 5; n++)
        totals[n] += counts[n];
    bool is_strict = false;
    for (unsigned n = 0; n < sizeof strict / sizeof *strict; n++)
        is_strict = is_strict || strcmp(strict[n], m->name) == 0;
    bool good = is_strict ? alive == 0 : alive * 10 <= counts[KILLED] + alive;
    if (!good)
        printf("  too many live: %s\n", is_strict ? "of this machine none may" : "one in ten may");
    return good;
}

static unsigned long number_of(const char *option, const char *text)
{
    char *end;
    unsigned long value = strtoul(text ? text : "", &end, 10);
    if (!text || end == text || *end)
        give_up("%s: a number belongs after it", option);
    return value;
}

int main(int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        if (strcmp(argv[n], "--each") == 0)
            options.each = true;
        else if (strcmp(argv[n], "--machine") == 0 && n + 1 < argc)
            options.machine = argv[++n];
        else if (strcmp(argv[n], "--sample") == 0)
            options.sample = number_of("--sample", argv[++n]);
        else if (strcmp(argv[n], "--seed") == 0)
            options.seed = number_of("--seed", argv[++n]);
        else if (strcmp(argv[n], "--jobs") == 0)
            options.jobs = number_of("--jobs", argv[++n]);
        else
            give_up("%s: not an option", argv[n]);
    }
    if (options.jobs < 1 || options.jobs > 64)
        give_up("--jobs: 1 to 64");
    read_systems();
    for (unsigned n = 0; n < PG_MACHINES; n++)
        if (!options.machine || strcmp(options.machine, pg_machines[n]->name) == 0)
            n_mutants += mutants_of(pg_machines[n], &mutants[n_mutants], MAX_MUTANTS - n_mutants);
    if (n_mutants == 0)
        give_up("--machine %s: there is no such machine", options.machine);
    choose();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        give_up("out of memory");
    run_all();
    unsigned totals[5] = {0};
    bool good = true;
    for (unsigned n = 0; n < PG_MACHINES; n++)
        if (!options.machine || strcmp(options.machine, pg_machines[n]->name) == 0)
            good = report(pg_machines[n], totals) && good;
    printf("%u machines in %u systems, %u of %u mutants: %u killed, %u equivalent, %u alive\n", (unsigned)PG_MACHINES, systems.n, n_chosen,
           n_mutants, totals[KILLED], totals[EQUIVALENT], totals[ALIVE] + totals[UNDECIDED]);
    printf("seed %lu; %u of the equivalent ones are in a state and event to which no run of any system comes\n", options.seed,
           (unsigned)shared->n_unvisited);
    return good ? 0 : 1;
}
