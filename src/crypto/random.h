/* Randomness of the system. Called once at start by src/cli; the core has its own generator for what is no secret. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

uint64_t pg_random_u64(void);
