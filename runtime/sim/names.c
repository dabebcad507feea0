/* Names in the simulated world: `host1` to `host8` are its hosts, every other name is unknown. Answers take their time.
 * Called by process.c for PG_COMMAND_RESOLVE and PG_COMMAND_FORGET. */
#include "sim/sim_internal.h"

#include "errors.gen.h"

#include <assert.h>

enum { ANSWER_US = 200000, SLOW_US = 20000000 };

static void on_answer(void *context, uint64_t place)
{
    struct pg_sim_process *p = context;
    struct sim_question *q = &p->questions[place % SIM_QUESTIONS];
    if (!p->running || !q->open || q->asked != place)
        return;
    if (p->frozen_until_us > p->sim->now_us) {
        pg_sim_at(p->sim, p->frozen_until_us, on_answer, p, place);
        return;
    }
    struct pg_endpoint found = pg_sim_endpoint(q->host, 0);
    struct pg_input in = {.kind = PG_INPUT_RESOLVED, .number = q->number, .n_found = q->host < PG_SIM_HOSTS ? 1 : 0, .found = &found};
    if (in.n_found == 0) {
        in.error = PG_ERR_UNREACHABLE;
        in.reason = PG_LIT("nobody has that name");
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
    bool known = name.len == 5 && memcmp(name.at, "host", 4) == 0 && (kind == PG_RESOLVE_ADDRESSES || kind == PG_RESOLVE_IP4);
    *q = (struct sim_question){.number = number, .asked = place, .open = true, .host = known ? name.at[4] - (unsigned)'1' : PG_SIM_HOSTS};
    if (pg_sim_chance(s, s->rules.names_fail))
        q->host = PG_SIM_HOSTS;
    pg_sim_at(s, s->now_us + pg_sim_below(s, pg_sim_chance(s, s->rules.names_fail) ? SLOW_US : ANSWER_US), on_answer, p, place);
}

void sim_forget(struct pg_sim_process *p, uint32_t number)
{
    for (unsigned i = 0; i < SIM_QUESTIONS; i++)
        if (p->questions[i].open && p->questions[i].number == number)
            p->questions[i].open = false;
}
