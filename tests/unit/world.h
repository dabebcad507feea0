/* A world of links and time in memory: a real provider of services, the real core of an attacker that writes raw bytes on
 * tunnel streams, and a local service that behaves as told. Used by hostile_tunnel_test.c.
 * Drives two cores through runtime/port.h, as a loop does. */
#pragma once
#include "crypto_suite.h"
#include "service/peer.h"
#include "transport/yamux.h"

enum { VICTIM, ATTACKER, CORES };
enum service { ECHO, DOWN, SLOW, CLOSES, NEVER_READS, ENDS_FIRST, RESETS, POURS };

/* The loop's side of one link. */
struct end {
    unsigned core;
    struct pg_link *link;
    struct end *other;           /* in another core; NULL for local services and listeners */
    bool service, end_asked, end_told, close_asked, got_end, up;
    uint8_t said[4096];          /* what a service has got, its start */
    uint64_t got;
};

struct world {
    struct pg_core cores[CORES];
    struct pg_peer *victim;
    struct pg_node *attacker;
    struct pg_identity *keys[CORES];
    struct pg_session *session; /* of the attacker */
    struct pg_link *listener;
    struct end *ends[512];
    unsigned n_ends, n_lost;
    uint64_t now_us;
    enum service service;
    bool stalled;               /* the attacker takes nothing from its socket */
    size_t most_unsent;         /* of any link that goes to the attacker */
    struct end *last;           /* service link */
    unsigned n_dialled;
};

/* One stream of the attacker. */
struct raw {
    struct world *w;
    struct pg_stream *stream;
    uint8_t in[8192];
    size_t got;
    unsigned n_ended, n_closed;
    enum pg_err why;
    uint64_t to_send;
    bool hoards;                /* gives no window back */
};

/* What the victim holds when nothing runs: to be the same after every attack. */
struct held {
    uint32_t streams, chunks, secrets;
};

/* Both cores started and connected. */
struct world *world_new(void);
void world_free(struct world *);
/* The same where either may fail: NULL when a core cannot be made, and perhaps no session; world_dial tries for one again. */
struct world *world_try(void);
void world_dial(struct world *);
void world_drop(struct world *);
/* Until nothing moves any more; and letting time pass. */
void world_settle(struct world *);
void world_pass(struct world *, uint64_t ms);
struct pg_transport *world_victims(struct world *);
struct held world_held(struct world *);
void world_check_nothing_left(struct world *, struct held before);

/* A raw stream on which `text` has been said. */
void raw_say(struct world *, struct raw *, struct pg_bytes text);
void raw_say_perf(struct world *, struct raw *, struct pg_bytes text); /* on a stream of perf */
/* The same for a request with its length before it; framed writes the two. */
void raw_ask(struct world *, struct raw *, struct pg_bytes json);
/* As raw_ask for a short request, where the stream may not come about: false then. */
bool raw_try(struct world *, struct raw *, struct pg_bytes json);
size_t raw_framed(uint8_t *out, struct pg_bytes json);
/* Sends r->to_send bytes as the credit allows, now and whenever it comes back. */
void raw_send(struct raw *);
bool raw_answered(const struct raw *, const char *json);
bool raw_rejected_because(const struct raw *, const char *words);
