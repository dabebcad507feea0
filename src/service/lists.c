/* The texts of --expose, --tunnel and --tunnel-by-name as a peer takes them. Called at start by src/cli/configure.c and by reload.c.
 * Grammar: spec/wire/spec_text.rl. */
#include "service/peer.h"
#include "wire/spec_text.h"

bool pg_peer_expose_read(struct pg_peer_expose *is, struct pg_bytes text)
{
    struct pg_expose_text e;
    if (pg_expose_parse(text, &e) != PG_OK)
        return false;
    *is = (struct pg_peer_expose){.name = e.name, .host = e.host, .path = e.path, .port = e.port};
    for (struct pg_bytes peer; is->n_allowed < PG_EXPOSE_ALLOWED && pg_allow_next(&e.allow, &peer);)
        if (pg_peer_id_parse(&is->allowed[is->n_allowed++], peer) != PG_OK)
            return false;
    return true;
}

bool pg_peer_forward_read(struct pg_peer_forward *f, struct pg_bytes text)
{
    struct pg_tunnel_text t;
    if (pg_tunnel_parse(text, &t) != PG_OK)
        return false;
    *f = (struct pg_peer_forward){.service = t.service, .host = t.host, .path = t.path, .port = t.port};
    if (!t.peer.len || t.peer.at[0] != '/')
        return pg_peer_id_parse(&f->peer, t.peer) == PG_OK;
    if (pg_multiaddr_parse(&f->addr, t.peer) != PG_OK)
        return false;
    pg_multiaddr_peer(&f->addr, &f->peer);
    return true;
}

bool pg_peer_named_read(struct pg_peer_forward *f, struct pg_bytes text)
{
    struct pg_named_text t;
    if (pg_named_parse(text, &t) != PG_OK)
        return false;
    *f = (struct pg_peer_forward){.service = t.service, .host = t.host, .path = t.path, .port = t.port};
    for (struct pg_bytes peer; f->n_allowed < PG_EXPOSE_ALLOWED && pg_allow_next(&t.allow, &peer);)
        if (pg_peer_id_parse(&f->allowed[f->n_allowed++], peer) != PG_OK)
            return false;
    return true;
}
