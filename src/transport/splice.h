/* One direction of a circuit at its relay: bytes that come on one stream go out on another, as far as that one has credit; what it
 * has none for is held, and its sender gets no window for it. Bytes are decrypted in the loop's buffer and encrypted from there into
 * the queue of the other connection, without a copy between. Called by src/core/hop_serve.c.
 * Serves libp2p/specs relay/circuit-v2.md, "Interaction". */
#pragma once
#include "flow.gen.h"
#include "mem/queue.h"
#include "transport/yamux.h"

struct pg_flow {
    struct pg_instance in;
    struct pg_transport *transport;
    struct pg_stream *from, *to; /* NULL when it is gone; `to` also before the circuit stands */
    struct pg_queue held;
    uint64_t passed;             /* bytes that have come */
    uint64_t most;               /* that may come; 0: any number */
    uint64_t taken_us;           /* when bytes of what is held have gone out last, or it began to be held */
};

enum pg_flow_taken { PG_FLOW_TAKEN, PG_FLOW_EXCEEDED, PG_FLOW_SHORT };

/* Holds everything until pg_flow_begin. */
void pg_flow_init(struct pg_flow *, struct pg_transport *, struct pg_stream *from, uint64_t most, struct pg_instance *owner, uint32_t key);
void pg_flow_begin(struct pg_flow *, struct pg_stream *to);
/* EXCEEDED: more has come than may, what may has been passed on. SHORT: memory is, and this flow's reader is slow. */
enum pg_flow_taken pg_flow_take(struct pg_flow *, struct pg_bytes);
/* The stream that it goes out on takes bytes again. */
void pg_flow_writable(struct pg_flow *);
/* The circuit is over: nothing passes any more, and nothing is held. */
void pg_flow_cut(struct pg_flow *);
