/* Fuzz target: any bytes on the control socket: one answer, a line at least, or a wait for the rest of the request.
 * Run by libFuzzer or by standalone.c; the first byte says how the rest falls in pieces.
 * Serves src/service/control.h. */
#include "../unit/world.h"
#include "service/control.h"
#include "scene.h"

enum { LONGEST = sizeof(((struct pg_control_client *)0)->line) + 1 }; /* of a request, with its newline */

static struct pg_core core;
static struct pg_link *listener;
static uint64_t now_us = 1000000;

static void input(struct pg_input in)
{
    core.input(core.self, &in, now_us);
}

/* What the loop would do, as far as a control socket needs it. */
static void run(void)
{
    struct pg_command c;
    while (core.poll(core.self, &c)) {
        if (c.kind == PG_COMMAND_LISTEN) {
            listener = c.link;
            input((struct pg_input){.kind = PG_INPUT_LISTENING, .link = c.link});
        }
    }
}

static void start(void)
{
    struct pg_peer_config c = {.tunnel_wait_ms = 1000, .control = PG_LIT("control.sock"), .control_needed = true};
    pg_node_config_default(&c.node);
    c.node.identity = pg_identity_from_seed((const uint8_t[32]){1});
    c.node.limits.value[PG_LIMIT_CONNS] = 8;
    c.node.limits.value[PG_LIMIT_STREAMS] = 64;
    core = pg_peer_core(pg_peer_new(&c));
    input((struct pg_input){.kind = PG_INPUT_START});
    run();
    FUZZ_WANT(listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 100000)
        return 0;
    if (!listener)
        start();
    struct pg_link *link = core.link(core.self);
    uint32_t state = data[0];
    input((struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = listener, .fresh = link});
    run();
    for (size_t at = 1, n; at < size && !link->closing; at += n) {
        n = next_piece(&state, size - at);
        uint8_t *block = malloc(PG_READ_HEADROOM + n);
        if (!block)
            abort();
        memcpy(block + PG_READ_HEADROOM, data + at, n);
        input((struct pg_input){.kind = PG_INPUT_RECEIVED, .link = link, .data = block + PG_READ_HEADROOM, .len = n});
        free(block);
        run();
    }
    bool asked = memchr(data + 1, '\n', size - 1 < LONGEST ? size - 1 : LONGEST);
    FUZZ_WANT(!asked || (link->closing && link->tx.bytes > 0));
    FUZZ_WANT(asked || link->tx.bytes == 0);
    if (!link->closing)
        input((struct pg_input){.kind = PG_INPUT_LOST, .link = link, .error = PG_ERR_CLOSED});
    run();
    core.unlink(core.self, link);
    return 0;
}
