/* Many clients of one relay in one process: each connects with an identity of its own, reserves, and stays. Called by
 * tools/bench/relaying.py, which looks at the relay's memory meanwhile. See docs/MEASURING.md.
 * Usage: bench_reserve PORT PEER COUNT. One line of JSON when all have reserved; then it answers keep-alives until its input ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "circuit.pb.gen.h"
#include "protocols.gen.h"
#include "transport/conn.h"
#include "transport/noise.h"

enum { MEMORY = 256 * 1024 * 1024, PATIENCE_MS = 1000 };

struct client {
    struct pg_link link;
    struct pg_conn *conn; /* NULL: lost */
    int fd, status;       /* of the reservation; 0: no answer yet */
};

static struct pg_scope scope;
static struct pg_pool chunks;
static struct pg_metrics metrics;
static struct pg_log quiet;
static struct pg_limits limits;
static struct pg_transport transport;
static struct client *clients;

static void fail(const char *what)
{
    fprintf(stderr, "bench_reserve: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The one stream. */

static void nothing(struct pg_stream *s)
{
    (void)s;
}

/* The answer is short and comes whole. */
static void answered(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_pb_hop_message m;
    struct client *c = s->user;
    struct pg_cursor in = pg_cursor(data);
    struct pg_bytes body = pg_take_bytes(&in, pg_take_uvarint(&in));
    c->status = !in.failed && pg_pb_hop_message_read(&m, body) == PG_OK && m.has_status ? (int)m.status : -1;
    pg_stream_consumed(s, data.len);
    pg_stream_end(s);
}

static void closed(struct pg_stream *s, enum pg_err why)
{
    (void)s;
    (void)why;
}

static const struct pg_handler hop = {.protocol = {(const uint8_t *)PG_PROTOCOL_HOP, sizeof PG_PROTOCOL_HOP - 1}, .opened = nothing,
                                      .data = answered, .ended = nothing, .writable = nothing, .closed = closed};

static void reserve(struct client *c)
{
    uint8_t text[16];
    struct pg_writer w = pg_writer(text, sizeof text);
    enum pg_err why;
    struct pg_stream *s = pg_stream_open(c->conn, &hop, c, &why);
    pg_pb_hop_message_write_framed(&(struct pg_pb_hop_message){.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_RESERVE}, &w);
    if (!s || !pg_stream_write(s, pg_written(&w)))
        c->status = -1;
}

/* What the transport asks of whoever owns it. */

/* What is to be written leaves at once, also what a timer has to say. */
static void command(void *above, const struct pg_command *c)
{
    struct client *client = (struct client *)c->link; /* its first member */
    struct pg_bytes slice;
    (void)above;
    if (c->kind == PG_COMMAND_CLOSE || c->kind == PG_COMMAND_RESET)
        c->link->closing = true;
    while (c->kind == PG_COMMAND_WRITE && pg_queue_peek(&c->link->tx, &slice, 1) > 0) {
        (void)send(client->fd, slice.at, slice.len, MSG_NOSIGNAL); /* what a dead connection does not take is lost with it */
        pg_queue_drop(&c->link->tx, slice.len);
    }
}

static void arrived(void *above, struct pg_conn *conn)
{
    (void)above;
    reserve(conn->above);
}

static void lost(void *above, struct pg_conn *conn, enum pg_err why)
{
    (void)above;
    (void)why;
    ((struct client *)conn->above)->conn = NULL;
}

static void unconcerned(void *above, struct pg_conn *conn)
{
    (void)above;
    (void)conn;
}

static enum pg_limit forbids(void *above, struct pg_conn *conn)
{
    unconcerned(above, conn);
    return PG_LIMITS;
}

static void refused(void *above, struct pg_conn *conn, enum pg_limit limit, const char *what)
{
    (void)limit;
    (void)what;
    unconcerned(above, conn);
}

static const struct pg_handler *spoken(void *above, struct pg_conn *conn, struct pg_bytes offer)
{
    (void)offer;
    unconcerned(above, conn);
    return NULL; /* identify and ping of the relay are refused */
}

/* One client's turn. */

static void turn(struct client *c)
{
    static uint8_t block[PG_READ_HEADROOM + 65536];
    ssize_t n = recv(c->fd, block + PG_READ_HEADROOM, 65536, 0);
    scope.now_us = now_us();
    pg_timers_run(&scope);
    if (n <= 0 && c->conn)
        pg_conn_link_lost(c->conn, PG_ERR_CLOSED);
    else if (c->conn)
        pg_conn_received(c->conn, block + PG_READ_HEADROOM, (size_t)n);
    if (c->conn)
        pg_conn_written(c->conn);
    pg_transport_reap(&transport);
    if (!c->conn && c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

/* Whoever has something to say; false when our own input has ended. */
static bool turns(int queue, int patience_ms)
{
    struct epoll_event got;
    while (epoll_wait(queue, &got, 1, patience_ms) > 0) {
        if (got.data.u32 == UINT32_MAX)
            return false;
        turn(&clients[got.data.u32]);
    }
    scope.now_us = now_us();
    pg_timers_run(&scope);
    return true;
}

static void take_identity(uint32_t number)
{
    uint8_t seed[32] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), 0x77};
    static struct pg_identity *identity;
    if (identity) {
        pg_noise_static_free(&transport.noise);
        pg_identity_free(identity);
    }
    identity = pg_identity_from_seed(seed);
    transport.identity = identity;
    bool first = number == 0;
    if (!identity || (first ? !pg_transport_init(&transport, (uint32_t)limits.value[PG_LIMIT_CONNS], (uint32_t)limits.value[PG_LIMIT_STREAMS])
                            : !(pg_noise_static_new(&transport.noise, identity) && pg_noise_payload_make(&transport))))
        fail("identity");
}

static void begin(struct client *c, uint32_t number, uint16_t port, const struct pg_peer_id *relay)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}, .port = port};
    int one = 1;
    take_identity(number);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->link.number = number + 1;
    pg_queue_init(&c->link.tx, &chunks);
    c->conn = pg_conn_new(&transport, &c->link, true, relay);
    if (!c->conn)
        fail("connection");
    c->conn->above = c;
    scope.now_us = now_us();
    pg_conn_linked(c->conn, &at, &at);
    while (c->status == 0 && c->conn)
        turn(c);
}

int main(int argc, char **argv)
{
    struct pg_peer_id relay;
    if (argc != 4 || pg_peer_id_parse(&relay, pg_text(argv[2])) != PG_OK) {
        fprintf(stderr, "usage: bench_reserve PORT PEER COUNT\n");
        return 2;
    }
    uint32_t count = (uint32_t)atoi(argv[3]), reserved = 0;
    pg_limits_standard(&limits);
    limits.value[PG_LIMIT_CONNS] = count + 16;
    limits.value[PG_LIMIT_STREAMS] = 4 * count + 256;
    transport = (struct pg_transport){.scope = &scope, .log = &quiet, .metrics = &metrics, .chunks = &chunks, .limits = &limits,
                                      .map_seed = 1, .command = command, .arrived = arrived, .lost = lost, .relieved = unconcerned,
                                      .emptied = unconcerned, .forbids = forbids, .refused = refused, .protocol = spoken};
    clients = calloc(count, sizeof *clients);
    int queue = epoll_create1(0);
    if (!clients || queue < 0 || !pg_scope_init(&scope, 20 * count + 4096, 4096) ||
        !pg_pool_init(&chunks, PG_CHUNK_SLOT, MEMORY / PG_CHUNK_SLOT, 16))
        fail("memory");
    uint64_t began = now_us();
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        begin(&clients[i], i, (uint16_t)atoi(argv[1]), &relay);
        reserved += clients[i].status == PG_PB_CIRCUIT_STATUS_OK;
        if (clients[i].fd >= 0 && epoll_ctl(queue, EPOLL_CTL_ADD, clients[i].fd, &e) != 0)
            fail("epoll_ctl");
        (void)turns(queue, 0);
    }
    printf("{\"asked\":%u,\"reserved\":%u,\"seconds\":%.3f}\n", count, reserved, (double)(now_us() - began) / 1e6);
    fflush(stdout);
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, 0, &input) != 0)
        fail("epoll_ctl");
    while (turns(queue, PATIENCE_MS))
        ;
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++)
        left += clients[i].conn != NULL;
    printf("{\"left\":%u}\n", left);
    return 0;
}
