/* The serving side of Kademlia on streams between two cores in memory: what is asked and answered, whose records are taken,
 * and what becomes of nonsense, haste and silence. Run by ctest over world.h.
 * Serves spec/machine/kad_serve.sm; libp2p/specs kad-dht/README.md, "RPC messages". */
#include "world.h"

#include "core/node_internal.h"
#include "protocols.gen.h"
#include "wire/cursor.h"

enum { ROOM = 400000, SECOND_MS = 1000 };

/* A stream on which Kademlia is asked by hand. */
struct client {
    struct pg_stream *stream;
    uint8_t in[ROOM];
    size_t got, read;
    unsigned n_ended, n_closed;
    enum pg_err why;
    bool hoards; /* gives no window back */
};

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static void take_data(struct pg_stream *s, struct pg_bytes in)
{
    struct client *c = s->user;
    CU_ASSERT_FATAL(c->got + in.len <= sizeof c->in);
    memcpy(c->in + c->got, in.at, in.len);
    c->got += in.len;
    if (!c->hoards)
        pg_stream_consumed(s, in.len);
}

static void take_end(struct pg_stream *s)
{
    ((struct client *)s->user)->n_ended++;
}

static void take_close(struct pg_stream *s, enum pg_err why)
{
    struct client *c = s->user;
    c->n_closed++;
    c->why = why;
    c->stream = NULL;
}

#define ASKING(id) {.protocol = {(const uint8_t *)(id), sizeof(id) - 1}, .opened = nothing, .data = take_data, .ended = take_end, \
                    .writable = nothing, .closed = take_close}
static const struct pg_handler asking = ASKING(PG_PROTOCOL_KAD), asking_public = ASKING(PG_PROTOCOL_KAD_PUBLIC);

static struct world *w;
static struct pg_node *victim;
static struct held before;
static uint8_t text[ROOM];

static void start(void)
{
    w = world_new();
    victim = world_victims(w)->above;
    pg_kad_withdraw(victim, PG_LIT("/punchgate/svc/echo")); /* its own service's record: the store is to hold what others leave */
    before = world_held(w);
}

static void end(void)
{
    world_settle(w);
    world_free(w);
}

static bool open_with(struct client *c, const struct pg_handler *handler)
{
    enum pg_err why;
    memset(c, 0, sizeof *c);
    c->stream = pg_stream_open(pg_session_conn(w->session), handler, c, &why);
    world_settle(w);
    return c->stream != NULL;
}

static void open(struct client *c)
{
    CU_ASSERT_FATAL(open_with(c, &asking));
}

static void say(struct client *c, struct pg_bytes bytes)
{
    while (bytes.len > 0 && c->stream) {
        size_t n = pg_stream_credit(c->stream);
        n = n < bytes.len ? n : bytes.len;
        CU_ASSERT_FATAL(n > 0);
        CU_ASSERT_FATAL(pg_stream_write(c->stream, pg_bytes_head(bytes, n)));
        bytes = pg_bytes_skip(bytes, n);
        world_settle(w);
    }
}

static struct pg_bytes framed(const struct pg_pb_kad_message *m)
{
    struct pg_writer out = pg_writer(text, sizeof text);
    pg_pb_kad_message_write_framed(m, &out);
    CU_ASSERT_FATAL(!out.failed);
    return pg_written(&out);
}

static void ask(struct client *c, const struct pg_pb_kad_message *m)
{
    say(c, framed(m));
}

/* The next answer; false when none has come. */
static bool answered(struct client *c, struct pg_pb_kad_message *m)
{
    struct pg_cursor in = pg_cursor(pg_bytes(c->in + c->read, c->got - c->read));
    struct pg_bytes body = pg_take_bytes(&in, pg_take_uvarint(&in));
    if (in.failed || pg_pb_kad_message_read(m, body) != PG_OK)
        return false;
    c->read = (size_t)(body.at - c->in) + body.len;
    return true;
}

static struct pg_pb_kad_message request(enum pg_pb_kad_message_type type, struct pg_bytes key)
{
    return (struct pg_pb_kad_message){.has_type = type != 0, .type = type, .has_key = key.len > 0, .key = key};
}

static struct pg_pb_kad_message put_of(struct pg_bytes key, struct pg_bytes value)
{
    struct pg_pb_kad_message m = request(PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE, key);
    m.has_record = true;
    m.record = (struct pg_pb_kad_record){.has_key = true, .key = key, .has_value = true, .value = value};
    return m;
}

static struct pg_multiaddr address(const char *words)
{
    struct pg_multiaddr a;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&a, pg_text(words)), PG_OK);
    return a;
}

static struct pg_bytes bytes_of(const struct pg_multiaddr *a)
{
    return pg_bytes(a->at, a->len);
}

static const struct pg_peer_id *id_of(unsigned core)
{
    return pg_identity_peer_id(w->keys[core]);
}

static struct pg_peer_id stranger(unsigned number)
{
    struct pg_peer_id id = {.len = 34, .at = {0x12, 32, 9}};
    memcpy(id.at + 4, &number, sizeof number);
    return id;
}

/* An ADD_PROVIDER that names this peer. */
static struct pg_bytes provider(const struct pg_peer_id *id, const struct pg_multiaddr *addrs, uint32_t n)
{
    static uint8_t room[4096];
    struct pg_writer out = pg_writer(room, sizeof room);
    struct pg_pb_kad_peer peer = {.has_id = true, .id = pg_bytes(id->at, id->len)};
    for (uint32_t i = 0; i < n; i++)
        peer.addrs[peer.n_addrs++] = bytes_of(&addrs[i]);
    pg_pb_kad_peer_write(&peer, &out);
    return pg_written(&out);
}

static struct pg_pb_kad_message add_provider(struct pg_bytes key, struct pg_bytes peer)
{
    struct pg_pb_kad_message m = request(PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER, key);
    m.provider_peers[m.n_provider_peers++] = peer;
    return m;
}

/* Where the victim sees the client. */
static void seen_at(const struct pg_endpoint *at)
{
    struct pg_session *s = pg_node_sessions(victim);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    s->conn->remote = *at;
}

static const struct pg_endpoint loopback = {.family = 4, .ip = {127, 0, 0, 1}, .port = 1}, lan = {.family = 4, .ip = {192, 168, 1, 7}, .port = 1},
                                public = {.family = 4, .ip = {8, 8, 8, 8}, .port = 1};

static uint64_t refused(void)
{
    return victim->metrics.value[PG_METRIC_KAD_REFUSED];
}

static struct client a, b;
static struct pg_pb_kad_message m;

/* Answers. */

static void know_servers(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct pg_kad_contact c = {.id = stranger(i), .n_addrs = 1, .addrs = {address("/ip4/127.0.0.1/tcp/9")}};
        (void)pg_kad_table_heard(victim->kad_serving.table, &c, NULL, 1);
    }
}

static void the_nearest_servers_are_named_and_the_asker_is_not(void)
{
    start();
    know_servers(100);
    struct pg_kad_contact self = {.id = *id_of(ATTACKER), .n_addrs = 1, .addrs = {address("/ip4/127.0.0.1/tcp/10")}};
    (void)pg_kad_table_heard(victim->kad_serving.table, &self, NULL, 1);
    open(&a);
    struct pg_bytes key = pg_bytes(self.id.at, self.id.len); /* it would be the nearest of all */
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, key);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT_EQUAL(m.type, PG_PB_KAD_MESSAGE_TYPE_FIND_NODE);
    CU_ASSERT_EQUAL(m.n_closer_peers, PG_KAD_K);
    struct pg_kad_key target, at, last = {{0}};
    pg_kad_key_of(&target, key);
    for (uint32_t i = 0; i < m.n_closer_peers; i++) {
        struct pg_pb_kad_peer p;
        struct pg_multiaddr addr;
        CU_ASSERT_EQUAL_FATAL(pg_pb_kad_peer_read(&p, m.closer_peers[i]), PG_OK);
        CU_ASSERT_FALSE(pg_bytes_equal(p.id, key));
        CU_ASSERT(p.n_addrs == 1 && pg_multiaddr_read(&addr, p.addrs[0]) == PG_OK);
        CU_ASSERT_EQUAL(p.connection, PG_PB_KAD_CONNECTION_NOT_CONNECTED);
        pg_kad_key_of(&at, p.id);
        CU_ASSERT(i == 0 || pg_kad_nearer(&target, &last, &at) < 0);
        last = at;
    }
    end();
}

static void whoever_looks_for_us_or_for_a_connected_peer_finds_it_though_it_serves_nobody(void)
{
    struct pg_pb_kad_peer p;
    start();
    know_servers(50);
    open(&a);
    struct pg_bytes own = pg_bytes(id_of(VICTIM)->at, id_of(VICTIM)->len);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, own);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && pg_pb_kad_peer_read(&p, m.closer_peers[0]) == PG_OK);
    CU_ASSERT(pg_bytes_equal(p.id, own) && p.n_addrs == 1);
    CU_ASSERT_EQUAL(m.n_closer_peers, PG_KAD_K);
    /* Another one looks for the client: here the client itself, under the name of somebody else. */
    struct pg_session *s = pg_node_sessions(victim);
    struct pg_multiaddr at = address("/ip4/127.0.0.1/tcp/4444");
    pg_address_book_learn(&victim->addresses, id_of(ATTACKER), &at, 1, PG_ADDRESS_CONNECTED);
    struct pg_peer_id asker = s->conn->peer;
    s->conn->peer = stranger(9999);
    q = request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, pg_bytes(asker.at, asker.len));
    ask(&a, &q);
    s->conn->peer = asker;
    CU_ASSERT(answered(&a, &m) && pg_pb_kad_peer_read(&p, m.closer_peers[0]) == PG_OK);
    CU_ASSERT(pg_bytes_equal(p.id, pg_bytes(asker.at, asker.len)) && pg_bytes_equal(p.addrs[0], bytes_of(&at)));
    end();
}

static void a_value_is_echoed_kept_and_given_out_with_what_is_left_of_its_life(void)
{
    start();
    know_servers(30);
    open(&a);
    struct pg_peer_id publisher = stranger(7);
    struct pg_pb_kad_message q = put_of(PG_LIT("/punchgate/svc/echo"), PG_LIT("\"echo\""));
    q.record.has_ttl = q.record.has_publisher = true;
    q.record.ttl = 100;
    q.record.publisher = pg_bytes(publisher.at, publisher.len);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT(m.type == PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE && m.has_record && pg_pb_kad_record_equal(&m.record, &q.record));
    world_pass(w, 40 * SECOND_MS);
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_VALUE, PG_LIT("/punchgate/svc/echo"));
    ask(&a, &q); /* the same stream */
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT(m.has_record && pg_bytes_equal(m.record.value, PG_LIT("\"echo\"")) && m.record.ttl == 60);
    CU_ASSERT(pg_bytes_equal(m.record.publisher, pg_bytes(publisher.at, publisher.len)));
    CU_ASSERT(pg_bytes_equal(m.record.key, PG_LIT("/punchgate/svc/echo")));
    CU_ASSERT_EQUAL(m.n_closer_peers, PG_KAD_K);
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_VALUE, PG_LIT("/punchgate/svc/nope"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && !m.has_record && m.n_closer_peers == PG_KAD_K);
    CU_ASSERT_EQUAL(victim->metrics.value[PG_METRIC_KAD_SERVED_GET_VALUE], 2);
    CU_ASSERT_EQUAL(refused(), 0);
    end();
}

static void the_longest_value_goes_both_ways(void)
{
    static uint8_t big[PG_KAD_VALUE_MAX], key[PG_KAD_KEY_MAX];
    memset(big, 'v', sizeof big);
    memset(key, 'k', sizeof key);
    start();
    know_servers(30);
    open(&a);
    struct pg_pb_kad_message q = put_of(pg_bytes(key, sizeof key), pg_bytes(big, sizeof big));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && pg_bytes_equal(m.record.value, pg_bytes(big, sizeof big)));
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_VALUE, pg_bytes(key, sizeof key));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && pg_bytes_equal(m.record.value, pg_bytes(big, sizeof big)));
    end();
}

static void a_provider_is_its_sender_and_is_told_to_others(void)
{
    struct pg_pb_kad_peer p;
    struct pg_multiaddr addrs[3] = {address("/ip4/127.0.0.1/tcp/5000"), address("/ip4/127.0.0.1/udp/5000/quic-v1"),
                                    address("/dns4/example.com/tcp/1")};
    start();
    open(&a);
    struct pg_pb_kad_message q = add_provider(PG_LIT("/punchgate/svc/echo"), provider(id_of(ATTACKER), addrs, 3));
    ask(&a, &q);
    CU_ASSERT_EQUAL(a.got, 0); /* there is no answer to it */
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("/punchgate/svc/echo"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT_EQUAL_FATAL(m.n_provider_peers, 1);
    CU_ASSERT(pg_pb_kad_peer_read(&p, m.provider_peers[0]) == PG_OK && p.n_addrs == 2); /* names are nobody's to tell */
    CU_ASSERT(pg_bytes_equal(p.id, pg_bytes(id_of(ATTACKER)->at, id_of(ATTACKER)->len)));
    CU_ASSERT(pg_bytes_equal(p.addrs[0], bytes_of(&addrs[0])) && pg_bytes_equal(p.addrs[1], bytes_of(&addrs[1])));
    CU_ASSERT_EQUAL(p.connection, PG_PB_KAD_CONNECTION_CONNECTED);
    end();
}

static void a_provider_without_addresses_is_told_with_those_that_are_known_of_it(void)
{
    struct pg_pb_kad_peer p;
    struct pg_multiaddr known = address("/ip4/127.0.0.1/tcp/6000");
    start();
    open(&a);
    struct pg_pb_kad_message q = add_provider(PG_LIT("/punchgate/svc/echo"), provider(id_of(ATTACKER), NULL, 0));
    ask(&a, &q);
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("/punchgate/svc/echo"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.n_provider_peers == 0); /* nobody could use it */
    pg_address_book_learn(&victim->addresses, id_of(ATTACKER), &known, 1, PG_ADDRESS_CONNECTED);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.n_provider_peers == 1);
    CU_ASSERT(pg_pb_kad_peer_read(&p, m.provider_peers[0]) == PG_OK && p.n_addrs == 1 && pg_bytes_equal(p.addrs[0], bytes_of(&known)));
    /* Our own record has whatever we announce now. */
    struct pg_kad_contact own = {.id = *id_of(VICTIM)};
    CU_ASSERT_EQUAL(pg_kad_store_provide(victim->kad_serving.store, PG_LIT("/punchgate/svc/ours"), &own, 0, w->now_us), PG_OK);
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("/punchgate/svc/ours"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.n_provider_peers == 1);
    CU_ASSERT(pg_pb_kad_peer_read(&p, m.provider_peers[0]) == PG_OK && p.n_addrs == 1);
    CU_ASSERT(pg_bytes_equal(p.id, pg_bytes(id_of(VICTIM)->at, id_of(VICTIM)->len)));
    end();
}

static void naming_another_peer_as_provider_is_refused(void)
{
    struct pg_multiaddr at = address("/ip4/127.0.0.1/tcp/5000");
    struct pg_peer_id other = stranger(1);
    start();
    open(&a);
    struct pg_pb_kad_message q = add_provider(PG_LIT("/punchgate/svc/echo"), provider(&other, &at, 1));
    ask(&a, &q);
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(refused(), 1);
    CU_ASSERT_EQUAL(victim->kad_serving.store->n_providers, 0);
    open(&b); /* only the stream is gone */
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("/punchgate/svc/echo"));
    ask(&b, &q);
    CU_ASSERT(answered(&b, &m) && m.n_provider_peers == 0);
    end();
}

static void what_is_told_depends_on_where_the_asker_is(void)
{
    static const struct { const struct pg_endpoint *at; uint32_t n; } cases[] = {{&loopback, 4}, {&lan, 2}, {&public, 1}};
    struct pg_kad_contact c = {.id = stranger(1), .n_addrs = 4,
                               .addrs = {address("/ip4/127.0.0.1/tcp/9"), address("/ip6/::1/tcp/9"), address("/ip4/10.1.2.3/tcp/9"),
                                         address("/ip4/9.9.9.9/tcp/9")}},
                          hidden = {.id = stranger(2), .n_addrs = 1, .addrs = {address("/ip4/127.0.0.1/tcp/9")}};
    struct pg_pb_kad_peer p;
    start();
    (void)pg_kad_table_heard(victim->kad_serving.table, &c, NULL, 1);
    (void)pg_kad_table_heard(victim->kad_serving.table, &hidden, NULL, 1);
    open(&a);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, pg_bytes(c.id.at, c.id.len));
    for (unsigned i = 0; i < 3; i++) {
        seen_at(cases[i].at);
        ask(&a, &q);
        CU_ASSERT_FATAL(answered(&a, &m));
        CU_ASSERT_EQUAL(m.n_closer_peers, i == 0 ? 2 : 1); /* one without an address that is of use is left out */
        CU_ASSERT(pg_pb_kad_peer_read(&p, m.closer_peers[0]) == PG_OK && p.n_addrs == cases[i].n);
    }
    end();
}

static void addresses_out_of_reach_of_the_provider_are_not_kept(void)
{
    struct pg_multiaddr addrs[6] = {address("/ip4/127.0.0.1/tcp/22"), address("/ip4/192.168.1.1/tcp/80"), address("/ip4/169.254.169.254/tcp/80"),
                                    address("/ip4/0.0.0.0/tcp/1"), address("/ip6/::ffff:127.0.0.1/tcp/22"), address("/ip4/9.9.9.9/tcp/9")};
    struct pg_pb_kad_peer p;
    start();
    open(&a);
    seen_at(&public);
    struct pg_pb_kad_message q = add_provider(PG_LIT("k"), provider(id_of(ATTACKER), addrs, 6));
    ask(&a, &q);
    seen_at(&loopback);
    q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("k"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.n_provider_peers == 1);
    CU_ASSERT(pg_pb_kad_peer_read(&p, m.provider_peers[0]) == PG_OK && p.n_addrs == 1 && pg_bytes_equal(p.addrs[0], bytes_of(&addrs[5])));
    end();
}

static void an_answer_is_no_longer_than_rust_reads_however_much_is_known(void)
{
    struct pg_multiaddr long_one = address("/ip6/2001:4860:4860:1111:2222:3333:4444:5555/udp/40001/quic-v1");
    start();
    for (unsigned i = 0; i < 100; i++) {
        struct pg_kad_contact c = {.id = stranger(i), .n_addrs = 8};
        for (unsigned n = 0; n < 8; n++)
            c.addrs[n] = long_one;
        (void)pg_kad_table_heard(victim->kad_serving.table, &c, NULL, 1);
        CU_ASSERT_EQUAL(pg_kad_store_provide(victim->kad_serving.store, PG_LIT("k"), &c, 0, 1), PG_OK);
    }
    open(&a);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_LIT("k"));
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT(a.got <= 16384 && a.got > 15000);
    CU_ASSERT(m.n_provider_peers > 20 && m.n_closer_peers >= 8);
    end();
}

static void a_ping_comes_back(void)
{
    start();
    open(&a);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.type == PG_PB_KAD_MESSAGE_TYPE_PING);
    end();
}

static void both_ids_are_served(void)
{
    start();
    CU_ASSERT_FATAL(open_with(&a, &asking_public));
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    end();
}

/* Streams. */

static void requests_may_come_in_any_pieces_and_many_at_once(void)
{
    start();
    open(&a);
    struct pg_pb_kad_message q = put_of(PG_LIT("key"), PG_LIT("value"));
    struct pg_bytes one = framed(&q);
    for (size_t i = 0; i < one.len; i++)
        say(&a, pg_bytes(one.at + i, 1));
    CU_ASSERT(answered(&a, &m));
    static uint8_t many[4096];
    size_t n = 0;
    for (unsigned i = 0; i < 50; i++, n += one.len)
        memcpy(many + n, one.at, one.len);
    say(&a, pg_bytes(many, n));
    for (unsigned i = 0; i < 50; i++)
        CU_ASSERT(answered(&a, &m));
    CU_ASSERT_FALSE(answered(&a, &m));
    CU_ASSERT_EQUAL(world_held(w).chunks, before.chunks); /* between requests nothing is held */
    say(&a, pg_bytes(many, n - 3));
    CU_ASSERT_EQUAL(world_held(w).chunks, before.chunks + 1);
    pg_stream_reset(a.stream);
    world_settle(w);
    world_check_nothing_left(w, before);
    end();
}

static void the_end_of_a_client_is_the_end_of_its_stream(void)
{
    start();
    open(&a);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    CU_ASSERT(pg_stream_write(a.stream, framed(&q)));
    pg_stream_end(a.stream); /* right behind it */
    world_settle(w);
    CU_ASSERT(answered(&a, &m) && a.n_closed == 1 && a.why == PG_OK);
    open(&a); /* in the middle of a request it is none */
    CU_ASSERT(pg_stream_write(a.stream, pg_bytes_head(framed(&q), 2)));
    pg_stream_end(a.stream);
    world_settle(w);
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(refused(), 1);
    world_check_nothing_left(w, before);
    end();
}

static void silence_ends_a_stream_after_a_minute_and_a_request_that_stops_after_ten_seconds(void)
{
    start();
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    open(&a);
    open(&b);
    say(&b, pg_bytes_head(framed(&q), 1));
    world_pass(w, 9 * SECOND_MS);
    CU_ASSERT(b.n_closed == 0);
    world_pass(w, 2 * SECOND_MS);
    CU_ASSERT(b.n_closed == 1 && b.why == PG_ERR_STREAM_RESET);
    CU_ASSERT(a.n_ended == 0);
    world_pass(w, 40 * SECOND_MS);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    world_pass(w, 59 * SECOND_MS);
    CU_ASSERT(a.n_ended == 0);
    world_pass(w, 2 * SECOND_MS);
    CU_ASSERT(a.n_ended == 1 && a.n_closed == 0); /* in order: our half has ended, theirs is theirs to end */
    pg_stream_end(a.stream);
    world_settle(w);
    world_check_nothing_left(w, before);
    end();
}

/* Fills the window of the stream with answers that the client does not take. */
static void stuff(struct client *c, struct pg_pb_kad_message *q)
{
    static uint8_t big[60000];
    *q = put_of(PG_LIT("k"), pg_bytes(big, sizeof big));
    open(c);
    c->hoards = true;
    for (unsigned i = 0; i < 5; i++)
        ask(c, q);
}

static void an_answer_waits_for_a_client_that_reads_later(void)
{
    struct pg_pb_kad_message q;
    start();
    stuff(&a, &q); /* of 256 KiB four such answers */
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT(answered(&a, &m));
    CU_ASSERT_FALSE(answered(&a, &m));
    world_pass(w, 5 * SECOND_MS);
    a.hoards = false;
    pg_stream_consumed(a.stream, a.got);
    world_settle(w);
    CU_ASSERT(answered(&a, &m));
    q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m) && m.type == PG_PB_KAD_MESSAGE_TYPE_PING);
    CU_ASSERT_EQUAL(a.n_closed, 0);
    /* With the client's end behind the request the answer comes, and then ours. */
    stuff(&a, &q);
    pg_stream_end(a.stream);
    world_settle(w);
    pg_stream_consumed(a.stream, a.got);
    world_settle(w);
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT(answered(&a, &m));
    CU_ASSERT(a.n_closed == 1 && a.why == PG_OK);
    end();
}

static void a_client_that_never_reads_is_let_go_and_one_that_asks_on_at_once(void)
{
    struct pg_pb_kad_message q;
    start();
    stuff(&a, &q);
    world_pass(w, 11 * SECOND_MS);
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET);
    stuff(&a, &q);
    CU_ASSERT_EQUAL(a.n_closed, 0);
    q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    ask(&a, &q);
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET);
    world_check_nothing_left(w, before);
    end();
}

static void a_connection_has_thirty_two_streams_and_the_next_is_reset(void)
{
    static struct client many[PG_FIXED_KAD_SERVED_CONN + 1];
    start();
    for (unsigned i = 0; i <= PG_FIXED_KAD_SERVED_CONN; i++)
        (void)open_with(&many[i], &asking);
    CU_ASSERT(many[PG_FIXED_KAD_SERVED_CONN].n_closed == 1 && many[PG_FIXED_KAD_SERVED_CONN].why == PG_ERR_STREAM_RESET);
    for (unsigned i = 0; i < PG_FIXED_KAD_SERVED_CONN; i++) {
        CU_ASSERT_EQUAL(many[i].n_closed, 0);
        if (many[i].stream)
            pg_stream_reset(many[i].stream);
    }
    world_settle(w);
    CU_ASSERT_EQUAL(pg_node_sessions(victim)->kad_seat.streams, 0);
    open(&a);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    ask(&a, &q);
    CU_ASSERT(answered(&a, &m));
    end();
}

static void requests_beyond_the_rate_end_their_stream_and_time_brings_them_back(void)
{
    start();
    uint64_t each_s = pg_node_limit(victim, PG_LIMIT_KAD_RATE);
    struct pg_pb_kad_message q = request(PG_PB_KAD_MESSAGE_TYPE_PING, PG_NONE);
    open(&a);
    uint64_t n = 0;
    while (n < 20 * each_s && a.stream) {
        ask(&a, &q);
        n++;
    }
    CU_ASSERT_EQUAL(n, 8 * each_s + 1);
    CU_ASSERT(a.why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(victim->metrics.value[pg_limit_infos[PG_LIMIT_KAD_RATE].metric], 1);
    world_pass(w, 1 * SECOND_MS);
    open(&a);
    for (n = 0; n < each_s / 2; n++)
        ask(&a, &q);
    CU_ASSERT_PTR_NOT_NULL(a.stream);
    end();
}

/* Nonsense. */

static void nonsense_ends_its_stream_and_changes_nothing(void)
{
    static uint8_t key[PG_KAD_KEY_MAX + 1];
    struct pg_bytes longer = pg_bytes(key, sizeof key);
    struct pg_pb_kad_message cases[] = {
        request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, PG_NONE), /* of what? */
        request(PG_PB_KAD_MESSAGE_TYPE_GET_VALUE, PG_NONE),
        request(PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS, PG_NONE),
        request(PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER, PG_LIT("key")), /* nobody */
        request(PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE, PG_LIT("key")),    /* nothing */
        request(PG_PB_KAD_MESSAGE_TYPE_FIND_NODE, longer),
        request((enum pg_pb_kad_message_type)77, PG_LIT("key")),
        put_of(PG_LIT("/punchgate/svc/echo"), PG_LIT("\"other\"")),
        put_of(PG_LIT("/ipns/x"), PG_LIT("anything")),
        put_of(longer, PG_LIT("value")),
    };
    start();
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        open(&a);
        ask(&a, &cases[i]);
        if (!(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET && refused() == i + 1))
            fprintf(stderr, "\ncase %u: closed %u\n", i, a.n_closed);
        CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET && refused() == i + 1);
    }
    struct pg_pb_kad_message q = put_of(PG_LIT("one"), PG_LIT("value"));
    q.key = PG_LIT("two");
    open(&a);
    ask(&a, &q);
    CU_ASSERT(a.n_closed == 1);
    open(&a);
    say(&a, PG_LIT("\x03\xff\xff\xff"));
    CU_ASSERT(a.n_closed == 1);
    CU_ASSERT_EQUAL(victim->kad_serving.store->n_values + victim->kad_serving.store->n_providers, 0);
    world_check_nothing_left(w, before);
    end();
}

/* A mebibyte of key, 10^5 entries of the same peer, a life below zero: hostile row 27. */
static void huge_requests_are_refused_by_their_length_and_lists_are_cut(void)
{
    static uint8_t big[150000];
    start();
    open(&a);
    struct pg_writer out = pg_writer(big, sizeof big);
    pg_put_uvarint(&out, 1 << 20);
    pg_put_bytes(&out, PG_LIT("\x08\x04\x12"));
    say(&a, pg_written(&out));
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET); /* at once, nothing of it is waited for */
    /* A whole chunk of closer and provider peers, all of them the same, the sender last: beyond the limit of the list. */
    struct pg_bytes other = provider(&(struct pg_peer_id){.len = 34, .at = {0x12, 32}}, NULL, 0);
    uint8_t entry[64]; /* the next one goes into the same room */
    memcpy(entry, other.at, other.len);
    out = pg_writer(big, sizeof big);
    pg_put_bytes(&out, PG_LIT("\x08\x02\x12\x03key"));
    while (out.len < 60000) {
        pg_put_u8(&out, out.len % 2 ? 0x42 : 0x4a); /* closerPeers, providerPeers */
        pg_put_u8(&out, (uint8_t)other.len);
        pg_put_bytes(&out, pg_bytes(entry, other.len));
    }
    static uint8_t whole[70000];
    struct pg_writer f = pg_writer(whole, sizeof whole);
    pg_put_uvarint(&f, out.len);
    pg_put_bytes(&f, pg_written(&out));
    open(&a);
    say(&a, pg_written(&f));
    CU_ASSERT(a.n_closed == 1 && a.why == PG_ERR_STREAM_RESET);
    CU_ASSERT_EQUAL(victim->kad_serving.store->n_providers, 0);
    /* With the sender among the first the rest is cut off. */
    struct pg_bytes own = provider(id_of(ATTACKER), NULL, 0);
    out = pg_writer(big, sizeof big);
    pg_put_bytes(&out, PG_LIT("\x08\x02\x12\x03key\x4a"));
    pg_put_u8(&out, (uint8_t)own.len);
    pg_put_bytes(&out, own);
    while (out.len < 60000) {
        pg_put_u8(&out, 0x4a);
        pg_put_u8(&out, (uint8_t)other.len);
        pg_put_bytes(&out, pg_bytes(entry, other.len));
    }
    f = pg_writer(whole, sizeof whole);
    pg_put_uvarint(&f, out.len);
    pg_put_bytes(&f, pg_written(&out));
    open(&a);
    say(&a, pg_written(&f));
    CU_ASSERT_EQUAL(a.n_closed, 0);
    CU_ASSERT_EQUAL(victim->kad_serving.store->n_providers, 1);
    /* ttl -1, as ten bytes: what is left of it in 32 bits is a long life, and of that no more than of any other is kept. */
    struct pg_pb_kad_message q = put_of(PG_LIT("key"), PG_LIT("value"));
    uint8_t record[64];
    struct pg_writer r = pg_writer(record, sizeof record);
    pg_pb_kad_record_write(&q.record, &r);
    pg_put_bytes(&r, PG_LIT("\xc8\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    out = pg_writer(big, sizeof big);
    pg_put_uvarint(&out, 2 + r.len);
    pg_put_u8(&out, 0x1a);
    pg_put_u8(&out, (uint8_t)r.len);
    pg_put_bytes(&out, pg_written(&r));
    say(&a, pg_written(&out));
    CU_ASSERT(answered(&a, &m));
    CU_ASSERT_EQUAL(victim->kad_serving.store->n_values, 1);
    struct pg_kad_store *s = victim->kad_serving.store;
    pg_kad_store_expire(s, w->now_us + 49 * 3600 * (uint64_t)1000000);
    CU_ASSERT_EQUAL(s->n_values, 0);
    CU_ASSERT_EQUAL(world_held(w).chunks, before.chunks);
    end();
}

/* Whom we serve. */

static void behind_a_nat_only_those_near_are_served_and_identify_says_so(void)
{
    start();
    struct pg_session *s = pg_node_sessions(victim);
    const struct pg_handler *served = &victim->kad_serving.handlers[0];
    for (unsigned nat = 0; nat < 3; nat++) {
        static const struct pg_endpoint *const from[] = {&loopback, &lan, &public};
        victim->control.nat.in.ctl.state = nat == 0 ? PG_NAT_UNKNOWN : nat == 1 ? PG_NAT_PUBLIC : PG_NAT_PRIVATE;
        for (unsigned i = 0; i < 3; i++) {
            bool want = nat != 2 || i != 2;
            seen_at(from[i]);
            CU_ASSERT_EQUAL(pg_node_offers(s, served), want);
            CU_ASSERT(pg_node_offers(s, victim->handlers[0]));
            (void)open_with(&a, &asking);
            CU_ASSERT_EQUAL(a.n_closed == 0, want);
            if (!want)
                CU_ASSERT_EQUAL(a.why, PG_ERR_PROTOCOL_UNSUPPORTED);
            if (a.stream)
                pg_stream_reset(a.stream);
            world_settle(w);
        }
    }
    victim->control.nat.in.ctl.state = PG_NAT_UNKNOWN;
    end();
}

int main(void)
{
    static const struct sentence all[] = {
        {"the nearest servers are named, and the asker is not", the_nearest_servers_are_named_and_the_asker_is_not},
        {"whoever looks for us or for a connected peer finds it, though it serves nobody",
         whoever_looks_for_us_or_for_a_connected_peer_finds_it_though_it_serves_nobody},
        {"a value is echoed, kept, and given out with what is left of its life",
         a_value_is_echoed_kept_and_given_out_with_what_is_left_of_its_life},
        {"the longest value goes both ways", the_longest_value_goes_both_ways},
        {"a provider is its sender, and is told to others", a_provider_is_its_sender_and_is_told_to_others},
        {"a provider without addresses is told with those that are known of it",
         a_provider_without_addresses_is_told_with_those_that_are_known_of_it},
        {"naming another peer as provider is refused", naming_another_peer_as_provider_is_refused},
        {"what is told depends on where the asker is", what_is_told_depends_on_where_the_asker_is},
        {"addresses out of reach of the provider are not kept", addresses_out_of_reach_of_the_provider_are_not_kept},
        {"an answer is no longer than rust reads, however much is known", an_answer_is_no_longer_than_rust_reads_however_much_is_known},
        {"a ping comes back", a_ping_comes_back},
        {"both ids are served", both_ids_are_served},
        {"requests may come in any pieces, and many at once", requests_may_come_in_any_pieces_and_many_at_once},
        {"the end of a client is the end of its stream", the_end_of_a_client_is_the_end_of_its_stream},
        {"silence ends a stream after a minute, and a request that stops after ten seconds",
         silence_ends_a_stream_after_a_minute_and_a_request_that_stops_after_ten_seconds},
        {"an answer waits for a client that reads later", an_answer_waits_for_a_client_that_reads_later},
        {"a client that never reads is let go, and one that asks on at once",
         a_client_that_never_reads_is_let_go_and_one_that_asks_on_at_once},
        {"a connection has thirty-two streams, and the next is reset", a_connection_has_thirty_two_streams_and_the_next_is_reset},
        {"requests beyond the rate end their stream, and time brings them back",
         requests_beyond_the_rate_end_their_stream_and_time_brings_them_back},
        {"nonsense ends its stream and changes nothing", nonsense_ends_its_stream_and_changes_nothing},
        {"huge requests are refused by their length, and lists are cut", huge_requests_are_refused_by_their_length_and_lists_are_cut},
        {"behind a NAT only those near are served, and identify says so", behind_a_nat_only_those_near_are_served_and_identify_says_so},
    };
    return RUN_SUITE("serving Kademlia", all);
}
