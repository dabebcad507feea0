/* Two ends of one connection in memory, see pair.h. Linked to every unit test.
 * Delivers as runtime/loop does: at most PG_READ_MAX bytes and the credit, headroom before them, in a fresh block each time,
 * so that the sanitizers see every byte read or written outside. */
#include "pair.h"

#include "transport/noise.h"

enum { CONNS = 8 };

uint64_t pair_random(struct pair *p)
{
    uint64_t z = p->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static struct pair_end *other(const struct pair_end *e)
{
    return &e->pair->ends[e == &e->pair->ends[0]];
}

/* The test's protocol. */

static uint32_t sum(uint32_t before, struct pg_bytes data)
{
    for (size_t i = 0; i < data.len; i++)
        before = before * 31 + data.at[i];
    return before;
}

static void send_more(struct pair_stream *s)
{
    uint8_t block[8192];
    while (s->stream && s->sent < s->to_send) {
        size_t n = pg_stream_credit(s->stream);
        if (n == 0) {
            pg_stream_await_credit(s->stream);
            return;
        }
        if (n > sizeof block)
            n = sizeof block;
        if (n > s->to_send - s->sent)
            n = (size_t)(s->to_send - s->sent);
        for (size_t i = 0; i < n; i++)
            block[i] = (uint8_t)((s->sent + i) * 7 >> 3);
        s->sent += n;
        s->sum_sent = sum(s->sum_sent, pg_bytes(block, n));
        if (!pg_stream_write(s->stream, pg_bytes(block, n)))
            return;
    }
    if (s->stream && s->end_when_sent) {
        s->end_when_sent = false;
        pg_stream_end(s->stream);
    }
}

static void opened(struct pg_stream *stream)
{
    struct pair_end *e = stream->conn->above;
    struct pair_stream *s = stream->user;
    if (!s) {
        if (e->n_inbound == sizeof e->inbound / sizeof *e->inbound)
            abort();
        s = &e->inbound[e->n_inbound++];
        s->end = e;
        s->stream = stream;
        stream->user = s;
    }
    s->n_opened++;
}

static void data(struct pg_stream *stream, struct pg_bytes in)
{
    struct pair_stream *s = stream->user;
    s->received += in.len;
    s->sum_received = sum(s->sum_received, in);
    if (s->keep) {
        s->kept += in.len;
        return;
    }
    if (s->echo && !pg_stream_write(stream, in))
        return;
    pg_stream_consumed(stream, in.len);
}

static void ended(struct pg_stream *stream)
{
    struct pair_stream *s = stream->user;
    s->n_ended++;
    if (s->end_when_ended)
        pg_stream_end(stream);
}

static void writable(struct pg_stream *stream)
{
    struct pair_stream *s = stream->user;
    s->n_writable++;
    send_more(s);
}

static void closed(struct pg_stream *stream, enum pg_err why)
{
    struct pair_stream *s = stream->user;
    if (!s)
        return;
    s->n_closed++;
    s->why = why;
    s->stream = NULL;
}

const struct pg_handler pair_handler = {.protocol = {(const uint8_t *)"/pair/1", 7}, .opened = opened, .data = data,
                                        .ended = ended, .writable = writable, .closed = closed};

bool pair_open(struct pair_end *e, struct pair_stream *s)
{
    enum pg_err why;
    s->end = e;
    s->stream = e->conn ? pg_stream_open(e->conn, &pair_handler, s, &why) : NULL;
    pair_settle(e);
    return s->stream != NULL;
}

void pair_send(struct pair_stream *s, uint64_t n)
{
    s->to_send += n;
    send_more(s);
    pair_settle(s->end);
}

/* What a transport asks of its core. */

static void command(void *above, const struct pg_command *c)
{
    struct pair_end *e = above;
    if (c->kind == PG_COMMAND_CLOSE || c->kind == PG_COMMAND_RESET)
        e->ended_by = (int)c->kind;
    if (c->kind == PG_COMMAND_CLOSE || c->kind == PG_COMMAND_RESET)
        c->link->closing = true;
    if (e->link.tx.bytes > e->most_unsent)
        e->most_unsent = e->link.tx.bytes;
}

static void arrived(void *above, struct pg_conn *c)
{
    (void)c;
    ((struct pair_end *)above)->n_arrived++;
}

static void lost(void *above, struct pg_conn *c, enum pg_err why)
{
    struct pair_end *e = above;
    (void)c;
    e->n_lost++;
    e->why = why;
    e->conn = NULL;
}

static void relieved(void *above, struct pg_conn *c)
{
    (void)c;
    ((struct pair_end *)above)->n_relieved++;
}

static void emptied(void *above, struct pg_conn *c)
{
    (void)c;
    ((struct pair_end *)above)->n_emptied++;
}

static enum pg_limit forbids(void *above, struct pg_conn *c)
{
    (void)above;
    (void)c;
    return PG_LIMITS;
}

static void refused(void *above, struct pg_conn *c, enum pg_limit limit, const char *what)
{
    (void)c;
    (void)what;
    ((struct pair_end *)above)->n_refused[limit]++;
}

static const struct pg_handler *protocol(void *above, struct pg_conn *c, struct pg_bytes offer)
{
    (void)c;
    return ((struct pair_end *)above)->speaks && pg_bytes_equal(offer, pair_handler.protocol) ? &pair_handler : NULL;
}

/* Life. */

static void end_init(struct pair *p, struct pair_end *e, const struct pair_options *o, const uint8_t seed[32])
{
    uint32_t streams = o->max_streams ? o->max_streams : 4096;
    size_t memory = o->memory ? o->memory : (size_t)64 << 20;
    e->pair = p;
    e->speaks = true;
    e->identity = pg_identity_from_seed(seed);
    pg_limits_standard(&e->limits);
    if (o->max_inbound)
        e->limits.value[PG_LIMIT_STREAMS_CONN] = o->max_inbound;
    e->limits.value[PG_LIMIT_STREAMS] = streams;
    e->transport = (struct pg_transport){.scope = &e->scope, .identity = e->identity, .log = &e->log, .metrics = &e->metrics,
                                         .chunks = &e->chunks, .window_budget = memory / 2,
                                         .limits = &e->limits, .emptied = emptied, .forbids = forbids, .refused = refused,
                                         .map_seed = 0x1234567, .above = e, .command = command, .arrived = arrived,
                                         .lost = lost, .relieved = relieved, .protocol = protocol};
    if (!e->identity || !pg_scope_init(&e->scope, CONNS * 9 + streams * 4, 4096) ||
        !pg_pool_init(&e->chunks, PG_CHUNK_SLOT, (uint32_t)(memory / PG_CHUNK_SLOT) + 16, 16) ||
        !pg_transport_init(&e->transport, CONNS, streams))
        abort();
    if (o->early_muxer_off) {
        memcpy(e->transport.noise_payload, e->transport.noise.payload, e->transport.noise.payload_len);
        e->transport.noise_payload_len = e->transport.noise.payload_len;
    }
    pg_queue_init(&e->link.tx, &e->chunks);
    e->scope.now_us = p->now_us;
    e->conn = pg_conn_new(&e->transport, &e->link, e == &p->ends[0], e == &p->ends[0] ? o->expected : NULL);
    if (!e->conn)
        abort();
    e->conn->above = e;
    if (o->swapped)
        e->conn->client = !e->conn->client;
}

struct pair *pair_new(const struct pair_options *options)
{
    static const struct pair_options usual;
    const struct pair_options *o = options ? options : &usual;
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    p->secrets_before = pg_secrets_held();
    p->now_us = 1000000;
    p->random = 42;
    p->cut = o->cut;
    end_init(p, &p->ends[0], o, (const uint8_t[32]){1});
    end_init(p, &p->ends[1], o, o->same_identity ? (const uint8_t[32]){1} : (const uint8_t[32]){2});
    return p;
}

void pair_free(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair_end *e = &p->ends[i];
        if (e->conn)
            pg_conn_close(e->conn, PG_ERR_CLOSED);
        pg_queue_clear(&e->link.tx);
        pg_transport_free(&e->transport);
        CU_ASSERT_EQUAL(e->chunks.used, 0);
        CU_ASSERT_EQUAL(e->scope.timers.used, 0);
        pg_pool_free(&e->chunks);
        pg_scope_free(&e->scope);
        pg_identity_free(e->identity);
        free(e->plain);
        free(e->cipher);
    }
    CU_ASSERT_EQUAL(pg_secrets_held(), p->secrets_before);
    free(p);
}

void pair_settle(struct pair_end *e)
{
    if (e->link.tx.bytes > e->most_unsent)
        e->most_unsent = e->link.tx.bytes;
    pg_transport_reap(&e->transport);
}

void pair_link(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pg_endpoint here = {.family = 4, .ip = {127, 0, 0, 1}, .port = (uint16_t)(1000 + i)};
        p->ends[i].scope.now_us = p->now_us;
        pg_conn_linked(p->ends[i].conn, &here, &here);
        pair_settle(&p->ends[i]);
    }
}

/* Delivery. */

static void raw_received(struct pair_end *, const uint8_t *, size_t);

void pair_feed(struct pair_end *e, const void *bytes, size_t len)
{
    if (!e->conn || e->link.closing)
        return;
    if (e->raw) {
        raw_received(e, bytes, len);
        return;
    }
    uint8_t *block = malloc(PG_READ_HEADROOM + len);
    if (!block)
        abort();
    if (len)
        memcpy(block + PG_READ_HEADROOM, bytes, len);
    e->scope.now_us = e->pair->now_us;
    pg_conn_received(e->conn, block + PG_READ_HEADROOM, len);
    pair_settle(e);
    free(block);
}

static size_t take(struct pair_end *e, uint8_t *out, size_t n)
{
    size_t done = 0;
    struct pg_bytes slice;
    while (done < n && pg_queue_peek(&e->link.tx, &slice, 1)) {
        slice = pg_bytes_head(slice, n - done);
        memcpy(out + done, slice.at, slice.len);
        pg_queue_drop(&e->link.tx, slice.len);
        done += slice.len;
    }
    return done;
}

size_t pair_take(struct pair_end *e, uint8_t **out)
{
    size_t n = e->link.tx.bytes;
    *out = malloc(n ? n : 1);
    if (!*out)
        abort();
    return take(e, *out, n);
}

static void lose(struct pair_end *e, enum pg_err why)
{
    if (!e->conn || e->told_end)
        return;
    e->told_end = true;
    pg_conn_link_lost(e->conn, why);
    pg_queue_clear(&e->link.tx);
    pair_settle(e);
}

/* How much goes over in one piece. */
static size_t piece(struct pair *p, unsigned from, size_t n)
{
    struct pair_end *e = &p->ends[from];
    if (n > PG_READ_MAX)
        n = PG_READ_MAX;
    if (n == 0)
        return 0;
    if (p->cut == PAIR_BYTES)
        n = 1;
    if (p->cut == PAIR_RANDOM) {
        /* Mostly small, sometimes all: both kinds of border matter. */
        size_t most = pair_random(p) % 4 ? 1 + pair_random(p) % 300 : 1 + pair_random(p) % (128 * 1024);
        n = n < most ? n : most;
    }
    if (p->split.on && p->split.from == from && p->split.at > e->sent && p->split.at < e->sent + n)
        n = (size_t)(p->split.at - e->sent);
    if (p->sever.on && p->sever.from == from && p->sever.at < e->sent + n)
        n = (size_t)(p->sever.at - e->sent);
    return n;
}

static bool deliver(struct pair *p, unsigned from)
{
    struct pair_end *e = &p->ends[from], *to = other(e);
    size_t n = piece(p, from, e->link.tx.bytes);
    if (p->sever.on && p->sever.from == from && e->sent >= p->sever.at) {
        p->sever.on = false;
        lose(e, PG_ERR_CLOSED);
        lose(to, PG_ERR_CLOSED);
        return true;
    }
    if (n == 0) {
        if (e->link.closing && !to->told_end && to->conn) {
            lose(to, PG_ERR_CLOSED);
            return true;
        }
        return false;
    }
    uint8_t *block = malloc(n);
    if (!block)
        abort();
    take(e, block, n);
    if (p->flip.on && p->flip.from == from && p->flip.at >= e->sent && p->flip.at < e->sent + n)
        block[p->flip.at - e->sent] ^= p->flip.with;
    e->sent += n;
    pair_feed(to, block, n);
    free(block);
    if (e->conn && !e->link.closing) {
        e->scope.now_us = p->now_us;
        pg_conn_written(e->conn);
    }
    pair_settle(e);
    return true;
}

void pair_run(struct pair *p)
{
    bool moved = true;
    while (moved) {
        moved = deliver(p, 0);
        moved |= deliver(p, 1);
    }
}

void pair_pass(struct pair *p, uint64_t ms)
{
    uint64_t until = p->now_us + ms * 1000;
    for (;;) {
        pair_run(p);
        uint64_t a = pg_timers_next(&p->ends[0].scope), b = pg_timers_next(&p->ends[1].scope);
        uint64_t next = a < b ? a : b;
        if (next > until)
            break;
        if (next > p->now_us)
            p->now_us = next;
        for (unsigned i = 0; i < 2; i++) {
            p->ends[i].scope.now_us = p->now_us;
            if (!p->ends[i].raw)
                pg_timers_run(&p->ends[i].scope);
            else
                while (pg_timers_next(&p->ends[i].scope) <= p->now_us)
                    pg_timers_run(&p->ends[i].scope);
            pair_settle(&p->ends[i]);
        }
    }
    p->now_us = until;
    p->ends[0].scope.now_us = p->ends[1].scope.now_us = until;
}

bool pair_is_up(const struct pair *p)
{
    return p->ends[0].conn && p->ends[1].conn && pg_conn_is_up(p->ends[0].conn) && pg_conn_is_up(p->ends[1].conn);
}

struct pair *pair_up(const struct pair_options *o)
{
    struct pair *p = pair_new(o);
    pair_link(p);
    pair_run(p);
    CU_ASSERT_FATAL(pair_is_up(p));
    return p;
}

/* A raw end. */

void pair_make_raw(struct pair_end *e)
{
    e->raw = true;
    /* Its own session is not in use any more: no keep-alive of it shall disturb. */
    for (unsigned i = 0; i < PG_YAMUX_SESSION_TIMERS; i++)
        pg_timer_stop(&e->conn->yamux.in, i);
}

void pair_raw_frame(struct pair_end *e, uint8_t type, uint16_t flags, uint32_t id, uint32_t length, struct pg_bytes body)
{
    uint8_t head[12];
    if (!e->conn)
        return;
    pg_yamux_header_write(&(struct pg_yamux_header){.type = type, .flags = flags, .stream = id, .length = length}, head);
    (void)pg_conn_send(e->conn, pg_bytes(head, sizeof head), body);
    pair_settle(e);
}

static void raw_received(struct pair_end *e, const uint8_t *in, size_t len)
{
    e->cipher = realloc(e->cipher, e->cipher_len + len + 1);
    if (!e->cipher)
        abort();
    memcpy(e->cipher + e->cipher_len, in, len);
    e->cipher_len += len;
    size_t at = 0;
    while (e->cipher_len - at >= 2) {
        size_t n = (size_t)e->cipher[at] << 8 | e->cipher[at + 1];
        if (e->cipher_len - at - 2 < n)
            break;
        if (!pg_noise_decrypt(e->conn->receive, e->cipher + at + 2, n))
            abort();
        size_t plain = n - PG_NOISE_TAG;
        if (e->plain_len + plain > e->plain_room) {
            e->plain_room = (e->plain_len + plain) * 2;
            e->plain = realloc(e->plain, e->plain_room);
            if (!e->plain)
                abort();
        }
        memcpy(e->plain + e->plain_len, e->cipher + at + 2, plain);
        e->plain_len += plain;
        at += 2 + n;
    }
    e->cipher_len -= at;
    memmove(e->cipher, e->cipher + at, e->cipher_len);
}

/* Length of the frame at the front, 0 when it is not whole. */
static size_t raw_frame_len(const uint8_t *at, size_t len, struct pg_yamux_header *h)
{
    if (len < 12)
        return 0;
    CU_ASSERT_EQUAL_FATAL(pg_yamux_header_read(h, at), PG_OK); /* what we send must be read */
    size_t n = 12 + (h->type == PG_YAMUX_DATA ? h->length : 0);
    return len < n ? 0 : n;
}

bool pair_raw_next(struct pair_end *e, struct pair_frame *f)
{
    size_t n = e->plain_len ? raw_frame_len(e->plain, e->plain_len, &f->head) : 0;
    if (n == 0)
        return false;
    /* The frame moves behind what is left, so that it outlives the call. */
    uint8_t *copy = malloc(e->plain_len);
    if (!copy)
        abort();
    memcpy(copy, e->plain + n, e->plain_len - n);
    memcpy(copy + e->plain_len - n, e->plain, n);
    free(e->plain);
    e->plain = copy;
    e->plain_room = e->plain_len;
    e->plain_len -= n;
    f->body = pg_bytes(e->plain + e->plain_len + 12, n - 12);
    return true;
}

unsigned pair_raw_count(struct pair_end *e, uint8_t type, uint16_t flags)
{
    struct pg_yamux_header h;
    unsigned count = 0;
    size_t at = 0, n;
    while (at < e->plain_len && (n = raw_frame_len(e->plain + at, e->plain_len - at, &h)) > 0) {
        count += h.type == type && (!flags || (h.flags & flags));
        at += n;
    }
    e->plain_len -= at;
    if (e->plain_len)
        memmove(e->plain, e->plain + at, e->plain_len);
    return count;
}
