/* Reading and writing fixed and variable-length numbers, and slices, without a check after every step.
 * Called by everything that touches bytes of a protocol; a failed cursor or writer stays failed and is asked once.
 * Variable-length numbers: multiformats/unsigned-varint README.md, "Spec" (shortest form only). */
#pragma once
#include "mem/bytes.h"

#define PG_UVARINT_MAX 10 /* bytes that 64 bits need */

struct pg_cursor {
    const uint8_t *at, *end;
    bool failed; /* and all later reads give zeros */
};

struct pg_writer {
    uint8_t *at; /* start of the room, not the place of writing: at[len] is next */
    size_t len, room;
    bool failed; /* a write did not fit; nothing more is written */
};

static inline struct pg_cursor pg_cursor(struct pg_bytes from)
{
    static const uint8_t nothing[1]; /* so that pointer arithmetic is defined for an absent slice */
    const uint8_t *at = from.at ? from.at : nothing;
    return (struct pg_cursor){at, at + from.len, false};
}

static inline size_t pg_cursor_left(const struct pg_cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* True when everything was read and nothing failed: the usual last question. */
static inline bool pg_cursor_done(const struct pg_cursor *c)
{
    return !c->failed && c->at == c->end;
}

/* n bytes, borrowed from what the cursor reads; nothing when there are fewer. */
static inline struct pg_bytes pg_take_bytes(struct pg_cursor *c, uint64_t n)
{
    if (c->failed || n > pg_cursor_left(c)) {
        c->failed = true;
        return PG_NONE;
    }
    struct pg_bytes taken = {c->at, (size_t)n};
    c->at += n;
    return taken;
}

static inline uint64_t pg_take_be(struct pg_cursor *c, unsigned width)
{
    struct pg_bytes b = pg_take_bytes(c, width);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.at[i];
    return v;
}

static inline uint8_t pg_take_u8(struct pg_cursor *c)
{
    return (uint8_t)pg_take_be(c, 1);
}

static inline uint16_t pg_take_u16be(struct pg_cursor *c)
{
    return (uint16_t)pg_take_be(c, 2);
}

static inline uint32_t pg_take_u32be(struct pg_cursor *c)
{
    return (uint32_t)pg_take_be(c, 4);
}

static inline uint64_t pg_take_u64be(struct pg_cursor *c)
{
    return pg_take_be(c, 8);
}

/* Up to 64 bits. `shortest` refuses a number that ends in a zero group, which multiformats forbid and protobuf allows. */
static inline uint64_t pg_take_varint(struct pg_cursor *c, bool shortest)
{
    uint64_t v = 0;
    for (unsigned i = 0; !c->failed && i < PG_UVARINT_MAX; i++) {
        if (c->at == c->end)
            break;
        uint8_t b = *c->at++;
        if (i == PG_UVARINT_MAX - 1 && b > 1) /* the tenth byte holds one bit */
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b & 0x80)
            continue;
        if (shortest && i > 0 && b == 0)
            break;
        return v;
    }
    c->failed = true;
    return 0;
}

static inline uint64_t pg_take_uvarint(struct pg_cursor *c)
{
    return pg_take_varint(c, true);
}

static inline struct pg_writer pg_writer(void *at, size_t room)
{
    return (struct pg_writer){at, 0, room, false};
}

/* What has been written so far. */
static inline struct pg_bytes pg_written(const struct pg_writer *w)
{
    return (struct pg_bytes){w->at, w->len};
}

/* Room for n bytes that the caller fills; NULL when they do not fit. */
static inline uint8_t *pg_put_room(struct pg_writer *w, size_t n)
{
    if (w->failed || n > w->room - w->len) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->at + w->len;
    w->len += n;
    return at;
}

static inline void pg_put_bytes(struct pg_writer *w, struct pg_bytes b)
{
    if (b.len == 0)
        return;
    uint8_t *at = pg_put_room(w, b.len);
    if (at)
        memcpy(at, b.at, b.len);
}

static inline void pg_put_be(struct pg_writer *w, uint64_t v, unsigned width)
{
    uint8_t *at = pg_put_room(w, width);
    for (unsigned i = 0; at && i < width; i++)
        at[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
}

static inline void pg_put_u8(struct pg_writer *w, uint8_t v)
{
    pg_put_be(w, v, 1);
}

static inline void pg_put_u16be(struct pg_writer *w, uint16_t v)
{
    pg_put_be(w, v, 2);
}

static inline void pg_put_u32be(struct pg_writer *w, uint32_t v)
{
    pg_put_be(w, v, 4);
}

static inline void pg_put_u64be(struct pg_writer *w, uint64_t v)
{
    pg_put_be(w, v, 8);
}

/* Bytes that v takes as a variable-length number. */
static inline size_t pg_uvarint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static inline void pg_put_uvarint(struct pg_writer *w, uint64_t v)
{
    uint8_t *at = pg_put_room(w, pg_uvarint_size(v));
    if (!at)
        return;
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at = (uint8_t)v;
}
