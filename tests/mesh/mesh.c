/* Many peers in one process, on the simulated network: they find each other, publish services by name, and look them up, in calm, with
 * a part of all peers dead at one blow, and under churn. Run by tools/experiment and `make mesh`.
 *   mesh [--peers N] [--services N] [--lookups N] [--dead PERMILLE] [--minutes N] [--churn PERMILLE] [--settle SECONDS] [--every MS]
 *        [--conns N] [--seed N] [--rows FILE]
 * conns: how many a peer may have, those apart that all start from; they are most of its memory. 0: as many as by default.
 * Every look-up is a row of CSV in FILE; standard output has one line of JSON for each part. Status 1 when too few were found. */
#include "core/kad.h"
#include "service/peer.h"
#include "sim/seeded.h"
#include "sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define SECONDS ((uint64_t)1000000)

enum { PORT = 4001, EACH_BOOTSTRAP = 300, NAME = 24, JOIN_S = 10, TOLD_EACH = 1000, LIVING_FOUND = 990, PUBLISHED_S = 5 };

struct options {
    unsigned peers, services, lookups, dead, minutes, churn, settle_s, every_ms, conns;
    uint64_t seed;
    const char *rows;
};

struct member {
    struct pg_identity *identity;
    struct pg_peer *peer;
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_peer_expose exposed;
    char name[NAME];
    uint64_t since_us;
    bool alive;
};

struct mesh {
    struct options o;
    struct pg_sim *sim;
    struct member *members; /* one a host; the first are those that everybody starts from, the next offer services */
    uint64_t identities;
    unsigned n_open;
    FILE *rows;
};

/* One look-up of a service, asked by a peer that may die meanwhile. */
struct lookup {
    struct pg_kad_asker asker; /* first */
    struct mesh *mesh;
    struct pg_kad_query *query;
    unsigned from, service;
    uint64_t begun_us, found_us;
    bool over, excused;
    struct pg_kad_result result;
};

/* Peers. */

/* As many as have room for all the others. */
static unsigned bootstraps(const struct options *o)
{
    return 3 + o->peers / EACH_BOOTSTRAP;
}

static unsigned service_host(const struct mesh *m, unsigned service)
{
    return bootstraps(&m->o) + service;
}

static void address_of(const struct mesh *m, unsigned host, struct pg_multiaddr *out)
{
    struct pg_endpoint at = pg_sim_endpoint(host, PORT);
    pg_multiaddr_from_tcp(out, &at);
    if (m->members[host].identity)
        (void)pg_multiaddr_append_p2p(out, pg_identity_peer_id(m->members[host].identity));
}

static void start(struct mesh *m, unsigned host)
{
    struct member *p = &m->members[host];
    struct pg_peer_config c = {.tunnel_wait_ms = 10000};
    uint8_t key[32] = {1};
    unsigned first = bootstraps(&m->o);
    uint64_t number = ++m->identities;
    memcpy(&key[1], &number, sizeof number);
    pg_identity_free(p->identity);
    p->identity = NULL;
    pg_node_config_default(&c.node);
    c.node.identity = p->identity = pg_identity_from_seed(key);
    c.node.limits.value[PG_LIMIT_MEMORY] = (uint64_t)8 << 20;
    c.node.limits.value[PG_LIMIT_STREAMS] = 2048;
    if (host >= first && m->o.conns) {
        c.node.limits.value[PG_LIMIT_CONNS] = m->o.conns;
        c.node.limits.value[PG_LIMIT_CONNS_INBOUND] = m->o.conns * 3 / 4;
    }
    c.node.seed = pg_sim_random(m->sim);
    c.node.hash_seed = pg_sim_random(m->sim);
    c.node.unix_offset_us = 1760000000 * SECONDS;
    address_of(m, host, &c.node.listens[c.node.n_listens++]);
    pg_multiaddr_strip_p2p(&c.node.listens[0]);
    if (host > 0)
        address_of(m, host < first ? 0 : pg_sim_below(m->sim, first), &c.node.bootstraps[c.node.n_bootstraps++]);
    if (host >= first && host < first + m->o.services) {
        snprintf(p->name, sizeof p->name, "service-%u", host - first);
        p->exposed = (struct pg_peer_expose){.name = pg_text(p->name), .host = PG_LIT("127.0.0.1"), .port = 7000};
        c.exposed = &p->exposed;
        c.n_exposed = 1;
    }
    p->peer = pg_peer_new(&c);
    if (!p->peer) {
        fprintf(stderr, "mesh: no memory for peer %u\n", host);
        exit(1);
    }
    p->core = pg_peer_core(p->peer);
    p->process = pg_sim_join(m->sim, host, &p->core, (struct pg_sim_hooks){0});
    p->alive = true;
    p->since_us = pg_sim_now(m->sim);
    pg_sim_clock(p->process, 1000 * SECONDS);
    pg_sim_start(p->process);
}

static void end(struct mesh *m, unsigned host, enum pg_sim_death how)
{
    struct member *p = &m->members[host];
    p->alive = false;
    pg_sim_kill(p->process, how);
    pg_peer_free(p->peer);
    p->peer = NULL;
}

static void run(struct mesh *m, uint64_t us)
{
    if (pg_sim_run(m->sim, pg_sim_now(m->sim) + us))
        return;
    fprintf(stderr, "mesh: something spins\n");
    exit(1);
}

/* Look-ups. */

static void on_found(struct pg_kad_asker *asker, const struct pg_kad_contact *contact)
{
    struct lookup *l = (struct lookup *)asker;
    const struct member *p = &l->mesh->members[service_host(l->mesh, l->service)];
    if (!l->found_us && pg_peer_id_equal(&contact->id, pg_identity_peer_id(p->identity)))
        l->found_us = pg_sim_now(l->mesh->sim);
}

static void on_done(struct pg_kad_asker *asker, const struct pg_kad_result *result)
{
    struct lookup *l = (struct lookup *)asker;
    l->over = true;
    l->result = *result;
    l->mesh->n_open--;
}

/* Whoever has just come gets a moment to say what it offers. */
static bool is_offered(const struct mesh *m, unsigned service)
{
    const struct member *p = &m->members[service_host(m, service)];
    return p->alive && pg_sim_now(m->sim) - p->since_us >= PUBLISHED_S * SECONDS;
}

static void ask(struct mesh *m, struct lookup *l, const char *part)
{
    uint8_t key[PG_KAD_SERVICE_KEY_MAX];
    char name[NAME];
    size_t len;
    for (unsigned tries = 0; tries == 0 || !m->members[l->from].alive || !is_offered(m, l->service) || service_host(m, l->service) == l->from; tries++) {
        l->from = pg_sim_below(m->sim, m->o.peers);
        l->service = pg_sim_below(m->sim, m->o.services);
        if (tries == 1000000) {
            fprintf(stderr, "mesh: nobody is left who asks, or who offers a service\n");
            exit(1);
        }
    }
    l->asker = (struct pg_kad_asker){.found = on_found, .done = on_done};
    l->mesh = m;
    l->begun_us = pg_sim_now(m->sim);
    snprintf(name, sizeof name, "service-%u", l->service);
    (void)pg_kad_service_key(pg_text(name), key, &len);
    /* Under churn the first who is named may be the one who died: then everybody is heard. */
    struct pg_kad_question q = {.op = PG_KAD_PROVIDERS, .key = pg_bytes(key, len), .enough = strcmp(part, "churn") == 0 ? 0 : 1};
    l->query = pg_kad_ask(pg_peer_node(m->members[l->from].peer), &l->asker, &q);
    m->n_open += l->query != NULL;
    l->over = l->query == NULL;
    pg_sim_poke(m->members[l->from].process);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t *of, unsigned n)
{
    qsort(of, n, sizeof *of, by_number);
    return n ? of[n / 2] : 0;
}

/* Says how the part went; how many of a thousand were found. */
static unsigned tell(struct mesh *m, const char *part, const struct lookup *lookups, unsigned n)
{
    uint64_t *hops = calloc(3u * n + 1, sizeof *hops), *messages = hops + n, *ms = hops + 2 * n;
    unsigned found = 0, asked = 0, alive = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct lookup *l = &lookups[i];
        if (l->excused)
            continue;
        asked++;
        if (m->rows)
            fprintf(m->rows, "%s,%u,%u,%d,%u,%u,%.1f\n", part, l->from, l->service, l->found_us != 0, l->result.hops, l->result.messages,
                    l->found_us ? (double)(l->found_us - l->begun_us) / 1000 : 0.0);
        if (!l->found_us)
            continue;
        hops[found] = l->result.hops;
        messages[found] = l->result.messages;
        ms[found++] = (l->found_us - l->begun_us) / 1000;
    }
    for (unsigned i = 0; i < m->o.peers; i++)
        alive += m->members[i].alive;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"event\":\"mesh\",\"part\":\"%s\",\"peers\":%u,\"alive\":%u,\"lookups\":%u,\"found\":%u,\"hops_median\":%llu,\"hops_bound\":%.1f,"
           "\"messages_median\":%llu,\"ms_median\":%llu,\"world_s\":%.0f,\"cpu_s\":%.1f,\"peak_mib\":%ld}\n",
           part, m->o.peers, alive, asked, found, (unsigned long long)median(hops, found), log2(m->o.peers) + 2,
           (unsigned long long)median(messages, found), (unsigned long long)median(ms, found), (double)pg_sim_now(m->sim) / 1e6,
           (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6, usage.ru_maxrss / 1024);
    fflush(stdout);
    free(hops);
    return asked ? found * 1000 / asked : 0;
}

/* Whoever asked and is gone has not failed, and neither has who looked for a service that went meanwhile. */
static void excuse(struct mesh *m, struct lookup *lookups, unsigned n, unsigned host)
{
    for (unsigned i = 0; i < n; i++) {
        struct lookup *l = &lookups[i];
        if (!l->mesh || (l->from != host && service_host(m, l->service) != host))
            continue;
        l->excused |= !l->found_us;
        if (!l->over && l->from == host) {
            pg_kad_forget(l->query);
            l->over = true;
            m->n_open--;
        }
    }
}

/* While they go on, `churn` of a thousand peers a minute die without a word, and others come in their places. */
static void lookups(struct mesh *m, struct lookup *l, unsigned n, const char *part, unsigned churn, uint64_t every_us)
{
    unsigned first = bootstraps(&m->o);
    uint64_t due = 0; /* deaths, in peers times a thousand times the microseconds of a minute */
    memset(l, 0, n * sizeof *l);
    for (unsigned i = 0; i < n; i++) {
        ask(m, &l[i], part);
        run(m, every_us);
        for (due += (uint64_t)m->o.peers * churn * every_us; due >= 60000 * SECONDS; due -= 60000 * SECONDS) {
            unsigned host = first + pg_sim_below(m->sim, m->o.peers - first);
            if (!m->members[host].alive)
                continue;
            excuse(m, l, i + 1, host);
            end(m, host, PG_SIM_POWER_LOST);
            start(m, host);
        }
    }
    for (unsigned s = 0; m->n_open > 0 && s < 120; s++)
        run(m, SECONDS);
}

static void join_all(struct mesh *m)
{
    for (unsigned i = 0; i < m->o.peers; i++) {
        start(m, i);
        run(m, JOIN_S * SECONDS / m->o.peers);
        if (i && i % TOLD_EACH == 0)
            fprintf(stderr, "mesh: %u of %u have joined\n", i, m->o.peers);
    }
    run(m, m->o.settle_s * SECONDS);
}

static void kill_some(struct mesh *m)
{
    for (unsigned i = bootstraps(&m->o); i < m->o.peers; i++)
        if (pg_sim_chance(m->sim, m->o.dead))
            end(m, i, pg_sim_chance(m->sim, 500) ? PG_SIM_KILLED : PG_SIM_POWER_LOST);
}

static bool experiment(struct mesh *m)
{
    struct lookup *l = calloc(m->o.lookups, sizeof *l);
    bool good;
    join_all(m);
    lookups(m, l, m->o.lookups, "calm", 0, m->o.every_ms * 1000u);
    good = tell(m, "calm", l, m->o.lookups) == 1000;
    if (m->o.dead) {
        kill_some(m);
        lookups(m, l, m->o.lookups, "dead", 0, m->o.every_ms * 1000u);
        good &= tell(m, "dead", l, m->o.lookups) >= LIVING_FOUND;
    }
    if (m->o.minutes) {
        lookups(m, l, m->o.lookups, "churn", m->o.churn, m->o.minutes * 60 * SECONDS / m->o.lookups);
        good &= tell(m, "churn", l, m->o.lookups) >= LIVING_FOUND;
    }
    free(l);
    return good;
}

static bool parse(struct options *o, int n, char **at)
{
    struct { const char *name; unsigned *value; } numbers[] = {{"--peers", &o->peers}, {"--services", &o->services},
        {"--lookups", &o->lookups}, {"--dead", &o->dead}, {"--minutes", &o->minutes}, {"--churn", &o->churn}, {"--settle", &o->settle_s}, {"--every", &o->every_ms}, {"--conns", &o->conns}};
    for (int i = 1; i < n; i += 2) {
        bool known = i + 1 < n && (strcmp(at[i], "--rows") == 0 || strcmp(at[i], "--seed") == 0);
        if (i + 1 >= n)
            return false;
        if (strcmp(at[i], "--rows") == 0)
            o->rows = at[i + 1];
        if (strcmp(at[i], "--seed") == 0)
            o->seed = strtoull(at[i + 1], NULL, 0);
        for (unsigned k = 0; k < sizeof numbers / sizeof *numbers; k++)
            if (strcmp(at[i], numbers[k].name) == 0) {
                *numbers[k].value = (unsigned)strtoul(at[i + 1], NULL, 10);
                known = true;
            }
        if (!known)
            return false;
    }
    return o->services > 0 && o->lookups > 0 && (o->conns == 0 || o->conns >= 32) && o->peers > bootstraps(o) + o->services && o->peers < PG_SIM_HOSTS_MOST;
}

int main(int n, char **at)
{
    struct mesh m = {.o = {.peers = 1000, .services = 200, .lookups = 1000, .dead = 300, .churn = 100, .settle_s = 30, .every_ms = 20, .seed = 1}};
    if (!parse(&m.o, n, at)) {
        fprintf(stderr, "usage: mesh [--peers N] [--services N] [--lookups N] [--dead PERMILLE] [--minutes N] [--churn PERMILLE] [--settle SECONDS] [--every MS] "
                        "[--conns N] [--seed N] [--rows FILE]\n");
        return 2;
    }
    if (m.o.rows && !(m.rows = fopen(m.o.rows, "w"))) {
        fprintf(stderr, "mesh: %s cannot be written\n", m.o.rows);
        return 1;
    }
    if (m.rows)
        fprintf(m.rows, "part,asker,service,found,hops,messages,ms\n");
    seeded_install();
    seeded_begin(m.o.seed);
    m.sim = pg_sim_new(m.o.seed);
    pg_sim_widen(m.sim, m.o.peers);
    pg_sim_rules(m.sim)->buffer = 16384;
    /* As the seed's experiment with 67 nodes has it: 45 ms, 1 % loss. */
    *pg_sim_path(m.sim, PG_SIM_HOSTS, PG_SIM_HOSTS + 1) = (struct pg_sim_path){.latency_us = 40000, .jitter_us = 10000, .lost = 10};
    for (unsigned a = 0; a < PG_SIM_HOSTS; a++)
        for (unsigned b = 0; b < a; b++)
            *pg_sim_path(m.sim, a, b) = *pg_sim_path(m.sim, PG_SIM_HOSTS, PG_SIM_HOSTS + 1);
    m.members = calloc(m.o.peers, sizeof *m.members);
    bool good = experiment(&m);
    for (unsigned i = 0; i < m.o.peers; i++)
        if (m.members[i].peer)
            end(&m, i, PG_SIM_KILLED);
    for (unsigned i = 0; i < m.o.peers; i++)
        pg_identity_free(m.members[i].identity);
    pg_sim_free(m.sim);
    free(m.members);
    if (m.rows && fclose(m.rows) != 0)
        good = false;
    return good ? 0 : 1;
}
