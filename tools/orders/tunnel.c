/* Two real peers with a tunnel between them, over links in memory that the explorer carries piece by piece: who offers,
 * who makes it local, clients that come and go, a service, a wire that may be lost, dials that may fail, time that passes.
 * Explored by explore.c through runtime/port.h, as a loop would. Serves design section 7, point 4; facts and actions of
 * src/service and src/core/contact.c. */
#include "orders.h"
#include "core/node_internal.h"
#include "service/peer.h"
#include "service/tunnel.h"
#include <stdlib.h>
#include <string.h>

enum core { USER, OFFERER, CORES };
enum kind { LISTENER, WIRE, CLIENT, SERVICE };
#define ENDS 64u
#define WAIT_MS 4000u

struct end {
    struct pg_link *link; /* NULL: the core is done with it, or the world is */
    struct end *other;    /* of a wire */
    enum core core;
    enum kind kind;
    bool up, end_asked, end_told, close_asked, spoke;
    uint64_t came_us;
};

static struct world {
    struct pg_core cores[CORES];
    struct pg_peer *peers[CORES];
    struct end ends[ENDS];
    unsigned n_ends, n_clients;
    struct pg_link *listeners[CORES], *local;
    bool stopped[CORES], over[CORES];
    uint64_t now_us, up_us; /* up_us: since when the user's contact has had its last connection */
    bool brief;             /* the one before was lost within five seconds, as one is that its peer has no room for */
    unsigned n_told; /* log lines */
    bool ending; /* peers are being freed */
    /* before the action that runs */
    struct {
        unsigned n_told, n_commands, handshakes;
        uint32_t backoff_ms;
        size_t unsent;
        const struct pg_stream *stream;
        const struct pg_link *local;
    } before;
} w;
static struct pg_identity *keys[CORES];
static const struct pg_endpoint here = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};

enum choice { CLIENT_COMES, CLIENT_SPEAKS, CLIENT_ENDS, CLIENT_LOST, CARRY_TO_OFFERER, CARRY_TO_USER, WIRE_LOST, DIAL_REFUSED, SERVICE_UP,
              SERVICE_FAILS, SERVICE_SPEAKS, SERVICE_ENDS, SERVICE_LOST, TIMER, STOP_USER, STOP_OFFERER, CHOICES };
static const char *const names[CHOICES] = {
    "a client comes", "the client sends", "the client ends", "the client is lost", "bytes come to who offers", "bytes come to who uses",
    "the wire is lost", "a dial is refused, or connected when nothing stands", "the service answers", "the service cannot be reached",
    "the service sends", "the service ends", "the service is lost", "the next timer fires", "who uses stops", "who offers stops"};

static struct pg_tunnels *tunnels(enum core core)
{
    return (struct pg_tunnels *)(void *)w.peers[core]; /* its first member */
}

static struct pg_node *node(enum core core)
{
    return pg_peer_node(w.peers[core]);
}

static void drain(void);

static void input(enum core core, struct pg_input in)
{
    w.cores[core].input(w.cores[core].self, &in, w.now_us);
}

static struct end *end_new(enum core core, struct pg_link *link, enum kind kind)
{
    if (w.n_ends == ENDS || !link)
        abort();
    struct end *e = &w.ends[w.n_ends++];
    *e = (struct end){.link = link, .core = core, .kind = kind, .came_us = w.now_us};
    link->os = e;
    return e;
}

static void dies(struct end *e)
{
    struct pg_link *link = e->link;
    e->link = NULL;
    link->os = NULL;
    w.cores[e->core].unlink(w.cores[e->core].self, link);
    if (e->other)
        e->other->other = NULL;
}

static void lose(struct end *e)
{
    if (!e->link->closing)
        input(e->core, (struct pg_input){.kind = PG_INPUT_LOST, .link = e->link, .error = PG_ERR_CLOSED, .reason = PG_LIT("lost")});
    dies(e);
}

static bool joined(const struct end *e)
{
    for (const struct pg_tunnel_consumer *t = tunnels(USER)->consumer_list; t; t = t->next)
        if (t->pipe.local == e->link)
            return t->pipe.begun;
    return false;
}

static void run_command(enum core core, const struct pg_command *c)
{
    struct end *e = c->link ? c->link->os : NULL;
    switch (c->kind) {
    case PG_COMMAND_LISTEN: {
        struct pg_endpoint at = here;
        (void)end_new(core, c->link, LISTENER);
        *(c->mode == PG_LISTEN_PEER ? &w.listeners[core] : &w.local) = c->link;
        at.port = c->mode == PG_LISTEN_PEER ? (uint16_t)(4001 + (core == USER)) : 9000;
        input(core, (struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = at});
        return;
    }
    case PG_COMMAND_DIAL: (void)end_new(core, c->link, c->mode == PG_DIAL_LOCAL ? SERVICE : WIRE); return;
    case PG_COMMAND_END:
        if (e)
            e->end_asked = true;
        return;
    case PG_COMMAND_CLOSE:
        if (e && e->kind == CLIENT && e->link)
            ORDERS_HOLDS(e->spoke || w.stopped[USER], "a client that was never joined is closed, not reset");
        if (e)
            e->end_asked = e->close_asked = true;
        return;
    case PG_COMMAND_RESET:
        if (e) {
            struct end *other = e->other;
            dies(e);
            if (other && other->link)
                lose(other);
        }
        return;
    case PG_COMMAND_STOP: w.over[core] = true; return;
    case PG_COMMAND_WRITE:
    case PG_COMMAND_READ:
    case PG_COMMAND_READY:
    case PG_COMMAND_REPORT:
    case PG_COMMAND_RESOLVE: /* no address here begins with a name */
    case PG_COMMAND_BIND:
    case PG_COMMAND_SEND:
    case PG_COMMAND_UNBIND:
    case PG_COMMAND_FORGET: return;
    }
}

/* Local sockets take everything at once; what is to end, ends. */
static bool settle_end(struct end *e)
{
    if (!e->link || e->kind == LISTENER)
        return false;
    if (e->kind != WIRE && e->link->tx.bytes > 0 && e->up) {
        pg_queue_drop(&e->link->tx, e->link->tx.bytes);
        if (!e->link->closing)
            input(e->core, (struct pg_input){.kind = PG_INPUT_WRITTEN, .link = e->link});
        return true;
    }
    bool written = e->link->tx.bytes == 0 || (e->kind == WIRE && !e->other);
    if (e->close_asked && (written || !e->up)) {
        struct end *other = e->other;
        dies(e);
        if (other && other->link)
            lose(other);
        return true;
    }
    return false;
}

static void drain(void)
{
    struct pg_command c;
    for (bool moved = true; moved && !orders_failed();) {
        moved = false;
        for (enum core core = USER; core < CORES; core++)
            while (w.cores[core].poll(w.cores[core].self, &c)) {
                run_command(core, &c);
                moved = true;
            }
        for (unsigned n = 0; n < w.n_ends; n++) {
            struct end *e = &w.ends[n];
            if (e->kind == CLIENT && e->link && joined(e))
                e->spoke = true;
            moved = settle_end(e) || moved;
        }
    }
    unsigned left = 0;
    for (unsigned n = 0; n < w.n_ends; n++) {
        if (!w.ends[n].link)
            continue;
        struct end *to = &w.ends[left++];
        if (to == &w.ends[n])
            continue;
        *to = w.ends[n];
        to->link->os = to;
        if (to->other)
            to->other->other = to;
    }
    w.n_ends = left;
}

static void receive(struct end *e, size_t n, const uint8_t *bytes)
{
    uint8_t *block = malloc(PG_READ_HEADROOM + n);
    if (!block)
        abort();
    memcpy(block + PG_READ_HEADROOM, bytes, n);
    input(e->core, (struct pg_input){.kind = PG_INPUT_RECEIVED, .link = e->link, .data = block + PG_READ_HEADROOM, .len = n});
    free(block);
}

static void carry(struct end *e)
{
    static uint8_t block[1 << 20];
    struct pg_bytes slice;
    size_t n = 0;
    while (n < sizeof block && pg_queue_peek(&e->link->tx, &slice, 1)) {
        slice = pg_bytes_head(slice, sizeof block - n);
        memcpy(block + n, slice.at, slice.len);
        n += slice.len;
        pg_queue_drop(&e->link->tx, slice.len);
    }
    struct end *to = e->other;
    if (!e->link->closing)
        input(e->core, (struct pg_input){.kind = PG_INPUT_WRITTEN, .link = e->link});
    if (to && to->link && !to->link->closing)
        receive(to, n, block);
}

/* A loop watches only links with credit, and asks once more before it reads. */
static bool reads(const struct end *e)
{
    return e->link->credit > 0 && w.cores[e->core].want(w.cores[e->core].self, e->link) > 0;
}

/* The first end of a kind that this may happen to. */
static struct end *who(enum choice choice)
{
    for (unsigned n = 0; n < w.n_ends; n++) {
        struct end *e = &w.ends[n];
        bool open = e->link && !e->link->closing;
        bool speaks = open && e->up && !e->end_told;
        bool carries = e->kind == WIRE && e->link && e->other && e->link->tx.bytes > 0;
        bool fits = (choice == CLIENT_SPEAKS || choice == SERVICE_SPEAKS)   ? speaks && reads(e)
                    : (choice == CLIENT_ENDS || choice == SERVICE_ENDS)     ? speaks && reads(e)
                    : (choice == CLIENT_LOST || choice == SERVICE_LOST)     ? open && e->up
                    : (choice == SERVICE_UP || choice == SERVICE_FAILS)     ? open && !e->up
                    : choice == CARRY_TO_OFFERER                            ? carries && e->core == USER
                    : choice == CARRY_TO_USER                               ? carries && e->core == OFFERER
                    : choice == WIRE_LOST                                   ? open && e->up
                                                                            : open && !e->up;
        enum kind kind = choice <= CLIENT_LOST ? CLIENT : choice <= DIAL_REFUSED ? WIRE : SERVICE;
        if (fits && e->kind == kind)
            return e;
    }
    return NULL;
}

static bool possible(unsigned choice)
{
    switch ((enum choice)choice) {
    case CLIENT_COMES: return w.n_clients < 2 && w.local && !w.local->closing;
    case TIMER: return true;
    case STOP_USER: return !w.stopped[USER];
    case STOP_OFFERER: return !w.stopped[OFFERER];
    case CLIENT_SPEAKS:
    case CLIENT_ENDS:
    case CLIENT_LOST:
    case CARRY_TO_OFFERER:
    case CARRY_TO_USER:
    case WIRE_LOST:
    case DIAL_REFUSED:
    case SERVICE_UP:
    case SERVICE_FAILS:
    case SERVICE_SPEAKS:
    case SERVICE_ENDS:
    case SERVICE_LOST: return who((enum choice)choice) != NULL;
    case CHOICES: break;
    }
    return false;
}

static void connect_wire(struct end *e)
{
    struct pg_link *listener = w.listeners[OFFERER];
    struct pg_link *fresh = listener && !listener->closing ? w.cores[OFFERER].link(w.cores[OFFERER].self) : NULL;
    if (!fresh) {
        lose(e);
        return;
    }
    struct end *there = end_new(OFFERER, fresh, WIRE);
    e->other = there, there->other = e;
    e->up = there->up = true;
    input(OFFERER, (struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = listener, .fresh = fresh, .remote = here, .local = here});
    input(USER, (struct pg_input){.kind = PG_INPUT_CONNECTED, .link = e->link, .remote = here, .local = here});
}

static void tick(void)
{
    uint64_t a = w.cores[USER].deadline(w.cores[USER].self), b = w.cores[OFFERER].deadline(w.cores[OFFERER].self);
    uint64_t due = a < b ? a : b;
    w.now_us = due != UINT64_MAX && due > w.now_us ? due : w.now_us;
    for (enum core core = USER; core < CORES; core++)
        input(core, (struct pg_input){.kind = PG_INPUT_TICK});
}

static void stop(enum core core)
{
    w.stopped[core] = true;
    input(core, (struct pg_input){.kind = PG_INPUT_STOP});
}

static void apply(unsigned number)
{
    enum choice choice = (enum choice)number;
    struct end *e = choice == CLIENT_COMES || choice >= TIMER ? NULL : who(choice);
    struct pg_link *fresh;
    switch (choice) {
    case CLIENT_COMES:
        w.n_clients++;
        fresh = w.cores[USER].link(w.cores[USER].self);
        end_new(USER, fresh, CLIENT)->up = true;
        input(USER, (struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = w.local, .fresh = fresh, .remote = here, .local = here});
        break;
    case CLIENT_SPEAKS:
    case SERVICE_SPEAKS: receive(e, 5, (const uint8_t *)"hello"); break;
    case CLIENT_ENDS:
    case SERVICE_ENDS:
        e->end_told = true;
        input(e->core, (struct pg_input){.kind = PG_INPUT_ENDED, .link = e->link});
        break;
    case CLIENT_LOST:
    case SERVICE_LOST:
    case SERVICE_FAILS: lose(e); break;
    case DIAL_REFUSED: lose(e); break;
    case WIRE_LOST: {
        struct end *other = e->other;
        lose(e);
        if (other && other->link)
            lose(other);
        break;
    }
    case CARRY_TO_OFFERER:
    case CARRY_TO_USER: carry(e); break;
    case SERVICE_UP:
        e->up = true;
        input(e->core, (struct pg_input){.kind = PG_INPUT_CONNECTED, .link = e->link, .remote = here, .local = here});
        break;
    case TIMER: tick(); break;
    case STOP_USER: stop(USER); break;
    case STOP_OFFERER: stop(OFFERER); break;
    case CHOICES: break;
    }
    drain();
}

static const char *choice_name(unsigned choice)
{
    return names[choice];
}

static const char *no_event(unsigned choice)
{
    (void)choice;
    return NULL;
}

static void clean(void)
{
    w.ending = true;
    for (unsigned n = 0; n < w.n_ends; n++)
        if (w.ends[n].link)
            w.ends[n].link->os = NULL;
    for (enum core core = USER; core < CORES; core++)
        if (w.peers[core])
            pg_peer_free(w.peers[core]);
    memset(&w, 0, sizeof w);
}

static void tell(void *context, unsigned id, struct pg_bytes line)
{
    (void)context, (void)line;
    w.n_told += id != PG_LOG_STEP;
}

static struct pg_log told = {.sink = tell};

static void make_peer(enum core core)
{
    static struct pg_peer_expose exposed;
    static struct pg_peer_forward forward;
    struct pg_peer_config c = {.tunnel_wait_ms = WAIT_MS};
    exposed = (struct pg_peer_expose){.name = PG_LIT("echo"), .host = PG_LIT("127.0.0.1"), .port = 80};
    forward = (struct pg_peer_forward){.peer = *pg_identity_peer_id(keys[OFFERER]), .service = PG_LIT("echo"), .host = PG_LIT("127.0.0.1"), .port = 9000};
    pg_node_config_default(&c.node);
    c.node.identity = keys[core];
    c.node.seed = 7 + core;
    c.node.log = &told;
    c.node.limits.value[PG_LIMIT_MEMORY] = 4 << 20; /* small peers are made faster */
    c.node.limits.value[PG_LIMIT_CONNS] = 8;
    c.node.limits.value[PG_LIMIT_STREAMS] = 32;
    if (pg_multiaddr_parse(&c.node.listens[c.node.n_listens++], core == USER ? PG_LIT("/ip4/127.0.0.1/tcp/4002") : PG_LIT("/ip4/127.0.0.1/tcp/4001")) ||
        pg_multiaddr_parse(&forward.addr, PG_LIT("/ip4/127.0.0.1/tcp/4001")))
        abort();
    if (core == OFFERER)
        c.exposed = &exposed, c.n_exposed = 1;
    else
        c.forwards = &forward, c.n_forwards = 1;
    w.peers[core] = pg_peer_new(&c);
    if (!w.peers[core])
        abort();
    w.cores[core] = pg_peer_core(w.peers[core]);
}

/* Nobody has dialled yet; then the same with the first dial connected and everything said that both have to say. */
static void begin_apart(void)
{
    clean();
    for (uint8_t core = USER; core < CORES; core++)
        if (!keys[core])
            keys[core] = pg_identity_from_seed((const uint8_t[32]){(uint8_t)(core + 1)});
    w.now_us = 1000000;
    make_peer(OFFERER);
    make_peer(USER);
    input(OFFERER, (struct pg_input){.kind = PG_INPUT_START});
    drain();
    input(USER, (struct pg_input){.kind = PG_INPUT_START});
    drain();
}

static void carry_all(void)
{
    for (struct end *e; (e = who(CARRY_TO_OFFERER)) || (e = who(CARRY_TO_USER));) {
        carry(e);
        drain();
    }
}

static void begin_joined(void)
{
    begin_apart();
    for (unsigned n = 0; n < w.n_ends; n++)
        if (w.ends[n].kind == WIRE && !w.ends[n].up) {
            connect_wire(&w.ends[n]);
            break;
        }
    drain();
    carry_all();
}

/* And the same with a client whose tunnel is open. */
static void begin_open(void)
{
    begin_joined();
    apply(CLIENT_COMES);
    carry_all();
    if (who(SERVICE_UP))
        apply(SERVICE_UP);
    carry_all();
}

/* What facts must say. */

static bool reachable(void)
{
    for (struct pg_session *s = node(USER)->sessions; s; s = s->next)
        if (s->up && !s->suspect && pg_stream_room(s->conn))
            return true;
    return false;
}

static const struct pg_contact *contact_of(const struct pg_machine *m, const void *self)
{
    if (strcmp(m->name, "dial") == 0)
        return HOST_OF(pg_contact, dial, self);
    return HOST_OF(pg_contact, bootstrap, self);
}

static unsigned handshakes(const struct pg_contact *c)
{
    unsigned n = 0;
    for (const struct pg_session *s = c->node->sessions; s; s = s->next)
        n += s->contact == c && !s->up;
    return n;
}

static int contact_truth(const struct pg_contact *c, const char *name)
{
    if (strcmp(name, "retrying") == 0)
        return c->node == node(USER); /* the other one visits it at most, for its routing table */
    if (strcmp(name, "addressed") == 0)
        return c->n_addrs + c->n_learnt > 0 && c->started && c->node->may_dial;
    if (strcmp(name, "rested") == 0)
        return w.now_us - c->tried_us >= (w.brief && c->node == node(USER) ? c->delay_ms * (uint64_t)1000 : 500000);
    return strcmp(name, "pending") == 0 ? handshakes(c) > 0 : -1;
}

static int truth(const struct pg_machine *m, const void *self, unsigned fact)
{
    const char *name = m->facts[fact];
    if (w.ending)
        return -1;
    if (strcmp(m->name, "tunnel_consumer") == 0) {
        const struct pg_tunnel_consumer *t = self;
        const struct end *e = t->pipe.local ? t->pipe.local->os : NULL;
        if (strcmp(name, "reachable") == 0)
            return reachable();
        if (strcmp(name, "stopping") == 0)
            return w.stopped[USER];
        return e ? w.now_us - e->came_us < WAIT_MS * 1000 : -1;
    }
    if (strcmp(m->name, "tunnel_provider") == 0)
        return strcmp(name, "stopping") == 0 ? w.stopped[OFFERER] : 1;
    return strcmp(m->name, "bootstrap") == 0 || strcmp(m->name, "dial") == 0 ? contact_truth(contact_of(m, self), name) : -1;
}

/* Actions: what they leave behind is what they are named after. */

static const struct pg_pipe *pipe_of(const struct pg_machine *m, const void *self)
{
    if (strcmp(m->name, "tunnel_consumer") == 0)
        return &((const struct pg_tunnel_consumer *)self)->pipe;
    if (strcmp(m->name, "tunnel_provider") == 0)
        return &((const struct pg_tunnel_provider *)self)->pipe;
    return strcmp(m->name, "pipe") == 0 ? self : NULL;
}

static bool is_contact(const struct pg_machine *m)
{
    return strcmp(m->name, "bootstrap") == 0 || strcmp(m->name, "dial") == 0;
}

static size_t unsent(const struct pg_stream *s)
{
    return s && s->conn->link ? s->conn->link->tx.bytes : 0;
}

static void before_act(const struct pg_machine *m, const void *self, unsigned action)
{
    const struct pg_pipe *p = pipe_of(m, self);
    (void)action;
    if (w.ending || !w.peers[USER])
        return;
    w.before.n_told = w.n_told;
    w.before.n_commands = node(USER)->n_commands + node(OFFERER)->n_commands;
    w.before.stream = p ? p->stream : NULL;
    w.before.local = p ? p->local : NULL;
    w.before.unsent = unsent(w.before.stream);
    if (is_contact(m)) {
        const struct pg_contact *c = contact_of(m, self);
        w.before.handshakes = handshakes(c);
        w.before.backoff_ms = c->backoff_ms;
    }
}

static bool contact_did(const char *name, const struct pg_contact *c)
{
    uint32_t twice = w.before.backoff_ms * 2;
    if (strcmp(name, "backoff.reset") == 0)
        return w.brief ? c->backoff_ms >= 1000 : c->backoff_ms == 1000;
    if (strcmp(name, "backoff.grow") == 0)
        return c->backoff_ms == (twice < 60000 ? twice : 60000);
    if (strcmp(name, "dial.begin") == 0)
        return c->tried_us == c->node->scope.now_us;
    if (strcmp(name, "dial.cancel") == 0)
        return orders_is(&c->dial.in, "idle");
    if (strcmp(name, "attempt.begin") == 0)
        return handshakes(c) > w.before.handshakes;
    return strcmp(name, "rest.drop") != 0 || handshakes(c) == 0;
}

static bool pipe_did(const char *name, const struct pg_pipe *p)
{
    const char *verb = strchr(name, '.') + 1;
    bool of_stream = strncmp(name, "stream.", 7) == 0, of_local = !of_stream;
    if (strncmp(name, "answer.", 7) == 0 || strcmp(name, "request.send") == 0)
        return !p->stream || unsent(p->stream) > w.before.unsent;
    if (strcmp(name, "stream.end") == 0)
        return !w.before.stream || !p->stream || !orders_is(&p->stream->local.in, "open");
    if (of_stream && (strcmp(verb, "drop") == 0 || strcmp(verb, "reset") == 0))
        return !p->stream;
    if (strcmp(name, "local.end") == 0)
        return !w.before.local || node(USER)->n_commands + node(OFFERER)->n_commands > w.before.n_commands;
    if (strcmp(name, "service.dial") == 0)
        return p->local != NULL;
    if (of_local && (strcmp(verb, "close") == 0 || strcmp(verb, "reset") == 0 || strcmp(verb, "drop") == 0))
        return !p->local;
    return strcmp(name, "failure.note") == 0 ? p->why != PG_OK : strcmp(name, "pipe.begin") != 0 || p->begun;
}

static void note_life(const char *action, const struct pg_contact *c)
{
    if (c->node != node(USER))
        return;
    if (strcmp(action, "backoff.reset") == 0)
        w.up_us = w.now_us;
    if (strcmp(action, "loss.tell") == 0)
        w.brief = w.now_us - w.up_us < 5000000;
}

static void after_act(const struct pg_machine *m, const void *self, unsigned action)
{
    const char *name = m->actions[action], *verb = strrchr(name, '.');
    bool tells = (verb && strcmp(verb, ".tell") == 0) || strcmp(name, "peer.hurry") == 0;
    if (w.ending || !w.peers[USER] || (!pipe_of(m, self) && !is_contact(m)))
        return;
    bool did = is_contact(m) ? contact_did(name, contact_of(m, self)) : pipe_did(name, pipe_of(m, self));
    if (is_contact(m))
        note_life(name, contact_of(m, self));
    ORDERS_HOLDS(did, "action %s of %s has not done what it is named after", name, m->name);
    ORDERS_HOLDS(!tells || w.n_told > w.before.n_told, "action %s of %s tells nobody", name, m->name);
}

static void consumer_group(const struct pg_tunnel_consumer *t, struct orders_group *g)
{
    *g = (struct orders_group){"tunnel_consumer_side", {&pg_tunnel_consumer_machine, &pg_pipe_machine}, {&t->in, t->pipe.begun ? &t->pipe.in : NULL},
                               2, true};
}

static bool group(const struct pg_machine *m, const void *self, struct orders_group *g)
{
    if (strcmp(m->name, "tunnel_consumer") != 0)
        return false;
    consumer_group(self, g);
    return true;
}

/* What holds between events. */

static unsigned n_links(enum core core, enum kind kind, bool open_only)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w.n_ends; i++)
        n += w.ends[i].link && w.ends[i].core == core && w.ends[i].kind == kind && !(open_only && w.ends[i].link->closing);
    return n;
}

static void consumers_hold(void)
{
    unsigned n = 0;
    for (const struct pg_tunnel_consumer *t = tunnels(USER)->consumer_list; t && !orders_failed(); t = t->next, n++) {
        struct orders_group g;
        const char *state = t->in.machine->states[t->in.ctl.state];
        consumer_group(t, &g);
        orders_check_group(&g);
        bool asks = orders_is(&t->in, "asking"), open = orders_is(&t->in, "open");
        ORDERS_HOLDS(!orders_is(&t->in, "closed"), "a client's tunnel has ended and is still there");
        ORDERS_HOLDS(t->pipe.begun == open, "a client's tunnel is %s, and its pipe has %sbegun", state, t->pipe.begun ? "" : "not ");
        ORDERS_HOLDS(open || !asks == !t->pipe.stream, "a client's tunnel is %s with%s a stream", state, t->pipe.stream ? "" : "out");
        ORDERS_HOLDS(open || t->pipe.local, "a client's tunnel is %s and has no client", state);
        ORDERS_HOLDS(!t->pipe.local || !t->pipe.local->closing, "a client's tunnel is %s and its client is being closed", state);
        ORDERS_HOLDS(open || t->pipe.local->credit == 0, "bytes are taken from a client before its tunnel is open");
    }
    ORDERS_HOLDS(n == n_links(USER, CLIENT, true), "%u clients are connected, and %u tunnels are for them", n_links(USER, CLIENT, true), n);
    ORDERS_HOLDS(n == tunnels(USER)->consumers.used && n == tunnels(USER)->n_running, "%u tunnels are in the list, %u in the pool, %u counted", n,
                 tunnels(USER)->consumers.used, tunnels(USER)->n_running);
}

static void providers_hold(void)
{
    unsigned n = 0, dialled = 0;
    for (const struct pg_tunnel_provider *t = tunnels(OFFERER)->provider_list; t && !orders_failed(); t = t->next, n++) {
        const char *state = t->in.machine->states[t->in.ctl.state];
        orders_check_group(&(struct orders_group){"tunnel_provider_side", {&pg_tunnel_provider_machine, &pg_pipe_machine},
                                                  {&t->in, t->pipe.begun ? &t->pipe.in : NULL}, 2, true});
        bool connecting = orders_is(&t->in, "connecting"), open = orders_is(&t->in, "open");
        dialled += t->pipe.local != NULL;
        ORDERS_HOLDS(!orders_is(&t->in, "closed"), "a served tunnel has ended and is still there");
        ORDERS_HOLDS(t->pipe.begun == open, "a served tunnel is %s, and its pipe has %sbegun", state, t->pipe.begun ? "" : "not ");
        ORDERS_HOLDS(open || connecting == (t->pipe.local != NULL), "a served tunnel is %s with%s a service", state, t->pipe.local ? "" : "out");
        ORDERS_HOLDS(open || t->pipe.stream, "a served tunnel is %s and has no stream", state);
    }
    ORDERS_HOLDS(dialled == n_links(OFFERER, SERVICE, true), "%u sockets to the service are open, and %u tunnels have one", n_links(OFFERER, SERVICE, true), dialled);
    ORDERS_HOLDS(n == tunnels(OFFERER)->providers.used && n == tunnels(OFFERER)->n_running, "%u served tunnels are in the list, %u in the pool, %u counted",
                 n, tunnels(OFFERER)->providers.used, tunnels(OFFERER)->n_running);
}

static void connection_holds(enum core core, const struct pg_session *s, unsigned *n_streams)
{
    const struct pg_conn *c = s->conn;
    for (const struct pg_stream *stream = c->yamux.first; c->yamux.begun && stream; stream = stream->next) {
        ++*n_streams;
        orders_check_group(&(struct orders_group){"yamux_stream", {&pg_stream_local_machine, &pg_stream_remote_machine, &pg_stream_ack_machine},
                                                  {&stream->local.in, &stream->remote.in, &stream->ack.in}, 3, true});
    }
    ORDERS_HOLDS(s->up == pg_conn_is_up(c), "a session of core %u is %s, and its connection is not", core, s->up ? "up" : "not up");
    ORDERS_HOLDS(c->link && !c->link->closing, "a connection of core %u is listed and has no link", core);
}

static void core_holds(enum core core)
{
    struct pg_node *n = node(core);
    unsigned n_sessions = 0, n_streams = 0;
    for (const struct pg_session *s = n->sessions; s && !orders_failed(); s = s->next, n_sessions++)
        connection_holds(core, s, &n_streams);
    ORDERS_HOLDS(n_sessions == n_links(core, WIRE, true), "core %u has %u connections over %u links", core, n_sessions, n_links(core, WIRE, true));
    ORDERS_HOLDS(n_streams == n->transport.streams.used, "core %u has %u streams, and %u of its pool are used", core, n_streams, n->transport.streams.used);
    ORDERS_HOLDS(n_sessions == n->transport.conns.used, "core %u has %u connections, and %u of its pool are used", core, n_sessions, n->transport.conns.used);
    unsigned links = 0;
    for (unsigned i = 0; i < w.n_ends; i++)
        links += w.ends[i].link && w.ends[i].core == core;
    ORDERS_HOLDS(links == n->links.used, "core %u has %u links, and %u of its pool are used", core, links, n->links.used);
    for (unsigned i = 0; i < PG_MAX_CONTACTS && n->contacts[i].used; i++) {
        const struct pg_contact *c = &n->contacts[i];
        unsigned pending = handshakes(c);
        orders_check_group(&(struct orders_group){"contact", {&pg_bootstrap_machine, &pg_dial_machine}, {&c->bootstrap.in, &c->dial.in}, 2, true});
        ORDERS_HOLDS(pending == c->pending, "%u dials are under way, and %u are counted", pending, c->pending);
    }
}

static void check(void)
{
    consumers_hold();
    providers_hold();
    for (enum core core = USER; core < CORES; core++)
        core_holds(core);
}

static uint64_t mix_pipe(uint64_t hash, const struct pg_pipe *p)
{
    hash = orders_mix(hash, (uint64_t)p->begun | (uint64_t)(p->stream != NULL) << 1 | (uint64_t)(p->local != NULL) << 2);
    return p->begun ? orders_mix_instance(hash, &p->in) : hash;
}

static uint64_t state(bool exact)
{
    uint64_t hash = orders_mix(exact, w.n_clients);
    for (const struct pg_tunnel_consumer *t = tunnels(USER)->consumer_list; t; t = t->next)
        hash = mix_pipe(orders_mix_instance(hash, &t->in), &t->pipe);
    for (const struct pg_tunnel_provider *t = tunnels(OFFERER)->provider_list; t; t = t->next)
        hash = mix_pipe(orders_mix_instance(hash, &t->in), &t->pipe);
    for (enum core core = USER; core < CORES; core++) {
        hash = orders_mix_instance(orders_mix(hash, (uint64_t)w.stopped[core] | (uint64_t)w.over[core] << 1), &node(core)->shutdown.in);
        for (const struct pg_session *s = node(core)->sessions; s; s = s->next) {
            hash = orders_mix_instance(orders_mix(hash, s->up), &s->conn->upgrade.in);
            hash = s->conn->yamux.begun ? orders_mix_instance(hash, &s->conn->yamux.in) : hash;
            for (const struct pg_stream *stream = s->conn->yamux.first; s->conn->yamux.begun && stream; stream = stream->next)
                hash = orders_mix(orders_mix_instance(orders_mix_instance(orders_mix_instance(hash, &stream->local.in), &stream->remote.in), &stream->ack.in), stream->id);
        }
        for (unsigned i = 0; i < PG_MAX_CONTACTS && node(core)->contacts[i].used; i++)
            hash = orders_mix_instance(orders_mix_instance(hash, &node(core)->contacts[i].bootstrap.in), &node(core)->contacts[i].dial.in);
    }
    for (unsigned n = 0; n < w.n_ends; n++) {
        const struct end *e = &w.ends[n];
        hash = orders_mix(orders_mix(hash, (uint64_t)e->kind), (uint64_t)e->up | (uint64_t)e->end_told << 1 | (uint64_t)e->close_asked << 2 | (uint64_t)e->spoke << 3);
        hash = orders_mix(hash, e->kind == WIRE ? e->link->tx.bytes : 0);
    }
    return hash;
}

static const char *const machines[] = {"tunnel_consumer", "tunnel_provider", "pipe", "bootstrap", "dial", "stream_local", "stream_remote", "stream_ack",
                                       "upgrade", "yamux_session", NULL};
#define TUNNEL(called, title, start, how_deep) \
    {.word = called, .name = title, .machines = machines, .depth = how_deep, .system = "tunnel_consumer_side", .n_choices = CHOICES, .choice = choice_name, .event = no_event, \
     .begin = start, .end = clean, .possible = possible, .apply = apply, .check = check, .state = state, .truth = truth, .group = group, .before_act = before_act, .after_act = after_act}
const struct orders_subject orders_tunnel_open = TUNNEL("open", "tunnel that is open", begin_open, 3);
const struct orders_subject orders_tunnel_joined = TUNNEL("tunnel", "tunnel between two peers that are connected", begin_joined, 4);
