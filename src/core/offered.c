/* Which addresses that other peers offer may be dialled. Called by identify.c; a pure function with a table of cases in
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

bool pg_offer_good(const struct pg_offer *o, const struct pg_multiaddr *offered)
{
    struct pg_endpoint e;
    struct pg_peer_id named;
    if (pg_multiaddr_tcp(offered, &e, &named) != PG_OK || e.port == 0 || e.zone)
        return false;
    if (named.len && !pg_peer_id_equal(&named, o->peer))
        return false;
    if (pg_peer_id_equal(o->peer, o->own_id) || link_local(&e) || mapped(&e) || pg_endpoint_is_unspecified(&e) || is_ours(o, &e))
        return false;
    if (pg_endpoint_is_loopback(&e))
        return pg_endpoint_is_loopback(o->from);
    if (pg_endpoint_is_private(&e))
        return pg_endpoint_is_private(o->from) || pg_endpoint_is_loopback(o->from);
    return pg_endpoint_is_public(&e);
}
