/* Peers of the local network, as the node sees multicast DNS: a thing that is started, fed and stopped. Without PG_MDNS it is not in
 * the program at all. Called by node.c, session.c and src/service/control.c. Serves libp2p/specs discovery/mdns.md. */
#pragma once
#include "core/node.h"

struct pg_mdns_view {
    struct pg_peer_id peer;
    const struct pg_multiaddr *addrs; /* as they may be dialled, without the peer's id; good until the next input */
    uint32_t n_addrs;
    uint64_t left_us;                 /* until it is forgotten, unless it is heard of again */
    bool connected;
};

#ifdef PG_MDNS
/* NULL when memory cannot be had. */
struct pg_mdns *pg_mdns_new(struct pg_node *);
void pg_mdns_free(struct pg_mdns *); /* NULL is fine */
/* All of these may be called with NULL: then nothing happens. */
void pg_mdns_start(struct pg_mdns *);
void pg_mdns_stop(struct pg_mdns *);
void pg_mdns_input(struct pg_mdns *, const struct pg_input *);
void pg_mdns_changed(struct pg_mdns *); /* our addresses are others */
/* Walks what is known; false at the end. */
bool pg_mdns_view(const struct pg_node *, uint32_t place, struct pg_mdns_view *);
#else
static inline struct pg_mdns *pg_mdns_new(struct pg_node *n)
{
    (void)n;
    return NULL;
}
static inline void pg_mdns_free(struct pg_mdns *m)
{
    (void)m;
}
static inline void pg_mdns_start(struct pg_mdns *m)
{
    (void)m;
}
static inline void pg_mdns_stop(struct pg_mdns *m)
{
    (void)m;
}
static inline void pg_mdns_input(struct pg_mdns *m, const struct pg_input *in)
{
    (void)m;
    (void)in;
}
static inline void pg_mdns_changed(struct pg_mdns *m)
{
    (void)m;
}
static inline bool pg_mdns_view(const struct pg_node *n, uint32_t place, struct pg_mdns_view *v)
{
    (void)n;
    (void)place;
    (void)v;
    return false;
}
#endif
