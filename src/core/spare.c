/* Facts and actions of spare: connections of which their peers have more than is needed, and when they are closed again. Called by
 * session.c. Serves docs/decisions/0008-streams-per-connection.md, and 0013-paths.md, "Of two direct connections". */
#include "core/node_internal.h"

#include <stddef.h>

enum { SHORT_LIFE_US = 5000000 };

static struct pg_session *of(const struct pg_spare *spare)
{
    return HOST_OF(pg_session, spare, spare);
}

bool pg_spare_is_needed(const struct pg_spare *spare)
{
    const struct pg_session *s = of(spare);
    if (s->conn->yamux.working > 0 || !s->place || pg_slot_keeps(s))
        return true;
    if (s->surplus)
        return !pg_path_outdone(s);
    if (s->relayed && s->node->config.path == PG_PATH_RELAY)
        return true; /* the direct one beside it carries no tunnels */
    return s->widens ? s->place->first == s : pg_visit_keeps(s);
}

bool pg_spare_is_asked(const struct pg_spare *spare)
{
    return pg_yamux_is_asked(&of(spare)->conn->yamux);
}

void pg_spare_do_connection_close(struct pg_spare *spare)
{
    pg_session_drop(of(spare), PG_ERR_CLOSED);
}

void pg_spare_begin(struct pg_session *s)
{
    if (s->spares) {
        pg_step(&s->spare.in, PG_SPARE_ON_EMPTIED);
        return;
    }
    s->spares = true;
    pg_instance_init(&s->spare.in, &pg_spare_machine, &pg_spare_binding, &s->spare, &s->node->scope, s->spare.timers, NULL, s->conn->number);
    pg_step(&s->spare.in, PG_SPARE_ON_BEGIN);
}

/* Two connections of one pair, because both sides have dialled or one did so twice: whoever is the client of the one that is
 * not taken closes it when it is at rest. */
void pg_spares_find(struct pg_session *newest)
{
    for (struct pg_session *s = newest->place->first; s; s = s->next_same)
        if (s->conn->client && !s->surplus && !s->widens && !pg_session_is_relayed(s) && pg_path_outdone(s)) {
            s->surplus = true;
            pg_spare_begin(s);
        }
}

/* Ends what a connection beyond the first has of its own; one that did not last is told to whoever wanted it. */
void pg_spare_end(struct pg_session *s)
{
    bool closed_by_us = s->spare.in.ctl.state == PG_SPARE_CLOSED;
    if (!s->spares)
        return;
    pg_step(&s->spare.in, PG_SPARE_ON_END);
    pg_instance_end(&s->spare.in);
    if (s->widens && !closed_by_us && s->contact && s->node->scope.now_us - s->up_us < SHORT_LIFE_US)
        pg_step(&s->contact->bootstrap.in, PG_BOOTSTRAP_ON_SPARE_LOST);
}
