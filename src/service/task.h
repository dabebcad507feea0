/* One thing done at one peer, or through it: the commands ping, identify, perf, pipe and those of dht. Called by peer.c. */
#pragma once
#include "core/ping.h"
#include "service/perf.h"
#include "core/autonat.h"
#include "service/peer.h"
#include "service/task_dht.h"
#include "service/tunnel.h"
#include "task.gen.h"

struct pg_task {
    struct pg_instance in;
    struct pg_timer timers[PG_TASK_TIMERS];
    struct pg_node *node;
    struct pg_tunnels *tunnels;
    const struct pg_peer_config *config;
    struct pg_contact *contact;
    struct pg_session *session;
    struct pg_ping ping;
    struct pg_perf perf;
    struct pg_stream *identify;
    struct pg_queue text; /* of the identify answer */
    struct pg_link *stdio;
    struct pg_task_dht dht;
    struct pg_autonat_question autonat;
    uint32_t received, sent;
    uint64_t begun_us, up_us; /* of path: the start, the first connection */
    bool piping;
    enum pg_err why;
    char reason[256];
};

void pg_task_init(struct pg_task *, struct pg_node *, struct pg_tunnels *, const struct pg_peer_config *);
void pg_task_start(struct pg_task *);
void pg_task_adopted(struct pg_task *, struct pg_link *);
void pg_task_peer_up(struct pg_task *, struct pg_session *);
void pg_task_identified(struct pg_task *, struct pg_session *);
void pg_task_peer_lost(struct pg_task *, struct pg_session *);
void pg_task_contact_failed(struct pg_task *, struct pg_contact *, enum pg_err, struct pg_bytes reason);
void pg_task_unserved(struct pg_task *, struct pg_session *); /* its peer does not serve the DHT */
void pg_task_path_told(struct pg_task *, const struct pg_peer_id *, enum pg_path_news, struct pg_bytes reason);
void pg_task_path_stepped(struct pg_task *, const struct pg_peer_id *, const struct pg_path_step *);
void pg_task_stop(struct pg_task *);
/* The pipe's tunnel has ended. */
void pg_task_tunnel_ended(struct pg_task *, const struct pg_tunnel_consumer *);
void pg_task_free(struct pg_task *);
