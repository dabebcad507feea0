/* Facts and actions of circuit, and the way of a link's bytes through a stream; see circuit.h. What is to be written goes into the
 * stream at the end of the turn, as far as its credit goes and without a copy but the encryption; what comes in is copied once,
 * for the connection above decrypts in place and puts the start of a message in front of its end.
 * Source: libp2p/specs relay/circuit-v2.md, "Interaction". */
#include "transport/circuit.h"

#include "mem/pages.h"
#include "trace/line.h"
#include "transport/conn.h"

#include <stddef.h>

enum { ASKED_READ = 1, ASKED_END = 2, ASKED_CLOSE = 4, ASKED_RESET = 8 };
/* How near to its limit a circuit was ended for this to have been the reason. */
enum { NEARLY_US = 1000000 };
#define ROOM (PG_READ_HEADROOM + PG_YAMUX_BODY)

static void make_due(struct pg_circuit *c)
{
    struct pg_transport *t = c->transport;
    if (c->due)
        return;
    c->due = true;
    c->next_due = NULL;
    *t->circuits_due_end = c;
    t->circuits_due_end = &c->next_due;
}

/* Upwards. */

static bool is_heard(const struct pg_circuit *c)
{
    return c->link && c->link->owner && !c->link->closing;
}

static void deliver(struct pg_circuit *c, struct pg_input in)
{
    in.link = c->link;
    if (is_heard(c))
        c->transport->deliver(c->transport->above, &in);
}

/* A relay gives no reason when it ends a circuit, but has told its limits before. rust-libp2p counts the bytes of both ways together
 * (protocols/relay/src/copy_future.rs), and go-libp2p ends a way in good order when it has let as many through as it may. */
static void find_reason(struct pg_circuit *c, enum pg_err why)
{
    struct pg_line line;
    uint64_t age_us = c->transport->scope->now_us - c->begun_us;
    bool by_relay = why == PG_OK || why == PG_ERR_STREAM_RESET;
    pg_line_init(&line, c->reason, sizeof c->reason);
    c->why = why;
    if (by_relay && c->limit_bytes && c->bytes_in + c->bytes_out >= c->limit_bytes) {
        c->why = PG_ERR_RELAY_LIMIT;
        pg_line_put(&line, "the relay lets no more than ");
        pg_line_u64(&line, c->limit_bytes);
        pg_line_put(&line, " bytes through a circuit");
    } else if (by_relay && c->limit_us && age_us + NEARLY_US >= c->limit_us) {
        c->why = PG_ERR_RELAY_LIMIT;
        pg_line_put(&line, "the relay lets a circuit live for no more than ");
        pg_line_duration(&line, c->limit_us);
    } else {
        pg_line_put(&line, "the circuit has ended: ");
        pg_line_put(&line, pg_err_text(why == PG_OK ? PG_ERR_CLOSED : why));
    }
    if (c->why == PG_OK || pg_err_class(c->why) == PG_CLASS_PEER)
        c->why = PG_ERR_CLOSED; /* it is the relay's doing, and nothing that the peer has done wrong */
}

/* The stream's calls. */

static void take(struct pg_circuit *c, struct pg_bytes data)
{
    uint8_t *room = c->transport->circuit_room + PG_READ_HEADROOM;
    while (data.len > 0) {
        struct pg_bytes piece = pg_bytes_head(data, ROOM - PG_READ_HEADROOM);
        data = pg_bytes_skip(data, piece.len);
        c->bytes_in += piece.len;
        if (is_heard(c)) {
            memcpy(room, piece.at, piece.len);
            deliver(c, (struct pg_input){.kind = PG_INPUT_RECEIVED, .data = room, .len = piece.len});
        }
        if (is_heard(c) && c->link->credit == 0)
            c->kept += piece.len;
        else if (c->stream)
            pg_stream_consumed(c->stream, piece.len);
    }
}

static void on_opened(struct pg_stream *s)
{
    (void)s; /* it was open before it became a circuit's */
}

static void on_data(struct pg_stream *s, struct pg_bytes data)
{
    take(s->user, data);
}

static void on_ended(struct pg_stream *s)
{
    struct pg_circuit *c = s->user;
    find_reason(c, PG_OK);
    if (c->why != PG_ERR_RELAY_LIMIT || !is_heard(c)) {
        deliver(c, (struct pg_input){.kind = PG_INPUT_ENDED});
        return;
    }
    pg_circuit_do_stream_reset(c); /* it is not the peer who has ended it */
    pg_post(&c->in, PG_CIRCUIT_ON_STREAM_CLOSED);
}

static void on_writable(struct pg_stream *s)
{
    make_due(s->user);
}

static void on_closed(struct pg_stream *s, enum pg_err why)
{
    struct pg_circuit *c = s->user;
    c->stream = NULL;
    find_reason(c, why);
    pg_post(&c->in, PG_CIRCUIT_ON_STREAM_CLOSED); /* our own end may have been the last thing that it waited for */
    make_due(c);
}

static const struct pg_handler carried = {
    .opened = on_opened, .data = on_data, .ended = on_ended, .writable = on_writable, .closed = on_closed};

/* Facts and actions. */

bool pg_circuit_is_unsent(const struct pg_circuit *c)
{
    return c->link->tx.bytes > 0;
}

void pg_circuit_do_opening_drop(struct pg_circuit *c)
{
    if (c->dropped)
        c->dropped(c);
}

void pg_circuit_do_end_send(struct pg_circuit *c)
{
    if (c->stream)
        pg_stream_end(c->stream);
}

void pg_circuit_do_stream_reset(struct pg_circuit *c)
{
    pg_stream_drop(&c->stream);
    make_due(c);
}

void pg_circuit_do_loss_tell(struct pg_circuit *c)
{
    c->loses = true;
    make_due(c);
}

/* The end of a turn. */

/* A message of the connection above goes in one piece, so that the other end finds it in one: it was made to fit a frame. */
static bool flush(struct pg_circuit *c)
{
    struct pg_queue *tx = &c->link->tx;
    struct pg_bytes slice;
    size_t before = tx->bytes;
    while (c->stream && pg_queue_peek(tx, &slice, 1) > 0) {
        slice = pg_bytes_head(slice, PG_YAMUX_BODY);
        if (pg_stream_credit(c->stream) < slice.len) {
            pg_stream_await_credit(c->stream);
            break;
        }
        if (!pg_stream_write(c->stream, slice))
            break;
        pg_queue_drop(tx, slice.len);
        c->bytes_out += slice.len;
    }
    return tx->bytes < before;
}

static bool carries(const struct pg_circuit *c)
{
    return c->in.ctl.state != PG_CIRCUIT_OPENING && c->in.ctl.state != PG_CIRCUIT_GONE;
}

static void settle(struct pg_circuit *c)
{
    uint8_t asked = c->asked;
    c->asked = 0;
    c->link->write_asked = false;
    if (asked & ASKED_READ && c->stream) {
        pg_stream_consumed(c->stream, c->kept);
        c->kept = 0;
    }
    bool moved = !(asked & ASKED_RESET) && carries(c) && flush(c);
    if (moved && c->link->tx.bytes == 0)
        pg_step(&c->in, PG_CIRCUIT_ON_DRAINED);
    if (asked & ASKED_RESET)
        pg_step(&c->in, PG_CIRCUIT_ON_RESET);
    if (asked & ASKED_END)
        pg_step(&c->in, PG_CIRCUIT_ON_END);
    if (asked & ASKED_CLOSE)
        pg_step(&c->in, PG_CIRCUIT_ON_CLOSE);
    if (moved)
        deliver(c, (struct pg_input){.kind = PG_INPUT_WRITTEN});
    if (c->loses)
        deliver(c, (struct pg_input){.kind = PG_INPUT_LOST, .error = c->why, .reason = pg_text(c->reason)});
}

static void give(struct pg_circuit *c)
{
    if (c->held || c->due || c->link)
        return;
    pg_instance_end(&c->in);
    pg_pool_give(&c->transport->circuits, c);
}

bool pg_circuits_settle(struct pg_transport *t)
{
    bool any = false;
    while (t->circuits_due) {
        struct pg_circuit *c = t->circuits_due;
        t->circuits_due = c->next_due;
        if (!t->circuits_due)
            t->circuits_due_end = &t->circuits_due;
        c->due = false;
        any = true;
        if (c->link)
            settle(c);
        if (c->link && c->in.ctl.state == PG_CIRCUIT_GONE) {
            t->unlink(t->above, c->link);
            c->link = NULL;
        }
        give(c);
    }
    return any;
}

/* What others call. */

struct pg_circuit *pg_circuit_new(struct pg_transport *t, struct pg_link *link)
{
    struct pg_circuit *c = pg_pool_take_zero(&t->circuits);
    if (!c)
        return NULL;
    c->transport = t;
    c->link = link;
    link->carrier = c;
    c->begun_us = t->scope->now_us;
    pg_instance_init(&c->in, &pg_circuit_machine, &pg_circuit_binding, c, t->scope, c->timers, NULL, link->number);
    return c;
}

void pg_circuit_carry(struct pg_circuit *c, struct pg_stream *stream, struct pg_bytes rest)
{
    c->stream = stream;
    c->begun_us = c->transport->scope->now_us;
    stream->handler = &carried;
    stream->user = c;
    pg_step(&c->in, PG_CIRCUIT_ON_MADE);
    deliver(c, (struct pg_input){.kind = PG_INPUT_CONNECTED});
    take(c, rest);
}

void pg_circuit_fail(struct pg_circuit *c, enum pg_err why, struct pg_bytes reason)
{
    c->why = why;
    pg_bytes_text(c->reason, sizeof c->reason, reason);
    c->dropped = NULL; /* who opened it has said its word */
    pg_post(&c->in, PG_CIRCUIT_ON_FAILED);
}

void pg_circuit_command(struct pg_circuit *c, enum pg_command_kind kind)
{
    c->asked |= kind == PG_COMMAND_READ ? ASKED_READ : kind == PG_COMMAND_END ? ASKED_END :
                kind == PG_COMMAND_CLOSE ? ASKED_CLOSE : kind == PG_COMMAND_RESET ? ASKED_RESET : 0;
    make_due(c);
}

void pg_circuit_release(struct pg_circuit *c)
{
    c->held = false;
    give(c);
}

uint64_t pg_circuit_left_bytes(const struct pg_circuit *c)
{
    uint64_t most = c->bytes_in > c->bytes_out ? c->bytes_in : c->bytes_out;
    return c->limit_bytes > most ? c->limit_bytes - most : 0;
}

uint64_t pg_circuit_left_us(const struct pg_circuit *c)
{
    uint64_t age_us = c->transport->scope->now_us - c->begun_us;
    return c->limit_us > age_us ? c->limit_us - age_us : 0;
}

bool pg_circuits_init(struct pg_transport *t, uint32_t most)
{
    t->circuits_due_end = &t->circuits_due;
    t->circuit_room = pg_pages_reserve(ROOM);
    return t->circuit_room && pg_pool_init(&t->circuits, sizeof(struct pg_circuit), most, 64);
}

void pg_circuits_free(struct pg_transport *t)
{
    pg_pool_free(&t->circuits);
    pg_pages_release(t->circuit_room, ROOM);
}
