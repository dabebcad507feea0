/* Multicast DNS of a whole node, driven by hand through runtime/port.h with a clock of the test's own: when it asks and answers, whom
 * it believes, when it dials, when it forgets. Hostile row 49. Run by ctest. Serves src/core/mdns.c and mdns_peer.c. */
#include "core/mdns.h"
#include "core/node_internal.h"
#include "core/mdns_message.h"
#include "crypto_suite.h"

#include <stdio.h>

enum { MOST_SENT = 4096, SECOND = 1000000, PORT = 5353 };

static const struct pg_endpoint own = {.family = 4, .ip = {192, 168, 1, 5}, .port = 4001, .zone = 0};
static struct pg_identity *key;
static struct pg_node *node;
static struct pg_core core;
static uint64_t now;
static bool deny; /* sockets cannot be had */

static struct {
    unsigned binds, unbinds, queries, answers, farewells, dials;
    struct pg_link *dialled[MOST_SENT];
    uint64_t asked_at[MOST_SENT], answered_at[MOST_SENT];
} seen;

static void each(void *context, const struct pg_mdns_heard *h)
{
    *(struct pg_mdns_heard *)context = *h;
}

static void look_at_sent(const struct pg_command *c)
{
    struct pg_mdns_heard h = {.ttl_s = 0};
    if (pg_mdns_read_query(c->text, "nobody")) {
        seen.asked_at[seen.queries++] = now;
        return;
    }
    pg_mdns_read_answer(c->text, "nobody", each, &h);
    CU_ASSERT_TRUE(h.n_addrs == 1 && pg_peer_id_equal(&h.peer, pg_identity_peer_id(key)));
    if (h.ttl_s == 0)
        seen.farewells++;
    else
        seen.answered_at[seen.answers++] = now;
}

static void input(struct pg_input in);

static void bound(uint32_t number)
{
    struct pg_endpoint at = own;
    at.zone = 3;
    at.port = 0;
    if (deny) {
        input((struct pg_input){.kind = PG_INPUT_BIND_FAILED, .number = number, .error = PG_ERR_LOCAL_IN_USE, .reason = PG_LIT("taken")});
        return;
    }
    input((struct pg_input){.kind = PG_INPUT_BOUND, .number = number});
    if (number == 1)
        input((struct pg_input){.kind = PG_INPUT_INTERFACES, .number = number, .n_found = 1, .found = &at});
}

static void drain(void)
{
    struct pg_command c;
    while (core.poll(core.self, &c)) {
        if (c.kind == PG_COMMAND_LISTEN)
            core.input(core.self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c.link, .local = own}, now);
        if (c.kind == PG_COMMAND_BIND) {
            seen.binds++;
            bound(c.number);
        }
        seen.unbinds += c.kind == PG_COMMAND_UNBIND;
        if (c.kind == PG_COMMAND_DIAL)
            seen.dialled[seen.dials++] = c.link;
        if (c.kind == PG_COMMAND_SEND)
            look_at_sent(&c);
    }
}

static void input(struct pg_input in)
{
    core.input(core.self, &in, now);
    drain();
}

static void refuse_dials(void)
{
    for (unsigned i = 0; i < seen.dials; i++) {
        struct pg_link *link = seen.dialled[i];
        seen.dialled[i] = NULL;
        if (!link)
            continue;
        if (!link->closing)
            input((struct pg_input){.kind = PG_INPUT_LOST, .link = link, .error = PG_ERR_REFUSED, .reason = PG_LIT("refused")});
        core.unlink(core.self, link);
    }
}

static void pass(uint64_t us)
{
    uint64_t until = now + us;
    while (core.deadline(core.self) <= until) {
        now = core.deadline(core.self);
        input((struct pg_input){.kind = PG_INPUT_TICK});
        refuse_dials();
    }
    now = until;
}

static void start(bool quiet)
{
    struct pg_node_config c;
    memset(&seen, 0, sizeof seen);
    now = SECOND;
    pg_node_config_default(&c);
    c.identity = key = pg_identity_from_seed((const uint8_t[32]){9});
    c.mdns = true;
    c.quiet = quiet;
    c.seed = 7;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.listens[c.n_listens++], PG_LIT("/ip4/192.168.1.5/tcp/4001")), PG_OK);
    node = pg_node_new(&c, &(struct pg_node_hooks){.context = NULL});
    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    core = pg_node_core(node);
    input((struct pg_input){.kind = PG_INPUT_START});
}

static void end(void)
{
    pg_node_free(node);
    pg_identity_free(key);
}

/* A datagram of somebody at 192.168.1.HOST, to everybody. */
static struct pg_input datagram(uint8_t host, uint8_t *text, size_t len)
{
    return (struct pg_input){.kind = PG_INPUT_DATAGRAM, .number = 1, .data = text, .len = len, .hops = 255, .on_link = true,
                             .remote = {.family = 4, .ip = {192, 168, 1, host}, .port = PORT},
                             .local = {.family = 4, .ip = {224, 0, 0, 251}, .port = PORT, .zone = 3}};
}

static void ask(void)
{
    uint8_t text[64];
    input(datagram(9, text, pg_mdns_write_query(text, sizeof text, 1)));
}

static struct pg_peer_id peer_id(unsigned number)
{
    uint8_t seed[32] = {77, (uint8_t)number, (uint8_t)(number >> 8)};
    struct pg_identity *of = pg_identity_from_seed(seed);
    struct pg_peer_id id = *pg_identity_peer_id(of);
    pg_identity_free(of);
    return id;
}

static size_t tell(uint8_t *text, unsigned number, uint8_t host, uint32_t ttl_s)
{
    struct pg_peer_id id = peer_id(number);
    struct pg_multiaddr addr;
    struct pg_mdns_self self = {.name = "abcdefghijklmnopqrstuvwxyz012345", .addrs = &addr, .n_addrs = 1, .n_at = 1, .at = {own}};
    pg_multiaddr_from_tcp(&addr, &(struct pg_endpoint){.family = 4, .ip = {192, 168, 1, host}, .port = 4002});
    CU_ASSERT_TRUE(pg_multiaddr_append_p2p(&addr, &id));
    return pg_mdns_write_answer(text, PG_MDNS_ANSWER_MAX, &self, PG_MDNS_ASKS_PEERS, ttl_s);
}

static void hear(unsigned number, uint8_t host, uint32_t ttl_s)
{
    uint8_t text[PG_MDNS_ANSWER_MAX];
    input(datagram(host, text, tell(text, number, host, ttl_s)));
}

static unsigned known(void)
{
    struct pg_mdns_view v;
    unsigned n = 0;
    while (pg_mdns_view(node, n, &v))
        n++;
    return n;
}

static bool knows(unsigned number)
{
    struct pg_peer_id id = peer_id(number);
    struct pg_mdns_view v;
    for (unsigned i = 0; pg_mdns_view(node, i, &v); i++)
        if (pg_peer_id_equal(&v.peer, &id))
            return true;
    return false;
}

static void questions_become_rarer_up_to_five_minutes(void)
{
    start(false);
    pass(3600ull * SECOND);
    CU_ASSERT_TRUE(seen.queries >= 19 && seen.queries <= 24);
    CU_ASSERT_TRUE(seen.asked_at[0] - SECOND <= 120000);
    for (unsigned i = 2; i < seen.queries; i++) {
        uint64_t wait = seen.asked_at[i] - seen.asked_at[i - 1], before = seen.asked_at[i - 1] - seen.asked_at[i - 2];
        CU_ASSERT_TRUE(wait == 300ull * SECOND || wait == 2 * before);
    }
    CU_ASSERT_EQUAL(seen.answers, seen.queries); /* to its own questions, so that everybody hears of it */
    end();
}

static void whoever_asks_is_answered_soon_and_a_crowd_once_a_second(void)
{
    start(false);
    pass(1000ull * SECOND);
    unsigned before = seen.answers;
    ask();
    pass(SECOND / 5);
    CU_ASSERT_EQUAL(seen.answers, before + 1);
    for (unsigned i = 0; i < 100; i++) {
        ask();
        pass(SECOND / 20);
    }
    CU_ASSERT_TRUE(seen.answers >= before + 5 && seen.answers <= before + 7);
    for (unsigned i = 1; i < seen.answers; i++)
        CU_ASSERT_TRUE(seen.answered_at[i] - seen.answered_at[i - 1] >= SECOND);
    end();
}

static void what_does_not_come_from_our_network_is_dropped(void)
{
    uint8_t text[PG_MDNS_ANSWER_MAX];
    start(false);
    struct pg_input in = datagram(9, text, tell(text, 1, 9, 120));
    in.on_link = false;
    input(in);
    CU_ASSERT_EQUAL(known(), 0);
    in.on_link = true;
    in.local.ip[0] = 192; /* to us alone, through a router */
    in.hops = 64;
    input(in);
    CU_ASSERT_EQUAL(known(), 0);
    CU_ASSERT_EQUAL(pg_node_metrics(node)->value[PG_METRIC_MDNS_DROPPED], 2);
    in.local.ip[0] = 224; /* to all, as rust sends it */
    in.hops = 1;
    input(in);
    CU_ASSERT_EQUAL(known(), 1);
    end();
}

static void a_peer_is_known_until_its_time_is_over_and_asked_for_before(void)
{
    start(false);
    pass(1000ull * SECOND);
    hear(1, 9, 120);
    CU_ASSERT_TRUE(knows(1));
    CU_ASSERT_EQUAL(pg_node_metrics(node)->value[PG_METRIC_MDNS_PEERS], 1);
    pass(119ull * SECOND);
    CU_ASSERT_TRUE(knows(1));
    hear(1, 9, 120);
    pass(119ull * SECOND);
    CU_ASSERT_TRUE(knows(1));
    pass(2ull * SECOND);
    CU_ASSERT_EQUAL(known(), 0);
    CU_ASSERT_EQUAL(pg_node_metrics(node)->value[PG_METRIC_MDNS_PEERS], 0);
    hear(1, 9, 120);
    CU_ASSERT_TRUE(knows(1));
    hear(1, 9, 0);
    CU_ASSERT_EQUAL(known(), 0);
    hear(2, 9, UINT32_MAX); /* a life of 136 years is one of an hour */
    pass(3599ull * SECOND);
    CU_ASSERT_TRUE(knows(2));
    pass(2ull * SECOND);
    CU_ASSERT_EQUAL(known(), 0);
    end();
}

static void a_peer_that_is_heard_of_again_and_again_is_dialled_once(void)
{
    start(false);
    for (unsigned i = 0; i < 30; i++) {
        hear(1, 9, 120);
        pass(10ull * SECOND);
    }
    CU_ASSERT_EQUAL(seen.dials, 1);
    end();
}

static void what_a_peer_has_said_itself_does_not_give_way_to_who_speaks_for_it(void)
{
    struct pg_multiaddr said[PG_ADDRESS_BOOK_ADDRS], left[PG_ADDRESS_BOOK_ADDRS];
    struct pg_peer_id id = peer_id(1);
    start(false);
    for (uint8_t i = 0; i < PG_ADDRESS_BOOK_ADDRS; i++)
        pg_multiaddr_from_tcp(&said[i], &(struct pg_endpoint){.family = 4, .ip = {192, 168, 1, 9}, .port = (uint16_t)(5000 + i)});
    pg_address_book_learn(&node->addresses, &id, said, PG_ADDRESS_BOOK_ADDRS, now + 60ull * SECOND);
    hear(1, 66, 3600);
    CU_ASSERT_TRUE(knows(1));
    CU_ASSERT_EQUAL_FATAL(pg_address_book_find(&node->addresses, &id, now, left), PG_ADDRESS_BOOK_ADDRS);
    for (unsigned i = 0; i < PG_ADDRESS_BOOK_ADDRS; i++)
        CU_ASSERT_NOT_EQUAL(left[i].at[4], 66); /* /ip4, then the address */
    end();
}

static void one_source_tells_of_sixteen_peers_and_all_of_them_of_so_many_as_there_is_room_for(void)
{
    start(false);
    for (unsigned i = 0; i < 100; i++) {
        hear(i, 9, 120);
        pass(SECOND / 50);
    }
    CU_ASSERT_EQUAL(known(), 16);
    for (unsigned i = 100; i < 1100; i++) {
        hear(i, (uint8_t)(10 + i % 100), 120);
        pass(SECOND / 50);
    }
    CU_ASSERT_EQUAL(known(), PG_FIXED_MDNS_PEERS);
    CU_ASSERT_TRUE(seen.dials <= 22 * 8 + 8); /* 22 seconds, eight in each */
    pass(60ull * SECOND);
    hear(5000, 200, 120); /* all the others could not be reached: one of them gives way */
    CU_ASSERT_TRUE(knows(5000));
    CU_ASSERT_EQUAL(known(), PG_FIXED_MDNS_PEERS);
    end();
}

static void a_flood_of_messages_is_looked_at_a_hundred_times_a_second(void)
{
    start(false);
    for (unsigned i = 0; i < 10000; i++)
        hear(5, (uint8_t)(20 + i % 50), 120);
    CU_ASSERT_EQUAL(pg_node_metrics(node)->value[PG_METRIC_MDNS_DROPPED], 9600);
    pass(5ull * SECOND);
    hear(1, 9, 120);
    CU_ASSERT_TRUE(knows(1));
    end();
}

static void a_flood_from_one_source_leaves_the_others_heard(void)
{
    start(false);
    for (unsigned second = 0; second < 10; second++) {
        for (unsigned i = 0; i < 10000; i++)
            ask();
        hear(1 + second, (uint8_t)(20 + second), 120);
        CU_ASSERT_TRUE(knows(1 + second));
        pass(SECOND);
    }
    end();
}

static void without_a_socket_it_is_tried_again_after_five_minutes(void)
{
    deny = true;
    start(false);
    CU_ASSERT_EQUAL(seen.binds, 2);
    pass(299ull * SECOND);
    CU_ASSERT_EQUAL(seen.binds, 2);
    deny = false;
    pass(2ull * SECOND);
    CU_ASSERT_EQUAL(seen.binds, 4);
    CU_ASSERT_EQUAL(seen.queries, 1);
    end();
}

static void who_stops_says_farewell_and_gives_the_sockets_back(void)
{
    start(false);
    pass(10ull * SECOND);
    hear(1, 9, 120);
    input((struct pg_input){.kind = PG_INPUT_STOP});
    CU_ASSERT_EQUAL(seen.farewells, 1);
    CU_ASSERT_EQUAL(seen.unbinds, 2);
    end();
}

static void a_command_neither_asks_nor_answers(void)
{
    start(true);
    pass(60ull * SECOND);
    CU_ASSERT_EQUAL(seen.binds, 0);
    end();
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"questions become rarer, up to five minutes", questions_become_rarer_up_to_five_minutes},
        {"whoever asks is answered soon, and a crowd once a second", whoever_asks_is_answered_soon_and_a_crowd_once_a_second},
        {"what does not come from our network is dropped", what_does_not_come_from_our_network_is_dropped},
        {"a peer is known until its time is over, and asked for before", a_peer_is_known_until_its_time_is_over_and_asked_for_before},
        {"a peer that is heard of again and again is dialled once", a_peer_that_is_heard_of_again_and_again_is_dialled_once},
        {"what a peer has said itself does not give way to who speaks for it", what_a_peer_has_said_itself_does_not_give_way_to_who_speaks_for_it},
        {"one source tells of sixteen peers, and all of them of as many as there is room for",
         one_source_tells_of_sixteen_peers_and_all_of_them_of_so_many_as_there_is_room_for},
        {"a flood of messages is looked at a hundred times a second", a_flood_of_messages_is_looked_at_a_hundred_times_a_second},
        {"a flood from one source leaves the others heard", a_flood_from_one_source_leaves_the_others_heard},
        {"without a socket it is tried again after five minutes", without_a_socket_it_is_tried_again_after_five_minutes},
        {"who stops says farewell and gives the sockets back", who_stops_says_farewell_and_gives_the_sockets_back},
        {"a command neither asks nor answers", a_command_neither_asks_nor_answers},
    };
    return RUN_SUITE("multicast DNS", sentences);
}
