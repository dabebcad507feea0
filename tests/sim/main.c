/* The simulator: scenarios from seeds, in as many processes as asked for. `make sim` and tests/sim/sim_test.py run it.
 *   sim [--seed N] [--count N] [--jobs N] [--plant NAME] [--tell]
 * A seed that fails is printed with what failed and with the command that plays it again; exit status 1 then. */
#include "plant.h"
#include "scene.h"
#include "seeded.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct arguments {
    uint64_t seed;
    unsigned long count, jobs;
    const char *plant;
    bool tell, traces;
};

struct sums {
    unsigned long scenarios, failed, talks, completed, strict, faults, reloads, relayed, switched;
    uint64_t bytes;
};

static int usage(void)
{
    fprintf(stderr, "usage: sim [--seed N] [--count N] [--jobs N] [--traces] [--tell] [--plant NAME]\n"
                    "  --traces  prints the hash of everything that happened, for each seed\n"
                    "  --tell    prints every input and command of every peer\n"
                    "  --plant   with a fault planted, to see whether it is found:%s\n", plant_names());
    return 2;
}

static bool parse(struct arguments *a, int n, char **at)
{
    for (int i = 1; i < n; i++) {
        char *end = "";
        const char *name = at[i], *value = i + 1 < n ? at[i + 1] : NULL;
        if (strcmp(name, "--tell") == 0) {
            a->tell = true;
            continue;
        }
        if (strcmp(name, "--traces") == 0) {
            a->traces = true;
            continue;
        }
        if (!value)
            return false;
        i++;
        if (strcmp(name, "--plant") == 0)
            a->plant = value;
        else if (strcmp(name, "--seed") == 0)
            a->seed = strtoull(value, &end, 0);
        else if (strcmp(name, "--count") == 0)
            a->count = strtoul(value, &end, 10);
        else if (strcmp(name, "--jobs") == 0)
            a->jobs = strtoul(value, &end, 10);
        else
            return false;
        if (*end)
            return false;
    }
    return a->jobs > 0;
}

/* Every jobs-th seed, from the job's own number. */
static void work(const struct arguments *a, unsigned long job, struct sums *sums)
{
    struct scene_result r;
    for (unsigned long i = job; i < a->count; i += a->jobs) {
        uint64_t seed = a->seed + i;
        plant_begin(a->plant);
        bool good = scene_run(seed, a->tell ? STDOUT_FILENO : -1, &r);
        sums->scenarios++;
        sums->failed += !good;
        sums->talks += r.talks;
        sums->completed += r.completed;
        sums->strict += r.strict;
        sums->faults += r.faults;
        sums->reloads += r.reloads;
        sums->relayed += r.relayed;
        sums->switched += r.switched;
        sums->bytes += r.bytes;
        if (a->traces)
            printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, r.trace);
        if (!good)
            printf("FAILED seed %" PRIu64 ": %s\n  %u peers, %u clients; %s\n  again: build/sim --seed %" PRIu64 " --count 1%s%s\n", seed, r.failure,
                   r.peers, r.talks, r.story[0] ? r.story : "no faults", seed, a->plant ? " --plant " : "", a->plant ? a->plant : "");
        fflush(stdout);
    }
}

static bool in_processes(const struct arguments *a, struct sums *sums)
{
    int ends[2];
    bool good = true;
    if (pipe(ends) != 0)
        return false;
    for (unsigned long job = 0; job < a->jobs; job++) {
        pid_t child = fork();
        if (child < 0)
            return false;
        if (child == 0) {
            struct sums own = {0};
            work(a, job, &own);
            fflush(stdout);
            _exit(write(ends[1], &own, sizeof own) == (ssize_t)sizeof own ? 0 : 1);
        }
    }
    for (unsigned long job = 0; job < a->jobs; job++) {
        int status = 0;
        if (wait(&status) < 0 || status != 0) {
            printf("FAILED: a process of the simulator ended with status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
            good = false;
            continue;
        }
        struct sums one;
        if (read(ends[0], &one, sizeof one) != (ssize_t)sizeof one)
            return false;
        sums->scenarios += one.scenarios;
        sums->failed += one.failed;
        sums->talks += one.talks;
        sums->completed += one.completed;
        sums->strict += one.strict;
        sums->faults += one.faults;
        sums->reloads += one.reloads;
        sums->relayed += one.relayed;
        sums->switched += one.switched;
        sums->bytes += one.bytes;
    }
    return good;
}

int main(int n, char **at)
{
    struct arguments a = {.seed = 1, .count = 1000, .jobs = 1};
    struct sums sums = {0};
    if (!parse(&a, n, at) || (a.plant && !plant_begin(a.plant)))
        return usage();
    seeded_install();
    bool good = true;
    if (a.jobs > 1)
        good = in_processes(&a, &sums);
    else
        work(&a, 0, &sums);
    printf("%lu scenarios, %lu failed; %lu clients, %lu complete, %lu of them had to be, %lu faults, %lu reloads, %lu over circuits, "
           "%lu of them while the direct connection came, %" PRIu64 " bytes checked\n", sums.scenarios, sums.failed,
           sums.talks, sums.completed, sums.strict, sums.faults, sums.reloads, sums.relayed, sums.switched, sums.bytes);
    return good && sums.failed == 0 && sums.scenarios == a.count ? 0 : 1;
}
