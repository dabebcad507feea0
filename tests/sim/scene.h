/* One scenario of the simulator: peers, tunnels, clients and services that check every byte, faults, and what must hold.
 * Everything is drawn from one seed. Used by the files of tests/sim. */
#pragma once
#include "core/node_internal.h"
#include "service/peer.h"
#include "service/tunnel.h"
#include "sim/sim.h"

#include <stdio.h>

enum { PEERS_MOST = 4, PRIVATE = 2, SERVICES = 2, TALKS_MOST = 96, FORWARDS_MOST = 4, PEER_PORT = 4001, SERVICE_PORT = 7000, FORWARD_PORT = 9000, FAULTS_MOST = 6, LISTS_ROOM = 8192 };
#define SECONDS ((uint64_t)1000000)

/* How a client and its service talk. */
enum style {
    ASKS,         /* the client sends all and ends; then the service answers and ends */
    BOTH,         /* both at once, each ends when it is done */
    SERVED_FIRST, /* the service sends all and ends; then the client */
    PAUSES,       /* as BOTH, but one of them does not read for a while */
    LEAVES,       /* the client closes somewhere on the way */
    ABORTS,       /* the client resets somewhere on the way */
    SERVICE_ABORTS,
    STYLES
};

struct scene;
struct talk;

/* The client's or the service's end. */
struct side {
    struct talk *talk;
    struct scene *scene;
    struct pg_sim_socket *socket;
    bool is_service, connected, fin_sent, ended, lost, gone, paused, excused;
    const struct door *door; /* of a service: where it was reached */
    uint64_t sent, got, paused_at;
    uint8_t head[8]; /* of a service that does not know yet who calls */
};

struct talk {
    struct side client, service;
    uint32_t id;
    unsigned from, to;     /* peers */
    unsigned forward, service_number; /* of the former, of the latter */
    uint64_t begun_us;     /* 0: not yet */
    enum style style;
    uint64_t up, down;     /* bytes, the head of 8 among the former */
    uint64_t turn_at;      /* byte at which somebody leaves, aborts or pauses */
    uint64_t pause_us;
    bool slow_service;     /* it is the service that pauses */
    bool strict;           /* nothing is broken: it has to complete */
    bool relayed;          /* it began over a circuit, */
    bool switched;         /* and ended when there was a direct connection */
};

/* A --tunnel, and how the address of its peer is said. */
enum way { BY_IP, BY_DNS, BY_DNS4, BY_DNSADDR, WAYS };
struct forward {
    unsigned to, service;
    enum way way;
    bool on;
    bool by_bootstrap; /* the address stands in --bootstrap */
    bool unnamed;      /* and does not say who answers there */
    bool is_unix;      /* its listener */
    uint64_t since_us; /* that it is as it is */
};

/* An --expose: at which of the places of its service. */
enum target { AT_IP, AT_NAME, AT_UNIX, TARGETS };
struct offer {
    bool on;
    enum target target;
    unsigned allowed; /* bits of peers; 0: all */
    uint64_t since_us;
};

/* One place where a service listens. */
struct door {
    struct peer *peer;
    struct pg_sim_socket *socket;
    unsigned service;
    bool is_unix;
};

struct peer {
    struct scene *scene;
    unsigned number;
    struct pg_identity *identity;
    struct pg_peer *peer;
    struct pg_core core;                 /* what the world sees: perhaps with a planted fault */
    struct pg_sim_process *process;
    struct pg_peer_config config;
    struct pg_peer_expose exposed[SERVICES];
    struct pg_peer_forward tunnels[FORWARDS_MOST];
    struct forward forwards[FORWARDS_MOST];
    struct offer offers[SERVICES];
    uint8_t lists[LISTS_ROOM];           /* the same as text, as PG_INPUT_RELOAD brings it; the three above it point into it */
    size_t lists_len;
    unsigned dialled_before[PEERS_MOST]; /* connections that earlier lists have wanted, since the start */
    char addresses[PEERS_MOST][WAYS][160]; /* of the others */
    char records[2][160];                  /* TXT, of this one */
    struct door doors[SERVICES][2];
    struct pg_log log;
    bool tight; /* a limit is so low that refusals are right */
    bool ready, stopped, down; /* down: by a fault, and somebody will start it anew */
    int status;
};

struct fault {
    struct scene *scene;
    unsigned kind, a, b;
    uint64_t at_us, for_us;
    bool flag;
    const struct pg_sim_process *process; /* that was told to stop */
};

struct scene {
    struct pg_sim *sim;
    int tell_fd; /* for logs; -1: nowhere */
    struct fault faults[FAULTS_MOST];
    uint64_t seed, heal_us;
    struct peer peers[PEERS_MOST];
    struct talk talks[TALKS_MOST];
    struct side unknown[TALKS_MOST * 8];
    bool mdns;          /* everybody looks for peers of the local network */
    /* The first PRIVATE peers stand behind routers and have tunnels to each other; the others are relays. */
    bool circuits, punchable;
    bool limited;       /* circuits end at bytes or at a time */
    bool apart;         /* they cannot connect directly at first */
    unsigned n_peers, n_talks, n_unknown, n_faults, round;
    unsigned n_reloads;
    bool names_bad; /* from the start */
    bool stopping, heavy; /* heavy: much at once in both directions, so that windows grow and credit runs out */
    char failure[400];
    char story[1200]; /* the faults, for whoever reads of the failure */
};

/* What a peer holds. */
struct held {
    uint32_t links, conns, streams, negotiations, chunks, consumers, providers, timers, pending, questions, retired;
};

/* Says what does not hold; the first one stays. */
void scene_fail(struct scene *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void scene_note(struct scene *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* peers.c */
void peers_make(struct scene *);
void peer_start(struct peer *);
void peer_free(struct peer *); /* the core only: the same identity may start anew */
void peers_end(struct scene *);
struct held peer_held(const struct peer *);
bool peer_wants(const struct peer *, unsigned other);      /* it keeps up a connection to it, whatever the DHT does */
unsigned peer_visits(const struct peer *, unsigned other); /* connections that it has made to ask about the DHT */
bool peer_has_session(const struct peer *, unsigned other);

/* circuits.c: scenes of private peers and relays. */
void circuits_draw(struct scene *);          /* their network, when everything else of it is drawn */
void circuits_configure(struct peer *);
uint64_t circuits_start(const struct peer *);
void circuits_address(const struct peer *, unsigned to, bool by_id, char *out, size_t room);
bool circuits_direct(const struct peer *, unsigned other); /* a direct connection to it stands */
bool circuits_relayed(const struct peer *, unsigned other);
bool circuits_at_rest(const struct peer *, char why[200]);
void circuits_check(struct scene *); /* what talks have been through */

/* lists.c: what a peer offers and uses. */
void lists_draw(struct peer *);              /* at the start; all identities are known */
void lists_change(struct peer *);            /* somebody edits the file */
bool lists_reload(void *peer, uint8_t **data, size_t *len); /* and SIGHUP comes; see struct pg_sim_hooks */
void reloads_plan(struct scene *, uint64_t from_us, uint64_t for_us);
/* Connections that a peer may have dialled to another: each contact dials until it is connected. A bootstrap peer whose address
 * names no peer is a contact of its own. */
unsigned lists_dials(const struct peer *, unsigned to);

/* talks.c */
void services_open(struct scene *, unsigned peer);
void services_close(struct scene *, unsigned peer, bool connections); /* connections: those that stand are reset, too */
void talk_plan(struct scene *, bool strict);
void talk_begin(struct scene *, struct talk *);
/* Whoever sees an end before all bytes may not blame the peer: it was killed, or told to stop. */
void talks_excuse(struct scene *, unsigned peer, bool stopped);
/* Something of their tunnel is not as it was: those that are not served yet may find nothing. */
void talks_doubt_forward(struct scene *, unsigned peer, unsigned forward);
void talks_doubt_service(struct scene *, unsigned peer, unsigned service);
void talks_check(struct scene *);
bool talks_over(const struct scene *);

/* faults.c */
void faults_plan(struct scene *);
void names_spoil(struct scene *);
void faults_heal(struct scene *); /* whatever is still broken; paths, services and peers are as at the start then */

/* scenario.c: true when all held. */
struct scene_result {
    uint64_t trace, bytes;
    unsigned peers, talks, completed, strict, faults, reloads, relayed, switched;
    char failure[400], story[1200];
};
bool scene_run(uint64_t seed, int tell_fd, struct scene_result *);


/* The core as the world sees it: itself, or with a planted fault. */
extern struct pg_core (*scene_wrap)(struct pg_core);
