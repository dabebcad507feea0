/* Where others see us. A peer's word is heard once, and so is a network's: ten peers of one /24 are one voice.
 * Called by identify.c, session.c, node.c. Source: libp2p/specs identify/README.md, "observedAddr"; RFC 4787, section 4.1. */
#include "core/observed.h"

#include "core/node_internal.h"

/* Of one network and one listener: a peer that moves does not wait for its neighbours, and nobody fills the list alone. */
enum { OF_NETWORK = 2 };
/* The two ends of a connection stay where they are, so who sees us elsewhere each second is heeded now and then. */
enum { ANOTHER_US = 60000000 };

enum kind { NONE, LOOPBACK, PRIVATE, PUBLIC };

static enum kind kind_of(const struct pg_endpoint *e)
{
    if (pg_endpoint_is_loopback(e))
        return LOOPBACK;
    if (pg_endpoint_is_private(e))
        return PRIVATE;
    return pg_endpoint_is_public(e) ? PUBLIC : NONE;
}

bool pg_observed_neighbours(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 2 : 4) == 0;
}

/* Two words about one listener. */
static bool same_listener(const struct pg_observation *a, const struct pg_observation *b)
{
    return a->port == b->port && a->seen.family == b->seen.family;
}

/* Two words that claim the same. */
static bool agree(const struct pg_observation *a, const struct pg_observation *b)
{
    return same_listener(a, b) && pg_endpoint_equal(&a->seen, &b->seen);
}

static bool one_voice(const struct pg_observation *a, const struct pg_observation *b)
{
    return pg_observed_neighbours(&a->from, &b->from) || pg_peer_id_equal(&a->peer, &b->peer);
}

/* Networks that say what the one at `of` says. */
static uint32_t voices(const struct pg_observed *o, uint32_t of)
{
    uint32_t counted[PG_OBSERVATIONS], n = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        if (!agree(&o->at[i], &o->at[of]))
            continue;
        uint32_t k = 0;
        while (k < n && !one_voice(&o->at[i], &o->at[counted[k]]))
            k++;
        if (k == n)
            counted[n++] = i;
    }
    return n;
}

static uint32_t first_like(const struct pg_observed *o, uint32_t of)
{
    uint32_t i = 0;
    while (!agree(&o->at[i], &o->at[of]))
        i++;
    return i;
}

static uint32_t place_of(const struct pg_observed *o, const struct pg_endpoint *seen)
{
    uint32_t i = 0;
    while (i < o->n_confirmed && !pg_endpoint_equal(&o->confirmed[i], seen))
        i++;
    return i;
}

/* What enough networks have said stays as long as anybody says it: peers come and go, and our address does not. */
static void judge(struct pg_observed *o)
{
    for (uint32_t k = 0; k < o->n_confirmed;) {
        uint32_t i = 0;
        while (i < o->n && !pg_endpoint_equal(&o->at[i].seen, &o->confirmed[k]))
            i++;
        if (i < o->n)
            k++;
        else
            o->confirmed[k] = o->confirmed[--o->n_confirmed];
    }
    for (uint32_t i = 0; i < o->n && o->n_confirmed < PG_OBSERVED_CONFIRMED; i++)
        if (kind_of(&o->at[i].seen) == PUBLIC && first_like(o, i) == i && place_of(o, &o->at[i].seen) == o->n_confirmed &&
            voices(o, i) >= PG_FIXED_OBSERVERS)
            o->confirmed[o->n_confirmed++] = o->at[i].seen;
}

static void drop(struct pg_observed *o, uint32_t i)
{
    memmove(&o->at[i], &o->at[i + 1], (--o->n - i) * sizeof *o->at);
}

/* The youngest of the network that has most of the list. */
static uint32_t most_crowded(const struct pg_observed *o)
{
    uint32_t found = 0, most = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        uint32_t beside = 0;
        for (uint32_t k = 0; k < o->n; k++)
            beside += pg_observed_neighbours(&o->at[i].from, &o->at[k].from);
        if (beside >= most) {
            most = beside;
            found = i;
        }
    }
    return found;
}

bool pg_observed_take(struct pg_observed *o, const struct pg_observation *word)
{
    uint32_t beside = 0;
    enum kind kind = kind_of(&word->seen);
    (void)pg_observed_forget(o, word->session);
    for (uint32_t i = 0; i < o->n; i++)
        beside += same_listener(&o->at[i], word) && pg_observed_neighbours(&o->at[i].from, &word->from);
    if (kind == NONE || kind != kind_of(&word->from) || word->seen.port == 0 || word->seen.zone || beside >= OF_NETWORK)
        return false;
    if (o->n == PG_OBSERVATIONS)
        drop(o, most_crowded(o));
    o->at[o->n++] = *word;
    judge(o);
    return true;
}

bool pg_observed_forget(struct pg_observed *o, const void *session)
{
    for (uint32_t i = 0; i < o->n; i++) {
        if (o->at[i].session != session)
            continue;
        drop(o, i);
        judge(o);
        return true;
    }
    return false;
}

uint32_t pg_observed_list(const struct pg_observed *o, struct pg_observed_view *out, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        if (first_like(o, i) != i)
            continue;
        struct pg_observed_view v = {.seen = o->at[i].seen, .port = o->at[i].port, .networks = voices(o, i),
                                     .confirmed = place_of(o, &o->at[i].seen) < o->n_confirmed};
        for (uint32_t k = i; k < o->n; k++)
            v.dialled |= o->at[k].dialled && agree(&o->at[k], &o->at[i]);
        uint32_t at = n < room ? n++ : room;
        while (at > 0 && out[at - 1].networks < v.networks) {
            if (at < room)
                out[at] = out[at - 1];
            at--;
        }
        if (at < room)
            out[at] = v;
    }
    return n;
}

/* Two peers that we have dialled from one port and that see two ports are behind a mapping for each of them, unless two others
 * agree: then somebody lies or has heard of an older mapping. */
enum pg_mapping pg_observed_kind(const struct pg_observed *o)
{
    enum pg_mapping kind = PG_MAPPING_UNKNOWN;
    for (uint32_t i = 0; i < o->n; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct pg_observation *a = &o->at[i], *b = &o->at[k];
            if (!a->dialled || !b->dialled || !same_listener(a, b) || pg_peer_id_equal(&a->peer, &b->peer) || kind_of(&a->seen) != PUBLIC ||
                kind_of(&b->seen) != PUBLIC)
                continue;
            if (agree(a, b))
                return PG_MAPPING_INDEPENDENT;
            kind = PG_MAPPING_DEPENDENT;
        }
    return kind;
}

/* The node's. */

static bool listens_on(const struct pg_node *n, const struct pg_endpoint *local)
{
    for (uint32_t i = 0; i < n->n_listeners; i++)
        if (pg_listener_stands(&n->listeners[i]) && n->listeners[i].endpoint.family == local->family &&
            n->listeners[i].endpoint.port == local->port)
            return true;
    return false;
}

void pg_observed_note(struct pg_session *s, const struct pg_multiaddr *observed)
{
    struct pg_node *n = s->node;
    struct pg_observation word = {.session = s, .peer = s->conn->peer, .from = s->conn->remote, .port = s->conn->local.port,
                                  .dialled = s->conn->dialer};
    /* A connection from another port says nothing of where we can be reached. */
    if (n->config.quiet || pg_session_is_relayed(s) || !listens_on(n, &s->conn->local) || pg_multiaddr_tcp(observed, &word.seen, NULL) != PG_OK)
        return;
    for (uint32_t i = 0; i < n->observed.n; i++)
        if (n->observed.at[i].session == s && pg_endpoint_equal(&n->observed.at[i].seen, &word.seen))
            return;
    if (s->seen.family && !pg_endpoint_equal(&s->seen, &word.seen) && n->scope.now_us - s->seen_us < ANOTHER_US)
        return;
    s->seen = word.seen;
    s->seen_us = n->scope.now_us;
    (void)pg_observed_take(&n->observed, &word);
    pg_node_addrs_changed(n);
}

void pg_observed_leave(struct pg_session *s)
{
    if (pg_observed_forget(&s->node->observed, s))
        pg_node_addrs_changed(s->node);
}

uint32_t pg_observed_candidates(const struct pg_node *n, struct pg_multiaddr *out, uint32_t room)
{
    struct pg_observed_view views[PG_OBSERVATIONS];
    uint32_t n_views = pg_observed_list(&n->observed, views, PG_OBSERVATIONS), found = 0;
    for (uint32_t i = 0; i < n_views && found < room; i++)
        if (pg_endpoint_is_public(&views[i].seen))
            pg_multiaddr_from_tcp(&out[found++], &views[i].seen);
    return found;
}

uint32_t pg_observed_confirmed(const struct pg_node *n, struct pg_multiaddr *out, uint32_t room)
{
    const struct pg_reach *r = &n->reach;
    uint32_t found = 0;
    for (uint32_t i = 0; i < r->n_candidates && found < room; i++)
        if (pg_reach_says(n, &r->candidates[i].at) > 0)
            pg_multiaddr_from_tcp(&out[found++], &r->candidates[i].at);
    for (uint32_t i = 0; i < n->observed.n_confirmed && found < room; i++)
        if (n->control.nat.in.ctl.state != PG_NAT_PRIVATE && pg_reach_says(n, &n->observed.confirmed[i]) == 0)
            pg_multiaddr_from_tcp(&out[found++], &n->observed.confirmed[i]);
    return found;
}

enum pg_mapping pg_observed_mapping(const struct pg_node *n)
{
    return pg_observed_kind(&n->observed);
}

uint32_t pg_observed_views(const struct pg_node *n, struct pg_observed_view *out, uint32_t room)
{
    return pg_observed_list(&n->observed, out, room);
}

bool pg_observed_by(const struct pg_node *n, const struct pg_observed_view *v, uint32_t place, struct pg_peer_id *out)
{
    for (uint32_t i = 0; i < n->observed.n; i++) {
        const struct pg_observation *o = &n->observed.at[i];
        if (o->port != v->port || !pg_endpoint_equal(&o->seen, &v->seen) || place-- > 0)
            continue;
        *out = o->peer;
        return true;
    }
    return false;
}
