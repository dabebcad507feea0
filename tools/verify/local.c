/* One machine on its own: is its table whole, what does it answer, and does it survive every order of its events?
 * Called by main.c. Serves design section 7, points 1 and 4; the spec's side of the comparison is in verify.py.
 * Everything is asked of the C tables and of pg_step, never of the generator. */
#include "verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ORDER 7u

static void check_row(const struct pg_machine *m, const struct pg_row *row, const char *where)
{
    if (row->want & ~row->care)
        give_up("%s %s: line %u wants what it does not look at", m->name, where, row->line);
    if (row->care >> n_conditions(m) && n_conditions(m) < 32)
        give_up("%s %s: line %u looks at a condition that does not exist", m->name, where, row->line);
    if (row->to >= m->n_states || row->verdict > PG_NEVER)
        give_up("%s %s: line %u has a wrong target or verdict", m->name, where, row->line);
    if ((row->set | row->clear) >> m->n_flags || row->set & row->clear)
        give_up("%s %s: line %u sets or clears wrong flags", m->name, where, row->line);
    for (unsigned n = 0; n < row->n_act; n++) {
        const struct pg_act *act = &m->acts[row->act + n];
        unsigned room = act->kind == PG_ACT_CALL                                                 ? m->n_actions
                        : act->kind == PG_ACT_TIMER_START || act->kind == PG_ACT_TIMER_STOP ? m->n_timers
                                                                                            : m->n_counts;
        if (act->kind > PG_ACT_COUNT_ZERO || act->arg >= room)
            give_up("%s %s: line %u has a wrong action", m->name, where, row->line);
    }
    for (unsigned n = 0; n < row->n_emit; n++) {
        const struct pg_emit *emit = &m->emits[row->emit + n];
        if (emit->machine >= PG_MACHINES || emit->event >= pg_machines[emit->machine]->n_events)
            give_up("%s %s: line %u emits to nobody", m->name, where, row->line);
    }
}

/* Every possible combination of the conditions looked at has exactly one row. */
static void check_cell(const struct pg_machine *m, unsigned state, unsigned event)
{
    const uint16_t *first = &m->first[state * m->n_events + event];
    char where[160];
    snprintf(where, sizeof where, "state %s, event %s", m->states[state], m->events[event]);
    if (first[1] <= first[0])
        give_up("%s %s: no row at all", m->name, where);
    for (unsigned n = first[0]; n < first[1]; n++)
        check_row(m, &m->rows[n], where);
    uint32_t care = pg_cares(m, state, event);
    for (uint32_t conditions = care;; conditions = (conditions - 1) & care) {
        unsigned hits = 0;
        for (unsigned n = first[0]; n < first[1]; n++)
            hits += (conditions & m->rows[n].care) == m->rows[n].want;
        bool whole = true; /* some full combination agrees with these */
        for (unsigned n = 0, bit = (unsigned)m->n_flags + m->n_facts; n < m->n_counts; n++, bit += 2) {
            unsigned looked = care >> bit & 3u, ends = conditions >> bit & 3u;
            bool narrow = m->count_range[n][1] - m->count_range[n][0] == 1;
            whole = whole && ends != 3 && !(narrow && looked == 3 && ends == 0);
        }
        if (whole && hits != 1)
            give_up("%s %s: %u rows for conditions 0x%x", m->name, where, hits, (unsigned)conditions);
        if (conditions == 0)
            return;
    }
}

void check_tables(const struct pg_machine *m)
{
    for (unsigned state = 0; state < m->n_states; state++)
        for (unsigned event = 0; event < m->n_events; event++)
            check_cell(m, state, event);
    for (unsigned timer = 0; timer < m->n_timers; timer++)
        if (m->timer_event[timer] >= m->n_events)
            give_up("%s: timer %s fires nothing", m->name, m->timers[timer]);
}

/* Answers: `state event flags counts facts = line verdict to flags counts : acts : emits`, for every control and fact. */

static void print_counts(const struct pg_machine *m, const struct pg_control *ctl)
{
    putchar(' ');
    for (unsigned n = 0; n < m->n_counts; n++)
        printf("%s%u", n ? "," : "", ctl->count[n]);
    if (!m->n_counts)
        putchar('-');
}

/* Counts go up only where the spec has proved that they may; the verifier asks everywhere. */
static bool in_range(const struct pg_machine *m, const struct pg_control *ctl, const struct pg_row *row)
{
    for (unsigned n = 0; n < row->n_act; n++) {
        const struct pg_act *act = &m->acts[row->act + n];
        if ((act->kind == PG_ACT_COUNT_UP && ctl->count[act->arg] == m->count_range[act->arg][1]) ||
            (act->kind == PG_ACT_COUNT_DOWN && ctl->count[act->arg] == m->count_range[act->arg][0]))
            return false;
    }
    return true;
}

static void print_answer(const struct pg_machine *m, const struct pg_control *ctl, unsigned event, uint32_t facts)
{
    static const char *const kinds[] = {"CALL", "TIMER_START", "TIMER_STOP", "COUNT_UP", "COUNT_DOWN", "COUNT_ZERO"};
    static const char *const to[] = {"owner", "each", "sister"};
    static const char *const verdicts[] = {"on", "ignore", "reject", "never"};
    const struct pg_row *row = pg_pick(m, ctl->state, event, pg_own_conditions(m, ctl) | facts << m->n_flags);
    printf("%u %u %u", ctl->state, event, (unsigned)ctl->flags);
    print_counts(m, ctl);
    printf(" %u = %u %s", (unsigned)facts, row->line, verdicts[row->verdict]);
    if (!in_range(m, ctl, row)) {
        puts(" beyond");
        return;
    }
    struct pg_control after = pg_commit(m, *ctl, row);
    printf(" %u %u", after.state, (unsigned)after.flags);
    print_counts(m, &after);
    fputs(" :", stdout);
    for (unsigned n = 0; n < row->n_act; n++) {
        const struct pg_act *act = &m->acts[row->act + n];
        const char *const *names = act->kind == PG_ACT_CALL                                             ? m->actions
                                   : act->kind == PG_ACT_TIMER_START || act->kind == PG_ACT_TIMER_STOP ? m->timers
                                                                                                       : m->counts;
        printf(" %s/%s", kinds[act->kind], names[act->arg]);
    }
    fputs(" :", stdout);
    for (unsigned n = 0; n < row->n_emit; n++) {
        const struct pg_emit *emit = &m->emits[row->emit + n];
        printf(" %s/%s/%s", to[emit->to], pg_machines[emit->machine]->name, pg_machines[emit->machine]->events[emit->event]);
    }
    putchar('\n');
}

/* The next combination of counts; false after the last. */
static bool next_counts(const struct pg_machine *m, struct pg_control *ctl)
{
    for (unsigned n = 0; n < m->n_counts; n++) {
        if (ctl->count[n] < m->count_range[n][1]) {
            ctl->count[n]++;
            return true;
        }
        ctl->count[n] = m->count_range[n][0];
    }
    return false;
}

void print_answers(const struct pg_machine *m)
{
    struct pg_control ctl = {0};
    for (unsigned n = 0; n < m->n_counts; n++)
        ctl.count[n] = m->count_range[n][0];
    for (unsigned state = 0; state < m->n_states; state++)
        for (unsigned event = 0; event < m->n_events; event++) {
            /* Bits that nothing looks at change nothing but are kept in the flags: one setting of them each way will do. */
            uint32_t cares = pg_cares(m, state, event);
            uint32_t flag_mask = cares & ((1u << m->n_flags) - 1), fact_mask = cares >> m->n_flags & ((1u << m->n_facts) - 1);
            for (uint32_t rest = 0; rest < 2; rest++)
                do
                    for (uint32_t flags = flag_mask;; flags = (flags - 1) & flag_mask) {
                        ctl.state = (uint8_t)state;
                        ctl.flags = flags | (rest ? ((1u << m->n_flags) - 1) & ~flag_mask : 0);
                        for (uint32_t facts = fact_mask;; facts = (facts - 1) & fact_mask) {
                            print_answer(m, &ctl, event, facts);
                            if (!facts)
                                break;
                        }
                        if (!flags)
                            break;
                    }
                while (next_counts(m, &ctl));
        }
}

/* Orders: every permutation of up to seven events from outside, through pg_step, with all facts false and all true. */

static bool facts_are;
static bool say_fact(const void *self, unsigned fact)
{
    (void)self, (void)fact;
    return facts_are;
}
static void do_nothing(void *self, unsigned action)
{
    (void)self, (void)action;
}
static uint64_t a_second(const void *self, unsigned timer)
{
    (void)self, (void)timer;
    return 1000;
}
static const struct pg_binding no_protocol = {say_fact, do_nothing, a_second};

struct orders {
    const struct pg_machine *m;
    struct pg_scope scope;
    struct pg_instance in;
    struct pg_timer timers[256];
    unsigned order[MAX_ORDER], n, run;
};

static void run_order(struct orders *o)
{
    pg_instance_end(&o->in);
    pg_instance_init(&o->in, o->m, &no_protocol, NULL, &o->scope, o->timers, NULL, 0);
    for (unsigned n = 0; n < o->n; n++) {
        uint32_t facts = facts_are ? (1u << o->m->n_facts) - 1 : 0;
        uint32_t conditions = pg_own_conditions(o->m, &o->in.ctl) | facts << o->m->n_flags;
        /* What our own side promises never to say is left out of this order. */
        if (pg_pick(o->m, o->in.ctl.state, o->order[n], conditions)->verdict == PG_NEVER)
            continue;
        pg_step(&o->in, o->order[n]);
        for (unsigned timer = 0; timer < o->m->n_timers; timer++) {
            conditions = pg_own_conditions(o->m, &o->in.ctl) | facts << o->m->n_flags;
            const struct pg_row *row = pg_pick(o->m, o->in.ctl.state, o->m->timer_event[timer], conditions);
            if (pg_timer_runs(&o->in, timer) && row->verdict == PG_NEVER)
                give_up("%s: timer %s runs in state %s, where its firing is never answered", o->m->name, o->m->timers[timer],
                        o->m->states[o->in.ctl.state]);
        }
    }
    o->run++;
}

static void permute(struct orders *o, unsigned from)
{
    if (from == o->n)
        run_order(o);
    for (unsigned n = from; n < o->n; n++) {
        unsigned kept = o->order[from];
        o->order[from] = o->order[n], o->order[n] = kept;
        permute(o, from + 1);
        o->order[n] = o->order[from], o->order[from] = kept;
    }
}

static bool is_timer(const struct pg_machine *m, unsigned event)
{
    for (unsigned timer = 0; timer < m->n_timers; timer++)
        if (m->timer_event[timer] == event)
            return true;
    return false;
}

static unsigned count_orders(const struct pg_machine *m)
{
    struct orders *o = calloc(1, sizeof *o);
    if (!o || !pg_scope_init(&o->scope, 256, 256))
        give_up("out of memory");
    o->m = m;
    pg_instance_init(&o->in, m, &no_protocol, NULL, &o->scope, o->timers, NULL, 0);
    for (unsigned event = 0; event < m->n_events && o->n < MAX_ORDER; event++)
        if (!is_timer(m, event))
            o->order[o->n++] = event;
    facts_are = false;
    permute(o, 0);
    facts_are = true;
    permute(o, 0);
    unsigned run = o->run / 2;
    pg_scope_free(&o->scope);
    free(o);
    return run;
}

void print_summary(const struct pg_machine *m)
{
    unsigned transitions = 0, n_rows = m->first[m->n_states * m->n_events];
    for (unsigned n = 0; n < n_rows; n++)
        transitions += m->rows[n].verdict == PG_ON || m->rows[n].verdict == PG_REJECT;
    printf("%s %u %u %u\n", m->name, m->n_states, transitions, count_orders(m));
}
