/* The command identify. Called by task.c; the peer's own identify (src/core/identify.c) keeps far less than is shown here.
 * Source: libp2p/specs identify/README.md, "The Identify Message". */
#include "service/task_identify.h"

#include "identify.pb.gen.h"
#include "protocols.gen.h"
#include "service/output.h"
#include "service/task.h"

#include <stdio.h>

enum { ANSWER_MAX = 64 * 1024 };

static void put_addr(struct pg_out *out, const char *key, struct pg_bytes bytes)
{
    struct pg_multiaddr addr;
    if (pg_multiaddr_read(&addr, bytes) == PG_OK)
        pg_out_addr(out, key, &addr);
    else if (key)
        pg_out_null(out, key);
}

static void show_json(struct pg_task *t, const struct pg_pb_identify *m)
{
    struct pg_out out;
    char *room = pg_node_scratch(t->node, ANSWER_MAX);
    if (!room)
        return;
    pg_out_begin(&out, room, ANSWER_MAX, "identify");
    pg_out_peer(&out, "peer", pg_session_peer(t->session));
    pg_out_text(&out, "agent", m->agent_version);
    pg_out_text(&out, "protocol_version", m->protocol_version);
    pg_out_array(&out, "protocols");
    for (uint32_t i = 0; i < m->n_protocols; i++)
        pg_out_text(&out, NULL, m->protocols[i]);
    pg_out_close(&out);
    pg_out_array(&out, "listen_addrs");
    for (uint32_t i = 0; i < m->n_listen_addrs; i++)
        put_addr(&out, NULL, m->listen_addrs[i]);
    pg_out_close(&out);
    if (m->has_observed_addr)
        put_addr(&out, "observed_addr", m->observed_addr);
    else
        pg_out_null(&out, "observed_addr");
    pg_node_report(t->node, pg_out_end(&out));
}

static void line(struct pg_task *t, const char *name, struct pg_bytes value)
{
    char text[1200], clean[1040];
    size_t n = 0;
    /* The peer's words must not move our terminal's cursor. */
    for (size_t i = 0; i < value.len && n < sizeof clean - 1; i++)
        clean[n++] = (char)(value.at[i] < 0x20 || value.at[i] == 0x7f ? '?' : value.at[i]);
    clean[n] = 0;
    snprintf(text, sizeof text, "%-17s %s\n", name, clean);
    pg_node_report(t->node, pg_text(text));
}

static void addr_line(struct pg_task *t, const char *name, struct pg_bytes bytes)
{
    struct pg_multiaddr addr;
    char text[PG_MULTIADDR_TEXT];
    if (pg_multiaddr_read(&addr, bytes) == PG_OK)
        line(t, name, pg_bytes(text, pg_multiaddr_text(&addr, text, sizeof text)));
}

static void show_text(struct pg_task *t, const struct pg_pb_identify *m)
{
    char peer[PG_PEER_ID_TEXT];
    line(t, "peer", pg_bytes(peer, pg_peer_id_text(pg_session_peer(t->session), peer)));
    line(t, "agent", m->agent_version);
    line(t, "protocol version", m->protocol_version);
    for (uint32_t i = 0; i < m->n_protocols; i++)
        line(t, "protocol", m->protocols[i]);
    for (uint32_t i = 0; i < m->n_listen_addrs; i++)
        addr_line(t, "listens on", m->listen_addrs[i]);
    if (m->has_observed_addr)
        addr_line(t, "sees us at", m->observed_addr);
}

static void finish(struct pg_task *t, bool good)
{
    if (!good && t->why == PG_OK) {
        t->why = PG_ERR_PROTOBUF_BAD;
        snprintf(t->reason, sizeof t->reason, "the peer's identify answer cannot be read");
    }
    pg_post(&t->in, good ? PG_TASK_ON_WORK_DONE : PG_TASK_ON_WORK_FAILED);
}

/* The answer is one message, or several to be merged, until the stream ends. */
static bool read_answer(struct pg_task *t, struct pg_pb_identify *m)
{
    struct pg_bytes text;
    *m = (struct pg_pb_identify){0};
    if (pg_queue_peek(&t->text, &text, 1) == 0)
        return false;
    struct pg_cursor c = pg_cursor(text);
    while (!pg_cursor_done(&c)) {
        struct pg_bytes one = pg_take_bytes(&c, pg_take_uvarint(&c));
        if (c.failed || pg_pb_identify_merge(m, one) != PG_OK)
            return false;
    }
    return true;
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_task *t = s->user;
    pg_stream_consumed(s, data.len);
    if (t->text.bytes + data.len <= ANSWER_MAX)
        (void)pg_queue_put(&t->text, data);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_task *t = s->user;
    struct pg_pb_identify m;
    bool good = read_answer(t, &m);
    if (good && t->config->json)
        show_json(t, &m);
    else if (good)
        show_text(t, &m);
    pg_stream_end(s);
    finish(t, good);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_task *t = s->user;
    t->identify = NULL;
    if (why == PG_OK)
        return;
    t->why = why;
    snprintf(t->reason, sizeof t->reason, "%s", pg_err_text(why));
    finish(t, false);
}

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static const struct pg_handler handler = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY, sizeof PG_PROTOCOL_IDENTIFY - 1},
    .opened = nothing, .data = on_data, .ended = on_ended, .writable = nothing, .closed = on_closed};

void pg_task_identify_begin(struct pg_task *t)
{
    t->identify = pg_stream_open(pg_session_conn(t->session), &handler, t, &t->why);
    if (!t->identify)
        finish(t, false);
}
