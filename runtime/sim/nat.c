/* Routers of the simulated wide-area network: what they make of a TCP connection's first packets, in both directions, and how long they
 * remember it. Called by network.c. Source: RFC 4787 sections 4.1 (mapping), 4.3 (timer) and 5 (filtering), which RFC 5382 sections 4.1 to 5
 * takes over for TCP; a SYN from outside for which nothing is open is dropped without a word, section 4.3 there. */
#include "sim/sim_internal.h"

#include <assert.h>

enum { WAN_FIRST = 11, PORTS_LEAST = 1024, ALLOWED = 32, GENERATIONS = 8 };

struct sim_mapping {
    struct sim_mapping *next;
    uint16_t inner, outer;
    struct pg_endpoint to;               /* BY_ADDRESS, BY_PORT: whom it is for */
    struct pg_endpoint allowed[ALLOWED]; /* whom something was sent to: a ring */
    unsigned n_allowed;
    uint64_t used_us;
};

struct sim_router {
    struct pg_sim_nat is;
    struct sim_mapping *mappings;
    unsigned generation; /* of its address */
};

void pg_sim_wan(struct pg_sim *s)
{
    assert(s->n_sockets == 0);
    s->routers = sim_take(s->n_hosts * sizeof *s->routers);
}

static void forget(struct sim_router *r)
{
    for (struct sim_mapping *m = r->mappings, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    r->mappings = NULL;
}

void sim_nat_free(struct pg_sim *s)
{
    for (unsigned i = 0; s->routers && i < s->n_hosts; i++)
        if (s->routers[i]) {
            forget(s->routers[i]);
            free(s->routers[i]);
        }
    free(s->routers);
}

void pg_sim_router(struct pg_sim *s, unsigned host, const struct pg_sim_nat *nat)
{
    assert(s->routers && !s->routers[host]);
    s->routers[host] = sim_take(sizeof **s->routers);
    s->routers[host]->is = *nat;
}

void pg_sim_reboot(struct pg_sim *s, unsigned host, bool another_address)
{
    struct sim_router *r = s->routers[host];
    forget(r);
    r->generation = (r->generation + another_address) % GENERATIONS;
}

/* Addresses. */

static struct pg_endpoint address(unsigned first, unsigned host, uint16_t port)
{
    struct pg_endpoint e = pg_sim_endpoint(host, port);
    e.ip[0] = (uint8_t)first;
    return e;
}

struct pg_endpoint pg_sim_outside(const struct pg_sim *s, unsigned host, uint16_t port)
{
    const struct sim_router *r = s->routers ? s->routers[host] : NULL;
    return s->routers ? address(WAN_FIRST + (r ? r->generation : 0), host, port) : pg_sim_endpoint(host, port);
}

struct pg_endpoint pg_sim_inside(const struct pg_sim *s, unsigned host, uint16_t port)
{
    return s->routers && s->routers[host] ? pg_sim_endpoint(host, port) : pg_sim_outside(s, host, port);
}

static bool same_ip(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return memcmp(a->ip, b->ip, 4) == 0;
}

unsigned sim_nat_host(const struct pg_sim *s, const struct pg_endpoint *at)
{
    unsigned n = (unsigned)at->ip[1] << 16 | (unsigned)at->ip[2] << 8 | at->ip[3];
    if (at->family != 4 || n == 0 || n > s->n_hosts)
        return SIM_NOWHERE;
    struct pg_endpoint own = pg_sim_outside(s, n - 1, 0);
    return same_ip(&own, at) ? n - 1 : SIM_NOWHERE;
}

/* Mappings. */

static bool is_alive(const struct pg_sim *s, const struct sim_router *r, const struct sim_mapping *m)
{
    return r->is.idle_us == 0 || s->now_us - m->used_us <= r->is.idle_us;
}

static void drop_old(const struct pg_sim *s, struct sim_router *r)
{
    for (struct sim_mapping **at = &r->mappings, *m; (m = *at);) {
        if (is_alive(s, r, m)) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        free(m);
    }
}

static bool matches(enum pg_sim_by by, const struct pg_endpoint *known, const struct pg_endpoint *e)
{
    return by == PG_SIM_BY_NOTHING || (same_ip(known, e) && (by == PG_SIM_BY_ADDRESS || known->port == e->port));
}

static struct sim_mapping *by_outer(const struct sim_router *r, uint16_t port)
{
    struct sim_mapping *m = r->mappings;
    while (m && m->outer != port)
        m = m->next;
    return m;
}

static struct sim_mapping *by_inner(const struct sim_router *r, uint16_t port, const struct pg_endpoint *to)
{
    struct sim_mapping *m = r->mappings;
    while (m && (m->inner != port || !matches(r->is.maps, &m->to, to)))
        m = m->next;
    return m;
}

static uint16_t choose_outer(struct pg_sim *s, const struct sim_router *r, uint16_t inner)
{
    uint16_t port = inner;
    while (!r->is.keeps_ports || by_outer(r, port)) {
        port = (uint16_t)(PORTS_LEAST + pg_sim_below(s, 65536 - PORTS_LEAST));
        if (!by_outer(r, port))
            break;
    }
    return port;
}

static void allow(struct sim_mapping *m, const struct pg_endpoint *to)
{
    for (unsigned i = 0; i < m->n_allowed && i < ALLOWED; i++)
        if (matches(PG_SIM_BY_PORT, &m->allowed[i], to))
            return;
    m->allowed[m->n_allowed++ % ALLOWED] = *to;
}

struct pg_endpoint sim_nat_out(struct pg_sim *s, unsigned host, const struct pg_endpoint *from, const struct pg_endpoint *to)
{
    struct sim_router *r = s->routers[host];
    if (!r)
        return *from;
    drop_old(s, r);
    struct sim_mapping *m = by_inner(r, from->port, to);
    if (!m) {
        m = sim_take(sizeof *m);
        m->inner = from->port;
        m->to = *to;
        m->outer = choose_outer(s, r, from->port);
        m->next = r->mappings;
        r->mappings = m;
    }
    m->used_us = s->now_us;
    allow(m, to);
    return pg_sim_outside(s, host, m->outer);
}

bool sim_nat_in(struct pg_sim *s, unsigned host, const struct pg_endpoint *from, const struct pg_endpoint *to, struct pg_endpoint *inside)
{
    struct sim_router *r = s->routers[host];
    *inside = *to;
    if (!r)
        return true;
    drop_old(s, r);
    struct sim_mapping *m = by_outer(r, to->port);
    if (!m)
        return false;
    *inside = pg_sim_inside(s, host, m->inner);
    bool good = r->is.filters == PG_SIM_BY_NOTHING;
    for (unsigned i = 0; i < m->n_allowed && i < ALLOWED && !good; i++)
        good = matches(r->is.filters, &m->allowed[i], from);
    return good;
}

bool sim_nat_answers(const struct pg_sim *s, unsigned host)
{
    return s->routers[host] && s->routers[host]->is.answers;
}

/* What this side sends still leaves as what the other side knows, and comes in there. */
static bool leaves(struct pg_sim *s, const struct pg_sim_socket *k, bool refresh)
{
    struct sim_router *r = s->routers[k->host];
    if (!r)
        return true;
    struct sim_mapping *m = by_inner(r, k->local.port, &k->remote);
    struct pg_endpoint as = pg_sim_outside(s, k->host, m ? m->outer : 0);
    if (!m || !is_alive(s, r, m) || !matches(PG_SIM_BY_PORT, &as, &k->other->remote))
        return false;
    if (refresh)
        m->used_us = s->now_us;
    return true;
}

bool sim_nat_carries(struct pg_sim *s, const struct pg_sim_socket *k)
{
    if (!s->routers || !k->other || k->host == k->other->host)
        return true;
    return leaves(s, k, true) && leaves(s, k->other, true);
}
