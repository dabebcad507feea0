/* The peers that the control plane knows: a flat table, searched in order, since it is small and asked rarely.
 * Called by control.c, within a turn. Serves libp2p/specs addressing/README.md. */
#include "core/peer_book.h"
#include "mem/keyed.h"

#include <string.h>

/* Whoever makes two of his addresses meet has one of them forgotten with the other. */
uint64_t pg_book_mark(const struct pg_multiaddr *addr)
{
    static const struct pg_keyed plain;
    return pg_keyed_hash(&plain, addr->at, addr->len);
}

struct pg_known_peer *pg_book_find(struct pg_peer_book *book, const struct pg_peer_id *id)
{
    for (uint32_t n = 0; n < PG_BOOK_PEERS; n++)
        if (book->peers[n].id.len && pg_peer_id_equal(&book->peers[n].id, id))
            return &book->peers[n];
    return NULL;
}

static struct pg_known_peer *free_place(struct pg_peer_book *book)
{
    for (uint32_t n = 0; n < PG_BOOK_PEERS; n++)
        if (!book->peers[n].id.len)
            return &book->peers[n];
    for (uint32_t tried = 0; tried < PG_BOOK_PEERS; tried++) {
        struct pg_known_peer *victim = &book->peers[book->next_victim];
        book->next_victim = (book->next_victim + 1) % PG_BOOK_PEERS;
        if (!victim->bootstrap && !victim->connected) {
            book->used--;
            return victim;
        }
    }
    return NULL;
}

/* Finds or adds; NULL: there is no place. */
static struct pg_known_peer *add(struct pg_peer_book *book, const struct pg_peer_id *id)
{
    if (!id->len)
        return NULL;
    struct pg_known_peer *peer = pg_book_find(book, id);
    if (peer)
        return peer;
    peer = free_place(book);
    if (peer) {
        memset(peer, 0, sizeof(*peer));
        peer->id = *id;
        book->used++;
    }
    return peer;
}

void pg_book_add_addr(struct pg_peer_book *book, const struct pg_peer_id *id, const struct pg_multiaddr *addr)
{
    struct pg_known_peer *peer = add(book, id);
    if (!peer || !addr || !addr->len)
        return;
    uint64_t fresh = pg_book_mark(addr);
    for (uint8_t n = 0; n < peer->n_addrs; n++)
        if (peer->addrs[n] == fresh)
            return;
    if (peer->n_addrs == PG_BOOK_ADDRS)
        memmove(&peer->addrs[0], &peer->addrs[1], --peer->n_addrs * sizeof(peer->addrs[0]));
    peer->addrs[peer->n_addrs++] = fresh;
}

void pg_book_drop(struct pg_peer_book *book, const struct pg_peer_id *id)
{
    struct pg_known_peer *peer = pg_book_find(book, id);
    if (!peer)
        return;
    memset(peer, 0, sizeof(*peer));
    book->used--;
}

void pg_book_drop_addr(struct pg_peer_book *book, const struct pg_peer_id *id, const struct pg_multiaddr *addr)
{
    struct pg_known_peer *peer = pg_book_find(book, id);
    for (uint8_t n = 0; peer && n < peer->n_addrs; n++) {
        if (peer->addrs[n] != pg_book_mark(addr))
            continue;
        peer->addrs[n] = peer->addrs[--peer->n_addrs];
        if (peer->n_addrs == 0 && !peer->connected)
            pg_book_drop(book, id);
        return;
    }
}
