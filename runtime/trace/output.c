/* JSON lines for standard output, and the one place that tells the user of a failure.
 * Called by src/cli/main.c, the query commands and the control service. RFC 8259; formats: docs of the command. */
#include "trace/output.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ERROR_MOST 1024 /* bytes of a reason */

static char closer(const struct pg_out *out)
{
    return out->closers[out->depth];
}

static void put_key(struct pg_out *out, const char *key)
{
    pg_line_put(&out->line, out->comma[out->depth] ? "," : "");
    out->comma[out->depth] = true;
    assert((key != NULL) == (closer(out) == '}'));
    if (key) {
        pg_line_put(&out->line, "\"");
        pg_line_put(&out->line, key);
        pg_line_put(&out->line, "\":");
    }
}

static void open_one(struct pg_out *out, const char *opener, char close_with)
{
    assert(out->depth < PG_OUT_DEPTH);
    pg_line_put(&out->line, opener);
    out->depth++;
    out->comma[out->depth] = false;
    out->closers[out->depth] = close_with;
}

void pg_out_begin(struct pg_out *out, char *buffer, size_t size, const char *event)
{
    *out = (struct pg_out){.depth = 0};
    pg_line_init(&out->line, buffer, size);
    open_one(out, "{", '}');
    if (event) {
        pg_out_text(out, "event", pg_text(event));
    }
}

void pg_out_close(struct pg_out *out)
{
    assert(out->depth > 0);
    char text[2] = {closer(out), '\0'};
    pg_line_put(&out->line, text);
    out->depth--;
}

struct pg_bytes pg_out_end(struct pg_out *out)
{
    while (out->depth > 0) {
        pg_out_close(out);
    }
    pg_line_put(&out->line, "\n");
    return out->line.cut ? PG_NONE : pg_line_bytes(&out->line);
}

void pg_out_text(struct pg_out *out, const char *key, struct pg_bytes text)
{
    put_key(out, key);
    pg_line_put(&out->line, "\"");
    pg_line_escaped(&out->line, text, PG_ESCAPE_JSON, SIZE_MAX);
    pg_line_put(&out->line, "\"");
}

void pg_out_u64(struct pg_out *out, const char *key, uint64_t number)
{
    put_key(out, key);
    pg_line_u64(&out->line, number);
}

void pg_out_bool(struct pg_out *out, const char *key, bool yes)
{
    put_key(out, key);
    pg_line_put(&out->line, yes ? "true" : "false");
}

void pg_out_null(struct pg_out *out, const char *key)
{
    put_key(out, key);
    pg_line_put(&out->line, "null");
}

void pg_out_object(struct pg_out *out, const char *key)
{
    put_key(out, key);
    open_one(out, "{", '}');
}

void pg_out_array(struct pg_out *out, const char *key)
{
    put_key(out, key);
    open_one(out, "[", ']');
}

struct pg_bytes pg_out_error(char *buffer, size_t size, enum pg_err err, struct pg_bytes reason)
{
    struct pg_out out;
    pg_out_begin(&out, buffer, size, "error");
    pg_out_text(&out, "code", pg_text(pg_err_name(err)));
    put_key(&out, "reason");
    pg_line_put(&out.line, "\"");
    size_t left = out.line.room - out.line.len;
    pg_line_escaped(&out.line, reason, PG_ESCAPE_JSON, left > 4 ? left - 4 : 0);
    pg_line_put(&out.line, "\"");
    return pg_out_end(&out);
}

bool pg_out_write(int fd, struct pg_bytes text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.at, text.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text = pg_bytes_skip(text, (size_t)n);
    }
    return true;
}

int pg_out_lost(int error_number)
{
    char text[256];
    if (error_number == EPIPE) /* as in | head: the reader has left and had enough */
        return pg_err_exit(PG_ERR_IO);
    snprintf(text, sizeof text, "standard output: %s; not all of the result has arrived: mend that and ask again", strerror(error_number));
    return pg_out_failure(false, PG_ERR_IO, pg_text(text));
}

int pg_out_result(struct pg_bytes text)
{
    return pg_out_write(STDOUT_FILENO, text) ? 0 : pg_out_lost(errno);
}

int pg_out_failure(bool json, enum pg_err err, struct pg_bytes reason)
{
    char buffer[ERROR_MOST + 128];
    reason = reason.len ? reason : pg_text(pg_err_text(err));
    if (json) {
        pg_out_write(STDOUT_FILENO, pg_out_error(buffer, sizeof buffer, err, reason));
    } else {
        struct pg_line line;
        pg_line_init(&line, buffer, sizeof buffer);
        pg_line_put(&line, "punchgate: ");
        pg_line_escaped(&line, reason, PG_ESCAPE_DISPLAY, ERROR_MOST);
        pg_line_put(&line, "\n");
        pg_out_write(STDERR_FILENO, pg_line_bytes(&line));
    }
    return pg_err_exit(err);
}
