/* The configuration file: finds it and hands out its name = value lines, each with its line number.
 * Called by options_sources.c only. Format: INI as libinih reads it; docs: punchgate(1), "CONFIGURATION FILE". */
#pragma once
#include "errors.gen.h"
#include "trace/line.h"

#define PG_CONFIG_LINE 8192 /* longest line where libinih lets us say so (Debian's does); its own limit is 200 */
#define PG_CONFIG_PATH 4096

/* Gets one pair; the texts are valid during the call. False, with why filled from after "FILE:LINE: ", ends the reading. */
typedef bool pg_config_pair(void *context, const char *key, const char *value, unsigned line, struct pg_line *why);

/* PG_OK, or PG_ERR_CONFIG_BAD with why = "FILE:LINE: reason; what to do" (without a line when the file cannot be read). */
enum pg_err pg_config_read(const char *path, pg_config_pair *pair, void *context, struct pg_line *why);

/* The files NAME.conf in the folder FILE.d beside it, by name; hidden ones are left out. PG_OK when there is no such folder. */
typedef enum pg_err pg_config_each(void *context, const char *path);
enum pg_err pg_config_drop_ins(const char *file, pg_config_each *, void *context, struct pg_line *why);

/* The file to read when nobody has named one: in $XDG_CONFIG_HOME/punchgate (else $HOME/.config/punchgate), else
 * in /etc/punchgate. True when there is one; a file that is there but unreadable counts, so that it is reported. */
bool pg_config_find(const char *xdg_config_home, const char *home, char path[PG_CONFIG_PATH]);
