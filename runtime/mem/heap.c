/* The C library's heap behind a few names. Called at start by whoever owns a long-lived structure. */
#include "mem/heap.h"

#include <stdlib.h>

void *pg_heap_take(size_t size)
{
    return calloc(1, size);
}

void pg_heap_give(void *block)
{
    free(block);
}
