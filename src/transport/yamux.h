/* Yamux: a session of a connection and its streams, as the protocols above use them.
 * Source: libp2p/specs yamux/README.md. */
#pragma once
#include "mem/map.h"
#include "mem/rate.h"
#include "reset_pace.gen.h"
#include "stream_ack.gen.h"
#include "stream_local.gen.h"
#include "stream_remote.gen.h"
#include "substream.gen.h"
#include "transport/negotiate.h"
#include "transport/transport.h"
#include "yamux_session.gen.h"

/* The longest body sent: with its header it fills one Noise message. Any length is accepted within the window. */
#define PG_YAMUX_BODY 65507u
/* The longest on a connection over a circuit: its message, with length, header and tag, is one body on the relay's connection. */
#define PG_YAMUX_BODY_CARRIED (PG_YAMUX_BODY - 30u)
#define PG_YAMUX_WINDOW_FIRST (256u * 1024u)
#define PG_YAMUX_WINDOW_MAX (32u * 1024u * 1024u)
#define PG_YAMUX_REFUSED_LEAST 8u /* streams: a remote that refuses one more with fewer has another reason than their number */
#define PG_YAMUX_REFUSED_US 30000000u /* after that its limit is tried again */
#define PG_YAMUX_HOUSEKEEPING 4u /* streams of ours beyond the limit: ping and identify do not compete with tunnels */

struct pg_stream_local {
    struct pg_instance in;
};
struct pg_stream_remote {
    struct pg_instance in;
};
struct pg_stream_ack {
    struct pg_instance in;
};
struct pg_substream {
    struct pg_instance in;
    struct pg_timer timers[PG_SUBSTREAM_TIMERS];
};

struct pg_reset_pace {
    struct pg_instance in;
    struct pg_timer timers[PG_RESET_PACE_TIMERS];
};

struct pg_stream {
    struct pg_substream substream;
    struct pg_stream_local local;
    struct pg_stream_remote remote;
    struct pg_stream_ack ack;
    struct pg_conn *conn;
    const struct pg_handler *handler; /* NULL before agreement (inbound) and after the end */
    void *user;                       /* the handler's */
    struct pg_negotiation *negotiation;
    struct pg_stream *next, **previous; /* of the connection */
    struct pg_stream *next_waiting, **previous_waiting, *next_doomed;
    uint64_t granted_us;   /* when the last window update left */
    uint32_t id;
    uint32_t send_window;  /* what the remote lets us send */
    uint32_t recv_window;  /* what we still let it send */
    uint32_t recv_size;    /* of the window when it is fully open */
    uint32_t to_grant;     /* consumed and not yet given back */
    uint16_t flags_due;    /* for the next frame */
    enum pg_err why;
    bool waiting, said, end_told, works;
    bool held;             /* to be reset when its turn comes; then it is in that list and does not wait for credit */
};

struct pg_yamux_session {
    struct pg_instance in;
    struct pg_timer timers[PG_YAMUX_SESSION_TIMERS];
    struct pg_conn *conn;
    struct pg_map streams;
    struct pg_stream *first;
    struct pg_stream *waiting, **waiting_end; /* for credit, in the order they came */
    uint32_t n_waiting;
    struct pg_stream *body_of; /* whose body is coming in; NULL: skipped */
    uint64_t ping_us, measured_us; /* when the ping under way left; when rtt_us was measured */
    uint32_t ping_value, rtt_us, samples;
    uint32_t next_id, highest_remote, inbound, outbound, unacknowledged;
    uint32_t working; /* streams that are no housekeeping */
    uint32_t refused_most; /* how many of ours stood when the remote refused one more, 0: none yet; its limit is not said on the wire */
    uint64_t refused_us;
    struct pg_rate opens, resets;       /* by the remote */
    struct pg_rate own_resets;
    struct pg_reset_pace pace;
    struct pg_stream *held, **held_end; /* streams of ours that are to be reset, in the order of their turns */
    enum pg_limit forbidden; /* what forbids the SYN in hand; PG_LIMITS: nothing */
    uint32_t body_left;
    uint16_t body_flags;
    uint8_t header[12], header_used;
    uint32_t fresh_id; /* of the SYN in hand */
    uint32_t pong_value;
    bool begun;
};

/* Opens a stream and proposes the handler's protocol on it; data may be written at once. NULL when the connection is
 * not up, says farewell, or the backlog is full (*why says which). */
struct pg_stream *pg_stream_open(struct pg_conn *, const struct pg_handler *, void *user, enum pg_err *why);
/* Streams that we open here before another connection has to take them: as many as --max-streams-outbound says, fewer while the
 * remote has lately refused one more. */
uint64_t pg_yamux_most_outbound(const struct pg_yamux_session *);
/* Whether pg_stream_open would find room for a stream that is no housekeeping. */
bool pg_stream_room(const struct pg_conn *);
/* Whether a stream of the other side's is there whose protocol is not agreed on yet. */
bool pg_yamux_is_asked(const struct pg_yamux_session *);
/* Bytes that pg_stream_write takes now. */
size_t pg_stream_credit(const struct pg_stream *);
/* At most the credit. False when memory is short; the connection ends then. */
bool pg_stream_write(struct pg_stream *, struct pg_bytes);
/* The handler's `writable` is called once when there is credit again. */
void pg_stream_await_credit(struct pg_stream *);
/* n bytes that `data` has brought are out of the way. */
void pg_stream_consumed(struct pg_stream *, size_t n);
void pg_stream_end(struct pg_stream *);   /* we write no more */
void pg_stream_reset(struct pg_stream *); /* nothing more is called for it; the remote hears of it as soon as reset_rate permits */
void pg_stream_detach(struct pg_stream *); /* nothing more is called for it; it ends by itself */
void pg_stream_drop(struct pg_stream **);  /* resets it, if there is one, and leaves NULL */
void pg_stream_leave(struct pg_stream **); /* the same for detaching it */
const struct pg_peer_id *pg_stream_peer(const struct pg_stream *);

/* For conn.c. */
void pg_yamux_begin(struct pg_yamux_session *, struct pg_conn *);
void pg_yamux_received(struct pg_yamux_session *, struct pg_bytes plain);
void pg_yamux_writable(struct pg_yamux_session *);
void pg_yamux_leave(struct pg_yamux_session *);
/* A ping at once, unless one is under way; without an answer the connection ends as it does for a keep-alive. */
void pg_yamux_probe(struct pg_yamux_session *);
void pg_yamux_end(struct pg_yamux_session *, enum pg_err);
void pg_yamux_free(struct pg_yamux_session *);
void pg_yamux_reap(struct pg_transport *);

/* Between yamux.c and yamux_stream.c. */
bool pg_yamux_frame(struct pg_yamux_session *, uint8_t type, uint16_t flags, uint32_t id, uint32_t length, struct pg_bytes body);
struct pg_stream *pg_yamux_stream_new(struct pg_yamux_session *, uint32_t id);
void pg_yamux_stream_accepted(struct pg_stream *);
void pg_yamux_stream_flags(struct pg_stream *, uint16_t flags);
void pg_yamux_stream_data(struct pg_stream *, struct pg_bytes);
void pg_yamux_stream_window(struct pg_stream *, uint32_t more);
/* Both halves end, and the remote is told. */
void pg_yamux_stream_drop(struct pg_stream *);
/* reset_pace.c: whether the reset has to wait, and does now; and that a stream that perhaps does so ends in another way. */
bool pg_reset_pace_hold(struct pg_stream *);
void pg_reset_pace_forget(struct pg_stream *);
/* A waiting stream's turn to write, when it has credit. */
void pg_yamux_stream_turn(struct pg_stream *);
void pg_yamux_stream_lose(struct pg_stream *, enum pg_err);
