/* Writes a run down. The file is filled through a window of it in memory, so that what was recorded is there even when the
 * process dies, and no more memory is used than the window. Called by src/cli/trace.c and by the loop's hook. */
#include "record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WINDOW = 1024 * 1024 };

struct pg_recorder {
    struct pg_core inner;
    uint8_t *window;
    size_t used;
    uint64_t base, now_us, deadline_us;
    int fd, error;
};

static bool next_window(struct pg_recorder *r)
{
    if (r->window)
        (void)munmap(r->window, WINDOW);
    r->window = NULL;
    r->base += r->used;
    r->used = 0;
    /* Room first: a window onto a disk that is full would end the process. */
    r->error = posix_fallocate(r->fd, (off_t)r->base, WINDOW);
    if (r->error)
        return false;
    void *at = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, (off_t)r->base);
    r->error = at == MAP_FAILED ? errno : 0;
    r->window = r->error ? NULL : at;
    return !r->error;
}

static void put(struct pg_recorder *r, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    while (n > 0 && !r->error) {
        size_t room = WINDOW - r->used, now = n < room ? n : room;
        memcpy(r->window + r->used, at, now);
        r->used += now;
        at += now;
        n -= now;
        if (r->used == WINDOW && !next_window(r))
            return;
    }
}

static void put_kind(struct pg_recorder *r, enum pg_record_kind kind)
{
    uint8_t letter = (uint8_t)kind;
    put(r, &letter, 1);
}

static void put_number(struct pg_recorder *r, uint64_t n)
{
    uint8_t out[10];
    put(r, out, pg_record_number(out, n));
}

static void put_bytes(struct pg_recorder *r, struct pg_bytes b)
{
    put_number(r, b.len);
    put(r, b.at, b.len);
}

static void put_endpoint(struct pg_recorder *r, const struct pg_endpoint *e)
{
    uint8_t out[40];
    put(r, out, pg_record_endpoint(out, e));
}

static void put_link(struct pg_recorder *r, const struct pg_link *link)
{
    put_number(r, link ? link->number : 0);
}

struct pg_recorder *pg_recorder_new(const char *path)
{
    struct pg_recorder *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->deadline_us = UINT64_MAX;
    r->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->fd < 0 || !next_window(r)) {
        int why = r->fd < 0 ? errno : r->error;
        if (r->fd >= 0)
            close(r->fd);
        free(r);
        errno = why;
        return NULL;
    }
    put(r, PG_RECORD_MAGIC, sizeof PG_RECORD_MAGIC - 1);
    return r;
}

int pg_recorder_free(struct pg_recorder *r, int status)
{
    if (!r)
        return 0;
    put_kind(r, PG_RECORD_END);
    put_number(r, (uint32_t)status);
    int error = r->error;
    if (r->window)
        (void)munmap(r->window, WINDOW);
    if (ftruncate(r->fd, (off_t)(r->base + r->used)) != 0 && !error)
        error = errno;
    if (close(r->fd) != 0 && !error)
        error = errno;
    free(r);
    return error;
}

void pg_recorder_fact(struct pg_recorder *r, enum pg_record_fact fact, struct pg_bytes b)
{
    put_kind(r, PG_RECORD_FACT);
    put_number(r, fact);
    put_bytes(r, b);
}

void pg_recorder_answer(struct pg_recorder *r, unsigned kind, struct pg_bytes b)
{
    put_kind(r, PG_RECORD_ANSWER);
    put_number(r, kind);
    put_bytes(r, b);
}

void pg_recorder_wrote(struct pg_recorder *r, const struct pg_link *link, size_t n)
{
    uint64_t hash = 0;
    size_t left = n;
    for (const struct pg_chunk *c = link->tx.first; c && left > 0; c = c->next) {
        struct pg_bytes part = pg_bytes_head(pg_bytes(c->data + c->head, c->tail - c->head), left);
        hash = pg_record_hash(hash, part);
        left -= part.len;
    }
    put_kind(r, PG_RECORD_WROTE);
    put_link(r, link);
    put_number(r, n);
    put_number(r, hash);
}

/* The core, passed through. */

static bool has_number(const struct pg_input *in)
{
    return in->kind == PG_INPUT_RESOLVED || in->kind == PG_INPUT_BOUND || in->kind == PG_INPUT_BIND_FAILED ||
           in->kind == PG_INPUT_INTERFACES || in->kind == PG_INPUT_WAYS || in->kind == PG_INPUT_DATAGRAM || in->kind == PG_INPUT_CLOCK;
}

static unsigned parts_of(const struct pg_input *in)
{
    unsigned parts = 0;
    parts |= in->fresh ? PG_RECORD_HAS_FRESH : 0;
    parts |= in->len ? PG_RECORD_HAS_DATA : 0;
    parts |= in->error || in->reason.len ? PG_RECORD_HAS_REASON : 0;
    parts |= in->remote.family || in->local.family ? PG_RECORD_HAS_ENDPOINTS : 0;
    parts |= has_number(in) ? PG_RECORD_HAS_ANSWER | (in->texts ? PG_RECORD_HAS_TEXTS : 0) : 0;
    parts |= in->kind == PG_INPUT_DATAGRAM ? PG_RECORD_HAS_ORIGIN : 0;
    return parts;
}

static void put_answer(struct pg_recorder *r, const struct pg_input *in)
{
    put_number(r, in->number);
    put_number(r, in->n_found);
    for (uint32_t i = 0; i < in->n_found; i++) {
        if (in->texts)
            put_bytes(r, in->texts[i]);
        else
            put_endpoint(r, &in->found[i]);
    }
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    struct pg_recorder *r = self;
    unsigned parts = parts_of(in);
    put_kind(r, PG_RECORD_INPUT);
    put_number(r, in->kind);
    put_number(r, now_us - r->now_us);
    r->now_us = now_us;
    put_link(r, in->link);
    put_number(r, parts);
    if (parts & PG_RECORD_HAS_FRESH)
        put_link(r, in->fresh);
    if (parts & PG_RECORD_HAS_DATA)
        put_bytes(r, pg_bytes(in->data, in->len));
    if (parts & PG_RECORD_HAS_REASON) {
        put_number(r, (uint32_t)in->error);
        put_bytes(r, in->reason);
    }
    if (parts & PG_RECORD_HAS_ENDPOINTS) {
        put_endpoint(r, &in->remote);
        put_endpoint(r, &in->local);
    }
    if (parts & PG_RECORD_HAS_ANSWER)
        put_answer(r, in);
    if (parts & PG_RECORD_HAS_ORIGIN) {
        put_number(r, in->hops);
        put_number(r, in->on_link);
    }
    r->inner.input(r->inner.self, in, now_us);
}

static bool poll(void *self, struct pg_command *out)
{
    struct pg_recorder *r = self;
    uint8_t text[PG_RECORD_COMMAND_MAX];
    if (!r->inner.poll(r->inner.self, out)) {
        put_kind(r, PG_RECORD_DRAINED);
        return false;
    }
    put_kind(r, PG_RECORD_COMMAND);
    put_bytes(r, pg_bytes(text, pg_record_command(text, out)));
    return true;
}

static uint64_t deadline(void *self)
{
    struct pg_recorder *r = self;
    uint64_t at = r->inner.deadline(r->inner.self);
    if (at != r->deadline_us) {
        put_kind(r, PG_RECORD_DEADLINE);
        put_number(r, at);
    }
    return r->deadline_us = at;
}

static size_t want(void *self, struct pg_link *link)
{
    struct pg_recorder *r = self;
    size_t n = r->inner.want(r->inner.self, link);
    put_kind(r, PG_RECORD_WANT);
    put_link(r, link);
    put_number(r, n);
    return n;
}

static struct pg_link *link_new(void *self)
{
    struct pg_recorder *r = self;
    struct pg_link *link = r->inner.link(r->inner.self);
    put_kind(r, PG_RECORD_LINK);
    put_link(r, link);
    return link;
}

static void link_free(void *self, struct pg_link *link)
{
    struct pg_recorder *r = self;
    put_kind(r, PG_RECORD_UNLINK);
    put_link(r, link);
    r->inner.unlink(r->inner.self, link);
}

struct pg_core pg_recorder_core(struct pg_recorder *r, const struct pg_core *inner)
{
    r->inner = *inner;
    return (struct pg_core){.self = r, .input = input, .poll = poll, .deadline = deadline, .want = want, .link = link_new, .unlink = link_free};
}
