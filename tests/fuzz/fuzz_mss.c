/* Fuzz target: multistream lines come out the same whether fed whole or in two pieces, and can be written again.
 * Run by libFuzzer or by standalone.c; the first byte of the input says where it is cut.
 * Serves spec/wire/mss.rl. */
#include "wire/mss.h"
#include "fuzz.h"

struct seen {
    uint8_t bytes[1 << 16];
    size_t len;
    enum pg_mss_result last;
};

/* What it said, written again as lines. */
static void feed(struct pg_mss *m, struct pg_bytes in, struct seen *s)
{
    struct pg_bytes line;
    while ((s->last = pg_mss_feed(m, &in, &line)) == PG_MSS_LINE) {
        struct pg_writer w = pg_writer(s->bytes + s->len, sizeof s->bytes - s->len);
        pg_mss_put(&w, line);
        FUZZ_WANT(!w.failed);
        s->len += w.len;
    }
    FUZZ_WANT(s->last == PG_MSS_BAD || in.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, cut;
    struct pg_mss m;
    if (size == 0 || size > sizeof whole.bytes)
        return 0;
    struct pg_bytes in = pg_bytes(data + 1, size - 1);
    size_t at = data[0] % size;
    whole.len = cut.len = 0;
    pg_mss_init(&m);
    feed(&m, in, &whole);
    pg_mss_init(&m);
    feed(&m, pg_bytes_head(in, at), &cut);
    feed(&m, pg_bytes_skip(in, at), &cut);
    FUZZ_WANT(whole.len == cut.len && whole.last == cut.last);
    FUZZ_WANT(memcmp(whole.bytes, cut.bytes, whole.len) == 0);
    FUZZ_WANT(memcmp(whole.bytes, in.at, whole.len) == 0); /* and it is what came in */
    return 0;
}
