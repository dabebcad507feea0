/* Judges the graph of a product: invariants, what lasts, what must happen at last, what never moves, what commutes.
 * Called by system.c. A property that fails prints the shortest list of events that shows it.
 * Serves design section 4 (the properties of .sys files) and section 7, points 2 and 4. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct model *m, const struct property *p, uint32_t config, const struct turn *last,
                const struct config *end)
{
    printf("%s: line %u does not hold: %s\n", m->name, p->line, p->text);
    model_print_path(m, config, last);
    puts("which ends in");
    model_print_config(m, end);
    return 1;
}

static int check_everywhere(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_configs; n++) {
        bool left = model_holds(m, &p->left, &m->configs[n]), right = p->right.n && model_holds(m, &p->right, &m->configs[n]);
        bool good = strcmp(p->kind, "never") == 0 ? !left : strcmp(p->kind, "iff") == 0 ? left == right : !left || right;
        if (!good)
            return fail(m, p, n, NULL, &m->configs[n]);
    }
    return 0;
}

bool turn_meant(const struct property *p, const struct turn *turn)
{
    for (unsigned f = 0; f < MAX_FACTORS; f++) {
        uint32_t wrong = (p->facts[1][f] & ~turn->said[f]) | (p->facts[0][f] & turn->said[f]);
        if (turn->asked[f] & wrong)
            return false;
    }
    return true;
}

static int check_stays(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        if (turn_meant(p, turn) && model_holds(m, &p->left, &m->configs[turn->from]) && !model_holds(m, &p->left, &m->configs[turn->to]))
            return fail(m, p, turn->from, turn, &m->configs[turn->to]);
    }
    return 0;
}

static bool same_cause(const struct cause *a, const struct cause *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == CAUSE_TIMER ? a->factor == b->factor && a->number == b->number : a->event == b->event;
}

static int check_reach(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_turns; n++)
        if (same_cause(&m->turns[n].cause, &p->by[0]) && model_holds(m, &p->left, &m->configs[m->turns[n].to]) &&
            !model_holds(m, &p->left, &m->configs[m->turns[n].from]))
            return 0;
    printf("%s: line %u does not hold, no turn does it: %s\n", m->name, p->line, p->text);
    return 1;
}

static bool caused(const struct property *p, const struct turn *turn)
{
    for (unsigned e = 0; e < p->n_by; e++)
        if (same_cause(&turn->cause, &p->by[e]))
            return true;
    return false;
}

/* A turn that a property with `from` and `when` is about. */
static bool concerned(const struct model *m, const struct property *p, const struct turn *turn)
{
    return caused(p, turn) && turn_meant(p, turn) && (!p->right.n || model_holds(m, &p->right, &m->configs[turn->from]));
}

static int check_after(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        if (concerned(m, p, turn) && !model_holds(m, &p->left, &m->configs[turn->to]))
            return fail(m, p, turn->from, turn, &m->configs[turn->to]);
    }
    return 0;
}

/* Which of the property's actions and starts a turn did: all, some, none. */
static bool does(const struct model *m, const struct property *p, const struct turn *turn, bool all)
{
    bool some = false, every = true;
    for (unsigned f = 0; f < m->n_factors; f++) {
        some = some || (turn->acted[f] & p->acts[f]) != 0 || (turn->restarted[f] & p->starts[f]) != 0;
        every = every && (p->acts[f] & ~turn->acted[f]) == 0 && (p->starts[f] & ~turn->restarted[f]) == 0;
    }
    return all ? every : some;
}

/* does: all of the actions; spares: none. */
static int check_does(const struct model *m, const struct property *p)
{
    bool wanted = strcmp(p->kind, "does") == 0;
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        if (concerned(m, p, turn) && does(m, p, turn, wanted) != wanted)
            return fail(m, p, turn->from, turn, &m->configs[turn->to]);
    }
    return 0;
}

/* Whether some `moves` line of the machine lets it go where this turn has taken it. */
static bool may_move(const struct model *m, unsigned factor, const struct turn *turn)
{
    for (unsigned n = 0; n < m->n_properties; n++) {
        const struct property *p = &m->properties[n];
        if (strcmp(p->kind, "moves") == 0 && p->left.any[0].atoms[0].factor == factor && concerned(m, p, turn) &&
            model_holds(m, &p->left, &m->configs[turn->to]))
            return true;
    }
    return false;
}

/* Of the `moves` lines of one machine the first answers for all of them. */
static bool is_first(const struct model *m, const struct property *p, unsigned factor)
{
    for (const struct property *other = m->properties; other != p; other++)
        if (strcmp(other->kind, "moves") == 0 && other->left.any[0].atoms[0].factor == factor)
            return false;
    return true;
}

/* moves: from there, these events lead there; and where a machine has such lines, nothing else changes its state. */
static int check_moves(const struct model *m, const struct property *p)
{
    unsigned factor = p->left.any[0].atoms[0].factor;
    bool first = is_first(m, p, factor);
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        const struct config *from = &m->configs[turn->from], *to = &m->configs[turn->to];
        if (concerned(m, p, turn) && !model_holds(m, &p->left, to))
            return fail(m, p, turn->from, turn, to);
        bool lives = first && from->lives & to->lives & 1u << factor;
        if (lives && from->at[factor].state != to->at[factor].state && !may_move(m, factor, turn)) {
            printf("%s: no `moves` line of %s lets it go to %s here; the first is this:\n", m->name, m->labels[factor],
                   m->factors[factor]->states[to->at[factor].state]);
            return fail(m, p, turn->from, turn, to);
        }
    }
    return 0;
}

/* entry: turns that come to the left side, but for those that the events cause, do one of the actions. */
static int check_entry(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        bool enters = !model_holds(m, &p->left, &m->configs[turn->from]) && model_holds(m, &p->left, &m->configs[turn->to]);
        if (enters && !does(m, p, turn, false) && !caused(p, turn))
            return fail(m, p, turn->from, turn, &m->configs[turn->to]);
    }
    return 0;
}

static int check_apart(const struct model *m, const struct property *p)
{
    for (uint32_t n = 0; n < m->n_turns; n++) {
        const struct turn *turn = &m->turns[n];
        for (unsigned part = 0; caused(p, turn) && part < p->n_parts; part++) {
            const struct factor_state *from = &m->configs[turn->from].at[p->parts[part].factor];
            const struct factor_state *to = &m->configs[turn->to].at[p->parts[part].factor];
            uint32_t flag = p->parts[part].flag;
            if (flag ? (from->flags ^ to->flags) & flag : (uint32_t)(memcmp(from, to, sizeof *from) != 0))
                return fail(m, p, turn->from, turn, &m->configs[turn->to]);
        }
    }
    return 0;
}

/* Whether a turn, or where it ends, has come to the one atom on the right. */
static bool meets(const struct model *m, const struct property *p, const struct turn *turn)
{
    const struct atom *atom = &p->right.any[0].atoms[0];
    return (turn->passed[atom->factor] & atom->value) != 0 || model_holds(m, &p->right, &m->configs[turn->to]);
}

/* follows: walks only where the right side has never been met; the left side must not be found there. */
static int check_follows(struct model *m, const struct property *p)
{
    uint32_t n_todo = 0, *todo = calloc(m->n_configs, sizeof *todo), *by = calloc(m->n_configs, sizeof *by);
    uint8_t *seen = calloc(m->n_configs, 1);
    if (!todo || !by || !seen)
        give_up("out of memory");
    int status = 0;
    todo[n_todo++] = 0, by[0] = UINT32_MAX, seen[0] = 1;
    for (uint32_t at = 0; at < n_todo && !status; at++) {
        uint32_t n = todo[at];
        if (model_holds(m, &p->left, &m->configs[n])) {
            uint32_t *others = m->reached_by;
            m->reached_by = by; /* the path that avoids it, not the shortest of all */
            status = fail(m, p, n, NULL, &m->configs[n]);
            m->reached_by = others;
        }
        for (uint32_t t = m->first_turn[n]; t < m->first_turn[n + 1]; t++) {
            uint32_t to = m->turns[t].to;
            if (!seen[to] && !meets(m, p, &m->turns[t]))
                seen[to] = 1, by[to] = t, todo[n_todo++] = to;
        }
    }
    free(todo);
    free(by);
    free(seen);
    return status;
}

/* Both orders from every configuration, with the same facts: the same end, and the same actions as often. */
static int check_pair(struct model *m, const struct property *p, const struct cause *a, const struct cause *b)
{
    static uint32_t actions[2][MAX_FACTORS][256];
    for (uint32_t n = 0; n < m->n_configs; n++) {
        struct config start = m->configs[n];
        if (!model_possible(m, &start, a) || !model_possible(m, &start, b))
            continue;
        struct choices choices;
        model_begin_choices(&choices);
        do {
            memset(actions, 0, sizeof actions);
            struct config after_a = model_run(m, &start, a, &choices, NULL, actions[0]);
            struct config after_b = model_run(m, &start, b, &choices, NULL, actions[1]);
            if (!model_possible(m, &after_a, b) || !model_possible(m, &after_b, a))
                continue; /* the world has only one order here */
            struct config one = model_run(m, &after_a, b, &choices, NULL, actions[0]);
            struct config other = model_run(m, &after_b, a, &choices, NULL, actions[1]);
            if (memcmp(&one, &other, sizeof one) != 0 || memcmp(actions[0], actions[1], sizeof actions[0]) != 0) {
                struct turn last = {.cause = *a};
                memcpy(last.asked, choices.asked, sizeof last.asked);
                memcpy(last.said, choices.said, sizeof last.said);
                fail(m, p, n, &last, &one);
                printf("with %s after it; the other way round it ends %s\n", m->events[b->event],
                       memcmp(&one, &other, sizeof one) ? "in" : "with other actions in");
                model_print_config(m, &other);
                return 1;
            }
        } while (model_next_choice(&choices));
    }
    return 0;
}

static int check_commute(struct model *m, const struct property *p)
{
    for (unsigned a = 0; a < p->n_by; a++)
        for (unsigned b = 0; b < p->n_with; b++)
            if (check_pair(m, p, &p->by[a], &(struct cause){.event = p->with[b]}))
                return 1;
    return 0;
}

/* leads: no fair run stays outside the goal for ever. Strongly connected parts by Tarjan, without recursion. */

struct search {
    struct model *m;
    const struct property *p;
    uint32_t *index, *low, *stack, *call, *next, *part, *members, *first;
    uint32_t n_index, n_stack, n_parts;
    uint8_t *inside; /* may be visited: outside the goal and reachable from the start */
};

static void mark(struct search *s)
{
    uint32_t n_todo = 0, *todo = s->call;
    for (uint32_t n = 0; n < s->m->n_configs; n++)
        if (model_holds(s->m, &s->p->left, &s->m->configs[n]) && !model_holds(s->m, &s->p->right, &s->m->configs[n]))
            s->inside[n] = 1, todo[n_todo++] = n;
    while (n_todo) {
        uint32_t n = todo[--n_todo];
        for (uint32_t t = s->m->first_turn[n]; t < s->m->first_turn[n + 1]; t++) {
            uint32_t to = s->m->turns[t].to;
            if (turn_meant(s->p, &s->m->turns[t]) && !s->inside[to] && !model_holds(s->m, &s->p->right, &s->m->configs[to]))
                s->inside[to] = 1, todo[n_todo++] = to;
        }
    }
}

static void enter(struct search *s, uint32_t node, uint32_t *depth)
{
    s->index[node] = s->low[node] = ++s->n_index;
    s->next[node] = s->m->first_turn[node];
    s->stack[s->n_stack++] = node;
    s->call[(*depth)++] = node;
}

static void connect(struct search *s, uint32_t root)
{
    uint32_t depth = 0;
    enter(s, root, &depth);
    while (depth) {
        uint32_t node = s->call[depth - 1];
        if (s->next[node] < s->m->first_turn[node + 1]) {
            const struct turn *turn = &s->m->turns[s->next[node]++];
            uint32_t to = turn->to;
            if (!s->inside[to] || !turn_meant(s->p, turn))
                continue;
            if (!s->index[to])
                enter(s, to, &depth);
            else if (!s->part[to] && s->index[to] < s->low[node])
                s->low[node] = s->index[to];
            continue;
        }
        depth--;
        if (depth && s->low[node] < s->low[s->call[depth - 1]])
            s->low[s->call[depth - 1]] = s->low[node];
        if (s->low[node] == s->index[node]) {
            s->n_parts++;
            uint32_t member;
            do {
                member = s->stack[--s->n_stack];
                s->part[member] = s->n_parts;
            } while (member != node);
        }
    }
}

/* The members of a part stand together in `members`, from first[part] on. */
static void gather(struct search *s)
{
    memset(s->first, 0, (s->n_parts + 2) * sizeof *s->first);
    for (uint32_t n = 0; n < s->m->n_configs; n++)
        if (s->part[n])
            s->first[s->part[n] + 1]++;
    for (uint32_t part = 1; part <= s->n_parts + 1; part++)
        s->first[part] += s->first[part - 1];
    uint32_t *at = s->call; /* free again */
    memcpy(at, s->first, (s->n_parts + 1) * sizeof *at);
    for (uint32_t n = 0; n < s->m->n_configs; n++)
        if (s->part[n])
            s->members[at[s->part[n]]++] = n;
}

/* Whether a promise is due in a configuration: a timer runs, or a message is under way. */
static bool is_due(const struct model *m, const struct config *c, const struct promise *fair)
{
    if (fair->outside)
        return model_holds(m, &fair->when, c);
    if (fair->arrivals)
        return m->channels[fair->factor].bag ? channel_has(&c->channels[fair->factor], fair->timer) : c->channels[fair->factor].n > 0;
    return c->at[fair->factor].timers >> fair->timer & 1u;
}

static bool keeps(const struct turn *turn, const struct promise *fair)
{
    const struct cause *cause = &turn->cause;
    if (fair->outside)
        return cause->kind == CAUSE_EVENT && cause->event == fair->event;
    if (fair->arrivals)
        return (cause->kind == CAUSE_ARRIVAL || cause->kind == CAUSE_LOSS) && cause->factor == fair->factor && cause->number == fair->timer;
    return (cause->kind == CAUSE_TIMER && cause->factor == fair->factor && cause->number == fair->timer) ||
           turn->restarted[fair->factor] >> fair->timer & 1u;
}

/* A promise breaks a part when it is due everywhere in it, and is kept, or made anew, only out of it. */
static bool broken_by(const struct search *s, uint32_t part, const struct promise *fair)
{
    for (uint32_t k = s->first[part]; k < s->first[part + 1]; k++) {
        uint32_t n = s->members[k];
        if (!is_due(s->m, &s->m->configs[n], fair))
            return false;
        for (uint32_t t = s->m->first_turn[n]; t < s->m->first_turn[n + 1]; t++) {
            const struct turn *turn = &s->m->turns[t];
            if (turn_meant(s->p, turn) && s->part[turn->to] == part && keeps(turn, fair))
                return false;
        }
    }
    return true;
}

static bool has_cycle(const struct search *s, uint32_t part)
{
    for (uint32_t k = s->first[part]; k < s->first[part + 1]; k++) {
        uint32_t n = s->members[k];
        for (uint32_t t = s->m->first_turn[n]; t < s->m->first_turn[n + 1]; t++)
            if (s->part[s->m->turns[t].to] == part && turn_meant(s->p, &s->m->turns[t]))
                return true;
    }
    return false;
}

/* A run that has begun may also stop for ever where nothing that is promised is due: the world need not do more. */
static bool may_rest(const struct search *s, uint32_t n)
{
    for (unsigned f = 0; f < s->m->n_factors; f++)
        if (!((unsigned)s->m->configs[n].started >> s->m->side[f] & 1u))
            return false;
    for (unsigned f = 0; f < s->m->n_fair; f++)
        if (is_due(s->m, &s->m->configs[n], &s->m->fair[f]))
            return false;
    return true;
}

static int check_leads(struct model *m, const struct property *p)
{
    size_t n = m->n_configs;
    struct search s = {.m = m, .p = p};
    uint32_t *room = calloc(8 * n + 4, sizeof *room);
    s.inside = calloc(n, 1);
    if (!room || !s.inside)
        give_up("out of memory");
    s.index = room, s.low = room + n, s.stack = room + 2 * n, s.next = room + 3 * n, s.part = room + 4 * n, s.members = room + 5 * n;
    s.first = room + 6 * n, s.call = room + 7 * n + 2;
    mark(&s);
    for (uint32_t c = 0; c < n; c++)
        if (s.inside[c] && !s.index[c])
            connect(&s, c);
    gather(&s);
    int status = 0;
    for (uint32_t part = 1; part <= s.n_parts && !status; part++) {
        uint32_t member = s.members[s.first[part]];
        bool ends = !has_cycle(&s, part);
        for (unsigned f = 0; f < m->n_fair && !ends; f++)
            ends = broken_by(&s, part, &m->fair[f]);
        const char *why = "from where it can go round for ever, although what is promised comes";
        for (uint32_t k = s.first[part]; k < s.first[part + 1] && ends; k++)
            if (may_rest(&s, s.members[k]))
                ends = false, member = s.members[k], why = "where nothing that is promised is due, and it may stay for ever";
        if (!ends) {
            status = fail(m, p, member, NULL, &m->configs[member]);
            puts(why);
        }
    }
    free(room);
    free(s.inside);
    return status;
}

/* classes: combinations of the states' shown names. */
static int check_classes(struct model *m, const struct property *p)
{
    unsigned n_seen = 0;
    uint32_t *seen = calloc(p->every + 1, sizeof *seen);
    if (!seen)
        give_up("out of memory");
    for (uint32_t c = 0; c < m->n_configs; c++) {
        bool known = false;
        for (unsigned s = 0; s < n_seen && !known; s++) {
            known = true;
            for (unsigned part = 0; part < p->n_parts; part++) {
                unsigned f = p->parts[part].factor;
                known = known && strcmp(m->factors[f]->states_as[m->configs[c].at[f].state],
                                        m->factors[f]->states_as[m->configs[seen[s]].at[f].state]) == 0;
            }
        }
        if (!known && n_seen < p->every)
            seen[n_seen++] = c;
    }
    free(seen);
    if (n_seen == p->reached)
        return 0;
    printf("%s: line %u does not hold, %u of %u are reached: %s\n", m->name, p->line, n_seen, p->every, p->text);
    return 1;
}

int property_check(struct model *m, const struct property *p)
{
    if (strcmp(p->kind, "stays") == 0)
        return check_stays(m, p);
    if (strcmp(p->kind, "leads") == 0)
        return check_leads(m, p);
    if (strcmp(p->kind, "reach") == 0)
        return check_reach(m, p);
    if (strcmp(p->kind, "follows") == 0)
        return check_follows(m, p);
    if (strcmp(p->kind, "after") == 0)
        return check_after(m, p);
    if (strcmp(p->kind, "does") == 0 || strcmp(p->kind, "spares") == 0)
        return check_does(m, p);
    if (strcmp(p->kind, "moves") == 0)
        return check_moves(m, p);
    if (strcmp(p->kind, "entry") == 0)
        return check_entry(m, p);
    if (strcmp(p->kind, "apart") == 0)
        return check_apart(m, p);
    if (strcmp(p->kind, "commute") == 0)
        return check_commute(m, p);
    if (strcmp(p->kind, "classes") == 0)
        return check_classes(m, p);
    return check_everywhere(m, p);
}
