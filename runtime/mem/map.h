/* A map from 32-bit numbers to pointers: open addressing with a seeded hash, because peers choose the numbers
 * (hostile keys would otherwise meet in one place). Grows by doubling; holds no memory when empty at first. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "mem/keyed.h"

struct pg_map {
    struct pg_map_slot {
        uint32_t key;
        void *value; /* NULL: empty */
    } *slots;
    uint32_t room, used; /* room is a power of two */
    struct pg_keyed hash;
};

/* Where a key lies follows from the seed; one that nobody knows keeps peers from choosing keys that meet. */
void pg_map_init(struct pg_map *, uint64_t seed);
void pg_map_free(struct pg_map *);
void *pg_map_get(const struct pg_map *, uint32_t key);
/* False when memory is short. The key must not be there yet. */
bool pg_map_put(struct pg_map *, uint32_t key, void *value);
void pg_map_remove(struct pg_map *, uint32_t key);
