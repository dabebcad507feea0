/* Facts and actions of kad_query: whom to ask next, when it is enough, who gets a record. Called by kad.c; answers come through
 * kad_answer.c. Source: libp2p/specs kad-dht/README.md, "DHT Operations". */
#include "core/node_internal.h"

#include "mem/heap.h"

#include <stddef.h>

static struct pg_kad *kad(const struct pg_kad_query *q)
{
    return &q->node->kad;
}

static bool telling(const struct pg_kad_query *q)
{
    return q->in.ctl.state == PG_KAD_QUERY_TELLING;
}

/* Whether a connection to it is there, or one more may be dialled now. */
static bool reachable(const struct pg_kad_query *q, uint32_t walker)
{
    struct pg_node *n = q->node;
    if (pg_node_session(n, &pg_kad_frontier_walker(&q->frontier, walker)->id))
        return true;
    return kad(q)->n_visits < PG_KAD_VISITS && n->scope.now_us >= q->pause_until_us && pg_budget_may_visit(&n->budget, n->scope.now_us);
}

/* The next to be asked or told; PG_KAD_NOBODY: none is left, or as many are asked as may be at a time. */
static uint32_t next_walker(const struct pg_kad_query *q)
{
    if (telling(q))
        return q->next_recipient < q->n_recipients ? q->recipients[q->next_recipient] : PG_KAD_NOBODY;
    return q->frontier.n_asked < pg_node_limit(q->node, PG_LIMIT_KAD_PARALLELISM) ? pg_kad_frontier_next(&q->frontier) : PG_KAD_NOBODY;
}

/* Whether the peer that is looked for is connected: what others say of its place may be old, or a lie, so one is not enough. */
static bool is_met(const struct pg_kad_query *q)
{
    struct pg_peer_id wanted;
    return pg_peer_id_read(&wanted, pg_bytes(q->key, q->key_len)) == PG_OK && pg_node_session(q->node, &wanted);
}

/* What was wanted has come, however far the walk is. */
static bool enough(const struct pg_kad_query *q)
{
    switch (q->op) {
    case PG_KAD_FIND_PEER: return q->n_found > 0 && is_met(q);
    case PG_KAD_PROVIDERS: return q->enough > 0 && q->n_found >= q->enough;
    case PG_KAD_GET_VALUE: return q->enough > 0 && q->n_equal >= q->enough;
    case PG_KAD_CLOSEST:
    case PG_KAD_PUT_VALUE:
    case PG_KAD_PROVIDE: break;
    }
    return false;
}

bool pg_kad_query_is_known(const struct pg_kad_query *q)
{
    return q->frontier.n > 0;
}

bool pg_kad_query_is_over(const struct pg_kad_query *q)
{
    if (telling(q))
        return q->next_recipient == q->n_recipients && q->n_out == 0;
    return enough(q) || (q->frontier.n > 0 && pg_kad_frontier_next(&q->frontier) == PG_KAD_NOBODY && !pg_kad_frontier_pending(&q->frontier));
}

bool pg_kad_query_is_more(const struct pg_kad_query *q)
{
    uint32_t walker = next_walker(q);
    return walker != PG_KAD_NOBODY && kad(q)->requests.used < PG_KAD_REQUESTS && reachable(q, walker);
}

bool pg_kad_query_is_pending(const struct pg_kad_query *q)
{
    if (telling(q))
        return q->n_out > 0;
    return pg_kad_frontier_pending(&q->frontier) || q->frontier.n_asked >= pg_node_limit(q->node, PG_LIMIT_KAD_PARALLELISM);
}

/* Who gets a record: the nearest that have answered. Of those whom we have asked for a value, the ones that had another one or
 * none, when the best is not what a single one says: else whoever lies would have us spread it. */
static uint32_t choose(const struct pg_kad_query *q, uint16_t out[PG_KAD_RECIPIENTS])
{
    uint16_t nearest[PG_KAD_RECIPIENTS];
    uint32_t n = 0;
    if (q->op != PG_KAD_PUT_VALUE && q->op != PG_KAD_PROVIDE && (q->op != PG_KAD_GET_VALUE || q->n_equal < 2))
        return 0;
    uint32_t count = pg_kad_frontier_nearest(&q->frontier, PG_KAD_K, nearest);
    for (uint32_t i = 0; i < count; i++)
        if (q->op != PG_KAD_GET_VALUE || q->said[nearest[i]] != q->best)
            out[n++] = nearest[i];
    return n;
}

bool pg_kad_query_is_recipients(const struct pg_kad_query *q)
{
    uint16_t unused[PG_KAD_RECIPIENTS];
    return choose(q, unused) > 0;
}

uint64_t pg_kad_query_patience_ms(const struct pg_kad_query *q)
{
    return q->timeout_ms ? q->timeout_ms : pg_node_limit(q->node, PG_LIMIT_KAD_QUERY);
}

void pg_kad_query_do_peers_ask(struct pg_kad_query *q)
{
    while (pg_kad_query_is_more(q)) {
        uint32_t walker = next_walker(q);
        if (telling(q))
            q->next_recipient++;
        else
            pg_kad_frontier_mark(&q->frontier, walker, PG_KAD_ASKED);
        if (!pg_kad_request_new(q, walker, telling(q)))
            return; /* there was room when the fact was asked */
    }
    kad(q)->crowded |= kad(q)->requests.used == PG_KAD_REQUESTS;
    if (q->frontier.crowding >= PG_KAD_K && !q->alarmed) {
        char key[2 * sizeof q->frontier.target.at + 1];
        q->alarmed = true;
        pg_log_kad_crowded(q->node->log, pg_kad_key_text(&q->frontier.target, key), q->frontier.crowding);
    }
}

void pg_kad_query_do_rest_drop(struct pg_kad_query *q)
{
    while (q->requests)
        pg_kad_request_drop(q->requests);
}

void pg_kad_query_do_recipients_choose(struct pg_kad_query *q)
{
    q->n_recipients = choose(q, q->recipients);
    q->next_recipient = 0;
}

static enum pg_err outcome(const struct pg_kad_query *q)
{
    bool late = q->in.ctl.state == PG_KAD_QUERY_GIVEN_UP;
    bool good = false;
    switch (q->op) {
    case PG_KAD_CLOSEST: good = q->frontier.n_answered > 0; break;
    case PG_KAD_FIND_PEER:
    case PG_KAD_PROVIDERS: good = q->n_found > 0; break;
    case PG_KAD_GET_VALUE: good = q->value.len > 0; break;
    case PG_KAD_PUT_VALUE:
    case PG_KAD_PROVIDE: good = q->n_took > 0; break;
    }
    if (good)
        return PG_OK;
    if (q->frontier.n == 0)
        return PG_ERR_NO_PEERS;
    if (late)
        return PG_ERR_TIMEOUT;
    if (q->frontier.n_answered == 0 || q->op == PG_KAD_PROVIDE) /* nobody says whether he has taken an announcement */
        return PG_ERR_UNREACHABLE;
    return q->op == PG_KAD_PUT_VALUE ? PG_ERR_KAD_NOT_TAKEN : PG_ERR_NOT_FOUND;
}

void pg_kad_query_do_result_keep(struct pg_kad_query *q)
{
    q->finished = true;
}

/* The nearest as contacts, in the turn's memory; none when that is used up. */
static void show_closest(struct pg_kad_query *q, struct pg_kad_result *r)
{
    uint16_t nearest[PG_KAD_RECIPIENTS];
    uint32_t n = pg_kad_frontier_nearest(&q->frontier, PG_KAD_K, nearest);
    n = n < PG_KAD_K ? n : PG_KAD_K;
    struct pg_kad_contact *closest = pg_node_scratch(q->node, n * sizeof *closest);
    for (uint32_t i = 0; closest && i < n; i++)
        pg_kad_frontier_contact(&q->frontier, nearest[i], &closest[i]);
    r->closest = closest;
    r->n_closest = closest ? n : 0;
}

static void tell(struct pg_kad_query *q)
{
    struct pg_kad_asker *asker = q->asker;
    bool stores = q->op == PG_KAD_PUT_VALUE || q->op == PG_KAD_PROVIDE;
    struct pg_kad_result r = {.why = outcome(q), .messages = q->messages, .n_found = q->n_found, .value = q->value,
                              .n_peers = stores ? q->n_took : q->frontier.n_answered,
                              .hops = q->hops ? q->hops : pg_kad_frontier_hops(&q->frontier)};
    char key[2 * sizeof q->frontier.target.at + 1];
    pg_log_kad_query_ended(q->node->log, pg_text(pg_kad_op_name(q->op)), pg_kad_key_text(&q->frontier.target, key),
                           pg_text(r.why ? pg_err_text(r.why) : "ok"), r.n_peers, r.hops, r.messages);
    q->node->metrics.value[r.why ? PG_METRIC_KAD_QUERIES_FAILED : PG_METRIC_KAD_QUERIES_DONE]++;
    if (q->op == PG_KAD_CLOSEST)
        show_closest(q, &r);
    q->asker = NULL;
    if (asker)
        asker->done(asker, &r);
}

/* Life. */

struct pg_kad_query *pg_kad_query_new(struct pg_node *n, struct pg_kad_asker *asker, const struct pg_kad_question *question, bool own)
{
    struct pg_kad *k = &n->kad;
    struct pg_kad_key target;
    if (question->key.len > PG_KAD_KEY_MAX || question->value.len > PG_KAD_VALUE_MAX || n->stopping || !k->on)
        return NULL;
    if (!own && k->n_queries >= pg_node_limit(n, PG_LIMIT_KAD_QUERIES)) {
        pg_node_refuse(n, PG_LIMIT_KAD_QUERIES, NULL, pg_text(pg_kad_op_name(question->op)));
        return NULL;
    }
    struct pg_kad_query *q = pg_pool_take(&k->queries);
    if (!q)
        return NULL;
    memset(q, 0, offsetof(struct pg_kad_query, frontier));
    uint8_t *value = question->value.len ? pg_heap_take(question->value.len) : NULL;
    if (question->value.len && !value) {
        pg_pool_give(&k->queries, q);
        return NULL;
    }
    if (value)
        memcpy(value, question->value.at, question->value.len);
    q->value = pg_bytes(value, question->value.len);
    q->asker = asker;
    q->node = n;
    q->op = question->op;
    q->enough = question->enough;
    q->each = question->each;
    q->only = question->only;
    q->n_only = question->n_only;
    q->timeout_ms = question->timeout_ms;
    q->own = own;
    q->key_len = (uint16_t)question->key.len;
    memcpy(q->key, question->key.at, question->key.len);
    pg_kad_key_of(&target, question->key);
    pg_kad_frontier_init(&q->frontier, &target, PG_KAD_K, pg_kad_network(n));
    pg_instance_init(&q->in, &pg_kad_query_machine, &pg_kad_query_binding, q, &n->scope, q->timers, NULL, ++k->number);
    q->next = k->first;
    k->first = q;
    k->n_queries += !own;
    pg_kad_table_asked(&k->table, &target, n->scope.now_us);
    pg_step(&q->in, PG_KAD_QUERY_ON_START);
    return q;
}

void pg_kad_query_wake(struct pg_kad_query *q)
{
    struct pg_kad_contact *seeds;
    if (q->forgotten || q->finished)
        return;
    if (!q->seeded && pg_kad_known(q->node) > 0 && (seeds = pg_heap_take(PG_KAD_K * sizeof *seeds))) {
        q->seeded = true;
        pg_kad_frontier_seed(&q->frontier, seeds, pg_kad_table_nearest(&kad(q)->table, &q->frontier.target, PG_KAD_K, seeds));
        pg_heap_give(seeds);
    }
    pg_step(&q->in, PG_KAD_QUERY_ON_WAKE);
}

void pg_kad_query_settle(struct pg_kad_query *q)
{
    if (q->finished && !q->forgotten)
        tell(q);
    else
        pg_step(&q->in, PG_KAD_QUERY_ON_STOP);
    q->ended = true;
}

void pg_kad_query_free(struct pg_kad_query *q)
{
    struct pg_kad *k = kad(q);
    struct pg_kad_query **at = &k->first;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    k->n_queries -= !q->own;
    pg_instance_end(&q->in);
    if (q->best == 0)
        pg_heap_give((void *)(uintptr_t)q->value.at);
    for (uint32_t i = 0; i < PG_KAD_CANDIDATES; i++)
        pg_heap_give((void *)(uintptr_t)q->candidates[i].value.at);
    pg_pool_give(&k->queries, q);
}
