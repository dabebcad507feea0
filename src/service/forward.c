/* Forwards: a local listener for each --tunnel, and the life of all tunnels.
 * Called by peer.c; hosts the machine listener. */
#include "core/listener.h"
#include "machines.gen.h"
#include "service/tunnel.h"

#include <stdio.h>
#include <stdlib.h>

struct pg_forward {
    struct pg_listener listener;
    struct pg_tunnels *tunnels;
    struct pg_contact *contact;
    struct pg_peer_id peer;
    struct pg_bytes service, host;
    char peer_text[PG_PEER_ID_TEXT], bind[300];
};

const struct pg_peer_id *pg_forward_peer(const struct pg_forward *f)
{
    return &f->peer;
}

struct pg_bytes pg_forward_service(const struct pg_forward *f)
{
    return f->service;
}

void pg_forward_hurry(struct pg_forward *f)
{
    if (f->contact)
        pg_contact_hurry(f->contact, f->tunnels->wait_ms);
}

void pg_endpoint_text(const struct pg_endpoint *at, char out[PG_ENDPOINT_TEXT])
{
    char ip[PG_IP_TEXT];
    if (at->family == 6)
        pg_ip6_text(at->ip, ip);
    else
        pg_ip4_text(at->ip, ip);
    snprintf(out, PG_ENDPOINT_TEXT, at->family == 6 ? "[%s]:%u" : "%s:%u", ip, at->port);
}

static void stands(struct pg_listener *l, const struct pg_endpoint *at)
{
    struct pg_forward *f = l->context;
    pg_endpoint_text(at, f->bind);
    pg_log_tunnel_listening(pg_node_log(l->node), pg_text(f->peer_text), f->service, pg_text(f->bind));
}

static void failed(struct pg_listener *l, enum pg_err why, struct pg_bytes reason)
{
    struct pg_forward *f = l->context;
    char text[512];
    (void)why;
    int n = snprintf(text, sizeof text, "cannot listen on %s for service %.*s: %.*s", f->bind, (int)f->service.len,
                     (const char *)f->service.at, (int)reason.len, (const char *)reason.at);
    pg_log_tunnel_failed(pg_node_log(l->node), pg_bytes(text, n > 0 ? (size_t)n : 0));
}

static void arrived(struct pg_listener *l, struct pg_link *link, const struct pg_endpoint *remote, const struct pg_endpoint *local)
{
    struct pg_forward *f = l->context;
    (void)local;
    pg_tunnel_consumer_arrived(f->tunnels, f, link, remote);
}

static const struct pg_listener_user user = {.address = stands, .failed = failed, .arrived = arrived};

bool pg_tunnels_init(struct pg_tunnels *t, struct pg_node *node, uint32_t at_once)
{
    *t = (struct pg_tunnels){.node = node, .wait_ms = 10000};
    t->consumer_end = &t->consumer_list;
    t->forwards = calloc(PG_MAX_FORWARDS, sizeof *t->forwards);
    return t->forwards && pg_pool_init(&t->consumers, sizeof(struct pg_tunnel_consumer), at_once, 256) &&
           pg_pool_init(&t->providers, sizeof(struct pg_tunnel_provider), at_once, 256) &&
           pg_node_serve(node, &pg_tunnel_serve);
}

void pg_tunnels_free(struct pg_tunnels *t)
{
    pg_pool_free(&t->consumers);
    pg_pool_free(&t->providers);
    free(t->forwards);
}

bool pg_tunnels_expose(struct pg_tunnels *t, struct pg_bytes name, struct pg_bytes host, uint16_t port)
{
    uint32_t i = 0;
    while (i < t->n_exposed && !pg_bytes_equal(t->exposed[i].name, name))
        i++;
    if (i == PG_MAX_EXPOSED)
        return false;
    t->exposed[i] = (struct pg_exposed){name, host, port};
    if (i == t->n_exposed)
        t->n_exposed++;
    return true;
}

bool pg_tunnels_forward(struct pg_tunnels *t, const struct pg_peer_id *peer, struct pg_bytes service, struct pg_bytes host,
                        uint16_t port)
{
    if (t->n_forwards == PG_MAX_FORWARDS)
        return false;
    struct pg_forward *f = &t->forwards[t->n_forwards++];
    *f = (struct pg_forward){.tunnels = t, .peer = *peer, .service = service, .host = host};
    pg_peer_id_text(peer, f->peer_text);
    if (host.len)
        snprintf(f->bind, sizeof f->bind, "%.*s:%u", (int)host.len, (const char *)host.at, port);
    f->listener = (struct pg_listener){.kind = PG_LISTEN_LOCAL, .user = &user, .context = f, .host = host, .endpoint.port = port};
    if (pg_ip4_parse(host, f->listener.endpoint.ip))
        f->listener.endpoint.family = 4;
    else if (pg_ip6_parse(host, f->listener.endpoint.ip))
        f->listener.endpoint.family = 6;
    if (f->listener.endpoint.family)
        f->listener.host = PG_NONE;
    return true;
}

void pg_tunnels_start(struct pg_tunnels *t)
{
    for (uint32_t i = 0; i < t->n_forwards; i++) {
        struct pg_forward *f = &t->forwards[i];
        f->contact = pg_node_contact(t->node, &f->peer);
        if (f->contact)
            pg_contact_start(f->contact, false, true);
        pg_listener_start(&f->listener, t->node, 1000 + i);
    }
}

void pg_tunnels_peer_up(struct pg_tunnels *t, struct pg_session *s)
{
    for (struct pg_tunnel_consumer *c = t->consumer_list, *next; c; c = next) {
        next = c->next;
        if ((1u << c->in.ctl.state) & PG_TUNNEL_CONSUMER_WAITS && pg_peer_id_equal(pg_forward_peer(c->forward), pg_session_peer(s)))
            pg_step(&c->in, PG_TUNNEL_CONSUMER_ON_PEER_UP);
    }
}

void pg_tunnels_stop(struct pg_tunnels *t)
{
    for (uint32_t i = 0; i < t->n_forwards; i++) {
        pg_listener_stop(&t->forwards[i].listener);
        pg_log_tunnel_shut_down(pg_node_log(t->node), t->forwards[i].service);
    }
    for (struct pg_tunnel_consumer *c = t->consumer_list; c; c = c->next)
        pg_step(&c->in, PG_TUNNEL_CONSUMER_ON_STOP);
    for (struct pg_tunnel_provider *p = t->provider_list; p; p = p->next)
        pg_step(&p->in, PG_TUNNEL_PROVIDER_ON_STOP);
}

void pg_tunnels_cut(struct pg_tunnels *t)
{
    for (struct pg_tunnel_consumer *c = t->consumer_list; c; c = c->next)
        pg_pipe_finish(&c->pipe);
    for (struct pg_tunnel_provider *p = t->provider_list; p; p = p->next)
        pg_pipe_finish(&p->pipe);
}

static void end_pipe(struct pg_tunnels *t, struct pg_pipe *p, void **room)
{
    if (p->stream)
        pg_stream_detach(p->stream);
    pg_node_close(t->node, &p->local);
    if (p->begun)
        pg_instance_end(&p->in);
    pg_tunnel_room_give(t, room);
    t->n_running--;
}

static void free_consumer(struct pg_tunnels *t, struct pg_tunnel_consumer *c)
{
    *c->previous = c->next;
    if (c->next)
        c->next->previous = c->previous;
    else
        t->consumer_end = c->previous;
    pg_instance_end(&c->in);
    end_pipe(t, &c->pipe, &c->room);
    pg_pool_give(&t->consumers, c);
}

static void free_provider(struct pg_tunnels *t, struct pg_tunnel_provider *p)
{
    *p->previous = p->next;
    if (p->next)
        p->next->previous = p->previous;
    pg_queue_clear(&p->early);
    pg_instance_end(&p->in);
    end_pipe(t, &p->pipe, &p->room);
    pg_pool_give(&t->providers, p);
}

void pg_tunnels_finished(struct pg_tunnels *t, struct pg_instance *in)
{
    if (in->machine->id != PG_MACHINE_TUNNEL_CONSUMER && in->machine->id != PG_MACHINE_TUNNEL_PROVIDER)
        return;
    struct pg_pipe *pipe = in->self; /* both begin with it */
    pipe->next_doomed = t->doomed;
    pipe->machine = in;
    t->doomed = pipe;
}

void pg_tunnels_reap(struct pg_tunnels *t)
{
    bool any = t->doomed != NULL;
    while (t->doomed) {
        struct pg_pipe *pipe = t->doomed;
        t->doomed = pipe->next_doomed;
        if (pipe->machine->machine->id == PG_MACHINE_TUNNEL_CONSUMER)
            free_consumer(t, (struct pg_tunnel_consumer *)pipe);
        else
            free_provider(t, (struct pg_tunnel_provider *)pipe);
    }
    if (any)
        pg_node_idle(t->node);
}

void pg_tunnel_consumer_piped(struct pg_tunnels *t, const struct pg_peer_id *peer, struct pg_bytes service, struct pg_link *link)
{
    if (t->n_forwards < PG_MAX_FORWARDS && pg_tunnels_forward(t, peer, service, PG_NONE, 0))
        pg_tunnel_consumer_arrived(t, &t->forwards[t->n_forwards - 1], link, &(struct pg_endpoint){0});
}

void pg_tunnels_end(struct pg_tunnels *t)
{
    while (t->consumer_list)
        free_consumer(t, t->consumer_list);
    while (t->provider_list)
        free_provider(t, t->provider_list);
}

bool pg_tunnels_view(const struct pg_tunnels *t, uint32_t i, struct pg_forward_view *v)
{
    if (i >= t->n_forwards)
        return false;
    const struct pg_forward *f = &t->forwards[i];
    *v = (struct pg_forward_view){.peer = pg_text(f->peer_text), .service = f->service, .bind = pg_text(f->bind),
                                  .listening = pg_listener_stands(&f->listener)};
    for (const struct pg_tunnel_consumer *c = t->consumer_list; c; c = c->next)
        v->clients += c->forward == f;
    return true;
}
