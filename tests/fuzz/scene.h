/* For targets that drive whole scenes of tests/unit: a sentence of theirs that is not so ends the run, and inputs fall in pieces.
 * Used by one target each; takes the place of CUnit, whose registry is not there.
 * Serves docs/ARCHITECTURE.md, "A turn". */
#pragma once
#include "fuzz.h"

#include <CUnit/CUnit.h>

CU_BOOL CU_assertImplementation(CU_BOOL truth, unsigned int line, const char *condition, const char *file, const char *function,
                                CU_BOOL fatal)
{
    (void)function;
    (void)fatal;
    if (!truth) {
        fprintf(stderr, "%s:%u: not so: %s\n", file, line, condition);
        abort();
    }
    return CU_TRUE;
}

/* How long the next piece is: mostly short, sometimes everything; by the state that the input began with. */
static inline size_t next_piece(uint32_t *state, size_t left)
{
    *state = *state * 1664525u + 1013904223u;
    uint32_t r = *state >> 16;
    size_t n = r % 4 == 0 ? left : 1 + r % 40;
    return n < left ? n : left;
}
