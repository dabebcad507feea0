/* Merges what the command line, the environment and the configuration file say, in this order of authority.
 * Called by src/cli/main.c. Table: spec/options.list; options_words.c reads the command line, options_sources.c the rest,
 * options_values.c picks and checks. */
#include "cli/options_reader.h"
#include "trace/output.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHOWN_MOST 160 /* bytes of a wrong value that a message repeats */

struct block {
    struct block *next;
};

void *pg_reader_keep(struct pg_reader *r, size_t size)
{
    struct block *block = malloc(sizeof *block + size);
    if (!block) {
        r->no_memory = true;
        return NULL;
    }
    block->next = r->out->memory;
    r->out->memory = block;
    return block + 1;
}

char *pg_reader_keep_text(struct pg_reader *r, const char *at, size_t len)
{
    char *copy = pg_reader_keep(r, len + 1);
    if (copy) {
        memcpy(copy, at, len);
        copy[len] = '\0';
    }
    return copy;
}

void pg_reader_give(struct pg_reader *r, enum pg_option option, enum pg_source source, unsigned line, const char *text)
{
    if (r->n == r->room) {
        size_t room = r->room ? 2 * r->room : 32;
        struct pg_given *more = realloc(r->given, room * sizeof *more);
        if (!more) {
            r->no_memory = true;
            return;
        }
        r->given = more;
        r->room = room;
    }
    r->given[r->n++] = (struct pg_given){.option = option, .source = source, .line = line, .text = text,
                                         .file = source == PG_FROM_FILE ? r->reading : NULL};
}

bool pg_option_taken_by(const struct pg_option_info *option, enum pg_cli_command command, bool from_flag)
{
    return ((option->commands | (from_flag ? option->flag_only : 0)) >> command & 1) != 0;
}

void pg_put_value(struct pg_line *why, const char *text)
{
    pg_line_put(why, "\"");
    pg_line_escaped(why, pg_text(text), PG_ESCAPE_DISPLAY, SHOWN_MOST);
    pg_line_put(why, "\"");
}

unsigned pg_option_distance(const char *a, const char *b)
{
    unsigned row[32], n = (unsigned)strlen(b);
    if (n >= 32 || strlen(a) >= 32) {
        return 99;
    }
    for (unsigned j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned changed = diagonal + (*a != b[j - 1]), above = row[j] + 1, left = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = changed < above ? (changed < left ? changed : left) : (above < left ? above : left);
        }
    }
    return row[n];
}

void pg_option_suggest(struct pg_line *why, const char *name, const char *dashes, bool file, const char *otherwise)
{
    const char *best = NULL;
    unsigned least = 3;
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        if (file && !pg_option_infos[i].in_file) {
            continue;
        }
        unsigned d = pg_option_distance(name, pg_option_infos[i].name);
        if (d < least) {
            least = d;
            best = pg_option_infos[i].name;
        }
    }
    pg_line_put(why, best ? "; did you mean " : otherwise);
    if (best) {
        pg_line_put(why, dashes);
        pg_line_put(why, best);
        pg_line_put(why, "?");
    }
}

static enum pg_err read_all(struct pg_reader *r, int argc, char *const argv[])
{
    if (!pg_reader_flags(r, argc, argv) || !pg_reader_command(r)) {
        return PG_ERR_USAGE;
    }
    r->out->values.help = pg_reader_flag_given(r, PG_OPTION_HELP);
    r->out->values.version = pg_reader_flag_given(r, PG_OPTION_VERSION);
    if (r->out->values.help || r->out->values.version) {
        return PG_OK;
    }
    if (!pg_reader_check_flags(r) || !pg_reader_check_words(r)) {
        return PG_ERR_USAGE;
    }
    if (!pg_reader_environment(r)) {
        TRY(pg_reader_note(r, PG_ERR_USAGE));
    }
    TRY(pg_reader_note(r, pg_reader_file(r)));
    TRY(pg_reader_settle(r));
    pg_reader_show(r);
    return PG_OK;
}

/* Whether failures are to be told in JSON must be known before anything can fail. */
static bool json_asked(int argc, char *const argv[])
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

enum pg_err pg_options_read(struct pg_options *out, int argc, char *const argv[], char *const envp[], struct pg_line *why)
{
    *out = (struct pg_options){.command = PG_CLI_RUN, .argc = argc, .argv = argv, .envp = envp};
    out->values.json = json_asked(argc, argv);
    struct pg_reader r = {.out = out, .why = why, .envp = envp};
    enum pg_err err = read_all(&r, argc, argv);
    free(r.given);
    return r.no_memory ? PG_ERR_NO_MEMORY : err;
}

void pg_options_free(struct pg_options *options)
{
    struct block *block = options->memory;
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    *options = (struct pg_options){.command = PG_CLI_RUN};
}

int pg_options_start(struct pg_options *options, int argc, char *const argv[], char *const envp[], const char *version)
{
    char reason[PG_OPTION_WHY];
    struct pg_line why;
    int status = -1;
    pg_line_init(&why, reason, sizeof reason);
    enum pg_err err = pg_options_read(options, argc, argv, envp, &why);
    if (err != PG_OK) {
        status = pg_out_failure(options->values.json, err, err == PG_ERR_NO_MEMORY ? PG_NONE : pg_line_bytes(&why));
    } else if (options->values.help || options->values.version) {
        char text[128];
        snprintf(text, sizeof text, "punchgate %s\n", version);
        const char *const group[] = {options->group_help, NULL}, *const version_text[] = {text, NULL};
        const char *const *help = options->group_help ? group : pg_cli_command_infos[options->command].help;
        const char *const *at = options->values.help ? help : version_text;
        for (status = 0; *at && status == 0; at++) {
            status = pg_out_result(pg_text(*at));
        }
    }
    if (status >= 0) {
        pg_options_free(options);
    }
    return status;
}
