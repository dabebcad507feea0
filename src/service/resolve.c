/* Facts and actions of resolve: who has the service of a forward, and who of them is used.
 * Called by forward.c; looks through core/kad.h. Serves spec/machine/resolve.sm; libp2p/specs kad-dht/README.md, "DHT Operations";
 * log lines as the original has them. */
#include "service/resolve.h"
#include "trace/line.h"

enum { MINUTE_US = 60000000, BREATH_US = 100000, LAST_MS = 60000, REFUSED_US = 1000000, RENEWALS = 3 };
enum { RETRY }; /* the first of the machine's timers */

static uint64_t now_us(const struct pg_resolve *r)
{
    return pg_node_scope(r->node)->now_us;
}

static struct pg_log *logs(const struct pg_resolve *r)
{
    return pg_node_log(r->node);
}

static bool is_named(const struct pg_resolve *r)
{
    return r->name.len == 0;
}

/* The rate. */

/* Whether what has just happened may still bring about a look-up that is not due. */
static bool has_share(const struct pg_resolve *r)
{
    uint32_t all = 0, company = 0;
    for (uint32_t i = 0; i < r->n_looked && i < PG_RESOLVE_RATE; i++)
        if (now_us(r) - r->looked_us[i] < MINUTE_US) {
            all++;
            company += r->by_company[i];
        }
    return all < PG_RESOLVE_AT_ONCE && (r->in.event != PG_RESOLVE_ON_COMPANY || company < PG_RESOLVE_COMPANY);
}

static uint64_t since_last_us(const struct pg_resolve *r)
{
    return r->n_looked ? now_us(r) - r->looked_us[(r->n_looked - 1) % PG_RESOLVE_RATE] : UINT64_MAX;
}

/* Until the one that is PG_RESOLVE_RATE before the next is a minute old. */
static uint64_t forbidden_us(const struct pg_resolve *r)
{
    uint64_t since = r->n_looked < PG_RESOLVE_RATE ? MINUTE_US : now_us(r) - r->looked_us[r->n_looked % PG_RESOLVE_RATE];
    return since < MINUTE_US ? MINUTE_US - since : 0;
}

bool pg_resolve_is_rested(const struct pg_resolve *r)
{
    return since_last_us(r) >= BREATH_US && has_share(r);
}

/* 0.25 s, 0.5 s, 1 s four times, then doubling. */
static uint64_t schedule_ms(uint32_t tries)
{
    if (tries < 2)
        return tries ? 500 : 250;
    return tries < 6 ? 1000 : tries < 12 ? (uint64_t)1000 << (tries - 5) : LAST_MS;
}

uint64_t pg_resolve_backoff_ms(const struct pg_resolve *r)
{
    enum pg_resolve_event event = (enum pg_resolve_event)r->in.event;
    bool hurried = event == PG_RESOLVE_ON_ORDERED || event == PG_RESOLVE_ON_COMPANY || event == PG_RESOLVE_ON_HURRY;
    uint64_t ms = schedule_ms(r->tries), forbidden = (forbidden_us(r) + 999) / 1000;
    ms = ms < LAST_MS ? ms : LAST_MS;
    if (hurried && has_share(r))
        ms = BREATH_US / 1000;
    else if (r->due_us)
        return r->due_us > now_us(r) ? (r->due_us - now_us(r) + 999) / 1000 : 1;
    ms = ms - ms / 10 + pg_node_random(r->node) % (ms / 5 + 1);
    return ms > forbidden ? ms : forbidden;
}

/* Behind the start of the timer. A rest that has been broken off for somebody who has told of himself is taken up again, as it was. */
void pg_resolve_do_backoff_grow(struct pg_resolve *r)
{
    if (r->tries < 12 && r->due_us == 0)
        r->tries++;
    r->due_us = r->timers[RETRY].at_us;
}

/* Candidates. */

static struct pg_candidate *find(struct pg_resolve *r, const struct pg_peer_id *id)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (pg_peer_id_equal(&r->candidates[i].peer.id, id))
            return &r->candidates[i];
    return NULL;
}

static bool allowed(const struct pg_resolve *r, const struct pg_peer_id *id)
{
    for (uint32_t i = 0; i < r->n_allowed; i++)
        if (pg_peer_id_equal(&r->allowed[i], id))
            return true;
    return r->n_allowed == 0 && !pg_peer_id_equal(id, pg_node_own(r->node));
}

/* A free place, else that of one of whom nobody speaks any more. */
static struct pg_candidate *place_for(struct pg_resolve *r, const struct pg_peer_id *id)
{
    struct pg_candidate *c = r->n < r->room ? &r->candidates[r->n++] : NULL;
    for (uint32_t i = 0; i < r->n && !c; i++)
        if (!r->candidates[i].heard && !r->candidates[i].visit && &r->candidates[i] != r->used)
            c = &r->candidates[i];
    if (c)
        *c = (struct pg_candidate){.resolve = r, .peer.id = *id};
    return c;
}

/* Connected ones first, the nearest of them; then those that have not failed; then by their ids, so that all agree. */
static bool better(const struct pg_resolve *r, const struct pg_candidate *a, const struct pg_candidate *b)
{
    struct pg_session *with_a = pg_node_session(r->node, &a->peer.id), *with_b = pg_node_session(r->node, &b->peer.id);
    if (a->failed != b->failed)
        return b->failed;
    if (!with_a != !with_b)
        return with_a != NULL;
    if (with_a) {
        struct pg_session_view x, y;
        pg_session_view(with_a, &x);
        pg_session_view(with_b, &y);
        if (x.rtt_us != y.rtt_us)
            return x.rtt_us && (!y.rtt_us || x.rtt_us < y.rtt_us); /* 0: not measured yet */
    }
    int order = memcmp(a->peer.id.at, b->peer.id.at, a->peer.id.len < b->peer.id.len ? a->peer.id.len : b->peer.id.len);
    return order ? order < 0 : a->peer.id.len < b->peer.id.len;
}

static struct pg_candidate *best(struct pg_resolve *r)
{
    struct pg_candidate *c = NULL;
    for (uint32_t i = 0; i < r->n; i++) {
        struct pg_candidate *at = &r->candidates[i];
        if (at->known && !at->dialled && (!c || better(r, at, c)))
            c = at;
    }
    return c;
}

static void new_round(struct pg_resolve *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        r->candidates[i].dialled = &r->candidates[i] == r->used;
        r->candidates[i].renewed = 0;
    }
}

static void end_visit(struct pg_candidate *c)
{
    if (c->visit)
        pg_visit_end(c->visit);
    c->visit = NULL;
}

bool pg_resolve_is_usable(const struct pg_resolve *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->candidates[i].known && !r->candidates[i].dialled)
            return true;
    return false;
}

bool pg_resolve_is_pending(const struct pg_resolve *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->candidates[i].visit)
            return true;
    return false;
}

bool pg_resolve_is_at_hand(const struct pg_resolve *r)
{
    return r->came && pg_node_session(r->node, &r->came->peer.id) != NULL;
}

bool pg_resolve_is_present(const struct pg_resolve *r)
{
    return is_named(r) && pg_node_session(r->node, &r->candidates[0].peer.id) != NULL;
}

/* Looking. */

static bool says_another_place(const struct pg_kad_contact *known, const struct pg_kad_contact *said)
{
    for (uint32_t i = 0; i < said->n_addrs; i++) {
        uint32_t same = 0;
        while (same < known->n_addrs && !pg_multiaddr_equal(&known->addrs[same], &said->addrs[i]))
            same++;
        if (same == known->n_addrs)
            return true;
    }
    return false;
}

static void add(struct pg_kad_contact *all, const struct pg_kad_contact *of, uint32_t i)
{
    const struct pg_kad_contact one = {.n_addrs = i < of->n_addrs, .addrs = {of->addrs[i]}};
    if (all->n_addrs < PG_KAD_ADDRS && says_another_place(all, &one))
        all->addrs[all->n_addrs++] = one.addrs[0];
}

/* What several say of one peer is taken by turns, so that nobody keeps out what the others say. */
static void join(struct pg_kad_contact *known, const struct pg_kad_contact *said)
{
    struct pg_kad_contact all = {.id = known->id};
    for (uint32_t i = 0; i < PG_KAD_ADDRS; i++) {
        add(&all, known, i);
        add(&all, said, i);
    }
    *known = all;
}

static void hear(struct pg_resolve *r, const struct pg_kad_contact *peer, bool told)
{
    struct pg_candidate *c = find(r, &peer->id);
    if (!c && !is_named(r) && allowed(r, &peer->id))
        c = place_for(r, &peer->id);
    if (!c || (told && (c == r->used || (c->refused && now_us(r) - c->refused_us < REFUSED_US))))
        return;
    if (!c->visit && c != r->used && c->dialled && (told || (c->renewed < RENEWALS && says_another_place(&c->peer, peer)))) {
        c->dialled = false; /* what has failed before says nothing about this */
        c->renewed++;
    }
    if (c->heard && !told)
        join(&c->peer, peer);
    else if (peer->n_addrs > 0 || c->peer.n_addrs == 0)
        c->peer = *peer;
    c->known = c->heard = true;
    c->refused = false;
    r->came = c;
    if (!c->dialled)
        pg_step(&r->in, PG_RESOLVE_ON_CANDIDATE_FOUND);
}

static void found(struct pg_kad_asker *asker, const struct pg_kad_contact *peer)
{
    hear((struct pg_resolve *)asker, peer, false);
}

static void done(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    struct pg_resolve *r = (struct pg_resolve *)asker;
    r->query = NULL;
    r->why = result->why;
    pg_step(&r->in, PG_RESOLVE_ON_LOOKUP_DONE);
}

static void forget_query(struct pg_resolve *r)
{
    if (r->query)
        pg_kad_forget(r->query);
    r->query = NULL;
}

static void tell_look(struct pg_resolve *r)
{
    if (r->told)
        pg_log_dht_lookup_again(logs(r), pg_resolve_wanted(r));
    else if (is_named(r))
        pg_log_dht_lookup_peer(logs(r), r->peer_text);
    else
        pg_log_dht_lookup_service(logs(r), r->name);
    r->told = true;
}

/* Newcomers have brought this look-up about, now or by drawing it nearer. */
static bool is_for_company(const struct pg_resolve *r)
{
    bool early = r->in.event == PG_RESOLVE_ON_RETRY_FIRED && now_us(r) < r->due_us;
    return r->in.event == PG_RESOLVE_ON_COMPANY || (early && !r->local);
}

void pg_resolve_do_lookup_begin(struct pg_resolve *r)
{
    uint8_t key[PG_KAD_SERVICE_KEY_MAX];
    struct pg_kad_question question = {.op = is_named(r) ? PG_KAD_FIND_PEER : PG_KAD_PROVIDERS};
    forget_query(r);
    new_round(r);
    for (uint32_t i = 0; i < r->n; i++)
        r->candidates[i].heard = false;
    r->by_company[r->n_looked % PG_RESOLVE_RATE] = is_for_company(r);
    r->local = false;
    r->looked_us[r->n_looked++ % PG_RESOLVE_RATE] = now_us(r);
    r->due_us = 0;
    if (r->n_looked >= 2 * PG_RESOLVE_RATE)
        r->n_looked -= PG_RESOLVE_RATE;
    pg_node_metrics(r->node)->value[PG_METRIC_LOOKUPS]++;
    tell_look(r);
    question.key = pg_bytes(r->candidates[0].peer.id.at, r->candidates[0].peer.id.len);
    if (!is_named(r)) {
        (void)pg_kad_service_key(r->name, key, &question.key.len);
        question.key.at = key;
        question.enough = PG_RESOLVE_CANDIDATES;
        question.each = PG_RESOLVE_CANDIDATES / 4;
        question.only = r->n_allowed > 0 ? r->allowed : NULL;
        question.n_only = r->n_allowed;
    }
    r->asker = (struct pg_kad_asker){.found = found, .more = found, .done = done};
    r->query = pg_kad_ask(r->node, &r->asker, &question);
    if (r->query)
        return;
    r->why = PG_ERR_LIMIT_REACHED;
    pg_post(&r->in, PG_RESOLVE_ON_LOOKUP_DONE);
}

/* Whoever has not been named by a look-up that was heard to its end offers the service no longer. */
static void drop_unheard(struct pg_resolve *r)
{
    for (uint32_t i = r->n; i-- > 0 && !is_named(r);) {
        struct pg_candidate *c = &r->candidates[i], *last = &r->candidates[r->n - 1];
        if (!c->heard && !c->visit && c != r->used && !last->visit && last != r->used) {
            *c = *last;
            r->n--;
        }
    }
}

/* Once for each set of claimants: FNV-1a over their ids, whatever their order. */
static void warn_of_claimants(struct pg_resolve *r)
{
    char text[PG_RESOLVE_CANDIDATES * (PG_PEER_ID_TEXT + 1)], id[PG_PEER_ID_TEXT];
    struct pg_line line;
    uint64_t all = 0;
    if (is_named(r) || r->n_allowed > 0 || r->n < 2)
        return;
    pg_line_init(&line, text, sizeof text);
    for (uint32_t i = 0; i < r->n; i++) {
        uint64_t one = 0xcbf29ce484222325u;
        for (uint32_t k = 0; k < r->candidates[i].peer.id.len; k++)
            one = (one ^ r->candidates[i].peer.id.at[k]) * 0x100000001b3u;
        all += one;
        pg_line_put(&line, i ? "," : "");
        pg_line_raw(&line, pg_bytes(id, pg_peer_id_text(&r->candidates[i].peer.id, id)));
    }
    if (all == r->claimed)
        return;
    r->claimed = all;
    pg_log_service_claimants(logs(r), r->name, pg_line_bytes(&line));
}

void pg_resolve_do_lookup_tell(struct pg_resolve *r)
{
    bool none = r->why == PG_ERR_NOT_FOUND || (r->why == PG_OK && !is_named(r) && r->n == 0);
    if (r->why == PG_OK || r->why == PG_ERR_NOT_FOUND)
        drop_unheard(r);
    warn_of_claimants(r);
    r->looked = r->why;
    r->user->looked(r->context);
    if ((r->why == PG_OK && !none) || r->used)
        return;
    if (!r->failing && is_named(r))
        pg_log_dht_peer_not_found(logs(r), r->peer_text, pg_text(pg_err_text(r->why)));
    else if (!r->failing && none)
        pg_log_dht_no_providers(logs(r), r->name);
    else if (!r->failing && r->n == 0)
        pg_log_dht_lookup_failed(logs(r), r->name, pg_text(pg_err_text(r->why)));
    r->failing = true;
}

/* Dialling. */

static void up(struct pg_visitor *visitor, struct pg_session *s)
{
    struct pg_candidate *c = (struct pg_candidate *)visitor;
    struct pg_resolve *r = c->resolve;
    (void)s;
    if (r->used == c)
        return; /* it has connected on its own meanwhile */
    r->came = c;
    pg_step(&r->in, PG_RESOLVE_ON_DIAL_UP);
}

static void failed(struct pg_visitor *visitor, enum pg_err why, struct pg_bytes reason)
{
    struct pg_candidate *c = (struct pg_candidate *)visitor;
    struct pg_resolve *r = c->resolve;
    end_visit(c);
    if (r->used == c)
        return;
    c->failed = true;
    r->why = why;
    pg_bytes_text(r->reason, sizeof r->reason, reason);
    pg_step(&r->in, PG_RESOLVE_ON_DIAL_FAILED);
}

static void tell_dial(struct pg_resolve *r, const struct pg_candidate *c)
{
    char id[PG_PEER_ID_TEXT];
    struct pg_bytes text = pg_bytes(id, pg_peer_id_text(&c->peer.id, id));
    bool connected = pg_node_session(r->node, &c->peer.id) != NULL;
    if (is_named(r))
        (connected ? pg_log_dht_peer_connected : pg_log_dht_dial_peer)(logs(r), text);
    else
        (connected ? pg_log_dht_provider_connected : pg_log_dht_provider_found)(logs(r), r->name, text);
}

void pg_resolve_do_dial_begin(struct pg_resolve *r)
{
    struct pg_candidate *c = best(r);
    if (!c)
        return;
    c->dialled = true;
    tell_dial(r, c);
    c->visitor = (struct pg_visitor){.up = up, .failed = failed};
    c->visit = pg_node_visit(r->node, &c->visitor, &c->peer);
    if (c->visit)
        return;
    r->why = PG_ERR_LIMIT_REACHED;
    pg_bytes_text(r->reason, sizeof r->reason, pg_text(pg_err_text(r->why)));
    pg_post(&r->in, PG_RESOLVE_ON_DIAL_FAILED);
}

void pg_resolve_do_rivals_drop(struct pg_resolve *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (&r->candidates[i] != r->came)
            end_visit(&r->candidates[i]);
}

void pg_resolve_do_failure_tell(struct pg_resolve *r)
{
    if (!r->failing && is_named(r))
        pg_log_dht_peer_dial_failed(logs(r), r->peer_text, pg_text(r->reason));
    else if (!r->failing)
        pg_log_service_unreachable(logs(r), r->name, r->n, pg_text(r->reason));
    r->failing = true;
}

/* Using. */

void pg_resolve_do_provider_take(struct pg_resolve *r)
{
    struct pg_candidate *c = is_named(r) ? &r->candidates[0] : r->came;
    char id[PG_PEER_ID_TEXT];
    r->used = c;
    c->known = c->dialled = true;
    c->failed = false;
    new_round(r);
    r->tries = 0;
    r->due_us = 0;
    r->told = r->failing = false;
    if (!is_named(r) && !c->visit) { /* it has come by itself, and stays for as long as it is used */
        c->visitor = (struct pg_visitor){.up = up, .failed = failed};
        c->visit = pg_node_visit(r->node, &c->visitor, &c->peer);
    }
    if (!is_named(r))
        pg_log_service_provider(logs(r), r->name, pg_bytes(id, pg_peer_id_text(&c->peer.id, id)));
}

void pg_resolve_do_clients_recall(struct pg_resolve *r)
{
    r->user->recalled(r->context, &r->used->peer.id);
}

void pg_resolve_do_provider_leave(struct pg_resolve *r)
{
    end_visit(r->used);
    r->used->failed = true;
    r->used->refused_us = now_us(r);
    r->used->refused = pg_node_session(r->node, &r->used->peer.id) != NULL;
    r->used = NULL;
}

void pg_resolve_do_clients_wake(struct pg_resolve *r)
{
    struct pg_session *s = pg_node_session(r->node, &r->used->peer.id);
    if (s)
        r->user->connected(r->context, s);
}

void pg_resolve_do_all_drop(struct pg_resolve *r)
{
    forget_query(r);
    for (uint32_t i = 0; i < r->n; i++)
        end_visit(&r->candidates[i]);
    r->used = NULL;
}

const struct pg_peer_id *pg_resolve_used(const struct pg_resolve *r)
{
    return r->used ? &r->used->peer.id : NULL;
}

/* From outside. */

void pg_resolve_begin(struct pg_resolve *r, struct pg_node *n, const struct pg_resolve_config *c, const struct pg_resolve_user *user,
                      void *context, uint32_t key)
{
    *r = (struct pg_resolve){.node = n, .user = user, .context = context, .name = c->name, .peer_text = c->peer_text,
                             .allowed = c->allowed, .n_allowed = c->n_allowed, .candidates = c->candidates, .room = c->room};
    if (is_named(r))
        (void)place_for(r, &c->peer);
    pg_instance_init(&r->in, &pg_resolve_machine, &pg_resolve_binding, r, pg_node_scope(n), r->timers, NULL, key);
    pg_step(&r->in, PG_RESOLVE_ON_WANTED);
    if (pg_node_participates(n))
        pg_resolve_look(r);
}

void pg_resolve_end(struct pg_resolve *r)
{
    if (!r->in.machine)
        return;
    pg_step(&r->in, PG_RESOLVE_ON_UNWANTED);
    pg_instance_end(&r->in);
    r->in.machine = NULL;
}

struct pg_bytes pg_resolve_wanted(const struct pg_resolve *r)
{
    return is_named(r) ? r->peer_text : r->name;
}

void pg_resolve_look(struct pg_resolve *r)
{
    r->local = true;
    pg_step(&r->in, PG_RESOLVE_ON_ORDERED);
}

void pg_resolve_hurry(struct pg_resolve *r)
{
    r->local = true;
    if (r->in.machine)
        pg_post(&r->in, PG_RESOLVE_ON_HURRY); /* whoever waits may have been woken by this very machine */
}

void pg_resolve_company(struct pg_resolve *r)
{
    pg_post(&r->in, PG_RESOLVE_ON_COMPANY);
}

void pg_resolve_told(struct pg_resolve *r, const struct pg_kad_contact *peer)
{
    if (r->in.machine)
        hear(r, peer, true);
}

void pg_resolve_peer_up(struct pg_resolve *r, struct pg_session *s)
{
    struct pg_candidate *c = find(r, pg_session_peer(s));
    if (!c || c == r->used || c->refused) /* whoever has room again is told of here, too */
        return;
    r->came = c;
    pg_step(&r->in, PG_RESOLVE_ON_PROVIDER_UP);
}

void pg_resolve_peer_lost(struct pg_resolve *r, const struct pg_peer_id *peer)
{
    if (r->used && pg_peer_id_equal(&r->used->peer.id, peer))
        pg_step(&r->in, PG_RESOLVE_ON_PROVIDER_LOST);
}

void pg_resolve_peer_silent(struct pg_resolve *r, const struct pg_peer_id *peer)
{
    if (r->used && pg_peer_id_equal(&r->used->peer.id, peer))
        pg_step(&r->in, PG_RESOLVE_ON_PROVIDER_SILENT);
}

void pg_resolve_refused(struct pg_resolve *r)
{
    if (r->in.machine && !is_named(r))
        pg_post(&r->in, PG_RESOLVE_ON_PROVIDER_REFUSED);
}
