/* The engine of Kademlia, as the files of src/core see it: queries, requests, refresh, visits, and what serves others. */
#pragma once
#include "core/kad_frontier.h"
#include "core/kad_store.h"
#include "core/kad_table.h"
#include "kad_query.gen.h"
#include "kad_refresh.gen.h"
#include "kad_request.gen.h"
#include "core/kad.h"
#include "transport/yamux.h"
#include "wire/frame.h"

#define PG_KAD_OWN_QUERIES 2u   /* refresh never waits for those of others */
#define PG_KAD_REQUESTS 256u    /* under way, of all queries */
#define PG_KAD_RECIPIENTS (3 * PG_KAD_K)
#define PG_KAD_VISITS 128u      /* of all; fewer than there are contacts */
#define PG_KAD_MESSAGE 98304u   /* bytes of a message: kad.bounds */
#define PG_KAD_FOUND 64u        /* providers that one query tells of */
#define PG_KAD_KEPT 32u         /* connections that were made for a visit and stay when they are idle, at most; for a moment twice as many */
#define PG_KAD_CANDIDATES 4u    /* different values that a query weighs */
#define PG_KAD_IDS 2u           /* under which Kademlia is spoken: ours, and that of the public network */

struct pg_kad_request {
    struct pg_instance in;
    struct pg_timer timers[PG_KAD_REQUEST_TIMERS];
    struct pg_visitor visitor;
    struct pg_kad_query *query; /* NULL: it has been dropped */
    struct pg_kad_request *next; /* of the query */
    struct pg_node *node;
    struct pg_visit *visit;
    struct pg_session *session;
    struct pg_stream *stream;
    uint32_t walker;
    uint8_t id;     /* which of the ids the stream proposes */
    bool tells;     /* it leaves a record */
    bool forbidden; /* by a limit of our own: to be tried again */
    struct pg_frame frame;
    uint8_t room[PG_KAD_MESSAGE]; /* the last, for most never touch it */
};

/* A value that some have said, and how many. */
struct pg_kad_candidate {
    struct pg_bytes value; /* of pg_heap */
    uint32_t n, hops;
};

struct pg_kad_query {
    struct pg_instance in;
    struct pg_timer timers[PG_KAD_QUERY_TIMERS];
    struct pg_kad_asker *asker;
    struct pg_node *node;
    struct pg_kad_query *next;
    struct pg_kad_request *requests;
    enum pg_kad_op op;
    uint32_t enough, each, n_only;
    const struct pg_peer_id *only;
    uint64_t timeout_ms, pause_until_us;
    uint32_t n_out, messages, n_took, n_found, hops, n_equal;
    uint32_t n_recipients, next_recipient;
    uint8_t best;                  /* number of the best candidate, from 1 */
    uint16_t recipients[PG_KAD_RECIPIENTS];
    bool own, begun, seeded, forgotten, finished, ended, alarmed;
    struct pg_bytes value;         /* to be put, of pg_heap; or the best of those that were got */
    struct pg_kad_candidate candidates[PG_KAD_CANDIDATES];
    uint16_t key_len;
    uint8_t key[PG_KAD_KEY_MAX];
    struct pg_peer_id found[PG_KAD_FOUND];
    uint8_t said[PG_KAD_HEARD_MAX]; /* GET_VALUE, by walker: the number of the candidate that it said; 0: none */
    struct pg_kad_frontier frontier; /* the last, for most never touch its end */
};

struct pg_kad_refresh {
    struct pg_instance in;
    struct pg_timer timers[PG_KAD_REFRESH_TIMERS];
    struct pg_kad_asker asker;
    struct pg_kad_query *query;
    struct pg_node *node;
    uint32_t bucket, n_changed;
    uint64_t looked_us;          /* when we last looked for ourselves, */
    uint32_t in_a_row;           /* and how many times within moments */
    bool failed;                 /* the last look for ourselves */
    bool joined;                 /* one has succeeded */
    enum pg_err why;             /* of the last look */
    enum { PG_KAD_SAYS_NOTHING, PG_KAD_SAYS_OK, PG_KAD_SAYS_FAILED } says; /* to the control plane, at the end of the turn */
};

struct pg_visit {
    struct pg_visitor *visitor;
    struct pg_contact *contact;
    struct pg_visit *next, **previous;         /* of the contact */
    struct pg_visit *next_due, **previous_due; /* of those whose call is due at the end of the turn */
    enum pg_err why;
    bool told;
    char reason[160];
};

struct pg_kad {
    struct pg_kad_table table;
    struct pg_kad_store store;
    struct pg_pool queries, requests, visits;
    struct pg_kad_query *first;       /* all that live, newest first */
    struct pg_kad_request *doomed;    /* to be freed at the end of the turn */
    struct pg_visit *due, **due_end;
    struct pg_kad_refresh refresh;
    struct pg_handler ask[PG_KAD_IDS];
    uint32_t n_queries, number, n_visits, n_visited; /* n_visited: connections that stand only for visits, used or not */
    bool visited_idle; /* one of these has come to rest in this turn */
    bool on;                          /* it has been made */
    bool crowded;                     /* a query waits for a place of another's request */
    bool woken;                       /* servers have been heard of in this turn */
    bool turn_due;                    /* something is to be done at the end of the turn */
};

bool pg_kad_init(struct pg_node *);
void pg_kad_end(struct pg_node *); /* questions, before the connections go */
void pg_kad_free(struct pg_node *);
/* Calls what is due, frees what has ended: at the end of a turn. */
void pg_kad_settle(struct pg_node *);
void pg_kad_due(struct pg_node *); /* something is */

/* identify has said which protocols a peer speaks; addrs: where it may be dialled. */
void pg_kad_identified(struct pg_session *, const struct pg_bytes *protocols, uint32_t n, const struct pg_multiaddr *addrs, uint32_t n_addrs);
/* A server has answered, or was told of by identify: into the table, and whoever waits goes on. */
void pg_kad_heard(struct pg_node *, const struct pg_kad_contact *, const struct pg_endpoint *from);
void pg_kad_unheard(struct pg_node *, const struct pg_peer_id *);
const char *pg_kad_op_name(enum pg_kad_op);
struct pg_bytes pg_kad_key_text(const struct pg_kad_key *, char out[2 * sizeof(struct pg_kad_key) + 1]);
/* How many servers the network has, as far as our own neighbourhood shows it; 0: no guess. */
uint32_t pg_kad_network(const struct pg_node *);
/* What is known of where a peer can be reached, the book, the table, a connection, joins what somebody has said of it: half of
 * the places are for each, so that neither keeps the other out. */
void pg_kad_where(struct pg_node *, struct pg_kad_contact *);

/* kad_query.c */
struct pg_kad_query *pg_kad_query_new(struct pg_node *, struct pg_kad_asker *, const struct pg_kad_question *, bool own);
void pg_kad_query_wake(struct pg_kad_query *); /* servers have been heard of, or places are free */
void pg_kad_query_free(struct pg_kad_query *);
void pg_kad_query_settle(struct pg_kad_query *); /* calls `done` */
/* kad_answer.c: takes an answer into the query. False: it is none that can be used. */
bool pg_kad_query_take(struct pg_kad_query *, struct pg_kad_request *, struct pg_bytes message);
/* The value that we have ourselves. */
void pg_kad_query_value_here(struct pg_kad_query *);
/* A provider, or the peer that was looked for: told once. False: it was not new, or is not wanted. */
bool pg_kad_query_find(struct pg_kad_query *, const struct pg_kad_contact *);
/* The message of a request, with its length before it; empty when it does not fit. */
struct pg_bytes pg_kad_question_write(const struct pg_kad_query *, const struct pg_kad_request *, uint8_t *room, size_t size);

/* kad_request.c */
void pg_kad_ask_init(struct pg_handler handlers[PG_KAD_IDS], struct pg_bytes protocol, struct pg_bytes public_protocol);
struct pg_kad_request *pg_kad_request_new(struct pg_kad_query *, uint32_t walker, bool tells);
void pg_kad_request_finished(struct pg_kad_request *);
void pg_kad_request_drop(struct pg_kad_request *);
void pg_kad_requests_reap(struct pg_node *);

/* kad_refresh.c */
void pg_kad_refresh_init(struct pg_node *);
void pg_kad_refresh_asked(struct pg_node *); /* by the control plane: a bootstrap */
void pg_kad_refresh_heard(struct pg_node *); /* of a server that was not known */
void pg_kad_refresh_stop(struct pg_node *);
void pg_kad_refresh_settle(struct pg_node *);

/* visit.c */
void pg_visits_up(struct pg_contact *);
void pg_visits_failed(struct pg_contact *, enum pg_err, struct pg_bytes reason);
bool pg_visits_settle(struct pg_node *);
/* Whether an idle connection that was made for a visit stays. */
bool pg_visit_keeps(const struct pg_session *);
/* Closes those that are too many: between steps. */
void pg_visits_relieve(struct pg_node *);
