/* Datagrams of the simulated world: one network that all hosts are on, where a group reaches everybody who has joined it, the
 * sender too, and where each datagram may get lost, come twice, or overtake another. Called by process.c for the commands BIND,
 * SEND and UNBIND; the counterpart of runtime/loop/datagram.c. */
#include "sim/sim_internal.h"

#include "errors.gen.h"

#include <assert.h>

enum { INTERFACE = 1, HOPS = 255, ARRIVES_US = 3000 };

struct sim_datagram {
    struct pg_sim *sim;
    struct sim_datagram *next;
    struct pg_endpoint from, to;
    unsigned host;
    size_t len;
    bool arrived;
    uint8_t at[];
};

static bool same(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, 4) == 0;
}

static struct sim_port *find(struct pg_sim_process *p, uint32_t number)
{
    for (unsigned i = 0; i < SIM_PORTS; i++)
        if (p->ports[i].open && p->ports[i].number == number)
            return &p->ports[i];
    return NULL;
}

static bool is_group(const struct pg_endpoint *e)
{
    return (e->ip[0] & 0xf0) == 0xe0;
}

void sim_bind(struct pg_sim_process *p, uint32_t number, const struct pg_endpoint *at)
{
    struct sim_port *k = NULL;
    struct pg_endpoint own = pg_sim_endpoint(p->host, 0);
    struct pg_input in = {.kind = PG_INPUT_BIND_FAILED, .number = number, .error = PG_ERR_UNREACHABLE,
                          .reason = PG_LIT("no address of this world")};
    for (unsigned i = 0; i < SIM_PORTS && !k; i++)
        k = p->ports[i].open ? NULL : &p->ports[i];
    assert(k && !find(p, number) && "more datagram sockets than the simulator knows of");
    if (at->family != 4) {
        sim_process_feed(p, &in);
        return;
    }
    *k = (struct sim_port){.open = true, .number = number, .at = *at};
    sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_BOUND, .number = number, .local = *at});
    own.zone = INTERFACE;
    if (is_group(at))
        sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_INTERFACES, .number = number, .n_found = 1, .found = &own});
}

void sim_unbind(struct pg_sim_process *p, uint32_t number)
{
    struct sim_port *k = find(p, number);
    if (k)
        k->open = false;
}

/* A block of its own, so that the sanitizers see what is touched outside of it. */
static void deliver(struct pg_sim_process *p, const struct sim_port *k, const struct sim_datagram *d)
{
    uint8_t *block = malloc(PG_READ_HEADROOM + d->len);
    assert(block);
    memcpy(block + PG_READ_HEADROOM, d->at, d->len);
    struct pg_input in = {.kind = PG_INPUT_DATAGRAM, .number = k->number, .data = block + PG_READ_HEADROOM, .len = d->len,
                          .remote = d->from, .local = d->to, .hops = HOPS, .on_link = true};
    in.local.zone = INTERFACE;
    sim_process_feed(p, &in);
    free(block);
}

static void on_arrival(void *context, uint64_t argument)
{
    struct sim_datagram *d = context;
    struct pg_sim *s = d->sim;
    (void)argument;
    for (struct pg_sim_process *p = s->processes; p; p = p->next) {
        const struct pg_sim_path *path = pg_sim_path(s, d->host, p->host);
        struct pg_endpoint own = pg_sim_endpoint(p->host, d->to.port);
        bool open = p->running && p->frozen_until_us <= s->now_us && (path->dials == PG_SIM_OPEN || path->dials == PG_SIM_REFUSES) &&
                    path->stalled_until_us <= s->now_us;
        for (unsigned i = 0; open && p->running && i < SIM_PORTS; i++)
            if (p->ports[i].open && (same(&p->ports[i].at, &d->to) || (!is_group(&p->ports[i].at) && same(&own, &d->to))) &&
                !pg_sim_chance(s, s->rules.datagrams_lost))
                deliver(p, &p->ports[i], d);
    }
    d->arrived = true;
}

void sim_datagrams_free(struct pg_sim *s, bool all)
{
    for (struct sim_datagram **at = &s->datagrams, *d; (d = *at) != NULL;) {
        if (!all && !d->arrived) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        free(d);
    }
}

void sim_send(struct pg_sim_process *p, uint32_t number, const struct pg_endpoint *to, struct pg_bytes text)
{
    struct pg_sim *s = p->sim;
    const struct sim_port *k = find(p, number);
    sim_mix(s, text.at, text.len);
    sim_datagrams_free(s, false);
    for (unsigned n = k ? 1 + pg_sim_chance(s, s->rules.datagrams_lost) : 0; n > 0; n--) {
        struct sim_datagram *d = sim_take(sizeof *d + text.len);
        *d = (struct sim_datagram){.sim = s, .next = s->datagrams, .host = p->host,
                                   .from = pg_sim_endpoint(p->host, k->at.port), .to = *to, .len = text.len};
        d->to.zone = 0;
        memcpy(d->at, text.at, text.len);
        s->datagrams = d;
        pg_sim_at(s, s->now_us + 1 + pg_sim_below(s, ARRIVES_US), on_arrival, d, 0);
    }
}
