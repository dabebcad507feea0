/* The peers that the control plane knows, each with what tells a few addresses apart: of Kademlia, mDNS and identify.
 * Called by control.c and phase.c. Serves libp2p/specs addressing/README.md; bounded, and never grows. */
#pragma once
#include "crypto/multiaddr.h"

#define PG_BOOK_PEERS 128u
#define PG_BOOK_ADDRS 8u

struct pg_known_peer {
    struct pg_peer_id id; /* len 0: a free place */
    bool bootstrap;
    bool connected;
    uint8_t n_addrs;
    uint64_t addrs[PG_BOOK_ADDRS]; /* marks: nobody dials from here, but one that is told again or taken back has to be known again */
};

struct pg_peer_book {
    struct pg_known_peer peers[PG_BOOK_PEERS];
    uint32_t used, next_victim;
};

uint64_t pg_book_mark(const struct pg_multiaddr *);
struct pg_known_peer *pg_book_find(struct pg_peer_book *, const struct pg_peer_id *);
/* Adds an address unless it is there; the oldest gives way. addr may be NULL: then only the peer is added. A full book gives up a peer
 * that is neither connected nor a bootstrap peer; when there is none nothing is added. */
void pg_book_add_addr(struct pg_peer_book *, const struct pg_peer_id *, const struct pg_multiaddr *addr);
/* Forgets one address, and the peer with its last one. */
void pg_book_drop_addr(struct pg_peer_book *, const struct pg_peer_id *, const struct pg_multiaddr *addr);
void pg_book_drop(struct pg_peer_book *, const struct pg_peer_id *);
