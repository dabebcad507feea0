/* Forwards: a local listener for each --tunnel and --tunnel-by-name, and who came to it.
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
    struct pg_resolve resolve; /* when somebody has to be looked for: seeks */
    struct pg_candidate *candidates;
    bool seeks, retired, looked;
    uint32_t id, clients;
    uint64_t to_remote, from_remote; /* bytes of tunnels that have ended */
    char peer_text[PG_PEER_ID_TEXT], bind[300];
    char text[];
};

static bool is_by_name(const struct pg_forward *f)
{
    return f->seeks && f->resolve.name.len > 0;
}

/* The one that is asked now; empty while nobody has the service. A client that waits when its forward goes has what is connected. */
const struct pg_peer_id *pg_forward_peer(const struct pg_forward *f)
{
    static const struct pg_peer_id nobody;
    const struct pg_peer_id *used = is_by_name(f) && !f->retired ? pg_resolve_used(&f->resolve) : &f->is.peer;
    return used ? used : &nobody;
}

struct pg_resolve *pg_forward_resolve(struct pg_forward *f)
{
    return f->seeks && f->resolve.in.machine ? &f->resolve : NULL;
}

struct pg_forward *pg_forward_next(const struct pg_forward *f)
{
    return f->next;
}

struct pg_bytes pg_forward_service(const struct pg_forward *f)
{
    return f->is.service;
}

void pg_forward_hurry(struct pg_forward *f)
{
    const struct pg_peer_id *peer = pg_forward_peer(f);
    struct pg_session *s = is_by_name(f) && peer->len ? pg_node_session(f->tunnels->node, peer) : NULL;
    struct pg_contact *contact = s ? pg_session_contact(s) : f->contact;
    if (contact)
        pg_contact_hurry(contact, f->tunnels->wait_ms);
    if (pg_forward_resolve(f))
        pg_resolve_hurry(&f->resolve);
}

void pg_forward_refused(struct pg_forward *f, const struct pg_peer_id *asked)
{
    if (is_by_name(f) && pg_peer_id_equal(asked, pg_forward_peer(f)))
        pg_resolve_refused(&f->resolve);
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
    pg_peer_id_text(&is->peer, f->peer_text); /* nothing when nobody is named */
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

static void somebody_connected(void *forward, struct pg_session *s)
{
    pg_tunnels_wake(((struct pg_forward *)forward)->tunnels, s);
}

static void somebody_looked(void *forward)
{
    struct pg_forward *f = forward;
    f->looked = f->tunnels->looked = true;
}

static void somebody_recalled(void *forward, const struct pg_peer_id *peer)
{
    struct pg_forward *f = forward;
    pg_tunnel_consumers_recall(f->tunnels, f, peer);
}

/* ServiceProvidersFound or ServiceLookupFailed, when the turn is over: the plane may be the one that has ordered the look-up. */
void pg_forwards_tell(struct pg_tunnels *t)
{
    t->looked = false;
    for (struct pg_forward *f = t->forwards; f; f = f->next) {
        if (f->looked && is_by_name(f))
            pg_node_looked(t->node, f->is.service, f->resolve.n, f->resolve.looked);
        f->looked = false;
    }
}

/* Whose address is said is dialled there, and looked for nowhere else. */
static void seek(struct pg_forward *f)
{
    static const struct pg_resolve_user seeker = {.connected = somebody_connected, .looked = somebody_looked, .recalled = somebody_recalled};
    struct pg_resolve_config c = {.peer = f->is.peer, .allowed = f->is.allowed, .n_allowed = f->is.n_allowed, .room = 1};
    if (f->is.peer.len) {
        c.peer_text = pg_text(f->peer_text);
    } else {
        c.name = f->is.service;
        c.room = PG_RESOLVE_CANDIDATES;
    }
    c.candidates = f->candidates = pg_heap_take(c.room * sizeof *f->candidates);
    if (!f->candidates) {
        pg_log_tunnel_failed(pg_node_log(f->tunnels->node), pg_text(pg_err_text(PG_ERR_NO_MEMORY)));
        return;
    }
    f->seeks = true;
    pg_resolve_begin(&f->resolve, f->tunnels->node, &c, &seeker, f, f->id);
}

static void start(struct pg_forward *f)
{
    struct pg_node *n = f->tunnels->node;
    if (f->is.peer.len)
        f->contact = pg_node_contact(n, &f->is.peer);
    if (f->contact && f->is.addr.len)
        (void)pg_contact_add(f->contact, &f->is.addr);
    if (f->contact)
        pg_contact_start(f->contact, false, true);
    pg_listener_start(&f->listener, n, 1000 + f->id);
    if (!f->is.addr.len)
        seek(f);
}

void pg_tunnels_start(struct pg_tunnels *t)
{
    t->started = true;
    for (struct pg_exposed *e = t->exposed; e; e = e->next)
        pg_publish_begin(&e->publish, t->node, e->is.name, e->id);
    for (struct pg_forward *f = t->forwards; f; f = f->next)
        start(f);
    pg_tunnels_name(t);
}

bool pg_forwards_want(const struct pg_tunnels *t, const struct pg_peer_id *peer)
{
    for (const struct pg_forward *f = t->forwards; f; f = f->next)
        if (pg_peer_id_equal(pg_forward_peer(f), peer))
            return true;
    return false;
}

void pg_forwards_stop(struct pg_tunnels *t)
{
    for (struct pg_forward *f = t->forwards; f; f = f->next) {
        pg_listener_stop(&f->listener);
        pg_log_tunnel_shut_down(pg_node_log(t->node), f->is.service);
    }
}

static void give(struct pg_forward *f)
{
    pg_heap_give(f->candidates);
    pg_heap_give(f);
}

static void free_list(struct pg_forward **list)
{
    while (*list) {
        struct pg_forward *f = *list;
        *list = f->next;
        give(f);
    }
}

void pg_forward_free_all(struct pg_tunnels *t)
{
    free_list(&t->forwards);
    free_list(&t->retired_forwards);
}

/* Reading the configuration again. */

static bool same_allowed(const struct pg_peer_forward *a, const struct pg_peer_forward *b)
{
    for (uint32_t i = 0; i < a->n_allowed && i < b->n_allowed; i++)
        if (!pg_peer_id_equal(&a->allowed[i], &b->allowed[i]))
            return false;
    return a->n_allowed == b->n_allowed;
}

/* By what it does; where its peer can be dialled is the contact's matter. */
static bool same(const struct pg_peer_forward *a, const struct pg_peer_forward *b)
{
    return pg_peer_id_equal(&a->peer, &b->peer) && pg_bytes_equal(a->service, b->service) && a->port == b->port &&
           pg_bytes_equal(a->host, b->host) && pg_bytes_equal(a->path, b->path) && same_allowed(a, b);
}

/* Each in the list stands for one: two may be alike where the system chooses the ports. A broken one is tried again. */
static bool claim(struct pg_forward *f, const struct pg_peer_forward *list, uint32_t n, bool known[])
{
    for (uint32_t i = 0; i < n && f->listener.in.ctl.state != PG_LISTENER_BROKEN; i++)
        if (!known[i] && same(&f->is, &list[i])) {
            if (f->is.addr.len != list[i].addr.len && (!f->is.addr.len || !list[i].addr.len))
                continue; /* looked for then, and not now, or the other way round */
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
        if (is_by_name(f))
            f->is.peer = *pg_forward_peer(f);
        f->retired = true;
        pg_resolve_end(&f->resolve);
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
        give(f);
    }
}

void pg_tunnel_consumer_piped(struct pg_tunnels *t, const struct pg_peer_id *peer, struct pg_bytes service, struct pg_link *link)
{
    struct pg_forward *f = forward_new(t, &(struct pg_peer_forward){.peer = *peer, .service = service});
    if (f)
        pg_tunnel_consumer_arrived(t, f, link, &(struct pg_endpoint){0});
}

static const char *waits_for(const struct pg_forward *f)
{
    if (!f->seeks)
        return pg_node_session(f->tunnels->node, &f->is.peer) ? "" : "a connection to its peer";
    switch ((enum pg_resolve_state)f->resolve.in.ctl.state) {
    case PG_RESOLVE_EARLY: return "the phase Participating";
    case PG_RESOLVE_LOOKING:
    case PG_RESOLVE_CHOOSING: return "an answer from the DHT";
    case PG_RESOLVE_DIALLING: return "a connection to a provider";
    case PG_RESOLVE_RESTING: return "the next look-up in the DHT";
    case PG_RESOLVE_CONNECTED:
    case PG_RESOLVE_ENDED: break;
    }
    return "";
}

bool pg_tunnels_view(const struct pg_tunnels *t, uint32_t i, struct pg_forward_view *v)
{
    const struct pg_forward *f = t->forwards;
    while (f && i-- > 0)
        f = f->next;
    if (!f)
        return false;
    *v = (struct pg_forward_view){.id = f->id, .peer = pg_text(f->peer_text), .waits_for = pg_text(waits_for(f)), .service = f->is.service, .bind = pg_text(f->bind),
                                  .listening = pg_listener_stands(&f->listener), .clients = f->clients,
                                  .to_remote = f->to_remote, .from_remote = f->from_remote,
                                  .resolve = f->seeks ? &f->resolve : NULL, .by_name = is_by_name(f)};
    for (const struct pg_tunnel_consumer *c = t->consumer_list; c; c = c->next)
        if (c->forward == f && c->pipe.begun) {
            v->to_remote += c->pipe.from_local;
            v->from_remote += c->pipe.to_local;
        }
    return true;
}
