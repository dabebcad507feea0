/* Log lines for people: formats the fields of one line of spec/logs.list and hands the text to a sink.
 * Called through the typed functions of logs.gen.h by every layer; the sink (src/cli/log_sink.c) adds time, level and
 * target and writes. No clock, no file and no allocation here. */
#pragma once
#include "mem/bytes.h"
#include "trace/line.h"

#define PG_LOG_LINE 2048 /* bytes of message and fields, longer values are cut */
#define PG_LOG_FIELDS 8

enum pg_log_level { PG_LOG_LEVEL_OFF, PG_LOG_LEVEL_ERROR, PG_LOG_LEVEL_WARN, PG_LOG_LEVEL_INFO, PG_LOG_LEVEL_DEBUG, PG_LOG_LEVEL_TRACE };

/* The field types of spec/logs.list, described there. */
enum pg_log_type { PG_FIELD_TEXT, PG_FIELD_QUOTED, PG_FIELD_DEBUG, PG_FIELD_MAYBE_PEER, PG_FIELD_U64, PG_FIELD_DURATION };

struct pg_log_field {
    const char *name;
    enum pg_log_type type;
    bool in_message; /* {name} stands in the message */
};

struct pg_log_info {
    const char *name;
    const char *target;
    const char *message; /* with {name} where a field belongs */
    enum pg_log_level level;
    unsigned n_fields;
    struct pg_log_field fields[PG_LOG_FIELDS];
};

union pg_log_value {
    struct pg_bytes text;
    uint64_t number; /* durations in microseconds */
};

enum pg_log_form {
    PG_LOG_PLAIN,  /* message key=value */
    PG_LOG_COLOUR, /* the same, keys italic as tracing does on a terminal */
    PG_LOG_JSON,   /* "message":"…","fields":{"key":value} */
};

/* All zero is legal and logs nothing. */
struct pg_log {
    const uint8_t *enabled; /* by enum pg_log_id; NULL: all are */
    void (*sink)(void *context, unsigned id, struct pg_bytes message_and_fields); /* id: enum pg_log_id */
    void *context;
    enum pg_log_form form;
    uint64_t suppressed; /* lines that the sink has left out */
};

static inline bool pg_log_on(const struct pg_log *log, unsigned id)
{
    return log && log->sink && (!log->enabled || log->enabled[id]);
}

/* Called by the generated functions, after pg_log_on. values: info->n_fields of them. */
void pg_log_write(struct pg_log *, unsigned id, const struct pg_log_info *, const union pg_log_value *values);
/* The formatting alone. */
void pg_log_format(struct pg_line *, enum pg_log_form, const struct pg_log_info *, const union pg_log_value *values);
