/* Those who take more of a relay than they may: each limit, what is left to others, and what comes back when they are gone.
 * Run by ctest. Serves hostile rows 33, 35, 36 and 82 and spec/limits.list. */
#include "relay_world.h"

enum { OK = PG_PB_CIRCUIT_STATUS_OK, FULL = PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED, NO = PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED };
static struct peer *const alice = &peers[1], *const bob = &peers[2], *const carol = &peers[3];

static void close_clean(void)
{
    check_nothing_left();
    world_close();
}

static void set(enum pg_limit limit, uint64_t value)
{
    relay->config.limits.value[limit] = value;
}

/* Rows 33 and 133. */
static void relay_limits_are_enforced(void)
{
    struct end e[8];
    world_open(7);
    peers[4].host = peers[5].host = alice->host; /* three behind one address */
    set(PG_LIMIT_RELAY_RESERVATIONS, 3);
    set(PG_LIMIT_RELAY_RESERVATIONS_ADDRESS, 2);
    set(PG_LIMIT_RELAY_CIRCUITS, 4);
    set(PG_LIMIT_RELAY_CIRCUITS_PEER, 2);
    world_start();
    CU_ASSERT_EQUAL(reserved(alice), OK);
    CU_ASSERT_EQUAL(reserved(alice), OK); /* one for each peer, however often it asks */
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    CU_ASSERT_EQUAL(reserved(&peers[4]), OK);
    CU_ASSERT_EQUAL(reserved(&peers[5]), NO);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_RESERVATIONS_ADDRESS), 1);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(reserved(carol), NO);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_RESERVATIONS), 1);
    kill_peer(&peers[4], PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(reserved(&peers[5]), OK); /* its place is another's */
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVE_REJECTED), 2);

    CU_ASSERT_EQUAL(connected(&e[0], carol, bob), OK);
    CU_ASSERT_EQUAL(connected(&e[1], carol, bob), OK);
    CU_ASSERT_EQUAL(connected(&e[2], carol, alice), FULL); /* the source has two */
    CU_ASSERT_EQUAL(connected(&e[3], &peers[6], bob), FULL); /* so has the target */
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_CIRCUITS_PEER), 2);
    CU_ASSERT_EQUAL(connected(&e[4], &peers[6], alice), OK);
    CU_ASSERT_EQUAL(connected(&e[5], bob, &peers[5]), OK); /* who is a target may be a source */
    CU_ASSERT_EQUAL(connected(&e[6], alice, &peers[5]), FULL);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_CIRCUITS), 1);
    CU_ASSERT(relay->n_logged[PG_LOG_LIMIT_REACHED] >= 4);
    end_reset(&e[0]);
    pass(SECONDS);
    CU_ASSERT_EQUAL(connected(&e[6], alice, &peers[5]), OK);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS), 4);
    for (unsigned i = 1; i < 7; i++)
        end_reset(&e[i]);
    close_clean();
}

/* Row 133: what waits for its target is counted, and given back when it fails. */
static void relay_limit_recovers_after_failed_dial(void)
{
    struct end e[3];
    world_open(4);
    set(PG_LIMIT_RELAY_CIRCUITS_PEER, 1);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = SAYS_NOTHING;
    ask_connect(&e[0], alice, id_of(bob));
    pass(SECONDS);
    CU_ASSERT_EQUAL(connected(&e[1], carol, bob), FULL);
    end_finish(&e[1]);
    pass(10 * SECONDS);
    CU_ASSERT_EQUAL(status_of(&e[0]), PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED);
    end_finish(&e[0]);
    bob->manner = REFUSES;
    CU_ASSERT_EQUAL(connected(&e[0], alice, bob), PG_PB_CIRCUIT_STATUS_CONNECTION_FAILED);
    end_finish(&e[0]);
    bob->manner = ACCEPTS;
    CU_ASSERT_EQUAL(connected(&e[0], alice, bob), OK);
    CU_ASSERT_EQUAL(connected(&e[1], carol, bob), FULL);
    end_finish(&e[1]);
    end_reset(&e[0]);
    pass(SECONDS);
    CU_ASSERT_EQUAL(connected(&e[2], carol, bob), OK);
    end_reset(&e[2]);
    close_clean();
}

/* Row 35. */
static void a_circuit_that_carries_more_than_it_may_is_reset_at_both_ends(void)
{
    struct end source;
    world_open(4);
    set(PG_LIMIT_RELAY_BYTES, 100000);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    for (unsigned way = 0; way < 2; way++) {
        struct end *target = join(&source, alice, bob), *from = way ? target : &source, *to = way ? &source : target;
        end_send(&source, 99999);
        end_send(target, 99999); /* each direction for itself */
        end_send(from, 1);
        pass(5 * SECONDS);
        CU_ASSERT(to->got == 100000 && from->got == 99999 && source.n_closed == 0);
        relay->wants = PG_LOG_CIRCUIT_CUT;
        end_send(from, 1);
        pass(5 * SECONDS);
        CU_ASSERT(source.n_closed == 1 && source.why == PG_ERR_STREAM_RESET && target->n_closed == 1 && target->why == PG_ERR_STREAM_RESET);
        CU_ASSERT_EQUAL(to->got, 100000);
        CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_BYTES), way + 1);
        CU_ASSERT_PTR_NOT_NULL(strstr(relay->last, "limit=relay_bytes most=100000 option=--relay-bytes"));
    }
    CU_ASSERT_EQUAL(reserved(bob), OK); /* the connections are as they were */
    close_clean();
}

static void a_circuit_that_lasts_longer_than_it_may_is_reset_at_both_ends(void)
{
    struct end source;
    world_open(4);
    set(PG_LIMIT_RELAY_DURATION, 20000);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *target = join(&source, alice, bob);
    relay->wants = PG_LOG_CIRCUIT_CUT;
    end_send(&source, 1000);
    pass(18 * SECONDS);
    CU_ASSERT(source.n_closed == 0 && target->got == 1000);
    pass(3 * SECONDS);
    CU_ASSERT(source.n_closed == 1 && source.why == PG_ERR_STREAM_RESET && target->n_closed == 1 && target->why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_DURATION), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(relay->last, "limit=relay_duration"));
    CU_ASSERT_PTR_NOT_NULL(strstr(relay->last, "bytes_to_dst=1000 bytes_to_src=0"));
    close_clean();
}

/* Row 36. */
static void who_opens_circuits_all_the_time_is_held_to_a_rate_and_others_to_the_same_target_too(void)
{
    static struct end e[600];
    unsigned n[2] = {0, 0};
    world_open(8);
    set(PG_LIMIT_RELAY_CIRCUITS_PEER, 100000);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(reserved(carol), OK);
    for (unsigned i = 0; i < 200; i++) /* within a moment */
        ask_connect(&e[i], alice, id_of(bob));
    pass(SECONDS);
    for (unsigned i = 0; i < 200; i++) {
        n[0] += status_of(&e[i]) == OK;
        n[1] += status_of(&e[i]) == FULL;
    }
    CU_ASSERT(n[0] >= 64 && n[0] <= 66 && n[0] + n[1] == 200);
    CU_ASSERT_EQUAL(bob->n_stops, n[0]);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_CIRCUIT_RATE), n[1]);
    CU_ASSERT(relay->n_logged[PG_LOG_LIMIT_REACHED] <= 3); /* told once a second */
    struct end other;
    CU_ASSERT(connected(&other, alice, carol) == OK); /* the second has paid for eight */
    end_reset(&other);
    pass(10 * SECONDS);
    for (unsigned i = 0; i < 80; i++)
        for (unsigned k = 0; k < 5; k++)
            ask_connect(&e[200 + 5 * i + k], k ? &peers[3 + k] : alice, id_of(bob));
    pass(SECONDS);
    n[0] = 0;
    for (unsigned i = 200; i < 600; i++)
        n[0] += status_of(&e[i]) == OK;
    CU_ASSERT(n[0] >= 256 && n[0] <= 290); /* for five together, each of whom might have had 64 */
    CU_ASSERT_EQUAL(connected(&other, &peers[4], carol), OK);
    end_reset(&other);
    kill_peer(alice, PG_SIM_KILLED);
    for (unsigned i = 4; i < 8; i++)
        kill_peer(&peers[i], PG_SIM_KILLED);
    close_clean();
}

static void who_wants_all_the_circuits_to_a_peer_gets_a_quarter(void)
{
    struct end e[5], other[4];
    world_open(5);
    set(PG_LIMIT_RELAY_CIRCUITS_PEER, 16);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    bob->manner = SAYS_NOTHING;
    for (unsigned i = 0; i < 5; i++)
        ask_connect(&e[i], alice, id_of(bob));
    pass(SECONDS);
    CU_ASSERT(e[3].got == 0 && status_of(&e[4]) == FULL);
    bob->manner = ACCEPTS;
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(connected(&other[i], carol, bob), OK);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_CIRCUITS_PEER), 1);
    for (unsigned i = 0; i < 4; i++) {
        end_reset(&other[i]);
        end_reset(&e[i]);
    }
    end_finish(&e[4]);
    close_clean();
}

static void who_asks_for_reservations_all_the_time_is_held_to_a_rate(void)
{
    static struct end e[100];
    unsigned n = 0;
    world_open(4);
    world_start();
    for (unsigned i = 0; i < 100; i++)
        ask_reserve(&e[i], alice);
    pass(SECONDS);
    for (unsigned i = 0; i < 100; i++) {
        n += status_of(&e[i]) == OK;
        end_reset(&e[i]);
    }
    CU_ASSERT(n >= 64 && n <= 66);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_RESERVE_RATE), 100 - n);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    close_clean();
}

/* Row 82. */
static void who_comes_again_and_again_has_one_reservation_on_its_newest_connection(void)
{
    struct end e;
    world_open(4);
    world_start();
    for (unsigned i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(reserved(bob), OK);
        CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
        kill_peer(bob, i % 2 ? PG_SIM_KILLED : PG_SIM_POWER_LOST); /* of every second one the relay does not hear that it is dead */
        start(bob);
        pass(SECONDS);
        CU_ASSERT_PTR_NOT_NULL_FATAL(session_of(bob));
    }
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    CU_ASSERT_EQUAL(connected(&e, alice, bob), OK); /* not by one of the dead */
    CU_ASSERT_EQUAL(last_stop(bob)->n_closed, 0);
    pass(60 * SECONDS); /* the dead ones are found out */
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    CU_ASSERT_EQUAL(e.n_closed, 0);
    end_reset(&e);
    close_clean();
}

static void a_reservation_stands_on_the_newest_connection_and_goes_over_to_one_that_is_left(void)
{
    struct end e;
    struct peer *again = &peers[4];
    uint8_t secret[32] = {3, 0x52};
    world_open(5);
    pg_identity_free(again->identity); /* bob at another place */
    CU_ASSERT_EQUAL_FATAL(pg_identity_from_secret(&again->identity, PG_KEY_ED25519, secret), PG_OK);
    again->config.identity = again->identity;
    CU_ASSERT_FATAL(pg_bytes_equal(id_of(again), id_of(bob)));
    world_start();
    CU_ASSERT_EQUAL(reserved(again), OK);
    CU_ASSERT_EQUAL(connected(&e, alice, bob), OK);
    CU_ASSERT(again->n_stops == 1 && bob->n_stops == 0);
    end_reset(&e);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(connected(&e, alice, bob), OK);
    CU_ASSERT(again->n_stops == 1 && bob->n_stops == 1);
    end_reset(&e);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    kill_peer(bob, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1);
    CU_ASSERT_EQUAL(connected(&e, alice, bob), OK);
    CU_ASSERT_EQUAL(again->n_stops, 2);
    end_reset(&e);
    kill_peer(again, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 0);
    close_clean();
}

static void a_reservation_that_moves_counts_where_it_comes(void)
{
    struct end e;
    struct peer *again = &peers[4];
    uint8_t secret[32] = {3, 0x52};
    world_open(5);
    set(PG_LIMIT_RELAY_RESERVATIONS_ADDRESS, 1);
    pg_identity_free(again->identity); /* bob, at alice's address */
    CU_ASSERT_EQUAL_FATAL(pg_identity_from_secret(&again->identity, PG_KEY_ED25519, secret), PG_OK);
    again->config.identity = again->identity;
    again->host = alice->host;
    world_start();
    CU_ASSERT_EQUAL(reserved(alice), OK);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    CU_ASSERT_EQUAL(reserved(again), NO);
    CU_ASSERT_EQUAL(refused(PG_LIMIT_RELAY_RESERVATIONS_ADDRESS), 1);
    CU_ASSERT_EQUAL(reserved(bob), OK); /* as before */
    kill_peer(bob, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_RESERVATIONS), 1); /* it has no place to go over to */
    CU_ASSERT_EQUAL(connected(&e, carol, bob), PG_PB_CIRCUIT_STATUS_NO_RESERVATION);
    end_finish(&e);
    CU_ASSERT_EQUAL(reserved(alice), OK);
    close_clean();
}

static void hop_streams_on_which_nothing_is_said_are_few_and_end(void)
{
    static struct end e[40];
    unsigned n = 0;
    world_open(4);
    world_start();
    for (unsigned i = 0; i < 40; i++)
        end_open(&e[i], alice);
    pass(SECONDS);
    for (unsigned i = 0; i < 40; i++)
        n += e[i].n_closed;
    CU_ASSERT_EQUAL(n, 40 - PG_FIXED_HOP_ASKED_CONN);
    CU_ASSERT_EQUAL(relay->node->relaying.asked, PG_FIXED_HOP_ASKED_CONN);
    CU_ASSERT_EQUAL(reserved(bob), OK);
    pass(11 * SECONDS);
    for (unsigned i = 0; i < 40; i++)
        CU_ASSERT_EQUAL(e[i].n_closed, 1);
    CU_ASSERT_EQUAL(reserved(alice), OK);
    close_clean();
}

static void hop_streams_on_which_nothing_is_said_keep_nobody_out(void)
{
    static struct end e[22 * PG_FIXED_HOP_ASKED_CONN];
    struct end good;
    unsigned n = 0;
    world_open(24);
    world_start();
    for (unsigned i = 0; i < 22 * PG_FIXED_HOP_ASKED_CONN; i++) /* by twenty-two peers */
        end_open(&e[i], &peers[2 + i / PG_FIXED_HOP_ASKED_CONN]);
    pass(SECONDS);
    CU_ASSERT_EQUAL(relay->node->relaying.asked, PG_FIXED_HOP_ASKED);
    for (unsigned i = 0; i < 22 * PG_FIXED_HOP_ASKED_CONN; i++)
        n += e[i].n_closed;
    CU_ASSERT_EQUAL(n, 22 * PG_FIXED_HOP_ASKED_CONN - PG_FIXED_HOP_ASKED);
    CU_ASSERT_EQUAL(reserved(alice), OK);
    end_open(&good, alice); /* slow, but alone on its connection */
    for (unsigned i = 0; i < PG_FIXED_HOP_ASKED_CONN; i++) {
        if (e[i].n_closed > 0)
            end_open(&e[i], bob);
        pass(SECONDS / 10);
    }
    CU_ASSERT_EQUAL(good.n_closed, 0);
    pass(12 * SECONDS);
    CU_ASSERT_EQUAL(relay->node->relaying.asked, 0);
    CU_ASSERT_EQUAL(relay->node->relaying.hops.used, 0);
    close_clean();
}

/* Twice as many circuits as there is memory for their windows, and nobody reads on them. */
static void while_memory_is_short_circuits_that_nobody_reads_give_way(void)
{
    static struct end e[100];
    struct end good, late;
    unsigned n_reset = 0;
    world_open(5);
    set(PG_LIMIT_MEMORY, (uint64_t)8 << 20);
    set(PG_LIMIT_RELAY_CIRCUITS_PEER, 1000);
    world_start();
    CU_ASSERT_EQUAL(reserved(bob), OK);
    struct end *reader = join(&good, carol, bob);
    relay->wants = PG_LOG_CIRCUIT_CUT;
    for (unsigned i = 0; i < 100; i++) {
        if (connected(&e[i], alice, bob) == OK)
            last_stop(bob)->hoards = true;
        end_send(&e[i], 10000000);
        end_send(&good, 10000);
        pass(SECONDS / 10);
    }
    for (unsigned i = 0; i < 100; i++)
        n_reset += e[i].n_closed;
    CU_ASSERT(n_reset > 30 && n_reset == relay->n_logged[PG_LOG_CIRCUIT_CUT]);
    CU_ASSERT(refused(PG_LIMIT_MEMORY) >= n_reset);
    CU_ASSERT_PTR_NOT_NULL(strstr(relay->last, "limit=memory"));
    CU_ASSERT(good.n_closed == 0 && reader->got == 1000000 && reader->sum == good.sent_sum); /* who reads is not touched */
    CU_ASSERT(session_of(alice) && session_of(bob));
    CU_ASSERT_EQUAL(reserved(&peers[4]), OK);
    CU_ASSERT_EQUAL(connected(&late, carol, &peers[4]), OK);
    end_reset(&late);
    end_reset(&good);
    kill_peer(alice, PG_SIM_KILLED);
    close_clean();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"relay_limits_are_enforced", relay_limits_are_enforced},
        {"relay_limit_recovers_after_failed_dial", relay_limit_recovers_after_failed_dial},
        {"a circuit that carries more than it may is reset at both ends", a_circuit_that_carries_more_than_it_may_is_reset_at_both_ends},
        {"a circuit that lasts longer than it may is reset at both ends", a_circuit_that_lasts_longer_than_it_may_is_reset_at_both_ends},
        {"who opens circuits all the time is held to a rate, and others to the same target too",
         who_opens_circuits_all_the_time_is_held_to_a_rate_and_others_to_the_same_target_too},
        {"who wants all the circuits to a peer gets a quarter", who_wants_all_the_circuits_to_a_peer_gets_a_quarter},
        {"who asks for reservations all the time is held to a rate", who_asks_for_reservations_all_the_time_is_held_to_a_rate},
        {"who comes again and again has one reservation, on its newest connection",
         who_comes_again_and_again_has_one_reservation_on_its_newest_connection},
        {"a reservation stands on the newest connection, and goes over to one that is left",
         a_reservation_stands_on_the_newest_connection_and_goes_over_to_one_that_is_left},
        {"a reservation that moves counts where it comes", a_reservation_that_moves_counts_where_it_comes},
        {"hop streams on which nothing is said are few, and end", hop_streams_on_which_nothing_is_said_are_few_and_end},
        {"hop streams on which nothing is said keep nobody out", hop_streams_on_which_nothing_is_said_keep_nobody_out},
        {"while memory is short, circuits that nobody reads give way", while_memory_is_short_circuits_that_nobody_reads_give_way},
    };
    if (argc > 1 && strcmp(argv[1], "--tell") == 0)
        tell_fd = 2;
    return RUN_SUITE("relays and those who take more than they may", sentences);
}
