/* A scenario from its seed to its end: a round with faults, a round without, a time of idleness, an orderly end. After each
 * of them it is asked what has to hold. Called by main.c. */
#include "scene.h"

#include "mem/secret.h"
#include "seeded.h"

#include <stdlib.h>

enum { PATIENCE_S = 400, SETTLE_S = 220, STEP_S = 4, SAMPLES = 6, IDLE_S = 600, CIRCUITS_S = 5, CIRCUITS_SAMPLES = 400 };

static void spin_check(struct scene *sc, uint64_t until)
{
    if (!pg_sim_run(sc->sim, until))
        scene_fail(sc, "the world comes to no rest: somebody is woken again and again");
}

static void draw_world(struct scene *sc)
{
    static const uint32_t buffers[] = {1, 700, 4096, 20000, 65536, 262144};
    static const uint64_t latencies[] = {50, 500, 5000, 30000, 150000}, speeds[] = {0, 0, 400000, 3000000, 50000000};
    struct pg_sim *s = sc->sim;
    struct pg_sim_rules *r = pg_sim_rules(s);
    r->buffer = buffers[pg_sim_chance(s, 20) ? 0 : 1 + pg_sim_below(s, 5)];
    r->tiny_reads = pg_sim_chance(s, 500) ? 0 : pg_sim_below(s, 300);
    r->early_again = pg_sim_chance(s, 500) ? 0 : pg_sim_below(s, 400);
    r->reset_discards = pg_sim_chance(s, 500);
    sc->heavy = r->buffer >= 65536 && pg_sim_chance(s, 60);
    sc->n_peers = 2 + pg_sim_below(s, PEERS_MOST - 1);
    /* In one of four they find each other by multicast DNS besides, and datagrams are lost and come twice. Not drawn from the world. */
    sc->mdns = sc->seed % 4 == 3;
    sc->circuits = sc->seed % 8 == 5;
    r->datagrams_lost = sc->mdns ? (uint32_t)(sc->seed / 4 % 5 * 50) : 0;
    for (unsigned a = 0; a < sc->n_peers; a++)
        for (unsigned b = a + 1; b < sc->n_peers; b++) {
            struct pg_sim_path *p = pg_sim_path(s, a, b);
            /* A window of few bytes on a long way is so slow that every deadline passes, and rightly. */
            p->latency_us = latencies[pg_sim_below(s, r->buffer < 700 ? 1 : r->buffer < 4096 ? 2 : r->buffer < 20000 || sc->heavy ? 3 : 5)];
            p->jitter_us = pg_sim_below(s, (uint32_t)p->latency_us + 1);
            p->bytes_per_s = sc->heavy ? 1500000 : r->buffer < 20000 ? 0 : speeds[pg_sim_below(s, 5)];
        }
    if (sc->circuits)
        circuits_draw(sc);
}

static void on_start(void *context, uint64_t argument)
{
    (void)argument;
    peer_start(context);
}

static bool is_calm(const struct scene *sc)
{
    for (unsigned i = 0; i < sc->n_peers; i++)
        if (sc->peers[i].tight)
            return false;
    return !sc->limited && ((sc->n_faults == 0 && !sc->names_bad) || sc->round > 1);
}

/* A round of clients, until all have come to their end or have hung for long enough. */
static void round_run(struct scene *sc, unsigned most)
{
    struct pg_sim *s = sc->sim;
    uint64_t begun = pg_sim_now(s), until;
    sc->round++;
    if (sc->round == 1)
        faults_plan(sc);
    for (unsigned n = (sc->heavy ? most / 2 : 1) + pg_sim_below(s, most); n > 0; n--)
        talk_plan(sc, is_calm(sc));
    reloads_plan(sc, begun, 25 * SECONDS);
    until = (sc->round == 1 && sc->heal_us > begun ? sc->heal_us : begun) + 25 * SECONDS;
    spin_check(sc, until);
    faults_heal(sc);
    for (uint64_t t = until; !sc->failure[0] && !talks_over(sc) && t < until + PATIENCE_S * SECONDS; t += STEP_S * SECONDS)
        spin_check(sc, t + STEP_S * SECONDS);
    talks_check(sc);
    if (sc->circuits)
        circuits_check(sc);
}

static uint32_t most_connections(const struct peer *p)
{
    uint32_t n = 0;
    for (unsigned other = 0; other < p->scene->n_peers; other++)
        n += lists_dials(p, other) + lists_dials(&p->scene->peers[other], p->number) + peer_visits(p, other) +
             peer_visits(&p->scene->peers[other], p->number);
    return n;
}

/* Whether a peer at rest holds what its listeners and connections need, and nothing else. */
static bool is_at_rest(const struct peer *p, char why[200])
{
    struct held h = peer_held(p);
    const struct pg_peer_config *c = &p->config;
    uint32_t contacts = c->n_forwards + c->node.n_bootstraps;
    const struct { const char *what; uint32_t is, most; } limits[] = {
        {"tunnels of clients", h.consumers, 0}, {"tunnels to services", h.providers, 0}, {"negotiations", h.negotiations, 0},
        {"chunks", h.chunks, 0}, {"pending events", h.pending, 0}, {"questions about names", h.questions, 0},
        {"lists of what is offered and used no more", h.retired, 0}, {"connections", h.conns, most_connections(p)},
        {"streams", h.streams, 4 * h.conns}, {"links", h.links, c->node.n_listens + c->n_forwards + h.conns},
        {"sockets", pg_sim_sockets(p->process), h.links}, {"timers", h.timers, 5 * h.conns + 2 * contacts + 4 + (p->scene->mdns ? 2 * PEERS_MOST : 0)}};
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].is > limits[i].most) {
            snprintf(why, 200, "peer %u holds %u %s at rest, at most %u are explained", p->number, limits[i].is, limits[i].what, limits[i].most);
            return false;
        }
    if (h.links != c->node.n_listens + c->n_forwards + h.conns || pg_sim_sockets(p->process) != h.links) {
        snprintf(why, 200, "peer %u has %u links and %u sockets for %u connections and %u listeners", p->number, h.links,
                 pg_sim_sockets(p->process), h.conns, c->node.n_listens + c->n_forwards);
        return false;
    }
    return true;
}

static bool is_joined(const struct peer *p, char why[200])
{
    for (unsigned i = 0; i < FORWARDS_MOST; i++)
        if (p->forwards[i].on && !peer_has_session(p, p->forwards[i].to)) {
            snprintf(why, 200, "peer %u has no connection to peer %u though nothing keeps them apart", p->number, p->forwards[i].to);
            return false;
        }
    for (unsigned other = 0; other < p->scene->n_peers; other++) {
        bool listed = false;
        for (unsigned i = 0; i < FORWARDS_MOST; i++)
            listed |= p->forwards[i].on && p->forwards[i].to == other;
        if (listed != peer_wants(p, other)) {
            snprintf(why, 200, "peer %u %s peer %u, and its lists say otherwise", p->number, listed ? "does not want" : "wants", other);
            return false;
        }
    }
    return true;
}

/* Looks a few times, because a ping may be under way; what has leaked is there every time. Behind relays for longer: whoever waits in vain for
 * one comes back by its back-off, and whoever is reached over it by another. */
static void rest_check(struct scene *sc)
{
    char why[200] = "";
    spin_check(sc, pg_sim_now(sc->sim) + SETTLE_S * SECONDS);
    for (unsigned i = 0; i < sc->n_peers && !sc->failure[0]; i++) {
        struct peer *p = &sc->peers[i];
        bool good = false;
        if (!p->peer || !pg_sim_is_running(p->process) || !p->ready) {
            scene_fail(sc, "peer %u does not run though it was started again", i);
            return;
        }
        for (unsigned n = 0; n < (sc->circuits ? CIRCUITS_SAMPLES : SAMPLES) && !good; n++) {
            good = sc->circuits ? circuits_at_rest(p, why) : is_at_rest(p, why) && is_joined(p, why);
            if (!good)
                spin_check(sc, pg_sim_now(sc->sim) + 1700000);
        }
        if (!good)
            scene_fail(sc, "%s", why);
    }
}

/* A peer at rest is woken by pings, keep-alives and by nothing else. */
static void idle_check(struct scene *sc)
{
    uint64_t before[PEERS_MOST];
    for (unsigned i = 0; i < sc->n_peers; i++)
        before[i] = pg_sim_ticks(sc->peers[i].process);
    spin_check(sc, pg_sim_now(sc->sim) + IDLE_S * SECONDS);
    for (unsigned i = 0; i < sc->n_peers; i++) {
        uint64_t ticks = pg_sim_ticks(sc->peers[i].process) - before[i];
        uint32_t conns = peer_held(&sc->peers[i]).conns;
        /* Whoever has to do with relays asks AutoNAT, renews what it holds, and looks for direct connections besides; where circuits end
         * by themselves they are dialled again and again. */
        if (ticks > 20 + IDLE_S / 15 * 2 * conns + (sc->limited ? 4u * IDLE_S : sc->circuits ? IDLE_S : 0))
            scene_fail(sc, "idle peer %u is woken %llu times in %d s, with %u connections", i, (unsigned long long)ticks, (int)IDLE_S, conns);
    }
}

/* Told to stop, some of them with clients under way. */
static void stop_check(struct scene *sc)
{
    struct pg_sim *s = sc->sim;
    sc->stopping = true;
    reloads_plan(sc, pg_sim_now(s), 10 * SECONDS);
    if (pg_sim_chance(s, 500)) {
        for (unsigned n = 1 + pg_sim_below(s, 6); n > 0; n--)
            talk_plan(sc, false);
        spin_check(sc, pg_sim_now(s) + pg_sim_below(s, 20000000));
    }
    for (unsigned i = 0; i < sc->n_peers; i++) {
        talks_excuse(sc, i, true);
        pg_sim_signal(sc->peers[i].process);
        if (pg_sim_chance(s, 300))
            spin_check(sc, pg_sim_now(s) + pg_sim_below(s, 3000000));
    }
    spin_check(sc, pg_sim_now(s) + 120 * SECONDS);
    for (unsigned i = 0; i < sc->n_peers; i++) {
        if (!sc->peers[i].stopped)
            scene_fail(sc, "peer %u was told to stop and still runs two minutes later", i);
        else if (sc->peers[i].status != 0)
            scene_fail(sc, "peer %u stopped with status %d", i, sc->peers[i].status);
    }
    talks_check(sc);
}

static void play(struct scene *sc)
{
    draw_world(sc);
    peers_make(sc);
    sc->names_bad = pg_sim_chance(sc->sim, 100);
    if (sc->names_bad)
        names_spoil(sc);
    for (unsigned i = 0; i < sc->n_peers; i++) {
        services_open(sc, i);
        pg_sim_at(sc->sim, (sc->circuits ? circuits_start(&sc->peers[i]) : 0) + pg_sim_below(sc->sim, 500000), on_start, &sc->peers[i], 0);
    }
    spin_check(sc, sc->circuits ? CIRCUITS_S * SECONDS : 1 * SECONDS);
    void (*const acts[])(struct scene *) = {rest_check, idle_check, stop_check};
    round_run(sc, 24);
    if (!sc->failure[0])
        rest_check(sc);
    if (!sc->failure[0])
        round_run(sc, 10);
    for (unsigned i = 0; i < sizeof acts / sizeof *acts && !sc->failure[0]; i++)
        acts[i](sc);
}

bool scene_run(uint64_t seed, int tell_fd, struct scene_result *r)
{
    struct scene *sc = calloc(1, sizeof *sc);
    uint32_t secrets = pg_secrets_held();
    if (!sc)
        abort();
    seeded_begin(seed);
    sc->seed = seed;
    sc->tell_fd = tell_fd;
    sc->sim = pg_sim_new(seed);
    pg_sim_tell(sc->sim, tell_fd);
    play(sc);
    peers_end(sc);
    if (pg_secrets_held() != secrets)
        scene_fail(sc, "%u secrets are left", pg_secrets_held() - secrets);
    *r = (struct scene_result){.trace = pg_sim_trace(sc->sim), .peers = sc->n_peers, .talks = sc->n_talks, .faults = sc->n_faults, .reloads = sc->n_reloads};
    for (unsigned i = 0; i < sc->n_talks; i++) {
        const struct talk *t = &sc->talks[i];
        r->bytes += t->client.got + t->service.got;
        r->strict += t->strict;
        r->relayed += t->relayed && t->service.ended;
        r->switched += t->switched;
        r->completed += t->client.ended && t->service.ended;
    }
    memcpy(r->failure, sc->failure, sizeof r->failure);
    memcpy(r->story, sc->story, sizeof r->story);
    pg_sim_free(sc->sim);
    free(sc);
    return r->failure[0] == 0;
}
