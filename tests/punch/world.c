/* See world.h. */
#include "world.h"

#include "core/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

const char *const kind_names[KINDS + 1] = {"full-cone", "address-restricted", "port-restricted", "symmetric", "public"};

bool world_talks;

static const struct pg_sim_nat routers[KINDS] = {
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_NOTHING, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_ADDRESS, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_PORT, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_PORT, .filters = PG_SIM_BY_PORT, .idle_us = 300 * SECONDS},
};

/* An echo holds what its client does not take yet. */
struct echo {
    struct echo *next; /* of all: freed with the world */
    uint8_t held[16384];
    size_t n;
    bool ended;
};

static void fail(const char *why)
{
    fprintf(stderr, "punch: %s\n", why);
    exit(1);
}

void world_open(struct world *w, uint64_t seed, unsigned n_relays, unsigned n, const enum kind *kinds)
{
    *w = (struct world){.sim = pg_sim_new(seed), .members = calloc(n, sizeof *w->members), .n = n, .n_relays = n_relays, .seed = seed};
    if (!w->sim || !w->members)
        fail("no memory for a world");
    if (n > PG_SIM_HOSTS)
        pg_sim_widen(w->sim, n);
    pg_sim_wan(w->sim);
    pg_sim_rules(w->sim)->buffer = 65536;
    for (unsigned i = 0; i < n; i++) {
        w->members[i] = (struct member){.world = w, .host = i, .kind = i < n_relays ? PUBLIC : kinds[i - n_relays]};
        if (w->members[i].kind != PUBLIC)
            pg_sim_router(w->sim, i, &routers[w->members[i].kind]);
    }
}

void world_close(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        if (w->members[i].peer)
            member_kill(w, i, PG_SIM_KILLED);
        pg_identity_free(w->members[i].identity);
    }
    pg_sim_free(w->sim);
    while (w->echoes) {
        struct echo *e = w->echoes;
        w->echoes = e->next;
        free(e);
    }
    free(w->members);
}

void world_run(struct world *w, uint64_t us)
{
    if (!pg_sim_run(w->sim, pg_sim_now(w->sim) + us))
        fail("something spins");
}

/* Peers. */

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    const struct member *m = context;
    (void)id;
    fprintf(stderr, "%12.6f %u %.*s\n", (double)pg_sim_now(m->world->sim) / 1e6, m->host, (int)text.len, (const char *)text.at);
}

static struct pg_identity *identity_of(const struct world *w, unsigned host)
{
    uint8_t key[32] = {7};
    memcpy(&key[1], &w->seed, sizeof w->seed);
    memcpy(&key[9], &host, sizeof host);
    return pg_identity_from_seed(key);
}

static void address_of(struct world *w, unsigned host, struct pg_multiaddr *out, bool named)
{
    struct pg_endpoint at = pg_sim_inside(w->sim, host, PORT);
    pg_multiaddr_from_tcp(out, &at);
    if (named)
        (void)pg_multiaddr_append_p2p(out, pg_identity_peer_id(w->members[host].identity));
}

static void configure_services(struct world *w, struct member *m, struct pg_peer_config *c, bool exposes, int uses)
{
    snprintf(m->name, sizeof m->name, "echo-%u", exposes ? m->host : (unsigned)uses);
    if (exposes) {
        m->exposed = (struct pg_peer_expose){.name = pg_text(m->name), .host = PG_LIT("127.0.0.1"), .port = SERVICE_PORT};
        c->exposed = &m->exposed;
        c->n_exposed = 1;
    } else if (uses >= 0) {
        if (!w->members[uses].identity)
            w->members[uses].identity = identity_of(w, (unsigned)uses);
        m->forward = (struct pg_peer_forward){.peer = *pg_identity_peer_id(w->members[uses].identity), .service = pg_text(m->name),
                                              .host = PG_LIT("127.0.0.1"), .port = CLIENT_PORT};
        c->forwards = &m->forward;
        c->n_forwards = 1;
    }
}

void member_start(struct world *w, unsigned host, bool exposes, int uses)
{
    struct member *m = &w->members[host];
    struct pg_peer_config c = {.tunnel_wait_ms = 20000};
    if (!m->identity)
        m->identity = identity_of(w, host);
    pg_node_config_default(&c.node);
    c.node.identity = m->identity;
    m->log = (struct pg_log){.sink = world_talks ? log_line : NULL, .context = m};
    c.node.log = &m->log;
    c.node.limits.value[PG_LIMIT_MEMORY] = (uint64_t)16 << 20;
    c.node.limits.value[PG_LIMIT_STREAMS] = 2048;
    c.node.seed = pg_sim_random(w->sim);
    c.node.hash_seed = pg_sim_random(w->sim);
    c.node.unix_offset_us = 1760000000 * SECONDS + pg_sim_now(w->sim);
    c.node.nat_status = m->kind == PUBLIC ? 1 : -1;
    address_of(w, host, &c.node.listens[c.node.n_listens++], false);
    for (unsigned r = 0; r < w->n_relays; r++)
        if (r != host && w->members[r].identity && c.node.n_bootstraps < PG_MAX_BOOTSTRAPS)
            address_of(w, r, &c.node.bootstraps[c.node.n_bootstraps++], true);
    configure_services(w, m, &c, exposes, uses);
    m->peer = pg_peer_new(&c);
    if (!m->peer)
        fail("no memory for a peer");
    m->core = pg_peer_core(m->peer);
    m->process = pg_sim_join(w->sim, host, &m->core, (struct pg_sim_hooks){0});
    pg_sim_clock(m->process, 1000 * SECONDS);
    pg_sim_start(m->process);
}

void member_kill(struct world *w, unsigned host, enum pg_sim_death how)
{
    struct member *m = &w->members[host];
    pg_sim_kill(m->process, how);
    pg_peer_free(m->peer);
    m->peer = NULL;
}

bool member_connected(const struct member *m, const struct member *to, bool relayed)
{
    if (!m->peer)
        return false;
    for (struct pg_session *s = pg_node_sessions(pg_peer_node(m->peer)); s; s = pg_session_next(s))
        if (pg_session_is_up(s) && pg_session_is_relayed(s) == relayed && pg_peer_id_equal(pg_session_peer(s), pg_identity_peer_id(to->identity)))
            return true;
    return false;
}

unsigned member_reservations(const struct member *m)
{
    unsigned n = 0;
    for (unsigned r = 0; r < m->world->n_relays && m->peer; r++)
        n += m->world->members[r].peer && pg_reservation_held(pg_peer_node(m->peer), pg_identity_peer_id(m->world->members[r].identity));
    return n;
}

/* Clients and services. */

static uint8_t pattern(uint32_t salt, size_t at)
{
    uint32_t x = (uint32_t)at * 2654435761u + salt * 40503u;
    return (uint8_t)(x >> 13 ^ x >> 21);
}

static void client_push(struct client *c)
{
    uint8_t bytes[4096];
    while (c->sent < c->size) {
        size_t n = c->size - c->sent < sizeof bytes ? c->size - c->sent : sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(c->salt, c->sent + i);
        size_t took = pg_sim_send(c->socket, bytes, n);
        c->sent += took;
        if (took < n)
            return;
    }
    pg_sim_finish(c->socket);
}

static void client_pull(struct client *c)
{
    uint8_t bytes[4096];
    for (size_t n; (n = pg_sim_receive(c->socket, bytes, sizeof bytes)) > 0; c->got += n)
        for (size_t i = 0; i < n; i++)
            c->wrong |= c->got + i >= c->sent || bytes[i] != pattern(c->salt, c->got + i);
}

static void client_news(void *context, struct pg_sim_socket *k, enum pg_sim_news what)
{
    struct client *c = context;
    if (what == PG_SIM_CONNECTED || what == PG_SIM_WRITABLE)
        client_push(c);
    if (what == PG_SIM_READABLE || what == PG_SIM_LOST)
        client_pull(c);
    if (what != PG_SIM_LOST && !pg_sim_ended(k))
        return;
    c->over = true;
    c->over_us = pg_sim_now(c->at->world->sim);
    c->wrong |= what != PG_SIM_LOST && c->got != c->size; /* an orderly end before everything has come */
    pg_sim_close(k);
}

void client_begin(struct client *c, struct member *m, size_t size)
{
    static const struct pg_sim_user user = {.news = client_news};
    struct pg_sim *s = m->world->sim;
    *c = (struct client){.at = m, .size = size, .salt = (uint32_t)pg_sim_random(s), .begun_us = pg_sim_now(s)};
    c->socket = pg_sim_dial(s, m->host, pg_sim_loopback(CLIENT_PORT), &user, c);
}

bool client_complete(const struct client *c)
{
    return c->over && !c->wrong && c->got == c->size;
}

static void echo_news(void *context, struct pg_sim_socket *k, enum pg_sim_news what)
{
    struct echo *e = context;
    if (what == PG_SIM_LOST) {
        pg_sim_close(k);
        return;
    }
    for (bool moved = true; moved;) {
        size_t in = pg_sim_receive(k, e->held + e->n, sizeof e->held - e->n);
        e->n += in;
        size_t out = e->n ? pg_sim_send(k, e->held, e->n) : 0;
        memmove(e->held, e->held + out, e->n - out);
        e->n -= out;
        moved = in > 0 || out > 0;
    }
    if (pg_sim_ended(k) && e->n == 0 && !e->ended) {
        e->ended = true;
        pg_sim_finish(k);
    }
}

static void echo_accepted(void *context, struct pg_sim_socket *fresh)
{
    static const struct pg_sim_user user = {.news = echo_news};
    struct world *w = context;
    struct echo *e = calloc(1, sizeof *e);
    if (!e)
        fail("no memory for a service");
    e->next = w->echoes;
    w->echoes = e;
    pg_sim_use(fresh, &user, e);
}

void service_open(struct world *w, unsigned host)
{
    static const struct pg_sim_user user = {.accepted = echo_accepted};
    (void)pg_sim_listen(w->sim, host, pg_sim_loopback(SERVICE_PORT), &user, w);
}
