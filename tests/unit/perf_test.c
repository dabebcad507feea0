/* Throughput measurements between two cores in memory: honest ones, clients that hold places, servers that lie.
 * Run by ctest over world.h. Serves spec/machine/perf.sm and perf_serve.sm; libp2p/specs perf/perf.md. */
#include "world.h"

#include "protocols.gen.h"
#include "service/perf.h"

static uint8_t request[8];

static struct pg_bytes want_bytes(uint64_t n)
{
    for (unsigned i = 0; i < 8; i++)
        request[i] = (uint8_t)(n >> (56 - 8 * i));
    return pg_bytes(request, 8);
}

/* Serving. */

static void as_many_bytes_come_back_as_were_asked_for(void)
{
    static const uint64_t amounts[] = {0, 1, 65507, 65508, 262144, 5000000};
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned i = 0; i < sizeof amounts / sizeof *amounts; i++) {
        struct raw r;
        raw_say_perf(w, &r, want_bytes(amounts[i]));
        CU_ASSERT_EQUAL(r.got, 0); /* nothing before our end */
        r.to_send = 1000000;
        raw_send(&r);
        world_settle(w);
        CU_ASSERT_EQUAL(r.to_send, 0);
        pg_stream_end(r.stream);
        world_settle(w);
        CU_ASSERT_EQUAL(r.got, amounts[i]);
        CU_ASSERT(r.n_ended == 1 && r.n_closed == 1 && r.why == PG_OK);
        world_check_nothing_left(w, before);
    }
    world_free(w);
}

static void the_number_may_come_in_pieces_and_with_bytes_behind_it(void)
{
    struct world *w = world_new();
    struct raw r;
    raw_say_perf(w, &r, PG_LIT("\0\0\0"));
    CU_ASSERT(pg_stream_write(r.stream, PG_LIT("\0\0\0\1")));
    world_settle(w);
    CU_ASSERT(pg_stream_write(r.stream, PG_LIT("\2and more")));
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT_EQUAL(r.got, 258);
    world_free(w);
}

static void an_end_within_the_number_is_a_reset(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    raw_say_perf(w, &r, PG_LIT("1234567"));
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET && r.got == 0);
    world_check_nothing_left(w, before);
    world_free(w);
}

/* A place is not to be had for a byte now and then: hostile row 3. */
static void whoever_reads_and_writes_nothing_or_hardly_anything_is_let_go_after_half_a_minute(void)
{
    static uint8_t some[20000];
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw silent, busy, drips;
    raw_say_perf(w, &drips, want_bytes(5));
    raw_say_perf(w, &silent, want_bytes(5));
    raw_say_perf(w, &busy, want_bytes(5));
    for (unsigned i = 0; i < 12; i++) {
        world_pass(w, 10000);
        CU_ASSERT_EQUAL(silent.n_closed, i >= 6 ? 1 : silent.n_closed);
        CU_ASSERT(pg_stream_write(busy.stream, pg_bytes(some, sizeof some)));
        if (drips.stream)
            CU_ASSERT(pg_stream_write(drips.stream, PG_LIT("x")));
    }
    CU_ASSERT(silent.n_closed == 1 && silent.why == PG_ERR_STREAM_RESET);
    CU_ASSERT(drips.n_closed == 1 && drips.why == PG_ERR_STREAM_RESET);
    pg_stream_end(busy.stream);
    world_settle(w);
    CU_ASSERT(busy.n_closed == 1 && busy.why == PG_OK && busy.got == 5);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_client_that_never_reads_holds_no_memory_and_is_let_go(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    raw_say_perf(w, &r, want_bytes(UINT64_MAX));
    r.hoards = true;
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT(r.got <= PG_YAMUX_WINDOW_FIRST && r.got > PG_YAMUX_WINDOW_FIRST - 100 && w->most_unsent <= PG_YAMUX_WINDOW_FIRST + 4096);
    CU_ASSERT_EQUAL(world_held(w).chunks, before.chunks);
    world_pass(w, 20000);
    CU_ASSERT_EQUAL(r.n_closed, 0);
    world_pass(w, 45000);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_peer_has_four_measurements_at_once_and_the_fifth_is_reset(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r[5];
    for (unsigned i = 0; i < 5; i++)
        raw_say_perf(w, &r[i], want_bytes(3));
    CU_ASSERT(r[4].n_closed == 1 && r[4].why == PG_ERR_STREAM_RESET);
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(r[i].n_closed, 0);
        pg_stream_end(r[i].stream);
    }
    world_settle(w);
    CU_ASSERT(r[0].got == 3 && r[3].got == 3);
    raw_say_perf(w, &r[4], want_bytes(3)); /* places are free again */
    pg_stream_end(r[4].stream);
    world_settle(w);
    CU_ASSERT_EQUAL(r[4].got, 3);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_reset_in_the_middle_frees_the_place(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned i = 0; i < 50; i++) {
        struct raw r;
        raw_say_perf(w, &r, want_bytes(100000000));
        if (i & 1) {
            w->stalled = true;
            pg_stream_end(r.stream);
            world_settle(w);
        }
        pg_stream_reset(r.stream);
        w->stalled = false;
        world_settle(w);
    }
    world_check_nothing_left(w, before);
    world_free(w);
}

/* Asking: the roles are turned round, and the attacker serves as it likes. */

static uint32_t answer_bytes; /* that it gives */
static bool hasty, speechless;

static void lie(struct pg_stream *s)
{
    static uint8_t block[65536];
    if (answer_bytes)
        (void)pg_stream_write(s, pg_bytes(block, answer_bytes));
    pg_stream_end(s);
}

static void liar_opened(struct pg_stream *s)
{
    if (speechless)
        pg_stream_reset(s);
    else if (hasty)
        lie(s);
}

static void liar_data(struct pg_stream *s, struct pg_bytes data)
{
    pg_stream_consumed(s, data.len);
}

static void liar_ended(struct pg_stream *s)
{
    if (!hasty)
        lie(s);
}

static void liar_writable(struct pg_stream *s)
{
    (void)s;
}

static void liar_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler liar = {.protocol = {(const uint8_t *)PG_PROTOCOL_PERF, sizeof PG_PROTOCOL_PERF - 1},
                                       .opened = liar_opened, .data = liar_data, .ended = liar_ended,
                                       .writable = liar_writable, .closed = liar_closed};

struct asked {
    unsigned n_told;
    bool ok;
    uint64_t up_us, down_us;
};

static void told(struct pg_perf *p, bool ok, uint64_t up_us, uint64_t down_us)
{
    struct asked *a = p->context;
    *a = (struct asked){a->n_told + 1, ok, up_us, down_us};
}

static void progress(struct pg_perf *p)
{
    (void)p;
}

static struct asked ask(struct world *w, struct pg_perf *p, uint64_t up, uint64_t down)
{
    struct asked a = {0};
    struct pg_node *n = pg_peer_node(w->victim);
    *p = (struct pg_perf){.node = n, .up = up, .down = down, .told = told, .progress = progress, .context = &a};
    pg_perf_start(p, pg_node_sessions(n));
    world_pass(w, 15000);
    pg_perf_end(p);
    return a;
}

static void a_measurement_tells_once_and_leaves_nothing(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct pg_perf p;
    CU_ASSERT(pg_node_serve(w->attacker, &liar));
    answer_bytes = 1000;
    hasty = speechless = false;
    struct asked a = ask(w, &p, 3000000, 1000);
    CU_ASSERT(a.n_told == 1 && a.ok);
    answer_bytes = 0;
    a = ask(w, &p, 0, 0);
    CU_ASSERT(a.n_told == 1 && a.ok && a.up_us == 0);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_server_that_does_not_keep_to_the_protocol_is_told_of(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct pg_perf p;
    struct asked a = ask(w, &p, 100, 100); /* it does not speak it at all */
    CU_ASSERT(a.n_told == 1 && !a.ok && p.why == PG_ERR_PROTOCOL_UNSUPPORTED);
    CU_ASSERT(pg_node_serve(w->attacker, &liar));
    hasty = speechless = false;
    for (answer_bytes = 0; answer_bytes < 202; answer_bytes++) {
        a = ask(w, &p, 100, 100);
        CU_ASSERT(a.n_told == 1 && a.ok == (answer_bytes == 100));
        if (!a.ok)
            CU_ASSERT(p.why == PG_ERR_PERF_BAD && p.reason.len > 0);
    }
    answer_bytes = 100;
    hasty = true;
    a = ask(w, &p, 10000000, 100);
    CU_ASSERT(a.n_told == 1 && !a.ok && p.why == PG_ERR_PERF_BAD);
    speechless = true;
    a = ask(w, &p, 10000000, 100);
    CU_ASSERT(a.n_told == 1 && !a.ok && p.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    world_free(w);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"as many bytes come back as were asked for", as_many_bytes_come_back_as_were_asked_for},
        {"the number may come in pieces and with bytes behind it", the_number_may_come_in_pieces_and_with_bytes_behind_it},
        {"an end within the number is a reset", an_end_within_the_number_is_a_reset},
        {"whoever reads and writes nothing, or hardly anything, is let go after half a minute",
         whoever_reads_and_writes_nothing_or_hardly_anything_is_let_go_after_half_a_minute},
        {"a client that never reads holds no memory and is let go", a_client_that_never_reads_holds_no_memory_and_is_let_go},
        {"a peer has four measurements at once and the fifth is reset", a_peer_has_four_measurements_at_once_and_the_fifth_is_reset},
        {"a reset in the middle frees the place", a_reset_in_the_middle_frees_the_place},
        {"a measurement tells once and leaves nothing", a_measurement_tells_once_and_leaves_nothing},
        {"a server that does not keep to the protocol is told of", a_server_that_does_not_keep_to_the_protocol_is_told_of},
    };
    return RUN_SUITE("perf", sentences);
}
