/* A recorded run, read record by record. Used by the files of tools/replay. */
#pragma once
#include "mem/map.h"
#include "record/record.h"

#include <setjmp.h>

struct play {
    const uint8_t *at, *end, *begin;
    struct pg_core core;
    struct pg_map links; /* by number */
    uint64_t now_us, began_us, inputs, commands, bytes_in, bytes_out;
    bool ended;          /* by a record that says so; else the recording was cut off */
    char difference[1600];
    jmp_buf stop;
};

uint64_t play_number(struct play *);
struct pg_bytes play_bytes(struct play *);
/* Says what differs, and ends the play. */
void play_differs(struct play *, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* All records up to the end or to the first difference; true when there is none. */
bool play_run(struct play *);

/* oracle.c: where answers come from; NULL: there are none. */
void oracle_from(struct play *);
