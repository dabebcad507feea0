/* Facts and actions of pipe, and the way of the bytes: read with credit, written from pooled chunks.
 * Called by tunnel_consumer.c, tunnel_provider.c and task.c. See docs/ARCHITECTURE.md, "Data path". */
#include "service/pipe.h"

#include <stdio.h>

enum { SLOW_US = 250000 }; /* a reader that has taken nothing for so long is slow */

/* What may be read from the local side is what the stream can take now. */
static void refresh_credit(struct pg_pipe *p)
{
    if (!p->local || !p->stream || !((1u << p->in.ctl.state) & PG_PIPE_READS_LOCAL))
        return;
    size_t credit = pg_stream_credit(p->stream);
    bool was_shut = p->local->credit == 0;
    p->local->credit = credit < PG_READ_MAX ? credit : PG_READ_MAX;
    if (credit == 0)
        pg_stream_await_credit(p->stream);
    else if (was_shut)
        pg_node_command(p->node, &(struct pg_command){.kind = PG_COMMAND_READ, .link = p->local});
}

static void fail(struct pg_pipe *p, enum pg_err why, struct pg_bytes reason)
{
    p->why = why;
    snprintf(p->reason, sizeof p->reason, "%.*s", (int)reason.len, (const char *)reason.at);
}

/* Actions. */

void pg_pipe_do_stream_end(struct pg_pipe *p)
{
    if (p->stream)
        pg_stream_end(p->stream);
}

void pg_pipe_do_stream_reset(struct pg_pipe *p)
{
    pg_stream_drop(&p->stream);
}

void pg_pipe_do_local_end(struct pg_pipe *p)
{
    if (p->local)
        pg_node_command(p->node, &(struct pg_command){.kind = PG_COMMAND_END, .link = p->local});
}

void pg_pipe_do_local_close(struct pg_pipe *p)
{
    pg_node_close(p->node, &p->local);
}

void pg_pipe_do_local_reset(struct pg_pipe *p)
{
    pg_node_reset(p->node, &p->local);
}

void pg_pipe_do_failure_note(struct pg_pipe *p)
{
    if (p->why == PG_OK)
        p->why = PG_ERR_IO;
    if (!p->reason[0])
        snprintf(p->reason, sizeof p->reason, "%s", pg_err_text(p->why));
}

/* Life. */

void pg_pipe_begin(struct pg_pipe *p, struct pg_node *node, struct pg_instance *owner, uint32_t key)
{
    p->node = node;
    p->begun = true;
    pg_instance_init(&p->in, &pg_pipe_machine, &pg_pipe_binding, p, pg_node_scope(node), NULL, owner, key);
    refresh_credit(p);
}

void pg_pipe_finish(struct pg_pipe *p)
{
    if (p->begun)
        pg_step(&p->in, PG_PIPE_ON_FINISH);
}

/* From the stream. */

void pg_pipe_from_stream(struct pg_pipe *p, struct pg_bytes data)
{
    if (!p->local || !((1u << p->in.ctl.state) & PG_PIPE_READS_STREAM))
        return;
    /* The last of the memory is the connections': they carry everybody, and end when they find none. A tunnel whose reader
     * is slow gives way, and its reader sees a reset, for what came is not all. */
    uint64_t now = pg_node_scope(p->node)->now_us;
    bool greedy = p->held > PG_YAMUX_WINDOW_FIRST / 4 && pg_pool_crowded(p->local->tx.pool) && now - p->taken_us >= SLOW_US;
    if (p->held == 0)
        p->taken_us = now;
    if (greedy || !pg_queue_put(&p->local->tx, data)) {
        pg_node_reset(p->node, &p->local);
        fail(p, PG_ERR_NO_MEMORY, pg_text(pg_err_text(PG_ERR_NO_MEMORY)));
        pg_step(&p->in, PG_PIPE_ON_LOCAL_FAILED);
        return;
    }
    p->to_local += data.len;
    p->held += data.len;
    pg_node_command(p->node, &(struct pg_command){.kind = PG_COMMAND_WRITE, .link = p->local});
}

void pg_pipe_stream_ended(struct pg_pipe *p)
{
    pg_step(&p->in, PG_PIPE_ON_STREAM_ENDED);
}

void pg_pipe_stream_writable(struct pg_pipe *p)
{
    refresh_credit(p);
}

void pg_pipe_stream_closed(struct pg_pipe *p, enum pg_err why)
{
    p->stream = NULL;
    if (why == PG_OK)
        return; /* both halves have ended, and said so one by one */
    fail(p, why, pg_text(pg_err_text(why)));
    pg_step(&p->in, PG_PIPE_ON_STREAM_FAILED);
}

/* From the local side. */

void pg_pipe_from_local(struct pg_pipe *p, const uint8_t *data, size_t len)
{
    if (!p->stream)
        return;
    p->from_local += len;
    if (pg_stream_write(p->stream, pg_bytes(data, len)))
        refresh_credit(p);
}

size_t pg_pipe_want(struct pg_pipe *p)
{
    refresh_credit(p);
    return p->local ? p->local->credit : 0;
}

void pg_pipe_local_ended(struct pg_pipe *p)
{
    pg_step(&p->in, PG_PIPE_ON_LOCAL_ENDED);
}

void pg_pipe_local_written(struct pg_pipe *p)
{
    size_t left = p->local ? p->local->tx.bytes : 0;
    if (left > p->held)
        left = p->held; /* an answer of our own may be ahead of the stream's bytes */
    size_t done = p->held - left;
    p->held = left;
    if (done > 0)
        p->taken_us = pg_node_scope(p->node)->now_us;
    if (p->stream && done > 0)
        pg_stream_consumed(p->stream, done);
}

void pg_pipe_local_lost(struct pg_pipe *p, enum pg_err why, struct pg_bytes reason)
{
    p->local = NULL;
    p->local_lost = true;
    fail(p, why, reason);
    pg_step(&p->in, PG_PIPE_ON_LOCAL_FAILED);
}
