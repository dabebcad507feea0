/* The command perf: measures throughput, and shows it. Called by task.c. Source: libp2p/specs perf/perf.md. */
#pragma once
struct pg_task;
void pg_task_perf_begin(struct pg_task *);
