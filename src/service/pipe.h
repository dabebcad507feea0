/* A local socket and a tunnel stream, joined. Both sides of a tunnel use it once the answer is given.
 * Serves the raw part of the tunnel's wire. */
#pragma once
#include "core/node.h"
#include "pipe.gen.h"
#include "transport/yamux.h"

struct pg_pipe {
    struct pg_link_owner owner; /* of the local link */
    struct pg_instance in;
    struct pg_node *node;
    struct pg_link *local;
    struct pg_stream *stream;
    uint64_t to_local, from_local; /* bytes that passed */
    size_t held;                   /* bytes from the stream that the local side has not taken */
    uint64_t taken_us;             /* when it took some last, or had none to take */
    enum pg_err why;               /* PG_OK: both directions ended in order */
    char reason[96];
    bool begun, local_lost;
    struct pg_pipe *next_doomed;   /* its tunnel has ended */
    struct pg_instance *machine;   /* of the tunnel then */
};

/* Joins them; local and stream are set. `owner` hears pipe.done, once. */
void pg_pipe_begin(struct pg_pipe *, struct pg_node *, struct pg_instance *owner, uint32_t key);
/* Ends both directions in order, whatever is under way. */
void pg_pipe_finish(struct pg_pipe *);
/* To be called from the stream's handler and the local link's owner once the pipe has begun. */
void pg_pipe_from_stream(struct pg_pipe *, struct pg_bytes);
void pg_pipe_stream_ended(struct pg_pipe *);
void pg_pipe_stream_writable(struct pg_pipe *);
void pg_pipe_stream_closed(struct pg_pipe *, enum pg_err);
void pg_pipe_from_local(struct pg_pipe *, const uint8_t *data, size_t len);
size_t pg_pipe_want(struct pg_pipe *); /* bytes to be read from the local side now */
void pg_pipe_local_ended(struct pg_pipe *);
void pg_pipe_local_written(struct pg_pipe *);
void pg_pipe_local_lost(struct pg_pipe *, enum pg_err, struct pg_bytes reason);
