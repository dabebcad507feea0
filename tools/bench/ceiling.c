/* The ceiling that `make bench` measures punchgate against: one end of a tunnel that does nothing but copy and encrypt.
 * Started twice by tools/bench/bench.py, as `bench_ceiling outward PORT TARGET` and `bench_ceiling inward PORT TARGET`.
 * See docs/MEASURING.md; speaks no protocol: a frame is four bytes of length, the text and its tag. */
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { READ = 256 * 1024, PLAIN = 64 * 1024, TAG = 16, LENGTH = 4, FRAME = LENGTH + PLAIN + TAG };
/* What one read may become: every frame of it with its own length and tag; or text that waited for its end. */
enum { IN_ROOM = READ + FRAME, OUT_ROOM = IN_ROOM + (IN_ROOM / PLAIN + 1) * (LENGTH + TAG) };

struct pair;

/* One direction: what `from` brings is turned into frames or back, and written to `to` before more is read. */
struct half {
    struct pair *pair;
    uv_tcp_t *from, *to;
    EVP_CIPHER_CTX *cipher;
    uv_write_t write;
    uv_shutdown_t shutdown;
    uint64_t nonce;
    size_t in_used, out_used;
    bool encrypts, paused, ended;
    uint8_t in[IN_ROOM], out[OUT_ROOM];
};

struct pair {
    uv_tcp_t accepted, dialled;
    uv_connect_t connect;
    struct half there, back; /* accepted to dialled, dialled to accepted */
    unsigned halves_done, closed;
    bool closing;
};

static struct sockaddr_in target;
static bool outward;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_ceiling: %s failed\n", what);
    exit(1);
}

/* BBR, which some kernels default to, costs a third on loopback: both sides of every comparison use cubic. */
static void tune(uv_tcp_t *tcp)
{
    int fd, one = 1;
    if (uv_fileno((uv_handle_t *)tcp, &fd) != 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
}

static void on_closed(uv_handle_t *handle)
{
    struct pair *p = handle->data;
    if (++p->closed < 2)
        return;
    EVP_CIPHER_CTX_free(p->there.cipher);
    EVP_CIPHER_CTX_free(p->back.cipher);
    free(p);
}

static void end_pair(struct pair *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->accepted, on_closed);
    uv_close((uv_handle_t *)&p->dialled, on_closed);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct half *h = request->data;
    if (status < 0 || ++h->pair->halves_done == 2)
        end_pair(h->pair);
}

/* A key that everybody knows: the bench measures the cipher's cost, not its secrecy. */
static EVP_CIPHER_CTX *cipher_new(bool encrypts)
{
    static const uint8_t key[32] = {1};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx && EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL, encrypts) == 1, "cipher");
    return ctx;
}

static void next_nonce(struct half *h, uint8_t nonce[12])
{
    memset(nonce, 0, 12);
    memcpy(nonce + 4, &h->nonce, sizeof h->nonce);
    h->nonce++;
}

static void encrypt(struct half *h, const uint8_t *text, size_t len)
{
    while (len > 0) {
        size_t n = len < PLAIN ? len : PLAIN;
        uint8_t nonce[12], *out = h->out + h->out_used;
        int done;
        next_nonce(h, nonce);
        uint32_t size = (uint32_t)(n + TAG);
        memcpy(out, &size, LENGTH);
        must(EVP_EncryptInit_ex(h->cipher, NULL, NULL, NULL, nonce) == 1 &&
                 EVP_EncryptUpdate(h->cipher, out + LENGTH, &done, text, (int)n) == 1 &&
                 EVP_EncryptFinal_ex(h->cipher, out + LENGTH + n, &done) == 1 &&
                 EVP_CIPHER_CTX_ctrl(h->cipher, EVP_CTRL_AEAD_GET_TAG, TAG, out + LENGTH + n) == 1, "encryption");
        h->out_used += LENGTH + n + TAG;
        text += n;
        len -= n;
    }
}

static void decrypt(struct half *h)
{
    size_t at = 0;
    while (h->in_used - at >= LENGTH) {
        uint32_t size;
        memcpy(&size, h->in + at, LENGTH);
        must(size >= TAG && size <= PLAIN + TAG, "frame");
        if (h->in_used - at - LENGTH < size)
            break;
        uint8_t nonce[12], *text = h->in + at + LENGTH;
        size_t n = size - TAG;
        int done;
        next_nonce(h, nonce);
        must(EVP_DecryptInit_ex(h->cipher, NULL, NULL, NULL, nonce) == 1 &&
                 EVP_CIPHER_CTX_ctrl(h->cipher, EVP_CTRL_AEAD_SET_TAG, TAG, text + n) == 1 &&
                 EVP_DecryptUpdate(h->cipher, h->out + h->out_used, &done, text, (int)n) == 1 &&
                 EVP_DecryptFinal_ex(h->cipher, h->out + h->out_used + n, &done) == 1, "decryption");
        h->out_used += n;
        at += LENGTH + size;
    }
    h->in_used -= at;
    memmove(h->in, h->in + at, h->in_used);
}

static void alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct pair *p = handle->data;
    struct half *h = handle == (uv_handle_t *)&p->accepted ? &p->there : &p->back;
    (void)hint;
    *buf = uv_buf_init((char *)h->in + h->in_used, READ);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void after_write(struct half *h)
{
    h->out_used = 0;
    if (h->ended) {
        h->shutdown.data = h;
        if (uv_shutdown(&h->shutdown, (uv_stream_t *)h->to, on_shut) != 0)
            end_pair(h->pair);
    } else if (h->paused) {
        h->paused = false;
        uv_read_start((uv_stream_t *)h->from, alloc, on_read);
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct half *h = request->data;
    if (h->pair->closing)
        return;
    if (status < 0)
        end_pair(h->pair);
    else
        after_write(h);
}

static void write_out(struct half *h)
{
    uv_buf_t whole = uv_buf_init((char *)h->out, (unsigned)h->out_used);
    int done = h->out_used ? uv_try_write((uv_stream_t *)h->to, &whole, 1) : 0;
    if (done < 0 && done != UV_EAGAIN) {
        end_pair(h->pair);
        return;
    }
    size_t written = done > 0 ? (size_t)done : 0;
    if (written == h->out_used) {
        after_write(h);
        return;
    }
    uv_buf_t rest = uv_buf_init((char *)h->out + written, (unsigned)(h->out_used - written));
    h->write.data = h;
    h->paused = true;
    uv_read_stop((uv_stream_t *)h->from);
    if (uv_write(&h->write, (uv_stream_t *)h->to, &rest, 1, on_written) != 0)
        end_pair(h->pair);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pair *p = stream->data;
    struct half *h = stream == (uv_stream_t *)&p->accepted ? &p->there : &p->back;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0 && n != UV_EOF) {
        end_pair(p);
        return;
    }
    if (n == UV_EOF) {
        h->ended = true;
        uv_read_stop(stream);
    } else if (h->encrypts) {
        encrypt(h, h->in, (size_t)n);
    } else {
        h->in_used += (size_t)n;
        decrypt(h);
    }
    write_out(h);
}

static void half_init(struct half *h, struct pair *p, uv_tcp_t *from, uv_tcp_t *to, bool encrypts)
{
    h->pair = p;
    h->from = from;
    h->to = to;
    h->encrypts = encrypts;
    h->cipher = cipher_new(encrypts);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct pair *p = request->data;
    if (p->closing)
        return;
    if (status < 0) {
        end_pair(p);
        return;
    }
    uv_read_start((uv_stream_t *)&p->accepted, alloc, on_read);
    uv_read_start((uv_stream_t *)&p->dialled, alloc, on_read);
}

static void on_arrival(uv_stream_t *listener, int status)
{
    must(status == 0, "accept");
    struct pair *p = malloc(sizeof *p);
    must(p != NULL, "memory");
    memset(p, 0, offsetof(struct pair, there));
    /* The big buffers stay untouched until they are used. */
    memset(&p->there, 0, offsetof(struct half, in));
    memset(&p->back, 0, offsetof(struct half, in));
    p->halves_done = p->closed = 0;
    p->closing = false;
    uv_tcp_init(listener->loop, &p->accepted);
    uv_tcp_init_ex(listener->loop, &p->dialled, AF_INET);
    p->accepted.data = p->dialled.data = p->connect.data = p;
    half_init(&p->there, p, &p->accepted, &p->dialled, outward);
    half_init(&p->back, p, &p->dialled, &p->accepted, !outward);
    must(uv_accept(listener, (uv_stream_t *)&p->accepted) == 0, "accept");
    tune(&p->accepted);
    tune(&p->dialled);
    if (uv_tcp_connect(&p->connect, &p->dialled, (const struct sockaddr *)&target, on_connected) != 0)
        end_pair(p);
}

int main(int argc, char **argv)
{
    uv_tcp_t listener;
    struct sockaddr_in own;
    if (argc != 4 || (strcmp(argv[1], "outward") != 0 && strcmp(argv[1], "inward") != 0)) {
        fprintf(stderr, "usage: bench_ceiling outward|inward PORT TARGET_PORT\n");
        return 2;
    }
    outward = argv[1][0] == 'o';
    must(uv_ip4_addr("127.0.0.1", atoi(argv[2]), &own) == 0 && uv_ip4_addr("127.0.0.1", atoi(argv[3]), &target) == 0, "port");
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_init_ex(loop, &listener, AF_INET);
    tune(&listener);
    must(uv_tcp_bind(&listener, (const struct sockaddr *)&own, 0) == 0 &&
             uv_listen((uv_stream_t *)&listener, 1024, on_arrival) == 0, "listen");
    printf("ready\n");
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
