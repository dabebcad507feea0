/* A peer with its services, or a command that does one thing at a peer: the node and what people use on top of it.
 * Called by src/cli/main.c. */
#pragma once
#include "core/kad.h"
#include "core/node.h"

enum pg_task_kind { PG_TASK_NONE, PG_TASK_PING, PG_TASK_IDENTIFY, PG_TASK_PERF, PG_TASK_PIPE, PG_TASK_DHT, PG_TASK_AUTONAT, PG_TASK_PATH };

#define PG_EXPOSE_ALLOWED 32u

struct pg_peer_expose {
    struct pg_bytes name, host, path; /* path of a unix socket, or host and port */
    uint16_t port;
    uint32_t n_allowed;               /* 0: every peer may open it */
    struct pg_peer_id allowed[PG_EXPOSE_ALLOWED];
};
struct pg_peer_forward {
    struct pg_peer_id peer;   /* empty: whoever has the service */
    struct pg_multiaddr addr; /* of the peer, when it was given; else empty */
    struct pg_bytes service, host, path;
    uint16_t port;
    uint32_t n_allowed;       /* by name: 0 when every peer may be used */
    struct pg_peer_id allowed[PG_EXPOSE_ALLOWED];
};

/* From the text of --expose, --tunnel or --tunnel-by-name, which they point into. False when it is wrong. */
bool pg_peer_expose_read(struct pg_peer_expose *, struct pg_bytes);
bool pg_peer_forward_read(struct pg_peer_forward *, struct pg_bytes);
bool pg_peer_named_read(struct pg_peer_forward *, struct pg_bytes);

/* Texts are borrowed for the peer's life. */
struct pg_peer_config {
    struct pg_node_config node;
    const struct pg_peer_expose *exposed;
    const struct pg_peer_forward *forwards;
    uint32_t n_exposed, n_forwards;
    uint64_t tunnel_wait_ms;
    struct pg_bytes control; /* path of the socket; empty: none */
    bool control_needed;     /* it was asked for by name: no start without it */

    enum pg_task_kind task;
    struct pg_multiaddr address; /* of a task */
    struct pg_bytes service;     /* of a pipe */
    enum pg_kad_op dht;          /* what is asked of the DHT, through node.bootstraps */
    struct pg_bytes key, value;
    uint32_t count;              /* of pings */
    uint64_t up, down;           /* bytes of perf */
    unsigned autonat_version;    /* 1 or 2; 0: the newest that the server speaks */
    uint64_t timeout_ms;
    bool json;
    bool wait_direct;            /* of path: a relayed connection is not enough */
};

struct pg_peer;
/* NULL when memory cannot be had or a list is longer than its limit. */
struct pg_peer *pg_peer_new(const struct pg_peer_config *);
void pg_peer_free(struct pg_peer *);
struct pg_core pg_peer_core(struct pg_peer *);
struct pg_node *pg_peer_node(struct pg_peer *);
/* How a task failed: PG_OK when it did not. reason is valid as long as the peer. */
enum pg_err pg_peer_failure(const struct pg_peer *, struct pg_bytes *reason);
