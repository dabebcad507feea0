/* Visits: peers that are wanted for one thing. They share the contacts of peers that are wanted for ever, and leave no trace in
 * them but what was learnt. Called by kad_request.c and src/service; calls that are due are made at the end of the turn.
 * Serves libp2p/specs connections/README.md, "Opening New Connections". */
#include "core/node_internal.h"

#include <stddef.h>

static void make_due(struct pg_visit *v)
{
    struct pg_kad *k = &v->contact->node->kad;
    v->told = true;
    v->previous_due = k->due_end;
    *k->due_end = v;
    k->due_end = &v->next_due;
}

static void leave_due(struct pg_visit *v)
{
    struct pg_kad *k = &v->contact->node->kad;
    if (!v->previous_due)
        return;
    *v->previous_due = v->next_due;
    if (v->next_due)
        v->next_due->previous_due = v->previous_due;
    else
        k->due_end = v->previous_due;
    v->previous_due = NULL;
    v->next_due = NULL;
}

void pg_visits_up(struct pg_contact *c)
{
    for (struct pg_visit *v = c->visits; v; v = v->next)
        if (!v->told)
            make_due(v);
}

static void fail(struct pg_visit *v, enum pg_err why, struct pg_bytes reason)
{
    v->why = why;
    pg_bytes_text(v->reason, sizeof v->reason, reason);
    make_due(v);
}

void pg_visits_failed(struct pg_contact *c, enum pg_err why, struct pg_bytes reason)
{
    for (struct pg_visit *v = c->visits; v; v = v->next)
        if (!v->told)
            fail(v, why, reason);
}

/* What comes of the contact as it is: somebody else may have made it, or be waiting for it. */
static void go(struct pg_visit *v, bool news)
{
    struct pg_contact *c = v->contact;
    switch ((enum pg_bootstrap_state)c->bootstrap.in.ctl.state) {
    case PG_BOOTSTRAP_RESTING:
        c->started = true;
        pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_START);
        if (!v->told && c->node->may_dial && c->bootstrap.in.ctl.state == PG_BOOTSTRAP_RESTING)
            fail(v, PG_ERR_UNREACHABLE, PG_LIT("no address of the peer is known"));
        return;
    case PG_BOOTSTRAP_WAITING: /* the last try is not long ago */
        if (news)
            pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_LEARNT);
        else
            fail(v, c->why ? c->why : PG_ERR_UNREACHABLE, pg_text(c->reason));
        return;
    case PG_BOOTSTRAP_ENDED: fail(v, PG_ERR_SHUTTING_DOWN, PG_LIT("shutting down")); return;
    case PG_BOOTSTRAP_DIALLING:
    case PG_BOOTSTRAP_KEPT:
    case PG_BOOTSTRAP_WIDENING:
    case PG_BOOTSTRAP_CRAMPED: return;
    }
}

/* A contact that nobody wants. */
static void give_back(struct pg_contact *c)
{
    if (!c->visits && !c->wanted && !c->node->stopping)
        pg_contact_release(c);
}

struct pg_visit *pg_node_visit(struct pg_node *n, struct pg_visitor *visitor, const struct pg_kad_contact *peer)
{
    struct pg_contact *c = peer->id.len && !n->stopping ? pg_node_contact(n, &peer->id) : NULL;
    struct pg_visit *v = c ? pg_pool_take_zero(&n->kad.visits) : NULL;
    if (!v) {
        if (c)
            give_back(c);
        return NULL;
    }
    v->visitor = visitor;
    v->contact = c;
    v->next = c->visits;
    v->previous = &c->visits;
    if (v->next)
        v->next->previous = &v->next;
    c->visits = v;
    n->kad.n_visits++;
    bool news = pg_contact_hear(c, peer->addrs, peer->n_addrs);
    if (pg_node_session(n, &peer->id))
        make_due(v);
    else
        go(v, news);
    return v;
}

void pg_visit_end(struct pg_visit *v)
{
    struct pg_contact *c = v->contact;
    struct pg_node *n = c->node;
    leave_due(v);
    *v->previous = v->next;
    if (v->next)
        v->next->previous = v->previous;
    pg_pool_give(&n->kad.visits, v);
    n->kad.n_visits--;
    give_back(c);
}

/* Connections. */

/* So many may stay: a peer that may hold few keeps few, and one at least, for without it some know nobody at all. */
static uint32_t most_kept(const struct pg_node *n)
{
    uint64_t part = pg_node_limit(n, PG_LIMIT_CONNS) / 16;
    return part < 1 ? 1 : part < PG_KAD_KEPT ? (uint32_t)part : PG_KAD_KEPT;
}

static bool is_wanted(const struct pg_session *s)
{
    const struct pg_contact *c = NULL;
    while ((c = pg_contact_find(s->node, &s->conn->peer, c)))
        if (c->wanted || c->visits)
            return true;
    return false;
}

/* It stays when somebody wants its peer by now, or when there are few of its kind: who was asked once is likely to be asked again. */
bool pg_visit_keeps(const struct pg_session *s)
{
    return is_wanted(s) || s->node->kad.n_visited <= most_kept(s->node);
}

/* The one that has been at rest for longest, whatever its peer has begun on it without saying what for. */
static struct pg_session *longest_idle(struct pg_node *n)
{
    struct pg_session *longest = NULL;
    for (struct pg_session *s = n->sessions; s; s = s->next)
        if (s->up && s->visits && s->conn->yamux.working == 0 && (!longest || s->idle_us < longest->idle_us) && !pg_slot_keeps(s) && !is_wanted(s))
            longest = s;
    return longest;
}

/* Many are asked in a moment, and their connections rest for a while before they are closed: twice as many as may stay, not more. */
void pg_visits_relieve(struct pg_node *n)
{
    struct pg_session *s;
    bool idle = n->kad.visited_idle;
    n->kad.visited_idle = false;
    while (idle && n->kad.n_visited > 2 * most_kept(n) && (s = longest_idle(n)))
        pg_session_drop(s, PG_ERR_CLOSED);
}

bool pg_visits_settle(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    bool any = false;
    while (k->due) {
        struct pg_visit *v = k->due;
        struct pg_visitor *visitor = v->visitor;
        struct pg_session *s = v->why ? NULL : pg_node_session(n, &v->contact->peer);
        char reason[sizeof v->reason];
        enum pg_err why = v->why ? v->why : PG_ERR_CLOSED; /* it came and went in one turn */
        memcpy(reason, v->reason, sizeof reason);
        leave_due(v);
        any = true;
        if (s)
            visitor->up(visitor, s);
        else
            visitor->failed(visitor, why, pg_text(reason[0] ? reason : pg_err_text(why)));
    }
    return any;
}
