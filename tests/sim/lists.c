/* What a peer offers and uses: drawn from the seed, written as the text of --expose, --tunnel and --bootstrap, and edited while
 * it runs. Called by peers.c and scenario.c. Serves docs/decisions, "What a reload keeps". */
#include "scene.h"

#include "crypto/dnsaddr.h"
#include "trace/line.h"

#include <stdarg.h>
#include <stdlib.h>

static const char *const service_names[SERVICES] = {"files", "shell"};

/* Addresses. */

static const char *id_text(const struct peer *p)
{
    static char text[PG_PEER_ID_TEXT];
    pg_peer_id_text(pg_identity_peer_id(p->identity), text);
    return text;
}

/* Each peer has a name with an address, and one with TXT records: of it, of another name, and one that is about something else. */
static void name_peer(struct peer *p, unsigned to)
{
    unsigned host = to + 1;
    const char *id = id_text(&p->scene->peers[to]);
    char (*out)[160] = p->addresses[to];
    for (unsigned way = 0; p->scene->circuits && way < WAYS; way++)
        circuits_address(p, to, way == BY_IP, out[way], sizeof *out);
    if (p->scene->circuits)
        return;
    snprintf(out[BY_IP], sizeof *out, "/ip4/10.0.0.%u/tcp/%d/p2p/%s", host, (int)PEER_PORT, id);
    snprintf(out[BY_DNS], sizeof *out, "/dns/host%u/tcp/%d/p2p/%s", host, (int)PEER_PORT, id);
    snprintf(out[BY_DNS4], sizeof *out, "/dns4/host%u/tcp/%d/p2p/%s", host, (int)PEER_PORT, id);
    snprintf(out[BY_DNSADDR], sizeof *out, "/dnsaddr/peer%u.net/p2p/%s", host, id);
}

static void add_records(struct peer *p)
{
    static const char *const names[PEERS_MOST][2] = {{"_dnsaddr.peer1.net", "_dnsaddr.more1.net"}, {"_dnsaddr.peer2.net", "_dnsaddr.more2.net"},
                                                     {"_dnsaddr.peer3.net", "_dnsaddr.more3.net"}, {"_dnsaddr.peer4.net", "_dnsaddr.more4.net"}};
    const char *id = id_text(p);
    snprintf(p->records[0], sizeof *p->records, "dnsaddr=/dnsaddr/more%u.net/p2p/%s", p->number + 1, id);
    snprintf(p->records[1], sizeof *p->records, "dnsaddr=/dns4/host%u/tcp/%d/p2p/%s", p->number + 1, (int)PEER_PORT, id);
    pg_sim_record(p->scene->sim, names[p->number][0], "v=spf1 -all");
    pg_sim_record(p->scene->sim, names[p->number][0], p->records[0]);
    pg_sim_record(p->scene->sim, names[p->number][1], p->records[1]);
}

/* The text. */

static struct pg_bytes put(struct peer *p, const char *list, const char *format, ...) __attribute__((format(printf, 3, 4)));
static struct pg_bytes put(struct peer *p, const char *list, const char *format, ...)
{
    char *at = (char *)p->lists + p->lists_len;
    size_t room = sizeof p->lists - p->lists_len, n = strlen(list) + 1;
    va_list values;
    if (room < 1024)
        abort();
    memcpy(at, list, n);
    va_start(values, format);
    size_t len = (size_t)vsnprintf(at + n, room - n, format, values);
    va_end(values);
    p->lists_len += n + len + 1;
    return pg_bytes(at + n, len);
}

static void put_offer(struct peer *p, unsigned i)
{
    const struct offer *o = &p->offers[i];
    struct pg_peer_config *c = &p->config;
    char target[40], allow[PEERS_MOST * (PG_PEER_ID_TEXT + 8)] = "";
    if (!o->on)
        return;
    if (o->target == AT_UNIX)
        snprintf(target, sizeof target, "unix:/s%u", i);
    else
        snprintf(target, sizeof target, "%s:%u", o->target == AT_NAME ? "loopback" : "127.0.0.1", SERVICE_PORT + i);
    for (unsigned peer = 0; peer < p->scene->n_peers; peer++)
        if (o->allowed >> peer & 1)
            snprintf(allow + strlen(allow), sizeof allow - strlen(allow), ",allow=%s", id_text(&p->scene->peers[peer]));
    struct pg_bytes text = put(p, "expose", "%s=%s%s", service_names[i], target, allow);
    if (!pg_peer_expose_read(&p->exposed[c->n_exposed++], text))
        abort();
}

static void put_forward(struct peer *p, unsigned i)
{
    const struct forward *f = &p->forwards[i];
    struct pg_peer_config *c = &p->config;
    const char *at = p->addresses[f->to][f->way];
    char bind[40];
    if (!f->on)
        return;
    if (f->is_unix)
        snprintf(bind, sizeof bind, "unix:/t%u", i);
    else
        snprintf(bind, sizeof bind, "127.0.0.1:%u", FORWARD_PORT + i);
    struct pg_bytes text = put(p, "tunnel", "%s:%s@%s", f->by_bootstrap ? id_text(&p->scene->peers[f->to]) : at, service_names[f->service], bind);
    if (!pg_peer_forward_read(&p->tunnels[c->n_forwards++], text))
        abort();
    if (!f->by_bootstrap)
        return;
    const char *id = strstr(at, "/p2p/");
    text = put(p, "bootstrap", "%.*s", f->unnamed ? (int)(id - at) : (int)strlen(at), at);
    if (pg_multiaddr_parse(&c->node.bootstraps[c->node.n_bootstraps++], text) != PG_OK)
        abort();
}

static void put_relay(struct peer *p, unsigned relay)
{
    struct pg_peer_config *c = &p->config;
    struct pg_bytes text = put(p, "bootstrap", "%s", p->addresses[relay][BY_IP]);
    if (pg_multiaddr_parse(&c->node.bootstraps[c->node.n_bootstraps++], text) != PG_OK)
        abort();
}

static void write_lists(struct peer *p)
{
    struct pg_peer_config *c = &p->config;
    p->lists_len = c->n_exposed = c->n_forwards = c->node.n_bootstraps = 0;
    for (unsigned i = 0; i < SERVICES; i++)
        put_offer(p, i);
    for (unsigned relay = PRIVATE; p->scene->circuits && relay < p->scene->n_peers; relay++)
        if (relay != p->number)
            put_relay(p, relay);
    for (unsigned i = 0; i < FORWARDS_MOST; i++)
        put_forward(p, i);
    c->exposed = p->exposed;
    c->forwards = p->tunnels;
}

/* What stands in them. */

static void draw_target(struct peer *p, struct offer *o)
{
    static const uint8_t targets[] = {AT_IP, AT_IP, AT_NAME, AT_UNIX};
    o->target = (enum target)targets[pg_sim_below(p->scene->sim, sizeof targets)];
}

static void draw_allowed(struct peer *p, struct offer *o)
{
    o->allowed = pg_sim_below(p->scene->sim, 1u << p->scene->n_peers);
}

/* Any other, or the other of those who have tunnels over circuits. */
static unsigned other(struct peer *p)
{
    struct scene *sc = p->scene;
    return sc->circuits ? PRIVATE - 1 - p->number : (p->number + 1 + pg_sim_below(sc->sim, sc->n_peers - 1)) % sc->n_peers;
}

static void draw_forward(struct peer *p, unsigned i)
{
    struct scene *sc = p->scene;
    struct pg_sim *s = sc->sim;
    struct forward *f = &p->forwards[i];
    *f = (struct forward){.to = other(p), .service = pg_sim_below(s, SERVICES), .on = true};
    f->way = pg_sim_chance(s, 500) ? BY_IP : (enum way)pg_sim_below(s, WAYS);
    f->by_bootstrap = !sc->circuits && pg_sim_chance(s, 300);
    /* Who believes a name that does not say whose it is may be led to somebody else, and stay there. */
    f->unnamed = f->by_bootstrap && f->way == BY_IP && pg_sim_chance(s, 500);
    f->is_unix = pg_sim_chance(s, 200);
    f->since_us = pg_sim_now(s);
}

void lists_draw(struct peer *p)
{
    struct scene *sc = p->scene;
    struct pg_sim *s = sc->sim;
    add_records(p);
    for (unsigned to = 0; to < sc->n_peers; to++)
        name_peer(p, to);
    for (unsigned i = 0; i < SERVICES; i++) {
        p->offers[i].on = true;
        draw_target(p, &p->offers[i]);
        if (pg_sim_chance(s, 100))
            draw_allowed(p, &p->offers[i]);
    }
    unsigned n = p->number == 0 ? 1 + pg_sim_below(s, FORWARDS_MOST) : pg_sim_below(s, FORWARDS_MOST);
    for (unsigned i = 0; i < n && (!sc->circuits || p->number < PRIVATE); i++)
        draw_forward(p, i);
    write_lists(p);
}

/* Editing. */

static void change_offer(struct peer *p, unsigned i)
{
    struct pg_sim *s = p->scene->sim;
    struct offer *o = &p->offers[i];
    unsigned what = pg_sim_below(s, 3);
    talks_doubt_service(p->scene, p->number, i);
    if (!o->on || what == 0)
        o->on = !o->on;
    else if (what == 1)
        draw_target(p, o);
    else if (o->allowed)
        o->allowed = 0;
    else
        draw_allowed(p, o);
    o->since_us = pg_sim_now(s);
}

static void change_forward(struct peer *p, unsigned i)
{
    struct forward *f = &p->forwards[i];
    talks_doubt_forward(p->scene, p->number, i);
    if (f->on && pg_sim_chance(p->scene->sim, 400)) {
        f->on = false;
        f->since_us = pg_sim_now(p->scene->sim);
    } else {
        draw_forward(p, i);
    }
}

void lists_change(struct peer *p)
{
    struct scene *sc = p->scene;
    struct pg_sim *s = sc->sim;
    sc->n_reloads++;
    for (unsigned to = 0; to < sc->n_peers; to++)
        p->dialled_before[to] = lists_dials(p, to);
    for (unsigned n = pg_sim_below(s, 4); n > 0; n--) {
        if (pg_sim_chance(s, 500))
            change_offer(p, pg_sim_below(s, SERVICES));
        else
            change_forward(p, pg_sim_below(s, FORWARDS_MOST));
    }
    write_lists(p);
}

bool lists_reload(void *context, uint8_t **data, size_t *len)
{
    struct peer *p = context;
    lists_change(p);
    *data = p->lists;
    *len = p->lists_len;
    return true;
}

/* Whoever does not run reads them at the next start. */
static void on_edit(void *context, uint64_t argument)
{
    struct peer *p = context;
    (void)argument;
    if (p->peer && pg_sim_is_running(p->process))
        pg_sim_reload(p->process);
    else
        lists_change(p);
}

void reloads_plan(struct scene *sc, uint64_t from_us, uint64_t for_us)
{
    struct pg_sim *s = sc->sim;
    for (unsigned n = pg_sim_chance(s, 500) ? 0 : 1 + pg_sim_below(s, 4); n > 0; n--)
        pg_sim_at(s, from_us + pg_sim_below(s, (uint32_t)for_us), on_edit, &sc->peers[pg_sim_below(s, sc->circuits ? PRIVATE : sc->n_peers)], 0);
}

unsigned lists_dials(const struct peer *p, unsigned to)
{
    unsigned n = p->dialled_before[to], tunnels = 0;
    for (unsigned i = 0; i < FORWARDS_MOST; i++) {
        const struct forward *f = &p->forwards[i];
        if (!f->on || f->to != to)
            continue;
        n += f->by_bootstrap;
        tunnels |= !f->by_bootstrap;
    }
    return n + tunnels;
}
