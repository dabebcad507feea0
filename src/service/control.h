/* The control socket: another process of the same user asks the running peer about its state.
 * One request a connection, one line each way. Called by peer.c; the other end is in task.c. */
#pragma once
#include "core/listener.h"
#include "service/tunnel.h"

#define PG_CONTROL_CLIENTS 8u

struct pg_control_client {
    struct pg_link_owner owner;
    struct pg_link *link;
    struct pg_control_socket *control;
    char line[256];
    uint32_t used;
};

struct pg_control_socket {
    struct pg_listener listener;
    struct pg_node *node;
    struct pg_tunnels *tunnels;
    const struct pg_identity *identity;
    struct pg_control_client clients[PG_CONTROL_CLIENTS];
    uint64_t started_us;
    bool needed;
};

void pg_control_start(struct pg_control_socket *, struct pg_node *, struct pg_tunnels *, const struct pg_identity *, struct pg_bytes path,
                      bool needed);
void pg_control_stop(struct pg_control_socket *);
