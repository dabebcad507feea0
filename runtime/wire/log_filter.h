/* The grammar of RUST_LOG: which target logs from which level on.
 * Called once at start by whoever makes the log sink; the grammar is spec/wire/log_filter.rl.
 * tracing-subscriber's EnvFilter, without span and field filters, which our logs do not have. */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"
#include "trace/log.h"

#define PG_FILTER_MOST 32

struct pg_filter {
    struct {
        struct pg_bytes target; /* borrowed from the text that was parsed; empty: all targets */
        enum pg_log_level level;
    } directives[PG_FILTER_MOST];
    uint32_t n_directives;
    uint32_t n_bad;            /* directives that were left out */
    struct pg_bytes first_bad; /* the first of them, for the warning */
};

/* What is wrong is left out and the rest holds, as in EnvFilter; then LOG_FILTER_BAD is returned, for a warning.
 * Without any good directive errors are logged and nothing else. */
enum pg_err pg_filter_parse(struct pg_filter *, struct pg_bytes text);

/* The level of the longest directive that the target begins with; off where there is none. */
enum pg_log_level pg_filter_level(const struct pg_filter *, const char *target);
