/* This machine's addresses, as the system tells of them, and what follows when they change: connections from an address that is gone
 * are over, those from another one have to answer, and whoever is wanted is dialled again.
 * Called by node.c. Serves spec/machine/ways.sm; docs/decisions/0013-paths.md. */
#pragma once
#include "port.h"
#include "ways.gen.h"

struct pg_ways {
    struct pg_instance in;
    struct pg_timer timers[PG_WAYS_TIMERS];
    struct pg_endpoint before[PG_RESOLVED_MOST], now[PG_RESOLVED_MOST]; /* before: when they were followed last */
    uint32_t n_before, n_now;
    bool known, due; /* known: the system has told of them; due: they are to be followed in this turn */
};

struct pg_node;
void pg_ways_start(struct pg_node *);
void pg_ways_stop(struct pg_node *);
void pg_ways_input(struct pg_node *, const struct pg_input *);
/* Follows what has changed, when it is time; outside of all steps, for connections end by it. */
void pg_ways_settle(struct pg_node *);
