/* Real cores with Kademlia on a simulated network, and questions that are asked of them. Everything follows from a seed and takes no
 * real time. Part of kad_world_test.c and kad_liars_test.c. */
#pragma once
#include "sim_world.h"

enum { HOSTS = 64 };

struct host {
    struct pg_kad_asker asker; /* first: of the question that is open */
    struct pg_kad_question question;
    struct pg_kad_query *query;
    struct pg_identity *identity;
    struct pg_node_config config;
    struct pg_node *node;
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_log log;
    unsigned number;
    /* Of the last question. */
    bool done, forgets, again;
    enum pg_err why;
    uint32_t n_found, n_peers, hops, messages, n_closest;
    uint64_t done_us;
    struct pg_kad_contact found[8];
    struct pg_peer_id closest[PG_KAD_K];
    char value[256];
    unsigned n_alarms;
};

static struct host hosts[HOSTS];
static unsigned n_hosts;

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    struct host *h = context;
    h->n_alarms += id == PG_LOG_KAD_CROWDED;
    tell(h->number, text);
}

static void world_open(unsigned n)
{
    sim = pg_sim_new(7);
    memset(hosts, 0, sizeof hosts);
    n_hosts = n;
    pg_sim_widen(sim, HOSTS);
    for (unsigned i = 0; i < n; i++) {
        struct host *h = &hosts[i];
        struct pg_endpoint at = pg_sim_endpoint(i, PORT);
        h->number = i;
        h->log = (struct pg_log){.sink = log_line, .context = h};
        h->identity = configure(&h->config, i, 0x51, &h->log);
        pg_multiaddr_from_tcp(&h->config.listens[h->config.n_listens++], &at);
    }
}

static void bootstrap(struct host *h, unsigned other)
{
    struct pg_endpoint at = pg_sim_endpoint(other, PORT);
    configure_bootstrap(&h->config, &at, pg_identity_peer_id(hosts[other].identity));
}

static void on_reload(void *context, struct pg_bytes lists);

static void start_with(struct host *h, void (*before)(struct host *))
{
    struct pg_node_hooks hooks = {.context = h, .reload = on_reload};
    h->node = pg_node_new(&h->config, &hooks);
    if (!h->node)
        abort();
    if (before)
        before(h);
    h->core = pg_node_core(h->node);
    h->process = pg_sim_join(sim, h->number, &h->core, (struct pg_sim_hooks){.context = h, .reload = no_lists});
    pg_sim_start(h->process);
}

static void start(struct host *h)
{
    start_with(h, NULL);
}

static void stop(struct host *h)
{
    if (h->process && pg_sim_is_running(h->process))
        pg_sim_kill(h->process, PG_SIM_KILLED);
    pg_node_free(h->node);
    h->node = NULL;
    h->process = NULL;
}

static void world_close(void)
{
    for (unsigned i = 0; i < n_hosts; i++) {
        stop(&hosts[i]);
        pg_identity_free(hosts[i].identity);
    }
    pg_sim_free(sim);
}

/* Asking. */

static void found(struct pg_kad_asker *asker, const struct pg_kad_contact *peer)
{
    struct host *h = (struct host *)asker;
    if (h->n_found < 8)
        h->found[h->n_found] = *peer;
    h->n_found++;
    if (h->forgets)
        pg_kad_forget(h->query);
}

static void done(struct pg_kad_asker *asker, const struct pg_kad_result *r)
{
    struct host *h = (struct host *)asker;
    CU_ASSERT_FALSE(h->done);
    h->done = true;
    h->why = r->why;
    h->n_peers = r->n_peers;
    h->hops = r->hops;
    h->messages = r->messages;
    h->n_closest = r->n_closest;
    for (uint32_t i = 0; i < r->n_closest && i < PG_KAD_K; i++)
        h->closest[i] = r->closest[i].id;
    pg_bytes_text(h->value, sizeof h->value, r->value);
    h->done_us = pg_sim_now(sim);
    CU_ASSERT_EQUAL(r->n_found, h->n_found);
    if (h->again) { /* from inside: as whoever retries does */
        h->again = h->done = false;
        h->n_found = 0;
        CU_ASSERT_PTR_NOT_NULL(pg_kad_ask(h->node, &h->asker, &h->question));
        CU_ASSERT_FALSE(h->done);
    }
}

/* As a service would: within a turn. */
static void on_reload(void *context, struct pg_bytes lists)
{
    struct host *h = context;
    (void)lists;
    h->query = pg_kad_ask(h->node, &h->asker, &h->question);
    CU_ASSERT_FALSE(h->done);
}

static void ask(struct host *h, struct pg_kad_question question)
{
    h->asker = (struct pg_kad_asker){.found = found, .done = done};
    h->done = false;
    h->n_found = 0;
    h->query = NULL;
    h->question = question;
    pg_sim_reload(h->process);
    pass(0);
}

static inline bool answered(struct host *h, struct pg_kad_question question)
{
    ask(h, question);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->query);
    for (unsigned i = 0; i < 700 && !h->done; i++)
        pass(SECONDS / 10);
    CU_ASSERT(h->done);
    return h->why == PG_OK;
}

static inline struct pg_bytes id_of(const struct host *h)
{
    const struct pg_peer_id *id = pg_identity_peer_id(h->identity);
    return pg_bytes(id->at, id->len);
}

static inline bool is(const struct pg_peer_id *id, const struct host *h)
{
    return pg_peer_id_equal(id, pg_identity_peer_id(h->identity));
}
