/* The peers of a scenario: configured from the seed, started, killed, started anew with the same identity.
 * Called by scenario.c and faults.c. */
#include "scene.h"

#include <stdarg.h>
#include <stdlib.h>

struct pg_core (*scene_wrap)(struct pg_core);

void scene_fail(struct scene *sc, const char *format, ...)
{
    va_list list;
    if (sc->failure[0])
        return;
    int n = snprintf(sc->failure, sizeof sc->failure, "at %.3f s, ", (double)pg_sim_now(sc->sim) / 1e6);
    va_start(list, format);
    vsnprintf(sc->failure + n, sizeof sc->failure - (size_t)n, format, list);
    va_end(list);
}

void scene_note(struct scene *sc, const char *format, ...)
{
    va_list list;
    size_t used = strlen(sc->story);
    if (used + 2 >= sizeof sc->story)
        return;
    va_start(list, format);
    vsnprintf(sc->story + used, sizeof sc->story - used, format, list);
    va_end(list);
}

static void address(struct pg_multiaddr *out, unsigned host)
{
    struct pg_endpoint at = pg_sim_endpoint(host, PEER_PORT);
    pg_multiaddr_from_tcp(out, &at);
}

static void log_line(void *context, unsigned id, struct pg_bytes text)
{
    const struct peer *p = context;
    if (pg_log_infos[id].level <= PG_LOG_LEVEL_DEBUG)
        dprintf(p->scene->tell_fd, "%14.6f peer %u %.*s\n", (double)pg_sim_now(p->scene->sim) / 1e6, p->number, (int)text.len, (const char *)text.at);
}

/* Enough for all that comes, or in one peer of ten too little of something. */
static void draw_limits(struct peer *p)
{
    static const struct { enum pg_limit which; uint64_t least, spread; } tight[] = {
        {PG_LIMIT_MEMORY, 2 << 20, 4 << 20}, {PG_LIMIT_STREAMS, 16, 20}, {PG_LIMIT_STREAMS_CONN, 8, 8}, {PG_LIMIT_STREAMS_PEER, 8, 8},
        {PG_LIMIT_STREAMS_OUTBOUND, 4, 6}, {PG_LIMIT_CONNS, 6, 4}, {PG_LIMIT_PENDING, 1, 2}, {PG_LIMIT_STREAM_RATE, 10, 5},
        {PG_LIMIT_DIALS, 1, 2}};
    struct pg_sim *s = p->scene->sim;
    uint64_t *value = p->config.node.limits.value;
    value[PG_LIMIT_MEMORY] = (uint64_t)32 << 20;
    value[PG_LIMIT_CONNS] = 64;
    value[PG_LIMIT_STREAMS] = 1024;
    p->tight = pg_sim_chance(s, 100);
    if (!p->tight)
        return;
    unsigned i = pg_sim_below(s, sizeof tight / sizeof *tight);
    value[tight[i].which] = tight[i].least + pg_sim_below(s, (uint32_t)tight[i].spread);
    scene_note(p->scene, "%speer %u is short of limit %u: %llu", p->scene->story[0] ? "; " : "", p->number, (unsigned)tight[i].which,
               (unsigned long long)value[tight[i].which]);
}

static void configure(struct peer *p)
{
    struct scene *sc = p->scene;
    struct pg_sim *s = sc->sim;
    struct pg_peer_config *c = &p->config;
    uint8_t key[32] = {(uint8_t)(p->number + 1), 0x51};
    pg_node_config_default(&c->node);
    if (pg_identity_from_secret(&p->identity, pg_sim_chance(s, 300) ? PG_KEY_SECP256K1 : PG_KEY_ED25519, key) != PG_OK)
        abort();
    c->node.identity = p->identity;
    p->log = (struct pg_log){.sink = sc->tell_fd < 0 ? NULL : log_line, .context = p};
    c->node.log = &p->log;
    c->node.mdns = sc->mdns;
    draw_limits(p);
    if (sc->circuits)
        circuits_configure(p);
    else
        address(&c->node.listens[c->node.n_listens++], p->number);
    c->exposed = p->exposed;
    c->forwards = p->tunnels;
    c->tunnel_wait_ms = 1000u * ((sc->circuits ? 60 : 5) + pg_sim_below(s, 30));
}

void peers_make(struct scene *sc)
{
    for (unsigned i = 0; i < sc->n_peers; i++) {
        sc->peers[i] = (struct peer){.scene = sc, .number = i};
        configure(&sc->peers[i]);
    }
    for (unsigned i = 0; i < sc->n_peers; i++)
        lists_draw(&sc->peers[i]);
}

static void ready(void *context)
{
    ((struct peer *)context)->ready = true;
}

static void stopped(void *context, int status)
{
    struct peer *p = context;
    p->stopped = true;
    p->status = status;
}

void peer_start(struct peer *p)
{
    struct pg_sim *s = p->scene->sim;
    /* Where signed arithmetic, 32 bits of microseconds or milliseconds, or the digits of a double would come to their end. */
    static const uint64_t edges[] = {1, (uint64_t)1 << 32, ((uint64_t)1 << 32) * 1000, (uint64_t)1 << 53, (uint64_t)1 << 63, UINT64_MAX - 4 * 86400 * SECONDS};
    uint64_t edge = edges[pg_sim_below(s, sizeof edges / sizeof *edges)];
    uint64_t ahead = edge > 20 * SECONDS ? edge - pg_sim_below(s, 20000000) - pg_sim_now(s) : edge;
    p->config.node.seed = pg_sim_random(s);
    p->config.node.hash_seed = pg_sim_random(s);
    /* The wall clock of this start, up to a day before or after that of the last one. */
    p->config.node.unix_offset_us = 1760000000 * SECONDS + pg_sim_random(s) % (172800 * SECONDS);
    if (p->scene->circuits) /* where reservations end by the relay's wall clock: theirs are a minute apart at most */
        p->config.node.unix_offset_us = 1760000000 * SECONDS - ahead + pg_sim_random(s) % (60 * SECONDS);
    p->peer = pg_peer_new(&p->config);
    if (!p->peer) {
        scene_fail(p->scene, "peer %u cannot start", p->number);
        return;
    }
    p->core = pg_peer_core(p->peer);
    if (scene_wrap)
        p->core = scene_wrap(p->core);
    p->ready = p->stopped = false;
    memset(p->dialled_before, 0, sizeof p->dialled_before);
    p->process = pg_sim_join(s, p->number, &p->core, (struct pg_sim_hooks){.ready = ready, .reload = lists_reload, .stopped = stopped, .context = p});
    pg_sim_clock(p->process, ahead);
    pg_sim_start(p->process);
}

void peer_free(struct peer *p)
{
    pg_peer_free(p->peer);
    p->peer = NULL;
}

void peers_end(struct scene *sc)
{
    for (unsigned i = 0; i < sc->n_peers; i++) {
        struct peer *p = &sc->peers[i];
        if (p->peer && pg_sim_is_running(p->process))
            pg_sim_kill(p->process, PG_SIM_KILLED);
        peer_free(p);
        pg_identity_free(p->identity);
    }
}

struct held peer_held(const struct peer *p)
{
    struct pg_node *n = pg_peer_node(p->peer);
    const struct pg_tunnels *t = n->hooks.context; /* a peer begins with its tunnels: pg_session_services relies on it, too */
    uint32_t questions = 0;
    for (unsigned i = 0; i < PG_MAX_LOOKUPS; i++)
        questions += n->lookups[i].contact != NULL;
    return (struct held){.links = n->links.used, .conns = n->transport.conns.used, .streams = n->transport.streams.used,
                         .negotiations = n->transport.negotiations.used, .chunks = n->chunks.used, .consumers = t->consumers.used,
                         .providers = t->providers.used, .timers = n->scope.timers.used, .pending = n->scope.queue_used, .questions = questions,
                         .retired = (t->retired ? 1u : 0) + (t->retired_forwards ? 1u : 0)};
}

bool peer_wants(const struct peer *p, unsigned other)
{
    const struct pg_peer_id *id = pg_identity_peer_id(p->scene->peers[other].identity);
    for (const struct pg_contact *c = NULL; (c = pg_contact_find(pg_peer_node(p->peer), id, c));)
        if (c->wanted)
            return true;
    return false;
}

unsigned peer_visits(const struct peer *p, unsigned other)
{
    unsigned n = 0;
    for (struct pg_session *s = p->peer ? pg_node_sessions(pg_peer_node(p->peer)) : NULL; s; s = pg_session_next(s))
        n += s->visits && pg_peer_id_equal(pg_session_peer(s), pg_identity_peer_id(p->scene->peers[other].identity));
    return n;
}

bool peer_has_session(const struct peer *p, unsigned other)
{
    return p->peer && pg_node_session(pg_peer_node(p->peer), pg_identity_peer_id(p->scene->peers[other].identity)) != NULL;
}
