/* The command perf: a measurement as the task sees it, and its one line. Called by task.c.
 * Source: libp2p/specs perf/perf.md. */
#include "service/task_perf.h"

#include "service/task.h"

#include <stdio.h>

static void show_json(struct pg_task *t, uint64_t up_us, uint64_t down_us)
{
    char text[200];
    snprintf(text, sizeof text, "{\"event\":\"perf\",\"up_bytes\":%llu,\"up_us\":%llu,\"down_bytes\":%llu,\"down_us\":%llu}\n",
             (unsigned long long)t->perf.up, (unsigned long long)up_us, (unsigned long long)t->perf.down,
             (unsigned long long)down_us);
    pg_node_report(t->node, pg_text(text));
}

static void show_text(struct pg_task *t, const char *way, uint64_t bytes, uint64_t us)
{
    char text[120];
    int n = snprintf(text, sizeof text, "%-4s %llu bytes in %llu.%03llu ms", way, (unsigned long long)bytes,
                     (unsigned long long)us / 1000, (unsigned long long)us % 1000);
    if (us > 0 && bytes > 0) /* bytes in a microsecond are megabytes in a second */
        n += snprintf(text + n, sizeof text - (size_t)n, ", %.1f MB/s", (double)bytes / (double)us);
    snprintf(text + n, sizeof text - (size_t)n, "\n");
    pg_node_report(t->node, pg_text(text));
}

static void told(struct pg_perf *p, bool ok, uint64_t up_us, uint64_t down_us)
{
    struct pg_task *t = p->context;
    if (!ok) {
        t->why = p->why;
        snprintf(t->reason, sizeof t->reason, "%.*s", (int)p->reason.len, (const char *)p->reason.at);
    } else if (t->config->json) {
        show_json(t, up_us, down_us);
    } else {
        show_text(t, "up", p->up, up_us);
        show_text(t, "down", p->down, down_us);
    }
    pg_post(&t->in, ok ? PG_TASK_ON_WORK_DONE : PG_TASK_ON_WORK_FAILED);
}

static void progress(struct pg_perf *p)
{
    pg_post(&((struct pg_task *)p->context)->in, PG_TASK_ON_PROGRESS);
}

void pg_task_perf_begin(struct pg_task *t)
{
    t->perf = (struct pg_perf){.node = t->node, .up = t->config->up, .down = t->config->down,
                               .progress = progress, .told = told, .context = t};
    pg_perf_start(&t->perf, t->session);
}
