/* Facts and actions of upgrade, and the way of received bytes through the stages of a connection.
 * Called by src/core/node.c; calls negotiate.c, noise.c and yamux.c.
 * Source: libp2p/specs connections/README.md, "Upgrading connections". */
#include "transport/conn.h"

#include "transport/circuit.h"
#include "transport/noise.h"

#include "protocols.gen.h"

#include <assert.h>
#include <stddef.h>

static struct pg_conn *conn_of(struct pg_upgrade *u)
{
    return (struct pg_conn *)((char *)u - offsetof(struct pg_conn, upgrade));
}

static void command(struct pg_conn *c, enum pg_command_kind kind)
{
    c->transport->command(c->transport->above, &(struct pg_command){.kind = kind, .link = c->link});
}

/* What waits for the remote. */

size_t pg_conn_unsent_most(const struct pg_conn *c)
{
    const struct pg_pool *p = c->transport->chunks;
    size_t left = p->count - p->used, kept = p->count / 8;
    size_t share = left > kept ? (left - kept) * PG_CHUNK_ROOM / 8 : 0;
    share = share < PG_CONN_HIGH ? share : PG_CONN_HIGH;
    return share > PG_YAMUX_BODY ? share : PG_YAMUX_BODY;
}

static uint64_t now_us(const struct pg_conn *c)
{
    return c->transport->scope->now_us;
}

static void mark_unsent(struct pg_conn *c)
{
    c->unsent_us = now_us(c);
    c->unsent_mark = c->bytes_sent;
}

bool pg_conn_waits(const struct pg_conn *c, uint64_t *for_us)
{
    uint64_t unsent = c->link && c->link->tx.bytes > 0 ? now_us(c) - c->unsent_us : 0;
    uint64_t rest = c->rest.bytes > 0 ? now_us(c) - c->rest_us : 0;
    *for_us = unsent > rest ? unsent : rest;
    return c->rest.bytes > 0 || (c->link && c->link->tx.bytes > 0);
}

/* Sending. */

bool pg_conn_send(struct pg_conn *c, struct pg_bytes header, struct pg_bytes body)
{
    size_t n = header.len + body.len + PG_NOISE_TAG;
    assert(n <= PG_NOISE_MESSAGE_MAX);
    uint8_t *out = c->link ? pg_queue_reserve(&c->link->tx, n + 2) : NULL;
    if (!out || !pg_noise_encrypt(c->send, header, body, out + 2)) {
        pg_conn_close(c, PG_ERR_NO_MEMORY);
        return false;
    }
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    bool first = c->link->tx.bytes == 0;
    pg_queue_commit(&c->link->tx, n + 2);
    c->transport->metrics->value[PG_METRIC_BYTES_SENT] += n + 2;
    c->bytes_sent += n + 2;
    if (first)
        mark_unsent(c);
    command(c, PG_COMMAND_WRITE);
    return true;
}

bool pg_conn_send_plain(struct pg_conn *c, struct pg_bytes text)
{
    bool first = c->link->tx.bytes == 0;
    if (!pg_queue_put(&c->link->tx, text))
        return false;
    if (first)
        mark_unsent(c);
    command(c, PG_COMMAND_WRITE);
    return true;
}

static void send_plain(void *context, struct pg_bytes text)
{
    (void)pg_conn_send_plain(context, text);
}

static void send_secured(void *context, struct pg_bytes text)
{
    (void)pg_conn_send(context, text, PG_NONE);
}

/* Negotiating security and muxer. */

static struct pg_bytes spoken_security(void *context, struct pg_bytes offer)
{
    (void)context;
    struct pg_bytes noise = PG_LIT(PG_PROTOCOL_NOISE);
    return pg_bytes_equal(offer, noise) ? noise : PG_NONE;
}

static struct pg_bytes spoken_muxer(void *context, struct pg_bytes offer)
{
    (void)context;
    struct pg_bytes yamux = PG_LIT(PG_PROTOCOL_YAMUX);
    return pg_bytes_equal(offer, yamux) ? yamux : PG_NONE;
}

static void end_negotiation(struct pg_conn *c)
{
    pg_negotiation_give(&c->transport->negotiations, &c->negotiation);
}

static void negotiate(struct pg_conn *c, struct pg_bytes protocol, void (*send)(void *, struct pg_bytes),
                      struct pg_bytes (*spoken)(void *, struct pg_bytes))
{
    end_negotiation(c);
    c->negotiation = pg_negotiation_take(&c->transport->negotiations, send, spoken, c);
    if (!c->negotiation) {
        pg_post(&c->upgrade.in, PG_UPGRADE_ON_NEGOTIATE_FAILED);
        return;
    }
    if (c->client)
        pg_negotiation_dial(c->negotiation, c->transport->scope, &c->upgrade.in, protocol);
    else
        pg_negotiation_listen(c->negotiation, c->transport->scope, &c->upgrade.in);
}

void pg_upgrade_do_security_negotiate(struct pg_upgrade *u)
{
    negotiate(conn_of(u), PG_LIT(PG_PROTOCOL_NOISE), send_plain, spoken_security);
}

void pg_upgrade_do_noise_begin(struct pg_upgrade *u)
{
    pg_conn_noise_begin(conn_of(u));
}

bool pg_upgrade_is_early_muxer(const struct pg_upgrade *u)
{
    return conn_of((struct pg_upgrade *)(uintptr_t)u)->early_muxer;
}

void pg_upgrade_do_muxer_negotiate(struct pg_upgrade *u)
{
    negotiate(conn_of(u), PG_LIT(PG_PROTOCOL_YAMUX), send_secured, spoken_muxer);
}

/* Arrival and end. */

static void note(struct pg_upgrade *u, enum pg_err why)
{
    if (!conn_of(u)->why)
        conn_of(u)->why = why;
}

void pg_upgrade_do_refusal_note(struct pg_upgrade *u)
{
    note(u, PG_ERR_PROTOCOL_UNSUPPORTED);
}

void pg_upgrade_do_nonsense_note(struct pg_upgrade *u)
{
    note(u, PG_ERR_NEGOTIATION_BAD);
}

void pg_upgrade_do_lateness_note(struct pg_upgrade *u)
{
    note(u, PG_ERR_TIMEOUT);
}

void pg_upgrade_do_session_begin(struct pg_upgrade *u)
{
    struct pg_conn *c = conn_of(u);
    pg_conn_noise_end(c);
    pg_yamux_begin(&c->yamux, c);
}

void pg_upgrade_do_arrival_tell(struct pg_upgrade *u)
{
    struct pg_conn *c = conn_of(u);
    c->transport->arrived(c->transport->above, c);
}

void pg_upgrade_do_streams_fail(struct pg_upgrade *u)
{
    struct pg_conn *c = conn_of(u);
    pg_yamux_end(&c->yamux, c->why ? c->why : PG_ERR_CLOSED);
}

void pg_upgrade_do_session_leave(struct pg_upgrade *u)
{
    pg_yamux_leave(&conn_of(u)->yamux);
}

void pg_upgrade_do_link_close(struct pg_upgrade *u)
{
    struct pg_conn *c = conn_of(u);
    /* An end that nobody answers would hold the pair of ports for minutes, and with it where others see our listening port. */
    bool silent = c->why == PG_ERR_TIMEOUT && c->yamux.begun;
    if (c->link)
        command(c, silent ? PG_COMMAND_RESET : PG_COMMAND_CLOSE);
}

void pg_upgrade_do_link_drop(struct pg_upgrade *u)
{
    pg_upgrade_do_link_close(u);
}

void pg_upgrade_do_loss_tell(struct pg_upgrade *u)
{
    struct pg_conn *c = conn_of(u);
    if (!c->why)
        c->why = PG_ERR_CLOSED;
    c->transport->lost(c->transport->above, c, c->why);
    /* Code further up the stack may still hold the connection: it goes when the turn is over. */
    if (c->link)
        c->link->owner = NULL;
    c->link = NULL;
    c->next_doomed = c->transport->doomed_conns;
    c->transport->doomed_conns = c;
}

static void conn_free(struct pg_conn *c)
{
    end_negotiation(c);
    pg_conn_noise_end(c);
    pg_yamux_free(&c->yamux);
    pg_instance_end(&c->upgrade.in);
    pg_noise_cipher_free(c->send);
    pg_noise_cipher_free(c->receive);
    pg_queue_clear(&c->rest);
    pg_pool_give(&c->transport->conns, c);
}

/* What the core calls. */

struct pg_conn *pg_conn_new(struct pg_transport *t, struct pg_link *link, bool dialer, const struct pg_peer_id *expected)
{
    struct pg_conn *c = pg_pool_take_zero(&t->conns);
    if (!c)
        return NULL;
    c->transport = t;
    c->link = link;
    c->dialer = c->client = dialer;
    c->number = link->number;
    c->body_most = link->carrier ? PG_YAMUX_BODY_CARRIED : PG_YAMUX_BODY;
    if (expected)
        c->expected = *expected;
    pg_queue_init(&c->rest, t->chunks);
    pg_instance_init(&c->upgrade.in, &pg_upgrade_machine, &pg_upgrade_binding, &c->upgrade, t->scope, c->upgrade.timers, NULL,
                     c->number);
    return c;
}

void pg_conn_linked(struct pg_conn *c, const struct pg_endpoint *remote, const struct pg_endpoint *local)
{
    c->remote = *remote;
    c->local = *local;
    c->link->credit = PG_READ_MAX;
    mark_unsent(c);
    command(c, PG_COMMAND_READ);
    pg_step(&c->upgrade.in, PG_UPGRADE_ON_LINK_UP);
}

void pg_conn_link_lost(struct pg_conn *c, enum pg_err why)
{
    if (!c->why)
        c->why = why;
    pg_step(&c->upgrade.in, PG_UPGRADE_ON_LINK_LOST);
}

void pg_conn_close(struct pg_conn *c, enum pg_err why)
{
    if (!c->why)
        c->why = why;
    /* May be called from deep inside a turn of this very connection. */
    pg_post(&c->upgrade.in, PG_UPGRADE_ON_CLOSE);
}

bool pg_conn_is_unasked(const struct pg_conn *c)
{
    return c->upgrade.in.ctl.state == PG_UPGRADE_CHOOSING && !c->client && pg_negotiation_is_silent(c->negotiation);
}

bool pg_conn_is_greeted(const struct pg_conn *c)
{
    return c->negotiation && pg_negotiation_is_greeted(c->negotiation);
}

void pg_conn_become_client(struct pg_conn *c)
{
    c->client = true;
    pg_negotiation_turn(c->negotiation, c->transport->scope, &c->upgrade.in, PG_LIT(PG_PROTOCOL_NOISE));
}

void pg_conn_written(struct pg_conn *c)
{
    if (c->link && c->bytes_sent >= c->unsent_mark + c->link->tx.bytes)
        mark_unsent(c); /* all that was unsent at the last mark has left */
    if (c->link && c->link->credit == 0 && c->link->tx.bytes <= PG_CONN_LOW) {
        c->link->credit = PG_READ_MAX;
        command(c, PG_COMMAND_READ);
    }
    if (pg_conn_is_up(c) && c->link->tx.bytes <= PG_CONN_LOW)
        pg_yamux_writable(&c->yamux);
}

/* One complete message of the secured part. */
static void take_message(struct pg_conn *c, uint8_t *text, size_t len)
{
    if (c->upgrade.in.ctl.state == PG_UPGRADE_SECURING) {
        pg_conn_noise_message(c, pg_bytes(text, len));
        return;
    }
    if (len < PG_NOISE_TAG || !pg_noise_decrypt(c->receive, text, len)) {
        pg_conn_close(c, PG_ERR_NOISE_BAD_MESSAGE);
        return;
    }
    struct pg_bytes plain = pg_bytes(text, len - PG_NOISE_TAG);
    if (c->upgrade.in.ctl.state == PG_UPGRADE_MUXING)
        pg_negotiation_feed(c->negotiation, &plain);
    if (pg_conn_is_up(c))
        pg_yamux_received(&c->yamux, plain);
}

static size_t take_messages(struct pg_conn *c, uint8_t *data, size_t len)
{
    size_t at = 0;
    while (len - at >= 2 && c->upgrade.in.ctl.state != PG_UPGRADE_ENDED) {
        size_t n = (size_t)data[at] << 8 | data[at + 1];
        if (len - at - 2 < n)
            break;
        take_message(c, data + at + 2, n);
        at += 2 + n;
    }
    return at;
}

void pg_conn_received(struct pg_conn *c, uint8_t *data, size_t len)
{
    bool begun = c->rest.bytes > 0;
    while (c->rest.bytes > 0) { /* at most one message, hence within the headroom */
        struct pg_bytes last;
        pg_queue_peek(&c->rest, &last, 1);
        data -= last.len;
        len += last.len;
        memcpy(data, last.at, last.len);
        pg_queue_clear(&c->rest);
    }
    if (c->upgrade.in.ctl.state == PG_UPGRADE_CHOOSING) {
        struct pg_bytes in = pg_bytes(data, len);
        pg_negotiation_feed(c->negotiation, &in);
        data += len - in.len;
        len = in.len;
    }
    if (c->upgrade.in.ctl.state > PG_UPGRADE_CHOOSING) {
        size_t used = take_messages(c, data, len);
        begun = begun && used == 0;
        data += used;
        len -= used;
    }
    if (!begun)
        c->rest_us = now_us(c);
    if (c->upgrade.in.ctl.state != PG_UPGRADE_ENDED && len > 0 && !pg_queue_put(&c->rest, pg_bytes(data, len)))
        pg_conn_close(c, PG_ERR_NO_MEMORY);
    if (c->negotiation && pg_conn_is_up(c))
        end_negotiation(c); /* not where it ended, for it was being fed there */
    if (c->link && c->link->tx.bytes > PG_CONN_DEAF)
        c->link->credit = 0;
}

/* The shared part. */

bool pg_transport_init(struct pg_transport *t, uint32_t max_conns, uint32_t max_streams)
{
    return pg_noise_static_new(&t->noise, t->identity) && pg_noise_payload_make(t) &&
           pg_circuits_init(t, max_conns) && pg_pool_init(&t->conns, sizeof(struct pg_conn), max_conns, 64) &&
           pg_pool_init(&t->streams, sizeof(struct pg_stream), max_streams, 256) &&
           pg_pool_init(&t->negotiations, sizeof(struct pg_negotiation), max_conns + max_streams, 64);
}

void pg_transport_reap(struct pg_transport *t)
{
    pg_yamux_reap(t);
    while (t->doomed_conns) {
        struct pg_conn *c = t->doomed_conns;
        t->doomed_conns = c->next_doomed;
        conn_free(c);
    }
    pg_yamux_reap(t);
}

void pg_transport_free(struct pg_transport *t)
{
    pg_transport_reap(t);
    pg_noise_static_free(&t->noise);
    pg_circuits_free(t);
    pg_pool_free(&t->conns);
    pg_pool_free(&t->streams);
    pg_pool_free(&t->negotiations);
}
