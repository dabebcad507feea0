/* JSON messages over constant tables: strict grammar first, then cJSON, then the table's checks.
 * Called through the generated X.wire.gen.h, which gives each message its struct and its typed functions.
 * RFC 8259; what serde_json takes is taken here, except limits, NUL characters and keys said twice. */
#pragma once
#include "errors.gen.h"
#include "mem/arena.h"
#include "wire/cursor.h"

#define PG_JSON_DEEPEST 8    /* arrays and objects inside each other */
#define PG_JSON_MOST_KEYS 64 /* of one object: finding doubles is quadratic */

enum pg_json_kind { PG_JSON_STRING, PG_JSON_BOOL };

struct pg_json_field {
    const char *key;
    uint8_t kind; /* enum pg_json_kind */
    bool need;
    uint32_t least, most; /* bytes of a string */
    uint32_t at;          /* offset of a struct pg_bytes or a bool */
    uint32_t has;         /* offset of `bool has_x` where it is not needed; null counts as absent */
};

struct pg_json_table {
    const char *name;
    const struct pg_json_field *fields;
    uint32_t n_fields;
    uint32_t size;  /* of the struct */
    uint32_t limit; /* bytes of the text */
};

/* Fills `into` (cleared first); strings are copied into the arena as UTF-8 without escapes. */
enum pg_err pg_json_read(const struct pg_json_table *, void *into, struct pg_bytes text, struct pg_arena *);
/* Compact and in the table's order. False when it did not fit or a string is not UTF-8 or holds a NUL. */
bool pg_json_write(const struct pg_json_table *, const void *message, struct pg_writer *);
/* Strict RFC 8259 grammar with our limits of depth; `\u0000` and lone surrogates are refused. */
enum pg_err pg_json_scan(struct pg_bytes text);
/* One string in quotes with serde_json's escapes; false as pg_json_write. Also for output made by hand. */
bool pg_json_put_string(struct pg_writer *, struct pg_bytes text);
