/* Contacts that are wanted for ever stay so, whatever an address of theirs leads to.
 * Drives one core by hand through runtime/port.h; hostile rows 24, 26 and 86. */
#include "crypto_suite.h"
#include "service/peer.h"

#include <stdio.h>

static struct pg_identity *key, *other;
static struct pg_core core;
static uint64_t now;

/* What the core has ordered since the last turn that matters here. */
static struct {
    unsigned dials, questions;
    uint32_t question;
    struct pg_link *link;
} seen;

static void drain(void)
{
    struct pg_command c;
    struct pg_endpoint at = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};
    while (core.poll(core.self, &c)) {
        if (c.kind == PG_COMMAND_LISTEN)
            core.input(core.self, &(struct pg_input){.kind = PG_INPUT_LISTENING, .link = c.link, .local = at}, now);
        if (c.kind == PG_COMMAND_DIAL) {
            seen.dials++;
            seen.link = c.link;
        }
        if (c.kind == PG_COMMAND_RESOLVE) {
            seen.questions++;
            seen.question = c.number;
        }
    }
}

static void input(struct pg_input in)
{
    core.input(core.self, &in, now);
    drain();
}

/* The connection that was dialled last has been joined to itself, as the loop tells it. */
static void leads_to_ourselves(void)
{
    struct pg_link *link = seen.link;
    seen.link = NULL;
    input((struct pg_input){.kind = PG_INPUT_LOST, .link = link, .error = PG_ERR_SELF_DIAL,
                            .reason = PG_LIT("this address leads to ourselves")});
    core.unlink(core.self, link);
}

static void pass(uint64_t s)
{
    for (uint64_t until = now + s * 1000000; core.deadline(core.self) <= until;) {
        now = core.deadline(core.self);
        input((struct pg_input){.kind = PG_INPUT_TICK});
    }
}

/* One peer whose bootstrap is that address, with the id of another peer behind it when `named`. */
static struct pg_peer *start(const char *address, bool named)
{
    struct pg_peer_config c = {.tunnel_wait_ms = 10000};
    char id[PG_PEER_ID_TEXT], text[256];
    now = 1000000;
    memset(&seen, 0, sizeof seen);
    pg_node_config_default(&c.node);
    c.node.identity = key = pg_identity_from_seed((const uint8_t[32]){9});
    other = pg_identity_from_seed((const uint8_t[32]){10});
    pg_peer_id_text(pg_identity_peer_id(other), id);
    snprintf(text, sizeof text, named ? "%s/p2p/%s" : "%s", address, id);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.node.bootstraps[c.node.n_bootstraps++], pg_text(text)), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.node.listens[c.node.n_listens++], PG_LIT("/ip4/127.0.0.1/tcp/4001")), PG_OK);
    struct pg_peer *peer = pg_peer_new(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer);
    core = pg_peer_core(peer);
    input((struct pg_input){.kind = PG_INPUT_START});
    return peer;
}

static void end(struct pg_peer *peer)
{
    pg_peer_free(peer);
    pg_identity_free(key);
    pg_identity_free(other);
}

static void a_name_that_leads_to_ourselves_once_is_asked_again(void)
{
    static const struct pg_endpoint wrong = {.family = 4, .ip = {127, 0, 0, 1}};
    struct pg_peer *peer = start("/dns4/peer.example/tcp/4001", true);
    CU_ASSERT_EQUAL_FATAL(seen.questions, 1);
    input((struct pg_input){.kind = PG_INPUT_RESOLVED, .number = seen.question, .n_found = 1, .found = &wrong});
    CU_ASSERT_EQUAL_FATAL(seen.dials, 1);
    leads_to_ourselves();
    pass(5);
    CU_ASSERT(seen.questions > 1);
    end(peer);
}

static void a_named_peer_is_tried_again_when_its_address_is_ours_now(void)
{
    struct pg_peer *peer = start("/ip4/127.0.0.1/tcp/4001", true);
    CU_ASSERT_EQUAL_FATAL(seen.dials, 1);
    leads_to_ourselves();
    pass(5);
    CU_ASSERT(seen.dials > 1);
    end(peer);
}

static void an_answer_to_the_last_round_is_none_to_this_one(void)
{
    static const struct pg_endpoint old = {.family = 4, .ip = {192, 0, 2, 1}}, good = {.family = 4, .ip = {192, 0, 2, 2}};
    struct pg_peer *peer = start("/dns4/peer.example/tcp/4001", true);
    uint32_t first = seen.question;
    pass(25); /* nobody answers, the round ends and another begins */
    CU_ASSERT_EQUAL_FATAL(seen.questions, 2);
    input((struct pg_input){.kind = PG_INPUT_RESOLVED, .number = first, .n_found = 1, .found = &old});
    CU_ASSERT_EQUAL(seen.dials, 0);
    input((struct pg_input){.kind = PG_INPUT_RESOLVED, .number = seen.question, .n_found = 1, .found = &good});
    CU_ASSERT_EQUAL(seen.dials, 1);
    end(peer);
}

static void our_own_address_without_an_id_is_dialled_once(void)
{
    struct pg_peer *peer = start("/ip4/127.0.0.1/tcp/4001", false);
    CU_ASSERT_EQUAL_FATAL(seen.dials, 1);
    leads_to_ourselves();
    pass(300);
    CU_ASSERT_EQUAL(seen.dials, 1);
    end(peer);
}

/* The dial that is under way has been refused. */
static void is_refused(void)
{
    struct pg_link *link = seen.link;
    seen.link = NULL;
    input((struct pg_input){.kind = PG_INPUT_LOST, .link = link, .error = PG_ERR_REFUSED, .reason = PG_LIT("connection refused")});
    core.unlink(core.self, link);
}

static void who_was_never_there_is_tried_often_at_first(void)
{
    struct pg_peer *peer = start("/ip4/192.0.2.7/tcp/4001", true);
    uint64_t begun = now, gap[6];
    for (int i = 0; i < 6; i++) {
        uint64_t before = now;
        is_refused();
        for (unsigned dials = seen.dials; seen.dials == dials;) {
            now = core.deadline(core.self);
            input((struct pg_input){.kind = PG_INPUT_TICK});
        }
        gap[i] = now - before;
        if (i == 2)
            CU_ASSERT(now - begun <= 2100000); /* three tries more: 0.25, 0.5 and 1 s, a fifth more at most */
    }
    CU_ASSERT(gap[0] >= 200000 && gap[0] <= 300000);
    CU_ASSERT(gap[5] >= 6400000 && gap[5] <= 9600000);
    end(peer);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"who was never there is tried often at first, and then less and less", who_was_never_there_is_tried_often_at_first},
        {"a name that leads to ourselves once is asked again: its peer stays wanted", a_name_that_leads_to_ourselves_once_is_asked_again},
        {"a peer named by its id is tried again when its address is ours now", a_named_peer_is_tried_again_when_its_address_is_ours_now},
        {"an answer to the last round is none to this one", an_answer_to_the_last_round_is_none_to_this_one},
        {"our own address, with no id behind it, is dialled once", our_own_address_without_an_id_is_dialled_once},
    };
    return RUN_SUITE("contacts", sentences);
}
