/* Addresses of name servers. Called by values.c and run.c.
 * Serves the form of a server that c-ares and resolv.conf(5) know, with the port that RFC 1035 section 4.2 names. */
#include "cli/addresses.h"

#include "crypto/multiaddr.h"

enum { DNS_PORT = 53 };

static bool port_parse(struct pg_bytes text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.len == 0 || text.len > 5 || text.at[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + text.at[i] - '0';
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool ip_parse(struct pg_bytes text, struct pg_endpoint *e)
{
    e->family = pg_ip4_parse(text, e->ip) ? 4 : pg_ip6_parse(text, e->ip) ? 6 : 0;
    return e->family != 0 && !pg_endpoint_is_unspecified(e);
}

bool pg_name_server_parse(struct pg_bytes text, struct pg_endpoint *server)
{
    *server = (struct pg_endpoint){.port = DNS_PORT};
    if (ip_parse(text, server))
        return true;
    const uint8_t *colon = NULL;
    for (size_t i = 0; i < text.len; i++)
        colon = text.at[i] == ':' ? text.at + i : colon;
    const uint8_t *bracket = text.len && text.at[0] == '[' ? memchr(text.at, ']', text.len) : NULL;
    if (bracket) {
        struct pg_bytes rest = pg_bytes_skip(text, (size_t)(bracket - text.at) + 1);
        bool port = rest.len == 0 || (rest.at[0] == ':' && port_parse(pg_bytes_skip(rest, 1), &server->port));
        return port && ip_parse(pg_bytes(text.at + 1, (size_t)(bracket - text.at) - 1), server) && server->family == 6;
    }
    return colon && port_parse(pg_bytes_skip(text, (size_t)(colon - text.at) + 1), &server->port) &&
           ip_parse(pg_bytes_head(text, (size_t)(colon - text.at)), server) && server->family == 4;
}
