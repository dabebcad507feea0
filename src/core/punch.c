/* Facts and actions of punch, and what both roles of a peer share. Called by session.c, node.c and path.c.
 * Source: libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "core/punch.h"

#include "core/node_internal.h"

#include "dcutr.pb.gen.h"
#include "protocols.gen.h"
#include "trace/line.h"

#include <assert.h>
#include <stddef.h>

enum { PAUSE_MS = 1000 };

static struct pg_puncher *of(const struct pg_punch *p)
{
    return HOST_OF(pg_puncher, punch, p);
}

/* Peers. */

struct pg_puncher *pg_puncher_find(struct pg_node *n, const struct pg_peer_id *peer, bool make)
{
    struct pg_punching *all = &n->punching;
    for (struct pg_puncher *p = all->first; p; p = p->next)
        if (pg_peer_id_equal(&p->peer, peer))
            return p;
    struct pg_puncher *p = make ? pg_pool_take(&all->pool) : NULL;
    if (!p)
        return NULL;
    memset(p, 0, offsetof(struct pg_puncher, asked));
    p->node = n;
    p->peer = *peer;
    p->next = all->first;
    all->first = p;
    uint32_t key = ++all->number;
    pg_instance_init(&p->punch.in, &pg_punch_machine, &pg_punch_binding, &p->punch, &n->scope, p->punch.timers, NULL, key);
    pg_instance_init(&p->serve.in, &pg_punch_serve_machine, &pg_punch_serve_binding, &p->serve, &n->scope, p->serve.timers, NULL, key);
    pg_hole_init(&p->punch.hole, p, &p->punch.in);
    pg_hole_init(&p->serve.hole, p, &p->serve.in);
    return p;
}

static struct pg_session *first_session(const struct pg_puncher *p)
{
    struct pg_place *place = pg_budget_peer(&p->node->budget, &p->peer, false);
    return place ? place->first : NULL;
}

struct pg_session *pg_punch_relayed(const struct pg_puncher *p, bool dialer)
{
    struct pg_session *found = NULL;
    for (struct pg_session *s = first_session(p); s; s = s->next_same)
        if (pg_session_is_relayed(s) && s->conn->dialer == dialer && (!found || !s->suspect))
            found = s;
    return found;
}

/* One that is heard of. */
static bool has_direct(const struct pg_puncher *p)
{
    struct pg_session *s = first_session(p);
    while (s && (pg_session_is_relayed(s) || s->suspect))
        s = s->next_same;
    return s != NULL;
}

static void puncher_free(struct pg_puncher *p)
{
    pg_punch_do_stream_drop(&p->punch);
    pg_punch_serve_do_stream_drop(&p->serve);
    pg_hole_end(&p->punch.hole);
    pg_hole_end(&p->serve.hole);
    pg_instance_end(&p->punch.in);
    pg_instance_end(&p->serve.in);
    pg_pool_give(&p->node->punching.pool, p);
}

/* Nothing is under way, and without a relayed connection nothing can begin, whether a direct one stands or not. */
static bool is_over(const struct pg_puncher *p)
{
    uint8_t ours = p->punch.in.ctl.state, theirs = p->serve.in.ctl.state;
    return (ours == PG_PUNCH_IDLE || ours == PG_PUNCH_SPENT || ours == PG_PUNCH_DIRECT) &&
           (theirs == PG_PUNCH_SERVE_IDLE || theirs == PG_PUNCH_SERVE_DIRECT) && !pg_punch_relayed(p, true) && !pg_punch_relayed(p, false);
}

void pg_punching_settle(struct pg_node *n)
{
    if (!n->punching.changed)
        return;
    n->punching.changed = false;
    for (struct pg_puncher **at = &n->punching.first, *p; (p = *at);) {
        if (is_over(p)) {
            *at = p->next;
            puncher_free(p);
        } else {
            at = &p->next;
        }
    }
}

bool pg_punching_init(struct pg_node *n)
{
    return pg_pool_init(&n->punching.pool, sizeof(struct pg_puncher), PG_FIXED_PUNCH_PEERS, 8) && pg_node_serve(n, &pg_punch_handler);
}

void pg_punching_free(struct pg_node *n)
{
    while (n->punching.first) {
        struct pg_puncher *p = n->punching.first;
        n->punching.first = p->next;
        puncher_free(p);
    }
    pg_pool_free(&n->punching.pool);
}

/* What the node tells. */

void pg_punch_begin(struct pg_session *relayed)
{
    struct pg_node *n = relayed->node;
    assert(pg_session_is_relayed(relayed) && !relayed->conn->dialer && "the side that was called begins");
    struct pg_puncher *p = pg_puncher_find(n, &relayed->conn->peer, true);
    if (p && !has_direct(p)) /* perhaps one stands that nothing is heard on any more */
        pg_post(&p->punch.in, PG_PUNCH_ON_PEER_LOST);
    if (p)
        pg_post(&p->punch.in, PG_PUNCH_ON_BEGIN);
    else
        pg_path_punched(n, &relayed->conn->peer, PG_ERR_NO_MEMORY, PG_LIT("too many peers are being punched to"));
}

void pg_punch_session_up(struct pg_session *s)
{
    struct pg_puncher *p = pg_puncher_find(s->node, &s->conn->peer, false);
    pg_hole_met(s);
    if (!p || pg_session_is_relayed(s))
        return;
    pg_step(&p->punch.hole.in, PG_HOLE_ON_PEER_UP);
    pg_step(&p->serve.hole.in, PG_HOLE_ON_PEER_UP);
    pg_step(&p->punch.in, PG_PUNCH_ON_PEER_UP);
    pg_step(&p->serve.in, PG_PUNCH_SERVE_ON_PEER_UP);
}

void pg_punch_session_lost(struct pg_node *n, const struct pg_peer_id *peer)
{
    struct pg_puncher *p = pg_puncher_find(n, peer, false);
    if (!p)
        return;
    n->punching.changed = true;
    if (!pg_punch_relayed(p, false))
        pg_step(&p->punch.in, PG_PUNCH_ON_RELAY_LOST);
    if (!has_direct(p)) {
        pg_step(&p->punch.in, PG_PUNCH_ON_PEER_LOST);
        pg_step(&p->serve.in, PG_PUNCH_SERVE_ON_PEER_LOST);
    }
}

void pg_punch_moved(struct pg_node *n)
{
    struct pg_punching *all = &n->punching;
    struct pg_multiaddr now[PG_PUNCH_OFFERS];
    uint32_t n_now = pg_punch_offers(n, now), same = 0;
    while (same < n_now && same < all->n_offers && pg_multiaddr_equal(&now[same], &all->offers[same]))
        same++;
    if (same == n_now && n_now == all->n_offers)
        return;
    memcpy(all->offers, now, n_now * sizeof *now);
    all->n_offers = n_now;
    for (struct pg_puncher *p = all->first; p; p = p->next)
        pg_post(&p->punch.in, PG_PUNCH_ON_MOVED);
}

/* Messages. */

bool pg_punch_say(struct pg_stream *stream, int type, const struct pg_multiaddr *offers, uint32_t n)
{
    uint8_t text[PG_PUNCH_MESSAGE + 8];
    struct pg_writer w = pg_writer(text, sizeof text);
    struct pg_pb_hole_punch m = {.type = type, .has_type = true};
    for (uint32_t i = 0; i < n; i++)
        m.obs_addrs[m.n_obs_addrs++] = pg_bytes(offers[i].at, offers[i].len);
    pg_pb_hole_punch_write_framed(&m, &w);
    return !w.failed && w.len <= pg_stream_credit(stream) && pg_stream_write(stream, pg_written(&w));
}

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static void on_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_puncher *p = stream->user;
    struct pg_punch *u = &p->punch;
    struct pg_pb_hole_punch m;
    struct pg_bytes message;
    pg_stream_consumed(stream, data.len);
    while (u->stream == stream) {
        enum pg_frame_result got = pg_frame_feed(&u->frame, &data, &message);
        if (got == PG_FRAME_MORE)
            return;
        if (got == PG_FRAME_BAD || pg_pb_hole_punch_read(&m, message) != PG_OK || m.type != PG_PB_HOLE_PUNCH_TYPE_CONNECT) {
            pg_step(&u->in, PG_PUNCH_ON_MESSAGE_BAD);
            return;
        }
        if (u->in.ctl.state == PG_PUNCH_ASKING)
            u->hole.n_targets = pg_punch_targets(p->node, &p->peer, &m, u->hole.targets);
        pg_step(&u->in, u->hole.n_targets ? PG_PUNCH_ON_CANDIDATES_GOOD : PG_PUNCH_ON_CANDIDATES_EMPTY);
    }
}

static void on_ended(struct pg_stream *stream)
{
    struct pg_puncher *p = stream->user;
    if (p->punch.stream == stream)
        pg_step(&p->punch.in, PG_PUNCH_ON_STREAM_ENDED);
}

static void on_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_puncher *p = stream->user;
    if (p->punch.stream != stream)
        return;
    p->punch.stream = NULL;
    p->punch.unspoken = why == PG_ERR_PROTOCOL_UNSUPPORTED;
    pg_step(&p->punch.in, PG_PUNCH_ON_STREAM_FAILED);
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_DCUTR, sizeof PG_PROTOCOL_DCUTR - 1}, .housekeeping = true,
    .opened = nothing, .data = on_data, .ended = on_ended, .writable = nothing, .closed = on_closed};

/* Facts. */

bool pg_punch_is_addressed(const struct pg_punch *u)
{
    struct pg_multiaddr offers[PG_PUNCH_OFFERS];
    return pg_punch_offers(of(u)->node, offers) > 0;
}

bool pg_punch_is_alone(const struct pg_punch *u)
{
    uint8_t theirs = of(u)->serve.in.ctl.state;
    return theirs != PG_PUNCH_SERVE_READING && theirs != PG_PUNCH_SERVE_ANSWERED && theirs != PG_PUNCH_SERVE_MEETING;
}

bool pg_punch_is_relayed(const struct pg_punch *u)
{
    return pg_punch_relayed(of(u), false) != NULL;
}

/* Rounded down, since a timer is never early. */
uint64_t pg_punch_half_rtt_ms(const struct pg_punch *u)
{
    return u->hole.rtt_us / 2000;
}

/* Two that began together should not meet again. */
uint64_t pg_punch_rest_ms(const struct pg_punch *u)
{
    return PAUSE_MS * 4 / 5 + pg_node_random(of(u)->node) % (PAUSE_MS * 2 / 5);
}

/* What is told. */

void pg_punch_tell(const struct pg_hole *h, enum pg_path_step_kind kind, struct pg_bytes reason)
{
    struct pg_multiaddr own[PG_PUNCH_OFFERS];
    struct pg_path_step step = {.kind = kind, .attempt = h->attempt, .client = h->client, .rtt_us = h->rtt_us, .own = own, .reason = reason};
    struct pg_node *n = h->puncher->node;
    if (kind == PG_STEP_CONNECT)
        step.n_own = pg_punch_offers(n, own);
    if (kind == PG_STEP_CONNECT || kind == PG_STEP_TRY) {
        step.addrs = h->targets;
        step.n_addrs = h->n_targets;
    }
    pg_path_step_tell(n, &h->puncher->peer, &step);
}

/* Actions. */

void pg_punch_do_stream_open(struct pg_punch *u)
{
    struct pg_puncher *p = of(u);
    u->hole.attempt = u->in.ctl.count[0];
    if (u->hole.attempt <= 1)
        u->n_met = 0;
    struct pg_session *s = pg_punch_relayed(p, false);
    enum pg_err why;
    u->unspoken = false;
    pg_frame_init(&u->frame, PG_FRAME_UVARINT, p->asked, sizeof p->asked);
    u->stream = s ? pg_stream_open(s->conn, &ask, p, &why) : NULL;
    if (!u->stream)
        pg_post(&u->in, PG_PUNCH_ON_STREAM_FAILED);
}

void pg_punch_do_connect_send(struct pg_punch *u)
{
    struct pg_puncher *p = of(u);
    struct pg_multiaddr offers[PG_PUNCH_OFFERS];
    uint32_t n = pg_punch_offers(p->node, offers);
    u->asked_us = p->node->scope.now_us;
    if (u->stream && !pg_punch_say(u->stream, PG_PB_HOLE_PUNCH_TYPE_CONNECT, offers, n))
        pg_post(&u->in, PG_PUNCH_ON_STREAM_FAILED);
}

void pg_punch_do_rtt_measure(struct pg_punch *u)
{
    u->hole.rtt_us = of(u)->node->scope.now_us - u->asked_us;
    pg_punch_clear(&u->hole);
    pg_punch_tell(&u->hole, PG_STEP_CONNECT, PG_NONE);
}

void pg_punch_do_sync_send(struct pg_punch *u)
{
    if (u->stream && pg_punch_say(u->stream, PG_PB_HOLE_PUNCH_TYPE_SYNC, NULL, 0))
        pg_stream_end(u->stream);
    pg_punch_tell(&u->hole, PG_STEP_SYNC, PG_NONE);
}

/* Two SYNs that meet have no client, so the one who was asked is it. Where ours does not leave from the address that we have named,
 * because our NAT gives each remote another port, the two cannot meet: ours arrives like any other, and its sender is the client. As
 * long as we do not know, the second meeting says so. And go-libp2p before 0.41 has the roles the other way round. A try that ended before
 * both have dialled says nothing of that. */
static bool is_client(const struct pg_punch *u, unsigned meeting)
{
    switch (pg_observed_mapping(of(u)->node)) {
    case PG_MAPPING_DEPENDENT: return meeting != 2;
    case PG_MAPPING_UNKNOWN: return meeting == 2;
    case PG_MAPPING_INDEPENDENT: break;
    }
    return meeting == 3;
}

void pg_punch_do_meeting_begin(struct pg_punch *u)
{
    unsigned attempt = u->in.ctl.count[0];
    struct pg_puncher *p = of(u);
    char id[PG_PEER_ID_TEXT];
    u->hole.client = is_client(u, ++u->n_met);
    pg_peer_id_text(&p->peer, id);
    pg_log_punch_begun(p->node->log, pg_text(id), attempt, u->hole.n_targets, u->hole.rtt_us, pg_text(u->hole.client ? "client" : "server"));
    pg_punch_tell(&u->hole, PG_STEP_TRY, PG_NONE);
    pg_step(&u->hole.in, PG_HOLE_ON_MEET);
}

void pg_punch_do_stream_drop(struct pg_punch *u)
{
    pg_stream_drop(&u->stream);
}

void pg_punch_do_stream_leave(struct pg_punch *u)
{
    pg_stream_leave(&u->stream);
}

void pg_punch_do_reason_note(struct pg_punch *u)
{
    struct pg_line line;
    pg_line_init(&line, u->reason, sizeof u->reason);
    switch (u->in.event) {
    case PG_PUNCH_ON_CANDIDATES_EMPTY: pg_line_put(&line, "the peer offered none"); break;
    case PG_PUNCH_ON_MESSAGE_BAD: pg_line_put(&line, "the peer answered nonsense"); break;
    case PG_PUNCH_ON_ANSWER_FIRED: pg_line_put(&line, "the peer did not answer in time"); break;
    case PG_PUNCH_ON_RELAY_LOST: pg_line_put(&line, "the relayed connection has ended"); break;
    case PG_PUNCH_ON_HOLE_SHUT: pg_hole_reason(&u->hole, &line); break;
    default: pg_line_put(&line, u->unspoken ? "the peer does not speak " PG_PROTOCOL_DCUTR : "the peer refused"); break;
    }
    pg_punch_tell(&u->hole, PG_STEP_TRY_FAILED, pg_line_bytes(&line));
}

/* What becomes of a round. */

static void tell(struct pg_punch *u, enum pg_err why, struct pg_bytes reason)
{
    struct pg_puncher *p = of(u);
    p->node->punching.changed = true;
    pg_path_punched(p->node, &p->peer, why, reason);
}

void pg_punch_do_lack_tell(struct pg_punch *u)
{
    pg_punch_seek(pg_punch_relayed(of(u), false));
    tell(u, PG_ERR_UNREACHABLE, PG_LIT("no public address known"));
}

void pg_punch_do_success_tell(struct pg_punch *u)
{
    tell(u, PG_OK, PG_NONE);
}

void pg_punch_do_failure_tell(struct pg_punch *u)
{
    char text[sizeof u->reason + 32];
    struct pg_line line;
    pg_line_init(&line, text, sizeof text);
    if (u->in.event != PG_PUNCH_ON_RELAY_LOST)
        pg_line_put(&line, "tries used up: ");
    pg_line_put(&line, u->reason);
    tell(u, PG_ERR_UNREACHABLE, pg_line_bytes(&line));
}
