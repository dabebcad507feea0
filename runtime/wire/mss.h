/* Lines of multistream-select: fed as bytes come, given out without length and newline.
 * Called by both sides of every negotiation; the grammar is spec/wire/mss.rl.
 * multiformats/multistream-select README.md; libp2p/specs connections/README.md, "multistream-select". */
#pragma once
#include "mem/bytes.h"
#include "wire/cursor.h"

#define PG_MSS_MAX 1024              /* bytes of a line with its newline */
#define PG_MSS_ROOM (PG_MSS_MAX + 2) /* with its length */

enum pg_mss_result {
    PG_MSS_MORE, /* all of *in is used up */
    PG_MSS_LINE, /* *line is whole; it lives until the next feed */
    PG_MSS_BAD,  /* and stays so */
};

struct pg_mss {
    int cs;        /* Ragel's state */
    uint16_t left; /* bytes that the line still lacks, its newline among them */
    uint16_t len;  /* bytes of text in line[] */
    uint8_t line[PG_MSS_MAX];
};

void pg_mss_init(struct pg_mss *);
/* Takes from the front of *in, no more than one line. */
enum pg_mss_result pg_mss_feed(struct pg_mss *, struct pg_bytes *in, struct pg_bytes *line);

/* True between lines: where a negotiation may end in good order. */
bool pg_mss_idle(const struct pg_mss *);

/* A line as it is sent: length, text, newline. Fails like any write, also for an empty or too long text. */
static inline void pg_mss_put(struct pg_writer *w, struct pg_bytes text)
{
    if (text.len == 0 || text.len >= PG_MSS_MAX) {
        w->failed = true;
        return;
    }
    pg_put_uvarint(w, text.len + 1);
    pg_put_bytes(w, text);
    pg_put_u8(w, '\n');
}
