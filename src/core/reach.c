/* Whether we can be reached: facts and actions of reach and reach_pace, the words of servers and what they add up to.
 *
 * A server that we have dialled from our port has a way in through a NAT that goes by addresses. When it reaches us at the address which
 * that NAT has made of this port, nobody else need be able to, so this counts as if it had not. What tells a forwarded port is the port
 * itself, at the IP at which we are seen; where the NAT keeps ports both are one address, and then a server tells that we have dialled
 * from another port only, as peers of the DHT are while this is open. Once it has reached us what was let in says nothing.
 * Called by node.c and identify.c. Serves libp2p/specs autonat/autonat-v2.md, "Implementation Suggestions". */
#include "core/reach.h"

#include "core/node_internal.h"

#include <stddef.h>

/* ENOUGH: networks that have to agree before we stop asking. LAST_US: how long a word counts. CONTRADICTED_MS: until we ask again when
 * somebody says the opposite of what we hold. */
enum { ENOUGH = 3, CONTRADICTED_MS = 2000 };
/* Others that tell where they see us make us ask only so often, whoever they are: MOVES at once, then one in so many seconds. Who has
 * dialled us is heard when VOICES networks agree, unless we have dialled nobody. */
enum { MOVES = 6, EACH_MOVE_S = 60, VOICES = 2 };
/* For how long a NAT may remember whom we have dialled: RFC 5382, REQ-5. */
static const uint64_t LET_IN_US = 124ull * 60 * 1000000;
static const uint64_t LAST_US = 45ull * 60 * 1000000;

static struct pg_reach *of_pace(const struct pg_reach_pace *p)
{
    return HOST_OF(pg_reach, pace, p);
}

/* What we are asked about. */

static void add(struct pg_reach *r, const struct pg_endpoint *at, bool mapped)
{
    for (uint32_t i = 0; i < r->n_candidates; i++)
        if (pg_endpoint_equal(&r->candidates[i].at, at)) {
            r->candidates[i].mapped &= mapped;
            return;
        }
    if (r->n_candidates < PG_REACH_CANDIDATES && pg_endpoint_is_public(at) && at->port && !at->zone)
        r->candidates[r->n_candidates++] = (struct pg_reach_candidate){*at, mapped};
}

static void add_addrs(struct pg_reach *r, const struct pg_multiaddr *addrs, uint32_t n)
{
    struct pg_endpoint at;
    for (uint32_t i = 0; i < n; i++)
        if (pg_multiaddr_tcp(&addrs[i], &at, NULL) == PG_OK)
            add(r, &at, false);
}

static bool is_heard(const struct pg_observed_view *views, uint32_t n, const struct pg_observed_view *v)
{
    bool dialled = false;
    for (uint32_t i = 0; i < n; i++)
        dialled |= views[i].dialled && views[i].seen.family == v->seen.family;
    return v->dialled || !dialled || v->networks >= VOICES;
}

/* What the user says, what our interfaces have, where others have dialled us, and our ports at the IPs at which we are seen, be they what a NAT
 * has made of them or not. What else NATs have made of our ports tells nothing: see above. */
static void gather(struct pg_reach *r)
{
    const struct pg_node *n = r->node;
    struct pg_observed_view views[8];
    uint32_t n_views = pg_observed_views(n, views, 8);
    r->n_candidates = 0;
    add_addrs(r, n->config.externals, n->config.n_externals);
    add_addrs(r, n->addrs, n->n_addrs);
    for (uint32_t i = 0; i < n_views; i++)
        if (!views[i].dialled && is_heard(views, n_views, &views[i]))
            add(r, &views[i].seen, false);
    for (uint32_t i = 0; i < n_views; i++) {
        struct pg_endpoint same = views[i].seen;
        bool moved = same.port != views[i].port;
        same.port = views[i].port;
        if (is_heard(views, n_views, &views[i]))
            add(r, &same, !moved && views[i].dialled);
    }
}

/* Four bits of a filter for each IP. One that seems to be in it and is not tells us less than it could, and nothing wrong. */
static bool find(uint64_t *bits, const struct pg_node *n, const struct pg_endpoint *e, bool set)
{
    uint64_t hash = pg_keyed_hash(&n->budget.hash, e->ip, e->family == 4 ? 4 : 16);
    bool all = true;
    for (unsigned i = 0; i < 4; i++, hash >>= 12) {
        uint64_t bit = hash % PG_REACH_DIALLED, mask = (uint64_t)1 << bit % 64;
        all &= (bits[bit / 64] & mask) != 0;
        bits[bit / 64] |= set ? mask : 0;
    }
    return all;
}

void pg_reach_dialled(struct pg_node *n, const struct pg_endpoint *to)
{
    struct pg_reach *r = &n->reach;
    if (!r->on)
        return;
    if (n->scope.now_us - r->dialled_us >= LET_IN_US) {
        memcpy(r->dialled[1], r->dialled[0], sizeof r->dialled[1]);
        memset(r->dialled[0], 0, sizeof r->dialled[0]);
        r->dialled_us = n->scope.now_us;
    }
    (void)find(r->dialled[0], n, to, true);
}

static bool is_mapped(const struct pg_reach *r, const struct pg_endpoint *addr)
{
    for (uint32_t i = 0; i < r->n_candidates; i++)
        if (r->candidates[i].mapped && (!addr || pg_endpoint_equal(&r->candidates[i].at, addr)))
            return true;
    return false;
}

bool pg_reach_wants_strangers(const struct pg_node *n)
{
    return n->reach.on && is_mapped(&n->reach, NULL);
}

/* Whether the server may come in because we have dialled it, by a mapping that this has made. In version 1 its word is all there is. */
static bool let_in(struct pg_reach *r, const struct pg_endpoint *server, const struct pg_endpoint *addr, unsigned version)
{
    return is_mapped(r, addr) && (version == 1 || find(r->dialled[0], r->node, server, false) || find(r->dialled[1], r->node, server, false));
}

static bool is_server(const struct pg_session *s)
{
    return s->up && s->autonat && !s->relayed && pg_endpoint_is_public(&s->conn->remote);
}

static struct pg_reach_word *word_of(struct pg_reach *r, const struct pg_peer_id *peer, const struct pg_endpoint *addr)
{
    for (uint32_t i = 0; i < r->n_words; i++)
        if (pg_peer_id_equal(&r->words[i].peer, peer) && pg_endpoint_equal(&r->words[i].addr, addr))
            return &r->words[i];
    return NULL;
}

/* The addresses that the server is to be asked about in this round, those first that it has said nothing of. */
static uint32_t open_for(struct pg_reach *r, const struct pg_session *s, uint32_t out[PG_REACH_CANDIDATES])
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        const struct pg_reach_word *w = word_of(r, &s->conn->peer, &r->candidates[i].at);
        if (!w || w->at_us < r->round_us)
            out[found++] = i;
    }
    return found;
}

/* Words. */

static bool counts(const struct pg_reach *r, const struct pg_reach_word *w)
{
    return r->node->scope.now_us - w->at_us < LAST_US && w->outcome != PG_AUTONAT_UNTOLD && !w->mute;
}

/* Networks that say so: of each its best word counts. addr: of one address only. */
static uint32_t networks(const struct pg_reach *r, enum pg_autonat_outcome outcome, const struct pg_endpoint *addr)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < r->n_words; i++) {
        const struct pg_reach_word *w = &r->words[i];
        bool first = true, reached = false;
        if (!counts(r, w) || (addr && !pg_endpoint_equal(&w->addr, addr)))
            continue;
        for (uint32_t k = 0; k < r->n_words; k++) {
            const struct pg_reach_word *o = &r->words[k];
            if (!counts(r, o) || (addr && !pg_endpoint_equal(&o->addr, addr)) ||
                !(pg_observed_neighbours(&o->from, &w->from) || pg_peer_id_equal(&o->peer, &w->peer)))
                continue;
            first &= k >= i;
            reached |= o->outcome == PG_AUTONAT_REACHED;
        }
        found += first && reached == (outcome == PG_AUTONAT_REACHED);
    }
    return found;
}

int pg_reach_says(const struct pg_node *n, const struct pg_endpoint *addr)
{
    return (int)networks(&n->reach, PG_AUTONAT_REACHED, addr) - (int)networks(&n->reach, PG_AUTONAT_UNREACHED, addr);
}

/* Who came in as one whom we have dialled says nothing beside one who came as a stranger. */
static void weigh(struct pg_reach *r)
{
    for (uint32_t i = 0; i < r->n_words; i++) {
        struct pg_reach_word *w = &r->words[i];
        w->mute = false;
        for (uint32_t k = 0; k < r->n_words && w->let_in && !w->mute; k++)
            w->mute = r->words[k].outcome == PG_AUTONAT_REACHED && counts(r, &r->words[k]) && pg_endpoint_equal(&r->words[k].addr, &w->addr);
    }
}

static void note(struct pg_reach *r, const struct pg_endpoint *addr, enum pg_autonat_outcome outcome, bool let_in)
{
    struct pg_reach_word *w = word_of(r, &r->asked, addr);
    if (w) {
        memmove(w, w + 1, (size_t)(&r->words[r->n_words] - (w + 1)) * sizeof *w);
        r->n_words--;
    }
    if (r->n_words == PG_REACH_WORDS)
        memmove(r->words, r->words + 1, --r->n_words * sizeof *r->words);
    r->words[r->n_words++] = (struct pg_reach_word){.peer = r->asked, .from = r->asked_at, .addr = *addr,
                                                    .at_us = r->node->scope.now_us, .outcome = outcome, .let_in = let_in};
    weigh(r);
}

static bool contradicted(const struct pg_reach *r)
{
    uint32_t reached = networks(r, PG_AUTONAT_REACHED, NULL), unreached = networks(r, PG_AUTONAT_UNREACHED, NULL);
    return r->in.ctl.state == PG_REACH_PUBLIC ? unreached > reached : r->in.ctl.state == PG_REACH_PRIVATE && reached > unreached;
}

bool pg_reach_is_outvoted(const struct pg_reach *r)
{
    return contradicted(r);
}

void pg_reach_do_verdict_tell(struct pg_reach *r)
{
    r->due = r->stale = true;
    r->changed_us = r->node->scope.now_us;
}

/* Asking. */

bool pg_reach_pace_is_askable(const struct pg_reach_pace *p)
{
    struct pg_reach *r = of_pace(p);
    uint32_t open[PG_REACH_CANDIDATES];
    for (const struct pg_session *s = r->node->sessions; s; s = s->next)
        if (is_server(s) && open_for(r, s, open))
            return true;
    return false;
}

bool pg_reach_pace_is_unsure(const struct pg_reach_pace *p)
{
    const struct pg_reach *r = of_pace(p);
    enum pg_autonat_outcome held = r->in.ctl.state == PG_REACH_PUBLIC ? PG_AUTONAT_REACHED : PG_AUTONAT_UNREACHED;
    return r->in.ctl.state == PG_REACH_UNKNOWN || contradicted(r) || networks(r, held, NULL) < ENOUGH;
}

uint64_t pg_reach_pace_pause_ms(const struct pg_reach_pace *p)
{
    const struct pg_reach *r = of_pace(p);
    if (contradicted(r))
        return CONTRADICTED_MS;
    return pg_node_limit(r->node, r->in.ctl.count[0] < 3 ? PG_LIMIT_AUTONAT_RETRY : PG_LIMIT_AUTONAT_REFRESH);
}

static void gather_anew(struct pg_reach *);

void pg_reach_pace_do_round_begin(struct pg_reach_pace *p)
{
    of_pace(p)->round_us = of_pace(p)->node->scope.now_us;
    gather_anew(of_pace(p));
}

void pg_reach_pace_do_round_end(struct pg_reach_pace *p)
{
    struct pg_reach *r = of_pace(p);
    if (r->in.ctl.state == PG_REACH_UNKNOWN && !r->silent)
        r->silent = r->due = r->stale = true; /* nobody can tell: whoever waits for a verdict need not wait longer */
}

/* A word on every address that was asked about, so that a server which does not say which is not asked for ever. */
static void told(struct pg_autonat_question *q)
{
    struct pg_reach *r = q->context;
    struct pg_endpoint at;
    enum pg_reach_pace_event event = PG_REACH_PACE_ON_WORD_UNTOLD;
    enum pg_autonat_outcome outcome = q->outcome;
    uint32_t open[PG_REACH_CANDIDATES], left = 0;
    bool known = false;
    for (uint32_t i = 0; i < q->n_addrs; i++)
        if (pg_multiaddr_tcp(&q->addrs[i], &at, NULL) == PG_OK && (q->tested == i || q->tested == q->n_addrs)) {
            known |= q->outcome == PG_AUTONAT_REACHED && let_in(r, &r->asked_at, &at, q->version);
            outcome = known ? PG_AUTONAT_UNREACHED : q->outcome;
            note(r, &at, outcome, known);
            if (known && word_of(r, &r->asked, &at)->mute)
                outcome = PG_AUTONAT_UNTOLD;
        }
    for (const struct pg_session *s = r->node->sessions; s; s = s->next)
        if (is_server(s) && pg_peer_id_equal(&s->conn->peer, &r->asked))
            left = open_for(r, s, open);
    if (outcome == PG_AUTONAT_REACHED)
        event = PG_REACH_PACE_ON_WORD_REACHED;
    else if (outcome == PG_AUTONAT_UNREACHED && left == 0)
        event = PG_REACH_PACE_ON_WORD_UNREACHED;
    pg_log_autonat_told(r->node->log, pg_text(q->peer_text), q->version,
                        q->outcome != outcome                ? PG_LIT("reached, as whom we have dialled may be let in")
                        : q->outcome == PG_AUTONAT_REACHED   ? PG_LIT("reached")
                        : q->outcome == PG_AUTONAT_UNREACHED ? PG_LIT("not reached") : pg_text(q->text));
    if (event == PG_REACH_PACE_ON_WORD_REACHED)
        pg_step(&r->in, PG_REACH_ON_WORD_REACHED);
    else if (event == PG_REACH_PACE_ON_WORD_UNREACHED)
        pg_step(&r->in, PG_REACH_ON_WORD_UNREACHED);
    r->stale = true;
    pg_node_addrs_changed(r->node); /* it may be confirmed, or not any more */
    pg_post(&r->pace.in, event);
}

/* Of those that may be asked: whose network has said least, the youngest connection last. */
static struct pg_session *choose(struct pg_reach *r)
{
    struct pg_session *found = NULL;
    uint32_t least = UINT32_MAX, open[PG_REACH_CANDIDATES];
    for (struct pg_session *s = r->node->sessions; s; s = s->next) {
        uint32_t said = 0;
        if (!is_server(s) || !open_for(r, s, open))
            continue;
        for (uint32_t i = 0; i < r->n_words; i++)
            said += r->words[i].at_us >= r->round_us && pg_observed_neighbours(&r->words[i].from, &s->conn->remote);
        if (said < least) {
            least = said;
            found = s;
        }
    }
    return found;
}

void pg_reach_pace_do_question_ask(struct pg_reach_pace *p)
{
    struct pg_reach *r = of_pace(p);
    struct pg_autonat_question *q = &r->question;
    struct pg_session *s = choose(r); /* there is one: `askable` held when the row was chosen */
    uint32_t open[PG_REACH_CANDIDATES], n_open = open_for(r, s, open);
    unsigned version = s->autonat & PG_AUTONAT_V2 ? 2 : 1;
    r->asked = s->conn->peer;
    r->asked_at = s->conn->remote;
    q->n_addrs = 0;
    /* Version 2 tests one: then it is asked about one, for servers differ in which of several they take. */
    for (uint32_t i = 0; i < n_open && (version == 1 || i == 0); i++)
        pg_multiaddr_from_tcp(&q->addrs[q->n_addrs++], &r->candidates[open[i]].at);
    q->told = told;
    q->context = r;
    if (pg_autonat_question_begin(q, s, version))
        return;
    for (uint32_t i = 0; i < q->n_addrs; i++)
        note(r, &r->candidates[open[i]].at, PG_AUTONAT_UNTOLD, false);
    pg_post(&p->in, PG_REACH_PACE_ON_WORD_UNTOLD);
}

void pg_reach_pace_do_question_drop(struct pg_reach_pace *p)
{
    pg_autonat_question_end(&of_pace(p)->question);
}

/* Life. */

/* Who could tell us whether we are reachable, as far as anybody waits for it. */
static uint32_t judges(struct pg_reach *r)
{
    uint32_t found = 0;
    if (r->in.ctl.state != PG_REACH_UNKNOWN || r->silent || r->n_candidates == 0)
        return 0;
    for (const struct pg_session *s = r->node->sessions; s; s = s->next)
        found += is_server(s);
    return found;
}

static bool same_candidates(const struct pg_reach *r, const struct pg_reach_candidate *before, uint32_t n)
{
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        uint32_t k = 0;
        while (k < n && !(pg_endpoint_equal(&before[k].at, &r->candidates[i].at) && before[k].mapped == r->candidates[i].mapped))
            k++;
        if (k == n)
            return false;
    }
    return n == r->n_candidates;
}

/* Words about addresses that are none of ours any more count no longer. */
static void gather_anew(struct pg_reach *r)
{
    uint32_t kept = 0;
    gather(r);
    for (uint32_t i = 0; i < r->n_words; i++)
        for (uint32_t k = 0; k < r->n_candidates; k++)
            if (pg_endpoint_equal(&r->words[i].addr, &r->candidates[k].at)) {
                r->words[kept++] = r->words[i];
                break;
            }
    r->n_words = kept;
    weigh(r);
    r->stale = true;
}

/* What comes too often waits for the next round, or until there is time for one more. */
static void look_at_addrs(struct pg_reach *r)
{
    struct pg_reach_candidate before[PG_REACH_CANDIDATES];
    uint32_t n_before = r->n_candidates;
    memcpy(before, r->candidates, sizeof before);
    gather(r);
    if (same_candidates(r, before, n_before))
        return;
    if (!pg_rate_take(&r->moves, r->node->scope.now_us / EACH_MOVE_S, 1, MOVES)) {
        memcpy(r->candidates, before, sizeof before);
        r->n_candidates = n_before;
        return;
    }
    gather_anew(r);
    pg_step(&r->in, PG_REACH_ON_ADDRS_CHANGED);
    pg_step(&r->pace.in, PG_REACH_PACE_ON_ADDRS_CHANGED);
}

void pg_reach_servers_changed(struct pg_node *n)
{
    struct pg_reach *r = &n->reach;
    if (!r->on)
        return;
    r->stale = true;
    pg_post(&r->pace.in, PG_REACH_PACE_ON_SERVER_CAME);
}

void pg_reach_settle(struct pg_node *n)
{
    static const enum pg_seed_nat words[] = {[PG_REACH_UNKNOWN] = PG_SEED_NAT_UNKNOWN, [PG_REACH_PUBLIC] = PG_SEED_NAT_PUBLIC,
                                             [PG_REACH_PRIVATE] = PG_SEED_NAT_PRIVATE};
    struct pg_reach *r = &n->reach;
    if (!r->on || n->stopping)
        return;
    if (n->addrs_stale)
        look_at_addrs(r);
    if (!r->stale)
        return;
    r->stale = false;
    n->control.judges = judges(r);
    if (!r->due)
        return;
    r->due = false;
    pg_node_control_nat(n, words[r->in.ctl.state]);
}

void pg_reach_start(struct pg_node *n)
{
    struct pg_reach *r = &n->reach;
    if (n->config.quiet || n->config.nat_status != 0)
        return; /* the user has said it */
    r->node = n;
    r->on = true;
    r->changed_us = n->scope.now_us;
    pg_instance_init(&r->in, &pg_reach_machine, &pg_reach_binding, r, &n->scope, NULL, NULL, 0);
    pg_instance_init(&r->pace.in, &pg_reach_pace_machine, &pg_reach_pace_binding, &r->pace, &n->scope, r->pace.timers, NULL, 0);
}

void pg_reach_stop(struct pg_node *n)
{
    if (n->reach.on)
        pg_step(&n->reach.pace.in, PG_REACH_PACE_ON_STOP);
}

void pg_reach_view(const struct pg_node *n, struct pg_reach_view *v)
{
    const struct pg_reach *r = &n->reach;
    *v = (struct pg_reach_view){.verdict = pg_control_plane_nat(&n->control), .given = n->config.nat_status != 0};
    if (!r->on)
        return;
    v->confidence = r->in.ctl.count[0];
    v->reached = networks(r, PG_AUTONAT_REACHED, NULL);
    v->unreached = networks(r, PG_AUTONAT_UNREACHED, NULL);
    v->age_us = n->scope.now_us - r->changed_us;
}
