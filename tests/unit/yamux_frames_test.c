/* Streams of one honest end against a test that writes frames by hand.
 * Run by ctest; a real end over pair.h.
 * Serves libp2p/specs yamux/README.md, "Flow Control", "Closing a stream", "Session Termination". */
#include "crypto_suite.h"
#include "pair.h"

#define HELLO "\x13/multistream/1.0.0\n"
#define PAIR "\x08/pair/1\n"
#define OPENING PG_LIT(HELLO PAIR)
enum { OUTBOUND = 500 /* limit streams_outbound */, OPENING_LEN = 29, SYN = PG_YAMUX_SYN, ACK = PG_YAMUX_ACK, FIN = PG_YAMUX_FIN, RST = PG_YAMUX_RST };

/* One honest end, 1, against frames by hand. */

static struct pair *raw_up(const struct pair_options *o)
{
    struct pair *p = pair_up(o);
    pair_make_raw(&p->ends[0]);
    pair_run(p);
    (void)pair_raw_count(&p->ends[0], PG_YAMUX_PING, 0);
    return p;
}

static void send_frame(struct pair *p, uint8_t type, uint16_t flags, uint32_t id, uint32_t length, struct pg_bytes body)
{
    pair_raw_frame(&p->ends[0], type, flags, id, length, body);
    pair_run(p);
}

static void raw_open(struct pair *p, uint32_t id)
{
    send_frame(p, PG_YAMUX_DATA, SYN, id, OPENING_LEN, OPENING);
}

/* The honest end has closed for this reason and has said GOAWAY "protocol error" before. */
static void check_ended(struct pair *p, enum pg_err why)
{
    struct pair_frame f;
    bool farewell = false;
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 1);
    CU_ASSERT_EQUAL(p->ends[1].why, why);
    while (pair_raw_next(&p->ends[0], &f))
        farewell |= f.head.type == PG_YAMUX_GOAWAY && f.head.length == 1;
    CU_ASSERT(farewell);
    CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 0);
    pair_free(p);
}

static void a_stream_opened_by_hand_is_acknowledged_and_answered(void)
{
    struct pair *p = raw_up(NULL);
    struct pair_frame f;
    raw_open(p, 1);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 1);
    CU_ASSERT_FATAL(pair_raw_next(&p->ends[0], &f));
    CU_ASSERT(f.head.type == PG_YAMUX_DATA && f.head.flags == ACK && f.head.stream == 1);
    uint8_t text[64];
    size_t n = 0;
    do {
        memcpy(text + n, f.body.at, f.body.len);
        n += f.body.len;
    } while (n < OPENING_LEN && pair_raw_next(&p->ends[0], &f));
    CU_ASSERT(n == OPENING_LEN && memcmp(text, OPENING.at, n) == 0);
    pair_free(p);
}

static void a_stream_is_asked_about_until_its_protocol_is_agreed_on(void)
{
    struct pair *p = raw_up(NULL);
    const struct pg_yamux_session *y = &p->ends[1].conn->yamux;
    CU_ASSERT_FALSE(pg_yamux_is_asked(y));
    send_frame(p, PG_YAMUX_DATA, SYN, 1, 20, PG_LIT(HELLO));
    CU_ASSERT_TRUE(pg_yamux_is_asked(y));
    send_frame(p, PG_YAMUX_DATA, 0, 1, 9, PG_LIT(PAIR));
    CU_ASSERT_FALSE(pg_yamux_is_asked(y));
    send_frame(p, PG_YAMUX_WINDOW, SYN, 3, 0, PG_NONE);
    CU_ASSERT_TRUE(pg_yamux_is_asked(y));
    send_frame(p, PG_YAMUX_WINDOW, RST, 3, 0, PG_NONE);
    CU_ASSERT_FALSE(pg_yamux_is_asked(y));
    pair_free(p);
}

/* CVE-2026-32314. */
static void an_opening_frame_above_the_window_ends_the_connection(void)
{
    struct pair *p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, SYN, 1, PG_YAMUX_WINDOW_FIRST + 1, PG_NONE);
    check_ended(p, PG_ERR_YAMUX_WINDOW_EXCEEDED);
    p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, SYN, 1, UINT32_MAX, PG_NONE);
    check_ended(p, PG_ERR_YAMUX_WINDOW_EXCEEDED);
    p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, SYN | FIN | RST, 1, UINT32_MAX, PG_NONE);
    check_ended(p, PG_ERR_YAMUX_WINDOW_EXCEEDED);
}

static void data_above_the_window_ends_the_connection_and_up_to_it_does_not(void)
{
    static uint8_t block[65000];
    struct pair *p = raw_up(NULL);
    raw_open(p, 1);
    p->ends[1].inbound[0].keep = true;
    uint32_t left = PG_YAMUX_WINDOW_FIRST - OPENING_LEN;
    while (left > 0) {
        uint32_t n = left < sizeof block ? left : (uint32_t)sizeof block;
        send_frame(p, PG_YAMUX_DATA, 0, 1, n, pg_bytes(block, n));
        left -= n;
    }
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, PG_YAMUX_WINDOW_FIRST - OPENING_LEN);
    send_frame(p, PG_YAMUX_DATA, 0, 1, 1, pg_bytes(block, 1));
    check_ended(p, PG_ERR_YAMUX_WINDOW_EXCEEDED);
}

static void a_window_that_would_pass_2_to_the_32_ends_the_connection(void)
{
    struct pair *p = raw_up(NULL);
    raw_open(p, 1);
    uint32_t most = UINT32_MAX - p->ends[1].inbound[0].stream->send_window;
    send_frame(p, PG_YAMUX_WINDOW, 0, 1, most, PG_NONE);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].stream->send_window, UINT32_MAX);
    send_frame(p, PG_YAMUX_WINDOW, 0, 1, 1, PG_NONE);
    check_ended(p, PG_ERR_YAMUX_BAD_FRAME);
}

/* The frame after the skipped payload is understood. */
static void data_for_unknown_streams_is_skipped_with_the_framing_kept(void)
{
    static uint8_t block[60000];
    memset(block, 0xff, sizeof block);
    struct pair *p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, 0, 77, sizeof block, pg_bytes(block, sizeof block));
    send_frame(p, PG_YAMUX_DATA, FIN, 2, sizeof block, pg_bytes(block, sizeof block)); /* of its parity */
    send_frame(p, PG_YAMUX_WINDOW, RST, 99, 0, PG_NONE);
    send_frame(p, PG_YAMUX_WINDOW, 0, 98, UINT32_MAX, PG_NONE);
    raw_open(p, 101);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 1);
    /* The same for one that was, before it was reset. */
    pg_stream_reset(p->ends[1].inbound[0].stream);
    pair_settle(&p->ends[1]);
    send_frame(p, PG_YAMUX_DATA, 0, 101, sizeof block, pg_bytes(block, sizeof block));
    raw_open(p, 103);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 2);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    pair_free(p);
}

static void a_stream_reset_while_its_frame_comes_in_loses_the_rest_only(void)
{
    struct pair *p = raw_up(NULL);
    static uint8_t block[60000];
    raw_open(p, 1);
    /* The header promises 100,000 bytes, half of them come, then the reader resets the stream. */
    pair_raw_frame(&p->ends[0], PG_YAMUX_DATA, FIN, 1, 100000, pg_bytes(block, 50000));
    pair_run(p);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, 50000);
    pg_stream_reset(p->ends[1].inbound[0].stream);
    pair_settle(&p->ends[1]);
    (void)pg_conn_send(p->ends[0].conn, pg_bytes(block, 50000), PG_NONE);
    pair_run(p);
    raw_open(p, 3);
    CU_ASSERT(p->ends[1].n_lost == 0 && p->ends[1].n_inbound == 2);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, 50000);
    pair_free(p);
}

static void check_bad_frame(uint8_t type, uint16_t flags, uint32_t id, uint32_t length)
{
    struct pair *p = raw_up(NULL);
    raw_open(p, 5);
    send_frame(p, type, flags, id, length, PG_NONE);
    check_ended(p, PG_ERR_YAMUX_BAD_FRAME);
}

static void frames_that_cannot_be_end_the_connection(void)
{
    check_bad_frame(4, 0, 1, 0);
    check_bad_frame(255, SYN, 1, 0);
    check_bad_frame(PG_YAMUX_DATA, 0, 0, 10);
    check_bad_frame(PG_YAMUX_WINDOW, 0, 0, 10);
    check_bad_frame(PG_YAMUX_PING, SYN, 5, 10);
    check_bad_frame(PG_YAMUX_GOAWAY, 0, 5, 0);
    check_bad_frame(PG_YAMUX_DATA, SYN, 5, 0);   /* twice */
    check_bad_frame(PG_YAMUX_DATA, SYN, 3, 0);   /* going down */
    check_bad_frame(PG_YAMUX_WINDOW, SYN, 8, 0); /* our parity */
    struct pair *p = raw_up(NULL);
    static const uint8_t version[12] = {1, 0, 0, SYN, 0, 0, 0, 1, 0, 0, 0, 0};
    (void)pg_conn_send(p->ends[0].conn, pg_bytes(version, sizeof version), PG_NONE);
    pair_run(p);
    check_ended(p, PG_ERR_YAMUX_BAD_FRAME);
}

static void data_after_fin_is_refused(void)
{
    struct pair *p = raw_up(NULL);
    raw_open(p, 1);
    send_frame(p, PG_YAMUX_DATA, FIN, 1, 3, PG_LIT("abc"));
    CU_ASSERT(p->ends[1].inbound[0].received == 3 && p->ends[1].inbound[0].n_ended == 1);
    send_frame(p, PG_YAMUX_DATA, FIN, 1, 0, PG_NONE); /* said twice: harmless */
    CU_ASSERT(p->ends[1].inbound[0].n_ended == 1 && p->ends[1].n_lost == 0);
    send_frame(p, PG_YAMUX_DATA, 0, 1, 3, PG_LIT("def"));
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, 3);
    check_ended(p, PG_ERR_YAMUX_BAD_FRAME);
}

static void unknown_flags_are_let_through(void)
{
    struct pair *p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, SYN | 0x7ff0, 1, OPENING_LEN, OPENING);
    CU_ASSERT(p->ends[1].n_inbound == 1 && p->ends[1].n_lost == 0);
    pair_free(p);
}

/* All frames of a short conversation, as plain text cut into Noise messages of every length. */
static void frames_may_be_cut_and_joined_anyhow(void)
{
    uint8_t text[400];
    size_t n = 0;
    static const struct { uint8_t type; uint16_t flags; uint32_t length; const char *body; } frames[] = {
        {PG_YAMUX_WINDOW, SYN, 0, ""}, {PG_YAMUX_DATA, 0, 10, HELLO}, {PG_YAMUX_DATA, 0, 10, &HELLO[10]},
        {PG_YAMUX_DATA, 0, 9, PAIR},   {PG_YAMUX_PING, SYN, 7, ""},   {PG_YAMUX_DATA, 0, 0, ""},
        {PG_YAMUX_DATA, 0, 1, "a"},    {PG_YAMUX_DATA, 0, 20, "bcdefghijklmnopqrstuv"}, {PG_YAMUX_DATA, FIN, 3, "xyz"},
    };
    for (unsigned i = 0; i < sizeof frames / sizeof *frames; i++) {
        bool ping = frames[i].type == PG_YAMUX_PING;
        pg_yamux_header_write(&(struct pg_yamux_header){.type = frames[i].type, .flags = frames[i].flags,
                                                        .stream = ping ? 0 : 1, .length = frames[i].length}, text + n);
        n += 12;
        if (frames[i].type == PG_YAMUX_DATA)
            memcpy(text + n, frames[i].body, frames[i].length);
        n += frames[i].type == PG_YAMUX_DATA ? frames[i].length : 0;
    }
    for (size_t size = 1; size <= n; size++) {
        struct pair *p = raw_up(NULL);
        for (size_t at = 0; at < n; at += size)
            (void)pg_conn_send(p->ends[0].conn, pg_bytes(text + at, at + size < n ? size : n - at), PG_NONE);
        (void)pg_conn_send(p->ends[0].conn, PG_NONE, PG_NONE); /* an empty message is no end */
        pair_run(p);
        CU_ASSERT_FATAL(p->ends[1].n_lost == 0 && p->ends[1].n_inbound == 1);
        CU_ASSERT(p->ends[1].inbound[0].received == 24 && p->ends[1].inbound[0].n_ended == 1);
        CU_ASSERT_EQUAL(pair_raw_count(&p->ends[0], PG_YAMUX_PING, ACK), 1);
        pair_free(p);
    }
}

static void the_longest_frame_within_the_window_is_taken_in_pieces(void)
{
    struct pair *p = raw_up(NULL);
    static uint8_t block[65000];
    raw_open(p, 1);
    uint32_t whole = PG_YAMUX_WINDOW_FIRST - OPENING_LEN, left = whole - 5;
    pair_raw_frame(&p->ends[0], PG_YAMUX_DATA, 0, 1, whole, pg_bytes(block, 5));
    while (left > 0) {
        uint32_t n = left < sizeof block ? left : (uint32_t)sizeof block;
        (void)pg_conn_send(p->ends[0].conn, pg_bytes(block, n), PG_NONE);
        pair_run(p);
        left -= n;
    }
    CU_ASSERT(p->ends[1].n_lost == 0 && p->ends[1].inbound[0].received == whole);
    pair_free(p);
}

static void streams_over_the_limit_are_reset_and_the_others_live(void)
{
    struct pair_options o = {.max_inbound = 50};
    struct pair *p = raw_up(&o);
    for (uint32_t id = 1; id < 2 * 80; id += 2)
        raw_open(p, id);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 50);
    CU_ASSERT_EQUAL(p->ends[1].n_refused[PG_LIMIT_STREAMS_CONN], 30);
    CU_ASSERT_EQUAL(pair_raw_count(&p->ends[0], PG_YAMUX_WINDOW, RST), 30);
    send_frame(p, PG_YAMUX_WINDOW, RST, 1, 0, PG_NONE);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].why, PG_ERR_STREAM_RESET);
    raw_open(p, 201);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 51);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    pair_free(p);
}

/* Each client of a crowd that finds no room asks six times, see tunnel_consumer.sm: that is no flood, and what runs goes on. */
static void a_crowd_that_finds_no_room_does_not_end_what_runs(void)
{
    struct pair_options o = {.max_inbound = 8};
    struct pair *p = raw_up(&o);
    uint32_t id = 1;
    for (; id < 2 * 8; id += 2)
        raw_open(p, id);
    for (unsigned i = 0; i < 8000; i++, id += 2) {
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, SYN, id, 0, PG_NONE);
        pair_pass(p, i % 8 == 0);
    }
    CU_ASSERT_EQUAL_FATAL(p->ends[1].n_lost, 0);
    CU_ASSERT_EQUAL(p->ends[1].n_refused[PG_LIMIT_STREAMS_CONN], 8000);
    uint64_t before = p->ends[1].inbound[0].received;
    send_frame(p, PG_YAMUX_DATA, 0, 1, 5, PG_LIT("still"));
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received - before, 5);
    pair_free(p);
}

/* The connection ends at a rate, and nobody who opens and resets now and then is touched. */
static void streams_opened_and_reset_too_fast_end_the_connection(void)
{
    struct pair *p = raw_up(NULL);
    uint32_t i = 0;
    for (; i < 60000 && p->ends[1].n_lost == 0; i++) {
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, SYN, 1 + 2 * i, 0, PG_NONE);
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, RST, 1 + 2 * i, 0, PG_NONE);
        pair_run(p);
    }
    CU_ASSERT(i > 3900 && i < 4200); /* eight seconds' worth at once */
    CU_ASSERT(p->ends[1].n_lost == 1 && p->ends[1].why == PG_ERR_YAMUX_FLOOD);
    CU_ASSERT_EQUAL(p->ends[1].n_refused[PG_LIMIT_RESET_RATE], 1);
    pair_free(p);
    p = raw_up(NULL);
    for (i = 0; i < 6000; i++) {
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, SYN, 1 + 2 * i, 0, PG_NONE);
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, RST, 1 + 2 * i, 0, PG_NONE);
        pair_pass(p, 2);
    }
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    pair_free(p);
}

/* Nothing adds up when streams come and go. */
static void a_flood_of_opened_and_reset_streams_leaves_nothing(void)
{
    struct pair *p = raw_up(NULL);
    for (uint32_t i = 0; i < 20000 && p->ends[1].n_lost == 0; i++) {
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, SYN, 1 + 2 * i, 0, PG_NONE);
        pair_raw_frame(&p->ends[0], PG_YAMUX_WINDOW, RST, 1 + 2 * i, 0, PG_NONE);
        pair_run(p);
        CU_ASSERT_EQUAL_FATAL(p->ends[1].transport.streams.used, 0);
    }
    CU_ASSERT(p->ends[1].transport.negotiations.used <= 1); /* the connection's own */
    CU_ASSERT(p->ends[1].n_lost == 1 || p->ends[1].conn->yamux.inbound == 0);
    CU_ASSERT(p->ends[1].most_unsent < 100000);
    pair_free(p);
}

/* Whoever makes us answer and does not read may not fill our memory. */
static void check_bounded(struct pair *p, unsigned frames, uint8_t type, uint16_t flags, uint32_t step)
{
    /* A loop reads no more from a link without credit. */
    for (unsigned i = 0; i < frames && p->ends[1].n_lost == 0 && p->ends[1].link.credit > 0; i++) {
        pair_raw_frame(&p->ends[0], type, flags, step ? 1 + step * i : 0, 0, PG_NONE);
        uint8_t *text;
        size_t n = pair_take(&p->ends[0], &text);
        pair_feed(&p->ends[1], text, n); /* and nothing of end 1 is delivered */
        free(text);
    }
    CU_ASSERT(p->ends[1].most_unsent <= 4 << 20);
    pair_free(p);
}

static void answers_that_nobody_reads_stay_within_bounds(void)
{
    struct pair_options o = {.max_inbound = 1};
    check_bounded(raw_up(NULL), 200000, PG_YAMUX_PING, SYN, 0);
    check_bounded(raw_up(&o), 200000, PG_YAMUX_WINDOW, SYN, 2);
}

static void a_ping_is_answered_with_its_value(void)
{
    struct pair *p = raw_up(NULL);
    struct pair_frame f;
    send_frame(p, PG_YAMUX_PING, SYN, 0, 0xdeadbeef, PG_NONE);
    CU_ASSERT_FATAL(pair_raw_next(&p->ends[0], &f));
    CU_ASSERT(f.head.type == PG_YAMUX_PING && f.head.flags == ACK && f.head.length == 0xdeadbeef);
    send_frame(p, PG_YAMUX_PING, ACK, 0, 12345, PG_NONE); /* an answer to nothing */
    CU_ASSERT_FALSE(pair_raw_next(&p->ends[0], &f));
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    pair_free(p);
}

static void a_stream_that_ends_before_its_agreement_is_reset(void)
{
    struct pair_frame f;
    for (unsigned cut = 0; cut < OPENING_LEN; cut += 4) {
        struct pair *p = raw_up(NULL);
        send_frame(p, PG_YAMUX_DATA, SYN | FIN, 1, cut, pg_bytes_head(OPENING, cut));
        CU_ASSERT_EQUAL(p->ends[1].n_inbound, 0);
        CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 0);
        CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
        bool reset = false;
        while (pair_raw_next(&p->ends[0], &f))
            reset |= f.head.stream == 1 && (f.head.flags & RST);
        CU_ASSERT(reset);
        pair_free(p);
    }
    /* With the whole proposal it is a good stream that has said all it has. */
    struct pair *p = raw_up(NULL);
    send_frame(p, PG_YAMUX_DATA, SYN | FIN, 1, OPENING_LEN, OPENING);
    CU_ASSERT(p->ends[1].n_inbound == 1 && p->ends[1].inbound[0].n_ended == 1);
    pair_free(p);
    /* And RST at any time is silent. */
    p = raw_up(NULL);
    send_frame(p, PG_YAMUX_WINDOW, SYN | RST, 1, 0, PG_NONE);
    CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 0);
    CU_ASSERT_FALSE(pair_raw_next(&p->ends[0], &f));
    pair_free(p);
}

static void a_stream_that_never_proposes_is_dropped_in_time(void)
{
    struct pair *p = raw_up(NULL);
    send_frame(p, PG_YAMUX_WINDOW, SYN, 1, 0, PG_NONE);
    send_frame(p, PG_YAMUX_DATA, 0, 1, 5, pg_bytes_head(OPENING, 5));
    CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 1);
    pair_pass(p, 9000);
    send_frame(p, PG_YAMUX_DATA, 0, 1, 1, pg_bytes(&HELLO[5], 1)); /* slowly does not help */
    pair_pass(p, 1500);
    CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 0);
    CU_ASSERT_EQUAL(pair_raw_count(&p->ends[0], PG_YAMUX_WINDOW, RST), 1);
    pair_free(p);
}

/* What runs may finish, nothing begins, then the session is over. */
static void goaway_lets_running_streams_finish(void)
{
    struct pair *p = raw_up(NULL);
    raw_open(p, 1);
    struct pair_stream *in = &p->ends[1].inbound[0];
    send_frame(p, PG_YAMUX_GOAWAY, 0, 0, 0, PG_NONE);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 0);
    struct pair_stream fresh = {0};
    CU_ASSERT_FALSE(pair_open(&p->ends[1], &fresh));
    raw_open(p, 3);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, 1);
    send_frame(p, PG_YAMUX_DATA, 0, 1, 3, PG_LIT("abc"));
    CU_ASSERT_EQUAL(in->received, 3);
    in->end_when_sent = true;
    pair_send(in, 1000);
    send_frame(p, PG_YAMUX_DATA, FIN, 1, 0, PG_NONE);
    CU_ASSERT(in->n_closed == 1 && in->why == PG_OK);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 1);
    CU_ASSERT_EQUAL(p->ends[1].why, PG_ERR_YAMUX_GOAWAY);
    pair_free(p);
    /* With nothing running it is over at once. */
    p = raw_up(NULL);
    send_frame(p, PG_YAMUX_GOAWAY, 0, 0, 0, PG_NONE);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 1);
    pair_free(p);
}

/* A sender of single bytes costs work for each byte, as it must, but neither memory nor answers for each. */
static void frames_of_one_byte_are_answered_by_windows_only(void)
{
    enum { FRAMES = 600000, TOGETHER = 2000 };
    static uint8_t text[TOGETHER * 13];
    struct pair *p = raw_up(NULL);
    raw_open(p, 1);
    for (unsigned i = 0; i < TOGETHER; i++) {
        pg_yamux_header_write(&(struct pg_yamux_header){.type = PG_YAMUX_DATA, .stream = 1, .length = 1}, text + i * 13);
        text[i * 13 + 12] = (uint8_t)i;
    }
    uint32_t used = p->ends[1].chunks.used;
    (void)pair_raw_count(&p->ends[0], PG_YAMUX_WINDOW, 0);
    unsigned windows = 0;
    for (unsigned sent = 0; sent < FRAMES && p->ends[1].n_lost == 0; sent += TOGETHER) {
        CU_ASSERT_FATAL(pg_conn_send(p->ends[0].conn, pg_bytes(text, sizeof text), PG_NONE));
        pair_run(p);
        windows += pair_raw_count(&p->ends[0], PG_YAMUX_WINDOW, 0);
    }
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, FRAMES);
    CU_ASSERT(windows > 0 && windows <= FRAMES / (PG_YAMUX_WINDOW_FIRST / 2) + 1);
    CU_ASSERT(p->ends[1].chunks.used <= used + 1);
    pair_free(p);
}

/* Said in the middle of a transfer: both directions of what runs arrive whole, then the session is over. */
static void goaway_in_the_middle_of_a_transfer_loses_no_byte(void)
{
    for (unsigned who = 0; who < 2; who++) {
        struct pair_options o = {.cut = PAIR_RANDOM};
        struct pair *p = pair_up(&o);
        struct pair_stream s = {.end_when_sent = true};
        CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
        pair_run(p);
        struct pair_stream *in = &p->ends[1].inbound[0];
        in->end_when_sent = true;
        pair_send(&s, 5000000);
        pair_send(in, 3000000);
        /* Nothing has been delivered yet: the farewell comes behind the first window of each direction. */
        pg_yamux_leave(&p->ends[who].conn->yamux);
        pair_settle(&p->ends[who]);
        pair_run(p);
        CU_ASSERT(in->received == 5000000 && in->sum_received == s.sum_sent);
        CU_ASSERT(s.received == 3000000 && s.sum_received == in->sum_sent);
        CU_ASSERT(s.n_closed == 1 && s.why == PG_OK && in->n_closed == 1 && in->why == PG_OK);
        pair_pass(p, 1000);
        CU_ASSERT_EQUAL(p->ends[!who].n_lost, 1);
        CU_ASSERT_EQUAL(p->ends[!who].why, PG_ERR_YAMUX_GOAWAY);
        pair_free(p);
    }
}

static void a_ping_flood_costs_no_memory_when_it_is_read(void)
{
    struct pair *p = raw_up(NULL);
    for (uint32_t i = 0; i < 200000 && p->ends[1].n_lost == 0; i++) {
        pair_raw_frame(&p->ends[0], PG_YAMUX_PING, SYN, 0, i, PG_NONE);
        if (i % 500 == 499) {
            pair_run(p);
            p->ends[0].plain_len = 0;
        }
    }
    pair_run(p);
    CU_ASSERT(p->ends[1].most_unsent <= 4 << 20);
    CU_ASSERT_EQUAL(p->ends[1].link.tx.bytes, 0);
    pair_free(p);
}

static void random_frames_never_harm(void)
{
    static uint8_t block[1000];
    struct pair *p = raw_up(NULL);
    uint32_t next = 1;
    for (unsigned i = 0; i < 20000 && p->ends[1].n_lost == 0; i++) {
        uint32_t id = (uint32_t)(pair_random(p) % (next + 4));
        uint8_t type = (uint8_t)(pair_random(p) % 2);
        uint16_t flags = pair_random(p) % 3 ? 0 : (uint16_t)(pair_random(p) & 15);
        if (pair_random(p) % 8 == 0 && next < 2000)
            flags = SYN, id = next, next += 2;
        else
            flags &= (uint16_t)~SYN;
        uint32_t n = type == PG_YAMUX_DATA ? (uint32_t)(pair_random(p) % sizeof block) : (uint32_t)(pair_random(p) % 5000);
        if (id == 0)
            continue;
        bool opening = (flags & SYN) && type == PG_YAMUX_DATA;
        send_frame(p, type, flags, id, opening ? OPENING_LEN : n, opening ? OPENING : pg_bytes(block, type ? 0 : n));
        p->ends[0].plain_len = 0;
        if (p->ends[1].n_lost) { /* data after FIN ends it: go on with a fresh pair */
            CU_ASSERT(p->ends[1].why == PG_ERR_YAMUX_BAD_FRAME || p->ends[1].why == PG_ERR_YAMUX_WINDOW_EXCEEDED);
            uint64_t random = p->random;
            pair_free(p);
            p = raw_up(NULL);
            p->random = random;
            next = 1;
        }
    }
    pair_free(p);
}

int main(void)
{
    static const struct sentence all[] = {
        {"a stream opened by hand is acknowledged and answered", a_stream_opened_by_hand_is_acknowledged_and_answered},
        {"a stream is asked about until its protocol is agreed on", a_stream_is_asked_about_until_its_protocol_is_agreed_on},
        {"an opening frame above the window ends the connection", an_opening_frame_above_the_window_ends_the_connection},
        {"data above the window ends the connection, and up to it does not",
         data_above_the_window_ends_the_connection_and_up_to_it_does_not},
        {"a window that would pass 2^32 ends the connection", a_window_that_would_pass_2_to_the_32_ends_the_connection},
        {"data for unknown streams is skipped with the framing kept", data_for_unknown_streams_is_skipped_with_the_framing_kept},
        {"a stream reset while its frame comes in loses the rest only",
         a_stream_reset_while_its_frame_comes_in_loses_the_rest_only},
        {"frames that cannot be end the connection", frames_that_cannot_be_end_the_connection},
        {"data after FIN is refused", data_after_fin_is_refused},
        {"unknown flags are let through", unknown_flags_are_let_through},
        {"frames may be cut and joined anyhow", frames_may_be_cut_and_joined_anyhow},
        {"the longest frame within the window is taken in pieces", the_longest_frame_within_the_window_is_taken_in_pieces},
        {"streams over the limit are reset and the others live", streams_over_the_limit_are_reset_and_the_others_live},
        {"a crowd that finds no room does not end what runs", a_crowd_that_finds_no_room_does_not_end_what_runs},
        {"streams opened and reset too fast end the connection", streams_opened_and_reset_too_fast_end_the_connection},
        {"a flood of opened and reset streams leaves nothing", a_flood_of_opened_and_reset_streams_leaves_nothing},
        {"answers that nobody reads stay within bounds", answers_that_nobody_reads_stay_within_bounds},
        {"a ping is answered with its value", a_ping_is_answered_with_its_value},
        {"a stream that ends before its agreement is reset", a_stream_that_ends_before_its_agreement_is_reset},
        {"a stream that never proposes is dropped in time", a_stream_that_never_proposes_is_dropped_in_time},
        {"GOAWAY lets running streams finish", goaway_lets_running_streams_finish},
        {"frames of one byte are answered by windows only", frames_of_one_byte_are_answered_by_windows_only},
        {"GOAWAY in the middle of a transfer loses no byte", goaway_in_the_middle_of_a_transfer_loses_no_byte},
        {"a ping flood costs no memory when it is read", a_ping_flood_costs_no_memory_when_it_is_read},
        {"random frames never harm", random_frames_never_harm},
    };
    return RUN_SUITE("yamux frames", all);
}
