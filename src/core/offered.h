/* Which addresses that other peers offer may be dialled, kept, and told. Pure rules, for whatever brings them.
 * Called by identify.c, by Kademlia and by mdns_peer.c. Answers to libp2p/specs addressing/README.md saying nothing of whom to believe. */
#pragma once
#include "crypto/multiaddr.h"

/* Who offers: what is proven of it, and what is our own. */
struct pg_offer {
    const struct pg_peer_id *peer, *own_id;
    const struct pg_endpoint *from; /* where the peer itself is seen */
    const struct pg_multiaddr *own; /* where we listen and are told to be */
    uint32_t n_own;
    uint32_t on_link; /* the interface on whose own network `from` is, when that is known; else 0 */
};

/* Public addresses may be dialled. Private ones only when the peer itself is at a private or loopback address, loopback
 * ones only when it is at one: who is in that network could reach them without us. Link-local ones of the interface that the
 * peer was heard by, and private ones, when it is in our own network. Of one over a relay, the relay's address has to be such a one,
 * and the relay neither the peer itself nor we. Never: names (who answers for them is
 * the peer's to say), mapped IPv4, unspecified, other link-local, multicast, documentation and reserved ranges, port 0, our own
 * addresses, and addresses of another peer. */
bool pg_offer_good(const struct pg_offer *, const struct pg_multiaddr *offered);

/* The IP address that an address begins with, whatever transport is behind it; false: it begins with something else. */
bool pg_offer_ip(const struct pg_multiaddr *, struct pg_endpoint *out);

/* The same for what is kept to be told to others, who may speak other transports than we: an address in reach of whoever offers
 * it, whatever stands behind the IP. */
bool pg_offer_keepable(const struct pg_offer *, const struct pg_multiaddr *offered);

/* Which addresses may be told to somebody: who asks from a public address gets no private or loopback ones, and loopback ones
 * only who is there, too. The others would be of no use to it, and would say what our networks look like. */
bool pg_offer_tellable(const struct pg_endpoint *asker, const struct pg_multiaddr *);
