/* What status says of our reachability. Called by control.c. */
#pragma once
#include "core/node.h"
#include "trace/output.h"

void pg_control_put_reach(struct pg_out *, struct pg_node *);                 /* the object `reachability` */
void pg_control_put_reach_text(struct pg_line *, const struct pg_node *);     /* the same as lines for people */
