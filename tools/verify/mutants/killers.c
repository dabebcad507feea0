/* Who may notice a mutant: the systems of spec/system with their properties, one end or two.
 * Called by mutants.c; whatever else runs the shipped tables is added to the list at the end.
 * Serves design section 7, points 2, 5 and 7. */
#include "mutants.h"
#ifndef PG_NO_CORE
#include "orders.h"
#include <string.h>
#endif
#include <stdio.h>

struct systems systems;

bool stands_in(const struct pg_machine *m, const struct model *model)
{
    for (unsigned f = 0; f < model->n_factors; f++)
        if (model->factors[f] == m)
            return true;
    return false;
}

/* A step that says never, an action that steps a dead machine and a turn that does not end finish the process on the way. */
static bool systems_kill(const struct mutant *x, char *how, size_t room)
{
    for (unsigned n = 0; n < systems.n; n++) {
        struct model *m = &systems.models[n];
        if (!stands_in(x->machine, m))
            continue;
        snprintf(how, room, "%s: a promise of the spec", m->name);
        model_build(m);
        for (unsigned p = 0; p < m->n_properties; p++) {
            snprintf(how, room, "%s: line %u", m->name, m->properties[p].line);
            if (property_check(m, &m->properties[p]))
                return true;
        }
        model_free(m);
    }
    return false;
}

#ifndef PG_NO_CORE /* a laboratory of tests has tables, and no core */
enum { ORDERS_SECONDS = 60 }; /* of one mutant and subject */

/* The real core with its data on the broken tables: nothing but what it has been told and what it then holds and orders. */
static bool orders_kill(const struct mutant *x, char *how, size_t room)
{
    for (const struct orders_subject *const *s = orders_subjects; *s; s++)
        for (const char *const *name = (*s)->machines; *name; name++) {
            if (strcmp(*name, x->machine->name) != 0)
                continue;
            snprintf(how, room, "orders of the %s", (*s)->name);
            if (orders_explore(*s, &(struct orders_limits){.depth = (*s)->depth, .seconds = ORDERS_SECONDS, .quiet = true}).failed)
                return true;
        }
    return false;
}

#endif

const struct killer killers[] = {
    {"systems", systems_kill},
#ifndef PG_NO_CORE
    {"orders", orders_kill},
#endif
};
const unsigned n_killers = sizeof killers / sizeof *killers;
