/* The values of multiaddr parts: what each kind allows, and its two forms.
 * Called by multiaddr.c. Serves multiformats/multiaddr README.md and its protocol pages (onion3, garlic32 as
 * go-multiaddr has them), libp2p/specs webtransport/README.md, "Certificate Hashes". */
#include "crypto/multiaddr_value.h"

#include "crypto/base.h"
#include "crypto/multiaddr.h"
#include "wire/cursor.h"
#include "wire/utf8.h"

#define ONION3_KEY 35
#define DECIMAL_MAX 20 /* letters of 2^64 - 1 */

/* UTF-8 without the letters of `without` and without control letters, which could deceive whoever reads an address in a
 * terminal or a log: C0, delete, and C1, which is 0xc2 and a byte below 0xa0. */
static bool plain_text(struct pg_bytes text, const char *without)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        if (c < 0x20 || c == 0x7f || strchr(without, c) || (c == 0xc2 && i + 1 < text.len && text.at[i + 1] < 0xa0))
            return false;
    }
    return pg_utf8_valid(text);
}

/* Code, length, and as many bytes: what certificate hashes are. */
static bool multihash_check(struct pg_bytes in)
{
    struct pg_cursor c = pg_cursor(in);
    pg_take_uvarint(&c);
    struct pg_bytes digest = pg_take_bytes(&c, pg_take_uvarint(&c));
    return pg_cursor_done(&c) && digest.len > 0;
}

bool pg_ma_value_check(const struct pg_ma_protocol *protocol, struct pg_bytes value)
{
    struct pg_peer_id id;
    switch ((enum pg_ma_kind)protocol->kind) {
    case PG_MA_KIND_NONE:
    case PG_MA_KIND_IP4:
    case PG_MA_KIND_IP6:
    case PG_MA_KIND_PORT:
    case PG_MA_KIND_NUMBER: return true;
    case PG_MA_KIND_BITS: return value.at[0] <= 128;
    case PG_MA_KIND_NAME: return value.len > 0 && plain_text(value, "/ ");
    case PG_MA_KIND_PATH: return value.len > 1 && value.at[0] == '/' && plain_text(value, "");
    case PG_MA_KIND_PEER: return pg_peer_id_read(&id, value) == PG_OK;
    case PG_MA_KIND_ONION3: return value.at[ONION3_KEY] || value.at[ONION3_KEY + 1]; /* port 0 is none */
    case PG_MA_KIND_GARLIC32: return value.len == 32 || value.len >= 35;
    case PG_MA_KIND_CERTHASH: return multihash_check(value);
    }
    return false;
}

/* A whole number up to most, without leading zeros. */
static bool decimal_parse(struct pg_bytes text, uint64_t most, uint64_t *value)
{
    *value = 0;
    if (text.len == 0 || text.len > DECIMAL_MAX || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)text.at[i] - '0';
        if (text.at[i] < '0' || digit > 9 || *value > (most - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return true;
}

static size_t decimal_text(uint64_t value, char *out, size_t room)
{
    char digits[DECIMAL_MAX];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    if (n > room)
        return 0;
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

static void big_endian(uint8_t *out, size_t n, uint64_t value)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t from_big_endian(struct pg_bytes in)
{
    uint64_t value = 0;
    for (size_t i = 0; i < in.len; i++)
        value = value << 8 | in.at[i];
    return value;
}

static bool number_parse(const struct pg_ma_protocol *protocol, uint64_t most, struct pg_bytes text, uint8_t *out)
{
    uint64_t value;
    if (!decimal_parse(text, most, &value))
        return false;
    big_endian(out, (size_t)protocol->size, value);
    return true;
}

/* key:port */
static bool onion3_parse(struct pg_bytes text, uint8_t *out)
{
    const uint8_t *colon = text.len ? memchr(text.at, ':', text.len) : NULL;
    size_t key_len;
    uint64_t port;
    if (!colon)
        return false;
    struct pg_bytes key = pg_bytes_head(text, (size_t)(colon - text.at));
    if (!pg_base32_read(key, out, ONION3_KEY, &key_len) || key_len != ONION3_KEY ||
        !decimal_parse(pg_bytes_skip(text, key.len + 1), UINT16_MAX, &port))
        return false;
    big_endian(out + ONION3_KEY, 2, port);
    return true;
}

static bool peer_parse(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    struct pg_peer_id id;
    if (pg_peer_id_parse(&id, text) != PG_OK || id.len > room)
        return false;
    memcpy(out, id.at, id.len);
    *len = id.len;
    return true;
}

static bool copy(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    if (text.len == 0 || text.len > room)
        return false;
    memcpy(out, text.at, text.len);
    *len = text.len;
    return true;
}

static bool parse_kind(const struct pg_ma_protocol *protocol, struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    if (protocol->size >= 0) {
        *len = (size_t)protocol->size;
        if (*len > room)
            return false;
    }
    switch ((enum pg_ma_kind)protocol->kind) {
    case PG_MA_KIND_NONE: return text.len == 0;
    case PG_MA_KIND_IP4: return pg_ip4_parse(text, out);
    case PG_MA_KIND_IP6: return pg_ip6_parse(text, out);
    case PG_MA_KIND_PORT: return number_parse(protocol, UINT16_MAX, text, out);
    case PG_MA_KIND_BITS: return number_parse(protocol, UINT8_MAX, text, out);
    case PG_MA_KIND_NUMBER: return number_parse(protocol, UINT64_MAX, text, out);
    case PG_MA_KIND_NAME:
    case PG_MA_KIND_PATH: return copy(text, out, room, len);
    case PG_MA_KIND_PEER: return peer_parse(text, out, room, len);
    case PG_MA_KIND_ONION3: return onion3_parse(text, out);
    case PG_MA_KIND_GARLIC32: return pg_base32_read(text, out, room, len);
    case PG_MA_KIND_CERTHASH: return pg_multibase_read(text, out, room, len);
    }
    return false;
}

bool pg_ma_value_parse(const struct pg_ma_protocol *protocol, struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    return parse_kind(protocol, text, out, room, len) && pg_ma_value_check(protocol, pg_bytes(out, *len));
}

/* Text made in a scratch place first, because its writer wants room for the longest. */
static size_t fitting(const char *text, size_t n, char *out, size_t room)
{
    if (n > room)
        return 0;
    memcpy(out, text, n);
    return n;
}

static size_t onion3_text(struct pg_bytes value, char *out, size_t room)
{
    size_t n = pg_base32_write(pg_bytes_head(value, ONION3_KEY), out, room);
    if (n == 0 || n == room)
        return 0;
    out[n++] = ':';
    size_t port = decimal_text(from_big_endian(pg_bytes_skip(value, ONION3_KEY)), out + n, room - n);
    return port ? n + port : 0;
}

size_t pg_ma_value_text(const struct pg_ma_protocol *protocol, struct pg_bytes value, char *out, size_t room)
{
    char scratch[PG_IP_TEXT];
    switch ((enum pg_ma_kind)protocol->kind) {
    case PG_MA_KIND_NONE: return 0;
    case PG_MA_KIND_IP4: return fitting(scratch, pg_ip4_text(value.at, scratch), out, room);
    case PG_MA_KIND_IP6: return fitting(scratch, pg_ip6_text(value.at, scratch), out, room);
    case PG_MA_KIND_PORT:
    case PG_MA_KIND_BITS:
    case PG_MA_KIND_NUMBER: return decimal_text(from_big_endian(value), out, room);
    case PG_MA_KIND_NAME:
    case PG_MA_KIND_PATH: return fitting((const char *)value.at, value.len, out, room);
    case PG_MA_KIND_PEER: return pg_base58_write(value, out, room);
    case PG_MA_KIND_ONION3: return onion3_text(value, out, room);
    case PG_MA_KIND_GARLIC32: return pg_base32_write(value, out, room);
    case PG_MA_KIND_CERTHASH: return pg_multibase_write('u', value, out, room);
    }
    return 0;
}
