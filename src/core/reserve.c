/* What relays have granted us. Called by node.c and node_control.c.
 * Source: libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/node_internal.h"
#include "core/reserve.h"

bool pg_reservation_held(const struct pg_node *n, const struct pg_peer_id *relay)
{
    for (uint32_t i = 0; i < n->control.config.n_relays; i++)
        if (n->control.relays[i].peer.len && pg_peer_id_equal(&n->control.relays[i].peer, relay))
            return true;
    return false;
}

uint32_t pg_reservations_addrs(const struct pg_node *n, struct pg_multiaddr *out, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < PG_MAX_RELAYS; r++)
        for (uint32_t i = 0; i < n->reservations[r].n_addrs && count < room; i++)
            out[count++] = n->reservations[r].addrs[i];
    return count;
}
