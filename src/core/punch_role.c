/* Facts and actions of punch_role: of two servers one becomes the client. Called by session.c.
 * Source: libp2p/specs relay/DCUtR.md, "The Protocol", step 5. go-libp2p at both ends sits out 10 s when dials miss each other, since
 * the one that initiates is server in its first two tries, and so is a listener (p2p/protocol/holepunch, p2p/net/swarm). */
#include "core/node_internal.h"

#include <stddef.h>

/* A client's first words are right behind its SYN's answer, also where everybody is busy; when they are lost they come again after two
 * or three round trips. The side that has dialled waits until the other one, if it does as we do, has become the client.
 * MOST: round trips are as long as the other side makes them. */
enum { ACCEPTED_MS = 75, ACCEPTED_MOST_MS = 1000, DIALLED_MS = 250, DIALLED_LATE_MS = 750, DIALLED_MOST_MS = 4000 };

static struct pg_session *of(const struct pg_punch_role *r)
{
    return HOST_OF(pg_session, role, r);
}

bool pg_punch_role_is_silent(const struct pg_punch_role *r)
{
    return pg_conn_is_unasked(of(r)->conn);
}

bool pg_punch_role_is_greeted(const struct pg_punch_role *r)
{
    return pg_conn_is_greeted(of(r)->conn);
}

uint64_t pg_punch_role_patience_ms(const struct pg_punch_role *r)
{
    return r->in.event == PG_PUNCH_ROLE_ON_QUIET_FIRED ? r->late_ms : r->patience_ms;
}

void pg_punch_role_do_client_become(struct pg_punch_role *r)
{
    pg_conn_become_client(of(r)->conn);
}

static void begin(struct pg_session *s, uint64_t patience_ms, uint64_t late_ms)
{
    s->role.patience_ms = patience_ms;
    s->role.late_ms = late_ms;
    pg_instance_init(&s->role.in, &pg_punch_role_machine, &pg_punch_role_binding, &s->role, &s->node->scope, s->role.timers, NULL,
                     s->conn->number);
    pg_step(&s->role.in, PG_PUNCH_ROLE_ON_BEGIN);
}

static uint64_t within(uint64_t ms, uint64_t least, uint64_t most)
{
    return ms < least ? least : ms < most ? ms : most;
}

/* Over the relay; before the word to dial has come, what it is at least. */
static uint64_t rtt_ms(const struct pg_puncher *p)
{
    const struct pg_punch_serve *v = &p->serve;
    return (v->in.ctl.state == PG_PUNCH_SERVE_MEETING ? v->hole.rtt_us : p->node->scope.now_us - v->answered_us) / 1000;
}

/* Whoever asks us to punch has named the address, be it with another port. */
static const struct pg_puncher *expects(const struct pg_session *s)
{
    struct pg_endpoint named;
    for (const struct pg_puncher *p = s->node->punching.first; p; p = p->next) {
        uint8_t state = p->serve.in.ctl.state;
        if (state != PG_PUNCH_SERVE_ANSWERED && state != PG_PUNCH_SERVE_MEETING)
            continue;
        for (uint32_t i = 0; i < p->serve.hole.n_targets; i++)
            if (pg_multiaddr_tcp(&p->serve.hole.targets[i], &named, NULL) == PG_OK && named.family == s->conn->remote.family &&
                memcmp(named.ip, s->conn->remote.ip, named.family == 4 ? 4 : 16) == 0)
                return p;
    }
    return NULL;
}

void pg_punch_role_accepted(struct pg_session *s)
{
    const struct pg_puncher *p = s->node->punching.first && !pg_session_is_relayed(s) ? expects(s) : NULL;
    uint64_t ms = p ? within(rtt_ms(p), ACCEPTED_MS, ACCEPTED_MOST_MS) : 0;
    if (p)
        begin(s, ms, ms);
}

void pg_punch_role_dialled(struct pg_session *s)
{
    if (s->hole && !s->conn->client)
        begin(s, DIALLED_MS, DIALLED_LATE_MS + 2 * within(s->hole->rtt_us / 1000, 0, DIALLED_MOST_MS));
}

void pg_punch_role_end(struct pg_session *s)
{
    if (!s->role.in.machine)
        return;
    pg_step(&s->role.in, PG_PUNCH_ROLE_ON_END);
    pg_instance_end(&s->role.in);
    s->role.in.machine = NULL;
}
