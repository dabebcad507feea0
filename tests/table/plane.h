/* A control plane and the seed's events for tests: built anew by fresh(), and told what happens by the functions below.
 * Used by seed_test.c and relays_test.c only. */
#pragma once
#include "table_suite.h"

static struct bench *b;
static struct pg_multiaddr listens[2], bootstraps[1];
static const struct pg_bytes exposed[] = {{(const uint8_t *)"echo", 4}, {(const uint8_t *)"ssh", 3}};
static uint32_t relays_wanted = 1;
static const struct pg_bytes wanted[] = {{(const uint8_t *)"web", 3}};

static inline struct pg_peer_id peer(uint8_t number)
{
    struct pg_peer_id id = {.len = 38, .at = {0, 36, 8, 1, 18, 32}};
    id.at[37] = number;
    return id;
}

static inline struct pg_multiaddr addr(const char *text)
{
    struct pg_multiaddr out = {0};
    if (pg_multiaddr_parse(&out, pg_text(text)) != PG_OK)
        abort();
    return out;
}

static inline void fresh(bool with_bootstrap)
{
    static struct bench bench;
    if (b)
        pg_scope_free(&b->scope);
    b = &bench;
    memset(b, 0, sizeof *b);
    if (!pg_scope_init(&b->scope, PG_CONTROL_TIMERS, PG_CONTROL_PENDING))
        abort();
    b->scope.next = bench_next;
    listens[0] = addr("/ip4/0.0.0.0/tcp/0");
    listens[1] = addr("/ip6/::/tcp/0");
    bootstraps[0] = addr("/ip4/192.0.2.1/tcp/4001");
    struct pg_control_config config = {.listens = listens, .n_listens = 2,
                                       .bootstraps = bootstraps, .n_bootstraps = with_bootstrap,
                                       .exposed = exposed, .n_exposed = 2, .wanted = wanted, .n_wanted = 1, .n_relays = relays_wanted, .seed = 7,
                                       .told = bench_told, .context = b};
    pg_control_plane_init(&b->cp, &config, &b->scope);
    b->cp.can_reserve = true;
    b->cp.judges = 1;
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_NODE_STARTED});
}

/* Events with what they carry. */
static inline void simple(enum pg_seed_event_kind kind)
{
    bench_input(b, (struct pg_seed_event){.kind = kind});
}
static inline void bootstrap_connected(uint8_t number)
{
    struct pg_peer_id id = peer(number);
    struct pg_multiaddr at = addr("/ip4/192.0.2.1/tcp/4001");
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_BOOTSTRAP_CONNECTED, .peer = &id, .addr = &at});
}
/* Identify says that it relays, or that it does not. */
static inline void says(uint8_t number, int hop, const char *where)
{
    struct pg_peer_id id = peer(number);
    struct pg_multiaddr seen = addr(where);
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_PEER_IDENTIFIED, .peer = &id, .hop = hop, .seen = &seen});
}
static inline void relays(uint8_t number)
{
    says(number, 1, "/ip4/192.0.2.1/tcp/4001");
}
static inline void nat(enum pg_seed_nat status)
{
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_NAT_STATUS_CHANGED, .nat = status});
}
static inline void mdns(enum pg_seed_event_kind kind, uint8_t number, const char *text)
{
    struct pg_seed_place place = {peer(number), addr(text)};
    bench_input(b, (struct pg_seed_event){.kind = kind, .places = &place, .n_places = 1});
}
static inline void identified(uint8_t number)
{
    struct pg_peer_id id = peer(number);
    struct pg_seed_place places[] = {
        {id, addr("/ip4/192.0.2.9/tcp/1")}, {id, addr("/ip6/2001:db8::9/tcp/1")}, {id, addr("/ip4/192.0.2.9/tcp/2")}};
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_PEER_IDENTIFIED, .peer = &id, .places = places, .n_places = 3});
}
static inline void about(enum pg_seed_event_kind kind, uint8_t number, uint32_t remaining)
{
    struct pg_peer_id id = peer(number);
    bench_input(b, (struct pg_seed_event){.kind = kind, .peer = &id, .remaining = remaining, .reason = PG_LIT("because")});
}
static inline void listening(const char *text)
{
    struct pg_multiaddr at = addr(text);
    bench_input(b, (struct pg_seed_event){.kind = PG_SEED_LISTENING_ON, .addr = &at});
}
static inline void lookup(enum pg_seed_event_kind kind)
{
    bench_input(b, (struct pg_seed_event){.kind = kind, .name = PG_LIT("web"), .reason = PG_LIT("none")});
}

static inline bool phase_is(const char *name)
{
    return strcmp(pg_control_plane_phase(&b->cp), name) == 0;
}
static inline bool nat_is(const char *name)
{
    return strcmp(pg_control_plane_nat(&b->cp), name) == 0;
}
static inline bool relay_is(const char *name)
{
    return strcmp(pg_control_plane_relay(&b->cp), name) == 0;
}
static inline bool knows(uint8_t number)
{
    struct pg_peer_id id = peer(number);
    return pg_book_find(&b->cp.book, &id) != NULL;
}

/* A plane in the given phase and status. */
static inline void in_phase(unsigned phase, enum pg_seed_nat status)
{
    fresh(true);
    nat(status);
    if (phase > 0 && phase < 3)
        bootstrap_connected(1), relays(1);
    if (phase == 2)
        simple(PG_SEED_DISCOVERY_TIMEOUT);
    if (phase == 3)
        simple(PG_SEED_SHUTDOWN_REQUESTED);
}
