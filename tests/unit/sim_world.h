/* What worlds of real cores on the simulated network have in common. Everything follows from a seed and takes no real time.
 * Part of kad_world.h, relay_world.h, autonat_test.c and path_test.c. */
#pragma once
#include "core/node_internal.h"
#include "crypto_suite.h"
#include "protocols.gen.h"
#include "sim/sim.h"

enum { PORT = 4001 };
#define SECONDS ((uint64_t)1000000)

static struct pg_sim *sim;
static int tell_fd = -1; /* where log lines of all cores go; -1: nowhere */

static void tell(unsigned number, struct pg_bytes text)
{
    if (tell_fd >= 0)
        dprintf(tell_fd, "%12.6f %u %.*s\n", (double)pg_sim_now(sim) / 1e6, number, (int)text.len, (const char *)text.at);
}

static void pass(uint64_t us)
{
    CU_ASSERT_FATAL(pg_sim_run(sim, pg_sim_now(sim) + us));
}

/* A core of modest size. Its key, which the caller frees, follows from its number and from the test's. */
static struct pg_identity *configure(struct pg_node_config *c, unsigned number, uint8_t test, struct pg_log *log)
{
    struct pg_identity *identity;
    uint8_t secret[32] = {(uint8_t)(number + 1), test};
    if (pg_identity_from_secret(&identity, PG_KEY_ED25519, secret) != PG_OK)
        abort();
    pg_node_config_default(c);
    c->identity = identity;
    c->log = log;
    c->seed = pg_sim_random(sim);
    c->hash_seed = pg_sim_random(sim);
    c->limits.value[PG_LIMIT_MEMORY] = (uint64_t)32 << 20;
    c->limits.value[PG_LIMIT_CONNS] = 128;
    c->limits.value[PG_LIMIT_STREAMS] = 1024;
    return identity;
}

static void configure_bootstrap(struct pg_node_config *c, const struct pg_endpoint *at, const struct pg_peer_id *id)
{
    struct pg_multiaddr *addr = &c->bootstraps[c->n_bootstraps++];
    pg_multiaddr_from_tcp(addr, at);
    (void)pg_multiaddr_append_p2p(addr, id);
}

/* A reload brings a turn about, in which the test does by hand what it has to do; there is nothing to read. */
static bool no_lists(void *context, uint8_t **data, size_t *len)
{
    static uint8_t none[1];
    (void)context;
    *data = none;
    *len = 0;
    return true;
}
