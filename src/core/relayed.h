/* Both ends of connections over relays: how a circuit is asked for, and how one is taken. Each brings forth a pg_circuit
 * (src/transport/circuit.h), and a session over it. Called by session.c (dials), node.c and through the stop protocol's handler.
 * Source: libp2p/specs relay/circuit-v2.md, "Connection Initiation", "Stop Protocol". */
#pragma once
#include "circuit.pb.gen.h"
#include "core/kad.h"
#include "hop_connect.gen.h"
#include "mem/pool.h"
#include "stop_serve.gen.h"
#include "transport/circuit.h"
#include "wire/frame.h"

#define PG_RELAYED_REASON 160u

struct pg_hop_connect {
    struct pg_instance in;
    struct pg_timer timers[PG_HOP_CONNECT_TIMERS];
    struct pg_node *node;
    struct pg_circuit *circuit; /* NULL: nobody wants it any more */
    struct pg_visitor visitor;
    struct pg_visit *visit;
    struct pg_stream *stream;
    struct pg_hop_connect *next; /* of those that have ended */
    struct pg_peer_id target;
    enum pg_pb_circuit_status status; /* as the relay has answered last */
    enum pg_err why;
    char reason[PG_RELAYED_REASON];
    struct pg_kad_contact relay;
    struct pg_frame frame;
    uint8_t room[PG_PB_HOP_MESSAGE_MAX];
};

struct pg_stop_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_STOP_SERVE_TIMERS];
    struct pg_session *relay;
    struct pg_stream *stream;
    struct pg_circuit *circuit; /* of the session that has been made for it, in the turn of the request */
    struct pg_stop_serve *next, *previous; /* of those that wait for a request; those that have ended use next alone */
    bool reserved;
    enum pg_pb_circuit_status reproach;
    struct pg_frame frame;
    uint8_t room[PG_PB_STOP_MESSAGE_MAX];
};

struct pg_circuit_ends {
    struct pg_pool hops, stops;
    struct pg_hop_connect *ended_hops;
    struct pg_stop_serve *ended_stops;
    struct pg_stop_serve *first_stop, *last_stop; /* on which nothing whole has been said yet, the oldest first */
    uint32_t n_stops;                             /* of these */
};
bool pg_circuit_ends_init(struct pg_circuit_ends *);
void pg_circuit_ends_free(struct pg_circuit_ends *);
void pg_circuit_ends_reap(struct pg_circuit_ends *); /* at the end of a turn */

/* hop_connect.c: the circuit for a link that is dialled at an address over a relay; NULL: there are too many. It is asked for when
 * the link has an owner and pg_hop_connect_begin was called. */
struct pg_hop_connect *pg_hop_connect_new(struct pg_node *, struct pg_link *, const struct pg_multiaddr *addr, const struct pg_peer_id *target);
/* The relay can be reached there as well. */
void pg_hop_connect_add(struct pg_hop_connect *, const struct pg_multiaddr *relay);
void pg_hop_connect_begin(struct pg_hop_connect *);
void pg_hop_connect_finished(struct pg_hop_connect *);

/* stop_serve.c */
extern const struct pg_handler pg_stop_serve;
void pg_stop_serve_finished(struct pg_stop_serve *);
