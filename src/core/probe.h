/* A dial that proves something and is nothing else: nobody's contact, no session for anybody above, from a port of its own, so that
 * no mapping that our connections have made lets it in. Used by those that dial peers back for AutoNAT.
 * Source: libp2p/specs autonat/autonat-v2.md, "Implementation Suggestions". */
#pragma once
#include "core/node.h"

struct pg_probe;
struct pg_probe_user {
    void (*reached)(struct pg_probe *);            /* the peer has proven its id there */
    void (*failed)(struct pg_probe *, enum pg_err); /* it could not be reached, or the connection has ended; never from inside begin */
};
struct pg_probe {
    const struct pg_probe_user *user;
    struct pg_session *session; /* NULL: none is under way or stands */
};

/* False when a limit of our own, or memory, forbids the dial. */
bool pg_probe_begin(struct pg_probe *, const struct pg_probe_user *, struct pg_node *, const struct pg_peer_id *, const struct pg_multiaddr *);
/* Closes what stands; the user hears nothing more. */
void pg_probe_end(struct pg_probe *);

/* For session.c. NULL is fine. */
void pg_probe_lost(struct pg_probe *, enum pg_err);
