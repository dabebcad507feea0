/* What the files of the option reader share: what somebody has given, and where it came from.
 * Used by options.c, options_words.c, options_sources.c and options_values.c. Table: spec/options.list. */
#pragma once
#include "cli/options.h"
#include "cli/values.h"
#include <string.h>

#define PG_OPTION_WHY 1024

/* One value as somebody gave it. */
struct pg_given {
    enum pg_option option;
    enum pg_source source;
    unsigned line;
    const char *text, *file; /* file: where it stands, or NULL */
};

struct pg_reader {
    struct pg_options *out;
    struct pg_line *why;
    char *const *envp;
    struct pg_given *given;
    size_t n, room;
    const char *words[5]; /* command (two words at most), two arguments at most, one too many */
    unsigned n_words, n_command; /* n_command of them name the command */
    const char *reading; /* the file that is being read */
    bool no_memory;
};

/* options.c: memory that lives as long as the options; NULL notes that there is none. */
void *pg_reader_keep(struct pg_reader *, size_t size);
char *pg_reader_keep_text(struct pg_reader *, const char *at, size_t len);
void pg_reader_give(struct pg_reader *, enum pg_option, enum pg_source, unsigned line, const char *text);
bool pg_option_taken_by(const struct pg_option_info *, enum pg_cli_command, bool from_flag);
/* In quotes and escaped, cut where it is long. */
void pg_put_value(struct pg_line *, const char *text);
/* Letters to change, add or remove to get from a to b; more than 3 is all the same to the caller. */
unsigned pg_option_distance(const char *a, const char *b);
/* "; did you mean …?" when a name is near enough, else what to do instead. */
void pg_option_suggest(struct pg_line *, const char *name, const char *dashes, bool file, const char *otherwise);

/* options_words.c: the command line. False: why is filled. */
bool pg_reader_flags(struct pg_reader *, int argc, char *const argv[]);
bool pg_reader_command(struct pg_reader *);
bool pg_reader_flag_given(const struct pg_reader *, enum pg_option);
bool pg_reader_check_flags(struct pg_reader *);
bool pg_reader_check_words(struct pg_reader *);

/* options_sources.c: environment and configuration file. */
const char *pg_reader_variable(char *const *envp, const char *name); /* NULL when it is absent or empty */
bool pg_reader_environment(struct pg_reader *);
bool pg_reader_libp2p(struct pg_reader *); /* options_libp2p.c: the variables LIBP2P_… */
enum pg_err pg_reader_file(struct pg_reader *);

/* options_values.c: one value for each option, the strongest. */
const char *pg_reader_strongest(const struct pg_reader *, enum pg_option, enum pg_source *);
enum pg_err pg_reader_check(struct pg_reader *, const struct pg_given *, uint64_t *number);
enum pg_err pg_reader_settle(struct pg_reader *);

/* options_check.c: what only the command check does. */
/* For check a mistake in the configuration is told and the reading goes on: PG_OK. For all others it stays what it is. */
enum pg_err pg_reader_note(struct pg_reader *, enum pg_err);
/* --show-origin */
void pg_reader_show(const struct pg_reader *);
