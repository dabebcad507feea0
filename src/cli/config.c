/* Reads punchgate.conf through libinih, which knows lines and quoting but not line numbers: the reader below counts.
 * Called by options_sources.c. Format: docs of libinih; punchgate(1), "CONFIGURATION FILE". */
#include "cli/config.h"
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECTION "punchgate" /* the only one, for editors that insist on sections */

/* Debian's libinih can be told about longer lines, the upstream one cannot: weak, so that we link with both. */
#pragma weak ini_max_line

struct reading {
    FILE *file;
    const char *path;
    pg_config_pair *pair;
    void *context;
    struct pg_line *why;
    unsigned line;
    bool failed;
};

static void blame(struct reading *r)
{
    r->failed = true;
    pg_line_escaped(r->why, pg_text(r->path), PG_ESCAPE_DISPLAY, 256);
    pg_line_put(r->why, ":");
    pg_line_u64(r->why, r->line);
    pg_line_put(r->why, ": ");
}

/* fgets for libinih, except that a line which does not fit is an error instead of two lines. */
static char *next_line(char *out, int room, void *context)
{
    struct reading *r = context;
    int n = 0, c = EOF;
    if (r->failed) {
        return NULL;
    }
    r->line++;
    while (n < room - 1 && (c = getc(r->file)) != EOF && c != '\0') {
        out[n++] = (char)c;
        if (c == '\n') {
            break;
        }
    }
    out[n] = '\0';
    if (c == '\0') {
        blame(r);
        pg_line_put(r->why, "a zero byte; a configuration file is text");
        return NULL;
    }
    if (n == room - 1 && c != '\n') {
        blame(r);
        pg_line_put(r->why, "the line is longer than ");
        pg_line_u64(r->why, (uint64_t)room - 2);
        pg_line_put(r->why, " bytes; repeat the name on several lines to make a list");
        return NULL;
    }
    return n > 0 ? out : NULL;
}

static int one_pair(void *context, const char *section, const char *name, const char *value)
{
    struct reading *r = context;
    if (r->failed) {
        return 0;
    }
    if (*section && strcmp(section, SECTION) != 0) {
        blame(r);
        pg_line_put(r->why, "unknown section [");
        pg_line_escaped(r->why, pg_text(section), PG_ESCAPE_DISPLAY, 64);
        pg_line_put(r->why, "]; the options stand under [" SECTION "] or under no section at all");
        return 0;
    }
    size_t before = r->why->len;
    blame(r);
    r->failed = !r->pair(r->context, name, value ? value : "", r->line, r->why);
    if (!r->failed) {
        r->why->len = before;
        r->why->at[before] = '\0';
    }
    return !r->failed;
}

static enum pg_err unreadable(const char *path, int error, struct pg_line *why)
{
    pg_line_put(why, "configuration file ");
    pg_line_escaped(why, pg_text(path), PG_ESCAPE_DISPLAY, 256);
    pg_line_put(why, ": ");
    pg_line_put(why, strerror(error));
    pg_line_put(why, error == ENOENT ? "; name one that exists, or leave --config out" : "; it must be a readable text file");
    return PG_ERR_CONFIG_BAD;
}

enum pg_err pg_config_read(const char *path, pg_config_pair *pair, void *context, struct pg_line *why)
{
    struct reading r = {.path = path, .pair = pair, .context = context, .why = why};
    r.file = fopen(path, "re");
    if (!r.file) {
        return unreadable(path, errno, why);
    }
    if (&ini_max_line) {
        ini_max_line = PG_CONFIG_LINE;
    }
    errno = 0;
    int bad_line = ini_parse_stream(next_line, &r, one_pair, &r);
    int error = ferror(r.file) ? errno : 0;
    fclose(r.file);
    if (r.failed) {
        return PG_ERR_CONFIG_BAD;
    }
    if (error) {
        return unreadable(path, error, why);
    }
    if (bad_line != 0) {
        r.line = bad_line > 0 ? (unsigned)bad_line : 0;
        blame(&r);
        pg_line_put(why, "not of the form name = value; a comment begins with #");
        return PG_ERR_CONFIG_BAD;
    }
    return PG_OK;
}

static int is_drop_in(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

/* In the order of bytes, whatever the language of the system. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum pg_err pg_config_drop_ins(const char *file, pg_config_each *each, void *context, struct pg_line *why)
{
    struct dirent **found = NULL;
    char folder[PG_CONFIG_PATH + 8], path[PG_CONFIG_PATH + 300];
    enum pg_err err = PG_OK;
    snprintf(folder, sizeof folder, "%s.d", file);
    int n = scandir(folder, &found, is_drop_in, by_name);
    if (n < 0)
        return errno == ENOENT ? PG_OK : unreadable(folder, errno, why);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, found[i]->d_name);
        if (err == PG_OK)
            err = each(context, path);
        free(found[i]);
    }
    free(found);
    return err;
}

static bool there(const char *folder, const char *below, char path[PG_CONFIG_PATH])
{
    int n = snprintf(path, PG_CONFIG_PATH, "%s%s/punchgate/punchgate.conf", folder, below);
    return n > 0 && n < PG_CONFIG_PATH && (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

bool pg_config_find(const char *xdg_config_home, const char *home, char path[PG_CONFIG_PATH])
{
    /* The XDG base directory specification: a relative path there is to be ignored. */
    if (xdg_config_home && *xdg_config_home == '/') {
        if (there(xdg_config_home, "", path)) {
            return true;
        }
    } else if (home && *home && there(home, "/.config", path)) {
        return true;
    }
    return there("/etc", "", path);
}
