/* What IP addresses are good for, by a table of prefixes.
 * Called by dialling, listening and everything that tells addresses to others. Serves the IANA special-purpose address
 * registries (RFC 6890) as far as they matter for peers. */
#include "crypto/multiaddr.h"

enum reach { PUBLIC, UNSPECIFIED, LOOPBACK, PRIVATE, NOWHERE };

struct prefix {
    uint8_t reach;
    uint8_t bits;
    uint8_t ip[4]; /* no prefix that matters is longer than 32 bits */
};

static const struct prefix ip4_prefixes[] = {
    {UNSPECIFIED, 32, {0}},
    {NOWHERE, 8, {0}},
    {PRIVATE, 8, {10}},
    {PRIVATE, 10, {100, 64}}, /* shared by a carrier's customers */
    {LOOPBACK, 8, {127}},
    {PRIVATE, 16, {169, 254}}, /* link-local */
    {PRIVATE, 12, {172, 16}},
    {NOWHERE, 24, {192, 0, 0}},
    {NOWHERE, 24, {192, 0, 2}}, /* documentation */
    {PRIVATE, 16, {192, 168}},
    {NOWHERE, 15, {198, 18}}, /* benchmarks */
    {NOWHERE, 24, {198, 51, 100}},
    {NOWHERE, 24, {203, 0, 113}},
    {NOWHERE, 3, {224}}, /* multicast and above */
};

static const struct prefix ip6_prefixes[] = {
    {PRIVATE, 7, {0xfc}},                    /* unique local */
    {PRIVATE, 10, {0xfe, 0x80}},             /* link-local */
    {NOWHERE, 32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
    {PUBLIC, 3, {0x20}},                     /* global unicast */
    {PUBLIC, 32, {0x00, 0x64, 0xff, 0x9b}},  /* IPv4 behind a translator, RFC 6052 */
};

static bool matches(const struct prefix *p, const uint8_t *ip)
{
    for (unsigned bit = 0; bit < p->bits; bit += 8) {
        unsigned left = p->bits - bit;
        uint8_t mask = (uint8_t)(left >= 8 ? 0xff : 0xff << (8 - left));
        if ((ip[bit / 8] ^ p->ip[bit / 8]) & mask)
            return false;
    }
    return true;
}

static enum reach look_up(const struct prefix *table, size_t n, const uint8_t *ip, enum reach other)
{
    for (size_t i = 0; i < n; i++)
        if (matches(&table[i], ip))
            return (enum reach)table[i].reach;
    return other;
}

static enum reach reach_of(const struct pg_endpoint *e)
{
    static const uint8_t zeros[15], mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *ip4 = e->family == 4 ? e->ip : NULL;
    if (e->family == 6 && memcmp(e->ip, mapped, sizeof mapped) == 0)
        ip4 = e->ip + 12;
    if (ip4)
        return look_up(ip4_prefixes, sizeof ip4_prefixes / sizeof *ip4_prefixes, ip4, PUBLIC);
    if (e->family != 6)
        return NOWHERE;
    if (memcmp(e->ip, zeros, sizeof zeros) == 0 && e->ip[15] <= 1)
        return e->ip[15] ? LOOPBACK : UNSPECIFIED;
    return look_up(ip6_prefixes, sizeof ip6_prefixes / sizeof *ip6_prefixes, e->ip, NOWHERE);
}

bool pg_endpoint_is_unspecified(const struct pg_endpoint *endpoint)
{
    return reach_of(endpoint) == UNSPECIFIED;
}

bool pg_endpoint_is_loopback(const struct pg_endpoint *endpoint)
{
    return reach_of(endpoint) == LOOPBACK;
}

bool pg_endpoint_is_private(const struct pg_endpoint *endpoint)
{
    return reach_of(endpoint) == PRIVATE;
}

bool pg_endpoint_is_public(const struct pg_endpoint *endpoint)
{
    return reach_of(endpoint) == PUBLIC;
}

bool pg_endpoint_equal(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    size_t n = a->family == 4 ? 4 : a->family == 6 ? 16 : 0;
    return a->family == b->family && a->port == b->port && a->zone == b->zone && memcmp(a->ip, b->ip, n) == 0;
}
