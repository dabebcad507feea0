/* Scratch memory of one turn: taken piece by piece, given back all at once. */
#pragma once
#include "mem/poison.h"

#include <stddef.h>
#include <stdint.h>

struct pg_arena {
    uint8_t *base;
    size_t room, used;
};

/* n bytes aligned to 8, NULL when the arena is full. Valid until pg_arena_reset. */
static inline void *pg_arena_take(struct pg_arena *a, size_t n)
{
    size_t start = (a->used + 7) & ~(size_t)7;
    if (start > a->room || n > a->room - start)
        return NULL;
    a->used = start + n;
    pg_unpoison(a->base + start, n);
    return a->base + start;
}

static inline void pg_arena_reset(struct pg_arena *a)
{
    pg_poison(a->base, a->used);
    a->used = 0;
}
