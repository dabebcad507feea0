/* What libp2p peers say over multicast DNS: who asks for peers, and which peer an answer tells of.
 * Used by src/core/mdns.c; opens nothing. Serves libp2p/specs discovery/mdns.md, and RFC 6763 for those who list services. */
#pragma once
#include "core/dns.h"
#include "crypto/multiaddr.h"

#define PG_MDNS_NAME 32u        /* bytes of a peer's name in these messages: random, of this start only */
#define PG_MDNS_ADDRS 8u        /* of one peer */
#define PG_MDNS_PEERS_MAX 16u   /* that are read of one message */
#define PG_MDNS_ANSWER_MAX 1440u /* what one Ethernet frame takes of UDP over IPv6, nearly */

/* What a question asks for, as bits. */
enum pg_mdns_asked {
    PG_MDNS_ASKS_PEERS = 1,    /* _p2p._udp.local PTR: everybody */
    PG_MDNS_ASKS_SERVICES = 2, /* _services._dns-sd._udp.local PTR */
    PG_MDNS_ASKS_INSTANCE = 4, /* SRV or TXT of our own name */
    PG_MDNS_ASKS_HOST = 8,     /* A or AAAA of our own host's name */
};

/* What we tell of ourselves on one interface. */
struct pg_mdns_self {
    char name[PG_MDNS_NAME + 1];
    const struct pg_multiaddr *addrs; /* each with our peer id at its end */
    uint32_t n_addrs;                 /* as many as there is room for are told */
    struct pg_endpoint at[4];         /* our addresses on this interface, for A and AAAA */
    uint32_t n_at;
    uint16_t port;                    /* for SRV, which nobody of libp2p reads */
};

size_t pg_mdns_write_query(uint8_t *to, size_t room, uint16_t id);
/* With ttl_s 0 it says farewell, RFC 6762 section 10.1. 0: no room. */
size_t pg_mdns_write_answer(uint8_t *to, size_t room, const struct pg_mdns_self *, unsigned asked, uint32_t ttl_s);

/* A peer that an answer tells of. Its addresses are TCP's and end in its id; whether they may be dialled is not looked at. */
struct pg_mdns_heard {
    struct pg_peer_id peer;
    uint32_t ttl_s, n_addrs;
    struct pg_multiaddr addrs[PG_MDNS_ADDRS];
};
/* Which of enum pg_mdns_asked a message asks for, 0 for one that asks nothing of us; name: our own. */
unsigned pg_mdns_read_query(struct pg_bytes message, const char *name);
/* Calls `each` for every peer that an answer tells of, but for the one of that name, which is us. */
void pg_mdns_read_answer(struct pg_bytes message, const char *name, void (*each)(void *, const struct pg_mdns_heard *), void *context);
