/* Multiaddrs: one address as text, as bytes, part by part, and as a TCP endpoint.
 * Called wherever an address is shown, typed, sent or dialled. Serves multiformats/multiaddr README.md, "Interpreting
 * multiaddrs", and libp2p/specs addressing/README.md. Every address in memory has passed `add`, whatever it was made of. */
#include "crypto/multiaddr.h"

#include "crypto/multiaddr_table.h"
#include "crypto/multiaddr_value.h"
#include "wire/cursor.h"

/* What the parts so far allow of the next one. */
struct shape {
    uint8_t parts;
    bool peer;    /* a /p2p since the start or the last /p2p-circuit */
    bool circuit; /* a /p2p-circuit anywhere: one hop is all that circuit v2 has */
    bool ended;   /* a path, which takes all that follows */
};

static enum pg_err shape_take(struct shape *shape, const struct pg_ma_protocol *protocol)
{
    if (shape->ended)
        return PG_ERR_ADDR_BAD;
    if (shape->parts == PG_MULTIADDR_PARTS)
        return PG_ERR_ADDR_TOO_LONG;
    if ((protocol->code == PG_MA_P2P && shape->peer) || (protocol->code == PG_MA_P2P_CIRCUIT && shape->circuit))
        return PG_ERR_ADDR_REPEATED;
    shape->parts++;
    if (protocol->code == PG_MA_P2P)
        shape->peer = true;
    if (protocol->code == PG_MA_P2P_CIRCUIT) {
        shape->circuit = true;
        shape->peer = false; /* the one behind the relay may be named, too */
    }
    shape->ended = protocol->kind == PG_MA_KIND_PATH;
    return PG_OK;
}

/* Appends a part whose value has been checked. */
static enum pg_err add(struct pg_multiaddr *addr, struct shape *shape, const struct pg_ma_protocol *protocol,
                       struct pg_bytes value)
{
    struct pg_writer w = pg_writer(addr->at + addr->len, (size_t)(PG_MULTIADDR_MAX - addr->len));
    pg_put_uvarint(&w, protocol->code);
    if (protocol->size < 0)
        pg_put_uvarint(&w, value.len);
    pg_put_bytes(&w, value);
    if (w.failed)
        return PG_ERR_ADDR_TOO_LONG;
    TRY(shape_take(shape, protocol));
    addr->len = (uint16_t)(addr->len + w.len);
    return PG_OK;
}

/* The next part, or NULL when it is broken or unknown to the table; the cursor has failed then. */
static const struct pg_ma_protocol *take_part(struct pg_cursor *in, struct pg_bytes *value)
{
    const struct pg_ma_protocol *protocol = pg_ma_protocol_by_code(pg_take_uvarint(in));
    if (!protocol)
        in->failed = true;
    else
        *value = pg_take_bytes(in, protocol->size < 0 ? pg_take_uvarint(in) : (uint64_t)protocol->size);
    return in->failed ? NULL : protocol;
}

enum pg_err pg_multiaddr_read(struct pg_multiaddr *addr, struct pg_bytes bytes)
{
    struct shape shape = {0};
    addr->len = 0;
    struct pg_cursor in = pg_cursor(bytes);
    bool good = bytes.len > 0 && bytes.len <= PG_MULTIADDR_MAX;
    while (good && pg_cursor_left(&in)) {
        struct pg_bytes value;
        const struct pg_ma_protocol *protocol = take_part(&in, &value);
        good = protocol && pg_ma_value_check(protocol, value) && add(addr, &shape, protocol, value) == PG_OK;
    }
    if (good)
        return PG_OK;
    addr->len = 0;
    return PG_ERR_ADDR_BYTES_BAD;
}

/* What stands between the slash at *at and the next one or the end; *at moves there. */
static struct pg_bytes take_word(struct pg_bytes text, size_t *at)
{
    struct pg_bytes rest = pg_bytes_skip(text, *at + 1);
    const uint8_t *slash = rest.len ? memchr(rest.at, '/', rest.len) : NULL;
    struct pg_bytes word = slash ? pg_bytes_head(rest, (size_t)(slash - rest.at)) : rest;
    *at += 1 + word.len;
    return word;
}

static enum pg_err parse_parts(struct pg_multiaddr *addr, struct pg_bytes text)
{
    struct shape shape = {0};
    size_t at = 0;
    if (text.len == 0 || text.at[0] != '/')
        return PG_ERR_ADDR_BAD;
    while (at < text.len) {
        uint8_t value[PG_MULTIADDR_MAX];
        size_t len = 0;
        struct pg_bytes word = PG_NONE, name = take_word(text, &at);
        if (name.len == 0)
            return PG_ERR_ADDR_BAD;
        const struct pg_ma_protocol *protocol = pg_ma_protocol_by_name(name);
        if (!protocol)
            return PG_ERR_ADDR_PROTOCOL_UNKNOWN;
        if (protocol->kind == PG_MA_KIND_PATH) {
            word = pg_bytes_skip(text, at);
            at = text.len;
        } else if (protocol->kind != PG_MA_KIND_NONE && at < text.len) {
            word = take_word(text, &at);
        }
        if (word.len > 2 * sizeof value)
            return PG_ERR_ADDR_TOO_LONG;
        if (!pg_ma_value_parse(protocol, word, value, sizeof value, &len))
            return PG_ERR_ADDR_VALUE_BAD;
        TRY(add(addr, &shape, protocol, pg_bytes(value, len)));
    }
    return PG_OK;
}

enum pg_err pg_multiaddr_parse(struct pg_multiaddr *addr, struct pg_bytes text)
{
    addr->len = 0;
    enum pg_err err = parse_parts(addr, text);
    if (err != PG_OK)
        addr->len = 0;
    return err;
}

/* A slash and the name; then, if there is a value, a slash (which a path brings along) and that. */
static void put_part(struct pg_writer *out, const struct pg_ma_protocol *protocol, struct pg_bytes value)
{
    pg_put_u8(out, '/');
    pg_put_bytes(out, pg_text(protocol->name));
    if (protocol->kind == PG_MA_KIND_NONE)
        return;
    if (protocol->kind != PG_MA_KIND_PATH)
        pg_put_u8(out, '/');
    if (out->failed)
        return;
    size_t n = pg_ma_value_text(protocol, value, (char *)out->at + out->len, out->room - out->len);
    out->len += n;
    out->failed = n == 0;
}

size_t pg_multiaddr_text(const struct pg_multiaddr *addr, char *out, size_t room)
{
    struct pg_cursor in = pg_cursor(pg_bytes(addr->at, addr->len));
    struct pg_writer w = pg_writer(out, room);
    while (pg_cursor_left(&in) && !w.failed) {
        struct pg_bytes value;
        const struct pg_ma_protocol *protocol = take_part(&in, &value);
        if (!protocol)
            break;
        put_part(&w, protocol, value);
    }
    pg_put_u8(&w, 0);
    if (pg_cursor_done(&in) && !w.failed)
        return w.len - 1;
    if (room)
        out[0] = 0;
    return 0;
}

bool pg_multiaddr_equal(const struct pg_multiaddr *a, const struct pg_multiaddr *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

bool pg_multiaddr_next(const struct pg_multiaddr *addr, size_t *offset, struct pg_ma_part *part)
{
    if (*offset >= addr->len)
        return false;
    struct pg_cursor in = pg_cursor(pg_bytes(addr->at + *offset, addr->len - *offset));
    const struct pg_ma_protocol *protocol = take_part(&in, &part->value);
    if (!protocol)
        return false;
    part->code = protocol->code;
    *offset = addr->len - pg_cursor_left(&in);
    return true;
}

/* The last part and where it starts; false for an empty address. */
static bool last_part(const struct pg_multiaddr *addr, struct pg_ma_part *last, size_t *start)
{
    struct pg_ma_part part;
    size_t offset = 0, before = 0;
    bool any = false;
    while (pg_multiaddr_next(addr, &offset, &part)) {
        *last = part;
        *start = before;
        before = offset;
        any = true;
    }
    return any;
}

void pg_multiaddr_peer(const struct pg_multiaddr *addr, struct pg_peer_id *id)
{
    struct pg_ma_part last;
    size_t start;
    if (!last_part(addr, &last, &start) || last.code != PG_MA_P2P || pg_peer_id_read(id, last.value) != PG_OK)
        *id = (struct pg_peer_id){0};
}

void pg_multiaddr_strip_p2p(struct pg_multiaddr *addr)
{
    struct pg_ma_part last;
    size_t start;
    if (last_part(addr, &last, &start) && last.code == PG_MA_P2P)
        addr->len = (uint16_t)start;
}

/* The shape of an address that has passed `add`. */
static struct shape shape_of(const struct pg_multiaddr *addr)
{
    struct shape shape = {0};
    struct pg_ma_part part;
    size_t offset = 0;
    while (pg_multiaddr_next(addr, &offset, &part))
        if (shape_take(&shape, pg_ma_protocol_by_code(part.code)) != PG_OK)
            break;
    return shape;
}

/* Appends a part to an address that may be anyone's. */
static bool append(struct pg_multiaddr *addr, enum pg_ma_code code, struct pg_bytes value)
{
    struct shape shape = shape_of(addr);
    return add(addr, &shape, pg_ma_protocol_by_code(code), value) == PG_OK;
}

bool pg_multiaddr_append_p2p(struct pg_multiaddr *addr, const struct pg_peer_id *id)
{
    return id->len && append(addr, PG_MA_P2P, pg_bytes(id->at, id->len));
}

bool pg_multiaddr_append_circuit(struct pg_multiaddr *addr)
{
    struct pg_peer_id relay;
    pg_multiaddr_peer(addr, &relay);
    return relay.len && append(addr, PG_MA_P2P_CIRCUIT, PG_NONE);
}

bool pg_multiaddr_is_circuit(const struct pg_multiaddr *addr)
{
    return shape_of(addr).circuit;
}

enum pg_err pg_multiaddr_circuit(const struct pg_multiaddr *addr, struct pg_multiaddr *relay, struct pg_peer_id *id, struct pg_peer_id *peer)
{
    struct pg_multiaddr before = {0};
    struct pg_ma_part part = {0};
    struct pg_peer_id of_relay, behind = {0};
    size_t offset = 0;
    while (pg_multiaddr_next(addr, &offset, &part) && part.code != PG_MA_P2P_CIRCUIT)
        before.len = (uint16_t)offset;
    memcpy(before.at, addr->at, before.len);
    pg_multiaddr_peer(&before, &of_relay);
    if (part.code != PG_MA_P2P_CIRCUIT || !of_relay.len)
        return PG_ERR_ADDR_UNSUPPORTED;
    if (pg_multiaddr_next(addr, &offset, &part) && (part.code != PG_MA_P2P || offset < addr->len || pg_peer_id_read(&behind, part.value) != PG_OK))
        return PG_ERR_ADDR_UNSUPPORTED;
    if (relay)
        *relay = before;
    if (id)
        *id = of_relay;
    if (peer)
        *peer = behind;
    return PG_OK;
}

/* A zone that is a number, which needs no question to the system. */
static bool zone_read(struct pg_bytes text, uint32_t *zone)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || value > UINT32_MAX)
            return false;
        value = value * 10 + text.at[i] - '0';
    }
    *zone = (uint32_t)value;
    return value > 0 && value <= UINT32_MAX && text.at[0] != '0';
}

enum pg_err pg_multiaddr_tcp(const struct pg_multiaddr *addr, struct pg_endpoint *endpoint, struct pg_peer_id *id)
{
    struct pg_ma_part part;
    struct pg_peer_id none;
    size_t offset = 0;
    struct pg_endpoint e = {0};
    *endpoint = e;
    id = id ? id : &none;
    *id = (struct pg_peer_id){0};
    bool more = pg_multiaddr_next(addr, &offset, &part);
    if (more && part.code == PG_MA_IP6ZONE)
        more = zone_read(part.value, &e.zone) && pg_multiaddr_next(addr, &offset, &part);
    if (!more || (part.code != PG_MA_IP6 && (part.code != PG_MA_IP4 || e.zone)))
        return PG_ERR_ADDR_UNSUPPORTED;
    e.family = part.code == PG_MA_IP4 ? 4 : 6;
    memcpy(e.ip, part.value.at, part.value.len);
    if (!pg_multiaddr_next(addr, &offset, &part) || part.code != PG_MA_TCP)
        return PG_ERR_ADDR_UNSUPPORTED;
    e.port = (uint16_t)(part.value.at[0] << 8 | part.value.at[1]);
    if (offset < addr->len) {
        if (!pg_multiaddr_next(addr, &offset, &part) || part.code != PG_MA_P2P || offset < addr->len)
            return PG_ERR_ADDR_UNSUPPORTED;
        TRY(pg_peer_id_read(id, part.value));
    }
    *endpoint = e;
    return PG_OK;
}

void pg_multiaddr_from_tcp(struct pg_multiaddr *addr, const struct pg_endpoint *endpoint)
{
    const uint8_t port[2] = {(uint8_t)(endpoint->port >> 8), (uint8_t)endpoint->port};
    bool six = endpoint->family == 6;
    addr->len = 0;
    if (!six && endpoint->family != 4)
        return;
    if (six && endpoint->zone) {
        uint8_t digits[10];
        size_t at = sizeof digits;
        for (uint32_t zone = endpoint->zone; zone; zone /= 10)
            digits[--at] = (uint8_t)('0' + zone % 10);
        append(addr, PG_MA_IP6ZONE, pg_bytes(digits + at, sizeof digits - at));
    }
    append(addr, six ? PG_MA_IP6 : PG_MA_IP4, pg_bytes(endpoint->ip, six ? 16 : 4));
    append(addr, PG_MA_TCP, pg_bytes(port, sizeof port));
}
