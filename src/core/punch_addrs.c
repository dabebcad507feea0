/* Which addresses are named in CONNECT, and which of the other side's are dialled. Called by punch.c and punch_serve.c; lists in, lists
 * out. Serves libp2p/specs relay/DCUtR.md, "The Protocol", steps 2 to 5: whoever is named could be made the target of everybody's
 * dials, so only public addresses count. */
#include "core/node_internal.h"
#include "core/offered.h"
#include "core/punch.h"

#include "dcutr.pb.gen.h"

static uint32_t add(struct pg_multiaddr *list, uint32_t n, uint32_t room, const struct pg_multiaddr *addr)
{
    struct pg_endpoint e;
    struct pg_multiaddr bare = *addr;
    pg_multiaddr_strip_p2p(&bare);
    if (n == room || pg_multiaddr_tcp(&bare, &e, NULL) != PG_OK || e.port == 0 || !pg_endpoint_is_public(&e))
        return n;
    for (uint32_t i = 0; i < n; i++)
        if (pg_multiaddr_equal(&list[i], &bare))
            return n;
    list[n] = bare;
    return n + 1;
}

/* Where we are seen comes first, then what the user says, then what is our own anyway. */
uint32_t pg_punch_offers(const struct pg_node *n, struct pg_multiaddr out[PG_PUNCH_OFFERS])
{
    struct pg_multiaddr found[PG_NODE_ADDRS];
    uint32_t count = 0, n_found = pg_observed_candidates(n, found, PG_PUNCH_OFFERS);
    for (uint32_t i = 0; i < n_found; i++)
        count = add(out, count, PG_PUNCH_OFFERS, &found[i]);
    n_found = pg_node_addrs(n, found);
    for (uint32_t i = 0; i < n_found; i++)
        count = add(out, count, PG_PUNCH_OFFERS, &found[i]);
    return count;
}

uint32_t pg_punch_targets(const struct pg_node *n, const struct pg_peer_id *peer, const struct pg_pb_hole_punch *m,
                          struct pg_multiaddr out[PG_PUNCH_TARGETS])
{
    static const struct pg_endpoint nowhere; /* that it is seen at a relay says nothing of the networks it is in */
    struct pg_multiaddr own[PG_PUNCH_OFFERS + PG_NODE_ADDRS];
    uint32_t n_own = pg_punch_offers(n, own), count = 0;
    n_own += pg_node_addrs(n, own + n_own);
    struct pg_offer offer = {.peer = peer, .own_id = pg_node_own(n), .from = &nowhere, .own = own, .n_own = n_own};
    for (uint32_t i = 0; i < m->n_obs_addrs; i++) {
        struct pg_multiaddr addr;
        if (pg_multiaddr_read(&addr, m->obs_addrs[i]) == PG_OK && pg_offer_good(&offer, &addr))
            count = add(out, count, PG_PUNCH_TARGETS, &addr);
    }
    return count;
}
