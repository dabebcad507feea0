/* Is this what the option wants? One check for each kind of spec/options.list, each with a reason and what to do.
 * Called by options_values.c for every value, wherever it comes from. Opens nothing and resolves no names. */
#pragma once
#include "options.gen.h"
#include "trace/line.h"

/* Flags, words (from 1), counts and durations (milliseconds) come out in *number. False fills why with
 * "reason; what to do". */
bool pg_value_read(const struct pg_option_info *, const char *text, uint64_t *number, struct pg_line *why);

/* The argument of ping, identify and perf. */
bool pg_value_address(const char *text, struct pg_line *why);
/* The argument of pipe; colon is where it splits. */
bool pg_value_pipe(const char *text, const char **colon, struct pg_line *why);
/* The arguments of dht: a key, a value, a peer id. */
bool pg_value_key(const char *text, struct pg_line *why);
bool pg_value_octets(const char *text, struct pg_line *why);
bool pg_value_peer(const char *text, struct pg_line *why);

/* Items that are right each but not together: an address to listen on or a name exposed twice, one local
 * address for two tunnels.
 * False names the option and fills why. */
bool pg_values_agree(const struct pg_option_values *, enum pg_option *which, struct pg_line *why);
