/* Sockets of the real loop: addresses, listening, dialling from the listening port, tuning.
 * Called by loop.c. libuv cannot set SO_REUSEPORT, so the sockets are made here. */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

socklen_t pg_socket_address(const struct pg_endpoint *e, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (e->family == 4) {
        struct sockaddr_in *a = (struct sockaddr_in *)out;
        a->sin_family = AF_INET;
        a->sin_port = htons(e->port);
        memcpy(&a->sin_addr, e->ip, 4);
        return sizeof *a;
    }
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)out;
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(e->port);
    a->sin6_scope_id = e->zone;
    memcpy(&a->sin6_addr, e->ip, 16);
    return sizeof *a;
}

void pg_socket_endpoint(const struct sockaddr *in, struct pg_endpoint *out)
{
    *out = (struct pg_endpoint){0};
    if (in->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)in;
        out->family = 4;
        out->port = ntohs(a->sin_port);
        memcpy(out->ip, &a->sin_addr, 4);
    } else if (in->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)in;
        out->family = 6;
        out->port = ntohs(a->sin6_port);
        out->zone = a->sin6_scope_id;
        memcpy(out->ip, &a->sin6_addr, 16);
    }
}

void pg_socket_local(int fd, struct pg_endpoint *out)
{
    struct sockaddr_storage s;
    socklen_t n = sizeof s;
    *out = (struct pg_endpoint){0};
    if (getsockname(fd, (struct sockaddr *)&s, &n) == 0)
        pg_socket_endpoint((struct sockaddr *)&s, out);
}

unsigned pg_socket_addresses(const struct pg_endpoint *bound, struct pg_endpoint out[PG_SOCKET_ADDRESSES])
{
    static const uint8_t zero[16];
    uv_interface_address_t *found;
    int n_found;
    unsigned n = 0;
    if (memcmp(bound->ip, zero, bound->family == 4 ? 4 : 16) != 0 || uv_interface_addresses(&found, &n_found) != 0)
        return 0;
    for (int i = 0; i < n_found && n < PG_SOCKET_ADDRESSES; i++) {
        struct pg_endpoint at;
        pg_socket_endpoint((const struct sockaddr *)&found[i].address, &at);
        if (at.family != bound->family || (at.family == 6 && at.ip[0] == 0xfe && (at.ip[1] & 0xc0) == 0x80))
            continue;
        at.port = bound->port;
        out[n++] = at;
    }
    uv_free_interface_addresses(found, n_found);
    return n;
}

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static bool is_loopback(const struct pg_endpoint *e)
{
    static const uint8_t one[16] = {[15] = 1};
    return e->family == 4 ? e->ip[0] == 127 : memcmp(e->ip, one, 16) == 0;
}

static void set_congestion(int fd, const char *name)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

void pg_socket_congestion(char out[PG_SOCKET_CONGESTION])
{
    socklen_t n = PG_SOCKET_CONGESTION - 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(out, 0, PG_SOCKET_CONGESTION);
    (void)getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, out, &n);
    if (fd >= 0)
        close(fd);
}

/* BBR paces what has no bottleneck and costs a third on loopback; real paths keep the system's choice. */
void pg_socket_tune(int fd, const struct pg_endpoint *remote, const char *usual)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_congestion(fd, is_loopback(remote) ? "cubic" : usual);
}

int pg_socket_listen(const struct pg_endpoint *e, uint8_t listen_kind)
{
    struct sockaddr_storage a;
    socklen_t n = pg_socket_address(e, &a);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (a.ss_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    /* A connection that was accepted under BBR stays paced when it is changed to another: so change the listener. */
    set_congestion(fd, "cubic");
    if (bind(fd, (struct sockaddr *)&a, n) == 0) {
        /* Only after bind: a second peer on this port still gets EADDRINUSE, our own dials may share it. */
        if (listen_kind == PG_LISTEN_PEER)
            set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (listen(fd, 1024) == 0)
            return fd;
    }
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* A socket and the address of a path, or -1 with errno. */
static int unix_socket(const char *path, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(a->sun_path, path, strlen(path) + 1);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int pg_socket_listen_unix(const char *path)
{
    struct sockaddr_un a;
    int fd = unix_socket(path, &a);
    if (fd < 0)
        return -1;
    /* A socket file that nobody answers is left over from a peer that was killed. */
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        close(fd);
        errno = EADDRINUSE;
        return -1;
    }
    struct stat left;
    if (errno == ECONNREFUSED && lstat(path, &left) == 0) {
        if (!S_ISSOCK(left.st_mode)) {
            close(fd);
            errno = EEXIST;
            return -1;
        }
        unlink(path);
    }
    mode_t before = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&a, sizeof a);
    umask(before);
    if (bound == 0 && listen(fd, 1024) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int try_dial(const struct pg_endpoint *remote, const struct pg_endpoint *from, uint8_t dial_kind, const char *usual)
{
    struct sockaddr_storage to;
    socklen_t n = pg_socket_address(remote, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    pg_socket_tune(fd, remote, usual);
    if (from->family == remote->family && dial_kind == PG_DIAL_PEER) {
        struct sockaddr_storage own;
        socklen_t own_n = pg_socket_address(from, &own);
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (bind(fd, (struct sockaddr *)&own, own_n) != 0)
            goto failed;
    }
    if (connect(fd, (struct sockaddr *)&to, n) == 0 || errno == EINPROGRESS)
        return fd;
    if (errno == EADDRNOTAVAIL)
        errno = EADDRINUSE; /* the pair of addresses; our own one is there, or bind would have failed */
failed:;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

int pg_socket_dial(const struct pg_endpoint *remote, const struct pg_endpoint *from, uint8_t dial_kind, bool meets, const char *usual)
{
    int fd = try_dial(remote, from, dial_kind, usual);
    /* The pair of addresses may be in use already (an earlier connection): any other port will do then, unless it was this one that
     * mattered; for such a dial it means that the other side's has come in already. */
    if (fd < 0 && !meets && from->family && (errno == EADDRNOTAVAIL || errno == EADDRINUSE || errno == EINVAL))
        fd = try_dial(remote, &(struct pg_endpoint){0}, dial_kind, usual);
    return fd;
}

bool pg_socket_is_unanswered(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_state == TCP_SYN_SENT;
}

int pg_socket_dial_unix(const char *path)
{
    struct sockaddr_un a;
    int fd = unix_socket(path, &a);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    int why = errno; /* EAGAIN: as many wait already as the service has room for; there is no EINPROGRESS here */
    close(fd);
    errno = why;
    return -1;
}

int pg_socket_error(int error_number)
{
    switch (error_number) {
    case EADDRINUSE: return PG_ERR_LOCAL_IN_USE;
    case EACCES:
    case EPERM: return PG_ERR_LOCAL_NO_PERMISSION;
    case ECONNRESET:
    case EPIPE: return PG_ERR_CLOSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL: return PG_ERR_UNREACHABLE;
    case ECONNREFUSED: return PG_ERR_REFUSED;
    case ETIMEDOUT: return PG_ERR_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE: return PG_ERR_NO_MEMORY;
    default: return PG_ERR_IO;
    }
}
