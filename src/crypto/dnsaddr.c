/* Multiaddrs that begin with a name. Called by src/core/names.c, src/cli and the fuzz target.
 * Serves multiformats/multiaddr protocols/DNSADDR.md, and libp2p/specs addressing/README.md, "dnsaddr". */
#include "crypto/dnsaddr.h"

#include "wire/cursor.h"

#define RECORD_PREFIX "dnsaddr="

bool pg_dns_name_ok(struct pg_bytes name, bool prefixed)
{
    size_t most = PG_DNS_NAME_MAX - (prefixed ? sizeof PG_DNSADDR_PREFIX - 1 : 0), label = 0;
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > most)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.at[i], letter = c | 0x20;
        bool plain = (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !plain || label == PG_DNS_LABEL_MAX)
            return false;
        label = c == '.' ? 0 : label + 1;
    }
    return label > 0;
}

bool pg_named_take(const struct pg_multiaddr *addr, struct pg_named *named)
{
    struct pg_ma_part part;
    size_t offset = 0;
    *named = (struct pg_named){0};
    if (!pg_multiaddr_next(addr, &offset, &part) ||
        (part.code != PG_MA_DNS && part.code != PG_MA_DNS4 && part.code != PG_MA_DNS6 && part.code != PG_MA_DNSADDR))
        return false;
    *named = (struct pg_named){(enum pg_ma_code)part.code, part.value, pg_bytes(addr->at + offset, addr->len - offset)};
    return true;
}

enum pg_err pg_named_check(const struct pg_named *named)
{
    struct pg_multiaddr sample, relay;
    struct pg_endpoint at;
    struct pg_peer_id id;
    if (!pg_dns_name_ok(named->name, named->code == PG_MA_DNSADDR))
        return PG_ERR_ADDR_NAME_BAD;
    if (named->code == PG_MA_DNSADDR)
        return PG_OK; /* what may follow is for its records to say */
    if (!pg_named_at(named, &(struct pg_endpoint){.family = 6}, &sample))
        return PG_ERR_ADDR_TOO_LONG;
    if (pg_multiaddr_circuit(&sample, &relay, NULL, NULL) == PG_OK)
        sample = relay; /* the name is the relay's */
    return pg_multiaddr_tcp(&sample, &at, &id) == PG_OK ? PG_OK : PG_ERR_ADDR_UNSUPPORTED;
}

bool pg_named_at(const struct pg_named *named, const struct pg_endpoint *ip, struct pg_multiaddr *out)
{
    uint8_t bytes[PG_MULTIADDR_MAX];
    struct pg_writer w = pg_writer(bytes, sizeof bytes);
    if (ip->family != 4 && ip->family != 6)
        return false;
    pg_put_uvarint(&w, ip->family == 4 ? PG_MA_IP4 : PG_MA_IP6);
    pg_put_bytes(&w, pg_bytes(ip->ip, ip->family == 4 ? 4 : 16));
    pg_put_bytes(&w, named->rest);
    return !w.failed && pg_multiaddr_read(out, pg_written(&w)) == PG_OK;
}

/* Its last parts are those that were asked for, part by part: bytes alone could match in the middle of a value. */
static bool ends_in(const struct pg_multiaddr *addr, struct pg_bytes rest)
{
    struct pg_ma_part part;
    size_t offset = 0;
    do
        if ((size_t)(addr->len - offset) == rest.len)
            return rest.len == 0 || memcmp(addr->at + offset, rest.at, rest.len) == 0;
    while (pg_multiaddr_next(addr, &offset, &part));
    return false;
}

bool pg_named_record(const struct pg_named *named, struct pg_bytes text, struct pg_multiaddr *out)
{
    size_t n = sizeof RECORD_PREFIX - 1;
    out->len = 0;
    return text.len > n && memcmp(text.at, RECORD_PREFIX, n) == 0 && pg_multiaddr_parse(out, pg_bytes_skip(text, n)) == PG_OK &&
           ends_in(out, named->rest);
}
