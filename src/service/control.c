/* The control socket's answers. Called by peer.c and through links; see control.h.
 * The line that comes is `status json` or `status text`. */
#include "service/control.h"

#include "core/kad.h"
#include "core/mdns.h"
#include "core/relaying.h"
#include "metrics.gen.h"
#include "service/control_reach.h"
#include "service/control_relays.h"
#include "service/output.h"

#include <stdarg.h>
#include <stdio.h>

/* Peers choose how many they are and what they are called, so connections get half of an answer; all else is bounded by us. */
enum { ANSWER_MAX = 512 * 1024, CONNECTIONS_MAX = ANSWER_MAX / 2 };

static void answer(struct pg_control_client *c, struct pg_bytes text)
{
    if (pg_queue_put(&c->link->tx, text))
        pg_node_command(c->control->node, &(struct pg_command){.kind = PG_COMMAND_WRITE, .link = c->link});
    pg_node_close(c->control->node, &c->link);
}

/* What a connection over a relay may still carry; a limit that the relay has not told is left out. */
static void put_circuit(struct pg_out *out, const struct pg_session_view *v)
{
    pg_out_peer(out, "relay", v->relay);
    if (v->limit_bytes) {
        pg_out_u64(out, "limit_bytes", v->limit_bytes);
        pg_out_u64(out, "limit_bytes_left", v->left_bytes);
    }
    if (v->limit_us) {
        pg_out_u64(out, "limit_s", v->limit_us / 1000000);
        pg_out_u64(out, "limit_s_left", v->left_us / 1000000);
    }
}

/* Of a connection over a relay: what is done to have a direct one, and why there is none. */
static void put_path(struct pg_out *out, struct pg_node *n, const struct pg_session *s)
{
    struct pg_path_view way;
    if (!pg_path_view(n, pg_session_peer(s), &way))
        return;
    pg_out_text(out, "direct", pg_text(way.direct));
    if (way.reason.len)
        pg_out_text(out, "not_direct_because", way.reason);
}

static void put_connections(struct pg_out *out, struct pg_node *n)
{
    uint64_t left_out = 0;
    pg_out_array(out, "connections");
    for (struct pg_session *s = pg_node_sessions(n); s; s = pg_session_next(s)) {
        struct pg_session_view v;
        if (!pg_session_is_up(s))
            continue;
        if (out->line.len > CONNECTIONS_MAX) {
            left_out++;
            continue;
        }
        pg_session_view(s, &v);
        pg_out_object(out, NULL);
        pg_out_u64(out, "id", v.id);
        pg_out_text(out, "peer", v.peer);
        pg_out_text(out, "agent", v.agent);
        pg_out_addr(out, "remote", &v.remote);
        if (v.relay) {
            put_circuit(out, &v);
            put_path(out, n, s);
        }
        pg_out_u64(out, "services", v.relays);
        pg_out_u64(out, "relayPort", v.relay_port);
        pg_out_text(out, "direction", v.dialer ? PG_LIT("outbound") : PG_LIT("inbound"));
        pg_out_u64(out, "age_s", v.age_us / 1000000);
        pg_out_u64(out, "rtt_us", v.rtt_us);
        pg_out_u64(out, "streams", v.streams);
        pg_out_u64(out, "bytes_in", v.bytes_in);
        pg_out_u64(out, "bytes_out", v.bytes_out);
        pg_out_close(out);
    }
    pg_out_close(out);
    pg_out_u64(out, "connections_left_out", left_out);
}

/* Of a tunnel whose peer is looked for: how far that is, and who could be used. */
static void put_search(struct pg_out *out, const struct pg_forward_view *f)
{
    const struct pg_peer_id *used = f->resolve && f->by_name ? pg_resolve_used(f->resolve) : NULL;
    if (used)
        pg_out_peer(out, "peer", used);
    else
        pg_out_text(out, "peer", f->peer);
    pg_out_bool(out, "by_name", f->by_name);
    pg_out_text(out, "waits_for", f->waits_for);
    pg_out_array(out, "candidates");
    for (uint32_t i = 0; f->by_name && i < f->resolve->n; i++)
        pg_out_peer(out, NULL, &f->resolve->candidates[i].peer.id);
    pg_out_close(out);
}

static void put_tunnels(struct pg_out *out, const struct pg_tunnels *t)
{
    struct pg_forward_view f;
    pg_out_array(out, "tunnels");
    for (uint32_t i = 0; pg_tunnels_view(t, i, &f); i++) {
        pg_out_object(out, NULL);
        pg_out_u64(out, "id", f.id);
        put_search(out, &f);
        pg_out_text(out, "service", f.service);
        pg_out_text(out, "bind", f.bind);
        pg_out_bool(out, "listening", f.listening);
        pg_out_u64(out, "clients", f.clients);
        pg_out_u64(out, "bytes_to_remote", f.to_remote);
        pg_out_u64(out, "bytes_from_remote", f.from_remote);
        pg_out_close(out);
    }
    pg_out_close(out);
    pg_out_array(out, "exposed");
    struct pg_exposed_view e;
    char target[PG_TARGET_TEXT];
    for (uint32_t i = 0; pg_exposed_view(t, i, &e); i++) {
        pg_out_object(out, NULL);
        pg_out_u64(out, "id", e.id);
        pg_out_text(out, "service", e.is->name);
        pg_target_text(e.is, target);
        pg_out_text(out, "target", pg_text(target));
        pg_out_array(out, "allow");
        for (uint32_t k = 0; k < e.is->n_allowed; k++)
            pg_out_peer(out, NULL, &e.is->allowed[k]);
        pg_out_close(out);
        pg_out_text(out, "published", e.published);
        pg_out_u64(out, "published_to", e.told);
        pg_out_u64(out, "clients", e.clients);
        pg_out_u64(out, "bytes_to_service", e.to_service);
        pg_out_u64(out, "bytes_from_service", e.from_service);
        pg_out_close(out);
    }
    pg_out_close(out);
}

static void put_dht(struct pg_out *out, struct pg_node *n)
{
    struct pg_kad_view v;
    pg_kad_view(n, &v);
    pg_out_object(out, "dht");
    pg_out_text(out, "mode", pg_text(v.mode));
    pg_out_u64(out, "servers", v.servers);
    pg_out_u64(out, "servers_waiting", v.waiting);
    pg_out_u64(out, "values", v.values);
    pg_out_u64(out, "providers", v.providers);
    pg_out_u64(out, "own_records", v.own);
    pg_out_u64(out, "queries", v.queries);
    pg_out_u64(out, "streams_served", v.streams);
    struct pg_kad_contact near[PG_KAD_K];
    uint32_t n_near = pg_kad_neighbourhood(n, near);
    pg_out_array(out, "nearest_servers");
    for (uint32_t i = 0; i < n_near; i++) {
        pg_out_object(out, NULL);
        pg_out_peer(out, "peer", &near[i].id);
        pg_out_addrs(out, "addrs", near[i].addrs, near[i].n_addrs);
        pg_out_bool(out, "connected", pg_node_session(n, &near[i].id) != NULL);
        pg_out_close(out);
    }
    pg_out_close(out);
    pg_out_close(out);
}

/* What we relay for others. */
static void put_relaying(struct pg_out *out, struct pg_node *n)
{
    struct pg_relaying_view v;
    pg_relaying_view(n, &v);
    pg_out_object(out, "relaying");
    pg_out_bool(out, "for_strangers", v.serves);
    pg_out_u64(out, "reservations", v.reservations);
    pg_out_u64(out, "most_reservations", pg_node_limit(n, PG_LIMIT_RELAY_RESERVATIONS));
    pg_out_u64(out, "circuits", v.circuits);
    pg_out_u64(out, "circuits_pending", v.pending);
    pg_out_u64(out, "most_circuits", pg_node_limit(n, PG_LIMIT_RELAY_CIRCUITS));
    pg_out_u64(out, "bytes", v.bytes);
    pg_out_u64(out, "held_bytes", v.held);
    pg_out_close(out);
}

static void put_neighbours(struct pg_out *out, const struct pg_node *n)
{
    struct pg_mdns_view v;
    pg_out_array(out, "neighbours");
    for (uint32_t i = 0; pg_mdns_view(n, i, &v); i++) {
        pg_out_object(out, NULL);
        pg_out_peer(out, "peer", &v.peer);
        pg_out_addrs(out, "addrs", v.addrs, v.n_addrs);
        pg_out_u64(out, "expires_s", v.left_us / 1000000);
        pg_out_bool(out, "connected", v.connected);
        pg_out_close(out);
    }
    pg_out_close(out);
}

static void answer_json(struct pg_control_client *c, char *room)
{
    struct pg_control_socket *k = c->control;
    struct pg_out out;
    struct pg_node_view v;
    pg_node_view(k->node, &v);
    pg_out_begin(&out, room, ANSWER_MAX, "status");
    pg_out_peer(&out, "peer", pg_identity_peer_id(k->identity));
    pg_out_text(&out, "agent", PG_LIT(PG_AGENT));
    pg_out_u64(&out, "uptime_s", (pg_node_scope(k->node)->now_us - k->started_us) / 1000000);
    pg_out_text(&out, "phase", pg_text(v.phase));
    pg_out_text(&out, "nat", pg_text(v.nat));
    pg_out_text(&out, "relay", pg_text(v.relay));
    pg_out_addrs(&out, "addresses", v.addrs, v.n_addrs);
    pg_control_put_reach(&out, k->node);
    put_dht(&out, k->node);
    put_relaying(&out, k->node);
    pg_control_put_policy(&out, k->node);
    pg_control_put_relays(&out, k->node);
    put_connections(&out, k->node);
    put_neighbours(&out, k->node);
    put_tunnels(&out, k->tunnels);
    pg_out_object(&out, "counters");
    for (unsigned i = 0; i < PG_METRICS; i++)
        pg_out_u64(&out, pg_metric_infos[i].name, pg_node_metrics(k->node)->value[i]);
    struct pg_bytes line = pg_out_end(&out);
    answer(c, line.len ? line : PG_LIT("{\"event\":\"error\",\"code\":\"no_memory\",\"reason\":\"the answer is too long\"}\n"));
}

static void put(struct pg_line *out, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0)
        pg_line_raw(out, pg_bytes(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

static void put_forwards(struct pg_line *out, struct pg_control_socket *k)
{
    struct pg_forward_view f;
    for (uint32_t i = 0; pg_tunnels_view(k->tunnels, i, &f); i++) {
        char id[PG_PEER_ID_TEXT];
        const struct pg_peer_id *used = f.by_name ? pg_resolve_used(f.resolve) : NULL;
        struct pg_bytes peer = used ? pg_bytes(id, pg_peer_id_text(used, id)) : f.by_name ? PG_LIT("nobody yet") : f.peer;
        put(out, "tunnel      %.*s to %.*s of %.*s, %u clients, %llu bytes out, %llu in", (int)f.bind.len, (const char *)f.bind.at,
            (int)f.service.len, (const char *)f.service.at, (int)peer.len, (const char *)peer.at, f.clients,
            (unsigned long long)f.to_remote, (unsigned long long)f.from_remote);
        if (f.by_name)
            put(out, ", %u could be used", f.resolve->n);
        if (f.waits_for.len)
            put(out, ", waits for %.*s", (int)f.waits_for.len, (const char *)f.waits_for.at);
        put(out, f.listening ? "\n" : ", NOT LISTENING\n");
    }
}

static void put_servers(struct pg_line *out, struct pg_node *n)
{
    struct pg_kad_contact near[PG_KAD_K];
    char peer[PG_PEER_ID_TEXT], text[PG_MULTIADDR_TEXT];
    uint32_t n_near = pg_kad_neighbourhood(n, near);
    for (uint32_t i = 0; i < n_near; i++) {
        pg_peer_id_text(&near[i].id, peer);
        text[near[i].n_addrs ? pg_multiaddr_text(&near[i].addrs[0], text, sizeof text) : 0] = 0;
        put(out, "server      %s at %s%s\n", peer, near[i].n_addrs ? text : "no known address",
            pg_node_session(n, &near[i].id) ? "" : ", not connected");
    }
}

static void put_people(struct pg_line *out, struct pg_control_socket *k)
{
    char text[PG_MULTIADDR_TEXT];
    unsigned left_out = 0;
    for (struct pg_session *s = pg_node_sessions(k->node); s; s = pg_session_next(s)) {
        struct pg_session_view w;
        if (!pg_session_is_up(s))
            continue;
        if (out->len > CONNECTIONS_MAX) {
            left_out++;
            continue;
        }
        pg_session_view(s, &w);
        pg_multiaddr_text(&w.remote, text, sizeof text);
        put(out, "connection  %.*s %s %s, %s%u streams, round trip %llu us, %llu bytes in, %llu out\n", (int)w.peer.len, (const char *)w.peer.at,
            w.dialer ? "to" : "from", text, w.relays ? "relays, " : "", w.streams, (unsigned long long)w.rtt_us,
            (unsigned long long)w.bytes_in, (unsigned long long)w.bytes_out);
        if (w.relay && w.limit_bytes)
            put(out, "            over a relay that lets %llu bytes more through\n", (unsigned long long)w.left_bytes);
        if (w.relay && w.limit_us)
            put(out, "            over a relay that ends it in %llu s\n", (unsigned long long)(w.left_us / 1000000));
        struct pg_path_view way;
        if (w.relay && pg_path_view(k->node, pg_session_peer(s), &way))
            put(out, "            direct way: %s%s%.*s\n", way.direct, way.reason.len ? ", " : "", (int)way.reason.len, (const char *)way.reason.at);
    }
    if (left_out > 0)
        put(out, "connections %u more\n", left_out);
    struct pg_mdns_view v;
    for (uint32_t i = 0; pg_mdns_view(k->node, i, &v); i++) {
        char peer[PG_PEER_ID_TEXT];
        pg_peer_id_text(&v.peer, peer);
        pg_multiaddr_text(&v.addrs[0], text, sizeof text);
        put(out, "neighbour   %s at %s, expires in %llu s%s\n", peer, text, (unsigned long long)(v.left_us / 1000000),
            v.connected ? "" : ", not connected");
    }
    put_forwards(out, k);
    struct pg_exposed_view e;
    char target[PG_TARGET_TEXT];
    for (uint32_t i = 0; pg_exposed_view(k->tunnels, i, &e); i++) {
        pg_target_text(e.is, target);
        put(out, "exposed     %.*s at %s, %u clients, %llu bytes in, %llu out", (int)e.is->name.len, (const char *)e.is->name.at,
            target, e.clients, (unsigned long long)e.to_service, (unsigned long long)e.from_service);
        put(out, ", announcement %.*s", (int)e.published.len, (const char *)e.published.at);
        if (e.is->n_allowed)
            put(out, ", for %u peers only", e.is->n_allowed);
        put(out, "\n");
    }
}

static void answer_text(struct pg_control_client *c, char *room)
{
    struct pg_control_socket *k = c->control;
    struct pg_node_view v;
    struct pg_line out;
    char text[PG_MULTIADDR_TEXT];
    pg_node_view(k->node, &v);
    pg_line_init(&out, room, ANSWER_MAX);
    pg_peer_id_text(pg_identity_peer_id(k->identity), text);
    put(&out, "peer        %s\nphase       %s\nnat         %s\nrelay       %s\n", text, v.phase, v.nat, v.relay);
    for (uint32_t i = 0; i < v.n_addrs; i++) {
        pg_multiaddr_text(&v.addrs[i], text, sizeof text);
        put(&out, "address     %s\n", text);
    }
    pg_control_put_reach_text(&out, k->node);
    struct pg_kad_view d;
    pg_kad_view(k->node, &d);
    put(&out, "dht         %s, %u servers known and %u waiting, %u values, %u providers, %u records of ours, %u look-ups, %u streams served\n",
        d.mode, d.servers, d.waiting, d.values, d.providers, d.own, d.queries, d.streams);
    put_servers(&out, k->node);
    pg_control_put_relays_text(&out, k->node);
    struct pg_relaying_view r;
    pg_relaying_view(k->node, &r);
    put(&out, "relaying    %s, %u reservations, %u circuits and %u being set up, %llu bytes carried, %llu held\n",
        pg_control_relays_whom(k->node), r.reservations, r.circuits, r.pending, (unsigned long long)r.bytes,
        (unsigned long long)r.held);
    put_people(&out, k);
    for (unsigned i = 0; i < PG_METRICS; i++)
        if (pg_node_metrics(k->node)->value[i])
            put(&out, "%-28s %llu\n", pg_metric_infos[i].name, (unsigned long long)pg_node_metrics(k->node)->value[i]);
    answer(c, pg_line_bytes(&out));
}

static void take_line(struct pg_control_client *c)
{
    struct pg_bytes line = pg_bytes(c->line, c->used);
    char *room = pg_node_scratch(c->control->node, ANSWER_MAX);
    if (!room)
        answer(c, PG_LIT("{\"event\":\"error\",\"code\":\"no_memory\",\"reason\":\"out of memory\"}\n"));
    else if (pg_bytes_equal(line, PG_LIT("status json")))
        answer_json(c, room);
    else if (pg_bytes_equal(line, PG_LIT("status text")))
        answer_text(c, room);
    else
        answer(c, PG_LIT("{\"event\":\"error\",\"code\":\"usage\",\"reason\":\"unknown request\"}\n"));
}

static void on_received(struct pg_link_owner *owner, uint8_t *data, size_t len)
{
    struct pg_control_client *c = (struct pg_control_client *)owner;
    for (size_t i = 0; i < len && c->link; i++) {
        if (data[i] == '\n') {
            take_line(c);
            return;
        }
        if (c->used == sizeof c->line) {
            pg_log_control_failed(pg_node_log(c->control->node), PG_LIT("request too long"));
            pg_node_reset(c->control->node, &c->link);
            return;
        }
        c->line[c->used++] = (char)data[i];
    }
}

static void on_ended(struct pg_link_owner *owner)
{
    struct pg_control_client *c = (struct pg_control_client *)owner;
    pg_node_close(c->control->node, &c->link);
}

static void on_written(struct pg_link_owner *owner)
{
    (void)owner;
}

static void on_lost(struct pg_link_owner *owner, enum pg_err why, struct pg_bytes reason)
{
    (void)why;
    (void)reason;
    ((struct pg_control_client *)owner)->link = NULL;
}

static const struct pg_link_user client_user = {
    .received = on_received, .ended = on_ended, .written = on_written, .lost = on_lost};

static void arrived(struct pg_listener *l, struct pg_link *link, const struct pg_endpoint *remote, const struct pg_endpoint *local)
{
    struct pg_control_socket *k = l->context;
    (void)remote;
    (void)local;
    for (unsigned i = 0; i < PG_CONTROL_CLIENTS; i++) {
        struct pg_control_client *c = &k->clients[i];
        if (c->link)
            continue;
        *c = (struct pg_control_client){.owner.user = &client_user, .link = link, .control = k};
        link->owner = &c->owner;
        link->credit = sizeof c->line;
        pg_node_command(k->node, &(struct pg_command){.kind = PG_COMMAND_READ, .link = link});
        return;
    }
    pg_log_control_failed(pg_node_log(k->node), PG_LIT("too many at once"));
    pg_node_reset(k->node, &link);
}

static void stands(struct pg_listener *l, const struct pg_endpoint *at)
{
    (void)at;
    pg_log_control_listening(pg_node_log(l->node), l->path);
}

static void failed(struct pg_listener *l, enum pg_err why, struct pg_bytes reason)
{
    struct pg_control_socket *k = l->context;
    char text[512];
    snprintf(text, sizeof text, "--control %.*s: %.*s%s; another place: --control PATH, none: --control off", (int)l->path.len,
             (const char *)l->path.at, (int)reason.len, (const char *)reason.at,
             why == PG_ERR_LOCAL_IN_USE ? ", perhaps by a peer with the same identity file" : "");
    /* A folder that cannot be written costs status, no more; a second peer on one identity helps nobody. */
    if (k->needed || why == PG_ERR_LOCAL_IN_USE)
        pg_node_fail(l->node, why == PG_ERR_LOCAL_IN_USE || why == PG_ERR_LOCAL_NO_PERMISSION ? why : PG_ERR_CONFIG_BAD, pg_text(text));
    else
        pg_log_control_failed(pg_node_log(l->node), pg_text(text));
}

static const struct pg_listener_user listener_user = {.address = stands, .failed = failed, .arrived = arrived};

void pg_control_start(struct pg_control_socket *k, struct pg_node *node, struct pg_tunnels *tunnels, const struct pg_identity *identity,
                      struct pg_bytes path, bool needed)
{
    *k = (struct pg_control_socket){.node = node, .tunnels = tunnels, .identity = identity, .needed = needed};
    k->started_us = pg_node_scope(node)->now_us;
    k->listener = (struct pg_listener){.kind = PG_LISTEN_CONTROL, .user = &listener_user, .context = k, .path = path};
    pg_listener_start(&k->listener, node, 999);
}

void pg_control_stop(struct pg_control_socket *k)
{
    pg_listener_stop(&k->listener);
}
