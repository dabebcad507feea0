/* Chains of cells; see blob.h. Called by src/core/kad_table.c and kad_store.c. */
#include "mem/blob.h"

#include <assert.h>

struct cell {
    uint32_t next; /* a number, 0 at the end */
    uint8_t data[PG_BLOB_DATA];
};

_Static_assert(sizeof(struct cell) == PG_BLOB_CELL, "a cell is full of data but for its link");

static struct cell *at(const struct pg_blobs *b, uint32_t number)
{
    return (struct cell *)(void *)(b->cells.base + (size_t)(number - 1) * PG_BLOB_CELL);
}

bool pg_blobs_init(struct pg_blobs *b, size_t bytes)
{
    return pg_pool_init(&b->cells, PG_BLOB_CELL, (uint32_t)(bytes / PG_BLOB_CELL), 0);
}

void pg_blobs_free(struct pg_blobs *b)
{
    pg_pool_free(&b->cells);
}

/* Fills what is left of a cell from the front of the text. */
static uint32_t fill(struct cell *c, uint32_t used, struct pg_bytes *text)
{
    struct pg_bytes some = pg_bytes_head(*text, PG_BLOB_DATA - used);
    if (some.len > 0)
        memcpy(c->data + used, some.at, some.len);
    *text = pg_bytes_skip(*text, some.len);
    return used + (uint32_t)some.len;
}

uint32_t pg_blob_keep(struct pg_blobs *b, struct pg_bytes head, struct pg_bytes tail)
{
    uint32_t first = 0, *link = &first;
    if (pg_blobs_left(b) < pg_blob_cells(head.len + tail.len))
        return 0;
    while (head.len + tail.len > 0) {
        struct cell *c = pg_pool_take(&b->cells);
        assert(c);
        (void)fill(c, fill(c, 0, &head), &tail);
        c->next = 0;
        *link = pg_pool_number(&b->cells, c) + 1;
        link = &c->next;
    }
    return first;
}

void pg_blob_drop(struct pg_blobs *b, uint32_t blob)
{
    while (blob) {
        struct cell *c = at(b, blob);
        blob = c->next;
        pg_pool_give(&b->cells, c);
    }
}

void pg_blob_copy(const struct pg_blobs *b, uint32_t blob, uint8_t *out, size_t n)
{
    while (n > 0) {
        const struct cell *c = at(b, blob);
        size_t some = n < PG_BLOB_DATA ? n : PG_BLOB_DATA;
        memcpy(out, c->data, some);
        out += some;
        n -= some;
        blob = c->next;
    }
}

bool pg_blob_is(const struct pg_blobs *b, uint32_t blob, struct pg_bytes text)
{
    while (text.len > 0) {
        const struct cell *c = at(b, blob);
        struct pg_bytes some = pg_bytes_head(text, PG_BLOB_DATA);
        if (memcmp(c->data, some.at, some.len) != 0)
            return false;
        text = pg_bytes_skip(text, some.len);
        blob = c->next;
    }
    return true;
}
