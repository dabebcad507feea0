/* verify tables | answers MACHINE | summary | system | vectors: looks at the generated tables as they ship.
 * Called by tools/verify/verify.py, which knows the spec and compares.
 * Serves design section 7; exit status 1 when something does not hold. */
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

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 3 && strcmp(what, "answers") == 0) {
        print_answers(machine_named(argv[2]));
        return 0;
    }
    if (argc == 2 && strcmp(what, "tables") == 0) {
        for (unsigned n = 0; n < PG_MACHINES; n++)
            check_tables(pg_machines[n]);
        return 0;
    }
    if (argc == 2 && strcmp(what, "summary") == 0) {
        for (unsigned n = 0; n < PG_MACHINES; n++)
            print_summary(pg_machines[n]);
        return 0;
    }
    if (argc == 2 && strcmp(what, "system") == 0)
        return check_system();
    if (argc == 2 && strcmp(what, "vectors") == 0)
        return print_vectors();
    fputs("verify tables | answers MACHINE | summary | system <LISTING | vectors <LISTING\n", stderr);
    return 2;
}
