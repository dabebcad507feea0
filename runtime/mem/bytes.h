/* Borrowed bytes: a pointer and a length, valid until the call that got them returns.
 * Used everywhere; owns nothing. Text is bytes too (UTF-8, not NUL-terminated). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pg_bytes {
    const uint8_t *at;
    size_t len;
};

#define PG_LIT(s) ((struct pg_bytes){(const uint8_t *)("" s), sizeof(s) - 1})
#define PG_NONE ((struct pg_bytes){NULL, 0})

static inline struct pg_bytes pg_bytes(const void *at, size_t len)
{
    return (struct pg_bytes){at, len};
}

static inline struct pg_bytes pg_text(const char *s)
{
    return (struct pg_bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool pg_bytes_equal(struct pg_bytes a, struct pg_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* The first n bytes, or all when there are fewer. */
static inline struct pg_bytes pg_bytes_head(struct pg_bytes b, size_t n)
{
    return (struct pg_bytes){b.at, n < b.len ? n : b.len};
}

/* A copy that ends in NUL, cut when room (at least 1) is short. */
static inline void pg_bytes_text(char *out, size_t room, struct pg_bytes b)
{
    size_t n = b.len < room - 1 ? b.len : room - 1;
    if (n > 0)
        memcpy(out, b.at, n);
    out[n] = 0;
}

/* What follows the first n bytes; nothing when there are fewer. */
static inline struct pg_bytes pg_bytes_skip(struct pg_bytes b, size_t n)
{
    n = n < b.len ? n : b.len;
    return (struct pg_bytes){n ? b.at + n : b.at, b.len - n}; /* no bytes may be at NULL, to which C lets nobody add 0 */
}

#define PG_HEX_DIGITS "0123456789abcdef"
/* Two hex digits for each byte, without NUL; their number. */
static inline size_t pg_bytes_hex(struct pg_bytes b, char *out)
{
    for (size_t i = 0; i < b.len; i++) {
        out[2 * i] = PG_HEX_DIGITS[b.at[i] >> 4];
        out[2 * i + 1] = PG_HEX_DIGITS[b.at[i] & 15];
    }
    return 2 * b.len;
}
