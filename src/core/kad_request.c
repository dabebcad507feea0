/* Facts and actions of kad_request: one message to one peer, and its answer. Called by kad_query.c.
 * Source: libp2p/specs kad-dht/README.md, "RPC messages". */
#include "core/node_internal.h"

#include "kad.pb.gen.h"

#include <stddef.h>

static struct pg_kad_frontier *frontier(const struct pg_kad_request *r)
{
    return &r->query->frontier;
}

bool pg_kad_request_is_connected(const struct pg_kad_request *r)
{
    return pg_node_session(r->node, &pg_kad_frontier_walker(frontier(r), r->walker)->id) != NULL;
}

bool pg_kad_request_is_answerless(const struct pg_kad_request *r)
{
    return r->tells && r->query->op == PG_KAD_PROVIDE;
}

/* Under which id the peer speaks it, of those behind `from`. identify may have said; else ours comes first. */
static uint8_t choose_id(const struct pg_session *s, uint8_t from)
{
    while (from < PG_KAD_IDS && s->kad_asked && !(s->kad_ids >> from & 1))
        from++;
    return from;
}

bool pg_kad_request_is_another(const struct pg_kad_request *r)
{
    return r->session && choose_id(r->session, (uint8_t)(r->id + 1)) < PG_KAD_IDS;
}

/* The visit's two calls. */

static struct pg_kad_request *of_visitor(struct pg_visitor *visitor)
{
    return HOST_OF(pg_kad_request, visitor, visitor);
}

static void visit_up(struct pg_visitor *visitor, struct pg_session *s)
{
    (void)s;
    pg_step(&of_visitor(visitor)->in, PG_KAD_REQUEST_ON_PEER_UP);
}

static void visit_failed(struct pg_visitor *visitor, enum pg_err why, struct pg_bytes reason)
{
    (void)reason;
    of_visitor(visitor)->forbidden = why == PG_ERR_LIMIT_REACHED || why == PG_ERR_NO_MEMORY;
    pg_step(&of_visitor(visitor)->in, PG_KAD_REQUEST_ON_PEER_FAILED);
}

void pg_kad_request_do_visit_begin(struct pg_kad_request *r)
{
    struct pg_kad_contact peer;
    pg_kad_frontier_contact(frontier(r), r->walker, &peer);
    r->visitor = (struct pg_visitor){.up = visit_up, .failed = visit_failed};
    r->visit = pg_node_visit(r->node, &r->visitor, &peer);
    r->forbidden = !r->visit;
    if (!r->visit)
        pg_post(&r->in, PG_KAD_REQUEST_ON_PEER_FAILED);
}

void pg_kad_request_do_visit_end(struct pg_kad_request *r)
{
    if (r->visit)
        pg_visit_end(r->visit);
    r->visit = NULL;
}

/* The stream. */

static void on_opened(struct pg_stream *s)
{
    pg_stream_end(s); /* not before: js-libp2p resets a stream that has ended before it has read the protocol's line */
    pg_step(&((struct pg_kad_request *)s->user)->in, PG_KAD_REQUEST_ON_PROTOCOL_AGREED);
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_kad_request *r = s->user;
    struct pg_bytes message;
    pg_stream_consumed(s, data.len);
    switch (pg_frame_feed(&r->frame, &data, &message)) {
    case PG_FRAME_MORE: return;
    case PG_FRAME_BAD: pg_step(&r->in, PG_KAD_REQUEST_ON_ANSWER_BAD); return;
    case PG_FRAME_MESSAGE: break;
    }
    if (r->in.ctl.state == PG_KAD_REQUEST_ASKING)
        pg_step(&r->in, pg_kad_query_take(r->query, r, message) ? PG_KAD_REQUEST_ON_ANSWER_GOOD : PG_KAD_REQUEST_ON_ANSWER_BAD);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_kad_request *r = s->user;
    if (pg_kad_request_is_answerless(r))
        return; /* it may have been read all the same: whether the protocol is agreed on is what counts */
    pg_step(&r->in, PG_KAD_REQUEST_ON_ANSWER_BAD);
}

static void on_writable(struct pg_stream *s)
{
    (void)s;
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_kad_request *r = s->user;
    r->stream = NULL;
    pg_step(&r->in, why == PG_ERR_PROTOCOL_UNSUPPORTED ? PG_KAD_REQUEST_ON_STREAM_REFUSED : PG_KAD_REQUEST_ON_STREAM_FAILED);
}

static void ask_init(struct pg_handler *h, struct pg_bytes protocol)
{
    *h = (struct pg_handler){.protocol = protocol, .opened = on_opened, .data = on_data, .ended = on_ended,
                             .writable = on_writable, .closed = on_closed};
}

void pg_kad_ask_init(struct pg_handler handlers[PG_KAD_IDS], struct pg_bytes protocol, struct pg_bytes public_protocol)
{
    ask_init(&handlers[0], protocol);
    ask_init(&handlers[1], public_protocol);
}

void pg_kad_request_do_request_send(struct pg_kad_request *r)
{
    enum pg_err why;
    struct pg_session *s = pg_node_session(r->node, &pg_kad_frontier_walker(frontier(r), r->walker)->id);
    bool again = r->in.event == PG_KAD_REQUEST_ON_STREAM_REFUSED;
    r->id = s ? choose_id(s, again ? (uint8_t)(r->id + 1) : 0) : PG_KAD_IDS;
    r->session = s;
    struct pg_bytes text = s ? pg_kad_question_write(r->query, r, r->room, sizeof r->room) : PG_NONE;
    r->stream = r->id < PG_KAD_IDS && text.len ? pg_stream_open(s->conn, &r->node->kad.ask[r->id], r, &why) : NULL;
    if (!r->stream || text.len > pg_stream_credit(r->stream) || !pg_stream_write(r->stream, text)) {
        pg_kad_request_do_stream_drop(r);
        pg_post(&r->in, PG_KAD_REQUEST_ON_STREAM_FAILED);
        return;
    }
    pg_frame_init(&r->frame, PG_FRAME_UVARINT, r->room, sizeof r->room);
    r->query->messages++;
    r->node->metrics.value[PG_METRIC_KAD_REQUESTS_SENT]++;
}

void pg_kad_request_do_stream_drop(struct pg_kad_request *r)
{
    pg_stream_drop(&r->stream);
}

/* Everything has been said on both sides; whoever ends it later is not waited for. */
void pg_kad_request_do_stream_leave(struct pg_kad_request *r)
{
    pg_stream_leave(&r->stream);
}

/* What came of it, for the walk and for the table. */

static void leave_query(struct pg_kad_request *r, enum pg_kad_mark mark)
{
    if (!r->tells)
        pg_kad_frontier_mark(frontier(r), r->walker, mark);
}

void pg_kad_request_do_success_note(struct pg_kad_request *r)
{
    struct pg_kad_contact peer = {.id = pg_kad_frontier_walker(frontier(r), r->walker)->id};
    pg_kad_where(r->node, &peer); /* not what others have said of it, which we would pass on */
    leave_query(r, PG_KAD_ANSWERED);
    r->query->n_took += r->tells;
    pg_kad_heard(r->node, &peer, r->session ? &r->session->conn->remote : NULL);
}

void pg_kad_request_do_failure_note(struct pg_kad_request *r)
{
    struct pg_node *n = r->node;
    if (r->forbidden) { /* by ourselves, so nothing is said of the peer */
        r->query->pause_until_us = n->scope.now_us + 250000;
        leave_query(r, PG_KAD_UNASKED);
        return;
    }
    if (!r->tells && !r->session)
        pg_kad_frontier_unreached(frontier(r), r->walker);
    else
        leave_query(r, PG_KAD_FAILED);
    n->metrics.value[PG_METRIC_KAD_REQUESTS_FAILED]++;
    pg_kad_table_failed(&n->kad.table, &pg_kad_frontier_walker(frontier(r), r->walker)->id, n->scope.now_us);
}

/* It is there, and is no server. */
void pg_kad_request_do_refusal_note(struct pg_kad_request *r)
{
    leave_query(r, PG_KAD_FAILED);
    r->node->metrics.value[PG_METRIC_KAD_REQUESTS_FAILED]++;
    pg_kad_unheard(r->node, &pg_kad_frontier_walker(frontier(r), r->walker)->id);
}

void pg_kad_request_do_slowness_note(struct pg_kad_request *r)
{
    leave_query(r, PG_KAD_SLOW);
}

/* Life. */

struct pg_kad_request *pg_kad_request_new(struct pg_kad_query *q, uint32_t walker, bool tells)
{
    struct pg_kad_request *r = pg_pool_take(&q->node->kad.requests);
    if (!r)
        return NULL;
    memset(r, 0, offsetof(struct pg_kad_request, room));
    r->query = q;
    r->node = q->node;
    r->walker = walker;
    r->tells = tells;
    r->next = q->requests;
    q->requests = r;
    q->n_out++;
    pg_instance_init(&r->in, &pg_kad_request_machine, &pg_kad_request_binding, r, &q->node->scope, r->timers, &q->in, walker);
    pg_step(&r->in, PG_KAD_REQUEST_ON_BEGIN);
    return r;
}

void pg_kad_request_drop(struct pg_kad_request *r)
{
    pg_step(&r->in, PG_KAD_REQUEST_ON_END);
}

/* The machine has come to its end; its memory goes when the turn is over. */
void pg_kad_request_finished(struct pg_kad_request *r)
{
    struct pg_kad_query *q = r->query;
    struct pg_kad_request **at = &q->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    q->n_out--;
    r->next = r->node->kad.doomed;
    r->node->kad.doomed = r;
}

void pg_kad_requests_reap(struct pg_node *n)
{
    while (n->kad.doomed) {
        struct pg_kad_request *r = n->kad.doomed;
        n->kad.doomed = r->next;
        pg_instance_end(&r->in);
        pg_pool_give(&n->kad.requests, r);
    }
}
