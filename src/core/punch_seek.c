/* A place at which others see our listening port, when there is none: the connection to the relay may have left from another port, for
 * the listening one was still held by a connection whose NAT has forgotten it. Called by punch.c and punch_serve.c, and by node.c at
 * the end of the turn. Serves libp2p/specs relay/DCUtR.md, "The Protocol", step 2: addresses come from identify. */
#include "core/node_internal.h"

enum { AGAIN_US = 5000000 };

static bool leaves_from_listener(const struct pg_session *s)
{
    for (uint32_t i = 0; i < s->node->n_listeners; i++)
        if (pg_listener_stands(&s->node->listeners[i]) && s->node->listeners[i].endpoint.family == s->conn->local.family &&
            s->node->listeners[i].endpoint.port == s->conn->local.port)
            return true;
    return false;
}

void pg_punch_seek(struct pg_session *relayed)
{
    const struct pg_peer_id *relay = relayed ? pg_session_relay(relayed) : NULL;
    struct pg_punching *all = relay ? &relayed->node->punching : NULL;
    if (!relay || (all->sought_us && relayed->node->scope.now_us - all->sought_us < AGAIN_US))
        return;
    all->sought_us = relayed->node->scope.now_us;
    all->seeks = true;
    all->relay = *relay;
}

void pg_punch_clear(struct pg_hole *h)
{
    h->clears = h->puncher->node->punching.clears = true;
}

static bool is_target(const struct pg_hole *h, const struct pg_session *s)
{
    struct pg_endpoint to;
    for (uint32_t i = 0; i < h->n_targets; i++)
        if (pg_multiaddr_tcp(&h->targets[i], &to, NULL) == PG_OK && pg_endpoint_equal(&to, &s->conn->remote))
            return true;
    return false;
}

static void clear(struct pg_hole *h)
{
    struct pg_place *place = h->clears ? pg_budget_peer(&h->puncher->node->budget, &h->puncher->peer, false) : NULL;
    h->clears = false;
    for (struct pg_session *s = place ? place->first : NULL, *next; s; s = next) {
        next = s->next_same;
        if (!pg_session_is_relayed(s) && s->suspect && is_target(h, s))
            pg_session_expel(s, PG_ERR_TIMEOUT);
    }
}

/* Relayed ones stand, or nobody would have asked: so the peer's place, and the puncher, outlive the others. */
static void clear_all(struct pg_node *n)
{
    for (struct pg_puncher *p = n->punching.clears ? n->punching.first : NULL; p; p = p->next) {
        clear(&p->punch.hole);
        clear(&p->serve.hole);
    }
    n->punching.clears = false;
}

/* One that answers and has left from another port; what has not answered, and may hold the listening one, ends. */
void pg_punching_seek(struct pg_node *n)
{
    struct pg_place *place = n->punching.seeks ? pg_budget_peer(&n->budget, &n->punching.relay, false) : NULL;
    struct pg_session *heard = NULL;
    struct pg_multiaddr addr;
    enum pg_limit limit;
    n->punching.seeks = false;
    clear_all(n);
    for (struct pg_session *s = place ? place->first : NULL; s; s = s->next_same) {
        if (pg_session_is_relayed(s) || s->suspect)
            continue;
        if (leaves_from_listener(s))
            return; /* it has been seen, or its identify is under way */
        heard = s;
    }
    if (!heard)
        return;
    pg_multiaddr_from_tcp(&addr, &heard->conn->remote);
    for (struct pg_session *s = place->first, *next; s; s = next) {
        next = s->next_same;
        if (!pg_session_is_relayed(s) && s->suspect)
            pg_session_expel(s, PG_ERR_TIMEOUT);
    }
    (void)pg_session_punch(n, NULL, &n->punching.relay, &addr, true, 0, &limit);
}
