/* Chunked byte queues. Links write from them; connections keep the start of an incomplete message in one.
 * See docs/ARCHITECTURE.md, "Data path". */
#include "mem/queue.h"

#include <assert.h>

static struct pg_chunk *add_chunk(struct pg_queue *q)
{
    struct pg_chunk *c = pg_pool_take(q->pool);
    if (!c)
        return NULL;
    c->next = NULL;
    c->head = c->tail = 0;
    if (q->last)
        q->last->next = c;
    else
        q->first = c;
    q->last = c;
    return c;
}

uint8_t *pg_queue_reserve(struct pg_queue *q, size_t n)
{
    assert(n <= PG_CHUNK_ROOM);
    struct pg_chunk *c = q->last;
    if (!c || PG_CHUNK_ROOM - c->tail < n)
        c = add_chunk(q);
    return c ? c->data + c->tail : NULL;
}

void pg_queue_commit(struct pg_queue *q, size_t n)
{
    assert(q->last && PG_CHUNK_ROOM - q->last->tail >= n);
    q->last->tail += (uint32_t)n;
    q->bytes += n;
}

bool pg_queue_put(struct pg_queue *q, struct pg_bytes b)
{
    size_t here = q->last ? PG_CHUNK_ROOM - q->last->tail : 0;
    size_t more = b.len > here ? (b.len - here + PG_CHUNK_ROOM - 1) / PG_CHUNK_ROOM : 0;
    if (more > q->pool->count - q->pool->used)
        return false;
    while (b.len > 0) {
        struct pg_chunk *c = q->last;
        if (!c || c->tail == PG_CHUNK_ROOM)
            c = add_chunk(q);
        size_t n = PG_CHUNK_ROOM - c->tail;
        if (n > b.len)
            n = b.len;
        memcpy(c->data + c->tail, b.at, n);
        c->tail += (uint32_t)n;
        q->bytes += n;
        b = pg_bytes_skip(b, n);
    }
    return true;
}

unsigned pg_queue_peek(const struct pg_queue *q, struct pg_bytes *slices, unsigned n)
{
    unsigned used = 0;
    for (struct pg_chunk *c = q->first; c && used < n; c = c->next)
        if (c->tail > c->head)
            slices[used++] = pg_bytes(c->data + c->head, c->tail - c->head);
    return used;
}

void pg_queue_drop(struct pg_queue *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->first) {
        struct pg_chunk *c = q->first;
        size_t here = c->tail - c->head;
        if (n < here) {
            c->head += (uint32_t)n;
            return;
        }
        n -= here;
        q->first = c->next;
        if (!q->first)
            q->last = NULL;
        pg_pool_give(q->pool, c);
    }
}

void pg_queue_clear(struct pg_queue *q)
{
    pg_queue_drop(q, q->bytes);
}
