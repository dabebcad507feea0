/* The lengths that stand before messages, as a grammar; the message itself is copied or lent, never walked through.
 * Compiled by Ragel; called through runtime/wire/frame.h.
 * multiformats/unsigned-varint README.md (shortest form); noise/README.md, "Wire Format"; the original's tunnel header. */
#include "wire/frame.h"

/* Ragel writes gotos where the next state follows anyway, and constants that only some grammars use. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

/* What the names in the grammar mean. */
static void group(struct pg_frame *f, uint8_t b)
{
    f->length |= (uint64_t)(b & 0x7f) << f->shift;
    f->shift = (uint8_t)(f->shift + 7);
    f->have = 1;
}

static void byte(struct pg_frame *f, uint8_t b)
{
    f->length = f->length << 8 | b;
    f->have = 1;
}

static void measured(struct pg_frame *f)
{
    f->body = 1;
    f->have = 0;
    if (f->length > f->most)
        f->error = PG_ERR_FRAME_TOO_LONG;
    else
        f->need = (uint32_t)f->length;
}

%%{
    machine frame;
    alphtype unsigned char;
    access f->;

    action group { group(f, *p); }
    action byte  { byte(f, *p); }
    action done  { measured(f); fbreak; }

    # 63 bits in at most nine bytes, and no zero group at the end of a longer number.
    short   = 0x00..0x7f @group @done;
    more    = 0x80..0xff @group;
    last    = 0x01..0x7f @group @done;
    uvarint := short | more{1,8} last;
    u16be   := any @byte any @byte @done;
    u32be   := (any @byte){3} any @byte @done;

    write data noerror nofinal;
}%%

static void await_length(struct pg_frame *f)
{
    static const int entry[] = {
        [PG_FRAME_UVARINT] = frame_en_uvarint,
        [PG_FRAME_U16BE] = frame_en_u16be,
        [PG_FRAME_U32BE] = frame_en_u32be,
    };
    f->cs = entry[f->kind];
    f->length = 0;
    f->shift = 0;
    f->body = 0;
    f->have = 0;
}

void pg_frame_init(struct pg_frame *f, enum pg_frame_kind kind, uint8_t *room, uint32_t most)
{
    *f = (struct pg_frame){.room = room, .most = most, .kind = (uint8_t)kind};
    await_length(f);
}

static void feed_length(struct pg_frame *f, struct pg_bytes *in)
{
    const uint8_t *p = in->at, *pe = in->at + in->len;
    %% write exec;
    *in = pg_bytes(p, (size_t)(pe - p));
    if (f->cs == 0)
        f->error = PG_ERR_FRAME_LENGTH_BAD;
}

/* The body: lent where it lies whole in the input, collected in the caller's room where it comes in pieces. */
static enum pg_frame_result feed_body(struct pg_frame *f, struct pg_bytes *in, struct pg_bytes *message)
{
    struct pg_bytes piece = pg_bytes_head(*in, f->need - f->have);
    bool whole = piece.len == f->need - f->have;
    if (piece.len > 0)
        *in = pg_bytes_skip(*in, piece.len);
    if (whole && f->have == 0) {
        *message = piece;
    } else {
        if (piece.len > 0)
            memcpy(f->room + f->have, piece.at, piece.len);
        f->have += (uint32_t)piece.len;
        *message = pg_bytes(f->room, f->have);
    }
    if (!whole) {
        *message = PG_NONE;
        return PG_FRAME_MORE;
    }
    await_length(f);
    return PG_FRAME_MESSAGE;
}

enum pg_frame_result pg_frame_feed(struct pg_frame *f, struct pg_bytes *in, struct pg_bytes *message)
{
    *message = PG_NONE;
    if (f->error == PG_OK && !f->body && in->len > 0)
        feed_length(f, in);
    if (f->error != PG_OK)
        return PG_FRAME_BAD;
    return f->body ? feed_body(f, in, message) : PG_FRAME_MORE;
}
