/* Multiaddrs: text and bytes of one address, its parts, and the endpoints that TCP needs.
 * Used wherever an address is shown, typed, sent or dialled; opens nothing. Serves multiformats/multiaddr README.md,
 * "Interpreting multiaddrs", and libp2p/specs addressing/README.md. What text and bytes accept is the same set, so
 * that everything read can be printed and read again. */
#pragma once
#include "crypto/keys.h"
#include "errors.gen.h"
#include "mem/bytes.h"
#include "mem/endpoint.h"

#define PG_MULTIADDR_MAX 256  /* bytes */
#define PG_MULTIADDR_PARTS 16 /* parts: bounds what printing may take */
#define PG_MULTIADDR_TEXT 768 /* room that every printed address fits, NUL included */

struct pg_multiaddr {
    uint16_t len;
    uint8_t at[PG_MULTIADDR_MAX];
};

/* Codes of multiformats/multicodec table.csv, tag "multiaddr". */
enum pg_ma_code {
    PG_MA_IP4 = 4,
    PG_MA_TCP = 6,
    PG_MA_DCCP = 33,
    PG_MA_IP6 = 41,
    PG_MA_IP6ZONE = 42,
    PG_MA_IPCIDR = 43,
    PG_MA_DNS = 53,
    PG_MA_DNS4 = 54,
    PG_MA_DNS6 = 55,
    PG_MA_DNSADDR = 56,
    PG_MA_SCTP = 132,
    PG_MA_UDP = 273,
    PG_MA_WEBRTC_STAR = 275,
    PG_MA_STARDUST = 277,
    PG_MA_WEBRTC_DIRECT = 280,
    PG_MA_WEBRTC = 281,
    PG_MA_P2P_CIRCUIT = 290,
    PG_MA_UDT = 301,
    PG_MA_UTP = 302,
    PG_MA_UNIX = 400,
    PG_MA_P2P = 421,
    PG_MA_HTTPS = 443,
    PG_MA_ONION3 = 445,
    PG_MA_GARLIC32 = 447,
    PG_MA_TLS = 448,
    PG_MA_SNI = 449,
    PG_MA_NOISE = 454,
    PG_MA_QUIC = 460,
    PG_MA_QUIC_V1 = 461,
    PG_MA_WEBTRANSPORT = 465,
    PG_MA_CERTHASH = 466,
    PG_MA_WS = 477,
    PG_MA_WSS = 478,
    PG_MA_HTTP = 480,
    PG_MA_MEMORY = 777,
};

/* Reads canonical or human text. Refused, where libraries differ: empty text, a slash at the end or twice, ports with
 * leading zeros. /ipfs/ID is /p2p/ID; peer ids may be CIDs. PG_ERR_ADDR_BAD (its shape), PG_ERR_ADDR_PROTOCOL_UNKNOWN,
 * PG_ERR_ADDR_VALUE_BAD, PG_ERR_ADDR_TOO_LONG, PG_ERR_ADDR_REPEATED; the address is empty then. */
enum pg_err pg_multiaddr_parse(struct pg_multiaddr *addr, struct pg_bytes text);

/* Reads and checks every part of a binary address. PG_ERR_ADDR_BYTES_BAD, and an empty address, for an unknown code, a
 * value that its protocol does not allow, an overlong varint, /p2p or /p2p-circuit repeated, no part at all. */
enum pg_err pg_multiaddr_read(struct pg_multiaddr *addr, struct pg_bytes bytes);

/* Canonical text with a NUL; returns its length without it, or 0 and an empty string when room is short (or addr empty). */
size_t pg_multiaddr_text(const struct pg_multiaddr *addr, char *out, size_t room);

bool pg_multiaddr_equal(const struct pg_multiaddr *a, const struct pg_multiaddr *b);

/* One part; value is borrowed from the address: without its length prefix, empty for protocols without a value. */
struct pg_ma_part {
    uint32_t code; /* enum pg_ma_code */
    struct pg_bytes value;
};

/* Walks the parts: start with *offset 0, false at the end. */
bool pg_multiaddr_next(const struct pg_multiaddr *addr, size_t *offset, struct pg_ma_part *part);

/* /ip4|ip6/…/tcp/PORT, optionally behind /ip6zone/NUMBER and before /p2p/ID. PG_ERR_ADDR_UNSUPPORTED for all else, a zone
 * by name included (its number is the system's to say). id may be NULL; it is "none" when the address names no peer. */
enum pg_err pg_multiaddr_tcp(const struct pg_multiaddr *addr, struct pg_endpoint *endpoint, struct pg_peer_id *id);

/* An address over a relay, …/p2p/RELAY/p2p-circuit[/p2p/PEER]: `relay` is what stands before /p2p-circuit, its id included, `id` that
 * id, `peer` the one behind the relay or "none". Each may be NULL. PG_ERR_ADDR_UNSUPPORTED: something else, or no relay is named. */
enum pg_err pg_multiaddr_circuit(const struct pg_multiaddr *addr, struct pg_multiaddr *relay, struct pg_peer_id *id, struct pg_peer_id *peer);

/* Whether it leads over a relay, in whatever shape. */
bool pg_multiaddr_is_circuit(const struct pg_multiaddr *addr);

/* Adds /p2p-circuit to an address that ends in /p2p/RELAY. False, and nothing changed, when it does not, or does not fit. */
bool pg_multiaddr_append_circuit(struct pg_multiaddr *addr);

/* The other way; an endpoint of family 0 gives an empty address. */
void pg_multiaddr_from_tcp(struct pg_multiaddr *addr, const struct pg_endpoint *endpoint);

/* Adds /p2p/ID. False, and nothing changed, when it does not fit, id is "none", or the address ends in a peer already. */
bool pg_multiaddr_append_p2p(struct pg_multiaddr *addr, const struct pg_peer_id *id);

/* Cuts a last /p2p/ID off, if there is one; an address of nothing else becomes empty. */
void pg_multiaddr_strip_p2p(struct pg_multiaddr *addr);

/* The peer of a last /p2p/ID; "none" when there is no such part. */
void pg_multiaddr_peer(const struct pg_multiaddr *addr, struct pg_peer_id *id);

bool pg_endpoint_equal(const struct pg_endpoint *a, const struct pg_endpoint *b);

/* What an address is good for. IPv4 inside IPv6 (::ffff:0:0/96) is judged as IPv4. Private: RFC 1918, shared (RFC 6598),
 * link-local, unique local. Public: none of these, nor multicast, documentation, benchmarking, reserved. */
bool pg_endpoint_is_unspecified(const struct pg_endpoint *endpoint);
bool pg_endpoint_is_loopback(const struct pg_endpoint *endpoint);
bool pg_endpoint_is_private(const struct pg_endpoint *endpoint);
bool pg_endpoint_is_public(const struct pg_endpoint *endpoint);

/* Text of an IP address: RFC 4291 section 2.2 read (dotted quads without leading zeros), RFC 5952 written.
 * ip is 4 or 16 bytes, and untouched by text that is no address; out has
 * room for PG_IP_TEXT; the writers return the length without the NUL. */
#define PG_IP_TEXT 46
bool pg_ip4_parse(struct pg_bytes text, uint8_t ip[4]);
bool pg_ip6_parse(struct pg_bytes text, uint8_t ip[16]);
size_t pg_ip4_text(const uint8_t ip[4], char out[PG_IP_TEXT]);
size_t pg_ip6_text(const uint8_t ip[16], char out[PG_IP_TEXT]);
