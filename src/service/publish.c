/* Facts and actions of publish: the records of an exposed service, brought to the peers nearest to its key.
 * Called by expose.c. Serves spec/machine/publish.sm; the original announces a service under /punchgate/svc/NAME as a provider
 * record and as a value record with its name as JSON, and only the former is ever read. */
#include "service/publish.h"
#include "trace/line.h"

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_LAST_MS = 60000, RESTED_US = 1000000 };

/* Facts. */

bool pg_publish_is_participating(const struct pg_publish *p)
{
    return pg_node_participates(p->node);
}

bool pg_publish_is_lonely(const struct pg_publish *p)
{
    return pg_kad_known(p->node) == 0;
}

bool pg_publish_is_thin(const struct pg_publish *p)
{
    return p->told < PG_KAD_K;
}

bool pg_publish_is_rested(const struct pg_publish *p)
{
    return pg_node_scope(p->node)->now_us - p->tried_us >= RESTED_US;
}

uint64_t pg_publish_backoff_ms(const struct pg_publish *p)
{
    uint32_t delay = p->in.event == PG_PUBLISH_ON_COMPANY ? BACKOFF_FIRST_MS : p->backoff_ms;
    return delay - delay / 10 + pg_node_random(p->node) % (delay / 5 + 1); /* a tenth more or less */
}

/* Questions. */

static void ask(struct pg_publish *p, enum pg_kad_op op, struct pg_bytes value, enum pg_publish_event refused)
{
    uint8_t key[PG_KAD_SERVICE_KEY_MAX];
    struct pg_kad_question question = {.op = op, .value = value};
    if (pg_kad_service_key(p->name, key, &question.key.len)) {
        question.key.at = key;
        p->query = pg_kad_ask(p->node, &p->asker, &question);
    }
    if (p->query)
        return;
    p->why = PG_ERR_LIMIT_REACHED;
    pg_post(&p->in, refused);
}

static void provided(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    struct pg_publish *p = (struct pg_publish *)asker;
    p->query = NULL;
    p->why = result->why;
    p->told = result->n_peers;
    pg_step(&p->in, result->why == PG_OK ? PG_PUBLISH_ON_PROVIDE_DONE : PG_PUBLISH_ON_PROVIDE_FAILED);
}

static void record_failed(struct pg_publish *p, enum pg_err why)
{
    pg_log_put_record_failed(pg_node_log(p->node), p->name, pg_text(pg_err_text(why)));
}

static void recorded(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    struct pg_publish *p = (struct pg_publish *)asker;
    p->query = NULL;
    if (result->why != PG_OK)
        record_failed(p, result->why);
    pg_step(&p->in, PG_PUBLISH_ON_RECORD_DONE);
}

void pg_publish_do_key_provide(struct pg_publish *p)
{
    p->tried_us = pg_node_scope(p->node)->now_us;
    p->asker = (struct pg_kad_asker){.done = provided};
    ask(p, PG_KAD_PROVIDE, PG_NONE, PG_PUBLISH_ON_PROVIDE_FAILED);
}

/* The name as a JSON string, as the original writes it. */
void pg_publish_do_record_put(struct pg_publish *p)
{
    char text[6 * 255 + 3];
    struct pg_line json;
    pg_line_init(&json, text, sizeof text);
    pg_line_put(&json, "\"");
    pg_line_escaped(&json, p->name, PG_ESCAPE_JSON, 255);
    pg_line_put(&json, "\"");
    p->asker = (struct pg_kad_asker){.done = recorded};
    ask(p, PG_KAD_PUT_VALUE, pg_line_bytes(&json), PG_PUBLISH_ON_RECORD_DONE);
    if (!p->query)
        record_failed(p, p->why);
}

void pg_publish_do_query_forget(struct pg_publish *p)
{
    if (p->query)
        pg_kad_forget(p->query);
    p->query = NULL;
}

void pg_publish_do_record_drop(struct pg_publish *p)
{
    uint8_t key[PG_KAD_SERVICE_KEY_MAX];
    size_t len;
    if (pg_kad_service_key(p->name, key, &len))
        pg_kad_withdraw(p->node, pg_bytes(key, len));
}

/* What is told, and how long to wait. */

void pg_publish_do_backoff_reset(struct pg_publish *p)
{
    p->backoff_ms = BACKOFF_FIRST_MS;
    p->failing = false;
}

void pg_publish_do_backoff_grow(struct pg_publish *p)
{
    p->backoff_ms = p->backoff_ms * 2 < BACKOFF_LAST_MS ? p->backoff_ms * 2 : BACKOFF_LAST_MS;
}

void pg_publish_do_success_tell(struct pg_publish *p)
{
    pg_node_metrics(p->node)->value[PG_METRIC_PUBLISHED]++;
    pg_log_service_published(pg_node_log(p->node), p->name, p->told);
}

void pg_publish_do_failure_tell(struct pg_publish *p)
{
    bool lonely = pg_publish_is_lonely(p);
    pg_node_metrics(p->node)->value[PG_METRIC_PUBLISH_FAILED]++;
    if (!p->failing && !lonely) /* the first peer of a mesh has nobody to tell, and that is no fault */
        pg_log_start_providing_failed(pg_node_log(p->node), p->name, pg_text(pg_err_text(p->why)));
    p->failing = !lonely;
}

/* Life. */

void pg_publish_begin(struct pg_publish *p, struct pg_node *n, struct pg_bytes name, uint32_t key)
{
    *p = (struct pg_publish){.node = n, .name = name, .backoff_ms = BACKOFF_FIRST_MS};
    pg_instance_init(&p->in, &pg_publish_machine, &pg_publish_binding, p, pg_node_scope(n), p->timers, NULL, key);
    if (!pg_node_participates(n))
        return;
    pg_publish_provide(p);
    pg_publish_record(p);
}

void pg_publish_end(struct pg_publish *p)
{
    if (!p->in.machine)
        return;
    pg_step(&p->in, PG_PUBLISH_ON_WITHDRAW);
    pg_instance_end(&p->in);
    p->in.machine = NULL;
}

void pg_publish_provide(struct pg_publish *p)
{
    pg_step(&p->in, PG_PUBLISH_ON_PROVIDE_ORDERED);
}

void pg_publish_record(struct pg_publish *p)
{
    /* The question before it was refused in this very turn, and nobody is known: whoever comes first is told of both. */
    if (p->in.ctl.state == PG_PUBLISH_UNPUBLISHED)
        return;
    pg_step(&p->in, PG_PUBLISH_ON_RECORD_ORDERED);
}

void pg_publish_company(struct pg_publish *p)
{
    pg_post(&p->in, PG_PUBLISH_ON_COMPANY);
}

void pg_publish_moved(struct pg_publish *p)
{
    pg_post(&p->in, PG_PUBLISH_ON_MOVED);
}
