/* Memory that is taken once at start, or grows seldom: everything that is no pool. Keeps malloc out of the core. */
#pragma once
#include <stddef.h>

/* Zeroed; NULL when memory is short. */
void *pg_heap_take(size_t size);
/* Not zeroed beyond the old size; NULL when memory is short, and the old block stays valid then. */
void *pg_heap_grow(void *old, size_t size);
void pg_heap_give(void *block);
