/* The life of all tunnels: their pools, stop and cut, and freeing what has ended when the turn is over.
 * Called by peer.c. Forwards are in forward.c, exposed services in expose.c. See docs/ARCHITECTURE.md, "A turn". */
#include "machines.gen.h"
#include "service/tunnel.h"

#include <stdio.h>

bool pg_tunnels_init(struct pg_tunnels *t, struct pg_node *node, uint32_t at_once)
{
    *t = (struct pg_tunnels){.node = node, .wait_ms = 10000};
    t->consumer_end = &t->consumer_list;
    t->waiting_end = &t->waiting;
    return pg_pool_init(&t->consumers, sizeof(struct pg_tunnel_consumer), at_once, 256) &&
           pg_pool_init(&t->providers, sizeof(struct pg_tunnel_provider), at_once, 256) &&
           pg_node_serve(node, &pg_tunnel_serve);
}

void pg_tunnels_free(struct pg_tunnels *t)
{
    pg_exposed_free_all(t);
    pg_forward_free_all(t);
    pg_pool_free(&t->consumers);
    pg_pool_free(&t->providers);
}

void pg_tunnels_wake(struct pg_tunnels *t, struct pg_session *s)
{
    for (struct pg_tunnel_consumer *c = t->waiting, *next; c; c = next) {
        next = c->next_waiting;
        if (!((1u << c->in.ctl.state) & PG_TUNNEL_CONSUMER_WAITS) ||
            !pg_peer_id_equal(pg_forward_peer(c->forward), pg_session_peer(s)))
            continue;
        pg_step(&c->in, PG_TUNNEL_CONSUMER_ON_PEER_UP);
        if (c->previous_waiting)
            return; /* it has found no room, and those behind it would find none either */
    }
}

/* Nobody waits for what does not come. */
static void turn_away(struct pg_tunnels *t, const struct pg_peer_id *peer, struct pg_bytes reason)
{
    for (struct pg_tunnel_consumer *c = t->waiting, *next; c; c = next) {
        next = c->next_waiting;
        if (!pg_peer_id_equal(pg_forward_peer(c->forward), peer))
            continue;
        snprintf(c->reason, sizeof c->reason, "tunnel cannot be established (--path direct): %.*s", (int)reason.len, (const char *)reason.at);
        pg_step(&c->in, PG_TUNNEL_CONSUMER_ON_PATH_BARRED);
    }
}

void pg_tunnels_path(struct pg_tunnels *t, const struct pg_peer_id *peer, enum pg_path_news news, struct pg_bytes reason)
{
    char text[PG_PEER_ID_TEXT];
    struct pg_bytes id = pg_bytes(text, pg_peer_id_text(peer, text));
    struct pg_log *log = pg_node_log(t->node);
    if (!pg_forwards_want(t, peer))
        return;
    switch (news) {
    case PG_PATH_RELAYED: pg_log_target_relayed(log, id); return;
    case PG_PATH_STANDS: pg_log_target_punched(log, id); return;
    case PG_PATH_BARRED:
        (t->direct_only ? pg_log_target_barred : pg_log_target_fallback)(log, id, reason);
        if (t->direct_only)
            turn_away(t, peer, reason);
        return;
    }
}

void pg_tunnels_stop(struct pg_tunnels *t)
{
    pg_forwards_stop(t);
    pg_tunnels_hide(t);
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
    pg_tunnel_consumer_stop_waiting(c);
    *c->previous = c->next;
    if (c->next)
        c->next->previous = c->previous;
    else
        t->consumer_end = c->previous;
    pg_instance_end(&c->in);
    end_pipe(t, &c->pipe, &c->room);
    pg_forward_leave(c->forward);
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
    if (p->service)
        pg_exposed_leave(t, p->service);
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
    pg_forwards_reap(t);
    if (t->looked)
        pg_forwards_tell(t);
    if (any)
        pg_node_idle(t->node);
}

void pg_tunnels_end(struct pg_tunnels *t)
{
    pg_tunnels_hide(t);
    while (t->consumer_list)
        free_consumer(t, t->consumer_list);
    while (t->provider_list)
        free_provider(t, t->provider_list);
}
