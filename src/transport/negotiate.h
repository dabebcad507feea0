/* One multistream-select negotiation, either side, on a bare link, a secured one or a stream.
 * Source: libp2p/specs connections/README.md, "multistream-select". */
#pragma once
#include "machine/machine.h"
#include "mem/bytes.h"
#include "mem/pool.h"
#include "wire/mss.h"

struct pg_negotiation {
    struct pg_instance in; /* negotiate_dial or negotiate_listen */
    struct pg_mss lines;
    void (*send)(void *context, struct pg_bytes);
    /* Listening: the protocol that an offer names, as text that stays; PG_NONE when we do not speak it here. */
    struct pg_bytes (*spoken)(void *context, struct pg_bytes offer);
    void *context;
    struct pg_bytes protocol; /* proposed, or agreed on */
    struct pg_bytes line;     /* in hand */
    bool greeted;             /* dialling: the headers have been exchanged before */
};

/* One from the pool; NULL when there are too many. */
struct pg_negotiation *pg_negotiation_take(struct pg_pool *, void (*send)(void *context, struct pg_bytes),
                                           struct pg_bytes (*spoken)(void *context, struct pg_bytes offer), void *context);
/* Back to the pool, whatever came of it; *negotiation is NULL then, and may have been before. */
void pg_negotiation_give(struct pg_pool *, struct pg_negotiation **negotiation);
/* Starts as the side that proposes: header and proposal leave at once, data may follow them at once. */
void pg_negotiation_dial(struct pg_negotiation *, struct pg_scope *, struct pg_instance *owner, struct pg_bytes protocol);
/* Starts as the side that is asked. */
void pg_negotiation_listen(struct pg_negotiation *, struct pg_scope *, struct pg_instance *owner);
/* Listening: nothing of a proposal has come, and none is on its way as far as can be seen. */
bool pg_negotiation_is_silent(const struct pg_negotiation *);
bool pg_negotiation_is_greeted(const struct pg_negotiation *); /* listening: their header has come */
/* Such a one goes on as the side that proposes. */
void pg_negotiation_turn(struct pg_negotiation *, struct pg_scope *, struct pg_instance *owner, struct pg_bytes protocol);
/* Takes lines from *in and advances it; stops right behind the line that settles the matter. The owner hears
 * negotiate.agreed, .refused or .failed. */
void pg_negotiation_feed(struct pg_negotiation *, struct pg_bytes *in);
bool pg_negotiation_done(const struct pg_negotiation *);
