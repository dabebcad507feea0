/* Keys and values of the DHT as text. Called by src/cli/options_values.c, src/cli/configure.c and src/service/task_dht.c.
 * Serves multiformats/cid README.md, "How does it work?", and multiformats/multihash README.md, "Format". */
#include "core/kad_text.h"

#include "crypto/base.h"
#include "wire/cursor.h"
#include "wire/utf8.h"

enum { CID_V1 = 1, CID_MAX = 256 };

static bool is_hex(struct pg_bytes text)
{
    return text.len >= 2 && text.at[0] == '0' && text.at[1] == 'x';
}

static int digit(uint8_t letter)
{
    static const char digits[] = PG_HEX_DIGITS;
    const char *found = letter ? strchr(digits, letter >= 'A' && letter <= 'F' ? letter + ('a' - 'A') : letter) : NULL;
    return found ? (int)(found - digits) : -1;
}

bool pg_kad_octets_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len)
{
    if (!is_hex(text)) {
        *len = text.len;
        if (text.len > room)
            return false;
        if (text.len)
            memcpy(out, text.at, text.len);
        return true;
    }
    *len = (text.len - 2) / 2;
    if (text.len % 2 || *len > room)
        return false;
    for (size_t i = 0; i < *len; i++) {
        int high = digit(text.at[2 + 2 * i]), low = digit(text.at[3 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The multihash of a CID of version 1, whatever its codec and its hash. */
static struct pg_bytes multihash_of(struct pg_bytes cid)
{
    struct pg_cursor c = pg_cursor(cid);
    bool first = pg_take_uvarint(&c) == CID_V1;
    (void)pg_take_uvarint(&c); /* the codec */
    struct pg_bytes hash = {c.at, pg_cursor_left(&c)};
    (void)pg_take_uvarint(&c); /* the hash's code */
    uint64_t size = pg_take_uvarint(&c);
    return first && !c.failed && size > 0 && size == pg_cursor_left(&c) ? hash : PG_NONE;
}

bool pg_kad_key_read(struct pg_bytes text, uint8_t out[PG_KAD_KEY_MAX], size_t *len)
{
    struct pg_peer_id id;
    uint8_t cid[CID_MAX];
    size_t n = 0;
    if (pg_peer_id_parse(&id, text) == PG_OK) {
        *len = id.len;
        memcpy(out, id.at, id.len);
        return true;
    }
    struct pg_bytes hash = pg_multibase_read(text, cid, sizeof cid, &n) ? multihash_of(pg_bytes(cid, n)) : PG_NONE;
    if (hash.len) {
        *len = hash.len;
        memcpy(out, hash.at, hash.len);
        return true;
    }
    return pg_kad_octets_read(text, out, PG_KAD_KEY_MAX, len) && *len > 0;
}

static bool is_printable(struct pg_bytes octets)
{
    for (size_t i = 0; i < octets.len; i++)
        if (octets.at[i] < 0x20 || octets.at[i] == 0x7f)
            return false;
    return pg_utf8_valid(octets);
}

size_t pg_kad_octets_text(struct pg_bytes octets, char *out, size_t room)
{
    bool plain = is_printable(octets) && !is_hex(octets);
    size_t len = plain ? octets.len : 2 + 2 * octets.len;
    if (len >= room)
        return 0;
    if (plain) {
        if (len)
            memcpy(out, octets.at, len);
    } else {
        out[0] = '0';
        out[1] = 'x';
        (void)pg_bytes_hex(octets, out + 2);
    }
    out[len] = 0;
    return len;
}
