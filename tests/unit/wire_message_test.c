/* Messages as the protocols use them: identify in two pieces, lines and framed messages written, memory that runs out.
 * Run by ctest. Serves runtime/wire/pb.h, json.h and mss.h; what the wire itself looks like is in tests/wire. */
#include "identify.pb.gen.h"
#include "tunnel.wire.gen.h"
#include "wire/mss.h"
#include <stdio.h>

static unsigned passed, failed;

#define CHECK(truth)                                                                                                             \
    do {                                                                                                                         \
        if (truth) {                                                                                                             \
            passed++;                                                                                                            \
        } else {                                                                                                                 \
            failed++;                                                                                                            \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #truth);                                                           \
        }                                                                                                                        \
    } while (0)

static void identify_may_come_in_two_messages(void)
{
    static struct pg_pb_identify m;
    CHECK(pg_pb_identify_read(&m, PG_LIT("\x12\x01\x61\x2a\x01v")) == PG_OK);
    CHECK(pg_pb_identify_merge(&m, PG_LIT("\x12\x01\x62\x32\x01w")) == PG_OK);
    CHECK(m.n_listen_addrs == 2 && m.listen_addrs[1].at[0] == 'b');
    CHECK(m.has_protocol_version && m.has_agent_version && !m.has_public_key && !m.has_observed_addr);
}

static void a_broken_message_leaves_nothing_to_be_read_by_mistake(void)
{
    static struct pg_pb_identify m;
    static uint8_t large[PG_PB_IDENTIFY_MAX + 1];
    memset(&m, 0xff, sizeof m);
    CHECK(pg_pb_identify_read(&m, pg_bytes(large, sizeof large)) == PG_ERR_PROTOBUF_LIMIT);
    CHECK(!m.has_public_key && m.n_protocols == 0);
}

static void framed_messages_come_through_the_feeder(void)
{
    static struct pg_pb_identify m, back;
    uint8_t out[400], room[400], agent[200];
    memset(agent, 'a', sizeof agent);
    m = (struct pg_pb_identify){.has_agent_version = true, .agent_version = pg_bytes(agent, sizeof agent)};
    struct pg_writer w = pg_writer(out, sizeof out);
    pg_pb_identify_write_framed(&m, &w);
    CHECK(!w.failed && w.len == pg_pb_identify_size(&m) + 2);
    struct pg_frame f;
    struct pg_bytes in = pg_written(&w), message;
    pg_frame_init(&f, PG_FRAME_UVARINT, room, sizeof room);
    CHECK(pg_frame_feed(&f, &in, &message) == PG_FRAME_MESSAGE && in.len == 0);
    CHECK(message.at == out + 2); /* lent, not copied */
    CHECK(pg_pb_identify_read(&back, message) == PG_OK && pg_pb_identify_equal(&m, &back));
    CHECK(pg_frame_idle(&f));
}

static void lines_are_written_as_they_are_read(void)
{
    uint8_t out[PG_MSS_ROOM + 30], text[PG_MSS_MAX];
    memset(text, 'x', sizeof text);
    struct pg_writer w = pg_writer(out, sizeof out);
    pg_mss_put(&w, PG_LIT("/multistream/1.0.0"));
    CHECK(pg_bytes_equal(pg_written(&w), PG_LIT("\x13/multistream/1.0.0\n")));
    pg_mss_put(&w, pg_bytes(text, PG_MSS_MAX - 1));
    CHECK(!w.failed && w.len == 20 + PG_MSS_ROOM);
    w = pg_writer(out, sizeof out);
    pg_mss_put(&w, PG_NONE);
    CHECK(w.failed && w.len == 0);
    w = pg_writer(out, sizeof out);
    pg_mss_put(&w, pg_bytes(text, PG_MSS_MAX));
    CHECK(w.failed && w.len == 0);
}

static void json_says_when_the_memory_is_full(void)
{
    uint8_t scratch[8], out[20];
    struct pg_arena arena = {scratch, sizeof scratch, 0};
    struct pg_json_tunnel_request m;
    CHECK(pg_json_tunnel_request_read(&m, PG_LIT("{\"service_name\":\"12345678\"}"), &arena) == PG_OK);
    CHECK(pg_bytes_equal(m.service_name, PG_LIT("12345678")));
    CHECK(pg_json_tunnel_request_read(&m, PG_LIT("{\"service_name\":\"1\"}"), &arena) == PG_ERR_NO_MEMORY);
    m.service_name = PG_LIT("12345678");
    struct pg_writer w = pg_writer(out, sizeof out);
    CHECK(!pg_json_tunnel_request_write(&m, &w));
}

static void json_is_not_written_when_nobody_could_read_it(void)
{
    uint8_t out[100];
    const struct pg_bytes bad[] = {PG_LIT("a\0b"), PG_LIT("\xff"), PG_LIT("\xed\xa0\x80")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pg_json_tunnel_request m = {.service_name = bad[i]};
        struct pg_writer w = pg_writer(out, sizeof out);
        CHECK(!pg_json_tunnel_request_write(&m, &w));
    }
}

/* A text of so many openings, or of one string of so many letters: refused by its length or its depth, not by its cost. */
static void json_that_is_deep_or_long_is_refused_at_the_limit(void)
{
    enum { DEEP = 100000, LONG = 10 << 20 };
    static uint8_t text[LONG + 64], scratch[1 << 20];
    struct pg_json_tunnel_request m;
    for (const char *opening = "[{"; *opening; opening++) {
        size_t n = 0;
        for (unsigned i = 0; i < DEEP; i++) {
            text[n++] = (uint8_t)*opening;
            if (*opening == '{') {
                memcpy(text + n, "\"a\":", 4);
                n += 4;
            }
        }
        struct pg_arena arena = {scratch, sizeof scratch, 0};
        CHECK(pg_json_scan(pg_bytes(text, n)) == PG_ERR_JSON_LIMIT);
        CHECK(pg_json_tunnel_request_read(&m, pg_bytes(text, n), &arena) == PG_ERR_JSON_LIMIT);
        CHECK(pg_json_tunnel_request_read(&m, pg_bytes(text, 60000), &arena) == PG_ERR_JSON_LIMIT);
    }
    memset(text, 'a', sizeof text);
    memcpy(text, "{\"service_name\":\"", 17);
    memcpy(text + LONG, "\"}", 2);
    struct pg_arena arena = {scratch, sizeof scratch, 0};
    CHECK(pg_json_tunnel_request_read(&m, pg_bytes(text, LONG + 2), &arena) == PG_ERR_JSON_LIMIT);
    CHECK(arena.used == 0); /* nothing was copied on the way */
}

/* Numbers that no double holds, and halves of surrogate pairs, wherever they stand. */
static void json_numbers_and_surrogates_are_taken_or_refused_by_grammar(void)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"{\"service_name\":\"a\",\"n\":1e999}", true},
        {"{\"service_name\":\"a\",\"n\":-1e999}", true},
        {"{\"service_name\":\"a\",\"n\":1e-999}", true},
        {"{\"service_name\":\"a\",\"n\":1e}", false},
        {"{\"service_name\":\"a\",\"n\":0x10}", false},
        {"{\"service_name\":\"a\",\"n\":NaN}", false},
        {"{\"service_name\":1e999}", false},
        {"{\"service_name\":\"\\ud83d\\ude00\"}", true},
        {"{\"service_name\":\"\\ud83d\"}", false},
        {"{\"service_name\":\"\\ude00\\ud83d\"}", false},
        {"{\"service_name\":\"\\ud83dx\"}", false},
        {"{\"service_name\":\"\\ud83d\\u0041\"}", false},
        {"{\"service_name\":\"a\",\"\\ud800\":1}", false},
        {"{\"service_name\":\"\xed\xa0\xbd\xed\xb8\x80\"}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t scratch[256];
        struct pg_arena arena = {scratch, sizeof scratch, 0};
        struct pg_json_tunnel_request m;
        bool good = pg_json_tunnel_request_read(&m, pg_text(cases[i].text), &arena) == PG_OK;
        if (good != cases[i].good)
            printf("%s\n", cases[i].text);
        CHECK(good == cases[i].good);
    }
}

int main(void)
{
    json_that_is_deep_or_long_is_refused_at_the_limit();
    json_numbers_and_surrogates_are_taken_or_refused_by_grammar();
    identify_may_come_in_two_messages();
    a_broken_message_leaves_nothing_to_be_read_by_mistake();
    framed_messages_come_through_the_feeder();
    lines_are_written_as_they_are_read();
    json_says_when_the_memory_is_full();
    json_is_not_written_when_nobody_could_read_it();
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
