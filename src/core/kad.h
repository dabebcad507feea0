/* Kademlia as the rest of the program knows it: questions to the peers around a key, and visits to peers that are wanted for
 * one thing. Called by src/service; the machines are kad_query, kad_request and kad_refresh in spec/machine.
 * Serves libp2p/specs kad-dht/README.md, "DHT Operations". */
#pragma once
#include "core/kad_key.h"
#include "core/node.h"

enum pg_kad_op {
    PG_KAD_CLOSEST,   /* the nearest k servers to the key */
    PG_KAD_FIND_PEER, /* where a peer can be reached; key: its id */
    PG_KAD_GET_VALUE,
    PG_KAD_PUT_VALUE,
    PG_KAD_PROVIDE,   /* tells the nearest servers that we provide the key */
    PG_KAD_PROVIDERS
};

struct pg_kad_question {
    enum pg_kad_op op;
    struct pg_bytes key;   /* raw, copied; a peer id's bytes for FIND_PEER */
    struct pg_bytes value; /* PUT_VALUE; copied */
    uint32_t enough;       /* PROVIDERS: stop after so many; GET_VALUE: after so many equal answers; 0: the walk's own end */
    uint32_t each;         /* PROVIDERS: so many that one peer names, ourselves among them, so that none fills all places; 0: any number */
    const struct pg_peer_id *only; /* PROVIDERS: these; others are passed over. Borrowed until `done`; NULL: all */
    uint32_t n_only;
    uint64_t timeout_ms;   /* 0: limit kad_query */
};

/* Borrowed until `done` returns. */
struct pg_kad_result {
    enum pg_err why;         /* PG_OK: it did what it should; else PG_ERR_NOT_FOUND, PG_ERR_TIMEOUT, PG_ERR_NO_PEERS, … */
    uint32_t n_peers;        /* that answered; for PUT_VALUE and PROVIDE: that took it, ourselves apart */
    uint32_t hops, messages; /* longest chain of answers that led to who answered; requests sent */
    uint32_t n_found;        /* how often `found` was called */
    struct pg_bytes value;   /* GET_VALUE */
    const struct pg_kad_contact *closest; /* CLOSEST: those that answered, nearest first */
    uint32_t n_closest;
};

/* Whoever asks; its struct has one of these. None is called from inside pg_kad_ask. */
struct pg_kad_asker {
    /* PROVIDERS: each new one, as they come, our own store first; FIND_PEER: the peer. NULL is fine. */
    void (*found)(struct pg_kad_asker *, const struct pg_kad_contact *);
    /* What somebody else says of one that was found: what was said first may be old, or a lie. NULL is fine. */
    void (*more)(struct pg_kad_asker *, const struct pg_kad_contact *);
    void (*done)(struct pg_kad_asker *, const struct pg_kad_result *); /* once and last */
};

struct pg_kad_query;
/* Waits while no server is known or a limit forbids to go on, until its time is over. PROVIDE and PUT_VALUE put the record into
 * our own store as well, at once. NULL: too many at once (limit kad_queries), a key too long, memory short, or we are stopping. */
struct pg_kad_query *pg_kad_ask(struct pg_node *, struct pg_kad_asker *, const struct pg_kad_question *);
/* Nothing of it is wanted any more: no further call. Not after `done`. */
void pg_kad_forget(struct pg_kad_query *);
/* Our own records under the key are not answered with any more. What others hold of them ends by itself. */
void pg_kad_withdraw(struct pg_node *, struct pg_bytes key);
/* Servers that the routing table holds. */
uint32_t pg_kad_known(const struct pg_node *);

/* What can be said of our part in the DHT, for `status`. */
struct pg_kad_view {
    const char *mode;           /* "server", or "client": behind a NAT only those near us are served */
    uint32_t servers, waiting;  /* in the routing table; that wait for a place in it */
    uint32_t values, providers; /* records that are kept, ours among them */
    uint32_t own;
    uint32_t queries, streams;  /* look-ups under way; streams on which others are served */
};
void pg_kad_view(struct pg_node *, struct pg_kad_view *);
/* The servers nearest to ourselves that we know, nearest first, with where they are thought to be: at most PG_KAD_K. */
uint32_t pg_kad_neighbourhood(const struct pg_node *, struct pg_kad_contact out[PG_KAD_K]);

/* Visits: a connection to a peer that is wanted for one thing, not for ever. */
struct pg_visitor {
    void (*up)(struct pg_visitor *, struct pg_session *); /* once, never from inside pg_node_visit */
    void (*failed)(struct pg_visitor *, enum pg_err, struct pg_bytes reason); /* the same; one of the two */
};
struct pg_visit;
/* Up already, or dialled once over these addresses and what else is known of the peer. Visits are counted: a contact that
 * nobody wants any more is released, and its connection closed when it has been idle for some time. Whose addresses they are
 * to say, and that they may be dialled at all, has been checked before. NULL: too many at once. */
struct pg_visit *pg_node_visit(struct pg_node *, struct pg_visitor *, const struct pg_kad_contact *);
/* Before or after its one call; once. */
void pg_visit_end(struct pg_visit *);
