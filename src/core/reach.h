/* Whether we can be reached from outside: who is asked, about which of our addresses, what the words add up to.
 * Called by node.c, identify.c and session.c; the verdict goes to the control plane as NatStatusChanged.
 * Serves libp2p/specs autonat/autonat-v2.md, "Implementation Suggestions", and spec/machine/reach.sm, reach_pace.sm. */
#pragma once
#include "core/autonat.h"
#include "reach.gen.h"
#include "reach_pace.gen.h"

#define PG_REACH_WORDS 64u
#define PG_REACH_CANDIDATES 8u
#define PG_REACH_DIALLED 4096u /* bits */

/* What one server has said last of one address of ours. */
struct pg_reach_word {
    struct pg_peer_id peer;
    struct pg_endpoint from, addr;
    uint64_t at_us;
    enum pg_autonat_outcome outcome;
    bool let_in; /* it has come, maybe only because we have dialled it: taken as not reached */
    bool mute;   /* and somebody else has reached us there, so it says nothing */
};
struct pg_reach_candidate {
    struct pg_endpoint at;
    bool mapped; /* what a NAT has made of a port that we dial from: it may let those in whom we have dialled, and nobody else */
};
struct pg_reach_pace {
    struct pg_instance in;
    struct pg_timer timers[PG_REACH_PACE_TIMERS];
};
struct pg_reach {
    struct pg_instance in;
    struct pg_reach_pace pace;
    struct pg_node *node;
    struct pg_autonat_question question;
    struct pg_peer_id asked;     /* of the question */
    struct pg_endpoint asked_at;
    struct pg_reach_word words[PG_REACH_WORDS]; /* oldest first */
    uint32_t n_words;
    struct pg_reach_candidate candidates[PG_REACH_CANDIDATES];
    uint32_t n_candidates;
    uint64_t round_us, changed_us; /* when this round began; when the verdict came to be what it is */
    uint64_t dialled[2][PG_REACH_DIALLED / 64]; /* whom we have dialled from our listening ports lately and before; a Bloom filter of IPs */
    uint64_t dialled_us;                        /* since when it has been filled */
    struct pg_rate moves;                       /* other addresses that begin a round */
    bool on, due, silent, stale; /* due: the verdict is to be told; silent: nobody can tell, and that has been said */
};

void pg_reach_start(struct pg_node *);
void pg_reach_stop(struct pg_node *);
/* We dial there from a listening port. */
void pg_reach_dialled(struct pg_node *, const struct pg_endpoint *);
/* Who is dialled by the way, to be asked something, had better not be dialled from a listening port: then it can tell whether strangers reach us. */
bool pg_reach_wants_strangers(const struct pg_node *);
/* Servers have come or gone. */
void pg_reach_servers_changed(struct pg_node *);
/* At the end of a turn: what has changed is told. */
void pg_reach_settle(struct pg_node *);
/* What most networks say of one address: more than 0 that it is reached, less that it is not. */
int pg_reach_says(const struct pg_node *, const struct pg_endpoint *);

struct pg_reach_view {
    const char *verdict;      /* Unknown, Public, Private */
    bool given;               /* by --nat-status: nobody is asked */
    uint32_t confidence;      /* 0 to 3 */
    uint32_t reached, unreached; /* networks, by their last words */
    uint64_t age_us;          /* since the verdict changed */
};
void pg_reach_view(const struct pg_node *, struct pg_reach_view *);
