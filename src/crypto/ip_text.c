/* Text of IP addresses without system headers: this floor lies below all input and output.
 * Called by the multiaddr code and by whoever prints an endpoint. Serves RFC 4291 section 2.2 (reading) and
 * RFC 5952 sections 4 and 5 (writing). */
#include "crypto/multiaddr.h"

bool pg_ip4_parse(struct pg_bytes text, uint8_t ip[4])
{
    uint8_t quad[4];
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        if (i && (at == text.len || text.at[at++] != '.'))
            return false;
        size_t start = at;
        uint32_t value = 0;
        while (at < text.len && at < start + 3 && text.at[at] >= '0' && text.at[at] <= '9')
            value = value * 10 + (text.at[at++] - (uint32_t)'0');
        /* A leading zero means octal to some readers: refused by all libraries. */
        if (at == start || value > 255 || (at > start + 1 && text.at[start] == '0'))
            return false;
        quad[i] = (uint8_t)value;
    }
    if (at != text.len)
        return false;
    memcpy(ip, quad, sizeof quad);
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One to four hex digits; 0 when there are none, else how many. */
static size_t group_read(struct pg_bytes text, uint32_t *value)
{
    size_t n = 0;
    *value = 0;
    while (n < 4 && n < text.len && hex_digit(text.at[n]) >= 0)
        *value = *value << 4 | (uint32_t)hex_digit(text.at[n++]);
    return n;
}

/* Groups between colons, from text until its end or "::", into out. False when broken; *n groups read, *used bytes. */
static bool groups_read(struct pg_bytes text, uint16_t out[8], size_t *n, size_t *used)
{
    *n = *used = 0;
    while (*used < text.len) {
        struct pg_bytes rest = pg_bytes_skip(text, *used);
        uint32_t value;
        uint8_t quad[4];
        if (*n <= 6 && pg_ip4_parse(rest, quad)) { /* the last 32 bits as a dotted quad */
            out[(*n)++] = (uint16_t)(quad[0] << 8 | quad[1]);
            out[(*n)++] = (uint16_t)(quad[2] << 8 | quad[3]);
            *used = text.len;
            return true;
        }
        size_t digits = group_read(rest, &value);
        if (digits == 0 || *n == 8)
            return false;
        out[(*n)++] = (uint16_t)value;
        *used += digits;
        if (*used == text.len)
            return true;
        if (text.at[*used] != ':' || *used + 1 == text.len)
            return false;
        if (text.at[*used + 1] == ':')
            return true;
        *used += 1;
    }
    return true;
}

bool pg_ip6_parse(struct pg_bytes text, uint8_t ip[16])
{
    uint16_t head[8] = {0}, tail[8] = {0};
    size_t n_head = 0, n_tail = 0, used = 0;
    bool gap = text.len >= 2 && text.at[0] == ':' && text.at[1] == ':';
    if (!gap) {
        if (!groups_read(text, head, &n_head, &used))
            return false;
        gap = used < text.len;
    }
    if (gap) {
        struct pg_bytes rest = pg_bytes_skip(text, used + 2);
        if (!groups_read(rest, tail, &n_tail, &used) || used != rest.len || n_head + n_tail > 7)
            return false;
    } else if (n_head != 8) {
        return false;
    }
    memcpy(head + 8 - n_tail, tail, n_tail * sizeof *tail);
    for (size_t i = 0; i < 8; i++) {
        ip[2 * i] = (uint8_t)(head[i] >> 8);
        ip[2 * i + 1] = (uint8_t)head[i];
    }
    return true;
}

static size_t decimal(uint32_t value, char *out)
{
    char digits[10];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

size_t pg_ip4_text(const uint8_t ip[4], char out[PG_IP_TEXT])
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i)
            out[n++] = '.';
        n += decimal(ip[i], out + n);
    }
    out[n] = 0;
    return n;
}

/* The longest run of two or more zero groups, the first of equals; *length is 0 when there is none. */
static size_t longest_zeros(const uint8_t ip[16], size_t *length)
{
    size_t best = 0;
    *length = 0;
    for (size_t i = 0; i < 8; i++) {
        size_t n = 0;
        while (i + n < 8 && ip[2 * (i + n)] == 0 && ip[2 * (i + n) + 1] == 0)
            n++;
        if (n > 1 && n > *length) {
            best = i;
            *length = n;
        }
    }
    return best;
}

size_t pg_ip6_text(const uint8_t ip[16], char out[PG_IP_TEXT])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    size_t n = 0, zeros, gap = longest_zeros(ip, &zeros);
    if (memcmp(ip, mapped, sizeof mapped) == 0) {
        char quad[PG_IP_TEXT];
        n = pg_ip4_text(ip + 12, quad);
        memcpy(out, "::ffff:", 7);
        memcpy(out + 7, quad, n + 1);
        return 7 + n;
    }
    for (size_t i = 0; i < 8; i++) {
        if (zeros && i == gap) {
            out[n++] = ':';
            out[n++] = ':';
            i += zeros - 1;
            continue;
        }
        if (n && out[n - 1] != ':')
            out[n++] = ':';
        uint32_t group = (uint32_t)ip[2 * i] << 8 | ip[2 * i + 1];
        for (int shift = 12; shift >= 0; shift -= 4)
            if (group >> shift || shift == 0)
                out[n++] = PG_HEX_DIGITS[group >> shift & 15];
    }
    out[n] = 0;
    return n;
}
