/* What the parts of the verifier share. Links the tables that ship and the step function that ships, and no protocol.
 * Called by tools/verify/verify.py. Serves design section 7, points 1 to 4. */
#pragma once
#include "machine/machine.h"
#include "machines.gen.h"

/* Prints `verify: …` and ends the program with status 1. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

const struct pg_machine *machine_named(const char *name);
unsigned n_conditions(const struct pg_machine *);
/* False for combinations that cannot exist: a count at both of its ends, or one of two values at neither. */
bool possible(const struct pg_machine *, uint32_t conditions);

/* local.c: one machine. */
void check_tables(const struct pg_machine *);
void print_answers(const struct pg_machine *);
void print_summary(const struct pg_machine *);

/* system.c: a product, read from standard input as gen/smc/write_system.py lists it. */
int check_system(void);
/* Prints the control vector of every configuration of it that is reached, as numbers: what second.py compares. */
int print_vectors(void);
