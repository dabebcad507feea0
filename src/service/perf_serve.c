/* Facts and actions of perf_serve: serving a throughput measurement. Called through its stream's handler.
 * Nothing is kept for a client but its number and counts: what it sends is forgotten at once, what it gets is written as
 * its window allows. Source: libp2p/specs perf/perf.md, "Protocol". */
#include "protocols.gen.h"
#include "service/perf.h"
#include "wire/cursor.h"

enum { LEAST = 32 * 1024 }; /* bytes for each run of the timer: whoever is slower has nothing to measure, but holds a place */

static uint64_t moved(const struct pg_perf_serve *v)
{
    return v->n_request + v->taken + (v->wanted - v->left);
}

bool pg_perf_serve_is_moving(const struct pg_perf_serve *v)
{
    return moved(v) - v->marked >= LEAST;
}

void pg_perf_serve_do_progress_mark(struct pg_perf_serve *v)
{
    v->marked = moved(v);
}

static void push(struct pg_perf_serve *v)
{
    pg_perf_push(v->stream, &v->left);
    if (v->left == 0 && v->stream)
        pg_post(&v->in, PG_PERF_SERVE_ON_ANSWER_DONE);
}

void pg_perf_serve_do_answer_begin(struct pg_perf_serve *v)
{
    struct pg_cursor c = pg_cursor(pg_bytes(v->request, sizeof v->request));
    v->wanted = v->left = pg_take_u64be(&c);
    push(v);
}

void pg_perf_serve_do_stream_end(struct pg_perf_serve *v)
{
    if (v->stream)
        pg_stream_end(v->stream);
}

void pg_perf_serve_do_stream_drop(struct pg_perf_serve *v)
{
    pg_stream_drop(&v->stream);
}

void pg_perf_serve_do_end_tell(struct pg_perf_serve *v)
{
    pg_log_perf_served(pg_node_log(v->server->node), pg_text(v->peer), v->taken, v->wanted);
}

static void tell_failure(struct pg_perf_serve *v, struct pg_bytes why)
{
    pg_log_perf_failed(pg_node_log(v->server->node), pg_text(v->peer), why);
}

void pg_perf_serve_do_nonsense_tell(struct pg_perf_serve *v)
{
    pg_node_metrics(v->server->node)->value[PG_METRIC_PROTOCOL_ERRORS]++;
    tell_failure(v, PG_LIT("the stream ended within the request"));
}

void pg_perf_serve_do_lateness_tell(struct pg_perf_serve *v)
{
    tell_failure(v, PG_LIT("hardly anything was read or written for half a minute"));
}

/* The stream. */

static void serve_data(struct pg_stream *s, struct pg_bytes data)
{
    struct pg_perf_serve *v = s->user;
    struct pg_bytes number = pg_bytes_head(data, sizeof v->request - v->n_request);
    memcpy(v->request + v->n_request, number.at, number.len);
    v->n_request += (uint8_t)number.len;
    v->taken += data.len - number.len;
    pg_stream_consumed(s, data.len);
}

static void serve_ended(struct pg_stream *s)
{
    struct pg_perf_serve *v = s->user;
    pg_step(&v->in, v->n_request == sizeof v->request ? PG_PERF_SERVE_ON_REQUEST_ENDED : PG_PERF_SERVE_ON_REQUEST_BAD);
}

static void serve_writable(struct pg_stream *s)
{
    push(s->user);
}

static void serve_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_perf_serve *v = s->user;
    (void)why;
    v->stream = NULL;
    pg_post(&v->in, PG_PERF_SERVE_ON_STREAM_FAILED); /* our own end may be what closes it: in the middle of a step */
}

static bool in_use(const struct pg_perf_serve *v)
{
    return v->in.machine && v->in.ctl.state != PG_PERF_SERVE_CLOSED;
}

/* A free place, or NULL with the limit that is reached. */
static struct pg_perf_serve *place(struct pg_perf_server *server, const struct pg_peer_id *peer, struct pg_bytes *limit)
{
    struct pg_perf_serve *free = NULL;
    uint32_t of_peer = 0;
    for (uint32_t i = 0; i < PG_PERF_SERVED; i++) {
        struct pg_perf_serve *v = &server->servings[i];
        if (!in_use(v))
            free = v;
        else
            of_peer += v->stream && pg_peer_id_equal(pg_stream_peer(v->stream), peer);
    }
    *limit = of_peer >= PG_PERF_SERVED_PEER ? PG_LIT("too many measurements for this peer (4)")
                                            : PG_LIT("too many measurements at once (32)");
    return of_peer < PG_PERF_SERVED_PEER ? free : NULL;
}

static void serve_opened(struct pg_stream *s)
{
    struct pg_session *session = pg_session_of(s);
    struct pg_perf_server *server = pg_perf_server_of(pg_session_services(session));
    struct pg_bytes limit;
    struct pg_perf_serve *v = place(server, pg_stream_peer(s), &limit);
    if (!v) {
        pg_log_perf_failed(pg_node_log(server->node), pg_session_peer_text(session), limit);
        pg_stream_reset(s);
        return;
    }
    if (v->in.machine)
        pg_instance_end(&v->in);
    *v = (struct pg_perf_serve){.server = server, .stream = s};
    s->user = v;
    pg_peer_id_text(pg_stream_peer(s), v->peer);
    pg_instance_init(&v->in, &pg_perf_serve_machine, &pg_perf_serve_binding, v, pg_node_scope(server->node), v->timers, NULL,
                     ++server->next_key);
    pg_step(&v->in, PG_PERF_SERVE_ON_START);
}

static const struct pg_handler serve = {.protocol = {(const uint8_t *)PG_PROTOCOL_PERF, sizeof PG_PROTOCOL_PERF - 1},
                                        .opened = serve_opened, .data = serve_data, .ended = serve_ended,
                                        .writable = serve_writable, .closed = serve_closed};

bool pg_perf_server_init(struct pg_perf_server *server, struct pg_node *node)
{
    server->node = node;
    return pg_node_serve(node, &serve);
}

void pg_perf_server_free(struct pg_perf_server *server)
{
    for (uint32_t i = 0; i < PG_PERF_SERVED; i++) {
        struct pg_perf_serve *v = &server->servings[i];
        if (!v->in.machine)
            continue;
        if (v->stream)
            pg_stream_reset(v->stream);
        pg_instance_end(&v->in);
    }
}
