/* Facts and actions of negotiate_dial and negotiate_listen, and how lines become their events.
 * Used by conn.c (security, muxer) and yamux_stream.c (protocols).
 * Source: libp2p/specs connections/README.md, "multistream-select". */
#include "transport/negotiate.h"

#include "negotiate_dial.gen.h"
#include "negotiate_listen.gen.h"
#include "protocols.gen.h"
#include "wire/cursor.h"

#include <assert.h>

#define HEADER PG_LIT(PG_PROTOCOL_MULTISTREAM)

/* Both machines step the same struct; the names are what the generator asks for. */
struct pg_negotiate_dial {
    struct pg_negotiation n;
};
struct pg_negotiate_listen {
    struct pg_negotiation n;
};

static void send_line(struct pg_negotiation *n, struct pg_bytes text)
{
    uint8_t line[PG_MSS_ROOM];
    struct pg_writer w = pg_writer(line, sizeof line);
    pg_mss_put(&w, text);
    assert(!w.failed && "a protocol id of ours is too long");
    n->send(n->context, pg_written(&w));
}

void pg_negotiate_dial_do_proposal_send(struct pg_negotiate_dial *self)
{
    uint8_t both[2 * PG_MSS_ROOM];
    struct pg_writer w = pg_writer(both, sizeof both);
    if (!self->n.greeted)
        pg_mss_put(&w, HEADER);
    pg_mss_put(&w, self->n.protocol);
    assert(!w.failed && "a protocol id of ours is too long");
    self->n.send(self->n.context, pg_written(&w));
}

void pg_negotiate_listen_do_header_send(struct pg_negotiate_listen *self)
{
    send_line(&self->n, HEADER);
}

void pg_negotiate_listen_do_offer_echo(struct pg_negotiate_listen *self)
{
    self->n.protocol = self->n.spoken(self->n.context, self->n.line);
    send_line(&self->n, self->n.protocol);
}

void pg_negotiate_listen_do_refusal_send(struct pg_negotiate_listen *self)
{
    send_line(&self->n, PG_LIT("na"));
}

bool pg_negotiate_listen_is_spoken(const struct pg_negotiate_listen *self)
{
    return self->n.spoken(self->n.context, self->n.line).len > 0;
}

struct pg_negotiation *pg_negotiation_take(struct pg_pool *pool, void (*send)(void *context, struct pg_bytes),
                                           struct pg_bytes (*spoken)(void *context, struct pg_bytes offer), void *context)
{
    struct pg_negotiation *n = pg_pool_take(pool);
    if (!n)
        return NULL;
    n->send = send;
    n->spoken = spoken;
    n->context = context;
    n->greeted = false;
    return n;
}

void pg_negotiation_give(struct pg_pool *pool, struct pg_negotiation **negotiation)
{
    if (!*negotiation)
        return;
    pg_instance_end(&(*negotiation)->in);
    pg_pool_give(pool, *negotiation);
    *negotiation = NULL;
}

static void begin(struct pg_negotiation *n, const struct pg_machine *machine, const struct pg_binding *binding,
                  struct pg_scope *scope, struct pg_instance *owner)
{
    pg_mss_init(&n->lines);
    pg_instance_init(&n->in, machine, binding, n, scope, NULL, owner, owner->key);
}

void pg_negotiation_dial(struct pg_negotiation *n, struct pg_scope *scope, struct pg_instance *owner, struct pg_bytes protocol)
{
    n->protocol = protocol;
    begin(n, &pg_negotiate_dial_machine, &pg_negotiate_dial_binding, scope, owner);
    pg_step(&n->in, PG_NEGOTIATE_DIAL_ON_START);
}

void pg_negotiation_listen(struct pg_negotiation *n, struct pg_scope *scope, struct pg_instance *owner)
{
    begin(n, &pg_negotiate_listen_machine, &pg_negotiate_listen_binding, scope, owner);
}

bool pg_negotiation_is_silent(const struct pg_negotiation *n)
{
    return n->in.machine == &pg_negotiate_listen_machine && pg_mss_idle(&n->lines) && n->in.ctl.count[0] == 0 &&
           (n->in.ctl.state == PG_NEGOTIATE_LISTEN_WAITING || n->in.ctl.state == PG_NEGOTIATE_LISTEN_GREETED);
}

bool pg_negotiation_is_greeted(const struct pg_negotiation *n)
{
    return n->in.machine == &pg_negotiate_listen_machine && n->in.ctl.state == PG_NEGOTIATE_LISTEN_GREETED;
}

void pg_negotiation_turn(struct pg_negotiation *n, struct pg_scope *scope, struct pg_instance *owner, struct pg_bytes protocol)
{
    n->greeted = pg_negotiation_is_greeted(n);
    pg_instance_end(&n->in);
    pg_negotiation_dial(n, scope, owner, protocol);
    if (n->greeted) /* their header has come, and ours has gone */
        pg_step(&n->in, PG_NEGOTIATE_DIAL_ON_LINE_HEADER);
}

bool pg_negotiation_done(const struct pg_negotiation *n)
{
    return (n->in.machine->final >> n->in.ctl.state) & 1;
}

static unsigned dial_event(const struct pg_negotiation *n, enum pg_mss_result result)
{
    if (result == PG_MSS_BAD)
        return PG_NEGOTIATE_DIAL_ON_LINE_OTHER;
    if (pg_bytes_equal(n->line, HEADER))
        return PG_NEGOTIATE_DIAL_ON_LINE_HEADER;
    if (pg_bytes_equal(n->line, n->protocol))
        return PG_NEGOTIATE_DIAL_ON_LINE_ECHO;
    if (pg_bytes_equal(n->line, PG_LIT("na")))
        return PG_NEGOTIATE_DIAL_ON_LINE_NA;
    return PG_NEGOTIATE_DIAL_ON_LINE_OTHER;
}

static unsigned listen_event(const struct pg_negotiation *n, enum pg_mss_result result)
{
    if (result == PG_MSS_BAD)
        return PG_NEGOTIATE_LISTEN_ON_LINE_BAD;
    if (pg_bytes_equal(n->line, HEADER))
        return PG_NEGOTIATE_LISTEN_ON_LINE_HEADER;
    if (pg_bytes_equal(n->line, PG_LIT("ls")))
        return PG_NEGOTIATE_LISTEN_ON_LINE_LIST;
    return PG_NEGOTIATE_LISTEN_ON_LINE_OFFER;
}

void pg_negotiation_feed(struct pg_negotiation *n, struct pg_bytes *in)
{
    while (!pg_negotiation_done(n)) {
        enum pg_mss_result result = pg_mss_feed(&n->lines, in, &n->line);
        if (result == PG_MSS_MORE)
            return;
        bool dial = n->in.machine == &pg_negotiate_dial_machine;
        pg_step(&n->in, dial ? dial_event(n, result) : listen_event(n, result));
    }
}
