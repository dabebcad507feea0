/* See churn.h. Pairs of private peers with a tunnel between them, most of which nobody can punch, so that their bytes stay on relays. */
#include "churn.h"

#include "sim/seeded.h"
#include "world.h"

#include <stdlib.h>

enum { CLIENT_EVERY_S = 5, BYTES = 20000, BACK_S = 30, DEAF_MOST_S = 5, SILENCE_S = 40, GRACE_S = 30, KEPT = 64 };

struct pair {
    struct client clients[KEPT]; /* a ring */
    unsigned n_clients, deaf_s, deaf_most_s;
};

struct state {
    struct world w;
    struct pair *pairs;
    unsigned n_pairs, silent, killed, complete, cut, wrong, unanswered, deaf_seconds, seconds;
    FILE *rows;
};

static unsigned user_of(const struct state *s, unsigned pair)
{
    return s->w.n_relays + 2 * pair;
}

static unsigned provider_of(const struct state *s, unsigned pair)
{
    return user_of(s, pair) + 1;
}

/* Half of those that live. */
static void kill_half(struct state *s)
{
    unsigned alive = 0;
    for (unsigned r = 0; r < s->w.n_relays; r++)
        alive += s->w.members[r].peer != NULL;
    for (unsigned left = alive / 2; left > 0;) {
        unsigned r = pg_sim_below(s->w.sim, s->w.n_relays);
        if (!s->w.members[r].peer)
            continue;
        member_kill(&s->w, r, pg_sim_chance(s->w.sim, s->silent) ? PG_SIM_POWER_LOST : PG_SIM_KILLED);
        s->killed++;
        left--;
    }
}

static void bring_back(struct state *s)
{
    for (unsigned r = 0; r < s->w.n_relays; r++)
        if (!s->w.members[r].peer)
            member_start(&s->w, r, false, -1);
}

static void count_client(struct state *s, const struct client *c)
{
    s->wrong += c->wrong;
    s->complete += client_complete(c);
    s->cut += c->over && !c->wrong && !client_complete(c);
    s->unanswered += !c->over;
}

static void begin_clients(struct state *s)
{
    for (unsigned p = 0; p < s->n_pairs; p++) {
        struct pair *pair = &s->pairs[p];
        struct client *c = &pair->clients[pair->n_clients % KEPT];
        if (pair->n_clients >= KEPT) {
            count_client(s, c);
            pg_sim_close(c->socket);
        }
        pair->n_clients++;
        client_begin(c, &s->w.members[user_of(s, p)], BYTES);
    }
}

static void look(struct state *s, unsigned second)
{
    s->seconds++;
    for (unsigned p = 0; p < s->n_pairs; p++) {
        struct pair *pair = &s->pairs[p];
        const struct member *provider = &s->w.members[provider_of(s, p)];
        unsigned held = member_reservations(provider);
        bool direct = member_connected(&s->w.members[user_of(s, p)], provider, false);
        if (s->rows)
            fprintf(s->rows, "%u,%u,%u,%d,%d\n", second, p, held, direct, member_connected(&s->w.members[user_of(s, p)], provider, true));
        pair->deaf_s = held ? 0 : pair->deaf_s + 1;
        s->deaf_seconds += held == 0;
        pair->deaf_most_s = pair->deaf_s > pair->deaf_most_s ? pair->deaf_s : pair->deaf_most_s;
    }
}

static void open_all(struct state *s, uint64_t seed, unsigned relays)
{
    enum kind *kinds = calloc(2 * s->n_pairs, sizeof *kinds);
    for (unsigned p = 0; kinds && p < s->n_pairs; p++) { /* every fourth pair can be punched */
        kinds[2 * p] = p % 4 == 3 ? PORT_RESTRICTED : SYMMETRIC;
        kinds[2 * p + 1] = p % 2 ? PORT_RESTRICTED : SYMMETRIC;
    }
    world_open(&s->w, seed, relays, relays + 2 * s->n_pairs, kinds);
    free(kinds);
    for (unsigned a = 0; a < PG_SIM_HOSTS; a++)
        for (unsigned b = 0; b < a; b++)
            *pg_sim_path(s->w.sim, a, b) = (struct pg_sim_path){.latency_us = 20000, .jitter_us = 5000, .lost = 5};
    *pg_sim_path(s->w.sim, PG_SIM_HOSTS, PG_SIM_HOSTS + 1) = (struct pg_sim_path){.latency_us = 20000, .jitter_us = 5000, .lost = 5};
    for (unsigned r = 0; r < relays; r++)
        member_start(&s->w, r, false, -1);
    world_run(&s->w, 2 * SECONDS);
    for (unsigned p = 0; p < s->n_pairs; p++) {
        service_open(&s->w, provider_of(s, p));
        member_start(&s->w, provider_of(s, p), true, -1);
        member_start(&s->w, user_of(s, p), false, (int)provider_of(s, p));
    }
    world_run(&s->w, GRACE_S * SECONDS);
}

bool churn(const struct churn_options *o, FILE *rows)
{
    unsigned pairs = o->pairs;
    struct state s = {.pairs = calloc(pairs, sizeof *s.pairs), .n_pairs = pairs, .silent = o->silent, .rows = rows};
    unsigned deaf_most = 0, clients = 0;
    if (!s.pairs)
        return false;
    if (rows)
        fprintf(rows, "second,pair,reservations,direct,relayed\n");
    seeded_begin(o->seed);
    open_all(&s, o->seed, o->relays);
    for (unsigned second = 0; second < o->minutes * 60; second++) {
        if (second % 60 == 0)
            kill_half(&s);
        if (second % 60 == BACK_S)
            bring_back(&s);
        if (second % CLIENT_EVERY_S == 0)
            begin_clients(&s);
        world_run(&s.w, SECONDS);
        look(&s, second);
    }
    world_run(&s.w, GRACE_S * SECONDS);
    for (unsigned p = 0; p < pairs; p++) {
        for (unsigned i = 0; i < s.pairs[p].n_clients && i < KEPT; i++)
            count_client(&s, &s.pairs[p].clients[i]);
        deaf_most = s.pairs[p].deaf_most_s > deaf_most ? s.pairs[p].deaf_most_s : deaf_most;
        clients += s.pairs[p].n_clients;
    }
    bool good = s.wrong == 0 && s.unanswered == 0 && deaf_most <= (o->silent ? SILENCE_S : DEAF_MOST_S) && s.complete * 100 >= clients * (o->silent ? 80 : 98);
    printf("{\"event\":\"churn\",\"minutes\":%u,\"relays\":%u,\"killed\":%u,\"pairs\":%u,\"clients\":%u,\"complete\":%u,\"cut\":%u,\"unanswered\":%u,"
           "\"wrong\":%u,\"without_reservation_of_thousand\":%u,\"longest_without_s\":%u,\"good\":%s}\n",
           o->minutes, o->relays, s.killed, pairs, clients, s.complete, s.cut, s.unanswered, s.wrong,
           s.seconds ? 1000 * s.deaf_seconds / (s.seconds * pairs) : 0, deaf_most, good ? "true" : "false");
    world_close(&s.w);
    free(s.pairs);
    return good;
}
