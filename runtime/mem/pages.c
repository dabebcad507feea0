/* Address space from the system, behind two names. See docs/ARCHITECTURE.md, "Memory". */
#include "mem/pages.h"

#include <sys/mman.h>

void *pg_pages_reserve(size_t size)
{
    void *range = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return range == MAP_FAILED ? NULL : range;
}

void pg_pages_release(void *range, size_t size)
{
    if (range)
        munmap(range, size);
}
