/* What this peer gives to others at most: counts by address, prefix and peer, rates, and the one way in which something is
 * turned away. Called by session.c and contact.c; numbers come from spec/limits.list.
 * Names and scopes follow go-libp2p's resource manager; its limits for each subnet are in p2p/host/resource-manager. */
#pragma once
#include "crypto/keys.h"
#include "crypto/multiaddr.h"
#include "limits.gen.h"
#include "logs.gen.h"
#include "mem/keyed.h"
#include "mem/pool.h"
#include "mem/rate.h"

#define PG_PLACE_KEY 48u

/* Who or where something is counted for. It lives as long as it counts anything or its rate is not calm. */
struct pg_place {
    struct pg_place *next, *next_idle, **previous_idle;
    uint8_t key[PG_PLACE_KEY];
    uint32_t conns, pending;
    uint32_t held;       /* by others than connections: what they count here is not forgotten */
    struct pg_rate accepts;
    /* What is relayed (relaying.h): reservations of an address; for a peer its slot, its circuits, and how often it asks. */
    uint32_t reservations, circuits_from, circuits_to;
    void *slot;
    struct pg_rate reserves, connects, targets;
    struct pg_rate punches; /* of a peer: what it has asked for; of an address: dials to it that a peer has asked for */
    void *first;         /* of a peer: its oldest session */
    bool came_in;        /* of a peer: it has opened a connection to us, and has had one since */
    uint64_t came_over;  /* which relay it came over then; 0: none */
    void *path;          /* of a peer that is or was connected over a relay */
    uint64_t record_seq; /* of a peer: of the newest signed record that it has shown while connected */
};

/* What one incoming connection occupies; zeroed: nothing. */
struct pg_seat {
    struct pg_place *address, *prefix;
    bool taken, pending;
};

struct pg_budget {
    struct pg_limits limits;
    struct pg_log *log;
    struct pg_metrics *metrics;
    struct pg_keyed hash;
    struct pg_pool places;
    struct pg_place **buckets, *idle, **idle_end; /* idle: count nothing, the one that has for longest first */
    uint32_t n_buckets;                           /* a power of two */
    uint32_t conns, inbound, pending, dials;
    struct pg_rate dial_rate;
    uint64_t told_us[PG_LIMITS];
    bool told[PG_LIMITS];
};

/* log and metrics are borrowed. False when memory cannot be had. */
bool pg_budget_init(struct pg_budget *, const struct pg_limits *, uint64_t seed, struct pg_log *, struct pg_metrics *);
void pg_budget_free(struct pg_budget *);

/* Takes a seat for a connection from there, or names the limit that forbids it; PG_LIMITS: none does. Those of all places
 * together are named when everything else allows it: then somebody else may be asked to go. */
enum pg_limit pg_budget_enter(struct pg_budget *, const struct pg_endpoint *from, uint64_t now_us, struct pg_seat *);
/* The same for one that comes over a relay, which counts as one address: who is behind it cannot be told apart. */
enum pg_limit pg_budget_enter_over(struct pg_budget *, const struct pg_peer_id *relay, uint64_t now_us, struct pg_seat *);
/* It is set up. */
void pg_budget_settle(struct pg_budget *, struct pg_seat *);
void pg_budget_leave(struct pg_budget *, struct pg_seat *);

/* Whether one more dial may begin, `pending` of them being under way to the same peer; counts it when it may. */
enum pg_limit pg_budget_dial(struct pg_budget *, uint32_t pending, uint64_t now_us);

/* Whether one more dial may begin to an address that another peer has named for hole punching: beside all else, so that nobody is
 * made to flood it. */
enum pg_limit pg_budget_punch(struct pg_budget *, const struct pg_endpoint *to, uint64_t now_us);

/* Whether one more dial may begin for something that others can wait for: half of the dials are left to what cannot. */
bool pg_budget_may_visit(const struct pg_budget *, uint64_t now_us);

/* What is kept for a peer; NULL when nothing is and `make` is false, or when there is no more memory. */
struct pg_place *pg_budget_peer(struct pg_budget *, const struct pg_peer_id *, bool make);
/* It counts one connection less, and may go. */
void pg_budget_unpeer(struct pg_budget *, struct pg_place *);
/* Somebody else needs it, or does not any more. */
void pg_budget_hold(struct pg_budget *, struct pg_place *);
void pg_budget_release(struct pg_budget *, struct pg_place *);

/* Counts a refusal, and tells of it at most once a second for each limit. what: NULL for what the limit usually turns away. */
void pg_budget_refuse(struct pg_budget *, enum pg_limit, const char *what, struct pg_bytes from, uint64_t now_us);
