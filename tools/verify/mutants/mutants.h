/* Mutants of the tables: each row of each machine broken in one way at a time, in memory, and who notices.
 * mutate.c makes them, killers.c says who may notice, equal.c proves that there is nothing to notice, mutants.c runs and counts.
 * Serves design section 7, point 7. Built with -DPG_TABLE=, so that the tables that ship may be changed. */
#pragma once
#include "../model.h"

enum mutation {
    MOVE,     /* the row goes to state `arg` instead */
    NO_ACT,   /* its action number `arg` is not done: a call, a timer's start or stop, a count's move */
    NO_EMIT,  /* its emit number `arg` is not sent, to nobody that it names */
    NO_SET,   /* flag `arg` is not set */
    NO_CLEAR, /* flag `arg` is not cleared */
    FLIP,     /* all rows of the cell take condition `arg` for its opposite */
    BLIND,    /* the row does not look at condition `arg`, and comes before the others of its cell */
};

/* A row is what one line of a .sm file says about one state and one event; a table may have it in several pieces. */
struct mutant {
    const struct pg_machine *machine;
    uint16_t row; /* first piece */
    uint8_t state, event, arg;
    enum mutation kind;
};

/* All mutants of a machine, in a fixed order; gives how many, at most `room`. */
unsigned mutants_of(const struct pg_machine *, struct mutant *, unsigned room);
/* What is changed, in words. */
void mutant_text(const struct mutant *, char *text, size_t room);
/* The tables of one mutant: made once, then put in the place of the shipped ones and back. */
struct tables {
    struct pg_machine *machine;
    struct pg_machine shipped, broken;
};
struct tables mutant_tables(const struct mutant *);
void tables_break(const struct tables *);
void tables_mend(const struct tables *);

/* Everything that may notice a mutant whose tables are in place. Each says how in `how`; it may also end the process, as an
 * assert does. Comparisons of tables with the spec never count: they notice every change and prove nothing about behaviour. */
struct killer {
    const char *name;
    bool (*kills)(const struct mutant *, char *how, size_t room);
};
extern const struct killer killers[];
extern const unsigned n_killers;

/* The systems, as read. */
struct systems {
    struct model *models;
    unsigned n;
};
extern struct systems systems;
bool stands_in(const struct pg_machine *, const struct model *);

/* True when no run of any system can tell the mutant from the shipped table: the same steps, emits, actions, timers and control
 * states for the same causes and facts, for ever. */
bool proved_equal(const struct mutant *, const struct tables *);
