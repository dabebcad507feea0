/* Facts and actions of reset_pace: streams of ours that are to be reset wait here while resets would come faster than the other side
 * may put up with, which ends the connection and all that runs on it. Such a stream is deaf and dumb, but counts as open: so no
 * more can be opened than can be reset. Called by yamux_stream.c and yamux.c. See docs/decisions/0010-limits.md. */
#include "transport/yamux.h"

#include "transport/conn.h"

#include <stddef.h>

enum { BURST = 4 }; /* seconds of the rate at once: half of what we let others do, should they come together on the way */

static struct pg_yamux_session *session(const struct pg_reset_pace *p)
{
    return (struct pg_yamux_session *)((char *)(uintptr_t)p - offsetof(struct pg_yamux_session, pace));
}

static bool take(struct pg_yamux_session *y)
{
    uint64_t each_s = y->conn->transport->limits->value[PG_LIMIT_RESET_RATE];
    return pg_rate_take(&y->own_resets, y->conn->transport->scope->now_us, each_s, BURST * each_s);
}

bool pg_reset_pace_is_owing(const struct pg_reset_pace *p)
{
    return session(p)->held != NULL;
}

void pg_reset_pace_do_resets_release(struct pg_reset_pace *p)
{
    struct pg_yamux_session *y = session(p);
    while (y->held && take(y)) {
        struct pg_stream *s = y->held;
        pg_reset_pace_forget(s);
        pg_yamux_stream_drop(s);
    }
}

bool pg_reset_pace_hold(struct pg_stream *s)
{
    struct pg_yamux_session *y = &s->conn->yamux;
    bool ours = (s->id & 1) == (s->conn->client ? 1 : 0);
    if (s->held)
        return true;
    if (!ours || !s->said || !pg_conn_is_up(s->conn) || (!y->held && take(y)))
        return false;
    s->held = true;
    s->next_waiting = NULL; /* nobody waits for credit who writes no more */
    s->previous_waiting = y->held_end;
    *y->held_end = s;
    y->held_end = &s->next_waiting;
    pg_post(&y->pace.in, PG_RESET_PACE_ON_HELD);
    return true;
}

void pg_reset_pace_forget(struct pg_stream *s)
{
    if (!s->held)
        return;
    s->held = false;
    *s->previous_waiting = s->next_waiting;
    if (s->next_waiting)
        s->next_waiting->previous_waiting = s->previous_waiting;
    else
        s->conn->yamux.held_end = s->previous_waiting;
}
