/* Fuzz target: framed messages come out the same whether fed whole or in two pieces, for each kind of length.
 * Run by libFuzzer or by standalone.c; the first byte of the input says where it is cut.
 * Serves spec/wire/frame.rl. */
#include "wire/frame.h"
#include "fuzz.h"

#define MOST 200

struct seen {
    uint8_t bytes[1 << 16];
    size_t len, messages;
    enum pg_frame_result last;
};

static void feed(struct pg_frame *f, struct pg_bytes in, struct seen *s)
{
    struct pg_bytes message;
    while ((s->last = pg_frame_feed(f, &in, &message)) == PG_FRAME_MESSAGE) {
        FUZZ_WANT(message.len <= MOST && s->len + message.len <= sizeof s->bytes);
        if (message.len > 0)
            memcpy(s->bytes + s->len, message.at, message.len);
        s->len += message.len;
        s->messages++;
    }
    FUZZ_WANT(s->last == PG_FRAME_BAD ? pg_frame_error(f) != PG_OK : in.len == 0);
}

static void compare(enum pg_frame_kind kind, struct pg_bytes in, size_t at)
{
    static struct seen whole, cut;
    static uint8_t room[MOST];
    struct pg_frame f;
    whole.len = cut.len = whole.messages = cut.messages = 0;
    pg_frame_init(&f, kind, room, MOST);
    feed(&f, in, &whole);
    pg_frame_init(&f, kind, room, MOST);
    feed(&f, pg_bytes_head(in, at), &cut);
    feed(&f, pg_bytes_skip(in, at), &cut);
    FUZZ_WANT(whole.len == cut.len && whole.messages == cut.messages && whole.last == cut.last);
    FUZZ_WANT(memcmp(whole.bytes, cut.bytes, whole.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 16)
        return 0;
    struct pg_bytes in = pg_bytes(data + 1, size - 1);
    for (enum pg_frame_kind kind = PG_FRAME_UVARINT; kind <= PG_FRAME_U32BE; kind++)
        compare(kind, in, data[0] % size);
    return 0;
}
