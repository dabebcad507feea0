/* Forwards: a local listener for each --tunnel, and who came to it.
 * Called by peer.c and tunnel_consumer.c; hosts the machine listener. */
#include "core/listener.h"
#include "mem/heap.h"
#include "service/tunnel.h"

#include <stdio.h>

struct pg_forward {
    struct pg_listener listener;
    struct pg_tunnels *tunnels;
    struct pg_forward *next;
    struct pg_contact *contact;
    struct pg_peer_forward is;
    uint32_t id, clients;
    uint64_t to_remote, from_remote; /* bytes of tunnels that have ended */
    char peer_text[PG_PEER_ID_TEXT], bind[300];
    char text[];
};

const struct pg_peer_id *pg_forward_peer(const struct pg_forward *f)
{
    return &f->is.peer;
}

struct pg_bytes pg_forward_service(const struct pg_forward *f)
{
    return f->is.service;
}

void pg_forward_hurry(struct pg_forward *f)
{
    if (f->contact)
        pg_contact_hurry(f->contact, f->tunnels->wait_ms);
}

void pg_forward_use(struct pg_forward *f)
{
    f->clients++;
}

void pg_forward_leave(struct pg_forward *f)
{
    f->clients--;
}

void pg_forward_count(struct pg_forward *f, uint64_t to_remote, uint64_t from_remote)
{
    f->to_remote += to_remote;
    f->from_remote += from_remote;
}

void pg_endpoint_text(const struct pg_endpoint *at, char out[PG_ENDPOINT_TEXT])
{
    char ip[PG_IP_TEXT];
    if (at->family == 0) { /* a unix socket, or a pair of pipes */
        snprintf(out, PG_ENDPOINT_TEXT, "local");
        return;
    }
    if (at->family == 6)
        pg_ip6_text(at->ip, ip);
    else
        pg_ip4_text(at->ip, ip);
    snprintf(out, PG_ENDPOINT_TEXT, at->family == 6 ? "[%s]:%u" : "%s:%u", ip, at->port);
}

static void stands(struct pg_listener *l, const struct pg_endpoint *at)
{
    struct pg_forward *f = l->context;
    if (!f->is.path.len)
        pg_endpoint_text(at, f->bind);
    pg_log_tunnel_listening(pg_node_log(l->node), pg_text(f->peer_text), f->is.service, pg_text(f->bind));
}

static void failed(struct pg_listener *l, enum pg_err why, struct pg_bytes reason)
{
    struct pg_forward *f = l->context;
    char text[1024];
    (void)why;
    int n = snprintf(text, sizeof text, "cannot listen on %s for service %.*s: %.*s", f->bind, (int)f->is.service.len,
                     (const char *)f->is.service.at, (int)reason.len, (const char *)reason.at);
    pg_log_tunnel_failed(pg_node_log(l->node), pg_bytes(text, n > 0 ? (size_t)n : 0));
}

static void arrived(struct pg_listener *l, struct pg_link *link, const struct pg_endpoint *remote, const struct pg_endpoint *local)
{
    struct pg_forward *f = l->context;
    (void)local;
    pg_tunnel_consumer_arrived(f->tunnels, f, link, remote);
}

static const struct pg_listener_user user = {.address = stands, .failed = failed, .arrived = arrived};

static char *copy(char *to, struct pg_bytes from, struct pg_bytes *out)
{
    if (from.len)
        memcpy(to, from.at, from.len);
    *out = pg_bytes(to, from.len);
    return to + from.len;
}

static void set_bind(struct pg_forward *f)
{
    struct pg_listener *l = &f->listener;
    *l = (struct pg_listener){.kind = PG_LISTEN_LOCAL, .user = &user, .context = f, .host = f->is.host, .path = f->is.path,
                              .endpoint.port = f->is.port};
    if (pg_ip4_parse(l->host, l->endpoint.ip))
        l->endpoint.family = 4;
    else if (pg_ip6_parse(l->host, l->endpoint.ip))
        l->endpoint.family = 6;
    if (l->endpoint.family)
        l->host = PG_NONE;
    if (f->is.path.len)
        snprintf(f->bind, sizeof f->bind, "unix:%.*s", (int)f->is.path.len, (const char *)f->is.path.at);
    else if (f->is.host.len)
        snprintf(f->bind, sizeof f->bind, "%.*s:%u", (int)f->is.host.len, (const char *)f->is.host.at, f->is.port);
}

static struct pg_forward *forward_new(struct pg_tunnels *t, const struct pg_peer_forward *is)
{
    struct pg_forward **end = &t->forwards, *f;
    if (t->n_forwards == PG_MAX_FORWARDS)
        return NULL;
    f = pg_heap_take(sizeof *f + is->service.len + is->host.len + is->path.len);
    if (!f)
        return NULL;
    f->is = *is;
    char *room = copy(f->text, is->service, &f->is.service);
    room = copy(room, is->host, &f->is.host);
    (void)copy(room, is->path, &f->is.path);
    f->tunnels = t;
    f->id = ++t->next_id;
    pg_peer_id_text(&is->peer, f->peer_text);
    set_bind(f);
    while (*end)
        end = &(*end)->next;
    *end = f;
    t->n_forwards++;
    return f;
}

bool pg_tunnels_forward(struct pg_tunnels *t, const struct pg_peer_forward *is)
{
    return forward_new(t, is) != NULL;
}

static void start(struct pg_forward *f)
{
    struct pg_node *n = f->tunnels->node;
    f->contact = pg_node_contact(n, &f->is.peer);
    if (f->contact && f->is.addr.len)
        (void)pg_contact_add(f->contact, &f->is.addr);
    if (f->contact)
        pg_contact_start(f->contact, false, true);
    pg_listener_start(&f->listener, n, 1000 + f->id);
}

void pg_tunnels_start(struct pg_tunnels *t)
{
    for (struct pg_forward *f = t->forwards; f; f = f->next)
        start(f);
}

void pg_forwards_stop(struct pg_tunnels *t)
{
    for (struct pg_forward *f = t->forwards; f; f = f->next) {
        pg_listener_stop(&f->listener);
        pg_log_tunnel_shut_down(pg_node_log(t->node), f->is.service);
    }
}

static void free_list(struct pg_forward **list)
{
    while (*list) {
        struct pg_forward *f = *list;
        *list = f->next;
        pg_heap_give(f);
    }
}

void pg_forward_free_all(struct pg_tunnels *t)
{
    free_list(&t->forwards);
    free_list(&t->retired_forwards);
}

/* Reading the configuration again. */

/* By what it does; where its peer can be dialled is the contact's matter. */
static bool same(const struct pg_peer_forward *a, const struct pg_peer_forward *b)
{
    return pg_peer_id_equal(&a->peer, &b->peer) && pg_bytes_equal(a->service, b->service) && a->port == b->port &&
           pg_bytes_equal(a->host, b->host) && pg_bytes_equal(a->path, b->path);
}

/* Each in the list stands for one: two may be alike where the system chooses the ports. A broken one is tried again. */
static bool claim(struct pg_forward *f, const struct pg_peer_forward *list, uint32_t n, bool known[])
{
    for (uint32_t i = 0; i < n && f->listener.in.ctl.state != PG_LISTENER_BROKEN; i++)
        if (!known[i] && same(&f->is, &list[i])) {
            f->is.addr = list[i].addr;
            return known[i] = true;
        }
    return false;
}

void pg_forwards_retire(struct pg_tunnels *t, const struct pg_peer_forward *list, uint32_t n, bool known[], struct pg_reload_count *count)
{
    for (struct pg_forward **at = &t->forwards; *at;) {
        struct pg_forward *f = *at;
        if (claim(f, list, n, known)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        t->n_forwards--;
        count->ended++;
        f->contact = NULL; /* clients that still wait have what is connected */
        pg_tunnel_consumers_give_up(t, f);
        pg_listener_stop(&f->listener);
        pg_log_tunnel_shut_down(pg_node_log(t->node), f->is.service);
        f->next = t->retired_forwards;
        t->retired_forwards = f;
    }
}

void pg_forwards_begin(struct pg_tunnels *t, const struct pg_peer_forward *list, uint32_t n, const bool known[], struct pg_reload_count *count)
{
    for (uint32_t i = 0; i < n; i++) {
        struct pg_forward *f = known[i] ? NULL : forward_new(t, &list[i]);
        count->begun += f != NULL;
        if (f)
            start(f);
        else if (!known[i])
            pg_log_tunnel_failed(pg_node_log(t->node), pg_text(pg_err_text(PG_ERR_NO_MEMORY)));
    }
}

void pg_forwards_reap(struct pg_tunnels *t)
{
    for (struct pg_forward **at = &t->retired_forwards; *at;) {
        struct pg_forward *f = *at;
        if (f->clients > 0) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        pg_instance_end(&f->listener.in);
        pg_heap_give(f);
    }
}

void pg_tunnel_consumer_piped(struct pg_tunnels *t, const struct pg_peer_id *peer, struct pg_bytes service, struct pg_link *link)
{
    struct pg_forward *f = forward_new(t, &(struct pg_peer_forward){.peer = *peer, .service = service});
    if (f)
        pg_tunnel_consumer_arrived(t, f, link, &(struct pg_endpoint){0});
}

bool pg_tunnels_view(const struct pg_tunnels *t, uint32_t i, struct pg_forward_view *v)
{
    const struct pg_forward *f = t->forwards;
    while (f && i-- > 0)
        f = f->next;
    if (!f)
        return false;
    *v = (struct pg_forward_view){.id = f->id, .peer = pg_text(f->peer_text), .service = f->is.service, .bind = pg_text(f->bind),
                                  .listening = pg_listener_stands(&f->listener), .clients = f->clients,
                                  .to_remote = f->to_remote, .from_remote = f->from_remote};
    for (const struct pg_tunnel_consumer *c = t->consumer_list; c; c = c->next)
        if (c->forward == f && c->pipe.begun) {
            v->to_remote += c->pipe.from_local;
            v->from_remote += c->pipe.to_local;
        }
    return true;
}
