/* Facts and actions of hole: dials from the listening port that the other side's may meet.
 * Called by punch.c and punch_serve.c; asks session.c for connections. Source: libp2p/specs relay/DCUtR.md, "The Protocol", step 5. */
#include "core/node_internal.h"
#include "core/punch.h"

#include "trace/line.h"

#include <stddef.h>

/* AGAIN_MS: on a path without delay a busy machine may be the slower one. */
enum { AGAIN_MS = 50, PATIENCE_MS = 4000, PATIENCE_MOST_MS = 10000 };

static bool unanswered(const struct pg_session *s)
{
    return s->conn->upgrade.in.ctl.state == PG_UPGRADE_FRESH;
}

static void let_go(struct pg_hole *h, uint32_t i)
{
    h->dials[i]->hole = NULL;
    h->dials[i] = NULL;
}

/* False when a limit of ours forbids it, which is told. */
static bool dial(struct pg_hole *h, uint32_t i, bool again)
{
    struct pg_node *n = h->puncher->node;
    struct pg_endpoint to;
    char text[PG_MULTIADDR_TEXT];
    enum pg_limit limit;
    if (pg_multiaddr_tcp(&h->targets[i], &to, NULL) != PG_OK)
        return false;
    limit = pg_budget_punch(&n->budget, &to, n->scope.now_us);
    if (limit != PG_LIMITS) {
        pg_node_refuse(n, limit, NULL, pg_bytes(text, pg_multiaddr_text(&h->targets[i], text, sizeof text)));
        return false;
    }
    if (again)
        pg_session_punch_again(h->dials[i]);
    else
        h->dials[i] = pg_session_punch(n, h, &h->puncher->peer, &h->targets[i], h->client, i, &limit);
    return h->dials[i] != NULL;
}

void pg_hole_do_dials_begin(struct pg_hole *h)
{
    h->why[0] = 0;
    for (uint32_t i = 0; i < h->n_targets; i++)
        if (!dial(h, i, false))
            pg_bytes_text(h->why, sizeof h->why, PG_LIT("a limit of ours forbids to dial"));
}

void pg_hole_do_dials_repeat(struct pg_hole *h)
{
    for (uint32_t i = 0; i < h->n_targets; i++)
        if (!h->dials[i] || unanswered(h->dials[i]))
            (void)dial(h, i, h->dials[i] != NULL);
}

/* What has been answered goes on: the other side may have taken that one for its own, and path.c says which is used. */
void pg_hole_do_unanswered_drop(struct pg_hole *h)
{
    for (uint32_t i = 0; i < h->n_targets; i++) {
        struct pg_session *s = h->dials[i];
        if (!s)
            continue;
        let_go(h, i);
        if (unanswered(s))
            pg_session_drop(s, PG_ERR_TIMEOUT);
    }
}

void pg_hole_do_dials_drop(struct pg_hole *h)
{
    if (!h->why[0])
        pg_bytes_text(h->why, sizeof h->why, PG_LIT("nobody has answered"));
    for (uint32_t i = 0; i < h->n_targets; i++) {
        struct pg_session *s = h->dials[i];
        if (!s)
            continue;
        let_go(h, i);
        pg_session_drop(s, PG_ERR_TIMEOUT);
    }
}

/* Longer each time: what is under way at twice the measured round trip is the exception, and at four times hardly that. */
uint64_t pg_hole_two_rtt_ms(const struct pg_hole *h)
{
    uint64_t ms = h->rtt_us / 500 > AGAIN_MS ? h->rtt_us / 500 : AGAIN_MS;
    return ms << h->in.ctl.count[0];
}

uint64_t pg_hole_patience_ms(const struct pg_hole *h)
{
    uint64_t ms = PATIENCE_MS + 4 * h->rtt_us / 1000;
    return ms < PATIENCE_MOST_MS ? ms : PATIENCE_MOST_MS;
}

void pg_hole_dial_failed(struct pg_session *s, struct pg_bytes reason)
{
    struct pg_hole *h = s->hole;
    struct pg_path_step step = {.kind = PG_STEP_DIAL_FAILED, .attempt = h->attempt, .addrs = &s->dialled, .n_addrs = 1, .reason = reason};
    for (uint32_t i = 0; i < h->n_targets; i++)
        if (h->dials[i] == s)
            let_go(h, i);
    pg_path_step_tell(h->puncher->node, &h->puncher->peer, &step);
    pg_bytes_text(h->why, sizeof h->why, reason);
}

void pg_hole_reason(const struct pg_hole *h, struct pg_line *line)
{
    pg_line_put(line, "no connection came about");
    if (h->why[0]) {
        pg_line_put(line, ", ");
        pg_line_put(line, h->why);
    }
}

void pg_hole_met(struct pg_session *s)
{
    struct pg_hole *h = s->hole;
    for (uint32_t i = 0; h && i < h->n_targets; i++)
        if (h->dials[i] == s)
            let_go(h, i);
}

void pg_hole_init(struct pg_hole *h, struct pg_puncher *p, struct pg_instance *owner)
{
    h->puncher = p;
    pg_instance_init(&h->in, &pg_hole_machine, &pg_hole_binding, h, &p->node->scope, h->timers, owner, owner->key);
}

void pg_hole_end(struct pg_hole *h)
{
    pg_hole_do_dials_drop(h);
    pg_instance_end(&h->in);
}
