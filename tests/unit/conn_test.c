/* Connections from the first byte to both ends up, and every way in which that may fail: exactly one end, the right reason.
 * Run by ctest; two real ends over pair.h.
 * Serves libp2p/specs connections/README.md, "Upgrading connections", and noise/README.md. */
#include "crypto_suite.h"
#include "noise.pb.gen.h"
#include "pair.h"
#include "protocols.gen.h"
#include "transport/noise.h"

/* Bytes that each end sends until both are up, whole delivery: the offsets of everything below. */
static void sent_in_handshake(const struct pair_options *o, uint64_t sent[2])
{
    struct pair *p = pair_up(o);
    sent[0] = p->ends[0].sent;
    sent[1] = p->ends[1].sent;
    pair_free(p);
}

static void check_up_and_talking(struct pair *p)
{
    CU_ASSERT_FATAL(pair_is_up(p));
    for (unsigned i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(p->ends[i].n_arrived, 1);
        CU_ASSERT_EQUAL(p->ends[i].n_lost, 0);
        CU_ASSERT(pg_peer_id_equal(&p->ends[i].conn->peer, pg_identity_peer_id(p->ends[!i].identity)));
    }
    for (unsigned i = 0; i < 2; i++) {
        struct pair_stream s = {0};
        unsigned n = p->ends[!i].n_inbound;
        CU_ASSERT_FATAL(pair_open(&p->ends[i], &s));
        pair_send(&s, 1000);
        pair_run(p);
        CU_ASSERT_EQUAL_FATAL(p->ends[!i].n_inbound, n + 1);
        CU_ASSERT_EQUAL(p->ends[!i].inbound[n].received, 1000);
        CU_ASSERT_EQUAL(p->ends[!i].inbound[n].sum_received, s.sum_sent);
        pg_stream_reset(s.stream);
        pair_settle(&p->ends[i]);
        pair_run(p);
    }
}

static void every_cut(struct pair_options o)
{
    uint64_t sent[2];
    sent_in_handshake(&o, sent);
    CU_ASSERT(sent[0] > 200 && sent[1] > 200);
    for (unsigned from = 0; from < 2; from++)
        for (uint64_t at = 1; at < sent[from]; at++) {
            struct pair *p = pair_new(&o);
            p->split.on = true;
            p->split.from = from;
            p->split.at = at;
            pair_link(p);
            pair_run(p);
            check_up_and_talking(p);
            pair_free(p);
        }
    for (enum pair_cut cut = PAIR_WHOLE; cut <= PAIR_RANDOM; cut++) {
        o.cut = cut;
        struct pair *p = pair_up(&o);
        check_up_and_talking(p);
        pair_free(p);
    }
}

static void the_handshake_holds_at_every_split_and_byte_by_byte(void)
{
    every_cut((struct pair_options){.early_muxer_off = false});
}

static void without_the_early_muxer_it_holds_too(void)
{
    every_cut((struct pair_options){.early_muxer_off = true});
}

/* Runs a handshake that must fail: `knows` hears the right reason, the other end no more than an end. */
static void check_refused(struct pair *p, unsigned knows, enum pg_err why)
{
    pair_link(p);
    pair_pass(p, 30000);
    CU_ASSERT_EQUAL(p->ends[knows].n_lost, 1);
    CU_ASSERT_EQUAL(p->ends[knows].why, why);
    CU_ASSERT_EQUAL(p->ends[!knows].n_lost, 1);
    CU_ASSERT(p->ends[knows].n_arrived == 0);
    CU_ASSERT_EQUAL(p->ends[knows].chunks.used, 0);
    pair_free(p);
}

static void another_peer_than_the_dialled_one_is_refused(void)
{
    struct pg_identity *someone = pg_identity_from_seed((const uint8_t[32]){9});
    struct pair_options o = {.expected = pg_identity_peer_id(someone)};
    check_refused(pair_new(&o), 0, PG_ERR_NOISE_WRONG_PEER);
    pg_identity_free(someone);
}

static void the_dialled_peer_is_accepted(void)
{
    struct pg_identity *second = pg_identity_from_seed((const uint8_t[32]){2});
    struct pair_options o = {.expected = pg_identity_peer_id(second)};
    struct pair *p = pair_up(&o);
    check_up_and_talking(p);
    pair_free(p);
    pg_identity_free(second);
}

/* Two processes with one identity are told from one that has reached itself by their static keys. */
static void a_twin_is_refused_and_told_from_ourselves(void)
{
    struct pair_options o = {.same_identity = true};
    check_refused(pair_new(&o), 0, PG_ERR_IDENTITY_TWIN);
}

static void ourselves_are_refused(void)
{
    struct pair_options o = {.same_identity = true};
    struct pair *p = pair_new(&o);
    const uint8_t secret[PG_NOISE_KEY] = {[0] = 8, [31] = 64};
    for (unsigned e = 0; e < 2; e++) {
        struct pg_transport *t = &p->ends[e].transport;
        pg_noise_static_free(&t->noise);
        CU_ASSERT_FATAL(pg_noise_static_from_secret(&t->noise, t->identity, secret));
        CU_ASSERT_FATAL(pg_noise_payload_make(t));
    }
    check_refused(p, 0, PG_ERR_SELF_DIAL);
}

/* Every byte of both directions, flipped in three ways. Both ends are lost, or one still waits and the stage timer ends it;
 * nobody arrives by a handshake that was touched, except where the byte belongs to what comes after it. */
static void every_flipped_byte_ends_the_connection(void)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    uint64_t sent[2];
    sent_in_handshake(NULL, sent);
    unsigned reasons[256] = {0};
    for (unsigned from = 0; from < 2; from++)
        for (uint64_t at = 0; at < sent[from]; at++)
            for (unsigned m = 0; m < sizeof masks; m++) {
                struct pair *p = pair_new(NULL);
                p->flip.on = true;
                p->flip.from = from;
                p->flip.at = at;
                p->flip.with = masks[m];
                pair_link(p);
                pair_pass(p, 60000);
                struct pair_end *hurt = &p->ends[!from];
                CU_ASSERT_EQUAL_FATAL(hurt->n_lost, 1);
                CU_ASSERT_EQUAL_FATAL(p->ends[from].n_lost, 1);
                CU_ASSERT_FATAL(hurt->why != PG_OK && (int)hurt->why < 256);
                reasons[hurt->why]++;
                pair_free(p);
            }
    /* A changed key of the first message shows only to whoever sent it, who hangs up; a length that has grown leaves its
     * reader waiting for more, and the stage's deadline ends that. Everything else is named. */
    unsigned named = reasons[PG_ERR_NEGOTIATION_BAD] + reasons[PG_ERR_PROTOCOL_UNSUPPORTED] + reasons[PG_ERR_NOISE_BAD_MESSAGE];
    CU_ASSERT_EQUAL(named + reasons[PG_ERR_TIMEOUT] + reasons[PG_ERR_CLOSED], 3 * (unsigned)(sent[0] + sent[1]));
    CU_ASSERT(reasons[PG_ERR_CLOSED] <= 3 * 34 + 12);
    CU_ASSERT(reasons[PG_ERR_TIMEOUT] <= 54); /* 18 length bytes, three masks */
    CU_ASSERT(reasons[PG_ERR_NEGOTIATION_BAD] > 100);
    for (unsigned i = 0; i < 256; i++)
        if (reasons[i])
            printf("%u x %s, ", reasons[i], pg_err_name((enum pg_err)i));
}

/* The link goes at every byte: both ends are told once and nothing is held. */
static void a_link_lost_at_any_byte_is_told_once(void)
{
    uint64_t sent[2];
    sent_in_handshake(NULL, sent);
    for (unsigned from = 0; from < 2; from++)
        for (uint64_t at = 0; at < sent[from]; at++) {
            struct pair *p = pair_new(NULL);
            p->sever.on = true;
            p->sever.from = from;
            p->sever.at = at;
            pair_link(p);
            pair_pass(p, 1);
            CU_ASSERT_FATAL(p->ends[0].n_lost == 1 && p->ends[1].n_lost == 1);
            CU_ASSERT_FATAL(p->ends[0].why == PG_ERR_CLOSED && p->ends[1].why == PG_ERR_CLOSED);
            pair_free(p);
        }
}

/* What one end says at each stage while the other listens: fed by hand, without a second end. */

struct stage {
    struct pair *p;
    struct pair_end *end; /* the one that is tried */
};

/* A fresh end that has taken the first n bytes that an honest other end would have said. */
static struct stage stage_new(unsigned who, uint64_t n)
{
    struct pair *p = pair_new(NULL);
    p->split.on = true;
    p->split.from = !who;
    p->split.at = n;
    /* Held back by a link that dies for the sender only: simplest is to stop delivering by hand. */
    pair_link(p);
    struct pair_end *e = &p->ends[who], *from = &p->ends[!who];
    for (unsigned turn = 0; turn < 10 && from->sent < n; turn++) {
        uint8_t *text;
        size_t len = pair_take(from, &text);
        size_t now = len < n - from->sent ? len : (size_t)(n - from->sent);
        from->sent += now;
        pair_feed(e, text, now);
        free(text);
        if (from->sent < n) {
            len = pair_take(e, &text);
            pair_feed(from, text, len);
            free(text);
        }
    }
    CU_ASSERT_EQUAL_FATAL(from->sent, n);
    return (struct stage){p, e};
}

static void check_garbage(struct stage s, const void *junk, size_t len, enum pg_err why)
{
    pair_feed(s.end, junk, len);
    CU_ASSERT_EQUAL(s.end->n_lost, 1);
    CU_ASSERT_EQUAL(s.end->why, why);
    CU_ASSERT_EQUAL(s.end->n_arrived, 0);
    CU_ASSERT(s.end->link.closing);
    pair_free(s.p);
}

enum { LINES = 28 }; /* header and /noise */

static void garbage_instead_of_a_protocol_line_is_bad_negotiation(void)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const uint8_t huge[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    for (unsigned who = 0; who < 2; who++) {
        for (uint64_t after = 0; after <= 20; after += 20) {
            check_garbage(stage_new(who, after), "\0\0\0\0", 4, PG_ERR_NEGOTIATION_BAD);
            check_garbage(stage_new(who, after), huge, sizeof huge, PG_ERR_NEGOTIATION_BAD);
            if (!(who == 1 && after)) /* to a listener that has been greeted it is an offer like any other */
                check_garbage(stage_new(who, after), "\x13/multistream/2.0.0\n", 20, PG_ERR_NEGOTIATION_BAD);
        }
        check_garbage(stage_new(who, 0), http, sizeof http - 1, PG_ERR_NEGOTIATION_BAD);
    }
}

/* Whoever offers only other security is refused. */
static void other_security_is_refused(void)
{
    struct stage s = stage_new(0, 20);
    check_garbage(s, "\x03na\n", 4, PG_ERR_PROTOCOL_UNSUPPORTED);
    s = stage_new(1, 20);
    for (unsigned i = 0; i < 4; i++)
        pair_feed(s.end, "\x11/plaintext/2.0.0\n\x0b/tls/1.0.0\n\x0f/secio/1.0.0\nx" + (i % 2 ? 18 : 0), i % 2 ? 12 : 18);
    uint8_t *text;
    size_t len = pair_take(s.end, &text);
    CU_ASSERT(len == 20 + 16 || len == 16);
    CU_ASSERT_EQUAL(s.end->n_lost, 0);
    free(text);
    pair_pass(s.p, 11000);
    CU_ASSERT_EQUAL(s.end->why, PG_ERR_TIMEOUT);
    CU_ASSERT_EQUAL(s.end->n_lost, 1);
    pair_free(s.p);
}

static void broken_noise_messages_are_named_so(void)
{
    static uint8_t junk[65537];
    memset(junk, 0x5a, sizeof junk);
    static const uint8_t lengths[][2] = {{0, 0}, {0, 31}, {0, 33}, {0, 96}, {1, 0}, {0xff, 0xff}};
    for (unsigned who = 0; who < 2; who++)
        for (unsigned i = 0; i < sizeof lengths / 2; i++) {
            /* A first message longer than a key carries a payload that nobody may read yet: 33, 96 and 256 are for the dialler. */
            memcpy(junk, lengths[i], 2);
            size_t n = (size_t)lengths[i][0] << 8 | lengths[i][1];
            if (who == 1 && n > 32)
                continue;
            check_garbage(stage_new(who, LINES), junk, n + 2, PG_ERR_NOISE_BAD_MESSAGE);
        }
    /* An all-zero key: the DH would be all zero. */
    uint8_t zero[34] = {0, 32};
    struct stage s = stage_new(1, LINES);
    pair_feed(s.end, zero, sizeof zero);
    CU_ASSERT_EQUAL(s.end->n_lost, 1);
    CU_ASSERT_EQUAL(s.end->why, PG_ERR_NOISE_BAD_MESSAGE);
    pair_free(s.p);
}

/* The dialler's own first message back to it, and the third one twice. */
static void replayed_noise_messages_are_refused(void)
{
    uint64_t sent[2];
    sent_in_handshake(NULL, sent);
    struct stage s = stage_new(0, LINES);
    uint8_t *text;
    size_t n = pair_take(s.end, &text);
    CU_ASSERT_EQUAL_FATAL(n, 34);
    pair_feed(s.end, text, n);
    CU_ASSERT_EQUAL(s.end->why, PG_ERR_NOISE_BAD_MESSAGE);
    free(text);
    pair_free(s.p);

    struct pair *p = pair_up(NULL);
    struct pair_end *a = &p->ends[0], *b = &p->ends[1];
    struct pair_stream one = {0};
    CU_ASSERT_FATAL(pair_open(a, &one));
    n = pair_take(a, &text);
    pair_feed(b, text, n);
    CU_ASSERT_EQUAL(b->n_lost, 0);
    pair_feed(b, text, n);
    CU_ASSERT_EQUAL(b->n_lost, 1);
    CU_ASSERT_EQUAL(b->why, PG_ERR_NOISE_BAD_MESSAGE);
    free(text);
    pair_run(p);
    pair_free(p);
}

/* Payloads that say something else than who sends them. */
static void wrong_identities_are_named_so(void)
{
    for (unsigned liar = 0; liar < 2; liar++)
        for (unsigned lie = 0; lie < 6; lie++) {
            struct pg_identity *stranger = pg_identity_from_seed((const uint8_t[32]){7});
            struct pair *p = pair_new(NULL);
            struct pg_transport *t = &p->ends[liar].transport;
            struct pg_pb_noise_handshake_payload payload;
            CU_ASSERT_EQUAL_FATAL(pg_pb_noise_handshake_payload_read(&payload, pg_bytes(t->noise.payload, t->noise.payload_len)),
                                  PG_OK);
            uint8_t signature[PG_SIGNATURE_MAX], text[64] = "noise-libp2p-static-key:", out[256];
            memcpy(signature, payload.identity_sig.at, payload.identity_sig.len);
            payload.identity_sig.at = signature;
            memcpy(text + 24, t->noise.public_key, 32);
            if (lie == 0)
                payload.identity_key = pg_public_key_protobuf(pg_identity_public(stranger));
            if (lie == 1)
                signature[5] ^= 4;
            if (lie == 2)
                pg_sign(p->ends[liar].identity, pg_bytes(t->noise.public_key, 32), signature); /* no prefix */
            if (lie == 3)
                payload.has_identity_key = false;
            if (lie == 4)
                payload.has_identity_sig = false;
            if (lie == 5) {
                text[0] = 'N';
                pg_sign(p->ends[liar].identity, pg_bytes(text, 56), signature);
            }
            struct pg_writer w = pg_writer(out, sizeof out);
            pg_pb_noise_handshake_payload_write(&payload, &w);
            CU_ASSERT_FATAL(!w.failed);
            memcpy(t->noise_payload, out, w.len);
            t->noise_payload_len = w.len;
            check_refused(p, !liar, PG_ERR_NOISE_BAD_IDENTITY);
            pg_identity_free(stranger);
        }
}

static void payloads_that_are_not_protobuf_are_broken_messages(void)
{
    for (unsigned liar = 0; liar < 2; liar++) {
        struct pair *p = pair_new(NULL);
        memset(p->ends[liar].transport.noise_payload, 0xff, sizeof p->ends[liar].transport.noise_payload);
        p->ends[liar].transport.noise_payload_len = 100;
        check_refused(p, !liar, PG_ERR_NOISE_BAD_MESSAGE);
    }
}

/* One byte every nine seconds restarts no deadline. */
static void every_stage_ends_by_its_own_deadline(void)
{
    static const uint64_t at[] = {0, 1, 20, 27, LINES, LINES + 1, LINES + 33};
    for (unsigned who = 0; who < 2; who++)
        for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
            struct stage s = stage_new(who, at[i]);
            uint64_t start = s.p->now_us;
            pg_timers_next(&s.end->scope);
            while (s.end->n_lost == 0 && s.p->now_us - start < 100000000) {
                s.p->now_us += 1000000;
                s.end->scope.now_us = s.p->now_us;
                pg_timers_run(&s.end->scope);
                pair_settle(s.end);
            }
            CU_ASSERT_EQUAL(s.end->n_lost, 1);
            CU_ASSERT_EQUAL(s.end->why, PG_ERR_TIMEOUT);
            CU_ASSERT(s.p->now_us - start <= 10000000);
            pair_free(s.p);
        }
}

static void closing_at_any_stage_is_told_once(void)
{
    for (unsigned who = 0; who < 2; who++)
        for (uint64_t n = 0; n <= LINES + 34; n++) {
            if (who == 0 && n > LINES)
                break;
            struct stage s = stage_new(who, n);
            pg_conn_close(s.end->conn, PG_ERR_SHUTTING_DOWN);
            pair_settle(s.end);
            CU_ASSERT_EQUAL(s.end->n_lost, 1);
            CU_ASSERT_EQUAL(s.end->why, PG_ERR_SHUTTING_DOWN);
            pair_free(s.p);
        }
}

static void closing_says_farewell(void)
{
    struct pair *p = pair_up(NULL);
    pg_conn_close(p->ends[0].conn, PG_ERR_SHUTTING_DOWN);
    pair_settle(&p->ends[0]);
    pair_run(p);
    CU_ASSERT_EQUAL(p->ends[0].why, PG_ERR_SHUTTING_DOWN);
    CU_ASSERT_EQUAL(p->ends[1].why, PG_ERR_YAMUX_GOAWAY);
    CU_ASSERT_EQUAL(p->ends[0].n_lost + p->ends[1].n_lost, 2);
    pair_free(p);
}

static void a_connection_without_memory_ends_alone(void)
{
    /* The pool of chunks runs dry at each point of the handshake in turn. */
    for (unsigned left = 0; left < 6; left++) {
        struct pair *p = pair_new(NULL);
        struct pair_end *e = &p->ends[1];
        void *held[2048];
        unsigned n = 0;
        while (e->chunks.used + left < e->chunks.count)
            held[n++] = pg_pool_take(&e->chunks);
        p->cut = PAIR_RANDOM;
        pair_link(p);
        pair_pass(p, 30000);
        CU_ASSERT(e->n_lost == 1 || pair_is_up(p));
        while (n > 0)
            pg_pool_give(&e->chunks, held[--n]);
        pair_free(p);
    }
}

static void at_ms(struct pair *p, uint64_t ms)
{
    p->now_us += ms * 1000;
    p->ends[0].scope.now_us = p->ends[1].scope.now_us = p->now_us;
}

static uint64_t waits_ms(struct pair_end *e)
{
    uint64_t us;
    return pg_conn_waits(e->conn, &us) ? us / 1000 : UINT64_MAX;
}

/* Reading a little now and then does not make a slow one young again; having read all that there was does. */
static void what_is_unsent_waits_until_all_of_it_has_left(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_end *e = &p->ends[0];
    struct pair_stream s = {0};
    CU_ASSERT_FATAL(pair_open(e, &s));
    pair_run(p);
    CU_ASSERT_EQUAL(waits_ms(e), UINT64_MAX);
    pair_send(&s, 200000);
    CU_ASSERT_EQUAL(waits_ms(e), 0);
    for (unsigned second = 1; second < 5; second++) {
        at_ms(p, 1000);
        pg_queue_drop(&e->link.tx, 1000);
        pg_conn_written(e->conn);
        CU_ASSERT_EQUAL(waits_ms(e), second * 1000);
    }
    pair_send(&s, 50000);
    pg_queue_drop(&e->link.tx, 210000);
    pg_conn_written(e->conn);
    CU_ASSERT_EQUAL(waits_ms(e), 0); /* what is left has come later */
    at_ms(p, 700);
    CU_ASSERT_EQUAL(waits_ms(e), 700);
    pg_queue_clear(&e->link.tx);
    pg_conn_written(e->conn);
    CU_ASSERT_EQUAL(waits_ms(e), UINT64_MAX);
    pair_free(p);
}

static void a_message_that_does_not_end_waits_since_it_began(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_end *e = &p->ends[1];
    uint8_t *text;
    pair_run(p);
    struct pair_stream s = {0};
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &s));
    pair_send(&s, 5000);
    size_t len = pair_take(&p->ends[0], &text);
    CU_ASSERT_FATAL(len > 5000);
    at_ms(p, 10);
    pair_feed(e, text, len - 1000);
    CU_ASSERT_EQUAL(waits_ms(e), 0);
    for (unsigned i = 0; i < 5; i++) {
        at_ms(p, 1000);
        pair_feed(e, text + len - 1000 + i, 1);
        CU_ASSERT_EQUAL(waits_ms(e), (i + 1) * 1000);
    }
    pair_feed(e, text + len - 995, 995);
    CU_ASSERT_EQUAL(e->conn->rest.bytes, 0);
    CU_ASSERT_EQUAL(e->inbound[0].received, 5000);
    free(text);
    pair_free(p);
}

static void the_less_memory_is_left_the_less_may_be_unsent(void)
{
    struct pair *p = pair_up(NULL);
    struct pair_end *e = &p->ends[0];
    static void *held[4096];
    unsigned n = 0;
    size_t before = pg_conn_unsent_most(e->conn);
    CU_ASSERT_EQUAL(before, PG_CONN_HIGH);
    while (e->chunks.used < e->chunks.count) {
        held[n++] = pg_pool_take(&e->chunks);
        size_t most = pg_conn_unsent_most(e->conn), left = e->chunks.count - e->chunks.used;
        CU_ASSERT(most <= before && most >= PG_YAMUX_BODY); /* there is always room for one message */
        CU_ASSERT(most == PG_YAMUX_BODY || most * 8 <= (left - e->chunks.count / 8) * PG_CHUNK_ROOM);
        before = most;
    }
    CU_ASSERT_EQUAL(before, PG_YAMUX_BODY);
    while (n > 0)
        pg_pool_give(&e->chunks, held[--n]);
    pair_free(p);
}

static void who_has_dialled_may_be_the_server(void)
{
    struct pair_options o = {.swapped = true};
    every_cut(o);
    struct pair *p = pair_up(&o);
    CU_ASSERT(p->ends[0].conn->dialer && !p->ends[0].conn->client);
    CU_ASSERT(!p->ends[1].conn->dialer && p->ends[1].conn->client);
    struct pair_stream a = {0}, b = {0};
    CU_ASSERT_FATAL(pair_open(&p->ends[0], &a));
    CU_ASSERT_FATAL(pair_open(&p->ends[1], &b));
    CU_ASSERT_EQUAL(a.stream->id & 1, 0); /* servers number even: libp2p/specs yamux/README.md, "Stream ID" */
    CU_ASSERT_EQUAL(b.stream->id & 1, 1);
    pair_free(p);
}

int main(void)
{
    static const struct sentence all[] = {
        {"the handshake holds at every split and byte by byte", the_handshake_holds_at_every_split_and_byte_by_byte},
        {"without the early muxer it holds too", without_the_early_muxer_it_holds_too},
        {"who has dialled may be the server", who_has_dialled_may_be_the_server},
        {"another peer than the dialled one is refused", another_peer_than_the_dialled_one_is_refused},
        {"the dialled peer is accepted", the_dialled_peer_is_accepted},
        {"ourselves are refused", ourselves_are_refused},
        {"a twin is refused, and told from ourselves", a_twin_is_refused_and_told_from_ourselves},
        {"every flipped byte ends the connection", every_flipped_byte_ends_the_connection},
        {"a link lost at any byte is told once", a_link_lost_at_any_byte_is_told_once},
        {"garbage instead of a protocol line is bad negotiation", garbage_instead_of_a_protocol_line_is_bad_negotiation},
        {"other security is refused", other_security_is_refused},
        {"broken Noise messages are named so", broken_noise_messages_are_named_so},
        {"replayed Noise messages are refused", replayed_noise_messages_are_refused},
        {"wrong identities are named so", wrong_identities_are_named_so},
        {"payloads that are not protobuf are broken messages", payloads_that_are_not_protobuf_are_broken_messages},
        {"every stage ends by its own deadline", every_stage_ends_by_its_own_deadline},
        {"closing at any stage is told once", closing_at_any_stage_is_told_once},
        {"closing says farewell", closing_says_farewell},
        {"a connection without memory ends alone", a_connection_without_memory_ends_alone},
        {"what is unsent waits until all of it has left", what_is_unsent_waits_until_all_of_it_has_left},
        {"a message that does not end waits since it began", a_message_that_does_not_end_waits_since_it_began},
        {"the less memory is left the less may be unsent", the_less_memory_is_left_the_less_may_be_unsent},
    };
    return RUN_SUITE("connection", all);
}
