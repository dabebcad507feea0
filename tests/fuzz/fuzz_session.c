/* Fuzz target: any plaintext to a Yamux session that stands: what is wrong ends the connection with a reason, what is right is
 * answered in whole frames, windows stay within their budget, and nothing is held at the end.
 * Run by libFuzzer or by standalone.c; the first byte says how the rest falls in Noise messages, which
 * end is tried (the dialer with bit 2), and whether it has streams of its own already.
 * Serves libp2p/specs yamux/README.md, "Framing", "Flow Control", "Closing a stream". */
#include "../unit/pair.h"
#include "scene.h"

enum { STREAMS = 3, LONGEST = 30000 };

static void check_answers(struct pair_end *raw)
{
    struct pair_frame f;
    while (pair_raw_next(raw, &f))
        FUZZ_WANT(f.head.type != PG_YAMUX_DATA || f.head.length <= PG_YAMUX_BODY);
    FUZZ_WANT(raw->plain_len == 0 && raw->cipher_len == 0);
}

static void check_end(const struct pair_end *e)
{
    FUZZ_WANT(e->n_lost <= 1);
    FUZZ_WANT(!e->n_lost || e->why == PG_ERR_YAMUX_BAD_FRAME || e->why == PG_ERR_YAMUX_WINDOW_EXCEEDED ||
              e->why == PG_ERR_YAMUX_GOAWAY);
    FUZZ_WANT(e->transport.window_used <= e->transport.window_budget);
    FUZZ_WANT(!e->n_lost || (e->transport.streams.used == 0 && e->transport.window_used == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pair_options small = {.max_streams = 2000, .memory = 8 << 20};
    if (size == 0 || size > LONGEST)
        return 0;
    struct pair *p = pair_up(&small);
    struct pair_end *e = &p->ends[data[0] & 4 ? 0 : 1], *raw = &p->ends[data[0] & 4 ? 1 : 0];
    struct pair_stream ours[STREAMS] = {0};
    uint32_t state = data[0];
    pair_make_raw(raw);
    for (unsigned i = 0; i < sizeof e->inbound / sizeof *e->inbound && (data[0] & 2); i++)
        e->inbound[i].echo = true;
    for (unsigned i = 0; i < STREAMS && (data[0] & 1); i++) {
        (void)pair_open(e, &ours[i]);
        pair_send(&ours[i], 10000 * i);
    }
    for (size_t at = 1, n; at < size && raw->conn && e->conn; at += n) {
        n = next_piece(&state, size - at);
        (void)pg_conn_send(raw->conn, pg_bytes(data + at, n), PG_NONE);
        pair_settle(raw);
        pair_run(p);
    }
    check_answers(raw);
    check_end(e);
    pair_pass(p, 15000); /* negotiations that have not ended are given up */
    check_end(e);
    FUZZ_WANT(e->transport.negotiations.used <= 1); /* the connection's own */
    pair_free(p);
    return 0;
}
