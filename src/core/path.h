/* The ways to one peer: relayed connections, direct ones, and what is done to have a direct one.
 * Made by session.c for a peer that is connected over a relay; asked by src/service which connection a tunnel takes.
 * Serves libp2p/specs relay/DCUtR.md, "The Protocol"; docs/decisions/0013-paths.md. */
#pragma once
#include "core/node.h"
#include "direct_leg.gen.h"
#include "mem/rate.h"
#include "relay_leg.gen.h"

#define PG_PATH_TRIED 16u /* addresses of one round */

struct pg_relay_leg {
    struct pg_instance in;
    struct pg_timer timers[PG_RELAY_LEG_TIMERS];
};
struct pg_direct_leg {
    struct pg_instance in;
    struct pg_timer timers[PG_DIRECT_LEG_TIMERS];
};
struct pg_path {
    struct pg_relay_leg relay;
    struct pg_direct_leg direct;
    struct pg_node *node;
    struct pg_place *place;
    struct pg_peer_id peer;
    bool relayed_stands, direct_stands; /* as the machines have been told */
    bool hopeless;                      /* somebody has waited in vain for a direct connection: nobody does so again */
    bool wanted;                        /* somebody waits for a direct connection and takes no other */
    uint32_t n_dialling, n_tried, respite_ms; /* respite_ms: 0 before the first round that fails */
    uint64_t told;                      /* a sum of the addresses that identify has brought */
    struct pg_rate dials;               /* of addresses that it has told */
    struct pg_multiaddr tried[PG_PATH_TRIED];
    uint64_t relayed_us;                /* since when a relayed connection stands */
    char reason[96];                    /* why there is no direct one */
};

/* session.c: a connection of the peer has come up, is gone, or is doubted or trusted again. `place` is the peer's. */
void pg_path_sessions_changed(struct pg_node *, struct pg_place *, const struct pg_peer_id *);
/* The last one has gone. */
void pg_path_end(struct pg_path *);
/* It carries nothing any more. */
void pg_path_emptied(struct pg_session *);
/* A plain dial of the path's has failed. */
void pg_path_dial_failed(struct pg_path *, enum pg_err, struct pg_bytes reason);
/* identify.c: these are the peer's addresses now. */
void pg_path_told(struct pg_session *, const struct pg_multiaddr *, uint32_t n);
/* punch.c: what has come of a round. PG_OK: a direct session stands. */
void pg_path_punched(struct pg_node *, const struct pg_peer_id *, enum pg_err, struct pg_bytes reason);
/* A step of a dial or a punch, for the hook path_step. */
void pg_path_step_tell(struct pg_node *, const struct pg_peer_id *, const struct pg_path_step *);
/* contact.c: a local client waits for the peer, which is connected. */
void pg_path_wanted(struct pg_node *, const struct pg_peer_id *);
/* node.c: our own addresses are others than before. */
void pg_paths_moved(struct pg_node *);
/* Another direct connection to the same peer stands that both sides take before this one, and that nobody has opened for want of
 * room: of two, the one whose client has the smaller id stays; of two with the same client, that client's older one. */
bool pg_path_outdone(const struct pg_session *);
