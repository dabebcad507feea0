/* A simulated world: seeded network, fake time, cores in processes, and scripts that play local clients and services.
 * Does for several cores what runtime/loop does for one, through the same runtime/port.h, and knows no protocol.
 * Called by tests/sim. Everything that happens follows from the seed and from the calls made. */
#pragma once
#include "port.h"

struct pg_sim;
struct pg_sim_process;
struct pg_sim_socket;

/* The world's randomness: for the network and for whoever plans what happens in it. */
struct pg_sim *pg_sim_new(uint64_t seed); /* NULL: memory is short */
void pg_sim_free(struct pg_sim *);
uint64_t pg_sim_random(struct pg_sim *);
uint32_t pg_sim_below(struct pg_sim *, uint32_t bound); /* 0 when bound is */
bool pg_sim_chance(struct pg_sim *, uint32_t of_thousand);

/* Time in microseconds since the world began. */
uint64_t pg_sim_now(const struct pg_sim *);
void pg_sim_at(struct pg_sim *, uint64_t at_us, void (*run)(void *context, uint64_t argument), void *context, uint64_t argument);
/* Everything that happens until then. False when the world has come to no rest within one moment: something spins. */
bool pg_sim_run(struct pg_sim *, uint64_t until_us);
/* A hash over every input, command and byte of every core so far: the same seed gives the same one. */
uint64_t pg_sim_trace(const struct pg_sim *);
/* Prints every input and command to a file descriptor; -1: nothing. */
void pg_sim_tell(struct pg_sim *, int fd);

/* The network. Hosts are numbered from 0; their address is 10.0.0.0 + n + 1, and 127.0.0.1 is the host itself. So is a unix
 * socket, at a path of at most 15 bytes; cores see it as they do on Linux, as no address at all. */
#define PG_SIM_HOSTS 8u /* each pair of them has a path of its own */
/* More hosts than that, once and before anything happens there. All paths that lead to or from one beyond PG_SIM_HOSTS are one path, and
 * so are their loopbacks. */
#define PG_SIM_HOSTS_MOST 65536u
void pg_sim_widen(struct pg_sim *, unsigned hosts);
#define PG_SIM_UNIX 1 /* the family of such an address, between scripts and the simulator only */
struct pg_endpoint pg_sim_endpoint(unsigned host, uint16_t port);
struct pg_endpoint pg_sim_loopback(uint16_t port);
struct pg_endpoint pg_sim_unix(const char *path);

/* A wide-area network instead, once and before anything happens there: a host's address is 11.0.0.0 + n + 1, which is public, unless a
 * router stands before it. Then that is the router's, and the host's own one is 10.0.0.0 + n + 1, which nobody else can reach. A lost SYN
 * is sent again as Linux does it, and SYNs that meet become one connection (RFC 9293 section 3.5, figure 8). */
void pg_sim_wan(struct pg_sim *);
enum pg_sim_by { PG_SIM_BY_NOTHING, PG_SIM_BY_ADDRESS, PG_SIM_BY_PORT }; /* RFC 4787: independent of the other end, dependent on it */
struct pg_sim_nat {
    enum pg_sim_by maps, filters;
    bool keeps_ports; /* the port outside is the one inside, where that is free */
    bool answers;     /* what may not come in is answered with a reset instead of silence */
    uint64_t idle_us; /* a mapping that carries nothing for so long is forgotten; 0: never */
};
void pg_sim_router(struct pg_sim *, unsigned host, const struct pg_sim_nat *);
/* It forgets all mappings, and connections over them hear nothing any more. */
void pg_sim_reboot(struct pg_sim *, unsigned host, bool another_address);
struct pg_endpoint pg_sim_inside(const struct pg_sim *, unsigned host, uint16_t port);  /* where the host is for itself */
struct pg_endpoint pg_sim_outside(const struct pg_sim *, unsigned host, uint16_t port); /* and for others, as far as it is */

/* Names: `host1` to `host8` are the hosts, `loopback` is whoever asks, `localhost` is so without being asked for; others have
 * TXT records only. Both are borrowed for the world's life. */
void pg_sim_record(struct pg_sim *, const char *name, const char *text);

struct pg_sim_path {            /* between two hosts, both ways; a host with itself is its loopback */
    uint64_t latency_us, jitter_us;
    uint32_t lost;              /* of a thousand pieces: arrive only when they were sent again, and all behind them wait */
    uint64_t bytes_per_s;       /* 0: no limit */
    uint64_t stalled_until_us;  /* nothing arrives before */
    enum { PG_SIM_OPEN, PG_SIM_REFUSES, PG_SIM_UNREACHABLE, PG_SIM_SILENT } dials; /* what becomes of new connections */
};
struct pg_sim_path *pg_sim_path(struct pg_sim *, unsigned a, unsigned b);

struct pg_sim_rules {
    uint32_t buffer;            /* bytes under way and unread in one direction of a connection */
    uint32_t tiny_reads;        /* of a thousand reads or writes: moves a few bytes only */
    uint32_t early_again;       /* of a thousand writes: the socket takes nothing for a moment */
    /* Of a thousand questions about names: no such name, a late answer, an answer that is another name's. */
    uint32_t names_fail, names_late, names_wrong;
    uint32_t datagrams_lost;    /* of a thousand datagrams, for each who would hear them; and as many come twice */
    bool reset_discards;        /* what had not been read when a reset comes is gone */
};
struct pg_sim_rules *pg_sim_rules(struct pg_sim *);

enum pg_sim_break {
    PG_SIM_BREAK_RESET,  /* both ends hear a reset */
    PG_SIM_BREAK_SILENT, /* neither hears anything, ever: a box between has forgotten the connection */
};
/* All connections between two hosts, or of one of them to itself. Returns how many. */
unsigned pg_sim_break(struct pg_sim *, unsigned a, unsigned b, enum pg_sim_break);

/* Processes: a core on a host. */
struct pg_sim_hooks {
    void (*ready)(void *context);
    void (*report)(void *context, struct pg_bytes text);
    bool (*reload)(void *context, uint8_t **data, size_t *len); /* the lists for PG_INPUT_RELOAD, at most PG_READ_MAX; false: none */
    void (*stopped)(void *context, int status); /* the loop has ended: the core may be freed after this call returns */
    void *context;
};
struct pg_sim_process *pg_sim_join(struct pg_sim *, unsigned host, const struct pg_core *, struct pg_sim_hooks);
void pg_sim_start(struct pg_sim_process *);
/* The core was asked to do something from outside: what it has ordered is carried out. */
void pg_sim_poke(struct pg_sim_process *);
/* The addresses of its machine, as PG_INPUT_WAYS tells of them; connections are what pg_sim_break makes of them. */
void pg_sim_ways(struct pg_sim_process *, const struct pg_endpoint *found, uint32_t n);
/* SIGTERM, SIGHUP. */
void pg_sim_signal(struct pg_sim_process *);
void pg_sim_reload(struct pg_sim_process *);
/* Ends at once without a word to the core, which may be freed then: by kill -9, where the system closes the sockets, or by
 * loss of power, where nobody hears of it before the host answers again. */
enum pg_sim_death { PG_SIM_KILLED, PG_SIM_POWER_LOST };
void pg_sim_kill(struct pg_sim_process *, enum pg_sim_death);
/* The process does not run for that long; its clock does, or stands still as Linux lets it do in suspend. */
void pg_sim_freeze(struct pg_sim_process *, uint64_t for_us, bool clock_runs);
/* Its monotonic clock from now on, ahead of the world's. */
void pg_sim_clock(struct pg_sim_process *, uint64_t ahead_us);
/* No descriptors for accepted connections until then. */
void pg_sim_starve(struct pg_sim_process *, uint64_t until_us);
bool pg_sim_is_running(const struct pg_sim_process *);
uint64_t pg_sim_ticks(const struct pg_sim_process *); /* times that its deadline has woken it */
unsigned pg_sim_sockets(const struct pg_sim_process *);

/* Sockets of scripts. A listener is at 127.0.0.1 or a unix socket. */
enum pg_sim_news { PG_SIM_CONNECTED, PG_SIM_READABLE, PG_SIM_WRITABLE, PG_SIM_LOST };
struct pg_sim_user {
    void (*accepted)(void *context, struct pg_sim_socket *fresh); /* of a listener; set its user with pg_sim_use */
    void (*news)(void *context, struct pg_sim_socket *, enum pg_sim_news);
};
struct pg_sim_socket *pg_sim_listen(struct pg_sim *, unsigned host, struct pg_endpoint at, const struct pg_sim_user *, void *context);
struct pg_sim_socket *pg_sim_dial(struct pg_sim *, unsigned host, struct pg_endpoint to, const struct pg_sim_user *, void *context);
/* From a port of the dialler's; 0: any. */
struct pg_sim_socket *pg_sim_dial_from(struct pg_sim *, unsigned host, uint16_t port, struct pg_endpoint to, const struct pg_sim_user *, void *context);
void pg_sim_use(struct pg_sim_socket *, const struct pg_sim_user *, void *context);
size_t pg_sim_send(struct pg_sim_socket *, const void *, size_t); /* how many it took; news of PG_SIM_WRITABLE follow when not all */
size_t pg_sim_receive(struct pg_sim_socket *, void *, size_t);    /* 0: nothing now; see pg_sim_ended */
bool pg_sim_ended(const struct pg_sim_socket *);                  /* all was read, and the other end writes no more */
void pg_sim_finish(struct pg_sim_socket *);                       /* half-close */
void pg_sim_close(struct pg_sim_socket *);                        /* as close(2): a reset when something is left unread */
void pg_sim_abort(struct pg_sim_socket *);                        /* a reset; of a unix socket, which has none, as pg_sim_close */
bool pg_sim_is_unix(const struct pg_sim_socket *);
const struct pg_endpoint *pg_sim_remote(const struct pg_sim_socket *); /* as its owner sees the other end */
