/* What the user wants: command line, environment, configuration file and defaults, merged and checked.
 * Called by src/cli/main.c once, at start. Table and texts: spec/options.list; rules: docs/guides, punchgate(1). */
#pragma once
#include "errors.gen.h"
#include "options.gen.h"
#include "trace/line.h"

enum pg_source { PG_FROM_NOWHERE, PG_FROM_DEFAULT, PG_FROM_FILE, PG_FROM_ENVIRONMENT, PG_FROM_FLAG };

struct pg_origin {
    enum pg_source source;
    unsigned line;    /* of the first value, when it comes from a file */
    const char *file; /* that one */
};

/* Everything in it is valid until pg_options_free; argv and the environment must last as long. */
struct pg_options {
    enum pg_cli_command command;
    struct pg_option_values values; /* control: NULL when it is off */
    const char *address;            /* argument of ping, identify, perf and pipe */
    const char *service;            /* of pipe */
    const char *key, *value;        /* arguments of dht, as they were written */
    const char *input;              /* argument of key show, import and export: a file */
    const char *group_help;         /* --help was asked of a group of commands; values.help is set then */
    const char *file;               /* configuration file that was read, or NULL */
    const char *warning;            /* for the log: a variable that looks misspelt, or NULL */
    struct pg_origin origin[PG_OPTIONS];
    int argc;                       /* what they were read from, to be read again */
    char *const *argv, *const *envp;
    unsigned problems;              /* mistakes that check has told of */
    int unsaid;                     /* exit status when not all that check shows has arrived, else 0 */
    void *memory;
};

/* PG_OK, or PG_ERR_USAGE, PG_ERR_CONFIG_BAD, PG_ERR_NO_MEMORY with one line in why. --json is known even after a failure.
 * With values.help or values.version set nothing else has been looked at. To be freed in every case. */
enum pg_err pg_options_read(struct pg_options *, int argc, char *const argv[], char *const envp[], struct pg_line *why);
void pg_options_free(struct pg_options *);

/* The same with everything a program does about it: prints help, version or the failure.
 * -1: go on; else the exit status (the options are freed then). */
int pg_options_start(struct pg_options *, int argc, char *const argv[], char *const envp[], const char *version);
