/* A process of the simulated world: one core, its clock, and its side of the links. The counterpart of runtime/loop: the
 * same commands, the same order of reading, writing and ending, so that what goes wrong there goes wrong here.
 * Called by tests/sim through sim.h, and by network.c when a socket can do something. */
#include "sim/sim_internal.h"

#include "errors.gen.h"

#include <assert.h>
#include <stdio.h>

#define LINGER_US 2000000u
#define DEAF_US 10000000u
enum { WAKE_US = 200, PEER = PG_LISTEN_PEER, LATE_US = 1000, VERY_LATE_US = 40000, OFTEN_LATE = 30 };

/* What goes in and out is what the trace remembers. */

static void tell(const struct pg_sim_process *p, const char *what, unsigned kind, const struct pg_link *link, size_t n)
{
    if (p->sim->tell_fd >= 0)
        dprintf(p->sim->tell_fd, "%14.6f process %u %s %u link %u bytes %zu\n", (double)p->sim->now_us / 1e6, p->number, what, kind,
                link ? link->number : 0, n);
}

/* A unix socket has no address. */
static struct pg_endpoint shown(struct pg_endpoint at)
{
    return at.family == PG_SIM_UNIX ? (struct pg_endpoint){0} : at;
}

static void input(struct pg_sim_process *p, const struct pg_input *in)
{
    struct pg_sim *s = p->sim;
    sim_mix_number(s, (uint64_t)p->number << 40 | (uint64_t)in->kind << 32 | (in->link ? in->link->number : 0));
    sim_mix_number(s, s->now_us);
    if (in->len)
        sim_mix(s, in->data, in->len);
    tell(p, "input", in->kind, in->link, in->len);
    p->core.input(p->core.self, in, s->now_us + p->ahead_us);
}

static void drain(struct pg_sim_process *);

void sim_process_feed(struct pg_sim_process *p, const struct pg_input *in)
{
    input(p, in);
    drain(p);
}

/* Readiness: what can be done waits in a list; one thing is done at a wake-up, in an order that the seed gives. */

static void on_wake(void *context, uint64_t argument);

static void wake(struct pg_sim_process *p, uint64_t at_us)
{
    if (p->wake_due || !p->running)
        return;
    p->wake_due = true;
    pg_sim_at(p->sim, at_us > p->frozen_until_us ? at_us : p->frozen_until_us, on_wake, p, 0);
}

static bool has_work(const struct pg_sim_socket *k)
{
    if (k->closed || !k->link || k->resolving)
        return false;
    if (k->listening)
        return k->backlog != NULL;
    if (k->dials)
        return !k->connecting;
    bool readable = sim_readable(k) > 0 || k->fin_arrived || k->reset;
    return (k->armed && !k->saw_end && readable) || (k->want_write && (k->writable || k->reset));
}

static void look(struct pg_sim_socket *k)
{
    struct pg_sim_process *p = k->process;
    if (k->ready || !has_work(k))
        return;
    k->ready = true;
    k->next_ready = p->ready;
    p->ready = k;
    p->n_ready++;
    wake(p, p->sim->now_us + pg_sim_below(p->sim, WAKE_US));
}

void sim_process_news(struct pg_sim_socket *k, enum pg_sim_news what)
{
    if (what == PG_SIM_WRITABLE)
        k->writable = true;
    look(k);
}

static void unlist(struct pg_sim_socket **list, struct pg_sim_socket *k, size_t next_offset)
{
    for (; *list; list = (struct pg_sim_socket **)((char *)*list + next_offset))
        if (*list == k) {
            *list = *(struct pg_sim_socket **)((char *)k + next_offset);
            return;
        }
}

static void take_from_ready(struct pg_sim_socket *k)
{
    if (!k->ready)
        return;
    unlist(&k->process->ready, k, offsetof(struct pg_sim_socket, next_ready));
    k->process->n_ready--;
    k->ready = false;
}

/* What uv_poll would be asked for: compare pg_os_arm in runtime/loop/link.c. */
static void arm(struct pg_sim_socket *k, bool want_write)
{
    k->armed = (k->listening || (k->link->credit > 0 && !k->link->closing) || k->lingers) && !k->saw_end && !k->dials;
    k->want_write = want_write;
    look(k);
}

/* The end of a link. */

static void adopt(struct pg_sim_process *p, struct pg_sim_socket *k, struct pg_link *link)
{
    k->process = p;
    k->link = link;
    k->next_own = p->own;
    p->own = k;
    link->os = k;
    p->n_links++;
}

static void end(struct pg_sim_socket *k, bool hard)
{
    struct pg_sim_process *p = k->process;
    struct pg_link *link = k->link;
    if (!link)
        return;
    take_from_ready(k);
    if (k->dirty)
        unlist(&p->dirty, k, offsetof(struct pg_sim_socket, next_dirty));
    k->dirty = false;
    sim_release(k, hard);
    k->link = NULL;
    link->os = NULL;
    p->n_links--;
    p->core.unlink(p->core.self, link);
}

static void lost(struct pg_sim_socket *k, int error, const char *reason, bool listen)
{
    struct pg_sim_process *p = k->process;
    if (!k->link)
        return;
    if (!k->link->closing)
        input(p, &(struct pg_input){.kind = listen ? PG_INPUT_LISTEN_FAILED : PG_INPUT_LOST, .link = k->link, .error = error,
                                    .reason = pg_text(reason)});
    end(k, false);
    drain(p);
}

static void lost_open(struct pg_sim_socket *k)
{
    if (k->failure)
        lost(k, k->failure, "Connection timed out", false);
    else
        lost(k, PG_ERR_CLOSED, "Connection reset by peer", false);
}

static void on_linger(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    (void)argument;
    if (k->link && k->lingers && k->process->running && k->linger_until_us <= k->sim->now_us)
        end(k, k->link->tx.bytes > 0);
}

static void linger(struct pg_sim_socket *k, uint64_t us)
{
    k->lingers = true;
    k->linger_until_us = k->sim->now_us + us;
    pg_sim_at(k->sim, k->linger_until_us, on_linger, k, 0);
}

/* Writing. */

static void after_flush(struct pg_sim_socket *k)
{
    if (k->end_asked && !k->end_done) {
        k->end_done = true;
        sim_shut(k);
    }
    if (!k->close_asked || k->flushed)
        return;
    k->flushed = true;
    if (k->saw_end) {
        end(k, false);
        return;
    }
    linger(k, LINGER_US);
    arm(k, false);
}

/* Writes what the socket takes. */
static void flush(struct pg_sim_socket *k)
{
    struct pg_sim_process *p = k->process;
    struct pg_link *link = k->link;
    size_t before = link->tx.bytes;
    struct pg_bytes slice;
    while (link->tx.bytes > 0) {
        if (!k->open) {
            lost_open(k);
            return;
        }
        (void)pg_queue_peek(&link->tx, &slice, 1);
        size_t n = sim_write(k, slice.at, slice.len);
        sim_mix(p->sim, slice.at, n);
        if (n == 0)
            break;
        pg_queue_drop(&link->tx, n);
    }
    bool shorter = link->tx.bytes < before, done = link->tx.bytes == 0;
    if (!done)
        k->writable = false;
    if (shorter && !link->closing)
        input(p, &(struct pg_input){.kind = PG_INPUT_WRITTEN, .link = link});
    if (done)
        after_flush(k);
    else
        arm(k, true);
}

/* Reading. */

static void receive(struct pg_sim_socket *k, size_t room)
{
    struct pg_sim_process *p = k->process;
    size_t there = sim_readable(k), n = there < room ? there : room;
    /* A block of its own, so that the sanitizers see what is touched outside of it. */
    uint8_t *block = malloc(PG_READ_HEADROOM + n);
    assert(block);
    n = sim_read(k, block + PG_READ_HEADROOM, n);
    if (!k->lingers)
        sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_RECEIVED, .link = k->link, .data = block + PG_READ_HEADROOM, .len = n});
    free(block);
}

static void on_readable(struct pg_sim_socket *k)
{
    struct pg_sim_process *p = k->process;
    size_t room = k->lingers ? PG_READ_MAX : p->core.want(p->core.self, k->link);
    room = room < PG_READ_MAX ? room : PG_READ_MAX;
    if (room == 0) {
        arm(k, k->want_write);
        return;
    }
    if (sim_readable(k) > 0) {
        receive(k, room);
        if (k->link && k->link->credit == 0)
            arm(k, k->want_write);
        return;
    }
    if (k->reset) {
        lost_open(k);
        return;
    }
    if (k->lingers) {
        end(k, false);
        return;
    }
    k->saw_end = true;
    arm(k, k->want_write);
    sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_ENDED, .link = k->link});
}

static void on_connected(struct pg_sim_socket *k)
{
    static const char *const reasons[] = {"Connection refused", "Connection timed out", "this address leads to ourselves"};
    if (!k->open) {
        int error = k->failure ? k->failure : PG_ERR_CLOSED;
        lost(k, error, reasons[error == PG_ERR_TIMEOUT ? 1 : error == PG_ERR_SELF_DIAL ? 2 : 0], false);
        return;
    }
    k->dials = false;
    k->writable = true;
    sim_process_feed(k->process, &(struct pg_input){.kind = PG_INPUT_CONNECTED, .link = k->link, .remote = shown(k->remote), .local = shown(k->local)});
    if (k->link)
        arm(k, k->link->tx.bytes > 0);
}

static void accept_one(struct pg_sim_socket *listener, struct pg_sim_socket *k)
{
    struct pg_sim_process *p = listener->process;
    struct pg_link *fresh = p->core.link(p->core.self);
    if (!fresh) {
        sim_release(k, true);
        return;
    }
    adopt(p, k, fresh);
    k->mode = listener->mode;
    k->writable = true;
    input(p, &(struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = listener->link, .fresh = fresh, .remote = shown(k->remote), .local = shown(k->local)});
    drain(p);
    if (k->link)
        arm(k, fresh->tx.bytes > 0);
}

static void on_acceptable(struct pg_sim_socket *listener)
{
    struct pg_sim_process *p = listener->process;
    struct pg_sim_socket *k = sim_accept(listener);
    if (p->starved_until_us <= p->sim->now_us) {
        accept_one(listener, k);
        return;
    }
    sim_release(k, true);
    sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_ACCEPT_FAILED, .link = listener->link,
                               .reason = PG_LIT("no file descriptors left, a connection was closed at once (ulimit -n)")});
}

static void serve(struct pg_sim_socket *k)
{
    if (k->dials) {
        on_connected(k);
        return;
    }
    if (k->listening) {
        on_acceptable(k);
        return;
    }
    if (k->want_write && (k->writable || k->reset)) {
        flush(k);
        if (k->link)
            arm(k, k->link->tx.bytes > 0);
        drain(k->process);
    }
    bool readable = k->link && k->armed && !k->saw_end && (sim_readable(k) > 0 || k->fin_arrived || k->reset);
    if (readable)
        on_readable(k);
}

static void on_wake(void *context, uint64_t argument)
{
    struct pg_sim_process *p = context;
    (void)argument;
    p->wake_due = false;
    if (!p->running || !p->ready)
        return;
    if (p->frozen_until_us > p->sim->now_us) {
        wake(p, p->frozen_until_us);
        return;
    }
    struct pg_sim_socket *k = p->ready;
    for (uint32_t n = pg_sim_below(p->sim, p->n_ready); n > 0; n--)
        k = k->next_ready;
    take_from_ready(k);
    if (has_work(k))
        serve(k);
    if (k->link)
        look(k);
    if (p->ready)
        wake(p, p->sim->now_us + pg_sim_below(p->sim, WAKE_US));
}

/* Commands. */

static void mark_dirty(struct pg_sim_socket *k)
{
    if (k->dirty)
        return;
    k->dirty = true;
    k->next_dirty = k->process->dirty;
    k->process->dirty = k;
}

/* False for a name that has to be asked for. */
static bool address_of(const struct pg_command *c, struct pg_endpoint *out)
{
    char text[64];
    unsigned a[4];
    *out = c->endpoint;
    if (c->path.len) {
        pg_bytes_text(text, sizeof text, c->path);
        *out = pg_sim_unix(text);
        return true;
    }
    if (c->host.len == 0)
        return c->endpoint.family == 4;
    pg_bytes_text(text, sizeof text, c->host);
    if (strcmp(text, "localhost") == 0) {
        *out = pg_sim_loopback(c->endpoint.port);
        return true;
    }
    if (sscanf(text, "%u.%u.%u.%u", &a[0], &a[1], &a[2], &a[3]) != 4)
        return false;
    *out = (struct pg_endpoint){.family = 4, .ip = {(uint8_t)a[0], (uint8_t)a[1], (uint8_t)a[2], (uint8_t)a[3]}, .port = c->endpoint.port};
    return true;
}

static void run_listen(struct pg_sim_process *p, struct pg_sim_socket *k, const struct pg_command *c)
{
    struct pg_endpoint at;
    if (!address_of(c, &at)) {
        lost(k, PG_ERR_UNREACHABLE, "listeners of this world ask for no names", true);
    } else if (!sim_listen(k, &at)) {
        lost(k, PG_ERR_LOCAL_IN_USE, "Address already in use", true);
    } else {
        arm(k, false);
        input(p, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = shown(k->local)});
    }
}

static void run_dial(struct pg_sim_socket *k, const struct pg_command *c)
{
    struct pg_endpoint at;
    k->dials = true;
    if (address_of(c, &at)) {
        sim_connect(k, &at, c->mode == PG_DIAL_PEER ? &c->from : &(struct pg_endpoint){0});
        return;
    }
    k->remote.port = c->endpoint.port;
    sim_resolve_link(k, c->host);
}

void sim_named(struct pg_sim_socket *k, const struct pg_endpoint *found)
{
    k->resolving = false;
    if (!found) {
        lost(k, PG_ERR_UNREACHABLE, "there is no such name", false);
        return;
    }
    struct pg_endpoint to = *found;
    to.port = k->remote.port;
    sim_connect(k, &to, &(struct pg_endpoint){0});
}

static void run_open(struct pg_sim_process *p, const struct pg_command *c)
{
    if (c->link->os)
        return; /* a dial that begins anew: no SYN gets lost here */
    struct pg_sim_socket *k = sim_socket(p->sim, p->host);
    adopt(p, k, c->link);
    k->mode = c->mode;
    if (c->kind == PG_COMMAND_LISTEN)
        run_listen(p, k, c);
    else
        run_dial(k, c);
}

static void run_close(struct pg_sim_socket *k)
{
    if (k->listening || k->dials) {
        end(k, false);
        return;
    }
    k->close_asked = k->end_asked = true;
    /* A local client may pause for as long as it likes; a peer that does not read costs others. */
    if (k->mode == PEER)
        linger(k, DEAF_US);
    mark_dirty(k);
}

static void run(struct pg_sim_process *p, const struct pg_command *c)
{
    struct pg_sim_socket *k = c->link ? c->link->os : NULL;
    sim_mix_number(p->sim, (uint64_t)p->number << 40 | (uint64_t)c->kind << 32 | (c->link ? c->link->number : 0));
    tell(p, "command", c->kind, c->link, c->link ? c->link->tx.bytes : 0);
    if (c->link && !k && c->kind != PG_COMMAND_LISTEN && c->kind != PG_COMMAND_DIAL)
        return; /* the link died before its turn came */
    switch (c->kind) {
    case PG_COMMAND_LISTEN:
    case PG_COMMAND_DIAL: run_open(p, c); return;
    case PG_COMMAND_WRITE: mark_dirty(k); return;
    case PG_COMMAND_READ: arm(k, k->want_write); return;
    case PG_COMMAND_END:
        k->end_asked = true;
        mark_dirty(k);
        return;
    case PG_COMMAND_CLOSE: run_close(k); return;
    case PG_COMMAND_RESET: end(k, true); return;
    case PG_COMMAND_RESOLVE: sim_resolve(p, c->number, c->mode, c->host); return;
    case PG_COMMAND_FORGET: sim_forget(p, c->number); return;
    case PG_COMMAND_BIND: sim_bind(p, c->number, &c->endpoint); return;
    case PG_COMMAND_SEND: sim_send(p, c->number, &c->endpoint, c->text); return;
    case PG_COMMAND_UNBIND: sim_unbind(p, c->number); return;
    case PG_COMMAND_READY:
        if (p->hooks.ready)
            p->hooks.ready(p->hooks.context);
        return;
    case PG_COMMAND_REPORT:
        if (p->hooks.report)
            p->hooks.report(p->hooks.context, c->text);
        return;
    case PG_COMMAND_STOP:
        p->status = c->status;
        p->stopping = true;
        p->stop_until_us = p->sim->now_us + DEAF_US;
        return;
    }
}

static void on_deadline(void *context, uint64_t number)
{
    struct pg_sim_process *p = context;
    if (!p->running || number != p->deadline_number)
        return;
    if (p->frozen_until_us > p->sim->now_us) {
        pg_sim_at(p->sim, p->frozen_until_us, on_deadline, p, number);
        return;
    }
    p->deadline_us = UINT64_MAX;
    p->ticks++;
    sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_TICK});
}

static void set_deadline(struct pg_sim_process *p)
{
    uint64_t at = p->core.deadline(p->core.self), now = p->sim->now_us, local = now + p->ahead_us;
    if (at == p->deadline_us)
        return;
    p->deadline_us = at;
    p->deadline_number++;
    if (at == UINT64_MAX)
        return;
    /* As late as a timer of whole milliseconds, or as one of a busy machine. */
    uint64_t late = pg_sim_below(p->sim, pg_sim_chance(p->sim, OFTEN_LATE) ? VERY_LATE_US : LATE_US);
    pg_sim_at(p->sim, now + (at > local ? at - local : 0) + late, on_deadline, p, p->deadline_number);
}

static void look_for_unsent(void *context, uint64_t argument);

static void drain(struct pg_sim_process *p)
{
    struct pg_command c;
    if (p->draining || !p->running)
        return;
    p->draining = true;
    do {
        while (p->core.poll(p->core.self, &c))
            run(p, &c);
        while (p->dirty) {
            struct pg_sim_socket *k = p->dirty;
            p->dirty = k->next_dirty;
            k->dirty = false;
            if (!k->dials)
                flush(k);
        }
    } while (p->core.poll(p->core.self, &c) && (run(p, &c), true));
    p->draining = false;
    set_deadline(p);
    if (p->stopping && !p->stop_seen) {
        p->stop_seen = true;
        pg_sim_at(p->sim, p->sim->now_us, look_for_unsent, p, 0);
    }
}

/* Life. */

static void leave(struct pg_sim_process *p, bool power_lost)
{
    p->running = false;
    p->dirty = p->ready = NULL;
    p->n_ready = p->n_links = 0;
    for (struct pg_sim_socket *k = p->own; k; k = k->next_own) {
        if (!k->link)
            continue;
        k->link = NULL;
        k->ready = k->dirty = false;
        if (power_lost && k->other && k->other->host != k->host) {
            k->closed = true;
            k->open = k->connecting = false;
        } else {
            sim_release(k, power_lost); /* clients and services of this machine are scripts, and those go on */
        }
    }
}

/* What has been said already still leaves. */
static void look_for_unsent(void *context, uint64_t argument)
{
    enum { AGAIN_US = 20000 };
    struct pg_sim_process *p = context;
    bool unsent = false;
    (void)argument;
    if (!p->running)
        return;
    for (struct pg_sim_socket *k = p->own; k; k = k->next_own)
        unsent |= k->link && !k->dials && k->link->tx.bytes > 0;
    if (unsent && p->sim->now_us < p->stop_until_us) {
        pg_sim_at(p->sim, p->sim->now_us + AGAIN_US, look_for_unsent, p, 0);
        return;
    }
    leave(p, false);
    if (p->hooks.stopped)
        p->hooks.stopped(p->hooks.context, p->status);
}

struct pg_sim_process *pg_sim_join(struct pg_sim *s, unsigned host, const struct pg_core *core, struct pg_sim_hooks hooks)
{
    struct pg_sim_process *p = sim_take(sizeof *p);
    p->sim = s; /* one by one: most processes never touch the room for their questions */
    p->next = s->processes;
    p->core = *core;
    p->hooks = hooks;
    p->host = host;
    p->number = ++s->n_processes;
    p->deadline_us = UINT64_MAX;
    s->processes = p;
    s->host_down[host] = false;
    return p;
}

void pg_sim_start(struct pg_sim_process *p)
{
    p->running = true;
    sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_START});
}

void pg_sim_ways(struct pg_sim_process *p, const struct pg_endpoint *found, uint32_t n)
{
    if (p->running)
        sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_WAYS, .found = found, .n_found = n});
}

void pg_sim_poke(struct pg_sim_process *p)
{
    if (p->running)
        sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_TICK});
}

static void on_signal(void *context, uint64_t argument)
{
    struct pg_sim_process *p = context;
    (void)argument;
    if (p->running && p->frozen_until_us > p->sim->now_us) {
        pg_sim_at(p->sim, p->frozen_until_us, on_signal, p, 0);
        return;
    }
    p->interrupted = true;
    if (p->running && !p->stopping)
        sim_process_feed(p, &(struct pg_input){.kind = PG_INPUT_STOP});
}

static void on_hangup(void *context, uint64_t argument)
{
    struct pg_sim_process *p = context;
    struct pg_input in = {.kind = PG_INPUT_RELOAD};
    (void)argument;
    if (p->running && p->frozen_until_us > p->sim->now_us)
        pg_sim_at(p->sim, p->frozen_until_us, on_hangup, p, 0);
    else if (p->running && !p->stopping && !p->interrupted && p->hooks.reload(p->hooks.context, &in.data, &in.len))
        sim_process_feed(p, &in);
}

void pg_sim_signal(struct pg_sim_process *p)
{
    pg_sim_at(p->sim, p->sim->now_us, on_signal, p, 0);
}

void pg_sim_reload(struct pg_sim_process *p)
{
    pg_sim_at(p->sim, p->sim->now_us, on_hangup, p, 0);
}

void pg_sim_kill(struct pg_sim_process *p, enum pg_sim_death how)
{
    if (!p->running)
        return;
    leave(p, how == PG_SIM_POWER_LOST);
    if (how == PG_SIM_POWER_LOST)
        p->sim->host_down[p->host] = true;
}

void pg_sim_freeze(struct pg_sim_process *p, uint64_t for_us, bool clock_runs)
{
    if (p->frozen_until_us > p->sim->now_us)
        return;
    p->frozen_until_us = p->sim->now_us + for_us;
    if (!clock_runs)
        p->ahead_us -= for_us; /* may go below zero: times are told apart by their differences */
}

void pg_sim_clock(struct pg_sim_process *p, uint64_t ahead_us)
{
    p->ahead_us = ahead_us;
}

void pg_sim_starve(struct pg_sim_process *p, uint64_t until_us)
{
    p->starved_until_us = until_us;
}

bool pg_sim_is_running(const struct pg_sim_process *p)
{
    return p->running;
}

uint64_t pg_sim_ticks(const struct pg_sim_process *p)
{
    return p->ticks;
}

unsigned pg_sim_sockets(const struct pg_sim_process *p)
{
    return p->n_links;
}
