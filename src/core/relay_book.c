/* Peers that could relay for us: a flat table, searched in order, since it is small and asked rarely.
 * Called by control.c and relay.c, within a turn. Serves libp2p/specs relay/circuit-v2.md. */
#include "core/relay_book.h"
#include "core/offered.h"

#include <string.h>

/* FAR_US: what has not been measured counts as that. */
enum { BACKOFF_FIRST_MS = 5000, BACKOFF_LAST_MS = 300000, FAR_US = 1000000 };

struct pg_relay_candidate *pg_relay_book_find(struct pg_relay_book *book, const struct pg_peer_id *id)
{
    for (uint32_t n = 0; n < PG_RELAY_BOOK; n++)
        if (book->of[n].id.len && pg_peer_id_equal(&book->of[n].id, id))
            return &book->of[n];
    return NULL;
}

static struct pg_relay_candidate *place(struct pg_relay_book *book)
{
    struct pg_relay_candidate *oldest = NULL;
    for (uint32_t n = 0; n < PG_RELAY_BOOK; n++) {
        struct pg_relay_candidate *c = &book->of[n];
        if (!c->id.len)
            return c;
        if (!c->connected && !c->taken && (!oldest || c->heard_us < oldest->heard_us))
            oldest = c;
    }
    return oldest;
}

void pg_relay_book_heard(struct pg_relay_book *book, const struct pg_peer_id *id, const struct pg_multiaddr *addr, bool hop, uint64_t now_us)
{
    struct pg_relay_candidate *c = pg_relay_book_find(book, id);
    if (!c && hop && (c = place(book))) {
        memset(c, 0, sizeof *c);
        c->id = *id;
    }
    if (!c)
        return;
    /* A link that broke says nothing against a relay that is there again; one that breaks over and over is left alone. Nor does it that
     * nobody was there for a while. */
    if (!c->connected && (c->away || (c->dropped && c->failures <= 1)))
        c->not_before_us = now_us;
    c->hop = hop;
    c->connected = true;
    c->heard_us = now_us;
    if (addr && addr->len)
        c->addr = *addr;
    if (!hop && !c->taken)
        memset(c, 0, sizeof *c);
}

void pg_relay_book_lost(struct pg_relay_book *book, const struct pg_peer_id *id)
{
    struct pg_relay_candidate *c = pg_relay_book_find(book, id);
    if (c)
        c->connected = false;
}

void pg_relay_book_shun(struct pg_relay_book *book, struct pg_relay_candidate *c, bool dropped, uint64_t now_us)
{
    if (c->failures < UINT16_MAX)
        c->failures++;
    c->failed++;
    c->dropped = dropped;
    c->away = !dropped && !c->connected;
    unsigned doublings = c->failures - 1u;
    uint64_t wait = doublings < 6 ? (uint64_t)BACKOFF_FIRST_MS << doublings : BACKOFF_LAST_MS;
    uint64_t mixed = (book->seed + c->failed) * 0x9e3779b97f4a7c15u;
    c->not_before_us = now_us + (wait - (mixed >> 40) % (wait / 5 + 1)) * 1000;
}

void pg_relay_book_granted(struct pg_relay_candidate *c)
{
    c->failures = 0;
    c->granted++;
}

static bool is_free(const struct pg_relay_candidate *c)
{
    return c->id.len && c->hop && !c->taken;
}

/* 2: at the same IP address, 1: in the same /16 of IPv4 or /32 of IPv6, as networks are told apart elsewhere; 0: neither. */
static unsigned closeness(const struct pg_relay_candidate *a, const struct pg_relay_candidate *b)
{
    struct pg_endpoint x, y;
    if (!pg_offer_ip(&a->addr, &x) || !pg_offer_ip(&b->addr, &y) || x.family != y.family)
        return 0;
    if (memcmp(x.ip, y.ip, x.family == 4 ? 4 : 16) == 0)
        return 2;
    return memcmp(x.ip, y.ip, x.family == 4 ? 2 : 4) == 0;
}

static unsigned beside_ours(const struct pg_relay_book *book, const struct pg_relay_candidate *c)
{
    unsigned most = 0;
    for (uint32_t n = 0; n < PG_RELAY_BOOK; n++) {
        unsigned here = book->of[n].taken ? closeness(&book->of[n], c) : 0;
        most = here > most ? here : most;
    }
    return most;
}

/* Who is seen at a public address can be reached by more peers than one of our own network. */
static bool is_public(const struct pg_relay_candidate *c)
{
    struct pg_endpoint e;
    return pg_offer_ip(&c->addr, &e) && pg_endpoint_is_public(&e);
}

/* Distance, longer for those that have failed more often than they have granted. */
static uint64_t cost(const struct pg_relay_candidate *c)
{
    uint64_t far = c->rtt_us ? c->rtt_us : FAR_US;
    return far * (1 + 2 * (uint64_t)c->failed / (1 + (uint64_t)c->granted));
}

static bool better(const struct pg_relay_book *book, const struct pg_relay_candidate *a, const struct pg_relay_candidate *b)
{
    unsigned x = beside_ours(book, a), y = beside_ours(book, b);
    if (a->failures != b->failures)
        return a->failures < b->failures;
    if (is_public(a) != is_public(b))
        return is_public(a);
    if (x != y)
        return x < y;
    if (a->connected != b->connected)
        return a->connected;
    return cost(a) < cost(b);
}

struct pg_relay_candidate *pg_relay_book_best(struct pg_relay_book *book, uint64_t now_us)
{
    struct pg_relay_candidate *best = NULL;
    for (uint32_t n = 0; n < PG_RELAY_BOOK; n++) {
        struct pg_relay_candidate *c = &book->of[n];
        if (is_free(c) && c->not_before_us <= now_us && (!best || better(book, c, best)))
            best = c;
    }
    return best;
}

uint64_t pg_relay_book_next_us(const struct pg_relay_book *book)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t n = 0; n < PG_RELAY_BOOK; n++)
        if (is_free(&book->of[n]) && book->of[n].not_before_us < first)
            first = book->of[n].not_before_us;
    return first;
}
