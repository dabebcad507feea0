/* Makes mutants: which there are, what each says in words, and its tables beside the shipped ones.
 * Called by mutants.c. Serves design section 7, point 7. */
#include "mutants.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct maker {
    struct mutant *out;
    unsigned n, room;
};

static void make(struct maker *k, struct mutant like, enum mutation kind, unsigned arg)
{
    if (k->n == k->room)
        give_up("more than %u mutants", k->room);
    like.kind = kind, like.arg = (uint8_t)arg;
    k->out[k->n++] = like;
}

/* One line of the spec may emit to any of several owners: those entries are one emit. */
static bool same_emit(const struct pg_emit *a, const struct pg_emit *b)
{
    return a->to == PG_TO_OWNER && b->to == PG_TO_OWNER &&
           strcmp(pg_machines[a->machine]->events[a->event], pg_machines[b->machine]->events[b->event]) == 0;
}

static void of_row(struct maker *k, struct mutant at, const struct pg_row *row, uint32_t care)
{
    const struct pg_machine *m = at.machine;
    for (unsigned bit = 0; bit < 32; bit++)
        if (care >> bit & 1u)
            make(k, at, BLIND, bit);
    if (row->verdict == PG_NEVER)
        return; /* a run that comes here is a fault whatever the row does then */
    for (unsigned to = 0; to < m->n_states; to++)
        if (to != row->to)
            make(k, at, MOVE, to);
    for (unsigned n = 0; n < row->n_act; n++)
        make(k, at, NO_ACT, n);
    for (unsigned n = 0; n < row->n_emit; n++)
        if (!n || !same_emit(&m->emits[row->emit + n - 1], &m->emits[row->emit + n]))
            make(k, at, NO_EMIT, n);
    for (unsigned flag = 0; flag < m->n_flags; flag++) {
        if (row->set >> flag & 1u)
            make(k, at, NO_SET, flag);
        if (row->clear >> flag & 1u)
            make(k, at, NO_CLEAR, flag);
    }
}

static void of_cell(struct maker *k, const struct pg_machine *m, unsigned state, unsigned event)
{
    const uint16_t *first = &m->first[state * m->n_events + event];
    uint32_t flipped = 0;
    for (unsigned n = first[0]; n < first[1]; n++) {
        struct mutant at = {.machine = m, .row = (uint16_t)n, .state = (uint8_t)state, .event = (uint8_t)event};
        const struct pg_row *row = &m->rows[n];
        for (unsigned bit = 0; bit < 32; bit++)
            if ((row->care & ~flipped) >> bit & 1u)
                make(k, at, FLIP, bit);
        flipped |= row->care;
        uint32_t care = row->care;
        for (unsigned other = n + 1; other < first[1]; other++)
            if (m->rows[other].line == row->line)
                care |= m->rows[other].care;
        bool again = false;
        for (unsigned other = first[0]; other < n; other++)
            again = again || m->rows[other].line == row->line;
        if (!again)
            of_row(k, at, row, care);
    }
}

unsigned mutants_of(const struct pg_machine *m, struct mutant *out, unsigned room)
{
    struct maker k = {out, 0, room};
    for (unsigned state = 0; state < m->n_states; state++)
        for (unsigned event = 0; event < m->n_events; event++)
            of_cell(&k, m, state, event);
    return k.n;
}

/* Words. */

static const char *condition_name(const struct pg_machine *m, unsigned bit, char *room, size_t size)
{
    if (bit < m->n_flags)
        return m->flags[bit];
    if (bit < (unsigned)m->n_flags + m->n_facts)
        return m->facts[bit - m->n_flags];
    unsigned end = bit - m->n_flags - m->n_facts;
    snprintf(room, size, "%s.%s", m->counts[end / 2], end % 2 ? "high" : "low");
    return room;
}

static void act_text(const struct pg_machine *m, const struct pg_act *act, char *text, size_t room)
{
    static const char *const ends[] = {"", ".start", ".stop", ".up", ".down", ".zero"};
    const char *const *names = act->kind == PG_ACT_CALL                                            ? m->actions
                               : act->kind == PG_ACT_TIMER_START || act->kind == PG_ACT_TIMER_STOP ? m->timers
                                                                                                   : m->counts;
    snprintf(text, room, "does not %s%s", names[act->arg], ends[act->kind]);
}

void mutant_text(const struct mutant *x, char *text, size_t room)
{
    const struct pg_machine *m = x->machine;
    const struct pg_row *row = &m->rows[x->row];
    char what[100], name[60];
    switch (x->kind) {
    case MOVE: snprintf(what, sizeof what, "goes to %s, not %s", m->states[x->arg], m->states[row->to]); break;
    case NO_ACT: act_text(m, &m->acts[row->act + x->arg], what, sizeof what); break;
    case NO_EMIT: {
        const struct pg_emit *emit = &m->emits[row->emit + x->arg];
        snprintf(what, sizeof what, "does not emit %s", pg_machines[emit->machine]->events[emit->event]);
        break;
    }
    case NO_SET: snprintf(what, sizeof what, "does not set %s", m->flags[x->arg]); break;
    case NO_CLEAR: snprintf(what, sizeof what, "does not clear %s", m->flags[x->arg]); break;
    case FLIP: snprintf(what, sizeof what, "takes %s for its opposite", condition_name(m, x->arg, name, sizeof name)); break;
    case BLIND: snprintf(what, sizeof what, "does not look at %s", condition_name(m, x->arg, name, sizeof name)); break;
    }
    snprintf(text, room, "spec/machine/%s.sm:%u: in %s, %s: %s", m->name, row->line, m->states[x->state], m->events[x->event], what);
}

/* Tables. */

static void *copied(const void *from, size_t n, size_t size)
{
    void *out = calloc(n ? n : 1, size);
    if (!out)
        give_up("out of memory");
    memcpy(out, from, n * size);
    return out;
}

/* A list without one of its members, and without those after it that are the same emit, at the end of the array. */
static void shorten(const struct mutant *x, struct pg_row *row, struct pg_act *acts, struct pg_emit *emits, unsigned end)
{
    unsigned kept = 0;
    if (x->kind == NO_ACT) {
        for (unsigned n = 0; n < row->n_act; n++)
            if (n != x->arg)
                acts[end + kept++] = acts[row->act + n];
        row->act = (uint16_t)end, row->n_act = (uint8_t)kept;
        return;
    }
    bool gone = false;
    for (unsigned n = 0; n < row->n_emit; n++) {
        gone = n == x->arg || (gone && n > x->arg && same_emit(&emits[row->emit + x->arg], &emits[row->emit + n]));
        if (!gone)
            emits[end + kept++] = emits[row->emit + n];
    }
    row->emit = (uint16_t)end, row->n_emit = (uint8_t)kept;
}

static void change(const struct mutant *x, struct pg_row *row)
{
    uint32_t bit = 1u << x->arg;
    switch (x->kind) {
    case MOVE: row->to = x->arg; break;
    case NO_SET: row->set &= ~bit; break;
    case NO_CLEAR: row->clear &= ~bit; break;
    case BLIND: row->care &= ~bit, row->want &= ~bit; break;
    case FLIP: row->want ^= row->care & bit; break;
    case NO_ACT:
    case NO_EMIT: break;
    }
}

/* Pieces of the mutated line first, the others behind them: where both hold, the first is taken. */
static void put_first(struct pg_row *rows, unsigned n, uint16_t line)
{
    struct pg_row *sorted = calloc(n, sizeof *sorted);
    if (!sorted)
        give_up("out of memory");
    unsigned place = 0;
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned k = 0; k < n; k++)
            if ((rows[k].line == line) == (pass == 0))
                sorted[place++] = rows[k];
    memcpy(rows, sorted, n * sizeof *rows);
    free(sorted);
}

struct tables mutant_tables(const struct mutant *x)
{
    const struct pg_machine *m = x->machine;
    const uint16_t *first = &m->first[x->state * m->n_events + x->event];
    unsigned n_rows = m->first[m->n_states * m->n_events], n_acts = 0, n_emits = 0;
    for (unsigned n = 0; n < n_rows; n++) {
        unsigned acts = (unsigned)m->rows[n].act + m->rows[n].n_act, emits = (unsigned)m->rows[n].emit + m->rows[n].n_emit;
        n_acts = acts > n_acts ? acts : n_acts;
        n_emits = emits > n_emits ? emits : n_emits;
    }
    struct pg_row *rows = copied(m->rows, n_rows, sizeof *rows);
    struct pg_act *acts = calloc((size_t)n_acts + 256, sizeof *acts);
    struct pg_emit *emits = calloc((size_t)n_emits + 256, sizeof *emits);
    if (!acts || !emits)
        give_up("out of memory");
    memcpy(acts, m->acts, n_acts * sizeof *acts);
    memcpy(emits, m->emits, n_emits * sizeof *emits);
    uint16_t line = m->rows[x->row].line;
    for (unsigned n = first[0]; n < first[1]; n++) {
        if (x->kind != FLIP && rows[n].line != line)
            continue;
        if (x->kind == NO_ACT || x->kind == NO_EMIT)
            shorten(x, &rows[n], acts, emits, x->kind == NO_ACT ? n_acts : n_emits);
        else
            change(x, &rows[n]);
    }
    if (x->kind == BLIND)
        put_first(&rows[first[0]], (unsigned)(first[1] - first[0]), line);
    /* Made writable by PG_TABLE. */
    struct tables out = {.machine = (struct pg_machine *)(uintptr_t)m, .shipped = *m, .broken = *m};
    out.broken.rows = rows, out.broken.acts = acts, out.broken.emits = emits;
    return out;
}

void tables_break(const struct tables *t)
{
    *t->machine = t->broken;
}

void tables_mend(const struct tables *t)
{
    *t->machine = t->shipped;
}
