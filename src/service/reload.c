/* The lists of the configuration, read again while the peer runs: what is in both stays untouched.
 * Called by peer.c for PG_INPUT_RELOAD. See docs/decisions, "What a reload keeps". */
#include "mem/heap.h"
#include "service/tunnel.h"

struct wanted {
    struct pg_peer_expose exposed[PG_MAX_EXPOSED];
    struct pg_peer_forward forwards[PG_MAX_FORWARDS];
    struct pg_wish wishes[PG_MAX_BOOTSTRAPS + PG_MAX_FORWARDS]; /* bootstrap peers, then those of tunnels */
    uint32_t n_exposed, n_forwards, n_wishes;
};

static bool take(struct wanted *w, struct pg_bytes name, struct pg_bytes value)
{
    if (pg_bytes_equal(name, PG_LIT("expose")))
        return w->n_exposed < PG_MAX_EXPOSED && pg_peer_expose_read(&w->exposed[w->n_exposed++], value);
    if (pg_bytes_equal(name, PG_LIT("tunnel")))
        return w->n_forwards < PG_MAX_FORWARDS && pg_peer_forward_read(&w->forwards[w->n_forwards++], value);
    if (pg_bytes_equal(name, PG_LIT("tunnel-by-name")))
        return w->n_forwards < PG_MAX_FORWARDS && pg_peer_named_read(&w->forwards[w->n_forwards++], value);
    if (!pg_bytes_equal(name, PG_LIT("bootstrap")) || w->n_wishes == PG_MAX_BOOTSTRAPS)
        return false;
    struct pg_wish *wish = &w->wishes[w->n_wishes++];
    wish->bootstrap = true;
    if (pg_multiaddr_parse(&wish->addr, value) != PG_OK)
        return false;
    pg_multiaddr_peer(&wish->addr, &wish->peer);
    return true;
}

static bool next_text(struct pg_bytes *rest, struct pg_bytes *text)
{
    const uint8_t *zero = rest->len ? memchr(rest->at, 0, rest->len) : NULL;
    if (!zero)
        return false;
    *text = pg_bytes(rest->at, (size_t)(zero - rest->at));
    *rest = pg_bytes(zero + 1, rest->len - text->len - 1);
    return true;
}

static bool read_lists(struct wanted *w, struct pg_bytes lists)
{
    struct pg_bytes name, value;
    while (lists.len)
        if (!next_text(&lists, &name) || !next_text(&lists, &value) || !take(w, name, value))
            return false;
    for (uint32_t i = 0; i < w->n_forwards; i++)
        if (w->forwards[i].peer.len) /* else it is whoever has the service */
            w->wishes[w->n_wishes++] = (struct pg_wish){.peer = w->forwards[i].peer, .addr = w->forwards[i].addr};
    return true;
}

void pg_tunnels_reload(struct pg_tunnels *t, struct pg_bytes lists)
{
    struct wanted *w = pg_heap_take(sizeof *w);
    struct pg_reload_count count = {0};
    if (!w || !read_lists(w, lists)) { /* they have been checked before */
        pg_log_config_kept(pg_node_log(t->node), pg_text(pg_err_text(w ? PG_ERR_CONFIG_BAD : PG_ERR_NO_MEMORY)));
        pg_heap_give(w);
        return;
    }
    /* What goes makes room first: a name, a place in a list, a port may go from one to another. */
    pg_exposed_reload(t, w->exposed, w->n_exposed, &count);
    bool known[PG_MAX_FORWARDS] = {false};
    pg_forwards_retire(t, w->forwards, w->n_forwards, known, &count);
    pg_node_wish(t->node, w->wishes, w->n_wishes);
    pg_forwards_begin(t, w->forwards, w->n_forwards, known, &count);
    pg_tunnels_name(t);
    pg_log_config_reloaded(pg_node_log(t->node), count.begun, count.ended, count.changed);
    pg_heap_give(w);
}
