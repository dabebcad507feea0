/* Lines of multistream-select, as a grammar: a length of one or two bytes, then text and a newline that fill it exactly.
 * Compiled by Ragel; called through runtime/wire/mss.h.
 * multiformats/multistream-select README.md, "Protocol"; lengths by multiformats/unsigned-varint, shortest form, at most 1024. */
#include "wire/mss.h"

/* Ragel writes gotos where the next state follows anyway, and constants that only some grammars use. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

/* What the names in the grammar mean. */
static void length_low(struct pg_mss *m, uint8_t b)
{
    m->left = b & 0x7f;
    m->len = 0;
}

static void length_high(struct pg_mss *m, uint8_t b)
{
    m->left = (uint16_t)(m->left | b << 7);
}

static void keep(struct pg_mss *m, uint8_t b)
{
    m->line[m->len++] = b;
    m->left--;
}

%%{
    machine multistream;
    alphtype unsigned char;
    access m->;

    action low   { length_low(m, *p); }
    action high  { length_high(m, *p); }
    action keep  { keep(m, *p); }
    action last  { m->left == 1 }
    action inner { m->left > 1 && m->left <= PG_MSS_MAX }
    action whole { whole = true; fbreak; }

    newline = '\n';
    # A length of 1 is a bare newline, and 0 is nothing at all: neither is a line.
    length  = 0x02..0x7f @low | 0x80..0xff @low 0x01..0x08 @high;
    text    = (any - newline) when inner @keep;
    line    = length text+ newline when last @whole;
    main   := line*;

    write data noerror nofinal noentry;
}%%

void pg_mss_init(struct pg_mss *m)
{
    m->left = 0;
    m->len = 0;
    %% write init;
}

bool pg_mss_idle(const struct pg_mss *m)
{
    return m->cs == multistream_start;
}

enum pg_mss_result pg_mss_feed(struct pg_mss *m, struct pg_bytes *in, struct pg_bytes *line)
{
    *line = PG_NONE;
    if (m->cs == 0 || in->len == 0) /* Ragel's code must not be entered in its error state */
        return m->cs == 0 ? PG_MSS_BAD : PG_MSS_MORE;
    const uint8_t *p = in->at, *pe = in->at + in->len;
    bool whole = false;
    %% write exec;
    *in = pg_bytes(p, (size_t)(pe - p));
    if (whole)
        *line = pg_bytes(m->line, m->len);
    return whole ? PG_MSS_LINE : m->cs == 0 ? PG_MSS_BAD : PG_MSS_MORE;
}
