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
    uv_getaddrinfo_t resolve;
    struct pg_endpoint remote, from;
    struct os_link *next_dirty, *next_pump, *next_linger;
    char *unlink_path; /* of a unix listener */
    uint64_t linger_until_ms;
    int read_fd, write_fd, events;
    uint8_t mode, open_handles;
    bool listening, connecting, adopted, read_file, write_file; /* *_file: not pollable, always ready */
    bool polls, write_polls, dirty, pumped, lingers;
    bool end_asked, end_done, close_asked, flushed, saw_end, dead, resolving;
};

struct pg_loop {
    uv_loop_t uv;
    uv_timer_t deadline, linger_timer;
    uv_signal_t interrupt, terminate;
    uv_idle_t pump;
    uv_prepare_t prepare;
    const struct pg_core *core;
    struct pg_loop_hooks hooks;
    struct os_link *dirty, *pumps, *lingers;
    struct { int read_fd, write_fd; } adopted[2];
    unsigned n_adopted;
    int spare_fd, status;
    bool stopping, draining;
    uint8_t *buffer; /* PG_READ_HEADROOM + PG_READ_MAX */
};

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
int pg_socket_dial(const struct pg_endpoint *remote, const struct pg_endpoint *from, uint8_t dial_kind);
void pg_socket_tune(int fd, const struct pg_endpoint *remote);
int pg_socket_error(int error_number); /* errno -> enum pg_err */
