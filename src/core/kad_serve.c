/* Streams on which Kademlia is served: facts and actions of kad_serve, and their places. What is answered is in kad_reply.c.
 * Called through the streams' handler and by node.c. Serves libp2p/specs kad-dht/README.md, "RPC messages". */
#include "core/node_internal.h"

#include "core/kad_reply.h"
#include "protocols.gen.h"

#include <assert.h>

/* Facts and actions. */

static struct pg_node *node_of(const struct pg_kad_serve *v)
{
    return v->server->node;
}

bool pg_kad_serve_is_roomy(const struct pg_kad_serve *v)
{
    return v->answer_len <= pg_stream_credit(v->stream);
}

void pg_kad_serve_do_record_take(struct pg_kad_serve *v)
{
    pg_kad_hand_take(v);
}

static void drop_answer(struct pg_kad_serve *v)
{
    if (v->answer)
        pg_pool_give(&node_of(v)->chunks, v->answer);
    v->answer = NULL;
    v->answer_len = 0;
}

void pg_kad_serve_do_answer_write(struct pg_kad_serve *v)
{
    if (v->answer_len)
        (void)pg_stream_write(v->stream, pg_bytes(v->answer, v->answer_len)); /* no memory: the connection ends */
    drop_answer(v);
}

void pg_kad_serve_do_answer_hold(struct pg_kad_serve *v)
{
    pg_stream_await_credit(v->stream);
}

static void drop_room(struct pg_kad_serve *v)
{
    if (v->frame.room)
        pg_pool_give(&node_of(v)->chunks, v->frame.room);
    v->frame.room = NULL;
}

void pg_kad_serve_do_stream_forget(struct pg_kad_serve *v)
{
    drop_answer(v);
    drop_room(v);
    if (v->stream)
        v->session->kad_seat.streams--;
    v->stream = NULL;
}

void pg_kad_serve_do_stream_end(struct pg_kad_serve *v)
{
    struct pg_stream *stream = v->stream;
    pg_kad_serve_do_stream_forget(v);
    pg_stream_detach(stream);
    pg_stream_end(stream);
}

void pg_kad_serve_do_stream_drop(struct pg_kad_serve *v)
{
    struct pg_stream *stream = v->stream;
    pg_kad_serve_do_stream_forget(v);
    pg_stream_reset(stream);
}

static void tell(struct pg_kad_serve *v, const char *why)
{
    pg_log_kad_refused(node_of(v)->log, pg_text(v->session->peer_text), pg_text(why));
}

void pg_kad_serve_do_refusal_tell(struct pg_kad_serve *v)
{
    node_of(v)->metrics.value[PG_METRIC_KAD_REFUSED]++;
    tell(v, pg_err_text(v->why));
}

void pg_kad_serve_do_excess_tell(struct pg_kad_serve *v)
{
    pg_node_refuse(node_of(v), PG_LIMIT_KAD_RATE, NULL, pg_text(v->session->peer_text));
}

void pg_kad_serve_do_haste_tell(struct pg_kad_serve *v)
{
    node_of(v)->metrics.value[PG_METRIC_KAD_REFUSED]++;
    tell(v, "it asks on and does not read what is answered");
}

void pg_kad_serve_do_lateness_tell(struct pg_kad_serve *v)
{
    tell(v, "the request did not come, or its answer did not leave, within ten seconds");
}

/* Places. */

static void list(struct pg_kad_serve *v)
{
    struct pg_kad_serving *k = v->server;
    v->next = NULL;
    v->previous = k->last;
    *(k->last ? &k->last->next : &k->first) = v;
    k->last = v;
}

static void unlist(struct pg_kad_serve *v)
{
    struct pg_kad_serving *k = v->server;
    *(v->previous ? &v->previous->next : &k->first) = v->next;
    *(v->next ? &v->next->previous : &k->last) = v->previous;
}

void pg_kad_serving_finished(struct pg_kad_serving *k, struct pg_instance *in)
{
    struct pg_kad_serve *v = in->self;
    unlist(v);
    v->next = k->ended;
    k->ended = v;
}

/* Not in the turn's own step: whoever opens the next stream does it. */
static void reap(struct pg_kad_serving *k)
{
    while (k->ended) {
        struct pg_kad_serve *v = k->ended;
        k->ended = v->next;
        pg_instance_end(&v->in);
        pg_pool_give(&k->serves, v);
    }
}

/* Who gives way when all are taken: a stream that waits for a request, the one that has for longest; else, of the connection with
 * most of them, the one that has stood for longest, so that nobody holds all places with requests that never end. */
static struct pg_kad_serve *giving_way(const struct pg_kad_serving *k)
{
    struct pg_kad_serve *found = NULL;
    for (struct pg_kad_serve *v = k->first; v; v = v->next) {
        if (v->in.ctl.state == PG_KAD_SERVE_WAITING)
            return v;
        if (!found || v->session->kad_seat.streams > found->session->kad_seat.streams)
            found = v;
    }
    return found;
}

static struct pg_kad_serve *place(struct pg_kad_serving *k)
{
    reap(k);
    struct pg_kad_serve *v = pg_pool_take_zero(&k->serves), *last = v ? NULL : giving_way(k);
    if (!last)
        return v;
    pg_step(&last->in, PG_KAD_SERVE_ON_PLACE_WANTED);
    reap(k);
    return pg_pool_take_zero(&k->serves);
}

static void serve_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_kad_serving *k = &s->node->kad_serving;
    struct pg_kad_serve *v = s->kad_seat.streams < PG_FIXED_KAD_SERVED_CONN ? place(k) : NULL;
    if (!v) {
        s->node->metrics.value[PG_METRIC_KAD_REFUSED]++;
        pg_log_kad_refused(s->node->log, pg_text(s->peer_text), PG_LIT("too many streams of Kademlia at once"));
        pg_stream_reset(stream);
        return;
    }
    v->server = k;
    v->stream = stream;
    v->session = s;
    stream->user = v;
    s->kad_seat.streams++;
    list(v);
    pg_frame_init(&v->frame, PG_FRAME_UVARINT, NULL, PG_CHUNK_SLOT);
    pg_instance_init(&v->in, &pg_kad_serve_machine, &pg_kad_serve_binding, v, &s->node->scope, v->timers, NULL, k->next_key++);
    pg_step(&v->in, PG_KAD_SERVE_ON_START);
}

/* The stream. */

/* Memory for a request that comes in pieces, and for what is answered. When it is short, new requests are what goes without. */
static bool make_room(struct pg_kad_serve *v)
{
    struct pg_pool *chunks = &node_of(v)->chunks;
    if (!v->frame.room && !pg_pool_crowded(chunks))
        v->frame.room = pg_pool_take(chunks);
    return v->frame.room != NULL;
}

static enum pg_kad_serve_event next_event(struct pg_kad_serve *v, struct pg_bytes *data)
{
    struct pg_bytes text;
    if (!make_room(v)) {
        v->why = PG_ERR_NO_MEMORY;
        return PG_KAD_SERVE_ON_REQUEST_BAD;
    }
    switch (pg_frame_feed(&v->frame, data, &text)) {
    case PG_FRAME_MORE: return PG_KAD_SERVE_ON_REQUEST_BEGUN;
    case PG_FRAME_BAD: v->why = pg_frame_error(&v->frame); return PG_KAD_SERVE_ON_REQUEST_BAD;
    case PG_FRAME_MESSAGE: break;
    }
    unlist(v);
    list(v);
    if (!pg_node_rate_take(node_of(v), &v->session->kad_seat.requests, PG_LIMIT_KAD_RATE, 8))
        return PG_KAD_SERVE_ON_REQUEST_EXCESS;
    if (v->in.ctl.state == PG_KAD_SERVE_ANSWERING)
        return PG_KAD_SERVE_ON_REQUEST_GOOD; /* whatever it is: the one before has not been answered */
    v->why = pg_kad_hand_read(v, text);
    return v->why == PG_OK ? PG_KAD_SERVE_ON_REQUEST_GOOD : PG_KAD_SERVE_ON_REQUEST_BAD;
}

static void serve_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_kad_serve *v = stream->user;
    while (v->stream && data.len > 0) {
        size_t before = data.len;
        enum pg_kad_serve_event event = next_event(v, &data);
        pg_stream_consumed(stream, before - data.len);
        pg_step(&v->in, event);
    }
    if (v->stream && pg_frame_idle(&v->frame))
        drop_room(v);
}

static void serve_ended(struct pg_stream *stream)
{
    struct pg_kad_serve *v = stream->user;
    v->why = PG_ERR_CLOSED;
    pg_step(&v->in, PG_KAD_SERVE_ON_STREAM_ENDED);
}

static void serve_writable(struct pg_stream *stream)
{
    pg_step(&((struct pg_kad_serve *)stream->user)->in, PG_KAD_SERVE_ON_CREDIT_CAME);
}

static void serve_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_kad_serve *v = stream->user;
    v->why = why;
    pg_step(&v->in, PG_KAD_SERVE_ON_STREAM_FAILED);
}

/* Whom we serve. */

bool pg_kad_serving_everybody(const struct pg_node *n)
{
    return !n->config.quiet && !n->config.aside && n->control.nat.in.ctl.state != PG_NAT_PRIVATE;
}

bool pg_kad_serving_serves(const struct pg_node *n, const struct pg_session *s)
{
    const struct pg_endpoint *there = &s->conn->remote;
    bool near = pg_endpoint_is_loopback(there) || pg_endpoint_is_private(there);
    return pg_kad_serving_everybody(n) || (near && !n->config.quiet && !n->config.aside);
}

uint32_t pg_kad_serving_streams(struct pg_kad_serving *k)
{
    reap(k);
    return k->serves.used;
}

bool pg_kad_serving_owns(const struct pg_kad_serving *k, const struct pg_handler *h)
{
    return h >= k->handlers && h < k->handlers + k->n_handlers;
}

/* Life. */

bool pg_kad_serving_init(struct pg_kad_serving *k, struct pg_node *n, struct pg_kad_table *table, struct pg_kad_store *store)
{
    static const struct pg_handler serve = {.housekeeping = true, .opened = serve_opened, .data = serve_data, .ended = serve_ended,
                                            .writable = serve_writable, .closed = serve_closed};
    struct pg_bytes ids[PG_KAD_SERVING_IDS] = {n->config.kad_protocol, PG_LIT(PG_PROTOCOL_KAD_PUBLIC)};
    if (ids[0].len == 0)
        ids[0] = PG_LIT(PG_PROTOCOL_KAD);
    *k = (struct pg_kad_serving){.node = n, .table = table, .store = store};
    for (unsigned i = 0; i < PG_KAD_SERVING_IDS; i++) {
        if (i > 0 && pg_bytes_equal(ids[i], ids[0]))
            continue;
        k->handlers[k->n_handlers] = serve;
        k->handlers[k->n_handlers++].protocol = ids[i];
    }
    for (uint32_t i = 0; i < k->n_handlers; i++)
        if (!pg_node_serve(n, &k->handlers[i]))
            return false;
    return pg_pool_init(&k->serves, sizeof(struct pg_kad_serve), PG_FIXED_KAD_SERVED, 0);
}

void pg_kad_serving_free(struct pg_kad_serving *k)
{
    reap(k);
    pg_pool_free(&k->serves);
}
