/* A line of text in a bounded buffer: what does not fit is cut, never half a character, and says so by an ellipsis.
 * Called by the log formatter and by src/cli for everything that is printed. Knows no protocol.
 * Text of strangers passes through one of the three escapes here before a terminal or a parser sees it. */
#pragma once
#include "mem/bytes.h"

struct pg_line {
    char *at;
    size_t len, room; /* room: what may be filled, the final zero not counted */
    bool cut;         /* something did not fit; nothing is added after that */
};

/* buffer holds size bytes, at least one; the text is zero-terminated at every moment. */
void pg_line_init(struct pg_line *, char *buffer, size_t size);
struct pg_bytes pg_line_bytes(const struct pg_line *);

void pg_line_put(struct pg_line *, const char *text); /* our own words, as they are */
void pg_line_raw(struct pg_line *, struct pg_bytes text);
void pg_line_u64(struct pg_line *, uint64_t number);
/* As Rust prints a Duration with {:?}, rounded to microseconds: 0ns, 950µs, 1.5ms, 15s. */
void pg_line_duration(struct pg_line *, uint64_t us);

/* How a stranger's text is made harmless. In all of them bytes that are no UTF-8 become U+FFFD. */
enum pg_escape {
    PG_ESCAPE_DISPLAY, /* control and direction characters as \n or \u{1b}; the rest as it is */
    PG_ESCAPE_DEBUG,   /* as Rust's {:?}, without the quotes: also " and \ are escaped */
    PG_ESCAPE_JSON,    /* RFC 8259, section 7, without the quotes */
};
/* At most `most` bytes of output; a longer text is cut with an ellipsis, and the line goes on after it. */
void pg_line_escaped(struct pg_line *, struct pg_bytes text, enum pg_escape, size_t most);
