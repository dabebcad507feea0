/* Hashes of what peers choose, under a secret of this process: SipHash-2-4 (Aumasson and Bernstein, 2012). Whoever does not
 * know the secret finds no keys that meet more often than chance. Used by runtime/mem/map.c and src/core/budget.c. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct pg_keyed {
    uint8_t secret[16];
};

/* The seed comes from the system's randomness, and nothing else is made of it. */
void pg_keyed_init(struct pg_keyed *, uint64_t seed);
uint64_t pg_keyed_hash(const struct pg_keyed *, const void *key, size_t len);
