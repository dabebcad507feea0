/* Handshakes for `make bench`: a client that dials, proves who it is and hangs up, and what libsodium alone would need.
 * Called by tools/bench/bench.py as `bench_handshakes dial PORT COUNT` and `bench_handshakes primitives COUNT`.
 * See docs/MEASURING.md: the accepting process's CPU is what is measured, so the client may take its time. */
#include "crypto/keys.h"
#include "crypto/noise_cipher.h"
#include "noise.pb.gen.h"
#include "protocols.gen.h"
#include "wire/mss.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1024, AT_ONCE = 8 };

static bool put(int fd, struct pg_bytes all)
{
    return send(fd, all.at, all.len, MSG_NOSIGNAL) == (ssize_t)all.len;
}

static bool get(int fd, uint8_t *to, size_t n)
{
    return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

/* Both sides' lines, the same on either way. */
static bool agree_on_noise(int fd)
{
    uint8_t ours[ROOM], theirs[ROOM];
    struct pg_writer w = pg_writer(ours, sizeof ours);
    pg_mss_put(&w, PG_LIT(PG_PROTOCOL_MULTISTREAM));
    pg_mss_put(&w, PG_LIT(PG_PROTOCOL_NOISE));
    return put(fd, pg_written(&w)) && get(fd, theirs, w.len) && memcmp(ours, theirs, w.len) == 0;
}

static bool write_message(int fd, struct pg_noise_handshake *hs, struct pg_bytes payload)
{
    uint8_t message[ROOM];
    size_t n = pg_noise_write(hs, payload, message + 2, sizeof message - 2);
    message[0] = (uint8_t)(n >> 8);
    message[1] = (uint8_t)n;
    return n > 0 && put(fd, pg_bytes(message, n + 2));
}

static bool read_message(int fd, struct pg_noise_handshake *hs)
{
    uint8_t message[ROOM], payload[ROOM];
    size_t n, len;
    if (!get(fd, message, 2) || (len = (size_t)(message[0] << 8 | message[1])) > sizeof message || !get(fd, message, len))
        return false;
    return pg_noise_read(hs, pg_bytes(message, len), payload, sizeof payload, &n) == PG_OK;
}

/* Until the first byte of Yamux has come: by then the other side has taken our proof. */
static bool shake_hands(int port, const struct pg_noise_static *own, struct pg_bytes payload)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct pg_noise_handshake hs;
    uint8_t first;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 10}, sizeof(struct timeval));
    bool good = pg_noise_handshake_init(&hs, true, own) && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
                agree_on_noise(fd) && write_message(fd, &hs, PG_NONE) && read_message(fd, &hs) &&
                write_message(fd, &hs, payload) && get(fd, &first, 1);
    pg_noise_handshake_free(&hs);
    close(fd);
    return good;
}

/* Several at once, so that the accepting process always has something to do. */
static struct {
    int port;
    const struct pg_noise_static *own;
    struct pg_bytes payload;
    atomic_uint left, failed;
} crowd;

static void *shake_many(void *none)
{
    for (unsigned left = atomic_load(&crowd.left); left > 0; left = atomic_load(&crowd.left))
        if (atomic_compare_exchange_strong(&crowd.left, &left, left - 1) && !shake_hands(crowd.port, crowd.own, crowd.payload))
            atomic_fetch_add(&crowd.failed, 1);
    return none;
}

static int dial(int port, unsigned count)
{
    struct pg_identity *identity = pg_identity_new();
    struct pg_noise_static own;
    uint8_t bytes[ROOM];
    struct pg_pb_noise_handshake_payload payload;
    if (!identity || !pg_noise_static_new(&own, identity) ||
        pg_pb_noise_handshake_payload_read(&payload, pg_bytes(own.payload, own.payload_len)) != PG_OK)
        return 1;
    payload.has_extensions = true;
    payload.extensions = (struct pg_pb_noise_extensions){.n_stream_muxers = 1, .stream_muxers = {PG_LIT(PG_PROTOCOL_YAMUX)}};
    struct pg_writer w = pg_writer(bytes, sizeof bytes);
    pg_pb_noise_handshake_payload_write(&payload, &w);
    crowd.port = port;
    crowd.own = &own;
    crowd.payload = pg_written(&w);
    crowd.left = count;
    pthread_t threads[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        if (pthread_create(&threads[i], NULL, shake_many, NULL) != 0)
            return 1;
    for (int i = 0; i < AT_ONCE; i++)
        pthread_join(threads[i], NULL);
    printf("{\"handshakes\":%u,\"failed\":%u}\n", count, crowd.failed);
    pg_noise_static_free(&own);
    pg_identity_free(identity);
    return 0;
}

/* What XX costs the side that accepts and keeps its static key: an ephemeral pair, three agreements, one proof to verify. */
static int primitives(unsigned count)
{
    uint8_t secret[32] = {8}, point[32], shared[32], key[32], long_key[64], text[56] = {0}, signature[64];
    if (sodium_init() < 0 || crypto_sign_keypair(key, long_key) != 0)
        return 1;
    crypto_sign_detached(signature, NULL, text, sizeof text, long_key);
    struct timespec start, end;
    bool good = true;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (unsigned i = 0; i < count; i++) {
        randombytes_buf(secret, sizeof secret);
        good = good && crypto_scalarmult_curve25519_base(point, secret) == 0;
        for (int j = 0; j < 3; j++)
            good = good && crypto_scalarmult_curve25519(shared, secret, point) == 0;
        good = good && crypto_sign_verify_detached(signature, text, sizeof text, key) == 0;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double took = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("{\"handshakes\":%u,\"cpu_seconds\":%.6f}\n", count, took);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "dial") == 0)
        return dial(atoi(argv[2]), (unsigned)atoi(argv[3]));
    if (argc == 3 && strcmp(argv[1], "primitives") == 0)
        return primitives((unsigned)atoi(argv[2]));
    fprintf(stderr, "usage: bench_handshakes dial PORT COUNT | primitives COUNT\n");
    return 2;
}
