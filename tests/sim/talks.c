/* Clients and services: every byte is a function of who talks and of its place, and both ends check it.
 * Called by scenario.c and faults.c; moved by the simulated sockets. */
#include "scene.h"

#include <stdlib.h>

enum { HEAD = 8, BLOCK = 8192 };

static const uint8_t magic[4] = "PGSM";

static uint8_t content(const struct side *sender, uint64_t place)
{
    const struct talk *t = sender->talk;
    if (!sender->is_service && place < sizeof magic)
        return magic[place];
    if (!sender->is_service && place < HEAD)
        return (uint8_t)(t->id >> 8 * (place - sizeof magic));
    uint64_t z = (place >> 3) * 0x9e3779b97f4a7c15u ^ ((uint64_t)t->id << 1 | sender->is_service) * 0xd1342543de82ef95u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z ^= z >> 27;
    return (uint8_t)(z >> 8 * (place & 7));
}

static struct side *opposite(struct side *d)
{
    return d->is_service ? &d->talk->client : &d->talk->service;
}

static const char *who(const struct side *d)
{
    return d->is_service ? "service" : "client";
}

static uint64_t all_of(const struct side *d)
{
    return d->is_service ? d->talk->down : d->talk->up;
}

static bool may_send(const struct side *d)
{
    const struct talk *t = d->talk;
    if (t->style == ASKS && d->is_service)
        return d->ended;
    if (t->style == SERVED_FIRST && !d->is_service && d->sent >= HEAD)
        return d->ended;
    return true;
}

static void go(struct side *d, bool abort)
{
    d->gone = true;
    d->fin_sent |= pg_sim_is_unix(d->socket); /* where there are no resets */
    if (abort)
        pg_sim_abort(d->socket);
    else
        pg_sim_close(d->socket);
}

/* Whether the side does something unfriendly now that so much has passed. */
static bool turns(struct side *d)
{
    struct talk *t = d->talk;
    bool here = d->sent + d->got >= t->turn_at;
    if (t->style == PAUSES && d->is_service == t->slow_service && here && !d->paused_at) {
        d->paused = true;
        d->paused_at = pg_sim_now(d->scene->sim);
    }
    if (((t->style == LEAVES || t->style == ABORTS) && !d->is_service && here) || (t->style == SERVICE_ABORTS && d->is_service && here)) {
        bool abort = t->style != LEAVES;
        d->fin_sent |= !abort; /* an end like any other: what was sent may arrive, unless something lies unread */
        go(d, abort);
        return true;
    }
    return false;
}

static void check_end(struct side *d)
{
    struct scene *sc = d->scene;
    struct side *o = opposite(d);
    d->ended = true;
    if (d->is_service && d->talk->relayed)
        d->talk->switched = circuits_direct(&sc->peers[d->talk->to], d->talk->from);
    if (pg_sim_is_unix(d->socket))
        return; /* a reset looks the same there: only what is strict has to be complete */
    if (!d->excused && !(o->fin_sent && d->got == o->sent))
        scene_fail(sc, "the %s of talk %u sees an orderly end after %llu bytes, %llu of %llu were sent%s", who(d), d->talk->id,
                   (unsigned long long)d->got, (unsigned long long)o->sent, (unsigned long long)all_of(o), o->fin_sent ? " and ended" : "");
}

static void pump_in(struct side *d)
{
    uint8_t block[BLOCK];
    size_t n;
    while (!d->paused && !d->gone && (n = pg_sim_receive(d->socket, block, sizeof block)) > 0) {
        struct side *o = opposite(d);
        for (size_t i = 0; i < n; i++)
            if (block[i] != content(o, d->got + i)) {
                scene_fail(d->scene, "byte %llu at the %s of talk %u is another than was sent", (unsigned long long)(d->got + i), who(d), d->talk->id);
                go(d, true);
                return;
            }
        d->got += n;
        if (d->got > o->sent)
            scene_fail(d->scene, "the %s of talk %u has got %llu bytes of %llu", who(d), d->talk->id, (unsigned long long)d->got, (unsigned long long)o->sent);
        if (turns(d))
            return;
    }
    if (!d->paused && !d->gone && !d->ended && pg_sim_ended(d->socket))
        check_end(d);
}

static void pump_out(struct side *d)
{
    uint8_t block[BLOCK];
    while (!d->gone && !d->fin_sent && may_send(d)) {
        uint64_t left = all_of(d) - d->sent;
        size_t n = left < sizeof block ? (size_t)left : sizeof block;
        if (d->talk->style == SERVED_FIRST && !d->is_service && !d->ended && n > HEAD - d->sent)
            n = HEAD - (size_t)d->sent;
        for (size_t i = 0; i < n; i++)
            block[i] = content(d, d->sent + i);
        size_t sent = pg_sim_send(d->socket, block, n);
        d->sent += sent;
        if (d->sent == all_of(d)) {
            d->fin_sent = true;
            pg_sim_finish(d->socket);
        } else if (sent < n) {
            return;
        }
        if (turns(d))
            return;
    }
}

static void pump(struct side *d)
{
    if (d->gone || d->lost || !d->connected || turns(d))
        return;
    pump_in(d);
    pump_out(d);
    if (!d->gone && d->ended && d->fin_sent)
        go(d, false);
}

static void resume(void *context, uint64_t argument)
{
    struct side *d = context;
    (void)argument;
    d->paused = false;
    pump(d);
}

static void after(struct side *d, bool was_paused)
{
    if (d->paused && !was_paused)
        pg_sim_at(d->scene->sim, pg_sim_now(d->scene->sim) + d->talk->pause_us, resume, d, 0);
}

static void on_news(void *context, struct pg_sim_socket *socket, enum pg_sim_news what)
{
    struct side *d = context;
    bool was_paused = d->paused;
    (void)socket;
    if (d->gone)
        return;
    if (what == PG_SIM_LOST) {
        if (d->talk->strict && d->connected)
            scene_fail(d->scene, "the %s of talk %u is reset after %llu bytes though nothing is broken", who(d), d->talk->id, (unsigned long long)d->got);
        d->lost = true;
        go(d, false);
        return;
    }
    if (what == PG_SIM_CONNECTED)
        d->connected = true;
    pump(d);
    after(d, was_paused);
}

/* A client that came after the lists had changed is served by the new ones. */
static void check_way(const struct side *d, const struct talk *t)
{
    struct scene *sc = d->scene;
    const struct peer *p = d->door->peer;
    const struct forward *f = &sc->peers[t->from].forwards[t->forward];
    const struct offer *o = &p->offers[d->door->service];
    if (t->begun_us > f->since_us && (!f->on || f->to != p->number || f->service != d->door->service))
        scene_fail(sc, "talk %u comes to service %u of peer %u, where its tunnel does not lead", t->id, d->door->service, p->number);
    if (t->begun_us <= o->since_us)
        return;
    if (!o->on || (o->allowed && !(o->allowed >> t->from & 1)))
        scene_fail(sc, "talk %u is served by peer %u, which offers that to it no more", t->id, p->number);
    else if ((o->target == AT_UNIX) != d->door->is_unix)
        scene_fail(sc, "talk %u is served at the place where service %u of peer %u has been before", t->id, d->door->service, p->number);
}

/* A service learns from the first eight bytes who calls. */
static void on_fresh_news(void *context, struct pg_sim_socket *socket, enum pg_sim_news what)
{
    static const struct pg_sim_user known = {.news = on_news};
    struct side *d = context;
    struct scene *sc = d->scene;
    size_t n;
    while (d->got < HEAD && (n = pg_sim_receive(socket, d->head + d->got, HEAD - d->got)) > 0)
        d->got += n;
    if (d->got < HEAD) {
        if (what == PG_SIM_LOST || pg_sim_ended(socket)) {
            d->gone = true;
            pg_sim_close(socket);
        }
        return;
    }
    uint32_t id = d->head[4] | (uint32_t)d->head[5] << 8 | (uint32_t)d->head[6] << 16 | (uint32_t)d->head[7] << 24;
    struct talk *t = id < sc->n_talks && memcmp(d->head, magic, sizeof magic) == 0 ? &sc->talks[id] : NULL;
    d->gone = true;
    if (!t || t->service.connected) {
        scene_fail(sc, "a service hears %s", t ? "of one client twice" : "bytes that nobody has sent");
        pg_sim_abort(socket);
        return;
    }
    check_way(d, t);
    t->relayed = sc->circuits && circuits_relayed(d->door->peer, t->from) && !circuits_direct(d->door->peer, t->from);
    t->service.socket = socket;
    t->service.connected = true;
    t->service.got = HEAD;
    pg_sim_use(socket, &known, &t->service);
    on_news(&t->service, socket, what == PG_SIM_LOST ? PG_SIM_LOST : PG_SIM_READABLE);
}

static void on_accepted(void *context, struct pg_sim_socket *fresh)
{
    static const struct pg_sim_user unknown = {.news = on_fresh_news};
    const struct door *door = context;
    struct scene *sc = door->peer->scene;
    if (sc->n_unknown == sizeof sc->unknown / sizeof *sc->unknown) {
        pg_sim_abort(fresh);
        return;
    }
    struct side *d = &sc->unknown[sc->n_unknown++];
    *d = (struct side){.scene = sc, .socket = fresh, .door = door, .is_service = true, .connected = true};
    pg_sim_use(fresh, &unknown, d);
}

void services_open(struct scene *sc, unsigned peer)
{
    static const struct pg_sim_user user = {.accepted = on_accepted};
    struct peer *p = &sc->peers[peer];
    for (unsigned i = 0; i < 2 * SERVICES; i++) {
        struct door *door = &p->doors[i / 2][i % 2];
        char path[16];
        snprintf(path, sizeof path, "/s%u", i / 2);
        *door = (struct door){.peer = p, .socket = door->socket, .service = i / 2, .is_unix = i % 2};
        if (!door->socket)
            door->socket = pg_sim_listen(sc->sim, peer, i % 2 ? pg_sim_unix(path) : pg_sim_loopback((uint16_t)(SERVICE_PORT + i / 2)), &user, door);
    }
}

void services_close(struct scene *sc, unsigned peer, bool connections)
{
    struct peer *p = &sc->peers[peer];
    for (unsigned i = 0; i < 2 * SERVICES; i++) {
        struct door *door = &p->doors[i / 2][i % 2];
        if (door->socket)
            pg_sim_close(door->socket);
        door->socket = NULL;
    }
    for (unsigned i = 0; connections && i < sc->n_talks; i++) {
        struct side *d = &sc->talks[i].service;
        if (sc->talks[i].to == peer && d->connected && !d->gone)
            go(d, true);
    }
}

static uint64_t draw_size(struct scene *sc)
{
    struct pg_sim *s = sc->sim;
    if (sc->heavy)
        return 200000 + pg_sim_below(s, 400000);
    unsigned kind = pg_sim_below(s, pg_sim_rules(s)->buffer < 700 ? 45 : 100);
    if (kind < 15)
        return 0;
    if (kind < 45)
        return pg_sim_below(s, 40);
    if (kind < 85)
        return pg_sim_below(s, 20000);
    return kind < 98 ? pg_sim_below(s, 200000) : pg_sim_below(s, 3000000);
}

static void on_begin(void *context, uint64_t argument)
{
    (void)argument;
    struct talk *t = context;
    talk_begin(t->client.scene, t);
}

/* Of a tunnel that there is. */
static bool next_forward(const struct scene *sc, unsigned *peer, unsigned *forward)
{
    for (unsigned i = 0; i < PEERS_MOST * FORWARDS_MOST; i++) {
        if (sc->peers[*peer].forwards[*forward].on)
            return true;
        *forward = (*forward + 1) % FORWARDS_MOST;
        *peer = *forward ? *peer : (*peer + 1) % sc->n_peers;
    }
    return false;
}

static void follow(const struct scene *sc, struct talk *t)
{
    const struct forward *f = &sc->peers[t->from].forwards[t->forward];
    t->to = f->to;
    t->service_number = f->service;
}

static bool is_offered(const struct scene *sc, const struct talk *t)
{
    const struct offer *o = &sc->peers[t->to].offers[t->service_number];
    return o->on && (o->allowed == 0 || o->allowed >> t->from & 1);
}

/* One client of a forward, to come some time in the next seconds. */
void talk_plan(struct scene *sc, bool strict)
{
    static const uint8_t styles[] = {ASKS, ASKS, BOTH, BOTH, SERVED_FIRST, PAUSES, LEAVES, ABORTS, SERVICE_ABORTS};
    struct pg_sim *s = sc->sim;
    unsigned peer = pg_sim_below(s, sc->n_peers), forward = pg_sim_below(s, FORWARDS_MOST);
    if (sc->n_talks == TALKS_MOST || !next_forward(sc, &peer, &forward))
        return;
    struct talk *t = &sc->talks[sc->n_talks];
    const struct peer *from = &sc->peers[peer];
    *t = (struct talk){.id = sc->n_talks++, .from = from->number, .style = (enum style)styles[pg_sim_below(s, sizeof styles)]};
    t->forward = forward;
    follow(sc, t);
    t->up = HEAD + draw_size(sc);
    t->down = draw_size(sc);
    t->turn_at = pg_sim_chance(s, 300) ? 0 : pg_sim_below(s, (uint32_t)(t->up + t->down));
    t->pause_us = 1 + pg_sim_below(s, 40) * SECONDS;
    t->slow_service = pg_sim_chance(s, 500);
    if (sc->apart && pg_sim_chance(s, 150)) { /* too long for the buffers on its way: a direct connection comes meanwhile */
        t->style = PAUSES;
        t->up = t->down = 1500000;
        t->turn_at = pg_sim_below(s, 20000);
        t->pause_us = 60 * SECONDS;
    }
    t->strict = strict && t->style < LEAVES && is_offered(sc, t);
    t->client = (struct side){.talk = t, .scene = sc};
    t->service = (struct side){.talk = t, .scene = sc, .is_service = true};
    pg_sim_at(s, pg_sim_now(s) + pg_sim_below(s, sc->heavy ? 1000000 : 20000000), on_begin, t, 0);
}

void talk_begin(struct scene *sc, struct talk *t)
{
    static const struct pg_sim_user user = {.news = on_news};
    char path[16];
    snprintf(path, sizeof path, "/t%u", t->forward);
    struct pg_endpoint at = sc->peers[t->from].forwards[t->forward].is_unix ? pg_sim_unix(path) : pg_sim_loopback((uint16_t)(FORWARD_PORT + t->forward));
    follow(sc, t);
    t->begun_us = pg_sim_now(sc->sim);
    t->client.socket = pg_sim_dial(sc->sim, t->from, at, &user, &t->client);
}

void talks_doubt_forward(struct scene *sc, unsigned peer, unsigned forward)
{
    for (unsigned i = 0; i < sc->n_talks; i++)
        if (sc->talks[i].from == peer && sc->talks[i].forward == forward && !sc->talks[i].service.connected)
            sc->talks[i].strict = false;
}

void talks_doubt_service(struct scene *sc, unsigned peer, unsigned service)
{
    for (unsigned i = 0; i < sc->n_talks; i++)
        if (sc->talks[i].to == peer && sc->talks[i].service_number == service && !sc->talks[i].service.connected)
            sc->talks[i].strict = false;
}

void talks_excuse(struct scene *sc, unsigned peer, bool stopped)
{
    for (unsigned i = 0; i < sc->n_talks; i++) {
        struct talk *t = &sc->talks[i];
        bool through = t->from == peer || t->to == peer;
        t->client.excused |= t->from == peer || (stopped && through);
        t->service.excused |= t->to == peer || (stopped && through);
    }
}

static bool is_over(const struct side *d)
{
    return d->gone || (d->is_service && !d->connected);
}

bool talks_over(const struct scene *sc)
{
    for (unsigned i = 0; i < sc->n_talks; i++)
        if (!is_over(&sc->talks[i].client) || !is_over(&sc->talks[i].service))
            return false;
    return true;
}

static bool complete(const struct talk *t)
{
    return t->client.ended && t->service.ended && t->client.got == t->down && t->service.got == t->up;
}

void talks_check(struct scene *sc)
{
    for (unsigned i = 0; i < sc->n_talks; i++) {
        const struct talk *t = &sc->talks[i];
        for (const struct side *d = &t->client; d; d = d == &t->client ? &t->service : NULL)
            if (!is_over(d))
                scene_fail(sc, "the %s of talk %u (style %d, peer %u to peer %u) hangs: %llu sent, %llu got", who(d), t->id, (int)t->style,
                           t->from, t->to, (unsigned long long)d->sent, (unsigned long long)d->got);
        if (t->strict && !complete(t))
            scene_fail(sc, "talk %u (style %d, peer %u to peer %u) is not complete though nothing is broken: up %llu of %llu, down %llu of %llu",
                       t->id, (int)t->style, t->from, t->to, (unsigned long long)t->service.got, (unsigned long long)t->up,
                       (unsigned long long)t->client.got, (unsigned long long)t->down);
    }
}
