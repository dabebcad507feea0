/* Counts, rates and refusals; see budget.h. Places are found by a keyed hash, because peers choose where they come from.
 * Called by session.c, contact.c and node.c. Serves docs/ARCHITECTURE.md, "Limits". */
#include "core/budget.h"

#include "mem/heap.h"

#include <assert.h>

enum { SPARE_PLACES = 1024, SECOND_US = 1000000 };
enum kind { ADDRESS, PREFIX, PEER, RELAY };

/* Places. */

static struct pg_place **bucket(struct pg_budget *b, const uint8_t *key)
{
    return &b->buckets[pg_keyed_hash(&b->hash, key, PG_PLACE_KEY) & (b->n_buckets - 1)];
}

static void unlist_idle(struct pg_budget *b, struct pg_place *p)
{
    if (!p->previous_idle)
        return;
    *p->previous_idle = p->next_idle;
    if (p->next_idle)
        p->next_idle->previous_idle = p->previous_idle;
    else
        b->idle_end = p->previous_idle;
    p->previous_idle = NULL;
}

static void list_idle(struct pg_budget *b, struct pg_place *p)
{
    p->next_idle = NULL;
    p->previous_idle = b->idle_end;
    *b->idle_end = p;
    b->idle_end = &p->next_idle;
}

static void forget(struct pg_budget *b, struct pg_place *p)
{
    struct pg_place **at = bucket(b, p->key);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    unlist_idle(b, p);
    pg_pool_give(&b->places, p);
}

static struct pg_place *find(struct pg_budget *b, const uint8_t *key, bool make)
{
    struct pg_place **head = bucket(b, key);
    for (struct pg_place *p = *head; p; p = p->next)
        if (memcmp(p->key, key, sizeof p->key) == 0)
            return p;
    if (!make)
        return NULL;
    struct pg_place *p = pg_pool_take_zero(&b->places);
    if (!p && b->idle) {
        forget(b, b->idle); /* its rate begins anew: a peer with that many addresses is bounded by the prefix and in all */
        p = pg_pool_take_zero(&b->places);
    }
    if (!p)
        return NULL;
    memcpy(p->key, key, sizeof p->key);
    p->next = *head;
    *head = p;
    list_idle(b, p);
    return p;
}

/* An IPv6 host has a whole /64 to itself, and its owner often a /48; IPv4 is given out by the address. */
static void place_key(uint8_t key[PG_PLACE_KEY], enum kind kind, const struct pg_endpoint *from)
{
    size_t n = from->family == 4 ? (kind == ADDRESS ? 4 : 3) : (kind == ADDRESS ? 8 : 6);
    memset(key, 0, PG_PLACE_KEY);
    key[0] = (uint8_t)kind;
    key[1] = from->family;
    memcpy(key + 4, from->ip, n);
}

static void count(struct pg_budget *b, struct pg_place *p, int conns, int pending)
{
    if (!p)
        return;
    p->conns += (uint32_t)conns;
    p->pending += (uint32_t)pending;
    if (p->conns > 0 || p->held > 0)
        unlist_idle(b, p);
    else if (!p->previous_idle)
        list_idle(b, p);
}

/* Incoming connections. */

static uint64_t most(const struct pg_budget *b, enum pg_limit limit)
{
    return b->limits.value[limit];
}

static enum pg_limit forbidden_there(struct pg_budget *b, const struct pg_endpoint *from, uint64_t now_us, struct pg_seat *seat)
{
    uint8_t key[PG_PLACE_KEY];
    place_key(key, ADDRESS, from);
    struct pg_place *address = seat->address = find(b, key, true);
    if (!address || !pg_rate_take(&address->accepts, now_us, most(b, PG_LIMIT_ACCEPT_RATE), 2 * most(b, PG_LIMIT_ACCEPT_RATE)))
        return PG_LIMIT_ACCEPT_RATE;
    if (address->conns >= most(b, PG_LIMIT_CONNS_ADDRESS))
        return PG_LIMIT_CONNS_ADDRESS;
    if (address->pending >= most(b, PG_LIMIT_PENDING_ADDRESS))
        return PG_LIMIT_PENDING_ADDRESS;
    unlist_idle(b, address); /* making the other must not take this one */
    place_key(key, PREFIX, from);
    struct pg_place *prefix = seat->prefix = find(b, key, true);
    count(b, address, 0, 0);
    if (!prefix || prefix->conns >= most(b, PG_LIMIT_CONNS_PREFIX))
        return PG_LIMIT_CONNS_PREFIX;
    return prefix->pending >= most(b, PG_LIMIT_PENDING_PREFIX) ? PG_LIMIT_PENDING_PREFIX : PG_LIMITS;
}

static void id_key(uint8_t key[PG_PLACE_KEY], enum kind kind, const struct pg_peer_id *peer)
{
    _Static_assert(PG_PEER_ID_MAX + 2 <= PG_PLACE_KEY, "a peer id fits into a key");
    memset(key, 0, PG_PLACE_KEY);
    key[0] = (uint8_t)kind;
    key[1] = peer->len;
    memcpy(key + 2, peer->at, peer->len);
}

static enum pg_limit forbidden_over(struct pg_budget *b, const struct pg_peer_id *relay, uint64_t now_us, struct pg_seat *seat)
{
    uint8_t key[PG_PLACE_KEY];
    id_key(key, RELAY, relay);
    struct pg_place *p = seat->prefix = find(b, key, true);
    if (!p || !pg_rate_take(&p->accepts, now_us, most(b, PG_LIMIT_ACCEPT_RATE), 2 * most(b, PG_LIMIT_ACCEPT_RATE)))
        return PG_LIMIT_ACCEPT_RATE;
    if (p->conns >= most(b, PG_LIMIT_CONNS_ADDRESS))
        return PG_LIMIT_CONNS_ADDRESS;
    return p->pending >= most(b, PG_LIMIT_PENDING_ADDRESS) ? PG_LIMIT_PENDING_ADDRESS : PG_LIMITS;
}

static enum pg_limit enter(struct pg_budget *b, enum pg_limit limit, struct pg_seat *seat)
{
    if (limit == PG_LIMITS && b->conns >= most(b, PG_LIMIT_CONNS))
        limit = PG_LIMIT_CONNS;
    if (limit == PG_LIMITS && b->inbound >= most(b, PG_LIMIT_CONNS_INBOUND))
        limit = PG_LIMIT_CONNS_INBOUND;
    if (limit == PG_LIMITS && b->pending >= most(b, PG_LIMIT_PENDING))
        limit = PG_LIMIT_PENDING;
    if (limit != PG_LIMITS)
        return limit;
    seat->taken = seat->pending = true;
    b->conns++;
    b->inbound++;
    b->pending++;
    count(b, seat->address, 1, 1);
    count(b, seat->prefix, 1, 1);
    return PG_LIMITS;
}

enum pg_limit pg_budget_enter(struct pg_budget *b, const struct pg_endpoint *from, uint64_t now_us, struct pg_seat *seat)
{
    *seat = (struct pg_seat){0};
    bool counted = from->family && !pg_endpoint_is_loopback(from);
    return enter(b, counted ? forbidden_there(b, from, now_us, seat) : PG_LIMITS, seat);
}

enum pg_limit pg_budget_enter_over(struct pg_budget *b, const struct pg_peer_id *relay, uint64_t now_us, struct pg_seat *seat)
{
    *seat = (struct pg_seat){0};
    return enter(b, forbidden_over(b, relay, now_us, seat), seat);
}

void pg_budget_settle(struct pg_budget *b, struct pg_seat *seat)
{
    if (!seat->pending)
        return;
    seat->pending = false;
    b->pending--;
    count(b, seat->address, 0, -1);
    count(b, seat->prefix, 0, -1);
}

void pg_budget_leave(struct pg_budget *b, struct pg_seat *seat)
{
    if (!seat->taken)
        return;
    pg_budget_settle(b, seat);
    seat->taken = false;
    b->conns--;
    b->inbound--;
    count(b, seat->address, -1, 0);
    count(b, seat->prefix, -1, 0);
}

/* Dials. */

enum pg_limit pg_budget_dial(struct pg_budget *b, uint32_t pending, uint64_t now_us)
{
    if (b->conns >= most(b, PG_LIMIT_CONNS))
        return PG_LIMIT_CONNS;
    if (b->dials >= most(b, PG_LIMIT_DIALS))
        return PG_LIMIT_DIALS;
    if (pending >= most(b, PG_LIMIT_DIALS_PEER))
        return PG_LIMIT_DIALS_PEER;
    if (!pg_rate_take(&b->dial_rate, now_us, most(b, PG_LIMIT_DIAL_RATE), 2 * most(b, PG_LIMIT_DIAL_RATE)))
        return PG_LIMIT_DIAL_RATE;
    b->conns++;
    b->dials++;
    return PG_LIMITS;
}

enum pg_limit pg_budget_punch(struct pg_budget *b, const struct pg_endpoint *to, uint64_t now_us)
{
    uint8_t key[PG_PLACE_KEY];
    place_key(key, ADDRESS, to);
    struct pg_place *place = find(b, key, true);
    uint64_t each_s = most(b, PG_LIMIT_PUNCH_DIAL_RATE);
    return place && pg_rate_take(&place->punches, now_us, each_s, 8 * each_s) ? PG_LIMITS : PG_LIMIT_PUNCH_DIAL_RATE;
}

bool pg_budget_may_visit(const struct pg_budget *b, uint64_t now_us)
{
    uint64_t rate = most(b, PG_LIMIT_DIAL_RATE);
    struct pg_rate after = b->dial_rate;
    return b->conns < most(b, PG_LIMIT_CONNS) && 2 * b->dials < most(b, PG_LIMIT_DIALS) && pg_rate_take(&after, now_us, rate, rate);
}

/* Peers. */

struct pg_place *pg_budget_peer(struct pg_budget *b, const struct pg_peer_id *peer, bool make)
{
    uint8_t key[PG_PLACE_KEY];
    id_key(key, PEER, peer);
    struct pg_place *p = find(b, key, make);
    if (p && make)
        count(b, p, 1, 0);
    return p;
}

void pg_budget_unpeer(struct pg_budget *b, struct pg_place *p)
{
    assert(p->conns > 0);
    count(b, p, -1, 0);
}

void pg_budget_hold(struct pg_budget *b, struct pg_place *p)
{
    p->held++;
    count(b, p, 0, 0);
}

void pg_budget_release(struct pg_budget *b, struct pg_place *p)
{
    assert(p->held > 0);
    p->held--;
    count(b, p, 0, 0);
}

/* Refusing. */

void pg_budget_refuse(struct pg_budget *b, enum pg_limit limit, const char *what, struct pg_bytes from, uint64_t now_us)
{
    const struct pg_limit_info *info = &pg_limit_infos[limit];
    uint64_t total = ++b->metrics->value[info->metric];
    if (b->told[limit] && now_us - b->told_us[limit] < SECOND_US)
        return;
    b->told[limit] = true;
    b->told_us[limit] = now_us;
    pg_log_limit_reached(b->log, pg_text(what ? what : info->refuses), from, pg_text(info->name), most(b, limit),
                         pg_text(info->option), total);
}

/* Life. */

bool pg_budget_init(struct pg_budget *b, const struct pg_limits *limits, uint64_t seed, struct pg_log *log, struct pg_metrics *metrics)
{
    *b = (struct pg_budget){.limits = *limits, .log = log, .metrics = metrics, .n_buckets = 64};
    b->idle_end = &b->idle;
    pg_keyed_init(&b->hash, seed);
    /* Each connection has a peer, an address and a prefix. */
    uint32_t places = (uint32_t)limits->value[PG_LIMIT_CONNS] * 3 + SPARE_PLACES;
    while (b->n_buckets < places)
        b->n_buckets *= 2;
    b->buckets = pg_heap_take(b->n_buckets * sizeof *b->buckets);
    return b->buckets && pg_pool_init(&b->places, sizeof(struct pg_place), places, 64);
}

void pg_budget_free(struct pg_budget *b)
{
    pg_heap_give(b->buckets);
    pg_pool_free(&b->places);
}
