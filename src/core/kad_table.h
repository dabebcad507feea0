/* The routing table: 256 buckets of at most 20 servers each, by how many leading bits they share with us, and for each bucket
 * some more that wait for a place. Plain C with the time as an argument. Called by the engine of Kademlia in src/core.
 * Serves libp2p/specs kad-dht/README.md, "Kademlia Routing Table". */
#pragma once
#include "core/kad_key.h"
#include "mem/blob.h"

#define PG_KAD_SPARES 10u      /* of one bucket: heard of when it was full */
#define PG_KAD_FAILURES 2u     /* in a row, until a server is out */
#define PG_KAD_SAME_NARROW 2u  /* servers of one IPv4 /24 or IPv6 /48 in a bucket, as many as go-libp2p takes of a group */
#define PG_KAD_SAME_WIDE 5u    /* of one IPv4 /16 or IPv6 /32 */
#define PG_KAD_REFRESHED 13u   /* buckets that can be refreshed: finding a key for one more would take twice as long */
#define PG_KAD_TARGET 34u      /* bytes of a raw key that stands for a place in a bucket: a multihash of SHA-256 */

enum pg_kad_heard {
    PG_KAD_HEARD_NEW,     /* it has found a place */
    PG_KAD_HEARD_KNOWN,   /* it was there */
    PG_KAD_HEARD_SPARE,   /* the bucket is full: it waits */
    PG_KAD_HEARD_REFUSED, /* ourselves, without addresses, one too many from its network, or no memory */
};

/* A server that is known. */
struct pg_kad_server {
    struct pg_kad_key key;
    struct pg_peer_id id;
    uint8_t bucket, n_addrs, failures;
    bool spare;
    uint8_t family;  /* of where it was seen: 0 when its networks are not counted */
    uint8_t seen[6]; /* the first bytes of that address */
    uint16_t addrs_len;
    uint32_t addrs; /* packed, among the table's texts */
    struct pg_kad_server *next, *previous; /* in its bucket, heard of later and earlier */
    uint64_t heard_us, failed_us;
};

struct pg_kad_bucket {
    struct pg_kad_server *first, *last;             /* heard of least recently, and last */
    struct pg_kad_server *first_spare, *last_spare;
    uint64_t asked_us; /* when a key in it was last looked up; 0: never */
    uint8_t n, n_spares;
};

struct pg_kad_table {
    struct pg_kad_key own;
    struct pg_pool servers;
    struct pg_blobs texts;
    struct pg_kad_bucket buckets[PG_KAD_BITS];
    uint32_t n, n_spares;
};

/* False when memory cannot be had. At most `most` servers, spares among them. */
bool pg_kad_table_init(struct pg_kad_table *, const struct pg_peer_id *own, uint32_t most);
void pg_kad_table_free(struct pg_kad_table *);

/* A server has been seen alive: it spoke Kademlia to us, or identify says that it serves. `from`: where it was seen, which is
 * what its networks are told by; NULL or family 0 when that is not known. A full bucket keeps who is there, unless somebody
 * there has failed. A known server without addresses here keeps those that it had. */
enum pg_kad_heard pg_kad_table_heard(struct pg_kad_table *, const struct pg_kad_contact *, const struct pg_endpoint *from,
                                     uint64_t now_us);
/* A dial to it or a request has failed: out after the second in a row, and a spare one comes in. Failures within a second of
 * one another are one. */
void pg_kad_table_failed(struct pg_kad_table *, const struct pg_peer_id *, uint64_t now_us);
/* It does not serve any more. */
void pg_kad_table_gone(struct pg_kad_table *, const struct pg_peer_id *);

/* The nearest, nearest first; returns how many. */
uint32_t pg_kad_table_nearest(const struct pg_kad_table *, const struct pg_kad_key *, uint32_t most, struct pg_kad_contact *out);
/* The same without the copies: valid until the table changes. most: PG_KAD_K + 1 at most. */
uint32_t pg_kad_table_nearest_servers(const struct pg_kad_table *, const struct pg_kad_key *, uint32_t most,
                                      const struct pg_kad_server **out);
void pg_kad_table_contact(const struct pg_kad_table *, const struct pg_kad_server *, struct pg_kad_contact *out);
/* False when it is not known; spare ones are found, too. */
bool pg_kad_table_find(const struct pg_kad_table *, const struct pg_peer_id *, struct pg_kad_contact *out);
/* All of them, for `status`: start with NULL. Spare ones are not among them. */
const struct pg_kad_server *pg_kad_table_next(const struct pg_kad_table *, const struct pg_kad_server *after);

/* For refresh: a key has been looked up, which also refreshes the bucket that it lies in. */
void pg_kad_table_asked(struct pg_kad_table *, const struct pg_kad_key *, uint64_t now_us);
/* The first bucket from `from` on, up to the deepest that holds anybody, that was not looked up since then; -1: none. */
int pg_kad_table_stale(const struct pg_kad_table *, uint32_t from, uint64_t since_us);
/* A raw key that lies in the bucket (below PG_KAD_REFRESHED): it has the form of a peer id, which all libraries take in
 * FIND_NODE. Different for each seed. */
void pg_kad_table_target(const struct pg_kad_table *, uint32_t bucket, uint64_t seed, uint8_t out[PG_KAD_TARGET]);

/* Bytes of memory that it has touched. */
size_t pg_kad_table_bytes(const struct pg_kad_table *);
