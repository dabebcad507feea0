/* libsodium's own way to replace its source of randomness, used by the simulator's program and by nothing that ships.
 * Called by main.c. Serves doc.libsodium.org, "Custom randomness". */
#include "seeded.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint64_t draw(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static const char *name(void)
{
    return "seeded";
}

static uint32_t number(void)
{
    return (uint32_t)draw();
}

static void fill(void *const out, const size_t n)
{
    uint8_t *at = out;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = draw();
        memcpy(at + i, &word, n - i < 8 ? n - i : 8);
    }
}

static int close_it(void)
{
    return 0;
}

static struct randombytes_implementation seeded = {.implementation_name = name, .random = number, .buf = fill, .close = close_it};

void seeded_install(void)
{
    randombytes_set_implementation(&seeded);
    if (sodium_init() < 0) /* which draws, too: before the first seed is set */
        abort();
}

void seeded_begin(uint64_t seed)
{
    state = seed ^ 0x5eed5eed5eed5eedu;
}
