/* The frontier of a walk; see kad_frontier.h. Called by kad_query.c. Serves libp2p/specs kad-dht/README.md, "Peer routing". */
#include "core/kad_frontier.h"

#include <assert.h>

enum { CROWD_FREE = 4, CROWD_FACTOR = 3, FALSE_MOST = 8 };

void pg_kad_frontier_init(struct pg_kad_frontier *f, const struct pg_kad_key *target, uint32_t k, uint32_t network)
{
    f->target = *target;
    f->k = k;
    f->n_paths = 1;
    f->network = network;
    f->n = f->crowding = 0;
    f->n_asked = f->n_slow = f->n_answered = f->n_failed = 0;
}

/* Where in the order a key stands, or would stand. */
static uint32_t place_of(const struct pg_kad_frontier *f, const struct pg_kad_key *key)
{
    uint32_t low = 0, high = f->n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (pg_kad_nearer(&f->target, &f->walkers[f->order[middle]].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool pg_kad_frontier_find(const struct pg_kad_frontier *f, const struct pg_peer_id *id, uint32_t *walker)
{
    struct pg_kad_key key;
    pg_kad_key_of_peer(&key, id);
    uint32_t place = place_of(f, &key);
    if (place == f->n || memcmp(&f->walkers[f->order[place]].key, &key, sizeof key) != 0)
        return false;
    *walker = f->order[place];
    return true;
}

/* Whether there are more peers this near to the target than chance puts there, `counted` having come before: among n peers
 * about n / 2^b share b bits with it. What is too many is asked, too, and does not take the place of others among the nearest. */
static bool crowds(const struct pg_kad_frontier *f, const struct pg_kad_walker *w, uint32_t counted)
{
    uint32_t bits = pg_kad_common_bits(&f->target, &w->key);
    return f->network > 0 && counted >= CROWD_FREE + CROWD_FACTOR * (bits < 32 ? f->network >> bits : 0);
}

/* Of a crowd so many are asked; the others are left alone, however many there are. */
static uint32_t crowd_most(const struct pg_kad_frontier *f)
{
    return 2 * f->k;
}

/* The place of one that would not be asked for it is in a crowd; f->n when there is none. */
static uint32_t superfluous(const struct pg_kad_frontier *f)
{
    uint32_t counted = 0, crowding = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct pg_kad_walker *w = &f->walkers[f->order[i]];
        if (!crowds(f, w, counted))
            counted++;
        else if (crowding++ >= crowd_most(f) && w->mark == PG_KAD_UNASKED)
            return i;
    }
    return f->n;
}

/* Whose place a nearer one gets: of a crowd, else the farthest that nobody has asked and that is farther than the key; f->n: nobody's. */
static uint32_t giving_way(const struct pg_kad_frontier *f, const struct pg_kad_key *key)
{
    uint32_t spare = superfluous(f);
    if (spare < f->n)
        return spare;
    for (uint32_t i = f->n; i-- > 0;) {
        const struct pg_kad_walker *w = &f->walkers[f->order[i]];
        if (pg_kad_nearer(&f->target, &w->key, key) < 0)
            break;
        if (w->mark == PG_KAD_UNASKED)
            return i;
    }
    return f->n;
}

static void take_out(struct pg_kad_frontier *f, uint32_t place)
{
    memmove(&f->order[place], &f->order[place + 1], (f->n - place - 1) * sizeof *f->order);
    f->n--;
}

static struct pg_kad_walker *put_in(struct pg_kad_frontier *f, const struct pg_kad_key *key)
{
    uint32_t number = f->n;
    if (f->n == PG_KAD_HEARD_MAX) {
        uint32_t victim = giving_way(f, key);
        if (victim == f->n)
            return NULL;
        number = f->order[victim];
        take_out(f, victim);
    }
    uint32_t place = place_of(f, key);
    memmove(&f->order[place + 1], &f->order[place], (f->n - place) * sizeof *f->order);
    f->order[place] = (uint16_t)number;
    f->n++;
    return &f->walkers[number];
}

static void pack(struct pg_kad_walker *w, const struct pg_kad_contact *c)
{
    w->len = (uint8_t)pg_kad_addrs_pack(c->addrs, c->n_addrs, w->addrs, sizeof w->addrs, &w->n_addrs);
}

static bool is_new(const struct pg_kad_walker *w, const struct pg_kad_contact *c)
{
    struct pg_kad_contact said;
    said.n_addrs = pg_kad_addrs_unpack(pg_bytes(w->addrs, w->len), said.addrs);
    for (uint32_t i = 0; i < c->n_addrs; i++) {
        uint32_t same = 0;
        while (same < said.n_addrs && !pg_multiaddr_equal(&said.addrs[same], &c->addrs[i]))
            same++;
        if (same == said.n_addrs)
            return true;
    }
    return false;
}

static void add_addr(struct pg_kad_contact *all, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < all->n_addrs; i++)
        if (pg_multiaddr_equal(&all->addrs[i], addr))
            return;
    if (all->n_addrs < PG_KAD_ADDRS)
        all->addrs[all->n_addrs++] = *addr;
}

/* What several tellers say is taken by turns, so that nobody keeps others out by naming many. */
static void add_addrs(struct pg_kad_walker *w, const struct pg_kad_contact *c)
{
    struct pg_kad_contact all = {.n_addrs = 0}, said;
    said.n_addrs = pg_kad_addrs_unpack(pg_bytes(w->addrs, w->len), said.addrs);
    for (uint32_t i = 0; i < PG_KAD_ADDRS; i++) {
        if (i < said.n_addrs)
            add_addr(&all, &said.addrs[i]);
        if (i < c->n_addrs)
            add_addr(&all, &c->addrs[i]);
    }
    pack(w, &all);
}

static void hear(struct pg_kad_frontier *f, uint32_t teller, uint32_t path, const struct pg_kad_contact *c)
{
    struct pg_kad_key key;
    uint32_t number;
    if (pg_kad_frontier_find(f, &c->id, &number)) {
        struct pg_kad_walker *known = &f->walkers[number];
        known->paths |= (uint8_t)(1u << path);
        if (known->mark == PG_KAD_FAILED && known->unreached && is_new(known, c))
            pg_kad_frontier_mark(f, number, PG_KAD_UNASKED);
        if (known->mark == PG_KAD_UNASKED)
            add_addrs(known, c);
        return;
    }
    pg_kad_key_of_peer(&key, &c->id);
    struct pg_kad_walker *w = put_in(f, &key);
    if (!w)
        return;
    w->key = key;
    w->id = c->id;
    w->mark = PG_KAD_UNASKED;
    w->unreached = w->blamed = false;
    w->paths = (uint8_t)(1u << path);
    w->path = 0;
    w->n_false = w->n_true = 0;
    w->hops = (uint16_t)(teller == PG_KAD_NOBODY ? 1 : f->walkers[teller].hops + 1);
    w->teller = teller;
    pack(w, c);
}

void pg_kad_frontier_seed(struct pg_kad_frontier *f, const struct pg_kad_contact *contacts, uint32_t n)
{
    f->n_paths = n < PG_KAD_PATHS ? 1 : PG_KAD_PATHS;
    for (uint32_t i = 0; i < n; i++)
        hear(f, PG_KAD_NOBODY, i % f->n_paths, &contacts[i]);
}

void pg_kad_frontier_hear(struct pg_kad_frontier *f, uint32_t teller, const struct pg_kad_contact *c)
{
    hear(f, teller, f->walkers[teller].path, c);
}

/* So many of those that it has named could not be reached, and nobody could: what it says would only have us dial others. */
static bool is_false(const struct pg_kad_frontier *f, uint32_t teller)
{
    return teller != PG_KAD_NOBODY && f->walkers[teller].n_true == 0 && f->walkers[teller].n_false >= FALSE_MOST;
}

/* One path's nearest k, those that failed or are slow apart, in order of distance. */
struct window {
    const struct pg_kad_frontier *f;
    uint32_t path, place, counted, crowding;
};

static const struct pg_kad_walker *window_next(struct window *v)
{
    while (v->place < v->f->n && v->counted < v->f->k) {
        const struct pg_kad_walker *w = &v->f->walkers[v->f->order[v->place++]];
        if (!(w->paths >> v->path & 1) || w->mark == PG_KAD_FAILED || w->mark == PG_KAD_SLOW)
            continue;
        if (w->mark == PG_KAD_UNASKED && is_false(v->f, w->teller))
            continue;
        if (!crowds(v->f, w, v->counted)) {
            v->counted++;
            return w;
        }
        if (v->crowding++ < crowd_most(v->f))
            return w;
    }
    return NULL;
}

static uint32_t out_on(const struct pg_kad_frontier *f, uint32_t path)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct pg_kad_walker *w = &f->walkers[f->order[i]];
        n += w->mark == PG_KAD_ASKED && w->path == path;
    }
    return n;
}

/* The nearest that nobody has asked, of one path. */
static uint32_t next_on(const struct pg_kad_frontier *f, uint32_t path, uint32_t *crowding)
{
    struct window v = {.f = f, .path = path};
    for (const struct pg_kad_walker *w; (w = window_next(&v));)
        if (w->mark == PG_KAD_UNASKED) {
            *crowding = v.crowding;
            return (uint32_t)(w - f->walkers);
        }
    return PG_KAD_NOBODY;
}

/* The path on which least is under way comes first. */
static uint32_t choose(const struct pg_kad_frontier *f, uint32_t *path, uint32_t *crowding)
{
    uint32_t best = PG_KAD_NOBODY, least = UINT32_MAX;
    for (uint32_t p = 0; p < f->n_paths; p++) {
        uint32_t crowd = 0, out = out_on(f, p), walker = next_on(f, p, &crowd);
        if (walker == PG_KAD_NOBODY || out >= least)
            continue;
        best = walker;
        least = out;
        *path = p;
        *crowding = crowd;
    }
    return best;
}

uint32_t pg_kad_frontier_next(const struct pg_kad_frontier *f)
{
    uint32_t path, crowding;
    return choose(f, &path, &crowding);
}

static uint32_t *counter(struct pg_kad_frontier *f, uint8_t mark)
{
    switch ((enum pg_kad_mark)mark) {
    case PG_KAD_UNASKED: return NULL;
    case PG_KAD_ASKED: return &f->n_asked;
    case PG_KAD_SLOW: return &f->n_slow;
    case PG_KAD_ANSWERED: return &f->n_answered;
    case PG_KAD_FAILED: return &f->n_failed;
    }
    return NULL;
}

void pg_kad_frontier_mark(struct pg_kad_frontier *f, uint32_t walker, enum pg_kad_mark mark)
{
    struct pg_kad_walker *w = &f->walkers[walker];
    uint32_t path, crowding, *before = counter(f, w->mark), *after = counter(f, (uint8_t)mark);
    if (mark == PG_KAD_ASKED && choose(f, &path, &crowding) == walker) {
        w->path = (uint8_t)path;
        f->crowding = crowding > f->crowding ? crowding : f->crowding;
    }
    if (before)
        (*before)--;
    if (after)
        (*after)++;
    w->mark = (uint8_t)mark;
    if (w->teller == PG_KAD_NOBODY)
        return;
    struct pg_kad_walker *teller = &f->walkers[w->teller];
    if (mark == PG_KAD_ANSWERED && teller->n_true < UINT8_MAX)
        teller->n_true++;
    if (mark == PG_KAD_FAILED && !w->blamed && teller->n_false < UINT8_MAX) {
        teller->n_false++;
        w->blamed = true;
    }
}

void pg_kad_frontier_unreached(struct pg_kad_frontier *f, uint32_t walker)
{
    pg_kad_frontier_mark(f, walker, PG_KAD_FAILED);
    f->walkers[walker].unreached = true;
}

bool pg_kad_frontier_pending(const struct pg_kad_frontier *f)
{
    if (f->n_answered == 0)
        return f->n_asked + f->n_slow > 0;
    if (f->n_asked == 0)
        return false;
    for (uint32_t p = 0; p < f->n_paths; p++) {
        struct window v = {.f = f, .path = p};
        for (const struct pg_kad_walker *w; (w = window_next(&v));)
            if (w->mark == PG_KAD_ASKED)
                return true;
    }
    return false;
}

const struct pg_kad_walker *pg_kad_frontier_walker(const struct pg_kad_frontier *f, uint32_t walker)
{
    return &f->walkers[walker];
}

void pg_kad_frontier_contact(const struct pg_kad_frontier *f, uint32_t walker, struct pg_kad_contact *out)
{
    const struct pg_kad_walker *w = &f->walkers[walker];
    out->id = w->id;
    out->n_addrs = pg_kad_addrs_unpack(pg_bytes(w->addrs, w->len), out->addrs);
}

/* The next place at or behind `place` of somebody who answered and was heard of on that path. */
static uint32_t answered_on(const struct pg_kad_frontier *f, uint32_t path, uint32_t place)
{
    for (; place < f->n; place++) {
        const struct pg_kad_walker *w = &f->walkers[f->order[place]];
        if (w->mark == PG_KAD_ANSWERED && (w->paths >> path & 1))
            break;
    }
    return place;
}

uint32_t pg_kad_frontier_nearest(const struct pg_kad_frontier *f, uint32_t most, uint16_t *out)
{
    bool chosen[PG_KAD_HEARD_MAX] = {false};
    uint32_t at[PG_KAD_PATHS] = {0}, counted = 0, count = 0;
    for (bool found = true; found && counted < most;) {
        found = false;
        for (uint32_t p = 0; p < f->n_paths && counted < most; p++) {
            do
                at[p] = answered_on(f, p, at[p]);
            while (at[p] < f->n && chosen[at[p]] && ++at[p]);
            if (at[p] == f->n)
                continue;
            chosen[at[p]] = found = true;
            counted += !crowds(f, &f->walkers[f->order[at[p]]], counted);
        }
    }
    for (uint32_t i = 0; i < f->n && count < 3 * most; i++)
        if (chosen[i])
            out[count++] = f->order[i];
    return count;
}

uint32_t pg_kad_frontier_hops(const struct pg_kad_frontier *f)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct pg_kad_walker *w = &f->walkers[f->order[i]];
        if (w->mark == PG_KAD_ANSWERED && w->hops > most)
            most = w->hops;
    }
    return most;
}
