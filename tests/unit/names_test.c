/* publish and resolve with their data, in a world that is made in names_world.h. Run by ctest.
 * Serves spec/machine/publish.sm and resolve.sm. */
#include "names_world.h"

/* publish */

static void publish_begin(struct pg_publish *p)
{
    begin();
    pg_publish_begin(p, NODE, PG_LIT("echo"), 1);
}

static void a_service_is_announced_under_its_key_and_then_by_its_name_in_json(void)
{
    struct pg_publish p;
    publish_begin(&p);
    CU_ASSERT_EQUAL(w.n_queries, 0);
    pg_publish_provide(&p);
    pg_publish_record(&p);
    CU_ASSERT_EQUAL_FATAL(w.n_queries, 1);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_PROVIDE);
    CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(last()->key, last()->key_len), PG_LIT("/punchgate/svc/echo")));
    answer(last(), PG_OK, 20);
    CU_ASSERT_EQUAL_FATAL(w.n_queries, 2);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_PUT_VALUE);
    CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(last()->key, last()->key_len), PG_LIT("/punchgate/svc/echo")));
    CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(last()->value, last()->value_len), PG_LIT("\"echo\"")));
    answer(last(), PG_OK, 20);
    CU_ASSERT_EQUAL(p.in.ctl.state, PG_PUBLISH_PUBLISHED);
    pg_publish_end(&p);
    CU_ASSERT_EQUAL(w.n_withdrawn, 1);
}

static void a_service_that_a_reload_has_added_is_announced_at_once(void)
{
    struct pg_publish p;
    begin();
    w.participates = true;
    pg_publish_begin(&p, NODE, PG_LIT("echo"), 1);
    CU_ASSERT_EQUAL(w.n_queries, 1);
    pg_publish_end(&p);
    CU_ASSERT_EQUAL(w.n_forgotten, 1);
    CU_ASSERT_EQUAL(w.n_withdrawn, 1);
    pass(3600ull * SECOND_US);
    CU_ASSERT_EQUAL(w.n_queries, 1); /* and never again once it is withdrawn */
}

/* A day of a peer without bootstrap peers, with the phase machine as it ships. */
static void a_published_service_is_announced_again_every_300_seconds_of_a_day(void)
{
    static const struct pg_bytes names[] = {{(const uint8_t *)"echo", 4}};
    struct pg_publish p;
    static struct pg_control_plane plane;
    struct pg_seed_command c;
    uint64_t longest_us = 0, before_us = 0;
    uint32_t announced = 0;
    publish_begin(&p);
    w.plane = &plane;
    pg_control_plane_init(&plane, &(struct pg_control_config){.exposed = names, .n_exposed = 1, .seed = 1}, &w.scope);
    pg_control_plane_input(&plane, &(struct pg_seed_event){.kind = PG_SEED_NODE_STARTED});
    pg_control_plane_input(&plane, &(struct pg_seed_event){.kind = PG_SEED_NO_BOOTSTRAP_PEERS});
    uint64_t begun_us = w.scope.now_us;
    while (w.scope.now_us - begun_us < 86400ull * SECOND_US) {
        while (pg_control_plane_poll(&plane, &c))
            if (c.kind == PG_DO_KADEMLIA_START_PROVIDING)
                pg_publish_provide(&p);
            else if (c.kind == PG_DO_KADEMLIA_PUT_RECORD)
                pg_publish_record(&p);
        while (last()->open) {
            uint64_t gap = before_us ? last()->asked_us - before_us : 0;
            if (last()->op == PG_KAD_PROVIDE) {
                longest_us = gap > longest_us ? gap : longest_us;
                before_us = last()->asked_us;
                announced++;
            }
            answer(last(), PG_OK, 20);
        }
        pass(SECOND_US);
        pg_control_plane_settle(&plane);
    }
    CU_ASSERT_EQUAL(announced, 288);
    CU_ASSERT_TRUE(longest_us <= 301ull * SECOND_US); /* a record of 15 minutes, the shortest that there is, has never ended */
    pg_publish_end(&p);
    pg_control_plane_end(&plane);
}

static void an_announcement_that_fails_is_tried_again_after_1_s_doubling_to_60_s(void)
{
    struct pg_publish p;
    uint64_t before_us;
    publish_begin(&p);
    pg_publish_provide(&p);
    for (uint64_t wait = 1, n = 0; n < 10; n++, wait = wait * 2 < 60 ? wait * 2 : 60) {
        before_us = w.scope.now_us;
        answer(last(), PG_ERR_TIMEOUT, 0);
        CU_ASSERT_EQUAL(p.in.ctl.state, PG_PUBLISH_WAITING);
        uint32_t asked = w.n_queries;
        while (w.n_queries == asked)
            pass(10000);
        uint64_t waited = last()->asked_us - before_us;
        CU_ASSERT_TRUE(waited >= wait * SECOND_US * 9 / 10 - 1 && waited <= wait * SECOND_US * 11 / 10 + 1);
    }
    CU_ASSERT_EQUAL(said("start_providing failed"), 1); /* once, not ten times */
    pg_publish_end(&p);
}

static void the_first_peer_of_a_mesh_tells_the_first_that_comes_and_does_not_wake_for_nobody(void)
{
    struct pg_publish p;
    publish_begin(&p);
    w.servers = 0;
    w.participates = true;
    pg_publish_provide(&p);
    pg_publish_record(&p);
    answer(last(), PG_ERR_TIMEOUT, 0);
    CU_ASSERT_EQUAL(pg_timers_next(&w.scope), UINT64_MAX);
    CU_ASSERT_EQUAL(said("failed"), 0);
    w.servers = 1;
    pg_publish_company(&p);
    CU_ASSERT_EQUAL(w.n_queries, 2);
    answer(last(), PG_OK, 1);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_PUT_VALUE); /* it is not forgotten over that */
    pg_publish_end(&p);
}

static void what_few_have_is_told_to_newcomers_5_s_after_the_first_of_them(void)
{
    struct pg_publish p;
    publish_begin(&p);
    pg_publish_provide(&p);
    answer(last(), PG_OK, 3);
    for (unsigned i = 0; i < 40; i++) {
        pg_publish_company(&p);
        pass(SECOND_US / 10);
    }
    CU_ASSERT_EQUAL(w.n_queries, 1);
    pass(SECOND_US);
    CU_ASSERT_EQUAL(w.n_queries, 2);
    answer(last(), PG_OK, 20);
    pg_publish_company(&p);
    pass(60ull * SECOND_US);
    CU_ASSERT_EQUAL(w.n_queries, 2); /* as many as there shall be have it */
    pg_publish_end(&p);
}

static void addresses_that_change_are_told_even_while_the_old_ones_are_on_their_way(void)
{
    struct pg_publish p;
    publish_begin(&p);
    pg_publish_provide(&p);
    pg_publish_moved(&p);
    CU_ASSERT_EQUAL(w.n_queries, 1);
    answer(last(), PG_OK, 20);
    CU_ASSERT_EQUAL(w.n_queries, 2);
    answer(last(), PG_OK, 20);
    pg_publish_moved(&p);
    CU_ASSERT_EQUAL(w.n_queries, 3);
    pg_publish_end(&p);
}

/* Forty services of a peer that is alone: of the questions that wait for a first server there are only so many. */
static void a_question_that_is_refused_while_nobody_is_known_is_no_end_to_the_peer(void)
{
    struct pg_publish p;
    publish_begin(&p);
    w.servers = 0;
    w.participates = w.full = true;
    pg_publish_provide(&p);
    pg_publish_record(&p);
    CU_ASSERT_EQUAL(p.in.ctl.state, PG_PUBLISH_UNPUBLISHED);
    w.full = false;
    w.servers = 1;
    pg_publish_company(&p);
    answer(last(), PG_OK, 1);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_PUT_VALUE);
    pg_publish_end(&p);
}

static void too_many_questions_at_once_are_only_a_reason_to_wait(void)
{
    struct pg_publish p;
    publish_begin(&p);
    w.full = true;
    pg_publish_provide(&p);
    pg_publish_record(&p);
    CU_ASSERT_EQUAL(p.in.ctl.state, PG_PUBLISH_WAITING);
    w.full = false;
    pass(2 * SECOND_US);
    answer(last(), PG_OK, 20);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_PUT_VALUE);
    pg_publish_end(&p);
}

/* resolve */

static void someone_connected(void *context, struct pg_session *s)
{
    (void)context;
    w.woken++;
    CU_ASSERT_TRUE(s->up);
}

static void someone_looked(void *context)
{
    (void)context;
    w.looked++;
}

static const struct pg_resolve_user user = {.connected = someone_connected, .looked = someone_looked};
static struct pg_candidate room[PG_RESOLVE_CANDIDATES];
static struct pg_peer_id pins[2];

static void resolve_begin(struct pg_resolve *r, uint32_t n_allowed)
{
    begin();
    w.participates = true;
    memset(room, 0, sizeof room);
    pg_resolve_begin(r, NODE, &(struct pg_resolve_config){.name = PG_LIT("echo"), .allowed = pins, .n_allowed = n_allowed,
                     .room = PG_RESOLVE_CANDIDATES, .candidates = room}, &user, NULL, 1);
}

static void find_one(unsigned peer)
{
    struct pg_kad_contact c = {.id = peer_of(peer)};
    CU_ASSERT_TRUE_FATAL(last()->open);
    last()->asker->found(last()->asker, &c);
}

static void lose(struct pg_resolve *r, unsigned peer)
{
    struct pg_peer_id id = peer_of(peer);
    struct pg_session *s = pg_node_session(NODE, &id);
    s->up = false;
    pg_resolve_peer_lost(r, &id);
}

static bool uses(const struct pg_resolve *r, unsigned peer)
{
    struct pg_peer_id id = peer_of(peer);
    return pg_resolve_used(r) && pg_peer_id_equal(pg_resolve_used(r), &id);
}

/* Everybody is heard at once, and nobody has it. `reasons`: somebody hurries and somebody comes 100 times a second. */
static uint32_t looked_in(uint64_t seconds, bool reasons, uint64_t at_us[], uint32_t most)
{
    struct pg_resolve r;
    uint32_t seen = 0;
    resolve_begin(&r, 0);
    uint64_t begun_us = w.scope.now_us;
    while (w.scope.now_us - begun_us < seconds * SECOND_US) {
        for (; seen < w.n_queries; seen++)
            if (seen < most)
                at_us[seen] = w.scope.now_us - begun_us;
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        if (reasons) {
            pg_resolve_hurry(&r);
            pg_resolve_company(&r);
        }
        pass(10000);
    }
    CU_ASSERT_EQUAL(w.looked + last()->open, w.n_queries); /* each is told of */
    CU_ASSERT_EQUAL(said("DHT lookup finished with no providers"), 1);
    CU_ASSERT_EQUAL(said("starting DHT provider lookup"), 1);
    pg_resolve_end(&r);
    return seen;
}

static void a_missing_service_is_looked_up_soon_at_first_and_then_less_and_less(void)
{
    static const unsigned hundredths[] = {25, 50, 100, 100, 100, 100, 200, 400, 800, 1600, 3200, 6000, 6000};
    uint64_t at[32];
    uint32_t n = looked_in(250, false, at, 32);
    CU_ASSERT_TRUE_FATAL(n >= 13 && n < 20);
    for (unsigned i = 0; i < 13; i++) {
        uint64_t gap = at[i + 1] - at[i], wanted = hundredths[i] * 10000ull;
        CU_ASSERT_TRUE(gap >= wanted * 8 / 10 && gap <= wanted * 12 / 10 + 20000);
    }
    CU_ASSERT_TRUE(looked_in(60, false, at, 32) <= 12);
}

static void at_most_20_look_ups_are_made_in_any_60_s_whoever_hurries_and_whoever_comes(void)
{
    uint64_t at[256];
    uint32_t n = looked_in(600, true, at, 256);
    CU_ASSERT_TRUE(n > 60);
    for (unsigned i = 0; i + 20 < n; i++)
        CU_ASSERT_TRUE(at[i + 20] - at[i] >= 60ull * SECOND_US);
}

static void whoever_comes_late_is_heard_at_once_after_any_rest(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 3700ull * SECOND_US; pass(SECOND_US))
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
    for (unsigned i = 0; i < 3; i++) {
        pass(2 * SECOND_US);
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        uint32_t asked = w.n_queries;
        if (i == 0)
            pg_resolve_hurry(&r);
        else if (i == 1)
            pg_resolve_company(&r);
        else
            pg_resolve_look(&r);
        CU_ASSERT_EQUAL(w.n_queries, asked + 1);
        answer(last(), PG_ERR_NOT_FOUND, 5);
    }
    pg_resolve_end(&r);
}

static void a_look_up_that_hangs_keeps_nobody_from_looking_again(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    pass(3 * SECOND_US);
    CU_ASSERT_EQUAL(w.n_queries, 2);
    CU_ASSERT_EQUAL(w.n_forgotten, 1);
    find_one(7);
    pass(SECOND_US / 10);
    CU_ASSERT_TRUE(open_visit(7));
    pg_resolve_end(&r);
    CU_ASSERT_EQUAL(visits_open(), 0);
    CU_ASSERT_FALSE(last()->open);
}

static void connected_providers_come_first_then_nearer_ones_then_the_order_of_ids(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    find_one(3);
    find_one(9);
    find_one(5);
    connect(9, 90000);
    connect(5, 4000);
    connect(4, 100);
    pass(SECOND_US / 10);
    CU_ASSERT_TRUE(open_visit(5));
    CU_ASSERT_EQUAL(visits_open(), 1);
    visit_up(5);
    CU_ASSERT_TRUE(uses(&r, 5));
    CU_ASSERT_EQUAL(w.woken, 1);
    lose(&r, 5);
    CU_ASSERT_TRUE(open_visit(9));
    visit_up(9);
    lose(&r, 9);
    CU_ASSERT_TRUE(open_visit(3));
    visit_up(3);
    CU_ASSERT_TRUE(uses(&r, 3));
    CU_ASSERT_EQUAL(w.n_queries, 1); /* nobody had to be asked for that */
    pg_resolve_end(&r);
    CU_ASSERT_EQUAL(visits_open(), 0);
}

static void a_provider_at_hand_is_used_without_waiting_for_others(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    connect(9, 1000);
    find_one(9);
    CU_ASSERT_TRUE(open_visit(9));
    visit_up(9);
    CU_ASSERT_TRUE(uses(&r, 9));
    pg_resolve_end(&r);
}

static void a_provider_that_refuses_the_dial_gives_way_at_once_and_a_slow_one_after_a_second(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    find_one(1);
    find_one(2);
    find_one(3);
    answer(last(), PG_OK, 5);
    CU_ASSERT_TRUE(open_visit(1));
    visit_fails(1);
    CU_ASSERT_TRUE(open_visit(2));
    CU_ASSERT_FALSE(open_visit(3));
    pass(SECOND_US + 1000);
    CU_ASSERT_TRUE(open_visit(2) && open_visit(3)); /* the slow one may still make it */
    visit_up(3);
    CU_ASSERT_TRUE(uses(&r, 3));
    CU_ASSERT_FALSE(open_visit(2));
    CU_ASSERT_EQUAL(w.n_queries, 1);
    pg_resolve_end(&r);
}

static void when_nobody_can_be_reached_it_is_looked_for_again_with_back_off(void)
{
    struct pg_resolve r;
    uint32_t n = 0;
    resolve_begin(&r, 0);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 60ull * SECOND_US; pass(10000))
        if (last()->open) {
            n++;
            find_one(1);
            answer(last(), PG_OK, 5);
            visit_fails(1);
        }
    CU_ASSERT_TRUE(n >= 10 && n <= 12);
    CU_ASSERT_EQUAL(said("no provider of the service can be reached"), 1);
    pg_resolve_end(&r);
}

static void a_provider_without_the_service_gives_way_to_the_next(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    find_one(1);
    find_one(2);
    answer(last(), PG_OK, 5);
    visit_up(1);
    pg_resolve_refused(&r);
    CU_ASSERT_FALSE(uses(&r, 1));
    visit_up(2);
    CU_ASSERT_TRUE(uses(&r, 2));
    pg_resolve_refused(&r);
    visit_up(1); /* both refuse: who knows */
    pg_resolve_refused(&r);
    visit_up(2);
    struct pg_peer_id one = peer_of(1);
    lose(&r, 2);
    pg_resolve_peer_up(&r, pg_node_session(NODE, &one)); /* it stands, and has room for streams: no news */
    CU_ASSERT_FALSE(uses(&r, 1));
    pg_resolve_end(&r);
    CU_ASSERT_EQUAL(visits_open(), 0);
}

static void with_allow_others_are_never_used_be_they_connected_or_not(void)
{
    struct pg_resolve r;
    pins[0] = peer_of(8), pins[1] = peer_of(9);
    resolve_begin(&r, 2);
    connect(1, 10);
    find_one(1);
    find_one(2);
    answer(last(), PG_OK, 5);
    CU_ASSERT_EQUAL(w.n_visits, 0);
    pass(10ull * SECOND_US);
    find_one(1);
    find_one(9);
    answer(last(), PG_OK, 5);
    CU_ASSERT_EQUAL(w.n_visits, 1);
    visit_up(9);
    CU_ASSERT_TRUE(uses(&r, 9));
    CU_ASSERT_EQUAL(said("several peers claim"), 0);
    pg_resolve_end(&r);
}

static void our_own_service_of_that_name_is_not_used(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    find_one(200);
    answer(last(), PG_OK, 5);
    CU_ASSERT_EQUAL(w.n_visits, 0);
    pg_resolve_end(&r);
}

static void several_claimants_of_a_bare_name_are_named_once_for_each_change(void)
{
    struct pg_resolve r;
    char one[PG_PEER_ID_TEXT], two[PG_PEER_ID_TEXT];
    struct pg_peer_id id = peer_of(1);
    pg_peer_id_text(&id, one);
    id = peer_of(2);
    pg_peer_id_text(&id, two);
    resolve_begin(&r, 0);
    for (unsigned i = 0; i < 4; i++) {
        find_one(i == 3 ? 3 : 1);
        find_one(2);
        answer(last(), PG_OK, 5);
        CU_ASSERT_EQUAL(said("several peers claim"), i == 3 ? 2 : 1);
        while (visits_open())
            visit_fails(open_visit(1) ? 1 : open_visit(2) ? 2 : 3);
        uint32_t asked = w.n_queries;
        while (w.n_queries == asked)
            pass(10000);
    }
    CU_ASSERT_TRUE(said(one) >= 1 && said(two) >= 2);
    pg_resolve_end(&r);
}

static void whoever_has_withdrawn_the_service_is_not_dialled_for_it_any_more(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    find_one(1);
    answer(last(), PG_OK, 5);
    visit_fails(1);
    pass(SECOND_US);
    answer(last(), PG_ERR_NOT_FOUND, 5);
    CU_ASSERT_EQUAL(visits_open(), 0);
    CU_ASSERT_EQUAL(r.n, 0);
    pg_resolve_end(&r);
}

static void a_peer_that_is_named_is_looked_for_by_its_id_and_again_when_it_is_lost(void)
{
    struct pg_resolve r;
    struct pg_peer_id id = peer_of(6);
    begin();
    memset(room, 0, sizeof room);
    pg_resolve_begin(&r, NODE, &(struct pg_resolve_config){.peer = id, .peer_text = PG_LIT("six"), .room = 1, .candidates = room}, &user,
                     NULL, 1);
    CU_ASSERT_EQUAL(w.n_queries, 0); /* it does not participate yet */
    pg_resolve_look(&r);
    CU_ASSERT_EQUAL_FATAL(w.n_queries, 1);
    CU_ASSERT_EQUAL(last()->op, PG_KAD_FIND_PEER);
    CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(last()->key, last()->key_len), pg_bytes(id.at, id.len)));
    find_one(7);
    CU_ASSERT_EQUAL(r.n, 1); /* another peer is none of our business */
    find_one(6);
    answer(last(), PG_OK, 5);
    CU_ASSERT_TRUE(open_visit(6));
    CU_ASSERT_EQUAL(said("starting DHT lookup for tunnel target target_peer=six"), 1);
    CU_ASSERT_EQUAL(said("dialing tunnel target after DHT lookup target_peer="), 1);
    visit_up(6);
    pass(3600ull * SECOND_US);
    CU_ASSERT_EQUAL(w.n_queries, 1);
    lose(&r, 6);
    CU_ASSERT_EQUAL(w.n_queries, 2);
    connect(6, 5);
    pg_resolve_peer_up(&r, pg_node_session(NODE, &id)); /* it has come by itself */
    CU_ASSERT_TRUE(uses(&r, 6));
    CU_ASSERT_EQUAL(w.woken, 2);
    pg_resolve_end(&r);
    CU_ASSERT_EQUAL(visits_open(), 0);
}

static void a_peer_that_is_named_and_connected_is_not_looked_for(void)
{
    struct pg_resolve r;
    begin();
    w.participates = true;
    connect(6, 5);
    memset(room, 0, sizeof room);
    pg_resolve_begin(&r, NODE, &(struct pg_resolve_config){.peer = peer_of(6), .peer_text = PG_LIT("six"), .room = 1, .candidates = room},
                     &user, NULL, 1);
    CU_ASSERT_TRUE(uses(&r, 6));
    CU_ASSERT_EQUAL(w.n_queries, 0);
    pg_resolve_end(&r);
}

/* Somebody who is connected has left word with us that it provides the service. */
static void tells(struct pg_resolve *r, unsigned peer)
{
    struct pg_kad_contact c = {.id = peer_of(peer)};
    struct pg_peer_id id = peer_of(peer);
    if (!pg_node_session(NODE, &id))
        connect(peer, 1000);
    pg_resolve_told(r, &c);
}

static void a_provider_that_tells_us_of_itself_is_used_however_many_look_ups_there_have_been(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 30ull * SECOND_US; pass(10000)) {
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        pg_resolve_hurry(&r);
    }
    uint32_t asked = w.n_queries;
    CU_ASSERT_FALSE(pg_resolve_is_rested(&r));
    tells(&r, 7);
    pass(SECOND_US / 10);
    visit_up(7);
    CU_ASSERT_TRUE(uses(&r, 7));
    CU_ASSERT_EQUAL(w.n_queries, asked);
    pg_resolve_end(&r);
    CU_ASSERT_EQUAL(visits_open(), 0);
}

static void whoever_tells_of_itself_again_and_again_puts_off_no_look_up(void)
{
    struct pg_resolve r;
    uint32_t n = 0;
    resolve_begin(&r, 0);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 600ull * SECOND_US; pass(SECOND_US / 4)) {
        if (last()->open) {
            answer(last(), PG_ERR_NOT_FOUND, 5);
            n++;
        }
        tells(&r, 7);
        pass(SECOND_US / 10);
        if (open_visit(7))
            visit_fails(7);
    }
    CU_ASSERT_TRUE(n >= 16 && n <= 24); /* 10 in the first 35 s, then one a minute: as without it */
    pg_resolve_end(&r);
}

static void whoever_says_that_it_has_no_such_service_is_not_asked_at_once_for_telling_that_it_has(void)
{
    struct pg_resolve r;
    uint32_t used = 0;
    resolve_begin(&r, 0);
    answer(last(), PG_ERR_NOT_FOUND, 5);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 20ull * SECOND_US; pass(SECOND_US / 20)) {
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        tells(&r, 7);
        if (open_visit(7) && !uses(&r, 7))
            visit_up(7);
        if (uses(&r, 7)) {
            used++;
            pg_resolve_refused(&r);
        }
    }
    CU_ASSERT_TRUE(used >= 10 && used <= 21);
    pg_resolve_end(&r);
}

static void strangers_that_come_without_end_leave_a_local_client_its_look_ups(void)
{
    struct pg_resolve r;
    resolve_begin(&r, 0);
    for (uint64_t begun = w.scope.now_us; w.scope.now_us - begun < 300ull * SECOND_US; pass(10000)) {
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        pg_resolve_company(&r);
    }
    for (unsigned i = 0; i < 5; i++) {
        if (last()->open)
            answer(last(), PG_ERR_NOT_FOUND, 5);
        pass(SECOND_US / 5);
        uint32_t asked = w.n_queries;
        pg_resolve_hurry(&r);
        CU_ASSERT_EQUAL(w.n_queries, asked + 1);
    }
    pg_resolve_end(&r);
}

static void a_provider_that_has_failed_is_dialled_once_more_when_somebody_says_another_place(void)
{
    struct pg_resolve r;
    struct pg_kad_contact c = {.id = peer_of(4), .n_addrs = 1};
    struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}, .port = 1};
    resolve_begin(&r, 0);
    for (unsigned i = 0; i < 20; i++) {
        at.port = (uint16_t)(1 + i / 2); /* every place is said twice */
        pg_multiaddr_from_tcp(&c.addrs[0], &at);
        (i ? last()->asker->more : last()->asker->found)(last()->asker, &c);
        pass(SECOND_US / 10);
        CU_ASSERT_EQUAL(open_visit(4), i % 2 == 0 && i <= 6);
        if (open_visit(4))
            visit_fails(4);
    }
    CU_ASSERT_EQUAL(r.candidates[0].peer.n_addrs, PG_KAD_ADDRS);
    CU_ASSERT_EQUAL(w.n_visits, 4); /* and not for ever: anybody may say anything */
    pg_resolve_end(&r);
}

int main(void)
{
    static const struct sentence all[] = {
        {"a service is announced under its key and then by its name in JSON", a_service_is_announced_under_its_key_and_then_by_its_name_in_json},
        {"a service that a reload has added is announced at once", a_service_that_a_reload_has_added_is_announced_at_once},
        {"a published service is announced again every 300 seconds of a day", a_published_service_is_announced_again_every_300_seconds_of_a_day},
        {"an announcement that fails is tried again after 1 s doubling to 60 s", an_announcement_that_fails_is_tried_again_after_1_s_doubling_to_60_s},
        {"the first peer of a mesh tells the first that comes and does not wake for nobody",
         the_first_peer_of_a_mesh_tells_the_first_that_comes_and_does_not_wake_for_nobody},
        {"what few have is told to newcomers 5 s after the first of them", what_few_have_is_told_to_newcomers_5_s_after_the_first_of_them},
        {"addresses that change are told even while the old ones are on their way",
         addresses_that_change_are_told_even_while_the_old_ones_are_on_their_way},
        {"a question that is refused while nobody is known is no end to the peer",
         a_question_that_is_refused_while_nobody_is_known_is_no_end_to_the_peer},
        {"too many questions at once are only a reason to wait", too_many_questions_at_once_are_only_a_reason_to_wait},
        {"a missing service is looked up soon at first and then less and less",
         a_missing_service_is_looked_up_soon_at_first_and_then_less_and_less},
        {"at most 20 look-ups are made in any 60 s, whoever hurries and whoever comes",
         at_most_20_look_ups_are_made_in_any_60_s_whoever_hurries_and_whoever_comes},
        {"whoever comes late is heard at once after any rest", whoever_comes_late_is_heard_at_once_after_any_rest},
        {"a look-up that hangs keeps nobody from looking again", a_look_up_that_hangs_keeps_nobody_from_looking_again},
        {"connected providers come first, then nearer ones, then the order of ids",
         connected_providers_come_first_then_nearer_ones_then_the_order_of_ids},
        {"a provider at hand is used without waiting for others", a_provider_at_hand_is_used_without_waiting_for_others},
        {"a provider that refuses the dial gives way at once, and a slow one after a second",
         a_provider_that_refuses_the_dial_gives_way_at_once_and_a_slow_one_after_a_second},
        {"when nobody can be reached it is looked for again with back-off", when_nobody_can_be_reached_it_is_looked_for_again_with_back_off},
        {"a provider without the service gives way to the next", a_provider_without_the_service_gives_way_to_the_next},
        {"with allow others are never used, be they connected or not", with_allow_others_are_never_used_be_they_connected_or_not},
        {"our own service of that name is not used", our_own_service_of_that_name_is_not_used},
        {"several claimants of a bare name are named once for each change", several_claimants_of_a_bare_name_are_named_once_for_each_change},
        {"whoever has withdrawn the service is not dialled for it any more", whoever_has_withdrawn_the_service_is_not_dialled_for_it_any_more},
        {"a peer that is named is looked for by its id, and again when it is lost",
         a_peer_that_is_named_is_looked_for_by_its_id_and_again_when_it_is_lost},
        {"a provider that tells us of itself is used however many look-ups there have been",
         a_provider_that_tells_us_of_itself_is_used_however_many_look_ups_there_have_been},
        {"whoever tells of itself again and again puts off no look-up", whoever_tells_of_itself_again_and_again_puts_off_no_look_up},
        {"whoever says that it has no such service is not asked at once for telling that it has",
         whoever_says_that_it_has_no_such_service_is_not_asked_at_once_for_telling_that_it_has},
        {"strangers that come without end leave a local client its look-ups", strangers_that_come_without_end_leave_a_local_client_its_look_ups},
        {"a provider that has failed is dialled once more when somebody says another place",
         a_provider_that_has_failed_is_dialled_once_more_when_somebody_says_another_place},
        {"a peer that is named and connected is not looked for", a_peer_that_is_named_and_connected_is_not_looked_for},
    };
    return RUN_SUITE("services by name", all);
}
