/* The whole program under an allocator that fails at one call: PG_STARVE=N in its environment, N+ for all from the N-th on.
 * Linked before main.c into `starved`, which e2e/memory_test.py runs; says at the end how many calls there were.
 * Serves docs/ARCHITECTURE.md, "Memory". Calls of our own code come here; libuv stops the process when its tables cannot grow,
 * and libcrypto's own start does not survive without memory. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);

static unsigned long fails_at, calls;
static bool for_ever;

static bool fails(void)
{
    calls++;
    if (fails_at == 0 || calls < fails_at || (calls > fails_at && !for_ever))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

static void tell(void)
{
    fprintf(stderr, "starve: %lu calls\n", calls);
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("PG_STARVE");
    char *end = NULL;
    fails_at = text ? strtoul(text, &end, 10) : 0;
    for_ever = end && *end == '+';
    atexit(tell);
}
