/* The real loop with a core of a few lines in place of ours: what becomes of sockets' files.
 * Drives runtime/loop through runtime/port.h. */
#include "crypto_suite.h"
#include "linkless.h"
#include "loop/loop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Listens at one path, gives that up and listens there again in one turn, and looks a little later. */
static struct {
    struct pg_link links[2];
    struct pg_command commands[4];
    unsigned head, n, standing;
    uint64_t look_us;
    char path[64];
    bool there;
} core;

static void order(struct pg_command c)
{
    core.commands[core.n++] = c;
}

static void listen_at(struct pg_link *link)
{
    order((struct pg_command){.kind = PG_COMMAND_LISTEN, .mode = PG_LISTEN_LOCAL, .link = link, .path = pg_text(core.path)});
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    if (in->kind == PG_INPUT_START) {
        listen_at(&core.links[0]);
    } else if (in->kind == PG_INPUT_LISTENING && core.standing++ == 0) {
        core.links[0].closing = true;
        order((struct pg_command){.kind = PG_COMMAND_CLOSE, .link = &core.links[0]});
        listen_at(&core.links[1]);
        core.look_us = now_us + 50000;
    } else if (in->kind == PG_INPUT_TICK && core.look_us && now_us >= core.look_us) {
        core.look_us = 0;
        core.there = access(core.path, F_OK) == 0;
        order((struct pg_command){.kind = PG_COMMAND_STOP});
    }
}

static bool poll(void *self, struct pg_command *out)
{
    (void)self;
    if (core.head == core.n) {
        core.head = core.n = 0;
        return false;
    }
    *out = core.commands[core.head++];
    return true;
}

static uint64_t deadline(void *self)
{
    (void)self;
    return core.look_us ? core.look_us : UINT64_MAX;
}

static void a_socket_that_is_listened_at_again_at_once_keeps_its_file(void)
{
    struct pg_core port = {.input = input, .poll = poll, .deadline = deadline, .want = want, .link = no_link, .unlink = unlinked};
    snprintf(core.path, sizeof core.path, "/tmp/pg-loop-test-%d.sock", (int)getpid());
    struct pg_loop *loop = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL(pg_loop_run(loop), 0);
    pg_loop_free(loop);
    CU_ASSERT_EQUAL(core.standing, 2);
    CU_ASSERT(core.there);
    CU_ASSERT_NOT_EQUAL(access(core.path, F_OK), 0);
}

/* Listens at a port, connects to it as a client that says nothing, and has no link for it. */
static struct {
    struct pg_link link;
    bool listen, stop, no_descriptors;
    struct rlimit files;
    unsigned failed;
    int client;
    uint64_t look_us;
    ssize_t got;
    int why;
} crowded;

static void connect_client(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    crowded.client = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(connect(crowded.client, (struct sockaddr *)&to, sizeof to), 0);
    if (!crowded.no_descriptors)
        return;
    int lowest = fcntl(crowded.client, F_DUPFD, 0);
    close(lowest);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = crowded.files.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void crowded_input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    if (in->kind == PG_INPUT_START) {
        crowded.listen = true;
    } else if (in->kind == PG_INPUT_LISTENING) {
        connect_client(in->local.port);
        crowded.look_us = now_us + 50000;
    } else if (in->kind == PG_INPUT_ACCEPT_FAILED) {
        crowded.failed++;
    } else if (in->kind == PG_INPUT_TICK && crowded.look_us && now_us >= crowded.look_us) {
        char byte;
        crowded.look_us = 0;
        crowded.got = recv(crowded.client, &byte, 1, MSG_DONTWAIT);
        crowded.why = errno;
        crowded.stop = true;
    }
}

static bool crowded_poll(void *self, struct pg_command *out)
{
    (void)self;
    struct pg_endpoint loopback = {.family = 4, .ip = {127, 0, 0, 1}};
    if (crowded.listen) {
        *out = (struct pg_command){.kind = PG_COMMAND_LISTEN, .mode = PG_LISTEN_LOCAL, .link = &crowded.link, .endpoint = loopback};
        crowded.listen = false;
        return true;
    }
    if (crowded.stop)
        *out = (struct pg_command){.kind = PG_COMMAND_STOP};
    bool stop = crowded.stop;
    crowded.stop = false;
    return stop;
}

static uint64_t crowded_deadline(void *self)
{
    (void)self;
    return crowded.look_us ? crowded.look_us : UINT64_MAX;
}

static void is_turned_away_by_a_reset(bool no_descriptors)
{
    struct pg_core port = {.input = crowded_input, .poll = crowded_poll, .deadline = crowded_deadline, .want = want,
                           .link = no_link, .unlink = unlinked};
    memset(&crowded, 0, sizeof crowded);
    crowded.no_descriptors = no_descriptors;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &crowded.files), 0);
    struct pg_loop *loop = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL(pg_loop_run(loop), 0);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &crowded.files), 0);
    pg_loop_free(loop);
    CU_ASSERT_EQUAL(crowded.failed, no_descriptors ? 1 : 0);
    CU_ASSERT_EQUAL(crowded.got, -1);
    CU_ASSERT_EQUAL(crowded.why, ECONNRESET);
    close(crowded.client);
}

static void a_client_that_finds_no_link_sees_a_reset(void)
{
    is_turned_away_by_a_reset(false);
}

static void a_client_that_finds_no_descriptor_sees_a_reset(void)
{
    is_turned_away_by_a_reset(true);
}

/* Of a buffer that still holds what came before: an odd length that led behind the end of what has come would find news there. */
static void a_word_of_the_kernel_whose_last_message_has_an_odd_length_ends_there(void)
{
    static const struct nlmsghdr longer = {.nlmsg_len = 64, .nlmsg_type = RTM_NEWROUTE}, shorter = {.nlmsg_len = 17, .nlmsg_type = RTM_NEWROUTE},
                                 news = {.nlmsg_len = 16, .nlmsg_type = RTM_NEWADDR};
    char words[64] = {0};
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    memcpy(words, &longer, sizeof longer);
    memcpy(words + 20, &news, sizeof news); /* in the middle of a route that is not the default one */
    CU_ASSERT_EQUAL(send(ends[0], words, sizeof words, 0), (ssize_t)sizeof words);
    memcpy(words, &shorter, sizeof shorter);
    CU_ASSERT_EQUAL(send(ends[0], words, 17, 0), 17);
    struct pg_netlink_word word = pg_netlink_read(ends[1]);
    CU_ASSERT(!word.interfaces && !word.routes);
    CU_ASSERT_EQUAL(send(ends[0], &news, sizeof news, 0), (ssize_t)sizeof news);
    word = pg_netlink_read(ends[1]);
    CU_ASSERT(word.interfaces && !word.routes);
    close(ends[0]);
    close(ends[1]);
}

/* Dials a service from the port of a listener while an earlier connection holds the pair: until `free_us`, or for good. */
static struct {
    struct pg_link listener, dial;
    int service, earlier;
    uint16_t service_port, port;
    uint64_t free_us, freed_after_us, local_port;
    bool listen, begin, stop, waits;
} held;

static struct sockaddr_in on_loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void connect_earlier(uint16_t from)
{
    struct sockaddr_in own = on_loopback(from), to = on_loopback(held.service_port);
    int yes = 1;
    held.earlier = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(held.earlier, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(held.earlier, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    CU_ASSERT_EQUAL_FATAL(bind(held.earlier, (struct sockaddr *)&own, sizeof own), 0);
    CU_ASSERT_EQUAL_FATAL(connect(held.earlier, (struct sockaddr *)&to, sizeof to), 0);
}

static void let_go(void)
{
    setsockopt(held.earlier, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(held.earlier);
    held.earlier = -1;
}

static void held_input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    if (in->kind == PG_INPUT_START) {
        held.listen = true;
    } else if (in->kind == PG_INPUT_LISTENING) {
        held.port = in->local.port;
        connect_earlier(held.port);
        held.begin = true;
        held.free_us = held.freed_after_us ? now_us + held.freed_after_us : 0;
    } else if (in->kind == PG_INPUT_TICK && held.free_us && now_us >= held.free_us) {
        held.free_us = 0;
        let_go();
    } else if (in->kind == PG_INPUT_CONNECTED) {
        held.local_port = in->local.port;
        held.stop = true;
    } else if (in->kind == PG_INPUT_LOST) {
        held.stop = true;
    }
}

static bool held_poll(void *self, struct pg_command *out)
{
    (void)self;
    struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}}, service = at, from = at;
    service.port = held.service_port;
    from.port = held.port;
    if (held.listen)
        *out = (struct pg_command){.kind = PG_COMMAND_LISTEN, .mode = PG_LISTEN_PEER, .link = &held.listener, .endpoint = at};
    else if (held.begin)
        *out = (struct pg_command){.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER, .link = &held.dial, .endpoint = service, .from = from, .waits = held.waits};
    else if (held.stop)
        *out = (struct pg_command){.kind = PG_COMMAND_STOP};
    bool any = held.listen || held.begin || held.stop;
    held.listen = held.begin = held.stop = false;
    return any;
}

static uint64_t held_deadline(void *self)
{
    (void)self;
    return held.free_us ? held.free_us : UINT64_MAX;
}

/* The port that the dial has left from is the listener's. */
static bool leaves_from_listener(uint64_t freed_after_us, bool waits)
{
    struct pg_core port = {.input = held_input, .poll = held_poll, .deadline = held_deadline, .want = want, .link = no_link, .unlink = unlinked};
    struct sockaddr_in at = on_loopback(0);
    socklen_t n = sizeof at;
    memset(&held, 0, sizeof held);
    held.freed_after_us = freed_after_us;
    held.waits = waits;
    held.service = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(bind(held.service, (struct sockaddr *)&at, sizeof at), 0);
    CU_ASSERT_EQUAL_FATAL(listen(held.service, 4), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(held.service, (struct sockaddr *)&at, &n), 0);
    held.service_port = ntohs(at.sin_port);
    struct pg_loop *loop = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL(pg_loop_run(loop), 0);
    pg_loop_free(loop);
    if (held.earlier >= 0)
        close(held.earlier);
    close(held.service);
    CU_ASSERT_NOT_EQUAL(held.local_port, 0);
    return held.local_port == held.port;
}

static void a_dial_waits_for_its_port_until_an_earlier_connection_has_gone(void)
{
    CU_ASSERT(leaves_from_listener(300000, true));
}

static void a_dial_whose_port_stays_held_leaves_from_another_one(void)
{
    CU_ASSERT_FALSE(leaves_from_listener(0, true));
    CU_ASSERT_FALSE(leaves_from_listener(300000, false));
}

/* The machine's clock, as the loop sees it, is set a day ahead. */
static struct {
    uint64_t look_us;
    uint32_t told, n_told;
    time_t ahead_s;
    bool stop;
} clocks;

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);

int __wrap_clock_gettime(clockid_t which, struct timespec *out)
{
    int got = __real_clock_gettime(which, out);
    if (which == CLOCK_REALTIME)
        out->tv_sec += clocks.ahead_s;
    return got;
}

static void clocks_input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    if (in->kind == PG_INPUT_START) {
        clocks.look_us = now_us + 20000;
    } else if (in->kind == PG_INPUT_TICK && now_us >= clocks.look_us) {
        clocks.stop = clocks.ahead_s != 0;
        clocks.ahead_s = 86400;
        clocks.look_us = now_us + 20000;
    } else if (in->kind == PG_INPUT_CLOCK) {
        clocks.told = in->number;
        clocks.n_told++;
    }
}

static bool clocks_poll(void *self, struct pg_command *out)
{
    (void)self;
    bool any = clocks.stop;
    if (any)
        *out = (struct pg_command){.kind = PG_COMMAND_STOP};
    clocks.stop = false;
    return any;
}

static uint64_t clocks_deadline(void *self)
{
    (void)self;
    return clocks.look_us;
}

static void a_clock_that_is_set_is_told_once(void)
{
    struct pg_core port = {.input = clocks_input, .poll = clocks_poll, .deadline = clocks_deadline, .want = want, .link = no_link, .unlink = unlinked};
    struct timespec now;
    struct pg_loop *loop = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL(pg_loop_run(loop), 0);
    pg_loop_free(loop);
    __real_clock_gettime(CLOCK_REALTIME, &now);
    CU_ASSERT_EQUAL(clocks.n_told, 1);
    CU_ASSERT(clocks.told >= now.tv_sec + 86400 - 60 && clocks.told <= now.tv_sec + 86400);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a socket that is listened at again at once keeps its file, and leaves none behind",
         a_socket_that_is_listened_at_again_at_once_keeps_its_file},
        {"a client that finds no link sees a reset and no orderly end", a_client_that_finds_no_link_sees_a_reset},
        {"a word of the kernel whose last message has an odd length ends there",
         a_word_of_the_kernel_whose_last_message_has_an_odd_length_ends_there},
        {"a dial waits for its port until an earlier connection has gone", a_dial_waits_for_its_port_until_an_earlier_connection_has_gone},
        {"a dial whose port stays held leaves from another one", a_dial_whose_port_stays_held_leaves_from_another_one},
        {"a clock that is set is told once", a_clock_that_is_set_is_told_once},
        {"a client that finds no descriptor sees a reset and no orderly end", a_client_that_finds_no_descriptor_sees_a_reset},
    };
    return RUN_SUITE("loop", sentences);
}
