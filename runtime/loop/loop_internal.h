/* What the files of runtime/loop share: the loop, the system's side of a link, socket set-up. */
#pragma once
#include "loop/loop.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <uv.h>

struct os_link {
    struct pg_link *link;
    struct pg_loop *loop;
    uv_poll_t read_poll, write_poll; /* a socket uses read_poll for both directions */
    struct pg_endpoint remote, from;
    struct os_link *next_dirty, *next_pump, *next_linger, *next_held;
    struct pg_resolution *resolving; /* the host's name, or NULL */
    struct pg_endpoint *found;       /* addresses of the name; the first next_found of them have been tried */
    uint32_t n_found, next_found;
    char *unlink_path; /* of a unix listener */
    uint64_t linger_until_ms, held_until_ms;
    int read_fd, write_fd, events;
    uint8_t mode, open_handles;
    bool listening, connecting, adopted, read_file, write_file; /* *_file: not pollable, always ready */
    bool polls, write_polls, dirty, pumped, lingers;
    bool held; /* a dial that waits for its port */
    bool paused; /* a listener that waits for a descriptor */
    bool end_asked, end_done, close_asked, flushed, saw_end, dead;
};

/* What resolve.c keeps: c-ares's channel, made when a name is asked for first, and the questions that are open. */
#define PG_DNS_SERVERS 8u
struct pg_names {
    void *channel;
    struct watch *watches;
    struct pg_resolution *open, *answers, **answers_end;
    uint32_t n_open, n_servers;
    struct pg_endpoint servers[PG_DNS_SERVERS]; /* none: the system's */
    int64_t read_s, read_ns;                    /* when the system's list was written that is in use, and as which file */
    uint64_t read_file;
    bool library;
};

/* An address of this machine on an interface that can multicast. */
#define PG_LOOP_INTERFACES PG_RESOLVED_MOST
struct os_interface {
    struct pg_endpoint at;
    uint32_t number;
    uint8_t prefix;
};

/* An address of this machine that others may know; runs: its interface has a carrier. */
struct os_way {
    struct pg_endpoint at;
    bool runs;
};

#define PG_SOCKET_CONGESTION 16 /* TCP_CA_NAME_MAX */

struct pg_loop {
    uv_loop_t uv;
    uv_timer_t deadline, linger_timer, held_timer;
    uv_signal_t interrupt, terminate, hangup;
    uv_idle_t pump;
    uv_prepare_t prepare;
    uint64_t unix_offset_us; /* as the core has been told */
    const struct pg_core *core;
    struct pg_loop_hooks hooks;
    struct os_link *dirty, *pumps, *lingers, *held;
    struct { int read_fd, write_fd; } adopted[2];
    unsigned n_adopted;
    struct pg_names names;
    struct os_datagram *datagrams;
    struct os_interface interfaces[PG_LOOP_INTERFACES]; /* as they were last; looked at since the first multicast socket */
    unsigned n_interfaces;
    struct os_way ways[PG_LOOP_INTERFACES];             /* as the core was told of them last */
    unsigned n_ways;
    uv_poll_t netlink_poll;
    int netlink_fd;
    bool netlink_polls;
    uint64_t stop_until_ms;
    int spare_fd, status, unwritten; /* unwritten: pg_loop_unwritten */
    char congestion[PG_SOCKET_CONGESTION]; /* control that the system has chosen */
    bool paused; /* some listener waits for a descriptor */
    bool stopping, draining, interrupted;
    uint8_t *buffer; /* PG_READ_HEADROOM + PG_READ_MAX */
};

/* loop.c */
void pg_loop_feed(struct pg_loop *, const struct pg_input *); /* into the core, and carries out what it says */
void pg_loop_drain(struct pg_loop *);

bool pg_os_try_next(struct os_link *); /* another address of the name; false: there is none */
void pg_os_resolved(struct os_link *, int error, const char *reason); /* found is filled, or there is an error */

/* resolve.c */
void pg_names_resolve(struct pg_loop *, uint32_t number, uint8_t kind, struct pg_bytes name);
void pg_names_resolve_link(struct os_link *, struct pg_bytes name);
void pg_names_forget(struct pg_loop *, uint32_t number);
void pg_names_forget_link(struct pg_resolution *);
uint64_t pg_names_wait_ms(struct pg_loop *); /* until c-ares wants to be called again; UINT64_MAX: nothing is open */
void pg_names_tick(struct pg_loop *);
void pg_names_end(struct pg_loop *);
void pg_names_deliver(struct pg_loop *);

/* datagram.c */
void pg_datagram_bind(struct pg_loop *, uint32_t number, const struct pg_endpoint *);
void pg_datagram_send(struct pg_loop *, uint32_t number, const struct pg_endpoint *to, struct pg_bytes text);
void pg_datagram_unbind(struct pg_loop *, uint32_t number);
void pg_datagrams_look(struct pg_loop *); /* interfaces may be others than before */
void pg_datagrams_end(struct pg_loop *);

/* netlink.c */
int pg_netlink_open(void); /* readable when something has changed; -1: this system gives no word of it */
struct pg_netlink_word { bool interfaces, routes; };
struct pg_netlink_word pg_netlink_read(int fd); /* what is there to be read tells of */

/* ways.c */
void pg_ways_watch(struct pg_loop *); /* from now on to the end of the loop */
void pg_ways_end(struct pg_loop *);

/* link.c */
struct os_link *pg_os_new(struct pg_loop *, struct pg_link *, int read_fd, int write_fd); /* NULL: memory is short */
int pg_os_watch(struct os_link *); /* libuv's error, or 0 */
void pg_os_resume_listeners(struct pg_loop *);     /* there may be a descriptor again */
void pg_os_arm(struct os_link *, bool want_write); /* waits for what the link wants now */
bool pg_os_waits_to_write(const struct os_link *);
void pg_os_mark_dirty(struct os_link *);           /* to be flushed at the end of the drain */
bool pg_os_flush(struct os_link *);                /* writes what the socket takes; false: the link has died */
void pg_os_linger(struct os_link *, uint64_t ms);  /* reads on and throws away until the other end is done or time is over */
void pg_os_end(struct os_link *, bool hard);       /* closes; hard: the other end sees a reset */
void pg_os_lost(struct os_link *, int error, const char *reason); /* tells the core, then ends */
void pg_os_release(struct os_link *);              /* frees it once nothing in libuv knows it any more */
void pg_loop_on_pump(uv_idle_t *);

/* socket.c */
socklen_t pg_socket_address(const struct pg_endpoint *, struct sockaddr_storage *);
void pg_socket_endpoint(const struct sockaddr *, struct pg_endpoint *);
void pg_socket_local(int fd, struct pg_endpoint *);
/* Where a socket bound to 0.0.0.0 or [::] can be dialled: this machine's addresses of its family with its port, loopback
 * among them, link-local ones not. 0 for any other socket. */
#define PG_SOCKET_ADDRESSES 32
unsigned pg_socket_addresses(const struct pg_endpoint *bound, struct pg_endpoint out[PG_SOCKET_ADDRESSES]);
/* Bound and listening, or -1 with errno. */
int pg_socket_listen(const struct pg_endpoint *, uint8_t listen_kind);
int pg_socket_listen_unix(const char *path);
/* Connecting (EINPROGRESS) or connected, or -1 with errno. */
int pg_socket_dial(const struct pg_endpoint *remote, const struct pg_endpoint *from, uint8_t dial_kind, bool meets, const char *usual);
bool pg_socket_is_unanswered(int fd); /* a dial whose SYN nobody has answered, nor met with one of its own */
int pg_socket_dial_unix(const char *path); /* connected, or -1 with errno */
/* For a socket that was accepted or is to be dialled; usual is the system's congestion control. */
void pg_socket_tune(int fd, const struct pg_endpoint *remote, const char *usual);
void pg_socket_congestion(char out[PG_SOCKET_CONGESTION]);
int pg_socket_error(int error_number); /* errno -> enum pg_err */
