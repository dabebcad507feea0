/* Where peers can be dialled, as far as that has been heard of: addresses with an end to their life, of a bounded number of peers.
 * Filled by identify.c and session.c, read by contact.c when a peer comes to be wanted. Serves libp2p/specs addressing/README.md; the lives are
 * those of go-libp2p core/peerstore (RecentlyConnectedAddrTTL and others), which the specification leaves to everybody. */
#pragma once
#include "crypto/multiaddr.h"
#include "mem/keyed.h"
#include "mem/pool.h"

#define PG_ADDRESS_BOOK_ADDRS 8u /* of one peer */
/* Longest that is kept: an IPv6 address with port, and the relay and circuit behind which a peer may be. */
#define PG_ADDRESS_BOOK_BYTES 70u
#define PG_ADDRESS_CONNECTED UINT64_MAX /* until when: as long as the peer is connected */

struct pg_address_card;

struct pg_address_book {
    struct pg_keyed hash;
    struct pg_pool cards;
    struct pg_address_card **buckets;
    struct pg_address_card *oldest, *newest; /* in the order in which something was heard of them */
    uint32_t n_buckets;                      /* a power of two */
};

/* `peers` at most. False when memory cannot be had. hash_seed: nobody outside may know it, for peers choose their ids. */
bool pg_address_book_init(struct pg_address_book *, uint32_t peers, uint64_t hash_seed);
void pg_address_book_free(struct pg_address_book *);

/* These are good until then; what is there already lives on until the later time. Beyond its share a peer's shortest-lived
 * address gives way, beyond the peers that fit the one that was not heard of for longest. Addresses must be without /p2p at
 * their end and have passed pg_offer_good; too long ones are left out. */
void pg_address_book_learn(struct pg_address_book *, const struct pg_peer_id *, const struct pg_multiaddr *addrs, uint32_t n,
                           uint64_t until_us);
/* What is still good, the longest-lived first; returns how many, at most PG_ADDRESS_BOOK_ADDRS. */
uint32_t pg_address_book_find(const struct pg_address_book *, const struct pg_peer_id *, uint64_t now_us,
                              struct pg_multiaddr out[PG_ADDRESS_BOOK_ADDRS]);
/* The peer is not connected any more: nothing of it is good for longer than that. */
void pg_address_book_parted(struct pg_address_book *, const struct pg_peer_id *, uint64_t until_us);
