/* AutoNAT, both versions: asking others to dial us back, and dialling others back. Who is asked when, and what is made of the words,
 * is reach.c's. Called by node.c, identify.c, reach.c, and by the command autonat (src/service/task_autonat.c).
 * Serves libp2p/specs autonat/autonat-v1.md and autonat/autonat-v2.md. */
#pragma once
#include "autonat.pb.gen.h"
#include "autonat2.pb.gen.h"
#include "autonat2_ask.gen.h"
#include "autonat2_serve.gen.h"
#include "autonat_ask.gen.h"
#include "autonat_serve.gen.h"
#include "core/probe.h"
#include "limits.gen.h"
#include "mem/keyed.h"
#include "transport/yamux.h"
#include "wire/frame.h"

#define PG_AUTONAT_FRAME 8192u /* bytes of a message */
#define PG_AUTONAT_ADDRS 8u    /* that we have tested in one question */
#define PG_AUTONAT_DIALS 3u    /* addresses that one question of v1 lets us dial, all at once */
#define PG_AUTONAT_QUESTIONS 4u
/* What a server may make a client pay, and what ours asks for: from so much on, and less than so much more. */
#define PG_AUTONAT_COST_LEAST 30000u
#define PG_AUTONAT_COST_MORE 70001u
#define PG_AUTONAT_COST_MOST 102400u
/* Shorter messages of dial data, the last apart, would cost us more than whoever sends them. */
#define PG_AUTONAT_DATA_LEAST 100u

enum { PG_AUTONAT_V1 = 1, PG_AUTONAT_V2 = 2 }; /* bits of pg_session.autonat */

/* Asking. */

struct pg_autonat_ask {
    struct pg_instance in;
    struct pg_timer timers[PG_AUTONAT_ASK_TIMERS];
};
struct pg_autonat2_ask {
    struct pg_instance in;
    struct pg_timer timers[PG_AUTONAT2_ASK_TIMERS];
    uint64_t left;    /* bytes of dial data that are still to be sent */
    uint32_t costed;  /* the address for which they are wanted */
};

enum pg_autonat_outcome {
    PG_AUTONAT_UNTOLD,    /* no word on our reachability; `why` and `text` say the reason */
    PG_AUTONAT_REACHED,
    PG_AUTONAT_UNREACHED,
};

/* One question to one server; zeroed: none is open. */
struct pg_autonat_question {
    struct pg_autonat_ask v1;
    struct pg_autonat2_ask v2;
    uint8_t version;          /* 1 or 2 */
    struct pg_node *node;
    char peer_text[PG_PEER_ID_TEXT]; /* of the server */
    struct pg_stream *stream;
    struct pg_frame frame;
    uint8_t room[PG_AUTONAT_FRAME];
    struct pg_multiaddr addrs[PG_AUTONAT_ADDRS];
    uint32_t n_addrs, tested; /* tested: which of them; n_addrs: the server has not said */
    uint64_t nonce, began_us, arrivals, cost;
    enum pg_autonat_outcome outcome;
    enum pg_err why;
    char text[160];           /* what the server said, or did */
    bool open;
    void (*told)(struct pg_autonat_question *); /* the outcome stands; may begin another question, but not this one */
    void *context;
};

/* Sends it: of addrs the most wanted first. The caller has set addrs, n_addrs, told and context. False: no stream can be opened. */
bool pg_autonat_question_begin(struct pg_autonat_question *, struct pg_session *, unsigned version);
/* Nothing is told any more. */
void pg_autonat_question_end(struct pg_autonat_question *);

extern const struct pg_handler pg_autonat2_back_take; /* nonces that come back to us */

/* Serving. */

struct pg_autonat_dial {
    struct pg_probe probe; /* first */
    struct pg_autonat_serve *serve;
    struct pg_multiaddr addr;
    bool failed;
};
struct pg_autonat_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_AUTONAT_SERVE_TIMERS];
    struct pg_session *session;
    struct pg_stream *stream;
    struct pg_frame frame;
    uint8_t room[PG_AUTONAT_FRAME];
    struct pg_autonat_dial dials[PG_AUTONAT_DIALS];
    uint32_t n_dials, n_tried, reached;
    bool readable; /* the bad request was a message after all */
};
struct pg_autonat2_serve {
    struct pg_instance in;
    struct pg_timer timers[PG_AUTONAT2_SERVE_TIMERS];
    struct pg_probe probe;
    struct pg_session *session;
    struct pg_stream *stream, *back;
    struct pg_frame frame, back_frame;
    uint8_t room[PG_AUTONAT_FRAME], back_room[64];
    struct pg_multiaddr addr;
    uint32_t index;       /* of the address that is tested */
    uint64_t nonce, need, got;
    bool found, tried;
};

#define PG_AUTONAT_REMEMBERED 1024u

/* What was dialled for others within the last minute: so that it stays within bounds, for all and for each of them. */
struct pg_autonat_past {
    uint64_t at_us, peer, place, nonce;
};
/* A nonce on its way to us: its message may come in pieces. */
#define PG_AUTONAT_BACKS 8u
#define PG_AUTONAT_BACK_MOST 64u
struct pg_autonat_back {
    struct pg_stream *stream; /* NULL: a free place */
    struct pg_frame frame;
    uint8_t room[PG_AUTONAT_BACK_MOST];
};
struct pg_autonat {
    struct pg_node *node;
    struct pg_pool served, served2; /* places, taken once and used again */
    struct pg_autonat_serve *serves[PG_FIXED_AUTONAT_SERVED];
    struct pg_autonat2_serve *serves2[PG_FIXED_AUTONAT_SERVED];
    struct pg_autonat_question *open[PG_AUTONAT_QUESTIONS]; /* that wait for a nonce */
    struct pg_autonat_back backs[PG_AUTONAT_BACKS];
    uint32_t next_back;           /* the place that is given up when all are taken */
    struct pg_stream *back;       /* of the nonce in hand */
    struct pg_autonat_past *past; /* the oldest gives way */
    uint32_t n_past, next_key;
    struct pg_keyed hash;         /* of whom we dial, and of nonces, which nobody else is to guess */
    uint64_t next_nonce;
};

/* False when memory cannot be had. */
bool pg_autonat_init(struct pg_autonat *, struct pg_node *);
void pg_autonat_free(struct pg_autonat *);
/* identify has said what a peer speaks. */
void pg_autonat_identified(struct pg_session *, const struct pg_bytes *protocols, uint32_t n);

/* Between the files of AutoNAT: whether one more dial-back may be made for the session's peer, and that it is. */
bool pg_autonat_may_dial(const struct pg_session *, uint64_t nonce);
void pg_autonat_dials(const struct pg_session *, uint64_t nonce);
/* Whether an address is one that we can dial at all, and public. */
bool pg_autonat_dialable(const struct pg_session *, const struct pg_multiaddr *, struct pg_endpoint *);
bool pg_autonat_same_ip(const struct pg_endpoint *, const struct pg_endpoint *);
extern const struct pg_handler pg_autonat_take, pg_autonat2_take;
