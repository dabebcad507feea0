/* Which addresses that other peers offer may be dialled. Called by identify.c and mdns_peer.c; a pure function with a table of cases in
 * tests/unit/offered_test.c. Ranges are those of RFC 6890, as src/crypto/multiaddr.c knows them. */
#include "core/offered.h"

static bool link_local(const struct pg_endpoint *e)
{
    return e->family == 4 ? e->ip[0] == 169 && e->ip[1] == 254 : e->ip[0] == 0xfe && (e->ip[1] & 0xc0) == 0x80;
}

/* ::ffff:0:0/96 and the deprecated ::/96: IPv4 in disguise. */
static bool mapped(const struct pg_endpoint *e)
{
    static const uint8_t zero[10], one[16] = {[15] = 1};
    if (e->family != 6 || memcmp(e->ip, zero, 10) != 0 || memcmp(e->ip, one, 16) == 0)
        return false;
    return (e->ip[10] == 0xff && e->ip[11] == 0xff) || (e->ip[10] == 0 && e->ip[11] == 0);
}

static bool is_ours(const struct pg_offer *o, const struct pg_endpoint *e)
{
    struct pg_endpoint own;
    for (uint32_t i = 0; i < o->n_own; i++)
        if (pg_multiaddr_tcp(&o->own[i], &own, NULL) == PG_OK && own.family == e->family && own.port == e->port &&
            memcmp(own.ip, e->ip, e->family == 4 ? 4 : 16) == 0)
            return true;
    return false;
}

/* Of what kind the network may be that the address is in. */
static bool in_reach(const struct pg_offer *o, const struct pg_endpoint *e)
{
    if (link_local(e))
        return o->on_link && (e->family == 4 || e->zone);
    if (e->zone || mapped(e) || pg_endpoint_is_unspecified(e))
        return false;
    if (pg_endpoint_is_loopback(e))
        return pg_endpoint_is_loopback(o->from);
    if (pg_endpoint_is_private(e))
        return o->on_link || pg_endpoint_is_private(o->from) || pg_endpoint_is_loopback(o->from);
    return pg_endpoint_is_public(e);
}

bool pg_offer_good(const struct pg_offer *o, const struct pg_multiaddr *offered)
{
    struct pg_endpoint e;
    struct pg_multiaddr relay;
    struct pg_peer_id named, relay_id;
    bool over = pg_multiaddr_circuit(offered, &relay, &relay_id, &named) == PG_OK;
    if (over && (pg_peer_id_equal(&relay_id, o->own_id) || pg_peer_id_equal(&relay_id, o->peer)))
        return false;
    if (pg_multiaddr_tcp(over ? &relay : offered, &e, over ? NULL : &named) != PG_OK || e.port == 0 || (e.zone && e.zone != o->on_link))
        return false;
    if (named.len && !pg_peer_id_equal(&named, o->peer))
        return false;
    return !pg_peer_id_equal(o->peer, o->own_id) && !is_ours(o, &e) && in_reach(o, &e);
}

bool pg_offer_ip(const struct pg_multiaddr *addr, struct pg_endpoint *out)
{
    struct pg_ma_part part;
    size_t offset = 0;
    *out = (struct pg_endpoint){0};
    if (!pg_multiaddr_next(addr, &offset, &part) || (part.code != PG_MA_IP4 && part.code != PG_MA_IP6))
        return false;
    out->family = part.code == PG_MA_IP4 ? 4 : 6;
    memcpy(out->ip, part.value.at, part.value.len);
    return true;
}

bool pg_offer_keepable(const struct pg_offer *o, const struct pg_multiaddr *offered)
{
    struct pg_endpoint e;
    struct pg_peer_id named;
    pg_multiaddr_peer(offered, &named);
    return (named.len == 0 || pg_peer_id_equal(&named, o->peer)) && pg_offer_ip(offered, &e) && in_reach(o, &e);
}

bool pg_offer_tellable(const struct pg_endpoint *asker, const struct pg_multiaddr *addr)
{
    struct pg_endpoint e;
    struct pg_ma_part part;
    size_t offset = 0;
    if (!pg_offer_ip(addr, &e)) /* a name is what the user has said of ourselves: of others none is kept */
        return pg_multiaddr_next(addr, &offset, &part) && part.code >= PG_MA_DNS && part.code <= PG_MA_DNSADDR;
    if (link_local(&e) || pg_endpoint_is_unspecified(&e))
        return false;
    if (pg_endpoint_is_loopback(&e))
        return pg_endpoint_is_loopback(asker);
    return !pg_endpoint_is_private(&e) || pg_endpoint_is_loopback(asker) || pg_endpoint_is_private(asker);
}
