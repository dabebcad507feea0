/* The command path. Called by task.c. */
#pragma once
#include "core/node.h"

struct pg_task;
void pg_task_path_begin(struct pg_task *);
/* One more connection stands, and it is not the first. */
void pg_task_path_up(struct pg_task *, struct pg_session *);
void pg_task_path_identified(struct pg_task *, struct pg_session *);
/* A connection stands again, after the last one has gone. */
void pg_task_path_again(struct pg_task *, struct pg_session *);
void pg_task_path_step(struct pg_task *, const struct pg_path_step *);
/* The time is over; t->reason says why there is no direct connection. */
void pg_task_path_late(struct pg_task *);
void pg_task_path_news(struct pg_task *, enum pg_path_news, struct pg_bytes reason);
