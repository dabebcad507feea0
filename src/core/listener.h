/* A socket that waits: for peers, for local clients of a forward, for control requests. Lives as long as the process.
 * Called by node.c, src/service/forward.c and src/service/control.c. */
#pragma once
#include "core/node.h"
#include "listener.gen.h"

struct pg_listener {
    struct pg_link_owner owner;
    struct pg_instance in;
    struct pg_link *link;
    struct pg_bytes host, path; /* what to listen on: one of these, or endpoint */
    struct pg_endpoint endpoint;
    uint8_t kind;               /* enum pg_listen_kind */
    const struct pg_listener_user *user;
    void *context;
    struct pg_node *node;
    const struct pg_input *input; /* of this turn */
    enum pg_err why;
    bool settled;
};
struct pg_listener_user {
    void (*address)(struct pg_listener *, const struct pg_endpoint *);
    void (*failed)(struct pg_listener *, enum pg_err, struct pg_bytes reason);
    void (*arrived)(struct pg_listener *, struct pg_link *, const struct pg_endpoint *remote, const struct pg_endpoint *local);
};
/* Set kind, user, context and what to listen on first. */
void pg_listener_start(struct pg_listener *, struct pg_node *, uint32_t number);
void pg_listener_stop(struct pg_listener *);
bool pg_listener_stands(const struct pg_listener *);
