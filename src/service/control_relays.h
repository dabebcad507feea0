/* Relays in the answer to `status`: those that we use, and what we are for others. Called by control.c. */
#pragma once
#include "core/node.h"
#include "trace/line.h"
#include "trace/output.h"

void pg_control_put_policy(struct pg_out *, const struct pg_node *);
void pg_control_put_relays(struct pg_out *, const struct pg_node *);
const char *pg_control_relays_whom(const struct pg_node *); /* for whom we relay, in words */
void pg_control_put_relays_text(struct pg_line *, const struct pg_node *);
