/* The node itself: inputs to whoever owns the link, commands out, start, limits.
 * Driven by a loop through runtime/port.h; see docs/ARCHITECTURE.md, "A turn". */
#include "core/node_internal.h"

#include <assert.h>
#include "core/mdns.h"
#include "machines.gen.h"
#include "mem/heap.h"
#include "mem/pages.h"
#include "protocols.gen.h"
#include "trace/line.h"

#include <stddef.h>

/* LEAVING: connections that give way keep their memory until the turn is over. */
enum { ARENA = 1024 * 1024, COMMANDS_LINK = 6, COMMANDS_INPUT = 65536, LEAVING = 16 };

void pg_node_config_default(struct pg_node_config *c)
{
    *c = (struct pg_node_config){.kad_protocol = PG_LIT(PG_PROTOCOL_KAD), .n_relays = 2};
    pg_limits_standard(&c->limits);
}

/* Commands. */

void pg_node_command(struct pg_node *n, const struct pg_command *c)
{
    if (c->kind == PG_COMMAND_WRITE) {
        if (c->link->write_asked || c->link->closing)
            return;
        c->link->write_asked = true;
    }
    if (c->kind == PG_COMMAND_CLOSE || c->kind == PG_COMMAND_RESET) {
        if (c->link->closing)
            return;
        c->link->closing = true;
        c->link->owner = NULL;
    }
    if (c->link && c->link->carrier) {
        pg_circuit_command(c->link->carrier, c->kind);
        return;
    }
    assert(n->n_commands < n->command_room && "one input has ordered more than its links and its bytes can");
    n->commands[n->n_commands++] = *c;
}

static void command(void *node, const struct pg_command *c)
{
    pg_node_command(node, c);
}

/* Nothing names them any more. */
static void bury_links(struct pg_node *n)
{
    while (n->gone) {
        struct pg_link *link = n->gone;
        n->gone = link->next_gone;
        pg_pool_give(&n->links, link);
    }
}

static bool poll(void *self, struct pg_command *out)
{
    struct pg_node *n = self;
    do {
        if (n->command_head == n->n_commands) {
            n->command_head = n->n_commands = 0;
            pg_arena_reset(&n->arena);
            bury_links(n);
            return false;
        }
        *out = n->commands[n->command_head++];
    } while (out->link && out->link->gone);
    if (out->kind == PG_COMMAND_WRITE)
        out->link->write_asked = false;
    return true;
}

static uint64_t deadline(void *self)
{
    return pg_timers_next(&((struct pg_node *)self)->scope);
}

void pg_node_close(struct pg_node *n, struct pg_link **link)
{
    if (*link)
        pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_CLOSE, .link = *link});
    *link = NULL;
}

void pg_node_reset(struct pg_node *n, struct pg_link **link)
{
    if (*link)
        pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_RESET, .link = *link});
    *link = NULL;
}

void pg_node_report(struct pg_node *n, struct pg_bytes line)
{
    uint8_t *copy = pg_arena_take(&n->arena, line.len);
    if (!copy)
        return;
    memcpy(copy, line.at, line.len);
    pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_REPORT, .text = pg_bytes(copy, line.len)});
}

void pg_node_stop(struct pg_node *n, int status)
{
    if (n->stopped)
        return;
    n->stopped = true;
    pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_STOP, .status = status});
}

void pg_node_fail(struct pg_node *n, enum pg_err why, struct pg_bytes reason)
{
    n->failure = why;
    n->ready = true; /* nothing is announced any more */
    pg_bytes_text(n->failure_text, sizeof n->failure_text, reason);
    pg_node_stop(n, pg_err_exit(why));
}

enum pg_err pg_node_failure(const struct pg_node *n, struct pg_bytes *reason)
{
    *reason = pg_text(n->failure_text);
    return n->failure;
}

/* Links. */

static struct pg_link *link_new(void *self)
{
    struct pg_node *n = self;
    struct pg_link *link = pg_pool_take_zero(&n->links);
    if (!link)
        return NULL;
    pg_queue_init(&link->tx, &n->chunks);
    link->number = ++n->link_number;
    return link;
}

static void link_free(void *self, struct pg_link *link)
{
    struct pg_node *n = self;
    pg_queue_clear(&link->tx);
    link->closing = true;
    link->gone = true;
    link->next_gone = n->gone;
    n->gone = link;
    if (n->command_head == n->n_commands)
        bury_links(n);
}

struct pg_link *pg_node_link(struct pg_node *n, struct pg_link_owner *owner)
{
    struct pg_link *link = link_new(n);
    if (link)
        link->owner = owner;
    return link;
}

static size_t want(void *self, struct pg_link *link)
{
    (void)self;
    struct pg_link_owner *o = link->owner;
    return o && o->user->want ? o->user->want(o) : link->credit;
}

/* Our addresses. */

void pg_node_addrs_changed(struct pg_node *n)
{
    n->addrs_stale = true;
    n->relaying.told.stands = false;
}

/* Tells of our addresses once a turn, and only when they are others than before. */
static void tell_addrs(struct pg_node *n)
{
    struct pg_multiaddr addrs[PG_NODE_ADDRS];
    uint8_t all[PG_NODE_ADDRS * sizeof(uint64_t)];
    uint32_t count;
    if (!n->addrs_stale || !n->ready || n->stopping)
        return;
    n->addrs_stale = false;
    pg_punch_moved(n);
    count = pg_node_addrs(n, addrs);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t one = pg_keyed_hash(&n->budget.hash, addrs[i].at, addrs[i].len);
        memcpy(all + i * sizeof one, &one, sizeof one);
    }
    uint64_t now = pg_keyed_hash(&n->budget.hash, all, count * sizeof(uint64_t));
    if (now == n->addrs_told)
        return;
    bool first = n->addrs_told == 0;
    n->addrs_told = now;
    if (first)
        return; /* the ready line says them, and nobody has heard of others before */
    pg_identify_push(n);
    pg_paths_moved(n);
    if (n->hooks.moved)
        n->hooks.moved(n->hooks.context);
    pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_READY});
}

/* Listening. */

/* Dials leave from a listening port, so they wait until it is known which ports there are. */
static void go_when_settled(struct pg_node *n)
{
    for (uint32_t i = 0; i < n->n_listeners; i++)
        if (n->listeners[i].in.ctl.state == PG_LISTENER_BINDING)
            return;
    if (!n->may_dial)
        pg_contacts_go(n);
}

void pg_node_addr_add(struct pg_node *n, const struct pg_endpoint *at)
{
    /* A wildcard that the loop could not expand: this machine has no address of that family. */
    if (n->n_addrs == 64 || pg_endpoint_is_unspecified(at))
        return;
    pg_multiaddr_from_tcp(&n->addrs[n->n_addrs++], at);
    pg_node_control_listening(n, &n->addrs[n->n_addrs - 1]);
}

static void add_address(struct pg_listener *l, const struct pg_endpoint *at)
{
    l->endpoint.port = at->port; /* dials leave from the port that was given, too */
    go_when_settled(l->node);
    pg_node_addr_add(l->node, at);
    pg_mdns_changed(l->node->mdns);
    pg_node_addrs_changed(l->node);
}

static void listen_failed(struct pg_listener *l, enum pg_err why, struct pg_bytes reason)
{
    struct pg_node *n = l->node;
    struct pg_multiaddr addr;
    char text[PG_MULTIADDR_TEXT];
    pg_multiaddr_from_tcp(&addr, &l->endpoint);
    pg_log_listen_failed(n->log, pg_bytes(text, pg_multiaddr_text(&addr, text, sizeof text)), reason);
    n->failure = why == PG_ERR_UNREACHABLE ? PG_ERR_LOCAL_ADDRESS : why;
    struct pg_line line;
    pg_line_init(&line, n->failure_text, sizeof n->failure_text);
    pg_line_put(&line, "--listen ");
    pg_line_put(&line, text);
    pg_line_put(&line, ": ");
    pg_line_raw(&line, reason);
    pg_line_put(&line, "; choose another address or port");
    go_when_settled(n);
}

static void peer_arrived(struct pg_listener *l, struct pg_link *link, const struct pg_endpoint *remote,
                         const struct pg_endpoint *local)
{
    (void)pg_session_accept(l->node, link, remote, local);
}

static const struct pg_listener_user peers = {.address = add_address, .failed = listen_failed, .arrived = peer_arrived};

void pg_node_listen(struct pg_node *n, const struct pg_multiaddr *addr)
{
    struct pg_listener *l = &n->listeners[n->n_listeners];
    struct pg_peer_id none;
    if (n->n_listeners == PG_MAX_LISTENS || pg_multiaddr_tcp(addr, &l->endpoint, &none) != PG_OK)
        return; /* the options have been checked before */
    l->kind = PG_LISTEN_PEER;
    l->user = &peers;
    pg_listener_start(l, n, n->n_listeners++);
}

void pg_node_expect(struct pg_node *n)
{
    n->expected++;
}

static bool nothing_stands(struct pg_node *n)
{
    for (uint32_t i = 0; i < n->n_listeners; i++)
        if (pg_listener_stands(&n->listeners[i]))
            return false;
    return n->n_listeners > 0;
}

void pg_node_stands(struct pg_node *n)
{
    n->standing++;
    if (n->ready || n->stopping || n->standing < n->expected || !n->started)
        return;
    n->ready = true;
    if (nothing_stands(n)) {
        pg_node_stop(n, pg_err_exit(n->failure));
        return;
    }
    n->failure = PG_OK;
    pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_READY});
    n->addrs_stale = true;
    pg_node_control_ready(n);
}

/* Input. */

static void start(struct pg_node *n)
{
    pg_ways_start(n);
    pg_reach_start(n);
    pg_node_control_init(n);
    if (n->hooks.start)
        n->hooks.start(n->hooks.context);
    n->started = true;
    pg_mdns_start(n->mdns);
    if (n->n_listeners == 0)
        pg_contacts_go(n);
    n->expected++;
    pg_node_stands(n); /* for the case that everything stood at once */
}

static void to_owner(struct pg_node *n, const struct pg_input *in)
{
    struct pg_link_owner *o = in->link ? in->link->owner : NULL;
    if (in->kind == PG_INPUT_ACCEPTED && !o) {
        struct pg_link *fresh = in->fresh;
        pg_node_reset(n, &fresh);
        return;
    }
    if (in->kind == PG_INPUT_CONNECTED && !o && n->hooks.adopted) {
        n->hooks.adopted(n->hooks.context, in->link);
        return;
    }
    if (!o || in->link->closing)
        return;
    switch (in->kind) {
    case PG_INPUT_ACCEPT_FAILED: pg_log_listener_error(n->log, in->reason); return;
    case PG_INPUT_LISTENING: o->user->listening(o, in); return;
    case PG_INPUT_ACCEPTED: o->user->accepted(o, in); return;
    case PG_INPUT_CONNECTED: o->user->connected(o, in); return;
    case PG_INPUT_RECEIVED: o->user->received(o, in->data, in->len); return;
    case PG_INPUT_ENDED: o->user->ended(o); return;
    case PG_INPUT_WRITTEN: o->user->written(o); return;
    case PG_INPUT_LISTEN_FAILED:
    case PG_INPUT_LOST:
        in->link->owner = NULL;
        in->link->closing = true;
        o->user->lost(o, (enum pg_err)in->error, in->reason);
        return;
    case PG_INPUT_START:
    case PG_INPUT_RESOLVED:
    case PG_INPUT_BOUND:
    case PG_INPUT_BIND_FAILED:
    case PG_INPUT_INTERFACES:
    case PG_INPUT_DATAGRAM:
    case PG_INPUT_WAYS:
    case PG_INPUT_CLOCK:
    case PG_INPUT_TICK:
    case PG_INPUT_RELOAD:
    case PG_INPUT_STOP: return;
    }
}

/* Frees what has ended in the turn; true when streams were among it. */
static bool settle(struct pg_node *n)
{
    pg_punching_seek(n);
    if (n->hooks.settled)
        n->hooks.settled(n->hooks.context);
    uint32_t before = n->transport.streams.used;
    pg_relaying_settle(&n->relaying);
    pg_transport_reap(&n->transport);
    pg_sessions_reap(n);
    pg_circuit_ends_reap(&n->circuit_ends);
    pg_punching_settle(n);
    return n->transport.streams.used < before;
}

/* Somebody found no stream although his connection had room for one; whose it was that is free now does not matter. */
static void wake_the_starved(struct pg_node *n)
{
    n->transport.starved = false;
    for (struct pg_session *s = n->sessions, *next; s; s = next) {
        next = s->next;
        if (s->up && n->hooks.peer_up)
            n->hooks.peer_up(n->hooks.context, s);
    }
}

static void deliver(void *self, const struct pg_input *in)
{
    to_owner(self, in);
}

/* Whatever the turn has left to do, until nothing is left: circuits bring the next round by what they tell. */
static void finish_turn(struct pg_node *n)
{
    do {
        pg_reach_settle(n);
        pg_kad_settle(n);
        pg_node_control_settle(n);
        pg_kad_settle(n);
        while (pg_reservations_settle(n))
            pg_kad_settle(n);
        tell_addrs(n);
    } while (pg_circuits_settle(&n->transport));
    if (n->leaving)
        pg_sessions_drop(n, false);
    if (settle(n) && n->transport.starved) {
        wake_the_starved(n);
        (void)settle(n);
    }
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    struct pg_node *n = self;
    n->scope.now_us = now_us;
    pg_timers_run(&n->scope);
    if (in->kind == PG_INPUT_START) {
        start(n);
    } else if (in->kind == PG_INPUT_STOP) {
        if (n->config.quiet || n->stopping)
            pg_step(&n->shutdown.in, PG_SHUTDOWN_ON_STOP); /* a second request ends the draining */
        else
            pg_node_control_stop(n);
    } else if (in->kind == PG_INPUT_RESOLVED) {
        pg_names_answered(n, in);
    } else if (in->kind == PG_INPUT_BOUND || in->kind == PG_INPUT_BIND_FAILED || in->kind == PG_INPUT_INTERFACES ||
               in->kind == PG_INPUT_DATAGRAM) {
        pg_mdns_input(n->mdns, in); /* nobody else has datagram sockets */
    } else if (in->kind == PG_INPUT_WAYS) {
        pg_ways_input(n, in);
    } else if (in->kind == PG_INPUT_CLOCK) {
        n->config.unix_offset_us = in->number * 1000000ull - now_us;
        pg_reservations_renew(n);
    } else if (in->kind == PG_INPUT_RELOAD) {
        if (n->hooks.reload && !n->stopping)
            n->hooks.reload(n->hooks.context, pg_bytes(in->data, in->len));
    } else {
        to_owner(n, in);
    }
    if (in->kind == PG_INPUT_TICK)
        pg_pool_trim(&n->chunks);
    pg_ways_settle(n);
    pg_circuits_relieve(n);
    pg_sessions_relieve(n);
    pg_visits_relieve(n);
    finish_turn(n);
    if (n->transport.circuits_due)
        finish_turn(n); /* what had ended has made room, and others have used it */
}

/* Life. */

static struct pg_instance *next_hearer(struct pg_scope *scope, unsigned machine, const struct pg_instance *from,
                                       struct pg_instance *after)
{
    (void)from;
    return pg_control_plane_hearer(&HOST_OF(pg_node, scope, scope)->control, machine, after);
}

static void finished(struct pg_scope *scope, struct pg_instance *in)
{
    struct pg_node *n = HOST_OF(pg_node, scope, scope);
    if (in->machine->id == PG_MACHINE_KAD_REQUEST)
        pg_kad_request_finished(in->self);
    else if (in->machine->id == PG_MACHINE_KAD_SERVE)
        pg_kad_serving_finished(&n->kad_serving, in);
    else if (in->machine->id == PG_MACHINE_HOP_SERVE)
        pg_relaying_finished(&n->relaying, in);
    else if (in->machine->id == PG_MACHINE_STOP_CONNECT || in->machine->id == PG_MACHINE_FLOW)
        return; /* they end with their hop_serve */
    else if (in->machine->id == PG_MACHINE_HOP_CONNECT)
        pg_hop_connect_finished(in->self);
    else if (in->machine->id == PG_MACHINE_STOP_SERVE)
        pg_stop_serve_finished(in->self);
    else if (n->hooks.finished)
        n->hooks.finished(n->hooks.context, in);
}

/* Every step, for those who switched `machine::step` on. */
static void trace(struct pg_scope *scope, const struct pg_instance *in, const struct pg_step_record *r)
{
    static const char *const verdicts[] = {"on", "ignore", "reject", "never"};
    const struct pg_machine *m = in->machine;
    pg_log_step(HOST_OF(pg_node, scope, scope)->log, pg_text(m->name), r->key, pg_text(m->events[r->event]),
                pg_text(m->states[r->from]), pg_text(m->states[r->to]), pg_text(verdicts[r->verdict]), r->line, r->n_commands);
}

static void relieved(void *self, struct pg_conn *conn)
{
    struct pg_node *n = self;
    if (n->hooks.peer_up && ((struct pg_session *)conn->above)->up)
        n->hooks.peer_up(n->hooks.context, conn->above);
}

static void refused(void *self, struct pg_conn *conn, enum pg_limit limit, const char *what)
{
    pg_node_refuse(self, limit, what, pg_text(((struct pg_session *)conn->above)->peer_text));
}

static const struct pg_handler *protocol(void *self, struct pg_conn *conn, struct pg_bytes offer)
{
    struct pg_node *n = self;
    for (uint32_t i = 0; i < n->n_handlers; i++)
        if (pg_bytes_equal(n->handlers[i]->protocol, offer))
            return pg_node_offers(conn->above, n->handlers[i]) ? n->handlers[i] : NULL;
    return NULL;
}

bool pg_node_offers(const struct pg_session *s, const struct pg_handler *h)
{
    if (s->probes)
        return h == &pg_identify_serve || h == &pg_ping_serve;
    bool relayed = pg_session_is_relayed(s);
    if (h->relayed == (relayed ? PG_RELAYED_NEVER : PG_RELAYED_ONLY))
        return false;
    if (h == &pg_punch_handler && s->node->config.unpunched)
        return false;
    if (h == &pg_hop_handler)
        return pg_relaying_serves(s->node, s);
    return !pg_kad_serving_owns(&s->node->kad_serving, h) || pg_kad_serving_serves(s->node, s);
}

bool pg_node_serve(struct pg_node *n, const struct pg_handler *h)
{
    if (n->n_handlers == PG_MAX_HANDLERS)
        return false;
    n->handlers[n->n_handlers++] = h;
    return true;
}

static bool init(struct pg_node *n)
{
    const uint64_t *most = n->config.limits.value;
    uint32_t conns = (uint32_t)most[PG_LIMIT_CONNS] + LEAVING, streams = (uint32_t)most[PG_LIMIT_STREAMS];
    n->transport = (struct pg_transport){.scope = &n->scope, .identity = n->config.identity, .log = n->log,
                                         .metrics = &n->metrics, .chunks = &n->chunks,
                                         .window_budget = most[PG_LIMIT_MEMORY] / 2,
                                         .limits = &n->config.limits,
                                         .map_seed = n->config.hash_seed, .above = n, .command = command, .deliver = deliver, .unlink = link_free,
                                         .moved = pg_session_moved, .emptied = pg_session_emptied, .forbids = pg_session_forbids, .refused = refused,
                                         .arrived = pg_session_arrived, .lost = pg_session_lost, .relieved = relieved, .protocol = protocol};
    uint32_t links = conns + 2 * streams + 256, hops = (uint32_t)most[PG_LIMIT_RELAY_CIRCUITS] + PG_FIXED_HOP_ASKED;
    /* Each kind of command once for every link, and what the frames of one input can ask for; touched as far as needed. */
    n->command_room = links * COMMANDS_LINK + COMMANDS_INPUT;
    n->commands = pg_pages_reserve(n->command_room * sizeof *n->commands);
    n->arena = (struct pg_arena){pg_heap_take(ARENA), ARENA, 0};
    uint32_t timers = conns * 22 + streams * 4 + 2 * PG_FIXED_KAD_SERVED + 3 * hops + 4096 + 4 * PG_FIXED_MDNS_PEERS + 9 * PG_FIXED_PUNCH_PEERS;
    return n->commands && n->arena.base &&
           pg_scope_init(&n->scope, timers, /* All may end in one turn, and each tells its owner. */ conns * 7 + streams * 2 + 4 * hops + 4096) &&
           pg_pool_init(&n->chunks, PG_CHUNK_SLOT, (uint32_t)(most[PG_LIMIT_MEMORY] / PG_CHUNK_SLOT) + 16, 64) &&
           pg_pool_init(&n->links, sizeof(struct pg_link), links, 256) &&
           pg_pool_init(&n->session_pool, sizeof(struct pg_session), conns, 64) &&
           pg_pool_init(&n->paths, sizeof(struct pg_path), conns, 64) &&
           pg_budget_init(&n->budget, &n->config.limits, n->config.hash_seed + 1, n->log, &n->metrics) &&
           pg_address_book_init(&n->addresses, PG_FIXED_KNOWN_PEERS, n->config.hash_seed + 2) &&
           pg_transport_init(&n->transport, conns, streams) && pg_circuit_ends_init(&n->circuit_ends) && pg_kad_init(n);
}

struct pg_node *pg_node_new(const struct pg_node_config *config, const struct pg_node_hooks *hooks)
{
    struct pg_node *n = pg_heap_take(sizeof *n);
    if (!n)
        return NULL;
    n->config = *config;
    n->hooks = *hooks;
    n->log = config->log ? config->log : &n->silent;
    n->random = config->seed | 1;
    if (!init(n)) {
        pg_node_free(n);
        return NULL;
    }
    if (config->mdns && !config->quiet)
        n->mdns = pg_mdns_new(n); /* without memory for it a peer is still a peer */
    n->pending_end = &n->pending;
    n->scope.next = next_hearer;
    n->scope.trace = trace;
    n->scope.finished = finished;
    pg_instance_init(&n->shutdown.in, &pg_shutdown_machine, &pg_shutdown_binding, &n->shutdown, &n->scope, n->shutdown.timers,
                     NULL, 0);
    (void)pg_node_serve(n, &pg_ping_serve);
    (void)pg_node_serve(n, &pg_identify_serve);
    (void)pg_node_serve(n, &pg_identify_push_take);
    (void)pg_node_serve(n, &pg_stop_serve);
    if (pg_punching_init(n) && pg_kad_serving_init(&n->kad_serving, n, &n->kad.table, &n->kad.store) && pg_relaying_init(&n->relaying, n) &&
        pg_autonat_init(&n->autonat, n))
        return n;
    pg_node_free(n);
    return NULL;
}

void pg_node_free(struct pg_node *n)
{
    if (!n)
        return;
    pg_reservations_end(n);
    pg_kad_end(n);
    while (n->sessions) {
        pg_session_drop(n->sessions, PG_ERR_SHUTTING_DOWN);
        pg_transport_reap(&n->transport);
        pg_sessions_reap(n);
    }
    pg_punching_free(n);
    pg_kad_free(n);
    pg_autonat_free(&n->autonat);
    pg_transport_free(&n->transport);
    pg_kad_serving_free(&n->kad_serving);
    pg_relaying_free(&n->relaying);
    pg_circuit_ends_free(&n->circuit_ends);
    pg_pool_free(&n->chunks);
    pg_pool_free(&n->links);
    pg_pool_free(&n->session_pool);
    pg_pool_free(&n->paths);
    pg_scope_free(&n->scope);
    pg_mdns_free(n->mdns); /* its timers stand in the scope's heap while anything steps */
    pg_budget_free(&n->budget);
    pg_address_book_free(&n->addresses);
    pg_pages_release(n->commands, n->command_room * sizeof *n->commands);
    pg_heap_give(n->arena.base);
    pg_heap_give(n);
}

struct pg_core pg_node_core(struct pg_node *n)
{
    return (struct pg_core){.self = n, .input = input, .poll = poll, .deadline = deadline, .want = want, .link = link_new, .unlink = link_free};
}

/* Small questions. */

void *pg_node_scratch(struct pg_node *n, size_t size)
{
    return pg_arena_take(&n->arena, size);
}

struct pg_scope *pg_node_scope(struct pg_node *n)
{
    return &n->scope;
}

struct pg_log *pg_node_log(struct pg_node *n)
{
    return n->log;
}

struct pg_metrics *pg_node_metrics(struct pg_node *n)
{
    n->metrics.value[PG_METRIC_LOG_LINES_SUPPRESSED] = n->log->suppressed;
    return &n->metrics;
}

struct pg_transport *pg_node_transport(struct pg_node *n)
{
    return &n->transport;
}

bool pg_node_stopping(const struct pg_node *n)
{
    return n->stopping;
}

const struct pg_peer_id *pg_node_own(const struct pg_node *n)
{
    return pg_identity_peer_id(n->config.identity);
}

uint64_t pg_node_limit(const struct pg_node *n, enum pg_limit limit)
{
    return n->config.limits.value[limit];
}

bool pg_node_rate_take(const struct pg_node *n, struct pg_rate *rate, enum pg_limit limit, uint64_t burst)
{
    uint64_t each_s = pg_node_limit(n, limit);
    return pg_rate_take(rate, n->scope.now_us, each_s, burst * each_s);
}

void pg_node_refuse(struct pg_node *n, enum pg_limit limit, const char *what, struct pg_bytes from)
{
    pg_budget_refuse(&n->budget, limit, what, from, n->scope.now_us);
}

/* splitmix64: for jitter and ping payloads, of which one gives away all others; keys come from libsodium, hash seeds from the
 * configuration. */
uint64_t pg_node_random(struct pg_node *n)
{
    uint64_t z = n->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void add_once(struct pg_multiaddr *out, uint32_t *count, const struct pg_multiaddr *addrs, uint32_t n)
{
    for (uint32_t i = 0; i < n && *count < PG_NODE_ADDRS; i++) {
        uint32_t same = 0;
        while (same < *count && !pg_multiaddr_equal(&out[same], &addrs[i]))
            same++;
        if (same == *count)
            out[(*count)++] = addrs[i];
    }
}

uint32_t pg_node_addrs(const struct pg_node *n, struct pg_multiaddr out[PG_NODE_ADDRS])
{
    struct pg_multiaddr seen[PG_OBSERVED_CONFIRMED], circuits[PG_MAX_RELAYS * PG_RESERVATION_ADDRS];
    uint32_t count = 0;
    add_once(out, &count, n->config.externals, n->config.n_externals);
    add_once(out, &count, seen, pg_observed_confirmed(n, seen, PG_OBSERVED_CONFIRMED));
    add_once(out, &count, n->addrs, n->n_addrs);
    add_once(out, &count, circuits, pg_reservations_addrs(n, circuits, PG_MAX_RELAYS * PG_RESERVATION_ADDRS));
    return count;
}

void pg_node_view(struct pg_node *n, struct pg_node_view *v)
{
    *v = (struct pg_node_view){.phase = pg_control_plane_phase(&n->control), .nat = pg_control_plane_nat(&n->control),
                               .relay = pg_control_plane_relay(&n->control)};
    v->n_addrs = pg_node_addrs(n, v->addrs);
    for (uint32_t i = 0; i < v->n_addrs; i++)
        (void)pg_multiaddr_append_p2p(&v->addrs[i], pg_identity_peer_id(n->config.identity));
}
