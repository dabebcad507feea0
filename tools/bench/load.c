/* The two ends of every measurement of `make bench`: a client that times and a server that answers, one thread a connection.
 * Called by tools/bench/bench.py, which reads one line of JSON from each run.
 * See docs/MEASURING.md. The client's first nine bytes say what the server shall do: a letter and a count. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { BLOCK = 256 * 1024, ORDER = 9, PING = 64, MOST_THREADS = 1024, PATIENCE_S = 30 };

extern char **environ;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void tune(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

/* PORT of the loopback, or IP:PORT. */
static struct sockaddr_in place(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *colon = strchr(text, ':');
    char ip[INET_ADDRSTRLEN] = "";
    if (colon) {
        snprintf(ip, sizeof ip, "%.*s", (int)(colon - text), text);
        if (inet_pton(AF_INET, ip, &at.sin_addr) != 1)
            fail(text);
    }
    at.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : text));
    return at;
}

static struct sockaddr_in target;

/* Both give false when the other side ends early or stays silent for PATIENCE_S. */
static bool read_all(int fd, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, to, n);
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *from, size_t n)
{
    while (n > 0) {
        ssize_t put = send(fd, from, n, MSG_NOSIGNAL);
        if (put <= 0)
            return false;
        from += put;
        n -= (size_t)put;
    }
    return true;
}

static bool take_bytes(int fd, uint64_t n)
{
    uint8_t *block = malloc(BLOCK);
    bool good = block != NULL;
    while (good && n > 0) {
        ssize_t got = read(fd, block, n < BLOCK ? (size_t)n : BLOCK);
        good = got > 0;
        n -= good ? (uint64_t)got : 0;
    }
    free(block);
    return good;
}

static bool give_bytes(int fd, uint64_t n)
{
    uint8_t *block = malloc(BLOCK);
    bool good = block != NULL;
    if (good)
        memset(block, 'x', BLOCK);
    while (good && n > 0) {
        size_t piece = n < BLOCK ? (size_t)n : BLOCK;
        good = write_all(fd, block, piece);
        n -= piece;
    }
    free(block);
    return good;
}

/* The server's side of one connection: up, down, or echo until the client has enough. */
static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    uint8_t order[ORDER], ball[4096];
    uint64_t n;
    if (read_all(fd, order, sizeof order)) {
        memcpy(&n, order + 1, sizeof n);
        if (order[0] == 'u' && take_bytes(fd, n))
            (void)write_all(fd, order, 1);
        if (order[0] == 'd')
            (void)give_bytes(fd, n);
        ssize_t got;
        while (order[0] == 'e' && (got = read(fd, ball, sizeof ball)) > 0)
            if (!write_all(fd, ball, (size_t)got))
                break;
    }
    close(fd);
    return NULL;
}

static _Noreturn void server(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    tune(fd);
    if (bind(fd, (struct sockaddr *)&target, sizeof target) != 0 || listen(fd, 4096) != 0)
        fail("listen");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        pthread_t thread;
        if (client < 0)
            continue;
        tune(client);
        if (pthread_create(&thread, &small, serve, (void *)(intptr_t)client) != 0)
            close(client);
    }
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    tune(fd);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&target, sizeof target) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool give_order(int fd, char what, uint64_t n)
{
    uint8_t order[ORDER] = {(uint8_t)what};
    memcpy(order + 1, &n, sizeof n);
    return write_all(fd, order, sizeof order);
}

/* Bulk. */

struct bulk {
    pthread_t thread;
    int fd;
    char what;
    uint64_t bytes;
    bool good;
};

static void *run_bulk(void *argument)
{
    struct bulk *b = argument;
    uint8_t done;
    b->good = give_order(b->fd, b->what, b->bytes) &&
              (b->what == 'u' ? give_bytes(b->fd, b->bytes) && read_all(b->fd, &done, 1) : take_bytes(b->fd, b->bytes));
    close(b->fd);
    return NULL;
}

static int bulk(char what, uint64_t bytes, unsigned streams)
{
    static struct bulk all[MOST_THREADS];
    bool good = streams > 0 && streams <= MOST_THREADS;
    /* Connecting is not part of the time: that is another measure. */
    for (unsigned i = 0; i < streams && good; i++) {
        all[i] = (struct bulk){.fd = dial(), .what = what, .bytes = bytes / streams};
        good = all[i].fd >= 0;
    }
    if (!good)
        fail("connect");
    double start = now_s();
    for (unsigned i = 0; i < streams; i++)
        if (pthread_create(&all[i].thread, NULL, run_bulk, &all[i]) != 0)
            fail("thread");
    for (unsigned i = 0; i < streams; i++) {
        pthread_join(all[i].thread, NULL);
        good = good && all[i].good;
    }
    printf("{\"bytes\":%llu,\"seconds\":%.6f,\"whole\":%s}\n", (unsigned long long)(bytes / streams * streams),
           now_s() - start, good ? "true" : "false");
    return good ? 0 : 1;
}

/* Ping-pong. */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int ping(unsigned rounds)
{
    uint8_t ball[PING] = {0};
    unsigned warm = rounds / 10 + 1;
    double *took = calloc(rounds, sizeof *took);
    int fd = dial();
    if (!took || rounds == 0 || fd < 0 || !give_order(fd, 'e', 0))
        fail("ping");
    for (unsigned i = 0; i < warm + rounds; i++) {
        double start = now_s();
        if (!write_all(fd, ball, sizeof ball) || !read_all(fd, ball, sizeof ball))
            fail("ping");
        if (i >= warm)
            took[i - warm] = (now_s() - start) * 1e6;
    }
    close(fd);
    qsort(took, rounds, sizeof *took, by_size);
    printf("{\"rounds\":%u,\"p50_us\":%.2f,\"p99_us\":%.2f}\n", rounds, took[rounds / 2], took[(size_t)rounds * 99 / 100]);
    free(took);
    return 0;
}

/* Many connections, each with one echo. */

static struct {
    pthread_mutex_t lock;
    unsigned left, lost;
} crowd = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool echo_on(int fd)
{
    uint8_t out[PING], in[PING];
    memset(out, 'p', sizeof out);
    return write_all(fd, out, sizeof out) && read_all(fd, in, sizeof in) && memcmp(in, out, sizeof in) == 0;
}

static bool one_echo(void)
{
    int fd = dial();
    bool good = fd >= 0 && give_order(fd, 'e', 0) && echo_on(fd);
    if (fd >= 0)
        close(fd);
    return good;
}

static void *run_crowd(void *argument)
{
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&crowd.lock);
        bool more = crowd.left > 0;
        crowd.left -= more;
        pthread_mutex_unlock(&crowd.lock);
        if (!more)
            return NULL;
        if (!one_echo()) {
            pthread_mutex_lock(&crowd.lock);
            crowd.lost++;
            pthread_mutex_unlock(&crowd.lock);
        }
    }
}

static int connections(unsigned count, unsigned at_once)
{
    static pthread_t threads[MOST_THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    crowd.left = count;
    if (at_once == 0 || at_once > MOST_THREADS)
        at_once = 8;
    double start = now_s();
    for (unsigned i = 0; i < at_once; i++)
        if (pthread_create(&threads[i], &small, run_crowd, NULL) != 0)
            fail("thread");
    for (unsigned i = 0; i < at_once; i++)
        pthread_join(threads[i], NULL);
    double took = now_s() - start;
    printf("{\"connections\":%u,\"lost\":%u,\"seconds\":%.6f,\"per_second\":%.1f}\n", count, crowd.lost, took, count / took);
    return 0;
}

/* Holds many connections open until a line comes in, then asks each once more. */
static int hold(unsigned count)
{
    int *fds = calloc(count, sizeof *fds), c;
    unsigned lost = 0;
    if (!fds)
        fail("memory");
    for (unsigned i = 0; i < count; i++)
        if ((fds[i] = dial()) < 0 || !give_order(fds[i], 'e', 0) || !echo_on(fds[i]))
            lost++;
    printf("{\"held\":%u,\"lost\":%u}\n", count, lost);
    fflush(stdout);
    while ((c = getchar()) != '\n' && c != EOF) {
    }
    lost = 0;
    for (unsigned i = 0; i < count; i++) {
        lost += !(fds[i] >= 0 && echo_on(fds[i]));
        if (fds[i] >= 0)
            close(fds[i]);
    }
    printf("{\"held\":%u,\"lost\":%u}\n", count, lost);
    free(fds);
    return 0;
}

/* From the start of a process to the first byte echoed through it. The client comes as soon as somebody listens. */
static int first_byte(char **command)
{
    pid_t child;
    uint8_t ball = 'f';
    int fd = -1, status;
    double start = now_s();
    if (posix_spawnp(&child, command[0], NULL, NULL, command, environ) != 0)
        fail(command[0]);
    while ((fd = dial()) < 0 && now_s() - start < PATIENCE_S)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    double connected = now_s();
    bool good = fd >= 0 && give_order(fd, 'e', 0) && write_all(fd, &ball, 1) && read_all(fd, &ball, 1);
    double echoed = now_s();
    if (fd >= 0)
        close(fd);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    if (good)
        printf("{\"listening_ms\":%.3f,\"echoed_ms\":%.3f}\n", (connected - start) * 1e3, (echoed - start) * 1e3);
    return good ? 0 : 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_load server AT | up|down AT BYTES STREAMS | ping AT ROUNDS | connections AT COUNT AT_ONCE\n"
                    "       bench_load hold AT COUNT | first AT COMMAND ARGUMENT...        AT is PORT or IP:PORT\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc < 3)
        return usage();
    const char *role = argv[1];
    target = place(argv[2]);
    if (strcmp(role, "server") == 0)
        server();
    if (strcmp(role, "ping") == 0 && argc == 4)
        return ping((unsigned)atoi(argv[3]));
    if ((strcmp(role, "up") == 0 || strcmp(role, "down") == 0) && argc == 5)
        return bulk(role[0], strtoull(argv[3], NULL, 10), (unsigned)atoi(argv[4]));
    if (strcmp(role, "connections") == 0 && argc == 5)
        return connections((unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    if (strcmp(role, "hold") == 0 && argc == 4)
        return hold((unsigned)atoi(argv[3]));
    if (strcmp(role, "first") == 0 && argc > 3)
        return first_byte(argv + 3);
    return usage();
}
