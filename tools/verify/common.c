/* What all parts of the verifier use: how it gives up, which machine has a name, which conditions can be.
 * Called by verify and by mutants. Serves design section 7. */
#include "verify.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void give_up(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("verify: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

const struct pg_machine *machine_named(const char *name)
{
    for (unsigned n = 0; n < PG_MACHINES; n++)
        if (strcmp(pg_machines[n]->name, name) == 0)
            return pg_machines[n];
    give_up("no machine is named %s", name);
}

unsigned n_conditions(const struct pg_machine *m)
{
    return (unsigned)m->n_flags + m->n_facts + 2u * m->n_counts;
}

bool possible(const struct pg_machine *m, uint32_t conditions)
{
    unsigned bit = (unsigned)m->n_flags + m->n_facts;
    for (unsigned n = 0; n < m->n_counts; n++, bit += 2) {
        unsigned ends = conditions >> bit & 3u;
        bool narrow = m->count_range[n][1] - m->count_range[n][0] == 1;
        if (ends == 3 || (narrow && ends == 0))
            return false;
    }
    return true;
}
