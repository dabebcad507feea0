/* Word from Linux that interfaces or their addresses have changed, so that nobody has to look again and again.
 * Called by datagram.c. Elsewhere there is no such word, and whoever sends looks before (rtnetlink(7)). */
#include "loop/loop_internal.h"

#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

int pg_netlink_open(void)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* What has changed is found by looking; ENOBUFS, words lost, is a reason to look as well. */
void pg_netlink_drain(int fd)
{
    char words[8192];
    while (recv(fd, words, sizeof words, 0) > 0)
        continue;
}
#else
int pg_netlink_open(void)
{
    return -1;
}

void pg_netlink_drain(int fd)
{
    (void)fd;
}
#endif
