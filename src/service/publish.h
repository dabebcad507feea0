/* What is exposed, announced in the DHT: the machine publish with its data, one for each exposed service.
 * Called by expose.c; asks through core/kad.h. */
#pragma once
#include "core/kad.h"
#include "publish.gen.h"

/* Part of an exposed service, whose name it borrows. */
struct pg_publish {
    struct pg_kad_asker asker; /* first */
    struct pg_instance in;
    struct pg_timer timers[PG_PUBLISH_TIMERS];
    struct pg_node *node;
    struct pg_bytes name;
    struct pg_kad_query *query;
    uint64_t tried_us;
    uint32_t backoff_ms;
    uint32_t told; /* peers that have taken the provider record last, ourselves apart */
    bool failing;  /* it has been said */
    enum pg_err why;
};

void pg_publish_begin(struct pg_publish *, struct pg_node *, struct pg_bytes name, uint32_t key);
/* The service is not offered any more. */
void pg_publish_end(struct pg_publish *);
/* What the control plane orders. */
void pg_publish_provide(struct pg_publish *);
void pg_publish_record(struct pg_publish *);
void pg_publish_company(struct pg_publish *); /* one more Kademlia server is known */
void pg_publish_moved(struct pg_publish *);   /* our addresses have changed */
