/* SHA-256 by libsodium, for those who may not include it. Called by src/core; serves FIPS 180-4. */
#include "crypto/hash.h"

#include <assert.h>
#include <sodium.h>

static_assert(PG_SHA256 == crypto_hash_sha256_BYTES, "one size");

void pg_sha256(uint8_t out[PG_SHA256], struct pg_bytes of)
{
    crypto_hash_sha256(out, of.at, of.len);
}
