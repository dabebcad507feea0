/* From options to a running peer or task. Called by main.c. */
#pragma once
#include "cli/options.h"

/* Runs what the options ask for (run, ping, identify, perf, pipe) and returns the exit status. */
int pg_run(const struct pg_options *);
/* The commands that need no loop. */
int pg_run_check(const struct pg_options *); /* what the reading of the options has not seen yet */
int pg_run_id(const struct pg_options *);
int pg_run_status(const struct pg_options *);
int pg_run_key(const struct pg_options *); /* key new, show, import, export */
