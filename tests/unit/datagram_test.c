/* Datagrams of the real loop, with a core of a few lines in place of ours, in a network namespace that the test makes for itself:
 * groups on each interface, where a datagram has come from, and interfaces that come later. Run by ctest.
 * Drives runtime/loop/datagram.c through runtime/port.h. */
#include "crypto_suite.h"
#include "errors.gen.h"
#include "linkless.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FOUR = 1, SIX = 2, SECOND = 3, PLAIN = 4, PORT = 5353, LOOKS = 3000, LOOK_US = 10000 };

static const struct pg_endpoint group4 = {.family = 4, .ip = {224, 0, 0, 251}, .port = PORT};
static const struct pg_endpoint group6 = {.family = 6, .ip = {0xff, 2, [15] = 0xfb}, .port = PORT};

struct arrival {
    uint32_t number, interface;
    struct pg_endpoint remote;
    uint8_t hops, first;
    bool on_link;
};

/* What the core does is the test's: it is told of everything, and asked at each look whether it is done. */
static struct {
    void (*start)(void);
    bool (*done)(void);
    struct pg_command commands[32];
    uint8_t letters[32];
    unsigned head, n, looks, bound, failed, n_arrivals, told;
    int error;
    struct arrival arrivals[64];
    uint32_t n_interfaces; /* with an IPv4 address, as socket FOUR was told last */
    uint64_t look_us;
} core;

static void order(struct pg_command c)
{
    core.commands[core.n++ % 32] = c;
}

static void bind_to(uint32_t number, const struct pg_endpoint *at)
{
    order((struct pg_command){.kind = PG_COMMAND_BIND, .number = number, .endpoint = *at});
}

static void say(uint32_t number, const struct pg_endpoint *to, uint32_t interface, char letter)
{
    uint8_t *at = &core.letters[core.n % 32];
    struct pg_command c = {.kind = PG_COMMAND_SEND, .number = number, .endpoint = *to, .text = pg_bytes(at, 1)};
    *at = (uint8_t)letter;
    c.endpoint.zone = interface;
    order(c);
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    switch ((int)in->kind) {
    case PG_INPUT_START:
        core.look_us = now_us + LOOK_US;
        core.start();
        return;
    case PG_INPUT_BOUND: core.bound++; return;
    case PG_INPUT_BIND_FAILED:
        core.failed++;
        core.error = in->error;
        return;
    case PG_INPUT_INTERFACES:
        if (in->number != FOUR)
            return;
        core.told++;
        core.n_interfaces = 0;
        for (uint32_t i = 0; i < in->n_found; i++)
            core.n_interfaces += in->found[i].family == 4;
        return;
    case PG_INPUT_DATAGRAM:
        if (core.n_arrivals < 64)
            core.arrivals[core.n_arrivals++] = (struct arrival){.number = in->number, .interface = in->local.zone, .remote = in->remote,
                                                                .hops = in->hops, .first = in->len ? in->data[0] : 0, .on_link = in->on_link};
        return;
    case PG_INPUT_TICK:
        core.look_us = now_us + LOOK_US;
        if (core.done() || ++core.looks == LOOKS)
            order((struct pg_command){.kind = PG_COMMAND_STOP});
        return;
    default: return;
    }
}

static bool poll(void *self, struct pg_command *out)
{
    (void)self;
    if (core.head == core.n)
        return false;
    *out = core.commands[core.head++ % 32];
    return true;
}

static uint64_t deadline(void *self)
{
    (void)self;
    return core.look_us ? core.look_us : UINT64_MAX;
}

static void run(void (*start)(void), bool (*done)(void))
{
    struct pg_core port = {.input = input, .poll = poll, .deadline = deadline, .want = want, .link = no_link, .unlink = unlinked};
    memset(&core, 0, sizeof core);
    core.start = start;
    core.done = done;
    struct pg_loop *l = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    (void)pg_loop_run(l);
    CU_ASSERT_TRUE(core.looks < LOOKS);
    pg_loop_free(l);
}

static const struct arrival *heard(uint32_t number, char letter)
{
    for (unsigned i = 0; i < core.n_arrivals; i++)
        if (core.arrivals[i].number == number && core.arrivals[i].first == (uint8_t)letter)
            return &core.arrivals[i];
    return NULL;
}

static uint32_t interface(const char *name)
{
    return if_nametoindex(name);
}

/* Two sockets of one group on this machine, and one interface of two. */

static void start_two(void)
{
    bind_to(FOUR, &group4);
    bind_to(SECOND, &group4);
    bind_to(SIX, &group6);
    say(FOUR, &group4, interface("pg0"), 'a');
    say(FOUR, &group4, interface("pg1"), 'b');
    say(SIX, &group6, interface("pg1"), 'c');
    say(FOUR, &group4, interface("lo"), 'd');
}

/* What is said before the other ends of the interfaces are up is lost, so it is said until it is heard. */
static void say_again(uint32_t number, const struct pg_endpoint *group, const char *name, char letter)
{
    if (!heard(number, letter))
        say(number, group, interface(name), letter);
}

static bool two_are_done(void)
{
    say_again(FOUR, &group4, "pg0", 'a');
    say_again(FOUR, &group4, "pg1", 'b');
    say_again(SIX, &group6, "pg1", 'c');
    return heard(FOUR, 'a') && heard(SECOND, 'a') && heard(FOUR, 'b') && heard(SECOND, 'b') && heard(SIX, 'c') && core.looks > 5;
}

static void a_group_is_heard_by_all_who_share_its_port_by_interface(void)
{
    static const uint8_t own0[4] = {10, 7, 0, 1}, own1[4] = {10, 7, 1, 1};
    run(start_two, two_are_done);
    const struct arrival *a = heard(SECOND, 'a'), *b = heard(FOUR, 'b'), *c = heard(SIX, 'c');
    CU_ASSERT_EQUAL(core.bound, 3);
    CU_ASSERT_TRUE(a && a->interface == interface("pg0") && a->hops == 255 && a->on_link && memcmp(a->remote.ip, own0, 4) == 0);
    CU_ASSERT_TRUE(b && b->interface == interface("pg1") && b->hops == 255 && b->on_link && memcmp(b->remote.ip, own1, 4) == 0);
    CU_ASSERT_TRUE(c && c->interface == interface("pg1") && c->hops == 255 && c->on_link);
    CU_ASSERT_PTR_NULL(heard(FOUR, 'd')); /* loopback is joined by nobody */
    for (unsigned i = 0; i < core.n_arrivals; i++)
        CU_ASSERT_TRUE(core.arrivals[i].number == SIX || core.arrivals[i].remote.port == PORT);
}

/* Somebody whose datagrams have crossed a router, or come from elsewhere. */

static int stranger = -1;

static void start_stranger(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)}, from = {.sin_family = AF_INET};
    struct in_addr device = {.s_addr = inet_addr("10.7.0.1")};
    int hops = 7;
    bind_to(FOUR, &group4);
    stranger = socket(AF_INET, SOCK_DGRAM, 0);
    from.sin_addr.s_addr = inet_addr("192.0.2.77"); /* an address of lo */
    to.sin_addr.s_addr = inet_addr("224.0.0.251");
    CU_ASSERT_EQUAL(bind(stranger, (struct sockaddr *)&from, sizeof from), 0);
    CU_ASSERT_EQUAL(setsockopt(stranger, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof hops), 0);
    CU_ASSERT_EQUAL(setsockopt(stranger, IPPROTO_IP, IP_MULTICAST_IF, &device, sizeof device), 0);
    connect(stranger, (struct sockaddr *)&to, sizeof to);
}

static bool stranger_is_done(void)
{
    CU_ASSERT_EQUAL(send(stranger, "s", 1, 0), 1);
    return heard(FOUR, 's') != NULL;
}

static void hops_and_a_source_of_another_network_are_told(void)
{
    run(start_stranger, stranger_is_done);
    const struct arrival *s = heard(FOUR, 's');
    CU_ASSERT_TRUE(s && s->hops == 7 && !s->on_link);
    close(stranger);
}

/* An interface that comes while the loop runs. */

static void start_later(void)
{
    bind_to(FOUR, &group4);
}

static bool later_is_done(void)
{
    if (core.looks == 2)
        CU_ASSERT_EQUAL(system("ip link add pg2 type veth peer name far2 && ip addr add 10.7.2.1/24 dev pg2 && ip link set pg2 up && ip link set far2 up"), 0);
    if (core.looks > 2 && core.n_interfaces == 3 && !heard(FOUR, 'l'))
        say(FOUR, &group4, interface("pg2"), 'l');
    return heard(FOUR, 'l') != NULL;
}

static void an_interface_that_comes_later_is_joined_and_told_of_without_asking(void)
{
    run(start_later, later_is_done);
    const struct arrival *a = heard(FOUR, 'l');
    CU_ASSERT_TRUE(a && a->interface == interface("pg2"));
    CU_ASSERT_TRUE(core.told >= 2);
    CU_ASSERT_EQUAL(system("ip link del pg2"), 0);
}

/* A port that another program has for itself, and a socket that is given up. */

static int greedy = -1;

static void start_greedy(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    greedy = socket(AF_INET, SOCK_DGRAM, 0);
    CU_ASSERT_EQUAL(bind(greedy, (struct sockaddr *)&at, sizeof at), 0);
    bind_to(FOUR, &group4);
    bind_to(PLAIN, &(struct pg_endpoint){.family = 4, .ip = {10, 7, 0, 1}});
}

static bool greedy_is_done(void)
{
    return core.failed == 1 && core.bound == 1;
}

static void a_port_that_another_has_for_itself_fails_with_the_reason(void)
{
    run(start_greedy, greedy_is_done);
    CU_ASSERT_EQUAL(core.error, PG_ERR_LOCAL_IN_USE);
    close(greedy);
}

static bool unbound;

static void start_unbind(void)
{
    unbound = false;
    bind_to(FOUR, &group4);
    bind_to(SECOND, &group4);
    say(SECOND, &group4, interface("pg0"), 'x');
}

static bool unbind_is_done(void)
{
    if (heard(FOUR, 'x') && !unbound) {
        unbound = true;
        order((struct pg_command){.kind = PG_COMMAND_UNBIND, .number = FOUR});
        say(SECOND, &group4, interface("pg0"), 'y');
    }
    return heard(SECOND, 'y') != NULL;
}

static void a_socket_that_was_given_up_hears_nothing_more(void)
{
    run(start_unbind, unbind_is_done);
    CU_ASSERT_PTR_NULL(heard(FOUR, 'y'));
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, text, strlen(text));
        close(fd);
    }
}

/* Root of its own namespaces, whoever runs it. */
static bool alone(void)
{
    char map[64];
    unsigned uid = (unsigned)getuid(), gid = (unsigned)getgid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    put("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", uid);
    put("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "0 %u 1", gid);
    put("/proc/self/gid_map", map);
    return system("ip link set lo up && ip addr add 192.0.2.77/32 dev lo && ip link add pg0 type veth peer name far0 && ip link add pg1 type veth peer name far1 &&"
                  "ip addr add 10.7.0.1/24 dev pg0 && ip addr add 10.7.1.1/24 dev pg1 && ip addr add fd07::1/64 dev pg1 nodad &&"
                  "ip link set pg0 up && ip link set pg1 up && ip link set far0 up && ip link set far1 up") == 0;
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a group is heard by all who share its port, and by which interface",
         a_group_is_heard_by_all_who_share_its_port_by_interface},
        {"hops, and a source of another network, are told", hops_and_a_source_of_another_network_are_told},
        {"an interface that comes later is joined and told of without asking",
         an_interface_that_comes_later_is_joined_and_told_of_without_asking},
        {"a port that another program has for itself fails with the reason", a_port_that_another_has_for_itself_fails_with_the_reason},
        {"a socket that was given up hears nothing more", a_socket_that_was_given_up_hears_nothing_more},
    };
    if (!alone()) {
        fprintf(stderr, "datagram_test: no network namespace of its own can be made (user namespaces, and ip of iproute2)\n");
        return 1;
    }
    return RUN_SUITE("datagrams", sentences);
}
