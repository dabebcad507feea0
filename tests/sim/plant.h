/* Faults planted between the world and a core, to see that the simulator finds them. Called by main.c. */
#pragma once
#include <stdbool.h>

/* NULL: none. False: there is no fault of that name. Counts begin anew. */
bool plant_begin(const char *name);
const char *plant_names(void); /* each on a line of its own, with what it does */
