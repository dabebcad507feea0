/* Keyed hashes by libsodium. A linear hash would be faster and was tried: keys that meet under one multiplier are so evenly
 * spaced that they crowd under others too. Called by map.c and src/core/budget.c; serves docs/ARCHITECTURE.md, "Memory". */
#include "mem/keyed.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_shorthash_KEYBYTES == sizeof((struct pg_keyed *)0)->secret, "the secret is a key of SipHash");

void pg_keyed_init(struct pg_keyed *k, uint64_t seed)
{
    memset(k->secret, 0, sizeof k->secret);
    memcpy(k->secret, &seed, sizeof seed);
}

uint64_t pg_keyed_hash(const struct pg_keyed *k, const void *key, size_t len)
{
    uint64_t hash;
    crypto_shorthash((unsigned char *)&hash, key, len, k->secret);
    return hash;
}
