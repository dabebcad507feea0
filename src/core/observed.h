/* Where others see us: who observed which address of ours, for which of our listeners, and what to make of that.
 * Called by identify.c, session.c and node.c; by whoever punches, and by AutoNAT, which tests what others claim.
 * Source: libp2p/specs identify/README.md, "observedAddr"; the word of one is a claim, so voices are counted by network. */
#pragma once
#include "core/node.h"

#define PG_OBSERVATIONS 64u      /* kept at once; one a session */
#define PG_OBSERVED_CONFIRMED 8u /* addresses that may be told to others at once */

/* How a NAT before us maps one port of ours for different remotes: RFC 4787, section 4.1. */
enum pg_mapping { PG_MAPPING_UNKNOWN, PG_MAPPING_INDEPENDENT, PG_MAPPING_DEPENDENT };

struct pg_observation {
    const void *session; /* whose word it is, while it stands */
    struct pg_peer_id peer;
    struct pg_endpoint from, seen; /* the observer's own place; where it sees us */
    uint16_t port;                 /* the listener's */
    bool dialled;                  /* by us, from that port: so a NAT's mapping is what is seen */
};

struct pg_observed {
    struct pg_observation at[PG_OBSERVATIONS]; /* oldest first */
    uint32_t n;
    struct pg_endpoint confirmed[PG_OBSERVED_CONFIRMED]; /* enough networks have said so, and somebody still does */
    uint32_t n_confirmed;
};

/* One place where we are seen, and by how many networks, none of whose peers is counted in another, too. */
struct pg_observed_view {
    struct pg_endpoint seen;
    uint16_t port;
    uint32_t networks;
    bool confirmed, dialled; /* dialled: a NAT's mapping, or our own address */
};

/* The data alone. A word is taken when its observer is in a network of the kind that it speaks of: public, private, loopback. Of one
 * network and one listener at most two are kept, so that nobody crowds others out. False: not taken. */
bool pg_observed_take(struct pg_observed *, const struct pg_observation *);
bool pg_observed_forget(struct pg_observed *, const void *session); /* false: nothing was known of it */
/* Those that most networks say come first, of the same number the older. */
uint32_t pg_observed_list(const struct pg_observed *, struct pg_observed_view *out, uint32_t room);
enum pg_mapping pg_observed_kind(const struct pg_observed *);
/* Whether both are in one network, as far as voices are counted: an IPv4 /16 or an IPv6 /32. */
bool pg_observed_neighbours(const struct pg_endpoint *, const struct pg_endpoint *);

/* What identify says on a direct session; another word takes the place of an earlier one after a minute. */
void pg_observed_note(struct pg_session *observer, const struct pg_multiaddr *observed);
void pg_observed_leave(struct pg_session *);
/* For punching: the public ones, for which one observer is enough. */
uint32_t pg_observed_candidates(const struct pg_node *, struct pg_multiaddr *out, uint32_t room);
/* To be told to others: AutoNAT has found it reachable; or enough distinct networks say so, AutoNAT nothing, and we are not private. */
uint32_t pg_observed_confirmed(const struct pg_node *, struct pg_multiaddr *out, uint32_t room);
enum pg_mapping pg_observed_mapping(const struct pg_node *);
/* The peers that say so, by their place; false behind the last. */
bool pg_observed_by(const struct pg_node *, const struct pg_observed_view *, uint32_t place, struct pg_peer_id *);
uint32_t pg_observed_views(const struct pg_node *, struct pg_observed_view *out, uint32_t room);
