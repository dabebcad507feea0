/* The loop: turns libuv's callbacks into inputs of the core and the core's commands into system calls.
 * Called by src/cli. Sockets are watched by uv_poll and read and written here, so that the amount read is the
 * core's credit and writes are gathered straight from its queues. See docs/ARCHITECTURE.md, "The loop". */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { DEAF_MS = 10000, SWEEP_MS = 1000, HELD_MS = 50, HELD_MOST_MS = 2000, CLOCK_STEP_US = 2000000, PEER = PG_LISTEN_PEER };
_Static_assert((int)PG_LISTEN_PEER == (int)PG_DIAL_PEER, "one mode says that a link leads to a peer");

uint64_t pg_loop_now_us(void)
{
    return uv_hrtime() / 1000;
}

void pg_loop_feed(struct pg_loop *l, const struct pg_input *in)
{
    l->core->input(l->core->self, in, pg_loop_now_us());
    pg_loop_drain(l);
}

uint64_t pg_loop_unix_offset_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - pg_loop_now_us();
}

/* Commands. */

static void on_held(uv_timer_t *timer);

/* A socket that was just made is watched; when there is none, the next address is tried, or the link is lost. */
static bool watch(struct os_link *o, int fd, const char *busy)
{
    int why = errno, error;
    if (fd < 0) {
        if (!pg_os_try_next(o))
            pg_os_lost(o, pg_socket_error(why), busy && why == EAGAIN ? busy : strerror(why));
        return false;
    }
    o->read_fd = o->write_fd = fd;
    error = pg_os_watch(o);
    if (error != 0)
        pg_os_lost(o, PG_ERR_NO_MEMORY, uv_strerror(error));
    return error == 0;
}

static void run_listen(struct pg_loop *l, const struct pg_command *c)
{
    struct os_link *o = c->link->os;
    char path[PATH_MAX];
    int fd;
    if (c->path.len) {
        snprintf(path, sizeof path, "%.*s", (int)c->path.len, (const char *)c->path.at);
        fd = pg_socket_listen_unix(path);
        if (fd >= 0)
            o->unlink_path = strdup(path);
    } else {
        fd = pg_socket_listen(&o->remote, c->mode);
    }
    if (!watch(o, fd, NULL))
        return;
    pg_os_arm(o, false);
    struct pg_endpoint bound, at[PG_SOCKET_ADDRESSES];
    pg_socket_local(fd, &bound);
    unsigned n = c->mode == PG_LISTEN_PEER ? pg_socket_addresses(&bound, at) : 0;
    if (n == 0)
        at[n++] = bound;
    for (unsigned i = 0; i < n; i++)
        l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = at[i]}, pg_loop_now_us());
}

/* A connection that has ended holds its ports for a round trip more, also when it was that of a process before us: of a peer that is started
 * again. Whoever then dials from another port is not told where the listening one is seen. */
static void hold(struct os_link *o)
{
    struct pg_loop *l = o->loop;
    if (!o->held_until_ms)
        o->held_until_ms = uv_now(&l->uv) + HELD_MOST_MS;
    o->connecting = o->held = true;
    o->next_held = l->held;
    l->held = o;
    if (!uv_is_active((uv_handle_t *)&l->held_timer))
        uv_timer_start(&l->held_timer, on_held, HELD_MS, 0);
}

static void run_dial(const struct pg_command *c)
{
    struct os_link *o = c->link->os;
    bool waits = c->waits && (!o->held_until_ms || uv_now(&o->loop->uv) < o->held_until_ms);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.*s", (int)c->path.len, (const char *)c->path.at);
    int fd = c->path.len ? pg_socket_dial_unix(path) : pg_socket_dial(&o->remote, &c->from, c->mode, c->meets || waits, o->loop->congestion);
    if (fd < 0 && waits && errno == EADDRINUSE) {
        hold(o);
        return;
    }
    if (fd < 0 && waits)
        fd = pg_socket_dial(&o->remote, &c->from, c->mode, false, o->loop->congestion);
    o->connecting = fd >= 0;
    if (watch(o, fd, c->path.len ? "its queue of connections is full" : NULL))
        pg_os_arm(o, true);
}

static void on_held(uv_timer_t *timer)
{
    struct pg_loop *l = timer->data;
    struct os_link *all = l->held;
    l->held = NULL;
    l->draining = true; /* none of the others ends meanwhile */
    for (struct os_link *o = all; o; o = all) {
        all = o->next_held;
        o->held = false;
        run_dial(&(struct pg_command){.link = o->link, .mode = o->mode, .from = o->from, .waits = true});
    }
    l->draining = false;
    pg_loop_drain(l);
}

static void run_resolved(struct os_link *o)
{
    uint16_t port = o->remote.port;
    o->remote = o->found[o->next_found++];
    o->remote.port = port;
    struct pg_command c = {.link = o->link, .mode = o->mode, .from = o->from};
    if (o->listening)
        run_listen(o->loop, &c);
    else
        run_dial(&c);
}

/* A handle of libuv cannot be used again at once, so the link goes on with a fresh system side. */
bool pg_os_try_next(struct os_link *o)
{
    struct pg_link *link = o->link;
    bool more = o->next_found < o->n_found;
    struct os_link *next = more && !link->closing ? pg_os_new(o->loop, link, -1, -1) : NULL;
    if (!next)
        return false;
    next->remote.port = o->remote.port;
    next->from = o->from;
    next->mode = o->mode;
    next->listening = o->listening;
    next->found = o->found;
    next->n_found = o->n_found;
    next->next_found = o->next_found;
    o->found = NULL;
    o->link = NULL;
    pg_os_end(o, false);
    run_resolved(next);
    return true;
}

void pg_os_resolved(struct os_link *o, int error, const char *reason)
{
    if (reason)
        pg_os_lost(o, error, reason);
    else
        run_resolved(o);
}

/* Names are resolved first; plain addresses start at once. */
static void run_open(struct pg_loop *l, const struct pg_command *c)
{
    struct os_link *o = pg_os_new(l, c->link, -1, -1);
    bool listen = c->kind == PG_COMMAND_LISTEN;
    if (!o) {
        if (!c->link->closing)
            l->core->input(l->core->self, &(struct pg_input){.kind = listen ? PG_INPUT_LISTEN_FAILED : PG_INPUT_LOST,
                           .link = c->link, .error = PG_ERR_NO_MEMORY, .reason = PG_LIT("out of memory")}, pg_loop_now_us());
        l->core->unlink(l->core->self, c->link);
        return;
    }
    o->remote = c->endpoint;
    o->from = c->from;
    o->mode = c->mode;
    o->listening = listen;
    if (c->host.len == 0) {
        if (listen)
            run_listen(l, c);
        else
            run_dial(c);
        return;
    }
    pg_names_resolve_link(o, c->host);
}

/* Its SYN may be lost, and the kernel would wait for a second. With an answer half here it goes on instead. */
static void run_dial_again(struct os_link *o, const struct pg_command *c)
{
    struct os_link *next = o->connecting && pg_socket_is_unanswered(o->write_fd) ? pg_os_new(o->loop, o->link, -1, -1) : NULL;
    if (!next)
        return;
    next->remote = c->endpoint;
    next->from = c->from;
    next->mode = c->mode;
    o->link = NULL;
    pg_os_end(o, false); /* first, for the pair of addresses can be used but once */
    run_dial(c);
}

static void run(struct pg_loop *l, const struct pg_command *c)
{
    struct os_link *o = c->link ? c->link->os : NULL;
    if (c->link && !o && c->kind != PG_COMMAND_LISTEN && c->kind != PG_COMMAND_DIAL)
        return; /* the link died before its turn came */
    switch (c->kind) {
    case PG_COMMAND_DIAL:
        if (o)
            run_dial_again(o, c);
        else
            run_open(l, c);
        return;
    case PG_COMMAND_LISTEN: run_open(l, c); return;
    case PG_COMMAND_WRITE: pg_os_mark_dirty(o); return;
    case PG_COMMAND_READ:
        if (!o->dead)
            pg_os_arm(o, pg_os_waits_to_write(o));
        return;
    case PG_COMMAND_END:
        o->end_asked = true;
        pg_os_mark_dirty(o);
        return;
    case PG_COMMAND_CLOSE:
        if (o->listening || o->connecting || o->resolving) {
            pg_os_end(o, false);
            return;
        }
        o->close_asked = o->end_asked = true;
        /* A local client may pause for as long as it likes; a peer that does not read costs others. */
        if (o->mode == PEER && !o->adopted)
            pg_os_linger(o, DEAF_MS);
        pg_os_mark_dirty(o);
        return;
    case PG_COMMAND_RESET: pg_os_end(o, true); return;
    case PG_COMMAND_RESOLVE: pg_names_resolve(l, c->number, c->mode, c->host); return;
    case PG_COMMAND_FORGET: pg_names_forget(l, c->number); return;
    case PG_COMMAND_BIND: pg_datagram_bind(l, c->number, &c->endpoint); return;
    case PG_COMMAND_SEND: pg_datagram_send(l, c->number, &c->endpoint, c->text); return;
    case PG_COMMAND_UNBIND: pg_datagram_unbind(l, c->number); return;
    case PG_COMMAND_READY:
        if (l->hooks.ready)
            l->hooks.ready(l->hooks.context);
        return;
    case PG_COMMAND_REPORT:
        if (l->hooks.report && !l->hooks.report(l->hooks.context, c->text) && !l->stopping)
            l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_STOP}, pg_loop_now_us());
        return;
    case PG_COMMAND_STOP:
        l->status = c->status;
        l->stopping = true;
        l->stop_until_ms = uv_now(&l->uv) + DEAF_MS;
        return;
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct pg_loop *l = timer->data;
    pg_names_tick(l);
    if (l->core->deadline(l->core->self) <= pg_loop_now_us())
        pg_loop_feed(l, &(struct pg_input){.kind = PG_INPUT_TICK});
    else
        pg_loop_drain(l);
}

/* Whoever counts in seconds since 1970 has to hear of a clock that was set: at the first turn behind it, for nothing else wakes us. */
static void watch_clock(struct pg_loop *l)
{
    uint64_t offset = pg_loop_unix_offset_us(), step = offset - l->unix_offset_us;
    if (step + CLOCK_STEP_US < 2 * CLOCK_STEP_US)
        return;
    l->unix_offset_us = offset;
    pg_loop_feed(l, &(struct pg_input){.kind = PG_INPUT_CLOCK, .number = (uint32_t)((pg_loop_now_us() + offset) / 1000000)});
}

/* One timer for the core's deadline and for names that are being asked for. */
static void set_deadline(struct pg_loop *l)
{
    uint64_t at = l->core->deadline(l->core->self), now = pg_loop_now_us(), names_ms = pg_names_wait_ms(l);
    if (at == UINT64_MAX && names_ms == UINT64_MAX) {
        uv_timer_stop(&l->deadline);
        return;
    }
    uint64_t ms = at == UINT64_MAX ? UINT64_MAX : at > now ? (at - now + 999) / 1000 : 0;
    uv_update_time(&l->uv);
    uv_timer_start(&l->deadline, on_deadline, ms < names_ms ? ms : names_ms, 0);
}

static void look_for_unsent(uv_handle_t *handle, void *context)
{
    bool *unsent = context;
    const struct os_link *o = handle->data;
    if (handle->type != UV_POLL || uv_is_closing(handle) || !o) /* NULL: a socket of the resolver, or of datagrams */
        return;
    /* Whoever reads our standard output may take all the time there is; a peer may not. */
    if (!o->dead && !o->connecting && o->link->tx.bytes > 0 && ((o->adopted && !o->loop->interrupted) || uv_now(&o->loop->uv) < o->loop->stop_until_ms))
        *unsent = true;
}

/* What has been said already still leaves. */
static void stop_when_written(struct pg_loop *l)
{
    bool unsent = false;
    uv_walk(&l->uv, look_for_unsent, &unsent);
    if (!unsent)
        uv_stop(&l->uv);
}

/* Runs every command, then writes once for each link that has something: many small writes leave as one. */
void pg_loop_drain(struct pg_loop *l)
{
    if (l->draining)
        return;
    l->draining = true;
    struct pg_command c;
    do {
        while (l->core->poll(l->core->self, &c))
            run(l, &c);
        while (l->dirty) {
            struct os_link *o = l->dirty;
            l->dirty = o->next_dirty;
            o->dirty = false;
            if (!o->connecting)
                (void)pg_os_flush(o);
        }
    } while (l->core->poll(l->core->self, &c) && (run(l, &c), true));
    l->draining = false;
    set_deadline(l);
    if (l->stopping)
        stop_when_written(l);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct pg_loop *l = signal->data;
    (void)number;
    l->interrupted = true;
    if (l->stopping) { /* what is left waits for a reader that may never come */
        uv_stop(&l->uv);
        return;
    }
    pg_loop_feed(l, &(struct pg_input){.kind = PG_INPUT_STOP});
}

/* Two at once are one or two: each reads what is there then. */
static void on_hangup(uv_signal_t *signal, int number)
{
    struct pg_loop *l = signal->data;
    struct pg_input in = {.kind = PG_INPUT_RELOAD};
    (void)number;
    if (!l->stopping && !l->interrupted && l->hooks.reload(l->hooks.context, &in.data, &in.len))
        pg_loop_feed(l, &in);
}

static void on_linger(uv_timer_t *timer)
{
    struct pg_loop *l = timer->data;
    struct os_link *o = l->lingers;
    while (o) {
        struct os_link *next = o->next_linger;
        if (o->linger_until_ms <= uv_now(&l->uv))
            pg_os_end(o, o->link->tx.bytes > 0);
        o = next;
    }
    pg_os_resume_listeners(l); /* whoever has taken the descriptors may be another process, whose end nobody tells */
    if (l->stopping)
        stop_when_written(l);
    else if (!l->lingers)
        uv_timer_stop(&l->linger_timer);
}

static void before_wait(uv_prepare_t *prepare)
{
    struct pg_loop *l = prepare->data;
    if ((l->lingers || l->stopping || l->paused) && !uv_is_active((uv_handle_t *)&l->linger_timer))
        uv_timer_start(&l->linger_timer, on_linger, SWEEP_MS, SWEEP_MS);
    watch_clock(l);
}

uint64_t pg_loop_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return UINT64_MAX;
    rlim_t before = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_max : before;
}

struct pg_loop *pg_loop_new(const struct pg_core *core)
{
    struct pg_loop *l = calloc(1, sizeof *l);
    uint8_t *buffer = malloc(PG_READ_HEADROOM + PG_READ_MAX);
    if (!l || !buffer || uv_loop_init(&l->uv) != 0) {
        free(buffer);
        free(l);
        return NULL;
    }
    l->core = core;
    l->buffer = buffer;
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pg_socket_congestion(l->congestion);
    uv_timer_init(&l->uv, &l->deadline);
    uv_timer_init(&l->uv, &l->linger_timer);
    uv_timer_init(&l->uv, &l->held_timer);
    uv_signal_init(&l->uv, &l->interrupt);
    uv_signal_init(&l->uv, &l->terminate);
    uv_signal_init(&l->uv, &l->hangup);
    uv_idle_init(&l->uv, &l->pump);
    uv_prepare_init(&l->uv, &l->prepare);
    l->prepare.data = l->deadline.data = l->linger_timer.data = l->held_timer.data = l->interrupt.data = l->terminate.data = l->hangup.data = l->pump.data = l;
    signal(SIGPIPE, SIG_IGN);
    return l;
}

void pg_loop_hooks(struct pg_loop *l, struct pg_loop_hooks hooks)
{
    l->hooks = hooks;
}

bool pg_loop_name_server(struct pg_loop *l, const struct pg_endpoint *server)
{
    if (l->names.n_servers == PG_DNS_SERVERS)
        return false;
    l->names.servers[l->names.n_servers++] = *server;
    return true;
}

bool pg_loop_adopt(struct pg_loop *l, int read_fd, int write_fd)
{
    if (l->n_adopted == 2)
        return false;
    l->adopted[l->n_adopted].read_fd = read_fd;
    l->adopted[l->n_adopted++].write_fd = write_fd;
    return true;
}

static void start_adopted(struct pg_loop *l)
{
    for (unsigned i = 0; i < l->n_adopted; i++) {
        struct pg_link *link = l->core->link(l->core->self);
        struct os_link *o = link ? pg_os_new(l, link, l->adopted[i].read_fd, l->adopted[i].write_fd) : NULL;
        if (!o)
            continue;
        o->adopted = true;
        if (pg_os_watch(o) != 0) {
            pg_os_end(o, false);
            continue;
        }
        l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_CONNECTED, .link = link}, pg_loop_now_us());
    }
}

/* One that came while the peer was being set up has been held back by main.c and comes now. */
static void watch_hangup(struct pg_loop *l)
{
    sigset_t hangup;
    uv_signal_start(&l->hangup, on_hangup, SIGHUP);
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    (void)sigprocmask(SIG_UNBLOCK, &hangup, NULL);
}

int pg_loop_run(struct pg_loop *l)
{
    l->unix_offset_us = pg_loop_unix_offset_us();
    uv_prepare_start(&l->prepare, before_wait);
    uv_signal_start(&l->interrupt, on_signal, SIGINT);
    uv_signal_start(&l->terminate, on_signal, SIGTERM);
    if (l->hooks.reload)
        watch_hangup(l);
    l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_START}, pg_loop_now_us());
    pg_ways_watch(l);
    start_adopted(l);
    pg_loop_drain(l);
    uv_run(&l->uv, UV_RUN_DEFAULT); /* returns at once when a stop was asked for already */
    return l->status;
}

int pg_loop_unwritten(const struct pg_loop *l)
{
    return l->unwritten;
}

/* The core is not told: whoever has links in it still counts on them, until it goes itself. */
static void close_socket_left(struct os_link *o)
{
    if (o->link)
        o->link->os = NULL;
    o->link = NULL;
    pg_os_end(o, false);
}

static void close_left(uv_handle_t *handle, void *context)
{
    (void)context;
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_POLL)
        close_socket_left(handle->data);
    else
        uv_close(handle, NULL);
}

void pg_loop_free(struct pg_loop *l)
{
    if (!l)
        return;
    l->draining = true; /* what the core still wants is not done any more */
    pg_names_end(l);
    pg_datagrams_end(l);
    pg_ways_end(l);
    while (l->held)
        pg_os_end(l->held, false);
    uv_walk(&l->uv, close_left, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        continue; /* a stop that was asked for makes the first run return at once */
    uv_loop_close(&l->uv);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    free(l->buffer);
    free(l);
}
