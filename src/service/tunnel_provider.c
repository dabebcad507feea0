/* Facts and actions of tunnel_provider: a peer asks for one of our services.
 * Called through its stream's handler. Wire: spec/wire/tunnel.wire, the seed's tunnel protocol. */
#include "protocols.gen.h"
#include "service/tunnel.h"

#include <stdio.h>

static struct pg_log *logs(const struct pg_tunnel_provider *t)
{
    return pg_node_log(t->tunnels->node);
}

static struct pg_metrics *metrics(const struct pg_tunnel_provider *t)
{
    return pg_node_metrics(t->tunnels->node);
}

/* Facts. */

bool pg_tunnel_provider_is_known(const struct pg_tunnel_provider *t)
{
    return t->service != NULL;
}

bool pg_tunnel_provider_is_allowed(const struct pg_tunnel_provider *t)
{
    return t->service && pg_exposed_allows(t->service, pg_stream_peer(t->pipe.stream));
}

bool pg_tunnel_provider_is_stopping(const struct pg_tunnel_provider *t)
{
    return pg_node_stopping(t->tunnels->node);
}

/* Answers. */

bool pg_tunnel_send(struct pg_stream *s, const struct pg_json_table *table, const void *message)
{
    uint8_t text[1024];
    struct pg_writer w = pg_writer(text + 4, sizeof text - 4);
    if (!pg_json_write(table, message, &w))
        return false;
    struct pg_writer length = pg_writer(text, 4);
    pg_put_u32be(&length, (uint32_t)w.len);
    return pg_stream_write(s, pg_bytes(text, w.len + 4));
}

enum pg_frame_result pg_tunnel_frame_feed(struct pg_tunnels *all, struct pg_frame *f, uint8_t small[PG_TUNNEL_SMALL], void **room,
                                          struct pg_bytes *in, struct pg_bytes *text)
{
    while (!f->body && in->len > 0) { /* the length first: it says how much room the rest needs */
        struct pg_bytes one = pg_bytes_head(*in, 1);
        enum pg_frame_result result = pg_frame_feed(f, &one, text);
        *in = pg_bytes_skip(*in, 1);
        if (result != PG_FRAME_MORE)
            return result;
    }
    if (f->body && f->need - f->have > in->len && !f->room) {
        struct pg_pool *chunks = pg_node_transport(all->node)->chunks;
        if (f->need > PG_TUNNEL_SMALL && !*room && !pg_pool_crowded(chunks))
            *room = pg_pool_take(chunks);
        f->room = f->need > PG_TUNNEL_SMALL ? *room : small;
        if (!f->room) {
            f->error = PG_ERR_NO_MEMORY;
            return PG_FRAME_BAD;
        }
    }
    return pg_frame_feed(f, in, text);
}

void pg_tunnel_room_give(struct pg_tunnels *all, void **room)
{
    if (*room)
        pg_pool_give(pg_node_transport(all->node)->chunks, *room);
    *room = NULL;
}

struct pg_arena pg_tunnel_arena(struct pg_node *n, uint8_t *small, size_t room, size_t text)
{
    /* Hundreds of short messages may come in one turn; a long one is worth the turn's arena. */
    if (text <= room / 2)
        return (struct pg_arena){small, room, 0};
    return (struct pg_arena){pg_node_scratch(n, text + room), text + room, 0};
}

/* `logged` is shorter than what the peer is told where the line names the service anyway. */
static void refuse(struct pg_tunnel_provider *t, const char *logged)
{
    struct pg_json_tunnel_response no = {.has_reason = true, .reason = pg_text(t->reason)};
    metrics(t)->value[PG_METRIC_TUNNELS_REJECTED_PROVIDER]++;
    pg_log_tunnel_rejected(logs(t), pg_text(t->peer), pg_text(t->name), pg_text(logged));
    if (!t->pipe.stream)
        return;
    if (!pg_tunnel_send(t->pipe.stream, &pg_json_tunnel_response_table, &no))
        (void)pg_tunnel_send(t->pipe.stream, &pg_json_tunnel_response_table,
                             &(struct pg_json_tunnel_response){.has_reason = true, .reason = PG_LIT("unknown service")});
    if (t->pipe.stream)
        pg_stream_end(t->pipe.stream);
}

void pg_tunnel_provider_do_answer_unknown(struct pg_tunnel_provider *t)
{
    snprintf(t->reason, sizeof t->reason, "unknown service: %s", t->name);
    refuse(t, "unknown service");
}

void pg_tunnel_provider_do_answer_forbidden(struct pg_tunnel_provider *t)
{
    snprintf(t->reason, sizeof t->reason, "not allowed: this peer may not open %s", t->name);
    refuse(t, "not on the service's allow list");
}

void pg_tunnel_provider_do_answer_stopping(struct pg_tunnel_provider *t)
{
    snprintf(t->reason, sizeof t->reason, "the peer is shutting down");
    refuse(t, t->reason);
}

void pg_tunnel_provider_do_answer_down(struct pg_tunnel_provider *t)
{
    char why[sizeof t->reason], target[PG_TARGET_TEXT], logged[sizeof why + sizeof target];
    memcpy(why, t->reason, sizeof why);
    snprintf(t->reason, sizeof t->reason, "service cannot be reached: %.100s", why);
    pg_target_text(&t->service->is, target);
    /* Where the socket is concerns nobody but us. */
    snprintf(logged, sizeof logged, t->service->is.path.len ? "service cannot be reached: %.100s: %s" : "service cannot be reached: %.100s", why, target);
    refuse(t, logged);
}

void pg_tunnel_provider_do_answer_late(struct pg_tunnel_provider *t)
{
    snprintf(t->reason, sizeof t->reason, "service cannot be reached: no answer in time");
    refuse(t, t->reason);
}

void pg_tunnel_provider_do_answer_accept(struct pg_tunnel_provider *t)
{
    char local[PG_TARGET_TEXT];
    pg_target_text(&t->service->is, local);
    t->service->clients++;
    metrics(t)->value[PG_METRIC_TUNNELS_OPENED_PROVIDER]++;
    metrics(t)->value[PG_METRIC_TUNNELS_PROVIDER]++;
    pg_log_tunnel_accepted(logs(t), pg_text(t->peer), pg_text(t->name), pg_text(local));
    if (t->pipe.stream)
        (void)pg_tunnel_send(t->pipe.stream, &pg_json_tunnel_response_table, &(struct pg_json_tunnel_response){.accepted = true});
}

/* The local service. */

static void local_connected(struct pg_link_owner *owner, const struct pg_input *in)
{
    struct pg_tunnel_provider *t = (struct pg_tunnel_provider *)owner;
    (void)in;
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_SERVICE_UP);
}

static void local_received(struct pg_link_owner *owner, uint8_t *data, size_t len)
{
    pg_pipe_from_local((struct pg_pipe *)owner, data, len);
}

static void local_ended(struct pg_link_owner *owner)
{
    pg_pipe_local_ended((struct pg_pipe *)owner);
}

static size_t local_want(struct pg_link_owner *owner)
{
    return pg_pipe_want((struct pg_pipe *)owner);
}

static void local_written(struct pg_link_owner *owner)
{
    pg_pipe_local_written((struct pg_pipe *)owner);
}

static void local_lost(struct pg_link_owner *owner, enum pg_err why, struct pg_bytes reason)
{
    struct pg_tunnel_provider *t = (struct pg_tunnel_provider *)owner;
    if (t->pipe.begun) {
        pg_pipe_local_lost(&t->pipe, why, reason);
        return;
    }
    t->pipe.local = NULL;
    snprintf(t->reason, sizeof t->reason, "%.*s", (int)reason.len, (const char *)reason.at);
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_SERVICE_FAILED);
}

static const struct pg_link_user local_user = {.connected = local_connected, .received = local_received,
                                               .ended = local_ended, .written = local_written, .want = local_want, .lost = local_lost};

void pg_tunnel_provider_do_service_dial(struct pg_tunnel_provider *t)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_LOCAL, .host = t->service->is.host,
                              .path = t->service->is.path, .endpoint.port = t->service->is.port};
    t->pipe.owner.user = &local_user;
    t->pipe.local = pg_node_link(t->tunnels->node, &t->pipe.owner);
    if (!t->pipe.local) {
        snprintf(t->reason, sizeof t->reason, "too many connections");
        pg_post(&t->in, PG_TUNNEL_PROVIDER_ON_SERVICE_FAILED);
        return;
    }
    if (pg_ip4_parse(dial.host, dial.endpoint.ip))
        dial.endpoint.family = 4;
    else if (pg_ip6_parse(dial.host, dial.endpoint.ip))
        dial.endpoint.family = 6;
    if (dial.endpoint.family)
        dial.host = PG_NONE;
    dial.link = t->pipe.local;
    pg_node_command(t->tunnels->node, &dial);
}

void pg_tunnel_provider_do_service_drop(struct pg_tunnel_provider *t)
{
    pg_node_reset(t->tunnels->node, &t->pipe.local);
}

/* The stream. */

static void take_request(struct pg_tunnel_provider *t, struct pg_bytes text)
{
    uint8_t small[2048];
    struct pg_json_tunnel_request request;
    struct pg_arena arena = pg_tunnel_arena(t->tunnels->node, small, sizeof small, text.len);
    enum pg_err error = arena.base ? pg_json_tunnel_request_read(&request, text, &arena) : PG_ERR_NO_MEMORY;
    if (error != PG_OK) {
        snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(error));
        pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_REQUEST_BAD);
        return;
    }
    size_t n = request.service_name.len < sizeof t->name - 1 ? request.service_name.len : sizeof t->name - 1;
    memcpy(t->name, request.service_name.at, n);
    t->name[n] = 0;
    /* Where it goes and whether it may: the same field of the same object decides both. */
    t->service = pg_exposed_find(t->tunnels, request.service_name);
    if (t->service)
        pg_exposed_use(t->service);
    pg_log_tunnel_request(logs(t), pg_text(t->peer), pg_text(t->name));
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_REQUEST_GOOD);
}

/* What comes before the service is there. Bytes that find no room must not vanish from the middle of a stream. */
static void keep_early(struct pg_tunnel_provider *t, struct pg_bytes data)
{
    if (!pg_pool_crowded(t->early.pool) && pg_queue_put(&t->early, data))
        return;
    snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(PG_ERR_NO_MEMORY));
    pg_tunnel_provider_do_stream_drop(t);
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_STREAM_FAILED);
}

static void reading_data(struct pg_tunnel_provider *t, struct pg_bytes data)
{
    struct pg_bytes text;
    size_t before = data.len;
    enum pg_frame_result result = pg_tunnel_frame_feed(t->tunnels, &t->frame, t->small, &t->room, &data, &text);
    pg_stream_consumed(t->pipe.stream, before - data.len);
    if (result == PG_FRAME_BAD) {
        snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(pg_frame_error(&t->frame)));
        pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_REQUEST_BAD);
    } else if (result == PG_FRAME_MESSAGE) {
        take_request(t, text);
        pg_tunnel_room_give(t->tunnels, &t->room);
    }
    /* A consumer may send on without waiting for the answer. */
    if (data.len > 0 && t->pipe.stream && t->in.ctl.state == PG_TUNNEL_PROVIDER_CONNECTING)
        keep_early(t, data);
}

static void serve_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_tunnel_provider *t = s->user;
    if (t->pipe.begun)
        pg_pipe_from_stream(&t->pipe, data);
    else if (t->in.ctl.state == PG_TUNNEL_PROVIDER_READING)
        reading_data(t, data);
    else if (t->in.ctl.state == PG_TUNNEL_PROVIDER_CONNECTING)
        keep_early(t, data); /* the window bounds it */
    else
        pg_stream_consumed(s, data.len);
}

static void serve_ended(struct pg_stream *s)
{
    struct pg_tunnel_provider *t = s->user;
    if (t->pipe.begun) {
        pg_pipe_stream_ended(&t->pipe);
        return;
    }
    t->ended_early = true;
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_STREAM_ENDED);
}

static void serve_writable(struct pg_stream *s)
{
    struct pg_tunnel_provider *t = s->user;
    if (t->pipe.begun)
        pg_pipe_stream_writable(&t->pipe);
}

static void serve_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_tunnel_provider *t = s->user;
    if (t->pipe.begun) {
        pg_pipe_stream_closed(&t->pipe, why);
        return;
    }
    t->pipe.stream = NULL;
    snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(why ? why : PG_ERR_CLOSED));
    /* An answer that ends our half may be what closes the stream: then this machine is in the middle of a step. */
    pg_post(&t->in, PG_TUNNEL_PROVIDER_ON_STREAM_FAILED);
}

static void serve_opened(struct pg_stream *s)
{
    struct pg_session *session = pg_session_of(s);
    struct pg_tunnels *all = pg_session_services(session);
    struct pg_tunnel_provider *t = pg_pool_take_zero(&all->providers);
    if (!t) {
        pg_node_refuse(all->node, PG_LIMIT_STREAMS, "tunnel", pg_session_peer_text(session));
        pg_log_tunnel_handler_failed(pg_node_log(all->node), pg_session_peer_text(session), PG_LIT("too many tunnels"));
        pg_stream_reset(s);
        return;
    }
    t->tunnels = all;
    t->pipe.stream = s;
    s->user = t;
    pg_peer_id_text(pg_stream_peer(s), t->peer);
    pg_queue_init(&t->early, pg_node_transport(all->node)->chunks);
    pg_frame_init(&t->frame, PG_JSON_TUNNEL_REQUEST_FRAMING, NULL, PG_JSON_TUNNEL_REQUEST_MAX);
    t->next = all->provider_list;
    t->previous = &all->provider_list;
    if (t->next)
        t->next->previous = &t->next;
    all->provider_list = t;
    all->n_running++;
    pg_instance_init(&t->in, &pg_tunnel_provider_machine, &pg_tunnel_provider_binding, t, pg_node_scope(all->node), t->timers,
                     NULL, ++all->next_key);
    pg_step(&t->in, PG_TUNNEL_PROVIDER_ON_START);
}

const struct pg_handler pg_tunnel_serve = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_TUNNEL, sizeof PG_PROTOCOL_TUNNEL - 1},
    .opened = serve_opened, .data = serve_data, .ended = serve_ended, .writable = serve_writable, .closed = serve_closed};

/* Beginning and end of the bytes. */

void pg_tunnel_provider_do_pipe_begin(struct pg_tunnel_provider *t)
{
    struct pg_bytes part;
    pg_pipe_begin(&t->pipe, t->tunnels->node, &t->in, t->in.key);
    while (t->pipe.local && pg_queue_peek(&t->early, &part, 1) > 0) {
        pg_pipe_from_stream(&t->pipe, part);
        pg_queue_drop(&t->early, part.len);
    }
    if (t->ended_early)
        pg_pipe_stream_ended(&t->pipe);
}

void pg_tunnel_provider_do_end_tell(struct pg_tunnel_provider *t)
{
    struct pg_metrics *m = metrics(t);
    m->value[PG_METRIC_TUNNELS_CLOSED_PROVIDER]++;
    m->value[PG_METRIC_TUNNELS_PROVIDER]--;
    m->value[PG_METRIC_TUNNEL_BYTES_TO_SERVICE] += t->pipe.to_local;
    m->value[PG_METRIC_TUNNEL_BYTES_FROM_SERVICE] += t->pipe.from_local;
    t->service->clients--;
    t->service->to_service += t->pipe.to_local;
    t->service->from_service += t->pipe.from_local;
    if (t->pipe.why == PG_OK) {
        pg_log_tunnel_closed(logs(t), pg_text(t->peer), pg_text(t->name), t->pipe.to_local, t->pipe.from_local);
        return;
    }
    m->value[PG_METRIC_TUNNELS_FAILED_PROVIDER]++;
    pg_log_tunnel_error(logs(t), pg_text(t->peer), pg_text(t->pipe.reason));
}

static void tell_failure(struct pg_tunnel_provider *t, const char *what)
{
    metrics(t)->value[PG_METRIC_TUNNELS_FAILED_PROVIDER]++;
    metrics(t)->value[PG_METRIC_PROTOCOL_ERRORS] += t->in.event == PG_TUNNEL_PROVIDER_ON_REQUEST_BAD;
    pg_log_tunnel_handler_failed(logs(t), pg_text(t->peer), pg_text(what));
}

void pg_tunnel_provider_do_nonsense_tell(struct pg_tunnel_provider *t)
{
    tell_failure(t, t->reason[0] ? t->reason : "the stream ended before the request");
}

void pg_tunnel_provider_do_lateness_tell(struct pg_tunnel_provider *t)
{
    tell_failure(t, "no request in time");
}

void pg_tunnel_provider_do_failure_tell(struct pg_tunnel_provider *t)
{
    tell_failure(t, t->reason);
}

void pg_tunnel_provider_do_stream_drop(struct pg_tunnel_provider *t)
{
    pg_stream_drop(&t->pipe.stream);
}
