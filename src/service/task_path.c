/* The command path: which way leads to a peer, and how long it took to find it. Called by task.c.
 * Source: libp2p/specs relay/DCUtR.md, "The Protocol". */
#include "service/task_path.h"

#include "service/output.h"
#include "service/task.h"

#include <stdio.h>

enum { LINE = 4096 };

static uint64_t now_us(const struct pg_task *t)
{
    return pg_node_scope(t->node)->now_us;
}

/* {"event":"…","ms":…,"peer":… or the same for people; what follows is the caller's. */
static bool begin_line(struct pg_task *t, struct pg_out *out, const char *event)
{
    char *room = pg_node_scratch(t->node, LINE);
    if (!room)
        return false;
    pg_out_begin(out, room, LINE, event);
    pg_out_u64(out, "ms", (now_us(t) - t->begun_us) / 1000);
    pg_out_peer(out, "peer", pg_contact_peer(t->contact));
    return true;
}

static void print(struct pg_task *t, const char *event, struct pg_bytes words)
{
    char text[LINE];
    int n = snprintf(text, sizeof text, "%-11s %6llu ms  %.*s\n", event, (unsigned long long)(now_us(t) - t->begun_us) / 1000, (int)words.len,
                     (const char *)words.at);
    pg_node_report(t->node, pg_bytes(text, n < 0 ? 0 : n < LINE ? (size_t)n : LINE - 1));
}

static void report_way(struct pg_task *t, const char *event, const struct pg_session *s)
{
    struct pg_multiaddr at;
    char addr[PG_MULTIADDR_TEXT];
    struct pg_out out;
    pg_session_remote(s, &at);
    struct pg_bytes where = pg_bytes(addr, pg_multiaddr_text(&at, addr, sizeof addr));
    if (t->config->json) {
        if (!begin_line(t, &out, event))
            return;
        pg_out_text(&out, "addr", where);
        if (pg_session_is_relayed(s)) {
            pg_out_u64(&out, "limit_bytes", pg_session_limit_bytes(s));
            pg_out_u64(&out, "limit_s", pg_session_limit_us(s) / 1000000);
        }
        pg_node_report(t->node, pg_out_end(&out));
        return;
    }
    print(t, event, where);
}

static void report_words(struct pg_task *t, const char *event, const char *key, struct pg_bytes words)
{
    struct pg_out out;
    if (!t->config->json) {
        print(t, event, words);
        return;
    }
    if (!begin_line(t, &out, event))
        return;
    pg_out_text(&out, key, words);
    pg_node_report(t->node, pg_out_end(&out));
}

/* Steps. */

static const char *const step_names[] = {[PG_STEP_DIAL] = "dial", [PG_STEP_DIAL_FAILED] = "dial_failed", [PG_STEP_CONNECT] = "connect",
                                         [PG_STEP_SYNC] = "sync", [PG_STEP_TRY] = "try", [PG_STEP_TRY_FAILED] = "try_failed"};

static void say_addrs(struct pg_line *line, const char *words, const struct pg_multiaddr *addrs, uint32_t n)
{
    char addr[PG_MULTIADDR_TEXT];
    pg_line_put(line, words);
    for (uint32_t i = 0; i < n; i++) {
        pg_line_put(line, i ? ", " : " ");
        pg_line_raw(line, pg_bytes(addr, pg_multiaddr_text(&addrs[i], addr, sizeof addr)));
    }
    if (n == 0)
        pg_line_put(line, " nowhere");
}

static void step_for_programs(struct pg_task *t, const struct pg_path_step *s)
{
    struct pg_out out;
    if (!begin_line(t, &out, step_names[s->kind]))
        return;
    if (s->attempt > 0)
        pg_out_u64(&out, "attempt", s->attempt);
    if (s->kind == PG_STEP_TRY)
        pg_out_text(&out, "role", pg_text(s->client ? "client" : "server"));
    if ((s->kind == PG_STEP_CONNECT || s->kind == PG_STEP_SYNC) && s->rtt_us > 0)
        pg_out_u64(&out, "rtt_us", s->rtt_us);
    if (s->kind == PG_STEP_CONNECT)
        pg_out_addrs(&out, "own", s->own, s->n_own);
    if (s->kind != PG_STEP_SYNC && s->kind != PG_STEP_TRY_FAILED)
        pg_out_addrs(&out, "addrs", s->addrs, s->n_addrs);
    if (s->reason.len)
        pg_out_text(&out, "reason", s->reason);
    pg_node_report(t->node, pg_out_end(&out));
}

static void step_for_people(struct pg_task *t, const struct pg_path_step *s)
{
    char text[LINE - 64];
    struct pg_line line;
    pg_line_init(&line, text, sizeof text);
    if (s->attempt > 0) {
        pg_line_put(&line, "try ");
        pg_line_u64(&line, s->attempt);
        pg_line_put(&line, ": ");
    }
    switch (s->kind) {
    case PG_STEP_DIAL:
    case PG_STEP_DIAL_FAILED: say_addrs(&line, "at", s->addrs, s->n_addrs); break;
    case PG_STEP_CONNECT:
        say_addrs(&line, "we are seen at", s->own, s->n_own);
        say_addrs(&line, ", the peer at", s->addrs, s->n_addrs);
        break;
    case PG_STEP_SYNC:
        pg_line_put(&line, "the word to dial, after a round trip of ");
        pg_line_duration(&line, s->rtt_us);
        break;
    case PG_STEP_TRY: say_addrs(&line, s->client ? "as client, to" : "as server, to", s->addrs, s->n_addrs); break;
    case PG_STEP_TRY_FAILED: break;
    }
    if (s->kind == PG_STEP_DIAL_FAILED)
        pg_line_put(&line, ": ");
    pg_line_raw(&line, s->reason);
    print(t, step_names[s->kind], pg_line_bytes(&line));
}

void pg_task_path_step(struct pg_task *t, const struct pg_path_step *step)
{
    if (t->in.ctl.state != PG_TASK_WORKING)
        return;
    if (step->kind == PG_STEP_TRY_FAILED)
        snprintf(t->reason, sizeof t->reason, "%.*s", (int)step->reason.len, (const char *)step->reason.at);
    (t->config->json ? step_for_programs : step_for_people)(t, step);
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
    if (t->config->wait_direct)
        pg_contact_start(t->contact, false, true); /* also when the relayed connection does not last as long as the wait */
    ping(t);
}

void pg_task_path_again(struct pg_task *t, struct pg_session *s)
{
    t->session = s;
    report_way(t, pg_session_is_relayed(s) ? "relayed" : "direct", s);
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
    snprintf(t->reason, sizeof t->reason, "%.*s", (int)reason.len, (const char *)reason.at);
    report_words(t, "barred", "reason", reason);
}

void pg_task_path_late(struct pg_task *t)
{
    if (t->up_us > 0)
        report_path(t, false, 0, pg_text(t->reason));
}
