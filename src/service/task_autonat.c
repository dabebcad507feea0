/* The command autonat: listens, dials one server from there, and asks it to dial back. Called by task.c and peer.c.
 * Source: libp2p/specs autonat/autonat-v1.md and autonat/autonat-v2.md. */
#include "service/task_autonat.h"

#include "service/task.h"
#include "trace/output.h"

#include <stdio.h>

static void finish(struct pg_task *t, enum pg_err why, const char *reason)
{
    t->why = why;
    if (reason)
        snprintf(t->reason, sizeof t->reason, "%s", reason);
    pg_post(&t->in, why == PG_OK ? PG_TASK_ON_WORK_DONE : PG_TASK_ON_WORK_FAILED);
}

static void show(struct pg_task *t, const struct pg_autonat_question *q, const struct pg_multiaddr *addr)
{
    char text[1024], addr_text[PG_MULTIADDR_TEXT], seen[PG_MULTIADDR_TEXT], peer[PG_PEER_ID_TEXT];
    const char *word = q->outcome == PG_AUTONAT_REACHED ? "public" : "private";
    struct pg_session_view v;
    struct pg_out out;
    uint64_t us = pg_node_scope(t->node)->now_us - q->began_us;
    pg_session_view(t->session, &v);
    pg_peer_id_text(pg_session_peer(t->session), peer);
    pg_multiaddr_text(addr, addr_text, sizeof addr_text);
    pg_multiaddr_text(&v.observed, seen, sizeof seen);
    if (!t->config->json) {
        snprintf(text, sizeof text, "%s  %s  asked %s, AutoNAT v%u, %llu.%03llu ms\n", word, addr_text, peer, q->version,
                 (unsigned long long)us / 1000, (unsigned long long)us % 1000);
        pg_node_report(t->node, pg_text(text));
        return;
    }
    pg_out_begin(&out, text, sizeof text, "autonat");
    pg_out_text(&out, "server", pg_text(peer));
    pg_out_u64(&out, "version", q->version);
    pg_out_text(&out, "reachability", pg_text(word));
    pg_out_text(&out, "addr", pg_text(addr_text));
    pg_out_text(&out, "observed_addr", pg_text(seen));
    pg_out_u64(&out, "us", us);
    pg_out_u64(&out, "dial_data_bytes", q->cost);
    pg_node_report(t->node, pg_out_end(&out));
}

static void told(struct pg_autonat_question *q)
{
    struct pg_task *t = q->context;
    uint32_t about = q->tested < q->n_addrs ? q->tested : 0; /* v1 does not say what it could not reach */
    char reason[sizeof t->reason];
    struct pg_endpoint at;
    if (q->outcome != PG_AUTONAT_UNTOLD) {
        show(t, q, &q->addrs[about]);
        finish(t, PG_OK, NULL);
        return;
    }
    bool private = q->why == PG_ERR_AUTONAT_REFUSED && pg_multiaddr_tcp(&q->addrs[0], &at, NULL) == PG_OK && !pg_endpoint_is_public(&at);
    snprintf(reason, sizeof reason, "%s%s", q->text,
             private ? "; only public addresses are tested, --external-address asks about another one" : "");
    finish(t, q->why ? q->why : PG_ERR_AUTONAT_REFUSED, reason);
}

void pg_task_autonat_start(struct pg_task *t)
{
    for (uint32_t i = 0; i < t->config->node.n_listens; i++)
        pg_node_listen(t->node, &t->config->node.listens[i]);
}

/* What is asked about: what the user names, else where the server sees us, which is where our listening port is mapped to. */
static bool choose(struct pg_task *t, struct pg_autonat_question *q)
{
    const struct pg_node_config *c = &t->config->node;
    struct pg_session_view v;
    for (uint32_t i = 0; i < c->n_externals && q->n_addrs < PG_AUTONAT_ADDRS; i++)
        q->addrs[q->n_addrs++] = c->externals[i];
    pg_session_view(t->session, &v);
    if (q->n_addrs == 0 && v.observed.len)
        q->addrs[q->n_addrs++] = v.observed;
    return q->n_addrs > 0;
}

void pg_task_autonat_identified(struct pg_task *t, struct pg_session *s)
{
    struct pg_autonat_question *q = &t->autonat;
    struct pg_session_view v;
    if (t->session != s || q->node)
        return;
    pg_session_view(s, &v);
    unsigned wanted = t->config->autonat_version, version = wanted ? wanted : v.autonat & PG_AUTONAT_V2 ? 2 : 1;
    if (!(v.autonat & (version == 2 ? PG_AUTONAT_V2 : PG_AUTONAT_V1))) {
        finish(t, PG_ERR_PROTOCOL_UNSUPPORTED, wanted ? "the peer does not serve this version of AutoNAT"
                                                      : "the peer does not serve AutoNAT; ask one that is reachable at a public address");
        return;
    }
    if (!choose(t, q)) {
        finish(t, PG_ERR_AUTONAT_REFUSED, "the server does not say where it sees us; name an address with --external-address");
        return;
    }
    q->told = told;
    q->context = t;
    if (!pg_autonat_question_begin(q, s, version))
        finish(t, q->why ? q->why : PG_ERR_NO_MEMORY, NULL);
}

void pg_task_autonat_free(struct pg_task *t)
{
    pg_autonat_question_end(&t->autonat);
}
