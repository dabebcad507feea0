/* Facts and actions of bootstrap and dial: peers that are wanted, and the ways to reach them.
 * Called by node.c and src/service; asks session.c for connections.
 * Source: libp2p/specs connections/README.md, "Opening New Connections"; the seed's reconnect with back-off. */
#include "core/node_internal.h"

#include "trace/line.h"

#include <assert.h>
#include <stddef.h>

static_assert(PG_CONTACT_LEARNT == PG_ADDRESS_BOOK_ADDRS, "a contact takes over what the book knows");

/* Peers that are started together should meet at once, whatever their order: who was never there is tried again sooner
 * than who has gone. */
enum { BACKOFF_FRESH_MS = 250, BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 60000, RESTED_US = 500000, BRIEF_US = 5000000 };

static struct pg_contact *of_dial(const struct pg_dial *d)
{
    return HOST_OF(pg_contact, dial, d);
}

static struct pg_contact *of_bootstrap(const struct pg_bootstrap *b)
{
    return HOST_OF(pg_contact, bootstrap, b);
}

/* Its id, or its first address while nobody has said who answers there. */
static struct pg_bytes name(const struct pg_contact *c, char out[PG_MULTIADDR_TEXT])
{
    if (!c->peer.len && c->n_addrs > 0)
        return pg_bytes(out, pg_multiaddr_text(&c->addrs[0], out, PG_MULTIADDR_TEXT));
    return pg_bytes(out, pg_peer_id_text(&c->peer, out));
}

static struct pg_bytes first_addr(const struct pg_contact *c, char out[PG_MULTIADDR_TEXT])
{
    return pg_bytes(out, pg_multiaddr_text(c->n_addrs > 0 ? &c->addrs[0] : &c->learnt[0], out, PG_MULTIADDR_TEXT));
}

static bool is_learnt(const struct pg_contact *c, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < c->n_learnt; i++)
        if (pg_multiaddr_equal(&c->learnt[i], addr))
            return true;
    return false;
}

/* dial: one round over the addresses. */

bool pg_dial_is_more(const struct pg_dial *d)
{
    return pg_names_more(of_dial(d));
}

bool pg_dial_is_pending(const struct pg_dial *d)
{
    return of_dial(d)->pending > 0;
}

bool pg_dial_is_asking(const struct pg_dial *d)
{
    return of_dial(d)->asking > 0;
}

void pg_dial_do_attempt_begin(struct pg_dial *d)
{
    struct pg_contact *c = of_dial(d);
    const struct pg_multiaddr *addr = pg_names_next(c);
    enum pg_limit limit;
    c->pending++;
    if (!pg_session_dial(c->node, c, addr, &limit)) {
        c->pending--;
        c->why = limit == PG_LIMITS ? PG_ERR_NO_MEMORY : PG_ERR_LIMIT_REACHED;
        struct pg_line line;
        pg_line_init(&line, c->reason, sizeof c->reason);
        pg_line_put(&line, pg_err_text(c->why));
        if (limit != PG_LIMITS) {
            pg_line_put(&line, ": ");
            pg_line_put(&line, pg_limit_infos[limit].option);
        }
        pg_post(&d->in, PG_DIAL_ON_ATTEMPT_FAILED);
    }
}

/* Every attempt of this contact that is not up yet, and every name whose answer has not come. */
void pg_dial_do_rest_drop(struct pg_dial *d)
{
    struct pg_contact *c = of_dial(d);
    for (struct pg_session *s = c->node->sessions, *next; s; s = next) {
        next = s->next;
        if (s->contact == c && !s->up) {
            s->contact = NULL;
            pg_session_drop(s, PG_ERR_TIMEOUT);
        }
    }
    c->pending = 0;
    if (c->asking > 0 && !c->reason[0])
        pg_bytes_text(c->reason, sizeof c->reason, PG_LIT("no name server answered in time"));
    pg_names_drop(c);
}

static bool wants_another(const struct pg_contact *c)
{
    return c->peer.len && !pg_peer_id_equal(&c->peer, pg_identity_peer_id(c->node->config.identity));
}

/* It leads to ourselves today, and so it will tomorrow: nobody else is wanted, and this is no name whose answers change. */
static bool is_only_us(const struct pg_contact *c, const struct pg_session *s)
{
    return !wants_another(c) && c->n_addrs == 1 && pg_multiaddr_equal(&c->addrs[0], &s->dialled);
}

struct pg_bytes pg_contact_reason(const struct pg_contact *c)
{
    return pg_text(c->reason);
}

void pg_contact_note(struct pg_contact *c, enum pg_err why, struct pg_bytes reason)
{
    c->why = why;
    pg_bytes_text(c->reason, sizeof c->reason, reason);
}

void pg_contact_attempt_failed(struct pg_contact *c, struct pg_session *s, enum pg_err why, struct pg_bytes reason)
{
    char addr[PG_MULTIADDR_TEXT];
    struct pg_bytes text = pg_bytes(addr, pg_multiaddr_text(&s->dialled, addr, sizeof addr));
    assert(c->pending > 0);
    c->pending--;
    c->why = why;
    c->node->metrics.value[PG_METRIC_DIALS_FAILED]++;
    pg_bytes_text(c->reason, sizeof c->reason, reason);
    if ((why == PG_ERR_SELF_DIAL || why == PG_ERR_IDENTITY_TWIN) && is_only_us(c, s))
        c->for_ever = false; /* and two with one key must not call each other for ever */
    if ((why != PG_ERR_SELF_DIAL || wants_another(c)) && is_learnt(c, &s->dialled))
        pg_log_offered_dial_failed(c->node->log, text, pg_text(c->reason)); /* peers offer much that only their neighbours reach */
    else if (why != PG_ERR_SELF_DIAL || wants_another(c))
        pg_log_dial_failed(c->node->log, text, pg_text(c->reason));
    pg_step(&c->dial.in, PG_DIAL_ON_ATTEMPT_FAILED);
}

/* bootstrap: being connected, for ever. */

bool pg_bootstrap_is_addressed(const struct pg_bootstrap *b)
{
    const struct pg_contact *c = of_bootstrap(b);
    return c->n_addrs + c->n_learnt > 0 && c->started && c->node->may_dial;
}

bool pg_bootstrap_is_retrying(const struct pg_bootstrap *b)
{
    return of_bootstrap(b)->for_ever;
}

/* By the relay, or by the peer itself, which closes what it has taken: for want of room, as a rule, and haste makes it no wider. */
static bool is_refused(const struct pg_contact *c)
{
    return c->brief || c->why == PG_ERR_RELAY_REFUSED;
}

/* While a local client waits for the peer, a try a second; else the back-off. */
uint64_t pg_bootstrap_backoff_ms(const struct pg_bootstrap *b)
{
    const struct pg_contact *c = of_bootstrap(b);
    bool hurried = c->node->scope.now_us < c->hurried_until_us && !is_refused(c);
    return hurried && c->delay_ms > BACKOFF_FIRST_MS ? BACKOFF_FIRST_MS : c->delay_ms;
}

bool pg_bootstrap_is_rested(const struct pg_bootstrap *b)
{
    const struct pg_contact *c = of_bootstrap(b);
    return c->node->scope.now_us - c->tried_us >= (is_refused(c) ? c->delay_ms * (uint64_t)1000 : RESTED_US);
}

/* A connection that came about otherwise is not the one that is wanted. */
static bool lacks_relayed(const struct pg_contact *c)
{
    const struct pg_place *place = pg_names_relayed_only(c) ? pg_budget_peer(&c->node->budget, &c->peer, false) : NULL;
    for (const struct pg_session *s = place ? place->first : NULL; s; s = s->next_same)
        if (s->relayed)
            return false;
    return place != NULL && place->first != NULL;
}

bool pg_bootstrap_is_crowded(const struct pg_bootstrap *b)
{
    const struct pg_contact *c = of_bootstrap(b);
    const struct pg_session *s = pg_node_session(c->node, &c->peer);
    if (s && s->suspect)
        return s->place->conns < pg_node_limit(c->node, PG_LIMIT_CONNS_PEER);
    return pg_node_full(c->node, &c->peer) == PG_LIMIT_STREAMS_OUTBOUND || lacks_relayed(c);
}

/* Those who wait for room look again, and hurry once more when there is none. */
void pg_bootstrap_do_crowd_wake(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    struct pg_session *s = pg_node_session(c->node, &c->peer);
    if (s && c->node->hooks.peer_up)
        c->node->hooks.peer_up(c->node->hooks.context, s);
}

void pg_bootstrap_do_narrowness_tell(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    char id[PG_MULTIADDR_TEXT];
    pg_log_widening_failed(c->node->log, name(c, id), pg_text(c->reason[0] ? c->reason : pg_err_text(c->why ? c->why : PG_ERR_TIMEOUT)));
}

static void choose_delay(struct pg_contact *c)
{
    /* Up to a fifth more or less, so that a mesh does not come back in step. */
    uint32_t fifth = c->backoff_ms / 5;
    c->delay_ms = c->backoff_ms - fifth + (uint32_t)(pg_node_random(c->node) % (2 * fifth + 1));
    if (c->delay_ms > BACKOFF_LAST_MS)
        c->delay_ms = BACKOFF_LAST_MS;
}

void pg_bootstrap_do_backoff_grow(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_LAST_MS ? c->backoff_ms * 2 : BACKOFF_LAST_MS;
    choose_delay(c);
}

void pg_bootstrap_do_backoff_reset(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    c->up_us = c->node->scope.now_us;
    if (!c->brief || c->backoff_ms < BACKOFF_FIRST_MS)
        c->backoff_ms = BACKOFF_FIRST_MS;
    choose_delay(c);
}

void pg_bootstrap_do_dial_begin(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    c->why = PG_OK;
    c->reason[0] = 0;
    if (!c->tried && c->is_bootstrap) {
        char addr[PG_MULTIADDR_TEXT];
        pg_log_dialing_bootstrap(c->node->log, first_addr(c, addr));
    }
    c->tried = true;
    c->tried_us = c->node->scope.now_us;
    pg_names_begin(c);
    pg_step(&c->dial.in, PG_DIAL_ON_START);
}

void pg_bootstrap_do_dial_cancel(struct pg_bootstrap *b)
{
    pg_step(&of_bootstrap(b)->dial.in, PG_DIAL_ON_CANCEL);
}

static void tell_schedule(struct pg_contact *c)
{
    char id[PG_MULTIADDR_TEXT];
    if (c->for_ever)
        pg_log_reconnect_scheduled(c->node->log, name(c, id), (pg_bootstrap_backoff_ms(&c->bootstrap) + 500) / 1000);
}

void pg_bootstrap_do_redial_tell(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    char id[PG_MULTIADDR_TEXT], addr[PG_MULTIADDR_TEXT];
    c->node->metrics.value[PG_METRIC_BOOTSTRAP_RECONNECTS]++;
    pg_log_reconnect_started(c->node->log, name(c, id), first_addr(c, addr));
}

void pg_bootstrap_do_failure_tell(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    char id[PG_MULTIADDR_TEXT];
    struct pg_bytes reason = pg_text(c->reason[0] ? c->reason : pg_err_text(c->why ? c->why : PG_ERR_TIMEOUT));
    pg_visits_failed(c, c->why ? c->why : PG_ERR_TIMEOUT, reason);
    if (!c->wanted)
        pg_log_visit_failed(c->node->log, name(c, id), reason);
    else if (c->why == PG_ERR_SELF_DIAL && !wants_another(c))
        ; /* an own address in a list that many share: nothing to tell */
    else if (c->failing)
        pg_log_reconnect_failed(c->node->log, name(c, id), reason);
    else
        pg_log_outgoing_connection_error(c->node->log, name(c, id), reason);
    c->failing = true;
    tell_schedule(c);
    if (c->node->hooks.contact_failed)
        c->node->hooks.contact_failed(c->node->hooks.context, c, c->why ? c->why : PG_ERR_TIMEOUT, reason);
}

void pg_bootstrap_do_loss_tell(struct pg_bootstrap *b)
{
    struct pg_contact *c = of_bootstrap(b);
    c->brief = c->node->scope.now_us - c->up_us < BRIEF_US;
    if (!c->brief) {
        c->backoff_ms = BACKOFF_FIRST_MS;
        choose_delay(c);
    }
    tell_schedule(c);
}

/* The list. */

/* Contacts are made in order: behind the first that is not used there is none. The place of one that was released is used again. */
static void contact_init(struct pg_node *n, struct pg_contact *c, const struct pg_peer_id *peer)
{
    uint32_t number = (uint32_t)(c - n->contacts);
    if (c->used) {
        pg_instance_end(&c->bootstrap.in);
        pg_instance_end(&c->dial.in);
        *c = (struct pg_contact){.used = false};
    }
    c->used = true;
    c->peer = *peer;
    c->node = n;
    c->backoff_ms = BACKOFF_FRESH_MS;
    if (peer->len)
        c->n_learnt = c->n_offered = pg_address_book_find(&n->addresses, peer, n->scope.now_us, c->learnt);
    pg_instance_init(&c->bootstrap.in, &pg_bootstrap_machine, &pg_bootstrap_binding, &c->bootstrap, &n->scope,
                     c->bootstrap.timers, NULL, number);
    pg_instance_init(&c->dial.in, &pg_dial_machine, &pg_dial_binding, &c->dial, &n->scope, c->dial.timers, &c->bootstrap.in, number);
    choose_delay(c);
}

void pg_contacts_go(struct pg_node *n)
{
    n->may_dial = true;
    for (struct pg_contact *c = NULL; (c = pg_contact_next(n, c));)
        if (c->started)
            pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_START);
}

void pg_contacts_stop(struct pg_node *n)
{
    for (struct pg_contact *c = NULL; (c = pg_contact_next(n, c));)
        pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_STOP);
}

static bool is_released(const struct pg_contact *c)
{
    return c->bootstrap.in.ctl.state == PG_BOOTSTRAP_ENDED && !c->node->stopping;
}

void pg_contact_release(struct pg_contact *c)
{
    c->for_ever = c->is_bootstrap = c->wanted = false;
    if (c->visits)
        return; /* the last of them releases it */
    pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_STOP);
    for (struct pg_session *s = c->node->sessions; s; s = s->next)
        if (s->contact == c)
            s->contact = NULL;
}

struct pg_contact *pg_node_contact(struct pg_node *n, const struct pg_peer_id *peer)
{
    struct pg_contact *c = peer->len ? pg_contact_find(n, peer, NULL) : NULL;
    for (uint32_t i = 0; !c && i < PG_MAX_CONTACTS; i++)
        if (!n->contacts[i].used || is_released(&n->contacts[i]))
            contact_init(n, c = &n->contacts[i], peer);
    return c;
}

struct pg_contact *pg_contact_next(struct pg_node *n, const struct pg_contact *after)
{
    for (uint32_t i = after ? (uint32_t)(after - n->contacts) + 1 : 0; i < PG_MAX_CONTACTS && n->contacts[i].used; i++)
        if (!is_released(&n->contacts[i]))
            return &n->contacts[i];
    return NULL;
}

struct pg_contact *pg_contact_find(struct pg_node *n, const struct pg_peer_id *peer, const struct pg_contact *after)
{
    struct pg_contact *c = pg_contact_next(n, after);
    while (c && !pg_peer_id_equal(&c->peer, peer))
        c = pg_contact_next(n, c);
    return c;
}

bool pg_contact_add(struct pg_contact *c, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < c->n_addrs; i++)
        if (pg_multiaddr_equal(&c->addrs[i], addr))
            return false;
    if (c->n_addrs == PG_CONTACT_ADDRS)
        return false;
    c->addrs[c->n_addrs++] = *addr;
    pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_LEARNT);
    return true;
}

/* Said by the user, be it with a /p2p of its own at the end. */
static bool is_said(const struct pg_contact *c, struct pg_multiaddr addr)
{
    pg_multiaddr_strip_p2p(&addr);
    for (uint32_t i = 0; i < c->n_addrs; i++) {
        struct pg_multiaddr said = c->addrs[i];
        pg_multiaddr_strip_p2p(&said);
        if (pg_multiaddr_equal(&said, &addr))
            return true;
    }
    return false;
}

void pg_contacts_learn(struct pg_node *n, const struct pg_peer_id *peer, const struct pg_multiaddr *addrs, uint32_t n_addrs)
{
    for (struct pg_contact *c = NULL; (c = pg_contact_find(n, peer, c));) {
        c->n_learnt = 0;
        for (uint32_t k = 0; k < n_addrs && c->n_learnt < PG_CONTACT_LEARNT; k++)
            if (!is_said(c, addrs[k]))
                c->learnt[c->n_learnt++] = addrs[k];
        c->n_offered = c->n_learnt;
    }
}

/* The oldest hearsay; what the peer itself has offered keeps half of the places. */
static void forget_one(struct pg_contact *c)
{
    uint32_t first = c->n_offered < PG_CONTACT_LEARNT / 2 ? c->n_offered : PG_CONTACT_LEARNT / 2;
    memmove(&c->learnt[first], &c->learnt[first + 1], (c->n_learnt - first - 1) * sizeof *c->learnt);
    c->n_offered = first;
    c->n_learnt--;
}

bool pg_contact_hear(struct pg_contact *c, const struct pg_multiaddr *addrs, uint32_t n)
{
    uint32_t n_forgotten = 0;
    bool news = false;
    for (uint32_t i = 0; i < n; i++) {
        if (is_said(c, addrs[i]) || is_learnt(c, &addrs[i]))
            continue;
        if (c->n_learnt == PG_CONTACT_LEARNT && n_forgotten++ == PG_CONTACT_LEARNT / 2)
            break;
        if (c->n_learnt == PG_CONTACT_LEARNT)
            forget_one(c);
        c->learnt[c->n_learnt++] = addrs[i];
        news = true;
        if (c->bootstrap.in.ctl.state == PG_BOOTSTRAP_DIALLING)
            pg_names_join(c, &addrs[i]);
    }
    return news;
}

void pg_contacts_hear(struct pg_node *n, const struct pg_peer_id *peer, const struct pg_multiaddr *addrs, uint32_t n_addrs)
{
    for (struct pg_contact *c = NULL; (c = pg_contact_find(n, peer, c));)
        if (pg_contact_hear(c, addrs, n_addrs))
            pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_LEARNT);
}

void pg_contact_start(struct pg_contact *c, bool bootstrap, bool for_ever)
{
    c->started = c->wanted = true;
    c->is_bootstrap |= bootstrap;
    c->for_ever |= for_ever;
    bool connected = c->bootstrap.in.ctl.state == PG_BOOTSTRAP_RESTING && c->peer.len && pg_node_session(c->node, &c->peer);
    pg_step(&c->bootstrap.in, connected ? PG_BOOTSTRAP_ON_PEER_UP : PG_BOOTSTRAP_ON_START);
}

void pg_contact_hurry(struct pg_contact *c, uint64_t for_ms)
{
    uint64_t until = c->node->scope.now_us + for_ms * 1000;
    if (until > c->hurried_until_us)
        c->hurried_until_us = until;
    pg_post(&c->bootstrap.in, PG_BOOTSTRAP_ON_HURRY); /* whoever waits may have been woken by this very machine */
    if (c->node->config.path == PG_PATH_DIRECT && c->peer.len)
        pg_path_wanted(c->node, &c->peer);
}

const struct pg_peer_id *pg_contact_peer(const struct pg_contact *c)
{
    return &c->peer;
}

void pg_contacts_peer_up(struct pg_session *s)
{
    struct pg_contact *dialled_by = s->contact;
    if (dialled_by) {
        if (!dialled_by->peer.len)
            dialled_by->peer = s->conn->peer; /* the address did not say who answers */
        dialled_by->pending--;
        dialled_by->failing = false;
        dialled_by->reason[0] = 0;
        pg_step(&dialled_by->dial.in, PG_DIAL_ON_ATTEMPT_UP);
    }
    for (struct pg_contact *c = NULL; (c = pg_contact_find(s->node, &s->conn->peer, c));) {
        pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_PEER_UP);
        pg_visits_up(c);
    }
}

void pg_contacts_doubt(struct pg_node *n, const struct pg_peer_id *peer)
{
    const struct pg_session *best = pg_node_session(n, peer);
    if (!best || !best->suspect)
        return;
    for (struct pg_contact *c = NULL; (c = pg_contact_find(n, peer, c));)
        if (c->for_ever || c->visits)
            pg_post(&c->bootstrap.in, PG_BOOTSTRAP_ON_HURRY);
}

void pg_contacts_peer_lost(struct pg_node *n, const struct pg_peer_id *peer)
{
    for (struct pg_contact *c = NULL; (c = pg_contact_find(n, peer, c));)
        pg_step(&c->bootstrap.in, PG_BOOTSTRAP_ON_PEER_LOST);
}
