/* Facts and actions of hop_connect: a circuit as its source asks a relay for it. Called by session.c; the circuit that comes of it
 * is the link of a session like any other.
 * Source: libp2p/specs relay/circuit-v2.md, "Connection Initiation". */
#include "core/relayed.h"

#include "core/node_internal.h"
#include "protocols.gen.h"
#include "trace/line.h"

#include <stddef.h>

enum { HOPS = 256 };

static struct pg_session *session_of(const struct pg_hop_connect *h)
{
    return h->circuit && h->circuit->link ? h->circuit->link->owner : NULL;
}

/* Over which a relay may be asked: never over another relay. */
static struct pg_session *way(const struct pg_hop_connect *h)
{
    struct pg_session *s = pg_node_session(h->node, &h->relay.id);
    return s && !pg_session_is_relayed(s) ? s : NULL;
}

bool pg_hop_connect_is_connected(const struct pg_hop_connect *h)
{
    return way(h) != NULL;
}

bool pg_hop_connect_is_unreserved(const struct pg_hop_connect *h)
{
    return h->status == PG_PB_CIRCUIT_STATUS_NO_RESERVATION;
}

/* Reasons. */

static void note(struct pg_hop_connect *h, enum pg_err why, const char *text)
{
    h->why = why;
    pg_bytes_text(h->reason, sizeof h->reason, pg_text(text));
}

static const struct {
    enum pg_pb_circuit_status status;
    const char *text;
} refusals[] = {
    {PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED, "the relay takes no reservations (RESERVATION_REFUSED); take another relay"},
    {PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, "the relay has no room for one more circuit (RESOURCE_LIMIT_EXCEEDED); try later or take another relay"},
    {PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, "the relay does not allow it (PERMISSION_DENIED); take another relay"},
    {PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED, "the relay cannot reach the peer, or is refused by it (CONNECTION_FAILED); look whether the peer runs, and into its log"},
    {PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, "the relay does not understand us (MALFORMED_MESSAGE); take another relay"},
    {PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE, "the relay did not expect us to ask (UNEXPECTED_MESSAGE); take another relay"},
};

/* Whoever waits for the round hears of the last answer, should its time end before ours. */
void pg_hop_connect_do_refusal_note(struct pg_hop_connect *h)
{
    struct pg_session *s = session_of(h);
    note(h, PG_ERR_RELAY_REFUSED, "the relay has refused for a reason that has no name here; take another relay");
    for (unsigned i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].status == h->status)
            note(h, PG_ERR_RELAY_REFUSED, refusals[i].text);
    if (pg_hop_connect_is_unreserved(h))
        note(h, PG_ERR_RELAY_NO_RESERVATION, "Relay has no reservation for destination; start the peer there, or let it use this relay");
    if (s && s->contact)
        pg_contact_note(s->contact, h->why, pg_text(h->reason));
}

void pg_hop_connect_do_roundabout_note(struct pg_hop_connect *h)
{
    note(h, PG_ERR_RELAY_REFUSED, "the relay itself is only connected over another relay; take one that can be dialled");
}

void pg_hop_connect_do_nonsense_note(struct pg_hop_connect *h)
{
    note(h, PG_ERR_RELAY_REFUSED, "the relay has given no answer that can be read; take another relay");
}

void pg_hop_connect_do_inability_note(struct pg_hop_connect *h)
{
    note(h, PG_ERR_RELAY_REFUSED, "the peer before /p2p-circuit is no relay; take another one");
}

void pg_hop_connect_do_loss_note(struct pg_hop_connect *h)
{
    note(h, PG_ERR_CLOSED, "the connection to the relay has ended");
}

void pg_hop_connect_do_lateness_note(struct pg_hop_connect *h)
{
    note(h, PG_ERR_UNREACHABLE, h->why ? h->reason : "the relay has not answered in time");
}

void pg_hop_connect_do_failure_tell(struct pg_hop_connect *h)
{
    if (h->circuit)
        pg_circuit_fail(h->circuit, h->why, pg_text(h->reason));
    h->circuit = NULL;
}

/* The way to the relay. */

static struct pg_hop_connect *of_visitor(struct pg_visitor *visitor)
{
    return HOST_OF(pg_hop_connect, visitor, visitor);
}

static void visit_up(struct pg_visitor *visitor, struct pg_session *s)
{
    (void)s;
    pg_step(&of_visitor(visitor)->in, PG_HOP_CONNECT_ON_RELAY_UP);
}

static void visit_failed(struct pg_visitor *visitor, enum pg_err why, struct pg_bytes reason)
{
    struct pg_hop_connect *h = of_visitor(visitor);
    struct pg_line line;
    pg_line_init(&line, h->reason, sizeof h->reason);
    pg_line_put(&line, "the relay cannot be reached: ");
    pg_line_raw(&line, reason);
    h->why = pg_err_class(why) == PG_CLASS_PEER ? PG_ERR_UNREACHABLE : why;
    pg_step(&h->in, PG_HOP_CONNECT_ON_RELAY_FAILED);
}

void pg_hop_connect_do_visit_begin(struct pg_hop_connect *h)
{
    h->visitor = (struct pg_visitor){.up = visit_up, .failed = visit_failed};
    struct pg_contact *c = pg_node_contact(h->node, &h->relay.id);
    if (c)
        c->as_relay++;
    h->visit = pg_node_visit(h->node, &h->visitor, &h->relay);
    if (h->visit)
        return;
    if (c)
        c->as_relay--;
    note(h, PG_ERR_LIMIT_REACHED, "there are too many peers to dial the relay as well");
    pg_post(&h->in, PG_HOP_CONNECT_ON_RELAY_FAILED);
}

void pg_hop_connect_do_visit_end(struct pg_hop_connect *h)
{
    if (!h->visit)
        return;
    h->visit->contact->as_relay--;
    pg_visit_end(h->visit);
    h->visit = NULL;
}

/* The question. */

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static unsigned event_of(struct pg_hop_connect *h, const struct pg_pb_hop_message *m)
{
    h->status = m->status;
    switch (pg_pb_hop_message_event(m)) {
    case PG_PB_HOP_MESSAGE_HOP_ACCEPTED: return PG_HOP_CONNECT_ON_HOP_ACCEPTED;
    case PG_PB_HOP_MESSAGE_HOP_REFUSED: return PG_HOP_CONNECT_ON_HOP_REFUSED;
    default: return PG_HOP_CONNECT_ON_HOP_ODD;
    }
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_hop_connect *h = s->user;
    struct pg_pb_hop_message m;
    struct pg_bytes message;
    size_t before = data.len;
    enum pg_frame_result result = pg_frame_feed(&h->frame, &data, &message);
    pg_stream_consumed(s, before - data.len);
    if (result == PG_FRAME_MORE)
        return;
    if (result == PG_FRAME_BAD || pg_pb_hop_message_read(&m, message) != PG_OK) {
        pg_step(&h->in, PG_HOP_CONNECT_ON_HOP_ODD);
        return;
    }
    struct pg_circuit *c = h->circuit;
    unsigned event = event_of(h, &m);
    pg_step(&h->in, event);
    if (h->in.ctl.state != PG_HOP_CONNECT_MADE)
        return;
    h->stream = NULL;
    h->circuit = NULL;
    c->limit_bytes = m.limit.data;
    c->limit_us = m.limit.duration * 1000000ull;
    pg_circuit_carry(c, s, data); /* the peer may have begun to speak already */
}

static void on_ended(struct pg_stream *s)
{
    pg_step(&((struct pg_hop_connect *)s->user)->in, PG_HOP_CONNECT_ON_HOP_ODD);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_hop_connect *h = s->user;
    h->stream = NULL;
    pg_step(&h->in, why == PG_ERR_PROTOCOL_UNSUPPORTED ? PG_HOP_CONNECT_ON_STREAM_REFUSED : PG_HOP_CONNECT_ON_STREAM_FAILED);
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1},
    .opened = nothing, .data = on_data, .ended = on_ended, .writable = nothing, .closed = on_closed};

void pg_hop_connect_do_stream_open(struct pg_hop_connect *h)
{
    enum pg_err why;
    struct pg_session *s = way(h);
    h->status = PG_PB_CIRCUIT_STATUS_UNUSED;
    pg_frame_init(&h->frame, PG_FRAME_UVARINT, h->room, sizeof h->room);
    h->stream = s ? pg_stream_open(s->conn, &ask, h, &why) : NULL;
    if (!h->stream)
        pg_post(&h->in, PG_HOP_CONNECT_ON_STREAM_FAILED);
}

void pg_hop_connect_do_connect_send(struct pg_hop_connect *h)
{
    uint8_t text[128];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_hop_message m = {.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_CONNECT, .has_peer = true,
                                  .peer = {.has_id = true, .id = pg_bytes(h->target.at, h->target.len)}};
    pg_pb_hop_message_write_framed(&m, &w);
    if (h->stream)
        (void)pg_stream_write(h->stream, pg_written(&w)); /* no memory: the connection ends */
}

void pg_hop_connect_do_stream_drop(struct pg_hop_connect *h)
{
    pg_stream_drop(&h->stream);
}

/* Life. */

static void on_dropped(struct pg_circuit *c)
{
    struct pg_hop_connect *h = c->opener;
    h->circuit = NULL;
    pg_step(&h->in, PG_HOP_CONNECT_ON_CANCEL);
}

struct pg_hop_connect *pg_hop_connect_new(struct pg_node *n, struct pg_link *link, const struct pg_multiaddr *addr, const struct pg_peer_id *target)
{
    struct pg_multiaddr relay;
    struct pg_hop_connect *h = pg_pool_take(&n->circuit_ends.hops);
    if (!h)
        return NULL;
    memset(h, 0, offsetof(struct pg_hop_connect, relay));
    struct pg_circuit *c = pg_multiaddr_circuit(addr, &relay, &h->relay.id, &h->target) == PG_OK ? pg_circuit_new(&n->transport, link) : NULL;
    if (!c) {
        pg_pool_give(&n->circuit_ends.hops, h);
        return NULL;
    }
    if (!h->target.len)
        h->target = *target;
    h->node = n;
    h->relay.n_addrs = 0;
    h->circuit = c;
    c->relay = h->relay.id;
    c->via = relay;
    (void)pg_multiaddr_append_circuit(&c->via);
    c->opener = h;
    c->dropped = on_dropped;
    pg_hop_connect_add(h, &relay);
    pg_instance_init(&h->in, &pg_hop_connect_machine, &pg_hop_connect_binding, h, &n->scope, h->timers, NULL, link->number);
    return h;
}

void pg_hop_connect_add(struct pg_hop_connect *h, const struct pg_multiaddr *relay)
{
    for (uint32_t i = 0; i < h->relay.n_addrs; i++)
        if (pg_multiaddr_equal(&h->relay.addrs[i], relay))
            return;
    if (h->relay.n_addrs < PG_KAD_ADDRS)
        h->relay.addrs[h->relay.n_addrs++] = *relay;
}

void pg_hop_connect_begin(struct pg_hop_connect *h)
{
    pg_post(&h->in, PG_HOP_CONNECT_ON_BEGIN); /* a dial of another contact may be what it leads to */
}

void pg_hop_connect_finished(struct pg_hop_connect *h)
{
    struct pg_circuit_ends *r = &h->node->circuit_ends;
    h->next = r->ended_hops;
    r->ended_hops = h;
}

bool pg_circuit_ends_init(struct pg_circuit_ends *r)
{
    return pg_pool_init(&r->hops, sizeof(struct pg_hop_connect), HOPS, 8) && pg_pool_init(&r->stops, sizeof(struct pg_stop_serve), 2 * PG_FIXED_STOP_ASKED, 8);
}

void pg_circuit_ends_free(struct pg_circuit_ends *r)
{
    pg_pool_free(&r->hops);
    pg_pool_free(&r->stops);
}

void pg_circuit_ends_reap(struct pg_circuit_ends *r)
{
    while (r->ended_hops) {
        struct pg_hop_connect *h = r->ended_hops;
        r->ended_hops = h->next;
        pg_instance_end(&h->in);
        pg_pool_give(&r->hops, h);
    }
    while (r->ended_stops) {
        struct pg_stop_serve *v = r->ended_stops;
        r->ended_stops = v->next;
        pg_instance_end(&v->in);
        pg_pool_give(&r->stops, v);
    }
}
