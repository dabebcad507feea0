/* Facts and actions of ways. A connection whose own address is gone gets nothing any more and cannot say so, for what it sends has no
 * way out; its keep-alive would need half a minute to find that out. Called by node.c. */
#include "core/ways.h"

#include "core/mdns.h"
#include "core/node_internal.h"

#include <stddef.h>

enum { HURRY_MS = 5000 }; /* a try a second: the address comes first, its routes a little later */

static bool same_ip(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

static bool is_among(const struct pg_endpoint *e, const struct pg_endpoint *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (same_ip(e, &all[i]))
            return true;
    return false;
}

static bool is_gone(const struct pg_ways *w, const struct pg_endpoint *e)
{
    return is_among(e, w->before, w->n_before) && !is_among(e, w->now, w->n_now);
}

/* Dials that nobody has answered have no address yet that we know of: they have left by any. */
static uint32_t end_sessions(struct pg_node *n)
{
    uint32_t ended = 0;
    for (struct pg_session *s = n->sessions, *next; s; s = next) {
        next = s->next;
        if (!s->listed || s->relayed || !s->conn->link || (s->conn->local.family && !is_gone(&n->ways, &s->conn->local)))
            continue;
        ended += s->up;
        pg_bytes_text(s->reason, sizeof s->reason, PG_LIT("our address is gone"));
        pg_session_expel(s, PG_ERR_CLOSED);
    }
    return ended;
}

/* Ours at which others dial us, of listeners on all addresses of the machine. */
static void follow_listeners(struct pg_node *n)
{
    const struct pg_ways *w = &n->ways;
    struct pg_endpoint at;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->n_addrs; i++)
        if (pg_multiaddr_tcp(&n->addrs[i], &at, NULL) != PG_OK || !is_gone(w, &at))
            n->addrs[kept++] = n->addrs[i];
    n->n_addrs = kept;
    for (uint32_t i = 0; i < w->n_now; i++)
        for (uint32_t k = 0; k < n->n_listeners && !is_among(&w->now[i], w->before, w->n_before); k++) {
            const struct pg_listener *l = &n->listeners[k];
            if (!pg_listener_stands(l) || l->endpoint.family != w->now[i].family ||
                !(pg_endpoint_is_unspecified(&l->endpoint) || same_ip(&l->endpoint, &w->now[i])))
                continue;
            at = w->now[i];
            at.port = l->endpoint.port;
            pg_node_addr_add(n, &at);
        }
    pg_mdns_changed(n->mdns);
    pg_node_addrs_changed(n);
}

static void follow_addresses(struct pg_node *n)
{
    const struct pg_ways *w = &n->ways;
    uint32_t gone = 0, came = 0;
    for (uint32_t i = 0; i < w->n_before; i++)
        gone += !is_among(&w->before[i], w->now, w->n_now);
    for (uint32_t i = 0; i < w->n_now; i++)
        came += !is_among(&w->now[i], w->before, w->n_before);
    if (gone + came == 0)
        return;
    follow_listeners(n);
    pg_log_own_addresses_changed(n->log, came, gone, gone ? end_sessions(n) : 0);
}

void pg_ways_settle(struct pg_node *n)
{
    struct pg_ways *w = &n->ways;
    if (!w->due || n->stopping)
        return;
    w->due = false;
    follow_addresses(n);
    memcpy(w->before, w->now, sizeof w->before);
    w->n_before = w->n_now;
    for (struct pg_session *s = n->sessions, *next; s; s = next) {
        next = s->next;
        if (s->up && !s->relayed && !pg_endpoint_is_loopback(&s->conn->remote))
            pg_step(&s->pulse.in, PG_PULSE_ON_WAY_CHANGED);
    }
    for (struct pg_contact *c = NULL; (c = pg_contact_next(n, c));)
        if (c->for_ever)
            pg_contact_hurry(c, HURRY_MS);
}

void pg_ways_do_change_follow(struct pg_ways *w)
{
    w->due = true;
}

void pg_ways_start(struct pg_node *n)
{
    pg_instance_init(&n->ways.in, &pg_ways_machine, &pg_ways_binding, &n->ways, &n->scope, n->ways.timers, NULL, 0);
}

void pg_ways_stop(struct pg_node *n)
{
    pg_step(&n->ways.in, PG_WAYS_ON_STOP);
}

/* What the system tells first is how things are. */
void pg_ways_input(struct pg_node *n, const struct pg_input *in)
{
    struct pg_ways *w = &n->ways;
    w->n_now = in->n_found;
    for (uint32_t i = 0; i < in->n_found; i++)
        w->now[i] = in->found[i];
    if (w->known) {
        pg_step(&w->in, PG_WAYS_ON_CHANGED);
        return;
    }
    w->known = true;
    memcpy(w->before, w->now, sizeof w->before);
    w->n_before = w->n_now;
}
