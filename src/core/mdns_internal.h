/* What mdns.c and mdns_peer.c share: sockets and interfaces, the peers that were heard of. */
#pragma once
#include "core/kad.h"
#include "core/mdns.h"
#include "core/mdns_message.h"
#include "core/node_internal.h"
#include "mdns.gen.h"
#include "mdns_peer.gen.h"

#define PG_MDNS_PEERS PG_FIXED_MDNS_PEERS
#define PG_MDNS_SOURCES 64u
#define PG_MDNS_INTERFACES 32u
#define PG_MDNS_SOCKETS 2u      /* IPv4 and IPv6 */
#define PG_MDNS_TTL_S 360u      /* as the original's: one minute longer than it is silent at most */
#define PG_MDNS_LIFE_LEAST_S 10u
#define PG_MDNS_LIFE_MOST_S 3600u

struct pg_mdns_peer {
    struct pg_instance in;
    struct pg_timer timers[PG_MDNS_PEER_TIMERS];
    struct pg_visitor visitor;
    struct pg_visit *visit;
    struct pg_mdns *mdns;
    struct pg_peer_id id;      /* len 0: a free place */
    struct pg_endpoint from;   /* who has told of it */
    uint64_t until_us, head_ms;
    uint32_t life_s, n_addrs, n_told;
    bool unreachable;          /* it was dialled in vain: its place is another's when there is no other */
    struct pg_multiaddr addrs[PG_MDNS_ADDRS]; /* without /p2p */
    struct pg_multiaddr told[PG_MDNS_ADDRS];  /* what the control plane has been told of */
};

struct pg_mdns_socket {
    bool asked, open;          /* asked: whether it can be had is not known yet */
    uint32_t n_at;
    struct pg_endpoint at[PG_RESOLVED_MOST]; /* our addresses, by interface */
};

struct pg_mdns {
    struct pg_instance in;
    struct pg_timer timers[PG_MDNS_TIMERS];
    struct pg_node *node;
    char name[PG_MDNS_NAME + 1];
    struct pg_mdns_socket sockets[PG_MDNS_SOCKETS];
    uint64_t pause_ms, query_ms, answer_ms; /* the last two: what the timers take next */
    uint64_t answered_us;
    struct { uint32_t zone, asked; } owed[PG_MDNS_SOCKETS][PG_MDNS_INTERFACES];
    struct pg_rate datagrams, dials;
    struct { uint8_t ip[16]; struct pg_rate rate; } sources[PG_MDNS_SOURCES]; /* who has sent datagrams lately */
    uint32_t calls;            /* dials under way */
    bool announced;
    char reason[96];
    struct pg_mdns_peer peers[PG_MDNS_PEERS];
};

/* An answer has told of a peer, and this is where it came from. */
void pg_mdns_heard(struct pg_mdns *, const struct pg_mdns_heard *, const struct pg_input *);
void pg_mdns_peers_stop(struct pg_mdns *);
/* The shortest time that a known peer lives; 0 when there is none. */
uint64_t pg_mdns_shortest_life_ms(const struct pg_mdns *);
