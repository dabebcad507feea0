/* Making direct connections out of relayed ones, in both roles: who is asked, by what addresses, and the dials that meet.
 * Called by session.c, node.c and path.c. Source: libp2p/specs relay/DCUtR.md. */
#pragma once
#include "core/node.h"
#include "hole.gen.h"
#include "mem/pool.h"
#include "punch.gen.h"
#include "punch_role.gen.h"
#include "punch_serve.gen.h"
#include "wire/frame.h"

#define PG_PUNCH_TARGETS 8u  /* addresses that are dialled at once: as many dials as one peer may have */
#define PG_PUNCH_OFFERS 16u  /* addresses that we name */
#define PG_PUNCH_MESSAGE 4096u

struct pg_puncher;

/* The dials of one side's attempt. */
struct pg_hole {
    struct pg_instance in;
    struct pg_timer timers[PG_HOLE_TIMERS];
    struct pg_puncher *puncher;
    struct pg_multiaddr targets[PG_PUNCH_TARGETS];
    struct pg_session *dials[PG_PUNCH_TARGETS]; /* NULL: none, or it has failed */
    uint32_t n_targets;
    unsigned attempt; /* of its round, from 1 */
    bool client; /* our role on the connections that come of it */
    char why[80]; /* a dial has failed */
    bool clears;  /* silent connections to its targets end with the turn */
    uint64_t rtt_us; /* 0, or of the relayed connection: no less than that of a direct one, as a rule */
};
struct pg_punch {
    struct pg_instance in;
    struct pg_timer timers[PG_PUNCH_TIMERS];
    struct pg_stream *stream;
    struct pg_frame frame;
    uint64_t asked_us;
    bool unspoken;     /* the peer does not speak the protocol, or not yet */
    unsigned n_met;    /* tries of this round in which both sides have dialled */
    char reason[128];  /* of its last failure */
    struct pg_hole hole;
};
struct pg_punch_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_PUNCH_SERVE_TIMERS];
    struct pg_stream *stream, *fresh; /* fresh: that has just been opened */
    struct pg_frame frame;
    uint64_t answered_us;
    unsigned n_failed; /* tries of this round */
    char reason[128];
    struct pg_hole hole;
};

/* All that concerns punching with one peer. */
struct pg_puncher {
    struct pg_punch punch;
    struct pg_punch_serve serve;
    struct pg_node *node;
    struct pg_puncher *next;
    struct pg_peer_id peer;
    uint8_t asked[PG_PUNCH_MESSAGE], served[PG_PUNCH_MESSAGE]; /* a message that comes in pieces; the last, for hardly any does */
};

struct pg_punching {
    struct pg_pool pool;
    struct pg_puncher *first;
    uint32_t number;
    bool changed; /* somebody has come to an end */
    bool clears;  /* somebody's silent connections are to end */
    bool seeks;   /* this relay is to see our listening port */
    struct pg_peer_id relay;
    uint64_t sought_us;
    struct pg_multiaddr offers[PG_PUNCH_OFFERS]; /* as they were when somebody was last told of a change */
    uint32_t n_offers;
};

extern const struct pg_handler pg_punch_handler; /* for those that ask us */

bool pg_punching_init(struct pg_node *); /* false when memory cannot be had */
void pg_punching_free(struct pg_node *);
/* The turn is over: forgets peers with whom nothing is under way. */
void pg_punching_settle(struct pg_node *);
/* The inbound side of a relayed session wants a direct one; several calls for one peer are one round. */
void pg_punch_begin(struct pg_session *relayed);
/* A session has come up, or has gone: it is in the list of its peer, or is not any more. */
void pg_punch_session_up(struct pg_session *);
void pg_punch_session_lost(struct pg_node *, const struct pg_peer_id *);
/* Addresses at which we are seen may have changed. */
void pg_punch_moved(struct pg_node *);
/* A dial of the session's hole has come to nothing. */
void pg_hole_dial_failed(struct pg_session *, struct pg_bytes reason);

/* punch_addrs.c: what we offer, and what of another's offer may be dialled. */
uint32_t pg_punch_offers(const struct pg_node *, struct pg_multiaddr out[PG_PUNCH_OFFERS]);
struct pg_pb_hole_punch;
uint32_t pg_punch_targets(const struct pg_node *, const struct pg_peer_id *peer, const struct pg_pb_hole_punch *,
                          struct pg_multiaddr out[PG_PUNCH_TARGETS]);

/* A connection that punching may have brought about, on which we are the server until its other end turns out to be one, too. Part of
 * each session. */
struct pg_punch_role {
    struct pg_instance in;
    struct pg_timer timers[PG_PUNCH_ROLE_TIMERS];
    uint64_t patience_ms, late_ms;
};
void pg_punch_role_accepted(struct pg_session *); /* it has come in */
void pg_punch_role_dialled(struct pg_session *);  /* a dial of a hole's has been answered */
void pg_punch_role_end(struct pg_session *);      /* it is up, or lost */

/* punch_seek.c: no address of ours is known: perhaps one can be found out at the relay of this session, when the turn is over. */
void pg_punch_seek(struct pg_session *relayed);
void pg_punching_seek(struct pg_node *);
/* A silent connection to one of the hole's targets gives its pair of addresses back, for the dial that is due. */
void pg_punch_clear(struct pg_hole *);

/* Between punch.c, punch_serve.c and hole.c. */
struct pg_puncher *pg_puncher_find(struct pg_node *, const struct pg_peer_id *, bool make);
/* The outbound or inbound relayed session with the peer, the youngest that is heard of; NULL: there is none. */
struct pg_session *pg_punch_relayed(const struct pg_puncher *, bool dialer);
void pg_hole_init(struct pg_hole *, struct pg_puncher *, struct pg_instance *owner);
void pg_hole_met(struct pg_session *); /* it has come up */
struct pg_line;
void pg_hole_reason(const struct pg_hole *, struct pg_line *);
void pg_hole_end(struct pg_hole *);
/* A step of a try, for whoever follows the way to the peer. */
void pg_punch_tell(const struct pg_hole *, enum pg_path_step_kind, struct pg_bytes reason);
/* Says it on the stream; false when there is no room or no memory. */
bool pg_punch_say(struct pg_stream *, int type, const struct pg_multiaddr *offers, uint32_t n);
