/* A loop is late now and then, so that a timer is due when something else comes in: both have to be served.
 * Drives one core by hand through runtime/port.h. */
#include "crypto_suite.h"
#include "service/peer.h"

static struct pg_identity *key;

static struct pg_peer *peer_new(struct pg_core *core)
{
    struct pg_peer_config c = {.tunnel_wait_ms = 10000};
    pg_node_config_default(&c.node);
    c.node.identity = key = pg_identity_from_seed((const uint8_t[32]){9});
    c.node.seed = 5;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.node.listens[c.node.n_listens++], PG_LIT("/ip4/127.0.0.1/tcp/4001")), PG_OK);
    struct pg_peer *peer = pg_peer_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
    *core = pg_peer_core(peer);
    return peer;
}

/* Runs the commands: the listener stands at once, and a stop is told. */
static bool drain(const struct pg_core *core, uint64_t now_us)
{
    struct pg_command c;
    bool stopped = false;
    while (core->poll(core->self, &c)) {
        struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};
        if (c.kind == PG_COMMAND_LISTEN)
            core->input(core->self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c.link, .local = at}, now_us);
        stopped |= c.kind == PG_COMMAND_STOP;
    }
    return stopped;
}

/* Whatever is due first, and every timer after it: what comes in is a request to stop, not the tick. */
static void stop_after(uint64_t late_us)
{
    struct pg_core core;
    uint64_t now = 1000000;
    struct pg_peer *peer = peer_new(&core);
    core.input(core.self, &(struct pg_input){.kind = PG_INPUT_START}, now);
    CU_ASSERT_FALSE(drain(&core, now));
    CU_ASSERT_NOT_EQUAL(core.deadline(core.self), UINT64_MAX);
    now = core.deadline(core.self) + late_us;
    core.input(core.self, &(struct pg_input){.kind = PG_INPUT_STOP}, now);
    CU_ASSERT(drain(&core, now));
    pg_peer_free(peer);
    pg_identity_free(key);
}

static void just_due(void)
{
    stop_after(0);
}

static void long_due(void)
{
    stop_after((uint64_t)8 * 3600 * 1000000);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a timer of the control plane is due at the very moment a request to stop comes", just_due},
        {"the machine has slept for eight hours and the first that comes is a request to stop", long_due},
    };
    return RUN_SUITE("late timers", sentences);
}
