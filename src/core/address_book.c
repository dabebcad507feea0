/* Addresses of peers by their id: chained buckets over a pool, with the order of hearing as a list.
 * Called by identify.c, session.c and contact.c. Serves libp2p/specs addressing/README.md. Nothing here needs a timer: what has
 * outlived its time is passed over, and its place is taken when one is needed. */
#include "core/address_book.h"

#include "mem/heap.h"

struct pg_address_card {
    struct pg_address_card *next;           /* in its bucket */
    struct pg_address_card *older, *newer;
    struct pg_peer_id peer;
    struct pg_address_line {
        uint64_t until_us; /* 0: empty */
        uint8_t len, at[PG_ADDRESS_BOOK_BYTES];
    } lines[PG_ADDRESS_BOOK_ADDRS];
};

static struct pg_address_card **bucket(const struct pg_address_book *b, const struct pg_peer_id *peer)
{
    return &b->buckets[pg_keyed_hash(&b->hash, peer->at, peer->len) & (b->n_buckets - 1)];
}

static struct pg_address_card *find(const struct pg_address_book *b, const struct pg_peer_id *peer)
{
    for (struct pg_address_card *c = *bucket(b, peer); c; c = c->next)
        if (pg_peer_id_equal(&c->peer, peer))
            return c;
    return NULL;
}

static void unlist(struct pg_address_book *b, struct pg_address_card *c)
{
    *(c->older ? &c->older->newer : &b->oldest) = c->newer;
    *(c->newer ? &c->newer->older : &b->newest) = c->older;
}

static void list(struct pg_address_book *b, struct pg_address_card *c)
{
    c->older = b->newest;
    c->newer = NULL;
    *(b->newest ? &b->newest->newer : &b->oldest) = c;
    b->newest = c;
}

static void forget(struct pg_address_book *b, struct pg_address_card *c)
{
    struct pg_address_card **at = bucket(b, &c->peer);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    unlist(b, c);
    pg_pool_give(&b->cards, c);
}

static struct pg_address_card *add(struct pg_address_book *b, const struct pg_peer_id *peer)
{
    struct pg_address_card *c = pg_pool_take_zero(&b->cards);
    if (!c && b->oldest) {
        forget(b, b->oldest);
        c = pg_pool_take_zero(&b->cards);
    }
    if (!c)
        return NULL;
    struct pg_address_card **head = bucket(b, peer);
    c->peer = *peer;
    c->next = *head;
    *head = c;
    list(b, c);
    return c;
}

/* The line that holds the address, else the one that lives shortest. */
static struct pg_address_line *line_for(struct pg_address_card *c, const struct pg_multiaddr *addr)
{
    struct pg_address_line *shortest = &c->lines[0];
    for (uint32_t i = 0; i < PG_ADDRESS_BOOK_ADDRS; i++) {
        struct pg_address_line *l = &c->lines[i];
        if (l->until_us && l->len == addr->len && memcmp(l->at, addr->at, addr->len) == 0)
            return l;
        if (l->until_us < shortest->until_us)
            shortest = l;
    }
    shortest->until_us = 0;
    return shortest;
}

bool pg_address_book_init(struct pg_address_book *b, uint32_t peers, uint64_t hash_seed)
{
    *b = (struct pg_address_book){.n_buckets = 1};
    while (b->n_buckets < peers)
        b->n_buckets *= 2;
    pg_keyed_init(&b->hash, hash_seed);
    b->buckets = pg_heap_take(b->n_buckets * sizeof *b->buckets);
    return b->buckets && pg_pool_init(&b->cards, sizeof(struct pg_address_card), peers, 16);
}

void pg_address_book_free(struct pg_address_book *b)
{
    pg_heap_give(b->buckets);
    pg_pool_free(&b->cards);
}

void pg_address_book_learn(struct pg_address_book *b, const struct pg_peer_id *peer, const struct pg_multiaddr *addrs, uint32_t n,
                           uint64_t until_us)
{
    struct pg_address_card *c = find(b, peer);
    for (uint32_t i = 0; i < n; i++) {
        if (addrs[i].len == 0 || addrs[i].len > PG_ADDRESS_BOOK_BYTES || (!c && !(c = add(b, peer))))
            continue;
        struct pg_address_line *l = line_for(c, &addrs[i]);
        l->len = (uint8_t)addrs[i].len;
        memcpy(l->at, addrs[i].at, l->len);
        if (l->until_us < until_us)
            l->until_us = until_us;
    }
    if (c) {
        unlist(b, c);
        list(b, c);
    }
}

uint32_t pg_address_book_find(const struct pg_address_book *b, const struct pg_peer_id *peer, uint64_t now_us,
                              struct pg_multiaddr out[PG_ADDRESS_BOOK_ADDRS])
{
    const struct pg_address_card *c = find(b, peer);
    uint64_t until[PG_ADDRESS_BOOK_ADDRS];
    uint32_t n = 0;
    for (uint32_t i = 0; c && i < PG_ADDRESS_BOOK_ADDRS; i++) {
        const struct pg_address_line *l = &c->lines[i];
        if (l->until_us <= now_us)
            continue;
        uint32_t place = n++;
        for (; place > 0 && until[place - 1] < l->until_us; place--) {
            out[place] = out[place - 1];
            until[place] = until[place - 1];
        }
        until[place] = l->until_us;
        out[place] = (struct pg_multiaddr){.len = l->len};
        memcpy(out[place].at, l->at, l->len);
    }
    return n;
}

void pg_address_book_parted(struct pg_address_book *b, const struct pg_peer_id *peer, uint64_t until_us)
{
    struct pg_address_card *c = find(b, peer);
    for (uint32_t i = 0; c && i < PG_ADDRESS_BOOK_ADDRS; i++)
        if (c->lines[i].until_us > until_us)
            c->lines[i].until_us = until_us;
}
