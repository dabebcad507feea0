/* Streams between two honest ends.
 * Run by ctest; two real ends over pair.h.
 * Serves libp2p/specs yamux/README.md, "Flow Control", "Closing a stream", "Session Termination". */
#include "crypto_suite.h"
#include "pair.h"

#define HELLO "\x13/multistream/1.0.0\n"
#define PAIR "\x08/pair/1\n"
#define OPENING PG_LIT(HELLO PAIR)
enum { OUTBOUND = 500 /* limit streams_outbound */, OPENING_LEN = 29, SYN = PG_YAMUX_SYN, ACK = PG_YAMUX_ACK, FIN = PG_YAMUX_FIN, RST = PG_YAMUX_RST };

/* Two honest ends. */

static void data_goes_both_ways_however_the_link_cuts_it(void)
{
    for (enum pair_cut cut = PAIR_WHOLE; cut <= PAIR_RANDOM; cut++) {
        struct pair_options o = {.cut = cut};
        struct pair *p = pair_up(&o);
        enum { STREAMS = 12 };
        struct pair_stream s[2][STREAMS] = {0};
        uint64_t most = cut == PAIR_BYTES ? 20000 : 3000000;
        for (unsigned i = 0; i < STREAMS; i++)
            for (unsigned e = 0; e < 2; e++) {
                CU_ASSERT_FATAL(pair_open(&p->ends[e], &s[e][i]));
                s[e][i].end_when_sent = true;
                pair_send(&s[e][i], pair_random(p) % most);
            }
        pair_run(p);
        for (unsigned e = 0; e < 2; e++) {
            CU_ASSERT_EQUAL_FATAL(p->ends[!e].n_inbound, STREAMS);
            /* Each numbers its streams alone and opens them in order, so they arrive in order. */
            for (unsigned i = 0; i < STREAMS; i++) {
                struct pair_stream *in = &p->ends[!e].inbound[i];
                CU_ASSERT_EQUAL(in->received, s[e][i].to_send);
                CU_ASSERT_EQUAL(in->sum_received, s[e][i].sum_sent);
                CU_ASSERT_EQUAL(in->n_ended, 1);
                CU_ASSERT_EQUAL(in->n_closed, 0);
                pg_stream_end(in->stream);
                pair_settle(&p->ends[!e]);
            }
        }
        pair_run(p);
        for (unsigned e = 0; e < 2; e++) {
            for (unsigned i = 0; i < STREAMS; i++)
                CU_ASSERT(s[e][i].n_closed == 1 && s[e][i].why == PG_OK && p->ends[e].inbound[i].n_closed == 1);
            CU_ASSERT_EQUAL(p->ends[e].transport.streams.used, 0);
            CU_ASSERT_EQUAL(p->ends[e].transport.window_used, 0);
            CU_ASSERT_EQUAL(p->ends[e].conn->yamux.unacknowledged, 0);
            CU_ASSERT_EQUAL(p->ends[e].conn->yamux.inbound + p->ends[e].conn->yamux.outbound, 0);
        }
        pair_free(p);
    }
}

static void an_ended_half_leaves_the_other_open(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_stream s = {0};
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
    s.end_when_sent = true;
    pair_send(&s, 10);
    pair_run(p);
    struct pair_stream *in = &p->ends[1].inbound[0];
    CU_ASSERT_EQUAL(in->n_ended, 1);
    CU_ASSERT_FALSE(pg_stream_write(s.stream, PG_LIT("late")));
    in->end_when_sent = true;
    pair_send(in, 2000000);
    pair_run(p);
    CU_ASSERT_EQUAL(s.received, 2000000);
    CU_ASSERT_EQUAL(s.sum_received, in->sum_sent);
    CU_ASSERT(s.n_ended == 1 && s.n_closed == 1 && s.why == PG_OK && in->n_closed == 1 && in->why == PG_OK);
    pair_free(p);
}

static void a_reset_is_told_to_the_other_side_only(void)
{
    for (unsigned who = 0; who < 2; who++) {
        struct pair *p = pair_up(NULL);
        struct pair_stream s = {0};
        CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
        pair_send(&s, 10);
        pair_run(p);
        struct pair_stream *in = &p->ends[1].inbound[0];
        pg_stream_reset(who ? in->stream : s.stream);
        pair_settle(&p->ends[who]);
        pair_run(p);
        CU_ASSERT_EQUAL(s.n_closed, who == 1);
        CU_ASSERT_EQUAL(in->n_closed, who == 0);
        CU_ASSERT_EQUAL((who ? &s : in)->why, PG_ERR_STREAM_RESET);
        CU_ASSERT(pair_is_up(p));
        CU_ASSERT_EQUAL(p->ends[0].transport.streams.used + p->ends[1].transport.streams.used, 0);
        pair_free(p);
    }
}

static void a_reader_that_does_not_read_stops_the_writer_at_the_window(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_stream s = {0};
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
    pair_run(p);
    struct pair_stream *in = &p->ends[1].inbound[0];
    in->keep = true;
    pair_send(&s, 5000000);
    pair_run(p);
    CU_ASSERT(s.sent <= PG_YAMUX_WINDOW_FIRST && s.sent > PG_YAMUX_WINDOW_FIRST - 64);
    CU_ASSERT_EQUAL(in->received, s.sent);
    CU_ASSERT_EQUAL(pg_stream_credit(s.stream), 0);
    CU_ASSERT_EQUAL(p->ends[0].link.tx.bytes + p->ends[1].link.tx.bytes, 0);
    /* Other streams are not held up. */
    struct pair_stream beside = {0};
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &beside));
    pair_send(&beside, 1000000);
    pair_run(p);
    CU_ASSERT_EQUAL(p->ends[1].inbound[1].received, 1000000);
    in->keep = false;
    pg_stream_consumed(in->stream, in->kept);
    pair_settle(&p->ends[1]);
    pair_run(p);
    CU_ASSERT_EQUAL(in->received, 5000000);
    CU_ASSERT_EQUAL(in->sum_received, s.sum_sent);
    pair_free(p);
}

static void a_link_that_takes_nothing_stops_the_writers(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_stream s[20] = {0};
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_FATAL(pair_open(&p->ends[0], &s[i]));
        pair_run(p);
        p->ends[1].inbound[i].stream->recv_size = PG_YAMUX_WINDOW_FIRST;
    }
    /* Nothing is delivered while all of them write. */
    for (unsigned i = 0; i < 20; i++)
        pair_send(&s[i], 1000000);
    CU_ASSERT(p->ends[0].most_unsent <= PG_CONN_HIGH + 70000);
    CU_ASSERT(p->ends[0].most_unsent >= PG_CONN_HIGH / 2);
    pair_run(p);
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(p->ends[1].inbound[i].received, 1000000);
        CU_ASSERT_EQUAL(p->ends[1].inbound[i].sum_received, s[i].sum_sent);
    }
    CU_ASSERT(p->ends[0].most_unsent <= PG_CONN_HIGH + 70000);
    pair_free(p);
}

/* Both ends send on many streams while windows double. */
static void windows_that_grow_on_both_sides_do_not_deadlock(void)
{
    struct pair_options o = {.cut = PAIR_RANDOM};
    struct pair *p = pair_up(&o);
    p->ends[0].conn->yamux.rtt_us = p->ends[1].conn->yamux.rtt_us = 1000000;
    struct pair_stream s[2][4] = {0};
    for (unsigned e = 0; e < 2; e++)
        for (unsigned i = 0; i < 4; i++) {
            CU_ASSERT_FATAL(pair_open(&p->ends[e], &s[e][i]));
            pair_send(&s[e][i], 12000000);
        }
    pair_run(p);
    for (unsigned e = 0; e < 2; e++) {
        uint32_t widest = 0;
        for (unsigned i = 0; i < 4; i++) {
            CU_ASSERT_EQUAL(p->ends[!e].inbound[i].received, 12000000);
            CU_ASSERT_EQUAL(p->ends[!e].inbound[i].sum_received, s[e][i].sum_sent);
            if (p->ends[!e].inbound[i].stream->recv_size > widest)
                widest = p->ends[!e].inbound[i].stream->recv_size;
        }
        CU_ASSERT(widest > PG_YAMUX_WINDOW_FIRST);
        CU_ASSERT(p->ends[e].transport.window_used <= p->ends[e].transport.window_budget);
        CU_ASSERT(p->ends[e].transport.window_used > 0);
    }
    for (unsigned i = 0; i < 4; i++)
        for (unsigned e = 0; e < 2; e++) {
            pg_stream_reset(s[e][i].stream);
            pair_settle(&p->ends[e]);
        }
    pair_run(p);
    CU_ASSERT_EQUAL(p->ends[0].transport.window_used + p->ends[1].transport.window_used, 0);
    pair_free(p);
}

/* As many as each end may open, from both: a thousand, and no more. */
static void a_thousand_streams_run_at_once(void)
{
    struct pair *p = pair_up(NULL);
    static struct pair_stream s[2][OUTBOUND + 1];
    memset(s, 0, sizeof s);
    for (unsigned i = 0; i < OUTBOUND; i++)
        for (unsigned e = 0; e < 2; e++) {
            if (!pair_open(&p->ends[e], &s[e][i])) {
                pair_run(p);
                CU_ASSERT_FATAL(pair_open(&p->ends[e], &s[e][i]));
            }
            pair_send(&s[e][i], 1 + i);
        }
    pair_run(p);
    for (unsigned e = 0; e < 2; e++) {
        CU_ASSERT_FALSE(pair_open(&p->ends[e], &s[e][OUTBOUND]));
        CU_ASSERT_EQUAL_FATAL(p->ends[!e].n_inbound, OUTBOUND);
        for (unsigned i = 0; i < OUTBOUND; i++) {
            CU_ASSERT_EQUAL(p->ends[!e].inbound[i].received, 1 + i);
            CU_ASSERT_EQUAL(p->ends[!e].inbound[i].sum_received, s[e][i].sum_sent);
        }
    }
    /* One that ends makes room for another. */
    pg_stream_reset(s[0][7].stream);
    pair_settle(&p->ends[0]);
    pair_run(p);
    CU_ASSERT(pair_open(&p->ends[0], &s[0][7]));
    pair_run(p);
    /* And all of them end with their connection, each told once. */
    pg_conn_close(p->ends[0].conn, PG_ERR_SHUTTING_DOWN);
    pair_settle(&p->ends[0]);
    pair_run(p);
    for (unsigned i = 0; i < OUTBOUND; i++) {
        CU_ASSERT(s[0][i].n_closed == 1 && s[0][i].why == PG_ERR_SHUTTING_DOWN);
        CU_ASSERT(s[1][i].n_closed == 1 && s[1][i].why == PG_ERR_YAMUX_GOAWAY);
        CU_ASSERT(p->ends[0].inbound[i].n_closed == 1 && p->ends[1].inbound[i].n_closed == 1);
    }
    CU_ASSERT_EQUAL(p->ends[0].transport.streams.used + p->ends[1].transport.streams.used, 0);
    pair_free(p);
}

static void no_more_than_the_backlog_is_opened_unacknowledged(void)
{
    struct pair *p = pair_up(NULL);
    static struct pair_stream s[PG_FIXED_BACKLOG + 2];
    memset(s, 0, sizeof s);
    for (unsigned i = 0; i < PG_FIXED_BACKLOG; i++)
        CU_ASSERT_FATAL(pair_open(&p->ends[0], &s[i]));
    CU_ASSERT_FALSE(pair_open(&p->ends[0], &s[PG_FIXED_BACKLOG]));
    enum pg_err why = PG_OK;
    CU_ASSERT_PTR_NULL(pg_stream_open(p->ends[0].conn, &pair_handler, NULL, &why));
    CU_ASSERT_EQUAL(why, PG_ERR_STREAM_LIMIT);
    pair_run(p);
    CU_ASSERT(p->ends[0].n_relieved > 0);
    CU_ASSERT(pair_open(&p->ends[0], &s[PG_FIXED_BACKLOG]));
    pair_run(p);
    CU_ASSERT_EQUAL(p->ends[1].n_inbound, PG_FIXED_BACKLOG + 1);
    pair_free(p);
}

static void a_protocol_that_is_not_spoken_is_refused_by_name(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_stream s = {0};
    p->ends[1].speaks = false;
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
    pair_send(&s, 100); /* lazily, before the answer */
    pair_run(p);
    CU_ASSERT_EQUAL(s.n_closed, 1);
    CU_ASSERT_EQUAL(s.why, PG_ERR_PROTOCOL_UNSUPPORTED);
    CU_ASSERT_EQUAL(s.n_opened, 0);
    CU_ASSERT(pair_is_up(p));
    pair_pass(p, 11000);
    CU_ASSERT_EQUAL(p->ends[0].transport.streams.used, 0);
    CU_ASSERT_EQUAL(p->ends[1].transport.streams.used, 0);
    pair_free(p);
}

static void the_keep_alive_measures_and_ends_a_silent_connection(void)
{
    struct pair *p = pair_up(NULL);
    pair_pass(p, 600000);
    CU_ASSERT_FATAL(pair_is_up(p));
    pair_make_raw(&p->ends[0]);
    uint64_t start = p->now_us;
    while (p->ends[1].n_lost == 0 && p->now_us - start < 120000000)
        pair_pass(p, 1000);
    CU_ASSERT_EQUAL(p->ends[1].n_lost, 1);
    CU_ASSERT_EQUAL(p->ends[1].why, PG_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(p->ends[1].ended_by, PG_COMMAND_RESET); /* nobody would answer an end */
    CU_ASSERT(p->now_us - start <= 52000000);
    pair_free(p);
}

/* Whoever resets streams faster than reset_rate ends its connection; ours are held back so that it never comes to that. */
static void our_own_resets_wait_rather_than_end_the_connection(void)
{
    enum { EACH_TURN = 40, TURNS = 1000 }; /* 4,000 tries a second for 10 s */
    struct pair *p = pair_up(NULL);
    struct pair_stream live = {0}, s;
    unsigned opened = 0;
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &live));
    pair_run(p);
    for (unsigned turn = 0; turn < TURNS && p->ends[1].conn; turn++) {
        for (unsigned i = 0; i < EACH_TURN; i++) {
            s = (struct pair_stream){0};
            if (!pair_open(&p->ends[0], &s))
                break; /* as many wait to be reset as may be open */
            opened++;
            pg_stream_reset(s.stream);
        }
        pair_settle(&p->ends[0]);
        p->ends[1].n_inbound = 1;
        pair_pass(p, 10);
    }
    CU_ASSERT_EQUAL_FATAL(p->ends[0].n_lost + p->ends[1].n_lost, 0);
    CU_ASSERT_EQUAL(p->ends[1].n_refused[PG_LIMIT_RESET_RATE], 0);
    CU_ASSERT(opened > 5000); /* 2,000 at once, 500 a second */
    pair_send(&live, 100000);
    pair_pass(p, 5000);
    CU_ASSERT_EQUAL(p->ends[1].inbound[0].received, 100000);
    CU_ASSERT_EQUAL(p->ends[0].conn->yamux.outbound, 1); /* all of them have been reset */
    CU_ASSERT_EQUAL(p->ends[1].conn->yamux.inbound, 1);
    pair_free(p);
}

int main(void)
{
    static const struct sentence all[] = {
        {"data goes both ways, however the link cuts it", data_goes_both_ways_however_the_link_cuts_it},
        {"an ended half leaves the other open", an_ended_half_leaves_the_other_open},
        {"a reset is told to the other side only", a_reset_is_told_to_the_other_side_only},
        {"a reader that does not read stops the writer at the window", a_reader_that_does_not_read_stops_the_writer_at_the_window},
        {"a link that takes nothing stops the writers", a_link_that_takes_nothing_stops_the_writers},
        {"our own resets wait rather than end the connection", our_own_resets_wait_rather_than_end_the_connection},
        {"windows that grow on both sides do not deadlock", windows_that_grow_on_both_sides_do_not_deadlock},
        {"a thousand streams run at once", a_thousand_streams_run_at_once},
        {"no more than the backlog is opened unacknowledged", no_more_than_the_backlog_is_opened_unacknowledged},
        {"a protocol that is not spoken is refused by name", a_protocol_that_is_not_spoken_is_refused_by_name},
        {"the keep-alive measures, and ends a silent connection", the_keep_alive_measures_and_ends_a_silent_connection},
    };
    return RUN_SUITE("yamux", all);
}
