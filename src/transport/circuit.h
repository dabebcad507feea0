/* One end of a circuit: a link whose bytes are those of a stream to a relay, so that a connection over a relay is like any other.
 * Made by hop_connect.c and stop_serve.c in src/core; its commands come from node.c, which keeps them from the loop.
 * Source: libp2p/specs relay/circuit-v2.md, "Interaction". */
#pragma once
#include "circuit.gen.h"
#include "crypto/multiaddr.h"
#include "transport/yamux.h"

struct pg_circuit {
    struct pg_instance in;
    struct pg_timer timers[PG_CIRCUIT_TIMERS];
    struct pg_transport *transport;
    struct pg_link *link;     /* NULL: it is dead, and given back */
    struct pg_stream *stream; /* NULL: not agreed on yet, or no more */
    struct pg_circuit *next_due;
    void (*dropped)(struct pg_circuit *); /* whoever opens it hears that nobody wants it any more */
    void *opener;
    struct pg_multiaddr via;  /* RELAY_ADDR/p2p/RELAY/p2p-circuit */
    struct pg_peer_id relay;
    uint64_t begun_us;
    uint64_t limit_bytes, limit_us; /* what the relay has said that it lets through, each way, and how long; 0: nothing said */
    uint64_t bytes_in, bytes_out;
    size_t kept;              /* came in while the link had no credit: its window is not given back yet */
    enum pg_err why;          /* of the loss that is to be told */
    uint8_t asked;            /* commands of this turn */
    bool due, loses, held;    /* held: somebody still reads it when its link is gone */
    char reason[128];
};

/* The circuit of a fresh link, which has no stream yet; NULL when there are too many. The link is its own from now on. */
struct pg_circuit *pg_circuit_new(struct pg_transport *, struct pg_link *);
/* Between steps: the relay has agreed, the stream carries the link's bytes from now on. Its owner hears of the link as of a socket
 * that is connected, and then the bytes that came with the relay's answer. */
void pg_circuit_carry(struct pg_circuit *, struct pg_stream *, struct pg_bytes rest);
/* The relay has not agreed, or cannot be reached: the owner hears that the link is lost, when the turn is over. */
void pg_circuit_fail(struct pg_circuit *, enum pg_err, struct pg_bytes reason);
/* PG_COMMAND_WRITE, READ, END, CLOSE or RESET for its link; done at the end of the turn. */
void pg_circuit_command(struct pg_circuit *, enum pg_command_kind);
/* Nobody reads it any more once its link is gone. */
void pg_circuit_release(struct pg_circuit *);
/* Of the limits that the relay has told; 0 also when it has told none. */
uint64_t pg_circuit_left_bytes(const struct pg_circuit *);
uint64_t pg_circuit_left_us(const struct pg_circuit *);

bool pg_circuits_init(struct pg_transport *, uint32_t most);
void pg_circuits_free(struct pg_transport *);
/* At the end of a turn, between steps: writes, tells, ends. False: there was nothing to do. */
bool pg_circuits_settle(struct pg_transport *);
