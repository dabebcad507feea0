/* Secret memory: slots in sodium_malloc'ed slabs, with a free list kept outside them.
 * Called by src/crypto for keys. Serves no specification; the rule is docs/STYLE.md, "Memory".
 * A slab is never given back: its slots are wiped and wait for the next key. */
#include "mem/secret.h"
#include "mem/poison.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stddef.h>

#define SLOTS_PER_SLAB 256u
#define SLABS (PG_SECRETS_MOST / SLOTS_PER_SLAB)
#define NO_SLOT UINT16_MAX

struct slab {
    uint8_t *at;
    uint16_t free;                 /* head of the chain of free slots, NO_SLOT when full */
    uint16_t next[SLOTS_PER_SLAB]; /* the chain; a slot that is taken holds itself */
};

/* One pool a process: locked memory is a limit of the process, not of a connection. */
static struct {
    pthread_mutex_t lock;
    struct slab slabs[SLABS];
    uint32_t n_slabs;
    uint32_t roomy; /* no slab below this number has a free slot */
    uint32_t held;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool add_slab(void)
{
    if (pool.n_slabs == SLABS || sodium_init() < 0)
        return false;
    struct slab *slab = &pool.slabs[pool.n_slabs];
    /* sodium_malloc ends its region at a guard page, so a size that 64 divides keeps every slot aligned. */
    slab->at = sodium_malloc((size_t)SLOTS_PER_SLAB * PG_SECRET_ROOM);
    if (!slab->at)
        return false;
    sodium_memzero(slab->at, (size_t)SLOTS_PER_SLAB * PG_SECRET_ROOM);
    pg_poison(slab->at, (size_t)SLOTS_PER_SLAB * PG_SECRET_ROOM);
    for (uint32_t i = 0; i < SLOTS_PER_SLAB; i++)
        slab->next[i] = i + 1 < SLOTS_PER_SLAB ? (uint16_t)(i + 1) : NO_SLOT;
    slab->free = 0;
    pool.roomy = pool.n_slabs++;
    return true;
}

static bool take_slot(struct pg_secret *s)
{
    while (pool.roomy < pool.n_slabs && pool.slabs[pool.roomy].free == NO_SLOT)
        pool.roomy++;
    if (pool.roomy == pool.n_slabs && !add_slab())
        return false;
    struct slab *slab = &pool.slabs[pool.roomy];
    uint16_t i = slab->free;
    slab->free = slab->next[i];
    slab->next[i] = i;
    s->at = slab->at + (size_t)i * PG_SECRET_ROOM;
    s->slot = pool.roomy * SLOTS_PER_SLAB + i;
    pg_unpoison(s->at, PG_SECRET_ROOM);
    pool.held++;
    return true;
}

bool pg_secret_new(struct pg_secret *s)
{
    *s = (struct pg_secret){0};
    pthread_mutex_lock(&pool.lock);
    bool ok = take_slot(s);
    pthread_mutex_unlock(&pool.lock);
    return ok;
}

void pg_secret_free(struct pg_secret *s)
{
    if (!s->at)
        return;
    uint32_t number = s->slot / SLOTS_PER_SLAB;
    uint16_t i = (uint16_t)(s->slot % SLOTS_PER_SLAB);
    pthread_mutex_lock(&pool.lock);
    assert(number < pool.n_slabs);
    struct slab *slab = &pool.slabs[number];
    assert(s->at == slab->at + (size_t)i * PG_SECRET_ROOM);
    assert(slab->next[i] == i); /* freed once only */
    sodium_memzero(s->at, PG_SECRET_ROOM);
    pg_poison(s->at, PG_SECRET_ROOM);
    slab->next[i] = slab->free;
    slab->free = i;
    if (number < pool.roomy)
        pool.roomy = number;
    pool.held--;
    pthread_mutex_unlock(&pool.lock);
    *s = (struct pg_secret){0};
}

uint32_t pg_secrets_held(void)
{
    pthread_mutex_lock(&pool.lock);
    uint32_t held = pool.held;
    pthread_mutex_unlock(&pool.lock);
    return held;
}
