/* Kademlia's key space, and what goes through it: places of keys and peers, distances, the keys of services, contacts.
 * Called by everything of Kademlia. Serves libp2p/specs kad-dht/README.md, "Distance" and "Replication parameter (k)". */
#pragma once
#include "crypto/multiaddr.h"

#define PG_KAD_K 20u
#define PG_KAD_BITS 256u
#define PG_KAD_KEY_MAX 1024u        /* bytes of a raw key, as in spec/proto/kad.bounds */
#define PG_KAD_VALUE_MAX 65536u     /* and of a record's value */
#define PG_KAD_SERVICE_KEY_MAX 288u /* "/punchgate/svc/" and a name of at most 255 bytes */
#define PG_KAD_ADDRS 8u             /* of one peer; more are left out */

/* SHA-256 of a record's key, or of a peer id's multihash. */
struct pg_kad_key {
    uint8_t at[32];
};

void pg_kad_key_of(struct pg_kad_key *, struct pg_bytes raw);
void pg_kad_key_of_peer(struct pg_kad_key *, const struct pg_peer_id *);
/* Below 0: a is nearer to the target than b; 0: they are the same. */
int pg_kad_nearer(const struct pg_kad_key *target, const struct pg_kad_key *a, const struct pg_kad_key *b);
void pg_kad_distance(const struct pg_kad_key *a, const struct pg_kad_key *b, struct pg_kad_key *out);
/* Equal leading bits: 256 for a key and itself. */
uint32_t pg_kad_common_bits(const struct pg_kad_key *, const struct pg_kad_key *);

/* The raw key of a service's records, /punchgate/svc/NAME, as the original has it. False: the name is empty or too long. */
bool pg_kad_service_key(struct pg_bytes name, uint8_t out[PG_KAD_SERVICE_KEY_MAX], size_t *len);

/* A peer with addresses, which end without /p2p; borrowed until the call returns. */
struct pg_kad_contact {
    struct pg_peer_id id;
    uint32_t n_addrs;
    struct pg_multiaddr addrs[PG_KAD_ADDRS];
};

/* As it is kept: each address behind its length. What does not fit is left out; *n says how many did. */
size_t pg_kad_addrs_pack(const struct pg_multiaddr *addrs, uint32_t n_addrs, uint8_t *out, size_t room, uint8_t *n);
uint32_t pg_kad_addrs_unpack(struct pg_bytes packed, struct pg_multiaddr out[PG_KAD_ADDRS]);
