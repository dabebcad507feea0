/* The ways to one peer: which connection new streams take, what becomes of the relayed one, and of two direct ones.
 * Real cores on a simulated network, where what stands for a circuit is a plain connection that both sides have been told is one.
 * Hostile row 44. */
#include "sim_world.h"

enum { HOSTS = 2 };

struct host {
    struct pg_identity *identity;
    struct pg_node_config config;
    struct pg_node *node;
    struct pg_core core;
    struct pg_log log;
    struct pg_sim_process *process;
    unsigned n_relayed, n_stands, n_barred, n_dials;
    char ping_failed[256];
};

static struct host hosts[HOSTS];

static void on_path(void *context, const struct pg_peer_id *peer, enum pg_path_news news, struct pg_bytes reason)
{
    struct host *h = context;
    CU_ASSERT(peer->len > 0);
    h->n_relayed += news == PG_PATH_RELAYED;
    h->n_stands += news == PG_PATH_STANDS;
    h->n_barred += news == PG_PATH_BARRED;
    CU_ASSERT((news == PG_PATH_BARRED) == (reason.len > 0));
}

static void on_step(void *context, const struct pg_peer_id *peer, const struct pg_path_step *step)
{
    struct host *h = context;
    (void)peer;
    h->n_dials += step->kind == PG_STEP_DIAL;
}

static void log_line(void *context, unsigned number, struct pg_bytes text)
{
    struct host *h = context;
    if (number == PG_LOG_PING_FAILED)
        pg_bytes_text(h->ping_failed, sizeof h->ping_failed, text);
    tell((unsigned)(h - hosts), text);
}

/* Bytes that come back. */
static void echo_opened(struct pg_stream *s)
{
    (void)s;
}

static void echo_data(struct pg_stream *s, struct pg_bytes data)
{
    pg_stream_consumed(s, data.len);
    (void)pg_stream_write(s, data);
}

static void echo_ended(struct pg_stream *s)
{
    pg_stream_end(s);
}

static void echo_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler echo = {.protocol = {(const uint8_t *)"/echo", 5}, .opened = echo_opened, .data = echo_data,
                                       .ended = echo_ended, .writable = echo_opened, .closed = echo_closed};

static struct {
    unsigned got, closed;
    enum pg_err why;
} heard;

static void ask_data(struct pg_stream *s, struct pg_bytes data)
{
    pg_stream_consumed(s, data.len);
    heard.got += (unsigned)data.len;
}

static void ask_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    heard.closed++;
    heard.why = why;
}

static const struct pg_handler ask = {.protocol = {(const uint8_t *)"/echo", 5}, .opened = echo_opened, .data = ask_data,
                                      .ended = echo_ended, .writable = echo_opened, .closed = ask_closed};

static const struct pg_peer_id *id(unsigned host)
{
    return pg_identity_peer_id(hosts[host].identity);
}

static struct pg_multiaddr addr_of(unsigned host)
{
    struct pg_endpoint at = pg_sim_endpoint(host, PORT);
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, &at);
    return addr;
}

static void bootstrap(unsigned from, unsigned to)
{
    struct pg_endpoint at = pg_sim_endpoint(to, PORT);
    configure_bootstrap(&hosts[from].config, &at, id(to));
}

static void world_open(enum pg_path_mode mode)
{
    sim = pg_sim_new(7);
    memset(hosts, 0, sizeof hosts);
    memset(&heard, 0, sizeof heard);
    for (unsigned i = 0; i < HOSTS; i++) {
        struct host *h = &hosts[i];
        h->log = (struct pg_log){.sink = log_line, .context = h};
        h->identity = configure(&h->config, i, 0x52, &h->log);
        h->config.path = mode;
        h->config.limits.value[PG_LIMIT_CONNS] = 32;
        h->config.limits.value[PG_LIMIT_STREAMS] = 256;
        h->config.listens[h->config.n_listens++] = addr_of(i);
    }
}

/* What is said to a core from outside is said inside a turn: a reload brings one about. */
static void (*said)(struct host *);

static void on_reload(void *context, struct pg_bytes lists)
{
    (void)lists;
    said(context);
}

static void say(unsigned host, void (*what)(struct host *))
{
    said = what;
    pg_sim_reload(hosts[host].process);
    pass(1000);
}

static void start(unsigned number)
{
    struct host *h = &hosts[number];
    h->node = pg_node_new(&h->config, &(struct pg_node_hooks){.context = h, .path = on_path, .path_step = on_step, .reload = on_reload});
    if (!h->node || !pg_node_serve(h->node, &echo))
        abort();
    h->core = pg_node_core(h->node);
    h->process = pg_sim_join(sim, number, &h->core, (struct pg_sim_hooks){.context = h, .reload = no_lists});
    pg_sim_start(h->process);
}

static void world_close(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        if (hosts[i].process && pg_sim_is_running(hosts[i].process))
            pg_sim_kill(hosts[i].process, PG_SIM_KILLED);
        pg_node_free(hosts[i].node);
        pg_identity_free(hosts[i].identity);
    }
    pg_sim_free(sim);
}

static struct pg_session *session(unsigned at, bool relayed)
{
    for (struct pg_session *s = hosts[at].node->sessions; s; s = s->next)
        if (s->up && pg_session_is_relayed(s) == relayed)
            return s;
    return NULL;
}

static unsigned sessions(unsigned at)
{
    unsigned n = 0;
    for (struct pg_session *s = hosts[at].node->sessions; s; s = s->next)
        n += s->up;
    return n;
}

/* What stands between them is a circuit from now on. */
static void call_it_relayed(struct host *h)
{
    struct pg_session *s = session((unsigned)(h - hosts), false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    s->relayed = true;
    pg_path_sessions_changed(h->node, s->place, &s->conn->peer);
}

/* identify has said where 0 is; it is 1 who hears that. */
static void tell_where(struct host *h)
{
    struct pg_multiaddr at = addr_of(0);
    pg_path_told(session((unsigned)(h - hosts), true), &at, 1);
}

/* 0 has dialled 1, over a relay as both believe. */
static void relayed_world_where(enum pg_path_mode mode, bool reachable)
{
    world_open(mode);
    if (!reachable)
        hosts[0].config.n_listens = 0;
    start(1);
    bootstrap(0, 1);
    start(0);
    pass(SECONDS);
    say(0, call_it_relayed);
    say(1, call_it_relayed);
}

static void relayed_world(enum pg_path_mode mode)
{
    relayed_world_where(mode, true);
}

/* Streams of the host that is spoken to: on which session, and the one that is meant next. */
static struct pg_session *carrier;
static struct pg_stream *opened;

static void open_it(struct host *h)
{
    enum pg_err why;
    (void)h;
    opened = pg_stream_open(carrier->conn, &ask, NULL, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(opened);
    (void)pg_stream_write(opened, PG_LIT("hello"));
}

static struct pg_stream *stream(unsigned at, struct pg_session *s)
{
    carrier = s;
    say(at, open_it);
    pass(SECONDS);
    return opened;
}

static void talk(struct host *h)
{
    (void)h;
    (void)pg_stream_write(opened, PG_LIT("still there"));
}

static void end_it(struct host *h)
{
    (void)h;
    pg_stream_end(opened);
}

static void new_streams_take_the_direct_connection_as_soon_as_it_stands(void)
{
    relayed_world(PG_PATH_AUTO);
    CU_ASSERT_PTR_NULL(pg_path_for_tunnel(hosts[0].node, id(1))); /* something better may come */
    CU_ASSERT_PTR_NOT_NULL(pg_node_session(hosts[0].node, id(1)));
    say(1, tell_where); /* the side that was dialled knows where the other is */
    pass(SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(session(0, false));
    CU_ASSERT_PTR_EQUAL(pg_path_for_tunnel(hosts[0].node, id(1)), session(0, false));
    CU_ASSERT_PTR_EQUAL(pg_node_session(hosts[1].node, id(0)), session(1, false));
    CU_ASSERT_TRUE(session(1, false)->conn->dialer); /* it is the reversal's */
    CU_ASSERT_EQUAL(hosts[0].n_relayed, 1);
    CU_ASSERT_EQUAL(hosts[0].n_stands, 1);
    CU_ASSERT_EQUAL(hosts[1].n_stands, 1);
    pass(6 * SECONDS);
    CU_ASSERT_PTR_NULL(session(0, true)); /* nobody needs it any more */
    CU_ASSERT_EQUAL(sessions(0), 1);
    CU_ASSERT_EQUAL(sessions(1), 1);
    world_close();
}

static void a_stream_on_the_relayed_connection_outlives_the_switch(void)
{
    relayed_world(PG_PATH_AUTO);
    struct pg_stream *old = stream(0, session(0, true));
    say(1, tell_where);
    pass(SECONDS);
    struct pg_stream *fresh = stream(0, pg_path_for_tunnel(hosts[0].node, id(1)));
    CU_ASSERT_FALSE(pg_session_is_relayed(pg_session_of(fresh)));
    for (unsigned minute = 0; minute < 5; minute++) {
        heard.got = 0;
        opened = old;
        say(0, talk);
        pass(60 * SECONDS);
        CU_ASSERT_EQUAL(heard.got, 11);
    }
    CU_ASSERT_PTR_NOT_NULL(session(0, true));
    say(0, end_it);
    pass(7 * SECONDS);
    CU_ASSERT_EQUAL(heard.closed, 1);
    CU_ASSERT_EQUAL(heard.why, PG_OK);
    CU_ASSERT_PTR_NULL(session(0, true));
    CU_ASSERT_PTR_NOT_NULL(session(0, false));
    world_close();
}

static void who_cannot_be_reached_directly_is_used_over_the_relay_after_a_few_seconds(void)
{
    relayed_world(PG_PATH_AUTO);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NULL(pg_path_for_tunnel(hosts[0].node, id(1)));
    pass(2 * SECONDS);
    CU_ASSERT_PTR_EQUAL(pg_path_for_tunnel(hosts[0].node, id(1)), session(0, true));
    pass(15 * SECONDS);
    CU_ASSERT_EQUAL(hosts[0].n_barred, 1);
    CU_ASSERT_EQUAL(hosts[0].n_stands, 0);
    world_close();
}

static void cut_it(struct host *h)
{
    pg_session_drop(session((unsigned)(h - hosts), true), PG_ERR_CLOSED);
}

static void nobody_waits_again_for_a_direct_way_that_was_not_to_be_had_on_another_relayed_connection(void)
{
    relayed_world(PG_PATH_AUTO);
    pass(20 * SECONDS);
    say(0, cut_it);
    pass(2 * SECONDS);
    CU_ASSERT_PTR_NULL(session(0, true));
    say(0, call_it_relayed);
    CU_ASSERT_PTR_NOT_NULL(session(0, true));
    CU_ASSERT_PTR_EQUAL(pg_path_for_tunnel(hosts[0].node, id(1)), session(0, true));
    world_close();
}

static void hurry_it(struct host *h)
{
    pg_contact_hurry(pg_node_contact(h->node, id(1)), 60000);
}

/* Host 1 closes what it has taken, as one does that has no room for strangers. */
static void who_is_refused_comes_back_by_its_back_off_also_while_a_client_waits(void)
{
    unsigned n = 0;
    world_open(PG_PATH_AUTO);
    start(1);
    bootstrap(0, 1);
    start(0);
    for (unsigned ms = 0; ms < 60000; ms += 100) {
        pass(SECONDS / 10);
        say(0, hurry_it);
        for (struct pg_session *s = hosts[0].node->sessions, *next; s; s = next) {
            next = s->next;
            if (!s->up)
                continue;
            n++;
            pg_session_drop(s, PG_ERR_LIMIT_REACHED);
        }
    }
    CU_ASSERT(n >= 4);
    CU_ASSERT(n <= 9); /* 0, 1, 3, 7, 15, 31 s and so on */
    world_close();
}

static void with_path_direct_no_tunnel_goes_over_the_relay(void)
{
    relayed_world(PG_PATH_DIRECT);
    pass(30 * SECONDS);
    CU_ASSERT_PTR_NULL(pg_path_for_tunnel(hosts[0].node, id(1)));
    CU_ASSERT_PTR_NOT_NULL(pg_node_session(hosts[0].node, id(1)));
    world_close();
}

/* Another place each time, which refuses. */
static void tell_of_somebody_else(struct host *h)
{
    static uint16_t port = 1000;
    struct pg_session *s = session((unsigned)(h - hosts), true);
    struct pg_endpoint at = pg_sim_endpoint(0, ++port);
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, &at);
    pg_address_book_learn(&h->node->addresses, &s->conn->peer, &addr, 1, h->node->scope.now_us + SECONDS);
    pg_path_told(s, &addr, 1);
}

/* Hostile row 42, with plain dials. */
static void who_tells_other_addresses_all_the_time_does_not_make_us_dial_all_the_time(void)
{
    relayed_world_where(PG_PATH_AUTO, false);
    for (unsigned i = 0; i < 160; i++) {
        say(1, tell_of_somebody_else);
        pass(SECONDS / 4);
    }
    CU_ASSERT_TRUE(hosts[1].n_dials >= 8 && hosts[1].n_dials <= 48); /* eight at once, one a second */
    world_close();
}

static void want_it(struct host *h)
{
    pg_contact_hurry(pg_node_contact(h->node, id(1)), 14000);
}

/* The side that has called: what it dials anew is not called relayed here, so that it is seen. */
static void who_wants_a_direct_connection_where_none_was_to_be_had_calls_again_at_once(void)
{
    relayed_world(PG_PATH_DIRECT);
    say(0, want_it); /* the first round is under way, and goes on */
    pass(20 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(session(0, true));
    CU_ASSERT_EQUAL(hosts[0].n_barred, 1);
    say(0, want_it);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NULL(session(0, true));
    CU_ASSERT_PTR_NOT_NULL(pg_path_for_tunnel(hosts[0].node, id(1)));
    world_close();
}

static void a_relayed_connection_that_is_used_is_not_closed_for_it(void)
{
    relayed_world(PG_PATH_DIRECT);
    struct pg_stream *s = stream(0, session(0, true));
    CU_ASSERT_PTR_NOT_NULL(s);
    pass(20 * SECONDS);
    say(0, want_it);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(session(0, true));
    CU_ASSERT_EQUAL(heard.closed, 0);
    world_close();
}

static void with_path_auto_nobody_is_called_again_for_it(void)
{
    relayed_world(PG_PATH_AUTO);
    pass(20 * SECONDS);
    CU_ASSERT_EQUAL(hosts[0].n_barred, 1);
    struct pg_session *before = session(0, true);
    say(0, want_it);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_EQUAL(session(0, true), before);
    world_close();
}

static void with_path_relay_tunnels_go_over_the_relay_and_nothing_else_is_tried(void)
{
    relayed_world(PG_PATH_RELAY);
    CU_ASSERT_PTR_EQUAL(pg_path_for_tunnel(hosts[0].node, id(1)), session(0, true));
    say(1, tell_where);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(sessions(0), 1);
    CU_ASSERT_EQUAL(sessions(1), 1);
    CU_ASSERT_EQUAL(hosts[0].n_barred, 0);
    world_close();
}

/* The client of what has stayed: both know it. */
static unsigned client_of_what_stays(void)
{
    CU_ASSERT_EQUAL(sessions(0), 1);
    CU_ASSERT_EQUAL(sessions(1), 1);
    struct pg_session *a = session(0, false), *b = session(1, false);
    CU_ASSERT_FATAL(a && b);
    CU_ASSERT_NOT_EQUAL(a->conn->client, b->conn->client);
    return a->conn->client ? 0 : 1;
}

static void of_two_direct_connections_both_sides_take_the_one_whose_client_has_the_smaller_id(void)
{
    world_open(PG_PATH_AUTO);
    unsigned smaller = memcmp(id(0)->at, id(1)->at, id(0)->len) < 0 ? 0 : 1;
    bootstrap(0, 1);
    bootstrap(1, 0);
    start(0);
    start(1);
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL_FATAL(sessions(0), 2); /* both have dialled at the same time */
    struct pg_session *taken = pg_node_session(hosts[0].node, id(1)), *there = pg_node_session(hosts[1].node, id(0));
    CU_ASSERT_EQUAL(taken->conn->client, smaller == 0);
    CU_ASSERT_EQUAL(there->conn->client, smaller == 1);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(client_of_what_stays(), smaller);
    world_close();
}

static void the_direct_connection_that_is_not_taken_drains(void)
{
    world_open(PG_PATH_AUTO);
    unsigned larger = memcmp(id(0)->at, id(1)->at, id(0)->len) < 0 ? 1 : 0;
    bootstrap(0, 1);
    bootstrap(1, 0);
    start(0);
    start(1);
    pass(2 * SECONDS);
    CU_ASSERT_EQUAL_FATAL(sessions(larger), 2);
    struct pg_session *drains = NULL;
    for (struct pg_session *s = hosts[larger].node->sessions; s; s = s->next)
        if (s->conn->client)
            drains = s;
    CU_ASSERT_PTR_NOT_NULL_FATAL(drains);
    (void)stream(larger, drains);
    pass(300 * SECONDS);
    CU_ASSERT_EQUAL(sessions(larger), 2);
    CU_ASSERT_EQUAL(heard.closed, 0);
    say(larger, end_it);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(heard.why, PG_OK);
    CU_ASSERT_EQUAL(client_of_what_stays(), 1 - larger);
    world_close();
}

/* 0 keeps itself connected to 1. */
static void plain_world(void)
{
    world_open(PG_PATH_AUTO);
    start(1);
    bootstrap(0, 1);
    start(0);
    pass(SECONDS);
}

static uint64_t silences(unsigned host)
{
    return pg_node_metrics(hosts[host].node)->value[PG_METRIC_CONNECTIONS_SILENT];
}

static void a_connection_that_goes_silent_under_a_stream_is_left_within_five_seconds(void)
{
    plain_world();
    struct pg_session *dead = session(0, false);
    (void)stream(0, dead);
    pass(10 * SECONDS); /* nothing passes any more, and nobody looks */
    CU_ASSERT_EQUAL(pg_sim_break(sim, 0, 1, PG_SIM_BREAK_SILENT), 1);
    say(0, talk);
    pass(5 * SECONDS);
    CU_ASSERT_TRUE(dead->suspect);
    struct pg_session *next = pg_path_for_tunnel(hosts[0].node, id(1));
    CU_ASSERT_PTR_NOT_EQUAL(next, dead);
    CU_ASSERT_FALSE_FATAL(!next || next->suspect);
    heard.got = 0;
    (void)stream(0, next);
    CU_ASSERT_EQUAL(heard.got, 5);
    pass(25 * SECONDS);
    CU_ASSERT_EQUAL(heard.closed, 1); /* the one on what was silent */
    CU_ASSERT_EQUAL(sessions(0), 1);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(sessions(0), 1); /* it was dialled beside another one, and is the only one now */
    world_close();
}

static void what_waits_for_an_answer_on_a_dead_connection_notices_it_too(void)
{
    plain_world();
    struct pg_session *dead = session(1, false);
    (void)stream(0, session(0, false));
    pg_sim_break(sim, 0, 1, PG_SIM_BREAK_SILENT); /* while the last bytes are not a second old: 1 waits for the next request */
    pass(5 * SECONDS);
    CU_ASSERT_TRUE(dead->suspect);
    world_close();
}

static void a_silent_connection_that_is_heard_again_is_trusted_again(void)
{
    plain_world();
    struct pg_session *slow = session(0, false);
    (void)stream(0, slow);
    pg_sim_path(sim, 0, 1)->stalled_until_us = pg_sim_now(sim) + 8 * SECONDS;
    say(0, talk);
    pass(5 * SECONDS);
    CU_ASSERT_TRUE(slow->suspect);
    heard.got = 0;
    pass(5 * SECONDS);
    CU_ASSERT_FALSE(slow->suspect);
    CU_ASSERT_EQUAL(heard.got, 11);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(sessions(0), 1); /* what was dialled meanwhile is closed again */
    world_close();
}

static void a_slow_way_is_not_taken_for_a_dead_one(void)
{
    static const uint8_t block[60000];
    plain_world();
    pg_sim_path(sim, 0, 1)->bytes_per_s = 60000;
    (void)stream(0, session(0, false));
    for (unsigned i = 0; i < 4; i++)
        (void)pg_stream_write(opened, pg_bytes(block, sizeof block));
    say(0, talk);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(silences(0), 0);
    CU_ASSERT_EQUAL(silences(1), 0);
    world_close();
}

static void an_unanswered_ping_is_told_as_such_also_after_a_good_one(void)
{
    plain_world();
    pass(20 * SECONDS);
    CU_ASSERT(pg_node_metrics(hosts[0].node)->value[PG_METRIC_PINGS] > 0);
    pg_sim_path(sim, 0, 1)->stalled_until_us = pg_sim_now(sim) + 60 * SECONDS;
    pass(37 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(strstr(hosts[0].ping_failed, "error=no answer in time"));
    world_close();
}

/* With any argument what the peers log goes to standard error. */
int main(int argc, char **argv)
{
    (void)argv;
    tell_fd = argc > 1 ? 2 : -1;
    static const struct sentence all[] = {
        {"new streams take the direct connection as soon as it stands", new_streams_take_the_direct_connection_as_soon_as_it_stands},
        {"a stream on the relayed connection outlives the switch", a_stream_on_the_relayed_connection_outlives_the_switch},
        {"who cannot be reached directly is used over the relay after a few seconds", who_cannot_be_reached_directly_is_used_over_the_relay_after_a_few_seconds},
        {"nobody waits again for a direct way that was not to be had, on another relayed connection",
         nobody_waits_again_for_a_direct_way_that_was_not_to_be_had_on_another_relayed_connection},
        {"who is refused comes back by its back-off, also while a client waits",
         who_is_refused_comes_back_by_its_back_off_also_while_a_client_waits},
        {"who tells other addresses all the time does not make us dial all the time", who_tells_other_addresses_all_the_time_does_not_make_us_dial_all_the_time},
        {"with path direct no tunnel goes over the relay", with_path_direct_no_tunnel_goes_over_the_relay},
        {"who wants a direct connection where none was to be had calls again at once",
         who_wants_a_direct_connection_where_none_was_to_be_had_calls_again_at_once},
        {"a relayed connection that is used is not closed for it", a_relayed_connection_that_is_used_is_not_closed_for_it},
        {"with path auto nobody is called again for it", with_path_auto_nobody_is_called_again_for_it},
        {"with path relay tunnels go over the relay and nothing else is tried", with_path_relay_tunnels_go_over_the_relay_and_nothing_else_is_tried},
        {"of two direct connections both sides take the one whose client has the smaller id", of_two_direct_connections_both_sides_take_the_one_whose_client_has_the_smaller_id},
        {"the direct connection that is not taken drains", the_direct_connection_that_is_not_taken_drains},
        {"a connection that goes silent under a stream is left within five seconds", a_connection_that_goes_silent_under_a_stream_is_left_within_five_seconds},
        {"what waits for an answer on a dead connection notices it too", what_waits_for_an_answer_on_a_dead_connection_notices_it_too},
        {"a silent connection that is heard again is trusted again", a_silent_connection_that_is_heard_again_is_trusted_again},
        {"a slow way is not taken for a dead one", a_slow_way_is_not_taken_for_a_dead_one},
        {"an unanswered ping is told as such also after a good one", an_unanswered_ping_is_told_as_such_also_after_a_good_one},
    };
    return RUN_SUITE("path", all);
}
