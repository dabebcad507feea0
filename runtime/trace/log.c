/* The formatter of log lines: message with its fields put in, then key=value, or JSON.
 * Called by logs.gen.c. Layout of tracing-subscriber's default, which the original's log scripts parse. */
#include "trace/log.h"

#define VALUE_MOST 640 /* bytes of one value, so that one long name leaves room for the other fields */
#define FIELD_LEAST 48 /* room kept for each field that is still to come */

/* Unquoted text must not look like the start of another field to whoever splits the line at word=value. */
static bool needs_quotes(struct pg_bytes text)
{
    return text.len == 0 || memchr(text.at, '=', text.len) || memchr(text.at, '"', text.len);
}

static void put_quoted(struct pg_line *line, struct pg_bytes text, enum pg_escape escape, size_t most)
{
    pg_line_put(line, "\"");
    pg_line_escaped(line, text, escape, most);
    pg_line_put(line, "\"");
}

/* A stranger's text in quotes: its own quotes become ' because simple readers end the value at the first ". */
static void put_guarded(struct pg_line *line, struct pg_bytes text, size_t most)
{
    char copy[VALUE_MOST + 8]; /* more than fits, so that a cut shows */
    size_t n = text.len < sizeof copy ? text.len : sizeof copy;
    for (size_t i = 0; i < n; i++) {
        copy[i] = text.at[i] == '"' ? '\'' : (char)text.at[i];
    }
    put_quoted(line, pg_bytes(copy, n), PG_ESCAPE_DISPLAY, most);
}

static void put_text_value(struct pg_line *line, enum pg_log_type type, bool json, struct pg_bytes text, size_t most)
{
    switch (type) {
    case PG_FIELD_MAYBE_PEER:
        if (json) {
            text.len ? put_quoted(line, text, PG_ESCAPE_JSON, most) : pg_line_put(line, "null");
        } else {
            pg_line_put(line, text.len ? "Some(PeerId(\"" : "None");
            pg_line_escaped(line, text, PG_ESCAPE_DEBUG, most);
            pg_line_put(line, text.len ? "\"))" : "");
        }
        break;
    case PG_FIELD_TEXT:
        if (json) {
            put_quoted(line, text, PG_ESCAPE_JSON, most);
        } else if (needs_quotes(text)) {
            put_guarded(line, text, most);
        } else {
            pg_line_escaped(line, text, PG_ESCAPE_DISPLAY, most);
        }
        break;
    case PG_FIELD_QUOTED: put_quoted(line, text, json ? PG_ESCAPE_JSON : PG_ESCAPE_DEBUG, most); break;
    case PG_FIELD_DEBUG:
    case PG_FIELD_U64:
    case PG_FIELD_DURATION:
        if (json) {
            put_quoted(line, text, PG_ESCAPE_JSON, most);
        } else {
            pg_line_escaped(line, text, PG_ESCAPE_DISPLAY, most);
        }
        break;
    }
}

/* One value; later tells how many fields still want room. */
static void put_value(struct pg_line *line, enum pg_log_type type, bool json, union pg_log_value value, unsigned later)
{
    size_t kept = (later + 1) * FIELD_LEAST, left = line->room - line->len;
    size_t most = left > kept ? left - kept : 8;
    if (type == PG_FIELD_U64) {
        pg_line_u64(line, value.number);
    } else if (type == PG_FIELD_DURATION && !json) {
        pg_line_duration(line, value.number);
    } else if (type == PG_FIELD_DURATION) {
        pg_line_u64(line, value.number); /* microseconds; the key says so */
    } else {
        put_text_value(line, type, json, value.text, most < VALUE_MOST ? most : VALUE_MOST);
    }
}

/* The message with {name} replaced. In JSON it goes through a second, escaping pass. */
static void put_message(struct pg_line *line, const struct pg_log_info *info, const union pg_log_value *values)
{
    const char *at = info->message, *brace;
    while ((brace = strchr(at, '{')) != NULL) {
        pg_line_raw(line, pg_bytes(at, (size_t)(brace - at)));
        size_t n = strcspn(brace + 1, "}");
        for (unsigned i = 0; i < info->n_fields; i++) {
            const struct pg_log_field *field = &info->fields[i];
            if (strlen(field->name) == n && memcmp(field->name, brace + 1, n) == 0) {
                put_value(line, field->type, false, values[i], info->n_fields - i);
            }
        }
        at = brace + n + 2;
    }
    pg_line_put(line, at);
}

static void put_json(struct pg_line *line, const struct pg_log_info *info, const union pg_log_value *values)
{
    char buffer[PG_LOG_LINE / 2];
    struct pg_line message;
    pg_line_init(&message, buffer, sizeof buffer);
    put_message(&message, info, values);
    pg_line_put(line, "\"message\":");
    put_quoted(line, pg_line_bytes(&message), PG_ESCAPE_JSON, PG_LOG_LINE / 2);
    pg_line_put(line, ",\"fields\":{");
    for (unsigned i = 0; i < info->n_fields; i++) {
        const struct pg_log_field *field = &info->fields[i];
        pg_line_put(line, i ? ",\"" : "\"");
        pg_line_put(line, field->name);
        pg_line_put(line, field->type == PG_FIELD_DURATION ? "_us\":" : "\":");
        put_value(line, field->type, true, values[i], info->n_fields - i);
    }
    pg_line_put(line, "}");
}

void pg_log_format(struct pg_line *line, enum pg_log_form form, const struct pg_log_info *info, const union pg_log_value *values)
{
    if (form == PG_LOG_JSON) {
        put_json(line, info, values);
        return;
    }
    put_message(line, info, values);
    for (unsigned i = 0; i < info->n_fields; i++) {
        const struct pg_log_field *field = &info->fields[i];
        if (field->in_message) {
            continue;
        }
        pg_line_put(line, form == PG_LOG_COLOUR ? " \x1b[3m" : " ");
        pg_line_put(line, field->name);
        pg_line_put(line, form == PG_LOG_COLOUR ? "\x1b[0m\x1b[2m=\x1b[0m" : "=");
        put_value(line, field->type, false, values[i], info->n_fields - i - 1);
    }
}

void pg_log_write(struct pg_log *log, unsigned id, const struct pg_log_info *info, const union pg_log_value *values)
{
    char buffer[PG_LOG_LINE];
    struct pg_line line;
    pg_line_init(&line, buffer, sizeof buffer);
    pg_log_format(&line, log->form, info, values);
    log->sink(log->context, id, pg_line_bytes(&line));
}
