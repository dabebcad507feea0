/* Records under their raw keys, with an end and an owner each; see kad_store.h. Called by the engine of Kademlia in src/core.
 * Serves libp2p/specs kad-dht/README.md, "Content provider advertisement and discovery". */
#include "core/kad_store.h"

#include "mem/pages.h"

#include <assert.h>

enum { ADDRS_ROOM = 512, SHARE = 8 }; /* SHARE: of the texts one peer may have an eighth */

/* The heap of ends. */

static void settle(struct pg_kad_store *s, uint32_t place, struct pg_kad_record *r)
{
    s->heap[place] = r;
    r->place = place;
}

static void sift(struct pg_kad_store *s, uint32_t place, struct pg_kad_record *r)
{
    for (; place > 1 && r->until_us < s->heap[place / 2]->until_us; place /= 2)
        settle(s, place, s->heap[place / 2]);
    for (uint32_t child; (child = 2 * place) <= s->n_heap; place = child) {
        if (child < s->n_heap && s->heap[child + 1]->until_us < s->heap[child]->until_us)
            child++;
        if (s->heap[child]->until_us >= r->until_us)
            break;
        settle(s, place, s->heap[child]);
    }
    settle(s, place, r);
}

static void heap_remove(struct pg_kad_store *s, struct pg_kad_record *r)
{
    struct pg_kad_record *last = s->heap[s->n_heap--];
    if (last != r)
        sift(s, r->place, last);
}

/* Heaps of holders, by what they hold. */

static void put_holder(struct pg_kad_store *s, unsigned m, uint32_t place, struct pg_kad_holder *h)
{
    s->heaviest[m][place] = h;
    h->place[m] = place;
}

static void sift_holder(struct pg_kad_store *s, unsigned m, uint32_t place, struct pg_kad_holder *h)
{
    struct pg_kad_holder **heap = s->heaviest[m];
    uint32_t n = s->holders.used;
    for (; place > 1 && h->held[m] > heap[place / 2]->held[m]; place /= 2)
        put_holder(s, m, place, heap[place / 2]);
    for (uint32_t child; (child = 2 * place) <= n; place = child) {
        if (child < n && heap[child + 1]->held[m] > heap[child]->held[m])
            child++;
        if (heap[child]->held[m] <= h->held[m])
            break;
        put_holder(s, m, place, heap[child]);
    }
    put_holder(s, m, place, h);
}

static void weigh(struct pg_kad_store *s, struct pg_kad_holder *h, int records, int cells)
{
    h->held[PG_KAD_MEASURE_RECORDS] += (uint32_t)records;
    h->held[PG_KAD_MEASURE_CELLS] += (uint32_t)cells;
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
        sift_holder(s, m, h->place[m], h);
}

/* Entries and holders, by keyed hashes. */

static uint32_t bucket(const struct pg_kad_store *s, struct pg_bytes key)
{
    return (uint32_t)pg_keyed_hash(&s->hash, key.at, key.len) & (s->n_buckets - 1);
}

static struct pg_kad_entry *entry_of(const struct pg_kad_store *s, struct pg_bytes key)
{
    struct pg_kad_entry *e = s->by_key[bucket(s, key)];
    while (e && !(e->key_len == key.len && pg_blob_is(&s->texts, e->text, key)))
        e = e->next;
    return e;
}

static struct pg_kad_holder *holder_of(const struct pg_kad_store *s, const struct pg_peer_id *id)
{
    struct pg_kad_holder *h = s->by_peer[bucket(s, pg_bytes(id->at, id->len))];
    while (h && !pg_peer_id_equal(&h->id, id))
        h = h->next;
    return h;
}

static void drop_entry(struct pg_kad_store *s, struct pg_kad_entry *e)
{
    uint8_t key[PG_KAD_KEY_MAX];
    pg_blob_copy(&s->texts, e->text, key, e->key_len);
    struct pg_kad_entry **at = &s->by_key[bucket(s, pg_bytes(key, e->key_len))];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    pg_blob_drop(&s->texts, e->text);
    pg_pool_give(&s->entries, e);
}

static void drop_holder(struct pg_kad_store *s, struct pg_kad_holder *h)
{
    struct pg_kad_holder **at = &s->by_peer[bucket(s, pg_bytes(h->id.at, h->id.len))];
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    struct pg_kad_holder *last[PG_KAD_MEASURES];
    uint32_t place[PG_KAD_MEASURES];
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++) {
        last[m] = s->heaviest[m][s->holders.used];
        place[m] = h->place[m];
    }
    pg_pool_give(&s->holders, h);
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
        if (last[m] != h)
            sift_holder(s, m, place[m], last[m]);
}

static struct pg_kad_entry *make_entry(struct pg_kad_store *s, struct pg_bytes key)
{
    struct pg_kad_entry *e = pg_pool_take_zero(&s->entries);
    assert(e && "there is one for each record");
    e->text = pg_blob_keep(&s->texts, key, PG_NONE);
    e->key_len = (uint16_t)key.len;
    struct pg_kad_entry **at = &s->by_key[bucket(s, key)];
    e->next = *at;
    return *at = e;
}

static struct pg_kad_holder *make_holder(struct pg_kad_store *s, const struct pg_peer_id *id)
{
    struct pg_kad_holder *h = pg_pool_take_zero(&s->holders);
    assert(h && "there is one for each record");
    h->id = *id;
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
        put_holder(s, m, s->holders.used, h); /* with nothing it is the lightest */
    struct pg_kad_holder **at = &s->by_peer[bucket(s, pg_bytes(id->at, id->len))];
    h->next = *at;
    return *at = h;
}

/* Records and their lists. */

#define LIST_ADD(r, first, last, next, previous) \
    do { \
        (r)->next = NULL; \
        (r)->previous = (last); \
        *((last) ? &(last)->next : &(first)) = (r); \
        (last) = (r); \
    } while (0)
#define LIST_REMOVE(r, first, last, next, previous) \
    do { \
        *((r)->previous ? &(r)->previous->next : &(first)) = (r)->next; \
        *((r)->next ? &(r)->next->previous : &(last)) = (r)->previous; \
    } while (0)

static uint32_t cells_of(const struct pg_kad_record *r)
{
    return pg_blob_cells(r->len) + pg_blob_cells(r->entry->key_len);
}

static void unlink_record(struct pg_kad_store *s, struct pg_kad_record *r)
{
    struct pg_kad_entry *e = r->entry;
    if (r->provides) {
        LIST_REMOVE(r, e->first, e->last, next, previous);
        e->n--;
        s->n_providers--;
    } else {
        e->value = NULL;
        s->n_values--;
    }
    if (r->holder) {
        LIST_REMOVE(r, r->holder->first, r->holder->last, next_held, previous_held);
        LIST_REMOVE(r, s->oldest, s->newest, next_kept, previous_kept);
        weigh(s, r->holder, -1, -(int)cells_of(r));
    } else {
        s->n_own--;
        s->own_cells -= cells_of(r);
    }
}

static void drop_record(struct pg_kad_store *s, struct pg_kad_record *r)
{
    struct pg_kad_entry *e = r->entry;
    struct pg_kad_holder *h = r->holder;
    unlink_record(s, r);
    heap_remove(s, r);
    pg_blob_drop(&s->texts, r->text);
    pg_pool_give(&s->records, r);
    if (!e->value && e->n == 0)
        drop_entry(s, e);
    if (h && !h->first)
        drop_holder(s, h);
}

void pg_kad_store_expire(struct pg_kad_store *s, uint64_t now_us)
{
    while (s->n_heap > 0 && s->heap[1]->until_us <= now_us)
        drop_record(s, s->heap[1]);
}

/* Room. */

static void evict(struct pg_kad_store *s, struct pg_kad_record *r)
{
    s->evicted++;
    drop_record(s, r);
}

/* Who gives way when all is full: whoever holds most of what is short, its oldest first. So whoever fills the store pushes out
 * itself, and not those with little in it. Among equals the sender itself; among those with one record each the oldest. */
static struct pg_kad_record *victim(const struct pg_kad_store *s, const struct pg_kad_holder *sender, enum pg_kad_measure m)
{
    const struct pg_kad_holder *most = s->heaviest[m][1];
    if (sender && sender->first && sender->held[m] == most->held[m])
        return sender->first;
    return most->first != most->last ? most->first : s->oldest;
}

/* Makes room for a record of `from` with so many cells of text. False when there cannot be any. */
static bool make_room(struct pg_kad_store *s, const struct pg_peer_id *from, uint32_t cells)
{
    if (!from) /* our own: they have their places, and texts go before those of others */
        while (pg_blobs_left(&s->texts) < cells && s->oldest)
            evict(s, s->oldest);
    if (!from)
        return s->n_own < PG_KAD_OWN_RECORDS && pg_blobs_left(&s->texts) >= cells;
    if (cells > s->most_cells / SHARE)
        return false;
    for (;;) {
        struct pg_kad_holder *h = holder_of(s, from);
        bool full = s->n_values + s->n_providers - s->n_own >= s->most;
        if (h && (h->held[PG_KAD_MEASURE_RECORDS] >= s->most_each || h->held[PG_KAD_MEASURE_CELLS] + cells > s->most_cells / SHARE))
            evict(s, h->first);
        else if (!full && pg_blobs_left(&s->texts) >= cells)
            return true;
        else if (s->oldest)
            evict(s, victim(s, h, full ? PG_KAD_MEASURE_RECORDS : PG_KAD_MEASURE_CELLS));
        else
            return false;
    }
}

bool pg_kad_store_takes(const struct pg_kad_store *s, size_t key_len, size_t len)
{
    uint32_t cells = pg_blob_cells(key_len) + pg_blob_cells(len);
    return key_len > 0 && cells <= s->most_cells / SHARE && cells + s->own_cells <= s->most_cells;
}

/* A record of `from` (NULL: our own) under the key, in all lists but that of its kind. The room has been made. */
static struct pg_kad_record *add(struct pg_kad_store *s, struct pg_bytes key, const struct pg_peer_id *from, uint64_t until_us,
                                 struct pg_bytes head, struct pg_bytes tail)
{
    struct pg_kad_record *r = pg_pool_take_zero(&s->records);
    assert(r && "room was made");
    struct pg_kad_entry *e = entry_of(s, key);
    r->entry = e ? e : make_entry(s, key);
    r->text = pg_blob_keep(&s->texts, head, tail);
    r->len = (uint32_t)(head.len + tail.len);
    r->until_us = until_us;
    sift(s, ++s->n_heap, r);
    if (!from) {
        s->n_own++;
        s->own_cells += cells_of(r);
        return r;
    }
    r->holder = holder_of(s, from);
    if (!r->holder)
        r->holder = make_holder(s, from);
    LIST_ADD(r, r->holder->first, r->holder->last, next_held, previous_held);
    LIST_ADD(r, s->oldest, s->newest, next_kept, previous_kept);
    weigh(s, r->holder, 1, (int)cells_of(r));
    return r;
}

static uint64_t until(uint64_t now_us, uint64_t ttl_us, uint64_t most_ms)
{
    return now_us + (ttl_us && ttl_us < most_ms * 1000 ? ttl_us : most_ms * 1000);
}

/* Values. */

enum pg_err pg_kad_store_put(struct pg_kad_store *s, const struct pg_kad_value *v, const struct pg_peer_id *from, uint64_t now_us)
{
    const struct pg_peer_id *holder = pg_peer_id_equal(from, &s->own) ? NULL : from;
    if (v->key.len == 0 || v->key.len > PG_KAD_KEY_MAX || v->value.len > PG_KAD_VALUE_MAX || v->publisher.len > PG_PEER_ID_MAX)
        return PG_ERR_PROTOBUF_LIMIT;
    pg_kad_store_expire(s, now_us);
    struct pg_kad_entry *e = entry_of(s, v->key);
    if (e && e->value && !e->value->holder && holder)
        return PG_OK;
    if (e && e->value)
        drop_record(s, e->value);
    size_t len = v->publisher.len + v->value.len;
    if (!make_room(s, holder, pg_blob_cells(len) + pg_blob_cells(v->key.len)))
        return PG_ERR_LIMIT_REACHED;
    uint64_t until_us = until(now_us, v->ttl_us, PG_FIXED_KAD_VALUE_TTL_MS);
    struct pg_kad_record *r = add(s, v->key, holder, until_us, v->publisher, v->value);
    r->n_publisher = (uint8_t)v->publisher.len;
    r->entry->value = r;
    s->n_values++;
    return PG_OK;
}

bool pg_kad_store_get(struct pg_kad_store *s, struct pg_bytes key, uint64_t now_us, struct pg_kad_value *out,
                      uint8_t room[PG_KAD_VALUE_MAX + PG_PEER_ID_MAX])
{
    pg_kad_store_expire(s, now_us);
    const struct pg_kad_entry *e = entry_of(s, key);
    if (!e || !e->value)
        return false;
    const struct pg_kad_record *r = e->value;
    pg_blob_copy(&s->texts, r->text, room, r->len);
    *out = (struct pg_kad_value){.key = key, .publisher = pg_bytes(room, r->n_publisher),
                                 .value = pg_bytes(room + r->n_publisher, r->len - r->n_publisher),
                                 .ttl_us = r->until_us - now_us};
    return true;
}

/* Providers. */

static struct pg_kad_record *provider_of(const struct pg_kad_entry *e, const struct pg_peer_id *id)
{
    struct pg_kad_record *r = e ? e->first : NULL;
    while (r && !(id ? r->holder && pg_peer_id_equal(&r->holder->id, id) : !r->holder))
        r = r->next;
    return r;
}

/* The oldest provider of the key that is not ourselves. */
static struct pg_kad_record *oldest_provider(const struct pg_kad_entry *e)
{
    struct pg_kad_record *r = e->first;
    while (r && !r->holder)
        r = r->next;
    return r;
}

enum pg_err pg_kad_store_provide(struct pg_kad_store *s, struct pg_bytes key, const struct pg_kad_contact *provider,
                                 uint64_t ttl_us, uint64_t now_us)
{
    uint8_t text[ADDRS_ROOM], n_addrs;
    const struct pg_peer_id *holder = pg_peer_id_equal(&provider->id, &s->own) ? NULL : &provider->id;
    size_t len = pg_kad_addrs_pack(provider->addrs, holder ? provider->n_addrs : 0, text, sizeof text, &n_addrs);
    if (key.len == 0 || key.len > PG_KAD_KEY_MAX)
        return PG_ERR_PROTOBUF_LIMIT;
    pg_kad_store_expire(s, now_us);
    struct pg_kad_entry *e = entry_of(s, key);
    struct pg_kad_record *before = provider_of(e, holder);
    if (before)
        drop_record(s, before);
    e = entry_of(s, key);
    if (e && e->n >= PG_FIXED_KAD_PROVIDERS && oldest_provider(e))
        evict(s, oldest_provider(e));
    if (!make_room(s, holder, pg_blob_cells(len) + pg_blob_cells(key.len)))
        return PG_ERR_LIMIT_REACHED;
    uint64_t until_us = until(now_us, ttl_us, PG_FIXED_KAD_PROVIDER_TTL_MS);
    struct pg_kad_record *r = add(s, key, holder, until_us, pg_bytes(text, len), PG_NONE);
    r->provides = true;
    LIST_ADD(r, r->entry->first, r->entry->last, next, previous);
    r->entry->n++;
    s->n_providers++;
    return PG_OK;
}

uint32_t pg_kad_store_providers(struct pg_kad_store *s, struct pg_bytes key, uint64_t now_us, uint32_t most,
                                const struct pg_kad_record **out)
{
    uint32_t n = 0;
    pg_kad_store_expire(s, now_us);
    const struct pg_kad_entry *e = entry_of(s, key);
    for (const struct pg_kad_record *r = e ? e->last : NULL; r && n < most; r = r->previous)
        out[n++] = r;
    return n;
}

void pg_kad_store_contact(const struct pg_kad_store *s, const struct pg_kad_record *r, struct pg_kad_contact *out)
{
    uint8_t text[ADDRS_ROOM];
    assert(r->provides);
    out->id = r->holder ? r->holder->id : s->own;
    pg_blob_copy(&s->texts, r->text, text, r->len);
    out->n_addrs = pg_kad_addrs_unpack(pg_bytes(text, r->len), out->addrs);
}

void pg_kad_store_withdraw(struct pg_kad_store *s, struct pg_bytes key)
{
    struct pg_kad_entry *e = entry_of(s, key);
    if (e && e->value && !e->value->holder)
        drop_record(s, e->value);
    struct pg_kad_record *r = provider_of(entry_of(s, key), NULL);
    if (r)
        drop_record(s, r);
}

/* Life. */

bool pg_kad_store_init(struct pg_kad_store *s, const struct pg_peer_id *own, const struct pg_limits *limits, uint64_t hash_seed)
{
    const uint64_t *most = limits->value;
    *s = (struct pg_kad_store){.own = *own, .n_buckets = 64, .most = (uint32_t)most[PG_LIMIT_KAD_RECORDS],
                               .most_each = (uint32_t)most[PG_LIMIT_KAD_RECORDS_PEER],
                               .most_cells = (uint32_t)(most[PG_LIMIT_KAD_MEMORY] / PG_BLOB_CELL)};
    uint32_t records = s->most + PG_KAD_OWN_RECORDS;
    pg_keyed_init(&s->hash, hash_seed);
    while (s->n_buckets < records)
        s->n_buckets *= 2;
    s->by_key = pg_pages_reserve(s->n_buckets * sizeof(struct pg_kad_entry *));
    s->by_peer = pg_pages_reserve(s->n_buckets * sizeof(struct pg_kad_holder *));
    s->heap = pg_pages_reserve((records + 1u) * sizeof(struct pg_kad_record *));
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
        s->heaviest[m] = pg_pages_reserve((records + 1u) * sizeof(struct pg_kad_holder *));
    return s->by_key && s->by_peer && s->heap && s->heaviest[0] && s->heaviest[1] &&
           pg_pool_init(&s->records, sizeof(struct pg_kad_record), records, 0) &&
           pg_pool_init(&s->entries, sizeof(struct pg_kad_entry), records, 0) &&
           pg_pool_init(&s->holders, sizeof(struct pg_kad_holder), records, 0) && pg_blobs_init(&s->texts, most[PG_LIMIT_KAD_MEMORY]);
}

void pg_kad_store_free(struct pg_kad_store *s)
{
    size_t records = s->most + PG_KAD_OWN_RECORDS + 1u;
    pg_pages_release(s->by_key, s->n_buckets * sizeof *s->by_key);
    pg_pages_release(s->by_peer, s->n_buckets * sizeof *s->by_peer);
    pg_pages_release(s->heap, records * sizeof *s->heap);
    for (unsigned m = 0; m < PG_KAD_MEASURES; m++)
        pg_pages_release(s->heaviest[m], records * sizeof *s->heaviest[m]);
    pg_pool_free(&s->records);
    pg_pool_free(&s->entries);
    pg_pool_free(&s->holders);
    pg_blobs_free(&s->texts);
}

size_t pg_kad_store_bytes(const struct pg_kad_store *s)
{
    return sizeof *s + pg_pool_touched(&s->records) + pg_pool_touched(&s->entries) + pg_pool_touched(&s->holders) +
           pg_pool_touched(&s->texts.cells) +
           2 * s->n_buckets * sizeof(void *) + (s->records.fresh + PG_KAD_MEASURES * s->holders.fresh) * sizeof(void *);
}
