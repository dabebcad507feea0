/* A world for publish and resolve: no node, no network, and a time that is set. The functions of core/kad.h and core/node.h that they
 * call stand here. Part of names_test.c. */
#pragma once
#include "core/control.h"
#include "crypto_suite.h"
#include "logs.gen.h"
#include "service/publish.h"
#include "service/resolve.h"
#include "trace/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { QUERIES = 64, VISITS = 64, SESSIONS = 32, SECOND_US = 1000000 };

struct pg_kad_query {
    struct pg_kad_asker *asker;
    enum pg_kad_op op;
    uint64_t asked_us;
    uint8_t key[300], value[300];
    size_t key_len, value_len;
    bool open;
};
struct pg_visit {
    struct pg_visitor *visitor;
    struct pg_peer_id peer;
    bool open;
};
struct pg_session {
    struct pg_peer_id peer;
    uint64_t rtt_us;
    bool up;
};

/* The world. */
static struct world {
    struct pg_scope scope;
    struct pg_log log;
    struct pg_metrics metrics;
    struct pg_peer_id own;
    struct pg_kad_query queries[QUERIES];
    struct pg_visit visits[VISITS];
    struct pg_session sessions[SESSIONS];
    uint32_t n_queries, n_visits, n_forgotten, n_withdrawn, servers;
    uint64_t random;
    bool participates, full;
    char said[8192];
    uint32_t woken, looked;
    struct pg_control_plane *plane; /* of the test that has one */
} w;

#define NODE ((struct pg_node *)&w)

struct pg_scope *pg_node_scope(struct pg_node *n)
{
    (void)n;
    return &w.scope;
}

struct pg_log *pg_node_log(struct pg_node *n)
{
    (void)n;
    return &w.log;
}

struct pg_metrics *pg_node_metrics(struct pg_node *n)
{
    (void)n;
    return &w.metrics;
}

uint64_t pg_node_random(struct pg_node *n)
{
    (void)n;
    return w.random = w.random * 6364136223846793005u + 1442695040888963407u;
}

bool pg_node_participates(const struct pg_node *n)
{
    (void)n;
    return w.participates;
}

const struct pg_peer_id *pg_node_own(const struct pg_node *n)
{
    (void)n;
    return &w.own;
}

struct pg_session *pg_node_session(struct pg_node *n, const struct pg_peer_id *peer)
{
    (void)n;
    for (unsigned i = 0; i < SESSIONS; i++)
        if (w.sessions[i].up && pg_peer_id_equal(&w.sessions[i].peer, peer))
            return &w.sessions[i];
    return NULL;
}

const struct pg_peer_id *pg_session_peer(const struct pg_session *s)
{
    return &s->peer;
}

void pg_session_view(const struct pg_session *s, struct pg_session_view *v)
{
    *v = (struct pg_session_view){.rtt_us = s->rtt_us};
}

uint32_t pg_kad_known(const struct pg_node *n)
{
    (void)n;
    return w.servers;
}

struct pg_kad_query *pg_kad_ask(struct pg_node *n, struct pg_kad_asker *asker, const struct pg_kad_question *question)
{
    struct pg_kad_query *q = &w.queries[w.n_queries++ % QUERIES];
    (void)n;
    if (w.full)
        return NULL;
    *q = (struct pg_kad_query){.asker = asker, .op = question->op, .open = true, .asked_us = w.scope.now_us,
                               .key_len = question->key.len, .value_len = question->value.len};
    memcpy(q->key, question->key.at, question->key.len);
    if (question->value.len)
        memcpy(q->value, question->value.at, question->value.len);
    return q;
}

void pg_kad_forget(struct pg_kad_query *q)
{
    CU_ASSERT_TRUE(q->open);
    q->open = false;
    w.n_forgotten++;
}

void pg_kad_withdraw(struct pg_node *n, struct pg_bytes key)
{
    (void)n;
    CU_ASSERT_TRUE(pg_bytes_equal(key, PG_LIT("/punchgate/svc/echo")));
    w.n_withdrawn++;
}

struct pg_visit *pg_node_visit(struct pg_node *n, struct pg_visitor *visitor, const struct pg_kad_contact *peer)
{
    struct pg_visit *v = &w.visits[w.n_visits++ % VISITS];
    (void)n;
    CU_ASSERT_FALSE_FATAL(v->open);
    *v = (struct pg_visit){visitor, peer->id, true};
    return v;
}

void pg_visit_end(struct pg_visit *v)
{
    CU_ASSERT_TRUE(v->open);
    v->open = false;
}

static void hear(void *context, unsigned id, struct pg_bytes line)
{
    size_t used = strlen(w.said);
    (void)context, (void)id;
    snprintf(w.said + used, sizeof w.said - used, "%.*s\n", (int)line.len, (const char *)line.at);
}

static struct pg_instance *next_hearer(struct pg_scope *scope, unsigned machine, const struct pg_instance *from, struct pg_instance *after)
{
    (void)scope, (void)from;
    return w.plane ? pg_control_plane_hearer(w.plane, machine, after) : NULL;
}

/* Peer number n of this world; its first byte decides the order. */
static struct pg_peer_id peer_of(unsigned n)
{
    struct pg_peer_id id = {.len = 38};
    memset(id.at, (int)n, id.len);
    return id;
}

static void begin(void)
{
    pg_scope_free(&w.scope);
    w = (struct world){.random = 1, .own = peer_of(200), .servers = 5};
    CU_ASSERT_TRUE_FATAL(pg_scope_init(&w.scope, 64, 64));
    w.scope.next = next_hearer;
    w.scope.now_us = 3600ull * SECOND_US;
    w.log.sink = hear;
}

static void pass(uint64_t us)
{
    uint64_t end = w.scope.now_us + us;
    for (uint64_t next; (next = pg_timers_next(&w.scope)) <= end;) {
        w.scope.now_us = next > w.scope.now_us ? next : w.scope.now_us;
        pg_timers_run(&w.scope);
    }
    w.scope.now_us = end;
}

static struct pg_kad_query *last(void)
{
    return &w.queries[(w.n_queries - 1) % QUERIES];
}

static void answer(struct pg_kad_query *q, enum pg_err why, uint32_t n_peers)
{
    CU_ASSERT_TRUE_FATAL(q->open);
    q->open = false;
    q->asker->done(q->asker, &(struct pg_kad_result){.why = why, .n_peers = n_peers});
}

static bool open_visit(unsigned peer)
{
    struct pg_peer_id id = peer_of(peer);
    for (unsigned i = 0; i < VISITS; i++)
        if (w.visits[i].open && pg_peer_id_equal(&w.visits[i].peer, &id))
            return true;
    return false;
}

static struct pg_visit *visit_of(unsigned peer)
{
    struct pg_peer_id id = peer_of(peer);
    for (unsigned i = 0; i < VISITS; i++)
        if (w.visits[i].open && pg_peer_id_equal(&w.visits[i].peer, &id))
            return &w.visits[i];
    CU_FAIL_FATAL("nobody visits that peer");
    return NULL;
}

static uint32_t visits_open(void)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < VISITS; i++)
        count += w.visits[i].open;
    return count;
}

static struct pg_session *connect(unsigned peer, uint64_t rtt_us)
{
    for (unsigned i = 0; i < SESSIONS; i++)
        if (!w.sessions[i].up) {
            w.sessions[i] = (struct pg_session){peer_of(peer), rtt_us, true};
            return &w.sessions[i];
        }
    return NULL;
}

static void visit_up(unsigned peer)
{
    struct pg_visit *v = visit_of(peer);
    struct pg_session *s = pg_node_session(NODE, &v->peer);
    v->visitor->up(v->visitor, s ? s : connect(peer, 1000));
}

static void visit_fails(unsigned peer)
{
    struct pg_visit *v = visit_of(peer);
    v->visitor->failed(v->visitor, PG_ERR_REFUSED, PG_LIT("nobody listens there"));
}

static uint32_t said(const char *text)
{
    uint32_t count = 0;
    for (const char *at = w.said; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}
