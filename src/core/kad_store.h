/* Records of the DHT: values and providers that others have left with us, and our own. Plain C with the time as an argument.
 * Everything has an end; what is past it is gone at the next look, so nobody has to be woken for it. Called by the engine of
 * Kademlia in src/core. Serves libp2p/specs kad-dht/README.md, "Entry validation" apart (kad_validate.h), "Content provider
 * advertisement and discovery"; publisher and ttl are rust-libp2p's. */
#pragma once
#include "core/kad_key.h"
#include "errors.gen.h"
#include "limits.gen.h"
#include "mem/blob.h"
#include "mem/keyed.h"

#define PG_KAD_OWN_RECORDS 256u

struct pg_kad_value {
    struct pg_bytes key, value;
    struct pg_bytes publisher; /* a peer id as it is said, or empty: nobody has proved it */
    uint64_t ttl_us;           /* that it is good for; 0: as long as we keep one */
};

/* By what is compared who holds most. */
enum pg_kad_measure { PG_KAD_MEASURE_RECORDS, PG_KAD_MEASURE_CELLS, PG_KAD_MEASURES };

/* Whoever has left records here. */
struct pg_kad_holder {
    struct pg_kad_holder *next;
    struct pg_kad_record *first, *last; /* oldest first */
    uint32_t held[PG_KAD_MEASURES], place[PG_KAD_MEASURES]; /* place: in the heaps */
    struct pg_peer_id id;
};

/* All that is kept under one raw key. */
struct pg_kad_entry {
    struct pg_kad_entry *next;
    struct pg_kad_record *value, *first, *last; /* providers: oldest first */
    uint32_t text;
    uint16_t key_len, n;
};

struct pg_kad_record {
    struct pg_kad_entry *entry;
    struct pg_kad_holder *holder;                       /* NULL: it is our own */
    struct pg_kad_record *next, *previous;              /* providers of the key */
    struct pg_kad_record *next_held, *previous_held;    /* of the holder */
    struct pg_kad_record *next_kept, *previous_kept;    /* of all, ours apart; oldest first */
    uint64_t until_us;
    uint32_t place;                                     /* in the heap */
    uint32_t text;                                      /* publisher and value, or packed addresses; 0: none */
    uint32_t len;
    uint8_t n_publisher;
    bool provides;
};

struct pg_kad_store {
    struct pg_peer_id own;
    struct pg_keyed hash;
    struct pg_pool records, entries, holders;
    struct pg_blobs texts;
    struct pg_kad_entry **by_key;
    struct pg_kad_holder **by_peer;
    struct pg_kad_record **heap;                        /* from 1: what ends first */
    struct pg_kad_holder **heaviest[PG_KAD_MEASURES];   /* from 1: who holds most */
    struct pg_kad_record *oldest, *newest;
    uint32_t n_buckets, n_heap, most, most_each, most_cells;
    uint32_t n_values, n_providers, n_own, own_cells;   /* ours are among the first two */
    uint64_t evicted;                                   /* so far, for newer ones */
};

/* False when memory cannot be had. hash_seed: nobody outside may know it, for peers choose keys. */
bool pg_kad_store_init(struct pg_kad_store *, const struct pg_peer_id *own, const struct pg_limits *, uint64_t hash_seed);
void pg_kad_store_free(struct pg_kad_store *);

/* A value from `from`; from ourselves it is our own. One that is there already gives way to the newer one, whoever sent
 * either, as in rust-libp2p; but our own stays. Beyond a peer's share its own oldest record gives way; when all is full, the
 * oldest of whoever holds most; and when nobody holds more than others, the oldest of all. PG_ERR_PROTOBUF_LIMIT: too long; PG_ERR_LIMIT_REACHED: no room. */
enum pg_err pg_kad_store_put(struct pg_kad_store *, const struct pg_kad_value *, const struct pg_peer_id *from, uint64_t now_us);
/* False when there is none. Key, value and publisher point into room; ttl_us is what is left. */
bool pg_kad_store_get(struct pg_kad_store *, struct pg_bytes key, uint64_t now_us, struct pg_kad_value *out,
                      uint8_t room[PG_KAD_VALUE_MAX + PG_PEER_ID_MAX]);

/* A provider of the key, which is the sender itself: who else might provide it is not the sender's to say, and the caller sees to that.
 * ourselves: a record of our own; its addresses are then whatever ours are when somebody asks. ttl_us 0: as long as we keep one. */
enum pg_err pg_kad_store_provide(struct pg_kad_store *, struct pg_bytes key, const struct pg_kad_contact *provider,
                                 uint64_t ttl_us, uint64_t now_us);
/* Providers of the key, newest first, at most `most`; of ours the addresses are missing, as of those that have said none. */
uint32_t pg_kad_store_providers(struct pg_kad_store *, struct pg_bytes key, uint64_t now_us, uint32_t most,
                                const struct pg_kad_record **out);
/* A provider's record as a contact: valid until the store changes. */
void pg_kad_store_contact(const struct pg_kad_store *, const struct pg_kad_record *, struct pg_kad_contact *out);

/* Whether a record of another peer with a key and a text of these lengths finds room, whoever has to give way for it. */
bool pg_kad_store_takes(const struct pg_kad_store *, size_t key_len, size_t len);

/* Our own records under the key go; those of others stay. */
void pg_kad_store_withdraw(struct pg_kad_store *, struct pg_bytes key);
/* Forgets what is past its end: done by all of the above. For counts that are to be shown. */
void pg_kad_store_expire(struct pg_kad_store *, uint64_t now_us);
/* Bytes of memory that it has touched. */
size_t pg_kad_store_bytes(const struct pg_kad_store *);
