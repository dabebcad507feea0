/* The protocols of multiaddrs: code, size of the value, kind, name. Data and two look-ups.
 * Called by multiaddr.c and multiaddr_text.c. Serves multiformats/multiaddr protocols.csv. Left out: garlic64, whose
 * shortest value is longer than PG_MULTIADDR_MAX; onion (version 2 is gone); http-path; names nobody dials. */
#include "crypto/multiaddr_table.h"

#include "crypto/multiaddr.h"

static const struct pg_ma_protocol protocols[] = {
    {PG_MA_IP4, 4, PG_MA_KIND_IP4, "ip4"},
    {PG_MA_TCP, 2, PG_MA_KIND_PORT, "tcp"},
    {PG_MA_DCCP, 2, PG_MA_KIND_PORT, "dccp"},
    {PG_MA_IP6, 16, PG_MA_KIND_IP6, "ip6"},
    {PG_MA_IP6ZONE, -1, PG_MA_KIND_NAME, "ip6zone"},
    {PG_MA_IPCIDR, 1, PG_MA_KIND_BITS, "ipcidr"},
    {PG_MA_DNS, -1, PG_MA_KIND_NAME, "dns"},
    {PG_MA_DNS4, -1, PG_MA_KIND_NAME, "dns4"},
    {PG_MA_DNS6, -1, PG_MA_KIND_NAME, "dns6"},
    {PG_MA_DNSADDR, -1, PG_MA_KIND_NAME, "dnsaddr"},
    {PG_MA_SCTP, 2, PG_MA_KIND_PORT, "sctp"},
    {PG_MA_UDP, 2, PG_MA_KIND_PORT, "udp"},
    {PG_MA_WEBRTC_STAR, 0, PG_MA_KIND_NONE, "p2p-webrtc-star"},
    {PG_MA_STARDUST, 0, PG_MA_KIND_NONE, "p2p-stardust"},
    {PG_MA_WEBRTC_DIRECT, 0, PG_MA_KIND_NONE, "webrtc-direct"},
    {PG_MA_WEBRTC, 0, PG_MA_KIND_NONE, "webrtc"},
    {PG_MA_P2P_CIRCUIT, 0, PG_MA_KIND_NONE, "p2p-circuit"},
    {PG_MA_UDT, 0, PG_MA_KIND_NONE, "udt"},
    {PG_MA_UTP, 0, PG_MA_KIND_NONE, "utp"},
    {PG_MA_UNIX, -1, PG_MA_KIND_PATH, "unix"},
    {PG_MA_P2P, -1, PG_MA_KIND_PEER, "p2p"},
    {PG_MA_HTTPS, 0, PG_MA_KIND_NONE, "https"},
    {PG_MA_ONION3, 37, PG_MA_KIND_ONION3, "onion3"},
    {PG_MA_GARLIC32, -1, PG_MA_KIND_GARLIC32, "garlic32"},
    {PG_MA_TLS, 0, PG_MA_KIND_NONE, "tls"},
    {PG_MA_SNI, -1, PG_MA_KIND_NAME, "sni"},
    {PG_MA_NOISE, 0, PG_MA_KIND_NONE, "noise"},
    {PG_MA_QUIC, 0, PG_MA_KIND_NONE, "quic"},
    {PG_MA_QUIC_V1, 0, PG_MA_KIND_NONE, "quic-v1"},
    {PG_MA_WEBTRANSPORT, 0, PG_MA_KIND_NONE, "webtransport"},
    {PG_MA_CERTHASH, -1, PG_MA_KIND_CERTHASH, "certhash"},
    {PG_MA_WS, 0, PG_MA_KIND_NONE, "ws"},
    {PG_MA_WSS, 0, PG_MA_KIND_NONE, "wss"},
    {PG_MA_HTTP, 0, PG_MA_KIND_NONE, "http"},
    {PG_MA_MEMORY, 8, PG_MA_KIND_NUMBER, "memory"},
    {PG_MA_P2P, -1, PG_MA_KIND_PEER, "ipfs"}, /* the old name; after the new one, so that p2p is printed */
};
#define N_PROTOCOLS (sizeof protocols / sizeof *protocols)

const struct pg_ma_protocol *pg_ma_protocol_by_code(uint64_t code)
{
    for (size_t i = 0; i < N_PROTOCOLS; i++)
        if (protocols[i].code == code)
            return &protocols[i];
    return NULL;
}

const struct pg_ma_protocol *pg_ma_protocol_by_name(struct pg_bytes name)
{
    for (size_t i = 0; i < N_PROTOCOLS; i++)
        if (pg_bytes_equal(pg_text(protocols[i].name), name))
            return &protocols[i];
    return NULL;
}
