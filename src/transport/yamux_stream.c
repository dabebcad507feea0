/* Yamux streams: halves, windows, negotiation; facts and actions of stream_local, stream_remote, stream_ack and
 * substream. Called by yamux.c and by every protocol in src/core and src/service.
 * Source: libp2p/specs yamux/README.md, "Flow Control", "Closing a stream". */
#include "transport/yamux.h"

#include "transport/conn.h"
#include "yamux.wire.gen.h"

#include <assert.h>
#include <stddef.h>

enum { SCHEDULER_US = 1000 };

#define STREAM_OF(member, p) ((struct pg_stream *)((char *)(uintptr_t)(p) - offsetof(struct pg_stream, member)))

static struct pg_yamux_session *session(const struct pg_stream *s)
{
    return &s->conn->yamux;
}

/* Lists. */

static void stop_waiting(struct pg_stream *s)
{
    if (!s->waiting)
        return;
    struct pg_yamux_session *y = session(s);
    s->waiting = false;
    y->n_waiting--;
    *s->previous_waiting = s->next_waiting;
    if (s->next_waiting)
        s->next_waiting->previous_waiting = s->previous_waiting;
    else
        y->waiting_end = s->previous_waiting;
}

void pg_stream_await_credit(struct pg_stream *s)
{
    if (s->waiting)
        return;
    struct pg_yamux_session *y = session(s);
    s->waiting = true;
    y->n_waiting++;
    s->next_waiting = NULL;
    s->previous_waiting = y->waiting_end;
    *y->waiting_end = s;
    y->waiting_end = &s->next_waiting;
}

static void end_negotiation(struct pg_stream *s)
{
    pg_negotiation_give(&s->conn->transport->negotiations, &s->negotiation);
}

/* Takes the stream out of its session; its memory goes when the turn is over. */
static void forget(struct pg_stream *s)
{
    struct pg_yamux_session *y = session(s);
    struct pg_transport *t = s->conn->transport;
    if (!s->previous)
        return;
    if (!s->substream.in.stepping)
        pg_step(&s->substream.in, PG_SUBSTREAM_ON_END);
    pg_step(&s->ack.in, PG_STREAM_ACK_ON_GONE);
    stop_waiting(s);
    pg_reset_pace_forget(s);
    pg_map_remove(&y->streams, s->id);
    if (y->body_of == s)
        y->body_of = NULL;
    bool relieved = false;
    if ((s->id & 1) == (s->conn->client ? 1 : 0))
        relieved = y->outbound-- == pg_yamux_most_outbound(y);
    else
        y->inbound--;
    t->window_used -= s->recv_size - PG_YAMUX_WINDOW_FIRST;
    *s->previous = s->next;
    if (s->next)
        s->next->previous = s->previous;
    s->previous = NULL;
    s->next_doomed = t->doomed;
    t->doomed = s;
    if (!y->first)
        pg_post(&y->in, PG_YAMUX_SESSION_ON_STREAM_GONE);
    if (s->works && --y->working == 0)
        t->emptied(t->above, s->conn);
    if (relieved && pg_conn_is_up(s->conn))
        t->relieved(t->above, s->conn);
}

void pg_yamux_reap(struct pg_transport *t)
{
    while (t->doomed) {
        struct pg_stream *s = t->doomed;
        t->doomed = s->next_doomed;
        end_negotiation(s);
        pg_instance_end(&s->substream.in);
        pg_instance_end(&s->local.in);
        pg_instance_end(&s->remote.in);
        pg_instance_end(&s->ack.in);
        pg_pool_give(&t->streams, s);
    }
}

/* Forgets the stream and tells its user, once. */
static void finish(struct pg_stream *s, enum pg_err why)
{
    const struct pg_handler *handler = s->handler;
    s->handler = NULL;
    forget(s);
    if (handler)
        handler->closed(s, why);
}

static void finish_if_both_ended(struct pg_stream *s)
{
    if (s->local.in.ctl.state == PG_STREAM_LOCAL_ENDED && s->remote.in.ctl.state == PG_STREAM_REMOTE_ENDED)
        finish(s, PG_OK);
}

/* Sending. */

/* Flags that the next frame has to carry: SYN, or ACK. */
static uint16_t flags_due(struct pg_stream *s)
{
    if ((1u << s->ack.in.ctl.state) & PG_STREAM_ACK_FLAG_DUE)
        pg_step(&s->ack.in, PG_STREAM_ACK_ON_SPEAK);
    uint16_t flags = s->flags_due;
    s->flags_due = 0;
    return flags;
}

void pg_stream_ack_do_syn_flag(struct pg_stream_ack *a)
{
    STREAM_OF(ack, a)->flags_due |= PG_YAMUX_SYN;
    STREAM_OF(ack, a)->said = true;
}

void pg_stream_ack_do_ack_flag(struct pg_stream_ack *a)
{
    STREAM_OF(ack, a)->flags_due |= PG_YAMUX_ACK;
}

void pg_stream_ack_do_backlog_grow(struct pg_stream_ack *a)
{
    session(STREAM_OF(ack, a))->unacknowledged++;
}

void pg_stream_ack_do_backlog_shrink(struct pg_stream_ack *a)
{
    struct pg_stream *s = STREAM_OF(ack, a);
    if (session(s)->unacknowledged-- == PG_FIXED_BACKLOG)
        s->conn->transport->relieved(s->conn->transport->above, s->conn);
}

bool pg_stream_local_is_said(const struct pg_stream_local *l)
{
    return STREAM_OF(local, l)->said;
}

void pg_stream_local_do_fin_send(struct pg_stream_local *l)
{
    struct pg_stream *s = STREAM_OF(local, l);
    (void)pg_yamux_frame(session(s), PG_YAMUX_DATA, flags_due(s) | PG_YAMUX_FIN, s->id, 0, PG_NONE);
}

void pg_stream_local_do_rst_send(struct pg_stream_local *l)
{
    struct pg_stream *s = STREAM_OF(local, l);
    (void)pg_yamux_frame(session(s), PG_YAMUX_WINDOW, PG_YAMUX_RST, s->id, 0, PG_NONE);
}

size_t pg_stream_credit(const struct pg_stream *s)
{
    if (!s->conn->link || !((1u << s->local.in.ctl.state) & PG_STREAM_LOCAL_MAY_SEND))
        return 0;
    size_t unsent = s->conn->link->tx.bytes, most = pg_conn_unsent_most(s->conn);
    size_t room = unsent < most ? most - unsent : 0;
    return s->send_window < room ? s->send_window : room;
}

/* Told once until the core has taken note. */
static void note_move(struct pg_stream *s)
{
    struct pg_conn *c = s->conn;
    if (!s->works || c->moved)
        return;
    c->moved = true;
    if (c->transport->moved)
        c->transport->moved(c->transport->above, c);
}

bool pg_stream_write(struct pg_stream *s, struct pg_bytes data)
{
    if (!((1u << s->local.in.ctl.state) & PG_STREAM_LOCAL_MAY_SEND) || data.len > s->send_window)
        return false;
    note_move(s);
    while (data.len > 0) {
        struct pg_bytes body = pg_bytes_head(data, s->conn->body_most);
        if (!pg_yamux_frame(session(s), PG_YAMUX_DATA, flags_due(s), s->id, (uint32_t)body.len, body))
            return false;
        s->send_window -= (uint32_t)body.len;
        data = pg_bytes_skip(data, body.len);
    }
    return true;
}

void pg_stream_end(struct pg_stream *s)
{
    if (!s->previous)
        return;
    pg_step(&s->local.in, PG_STREAM_LOCAL_ON_END);
    finish_if_both_ended(s);
}

void pg_yamux_stream_drop(struct pg_stream *s)
{
    pg_step(&s->local.in, PG_STREAM_LOCAL_ON_DROP);
    pg_step(&s->remote.in, PG_STREAM_REMOTE_ON_DROP);
    forget(s);
}

/* At once, or in its turn: until then the stream is there, but nobody hears of it, and what comes on it is thrown away. */
static void reset(struct pg_stream *s)
{
    s->handler = NULL;
    if (!s->substream.in.stepping)
        pg_step(&s->substream.in, PG_SUBSTREAM_ON_END);
    stop_waiting(s);
    if (!pg_reset_pace_hold(s))
        pg_yamux_stream_drop(s);
}

void pg_stream_reset(struct pg_stream *s)
{
    s->handler = NULL;
    if (s->previous && !s->held)
        reset(s);
}

void pg_stream_detach(struct pg_stream *s)
{
    s->handler = NULL;
}

void pg_stream_drop(struct pg_stream **s)
{
    if (*s)
        pg_stream_reset(*s);
    *s = NULL;
}

void pg_stream_leave(struct pg_stream **s)
{
    if (*s)
        pg_stream_detach(*s);
    *s = NULL;
}

/* Receiving. */

void pg_stream_remote_do_end_tell(struct pg_stream_remote *r)
{
    STREAM_OF(remote, r)->end_told = true; /* the handler hears it after the step: it may reset the stream */
}

void pg_stream_remote_do_reset_tell(struct pg_stream_remote *r)
{
    struct pg_stream *s = STREAM_OF(remote, r);
    s->conn->transport->metrics->value[PG_METRIC_STREAMS_RESET]++;
    s->why = PG_ERR_STREAM_RESET;
}

void pg_stream_remote_do_loss_tell(struct pg_stream_remote *r)
{
    (void)r; /* pg_yamux_stream_lose has set why already */
}

void pg_yamux_stream_lose(struct pg_stream *s, enum pg_err why)
{
    s->why = why;
    pg_step(&s->local.in, PG_STREAM_LOCAL_ON_LOSE);
    pg_step(&s->remote.in, PG_STREAM_REMOTE_ON_LOSE);
    finish(s, why);
}

static void take_end(struct pg_stream *s)
{
    if (!s->end_told)
        return;
    s->end_told = false;
    if (s->substream.in.ctl.state == PG_SUBSTREAM_NEGOTIATING) {
        /* It ended before a protocol was agreed on. */
        const struct pg_handler *handler = s->handler;
        pg_stream_reset(s);
        if (handler)
            handler->closed(s, PG_ERR_NEGOTIATION_BAD);
        return;
    }
    if (s->handler)
        s->handler->ended(s);
    if (s->previous)
        finish_if_both_ended(s);
}

/* A reset before any answer, as this program and others refuse a stream beyond their limit. Where few stand it means something else. */
static void note_refusal(struct pg_stream *s)
{
    struct pg_yamux_session *y = session(s);
    if (s->ack.in.ctl.state != PG_STREAM_ACK_AWAITED || y->outbound <= PG_YAMUX_REFUSED_LEAST)
        return;
    y->refused_most = y->outbound - 1;
    y->refused_us = s->conn->transport->scope->now_us;
}

void pg_yamux_stream_flags(struct pg_stream *s, uint16_t flags)
{
    if (flags & PG_YAMUX_ACK)
        pg_step(&s->ack.in, PG_STREAM_ACK_ON_ACK_RECEIVED);
    if (flags & PG_YAMUX_RST) {
        note_refusal(s);
        pg_step(&s->local.in, PG_STREAM_LOCAL_ON_RST_RECEIVED);
        pg_step(&s->remote.in, PG_STREAM_REMOTE_ON_RST_RECEIVED);
        finish(s, s->why ? s->why : PG_ERR_STREAM_RESET);
    } else if (flags & PG_YAMUX_FIN) {
        pg_step(&s->remote.in, PG_STREAM_REMOTE_ON_FIN_RECEIVED);
        take_end(s);
    }
}

void pg_yamux_stream_window(struct pg_stream *s, uint32_t more)
{
    s->send_window += more;
    if (s->waiting && pg_stream_credit(s) > 0)
        pg_yamux_stream_turn(s);
}

void pg_yamux_stream_turn(struct pg_stream *s)
{
    stop_waiting(s);
    if (pg_stream_credit(s) == 0)
        pg_stream_await_credit(s);
    else if (s->handler)
        s->handler->writable(s);
}

void pg_yamux_stream_data(struct pg_stream *s, struct pg_bytes data)
{
    note_move(s);
    if (s->substream.in.ctl.state == PG_SUBSTREAM_NEGOTIATING) {
        size_t before = data.len;
        pg_negotiation_feed(s->negotiation, &data);
        if (!s->previous)
            return;
        pg_stream_consumed(s, before - data.len);
        if (pg_negotiation_done(s->negotiation))
            end_negotiation(s);
    }
    if (data.len > 0 && s->handler && s->substream.in.ctl.state == PG_SUBSTREAM_OPEN)
        s->handler->data(s, data);
}

/* Twice the window whenever half of it was used up within two round trips: the sender could have sent more. On fast links a
 * busy machine's scheduler is the longer delay, so a round trip counts for a millisecond at least. */
static void widen(struct pg_stream *s, uint64_t now)
{
    struct pg_transport *t = s->conn->transport;
    struct pg_yamux_session *y = session(s);
    uint32_t rtt = y->rtt_us > SCHEDULER_US ? y->rtt_us : SCHEDULER_US;
    if (y->samples < 2) {
        /* The first sample was taken while both sides were busy with the handshake. */
        if (y->ping_us == 0)
            pg_post(&y->in, PG_YAMUX_SESSION_ON_PROBE);
        return;
    }
    if (now - s->granted_us > 2 * (uint64_t)rtt || s->recv_size >= PG_YAMUX_WINDOW_MAX)
        return;
    if (t->window_budget - t->window_used < s->recv_size)
        return;
    t->window_used += s->recv_size;
    s->to_grant += s->recv_size;
    s->recv_size *= 2;
}

void pg_stream_consumed(struct pg_stream *s, size_t n)
{
    if (!s->previous)
        return;
    s->to_grant += (uint32_t)n;
    if (s->to_grant < s->recv_size / 2 || !((1u << s->remote.in.ctl.state) & PG_STREAM_REMOTE_MAY_RECV))
        return;
    uint64_t now = s->conn->transport->scope->now_us;
    widen(s, now);
    s->granted_us = now;
    s->recv_window += s->to_grant;
    uint32_t grant = s->to_grant;
    s->to_grant = 0;
    (void)pg_yamux_frame(session(s), PG_YAMUX_WINDOW, flags_due(s), s->id, grant, PG_NONE);
}

/* Negotiation of the protocol. */

bool pg_yamux_is_asked(const struct pg_yamux_session *y)
{
    for (const struct pg_stream *s = y->first; s; s = s->next)
        if (!s->handler && s->substream.in.ctl.state == PG_SUBSTREAM_NEGOTIATING)
            return true;
    return false;
}

/* From now on the stream keeps its connection. */
static void begin_work(struct pg_stream *s)
{
    s->works = !s->handler->housekeeping;
    session(s)->working += s->works;
}

void pg_substream_do_protocol_open(struct pg_substream *sub)
{
    struct pg_stream *s = STREAM_OF(substream, sub);
    if (!s->handler) {
        s->handler = s->conn->transport->protocol(s->conn->transport->above, s->conn, s->negotiation->protocol);
        begin_work(s);
    }
    s->handler->opened(s);
}

static void fail(struct pg_substream *sub, enum pg_err why)
{
    STREAM_OF(substream, sub)->why = why;
}

void pg_substream_do_refusal_tell(struct pg_substream *sub)
{
    fail(sub, PG_ERR_PROTOCOL_UNSUPPORTED);
}

void pg_substream_do_failure_tell(struct pg_substream *sub)
{
    fail(sub, PG_ERR_NEGOTIATION_BAD);
}

void pg_substream_do_lateness_tell(struct pg_substream *sub)
{
    fail(sub, PG_ERR_TIMEOUT);
}

void pg_substream_do_stream_drop(struct pg_substream *sub)
{
    struct pg_stream *s = STREAM_OF(substream, sub);
    const struct pg_handler *handler = s->handler;
    reset(s);
    if (handler)
        handler->closed(s, s->why);
}

static void negotiation_send(void *context, struct pg_bytes text)
{
    (void)pg_stream_write(context, text);
}

static struct pg_bytes negotiation_spoken(void *context, struct pg_bytes offer)
{
    struct pg_stream *s = context;
    const struct pg_handler *h = s->conn->transport->protocol(s->conn->transport->above, s->conn, offer);
    return h ? h->protocol : PG_NONE;
}

static bool negotiate(struct pg_stream *s)
{
    s->negotiation = pg_negotiation_take(&s->conn->transport->negotiations, negotiation_send, negotiation_spoken, s);
    if (!s->negotiation)
        return false;
    pg_step(&s->substream.in, PG_SUBSTREAM_ON_BEGIN);
    return true;
}

/* Life. */

struct pg_stream *pg_yamux_stream_new(struct pg_yamux_session *y, uint32_t id)
{
    struct pg_transport *t = y->conn->transport;
    struct pg_stream *s = pg_pool_take_zero(&t->streams);
    if (!s)
        return NULL;
    if (!pg_map_put(&y->streams, id, s)) {
        pg_pool_give(&t->streams, s);
        return NULL;
    }
    s->conn = y->conn;
    s->id = id;
    s->send_window = s->recv_window = s->recv_size = PG_YAMUX_WINDOW_FIRST;
    s->granted_us = t->scope->now_us;
    pg_instance_init(&s->substream.in, &pg_substream_machine, &pg_substream_binding, &s->substream, t->scope,
                     s->substream.timers, NULL, id);
    pg_instance_init(&s->local.in, &pg_stream_local_machine, &pg_stream_local_binding, &s->local, t->scope, NULL, NULL, id);
    pg_instance_init(&s->remote.in, &pg_stream_remote_machine, &pg_stream_remote_binding, &s->remote, t->scope, NULL, NULL, id);
    pg_instance_init(&s->ack.in, &pg_stream_ack_machine, &pg_stream_ack_binding, &s->ack, t->scope, NULL, NULL, id);
    s->next = y->first;
    s->previous = &y->first;
    if (s->next)
        s->next->previous = &s->next;
    y->first = s;
    return s;
}

void pg_yamux_stream_accepted(struct pg_stream *s)
{
    s->said = true;
    s->conn->transport->metrics->value[PG_METRIC_STREAMS_OPENED_INBOUND]++;
    pg_step(&s->ack.in, PG_STREAM_ACK_ON_ACCEPTED);
    if (!negotiate(s)) {
        pg_stream_reset(s);
        return;
    }
    pg_negotiation_listen(s->negotiation, s->conn->transport->scope, &s->substream.in);
}

uint64_t pg_yamux_most_outbound(const struct pg_yamux_session *y)
{
    const struct pg_transport *t = y->conn->transport;
    uint64_t most = t->limits->value[PG_LIMIT_STREAMS_OUTBOUND];
    bool refused = y->refused_most > 0 && t->scope->now_us - y->refused_us < PG_YAMUX_REFUSED_US;
    return refused && y->refused_most < most ? y->refused_most : most;
}

static bool room_for(const struct pg_conn *c, uint64_t beyond)
{
    const struct pg_yamux_session *y = &c->yamux;
    return pg_conn_is_up(c) && y->in.ctl.state == PG_YAMUX_SESSION_OPEN && y->unacknowledged < PG_FIXED_BACKLOG &&
           y->outbound < pg_yamux_most_outbound(y) + beyond && y->next_id < UINT32_MAX - 2;
}

bool pg_stream_room(const struct pg_conn *c)
{
    return room_for(c, 0);
}

struct pg_stream *pg_stream_open(struct pg_conn *c, const struct pg_handler *handler, void *user, enum pg_err *why)
{
    struct pg_yamux_session *y = &c->yamux;
    *why = pg_conn_is_up(c) ? PG_ERR_STREAM_LIMIT : PG_ERR_CLOSED;
    if (!room_for(c, handler->housekeeping ? PG_YAMUX_HOUSEKEEPING : 0))
        return NULL;
    struct pg_stream *s = pg_yamux_stream_new(y, y->next_id);
    if (!s) {
        c->transport->starved = true;
        return NULL;
    }
    y->next_id += 2;
    y->outbound++;
    c->transport->metrics->value[PG_METRIC_STREAMS_OPENED_OUTBOUND]++;
    s->handler = handler;
    s->user = user;
    begin_work(s);
    pg_step(&s->ack.in, PG_STREAM_ACK_ON_OPENED);
    if (!negotiate(s)) {
        pg_stream_reset(s);
        return NULL;
    }
    pg_negotiation_dial(s->negotiation, c->transport->scope, &s->substream.in, handler->protocol);
    *why = PG_OK;
    return s->previous ? s : NULL;
}

const struct pg_peer_id *pg_stream_peer(const struct pg_stream *s)
{
    return &s->conn->peer;
}
