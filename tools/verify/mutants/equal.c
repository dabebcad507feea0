/* Proves that a mutant cannot be told from the shipped table: both are walked side by side through every system that the machine
 * stands in, with the same causes and the same facts, and must do the same at every turn.
 * Called by mutants.c for what nobody has killed. Serves design section 7, point 7: nothing is excused by hand. */
#include "mutants.h"
#include <stdlib.h>
#include <string.h>

struct pair {
    struct config shipped, broken;
};

struct walk {
    struct model *model;
    const struct tables *tables;
    struct pair *pairs;
    uint32_t n, room, *hash, hash_room;
    uint32_t at; /* the pair whose turns are compared */
    bool equal;
};

static uint32_t *slot(struct walk *w, const struct pair *pair)
{
    uint32_t at = model_hash(pair, sizeof *pair) % w->hash_room;
    while (w->hash[at] && memcmp(&w->pairs[w->hash[at] - 1], pair, sizeof *pair) != 0)
        at = (at + 1) % w->hash_room;
    return &w->hash[at];
}

static void add(struct walk *w, const struct pair *pair)
{
    if (w->n == w->room) {
        w->room = w->room ? w->room * 2 : 1024;
        w->pairs = realloc(w->pairs, w->room * sizeof *w->pairs);
        free(w->hash);
        w->hash_room = w->room * 4;
        w->hash = calloc(w->hash_room, sizeof *w->hash);
        if (!w->pairs || !w->hash)
            give_up("out of memory");
        for (uint32_t n = 0; n < w->n; n++)
            *slot(w, &w->pairs[n]) = n + 1;
    }
    uint32_t *place = slot(w, pair);
    if (*place)
        return;
    w->pairs[w->n] = *pair;
    *place = ++w->n;
}

/* Control states, life, and what is under way. Flags and counts are the machine's own affair: they show in what it does later. */
static bool look_the_same(const struct model *m, const struct config *a, const struct config *b)
{
    bool same = a->lives == b->lives && a->started == b->started && memcmp(a->channels, b->channels, sizeof a->channels) == 0;
    for (unsigned f = 0; f < m->n_factors; f++)
        same = same && a->at[f].state == b->at[f].state && a->at[f].timers == b->at[f].timers;
    return same;
}

static void compare(void *context, const struct cause *cause)
{
    static struct log logs[2];
    struct walk *w = context;
    struct pair here = w->pairs[w->at];
    bool possible = model_possible(w->model, &here.shipped, cause);
    if (possible != model_possible(w->model, &here.broken, cause))
        w->equal = false;
    if (!possible || !w->equal)
        return;
    struct choices choices;
    model_begin_choices(&choices);
    do {
        struct turn turns[2];
        struct pair next;
        logs[0].n = logs[1].n = 0;
        memset(turns, 0, sizeof turns);
        memset(&next, 0, sizeof next);
        model_log(&logs[0]);
        next.shipped = model_run(w->model, &here.shipped, cause, &choices, &turns[0], NULL);
        tables_break(w->tables);
        model_log(&logs[1]);
        next.broken = model_run(w->model, &here.broken, cause, &choices, &turns[1], NULL);
        tables_mend(w->tables);
        w->equal = logs[0].n == logs[1].n && memcmp(logs[0].bytes, logs[1].bytes, logs[0].n) == 0 &&
                   memcmp(turns[0].restarted, turns[1].restarted, sizeof turns[0].restarted) == 0 &&
                   look_the_same(w->model, &next.shipped, &next.broken);
        if (w->equal)
            add(w, &next);
    } while (w->equal && model_next_choice(&choices));
    model_log(NULL);
}

bool proved_equal(const struct mutant *x, const struct tables *tables)
{
    bool equal = true;
    for (unsigned n = 0; n < systems.n && equal; n++) {
        struct walk w = {.model = &systems.models[n], .tables = tables, .equal = true};
        if (!stands_in(x->machine, w.model))
            continue;
        struct pair start;
        memset(&start, 0, sizeof start);
        start.shipped = start.broken = model_start(w.model);
        add(&w, &start);
        for (w.at = 0; w.at < w.n && w.equal; w.at++)
            model_each_cause(w.model, compare, &w);
        equal = w.equal;
        free(w.pairs);
        free(w.hash);
    }
    return equal;
}
