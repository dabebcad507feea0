/* Scenes in which two private peers have tunnels to each other, over relays and, where their routers let one through, over a direct
 * connection that comes while bytes are under way. Called by scenario.c, peers.c, lists.c and talks.c. */
#include "scene.h"

enum { RELAYS_FROM = PRIVATE, BEHIND_S = 2, SECOND_S = 3, LIMITED = 300, RELAY_ONLY = 200, APART = 500, APART_S = 20, CIRCUITS_AFTER_S = 8, HELD_MOST = 4 };

static const struct pg_sim_nat routers[] = {
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_NOTHING, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_ADDRESS, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_NOTHING, .filters = PG_SIM_BY_PORT, .keeps_ports = true, .idle_us = 300 * SECONDS},
    {.maps = PG_SIM_BY_PORT, .filters = PG_SIM_BY_PORT, .idle_us = 300 * SECONDS},
};

static void on_together(void *context, uint64_t argument)
{
    struct scene *sc = context;
    (void)argument;
    pg_sim_path(sc->sim, 0, 1)->dials = PG_SIM_OPEN;
}

void circuits_draw(struct scene *sc)
{
    struct pg_sim *s = sc->sim;
    struct pg_sim_rules *r = pg_sim_rules(s);
    unsigned strict = 0;
    bool by_port = false;
    pg_sim_wan(s);
    sc->n_peers = RELAYS_FROM + 1 + pg_sim_below(s, PEERS_MOST - RELAYS_FROM);
    r->buffer = r->buffer < 4096 ? 4096 : r->buffer; /* every byte goes over two windows, inside of a third */
    for (unsigned i = 0; i < PRIVATE; i++) {
        unsigned kind = pg_sim_below(s, sizeof routers / sizeof *routers);
        pg_sim_router(s, i, &routers[kind]);
        strict += routers[kind].filters == PG_SIM_BY_PORT;
        by_port |= routers[kind].maps == PG_SIM_BY_PORT;
    }
    sc->punchable = strict < PRIVATE || !by_port;
    /* In some nothing goes wrong but that the direct connection comes late: what runs over the relay then has to be complete. */
    sc->apart = sc->punchable && pg_sim_chance(s, APART);
    sc->limited = !sc->apart && pg_sim_chance(s, LIMITED);
    if (!sc->apart)
        return;
    pg_sim_path(s, 0, 1)->dials = PG_SIM_SILENT;
    pg_sim_at(s, (CIRCUITS_AFTER_S + pg_sim_below(s, APART_S)) * SECONDS, on_together, sc, 0);
}

static void address(const struct peer *p, unsigned host, struct pg_multiaddr *out)
{
    struct pg_endpoint at = pg_sim_inside(p->scene->sim, host, PEER_PORT);
    pg_multiaddr_from_tcp(out, &at);
}

void circuits_configure(struct peer *p)
{
    struct pg_sim *s = p->scene->sim;
    struct pg_node_config *c = &p->config.node;
    uint64_t *limit = c->limits.value;
    address(p, p->number, &c->listens[c->n_listens++]);
    c->nat_status = p->number < PRIVATE ? -1 : 1;
    if (p->number < PRIVATE && !p->scene->apart && pg_sim_chance(s, RELAY_ONLY))
        c->path = PG_PATH_RELAY;
    if (p->number < PRIVATE || !p->scene->limited)
        return;
    if (pg_sim_chance(s, 500))
        limit[PG_LIMIT_RELAY_BYTES] = 10000 + pg_sim_below(s, 100000);
    else
        limit[PG_LIMIT_RELAY_DURATION] = 1000 + pg_sim_below(s, 20000);
    scene_note(p->scene, "%srelay %u lets circuits carry %llu bytes, for %llu ms", p->scene->story[0] ? "; " : "", p->number,
               (unsigned long long)limit[PG_LIMIT_RELAY_BYTES], (unsigned long long)limit[PG_LIMIT_RELAY_DURATION]);
}

/* Relays first, then whoever reserves. */
uint64_t circuits_start(const struct peer *p)
{
    return p->number >= RELAYS_FROM ? 0 : p->number > 0 ? BEHIND_S * SECONDS : SECOND_S * SECONDS;
}

void circuits_address(const struct peer *p, unsigned to, bool by_id, char *out, size_t room)
{
    const struct scene *sc = p->scene;
    char id[PG_PEER_ID_TEXT], relay[PG_PEER_ID_TEXT], at[PG_MULTIADDR_TEXT];
    unsigned over = to < PRIVATE ? RELAYS_FROM + to % (sc->n_peers - RELAYS_FROM) : to;
    struct pg_multiaddr addr;
    address(p, over, &addr);
    (void)pg_multiaddr_text(&addr, at, sizeof at);
    pg_peer_id_text(pg_identity_peer_id(sc->peers[to].identity), id);
    pg_peer_id_text(pg_identity_peer_id(sc->peers[over].identity), relay);
    if (to >= PRIVATE)
        snprintf(out, room, "%s/p2p/%s", at, id);
    else if (by_id)
        snprintf(out, room, "%s", id);
    else
        snprintf(out, room, "%s/p2p/%s/p2p-circuit/p2p/%s", at, relay, id);
}

/* Connections that stand, of one kind. */
static unsigned sessions(const struct peer *p, unsigned other, bool relayed)
{
    const struct pg_peer_id *id = pg_identity_peer_id(p->scene->peers[other].identity);
    unsigned n = 0;
    for (struct pg_session *s = p->peer ? pg_node_sessions(pg_peer_node(p->peer)) : NULL; s; s = pg_session_next(s))
        n += pg_session_is_up(s) && pg_session_is_relayed(s) == relayed && pg_peer_id_equal(pg_session_peer(s), id);
    return n;
}

bool circuits_direct(const struct peer *p, unsigned other)
{
    return sessions(p, other, false) > 0;
}

bool circuits_relayed(const struct peer *p, unsigned other)
{
    return sessions(p, other, true) > 0;
}

/* Both ends know of the same connections. */
static bool agrees(const struct peer *p, char why[200])
{
    for (unsigned other = 0; other < p->scene->n_peers; other++)
        for (unsigned relayed = 0; relayed < 2; relayed++) {
            unsigned here = sessions(p, other, relayed), there = sessions(&p->scene->peers[other], p->number, relayed);
            if (here == there)
                continue;
            snprintf(why, 200, "peer %u has %u %s connections to peer %u, which has %u to it", p->number, here, relayed ? "relayed" : "direct", other, there);
            return false;
        }
    return true;
}

/* What the parts for relaying hold. */
static bool holds_little(const struct peer *p, char why[200])
{
    struct pg_node *n = pg_peer_node(p->peer);
    struct held h = peer_held(p);
    struct pg_relaying_view v;
    unsigned direct = 0, relayed = 0, coming = 0, others = p->scene->n_peers - 1;
    pg_relaying_view(n, &v);
    for (unsigned other = 0; other < p->scene->n_peers; other++) {
        direct += sessions(p, other, false);
        relayed += sessions(p, other, true);
    }
    for (struct pg_session *s = pg_node_sessions(n); s; s = pg_session_next(s))
        coming += !pg_session_is_up(s); /* a router that lets no SYN in keeps a dial waiting */
    unsigned between = sessions(&p->scene->peers[0], 1, true);
    const struct { const char *what; uint32_t is, most; } limits[] = {
        {"tunnels of clients", h.consumers, 0}, {"tunnels to services", h.providers, 0}, {"negotiations", h.negotiations, 0},
        {"chunks", h.chunks, 0}, {"pending events", h.pending, 0}, {"questions about names", h.questions, 0},
        {"lists of what is offered and used no more", h.retired, 0}, {"questions to relays", n->circuit_ends.hops.used, 0},
        {"questions of relays", n->circuit_ends.stops.used, 0}, {"ends of circuits", n->transport.circuits.used, relayed},
        {"circuits of others", v.circuits, between}, {"hop streams", n->relaying.hops.used, v.circuits}, {"bytes of others", (uint32_t)v.held, 0},
        {"reservations of others", v.reservations, PRIVATE}, {"relayed connections", relayed, HELD_MOST}, {"direct connections", direct, HELD_MOST * others},
        {"dials", coming, HELD_MOST}, {"connections beside all these", h.conns, direct + relayed + coming}, {"streams", h.streams, 4 * h.conns + 2 * v.circuits + relayed},
        {"timers", h.timers, 12 * h.conns + 8 * others + 2 * v.circuits + 20}, {"sockets", pg_sim_sockets(p->process), h.links - relayed},
        {"links", h.links, p->config.node.n_listens + p->config.n_forwards + h.conns}};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].is > limits[i].most) {
            snprintf(why, 200, "peer %u holds %u %s at rest, at most %u are explained", p->number, limits[i].is, limits[i].what, limits[i].most);
            return false;
        }
    return true;
}

/* The relay knows of the reservation, too. */
static bool keeps(const struct peer *relay, const struct peer *p)
{
    return relay->peer && pg_slot_of(pg_peer_node(relay->peer), pg_identity_peer_id(p->identity)) != NULL;
}

static bool is_deaf(const struct peer *p)
{
    bool deaf = true;
    for (unsigned relay = RELAYS_FROM; relay < p->scene->n_peers; relay++)
        deaf = deaf && !(pg_reservation_held(pg_peer_node(p->peer), pg_identity_peer_id(p->scene->peers[relay].identity)) && keeps(&p->scene->peers[relay], p));
    return deaf;
}

bool circuits_at_rest(const struct peer *p, char why[200])
{
    const struct scene *sc = p->scene;
    if (!holds_little(p, why) || !agrees(p, why))
        return false;
    if (p->number >= PRIVATE)
        return true;
    if (is_deaf(p)) {
        snprintf(why, 200, "peer %u holds no reservation though its relays run", p->number);
        return false;
    }
    bool wants = false;
    for (unsigned i = 0; i < FORWARDS_MOST; i++)
        wants |= p->forwards[i].on;
    if (wants && !sc->limited && !peer_has_session(p, PRIVATE - 1 - p->number)) {
        snprintf(why, 200, "peer %u has no connection to the other though their relays run", p->number);
        return false;
    }
    return true;
}

/* Nobody gets more over a circuit than its relay lets through: a tunnel is a stream of one connection. */
void circuits_check(struct scene *sc)
{
    uint64_t most = 0;
    for (unsigned relay = RELAYS_FROM; relay < sc->n_peers; relay++) {
        uint64_t bytes = sc->peers[relay].config.node.limits.value[PG_LIMIT_RELAY_BYTES];
        if (bytes == 0)
            return;
        most = bytes > most ? bytes : most;
    }
    for (unsigned i = 0; i < sc->n_talks; i++) {
        const struct talk *t = &sc->talks[i];
        if (t->relayed && (t->client.got > most || t->service.got > most))
            scene_fail(sc, "talk %u has got %llu and %llu bytes over a circuit that carries %llu", t->id, (unsigned long long)t->client.got,
                       (unsigned long long)t->service.got, (unsigned long long)most);
    }
}
