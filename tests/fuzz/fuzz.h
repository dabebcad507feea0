/* What every fuzz target asks: what was read can be written, and reads back as the same thing.
 * Called by the generated fuzz_*.gen.c and the targets beside this file; run by libFuzzer or by standalone.c.
 * The property is docs/SPEC-LANGUAGE.md's promise that a reader and a writer come from one table. */
#pragma once
#include "wire/json.h"
#include "wire/pb.h"
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_WANT(truth)                                                                                                         \
    do {                                                                                                                         \
        if (!(truth)) {                                                                                                          \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth);                                                  \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

#define FUZZ_STRUCT_MAX (64u * 1024u) /* a larger message struct is a mistake in a .bounds */
#define FUZZ_TEXT_MAX (1u << 20)

static inline void fuzz_pb(const struct pg_pb_table *t, struct pg_bytes in)
{
    static alignas(16) uint8_t first[FUZZ_STRUCT_MAX], second[FUZZ_STRUCT_MAX];
    static uint8_t out[FUZZ_TEXT_MAX], again[FUZZ_TEXT_MAX];
    FUZZ_WANT(t->size <= FUZZ_STRUCT_MAX);
    if (pg_pb_read(t, first, in) != PG_OK)
        return;
    struct pg_writer w = pg_writer(out, sizeof out), v = pg_writer(again, sizeof again);
    pg_pb_write(t, first, &w);
    FUZZ_WANT(!w.failed && w.len == pg_pb_size(t, first));
    if (w.len > t->limit) /* shortest forms never grow, but negative numbers do: ten bytes each */
        return;
    FUZZ_WANT(pg_pb_read(t, second, pg_written(&w)) == PG_OK);
    FUZZ_WANT(pg_pb_equal(t, first, second));
    pg_pb_write(t, second, &v);
    FUZZ_WANT(pg_bytes_equal(pg_written(&w), pg_written(&v)));
}

static inline void fuzz_json(const struct pg_json_table *t, struct pg_bytes in)
{
    static alignas(16) uint8_t first[FUZZ_STRUCT_MAX], second[FUZZ_STRUCT_MAX];
    static alignas(16) uint8_t scratch[FUZZ_TEXT_MAX];
    static uint8_t out[FUZZ_TEXT_MAX], again[FUZZ_TEXT_MAX];
    struct pg_arena arena = {scratch, sizeof scratch, 0};
    enum pg_err err = pg_json_read(t, first, in, &arena);
    FUZZ_WANT(err != PG_ERR_NO_MEMORY);
    if (err != PG_OK)
        return;
    struct pg_writer w = pg_writer(out, sizeof out), v = pg_writer(again, sizeof again);
    FUZZ_WANT(pg_json_write(t, first, &w));
    if (w.len > t->limit) /* control characters grow when they are escaped */
        return;
    FUZZ_WANT(pg_json_read(t, second, pg_written(&w), &arena) == PG_OK);
    FUZZ_WANT(pg_json_write(t, second, &v));
    FUZZ_WANT(pg_bytes_equal(pg_written(&w), pg_written(&v)));
}
