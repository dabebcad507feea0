/* What nobody holds, as the address sanitizer is told it: slots that wait in a pool are memory of this program, so that without this
 * a use after they were given back would go unseen. Nothing is done in other builds. Used by pool.c, secret.c and arena.h. */
#pragma once
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define PG_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PG_POISONS 1
#endif
#endif

#ifdef PG_POISONS
#include <sanitizer/asan_interface.h>
#endif

static inline void pg_poison(const void *at, size_t n)
{
#ifdef PG_POISONS
    __asan_poison_memory_region(at, n);
#else
    (void)at, (void)n;
#endif
}

static inline void pg_unpoison(const void *at, size_t n)
{
#ifdef PG_POISONS
    __asan_unpoison_memory_region(at, n);
#else
    (void)at, (void)n;
#endif
}
