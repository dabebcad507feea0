/* SIGHUP: the configuration is read again. Called by run.c. Rules: punchgate(1), "SIGNALS". */
#pragma once
#include "cli/config.h"
#include "cli/options.h"
#include "logs.gen.h"

struct pg_reload {
    const struct pg_options *running; /* what the peer has started with */
    struct pg_log *log;
    uint8_t *lists;                   /* of the last one that was good */
    char file[PG_CONFIG_PATH];        /* that was read last, or empty */
};

void pg_reload_init(struct pg_reload *, const struct pg_options *running, struct pg_log *);
/* What PG_INPUT_RELOAD brings, valid until the next call. False: everything stays, and the log says why. */
bool pg_reload_read(struct pg_reload *, uint8_t **data, size_t *len);
void pg_reload_free(struct pg_reload *);
