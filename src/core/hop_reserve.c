/* Facts and actions of hop_reserve: one RESERVE and its answer. Called by reserve.c as the control plane orders.
 * Source: libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/node_internal.h"

#include "protocols.gen.h"
#include "trace/line.h"

#include <stddef.h>

bool pg_hop_reserve_is_connected(const struct pg_hop_reserve *self)
{
    return pg_reservation_way(self) != NULL;
}

bool pg_hop_reserve_is_sound(const struct pg_hop_reserve *self)
{
    return self->offer.n_addrs > 0;
}

/* Reasons. */

static void note(struct pg_hop_reserve *r, const char *text)
{
    pg_bytes_text(r->reason, sizeof r->reason, pg_text(text));
}

void pg_hop_reserve_do_roundabout_note(struct pg_hop_reserve *self)
{
    note(self, "it is only connected over another relay");
}

void pg_hop_reserve_do_lateness_note(struct pg_hop_reserve *self)
{
    note(self, self->sent ? "it has not answered in time" : "it cannot be reached in time");
}

void pg_hop_reserve_do_nonsense_note(struct pg_hop_reserve *self)
{
    note(self, "it has given no answer that can be read");
}

void pg_hop_reserve_do_inability_note(struct pg_hop_reserve *self)
{
    note(self, "it does not relay any more");
}

void pg_hop_reserve_do_loss_note(struct pg_hop_reserve *self)
{
    note(self, "the connection to it has ended");
}

void pg_hop_reserve_do_refusal_note(struct pg_hop_reserve *self)
{
    static const struct {
        enum pg_pb_circuit_status status;
        const char *text;
    } texts[] = {
        {PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED, "it takes no more reservations (RESERVATION_REFUSED)"},
        {PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, "it has no room for another reservation (RESOURCE_LIMIT_EXCEEDED)"},
        {PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, "it does not let us reserve (PERMISSION_DENIED)"},
        {PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, "it does not understand us (MALFORMED_MESSAGE)"},
        {PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE, "it did not expect us to ask (UNEXPECTED_MESSAGE)"},
    };
    note(self, "it has refused for a reason that has no name here");
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == self->status)
            note(self, texts[i].text);
}

void pg_hop_reserve_do_grant_tell(struct pg_hop_reserve *self)
{
    self->due = PG_RESERVATION_GRANTED;
}

void pg_hop_reserve_do_failure_tell(struct pg_hop_reserve *self)
{
    self->due = PG_RESERVATION_FAILED;
}

/* The way to the relay. */

static struct pg_hop_reserve *of_visitor(struct pg_visitor *visitor)
{
    return HOST_OF(pg_hop_reserve, visitor, visitor);
}

static void visit_up(struct pg_visitor *visitor, struct pg_session *s)
{
    (void)s;
    pg_step(&of_visitor(visitor)->in, PG_HOP_RESERVE_ON_RELAY_UP);
}

static void visit_failed(struct pg_visitor *visitor, enum pg_err why, struct pg_bytes reason)
{
    struct pg_hop_reserve *r = of_visitor(visitor);
    struct pg_line line;
    (void)why;
    pg_line_init(&line, r->reason, sizeof r->reason);
    pg_line_put(&line, "it cannot be reached: ");
    pg_line_raw(&line, reason);
    pg_step(&r->in, PG_HOP_RESERVE_ON_RELAY_FAILED);
}

/* Anew for each request, and kept until the reservation is given back. */
void pg_hop_reserve_do_visit_begin(struct pg_hop_reserve *self)
{
    struct pg_kad_contact relay = {.id = self->relay};
    struct pg_visit *before = self->visit;
    self->sent = false;
    pg_kad_where(self->node, &relay);
    self->visitor = (struct pg_visitor){.up = visit_up, .failed = visit_failed};
    struct pg_contact *c = pg_node_contact(self->node, &self->relay);
    if (c)
        c->as_relay++;
    self->visit = pg_node_visit(self->node, &self->visitor, &relay);
    if (before)
        pg_reservation_visit_end(before);
    if (self->visit)
        return;
    if (c)
        c->as_relay--;
    note(self, "there are too many peers to dial it as well");
    pg_post(&self->in, PG_HOP_RESERVE_ON_RELAY_FAILED);
}

/* The question. */

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static unsigned event_of(struct pg_hop_reserve *r, const struct pg_session *s, const struct pg_pb_hop_message *m)
{
    const struct pg_node *n = r->node;
    struct pg_reservation_judge judge = {.relay = &r->relay, .own = pg_node_own(n), .seen = &s->conn->remote, .now_us = n->scope.now_us,
                                         .now_s = (n->config.unix_offset_us + n->scope.now_us) / 1000000};
    r->status = m->status;
    switch (pg_pb_hop_message_event(m)) {
    case PG_PB_HOP_MESSAGE_HOP_ACCEPTED:
        (void)pg_reservation_judge(&judge, m, &r->offer, r->reason, sizeof r->reason);
        return PG_HOP_RESERVE_ON_HOP_ACCEPTED;
    case PG_PB_HOP_MESSAGE_HOP_REFUSED: return PG_HOP_RESERVE_ON_HOP_REFUSED;
    default: return PG_HOP_RESERVE_ON_HOP_ODD;
    }
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_hop_reserve *r = s->user;
    struct pg_pb_hop_message m;
    struct pg_bytes message;
    pg_stream_consumed(s, data.len);
    enum pg_frame_result result = pg_frame_feed(&r->frame, &data, &message);
    if (result == PG_FRAME_MORE)
        return;
    bool good = result == PG_FRAME_MESSAGE && pg_pb_hop_message_read(&m, message) == PG_OK;
    r->via = pg_session_of(s);
    pg_step(&r->in, good ? event_of(r, pg_session_of(s), &m) : PG_HOP_RESERVE_ON_HOP_ODD);
}

static void on_ended(struct pg_stream *s)
{
    pg_step(&((struct pg_hop_reserve *)s->user)->in, PG_HOP_RESERVE_ON_HOP_ODD);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_hop_reserve *r = s->user;
    r->stream = NULL;
    pg_step(&r->in, why == PG_ERR_PROTOCOL_UNSUPPORTED ? PG_HOP_RESERVE_ON_STREAM_REFUSED : PG_HOP_RESERVE_ON_STREAM_FAILED);
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1},
    .housekeeping = true,
    .opened = nothing, .data = on_data, .ended = on_ended, .writable = nothing, .closed = on_closed};

void pg_hop_reserve_do_stream_open(struct pg_hop_reserve *self)
{
    enum pg_err why;
    struct pg_session *s = pg_reservation_way(self);
    self->offer = (struct pg_grant){0};
    self->sent = true;
    pg_frame_init(&self->frame, PG_FRAME_UVARINT, self->room, sizeof self->room);
    self->stream = s ? pg_stream_open(s->conn, &ask, self, &why) : NULL;
    if (!self->stream)
        pg_post(&self->in, PG_HOP_RESERVE_ON_STREAM_FAILED);
}

void pg_hop_reserve_do_reserve_send(struct pg_hop_reserve *self)
{
    uint8_t text[16];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_hop_message m = {.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_RESERVE};
    pg_pb_hop_message_write_framed(&m, &w);
    if (self->stream)
        (void)pg_stream_write(self->stream, pg_written(&w)); /* no memory: the connection ends */
}

void pg_hop_reserve_do_stream_drop(struct pg_hop_reserve *self)
{
    pg_stream_drop(&self->stream);
}

/* Everything has been said on both sides. Whoever ends it later is not waited for; but without our end the stream would stand as long
 * as the connection, here and at the relay. */
void pg_hop_reserve_do_stream_leave(struct pg_hop_reserve *self)
{
    struct pg_stream *s = self->stream;
    pg_stream_leave(&self->stream);
    if (s)
        pg_stream_end(s);
}
