/* Facts and actions of relay_leg and direct_leg, and which connection is taken for what.
 * Called by session.c, identify.c and src/service. Source: libp2p/specs relay/DCUtR.md, "The Protocol"; connections/README.md,
 * "Opening New Connections"; docs/decisions/0013-paths.md. */
#include "core/path.h"

#include "core/node_internal.h"

#include <stddef.h>

enum { RESPITE_FIRST_MS = 30000, RESPITE_AWAITED_MS = 2000, RESPITE_LAST_MS = 600000 };

static struct pg_path *of_relay(const struct pg_relay_leg *r)
{
    return HOST_OF(pg_path, relay, r);
}

static struct pg_path *of_direct(const struct pg_direct_leg *d)
{
    return HOST_OF(pg_path, direct, d);
}

static struct pg_path *path_of(const struct pg_node *n, const struct pg_peer_id *peer)
{
    struct pg_place *place = pg_budget_peer((struct pg_budget *)(uintptr_t)&n->budget, peer, false);
    return place ? place->path : NULL;
}

/* Which connection. */

/* We are the one whose connections stay. */
static bool is_smaller(const struct pg_session *s)
{
    const struct pg_peer_id *own = pg_identity_peer_id(s->node->config.identity), *other = &s->conn->peer;
    size_t both = own->len < other->len ? own->len : other->len;
    int order = memcmp(own->at, other->at, both);
    return order < 0 || (order == 0 && own->len < other->len);
}

static bool is_ruling(const struct pg_session *s)
{
    return s->conn->client == is_smaller(s);
}

bool pg_path_outdone(const struct pg_session *s)
{
    bool older = true;
    for (const struct pg_session *o = s->place ? s->place->first : NULL; o; o = o->next_same) {
        if (o == s)
            older = false;
        else if (!pg_session_is_relayed(o) && !o->widens && !o->suspect && (is_ruling(o) != is_ruling(s) ? is_ruling(o) : older))
            return true;
    }
    return false;
}

/* What is heard of comes before what is not, direct before relayed, with room before without, and what both sides take before
 * what drains; the oldest of these. */
static unsigned rank(const struct pg_session *s)
{
    return (s->suspect ? 0 : 8u) + (pg_session_is_relayed(s) ? 0 : 4u) + (pg_stream_room(s->conn) ? 2u : 0) + (is_ruling(s) ? 1u : 0);
}

enum kind { ANY, DIRECT_ONLY, RELAYED_ONLY };

static struct pg_session *best(struct pg_node *n, const struct pg_peer_id *peer, enum kind kind)
{
    struct pg_place *place = pg_budget_peer(&n->budget, peer, false);
    struct pg_session *found = NULL;
    for (struct pg_session *s = place ? place->first : NULL; s; s = s->next_same) {
        if (kind != ANY && pg_session_is_relayed(s) != (kind == RELAYED_ONLY))
            continue;
        if (!found || rank(s) > rank(found))
            found = s;
    }
    return found;
}

struct pg_session *pg_node_session(struct pg_node *n, const struct pg_peer_id *peer)
{
    return best(n, peer, ANY);
}

/* Somebody who wants to open a stream over the relay does better to wait. */
static bool is_hopeful(const struct pg_path *p)
{
    unsigned patience = 0;
    while (p && pg_direct_leg_machine.timer_event[patience] != PG_DIRECT_LEG_ON_PATIENCE_FIRED)
        patience++;
    return p && !p->hopeless && pg_timer_runs(&p->direct.in, patience);
}

struct pg_session *pg_path_for_tunnel(struct pg_node *n, const struct pg_peer_id *peer)
{
    switch (n->config.path) {
    case PG_PATH_DIRECT: return best(n, peer, DIRECT_ONLY);
    case PG_PATH_RELAY: return best(n, peer, RELAYED_ONLY);
    case PG_PATH_AUTO: break;
    }
    struct pg_session *s = best(n, peer, ANY);
    return s && pg_session_is_relayed(s) && is_hopeful(path_of(n, peer)) ? NULL : s;
}

bool pg_path_view(const struct pg_node *n, const struct pg_peer_id *peer, struct pg_path_view *v)
{
    const struct pg_path *p = path_of(n, peer);
    if (!p)
        return false;
    *v = (struct pg_path_view){.relay = pg_relay_leg_machine.states[p->relay.in.ctl.state],
                               .direct = pg_direct_leg_machine.states[p->direct.in.ctl.state], .reason = pg_text(p->reason)};
    return true;
}

/* The relayed leg. */

bool pg_relay_leg_is_busy(const struct pg_relay_leg *r)
{
    const struct pg_path *p = of_relay(r);
    if (p->node->config.path == PG_PATH_RELAY)
        return true;
    for (const struct pg_session *s = p->place->first; s; s = s->next_same)
        if (pg_session_is_relayed(s) && (s->conn->yamux.working > 0 || pg_yamux_is_asked(&s->conn->yamux)))
            return true;
    return false;
}

void pg_relay_leg_do_relayed_close(struct pg_relay_leg *r)
{
    for (struct pg_session *s = of_relay(r)->place->first; s; s = s->next_same)
        if (pg_session_is_relayed(s))
            pg_session_drop(s, PG_ERR_CLOSED);
}

/* The direct leg. */

static struct pg_session *opened_by_it(const struct pg_path *p)
{
    for (struct pg_session *s = p->place->first; s; s = s->next_same)
        if (pg_session_is_relayed(s) && !s->conn->dialer)
            return s;
    return NULL;
}

bool pg_direct_leg_is_opens(const struct pg_direct_leg *d)
{
    const struct pg_path *p = of_direct(d);
    return p->node->config.path != PG_PATH_RELAY && !p->node->stopping && opened_by_it(p);
}

static bool is_tried(const struct pg_path *p, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < p->n_tried; i++)
        if (pg_multiaddr_equal(&p->tried[i], addr))
            return true;
    return false;
}

/* Where the peer may be, as far as that has not been tried in this round. */
static uint32_t untried(const struct pg_path *p, struct pg_multiaddr out[PG_ADDRESS_BOOK_ADDRS])
{
    struct pg_multiaddr known[PG_ADDRESS_BOOK_ADDRS];
    struct pg_endpoint at;
    uint32_t n = 0, n_known = pg_address_book_find(&p->node->addresses, &p->peer, p->node->scope.now_us, known);
    for (uint32_t i = 0; i < n_known && p->n_tried + n < PG_PATH_TRIED; i++)
        if (pg_multiaddr_tcp(&known[i], &at, NULL) == PG_OK && !is_tried(p, &known[i]))
            out[n++] = known[i];
    return n;
}

bool pg_direct_leg_is_dialable(const struct pg_direct_leg *d)
{
    struct pg_multiaddr addrs[PG_ADDRESS_BOOK_ADDRS];
    const struct pg_path *p = of_direct(d);
    return p->node->config.path != PG_PATH_RELAY && !p->node->stopping && untried(p, addrs) > 0;
}

/* Streams that run over the relay are not cut for it. */
bool pg_direct_leg_is_renewable(const struct pg_direct_leg *d)
{
    const struct pg_path *p = of_direct(d);
    return (p->wanted || p->node->config.direct_awaited) && !opened_by_it(p) && !pg_relay_leg_is_busy(&p->relay) && !p->node->stopping;
}

uint64_t pg_direct_leg_respite_ms(const struct pg_direct_leg *d)
{
    return of_direct(d)->respite_ms;
}

/* The other side begins with what is fresh; the contact that has dialled dials again. */
void pg_direct_leg_do_relayed_renew(struct pg_direct_leg *d)
{
    pg_relay_leg_do_relayed_close(&of_direct(d)->relay);
}

void pg_direct_leg_do_addrs_recall(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    p->n_tried = 0;
    if (p->told)
        pg_post(&d->in, PG_DIRECT_LEG_ON_ADDRS_TOLD);
}

/* Who tells other addresses all the time does not make us dial somebody else all the time. */
void pg_direct_leg_do_dials_begin(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    struct pg_multiaddr addrs[PG_ADDRESS_BOOK_ADDRS];
    uint32_t n = untried(p, addrs);
    for (uint32_t i = 0; i < n && pg_node_rate_take(p->node, &p->dials, PG_LIMIT_PUNCH_RATE, 8); i++) {
        p->tried[p->n_tried++] = addrs[i];
        p->n_dialling++;
        if (!pg_session_reverse(p->node, p, &addrs[i]))
            p->n_dialling--;
    }
    if (p->n_dialling == 0)
        pg_post(&d->in, PG_DIRECT_LEG_ON_DIALS_FAILED);
}

void pg_direct_leg_do_dials_drop(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    if (p->n_dialling == 0)
        return;
    p->n_dialling = 0;
    for (struct pg_session *s = p->node->sessions, *next; s; s = next) {
        next = s->next;
        if (s->reverses != p)
            continue;
        s->reverses = NULL;
        if (!s->up)
            pg_session_drop(s, PG_ERR_TIMEOUT);
    }
}

void pg_path_dial_failed(struct pg_path *p, enum pg_err why, struct pg_bytes reason)
{
    (void)why;
    pg_bytes_text(p->reason, sizeof p->reason, reason);
    if (--p->n_dialling == 0)
        pg_step(&p->direct.in, PG_DIRECT_LEG_ON_DIALS_FAILED);
}

/* Remembered also when no connection is left. */
static void note_vain(struct pg_path *p, bool vain)
{
    struct pg_contact *c = pg_contact_find(p->node, &p->peer, NULL);
    if (c)
        c->waited_in_vain = vain;
    p->hopeless = vain;
}

/* Those above look again which connection they can have. */
void pg_direct_leg_do_waiters_wake(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    struct pg_session *s = pg_node_session(p->node, &p->peer);
    note_vain(p, true);
    if (s && p->node->hooks.peer_up)
        p->node->hooks.peer_up(p->node->hooks.context, s);
}

static void tell(struct pg_path *p, enum pg_path_news news)
{
    if (p->node->hooks.path)
        p->node->hooks.path(p->node->hooks.context, &p->peer, news, pg_text(p->reason));
}

void pg_direct_leg_do_success_tell(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    p->respite_ms = 0;
    note_vain(p, false);
    p->reason[0] = 0;
    p->wanted = false;
    pg_node_control_punched(p->node, &p->peer, true, PG_NONE);
    tell(p, PG_PATH_STANDS);
}

void pg_direct_leg_do_failure_tell(struct pg_direct_leg *d)
{
    struct pg_path *p = of_direct(d);
    uint32_t first_ms = p->node->config.direct_awaited ? RESPITE_AWAITED_MS : RESPITE_FIRST_MS, doubled_ms = 2 * p->respite_ms;
    p->respite_ms = doubled_ms == 0 ? first_ms : doubled_ms < RESPITE_LAST_MS ? doubled_ms : RESPITE_LAST_MS;
    p->n_tried = 0;
    p->wanted = false; /* whoever waits is told */
    if (!p->reason[0])
        pg_bytes_text(p->reason, sizeof p->reason, PG_LIT("no direct connection came in time"));
    if (p->node->config.path == PG_PATH_RELAY)
        return; /* nobody has tried */
    pg_node_control_punched(p->node, &p->peer, false, pg_text(p->reason));
    tell(p, PG_PATH_BARRED);
}

/* What becomes known. */

static struct pg_path *path_new(struct pg_node *n, struct pg_place *place, const struct pg_peer_id *peer)
{
    struct pg_path *p = pg_pool_take_zero(&n->paths);
    if (!p)
        return NULL;
    uint32_t key = ((struct pg_session *)place->first)->conn->number;
    const struct pg_contact *c = pg_contact_find(n, peer, NULL);
    p->node = n;
    p->place = place;
    p->peer = *peer;
    p->hopeless = c && c->waited_in_vain;
    place->path = p;
    pg_instance_init(&p->relay.in, &pg_relay_leg_machine, &pg_relay_leg_binding, &p->relay, &n->scope, p->relay.timers, NULL, key);
    pg_instance_init(&p->direct.in, &pg_direct_leg_machine, &pg_direct_leg_binding, &p->direct, &n->scope, p->direct.timers, NULL, key);
    return p;
}

void pg_path_end(struct pg_path *p)
{
    pg_step(&p->relay.in, PG_RELAY_LEG_ON_END);
    pg_step(&p->direct.in, PG_DIRECT_LEG_ON_END);
    pg_instance_end(&p->relay.in);
    pg_instance_end(&p->direct.in);
    p->place->path = NULL;
    pg_pool_give(&p->node->paths, p);
}

/* Direct first: whoever hears that the relayed one stands may find that nothing better is needed. */
static void tell_legs(struct pg_path *p, bool relayed, bool direct)
{
    if (direct != p->direct_stands) {
        p->direct_stands = direct;
        pg_step(&p->relay.in, direct ? PG_RELAY_LEG_ON_DIRECT_UP : PG_RELAY_LEG_ON_DIRECT_LOST);
        pg_step(&p->direct.in, direct ? PG_DIRECT_LEG_ON_DIRECT_UP : PG_DIRECT_LEG_ON_DIRECT_LOST);
    }
    if (relayed != p->relayed_stands) {
        p->relayed_stands = relayed;
        p->relayed_us = p->node->scope.now_us;
        pg_step(&p->relay.in, relayed ? PG_RELAY_LEG_ON_RELAYED_UP : PG_RELAY_LEG_ON_RELAYED_LOST);
        pg_step(&p->direct.in, relayed ? PG_DIRECT_LEG_ON_RELAYED_UP : PG_DIRECT_LEG_ON_RELAYED_LOST);
        if (relayed && !direct)
            tell(p, PG_PATH_RELAYED);
    }
}

void pg_path_sessions_changed(struct pg_node *n, struct pg_place *place, const struct pg_peer_id *peer)
{
    struct pg_path *p = place->path;
    bool relayed = false, direct = false;
    for (const struct pg_session *s = place->first; s; s = s->next_same) {
        relayed |= pg_session_is_relayed(s);
        direct |= !pg_session_is_relayed(s) && !s->suspect;
    }
    if (!p && relayed)
        p = path_new(n, place, peer);
    if (p)
        tell_legs(p, relayed, direct);
}

void pg_path_emptied(struct pg_session *s)
{
    struct pg_path *p = s->place ? s->place->path : NULL;
    if (p && pg_session_is_relayed(s))
        pg_post(&p->relay.in, PG_RELAY_LEG_ON_RELAYED_EMPTIED);
}

/* The same whatever their order. */
static uint64_t sum(const struct pg_multiaddr *addrs, uint32_t n)
{
    uint64_t all = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t one = 0xcbf29ce484222325u;
        for (size_t k = 0; k < addrs[i].len; k++)
            one = (one ^ addrs[i].at[k]) * 0x100000001b3u;
        all += one;
    }
    return all ? all : 1;
}

void pg_path_told(struct pg_session *s, const struct pg_multiaddr *addrs, uint32_t n)
{
    struct pg_path *p = s->place ? s->place->path : NULL;
    uint64_t told = sum(addrs, n);
    if (!p || p->told == told)
        return;
    p->told = told;
    pg_step(&p->direct.in, PG_DIRECT_LEG_ON_ADDRS_TOLD);
}

void pg_paths_moved(struct pg_node *n)
{
    for (struct pg_session *s = n->sessions; s; s = s->next) {
        struct pg_path *p = s->up && s->place->first == s ? s->place->path : NULL;
        if (p && p->told)
            pg_step(&p->direct.in, PG_DIRECT_LEG_ON_ADDRS_TOLD);
    }
}

/* The side that the relayed connection came to begins; the other one answers. */
void pg_direct_leg_do_punch_begin(struct pg_direct_leg *d)
{
    struct pg_session *s = opened_by_it(of_direct(d));
    if (s)
        pg_punch_begin(s);
    else
        pg_post(&d->in, PG_DIRECT_LEG_ON_PUNCH_FAILED);
}

void pg_path_wanted(struct pg_node *n, const struct pg_peer_id *peer)
{
    struct pg_path *p = path_of(n, peer);
    if (!p)
        return;
    p->wanted = true;
    pg_post(&p->direct.in, PG_DIRECT_LEG_ON_WANTED);
}

void pg_path_step_tell(struct pg_node *n, const struct pg_peer_id *peer, const struct pg_path_step *step)
{
    if (n->hooks.path_step)
        n->hooks.path_step(n->hooks.context, peer, step);
}

void pg_path_punched(struct pg_node *n, const struct pg_peer_id *peer, enum pg_err why, struct pg_bytes reason)
{
    struct pg_path *p = path_of(n, peer);
    if (!p || why == PG_OK) /* a connection speaks for itself */
        return;
    pg_bytes_text(p->reason, sizeof p->reason, reason);
    pg_post(&p->direct.in, PG_DIRECT_LEG_ON_PUNCH_FAILED);
}
