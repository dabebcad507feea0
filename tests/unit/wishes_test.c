/* Which peers are wanted after the configuration was read again: contacts that come, stay, change their addresses and go.
 * Asks one core by hand; run by ctest. Serves src/core/wishes.c and docs/decisions/0011-what-a-reload-keeps.md. */
#include "core/node_internal.h"
#include "crypto_suite.h"
#include "service/peer.h"

static struct pg_identity *keys[3]; /* 0: ourselves */
static struct pg_peer *self;
static struct pg_node *node;

static void drain(void)
{
    struct pg_core core = pg_peer_core(self);
    struct pg_command c;
    struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};
    while (core.poll(core.self, &c))
        if (c.kind == PG_COMMAND_LISTEN)
            core.input(core.self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c.link, .local = at}, 1000000);
}

static void start(void)
{
    struct pg_peer_config c = {.tunnel_wait_ms = 10000};
    for (uint8_t i = 0; i < 3; i++)
        keys[i] = pg_identity_from_seed((const uint8_t[32]){(uint8_t)(20 + i)});
    pg_node_config_default(&c.node);
    c.node.identity = keys[0];
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.node.listens[c.node.n_listens++], PG_LIT("/ip4/127.0.0.1/tcp/4001")), PG_OK);
    self = pg_peer_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(self);
    node = pg_peer_node(self);
    pg_peer_core(self).input(pg_peer_core(self).self, &(struct pg_input){.kind = PG_INPUT_START}, 1000000);
    drain();
}

static void end(void)
{
    drain();
    pg_peer_free(self);
    for (unsigned i = 0; i < 3; i++)
        pg_identity_free(keys[i]);
}

/* whose: 0 ourselves, 3 nobody that is named. */
static struct pg_wish wish(unsigned whose, const char *addr, bool bootstrap)
{
    struct pg_wish w = {.bootstrap = bootstrap};
    if (whose < 3)
        w.peer = *pg_identity_peer_id(keys[whose]);
    if (addr)
        CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&w.addr, pg_text(addr)), PG_OK);
    return w;
}

static unsigned wanted(void)
{
    unsigned n = 0;
    for (const struct pg_contact *c = NULL; (c = pg_contact_next(node, c));)
        n++;
    return n;
}

static struct pg_contact *of(unsigned whose)
{
    return pg_contact_find(node, pg_identity_peer_id(keys[whose]), NULL);
}

#define FIRST "/ip4/127.0.0.1/tcp/5001"
#define SECOND "/ip4/127.0.0.1/tcp/5002"

static void what_is_wished_for_comes_and_what_is_not_any_more_goes(void)
{
    start();
    struct pg_wish both[] = {wish(1, FIRST, true), wish(2, SECOND, false)};
    pg_node_wish(node, both, 2);
    CU_ASSERT_EQUAL(wanted(), 2);
    CU_ASSERT_FATAL(of(1) && of(2));
    CU_ASSERT(of(1)->is_bootstrap && !of(2)->is_bootstrap);
    CU_ASSERT_EQUAL(node->config.n_bootstraps, 1);
    struct pg_contact *stays = of(2);
    pg_node_wish(node, both + 1, 1);
    CU_ASSERT(wanted() == 1 && of(2) == stays && of(1) == NULL);
    CU_ASSERT(node->config.n_bootstraps == 0 && node->control.config.n_bootstraps == 0);
    pg_node_wish(node, NULL, 0);
    CU_ASSERT_EQUAL(wanted(), 0);
    pg_node_wish(node, both, 2);
    CU_ASSERT_EQUAL(wanted(), 2);
    end();
}

static void a_peer_that_stays_has_the_addresses_that_are_said_now(void)
{
    start();
    struct pg_wish wishes[] = {wish(1, FIRST, true), wish(1, SECOND, false)};
    pg_node_wish(node, wishes, 2);
    struct pg_contact *c = of(1);
    CU_ASSERT_FATAL(c && wanted() == 1);
    CU_ASSERT(c->n_addrs == 2 && c->is_bootstrap); /* once said is said */
    pg_node_wish(node, wishes + 1, 1);
    CU_ASSERT(of(1) == c && c->n_addrs == 1 && pg_multiaddr_equal(&c->addrs[0], &wishes[1].addr) && !c->is_bootstrap);
    struct pg_wish no_address = wish(1, NULL, false);
    pg_node_wish(node, &no_address, 1);
    CU_ASSERT(of(1) == c && c->n_addrs == 0);
    end();
}

static void an_address_that_names_nobody_stands_for_whoever_answers_there(void)
{
    start();
    struct pg_wish nobody[] = {wish(3, FIRST, true), wish(3, FIRST, true)};
    pg_node_wish(node, nobody, 2);
    CU_ASSERT_EQUAL(wanted(), 1);
    node->contacts[0].peer = *pg_identity_peer_id(keys[2]); /* that is who has answered */
    pg_node_wish(node, nobody, 1);
    CU_ASSERT(wanted() == 1 && of(2));
    struct pg_wish elsewhere = wish(3, SECOND, true);
    pg_node_wish(node, &elsewhere, 1);
    CU_ASSERT(wanted() == 1 && of(2) == NULL);
    end();
}

static void a_list_that_many_share_may_name_us_too(void)
{
    start();
    struct pg_wish shared[] = {wish(0, FIRST, true), wish(1, SECOND, true)};
    pg_node_wish(node, shared, 2);
    CU_ASSERT(wanted() == 1 && of(0) == NULL && of(1));
    CU_ASSERT_EQUAL(node->config.n_bootstraps, 2);
    end();
}

int main(void)
{
    static const struct sentence all[] = {
        {"what is wished for comes, and what is not any more goes", what_is_wished_for_comes_and_what_is_not_any_more_goes},
        {"a peer that stays has the addresses that are said now", a_peer_that_stays_has_the_addresses_that_are_said_now},
        {"an address that names nobody stands for whoever answers there", an_address_that_names_nobody_stands_for_whoever_answers_there},
        {"a list that many share may name us, too", a_list_that_many_share_may_name_us_too},
    };
    return RUN_SUITE("wishes", all);
}
