/* Breadth-first over a product: every event that the world may send, every answer that facts may give.
 * Called by system.c. Turns are made by the pg_step and the tables that ship; nothing is stepped by hand here.
 * Serves design section 7, point 2. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One product runs at a time, and pg_step's hooks have no other way to it. */
static struct {
    struct model *model;
    struct pg_scope scope;
    struct pg_instance in[MAX_FACTORS];
    struct pg_timer timers[MAX_FACTORS][256];
    struct choices *choices;
    uint32_t (*actions)[256];
    const struct config *from;
    const struct cause *cause;
    uint32_t passed[MAX_FACTORS];
    uint64_t acted[MAX_FACTORS];
    uint8_t lives, entered; /* masks of factors; entered: by this turn */
    unsigned n_ready;       /* instances that were made */
    unsigned n_steps;       /* of this turn */
    uint8_t started;
    struct under_way channels[MAX_CHANNELS];
    struct log *log;
} run;

void (*model_saw_cell)(const struct pg_machine *, unsigned state, unsigned event);

/* More than any turn takes; one that takes more goes round. */
#define MAX_STEPS 1000u

void model_log(struct log *log)
{
    run.log = log;
}

static void note(unsigned byte)
{
    if (!run.log)
        return;
    if (run.log->n == sizeof run.log->bytes)
        give_up("%s: one turn does too much to be written down", run.model->name);
    run.log->bytes[run.log->n++] = (uint8_t)byte;
}

static void *grown(void *at, size_t n, size_t size)
{
    void *out = realloc(at, n * size);
    if (!out)
        give_up("out of memory");
    return out;
}

static struct config now(void)
{
    struct config c;
    memset(&c, 0, sizeof c);
    c.started = run.started;
    memcpy(c.channels, run.channels, sizeof c.channels);
    c.lives = run.lives;
    for (unsigned f = 0; f < run.model->n_factors; f++) {
        const struct pg_instance *in = &run.in[f];
        if (!((unsigned)run.lives >> f & 1u))
            continue;
        c.at[f].state = in->ctl.state;
        c.at[f].flags = in->ctl.flags;
        memcpy(c.at[f].count, in->ctl.count, sizeof c.at[f].count);
        for (unsigned t = 0; t < in->machine->n_timers; t++)
            if (pg_timer_runs(in, t))
                c.at[f].timers |= 1u << t;
    }
    return c;
}

static uint32_t atom_bits(const struct model *model, const struct config *c, const struct atom *atom)
{
    const struct factor_state *at = &c->at[atom->factor];
    const struct pg_machine *m = model->factors[atom->factor];
    switch (atom->kind) {
    case ATOM_STATES: return 1u << at->state;
    case ATOM_FLAGS: return at->flags;
    case ATOM_TIMERS: return at->timers;
    case ATOM_COUNTS: {
        struct pg_control ctl = {0};
        memcpy(ctl.count, at->count, sizeof ctl.count);
        return pg_own_conditions(m, &ctl) >> (m->n_flags + m->n_facts);
    }
    case ATOM_LIFE: break;
    }
    return 0;
}

bool model_holds(const struct model *m, const struct condition *condition, const struct config *c)
{
    for (unsigned n = 0; n < condition->n; n++) {
        bool all = true;
        for (unsigned a = 0; a < condition->any[n].n; a++) {
            const struct atom *atom = &condition->any[n].atoms[a];
            bool lives = c->lives >> atom->factor & 1u;
            uint32_t bits = atom_bits(m, c, atom);
            bool holds = lives && (atom->kind == ATOM_LIFE || (bits & atom->value) != 0);
            all = all && holds == atom->wanted;
        }
        if (all)
            return true;
    }
    return false;
}

/* A fact is what has been chosen for this run, unless the world cannot let it be true here. */
static bool say_fact(const void *self, unsigned fact)
{
    unsigned f = (unsigned)((const struct pg_instance *)self - run.in);
    struct choices *c = run.choices;
    for (unsigned n = 0; n < run.model->n_given; n++) {
        struct config here = now();
        bool meant = run.model->given[n].factor == f && run.model->given[n].fact == fact;
        if (meant && !model_holds(run.model, &run.model->given[n].when, &here)) {
            c->denied[f] |= 1u << fact;
            return false;
        }
    }
    if (!(c->asked[f] >> fact & 1u)) {
        if (c->used == sizeof c->value / sizeof *c->value)
            give_up("one turn asks for too many facts");
        if (c->used == c->known)
            c->value[c->known++] = false;
        c->asked[f] |= 1u << fact;
        if (c->value[c->used++])
            c->said[f] |= 1u << fact;
    }
    return c->said[f] >> fact & 1u;
}

static void act(void *self, unsigned action);

static uint64_t a_second(const void *self, unsigned timer)
{
    (void)self, (void)timer;
    return 1000;
}

static struct pg_instance *sister(struct pg_scope *scope, unsigned machine, const struct pg_instance *from,
                                  struct pg_instance *after)
{
    (void)scope;
    for (unsigned f = after ? (unsigned)(after - run.in) + 1 : 0; f < run.model->n_factors; f++)
        if (run.in[f].machine->id == machine && run.model->side[f] == run.model->side[from - run.in] && (unsigned)run.lives >> f & 1u)
            return &run.in[f];
    return NULL;
}

/* `near.wait.fired` of two ends; `second.answer.fired` of the instance with that name. */
static void print_timer(const struct model *m, unsigned factor, const char *event)
{
    const char *label = m->labels[factor], *name = m->factors[factor]->name;
    size_t side = strlen(label) - (strchr(label, '.') ? strlen(name) : 0);
    bool other = !strchr(label, '.') && strcmp(label, name) != 0;
    printf("  %.*s%s%s", strchr(label, '.') || other ? (int)side : 0, label, other ? "." : "", event);
}

static void print_cause(const struct model *m, const struct cause *cause)
{
    const struct pg_machine *machine = m->factors[cause->factor];
    switch (cause->kind) {
    case CAUSE_EVENT: printf("  %s", m->events[cause->event]); break;
    case CAUSE_TIMER:
        print_timer(m, cause->factor, machine->events[machine->timer_event[cause->number]]);
        break;
    case CAUSE_ARRIVAL: printf("  %s arrives", m->events[cause->event]); break;
    case CAUSE_BREAK: printf("  the connection breaks"); break;
    case CAUSE_LOSS: printf("  %s is lost", m->events[m->messages[cause->number].events[0]]); break;
    }
}

static uint32_t find(struct model *, const struct config *);

static _Noreturn void broken_promise(void)
{
    struct turn last = {.cause = *run.cause};
    memcpy(last.asked, run.choices->asked, sizeof last.asked);
    memcpy(last.said, run.choices->said, sizeof last.said);
    model_print_path(run.model, find(run.model, run.from), &last);
    give_up("%s: a promise of the spec does not hold", run.model->name);
}

/* Called before the assert that it warns of. */
static void watch(struct pg_scope *scope, const struct pg_instance *in, const struct pg_step_record *record)
{
    (void)scope;
    unsigned f = (unsigned)(in - run.in);
    run.passed[f] |= 1u << record->to;
    if (model_saw_cell)
        model_saw_cell(in->machine, record->from, record->event);
    if (++run.n_steps > MAX_STEPS) {
        printf("%s: a turn that does not end:\n", run.model->name);
        broken_promise();
    }
    const struct pg_row *row = pg_pick(in->machine, record->from, record->event, record->conditions);
    note('s'), note(f), note(record->event), note(record->to), note(record->verdict);
    for (unsigned n = 0; n < row->n_emit; n++) {
        const struct pg_emit *emit = &in->machine->emits[row->emit + n];
        note('e'), note(emit->to), note(emit->machine), note(emit->event);
    }
    if (record->verdict != PG_NEVER)
        return;
    printf("%s: event %s comes to %s in state %s, which says never (line %u):\n", run.model->name,
           in->machine->events[record->event], run.model->labels[f], in->machine->states[record->from], record->line);
    broken_promise();
}

static const struct pg_binding binding = {say_fact, act, a_second};

static void born(unsigned f)
{
    const struct model *m = run.model;
    struct pg_instance *owner = m->owner[f] < 0 ? NULL : &run.in[m->owner[f]];
    pg_instance_init(&run.in[f], m->factors[f], &binding, &run.in[f], &run.scope, run.timers[f], owner, f);
}

/* One arm of a sum lives: the others, and what lived of this one, end with their timers. */
static void enter(unsigned f)
{
    const struct model *m = run.model;
    uint8_t ends = (uint8_t)(1u << f);
    for (unsigned n = 0; n < m->n_sums; n++)
        if (m->sums[n] >> f & 1u)
            ends |= m->sums[n];
    for (unsigned other = 0; other < m->n_factors; other++)
        if (ends & run.lives & 1u << other)
            pg_instance_end(&run.in[other]);
    run.lives = (uint8_t)((run.lives & ~ends) | 1u << f);
    run.entered |= (uint8_t)(1u << f);
    born(f);
    run.passed[f] |= 1u << run.in[f].ctl.state;
}

/* A new stream: nothing is under way, and the other side is as at first, but for what others enter. */
static void open_side(void)
{
    const struct model *m = run.model;
    memset(run.channels, 0, sizeof run.channels);
    for (unsigned f = 0; f < m->n_factors; f++) {
        if (m->side[f] != (unsigned)m->opening.side)
            continue;
        if ((unsigned)run.lives >> f & 1u)
            pg_instance_end(&run.in[f]);
        run.lives &= (uint8_t)~(1u << f);
        bool entered = false;
        for (unsigned n = 0; n < m->n_ties; n++)
            entered = entered || (m->ties[n].enters && m->ties[n].to == f);
        if (!entered)
            run.lives |= (uint8_t)(1u << f), born(f);
    }
    pg_step(&run.in[m->opening.to], m->opening.event);
}

/* Counts the action, and does to other factors what the system says of it, while the step that called it still runs. */
static void act(void *self, unsigned action)
{
    const struct model *m = run.model;
    unsigned f = (unsigned)((struct pg_instance *)self - run.in);
    run.acted[f] |= UINT64_C(1) << action;
    note('a'), note(f), note(action);
    if (run.actions)
        run.actions[f][action]++;
    if (m->opening.side >= 0 && m->opening.factor == f && m->opening.action == action)
        open_side();
    if (!channel_send(m, run.channels, f, action)) {
        printf("%s: action %s of %s finds a channel full:\n", m->name, m->factors[f]->actions[action], m->labels[f]);
        broken_promise();
    }
    for (unsigned n = 0; n < m->n_ties; n++) {
        const struct tie *tie = &m->ties[n];
        if (tie->factor != f || tie->action != action)
            continue;
        struct config here = now();
        if (tie->when.n && !model_holds(m, &tie->when, &here))
            continue;
        if (tie->enters)
            enter(tie->to);
        if (!((unsigned)run.lives >> tie->to & 1u)) {
            printf("%s: action %s of %s steps %s, which does not live:\n", m->name, m->factors[f]->actions[action],
                   m->labels[f], m->labels[tie->to]);
            broken_promise();
        }
        if (tie->event >= 0)
            pg_step(&run.in[tie->to], (unsigned)tie->event);
    }
}

static void load(struct model *m, const struct config *c)
{
    if (!run.scope.queue && !pg_scope_init(&run.scope, 256 * MAX_FACTORS, 256))
        give_up("out of memory");
    run.model = m;
    run.scope.next = sister;
    run.scope.trace = watch;
    for (unsigned f = 0; f < run.n_ready; f++)
        pg_instance_end(&run.in[f]);
    for (unsigned f = 0; f < m->n_factors; f++)
        born(f);
    run.n_ready = m->n_factors;
    run.lives = c->lives;
    run.started = c->started;
    memcpy(run.channels, c->channels, sizeof run.channels);
    run.entered = 0;
    run.n_steps = 0;
    memset(run.passed, 0, sizeof run.passed);
    memset(run.acted, 0, sizeof run.acted);
    for (unsigned f = 0; f < m->n_factors; f++) {
        if (!(c->lives >> f & 1u))
            continue;
        run.in[f].ctl = (struct pg_control){.flags = c->at[f].flags, .state = c->at[f].state};
        memcpy(run.in[f].ctl.count, c->at[f].count, sizeof run.in[f].ctl.count);
        for (unsigned t = 0; t < m->factors[f]->n_timers; t++)
            if (c->at[f].timers >> t & 1u)
                pg_timer_start(&run.in[f], t, 1000);
    }
}

struct config model_run(struct model *m, const struct config *from, const struct cause *cause, struct choices *choices,
                        struct turn *turn, uint32_t (*actions)[256])
{
    run.choices = choices, run.actions = actions, run.from = from, run.cause = cause;
    load(m, from);
    uint64_t before = run.scope.timers.starts;
    if (cause->kind == CAUSE_EVENT)
        run.started |= (uint8_t)(1u << model_side_of(m, cause->event));
    else if (cause->kind == CAUSE_ARRIVAL || cause->kind == CAUSE_LOSS)
        channel_take(m, run.channels, cause->factor, cause->number);
    else if (cause->kind == CAUSE_BREAK)
        channel_break(m, run.channels);
    else {
        struct pg_instance *in = &run.in[cause->factor];
        pg_timer_stop(in, cause->number);
        pg_step(in, in->machine->timer_event[cause->number]);
    }
    /* What is entered by this very event does not hear it. */
    bool heard = cause->kind == CAUSE_EVENT || cause->kind == CAUSE_ARRIVAL;
    for (unsigned f = 0; heard && f < m->n_factors; f++)
        if (m->hears[cause->event][f] >= 0 && (run.lives & ~(unsigned)run.entered) >> f & 1u)
            pg_step(&run.in[f], (unsigned)m->hears[cause->event][f]);
    if (turn) {
        turn->cause = *cause;
        for (unsigned f = 0; f < m->n_factors; f++)
            turn->asked[f] = choices->asked[f] | choices->denied[f];
        memcpy(turn->said, choices->said, sizeof turn->said);
        memcpy(turn->passed, run.passed, sizeof turn->passed);
        memcpy(turn->acted, run.acted, sizeof turn->acted);
        for (unsigned f = 0; f < m->n_factors; f++)
            for (unsigned t = 0; t < m->factors[f]->n_timers; t++)
                if ((unsigned)run.lives >> f & 1u && pg_timer_runs(&run.in[f], t) && run.timers[f][t].started > before)
                    turn->restarted[f] |= 1u << t;
    }
    return now();
}

void model_begin_choices(struct choices *c)
{
    memset(c, 0, sizeof *c);
}

/* Facts that were false last time become true, the last asked first; false when all have been tried. */
bool model_next_choice(struct choices *c)
{
    while (c->known && c->value[c->known - 1])
        c->known--;
    if (!c->known)
        return false;
    c->value[c->known - 1] = true;
    c->used = 0;
    memset(c->asked, 0, sizeof c->asked);
    memset(c->said, 0, sizeof c->said);
    memset(c->denied, 0, sizeof c->denied);
    return true;
}

/* Configurations by value. */

uint32_t model_hash(const void *what, size_t size)
{
    const uint8_t *at = what;
    uint32_t h = 2166136261u;
    for (size_t n = 0; n < size; n++)
        h = (h ^ at[n]) * 16777619u;
    return h;
}

static uint32_t *slot(struct model *m, const struct config *c)
{
    uint32_t place = model_hash(c, sizeof *c) & (m->hash_room - 1);
    while (m->hash[place] && memcmp(&m->configs[m->hash[place] - 1], c, sizeof *c) != 0)
        place = (place + 1) & (m->hash_room - 1);
    return &m->hash[place];
}

static uint32_t find(struct model *m, const struct config *c)
{
    return *slot(m, c) - 1;
}

static uint32_t add(struct model *m, const struct config *c, uint32_t turn)
{
    uint32_t *place = slot(m, c);
    if (*place)
        return *place - 1;
    if (m->n_configs == m->room_configs) {
        m->room_configs = m->room_configs ? m->room_configs * 2 : 1024;
        m->configs = grown(m->configs, m->room_configs, sizeof *m->configs);
        m->reached_by = grown(m->reached_by, m->room_configs, sizeof *m->reached_by);
        free(m->hash);
        m->hash_room = m->room_configs * 4;
        m->hash = calloc(m->hash_room, sizeof *m->hash);
        if (!m->hash)
            give_up("out of memory");
        for (uint32_t n = 0; n < m->n_configs; n++)
            *slot(m, &m->configs[n]) = n + 1;
        place = slot(m, c);
    }
    m->configs[m->n_configs] = *c;
    m->reached_by[m->n_configs] = turn;
    *place = ++m->n_configs;
    return m->n_configs - 1;
}

unsigned model_side_of(const struct model *m, unsigned event)
{
    unsigned f = 0;
    while (f + 1 < m->n_factors && m->hears[event][f] < 0)
        f++;
    return m->side[f];
}

bool model_possible(const struct model *m, const struct config *c, const struct cause *cause)
{
    if (cause->kind == CAUSE_TIMER)
        return (c->started >> m->side[cause->factor] & 1u) && c->at[cause->factor].timers >> cause->number & 1u;
    if (cause->kind == CAUSE_BREAK)
        return c->started && channel_may_break(m, c->channels);
    if (cause->kind == CAUSE_LOSS)
        return c->started && channel_has(&c->channels[cause->factor], cause->number);
    unsigned side = model_side_of(m, cause->event);
    bool first = false, may = true, one_begins = false;
    for (unsigned n = 0; n < m->n_first; n++) {
        first = first || m->first[n] == cause->event;
        one_begins = one_begins || model_side_of(m, m->first[n]) == side;
    }
    for (unsigned n = 0; n < m->n_may; n++)
        may = may && (m->may[n].event != cause->event || model_holds(m, &m->may[n].when, c));
    if (cause->kind == CAUSE_ARRIVAL)
        return may && (c->started >> side & 1u) && channel_brings(m, c->channels, cause);
    return may && (!one_begins || first == !(c->started >> side & 1u));
}

static void expand(struct model *m, uint32_t from, const struct cause *cause)
{
    struct config here = m->configs[from];
    if (!model_possible(m, &here, cause))
        return;
    struct choices choices;
    model_begin_choices(&choices);
    do {
        struct turn turn = {.from = from};
        struct config next = model_run(m, &here, cause, &choices, &turn, NULL);
        if (m->n_turns == m->room_turns) {
            m->room_turns = m->room_turns ? m->room_turns * 2 : 4096;
            m->turns = grown(m->turns, m->room_turns, sizeof *m->turns);
        }
        turn.to = add(m, &next, m->n_turns);
        m->turns[m->n_turns++] = turn;
    } while (model_next_choice(&choices));
}

struct config model_start(const struct model *m)
{
    struct config start;
    memset(&start, 0, sizeof start);
    /* A side without a beginning of its own has begun. */
    for (unsigned f = 0; f < m->n_factors; f++)
        start.started |= (uint8_t)(1u << m->side[f]);
    for (unsigned n = 0; n < m->n_first; n++)
        start.started &= (uint8_t)~(1u << model_side_of(m, m->first[n]));
    start.lives = (uint8_t)(((1u << m->n_factors) - 1) & ~m->asleep);
    for (unsigned f = 0; f < m->n_factors; f++) {
        if ((unsigned)m->asleep >> f & 1u)
            continue;
        start.at[f].state = m->factors[f]->initial;
        for (unsigned n = 0; n < m->factors[f]->n_counts; n++)
            start.at[f].count[n] = m->factors[f]->count_range[n][0];
    }
    return start;
}

void model_each_cause(const struct model *m, void (*take)(void *context, const struct cause *), void *context)
{
    for (unsigned event = 0; event < m->n_events; event++)
        take(context, &(struct cause){.event = event});
    for (unsigned f = 0; f < m->n_factors; f++)
        for (unsigned t = 0; t < m->factors[f]->n_timers; t++)
            take(context, &(struct cause){.kind = CAUSE_TIMER, .factor = f, .number = t});
    for (unsigned c = 0; c < m->n_channels; c++)
        for (unsigned k = 0; k < (m->channels[c].bag ? m->n_messages : 1); k++) {
            for (unsigned event = m->n_events; event < m->n_events + m->n_arrivals; event++)
                take(context, &(struct cause){.kind = CAUSE_ARRIVAL, .event = event, .factor = c, .number = k});
            if (m->channels[c].lossy && (int)k != m->channels[c].broken_as)
                take(context, &(struct cause){.kind = CAUSE_LOSS, .factor = c, .number = k});
        }
    if (m->n_channels)
        take(context, &(struct cause){.kind = CAUSE_BREAK});
}

struct expansion {
    struct model *m;
    uint32_t from;
};

static void expand_one(void *context, const struct cause *cause)
{
    const struct expansion *e = context;
    expand(e->m, e->from, cause);
}

void model_build(struct model *m)
{
    struct config start = model_start(m);
    m->hash = calloc(1, sizeof *m->hash);
    m->hash_room = 1;
    if (!m->hash)
        give_up("out of memory");
    add(m, &start, UINT32_MAX);
    for (uint32_t from = 0; from < m->n_configs; from++) {
        m->first_turn = from % 1024 ? m->first_turn : grown(m->first_turn, from + 1026, sizeof *m->first_turn);
        m->first_turn[from] = m->n_turns;
        model_each_cause(m, expand_one, &(struct expansion){m, from});
        m->first_turn[from + 1] = m->n_turns;
    }
}

void model_free(struct model *m)
{
    free(m->configs);
    free(m->turns);
    free(m->reached_by);
    free(m->first_turn);
    free(m->hash);
    m->configs = NULL, m->turns = NULL, m->reached_by = NULL, m->first_turn = NULL, m->hash = NULL;
    m->n_configs = m->n_turns = m->room_configs = m->room_turns = m->hash_room = 0;
}

/* Words for people. */

static void print_turn(const struct model *m, const struct turn *turn)
{
    print_cause(m, &turn->cause);
    for (unsigned f = 0; f < m->n_factors; f++)
        for (unsigned fact = 0; fact < m->factors[f]->n_facts; fact++)
            if (turn->asked[f] >> fact & 1u)
                printf(" %s.%s=%u", m->labels[f], m->factors[f]->facts[fact], turn->said[f] >> fact & 1u);
    putchar('\n');
}

void model_print_path(const struct model *m, uint32_t config, const struct turn *last)
{
    static uint32_t path[4096];
    unsigned n = 0;
    for (uint32_t at = config; m->reached_by[at] != UINT32_MAX && n < 4096; at = m->turns[m->reached_by[at]].from)
        path[n++] = m->reached_by[at];
    while (n)
        print_turn(m, &m->turns[path[--n]]);
    if (last)
        print_turn(m, last);
}

void model_print_config(const struct model *m, const struct config *c)
{
    for (unsigned f = 0; f < m->n_factors; f++) {
        const struct pg_machine *machine = m->factors[f];
        if (!(c->lives >> f & 1u)) {
            printf("  %s does not live\n", m->labels[f]);
            continue;
        }
        printf("  %s is %s", m->labels[f], machine->states[c->at[f].state]);
        for (unsigned n = 0; n < machine->n_flags; n++)
            if (c->at[f].flags >> n & 1u)
                printf(" has %s", machine->flags[n]);
        for (unsigned n = 0; n < machine->n_counts; n++)
            printf(" %s=%u", machine->counts[n], c->at[f].count[n]);
        for (unsigned n = 0; n < machine->n_timers; n++)
            if (c->at[f].timers >> n & 1u)
                printf(" runs %s", machine->timers[n]);
        putchar('\n');
    }
    for (unsigned n = 0; n < m->n_channels; n++) {
        printf("  %s %s", m->channels[n].name, c->channels[n].broken ? "is broken," : "");
        for (unsigned k = 0; k < c->channels[n].n; k++)
            printf(" %s", m->events[m->messages[c->channels[n].messages[k]].events[0]]);
        puts(c->channels[n].n ? " under way" : "empty");
    }
}
