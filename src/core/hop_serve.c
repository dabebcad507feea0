/* Hop streams at their relay: facts and actions of hop_serve, and the ways of bytes and events between the streams of a circuit.
 * The stream to the target is asked in stop_connect.c. Called through the streams' handlers and by relaying.c.
 * Serves libp2p/specs relay/circuit-v2.md, "Hop Protocol". */
#include "core/node_internal.h"

#include "core/voucher.h"
#include "protocols.gen.h"

#include <assert.h>

static struct pg_node *node_of(const struct pg_hop_serve *h)
{
    return h->relaying->node;
}

static uint64_t *metrics(const struct pg_hop_serve *h)
{
    return node_of(h)->metrics.value;
}

/* Answers. */

static struct pg_pb_circuit_limit circuit_limit(const struct pg_node *n)
{
    uint64_t ms = pg_node_limit(n, PG_LIMIT_RELAY_DURATION), bytes = pg_node_limit(n, PG_LIMIT_RELAY_BYTES);
    return (struct pg_pb_circuit_limit){.has_duration = ms > 0, .duration = ms > 0 && ms < 1000 ? 1 : (uint32_t)(ms / 1000),
                                        .has_data = bytes > 0, .data = bytes};
}

bool pg_circuit_limit_tell(const struct pg_node *n, struct pg_pb_circuit_limit *limit)
{
    *limit = circuit_limit(n);
    return limit->has_duration || limit->has_data;
}

static void answer(struct pg_hop_serve *h, struct pg_pb_hop_message *m)
{
    uint8_t text[PG_PB_HOP_MESSAGE_MAX + 4];
    struct pg_writer w = pg_writer(text, sizeof text);
    m->has_type = m->has_status = true;
    m->type = PG_PB_HOP_MESSAGE_TYPE_STATUS;
    m->status = h->status;
    if (h->status == PG_PB_CIRCUIT_STATUS_OK)
        m->has_limit = pg_circuit_limit_tell(node_of(h), &m->limit);
    pg_pb_hop_message_write_framed(m, &w);
    assert(!w.failed);
    (void)pg_stream_write(h->source, pg_written(&w)); /* no memory: the connection ends */
}

/* It is not our stream any more. */
static struct pg_stream *part(struct pg_stream **stream)
{
    struct pg_stream *s = *stream;
    *stream = NULL;
    if (s)
        pg_stream_detach(s);
    return s;
}

static void answer_and_end(struct pg_hop_serve *h, struct pg_pb_hop_message *m)
{
    answer(h, m);
    pg_stream_end(part(&h->source));
}

void pg_hop_serve_do_refusal_answer(struct pg_hop_serve *h)
{
    answer_and_end(h, &(struct pg_pb_hop_message){0});
}

/* As many of our addresses as fit beside the voucher. */
void pg_hop_serve_do_reservation_answer(struct pg_hop_serve *h)
{
    struct pg_node *n = node_of(h);
    const struct pg_multiaddr *addrs;
    uint8_t voucher[PG_VOUCHER_MAX];
    struct pg_writer v = pg_writer(voucher, sizeof voucher);
    uint64_t lease_us = pg_node_limit(n, PG_LIMIT_RELAY_LEASE) * 1000;
    uint64_t expire = (n->config.unix_offset_us + n->scope.now_us + lease_us) / 1000000;
    struct pg_pb_hop_message m = {.has_reservation = true, .reservation = {.has_expire = true, .expire = expire}};
    if (pg_voucher_seal(n->config.identity, &h->session->conn->peer, expire, &v)) {
        m.reservation.has_voucher = true; /* advisory: without memory for one a reservation is still of use */
        m.reservation.voucher = pg_written(&v);
    }
    uint32_t n_addrs = pg_relaying_addrs(h->session, &addrs);
    size_t room = PG_PB_HOP_MESSAGE_MAX - 128 - v.len;
    for (uint32_t i = 0; i < n_addrs && room >= addrs[i].len + 4u; i++) {
        m.reservation.addrs[m.reservation.n_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
        room -= addrs[i].len + 4u;
    }
    metrics(h)[PG_METRIC_RELAY_RESERVE_OK]++;
    pg_log_reservation_granted(n->log, pg_text(h->session->peer_text), m.reservation.n_addrs);
    answer_and_end(h, &m);
}

void pg_hop_serve_do_circuit_answer(struct pg_hop_serve *h)
{
    char target[PG_PEER_ID_TEXT];
    pg_peer_id_text(&h->target, target);
    h->status = PG_PB_CIRCUIT_STATUS_OK;
    metrics(h)[PG_METRIC_RELAY_CONNECT_OK]++;
    pg_log_circuit_accepted(node_of(h)->log, pg_text(h->session->peer_text), pg_text(target));
    answer(h, &(struct pg_pb_hop_message){0});
}

/* Telling. */

static const char *status_text(enum pg_pb_circuit_status s)
{
    switch (s) {
    case PG_PB_CIRCUIT_STATUS_UNUSED: return "UNUSED";
    case PG_PB_CIRCUIT_STATUS_OK: return "OK";
    case PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED: return "RESERVATION_REFUSED";
    case PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED: return "RESOURCE_LIMIT_EXCEEDED";
    case PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED: return "PERMISSION_DENIED";
    case PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED: return "CONNECTION_FAILED";
    case PG_PB_CIRCUIT_STATUS_NO_RESERVATION: return "NO_RESERVATION";
    case PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE: return "MALFORMED_MESSAGE";
    case PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE: return "UNEXPECTED_MESSAGE";
    }
    return "another status";
}

static void malformed(struct pg_hop_serve *h)
{
    metrics(h)[PG_METRIC_RELAY_MALFORMED]++;
    pg_log_hop_malformed(node_of(h)->log, pg_text(h->session->peer_text), pg_text(h->why));
}

void pg_hop_serve_do_refusal_tell(struct pg_hop_serve *h)
{
    char target[PG_PEER_ID_TEXT];
    struct pg_bytes from = pg_text(h->session->peer_text);
    bool failed = h->status == PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED;
    if (h->limit != PG_LIMITS)
        pg_node_refuse(node_of(h), h->limit, h->target.len ? "circuit" : "reservation", from);
    if (h->in.event == PG_HOP_SERVE_ON_REQUEST_BAD) {
        malformed(h);
    } else if (h->target.len) {
        metrics(h)[failed ? PG_METRIC_RELAY_CONNECT_ERROR : PG_METRIC_RELAY_CONNECT_REJECTED]++;
        pg_log_circuit_denied(node_of(h)->log, from, pg_bytes(target, pg_peer_id_text(&h->target, target)),
                              pg_text(status_text(h->status)), pg_text(h->why));
    } else {
        metrics(h)[PG_METRIC_RELAY_RESERVE_REJECTED]++;
        pg_log_reservation_denied(node_of(h)->log, from, pg_text(h->why));
    }
}

void pg_hop_serve_do_lateness_tell(struct pg_hop_serve *h)
{
    h->why = "no request within ten seconds";
    malformed(h);
}

void pg_hop_serve_do_end_tell(struct pg_hop_serve *h)
{
    char from[PG_PEER_ID_TEXT], target[PG_PEER_ID_TEXT];
    pg_peer_id_text(&h->origin, from);
    pg_peer_id_text(&h->target, target);
    pg_log_circuit_closed(node_of(h)->log, pg_text(from), pg_text(target), h->out.passed, h->back.passed,
                          node_of(h)->scope.now_us - h->began_us);
}

void pg_hop_serve_do_limit_tell(struct pg_hop_serve *h)
{
    struct pg_node *n = node_of(h);
    char from[PG_PEER_ID_TEXT], target[PG_PEER_ID_TEXT];
    pg_peer_id_text(&h->origin, from);
    pg_peer_id_text(&h->target, target);
    enum pg_limit limit = h->in.event == PG_HOP_SERVE_ON_LIFETIME_FIRED  ? PG_LIMIT_RELAY_DURATION
                          : h->in.event == PG_HOP_SERVE_ON_MEMORY_SHORT ? PG_LIMIT_MEMORY
                                                                        : PG_LIMIT_RELAY_BYTES;
    metrics(h)[pg_limit_infos[limit].metric]++;
    pg_log_circuit_cut(n->log, pg_text(from), pg_text(target), pg_text(pg_limit_infos[limit].name),
                       pg_node_limit(n, limit), pg_text(pg_limit_infos[limit].option), h->out.passed, h->back.passed,
                       n->scope.now_us - h->began_us);
}

/* What is counted. */

bool pg_hop_serve_is_granted(const struct pg_hop_serve *h)
{
    return h->status == PG_PB_CIRCUIT_STATUS_OK;
}

bool pg_hop_serve_is_timed(const struct pg_hop_serve *h)
{
    return pg_node_limit(node_of(h), PG_LIMIT_RELAY_DURATION) > 0;
}

uint64_t pg_hop_serve_lifetime_ms(const struct pg_hop_serve *h)
{
    return pg_node_limit(node_of(h), PG_LIMIT_RELAY_DURATION);
}

void pg_hop_serve_do_slot_take(struct pg_hop_serve *h)
{
    pg_slot_take(h->session);
}

void pg_hop_serve_do_circuit_count(struct pg_hop_serve *h)
{
    struct pg_node *n = node_of(h);
    h->origin = h->session->conn->peer;
    h->source_place = h->session->place;
    h->target_place = pg_slot_of(n, &h->target)->peer;
    h->source_place->circuits_from++;
    h->target_place->circuits_to++;
    pg_budget_hold(&n->budget, h->source_place);
    pg_budget_hold(&n->budget, h->target_place);
    pg_circuit_list(h);
    metrics(h)[PG_METRIC_RELAY_CIRCUITS_OPENED]++;
    metrics(h)[PG_METRIC_RELAY_CIRCUITS_PENDING]++;
}

void pg_hop_serve_do_circuit_uncount(struct pg_hop_serve *h)
{
    struct pg_node *n = node_of(h);
    h->source_place->circuits_from--;
    h->target_place->circuits_to--;
    pg_budget_release(&n->budget, h->source_place);
    pg_budget_release(&n->budget, h->target_place);
    pg_circuit_unlist(h);
    metrics(h)[PG_METRIC_RELAY_CIRCUITS_CLOSED]++;
    metrics(h)[h->stood ? PG_METRIC_RELAY_CIRCUITS : PG_METRIC_RELAY_CIRCUITS_PENDING]--;
    pg_flow_cut(&h->out);
    pg_flow_cut(&h->back);
    pg_hop_room_give(h);
    if (h->stood) { /* those that are still there have ended in both directions, or have been dropped */
        (void)part(&h->source);
        (void)part(&h->stop.stream);
    }
}

/* Streams. */

void pg_hop_serve_do_target_ask(struct pg_hop_serve *h)
{
    struct pg_node *n = node_of(h);
    uint64_t most = pg_node_limit(n, PG_LIMIT_RELAY_BYTES);
    pg_flow_init(&h->out, &n->transport, h->source, most, &h->in, h->in.key);
    pg_flow_init(&h->back, &n->transport, NULL, most, &h->in, h->in.key);
    pg_instance_init(&h->stop.in, &pg_stop_connect_machine, &pg_stop_connect_binding, &h->stop, &n->scope, h->stop.timers, &h->in,
                     h->in.key);
    pg_step(&h->stop.in, PG_STOP_CONNECT_ON_BEGIN);
}

void pg_hop_serve_do_circuit_begin(struct pg_hop_serve *h)
{
    h->stood = true;
    h->began_us = node_of(h)->scope.now_us;
    metrics(h)[PG_METRIC_RELAY_CIRCUITS_PENDING]--;
    metrics(h)[PG_METRIC_RELAY_CIRCUITS]++;
    h->back.from = h->stop.stream;
    pg_flow_begin(&h->out, h->stop.stream);
    pg_flow_begin(&h->back, h->source);
}

void pg_hop_serve_do_source_drop(struct pg_hop_serve *h)
{
    struct pg_stream *s = part(&h->source);
    if (s)
        pg_stream_reset(s);
}

void pg_hop_serve_do_target_drop(struct pg_hop_serve *h)
{
    pg_step(&h->stop.in, PG_STOP_CONNECT_ON_DROP);
    struct pg_stream *s = part(&h->stop.stream); /* of a circuit that stood */
    if (s)
        pg_stream_reset(s);
}

void pg_hop_take(struct pg_hop_serve *h, struct pg_flow *flow, struct pg_bytes data)
{
    switch (pg_flow_take(flow, data)) {
    case PG_FLOW_TAKEN: return;
    case PG_FLOW_EXCEEDED: pg_step(&h->in, PG_HOP_SERVE_ON_BYTES_EXCEEDED); return;
    case PG_FLOW_SHORT: break;
    }
    if (h->in.ctl.state == PG_HOP_SERVE_DIALING) { /* a circuit without these bytes would be a broken one */
        pg_hop_serve_do_source_drop(h);
        pg_step(&h->in, PG_HOP_SERVE_ON_SOURCE_FAILED);
        return;
    }
    pg_step(&h->in, PG_HOP_SERVE_ON_MEMORY_SHORT);
}

/* The request. */

static void judge(struct pg_hop_serve *h, struct pg_refusal refusal)
{
    h->status = refusal.status;
    h->limit = refusal.limit;
    h->why = refusal.why;
}

static enum pg_hop_serve_event bad(struct pg_hop_serve *h, enum pg_pb_circuit_status status, const char *why)
{
    judge(h, (struct pg_refusal){.status = status, .limit = PG_LIMITS, .why = why});
    return PG_HOP_SERVE_ON_REQUEST_BAD;
}

static enum pg_hop_serve_event take_request(struct pg_hop_serve *h, struct pg_bytes text)
{
    struct pg_pb_hop_message m;
    enum pg_err error = pg_pb_hop_message_read(&m, text);
    if (error != PG_OK)
        return bad(h, PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, pg_err_text(error));
    switch ((enum pg_pb_hop_message_event)pg_pb_hop_message_event(&m)) {
    case PG_PB_HOP_MESSAGE_RESERVE_ASKED:
        judge(h, pg_slot_refusal(h->session));
        return PG_HOP_SERVE_ON_RESERVE_ASKED;
    case PG_PB_HOP_MESSAGE_CONNECT_ASKED:
        if (pg_peer_id_read(&h->target, m.peer.id) != PG_OK)
            return bad(h, PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, "not a peer id");
        judge(h, pg_circuit_refusal(h->session, &h->target));
        return PG_HOP_SERVE_ON_CONNECT_ASKED;
    case PG_PB_HOP_MESSAGE_HOP_ACCEPTED:
    case PG_PB_HOP_MESSAGE_HOP_REFUSED: return bad(h, PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE, "a status, and nothing was asked");
    case PG_PB_HOP_MESSAGE_HOP_ODD:
    case PG_PB_HOP_MESSAGE_NO_EVENT: break;
    }
    return bad(h, PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, "not a request");
}

void pg_hop_room_give(struct pg_hop_serve *h)
{
    if (h->frame.room)
        pg_pool_give(&node_of(h)->chunks, h->frame.room);
    h->frame.room = NULL;
}

bool pg_hop_room_take(struct pg_hop_serve *h)
{
    struct pg_pool *chunks = &node_of(h)->chunks;
    if (!h->frame.room && !pg_pool_crowded(chunks))
        h->frame.room = pg_pool_take(chunks);
    return h->frame.room != NULL;
}

/* Places of those who have asked for nothing yet. */

static void place_take(struct pg_hop_serve *h)
{
    struct pg_relaying *r = h->relaying;
    h->previous = r->last_silent;
    *(h->previous ? &h->previous->next : &r->silent) = h;
    r->last_silent = h;
    r->asked++;
    h->session->hops_asked++;
}

/* The oldest of the connection with most: a request comes with its stream, or soon after, so whoever fills the places keeps nobody out. */
static void give_way(struct pg_relaying *r)
{
    struct pg_hop_serve *found = r->silent;
    for (struct pg_hop_serve *h = r->silent; h; h = h->next)
        if (h->session->hops_asked > found->session->hops_asked)
            found = h;
    found->why = "nothing has been asked on it, and others need its place";
    malformed(found);
    pg_step(&found->in, PG_HOP_SERVE_ON_SOURCE_ENDED);
}

void pg_hop_serve_do_place_free(struct pg_hop_serve *h)
{
    struct pg_relaying *r = h->relaying;
    *(h->previous ? &h->previous->next : &r->silent) = h->next;
    *(h->next ? &h->next->previous : &r->last_silent) = h->previous;
    h->next = h->previous = NULL;
    r->asked--;
    h->session->hops_asked--;
    pg_hop_room_give(h);
}

/* Reads on until the request is whole; what follows it is for the target. */
static void read_request(struct pg_hop_serve *h, struct pg_bytes *data)
{
    struct pg_bytes text;
    struct pg_stream *stream = h->source;
    enum pg_hop_serve_event event = PG_HOP_SERVE_ON_REQUEST_BAD;
    size_t before = data->len;
    if (!pg_hop_room_take(h)) {
        *data = PG_NONE;
        bad(h, PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, "no memory for the request");
    } else {
        enum pg_frame_result result = pg_frame_feed(&h->frame, data, &text);
        pg_stream_consumed(stream, before - data->len);
        if (result == PG_FRAME_MORE)
            return;
        event = result == PG_FRAME_MESSAGE ? take_request(h, text)
                                           : bad(h, PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE, pg_err_text(pg_frame_error(&h->frame)));
    }
    pg_step(&h->in, event);
}

/* The source's stream. */

static void hop_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_relaying *r = &s->node->relaying;
    bool room = s->hops_asked < PG_FIXED_HOP_ASKED_CONN;
    if (room && r->asked == PG_FIXED_HOP_ASKED)
        give_way(r);
    struct pg_hop_serve *h = room ? pg_pool_take_zero(&r->hops) : NULL;
    if (!h) {
        s->node->metrics.value[PG_METRIC_RELAY_MALFORMED]++;
        pg_log_hop_malformed(s->node->log, pg_text(s->peer_text), PG_LIT("too many hop streams on which nothing has been asked yet"));
        pg_stream_reset(stream);
        return;
    }
    h->relaying = r;
    h->session = s;
    h->source = stream;
    h->limit = PG_LIMITS;
    stream->user = h;
    place_take(h);
    pg_frame_init(&h->frame, PG_FRAME_UVARINT, NULL, PG_PB_HOP_MESSAGE_MAX);
    pg_instance_init(&h->in, &pg_hop_serve_machine, &pg_hop_serve_binding, h, &s->node->scope, h->timers, NULL, r->next_key++);
    pg_step(&h->in, PG_HOP_SERVE_ON_START);
}

static void hop_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_hop_serve *h = stream->user;
    if (h->in.ctl.state == PG_HOP_SERVE_WAITING)
        read_request(h, &data);
    if (data.len > 0 && h->source && h->in.ctl.state != PG_HOP_SERVE_WAITING)
        pg_hop_take(h, &h->out, data);
}

static void hop_ended(struct pg_stream *stream)
{
    struct pg_hop_serve *h = stream->user;
    if (h->in.ctl.state == PG_HOP_SERVE_WAITING)
        pg_step(&h->in, PG_HOP_SERVE_ON_SOURCE_ENDED);
    else
        pg_step(&h->out.in, PG_FLOW_ON_SOURCE_ENDED);
}

static void hop_writable(struct pg_stream *stream)
{
    pg_flow_writable(&((struct pg_hop_serve *)stream->user)->back);
}

static void hop_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_hop_serve *h = stream->user;
    h->source = h->out.from = h->back.to = NULL;
    if (why == PG_OK)
        return; /* both directions have ended, and their flows know */
    pg_step(&h->in, PG_HOP_SERVE_ON_SOURCE_FAILED);
}

const struct pg_handler pg_hop_handler = {.protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1},
                                          .relayed = PG_RELAYED_NEVER, .opened = hop_opened, .data = hop_data, .ended = hop_ended,
                                          .writable = hop_writable, .closed = hop_closed};
