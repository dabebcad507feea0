/* Who may come in while we are private: so many peers in all, and so many over one relay, that whoever runs a relay does not fill
 * our places with its own. Called by session.c and stop_serve.c.
 * Serves the promised rows 106 and 107; docs/decisions/0014-relays.md. */
#include "core/node_internal.h"

static uint64_t key_of(struct pg_node *n, const struct pg_peer_id *relay)
{
    return relay ? pg_keyed_hash(&n->budget.hash, relay->at, relay->len) | 1 : 0;
}

/* Peers that have come in, each once however many connections it has. over: those that have come over that relay only. */
static uint32_t came_in(const struct pg_node *n, uint64_t over)
{
    uint32_t count = 0;
    for (const struct pg_session *s = n->sessions; s; s = s->next)
        count += s->up && s->place && s->place->first == s && s->place->came_in && (!over || s->place->came_over == over);
    return count;
}

enum pg_limit pg_inbound_forbids(struct pg_node *n, const struct pg_peer_id *peer, const struct pg_peer_id *relay)
{
    uint64_t most = pg_node_limit(n, PG_LIMIT_PRIVATE_INBOUND), over = pg_node_limit(n, PG_LIMIT_RELAY_INBOUND);
    struct pg_place *known = pg_budget_peer(&n->budget, peer, false);
    if (n->config.quiet || (known && known->first))
        return PG_LIMITS; /* it is here already */
    if (relay && over && came_in(n, key_of(n, relay)) >= over)
        return PG_LIMIT_RELAY_INBOUND;
    if (most && n->control.nat.in.ctl.state == PG_NAT_PRIVATE && came_in(n, 0) >= most)
        return PG_LIMIT_PRIVATE_INBOUND;
    return PG_LIMITS;
}

void pg_inbound_note(struct pg_session *s)
{
    if (s->conn->dialer || s->place->came_in)
        return;
    s->place->came_in = true;
    s->place->came_over = key_of(s->node, pg_session_relay(s));
}

uint32_t pg_inbound_peers(const struct pg_node *n)
{
    return came_in(n, 0);
}
