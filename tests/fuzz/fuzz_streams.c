/* Fuzz target: any bytes on a stream of each protocol that a peer serves, in a world that lives on: no stream harms its
 * connection, and nothing is held once it has ended. Run by libFuzzer or by standalone.c. The first byte chooses the protocol,
 * the service's temper and how the stream ends; the second how the rest falls in pieces. Serves libp2p/specs identify/README.md,
 * ping/ping.md, perf/perf.md, kad-dht/README.md, relay/circuit-v2.md, autonat and the tunnel's header (spec/wire/tunnel.wire). */
#include "../unit/world.h"
#include "protocols.gen.h"
#include "scene.h"

enum { PROTOCOLS = 16, MOST = 70000, PATIENCE = 1 << 20 };

struct probe {
    struct pg_stream *stream;
    size_t got;
};

static void nothing(struct pg_stream *s)
{
    (void)s;
}

static void data(struct pg_stream *s, struct pg_bytes in)
{
    struct probe *p = s->user;
    p->got += in.len;
    if (p->got < PATIENCE) /* whoever is asked for 2^60 bytes would send them */
        pg_stream_consumed(s, in.len);
}

static void closed(struct pg_stream *s, enum pg_err why)
{
    (void)why;
    ((struct probe *)s->user)->stream = NULL;
}

#define PROBE(name)                                                                                                              \
    {                                                                                                                            \
        .protocol = {(const uint8_t *)name, sizeof name - 1}, .opened = nothing, .data = data, .ended = nothing,                 \
        .writable = nothing, .closed = closed                                                                                    \
    }
static const struct pg_handler probes[PROTOCOLS] = {
    PROBE(PG_PROTOCOL_TUNNEL), PROBE(PG_PROTOCOL_IDENTIFY_PUSH), PROBE(PG_PROTOCOL_IDENTIFY), PROBE(PG_PROTOCOL_PING),
    PROBE(PG_PROTOCOL_PERF),   PROBE(PG_PROTOCOL_KAD),           PROBE(PG_PROTOCOL_KAD_PUBLIC), PROBE(PG_PROTOCOL_TUNNEL),
    PROBE(PG_PROTOCOL_HOP),    PROBE(PG_PROTOCOL_STOP),          PROBE(PG_PROTOCOL_DCUTR),      PROBE(PG_PROTOCOL_AUTONAT),
    PROBE(PG_PROTOCOL_AUTONAT2), PROBE(PG_PROTOCOL_AUTONAT2_BACK), PROBE(PG_PROTOCOL_HOP), PROBE(PG_PROTOCOL_STOP)};

static struct world *w;

static void end(void)
{
    world_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const enum service tempers[] = {ECHO, ECHO, DOWN, CLOSES, ENDS_FIRST, RESETS, NEVER_READS, POURS};
    if (size < 2 || size > MOST)
        return 0;
    if (!w) {
        w = world_new();
        atexit(end);
    }
    world_pass(w, 1000);
    struct held before = world_held(w);
    struct probe probe = {0};
    enum pg_err why;
    uint32_t state = bytes[1];
    w->service = tempers[bytes[0] >> 3 & 7];
    probe.stream = pg_stream_open(pg_session_conn(w->session), &probes[(bytes[0] & 7) | (bytes[0] >> 4 & 8)], &probe, &why);
    FUZZ_WANT(probe.stream);
    for (size_t at = 2, n; at < size && probe.stream; at += n) {
        n = next_piece(&state, size - at);
        if (n > pg_stream_credit(probe.stream) || !pg_stream_write(probe.stream, pg_bytes(bytes + at, n)))
            break;
        world_settle(w);
    }
    if (probe.stream && (bytes[0] & 0x40))
        pg_stream_end(probe.stream);
    world_pass(w, 45000); /* every deadline of a stream that has not said what it wants */
    if (probe.stream)
        pg_stream_reset(probe.stream);
    world_pass(w, 45000);
    FUZZ_WANT(w->session && w->n_lost == 0);
    world_check_nothing_left(w, before);
    return 0;
}
