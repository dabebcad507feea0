/* Number-to-pointer maps. Yamux finds its streams here.
 * Linear probing; removal shifts back, so there are no tombstones to sweep. */
#include "mem/map.h"

#include <assert.h>
#include <stdlib.h>

static uint32_t home(const struct pg_map *m, uint32_t key)
{
    return (uint32_t)pg_keyed_hash(&m->hash, &key, sizeof key) & (m->room - 1);
}

void pg_map_init(struct pg_map *m, uint64_t seed)
{
    *m = (struct pg_map){0};
    pg_keyed_init(&m->hash, seed);
}

void pg_map_free(struct pg_map *m)
{
    free(m->slots);
    *m = (struct pg_map){.hash = m->hash};
}

void *pg_map_get(const struct pg_map *m, uint32_t key)
{
    if (m->room == 0)
        return NULL;
    for (uint32_t i = home(m, key); m->slots[i].value; i = (i + 1) & (m->room - 1))
        if (m->slots[i].key == key)
            return m->slots[i].value;
    return NULL;
}

static bool grow(struct pg_map *m)
{
    struct pg_map bigger = {.room = m->room ? m->room * 2 : 8, .hash = m->hash};
    bigger.slots = calloc(bigger.room, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < m->room; i++)
        if (m->slots[i].value)
            pg_map_put(&bigger, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = bigger;
    return true;
}

bool pg_map_put(struct pg_map *m, uint32_t key, void *value)
{
    assert(value && !pg_map_get(m, key));
    if (m->used * 4 >= m->room * 3 && !grow(m))
        return false;
    uint32_t i = home(m, key);
    while (m->slots[i].value)
        i = (i + 1) & (m->room - 1);
    m->slots[i] = (struct pg_map_slot){key, value};
    m->used++;
    return true;
}

void pg_map_remove(struct pg_map *m, uint32_t key)
{
    if (m->room == 0)
        return;
    uint32_t mask = m->room - 1, i = home(m, key);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & mask;
    if (!m->slots[i].value)
        return;
    m->used--;
    for (uint32_t j = (i + 1) & mask; m->slots[j].value; j = (j + 1) & mask) {
        /* An entry may move back only when its home is not between the hole and itself. */
        if (((j - home(m, m->slots[j].key)) & mask) >= ((j - i) & mask)) {
            m->slots[i] = m->slots[j];
            i = j;
        }
    }
    m->slots[i].value = NULL;
}
