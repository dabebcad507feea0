/* Randomness of the simulator's program: libsodium's, made to follow from a number. The program that ships has none of this. */
#pragma once
#include <stdint.h>

/* Before anything asks libsodium. */
void seeded_install(void);
/* Everything drawn from here on follows from the seed: Noise's keys, above all. */
void seeded_begin(uint64_t seed);
