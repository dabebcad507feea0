/* What both versions of AutoNAT share: bounds on what is dialled for others, which addresses may be, and the nonces that come back.
 * Called by the other files of AutoNAT, by node.c and identify.c.
 * Serves libp2p/specs autonat/autonat-v1.md and autonat/autonat-v2.md, "AutoNAT V2 Protocol". */
#include "core/autonat.h"

#include "core/node_internal.h"
#include "mem/heap.h"
#include "protocols.gen.h"

#include <stddef.h>

enum { MINUTE_US = 60000000 };

/* What was dialled for others. */

static uint64_t place_hash(const struct pg_node *n, const struct pg_endpoint *e)
{
    return pg_keyed_hash(&n->autonat.hash, e->ip, e->family == 4 ? 4 : 8); /* an IPv6 host has a whole /64 */
}

static uint64_t peer_hash(const struct pg_node *n, const struct pg_peer_id *peer)
{
    return pg_keyed_hash(&n->autonat.hash, peer->at, peer->len);
}

bool pg_autonat_may_dial(const struct pg_session *s, uint64_t nonce)
{
    struct pg_node *n = s->node;
    const struct pg_autonat *a = &n->autonat;
    uint64_t all = 0, of_peer = 0, of_place = 0, peer = peer_hash(n, &s->conn->peer), place = place_hash(n, &s->conn->remote);
    for (uint32_t i = 0; i < a->n_past; i++) {
        const struct pg_autonat_past *p = &a->past[i];
        if (n->scope.now_us - p->at_us >= MINUTE_US)
            continue;
        all++;
        of_peer += p->peer == peer;
        of_place += p->place == place;
        if (nonce && p->nonce == nonce && p->peer == peer)
            return false; /* whoever asks again makes a new one */
    }
    return all < pg_node_limit(n, PG_LIMIT_AUTONAT) && of_peer < pg_node_limit(n, PG_LIMIT_AUTONAT_PEER) &&
           of_place < pg_node_limit(n, PG_LIMIT_AUTONAT_PEER) && pg_budget_may_visit(&n->budget, n->scope.now_us);
}

void pg_autonat_dials(const struct pg_session *s, uint64_t nonce)
{
    struct pg_node *n = s->node;
    struct pg_autonat *a = &n->autonat;
    uint32_t at = 0;
    if (a->n_past < PG_AUTONAT_REMEMBERED)
        at = a->n_past++;
    else
        for (uint32_t i = 1; i < a->n_past; i++)
            if (a->past[i].at_us < a->past[at].at_us)
                at = i;
    a->past[at] = (struct pg_autonat_past){n->scope.now_us, peer_hash(n, &s->conn->peer), place_hash(n, &s->conn->remote), nonce};
}

/* We reach the public network of that family ourselves, as far as our addresses tell: who has no IPv6 cannot say that others have
 * none (autonat-v2.md, "Implementation Suggestions"). */
static bool has_family(const struct pg_node *n, uint8_t family)
{
    struct pg_endpoint e;
    for (uint32_t i = 0; family == 6 && i < n->n_addrs; i++)
        if (pg_multiaddr_tcp(&n->addrs[i], &e, NULL) == PG_OK && e.family == 6 && pg_endpoint_is_public(&e))
            return true;
    return family == 4;
}

bool pg_autonat_dialable(const struct pg_session *s, const struct pg_multiaddr *addr, struct pg_endpoint *at)
{
    struct pg_peer_id named;
    return pg_multiaddr_tcp(addr, at, &named) == PG_OK && at->port && !at->zone && pg_endpoint_is_public(at) && has_family(s->node, at->family) &&
           (named.len == 0 || pg_peer_id_equal(&named, &s->conn->peer));
}

bool pg_autonat_same_ip(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, a->family == 4 ? 4 : 16) == 0;
}

/* Nonces that come back: on a connection that somebody has opened to us since we asked, from whatever peer. The message is short and comes
 * first, so a stream that brings more, or less, is none of ours. */

static void nothing(struct pg_stream *stream)
{
    (void)stream;
}

static struct pg_autonat_question *asked_with(struct pg_node *n, const struct pg_session *on, uint64_t nonce)
{
    for (uint32_t i = 0; i < PG_AUTONAT_QUESTIONS; i++) {
        struct pg_autonat_question *q = n->autonat.open[i];
        if (q && q->version == 2 && q->nonce == nonce && on->accepted > q->arrivals)
            return q;
    }
    return NULL;
}

static struct pg_autonat_back *back_of(struct pg_autonat *a, const struct pg_stream *stream)
{
    for (uint32_t i = 0; i < PG_AUTONAT_BACKS; i++)
        if (a->backs[i].stream == stream)
            return &a->backs[i];
    return NULL;
}

/* A place for what comes on the stream. When all are taken by streams that have said nothing whole yet, the next in turn gives way. */
static struct pg_autonat_back *back_place(struct pg_autonat *a, struct pg_stream *stream)
{
    struct pg_autonat_back *b = back_of(a, stream);
    if (b)
        return b;
    b = back_of(a, NULL);
    if (!b) {
        b = &a->backs[a->next_back++ % PG_AUTONAT_BACKS];
        pg_stream_reset(b->stream);
    }
    b->stream = stream;
    pg_frame_init(&b->frame, PG_FRAME_UVARINT, b->room, sizeof b->room);
    return b;
}

static void back_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_session *s = stream->conn->above;
    struct pg_autonat *a = &s->node->autonat;
    struct pg_autonat_back *b = back_place(a, stream);
    struct pg_pb_autonat2_dial_back m;
    struct pg_autonat_question *q;
    struct pg_bytes text;
    pg_stream_consumed(stream, data.len);
    enum pg_frame_result got = pg_frame_feed(&b->frame, &data, &text);
    if (got == PG_FRAME_MORE)
        return;
    b->stream = NULL;
    if (got != PG_FRAME_MESSAGE || pg_pb_autonat2_dial_back_read(&m, text) != PG_OK || !m.has_nonce ||
        !(q = asked_with(s->node, s, m.nonce))) {
        pg_stream_reset(stream);
        return;
    }
    stream->user = s->node;
    a->back = stream;
    pg_step(&q->v2.in, PG_AUTONAT2_ASK_ON_NONCE_CAME);
    a->back = NULL;
}

static void back_ended(struct pg_stream *stream)
{
    pg_stream_end(stream);
}

static void back_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_session *s = stream->conn->above;
    struct pg_autonat_back *b = back_of(&s->node->autonat, stream);
    (void)why;
    if (b)
        b->stream = NULL;
}

const struct pg_handler pg_autonat2_back_take = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2_BACK, sizeof PG_PROTOCOL_AUTONAT2_BACK - 1},
    .housekeeping = true, .relayed = PG_RELAYED_NEVER,
    .opened = nothing, .data = back_data, .ended = back_ended, .writable = nothing, .closed = back_closed};

/* Life. */

void pg_autonat_identified(struct pg_session *s, const struct pg_bytes *protocols, uint32_t n)
{
    uint8_t before = s->autonat;
    if (n == 0)
        return; /* a push about something else */
    s->autonat = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (pg_bytes_equal(protocols[i], PG_LIT(PG_PROTOCOL_AUTONAT)))
            s->autonat |= PG_AUTONAT_V1;
        if (pg_bytes_equal(protocols[i], PG_LIT(PG_PROTOCOL_AUTONAT2)))
            s->autonat |= PG_AUTONAT_V2;
    }
    if (s->autonat != before)
        pg_reach_servers_changed(s->node);
}

bool pg_autonat_init(struct pg_autonat *a, struct pg_node *n)
{
    pg_keyed_init(&a->hash, n->config.hash_seed + 3);
    if (n->config.quiet)
        return pg_node_serve(n, &pg_autonat2_back_take);
    a->past = pg_heap_take(PG_AUTONAT_REMEMBERED * sizeof *a->past);
    return a->past && pg_pool_init(&a->served, sizeof(struct pg_autonat_serve), PG_FIXED_AUTONAT_SERVED, 0) &&
           pg_pool_init(&a->served2, sizeof(struct pg_autonat2_serve), PG_FIXED_AUTONAT_SERVED, 0) && pg_node_serve(n, &pg_autonat_take) &&
           pg_node_serve(n, &pg_autonat2_take) && pg_node_serve(n, &pg_autonat2_back_take);
}

void pg_autonat_free(struct pg_autonat *a)
{
    pg_pool_free(&a->served);
    pg_pool_free(&a->served2);
    if (a->past)
        pg_heap_give(a->past);
}
