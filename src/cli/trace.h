/* --trace: a run written down from its configuration to its end. Called by run.c; tools/replay reads it. */
#pragma once
#include "cli/options.h"
#include "core/node.h"
#include "record/record.h"

/* Opens the file and writes what the run begins with; listens to the secrets' answers from here on. NULL with one line in why. */
struct pg_recorder *pg_trace_begin(const struct pg_options *, const struct pg_node_config *, char *why, size_t room);
/* False, with one line in why, when the recording ended before the run did. */
bool pg_trace_end(struct pg_recorder *, int status, char *why, size_t room);
