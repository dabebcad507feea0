/* Sockets of scripts: what plays local clients and services, without a core. Called by tests/sim. */
#include "sim/sim_internal.h"

void sim_script_arrival(struct pg_sim_socket *listener)
{
    for (struct pg_sim_socket *k; (k = sim_accept(listener)) != NULL;) {
        listener->user->accepted(listener->context, k);
        if (k->user && !k->closed && (k->reset || sim_readable(k) > 0 || k->fin_arrived))
            k->user->news(k->context, k, k->reset ? PG_SIM_LOST : PG_SIM_READABLE);
    }
}

struct pg_sim_socket *pg_sim_listen(struct pg_sim *s, unsigned host, struct pg_endpoint at, const struct pg_sim_user *user, void *context)
{
    struct pg_sim_socket *k = sim_socket(s, host);
    if (!sim_listen(k, &at)) {
        k->closed = true;
        return NULL;
    }
    pg_sim_use(k, user, context);
    return k;
}

struct pg_sim_socket *pg_sim_dial(struct pg_sim *s, unsigned host, struct pg_endpoint to, const struct pg_sim_user *user, void *context)
{
    return pg_sim_dial_from(s, host, 0, to, user, context);
}

struct pg_sim_socket *pg_sim_dial_from(struct pg_sim *s, unsigned host, uint16_t port, struct pg_endpoint to, const struct pg_sim_user *user,
                                       void *context)
{
    struct pg_sim_socket *k = sim_socket(s, host);
    pg_sim_use(k, user, context);
    sim_connect(k, &to, &(struct pg_endpoint){.family = 4, .port = port});
    return k;
}

const struct pg_endpoint *pg_sim_remote(const struct pg_sim_socket *k)
{
    return &k->remote;
}

void pg_sim_use(struct pg_sim_socket *k, const struct pg_sim_user *user, void *context)
{
    k->user = user;
    k->context = context;
}

size_t pg_sim_send(struct pg_sim_socket *k, const void *bytes, size_t n)
{
    size_t sent = 0;
    while (sent < n && k->open && !k->closed) {
        size_t now = sim_write(k, (const uint8_t *)bytes + sent, n - sent);
        if (now == 0)
            break;
        sent += now;
    }
    return sent;
}

size_t pg_sim_receive(struct pg_sim_socket *k, void *out, size_t room)
{
    return k->closed ? 0 : sim_read(k, out, room);
}

bool pg_sim_ended(const struct pg_sim_socket *k)
{
    return k->fin_arrived && sim_readable(k) == 0;
}

void pg_sim_finish(struct pg_sim_socket *k)
{
    if (k->open)
        sim_shut(k);
}

void pg_sim_close(struct pg_sim_socket *k)
{
    sim_release(k, false);
}

void pg_sim_abort(struct pg_sim_socket *k)
{
    sim_release(k, true);
}

bool pg_sim_is_unix(const struct pg_sim_socket *k)
{
    return k->local.family == PG_SIM_UNIX;
}
