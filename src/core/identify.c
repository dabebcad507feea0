/* Facts and actions of identify: asking, answering, pushing. Called by session.c and node.c.
 * Source: libp2p/specs identify/README.md. */
#include "core/node_internal.h"
#include "core/offered.h"
#include "core/peer_record.h"

#include "identify.pb.gen.h"
#include "protocols.gen.h"
#include "wire/cursor.h"

#include <stddef.h>

/* go-libp2p reads at most 10 messages of a stream, to be merged (p2p/protocol/identify/id.go, maxMessages). rust-libp2p reads
 * no message of more than 4096 bytes: 1 KiB of addresses, said twice, leaves enough for the rest. */
enum { MESSAGE_MAX = 8192, MESSAGES_MAX = 10, ADDRS_ROOM = 1024 };

static void nothing(struct pg_stream *s)
{
    (void)s;
}

/* What we say of ourselves. */

/* How many of our addresses are said. */
static uint32_t addrs_said(const struct pg_multiaddr *addrs, uint32_t n)
{
    uint32_t i = 0;
    for (size_t room = ADDRS_ROOM; i < n && i < PG_RECORD_ADDRS && room >= addrs[i].len + 4u; i++)
        room -= addrs[i].len + 4u;
    return i;
}

/* The envelope of our record. Its number is the time of its making, RFC 0003, "Address Record Format": it grows with each
 * record, and over restarts. Empty when there is nothing to say, or no memory. */
static struct pg_bytes own_record(struct pg_node *n, const struct pg_multiaddr *addrs, uint32_t n_addrs)
{
    struct pg_own_record *own = &n->record;
    uint8_t basis[sizeof own->basis];
    struct pg_writer w = pg_writer(basis, sizeof basis), out = pg_writer(own->envelope, sizeof own->envelope);
    if (n_addrs == 0 || !pg_peer_record_write(pg_identity_peer_id(n->config.identity), 0, addrs, n_addrs, &w))
        return PG_NONE;
    if (own->len && pg_bytes_equal(pg_bytes(own->basis, own->basis_len), pg_written(&w)))
        return pg_bytes(own->envelope, own->len);
    uint64_t now = n->config.unix_offset_us + n->scope.now_us;
    own->seq = now > own->seq ? now : own->seq + 1;
    own->len = 0;
    if (!pg_peer_record_seal(n->config.identity, own->seq, addrs, n_addrs, &out))
        return PG_NONE;
    own->len = (uint16_t)out.len;
    own->basis_len = (uint16_t)w.len;
    memcpy(own->basis, basis, w.len);
    return pg_written(&out);
}

static bool put_message(struct pg_session *s, struct pg_writer *out)
{
    struct pg_node *n = s->node;
    struct pg_multiaddr observed;
    struct pg_pb_identify m = {.has_public_key = true,
                               .public_key = pg_public_key_protobuf(pg_identity_public(n->config.identity)),
                               .has_observed_addr = true,
                               .has_protocol_version = true,
                               .protocol_version = PG_LIT(PG_PROTOCOL_VERSION),
                               .has_agent_version = true,
                               .agent_version = PG_LIT(PG_AGENT)};
    pg_session_remote(s, &observed);
    m.observed_addr = pg_bytes(observed.at, observed.len);
    struct pg_multiaddr addrs[PG_NODE_ADDRS];
    uint32_t n_addrs = addrs_said(addrs, pg_node_addrs(n, addrs));
    m.signed_peer_record = own_record(n, addrs, n_addrs);
    m.has_signed_peer_record = m.signed_peer_record.len > 0;
    for (uint32_t i = 0; i < n_addrs; i++)
        m.listen_addrs[m.n_listen_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
    for (uint32_t i = 0; i < n->n_handlers; i++)
        if (pg_node_offers(s, n->handlers[i]))
            m.protocols[m.n_protocols++] = n->handlers[i]->protocol;
    pg_pb_identify_write_framed(&m, out);
    return !out->failed;
}

static void tell(struct pg_stream *stream, struct pg_session *s)
{
    uint8_t text[MESSAGE_MAX + 8];
    struct pg_writer w = pg_writer(text, sizeof text);
    if (!put_message(s, &w) || !pg_stream_write(stream, pg_written(&w)))
        pg_stream_reset(stream);
    else
        pg_stream_end(stream);
}

static void serve_opened(struct pg_stream *stream)
{
    tell(stream, stream->conn->above);
}

static void serve_data(struct pg_stream *stream, struct pg_bytes data)
{
    pg_stream_consumed(stream, data.len); /* nothing is expected; it costs nothing to let it be */
}

static void serve_closed(struct pg_stream *stream, enum pg_err why)
{
    (void)stream;
    (void)why;
}

const struct pg_handler pg_identify_serve = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY, sizeof PG_PROTOCOL_IDENTIFY - 1},
    .housekeeping = true,
    .opened = serve_opened, .data = serve_data, .ended = nothing, .writable = nothing, .closed = serve_closed};

static void push_opened(struct pg_stream *stream)
{
    tell(stream, stream->conn->above);
}

static const struct pg_handler push = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY_PUSH, sizeof PG_PROTOCOL_IDENTIFY_PUSH - 1},
    .housekeeping = true,
    .opened = push_opened, .data = serve_data, .ended = nothing, .writable = nothing, .closed = serve_closed};

void pg_identify_push(struct pg_node *n)
{
    enum pg_err why;
    for (struct pg_session *s = n->sessions; s; s = s->next)
        if (s->up)
            (void)pg_stream_open(s->conn, &push, NULL, &why); /* a peer that takes no pushes refuses it */
}

/* What others say of themselves. */

static void drop_record(struct pg_session *s, enum pg_err why)
{
    s->node->metrics.value[PG_METRIC_PEER_RECORDS_DROPPED]++;
    pg_log_record_dropped(s->node->log, pg_text(s->peer_text), pg_text(pg_err_text(why)));
}

/* The addresses that the peer has signed, when there are such; they count instead of the plain list, as in go-libp2p. A bad
 * record is dropped and voids nothing else; rust-libp2p's has a domain of its own and is dropped always. Numbers are only
 * compared with one another (RFC 0003), so one from the future is as good as any, and hurts its peer alone. */
static bool read_record(struct pg_session *s, struct pg_bytes envelope, struct pg_peer_record *record)
{
    struct pg_place *known = pg_budget_peer(&s->node->budget, &s->conn->peer, false);
    enum pg_err err = pg_peer_record_open(record, envelope, &s->conn->peer);
    if (err == PG_OK && known && record->seq < known->record_seq)
        err = PG_ERR_RECORD_OLD;
    if (err != PG_OK) {
        drop_record(s, err);
        return false;
    }
    if (known)
        known->record_seq = record->seq;
    s->node->metrics.value[PG_METRIC_PEER_RECORDS_TAKEN]++;
    return true;
}

/* Whether it relays: 1, -1; 0 when it has not said, or is only met over another relay. */
static int relays(const struct pg_session *s, const struct pg_pb_identify *m)
{
    if (m->n_protocols == 0 || pg_session_is_relayed(s))
        return 0;
    for (uint32_t i = 0; i < m->n_protocols; i++)
        if (pg_bytes_equal(m->protocols[i], PG_LIT(PG_PROTOCOL_HOP)))
            return 1;
    return -1;
}

static void learn(struct pg_session *s, const struct pg_pb_identify *m)
{
    struct pg_node *n = s->node;
    struct pg_peer_record said = {0};
    struct pg_multiaddr own[PG_NODE_ADDRS];
    struct pg_offer offer = {&s->conn->peer, pg_identity_peer_id(n->config.identity), &s->conn->remote, own, pg_node_addrs(n, own), 0};
    uint32_t n_good = 0, offered;
    if (m->has_agent_version)
        pg_bytes_text(s->agent, sizeof s->agent, m->agent_version);
    if (m->has_observed_addr && pg_multiaddr_read(&s->observed, m->observed_addr) == PG_OK) {
        pg_multiaddr_strip_p2p(&s->observed);
        pg_observed_note(s, &s->observed);
    }
    if (m->has_signed_peer_record && read_record(s, m->signed_peer_record, &said)) {
        offered = said.n_addrs;
    } else {
        offered = m->n_listen_addrs;
        said.n_addrs = 0;
        for (uint32_t i = 0; i < m->n_listen_addrs && said.n_addrs < PG_RECORD_ADDRS; i++)
            if (pg_multiaddr_read(&said.addrs[said.n_addrs], m->listen_addrs[i]) == PG_OK)
                said.n_addrs++;
    }
    for (uint32_t i = 0; i < said.n_addrs; i++) {
        if (!pg_offer_good(&offer, &said.addrs[i]))
            continue;
        pg_multiaddr_strip_p2p(&said.addrs[i]);
        said.addrs[n_good++] = said.addrs[i];
    }
    s->identify.placed |= offered > 0;
    if (n_good < offered)
        pg_log_addresses_passed_over(n->log, pg_text(s->peer_text), offered - n_good);
    pg_log_identified(n->log, pg_text(s->peer_text), pg_text(s->agent));
    if (offered > 0) /* a push may be about something else */
        pg_contacts_learn(n, &s->conn->peer, said.addrs, n_good);
    pg_address_book_learn(&n->addresses, &s->conn->peer, said.addrs, n_good, PG_ADDRESS_CONNECTED);
    pg_kad_identified(s, m->protocols, m->n_protocols, said.addrs, n_good);
    pg_autonat_identified(s, m->protocols, m->n_protocols);
    pg_node_control_peer_identified(s, said.addrs, n_good, relays(s, m));
    pg_path_told(s, said.addrs, n_good);
    if (n->hooks.identified)
        n->hooks.identified(n->hooks.context, s);
}

enum taken { NOTHING, TAKEN, BROKEN };

/* Takes a whole message from the front of the text, if it has come. */
static enum taken take_message(struct pg_session *s, struct pg_queue *from)
{
    uint8_t rest[MESSAGE_MAX + 8];
    struct pg_bytes text;
    struct pg_pb_identify m;
    if (pg_queue_peek(from, &text, 1) == 0)
        return NOTHING;
    struct pg_cursor c = pg_cursor(text);
    uint64_t len = pg_take_uvarint(&c);
    if (c.failed)
        return text.len < PG_UVARINT_MAX ? NOTHING : BROKEN;
    if (len > MESSAGE_MAX)
        return BROKEN;
    if (pg_cursor_left(&c) < len)
        return NOTHING;
    if (pg_pb_identify_read(&m, pg_take_bytes(&c, len)) != PG_OK)
        return BROKEN;
    learn(s, &m);
    size_t left = pg_cursor_left(&c);
    memcpy(rest, text.at + text.len - left, left);
    pg_queue_clear(from); /* and from the start of a chunk again: a message lies in one piece */
    return left == 0 || pg_queue_put(from, pg_bytes(rest, left)) ? TAKEN : BROKEN;
}

/* Adds what has come on a stream and takes the messages in it, one by one: a long answer comes in several. */
static enum taken take_text(struct pg_session *s, struct pg_queue *text, uint8_t *n_messages, struct pg_bytes data)
{
    enum taken all = NOTHING;
    while (data.len) {
        struct pg_bytes some = pg_bytes_head(data, MESSAGE_MAX + 8 - text->bytes);
        data = pg_bytes_skip(data, some.len);
        if (some.len == 0 || !pg_queue_put(text, some))
            return BROKEN;
        for (enum taken one = TAKEN; one == TAKEN;) {
            one = take_message(s, text);
            if (one == BROKEN || (one == TAKEN && ++*n_messages > MESSAGES_MAX))
                return BROKEN;
            all = one == TAKEN ? TAKEN : all;
        }
    }
    return all;
}

static void push_take_opened(struct pg_stream *stream)
{
    struct pg_session *s = stream->conn->above;
    struct pg_identify *i = &s->identify;
    if (!pg_node_rate_take(s->node, &i->pushes, PG_LIMIT_PUSH_RATE, 16)) {
        pg_node_refuse(s->node, PG_LIMIT_PUSH_RATE, "identify push", pg_text(s->peer_text));
        pg_stream_reset(stream);
        return;
    }
    if (i->pushed)
        pg_stream_reset(i->pushed); /* the newer one is the better informed */
    i->pushed = stream;
    i->n_pushed = 0;
    pg_queue_clear(&i->pushed_text);
}

/* What came of a message that will not be whole any more is no reason to keep its memory. */
static void forget_push(struct pg_identify *i)
{
    i->pushed = NULL;
    pg_queue_clear(&i->pushed_text);
}

static void push_take_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_session *s = stream->conn->above;
    struct pg_identify *i = &s->identify;
    pg_stream_consumed(stream, data.len);
    if (i->pushed == stream && take_text(s, &i->pushed_text, &i->n_pushed, data) == BROKEN) {
        pg_stream_reset(stream);
        forget_push(i);
    }
}

static void push_take_ended(struct pg_stream *stream)
{
    pg_stream_end(stream);
}

static void push_take_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_identify *i = &((struct pg_session *)stream->conn->above)->identify;
    (void)why;
    if (i->pushed == stream)
        forget_push(i);
}

const struct pg_handler pg_identify_push_take = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY_PUSH, sizeof PG_PROTOCOL_IDENTIFY_PUSH - 1},
    .housekeeping = true,
    .opened = push_take_opened, .data = push_take_data, .ended = push_take_ended, .writable = nothing, .closed = push_take_closed};

/* Asking. */

static struct pg_session *session_of(const struct pg_identify *i)
{
    return HOST_OF(pg_session, identify, i);
}

static void ask_data(struct pg_stream *stream, struct pg_bytes data)
{
    struct pg_session *s = stream->user;
    struct pg_identify *i = &s->identify;
    pg_stream_consumed(stream, data.len);
    if (i->stream != stream)
        return;
    enum taken taken = take_text(s, &i->text, &i->n_messages, data);
    if (taken != NOTHING)
        pg_step(&i->in, taken == TAKEN ? PG_IDENTIFY_ON_MESSAGE_GOOD : PG_IDENTIFY_ON_MESSAGE_BAD);
    if (taken == BROKEN && i->stream) /* after a good message: what is known stays */
        pg_identify_do_stream_drop(i);
}

static void ask_ended(struct pg_stream *stream)
{
    pg_stream_end(stream);
}

static void ask_closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_session *s = stream->user;
    (void)why;
    if (s->identify.stream != stream)
        return; /* of an earlier question, or given up */
    s->identify.stream = NULL;
    pg_step(&s->identify.in, PG_IDENTIFY_ON_STREAM_FAILED);
}

bool pg_identify_is_placed(const struct pg_identify *i)
{
    return i->placed;
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_IDENTIFY, sizeof PG_PROTOCOL_IDENTIFY - 1},
    .housekeeping = true,
    .opened = nothing, .data = ask_data, .ended = ask_ended, .writable = nothing, .closed = ask_closed};

void pg_identify_do_stream_drop(struct pg_identify *i)
{
    struct pg_stream *stream = i->stream;
    i->stream = NULL;
    if (stream)
        pg_stream_reset(stream);
}

void pg_identify_do_stream_open(struct pg_identify *i)
{
    enum pg_err why;
    pg_identify_do_stream_drop(i); /* what is left of an earlier answer */
    pg_queue_clear(&i->text);
    i->n_messages = 0;
    i->stream = pg_stream_open(session_of(i)->conn, &ask, session_of(i), &why);
    if (!i->stream)
        pg_post(&i->in, PG_IDENTIFY_ON_STREAM_FAILED);
}

void pg_identify_do_facts_learn(struct pg_identify *i)
{
    if (i->stream)
        pg_stream_end(i->stream);
}

void pg_identify_do_failure_tell(struct pg_identify *i)
{
    struct pg_session *s = session_of(i);
    pg_log_identify_failed(s->node->log, pg_text(s->peer_text), PG_LIT("no usable answer"));
    if (s->node->hooks.unserved)
        s->node->hooks.unserved(s->node->hooks.context, s);
}

void pg_identify_start(struct pg_session *s)
{
    pg_instance_init(&s->identify.in, &pg_identify_machine, &pg_identify_binding, &s->identify, &s->node->scope,
                     s->identify.timers, NULL, s->conn->number);
    pg_step(&s->identify.in, PG_IDENTIFY_ON_START);
}

void pg_identify_end(struct pg_session *s)
{
    if (!s->identify.in.machine)
        return;
    pg_step(&s->identify.in, PG_IDENTIFY_ON_END);
    pg_identify_do_stream_drop(&s->identify);
    pg_stream_drop(&s->identify.pushed);
    pg_instance_end(&s->identify.in);
}
