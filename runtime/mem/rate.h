/* How often something may happen, in one number: the time at which what has happened will have been paid for
 * (the generic cell rate algorithm, ITU-T I.371, annex A). Knows no clock; zeroed it is unused.
 * Used by src/core/budget.c and src/transport for everything that peers could do too often. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct pg_rate {
    uint64_t paid_us;
};

/* True when it may happen now, and counts it. each_s: how often in a second; burst: how many at once. */
static inline bool pg_rate_take(struct pg_rate *r, uint64_t now_us, uint64_t each_s, uint64_t burst)
{
    uint64_t price = 1000000 / each_s, paid = r->paid_us > now_us ? r->paid_us : now_us;
    if (paid - now_us > price * (burst - 1))
        return false;
    r->paid_us = paid + price;
    return true;
}
