/* The relay's side of circuits on a simulated network: reservations, circuits and their bytes, and every status. Run by ctest.
 * Serves spec/machine/hop_serve.sm, stop_connect.sm and flow.sm; libp2p/specs relay/circuit-v2.md. */
#include "relay_world.h"

enum { OK = PG_PB_CIRCUIT_STATUS_OK };
static struct peer *const alice = &peers[1], *const bob = &peers[2], *const carol = &peers[3];

static void open_three(void)
{
    world_open(4);
    world_start();
}

static void close_clean(void)
{
    check_nothing_left();
    world_close();
}

static bool same(const struct end *from, const struct end *to)
{
    return from->sent == to->got && from->sent_sum == to->sum;
}

/* Reservations. */

static void a_reservation_tells_our_addresses_its_end_and_a_voucher(void)
{
    struct end e;
    struct pg_pb_hop_message m;
    struct pg_multiaddr addr, want = relay->config.listens[0];
    uint64_t until;
    open_three();
    want = relay->config.listens[0];
    CU_ASSERT(pg_multiaddr_append_p2p(&want, pg_identity_peer_id(relay->identity)));
    uint64_t now_s = (relay->config.unix_offset_us + pg_sim_now(sim)) / SECONDS;
    ask_reserve(&e, alice);
    pass(SECONDS);
    CU_ASSERT_FATAL(take_answer(&e, &m) > 0);
    CU_ASSERT_EQUAL((int)m.status, OK);
    CU_ASSERT_EQUAL_FATAL(m.reservation.n_addrs, 1);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, m.reservation.addrs[0]), PG_OK);
    CU_ASSERT(pg_multiaddr_equal(&addr, &want));
    CU_ASSERT(m.reservation.expire >= now_s + 3599 && m.reservation.expire <= now_s + 3602);
    CU_ASSERT_EQUAL(pg_voucher_open(m.reservation.voucher, pg_identity_peer_id(relay->identity), pg_identity_peer_id(alice->identity),
                                    now_s, &until), PG_OK);
    CU_ASSERT_EQUAL(until, m.reservation.expire);
    CU_ASSERT(m.has_limit && m.limit.duration == 3600 && !m.limit.has_data);
    CU_ASSERT_EQUAL(e.n_ended, 1);
    CU_ASSERT_EQUAL(relay->n_logged[PG_LOG_RELAY_REQUESTED], 1);
    end_finish(&e);
    close_clean();
}

static void a_reservation_ends_with_its_time_or_its_connection_and_nobody_is_woken_for_it(void)
{
    struct end e;
    world_open(4);
    relay->config.limits.value[PG_LIMIT_RELAY_LEASE] = 60000;
    world_start();
    CU_ASSERT_EQUAL(reserved(alice), OK);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    pass(40 * SECONDS);
    CU_ASSERT_EQUAL(reserved(bob), OK); /* renewed */
    pass(25 * SECONDS);
    CU_ASSERT_EQUAL(connected(&e, carol, alice), PG_PB_CIRCUIT_STATUS_NO_RESERVATION);
    end_finish(&e);
    CU_ASSERT_EQUAL(connected(&e, carol, bob), OK);
    end_reset(&e);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS_RENEWED), 1);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    pass(SECONDS);
    kill_peer(bob, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 0);
    CU_ASSERT_EQUAL(connected(&e, carol, bob), PG_PB_CIRCUIT_STATUS_NO_RESERVATION);
    end_finish(&e);
    close_clean();
}

/* Circuits. */

static void a_circuit_carries_bytes_both_ways_and_each_way_ends_on_its_own(void)
{
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    for (unsigned first = 0; first < 2; first++) {
        struct end source, *target = join(&source, alice, bob);
        struct end *ends[] = {&source, target};
        CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS), 1);
        end_send(&source, 3000000);
        end_send(target, 2000000);
        pass(20 * SECONDS);
        CU_ASSERT(same(&source, target) && source.sent == 3000000);
        CU_ASSERT(same(target, &source) && target->sent == 2000000);
        end_finish(ends[first]);
        pass(SECONDS);
        CU_ASSERT(ends[!first]->n_ended == 1 && ends[first]->n_ended == 0);
        end_send(ends[!first], 1000000); /* the other way is as open as before */
        pass(10 * SECONDS);
        CU_ASSERT(same(ends[!first], ends[first]));
        end_finish(ends[!first]);
        pass(SECONDS);
        CU_ASSERT(source.n_closed == 1 && source.why == PG_OK && target->n_closed == 1 && target->why == PG_OK);
        CU_ASSERT_EQUAL(relay->n_logged[PG_LOG_CIRCUIT_CLOSED], first + 1);
    }
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_BYTES), 2 * 6000000);
    close_clean();
}

/* Proposals and questions travel together, on both streams. */
static void a_circuit_is_open_after_one_round_trip_through_the_relay(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    for (unsigned i = 1; i <= 2; i++) {
        struct pg_sim_path *path = pg_sim_path(sim, relay->host, peers[i].host);
        path->latency_us = 100000;
        path->jitter_us = 0;
    }
    uint64_t begun = pg_sim_now(sim);
    ask_connect(&source, alice, id_of(bob));
    while (status_of(&source) != OK && pg_sim_now(sim) < begun + 10 * SECONDS)
        pass(SECONDS / 100);
    CU_ASSERT(pg_sim_now(sim) - begun >= 400000 && pg_sim_now(sim) - begun <= 450000); /* four ways of 100 ms */
    end_reset(&source);
    close_clean();
}

static void both_ends_are_told_who_is_there_and_what_a_circuit_may_carry(void)
{
    struct end source;
    struct pg_pb_hop_message answer;
    struct pg_pb_stop_message question;
    world_open(3);
    relay->config.limits.value[PG_LIMIT_RELAY_DURATION] = 120000;
    relay->config.limits.value[PG_LIMIT_RELAY_BYTES] = 1 << 17;
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(connected(&source, alice, bob), OK);
    CU_ASSERT(take_answer(&source, &answer) && answer.limit.duration == 120 && answer.limit.data == 1 << 17 && !answer.has_reservation);
    struct end *target = last_stop(bob);
    struct pg_cursor c = pg_cursor(pg_bytes(target->in, (size_t)target->got));
    CU_ASSERT_EQUAL(pg_pb_stop_message_read(&question, pg_take_bytes(&c, pg_take_uvarint(&c))), PG_OK);
    CU_ASSERT(question.has_type && question.type == PG_PB_STOP_MESSAGE_TYPE_CONNECT && question.peer.n_addrs == 0);
    CU_ASSERT(pg_bytes_equal(question.peer.id, id_of(alice)) && question.limit.duration == 120 && question.limit.data == 1 << 17);
    end_reset(&source);
    close_clean();
}

static void without_limits_none_are_told(void)
{
    struct end source;
    struct pg_pb_hop_message answer;
    world_open(3);
    relay->config.limits.value[PG_LIMIT_RELAY_DURATION] = 0;
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(connected(&source, alice, bob), OK);
    CU_ASSERT(take_answer(&source, &answer) && !answer.has_limit);
    pass(2 * 3600 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(source.stream);
    end_reset(&source);
    close_clean();
}

static void bytes_that_come_with_the_answer_or_before_it_are_passed_on(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = ACCEPTS_AND_TALKS;
    ask_connect(&source, alice, id_of(bob));
    end_send(&source, 50000);
    end_finish(&source);
    pass(SECONDS);
    struct pg_pb_hop_message m;
    struct end *target = last_stop(bob);
    size_t n = take_answer(&source, &m);
    CU_ASSERT(n > 0 && (int)m.status == OK && source.got == n + 1000 && source.in[n] == byte_at(0) && source.in[n + 999] == byte_at(999));
    CU_ASSERT_EQUAL(target->n_ended, 1);
    struct pg_cursor c = pg_cursor(pg_bytes(target->in, sizeof target->in));
    struct pg_bytes question = pg_take_bytes(&c, pg_take_uvarint(&c));
    n = (size_t)(question.at - target->in) + question.len;
    CU_ASSERT(target->got == n + 50000 && target->in[n] == byte_at(0) && target->in[n + 5000] == byte_at(5000));
    end_finish(target);
    close_clean();
}

static void who_does_not_read_holds_up_its_own_circuit_and_no_other(void)
{
    struct end slow, quick;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *deaf = join(&slow, alice, bob);
    deaf->hoards = true;
    end_send(&slow, 5000000);
    pass(20 * SECONDS);
    CU_ASSERT(slow.to_send > 0);
    CU_ASSERT(deaf->got <= PG_YAMUX_WINDOW_FIRST);
    CU_ASSERT(relay->node->chunks.used * PG_CHUNK_ROOM < 2 * PG_YAMUX_WINDOW_FIRST); /* a window of the source's is held, no more */
    struct end *other = join(&quick, alice, bob);
    end_send(&quick, 3000000);
    end_send(deaf, 3000000); /* and the way back is free */
    pass(20 * SECONDS);
    CU_ASSERT(same(&quick, other) && quick.sent == 3000000);
    CU_ASSERT(same(deaf, &slow) && deaf->sent == 3000000);
    end_finish(&slow);
    CU_ASSERT_EQUAL(deaf->n_ended, 0);
    end_read_on(deaf);
    pass(30 * SECONDS);
    CU_ASSERT_EQUAL(slow.to_send, 4999999 - slow.sent + 1); /* what was not written before the end is not there */
    CU_ASSERT(same(&slow, deaf) && deaf->n_ended == 1);
    end_finish(deaf);
    end_reset(&quick);
    close_clean();
}

static void an_end_waits_behind_the_bytes_that_are_held(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *target = join(&source, alice, bob);
    target->hoards = true;
    end_send(&source, 350000);
    pass(10 * SECONDS);
    CU_ASSERT_EQUAL_FATAL(source.to_send, 0);
    end_finish(&source);
    pass(10 * SECONDS);
    CU_ASSERT(target->n_ended == 0 && target->got < 350000);
    end_read_on(target);
    pass(10 * SECONDS);
    CU_ASSERT(target->n_ended == 1 && same(&source, target));
    end_finish(target);
    close_clean();
}

static void a_reset_or_a_loss_on_one_side_resets_the_other(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *target = join(&source, alice, bob);
    end_reset(&source);
    pass(SECONDS);
    CU_ASSERT(target->n_closed == 1 && target->why == PG_ERR_STREAM_RESET);
    target = join(&source, alice, bob);
    end_reset(target);
    pass(SECONDS);
    CU_ASSERT(source.n_closed == 1 && source.why == PG_ERR_STREAM_RESET);
    target = join(&source, alice, bob);
    end_send(&source, 5000000);
    pass(SECONDS / 20);
    kill_peer(alice, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT(target->n_closed == 1 && target->why == PG_ERR_STREAM_RESET);
    target = join(&source, carol, bob);
    kill_peer(bob, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT(source.n_closed == 1 && source.why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 0);
    close_clean();
}

/* Both its ends are said, and what it has sent is still on its way. */
static void a_circuit_outlives_the_connection_of_its_source_and_knows_whose_it_was(void)
{
    struct end source;
    char alice_text[PG_PEER_ID_TEXT];
    world_open(5);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *target = join(&source, alice, bob);
    target->hoards = true;
    end_send(&source, 300000);
    pass(SECONDS);
    end_finish(&source);
    end_finish(target);
    pass(SECONDS);
    CU_ASSERT(source.n_closed == 1 && source.why == PG_OK && target->n_ended == 0);
    kill_peer(carol, PG_SIM_KILLED);
    pass(SECONDS);
    kill_peer(alice, PG_SIM_KILLED);
    pass(SECONDS);
    start(carol); /* where alice was */
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS), 1);
    relay->wants = PG_LOG_CIRCUIT_CLOSED;
    end_read_on(target);
    pass(5 * SECONDS);
    CU_ASSERT(target->got == 300000 && target->n_closed == 1 && target->why == PG_OK);
    pg_peer_id_text(pg_identity_peer_id(alice->identity), alice_text);
    CU_ASSERT_PTR_NOT_NULL(strstr(relay->last, alice_text));
    close_clean();
}

/* The relay has no memory for what comes, and soon has some again. */
static void send_without_memory(struct end *source)
{
    static void *taken[4096];
    unsigned n = 0;
    while (n < 4096 && (taken[n] = pg_pool_take(&relay->node->chunks)))
        n++;
    end_send(source, 1000);
    pass(SECONDS / 10);
    while (n > 0)
        pg_pool_give(&relay->node->chunks, taken[--n]);
}

/* One that is full takes the circuits to it along, while one of their bytes is being passed on. */
static void what_comes_for_a_connection_that_memory_ends_is_held_by_nobody(void)
{
    struct end held[3], source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    pass(10 * SECONDS);
    uint32_t before = relay->node->chunks.used;
    for (unsigned i = 0; i < 3; i++) {
        join(&held[i], carol, bob)->hoards = true;
        end_send(&held[i], 400000);
    }
    join(&source, alice, bob);
    CU_ASSERT(relay->node->relaying.circuits && relay->node->chunks.used > before);
    send_without_memory(&source);
    pass(10 * SECONDS);
    CU_ASSERT_EQUAL(relay->node->chunks.used, before);
    close_clean();
}

static void bytes_for_which_there_is_no_memory_before_the_target_has_agreed_end_the_attempt(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = SAYS_NOTHING;
    ask_connect(&source, alice, id_of(bob));
    pass(SECONDS);
    send_without_memory(&source);
    pass(SECONDS);
    CU_ASSERT(source.n_closed == 1 && last_stop(bob)->n_closed == 1 && metric(PG_METRIC_RELAY_CIRCUITS_PENDING) == 0);
    close_clean();
}

static void a_source_that_gives_up_while_the_target_is_asked_is_forgotten(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = SAYS_NOTHING;
    ask_connect(&source, alice, id_of(bob));
    pass(SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS_PENDING), 1);
    end_reset(&source);
    pass(SECONDS);
    CU_ASSERT(last_stop(bob)->n_closed == 1);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS_PENDING), 0);
    close_clean();
}

static void a_relay_that_is_stopped_takes_nothing_new_and_ends_its_circuits(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    (void)join(&source, alice, bob);
    pg_sim_signal(relay->process);
    pass(SECONDS);
    CU_ASSERT_EQUAL(source.n_closed, 1);
    CU_ASSERT_FALSE(pg_sim_is_running(relay->process));
    CU_ASSERT_EQUAL(last_stop(bob)->n_closed, 1);
    world_close();
}

/* Every status. */

static int raw_status(struct pg_bytes text)
{
    struct end e;
    end_open(&e, alice);
    end_say(&e, text);
    pass(SECONDS);
    int status = status_of(&e);
    CU_ASSERT_EQUAL(e.n_ended, 1);
    end_reset(&e);
    return status;
}

static void nonsense_is_answered_as_malformed_or_unexpected(void)
{
    open_three();
    int malformed = PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE;
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x05hello")), malformed);
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x02\x08\x01")), malformed);                      /* CONNECT to nobody */
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x06\x08\x01\x12\x02\x0a\x00")), malformed);      /* no id */
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x08\x08\x01\x12\x04\x0a\x02\xff\xff")), malformed);
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x02\x08\x07")), malformed);                      /* a type that there is not */
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\xff\xff\x7f")), malformed);                      /* too long */
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), malformed);
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x04\x08\x02\x28\x64")), PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x05\x08\x02\x28\xcc\x01")), PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_MALFORMED), 9);
    CU_ASSERT_EQUAL(raw_status(PG_LIT("\x00")), OK); /* all defaults: writers of proto3 leave RESERVE out */
    close_clean();
}

static void a_request_may_come_byte_by_byte_but_has_ten_seconds(void)
{
    struct end e;
    open_three();
    uint8_t text[64];
    struct pg_writer w = pg_writer(text, sizeof text);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    pg_pb_hop_message_write_framed(&(struct pg_pb_hop_message){.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_CONNECT,
                                                               .has_peer = true, .peer = {.has_id = true, .id = id_of(bob)}}, &w);
    end_open(&e, alice);
    for (size_t i = 0; i < w.len; i++) {
        end_say(&e, pg_bytes(text + i, 1));
        pass(SECONDS / 10);
    }
    pass(SECONDS);
    CU_ASSERT_EQUAL(status_of(&e), OK);
    end_reset(&e);
    end_open(&e, alice);
    end_say(&e, pg_bytes(text, w.len - 1));
    pass(9 * SECONDS);
    CU_ASSERT_EQUAL(e.n_closed, 0);
    pass(2 * SECONDS);
    CU_ASSERT(e.n_closed == 1 && e.why == PG_ERR_STREAM_RESET && e.got == 0);
    end_open(&e, alice);
    end_finish(&e);
    pass(SECONDS);
    CU_ASSERT(e.n_closed == 1 && e.got == 0);
    close_clean();
}

static void who_cannot_be_reached_is_told_as_such(void)
{
    static const struct {
        enum manner manner;
        unsigned seconds;
    } cases[] = {{REFUSES, 1}, {SAYS_NONSENSE, 1}, {SAYS_CONNECT, 1}, {ENDS, 1}, {RESETS, 1}, {SAYS_NOTHING, 11}};
    struct end e;
    world_open(5);
    peers[4].mute = true;
    world_start();
    CU_ASSERT_EQUAL(connected(&e, alice, bob), PG_PB_CIRCUIT_STATUS_NO_RESERVATION);
    end_finish(&e);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bob->manner = cases[i].manner;
        ask_connect(&e, alice, id_of(bob));
        pass(cases[i].seconds * SECONDS);
        CU_ASSERT_EQUAL(status_of(&e), PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED);
        CU_ASSERT_EQUAL(e.n_ended, 1);
        end_finish(&e);
        if (bob->manner != RESETS && bob->manner != ENDS)
            CU_ASSERT_EQUAL(last_stop(bob)->n_closed, 1);
        if (bob->manner == ENDS)
            end_reset(last_stop(bob));
    }
    CU_ASSERT_EQUAL(reserved(&peers[4]), OK); /* it does not speak stop */
    CU_ASSERT_EQUAL(connected(&e, alice, &peers[4]), PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED);
    end_finish(&e);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CONNECT_ERROR), 7);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CONNECT_REJECTED), 1);
    bob->manner = ACCEPTS;
    CU_ASSERT_EQUAL(connected(&e, alice, bob), OK);
    end_reset(&e);
    close_clean();
}

/* Its machine has lost power, or its router has forgotten it: the relay does not know yet, and asks on a connection that is dead. */
static void move_and_reserve(struct peer *p)
{
    kill_peer(p, PG_SIM_POWER_LOST);
    p->host += n_peers; /* a machine that does not answer for what the last one had */
    start(p);
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL(reserved(p), OK);
}

static void who_reserves_on_a_new_connection_while_it_is_asked_on_a_dead_one_is_asked_anew(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    kill_peer(bob, PG_SIM_POWER_LOST);
    ask_connect(&source, alice, id_of(bob));
    pass(SECONDS);
    CU_ASSERT_EQUAL(status_of(&source), -1);
    move_and_reserve(bob);
    CU_ASSERT_EQUAL(status_of(&source), OK);
    CU_ASSERT_EQUAL_FATAL(bob->n_stops, 1);
    struct end *target = last_stop(bob);
    target->got = target->sum = 0;
    end_send(&source, 100000);
    pass(SECONDS);
    CU_ASSERT(target->got == 100000 && same(&source, target));
    end_reset(&source);
    close_clean();
}

static void a_target_that_moves_again_and_again_has_ten_seconds_as_any_other(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = SAYS_NOTHING;
    ask_connect(&source, alice, id_of(bob));
    for (unsigned i = 0; i < 3; i++) {
        move_and_reserve(bob);
        CU_ASSERT_EQUAL(bob->n_stops, 1);
        CU_ASSERT_EQUAL(status_of(&source), -1);
    }
    pass(SECONDS + SECONDS / 2);
    CU_ASSERT_EQUAL(status_of(&source), PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED);
    CU_ASSERT_EQUAL(last_stop(bob)->n_closed, 1);
    end_finish(&source);
    close_clean();
}

static const struct pg_session *seat_of(const struct peer *p)
{
    const struct pg_slot *slot = pg_slot_of(relay->node, pg_identity_peer_id(p->identity));
    return slot ? slot->session : NULL;
}

/* A router with another address, a box between that has forgotten: nothing of this machine has changed, and nobody says a word. What it
 * asks each relay of its own every 15 s anyhow tells it, and the relay hears of the new way at once. */
static void whose_way_to_its_relay_dies_without_a_word_reserves_anew_before_its_keep_alive_ends(void)
{
    struct end source;
    world_open(3);
    bob->config.nat_status = -1;
    world_start();
    pass(7 * SECONDS);
    const struct pg_session *before = seat_of(bob);
    CU_ASSERT_PTR_NOT_NULL_FATAL(before);
    uint64_t begun = pg_sim_now(sim);
    CU_ASSERT(pg_sim_break(sim, relay->host, bob->host, PG_SIM_BREAK_SILENT) > 0);
    pass(SECONDS / 10);
    ask_connect(&source, alice, id_of(bob));
    while (seat_of(bob) == before && pg_sim_now(sim) < begun + 60 * SECONDS)
        pass(SECONDS / 10);
    CU_ASSERT(pg_sim_now(sim) - begun < 18 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(seat_of(bob));
    pass(SECONDS);
    end_reset(&source);
    CU_ASSERT_EQUAL(connected(&source, alice, bob), OK);
    end_reset(&source);
    check_nothing_left();
    world_close();
}

/* The relay has lost power, and is back before its peer has noticed: what is connected by then is another connection, on which nobody has
 * reserved. */
static void who_is_connected_anew_to_a_relay_that_has_forgotten_it_reserves_anew(void)
{
    struct pg_endpoint at;
    world_open(3);
    at = pg_sim_endpoint(bob->host, PORT);
    bob->config.nat_status = -1;
    pg_multiaddr_from_tcp(&bob->config.listens[bob->config.n_listens++], &at);
    world_start();
    pass(7 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(seat_of(bob));
    CU_ASSERT(pg_sim_break(sim, relay->host, bob->host, PG_SIM_BREAK_SILENT) > 0);
    kill_peer(relay, PG_SIM_POWER_LOST);
    configure_bootstrap(&relay->config, &at, pg_identity_peer_id(bob->identity));
    start(relay);
    pass(60 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(seat_of(bob));
    world_close();
}

static void set_clock(struct peer *p, uint64_t unix_s)
{
    p->core.input(p->core.self, &(struct pg_input){.kind = PG_INPUT_CLOCK, .number = (uint32_t)unix_s}, pg_sim_now(sim));
    poke(p);
}

/* A relay that has slept for a night, or was started before anybody told its machine what time it is. */
static void leases_follow_the_machines_clock_when_it_is_set(void)
{
    world_open(3);
    bob->config.nat_status = -1;
    relay->config.unix_offset_us -= 8 * 3600 * SECONDS;
    world_start();
    pass(7 * SECONDS);
    CU_ASSERT_FALSE(pg_reservation_held(bob->node, pg_identity_peer_id(relay->identity)));
    uint64_t unix_s = (bob->config.unix_offset_us + pg_sim_now(sim)) / SECONDS;
    set_clock(relay, unix_s);
    pass(60 * SECONDS);
    CU_ASSERT(pg_reservation_held(bob->node, pg_identity_peer_id(relay->identity)));
    uint64_t renewed = metric(PG_METRIC_RELAY_RESERVATIONS_RENEWED);
    set_clock(bob, unix_s + 600); /* its lease is ten minutes shorter than it has counted */
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS_RENEWED), renewed + 1);
    CU_ASSERT(pg_reservation_held(bob->node, pg_identity_peer_id(relay->identity)));
    world_close();
}

/* Whoever asks anew while an answer is on its way asks once, and leaves no stream behind. */
static void a_reservation_that_is_asked_for_anew_in_mid_request_is_one_request(void)
{
    world_open(3);
    bob->config.nat_status = -1;
    world_start();
    pass(7 * SECONDS);
    uint64_t unix_s = (bob->config.unix_offset_us + pg_sim_now(sim)) / SECONDS;
    uint32_t streams = session_of(bob)->conn->yamux.outbound;
    for (unsigned i = 1; i <= 5; i++)
        set_clock(bob, unix_s + 60 * i);
    pass(5 * SECONDS);
    CU_ASSERT(pg_reservation_held(bob->node, pg_identity_peer_id(relay->identity)));
    CU_ASSERT_PTR_NOT_NULL(seat_of(bob));
    CU_ASSERT_EQUAL(session_of(bob)->conn->yamux.outbound, streams);
    world_close();
}

static unsigned n_lists;
uint32_t __real_pg_node_addrs(const struct pg_node *, struct pg_multiaddr[PG_NODE_ADDRS]);
uint32_t __wrap_pg_node_addrs(const struct pg_node *, struct pg_multiaddr[PG_NODE_ADDRS]);

/* The linker leads the core's calls here. */
uint32_t __wrap_pg_node_addrs(const struct pg_node *n, struct pg_multiaddr out[PG_NODE_ADDRS])
{
    n_lists += n == relay->node;
    return __real_pg_node_addrs(n, out);
}

static void a_request_makes_the_relay_look_at_its_own_addresses_once(void)
{
    struct end source;
    open_three();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(relay->node->control.nat.in.ctl.state, PG_NAT_UNKNOWN);
    n_lists = 0;
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(n_lists, 1);
    n_lists = 0;
    CU_ASSERT_EQUAL(connected(&source, alice, bob), OK);
    CU_ASSERT_EQUAL(n_lists, 1);
    end_reset(&source);
    close_clean();
}

/* Row 34: nobody needs a circuit to itself or to the relay. */
static void a_circuit_to_itself_or_to_the_relay_is_denied(void)
{
    struct end e;
    open_three();
    CU_ASSERT_EQUAL(reserved(alice), OK);
    CU_ASSERT_EQUAL(connected(&e, alice, alice), PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED);
    end_finish(&e);
    CU_ASSERT_EQUAL(connected(&e, alice, relay), PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED);
    end_finish(&e);
    CU_ASSERT_EQUAL(alice->n_stops, 0);
    close_clean();
}

static void a_relay_that_does_not_know_where_it_is_reached_says_so_and_grants_nothing(void)
{
    struct end e;
    world_open(3);
    struct pg_endpoint local = pg_sim_loopback(PORT);
    world_start();
    relay->node->n_addrs = 0; /* as behind a NAT whose address nobody has said */
    pg_multiaddr_from_tcp(&relay->node->addrs[relay->node->n_addrs++], &local);
    relay->node->control.nat.in.ctl.state = PG_NAT_PUBLIC; /* as its user says; else it would not offer what it cannot give */
    CU_ASSERT_EQUAL(reserved(alice), PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED);
    CU_ASSERT_EQUAL(relay->n_logged[PG_LOG_RELAY_UNREACHABLE], 1);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 0);
    CU_ASSERT_EQUAL(connected(&e, bob, alice), PG_PB_CIRCUIT_STATUS_NO_RESERVATION);
    end_finish(&e);
    close_clean();
}

static void hop_is_offered_to_those_who_can_reach_us_unless_the_mode_says_otherwise(void)
{
    struct pg_session *s;
    open_three();
    s = relay->node->sessions;
    CU_ASSERT(pg_node_offers(s, &pg_hop_handler)); /* 10.0.0.0/8, as the relay's own address */
    s->conn->remote.ip[0] = 1;
    CU_ASSERT_FALSE(pg_node_offers(s, &pg_hop_handler)); /* from there it cannot be reached, as far as anybody knows */
    relay->node->control.nat.in.ctl.state = PG_NAT_PUBLIC;
    CU_ASSERT(pg_node_offers(s, &pg_hop_handler));
    relay->node->config.relay_mode = PG_RELAY_MODE_OFF;
    CU_ASSERT_FALSE(pg_node_offers(s, &pg_hop_handler));
    relay->node->control.nat.in.ctl.state = PG_NAT_PRIVATE;
    relay->node->config.relay_mode = PG_RELAY_MODE_AUTO;
    s->conn->remote.ip[0] = 10;
    CU_ASSERT_FALSE(pg_node_offers(s, &pg_hop_handler)); /* whoever is in its network is behind the same router */
    relay->node->config.relay_mode = PG_RELAY_MODE_ON;
    CU_ASSERT(pg_node_offers(s, &pg_hop_handler));
    close_clean();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"a reservation tells our addresses, its end and a voucher", a_reservation_tells_our_addresses_its_end_and_a_voucher},
        {"a reservation ends with its time or its connection, and nobody is woken for it",
         a_reservation_ends_with_its_time_or_its_connection_and_nobody_is_woken_for_it},
        {"a circuit carries bytes both ways, and each way ends on its own", a_circuit_carries_bytes_both_ways_and_each_way_ends_on_its_own},
        {"a circuit is open after one round trip through the relay", a_circuit_is_open_after_one_round_trip_through_the_relay},
        {"both ends are told who is there, and what a circuit may carry",
         both_ends_are_told_who_is_there_and_what_a_circuit_may_carry},
        {"without limits none are told", without_limits_none_are_told},
        {"bytes that come with the answer, or before it, are passed on", bytes_that_come_with_the_answer_or_before_it_are_passed_on},
        {"who does not read holds up its own circuit and no other", who_does_not_read_holds_up_its_own_circuit_and_no_other},
        {"an end waits behind the bytes that are held", an_end_waits_behind_the_bytes_that_are_held},
        {"a reset or a loss on one side resets the other", a_reset_or_a_loss_on_one_side_resets_the_other},
        {"a circuit outlives the connection of its source, and knows whose it was",
         a_circuit_outlives_the_connection_of_its_source_and_knows_whose_it_was},
        {"what comes for a connection that memory ends is held by nobody", what_comes_for_a_connection_that_memory_ends_is_held_by_nobody},
        {"bytes for which there is no memory before the target has agreed end the attempt",
         bytes_for_which_there_is_no_memory_before_the_target_has_agreed_end_the_attempt},
        {"a source that gives up while the target is asked is forgotten", a_source_that_gives_up_while_the_target_is_asked_is_forgotten},
        {"a relay that is stopped takes nothing new and ends its circuits", a_relay_that_is_stopped_takes_nothing_new_and_ends_its_circuits},
        {"nonsense is answered as malformed or unexpected", nonsense_is_answered_as_malformed_or_unexpected},
        {"a request may come byte by byte, but has ten seconds", a_request_may_come_byte_by_byte_but_has_ten_seconds},
        {"who cannot be reached is told as such", who_cannot_be_reached_is_told_as_such},
        {"who reserves on a new connection while it is asked on a dead one is asked anew",
         who_reserves_on_a_new_connection_while_it_is_asked_on_a_dead_one_is_asked_anew},
        {"a target that moves again and again has ten seconds, as any other", a_target_that_moves_again_and_again_has_ten_seconds_as_any_other},
        {"whose way to its relay dies without a word reserves anew before its keep-alive ends",
         whose_way_to_its_relay_dies_without_a_word_reserves_anew_before_its_keep_alive_ends},
        {"who is connected anew to a relay that has forgotten it reserves anew",
         who_is_connected_anew_to_a_relay_that_has_forgotten_it_reserves_anew},
        {"leases follow the machine's clock when it is set", leases_follow_the_machines_clock_when_it_is_set},
        {"a reservation that is asked for anew in mid-request is one request", a_reservation_that_is_asked_for_anew_in_mid_request_is_one_request},
        {"a request makes the relay look at its own addresses once", a_request_makes_the_relay_look_at_its_own_addresses_once},
        {"a circuit to itself or to the relay is denied", a_circuit_to_itself_or_to_the_relay_is_denied},
        {"a relay that does not know where it is reached says so and grants nothing",
         a_relay_that_does_not_know_where_it_is_reached_says_so_and_grants_nothing},
        {"hop is offered to those who can reach us unless the mode says otherwise",
         hop_is_offered_to_those_who_can_reach_us_unless_the_mode_says_otherwise},
    };
    if (argc > 1 && strcmp(argv[1], "--tell") == 0)
        tell_fd = 2;
    return RUN_SUITE("the relay's side of circuits", sentences);
}
