/* The Internet of a laboratory: a userspace switch between network namespaces that it makes itself, one for each end.
 * Called by tools/bench/measures.py (two ends, a rate) and by tests/nat/lab.py (many ends, no rate). See docs/MEASURING.md and
 * tests/nat/README.md. On the way to each end is one queue: packets leave at the rate and arrive the delay later; what would wait
 * longer than the queue is dropped, as a router does. What belongs to no end is dropped. Needs root; ends with its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { PACKET = 1600, SLOTS = 16384, ENDS = 64, NAME = 40, LINE = 256 };

struct packet {
    uint64_t due_ns, number; /* the number keeps the order of packets that are due at once */
    uint16_t len;
    uint8_t at[PACKET];
};

struct way {
    uint64_t delay_ns, late_ns; /* late: what a packet that is overtaken takes longer */
    uint32_t loss_ppm, reorder_ppm, twice_ppm;
    size_t most; /* bytes of a packet: longer ones vanish, and nobody is told, as behind a router that keeps ICMP to itself */
};

struct end {
    char name[NAME], path[64];
    uint32_t net, mask;
    int tun;
    struct way way;
    uint64_t busy_until_ns; /* when the last packet has left the line */
    struct packet *packets;
    uint16_t *heap; /* of packets, the next that is due first; behind `count` come the free ones */
    unsigned count;
    uint64_t passed, bytes, lost, overtaken, twice, too_long, dropped;
};

static struct end ends[ENDS];
static int end_count;
static uint64_t rate_mbit, queue_ns = UINT64_MAX, packets_seen, random_state, no_way;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "wan: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* SplitMix64: the same seed loses the same packets, as long as the same ones come. */
static uint32_t draw_ppm(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % 1000000u);
}

static void set_address(int control, const char *device, unsigned long request, uint32_t ip)
{
    struct ifreq r = {0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    memcpy(&r.ifr_addr, &at, sizeof at);
    if (ioctl(control, request, &r) != 0)
        fail("an address");
}

static void bring_up(int control, const char *device)
{
    struct ifreq r = {0};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    if (ioctl(control, SIOCGIFFLAGS, &r) != 0)
        fail(device);
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    if (ioctl(control, SIOCSIFFLAGS, &r) != 0)
        fail(device);
}

/* Everything else is beyond the line: the switch knows who has which addresses. */
static void route_everything(int control, const char *device)
{
    char name[16];
    snprintf(name, sizeof name, "%s", device);
    struct rtentry r = {.rt_flags = RTF_UP, .rt_dev = name};
    r.rt_dst.sa_family = r.rt_genmask.sa_family = AF_INET;
    if (ioctl(control, SIOCADDRT, &r) != 0)
        fail("a route");
}

/* Cubic on both sides of every comparison: other controls measure the line in their own way. */
static void choose_cubic(void)
{
    int fd = open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY);
    if (fd < 0 || write(fd, "cubic", 5) != 5)
        fprintf(stderr, "wan: congestion control stays as it is: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* A namespace with one device, and a path by which others can enter it. */
static void make_namespace(struct end *e, uint32_t ip)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (unshare(CLONE_NEWNET) != 0)
        fail("a network namespace (root is needed)");
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    e->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof r.ifr_name, "line");
    if (e->tun < 0 || control < 0 || ioctl(e->tun, TUNSETIFF, &r) != 0)
        fail("/dev/net/tun");
    set_address(control, "line", SIOCSIFADDR, ip);
    set_address(control, "line", SIOCSIFNETMASK, e->mask);
    bring_up(control, "line");
    bring_up(control, "lo");
    route_everything(control, "line");
    close(control);
    choose_cubic();
    int ns = open("/proc/thread-self/ns/net", O_RDONLY);
    if (ns < 0)
        fail("namespace");
    snprintf(e->path, sizeof e->path, "/proc/%d/fd/%d", (int)getpid(), ns);
}

/* NAME=ADDRESS/BITS */
static bool make_end(const char *text, uint64_t delay_ns)
{
    struct end *e = &ends[end_count];
    char ip[INET_ADDRSTRLEN];
    unsigned bits;
    struct in_addr at;
    if (end_count == ENDS || sscanf(text, "%39[a-z0-9_.-]=%15[0-9.]/%u", e->name, ip, &bits) != 3 || bits == 0 || bits > 32
        || inet_pton(AF_INET, ip, &at) != 1)
        return false;
    e->mask = UINT32_MAX << (32 - bits);
    e->net = ntohl(at.s_addr) & e->mask;
    e->way.delay_ns = delay_ns;
    e->packets = calloc(SLOTS, sizeof *e->packets);
    e->heap = calloc(SLOTS, sizeof *e->heap);
    if (!e->packets || !e->heap)
        fail("memory");
    for (unsigned i = 0; i < SLOTS; i++)
        e->heap[i] = (uint16_t)i;
    make_namespace(e, ntohl(at.s_addr));
    end_count++;
    return true;
}

static bool before(const struct end *e, unsigned a, unsigned b)
{
    const struct packet *x = &e->packets[e->heap[a]], *y = &e->packets[e->heap[b]];
    return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->number < y->number;
}

static void swap(struct end *e, unsigned a, unsigned b)
{
    uint16_t kept = e->heap[a];
    e->heap[a] = e->heap[b];
    e->heap[b] = kept;
}

/* The packet that was written into the first free place waits from now on. */
static void wait_in_line(struct end *e)
{
    unsigned at = e->count++;
    for (; at > 0 && before(e, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(e, at, (at - 1) / 2);
}

static void remove_first(struct end *e)
{
    swap(e, 0, --e->count);
    for (unsigned at = 0;;) {
        unsigned child = 2 * at + 1;
        if (child >= e->count)
            return;
        if (child + 1 < e->count && before(e, child + 1, child))
            child++;
        if (!before(e, child, at))
            return;
        swap(e, at, child);
        at = child;
    }
}

static struct end *owner_of(const uint8_t *packet, size_t len)
{
    uint32_t to;
    if (len < 20 || packet[0] >> 4 != 4)
        return NULL;
    memcpy(&to, packet + 16, sizeof to);
    for (int i = 0; i < end_count; i++)
        if ((ntohl(to) & ends[i].mask) == ends[i].net)
            return &ends[i];
    return NULL;
}

static void queue(struct end *e, const uint8_t *at, size_t len, uint64_t due_ns)
{
    struct packet *p = &e->packets[e->heap[e->count]];
    p->due_ns = due_ns;
    p->number = packets_seen++;
    p->len = (uint16_t)len;
    memcpy(p->at, at, len);
    wait_in_line(e);
}

static void send_on_its_way(struct end *e, const uint8_t *at, size_t len, uint64_t now)
{
    if (e->way.most > 0 && len > e->way.most) {
        e->too_long++;
        return;
    }
    if (e->busy_until_ns < now)
        e->busy_until_ns = now;
    if (e->busy_until_ns - now > queue_ns || e->count == SLOTS) {
        e->dropped++;
        return;
    }
    if (rate_mbit > 0)
        e->busy_until_ns += len * 8000 / rate_mbit;
    if (e->way.loss_ppm > 0 && draw_ppm() < e->way.loss_ppm) {
        e->lost++;
        return;
    }
    uint64_t due_ns = e->busy_until_ns + e->way.delay_ns;
    if (e->way.reorder_ppm > 0 && draw_ppm() < e->way.reorder_ppm) {
        due_ns += e->way.late_ns;
        e->overtaken++;
    }
    queue(e, at, len, due_ns);
    if (e->way.twice_ppm > 0 && draw_ppm() < e->way.twice_ppm && e->count < SLOTS) {
        queue(e, at, len, due_ns + e->way.late_ns);
        e->twice++;
    }
}

static void take_in(struct end *from)
{
    uint8_t at[PACKET];
    for (;;) {
        ssize_t n = read(from->tun, at, sizeof at);
        if (n <= 0)
            return;
        struct end *to = owner_of(at, (size_t)n);
        if (to && to != from)
            send_on_its_way(to, at, (size_t)n, now_ns());
        else
            no_way++;
    }
}

/* Returns when the next packet is due. */
static uint64_t give_out(struct end *e)
{
    while (e->count > 0) {
        struct packet *p = &e->packets[e->heap[0]];
        if (p->due_ns > now_ns())
            return p->due_ns;
        if (write(e->tun, p->at, p->len) == p->len) {
            e->passed++;
            e->bytes += p->len;
        } else {
            e->dropped++; /* its end is down, or does not keep up */
        }
        remove_first(e);
    }
    return UINT64_MAX;
}

static void tell_counts(void)
{
    printf("{\"no_way\":%llu", (unsigned long long)no_way);
    for (int i = 0; i < end_count; i++) {
        const struct end *e = &ends[i];
        printf(",\"%s\":{\"passed\":%llu,\"bytes\":%llu,\"lost\":%llu,\"overtaken\":%llu,\"twice\":%llu,\"too_long\":%llu,\"dropped\":%llu}", e->name,
               (unsigned long long)e->passed, (unsigned long long)e->bytes, (unsigned long long)e->lost,
               (unsigned long long)e->overtaken, (unsigned long long)e->twice, (unsigned long long)e->too_long, (unsigned long long)e->dropped);
    }
    printf("}\n");
}

/* One command: `count`, or `way NAME DELAY_MS LOSS_PERCENT REORDER_PERCENT LATE_MS [TWICE_PERCENT MOST_BYTES]`, where the name * stands for
 * all. */
static void obey(const char *line)
{
    char name[NAME];
    double delay, loss, reorder, late, twice = 0, most = 0;
    bool known = false;
    if (strcmp(line, "count") == 0) {
        tell_counts();
        return;
    }
    if (sscanf(line, "way %39s %lf %lf %lf %lf %lf %lf", name, &delay, &loss, &reorder, &late, &twice, &most) >= 5 && delay >= 0 && loss >= 0
        && loss <= 100 && reorder >= 0 && reorder <= 100 && late >= 0 && twice >= 0 && twice <= 100 && most >= 0) {
        for (int i = 0; i < end_count; i++) {
            if (strcmp(name, "*") != 0 && strcmp(name, ends[i].name) != 0)
                continue;
            ends[i].way = (struct way){.delay_ns = (uint64_t)(delay * 1e6), .late_ns = (uint64_t)(late * 1e6),
                                       .loss_ppm = (uint32_t)(loss * 1e4), .reorder_ppm = (uint32_t)(reorder * 1e4),
                                       .twice_ppm = (uint32_t)(twice * 1e4), .most = (size_t)most};
            known = true;
        }
    }
    printf("{\"ok\":%s}\n", known ? "true" : "false");
}

static void read_commands(void)
{
    static char line[LINE];
    static size_t have;
    ssize_t n = read(0, line + have, sizeof line - 1 - have);
    if (n <= 0)
        exit(0); /* whoever started us has gone */
    have += (size_t)n;
    line[have] = 0;
    for (char *stop; (stop = strchr(line, '\n')) != NULL;) {
        *stop = 0;
        obey(line);
        have -= (size_t)(stop + 1 - line);
        memmove(line, stop + 1, have + 1);
    }
    if (have == sizeof line - 1)
        have = 0;
    fflush(stdout);
}

static _Noreturn void forward(void)
{
    struct pollfd all[ENDS + 1];
    for (int i = 0; i < end_count; i++)
        all[i] = (struct pollfd){.fd = ends[i].tun, .events = POLLIN};
    all[end_count] = (struct pollfd){.fd = 0, .events = POLLIN};
    for (;;) {
        uint64_t next = UINT64_MAX;
        for (int i = 0; i < end_count; i++) {
            uint64_t due = give_out(&ends[i]);
            if (due < next)
                next = due;
        }
        uint64_t now = now_ns();
        struct timespec wait = {0};
        if (next != UINT64_MAX && next > now)
            wait = (struct timespec){.tv_sec = (time_t)((next - now) / 1000000000u), .tv_nsec = (long)((next - now) % 1000000000u)};
        if (ppoll(all, (nfds_t)end_count + 1, next == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (all[end_count].revents != 0)
            read_commands();
        for (int i = 0; i < end_count; i++)
            if (all[i].revents != 0)
                take_in(&ends[i]);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: wan [--rate MBIT] [--queue MS] [--delay MS] [--seed N] NAME=ADDRESS/BITS ...\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const struct option options[] = {{"rate", required_argument, NULL, 'r'}, {"queue", required_argument, NULL, 'q'},
                                     {"delay", required_argument, NULL, 'd'}, {"seed", required_argument, NULL, 's'}, {0}};
    uint64_t delay_ns = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'r': rate_mbit = strtoull(optarg, NULL, 10); break;
        case 'q': queue_ns = strtoull(optarg, NULL, 10) * 1000000u; break;
        case 'd': delay_ns = strtoull(optarg, NULL, 10) * 1000000u; break;
        case 's': random_state = strtoull(optarg, NULL, 10); break;
        default: usage();
        }
    }
    if (optind == argc)
        usage();
    for (int i = optind; i < argc; i++)
        if (!make_end(argv[i], delay_ns))
            usage();
    for (int i = 0; i < end_count; i++)
        printf("%s\"%s\":\"%s\"", i == 0 ? "{" : ",", ends[i].name, ends[i].path);
    printf("}\n");
    fflush(stdout);
    forward();
}
