/* Memory that is taken once at start: everything that is no pool. Keeps malloc out of the core. */
#pragma once
#include <stddef.h>

/* Zeroed; NULL when memory is short. */
void *pg_heap_take(size_t size);
/* Address space for a list whose length varies: zeroed pages that are touched on use. NULL when not even that is to be had.
 * Whoever needs it in the middle of a turn cannot be refused then. */
void *pg_heap_reserve(size_t size);
void pg_heap_release(void *range, size_t size); /* NULL is fine */
void pg_heap_give(void *block);
