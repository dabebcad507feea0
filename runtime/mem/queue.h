/* A byte queue of pooled chunks: what waits to be written to a link, or to be taken by a slow reader.
 * Grows chunk by chunk up to the pool's limit and holds no memory when empty. */
#pragma once
#include "mem/bytes.h"
#include "mem/pool.h"

/* A chunk holds the largest Noise message with its length (65,537 bytes) in one piece. */
#define PG_CHUNK_SLOT 69632u
#define PG_CHUNK_ROOM (PG_CHUNK_SLOT - 16u)

struct pg_chunk {
    struct pg_chunk *next;
    uint32_t head, tail; /* in data */
    uint8_t data[];
};

struct pg_queue {
    struct pg_pool *pool; /* of PG_CHUNK_SLOT */
    struct pg_chunk *first, *last;
    size_t bytes;
};

static inline void pg_queue_init(struct pg_queue *q, struct pg_pool *pool)
{
    *q = (struct pg_queue){.pool = pool};
}

/* Room for n contiguous bytes (n <= PG_CHUNK_ROOM) at the end; NULL when the pool is used up. */
uint8_t *pg_queue_reserve(struct pg_queue *, size_t n);
/* Makes n of the reserved bytes part of the queue. */
void pg_queue_commit(struct pg_queue *, size_t n);
/* Copies all or, when the pool is used up, nothing. */
bool pg_queue_put(struct pg_queue *, struct pg_bytes);
/* Up to n slices from the front; returns how many. */
unsigned pg_queue_peek(const struct pg_queue *, struct pg_bytes *slices, unsigned n);
void pg_queue_drop(struct pg_queue *, size_t n);
void pg_queue_clear(struct pg_queue *);
