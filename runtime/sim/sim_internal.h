/* What the files of runtime/sim share: the world, its events, both sides of a socket. */
#pragma once
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { SIM_NOWHERE = PG_SIM_HOSTS_MOST, SIM_PLACES = 16384, SIM_PORTS_FROM = 32768, SIM_DIAL_GIVES_UP_US = 127000000 };
/* Linux gives a connection up when what was sent stays unanswered that long (tcp_retries2). */
#define SIM_UNANSWERED_US 924600000u

struct sim_event {
    uint64_t at_us, number; /* equal times happen in the order they were asked for */
    void (*run)(void *context, uint64_t argument);
    void *context;
    uint64_t argument;
};

/* One end of a connection, or a listener. Its memory stays until the world ends, so that what is under way to it finds it. */
struct pg_sim_socket {
    struct pg_sim *sim;
    struct pg_sim_socket *other, *next, *next_place, **previous_place;
    unsigned host, number;
    struct pg_endpoint local, remote;
    struct pg_endpoint seen;                       /* behind a router: as what its SYN left it */
    /* Coming in: a ring of what the other end has written; everything counts from the connection's first byte. */
    uint8_t *ring;
    uint32_t room;
    uint64_t written, arrived, taken;
    uint64_t last_arrival_us, wire_free_us, moved_us;
    bool fin_written, fin_arrived, reset, severed; /* severed: nothing arrives any more */
    bool listening, connecting, open, closed;      /* closed: the owner has given it up */
    bool writer_waits;                             /* the other end found no room */
    int failure;                                   /* of connecting, or of a connection given up: enum pg_err */
    struct pg_sim_socket *backlog, *next_backlog;  /* accepted by the system, not by the owner */
    /* The owner: a script, */
    const struct pg_sim_user *user;
    void *context;
    /* or a process; the rest is what a loop keeps for a link. */
    struct pg_sim_process *process;
    struct pg_link *link;
    struct pg_sim_socket *next_ready, *next_dirty, *next_own; /* next_own: of the process, in its life */
    uint64_t linger_until_us;
    uint8_t mode;
    bool armed, want_write, writable, ready, dirty, lingers;
    bool dials, resolving; /* the core has not heard yet how it went; its name is being asked for */
    bool end_asked, end_done, close_asked, flushed, saw_end;
};

enum { SIM_QUESTIONS = 256, SIM_NAME = 64 };
struct sim_question {
    uint64_t asked; /* its number in the process's life */
    uint32_t number;
    uint8_t kind;
    bool open;
    char name[SIM_NAME];
};

struct sim_record {
    struct sim_record *next;
    const char *name, *text;
};

enum { SIM_PORTS = 8 };
struct sim_port { /* a datagram socket */
    struct pg_endpoint at;
    uint32_t number;
    bool open;
};

struct pg_sim_process {
    struct pg_sim *sim;
    struct pg_sim_process *next;
    struct pg_core core;
    struct pg_sim_hooks hooks;
    unsigned host, number;
    uint64_t ahead_us;       /* of its monotonic clock */
    uint64_t frozen_until_us, starved_until_us, stop_until_us;
    uint64_t deadline_us, deadline_number; /* what the core waits for, in its time; a newer number makes the event void */
    uint64_t ticks, asked;
    struct sim_question questions[SIM_QUESTIONS];
    struct sim_port ports[SIM_PORTS];
    struct pg_sim_socket *own; /* all sockets that it has had */
    struct pg_sim_socket *ready, *dirty; /* something to read, write, accept; bytes to be written when the drain ends */
    unsigned n_ready, n_links;
    bool running, draining, interrupted, stopping, stop_seen, wake_due;
    int status;
};

struct pg_sim {
    uint64_t now_us, random, trace, events;
    struct sim_event *heap; /* from index 1 */
    size_t n_heap, heap_room;
    struct pg_sim_socket *sockets;
    struct pg_sim_process *processes;
    struct sim_datagram *datagrams; /* under way, and those that have arrived since the last one left */
    struct pg_sim_path paths[PG_SIM_HOSTS][PG_SIM_HOSTS], wide, home; /* wide: of hosts beyond; home: their loopbacks */
    struct pg_sim_socket *places[SIM_PLACES], *listeners[SIM_PLACES]; /* sockets by where they are; those that listen apart */
    unsigned n_hosts;
    struct sim_record *records;
    struct pg_sim_rules rules;
    unsigned n_sockets, n_processes;
    bool *host_down;
    struct sim_router **routers; /* of a wide-area network: one for each host, or NULL */
    uint16_t next_port;
    int tell_fd;
};

/* world.c */
void sim_mix(struct pg_sim *, const void *, size_t);
void sim_mix_number(struct pg_sim *, uint64_t);
void *sim_take(size_t); /* zeroed; a simulator without memory is at its end */

/* network.c: what the system does for both kinds of owners. */
struct pg_sim_socket *sim_socket(struct pg_sim *, unsigned host);
bool sim_listen(struct pg_sim_socket *, const struct pg_endpoint *); /* false: the port is taken */
void sim_connect(struct pg_sim_socket *, const struct pg_endpoint *to, const struct pg_endpoint *from);
size_t sim_write(struct pg_sim_socket *, const uint8_t *, size_t);
size_t sim_read(struct pg_sim_socket *, uint8_t *, size_t);
size_t sim_readable(const struct pg_sim_socket *);
void sim_shut(struct pg_sim_socket *);             /* no more is written */
void sim_release(struct pg_sim_socket *, bool hard); /* the owner's close */
struct pg_sim_socket *sim_accept(struct pg_sim_socket *listener);
struct pg_sim_path *sim_path(struct pg_sim *, const struct pg_sim_socket *);

/* nat.c. The host that such an address leads to, SIM_NOWHERE: none. */
unsigned sim_nat_host(const struct pg_sim *, const struct pg_endpoint *);
/* As what a SYN leaves its host's router; whether one comes in, and where to. */
struct pg_endpoint sim_nat_out(struct pg_sim *, unsigned host, const struct pg_endpoint *from, const struct pg_endpoint *to);
bool sim_nat_in(struct pg_sim *, unsigned host, const struct pg_endpoint *from, const struct pg_endpoint *to, struct pg_endpoint *inside);
bool sim_nat_answers(const struct pg_sim *, unsigned host);
/* Whether the routers on its way remember a connection; what they carry keeps it in mind. */
bool sim_nat_carries(struct pg_sim *, const struct pg_sim_socket *);
void sim_nat_free(struct pg_sim *);

/* process.c: a socket of a core can do something. */
void sim_process_news(struct pg_sim_socket *, enum pg_sim_news);

void sim_process_feed(struct pg_sim_process *, const struct pg_input *);

/* names.c */
void sim_resolve(struct pg_sim_process *, uint32_t number, uint8_t kind, struct pg_bytes name);
void sim_forget(struct pg_sim_process *, uint32_t number);
/* Asks for the name that a link of a core leads to; sim_named hears the address, or NULL. */
void sim_resolve_link(struct pg_sim_socket *, struct pg_bytes name);
void sim_named(struct pg_sim_socket *, const struct pg_endpoint *);

/* datagram.c */
void sim_bind(struct pg_sim_process *, uint32_t number, const struct pg_endpoint *);
void sim_send(struct pg_sim_process *, uint32_t number, const struct pg_endpoint *to, struct pg_bytes text);
void sim_unbind(struct pg_sim_process *, uint32_t number);
void sim_datagrams_free(struct pg_sim *, bool all);

/* script.c: a connection has come to a script's listener. */
void sim_script_arrival(struct pg_sim_socket *listener);
