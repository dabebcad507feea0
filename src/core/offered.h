/* Which addresses that other peers offer may be dialled. One pure rule, for whatever brings them: identify today.
 * Called by identify.c. Answers to libp2p/specs addressing/README.md saying nothing of whom to believe. */
#pragma once
#include "crypto/multiaddr.h"

/* Who offers: what is proven of it, and what is our own. */
struct pg_offer {
    const struct pg_peer_id *peer, *own_id;
    const struct pg_endpoint *from; /* where the peer itself is seen */
    const struct pg_multiaddr *own; /* where we listen and are told to be */
    uint32_t n_own;
};

/* Public addresses may be dialled. Private ones only when the peer itself is at a private or loopback address, loopback
 * ones only when it is at one: who is in that network could reach them without us. Never: names (who answers for them is
 * the peer's to say), mapped IPv4, unspecified, link-local, multicast, documentation and reserved ranges, port 0, our own
 * addresses, and addresses of another peer. */
bool pg_offer_good(const struct pg_offer *, const struct pg_multiaddr *offered);
