/* Peers whose bootstrap peer is gone for good and who have nobody but each other: they stay in touch, and whoever is cut off as soon as it
 * has asked does not come back without a pause. Hostile row 78. */
#include "kad_world.h"

/* All know each other by the first, who then dies. Who holds few connections keeps few of its visits. */
static void orphans(unsigned n, uint64_t conns)
{
    world_open(n);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0)
            bootstrap(&hosts[i], 0);
        hosts[i].config.limits.value[PG_LIMIT_CONNS] = conns;
        start(&hosts[i]);
        pass(SECONDS / 5);
    }
    pass(10 * SECONDS);
    for (unsigned i = 1; i < n; i++)
        CU_ASSERT_EQUAL(pg_kad_known(hosts[i].node), n - 1);
    pg_sim_kill(hosts[0].process, PG_SIM_KILLED);
    pass(10 * SECONDS);
}

static uint64_t opened(const struct host *h)
{
    return h->node->metrics.value[PG_METRIC_CONNECTIONS_OPENED_OUTBOUND];
}

static void who_holds_few_connections_keeps_the_last_one(void)
{
    orphans(3, 8);
    uint64_t before = opened(&hosts[1]) + opened(&hosts[2]);
    pass(120 * SECONDS);
    CU_ASSERT(pg_node_session(hosts[1].node, pg_identity_peer_id(hosts[2].identity)) != NULL);
    CU_ASSERT_EQUAL(opened(&hosts[1]) + opened(&hosts[2]), before);
    world_close();
}

/* Whoever is connected to it is closed a moment after it has come. */
static void cut_off(struct host *h)
{
    for (struct pg_session *s = h->node->sessions, *next; s; s = next) {
        next = s->next;
        if (s->up)
            pg_session_drop(s, PG_ERR_CLOSED);
    }
    pg_sim_poke(h->process);
}

static void who_is_cut_off_after_each_question_asks_with_pauses(void)
{
    orphans(3, 128);
    uint64_t before = opened(&hosts[1]);
    for (unsigned i = 0; i < 120 * 50; i++) {
        cut_off(&hosts[2]);
        pass(SECONDS / 50);
    }
    CU_ASSERT(opened(&hosts[1]) > before);
    CU_ASSERT(opened(&hosts[1]) < before + 60); /* once in five seconds, and each time what it offers is told as well */
    pass(30 * SECONDS);
    CU_ASSERT(pg_node_session(hosts[1].node, pg_identity_peer_id(hosts[2].identity)) != NULL);
    world_close();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"who holds few connections keeps the last one", who_holds_few_connections_keeps_the_last_one},
        {"who is cut off after each question asks with pauses", who_is_cut_off_after_each_question_asks_with_pauses},
    };
    tell_fd = argc > 1 && strcmp(argv[1], "--tell") == 0 ? 2 : -1;
    return RUN_SUITE("lonely", sentences);
}
