/* Buckets of servers; see kad_table.h. Called by the engine of Kademlia in src/core.
 * Serves libp2p/specs kad-dht/README.md, "Kademlia Routing Table"; limits for each network follow go-libp2p's peer diversity filter. */
#include "core/kad_table.h"

#include <assert.h>

/* ADDRS_ROOM, of one server: twice what eight addresses of IPv6 and TCP take. SAME_FAILURE: several queries may meet one dead
 * server at the same time. */
enum { ADDRS_ROOM = 512, SAME_FAILURE_US = 1000000 };

/* Lists, heard of least recently first. */

static void list_add(struct pg_kad_server **first, struct pg_kad_server **last, struct pg_kad_server *s)
{
    s->next = NULL;
    s->previous = *last;
    if (*last)
        (*last)->next = s;
    else
        *first = s;
    *last = s;
}

static void list_remove(struct pg_kad_server **first, struct pg_kad_server **last, struct pg_kad_server *s)
{
    *(s->previous ? &s->previous->next : first) = s->next;
    *(s->next ? &s->next->previous : last) = s->previous;
}

static void enter(struct pg_kad_table *t, struct pg_kad_server *s, bool spare)
{
    struct pg_kad_bucket *b = &t->buckets[s->bucket];
    s->spare = spare;
    if (spare)
        list_add(&b->first_spare, &b->last_spare, s), b->n_spares++, t->n_spares++;
    else
        list_add(&b->first, &b->last, s), b->n++, t->n++;
}

static void leave(struct pg_kad_table *t, struct pg_kad_server *s)
{
    struct pg_kad_bucket *b = &t->buckets[s->bucket];
    if (s->spare)
        list_remove(&b->first_spare, &b->last_spare, s), b->n_spares--, t->n_spares--;
    else
        list_remove(&b->first, &b->last, s), b->n--, t->n--;
}

static void forget(struct pg_kad_table *t, struct pg_kad_server *s)
{
    leave(t, s);
    pg_blob_drop(&t->texts, s->addrs);
    pg_pool_give(&t->servers, s);
}

/* Networks. */

/* Where a server is seen. Loopback and private addresses are not counted: all of a lab, a host or a LAN are in one network,
 * and whoever is in there needs no routing table to do harm. */
static void note_network(struct pg_kad_server *s, const struct pg_endpoint *from)
{
    s->family = 0;
    if (!from || !from->family || pg_endpoint_is_loopback(from) || pg_endpoint_is_private(from))
        return;
    s->family = from->family;
    memcpy(s->seen, from->ip, from->family == 4 ? 3 : 6);
}

/* Whether one more from the server's networks would be too many among these. */
static bool crowded(const struct pg_kad_server *first, const struct pg_kad_server *s)
{
    uint32_t narrow = 0, wide = 0;
    size_t n_narrow = s->family == 4 ? 3 : 6, n_wide = s->family == 4 ? 2 : 4;
    for (const struct pg_kad_server *at = first; s->family && at; at = at->next) {
        if (at == s || at->family != s->family || memcmp(at->seen, s->seen, n_wide) != 0)
            continue;
        wide++;
        narrow += memcmp(at->seen, s->seen, n_narrow) == 0;
    }
    return narrow >= PG_KAD_SAME_NARROW || wide >= PG_KAD_SAME_WIDE;
}

/* Finding. */

static struct pg_kad_server *in_list(struct pg_kad_server *at, const struct pg_peer_id *id)
{
    while (at && !pg_peer_id_equal(&at->id, id))
        at = at->next;
    return at;
}

static struct pg_kad_server *find(const struct pg_kad_table *t, const struct pg_kad_key *key, const struct pg_peer_id *id)
{
    uint32_t bucket = pg_kad_common_bits(&t->own, key);
    if (bucket == PG_KAD_BITS)
        return NULL;
    struct pg_kad_server *s = in_list(t->buckets[bucket].first, id);
    return s ? s : in_list(t->buckets[bucket].first_spare, id);
}

void pg_kad_table_contact(const struct pg_kad_table *t, const struct pg_kad_server *s, struct pg_kad_contact *out)
{
    uint8_t packed[ADDRS_ROOM];
    out->id = s->id;
    pg_blob_copy(&t->texts, s->addrs, packed, s->addrs_len);
    out->n_addrs = pg_kad_addrs_unpack(pg_bytes(packed, s->addrs_len), out->addrs);
}

bool pg_kad_table_find(const struct pg_kad_table *t, const struct pg_peer_id *id, struct pg_kad_contact *out)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, id);
    const struct pg_kad_server *s = find(t, &key, id);
    if (s)
        pg_kad_table_contact(t, s, out);
    return s != NULL;
}

const struct pg_kad_server *pg_kad_table_next(const struct pg_kad_table *t, const struct pg_kad_server *after)
{
    if (after && after->next)
        return after->next;
    for (uint32_t i = after ? after->bucket + 1u : 0; i < PG_KAD_BITS; i++)
        if (t->buckets[i].first)
            return t->buckets[i].first;
    return NULL;
}

/* What is heard. */

/* New addresses in the place of the old; when there is no room for them the old ones stay. */
static bool take_addrs(struct pg_kad_table *t, struct pg_kad_server *s, const struct pg_kad_contact *c)
{
    uint8_t packed[ADDRS_ROOM], n;
    size_t len = pg_kad_addrs_pack(c->addrs, c->n_addrs, packed, sizeof packed, &n);
    if (n == 0)
        return s->n_addrs > 0;
    if (len == s->addrs_len && pg_blob_is(&t->texts, s->addrs, pg_bytes(packed, len)))
        return true;
    uint32_t blob = pg_blob_keep(&t->texts, pg_bytes(packed, len), PG_NONE);
    if (!blob)
        return s->n_addrs > 0;
    pg_blob_drop(&t->texts, s->addrs);
    s->addrs = blob;
    s->addrs_len = (uint16_t)len;
    s->n_addrs = n;
    return true;
}

/* The spare one that was heard of last and that the bucket takes. */
static void promote(struct pg_kad_table *t, struct pg_kad_bucket *b)
{
    struct pg_kad_server *s = b->last_spare;
    while (s && crowded(b->first, s))
        s = s->previous;
    if (!s || b->n == PG_KAD_K)
        return;
    leave(t, s);
    enter(t, s, false);
}

static enum pg_kad_heard heard_again(struct pg_kad_table *t, struct pg_kad_server *s, const struct pg_kad_contact *c,
                                     const struct pg_endpoint *from, uint64_t now_us)
{
    struct pg_kad_bucket *b = &t->buckets[s->bucket];
    (void)take_addrs(t, s, c);
    s->heard_us = now_us;
    s->failures = 0;
    if (from && from->family)
        note_network(s, from);
    if (crowded(s->spare ? b->first_spare : b->first, s)) { /* it has moved to where enough are already */
        forget(t, s);
        promote(t, b);
        return PG_KAD_HEARD_REFUSED;
    }
    leave(t, s);
    enter(t, s, s->spare);
    promote(t, b);
    return s->spare ? PG_KAD_HEARD_SPARE : PG_KAD_HEARD_KNOWN;
}

/* Where a newcomer goes; makes the room for it. */
static enum pg_kad_heard place(struct pg_kad_table *t, const struct pg_kad_server *s)
{
    struct pg_kad_bucket *b = &t->buckets[s->bucket];
    if (crowded(b->first, s))
        return PG_KAD_HEARD_REFUSED;
    struct pg_kad_server *failing = b->n == PG_KAD_K ? b->first : NULL;
    while (failing && failing->failures == 0)
        failing = failing->next;
    if (failing)
        forget(t, failing);
    if (b->n < PG_KAD_K)
        return PG_KAD_HEARD_NEW;
    if (crowded(b->first_spare, s))
        return PG_KAD_HEARD_REFUSED;
    if (b->n_spares == PG_KAD_SPARES)
        forget(t, b->first_spare);
    return PG_KAD_HEARD_SPARE;
}

enum pg_kad_heard pg_kad_table_heard(struct pg_kad_table *t, const struct pg_kad_contact *c, const struct pg_endpoint *from,
                                     uint64_t now_us)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, &c->id);
    uint32_t bucket = pg_kad_common_bits(&t->own, &key);
    struct pg_kad_server *s = find(t, &key, &c->id);
    if (s)
        return heard_again(t, s, c, from, now_us);
    if (bucket == PG_KAD_BITS || c->n_addrs == 0)
        return PG_KAD_HEARD_REFUSED;
    s = pg_pool_take(&t->servers);
    if (!s)
        return PG_KAD_HEARD_REFUSED;
    *s = (struct pg_kad_server){.key = key, .id = c->id, .bucket = (uint8_t)bucket, .heard_us = now_us};
    note_network(s, from);
    enum pg_kad_heard heard = place(t, s);
    if (heard == PG_KAD_HEARD_REFUSED || !take_addrs(t, s, c)) {
        pg_pool_give(&t->servers, s);
        return PG_KAD_HEARD_REFUSED;
    }
    enter(t, s, heard == PG_KAD_HEARD_SPARE);
    return heard;
}

static void drop(struct pg_kad_table *t, struct pg_kad_server *s)
{
    struct pg_kad_bucket *b = &t->buckets[s->bucket];
    forget(t, s);
    promote(t, b);
}

void pg_kad_table_failed(struct pg_kad_table *t, const struct pg_peer_id *id, uint64_t now_us)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, id);
    struct pg_kad_server *s = find(t, &key, id);
    if (!s || (s->failures > 0 && now_us - s->failed_us < SAME_FAILURE_US))
        return;
    s->failed_us = now_us;
    if (s->spare || ++s->failures == PG_KAD_FAILURES)
        drop(t, s);
}

void pg_kad_table_gone(struct pg_kad_table *t, const struct pg_peer_id *id)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, id);
    struct pg_kad_server *s = find(t, &key, id);
    if (s)
        drop(t, s);
}

/* The nearest. */

struct nearest {
    const struct pg_kad_key *target;
    const struct pg_kad_server **out;
    uint32_t n, most;
};

static void consider(struct nearest *near, const struct pg_kad_bucket *b)
{
    for (const struct pg_kad_server *s = b->first; s; s = s->next) {
        uint32_t at = near->n;
        while (at > 0 && pg_kad_nearer(near->target, &s->key, &near->out[at - 1]->key) < 0)
            at--;
        if (at == near->most)
            continue;
        uint32_t n_moved = (near->n < near->most ? near->n : near->most - 1) - at;
        memmove(&near->out[at + 1], &near->out[at], n_moved * sizeof *near->out);
        near->out[at] = s;
        near->n += near->n < near->most;
    }
}

/* Of the bucket that the target itself would be in, all share more bits with it than anybody else. Those in deeper buckets
 * share exactly as many as we do; of the others each bucket is farther than the one before. */
uint32_t pg_kad_table_nearest_servers(const struct pg_kad_table *t, const struct pg_kad_key *target, uint32_t most,
                                      const struct pg_kad_server **out)
{
    struct nearest near = {target, out, 0, most};
    uint32_t home = pg_kad_common_bits(&t->own, target);
    if (most == 0)
        return 0;
    if (home < PG_KAD_BITS)
        consider(&near, &t->buckets[home]);
    bool enough = near.n == most; /* else those in deeper buckets, among which no bucket is nearer than another */
    for (uint32_t i = home + 1; !enough && i < PG_KAD_BITS; i++)
        consider(&near, &t->buckets[i]);
    for (uint32_t i = home; near.n < most && i > 0; i--)
        consider(&near, &t->buckets[i - 1]);
    return near.n;
}

uint32_t pg_kad_table_nearest(const struct pg_kad_table *t, const struct pg_kad_key *target, uint32_t most, struct pg_kad_contact *out)
{
    const struct pg_kad_server *servers[PG_KAD_K + 1];
    assert(most <= PG_KAD_K + 1);
    uint32_t n = pg_kad_table_nearest_servers(t, target, most, servers);
    for (uint32_t i = 0; i < n; i++)
        pg_kad_table_contact(t, servers[i], &out[i]);
    return n;
}

/* Refresh. */

void pg_kad_table_asked(struct pg_kad_table *t, const struct pg_kad_key *key, uint64_t now_us)
{
    uint32_t bucket = pg_kad_common_bits(&t->own, key);
    if (bucket < PG_KAD_BITS)
        t->buckets[bucket].asked_us = now_us;
}

int pg_kad_table_stale(const struct pg_kad_table *t, uint32_t from, uint64_t since_us)
{
    uint32_t deepest = PG_KAD_REFRESHED;
    while (deepest > 0 && t->buckets[deepest - 1].n == 0)
        deepest--;
    for (uint32_t i = from; i < deepest; i++)
        if (t->buckets[i].asked_us <= since_us)
            return (int)i;
    return -1;
}

/* splitmix64 again and again, until the hash lies where it should: 2^(bucket + 1) tries in the mean. */
void pg_kad_table_target(const struct pg_kad_table *t, uint32_t bucket, uint64_t seed, uint8_t out[PG_KAD_TARGET])
{
    struct pg_kad_key key;
    assert(bucket < PG_KAD_REFRESHED);
    out[0] = 0x12; /* a multihash: SHA-256, 32 bytes */
    out[1] = 32;
    do {
        for (unsigned i = 2; i < PG_KAD_TARGET; i += 8) {
            uint64_t z = seed += 0x9e3779b97f4a7c15u;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
            z ^= z >> 31;
            memcpy(out + i, &z, sizeof z);
        }
        pg_kad_key_of(&key, pg_bytes(out, PG_KAD_TARGET));
    } while (pg_kad_common_bits(&t->own, &key) != bucket);
}

/* Life. */

bool pg_kad_table_init(struct pg_kad_table *t, const struct pg_peer_id *own, uint32_t most)
{
    *t = (struct pg_kad_table){0};
    pg_kad_key_of_peer(&t->own, own);
    return pg_pool_init(&t->servers, sizeof(struct pg_kad_server), most, 0) &&
           pg_blobs_init(&t->texts, (size_t)most * pg_blob_cells(ADDRS_ROOM) * PG_BLOB_CELL);
}

void pg_kad_table_free(struct pg_kad_table *t)
{
    pg_pool_free(&t->servers);
    pg_blobs_free(&t->texts);
}

size_t pg_kad_table_bytes(const struct pg_kad_table *t)
{
    return sizeof *t + pg_pool_touched(&t->servers) + pg_pool_touched(&t->texts.cells);
}
