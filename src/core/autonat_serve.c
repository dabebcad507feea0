/* Dialling others back, version 1: facts and actions of autonat_serve. Only the asker's own IP is dialled, as we see it, and from
 * ports that it has never sent anything to. Called through the streams' handler and by probes.
 * Serves libp2p/specs autonat/autonat-v1.md, "AutoNAT Protocol". */
#include "core/autonat.h"

#include "core/node_internal.h"
#include "protocols.gen.h"

#include <stddef.h>

static struct pg_node *node_of(const struct pg_autonat_serve *v)
{
    return v->session->node;
}

bool pg_autonat_serve_is_allowed(const struct pg_autonat_serve *v)
{
    return pg_autonat_may_dial(v->session, 0);
}

bool pg_autonat_serve_is_another(const struct pg_autonat_serve *v)
{
    for (uint32_t i = 0; i < v->n_dials; i++)
        if (!v->dials[i].failed)
            return true;
    return false;
}

/* Dials. */

static void reached(struct pg_probe *probe)
{
    struct pg_autonat_dial *d = HOST_OF(pg_autonat_dial, probe, probe);
    d->serve->reached = (uint32_t)(d - d->serve->dials);
    pg_step(&d->serve->in, PG_AUTONAT_SERVE_ON_DIAL_REACHED);
}

static void failed(struct pg_probe *probe, enum pg_err why)
{
    struct pg_autonat_dial *d = HOST_OF(pg_autonat_dial, probe, probe);
    (void)why;
    d->failed = true;
    pg_step(&d->serve->in, PG_AUTONAT_SERVE_ON_DIAL_FAILED);
}

static const struct pg_probe_user user = {.reached = reached, .failed = failed};

void pg_autonat_serve_do_dial_begin(struct pg_autonat_serve *v)
{
    for (uint32_t i = 0; i < v->n_dials; i++) {
        struct pg_autonat_dial *d = &v->dials[i];
        d->serve = v;
        pg_autonat_dials(v->session, 0);
        d->failed = !pg_probe_begin(&d->probe, &user, node_of(v), &v->session->conn->peer, &d->addr);
        v->n_tried += !d->failed;
    }
    if (v->n_tried == 0)
        pg_post(&v->in, PG_AUTONAT_SERVE_ON_DIAL_FAILED);
}

void pg_autonat_serve_do_dial_end(struct pg_autonat_serve *v)
{
    for (uint32_t i = 0; i < v->n_dials; i++)
        pg_probe_end(&v->dials[i].probe);
}

/* Answers. */

void pg_autonat_serve_do_stream_forget(struct pg_autonat_serve *v)
{
    v->stream = NULL;
    v->session = NULL;
}

void pg_autonat_serve_do_stream_drop(struct pg_autonat_serve *v)
{
    struct pg_stream *stream = v->stream;
    pg_autonat_serve_do_stream_forget(v);
    pg_stream_reset(stream);
}

static void answer(struct pg_autonat_serve *v, enum pg_pb_autonat_status status, const char *text, const struct pg_multiaddr *addr)
{
    uint8_t room[1024];
    struct pg_writer w = pg_writer(room, sizeof room);
    struct pg_stream *stream = v->stream;
    struct pg_pb_autonat_message m = {.has_type = true, .type = PG_PB_AUTONAT_MESSAGE_TYPE_DIAL_RESPONSE, .has_dial_response = true};
    m.dial_response = (struct pg_pb_autonat_dial_response){.has_status = true, .status = status, .has_status_text = text != NULL,
                                                           .status_text = text ? pg_text(text) : PG_NONE, .has_addr = addr != NULL};
    if (addr)
        m.dial_response.addr = pg_bytes(addr->at, addr->len);
    pg_pb_autonat_message_write_framed(&m, &w);
    pg_autonat_serve_do_stream_forget(v);
    if (pg_stream_credit(stream) < w.len || !pg_stream_write(stream, pg_written(&w))) {
        pg_stream_reset(stream);
        return;
    }
    pg_stream_detach(stream);
    pg_stream_end(stream);
}

void pg_autonat_serve_do_success_answer(struct pg_autonat_serve *v)
{
    struct pg_multiaddr addr = v->dials[v->reached].addr;
    (void)pg_multiaddr_append_p2p(&addr, &v->session->conn->peer);
    node_of(v)->metrics.value[PG_METRIC_AUTONAT_SERVED_OK]++;
    answer(v, PG_PB_AUTONAT_STATUS_OK, NULL, &addr);
}

void pg_autonat_serve_do_failure_answer(struct pg_autonat_serve *v)
{
    if (v->n_tried == 0) { /* that says something of us only */
        answer(v, PG_PB_AUTONAT_STATUS_E_INTERNAL_ERROR, "no dial could be made", NULL);
        return;
    }
    node_of(v)->metrics.value[PG_METRIC_AUTONAT_SERVED_FAILED]++;
    answer(v, PG_PB_AUTONAT_STATUS_E_DIAL_ERROR, "no address could be reached", NULL);
}

void pg_autonat_serve_do_refusal_answer(struct pg_autonat_serve *v)
{
    bool many = v->n_dials > 0;
    node_of(v)->metrics.value[PG_METRIC_AUTONAT_SERVED_REFUSED]++;
    if (many)
        pg_node_refuse(node_of(v), PG_LIMIT_AUTONAT_PEER, NULL, pg_text(v->session->peer_text));
    answer(v, PG_PB_AUTONAT_STATUS_E_DIAL_REFUSED, many ? "asked too often" : "no public address of the IP that you are seen at", NULL);
}

void pg_autonat_serve_do_badness_answer(struct pg_autonat_serve *v)
{
    if (v->readable)
        answer(v, PG_PB_AUTONAT_STATUS_E_BAD_REQUEST, "not a dial of yourself", NULL);
    else
        pg_autonat_serve_do_stream_drop(v);
}

/* Questions. */

static void add(struct pg_autonat_serve *v, const struct pg_multiaddr *addr)
{
    struct pg_endpoint at;
    if (v->n_dials == PG_AUTONAT_DIALS || !pg_autonat_dialable(v->session, addr, &at) ||
        !pg_autonat_same_ip(&at, &v->session->conn->remote))
        return;
    struct pg_multiaddr plain;
    pg_multiaddr_from_tcp(&plain, &at);
    for (uint32_t i = 0; i < v->n_dials; i++)
        if (pg_multiaddr_equal(&v->dials[i].addr, &plain))
            return;
    v->dials[v->n_dials++].addr = plain;
}

/* What it asks to dial, and, behind that, where it is seen. */
static enum pg_autonat_serve_event taken(struct pg_autonat_serve *v, struct pg_bytes text)
{
    struct pg_pb_autonat_message m;
    struct pg_multiaddr addr;
    if (pg_pb_autonat_message_read(&m, text) != PG_OK)
        return PG_AUTONAT_SERVE_ON_REQUEST_BAD;
    v->readable = true;
    if ((m.has_type && m.type != PG_PB_AUTONAT_MESSAGE_TYPE_DIAL) || !m.has_dial || !m.dial.has_peer ||
        !pg_bytes_equal(m.dial.peer.id, pg_bytes(v->session->conn->peer.at, v->session->conn->peer.len)))
        return PG_AUTONAT_SERVE_ON_REQUEST_BAD;
    for (uint32_t i = 0; i < m.dial.peer.n_addrs; i++)
        if (pg_multiaddr_read(&addr, m.dial.peer.addrs[i]) == PG_OK)
            add(v, &addr);
    pg_multiaddr_from_tcp(&addr, &v->session->conn->remote);
    add(v, &addr);
    return PG_AUTONAT_SERVE_ON_REQUEST_GOOD;
}

/* A place whose last question is answered, or one that nobody has had; else of whoever has been silent for longest, since questions
 * come with their streams. */
static struct pg_autonat_serve *place(struct pg_autonat *a)
{
    struct pg_autonat_serve *silent = NULL;
    for (uint32_t i = 0; i < PG_FIXED_AUTONAT_SERVED; i++) {
        struct pg_autonat_serve *v = a->serves[i];
        if (!v)
            return a->serves[i] = pg_pool_take_zero(&a->served);
        if (v->in.ctl.state == PG_AUTONAT_SERVE_CLOSED) {
            pg_instance_end(&v->in);
            return v;
        }
        if (v->in.ctl.state == PG_AUTONAT_SERVE_READING && (!silent || v->in.key < silent->in.key))
            silent = v;
    }
    if (!silent)
        return NULL;
    pg_step(&silent->in, PG_AUTONAT_SERVE_ON_REQUEST_BAD);
    pg_instance_end(&silent->in);
    return silent;
}

static void take_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_autonat *a = &s->node->autonat;
    struct pg_autonat_serve *v = place(a);
    if (!v) {
        pg_node_refuse(s->node, PG_LIMIT_AUTONAT, NULL, pg_text(s->peer_text));
        pg_stream_reset(stream);
        return;
    }
    memset(v, 0, offsetof(struct pg_autonat_serve, room));
    memset(v->dials, 0, sizeof *v - offsetof(struct pg_autonat_serve, dials));
    v->stream = stream;
    v->session = s;
    stream->user = v;
    pg_frame_init(&v->frame, PG_FRAME_UVARINT, v->room, sizeof v->room);
    pg_instance_init(&v->in, &pg_autonat_serve_machine, &pg_autonat_serve_binding, v, &s->node->scope, v->timers, NULL, a->next_key++);
    pg_step(&v->in, PG_AUTONAT_SERVE_ON_START);
}

static void take_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_autonat_serve *v = stream->user;
    struct pg_bytes text;
    pg_stream_consumed(stream, data.len);
    while (v->stream == stream && data.len > 0) {
        enum pg_frame_result got = pg_frame_feed(&v->frame, &data, &text);
        if (got == PG_FRAME_MESSAGE && v->in.ctl.state == PG_AUTONAT_SERVE_READING)
            pg_step(&v->in, taken(v, text));
        else if (got != PG_FRAME_MORE)
            pg_step(&v->in, PG_AUTONAT_SERVE_ON_REQUEST_BAD);
    }
}

static void take_ended(struct pg_stream *stream)
{
    (void)stream; /* whoever asks may say that nothing follows */
}

static void take_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_autonat_serve *v = stream->user;
    (void)why;
    if (v->stream == stream)
        pg_step(&v->in, PG_AUTONAT_SERVE_ON_STREAM_FAILED);
}

const struct pg_handler pg_autonat_take = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT, sizeof PG_PROTOCOL_AUTONAT - 1},
    .housekeeping = true, .relayed = PG_RELAYED_NEVER,
    .opened = take_opened, .data = take_data, .ended = take_ended, .writable = take_ended, .closed = take_closed};
