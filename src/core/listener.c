/* Facts and actions of listener: sockets that wait for peers, local clients or control requests.
 * Called by node.c, src/service/forward.c and src/service/control.c.
 * Source: libp2p/specs addressing/README.md, "Listening". */
#include "core/node_internal.h"

#include <stddef.h>

static void on_listening(struct pg_link_owner *owner, const struct pg_input *in)
{
    struct pg_listener *l = (struct pg_listener *)owner;
    l->input = in;
    pg_step(&l->in, PG_LISTENER_ON_LISTENING);
}

static void on_accepted(struct pg_link_owner *owner, const struct pg_input *in)
{
    struct pg_listener *l = (struct pg_listener *)owner;
    l->input = in;
    pg_step(&l->in, PG_LISTENER_ON_ACCEPTED);
}

static void on_lost(struct pg_link_owner *owner, enum pg_err why, struct pg_bytes reason)
{
    struct pg_listener *l = (struct pg_listener *)owner;
    struct pg_input in = {.error = (int)why, .reason = reason};
    l->link = NULL;
    l->input = &in;
    pg_step(&l->in, PG_LISTENER_ON_LISTEN_FAILED);
}

static const struct pg_link_user user = {.listening = on_listening, .accepted = on_accepted, .lost = on_lost};

static void settle(struct pg_listener *l)
{
    if (l->settled)
        return;
    l->settled = true;
    pg_node_stands(l->node);
}

void pg_listener_do_socket_listen(struct pg_listener *l)
{
    pg_node_expect(l->node);
    l->link = pg_node_link(l->node, &l->owner);
    if (!l->link) {
        l->why = PG_ERR_NO_MEMORY;
        pg_post(&l->in, PG_LISTENER_ON_LISTEN_FAILED);
        return;
    }
    pg_node_command(l->node, &(struct pg_command){.kind = PG_COMMAND_LISTEN, .link = l->link, .mode = l->kind,
                                                  .endpoint = l->endpoint, .host = l->host, .path = l->path});
}

void pg_listener_do_address_tell(struct pg_listener *l)
{
    l->user->address(l, &l->input->local);
    settle(l);
}

void pg_listener_do_failure_tell(struct pg_listener *l)
{
    if (l->input)
        l->user->failed(l, (enum pg_err)l->input->error, l->input->reason);
    else
        l->user->failed(l, l->why, pg_text(pg_err_text(l->why)));
    settle(l);
}

void pg_listener_do_socket_close(struct pg_listener *l)
{
    pg_node_close(l->node, &l->link);
    settle(l); /* whoever waits until all stand does not wait for this one */
}

void pg_listener_do_arrival_take(struct pg_listener *l)
{
    l->user->arrived(l, l->input->fresh, &l->input->remote, &l->input->local);
}

void pg_listener_do_arrival_refuse(struct pg_listener *l)
{
    struct pg_link *fresh = l->input->fresh;
    pg_node_reset(l->node, &fresh);
}

void pg_listener_start(struct pg_listener *l, struct pg_node *node, uint32_t number)
{
    l->owner.user = &user;
    l->node = node;
    pg_instance_init(&l->in, &pg_listener_machine, &pg_listener_binding, l, pg_node_scope(node), NULL, NULL, number);
    pg_step(&l->in, PG_LISTENER_ON_START);
}

void pg_listener_stop(struct pg_listener *l)
{
    if (l->node)
        pg_step(&l->in, PG_LISTENER_ON_STOP);
}

bool pg_listener_stands(const struct pg_listener *l)
{
    return l->node && l->in.ctl.state == PG_LISTENER_STANDING;
}
