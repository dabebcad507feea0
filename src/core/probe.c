/* Dials that prove something. Called by the servers of AutoNAT, and by session.c when one has come through or has ended.
 * Source: libp2p/specs autonat/autonat-v2.md, "Implementation Suggestions". */
#include "core/probe.h"

#include "core/node_internal.h"

bool pg_probe_begin(struct pg_probe *p, const struct pg_probe_user *user, struct pg_node *n, const struct pg_peer_id *peer,
                    const struct pg_multiaddr *addr)
{
    *p = (struct pg_probe){.user = user};
    p->session = pg_session_probe(n, p, peer, addr);
    return p->session != NULL;
}

void pg_probe_end(struct pg_probe *p)
{
    struct pg_session *s = p->session;
    p->session = NULL;
    if (!s)
        return;
    s->probe = NULL;
    pg_session_drop(s, PG_ERR_CLOSED);
}

void pg_probe_lost(struct pg_probe *p, enum pg_err why)
{
    if (!p)
        return;
    p->session = NULL;
    p->user->failed(p, why);
}
