/* Composes the node with tunnels, control socket and tasks. Called by src/cli/main.c. */
#include "service/peer.h"

#include "machines.gen.h"
#include "service/control.h"
#include "service/perf.h"
#include "service/task.h"

#include <stdlib.h>

struct pg_peer {
    struct pg_tunnels tunnels; /* first: what the tunnel's streams find by their session */
    struct pg_node *node;
    struct pg_control_socket control;
    struct pg_task task;
    struct pg_perf_server perf;
    struct pg_peer_config config;
};

static bool has_task(const struct pg_peer *p)
{
    return p->config.task != PG_TASK_NONE;
}

static void on_start(void *context)
{
    struct pg_peer *p = context;
    if (has_task(p)) {
        pg_task_start(&p->task);
        return;
    }
    if (p->config.control.len)
        pg_control_start(&p->control, p->node, &p->tunnels, p->config.node.identity, p->config.control,
                         p->config.control_needed);
    pg_tunnels_start(&p->tunnels);
}

static void on_peer_up(void *context, struct pg_session *s)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_peer_up(&p->task, s);
    pg_tunnels_peer_up(&p->tunnels, s);
}

static void on_identified(void *context, struct pg_session *s)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_identified(&p->task, s);
}

static void on_peer_lost(void *context, struct pg_session *s)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_peer_lost(&p->task, s);
    else if (!pg_node_session(p->node, pg_session_peer(s)))
        pg_tunnels_peer_lost(&p->tunnels, pg_session_peer(s));
}

static void on_peer_silent(void *context, struct pg_session *s)
{
    struct pg_peer *p = context;
    if (!has_task(p))
        pg_tunnels_peer_silent(&p->tunnels, pg_session_peer(s));
}

static void on_contact_failed(void *context, struct pg_contact *c, enum pg_err why, struct pg_bytes reason)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_contact_failed(&p->task, c, why, reason);
}

static void on_unserved(void *context, struct pg_session *s)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_unserved(&p->task, s);
}

static void on_adopted(void *context, struct pg_link *link)
{
    struct pg_peer *p = context;
    pg_task_adopted(&p->task, link);
}

static void on_reload(void *context, struct pg_bytes lists)
{
    struct pg_peer *p = context;
    if (!has_task(p))
        pg_tunnels_reload(&p->tunnels, lists);
}

static void on_provide(void *context, struct pg_bytes name)
{
    pg_tunnels_provide(&((struct pg_peer *)context)->tunnels, name);
}

static void on_record(void *context, struct pg_bytes name)
{
    pg_tunnels_record(&((struct pg_peer *)context)->tunnels, name);
}

static void on_find(void *context, struct pg_bytes wanted)
{
    pg_tunnels_find(&((struct pg_peer *)context)->tunnels, wanted);
}

static void on_company(void *context)
{
    pg_tunnels_company(&((struct pg_peer *)context)->tunnels);
}

static void on_provided(void *context, struct pg_bytes key, const struct pg_kad_contact *peer)
{
    pg_tunnels_provided(&((struct pg_peer *)context)->tunnels, key, peer);
}

static void on_moved(void *context)
{
    pg_tunnels_moved(&((struct pg_peer *)context)->tunnels);
}

static void on_path(void *context, const struct pg_peer_id *peer, enum pg_path_news news, struct pg_bytes reason)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_path_told(&p->task, peer, news, reason);
    pg_tunnels_path(&p->tunnels, peer, news, reason);
}

static void on_path_step(void *context, const struct pg_peer_id *peer, const struct pg_path_step *step)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_path_stepped(&p->task, peer, step);
}

static void on_stop(void *context)
{
    struct pg_peer *p = context;
    if (has_task(p))
        pg_task_stop(&p->task);
    pg_tunnels_stop(&p->tunnels);
    if (p->config.control.len)
        pg_control_stop(&p->control);
}

static uint32_t on_busy(void *context)
{
    struct pg_peer *p = context;
    return pg_tunnels_busy(&p->tunnels);
}

static void on_cut(void *context)
{
    struct pg_peer *p = context;
    pg_tunnels_cut(&p->tunnels);
}

static void on_finished(void *context, struct pg_instance *in)
{
    struct pg_peer *p = context;
    if (has_task(p) && in->machine->id == PG_MACHINE_TUNNEL_CONSUMER)
        pg_task_tunnel_ended(&p->task, in->self);
    pg_tunnels_finished(&p->tunnels, in);
}

static void on_settled(void *context)
{
    struct pg_peer *p = context;
    pg_tunnels_reap(&p->tunnels);
}

static bool compose(struct pg_peer *p)
{
    const struct pg_peer_config *c = &p->config;
    if (!pg_tunnels_init(&p->tunnels, p->node, (uint32_t)c->node.limits.value[PG_LIMIT_STREAMS] / 2))
        return false;
    p->tunnels.wait_ms = has_task(p) ? c->timeout_ms : c->tunnel_wait_ms;
    p->tunnels.direct_only = c->node.path == PG_PATH_DIRECT;
    for (uint32_t i = 0; i < c->n_exposed; i++)
        if (!pg_tunnels_expose(&p->tunnels, &c->exposed[i]))
            return false;
    for (uint32_t i = 0; i < c->n_forwards; i++)
        if (!pg_tunnels_forward(&p->tunnels, &c->forwards[i]))
            return false;
    if (!has_task(p) && !pg_perf_server_init(&p->perf, p->node))
        return false;
    if (has_task(p))
        pg_task_init(&p->task, p->node, &p->tunnels, c);
    return true;
}

struct pg_peer *pg_peer_new(const struct pg_peer_config *config)
{
    struct pg_peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    struct pg_node_hooks hooks = {.context = p, .start = on_start, .peer_up = on_peer_up, .peer_lost = on_peer_lost, .peer_silent = on_peer_silent, .identified = on_identified,
                                  .contact_failed = on_contact_failed, .adopted = on_adopted, .reload = on_reload, .stop = on_stop, .busy = on_busy,
                                  .cut = on_cut, .finished = on_finished, .settled = on_settled, .provide = on_provide, .record = on_record,
                                  .find = on_find, .company = on_company, .provided = on_provided, .unserved = on_unserved, .moved = on_moved, .path = on_path,
                                  .path_step = on_path_step};
    p->config = *config;
    p->node = pg_node_new(&p->config.node, &hooks);
    if (!p->node || !compose(p)) {
        pg_peer_free(p);
        return NULL;
    }
    return p;
}

void pg_peer_free(struct pg_peer *p)
{
    if (!p)
        return;
    if (p->node && has_task(p))
        pg_task_free(&p->task);
    pg_perf_server_free(&p->perf);
    if (p->node)
        pg_tunnels_end(&p->tunnels);
    pg_node_free(p->node);
    pg_tunnels_free(&p->tunnels);
    free(p);
}

struct pg_perf_server *pg_perf_server_of(void *services)
{
    return &((struct pg_peer *)services)->perf;
}

struct pg_core pg_peer_core(struct pg_peer *p)
{
    return pg_node_core(p->node);
}

struct pg_node *pg_peer_node(struct pg_peer *p)
{
    return p->node;
}

enum pg_err pg_peer_failure(const struct pg_peer *p, struct pg_bytes *reason)
{
    if (!has_task(p))
        return pg_node_failure(p->node, reason);
    *reason = pg_text(p->task.reason);
    return p->task.why;
}
