/* Two ends of one connection in memory: real transports, links that are queues, a clock that only the test moves.
 * Used by yamux_test.c, conn_test.c and negotiate_test.c; drives src/transport exactly as src/core/session.c does.
 * Either end may be made raw after the handshake: then the test speaks Yamux itself, by the keys of that end. */
#pragma once
#include <CUnit/Basic.h>
#include <stdlib.h>

#include "transport/conn.h"
#include "yamux.wire.gen.h"

enum pair_cut { PAIR_WHOLE, PAIR_BYTES, PAIR_RANDOM };

struct pair;

struct pair_frame {
    struct pg_yamux_header head;
    struct pg_bytes body; /* of data frames; valid until the next delivery */
};

/* What one end's protocol has seen of one stream. */
struct pair_stream {
    struct pair_end *end;
    struct pg_stream *stream; /* NULL once it is gone */
    uint64_t received, sent, to_send;
    uint32_t sum_received, sum_sent;  /* order-sensitive sums of the bytes */
    unsigned n_opened, n_ended, n_writable, n_closed;
    enum pg_err why;
    bool keep;                        /* do not give the window back */
    bool end_when_sent, echo, end_when_ended;
    uint64_t kept;
};

struct pair_end {
    struct pair *pair;
    struct pg_identity *identity;
    struct pg_scope scope;
    struct pg_pool chunks;
    struct pg_metrics metrics;
    struct pg_log log;
    struct pg_transport transport;
    struct pg_limits limits;
    unsigned n_refused[PG_LIMITS + 1], n_emptied;
    struct pg_link link;
    struct pg_conn *conn;       /* NULL once it is lost */
    unsigned n_arrived, n_lost, n_relieved;
    enum pg_err why;
    bool raw, told_end;
    int ended_by;               /* PG_COMMAND_CLOSE or PG_COMMAND_RESET */
    uint64_t sent;              /* bytes that have left this end */
    size_t most_unsent;         /* the longest its link has been */
    uint8_t *plain;             /* a raw end's decrypted bytes that frames have not been made of yet */
    size_t plain_len, plain_room;
    uint8_t *cipher;            /* and those that messages have not been made of */
    size_t cipher_len;
    struct pair_stream inbound[1100]; /* streams that the other end has opened, in order */
    unsigned n_inbound;
    bool speaks;                /* the test's protocol */
};

struct pair {
    struct pair_end ends[2]; /* 0 dials, 1 listens */
    uint64_t now_us, random;
    uint32_t secrets_before;
    enum pair_cut cut;
    struct { bool on; unsigned from; uint64_t at; uint8_t with; } flip; /* one byte on its way */
    struct { bool on; unsigned from; uint64_t at; } split, sever;       /* a piece ends here; the link dies here */
};

/* The test's protocol: counts, sums and gives the window back unless `keep` is set. */
extern const struct pg_handler pair_handler;

struct pair_options {
    uint32_t max_streams, max_inbound; /* 0: 4096, and as spec/limits.list has it */
    size_t memory;                     /* chunk pool and window budget; 0: 64 MiB */
    const struct pg_peer_id *expected; /* of the dialling end */
    bool early_muxer_off;              /* our payloads name no muxer */
    bool same_identity;
    bool swapped;                      /* the end that is dialled is the client, as where two dials have met */
    enum pair_cut cut;
};

struct pair *pair_new(const struct pair_options *);
void pair_free(struct pair *);
/* Both links come up. */
void pair_link(struct pair *);
/* Delivers until nothing moves any more. */
void pair_run(struct pair *);
/* As pair_run, and lets time pass, timers firing on the way. */
void pair_pass(struct pair *, uint64_t ms);
/* pair_new, pair_link, pair_run; fails the test when the handshake does. */
struct pair *pair_up(const struct pair_options *);
/* True when both ends are up. */
bool pair_is_up(const struct pair *);
/* Bytes as if they came over the link, in a block of exactly that size; the connection's turn ends with it. */
void pair_feed(struct pair_end *, const void *data, size_t len);
/* What has been written to the end's link and not delivered: copied and dropped. Returns its length; the caller frees. */
size_t pair_take(struct pair_end *, uint8_t **out);
/* Ends the turn of an end by hand: for tests that call the transport themselves. */
void pair_settle(struct pair_end *);

/* Streams of the test's protocol. */
bool pair_open(struct pair_end *, struct pair_stream *);
/* Sends n bytes of a pattern as the credit allows, now and whenever it comes back. */
void pair_send(struct pair_stream *, uint64_t n);

/* A raw end: frames by hand. */
void pair_make_raw(struct pair_end *);
void pair_raw_frame(struct pair_end *, uint8_t type, uint16_t flags, uint32_t id, uint32_t length, struct pg_bytes body);
/* The next frame that the other end has sent to this raw one. */
bool pair_raw_next(struct pair_end *, struct pair_frame *);
/* Frames of one type among all that have come, dropping everything. flags 0: any. */
unsigned pair_raw_count(struct pair_end *, uint8_t type, uint16_t flags);

uint64_t pair_random(struct pair *);
