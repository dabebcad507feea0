/* Facts and actions of flow, and the way of the bytes; see splice.h. Called by src/core/hop_serve.c.
 * Serves libp2p/specs relay/circuit-v2.md, "Interaction", and yamux/README.md, "Flow Control". */
#include "transport/splice.h"

#include "transport/conn.h"

enum { SLOW_US = 250000 }; /* a reader that has taken nothing for so long is slow */

bool pg_flow_is_free(const struct pg_flow *f)
{
    return f->to && f->held.bytes == 0;
}

void pg_flow_do_end_pass(struct pg_flow *f)
{
    if (f->to)
        pg_stream_end(f->to);
}

void pg_flow_init(struct pg_flow *f, struct pg_transport *t, struct pg_stream *from, uint64_t most, struct pg_instance *owner, uint32_t key)
{
    *f = (struct pg_flow){.transport = t, .from = from, .most = most};
    pg_queue_init(&f->held, t->chunks);
    pg_instance_init(&f->in, &pg_flow_machine, &pg_flow_binding, f, t->scope, NULL, owner, key);
}

/* Writes as much as there is credit for, and gives its sender the window back. */
static size_t pass(struct pg_flow *f, struct pg_bytes data)
{
    size_t credit = pg_stream_credit(f->to);
    struct pg_bytes now = pg_bytes_head(data, credit);
    if (now.len == 0 || !pg_stream_write(f->to, now))
        return 0;
    f->transport->metrics->value[PG_METRIC_RELAY_BYTES] += now.len;
    if (f->from)
        pg_stream_consumed(f->from, now.len);
    return now.len;
}

/* The last of the memory is the connections': they carry everybody. A circuit whose reader is slow gives way. */
static bool hold(struct pg_flow *f, struct pg_bytes data)
{
    uint64_t now = f->transport->scope->now_us;
    if (f->held.bytes == 0)
        f->taken_us = now;
    bool greedy = f->held.bytes > PG_YAMUX_WINDOW_FIRST / 4 && pg_pool_crowded(f->held.pool) && now - f->taken_us >= SLOW_US;
    if (greedy || !pg_queue_put(&f->held, data))
        return false;
    if (f->to)
        pg_stream_await_credit(f->to);
    return true;
}

enum pg_flow_taken pg_flow_take(struct pg_flow *f, struct pg_bytes data)
{
    if (!((1u << f->in.ctl.state) & PG_FLOW_PASSES))
        return PG_FLOW_TAKEN;
    struct pg_bytes some = f->most ? pg_bytes_head(data, f->most - f->passed) : data;
    bool exceeded = some.len < data.len;
    f->passed += some.len;
    if (f->to && f->held.bytes == 0)
        some = pg_bytes_skip(some, pass(f, some));
    if (!((1u << f->in.ctl.state) & PG_FLOW_PASSES))
        return PG_FLOW_TAKEN; /* the way out has ended over it, and the circuit with it */
    if (some.len > 0 && !hold(f, some))
        return PG_FLOW_SHORT;
    return exceeded ? PG_FLOW_EXCEEDED : PG_FLOW_TAKEN;
}

void pg_flow_writable(struct pg_flow *f)
{
    struct pg_bytes slice;
    size_t n = 1;
    while (n > 0 && f->to && pg_queue_peek(&f->held, &slice, 1) > 0) {
        n = pass(f, slice);
        pg_queue_drop(&f->held, n);
        f->taken_us = n > 0 ? f->transport->scope->now_us : f->taken_us;
    }
    if (!f->to)
        return;
    if (f->held.bytes > 0)
        pg_stream_await_credit(f->to);
    else if (!((1u << f->in.ctl.state) & PG_FLOW_PASSES))
        pg_step(&f->in, PG_FLOW_ON_EMPTIED);
}

void pg_flow_begin(struct pg_flow *f, struct pg_stream *to)
{
    f->to = to;
    pg_flow_writable(f);
}

void pg_flow_cut(struct pg_flow *f)
{
    pg_queue_clear(&f->held);
    f->from = f->to = NULL;
    pg_step(&f->in, PG_FLOW_ON_CUT);
}
