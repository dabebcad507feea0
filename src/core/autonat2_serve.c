/* Dialling others back, version 2: facts and actions of autonat2_serve. One address is tested; one of another IP than the asker's costs it
 * some ten times what a handshake costs whoever is dialled. Called through the streams' handlers and by the probe.
 * Serves libp2p/specs autonat/autonat-v2.md, "AutoNAT V2 Protocol", "Amplification Attack Prevention". */
#include "core/autonat.h"

#include "core/node_internal.h"
#include "protocols.gen.h"

#include <stddef.h>

static struct pg_node *node_of(const struct pg_autonat2_serve *v)
{
    return v->session->node;
}

bool pg_autonat2_serve_is_allowed(const struct pg_autonat2_serve *v)
{
    return pg_autonat_may_dial(v->session, v->nonce);
}

bool pg_autonat2_serve_is_dialable(const struct pg_autonat2_serve *v)
{
    return v->found;
}

bool pg_autonat2_serve_is_own(const struct pg_autonat2_serve *v)
{
    struct pg_endpoint at;
    return pg_multiaddr_tcp(&v->addr, &at, NULL) == PG_OK && pg_autonat_same_ip(&at, &v->session->conn->remote);
}

bool pg_autonat2_serve_is_paid(const struct pg_autonat2_serve *v)
{
    return v->got >= v->need;
}

/* Answers. */

void pg_autonat2_serve_do_stream_forget(struct pg_autonat2_serve *v)
{
    v->stream = NULL;
    v->session = NULL;
}

void pg_autonat2_serve_do_stream_drop(struct pg_autonat2_serve *v)
{
    struct pg_stream *stream = v->stream;
    pg_autonat2_serve_do_stream_forget(v);
    pg_stream_reset(stream);
}

static bool write(struct pg_stream *stream, const struct pg_pb_autonat2_message *m)
{
    uint8_t room[128];
    struct pg_writer w = pg_writer(room, sizeof room);
    pg_pb_autonat2_message_write_framed(m, &w);
    return pg_stream_credit(stream) >= w.len && pg_stream_write(stream, pg_written(&w));
}

static void answer(struct pg_autonat2_serve *v, enum pg_pb_autonat2_dial_response_status status, enum pg_pb_autonat2_dial_status dial)
{
    struct pg_stream *stream = v->stream;
    struct pg_pb_autonat2_message m = {.has_dial_response = true};
    m.dial_response = (struct pg_pb_autonat2_dial_response){.has_status = true, .status = status, .has_addr_idx = true, .addr_idx = v->index,
                                                            .has_dial_status = true, .dial_status = dial};
    pg_autonat2_serve_do_stream_forget(v);
    if (!write(stream, &m)) {
        pg_stream_reset(stream);
        return;
    }
    pg_stream_detach(stream);
    pg_stream_end(stream);
}

static void count(struct pg_autonat2_serve *v, enum pg_metric metric)
{
    node_of(v)->metrics.value[metric]++;
}

void pg_autonat2_serve_do_rejection_answer(struct pg_autonat2_serve *v)
{
    count(v, PG_METRIC_AUTONAT_SERVED_REFUSED);
    pg_node_refuse(node_of(v), PG_LIMIT_AUTONAT_PEER, NULL, pg_text(v->session->peer_text));
    answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_REQUEST_REJECTED, PG_PB_AUTONAT2_DIAL_STATUS_UNUSED);
}

void pg_autonat2_serve_do_refusal_answer(struct pg_autonat2_serve *v)
{
    count(v, PG_METRIC_AUTONAT_SERVED_REFUSED);
    answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_DIAL_REFUSED, PG_PB_AUTONAT2_DIAL_STATUS_UNUSED);
}

void pg_autonat2_serve_do_success_answer(struct pg_autonat2_serve *v)
{
    count(v, PG_METRIC_AUTONAT_SERVED_OK);
    answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_OK, PG_PB_AUTONAT2_DIAL_STATUS_OK);
}

void pg_autonat2_serve_do_failure_answer(struct pg_autonat2_serve *v)
{
    if (!v->tried) { /* that says something of us only */
        answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_INTERNAL_ERROR, PG_PB_AUTONAT2_DIAL_STATUS_UNUSED);
        return;
    }
    count(v, PG_METRIC_AUTONAT_SERVED_FAILED);
    answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_OK, PG_PB_AUTONAT2_DIAL_STATUS_E_DIAL_ERROR);
}

void pg_autonat2_serve_do_undelivered_answer(struct pg_autonat2_serve *v)
{
    count(v, PG_METRIC_AUTONAT_SERVED_FAILED);
    answer(v, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_OK, PG_PB_AUTONAT2_DIAL_STATUS_E_DIAL_BACK_ERROR);
}

void pg_autonat2_serve_do_cost_ask(struct pg_autonat2_serve *v)
{
    struct pg_pb_autonat2_message m = {.has_dial_data_request = true};
    v->need = PG_AUTONAT_COST_LEAST + pg_node_random(node_of(v)) % PG_AUTONAT_COST_MORE;
    m.dial_data_request = (struct pg_pb_autonat2_dial_data_request){.has_addr_idx = true, .addr_idx = v->index, .has_num_bytes = true,
                                                                    .num_bytes = v->need};
    if (!write(v->stream, &m))
        pg_post(&v->in, PG_AUTONAT2_SERVE_ON_REQUEST_BAD);
}

/* The dial. */

static void reached(struct pg_probe *probe)
{
    pg_step(&HOST_OF(pg_autonat2_serve, probe, probe)->in, PG_AUTONAT2_SERVE_ON_DIAL_REACHED);
}

static void failed(struct pg_probe *probe, enum pg_err why)
{
    struct pg_autonat2_serve *v = HOST_OF(pg_autonat2_serve, probe, probe);
    (void)why;
    v->back = NULL; /* has gone with its connection */
    pg_step(&v->in, PG_AUTONAT2_SERVE_ON_DIAL_FAILED);
}

static const struct pg_probe_user user = {.reached = reached, .failed = failed};

void pg_autonat2_serve_do_dial_begin(struct pg_autonat2_serve *v)
{
    pg_autonat_dials(v->session, v->nonce);
    v->tried = pg_probe_begin(&v->probe, &user, node_of(v), &v->session->conn->peer, &v->addr);
    if (!v->tried)
        pg_post(&v->in, PG_AUTONAT2_SERVE_ON_DIAL_FAILED);
}

void pg_autonat2_serve_do_dial_end(struct pg_autonat2_serve *v)
{
    pg_stream_leave(&v->back);
    pg_probe_end(&v->probe);
}

/* The nonce, on its way back. */

static void nothing(struct pg_stream *stream)
{
    (void)stream;
}

static void back_over(struct pg_stream *stream, enum pg_autonat2_serve_event event)
{
    struct pg_autonat2_serve *v = stream->user;
    if (v->back != stream)
        return;
    v->back = NULL;
    pg_stream_detach(stream);
    pg_step(&v->in, event);
}

static void back_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_autonat2_serve *v = stream->user;
    struct pg_pb_autonat2_dial_back_response m;
    struct pg_bytes text;
    pg_stream_consumed(stream, data.len);
    switch (pg_frame_feed(&v->back_frame, &data, &text)) {
    case PG_FRAME_MORE: return;
    case PG_FRAME_BAD: back_over(stream, PG_AUTONAT2_SERVE_ON_BACK_FAILED); return;
    case PG_FRAME_MESSAGE: break;
    }
    bool good = pg_pb_autonat2_dial_back_response_read(&m, text) == PG_OK && m.status == PG_PB_AUTONAT2_DIAL_BACK_RESPONSE_STATUS_OK;
    back_over(stream, good ? PG_AUTONAT2_SERVE_ON_BACK_ANSWERED : PG_AUTONAT2_SERVE_ON_BACK_FAILED);
}

/* Whoever says nothing and ends has read what we said, as go-libp2p takes it, too. */
static void back_ended(struct pg_stream *stream)
{
    back_over(stream, PG_AUTONAT2_SERVE_ON_BACK_ANSWERED);
}

static void back_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_autonat2_serve *v = stream->user;
    if (v->back != stream)
        return;
    v->back = NULL;
    pg_step(&v->in, why == PG_OK ? PG_AUTONAT2_SERVE_ON_BACK_ANSWERED : PG_AUTONAT2_SERVE_ON_BACK_FAILED);
}

static const struct pg_handler back = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2_BACK, sizeof PG_PROTOCOL_AUTONAT2_BACK - 1},
    .housekeeping = true,
    .opened = nothing, .data = back_data, .ended = back_ended, .writable = nothing, .closed = back_closed};

void pg_autonat2_serve_do_nonce_send(struct pg_autonat2_serve *v)
{
    uint8_t room[32];
    struct pg_writer w = pg_writer(room, sizeof room);
    struct pg_pb_autonat2_dial_back m = {.has_nonce = true, .nonce = v->nonce};
    enum pg_err why;
    pg_pb_autonat2_dial_back_write_framed(&m, &w);
    pg_frame_init(&v->back_frame, PG_FRAME_UVARINT, v->back_room, sizeof v->back_room);
    v->back = pg_stream_open(v->probe.session->conn, &back, v, &why);
    if (!v->back || !pg_stream_write(v->back, pg_written(&w)))
        pg_post(&v->in, PG_AUTONAT2_SERVE_ON_BACK_FAILED);
    else
        pg_stream_end(v->back);
}

/* Questions. */

static enum pg_autonat2_serve_event asked(struct pg_autonat2_serve *v, const struct pg_pb_autonat2_dial_request *request)
{
    struct pg_endpoint at;
    if (!request->has_nonce || request->nonce == 0 || request->n_addrs == 0)
        return PG_AUTONAT2_SERVE_ON_REQUEST_BAD;
    v->nonce = request->nonce;
    for (uint32_t i = 0; i < request->n_addrs && !v->found; i++)
        if (pg_multiaddr_read(&v->addr, request->addrs[i]) == PG_OK && pg_autonat_dialable(v->session, &v->addr, &at)) {
            pg_multiaddr_from_tcp(&v->addr, &at);
            v->index = i;
            v->found = true;
        }
    return PG_AUTONAT2_SERVE_ON_REQUEST_GOOD;
}

static enum pg_autonat2_serve_event taken(struct pg_autonat2_serve *v, struct pg_bytes text)
{
    struct pg_pb_autonat2_message m;
    enum pg_autonat2_serve_state state = v->in.ctl.state;
    if (pg_pb_autonat2_message_read(&m, text) != PG_OK)
        return PG_AUTONAT2_SERVE_ON_REQUEST_BAD;
    if (state == PG_AUTONAT2_SERVE_READING && m.has_dial_request)
        return asked(v, &m.dial_request);
    if (state == PG_AUTONAT2_SERVE_READING || !m.has_dial_data_response)
        return PG_AUTONAT2_SERVE_ON_REQUEST_BAD;
    v->got += m.dial_data_response.data.len;
    if (m.dial_data_response.data.len < PG_AUTONAT_DATA_LEAST && v->got < v->need)
        return PG_AUTONAT2_SERVE_ON_REQUEST_BAD;
    return PG_AUTONAT2_SERVE_ON_DATA_GOOD;
}

/* As in autonat_serve.c; whoever owes dial data gives way behind those who have asked nothing. */
static struct pg_autonat2_serve *place(struct pg_autonat *a)
{
    struct pg_autonat2_serve *slow = NULL;
    for (uint32_t i = 0; i < PG_FIXED_AUTONAT_SERVED; i++) {
        struct pg_autonat2_serve *v = a->serves2[i];
        if (!v)
            return a->serves2[i] = pg_pool_take_zero(&a->served2);
        uint8_t state = v->in.ctl.state, other = slow ? slow->in.ctl.state : PG_AUTONAT2_SERVE_COLLECTING;
        if (state == PG_AUTONAT2_SERVE_CLOSED) {
            pg_instance_end(&v->in);
            return v;
        }
        if (state <= PG_AUTONAT2_SERVE_COLLECTING && (!slow || state < other || (state == other && v->in.key < slow->in.key)))
            slow = v;
    }
    if (!slow)
        return NULL;
    pg_step(&slow->in, PG_AUTONAT2_SERVE_ON_REQUEST_BAD);
    pg_instance_end(&slow->in);
    return slow;
}

static void take_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_autonat *a = &s->node->autonat;
    struct pg_autonat2_serve *v = place(a);
    if (!v) {
        pg_node_refuse(s->node, PG_LIMIT_AUTONAT, NULL, pg_text(s->peer_text));
        pg_stream_reset(stream);
        return;
    }
    memset(v, 0, offsetof(struct pg_autonat2_serve, room));
    memset(&v->addr, 0, sizeof *v - offsetof(struct pg_autonat2_serve, addr));
    v->stream = stream;
    v->session = s;
    stream->user = v;
    pg_frame_init(&v->frame, PG_FRAME_UVARINT, v->room, sizeof v->room);
    pg_instance_init(&v->in, &pg_autonat2_serve_machine, &pg_autonat2_serve_binding, v, &s->node->scope, v->timers, NULL, a->next_key++);
    pg_step(&v->in, PG_AUTONAT2_SERVE_ON_START);
}

static void take_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_autonat2_serve *v = stream->user;
    struct pg_bytes text;
    pg_stream_consumed(stream, data.len);
    while (v->stream == stream && data.len > 0) {
        enum pg_frame_result got = pg_frame_feed(&v->frame, &data, &text);
        if (got == PG_FRAME_MESSAGE)
            pg_step(&v->in, taken(v, text));
        else if (got == PG_FRAME_BAD)
            pg_step(&v->in, PG_AUTONAT2_SERVE_ON_REQUEST_BAD);
    }
}

static void take_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_autonat2_serve *v = stream->user;
    (void)why;
    if (v->stream == stream)
        pg_step(&v->in, PG_AUTONAT2_SERVE_ON_STREAM_FAILED);
}

const struct pg_handler pg_autonat2_take = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2, sizeof PG_PROTOCOL_AUTONAT2 - 1},
    .housekeeping = true, .relayed = PG_RELAYED_NEVER,
    .opened = take_opened, .data = take_data, .ended = nothing, .writable = nothing, .closed = take_closed};
