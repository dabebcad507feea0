/* Fuzz target: text of IP addresses, alone and with a port, against the C library's reader, which takes the same texts and gives
 * the same bytes. Run by libFuzzer or by standalone.c. Serves RFC 4291 section 2.2 and RFC 5952. */
#include "cli/addresses.h"
#include "crypto/multiaddr.h"
#include "fuzz.h"
#include <arpa/inet.h>

/* One family: both readers agree; what is read is written, and its canonical text reads back. */
static void one(int family, struct pg_bytes text, bool ours, const uint8_t *ip, size_t len)
{
    char copy[128], canonical[PG_IP_TEXT];
    uint8_t theirs[16], again[16];
    if (text.len >= sizeof copy || memchr(text.at ? text.at : (const uint8_t *)"", 0, text.len))
        return;
    pg_bytes_text(copy, sizeof copy, text);
    FUZZ_WANT(ours == (inet_pton(family, copy, theirs) == 1));
    if (!ours)
        return;
    FUZZ_WANT(memcmp(ip, theirs, len) == 0);
    size_t n = len == 4 ? pg_ip4_text(ip, canonical) : pg_ip6_text(ip, canonical);
    FUZZ_WANT(n < sizeof canonical && strlen(canonical) == n);
    FUZZ_WANT(len == 4 ? pg_ip4_parse(pg_bytes(canonical, n), again) : pg_ip6_parse(pg_bytes(canonical, n), again));
    FUZZ_WANT(memcmp(ip, again, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_bytes text = pg_bytes(data, size);
    uint8_t ip[16] = {0};
    struct pg_endpoint server;
    one(AF_INET, text, pg_ip4_parse(text, ip), ip, 4);
    one(AF_INET6, text, pg_ip6_parse(text, ip), ip, 16);
    if (pg_name_server_parse(text, &server))
        FUZZ_WANT((server.family == 4 || server.family == 6) && server.port > 0);
    return 0;
}
