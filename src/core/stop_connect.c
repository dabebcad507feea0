/* The stream to the target of a circuit: facts and actions of stop_connect. Called by hop_serve.c and through the stream's handler.
 * Serves libp2p/specs relay/circuit-v2.md, "Stop Protocol". */
#include "core/node_internal.h"

#include "protocols.gen.h"

#include <assert.h>

static struct pg_hop_serve *of(struct pg_stop_connect *s)
{
    return HOST_OF(pg_hop_serve, stop, s);
}

static void note(struct pg_stop_connect *s, const char *why)
{
    of(s)->status = PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED;
    of(s)->why = why;
}

void pg_stop_connect_do_refusal_note(struct pg_stop_connect *s)
{
    note(s, "the target does not take the circuit");
}

void pg_stop_connect_do_nonsense_note(struct pg_stop_connect *s)
{
    note(s, "the target's answer makes no sense");
}

void pg_stop_connect_do_lateness_note(struct pg_stop_connect *s)
{
    note(s, "the target did not answer in time");
}

/* The stream. */

static void stop_opened(struct pg_stream *stream)
{
    (void)stream; /* the question has left with the proposal */
}

static void read_answer(struct pg_stop_connect *s, struct pg_bytes *data)
{
    struct pg_hop_serve *h = of(s);
    struct pg_pb_stop_message m;
    struct pg_bytes text;
    size_t before = data->len;
    enum pg_frame_result result = pg_hop_room_take(h) ? pg_frame_feed(&h->frame, data, &text) : PG_FRAME_BAD;
    pg_stream_consumed(s->stream, before - data->len);
    if (result == PG_FRAME_MORE)
        return;
    enum pg_stop_connect_event event = PG_STOP_CONNECT_ON_ANSWER_BAD;
    if (result == PG_FRAME_MESSAGE && pg_pb_stop_message_read(&m, text) == PG_OK) {
        int kind = pg_pb_stop_message_event(&m);
        event = kind == PG_PB_STOP_MESSAGE_STOP_ACCEPTED  ? PG_STOP_CONNECT_ON_ANSWER_GOOD
                : kind == PG_PB_STOP_MESSAGE_STOP_REFUSED ? PG_STOP_CONNECT_ON_ANSWER_REFUSED
                                                          : PG_STOP_CONNECT_ON_ANSWER_BAD;
    }
    pg_hop_room_give(h);
    pg_step(&s->in, event);
}

static void stop_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_hop_serve *h = stream->user;
    if (h->stop.in.ctl.state == PG_STOP_CONNECT_ASKING)
        read_answer(&h->stop, &data);
    if (data.len > 0 && h->stop.stream && h->stop.in.ctl.state == PG_STOP_CONNECT_AGREED)
        pg_hop_take(h, &h->back, data);
}

static void stop_ended(struct pg_stream *stream)
{
    struct pg_hop_serve *h = stream->user;
    if (h->stop.in.ctl.state == PG_STOP_CONNECT_AGREED)
        pg_step(&h->back.in, PG_FLOW_ON_SOURCE_ENDED);
    else
        pg_step(&h->stop.in, PG_STOP_CONNECT_ON_STREAM_ENDED);
}

static void stop_writable(struct pg_stream *stream)
{
    pg_flow_writable(&((struct pg_hop_serve *)stream->user)->out);
}

static void stop_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_hop_serve *h = stream->user;
    h->stop.stream = h->out.to = h->back.from = NULL;
    if (why == PG_OK)
        return; /* both directions have ended, and their flows know */
    if (h->stop.in.ctl.state == PG_STOP_CONNECT_AGREED) {
        pg_step(&h->in, PG_HOP_SERVE_ON_TARGET_FAILED);
        return;
    }
    note(&h->stop, why == PG_ERR_PROTOCOL_UNSUPPORTED ? "the target does not speak stop" : pg_err_text(why));
    pg_step(&h->stop.in, PG_STOP_CONNECT_ON_STREAM_FAILED);
}

static const struct pg_handler handler = {.protocol = {(const uint8_t *)PG_PROTOCOL_STOP, sizeof PG_PROTOCOL_STOP - 1},
                                          .relayed = PG_RELAYED_NEVER, .opened = stop_opened, .data = stop_data,
                                          .ended = stop_ended, .writable = stop_writable, .closed = stop_closed};

/* On the connection by which the target has reserved, or on another of its own that has room. */
static struct pg_conn *way(const struct pg_slot *slot)
{
    if (pg_stream_room(slot->session->conn))
        return slot->session->conn;
    for (struct pg_session *s = slot->session->place->first; s; s = s->next_same)
        if (s->up && !pg_session_is_relayed(s) && pg_stream_room(s->conn))
            return s->conn;
    return slot->session->conn;
}

void pg_stop_connect_do_stream_open(struct pg_stop_connect *s)
{
    struct pg_hop_serve *h = of(s);
    enum pg_err why;
    pg_frame_init(&h->frame, PG_FRAME_UVARINT, NULL, PG_PB_STOP_MESSAGE_MAX);
    s->stream = pg_stream_open(way(pg_slot_of(h->relaying->node, &h->target)), &handler, h, &why);
    if (s->stream)
        return;
    note(s, pg_err_text(why));
    if (why == PG_ERR_STREAM_LIMIT)
        h->status = PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    pg_post(&s->in, PG_STOP_CONNECT_ON_STREAM_FAILED);
}

void pg_stop_connect_do_request_send(struct pg_stop_connect *s)
{
    struct pg_hop_serve *h = of(s);
    const struct pg_peer_id *source = &h->session->conn->peer;
    uint8_t text[256];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_stop_message m = {.has_type = true, .type = PG_PB_STOP_MESSAGE_TYPE_CONNECT, .has_peer = true,
                                   .peer = {.has_id = true, .id = pg_bytes(source->at, source->len)}};
    m.has_limit = pg_circuit_limit_tell(h->relaying->node, &m.limit);
    pg_pb_stop_message_write_framed(&m, &w);
    assert(!w.failed);
    if (s->stream)
        (void)pg_stream_write(s->stream, pg_written(&w)); /* no memory: the connection ends */
}

void pg_stop_connect_do_stream_drop(struct pg_stop_connect *s)
{
    struct pg_stream *stream = s->stream;
    s->stream = NULL;
    pg_hop_room_give(of(s));
    if (stream)
        pg_stream_reset(stream);
}

void pg_stop_connect_follow(struct pg_hop_serve *h, const struct pg_conn *conn)
{
    if (h->stop.in.machine && h->stop.stream && h->stop.stream->conn != conn)
        pg_post(&h->stop.in, PG_STOP_CONNECT_ON_RESERVED_ANEW);
}
