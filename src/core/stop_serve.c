/* Facts and actions of stop_serve: a relay brings a circuit, and it becomes an incoming connection. Called through the handler of
 * the stop protocol. What the relay says of the source is what the handshake inside the circuit has to prove.
 * Source: libp2p/specs relay/circuit-v2.md, "Stop Protocol". */
#include "core/relayed.h"

#include "core/node_internal.h"
#include "core/reserve.h"
#include "protocols.gen.h"

#include <stddef.h>

bool pg_stop_serve_is_reserved(const struct pg_stop_serve *v)
{
    return v->reserved;
}

bool pg_stop_serve_is_admitted(const struct pg_stop_serve *v)
{
    return v->circuit != NULL;
}

/* Answers. */

static void answer(struct pg_stop_serve *v, enum pg_pb_circuit_status status)
{
    uint8_t text[32];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_stop_message m = {.has_type = true, .type = PG_PB_STOP_MESSAGE_TYPE_STATUS, .has_status = true, .status = status};
    pg_pb_stop_message_write_framed(&m, &w);
    (void)pg_stream_write(v->stream, pg_written(&w)); /* it is the first thing that we say here; a connection that cannot take it ends */
}

static void refuse(struct pg_stop_serve *v, enum pg_pb_circuit_status status, struct pg_bytes reason)
{
    pg_log_circuit_refused(v->relay->node->log, pg_text(v->relay->peer_text), reason);
    answer(v, status);
    struct pg_stream *stream = v->stream;
    v->stream = NULL;
    pg_stream_detach(stream); /* first: where the relay has ended its half, too, the end of ours is the stream's */
    pg_stream_end(stream);
}

void pg_stop_serve_do_acceptance_send(struct pg_stop_serve *v)
{
    answer(v, PG_PB_CIRCUIT_STATUS_OK);
}

void pg_stop_serve_do_fullness_send(struct pg_stop_serve *v)
{
    refuse(v, PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, PG_LIT("there is no room for one more connection"));
}

void pg_stop_serve_do_denial_send(struct pg_stop_serve *v)
{
    refuse(v, PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, PG_LIT("we hold no reservation with this relay"));
}

void pg_stop_serve_do_reproach_send(struct pg_stop_serve *v)
{
    refuse(v, v->reproach, PG_LIT("the relay has asked for nothing that makes sense"));
}

void pg_stop_serve_do_stream_drop(struct pg_stop_serve *v)
{
    pg_log_circuit_refused(v->relay->node->log, pg_text(v->relay->peer_text), PG_LIT("the relay has not said in time who comes through it"));
    pg_stream_reset(v->stream);
    v->stream = NULL;
}

/* The request. */

/* Of whom the relay speaks: neither of itself nor of us, for those have no need of a circuit. */
static bool source_of(const struct pg_stop_serve *v, const struct pg_pb_stop_message *m, struct pg_peer_id *source)
{
    return m->peer.has_id && pg_peer_id_read(source, m->peer.id) == PG_OK && !pg_peer_id_equal(source, pg_session_peer(v->relay)) &&
           !pg_peer_id_equal(source, pg_node_own(v->relay->node));
}

static void take_in(struct pg_stop_serve *v, const struct pg_pb_stop_message *m, const struct pg_peer_id *source)
{
    struct pg_node *n = v->relay->node;
    struct pg_link *link = pg_node_link(n, NULL);
    struct pg_circuit *c = link ? pg_circuit_new(&n->transport, link) : NULL;
    if (!c) {
        if (link)
            pg_pool_give(&n->links, link);
        return;
    }
    pg_session_remote(v->relay, &c->via);
    (void)pg_multiaddr_append_p2p(&c->via, pg_session_peer(v->relay));
    (void)pg_multiaddr_append_circuit(&c->via);
    c->relay = *pg_session_peer(v->relay);
    c->limit_bytes = m->limit.data;
    c->limit_us = m->limit.duration * 1000000ull;
    if (pg_session_accept_over(n, link, source))
        v->circuit = c;
}

static unsigned event_of(struct pg_stop_serve *v, struct pg_bytes message)
{
    struct pg_pb_stop_message m;
    struct pg_peer_id source;
    v->reproach = PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE;
    if (pg_pb_stop_message_read(&m, message) != PG_OK)
        return PG_STOP_SERVE_ON_STOP_ODD;
    int event = pg_pb_stop_message_event(&m);
    if (event != PG_PB_STOP_MESSAGE_STOP_ASKED) {
        v->reproach = PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE;
        return event == PG_PB_STOP_MESSAGE_STOP_ACCEPTED ? PG_STOP_SERVE_ON_STOP_ACCEPTED :
               event == PG_PB_STOP_MESSAGE_STOP_REFUSED ? PG_STOP_SERVE_ON_STOP_REFUSED : PG_STOP_SERVE_ON_STOP_ODD;
    }
    if (!source_of(v, &m, &source))
        return PG_STOP_SERVE_ON_STOP_ODD;
    v->reserved = pg_reservation_held(v->relay->node, pg_session_peer(v->relay));
    enum pg_limit forbids = v->reserved ? pg_inbound_forbids(v->relay->node, &source, pg_session_peer(v->relay)) : PG_LIMITS;
    if (forbids != PG_LIMITS) {
        char text[PG_PEER_ID_TEXT];
        pg_node_refuse(v->relay->node, forbids, NULL, pg_bytes(text, pg_peer_id_text(&source, text)));
    } else if (v->reserved)
        take_in(v, &m, &source);
    return PG_STOP_SERVE_ON_STOP_ASKED;
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_stop_serve *v = s->user;
    struct pg_bytes message;
    size_t before = data.len;
    enum pg_frame_result result = pg_frame_feed(&v->frame, &data, &message);
    pg_stream_consumed(s, before - data.len);
    if (result == PG_FRAME_MORE)
        return;
    v->reproach = PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE;
    pg_step(&v->in, result == PG_FRAME_BAD ? PG_STOP_SERVE_ON_STOP_ODD : event_of(v, message));
    if (v->in.ctl.state == PG_STOP_SERVE_MADE)
        pg_circuit_carry(v->circuit, s, data);
}

/* Those that wait. */

static void list(struct pg_stop_serve *v)
{
    struct pg_circuit_ends *r = &v->relay->node->circuit_ends;
    v->previous = r->last_stop;
    *(v->previous ? &v->previous->next : &r->first_stop) = v;
    r->last_stop = v;
    r->n_stops++;
}

static void unlist(struct pg_stop_serve *v)
{
    struct pg_circuit_ends *r = &v->relay->node->circuit_ends;
    *(v->previous ? &v->previous->next : &r->first_stop) = v->next;
    *(v->next ? &v->next->previous : &r->last_stop) = v->previous;
    r->n_stops--;
}

/* Whoever has waited for longest, but nobody's from whom we have reserved as long as there is one of somebody else's: a request comes
 * with its stream, and no stranger keeps our relays out by opening streams. */
static void give_way(struct pg_circuit_ends *r)
{
    struct pg_stop_serve *v = r->first_stop;
    while (v && v->reserved)
        v = v->next;
    v = v ? v : r->first_stop;
    pg_node_refuse(v->relay->node, PG_LIMIT_PENDING, "circuit", pg_text(v->relay->peer_text));
    pg_stop_serve_do_stream_drop(v);
    pg_step(&v->in, PG_STOP_SERVE_ON_STREAM_FAILED);
}

static void on_opened(struct pg_stream *s)
{
    struct pg_session *relay = pg_session_of(s);
    struct pg_circuit_ends *r = &relay->node->circuit_ends;
    if (r->n_stops == PG_FIXED_STOP_ASKED)
        give_way(r);
    struct pg_stop_serve *v = pg_pool_take(&r->stops);
    if (!v) { /* those that have given way in this turn are still there */
        pg_node_refuse(relay->node, PG_LIMIT_PENDING, "circuit", pg_text(relay->peer_text));
        pg_stream_reset(s);
        return;
    }
    memset(v, 0, offsetof(struct pg_stop_serve, room));
    v->relay = relay;
    v->stream = s;
    v->reserved = pg_reservation_held(relay->node, pg_session_peer(relay));
    s->user = v;
    list(v);
    pg_frame_init(&v->frame, PG_FRAME_UVARINT, v->room, sizeof v->room);
    pg_instance_init(&v->in, &pg_stop_serve_machine, &pg_stop_serve_binding, v, &relay->node->scope, v->timers, NULL, s->conn->number);
    pg_step(&v->in, PG_STOP_SERVE_ON_BEGIN);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_stop_serve *v = s->user;
    v->reproach = PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE;
    pg_step(&v->in, PG_STOP_SERVE_ON_STOP_ODD);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_stop_serve *v = s->user;
    (void)why;
    v->stream = NULL;
    pg_step(&v->in, PG_STOP_SERVE_ON_STREAM_FAILED);
}

static void on_writable(struct pg_stream *s)
{
    (void)s;
}

const struct pg_handler pg_stop_serve = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_STOP, sizeof PG_PROTOCOL_STOP - 1}, .relayed = PG_RELAYED_NEVER,
    .opened = on_opened, .data = on_data, .ended = on_ended, .writable = on_writable, .closed = on_closed};

void pg_stop_serve_finished(struct pg_stop_serve *v)
{
    struct pg_circuit_ends *r = &v->relay->node->circuit_ends;
    unlist(v);
    v->next = r->ended_stops;
    r->ended_stops = v;
}
