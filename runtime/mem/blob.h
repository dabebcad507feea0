/* Byte strings of any length in memory with a limit: each is a chain of small cells of one pool, so that ten thousand short
 * ones take little and none leaves a hole that only its like could fill. Used for what peers have told and is kept. */
#pragma once
#include "mem/bytes.h"
#include "mem/pool.h"

#define PG_BLOB_CELL 64u
#define PG_BLOB_DATA 60u /* of a string in each cell */

struct pg_blobs {
    struct pg_pool cells;
};

/* Room for `bytes` of cells, as address space. False when not even that is to be had. */
bool pg_blobs_init(struct pg_blobs *, size_t bytes);
void pg_blobs_free(struct pg_blobs *);

/* Cells that a string of this length takes. */
static inline uint32_t pg_blob_cells(size_t len)
{
    return (uint32_t)((len + PG_BLOB_DATA - 1) / PG_BLOB_DATA);
}

static inline uint32_t pg_blobs_left(const struct pg_blobs *b)
{
    return b->cells.count - b->cells.used;
}

/* A copy of both, one behind the other, by its number; 0 when there is no room, or nothing to keep. */
uint32_t pg_blob_keep(struct pg_blobs *, struct pg_bytes head, struct pg_bytes tail);
void pg_blob_drop(struct pg_blobs *, uint32_t blob); /* 0 is fine */
/* n bytes from the start. The caller knows how long it is. */
void pg_blob_copy(const struct pg_blobs *, uint32_t blob, uint8_t *out, size_t n);
/* Whether the first bytes are these. */
bool pg_blob_is(const struct pg_blobs *, uint32_t blob, struct pg_bytes);
