/* A relay and its clients as real cores on a simulated network, and hop and stop streams that are spoken by hand. Everything follows
 * from a seed and takes no real time. Part of hop_serve_test.c and relay_hostile_test.c. */
#pragma once
#include "core/voucher.h"
#include "sim_world.h"

enum { PEERS = 24, STOPS = 480, IN_MOST = 8192 };

/* What the target of a circuit does. */
enum manner { ACCEPTS, REFUSES, SAYS_NOTHING, SAYS_NONSENSE, SAYS_CONNECT, ENDS, RESETS, ACCEPTS_AND_TALKS };

/* One stream, spoken by hand. */
struct end {
    struct pg_stream *stream;
    struct peer *peer;
    uint8_t in[IN_MOST];    /* the first of what came */
    uint64_t got, sum;      /* all of it, and a hash over it */
    uint64_t to_send, sent;
    uint64_t sent_sum;
    unsigned n_ended, n_closed;
    enum pg_err why;
    bool hoards;            /* gives no window back */
    bool asked;             /* the relay's question has come */
    size_t hoarded;
};

struct peer {
    struct pg_identity *identity;
    struct pg_node_config config;
    struct pg_node *node;
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_log log;
    unsigned number, host;
    enum manner manner;
    bool mute;               /* does not speak stop */
    struct end stops[STOPS]; /* those that the relay has opened */
    unsigned n_stops;
    unsigned n_logged[PG_LOGS];
    char last[512];          /* of the lines that a test waits for */
    unsigned wants;
};

static struct peer peers[PEERS];
static unsigned n_peers;
static struct peer *const relay = &peers[0];

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    struct peer *p = context;
    p->n_logged[id]++;
    if (id == p->wants)
        pg_bytes_text(p->last, sizeof p->last, text);
    tell(p->number, text);
}

/* The stream's bytes: a function of their place. */
static uint8_t byte_at(uint64_t place)
{
    return (uint8_t)(place * 131 + (place >> 8) * 7 + (place >> 16));
}

static uint64_t mix(uint64_t sum, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static void send_on(struct end *e)
{
    static uint8_t block[65536];
    while (e->stream && e->to_send > 0) {
        size_t n = pg_stream_credit(e->stream);
        if (n == 0) {
            pg_stream_await_credit(e->stream);
            return;
        }
        n = n < sizeof block ? n : sizeof block;
        n = n < e->to_send ? n : (size_t)e->to_send;
        for (size_t i = 0; i < n; i++)
            block[i] = byte_at(e->sent + i);
        if (!pg_stream_write(e->stream, pg_bytes(block, n)))
            return;
        e->sent_sum = mix(e->sent_sum, block, n);
        e->sent += n;
        e->to_send -= n;
    }
}

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static void take_data(struct pg_stream *s, struct pg_bytes in)
{
    struct end *e = s->user;
    for (size_t i = 0; i < in.len && e->got + i < sizeof e->in; i++)
        e->in[e->got + i] = in.at[i];
    e->got += in.len;
    e->sum = mix(e->sum, in.at, in.len);
    if (e->hoards)
        e->hoarded += in.len;
    else
        pg_stream_consumed(s, in.len);
}

static void take_end(struct pg_stream *s)
{
    ((struct end *)s->user)->n_ended++;
}

static void take_credit(struct pg_stream *s)
{
    send_on(s->user);
}

static void take_close(struct pg_stream *s, enum pg_err why)
{
    struct end *e = s->user;
    e->n_closed++;
    e->why = why;
    e->stream = NULL;
}

static void stop_opened(struct pg_stream *s);
static void stop_data(struct pg_stream *s, struct pg_bytes in);

static const struct pg_handler hop = {.protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1}, .opened = nothing,
                                      .data = take_data, .ended = take_end, .writable = take_credit, .closed = take_close};
static const struct pg_handler stop = {.protocol = {(const uint8_t *)PG_PROTOCOL_STOP, sizeof PG_PROTOCOL_STOP - 1}, .opened = stop_opened,
                                       .data = stop_data, .ended = take_end, .writable = take_credit, .closed = take_close};

/* The target. */

static struct peer *peer_of(const struct pg_stream *s)
{
    return pg_session_services(pg_session_of(s));
}

static void stop_opened(struct pg_stream *s)
{
    struct peer *p = peer_of(s);
    CU_ASSERT_FATAL(p->n_stops < STOPS);
    struct end *e = &p->stops[p->n_stops++];
    *e = (struct end){.stream = s, .peer = p};
    s->user = e;
}

static void write_stop(struct end *e, enum pg_pb_stop_message_type type, enum pg_pb_circuit_status status)
{
    uint8_t text[64];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_stop_message m = {.has_type = true, .type = type, .has_status = status != 0, .status = status};
    pg_pb_stop_message_write_framed(&m, &w);
    CU_ASSERT(pg_stream_write(e->stream, pg_written(&w)));
}

static void answer_stop(struct end *e)
{
    switch (e->peer->manner) {
    case ACCEPTS: write_stop(e, PG_PB_STOP_MESSAGE_TYPE_STATUS, PG_PB_CIRCUIT_STATUS_OK); return;
    case ACCEPTS_AND_TALKS:
        write_stop(e, PG_PB_STOP_MESSAGE_TYPE_STATUS, PG_PB_CIRCUIT_STATUS_OK);
        e->to_send = 1000;
        send_on(e);
        return;
    case REFUSES: write_stop(e, PG_PB_STOP_MESSAGE_TYPE_STATUS, PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED); return;
    case SAYS_NOTHING: return;
    case SAYS_NONSENSE: CU_ASSERT(pg_stream_write(e->stream, PG_LIT("\x05hello"))); return;
    case SAYS_CONNECT: write_stop(e, PG_PB_STOP_MESSAGE_TYPE_CONNECT, 0); return;
    case ENDS: pg_stream_end(e->stream); return;
    case RESETS: pg_stream_reset(e->stream); e->stream = NULL; return;
    }
}

/* What the relay says first is its question: it is whole at once, being short. From there on bytes are the circuit's. */
static void stop_data(struct pg_stream *s, struct pg_bytes in)
{
    struct end *e = s->user;
    take_data(s, in);
    if (!e->asked)
        answer_stop(e);
    e->asked = true;
}

/* The world. */

static void world_open(unsigned n)
{
    sim = pg_sim_new(7);
    memset(peers, 0, sizeof peers);
    n_peers = n;
    pg_sim_widen(sim, 64);
    for (unsigned i = 0; i < n; i++) {
        struct peer *p = &peers[i];
        p->number = p->host = i;
        p->log = (struct pg_log){.sink = log_line, .context = p};
        p->identity = configure(&p->config, i, 0x52, &p->log);
        p->config.unix_offset_us = 1700000000ull * SECONDS;
        p->config.limits.value[PG_LIMIT_CONNS_INBOUND] = 120;
    }
    struct pg_endpoint at = pg_sim_endpoint(0, PORT);
    pg_multiaddr_from_tcp(&relay->config.listens[relay->config.n_listens++], &at);
}

/* The test's stop in place of the peer's own. */
static void take_stop(struct peer *p)
{
    for (uint32_t i = 0; i < p->node->n_handlers; i++)
        if (pg_bytes_equal(p->node->handlers[i]->protocol, stop.protocol))
            p->node->handlers[i--] = p->node->handlers[--p->node->n_handlers];
    if (!p->mute)
        CU_ASSERT_FATAL(pg_node_serve(p->node, &stop));
}

static void on_reload(void *context, struct pg_bytes lists)
{
    (void)context;
    (void)lists;
}

static void start(struct peer *p)
{
    struct pg_node_hooks hooks = {.context = p, .reload = on_reload};
    struct pg_endpoint at = pg_sim_endpoint(relay->host, PORT);
    if (p != relay && p->config.n_bootstraps == 0)
        configure_bootstrap(&p->config, &at, pg_identity_peer_id(relay->identity));
    p->n_stops = 0;
    p->node = pg_node_new(&p->config, &hooks);
    if (!p->node)
        abort();
    take_stop(p);
    p->core = pg_node_core(p->node);
    p->process = pg_sim_join(sim, p->host, &p->core, (struct pg_sim_hooks){.context = p, .reload = no_lists});
    pg_sim_start(p->process);
}

static void kill_peer(struct peer *p, enum pg_sim_death how)
{
    if (p->process && pg_sim_is_running(p->process))
        pg_sim_kill(p->process, how);
    pg_node_free(p->node);
    p->node = NULL;
    p->process = NULL;
}

static struct pg_session *session_of(struct peer *p)
{
    struct pg_session *s = p->node->sessions;
    return s && s->up ? s : NULL;
}

/* All started and connected to the relay. */
static void world_start(void)
{
    for (unsigned i = 0; i < n_peers; i++) {
        start(&peers[i]);
        pass(SECONDS / 100);
    }
    pass(2 * SECONDS);
    for (unsigned i = 1; i < n_peers; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(session_of(&peers[i]));
}

static void world_close(void)
{
    for (unsigned i = 0; i < n_peers; i++) {
        kill_peer(&peers[i], PG_SIM_KILLED);
        pg_identity_free(peers[i].identity);
    }
    pg_sim_free(sim);
}

/* What is done by hand is done in a moment that the core knows, and what it orders is carried out. */
static void awake(struct peer *p)
{
    pg_sim_reload(p->process);
    pass(0);
}

static void poke(struct peer *p)
{
    pg_sim_poke(p->process);
}

/* Streams by hand. */

static void end_open(struct end *e, struct peer *p)
{
    enum pg_err why;
    awake(p);
    *e = (struct end){.peer = p};
    e->stream = pg_stream_open(session_of(p)->conn, &hop, e, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e->stream);
    poke(p);
}

static void end_say(struct end *e, struct pg_bytes text)
{
    awake(e->peer);
    CU_ASSERT_FATAL(e->stream && pg_stream_write(e->stream, text));
    poke(e->peer);
}

static void end_send(struct end *e, uint64_t n)
{
    awake(e->peer);
    e->to_send += n;
    send_on(e);
    poke(e->peer);
}

static void end_finish(struct end *e)
{
    awake(e->peer);
    pg_stream_end(e->stream);
    poke(e->peer);
}

static void end_reset(struct end *e)
{
    awake(e->peer);
    if (e->stream)
        pg_stream_reset(e->stream);
    e->stream = NULL;
    poke(e->peer);
}

static inline void end_read_on(struct end *e)
{
    awake(e->peer);
    e->hoards = false;
    if (e->stream)
        pg_stream_consumed(e->stream, e->hoarded);
    e->hoarded = 0;
    poke(e->peer);
}

static void end_ask(struct end *e, struct peer *p, const struct pg_pb_hop_message *m)
{
    uint8_t text[512];
    struct pg_writer w = pg_writer(text, sizeof text);
    pg_pb_hop_message_write_framed(m, &w);
    CU_ASSERT_FATAL(!w.failed);
    end_open(e, p);
    end_say(e, pg_written(&w));
}

/* The whole message in front of what came; its length with what stands before it. Sums begin anew behind it. */
static size_t take_answer(struct end *e, struct pg_pb_hop_message *m)
{
    struct pg_cursor c = pg_cursor(pg_bytes(e->in, e->got < sizeof e->in ? (size_t)e->got : sizeof e->in));
    struct pg_bytes body = pg_take_bytes(&c, pg_take_uvarint(&c));
    if (c.failed || pg_pb_hop_message_read(m, body) != PG_OK)
        return 0;
    return (size_t)(body.at - e->in) + body.len;
}

static int status_of(struct end *e)
{
    struct pg_pb_hop_message m;
    return take_answer(e, &m) && m.has_type && m.type == PG_PB_HOP_MESSAGE_TYPE_STATUS && m.has_status ? (int)m.status : -1;
}

static struct pg_bytes id_of(const struct peer *p)
{
    const struct pg_peer_id *id = pg_identity_peer_id(p->identity);
    return pg_bytes(id->at, id->len);
}

static void ask_reserve(struct end *e, struct peer *p)
{
    end_ask(e, p, &(struct pg_pb_hop_message){.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_RESERVE});
}

static void ask_connect(struct end *e, struct peer *p, struct pg_bytes target)
{
    end_ask(e, p, &(struct pg_pb_hop_message){.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_CONNECT, .has_peer = true,
                                              .peer = {.has_id = true, .id = target}});
}

/* What comes of it within a second. */
static int reserved(struct peer *p)
{
    struct end e;
    ask_reserve(&e, p);
    pass(SECONDS);
    int status = status_of(&e);
    end_reset(&e);
    return status;
}

static int connected(struct end *e, struct peer *from, struct peer *to)
{
    ask_connect(e, from, id_of(to));
    pass(SECONDS);
    return status_of(e);
}

static struct end *last_stop(struct peer *p)
{
    CU_ASSERT_FATAL(p->n_stops > 0);
    return &p->stops[p->n_stops - 1];
}

/* A circuit, its two ends as if they had heard nothing yet. */
static inline struct end *join(struct end *source, struct peer *from, struct peer *to)
{
    struct pg_pb_hop_message m;
    CU_ASSERT_EQUAL_FATAL(connected(source, from, to), PG_PB_CIRCUIT_STATUS_OK);
    struct end *target = last_stop(to);
    size_t n = take_answer(source, &m);
    CU_ASSERT_EQUAL(source->got, n);
    source->got = source->sum = target->got = target->sum = 0;
    return target;
}

static uint64_t metric(enum pg_metric m)
{
    return relay->node->metrics.value[m];
}

static inline uint64_t refused(enum pg_limit limit)
{
    return metric((enum pg_metric)pg_limit_infos[limit].metric);
}

/* The relay carries nothing, counts nothing, holds nothing. */
static void check_nothing_left(void)
{
    struct pg_relaying_view v;
    pass(SECONDS);
    pg_relaying_view(relay->node, &v);
    CU_ASSERT_EQUAL(v.circuits, 0);
    CU_ASSERT_EQUAL(v.pending, 0);
    CU_ASSERT_EQUAL(relay->node->relaying.n_circuits, 0);
    CU_ASSERT_EQUAL(relay->node->relaying.asked, 0);
    CU_ASSERT_EQUAL(relay->node->relaying.hops.used, 0);
    CU_ASSERT_EQUAL(relay->node->chunks.used, 0);
    CU_ASSERT_EQUAL(metric(PG_METRIC_RELAY_CIRCUITS_OPENED), metric(PG_METRIC_RELAY_CIRCUITS_CLOSED));
    for (struct pg_session *s = relay->node->sessions; s; s = s->next) {
        CU_ASSERT(s->hops_asked == 0 && s->place->circuits_from == 0 && s->place->circuits_to == 0);
        CU_ASSERT_EQUAL(s->place->held, s->place->slot ? 1 : 0);
    }
}
