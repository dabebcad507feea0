/* What a hostile peer can do with punching: addresses that are none of its own, words that never come or come twice, round trips that it
 * makes up, and others whom we would flood for it. Run by ctest; the cores of punch_world.h, one of which speaks by hand.
 * Serves libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "punch_world.h"

static const struct pg_endpoint victim = {.family = 4, .ip = {192, 52, 193, 99}, .port = 80};

/* By hand. */

static struct pg_stream *raw_stream;
static unsigned n_raw_closed, n_raw_opened, raw_got;
static uint8_t raw_in[1 << 16];

static void raw_opened(struct pg_stream *s)
{
    raw_stream = s;
    n_raw_opened++;
}

static void raw_data(struct pg_stream *s, struct pg_bytes data)
{
    for (size_t i = 0; i < data.len && raw_got < sizeof raw_in; i++)
        raw_in[raw_got++] = data.at[i];
    pg_stream_consumed(s, data.len);
}

static void raw_nothing(struct pg_stream *s)
{
    (void)s;
}

static void raw_closed(struct pg_stream *s, enum pg_err why)
{
    (void)why;
    n_raw_closed++;
    if (raw_stream == s)
        raw_stream = NULL;
}

static const struct pg_handler raw = {.protocol = {(const uint8_t *)PG_PROTOCOL_DCUTR, sizeof PG_PROTOCOL_DCUTR - 1},
                                      .opened = raw_opened, .data = raw_data, .ended = raw_nothing, .writable = raw_nothing, .closed = raw_closed};

static void reset_counts(void)
{
    raw_stream = NULL;
    n_raw_closed = n_raw_opened = raw_got = 0;
}

/* The called one asks, in its own way; false: no stream. */
static bool ask(void)
{
    enum pg_err why;
    raw_stream = pg_stream_open(relayed(CALLED)->conn, &raw, NULL, &why);
    settle();
    return raw_stream != NULL;
}

static void say(int type, const struct pg_endpoint *addrs, unsigned n)
{
    struct pg_multiaddr list[32];
    for (unsigned i = 0; i < n; i++)
        pg_multiaddr_from_tcp(&list[i], &addrs[i]);
    if (raw_stream)
        CU_ASSERT(pg_punch_say(raw_stream, type, list, n));
    settle();
}

static void say_bytes(const void *bytes, size_t n)
{
    if (raw_stream)
        CU_ASSERT(pg_stream_write(raw_stream, pg_bytes(bytes, n)));
    settle();
}

#define CONNECT PG_PB_HOLE_PUNCH_TYPE_CONNECT
#define SYNC PG_PB_HOLE_PUNCH_TYPE_SYNC

/* The caller answers in its own way. */
static void answer_by_hand(void)
{
    struct pg_node *n = nodes[CALLER].node;
    for (uint32_t i = 0; i < n->n_handlers; i++)
        if (n->handlers[i] == &pg_punch_handler)
            n->handlers[i] = &raw;
}

static unsigned serve_state(void)
{
    struct pg_puncher *p = nodes[CALLER].node->punching.first;
    return p ? p->serve.in.ctl.state : (unsigned)PG_PUNCH_SERVE_IDLE;
}

static void open_world(void)
{
    reset_counts();
    world_with(SHUT, SHUT);
}

/* Addresses. */

static uint32_t targets_of(const char *const *texts, uint32_t n, struct pg_multiaddr out[PG_PUNCH_TARGETS])
{
    static struct pg_multiaddr addrs[32];
    struct pg_pb_hole_punch m = {.type = CONNECT, .has_type = true};
    for (uint32_t i = 0; i < n; i++) {
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addrs[i], pg_text(texts[i])), PG_OK);
        m.obs_addrs[m.n_obs_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
    }
    return pg_punch_targets(nodes[CALLER].node, id_of(CALLED), &m, out);
}

static void only_public_addresses_of_the_peer_are_dialled(void)
{
    struct pg_multiaddr found[PG_PUNCH_TARGETS];
    char id[PG_PEER_ID_TEXT], with_id[256], of_another[256], over[512];
    open_world();
    pg_peer_id_text(id_of(CALLED), id);
    snprintf(with_id, sizeof with_id, "/ip4/192.31.196.9/tcp/4001/p2p/%s", id);
    snprintf(over, sizeof over, "/ip4/192.31.196.9/tcp/4001/p2p/12D3KooWAJ9XHp6EZHcWRxUbDwDzMgvi8SYFHvkVBZX5NR8Lbm1d/p2p-circuit");
    snprintf(of_another, sizeof of_another, "/ip4/192.31.196.9/tcp/4001/p2p/12D3KooWAJ9XHp6EZHcWRxUbDwDzMgvi8SYFHvkVBZX5NR8Lbm1d");
    const char *const bad[] = {
        "/ip4/127.0.0.1/tcp/22", "/ip4/10.0.1.9/tcp/80", "/ip4/192.168.1.1/tcp/80", "/ip4/172.16.0.1/tcp/80", "/ip4/100.64.0.1/tcp/80",
        "/ip4/169.254.1.1/tcp/80", "/ip4/0.0.0.0/tcp/80", "/ip4/224.0.0.1/tcp/80", "/ip4/255.255.255.255/tcp/80", "/ip4/192.0.2.1/tcp/80",
        "/ip4/192.31.196.9/tcp/0", "/ip4/192.31.196.9/udp/80", "/ip4/192.31.196.9/udp/80/quic-v1", "/dns4/example.com/tcp/80",
        "/ip6/::1/tcp/80", "/ip6/fe80::1/tcp/80", "/ip6/fc00::1/tcp/80", "/ip6/::ffff:127.0.0.1/tcp/80", "/ip6/2001:db8::1/tcp/80",
        "/ip4/192.31.196.1/tcp/20385" /* where we are seen ourselves */, "/ip4/10.0.1.2/tcp/4001" /* where we listen */, over, of_another,
    };
    CU_ASSERT_EQUAL(targets_of(bad, sizeof bad / sizeof *bad, found), 0);
    const char *const good[] = {with_id, "/ip4/192.31.196.9/tcp/4001", "/ip6/2606:4700::1/tcp/4001"};
    CU_ASSERT_EQUAL_FATAL(targets_of(good, 3, found), 2); /* the suffix makes no other address of it */
    struct pg_multiaddr bare;
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&bare, pg_text(good[1])), PG_OK);
    CU_ASSERT(pg_multiaddr_equal(&found[0], &bare));
    world_close();
}

static void of_many_addresses_eight_are_dialled(void)
{
    struct pg_endpoint many[32];
    open_world();
    for (unsigned i = 0; i < 32; i++)
        many[i] = (struct pg_endpoint){.family = 4, .ip = {192, 52, 193, (uint8_t)(100 + i)}, .port = 4001};
    CU_ASSERT_FATAL(ask());
    say(CONNECT, many, 32);
    pass(2 * RELAY_US);
    say(SYNC, NULL, 0);
    pass(2 * RELAY_US);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, PG_PUNCH_TARGETS);
    world_close();
}

static void a_thousand_addresses_are_too_long_a_message(void)
{
    static uint8_t text[16384];
    struct pg_multiaddr one;
    struct pg_writer w = pg_writer(text, sizeof text);
    open_world();
    pg_multiaddr_from_tcp(&one, &victim);
    pg_put_uvarint(&w, 3 + 1000 * (one.len + 2u));
    pg_put_bytes(&w, pg_bytes("\x08\x64", 2));
    for (unsigned i = 0; i < 1000 && !w.failed; i++) {
        pg_put_bytes(&w, pg_bytes("\x12", 1));
        pg_put_uvarint(&w, one.len);
        pg_put_bytes(&w, pg_bytes(one.at, one.len));
    }
    CU_ASSERT_FATAL(ask());
    say_bytes(text, w.len);
    pass(4 * RELAY_US);
    CU_ASSERT_EQUAL(n_raw_closed, 1);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 0);
    CU_ASSERT_PTR_NOT_NULL(relayed(CALLER));
    world_close();
}

static void no_usable_address_ends_it_cleanly(void)
{
    static const struct pg_endpoint loopback = {.family = 4, .ip = {127, 0, 0, 1}, .port = 22};
    for (unsigned n = 0; n < 2; n++) {
        open_world();
        CU_ASSERT_FATAL(ask());
        say(CONNECT, &loopback, n);
        pass(4 * RELAY_US);
        CU_ASSERT_EQUAL(n_raw_closed, 1);
        CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_WAITING);
        pass(11000000);
        CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_IDLE);
        CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 0);
        world_close();
    }
}

/* Words. */

static void without_the_word_nobody_dials(void)
{
    open_world();
    CU_ASSERT_FATAL(ask());
    say(CONNECT, &victim, 1);
    pass(9000000);
    CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_ANSWERED);
    CU_ASSERT(raw_got > 0); /* our own CONNECT */
    pass(2000000);
    CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_WAITING);
    CU_ASSERT_EQUAL(n_raw_closed, 1);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 0);
    world_close();
}

static void the_word_before_the_addresses_is_nonsense(void)
{
    open_world();
    CU_ASSERT_FATAL(ask());
    say(SYNC, NULL, 0);
    say(CONNECT, &victim, 1);
    pass(4 * RELAY_US);
    CU_ASSERT_EQUAL(n_raw_closed, 1);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 0);
    world_close();
}

static void the_word_twice_is_one_attempt(void)
{
    open_world();
    CU_ASSERT_FATAL(ask());
    say(CONNECT, &victim, 1);
    pass(2 * RELAY_US);
    say(SYNC, NULL, 0);
    say(SYNC, NULL, 0);
    say(CONNECT, &victim, 1);
    pass(2 * RELAY_US);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 1);
    CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_MEETING);
    world_close();
}

static void nonsense_ends_the_stream_and_nothing_else(void)
{
    static const char *const texts[] = {"\x02\x08\x65", "\x00", "\x01\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x03\x0a\x01\x00"};
    static const size_t lens[] = {3, 1, 2, 11, 4};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        open_world();
        CU_ASSERT_FATAL(ask());
        say_bytes(texts[i], lens[i]);
        pass(4 * RELAY_US);
        CU_ASSERT_EQUAL(n_raw_closed, 1);
        CU_ASSERT_EQUAL(serve_state(), PG_PUNCH_SERVE_WAITING);
        CU_ASSERT_PTR_NOT_NULL(relayed(CALLER));
        CU_ASSERT_PTR_NOT_NULL(relayed(CALLED));
        world_close();
    }
}

/* It has come to us, so we ask and not they. */
static void whoever_has_called_does_not_ask(void)
{
    enum pg_err why;
    open_world();
    raw_stream = pg_stream_open(relayed(CALLER)->conn, &raw, NULL, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(raw_stream);
    settle();
    say(CONNECT, &victim, 1);
    pass(4 * RELAY_US);
    CU_ASSERT_EQUAL(n_raw_closed, 1);
    CU_ASSERT_PTR_NULL(nodes[CALLED].node->punching.first);
    world_close();
}

static void on_a_direct_connection_nobody_is_asked(void)
{
    open_world();
    relayed(CALLER)->relayed = false;
    CU_ASSERT_FATAL(ask());
    pass(4 * RELAY_US);
    CU_ASSERT_EQUAL(n_raw_closed, 1);
    CU_ASSERT_EQUAL(n_raw_opened, 0);
    relayed(CALLED)->relayed = false;
    world_close();
}

/* Round trips. */

static void a_peer_that_never_answers_is_asked_three_times(void)
{
    open_world();
    answer_by_hand();
    begin();
    pass(3600000000);
    CU_ASSERT_EQUAL(n_raw_opened, 3);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 0);
    CU_ASSERT_EQUAL(nodes[CALLED].node->punching.first->punch.in.ctl.state, PG_PUNCH_SPENT);
    world_close();
}

static void a_late_answer_delays_by_no_more_than_half_of_what_is_waited(void)
{
    struct pg_endpoint there = outside(CALLER);
    open_world();
    answer_by_hand();
    begin();
    pass(4900000);
    CU_ASSERT_EQUAL(n_raw_opened, 1);
    say(CONNECT, &there, 1);
    pass(100000 + 2600000);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 1);
    CU_ASSERT(nodes[CALLED].node->punching.first->punch.hole.rtt_us <= 5000000);
    world_close();
}

static void an_answer_before_the_question_is_a_round_trip_of_nothing(void)
{
    struct pg_endpoint there = outside(CALLER);
    open_world();
    answer_by_hand();
    relay_way_us = 0;
    begin();
    pass(1);
    say(CONNECT, &there, 1);
    pass(2000);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 1);
    pass(50000);
    CU_ASSERT(nodes[CALLED].n_again <= 2); /* it makes no storm of SYNs */
    world_close();
}

/* Others. */

static void nobody_makes_us_flood_a_third(void)
{
    struct pg_endpoint ports[8];
    open_world();
    uint64_t began = now_us;
    for (unsigned i = 0; i < 8; i++) {
        ports[i] = victim;
        ports[i].port = (uint16_t)(80 + i);
    }
    for (unsigned i = 0; i < 400; i++) {
        if (ask()) {
            say(CONNECT, ports, 8);
            pass(2 * RELAY_US);
            say(SYNC, NULL, 0);
            pass(RELAY_US);
            if (raw_stream)
                pg_stream_reset(raw_stream);
        }
        pass(RELAY_US);
    }
    uint64_t seconds = (now_us - began) / 1000000 + 1;
    unsigned n = nodes[CALLER].n_dials + nodes[CALLER].n_again;
    CU_ASSERT(seconds >= 30);
    CU_ASSERT(n >= 8);
    CU_ASSERT(n <= 8 * 4 + 4 * seconds); /* --max-punch-dial-rate, eight times as many at once */
    CU_ASSERT_EQUAL(nodes[CALLER].n_elsewhere, n);
    CU_ASSERT(nodes[CALLER].node->metrics.value[pg_limit_infos[PG_LIMIT_PUNCH_DIAL_RATE].metric] > 0);
    world_close();
}

static void a_peer_asks_no_more_often_than_it_may(void)
{
    open_world();
    unsigned taken = 0;
    for (unsigned i = 0; i < 100; i++) {
        reset_counts();
        CU_ASSERT_FATAL(ask());
        say(CONNECT, &victim, 1);
        pass(2 * RELAY_US + 10000);
        taken += raw_got > 0;
        if (raw_stream)
            pg_stream_reset(raw_stream);
    }
    CU_ASSERT(taken >= 8 && taken <= 8 + 6); /* in five seconds */
    CU_ASSERT(nodes[CALLER].node->metrics.value[pg_limit_infos[PG_LIMIT_PUNCH_RATE].metric] > 50);
    CU_ASSERT_PTR_NOT_NULL(relayed(CALLER));
    world_close();
}

int main(void)
{
    static const struct sentence all[] = {
        {"only public addresses of the peer are dialled", only_public_addresses_of_the_peer_are_dialled},
        {"of many addresses eight are dialled", of_many_addresses_eight_are_dialled},
        {"a thousand addresses are too long a message", a_thousand_addresses_are_too_long_a_message},
        {"no usable address ends it cleanly", no_usable_address_ends_it_cleanly},
        {"without the word nobody dials", without_the_word_nobody_dials},
        {"the word before the addresses is nonsense", the_word_before_the_addresses_is_nonsense},
        {"the word twice is one attempt", the_word_twice_is_one_attempt},
        {"nonsense ends the stream and nothing else", nonsense_ends_the_stream_and_nothing_else},
        {"whoever has called does not ask", whoever_has_called_does_not_ask},
        {"on a direct connection nobody is asked", on_a_direct_connection_nobody_is_asked},
        {"a peer that never answers is asked three times", a_peer_that_never_answers_is_asked_three_times},
        {"a late answer delays by no more than half of what is waited", a_late_answer_delays_by_no_more_than_half_of_what_is_waited},
        {"an answer before the question is a round trip of nothing", an_answer_before_the_question_is_a_round_trip_of_nothing},
        {"nobody makes us flood a third", nobody_makes_us_flood_a_third},
        {"a peer asks no more often than it may", a_peer_asks_no_more_often_than_it_may},
    };
    return RUN_SUITE("hostile punching", all);
}
