/* The client's reservations: relays through which others reach us while we are behind a NAT, and what they have granted.
 * Asked by node.c (addresses), stop_serve.c (whose circuits are taken) and status; kept as the control plane orders.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation". */
#pragma once
#include "circuit.pb.gen.h"
#include "core/kad.h"
#include "core/relay_book.h"
#include "hop_reserve.gen.h"
#include "wire/frame.h"

#define PG_RESERVATION_ADDRS 4u /* that one relay may be reached at, as it says */

struct pg_node;

/* What a relay has granted. */
struct pg_grant {
    struct pg_multiaddr addrs[PG_RESERVATION_ADDRS]; /* …/p2p/RELAY/p2p-circuit: what others dial with /p2p/US behind it */
    uint32_t n_addrs;
    uint64_t lease_ms, expires_us;
    uint64_t limit_bytes, limit_us; /* of each circuit, as the relay tells; 0: none told */
    bool vouched;                   /* with a voucher, which is good */
};

/* One reservation, from the asking to the release. */
struct pg_hop_reserve {
    struct pg_instance in; /* hop_reserve, of the last request */
    struct pg_timer timers[PG_HOP_RESERVE_TIMERS];
    struct pg_node *node;
    struct pg_peer_id relay; /* len 0: a free place */
    struct pg_visitor visitor;
    struct pg_visit *visit;  /* for as long as the reservation is wanted: its connection is kept, and not closed for another */
    struct pg_stream *stream;
    const struct pg_session *via; /* by which it was granted, until that ends */
    enum { PG_RESERVATION_OPEN, PG_RESERVATION_GRANTED, PG_RESERVATION_FAILED } due; /* what the control plane is yet to hear */
    bool held, sent, begins, doubted, leaves; /* begins, leaves: at the end of the turn */
    struct pg_grant grant, offer; /* offer: of the answer that is being looked at */
    uint64_t since_us;
    enum pg_pb_circuit_status status;
    char reason[160];
    struct pg_frame frame;
    uint8_t room[PG_PB_HOP_MESSAGE_MAX];
};

/* Whether we hold a reservation there, or have just asked for one: circuits may come from it. */
bool pg_reservation_held(const struct pg_node *, const struct pg_peer_id *relay);
/* Circuit addresses of all reservations that are held, without our own id. */
uint32_t pg_reservations_addrs(const struct pg_node *, struct pg_multiaddr *out, uint32_t room);

/* What is released leaves at the end of the turn, when its place may have been taken already. */
#define PG_RESERVATIONS (2 * PG_MAX_RELAYS)

/* As the control plane orders, which may be in the middle of somebody's step: carried out at the end of the turn. */
void pg_reservation_ask(struct pg_node *, const struct pg_peer_id *relay, const struct pg_multiaddr *addr); /* addr may be NULL */
void pg_reservation_release(struct pg_node *, const struct pg_peer_id *relay);
/* Carries out what was ordered, and tells the control plane what has become of requests: between steps. True: something was done. */
bool pg_reservations_settle(struct pg_node *);
void pg_reservations_end(struct pg_node *);
/* Nothing is heard on a connection any more. Where it holds a reservation and carries nothing, it ends, and its port is free for the next. */
void pg_reservation_doubt(const struct pg_session *);
/* For hop_reserve.c. Over which a relay may be asked: never over another relay. NULL when there is no such connection. */
struct pg_session *pg_reservation_way(const struct pg_hop_reserve *);
void pg_reservation_visit_end(struct pg_visit *);
/* A further connection to its peer stands: where it is our relay and the others are doubted, we reserve anew. */
void pg_reservation_moved(struct pg_session *newest);
/* A connection has ended: where it brought a reservation and another one to that relay stands, we reserve anew. */
void pg_reservation_parted(struct pg_session *lost);
/* The machine's clock is another: leases are counted anew, which ended while the machine slept or were read by a wrong clock. */
void pg_reservations_renew(struct pg_node *);

/* For status: the relays that are known, those that hold a reservation of ours among them. False: no more. */
struct pg_relay_view {
    struct pg_peer_id peer;
    struct pg_multiaddr addr;
    const char *state; /* the seed's name for one of ours, else "Known" */
    const struct pg_grant *grant; /* NULL: none is held */
    uint64_t left_us, rtt_us, rests_us;
    uint32_t granted, failed;
    bool ours, connected;
};
bool pg_relay_view(const struct pg_node *, uint32_t number, struct pg_relay_view *);

/* What we do for others, and how many of them we let in. */
struct pg_relay_policy_view {
    const char *mode;
    bool serves; /* strangers */
    uint16_t port;
    uint32_t wanted, inbound;
};
void pg_relay_policy_view(const struct pg_node *, struct pg_relay_policy_view *);

/* Whether what a relay has granted can be used, and what is of use in it; else `why` says what is wrong. Pure: now_s since 1970. */
struct pg_reservation_judge {
    const struct pg_peer_id *relay, *own;
    const struct pg_endpoint *seen; /* where the relay is */
    uint64_t now_s, now_us;
};
bool pg_reservation_judge(const struct pg_reservation_judge *, const struct pg_pb_hop_message *, struct pg_grant *out, char *why, size_t room);
