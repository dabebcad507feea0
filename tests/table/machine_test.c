/* The interpreter of tables, on small machines written by hand: order of a turn, timers, pending events, asserts.
 * Run by ctest. Serves runtime/machine/machine.h; generated machines have their own tests. */
#include "machine/machine.h"
#include <CUnit/Basic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One machine, two states, one of everything:
 *   in rest: go when ready & low -> work  set seen  do first, t.start, c.up, second  emit back to owner, ping to each
 *            go else: ignore; back: on; ping: on do first; t.fired: never
 *   in work: go: reject; back: on do t.stop -> rest, c.zero; ping: on; t.fired -> rest clear seen do second, c.zero */
enum { REST, WORK };
enum { GO, BACK, PING, FIRED };
enum { SEEN = 1, READY = 2, LOW = 4, HIGH = 8 };
static const char *const names[] = {"a", "b", "c", "d"};
static const uint8_t range[][2] = {{0, 2}};
static const uint8_t timer_event[] = {FIRED};
static const uint64_t timer_ms[] = {0};
static const struct pg_act acts[] = {{PG_ACT_CALL, 0}, {PG_ACT_TIMER_START, 0}, {PG_ACT_COUNT_UP, 0}, {PG_ACT_CALL, 1},
                                     {PG_ACT_TIMER_STOP, 0}, {PG_ACT_COUNT_ZERO, 0}};
static const struct pg_emit emits[] = {{PG_TO_OWNER, 0, BACK}, {PG_TO_EACH, 0, PING}, {PG_TO_OWNER, 1, GO}};
static const struct pg_row rows[] = {
    {READY | LOW, READY | LOW, SEEN, 0, 1, 0, 0, 4, 3, PG_ON, WORK},
    {READY, 0, 0, 0, 2, 0, 0, 0, 0, PG_IGNORE, REST},
    {READY | LOW, READY, 0, 0, 2, 0, 0, 0, 0, PG_IGNORE, REST},
    {0, 0, 0, 0, 3, 0, 0, 0, 0, PG_ON, REST},
    {0, 0, 0, 0, 4, 0, 0, 1, 0, PG_ON, REST},
    {0, 0, 0, 0, 5, 0, 0, 0, 0, PG_NEVER, REST},
    {0, 0, 0, 0, 6, 0, 0, 0, 0, PG_REJECT, WORK},
    {0, 0, 0, 0, 7, 4, 0, 2, 0, PG_ON, REST},
    {0, 0, 0, 0, 8, 0, 0, 0, 0, PG_ON, WORK},
    {0, 0, 0, SEEN, 9, 5, 0, 1, 0, PG_ON, REST},
};
static const uint16_t first[] = {0, 3, 4, 5, 6, 7, 8, 9, 10};
static const struct pg_machine machine = {
    .name = "small", .id = 0, .n_states = 2, .n_events = 4, .n_flags = 1, .n_facts = 1, .n_counts = 1, .n_timers = 1,
    .n_actions = 2, .initial = REST, .states = names, .states_as = names, .events = names, .events_as = names,
    .actions = names, .actions_as = names, .flags = names, .facts = names, .counts = names, .timers = names, .count_range = range, .timer_event = timer_event,
    .timer_ms = timer_ms, .first = first, .rows = rows, .acts = acts, .emits = emits};

static char story[400];
static bool ready;
static unsigned n_asked;
static uint64_t wait_ms;
static struct pg_scope scope;
static struct pg_instance one, two, three;
static struct pg_timer timers[3][1];
static struct pg_instance *post_to;

static void tell(const char *word, const struct pg_instance *in)
{
    size_t used = strlen(story);
    snprintf(story + used, sizeof story - used, "%s%u ", word, (unsigned)in->key);
}
static bool fact(const void *self, unsigned number)
{
    (void)self, (void)number;
    n_asked++;
    return ready;
}
static void act(void *self, unsigned action)
{
    struct pg_instance *in = self;
    tell(action ? "second" : "first", in);
    CU_ASSERT_TRUE(in->stepping);
    if (post_to && in == &one && action == 0)
        pg_post(post_to, PING);
}
static uint64_t duration(const void *self, unsigned timer)
{
    (void)self, (void)timer;
    return wait_ms;
}
static const struct pg_binding binding = {fact, act, duration};
static struct pg_instance *next(struct pg_scope *s, unsigned id, const struct pg_instance *from, struct pg_instance *after)
{
    (void)s, (void)id;
    struct pg_instance *order[] = {&one, &two, &three};
    unsigned n = 0;
    while (after && order[n] != after)
        n++;
    for (n += after ? 1 : 0; n < 3; n++)
        if (order[n] != from)
            return order[n];
    return NULL;
}
static void trace(struct pg_scope *s, const struct pg_instance *in, const struct pg_step_record *record)
{
    (void)s;
    char word[40];
    snprintf(word, sizeof word, "[%u:%u>%u,%u]", record->event, record->from, record->to, record->n_commands);
    tell(word, in);
}

static void fresh(uint32_t room)
{
    pg_scope_free(&scope);
    CU_ASSERT_TRUE(pg_scope_init(&scope, room, 8));
    scope.next = next;
    pg_instance_init(&one, &machine, &binding, &one, &scope, timers[0], NULL, 1);
    pg_instance_init(&two, &machine, &binding, &two, &scope, timers[1], &one, 2);
    pg_instance_init(&three, &machine, &binding, &three, &scope, timers[2], &one, 3);
    *story = '\0';
    ready = true;
    n_asked = 0;
    wait_ms = 10;
    post_to = NULL;
}

static void a_turn_asks_commits_acts_then_delivers(void)
{
    fresh(3);
    scope.trace = trace;
    CU_ASSERT_EQUAL(pg_step(&two, GO), PG_ON);
    /* The owner hears the emit meant for its machine, not the one for another; sisters hear theirs afterwards. */
    CU_ASSERT_STRING_EQUAL(story, "[0:0>1,2]2 first2 second2 [1:0>0,0]1 [2:0>0,1]1 first1 [2:0>0,1]3 first3 ");
    CU_ASSERT_EQUAL(two.ctl.state, WORK);
    CU_ASSERT_EQUAL(two.ctl.flags, SEEN);
    CU_ASSERT_EQUAL(two.ctl.count[0], 1);
    CU_ASSERT_EQUAL(n_asked, 1);
    CU_ASSERT_EQUAL(scope.depth, 0);
}

static void facts_are_asked_only_when_a_row_cares(void)
{
    fresh(3);
    pg_step(&one, BACK);
    CU_ASSERT_EQUAL(n_asked, 0);
    ready = false;
    CU_ASSERT_EQUAL(pg_step(&one, GO), PG_IGNORE);
    CU_ASSERT_EQUAL(n_asked, 1);
    CU_ASSERT_EQUAL(one.last, PG_IGNORE);
}

static void a_reject_is_told_to_the_caller(void)
{
    fresh(3);
    pg_step(&one, GO);
    CU_ASSERT_EQUAL(pg_step(&one, GO), PG_REJECT);
    CU_ASSERT_EQUAL(one.ctl.state, WORK);
}

static void posted_events_wait_for_the_turn(void)
{
    fresh(3);
    post_to = &three;
    pg_step(&one, PING);
    CU_ASSERT_STRING_EQUAL(story, "first1 first3 ");
    pg_post(&two, PING);
    CU_ASSERT_STRING_EQUAL(story, "first1 first3 first2 ");
}

static void ended_instances_hear_nothing_more(void)
{
    fresh(3);
    pg_step(&one, GO);
    pg_instance_end(&one);
    CU_ASSERT_EQUAL(pg_timers_next(&scope), UINT64_MAX);
    scope.depth = 1; /* as within a turn */
    pg_post(&three, PING);
    pg_post(&two, PING);
    pg_instance_end(&three);
    scope.depth = 0;
    *story = '\0';
    pg_step(&one, PING);
    CU_ASSERT_STRING_EQUAL(story, "first2 "); /* one is at work, where a ping does nothing */
}

static void timers_fire_in_order_and_once(void)
{
    fresh(3);
    two.owner = three.owner = NULL;
    wait_ms = 30, pg_step(&one, GO);
    wait_ms = 10, pg_step(&two, GO);
    wait_ms = 10, pg_step(&three, GO);
    *story = '\0';
    CU_ASSERT_EQUAL(pg_timers_next(&scope), 10000);
    pg_timers_run(&scope);
    CU_ASSERT_STRING_EQUAL(story, "");
    scope.trace = trace;
    scope.now_us = 40000;
    pg_timers_run(&scope);
    CU_ASSERT_STRING_EQUAL(story, "[3:1>0,0]2 [3:1>0,0]3 [3:1>0,0]1 ");
    CU_ASSERT_EQUAL(pg_timers_next(&scope), UINT64_MAX);
}

static void a_stopped_timer_never_fires_and_a_restart_replaces(void)
{
    fresh(3);
    pg_step(&one, GO);
    pg_timer_start(&one, 0, 50);
    CU_ASSERT_EQUAL(scope.timers.used, 1);
    CU_ASSERT_EQUAL(pg_timers_next(&scope), 50000);
    pg_step(&one, BACK);
    CU_ASSERT_FALSE(pg_timer_runs(&one, 0));
    scope.now_us = 60000;
    pg_timers_run(&scope);
    CU_ASSERT_EQUAL(one.ctl.state, REST);
}

static void many_timers_keep_their_order(void)
{
    enum { N = 500 };
    static struct pg_instance many[N];
    static struct pg_timer its[N][1];
    uint32_t random = 1;
    pg_scope_free(&scope);
    CU_ASSERT_TRUE(pg_scope_init(&scope, N, 8));
    for (unsigned n = 0; n < N; n++) {
        pg_instance_init(&many[n], &machine, &binding, &many[n], &scope, its[n], NULL, n);
        many[n].ctl.state = WORK;
    }
    for (unsigned round = 0; round < 5000; round++) {
        random = random * 1664525u + 1013904223u;
        unsigned n = (random >> 8) % N;
        if (random >> 30 == 0)
            pg_timer_stop(&many[n], 0);
        else
            pg_timer_start(&many[n], 0, (random >> 12) % 1000);
        uint64_t least = UINT64_MAX, running = 0;
        for (unsigned i = 0; round % 50 == 0 && i < N; i++)
            if (its[i][0].place) {
                running++;
                CU_ASSERT_PTR_EQUAL(scope.timers.heap[its[i][0].place], &its[i][0]);
                least = its[i][0].at_us < least ? its[i][0].at_us : least;
            }
        if (round % 50 == 0) {
            CU_ASSERT_EQUAL(pg_timers_next(&scope), least);
            CU_ASSERT_EQUAL(scope.timers.used, running);
        }
    }
    scope.now_us = 2000000;
    pg_timers_run(&scope);
    CU_ASSERT_EQUAL(scope.timers.used, 0);
}

static void a_timer_that_restarts_itself_at_once_cannot_hold_the_loop(void)
{
    fresh(3);
    pg_step(&one, GO);
    scope.now_us = 20000;
    pg_timer_start(&one, 0, 0);
    one.ctl.state = WORK;
    pg_timers_run(&scope);
    CU_ASSERT_EQUAL(one.ctl.state, REST);
}

/* Whether a child that does this is stopped by an assert. */
static bool aborts(void (*what)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        freopen("/dev/null", "w", stderr);
        signal(SIGABRT, SIG_DFL);
        what();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static void fire_in_rest(void)
{
    pg_step(&one, FIRED);
}
static void start_too_many(void)
{
    fresh(1);
    pg_timer_start(&one, 0, 1);
    pg_timer_start(&two, 0, 1);
}
static void end_in_its_own_turn(void)
{
    one.stepping = true;
    pg_instance_end(&one);
}
static void step_in_its_own_turn(void)
{
    one.stepping = true;
    pg_step(&one, PING);
}
static void unknown_event(void)
{
    pg_step(&one, 4);
}

static void our_own_mistakes_are_asserts(void)
{
    fresh(3);
    CU_ASSERT_TRUE(aborts(fire_in_rest));
    CU_ASSERT_TRUE(aborts(start_too_many));
    CU_ASSERT_TRUE(aborts(end_in_its_own_turn));
    CU_ASSERT_TRUE(aborts(step_in_its_own_turn));
    CU_ASSERT_TRUE(aborts(unknown_event));
}

int main(void)
{
    static const struct {
        const char *name;
        CU_TestFunc run;
    } tests[] = {
        {"a turn asks, commits, acts, then delivers", a_turn_asks_commits_acts_then_delivers},
        {"facts are asked only when a row cares", facts_are_asked_only_when_a_row_cares},
        {"a reject is told to the caller", a_reject_is_told_to_the_caller},
        {"posted events wait for the turn", posted_events_wait_for_the_turn},
        {"ended instances hear nothing more", ended_instances_hear_nothing_more},
        {"timers fire in order and once", timers_fire_in_order_and_once},
        {"a stopped timer never fires and a restart replaces", a_stopped_timer_never_fires_and_a_restart_replaces},
        {"many timers keep their order", many_timers_keep_their_order},
        {"a timer that restarts itself at once cannot hold the loop", a_timer_that_restarts_itself_at_once_cannot_hold_the_loop},
        {"our own mistakes are asserts", our_own_mistakes_are_asserts},
    };
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite("machine", NULL, NULL);
    for (size_t n = 0; suite && n < sizeof tests / sizeof *tests; n++)
        CU_add_test(suite, tests[n].name, tests[n].run);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int status = CU_get_number_of_tests_failed() || CU_get_number_of_tests_run() != sizeof tests / sizeof *tests;
    CU_cleanup_registry();
    pg_scope_free(&scope);
    return status;
}
