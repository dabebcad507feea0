/* The engine of Kademlia: who asks, what is known of servers, and what is done at the end of each turn.
 * Called by node.c, identify.c, session.c and src/service. Serves libp2p/specs kad-dht/README.md. */
#include "core/node_internal.h"

#include "mem/heap.h"
#include "protocols.gen.h"

enum { ROUNDS_MOST = 64 };

bool pg_kad_init(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    uint32_t queries = (uint32_t)pg_node_limit(n, PG_LIMIT_KAD_QUERIES) + PG_KAD_OWN_QUERIES;
    k->due_end = &k->due;
    pg_kad_ask_init(k->ask, n->config.kad_protocol, PG_LIT(PG_PROTOCOL_KAD_PUBLIC));
    pg_kad_refresh_init(n);
    k->on = pg_kad_table_init(&k->table, pg_identity_peer_id(n->config.identity), PG_FIXED_KAD_SERVERS) &&
            pg_kad_store_init(&k->store, pg_identity_peer_id(n->config.identity), &n->config.limits, n->config.hash_seed + 3) &&
            pg_pool_init(&k->queries, sizeof(struct pg_kad_query), queries, 1) &&
            pg_pool_init(&k->requests, sizeof(struct pg_kad_request), PG_KAD_REQUESTS, 4) &&
            pg_pool_init(&k->visits, sizeof(struct pg_visit), PG_KAD_VISITS, 8);
    return k->on;
}

void pg_kad_end(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    k->on = false;
    while (k->first) {
        k->first->forgotten = true;
        pg_kad_query_settle(k->first);
        pg_kad_query_free(k->first);
    }
    pg_kad_requests_reap(n);
}

void pg_kad_free(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    pg_kad_table_free(&k->table);
    pg_kad_store_free(&k->store);
    pg_pool_free(&k->queries);
    pg_pool_free(&k->requests);
    pg_pool_free(&k->visits);
}

/* Questions. */

const char *pg_kad_op_name(enum pg_kad_op op)
{
    static const char *const names[] = {[PG_KAD_CLOSEST] = "closest",     [PG_KAD_FIND_PEER] = "find", [PG_KAD_GET_VALUE] = "get",
                                        [PG_KAD_PUT_VALUE] = "put",       [PG_KAD_PROVIDE] = "provide",
                                        [PG_KAD_PROVIDERS] = "providers"};
    return names[op];
}

struct pg_bytes pg_kad_key_text(const struct pg_kad_key *key, char out[2 * sizeof(struct pg_kad_key) + 1])
{
    size_t len = pg_bytes_hex(pg_bytes(key->at, sizeof key->at), out);
    out[len] = 0;
    return pg_bytes(out, len);
}

/* What we tell others we answer for ourselves as well. */
static bool store_here(struct pg_node *n, const struct pg_kad_question *question)
{
    const struct pg_peer_id *own = pg_identity_peer_id(n->config.identity);
    struct pg_kad_contact self = {.id = *own};
    struct pg_kad_value value = {.key = question->key, .value = question->value, .publisher = pg_bytes(own->at, own->len)};
    if (question->op == PG_KAD_PROVIDE)
        return pg_kad_store_provide(&n->kad.store, question->key, &self, 0, n->scope.now_us) == PG_OK;
    return question->op != PG_KAD_PUT_VALUE || pg_kad_store_put(&n->kad.store, &value, own, n->scope.now_us) == PG_OK;
}

struct pg_kad_query *pg_kad_ask(struct pg_node *n, struct pg_kad_asker *asker, const struct pg_kad_question *question)
{
    struct pg_kad_query *q = pg_kad_query_new(n, asker, question, false);
    if (q && !store_here(n, question)) { /* in this order: of a question that cannot be asked nothing stays */
        pg_kad_forget(q);
        return NULL;
    }
    if (q)
        pg_kad_due(n);
    return q;
}

void pg_kad_forget(struct pg_kad_query *q)
{
    q->forgotten = true;
    q->asker = NULL;
    pg_kad_due(q->node);
}

void pg_kad_withdraw(struct pg_node *n, struct pg_bytes key)
{
    if (n->kad.on)
        pg_kad_store_withdraw(&n->kad.store, key);
}

uint32_t pg_kad_known(const struct pg_node *n)
{
    return n->kad.table.n;
}

void pg_kad_view(struct pg_node *n, struct pg_kad_view *v)
{
    const struct pg_kad_table *t = &n->kad.table;
    struct pg_kad_store *s = &n->kad.store;
    pg_kad_store_expire(s, n->scope.now_us);
    *v = (struct pg_kad_view){.mode = pg_kad_serving_everybody(n) ? "server" : "client", .servers = t->n, .waiting = t->n_spares,
                              .values = s->n_values, .providers = s->n_providers, .own = s->n_own, .queries = n->kad.queries.used,
                              .streams = pg_kad_serving_streams(&n->kad_serving)};
}

uint32_t pg_kad_neighbourhood(const struct pg_node *n, struct pg_kad_contact out[PG_KAD_K])
{
    const struct pg_kad_table *t = &n->kad.table;
    const struct pg_kad_server *nearest[PG_KAD_K];
    uint32_t count = pg_kad_table_nearest_servers(t, &t->own, PG_KAD_K, nearest);
    for (uint32_t i = 0; i < count; i++)
        pg_kad_table_contact(t, nearest[i], &out[i]);
    return count;
}

/* What is known. */

static void wake_all(struct pg_node *n)
{
    for (struct pg_kad_query *q = n->kad.first; q; q = q->next)
        pg_kad_query_wake(q);
}

void pg_kad_heard(struct pg_node *n, const struct pg_kad_contact *server, const struct pg_endpoint *from)
{
    if (pg_kad_table_heard(&n->kad.table, server, from, n->scope.now_us) != PG_KAD_HEARD_NEW)
        return;
    n->kad.woken = true;
    if (n->hooks.company)
        n->hooks.company(n->hooks.context);
    pg_kad_refresh_heard(n);
    pg_kad_due(n);
}

/* Among n keys that lie anywhere, the i-th nearest to ours is about i / n of the way round: the best n for those that we know, as
 * go-libp2p-kad-dht's netsize takes it. Before we have looked around, what we know is anything but our neighbourhood. */
uint32_t pg_kad_network(const struct pg_node *n)
{
    const struct pg_kad_server *nearest[PG_KAD_K];
    uint32_t count = pg_kad_table_nearest_servers(&n->kad.table, &n->kad.table.own, PG_KAD_K, nearest);
    double squares = 0, ways = 0;
    if (count < PG_KAD_K || !n->kad.refresh.joined)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        double way = 0, weight = 1;
        for (unsigned byte = 0; byte < 8; byte++)
            way += (nearest[i]->key.at[byte] ^ n->kad.table.own.at[byte]) * (weight /= 256);
        squares += (double)(i + 1) * (i + 1);
        ways += (i + 1) * way;
    }
    double guess = ways > 0 ? squares / ways : 0;
    return guess < 1e9 ? (uint32_t)guess : 1000000000u;
}

void pg_kad_unheard(struct pg_node *n, const struct pg_peer_id *peer)
{
    pg_kad_table_gone(&n->kad.table, peer);
}

static void add(struct pg_kad_contact *c, const struct pg_multiaddr *addr)
{
    struct pg_multiaddr bare = *addr;
    pg_multiaddr_strip_p2p(&bare);
    for (uint32_t i = 0; i < c->n_addrs; i++)
        if (pg_multiaddr_equal(&c->addrs[i], &bare))
            return;
    if (bare.len && c->n_addrs < PG_KAD_ADDRS)
        c->addrs[c->n_addrs++] = bare;
}

/* What we know ourselves: said by the peer, else where it was reached. */
static void known_of(struct pg_node *n, struct pg_kad_contact *known)
{
    known->n_addrs = pg_address_book_find(&n->addresses, &known->id, n->scope.now_us, known->addrs);
    if (known->n_addrs == 0)
        (void)pg_kad_table_find(&n->kad.table, &known->id, known);
    struct pg_session *s = known->n_addrs == 0 ? pg_node_session(n, &known->id) : NULL;
    if (s && s->conn->dialer)
        add(known, &s->dialled);
}

void pg_kad_where(struct pg_node *n, struct pg_kad_contact *peer)
{
    struct pg_kad_contact known = {.id = peer->id}, said = *peer;
    known_of(n, &known);
    peer->n_addrs = 0;
    for (uint32_t i = 0; i < known.n_addrs && i < PG_KAD_ADDRS / 2; i++)
        add(peer, &known.addrs[i]);
    for (uint32_t i = 0; i < said.n_addrs; i++)
        add(peer, &said.addrs[i]);
    for (uint32_t i = PG_KAD_ADDRS / 2; i < known.n_addrs; i++)
        add(peer, &known.addrs[i]);
}

/* A command with the key of a peer that runs serves nobody, and that peer does all the same. */
static bool serves_elsewhere(const struct pg_session *s)
{
    for (const struct pg_session *o = s->place ? s->place->first : NULL; o; o = o->next_same)
        if (o != s && o->kad_ids)
            return true;
    return false;
}

void pg_kad_identified(struct pg_session *s, const struct pg_bytes *protocols, uint32_t n_protocols, const struct pg_multiaddr *addrs,
                       uint32_t n_addrs)
{
    struct pg_node *n = s->node;
    struct pg_kad_contact server = {.id = s->conn->peer};
    if (n_protocols == 0)
        return; /* a push may be about something else */
    s->kad_asked = true;
    s->kad_ids = 0;
    for (uint32_t i = 0; i < n_protocols; i++)
        for (unsigned id = 0; id < PG_KAD_IDS; id++)
            if (pg_bytes_equal(protocols[i], n->kad.ask[id].protocol))
                s->kad_ids |= (uint8_t)(1u << id);
    for (uint32_t i = 0; i < n_addrs && server.n_addrs < PG_KAD_ADDRS; i++)
        add(&server, &addrs[i]);
    if (s->conn->dialer && s->dialled.len)
        add(&server, &s->dialled);
    if (s->kad_ids) {
        pg_kad_heard(n, &server, &s->conn->remote);
        return;
    }
    if (!serves_elsewhere(s))
        pg_kad_unheard(n, &s->conn->peer);
    if (n->hooks.unserved)
        n->hooks.unserved(n->hooks.context, s);
}

/* The end of a turn. */

void pg_kad_due(struct pg_node *n)
{
    n->kad.turn_due = true;
}

static void find_here(struct pg_kad_query *q)
{
    struct pg_kad_contact peer = {.n_addrs = 0};
    if (pg_peer_id_read(&peer.id, pg_bytes(q->key, q->key_len)) != PG_OK)
        return;
    pg_kad_where(q->node, &peer);
    if (peer.n_addrs > 0 || pg_node_session(q->node, &peer.id))
        (void)pg_kad_query_find(q, &peer);
}

static void providers_here(struct pg_kad_query *q)
{
    struct pg_node *n = q->node;
    const struct pg_kad_record *records[PG_KAD_FOUND];
    struct pg_kad_contact peer, *all = pg_heap_take(PG_KAD_FOUND * sizeof peer);
    uint32_t count = all ? pg_kad_store_providers(&n->kad.store, pg_bytes(q->key, q->key_len), n->scope.now_us, PG_KAD_FOUND, records) : 0;
    for (uint32_t i = 0; i < count; i++)
        pg_kad_store_contact(&n->kad.store, records[i], &all[i]);
    for (uint32_t i = 0, found = 0; i < count && (q->each == 0 || found < q->each); i++) { /* who is told may change the store */
        peer = all[i];
        pg_kad_where(n, &peer);
        found += pg_kad_query_find(q, &peer);
    }
    pg_heap_give(all);
}

/* What the question can be answered with here: records of our own store, a peer that we know. */
static void answer_here(struct pg_kad_query *q)
{
    switch (q->op) {
    case PG_KAD_FIND_PEER: find_here(q); return;
    case PG_KAD_PROVIDERS: providers_here(q); return;
    case PG_KAD_GET_VALUE: pg_kad_query_value_here(q); return;
    case PG_KAD_CLOSEST:
    case PG_KAD_PUT_VALUE:
    case PG_KAD_PROVIDE: return;
    }
}

static void settle_queries(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    for (struct pg_kad_query *q = k->first, *next; q; q = next) {
        if (!q->begun && !q->forgotten) {
            q->begun = true;
            answer_here(q);
            pg_kad_query_wake(q);
        }
        next = q->next; /* `done` may ask anew, which comes first in the list */
        if (q->finished || q->forgotten) {
            pg_kad_query_settle(q);
            pg_kad_query_free(q);
        }
    }
}

void pg_kad_settle(struct pg_node *n)
{
    struct pg_kad *k = &n->kad;
    for (unsigned round = 0; round < ROUNDS_MOST && k->on; round++) {
        bool any = pg_visits_settle(n) || k->turn_due;
        k->turn_due = false;
        if (k->woken || (k->crowded && k->requests.used < PG_KAD_REQUESTS)) {
            k->woken = k->crowded = false;
            wake_all(n);
        }
        settle_queries(n);
        pg_kad_refresh_settle(n);
        pg_kad_requests_reap(n);
        if (!any && !k->turn_due && !k->due)
            return;
    }
}
