/* Whom a forward uses: the machine resolve with its data, one for each --tunnel-by-name and for each --tunnel to a peer of which no
 * address was said. Called by forward.c; asks and visits through core/kad.h. */
#pragma once
#include "core/kad.h"
#include "resolve.gen.h"

#define PG_RESOLVE_CANDIDATES 16u
#define PG_RESOLVE_RATE 20u /* look-ups that one forward may begin in a minute, whatever happens */
#define PG_RESOLVE_AT_ONCE 14u /* from here on those that are due by the schedule have the rest */
#define PG_RESOLVE_COMPANY 6u  /* of them that newcomers may bring about: anybody can send some */

struct pg_resolve;

/* A peer that has the service, as far as we have heard. */
struct pg_candidate {
    struct pg_visitor visitor; /* first */
    struct pg_resolve *resolve;
    struct pg_visit *visit;
    struct pg_kad_contact peer;
    bool known;   /* somebody has said so, or it is connected */
    bool heard;   /* by the look-up that is out, or by the last */
    bool dialled; /* in this round */
    bool failed;  /* the last time: others come first */
    uint64_t refused_us;
    uint8_t renewed; /* how often it was to be dialled once more in this round, for somebody said another place */
    bool refused; /* it is connected and has said that it has no such service; until a look-up names it again */
};

struct pg_resolve_user {
    /* Somebody has the service now, and is connected: whoever waits may go on. */
    void (*connected)(void *context, struct pg_session *);
    /* A look-up has ended; from inside a step, so that this may only be noted. */
    void (*looked)(void *context);
    /* Nothing is heard of the peer in use, and another is about to be used: who has asked it and has no answer asks that one. */
    void (*recalled)(void *context, const struct pg_peer_id *);
};

/* Part of a forward. */
struct pg_resolve {
    struct pg_kad_asker asker; /* first */
    struct pg_instance in;
    struct pg_timer timers[PG_RESOLVE_TIMERS];
    struct pg_node *node;
    const struct pg_resolve_user *user;
    void *context;
    struct pg_bytes name;      /* of the service; empty: the peer is named */
    struct pg_bytes peer_text; /* of a peer that is named */
    const struct pg_peer_id *allowed;
    uint32_t n_allowed;        /* 0: all */
    struct pg_candidate *candidates, *used, *came; /* came: of which the event speaks */
    uint32_t n, room;
    struct pg_kad_query *query;
    uint64_t looked_us[PG_RESOLVE_RATE]; /* a ring: when the last look-ups began */
    bool by_company[PG_RESOLVE_RATE];    /* which of them newcomers have brought about */
    uint64_t due_us;           /* when the next look-up is due that nothing may put off; 0: none is */
    uint32_t n_looked, tries;
    uint64_t claimed;          /* what the last warning said, as a hash */
    bool local;                /* somebody here has asked for haste since the last look-up */
    bool told, failing;        /* since the last connection: that it is looked for, that it cannot be had */
    enum pg_err why, looked;   /* looked: what came of the last look-up */
    char reason[96];
};

/* Of a service (name), else of a peer. candidates: room for them, which stays the caller's. Names and lists are borrowed. */
struct pg_resolve_config {
    struct pg_bytes name, peer_text;
    struct pg_peer_id peer;
    const struct pg_peer_id *allowed;
    uint32_t n_allowed, room;
    struct pg_candidate *candidates;
};
void pg_resolve_begin(struct pg_resolve *, struct pg_node *, const struct pg_resolve_config *, const struct pg_resolve_user *, void *context,
                      uint32_t key);
void pg_resolve_end(struct pg_resolve *);
/* What the DHT is asked for: a service's name, or a peer's id as text. */
struct pg_bytes pg_resolve_wanted(const struct pg_resolve *);
void pg_resolve_look(struct pg_resolve *);     /* the control plane says so */
void pg_resolve_hurry(struct pg_resolve *);    /* a local client waits */
void pg_resolve_company(struct pg_resolve *);  /* one more Kademlia server is known */
/* A peer that is connected has told us that it provides the service: no look-up is needed for that, and none is counted. */
void pg_resolve_told(struct pg_resolve *, const struct pg_kad_contact *);
void pg_resolve_peer_up(struct pg_resolve *, struct pg_session *);
void pg_resolve_peer_lost(struct pg_resolve *, const struct pg_peer_id *); /* its last connection */
void pg_resolve_refused(struct pg_resolve *);  /* the one in use says that it has no such service */
void pg_resolve_peer_silent(struct pg_resolve *, const struct pg_peer_id *); /* nothing is heard on any connection with it */
/* Who is in use now, or NULL. */
const struct pg_peer_id *pg_resolve_used(const struct pg_resolve *);
