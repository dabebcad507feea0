/* Address space from the system: zeroed pages that are touched on use. Called by pools, and by owners of lists whose length
 * varies: whoever needs room in the middle of a turn cannot be refused then. */
#pragma once
#include <stddef.h>

void *pg_pages_reserve(size_t size);             /* NULL when not even address space is to be had */
void pg_pages_release(void *range, size_t size); /* NULL is fine */
