/* A long line for `make bench`: a userspace switch between two network namespaces that it makes itself.
 * Called by tools/bench/bench.py as `bench_wan RATE_MBIT DELAY_MS QUEUE_MS`; prints a path to each namespace, for nsenter --net=.
 * See docs/MEASURING.md. Each way is one queue: packets leave at the rate and arrive the delay later; what would
 * wait longer than QUEUE_MS is dropped, as a router does. Needs root. */
#include <errno.h>
#include <fcntl.h>
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
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { PACKET = 1600, SLOTS = 16384 };

struct packet {
    uint64_t due_ns;
    uint16_t len;
    uint8_t at[PACKET];
};

struct way {
    int from, to;
    uint64_t busy_until_ns; /* when the last packet has left the line */
    unsigned head, count;
    uint64_t dropped;
    struct packet *ring;
};

static uint64_t rate_mbit, delay_ns, queue_ns;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_wan: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_address(int control, const char *device, unsigned long request, const char *ip)
{
    struct ifreq r = {0};
    struct sockaddr_in at = {.sin_family = AF_INET};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", device);
    inet_pton(AF_INET, ip, &at.sin_addr);
    memcpy(&r.ifr_addr, &at, sizeof at);
    if (ioctl(control, request, &r) != 0)
        fail(ip);
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

/* Cubic on both sides of every comparison: other controls measure the line in their own way. */
static void choose_cubic(void)
{
    int fd = open("/proc/sys/net/ipv4/tcp_congestion_control", O_WRONLY);
    if (fd < 0 || write(fd, "cubic", 5) != 5)
        fprintf(stderr, "bench_wan: congestion control stays as it is: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* A namespace with one device; returns the device and writes a path by which others can enter. */
static int make_end(const char *ip, char *path, size_t room)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (unshare(CLONE_NEWNET) != 0)
        fail("a network namespace (root is needed)");
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK), control = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(r.ifr_name, sizeof r.ifr_name, "line");
    if (tun < 0 || control < 0 || ioctl(tun, TUNSETIFF, &r) != 0)
        fail("/dev/net/tun");
    set_address(control, "line", SIOCSIFADDR, ip);
    set_address(control, "line", SIOCSIFNETMASK, "255.255.255.0");
    bring_up(control, "line");
    bring_up(control, "lo");
    close(control);
    choose_cubic();
    int ns = open("/proc/thread-self/ns/net", O_RDONLY);
    if (ns < 0)
        fail("namespace");
    snprintf(path, room, "/proc/%d/fd/%d", (int)getpid(), ns);
    return tun;
}

static void take_in(struct way *w)
{
    for (;;) {
        struct packet *p = &w->ring[(w->head + w->count) % SLOTS];
        ssize_t n = read(w->from, p->at, PACKET);
        if (n <= 0)
            return;
        uint64_t now = now_ns();
        if (w->busy_until_ns < now)
            w->busy_until_ns = now;
        if (w->busy_until_ns - now > queue_ns || w->count == SLOTS - 1) {
            w->dropped++;
            continue;
        }
        w->busy_until_ns += (uint64_t)n * 8000 / rate_mbit;
        p->due_ns = w->busy_until_ns + delay_ns;
        p->len = (uint16_t)n;
        w->count++;
    }
}

/* Returns when the next packet is due. */
static uint64_t give_out(struct way *w)
{
    while (w->count > 0) {
        struct packet *p = &w->ring[w->head];
        if (p->due_ns > now_ns())
            return p->due_ns;
        if (write(w->to, p->at, p->len) < 0 && errno == EAGAIN)
            w->dropped++;
        w->head = (w->head + 1) % SLOTS;
        w->count--;
    }
    return UINT64_MAX;
}

static _Noreturn void forward(int a, int b)
{
    struct way there = {.from = a, .to = b}, back = {.from = b, .to = a};
    there.ring = calloc(SLOTS, sizeof *there.ring);
    back.ring = calloc(SLOTS, sizeof *back.ring);
    if (!there.ring || !back.ring)
        fail("memory");
    for (;;) {
        uint64_t next = give_out(&there), other = give_out(&back), now = now_ns();
        if (other < next)
            next = other;
        struct timespec wait = {0};
        if (next != UINT64_MAX && next > now)
            wait = (struct timespec){.tv_sec = (time_t)((next - now) / 1000000000u), .tv_nsec = (long)((next - now) % 1000000000u)};
        struct pollfd both[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        if (ppoll(both, 3, next == UINT64_MAX ? NULL : &wait, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (both[2].revents != 0)
            exit(0); /* whoever started us has gone */
        take_in(&there);
        take_in(&back);
    }
}

int main(int argc, char **argv)
{
    char left[64], right[64];
    if (argc != 4 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: bench_wan RATE_MBIT DELAY_MS_EACH_WAY QUEUE_MS\n");
        return 2;
    }
    rate_mbit = (uint64_t)atoi(argv[1]);
    delay_ns = (uint64_t)atoi(argv[2]) * 1000000u;
    queue_ns = (uint64_t)atoi(argv[3]) * 1000000u;
    int a = make_end("10.87.0.1", left, sizeof left), b = make_end("10.87.0.2", right, sizeof right);
    printf("{\"left\":\"%s\",\"right\":\"%s\"}\n", left, right);
    fflush(stdout);
    forward(a, b);
}
