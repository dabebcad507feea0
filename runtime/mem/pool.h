/* Fixed-size slots from one reserved range: memory with a limit. Pages are touched on first use, the slot
 * given back last is taken first (it is still in the cache), and what a while has not needed goes back on pg_pool_trim. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_pool {
    uint8_t *base;
    uint32_t *free; /* stack of slot numbers */
    size_t slot;    /* bytes, a multiple of 16 */
    uint32_t count, used, fresh, n_free;
    uint32_t keep;    /* free slots that always stay resident */
    uint32_t lowest;  /* n_free at its least since the last trim: that many slots nobody has needed */
    uint32_t trimmed; /* slots at the bottom of the stack whose pages are gone */
};

/* Reserves address space for count slots. False when even that is not to be had. */
bool pg_pool_init(struct pg_pool *, size_t slot, uint32_t count, uint32_t keep);
void pg_pool_free(struct pg_pool *);
/* NULL when all slots are in use. The bytes are not cleared. */
void *pg_pool_take(struct pg_pool *);
/* As pg_pool_take, zeroed. */
void *pg_pool_take_zero(struct pg_pool *);
void pg_pool_give(struct pg_pool *, void *slot);
/* Gives the pages of free slots back that have not been needed since the last call. Not for the data path: pages that
 * come and go with every message cost more than the cipher (measured: half of the throughput). */
void pg_pool_trim(struct pg_pool *);
/* Fewer than an eighth of the slots are left: these are for those who cannot do without. */
static inline bool pg_pool_crowded(const struct pg_pool *p)
{
    return p->count - p->used < p->count / 8;
}
/* Bytes of memory that it has touched. */
static inline size_t pg_pool_touched(const struct pg_pool *p)
{
    return p->fresh * (p->slot + sizeof *p->free);
}
/* Number of a slot in its pool, from 0: what handles are made of. */
uint32_t pg_pool_number(const struct pg_pool *, const void *slot);
