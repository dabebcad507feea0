/* Facts and actions of shutdown: the way out of a node. Stepped by node.c and by the services above, which say when they are done.
 * Serves docs/ARCHITECTURE.md, "Shutdown". */
#include "core/mdns.h"
#include "core/node_internal.h"

#include <stddef.h>

static struct pg_node *of(const struct pg_shutdown *s)
{
    return HOST_OF(pg_node, shutdown, s);
}

static uint32_t busy(struct pg_node *n)
{
    return n->hooks.busy ? n->hooks.busy(n->hooks.context) : 0;
}

bool pg_shutdown_is_busy(const struct pg_shutdown *s)
{
    return busy(of(s)) > 0;
}

void pg_shutdown_do_services_stop(struct pg_shutdown *s)
{
    struct pg_node *n = of(s);
    n->stopping = true;
    n->stop_us = n->scope.now_us;
    if (!n->config.quiet)
        pg_log_shutting_down(n->log);
    for (uint32_t i = 0; i < n->n_listeners; i++)
        pg_listener_stop(&n->listeners[i]);
    pg_contacts_stop(n);
    pg_mdns_stop(n->mdns);
    pg_kad_refresh_stop(n);
    pg_reach_stop(n);
    pg_ways_stop(n);
    if (busy(n) > 0)
        pg_log_tunnels_shutting_down(n->log, busy(n));
    if (n->hooks.stop)
        n->hooks.stop(n->hooks.context);
}

void pg_shutdown_do_services_cut(struct pg_shutdown *s)
{
    struct pg_node *n = of(s);
    if (n->hooks.cut)
        n->hooks.cut(n->hooks.context);
}

void pg_shutdown_do_calm_tell(struct pg_shutdown *s)
{
    struct pg_node *n = of(s);
    pg_log_drained(n->log, n->scope.now_us - n->stop_us);
}

void pg_shutdown_do_cut_tell(struct pg_shutdown *s)
{
    struct pg_node *n = of(s);
    pg_log_drain_cut(n->log, busy(n), n->scope.now_us - n->stop_us);
}

void pg_shutdown_do_connections_close(struct pg_shutdown *s)
{
    struct pg_node *n = of(s);
    n->leaving = true;
    pg_sessions_drop(n, true); /* what goes over a relay has to leave before the way to the relay is closed */
}

void pg_shutdown_do_loop_stop(struct pg_shutdown *s)
{
    pg_node_stop(of(s), 0);
}

void pg_node_idle(struct pg_node *n)
{
    if (n->stopping)
        pg_post(&n->shutdown.in, PG_SHUTDOWN_ON_IDLE);
}
