/* What the table tests share: a list of named tests as a CUnit suite, and a control plane with its own scope and clock.
 * Used by the C tests of tests/table only. */
#pragma once
#include "core/control.h"
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct named_test {
    const char *name;
    CU_TestFunc run;
};
#define TEST(function) {#function, function}

static inline int run_tests(const char *suite_name, const struct named_test *tests, size_t n)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; suite && i < n; i++)
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = suite && CU_get_number_of_tests_run() == n && CU_get_number_of_tests_failed() == 0 ? 0 : 1;
    CU_cleanup_registry();
    return failed;
}
#define RUN_TESTS(name, tests) run_tests(name, tests, sizeof(tests) / sizeof *(tests))

/* One peer's control plane in a world without a network; what the last turn commanded is counted by kind. */
struct bench {
    struct pg_scope scope;
    struct pg_control_plane cp;
    struct pg_seed_command last[PG_CONTROL_COMMANDS];
    uint8_t last_peer[PG_CONTROL_COMMANDS]; /* bytes of the peer's id: the id itself is gone with the event */
    uint32_t n_last;
    uint32_t total[PG_SEED_COMMANDS]; /* since the start */
    char turn[64];                    /* event of the last turn that changed the phase */
};

static inline struct pg_instance *bench_next(struct pg_scope *scope, unsigned machine, const struct pg_instance *from,
                                             struct pg_instance *after)
{
    (void)from;
    return pg_control_plane_hearer(&((struct bench *)(void *)scope)->cp, machine, after);
}

static inline void bench_told(void *context, const struct pg_control_turn *turn)
{
    struct bench *b = context;
    if (strcmp(turn->from, turn->to) != 0)
        snprintf(b->turn, sizeof b->turn, "%s", turn->event);
}

static inline void bench_drain(struct bench *b)
{
    struct pg_seed_command command;
    b->n_last = 0;
    while (pg_control_plane_poll(&b->cp, &command)) {
        b->last_peer[b->n_last] = command.peer ? (uint8_t)command.peer->len : 0;
        b->last[b->n_last++] = command;
        b->total[command.kind]++;
    }
}

static inline void bench_input(struct bench *b, struct pg_seed_event event)
{
    pg_control_plane_input(&b->cp, &event);
    bench_drain(b);
}

static inline void bench_wait(struct bench *b, uint64_t ms)
{
    uint64_t until = b->scope.now_us + ms * 1000;
    uint32_t n = 0;
    while (pg_timers_next(&b->scope) <= until) {
        b->scope.now_us = pg_timers_next(&b->scope);
        pg_timers_run(&b->scope);
        pg_control_plane_settle(&b->cp);
        struct pg_seed_command command;
        while (pg_control_plane_poll(&b->cp, &command)) {
            b->last_peer[n % PG_CONTROL_COMMANDS] = command.peer ? (uint8_t)command.peer->len : 0;
            b->last[n++ % PG_CONTROL_COMMANDS] = command;
            b->total[command.kind]++;
        }
    }
    b->n_last = n;
    b->scope.now_us = until;
}

/* Whether the last turn (or wait) gave this command. */
static inline uint32_t bench_did(const struct bench *b, enum pg_seed_command_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_last; i++)
        n += b->last[i].kind == kind;
    return n;
}
