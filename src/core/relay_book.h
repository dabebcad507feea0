/* Peers that could relay for us: those whom identify says to speak hop, with what we have seen of them.
 * Kept by the control plane, asked by relay.c. Serves libp2p/specs relay/circuit-v2.md, which leaves the choice to the client. */
#pragma once
#include "crypto/multiaddr.h"

#define PG_MAX_RELAYS 8u /* of ours at once, whatever --relays says */
#define PG_RELAY_BOOK 64u

struct pg_relay_candidate {
    struct pg_peer_id id;     /* len 0: a free place */
    struct pg_multiaddr addr; /* where it was last seen or dialled; len 0: not known */
    bool hop;                 /* it said so last; those that do not any more are never asked */
    bool connected;
    bool taken;               /* one of our reservations is asked for or held there */
    bool dropped;             /* it failed by a lost connection last, and not by a word of its own */
    bool away;                /* it was not connected when it failed last: nobody was there to ask */
    uint16_t failures;        /* since it last granted one */
    uint32_t granted, failed; /* ever */
    uint64_t rtt_us;          /* 0: not measured */
    uint64_t not_before_us;   /* not to be asked until then */
    uint64_t heard_us;
};

struct pg_relay_book {
    struct pg_relay_candidate of[PG_RELAY_BOOK];
    uint64_t seed; /* for jitter */
};

struct pg_relay_candidate *pg_relay_book_find(struct pg_relay_book *, const struct pg_peer_id *);
/* What identify has said of a connected peer: whether it speaks hop. A full book gives up one that is neither connected nor
 * taken, the one not heard of for longest; who is new finds no place when there is none. */
void pg_relay_book_heard(struct pg_relay_book *, const struct pg_peer_id *, const struct pg_multiaddr *addr, bool hop, uint64_t now_us);
void pg_relay_book_lost(struct pg_relay_book *, const struct pg_peer_id *);
/* It has failed us: 5 s until it is asked again, doubling to 5 min, up to a fifth less so that not all come back together. */
void pg_relay_book_shun(struct pg_relay_book *, struct pg_relay_candidate *, bool dropped, uint64_t now_us);
void pg_relay_book_granted(struct pg_relay_candidate *);
/* Whom to ask now, NULL when there is nobody. Those that have failed come last; then one at a public
 * address comes before those of our own networks, one of a network where we have no relay yet before others, a connected one before those that are to be dialled, a near one that has kept its word before the rest. */
struct pg_relay_candidate *pg_relay_book_best(struct pg_relay_book *, uint64_t now_us);
/* When the first that is free may be asked; UINT64_MAX when none is free. */
uint64_t pg_relay_book_next_us(const struct pg_relay_book *);
