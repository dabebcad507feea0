/* Facts and actions of punch_serve: whoever was called over a relay asks for a direct connection. Called by the handler of its streams.
 * Source: libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "core/punch.h"

#include "core/node_internal.h"

#include "dcutr.pb.gen.h"
#include "protocols.gen.h"
#include "trace/line.h"

#include <stddef.h>

/* TRIES: of a round, in every implementation. */
enum { TRIES = 3, RESPITE_MS = 10000, RESPITE_LAST_MS = 1000 };

static struct pg_puncher *of(const struct pg_punch_serve *v)
{
    return HOST_OF(pg_puncher, serve, v);
}

/* Streams. */

static void on_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_puncher *p = s->conn->dialer ? pg_puncher_find(s->node, &s->conn->peer, true) : NULL;
    if (!p) { /* it is not for them to ask, or there is no room */
        pg_stream_reset(stream);
        return;
    }
    stream->user = p;
    p->serve.fresh = stream;
    pg_step(&p->serve.in, PG_PUNCH_SERVE_ON_STREAM_OPENED);
}

static unsigned event_of(struct pg_puncher *p, enum pg_frame_result got, struct pg_bytes message)
{
    struct pg_punch_serve *v = &p->serve;
    struct pg_pb_hole_punch m;
    if (got == PG_FRAME_BAD || pg_pb_hole_punch_read(&m, message) != PG_OK)
        return PG_PUNCH_SERVE_ON_MESSAGE_BAD;
    if (m.type == PG_PB_HOLE_PUNCH_TYPE_SYNC)
        return PG_PUNCH_SERVE_ON_SYNC;
    if (v->in.ctl.state == PG_PUNCH_SERVE_READING)
        v->hole.n_targets = pg_punch_targets(p->node, &p->peer, &m, v->hole.targets);
    return v->hole.n_targets ? PG_PUNCH_SERVE_ON_CANDIDATES_GOOD : PG_PUNCH_SERVE_ON_CANDIDATES_EMPTY;
}

static void on_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_puncher *p = stream->user;
    struct pg_bytes message;
    pg_stream_consumed(stream, data.len);
    while (p->serve.stream == stream) {
        enum pg_frame_result got = pg_frame_feed(&p->serve.frame, &data, &message);
        if (got == PG_FRAME_MORE)
            return;
        pg_step(&p->serve.in, event_of(p, got, message));
    }
}

static void on_ended(struct pg_stream *stream)
{
    struct pg_puncher *p = stream->user;
    if (p->serve.stream == stream)
        pg_step(&p->serve.in, PG_PUNCH_SERVE_ON_STREAM_ENDED);
}

static void on_writable(struct pg_stream *stream)
{
    (void)stream;
}

static void on_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_puncher *p = stream->user;
    (void)why;
    if (!p || p->serve.stream != stream)
        return;
    p->serve.stream = NULL;
    pg_step(&p->serve.in, PG_PUNCH_SERVE_ON_STREAM_FAILED);
}

const struct pg_handler pg_punch_handler = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_DCUTR, sizeof PG_PROTOCOL_DCUTR - 1}, .housekeeping = true, .relayed = PG_RELAYED_ONLY,
    .opened = on_opened, .data = on_data, .ended = on_ended, .writable = on_writable, .closed = on_closed};

/* Facts. */

/* Of two who ask each other at once the one with the smaller id does. */
static bool gives_way(const struct pg_puncher *p)
{
    const struct pg_peer_id *own = pg_node_own(p->node);
    switch ((enum pg_punch_state)p->punch.in.ctl.state) {
    case PG_PUNCH_SYNCING:
    case PG_PUNCH_MEETING: return false;
    case PG_PUNCH_ASKING: return own->len != p->peer.len ? own->len > p->peer.len : memcmp(own->at, p->peer.at, own->len) > 0;
    case PG_PUNCH_IDLE:
    case PG_PUNCH_PAUSING:
    case PG_PUNCH_SPENT:
    case PG_PUNCH_DIRECT: return true;
    }
    return true;
}

static struct pg_rate *rate_of(const struct pg_puncher *p)
{
    return &pg_budget_peer(&p->node->budget, &p->peer, false)->punches; /* a peer that has opened a stream has its place */
}

static bool in_time(const struct pg_puncher *p, struct pg_rate *rate)
{
    return pg_node_rate_take(p->node, rate, PG_LIMIT_PUNCH_RATE, 8);
}

bool pg_punch_serve_is_welcome(const struct pg_punch_serve *v)
{
    struct pg_rate after = *rate_of(of(v));
    return gives_way(of(v)) && in_time(of(v), &after);
}

bool pg_punch_serve_is_addressed(const struct pg_punch_serve *v)
{
    struct pg_multiaddr offers[PG_PUNCH_OFFERS];
    return pg_punch_offers(of(v)->node, offers) > 0;
}

uint64_t pg_punch_serve_respite_ms(const struct pg_punch_serve *v)
{
    return v->n_failed < TRIES ? RESPITE_MS : RESPITE_LAST_MS;
}

/* Actions. */

static void fail(struct pg_punch_serve *v, struct pg_bytes reason)
{
    v->n_failed++;
    pg_punch_tell(&v->hole, PG_STEP_TRY_FAILED, reason);
}

void pg_punch_serve_do_stream_take(struct pg_punch_serve *v)
{
    struct pg_puncher *p = of(v);
    (void)in_time(p, rate_of(p));
    v->stream = v->fresh;
    v->fresh = NULL;
    v->hole.n_targets = 0;
    v->hole.rtt_us = 0;
    v->hole.attempt = v->n_failed + 1;
    pg_frame_init(&v->frame, PG_FRAME_UVARINT, p->served, sizeof p->served);
    pg_step(&p->punch.in, PG_PUNCH_ON_YIELD);
}

void pg_punch_serve_do_stream_refuse(struct pg_punch_serve *v)
{
    struct pg_puncher *p = of(v);
    struct pg_rate after = *rate_of(p);
    if (!in_time(p, &after))
        pg_node_refuse(p->node, PG_LIMIT_PUNCH_RATE, "request to punch", pg_text(((struct pg_session *)v->fresh->conn->above)->peer_text));
    pg_stream_reset(v->fresh);
    v->fresh = NULL;
}

void pg_punch_serve_do_connect_send(struct pg_punch_serve *v)
{
    struct pg_multiaddr offers[PG_PUNCH_OFFERS];
    uint32_t n = pg_punch_offers(of(v)->node, offers);
    v->answered_us = of(v)->node->scope.now_us;
    pg_punch_clear(&v->hole);
    pg_punch_tell(&v->hole, PG_STEP_CONNECT, PG_NONE);
    if (!v->stream || !pg_punch_say(v->stream, PG_PB_HOLE_PUNCH_TYPE_CONNECT, offers, n))
        pg_post(&v->in, PG_PUNCH_SERVE_ON_STREAM_FAILED);
}

/* So that the other side can say why. */
void pg_punch_serve_do_lack_send(struct pg_punch_serve *v)
{
    if (v->stream && pg_punch_say(v->stream, PG_PB_HOLE_PUNCH_TYPE_CONNECT, NULL, 0))
        pg_stream_end(v->stream);
    pg_punch_seek(pg_punch_relayed(of(v), true));
    pg_punch_serve_do_stream_leave(v);
}

void pg_punch_serve_do_meeting_begin(struct pg_punch_serve *v)
{
    struct pg_puncher *p = of(v);
    char id[PG_PEER_ID_TEXT];
    v->hole.client = true;
    v->hole.rtt_us = p->node->scope.now_us - v->answered_us;
    pg_peer_id_text(&p->peer, id);
    pg_log_punch_begun(p->node->log, pg_text(id), 0, v->hole.n_targets, v->hole.rtt_us, PG_LIT("client"));
    pg_punch_tell(&v->hole, PG_STEP_SYNC, PG_NONE);
    pg_punch_tell(&v->hole, PG_STEP_TRY, PG_NONE);
    pg_step(&v->hole.in, PG_HOLE_ON_MEET);
}

void pg_punch_serve_do_meeting_cancel(struct pg_punch_serve *v)
{
    fail(v, PG_LIT("the peer begins anew"));
    pg_step(&v->hole.in, PG_HOLE_ON_CANCEL);
}

void pg_punch_serve_do_stream_drop(struct pg_punch_serve *v)
{
    pg_stream_drop(&v->stream);
}

void pg_punch_serve_do_stream_leave(struct pg_punch_serve *v)
{
    if (!v->stream)
        return;
    pg_stream_end(v->stream);
    pg_stream_detach(v->stream);
    v->stream = NULL;
}

void pg_punch_serve_do_reason_note(struct pg_punch_serve *v)
{
    struct pg_line line;
    pg_line_init(&line, v->reason, sizeof v->reason);
    switch (v->in.event) {
    case PG_PUNCH_SERVE_ON_CANDIDATES_GOOD:
        pg_line_put(&line, v->in.ctl.state == PG_PUNCH_SERVE_WAITING && !pg_punch_serve_is_addressed(v) ? "no public address known" : "the peer said nonsense");
        break;
    case PG_PUNCH_SERVE_ON_CANDIDATES_EMPTY: pg_line_put(&line, "the peer offered none"); break;
    case PG_PUNCH_SERVE_ON_SYNC:
    case PG_PUNCH_SERVE_ON_MESSAGE_BAD: pg_line_put(&line, "the peer said nonsense"); break;
    case PG_PUNCH_SERVE_ON_PATIENCE_FIRED: pg_line_put(&line, "the peer gave no word to dial"); break;
    case PG_PUNCH_SERVE_ON_HOLE_SHUT: pg_hole_reason(&v->hole, &line); break;
    default: pg_line_put(&line, "the peer has given up"); break;
    }
    fail(v, pg_line_bytes(&line));
}

void pg_punch_serve_do_success_tell(struct pg_punch_serve *v)
{
    struct pg_puncher *p = of(v);
    v->n_failed = 0;
    p->node->punching.changed = true;
    pg_path_punched(p->node, &p->peer, PG_OK, PG_NONE);
}

void pg_punch_serve_do_failure_tell(struct pg_punch_serve *v)
{
    struct pg_puncher *p = of(v);
    v->n_failed = 0;
    p->node->punching.changed = true;
    pg_path_punched(p->node, &p->peer, PG_ERR_UNREACHABLE, pg_text(v->reason));
}
