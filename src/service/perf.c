/* Facts and actions of perf: the asking side of a throughput measurement. Called by task_perf.c.
 * Source: libp2p/specs perf/perf.md, "Protocol". */
#include "service/perf.h"

#include "protocols.gen.h"
#include "wire/cursor.h"

enum { PROGRESS_US = 250000 };

void pg_perf_push(struct pg_stream *s, uint64_t *left)
{
    static uint8_t zeros[PG_YAMUX_BODY]; /* never written, and not const: so it costs no bytes in the file */
    while (*left > 0) {
        size_t credit = pg_stream_credit(s), n = credit < sizeof zeros ? credit : sizeof zeros;
        if (n == 0) {
            pg_stream_await_credit(s);
            return;
        }
        n = *left < n ? (size_t)*left : n;
        if (!pg_stream_write(s, pg_bytes(zeros, n)))
            return; /* the connection ends, and says so */
        *left -= n;
    }
}

/* The command gives up when nothing moves: it is told now and then that something does. */
static void note_progress(struct pg_perf *p)
{
    uint64_t now = pg_node_scope(p->node)->now_us;
    if (now - p->told_us < PROGRESS_US)
        return;
    p->told_us = now;
    p->progress(p);
}

static void push(struct pg_perf *p)
{
    pg_perf_push(p->stream, &p->left);
    if (p->left == 0 && p->stream)
        pg_post(&p->in, PG_PERF_ON_UPLOAD_DONE);
}

/* The stream. */

static void on_opened(struct pg_stream *s)
{
    pg_step(&((struct pg_perf *)s->user)->in, PG_PERF_ON_STREAM_AGREED);
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_perf *p = s->user;
    bool first = p->got == 0;
    p->got += data.len;
    note_progress(p);
    pg_stream_consumed(s, data.len);
    if (p->got > p->down)
        pg_step(&p->in, PG_PERF_ON_ANSWER_WRONG);
    else if (first)
        pg_step(&p->in, PG_PERF_ON_ANSWER_BEGAN);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_perf *p = s->user;
    pg_step(&p->in, p->got == p->down ? PG_PERF_ON_ANSWER_ENDED : PG_PERF_ON_ANSWER_WRONG);
}

static void on_writable(struct pg_stream *s)
{
    struct pg_perf *p = s->user;
    note_progress(p);
    push(p);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_perf *p = s->user;
    p->stream = NULL;
    p->why = why ? why : PG_ERR_CLOSED;
    pg_post(&p->in, PG_PERF_ON_STREAM_FAILED);
}

static const struct pg_handler ask = {.protocol = {(const uint8_t *)PG_PROTOCOL_PERF, sizeof PG_PROTOCOL_PERF - 1},
                                      .opened = on_opened, .data = on_data, .ended = on_ended, .writable = on_writable,
                                      .closed = on_closed};

/* Actions. */

void pg_perf_do_stream_open(struct pg_perf *p)
{
    p->stream = pg_stream_open(pg_session_conn(p->session), &ask, p, &p->why);
    if (!p->stream)
        pg_post(&p->in, PG_PERF_ON_STREAM_FAILED);
}

void pg_perf_do_request_send(struct pg_perf *p)
{
    uint8_t number[8];
    struct pg_writer w = pg_writer(number, sizeof number);
    pg_put_u64be(&w, p->down);
    p->began_us = pg_node_scope(p->node)->now_us;
    if (p->stream && pg_stream_write(p->stream, pg_written(&w)))
        push(p);
}

void pg_perf_do_stream_end(struct pg_perf *p)
{
    if (p->stream)
        pg_stream_end(p->stream);
}

void pg_perf_do_stream_drop(struct pg_perf *p)
{
    pg_stream_drop(&p->stream);
}

void pg_perf_do_clock_turn(struct pg_perf *p)
{
    p->turned_us = pg_node_scope(p->node)->now_us;
}

void pg_perf_do_result_tell(struct pg_perf *p)
{
    /* Without an upload the whole time is the download's, so that a single segment does not come in no time. */
    uint64_t turned = p->up ? p->turned_us : p->began_us;
    p->told(p, true, turned - p->began_us, pg_node_scope(p->node)->now_us - turned);
}

static void fail(struct pg_perf *p, enum pg_err why, struct pg_bytes reason)
{
    p->why = why;
    p->reason = reason;
    p->told(p, false, 0, 0);
}

void pg_perf_do_haste_tell(struct pg_perf *p)
{
    fail(p, PG_ERR_PERF_BAD, PG_LIT("the peer answered before it had read everything"));
}

void pg_perf_do_amount_tell(struct pg_perf *p)
{
    fail(p, PG_ERR_PERF_BAD, p->got > p->down ? PG_LIT("the peer sent more bytes than were asked for")
                                              : PG_LIT("the peer sent fewer bytes than were asked for"));
}

void pg_perf_do_failure_tell(struct pg_perf *p)
{
    fail(p, p->why, pg_text(pg_err_text(p->why)));
}

/* Life. */

void pg_perf_start(struct pg_perf *p, struct pg_session *s)
{
    p->session = s;
    p->left = p->up;
    pg_instance_init(&p->in, &pg_perf_machine, &pg_perf_binding, p, pg_node_scope(p->node), NULL, NULL, 0);
    pg_step(&p->in, PG_PERF_ON_START);
}

void pg_perf_end(struct pg_perf *p)
{
    if (!p->session)
        return;
    pg_step(&p->in, PG_PERF_ON_END);
    pg_perf_do_stream_drop(p);
    pg_instance_end(&p->in);
    p->session = NULL;
}
