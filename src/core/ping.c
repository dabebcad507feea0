/* Facts and actions of ping, and the echo for others. Called by session.c and by the ping command (src/service/task.c).
 * Source: libp2p/specs ping/ping.md. */
#include "core/node_internal.h"

#include "protocols.gen.h"

#include <stddef.h>

/* Answering: whatever comes goes back. */

static void serve_opened(struct pg_stream *s)
{
    (void)s;
}

static void serve_data(struct pg_stream *s, struct pg_bytes data)
{
    if (data.len <= pg_stream_credit(s) && pg_stream_write(s, data))
        pg_stream_consumed(s, data.len);
    else
        pg_stream_reset(s); /* nobody pings faster than it reads */
}

static void serve_ended(struct pg_stream *s)
{
    pg_stream_end(s);
}

static void serve_writable(struct pg_stream *s)
{
    (void)s;
}

static void serve_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

const struct pg_handler pg_ping_serve = {.protocol = {(const uint8_t *)PG_PROTOCOL_PING, sizeof PG_PROTOCOL_PING - 1},
                                         .housekeeping = true,
                                         .opened = serve_opened,
                                         .data = serve_data,
                                         .ended = serve_ended,
                                         .writable = serve_writable,
                                         .closed = serve_closed};

/* Asking. */

static void ask_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_ping *p = s->user;
    pg_stream_consumed(s, data.len);
    while (data.len > 0 && p->stream == s) {
        struct pg_bytes part = pg_bytes_head(data, sizeof p->sent_bytes - p->got);
        if (memcmp(p->sent_bytes + p->got, part.at, part.len) != 0)
            p->differs = 1;
        p->got += (uint8_t)part.len;
        data = pg_bytes_skip(data, part.len);
        if (p->got < sizeof p->sent_bytes)
            return;
        p->why = p->differs ? PG_ERR_PING_BAD : PG_OK;
        pg_step(&p->in, p->differs ? PG_PING_ON_PONG_BAD : PG_PING_ON_PONG_GOOD);
        p->got = 0;
    }
}

static void ask_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_ping *p = s->user;
    p->stream = NULL;
    p->why = why ? why : PG_ERR_CLOSED;
    pg_step(&p->in, PG_PING_ON_STREAM_FAILED);
}

static void ask_ended(struct pg_stream *s)
{
    pg_stream_end(s);
}

static const struct pg_handler ask = {.protocol = {(const uint8_t *)PG_PROTOCOL_PING, sizeof PG_PROTOCOL_PING - 1},
                                      .housekeeping = true,
                                      .opened = serve_opened,
                                      .data = ask_data,
                                      .ended = ask_ended,
                                      .writable = serve_writable,
                                      .closed = ask_closed};

bool pg_ping_is_enough(const struct pg_ping *p)
{
    return p->wanted && p->sent >= p->wanted;
}

uint64_t pg_ping_interval_ms(const struct pg_ping *p)
{
    return p->interval_ms;
}

void pg_ping_do_stream_open(struct pg_ping *p)
{
    p->why = PG_OK;
    if (!p->stream) /* the one of the last ping serves again */
        p->stream = pg_stream_open(p->session->conn, &ask, p, &p->why);
}

void pg_ping_do_ping_send(struct pg_ping *p)
{
    p->sent++;
    p->got = p->differs = 0;
    p->sent_us = p->session->node->scope.now_us;
    for (unsigned i = 0; i < sizeof p->sent_bytes; i += 8) {
        uint64_t r = pg_node_random(p->session->node);
        memcpy(p->sent_bytes + i, &r, 8);
    }
    if (!p->stream || !pg_stream_write(p->stream, pg_bytes(p->sent_bytes, sizeof p->sent_bytes)))
        pg_post(&p->in, PG_PING_ON_STREAM_FAILED);
    /* Of a relay by which others reach us the answer is not awaited for 20 s: nobody does, if it does not come. */
    if (p->session->up && !pg_session_is_relayed(p->session) && pg_reservation_held(p->session->node, &p->session->conn->peer))
        pg_post(&p->session->pulse.in, PG_PULSE_ON_WAY_CHANGED);
}

void pg_ping_do_rtt_tell(struct pg_ping *p)
{
    struct pg_session *s = p->session;
    uint64_t rtt = s->node->scope.now_us - p->sent_us;
    s->rtt_us = rtt;
    pg_node_control_measured(s);
    s->node->metrics.value[PG_METRIC_PINGS]++;
    pg_log_ping(s->node->log, pg_text(s->peer_text), rtt);
    if (p->told)
        p->told(p, true, rtt);
}

void pg_ping_do_failure_tell(struct pg_ping *p)
{
    struct pg_session *s = p->session;
    struct pg_bytes why = pg_text(pg_err_text(p->why ? p->why : PG_ERR_TIMEOUT));
    s->node->metrics.value[PG_METRIC_PINGS_FAILED]++;
    pg_log_ping_failed(s->node->log, pg_text(s->peer_text), why);
    if (p->told)
        p->told(p, false, 0);
}

void pg_ping_do_stream_drop(struct pg_ping *p)
{
    pg_stream_drop(&p->stream);
}

void pg_ping_do_stream_end(struct pg_ping *p)
{
    if (p->stream)
        pg_stream_end(p->stream);
}

void pg_ping_start(struct pg_ping *p, struct pg_session *s, uint64_t interval_ms, uint32_t wanted)
{
    p->session = s;
    p->interval_ms = interval_ms;
    p->wanted = wanted;
    pg_instance_init(&p->in, &pg_ping_machine, &pg_ping_binding, p, &s->node->scope, p->timers, NULL, s->conn->number);
    pg_step(&p->in, PG_PING_ON_START);
}

void pg_ping_end(struct pg_ping *p)
{
    if (!p->session)
        return;
    pg_step(&p->in, PG_PING_ON_END);
    if (p->stream) {
        pg_stream_reset(p->stream);
        p->stream = NULL;
    }
    pg_instance_end(&p->in);
    p->session = NULL;
}
