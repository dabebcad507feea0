/* Protobuf over constant tables: one reader, one writer and one comparison for all messages.
 * Called through the generated X.pb.gen.h, which gives each message its struct and its typed functions.
 * protobuf.dev "Encoding"; limits and policies come from the .bounds beside each .proto (docs/SPEC-LANGUAGE.md). */
#pragma once
#include "errors.gen.h"
#include "wire/cursor.h"

enum pg_pb_kind {
    PG_PB_BOOL,
    PG_PB_ENUM, /* a C enum of four bytes; unknown numbers are kept unless the field is `known` */
    PG_PB_INT32,
    PG_PB_INT64,
    PG_PB_UINT32,
    PG_PB_UINT64,
    PG_PB_SINT32,
    PG_PB_SINT64,
    PG_PB_FIXED32,
    PG_PB_FIXED64,
    PG_PB_BYTES,
    PG_PB_STRING, /* bytes that must be UTF-8 */
    PG_PB_MESSAGE,
};

enum pg_pb_label { PG_PB_OPTIONAL, PG_PB_REQUIRED, PG_PB_REPEATED };

struct pg_pb_table;

struct pg_pb_field {
    const char *name; /* as in the .proto, for people */
    uint32_t number;
    uint8_t kind;                    /* enum pg_pb_kind */
    uint8_t label;                   /* enum pg_pb_label */
    bool drop;                       /* what breaks a limit is left out; otherwise the message is refused */
    bool known;                      /* enum: a number that is not listed breaks a limit */
    uint32_t at;                     /* offset of the value, or of the array */
    uint32_t has;                    /* offset of `bool has_x`, or of `uint32_t n_x` */
    uint32_t most;                   /* elements of the array; 1 without one */
    uint32_t room;                   /* bytes of one value; for numbers their size in memory, for messages that of the struct */
    uint32_t limit;                  /* bytes that one value may have on the wire */
    const struct pg_pb_table *inner; /* of a message */
    const int32_t *values;           /* of an enum: sorted, n_values of them */
    uint32_t n_values;
};

struct pg_pb_table {
    const char *name;
    const struct pg_pb_field *fields; /* by number */
    const uint8_t *order;             /* in which they are written */
    uint32_t n_fields;
    uint32_t size;  /* of the struct */
    uint32_t limit; /* bytes of the whole message */
};

/* Fills `into` (cleared first); slices point into `from`. Unknown fields are skipped, groups refused. */
enum pg_err pg_pb_read(const struct pg_pb_table *, void *into, struct pg_bytes from);
/* As pg_pb_read, on top of what `into` holds: for messages that are sent in several pieces (identify). */
enum pg_err pg_pb_merge(const struct pg_pb_table *, void *into, struct pg_bytes from);
size_t pg_pb_size(const struct pg_pb_table *, const void *message);
void pg_pb_write(const struct pg_pb_table *, const void *message, struct pg_writer *);
/* Same fields present with the same values. */
bool pg_pb_equal(const struct pg_pb_table *, const void *a, const void *b);
