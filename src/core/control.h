/* The control plane: phase, nat and relay stepping together, under the seed's names for events and commands.
 * Called by node.c with one event at a time; commands are data that node.c carries out afterwards.
 * Serves spec/system/node.sys; the peers it knows are in peer_book.h. */
#pragma once
#include "core/peer_book.h"
#include "nat.gen.h"
#include "node_system.gen.h"
#include "core/relay_book.h"
#include "phase.gen.h"
#include "relay.gen.h"

/* The seed's 17 events, and two of ours. */
enum pg_seed_event_kind {
    PG_SEED_LISTENING_ON,               /* addr */
    PG_SEED_BOOTSTRAP_CONNECTED,        /* peer, addr */
    PG_SEED_SHUTDOWN_REQUESTED,
    PG_SEED_KADEMLIA_BOOTSTRAP_OK,
    PG_SEED_KADEMLIA_BOOTSTRAP_FAILED,  /* reason */
    PG_SEED_MDNS_DISCOVERED,            /* places */
    PG_SEED_MDNS_EXPIRED,               /* places */
    PG_SEED_PEER_IDENTIFIED,            /* peer, places: all of this peer; hop, seen */
    PG_SEED_NAT_STATUS_CHANGED,         /* nat */
    PG_SEED_DISCOVERY_TIMEOUT,          /* phase's own timer; from outside it means: at once */
    PG_SEED_RELAY_RESERVATION_ACCEPTED, /* peer, lease_ms */
    PG_SEED_RELAY_RESERVATION_FAILED,   /* peer, reason */
    PG_SEED_HOLE_PUNCH_SUCCEEDED,       /* peer */
    PG_SEED_HOLE_PUNCH_FAILED,          /* peer, reason */
    PG_SEED_CONNECTION_LOST,            /* peer, remaining */
    PG_SEED_SERVICE_PROVIDERS_FOUND,    /* name, n_places */
    PG_SEED_SERVICE_LOOKUP_FAILED,      /* name, reason */
    PG_SEED_NODE_STARTED,               /* ours: once, before all others */
    PG_SEED_NO_BOOTSTRAP_PEERS,         /* ours: all listeners stand and no bootstrap peer is configured */
    PG_SEED_EVENTS
};

/* The seed's 12 commands, and one of ours. */
enum pg_seed_command_kind {
    PG_DO_DIAL,                      /* addr */
    PG_DO_LISTEN,                    /* addr */
    PG_DO_KADEMLIA_BOOTSTRAP,
    PG_DO_KADEMLIA_ADD_ADDRESS,      /* peer, addr */
    PG_DO_KADEMLIA_START_PROVIDING,  /* name: of the service */
    PG_DO_KADEMLIA_PUT_RECORD,       /* name */
    PG_DO_KADEMLIA_GET_PROVIDERS,    /* name */
    PG_DO_REQUEST_RELAY_RESERVATION, /* peer, addr */
    PG_DO_ADD_EXTERNAL_ADDRESS,      /* addr */
    PG_DO_PUBLISH_SERVICES,          /* opens a round: one START_PROVIDING and one PUT_RECORD a service follow */
    PG_DO_LOG,                       /* text, and whatever the event carried */
    PG_DO_SHUTDOWN,
    PG_DO_RELEASE_RELAY_RESERVATION, /* ours: peer; the circuit listener closes and its addresses are withdrawn */
    PG_SEED_COMMANDS
};

const char *pg_seed_event_name(enum pg_seed_event_kind);     /* as the seed writes it: "ListeningOn" */
const char *pg_seed_command_name(enum pg_seed_command_kind); /* "PublishServices" */

/* The status as the nat machine numbers its states. */
enum pg_seed_nat { PG_SEED_NAT_UNKNOWN, PG_SEED_NAT_PUBLIC, PG_SEED_NAT_PRIVATE };

struct pg_seed_place {
    struct pg_peer_id peer;
    struct pg_multiaddr addr;
};

#define PG_CONTROL_PLACES 128u   /* of one event; more are left out */
#define PG_CONTROL_SERVICES 128u /* exposed, and as many looked up */
#define PG_CONTROL_ADDRS 64u     /* to listen on, and as many to bootstrap from */
#define PG_CONTROL_COMMANDS 512u /* of one drain: above what any turn can make */

struct pg_seed_event {
    enum pg_seed_event_kind kind;
    const struct pg_peer_id *peer;
    const struct pg_multiaddr *addr;
    const struct pg_seed_place *places;
    size_t n_places;
    struct pg_bytes reason, name;
    enum pg_seed_nat nat;
    uint32_t remaining;
    uint64_t lease_ms; /* 0: an hour */
    int hop;           /* the peer relays: 1 yes, -1 no, 0 not said */
    const struct pg_multiaddr *seen; /* where it is seen itself, or NULL */
};

/* Borrows from the event, the configuration and the book: to be carried out before the next event. */
struct pg_seed_command {
    enum pg_seed_command_kind kind;
    const struct pg_peer_id *peer;
    const struct pg_multiaddr *addr;
    struct pg_bytes name, reason;
    const char *text;
    uint8_t machine; /* of LOG: enum pg_machine_id of the one that says it */
    size_t count;
};

/* What one turn did, for the line `phase transition`. */
struct pg_control_turn {
    const char *event;     /* the seed's name */
    const char *from, *to; /* phases, the seed's names */
    uint32_t n_commands;
};

/* Set by the caller and kept by it; names and addresses are borrowed for the life of the plane. */
struct pg_control_config {
    const struct pg_multiaddr *listens, *bootstraps;
    size_t n_listens, n_bootstraps;
    const struct pg_bytes *exposed, *wanted; /* service names: those we offer, those we look up */
    size_t n_exposed, n_wanted;
    uint32_t n_relays; /* to be held while private, PG_MAX_RELAYS at most */
    uint64_t seed; /* for jitter */
    void (*told)(void *context, const struct pg_control_turn *); /* after each turn; may be NULL */
    void *context;
};

struct pg_phase {
    struct pg_instance in;
    struct pg_timer timers[PG_PHASE_TIMERS];
    struct pg_control_plane *plane;
};

struct pg_nat {
    struct pg_instance in;
    struct pg_control_plane *plane;
};

struct pg_relay {
    struct pg_instance in;
    struct pg_timer timers[PG_RELAY_TIMERS];
    struct pg_control_plane *plane;
    struct pg_peer_id peer; /* that has been asked; len 0: none */
    struct pg_peer_id left, told; /* of this turn's commands */
    bool asked;             /* something may be there to be given back */
    uint64_t lease_ms;
};

struct pg_control_plane {
    struct pg_phase phase;
    struct pg_nat nat;
    struct pg_relay relays[PG_MAX_RELAYS];
    struct pg_control_config config;
    struct pg_peer_book book;
    struct pg_relay_book relays_known;
    /* Kept by the node, asked by facts. */
    uint32_t judges;  /* connected peers that could tell us whether we are reachable */
    bool can_reserve; /* the relay client exists */
    /* Of the turn. */
    const struct pg_seed_event *event; /* NULL in a timer's turn */
    uint8_t phase_told;
    uint32_t n_commands, polled;
    struct pg_seed_command commands[PG_CONTROL_COMMANDS]; /* the last: most turns touch its beginning only */
};

#define PG_CONTROL_TIMERS (PG_PHASE_TIMERS + PG_NAT_TIMERS + PG_MAX_RELAYS * PG_RELAY_TIMERS)
#define PG_CONTROL_PENDING (8u + 2 * PG_MAX_RELAYS)

/* The scope is the caller's, with room for PG_CONTROL_TIMERS and PG_CONTROL_PENDING; its `next` must ask
 * pg_control_plane_hearer for the three machines. */
void pg_control_plane_init(struct pg_control_plane *, const struct pg_control_config *, struct pg_scope *);
void pg_control_plane_end(struct pg_control_plane *);

/* The instance of phase, nat or relay that follows `after` (NULL: the first); NULL for other machines and at the end. */
struct pg_instance *pg_control_plane_hearer(struct pg_control_plane *, unsigned machine, const struct pg_instance *after);

/* One turn: takes what the event says into the book, steps who hears it, tells the turn. */
void pg_control_plane_input(struct pg_control_plane *, const struct pg_seed_event *);
/* After pg_timers_run: tells the turn that a timer has made, if one has. */
void pg_control_plane_settle(struct pg_control_plane *);
/* The next command; false when there is none. To be drained to the end after every input and every settle. */
bool pg_control_plane_poll(struct pg_control_plane *, struct pg_seed_command *);

/* Names as users see them. */
const char *pg_control_plane_phase(const struct pg_control_plane *);
const char *pg_control_plane_nat(const struct pg_control_plane *);
const char *pg_control_plane_relay(const struct pg_control_plane *); /* of all reservations the one that has come farthest */

/* For phase.c, nat.c and relay.c: appends a command; the caller fills in what it carries. */
struct pg_seed_command *pg_control_plane_do(struct pg_control_plane *, enum pg_seed_command_kind);
/* The same for Log: the words, and the peer, address, name, reason and count of the turn's event. */
void pg_control_plane_note(struct pg_control_plane *, const struct pg_instance *from, const char *words);
