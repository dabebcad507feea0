/* Measuring round trips on a connection: for the log, and for the ping command.
 * Called by session.c and src/service/task.c. Source: libp2p/specs ping/ping.md. */
#pragma once
#include "core/node.h"
#include "ping.gen.h"
#include "transport/yamux.h"

struct pg_ping {
    struct pg_instance in;
    struct pg_timer timers[PG_PING_TIMERS];
    struct pg_session *session;
    struct pg_stream *stream;
    uint64_t sent_us, interval_ms;
    uint32_t wanted, sent;           /* wanted 0: for ever */
    uint8_t sent_bytes[32], got, differs;
    enum pg_err why;
    void (*told)(struct pg_ping *, bool ok, uint64_t rtt_us);
    void *context;
};
void pg_ping_start(struct pg_ping *, struct pg_session *, uint64_t interval_ms, uint32_t wanted);
void pg_ping_end(struct pg_ping *);
