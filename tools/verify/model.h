/* A product of machines as a graph: its configurations, and the turns between them, made by pg_step itself.
 * model.c builds it, properties.c judges it, system.c reads the listing and prints. */
#pragma once
#include "verify.h"

#define MAX_FACTORS 8u
#define MAX_EVENTS 128u
#define MAX_PROPERTIES 192u
#define MAX_LIST 32u
#define MAX_ATOMS 8u
#define MAX_ACTIONS 64u

enum atom_kind { ATOM_STATES, ATOM_FLAGS, ATOM_TIMERS, ATOM_LIFE, ATOM_COUNTS };
struct atom {
    unsigned factor;
    enum atom_kind kind;
    uint32_t value; /* mask of states, flags, timers or ends of counts: one of them is enough */
    bool wanted;
};
struct condition {
    unsigned n;
    struct {
        unsigned n;
        struct atom atoms[MAX_ATOMS];
    } any[4];
};

/* What moves the system: an event from outside, a timer, a message that arrives, the end of a connection, a message that is lost. */
enum cause_kind { CAUSE_EVENT, CAUSE_TIMER, CAUSE_ARRIVAL, CAUSE_BREAK, CAUSE_LOSS };
struct cause {
    enum cause_kind kind;
    unsigned event;            /* from outside; or what the message is heard as */
    unsigned factor, number;   /* timer; or the channel of a message and, in a bag, which */
};

/* Two ends joined by channels. What an action sends arrives later, or never, as one of a few events: in order or, of a bag, in any. */
#define MAX_CHANNELS 2u
#define MAX_UNDER_WAY 8u
#define MAX_MESSAGES 32u
struct channel {
    char name[32];
    unsigned room;  /* more under way at once is a fault */
    int broken_as;  /* the message that tells of a break; -1: it cannot break */
    bool bag;       /* no order: what is under way is kept sorted by its numbers */
    bool lossy;     /* of a bag: anything may be lost, but the news of a break */
};
struct message {
    unsigned n, events[4]; /* heard as one of them */
};
struct sending {
    unsigned channel, factor, action, message;
    bool last; /* of both directions: nothing follows, and what was under way to the sender is lost */
};
struct under_way {
    uint8_t n, broken, messages[MAX_UNDER_WAY];
};

struct property {
    char kind[12], name[80], text[300];
    unsigned line;
    struct condition left, right;
    struct cause by[MAX_LIST];
    unsigned n_by;
    unsigned with[MAX_LIST], n_with;
    struct {
        unsigned factor;
        uint32_t flag; /* 0: the whole machine */
    } parts[MAX_LIST];
    unsigned n_parts;
    uint64_t acts[MAX_FACTORS];     /* masks of actions */
    uint32_t starts[MAX_FACTORS];   /* and of timers */
    uint32_t facts[2][MAX_FACTORS]; /* that a run which is meant answers with no, with yes */
    unsigned reached, every;
};

/* What an action of one factor does to another before it returns: perhaps a new life, perhaps an event. */
struct tie {
    unsigned factor, action, to;
    int event; /* -1: none */
    bool enters;
    struct condition when; /* without alternatives: always */
};

struct factor_state {
    uint32_t flags, timers; /* running */
    uint8_t state, count[PG_MAX_COUNTS];
};
struct config {
    struct factor_state at[MAX_FACTORS];
    struct under_way channels[MAX_CHANNELS];
    uint8_t started, lives; /* masks of sides, of factors; all is zero in one that does not live */
};

/* A timer that runs fires at last, what is under way on a channel arrives, or somebody outside does what is due. */
#define MAX_PROMISES 64u
struct promise {
    unsigned factor, timer; /* or the channel and, in a bag, the message: it arrives or is lost */
    bool arrivals;
    bool outside;           /* or an event from outside comes where a condition holds */
    unsigned event;
    struct condition when;
};

struct turn {
    uint32_t from, to;
    struct cause cause;
    uint32_t asked[MAX_FACTORS], said[MAX_FACTORS]; /* facts */
    uint32_t restarted[MAX_FACTORS];                /* timers, by this turn */
    uint32_t passed[MAX_FACTORS];                   /* states that a step came to */
    uint64_t acted[MAX_FACTORS];                    /* actions */
};

struct model {
    char name[64];
    unsigned n_factors, n_events, n_fair, n_given, n_properties;
    const struct pg_machine *factors[MAX_FACTORS];
    char labels[MAX_FACTORS][48];  /* the machine's name, behind its side's where there are two */
    unsigned side[MAX_FACTORS];
    unsigned n_channels, n_messages, n_sendings, n_arrivals; /* arrivals: events that messages are heard as, behind those from outside */
    struct channel channels[MAX_CHANNELS];
    struct message messages[MAX_MESSAGES];
    struct sending sendings[MAX_LIST];
    struct {
        int side; /* begins afresh, with empty channels, by an action of the other; -1: none */
        unsigned factor, action, to, event;
    } opening;
    int hears[MAX_EVENTS][MAX_FACTORS];
    char events[MAX_EVENTS][48];
    uint8_t asleep;          /* factors that do not live at first */
    uint8_t sums[MAX_LIST];  /* masks of factors: one of each lives at most */
    int owner[MAX_FACTORS];  /* -1: none */
    struct tie ties[MAX_LIST];
    unsigned first[MAX_LIST], n_first, n_sums, n_ties, n_may;
    struct {
        unsigned event;
        struct condition when;
    } may[MAX_LIST];
    struct promise fair[MAX_PROMISES];
    struct {
        unsigned factor, fact;
        struct condition when;
    } given[MAX_LIST];
    struct property properties[MAX_PROPERTIES];

    struct config *configs;
    struct turn *turns; /* grouped by `from` */
    uint32_t *reached_by; /* turn that first reached a configuration */
    uint32_t *first_turn; /* of a configuration; one more entry at the end */
    uint32_t n_configs, n_turns, room_configs, room_turns;
    uint32_t *hash, hash_room;
};

/* What a run was seen to do: steps with what they came to and emitted, and actions, in order. */
struct log {
    uint32_t n;
    uint8_t bytes[4096];
};

/* From a listing on standard input, up to an empty line; false when nothing is left. */
bool model_read(struct model *);
void model_build(struct model *);
uint32_t model_hash(const void *, size_t); /* of a value without padding */
unsigned model_side_of(const struct model *, unsigned event);
void model_free(struct model *);
struct config model_start(const struct model *);
/* Called with each cause that a product knows, possible or not. */
void model_each_cause(const struct model *, void (*)(void *context, const struct cause *), void *context);
/* What runs do is written there from now on; NULL: nowhere. */
void model_log(struct log *);
/* Called, if set, when a step of a factor looks into the cell of a state and an event. */
extern void (*model_saw_cell)(const struct pg_machine *, unsigned state, unsigned event);
bool model_holds(const struct model *, const struct condition *, const struct config *);
bool model_possible(const struct model *, const struct config *, const struct cause *);
/* Prints the shortest list of events to a configuration, then one more turn if given. */
void model_print_path(const struct model *, uint32_t config, const struct turn *last);
void model_print_config(const struct model *, const struct config *);

/* Facts of a run, chosen one after the other as they are asked; model_next_choice runs through all of them. */
struct choices {
    bool value[32];
    unsigned known, used;
    uint32_t asked[MAX_FACTORS], said[MAX_FACTORS], denied[MAX_FACTORS]; /* denied: the world had no choice but no */
};
/* Runs one cause from a configuration; actions counts calls by factor and action when it is not NULL. */
struct config model_run(struct model *, const struct config *, const struct cause *, struct choices *, struct turn *,
                        uint32_t (*actions)[256]);
void model_begin_choices(struct choices *);
bool model_next_choice(struct choices *);

/* False for a turn in which a fact was answered otherwise than the property's runs answer it. */
bool turn_meant(const struct property *, const struct turn *);
/* Status 0 when the property holds; else it has printed why not. */
int property_check(struct model *, const struct property *);

/* channel.c: what an action sends, on the channels as they are in this turn; false when a channel is full. */
bool channel_send(const struct model *, struct under_way *channels, unsigned factor, unsigned action);
void channel_take(const struct model *, struct under_way *channels, unsigned channel, unsigned message);
/* The connection ends: each side that hears a channel which may break is told of it by a last message. */
void channel_break(const struct model *, struct under_way *channels);
bool channel_may_break(const struct model *, const struct under_way *channels);
bool channel_has(const struct under_way *, unsigned message);
/* Whether the next message on a channel, or the one of a bag that the cause names, may be heard as the cause's event. */
bool channel_brings(const struct model *, const struct under_way *channels, const struct cause *);
