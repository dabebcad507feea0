/* Memory that is taken once at start: everything that is no pool. Keeps malloc out of the core. */
#pragma once
#include <stddef.h>

/* Zeroed; NULL when memory is short. */
void *pg_heap_take(size_t size);
void pg_heap_give(void *block);
