/* One link of the real loop: watching its descriptors, reading by credit, gathering writes, ending without a loss.
 * Called by loop.c for commands and by libuv for readiness. See docs/ARCHITECTURE.md, "The loop". */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE_SLICES = 16, LINGER_MS = 2000 };

static void on_poll(uv_poll_t *, int status, int events);

/* Links: life and end. */

struct os_link *pg_os_new(struct pg_loop *l, struct pg_link *link, int read_fd, int write_fd)
{
    struct os_link *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    *o = (struct os_link){.link = link, .loop = l, .read_fd = read_fd, .write_fd = write_fd};
    link->os = o;
    return o;
}

void pg_os_release(struct os_link *o)
{
    if (o->open_handles > 0)
        return;
    free(o->found);
    free(o->unlink_path);
    free(o);
}

static void on_closed(uv_handle_t *h)
{
    struct os_link *o = h->data;
    o->open_handles--;
    pg_os_release(o);
}

static void list_remove(struct os_link **list, struct os_link *o, size_t next_offset)
{
    for (struct os_link **at = list; *at; at = (struct os_link **)((char *)*at + next_offset))
        if (*at == o) {
            *at = *(struct os_link **)((char *)o + next_offset);
            return;
        }
}

/* Not an orderly end, which would tell the other end that nothing came because there was nothing. */
static void close_hard(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(fd);
}

/* Takes the link out of everything and closes its descriptors; with `hard` the other end sees a reset. */
void pg_os_end(struct os_link *o, bool hard)
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
    if (o->held)
        list_remove(&l->held, o, offsetof(struct os_link, next_held));
    if (o->polls)
        uv_close((uv_handle_t *)&o->read_poll, on_closed);
    if (o->write_polls)
        uv_close((uv_handle_t *)&o->write_poll, on_closed);
    if (o->resolving)
        pg_names_forget_link(o->resolving);
    o->resolving = NULL;
    if (o->unlink_path)
        unlink(o->unlink_path); /* while it still answers: once it does not, another may listen there */
    if (!o->adopted && o->read_fd >= 0) {
        if (hard)
            close_hard(o->read_fd);
        else
            close(o->read_fd);
        if (!o->listening)
            pg_os_resume_listeners(l);
    }
    if (o->link) {
        struct pg_link *link = o->link;
        o->link = NULL;
        link->os = NULL;
        l->core->unlink(l->core->self, link);
    }
    pg_os_release(o);
}

void pg_os_lost(struct os_link *o, int error, const char *reason)
{
    struct pg_loop *l = o->loop; /* the link may be freed below */
    if (o->dead)
        return;
    if (!o->link->closing) {
        struct pg_input in = {.kind = o->listening ? PG_INPUT_LISTEN_FAILED : PG_INPUT_LOST,
                              .link = o->link, .error = error, .reason = pg_text(reason)};
        l->core->input(l->core->self, &in, pg_loop_now_us());
    }
    pg_os_end(o, false);
    pg_loop_drain(l);
}

/* Watching. */

static int watch_fd(struct os_link *o, uv_poll_t *poll, int fd, bool *file, bool *polls)
{
    int error = uv_poll_init(&o->loop->uv, poll, fd);
    if (error == UV_EPERM) {
        *file = true; /* a regular file cannot be waited for and never needs to be */
        return 0;
    }
    if (error != 0)
        return error; /* the kernel has no memory to watch one more, or its limit of watches is reached */
    poll->data = o;
    o->open_handles++;
    *polls = true;
    return 0;
}

int pg_os_watch(struct os_link *o)
{
    int error = watch_fd(o, &o->read_poll, o->read_fd, &o->read_file, &o->polls);
    if (error == 0 && o->write_fd != o->read_fd)
        error = watch_fd(o, &o->write_poll, o->write_fd, &o->write_file, &o->write_polls);
    return error;
}

static void resume(uv_handle_t *handle, void *context)
{
    (void)context;
    struct os_link *o = handle->data;
    if (handle->type != UV_POLL || uv_is_closing(handle) || !o || !o->paused) /* NULL: a socket of the resolver */
        return;
    o->paused = false;
    pg_os_arm(o, false);
}

void pg_os_resume_listeners(struct pg_loop *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    if (l->spare_fd < 0)
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    uv_walk(&l->uv, resume, NULL);
}

void pg_os_arm(struct os_link *o, bool want_write)
{
    bool want_read = ((o->listening && !o->paused) || (o->link->credit > 0 && !o->link->closing) || o->lingers) && !o->saw_end && !o->connecting;
    int read_events = (want_read ? UV_READABLE : 0) | (want_write && !o->write_polls ? UV_WRITABLE : 0);
    if (o->read_file && want_read && !o->pumped) {
        o->pumped = true;
        o->next_pump = o->loop->pumps;
        o->loop->pumps = o;
        if (!uv_is_active((uv_handle_t *)&o->loop->pump))
            uv_idle_start(&o->loop->pump, pg_loop_on_pump);
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
void pg_os_linger(struct os_link *o, uint64_t ms)
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
            if (close(o->write_fd) != 0) /* of a file on another machine, say: only now it is known to be full */
                o->loop->unwritten = errno;
            o->write_fd = -1;
        } else {
            shutdown(o->write_fd, SHUT_WR);
        }
    }
    if (!o->close_asked || o->flushed)
        return;
    o->flushed = true;
    if (o->adopted || o->saw_end) {
        pg_os_end(o, false);
        return;
    }
    /* Closing with unread bytes would send a reset that can overtake what was just written: read to the end first. */
    pg_os_linger(o, LINGER_MS);
    pg_os_arm(o, false);
}

/* Writes what the socket takes. Returns false when the link has died. */
bool pg_os_flush(struct os_link *o)
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
            if (o->adopted && link->closing) /* the core has had its last word of it */
                o->loop->unwritten = why;
            pg_os_lost(o, pg_socket_error(why), strerror(why));
            return false;
        }
        if (o->loop->hooks.wrote)
            o->loop->hooks.wrote(o->loop->hooks.context, link, (size_t)done);
        pg_queue_drop(&link->tx, (size_t)done);
    }
    bool shorter = link->tx.bytes < before;
    bool done = link->tx.bytes == 0;
    if (shorter && !link->closing)
        o->loop->core->input(o->loop->core->self, &(struct pg_input){.kind = PG_INPUT_WRITTEN, .link = link}, pg_loop_now_us());
    if (done)
        after_flush(o);
    else
        pg_os_arm(o, true);
    return true;
}

void pg_os_mark_dirty(struct os_link *o)
{
    if (o->dirty || o->dead)
        return;
    o->dirty = true;
    o->next_dirty = o->loop->dirty;
    o->loop->dirty = o;
}

/* Reading. */

bool pg_os_waits_to_write(const struct os_link *o)
{
    return (o->events & (UV_WRITABLE | UV_WRITABLE << 4)) != 0;
}

static void on_readable(struct os_link *o)
{
    struct pg_loop *l = o->loop;
    size_t room = o->lingers ? PG_READ_MAX : l->core->want(l->core->self, o->link);
    uint8_t *at = l->buffer + PG_READ_HEADROOM;
    if (room > PG_READ_MAX)
        room = PG_READ_MAX;
    if (room == 0) {
        pg_os_arm(o, pg_os_waits_to_write(o));
        return;
    }
    ssize_t n = read(o->read_fd, at, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == EWOULDBLOCK))
        return;
    if (n < 0) {
        int why = errno;
        pg_os_lost(o, pg_socket_error(why), strerror(why));
        return;
    }
    if (o->lingers) {
        if (n == 0)
            pg_os_end(o, false);
        return;
    }
    if (n == 0) {
        o->saw_end = true;
        pg_os_arm(o, pg_os_waits_to_write(o));
        pg_loop_feed(l, &(struct pg_input){.kind = PG_INPUT_ENDED, .link = o->link});
        return;
    }
    pg_loop_feed(l, &(struct pg_input){.kind = PG_INPUT_RECEIVED, .link = o->link, .data = at, .len = (size_t)n});
    if (!o->dead && o->link->credit == 0)
        pg_os_arm(o, pg_os_waits_to_write(o));
}

static void on_connected(struct os_link *o)
{
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(o->write_fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error != 0) {
        if (pg_os_try_next(o))
            return;
        pg_os_lost(o, pg_socket_error(error), strerror(error));
        return;
    }
    o->connecting = false;
    struct pg_input in = {.kind = PG_INPUT_CONNECTED, .link = o->link, .remote = o->remote};
    pg_socket_local(o->read_fd, &in.local);
    if (in.local.family && in.local.port == o->remote.port && memcmp(in.local.ip, o->remote.ip, sizeof in.local.ip) == 0) {
        /* Dialling from the listening port to that very port: TCP has joined the socket to itself. */
        pg_os_lost(o, PG_ERR_SELF_DIAL, "this address leads to ourselves");
        return;
    }
    o->events = UV_WRITABLE;
    pg_loop_feed(o->loop, &in);
    if (!o->dead)
        pg_os_arm(o, o->link->tx.bytes > 0);
}

static void accept_one(struct os_link *listener, int fd, struct sockaddr_storage *from)
{
    struct pg_loop *l = listener->loop;
    struct pg_link *fresh = l->core->link(l->core->self);
    struct os_link *o = fresh ? pg_os_new(l, fresh, fd, fd) : NULL;
    if (!o) {
        if (fresh)
            l->core->unlink(l->core->self, fresh);
        close_hard(fd);
        return;
    }
    o->mode = listener->mode;
    pg_socket_endpoint((struct sockaddr *)from, &o->remote);
    if (o->remote.family)
        pg_socket_tune(fd, &o->remote, l->congestion);
    if (pg_os_watch(o) != 0) {
        pg_os_end(o, true);
        return;
    }
    struct pg_input in = {.kind = PG_INPUT_ACCEPTED, .link = listener->link, .fresh = fresh, .remote = o->remote};
    pg_socket_local(fd, &in.local);
    l->core->input(l->core->self, &in, pg_loop_now_us());
    pg_loop_drain(l);
    if (!o->dead)
        pg_os_arm(o, fresh->tx.bytes > 0);
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
            bool nobody = fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK); /* which is looked at after the descriptors */
            if (fd >= 0)
                close_hard(fd);
            /* At once: what the core does next may want the descriptor that is free now. */
            o->loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (nobody)
                return;
            pg_loop_feed(o->loop, &(struct pg_input){.kind = PG_INPUT_ACCEPT_FAILED, .link = o->link,
                                                     .reason = PG_LIT("no file descriptors left, a connection was closed at once (ulimit -n)")});
            continue;
        }
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            o->paused = o->loop->paused = true; /* nothing can be taken, not even to be closed: until something else ends */
            pg_os_arm(o, false);
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
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE; /* the system call will say what is wrong */
        o->events &= poll == &o->read_poll ? ~7 : 7; /* libuv has stopped watching */
    }
    if (o->connecting) {
        on_connected(o);
        return;
    }
    if (o->listening) {
        on_acceptable(o);
        return;
    }
    if (events & UV_WRITABLE) {
        if (!pg_os_flush(o))
            return;
        if (!o->dead)
            pg_os_arm(o, o->link->tx.bytes > 0);
        pg_loop_drain(o->loop);
    }
    if (!o->dead && (events & UV_READABLE) && poll == &o->read_poll)
        on_readable(o);
    if (!o->dead && status < 0)
        pg_os_arm(o, o->link->tx.bytes > 0); /* bytes may lie before the error: on until a call reports it */
}

/* Regular files as standard input or output: ready whenever the core is. */
void pg_loop_on_pump(uv_idle_t *idle)
{
    struct pg_loop *l = idle->data;
    struct os_link *o = l->pumps;
    l->pumps = NULL;
    uv_idle_stop(&l->pump);
    while (o) {
        struct os_link *next = o->next_pump;
        o->pumped = false;
        o->open_handles++; /* it may end in here, and a file has no handle that would keep it until this is over */
        if (!o->dead)
            on_readable(o);
        if (!o->dead)
            pg_os_arm(o, (o->events & UV_WRITABLE << 4) != 0);
        o->open_handles--;
        if (o->dead)
            pg_os_release(o);
        o = next;
    }
}
