/* The command path: which way leads to a peer, and how long it took to find it. Called by task.c.
 * Source: libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "service/task_path.h"

#include "service/task.h"
#include "trace/output.h"

#include <stdio.h>

enum { LINE = 4096 };

static uint64_t now_us(const struct pg_task *t)
{
    return pg_node_scope(t->node)->now_us;
}

/* {"event":"…","ms":…,"peer":… or the same for people; what follows is the caller's. */
static bool begin_line(struct pg_task *t, struct pg_out *out, const char *event, const struct pg_session *s)
{
    char *room = pg_node_scratch(t->node, LINE);
    if (!room)
        return false;
    pg_out_begin(out, room, LINE, event);
    pg_out_u64(out, "ms", (now_us(t) - t->begun_us) / 1000);
    pg_out_text(out, "peer", pg_session_peer_text(s));
    return true;
}

static void report_way(struct pg_task *t, const char *event, const struct pg_session *s)
{
    struct pg_multiaddr at;
    char addr[PG_MULTIADDR_TEXT], text[LINE];
    struct pg_out out;
    pg_session_remote(s, &at);
    struct pg_bytes where = pg_bytes(addr, pg_multiaddr_text(&at, addr, sizeof addr));
    if (t->config->json) {
        if (!begin_line(t, &out, event, s))
            return;
        pg_out_text(&out, "addr", where);
        if (pg_session_is_relayed(s)) {
            pg_out_u64(&out, "limit_bytes", pg_session_limit_bytes(s));
            pg_out_u64(&out, "limit_s", pg_session_limit_us(s) / 1000000);
        }
        pg_node_report(t->node, pg_out_end(&out));
        return;
    }
    int n = snprintf(text, sizeof text, "%-11s %6llu ms  %s\n", event, (unsigned long long)(now_us(t) - t->begun_us) / 1000, addr);
    pg_node_report(t->node, pg_bytes(text, n > 0 ? (size_t)n : 0));
}

static void report_words(struct pg_task *t, const char *event, const char *key, struct pg_bytes words)
{
    char text[LINE];
    struct pg_out out;
    if (t->config->json) {
        if (!begin_line(t, &out, event, t->session))
            return;
        pg_out_text(&out, key, words);
        pg_node_report(t->node, pg_out_end(&out));
        return;
    }
    int n = snprintf(text, sizeof text, "%-11s %6llu ms  %.*s\n", event, (unsigned long long)(now_us(t) - t->begun_us) / 1000,
                     (int)words.len, (const char *)words.at);
    pg_node_report(t->node, pg_bytes(text, n > 0 ? (size_t)n : 0));
}

/* The last line. direct_ms: from the first connection to the answer on the direct one. */
static void report_path(struct pg_task *t, bool direct, uint64_t rtt_us, struct pg_bytes reason)
{
    char text[LINE];
    struct pg_out out;
    uint64_t ms = (now_us(t) - t->up_us) / 1000;
    if (t->config->json) {
        pg_out_begin(&out, text, sizeof text, "path");
        pg_out_bool(&out, "direct", direct);
        if (direct)
            pg_out_u64(&out, "direct_ms", ms);
        if (rtt_us > 0)
            pg_out_u64(&out, "rtt_us", rtt_us);
        if (reason.len)
            pg_out_text(&out, "reason", reason);
        pg_node_report(t->node, pg_out_end(&out));
        return;
    }
    int n = direct ? snprintf(text, sizeof text, "direct after %llu ms, round trip %llu us\n", (unsigned long long)ms, (unsigned long long)rtt_us)
                   : snprintf(text, sizeof text, "relayed only%s%.*s\n", reason.len ? ": " : "", (int)reason.len, (const char *)reason.at);
    pg_node_report(t->node, pg_bytes(text, n > 0 ? (size_t)n : 0));
}

static void ping_told(struct pg_ping *p, bool ok, uint64_t rtt_us)
{
    struct pg_task *t = p->context;
    bool direct = !pg_session_is_relayed(p->session);
    if (!ok && !direct && t->config->wait_direct)
        return; /* what counts is the direct one */
    if (ok && (direct || !t->config->wait_direct)) {
        report_path(t, direct, rtt_us, PG_NONE);
        pg_post(&t->in, PG_TASK_ON_WORK_DONE);
    } else if (!ok) {
        t->why = p->why ? p->why : PG_ERR_TIMEOUT;
        snprintf(t->reason, sizeof t->reason, "no answer to a ping on the %s connection: %s", direct ? "direct" : "relayed", pg_err_text(t->why));
        pg_post(&t->in, PG_TASK_ON_WORK_FAILED);
    }
}

static void ping(struct pg_task *t)
{
    pg_ping_end(&t->ping);
    t->ping = (struct pg_ping){.told = ping_told, .context = t};
    pg_ping_start(&t->ping, t->session, 1000, 1);
}

void pg_task_path_begin(struct pg_task *t)
{
    t->up_us = now_us(t);
    report_way(t, pg_session_is_relayed(t->session) ? "relayed" : "direct", t->session);
    ping(t);
}

void pg_task_path_up(struct pg_task *t, struct pg_session *s)
{
    if (s == t->session || pg_session_is_relayed(s) || !pg_session_is_relayed(t->session))
        return;
    t->session = s;
    report_way(t, "direct", s);
    ping(t);
}

void pg_task_path_identified(struct pg_task *t, struct pg_session *s)
{
    struct pg_session_view v;
    pg_session_view(s, &v);
    if (s == t->session && t->in.ctl.state == PG_TASK_WORKING)
        report_words(t, "identified", "agent", v.agent);
}

void pg_task_path_news(struct pg_task *t, enum pg_path_news news, struct pg_bytes reason)
{
    if (news != PG_PATH_BARRED || t->in.ctl.state != PG_TASK_WORKING)
        return;
    report_words(t, "barred", "reason", reason);
    if (!t->config->wait_direct)
        return;
    report_path(t, false, 0, reason);
    t->why = PG_ERR_UNREACHABLE;
    snprintf(t->reason, sizeof t->reason, "no direct connection: %.*s", (int)reason.len, (const char *)reason.at);
    pg_post(&t->in, PG_TASK_ON_WORK_FAILED);
}
