/* Datagram sockets of the real loop: binding, groups on every interface, one datagram at a time in either direction.
 * Called by loop.c for the commands BIND, SEND and UNBIND. Serves RFC 6762 sections 5 and 11, which want to know by which
 * interface a datagram came, how far, and whether its source is of that network. */
#include "loop/loop_internal.h"

#include "errors.gen.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

/* READS: datagrams of one wake-up, so that a flood leaves time for everything else. */
enum { MOST_SOCKETS = 16, READS = 32, CONTROL_ROOM = 256, HOPS = 255 };

struct os_datagram {
    uv_poll_t poll;
    struct pg_loop *loop;
    struct os_datagram *next;
    struct pg_endpoint group; /* family 0: none */
    uint32_t number;
    uint32_t joined[PG_LOOP_INTERFACES];
    unsigned n_joined;
    int fd;
};

static bool is_multicast(const struct pg_endpoint *e)
{
    return e->family == 4 ? (e->ip[0] & 0xf0) == 0xe0 : e->ip[0] == 0xff;
}

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/* Interfaces. */

static uint8_t prefix_of(const struct sockaddr *mask, uint8_t family)
{
    struct pg_endpoint e = {0};
    uint8_t bits = 0;
    if (!mask)
        return family == 4 ? 32 : 128;
    if (family == 4)
        memcpy(e.ip, &((const struct sockaddr_in *)mask)->sin_addr, 4);
    else
        memcpy(e.ip, &((const struct sockaddr_in6 *)mask)->sin6_addr, 16);
    while (bits < 128 && e.ip[bits / 8] & 0x80 >> bits % 8)
        bits++;
    return bits;
}

static unsigned look_at_interfaces(struct os_interface out[PG_LOOP_INTERFACES])
{
    struct ifaddrs *all;
    unsigned n = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *at = all; at && n < PG_LOOP_INTERFACES; at = at->ifa_next) {
        unsigned want = IFF_UP | IFF_MULTICAST;
        if (!at->ifa_addr || (at->ifa_flags & (want | IFF_LOOPBACK)) != want)
            continue;
        struct os_interface i = {.number = if_nametoindex(at->ifa_name)};
        pg_socket_endpoint(at->ifa_addr, &i.at);
        i.at.port = 0;
        i.at.zone = i.number;
        i.prefix = prefix_of(at->ifa_netmask, i.at.family);
        if (i.at.family && i.number)
            out[n++] = i;
    }
    freeifaddrs(all);
    return n;
}

static bool same_network(const struct pg_endpoint *a, const struct pg_endpoint *b, uint8_t prefix)
{
    if (a->family != b->family)
        return false;
    for (unsigned bit = 0; bit < prefix; bit++)
        if ((a->ip[bit / 8] ^ b->ip[bit / 8]) & 0x80 >> bit % 8)
            return false;
    return true;
}

static bool is_on_link(const struct pg_loop *l, const struct pg_endpoint *source, uint32_t interface)
{
    static const struct pg_endpoint link_local4 = {.family = 4, .ip = {169, 254}}, link_local6 = {.family = 6, .ip = {0xfe, 0x80}};
    if (same_network(source, &link_local4, 16) || same_network(source, &link_local6, 10))
        return true;
    for (unsigned i = 0; i < l->n_interfaces; i++)
        if (l->interfaces[i].number == interface && same_network(&l->interfaces[i].at, source, l->interfaces[i].prefix))
            return true;
    return false;
}

/* Groups. */

static bool join(struct os_datagram *k, uint32_t interface)
{
    if (k->group.family == 4) {
        struct ip_mreqn m = {.imr_ifindex = (int)interface};
        memcpy(&m.imr_multiaddr, k->group.ip, 4);
        return setsockopt(k->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m) == 0 || errno == EADDRINUSE;
    }
    struct ipv6_mreq m = {.ipv6mr_interface = interface};
    memcpy(&m.ipv6mr_multiaddr, k->group.ip, 16);
    return setsockopt(k->fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m) == 0 || errno == EADDRINUSE;
}

static bool has_joined(const struct os_datagram *k, uint32_t interface)
{
    for (unsigned i = 0; i < k->n_joined; i++)
        if (k->joined[i] == interface)
            return true;
    return false;
}

/* Interfaces that have gone have taken their membership along. */
static void join_all(struct os_datagram *k)
{
    const struct pg_loop *l = k->loop;
    k->n_joined = 0;
    for (unsigned i = 0; i < l->n_interfaces; i++) {
        uint32_t number = l->interfaces[i].number;
        if (l->interfaces[i].at.family == k->group.family && !has_joined(k, number) && join(k, number))
            k->joined[k->n_joined++] = number;
    }
}

static void tell_interfaces(struct os_datagram *k)
{
    struct pg_loop *l = k->loop;
    struct pg_endpoint found[PG_LOOP_INTERFACES];
    struct pg_input in = {.kind = PG_INPUT_INTERFACES, .number = k->number, .found = found};
    for (unsigned i = 0; i < l->n_interfaces && in.n_found < PG_RESOLVED_MOST; i++)
        if (has_joined(k, l->interfaces[i].number))
            found[in.n_found++] = l->interfaces[i].at;
    l->core->input(l->core->self, &in, pg_loop_now_us());
}

void pg_datagrams_look(struct pg_loop *l)
{
    struct os_interface now[PG_LOOP_INTERFACES];
    memset(now, 0, sizeof now);
    unsigned n = look_at_interfaces(now);
    if (n == l->n_interfaces && memcmp(now, l->interfaces, sizeof now) == 0)
        return;
    memcpy(l->interfaces, now, sizeof now);
    l->n_interfaces = n;
    for (struct os_datagram *k = l->datagrams; k; k = k->next) {
        if (!k->group.family)
            continue;
        join_all(k);
        tell_interfaces(k);
    }
}

/* Coming in. */

static void read_control(struct msghdr *m, struct pg_input *in)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        int number;
        struct in_pktinfo four;
        struct in6_pktinfo six;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&four, CMSG_DATA(c), sizeof four);
            memcpy(in->local.ip, &four.ipi_addr, 4);
            in->local.zone = (uint32_t)four.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&six, CMSG_DATA(c), sizeof six);
            memcpy(in->local.ip, &six.ipi6_addr, 16);
            in->local.zone = six.ipi6_ifindex;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&number, CMSG_DATA(c), sizeof number);
            in->hops = (uint8_t)number;
        }
    }
}

/* False: nothing is there. */
static bool receive(struct os_datagram *k)
{
    struct pg_loop *l = k->loop;
    struct sockaddr_storage from;
    _Alignas(struct cmsghdr) char control[CONTROL_ROOM];
    struct iovec to = {l->buffer + PG_READ_HEADROOM, PG_READ_MAX};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &to, .msg_iovlen = 1,
                       .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(k->fd, &m, 0);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED; /* word of an earlier send that nobody took */
    struct pg_input in = {.kind = PG_INPUT_DATAGRAM, .number = k->number, .data = l->buffer + PG_READ_HEADROOM, .len = (size_t)n};
    pg_socket_endpoint((struct sockaddr *)&from, &in.remote);
    pg_socket_local(k->fd, &in.local);
    read_control(&m, &in);
    in.on_link = is_on_link(l, &in.remote, in.local.zone);
    if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return true; /* without its end or its origin it says nothing */
    pg_loop_feed(l, &in);
    return true;
}

static struct os_datagram **find(struct pg_loop *l, uint32_t number)
{
    struct os_datagram **at = &l->datagrams;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    return at;
}

static void on_datagram(uv_poll_t *poll, int status, int events)
{
    struct os_datagram *k = (struct os_datagram *)((char *)poll - offsetof(struct os_datagram, poll));
    struct pg_loop *l = k->loop;
    uint32_t number = k->number;
    (void)status;
    (void)events;
    for (unsigned i = 0; i < READS && *find(l, number) == k && receive(k); i++)
        continue;
    pg_loop_drain(l);
}

/* Commands. */

static void failed(struct pg_loop *l, uint32_t number, int error, const char *reason)
{
    struct pg_input in = {.kind = PG_INPUT_BIND_FAILED, .number = number, .error = error, .reason = pg_text(reason)};
    l->core->input(l->core->self, &in, pg_loop_now_us());
}

static void set_options(int fd, const struct pg_endpoint *e)
{
    if (is_multicast(e)) { /* RFC 6762 section 15: many programs of one machine listen side by side */
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (e->family == 4) {
        set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        set(fd, IPPROTO_IP, IP_RECVTTL, 1);
        set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
        set(fd, IPPROTO_IP, IP_MULTICAST_TTL, HOPS);
        set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
        return;
    }
    set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOPS);
    set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
}

/* A socket that is bound to its group takes no datagrams that others on this port wait for. Linux binds ff02::fb to one interface
 * only, so for IPv6 it is the port alone. */
static int open_socket(const struct pg_endpoint *e)
{
    struct sockaddr_storage a;
    struct pg_endpoint at = *e;
    if (e->family == 6 && is_multicast(e))
        memset(at.ip, 0, sizeof at.ip);
    socklen_t n = pg_socket_address(&at, &a);
    int fd = socket(a.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_options(fd, e);
    if (bind(fd, (struct sockaddr *)&a, n) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static void on_socket_closed(uv_handle_t *h)
{
    free((char *)h - offsetof(struct os_datagram, poll));
}

void pg_datagram_bind(struct pg_loop *l, uint32_t number, const struct pg_endpoint *e)
{
    unsigned open = 0;
    for (const struct os_datagram *k = l->datagrams; k; k = k->next)
        open++;
    struct os_datagram *k = open < MOST_SOCKETS ? calloc(1, sizeof *k) : NULL;
    int fd = k ? open_socket(e) : -1;
    if (fd < 0) {
        int why = k ? errno : ENOMEM;
        free(k);
        failed(l, number, pg_socket_error(why), strerror(why));
        return;
    }
    *k = (struct os_datagram){.loop = l, .number = number, .fd = fd};
    int error = uv_poll_init(&l->uv, &k->poll, fd);
    if (error != 0) {
        close(fd);
        free(k);
        failed(l, number, PG_ERR_NO_MEMORY, uv_strerror(error));
        return;
    }
    if (is_multicast(e)) {
        pg_datagrams_look(l);
        k->group = *e;
        join_all(k);
    }
    k->next = l->datagrams;
    l->datagrams = k;
    uv_poll_start(&k->poll, UV_READABLE, on_datagram);
    struct pg_input in = {.kind = PG_INPUT_BOUND, .number = number};
    pg_socket_local(fd, &in.local);
    l->core->input(l->core->self, &in, pg_loop_now_us());
    if (k->group.family)
        tell_interfaces(k);
}

void pg_datagram_unbind(struct pg_loop *l, uint32_t number)
{
    struct os_datagram **at = find(l, number), *k = *at;
    if (!k)
        return;
    *at = k->next;
    uv_close((uv_handle_t *)&k->poll, on_socket_closed);
    close(k->fd);
}

/* What the socket does not take is lost, as it might be on its way. */
void pg_datagram_send(struct pg_loop *l, uint32_t number, const struct pg_endpoint *to, struct pg_bytes text)
{
    struct os_datagram *k = *find(l, number);
    struct sockaddr_storage a;
    _Alignas(struct cmsghdr) char control[CONTROL_ROOM] = {0};
    struct iovec from = {(void *)(uintptr_t)text.at, text.len};
    if (!k)
        return;
    if (k->group.family && !l->netlink_polls)
        pg_datagrams_look(l);
    struct msghdr m = {.msg_name = &a, .msg_namelen = pg_socket_address(to, &a), .msg_iov = &from, .msg_iovlen = 1};
    if (to->zone && to->family == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)to->zone};
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(sizeof info);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
    (void)sendmsg(k->fd, &m, 0);
}

void pg_datagrams_end(struct pg_loop *l)
{
    while (l->datagrams)
        pg_datagram_unbind(l, l->datagrams->number);
}
