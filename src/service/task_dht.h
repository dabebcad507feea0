/* The commands dht put, get, provide, providers, find and closest: one question to the DHT, and its answer shown.
 * Called by task.c. */
#pragma once
#include "core/kad.h"

#define PG_TASK_DHT_FOUND 64u /* peers that an answer shows at most */

struct pg_task;

struct pg_task_dht {
    struct pg_kad_asker asker; /* first: what the answers come to */
    struct pg_task *task;
    struct pg_kad_query *query;
    const struct pg_contact *failed[PG_MAX_BOOTSTRAPS]; /* bootstrap peers that cannot be reached */
    struct pg_peer_id strange[PG_MAX_BOOTSTRAPS];       /* peers that do not serve the DHT */
    uint32_t n_failed, n_strange, n_found;
    uint64_t started_us;
    bool announced; /* and told so; later times are silent */
    struct pg_kad_contact found[PG_TASK_DHT_FOUND];
};

void pg_task_dht_start(struct pg_task *);
void pg_task_dht_begin(struct pg_task *);
/* True when no bootstrap peer is left that could be reached. */
bool pg_task_dht_contact_failed(struct pg_task *, const struct pg_contact *);
/* A peer has said that it does not serve the DHT, or not who it is. */
void pg_task_dht_unserved(struct pg_task *, const struct pg_peer_id *);
/* Says what it was that has failed as this command's one result. For src/cli, which knows the exit status. */
struct pg_bytes pg_task_dht_failure(char *buffer, size_t size, const char *op, enum pg_err, struct pg_bytes reason);
/* Names the peers that cannot be reached; the reason is that of the last one. */
void pg_task_dht_unreachable(struct pg_task *);
void pg_task_dht_free(struct pg_task *);
