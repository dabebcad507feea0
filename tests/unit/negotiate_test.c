/* Negotiations of one protocol: pipelined, lazy, in pieces, and what a hostile side says instead.
 * Run by ctest; drives src/transport/negotiate.c alone, with an owner that only listens.
 * Serves libp2p/specs connections/README.md, "multistream-select". */
#include "crypto_suite.h"
#include "negotiate_dial.gen.h"
#include "negotiate_listen.gen.h"
#include "transport/negotiate.h"
#include "transport/yamux.h"

/* A substream stands in for the owner: it hears negotiate.agreed, .refused and .failed. */
struct talk {
    struct pg_scope scope;
    struct pg_substream owner;
    struct pg_negotiation n;
    uint8_t sent[4096];
    size_t sent_len;
    unsigned agreed, refused, failed;
};

static struct talk *watched;

static void watch(struct pg_scope *scope, const struct pg_instance *in, const struct pg_step_record *r)
{
    (void)scope;
    if (in->self != &watched->owner)
        return;
    watched->agreed += r->event == PG_SUBSTREAM_ON_NEGOTIATE_AGREED;
    watched->refused += r->event == PG_SUBSTREAM_ON_NEGOTIATE_REFUSED;
    watched->failed += r->event == PG_SUBSTREAM_ON_NEGOTIATE_FAILED;
}

static void keep_sent(void *context, struct pg_bytes text)
{
    struct talk *t = context;
    if (text.len > sizeof t->sent - t->sent_len)
        abort();
    memcpy(t->sent + t->sent_len, text.at, text.len);
    t->sent_len += text.len;
}

static struct pg_bytes speaks_noise(void *context, struct pg_bytes offer)
{
    (void)context;
    return pg_bytes_equal(offer, PG_LIT("/noise")) ? PG_LIT("/noise") : PG_NONE;
}

static bool no_fact(const void *self, unsigned fact)
{
    (void)self;
    (void)fact;
    return false;
}

static void no_act(void *self, unsigned action)
{
    (void)self;
    (void)action;
}

static const struct pg_binding deaf = {.fact = no_fact, .act = no_act};

static struct talk *talk_new(bool dial)
{
    struct talk *t = calloc(1, sizeof *t);
    if (!t || !pg_scope_init(&t->scope, 16, 64))
        abort();
    watched = t;
    t->scope.trace = watch;
    pg_instance_init(&t->owner.in, &pg_substream_machine, &deaf, &t->owner, &t->scope, t->owner.timers, NULL, 1);
    t->n.send = keep_sent;
    t->n.spoken = speaks_noise;
    t->n.context = t;
    if (dial)
        pg_negotiation_dial(&t->n, &t->scope, &t->owner.in, PG_LIT("/noise"));
    else
        pg_negotiation_listen(&t->n, &t->scope, &t->owner.in);
    return t;
}

static void talk_free(struct talk *t)
{
    pg_scope_free(&t->scope);
    free(t);
}

/* Feeds an exact copy; returns how much was left over. */
static size_t feed(struct talk *t, const void *bytes, size_t len)
{
    uint8_t *copy = exact_copy(bytes, len);
    struct pg_bytes in = pg_bytes(copy, len);
    pg_negotiation_feed(&t->n, &in);
    free(copy);
    return in.len;
}

#define HELLO "\x13/multistream/1.0.0\n"
#define NOISE "\x07/noise\n"
#define TLS "\x0b/tls/1.0.0\n"
#define NA "\x03na\n"
#define LS "\x03ls\n"

static void check_sent(const struct talk *t, const char *want)
{
    CU_ASSERT_EQUAL(t->sent_len, strlen(want));
    CU_ASSERT(t->sent_len == strlen(want) && memcmp(t->sent, want, t->sent_len) == 0);
}

/* Every way to split the text in two, byte by byte, and whole; what follows it is never touched. */
static void every_way(bool dial, const char *text, const char *answer, unsigned agreed, unsigned refused, unsigned failed)
{
    size_t len = strlen(text);
    for (size_t split = 0; split <= len + 1; split++) {
        struct talk *t = talk_new(dial);
        if (split <= len) {
            CU_ASSERT_EQUAL(feed(t, text, split), 0);
            CU_ASSERT_EQUAL(feed(t, text + split, len - split), 0);
        } else {
            for (size_t i = 0; i < len; i++)
                CU_ASSERT_EQUAL(feed(t, text + i, 1), 0);
        }
        CU_ASSERT_EQUAL(t->agreed, agreed);
        CU_ASSERT_EQUAL(t->refused, refused);
        CU_ASSERT_EQUAL(t->failed, failed);
        CU_ASSERT_EQUAL(pg_negotiation_done(&t->n), agreed + refused + failed > 0);
        check_sent(t, answer);
        talk_free(t);
    }
}

static void the_dialler_sends_header_and_proposal_at_once(void)
{
    struct talk *t = talk_new(true);
    check_sent(t, HELLO NOISE);
    CU_ASSERT_FALSE(pg_negotiation_done(&t->n));
    talk_free(t);
}

static void both_sides_agree_however_the_lines_are_cut(void)
{
    every_way(true, HELLO NOISE, HELLO NOISE, 1, 0, 0);
    every_way(false, HELLO NOISE, HELLO NOISE, 1, 0, 0);
    every_way(false, HELLO TLS NOISE, HELLO NA NOISE, 1, 0, 0);
    every_way(false, HELLO LS TLS NOISE, HELLO NA NA NOISE, 1, 0, 0);
}

static void a_refusal_is_told_apart_from_nonsense(void)
{
    every_way(true, HELLO NA, HELLO NOISE, 0, 1, 0);
    every_way(true, HELLO TLS, HELLO NOISE, 0, 0, 1);
    every_way(true, HELLO HELLO, HELLO NOISE, 0, 0, 1);
    every_way(true, NOISE, HELLO NOISE, 0, 0, 1);
    every_way(true, NA, HELLO NOISE, 0, 0, 1);
    every_way(false, NOISE, "", 0, 0, 1);
    every_way(false, LS, "", 0, 0, 1);
    every_way(false, HELLO HELLO, HELLO, 0, 0, 1);
}

static void what_follows_the_last_line_is_left_alone(void)
{
    struct talk *t = talk_new(false);
    CU_ASSERT_EQUAL(feed(t, HELLO NOISE "12345", 20 + 8 + 5), 5);
    CU_ASSERT_EQUAL(t->agreed, 1);
    CU_ASSERT_EQUAL(feed(t, HELLO, 20), 20); /* settled: not even looked at */
    talk_free(t);
    t = talk_new(true);
    CU_ASSERT_EQUAL(feed(t, HELLO NOISE HELLO, 20 + 8 + 20), 20);
    talk_free(t);
}

/* A pipelining dialler may have sent data for a protocol that it only hopes for: it must not be taken for lines. */
static void the_listener_stops_at_the_first_protocol_that_it_speaks(void)
{
    struct talk *t = talk_new(false);
    CU_ASSERT_EQUAL(feed(t, HELLO TLS NOISE NOISE, 20 + 12 + 8 + 8), 8);
    CU_ASSERT_EQUAL(t->agreed, 1);
    talk_free(t);
}

static void check_bad(const void *text, size_t len)
{
    for (unsigned after_header = 0; after_header < 2; after_header++) {
        for (unsigned dial = 0; dial < 2; dial++) {
            struct talk *t = talk_new(dial);
            if (after_header)
                CU_ASSERT_EQUAL(feed(t, HELLO, 20), 0);
            (void)feed(t, text, len);
            CU_ASSERT_EQUAL(t->failed, 1);
            CU_ASSERT_EQUAL(t->agreed + t->refused, 0);
            CU_ASSERT(pg_negotiation_done(&t->n));
            talk_free(t);
        }
    }
}

/* 2^63 in the shortest form, and others too long: refused at the bytes of the length, before any text. */
static void a_length_that_cannot_be_ends_it_at_once(void)
{
    check_bad("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10);
    check_bad("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    check_bad("\xff\xff", 2);
    check_bad("\x81\x00", 2);         /* not the shortest form of 1 */
    check_bad("\x81\x08p", 3);        /* 1025: shows with the first byte of its text */
    check_bad("\x00", 1);
    check_bad("\x01\n", 2);
}

static void a_line_without_its_newline_ends_it(void)
{
    check_bad("\x07/noise/", 8);
    check_bad("\x07/noi\nse", 8);
    check_bad("\x13/multistream/1.0.0x", 20);
    check_bad("\x02\n\n", 3);
}

static void garbage_ends_it_within_the_longest_line(void)
{
    struct talk *t = talk_new(false);
    uint8_t junk[4096];
    memset(junk, 0x80, sizeof junk);
    size_t left = feed(t, junk, sizeof junk);
    CU_ASSERT_EQUAL(t->failed, 1);
    CU_ASSERT(left > sizeof junk - 1100);
    talk_free(t);
}

/* A million proposals, or `ls` for ever. What is read and what is answered stays small. */
static void flood(const char *line, const char *answer)
{
    struct talk *t = talk_new(false);
    size_t n = strlen(line), fed = 20;
    CU_ASSERT_EQUAL(feed(t, HELLO, 20), 0);
    unsigned lines = 0;
    while (lines < 1000000 && !pg_negotiation_done(&t->n)) {
        (void)feed(t, line, n);
        fed += n;
        lines++;
    }
    CU_ASSERT_EQUAL(t->failed, 1);
    CU_ASSERT_EQUAL(lines, 17);
    CU_ASSERT(fed < 20 + 20 * n);
    CU_ASSERT_EQUAL(t->sent_len, 20 + 16 * strlen(answer));
    talk_free(t);
    /* The same in one piece. */
    t = talk_new(false);
    char *all = malloc(20 + n * 1000);
    if (!all)
        abort();
    memcpy(all, HELLO, 20);
    for (unsigned i = 0; i < 1000; i++)
        memcpy(all + 20 + i * n, line, n);
    CU_ASSERT_EQUAL(feed(t, all, 20 + n * 1000), n * 1000 - n * 17);
    CU_ASSERT_EQUAL(t->failed, 1);
    CU_ASSERT_EQUAL(t->sent_len, 20 + 16 * strlen(answer));
    free(all);
    talk_free(t);
}

static void a_flood_of_proposals_ends_at_the_limit_of_tries(void)
{
    flood("\x02x\n", NA);
    flood(TLS, NA);
}

static void a_flood_of_ls_ends_at_the_limit_of_tries(void)
{
    flood(LS, NA);
}

static void a_flood_of_na_ends_it_at_once(void)
{
    every_way(false, HELLO NA NA NOISE, HELLO NA NA NOISE, 1, 0, 0); /* to a listener it is an offer like any other */
    struct talk *t = talk_new(true);
    CU_ASSERT_EQUAL(feed(t, HELLO NA NA NA, 20 + 12), 8);
    CU_ASSERT_EQUAL(t->refused, 1);
    talk_free(t);
}

static void the_longest_line_is_read_and_refused_politely(void)
{
    uint8_t line[2 + 1024];
    line[0] = 0x80;
    line[1] = 0x08;
    memset(line + 2, 'p', 1023);
    line[1025] = '\n';
    struct talk *t = talk_new(false);
    CU_ASSERT_EQUAL(feed(t, HELLO, 20), 0);
    CU_ASSERT_EQUAL(feed(t, line, sizeof line), 0);
    check_sent(t, HELLO NA);
    CU_ASSERT_FALSE(pg_negotiation_done(&t->n));
    talk_free(t);
}

static void random_bytes_never_agree_and_always_end_or_wait(void)
{
    uint32_t state = 5;
    for (unsigned round = 0; round < 20000; round++) {
        struct talk *t = talk_new(round & 1);
        uint8_t junk[64];
        for (size_t i = 0; i < sizeof junk; i++) {
            state = state * 1664525 + 1013904223;
            junk[i] = (uint8_t)(state >> 24);
        }
        if (round & 2)
            (void)feed(t, HELLO, 20);
        (void)feed(t, junk, sizeof junk);
        CU_ASSERT_EQUAL_FATAL(t->agreed, 0);
        CU_ASSERT_FATAL(t->failed + t->refused <= 1);
        talk_free(t);
    }
}

int main(void)
{
    static const struct sentence all[] = {
        {"the dialler sends header and proposal at once", the_dialler_sends_header_and_proposal_at_once},
        {"both sides agree, however the lines are cut", both_sides_agree_however_the_lines_are_cut},
        {"a refusal is told apart from nonsense", a_refusal_is_told_apart_from_nonsense},
        {"what follows the last line is left alone", what_follows_the_last_line_is_left_alone},
        {"the listener stops at the first protocol that it speaks", the_listener_stops_at_the_first_protocol_that_it_speaks},
        {"a length that cannot be ends it at once", a_length_that_cannot_be_ends_it_at_once},
        {"a line without its newline ends it", a_line_without_its_newline_ends_it},
        {"garbage ends it within the longest line", garbage_ends_it_within_the_longest_line},
        {"a flood of proposals ends at the limit of tries", a_flood_of_proposals_ends_at_the_limit_of_tries},
        {"a flood of ls ends at the limit of tries", a_flood_of_ls_ends_at_the_limit_of_tries},
        {"a flood of na ends it at once", a_flood_of_na_ends_it_at_once},
        {"the longest line is read and refused politely", the_longest_line_is_read_and_refused_politely},
        {"random bytes never agree, and always end or wait", random_bytes_never_agree_and_always_end_or_wait},
    };
    return RUN_SUITE("negotiate", all);
}
