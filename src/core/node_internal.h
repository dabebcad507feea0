/* What the files of src/core share: the node's insides. */
#pragma once
#include "core/address_book.h"
#include "core/autonat.h"
#include "core/budget.h"
#include "core/control.h"
#include "core/kad_internal.h"
#include "core/kad_serve.h"
#include "core/listener.h"
#include "core/node.h"
#include "core/observed.h"
#include "core/path.h"
#include "core/ping.h"
#include "core/probe.h"
#include "core/punch.h"
#include "core/reach.h"
#include "core/relaying.h"
#include "core/relayed.h"
#include "core/reserve.h"
#include "core/ways.h"
#include "bootstrap.gen.h"
#include "dial.gen.h"
#include "identify.gen.h"
#include "mem/arena.h"
#include "shutdown.gen.h"
#include "pulse.gen.h"
#include "spare.gen.h"
#include "transport/circuit.h"
#include "transport/conn.h"

#define PG_MAX_HANDLERS 32u
#define PG_MAX_LOOKUPS 256u       /* questions about names, of all contacts */
#define PG_CONTACT_QUESTIONS 32u  /* that one round may ask */
#define PG_CONTACT_TARGETS 32u    /* addresses that one round may dial */
#define PG_CONTACT_LEARNT 8u
#define PG_CONTACT_RELAYS 4u      /* that one round may ask for a circuit */
#define HOST_OF(type, member, p) ((struct type *)((char *)(uintptr_t)(p) - offsetof(struct type, member)))

struct pg_dial {
    struct pg_instance in;
    struct pg_timer timers[PG_DIAL_TIMERS];
};
struct pg_bootstrap {
    struct pg_instance in;
    struct pg_timer timers[PG_BOOTSTRAP_TIMERS];
};
struct pg_contact {
    struct pg_bootstrap bootstrap;
    struct pg_dial dial;
    struct pg_node *node;
    struct pg_peer_id peer; /* empty until known */
    struct pg_multiaddr addrs[PG_CONTACT_ADDRS];
    uint32_t n_addrs, pending;
    uint32_t backoff_ms, delay_ms;
    uint64_t tried_us, hurried_until_us;
    enum pg_err why;
    char reason[PG_RELAYED_REASON];
    struct pg_visit *visits; /* users for whom a connection is enough, now */
    uint32_t as_relay;       /* of these, how many want it as a relay: it has to be reached without one */
    bool wanted;             /* by others than these */
    bool used, started, is_bootstrap, for_ever, tried, failing;
    bool brief;              /* its last connection did not last: who is refused comes back no sooner than who is not there */
    bool waited_in_vain;     /* for a direct connection, the last time */
    uint64_t up_us;          /* since when it is connected, or was the last time */
    /* names.c: what this round may dial, and the questions it has asked; the last, for most contacts never touch it */
    uint32_t n_targets, next_target, n_asked, asking;
    uint64_t asked[PG_CONTACT_QUESTIONS];
    struct pg_multiaddr targets[PG_CONTACT_TARGETS];
    /* What may be dialled besides what the user has said, and is tried behind it: what the peer itself has offered last, then
     * what others say of it. */
    uint32_t n_learnt, n_offered;
    struct pg_multiaddr learnt[PG_CONTACT_LEARNT];
};
/* A question about a name that is open. */
struct pg_lookup {
    struct pg_contact *contact; /* NULL: a free place */
    struct pg_multiaddr addr;
    uint32_t number;            /* its place, and how many were asked before */
    uint8_t depth;              /* records that led to it */
};
void pg_names_begin(struct pg_contact *);
void pg_names_join(struct pg_contact *, const struct pg_multiaddr *); /* one more address for the round that is under way */
bool pg_names_more(const struct pg_contact *); /* one that this round has not tried */
const struct pg_multiaddr *pg_names_next(struct pg_contact *);
bool pg_names_relayed_only(const struct pg_contact *); /* no other way to it is wanted */
void pg_names_drop(struct pg_contact *); /* no answer of this round is wanted any more */
void pg_names_answered(struct pg_node *, const struct pg_input *);

/* The listeners stand, or there are none: dials may leave from their ports. */
void pg_contacts_go(struct pg_node *);
void pg_contacts_stop(struct pg_node *);
void pg_contact_release(struct pg_contact *); /* nobody wants it any more: its place is free for another */
/* Of the contacts that somebody wants, the first behind `after`; NULL: the very first, and nothing behind the last. */
struct pg_contact *pg_contact_next(struct pg_node *, const struct pg_contact *after);
/* The same of those of one peer, which are several when addresses did not say who answers there. */
struct pg_contact *pg_contact_find(struct pg_node *, const struct pg_peer_id *, const struct pg_contact *after);
/* Why the round that is under way may fail; what fails later says it better. */
void pg_contact_note(struct pg_contact *, enum pg_err, struct pg_bytes reason);
void pg_contact_attempt_failed(struct pg_contact *, struct pg_session *, enum pg_err, struct pg_bytes reason);
void pg_contacts_peer_up(struct pg_session *);
void pg_contacts_peer_lost(struct pg_node *, const struct pg_peer_id *);
/* Nothing is heard on any connection to it: one more is dialled, if it is wanted. */
void pg_contacts_doubt(struct pg_node *, const struct pg_peer_id *);
/* Somebody else has named these for it, and they have passed pg_offer_good; a round that is under way tries them as well. Nobody
 * can keep others from being heard by naming many: of a full list the oldest hearsay gives way, half of the list at most. False:
 * they were known. */
bool pg_contact_hear(struct pg_contact *, const struct pg_multiaddr *, uint32_t n);
/* The same for whoever wants the peer, if anybody does. */
void pg_contacts_hear(struct pg_node *, const struct pg_peer_id *, const struct pg_multiaddr *, uint32_t n);
/* Addresses that the peer offers and that have passed pg_offer_good. */
void pg_contacts_learn(struct pg_node *, const struct pg_peer_id *, const struct pg_multiaddr *, uint32_t n);

struct pg_identify {
    struct pg_instance in;
    struct pg_timer timers[PG_IDENTIFY_TIMERS];
    struct pg_stream *stream, *pushed;  /* what we asked on; what the peer pushes on */
    struct pg_queue text, pushed_text;  /* of the message so far */
    uint8_t n_messages, n_pushed;       /* on these streams */
    bool placed;                        /* the peer has named an address */
    struct pg_rate pushes;
};
struct pg_spare {
    struct pg_instance in;
    struct pg_timer timers[PG_SPARE_TIMERS];
};
struct pg_pulse {
    struct pg_instance in;
    struct pg_timer timers[PG_PULSE_TIMERS];
    bool lively;
};
struct pg_session {
    struct pg_link_owner owner;
    struct pg_node *node;
    struct pg_conn *conn;
    struct pg_contact *contact; /* that dials or dialled it */
    struct pg_hole *hole;       /* or that does, while it is not up */
    struct pg_circuit *circuit; /* that it runs over */
    bool relayed;               /* over a circuit */
    struct pg_probe *probe;     /* or whose it is for all its life */
    struct pg_session *next, *previous, *next_doomed;
    struct pg_session *next_pending, **previous_pending; /* of those that others have opened and that are being set up */
    struct pg_session *next_same;                        /* of the same peer, younger */
    struct pg_place *place;                              /* of the peer, while the session is up */
    struct pg_seat seat;                                 /* of one that came in */
    struct pg_identify identify;
    struct pg_ping ping;
    struct pg_spare spare;
    struct pg_punch_role role;
    struct pg_pulse pulse;
    struct pg_kad_seat kad_seat;
    uint64_t up_us, idle_us, rtt_us, bytes_in; /* idle_us: since when it carries nothing */
    struct pg_multiaddr dialled, observed;
    struct pg_endpoint seen; /* where its peer sees us, as it was heeded last */
    uint64_t seen_us;        /* when that was heeded */
    char peer_text[PG_PEER_ID_TEXT];
    char agent[64];
    bool up, listed, dialing;
    uint64_t accepted; /* of those that others have opened, its number */
    bool probes;     /* it is a probe's, and never up for anybody else */
    uint8_t autonat; /* which versions of AutoNAT its peer serves, as identify says: a bit for each */
    int8_t hop;      /* identify has said that it relays 1, or not -1 */
    uint16_t relay_port; /* where it listens, by what it says */
    bool kad_asked;  /* identify has said under which ids it serves Kademlia: kad_ids, a bit for each */
    uint8_t kad_ids;
    uint8_t hops_asked; /* hop streams without a request yet */
    bool visits;     /* we have dialled it for something that passes */
    bool widens; /* we have dialled it although another connection to its peer stood */
    bool surplus; /* both sides take another connection before it, and ours is the side that closes it */
    bool spares; /* the machine spare runs for it */
    bool suspect; /* nothing is heard on it although something should be */
    struct pg_path *reverses; /* it is dialled for want of a direct connection */
    char reason[PG_RELAYED_REASON];
};
struct pg_session *pg_session_accept(struct pg_node *, struct pg_link *, const struct pg_endpoint *remote,
                                     const struct pg_endpoint *local);
/* One over a circuit, whose peer has to be this one; pg_circuit_carry brings it to life. NULL: there is no room, and the link is lost. */
struct pg_session *pg_session_accept_over(struct pg_node *, struct pg_link *, const struct pg_peer_id *source);
/* Starts a dial; NULL when the address cannot be dialled, memory is short, or a limit forbids it (*limit, else PG_LIMITS). */
struct pg_session *pg_session_dial(struct pg_node *, struct pg_contact *, const struct pg_multiaddr *, enum pg_limit *limit);
/* The same for a dial that may meet the other side's and become one connection with it, hence from the listening port or not at
 * all. client: our role in the handshakes, whoever will have opened the socket. `beside` dials to the same peer are under way. */
struct pg_session *pg_session_punch(struct pg_node *, struct pg_hole *, const struct pg_peer_id *, const struct pg_multiaddr *,
                                    bool client, uint32_t beside, enum pg_limit *limit);
/* A plain dial beside a relayed connection, for no contact, and from a port of its own: a punch may be under way from the listening
 * one. False when it cannot be. */
bool pg_session_reverse(struct pg_node *, struct pg_path *, const struct pg_multiaddr *addr);
/* Its SYN may have been lost: another one takes its place, unless it has been answered. */
void pg_session_punch_again(struct pg_session *);
/* For probe.c: from a port of its own. */
struct pg_session *pg_session_probe(struct pg_node *, struct pg_probe *, const struct pg_peer_id *, const struct pg_multiaddr *);
void pg_session_drop(struct pg_session *, enum pg_err);
void pg_sessions_drop(struct pg_node *, bool relayed); /* all of them that are relayed, or that are not: we leave */
void pg_session_expel(struct pg_session *, enum pg_err); /* by a reset */
/* Ends connections that hold memory and do not go on, while it is short. */
void pg_sessions_relieve(struct pg_node *);
void pg_sessions_reap(struct pg_node *);
void pg_session_arrived(void *node, struct pg_conn *);
void pg_session_lost(void *node, struct pg_conn *, enum pg_err);
void pg_session_emptied(void *node, struct pg_conn *);
void pg_session_moved(void *node, struct pg_conn *);
/* It is closed again when it has carried nothing for a while and nobody needs it. */
void pg_spare_begin(struct pg_session *);
void pg_spare_end(struct pg_session *);
/* Of the connections to the peer of one that has come up, those that are too many. */
void pg_spares_find(struct pg_session *newest);
void pg_pulse_begin(struct pg_session *);
void pg_pulse_end(struct pg_session *);
/* The limit that forbids one more stream of the connection's peer; PG_LIMITS: none. */
enum pg_limit pg_session_forbids(void *node, struct pg_conn *);

extern const struct pg_handler pg_identify_serve, pg_identify_push_take, pg_ping_serve;
void pg_identify_start(struct pg_session *);
void pg_identify_end(struct pg_session *);
void pg_identify_push(struct pg_node *); /* our addresses have changed: tell every peer */

/* Our own signed record: made again when what it says changes. */
struct pg_own_record {
    uint8_t envelope[1536], basis[1280]; /* basis: the record as it would be with number 0 */
    uint16_t len, basis_len;             /* len 0: none yet */
    uint64_t seq;
};

struct pg_shutdown {
    struct pg_instance in;
    struct pg_timer timers[PG_SHUTDOWN_TIMERS];
};

struct pg_node {
    struct pg_node_config config;
    struct pg_node_hooks hooks;
    struct pg_kad kad;
    struct pg_scope scope;
    struct pg_transport transport;
    struct pg_metrics metrics;
    struct pg_log silent;
    struct pg_log *log;
    struct pg_budget budget;
    struct pg_address_book addresses;
    struct pg_kad_serving kad_serving;
    struct pg_relaying relaying;
    struct pg_circuit_ends circuit_ends;
    struct pg_punching punching;
    struct pg_mdns *mdns; /* NULL: nobody looks */
    struct pg_pool chunks, links, session_pool, paths;
    struct pg_command *commands; /* FIFO of this turn */
    struct pg_link *gone;        /* given up by the loop, and kept until no command can name them */
    uint32_t command_head, n_commands, command_room;
    struct pg_arena arena;
    struct pg_control_plane control;
    struct pg_shutdown shutdown;
    struct pg_listener listeners[PG_MAX_LISTENS];
    struct pg_multiaddr addrs[64]; /* where we can be dialled */
    uint32_t n_addrs;
    uint64_t addrs_told; /* a hash of what others know as our addresses; 0: nothing */
    struct pg_observed observed;
    struct pg_autonat autonat;
    struct pg_reach reach;
    struct pg_ways ways;
    struct pg_own_record record;
    struct pg_hop_reserve reservations[PG_RESERVATIONS];
    struct pg_contact contacts[PG_MAX_CONTACTS];
    struct pg_lookup lookups[PG_MAX_LOOKUPS];
    struct pg_session *sessions, *last_session, *doomed_sessions, *pending, **pending_end;
    const struct pg_handler *handlers[PG_MAX_HANDLERS];
    uint32_t n_listeners, n_handlers, expected, standing, link_number, n_questions;
    const struct pg_bytes *exposed_names, *wanted_names; /* of the services above */
    uint32_t n_exposed_names, n_wanted_names;
    uint64_t random;
    uint64_t stop_us, swept_us;
    uint64_t arrivals; /* connections that others have opened */
    const char *nat_before; /* this turn */
    enum pg_err failure;
    char failure_text[256];
    bool started, may_dial, ready, stopping, stopped, leaving, addrs_stale;
};

/* inbound.c: the limit that forbids one more peer to come in, PG_LIMITS: none. relay: over which it comes, or NULL. */
enum pg_limit pg_inbound_forbids(struct pg_node *, const struct pg_peer_id *peer, const struct pg_peer_id *relay);
void pg_inbound_note(struct pg_session *); /* one that has come up */
/* True when the limit, a rate a second, lets it happen now, and counts it; `burst` times as many may happen at once. */
bool pg_node_rate_take(const struct pg_node *, struct pg_rate *, enum pg_limit, uint64_t burst);
/* Whether the protocol is spoken on this connection. */
bool pg_node_offers(const struct pg_session *, const struct pg_handler *);
/* Everything that is told to others, what the user has named first. */
uint32_t pg_node_addrs(const struct pg_node *, struct pg_multiaddr out[PG_NODE_ADDRS]);
/* One more where we listen. Whoever adds them tells mDNS and the node when they are all there. */
void pg_node_addr_add(struct pg_node *, const struct pg_endpoint *);
/* They may be others now: when they are, identify pushes them, services hear `moved`, and READY comes again, at the end of the turn. */
void pg_node_addrs_changed(struct pg_node *);

/* node_control.c: the seed's events into the control plane, its commands out. */
void pg_node_control_init(struct pg_node *);
void pg_node_control_listening(struct pg_node *, const struct pg_multiaddr *);
void pg_node_control_peer_up(struct pg_session *);
void pg_node_control_peer_identified(struct pg_session *, const struct pg_multiaddr *addrs, uint32_t n, int hop); /* hop: it relays 1, does not -1, has not said 0 */
void pg_node_control_reserved(struct pg_node *, const struct pg_peer_id *relay, bool granted, uint64_t lease_ms, struct pg_bytes reason);
void pg_node_control_measured(struct pg_session *); /* its round trip */
void pg_node_control_neighbour(struct pg_node *, enum pg_seed_event_kind, const struct pg_seed_place *, uint32_t n);
void pg_node_control_peer_lost(struct pg_node *, const struct pg_peer_id *, uint32_t remaining);
void pg_node_control_punched(struct pg_node *, const struct pg_peer_id *, bool ok, struct pg_bytes reason);
void pg_node_control_settle(struct pg_node *); /* after timers may have moved it */
void pg_node_control_ready(struct pg_node *); /* all listeners stand */
void pg_node_control_stop(struct pg_node *);
void pg_node_control_nat(struct pg_node *, enum pg_seed_nat); /* AutoNAT's verdict */
void pg_node_control_kad(struct pg_node *, bool ok, struct pg_bytes reason); /* how a Kademlia bootstrap went */
