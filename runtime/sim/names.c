/* Names in the simulated world. Answers take their time, fail, come late or are another name's, as the rules say.
 * Called by process.c for PG_COMMAND_RESOLVE and PG_COMMAND_FORGET, and for links that lead to a name. */
#include "sim/sim_internal.h"

#include "errors.gen.h"

#include <assert.h>

enum { ANSWER_US = 200000, SLOW_US = 20000000, TEXTS_MOST = 8 };

void pg_sim_record(struct pg_sim *s, const char *name, const char *text)
{
    struct sim_record *r = sim_take(sizeof *r), **end = &s->records;
    *r = (struct sim_record){.name = name, .text = text};
    while (*end)
        end = &(*end)->next;
    *end = r;
}

static uint64_t wait_us(struct pg_sim *s)
{
    return pg_sim_below(s, pg_sim_chance(s, s->rules.names_late) ? SLOW_US : ANSWER_US);
}

/* False: nobody has that name. */
static bool address(struct pg_sim *s, const char *name, struct pg_endpoint *out)
{
    if (pg_sim_chance(s, s->rules.names_fail))
        return false;
    if (pg_sim_chance(s, s->rules.names_wrong)) {
        *out = pg_sim_endpoint(pg_sim_below(s, PG_SIM_HOSTS), 0);
        return true;
    }
    if (strcmp(name, "loopback") == 0) {
        *out = pg_sim_loopback(0);
        return true;
    }
    if (strlen(name) != 5 || memcmp(name, "host", 4) != 0 || name[4] < '1' || name[4] > '0' + (int)PG_SIM_HOSTS)
        return false;
    *out = pg_sim_endpoint((unsigned)(name[4] - '1'), 0);
    return true;
}

static uint32_t texts(struct pg_sim *s, const char *name, struct pg_bytes out[TEXTS_MOST])
{
    uint32_t n = 0;
    bool wrong = pg_sim_chance(s, s->rules.names_wrong);
    if (pg_sim_chance(s, s->rules.names_fail))
        return 0;
    for (const struct sim_record *r = s->records; r && n < TEXTS_MOST; r = r->next)
        if ((strcmp(r->name, name) == 0) != wrong)
            out[n++] = pg_text(r->text);
    return n;
}

static void on_answer(void *context, uint64_t place)
{
    struct pg_sim_process *p = context;
    struct sim_question *q = &p->questions[place % SIM_QUESTIONS];
    struct pg_bytes found_texts[TEXTS_MOST];
    struct pg_endpoint found;
    if (!p->running || !q->open || q->asked != place)
        return;
    if (p->frozen_until_us > p->sim->now_us) {
        pg_sim_at(p->sim, p->frozen_until_us, on_answer, p, place);
        return;
    }
    struct pg_input in = {.kind = PG_INPUT_RESOLVED, .number = q->number, .found = &found, .texts = found_texts};
    if (q->kind == PG_RESOLVE_TEXTS)
        in.n_found = texts(p->sim, q->name, found_texts);
    else if (q->kind != PG_RESOLVE_IP6)
        in.n_found = address(p->sim, q->name, &found);
    if (in.n_found == 0) {
        in.error = PG_ERR_UNREACHABLE;
        in.reason = PG_LIT("there is no such name");
    }
    q->open = false;
    sim_process_feed(p, &in);
}

void sim_resolve(struct pg_sim_process *p, uint32_t number, uint8_t kind, struct pg_bytes name)
{
    struct pg_sim *s = p->sim;
    uint64_t place = ++p->asked; /* in a ring: the slot's question is of that number, or a later one */
    struct sim_question *q = &p->questions[place % SIM_QUESTIONS];
    assert(!q->open && "more names are asked for at once than the simulator knows of");
    *q = (struct sim_question){.number = number, .asked = place, .kind = kind, .open = true};
    pg_bytes_text(q->name, sizeof q->name, name);
    pg_sim_at(s, s->now_us + wait_us(s), on_answer, p, place);
}

void sim_forget(struct pg_sim_process *p, uint32_t number)
{
    for (unsigned i = 0; i < SIM_QUESTIONS; i++)
        if (p->questions[i].open && p->questions[i].number == number)
            p->questions[i].open = false;
}

/* Links: the address is looked up at once, and told when the time has come. */

static void on_named(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    struct pg_sim_process *p = k->process;
    (void)argument;
    if (!p->running || !k->link || !k->resolving)
        return;
    if (p->frozen_until_us > k->sim->now_us) {
        pg_sim_at(k->sim, p->frozen_until_us, on_named, k, 0);
        return;
    }
    sim_named(k, k->remote.family ? &k->remote : NULL);
}

void sim_resolve_link(struct pg_sim_socket *k, struct pg_bytes host)
{
    struct pg_sim *s = k->sim;
    char name[SIM_NAME];
    struct pg_endpoint found;
    uint16_t port = k->remote.port;
    pg_bytes_text(name, sizeof name, host);
    k->resolving = true;
    if (address(s, name, &found)) {
        k->remote = found;
        k->remote.port = port;
    }
    pg_sim_at(s, s->now_us + wait_us(s), on_named, k, 0);
}
