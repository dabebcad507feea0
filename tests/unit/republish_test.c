/* A service in the DHT over days of simulated time, in whole peers: it stays findable for as long as its peer lives, and is gone when the
 * last record of it has ended. Promise 16; spec/system/publish.sys says why. */
#include "core/kad.h"
#include "crypto_suite.h"
#include "service/peer.h"
#include "sim/sim.h"

enum { PEERS = 3, PROVIDER = 1, PORT = 4001 };
#define SECONDS ((uint64_t)1000000)
#define HOURS (3600 * SECONDS)

static struct pg_sim *sim;
static struct one {
    struct pg_kad_asker asker; /* first */
    struct pg_identity *identity;
    struct pg_peer *peer;
    struct pg_core core;
    struct pg_sim_process *process;
    unsigned n_found;
    bool done, is_provider;
} all[PEERS];

static void begin(unsigned number)
{
    static const struct pg_peer_expose echo = {.name = {(const uint8_t *)"echo", 4}, .host = {(const uint8_t *)"127.0.0.1", 9}, .port = 7};
    struct one *o = &all[number];
    struct pg_peer_config c = {.tunnel_wait_ms = 10000};
    struct pg_endpoint at = pg_sim_endpoint(number, PORT), first = pg_sim_endpoint(0, PORT);
    uint8_t secret[32] = {(uint8_t)(number + 1), 0x52};
    pg_node_config_default(&c.node);
    CU_ASSERT_EQUAL_FATAL(pg_identity_from_secret(&o->identity, PG_KEY_ED25519, secret), PG_OK);
    c.node.identity = o->identity;
    c.node.seed = pg_sim_random(sim);
    c.node.hash_seed = pg_sim_random(sim);
    c.node.limits.value[PG_LIMIT_MEMORY] = (uint64_t)32 << 20;
    c.node.limits.value[PG_LIMIT_CONNS] = 64;
    c.node.limits.value[PG_LIMIT_STREAMS] = 256;
    pg_multiaddr_from_tcp(&c.node.listens[c.node.n_listens++], &at);
    if (number > 0) {
        struct pg_multiaddr *addr = &c.node.bootstraps[c.node.n_bootstraps++];
        pg_multiaddr_from_tcp(addr, &first);
        (void)pg_multiaddr_append_p2p(addr, pg_identity_peer_id(all[0].identity));
    }
    c.exposed = &echo;
    c.n_exposed = number == PROVIDER;
    o->peer = pg_peer_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o->peer);
    o->core = pg_peer_core(o->peer);
    o->process = pg_sim_join(sim, number, &o->core, (struct pg_sim_hooks){.context = o});
    pg_sim_start(o->process);
}

static void end(unsigned number)
{
    if (all[number].process)
        pg_sim_kill(all[number].process, PG_SIM_KILLED);
    pg_peer_free(all[number].peer);
    pg_identity_free(all[number].identity);
    all[number] = (struct one){.process = NULL};
}

static void pass(uint64_t us)
{
    CU_ASSERT_FATAL(pg_sim_run(sim, pg_sim_now(sim) + us));
}

static void found(struct pg_kad_asker *asker, const struct pg_kad_contact *peer)
{
    struct one *o = (struct one *)asker;
    o->n_found++;
    o->is_provider = all[PROVIDER].identity && pg_peer_id_equal(&peer->id, pg_identity_peer_id(all[PROVIDER].identity));
}

static void done(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    (void)result;
    ((struct one *)asker)->done = true;
}

/* A stranger comes, looks for the service, and goes. */
static unsigned providers_for_a_stranger(void)
{
    struct one *o = &all[PEERS - 1];
    begin(PEERS - 1);
    pass(5 * SECONDS);
    o->asker = (struct pg_kad_asker){.found = found, .done = done};
    CU_ASSERT_PTR_NOT_NULL_FATAL(pg_kad_ask(pg_peer_node(o->peer), &o->asker, &(struct pg_kad_question){
        .op = PG_KAD_PROVIDERS, .key = PG_LIT("/punchgate/svc/echo")}));
    pg_sim_poke(o->process);
    pass(70 * SECONDS);
    CU_ASSERT_TRUE_FATAL(o->done);
    unsigned n = o->n_found;
    CU_ASSERT_TRUE(n == 0 || o->is_provider || !all[PROVIDER].identity);
    end(PEERS - 1);
    return n;
}

static void a_service_is_found_for_days_while_its_peer_lives_and_not_for_ever_after(void)
{
    const uint64_t life_us = PG_FIXED_KAD_PROVIDER_TTL_MS * 1000ull;
    sim = pg_sim_new(16);
    for (unsigned i = 0; i < PEERS - 1; i++) {
        begin(i);
        pass(SECONDS);
    }
    CU_ASSERT_EQUAL(providers_for_a_stranger(), 1);
    pass(life_us + HOURS); /* the first record has ended by now */
    CU_ASSERT_EQUAL(providers_for_a_stranger(), 1);
    end(PROVIDER);
    pass(HOURS);
    CU_ASSERT_EQUAL(providers_for_a_stranger(), 1); /* nobody can take a record back: allow= and the tunnel's own handshake decide */
    pass(life_us);
    CU_ASSERT_EQUAL(providers_for_a_stranger(), 0);
    for (unsigned i = 0; i < PEERS - 1; i++)
        if (i != PROVIDER)
            end(i);
    pg_sim_free(sim);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a service is found for days while its peer lives, and not for ever after",
         a_service_is_found_for_days_while_its_peer_lives_and_not_for_ever_after},
    };
    return RUN_SUITE("republishing", sentences);
}
