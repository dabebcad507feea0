/* Measuring throughput: the asking side for the command perf, the serving side of every peer, and what they share.
 * Called by task_perf.c and peer.c. Source: libp2p/specs perf/perf.md: the client sends as 8 bytes, big endian, how many
 * bytes it wants, then its own bytes, and ends; the server, having read to the end, sends as many, and ends. */
#pragma once
#include "core/node.h"
#include "perf.gen.h"
#include "perf_serve.gen.h"
#include "transport/yamux.h"

#define PG_PERF_SERVED PG_FIXED_PERF
#define PG_PERF_SERVED_PEER PG_FIXED_PERF_PEER

struct pg_perf {
    struct pg_instance in;
    struct pg_node *node;
    struct pg_session *session;
    struct pg_stream *stream;
    uint64_t up, down;             /* bytes asked for */
    uint64_t left, got;            /* still to be sent, come so far */
    uint64_t began_us, turned_us;  /* when the request left; when the answer began */
    uint64_t told_us;              /* when `progress` was last called */
    enum pg_err why;
    struct pg_bytes reason;
    /* down_us ends, up_us ends where the answer begins: the peer has read everything then. */
    void (*progress)(struct pg_perf *);
    void (*told)(struct pg_perf *, bool ok, uint64_t up_us, uint64_t down_us);
    void *context;
};
/* up, down, progress, told and context are set. */
void pg_perf_start(struct pg_perf *, struct pg_session *);
void pg_perf_end(struct pg_perf *);

struct pg_perf_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_PERF_SERVE_TIMERS];
    struct pg_perf_server *server;
    struct pg_stream *stream;
    uint8_t request[8], n_request;
    uint64_t taken, wanted, left, marked; /* bytes; marked: taken and given when the timer was started */
    char peer[PG_PEER_ID_TEXT];
};
struct pg_perf_server {
    struct pg_node *node;
    struct pg_perf_serve servings[PG_PERF_SERVED];
    uint32_t next_key;
};
bool pg_perf_server_init(struct pg_perf_server *, struct pg_node *);
void pg_perf_server_free(struct pg_perf_server *);
/* The server of the peer whose services these are: in peer.c, which alone knows them all. */
struct pg_perf_server *pg_perf_server_of(void *services);

/* Writes zeros as the credit allows, and asks to be called again when it was too little. */
void pg_perf_push(struct pg_stream *, uint64_t *left);
