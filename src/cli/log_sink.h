/* Where log lines go: standard error, one write a line, with time, level and target in front.
 * Set up by src/cli/main.c once the options are known. Layout of the original Punchgate's log, or one JSON
 * object a line; filter from PUNCHGATE_LOG, else RUST_LOG, else info. */
#pragma once
#include "logs.gen.h"

struct pg_log_sink {
    struct pg_log log; /* what everybody else is given */
    uint8_t enabled[PG_LOGS];
    int fd;
    uint64_t (*wall_us)(void);   /* since 1970, UTC */
    uint64_t (*steady_us)(void); /* for the flood guard; never runs backwards */
    uint64_t window_us;          /* when the second began that is counted below */
    uint32_t written[PG_LOGS], suppressed[PG_LOGS];
    uint64_t most; /* lines of one id in a second, debug and trace apart; more are counted, not written */
    bool holding; /* something in suppressed[] waits to be told */
};

struct pg_log_choice {
    uint64_t most;      /* 0: limit log_lines as it stands in spec/ */
    const char *filter; /* NULL: info */
    bool json;
    bool colour; /* ignored for JSON */
};

/* Looks at the environment and the terminal: PUNCHGATE_LOG, RUST_LOG, NO_COLOR, CLICOLOR_FORCE, TERM. */
struct pg_log_choice pg_log_choice_here(int fd, bool json);

/* What is wrong in a filter is left out and warned about, as in EnvFilter. The sink must stay where it is while it is used. */
void pg_log_sink_init(struct pg_log_sink *, int fd, struct pg_log_choice);

/* Tells how many lines the flood guard has left out so far and not told yet; to be called now and then, and at the end. */
void pg_log_sink_flush(struct pg_log_sink *);
