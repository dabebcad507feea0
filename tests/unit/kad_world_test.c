/* Kademlia between real cores on a simulated network: who asks, who serves, and what passes between. Everything follows from a
 * seed and takes no real time. Hostile rows 24, 25, 27 and 86. */
#include "kad_world.h"

#include "yamux.wire.gen.h"

/* Everybody bootstraps from the first, one after the other. */
static void mesh(unsigned n)
{
    world_open(n);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            bootstrap(&hosts[i], 0);
        start(&hosts[i]);
        pass(SECONDS / 20);
    }
    pass(3 * SECONDS);
}

static const char *phase(struct host *h)
{
    struct pg_node_view v;
    pg_node_view(h->node, &v);
    return v.phase;
}

static void who_has_bootstrapped_participates_at_once(void)
{
    mesh(2);
    CU_ASSERT_STRING_EQUAL(phase(&hosts[1]), "Participating");
    CU_ASSERT_EQUAL(pg_kad_known(hosts[1].node), 1);
    CU_ASSERT_EQUAL(pg_kad_known(hosts[0].node), 1);
    world_close();
}

static void what_one_provides_another_finds_over_a_third(void)
{
    struct pg_endpoint at;
    mesh(3);
    CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_PROVIDE, .key = PG_LIT("/punchgate/svc/web")}));
    CU_ASSERT_EQUAL(hosts[1].n_peers, 2);
    CU_ASSERT(answered(&hosts[2], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = PG_LIT("/punchgate/svc/web")}));
    CU_ASSERT_EQUAL_FATAL(hosts[2].n_found, 1);
    CU_ASSERT(is(&hosts[2].found[0].id, &hosts[1]));
    CU_ASSERT_FATAL(hosts[2].found[0].n_addrs > 0);
    CU_ASSERT_EQUAL(pg_multiaddr_tcp(&hosts[2].found[0].addrs[0], &at, NULL), PG_OK);
    CU_ASSERT_EQUAL(at.port, PORT);
    world_close();
}


#define WEB PG_LIT("/punchgate/svc/web")

static bool provides(struct host *h)
{
    return answered(h, (struct pg_kad_question){.op = PG_KAD_PROVIDE, .key = WEB});
}

static bool looks(struct host *h)
{
    return answered(h, (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = WEB});
}

static void values_are_put_and_got_and_the_newer_one_stays(void)
{
    mesh(6);
    struct pg_kad_question put = {.op = PG_KAD_PUT_VALUE, .key = PG_LIT("/x/a"), .value = PG_LIT("old")};
    struct pg_kad_question get = {.op = PG_KAD_GET_VALUE, .key = PG_LIT("/x/a")};
    CU_ASSERT(answered(&hosts[1], put));
    CU_ASSERT_EQUAL(hosts[1].n_peers, 5);
    CU_ASSERT(answered(&hosts[4], get));
    CU_ASSERT_STRING_EQUAL(hosts[4].value, "old");
    put.value = PG_LIT("new");
    CU_ASSERT(answered(&hosts[1], put));
    CU_ASSERT(answered(&hosts[4], get));
    CU_ASSERT_STRING_EQUAL(hosts[4].value, "new");
    get.key = PG_LIT("/x/b");
    CU_ASSERT(!answered(&hosts[4], get));
    CU_ASSERT_EQUAL(hosts[4].why, PG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(hosts[4].n_peers, 5);
    world_close();
}

static void keep(struct host *h, const char *value)
{
    struct pg_kad_value v = {.key = PG_LIT("/x/a"), .value = pg_text(value)};
    struct pg_peer_id from = *pg_identity_peer_id(hosts[5].identity);
    CU_ASSERT_EQUAL(pg_kad_store_put(&h->node->kad.store, &v, &from, h->node->scope.now_us), PG_OK);
}

static bool keeps(struct host *h, const char *value)
{
    static uint8_t room[PG_KAD_VALUE_MAX + PG_PEER_ID_MAX];
    struct pg_kad_value v;
    return pg_kad_store_get(&h->node->kad.store, PG_LIT("/x/a"), h->node->scope.now_us, &v, room) && pg_bytes_equal(v.value, pg_text(value));
}

static void who_keeps_an_old_value_is_corrected(void)
{
    mesh(6);
    keep(&hosts[0], "new");
    keep(&hosts[1], "new");
    keep(&hosts[2], "old");
    CU_ASSERT(answered(&hosts[4], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = PG_LIT("/x/a")}));
    CU_ASSERT_STRING_EQUAL(hosts[4].value, "new");
    CU_ASSERT(keeps(&hosts[2], "new"));
    CU_ASSERT(keeps(&hosts[3], "new")); /* who had none is near the key as well */
    world_close();
}

static void what_a_single_peer_says_is_not_spread(void)
{
    mesh(6);
    keep(&hosts[2], "lie");
    CU_ASSERT(answered(&hosts[4], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = PG_LIT("/x/a")}));
    CU_ASSERT_STRING_EQUAL(hosts[4].value, "lie");
    CU_ASSERT(!keeps(&hosts[3], "lie"));
    world_close();
}

static void a_quorum_ends_a_look_up_for_a_value_early(void)
{
    mesh(24);
    CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_PUT_VALUE, .key = PG_LIT("/x/a"), .value = PG_LIT("v")}));
    CU_ASSERT(answered(&hosts[9], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = PG_LIT("/x/a"), .enough = 1}));
    CU_ASSERT(hosts[9].messages <= 4);
    CU_ASSERT(answered(&hosts[9], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = PG_LIT("/x/a")}));
    CU_ASSERT(hosts[9].messages >= 15);
    world_close();
}

static void peers_are_found_by_their_id(void)
{
    mesh(5);
    CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_FIND_PEER, .key = id_of(&hosts[4])}));
    CU_ASSERT_EQUAL(hosts[1].n_found, 1);
    CU_ASSERT(is(&hosts[1].found[0].id, &hosts[4]));
    CU_ASSERT(hosts[1].found[0].n_addrs > 0);
    struct pg_peer_id nobody = *pg_identity_peer_id(hosts[4].identity);
    nobody.at[nobody.len - 1] ^= 1;
    CU_ASSERT(!answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_FIND_PEER, .key = pg_bytes(nobody.at, nobody.len)}));
    CU_ASSERT_EQUAL(hosts[1].why, PG_ERR_NOT_FOUND);
    world_close();
}

static void the_nearest_of_forty_peers_are_found_in_order(void)
{
    struct pg_kad_key target, keys[HOSTS];
    bool taken[HOSTS] = {false};
    mesh(40);
    pg_kad_key_of(&target, WEB);
    CU_ASSERT(answered(&hosts[7], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = WEB}));
    CU_ASSERT_EQUAL(hosts[7].n_closest, PG_KAD_K);
    taken[7] = true;
    for (unsigned i = 0; i < 40; i++)
        pg_kad_key_of_peer(&keys[i], pg_identity_peer_id(hosts[i].identity));
    for (unsigned place = 0; place < PG_KAD_K; place++) {
        unsigned best = HOSTS;
        for (unsigned i = 0; i < 40; i++)
            if (!taken[i] && (best == HOSTS || pg_kad_nearer(&target, &keys[i], &keys[best]) < 0))
                best = i;
        taken[best] = true;
        CU_ASSERT(is(&hosts[7].closest[place], &hosts[best]));
    }
    world_close();
}

static void the_own_record_is_told_of_first_and_nobody_twice(void)
{
    mesh(4);
    CU_ASSERT(provides(&hosts[1]));
    CU_ASSERT(provides(&hosts[2]));
    CU_ASSERT(looks(&hosts[1]));
    CU_ASSERT_EQUAL(hosts[1].n_found, 2);
    CU_ASSERT(is(&hosts[1].found[0].id, &hosts[2])); /* who came last is first */
    CU_ASSERT(is(&hosts[1].found[1].id, &hosts[1]));
    CU_ASSERT(looks(&hosts[3]));
    CU_ASSERT_EQUAL(hosts[3].n_found, 2);
    world_close();
}

static void who_has_found_enough_stops(void)
{
    mesh(24);
    CU_ASSERT(provides(&hosts[1]));
    CU_ASSERT(provides(&hosts[2]));
    CU_ASSERT(answered(&hosts[9], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = WEB, .enough = 1}));
    CU_ASSERT(hosts[9].messages <= 3);
    CU_ASSERT(hosts[9].n_found >= 1);
    world_close();
}

static void a_question_waits_for_the_first_server(void)
{
    world_open(2);
    start(&hosts[0]);
    bootstrap(&hosts[1], 0);
    pg_sim_path(sim, 0, 1)->dials = PG_SIM_REFUSES;
    start(&hosts[1]);
    pass(2 * SECONDS);
    ask(&hosts[1], (struct pg_kad_question){.op = PG_KAD_PROVIDE, .key = WEB});
    CU_ASSERT_PTR_NOT_NULL(hosts[1].query);
    pass(5 * SECONDS);
    CU_ASSERT(!hosts[1].done);
    pg_sim_path(sim, 0, 1)->dials = PG_SIM_OPEN;
    for (unsigned i = 0; i < 300 && !hosts[1].done; i++)
        pass(SECONDS / 10);
    CU_ASSERT(hosts[1].done);
    CU_ASSERT_EQUAL(hosts[1].why, PG_OK);
    CU_ASSERT_EQUAL(hosts[1].n_peers, 1);
    world_close();
}

static void a_question_without_any_server_ends_with_its_time(void)
{
    world_open(1);
    start(&hosts[0]);
    pass(SECONDS);
    uint64_t begun = pg_sim_now(sim);
    CU_ASSERT(!answered(&hosts[0], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = WEB, .timeout_ms = 3000}));
    CU_ASSERT_EQUAL(hosts[0].why, PG_ERR_NO_PEERS);
    CU_ASSERT(hosts[0].done_us - begun >= 3 * SECONDS);
    CU_ASSERT(hosts[0].done_us - begun < 4 * SECONDS);
    CU_ASSERT_EQUAL(hosts[0].node->kad.queries.used, 0);
    world_close();
}

/* Power lost: nobody says so, and whoever dials hears nothing. */
static void vanish(struct host *h)
{
    pg_sim_kill(h->process, PG_SIM_POWER_LOST);
    for (unsigned i = 0; i < n_hosts; i++)
        pg_sim_path(sim, i, h->number)->dials = PG_SIM_SILENT;
}

static void peers_that_have_vanished_cost_seconds_and_no_result(void)
{
    mesh(30);
    CU_ASSERT(provides(&hosts[1]));
    for (unsigned i = 20; i < 29; i++)
        vanish(&hosts[i]);
    uint64_t begun = pg_sim_now(sim);
    CU_ASSERT(looks(&hosts[12]));
    CU_ASSERT(hosts[12].n_found >= 1);
    CU_ASSERT(hosts[12].done_us - begun < 40 * SECONDS);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(hosts[12].node->kad.requests.used, 0);
    CU_ASSERT_EQUAL(hosts[12].node->kad.n_visits, 0);
    world_close();
}

static void the_network_lives_on_without_its_bootstrap_peer(void)
{
    mesh(10);
    stop(&hosts[0]);
    pass(SECONDS);
    CU_ASSERT(provides(&hosts[3]));
    CU_ASSERT(hosts[3].n_peers >= 8);
    CU_ASSERT(looks(&hosts[8]));
    CU_ASSERT(is(&hosts[8].found[0].id, &hosts[3]));
    world_close();
}

static void with_hardly_any_dials_allowed_a_look_up_waits_and_succeeds(void)
{
    world_open(30);
    for (unsigned i = 0; i < 30; i++) {
        if (i > 0)
            bootstrap(&hosts[i], 0);
        if (i == 29) {
            hosts[i].config.limits.value[PG_LIMIT_DIALS] = 2;
            hosts[i].config.limits.value[PG_LIMIT_DIAL_RATE] = 2;
        }
        start(&hosts[i]);
        pass(SECONDS / 20);
    }
    pass(3 * SECONDS);
    CU_ASSERT(provides(&hosts[1]));
    CU_ASSERT(provides(&hosts[29]));
    CU_ASSERT(hosts[29].n_peers >= PG_KAD_K);
    world_close();
}

static void too_many_questions_at_once_are_refused_and_counted(void)
{
    world_open(2);
    hosts[1].config.limits.value[PG_LIMIT_KAD_QUERIES] = 2;
    start(&hosts[0]);
    start(&hosts[1]);
    pass(SECONDS);
    struct pg_kad_question question = {.op = PG_KAD_PROVIDERS, .key = WEB};
    struct pg_kad_query *queries[3];
    for (unsigned i = 0; i < 3; i++) {
        ask(&hosts[1], question);
        queries[i] = hosts[1].query;
    }
    CU_ASSERT_PTR_NOT_NULL(queries[1]);
    CU_ASSERT_PTR_NULL(queries[2]);
    CU_ASSERT_EQUAL(hosts[1].node->metrics.value[PG_METRIC_REFUSED_KAD_QUERIES], 1);
    ask(&hosts[1], (struct pg_kad_question){.op = PG_KAD_PROVIDE, .key = WEB});
    CU_ASSERT_PTR_NULL(hosts[1].query);
    struct pg_kad_view view;
    pg_kad_view(hosts[1].node, &view);
    CU_ASSERT_EQUAL(view.providers, 0); /* who is told that it is not done has left nothing behind */
    bootstrap(&hosts[1], 0);
    world_close();
}

static void whoever_forgets_a_question_while_it_is_answered_hears_no_more(void)
{
    mesh(6);
    CU_ASSERT(provides(&hosts[1]));
    CU_ASSERT(provides(&hosts[2]));
    hosts[4].forgets = true;
    ask(&hosts[4], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = WEB});
    pass(5 * SECONDS);
    CU_ASSERT_EQUAL(hosts[4].n_found, 1);
    CU_ASSERT(!hosts[4].done);
    CU_ASSERT_EQUAL(hosts[4].node->kad.queries.used, 0);
    CU_ASSERT_EQUAL(hosts[4].node->kad.requests.used, 0);
    hosts[4].forgets = false;
    hosts[4].again = true;
    CU_ASSERT(looks(&hosts[4]));
    CU_ASSERT(!hosts[4].again);
    world_close();
}

static unsigned connections(const struct host *h)
{
    unsigned n = 0;
    for (const struct pg_session *s = h->node->sessions; s; s = s->next)
        n += s->up;
    return n;
}

enum { KEPT = 128 / 16 }; /* of the connections that the hosts of this world may have */

static void connections_of_visits_are_few_after_a_rest(void)
{
    mesh(60);
    for (unsigned i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof key, "/x/%u", i);
        CU_ASSERT(answered(&hosts[59], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = pg_text(key)}));
    }
    unsigned before = hosts[59].node->kad.n_visited;
    pass(100 * SECONDS);
    CU_ASSERT(before > KEPT);
    CU_ASSERT(hosts[59].node->kad.n_visited <= KEPT);
    CU_ASSERT(connections(&hosts[59]) > 0);
    CU_ASSERT_PTR_NOT_NULL(pg_node_session(hosts[59].node, pg_identity_peer_id(hosts[0].identity)));
    world_close();
}

/* Everybody opens a stream to the host and does not say what for. */
static unsigned begin_something(const struct host *to)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_hosts; i++)
        for (struct pg_session *s = hosts[i].node->sessions; s; s = s->next) {
            struct pg_yamux_session *y = &s->conn->yamux;
            if (!s->up || !is(&s->conn->peer, to))
                continue;
            n += pg_yamux_frame(y, PG_YAMUX_WINDOW, PG_YAMUX_SYN, y->next_id, 0, PG_NONE);
            y->next_id += 2;
            pg_sim_poke(hosts[i].process);
        }
    return n;
}

static void connections_of_visits_are_never_many_whatever_strangers_begin_on_them(void)
{
    unsigned most = 0, begun = 0;
    mesh(60);
    for (unsigned i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof key, "/y/%u", i);
        CU_ASSERT(answered(&hosts[59], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = pg_text(key)}));
        begun += begin_something(&hosts[59]);
        pass(SECONDS);
        most = hosts[59].node->kad.n_visited > most ? hosts[59].node->kad.n_visited : most;
    }
    CU_ASSERT(begun > 100);
    CU_ASSERT(most > KEPT && most <= 2 * KEPT);
    world_close();
}

static void the_table_is_refreshed_when_it_has_rested(void)
{
    mesh(4);
    uint64_t before = hosts[2].node->metrics.value[PG_METRIC_KAD_QUERIES_DONE];
    pass(60 * SECONDS);
    uint64_t calm = hosts[2].node->metrics.value[PG_METRIC_KAD_QUERIES_DONE];
    CU_ASSERT(calm - before <= 8);
    pass(400 * SECONDS);
    CU_ASSERT(hosts[2].node->metrics.value[PG_METRIC_KAD_QUERIES_DONE] > calm);
    stop(&hosts[3]);
    pass(700 * SECONDS);
    CU_ASSERT_EQUAL(pg_kad_known(hosts[2].node), 2); /* who has gone is gone from the table */
    world_close();
}

static void what_is_announced_among_sixty_is_found_within_a_second(void)
{
    mesh(60);
    uint64_t begun = pg_sim_now(sim);
    CU_ASSERT(provides(&hosts[17]));
    CU_ASSERT(hosts[17].n_peers >= PG_KAD_K);
    CU_ASSERT(answered(&hosts[42], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = WEB, .enough = 1}));
    CU_ASSERT(is(&hosts[42].found[0].id, &hosts[17]));
    CU_ASSERT(hosts[42].done_us - begun < SECONDS);
    world_close();
}

static uint32_t most_at_once(struct host *h)
{
    uint32_t most = 0;
    ask(h, (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = WEB});
    for (unsigned i = 0; i < 100000 && !h->done; i++) {
        uint32_t out = h->query->frontier.n_asked;
        most = out > most ? out : most;
        pass(200);
    }
    CU_ASSERT(h->done);
    return most;
}

static void as_many_are_asked_at_once_as_the_option_says(void)
{
    world_open(30);
    hosts[28].config.limits.value[PG_LIMIT_KAD_PARALLELISM] = 1;
    hosts[29].config.limits.value[PG_LIMIT_KAD_PARALLELISM] = 7;
    for (unsigned i = 0; i < 30; i++) {
        if (i > 0)
            bootstrap(&hosts[i], 0);
        start(&hosts[i]);
        pass(SECONDS / 20);
    }
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(most_at_once(&hosts[28]), 1);
    CU_ASSERT_EQUAL(most_at_once(&hosts[27]), 3);
    CU_ASSERT_EQUAL(most_at_once(&hosts[29]), 7);
    world_close();
}

/* A peer that serves Kademlia and lies. */

static struct {
    uint8_t text[4096];
    size_t len;
    unsigned n_asked;
} lie;

static void lie_opened(struct pg_stream *s)
{
    (void)s;
}

static void lie_data(struct pg_stream *s, struct pg_bytes data)
{
    pg_stream_consumed(s, data.len);
    lie.n_asked++;
    if (pg_stream_write(s, pg_bytes(lie.text, lie.len)))
        pg_stream_end(s);
}

static void lie_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler liar = {.protocol = {(const uint8_t *)PG_PROTOCOL_KAD, sizeof PG_PROTOCOL_KAD - 1},
                                       .opened = lie_opened, .data = lie_data, .ended = lie_opened, .writable = lie_opened,
                                       .closed = lie_closed};

static void lies(struct host *h)
{
    CU_ASSERT(pg_node_serve(h->node, &liar));
}

static void open_with_a_liar(void)
{
    world_open(4);
    hosts[0].config.kad_protocol = PG_LIT("/other/kad/1.0.0");
    start_with(&hosts[0], lies);
    for (unsigned i = 1; i < 4; i++) {
        bootstrap(&hosts[i], 0);
        if (i > 1)
            bootstrap(&hosts[i], 1);
        start(&hosts[i]);
        pass(SECONDS / 10);
    }
    pass(2 * SECONDS);
}

static void lie_message(const struct pg_pb_kad_message *m)
{
    struct pg_writer w = pg_writer(lie.text, sizeof lie.text);
    pg_pb_kad_message_write_framed(m, &w);
    CU_ASSERT_FALSE(w.failed);
    lie.len = w.len;
}

static size_t write_peer(uint8_t *room, size_t size, struct pg_bytes id, const char *address)
{
    struct pg_multiaddr addr;
    struct pg_writer w = pg_writer(room, size);
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_text(address)), PG_OK);
    struct pg_pb_kad_peer p = {.has_id = true, .id = id, .n_addrs = 1, .addrs = {pg_bytes(addr.at, addr.len)}};
    pg_pb_kad_peer_write(&p, &w);
    return w.len;
}

static void our_own_id_and_the_same_peer_many_times_are_passed_over(void)
{
    uint8_t us[128], same[128];
    struct pg_pb_kad_message m = {.has_type = true, .type = PG_PB_KAD_MESSAGE_TYPE_FIND_NODE};
    memset(&lie, 0, sizeof lie);
    lie_message(&m);
    open_with_a_liar();
    size_t n_us = write_peer(us, sizeof us, id_of(&hosts[2]), "/ip4/10.0.0.3/tcp/4001");
    size_t n_same = write_peer(same, sizeof same, id_of(&hosts[3]), "/ip4/10.0.0.4/tcp/4001");
    for (unsigned i = 0; i < 32; i++)
        m.closer_peers[m.n_closer_peers++] = i % 2 ? pg_bytes(us, n_us) : pg_bytes(same, n_same);
    lie_message(&m);
    lie.n_asked = 0;
    CU_ASSERT(answered(&hosts[2], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = WEB}));
    CU_ASSERT(lie.n_asked > 0);
    CU_ASSERT_EQUAL(hosts[2].n_closest, 3);
    for (unsigned i = 0; i < hosts[2].n_closest; i++)
        CU_ASSERT(!is(&hosts[2].closest[i], &hosts[2]));
    CU_ASSERT(hosts[2].messages <= 4);
    world_close();
}

static void a_lie_about_providers_makes_nobody_dial_where_it_should_not(void)
{
    uint8_t loopback[128], nowhere[128];
    struct pg_pb_kad_message m = {.has_type = true, .type = PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS};
    memset(&lie, 0, sizeof lie);
    lie_message(&m);
    open_with_a_liar();
    size_t n_loopback = write_peer(loopback, sizeof loopback, id_of(&hosts[1]), "/ip4/127.0.0.1/tcp/22");
    struct pg_peer_id invented = *pg_identity_peer_id(hosts[1].identity);
    invented.at[invented.len - 1] ^= 1;
    size_t n_nowhere = write_peer(nowhere, sizeof nowhere, pg_bytes(invented.at, invented.len), "/ip4/169.254.169.254/tcp/80");
    m.provider_peers[m.n_provider_peers++] = pg_bytes(nowhere, n_nowhere);
    m.closer_peers[m.n_closer_peers++] = pg_bytes(nowhere, n_nowhere);
    m.closer_peers[m.n_closer_peers++] = pg_bytes(loopback, n_loopback);
    lie_message(&m);
    uint64_t failed = hosts[2].node->metrics.value[PG_METRIC_DIALS_FAILED];
    CU_ASSERT(looks(&hosts[2]));
    CU_ASSERT_EQUAL(hosts[2].n_found, 1);
    CU_ASSERT_EQUAL(hosts[2].found[0].n_addrs, 0); /* it is named, and no address of it is good */
    CU_ASSERT_EQUAL(hosts[2].node->metrics.value[PG_METRIC_DIALS_FAILED], failed);
    world_close();
}

static unsigned arrivals;

static void note_arrival(void *context, struct pg_sim_socket *fresh)
{
    (void)context;
    arrivals++;
    pg_sim_close(fresh);
}

/* Row 25: all of them at the address of somebody who has nothing to do with it. */
static void a_liar_who_names_a_victim_many_times_has_it_dialled_a_few_times(void)
{
    static const struct pg_sim_user victim = {.accepted = note_arrival};
    static uint8_t texts[32][512];
    struct pg_pb_kad_message m = {.has_type = true, .type = PG_PB_KAD_MESSAGE_TYPE_FIND_NODE};
    memset(&lie, 0, sizeof lie);
    lie_message(&m);
    open_with_a_liar();
    for (unsigned i = 0; i < 32; i++) {
        struct pg_peer_id invented = *pg_identity_peer_id(hosts[1].identity);
        struct pg_pb_kad_peer p = {.has_id = true};
        struct pg_multiaddr addrs[4];
        struct pg_writer w = pg_writer(texts[i], sizeof texts[i]);
        invented.at[invented.len - 1] ^= (uint8_t)(i + 1);
        p.id = pg_bytes(invented.at, invented.len);
        for (unsigned k = 0; k < 4; k++) {
            struct pg_endpoint at = pg_sim_endpoint(5, (uint16_t)(2000 + k));
            pg_multiaddr_from_tcp(&addrs[k], &at);
            p.addrs[p.n_addrs++] = pg_bytes(addrs[k].at, addrs[k].len);
        }
        pg_pb_kad_peer_write(&p, &w);
        m.closer_peers[m.n_closer_peers++] = pg_bytes(texts[i], w.len);
    }
    lie_message(&m);
    lie.n_asked = arrivals = 0;
    for (unsigned k = 0; k < 4; k++)
        CU_ASSERT_PTR_NOT_NULL(pg_sim_listen(sim, 5, pg_sim_endpoint(5, (uint16_t)(2000 + k)), &victim, NULL));
    CU_ASSERT(answered(&hosts[2], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = WEB}));
    CU_ASSERT(lie.n_asked > 0);
    CU_ASSERT(arrivals > 0);
    CU_ASSERT(arrivals <= 4 * 12); /* of 128 that were offered */
    CU_ASSERT_EQUAL(hosts[2].n_closest, 3);
    world_close();
}

static void answers_that_are_none_cost_the_liar_its_place_only(void)
{
    static const char *const texts[] = {"\x05hello", "\xff\xff\xff\xff\x7f", "\x02\x08\x63", ""};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        memset(&lie, 0, sizeof lie);
        lie.len = strlen(texts[i]);
        memcpy(lie.text, texts[i], lie.len);
        open_with_a_liar();
        CU_ASSERT(provides(&hosts[1]));
        CU_ASSERT(looks(&hosts[3]));
        CU_ASSERT(is(&hosts[3].found[0].id, &hosts[1]));
        CU_ASSERT(lie.n_asked > 0);
        CU_ASSERT(hosts[3].node->metrics.value[PG_METRIC_KAD_REQUESTS_FAILED] > 0);
        pass(20 * SECONDS);
        CU_ASSERT_EQUAL(hosts[3].node->kad.requests.used, 0);
        world_close();
    }
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"who has bootstrapped participates at once", who_has_bootstrapped_participates_at_once},
        {"what one provides another finds over a third", what_one_provides_another_finds_over_a_third},
        {"values are put and got and the newer one stays", values_are_put_and_got_and_the_newer_one_stays},
        {"who keeps an old value is corrected", who_keeps_an_old_value_is_corrected},
        {"what a single peer says is not spread", what_a_single_peer_says_is_not_spread},
        {"a quorum ends a look up for a value early", a_quorum_ends_a_look_up_for_a_value_early},
        {"peers are found by their id", peers_are_found_by_their_id},
        {"the nearest of forty peers are found in order", the_nearest_of_forty_peers_are_found_in_order},
        {"the own record is told of first and nobody twice", the_own_record_is_told_of_first_and_nobody_twice},
        {"who has found enough stops", who_has_found_enough_stops},
        {"a question waits for the first server", a_question_waits_for_the_first_server},
        {"a question without any server ends with its time", a_question_without_any_server_ends_with_its_time},
        {"peers that have vanished cost seconds and no result", peers_that_have_vanished_cost_seconds_and_no_result},
        {"the network lives on without its bootstrap peer", the_network_lives_on_without_its_bootstrap_peer},
        {"with hardly any dials allowed a look up waits and succeeds", with_hardly_any_dials_allowed_a_look_up_waits_and_succeeds},
        {"too many questions at once are refused and counted", too_many_questions_at_once_are_refused_and_counted},
        {"whoever forgets a question while it is answered hears no more", whoever_forgets_a_question_while_it_is_answered_hears_no_more},
        {"connections of visits are few after a rest", connections_of_visits_are_few_after_a_rest},
        {"connections of visits are never many, whatever strangers begin on them", connections_of_visits_are_never_many_whatever_strangers_begin_on_them},
        {"the table is refreshed when it has rested", the_table_is_refreshed_when_it_has_rested},
        {"what is announced among sixty is found within a second", what_is_announced_among_sixty_is_found_within_a_second},
        {"as many are asked at once as the option says", as_many_are_asked_at_once_as_the_option_says},
        {"our own id and the same peer many times are passed over", our_own_id_and_the_same_peer_many_times_are_passed_over},
        {"a lie about providers makes nobody dial where it should not", a_lie_about_providers_makes_nobody_dial_where_it_should_not},
        {"a liar who names a victim many times has it dialled a few times", a_liar_who_names_a_victim_many_times_has_it_dialled_a_few_times},
        {"answers that are none cost the liar its place only", answers_that_are_none_cost_the_liar_its_place_only},
    };
    tell_fd = argc > 1 && strcmp(argv[1], "--tell") == 0 ? 2 : -1;
    return RUN_SUITE("Kademlia between cores", sentences);
}
