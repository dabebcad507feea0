/* A hop stream at its relay, the stream to the target, and the circuit between the two. Made by the handler of hop streams; kept by
 * relaying.c. Serves libp2p/specs relay/circuit-v2.md, "Hop Protocol" and "Stop Protocol". */
#pragma once
#include "circuit.pb.gen.h"
#include "core/budget.h"
#include "crypto/keys.h"
#include "hop_serve.gen.h"
#include "limits.gen.h"
#include "stop_connect.gen.h"
#include "transport/splice.h"
#include "wire/frame.h"

struct pg_node;
struct pg_relaying;
struct pg_session;

struct pg_stop_connect {
    struct pg_instance in;
    struct pg_timer timers[PG_STOP_CONNECT_TIMERS];
    struct pg_stream *stream;
};

struct pg_hop_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_HOP_SERVE_TIMERS];
    struct pg_hop_serve *next, *previous; /* of those without a request, then of the circuits; those that have ended use next alone */
    struct pg_relaying *relaying;
    struct pg_session *session; /* of the source; until its stream has ended */
    struct pg_stream *source;
    struct pg_stop_connect stop;
    struct pg_flow out, back; /* to the target, and from there */
    struct pg_frame frame;    /* of the request, then of the target's answer; its room is a chunk while one is incomplete */
    struct pg_place *source_place, *target_place; /* while it is counted */
    struct pg_peer_id origin, target; /* origin: of a circuit, whose session may end before it */
    enum pg_pb_circuit_status status; /* of our answer */
    enum pg_limit limit;
    const char *why;
    uint64_t began_us;
    bool stood;
};

extern const struct pg_handler pg_hop_handler;

/* For stop_connect.c. */
/* What a circuit may carry, as both its ends are told; false: as much as they like, for as long as they like. */
bool pg_circuit_limit_tell(const struct pg_node *, struct pg_pb_circuit_limit *);
/* The frame's room, as long as memory is not short. */
bool pg_hop_room_take(struct pg_hop_serve *);
void pg_hop_room_give(struct pg_hop_serve *);
/* Its target has reserved on this connection: who is asked on another one is asked again here. */
void pg_stop_connect_follow(struct pg_hop_serve *, const struct pg_conn *);
/* Bytes of a circuit. */
void pg_hop_take(struct pg_hop_serve *, struct pg_flow *, struct pg_bytes);
