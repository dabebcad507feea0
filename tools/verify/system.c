/* Reads a system's listing (numbers, one item a line) from standard input, explores it and checks what it claims.
 * Called by main.c; the listing comes from gen/smc/write_system.py through verify.py.
 * Serves the files of spec/system. Prints one line when all holds. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long number(char **at)
{
    char *end;
    long value = strtol(*at, &end, 10);
    if (end == *at)
        give_up("the listing has no number where one belongs: %s", *at);
    *at = end;
    return value;
}

static unsigned below(char **at, unsigned limit)
{
    long value = number(at);
    if (value < 0 || value >= (long)limit)
        give_up("the listing has %ld where less than %u belongs", value, limit);
    return (unsigned)value;
}

static void read_condition(char **at, struct condition *c)
{
    c->n = below(at, 5);
    for (unsigned n = 0; n < c->n; n++) {
        c->any[n].n = below(at, MAX_ATOMS + 1);
        for (unsigned a = 0; a < c->any[n].n; a++) {
            struct atom *atom = &c->any[n].atoms[a];
            atom->factor = below(at, MAX_FACTORS);
            atom->kind = (enum atom_kind)below(at, 5);
            atom->value = (uint32_t)number(at);
            atom->wanted = number(at) != 0;
        }
    }
}

static void read_event(struct model *m, char *at)
{
    unsigned event = m->n_events + m->n_arrivals;
    if (event == MAX_EVENTS)
        give_up("too many events");
    for (unsigned f = 0; f < m->n_factors; f++)
        m->hears[event][f] = (int)number(&at);
    snprintf(m->events[event], sizeof m->events[0], "%s", at + 1);
}

static void read_property(struct model *m, char *at)
{
    if (m->n_properties == MAX_PROPERTIES)
        give_up("too many properties");
    struct property *p = &m->properties[m->n_properties++];
    int used = 0;
    if (sscanf(at, "%11s %u %79s %n", p->kind, &p->line, p->name, &used) != 3)
        give_up("the listing has a property that cannot be read: %s", at);
    snprintf(p->text, sizeof p->text, "%s", at + used);
}

/* Lines that belong to the property above. */
static bool read_detail(struct model *m, const char *word, char *at)
{
    struct property *p = &m->properties[m->n_properties ? m->n_properties - 1 : 0];
    if (strcmp(word, "left") == 0)
        read_condition(&at, &p->left);
    else if (strcmp(word, "right") == 0)
        read_condition(&at, &p->right);
    else if (strcmp(word, "by") == 0 && p->n_by < MAX_LIST) {
        struct cause *by = &p->by[p->n_by++];
        by->kind = (enum cause_kind)below(&at, CAUSE_BREAK);
        if (by->kind == CAUSE_TIMER) {
            by->factor = below(&at, m->n_factors);
            by->number = below(&at, m->factors[by->factor]->n_timers);
        } else
            by->event = below(&at, m->n_events + m->n_arrivals);
    } else if (strcmp(word, "with") == 0 && p->n_with < MAX_LIST)
        p->with[p->n_with++] = below(&at, m->n_events);
    else if (strcmp(word, "part") == 0 && p->n_parts < MAX_LIST) {
        p->parts[p->n_parts].factor = below(&at, m->n_factors);
        p->parts[p->n_parts++].flag = (uint32_t)number(&at);
    } else if (strcmp(word, "act") == 0) {
        unsigned factor = below(&at, m->n_factors);
        p->acts[factor] |= UINT64_C(1) << below(&at, m->factors[factor]->n_actions);
    } else if (strcmp(word, "start") == 0) {
        unsigned factor = below(&at, m->n_factors);
        p->starts[factor] |= 1u << below(&at, m->factors[factor]->n_timers);
    } else if (strcmp(word, "fact") == 0) {
        unsigned factor = below(&at, m->n_factors), fact = below(&at, m->factors[factor]->n_facts);
        p->facts[below(&at, 2)][factor] |= 1u << fact;
    } else if (strcmp(word, "count") == 0) {
        p->reached = (unsigned)number(&at);
        p->every = (unsigned)number(&at);
    } else
        return false;
    return true;
}

/* Who lives, who owns whom, and what actions do to others. */
static bool read_shape(struct model *m, const char *word, char *at)
{
    if (strcmp(word, "factor") == 0 && m->n_factors < MAX_FACTORS) {
        const char *dot = strchr(at, '.'), *kind = strchr(at, ' '); /* `second relay`: an instance with a name of its own */
        m->owner[m->n_factors] = -1;
        snprintf(m->labels[m->n_factors], sizeof m->labels[0], "%.*s", (int)strcspn(at, " "), at);
        m->factors[m->n_factors] = machine_named(kind ? kind + 1 : dot ? dot + 1 : at);
        m->side[m->n_factors] = dot && m->n_factors && strncmp(m->labels[0], at, (size_t)(dot + 1 - at)) != 0;
        if (m->factors[m->n_factors++]->n_actions > MAX_ACTIONS)
            give_up("machine %s has more than %u actions", at, MAX_ACTIONS);
    } else if (strcmp(word, "owner") == 0) {
        unsigned factor = below(&at, m->n_factors);
        m->owner[factor] = (int)below(&at, m->n_factors);
    } else if (strcmp(word, "asleep") == 0)
        m->asleep |= (uint8_t)(1u << below(&at, m->n_factors));
    else if (strcmp(word, "sum") == 0 && m->n_sums < MAX_LIST)
        m->sums[m->n_sums++] = (uint8_t)below(&at, 1u << m->n_factors);
    else if (strcmp(word, "tie") == 0 && m->n_ties < MAX_LIST) {
        struct tie *tie = &m->ties[m->n_ties++];
        tie->factor = below(&at, m->n_factors);
        tie->action = below(&at, m->factors[tie->factor]->n_actions);
        tie->to = below(&at, m->n_factors);
        tie->event = (int)number(&at);
        if (tie->event >= (int)m->factors[tie->to]->n_events)
            give_up("the listing has an event that %s does not know", m->factors[tie->to]->name);
        tie->enters = number(&at) != 0;
        read_condition(&at, &tie->when);
    } else
        return false;
    return true;
}

/* What comes from outside, and when. */
static bool read_world(struct model *m, const char *word, char *at)
{
    if (strcmp(word, "event") == 0)
        read_event(m, at), m->n_events++;
    else if (strcmp(word, "first") == 0 && m->n_first < MAX_LIST)
        m->first[m->n_first++] = below(&at, m->n_events);
    else if (strcmp(word, "may") == 0 && m->n_may < MAX_LIST) {
        m->may[m->n_may].event = below(&at, m->n_events + m->n_arrivals);
        read_condition(&at, &m->may[m->n_may++].when);
    } else if (strcmp(word, "fair") == 0 && m->n_fair < MAX_PROMISES) {
        m->fair[m->n_fair].factor = below(&at, m->n_factors);
        m->fair[m->n_fair++].timer = below(&at, 32);
    } else if (strcmp(word, "due") == 0 && m->n_fair < MAX_PROMISES) {
        m->fair[m->n_fair].outside = true;
        m->fair[m->n_fair].event = below(&at, m->n_events);
        read_condition(&at, &m->fair[m->n_fair++].when);
    } else if (strcmp(word, "arrives") == 0) {
        unsigned channel = below(&at, m->n_channels);
        for (unsigned k = 0; k < (m->channels[channel].bag ? m->n_messages : 1); k++) {
            if (m->n_fair == MAX_PROMISES)
                give_up("too many promises");
            m->fair[m->n_fair++] = (struct promise){.arrivals = true, .factor = channel, .timer = k};
        }
    } else if (strcmp(word, "given") == 0 && m->n_given < MAX_LIST) {
        m->given[m->n_given].factor = below(&at, m->n_factors);
        m->given[m->n_given].fact = (unsigned)number(&at);
        read_condition(&at, &m->given[m->n_given++].when);
    } else
        return false;
    return true;
}

/* What joins two ends. */
static bool read_channel(struct model *m, const char *word, char *at)
{
    if (strcmp(word, "arrival") == 0)
        read_event(m, at), m->n_arrivals++;
    else if (strcmp(word, "channel") == 0 && m->n_channels < MAX_CHANNELS) {
        struct channel *c = &m->channels[m->n_channels++];
        c->room = below(&at, MAX_UNDER_WAY + 1);
        unsigned order = below(&at, 3); /* kept, none, none and lossy */
        c->bag = order > 0, c->lossy = order > 1;
        c->broken_as = (int)number(&at);
        snprintf(c->name, sizeof c->name, "%s", at + 1);
    } else if (strcmp(word, "message") == 0 && m->n_messages < MAX_MESSAGES) {
        struct message *x = &m->messages[m->n_messages++];
        x->n = below(&at, sizeof x->events / sizeof *x->events + 1);
        for (unsigned n = 0; n < x->n; n++)
            x->events[n] = m->n_events + below(&at, m->n_arrivals);
    } else if (strcmp(word, "send") == 0 && m->n_sendings < MAX_LIST) {
        struct sending *s = &m->sendings[m->n_sendings++];
        s->channel = below(&at, m->n_channels);
        s->factor = below(&at, m->n_factors);
        s->action = below(&at, m->factors[s->factor]->n_actions);
        s->message = below(&at, m->n_messages);
        s->last = number(&at) != 0;
    } else if (strcmp(word, "open") == 0) {
        m->opening.side = (int)below(&at, 2);
        m->opening.factor = below(&at, m->n_factors);
        m->opening.action = below(&at, m->factors[m->opening.factor]->n_actions);
        m->opening.to = below(&at, m->n_factors);
        m->opening.event = below(&at, m->factors[m->opening.to]->n_events);
    } else
        return false;
    return true;
}

static void read_line(struct model *m, char *line)
{
    char *at = strchr(line, ' ');
    if (!at)
        give_up("the listing has an odd line: %s", line);
    *at++ = '\0';
    if (strcmp(line, "system") == 0)
        snprintf(m->name, sizeof m->name, "%s", at), m->opening.side = -1;
    else if (strcmp(line, "property") == 0)
        read_property(m, at);
    else if (!read_shape(m, line, at) && !read_world(m, line, at) && !read_channel(m, line, at) && !read_detail(m, line, at))
        give_up("the listing has a line that nobody reads, or one too many: %s %s", line, at);
}

bool model_read(struct model *m)
{
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (!*line)
            break;
        read_line(m, line);
    }
    return m->n_factors > 0;
}

static struct model *read_and_build(void)
{
    static struct model model;
    if (!model_read(&model))
        give_up("the listing is empty");
    model_build(&model);
    return &model;
}

int print_vectors(void)
{
    struct model *m = read_and_build();
    for (uint32_t c = 0; c < m->n_configs; c++) {
        const struct config *config = &m->configs[c];
        printf("vector %u", config->started);
        for (unsigned f = 0; f < m->n_factors; f++) {
            const struct factor_state *at = &config->at[f];
            printf(" %u %u", config->lives >> f & 1u, at->state);
            for (unsigned n = 0; n < m->factors[f]->n_flags; n++)
                printf(" %u", at->flags >> n & 1u);
            for (unsigned n = 0; n < m->factors[f]->n_counts; n++)
                printf(" %u", at->count[n]);
            for (unsigned n = 0; n < m->factors[f]->n_timers; n++)
                printf(" %u", at->timers >> n & 1u);
        }
        for (unsigned n = 0; n < m->n_channels; n++) {
            printf(" %u %u", config->channels[n].broken, config->channels[n].n);
            for (unsigned k = 0; k < m->channels[n].room; k++)
                printf(" %u", config->channels[n].messages[k]);
        }
        putchar('\n');
    }
    model_free(m);
    return 0;
}

int check_system(void)
{
    struct model *m = read_and_build();
    int status = 0;
    for (unsigned n = 0; n < m->n_properties; n++)
        status |= property_check(m, &m->properties[n]);
    printf("%s: %u machines, %u configurations, %u turns, %u properties%s", m->name, m->n_factors, (unsigned)m->n_configs,
           (unsigned)m->n_turns, m->n_properties, status ? ", NOT all of them hold\n" : " hold");
    for (unsigned n = 0; n < m->n_properties && !status; n++)
        if (strcmp(m->properties[n].kind, "classes") == 0)
            printf(", %u of %u classes reached and %u proved unreachable", m->properties[n].reached, m->properties[n].every,
                   m->properties[n].every - m->properties[n].reached);
    if (!status)
        putchar('\n');
    model_free(m);
    return status;
}
