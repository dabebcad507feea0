/* A connection: one link, upgraded by Noise and Yamux, with a proven remote.
 * Source: libp2p/specs connections/README.md, "Upgrading connections". */
#pragma once
#include "transport/negotiate.h"
#include "transport/transport.h"
#include "transport/yamux.h"
#include "upgrade.gen.h"

/* Above this much unsent, or its share of the memory where that is less, a connection takes no more from its streams' sources;
 * below the second it does again. */
#define PG_CONN_HIGH (512u * 1024u)
#define PG_CONN_LOW (128u * 1024u)
/* Above this much unsent nothing more is read from a remote that makes us answer and does not read the answers. */
#define PG_CONN_DEAF (2048u * 1024u)

struct pg_upgrade {
    struct pg_instance in;
    struct pg_timer timers[PG_UPGRADE_TIMERS];
};

struct pg_conn {
    struct pg_upgrade upgrade;
    struct pg_instance noise; /* noise_dial or noise_listen */
    struct pg_noise_handshake handshake;
    struct pg_yamux_session yamux;
    struct pg_transport *transport;
    struct pg_link *link;
    struct pg_negotiation *negotiation; /* while choosing or muxing */
    struct pg_noise_cipher *send, *receive;
    struct pg_queue rest; /* start of an incomplete message */
    struct pg_peer_id expected, peer;
    uint64_t bytes_sent; /* of the secured part */
    uint64_t unsent_us, unsent_mark; /* what was unsent then; it has left when as many bytes have */
    uint64_t rest_us;                /* when the incomplete message began */
    struct pg_endpoint remote, local;
    struct pg_conn *next_doomed;
    void *above;        /* the core's */
    uint32_t number;
    uint32_t body_most; /* of a frame that we send */
    enum pg_err why;    /* of its end */
    bool dialer; /* we have opened the link */
    bool client; /* our role in negotiation, Noise and Yamux; another one only where two dials may meet and be one connection */
    bool early_muxer, has_handshake;
    bool moved;  /* bytes of streams that are no housekeeping have passed; cleared by the core */
};

/* A connection over a link that is up (accepted) or will be (dialled: call pg_conn_linked then). `expected` may be
 * empty. Whoever dials is the client, unless the caller says otherwise before the link is up. NULL when there are too many. */
struct pg_conn *pg_conn_new(struct pg_transport *, struct pg_link *, bool dialer, const struct pg_peer_id *expected);
void pg_conn_linked(struct pg_conn *, const struct pg_endpoint *remote, const struct pg_endpoint *local);
/* The data is decrypted in place; PG_READ_HEADROOM bytes before it are writable. */
void pg_conn_received(struct pg_conn *, uint8_t *data, size_t len);
void pg_conn_written(struct pg_conn *);
/* The link has died or the remote has ended it. */
void pg_conn_link_lost(struct pg_conn *, enum pg_err);
/* While it is being agreed on security: whether the other side has proposed nothing, and to be the client then. */
bool pg_conn_is_unasked(const struct pg_conn *);
bool pg_conn_is_greeted(const struct pg_conn *); /* and whether it has said that it is there */
void pg_conn_become_client(struct pg_conn *);
/* Says farewell and closes. */
void pg_conn_close(struct pg_conn *, enum pg_err);
/* What may be unsent now. The less memory is left the less it is, so that connections whose remotes do not read leave room for
 * the others: dynamic thresholds, as Choudhury and Hahne have them for switches with shared memory (IEEE/ACM ToN 6(2), 1998). */
size_t pg_conn_unsent_most(const struct pg_conn *);
/* Whether it has bytes in memory that only its remote can free, and for how long the oldest have been there at least. */
bool pg_conn_waits(const struct pg_conn *, uint64_t *for_us);
static inline bool pg_conn_is_up(const struct pg_conn *c)
{
    return c->upgrade.in.ctl.state == PG_UPGRADE_UP;
}

/* Before there are keys. False when memory is short. */
bool pg_conn_send_plain(struct pg_conn *, struct pg_bytes);
/* For yamux: one encrypted message of header and body. False when memory is short (the connection then ends). */
bool pg_conn_send(struct pg_conn *, struct pg_bytes header, struct pg_bytes body);
