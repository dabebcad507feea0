/* Numbers as text: base58btc, and the multibase forms that CIDs and certificate hashes use.
 * Called by keys.c and the multiaddr code. Serves multiformats/multibase "Multibase table" and
 * libp2p/specs peer-ids/peer-ids.md, "String representation". */
#pragma once
#include "mem/bytes.h"

#define PG_BASE_RADIX_MAX 64 /* most bytes of a base58 or base36 number: they cost the square of their length */

/* Bytes to base58btc without NUL. Returns the length, or 0 when data is empty, longer than PG_BASE_RADIX_MAX
 * or does not fit room. Every leading zero byte is one '1'. */
size_t pg_base58_write(struct pg_bytes data, char *out, size_t room);

/* Base58btc to bytes. False for empty text, a foreign letter, or more than room (or PG_BASE_RADIX_MAX) bytes. */
bool pg_base58_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len);

/* Text with a multibase prefix to bytes: b base32, k base36, z base58btc, u base64url, all without padding.
 * False for another prefix, a foreign letter, left-over bits that are not zero (they would give one value two
 * texts), or more than room bytes. */
bool pg_multibase_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len);

/* The same the other way, without NUL; prefix is 'b' or 'u'. Returns the length, or 0 when it does not fit. */
size_t pg_multibase_write(char prefix, struct pg_bytes data, char *out, size_t room);

/* Base32 in small letters without its prefix, as onion3 and garlic32 addresses have it. */
size_t pg_base32_write(struct pg_bytes data, char *out, size_t room);
bool pg_base32_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len);
