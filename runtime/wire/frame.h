/* Messages behind their length: fed as bytes come, given out whole.
 * Called for every protobuf, JSON and Noise message on a stream; the room for a split message is the caller's.
 * multiformats/unsigned-varint README.md; for the tunnel's four bytes the wire facts of the original. */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"

enum pg_frame_kind { PG_FRAME_UVARINT, PG_FRAME_U16BE, PG_FRAME_U32BE };

enum pg_frame_result {
    PG_FRAME_MORE,    /* all of *in is used up */
    PG_FRAME_MESSAGE, /* *message is whole; it lives until the next feed and no longer than *in's bytes */
    PG_FRAME_BAD,     /* and stays so; pg_frame_error says why */
};

struct pg_frame {
    uint8_t *room;   /* of the caller, `most` bytes, for messages that come in pieces */
    uint32_t most;   /* bytes that a message may have */
    uint32_t need;   /* bytes of this message's body */
    uint32_t have;   /* of them, collected in room; before the body 1 as soon as the length has begun */
    uint64_t length; /* as read so far */
    uint8_t kind;    /* enum pg_frame_kind */
    uint8_t shift;   /* of the next group of a variable-length number */
    uint8_t body;    /* the length is known */
    int cs;          /* Ragel's state */
    enum pg_err error;
};

void pg_frame_init(struct pg_frame *, enum pg_frame_kind, uint8_t *room, uint32_t most);
/* Takes from the front of *in, no more than one message. */
enum pg_frame_result pg_frame_feed(struct pg_frame *, struct pg_bytes *in, struct pg_bytes *message);

/* Why it is BAD: PG_ERR_FRAME_TOO_LONG or PG_ERR_FRAME_LENGTH_BAD. */
static inline enum pg_err pg_frame_error(const struct pg_frame *f)
{
    return f->error;
}

/* True between messages: where a stream may end in good order. */
static inline bool pg_frame_idle(const struct pg_frame *f)
{
    return !f->body && f->have == 0;
}
