/* The C library's heap and the system's pages behind a few names. Called at start by whoever owns a long-lived structure. */
#include "mem/heap.h"

#include <stdlib.h>
#include <sys/mman.h>

void *pg_heap_take(size_t size)
{
    return calloc(1, size);
}

void *pg_heap_reserve(size_t size)
{
    void *range = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return range == MAP_FAILED ? NULL : range;
}

void pg_heap_release(void *range, size_t size)
{
    if (range)
        munmap(range, size);
}

void pg_heap_give(void *block)
{
    free(block);
}
