/* Yamux sessions: frames in, frames out, keep-alive and farewell; facts and actions of yamux_session.
 * Called by conn.c; hands streams to yamux_stream.c. Source: libp2p/specs yamux/README.md. */
#include "transport/yamux.h"

#include "transport/conn.h"
#include "yamux.wire.gen.h"

#include <assert.h>
#include <stddef.h>

enum { RTT_HOLDS_US = 60 * 1000000 };

static struct pg_transport *transport(const struct pg_yamux_session *y)
{
    return y->conn->transport;
}

bool pg_yamux_frame(struct pg_yamux_session *y, uint8_t type, uint16_t flags, uint32_t id, uint32_t length, struct pg_bytes body)
{
    uint8_t header[12];
    pg_yamux_header_write(&(struct pg_yamux_header){.type = type, .flags = flags, .stream = id, .length = length}, header);
    return pg_conn_send(y->conn, pg_bytes(header, sizeof header), body);
}

/* Facts. */

bool pg_yamux_session_is_fresh(const struct pg_yamux_session *y)
{
    /* Clients number odd, servers even; numbers only grow. */
    return (y->fresh_id & 1) == (y->conn->client ? 0 : 1) && y->fresh_id > y->highest_remote;
}

bool pg_yamux_session_is_room(const struct pg_yamux_session *y)
{
    return y->forbidden == PG_LIMITS;
}

bool pg_yamux_session_is_solicited(const struct pg_yamux_session *y)
{
    return y->ping_us != 0 && y->pong_value == y->ping_value;
}

bool pg_yamux_session_is_busy(const struct pg_yamux_session *y)
{
    return y->first != NULL;
}

/* Actions. */

void pg_yamux_session_do_pong_send(struct pg_yamux_session *y)
{
    (void)pg_yamux_frame(y, PG_YAMUX_PING, PG_YAMUX_ACK, 0, y->pong_value, PG_NONE);
}

void pg_yamux_session_do_ping_send(struct pg_yamux_session *y)
{
    y->ping_us = transport(y)->scope->now_us;
    y->ping_value++;
    (void)pg_yamux_frame(y, PG_YAMUX_PING, PG_YAMUX_SYN, 0, y->ping_value, PG_NONE);
}

void pg_yamux_session_do_rtt_measure(struct pg_yamux_session *y)
{
    uint64_t now = transport(y)->scope->now_us, rtt = now - y->ping_us;
    /* The shortest of a while: a pong that had to queue says nothing of the path. */
    if (rtt < y->rtt_us || now - y->measured_us > RTT_HOLDS_US) {
        y->rtt_us = rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX;
        y->measured_us = now;
    }
    y->samples++;
    y->ping_us = 0;
}

void pg_yamux_session_do_goaway_send(struct pg_yamux_session *y)
{
    (void)pg_yamux_frame(y, PG_YAMUX_GOAWAY, 0, 0, 0, PG_NONE);
}

void pg_yamux_session_do_goaway_protocol(struct pg_yamux_session *y)
{
    y->conn->why = y->conn->why ? y->conn->why : PG_ERR_YAMUX_BAD_FRAME;
    (void)pg_yamux_frame(y, PG_YAMUX_GOAWAY, 0, 0, 1, PG_NONE);
}

void pg_yamux_session_do_silence_note(struct pg_yamux_session *y)
{
    y->conn->why = PG_ERR_TIMEOUT;
}

void pg_yamux_session_do_peer_leaves_note(struct pg_yamux_session *y)
{
    y->conn->why = PG_ERR_YAMUX_GOAWAY;
    /* With nothing left to finish the session is over at once. */
    pg_post(&y->in, PG_YAMUX_SESSION_ON_STREAM_GONE);
}

void pg_yamux_session_do_stream_accept(struct pg_yamux_session *y)
{
    y->highest_remote = y->fresh_id;
    struct pg_stream *s = pg_yamux_stream_new(y, y->fresh_id);
    if (!s) {
        y->forbidden = PG_LIMIT_MEMORY;
        pg_yamux_session_do_stream_refuse(y);
        return;
    }
    y->inbound++;
    pg_yamux_stream_accepted(s);
}

void pg_yamux_session_do_stream_refuse(struct pg_yamux_session *y)
{
    y->highest_remote = y->fresh_id;
    if (y->forbidden != PG_LIMITS)
        transport(y)->refused(transport(y)->above, y->conn, y->forbidden, "stream");
    (void)pg_yamux_frame(y, PG_YAMUX_WINDOW, PG_YAMUX_RST, y->fresh_id, 0, PG_NONE);
}

/* Receiving. */

static void bad_frame(struct pg_yamux_session *y, enum pg_err why)
{
    if (!y->conn->why)
        y->conn->why = why;
    pg_step(&y->in, PG_YAMUX_SESSION_ON_FRAME_BAD);
}

static bool is_open(const struct pg_yamux_session *y)
{
    return y->in.ctl.state != PG_YAMUX_SESSION_CLOSED;
}

static uint64_t most(const struct pg_yamux_session *y, enum pg_limit limit)
{
    return transport(y)->limits->value[limit];
}

/* What the remote has opened to reset it, or faster than it may: that costs us work and it no stream, so only a rate can
 * bound it. */
static void count_waste(struct pg_yamux_session *y)
{
    uint64_t each_s = most(y, PG_LIMIT_RESET_RATE);
    if (pg_rate_take(&y->resets, transport(y)->scope->now_us, each_s, 8 * each_s))
        return;
    transport(y)->refused(transport(y)->above, y->conn, PG_LIMIT_RESET_RATE, NULL);
    bad_frame(y, PG_ERR_YAMUX_FLOOD);
}

static enum pg_limit forbidden(struct pg_yamux_session *y)
{
    struct pg_transport *t = transport(y);
    uint64_t each_s = most(y, PG_LIMIT_STREAM_RATE);
    if (!pg_rate_take(&y->opens, t->scope->now_us, each_s, 2 * each_s))
        return PG_LIMIT_STREAM_RATE;
    if (y->inbound >= most(y, PG_LIMIT_STREAMS_CONN))
        return PG_LIMIT_STREAMS_CONN;
    if (t->streams.used >= most(y, PG_LIMIT_STREAMS))
        return PG_LIMIT_STREAMS;
    return t->forbids(t->above, y->conn);
}

/* The stream a frame speaks of, after its SYN has made it; NULL for one that is gone or was refused. */
static struct pg_stream *addressed(struct pg_yamux_session *y, const struct pg_yamux_header *h)
{
    if (h->flags & PG_YAMUX_SYN) {
        y->fresh_id = h->stream;
        y->forbidden = forbidden(y);
        pg_step(&y->in, PG_YAMUX_SESSION_ON_SYN_RECEIVED);
        /* A crowd that finds no room is no waste: its rate is bounded, and ending the connection would end what runs on it. */
        if (y->forbidden == PG_LIMIT_STREAM_RATE && is_open(y))
            count_waste(y);
    }
    return is_open(y) ? pg_map_get(&y->streams, h->stream) : NULL;
}

static void take_data(struct pg_yamux_session *y, const struct pg_yamux_header *h)
{
    struct pg_stream *s = addressed(y, h);
    if (!is_open(y))
        return;
    y->body_of = NULL;
    y->body_left = h->length;
    y->body_flags = h->flags & (PG_YAMUX_FIN | PG_YAMUX_RST);
    if (!s)
        return; /* the payload is skipped, the framing kept */
    if (h->length > s->recv_window) {
        bad_frame(y, PG_ERR_YAMUX_WINDOW_EXCEEDED);
        return;
    }
    if (h->length > 0 && !((1u << s->remote.in.ctl.state) & PG_STREAM_REMOTE_MAY_RECV) &&
        pg_step(&s->remote.in, PG_STREAM_REMOTE_ON_DATA_RECEIVED) == PG_REJECT) {
        bad_frame(y, PG_ERR_YAMUX_BAD_FRAME);
        return;
    }
    s->recv_window -= h->length;
    y->body_of = s;
    if (h->flags & PG_YAMUX_ACK)
        pg_yamux_stream_flags(s, PG_YAMUX_ACK);
    if (h->length == 0 && y->body_flags)
        pg_yamux_stream_flags(s, y->body_flags);
}

static void take_window(struct pg_yamux_session *y, const struct pg_yamux_header *h)
{
    struct pg_stream *s = addressed(y, h);
    if (!s)
        return;
    if (h->length > UINT32_MAX - s->send_window) {
        bad_frame(y, PG_ERR_YAMUX_BAD_FRAME);
        return;
    }
    pg_yamux_stream_window(s, h->length);
    uint16_t flags = h->flags & (PG_YAMUX_ACK | PG_YAMUX_FIN | PG_YAMUX_RST);
    if (flags)
        pg_yamux_stream_flags(s, flags);
}

static void take_header(struct pg_yamux_session *y)
{
    struct pg_yamux_header h;
    y->header_used = 0;
    if (pg_yamux_header_read(&h, y->header) != PG_OK) {
        bad_frame(y, PG_ERR_YAMUX_BAD_FRAME);
        return;
    }
    if (h.flags & PG_YAMUX_RST && h.type <= PG_YAMUX_WINDOW && (h.stream & 1) == (y->conn->client ? 0 : 1))
        count_waste(y);
    if (!is_open(y))
        return;
    switch (h.type) {
    case PG_YAMUX_DATA: take_data(y, &h); return;
    case PG_YAMUX_WINDOW: take_window(y, &h); return;
    case PG_YAMUX_PING:
        y->pong_value = h.length;
        pg_step(&y->in, h.flags & PG_YAMUX_ACK ? PG_YAMUX_SESSION_ON_PONG_RECEIVED : PG_YAMUX_SESSION_ON_PING_RECEIVED);
        return;
    case PG_YAMUX_GOAWAY: pg_step(&y->in, PG_YAMUX_SESSION_ON_GOAWAY_RECEIVED); return;
    default: bad_frame(y, PG_ERR_YAMUX_BAD_FRAME); return;
    }
}

static struct pg_bytes take_body(struct pg_yamux_session *y, struct pg_bytes in)
{
    struct pg_bytes piece = pg_bytes_head(in, y->body_left);
    y->body_left -= (uint32_t)piece.len;
    struct pg_stream *s = y->body_of;
    if (s)
        pg_yamux_stream_data(s, piece);
    /* The stream may have been forgotten while it took the piece: then body_of is NULL now. */
    if (y->body_left == 0 && y->body_flags && y->body_of)
        pg_yamux_stream_flags(y->body_of, y->body_flags);
    return pg_bytes_skip(in, piece.len);
}

void pg_yamux_received(struct pg_yamux_session *y, struct pg_bytes in)
{
    while (in.len > 0 && is_open(y)) {
        if (y->body_left > 0) {
            in = take_body(y, in);
            continue;
        }
        struct pg_bytes part = pg_bytes_head(in, sizeof y->header - y->header_used);
        memcpy(y->header + y->header_used, part.at, part.len);
        y->header_used += (uint8_t)part.len;
        in = pg_bytes_skip(in, part.len);
        if (y->header_used == sizeof y->header)
            take_header(y);
    }
}

/* Life. */

void pg_yamux_begin(struct pg_yamux_session *y, struct pg_conn *c)
{
    *y = (struct pg_yamux_session){.conn = c, .next_id = c->client ? 1 : 2, .begun = true};
    pg_map_init(&y->streams, c->transport->map_seed);
    y->waiting_end = &y->waiting;
    y->held_end = &y->held;
    pg_instance_init(&y->pace.in, &pg_reset_pace_machine, &pg_reset_pace_binding, &y->pace, c->transport->scope, y->pace.timers, NULL,
                     c->number);
    pg_instance_init(&y->in, &pg_yamux_session_machine, &pg_yamux_session_binding, y, c->transport->scope, y->timers,
                     &c->upgrade.in, c->number);
    pg_step(&y->in, PG_YAMUX_SESSION_ON_BEGIN);
}

void pg_yamux_leave(struct pg_yamux_session *y)
{
    pg_step(&y->in, PG_YAMUX_SESSION_ON_LEAVE);
}

void pg_yamux_probe(struct pg_yamux_session *y)
{
    pg_step(&y->in, PG_YAMUX_SESSION_ON_PROBE);
}

void pg_yamux_end(struct pg_yamux_session *y, enum pg_err why)
{
    while (y->first)
        pg_yamux_stream_lose(y->first, why);
    pg_step(&y->pace.in, PG_RESET_PACE_ON_END);
    pg_step(&y->in, PG_YAMUX_SESSION_ON_END);
}

void pg_yamux_free(struct pg_yamux_session *y)
{
    if (!y->begun)
        return;
    pg_instance_end(&y->pace.in);
    pg_instance_end(&y->in);
    pg_map_free(&y->streams);
}

void pg_yamux_writable(struct pg_yamux_session *y)
{
    /* Each waiting stream once; one whose window is shut goes behind those that may have come meanwhile. */
    for (uint32_t n = y->n_waiting; n > 0 && y->waiting && y->conn->link && y->conn->link->tx.bytes < pg_conn_unsent_most(y->conn); n--)
        pg_yamux_stream_turn(y->waiting);
}
