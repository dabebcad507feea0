/* Which relays a private peer asks, in which order, and when again: the relay machines on their real C, with the book of relays.
 * Run by ctest. Serves the promised rows 12, 110 and 112 and docs/decisions/0014-relays.md. */
#include "plane.h"

static const struct pg_relay_candidate *relay_known(uint8_t number)
{
    struct pg_peer_id id = peer(number);
    return pg_relay_book_find(&b->cp.relays_known, &id);
}

static uint8_t asked(unsigned slot)
{
    return b->cp.relays[slot].peer.len ? b->cp.relays[slot].peer.at[37] : 0;
}

static void a_refused_reservation_is_asked_again_with_growing_rests(void)
{
    in_phase(2, PG_SEED_NAT_PRIVATE);
    uint64_t waits[9];
    for (unsigned n = 0; n < 9; n++) {
        about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0);
        CU_ASSERT_TRUE(relay_is("Idle"));
        uint64_t start = b->scope.now_us;
        while (!relay_is("Requesting"))
            bench_wait(b, 100);
        waits[n] = (b->scope.now_us - start) / 1000;
    }
    CU_ASSERT_TRUE(waits[0] >= 4000 && waits[0] <= 5100);
    CU_ASSERT_TRUE(waits[1] >= 8000 && waits[1] <= 10100);
    CU_ASSERT_TRUE(waits[8] >= 240000 && waits[8] <= 300100);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
    CU_ASSERT_EQUAL(relay_known(1)->failures, 0);
    CU_ASSERT_EQUAL(relay_known(1)->failed, 9);
}

static void a_relay_that_was_away_for_long_is_asked_as_soon_as_it_is_connected_again(void)
{
    in_phase(2, PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    for (unsigned n = 0; n < 5; n++) {
        while (!relay_is("Requesting"))
            bench_wait(b, 1000);
        about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0); /* it cannot be reached */
    }
    CU_ASSERT_TRUE(relay_is("Idle"));
    relays(1);
    CU_ASSERT_TRUE(relay_is("Requesting"));
    about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0); /* it says no */
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    relays(1);
    CU_ASSERT_TRUE(relay_is("Idle"));
}

static void a_reservation_is_renewed_before_its_lease_ends(void)
{
    in_phase(2, PG_SEED_NAT_PRIVATE);
    struct pg_peer_id id = peer(1);
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_RELAY_RESERVATION_ACCEPTED, .peer = &id, .lease_ms = 60000});
    bench_wait(b, 45000);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_REQUEST_RELAY_RESERVATION), 1);
    CU_ASSERT_TRUE(relay_is("Reserved"));
    bench_wait(b, 30000); /* no answer: the reservation is given up and asked for afresh after a rest */
    CU_ASSERT_TRUE(relay_is("Idle"));
    bench_wait(b, 10000);
    CU_ASSERT_TRUE(relay_is("Requesting"));
}

static void another_relay_is_asked_at_once_after_a_refusal(void)
{
    fresh(true);
    bootstrap_connected(1), relays(1);
    bootstrap_connected(2), relays(2);
    nat(PG_SEED_NAT_PRIVATE);
    uint8_t first = asked(0);
    about(PG_SEED_RELAY_RESERVATION_FAILED, first, 0);
    CU_ASSERT_TRUE(relay_is("Requesting"));
    CU_ASSERT_TRUE(asked(0) && asked(0) != first);
}

static void the_nearest_relay_is_asked_first(void)
{
    fresh(true);
    bootstrap_connected(1);
    for (uint8_t n = 1; n <= 3; n++) {
        struct pg_peer_id id = peer(n);
        relays(n);
        pg_relay_book_find(&b->cp.relays_known, &id)->rtt_us = n == 1 ? 90000 : n == 2 ? 4000 : 0;
    }
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_EQUAL(asked(0), 2);
}

static void two(void)
{
    relays_wanted = 2;
    fresh(true);
    relays_wanted = 1;
    bootstrap_connected(1);
}

static void two_distinct_relays_are_held_and_a_third_takes_the_place_of_one_that_dies(void)
{
    two();
    relays(1), relays(2), relays(3);
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 2);
    uint8_t first = asked(0), second = asked(1);
    CU_ASSERT_TRUE(first && second && first != second);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, first, 0), about(PG_SEED_RELAY_RESERVATION_ACCEPTED, second, 0);
    about(PG_SEED_CONNECTION_LOST, first, 0);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_RELEASE_RELAY_RESERVATION), 1);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_REQUEST_RELAY_RESERVATION), 1);
    CU_ASSERT_TRUE(asked(0) != first && asked(0) != second && asked(1) == second);
    CU_ASSERT_TRUE(relay_is("Reserved"));
}

static void one_relay_is_not_taken_twice(void)
{
    two();
    relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    bench_wait(b, 20000);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 1);
    relays(2);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 2);
}

static void the_second_relay_stands_in_another_network_where_there_is_one(void)
{
    two();
    says(1, 1, "/ip4/8.8.2.1/tcp/1"), says(2, 1, "/ip4/8.8.2.1/tcp/2");
    says(3, 1, "/ip4/8.8.7.7/tcp/1"), says(4, 1, "/ip4/9.9.9.9/tcp/1"), says(5, 1, "/ip4/10.1.1.1/tcp/1");
    for (uint8_t n = 1; n <= 5; n++) {
        struct pg_peer_id id = peer(n);
        pg_relay_book_find(&b->cp.relays_known, &id)->rtt_us = n < 5 ? n * 10000u : 1;
    }
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_EQUAL(asked(0), 1);
    CU_ASSERT_EQUAL(asked(1), 4);
    about(PG_SEED_RELAY_RESERVATION_FAILED, 4, 0);
    CU_ASSERT_EQUAL(asked(1), 3); /* of the same network, but not the same address */
    about(PG_SEED_RELAY_RESERVATION_FAILED, 3, 0);
    CU_ASSERT_EQUAL(asked(1), 2);
    about(PG_SEED_RELAY_RESERVATION_FAILED, 2, 0);
    CU_ASSERT_EQUAL(asked(1), 5); /* however near, it is of our own network */
}

static void who_does_not_relay_is_never_asked(void)
{
    two();
    says(2, -1, "/ip4/192.0.2.2/tcp/1");
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 0);
    relays(2);
    CU_ASSERT_EQUAL(asked(0), 2);
    about(PG_SEED_RELAY_RESERVATION_FAILED, 2, 0);
    says(2, -1, "/ip4/192.0.2.2/tcp/1"); /* it has stopped: who rests for it alone rests no more */
    bench_wait(b, 1000000);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 1);
    CU_ASSERT_PTR_NULL(relay_known(2));
}

static void a_relay_that_was_lost_and_is_back_is_asked_at_once_but_not_for_ever(void)
{
    two();
    relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    CU_ASSERT_TRUE(relay_is("Idle"));
    bench_wait(b, 1000);
    relays(1);
    CU_ASSERT_TRUE(relay_is("Requesting"));
    about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0); /* before it has granted anything again */
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    bench_wait(b, 100);
    relays(1);
    CU_ASSERT_TRUE(relay_is("Idle"));
    bench_wait(b, 10000);
    CU_ASSERT_TRUE(relay_is("Requesting"));
}

static void a_relay_that_one_leaves_is_asked_by_the_other_in_its_time(void)
{
    two();
    relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
    about(PG_SEED_CONNECTION_LOST, 1, 0); /* both wait for it now */
    bench_wait(b, 6000);
    CU_ASSERT_EQUAL((asked(0) == 1) + (asked(1) == 1), 1);
    bench_wait(b, 600000);
    CU_ASSERT_TRUE(b->total[PG_DO_REQUEST_RELAY_RESERVATION] > 5); /* never answered, never given up */
}

/* The clock of the timers has gone on, as that of a stopped process does. */
static void after_eight_hours_of_sleep_each_reservation_is_renewed_once_and_lost_ones_are_made_again(void)
{
    two();
    relays(1), relays(2);
    nat(PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0), about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 2, 0);
    uint32_t before = b->total[PG_DO_REQUEST_RELAY_RESERVATION];
    b->scope.now_us += UINT64_C(8) * 3600 * 1000000;
    pg_timers_run(&b->scope);
    pg_control_plane_settle(&b->cp);
    bench_drain(b);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], before + 2);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0); /* one connection has outlived it, the other has not */
    about(PG_SEED_CONNECTION_LOST, 2, 0);
    CU_ASSERT_TRUE(relay_is("Reserved"));
    bench_wait(b, 15000); /* two steps of the back-off */
    CU_ASSERT_EQUAL((asked(0) == 2) + (asked(1) == 2), 1);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], before + 3);
}

static void without_relays_wanted_none_is_asked(void)
{
    relays_wanted = 0;
    fresh(true);
    relays_wanted = 1;
    relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    bench_wait(b, 1000000);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 0);
    CU_ASSERT_TRUE(relay_is("Idle"));
}

static void a_full_book_of_relays_keeps_those_that_matter(void)
{
    two();
    relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
    for (unsigned n = 2; n < 250; n++) {
        relays((uint8_t)n);
        about(PG_SEED_CONNECTION_LOST, (uint8_t)n, 0);
        bench_wait(b, 1);
    }
    CU_ASSERT_PTR_NOT_NULL(relay_known(1));
    CU_ASSERT_PTR_NOT_NULL(relay_known(249));
    CU_ASSERT_PTR_NULL(relay_known(100));
}

static void without_a_relay_client_nothing_is_asked(void)
{
    fresh(true);
    b->cp.can_reserve = false;
    bootstrap_connected(1), relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    bench_wait(b, 1000000);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 0);
}

int main(void)
{
    static const struct named_test tests[] = {
        TEST(a_refused_reservation_is_asked_again_with_growing_rests),
        TEST(a_relay_that_was_away_for_long_is_asked_as_soon_as_it_is_connected_again),
        TEST(a_reservation_is_renewed_before_its_lease_ends),
        TEST(another_relay_is_asked_at_once_after_a_refusal),
        TEST(the_nearest_relay_is_asked_first),
        TEST(two_distinct_relays_are_held_and_a_third_takes_the_place_of_one_that_dies),
        TEST(one_relay_is_not_taken_twice),
        TEST(the_second_relay_stands_in_another_network_where_there_is_one),
        TEST(who_does_not_relay_is_never_asked),
        TEST(a_relay_that_was_lost_and_is_back_is_asked_at_once_but_not_for_ever),
        TEST(a_relay_that_one_leaves_is_asked_by_the_other_in_its_time),
        TEST(after_eight_hours_of_sleep_each_reservation_is_renewed_once_and_lost_ones_are_made_again),
        TEST(without_relays_wanted_none_is_asked),
        TEST(a_full_book_of_relays_keeps_those_that_matter),
        TEST(without_a_relay_client_nothing_is_asked),
    };
    return RUN_TESTS("relays", tests);
}
