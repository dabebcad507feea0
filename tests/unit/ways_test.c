/* This machine's addresses change: real cores on a simulated network, whose connections hear nothing any more. Run by ctest.
 * Serves src/core/ways.c, spec/machine/ways.sm and pulse.sm; hostile row 69. */
#include "core/node_internal.h"
#include "crypto_suite.h"
#include "sim/sim.h"

enum { STAYS, MOVES, HOSTS, PORT = 4001 };
#define SECONDS ((uint64_t)1000000)

struct host {
    struct pg_identity *identity;
    struct pg_node *node;
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_log log;
    unsigned n_logged[PG_LOGS], n_ready;
};
static struct pg_sim *sim;
static struct host hosts[HOSTS];
static const struct pg_endpoint elsewhere = {.family = 4, .ip = {10, 9, 9, 9}};

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    struct host *h = context;
    h->n_logged[id]++;
    if (getenv("SHOW"))
        fprintf(stderr, "%12.6f %ld %.*s\n", (double)pg_sim_now(sim) / 1e6, (long)(h - hosts), (int)text.len, (const char *)text.at);
}

static void ready(void *context)
{
    ((struct host *)context)->n_ready++;
}

static void pass(uint64_t us)
{
    CU_ASSERT_FATAL(pg_sim_run(sim, pg_sim_now(sim) + us));
}

static void start(unsigned i)
{
    struct host *h = &hosts[i];
    struct pg_node_config c;
    struct pg_endpoint at = pg_sim_endpoint(i, PORT), there = pg_sim_endpoint(STAYS, PORT);
    h->identity = pg_identity_from_seed((const uint8_t[32]){(uint8_t)(i + 1)});
    h->log = (struct pg_log){.sink = log_line, .context = h};
    pg_node_config_default(&c);
    c.identity = h->identity;
    c.log = &h->log;
    c.seed = i + 7;
    pg_multiaddr_from_tcp(&c.listens[c.n_listens++], &at);
    if (i != STAYS) {
        struct pg_multiaddr *addr = &c.bootstraps[c.n_bootstraps++];
        pg_multiaddr_from_tcp(addr, &there);
        (void)pg_multiaddr_append_p2p(addr, pg_identity_peer_id(hosts[STAYS].identity));
    }
    h->node = pg_node_new(&c, &(struct pg_node_hooks){.context = h});
    if (!h->node)
        abort();
    h->core = pg_node_core(h->node);
    h->process = pg_sim_join(sim, i, &h->core, (struct pg_sim_hooks){.context = h, .ready = ready});
    pg_sim_start(h->process);
}

/* Where the machine that moves is, as its system tells. */
static void is_at(const struct pg_endpoint *first, const struct pg_endpoint *second)
{
    struct pg_endpoint found[2];
    uint32_t n = 0;
    if (first)
        found[n++] = *first;
    if (second)
        found[n++] = *second;
    pg_sim_ways(hosts[MOVES].process, found, n);
}

static struct pg_endpoint home(void)
{
    return pg_sim_endpoint(MOVES, 0);
}

static struct pg_session *session(unsigned i)
{
    struct pg_session *s = hosts[i].node->sessions;
    return s && s->up ? s : NULL;
}

static void world_open(void)
{
    struct pg_endpoint own = home();
    sim = pg_sim_new(5);
    memset(hosts, 0, sizeof hosts);
    start(STAYS);
    pass(SECONDS / 10);
    start(MOVES);
    is_at(&own, NULL);
    pass(40 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session(MOVES));
    CU_ASSERT_EQUAL_FATAL(hosts[MOVES].n_logged[PG_LOG_OWN_ADDRESSES_CHANGED], 0); /* the first word says how things are */
}

static void world_close(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        if (pg_sim_is_running(hosts[i].process))
            pg_sim_kill(hosts[i].process, PG_SIM_KILLED);
        pg_node_free(hosts[i].node);
        pg_identity_free(hosts[i].identity);
    }
    pg_sim_free(sim);
}

static void connections_from_an_address_that_is_gone_are_over_and_made_again(void)
{
    world_open();
    struct pg_session *before = session(MOVES);
    uint32_t number = before->conn->number;
    CU_ASSERT(pg_sim_break(sim, STAYS, MOVES, PG_SIM_BREAK_SILENT) > 0);
    is_at(&elsewhere, NULL);
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_OWN_ADDRESSES_CHANGED], 1);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_CLOSED], 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session(MOVES));
    CU_ASSERT_NOT_EQUAL(session(MOVES)->conn->number, number);
    world_close();
}

static void whoever_is_reached_from_an_address_that_stays_has_to_answer(void)
{
    struct pg_endpoint own = home();
    world_open();
    is_at(&own, &elsewhere);
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_CLOSED], 0);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_SILENT], 0); /* it does */
    CU_ASSERT(pg_sim_break(sim, STAYS, MOVES, PG_SIM_BREAK_SILENT) > 0);
    is_at(&own, NULL);
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_SILENT], 1);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_OPENED], 2); /* and is dialled anew beside that */
    pass(25 * SECONDS);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_CLOSED], 1);
    world_close();
}

static void an_address_that_is_back_at_once_has_ended_nothing(void)
{
    struct pg_endpoint own = home();
    world_open();
    is_at(NULL, NULL);
    pass(SECONDS / 10);
    is_at(&own, NULL);
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_OWN_ADDRESSES_CHANGED], 0);
    CU_ASSERT_EQUAL(hosts[MOVES].n_logged[PG_LOG_CONNECTION_CLOSED], 0);
    world_close();
}

static void without_an_address_nothing_spins_and_with_one_the_next_try_is_at_once(void)
{
    struct pg_endpoint own = home();
    world_open();
    (void)pg_sim_break(sim, STAYS, MOVES, PG_SIM_BREAK_SILENT);
    pg_sim_path(sim, STAYS, MOVES)->dials = PG_SIM_UNREACHABLE;
    is_at(NULL, NULL);
    pass(400 * SECONDS);
    CU_ASSERT_PTR_NULL(session(MOVES));
    CU_ASSERT(hosts[MOVES].n_logged[PG_LOG_DIALING] < 40);
    pg_sim_path(sim, STAYS, MOVES)->dials = PG_SIM_OPEN;
    is_at(&own, NULL);
    pass(3 * SECONDS); /* the back-off has come to a minute */
    CU_ASSERT_PTR_NOT_NULL(session(MOVES));
    world_close();
}

static bool is_told(const struct pg_endpoint *at, uint16_t port)
{
    struct pg_multiaddr addrs[PG_NODE_ADDRS], want;
    struct pg_endpoint e = *at;
    bool told = false;
    e.port = port;
    pg_multiaddr_from_tcp(&want, &e);
    for (uint32_t i = 0, n = pg_node_addrs(hosts[MOVES].node, addrs); i < n; i++)
        told |= pg_multiaddr_equal(&addrs[i], &want);
    return told;
}

static void others_hear_of_addresses_that_come_and_go(void)
{
    struct pg_endpoint own = home();
    world_open();
    unsigned ready_before = hosts[MOVES].n_ready;
    CU_ASSERT(is_told(&own, PORT));
    hosts[MOVES].node->listeners[0].endpoint = (struct pg_endpoint){.family = 4, .port = PORT}; /* as if on all addresses */
    is_at(&elsewhere, NULL);
    pass(2 * SECONDS);
    CU_ASSERT(!is_told(&own, PORT));
    CU_ASSERT(is_told(&elsewhere, PORT));
    CU_ASSERT(hosts[MOVES].n_ready > ready_before);
    is_at(&elsewhere, &own);
    pass(SECONDS);
    CU_ASSERT(is_told(&own, PORT));
    CU_ASSERT(is_told(&elsewhere, PORT));
    CU_ASSERT_EQUAL(hosts[MOVES].node->n_addrs, 2);
    world_close();
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"connections from an address that is gone are over, and made again", connections_from_an_address_that_is_gone_are_over_and_made_again},
        {"whoever is reached from an address that stays has to answer", whoever_is_reached_from_an_address_that_stays_has_to_answer},
        {"an address that is back at once has ended nothing", an_address_that_is_back_at_once_has_ended_nothing},
        {"without an address nothing spins, and with one the next try is at once", without_an_address_nothing_spins_and_with_one_the_next_try_is_at_once},
        {"others hear of addresses that come and go", others_hear_of_addresses_that_come_and_go},
    };
    return RUN_SUITE("ways", sentences);
}
