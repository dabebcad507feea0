/* How numbers, endpoints and commands stand in a trace. Called by recorder.c and by tools/replay. */
#include "record/record.h"

enum { SHOWN = 1000 };

size_t pg_record_number(uint8_t out[10], uint64_t n)
{
    size_t used = 0;
    for (; n > 0x7f; n >>= 7)
        out[used++] = (uint8_t)(n | 0x80);
    out[used++] = (uint8_t)n;
    return used;
}

uint64_t pg_record_hash(uint64_t before, struct pg_bytes b)
{
    uint64_t h = before ^ 0xcbf29ce484222325u;
    for (; b.len >= 8; b = pg_bytes_skip(b, 8)) {
        uint64_t word;
        memcpy(&word, b.at, 8);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 29;
    }
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.at[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

size_t pg_record_endpoint(uint8_t out[40], const struct pg_endpoint *e)
{
    size_t n = 0, ip = e->family == 4 ? 4 : e->family == 6 ? 16 : 0;
    out[n++] = e->family;
    memcpy(out + n, e->ip, ip);
    n += ip;
    n += pg_record_number(out + n, e->port);
    return n + pg_record_number(out + n, e->zone);
}

static size_t put_bytes(uint8_t *out, struct pg_bytes b)
{
    size_t n = pg_record_number(out, b.len), shown = b.len < SHOWN ? b.len : SHOWN;
    if (shown)
        memcpy(out + n, b.at, shown);
    n += shown;
    return b.len > SHOWN ? n + pg_record_number(out + n, pg_record_hash(0, b)) : n;
}

size_t pg_record_command(uint8_t out[PG_RECORD_COMMAND_MAX], const struct pg_command *c)
{
    size_t n = 0;
    out[n++] = (uint8_t)c->kind;
    n += pg_record_number(out + n, c->link ? c->link->number : 0);
    out[n++] = (uint8_t)(c->mode | (c->meets ? 0x80 : 0) | (c->waits ? 0x40 : 0));
    n += pg_record_number(out + n, (uint32_t)c->status);
    n += pg_record_number(out + n, c->number);
    n += pg_record_endpoint(out + n, &c->endpoint);
    n += pg_record_endpoint(out + n, &c->from);
    n += put_bytes(out + n, c->host);
    n += put_bytes(out + n, c->path);
    return n + put_bytes(out + n, c->text);
}
