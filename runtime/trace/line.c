/* Bounded lines and the escapes for text of strangers.
 * Called by runtime/trace/log.c and src/cli. Rules: Rust's str::escape_debug (what {:?} prints), RFC 8259 section 7;
 * what a terminal would act upon (controls, direction overrides, invisible characters) never passes. */
#include "trace/line.h"
#include <stdio.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define ELLIPSIS_LEN 3

void pg_line_init(struct pg_line *line, char *buffer, size_t size)
{
    *line = (struct pg_line){.at = buffer, .room = size - 1};
    buffer[0] = '\0';
}

struct pg_bytes pg_line_bytes(const struct pg_line *line)
{
    return pg_bytes(line->at, line->len);
}

/* Puts an ellipsis at the end of what is there, giving up as many whole characters as it needs. */
static void cut(struct pg_line *line)
{
    size_t ellipsis = line->room < ELLIPSIS_LEN ? 0 : ELLIPSIS_LEN;
    line->cut = true;
    while (line->len > 0 && (line->len + ellipsis > line->room || ((uint8_t)line->at[line->len] & 0xC0) == 0x80)) {
        line->len--;
    }
    memcpy(line->at + line->len, ELLIPSIS, ellipsis);
    line->len += ellipsis;
    line->at[line->len] = '\0';
}

void pg_line_raw(struct pg_line *line, struct pg_bytes text)
{
    if (line->cut || text.len == 0) {
        return;
    }
    size_t left = line->room - line->len;
    size_t n = text.len < left ? text.len : left;
    memcpy(line->at + line->len, text.at, n);
    line->at[line->len + n] = '\0';
    line->len += n;
    if (n < text.len) {
        line->at[line->len] = (char)text.at[n]; /* lets cut() see whether a character has been split */
        cut(line);
    }
}

void pg_line_put(struct pg_line *line, const char *text)
{
    pg_line_raw(line, pg_text(text));
}

void pg_line_u64(struct pg_line *line, uint64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    pg_line_raw(line, pg_bytes(digits, (size_t)n));
}

void pg_line_duration(struct pg_line *line, uint64_t us)
{
    char text[40];
    if (us == 0) {
        pg_line_put(line, "0ns");
        return;
    }
    if (us < 1000) {
        snprintf(text, sizeof text, "%u\xc2\xb5s", (unsigned)us);
        pg_line_put(line, text);
        return;
    }
    unsigned places = us < 1000000 ? 3 : 6;
    uint64_t unit = places == 3 ? 1000 : 1000000;
    int n = snprintf(text, sizeof text, "%llu.%0*llu", (unsigned long long)(us / unit), (int)places, (unsigned long long)(us % unit));
    while (text[n - 1] == '0') {
        n--; /* trailing zeros of the fraction, as Rust leaves them out */
    }
    n -= text[n - 1] == '.';
    pg_line_raw(line, pg_bytes(text, (size_t)n));
    pg_line_put(line, places == 3 ? "ms" : "s");
}

/* Takes one character off the front of text. Bytes that are no UTF-8 come out as U+FFFD, one at a time. */
static uint32_t next_character(struct pg_bytes *text, size_t *width)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text->at[0];
    size_t n = first < 0x80 ? 1 : first >= 0xF0 && first < 0xF8 ? 4 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xC0 && first < 0xE0 ? 2 : 0;
    uint32_t c = n == 1 ? first : n == 0 ? 0 : first & (0x7Fu >> n);
    if (n > text->len) {
        n = 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((text->at[i] & 0xC0) != 0x80) {
            n = 0;
            break;
        }
        c = c << 6 | (text->at[i] & 0x3Fu);
    }
    if (n == 0 || c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
        n = 1;
        c = 0xFFFD;
    }
    *width = n;
    return c;
}

/* What a terminal obeys, hides or reorders: C0, DEL, C1, soft hyphen, zero-width, direction, line separators, private. */
static bool unprintable(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x61C || c == 0x180E || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF0 && c < 0xFFFC) ||
           (c >= 0xE000 && c < 0xF900) || c >= 0xE0000;
}

/* Writes c as the escape wants it into out (16 bytes); returns the length, 0 when the bytes of the text serve as they are. */
static size_t escape_one(uint32_t c, enum pg_escape escape, char out[16])
{
    const char *two = NULL;
    switch (c) {
    case '\n': two = "\\n"; break;
    case '\r': two = "\\r"; break;
    case '\t': two = "\\t"; break;
    case 0: two = escape == PG_ESCAPE_JSON ? NULL : "\\0"; break;
    case '"': two = escape == PG_ESCAPE_DISPLAY ? NULL : "\\\""; break;
    case '\\': two = escape == PG_ESCAPE_DISPLAY ? NULL : "\\\\"; break;
    default: break;
    }
    if (two) {
        memcpy(out, two, 3);
        return 2;
    }
    if (c == 0xFFFD) {
        memcpy(out, "\xef\xbf\xbd", 4);
        return 3;
    }
    if (!unprintable(c)) {
        return 0;
    }
    int n;
    if (escape != PG_ESCAPE_JSON) {
        n = snprintf(out, 16, "\\u{%x}", (unsigned)c);
    } else if (c < 0x10000) {
        n = snprintf(out, 16, "\\u%04x", (unsigned)c);
    } else {
        uint32_t v = c - 0x10000;
        n = snprintf(out, 16, "\\u%04x\\u%04x", (unsigned)(0xD800 + (v >> 10)), (unsigned)(0xDC00 + (v & 0x3FF)));
    }
    return (size_t)n;
}

void pg_line_escaped(struct pg_line *line, struct pg_bytes text, enum pg_escape escape, size_t most)
{
    size_t left = line->room - line->len;
    if (line->cut || text.len == 0) {
        return;
    }
    bool whole_line = left < most; /* then the line itself ends here */
    size_t end = line->len + (whole_line ? left : most), keep = line->len;
    while (text.len > 0) {
        char escaped[16];
        size_t width, n = escape_one(next_character(&text, &width), escape, escaped);
        const char *from = n ? escaped : (const char *)text.at;
        n = n ? n : width;
        if (line->len + n > end) {
            line->len = keep; /* the last border of a character that leaves room for the ellipsis */
            if (keep + ELLIPSIS_LEN <= end) {
                memcpy(line->at + keep, ELLIPSIS, ELLIPSIS_LEN);
                line->len += ELLIPSIS_LEN;
            }
            line->cut = whole_line;
            break;
        }
        memcpy(line->at + line->len, from, n);
        line->len += n;
        if (line->len + ELLIPSIS_LEN <= end) {
            keep = line->len;
        }
        text = pg_bytes_skip(text, width);
    }
    line->at[line->len] = '\0';
}
