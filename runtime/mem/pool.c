/* Pools of fixed-size slots. Used for connections, streams, tunnels and data chunks.
 * See docs/ARCHITECTURE.md, "Memory". */
#include "mem/pool.h"
#include "mem/pages.h"
#include "mem/poison.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

/* Slots, and behind them the stack of those that are free: pages of the stack, too, are touched on use only. */
static size_t range_of(const struct pg_pool *p)
{
    return (p->slot + sizeof *p->free) * p->count;
}

/* The slot behind those that were ever taken, in builds that look: whoever writes past the last one is seen. All of them at once would
 * touch as much of the sanitizer's memory as there is address space. */
static void guard_fresh(const struct pg_pool *p)
{
    if (p->fresh < p->count)
        pg_poison(p->base + p->slot * p->fresh, p->slot);
}

bool pg_pool_init(struct pg_pool *p, size_t slot, uint32_t count, uint32_t keep)
{
    *p = (struct pg_pool){.slot = (slot + 15) & ~(size_t)15, .count = count, .keep = keep};
    p->base = pg_pages_reserve(range_of(p));
    if (!p->base) {
        *p = (struct pg_pool){0};
        return false;
    }
    p->free = (uint32_t *)(void *)(p->base + p->slot * count);
    guard_fresh(p);
    return true;
}

void pg_pool_free(struct pg_pool *p)
{
    if (p->base)
        pg_unpoison(p->base, p->slot * (p->fresh < p->count ? p->fresh + 1 : p->count)); /* other mappings may come to lie there */
    pg_pages_release(p->base, range_of(p));
    *p = (struct pg_pool){0};
}

void *pg_pool_take(struct pg_pool *p)
{
    uint32_t number;
    if (p->n_free > 0) {
        number = p->free[--p->n_free];
        p->lowest = p->lowest < p->n_free ? p->lowest : p->n_free;
        p->trimmed = p->trimmed < p->n_free ? p->trimmed : p->n_free;
    } else if (p->fresh < p->count) {
        number = p->fresh++;
        guard_fresh(p);
    } else {
        return NULL;
    }
    p->used++;
    uint8_t *slot = p->base + (size_t)number * p->slot;
    pg_unpoison(slot, p->slot);
    return slot;
}

void *pg_pool_take_zero(struct pg_pool *p)
{
    void *slot = pg_pool_take(p);
    return slot ? memset(slot, 0, p->slot) : NULL;
}

uint32_t pg_pool_number(const struct pg_pool *p, const void *slot)
{
    return (uint32_t)((size_t)((const uint8_t *)slot - p->base) / p->slot);
}

void pg_pool_give(struct pg_pool *p, void *slot)
{
    assert((uint8_t *)slot >= p->base && (uint8_t *)slot < p->base + p->slot * p->count && p->used > 0);
    p->free[p->n_free++] = pg_pool_number(p, slot);
    p->used--;
    pg_poison(slot, p->slot);
}

void pg_pool_trim(struct pg_pool *p)
{
    /* Only slots of whole pages can return them. The stack's bottom is what nobody has needed. */
    uint32_t unneeded = p->lowest > p->keep && p->slot % 4096 == 0 ? p->lowest - p->keep : 0;
    while (p->trimmed < unneeded)
        madvise(p->base + (size_t)p->free[p->trimmed++] * p->slot, p->slot, MADV_DONTNEED);
    p->lowest = p->n_free;
}
