/* The command autonat, as the task sees it. Called by task.c. */
#pragma once
#include "core/autonat.h"

struct pg_task;

void pg_task_autonat_start(struct pg_task *);                            /* listens, and dials the server from there */
void pg_task_autonat_identified(struct pg_task *, struct pg_session *);  /* the server has said what it speaks and where it sees us */
void pg_task_autonat_free(struct pg_task *);
