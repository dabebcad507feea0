/* The loop: turns libuv's callbacks into inputs of the core and the core's commands into system calls.
 * Called by src/cli. Sockets are watched by uv_poll and read and written here, so that the amount read is the
 * core's credit and writes are gathered straight from its queues. See docs/ARCHITECTURE.md, "The loop". */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE_SLICES = 16, LINGER_MS = 2000, DEAF_MS = 10000, PEER = PG_LISTEN_PEER };
_Static_assert((int)PG_LISTEN_PEER == (int)PG_DIAL_PEER, "one mode says that a link leads to a peer");

static void drain(struct pg_loop *);
static void on_poll(uv_poll_t *, int status, int events);
static void on_pump(uv_idle_t *);

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void feed(struct pg_loop *l, const struct pg_input *in)
{
    l->core->input(l->core->self, in, now_us());
    drain(l);
}

/* Links: life and end. */

static struct os_link *os_new(struct pg_loop *l, struct pg_link *link, int read_fd, int write_fd)
{
    struct os_link *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    *o = (struct os_link){.link = link, .loop = l, .read_fd = read_fd, .write_fd = write_fd};
    link->os = o;
    return o;
}

static void os_free(struct os_link *o)
{
    if (o->unlink_path) {
        unlink(o->unlink_path);
        free(o->unlink_path);
    }
    free(o);
}

static void on_closed(uv_handle_t *h)
{
    struct os_link *o = h->data;
    if (--o->open_handles == 0 && !o->resolving)
        os_free(o);
}

static void list_remove(struct os_link **list, struct os_link *o, size_t next_offset)
{
    for (struct os_link **at = list; *at; at = (struct os_link **)((char *)*at + next_offset))
        if (*at == o) {
            *at = *(struct os_link **)((char *)o + next_offset);
            return;
        }
}

/* Takes the link out of everything and closes its descriptors; with `hard` the other end sees a reset. */
static void os_end(struct os_link *o, bool hard)
{
    struct pg_loop *l = o->loop;
    if (o->dead)
        return;
    o->dead = true;
    if (o->dirty)
        list_remove(&l->dirty, o, offsetof(struct os_link, next_dirty));
    if (o->pumped)
        list_remove(&l->pumps, o, offsetof(struct os_link, next_pump));
    if (o->lingers)
        list_remove(&l->lingers, o, offsetof(struct os_link, next_linger));
    if (o->polls)
        uv_close((uv_handle_t *)&o->read_poll, on_closed);
    if (o->write_polls)
        uv_close((uv_handle_t *)&o->write_poll, on_closed);
    if (o->resolving)
        uv_cancel((uv_req_t *)&o->resolve);
    if (!o->adopted && o->read_fd >= 0) {
        if (hard)
            (void)setsockopt(o->read_fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
        close(o->read_fd);
    }
    if (o->link) {
        struct pg_link *link = o->link;
        o->link = NULL;
        link->os = NULL;
        l->core->unlink(l->core->self, link);
    }
    if (o->open_handles == 0 && !o->resolving)
        os_free(o);
}

static void os_lost(struct os_link *o, int error, const char *reason)
{
    struct pg_loop *l = o->loop; /* the link may be freed below */
    if (o->dead)
        return;
    if (!o->link->closing) {
        struct pg_input in = {.kind = o->listening ? PG_INPUT_LISTEN_FAILED : PG_INPUT_LOST,
                              .link = o->link, .error = error, .reason = pg_text(reason)};
        l->core->input(l->core->self, &in, now_us());
    }
    os_end(o, false);
    drain(l);
}

/* Watching. */

static bool watch_fd(struct os_link *o, uv_poll_t *poll, int fd, bool *file)
{
    int error = uv_poll_init(&o->loop->uv, poll, fd);
    if (error == UV_EPERM) {
        *file = true; /* a regular file cannot be waited for and never needs to be */
        return false;
    }
    assert(error == 0);
    poll->data = o;
    o->open_handles++;
    return true;
}

static void watch(struct os_link *o)
{
    o->polls = watch_fd(o, &o->read_poll, o->read_fd, &o->read_file);
    if (o->write_fd != o->read_fd)
        o->write_polls = watch_fd(o, &o->write_poll, o->write_fd, &o->write_file);
}

static void arm(struct os_link *o, bool want_write)
{
    bool want_read = (o->listening || (o->link->credit > 0 && !o->link->closing) || o->lingers) && !o->saw_end && !o->connecting;
    int read_events = (want_read ? UV_READABLE : 0) | (want_write && !o->write_polls ? UV_WRITABLE : 0);
    if (o->read_file && want_read && !o->pumped) {
        o->pumped = true;
        o->next_pump = o->loop->pumps;
        o->loop->pumps = o;
        if (!uv_is_active((uv_handle_t *)&o->loop->pump))
            uv_idle_start(&o->loop->pump, on_pump);
    }
    if (o->polls && read_events != (o->events & 7)) {
        if (read_events)
            uv_poll_start(&o->read_poll, read_events, on_poll);
        else
            uv_poll_stop(&o->read_poll);
    }
    int write_event = want_write && o->write_polls ? UV_WRITABLE << 4 : 0;
    if (o->write_polls && write_event != (o->events & ~7)) {
        if (write_event)
            uv_poll_start(&o->write_poll, UV_WRITABLE, on_poll);
        else
            uv_poll_stop(&o->write_poll);
    }
    o->events = read_events | write_event;
}

/* Writing. */

/* Reads on and throws away, until the other end is done or the time is over. */
static void linger(struct os_link *o, uint64_t ms)
{
    struct pg_loop *l = o->loop;
    o->linger_until_ms = uv_now(&l->uv) + ms;
    if (o->lingers)
        return;
    o->lingers = true;
    o->next_linger = l->lingers;
    l->lingers = o;
}

static void after_flush(struct os_link *o)
{
    if (o->end_asked && !o->end_done) {
        o->end_done = true;
        if (o->adopted && o->write_fd != o->read_fd) {
            if (o->write_polls) {
                uv_close((uv_handle_t *)&o->write_poll, on_closed);
                o->write_polls = false;
            }
            close(o->write_fd);
            o->write_fd = -1;
        } else {
            shutdown(o->write_fd, SHUT_WR);
        }
    }
    if (!o->close_asked || o->flushed)
        return;
    o->flushed = true;
    if (o->adopted || o->saw_end) {
        os_end(o, false);
        return;
    }
    /* Closing with unread bytes would send a reset that can overtake what was just written: read to the end first. */
    linger(o, LINGER_MS);
    arm(o, false);
}

/* Writes what the socket takes. Returns false when the link has died. */
static bool flush(struct os_link *o)
{
    struct pg_link *link = o->link;
    size_t before = link->tx.bytes;
    while (link->tx.bytes > 0) {
        struct pg_bytes slices[WRITE_SLICES];
        struct iovec v[WRITE_SLICES];
        unsigned n = pg_queue_peek(&link->tx, slices, WRITE_SLICES);
        for (unsigned i = 0; i < n; i++)
            v[i] = (struct iovec){(void *)(uintptr_t)slices[i].at, slices[i].len};
        ssize_t done = writev(o->write_fd, v, (int)n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (done < 0) {
            int why = errno;
            os_lost(o, pg_socket_error(why), strerror(why));
            return false;
        }
        pg_queue_drop(&link->tx, (size_t)done);
    }
    bool shorter = link->tx.bytes < before;
    bool done = link->tx.bytes == 0;
    if (shorter && !link->closing)
        o->loop->core->input(o->loop->core->self, &(struct pg_input){.kind = PG_INPUT_WRITTEN, .link = link}, now_us());
    if (done)
        after_flush(o);
    else
        arm(o, true);
    return true;
}

static void mark_dirty(struct os_link *o)
{
    if (o->dirty || o->dead)
        return;
    o->dirty = true;
    o->next_dirty = o->loop->dirty;
    o->loop->dirty = o;
}

/* Reading. */

static void on_readable(struct os_link *o)
{
    struct pg_loop *l = o->loop;
    size_t room = o->lingers ? PG_READ_MAX : l->core->want(l->core->self, o->link);
    uint8_t *at = l->buffer + PG_READ_HEADROOM;
    if (room > PG_READ_MAX)
        room = PG_READ_MAX;
    if (room == 0) {
        arm(o, (o->events & UV_WRITABLE) != 0);
        return;
    }
    ssize_t n = read(o->read_fd, at, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == EWOULDBLOCK))
        return;
    if (n < 0) {
        int why = errno;
        os_lost(o, pg_socket_error(why), strerror(why));
        return;
    }
    if (o->lingers) {
        if (n == 0)
            os_end(o, false);
        return;
    }
    if (n == 0) {
        o->saw_end = true;
        arm(o, (o->events & UV_WRITABLE) != 0);
        feed(l, &(struct pg_input){.kind = PG_INPUT_ENDED, .link = o->link});
        return;
    }
    feed(l, &(struct pg_input){.kind = PG_INPUT_RECEIVED, .link = o->link, .data = at, .len = (size_t)n});
    if (!o->dead && o->link->credit == 0)
        arm(o, (o->events & UV_WRITABLE) != 0);
}

static void on_connected(struct os_link *o)
{
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(o->write_fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error != 0) {
        os_lost(o, pg_socket_error(error), strerror(error));
        return;
    }
    o->connecting = false;
    struct pg_input in = {.kind = PG_INPUT_CONNECTED, .link = o->link, .remote = o->remote};
    pg_socket_local(o->read_fd, &in.local);
    o->events = UV_WRITABLE;
    feed(o->loop, &in);
    if (!o->dead)
        arm(o, o->link->tx.bytes > 0);
}

static void accept_one(struct os_link *listener, int fd, struct sockaddr_storage *from)
{
    struct pg_loop *l = listener->loop;
    struct pg_link *fresh = l->core->link(l->core->self);
    struct os_link *o = fresh ? os_new(l, fresh, fd, fd) : NULL;
    if (!o) {
        if (fresh)
            l->core->unlink(l->core->self, fresh);
        close(fd);
        return;
    }
    o->mode = listener->mode;
    pg_socket_endpoint((struct sockaddr *)from, &o->remote);
    if (o->remote.family)
        pg_socket_tune(fd, &o->remote);
    watch(o);
    struct pg_input in = {.kind = PG_INPUT_ACCEPTED, .link = listener->link, .fresh = fresh, .remote = o->remote};
    pg_socket_local(fd, &in.local);
    l->core->input(l->core->self, &in, now_us());
    drain(l);
    if (!o->dead)
        arm(o, fresh->tx.bytes > 0);
}

static void on_acceptable(struct os_link *o)
{
    for (int i = 0; i < 64 && !o->dead; i++) {
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof from;
        int fd = accept4(o->read_fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && o->loop->spare_fd >= 0) {
            /* Out of descriptors: take the connection with the spare one and close it, else it would spin here. */
            close(o->loop->spare_fd);
            fd = accept4(o->read_fd, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                close(fd);
            o->loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            continue;
        }
        if (fd < 0)
            return;
        accept_one(o, fd, &from);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct os_link *o = poll->data;
    if (o->dead)
        return;
    if (status < 0)
        events = UV_READABLE | UV_WRITABLE; /* the system call will say what is wrong */
    if (o->connecting) {
        on_connected(o);
        return;
    }
    if (o->listening) {
        on_acceptable(o);
        return;
    }
    if (events & UV_WRITABLE) {
        if (!flush(o))
            return;
        if (!o->dead)
            arm(o, o->link->tx.bytes > 0);
        drain(o->loop);
    }
    if (!o->dead && (events & UV_READABLE) && poll == &o->read_poll)
        on_readable(o);
}

/* Regular files as standard input or output: ready whenever the core is. */
static void on_pump(uv_idle_t *idle)
{
    struct pg_loop *l = idle->data;
    struct os_link *o = l->pumps;
    l->pumps = NULL;
    uv_idle_stop(&l->pump);
    while (o) {
        struct os_link *next = o->next_pump;
        o->pumped = false;
        if (!o->dead) {
            on_readable(o);
            if (!o->dead)
                arm(o, (o->events & UV_WRITABLE << 4) != 0);
        }
        o = next;
    }
}

/* Commands. */

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
    o->listening = true;
    if (fd < 0) {
        int why = errno;
        os_lost(o, pg_socket_error(why), strerror(why));
        return;
    }
    o->read_fd = o->write_fd = fd;
    watch(o);
    arm(o, false);
    struct pg_endpoint bound, at[PG_SOCKET_ADDRESSES];
    pg_socket_local(fd, &bound);
    unsigned n = c->mode == PG_LISTEN_PEER ? pg_socket_addresses(&bound, at) : 0;
    if (n == 0)
        at[n++] = bound;
    for (unsigned i = 0; i < n; i++)
        l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = at[i]}, now_us());
}

static void run_dial(const struct pg_command *c)
{
    struct os_link *o = c->link->os;
    int fd = pg_socket_dial(&o->remote, &c->from, c->mode);
    if (fd < 0) {
        int why = errno;
        os_lost(o, pg_socket_error(why), strerror(why));
        return;
    }
    o->read_fd = o->write_fd = fd;
    o->connecting = true;
    watch(o);
    arm(o, true);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct os_link *o = request->data;
    struct pg_loop *l = o->loop;
    o->resolving = false;
    if (o->dead) {
        if (o->open_handles == 0)
            os_free(o);
    } else if (status < 0 || !found) {
        o->listening = o->mode & 0x80;
        os_lost(o, PG_ERR_UNREACHABLE, status < 0 ? uv_strerror(status) : "name has no address");
    } else {
        uint16_t port = o->remote.port;
        pg_socket_endpoint(found->ai_addr, &o->remote);
        o->remote.port = port;
        struct pg_command c = {.link = o->link, .mode = o->mode & 0x7f, .from = o->from};
        if (o->mode & 0x80)
            run_listen(l, &c);
        else
            run_dial(&c);
        drain(l);
    }
    uv_freeaddrinfo(found);
}

/* Names go to the resolver in libuv's pool; plain addresses start at once. */
static void run_open(struct pg_loop *l, const struct pg_command *c)
{
    struct os_link *o = os_new(l, c->link, -1, -1);
    bool listen = c->kind == PG_COMMAND_LISTEN;
    if (!o) {
        if (!c->link->closing)
            l->core->input(l->core->self, &(struct pg_input){.kind = listen ? PG_INPUT_LISTEN_FAILED : PG_INPUT_LOST,
                           .link = c->link, .error = PG_ERR_NO_MEMORY, .reason = PG_LIT("out of memory")}, now_us());
        l->core->unlink(l->core->self, c->link);
        return;
    }
    o->remote = c->endpoint;
    o->from = c->from;
    o->mode = c->mode;
    if (c->host.len == 0) {
        if (listen)
            run_listen(l, c);
        else
            run_dial(c);
        return;
    }
    char host[NI_MAXHOST];
    snprintf(host, sizeof host, "%.*s", (int)c->host.len, (const char *)c->host.at);
    o->mode |= listen ? 0x80 : 0;
    o->resolve.data = o;
    struct addrinfo want = {.ai_socktype = SOCK_STREAM};
    o->resolving = uv_getaddrinfo(&l->uv, &o->resolve, on_resolved, host, NULL, &want) == 0;
    if (!o->resolving) {
        o->listening = listen;
        os_lost(o, PG_ERR_UNREACHABLE, "name cannot be resolved");
    }
}

static void run(struct pg_loop *l, const struct pg_command *c)
{
    struct os_link *o = c->link ? c->link->os : NULL;
    if (c->link && !o && c->kind != PG_COMMAND_LISTEN && c->kind != PG_COMMAND_DIAL)
        return; /* the link died before its turn came */
    switch (c->kind) {
    case PG_COMMAND_LISTEN:
    case PG_COMMAND_DIAL: run_open(l, c); return;
    case PG_COMMAND_WRITE: mark_dirty(o); return;
    case PG_COMMAND_READ:
        if (!o->dead)
            arm(o, (o->events & (UV_WRITABLE | UV_WRITABLE << 4)) != 0);
        return;
    case PG_COMMAND_END:
        o->end_asked = true;
        mark_dirty(o);
        return;
    case PG_COMMAND_CLOSE:
        if (o->listening || o->connecting || o->resolving) {
            os_end(o, false);
            return;
        }
        o->close_asked = o->end_asked = true;
        /* A local client may pause for as long as it likes; a peer that does not read costs others. */
        if (o->mode == PEER && !o->adopted)
            linger(o, DEAF_MS);
        mark_dirty(o);
        return;
    case PG_COMMAND_RESET: os_end(o, true); return;
    case PG_COMMAND_READY:
        if (l->hooks.ready)
            l->hooks.ready(l->hooks.context);
        return;
    case PG_COMMAND_REPORT:
        if (l->hooks.report)
            l->hooks.report(l->hooks.context, c->text);
        return;
    case PG_COMMAND_STOP:
        l->status = c->status;
        l->stopping = true;
        return;
    }
}

static void on_deadline(uv_timer_t *timer)
{
    feed(timer->data, &(struct pg_input){.kind = PG_INPUT_TICK});
}

static void set_deadline(struct pg_loop *l)
{
    uint64_t at = l->core->deadline(l->core->self), now = now_us();
    if (at == UINT64_MAX) {
        uv_timer_stop(&l->deadline);
        return;
    }
    uv_update_time(&l->uv);
    uv_timer_start(&l->deadline, on_deadline, at > now ? (at - now + 999) / 1000 : 0, 0);
}

/* Runs every command, then writes once for each link that has something: many small writes leave as one. */
static void drain(struct pg_loop *l)
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
                (void)flush(o);
        }
    } while (l->core->poll(l->core->self, &c) && (run(l, &c), true));
    l->draining = false;
    set_deadline(l);
    if (l->stopping)
        uv_stop(&l->uv);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    feed(signal->data, &(struct pg_input){.kind = PG_INPUT_STOP});
}

static void on_linger(uv_timer_t *timer)
{
    struct pg_loop *l = timer->data;
    struct os_link *o = l->lingers;
    while (o) {
        struct os_link *next = o->next_linger;
        if (o->linger_until_ms <= uv_now(&l->uv))
            os_end(o, o->link->tx.bytes > 0);
        o = next;
    }
    if (!l->lingers)
        uv_timer_stop(&l->linger_timer);
}

static void before_wait(uv_prepare_t *prepare)
{
    struct pg_loop *l = prepare->data;
    if (l->lingers && !uv_is_active((uv_handle_t *)&l->linger_timer))
        uv_timer_start(&l->linger_timer, on_linger, LINGER_MS / 2, LINGER_MS / 2);
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
    uv_timer_init(&l->uv, &l->deadline);
    uv_timer_init(&l->uv, &l->linger_timer);
    uv_signal_init(&l->uv, &l->interrupt);
    uv_signal_init(&l->uv, &l->terminate);
    uv_idle_init(&l->uv, &l->pump);
    uv_prepare_init(&l->uv, &l->prepare);
    l->prepare.data = l->deadline.data = l->linger_timer.data = l->interrupt.data = l->terminate.data = l->pump.data = l;
    signal(SIGPIPE, SIG_IGN);
    return l;
}

void pg_loop_hooks(struct pg_loop *l, struct pg_loop_hooks hooks)
{
    l->hooks = hooks;
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
        struct os_link *o = link ? os_new(l, link, l->adopted[i].read_fd, l->adopted[i].write_fd) : NULL;
        if (!o)
            continue;
        o->adopted = true;
        watch(o);
        l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_CONNECTED, .link = link}, now_us());
    }
}

int pg_loop_run(struct pg_loop *l)
{
    uv_prepare_start(&l->prepare, before_wait);
    uv_signal_start(&l->interrupt, on_signal, SIGINT);
    uv_signal_start(&l->terminate, on_signal, SIGTERM);
    l->core->input(l->core->self, &(struct pg_input){.kind = PG_INPUT_START}, now_us());
    start_adopted(l);
    drain(l);
    if (!l->stopping)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    return l->status;
}

static void close_left(uv_handle_t *handle, void *context)
{
    (void)context;
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_POLL)
        os_end(handle->data, false);
    else
        uv_close(handle, NULL);
}

void pg_loop_free(struct pg_loop *l)
{
    if (!l)
        return;
    l->draining = true; /* what the core still wants is not done any more */
    uv_walk(&l->uv, close_left, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        continue; /* a stop that was asked for makes the first run return at once */
    uv_loop_close(&l->uv);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    free(l->buffer);
    free(l);
}
