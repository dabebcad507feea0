/* Asking to be dialled back, both versions: facts and actions of autonat_ask and autonat2_ask, and what is read on their streams.
 * Called by reach.c and by the command autonat. Serves libp2p/specs autonat/autonat-v1.md, "AutoNAT Protocol", and
 * autonat/autonat-v2.md, "AutoNAT V2 Protocol", "Amplification Attack Prevention". */
#include "core/autonat.h"

#include "core/node_internal.h"
#include "protocols.gen.h"
#include "trace/line.h"

#include <stddef.h>

/* Of one message of dial data: as much as the specification allows. */
enum { DATA = 4096 };

static struct pg_autonat_question *of_v1(const struct pg_autonat_ask *a)
{
    return HOST_OF(pg_autonat_question, v1, a);
}

static struct pg_autonat_question *of_v2(const struct pg_autonat2_ask *a)
{
    return HOST_OF(pg_autonat_question, v2, a);
}

static void say(struct pg_autonat_question *q, enum pg_err why, const char *text)
{
    q->why = why;
    pg_bytes_text(q->text, sizeof q->text, pg_text(text));
}

/* Streams. */

static void leave(struct pg_autonat_question *q)
{
    struct pg_stream *stream = q->stream;
    q->stream = NULL;
    if (!stream)
        return;
    pg_stream_detach(stream);
    pg_stream_end(stream);
}

static void tell(struct pg_autonat_question *q, enum pg_autonat_outcome outcome)
{
    static const enum pg_metric counted[] = {PG_METRIC_AUTONAT_TOLD_NOTHING, PG_METRIC_AUTONAT_TOLD_REACHED, PG_METRIC_AUTONAT_TOLD_UNREACHED};
    q->outcome = outcome;
    q->open = false;
    q->node->metrics.value[counted[outcome]]++;
    if (q->told)
        q->told(q);
}

static void lie(struct pg_autonat_question *q, const char *text)
{
    say(q, PG_ERR_AUTONAT_LIE, text);
    pg_log_autonat_lie(q->node->log, pg_text(q->peer_text), pg_text(text));
}

/* Version 1. */

bool pg_autonat_ask_is_visited(const struct pg_autonat_ask *a)
{
    const struct pg_autonat_question *q = of_v1(a);
    return q->node->arrivals > q->arrivals;
}

static bool send(struct pg_autonat_question *q, struct pg_writer *w)
{
    return !w->failed && pg_stream_credit(q->stream) >= w->len && pg_stream_write(q->stream, pg_written(w));
}

void pg_autonat_ask_do_request_send(struct pg_autonat_ask *a)
{
    struct pg_autonat_question *q = of_v1(a);
    uint8_t room[PG_AUTONAT_ADDRS * PG_MULTIADDR_MAX + 256];
    struct pg_writer w = pg_writer(room, sizeof room);
    const struct pg_peer_id *own = pg_node_own(q->node);
    struct pg_pb_autonat_message m = {.has_type = true, .type = PG_PB_AUTONAT_MESSAGE_TYPE_DIAL, .has_dial = true};
    m.dial.has_peer = m.dial.peer.has_id = true;
    m.dial.peer.id = pg_bytes(own->at, own->len);
    for (uint32_t i = 0; i < q->n_addrs; i++)
        m.dial.peer.addrs[m.dial.peer.n_addrs++] = pg_bytes(q->addrs[i].at, q->addrs[i].len);
    pg_pb_autonat_message_write_framed(&m, &w);
    if (!send(q, &w))
        pg_post(&a->in, PG_AUTONAT_ASK_ON_STREAM_FAILED);
}

void pg_autonat_ask_do_stream_leave(struct pg_autonat_ask *a)
{
    leave(of_v1(a));
}

void pg_autonat_ask_do_stream_drop(struct pg_autonat_ask *a)
{
    pg_stream_drop(&of_v1(a)->stream);
}

void pg_autonat_ask_do_lie_note(struct pg_autonat_ask *a)
{
    lie(of_v1(a), "the server says that it has reached us, and nobody has come");
}

void pg_autonat_ask_do_outcome_tell(struct pg_autonat_ask *a)
{
    static const enum pg_autonat_outcome outcomes[] = {[PG_AUTONAT_ASK_REACHED] = PG_AUTONAT_REACHED,
                                                       [PG_AUTONAT_ASK_UNREACHED] = PG_AUTONAT_UNREACHED,
                                                       [PG_AUTONAT_ASK_UNTOLD] = PG_AUTONAT_UNTOLD};
    if (a->in.event == PG_AUTONAT_ASK_ON_ANSWER_FIRED)
        say(of_v1(a), PG_ERR_TIMEOUT, "the server does not answer within 30 s");
    tell(of_v1(a), outcomes[a->in.ctl.state]);
}

static void refused(struct pg_autonat_question *q, const char *what, struct pg_bytes words)
{
    struct pg_line line;
    q->why = PG_ERR_AUTONAT_REFUSED;
    pg_line_init(&line, q->text, sizeof q->text);
    pg_line_put(&line, what);
    if (words.len) {
        pg_line_put(&line, ": ");
        pg_line_escaped(&line, pg_bytes_head(words, 100), PG_ESCAPE_DISPLAY, 200);
    }
    (void)pg_line_bytes(&line);
}

static enum pg_autonat_ask_event said(struct pg_autonat_question *q, struct pg_bytes text)
{
    struct pg_pb_autonat_message m;
    struct pg_multiaddr addr;
    enum pg_err err = pg_pb_autonat_message_read(&m, text);
    if (err != PG_OK || !m.has_dial_response || (m.has_type && m.type != PG_PB_AUTONAT_MESSAGE_TYPE_DIAL_RESPONSE)) {
        say(q, err ? err : PG_ERR_PROTOBUF_VALUE, "the server's answer is none");
        return PG_AUTONAT_ASK_ON_ANSWER_BAD;
    }
    struct pg_pb_autonat_dial_response *r = &m.dial_response;
    r->has_status |= r->has_addr; /* a writer of proto3 leaves OK out */
    if (r->has_addr && pg_multiaddr_read(&addr, r->addr) == PG_OK) {
        pg_multiaddr_strip_p2p(&addr);
        for (uint32_t i = 0; i < q->n_addrs; i++)
            if (pg_multiaddr_equal(&addr, &q->addrs[i]))
                q->tested = i;
        if (q->tested == q->n_addrs && q->n_addrs < PG_AUTONAT_ADDRS)
            q->addrs[q->n_addrs++] = addr; /* one that the server has added: where it sees us */
    }
    switch (pg_pb_autonat_dial_response_event(r)) {
    case PG_PB_AUTONAT_DIAL_RESPONSE_DIALLED_OK: return PG_AUTONAT_ASK_ON_DIALLED_OK;
    case PG_PB_AUTONAT_DIAL_RESPONSE_DIALLED_FAILED: return PG_AUTONAT_ASK_ON_DIALLED_FAILED;
    case PG_PB_AUTONAT_DIAL_RESPONSE_DIALLED_REFUSED:
    case PG_PB_AUTONAT_DIAL_RESPONSE_NO_EVENT: break;
    }
    refused(q, r->status == PG_PB_AUTONAT_STATUS_E_DIAL_REFUSED    ? "E_DIAL_REFUSED"
               : r->status == PG_PB_AUTONAT_STATUS_E_BAD_REQUEST   ? "E_BAD_REQUEST"
               : r->status == PG_PB_AUTONAT_STATUS_E_INTERNAL_ERROR ? "E_INTERNAL_ERROR" : "a status that is not known", r->status_text);
    return PG_AUTONAT_ASK_ON_DIALLED_REFUSED;
}

/* Version 2. */

bool pg_autonat2_ask_is_affordable(const struct pg_autonat2_ask *a)
{
    return a->left <= PG_AUTONAT_COST_MOST && a->costed < of_v2(a)->n_addrs;
}

void pg_autonat2_ask_do_request_send(struct pg_autonat2_ask *a)
{
    struct pg_autonat_question *q = of_v2(a);
    uint8_t room[PG_AUTONAT_ADDRS * PG_MULTIADDR_MAX + 256];
    struct pg_writer w = pg_writer(room, sizeof room);
    struct pg_pb_autonat2_message m = {.has_dial_request = true};
    m.dial_request.has_nonce = true;
    m.dial_request.nonce = q->nonce;
    for (uint32_t i = 0; i < q->n_addrs; i++)
        m.dial_request.addrs[m.dial_request.n_addrs++] = pg_bytes(q->addrs[i].at, q->addrs[i].len);
    pg_pb_autonat2_message_write_framed(&m, &w);
    if (!send(q, &w))
        pg_post(&a->in, PG_AUTONAT2_ASK_ON_STREAM_FAILED);
}

/* As much as the stream takes now; the rest when it takes more. What it holds is of no interest to anybody. */
void pg_autonat2_ask_do_data_send(struct pg_autonat2_ask *a)
{
    static const uint8_t zeros[DATA];
    struct pg_autonat_question *q = of_v2(a);
    while (a->left > 0) {
        uint8_t *room = pg_node_scratch(q->node, DATA + 32);
        struct pg_writer w = pg_writer(room, room ? DATA + 32 : 0);
        struct pg_pb_autonat2_message m = {.has_dial_data_response = true};
        m.dial_data_response.has_data = true;
        m.dial_data_response.data = pg_bytes(zeros, DATA); /* the last may be longer than asked for */
        if (room)
            pg_pb_autonat2_message_write_framed(&m, &w);
        if (!room || !send(q, &w)) {
            pg_stream_await_credit(q->stream);
            return;
        }
        a->left -= a->left < DATA ? a->left : DATA;
        q->cost += DATA;
    }
}

void pg_autonat2_ask_do_stream_leave(struct pg_autonat2_ask *a)
{
    leave(of_v2(a));
}

void pg_autonat2_ask_do_stream_drop(struct pg_autonat2_ask *a)
{
    pg_stream_drop(&of_v2(a)->stream);
}

/* The stream on which the nonce came is answered and ended. */
void pg_autonat2_ask_do_nonce_confirm(struct pg_autonat2_ask *a)
{
    struct pg_stream *back = of_v2(a)->node->autonat.back;
    uint8_t room[16];
    struct pg_writer w = pg_writer(room, sizeof room);
    struct pg_pb_autonat2_dial_back_response m = {.has_status = true, .status = PG_PB_AUTONAT2_DIAL_BACK_RESPONSE_STATUS_OK};
    pg_pb_autonat2_dial_back_response_write_framed(&m, &w);
    if (pg_stream_credit(back) < w.len || !pg_stream_write(back, pg_written(&w)))
        pg_stream_reset(back);
    else
        pg_stream_end(back);
}

void pg_autonat2_ask_do_nonce_refuse(struct pg_autonat2_ask *a)
{
    pg_stream_reset(of_v2(a)->node->autonat.back);
}

void pg_autonat2_ask_do_lie_note(struct pg_autonat2_ask *a)
{
    lie(of_v2(a), a->in.event == PG_AUTONAT2_ASK_ON_TESTED_FAILED ? "the server says that it cannot reach us, and its nonce has come"
                                                                  : "the server says that it has reached us, and its nonce has not come");
}

void pg_autonat2_ask_do_outcome_tell(struct pg_autonat2_ask *a)
{
    static const enum pg_autonat_outcome outcomes[] = {[PG_AUTONAT2_ASK_REACHED] = PG_AUTONAT_REACHED,
                                                       [PG_AUTONAT2_ASK_UNREACHED] = PG_AUTONAT_UNREACHED,
                                                       [PG_AUTONAT2_ASK_UNTOLD] = PG_AUTONAT_UNTOLD};
    struct pg_autonat_question *q = of_v2(a);
    if (a->in.event == PG_AUTONAT2_ASK_ON_ANSWER_FIRED)
        say(q, PG_ERR_TIMEOUT, "the server does not answer within 30 s");
    if (a->in.event == PG_AUTONAT2_ASK_ON_COST_ASKED)
        say(q, PG_ERR_AUTONAT_REFUSED, "the server asks for more dial data than a test is worth");
    tell(q, outcomes[a->in.ctl.state]);
}

/* Which address a word is about is the server's to say, and it has to be one of ours. */
static enum pg_autonat2_ask_event tested(struct pg_autonat_question *q, const struct pg_pb_autonat2_dial_response *r)
{
    bool word = r->status == PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_OK;
    if (word && r->addr_idx >= q->n_addrs) {
        say(q, PG_ERR_PROTOBUF_VALUE, "the server speaks of an address that it was not asked about");
        return PG_AUTONAT2_ASK_ON_ANSWER_BAD;
    }
    q->tested = word ? r->addr_idx : q->n_addrs;
    switch (pg_pb_autonat2_dial_response_event(r)) {
    case PG_PB_AUTONAT2_DIAL_RESPONSE_TESTED_OK: return PG_AUTONAT2_ASK_ON_TESTED_OK;
    case PG_PB_AUTONAT2_DIAL_RESPONSE_TESTED_FAILED: return PG_AUTONAT2_ASK_ON_TESTED_FAILED;
    case PG_PB_AUTONAT2_DIAL_RESPONSE_TESTED_UNDELIVERED:
        say(q, PG_ERR_AUTONAT_REFUSED, "E_DIAL_BACK_ERROR: a connection stood, and its nonce did not get through");
        return PG_AUTONAT2_ASK_ON_TESTED_UNDELIVERED;
    case PG_PB_AUTONAT2_DIAL_RESPONSE_TESTED_REFUSED:
    case PG_PB_AUTONAT2_DIAL_RESPONSE_NO_EVENT: break;
    }
    refused(q, r->status == PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_REQUEST_REJECTED ? "E_REQUEST_REJECTED"
               : r->status == PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_DIAL_REFUSED   ? "E_DIAL_REFUSED"
               : r->status == PG_PB_AUTONAT2_DIAL_RESPONSE_STATUS_E_INTERNAL_ERROR ? "E_INTERNAL_ERROR" : "a status that is not known", PG_NONE);
    return PG_AUTONAT2_ASK_ON_TESTED_REFUSED;
}

static enum pg_autonat2_ask_event said2(struct pg_autonat_question *q, struct pg_bytes text)
{
    struct pg_pb_autonat2_message m;
    enum pg_err err = pg_pb_autonat2_message_read(&m, text);
    if (err == PG_OK && m.has_dial_response)
        return tested(q, &m.dial_response);
    if (err == PG_OK && m.has_dial_data_request) {
        q->v2.costed = m.dial_data_request.addr_idx;
        q->v2.left = m.dial_data_request.num_bytes;
        return PG_AUTONAT2_ASK_ON_COST_ASKED;
    }
    say(q, err ? err : PG_ERR_PROTOBUF_VALUE, "the server's answer is none");
    return PG_AUTONAT2_ASK_ON_ANSWER_BAD;
}

/* Both. */

static void nothing(struct pg_stream *stream)
{
    (void)stream;
}

static void data(struct pg_stream *stream, struct pg_bytes in)
{
    struct pg_autonat_question *q = stream->user;
    struct pg_bytes text;
    pg_stream_consumed(stream, in.len);
    while (q->stream == stream && in.len > 0) {
        enum pg_frame_result got = pg_frame_feed(&q->frame, &in, &text);
        if (got == PG_FRAME_MORE)
            return;
        if (got == PG_FRAME_BAD)
            say(q, pg_frame_error(&q->frame), "the server's answer is none");
        if (q->version == 2)
            pg_step(&q->v2.in, got == PG_FRAME_BAD ? PG_AUTONAT2_ASK_ON_ANSWER_BAD : said2(q, text));
        else
            pg_step(&q->v1.in, got == PG_FRAME_BAD ? PG_AUTONAT_ASK_ON_ANSWER_BAD : said(q, text));
    }
}

static void writable(struct pg_stream *stream)
{
    struct pg_autonat_question *q = stream->user;
    if (q->stream == stream && q->version == 2)
        pg_step(&q->v2.in, PG_AUTONAT2_ASK_ON_CREDIT_CAME);
}

static void over(struct pg_autonat_question *q, enum pg_err why)
{
    q->stream = NULL;
    say(q, why, why == PG_ERR_CLOSED ? "the server ended the stream without an answer" : pg_err_text(why));
    if (q->version == 2)
        pg_step(&q->v2.in, PG_AUTONAT2_ASK_ON_STREAM_FAILED);
    else
        pg_step(&q->v1.in, PG_AUTONAT_ASK_ON_STREAM_FAILED);
}

static void ended(struct pg_stream *stream)
{
    struct pg_autonat_question *q = stream->user;
    if (q->stream != stream)
        return;
    pg_stream_detach(stream);
    pg_stream_end(stream);
    over(q, PG_ERR_CLOSED);
}

static void closed(struct pg_stream *stream, enum pg_err why)
{
    struct pg_autonat_question *q = stream->user;
    if (q->stream == stream)
        over(q, why == PG_OK ? PG_ERR_CLOSED : why);
}

static const struct pg_handler ask = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT, sizeof PG_PROTOCOL_AUTONAT - 1},
    .housekeeping = true, .relayed = PG_RELAYED_NEVER,
    .opened = nothing, .data = data, .ended = ended, .writable = writable, .closed = closed};
static const struct pg_handler ask2 = {
    .protocol = {(const uint8_t *)PG_PROTOCOL_AUTONAT2, sizeof PG_PROTOCOL_AUTONAT2 - 1},
    .housekeeping = true, .relayed = PG_RELAYED_NEVER,
    .opened = nothing, .data = data, .ended = ended, .writable = writable, .closed = closed};

static bool take_place(struct pg_autonat_question *q)
{
    struct pg_autonat *a = &q->node->autonat;
    for (uint32_t i = 0; i < PG_AUTONAT_QUESTIONS; i++)
        if (!a->open[i] || a->open[i] == q || !a->open[i]->open) {
            a->open[i] = q;
            return true;
        }
    return false;
}

bool pg_autonat_question_begin(struct pg_autonat_question *q, struct pg_session *s, unsigned version)
{
    struct pg_node *n = q->node = s->node;
    if (!take_place(q))
        return false;
    memcpy(q->peer_text, s->peer_text, sizeof q->peer_text);
    q->version = (uint8_t)version;
    q->tested = q->n_addrs;
    q->why = PG_OK;
    q->text[0] = 0;
    q->began_us = n->scope.now_us;
    q->arrivals = n->arrivals;
    q->cost = 0;
    n->autonat.next_nonce++;
    while ((q->nonce = pg_keyed_hash(&n->autonat.hash, &n->autonat.next_nonce, sizeof n->autonat.next_nonce)) == 0)
        n->autonat.next_nonce++;
    pg_frame_init(&q->frame, PG_FRAME_UVARINT, q->room, sizeof q->room);
    q->stream = pg_stream_open(s->conn, version == 2 ? &ask2 : &ask, q, &q->why);
    if (!q->stream)
        return false;
    q->open = true;
    if (version == 2) {
        pg_instance_init(&q->v2.in, &pg_autonat2_ask_machine, &pg_autonat2_ask_binding, &q->v2, &n->scope, q->v2.timers, NULL, n->autonat.next_key++);
        pg_step(&q->v2.in, PG_AUTONAT2_ASK_ON_BEGIN);
    } else {
        pg_instance_init(&q->v1.in, &pg_autonat_ask_machine, &pg_autonat_ask_binding, &q->v1, &n->scope, q->v1.timers, NULL, n->autonat.next_key++);
        pg_step(&q->v1.in, PG_AUTONAT_ASK_ON_BEGIN);
    }
    return true;
}

void pg_autonat_question_end(struct pg_autonat_question *q)
{
    if (q->open && q->version == 2)
        pg_step(&q->v2.in, PG_AUTONAT2_ASK_ON_END);
    else if (q->open)
        pg_step(&q->v1.in, PG_AUTONAT_ASK_ON_END);
    q->open = false;
    for (uint32_t i = 0; q->node && i < PG_AUTONAT_QUESTIONS; i++)
        if (q->node->autonat.open[i] == q)
            q->node->autonat.open[i] = NULL;
    q->stream = NULL;
}
