/* The interpreter of generated control machines: picks rows, commits state, runs actions, delivers emits, keeps timers.
 * Called by whatever owns an instance, and by tools/verify, which links this very file.
 * Serves docs/SPEC-LANGUAGE.md and design section 6; knows no protocol, no clock and no file. */
#include "machine/machine.h"
#include <assert.h>
#include "mem/heap.h"

/* Timers: a binary heap from index 1, ordered by deadline and then by start, so that equal deadlines fire in order. */

static bool earlier(const struct pg_timer *a, const struct pg_timer *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->started < b->started;
}

static void put_at(struct pg_timers *ts, uint32_t place, struct pg_timer *t)
{
    ts->heap[place] = t;
    t->place = place;
}

static void sift_up(struct pg_timers *ts, uint32_t place, struct pg_timer *t)
{
    for (; place > 1 && earlier(t, ts->heap[place / 2]); place /= 2)
        put_at(ts, place, ts->heap[place / 2]);
    put_at(ts, place, t);
}

static void sift_down(struct pg_timers *ts, uint32_t place, struct pg_timer *t)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > ts->used)
            break;
        if (child < ts->used && earlier(ts->heap[child + 1], ts->heap[child]))
            child++;
        if (!earlier(ts->heap[child], t))
            break;
        put_at(ts, place, ts->heap[child]);
        place = child;
    }
    put_at(ts, place, t);
}

static void timer_remove(struct pg_timers *ts, struct pg_timer *t)
{
    uint32_t place = t->place;
    struct pg_timer *last = ts->heap[ts->used--];
    t->place = 0;
    if (last == t)
        return;
    if (place > 1 && earlier(last, ts->heap[place / 2]))
        sift_up(ts, place, last);
    else
        sift_down(ts, place, last);
}

void pg_timer_stop(struct pg_instance *in, unsigned timer)
{
    assert(timer < in->machine->n_timers);
    if (in->timers[timer].place)
        timer_remove(&in->scope->timers, &in->timers[timer]);
}

void pg_timer_start(struct pg_instance *in, unsigned timer, uint64_t after_ms)
{
    struct pg_timers *ts = &in->scope->timers;
    pg_timer_stop(in, timer);
    assert(ts->used < ts->room && "pg_scope_init was told of fewer timers");
    struct pg_timer *t = &in->timers[timer];
    uint64_t now = in->scope->now_us;
    t->at_us = after_ms > (UINT64_MAX - now) / 1000 ? UINT64_MAX : now + after_ms * 1000;
    t->started = ++ts->starts;
    sift_up(ts, ++ts->used, t);
}

bool pg_timer_runs(const struct pg_instance *in, unsigned timer)
{
    assert(timer < in->machine->n_timers);
    return in->timers[timer].place != 0;
}

uint64_t pg_timers_next(const struct pg_scope *scope)
{
    return scope->timers.used ? scope->timers.heap[1]->at_us : UINT64_MAX;
}

void pg_timers_run(struct pg_scope *scope)
{
    struct pg_timers *ts = &scope->timers;
    /* A timer that restarts itself for now waits for the next call: each start until here fires at most once. */
    const uint64_t until = ts->starts;
    assert(scope->depth == 0);
    while (ts->used && ts->heap[1]->at_us <= scope->now_us && ts->heap[1]->started <= until) {
        struct pg_timer *t = ts->heap[1];
        timer_remove(ts, t);
        pg_step(t->in, t->in->machine->timer_event[t->number]);
    }
}

/* Scopes and instances. */

bool pg_scope_init(struct pg_scope *scope, uint32_t timers, uint32_t pending)
{
    *scope = (struct pg_scope){.queue_room = pending};
    scope->timers.room = timers;
    scope->timers.heap = pg_heap_take(((size_t)timers + 1) * sizeof(*scope->timers.heap));
    scope->queue = pg_heap_take(((size_t)pending + 1) * sizeof(*scope->queue));
    if (!scope->timers.heap || !scope->queue) {
        pg_scope_free(scope);
        return false;
    }
    return true;
}

void pg_scope_free(struct pg_scope *scope)
{
    pg_heap_give(scope->timers.heap);
    pg_heap_give(scope->queue);
    *scope = (struct pg_scope){0};
}

void pg_instance_init(struct pg_instance *in, const struct pg_machine *m, const struct pg_binding *binding, void *self,
                      struct pg_scope *scope, struct pg_timer *timers, struct pg_instance *owner, uint32_t key)
{
    *in = (struct pg_instance){
        .machine = m, .binding = binding, .self = self, .scope = scope, .owner = owner, .timers = timers, .key = key};
    in->ctl.state = m->initial;
    for (unsigned n = 0; n < m->n_counts; n++)
        in->ctl.count[n] = m->count_range[n][0];
    for (unsigned n = 0; n < m->n_timers; n++)
        timers[n] = (struct pg_timer){.in = in, .number = (uint8_t)n};
}

void pg_instance_end(struct pg_instance *in)
{
    struct pg_scope *scope = in->scope;
    assert(!in->stepping && "an instance cannot be ended by its own action: end it after the turn");
    for (unsigned n = 0; n < in->machine->n_timers; n++)
        pg_timer_stop(in, n);
    for (uint32_t n = 0; n < scope->queue_used; n++) {
        struct pg_pending *p = &scope->queue[(scope->queue_head + n) % scope->queue_room];
        if (p->in == in)
            p->in = NULL;
    }
}

/* Steps. */

uint32_t pg_own_conditions(const struct pg_machine *m, const struct pg_control *ctl)
{
    uint32_t conditions = ctl->flags;
    unsigned bit = (unsigned)m->n_flags + m->n_facts;
    for (unsigned n = 0; n < m->n_counts; n++, bit += 2) {
        if (ctl->count[n] == m->count_range[n][0])
            conditions |= 1u << bit;
        if (ctl->count[n] == m->count_range[n][1])
            conditions |= 1u << (bit + 1);
    }
    return conditions;
}

static const struct pg_row *rows_of(const struct pg_machine *m, unsigned state, unsigned event, unsigned *n)
{
    assert(state < m->n_states && event < m->n_events);
    const uint16_t *first = &m->first[state * m->n_events + event];
    *n = (unsigned)(first[1] - first[0]);
    return &m->rows[first[0]];
}

uint32_t pg_cares(const struct pg_machine *m, unsigned state, unsigned event)
{
    unsigned n;
    const struct pg_row *row = rows_of(m, state, event, &n);
    uint32_t care = 0;
    while (n--)
        care |= (row++)->care;
    return care;
}

const struct pg_row *pg_pick(const struct pg_machine *m, unsigned state, unsigned event, uint32_t conditions)
{
    unsigned n;
    const struct pg_row *row = rows_of(m, state, event, &n);
    while (n && (conditions & row->care) != row->want)
        row++, n--;
    assert(n && "a hole in a table: the generator has failed");
    return row;
}

struct pg_control pg_commit(const struct pg_machine *m, struct pg_control ctl, const struct pg_row *row)
{
    ctl.state = row->to;
    ctl.flags = (ctl.flags | row->set) & ~row->clear;
    for (unsigned n = 0; n < row->n_act; n++) {
        const struct pg_act *act = &m->acts[row->act + n];
        switch ((enum pg_act_kind)act->kind) {
        case PG_ACT_COUNT_UP:
            assert(ctl.count[act->arg] < m->count_range[act->arg][1]);
            ctl.count[act->arg]++;
            break;
        case PG_ACT_COUNT_DOWN:
            assert(ctl.count[act->arg] > m->count_range[act->arg][0]);
            ctl.count[act->arg]--;
            break;
        case PG_ACT_COUNT_ZERO: ctl.count[act->arg] = m->count_range[act->arg][0]; break;
        case PG_ACT_CALL:
        case PG_ACT_TIMER_START:
        case PG_ACT_TIMER_STOP: break;
        }
    }
    return ctl;
}

/* Own conditions and those facts that some row of the cell cares for. */
static uint32_t ask(const struct pg_instance *in, unsigned event)
{
    const struct pg_machine *m = in->machine;
    uint32_t conditions = pg_own_conditions(m, &in->ctl);
    uint32_t cares = pg_cares(m, in->ctl.state, event) >> m->n_flags;
    for (unsigned fact = 0; fact < m->n_facts; fact++)
        if (cares >> fact & 1u && in->binding->fact(in->self, fact))
            conditions |= 1u << (m->n_flags + fact);
    return conditions;
}

static void trace(struct pg_instance *in, unsigned event, uint32_t conditions, const struct pg_row *row)
{
    struct pg_scope *scope = in->scope;
    if (!scope->trace)
        return;
    struct pg_step_record record = {.now_us = scope->now_us, .machine = in->machine, .key = in->key, .conditions = conditions,
                                    .line = row->line, .event = (uint8_t)event, .from = in->ctl.state, .to = row->to,
                                    .verdict = row->verdict};
    for (unsigned n = 0; n < row->n_act; n++)
        if (in->machine->acts[row->act + n].kind == PG_ACT_CALL)
            record.n_commands++;
    scope->trace(scope, in, &record);
}

static void act(struct pg_instance *in, const struct pg_act *one)
{
    switch ((enum pg_act_kind)one->kind) {
    case PG_ACT_CALL: in->binding->act(in->self, one->arg); break;
    case PG_ACT_TIMER_START: {
        uint64_t ms = in->machine->timer_ms[one->arg];
        pg_timer_start(in, one->arg, ms ? ms : in->binding->duration_ms(in->self, one->arg));
        break;
    }
    case PG_ACT_TIMER_STOP: pg_timer_stop(in, one->arg); break;
    case PG_ACT_COUNT_UP:
    case PG_ACT_COUNT_DOWN:
    case PG_ACT_COUNT_ZERO: break; /* committed with the state */
    }
}

static void enqueue(struct pg_scope *scope, struct pg_instance *in, unsigned event)
{
    assert(scope->queue_used < scope->queue_room && "pg_scope_init was told of fewer pending events");
    uint32_t place = (scope->queue_head + scope->queue_used++) % scope->queue_room;
    scope->queue[place] = (struct pg_pending){in, (uint8_t)event};
}

static void emit(struct pg_instance *in, const struct pg_emit *e)
{
    struct pg_scope *scope = in->scope;
    switch ((enum pg_emit_to)e->to) {
    case PG_TO_OWNER:
        /* The table has one entry for each machine that may own this one. */
        if (in->owner && in->owner->machine->id == e->machine)
            enqueue(scope, in->owner, e->event);
        break;
    case PG_TO_EACH:
    case PG_TO_SISTER:
        if (!scope->next)
            break;
        for (struct pg_instance *to = scope->next(scope, e->machine, in, NULL); to; to = scope->next(scope, e->machine, in, to)) {
            enqueue(scope, to, e->event);
            if (e->to == PG_TO_SISTER)
                break;
        }
        break;
    }
}

/* One row of one instance; emits wait in the queue. */
static enum pg_verdict step_one(struct pg_instance *in, unsigned event)
{
    const struct pg_machine *m = in->machine;
    assert(event < m->n_events);
    assert(!in->stepping && "an action stepped its own machine: use pg_post");
    uint32_t conditions = ask(in, event);
    const struct pg_row *row = pg_pick(m, in->ctl.state, event, conditions);
    trace(in, event, conditions, row);
    assert(row->verdict != PG_NEVER && "an event that the spec says can never come here");
    in->last = (enum pg_verdict)row->verdict;
    in->event = (uint8_t)event;
    bool was_final = m->final >> in->ctl.state & 1u;
    in->ctl = pg_commit(m, in->ctl, row);
    in->stepping = true;
    for (unsigned n = 0; n < row->n_act; n++)
        act(in, &m->acts[row->act + n]);
    in->stepping = false;
    for (unsigned n = 0; n < row->n_emit; n++)
        emit(in, &m->emits[row->emit + n]);
    if (in->scope->finished && !was_final && m->final >> in->ctl.state & 1u)
        in->scope->finished(in->scope, in);
    return (enum pg_verdict)row->verdict;
}

enum pg_verdict pg_step(struct pg_instance *in, unsigned event)
{
    struct pg_scope *scope = in->scope; /* what is delivered may end `in` */
    scope->depth++;
    enum pg_verdict verdict = step_one(in, event);
    while (scope->depth == 1 && scope->queue_used) {
        struct pg_pending next = scope->queue[scope->queue_head];
        scope->queue_head = (scope->queue_head + 1) % scope->queue_room;
        scope->queue_used--;
        if (next.in)
            step_one(next.in, next.event);
    }
    scope->depth--;
    return verdict;
}

void pg_post(struct pg_instance *in, unsigned event)
{
    if (in->scope->depth)
        enqueue(in->scope, in, event);
    else
        pg_step(in, event);
}
