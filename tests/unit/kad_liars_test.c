/* One lying server among honest ones: what it says of addresses and values hides no peer, is not passed on, and keeps no true word out.
 * Hostile rows 24 and 28. */
#include "kad_world.h"

/* Liars are peers like any other, in whose tables something false has been put: what they say of it follows. */

static struct pg_multiaddr nowhere(unsigned number)
{
    struct pg_endpoint at = pg_sim_endpoint(HOSTS - 1, (uint16_t)(9000 + number)); /* where nobody is */
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, &at);
    return addr;
}

static struct pg_kad_contact falsely(const struct host *about)
{
    struct pg_kad_contact c = {.id = *pg_identity_peer_id(about->identity), .n_addrs = PG_KAD_ADDRS};
    for (unsigned i = 0; i < PG_KAD_ADDRS; i++)
        c.addrs[i] = nowhere(i);
    return c;
}

static struct pg_kad_contact truly(const struct host *about)
{
    struct pg_endpoint at = pg_sim_endpoint(about->number, PORT);
    struct pg_kad_contact c = {.id = *pg_identity_peer_id(about->identity), .n_addrs = 1};
    pg_multiaddr_from_tcp(&c.addrs[0], &at);
    return c;
}

static void knows(struct host *h, struct pg_kad_contact c)
{
    CU_ASSERT_EQUAL(pg_kad_table_heard(&h->node->kad.table, &c, NULL, pg_sim_now(sim)), PG_KAD_HEARD_NEW);
}

static bool are_connected(struct host *a, struct host *b)
{
    return pg_node_session(a->node, pg_identity_peer_id(b->identity)) != NULL;
}

/* Two servers, one who asks them, and one whom nobody has met. */
static void quartet(void)
{
    world_open(4);
    for (unsigned i = 0; i < 4; i++) {
        if (i == 1 || i == 2)
            bootstrap(&hosts[i], 0);
        if (i == 1)
            hosts[i].config.limits.value[PG_LIMIT_KAD_PARALLELISM] = 1;
        start(&hosts[i]);
        pass(SECONDS / 20);
    }
    pass(3 * SECONDS);
    CU_ASSERT_FALSE(are_connected(&hosts[1], &hosts[3]));
    CU_ASSERT(are_connected(&hosts[1], &hosts[0]) && are_connected(&hosts[1], &hosts[2]));
}

static void one_liar_does_not_hide_a_peer_that_another_server_knows(void)
{
    for (unsigned liar = 0; liar <= 2; liar += 2) { /* whoever of the two is asked first */
        quartet();
        knows(&hosts[liar], falsely(&hosts[3]));
        knows(&hosts[2 - liar], truly(&hosts[3]));
        CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_FIND_PEER, .key = id_of(&hosts[3])}));
        CU_ASSERT(hosts[1].n_found == 1 && is(&hosts[1].found[0].id, &hosts[3]));
        CU_ASSERT(are_connected(&hosts[1], &hosts[3]));
        world_close();
    }
}

static void a_peer_that_has_moved_is_asked_for_though_an_old_address_is_remembered(void)
{
    struct pg_multiaddr old = nowhere(1);
    quartet();
    pg_address_book_learn(&hosts[1].node->addresses, pg_identity_peer_id(hosts[3].identity), &old, 1, UINT64_MAX);
    knows(&hosts[0], truly(&hosts[3]));
    CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_FIND_PEER, .key = id_of(&hosts[3])}));
    CU_ASSERT(hosts[1].messages > 0);
    CU_ASSERT(are_connected(&hosts[1], &hosts[3]));
    world_close();
}

/* Somebody who dials each provider as soon as it is named, as services do. */
static struct {
    struct pg_visitor visitor;
    struct pg_visit *visit;
    unsigned n_up, n_failed;
} caller;

static void caller_up(struct pg_visitor *v, struct pg_session *s)
{
    (void)v;
    (void)s;
    caller.n_up++;
}

static void caller_failed(struct pg_visitor *v, enum pg_err why, struct pg_bytes reason)
{
    (void)v;
    (void)why;
    (void)reason;
    caller.n_failed++;
}

static void found_and_called(struct pg_kad_asker *asker, const struct pg_kad_contact *peer)
{
    found(asker, peer);
    caller.visitor = (struct pg_visitor){.up = caller_up, .failed = caller_failed};
    caller.visit = pg_node_visit(((struct host *)asker)->node, &caller.visitor, peer);
}

static void what_a_second_server_says_of_a_provider_is_tried_as_well(void)
{
    for (unsigned liar = 0; liar <= 2; liar += 2) {
        struct pg_bytes key = PG_LIT("/punchgate/svc/web");
        quartet();
        struct pg_kad_contact lie = falsely(&hosts[3]), truth = truly(&hosts[3]);
        memset(&caller, 0, sizeof caller);
        CU_ASSERT_EQUAL(pg_kad_store_provide(&hosts[liar].node->kad.store, key, &lie, 0, pg_sim_now(sim)), PG_OK);
        CU_ASSERT_EQUAL(pg_kad_store_provide(&hosts[2 - liar].node->kad.store, key, &truth, 0, pg_sim_now(sim)), PG_OK);
        ask(&hosts[1], (struct pg_kad_question){.op = PG_KAD_PROVIDERS, .key = key});
        hosts[1].asker.found = found_and_called;
        pass(30 * SECONDS);
        CU_ASSERT(hosts[1].done && hosts[1].n_found == 1);
        CU_ASSERT(caller.n_up == 1 && caller.n_failed == 0);
        pg_visit_end(caller.visit);
        world_close();
    }
}

/* Whoever names many providers of a key. */
static void spam(struct host *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct pg_kad_contact c = falsely(h);
        c.id.at[c.id.len - 1] ^= (uint8_t)(i + 1);
        c.id.at[c.id.len - 2] ^= 0x55;
        CU_ASSERT_EQUAL(pg_kad_store_provide(&h->node->kad.store, PG_LIT("/punchgate/svc/web"), &c, 0, pg_sim_now(sim)), PG_OK);
    }
}

static bool told_of(const struct host *h, const struct host *of)
{
    for (uint32_t i = 0; i < h->n_found && i < 8; i++)
        if (is(&h->found[i].id, of))
            return true;
    return false;
}

static void many_false_providers_leave_room_for_a_true_one(void)
{
    struct pg_kad_question question = {.op = PG_KAD_PROVIDERS, .key = PG_LIT("/punchgate/svc/web"), .enough = 16, .each = 3};
    for (unsigned liar = 0; liar <= 2; liar++) { /* the second: in our own store */
        quartet();
        struct pg_kad_contact truth = truly(&hosts[3]);
        struct host *honest = &hosts[liar == 2 ? 0 : 2];
        spam(&hosts[liar], 60);
        CU_ASSERT_EQUAL(pg_kad_store_provide(&honest->node->kad.store, question.key, &truth, 0, pg_sim_now(sim)), PG_OK);
        CU_ASSERT(answered(&hosts[1], question));
        CU_ASSERT(told_of(&hosts[1], &hosts[3]));
        CU_ASSERT_EQUAL(hosts[1].n_found, 4);
        world_close();
    }
}

static void who_wants_one_provider_hears_of_no_other(void)
{
    for (unsigned liar = 0; liar <= 2; liar++) {
        quartet();
        struct pg_kad_contact truth = truly(&hosts[3]);
        struct host *honest = &hosts[liar == 2 ? 0 : 2];
        struct pg_kad_question question = {.op = PG_KAD_PROVIDERS, .key = PG_LIT("/punchgate/svc/web"), .enough = 16, .only = &truth.id, .n_only = 1};
        spam(&hosts[liar], 64);
        CU_ASSERT_EQUAL(pg_kad_store_provide(&honest->node->kad.store, question.key, &truth, 0, pg_sim_now(sim)), PG_OK);
        CU_ASSERT(answered(&hosts[1], question));
        CU_ASSERT(hosts[1].n_found == 1 && is(&hosts[1].found[0].id, &hosts[3]));
        world_close();
    }
}

static void what_others_say_of_a_server_does_not_become_what_we_say_of_it(void)
{
    for (unsigned liar = 0; liar <= 2; liar += 2) {
        struct host *other = &hosts[2 - liar];
        struct pg_kad_contact c;
        quartet();
        pg_kad_table_gone(&hosts[liar].node->kad.table, pg_identity_peer_id(other->identity));
        knows(&hosts[liar], falsely(other));
        CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_CLOSEST, .key = PG_LIT("any")}));
        CU_ASSERT_EQUAL(hosts[1].n_peers, 2);
        CU_ASSERT_FATAL(pg_kad_table_find(&hosts[1].node->kad.table, pg_identity_peer_id(other->identity), &c));
        CU_ASSERT(c.n_addrs > 0);
        for (uint32_t i = 0; i < c.n_addrs; i++)
            for (unsigned k = 0; k < PG_KAD_ADDRS; k++)
                CU_ASSERT_FALSE(pg_multiaddr_equal(&c.addrs[i], &(struct pg_multiaddr[]){nowhere(k)}[0]));
        world_close();
    }
}

static bool has(const struct pg_contact *c, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < c->n_learnt; i++)
        if (pg_multiaddr_equal(&c->learnt[i], addr))
            return true;
    return false;
}

static void whoever_names_many_addresses_of_a_wanted_peer_keeps_no_other_out(void)
{
    struct pg_multiaddr own[PG_KAD_ADDRS];
    quartet();
    struct pg_kad_contact lie = falsely(&hosts[3]), truth = truly(&hosts[3]);
    struct pg_contact *c = pg_node_contact(hosts[1].node, &truth.id);
    CU_ASSERT(pg_contact_hear(c, lie.addrs, lie.n_addrs));
    CU_ASSERT(pg_contact_hear(c, truth.addrs, truth.n_addrs));
    CU_ASSERT(has(c, &truth.addrs[0]));
    CU_ASSERT_FALSE(pg_contact_hear(c, truth.addrs, truth.n_addrs));
    /* What it has offered itself is not pushed out whole. */
    for (unsigned i = 0; i < PG_KAD_ADDRS; i++)
        own[i] = nowhere(100 + i);
    pg_contacts_learn(hosts[1].node, &truth.id, own, PG_KAD_ADDRS);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < PG_KAD_ADDRS; i++)
            lie.addrs[i] = nowhere(200 + 10 * round + i);
        CU_ASSERT(pg_contact_hear(c, lie.addrs, lie.n_addrs));
        CU_ASSERT(pg_contact_hear(c, truth.addrs, truth.n_addrs));
        CU_ASSERT(has(c, &own[0]) && has(c, &own[3]) && has(c, &truth.addrs[0]));
    }
    world_close();
}

static void a_visit_that_finds_no_place_leaves_no_contact_behind(void)
{
    static struct pg_visitor visitors[PG_KAD_VISITS + 300];
    struct pg_visit *visits[PG_KAD_VISITS];
    unsigned n = 0, taken = 0;
    quartet();
    struct pg_kad_contact c = falsely(&hosts[3]);
    for (unsigned i = 0; i < PG_KAD_VISITS + 300; i++) {
        c.id.at[c.id.len - 1] = (uint8_t)i;
        c.id.at[c.id.len - 2] = (uint8_t)(i >> 8);
        visitors[i] = (struct pg_visitor){.up = caller_up, .failed = caller_failed};
        struct pg_visit *v = pg_node_visit(hosts[1].node, &visitors[i], &c);
        if (v && n < PG_KAD_VISITS)
            visits[n++] = v;
    }
    CU_ASSERT(n > 0 && n <= PG_KAD_VISITS);
    for (unsigned i = 0; i < n; i++)
        pg_visit_end(visits[i]);
    for (const struct pg_contact *next = NULL; (next = pg_contact_next(hosts[1].node, next));)
        taken++;
    CU_ASSERT_EQUAL(taken, 1); /* its bootstrap */
    world_close();
}

static void keep(struct host *h, struct pg_bytes key, struct pg_bytes value)
{
    struct pg_kad_value v = {.key = key, .value = value};
    CU_ASSERT_EQUAL(pg_kad_store_put(&h->node->kad.store, &v, pg_identity_peer_id(hosts[3].identity), pg_sim_now(sim)), PG_OK);
}

static void a_value_that_its_key_forbids_is_not_believed(void)
{
    struct pg_bytes key = PG_LIT("/punchgate/svc/web"), lie = PG_LIT("\"other\""), truth = PG_LIT("\"web\"");
    quartet();
    keep(&hosts[0], key, lie);
    keep(&hosts[2], key, lie);
    CU_ASSERT_FALSE(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = key}));
    CU_ASSERT_STRING_EQUAL(hosts[1].value, "");
    keep(&hosts[2], key, truth);
    CU_ASSERT(answered(&hosts[1], (struct pg_kad_question){.op = PG_KAD_GET_VALUE, .key = key}));
    CU_ASSERT_STRING_EQUAL(hosts[1].value, "\"web\"");
    world_close();
}

int main(int argc, char **argv)
{
    static const struct sentence sentences[] = {
        {"one liar does not hide a peer that another server knows", one_liar_does_not_hide_a_peer_that_another_server_knows},
        {"a peer that has moved is asked for though an old address is remembered",
         a_peer_that_has_moved_is_asked_for_though_an_old_address_is_remembered},
        {"what a second server says of a provider is tried as well", what_a_second_server_says_of_a_provider_is_tried_as_well},
        {"many false providers leave room for a true one", many_false_providers_leave_room_for_a_true_one},
        {"who wants one provider hears of no other", who_wants_one_provider_hears_of_no_other},
        {"what others say of a server does not become what we say of it", what_others_say_of_a_server_does_not_become_what_we_say_of_it},
        {"whoever names many addresses of a wanted peer keeps no other out", whoever_names_many_addresses_of_a_wanted_peer_keeps_no_other_out},
        {"a visit that finds no place leaves no contact behind", a_visit_that_finds_no_place_leaves_no_contact_behind},
        {"a value that its key forbids is not believed", a_value_that_its_key_forbids_is_not_believed},
    };
    tell_fd = argc > 1 && strcmp(argv[1], "--tell") == 0 ? 2 : -1;
    return RUN_SUITE("liars", sentences);
}
