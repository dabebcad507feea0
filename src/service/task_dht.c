/* The commands of dht: one question to the DHT, and its answer. Called by task.c.
 * Source: libp2p/specs kad-dht/README.md, "DHT Operations"; output: spec/options.list and docs. */
#include "service/task_dht.h"

#include "core/kad_text.h"
#include "core/kad_validate.h"
#include "protocols.gen.h"
#include "service/output.h"
#include "service/task.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    OUT_MAX = 384 * 1024,                /* a value of 64 KiB, every byte of it escaped; or 64 peers with 8 addresses each */
    BEFORE_THE_END_MS = 250              /* so that what has been found by then can still be told */
};

static const char *const names[] = {[PG_KAD_CLOSEST] = "closest", [PG_KAD_FIND_PEER] = "find",  [PG_KAD_GET_VALUE] = "get",
                                    [PG_KAD_PUT_VALUE] = "put",   [PG_KAD_PROVIDE] = "provide", [PG_KAD_PROVIDERS] = "providers"};

static void failed(struct pg_task *t, enum pg_err why, const char *reason)
{
    t->why = why;
    snprintf(t->reason, sizeof t->reason, "%s", reason);
    pg_post(&t->in, PG_TASK_ON_WORK_FAILED);
}

/* Bootstrap peers. */

void pg_task_dht_start(struct pg_task *t)
{
    const struct pg_node_config *c = &t->config->node;
    t->dht.task = t;
    t->dht.started_us = pg_node_scope(t->node)->now_us;
    if (!c->quiet)
        return; /* the node itself stays connected with them */
    for (uint32_t i = 0; i < c->n_bootstraps; i++) {
        struct pg_peer_id named;
        pg_multiaddr_peer(&c->bootstraps[i], &named);
        struct pg_contact *contact = pg_node_contact(t->node, &named);
        if (contact && pg_contact_add(contact, &c->bootstraps[i]))
            pg_contact_start(contact, true, false);
    }
}

static void nobody_serves(struct pg_task *t)
{
    struct pg_bytes id = t->config->node.kad_protocol, other = PG_LIT(PG_PROTOCOL_KAD_PUBLIC);
    char text[160];
    if (pg_bytes_equal(id, other))
        snprintf(text, sizeof text, "%s: the bootstrap peers do not serve %s", pg_err_text(PG_ERR_NO_PEERS), PG_PROTOCOL_KAD_PUBLIC);
    else
        snprintf(text, sizeof text, "%s: the bootstrap peers serve neither %.*s nor %s", pg_err_text(PG_ERR_NO_PEERS), (int)id.len,
                 (const char *)id.at, PG_PROTOCOL_KAD_PUBLIC);
    failed(t, PG_ERR_NO_PEERS, text);
}

/* Of every bootstrap peer it is known that it is of no use: nobody is waited for any more. */
static void give_up(struct pg_task *t)
{
    struct pg_task_dht *d = &t->dht;
    if (!d->query || d->announced || d->n_strange == 0 || d->n_failed + d->n_strange < t->config->node.n_bootstraps ||
        pg_kad_known(t->node) > 0)
        return;
    pg_kad_forget(d->query);
    d->query = NULL;
    nobody_serves(t);
}

void pg_task_dht_unserved(struct pg_task *t, const struct pg_peer_id *peer)
{
    struct pg_task_dht *d = &t->dht;
    for (uint32_t i = 0; i < d->n_strange; i++)
        if (pg_peer_id_equal(&d->strange[i], peer))
            return;
    if (d->n_strange < PG_MAX_BOOTSTRAPS)
        d->strange[d->n_strange++] = *peer;
    give_up(t);
}

bool pg_task_dht_contact_failed(struct pg_task *t, const struct pg_contact *contact)
{
    struct pg_task_dht *d = &t->dht;
    for (uint32_t i = 0; i < d->n_failed; i++)
        if (d->failed[i] == contact)
            return false;
    if (d->n_failed < PG_MAX_BOOTSTRAPS)
        d->failed[d->n_failed++] = contact;
    give_up(t);
    return d->n_failed >= t->config->node.n_bootstraps;
}

void pg_task_dht_unreachable(struct pg_task *t)
{
    char last[sizeof t->reason];
    uint32_t n = t->config->node.n_bootstraps;
    snprintf(last, sizeof last, "%s", t->reason);
    if (n == 1)
        snprintf(t->reason, sizeof t->reason, "the bootstrap peer cannot be reached: %.200s", last);
    else
        snprintf(t->reason, sizeof t->reason, "none of %u bootstrap peers can be reached; the last: %.200s", n, last);
}

/* Answers. */

static void put_peers(struct pg_out *out, const char *key, const struct pg_kad_contact *peers, uint32_t n)
{
    pg_out_array(out, key);
    for (uint32_t i = 0; i < n; i++) {
        pg_out_object(out, NULL);
        pg_out_peer(out, "peer", &peers[i].id);
        pg_out_addrs(out, "addrs", peers[i].addrs, peers[i].n_addrs);
        pg_out_close(out);
    }
    pg_out_close(out);
}

/* Whom others find now: with addresses, if it listens. */
static void put_ourselves(struct pg_task *t, struct pg_out *out)
{
    struct pg_node_view view;
    pg_node_view(t->node, &view);
    pg_out_peer(out, "peer", pg_identity_peer_id(t->config->node.identity));
    pg_out_addrs(out, "addrs", view.addrs, view.n_addrs);
}

static void show_json(struct pg_task *t, const struct pg_kad_result *r, struct pg_bytes value, char *room)
{
    struct pg_out out;
    enum pg_kad_op op = t->config->dht;
    pg_out_begin(&out, room, OUT_MAX, "dht");
    pg_out_text(&out, "op", pg_text(names[op]));
    pg_out_bool(&out, "ok", true);
    switch (op) {
    case PG_KAD_GET_VALUE: pg_out_text(&out, "value", value); break;
    case PG_KAD_PROVIDERS: put_peers(&out, "providers", t->dht.found, t->dht.n_found); break;
    case PG_KAD_FIND_PEER: put_peers(&out, "peers", t->dht.found, t->dht.n_found); break;
    case PG_KAD_CLOSEST: put_peers(&out, "peers", r->closest, r->n_closest); break;
    case PG_KAD_PROVIDE:
        put_ourselves(t, &out);
        pg_out_u64(&out, "stored", r->n_peers);
        break;
    case PG_KAD_PUT_VALUE: pg_out_u64(&out, "stored", r->n_peers); break;
    }
    pg_out_u64(&out, "hops", r->hops);
    pg_out_u64(&out, "messages", r->messages);
    pg_node_report(t->node, pg_out_end(&out));
}

static void show_peers(struct pg_task *t, const struct pg_kad_contact *peers, uint32_t n, char *room)
{
    char id[PG_PEER_ID_TEXT], addr[PG_MULTIADDR_TEXT];
    struct pg_line line;
    pg_line_init(&line, room, OUT_MAX);
    for (uint32_t i = 0; i < n; i++) {
        pg_peer_id_text(&peers[i].id, id);
        pg_line_put(&line, id);
        for (uint32_t k = 0; k < peers[i].n_addrs; k++) {
            pg_multiaddr_text(&peers[i].addrs[k], addr, sizeof addr);
            pg_line_put(&line, " ");
            pg_line_put(&line, addr);
        }
        pg_line_put(&line, "\n");
    }
    pg_node_report(t->node, pg_line_bytes(&line));
}

static void show_text(struct pg_task *t, const struct pg_kad_result *r, struct pg_bytes value, char *room)
{
    switch (t->config->dht) {
    case PG_KAD_GET_VALUE:
        pg_node_report(t->node, value);
        pg_node_report(t->node, PG_LIT("\n"));
        return;
    case PG_KAD_PROVIDERS:
    case PG_KAD_FIND_PEER: show_peers(t, t->dht.found, t->dht.n_found, room); return;
    case PG_KAD_CLOSEST: show_peers(t, r->closest, r->n_closest, room); return;
    case PG_KAD_PUT_VALUE:
    case PG_KAD_PROVIDE:
        snprintf(room, OUT_MAX, "stored by %u %s\n", r->n_peers, r->n_peers == 1 ? "peer" : "peers");
        pg_node_report(t->node, pg_text(room));
        return;
    }
}

static void show(struct pg_task *t, const struct pg_kad_result *r)
{
    enum { TEXT_MAX = 2 * PG_KAD_VALUE_MAX + 3 };
    char *room = malloc(OUT_MAX + TEXT_MAX), *text = room + OUT_MAX;
    if (!room) {
        failed(t, PG_ERR_NO_MEMORY, pg_err_text(PG_ERR_NO_MEMORY));
        return;
    }
    struct pg_bytes value = pg_bytes(text, pg_kad_octets_text(r->value, text, TEXT_MAX));
    if (t->config->json)
        show_json(t, r, value, room);
    else
        show_text(t, r, value, room);
    free(room);
    pg_post(&t->in, PG_TASK_ON_WORK_DONE);
}

static void on_found(struct pg_kad_asker *asker, const struct pg_kad_contact *peer)
{
    struct pg_task_dht *d = (struct pg_task_dht *)asker;
    if (d->n_found < PG_TASK_DHT_FOUND)
        d->found[d->n_found++] = *peer;
}

static void on_done(struct pg_kad_asker *asker, const struct pg_kad_result *r)
{
    struct pg_task_dht *d = (struct pg_task_dht *)asker;
    struct pg_task *t = d->task;
    d->query = NULL;
    if (d->announced)
        return; /* a renewal; when it has failed, the next one is due in time */
    bool some = d->n_found > 0 || r->n_closest > 0;
    if (r->why == PG_OK || (r->why == PG_ERR_TIMEOUT && some)) {
        d->announced = t->config->dht == PG_KAD_PROVIDE;
        show(t, r);
    } else if (r->why == PG_ERR_NO_PEERS || (r->why == PG_ERR_TIMEOUT && pg_kad_known(t->node) == 0)) {
        nobody_serves(t);
    } else if (r->why == PG_ERR_UNREACHABLE) {
        failed(t, r->why, "none of the peers that were asked has answered");
    } else {
        failed(t, r->why, pg_err_text(r->why));
    }
}

void pg_task_dht_begin(struct pg_task *t)
{
    struct pg_task_dht *d = &t->dht;
    uint64_t spent_ms = (pg_node_scope(t->node)->now_us - d->started_us) / 1000, left_ms = t->config->timeout_ms;
    left_ms -= d->announced || spent_ms > left_ms ? 0 : spent_ms;
    struct pg_kad_question question = {.op = t->config->dht, .key = t->config->key, .value = t->config->value,
                                       .timeout_ms = left_ms > 2 * BEFORE_THE_END_MS ? left_ms - BEFORE_THE_END_MS : left_ms / 2 + 1};
    if (question.op == PG_KAD_PROVIDERS)
        question.enough = PG_TASK_DHT_FOUND;
    enum pg_err good = question.op == PG_KAD_PUT_VALUE ? pg_kad_validate(question.key, question.value) : PG_OK;
    if (d->query)
        return; /* a renewal that is not over yet */
    if (good != PG_OK) { /* nobody would take it, and most would not say why */
        failed(t, good, pg_err_text(good));
        return;
    }
    d->asker = (struct pg_kad_asker){.found = on_found, .done = on_done};
    d->query = pg_kad_ask(t->node, &d->asker, &question);
    if (!d->query)
        failed(t, PG_ERR_NO_MEMORY, pg_err_text(PG_ERR_NO_MEMORY));
}

struct pg_bytes pg_task_dht_failure(char *buffer, size_t size, const char *op, enum pg_err why, struct pg_bytes reason)
{
    struct pg_out out;
    pg_out_begin(&out, buffer, size, "dht");
    pg_out_text(&out, "op", pg_text(op));
    pg_out_bool(&out, "ok", false);
    pg_out_text(&out, "code", pg_text(pg_err_name(why)));
    pg_out_text(&out, "reason", reason);
    return pg_out_end(&out);
}

void pg_task_dht_free(struct pg_task *t)
{
    if (t->dht.query)
        pg_kad_forget(t->dht.query);
    t->dht.query = NULL;
}
