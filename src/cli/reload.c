/* The configuration is read again, and either taken over as a whole or not at all. Called by run.c when SIGHUP comes.
 * Rules: punchgate(1), "SIGNALS"; docs/decisions, "What a reload keeps". */
#include "cli/reload.h"
#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHY_ROOM 1024

void pg_reload_init(struct pg_reload *r, const struct pg_options *running, struct pg_log *log)
{
    *r = (struct pg_reload){.running = running, .log = log};
    if (running->file)
        snprintf(r->file, sizeof r->file, "%s", running->file);
}

void pg_reload_free(struct pg_reload *r)
{
    free(r->lists);
    r->lists = NULL;
}

static const void *place(const struct pg_options *o, const struct pg_option_info *option)
{
    return (const char *)&o->values + option->offset;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(const struct pg_strings *a, const struct pg_strings *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->at[i], b->at[i]) != 0)
            return false;
    return a->n == b->n;
}

static bool same(const struct pg_options *a, const struct pg_options *b, const struct pg_option_info *option)
{
    const void *x = place(a, option), *y = place(b, option);
    if (option->many)
        return same_list(x, y);
    if (option->kind == PG_KIND_FLAG)
        return *(const bool *)x == *(const bool *)y;
    if (option->kind == PG_KIND_WORD)
        return *(const unsigned *)x == *(const unsigned *)y;
    if (option->kind == PG_KIND_COUNT || option->kind == PG_KIND_DURATION || option->kind == PG_KIND_SIZE)
        return *(const uint64_t *)x == *(const uint64_t *)y;
    return same_text(*(const char *const *)x, *(const char *const *)y);
}

/* One line for all options that are different now and that a running peer does not take over. */
static void tell_others(const struct pg_reload *r, const struct pg_options *fresh)
{
    char room[WHY_ROOM];
    struct pg_line names;
    pg_line_init(&names, room, sizeof room);
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        if (option->reload || !(option->commands >> PG_CLI_RUN & 1) || same(r->running, fresh, option))
            continue;
        pg_line_put(&names, names.len ? "," : "");
        pg_line_put(&names, option->name);
    }
    if (names.len)
        pg_log_config_restart(r->log, pg_line_bytes(&names));
}

/* NAME 0 VALUE 0 for each item; at NULL: only counts. */
static size_t put_lists(const struct pg_options *fresh, uint8_t *at)
{
    size_t len = 0;
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        const struct pg_strings *list = place(fresh, option);
        for (size_t k = 0; option->reload && k < list->n; k++) {
            const char *texts[] = {option->name, list->at[k]};
            for (unsigned t = 0; t < 2; t++) {
                size_t n = strlen(texts[t]) + 1;
                if (at)
                    memcpy(at + len, texts[t], n);
                len += n;
            }
        }
    }
    return len;
}

static bool keep(const struct pg_reload *r, const char *why)
{
    pg_log_config_kept(r->log, pg_text(why));
    return false;
}

/* A file that is gone must not look like one that is empty. */
static bool vanished(const struct pg_reload *r, const struct pg_options *fresh, struct pg_line *why)
{
    if (!r->file[0] || (fresh->file && strcmp(fresh->file, r->file) == 0) || access(r->file, F_OK) == 0)
        return false;
    pg_line_put(why, "configuration file ");
    pg_line_escaped(why, pg_text(r->file), PG_ESCAPE_DISPLAY, 256);
    pg_line_put(why, ": ");
    pg_line_put(why, strerror(errno));
    pg_line_put(why, "; put it back, be it empty, or restart");
    return true;
}

static bool take(struct pg_reload *r, const struct pg_options *fresh, uint8_t **data, size_t *len)
{
    char text[WHY_ROOM];
    struct pg_line why;
    pg_line_init(&why, text, sizeof text);
    if (vanished(r, fresh, &why))
        return keep(r, text);
    *len = put_lists(fresh, NULL);
    if (*len > PG_READ_MAX)
        return keep(r, "its lists are longer than 256 KiB; leave something out");
    uint8_t *lists = malloc(*len + 1);
    if (!lists)
        return keep(r, pg_err_text(PG_ERR_NO_MEMORY));
    (void)put_lists(fresh, lists);
    free(r->lists);
    *data = r->lists = lists;
    snprintf(r->file, sizeof r->file, "%s", fresh->file ? fresh->file : "");
    if (fresh->file)
        pg_log_config_read(r->log, pg_text(fresh->file));
    tell_others(r, fresh);
    return true;
}

bool pg_reload_read(struct pg_reload *r, uint8_t **data, size_t *len)
{
    struct pg_options fresh;
    char text[WHY_ROOM];
    struct pg_line why;
    pg_line_init(&why, text, sizeof text);
    const struct pg_options *o = r->running;
    enum pg_err err = pg_options_read(&fresh, o->argc, o->argv, o->envp, &why);
    bool taken = err == PG_OK ? take(r, &fresh, data, len) : keep(r, why.len ? text : pg_err_text(err));
    pg_options_free(&fresh);
    return taken;
}
