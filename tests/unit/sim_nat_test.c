/* Routers of the simulated world do what RFC 4787 and RFC 5382 say that routers do: else what is measured behind them means nothing.
 * Run by ctest. */
#include "crypto_suite.h"
#include "sim/sim.h"

#include <string.h>

#define SECONDS ((uint64_t)1000000)
enum { LEFT, RIGHT, SERVER, OTHER, PORT = 4001, WEB = 80 };

static const struct pg_sim_nat kinds[] = {
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_NOTHING, .keeps_ports = true}, /* full-cone */
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_ADDRESS, .keeps_ports = true}, /* address-restricted */
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_PORT, .keeps_ports = true},    /* port-restricted */
    {.maps = PG_SIM_BY_PORT, .filters = PG_SIM_BY_PORT},                            /* symmetric */
};
enum { FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC, KINDS, PUBLIC = KINDS };

static struct pg_sim *sim;

/* What has become of a socket. */
struct side {
    struct pg_sim_socket *socket, *accepted;
    unsigned n_up, n_lost, n_accepted;
    size_t got;
};
static struct side sides[8];
static unsigned n_sides;

static void on_news(void *context, struct pg_sim_socket *k, enum pg_sim_news what)
{
    struct side *side = context;
    uint8_t bytes[64];
    side->n_up += what == PG_SIM_CONNECTED;
    side->n_lost += what == PG_SIM_LOST;
    if (what == PG_SIM_READABLE)
        side->got += pg_sim_receive(k, bytes, sizeof bytes);
}

static void on_accepted(void *context, struct pg_sim_socket *fresh)
{
    static const struct pg_sim_user user = {.news = on_news};
    struct side *side = context;
    side->n_accepted++;
    side->accepted = fresh;
    pg_sim_use(fresh, &user, side);
}

static const struct pg_sim_user user = {.accepted = on_accepted, .news = on_news};

static void world(unsigned left, unsigned right)
{
    sim = pg_sim_new(1);
    pg_sim_wan(sim);
    n_sides = 0;
    memset(sides, 0, sizeof sides);
    for (unsigned a = 0; a < PG_SIM_HOSTS; a++)
        for (unsigned b = 0; b < a; b++)
            pg_sim_path(sim, a, b)->latency_us = 20000;
    if (left < KINDS)
        pg_sim_router(sim, LEFT, &kinds[left]);
    if (right < KINDS)
        pg_sim_router(sim, RIGHT, &kinds[right]);
}

static void pass(uint64_t us)
{
    CU_ASSERT_TRUE(pg_sim_run(sim, pg_sim_now(sim) + us));
}

static struct side *listen_at(unsigned host, uint16_t port)
{
    struct side *side = &sides[n_sides++];
    side->socket = pg_sim_listen(sim, host, pg_sim_inside(sim, host, port), &user, side);
    CU_ASSERT_PTR_NOT_NULL_FATAL(side->socket);
    return side;
}

static struct side *dial(unsigned host, uint16_t port, struct pg_endpoint to)
{
    struct side *side = &sides[n_sides++];
    side->socket = pg_sim_dial_from(sim, host, port, to, &user, side);
    return side;
}

/* Where the server sees a host that dials it from its port. */
static struct pg_endpoint seen_from(unsigned server, unsigned host)
{
    struct side *at = listen_at(server, WEB);
    (void)dial(host, PORT, pg_sim_outside(sim, server, WEB));
    pass(SECONDS);
    CU_ASSERT_EQUAL_FATAL(at->n_accepted, 1);
    return *pg_sim_remote(at->accepted);
}

static bool carries(struct side *from, struct side *to)
{
    size_t before = to->got;
    CU_ASSERT_EQUAL(pg_sim_send(from->socket, "ping", 4), 4);
    pass(5 * SECONDS);
    return to->got == before + 4;
}

static void a_router_shows_one_port_to_all_or_another_to_each(void)
{
    for (unsigned kind = 0; kind <= PUBLIC; kind++) {
        world(kind, PUBLIC);
        struct pg_endpoint first = seen_from(SERVER, LEFT), second = seen_from(OTHER, LEFT);
        CU_ASSERT_EQUAL(first.ip[0], 11);
        CU_ASSERT_EQUAL(memcmp(first.ip, second.ip, 4), 0);
        CU_ASSERT_EQUAL(first.port == second.port, kind != SYMMETRIC);
        CU_ASSERT_EQUAL(first.port == PORT, kind != SYMMETRIC);
        pg_sim_free(sim);
    }
}

static void a_router_lets_in_what_its_kind_lets_in(void)
{
    static const bool comes_in[KINDS][3] = {{true, true, true}, {true, true, false}, {true, false, false}, {true, false, false}};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned who = 0; who < 3; who++) { /* whom it has spoken to, the same host from another port, another host */
            world(kind, PUBLIC);
            struct side *service = listen_at(LEFT, PORT), *before = dial(SERVER, 0, pg_sim_outside(sim, LEFT, PORT));
            pass(3 * SECONDS);
            CU_ASSERT_EQUAL(service->n_accepted + before->n_up + before->n_lost, 0); /* nothing has gone out yet */
            pg_sim_close(before->socket);
            struct pg_endpoint at = seen_from(SERVER, LEFT);
            pg_sim_close(sides[n_sides - 1].socket);
            pg_sim_close(sides[n_sides - 2].accepted);
            pass(SECONDS);
            struct side *in = dial(who == 2 ? OTHER : SERVER, who == 0 ? WEB : 1234, at);
            pass(SECONDS);
            CU_ASSERT_EQUAL(in->n_up, comes_in[kind][who]);
            CU_ASSERT_EQUAL(service->n_accepted, comes_in[kind][who]);
            CU_ASSERT_EQUAL(in->n_lost, 0); /* silence, no refusal */
            pg_sim_free(sim);
        }
}

static void dials_that_meet_pass_routers_of_the_kinds_that_can_be_punched(void)
{
    for (unsigned left = 0; left <= PUBLIC; left++)
        for (unsigned right = 0; right <= PUBLIC; right++) {
            world(left, right);
            bool hard = (left == SYMMETRIC && (right == SYMMETRIC || right == PORT_RESTRICTED)) || (left == PORT_RESTRICTED && right == SYMMETRIC);
            struct pg_endpoint at_left = seen_from(SERVER, LEFT), at_right = seen_from(OTHER, RIGHT);
            struct side *l = listen_at(LEFT, PORT), *r = listen_at(RIGHT, PORT);
            struct side *a = dial(LEFT, PORT, at_right), *b = dial(RIGHT, PORT, at_left);
            pass(4 * SECONDS);
            CU_ASSERT_EQUAL(a->n_up + b->n_up + l->n_accepted + r->n_accepted > 0, !hard);
            if (!hard && left != SYMMETRIC && right != SYMMETRIC) {
                CU_ASSERT_EQUAL(a->n_up + b->n_up, 2); /* one connection, opened by both */
                CU_ASSERT_EQUAL(l->n_accepted + r->n_accepted, 0);
                CU_ASSERT_TRUE(carries(a, b) && carries(b, a));
            }
            pg_sim_free(sim);
        }
}

static void a_mapping_that_carries_nothing_is_forgotten_and_its_connection_with_it(void)
{
    struct pg_sim_nat forgetful = kinds[PORT_RESTRICTED];
    forgetful.idle_us = 30 * SECONDS;
    world(PUBLIC, PUBLIC);
    pg_sim_router(sim, LEFT, &forgetful);
    struct side *at = listen_at(SERVER, WEB), *out = dial(LEFT, PORT, pg_sim_outside(sim, SERVER, WEB));
    pass(SECONDS);
    for (unsigned i = 0; i < 10; i++) {
        CU_ASSERT_TRUE(carries(out, at));
        pass(20 * SECONDS);
    }
    pass(11 * SECONDS);
    CU_ASSERT_FALSE(carries(out, at));
    CU_ASSERT_EQUAL(out->n_lost + at->n_lost, 0); /* and nobody says so */
    pg_sim_free(sim);
}

static void a_router_that_reboots_has_forgotten_and_may_have_another_address(void)
{
    for (unsigned moves = 0; moves < 2; moves++) {
        world(FULL_CONE, PUBLIC);
        struct pg_endpoint before = seen_from(SERVER, LEFT);
        struct side *at = &sides[0], *out = &sides[1];
        CU_ASSERT_TRUE(carries(out, at));
        pg_sim_reboot(sim, LEFT, moves);
        CU_ASSERT_FALSE(carries(out, at));
        struct pg_endpoint after = seen_from(OTHER, LEFT);
        CU_ASSERT_EQUAL(memcmp(before.ip, after.ip, 4) != 0, moves);
        struct side *old = dial(SERVER, 0, before);
        pass(2 * SECONDS);
        CU_ASSERT_EQUAL(old->n_up, 0);
        pg_sim_free(sim);
    }
}

static void a_lost_packet_of_a_dial_is_sent_again(void)
{
    unsigned up = 0;
    world(PUBLIC, PUBLIC);
    pg_sim_path(sim, LEFT, SERVER)->lost = 500;
    struct side *at = listen_at(SERVER, WEB), *out = dial(LEFT, 0, pg_sim_outside(sim, SERVER, WEB));
    for (unsigned i = 0; i < 60 && !out->n_up; i++)
        pass(SECONDS);
    up += out->n_up;
    CU_ASSERT_EQUAL(up, 1);
    CU_ASSERT_EQUAL(at->n_accepted, 1);
    pg_sim_free(sim);
}

/* One side gives up and dials again from the same port while its first packet is under way. */
static void a_dial_that_was_given_up_costs_the_other_side_its_try_and_no_more(void)
{
    world(FULL_CONE, FULL_CONE);
    struct pg_endpoint at_left = seen_from(SERVER, LEFT), at_right = seen_from(OTHER, RIGHT);
    struct side *first = dial(LEFT, PORT, at_right), *other = dial(RIGHT, PORT, at_left);
    pass(5000);
    pg_sim_close(first->socket);
    pass(SECONDS);
    CU_ASSERT_EQUAL(other->n_lost, 1);
    CU_ASSERT_EQUAL(other->n_up, 0);
    struct side *again = dial(LEFT, PORT, at_right), *against = dial(RIGHT, PORT, at_left);
    pass(SECONDS);
    CU_ASSERT_EQUAL(again->n_up + against->n_up, 2);
    pg_sim_free(sim);
}

static void who_is_behind_a_router_is_not_reached_at_its_own_address(void)
{
    world(FULL_CONE, PUBLIC);
    struct side *service = listen_at(LEFT, PORT), *own = dial(LEFT, 0, pg_sim_inside(sim, LEFT, PORT)),
                *stranger = dial(SERVER, 0, pg_sim_inside(sim, LEFT, PORT));
    pass(10 * SECONDS);
    CU_ASSERT_EQUAL(own->n_up, 1);
    CU_ASSERT_EQUAL(stranger->n_up, 0);
    CU_ASSERT_EQUAL(service->n_accepted, 1);
    pg_sim_free(sim);
}

int main(void)
{
    static const struct sentence all[] = {
        {"a router shows one port to all, or another to each", a_router_shows_one_port_to_all_or_another_to_each},
        {"a router lets in what its kind lets in", a_router_lets_in_what_its_kind_lets_in},
        {"dials that meet pass routers of the kinds that can be punched", dials_that_meet_pass_routers_of_the_kinds_that_can_be_punched},
        {"a mapping that carries nothing is forgotten, and its connection with it",
         a_mapping_that_carries_nothing_is_forgotten_and_its_connection_with_it},
        {"a router that reboots has forgotten, and may have another address", a_router_that_reboots_has_forgotten_and_may_have_another_address},
        {"a lost packet of a dial is sent again", a_lost_packet_of_a_dial_is_sent_again},
        {"a dial that was given up costs the other side its try and no more", a_dial_that_was_given_up_costs_the_other_side_its_try_and_no_more},
        {"who is behind a router is not reached at its own address", who_is_behind_a_router_is_not_reached_at_its_own_address},
    };
    return RUN_SUITE("routers of the simulated world", all);
}
