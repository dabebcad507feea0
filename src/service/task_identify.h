/* The command identify: asks, and shows the whole answer. Called by task.c. Source: libp2p/specs identify/README.md. */
#pragma once
struct pg_task;
void pg_task_identify_begin(struct pg_task *);
