/* Randomness of the system, by libsodium. Called by src/cli. */
#include "crypto/random.h"

#include <sodium.h>

uint64_t pg_random_u64(void)
{
    uint64_t out;
    randombytes_buf(&out, sizeof out);
    return out;
}
