/* Facts and actions of identify: asking, answering, pushing. Called by session.c and node.c.
 * Source: libp2p/specs identify/README.md. */
#include "core/node_internal.h"

#include "core/offered.h"
#include "identify.pb.gen.h"
#include "protocols.gen.h"
#include "wire/cursor.h"

#include <stddef.h>

enum { MESSAGE_MAX = 8192 };

static void nothing(struct pg_stream *s)
{
    (void)s;
}

/* What we say of ourselves. */

static bool put_message(struct pg_session *s, struct pg_writer *out)
{
    struct pg_node *n = s->node;
    struct pg_multiaddr observed;
    struct pg_pb_identify m = {.has_public_key = true,
                               .public_key = pg_public_key_protobuf(pg_identity_public(n->config.identity)),
                               .has_observed_addr = true,
                               .has_protocol_version = true,
                               .protocol_version = PG_LIT(PG_PROTOCOL_VERSION),
                               .has_agent_version = true,
                               .agent_version = PG_LIT(PG_AGENT)};
    pg_multiaddr_from_tcp(&observed, &s->conn->remote);
    m.observed_addr = pg_bytes(observed.at, observed.len);
    struct pg_multiaddr addrs[PG_NODE_ADDRS];
    uint32_t n_addrs = pg_node_addrs(n, addrs);
    for (uint32_t i = 0; i < n_addrs; i++)
        m.listen_addrs[m.n_listen_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
    for (uint32_t i = 0; i < n->n_handlers; i++)
        m.protocols[m.n_protocols++] = n->handlers[i]->protocol;
    pg_pb_identify_write_framed(&m, out);
    return !out->failed;
}

static void tell(struct pg_stream *stream, struct pg_session *s)
{
    uint8_t text[MESSAGE_MAX + 8];
    struct pg_writer w = pg_writer(text, sizeof text);
    if (!put_message(s, &w) || !pg_stream_write(stream, pg_written(&w)))
        pg_stream_reset(stream);
    else
        pg_stream_end(stream);
}

static void serve_opened(struct pg_stream *stream)
{
    tell(stream, stream->conn->above);
}

static void serve_data(struct pg_stream *stream, struct pg_bytes data)
{
    pg_stream_consumed(stream, data.len); /* nothing is expected; it costs nothing to let it be */
}

static void serve_closed(struct pg_stream *stream, enum pg_err why)
{
    (void)stream;
    (void)why;
}

const struct pg_handler pg_identify_serve = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY, sizeof PG_PROTOCOL_IDENTIFY - 1},
    .housekeeping = true,
    .opened = serve_opened, .data = serve_data, .ended = nothing, .writable = nothing, .closed = serve_closed};

static void push_opened(struct pg_stream *stream)
{
    tell(stream, stream->conn->above);
}

static const struct pg_handler push = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY_PUSH, sizeof PG_PROTOCOL_IDENTIFY_PUSH - 1},
    .housekeeping = true,
    .opened = push_opened, .data = serve_data, .ended = nothing, .writable = nothing, .closed = serve_closed};

void pg_identify_push(struct pg_node *n)
{
    enum pg_err why;
    for (struct pg_session *s = n->sessions; s; s = s->next)
        if (s->up)
            (void)pg_stream_open(s->conn, &push, NULL, &why); /* a peer that takes no pushes refuses it */
}

/* What others say of themselves. */

static void learn(struct pg_session *s, const struct pg_pb_identify *m)
{
    struct pg_node *n = s->node;
    struct pg_multiaddr addrs[64], own[PG_NODE_ADDRS];
    struct pg_offer offer = {&s->conn->peer, pg_identity_peer_id(n->config.identity), &s->conn->remote, own, pg_node_addrs(n, own)};
    uint32_t n_addrs = 0;
    if (m->has_agent_version)
        pg_bytes_text(s->agent, sizeof s->agent, m->agent_version);
    if (m->has_observed_addr && pg_multiaddr_read(&s->observed, m->observed_addr) == PG_OK)
        pg_multiaddr_strip_p2p(&s->observed);
    for (uint32_t i = 0; i < m->n_listen_addrs && n_addrs < 64; i++)
        if (pg_multiaddr_read(&addrs[n_addrs], m->listen_addrs[i]) == PG_OK && pg_offer_good(&offer, &addrs[n_addrs]))
            n_addrs++;
    if (n_addrs < m->n_listen_addrs)
        pg_log_addresses_passed_over(n->log, pg_text(s->peer_text), m->n_listen_addrs - n_addrs);
    pg_log_identified(n->log, pg_text(s->peer_text), pg_text(s->agent));
    pg_node_control_peer_identified(s, addrs, n_addrs);
}

/* Takes a whole message from the text so far; true when it has come. Several on one stream are taken one by one. */
static bool take_message(struct pg_session *s, struct pg_queue *from, bool *good)
{
    struct pg_bytes text;
    struct pg_pb_identify m;
    if (pg_queue_peek(from, &text, 1) == 0)
        return false;
    struct pg_cursor c = pg_cursor(text);
    uint64_t len = pg_take_uvarint(&c);
    *good = true;
    if (c.failed) {
        *good = text.len < PG_UVARINT_MAX;
        return !*good;
    }
    if (len > MESSAGE_MAX) {
        *good = false;
        return true;
    }
    if (pg_cursor_left(&c) < len)
        return false;
    *good = pg_pb_identify_read(&m, pg_take_bytes(&c, len)) == PG_OK;
    if (*good)
        learn(s, &m);
    pg_queue_clear(from);
    return true;
}

/* What came of a message that will not be whole any more is no reason to keep its memory. */
static void forget_push(struct pg_identify *i)
{
    i->pushed = NULL;
    pg_queue_clear(&i->pushed_text);
}

static void push_take_opened(struct pg_stream *stream)
{
    struct pg_identify *i = &((struct pg_session *)stream->conn->above)->identify;
    if (i->pushed)
        pg_stream_reset(i->pushed); /* the newer one is the better informed */
    i->pushed = stream;
    pg_queue_clear(&i->pushed_text);
}

static void push_take_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_session *s = stream->conn->above;
    struct pg_queue *text = &s->identify.pushed_text;
    bool good = true;
    pg_stream_consumed(stream, data.len);
    if (text->bytes + data.len > MESSAGE_MAX + 8 || !pg_queue_put(text, data))
        good = false;
    else
        (void)take_message(s, text, &good);
    if (!good) {
        pg_stream_reset(stream);
        forget_push(&s->identify);
    }
}

static void push_take_ended(struct pg_stream *stream)
{
    pg_stream_end(stream);
}

static void push_take_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_identify *i = &((struct pg_session *)stream->conn->above)->identify;
    (void)why;
    if (i->pushed == stream)
        forget_push(i);
}

const struct pg_handler pg_identify_push_take = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY_PUSH, sizeof PG_PROTOCOL_IDENTIFY_PUSH - 1},
    .housekeeping = true,
    .opened = push_take_opened, .data = push_take_data, .ended = push_take_ended, .writable = nothing, .closed = push_take_closed};

/* Asking. */

static struct pg_session *session_of(const struct pg_identify *i)
{
    return HOST_OF(pg_session, identify, i);
}

static void ask_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_session *s = stream->user;
    bool good;
    pg_stream_consumed(stream, data.len);
    if (s->identify.text.bytes + data.len > MESSAGE_MAX + 8 || !pg_queue_put(&s->identify.text, data))
        pg_step(&s->identify.in, PG_IDENTIFY_ON_MESSAGE_BAD);
    else if (take_message(s, &s->identify.text, &good))
        pg_step(&s->identify.in, good ? PG_IDENTIFY_ON_MESSAGE_GOOD : PG_IDENTIFY_ON_MESSAGE_BAD);
}

static void ask_ended(struct pg_stream *stream)
{
    pg_stream_end(stream);
}

static void ask_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_session *s = stream->user;
    (void)why;
    s->identify.stream = NULL;
    pg_step(&s->identify.in, PG_IDENTIFY_ON_STREAM_FAILED);
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY, sizeof PG_PROTOCOL_IDENTIFY - 1},
    .housekeeping = true,
    .opened = nothing, .data = ask_data, .ended = ask_ended, .writable = nothing, .closed = ask_closed};

void pg_identify_do_stream_open(struct pg_identify *i)
{
    enum pg_err why;
    i->stream = pg_stream_open(session_of(i)->conn, &ask, session_of(i), &why);
    if (!i->stream)
        pg_post(&i->in, PG_IDENTIFY_ON_STREAM_FAILED);
}

void pg_identify_do_stream_drop(struct pg_identify *i)
{
    if (i->stream)
        pg_stream_reset(i->stream);
    i->stream = NULL;
}

void pg_identify_do_facts_learn(struct pg_identify *i)
{
    if (i->stream)
        pg_stream_end(i->stream);
}

void pg_identify_do_failure_tell(struct pg_identify *i)
{
    pg_log_identify_failed(session_of(i)->node->log, pg_text(session_of(i)->peer_text), PG_LIT("no usable answer"));
}

void pg_identify_start(struct pg_session *s)
{
    pg_instance_init(&s->identify.in, &pg_identify_machine, &pg_identify_binding, &s->identify, &s->node->scope,
                     s->identify.timers, NULL, s->conn->number);
    pg_step(&s->identify.in, PG_IDENTIFY_ON_START);
}

void pg_identify_end(struct pg_session *s)
{
    if (!s->identify.in.machine)
        return;
    pg_step(&s->identify.in, PG_IDENTIFY_ON_END);
    pg_identify_do_stream_drop(&s->identify);
    if (s->identify.pushed)
        pg_stream_reset(s->identify.pushed);
    s->identify.pushed = NULL;
    pg_instance_end(&s->identify.in);
}
