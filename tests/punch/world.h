/* Peers behind routers of the simulated wide-area network, with a tunnel between them and clients that check what comes through.
 * Shared by punch.c, many small worlds of two, and churn.c, one of many whose relays die. */
#pragma once
#include "service/peer.h"
#include "sim/sim.h"
#include "trace/log.h"

#define SECONDS ((uint64_t)1000000)

enum kind { FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC, KINDS, PUBLIC = KINDS };
extern const char *const kind_names[KINDS + 1];

enum { PORT = 4001, SERVICE_PORT = 7000, CLIENT_PORT = 9000, FORWARDS = 2 };

struct member {
    struct world *world;
    struct pg_identity *identity;
    struct pg_peer *peer; /* NULL: it is dead */
    struct pg_core core;
    struct pg_sim_process *process;
    struct pg_log log;
    struct pg_peer_expose exposed;
    struct pg_peer_forward forward;
    unsigned host;
    enum kind kind;
    char name[24];
};

struct world {
    struct pg_sim *sim;
    struct member *members;
    unsigned n, n_relays; /* the first are public, and relays; everybody starts from one of them */
    uint64_t seed;
    struct echo *echoes;
};

extern bool world_talks; /* every peer's log goes to standard error */

/* Hosts 0 to n_relays - 1 are public; what stands before the others is `kinds`. */
void world_open(struct world *, uint64_t seed, unsigned n_relays, unsigned n, const enum kind *kinds);
void world_close(struct world *);
/* exposes: a service by the host's number; uses: that of another host, by its peer's id, or -1. */
void member_start(struct world *, unsigned host, bool exposes, int uses);
void member_kill(struct world *, unsigned host, enum pg_sim_death);
void world_run(struct world *, uint64_t us);
/* A connection of the one to the other that stands: direct, or over a relay. */
bool member_connected(const struct member *, const struct member *to, bool relayed);
/* Relays that have granted it a reservation and live. */
unsigned member_reservations(const struct member *);

/* A local client of a tunnel: sends a pattern, wants it back, and ends. */
struct client {
    struct member *at;
    struct pg_sim_socket *socket;
    uint64_t begun_us, over_us;
    size_t size, sent, got;
    uint32_t salt;
    bool over, wrong; /* wrong: a byte that was never sent, or not there */
};
void client_begin(struct client *, struct member *, size_t size);
bool client_complete(const struct client *);
/* The service of a member: echoes. Its listener stands as long as the world does. */
void service_open(struct world *, unsigned host);
