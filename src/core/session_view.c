/* What may be asked of sessions: small questions of services, of the control socket and of other files of the core.
 * The sessions themselves are session.c's. */
#include "core/node_internal.h"

enum pg_limit pg_node_full(struct pg_node *n, const struct pg_peer_id *peer)
{
    struct pg_place *place = pg_budget_peer(&n->budget, peer, false);
    if (!place || !place->first)
        return PG_LIMITS;
    for (struct pg_session *s = place->first; s; s = s->next_same)
        if (s->conn->yamux.outbound < pg_yamux_most_outbound(&s->conn->yamux) && s->conn->yamux.in.ctl.state == PG_YAMUX_SESSION_OPEN)
            return PG_LIMITS;
    return place->conns < pg_node_limit(n, PG_LIMIT_CONNS_PEER) ? PG_LIMIT_STREAMS_OUTBOUND : PG_LIMIT_CONNS_PEER;
}

struct pg_session *pg_node_sessions(struct pg_node *n)
{
    return n->sessions;
}

struct pg_session *pg_session_next(const struct pg_session *s)
{
    return s->next;
}

struct pg_conn *pg_session_conn(const struct pg_session *s)
{
    return s->conn;
}

struct pg_bytes pg_session_peer_text(const struct pg_session *s)
{
    return pg_text(s->peer_text);
}

struct pg_contact *pg_session_contact(const struct pg_session *s)
{
    return s->contact;
}

struct pg_session *pg_session_of(const struct pg_stream *stream)
{
    return stream->conn->above;
}

void *pg_session_services(const struct pg_session *s)
{
    return s->node->hooks.context;
}

const struct pg_peer_id *pg_session_peer(const struct pg_session *s)
{
    return &s->conn->peer;
}

bool pg_session_is_relayed(const struct pg_session *s)
{
    return s->relayed;
}

const struct pg_peer_id *pg_session_relay(const struct pg_session *s)
{
    return s->circuit ? &s->circuit->relay : NULL;
}

void pg_session_remote(const struct pg_session *s, struct pg_multiaddr *out)
{
    if (s->circuit)
        *out = s->circuit->via;
    else
        pg_multiaddr_from_tcp(out, &s->conn->remote);
}

enum pg_err pg_session_loss(const struct pg_session *s, struct pg_bytes *reason)
{
    enum pg_err why = s->conn->why ? s->conn->why : PG_ERR_CLOSED;
    *reason = pg_text(s->reason[0] ? s->reason : pg_err_text(why));
    return why;
}

uint64_t pg_session_limit_bytes(const struct pg_session *s)
{
    return s->circuit ? s->circuit->limit_bytes : 0;
}

uint64_t pg_session_limit_us(const struct pg_session *s)
{
    return s->circuit ? s->circuit->limit_us : 0;
}

bool pg_session_is_suspect(const struct pg_session *s)
{
    return s->suspect;
}

bool pg_session_is_up(const struct pg_session *s)
{
    return s->up;
}

void pg_session_view(const struct pg_session *s, struct pg_session_view *v)
{
    *v = (struct pg_session_view){.peer = pg_text(s->peer_text), .agent = pg_text(s->agent), .rtt_us = s->rtt_us,
                                  .age_us = s->node->scope.now_us - s->up_us, .bytes_in = s->bytes_in,
                                  .bytes_out = s->conn->bytes_sent, .id = s->conn->number,
                                  .streams = s->conn->yamux.streams.used, .observed = s->observed, .autonat = s->autonat,
                                  .dialer = s->conn->dialer, .relays = s->hop > 0, .relay_port = s->hop > 0 ? s->relay_port : 0};
    pg_session_remote(s, &v->remote);
    v->relay = pg_session_relay(s);
    if (!s->circuit)
        return;
    v->limit_bytes = s->circuit->limit_bytes;
    v->left_bytes = pg_circuit_left_bytes(s->circuit);
    v->limit_us = s->circuit->limit_us;
    v->left_us = pg_circuit_left_us(s->circuit);
}
