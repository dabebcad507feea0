/* What one walk towards a key has heard of: peers by their distance, who has been asked and what came of it, over disjoint paths.
 * Called by kad_query.c; plain C, knows no network and no time. Serves libp2p/specs kad-dht/README.md, "Peer routing"; disjoint paths
 * as in S/Kademlia (Baumgart and Mies 2007), section 4.4: what a peer says is believed on its own path only. */
#pragma once
#include "core/kad_key.h"

#define PG_KAD_HEARD_MAX 256u /* peers that one walk remembers; what is farther gives way */
#define PG_KAD_PATHS 2u
#define PG_KAD_NOBODY UINT32_MAX

enum pg_kad_mark {
    PG_KAD_UNASKED,    /* not asked yet */
    PG_KAD_ASKED,
    PG_KAD_SLOW,     /* asked, and waited for no more unless nobody else answers */
    PG_KAD_ANSWERED,
    PG_KAD_FAILED,
};

struct pg_kad_walker {
    struct pg_kad_key key;
    struct pg_peer_id id;
    uint8_t mark;    /* enum pg_kad_mark */
    uint8_t paths;   /* bit for each path on which it was heard of */
    uint8_t path;    /* on which it was asked */
    uint8_t n_addrs;
    uint8_t len;     /* of addrs */
    bool unreached;  /* it has failed, but only the addresses are to blame */
    bool blamed;     /* its failure has been laid to its teller's charge: once, however often others name it anew */
    uint8_t n_false, n_true; /* of those that it has named first: how many failed, how many answered */
    uint16_t hops;   /* 1: of our own table */
    uint32_t teller; /* who named it first; PG_KAD_NOBODY: our own table */
    uint8_t addrs[192]; /* packed */
};

struct pg_kad_frontier {
    struct pg_kad_key target;
    uint32_t k, n_paths, n;
    uint32_t network;  /* peers that it is thought to have; 0: no guess */
    uint32_t crowding; /* peers near the target that were asked beyond the nearest k, for there are too many of them */
    uint32_t n_asked, n_slow, n_answered, n_failed;
    uint16_t order[PG_KAD_HEARD_MAX]; /* nearest first */
    struct pg_kad_walker walkers[PG_KAD_HEARD_MAX];
};

void pg_kad_frontier_init(struct pg_kad_frontier *, const struct pg_kad_key *target, uint32_t k, uint32_t network);
/* Peers of our own table, nearest first: dealt out to the paths in turn. */
void pg_kad_frontier_seed(struct pg_kad_frontier *, const struct pg_kad_contact *, uint32_t n);
/* A peer that `teller` has named, on the teller's path. What is known of it is kept; new addresses are added. */
void pg_kad_frontier_hear(struct pg_kad_frontier *, uint32_t teller, const struct pg_kad_contact *);

/* The one to ask next, PG_KAD_NOBODY when none is left or all that are left are too far. */
uint32_t pg_kad_frontier_next(const struct pg_kad_frontier *);
void pg_kad_frontier_mark(struct pg_kad_frontier *, uint32_t walker, enum pg_kad_mark);
/* It has failed at the addresses that are known so far: whoever names another one gives it one more chance. */
void pg_kad_frontier_unreached(struct pg_kad_frontier *, uint32_t walker);
/* Somebody has been asked whose answer matters: not slow, unless everybody is; not behind the nearest k. */
bool pg_kad_frontier_pending(const struct pg_kad_frontier *);

const struct pg_kad_walker *pg_kad_frontier_walker(const struct pg_kad_frontier *, uint32_t walker);
void pg_kad_frontier_contact(const struct pg_kad_frontier *, uint32_t walker, struct pg_kad_contact *out);
bool pg_kad_frontier_find(const struct pg_kad_frontier *, const struct pg_peer_id *, uint32_t *walker);
/* Those that have answered: the nearest of each path in turn, so that no path alone can fill the result, until there are `most`
 * of them; what belongs to a crowd comes in addition, up to thrice as many in all. Sorted by distance. */
uint32_t pg_kad_frontier_nearest(const struct pg_kad_frontier *, uint32_t most, uint16_t *out);
/* Longest chain of answers that led to somebody who answered. */
uint32_t pg_kad_frontier_hops(const struct pg_kad_frontier *);
