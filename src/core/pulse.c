/* Facts and actions of pulse: whether a connection is heard of while bytes pass over it.
 * Called by session.c. Source: libp2p/specs yamux/README.md, "Ping"; docs/decisions/0013-paths.md. */
#include "core/node_internal.h"

#include <stddef.h>

enum { PATIENCE_MS = 1500, PATIENCE_MOST_MS = 10000 };

static struct pg_session *of(const struct pg_pulse *p)
{
    return HOST_OF(pg_session, pulse, p);
}

bool pg_pulse_is_lively(const struct pg_pulse *p)
{
    return p->lively;
}

bool pg_pulse_is_moving(const struct pg_pulse *p)
{
    return of(p)->conn->moved;
}

uint64_t pg_pulse_patience_ms(const struct pg_pulse *p)
{
    const struct pg_yamux_session *y = &of(p)->conn->yamux;
    uint64_t two_ms = y->samples > 0 ? y->rtt_us / 500 : 0;
    return two_ms < PATIENCE_MS ? PATIENCE_MS : two_ms < PATIENCE_MOST_MS ? two_ms : PATIENCE_MOST_MS;
}

void pg_pulse_do_marks_clear(struct pg_pulse *p)
{
    p->lively = of(p)->conn->moved = false;
}

void pg_pulse_do_ping_send(struct pg_pulse *p)
{
    pg_yamux_probe(&of(p)->conn->yamux);
}

static void judge(struct pg_session *s, bool suspect)
{
    struct pg_node *n = s->node;
    s->suspect = suspect;
    /* What it has said of where we are seen may be from before a router has forgotten us. */
    if (suspect)
        pg_observed_leave(s);
    else if (s->observed.len)
        pg_observed_note(s, &s->observed);
    pg_path_sessions_changed(n, s->place, &s->conn->peer);
    struct pg_session *best = pg_node_session(n, &s->conn->peer);
    if (suspect)
        pg_reservation_doubt(s);
    if (suspect)
        pg_contacts_doubt(n, &s->conn->peer);
    if (suspect && best && best->suspect && n->hooks.peer_silent)
        n->hooks.peer_silent(n->hooks.context, s);
    if (!suspect && n->hooks.peer_up)
        n->hooks.peer_up(n->hooks.context, s); /* whoever waits may have it again */
}

void pg_pulse_do_doubt_tell(struct pg_pulse *p)
{
    struct pg_session *s = of(p);
    s->node->metrics.value[PG_METRIC_CONNECTIONS_SILENT]++;
    pg_log_connection_silent(s->node->log, pg_text(s->peer_text), pg_node_session(s->node, &s->conn->peer) != s);
    judge(s, true);
}

void pg_pulse_do_trust_tell(struct pg_pulse *p)
{
    pg_log_connection_heard(of(p)->node->log, pg_text(of(p)->peer_text));
    judge(of(p), false);
}

void pg_pulse_begin(struct pg_session *s)
{
    pg_instance_init(&s->pulse.in, &pg_pulse_machine, &pg_pulse_binding, &s->pulse, &s->node->scope, s->pulse.timers, NULL, s->conn->number);
}

void pg_pulse_end(struct pg_session *s)
{
    if (!s->pulse.in.machine)
        return;
    pg_step(&s->pulse.in, PG_PULSE_ON_END);
    pg_instance_end(&s->pulse.in);
}

void pg_session_moved(void *node, struct pg_conn *conn)
{
    struct pg_session *s = conn->above;
    (void)node;
    if (s->up && s->pulse.in.ctl.state == PG_PULSE_CALM)
        pg_post(&s->pulse.in, PG_PULSE_ON_MOVED); /* called from the middle of whatever moves them */
}
