/* What a hostile peer says on a tunnel stream, and what local services do to it: the provider answers, resets or holds back,
 * and keeps nothing.
 * Run by ctest over world.h. Serves spec/wire/tunnel.wire and spec/machine/tunnel_provider.sm. */
#include "transport/conn.h"
#include "world.h"

#define GOOD PG_LIT("{\"service_name\":\"echo\"}")


static void check_alive(struct world *w)
{
    struct raw good;
    enum service before = w->service;
    w->service = ECHO;
    raw_ask(w, &good, GOOD);
    CU_ASSERT_FATAL(good.stream != NULL);
    CU_ASSERT(raw_answered(&good, "{\"accepted\":true}"));
    size_t n = good.got;
    CU_ASSERT(pg_stream_write(good.stream, PG_LIT("hello")));
    world_settle(w);
    CU_ASSERT(good.got == n + 5 && memcmp(good.in + n, "hello", 5) == 0);
    pg_stream_end(good.stream);
    world_settle(w);
    CU_ASSERT(good.n_ended == 1 && good.n_closed == 1 && good.why == PG_OK);
    w->service = before;
}

/* Row 54. */

static void lengths_that_are_not_allowed_reset_the_stream_at_once(void)
{
    static const uint8_t lengths[][4] = {{0, 0, 0, 0}, {0, 1, 0, 1}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}, {'G', 'E', 'T', ' '}};
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct raw r;
        raw_say(w, &r, pg_bytes(lengths[i], 4));
        CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET && r.got == 0);
        world_check_nothing_left(w, before);
    }
    check_alive(w);
    world_free(w);
}

static void the_longest_request_is_read_and_answered(void)
{
    static uint8_t json[65536];
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    memset(json, 'n', sizeof json);
    memcpy(json, "{\"service_name\":\"", 17);
    memcpy(json + sizeof json - 2, "\"}", 2);
    raw_ask(w, &r, pg_bytes(json, sizeof json));
    CU_ASSERT(raw_rejected_because(&r, "unknown service"));
    CU_ASSERT_EQUAL(r.n_ended, 1);
    if (r.stream)
        pg_stream_end(r.stream);
    world_pass(w, 6000);
    CU_ASSERT_EQUAL(r.n_closed, 1);
    world_check_nothing_left(w, before);
    /* Spaces count, and so does everything behind the object. */
    memset(json, ' ', sizeof json);
    memcpy(json, "{\"service_name\":\"echo\"}", 23);
    raw_ask(w, &r, pg_bytes(json, sizeof json));
    CU_ASSERT(raw_answered(&r, "{\"accepted\":true}"));
    pg_stream_reset(r.stream);
    world_settle(w);
    json[sizeof json - 1] = '}';
    raw_ask(w, &r, pg_bytes(json, sizeof json));
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void json_that_is_not_a_request_resets_the_stream(void)
{
    static const char *const broken[] = {
        "{", "}", "{}", "[]", "null", "true", "1e999", "\"echo\"", "{\"service_name\":\"echo\"", "{\"service_name\":\"echo\"}}",
        "{\"service_name\":\"echo\"}{\"service_name\":\"echo\"}", "{\"service_name\":\"ec\\u0000ho\"}", "{\"service_name\":null}",
        "{\"service_name\":1}", "{\"service_name\":[\"echo\"]}", "{\"service_name\":{\"service_name\":\"echo\"}}",
        "{\"service_name\":\"a\",\"service_name\":\"echo\"}", "{\"service_name\":\"echo\",\"service_name\":\"echo\"}",
        "{\"Service_Name\":\"echo\"}", "{'service_name':'echo'}", "{service_name:\"echo\"}", "{\"service_name\":\"echo\",}",
        "{\"service_name\":\"\\ud800\"}", "{\"service_name\":\"\xff\"}", "{\"service_name\":\"a\nb\"}", "//\n{\"service_name\":\"echo\"}",
        "\xef\xbb\xbf{\"service_name\":\"echo\"}", "{\"service_name\":\"echo\",\"x\":\"\\q\"}", " ",
    };
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct raw r;
        raw_ask(w, &r, pg_text(broken[i]));
        bool good = r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET && r.got == 0;
        CU_ASSERT(good);
        if (!good)
            printf("\n    taken: %s", broken[i]);
        if (r.stream)
            pg_stream_reset(r.stream);
        world_settle(w);
        world_check_nothing_left(w, before);
    }
    CU_ASSERT_EQUAL(w->n_dialled, 0);
    check_alive(w);
    world_free(w);
}

static void deep_nesting_resets_the_stream(void)
{
    static uint8_t json[65000];
    struct world *w = world_new();
    struct raw r;
    memcpy(json, "{\"service_name\":\"echo\",\"x\":", 27);
    memset(json + 27, '[', sizeof json - 27);
    raw_ask(w, &r, pg_bytes(json, sizeof json));
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    memset(json, '{', sizeof json);
    raw_ask(w, &r, pg_bytes(json, sizeof json));
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    check_alive(w);
    world_free(w);
}

static void unknown_keys_and_any_spelling_of_a_good_request_are_taken(void)
{
    static const char *const good[] = {
        " {\t\"service_name\" :\r\n \"echo\" } ", "{\"service_name\":\"\\u0065\\u0063ho\"}", "{\"x\":[1,{\"y\":null}],\"service_name\":\"echo\"}",
        "{\"service_name\":\"echo\",\"service_name2\":\"other\"}",
    };
    struct world *w = world_new();
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        struct raw r;
        raw_ask(w, &r, pg_text(good[i]));
        CU_ASSERT(raw_answered(&r, "{\"accepted\":true}"));
        if (r.stream)
            pg_stream_reset(r.stream);
        world_settle(w);
    }
    world_free(w);
}

/* Row 56. */
static void names_that_nobody_exposes_are_rejected_with_a_reason(void)
{
    static const char *const names[] = {"", "Echo", "echo ", "../etc/passwd", "echo/", "\\u001b[31mred", "127.0.0.1:80", "\\n\\r\\t",
                                        "\\ud83d\\ude00", "\\\"}{"};
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct raw r;
        char json[200];
        snprintf(json, sizeof json, "{\"service_name\":\"%s\"}", names[i]);
        raw_ask(w, &r, pg_text(json));
        CU_ASSERT(raw_rejected_because(&r, "unknown service"));
        CU_ASSERT_EQUAL(r.n_ended, 1);
        pg_stream_end(r.stream);
        world_pass(w, 6000);
        CU_ASSERT_EQUAL(r.n_closed, 1);
        world_check_nothing_left(w, before);
    }
    CU_ASSERT_EQUAL(w->n_dialled, 0);
    world_free(w);
}

static void a_request_in_single_bytes_is_understood_and_a_slow_one_dropped(void)
{
    uint8_t text[64];
    size_t n = raw_framed(text, GOOD);
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    raw_say(w, &r, PG_NONE);
    for (size_t i = 0; i < n; i++) {
        CU_ASSERT_FATAL(r.stream && pg_stream_write(r.stream, pg_bytes(text + i, 1)));
        world_settle(w);
    }
    CU_ASSERT(raw_answered(&r, "{\"accepted\":true}"));
    pg_stream_reset(r.stream);
    world_pass(w, 100);
    world_check_nothing_left(w, before);
    for (size_t stop = 0; stop < n; stop += 5) {
        raw_say(w, &r, pg_bytes(text, stop));
        for (unsigned s = 0; s < 8 && r.stream; s++) {
            world_pass(w, 1000);
            if (stop > 4 && s == 4)
                CU_ASSERT(pg_stream_write(r.stream, pg_bytes(text + stop, 1)));
        }
        CU_ASSERT_EQUAL(r.n_closed, 0);
        world_pass(w, 3000);
        CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
        world_check_nothing_left(w, before);
    }
    world_free(w);
}

static void a_stream_that_ends_or_resets_at_any_byte_leaves_nothing(void)
{
    uint8_t text[64];
    size_t n = raw_framed(text, GOOD);
    struct world *w = world_new();
    struct held before = world_held(w);
    for (unsigned how = 0; how < 2; how++)
        for (size_t stop = 0; stop < n; stop++) {
            struct raw r;
            raw_say(w, &r, pg_bytes(text, stop));
            if (how == 0)
                pg_stream_end(r.stream);
            else
                pg_stream_reset(r.stream);
            world_settle(w);
            CU_ASSERT_EQUAL(r.n_closed, how == 0);
            world_check_nothing_left(w, before);
        }
    world_free(w);
}

/* Row 55. */

static void a_service_that_is_down_is_told_with_a_reason(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    w->service = DOWN;
    raw_ask(w, &r, GOOD);
    CU_ASSERT(raw_rejected_because(&r, "cannot be reached"));
    CU_ASSERT_EQUAL(r.n_ended, 1);
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_OK);
    world_check_nothing_left(w, before);
    /* Whoever does not end its half is cut off after a while. */
    raw_ask(w, &r, GOOD);
    world_pass(w, 6000);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    check_alive(w);
    world_free(w);
}

static void a_service_that_does_not_answer_is_given_up(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    w->service = SLOW;
    raw_ask(w, &r, GOOD);
    CU_ASSERT(pg_stream_write(r.stream, PG_LIT("early bytes")));
    world_pass(w, 9000);
    CU_ASSERT(r.got == 0 && r.n_closed == 0);
    world_pass(w, 1500);
    CU_ASSERT(raw_rejected_because(&r, "no answer in time"));
    world_pass(w, 6000);
    CU_ASSERT_EQUAL(r.n_closed, 1);
    world_check_nothing_left(w, before);
    /* Reset while it is being dialled: the dial goes too. */
    raw_ask(w, &r, GOOD);
    pg_stream_reset(r.stream);
    world_settle(w);
    world_check_nothing_left(w, before);
    check_alive(w);
    world_free(w);
}

static void a_service_that_closes_at_once_ends_the_stream_in_order(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    w->service = CLOSES;
    raw_ask(w, &r, GOOD);
    CU_ASSERT(raw_answered(&r, "{\"accepted\":true}"));
    CU_ASSERT(r.n_ended == 1 && r.n_closed == 0);
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_OK);
    world_check_nothing_left(w, before);
    w->service = RESETS;
    raw_ask(w, &r, GOOD);
    CU_ASSERT(pg_stream_write(r.stream, PG_LIT("x")));
    world_settle(w);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_service_that_never_reads_stops_the_sender(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r, beside;
    w->service = NEVER_READS;
    raw_ask(w, &r, GOOD);
    r.to_send = 100000000;
    raw_send(&r);
    world_pass(w, 60000);
    CU_ASSERT(100000000 - r.to_send <= PG_YAMUX_WINDOW_FIRST);
    CU_ASSERT(world_victims(w)->chunks->used - before.chunks <= 8);
    w->service = ECHO; /* for those that come now, and for this one again, too */
    raw_ask(w, &beside, GOOD);
    CU_ASSERT(raw_answered(&beside, "{\"accepted\":true}"));
    pg_stream_reset(beside.stream);
    world_settle(w);
    CU_ASSERT(r.to_send == 0 && r.got > 90000000);
    w->service = NEVER_READS;
    r.to_send = 10000000;
    raw_send(&r);
    world_settle(w);
    pg_stream_reset(r.stream);
    world_pass(w, 100);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_service_that_ends_first_still_gets_everything(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    w->service = ENDS_FIRST;
    raw_ask(w, &r, GOOD);
    CU_ASSERT_EQUAL(r.n_ended, 1);
    r.to_send = 5000000;
    raw_send(&r);
    world_settle(w);
    CU_ASSERT(r.to_send == 0 && w->last->got == 5000000);
    pg_stream_end(r.stream);
    world_settle(w);
    CU_ASSERT(r.n_closed == 1 && r.why == PG_OK && w->last->got_end);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void bytes_and_an_end_that_do_not_wait_for_the_answer_arrive(void)
{
    uint8_t text[100];
    size_t n = raw_framed(text, GOOD);
    memcpy(text + n, "early", 5);
    for (unsigned slowly = 0; slowly < 2; slowly++) {
        struct world *w = world_new();
        struct held before = world_held(w);
        struct raw r;
        w->service = slowly ? SLOW : ECHO;
        raw_say(w, &r, pg_bytes(text, n + 5));
        pg_stream_end(r.stream);
        world_pass(w, 2000);
        w->service = ECHO;
        world_settle(w);
        CU_ASSERT(raw_answered(&r, "{\"accepted\":true}"));
        CU_ASSERT(r.got == 4 + 17 + 5 && memcmp(r.in + 4 + 17, "early", 5) == 0);
        CU_ASSERT(r.n_closed == 1 && r.why == PG_OK);
        world_check_nothing_left(w, before);
        world_free(w);
    }
}

static void early_bytes_are_bounded_by_the_window(void)
{
    struct world *w = world_new();
    struct held before = world_held(w);
    struct raw r;
    w->service = SLOW;
    raw_ask(w, &r, GOOD);
    r.to_send = 10000000;
    raw_send(&r);
    world_pass(w, 5000);
    CU_ASSERT(10000000 - r.to_send <= PG_YAMUX_WINDOW_FIRST);
    CU_ASSERT(world_victims(w)->chunks->used - before.chunks <= 8);
    w->service = ECHO;
    world_settle(w);
    CU_ASSERT(r.to_send == 0 && r.got == 10000000 + 21);
    pg_stream_reset(r.stream);
    world_pass(w, 100);
    world_check_nothing_left(w, before);
    world_free(w);
}

/* Row 15: many services pour at once into a connection whose other end takes nothing. Credit that was given out before the
 * link filled up must not add up to megabytes for each stream. */
static void services_that_pour_are_stopped_together(void)
{
    enum { STREAMS = 200 };
    static struct raw r[STREAMS];
    struct world *w = world_new();
    struct held before = world_held(w);
    w->service = SLOW;
    for (unsigned i = 0; i < STREAMS; i++)
        raw_ask(w, &r[i], GOOD);
    w->most_unsent = 0;
    w->stalled = true;
    w->service = POURS;
    world_settle(w);
    CU_ASSERT(w->most_unsent > 100000);
    CU_ASSERT(w->most_unsent <= 4 << 20);
    CU_ASSERT(world_victims(w)->chunks->used - before.chunks <= 80);
    if (w->most_unsent > 4 << 20)
        printf("\n    %zu bytes wait for one connection ", w->most_unsent);
    w->service = CLOSES;
    w->stalled = false;
    world_settle(w);
    for (unsigned i = 0; i < STREAMS; i++)
        if (r[i].stream)
            pg_stream_reset(r[i].stream);
    world_pass(w, 100);
    world_check_nothing_left(w, before);
    world_free(w);
}

static void a_peer_that_does_not_read_makes_room_when_memory_is_short(void)
{
    enum { STREAMS = 8, CHUNKS = 65536 };
    static void *held[CHUNKS];
    struct world *w = world_new();
    struct raw r[STREAMS], more;
    struct pg_pool *chunks = world_victims(w)->chunks;
    unsigned n = 0;
    w->service = SLOW;
    for (unsigned i = 0; i < STREAMS; i++)
        raw_ask(w, &r[i], GOOD);
    w->most_unsent = 0;
    w->stalled = true;
    w->service = POURS;
    world_settle(w);
    CU_ASSERT(w->most_unsent > PG_CONN_LOW);
    while (chunks->count - chunks->used >= chunks->count / 16 && n < CHUNKS)
        held[n++] = pg_pool_take(chunks);
    uint32_t used = chunks->used;
    (void)raw_try(w, &more, GOOD);
    CU_ASSERT_EQUAL(w->n_lost, 1);
    CU_ASSERT(chunks->used < used);
    w->n_lost = 0;
    while (n > 0)
        pg_pool_give(chunks, held[--n]);
    world_free(w);
}

int main(void)
{
    static const struct sentence all[] = {
        {"lengths that are not allowed reset the stream at once", lengths_that_are_not_allowed_reset_the_stream_at_once},
        {"the longest request is read and answered", the_longest_request_is_read_and_answered},
        {"JSON that is not a request resets the stream", json_that_is_not_a_request_resets_the_stream},
        {"deep nesting resets the stream", deep_nesting_resets_the_stream},
        {"unknown keys and any spelling of a good request are taken", unknown_keys_and_any_spelling_of_a_good_request_are_taken},
        {"names that nobody exposes are rejected with a reason", names_that_nobody_exposes_are_rejected_with_a_reason},
        {"a request in single bytes is understood and a slow one dropped",
         a_request_in_single_bytes_is_understood_and_a_slow_one_dropped},
        {"a stream that ends or resets at any byte leaves nothing", a_stream_that_ends_or_resets_at_any_byte_leaves_nothing},
        {"a peer that does not read makes room when memory is short", a_peer_that_does_not_read_makes_room_when_memory_is_short},
        {"a service that is down is told with a reason", a_service_that_is_down_is_told_with_a_reason},
        {"a service that does not answer is given up", a_service_that_does_not_answer_is_given_up},
        {"a service that closes at once ends the stream in order", a_service_that_closes_at_once_ends_the_stream_in_order},
        {"a service that never reads stops the sender", a_service_that_never_reads_stops_the_sender},
        {"a service that ends first still gets everything", a_service_that_ends_first_still_gets_everything},
        {"bytes and an end that do not wait for the answer arrive", bytes_and_an_end_that_do_not_wait_for_the_answer_arrive},
        {"early bytes are bounded by the window", early_bytes_are_bounded_by_the_window},
        {"services that pour are stopped together", services_that_pour_are_stopped_together},
    };
    return RUN_SUITE("tunnel under attack", all);
}
