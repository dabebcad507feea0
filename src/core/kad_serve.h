/* Serving Kademlia: a machine for each stream that a client has opened, what it may ask, and what is answered.
 * The server is part of the node; called through the handlers of its streams, by node.c and by identify.c.
 * Serves libp2p/specs kad-dht/README.md, "RPC messages" and "Client and server mode". */
#pragma once
#include "core/kad_store.h"
#include "core/kad_table.h"
#include "kad.pb.gen.h"
#include "kad_serve.gen.h"
#include "mem/rate.h"
#include "transport/yamux.h"
#include "wire/frame.h"

#define PG_KAD_SERVING_IDS 2u /* --kad-protocol, and that of the public network */

struct pg_node;
struct pg_session;

struct pg_kad_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_KAD_SERVE_TIMERS];
    struct pg_kad_serve *next, *previous; /* in the order in which they have been asked; ended ones use next alone */
    struct pg_kad_serving *server;
    struct pg_stream *stream;
    struct pg_session *session;
    struct pg_frame frame;
    uint8_t *answer; /* a chunk, while there is one to be written; frame.room is one while a request comes in */
    uint32_t answer_len;
    enum pg_err why;
};

/* The request in hand, between its decoding and the actions of its row. */
struct pg_kad_hand {
    struct pg_pb_kad_message m;
    struct pg_kad_contact provider;
};

struct pg_kad_serving {
    struct pg_node *node;
    struct pg_kad_table *table;
    struct pg_kad_store *store;
    struct pg_handler handlers[PG_KAD_SERVING_IDS];
    uint32_t n_handlers;
    struct pg_pool serves;
    struct pg_kad_serve *first, *last, *ended;
    struct pg_kad_hand hand;
    uint32_t next_key;
};

/* Of each connection; zeroed at first. */
struct pg_kad_seat {
    uint32_t streams;
    struct pg_rate requests;
};

/* The node serves the ids from now on. Table and store are the caller's. False when memory cannot be had. */
bool pg_kad_serving_init(struct pg_kad_serving *, struct pg_node *, struct pg_kad_table *, struct pg_kad_store *);
/* When the streams are gone. */
void pg_kad_serving_free(struct pg_kad_serving *);

/* Whether we serve the peer at the other end: always who is on loopback or in a private network, others while our NAT is not known
 * to be private. A command serves nobody. */
bool pg_kad_serving_serves(const struct pg_node *, const struct pg_session *);
/* Whether strangers at public addresses are among them. */
bool pg_kad_serving_everybody(const struct pg_node *);
/* Streams on which somebody is served. */
uint32_t pg_kad_serving_streams(struct pg_kad_serving *);
/* Whether the handler is one of Kademlia's: it is not offered to those whom we do not serve. */
bool pg_kad_serving_owns(const struct pg_kad_serving *, const struct pg_handler *);
/* A machine has come to its end. */
void pg_kad_serving_finished(struct pg_kad_serving *, struct pg_instance *);
