/* The node: one peer without its services. Composes transport, contacts, listeners and the control plane, and is
 * driven through runtime/port.h. Called by src/service and src/cli. */
#pragma once
#include "crypto/keys.h"
#include "crypto/multiaddr.h"
#include "errors.gen.h"
#include "limits.gen.h"
#include "logs.gen.h"
#include "metrics.gen.h"
#include "port.h"
#include "transport/transport.h"

#define PG_AGENT "punchgate/" PG_VERSION
#define PG_PROTOCOL_VERSION "/punchgate/id/1.0.0"
#define PG_MAX_LISTENS 16u
#define PG_MAX_BOOTSTRAPS 32u
#define PG_MAX_EXTERNALS 32u
#define PG_NODE_ADDRS 64u
#define PG_MAX_CONTACTS 256u
#define PG_CONTACT_ADDRS 16u
#define PG_KAD_PROTOCOL_MAX 64u /* bytes of a protocol id of Kademlia */

/* Where the bytes of our tunnels may go. */
enum pg_path_mode { PG_PATH_AUTO, PG_PATH_DIRECT, PG_PATH_RELAY };
/* What becomes of the ways to a peer that was reached over a relay: it has been; there is a direct connection; there is none to be had. */
enum pg_path_news { PG_PATH_RELAYED, PG_PATH_STANDS, PG_PATH_BARRED };

/* What is done to have a direct connection, for whoever follows it. A try is one of a punch; a dial without one is plain. */
enum pg_path_step_kind { PG_STEP_DIAL, PG_STEP_DIAL_FAILED, PG_STEP_CONNECT, PG_STEP_SYNC, PG_STEP_TRY, PG_STEP_TRY_FAILED };
struct pg_path_step {
    enum pg_path_step_kind kind;
    unsigned attempt;                       /* of its round, from 1; 0: a plain dial's */
    bool client;                            /* TRY: our role on the connection */
    uint64_t rtt_us;                        /* CONNECT, SYNC: of the relayed connection; 0: not known yet */
    const struct pg_multiaddr *own, *addrs; /* CONNECT: that we and they have named; TRY, DIAL…: that are dialled */
    uint32_t n_own, n_addrs;
    struct pg_bytes reason;                 /* …FAILED */
};

struct pg_node;
struct pg_session;
struct pg_contact;
struct pg_kad_contact;

/* Whoever a link belongs to; a struct of theirs begins with this. Functions that a kind of link cannot reach are NULL. */
struct pg_link_owner {
    const struct pg_link_user *user;
};
struct pg_link_user {
    void (*listening)(struct pg_link_owner *, const struct pg_input *);
    void (*accepted)(struct pg_link_owner *, const struct pg_input *); /* must take or reset the fresh link */
    void (*connected)(struct pg_link_owner *, const struct pg_input *);
    void (*received)(struct pg_link_owner *, uint8_t *data, size_t len);
    void (*ended)(struct pg_link_owner *);
    void (*written)(struct pg_link_owner *);
    size_t (*want)(struct pg_link_owner *); /* NULL: the link's credit stands */
    void (*lost)(struct pg_link_owner *, enum pg_err, struct pg_bytes reason); /* the link is dead; also a failed listen */
};

/* What the services above want to know and do. NULL functions are skipped. */
struct pg_node_hooks {
    void *context;
    void (*start)(void *);                             /* first input */
    void (*peer_up)(void *, struct pg_session *);
    void (*peer_lost)(void *, struct pg_session *);    /* the session is gone after the turn */
    void (*peer_silent)(void *, struct pg_session *);  /* nothing is heard on any connection with its peer */
    void (*identified)(void *, struct pg_session *);   /* identify has said something of its peer */
    void (*contact_failed)(void *, struct pg_contact *, enum pg_err, struct pg_bytes reason);
    void (*adopted)(void *, struct pg_link *);         /* a link that the loop brought along */
    void (*reload)(void *, struct pg_bytes lists);     /* PG_INPUT_RELOAD */
    void (*stop)(void *);                              /* take nothing new */
    uint32_t (*busy)(void *);                          /* what still runs */
    void (*cut)(void *);                               /* end what still runs, politely */
    void (*finished)(void *, struct pg_instance *);    /* a service's machine has come to its end */
    void (*settled)(void *);                           /* the turn is over: free what has ended */
    /* Services by name, as the control plane orders: KademliaStartProviding, KademliaPutRecord, KademliaGetProviders. */
    void (*provide)(void *, struct pg_bytes name);
    void (*record)(void *, struct pg_bytes name);
    void (*find)(void *, struct pg_bytes wanted);
    void (*company)(void *);                           /* one more Kademlia server is known */
    /* A peer has left word with us that it provides the key, by the connection that it has with us. */
    void (*provided)(void *, struct pg_bytes key, const struct pg_kad_contact *);
    void (*unserved)(void *, struct pg_session *);     /* its peer does not serve the DHT, or does not say who it is */
    void (*moved)(void *);                             /* our addresses have changed */
    void (*path)(void *, const struct pg_peer_id *, enum pg_path_news, struct pg_bytes reason);
    void (*path_step)(void *, const struct pg_peer_id *, const struct pg_path_step *);
};

/* Whether others are relayed: when they can reach us, always, never. */
enum pg_relay_mode { PG_RELAY_MODE_AUTO, PG_RELAY_MODE_ON, PG_RELAY_MODE_OFF };

struct pg_node_config {
    const struct pg_identity *identity;
    struct pg_log *log;
    struct pg_multiaddr listens[PG_MAX_LISTENS];
    uint32_t n_listens;
    struct pg_multiaddr bootstraps[PG_MAX_BOOTSTRAPS];
    uint32_t n_bootstraps;
    struct pg_multiaddr externals[PG_MAX_EXTERNALS]; /* where others reach us, as the user says */
    uint32_t n_externals;
    enum pg_path_mode path;
    uint32_t n_relays;            /* to be held while private */
    enum pg_relay_mode relay_mode;
    uint16_t relay_port;          /* of the listeners that --relay-port has added; 0: there are none */
    int nat_status;               /* -1 private, 1 public, 0 to be found out */
    uint64_t seed;                /* of everything random that is no secret */
    uint64_t unix_offset_us;      /* what makes the core's time that of 1970: numbers of our records grow over restarts */
    uint64_t hash_seed;           /* of tables whose keys peers choose; unlike all from `seed` nobody outside sees a trace of it */
    struct pg_limits limits;
    struct pg_bytes kad_protocol; /* Kademlia's id in this network; /ipfs/kad/1.0.0 is spoken as well */
    bool mdns;                    /* looks for peers of the local network, and is found there */
    bool quiet;                   /* a command, not a peer: no pings of its own, no listeners needed */
    bool asks_who;                /* a command that has to know what others speak, and so asks them who they are */
    bool direct_awaited;          /* a command that waits for a direct connection: when none came about the next round is soon */
    bool unpunched;               /* lets nobody punch a hole to it: a direct connection is not wanted */
    bool aside;                   /* a command that can be reached and is nobody's server: it takes no part in Kademlia */
};

/* Limits a peer has when nobody says otherwise. */
void pg_node_config_default(struct pg_node_config *);

/* Starts a listener for peers: as the seed's Listen says, or a command that has to be dialled. */
void pg_node_listen(struct pg_node *, const struct pg_multiaddr *);

/* NULL when memory cannot be had. The identity and the log stay the caller's. */
struct pg_node *pg_node_new(const struct pg_node_config *, const struct pg_node_hooks *);
void pg_node_free(struct pg_node *);
struct pg_core pg_node_core(struct pg_node *);

/* For services. */
struct pg_link *pg_node_link(struct pg_node *, struct pg_link_owner *); /* NULL: too many */
void pg_node_command(struct pg_node *, const struct pg_command *);
void pg_node_close(struct pg_node *, struct pg_link **);  /* after what waits is written; *link is NULL then */
void pg_node_reset(struct pg_node *, struct pg_link **);
bool pg_node_serve(struct pg_node *, const struct pg_handler *); /* before the start; false: too many protocols */
void pg_node_report(struct pg_node *, struct pg_bytes line);     /* one result for standard output */
void pg_node_stop(struct pg_node *, int status);                 /* end now with this exit status */
/* Ends the process: it cannot do what it was started for. */
void pg_node_fail(struct pg_node *, enum pg_err, struct pg_bytes reason);
/* Why it could not; PG_OK when it could. */
enum pg_err pg_node_failure(const struct pg_node *, struct pg_bytes *reason);
void pg_node_idle(struct pg_node *);                             /* something that `busy` counted has ended */
void *pg_node_scratch(struct pg_node *, size_t);                 /* of this turn; NULL when it is used up */
struct pg_scope *pg_node_scope(struct pg_node *);
struct pg_log *pg_node_log(struct pg_node *);
struct pg_metrics *pg_node_metrics(struct pg_node *);
struct pg_transport *pg_node_transport(struct pg_node *);
bool pg_node_stopping(const struct pg_node *);
bool pg_node_participates(const struct pg_node *); /* the phase is Participating */
const struct pg_peer_id *pg_node_own(const struct pg_node *);
/* A look-up of a service has ended: ServiceProvidersFound, or ServiceLookupFailed when it has found nobody. Between steps only. */
void pg_node_looked(struct pg_node *, struct pg_bytes name, uint32_t n_found, enum pg_err why);
/* What the control plane gives its orders for: services that are exposed, and what is looked for (a service's name, or a peer's id as
 * text). The lists are borrowed until the next call. */
void pg_node_names(struct pg_node *, const struct pg_bytes *exposed, uint32_t n_exposed, const struct pg_bytes *wanted, uint32_t n_wanted);
uint64_t pg_node_random(struct pg_node *);
uint64_t pg_node_limit(const struct pg_node *, enum pg_limit);
/* Counts and tells that something of `from` was turned away; what: NULL for what the limit usually turns away. */
void pg_node_refuse(struct pg_node *, enum pg_limit, const char *what, struct pg_bytes from);
/* Counts a listener that READY has to wait for, and tells that one has come to stand or has failed for good. */
void pg_node_expect(struct pg_node *);
void pg_node_stands(struct pg_node *);

/* Contacts: peers that are wanted. */
struct pg_contact *pg_node_contact(struct pg_node *, const struct pg_peer_id *); /* found or new; an empty id is always new */
bool pg_contact_add(struct pg_contact *, const struct pg_multiaddr *);           /* false: full, or there already */
void pg_contact_start(struct pg_contact *, bool bootstrap, bool for_ever);
void pg_contact_hurry(struct pg_contact *, uint64_t for_ms); /* somebody waits that long: do not sit out the back-off */
const struct pg_peer_id *pg_contact_peer(const struct pg_contact *);
struct pg_bytes pg_contact_reason(const struct pg_contact *); /* why it was not reached, the last time; empty: nobody has said */
/* All peers that are wanted from now on. What is no longer among them is not dialled any more; connections stay. */
struct pg_wish {
    struct pg_peer_id peer;   /* empty: whoever answers at addr */
    struct pg_multiaddr addr; /* may be empty when peer is not */
    bool bootstrap;
};
void pg_node_wish(struct pg_node *, const struct pg_wish *, uint32_t n);

/* Sessions: connections whose remote is proven. */
/* The best, or NULL: direct before relayed, with room for a stream before without, and of the like the same one that the other side takes. */
struct pg_session *pg_node_session(struct pg_node *, const struct pg_peer_id *);
/* The one for the bytes of a tunnel, by --path; NULL also while a better one than the relayed may still come. */
struct pg_session *pg_path_for_tunnel(struct pg_node *, const struct pg_peer_id *);
bool pg_session_is_relayed(const struct pg_session *);                /* it runs over a circuit */
bool pg_session_is_suspect(const struct pg_session *);                /* nothing is heard on it although something should be */
/* Why a connected peer takes no more streams of ours: PG_LIMIT_STREAMS_OUTBOUND when one more connection would help,
 * PG_LIMIT_CONNS_PEER when that is not allowed; PG_LIMITS: it does take more, is only slow to acknowledge, or is not connected. */
enum pg_limit pg_node_full(struct pg_node *, const struct pg_peer_id *);
struct pg_session *pg_node_sessions(struct pg_node *);
struct pg_session *pg_session_next(const struct pg_session *);
struct pg_conn *pg_session_conn(const struct pg_session *);
const struct pg_peer_id *pg_session_peer(const struct pg_session *);
struct pg_bytes pg_session_peer_text(const struct pg_session *);
struct pg_session *pg_session_of(const struct pg_stream *);
void *pg_session_services(const struct pg_session *); /* the hooks' context */
struct pg_contact *pg_session_contact(const struct pg_session *); /* that dialled it, or NULL */
const struct pg_peer_id *pg_session_relay(const struct pg_session *);         /* whose; NULL: it is direct */
void pg_session_remote(const struct pg_session *, struct pg_multiaddr *);     /* where its peer is seen; of a relayed one RELAY_ADDR/p2p/RELAY/p2p-circuit */
/* Why one that is lost has ended, as far as its link knows. */
enum pg_err pg_session_loss(const struct pg_session *, struct pg_bytes *reason);
uint64_t pg_session_limit_bytes(const struct pg_session *);                   /* that the relay lets through, each way; 0: it has said nothing */
uint64_t pg_session_limit_us(const struct pg_session *);                      /* that the circuit may live; 0: the same */

/* Everything that can be said of the node, for `status` and the ready line. */
struct pg_session_view {
    struct pg_bytes peer, agent;
    struct pg_multiaddr remote, observed; /* where we see it, where it sees us */
    uint64_t age_us, rtt_us, bytes_in, bytes_out;
    uint32_t id; /* as machine::step shows it */
    uint32_t streams;
    uint8_t autonat; /* bits of core/autonat.h */
    bool dialer;
    const struct pg_peer_id *relay; /* that it runs over; NULL: it is direct */
    uint64_t limit_bytes, left_bytes, limit_us, left_us; /* of the circuit, the less of both ways; a limit of 0: none told */
    bool relays;         /* it says so */
    uint16_t relay_port; /* where it listens, by what it says; 0: not known */
};
void pg_session_view(const struct pg_session *, struct pg_session_view *);
uint32_t pg_inbound_peers(const struct pg_node *); /* that have connected to us */
bool pg_session_is_up(const struct pg_session *);
/* How the ways to a peer stand: the states of relay_leg and direct_leg. False: it was never reached over a relay. */
struct pg_path_view {
    const char *relay, *direct;
    struct pg_bytes reason; /* why there is no direct connection */
};
bool pg_path_view(const struct pg_node *, const struct pg_peer_id *, struct pg_path_view *);

struct pg_node_view {
    const char *phase, *nat, *relay; /* the seed's names */
    struct pg_multiaddr addrs[PG_NODE_ADDRS]; /* reachable, with our peer id; those that the user has named first */
    uint32_t n_addrs;
};
void pg_node_view(struct pg_node *, struct pg_node_view *);
