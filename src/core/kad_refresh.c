/* Facts and actions of kad_refresh: looking ourselves up, then a key in each bucket that nobody has asked about for long.
 * Called by kad.c and node_control.c. Source: libp2p/specs kad-dht/README.md, "Bootstrap process". */
#include "core/node_internal.h"

#include <stddef.h>

/* HASTY: so many looks for ourselves follow each other at once, those of a start with several bootstraps among them; a minute without one ends the row. */
enum { CHANGED_MUCH = 8, PERIOD_MS = 300000, SOON_MS = 5000, HASTY = 4, ROW_MS = 60000 };

static struct pg_node *node_of(const struct pg_kad_refresh *r)
{
    return r->node;
}

bool pg_kad_refresh_is_known(const struct pg_kad_refresh *r)
{
    return pg_kad_known(node_of(r)) > 0;
}

/* The next bucket of this round that has rested since before its beginning. */
static int next_bucket(const struct pg_kad_refresh *r)
{
    const struct pg_node *n = node_of(r);
    uint64_t rest_us = PERIOD_MS * 1000ull / 2, since = n->scope.now_us > rest_us ? n->scope.now_us - rest_us : 1;
    return pg_kad_table_stale(&n->kad.table, r->bucket, since);
}

bool pg_kad_refresh_is_stale(const struct pg_kad_refresh *r)
{
    int bucket = next_bucket(r);
    return bucket >= 0 && bucket < (int)PG_KAD_REFRESHED;
}

bool pg_kad_refresh_is_hasty(const struct pg_kad_refresh *r)
{
    return r->in_a_row >= HASTY && r->node->scope.now_us - r->looked_us < SOON_MS * 1000ull;
}

uint64_t pg_kad_refresh_rest_ms(const struct pg_kad_refresh *r)
{
    uint64_t base = r->failed || r->n_changed >= CHANGED_MUCH ? SOON_MS : PERIOD_MS;
    return base - base / 10 + pg_node_random(r->node) % (base / 5 + 1); /* a mesh does not refresh in step */
}

static void look(struct pg_kad_refresh *r, struct pg_bytes key)
{
    struct pg_kad_question question = {.op = PG_KAD_CLOSEST, .key = key};
    r->query = pg_kad_query_new(r->node, &r->asker, &question, true);
    if (r->query)
        pg_kad_due(r->node);
    else
        pg_post(&r->in, PG_KAD_REFRESH_ON_LOOK_FAILED);
}

void pg_kad_refresh_do_self_look(struct pg_kad_refresh *r)
{
    const struct pg_peer_id *own = pg_identity_peer_id(r->node->config.identity);
    uint64_t now_us = r->node->scope.now_us;
    r->in_a_row = now_us - r->looked_us < ROW_MS * 1000ull ? r->in_a_row + 1 : 1;
    r->looked_us = now_us;
    r->bucket = r->n_changed = 0;
    look(r, pg_bytes(own->at, own->len));
}

void pg_kad_refresh_do_bucket_look(struct pg_kad_refresh *r)
{
    uint8_t target[PG_KAD_TARGET];
    int bucket = next_bucket(r);
    r->bucket = (uint32_t)bucket + 1;
    pg_kad_table_target(&r->node->kad.table, (uint32_t)bucket, pg_node_random(r->node), target);
    look(r, pg_bytes(target, sizeof target));
}

void pg_kad_refresh_do_look_drop(struct pg_kad_refresh *r)
{
    if (r->query)
        pg_kad_forget(r->query);
    r->query = NULL;
}

static void done(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    struct pg_kad_refresh *r = HOST_OF(pg_kad_refresh, asker, asker);
    r->query = NULL;
    r->why = result->why;
    if (r->in.ctl.state == PG_KAD_REFRESH_LOOKING)
        r->failed = result->why != PG_OK;
    r->joined |= result->why == PG_OK;
    pg_step(&r->in, result->why == PG_OK ? PG_KAD_REFRESH_ON_LOOK_DONE : PG_KAD_REFRESH_ON_LOOK_FAILED);
}

/* The control plane may be in the middle of a turn: it hears at the end of ours. */
void pg_kad_refresh_do_success_tell(struct pg_kad_refresh *r)
{
    r->says = PG_KAD_SAYS_OK;
    pg_kad_due(r->node);
}

void pg_kad_refresh_do_failure_tell(struct pg_kad_refresh *r)
{
    r->says = PG_KAD_SAYS_FAILED;
    pg_kad_due(r->node);
}

void pg_kad_refresh_init(struct pg_node *n)
{
    struct pg_kad_refresh *r = &n->kad.refresh;
    r->node = n;
    r->asker = (struct pg_kad_asker){.done = done};
    r->why = PG_ERR_NO_PEERS;
    pg_instance_init(&r->in, &pg_kad_refresh_machine, &pg_kad_refresh_binding, r, &n->scope, r->timers, NULL, 0);
}

void pg_kad_refresh_asked(struct pg_node *n)
{
    if (!n->config.aside)
        pg_step(&n->kad.refresh.in, PG_KAD_REFRESH_ON_BOOTSTRAP);
}

void pg_kad_refresh_heard(struct pg_node *n)
{
    struct pg_kad_refresh *r = &n->kad.refresh;
    if (n->config.quiet || n->config.aside)
        return;
    pg_post(&r->in, PG_KAD_REFRESH_ON_SERVER_HEARD);
    if (++r->n_changed == CHANGED_MUCH)
        pg_post(&r->in, PG_KAD_REFRESH_ON_TABLE_CHANGED);
}

void pg_kad_refresh_stop(struct pg_node *n)
{
    pg_step(&n->kad.refresh.in, PG_KAD_REFRESH_ON_STOP);
}

void pg_kad_refresh_settle(struct pg_node *n)
{
    struct pg_kad_refresh *r = &n->kad.refresh;
    if (r->says == PG_KAD_SAYS_NOTHING)
        return;
    bool ok = r->says == PG_KAD_SAYS_OK;
    r->says = PG_KAD_SAYS_NOTHING;
    pg_node_control_kad(n, ok, pg_text(pg_err_text(r->why ? r->why : PG_ERR_NO_PEERS)));
}
