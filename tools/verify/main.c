/* verify tables | answers MACHINE | summary | system | vectors: looks at the generated tables as they ship.
 * Called by tools/verify/verify.py, which knows the spec and compares.
 * Serves design section 7; exit status 1 when something does not hold. */
#include "verify.h"
#include <stdio.h>
#include <string.h>

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
