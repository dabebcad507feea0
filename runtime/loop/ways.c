/* By which addresses this machine reaches others: the core is told of them, and again when they have changed.
 * Called by loop.c; datagram.c hears of interfaces from here. */
#include "loop/loop_internal.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stddef.h>
#include <unistd.h>

static bool is_link_local(const struct pg_endpoint *e)
{
    return e->family == 4 ? e->ip[0] == 169 && e->ip[1] == 254 : e->ip[0] == 0xfe && (e->ip[1] & 0xc0) == 0x80;
}

/* False: there are more than can be told, or they cannot be asked for. */
static bool look(struct os_way out[PG_LOOP_INTERFACES], unsigned *n)
{
    struct ifaddrs *all;
    bool room = true;
    *n = 0;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *at = all; at && room; at = at->ifa_next) {
        struct os_way w;
        memset(&w, 0, sizeof w);
        w.runs = at->ifa_flags & IFF_RUNNING;
        if (!at->ifa_addr || (at->ifa_flags & (IFF_UP | IFF_LOOPBACK)) != IFF_UP)
            continue;
        pg_socket_endpoint(at->ifa_addr, &w.at);
        w.at.port = 0;
        w.at.zone = 0;
        if (!w.at.family || is_link_local(&w.at))
            continue;
        room = *n < PG_LOOP_INTERFACES;
        if (room)
            out[(*n)++] = w;
    }
    freeifaddrs(all);
    return room;
}

static void tell(struct pg_loop *l, bool anyhow)
{
    struct os_way now[PG_LOOP_INTERFACES];
    struct pg_endpoint found[PG_LOOP_INTERFACES];
    struct pg_input in = {.kind = PG_INPUT_WAYS, .found = found};
    memset(now, 0, sizeof now);
    if (!look(now, &in.n_found) || (!anyhow && in.n_found == l->n_ways && memcmp(now, l->ways, sizeof now) == 0))
        return;
    memcpy(l->ways, now, sizeof now);
    l->n_ways = in.n_found;
    for (unsigned i = 0; i < in.n_found; i++)
        found[i] = now[i].at;
    l->core->input(l->core->self, &in, pg_loop_now_us());
}

static void on_word(uv_poll_t *poll, int status, int events)
{
    struct pg_loop *l = (struct pg_loop *)((char *)poll - offsetof(struct pg_loop, netlink_poll));
    struct pg_netlink_word word = pg_netlink_read(l->netlink_fd);
    (void)status;
    (void)events;
    if (word.interfaces && l->datagrams)
        pg_datagrams_look(l);
    if (word.interfaces || word.routes)
        tell(l, word.routes);
    pg_loop_drain(l);
}

/* Without word of changes the core is told of nothing: what has been is no news. */
void pg_ways_watch(struct pg_loop *l)
{
    l->netlink_fd = pg_netlink_open();
    l->netlink_polls = l->netlink_fd >= 0 && uv_poll_init(&l->uv, &l->netlink_poll, l->netlink_fd) == 0;
    if (!l->netlink_polls) {
        if (l->netlink_fd >= 0)
            close(l->netlink_fd);
        return;
    }
    uv_poll_start(&l->netlink_poll, UV_READABLE, on_word);
    tell(l, true);
}

void pg_ways_end(struct pg_loop *l)
{
    if (!l->netlink_polls)
        return;
    uv_close((uv_handle_t *)&l->netlink_poll, NULL);
    close(l->netlink_fd);
    l->netlink_polls = false;
}
