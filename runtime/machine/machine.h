/* Tables and how they step: the one interpreter of every generated control machine.
 * Called by everything that owns a machine; knows no protocol. Language: docs/SPEC-LANGUAGE.md.
 * A turn is: ask facts, pick the row, commit state, run actions, then deliver what was emitted. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pg_verdict {
    PG_ON,     /* the row moved the machine */
    PG_IGNORE, /* allowed and without effect */
    PG_REJECT, /* the remote's fault: the caller resets the stream or closes the connection */
    PG_NEVER,  /* our own bug: pg_step asserts */
};

/* One line of a .sm file. A row is taken when (conditions & care) == want; the rows of one
 * (state, event) are disjoint and cover everything, which the generator has checked.
 * Condition bits, from bit 0: flags, facts, then two for each count (at its low end, at its high end). */
struct pg_row {
    uint32_t care, want;
    uint32_t set, clear; /* flags */
    uint16_t line;       /* in the .sm file, for traces and coverage */
    uint16_t act, emit;  /* first of its actions and emits */
    uint8_t n_act, n_emit;
    uint8_t verdict, to;
};

enum pg_act_kind { PG_ACT_CALL, PG_ACT_TIMER_START, PG_ACT_TIMER_STOP, PG_ACT_COUNT_UP, PG_ACT_COUNT_DOWN, PG_ACT_COUNT_ZERO };
struct pg_act {
    uint8_t kind; /* enum pg_act_kind */
    uint8_t arg;  /* action, timer or count by number */
};

enum pg_emit_to { PG_TO_OWNER, PG_TO_EACH, PG_TO_SISTER };
struct pg_emit {
    uint8_t to;      /* enum pg_emit_to */
    uint8_t machine; /* enum pg_machine_id (generated) of who hears it */
    uint8_t event;   /* number in that machine */
};

/* Tables are constant. The run of mutants (tools/verify/mutants) compiles them with -DPG_TABLE= and so may change them. */
#ifndef PG_TABLE
#define PG_TABLE const
#endif

struct pg_machine {
    const char *name;
    uint8_t id; /* enum pg_machine_id (generated) */
    uint8_t n_states, n_events, n_flags, n_facts, n_counts, n_timers, n_actions;
    uint8_t initial;
    uint32_t final;                                      /* mask of final states */
    const char *const *states, *const *states_as;        /* names; `as` repeats the name where there is none */
    const char *const *events, *const *events_as;
    const char *const *actions, *const *actions_as;
    const char *const *flags, *const *facts, *const *counts, *const *timers;
    const uint8_t (*count_range)[2];                     /* low and high end of each count */
    const uint8_t *timer_event;                          /* the event that each timer fires */
    const uint64_t *timer_ms;                            /* constant, or 0: ask the binding */
    const uint16_t *first;                               /* [state * n_events + event], one more entry at the end */
    const struct pg_row *rows;
    const struct pg_act *acts;
    const struct pg_emit *emits;
};

/* How a table reaches the C around it: three switches, generated beside the table. */
struct pg_binding {
    bool (*fact)(const void *self, unsigned fact);
    void (*act)(void *self, unsigned action);
    uint64_t (*duration_ms)(const void *self, unsigned timer);
};

#define PG_MAX_COUNTS 3
struct pg_control {
    uint32_t flags;
    uint8_t state;
    uint8_t count[PG_MAX_COUNTS];
};

/* Fixed record of one step; what logs, replay and coverage read. */
struct pg_step_record {
    uint64_t now_us;
    const struct pg_machine *machine;
    uint32_t key;        /* of the instance: tells relays, streams and dials apart */
    uint32_t conditions; /* as they were when the row was chosen */
    uint16_t line;
    uint8_t event, from, to, verdict;
    uint8_t n_commands;  /* actions that were called */
};

struct pg_instance;
struct pg_timer {
    struct pg_instance *in;
    uint64_t at_us;
    uint64_t started; /* number of its start in the scope: equal deadlines fire in this order */
    uint32_t place; /* in the heap, 0 when it does not run */
    uint8_t number; /* of the machine's timers */
};

/* Timers of everything in one core: a heap by deadline. A stopped timer leaves the heap at once,
 * so a stale firing cannot arrive. */
struct pg_timers {
    struct pg_timer **heap; /* from index 1 */
    uint32_t used, room;
    uint64_t starts; /* so far */
};

/* What instances that step together share. */
struct pg_scope {
    uint64_t now_us;
    struct pg_timers timers;
    /* Next instance of a machine that an emit of `from` reaches (PG_TO_EACH and PG_TO_SISTER), NULL at the end. */
    struct pg_instance *(*next)(struct pg_scope *, unsigned machine, const struct pg_instance *from, struct pg_instance *after);
    void (*trace)(struct pg_scope *, const struct pg_instance *, const struct pg_step_record *); /* may be NULL */
    /* An instance has come into a final state; its turn is not over, so this may only note it. May be NULL. */
    void (*finished)(struct pg_scope *, struct pg_instance *);
    struct pg_pending { struct pg_instance *in; uint8_t event; } *queue; /* ring of emitted and posted events */
    uint32_t queue_head, queue_used, queue_room;
    uint32_t depth; /* of nested steps; emits are delivered when it is back at 0 */
};

struct pg_instance {
    const struct pg_machine *machine;
    const struct pg_binding *binding;
    void *self;                 /* given to facts and actions */
    struct pg_scope *scope;
    struct pg_instance *owner;  /* hears `emit … to owner`; may be NULL for the outermost */
    struct pg_timer *timers;    /* machine->n_timers of them */
    uint32_t key;
    struct pg_control ctl;
    uint8_t event;              /* of the step that runs, or ran last: for actions that serve several events */
    bool stepping;
    enum pg_verdict last;
};

/* Everything zero but the room; the caller then sets next and trace. More timers or pending events than there is room for
 * trip an assert, since their number follows from the number of instances. */
bool pg_scope_init(struct pg_scope *, uint32_t timers, uint32_t pending);
void pg_scope_free(struct pg_scope *);

/* Puts the machine into its initial state with all timers stopped. */
void pg_instance_init(struct pg_instance *, const struct pg_machine *, const struct pg_binding *, void *self, struct pg_scope *,
                      struct pg_timer *timers, struct pg_instance *owner, uint32_t key);
/* Stops the timers and drops pending events; to be called before the memory goes, and not by the instance's own actions. */
void pg_instance_end(struct pg_instance *);

/* One turn. Delivers what is emitted before it returns, unless an outer step is running: then the outer one does. */
enum pg_verdict pg_step(struct pg_instance *, unsigned event);
/* As pg_step, but after the turn that is running; steps at once when none is. */
void pg_post(struct pg_instance *, unsigned event);
/* Fires every timer due at scope->now_us. */
void pg_timers_run(struct pg_scope *);
/* When the next timer is due, UINT64_MAX when none runs. */
uint64_t pg_timers_next(const struct pg_scope *);

/* What the actions `x.start` and `x.stop` do; for the verifier and for tests. */
void pg_timer_start(struct pg_instance *, unsigned timer, uint64_t after_ms);
void pg_timer_stop(struct pg_instance *, unsigned timer);
bool pg_timer_runs(const struct pg_instance *, unsigned timer);

/* The pure part, as the verifier uses it: the row for these conditions, never NULL. No facts are asked, nothing moves. */
const struct pg_row *pg_pick(const struct pg_machine *, unsigned state, unsigned event, uint32_t conditions);
/* Bits that any row of (state, event) looks at. */
uint32_t pg_cares(const struct pg_machine *, unsigned state, unsigned event);
/* Control after the row, actions apart: state, flags and counts. */
struct pg_control pg_commit(const struct pg_machine *, struct pg_control, const struct pg_row *);
/* Condition bits that the control itself determines (flags and counts, facts zero). */
uint32_t pg_own_conditions(const struct pg_machine *, const struct pg_control *);
