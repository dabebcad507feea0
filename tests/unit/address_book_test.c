/* The address book: ends of lives, shares, and who gives way. */
#include "crypto_suite.h"
#include "core/address_book.h"

#include <stdio.h>

static struct pg_address_book book;

static struct pg_peer_id peer(unsigned number)
{
    struct pg_peer_id id = {.len = 34, .at = {0x12, 0x20}};
    memcpy(&id.at[2], &number, sizeof number);
    return id;
}

static struct pg_multiaddr addr(unsigned port)
{
    struct pg_multiaddr a;
    char text[64];
    snprintf(text, sizeof text, "/ip4/192.31.196.7/tcp/%u", port);
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&a, pg_text(text)), PG_OK);
    return a;
}

static void learn(unsigned who, unsigned port, uint64_t until)
{
    struct pg_peer_id id = peer(who);
    struct pg_multiaddr a = addr(port);
    pg_address_book_learn(&book, &id, &a, 1, until);
}

/* The ports that are known at that time, as decimal digits of one number, best first. */
static unsigned ports(unsigned who, uint64_t now)
{
    struct pg_peer_id id = peer(who);
    struct pg_multiaddr out[PG_ADDRESS_BOOK_ADDRS];
    unsigned all = 0;
    uint32_t n = pg_address_book_find(&book, &id, now, out);
    for (uint32_t i = 0; i < n; i++)
        for (unsigned port = 1; port < 10; port++) {
            struct pg_multiaddr a = addr(port);
            if (pg_multiaddr_equal(&a, &out[i]))
                all = all * 10 + port;
        }
    return all;
}

static void addresses_are_known_until_their_time(void)
{
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    learn(1, 1, 100);
    learn(1, 2, 200);
    CU_ASSERT_EQUAL(ports(1, 99), 21);
    CU_ASSERT_EQUAL(ports(1, 100), 2);
    CU_ASSERT_EQUAL(ports(1, 200), 0);
    CU_ASSERT_EQUAL(ports(2, 0), 0);
    pg_address_book_free(&book);
}

static void an_address_lives_until_the_later_time_that_was_said(void)
{
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    learn(1, 1, 300);
    learn(1, 1, 100);
    CU_ASSERT_EQUAL(ports(1, 299), 1);
    learn(1, 1, 400);
    CU_ASSERT_EQUAL(ports(1, 399), 1);
    pg_address_book_free(&book);
}

static void what_a_connected_peer_has_said_outlives_its_connection_for_a_while(void)
{
    struct pg_peer_id id = peer(1);
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    learn(1, 1, PG_ADDRESS_CONNECTED);
    learn(1, 2, 200);
    CU_ASSERT_EQUAL(ports(1, 1ull << 62), 1);
    pg_address_book_parted(&book, &id, 500);
    CU_ASSERT_EQUAL(ports(1, 199), 12);
    CU_ASSERT_EQUAL(ports(1, 499), 1);
    CU_ASSERT_EQUAL(ports(1, 500), 0);
    pg_address_book_free(&book);
}

static void beyond_its_share_the_shortest_lived_address_goes(void)
{
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    for (unsigned port = 1; port <= 9; port++)
        learn(1, port, port == 5 ? 50 : 1000 + port);
    CU_ASSERT_EQUAL(ports(1, 0), 98764321);
    pg_address_book_free(&book);
}

static void beyond_the_peers_that_fit_the_one_not_heard_of_for_longest_goes(void)
{
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    for (unsigned who = 1; who <= 4; who++)
        learn(who, who, 1000);
    learn(1, 9, 1000); /* heard of again */
    learn(5, 5, 1000);
    CU_ASSERT_EQUAL(ports(1, 0), 19);
    CU_ASSERT_EQUAL(ports(2, 0), 0);
    CU_ASSERT_EQUAL(ports(3, 0), 3);
    CU_ASSERT_EQUAL(ports(5, 0), 5);
    for (unsigned who = 100; who < 5000; who++)
        learn(who, 7, 1000);
    CU_ASSERT_EQUAL(book.cards.used, 4);
    CU_ASSERT_EQUAL(ports(4999, 0), 7);
    CU_ASSERT_EQUAL(ports(1, 0), 0);
    pg_address_book_free(&book);
}

static void too_long_an_address_is_left_out(void)
{
    struct pg_peer_id id = peer(1);
    struct pg_multiaddr out[PG_ADDRESS_BOOK_ADDRS], with_name[2] = {{.len = PG_ADDRESS_BOOK_BYTES + 1}, addr(3)};
    CU_ASSERT_TRUE_FATAL(pg_address_book_init(&book, 4, 1));
    pg_address_book_learn(&book, &id, with_name, 2, 100);
    CU_ASSERT_EQUAL(pg_address_book_find(&book, &id, 0, out), 1);
    CU_ASSERT_EQUAL(ports(1, 0), 3);
    pg_address_book_free(&book);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"addresses are known until their time has come", addresses_are_known_until_their_time},
        {"an address lives until the later time that was said", an_address_lives_until_the_later_time_that_was_said},
        {"what a connected peer has said outlives its connection for a while", what_a_connected_peer_has_said_outlives_its_connection_for_a_while},
        {"beyond a peer's share its shortest-lived address gives way", beyond_its_share_the_shortest_lived_address_goes},
        {"beyond the peers that fit, the one not heard of for longest gives way", beyond_the_peers_that_fit_the_one_not_heard_of_for_longest_goes},
        {"an address that is too long is left out", too_long_an_address_is_left_out},
    };
    return RUN_SUITE("address book", sentences);
}
