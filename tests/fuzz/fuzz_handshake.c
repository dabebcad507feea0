/* Fuzz target: bytes on a fresh link, to the end that listens and to the end that dials: whatever they are, nobody arrives
 * without a key, the end says why, and within the deadlines of the stages nothing is held any more. Run by libFuzzer or by
 * standalone.c; the first byte says who is tried and how the rest falls in pieces. Serves libp2p/specs connections/README.md,
 * "Upgrading connections"; noise/README.md, "The Noise Handshake". */
#include "../unit/pair.h"
#include "scene.h"

static void drop_answers(struct pair_end *e)
{
    uint8_t *text;
    (void)pair_take(e, &text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pair_options small = {.max_streams = 16, .memory = 4 << 20};
    if (size == 0 || size > 200000)
        return 0;
    struct pair *p = pair_new(&small);
    struct pair_end *e = &p->ends[data[0] & 1];
    uint32_t state = data[0];
    pair_link(p);
    for (size_t at = 1, n; at < size; at += n) {
        n = next_piece(&state, size - at);
        drop_answers(e);
        pair_feed(e, data + at, n);
    }
    drop_answers(e);
    for (unsigned seconds = 0; seconds < 60 && e->n_lost == 0; seconds++) {
        p->now_us += 1000000;
        e->scope.now_us = p->now_us;
        pg_timers_run(&e->scope);
        pair_settle(e);
    }
    FUZZ_WANT(e->n_arrived == 0 && e->n_lost == 1 && e->why != PG_OK);
    pair_free(p);
    return 0;
}
