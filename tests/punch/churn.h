/* A mesh of private peers whose relays die: half of them each minute. Part of punch.c. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* False when a private peer was left without a reservation for longer than it may, or a byte was wrong. */
struct churn_options {
    uint64_t seed;
    unsigned relays, pairs, minutes, silent; /* silent: of a thousand deaths, those of which nobody is told */
};
bool churn(const struct churn_options *, FILE *rows);
