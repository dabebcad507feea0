/* What connections and streams share: identity, pools, limits, and how they reach the core above.
 * Made and owned by src/core/node.c. */
#pragma once
#include "crypto/keys.h"
#include "crypto/noise_cipher.h"
#include "errors.gen.h"
#include "limits.gen.h"
#include "logs.gen.h"
#include "machine/machine.h"
#include "mem/pool.h"
#include "metrics.gen.h"
#include "port.h"

struct pg_conn;
struct pg_circuit;
struct pg_stream;

/* On which connections a protocol is spoken: on all, only on those that run over a circuit, or never on these. */
enum pg_relayed { PG_RELAYED_ALSO, PG_RELAYED_ONLY, PG_RELAYED_NEVER };

/* A protocol as its streams see it. After `closed`, or after the user's own pg_stream_reset, the stream is gone and
 * nothing more is called for it. */
struct pg_handler {
    struct pg_bytes protocol;
    bool housekeeping;                                   /* its streams do not keep a connection */
    enum pg_relayed relayed;
    void (*opened)(struct pg_stream *);                  /* agreed on; inbound streams get their user here */
    void (*data)(struct pg_stream *, struct pg_bytes);   /* give window back with pg_stream_consumed */
    void (*ended)(struct pg_stream *);                   /* the remote writes no more */
    void (*writable)(struct pg_stream *);                /* after pg_stream_await_credit */
    void (*closed)(struct pg_stream *, enum pg_err);     /* PG_OK: both halves ended */
};

struct pg_transport {
    struct pg_scope *scope;
    const struct pg_identity *identity;
    struct pg_noise_static noise;
    uint8_t noise_payload[256];
    size_t noise_payload_len;
    struct pg_log *log;
    struct pg_metrics *metrics;
    struct pg_pool *chunks;
    struct pg_pool conns, streams, negotiations;
    size_t window_budget, window_used; /* bytes that receive windows may hold beyond their first size, all streams */
    const struct pg_limits *limits;
    uint64_t map_seed;
    struct pg_stream *doomed; /* to be freed when the turn is over */
    bool starved;             /* a stream of ours could not be opened because all were in use */
    struct pg_conn *doomed_conns;
    struct pg_pool circuits;
    struct pg_circuit *circuits_due, **circuits_due_end; /* with something to do at the end of the turn */
    uint8_t *circuit_room; /* where what comes in on a circuit is put, with its headroom */

    /* Upwards. */
    void *above;
    void (*command)(void *above, const struct pg_command *);
    void (*deliver)(void *above, const struct pg_input *);         /* of a link that a circuit carries */
    void (*unlink)(void *above, struct pg_link *);                 /* such a link is dead */
    void (*arrived)(void *above, struct pg_conn *);                /* identity proven, streams may open */
    void (*lost)(void *above, struct pg_conn *, enum pg_err);      /* at any stage; the connection is gone after the turn */
    void (*relieved)(void *above, struct pg_conn *);               /* it takes streams of ours again */
    void (*moved)(void *above, struct pg_conn *);                  /* its `moved` has been set */
    void (*emptied)(void *above, struct pg_conn *);                /* it carries nothing any more but its own housekeeping */
    enum pg_limit (*forbids)(void *above, struct pg_conn *);       /* one more stream of the remote; PG_LIMITS: nothing does */
    void (*refused)(void *above, struct pg_conn *, enum pg_limit, const char *what);
    const struct pg_handler *(*protocol)(void *above, struct pg_conn *, struct pg_bytes offer); /* NULL: not spoken */
};

/* False when memory or randomness cannot be had. The public fields above are set by the caller first. */
bool pg_transport_init(struct pg_transport *, uint32_t max_conns, uint32_t max_streams);
void pg_transport_free(struct pg_transport *);
/* Frees what ended during the turn. */
void pg_transport_reap(struct pg_transport *);
