/* Numbers as text: two ways of writing, by whole-number division (base58, base36) and by groups of bits (base32, base64url).
 * Called by keys.c and the multiaddr code; no allocation.
 * Serves multiformats/multibase "Multibase table", and libp2p/specs peer-ids/peer-ids.md "String representation". */
#include "crypto/base.h"

/* One kind of base: its letters, and how many bits a letter holds (0: the radix is no power of two). */
struct base {
    char prefix;
    uint8_t bits;
    const char *letters;
};

static const struct base bases[] = {
    {'z', 0, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"},
    {'b', 5, "abcdefghijklmnopqrstuvwxyz234567"},
    {'u', 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"},
    {'k', 0, "0123456789abcdefghijklmnopqrstuvwxyz"},
};
static const struct base *const base58btc = &bases[0], *const base32 = &bases[1];

/* The value of a letter, or -1. */
static int digit_of(const struct base *b, uint8_t letter)
{
    const char *found = letter ? strchr(b->letters, letter) : NULL;
    return found ? (int)(found - b->letters) : -1;
}

static size_t radix_write(const struct base *b, struct pg_bytes data, char *out, size_t room)
{
    uint8_t digits[PG_BASE_RADIX_MAX * 2]; /* least significant first; base 36 needs 1.55 letters a byte, base 58 1.37 */
    uint32_t radix = (uint32_t)strlen(b->letters);
    size_t n = 0, zeros = 0;
    if (data.len == 0 || data.len > PG_BASE_RADIX_MAX)
        return 0;
    while (zeros < data.len && data.at[zeros] == 0)
        zeros++;
    for (size_t i = zeros; i < data.len; i++) {
        uint32_t carry = data.at[i];
        for (size_t j = 0; j < n; j++) {
            carry += (uint32_t)digits[j] << 8;
            digits[j] = (uint8_t)(carry % radix);
            carry /= radix;
        }
        for (; carry; carry /= radix)
            digits[n++] = (uint8_t)(carry % radix);
    }
    if (zeros + n > room)
        return 0;
    memset(out, b->letters[0], zeros);
    for (size_t i = 0; i < n; i++)
        out[zeros + i] = b->letters[digits[n - 1 - i]];
    return zeros + n;
}

static bool radix_read(const struct base *b, struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    uint8_t number[PG_BASE_RADIX_MAX]; /* least significant first */
    uint32_t radix = (uint32_t)strlen(b->letters);
    size_t n = 0, zeros = 0;
    while (zeros < text.len && text.at[zeros] == (uint8_t)b->letters[0])
        zeros++;
    for (size_t i = zeros; i < text.len; i++) {
        int digit = digit_of(b, text.at[i]);
        if (digit < 0)
            return false;
        uint32_t carry = (uint32_t)digit;
        for (size_t j = 0; j < n; j++) {
            carry += number[j] * radix;
            number[j] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry && n == sizeof number)
            return false; /* so a long text costs no more than a full number a letter, and stops here */
        if (carry)
            number[n++] = (uint8_t)carry;
    }
    size_t most = room < PG_BASE_RADIX_MAX ? room : PG_BASE_RADIX_MAX; /* what is read can be written */
    if (text.len == 0 || zeros > most || n > most - zeros)
        return false;
    memset(out, 0, zeros);
    for (size_t i = 0; i < n; i++)
        out[zeros + i] = number[n - 1 - i];
    *len = zeros + n;
    return true;
}

static size_t bits_write(const struct base *b, struct pg_bytes data, char *out, size_t room)
{
    uint32_t held = 0, n_held = 0, mask = (1u << b->bits) - 1;
    size_t n = 0;
    if (data.len > room || (data.len * 8 + b->bits - 1u) / b->bits > room)
        return 0;
    for (size_t i = 0; i < data.len; i++) {
        held = held << 8 | data.at[i];
        n_held += 8;
        for (; n_held >= b->bits; n_held -= b->bits)
            out[n++] = b->letters[held >> (n_held - b->bits) & mask];
    }
    if (n_held)
        out[n++] = b->letters[held << (b->bits - n_held) & mask];
    return n;
}

static bool bits_read(const struct base *b, struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    uint32_t held = 0, n_held = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(b, text.at[i]);
        if (digit < 0)
            return false;
        held = held << b->bits | (uint32_t)digit;
        n_held += b->bits;
        if (n_held < 8)
            continue;
        n_held -= 8;
        if (n == room)
            return false;
        out[n++] = (uint8_t)(held >> n_held);
    }
    /* A whole unused letter, or unused bits that say something, would be a second text for the same bytes. */
    if (n_held >= b->bits || (held & ((1u << n_held) - 1)) != 0)
        return false;
    *len = n;
    return true;
}

size_t pg_base58_write(struct pg_bytes data, char *out, size_t room)
{
    return radix_write(base58btc, data, out, room);
}

bool pg_base58_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    return radix_read(base58btc, text, out, room, len);
}

size_t pg_base32_write(struct pg_bytes data, char *out, size_t room)
{
    return bits_write(base32, data, out, room);
}

bool pg_base32_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    return bits_read(base32, text, out, room, len);
}

static const struct base *base_of(uint8_t prefix)
{
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        if ((uint8_t)bases[i].prefix == prefix)
            return &bases[i];
    return NULL;
}

bool pg_multibase_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    const struct base *b = text.len ? base_of(text.at[0]) : NULL;
    if (!b)
        return false;
    struct pg_bytes rest = pg_bytes_skip(text, 1);
    return b->bits ? bits_read(b, rest, out, room, len) : radix_read(b, rest, out, room, len);
}

size_t pg_multibase_write(char prefix, struct pg_bytes data, char *out, size_t room)
{
    const struct base *b = base_of((uint8_t)prefix);
    if (!b || !b->bits || room == 0)
        return 0;
    size_t n = bits_write(b, data, out + 1, room - 1);
    if (n == 0)
        return 0;
    out[0] = prefix;
    return n + 1;
}
