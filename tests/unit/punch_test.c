/* Punching between two cores: whose dials meet, who is client, what is repeated, how a round ends, and what a hostile peer can do
 * with it. Run by ctest; two real cores in the world of punch_world.h.
 * Serves libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "punch_world.h"

static struct pg_puncher *puncher(unsigned i)
{
    struct pg_puncher *p = nodes[i].node->punching.first;
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    return p;
}

static unsigned state_of(unsigned i)
{
    return i == CALLED ? puncher(i)->punch.in.ctl.state : puncher(i)->serve.in.ctl.state;
}

static void check_direct(unsigned i, bool dialer, bool client)
{
    struct pg_session *s = nodes[i].direct;
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(s->conn->dialer, dialer);
    CU_ASSERT_EQUAL(s->conn->client, client);
    CU_ASSERT(pg_peer_id_equal(&s->conn->peer, id_of(!i)));
    if (!nodes[i].node->punching.first && !relayed(i))
        return; /* with the relayed one gone nothing is left to be done */
    CU_ASSERT_EQUAL(state_of(i), i == CALLED ? (unsigned)PG_PUNCH_DIRECT : (unsigned)PG_PUNCH_SERVE_DIRECT);
}

static void check_reason(const char *words)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(puncher(CALLED)->punch.reason, words));
    if (!strstr(puncher(CALLED)->punch.reason, words))
        printf("[%s] ", puncher(CALLED)->punch.reason);
}

/* Who meets whom. */

static void dials_that_meet_are_one_connection_whose_client_was_asked(void)
{
    world_with(STRICT, STRICT);
    begin();
    pass(1000000);
    check_direct(CALLER, true, true);
    check_direct(CALLED, true, false);
    for (unsigned i = 0; i < NODES; i++) {
        CU_ASSERT_EQUAL(nodes[i].n_direct, 1);
        CU_ASSERT_EQUAL(nodes[i].n_dials, 1);
        CU_ASSERT_EQUAL(nodes[i].n_again, 0);
    }
    world_close();
}

static void both_dial_at_the_same_moment(void)
{
    static const uint64_t ways_us[] = {2000, 20000, 20500, 150000};
    for (unsigned k = 0; k < sizeof ways_us / sizeof *ways_us; k++) {
        world_with(STRICT, STRICT);
        relay_way_us = ways_us[k];
        begin();
        pass(4 * ways_us[k] + 1000000);
        uint64_t a = nodes[CALLER].dialled_us, b = nodes[CALLED].dialled_us;
        CU_ASSERT_PTR_NOT_NULL(nodes[CALLER].direct);
        CU_ASSERT(a > 0 && b > 0 && (a > b ? a - b : b - a) <= 1000); /* timers have milliseconds */
        world_close();
    }
}

static void a_relayed_connection_is_followed_by_a_direct_one_by_itself(void)
{
    path = PG_PATH_AUTO;
    world_with(STRICT, STRICT);
    path = PG_PATH_RELAY;
    pass(1500000);
    check_direct(CALLER, true, true);
    check_direct(CALLED, true, false);
    CU_ASSERT_EQUAL(nodes[CALLER].n_succeeded, 1);
    CU_ASSERT_EQUAL(nodes[CALLED].n_succeeded, 1);
    world_close();
}

static void a_syn_that_comes_too_early_is_sent_again(void)
{
    world_with(OPEN, STRICT);
    nodes[CALLER].symmetric = true; /* so nothing can be met: its SYN has to pass a NAT that has not been opened yet */
    nodes[CALLED].nat = SHUT;
    begin();
    pass(80000); /* its first SYN has come and gone by now */
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 1);
    nodes[CALLED].nat = OPEN;
    pass(500000);
    CU_ASSERT(nodes[CALLER].n_again >= 1);
    check_direct(CALLER, true, true);
    check_direct(CALLED, false, false);
    world_close();
}

static void an_unanswered_dial_is_repeated_twice(void)
{
    world_with(SHUT, SHUT);
    begin();
    pass(4 * RELAY_US + 3900000);
    for (unsigned i = 0; i < NODES; i++) {
        CU_ASSERT_EQUAL(nodes[i].n_dials, 1);
        CU_ASSERT_EQUAL(nodes[i].n_again, 2);
    }
    world_close();
}

static void a_reset_costs_a_dial_and_not_the_punch(void)
{
    world_with(STRICT, RESETS);
    begin();
    pass(4 * RELAY_US + 30000);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 1);
    CU_ASSERT_PTR_NULL(nodes[CALLER].direct);
    nodes[CALLED].nat = STRICT;
    pass(500000);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 2);
    check_direct(CALLER, true, true);
    world_close();
}

static void an_icmp_error_costs_a_dial_and_not_the_punch(void)
{
    world_with(STRICT, ERRORS);
    begin();
    pass(4 * RELAY_US + 30000);
    CU_ASSERT_PTR_NULL(nodes[CALLER].direct);
    nodes[CALLED].nat = STRICT;
    pass(500000);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 2);
    check_direct(CALLER, true, true);
    world_close();
}

static unsigned directs(unsigned i)
{
    unsigned n = 0;
    for (struct pg_session *s = nodes[i].node->sessions; s; s = s->next)
        n += s->up && !pg_session_is_relayed(s);
    return n;
}

static void dials_that_pass_each_other_are_two_connections_that_both_serve(void)
{
    world_with(OPEN, OPEN);
    crossing = true;
    begin();
    pass(1000000);
    crossing = false;
    CU_ASSERT(directs(CALLER) >= 1);
    CU_ASSERT_EQUAL(directs(CALLER), directs(CALLED));
    CU_ASSERT_EQUAL(nodes[CALLER].n_direct, nodes[CALLED].n_direct);
    CU_ASSERT_EQUAL(state_of(CALLER), PG_PUNCH_SERVE_DIRECT);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_DIRECT);
    pass(60000000);
    CU_ASSERT_EQUAL(directs(CALLER), 1); /* the one that both sides take stays */
    CU_ASSERT_EQUAL(directs(CALLED), 1);
    world_close();
}

/* The dial has been repeated by then, so the answer is one to nobody, and what it was to become is reset. */
static void an_answer_that_comes_late_costs_a_dial_and_not_the_punch(void)
{
    for (unsigned symmetric = 0; symmetric < 2; symmetric++) {
        world_with(symmetric ? OPEN : SHUT, symmetric ? SHUT : STRICT);
        nodes[CALLED].symmetric = symmetric;
        late_us = 150000;
        begin();
        pass(75000);
        nodes[CALLER].nat = symmetric ? OPEN : STRICT; /* where dials meet, the other one's first is lost: it would do for both */
        pass(3000000);
        CU_ASSERT_EQUAL(late_us, 0);
        CU_ASSERT(nodes[CALLER].n_again + nodes[CALLED].n_again >= 1);
        for (unsigned i = 0; i < NODES; i++) {
            CU_ASSERT_PTR_NOT_NULL_FATAL(nodes[i].direct);
            CU_ASSERT_EQUAL(directs(i), 1);
        }
        CU_ASSERT_NOT_EQUAL(nodes[CALLER].direct->conn->client, nodes[CALLED].direct->conn->client);
        CU_ASSERT_EQUAL(puncher(CALLED)->punch.in.ctl.state, PG_PUNCH_DIRECT);
        CU_ASSERT_EQUAL(nodes[CALLED].node->punching.first->punch.hole.attempt, 1);
        world_close();
    }
}

/* How a round ends. */

static void a_round_has_three_tries(void)
{
    world_with(SHUT, SHUT);
    begin();
    pass(12500000);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_MEETING);
    pass(500000);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_SPENT);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 3);
    CU_ASSERT_EQUAL(nodes[CALLER].n_dials, 3);
    check_reason("no connection came about");
    pass(1500000);
    CU_ASSERT_EQUAL(state_of(CALLER), PG_PUNCH_SERVE_IDLE); /* so it has told, and does not wait for a fourth */
    pass(60000000);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 3);
    world_close();
}

static void a_direct_connection_that_is_silent_is_none(void)
{
    world_with(STRICT, STRICT);
    begin();
    pass(1000000);
    check_direct(CALLED, true, false);
    nodes[CALLED].direct->suspect = nodes[CALLER].direct->suspect = true; /* as pulse.c says */
    begin();
    pass(2000000);
    CU_ASSERT_EQUAL(nodes[CALLED].n_direct, 2);
    CU_ASSERT_EQUAL(nodes[CALLER].n_direct, 2);
    CU_ASSERT_EQUAL(directs(CALLED), 1); /* it held the pair of ports that had to be dialled */
    CU_ASSERT_EQUAL(directs(CALLER), 1);
    world_close();
}

static void several_wishes_are_one_round(void)
{
    world_with(SHUT, SHUT);
    for (unsigned k = 0; k < 5; k++) {
        begin();
        pass(1000000);
    }
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 2);
    world_close();
}

static void other_addresses_of_ours_begin_another_round(void)
{
    world_with(SHUT, SHUT);
    begin();
    pass(15000000);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 3);
    forget(CALLED, 2);
    observe(CALLED, (struct pg_endpoint){.family = 4, .ip = {192, 31, 196, 77}, .port = 5000}, 3);
    nodes[CALLED].nat = nodes[CALLER].nat = STRICT;
    pass(1000000);
    check_direct(CALLED, true, false);
    world_close();
}

static void without_an_address_there_is_nothing_to_try(void)
{
    world_open();
    observe(CALLER, outside(CALLER), 1);
    call();
    begin();
    pass(1000000);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_SPENT);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials + nodes[CALLER].n_dials, 0);
    observe(CALLED, outside(CALLED), 2);
    pass(1000000);
    check_direct(CALLED, true, false);
    world_close();
}

static void a_peer_without_an_address_says_so(void)
{
    world_open();
    observe(CALLED, outside(CALLED), 2);
    call();
    begin();
    pass(10000000);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_SPENT);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials + nodes[CALLER].n_dials, 0);
    check_reason("the peer offered none");
    world_close();
}

static void a_try_without_dials_changes_no_roles(void)
{
    world_open();
    observe(CALLED, outside(CALLED), 2);
    call();
    begin();
    pass(500000);
    CU_ASSERT_EQUAL(state_of(CALLED), PG_PUNCH_PAUSING);
    observe(CALLER, outside(CALLER), 2);
    pass(2000000);
    check_direct(CALLER, true, true);
    check_direct(CALLED, true, false);
    world_close();
}

static void it_goes_on_without_the_relay_once_the_word_is_out(void)
{
    world_with(STRICT, STRICT);
    begin();
    pass(3 * RELAY_US); /* SYNC has left */
    pg_session_drop(relayed(CALLED), PG_ERR_CLOSED);
    pass(2000000);
    check_direct(CALLED, true, false);
    check_direct(CALLER, true, true);
    world_close();
}

static void who_has_a_direct_connection_and_no_relayed_one_takes_nobodys_place(void)
{
    path = PG_PATH_AUTO;
    world_with(STRICT, STRICT);
    path = PG_PATH_RELAY;
    pass(1500000);
    check_direct(CALLED, true, false);
    CU_ASSERT_PTR_NOT_NULL(puncher(CALLED));
    pass(10000000); /* the relayed one is closed after five seconds */
    for (unsigned i = 0; i < NODES; i++)
        CU_ASSERT_PTR_NULL(nodes[i].node->punching.first);
    check_direct(CALLED, true, false);
    world_close();
}

static void a_lost_relay_ends_a_round(void)
{
    world_with(SHUT, SHUT);
    begin();
    pass(RELAY_US / 2);
    pg_session_drop(relayed(CALLED), PG_ERR_CLOSED);
    pass(20000000);
    for (unsigned i = 0; i < NODES; i++)
        CU_ASSERT_PTR_NULL(nodes[i].node->punching.first);
    world_close();
}

/* Roles. */

static void who_is_seen_at_two_ports_is_client_at_once(void)
{
    world_with(OPEN, SHUT);
    nodes[CALLED].symmetric = true;
    struct pg_endpoint other = outside(CALLED);
    other.port++;
    observe(CALLED, other, 9);
    CU_ASSERT_EQUAL_FATAL(pg_observed_mapping(nodes[CALLED].node), PG_MAPPING_DEPENDENT);
    begin();
    pass(1000000);
    check_direct(CALLED, true, true);
    check_direct(CALLER, false, false);
    world_close();
}

static void of_two_servers_the_one_that_was_dialled_becomes_the_client(void)
{
    world_with(OPEN, SHUT);
    nodes[CALLED].symmetric = true; /* and does not know it */
    begin();
    pass(1000000);
    check_direct(CALLED, true, false);
    check_direct(CALLER, false, true);
    CU_ASSERT_EQUAL(puncher(CALLED)->punch.hole.n_targets, 1);
    world_close();
}

static void of_two_servers_one_becomes_the_client_however_long_the_way(void)
{
    static const uint64_t ways_us[] = {1000, 50000, 110000, 200000, 450000, 900000};
    for (unsigned k = 0; k < sizeof ways_us / sizeof *ways_us; k++) {
        world_with(OPEN, SHUT);
        nodes[CALLED].symmetric = true;
        relay_way_us = way_us = ways_us[k];
        begin();
        pass(20 * ways_us[k] + 3000000);
        check_direct(CALLED, true, false);
        check_direct(CALLER, false, true);
        CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 1);
        world_close();
    }
}

static void a_client_whose_first_words_are_lost_stays_the_client(void)
{
    world_with(OPEN, SHUT);
    nodes[CALLED].symmetric = true;
    struct pg_endpoint other = outside(CALLED);
    other.port++;
    observe(CALLED, other, 9);
    relay_way_us = 200000;
    way_us = 100000;
    lost_us = 400000;
    begin();
    pass(4000000);
    check_direct(CALLED, true, true);
    check_direct(CALLER, false, false);
    CU_ASSERT_EQUAL(nodes[CALLED].n_dials, 1);
    world_close();
}

/* The other side is one that waits for ever, as a listener of another library does. */
static void of_two_servers_the_one_that_has_dialled_becomes_the_client_later(void)
{
    world_with(OPEN, SHUT);
    nodes[CALLED].symmetric = true;
    begin();
    pass(4 * RELAY_US + 2 * WAY_US + 1000);
    struct pg_session *s = nodes[CALLER].node->pending;
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    pg_punch_role_end(s);
    pass(900000);
    CU_ASSERT_PTR_NULL(nodes[CALLED].direct);
    pass(1000000);
    check_direct(CALLED, true, true);
    check_direct(CALLER, false, false);
    world_close();
}

static void of_two_who_ask_each_other_one_gives_way(void)
{
    world_with(STRICT, STRICT);
    /* The called one has called as well. */
    struct pg_contact *c = pg_node_contact(nodes[CALLED].node, id_of(CALLER));
    struct pg_endpoint relay = {.family = 4, .ip = {192, 52, 193, 1}, .port = 1};
    struct pg_multiaddr addr;
    enum pg_limit limit;
    pg_multiaddr_from_tcp(&addr, &relay);
    c->pending++;
    CU_ASSERT_PTR_NOT_NULL_FATAL(pg_session_dial(nodes[CALLED].node, c, &addr, &limit));
    pass(500000);
    unsigned n = 0;
    for (unsigned i = 0; i < NODES; i++)
        for (struct pg_session *s = nodes[i].node->sessions, *next; s; s = next) {
            next = s->next;
            n += !s->conn->dialer;
            if (s->conn->dialer)
                continue;
            input(i, (struct pg_input){.kind = PG_INPUT_TICK});
            pg_punch_begin(s);
        }
    CU_ASSERT_EQUAL_FATAL(n, 2);
    pass(3000000);
    for (unsigned i = 0; i < NODES; i++) {
        CU_ASSERT_EQUAL(nodes[i].n_direct, 1);
        CU_ASSERT_EQUAL(puncher(i)->punch.in.ctl.state, PG_PUNCH_DIRECT);
        CU_ASSERT_EQUAL(puncher(i)->serve.in.ctl.state, PG_PUNCH_SERVE_DIRECT);
    }
    CU_ASSERT(nodes[0].direct->conn->client != nodes[1].direct->conn->client);
    world_close();
}

int main(void)
{
    static const struct sentence all[] = {
        {"dials that meet are one connection, whose client is who was asked", dials_that_meet_are_one_connection_whose_client_was_asked},
        {"both dial at the same moment", both_dial_at_the_same_moment},
        {"a relayed connection is followed by a direct one by itself", a_relayed_connection_is_followed_by_a_direct_one_by_itself},
        {"a SYN that comes too early is sent again", a_syn_that_comes_too_early_is_sent_again},
        {"an unanswered dial is repeated twice", an_unanswered_dial_is_repeated_twice},
        {"a reset costs a dial and not the punch", a_reset_costs_a_dial_and_not_the_punch},
        {"an ICMP error costs a dial and not the punch", an_icmp_error_costs_a_dial_and_not_the_punch},
        {"an answer that comes late costs a dial and not the punch", an_answer_that_comes_late_costs_a_dial_and_not_the_punch},
        {"dials that pass each other are two connections that both serve", dials_that_pass_each_other_are_two_connections_that_both_serve},
        {"a round has three tries", a_round_has_three_tries},
        {"a direct connection that is silent is none", a_direct_connection_that_is_silent_is_none},
        {"several wishes are one round", several_wishes_are_one_round},
        {"other addresses of ours begin another round", other_addresses_of_ours_begin_another_round},
        {"without an address there is nothing to try", without_an_address_there_is_nothing_to_try},
        {"a peer without an address says so", a_peer_without_an_address_says_so},
        {"it goes on without the relay once the word is out", it_goes_on_without_the_relay_once_the_word_is_out},
        {"who has a direct connection and no relayed one takes nobodys place",
         who_has_a_direct_connection_and_no_relayed_one_takes_nobodys_place},
        {"a lost relay ends a round", a_lost_relay_ends_a_round},
        {"a try without dials changes no roles", a_try_without_dials_changes_no_roles},
        {"who is seen at two ports is client at once", who_is_seen_at_two_ports_is_client_at_once},
        {"of two servers the one that was dialled becomes the client", of_two_servers_the_one_that_was_dialled_becomes_the_client},
        {"of two servers one becomes the client, however long the way", of_two_servers_one_becomes_the_client_however_long_the_way},
        {"a client whose first words are lost stays the client", a_client_whose_first_words_are_lost_stays_the_client},
        {"of two servers the one that has dialled becomes the client later", of_two_servers_the_one_that_has_dialled_becomes_the_client_later},
        {"of two who ask each other one gives way", of_two_who_ask_each_other_one_gives_way},
    };
    return RUN_SUITE("punching", all);
}
