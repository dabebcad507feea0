/* Which peers are wanted after the configuration was read again: contacts that nobody wants any more are released, those that stay
 * are not touched, new ones begin. Called by src/service/peer.c. Serves docs/decisions, "What a reload keeps". */
#include "core/node_internal.h"

/* An address that names nobody stands for whoever answers there. */
static bool means(const struct pg_wish *w, const struct pg_contact *c)
{
    if (w->peer.len)
        return pg_peer_id_equal(&w->peer, &c->peer);
    for (uint32_t i = 0; i < c->n_addrs; i++)
        if (pg_multiaddr_equal(&c->addrs[i], &w->addr))
            return true;
    return false;
}

static bool has_addr(const struct pg_wish *wishes, uint32_t n, const struct pg_contact *c, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < n; i++)
        if (wishes[i].addr.len && pg_multiaddr_equal(&wishes[i].addr, addr) && means(&wishes[i], c))
            return true;
    return false;
}

/* Its addresses, too, are those that are still said. False: nobody wants it. */
static bool keep(struct pg_contact *c, const struct pg_wish *wishes, uint32_t n)
{
    struct pg_multiaddr left[PG_CONTACT_ADDRS];
    uint32_t n_left = 0;
    bool wanted = false;
    for (uint32_t i = 0; i < n; i++)
        wanted |= means(&wishes[i], c);
    for (uint32_t i = 0; wanted && i < c->n_addrs; i++)
        if (has_addr(wishes, n, c, &c->addrs[i]))
            left[n_left++] = c->addrs[i];
    if (!wanted)
        return false;
    memcpy(c->addrs, left, n_left * sizeof *left);
    c->n_addrs = n_left;
    c->is_bootstrap = false; /* said again below */
    return true;
}

static struct pg_contact *contact_of(struct pg_node *n, const struct pg_wish *w)
{
    for (struct pg_contact *c = NULL; (c = pg_contact_next(n, c));)
        if (means(w, c))
            return c;
    return pg_node_contact(n, &w->peer);
}

void pg_node_wish(struct pg_node *n, const struct pg_wish *wishes, uint32_t n_wishes)
{
    n->config.n_bootstraps = 0;
    for (struct pg_contact *c = NULL; (c = pg_contact_next(n, c));)
        if (!keep(c, wishes, n_wishes))
            pg_contact_release(c);
    for (uint32_t i = 0; i < n_wishes; i++) {
        const struct pg_wish *w = &wishes[i];
        if (w->bootstrap && n->config.n_bootstraps < PG_MAX_BOOTSTRAPS)
            n->config.bootstraps[n->config.n_bootstraps++] = w->addr;
        if (w->bootstrap && pg_peer_id_equal(&w->peer, pg_identity_peer_id(n->config.identity)))
            continue; /* a list that many peers share may name us, too */
        struct pg_contact *c = contact_of(n, w);
        if (!c)
            continue;
        if (w->addr.len)
            (void)pg_contact_add(c, &w->addr);
        pg_contact_start(c, w->bootstrap, true);
    }
    n->control.config.n_bootstraps = n->config.n_bootstraps;
}
