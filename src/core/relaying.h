/* What we relay for others: who has reserved with us, how many circuits there are, and what limits say to one more.
 * Part of the node; asked by hop_serve.c, told of the ends of sessions by session.c.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation" and "Connection Initiation". */
#pragma once
#include "circuit.pb.gen.h"
#include "core/budget.h"
#include "core/hop_serve.h"
#include "crypto/multiaddr.h"
#include "mem/pool.h"

#define PG_RELAY_ADDRS 16u /* of ours that a reservation names */

struct pg_node;
struct pg_session;

/* The reservation of one peer: it goes with the connection on which the peer has asked last, or with another of its own, when that
 * one ends. In the order of their ends, which is that of their last renewals. */
struct pg_slot {
    struct pg_slot *next, *previous;
    struct pg_session *session;
    struct pg_place *peer, *address; /* address: NULL when it is not counted */
    uint64_t expires_us;
};

/* What those who are there may use of our addresses, as it was found out in one turn. */
struct pg_told {
    struct pg_endpoint to;
    struct pg_multiaddr addrs[PG_RELAY_ADDRS];
    uint32_t n;
    uint64_t at_us;
    bool stands; /* our addresses have not changed since */
};

struct pg_relaying {
    struct pg_node *node;
    struct pg_pool slots, hops;
    struct pg_slot *first, *last;
    struct pg_hop_serve *circuits, *ended; /* circuits: those that stand or are being set up */
    struct pg_hop_serve *silent, *last_silent; /* those without a request, the oldest first */
    uint32_t asked;                            /* hop streams without a request */
    struct pg_told told;
    uint32_t n_circuits;
    uint32_t next_key;
};

/* Why not: a status, and for the log the limit that forbids it (PG_LIMITS: none) or words. */
struct pg_refusal {
    enum pg_pb_circuit_status status; /* OK: nothing is refused */
    enum pg_limit limit;
    const char *why;
};

/* False when memory cannot be had. */
bool pg_relaying_init(struct pg_relaying *, struct pg_node *);
void pg_relaying_free(struct pg_relaying *);
/* Whether hop is spoken with the peer at the other end. */
bool pg_relaying_serves(const struct pg_node *, const struct pg_session *);

/* Reserving. */
struct pg_refusal pg_slot_refusal(struct pg_session *);
void pg_slot_take(struct pg_session *);
/* That of a peer, unless its time is over; NULL: none. */
struct pg_slot *pg_slot_of(struct pg_node *, const struct pg_peer_id *);
/* Whether the connection is promised to last. */
bool pg_slot_keeps(const struct pg_session *);
/* The session ends; its peer's others are still there. */
void pg_slot_lost(struct pg_session *);
/* Our addresses as its peer may use them, with our id and without /p2p-circuit; they stand until others are asked for. */
uint32_t pg_relaying_addrs(const struct pg_session *, const struct pg_multiaddr **);

/* Circuits. */
void pg_circuit_list(struct pg_hop_serve *);
void pg_circuit_unlist(struct pg_hop_serve *);
/* Ends circuits that hold memory and do not go on, while it is short. */
void pg_circuits_relieve(struct pg_node *);
struct pg_refusal pg_circuit_refusal(struct pg_session *source, const struct pg_peer_id *target);

/* For status. */
struct pg_relaying_view {
    bool serves;
    uint32_t reservations, circuits, pending;
    uint64_t bytes, held; /* carried; waiting for credit now */
};
void pg_relaying_view(struct pg_node *, struct pg_relaying_view *);

/* For hop_serve.c and node.c. */
void pg_relaying_finished(struct pg_relaying *, struct pg_instance *);
void pg_relaying_settle(struct pg_relaying *); /* frees what has ended */
