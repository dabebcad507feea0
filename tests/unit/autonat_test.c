/* AutoNAT, both versions and both sides: real cores on a simulated public network, and where it matters streams that are spoken by
 * hand. Run by ctest. Serves src/core/autonat*.c, reach.c and probe.c; hostile row 45. */
#include "sim_world.h"

enum { HOSTS = 5 };

struct host {
    struct pg_identity *identity;
    struct pg_node_config config;
    struct pg_node *node;
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_log log;
    unsigned number, n_logged[PG_LOGS];
};
static struct host hosts[HOSTS];
static struct host *const server = &hosts[0], *const client = &hosts[1], *const other = &hosts[2];

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    struct host *h = context;
    h->n_logged[id]++;
    tell(h->number, text);
}

static void world_open(void)
{
    sim = pg_sim_new(5);
    memset(hosts, 0, sizeof hosts);
    pg_sim_wan(sim);
    for (unsigned i = 0; i < HOSTS; i++) {
        struct host *h = &hosts[i];
        h->number = i;
        h->log = (struct pg_log){.sink = log_line, .context = h};
        h->identity = configure(&h->config, i, 0x61, &h->log);
        h->config.limits.value[PG_LIMIT_CONNS_INBOUND] = 120;
        h->config.nat_status = 1; /* asks nobody by itself */
    }
}

static void on_reload(void *context, struct pg_bytes lists)
{
    (void)context;
    (void)lists;
}

static void start(struct host *h)
{
    struct pg_node_hooks hooks = {.context = h, .reload = on_reload};
    struct pg_endpoint at = pg_sim_inside(sim, h->number, PORT), there = pg_sim_inside(sim, server->number, PORT);
    pg_multiaddr_from_tcp(&h->config.listens[h->config.n_listens++], &at);
    if (h != server)
        configure_bootstrap(&h->config, &there, pg_identity_peer_id(server->identity));
    h->node = pg_node_new(&h->config, &hooks);
    if (!h->node)
        abort();
    h->core = pg_node_core(h->node);
    h->process = pg_sim_join(sim, h->number, &h->core, (struct pg_sim_hooks){.context = h, .reload = no_lists});
    pg_sim_start(h->process);
}

static void world_start(void)
{
    for (unsigned i = 0; i < 3; i++) {
        start(&hosts[i]);
        pass(SECONDS / 10);
    }
    pass(SECONDS / 2);
    CU_ASSERT_FATAL(client->node->sessions && client->node->sessions->up);
}

static void world_close(void)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        struct host *h = &hosts[i];
        if (h->process && pg_sim_is_running(h->process))
            pg_sim_kill(h->process, PG_SIM_KILLED);
        pg_node_free(h->node);
        pg_identity_free(h->identity);
    }
    pg_sim_free(sim);
}

static void awake(struct host *h)
{
    pg_sim_reload(h->process);
    pass(0);
}

static struct pg_session *to_server(void)
{
    return pg_node_session(client->node, pg_identity_peer_id(server->identity));
}

static struct pg_multiaddr addr_of(const struct host *h, uint16_t port)
{
    struct pg_multiaddr addr;
    struct pg_endpoint at = pg_sim_inside(sim, h->number, port);
    pg_multiaddr_from_tcp(&addr, &at);
    return addr;
}

/* Questions of the real client. */

static struct pg_autonat_question question;
static unsigned n_told;

static void told(struct pg_autonat_question *q)
{
    (void)q;
    n_told++;
}

static void ask(unsigned version, const struct pg_multiaddr *addr)
{
    memset(&question, 0, sizeof question);
    n_told = 0;
    question.told = told;
    question.addrs[question.n_addrs++] = *addr;
    awake(client);
    CU_ASSERT_TRUE_FATAL(pg_autonat_question_begin(&question, to_server(), version));
    pg_sim_poke(client->process);
    pass(40 * SECONDS);
    CU_ASSERT_EQUAL(n_told, 1);
    pg_autonat_question_end(&question);
}

static void who_listens_is_reached_and_who_does_not_is_not(void)
{
    world_open();
    world_start();
    struct pg_multiaddr here = addr_of(client, PORT), nowhere = addr_of(client, 9);
    for (unsigned version = 1; version <= 2; version++) {
        ask(version, &here);
        CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_REACHED);
        CU_ASSERT_EQUAL(question.tested, 0);
        CU_ASSERT_EQUAL(question.cost, 0);
    }
    ask(2, &nowhere);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNREACHED);
    CU_ASSERT_EQUAL(server->node->metrics.value[PG_METRIC_AUTONAT_SERVED_OK], 2);
    CU_ASSERT_EQUAL(server->node->metrics.value[PG_METRIC_AUTONAT_SERVED_FAILED], 1);
    world_close();
}

static void behind_a_nat_nobody_is_reached_by_the_mapping_of_his_own_dial(void)
{
    static const struct pg_sim_nat restricted = {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_PORT};
    world_open();
    pg_sim_router(sim, client->number, &restricted);
    world_start();
    struct pg_multiaddr seen = to_server()->observed;
    for (unsigned version = 1; version <= 2; version++) {
        ask(version, &seen);
        CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNREACHED);
    }
    world_close();
}

static void another_ip_costs_its_asker_ten_times_a_handshake(void)
{
    world_open();
    world_start();
    struct pg_multiaddr there = addr_of(other, PORT), nobody = addr_of(&hosts[4], PORT);
    uint64_t arrivals = other->node->arrivals;
    ask(1, &there); /* version 1 dials the asker's own IP only: where it is seen */
    CU_ASSERT_EQUAL(other->node->arrivals, arrivals);
    ask(2, &there);
    CU_ASSERT_EQUAL(other->node->arrivals, arrivals + 1); /* and somebody else answers there: one handshake for all that */
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNREACHED);
    CU_ASSERT(question.cost >= PG_AUTONAT_COST_LEAST && question.cost < PG_AUTONAT_COST_LEAST + PG_AUTONAT_COST_MORE + 4096);
    ask(2, &nobody);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNREACHED);
    world_close();
}

static void nobody_is_dialled_at_private_addresses_and_often(void)
{
    struct pg_multiaddr private;
    world_open();
    server->config.limits.value[PG_LIMIT_AUTONAT_PEER] = 2;
    world_start();
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&private, PG_LIT("/ip4/10.0.0.2/tcp/4001")), PG_OK);
    ask(2, &private);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(question.why, PG_ERR_AUTONAT_REFUSED);
    CU_ASSERT_STRING_EQUAL(question.text, "E_DIAL_REFUSED");
    pass(60 * SECONDS);
    /* Within one minute the third is refused, whichever version asks. */
    awake(client);
    struct pg_multiaddr here = addr_of(client, PORT);
    struct pg_autonat_question three[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        three[i].addrs[three[i].n_addrs++] = here;
        awake(client);
        CU_ASSERT_TRUE(pg_autonat_question_begin(&three[i], to_server(), 2));
        pg_sim_poke(client->process);
        pass(2 * SECONDS);
    }
    CU_ASSERT_EQUAL(three[0].outcome, PG_AUTONAT_REACHED);
    CU_ASSERT_EQUAL(three[1].outcome, PG_AUTONAT_REACHED);
    CU_ASSERT_EQUAL(three[2].outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_STRING_EQUAL(three[2].text, "E_REQUEST_REJECTED");
    for (unsigned i = 0; i < 3; i++)
        pg_autonat_question_end(&three[i]);
    pass(60 * SECONDS);
    ask(1, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_REACHED);
    world_close();
}

/* Streams by hand. */

struct hand {
    struct pg_stream *stream;
    uint8_t in[8192];
    size_t got;
    unsigned n_closed;
    enum pg_err why;
};

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static void hand_data(struct pg_stream *s, struct pg_bytes in)
{
    struct hand *h = s->user;
    for (size_t i = 0; i < in.len && h->got < sizeof h->in; i++)
        h->in[h->got++] = in.at[i];
    pg_stream_consumed(s, in.len);
}

static void confirmed(struct pg_stream *s, struct pg_bytes in);

static void hand_closed(struct pg_stream *s, enum pg_err why)
{
    struct hand *h = s->user;
    h->n_closed++;
    h->why = why;
    h->stream = NULL;
}

static const struct pg_handler by_hand = {.protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2, sizeof PG_PROTOCOL_AUTONAT2 - 1},
                                          .opened = nothing, .data = hand_data, .ended = nothing, .writable = nothing, .closed = hand_closed};
static const struct pg_handler back_by_hand = {.protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2_BACK, sizeof PG_PROTOCOL_AUTONAT2_BACK - 1},
                                               .opened = nothing, .data = confirmed, .ended = nothing, .writable = nothing, .closed = hand_closed};

static void hand_open(struct hand *h, struct host *from, struct pg_session *on, const struct pg_handler *handler)
{
    enum pg_err why;
    awake(from);
    *h = (struct hand){0};
    h->stream = pg_stream_open(on->conn, handler, h, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h->stream);
}

static void hand_say(struct hand *h, struct host *from, const struct pg_pb_autonat2_message *m)
{
    uint8_t room[8192];
    struct pg_writer w = pg_writer(room, sizeof room);
    pg_pb_autonat2_message_write_framed(m, &w);
    awake(from);
    CU_ASSERT_TRUE(h->stream && pg_stream_write(h->stream, pg_written(&w)));
    pg_sim_poke(from->process);
    pass(SECONDS / 2);
}

static bool hand_heard(const struct hand *h, struct pg_pb_autonat2_message *m)
{
    struct pg_cursor c = pg_cursor(pg_bytes(h->in, h->got));
    struct pg_bytes text = pg_take_bytes(&c, pg_take_uvarint(&c));
    return !c.failed && h->got > 0 && pg_pb_autonat2_message_read(m, text) == PG_OK;
}

static struct pg_pb_autonat2_message request(const struct pg_multiaddr *addr, uint64_t nonce)
{
    struct pg_pb_autonat2_message m = {.has_dial_request = true, .dial_request = {.has_nonce = nonce != 0, .nonce = nonce}};
    m.dial_request.addrs[m.dial_request.n_addrs++] = pg_bytes(addr->at, addr->len);
    return m;
}

static void streams_on_which_nothing_is_asked_keep_nobody_out(void)
{
    static const struct pg_handler first = {.protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT, sizeof PG_PROTOCOL_AUTONAT - 1},
                                            .opened = nothing, .data = hand_data, .ended = nothing, .writable = nothing, .closed = hand_closed};
    static struct hand hands[2][PG_FIXED_AUTONAT_SERVED];
    world_open();
    world_start();
    struct pg_multiaddr here = addr_of(client, PORT), there = addr_of(other, PORT);
    for (unsigned i = 0; i < PG_FIXED_AUTONAT_SERVED; i++) {
        struct pg_pb_autonat2_message m = request(&there, 1000 + i);
        hand_open(&hands[0][i], client, to_server(), &first);
        hand_open(&hands[1][i], client, to_server(), &by_hand);
        if (i < 2)
            hand_say(&hands[1][i], client, &m); /* and never pays */
    }
    pass(SECONDS / 2);
    for (unsigned version = 1; version <= 2; version++) {
        ask(version, &here);
        CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_REACHED);
    }
    CU_ASSERT(hands[0][0].n_closed == 1 && hands[1][2].n_closed == 1);
    world_close();
}

static void nothing_is_dialled_before_it_is_paid_for_and_not_with_a_nonce_twice(void)
{
    struct hand h;
    struct pg_pb_autonat2_message said, data = {.has_dial_data_response = true};
    static const uint8_t zeros[4096];
    world_open();
    world_start();
    struct pg_multiaddr there = addr_of(other, PORT), here = addr_of(client, PORT);
    uint64_t arrivals = other->node->arrivals;
    struct pg_pb_autonat2_message m = request(&there, 77);
    hand_open(&h, client, to_server(), &by_hand);
    hand_say(&h, client, &m);
    CU_ASSERT_TRUE_FATAL(hand_heard(&h, &said) && said.has_dial_data_request);
    uint64_t need = said.dial_data_request.num_bytes;
    CU_ASSERT(need >= 30000 && need <= 100000);
    data.dial_data_response.has_data = true;
    data.dial_data_response.data = pg_bytes(zeros, 4096);
    for (uint64_t paid = 0; paid + 4096 < need; paid += 4096)
        hand_say(&h, client, &data);
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(other->node->arrivals, arrivals); /* some is missing */
    hand_say(&h, client, &data);
    pass(3 * SECONDS);
    CU_ASSERT_EQUAL(other->node->arrivals, arrivals + 1);
    /* Payment in drops costs us more than the payer. */
    m = request(&there, 78);
    hand_open(&h, client, to_server(), &by_hand);
    hand_say(&h, client, &m);
    data.dial_data_response.data.len = 1;
    hand_say(&h, client, &data);
    CU_ASSERT_EQUAL(h.n_closed, 1);
    CU_ASSERT_EQUAL(other->node->arrivals, arrivals + 1);
    /* The same nonce again. */
    m = request(&here, 77);
    hand_open(&h, client, to_server(), &by_hand);
    hand_say(&h, client, &m);
    CU_ASSERT_TRUE(hand_heard(&h, &said) && said.has_dial_response);
    CU_ASSERT_EQUAL(said.dial_response.status, PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_REQUEST_REJECTED);
    world_close();
}

static void what_is_no_question_ends_its_stream_and_nothing_else(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } wrong[] = {{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11}, {"\x81\x40", 2}, {"\x02\x0a\x7f", 3}, {"\x00", 1}, {"\x02\x12\x00", 3}, {"\x02\x0a\x00", 3}};
    world_open();
    world_start();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct hand h;
        hand_open(&h, client, to_server(), &by_hand);
        CU_ASSERT_TRUE(pg_stream_write(h.stream, pg_bytes(wrong[i].bytes, wrong[i].len)));
        pg_sim_poke(client->process);
        pass(SECONDS);
        CU_ASSERT_EQUAL(h.n_closed, 1);
    }
    struct hand idle[2 * PG_FIXED_AUTONAT_SERVED];
    for (unsigned i = 0; i < 2 * PG_FIXED_AUTONAT_SERVED; i++)
        hand_open(&idle[i], client, to_server(), &by_hand);
    pg_sim_poke(client->process);
    pass(SECONDS);
    CU_ASSERT(idle[0].n_closed == 1 && idle[2 * PG_FIXED_AUTONAT_SERVED - 1].n_closed == 0); /* there is no place for all of them */
    pass(20 * SECONDS);
    for (unsigned i = 0; i < 2 * PG_FIXED_AUTONAT_SERVED; i++)
        CU_ASSERT_EQUAL(idle[i].n_closed, 1); /* and no question came on the others */
    struct pg_multiaddr here = addr_of(client, PORT);
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_REACHED);
    world_close();
}

/* A server that lies: it answers as the test says, whatever it is asked. */

static struct lie {
    struct pg_pb_autonat2_message answer;
    struct pg_pb_autonat_message answer1;
    bool over_ours;    /* sends the nonce on the connection that we have opened */
    bool twice;        /* or, on one of its own, two times */
    bool late;         /* answers only when the nonce is confirmed */
    uint64_t nonce;
    struct hand back, again;
    struct pg_probe probe;
    struct pg_stream *asked;
} liar;

static void write_back(struct hand *h, struct pg_session *on)
{
    uint8_t room[32];
    struct pg_writer w = pg_writer(room, sizeof room);
    enum pg_err why;
    pg_pb_autonat2_dial_back_write_framed(&(struct pg_pb_autonat2_dial_back){.has_nonce = true, .nonce = liar.nonce}, &w);
    *h = (struct hand){0};
    h->stream = pg_stream_open(on->conn, &back_by_hand, h, &why);
    CU_ASSERT_TRUE(h->stream && pg_stream_write(h->stream, pg_written(&w)));
}

static void lie_now(struct pg_stream *s)
{
    uint8_t room[512];
    struct pg_writer w = pg_writer(room, sizeof room);
    if (s->handler->protocol.len == sizeof PG_PROTOCOL_AUTONAT - 1)
        pg_pb_autonat_message_write_framed(&liar.answer1, &w);
    else
        pg_pb_autonat2_message_write_framed(&liar.answer, &w);
    CU_ASSERT_TRUE(pg_stream_write(s, pg_written(&w)));
}

static void confirmed(struct pg_stream *s, struct pg_bytes in)
{
    hand_data(s, in);
    if (liar.late)
        lie_now(liar.asked);
}

static void probe_reached(struct pg_probe *p)
{
    write_back(&liar.back, p->session);
    if (liar.twice)
        write_back(&liar.again, p->session);
    if (!liar.late)
        lie_now(liar.asked);
}

static void probe_failed(struct pg_probe *p, enum pg_err why)
{
    (void)p;
    (void)why;
}

static const struct pg_probe_user prober = {.reached = probe_reached, .failed = probe_failed};

static void liar_data(struct pg_stream *s, struct pg_bytes in)
{
    struct pg_pb_autonat2_message m;
    struct pg_cursor c = pg_cursor(in);
    struct pg_bytes text = pg_take_bytes(&c, pg_take_uvarint(&c));
    struct pg_session *session = pg_session_of(s);
    struct pg_multiaddr there = addr_of(client, PORT);
    pg_stream_consumed(s, in.len);
    bool v2 = s->handler->protocol.len != sizeof PG_PROTOCOL_AUTONAT - 1 && pg_pb_autonat2_message_read(&m, text) == PG_OK && m.has_dial_request;
    liar.nonce = v2 ? m.dial_request.nonce : 0;
    liar.asked = s;
    if (v2 && liar.over_ours)
        write_back(&liar.back, session);
    if (!v2 || !liar.twice) {
        lie_now(s);
        return;
    }
    CU_ASSERT_TRUE(pg_probe_begin(&liar.probe, &prober, server->node, &session->conn->peer, &there));
}

static void liar_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler liars[] = {
    {.protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2, sizeof PG_PROTOCOL_AUTONAT2 - 1}, .opened = nothing, .data = liar_data, .ended = nothing,
     .writable = nothing, .closed = liar_closed},
    {.protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT, sizeof PG_PROTOCOL_AUTONAT - 1}, .opened = nothing, .data = liar_data, .ended = nothing,
     .writable = nothing, .closed = liar_closed}};

static struct pg_pb_autonat2_message answer(enum pg_pb_autonat2_dial_status dial, uint32_t index)
{
    return (struct pg_pb_autonat2_message){
        .has_dial_response = true,
        .dial_response = {.has_status = true, .status = PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_OK, .has_dial_status = true, .dial_status = dial,
                          .has_addr_idx = true, .addr_idx = index}};
}

static void lies_start(void)
{
    world_open();
    world_start();
    memset(&liar, 0, sizeof liar);
    for (uint32_t i = 0; i < server->node->n_handlers; i++)
        if (server->node->handlers[i] == &pg_autonat2_take || server->node->handlers[i] == &pg_autonat_take)
            server->node->handlers[i] = &liars[server->node->handlers[i] == &pg_autonat_take];
}

static void who_says_to_have_reached_us_has_to_have_come(void)
{
    lies_start();
    struct pg_multiaddr here = addr_of(client, PORT);
    liar.answer = answer(PG_PB_AUTONAT2_DIAL_STATUS_OK, 0);
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(question.why, PG_ERR_AUTONAT_LIE);
    liar.answer1 = (struct pg_pb_autonat_message){.has_type = true, .type = PG_PB_AUTONAT_MESSAGE_TYPE_DIAL_RESPONSE, .has_dial_response = true};
    liar.answer1.dial_response.has_status = true;
    ask(1, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(question.why, PG_ERR_AUTONAT_LIE);
    CU_ASSERT_EQUAL(client->n_logged[PG_LOG_AUTONAT_LIE], 2);
    /* The nonce on a connection that we have opened proves nothing. */
    liar.over_ours = true;
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(liar.back.n_closed, 1);
    CU_ASSERT_EQUAL(liar.back.got, 0);
    world_close();
}

static void a_nonce_counts_once_and_contradicts_who_denies(void)
{
    lies_start();
    struct pg_multiaddr here = addr_of(client, PORT);
    liar.twice = true;
    liar.answer = answer(PG_PB_AUTONAT2_DIAL_STATUS_OK, 0);
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_REACHED);
    CU_ASSERT(liar.back.got > 0);
    CU_ASSERT_EQUAL(liar.again.got, 0);
    CU_ASSERT_EQUAL(liar.again.n_closed, 1);
    pg_probe_end(&liar.probe);
    liar.answer = answer(PG_PB_AUTONAT2_DIAL_STATUS_E_DIAL_ERROR, 0);
    liar.late = true;
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(question.why, PG_ERR_AUTONAT_LIE);
    pg_probe_end(&liar.probe);
    world_close();
}

static void answers_about_others_and_odd_ones_say_nothing(void)
{
    struct pg_pb_autonat2_message dear = {.has_dial_data_request = true};
    lies_start();
    struct pg_multiaddr here = addr_of(client, PORT);
    liar.answer = answer(PG_PB_AUTONAT2_DIAL_STATUS_OK, 1); /* there is no second address */
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    liar.answer = answer((enum pg_pb_autonat2_dial_status)300, 0);
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    liar.answer = answer(PG_PB_AUTONAT2_DIAL_STATUS_E_DIAL_BACK_ERROR, 0);
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    dear.dial_data_request.has_num_bytes = true;
    dear.dial_data_request.num_bytes = 1u << 30;
    liar.answer = dear;
    ask(2, &here);
    CU_ASSERT_EQUAL(question.outcome, PG_AUTONAT_UNTOLD);
    CU_ASSERT_EQUAL(question.cost, 0);
    world_close();
}

/* A running peer and its verdict. */

static enum pg_nat_state verdict_behind(const struct pg_sim_nat *nat)
{
    world_open();
    client->config.nat_status = 0;
    if (nat)
        pg_sim_router(sim, client->number, nat);
    world_start();
    pass(30 * SECONDS);
    enum pg_nat_state found = client->node->control.nat.in.ctl.state;
    world_close();
    return found;
}

static void who_is_reached_is_public_and_who_is_not_is_private(void)
{
    CU_ASSERT_EQUAL(verdict_behind(NULL), PG_NAT_PUBLIC);
    for (unsigned maps = PG_SIM_BY_NOTHING; maps <= PG_SIM_BY_PORT; maps++)
        for (unsigned filters = PG_SIM_BY_NOTHING; filters <= PG_SIM_BY_PORT; filters++) {
            /* Whom we have dialled comes in where the router goes by addresses; that says nothing of others. */
            struct pg_sim_nat nat = {.maps = (enum pg_sim_by)maps, .filters = (enum pg_sim_by)filters, .keeps_ports = filters == PG_SIM_BY_ADDRESS};
            CU_ASSERT_EQUAL(verdict_behind(&nat), PG_NAT_PRIVATE);
        }
}

/* Behind a router that lets in answers only, half a minute after its start: the first round is over. */
static void open_behind_a_router(void)
{
    static const struct pg_sim_nat nat = {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_PORT};
    world_open();
    client->config.nat_status = 0;
    pg_sim_router(sim, client->number, &nat);
    world_start();
    pass(30 * SECONDS);
}

static void a_change_of_address_is_judged_anew_and_a_lie_changes_nothing(void)
{
    open_behind_a_router();
    CU_ASSERT_EQUAL(client->node->control.nat.in.ctl.state, PG_NAT_PRIVATE);
    uint64_t asked = client->n_logged[PG_LOG_AUTONAT_TOLD];
    pg_sim_reboot(sim, client->number, true);
    pass(180 * SECONDS);
    CU_ASSERT(client->n_logged[PG_LOG_AUTONAT_TOLD] > asked);
    CU_ASSERT_EQUAL(client->node->control.nat.in.ctl.state, PG_NAT_PRIVATE);
    world_close();
}

/* The router keeps ports, so what a server is let in by, and what is open to everybody, is one address. A peer of the DHT can tell. */
static void an_address_that_the_router_keeps_is_public_when_a_stranger_comes_in_there_and_only_then(void)
{
    for (unsigned filters = PG_SIM_BY_NOTHING; filters <= PG_SIM_BY_PORT; filters++) {
        struct pg_sim_nat nat = {.filters = (enum pg_sim_by)filters, .keeps_ports = true};
        CU_ASSERT_EQUAL(verdict_behind(&nat), filters == PG_SIM_BY_NOTHING ? PG_NAT_PUBLIC : PG_NAT_PRIVATE);
    }
}

static void see_elsewhere(unsigned seconds)
{
    struct pg_multiaddr seen;
    struct pg_endpoint lie = {.family = 4, .ip = {9, 9, 9, 0}, .port = PORT};
    for (unsigned i = 0; i < seconds; i++) {
        lie.ip[3] = (uint8_t)(i + 1);
        pg_multiaddr_from_tcp(&seen, &lie);
        awake(client);
        pg_observed_note(to_server(), &seen);
        pg_sim_poke(client->process);
        pass(SECONDS);
    }
}

/* Hostile rows 45 and 69: each address more is one more to ask about, and at another IP one to pay for. */
static void who_sees_us_elsewhere_each_second_does_not_make_us_ask_each_second(void)
{
    open_behind_a_router();
    unsigned asked = client->n_logged[PG_LOG_AUTONAT_TOLD];
    see_elsewhere(200);
    CU_ASSERT(client->n_logged[PG_LOG_AUTONAT_TOLD] - asked <= 8);
    /* One that connects anew for each of them. */
    asked = client->n_logged[PG_LOG_AUTONAT_TOLD];
    for (unsigned i = 0; i < 200; i++) {
        to_server()->seen_us = 0;
        to_server()->seen.family = 0;
        see_elsewhere(1 + i % 2);
    }
    CU_ASSERT(client->n_logged[PG_LOG_AUTONAT_TOLD] - asked <= 20);
    CU_ASSERT_EQUAL(client->node->control.nat.in.ctl.state, PG_NAT_PRIVATE);
    world_close();
}

static void a_verdict_that_the_user_gives_stands_and_nobody_is_asked(void)
{
    world_open();
    client->config.nat_status = -1;
    world_start();
    pass(120 * SECONDS);
    CU_ASSERT_EQUAL(client->node->control.nat.in.ctl.state, PG_NAT_PRIVATE);
    CU_ASSERT_EQUAL(client->n_logged[PG_LOG_AUTONAT_TOLD], 0);
    world_close();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"an address that the router keeps is public when a stranger comes in there, and only then",
         an_address_that_the_router_keeps_is_public_when_a_stranger_comes_in_there_and_only_then},
        {"who sees us elsewhere each second does not make us ask each second",
         who_sees_us_elsewhere_each_second_does_not_make_us_ask_each_second},
        {"streams on which nothing is asked keep nobody out", streams_on_which_nothing_is_asked_keep_nobody_out},
        {"who listens is reached, and who does not is not", who_listens_is_reached_and_who_does_not_is_not},
        {"behind a NAT nobody is reached by the mapping of his own dial", behind_a_nat_nobody_is_reached_by_the_mapping_of_his_own_dial},
        {"another IP costs its asker ten times a handshake", another_ip_costs_its_asker_ten_times_a_handshake},
        {"nobody is dialled at private addresses, and often", nobody_is_dialled_at_private_addresses_and_often},
        {"nothing is dialled before it is paid for, and not with a nonce twice", nothing_is_dialled_before_it_is_paid_for_and_not_with_a_nonce_twice},
        {"what is no question ends its stream and nothing else", what_is_no_question_ends_its_stream_and_nothing_else},
        {"who says to have reached us has to have come", who_says_to_have_reached_us_has_to_have_come},
        {"a nonce counts once, and contradicts who denies", a_nonce_counts_once_and_contradicts_who_denies},
        {"answers about others, and odd ones, say nothing", answers_about_others_and_odd_ones_say_nothing},
        {"who is reached is public, and who is not is private", who_is_reached_is_public_and_who_is_not_is_private},
        {"a change of address is judged anew, and a lie changes nothing", a_change_of_address_is_judged_anew_and_a_lie_changes_nothing},
        {"a verdict that the user gives stands, and nobody is asked", a_verdict_that_the_user_gives_stands_and_nobody_is_asked},
    };
    (void)argv;
    if (argc > 1)
        tell_fd = 2;
    return RUN_SUITE("AutoNAT", sentences);
}
