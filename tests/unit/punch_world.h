/* Two cores that are connected over a relay, and a network between them that does with SYNs what NATs do. Time is the test's, and
 * nothing happens by chance. Part of punch_test.c. That a link is relayed the world only says: to the core a circuit is a session's mark. */
#pragma once
#include "core/node_internal.h"
#include "core/punch.h"
#include "crypto_suite.h"
#include "dcutr.pb.gen.h"
#include "protocols.gen.h"
#include "transport/circuit.h"

enum { CALLER, CALLED, NODES }; /* the caller has opened the relayed connection; the called one asks to punch */
enum { RELAY_US = 20000, WAY_US = 10000, ENDS = 8192, FLIGHTS = 8192, PORT = 4001, SEEN = 20385 };

/* What a NAT lets in. OPEN: everybody; STRICT: where the inside has sent to; SHUT: nobody, silently; RESETS and ERRORS: nobody, and
 * says so by a RST or by ICMP. */
enum nat { OPEN, STRICT, SHUT, RESETS, ERRORS };

struct far_end {
    unsigned node;
    struct pg_link *link;   /* NULL: over */
    struct far_end *other;
    bool relayed, up, dials, accepted, end_asked, close_asked, end_sent;
    unsigned n_syns;        /* of this dial: an answer to an older one is answered by a RST */
    uint64_t busy_until_us; /* what left last arrives then */
};
struct flight {
    enum { BYTES, SYN, GREETING, END, RST, ICMP } kind;
    uint64_t at_us, number;
    struct far_end *to, *from;
    unsigned node;
    uint8_t *bytes;
    size_t n;
};
struct punch_node {
    struct pg_node *node;
    struct pg_core core;
    struct pg_identity *identity;
    struct pg_link *listener;
    struct pg_log log;
    enum nat nat;
    bool symmetric;           /* its SYNs come from a port that nobody has named */
    bool deaf_to_relay;       /* what comes over the relay is lost, for ever */
    uint64_t sent_us;         /* when its first SYN to the other one left; 0: none has */
    uint64_t dialled_us;      /* when it was last told to dial */
    unsigned n_dials, n_again, n_elsewhere; /* elsewhere: to whom nobody is */
    struct pg_session *direct;
    unsigned n_direct, n_succeeded, n_failed;
    char reason[160];
};

static struct punch_node nodes[NODES];
static bool crossing; /* SYNs pass each other and are taken by listeners, as between other pairs of addresses */
static struct far_end *ends[ENDS];
static unsigned n_ends;
static struct flight flights[FLIGHTS];
static unsigned n_flights;
static uint64_t now_us, flight_number, relay_way_us, way_us;
static uint64_t late_us; /* the first answer to a SYN comes so much later */
static uint64_t lost_us; /* the first bytes of whoever dials directly are lost, and come so much later */
static struct pg_circuit fake_circuit; /* of whoever is relayed: only said, for its link is one of the world's */

static struct pg_endpoint inside(unsigned i)
{
    return (struct pg_endpoint){.family = 4, .ip = {10, 0, (uint8_t)(i + 1), 2}, .port = PORT};
}

static struct pg_endpoint outside(unsigned i)
{
    return (struct pg_endpoint){.family = 4, .ip = {192, 31, 196, (uint8_t)(i + 1)}, .port = SEEN};
}

static struct pg_endpoint strange(unsigned i)
{
    struct pg_endpoint e = outside(i);
    e.port = 39999;
    return e;
}

static void input(unsigned i, struct pg_input in)
{
    nodes[i].core.input(nodes[i].core.self, &in, now_us);
}

static struct far_end *end_new(unsigned i, struct pg_link *link)
{
    struct far_end *e = calloc(1, sizeof *e);
    if (!e || n_ends == ENDS)
        abort();
    *e = (struct far_end){.node = i, .link = link};
    link->os = e;
    return ends[n_ends++] = e;
}

static void end_dies(struct far_end *e)
{
    struct pg_link *link = e->link;
    if (!link)
        return;
    e->link = NULL;
    link->os = NULL;
    nodes[e->node].core.unlink(nodes[e->node].core.self, link);
}

static void lose(struct far_end *e, enum pg_err why, const char *reason)
{
    if (e->link && !e->link->closing)
        input(e->node, (struct pg_input){.kind = PG_INPUT_LOST, .link = e->link, .error = (int)why, .reason = pg_text(reason)});
    end_dies(e);
}

static void send(struct flight f, uint64_t after_us)
{
    if (n_flights == FLIGHTS)
        abort();
    f.at_us = now_us + after_us;
    f.number = flight_number++;
    flights[n_flights++] = f;
}

/* The session of a link that has just come to be. */
static struct pg_session *session_of(struct far_end *e)
{
    return e->link && e->link->owner ? HOST_OF(pg_session, owner, e->link->owner) : NULL;
}

static struct far_end *accept_at(unsigned i, const struct pg_endpoint *from)
{
    struct pg_link *fresh = nodes[i].core.link(nodes[i].core.self);
    struct far_end *e = fresh ? end_new(i, fresh) : NULL;
    if (!e)
        abort();
    e->up = e->accepted = true;
    input(i, (struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = nodes[i].listener, .fresh = fresh, .remote = *from, .local = inside(i)});
    return e;
}

static void connected(struct far_end *e)
{
    struct pg_endpoint there = outside(!e->node);
    if (!e->link || e->up)
        return;
    e->up = true;
    e->dials = false;
    if (!e->link->closing)
        input(e->node, (struct pg_input){.kind = PG_INPUT_CONNECTED, .link = e->link, .remote = there, .local = inside(e->node)});
}

/* Over the relay: there at once, and marked on both sides before anybody speaks. */
static void join_relayed(struct far_end *e)
{
    struct pg_endpoint relay = {.family = 4, .ip = {192, 52, 193, 1}, .port = 1};
    struct far_end *there = accept_at(!e->node, &relay);
    e->other = there;
    there->other = e;
    e->relayed = there->relayed = true;
    session_of(e)->relayed = session_of(there)->relayed = true;
    session_of(e)->circuit = session_of(there)->circuit = &fake_circuit;
    connected(e);
}

static struct far_end *dialling(unsigned i)
{
    for (unsigned k = 0; k < n_ends; k++)
        if (ends[k]->node == i && ends[k]->link && ends[k]->dials)
            return ends[k];
    return NULL;
}

/* The answer to a SYN, of whoever is at `there` now. */
static void greet(struct far_end *from, struct far_end *there)
{
    send((struct flight){.kind = GREETING, .to = from, .from = there, .n = from->n_syns}, way_us + late_us);
    late_us = 0;
}

static void greeting_arrives(struct flight f)
{
    struct far_end *e = f.to;
    if (!e->link)
        return;
    if (f.n == e->n_syns)
        connected(e);
    else if (!e->up)
        send((struct flight){.kind = RST, .to = f.from}, way_us);
}

/* The end that has met or taken this one before: another SYN is no part of that connection, and as both sides find out it ends. */
static struct far_end *met(unsigned i, struct far_end *from)
{
    for (unsigned k = 0; k < n_ends; k++)
        if (ends[k]->node == i && ends[k]->link && ends[k]->up && !ends[k]->relayed && ends[k]->other == from)
            return ends[k];
    return NULL;
}

/* A SYN of `from` is at the NAT of the node. */
static void syn_arrives(unsigned i, struct far_end *from)
{
    struct punch_node *n = &nodes[i];
    unsigned sender = !i;
    bool strange_port = nodes[sender].symmetric;
    struct far_end *own = strange_port || n->symmetric || crossing ? NULL : dialling(i);
    if (n->nat == RESETS || n->nat == ERRORS) {
        send((struct flight){.kind = n->nat == RESETS ? RST : ICMP, .to = from}, way_us);
        return;
    }
    if (n->nat == SHUT || (n->nat == STRICT && (!n->sent_us || strange_port)) || n->symmetric)
        return;
    if (own) { /* simultaneous open: one connection, nobody accepts it */
        own->other = from;
        from->other = own;
        connected(own);
        greet(from, own);
        return;
    }
    if (!from->link)
        return;
    if (met(i, from)) {
        send((struct flight){.kind = RST, .to = met(i, from)}, 2 * way_us);
        return;
    }
    struct pg_endpoint at = strange_port ? strange(sender) : outside(sender);
    struct far_end *there = accept_at(i, &at);
    there->other = from;
    from->other = there;
    greet(from, there);
}

static void dial(unsigned i, const struct pg_command *c)
{
    struct punch_node *n = &nodes[i];
    struct pg_endpoint there = outside(!i);
    struct far_end *e = c->link->os ? c->link->os : end_new(i, c->link);
    if (!c->meets) { /* what AutoNAT tries is not answered */
        if (c->endpoint.port == 1)
            join_relayed(e);
        return;
    }
    if (e->dials)
        n->n_again++;
    else
        n->n_dials++;
    e->dials = true;
    e->n_syns++;
    n->dialled_us = now_us;
    CU_ASSERT_EQUAL(c->from.port, PORT);
    if (!pg_endpoint_equal(&c->endpoint, &there)) {
        n->n_elsewhere++;
        return;
    }
    if (!n->sent_us)
        n->sent_us = now_us;
    send((struct flight){.kind = SYN, .from = e, .node = !i}, way_us);
}

static void run_command(unsigned i, const struct pg_command *c)
{
    struct far_end *e = c->link ? c->link->os : NULL;
    switch (c->kind) {
    case PG_COMMAND_LISTEN:
        nodes[i].listener = c->link;
        input(i, (struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = inside(i)});
        return;
    case PG_COMMAND_DIAL: dial(i, c); return;
    case PG_COMMAND_END:
        if (e)
            e->end_asked = true;
        return;
    case PG_COMMAND_CLOSE:
        if (e)
            e->end_asked = e->close_asked = true;
        return;
    case PG_COMMAND_RESET:
        if (e && e->other && e->up)
            send((struct flight){.kind = RST, .to = e->other}, way_us);
        if (e)
            end_dies(e);
        return;
    case PG_COMMAND_WRITE:
    case PG_COMMAND_READ:
    case PG_COMMAND_RESOLVE:
    case PG_COMMAND_BIND:
    case PG_COMMAND_SEND:
    case PG_COMMAND_UNBIND:
    case PG_COMMAND_FORGET:
    case PG_COMMAND_READY:
    case PG_COMMAND_REPORT:
    case PG_COMMAND_STOP: return;
    }
}

static bool run_commands(void)
{
    struct pg_command c;
    bool any = false;
    for (unsigned i = 0; i < NODES; i++)
        while (nodes[i].node && nodes[i].core.poll(nodes[i].core.self, &c)) {
            run_command(i, &c);
            any = true;
        }
    return any;
}

/* How long what leaves now is under way: nothing overtakes what left before. */
static uint64_t way_of(struct far_end *e)
{
    uint64_t us = e->relayed ? relay_way_us : way_us;
    if (!e->relayed && !e->accepted && e->busy_until_us == 0)
        us += lost_us;
    if (now_us + us < e->busy_until_us)
        us = e->busy_until_us - now_us;
    e->busy_until_us = now_us + us;
    return us;
}

/* What an end has written leaves at once and in order. */
static bool carry(struct far_end *e)
{
    struct pg_bytes slice;
    bool moved = false;
    if (!e->link || !e->up)
        return e->link && e->close_asked ? end_dies(e), true : false;
    while (pg_queue_peek(&e->link->tx, &slice, 1)) {
        uint8_t *copy = exact_copy(slice.at, slice.len);
        send((struct flight){.kind = BYTES, .to = e->other, .bytes = copy, .n = slice.len}, way_of(e));
        pg_queue_drop(&e->link->tx, slice.len);
        moved = true;
    }
    if (moved && !e->link->closing)
        input(e->node, (struct pg_input){.kind = PG_INPUT_WRITTEN, .link = e->link});
    if (e->link && e->end_asked && !e->end_sent) {
        e->end_sent = moved = true;
        send((struct flight){.kind = END, .to = e->other}, way_of(e));
    }
    if (e->link && e->close_asked) {
        end_dies(e);
        moved = true;
    }
    return moved;
}

static void settle(void)
{
    for (bool moved = true; moved;) {
        moved = run_commands();
        for (unsigned k = 0; k < n_ends; k++) {
            moved |= carry(ends[k]);
            moved |= run_commands();
        }
    }
}

static void arrive(struct flight f)
{
    struct far_end *e = f.to;
    bool heard = e && e->link && !e->link->closing;
    switch (f.kind) {
    case SYN: syn_arrives(f.node, f.from); break;
    case GREETING: greeting_arrives(f); break;
    case ICMP: lose(e, PG_ERR_UNREACHABLE, "No route to host"); break;
    case RST: lose(e, e->up ? PG_ERR_CLOSED : PG_ERR_REFUSED, "connection refused"); break;
    case END:
        if (heard && e->up)
            input(e->node, (struct pg_input){.kind = PG_INPUT_ENDED, .link = e->link});
        break;
    case BYTES:
        if (heard && !(e->relayed && nodes[e->node].deaf_to_relay)) {
            uint8_t *block = malloc(PG_READ_HEADROOM + f.n);
            if (!block)
                abort();
            memcpy(block + PG_READ_HEADROOM, f.bytes, f.n);
            input(e->node, (struct pg_input){.kind = PG_INPUT_RECEIVED, .link = e->link, .data = block + PG_READ_HEADROOM, .len = f.n});
            free(block);
        }
        free(f.bytes);
        break;
    }
}

static uint64_t next_deadline(void)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t at = nodes[i].node ? nodes[i].core.deadline(nodes[i].core.self) : UINT64_MAX;
        next = at < next ? at : next;
    }
    return next;
}

/* The first to arrive; of equal ones the first that left. */
static unsigned first_flight(void)
{
    unsigned first = 0;
    for (unsigned k = 1; k < n_flights; k++)
        if (flights[k].at_us < flights[first].at_us || (flights[k].at_us == flights[first].at_us && flights[k].number < flights[first].number))
            first = k;
    return first;
}

static void pass(uint64_t us)
{
    uint64_t until = now_us + us;
    settle();
    for (;;) {
        uint64_t due = next_deadline();
        unsigned k = n_flights ? first_flight() : 0;
        uint64_t next = n_flights && flights[k].at_us <= due ? flights[k].at_us : due;
        if (next > until)
            break;
        now_us = next > now_us ? next : now_us;
        if (n_flights && flights[k].at_us <= due) {
            struct flight f = flights[k];
            flights[k] = flights[--n_flights];
            arrive(f);
        } else {
            for (unsigned i = 0; i < NODES; i++)
                if (nodes[i].node)
                    input(i, (struct pg_input){.kind = PG_INPUT_TICK});
        }
        settle();
    }
    now_us = until;
}

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    struct punch_node *n = context;
    n->n_succeeded += id == PG_LOG_HOLE_PUNCH_SUCCEEDED;
    n->n_failed += id == PG_LOG_HOLE_PUNCH_FAILED;
    if (id == PG_LOG_HOLE_PUNCH_FAILED)
        pg_bytes_text(n->reason, sizeof n->reason, text);
    if (getenv("SHOW"))
        fprintf(stderr, "%9.3f %ld %.*s\n", (double)now_us / 1000, (long)(n - nodes), (int)text.len, (const char *)text.at);
}

static void peer_up(void *context, struct pg_session *s)
{
    struct punch_node *n = context;
    if (pg_session_is_relayed(s))
        return;
    n->direct = s;
    n->n_direct++;
}

static void peer_lost(void *context, struct pg_session *s)
{
    struct punch_node *n = context;
    if (n->direct == s)
        n->direct = NULL;
    s->circuit = NULL;
}

static const uint8_t sessions[16]; /* of those who observe, by number */

/* Some relay has told the node where it is seen. */
static void observe(unsigned i, struct pg_endpoint seen, uint8_t observer)
{
    struct pg_observation word = {.session = &sessions[observer], .peer = {.len = 1, .at = {observer}},
                                  .from = {.family = 4, .ip = {192, observer, 1, 1}, .port = 1}, .seen = seen, .port = PORT, .dialled = true};
    CU_ASSERT_FATAL(pg_observed_take(&nodes[i].node->observed, &word));
    pg_node_addrs_changed(nodes[i].node);
    input(i, (struct pg_input){.kind = PG_INPUT_TICK});
    settle();
}

/* That relay has gone. */
static inline void forget(unsigned i, uint8_t observer)
{
    CU_ASSERT_FATAL(pg_observed_forget(&nodes[i].node->observed, &sessions[observer]));
    pg_node_addrs_changed(nodes[i].node);
}

static enum pg_path_mode path = PG_PATH_RELAY; /* nothing begins by itself */

static void world_open(void)
{
    memset(nodes, 0, sizeof nodes);
    n_ends = n_flights = 0;
    now_us = 1000000;
    relay_way_us = RELAY_US;
    way_us = WAY_US;
    lost_us = late_us = 0;
    for (unsigned i = 0; i < NODES; i++) {
        struct punch_node *n = &nodes[i];
        struct pg_node_config c;
        n->identity = pg_identity_from_seed((const uint8_t[32]){(uint8_t)(i + 1)});
        n->log = (struct pg_log){.sink = log_line, .context = n};
        pg_node_config_default(&c);
        c.identity = n->identity;
        c.seed = i + 7;
        c.path = path;
        c.log = &n->log;
        struct pg_endpoint at = inside(i);
        pg_multiaddr_from_tcp(&c.listens[c.n_listens++], &at);
        n->node = pg_node_new(&c, &(struct pg_node_hooks){.context = n, .peer_up = peer_up, .peer_lost = peer_lost});
        if (!n->node)
            abort();
        n->core = pg_node_core(n->node);
        input(i, (struct pg_input){.kind = PG_INPUT_START});
        settle();
    }
}

static const struct pg_peer_id *id_of(unsigned i)
{
    return pg_identity_peer_id(nodes[i].identity);
}

/* The relayed connection: the caller has opened it. */
static void call(void)
{
    struct pg_contact *c = pg_node_contact(nodes[CALLER].node, id_of(CALLED));
    struct pg_endpoint relay = {.family = 4, .ip = {192, 52, 193, 1}, .port = 1};
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, &relay);
    (void)pg_contact_add(c, &addr);
    pg_contact_start(c, false, false);
    pass(500000);
}

static struct pg_session *relayed(unsigned i)
{
    for (struct pg_session *s = nodes[i].node->sessions; s; s = s->next)
        if (pg_session_is_relayed(s))
            return s;
    return NULL;
}

static void begin(void)
{
    struct pg_session *s = relayed(CALLED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    input(CALLED, (struct pg_input){.kind = PG_INPUT_TICK}); /* that it knows the time */
    pg_punch_begin(s);
    settle();
}

/* Open, seen by one observer each, connected over a relay. */
static void world_with(enum nat caller, enum nat called)
{
    world_open();
    nodes[CALLER].nat = caller;
    nodes[CALLED].nat = called;
    observe(CALLER, outside(CALLER), 1);
    observe(CALLED, outside(CALLED), 2);
    call();
}

static void world_close(void)
{
    for (unsigned i = 0; i < NODES; i++)
        for (struct pg_session *s = nodes[i].node->sessions; s; s = s->next) {
            s->circuit = NULL;
            s->relayed = false;
        }
    for (unsigned i = 0; i < NODES; i++) {
        pg_node_free(nodes[i].node);
        nodes[i].node = NULL;
        pg_identity_free(nodes[i].identity);
    }
    for (unsigned k = 0; k < n_flights; k++)
        free(flights[k].kind == BYTES ? flights[k].bytes : NULL);
    for (unsigned k = 0; k < n_ends; k++)
        free(ends[k]);
}
