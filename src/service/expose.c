/* Exposed services: what is offered under which name, to whom, and who uses it now.
 * Called by tunnel_provider.c, peer.c and control.c. The name of one parsed request decides where a tunnel goes and whether
 * it may: spec/wire/tunnel.wire. */
#include "mem/heap.h"
#include "service/tunnel.h"

#include <stdio.h>

static char *copy(char *to, struct pg_bytes from, struct pg_bytes *out)
{
    if (from.len)
        memcpy(to, from.at, from.len);
    *out = pg_bytes(to, from.len);
    return to + from.len;
}

struct pg_exposed *pg_exposed_find(const struct pg_tunnels *t, struct pg_bytes name)
{
    for (struct pg_exposed *e = t->exposed; e; e = e->next)
        if (pg_bytes_equal(e->is.name, name))
            return e;
    return NULL;
}

bool pg_exposed_allows(const struct pg_exposed *e, const struct pg_peer_id *peer)
{
    for (uint32_t i = 0; i < e->is.n_allowed; i++)
        if (pg_peer_id_equal(&e->is.allowed[i], peer))
            return true;
    return e->is.n_allowed == 0;
}

bool pg_tunnels_expose(struct pg_tunnels *t, const struct pg_peer_expose *is)
{
    struct pg_exposed **end = &t->exposed;
    if (t->n_exposed == PG_MAX_EXPOSED || pg_exposed_find(t, is->name))
        return false;
    struct pg_exposed *e = pg_heap_take(sizeof *e + is->name.len + is->host.len + is->path.len);
    if (!e)
        return false;
    e->is = *is;
    char *room = copy(e->text, is->name, &e->is.name);
    room = copy(room, is->host, &e->is.host);
    (void)copy(room, is->path, &e->is.path);
    e->id = ++t->next_id;
    while (*end)
        end = &(*end)->next;
    *end = e;
    t->n_exposed++;
    if (t->started)
        pg_publish_begin(&e->publish, t->node, e->is.name, e->id);
    return true;
}

void pg_target_text(const struct pg_peer_expose *is, char out[PG_TARGET_TEXT])
{
    bool six = is->host.len && memchr(is->host.at, ':', is->host.len);
    if (is->path.len)
        snprintf(out, PG_TARGET_TEXT, "unix:%.*s", (int)is->path.len, (const char *)is->path.at);
    else
        snprintf(out, PG_TARGET_TEXT, six ? "[%.*s]:%u" : "%.*s:%u", (int)is->host.len, (const char *)is->host.at, is->port);
}

void pg_exposed_use(struct pg_exposed *e)
{
    e->users++;
}

void pg_exposed_leave(struct pg_tunnels *t, struct pg_exposed *e)
{
    e->users--;
    for (struct pg_exposed **at = &t->retired; *at && e->users == 0; at = &(*at)->next) {
        if (*at == e) {
            *at = e->next;
            pg_heap_give(e);
            return;
        }
    }
}

bool pg_exposed_view(const struct pg_tunnels *t, uint32_t i, struct pg_exposed_view *v)
{
    const struct pg_exposed *e = t->exposed;
    while (e && i-- > 0)
        e = e->next;
    if (!e)
        return false;
    *v = (struct pg_exposed_view){.id = e->id, .is = &e->is, .clients = e->clients, .to_service = e->to_service,
                                  .from_service = e->from_service, .told = e->publish.told,
                                  .published = pg_text(pg_publish_machine.states_as[e->publish.in.ctl.state])};
    for (const struct pg_tunnel_provider *p = t->provider_list; p; p = p->next)
        if (p->service == e && p->pipe.begun) {
            v->to_service += p->pipe.to_local;
            v->from_service += p->pipe.from_local;
        }
    return true;
}

/* Reading the configuration again. */

static const struct pg_peer_expose *named(const struct pg_peer_expose *list, uint32_t n, struct pg_bytes name)
{
    for (uint32_t i = 0; i < n; i++)
        if (pg_bytes_equal(list[i].name, name))
            return &list[i];
    return NULL;
}

static bool same_target(const struct pg_peer_expose *a, const struct pg_peer_expose *b)
{
    return a->port == b->port && pg_bytes_equal(a->host, b->host) && pg_bytes_equal(a->path, b->path);
}

static bool same_allowed(const struct pg_peer_expose *a, const struct pg_peer_expose *b)
{
    for (uint32_t i = 0; i < a->n_allowed && i < b->n_allowed; i++)
        if (!pg_peer_id_equal(&a->allowed[i], &b->allowed[i]))
            return false;
    return a->n_allowed == b->n_allowed;
}

/* From the list of what is offered; its tunnels go on to their ends. */
static void retire(struct pg_tunnels *t, struct pg_exposed **at)
{
    struct pg_exposed *e = *at;
    *at = e->next;
    t->n_exposed--;
    pg_publish_end(&e->publish);
    if (e->users == 0) {
        pg_heap_give(e);
        return;
    }
    e->next = t->retired;
    t->retired = e;
}

void pg_exposed_reload(struct pg_tunnels *t, const struct pg_peer_expose *list, uint32_t n, struct pg_reload_count *count)
{
    for (struct pg_exposed **at = &t->exposed; *at;) {
        const struct pg_peer_expose *is = named(list, n, (*at)->is.name);
        if (!is || !same_target(is, &(*at)->is)) {
            count->ended++;
            retire(t, at);
            continue;
        }
        if (!same_allowed(is, &(*at)->is)) {
            count->changed++;
            (*at)->is.n_allowed = is->n_allowed;
            memcpy((*at)->is.allowed, is->allowed, sizeof is->allowed);
        }
        at = &(*at)->next;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (pg_exposed_find(t, list[i].name))
            continue;
        if (pg_tunnels_expose(t, &list[i]))
            count->begun++;
        else
            pg_log_tunnel_failed(pg_node_log(t->node), pg_text(pg_err_text(PG_ERR_NO_MEMORY)));
    }
}

static void free_list(struct pg_exposed **list)
{
    while (*list) {
        struct pg_exposed *e = *list;
        *list = e->next;
        pg_heap_give(e);
    }
}

void pg_exposed_free_all(struct pg_tunnels *t)
{
    free_list(&t->exposed);
    free_list(&t->retired);
}
