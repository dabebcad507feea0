/* What commands print on standard output: one JSON object a line, built field by field in a bounded buffer.
 * Called by src/cli and src/service. No parser and no allocation; keys come out in the order they were put. */
#pragma once
#include "errors.gen.h"
#include "trace/line.h"

#define PG_OUT_DEPTH 8

struct pg_out {
    struct pg_line line;
    unsigned depth; /* of open objects and arrays */
    bool comma[PG_OUT_DEPTH + 1]; /* something stands before at that depth */
    char closers[PG_OUT_DEPTH + 1];
};

/* Starts an object: {"event":"…" when event is not NULL, else {. buffer is the caller's. */
void pg_out_begin(struct pg_out *, char *buffer, size_t size, const char *event);
/* Closes what is open and adds a newline. Empty when it did not fit: half an object helps nobody. Check once, here. */
struct pg_bytes pg_out_end(struct pg_out *);

/* In an object give the key; in an array NULL. */
void pg_out_text(struct pg_out *, const char *key, struct pg_bytes text);
void pg_out_u64(struct pg_out *, const char *key, uint64_t number);
void pg_out_bool(struct pg_out *, const char *key, bool yes);
void pg_out_null(struct pg_out *, const char *key);
void pg_out_object(struct pg_out *, const char *key);
void pg_out_array(struct pg_out *, const char *key);
void pg_out_close(struct pg_out *); /* the innermost object or array */

/* {"event":"error","code":"…","reason":"…"} with a newline; a long reason is cut. */
struct pg_bytes pg_out_error(char *buffer, size_t size, enum pg_err err, struct pg_bytes reason);

/* Everything or false (errno says why): results are not to be lost silently. */
bool pg_out_write(int fd, struct pg_bytes text);

/* The result of a command, on standard output. Returns the exit status: a result that does not arrive is a failure, and told. */
int pg_out_result(struct pg_bytes text);
int pg_out_lost(int error_number); /* tells, on standard error, that standard output did not take it all; the exit status */

/* Tells the user of a failure: JSON on standard output, or "punchgate: reason" on standard error. Returns the exit status. */
int pg_out_failure(bool json, enum pg_err err, struct pg_bytes reason);
