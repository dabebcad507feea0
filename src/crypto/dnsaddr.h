/* Multiaddrs that begin with a name: which question they ask, and what an answer makes of them. Opens nothing.
 * Used by src/core/names.c, and by src/cli to check what is typed.
 * Serves multiformats/multiaddr protocols/DNSADDR.md and protocols.csv (dns, dns4, dns6), and libp2p/specs
 * addressing/README.md, "dnsaddr". */
#pragma once
#include "crypto/multiaddr.h"

#define PG_DNS_NAME_MAX 253u  /* RFC 1035 section 2.3.4, as text without the last dot */
#define PG_DNS_LABEL_MAX 63u
#define PG_DNSADDR_PREFIX "_dnsaddr."

/* What is behind the name of an address; both are borrowed from it. */
struct pg_named {
    enum pg_ma_code code;  /* PG_MA_DNS, PG_MA_DNS4, PG_MA_DNS6, PG_MA_DNSADDR */
    struct pg_bytes name;
    struct pg_bytes rest;  /* binary, may be empty */
};

/* Letters, digits, - and _ in labels of at most 63 bytes, at most 253 in all, perhaps with a dot at the end; with
 * `prefixed`, as many less as the prefix of a dnsaddr question has. */
bool pg_dns_name_ok(struct pg_bytes name, bool prefixed);

/* Whether the address begins with a name. */
bool pg_named_take(const struct pg_multiaddr *addr, struct pg_named *named);

/* Whether it can be asked for: a good name, behind /dns, /dns4 and /dns6 /tcp/PORT and perhaps /p2p/ID and nothing else.
 * PG_ERR_ADDR_NAME_BAD or PG_ERR_ADDR_UNSUPPORTED. */
enum pg_err pg_named_check(const struct pg_named *named);

/* The address with an IP address in the name's place. False when it does not fit. */
bool pg_named_at(const struct pg_named *named, const struct pg_endpoint *ip, struct pg_multiaddr *out);

/* One TXT record of a dnsaddr question. Only what begins with dnsaddr= is meant for us, and of that only addresses that
 * end in what stands behind the name: /dnsaddr/NAME/p2p/ID takes no records of other peers. */
bool pg_named_record(const struct pg_named *named, struct pg_bytes text, struct pg_multiaddr *out);
