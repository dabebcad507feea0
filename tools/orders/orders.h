/* Every ordering of up to k events through the real core with its data: no model, no table alone.
 * A subject (plane.c, tunnel.c) builds the core anew, lists what may happen next, does it, and compares what the core then
 * holds with what it has itself noted on the way. Serves design section 7, point 4. */
#pragma once
#include <stdarg.h>

#include "machine/machine.h"

#define ORDERS_CHOICES 64u

struct orders_group; /* instances that stand in one system together */

struct orders_subject {
    const char *word, *name;            /* for the command line and saved lists; for people */
    const char *const *machines;        /* that it drives, NULL at the end */
    unsigned depth;                     /* that a mutant is worth */
    const char *system;                 /* whose `commute` and `apart` lines hold for its events */
    unsigned n_choices;                 /* at most ORDERS_CHOICES */
    const char *(*choice)(unsigned);    /* what people read: event and what it carries */
    const char *(*event)(unsigned);     /* the system's event that it is; NULL: none of it */
    void (*begin)(void);                /* anew, and each time the same */
    void (*end)(void);                  /* gives back what the last run holds */
    bool (*possible)(unsigned choice);
    void (*apply)(unsigned choice);     /* one event, all that it commands carried out, and its checks */
    void (*check)(void);                /* what holds between events, whatever came before */
    /* All that can matter later. exact: with the order of tables; else up to order, and with what has been commanded. */
    uint64_t (*state)(bool exact);
    /* What a fact must answer now by the subject's own notes: 0 or 1; -1 when it has none. */
    int (*truth)(const struct pg_machine *, const void *self, unsigned fact);
    /* The system in which a machine of this self stands, for `given`; false: in none. */
    bool (*group)(const struct pg_machine *, const void *self, struct orders_group *);
    /* Around a real action, both may be NULL. */
    void (*before_act)(const struct pg_machine *, const void *self, unsigned action);
    void (*after_act)(const struct pg_machine *, const void *self, unsigned action);
};
extern const struct orders_subject orders_plane_seeded, orders_plane_reserved, orders_plane_alone, orders_tunnel_joined, orders_tunnel_open;
extern const struct orders_subject *const orders_subjects[]; /* all of them, NULL at the end */

#define ORDERS_MAGIC "punchgate orders 1" /* the first line of such a file; then the subject, then an event a line, # for remarks */
struct orders_limits {
    unsigned depth;
    double seconds;
    const char *save; /* a file for the events that show a fault, or NULL */
    bool quiet;
};
struct orders_result {
    uint64_t orders; /* runs of the core that were made */
    uint32_t states;
    unsigned depth;  /* to which every ordering was tried */
    bool failed;
};
/* Breadth-first, so that what is printed is the shortest list of events that shows a fault. For `make mutants`, too. */
struct orders_result orders_explore(const struct orders_subject *, const struct orders_limits *);
/* The events of a file that was saved, in that order alone. 0: all holds, 1: it does not, 2: that cannot be played. */
int orders_play(const char *path);
extern const struct orders_subject *orders_running;

/* The first fault of a run is kept, and ends it after the event. */
void orders_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define ORDERS_HOLDS(condition, ...) ((condition) ? (void)0 : orders_fault(__VA_ARGS__))
bool orders_failed(void);

/* allowed.c: what the models of spec/system reach, as `verify vectors` prints it, and their `given`, `apart`, `commute`. */
#define ORDERS_FACTORS 8u
struct orders_group {
    const char *system;
    const struct pg_machine *machines[ORDERS_FACTORS]; /* in the order of `hear` */
    const struct pg_instance *in[ORDERS_FACTORS];      /* NULL: does not live */
    unsigned n;
    bool begun;
};
bool orders_read_allowed(const char *path);
void orders_check_group(const struct orders_group *);
void orders_check_given(const struct orders_group *, const void *self, unsigned fact);
bool orders_commute(const char *system, const char *event, const char *other);
/* Whether an event is to leave this machine, or this flag of it, alone. */
bool orders_apart(const char *system, const char *event, const char *machine, const char *flag);

/* spy.c: stands between every instance and its binding. A plant makes a fact lie or an action do something else. */
enum orders_plant { ORDERS_PLANT_NONE, ORDERS_LIE, ORDERS_SKIP, ORDERS_SWAP };
bool orders_plant(enum orders_plant, const char *machine, const char *name, const char *other);

/* Small things that subjects share. */
uint64_t orders_mix(uint64_t hash, uint64_t value);
uint64_t orders_mix_bytes(uint64_t hash, const void *, size_t);
uint64_t orders_mix_instance(uint64_t hash, const struct pg_instance *); /* control, and timers by the time they have left */
bool orders_has(const struct pg_instance *, const char *flag);
bool orders_runs(const struct pg_instance *, const char *timer, uint64_t *left_us);
bool orders_is(const struct pg_instance *, const char *state);
