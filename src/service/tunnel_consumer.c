/* Facts and actions of tunnel_consumer: a local client of a forward, and the peer that has its service.
 * Called by forward.c and through links and streams. Wire: spec/wire/tunnel.wire, the seed's tunnel protocol. */
#include "protocols.gen.h"
#include "service/tunnel.h"

#include <stddef.h>
#include <stdio.h>

/* --path direct promises an end within 15 s. */
enum { DIRECT_WAIT_MS = 14000 };
/* A circuit that lasts for less, or that carries only so much, is told of: a relay of ours ends its own after that. */
#define LONG_US ((uint64_t)3600000000)

#define HOST_OF_NEXT(p) ((struct pg_tunnel_consumer *)((char *)(p) - offsetof(struct pg_tunnel_consumer, next_waiting)))

static struct pg_log *logs(const struct pg_tunnel_consumer *t)
{
    return pg_node_log(t->tunnels->node);
}

static struct pg_metrics *metrics(const struct pg_tunnel_consumer *t)
{
    return pg_node_metrics(t->tunnels->node);
}

/* Facts. */

bool pg_tunnel_consumer_is_reachable(const struct pg_tunnel_consumer *t)
{
    struct pg_session *s = pg_path_for_tunnel(t->tunnels->node, pg_forward_peer(t->forward));
    return s && !pg_session_is_suspect(s) && pg_stream_room(pg_session_conn(s));
}

bool pg_tunnel_consumer_is_patient(const struct pg_tunnel_consumer *t)
{
    return pg_node_scope(t->tunnels->node)->now_us - t->came_us < pg_tunnel_consumer_tunnel_wait_ms(t) * 1000;
}

bool pg_tunnel_consumer_is_stopping(const struct pg_tunnel_consumer *t)
{
    return pg_node_stopping(t->tunnels->node);
}

uint64_t pg_tunnel_consumer_tunnel_wait_ms(const struct pg_tunnel_consumer *t)
{
    bool bounded = t->tunnels->direct_only && t->tunnels->wait_ms > DIRECT_WAIT_MS;
    return bounded ? DIRECT_WAIT_MS : t->tunnels->wait_ms;
}

uint64_t pg_tunnel_consumer_breath_ms(const struct pg_tunnel_consumer *t)
{
    return 20 + pg_node_random(t->tunnels->node) % 41;
}

/* The stream. */

static void take_answer(struct pg_tunnel_consumer *t, struct pg_bytes text)
{
    uint8_t small[2048];
    struct pg_arena arena = pg_tunnel_arena(t->tunnels->node, small, sizeof small, text.len);
    struct pg_json_tunnel_response answer;
    enum pg_err error = arena.base ? pg_json_tunnel_response_read(&answer, text, &arena) : PG_ERR_NO_MEMORY;
    if (error != PG_OK) {
        snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(error));
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_BAD);
    } else if (answer.accepted) {
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_ACCEPTED);
    } else {
        struct pg_bytes why = answer.has_reason ? pg_bytes_head(answer.reason, sizeof t->reason - 1) : PG_LIT("no reason given");
        memcpy(t->reason, why.at, why.len);
        t->reason[why.len] = 0;
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_REJECTED);
    }
}

static void asking_data(struct pg_tunnel_consumer *t, struct pg_stream *s, struct pg_bytes data)
{
    struct pg_bytes text;
    size_t before = data.len;
    enum pg_frame_result result = pg_tunnel_frame_feed(t->tunnels, &t->frame, t->small, &t->room, &data, &text);
    pg_stream_consumed(s, before - data.len);
    if (result == PG_FRAME_BAD) {
        snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(pg_frame_error(&t->frame)));
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_BAD);
    } else if (result == PG_FRAME_MESSAGE) {
        take_answer(t, text);
        if (data.len > 0 && t->pipe.begun)
            pg_pipe_from_stream(&t->pipe, data); /* bytes behind the answer in one frame */
        if (t->pipe.begun)
            pg_tunnel_room_give(t->tunnels, &t->room);
    }
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_tunnel_consumer *t = s->user;
    if (t->pipe.begun)
        pg_pipe_from_stream(&t->pipe, data);
    else
        asking_data(t, s, data);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_tunnel_consumer *t = s->user;
    if (t->pipe.begun) {
        pg_pipe_stream_ended(&t->pipe);
        return;
    }
    snprintf(t->reason, sizeof t->reason, "the peer ended the stream without an answer");
    pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_NONE);
}

static void on_opened(struct pg_stream *s)
{
    (void)s;
}

static void on_writable(struct pg_stream *s)
{
    struct pg_tunnel_consumer *t = s->user;
    if (t->pipe.begun)
        pg_pipe_stream_writable(&t->pipe);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_tunnel_consumer *t = s->user;
    if (t->pipe.begun) {
        pg_pipe_stream_closed(&t->pipe, why);
        return;
    }
    t->pipe.stream = NULL;
    snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(why ? why : PG_ERR_CLOSED));
    /* A stream that ended or stayed silent while the connection stands: nobody would wake one who waits for the peer. */
    if (why == PG_ERR_STREAM_RESET || why == PG_ERR_TIMEOUT)
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_NONE);
    else if (why == PG_ERR_PROTOCOL_UNSUPPORTED || why == PG_ERR_NEGOTIATION_BAD)
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_ANSWER_BAD);
    else
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_STREAM_FAILED);
}

static const struct pg_handler handler = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_TUNNEL, sizeof PG_PROTOCOL_TUNNEL - 1},
    .opened = on_opened, .data = on_data, .ended = on_ended, .writable = on_writable, .closed = on_closed};

/* The list of those who wait is in the order of their arrival; one that has been served and lost its stream goes back to
 * where it belongs, which is seldom far from the end. */
static void wait_in_line(struct pg_tunnel_consumer *t)
{
    struct pg_tunnels *all = t->tunnels;
    struct pg_tunnel_consumer **at = all->waiting_end;
    if (t->previous_waiting)
        return;
    while (at != &all->waiting) {
        struct pg_tunnel_consumer *before = HOST_OF_NEXT(at);
        if (before->came_us <= t->came_us)
            break;
        at = before->previous_waiting;
    }
    t->next_waiting = *at;
    t->previous_waiting = at;
    if (t->next_waiting)
        t->next_waiting->previous_waiting = &t->next_waiting;
    else
        all->waiting_end = &t->next_waiting;
    *at = t;
}

void pg_tunnel_consumer_stop_waiting(struct pg_tunnel_consumer *t)
{
    if (!t->previous_waiting)
        return;
    *t->previous_waiting = t->next_waiting;
    if (t->next_waiting)
        t->next_waiting->previous_waiting = t->previous_waiting;
    else
        t->tunnels->waiting_end = t->previous_waiting;
    t->previous_waiting = NULL;
}

/* A foreign relay's circuit ends at its limits, and what runs over it then: whoever moves much hears of it before. */
static void tell_limits(struct pg_tunnel_consumer *t, const struct pg_session *s)
{
    char peer[PG_PEER_ID_TEXT];
    uint64_t bytes = pg_session_limit_bytes(s), us = pg_session_limit_us(s);
    if (bytes || (us && us < LONG_US))
        pg_log_tunnel_limited(logs(t), pg_bytes(peer, pg_peer_id_text(pg_session_peer(s), peer)), pg_forward_service(t->forward), bytes,
                              us / 1000000);
}

void pg_tunnel_consumer_do_stream_open(struct pg_tunnel_consumer *t)
{
    pg_tunnel_consumer_stop_waiting(t);
    struct pg_session *s = pg_path_for_tunnel(t->tunnels->node, pg_forward_peer(t->forward));
    enum pg_err why = PG_ERR_CLOSED;
    t->asked = *pg_forward_peer(t->forward);
    pg_frame_init(&t->frame, PG_JSON_TUNNEL_RESPONSE_FRAMING, NULL, PG_JSON_TUNNEL_RESPONSE_MAX);
    t->pipe.stream = s ? pg_stream_open(pg_session_conn(s), &handler, t, &why) : NULL;
    if (t->pipe.stream)
        tell_limits(t, s);
    if (!t->pipe.stream) {
        snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(why));
        pg_post(&t->in, PG_TUNNEL_CONSUMER_ON_STREAM_FAILED);
    }
}

void pg_tunnel_consumer_do_request_send(struct pg_tunnel_consumer *t)
{
    struct pg_json_tunnel_request ask = {.service_name = pg_forward_service(t->forward)};
    if (t->pipe.stream)
        (void)pg_tunnel_send(t->pipe.stream, &pg_json_tunnel_request_table, &ask);
}

void pg_tunnel_consumer_do_stream_drop(struct pg_tunnel_consumer *t)
{
    pg_stream_drop(&t->pipe.stream);
}

void pg_tunnel_consumer_do_peer_hurry(struct pg_tunnel_consumer *t)
{
    char peer[PG_PEER_ID_TEXT];
    pg_log_tunnel_waiting(logs(t), pg_bytes(peer, pg_peer_id_text(pg_forward_peer(t->forward), peer)),
                          pg_forward_service(t->forward));
    wait_in_line(t);
    pg_forward_hurry(t->forward);
}

/* The local client. */

static void client_received(struct pg_link_owner *owner, uint8_t *data, size_t len)
{
    pg_pipe_from_local((struct pg_pipe *)owner, data, len);
}

static void client_ended(struct pg_link_owner *owner)
{
    pg_pipe_local_ended((struct pg_pipe *)owner);
}

static size_t client_want(struct pg_link_owner *owner)
{
    return pg_pipe_want((struct pg_pipe *)owner);
}

static void client_written(struct pg_link_owner *owner)
{
    pg_pipe_local_written((struct pg_pipe *)owner);
}

static void client_lost(struct pg_link_owner *owner, enum pg_err why, struct pg_bytes reason)
{
    struct pg_tunnel_consumer *t = (struct pg_tunnel_consumer *)owner;
    if (t->pipe.begun) {
        pg_pipe_local_lost(&t->pipe, why, reason);
        return;
    }
    t->pipe.local = NULL;
    pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_CLIENT_LOST);
}

static const struct pg_link_user client_user = {
    .received = client_received, .ended = client_ended, .written = client_written, .want = client_want, .lost = client_lost};

void pg_tunnel_consumer_do_client_reset(struct pg_tunnel_consumer *t)
{
    pg_node_reset(t->tunnels->node, &t->pipe.local);
}

void pg_tunnel_consumer_do_pipe_begin(struct pg_tunnel_consumer *t)
{
    metrics(t)->value[PG_METRIC_TUNNELS_OPENED_CONSUMER]++;
    metrics(t)->value[PG_METRIC_TUNNELS_CONSUMER]++;
    pg_pipe_begin(&t->pipe, t->tunnels->node, &t->in, t->in.key);
}

/* What people are told. */

void pg_tunnel_consumer_do_stopping_tell(struct pg_tunnel_consumer *t)
{
    pg_log_client_tunnel_error(logs(t), pg_forward_service(t->forward), pg_node_stopping(t->tunnels->node) ? PG_LIT("shutting down")
                                                                                                     : PG_LIT("its tunnel is gone from the configuration"));
}

void pg_tunnel_consumer_do_waited_tell(struct pg_tunnel_consumer *t)
{
    char peer[PG_PEER_ID_TEXT];
    struct pg_node *n = t->tunnels->node;
    bool connected = pg_node_session(n, pg_forward_peer(t->forward)) != NULL;
    enum pg_limit full = pg_node_full(n, pg_forward_peer(t->forward));
    struct pg_path_view way;
    metrics(t)->value[PG_METRIC_TUNNEL_WAITS_EXPIRED]++;
    if (t->tunnels->direct_only && connected && pg_path_view(n, pg_forward_peer(t->forward), &way)) {
        pg_log_target_barred(logs(t), pg_bytes(peer, pg_peer_id_text(pg_forward_peer(t->forward), peer)),
                             way.reason.len ? way.reason : PG_LIT("no direct connection came in time"));
        return;
    }
    if (full != PG_LIMITS)
        pg_node_refuse(n, full, "tunnel", pg_bytes(peer, pg_peer_id_text(pg_forward_peer(t->forward), peer)));
    (connected ? pg_log_tunnel_room_expired : pg_log_tunnel_wait_expired)(
        logs(t), pg_bytes(peer, pg_peer_id_text(pg_forward_peer(t->forward), peer)), pg_forward_service(t->forward),
        pg_node_scope(n)->now_us - t->came_us);
}

static void tell_failure(struct pg_tunnel_consumer *t, const char *reason)
{
    metrics(t)->value[PG_METRIC_TUNNELS_FAILED_CONSUMER]++;
    pg_log_client_tunnel_error(logs(t), pg_forward_service(t->forward), pg_text(reason));
}

/* Why it is barred has been told, once for all who wait. */
void pg_tunnel_consumer_do_barred_tell(struct pg_tunnel_consumer *t)
{
    tell_failure(t, "no direct connection to the peer, and --path direct allows no other");
}

void pg_tunnel_consumer_do_rejection_tell(struct pg_tunnel_consumer *t)
{
    metrics(t)->value[PG_METRIC_TUNNELS_REJECTED_CONSUMER]++;
    pg_forward_refused(t->forward, &t->asked);
    pg_log_client_tunnel_rejected(logs(t), pg_forward_service(t->forward), pg_text(t->reason));
}

void pg_tunnel_consumer_do_nonsense_tell(struct pg_tunnel_consumer *t)
{
    pg_forward_refused(t->forward, &t->asked);
    tell_failure(t, t->reason);
}

void pg_tunnel_consumer_do_failure_tell(struct pg_tunnel_consumer *t)
{
    tell_failure(t, t->reason);
}

void pg_tunnel_consumer_do_silence_tell(struct pg_tunnel_consumer *t)
{
    tell_failure(t, "no answer from the peer in time");
}

void pg_tunnel_consumer_do_end_tell(struct pg_tunnel_consumer *t)
{
    struct pg_metrics *m = metrics(t);
    m->value[PG_METRIC_TUNNELS_CLOSED_CONSUMER]++;
    m->value[PG_METRIC_TUNNELS_CONSUMER]--;
    m->value[PG_METRIC_TUNNEL_BYTES_TO_REMOTE] += t->pipe.from_local;
    m->value[PG_METRIC_TUNNEL_BYTES_FROM_REMOTE] += t->pipe.to_local;
    pg_forward_count(t->forward, t->pipe.from_local, t->pipe.to_local);
    if (t->pipe.why == PG_OK)
        pg_log_client_tunnel_closed(logs(t), pg_forward_service(t->forward), t->pipe.from_local, t->pipe.to_local);
    else
        tell_failure(t, t->pipe.reason);
}

void pg_tunnel_consumers_give_up(struct pg_tunnels *all, struct pg_forward *f)
{
    if (pg_node_session(all->node, pg_forward_peer(f)))
        return;
    for (struct pg_tunnel_consumer *t = all->waiting, *next; t; t = next) {
        next = t->next_waiting;
        if (t->forward == f && (1u << t->in.ctl.state) & PG_TUNNEL_CONSUMER_WAITS)
            pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_STOP);
    }
}

/* Of those who have been accepted bytes have passed: they stay with their peer, which may be heard of again. */
void pg_tunnel_consumers_recall(struct pg_tunnels *all, struct pg_forward *f, const struct pg_peer_id *peer)
{
    for (struct pg_tunnel_consumer *t = all->consumer_list; t; t = t->next) {
        if (t->forward != f || !pg_peer_id_equal(&t->asked, peer))
            continue;
        pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_RECALLED);
    }
}

void pg_tunnel_consumer_arrived(struct pg_tunnels *all, struct pg_forward *f, struct pg_link *link, const struct pg_endpoint *remote)
{
    char text[PG_ENDPOINT_TEXT];
    struct pg_tunnel_consumer *t = pg_pool_take_zero(&all->consumers);
    pg_endpoint_text(remote, text);
    if (!t) {
        pg_node_refuse(all->node, PG_LIMIT_STREAMS, "tunnel", pg_text(text));
        pg_log_tunnel_session_failed(pg_node_log(all->node), pg_text(text), PG_LIT("too many tunnels"));
        pg_node_reset(all->node, &link);
        return;
    }
    t->tunnels = all;
    t->forward = f;
    pg_forward_use(f);
    t->came_us = pg_node_scope(all->node)->now_us;
    t->pipe.owner.user = &client_user;
    t->pipe.local = link;
    link->owner = &t->pipe.owner;
    link->credit = 0; /* nothing is taken from the client before somebody is there to have it */
    t->previous = all->consumer_end;
    *all->consumer_end = t;
    all->consumer_end = &t->next;
    all->n_running++;
    pg_log_tunnel_client(pg_node_log(all->node), pg_text(text));
    pg_instance_init(&t->in, &pg_tunnel_consumer_machine, &pg_tunnel_consumer_binding, t, pg_node_scope(all->node), t->timers,
                     NULL, ++all->next_key);
    pg_step(&t->in, PG_TUNNEL_CONSUMER_ON_START);
}
