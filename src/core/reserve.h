/* The client's reservations: relays through which others reach us while we are behind a NAT, and what they have granted.
 * Asked by node.c (addresses), stop_serve.c (whose circuits are taken) and status; kept by reserve.c as the control plane orders.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation". */
#pragma once
#include "crypto/multiaddr.h"

#define PG_MAX_RELAYS 8u          /* held at once, whatever --relays says */
#define PG_RESERVATION_ADDRS 4u   /* that one relay may be reached at, as it says */

struct pg_node;

/* What one relay has granted. */
struct pg_reservation {
    struct pg_peer_id relay; /* len 0: a free place */
    struct pg_multiaddr addrs[PG_RESERVATION_ADDRS]; /* …/p2p/RELAY/p2p-circuit: what others dial with /p2p/US behind it */
    uint32_t n_addrs;
    uint64_t since_us, expires_us;
    uint64_t limit_bytes, limit_us; /* of each circuit, as the relay tells; 0: none told */
};

/* Whether we hold a reservation there, or have just asked for one: circuits may come from it. */
bool pg_reservation_held(const struct pg_node *, const struct pg_peer_id *relay);
/* Circuit addresses of all reservations that are held, without our own id. */
uint32_t pg_reservations_addrs(const struct pg_node *, struct pg_multiaddr *out, uint32_t room);
