/* Word from Linux that interfaces, their addresses or default routes have changed, so that nobody has to look again and again.
 * Called by ways.c. Elsewhere there is no such word, and whoever sends to a group looks before (rtnetlink(7)). */
#include "loop/loop_internal.h"

#ifdef __linux__
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

int pg_netlink_open(void)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The other routes of a machine may be many, and change as often as its neighbours' do. */
static bool is_default_route(const struct nlmsghdr *m)
{
    const struct rtmsg *r = NLMSG_DATA(m);
    return (m->nlmsg_type == RTM_NEWROUTE || m->nlmsg_type == RTM_DELROUTE) && m->nlmsg_len >= NLMSG_LENGTH(sizeof *r) && r->rtm_dst_len == 0 &&
           r->rtm_type == RTN_UNICAST;
}

/* The last message need not fill its alignment. */
static void read_words(const char *words, size_t n, struct pg_netlink_word *out)
{
    for (size_t at = 0; at < n && n - at >= sizeof(struct nlmsghdr);) {
        const struct nlmsghdr *m = (const void *)(words + at);
        if (m->nlmsg_len < sizeof *m || m->nlmsg_len > n - at)
            return;
        out->routes |= is_default_route(m);
        out->interfaces |= m->nlmsg_type != RTM_NEWROUTE && m->nlmsg_type != RTM_DELROUTE;
        at += NLMSG_ALIGN((size_t)m->nlmsg_len);
    }
}

/* What has changed of interfaces is found by looking; ENOBUFS, words lost, is a reason to look as well. */
struct pg_netlink_word pg_netlink_read(int fd)
{
    _Alignas(struct nlmsghdr) char words[8192];
    struct pg_netlink_word out = {false, false};
    for (;;) {
        ssize_t n = recv(fd, words, sizeof words, 0);
        if (n > 0)
            read_words(words, (size_t)n, &out);
        else if (n < 0 && errno == ENOBUFS)
            out.interfaces = out.routes = true;
        else if (n == 0 || errno != EINTR)
            return out;
    }
}
#else
int pg_netlink_open(void)
{
    return -1;
}

struct pg_netlink_word pg_netlink_read(int fd)
{
    (void)fd;
    return (struct pg_netlink_word){false, false};
}
#endif
