/* Facts and actions of task, and the commands ping and pipe; identify, perf and dht are in files of their own.
 * Called by peer.c. Output formats: the commands' contract in spec/options.list and docs. */
#include "service/task.h"

#include "service/task_autonat.h"
#include "service/task_identify.h"
#include "service/task_path.h"
#include "service/task_perf.h"
#include "trace/output.h"

#include <stdio.h>

uint64_t pg_task_timeout_ms(const struct pg_task *t)
{
    return t->config->timeout_ms;
}

bool pg_task_is_settled(const struct pg_task *t)
{
    for (const struct pg_tunnel_consumer *c = t->tunnels->consumer_list; c; c = c->next)
        if (c->pipe.begun)
            return true;
    return false;
}

bool pg_task_is_unending(const struct pg_task *t)
{
    return t->config->task == PG_TASK_DHT && t->config->dht == PG_KAD_PROVIDE && t->config->node.n_listens > 0;
}

static void fail(struct pg_task *t, enum pg_err why, struct pg_bytes reason)
{
    t->why = why;
    snprintf(t->reason, sizeof t->reason, "%.*s", (int)reason.len, (const char *)reason.at);
}

void pg_task_do_contact_start(struct pg_task *t)
{
    struct pg_peer_id named;
    if (t->config->task == PG_TASK_DHT) {
        pg_task_dht_start(t);
        return;
    }
    if (t->config->task == PG_TASK_AUTONAT)
        pg_task_autonat_start(t);
    t->begun_us = pg_node_scope(t->node)->now_us;
    pg_multiaddr_peer(&t->config->address, &named);
    t->contact = pg_node_contact(t->node, &named);
    (void)pg_contact_add(t->contact, &t->config->address);
    pg_contact_start(t->contact, false, false);
}

/* ping */

static void report(struct pg_task *t, struct pg_bytes line)
{
    pg_node_report(t->node, line);
}

static void ping_told(struct pg_ping *p, bool ok, uint64_t rtt_us)
{
    struct pg_task *t = p->context;
    char text[160];
    t->sent++;
    t->received += ok;
    if (ok && t->config->json)
        snprintf(text, sizeof text, "{\"event\":\"ping\",\"seq\":%u,\"rtt_us\":%llu}\n", t->sent - 1, (unsigned long long)rtt_us);
    else if (ok)
        snprintf(text, sizeof text, "seq %u: %llu.%03llu ms\n", t->sent - 1, (unsigned long long)rtt_us / 1000,
                 (unsigned long long)rtt_us % 1000);
    else
        snprintf(text, sizeof text, t->config->json ? "{\"event\":\"ping\",\"seq\":%u,\"rtt_us\":null}\n" : "seq %u: lost\n",
                 t->sent - 1);
    report(t, pg_text(text));
    if (t->sent < t->config->count) {
        pg_post(&t->in, PG_TASK_ON_PROGRESS);
        return;
    }
    if (t->received < t->sent)
        fail(t, p->why ? p->why : PG_ERR_TIMEOUT, PG_LIT("not every ping was answered"));
    pg_post(&t->in, t->received == t->sent ? PG_TASK_ON_WORK_DONE : PG_TASK_ON_WORK_FAILED);
}

/* However it ends, the pings that were sent are summed up. */
static void sum_up(struct pg_task *t)
{
    char text[96];
    if (t->config->task != PG_TASK_PING || t->ping.sent == 0)
        return;
    snprintf(text, sizeof text, t->config->json ? "{\"event\":\"summary\",\"sent\":%u,\"received\":%u}\n" : "sent %u, received %u\n",
             t->ping.sent, t->received);
    report(t, pg_text(text));
}

/* pipe */

void pg_task_adopted(struct pg_task *t, struct pg_link *link)
{
    link->credit = 0;
    t->stdio = link;
}

static void begin_pipe(struct pg_task *t)
{
    struct pg_link *link = t->stdio;
    t->stdio = NULL;
    t->piping = true;
    pg_tunnel_consumer_piped(t->tunnels, pg_session_peer(t->session), t->config->service, link);
}

static enum pg_err outcome(const struct pg_tunnel_consumer *c)
{
    switch ((enum pg_tunnel_consumer_event)c->in.event) {
    case PG_TUNNEL_CONSUMER_ON_PIPE_DONE: return c->pipe.local_lost ? PG_ERR_IO : c->pipe.why;
    case PG_TUNNEL_CONSUMER_ON_ANSWER_REJECTED: return PG_ERR_TUNNEL_REJECTED;
    case PG_TUNNEL_CONSUMER_ON_ANSWER_BAD:
    case PG_TUNNEL_CONSUMER_ON_ANSWER_NONE: return PG_ERR_SERVICE_DOWN;
    case PG_TUNNEL_CONSUMER_ON_WAIT_FIRED:
    case PG_TUNNEL_CONSUMER_ON_RECALLED:
    case PG_TUNNEL_CONSUMER_ON_ANSWER_FIRED: return PG_ERR_TIMEOUT;
    case PG_TUNNEL_CONSUMER_ON_PATH_BARRED: return PG_ERR_UNREACHABLE;
    case PG_TUNNEL_CONSUMER_ON_START:
    case PG_TUNNEL_CONSUMER_ON_PEER_UP:
    case PG_TUNNEL_CONSUMER_ON_ANSWER_ACCEPTED:
    case PG_TUNNEL_CONSUMER_ON_STREAM_FAILED:
    case PG_TUNNEL_CONSUMER_ON_CLIENT_LOST:
    case PG_TUNNEL_CONSUMER_ON_PAUSE_FIRED:
    case PG_TUNNEL_CONSUMER_ON_STOP: break;
    }
    return PG_ERR_CLOSED;
}

void pg_task_tunnel_ended(struct pg_task *t, const struct pg_tunnel_consumer *c)
{
    enum pg_err why = outcome(c);
    if (why != PG_OK) {
        const char *reason = c->pipe.begun ? c->pipe.reason : c->reason;
        fail(t, why, pg_text(reason[0] ? reason : pg_err_text(why)));
    }
    pg_post(&t->in, why == PG_OK ? PG_TASK_ON_WORK_DONE : PG_TASK_ON_WORK_FAILED);
}

/* All */

void pg_task_do_work_begin(struct pg_task *t)
{
    switch (t->config->task) {
    case PG_TASK_PING:
        t->ping.told = ping_told;
        t->ping.context = t;
        pg_ping_start(&t->ping, t->session, 1000, t->config->count);
        return;
    case PG_TASK_IDENTIFY: pg_task_identify_begin(t); return;
    case PG_TASK_PERF: pg_task_perf_begin(t); return;
    case PG_TASK_PIPE: begin_pipe(t); return;
    case PG_TASK_DHT: pg_task_dht_begin(t); return;
    case PG_TASK_AUTONAT: return; /* goes on when the server is identified */
    case PG_TASK_PATH: pg_task_path_begin(t); return;
    case PG_TASK_NONE: return;
    }
}

void pg_task_do_success_tell(struct pg_task *t)
{
    sum_up(t);
    pg_node_stop(t->node, 0);
}

void pg_task_do_failure_tell(struct pg_task *t)
{
    if (t->why == PG_OK)
        fail(t, PG_ERR_CLOSED, pg_text(pg_err_text(PG_ERR_CLOSED)));
    sum_up(t);
    pg_node_stop(t->node, pg_err_exit(t->why));
}

void pg_task_do_lateness_tell(struct pg_task *t)
{
    char text[256];
    unsigned long long ms = t->config->timeout_ms;
    struct pg_bytes told = t->contact && !t->session ? pg_contact_reason(t->contact) : PG_NONE;
    if (t->config->task == PG_TASK_PATH && t->config->wait_direct && t->up_us > 0) {
        pg_task_path_late(t);
        snprintf(text, sizeof text, "no direct connection within %llu ms (--timeout): %.160s", ms, t->reason[0] ? t->reason : "none came about");
    } else {
        snprintf(text, sizeof text, "no answer within %llu ms (--timeout)%s%.*s", ms, told.len ? ": " : "", (int)told.len, (const char *)told.at);
    }
    fail(t, PG_ERR_TIMEOUT, pg_text(text));
    sum_up(t);
    pg_node_stop(t->node, pg_err_exit(PG_ERR_TIMEOUT));
}

void pg_task_init(struct pg_task *t, struct pg_node *node, struct pg_tunnels *tunnels, const struct pg_peer_config *config)
{
    *t = (struct pg_task){.node = node, .tunnels = tunnels, .config = config};
    pg_queue_init(&t->text, pg_node_transport(node)->chunks);
    pg_instance_init(&t->in, &pg_task_machine, &pg_task_binding, t, pg_node_scope(node), t->timers, NULL, 0);
}

void pg_task_start(struct pg_task *t)
{
    pg_step(&t->in, PG_TASK_ON_START);
}

static bool is_on_its_way(const struct pg_task *t)
{
    return t->config->task == PG_TASK_PATH && t->in.ctl.state == PG_TASK_WORKING;
}

void pg_task_peer_up(struct pg_task *t, struct pg_session *s)
{
    if (t->session && t->session != s) {
        if (t->config->task == PG_TASK_PATH && pg_peer_id_equal(pg_session_peer(t->session), pg_session_peer(s)))
            pg_task_path_up(t, s);
        return;
    }
    if (t->contact && !pg_peer_id_equal(pg_contact_peer(t->contact), pg_session_peer(s)))
        return; /* the relay on the way to it */
    if (is_on_its_way(t)) {
        pg_task_path_again(t, s);
        return;
    }
    t->session = s;
    pg_step(&t->in, PG_TASK_ON_PEER_UP);
}

void pg_task_identified(struct pg_task *t, struct pg_session *s)
{
    if (t->config->task == PG_TASK_AUTONAT && t->in.ctl.state == PG_TASK_WORKING)
        pg_task_autonat_identified(t, s);
    if (t->config->task == PG_TASK_PATH)
        pg_task_path_identified(t, s);
}

void pg_task_peer_lost(struct pg_task *t, struct pg_session *s)
{
    if (t->session != s || t->config->task == PG_TASK_DHT)
        return; /* the DHT has other peers, and knows best */
    pg_ping_end(&t->ping);
    pg_perf_end(&t->perf);
    t->session = NULL;
    if (t->config->task == PG_TASK_PATH && pg_node_session(t->node, pg_session_peer(s))) {
        t->session = pg_node_session(t->node, pg_session_peer(s)); /* the way over the relay, when the direct one did not last */
        return;
    }
    if (is_on_its_way(t) && t->config->wait_direct)
        return; /* it is dialled again */
    if (pg_session_is_relayed(s) && t->why == PG_OK) { /* the relay's doing, as a rule */
        struct pg_bytes reason;
        enum pg_err why = pg_session_loss(s, &reason);
        fail(t, why, reason);
    }
    if (!t->piping)
        pg_step(&t->in, PG_TASK_ON_PEER_LOST); /* a pipe ends by its tunnel, which knows more */
}

void pg_task_contact_failed(struct pg_task *t, struct pg_contact *c, enum pg_err why, struct pg_bytes reason)
{
    bool dht = t->config->task == PG_TASK_DHT;
    if (dht ? !pg_task_dht_contact_failed(t, c) || t->in.ctl.state != PG_TASK_REACHING : c != t->contact)
        return;
    fail(t, why, reason);
    if (dht)
        pg_task_dht_unreachable(t);
    pg_step(&t->in, PG_TASK_ON_CONTACT_FAILED);
}

void pg_task_unserved(struct pg_task *t, struct pg_session *s)
{
    if (t->config->task == PG_TASK_DHT)
        pg_task_dht_unserved(t, pg_session_peer(s));
}

void pg_task_path_told(struct pg_task *t, const struct pg_peer_id *peer, enum pg_path_news news, struct pg_bytes reason)
{
    if (t->config->task == PG_TASK_PATH && t->contact && pg_peer_id_equal(pg_contact_peer(t->contact), peer))
        pg_task_path_news(t, news, reason);
}

void pg_task_path_stepped(struct pg_task *t, const struct pg_peer_id *peer, const struct pg_path_step *step)
{
    if (t->config->task == PG_TASK_PATH && t->contact && pg_peer_id_equal(pg_contact_peer(t->contact), peer))
        pg_task_path_step(t, step);
}

void pg_task_stop(struct pg_task *t)
{
    pg_step(&t->in, PG_TASK_ON_STOP);
}

void pg_task_free(struct pg_task *t)
{
    pg_ping_end(&t->ping);
    pg_perf_end(&t->perf);
    pg_task_dht_free(t);
    pg_task_autonat_free(t);
    pg_queue_clear(&t->text);
}
