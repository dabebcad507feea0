/* Multiaddrs beyond the libraries' vectors: round trips of everything, everything cut and bent, repeated parts, limits.
 * Run by ctest. Serves multiformats/multiaddr README.md, RFC 5952, RFC 6890. */
#include "crypto_suite.h"

#include "crypto/multiaddr.h"

#define A "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
#define B "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
#define HASH "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g"
#define ONION "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"

/* Canonical texts, at least one for every protocol. */
static const char *const canonical[] = {
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/0.0.0.0/tcp/0",
    "/ip6/::/tcp/65535",
    "/ip6/fe80::1/udp/4001/quic-v1/p2p/" A,
    "/ip6zone/eth0/ip6/fe80::1/tcp/1",
    "/ip6/2001:db8::/ipcidr/32",
    "/ip4/1.2.3.4/tcp/4001/p2p/" A "/p2p-circuit/p2p/" B,
    "/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/" HASH "/certhash/" HASH "/p2p/" A,
    "/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/" HASH,
    "/p2p/" A "/p2p-circuit/webrtc/p2p/" B,
    "/dns/example.org/tcp/443/tls/ws",
    "/dns4/a.b/tcp/443/tls/sni/c.d/ws",
    "/dns6/xn--bcher-kva.example/tcp/443/wss",
    "/dns4/b\xc3\xbc"
    "cher.example/tcp/80/http",
    "/dnsaddr/bootstrap.libp2p.io/p2p/" B,
    "/ip4/1.2.3.4/tcp/443/https",
    "/ip4/1.2.3.4/tcp/1/noise",
    "/ip4/1.2.3.4/udp/1/quic",
    "/ip4/1.2.3.4/dccp/9/sctp/10/udt/utp",
    "/unix/tmp/p2p.sock",
    "/onion3/" ONION ":1234",
    "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq",
    "/memory/18446744073709551615",
    "/ip4/1.2.3.4/tcp/1/ws/p2p-webrtc-star/p2p-stardust/p2p/" A,
};
#define N_CANONICAL (sizeof canonical / sizeof *canonical)

static enum pg_err parse(const char *text)
{
    struct pg_multiaddr addr = {.len = 7};
    uint8_t *exact = exact_copy(text, strlen(text));
    enum pg_err err = pg_multiaddr_parse(&addr, pg_bytes(exact, strlen(text)));
    free(exact);
    CU_ASSERT_TRUE(err == PG_OK ? addr.len > 0 : addr.len == 0);
    return err;
}

/* What was read prints, and what was printed is read as the same. */
static bool round_trips(const struct pg_multiaddr *addr)
{
    struct pg_multiaddr from_text, from_bytes;
    char text[PG_MULTIADDR_TEXT], again[PG_MULTIADDR_TEXT];
    size_t len = pg_multiaddr_text(addr, text, sizeof text);
    return len > 0 && pg_multiaddr_parse(&from_text, pg_bytes(text, len)) == PG_OK && pg_multiaddr_equal(addr, &from_text) &&
           pg_multiaddr_read(&from_bytes, pg_bytes(addr->at, addr->len)) == PG_OK && pg_multiaddr_equal(addr, &from_bytes) &&
           pg_multiaddr_text(&from_bytes, again, sizeof again) == len && memcmp(text, again, len + 1) == 0;
}

static void canonical_texts_of_every_protocol_come_back_unchanged(void)
{
    for (size_t i = 0; i < N_CANONICAL; i++) {
        struct pg_multiaddr addr;
        char text[PG_MULTIADDR_TEXT];
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(canonical[i])), PG_OK);
        CU_ASSERT_EQUAL(pg_multiaddr_text(&addr, text, sizeof text), strlen(canonical[i]));
        CU_ASSERT_STRING_EQUAL(text, canonical[i]);
        CU_ASSERT_TRUE(round_trips(&addr));
    }
}

static void human_texts_are_printed_canonically(void)
{
    static const char *const texts[][2] = {
        {"/ip6/2001:0DB8:0:0:0:0:0:1/tcp/1", "/ip6/2001:db8::1/tcp/1"},
        {"/ip6/::ffff:7f00:1/tcp/1", "/ip6/::ffff:127.0.0.1/tcp/1"},
        {"/ipfs/" A, "/p2p/" A},
        {"/p2p/bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324", "/p2p/" A},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct pg_multiaddr addr;
        char text[PG_MULTIADDR_TEXT];
        CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_text(texts[i][0])), PG_OK);
        pg_multiaddr_text(&addr, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, texts[i][1]);
    }
}

static void every_truncation_of_bytes_and_text_is_refused_or_round_trips(void)
{
    for (size_t i = 0; i < N_CANONICAL; i++) {
        struct pg_multiaddr addr, cut;
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(canonical[i])), PG_OK);
        for (size_t len = 0; len < addr.len; len++) {
            uint8_t *bytes = exact_copy(addr.at, len);
            if (pg_multiaddr_read(&cut, pg_bytes(bytes, len)) == PG_OK)
                CU_ASSERT_TRUE(round_trips(&cut))
            else
                CU_ASSERT_EQUAL(cut.len, 0);
            free(bytes);
        }
        for (size_t len = 0; len < strlen(canonical[i]); len++) {
            uint8_t *text = exact_copy(canonical[i], len);
            if (pg_multiaddr_parse(&cut, pg_bytes(text, len)) == PG_OK)
                CU_ASSERT_TRUE(round_trips(&cut))
            else
                CU_ASSERT_EQUAL(cut.len, 0);
            free(text);
        }
    }
}

static void every_changed_byte_is_refused_or_round_trips(void)
{
    int good = 0;
    for (size_t i = 0; i < N_CANONICAL; i++) {
        struct pg_multiaddr addr, bent;
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(canonical[i])), PG_OK);
        for (size_t at = 0; at < addr.len; at++) {
            uint8_t *bytes = exact_copy(addr.at, addr.len);
            for (unsigned value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                if (pg_multiaddr_read(&bent, pg_bytes(bytes, addr.len)) != PG_OK)
                    continue;
                good++;
                if (!round_trips(&bent))
                    CU_FAIL("read, but does not print and read again");
            }
            free(bytes);
        }
    }
    CU_ASSERT_TRUE(good > 1000);
}

static void what_is_wrong_is_told_apart(void)
{
    CU_ASSERT_EQUAL(parse(""), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("/"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("127.0.0.1:80"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("ip4/1.2.3.4"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/1/"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4//tcp/1"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse(" /ip4/1.2.3.4/tcp/1"), PG_ERR_ADDR_BAD);
    CU_ASSERT_EQUAL(parse("/ip5/1.2.3.4/tcp/1"), PG_ERR_ADDR_PROTOCOL_UNKNOWN);
    CU_ASSERT_EQUAL(parse("/IP4/1.2.3.4/tcp/1"), PG_ERR_ADDR_PROTOCOL_UNKNOWN);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/1/1"), PG_ERR_ADDR_PROTOCOL_UNKNOWN);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/65536"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/+1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/01"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/memory/18446744073709551616"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/ip6/::/ipcidr/129"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/ip4/1.2.3.4/tcp/1/p2p/" A "x"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/onion3/" ONION ":0"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/onion3/" ONION), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/onion3/:1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/unix"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/unix/"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoe"), PG_ERR_ADDR_VALUE_BAD);
}

static void names_that_could_deceive_a_reader_are_refused(void)
{
    CU_ASSERT_EQUAL(parse("/dns/a b/tcp/1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\nb/tcp/1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\x1b[2Jb/tcp/1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\x7f/tcp/1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\xc2\x9b"
                          "b/tcp/1"),
                    PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\xc0\xaf"
                          "b/tcp/1"),
                    PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/dns/a\xed\xa0\x80/tcp/1"), PG_ERR_ADDR_VALUE_BAD);
    CU_ASSERT_EQUAL(parse("/unix/tmp/a\nb"), PG_ERR_ADDR_VALUE_BAD);
}

static void a_peer_or_a_circuit_named_twice_is_refused_in_text_and_bytes(void)
{
    static const char *const twice[] = {
        "/ip4/1.2.3.4/tcp/1/p2p/" A "/p2p/" A,
        "/p2p/" A "/p2p/" B,
        "/p2p/" A "/ip4/1.2.3.4/p2p/" B,
        "/p2p/" A "/p2p-circuit/p2p-circuit",
        "/p2p/" A "/p2p-circuit/p2p/" B "/p2p-circuit",
        "/p2p-circuit/p2p/" A "/p2p/" A,
    };
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++)
        CU_ASSERT_EQUAL(parse(twice[i]), PG_ERR_ADDR_REPEATED);
    struct pg_multiaddr one, both;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&one, pg_text("/p2p/" A)), PG_OK);
    uint8_t bytes[PG_MULTIADDR_MAX];
    memcpy(bytes, one.at, one.len);
    memcpy(bytes + one.len, one.at, one.len);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&both, pg_bytes(bytes, 2u * one.len)), PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&both, pg_bytes("\xa2\x02\xa2\x02", 4)), PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&both, pg_bytes("\xa2\x02", 2)), PG_OK);
}

static void nothing_may_follow_a_path(void)
{
    struct pg_multiaddr addr;
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\x90\x03\x02/a", 5)), PG_OK);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\x90\x03\x02/a\xdd\x03", 7)), PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\x90\x03\x02"
                                                      "aa",
                                                      5)),
                    PG_ERR_ADDR_BYTES_BAD);
}

static void lengths_and_codes_written_too_long_are_refused(void)
{
    struct pg_multiaddr addr;
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\x36\x81\x00"
                                                      "a",
                                                      4)),
                    PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\xa2\x82\x00", 3)), PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\x36\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                                      "a",
                                                      12)),
                    PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11)),
                    PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, PG_NONE), PG_ERR_ADDR_BYTES_BAD);
}

static void too_long_and_too_many_parts_are_refused_and_the_longest_prints(void)
{
    char text[4096];
    struct pg_multiaddr addr;
    uint8_t bytes[PG_MULTIADDR_MAX + 2];
    memset(text, 'a', sizeof text);
    memcpy(text, "/dns/", 5);
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_bytes(text, 5 + 253)), PG_OK); /* code, two of length, name */
    CU_ASSERT_TRUE(addr.len == 256 && round_trips(&addr));
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_bytes(text, 5 + 254)), PG_ERR_ADDR_TOO_LONG);
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_bytes(text, sizeof text)), PG_ERR_ADDR_TOO_LONG);
    text[0] = 0;
    for (int i = 0; i < PG_MULTIADDR_PARTS; i++)
        strcat(text, "/p2p-webrtc-star");
    CU_ASSERT_EQUAL(parse(text), PG_OK);
    CU_ASSERT_EQUAL(parse(strcat(text, "/ws")), PG_ERR_ADDR_TOO_LONG);
    for (size_t i = 0; i < sizeof bytes; i += 2)
        memcpy(bytes + i, "\x93\x02", 2);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes(bytes, 256)), PG_ERR_ADDR_BYTES_BAD);
    CU_ASSERT_EQUAL(pg_multiaddr_read(&addr, pg_bytes(bytes, sizeof bytes)), PG_ERR_ADDR_BYTES_BAD);
    /* What grows most in print: 15 IPv6 addresses without a zero. */
    text[0] = 0;
    for (int i = 0; i < 15; i++)
        strcat(text, "/ip6/1111:2222:3333:4444:5555:6666:7777:8888");
    CU_ASSERT_EQUAL(pg_multiaddr_parse(&addr, pg_text(text)), PG_OK);
    CU_ASSERT_TRUE(round_trips(&addr));
}

static void text_that_does_not_fit_is_not_begun(void)
{
    for (size_t i = 0; i < N_CANONICAL; i++) {
        struct pg_multiaddr addr;
        size_t len = strlen(canonical[i]);
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(canonical[i])), PG_OK);
        for (size_t room = 0; room <= len; room++) {
            char *out = (char *)exact_copy(canonical[i], room);
            CU_ASSERT_EQUAL(pg_multiaddr_text(&addr, out, room), 0);
            CU_ASSERT_TRUE(room == 0 || out[0] == 0);
            free(out);
        }
        char *out = malloc(len + 1);
        CU_ASSERT_TRUE(out && pg_multiaddr_text(&addr, out, len + 1) == len);
        free(out);
    }
}

static enum pg_err to_tcp(const char *text, struct pg_endpoint *e, struct pg_peer_id *id)
{
    struct pg_multiaddr addr;
    if (pg_multiaddr_parse(&addr, pg_text(text)) != PG_OK)
        abort();
    return pg_multiaddr_tcp(&addr, e, id);
}

static void tcp_addresses_become_endpoints_and_others_do_not(void)
{
    struct pg_endpoint e;
    struct pg_peer_id id;
    char text[PG_PEER_ID_TEXT];
    CU_ASSERT_EQUAL(to_tcp("/ip4/1.2.3.4/tcp/4001", &e, &id), PG_OK);
    CU_ASSERT_TRUE(e.family == 4 && e.port == 4001 && memcmp(e.ip, "\1\2\3\4", 4) == 0 && id.len == 0);
    CU_ASSERT_EQUAL(to_tcp("/ip6/::1/tcp/1/p2p/" A, &e, &id), PG_OK);
    pg_peer_id_text(&id, text);
    CU_ASSERT_TRUE(e.family == 6 && e.port == 1 && e.ip[15] == 1);
    CU_ASSERT_STRING_EQUAL(text, A);
    CU_ASSERT_EQUAL(to_tcp("/ip6/::1/tcp/1/p2p/" A, &e, NULL), PG_OK);
    CU_ASSERT_EQUAL(to_tcp("/ip6zone/7/ip6/fe80::1/tcp/1", &e, NULL), PG_OK);
    CU_ASSERT_EQUAL(e.zone, 7);
    static const char *const others[] = {
        "/ip4/1.2.3.4",
        "/tcp/1",
        "/ip4/1.2.3.4/udp/1",
        "/ip4/1.2.3.4/tcp/1/ws",
        "/dns4/a/tcp/1",
        "/p2p/" A,
        "/ip4/1.2.3.4/p2p/" A,
        "/ip4/1.2.3.4/tcp/1/p2p/" A "/p2p-circuit",
        "/p2p-circuit",
        "/ip6zone/eth0/ip6/fe80::1/tcp/1",
        "/ip6zone/7/ip4/1.2.3.4/tcp/1",
        "/ip6zone/0/ip6/fe80::1/tcp/1",
        "/ip6zone/4294967296/ip6/fe80::1/tcp/1",
        "/ip6zone/99999999999999999999999/ip6/fe80::1/tcp/1",
        "/unix/tmp/x",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CU_ASSERT_EQUAL(to_tcp(others[i], &e, &id), PG_ERR_ADDR_UNSUPPORTED);
        CU_ASSERT_TRUE(e.family == 0 && id.len == 0);
    }
}

static void endpoints_become_addresses_and_come_back(void)
{
    static const char *const texts[] = {"/ip4/1.2.3.4/tcp/4001", "/ip6/2001:db8::1/tcp/65535",
                                        "/ip6zone/4294967295/ip6/fe80::1/tcp/1"};
    struct pg_endpoint e, none = {0};
    struct pg_multiaddr addr;
    char text[PG_MULTIADDR_TEXT];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CU_ASSERT_EQUAL(to_tcp(texts[i], &e, NULL), PG_OK);
        pg_multiaddr_from_tcp(&addr, &e);
        CU_ASSERT_TRUE(pg_multiaddr_text(&addr, text, sizeof text) > 0);
        CU_ASSERT_STRING_EQUAL(text, texts[i]);
    }
    pg_multiaddr_from_tcp(&addr, &none);
    CU_ASSERT_EQUAL(addr.len, 0);
}

static void a_peer_is_appended_once_and_stripped(void)
{
    struct pg_multiaddr addr, plain;
    struct pg_peer_id a, b, found, none = {0};
    char text[PG_MULTIADDR_TEXT];
    CU_ASSERT_EQUAL(pg_peer_id_parse(&a, PG_LIT(A)), PG_OK);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&b, PG_LIT(B)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, PG_LIT("/ip4/1.2.3.4/tcp/1")), PG_OK);
    plain = addr;
    CU_ASSERT_FALSE(pg_multiaddr_append_p2p(&addr, &none));
    CU_ASSERT_TRUE(pg_multiaddr_append_p2p(&addr, &a));
    CU_ASSERT_FALSE(pg_multiaddr_append_p2p(&addr, &b));
    pg_multiaddr_text(&addr, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "/ip4/1.2.3.4/tcp/1/p2p/" A);
    pg_multiaddr_peer(&addr, &found);
    CU_ASSERT_TRUE(pg_peer_id_equal(&found, &a));
    pg_multiaddr_strip_p2p(&addr);
    CU_ASSERT_TRUE(pg_multiaddr_equal(&addr, &plain));
    pg_multiaddr_strip_p2p(&addr);
    CU_ASSERT_TRUE(pg_multiaddr_equal(&addr, &plain));
    pg_multiaddr_peer(&addr, &found);
    CU_ASSERT_EQUAL(found.len, 0);

    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, PG_LIT("/p2p/" A "/p2p-circuit")), PG_OK);
    CU_ASSERT_TRUE(pg_multiaddr_append_p2p(&addr, &b));
    pg_multiaddr_strip_p2p(&addr);
    pg_multiaddr_text(&addr, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "/p2p/" A "/p2p-circuit");
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, PG_LIT("/unix/tmp/x")), PG_OK);
    CU_ASSERT_FALSE(pg_multiaddr_append_p2p(&addr, &a));
}

static void parts_are_walked_with_their_values(void)
{
    struct pg_multiaddr addr;
    struct pg_ma_part part;
    size_t offset = 0;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, PG_LIT("/dns4/a.b/tcp/258/ws")), PG_OK);
    CU_ASSERT_TRUE(pg_multiaddr_next(&addr, &offset, &part) && part.code == PG_MA_DNS4 &&
                   pg_bytes_equal(part.value, PG_LIT("a.b")));
    CU_ASSERT_TRUE(pg_multiaddr_next(&addr, &offset, &part) && part.code == PG_MA_TCP &&
                   pg_bytes_equal(part.value, PG_LIT("\1\2")));
    CU_ASSERT_TRUE(pg_multiaddr_next(&addr, &offset, &part) && part.code == PG_MA_WS && part.value.len == 0);
    CU_ASSERT_FALSE(pg_multiaddr_next(&addr, &offset, &part));
    CU_ASSERT_EQUAL(offset, addr.len);
}

static void ipv6_is_printed_as_rfc_5952_says(void)
{
    static const char *const texts[][2] = {
        {"0:0:0:0:0:0:0:0", "::"},
        {"0:0:0:0:0:0:0:1", "::1"},
        {"1:0:0:0:0:0:0:0", "1::"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:DB8::00AB", "2001:db8::ab"},
        {"::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:c000:280", "::ffff:192.0.2.128"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a"},
        {"::1.2.3.4", "::102:304"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t ip[16];
        char text[PG_IP_TEXT];
        CU_ASSERT_TRUE(pg_ip6_parse(pg_text(texts[i][0]), ip));
        CU_ASSERT_EQUAL(pg_ip6_text(ip, text), strlen(texts[i][1]));
        CU_ASSERT_STRING_EQUAL(text, texts[i][1]);
    }
}

static void broken_ip_addresses_are_refused(void)
{
    static const char *const six[] = {"",
                                      ":",
                                      ":::",
                                      "1",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1::2::3",
                                      "12345::",
                                      "g::",
                                      "::1 ",
                                      " ::1",
                                      ":1::",
                                      "1:",
                                      "1::2:",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "1.2.3.4",
                                      "::1.2.3",
                                      "::1.2.3.4:1",
                                      "::1.2.3.256",
                                      "1:2:3:4:5:6:7:8::",
                                      "::1:2:3:4:5:6:7:8",
                                      "1:2:3:4::5:6:7:8",
                                      "::%1",
                                      "[::1]"};
    static const char *const four[] = {"",         "1",        "1.2.3",     "1.2.3.4.5", "1.2.3.",
                                       ".1.2.3",   "1..2.3",   "256.1.1.1", "1.2.3.04",  "00.1.1.1",
                                       "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4", "1,2,3,4",   "1.2.3.1000"};
    uint8_t ip[16];
    for (size_t i = 0; i < sizeof six / sizeof *six; i++)
        CU_ASSERT_FALSE(pg_ip6_parse(pg_text(six[i]), ip));
    for (size_t i = 0; i < sizeof four / sizeof *four; i++)
        CU_ASSERT_FALSE(pg_ip4_parse(pg_text(four[i]), ip));
}

static void addresses_are_told_apart_by_their_reach(void)
{
    static const char *const unspecified[] = {"/ip4/0.0.0.0", "/ip6/::", "/ip6/::ffff:0.0.0.0"};
    static const char *const loopback[] = {"/ip4/127.0.0.1", "/ip4/127.255.255.255", "/ip6/::1", "/ip6/::ffff:127.0.0.1"};
    static const char *const private[] = {"/ip4/10.0.0.1",   "/ip4/172.16.0.1",  "/ip4/172.31.255.255", "/ip4/192.168.1.1",
                                          "/ip4/100.64.0.1", "/ip4/169.254.1.1", "/ip6/fe80::1",        "/ip6/febf::1",
                                          "/ip6/fc00::1",    "/ip6/fdff::1",     "/ip6/::ffff:10.0.0.1"};
    static const char *const public[] = {"/ip4/1.1.1.1",    "/ip4/9.255.255.255", "/ip4/11.0.0.0",        "/ip4/172.15.0.1",
                                         "/ip4/172.32.0.1", "/ip4/100.128.0.1",   "/ip4/223.255.255.255", "/ip6/2606:4700::1111",
                                         "/ip6/64:ff9b::1", "/ip6/::ffff:8.8.8.8"};
    static const char *const nowhere[] = {"/ip4/0.1.2.3",    "/ip4/192.0.2.1", "/ip4/198.51.100.1",    "/ip4/203.0.113.1",
                                          "/ip4/198.19.0.1", "/ip4/224.0.0.1", "/ip4/255.255.255.255", "/ip6/2001:db8::1",
                                          "/ip6/ff02::1",    "/ip6/::2"};
    static const struct {
        const char *const *texts;
        size_t n;
        bool (*is)(const struct pg_endpoint *);
    } kinds[] = {
        {unspecified, sizeof unspecified / sizeof *unspecified, pg_endpoint_is_unspecified},
        {loopback, sizeof loopback / sizeof *loopback, pg_endpoint_is_loopback},
        {private, sizeof private / sizeof *private, pg_endpoint_is_private},
        {public, sizeof public / sizeof *public, pg_endpoint_is_public},
        {nowhere, sizeof nowhere / sizeof *nowhere, NULL},
    };
    for (size_t kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < kinds[kind].n; i++) {
            char text[64];
            struct pg_endpoint e;
            snprintf(text, sizeof text, "%s/tcp/1", kinds[kind].texts[i]);
            CU_ASSERT_EQUAL(to_tcp(text, &e, NULL), PG_OK);
            for (size_t other = 0; other < 4; other++)
                if (kinds[other].is(&e) != (other == kind)) {
                    fprintf(stderr, "%s is misjudged\n", text);
                    CU_FAIL("misjudged");
                }
        }
    }
    struct pg_endpoint none = {0};
    CU_ASSERT_FALSE(pg_endpoint_is_public(&none) || pg_endpoint_is_unspecified(&none));
}

static void endpoints_are_equal_when_everything_that_counts_is(void)
{
    struct pg_endpoint a = {.family = 4, .ip = {1, 2, 3, 4}, .port = 5}, b = a;
    CU_ASSERT_TRUE(pg_endpoint_equal(&a, &b));
    b.ip[9] = 1; /* beyond IPv4 */
    CU_ASSERT_TRUE(pg_endpoint_equal(&a, &b));
    b.family = a.family = 6;
    CU_ASSERT_FALSE(pg_endpoint_equal(&a, &b));
    b = a;
    b.zone = 1;
    CU_ASSERT_FALSE(pg_endpoint_equal(&a, &b));
    b = a;
    b.port = 6;
    CU_ASSERT_FALSE(pg_endpoint_equal(&a, &b));
}

static void addresses_over_relays_are_taken_apart_and_made(void)
{
#define RELAY "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
#define BEHIND "12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p"
    static const struct {
        const char *text, *relay, *behind;
    } good[] = {
        {"/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" BEHIND, "/ip4/1.2.3.4/tcp/5/p2p/" RELAY, BEHIND},
        {"/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit", "/ip4/1.2.3.4/tcp/5/p2p/" RELAY, NULL},
        {"/dns4/relay.example/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" BEHIND, "/dns4/relay.example/tcp/5/p2p/" RELAY, BEHIND},
        {"/ip6/::1/udp/5/quic-v1/p2p/" RELAY "/p2p-circuit/p2p/" BEHIND, "/ip6/::1/udp/5/quic-v1/p2p/" RELAY, BEHIND},
        {"/p2p/" RELAY "/p2p-circuit/p2p/" BEHIND, "/p2p/" RELAY, BEHIND},
    };
    static const char *const bad[] = {"/ip4/1.2.3.4/tcp/5/p2p/" RELAY, "/ip4/1.2.3.4/tcp/5/p2p-circuit/p2p/" BEHIND, "/p2p-circuit",
                                      "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/ip4/1.2.3.4/tcp/5",
                                      "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/p2p-circuit/p2p/" BEHIND "/tcp/5",
                                      "/ip4/1.2.3.4/tcp/5/p2p/" RELAY "/tcp/6/p2p-circuit/p2p/" BEHIND};
    char text[PG_MULTIADDR_TEXT], id[PG_PEER_ID_TEXT];
    struct pg_multiaddr addr, relay;
    struct pg_peer_id by, behind;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(good[i].text)), PG_OK);
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_circuit(&addr, &relay, &by, &behind), PG_OK);
        CU_ASSERT(pg_multiaddr_is_circuit(&addr) && !pg_multiaddr_is_circuit(&relay));
        pg_multiaddr_text(&relay, text, sizeof text);
        CU_ASSERT_STRING_EQUAL(text, good[i].relay);
        pg_peer_id_text(&by, id);
        CU_ASSERT_STRING_EQUAL(id, RELAY);
        CU_ASSERT_EQUAL(behind.len > 0, good[i].behind != NULL);
        CU_ASSERT(pg_multiaddr_append_circuit(&relay) && (behind.len == 0 || pg_multiaddr_append_p2p(&relay, &behind)));
        CU_ASSERT(pg_multiaddr_equal(&relay, &addr));
        CU_ASSERT_FALSE(pg_multiaddr_append_circuit(&relay)); /* once */
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&addr, pg_text(bad[i])), PG_OK);
        CU_ASSERT_EQUAL(pg_multiaddr_circuit(&addr, NULL, NULL, NULL), PG_ERR_ADDR_UNSUPPORTED);
    }
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"canonical texts of every protocol come back unchanged", canonical_texts_of_every_protocol_come_back_unchanged},
        {"human texts are printed canonically", human_texts_are_printed_canonically},
        {"every truncation of bytes and text is refused or round-trips",
         every_truncation_of_bytes_and_text_is_refused_or_round_trips},
        {"every changed byte is refused or round-trips", every_changed_byte_is_refused_or_round_trips},
        {"what is wrong is told apart", what_is_wrong_is_told_apart},
        {"names that could deceive a reader are refused", names_that_could_deceive_a_reader_are_refused},
        {"a peer or a circuit named twice is refused, in text and bytes",
         a_peer_or_a_circuit_named_twice_is_refused_in_text_and_bytes},
        {"nothing may follow a path", nothing_may_follow_a_path},
        {"lengths and codes written too long are refused", lengths_and_codes_written_too_long_are_refused},
        {"too long and too many parts are refused, and the longest prints",
         too_long_and_too_many_parts_are_refused_and_the_longest_prints},
        {"text that does not fit is not begun", text_that_does_not_fit_is_not_begun},
        {"tcp addresses become endpoints, and others do not", tcp_addresses_become_endpoints_and_others_do_not},
        {"endpoints become addresses and come back", endpoints_become_addresses_and_come_back},
        {"a peer is appended once, and stripped", a_peer_is_appended_once_and_stripped},
        {"addresses over relays are taken apart and made", addresses_over_relays_are_taken_apart_and_made},
        {"parts are walked with their values", parts_are_walked_with_their_values},
        {"ipv6 is printed as RFC 5952 says", ipv6_is_printed_as_rfc_5952_says},
        {"broken ip addresses are refused", broken_ip_addresses_are_refused},
        {"addresses are told apart by their reach", addresses_are_told_apart_by_their_reach},
        {"endpoints are equal when everything that counts is", endpoints_are_equal_when_everything_that_counts_is},
    };
    return RUN_SUITE("multiaddrs", sentences);
}
