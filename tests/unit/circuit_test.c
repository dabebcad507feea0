/* Both ends of circuits: real cores as source, relay and target on a simulated network, and where it matters a relay that is spoken
 * by hand. Run by ctest. Serves src/core/hop_connect.c, src/core/stop_serve.c and src/transport/circuit.c; hostile rows 34, 35, 37. */
#include "relay_world.h"

static struct peer *const source = &peers[1], *const target = &peers[2], *const other = &peers[3];

/* What the node above heard of its contact's failures. */
static struct {
    unsigned n;
    enum pg_err why;
    char reason[256];
} failed;

static void on_failed(void *context, struct pg_contact *c, enum pg_err why, struct pg_bytes reason)
{
    (void)context;
    (void)c;
    failed.n++;
    failed.why = why;
    pg_bytes_text(failed.reason, sizeof failed.reason, reason);
}

/* A protocol that counts, on both sides. */
static struct end far;
static void far_opened(struct pg_stream *s);
static void near_closed(struct pg_stream *s, enum pg_err why)
{
    take_close(s, why);
}
static const struct pg_handler counting = {.protocol = {(const uint8_t *)"/counting/1", 11}, .opened = far_opened, .data = take_data,
                                           .ended = take_end, .writable = take_credit, .closed = near_closed};
static const struct pg_handler asking = {.protocol = {(const uint8_t *)"/counting/1", 11}, .opened = nothing, .data = take_data,
                                         .ended = take_end, .writable = take_credit, .closed = near_closed};

static void far_opened(struct pg_stream *s)
{
    bool hoards = far.hoards;
    far = (struct end){.stream = s, .peer = target, .hoards = hoards};
    s->user = &far;
}

/* The world: everybody is connected to the relay; the target's real stop is there, and it holds a reservation. */

static void stop_is_real(struct peer *p)
{
    for (uint32_t i = 0; i < p->node->n_handlers; i++)
        if (p->node->handlers[i] == &stop)
            p->node->handlers[i] = &pg_stop_serve;
    p->node->hooks.contact_failed = on_failed;
}

static void reserve(struct peer *p)
{
    p->node->reservations[0].relay = *pg_identity_peer_id(relay->identity); /* as if it had asked itself */
    CU_ASSERT_EQUAL_FATAL(reserved(p), PG_PB_CIRCUIT_STATUS_OK);
}

static void open_world(void)
{
    memset(&failed, 0, sizeof failed);
    memset(&far, 0, sizeof far);
    world_open(4);
    relay->config.nat_status = 1;
}

static void start_world(void)
{
    world_start();
    for (unsigned i = 1; i < 4; i++)
        stop_is_real(&peers[i]);
    CU_ASSERT_FATAL(pg_node_serve(target->node, &counting));
}

static void circuit_addr(struct pg_multiaddr *out, const struct peer *to)
{
    struct pg_endpoint at = pg_sim_endpoint(relay->host, PORT);
    pg_multiaddr_from_tcp(out, &at);
    CU_ASSERT_FATAL(pg_multiaddr_append_p2p(out, pg_identity_peer_id(relay->identity)) && pg_multiaddr_append_circuit(out) &&
                    pg_multiaddr_append_p2p(out, pg_identity_peer_id(to->identity)));
}

static void dial(struct peer *from, const struct peer *to)
{
    struct pg_multiaddr addr;
    circuit_addr(&addr, to);
    awake(from);
    struct pg_contact *c = pg_node_contact(from->node, pg_identity_peer_id(to->identity));
    (void)pg_contact_add(c, &addr);
    pg_contact_start(c, false, false);
    poke(from);
}

static struct pg_session *over(struct peer *at, const struct peer *to)
{
    for (struct pg_session *s = at->node->sessions; s; s = s->next)
        if (s->up && s->relayed && pg_peer_id_equal(pg_session_peer(s), pg_identity_peer_id(to->identity)))
            return s;
    return NULL;
}

static void joined(void)
{
    open_world();
    start_world();
    reserve(target);
    dial(source, target);
    pass(2 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(over(source, target));
    CU_ASSERT_PTR_NOT_NULL_FATAL(over(target, source));
}

static void open_counting(struct end *e)
{
    enum pg_err why;
    awake(source);
    *e = (struct end){.peer = source};
    e->stream = pg_stream_open(over(source, target)->conn, &asking, e, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e->stream);
    poke(source);
    pass(SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(far.stream);
}

/* Nothing of any circuit is left. */
static void is_bare(const struct peer *p)
{
    CU_ASSERT_EQUAL(p->node->transport.circuits.used, 0);
    CU_ASSERT_EQUAL(p->node->circuit_ends.hops.used, 0);
    CU_ASSERT_EQUAL(p->node->circuit_ends.stops.used, 0);
}

static void drop_over(struct peer *p, const struct peer *to)
{
    awake(p);
    pg_session_drop(over(p, to), PG_ERR_CLOSED);
    poke(p);
    pass(3 * SECONDS);
}

static void a_peer_is_reached_over_a_relay_and_both_know_it(void)
{
    struct pg_multiaddr at, via;
    struct pg_session_view v;
    open_world();
    relay->config.limits.value[PG_LIMIT_RELAY_BYTES] = 1000000;
    start_world();
    reserve(target);
    dial(source, target);
    pass(2 * SECONDS);
    struct pg_session *s = over(source, target), *t = over(target, source);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT(pg_peer_id_equal(pg_session_relay(s), pg_identity_peer_id(relay->identity)));
    CU_ASSERT(pg_peer_id_equal(pg_session_relay(t), pg_identity_peer_id(relay->identity)));
    circuit_addr(&via, target);
    pg_multiaddr_strip_p2p(&via);
    pg_session_remote(s, &at);
    CU_ASSERT(pg_multiaddr_equal(&at, &via));
    pg_session_remote(t, &at);
    CU_ASSERT(pg_multiaddr_equal(&at, &via));
    CU_ASSERT_EQUAL(pg_session_limit_bytes(s), 1000000);
    CU_ASSERT_EQUAL(pg_session_limit_bytes(t), 1000000);
    CU_ASSERT_EQUAL(pg_session_limit_us(s), 3600 * SECONDS);
    pg_session_view(s, &v);
    CU_ASSERT(v.left_bytes > 0 && v.left_bytes < 1000000 && v.left_us > 0 && v.left_us < 3600 * SECONDS);
    drop_over(source, target);
    CU_ASSERT_PTR_NULL(over(target, source));
    is_bare(source);
    is_bare(target);
    world_close();
}

static void every_byte_passes_both_ways_and_each_half_ends_alone(void)
{
    struct end e;
    joined();
    open_counting(&e);
    awake(source);
    e.to_send = 3000000;
    send_on(&e);
    poke(source);
    awake(target);
    far.to_send = 2000000;
    send_on(&far);
    poke(target);
    pass(20 * SECONDS);
    CU_ASSERT_EQUAL(far.got, 3000000);
    CU_ASSERT_EQUAL(far.sum, e.sent_sum);
    CU_ASSERT_EQUAL(e.got, 2000000);
    CU_ASSERT_EQUAL(e.sum, far.sent_sum);
    end_finish(&e);
    pass(SECONDS);
    CU_ASSERT_EQUAL(far.n_ended, 1);
    CU_ASSERT_EQUAL(e.n_ended, 0);
    end_send(&far, 1000);
    pass(SECONDS);
    CU_ASSERT_EQUAL(e.got, 2001000);
    end_finish(&far);
    pass(SECONDS);
    CU_ASSERT_EQUAL(e.n_ended, 1);
    CU_ASSERT(e.n_closed == 1 && e.why == PG_OK);
    world_close();
}

/* What a target does not read stays with its source, which asks its own sources for no more; and everybody else goes on. */
static void a_deaf_peer_behind_a_circuit_costs_a_window_and_what_may_be_unsent(void)
{
    struct end e;
    joined();
    far.hoards = true;
    open_counting(&e);
    end_send(&e, 50000000);
    pass(10 * SECONDS);
    CU_ASSERT(far.got > 255 * 1024 && far.got <= 256 * 1024);
    CU_ASSERT(e.sent < far.got + 1024 * 1024 + 256 * 1024);
    size_t held = (size_t)(source->node->chunks.used + target->node->chunks.used) * PG_CHUNK_SLOT;
    CU_ASSERT(held < 4 * 1024 * 1024);
    dial(other, target); /* the same relay still serves others */
    pass(2 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(over(other, target));
    end_read_on(&far);
    pass(60 * SECONDS);
    CU_ASSERT_EQUAL(far.got, 50000000);
    CU_ASSERT_EQUAL(far.sum, e.sent_sum);
    world_close();
}

/* The same when it does not even read its circuit: the relay holds its part, and what the source has not sent is bounded, too. */
static void a_frozen_peer_behind_a_circuit_costs_what_may_be_unsent(void)
{
    static struct end all[12];
    joined();
    open_counting(&all[0]);
    for (unsigned i = 1; i < 12; i++)
        open_counting(&all[i]);
    pg_sim_freeze(target->process, 8 * SECONDS, true);
    for (unsigned i = 0; i < 12; i++)
        end_send(&all[i], 2000000);
    pass(6 * SECONDS);
    size_t most = PG_CONN_HIGH + 64 * 1024;
    CU_ASSERT(over(source, target)->conn->link->tx.bytes > 0 && over(source, target)->conn->link->tx.bytes <= most);
    CU_ASSERT((size_t)source->node->chunks.used * PG_CHUNK_SLOT < 2 * most);
    pass(120 * SECONDS);
    for (unsigned i = 0; i < 12; i++)
        CU_ASSERT_EQUAL(all[i].sent, 2000000);
    CU_ASSERT_EQUAL(over(source, target)->conn->link->tx.bytes, 0);
    drop_over(source, target);
    is_bare(source);
    is_bare(target);
    CU_ASSERT_EQUAL(source->node->chunks.used, 0);
    CU_ASSERT_EQUAL(target->node->chunks.used, 0);
    check_nothing_left();
    world_close();
}

static void a_circuits_end_at_its_limit_is_told_as_that(void)
{
    struct end e;
    open_world();
    relay->config.limits.value[PG_LIMIT_RELAY_BYTES] = 200000;
    start_world();
    reserve(target);
    dial(source, target);
    pass(2 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(over(source, target));
    open_counting(&e);
    source->wants = PG_LOG_CIRCUIT_LOST;
    end_send(&e, 1000000);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NULL(over(source, target));
    CU_ASSERT(e.n_closed == 1 && e.why == PG_ERR_RELAY_LIMIT);
    CU_ASSERT_EQUAL(source->n_logged[PG_LOG_CIRCUIT_LOST], 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(source->last, "lets no more than 200000 bytes"));
    pass(3 * SECONDS);
    is_bare(source);
    is_bare(target);
    world_close();
}

static void a_relay_that_dies_takes_its_circuits_along_and_they_are_dialled_again(void)
{
    struct end e;
    struct pg_contact *c;
    joined();
    open_counting(&e);
    end_send(&e, 20000000);
    pass(SECONDS / 5);
    kill_peer(relay, PG_SIM_KILLED);
    pass(SECONDS);
    CU_ASSERT_EQUAL(e.n_closed, 1);
    CU_ASSERT_EQUAL(far.n_closed, 1);
    CU_ASSERT_PTR_NULL(over(source, target));
    CU_ASSERT_PTR_NULL(over(target, source));
    is_bare(source);
    is_bare(target);
    start(relay);
    pass(10 * SECONDS);
    reserve(target);
    awake(source);
    c = pg_node_contact(source->node, pg_identity_peer_id(target->identity));
    pg_contact_start(c, false, true);
    poke(source);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(over(source, target));
    world_close();
}

/* The dial waits for a peer that is about to reserve; and says what is missing when it does not. */
static void a_dial_outlasts_a_reservation_that_comes_late(void)
{
    open_world();
    start_world();
    dial(source, target);
    pass(5 * SECONDS);
    CU_ASSERT_EQUAL(failed.n, 0);
    CU_ASSERT_PTR_NULL(over(source, target));
    reserve(target);
    pass(2 * SECONDS);
    CU_ASSERT_PTR_NOT_NULL(over(source, target));
    CU_ASSERT_EQUAL(failed.n, 0);
    world_close();
}

static void without_a_reservation_the_dial_says_what_is_missing(void)
{
    open_world();
    start_world();
    dial(source, target);
    pass(25 * SECONDS);
    CU_ASSERT_EQUAL(failed.n, 1);
    CU_ASSERT_EQUAL(failed.why, PG_ERR_RELAY_NO_RESERVATION);
    CU_ASSERT_PTR_EQUAL(strstr(failed.reason, "Relay has no reservation for destination; "), failed.reason);
    is_bare(source);
    world_close();
}

/* A relay that is spoken by hand. */
static struct {
    const char *bytes; /* that it answers */
    size_t len;
    bool ends;
} said;

static void hand_data(struct pg_stream *s, struct pg_bytes in)
{
    pg_stream_consumed(s, in.len);
    if (said.len)
        CU_ASSERT(pg_stream_write(s, pg_bytes(said.bytes, said.len)));
    if (said.ends)
        pg_stream_end(s);
}

static void hand_closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler hand = {.protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1}, .opened = nothing,
                                       .data = hand_data, .ended = nothing, .writable = nothing, .closed = hand_closed};

/* HopMessage {type = STATUS, status = N}, framed. */
#define STATUS(hi, lo) "\x05\x08\x02\x28" hi lo

static void every_answer_of_a_relay_has_a_reason_that_people_can_read(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool ends;
        enum pg_err why;
        const char *reason;
    } rows[] = {
        {STATUS("\xc8", "\x01"), 6, false, PG_ERR_RELAY_REFUSED, "RESERVATION_REFUSED"},
        {STATUS("\xc9", "\x01"), 6, false, PG_ERR_RELAY_REFUSED, "RESOURCE_LIMIT_EXCEEDED"},
        {STATUS("\xca", "\x01"), 6, false, PG_ERR_RELAY_REFUSED, "PERMISSION_DENIED"},
        {STATUS("\xcb", "\x01"), 6, false, PG_ERR_RELAY_REFUSED, "CONNECTION_FAILED"},
        {STATUS("\xcc", "\x01"), 6, false, PG_ERR_RELAY_NO_RESERVATION, "no reservation for destination"},
        {STATUS("\x90", "\x03"), 6, false, PG_ERR_RELAY_REFUSED, "MALFORMED_MESSAGE"},
        {STATUS("\x91", "\x03"), 6, false, PG_ERR_RELAY_REFUSED, "UNEXPECTED_MESSAGE"},
        {STATUS("\xff", "\x01"), 6, false, PG_ERR_RELAY_REFUSED, "no name here"},
        {"\x02\x08\x02", 3, false, PG_ERR_RELAY_REFUSED, "no answer that can be read"}, /* STATUS without one */
        {"\x02\x08\x00", 3, false, PG_ERR_RELAY_REFUSED, "no answer that can be read"},
        {"\x05hello", 6, false, PG_ERR_RELAY_REFUSED, "no answer that can be read"},
        {"\xff\xff\xff\xff\x7f", 5, false, PG_ERR_RELAY_REFUSED, "no answer that can be read"},
        {"\x05\x08", 2, true, PG_ERR_RELAY_REFUSED, "no answer that can be read"},
        {"", 0, true, PG_ERR_RELAY_REFUSED, "no answer that can be read"},
        {"", 0, false, PG_ERR_UNREACHABLE, "has not answered in time"},
    };
    open_world();
    start_world();
    for (uint32_t i = 0; i < relay->node->n_handlers; i++)
        if (pg_bytes_equal(relay->node->handlers[i]->protocol, hand.protocol))
            relay->node->handlers[i] = &hand;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        said.bytes = rows[i].bytes;
        said.len = rows[i].len;
        said.ends = rows[i].ends;
        failed.n = 0;
        dial(source, target);
        pass(20 * SECONDS);
        if (failed.n != 1 || failed.why != rows[i].why || !strstr(failed.reason, rows[i].reason)) {
            fprintf(stderr, "row %zu: %u failures, %s, %s\n", i, failed.n, pg_err_name(failed.why), failed.reason);
            CU_FAIL("another reason");
        }
        is_bare(source);
    }
    world_close();
}

static void who_is_no_relay_is_said_to_be_none(void)
{
    open_world();
    relay->config.nat_status = -1;
    start_world();
    for (uint32_t i = 0; i < relay->node->n_handlers; i++)
        if (pg_bytes_equal(relay->node->handlers[i]->protocol, hand.protocol))
            relay->node->handlers[i--] = relay->node->handlers[--relay->node->n_handlers];
    dial(source, target);
    pass(3 * SECONDS);
    CU_ASSERT(failed.n == 1 && failed.why == PG_ERR_RELAY_REFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(failed.reason, "is no relay"));
    world_close();
}

/* The stop protocol as a relay speaks it. */

static struct end asked; /* the relay's end of a stop stream */
static const struct pg_handler stopping = {.protocol = {(const uint8_t *)PG_PROTOCOL_STOP, sizeof PG_PROTOCOL_STOP - 1}, .opened = nothing,
                                           .data = take_data, .ended = take_end, .writable = take_credit, .closed = take_close};

static void ask_target(struct pg_bytes text)
{
    enum pg_err why;
    struct pg_place *place = pg_budget_peer(&relay->node->budget, pg_identity_peer_id(target->identity), false);
    awake(relay);
    asked = (struct end){.peer = relay};
    asked.stream = pg_stream_open(((struct pg_session *)place->first)->conn, &stopping, &asked, &why);
    CU_ASSERT_FATAL(asked.stream && (text.len == 0 || pg_stream_write(asked.stream, text)));
    poke(relay);
    pass(SECONDS);
}

static int stop_status(void)
{
    struct pg_pb_stop_message m;
    struct pg_cursor c = pg_cursor(pg_bytes(asked.in, (size_t)asked.got));
    struct pg_bytes body = pg_take_bytes(&c, pg_take_uvarint(&c));
    if (asked.got == 0 || c.failed || pg_pb_stop_message_read(&m, body) != PG_OK || !m.has_status)
        return -1;
    return (int)m.status;
}

static struct pg_bytes stop_connect(const struct pg_peer_id *named)
{
    static uint8_t text[128];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_stop_message m = {.has_type = true, .type = PG_PB_STOP_MESSAGE_TYPE_CONNECT, .has_peer = true,
                                   .peer = {.has_id = true, .id = pg_bytes(named->at, named->len)}};
    pg_pb_stop_message_write_framed(&m, &w);
    return pg_written(&w);
}

static void a_target_takes_circuits_of_its_own_relays_and_sound_ones(void)
{
    open_world();
    start_world();
    ask_target(stop_connect(pg_identity_peer_id(source->identity)));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED); /* nobody has reserved */
    CU_ASSERT_EQUAL(asked.n_ended, 1);
    reserve(target);
    ask_target(stop_connect(pg_identity_peer_id(relay->identity))); /* a relay that brings itself */
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE);
    ask_target(stop_connect(pg_identity_peer_id(target->identity)));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE);
    ask_target(PG_LIT("\x05hello"));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE);
    ask_target(PG_LIT("\x02\x08\x00")); /* CONNECT of nobody */
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    ask_target(PG_LIT("\x04\x08\x01\x20\x64")); /* STATUS OK */
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_UNEXPECTED_MESSAGE);
    ask_target(PG_NONE);
    end_finish(&asked); /* one that ends without a word: the answer ends the stream, too */
    pass(SECONDS);
    CU_ASSERT(stop_status() == PG_PB_CIRCUIT_STATUS_MALFORMED_MESSAGE && asked.n_closed == 1 && asked.why == PG_OK);
    unsigned told = target->n_logged[PG_LOG_CIRCUIT_REFUSED];
    ask_target(PG_NONE);
    pass(12 * SECONDS);
    CU_ASSERT(asked.n_closed == 1 && asked.why == PG_ERR_STREAM_RESET); /* one that says nothing is not waited for */
    CU_ASSERT_EQUAL(target->n_logged[PG_LOG_CIRCUIT_REFUSED], told + 1);
    pass(3 * SECONDS);
    is_bare(target);
    world_close();
}

static void streams_on_which_nothing_is_said_keep_no_relay_out(void)
{
    static struct end silent[PG_FIXED_STOP_ASKED + 40];
    enum pg_err why;
    unsigned n_closed = 0;
    open_world();
    start_world();
    struct pg_place *place = pg_budget_peer(&relay->node->budget, pg_identity_peer_id(target->identity), false);
    for (unsigned i = 0; i < PG_FIXED_STOP_ASKED + 40; i++) {
        awake(relay);
        silent[i] = (struct end){.peer = relay};
        silent[i].stream = pg_stream_open(((struct pg_session *)place->first)->conn, &stopping, &silent[i], &why);
        CU_ASSERT_PTR_NOT_NULL_FATAL(silent[i].stream);
        poke(relay);
        pass(SECONDS / 200);
    }
    CU_ASSERT_EQUAL(target->node->circuit_ends.n_stops, PG_FIXED_STOP_ASKED);
    for (unsigned i = 0; i < PG_FIXED_STOP_ASKED + 40; i++)
        n_closed += silent[i].n_closed;
    CU_ASSERT(n_closed == 40 && silent[0].n_closed == 1 && silent[40].n_closed == 0); /* the oldest have given way */
    reserve(target);
    ask_target(stop_connect(pg_identity_peer_id(source->identity)));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_OK);
    ask_target(PG_NONE); /* one of a relay of ours stays as long as there are others */
    for (unsigned i = 0; i < 20; i++) {
        awake(relay);
        silent[i].stream = pg_stream_open(((struct pg_session *)place->first)->conn, &stopping, &silent[i], &why);
        poke(relay);
        pass(SECONDS / 200);
    }
    CU_ASSERT_EQUAL(asked.n_closed, 0);
    pass(15 * SECONDS);
    CU_ASSERT_EQUAL(target->node->circuit_ends.n_stops, 0);
    CU_ASSERT_EQUAL(target->node->circuit_ends.stops.used, 0);
    world_close();
}

static void a_relay_that_relays_no_more_is_left_for_another(void)
{
    struct pg_multiaddr addrs[8];
    open_world();
    target->config.nat_status = -1;
    target->config.n_relays = 1;
    start_world();
    pass(5 * SECONDS);
    CU_ASSERT(pg_reservations_addrs(target->node, addrs, 8) > 0);
    target->wants = PG_LOG_RELAY_FAILED;
    awake(relay);
    relay->node->config.nat_status = 0;
    pg_node_control_nat(relay->node, PG_SEED_NAT_PRIVATE); /* it has been found to be behind a NAT */
    poke(relay);
    pass(5 * SECONDS);
    CU_ASSERT_EQUAL(pg_reservations_addrs(target->node, addrs, 8), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(target->last, "does not relay any more"));
    awake(relay);
    pg_node_control_nat(relay->node, PG_SEED_NAT_PUBLIC);
    poke(relay);
    pass(15 * SECONDS);
    CU_ASSERT(pg_reservations_addrs(target->node, addrs, 8) > 0);
    world_close();
}

static void a_reservation_that_is_renewed_leaves_no_stream_behind(void)
{
    struct pg_multiaddr addrs[8];
    open_world();
    target->config.nat_status = -1;
    target->config.n_relays = 1;
    relay->config.limits.value[PG_LIMIT_RELAY_LEASE] = 60000;
    start_world();
    pass(30 * SECONDS);
    CU_ASSERT(pg_reservations_addrs(target->node, addrs, 8) > 0);
    uint32_t here = target->node->transport.streams.used, there = relay->node->transport.streams.used;
    for (unsigned renewal = 0; renewal < 20; renewal++)
        pass(60 * SECONDS);
    CU_ASSERT(pg_reservations_addrs(target->node, addrs, 8) > 0);
    CU_ASSERT(target->node->transport.streams.used <= here + 2); /* a ping may be under way */
    CU_ASSERT(relay->node->transport.streams.used <= there + 2);
    world_close();
}

/* The relay names one peer, and another one proves who it is: there is no connection. */
static void who_a_relay_names_has_to_prove_it(void)
{
    unsigned before;
    open_world();
    start_world();
    reserve(target);
    before = target->n_logged[PG_LOG_CONNECTION_FAILED];
    ask_target(stop_connect(pg_identity_peer_id(other->identity)));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_OK);
    CU_ASSERT_EQUAL(target->node->transport.circuits.used, 1);
    pass(30 * SECONDS); /* nobody speaks: each stage has its time */
    CU_ASSERT_EQUAL(target->n_logged[PG_LOG_CONNECTION_FAILED], before + 1);
    is_bare(target);
    CU_ASSERT_EQUAL(asked.n_closed + asked.n_ended > 0, true);
    world_close();
}

/* Bytes changed on the way end the connection inside, on both sides, and nothing else. */
static void a_circuit_that_is_full_of_nonsense_ends_alone(void)
{
    open_world();
    start_world();
    reserve(target);
    ask_target(stop_connect(pg_identity_peer_id(source->identity)));
    CU_ASSERT_EQUAL(stop_status(), PG_PB_CIRCUIT_STATUS_OK);
    end_send(&asked, 5000);
    pass(3 * SECONDS);
    CU_ASSERT_PTR_NULL(over(target, source));
    CU_ASSERT_PTR_NOT_NULL(session_of(target)); /* that to the relay stands */
    pass(12 * SECONDS);
    is_bare(target);
    world_close();
}

/* Addresses by name of relays that nobody can reach, as a stranger may offer many. */
static unsigned dials_of(struct peer *p)
{
    return p->n_logged[PG_LOG_DIALING];
}

static void a_peer_that_names_many_relays_makes_us_dial_a_few(void)
{
    struct pg_multiaddr many[16];
    open_world();
    start_world();
    awake(source);
    struct pg_contact *c = pg_node_contact(source->node, pg_identity_peer_id(target->identity));
    for (unsigned i = 0; i < 16; i++) {
        struct pg_endpoint at = pg_sim_endpoint(40 + i % 8, PORT);
        struct pg_peer_id id = *pg_identity_peer_id(relay->identity);
        id.at[id.len - 1] = (uint8_t)i;
        pg_multiaddr_from_tcp(&many[i], &at);
        CU_ASSERT_FATAL(pg_multiaddr_append_p2p(&many[i], &id) && pg_multiaddr_append_circuit(&many[i]));
        (void)pg_contact_add(c, &many[i]);
    }
    unsigned before = dials_of(source);
    pg_contact_start(c, false, false);
    poke(source);
    pass(30 * SECONDS);
    CU_ASSERT_EQUAL(failed.n, 1 + PG_CONTACT_RELAYS); /* its own, and those of the relays */
    CU_ASSERT_EQUAL(dials_of(source) - before, 2 * PG_CONTACT_RELAYS);
    is_bare(source);
    world_close();
}

static struct pg_multiaddr at_host(unsigned host)
{
    struct pg_endpoint at = pg_sim_endpoint(host, PORT);
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, &at);
    return addr;
}

/* Over a relay that nobody knows. */
static struct pg_multiaddr over_stranger(uint8_t number)
{
    struct pg_multiaddr addr = at_host(40u + number);
    struct pg_peer_id id = *pg_identity_peer_id(relay->identity);
    id.at[id.len - 1] ^= (uint8_t)(number + 1);
    CU_ASSERT_FATAL(pg_multiaddr_append_p2p(&addr, &id) && pg_multiaddr_append_circuit(&addr));
    return addr;
}

static void the_direct_way_is_tried_first_then_the_relay_at_hand_then_what_was_heard_last(void)
{
    struct pg_multiaddr at_hand, wanted[6];
    open_world();
    start_world();
    awake(source);
    struct pg_contact *c = pg_node_contact(source->node, pg_identity_peer_id(target->identity));
    circuit_addr(&at_hand, target);
    struct pg_multiaddr own[] = {over_stranger(0), at_hand, at_host(50)}, heard[] = {over_stranger(1), at_host(51), over_stranger(2)};
    for (unsigned i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(pg_contact_add(c, &own[i]));
        c->learnt[c->n_learnt++] = heard[i];
    }
    pg_names_begin(c);
    memcpy(wanted, (struct pg_multiaddr[]){own[2], heard[1], at_hand, own[0], heard[2], heard[0]}, sizeof wanted);
    for (unsigned i = 0; i < 6; i++) {
        CU_ASSERT_TRUE_FATAL(pg_names_more(c));
        CU_ASSERT_TRUE(pg_multiaddr_equal(pg_names_next(c), &wanted[i]));
    }
    CU_ASSERT_FALSE(pg_names_more(c));
    /* With --path relay the direct ways are none. */
    source->node->config.path = PG_PATH_RELAY;
    pg_names_begin(c);
    for (unsigned i = 2; i < 6; i++)
        CU_ASSERT_TRUE(pg_names_more(c) && pg_multiaddr_equal(pg_names_next(c), &wanted[i]));
    CU_ASSERT_FALSE(pg_names_more(c));
    world_close();
}

/* One is said to be behind the other, and the other behind the one. */
static void two_peers_that_are_each_others_relays_are_given_up(void)
{
    struct pg_multiaddr one, two;
    struct pg_endpoint at = pg_sim_endpoint(50, PORT);
    open_world();
    start_world();
    awake(source);
    pg_multiaddr_from_tcp(&one, &at);
    two = one;
    CU_ASSERT_FATAL(pg_multiaddr_append_p2p(&one, pg_identity_peer_id(other->identity)) && pg_multiaddr_append_circuit(&one));
    CU_ASSERT_FATAL(pg_multiaddr_append_p2p(&two, pg_identity_peer_id(target->identity)) && pg_multiaddr_append_circuit(&two));
    struct pg_contact *a = pg_node_contact(source->node, pg_identity_peer_id(target->identity));
    struct pg_contact *b = pg_node_contact(source->node, pg_identity_peer_id(other->identity));
    (void)pg_contact_add(a, &one);
    (void)pg_contact_add(b, &two);
    unsigned before = dials_of(source);
    pg_contact_start(a, false, false);
    pg_contact_start(b, false, false);
    poke(source);
    pass(60 * SECONDS);
    CU_ASSERT(failed.n >= 2);
    CU_ASSERT(dials_of(source) - before <= 8);
    CU_ASSERT(!over(source, target) && !over(source, other));
    is_bare(source);
    world_close();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"a peer is reached over a relay and both know it",
         a_peer_is_reached_over_a_relay_and_both_know_it},
        {"every byte passes both ways and each half ends alone",
         every_byte_passes_both_ways_and_each_half_ends_alone},
        {"a deaf peer behind a circuit costs a window and what may be unsent",
         a_deaf_peer_behind_a_circuit_costs_a_window_and_what_may_be_unsent},
        {"a frozen peer behind a circuit costs what may be unsent", a_frozen_peer_behind_a_circuit_costs_what_may_be_unsent},
        {"a circuits end at its limit is told as that",
         a_circuits_end_at_its_limit_is_told_as_that},
        {"a relay that dies takes its circuits along and they are dialled again",
         a_relay_that_dies_takes_its_circuits_along_and_they_are_dialled_again},
        {"a dial outlasts a reservation that comes late",
         a_dial_outlasts_a_reservation_that_comes_late},
        {"without a reservation the dial says what is missing",
         without_a_reservation_the_dial_says_what_is_missing},
        {"every answer of a relay has a reason that people can read",
         every_answer_of_a_relay_has_a_reason_that_people_can_read},
        {"who is no relay is said to be none",
         who_is_no_relay_is_said_to_be_none},
        {"a target takes circuits of its own relays and sound ones",
         a_target_takes_circuits_of_its_own_relays_and_sound_ones},
        {"streams on which nothing is said keep no relay out", streams_on_which_nothing_is_said_keep_no_relay_out},
        {"a relay that relays no more is left for another", a_relay_that_relays_no_more_is_left_for_another},
        {"a reservation that is renewed leaves no stream behind", a_reservation_that_is_renewed_leaves_no_stream_behind},
        {"who a relay names has to prove it",
         who_a_relay_names_has_to_prove_it},
        {"a circuit that is full of nonsense ends alone",
         a_circuit_that_is_full_of_nonsense_ends_alone},
        {"a peer that names many relays makes us dial a few", a_peer_that_names_many_relays_makes_us_dial_a_few},
        {"the direct way is tried first, then the relay at hand, then what was heard last",
         the_direct_way_is_tried_first_then_the_relay_at_hand_then_what_was_heard_last},
        {"two peers that are each others relays are given up", two_peers_that_are_each_others_relays_are_given_up},
    };
    if (argc > 1 && strcmp(argv[1], "--tell") == 0)
        tell_fd = 2;
    return RUN_SUITE("both ends of circuits", sentences);
}
