/* Services by name, from the control plane's orders to those whom they concern: publish for what is exposed, resolve for what is
 * wanted. Called by peer.c through the node's hooks. See docs/decisions, "Who announces a service, and when". */
#include "service/tunnel.h"

/* Names that stand once each: two tunnels may want the same. */
static uint32_t put(struct pg_bytes *list, uint32_t n, uint32_t most, struct pg_bytes name)
{
    for (uint32_t i = 0; i < n; i++)
        if (pg_bytes_equal(list[i], name))
            return n;
    if (n < most)
        list[n++] = name;
    return n;
}

void pg_tunnels_name(struct pg_tunnels *t)
{
    uint32_t n_exposed = 0, n_wanted = 0;
    for (struct pg_exposed *e = t->exposed; e; e = e->next)
        n_exposed = put(t->exposed_names, n_exposed, PG_MAX_EXPOSED, e->is.name);
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            n_wanted = put(t->wanted_names, n_wanted, PG_MAX_FORWARDS, pg_resolve_wanted(pg_forward_resolve(f)));
    pg_node_names(t->node, t->exposed_names, n_exposed, t->wanted_names, n_wanted);
}

void pg_tunnels_provide(struct pg_tunnels *t, struct pg_bytes name)
{
    struct pg_exposed *e = pg_exposed_find(t, name);
    if (e)
        pg_publish_provide(&e->publish);
}

void pg_tunnels_record(struct pg_tunnels *t, struct pg_bytes name)
{
    struct pg_exposed *e = pg_exposed_find(t, name);
    if (e)
        pg_publish_record(&e->publish);
}

void pg_tunnels_find(struct pg_tunnels *t, struct pg_bytes wanted)
{
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f)) {
        struct pg_resolve *r = pg_forward_resolve(f);
        if (r && pg_bytes_equal(pg_resolve_wanted(r), wanted))
            pg_resolve_look(r);
    }
}

void pg_tunnels_company(struct pg_tunnels *t)
{
    for (struct pg_exposed *e = t->exposed; e && t->started; e = e->next)
        pg_publish_company(&e->publish);
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            pg_resolve_company(pg_forward_resolve(f));
}

/* Word of a provider that reaches us, as one of the peers nearest to the key, is in our own store now: that is looked at always. */
void pg_tunnels_provided(struct pg_tunnels *t, struct pg_bytes key, const struct pg_kad_contact *peer)
{
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f)) {
        struct pg_resolve *r = pg_forward_resolve(f);
        uint8_t own[PG_KAD_SERVICE_KEY_MAX];
        size_t len;
        if (r && r->name.len && pg_kad_service_key(r->name, own, &len) && pg_bytes_equal(pg_bytes(own, len), key))
            pg_resolve_told(r, peer);
    }
}

void pg_tunnels_moved(struct pg_tunnels *t)
{
    for (struct pg_exposed *e = t->exposed; e && t->started; e = e->next)
        pg_publish_moved(&e->publish);
}

void pg_tunnels_peer_up(struct pg_tunnels *t, struct pg_session *s)
{
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            pg_resolve_peer_up(pg_forward_resolve(f), s);
    pg_tunnels_wake(t, s);
}

void pg_tunnels_peer_lost(struct pg_tunnels *t, const struct pg_peer_id *peer)
{
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            pg_resolve_peer_lost(pg_forward_resolve(f), peer);
}

void pg_tunnels_peer_silent(struct pg_tunnels *t, const struct pg_peer_id *peer)
{
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            pg_resolve_peer_silent(pg_forward_resolve(f), peer);
}

void pg_tunnels_hide(struct pg_tunnels *t)
{
    for (struct pg_exposed *e = t->exposed; e; e = e->next)
        pg_publish_end(&e->publish);
    for (struct pg_forward *f = t->forwards; f; f = pg_forward_next(f))
        if (pg_forward_resolve(f))
            pg_resolve_end(pg_forward_resolve(f));
    t->started = false;
}
