/* What is believed of a relay's answer to RESERVE: forged and expired vouchers, ends in the past and far away, addresses.
 * Run by ctest. Serves hostile row 38; libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "crypto_suite.h"

#include "core/node_internal.h"
#include "core/voucher.h"

enum { NOW = 1800000000 };
static struct pg_identity *relay, *other, *we;
static struct pg_endpoint seen;
static struct pg_grant grant;
static char why[160];

static struct pg_multiaddr addr(const char *text)
{
    struct pg_multiaddr out = {0};
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&out, pg_text(text)), PG_OK);
    return out;
}

static struct pg_pb_hop_message answer(uint64_t expire, const struct pg_multiaddr *addrs, uint32_t n)
{
    struct pg_pb_hop_message m = {.has_type = true, .type = PG_PB_HOP_MESSAGE_TYPE_STATUS, .has_status = true,
                                  .status = PG_PB_CIRCUIT_STATUS_OK, .has_reservation = true,
                                  .reservation = {.has_expire = true, .expire = expire}};
    for (uint32_t i = 0; i < n; i++)
        m.reservation.addrs[m.reservation.n_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
    return m;
}

static bool judged(const struct pg_pb_hop_message *m)
{
    struct pg_reservation_judge j = {.relay = pg_identity_peer_id(relay), .own = pg_identity_peer_id(we), .seen = &seen, .now_s = NOW, .now_us = 5};
    why[0] = 0;
    return pg_reservation_judge(&j, m, &grant, why, sizeof why);
}

static bool refused_for(const struct pg_pb_hop_message *m, const char *word)
{
    return !judged(m) && strstr(why, word) && grant.n_addrs == 0;
}

static void a_reservation_without_a_voucher_is_used(void)
{
    struct pg_multiaddr at = addr("/ip4/8.8.8.8/tcp/4001");
    struct pg_pb_hop_message m = answer(NOW + 3600, &at, 1);
    m.has_limit = true, m.limit.duration = 120, m.limit.data = 131072;
    CU_ASSERT_TRUE(judged(&m));
    CU_ASSERT_EQUAL(grant.lease_ms, 3600000);
    CU_ASSERT_EQUAL(grant.expires_us, 3600000005);
    CU_ASSERT_TRUE(grant.limit_bytes == 131072 && grant.limit_us == 120000000 && !grant.vouched);
    char text[PG_MULTIADDR_TEXT], id[PG_PEER_ID_TEXT], wanted[PG_MULTIADDR_TEXT];
    CU_ASSERT_EQUAL_FATAL(grant.n_addrs, 1);
    text[pg_multiaddr_text(&grant.addrs[0], text, sizeof text)] = 0;
    id[pg_peer_id_text(pg_identity_peer_id(relay), id)] = 0;
    snprintf(wanted, sizeof wanted, "/ip4/8.8.8.8/tcp/4001/p2p/%s/p2p-circuit", id);
    CU_ASSERT_STRING_EQUAL(text, wanted);
}

static bool with_voucher(const struct pg_identity *signer, const struct pg_identity *named, const struct pg_identity *to, uint64_t expires)
{
    uint8_t envelope[PG_VOUCHER_MAX], payload[256];
    struct pg_multiaddr at = addr("/ip4/8.8.8.8/tcp/4001");
    struct pg_pb_hop_message m = answer(NOW + 3600, &at, 1);
    struct pg_writer w = pg_writer(envelope, sizeof envelope), p = pg_writer(payload, sizeof payload);
    CU_ASSERT_TRUE(pg_voucher_write(pg_identity_peer_id(named), pg_identity_peer_id(to), expires, &p));
    CU_ASSERT_TRUE(pg_envelope_seal(signer, PG_LIT("libp2p-relay-rsvp"), PG_LIT("\x03\x02"), pg_written(&p), &w));
    m.reservation.has_voucher = true;
    m.reservation.voucher = pg_written(&w);
    return judged(&m);
}

static void a_voucher_is_the_relays_word_for_us_and_for_now_or_nothing_is_used(void)
{
    CU_ASSERT_TRUE(with_voucher(relay, relay, we, NOW + 3600));
    CU_ASSERT_TRUE(grant.vouched);
    CU_ASSERT_FALSE(with_voucher(other, relay, we, NOW + 3600));
    CU_ASSERT_FALSE(with_voucher(relay, other, we, NOW + 3600));
    CU_ASSERT_FALSE(with_voucher(other, other, we, NOW + 3600));
    CU_ASSERT_FALSE(with_voucher(relay, relay, other, NOW + 3600));
    CU_ASSERT_FALSE(with_voucher(relay, relay, we, NOW));
    CU_ASSERT_TRUE(grant.n_addrs == 0 && strstr(why, "its voucher cannot be believed"));
}

static void a_voucher_that_was_changed_on_the_way_is_not_believed(void)
{
    uint8_t envelope[PG_VOUCHER_MAX];
    struct pg_multiaddr at = addr("/ip4/8.8.8.8/tcp/4001");
    struct pg_writer w = pg_writer(envelope, sizeof envelope);
    CU_ASSERT_TRUE_FATAL(pg_voucher_seal(relay, pg_identity_peer_id(we), NOW + 3600, &w));
    for (size_t i = 0; i < w.len; i++) {
        struct pg_pb_hop_message m = answer(NOW + 3600, &at, 1);
        envelope[i] ^= 1;
        m.reservation.has_voucher = true;
        m.reservation.voucher = pg_written(&w);
        CU_ASSERT_FALSE(judged(&m));
        envelope[i] ^= 1;
    }
}

static void ends_in_the_past_in_seconds_and_in_a_hundred_years_are_not_used(void)
{
    struct pg_multiaddr at = addr("/ip4/8.8.8.8/tcp/4001");
    static const struct {
        uint64_t expire;
        const char *word;
    } cases[] = {{0, "past"}, {NOW - 1, "past"}, {NOW, "past"}, {NOW + 2, "seconds"}, {NOW + 3153600000ull, "week"}, {UINT64_MAX, "week"}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_pb_hop_message m = answer(cases[i].expire, &at, 1);
        CU_ASSERT_TRUE(refused_for(&m, cases[i].word));
    }
    struct pg_pb_hop_message m = answer(NOW + 604800, &at, 1);
    CU_ASSERT_TRUE(judged(&m));
    m.reservation.has_expire = false;
    CU_ASSERT_TRUE(refused_for(&m, "no reservation"));
    m.has_reservation = false;
    CU_ASSERT_TRUE(refused_for(&m, "no reservation"));
}

static void a_relay_that_nobody_could_dial_is_not_used(void)
{
    char text[PG_MULTIADDR_TEXT], id[PG_PEER_ID_TEXT];
    struct pg_multiaddr addrs[9] = {{0}};
    struct pg_pb_hop_message m = answer(NOW + 3600, addrs, 0);
    CU_ASSERT_TRUE(refused_for(&m, "no address"));
    id[pg_peer_id_text(pg_identity_peer_id(other), id)] = 0;
    snprintf(text, sizeof text, "/ip4/8.8.8.8/tcp/4001/p2p/%s", id); /* another peer's */
    addrs[0] = addr(text);
    snprintf(text, sizeof text, "/ip4/8.8.8.8/tcp/4001/p2p/%s/p2p-circuit", id); /* through another relay */
    addrs[1] = addr(text);
    addrs[2] = addr("/ip4/10.0.0.1/tcp/4001"); /* of no use: the relay itself is seen at a public address */
    addrs[3] = addr("/ip4/127.0.0.1/tcp/4001");
    addrs[4] = addr("/ip4/0.0.0.0/tcp/4001");
    m = answer(NOW + 3600, addrs, 5);
    m.reservation.addrs[m.reservation.n_addrs++] = PG_LIT("\xff\xff\xff");
    CU_ASSERT_TRUE(refused_for(&m, "no address"));
    seen = (struct pg_endpoint){.family = 4, .ip = {10, 0, 0, 9}, .port = 1};
    CU_ASSERT_TRUE(judged(&m)); /* in a private network its address there is of use */
    CU_ASSERT_EQUAL(grant.n_addrs, 1);
    seen = (struct pg_endpoint){.family = 4, .ip = {8, 8, 8, 8}, .port = 1};
}

static void four_addresses_are_taken_those_of_tcp_first_and_each_once(void)
{
    struct pg_multiaddr addrs[] = {addr("/ip4/8.8.8.8/udp/4001/quic-v1"), addr("/ip4/8.8.8.8/tcp/4001"), addr("/ip4/8.8.8.8/tcp/4001"),
                                   addr("/dns4/relay.example/tcp/4001"), addr("/ip4/8.8.4.4/tcp/1"), addr("/ip4/8.8.4.4/tcp/2"),
                                   addr("/ip4/8.8.4.4/tcp/3"), addr("/ip4/8.8.4.4/tcp/4")};
    struct pg_pb_hop_message m = answer(NOW + 3600, addrs, 4);
    struct pg_endpoint e;
    CU_ASSERT_TRUE(judged(&m));
    CU_ASSERT_EQUAL(grant.n_addrs, 3);
    m = answer(NOW + 3600, addrs, 8);
    CU_ASSERT_TRUE(judged(&m));
    CU_ASSERT_EQUAL(grant.n_addrs, PG_RESERVATION_ADDRS);
    struct pg_multiaddr first;
    struct pg_peer_id id, peer;
    for (uint32_t i = 0; i < grant.n_addrs; i++)
        CU_ASSERT_TRUE(pg_multiaddr_circuit(&grant.addrs[i], &first, &id, &peer) == PG_OK && pg_multiaddr_tcp(&first, &e, NULL) == PG_OK);
}

int main(void)
{
    static const struct sentence tests[] = {
        {"a reservation without a voucher is used", a_reservation_without_a_voucher_is_used},
        {"a voucher is the relays word for us and for now or nothing is used", a_voucher_is_the_relays_word_for_us_and_for_now_or_nothing_is_used},
        {"a voucher that was changed on the way is not believed", a_voucher_that_was_changed_on_the_way_is_not_believed},
        {"ends in the past in seconds and in a hundred years are not used", ends_in_the_past_in_seconds_and_in_a_hundred_years_are_not_used},
        {"a relay that nobody could dial is not used", a_relay_that_nobody_could_dial_is_not_used},
        {"four addresses are taken those of tcp first and each once", four_addresses_are_taken_those_of_tcp_first_and_each_once},
    };
    seen = (struct pg_endpoint){.family = 4, .ip = {8, 8, 8, 8}, .port = 1};
    relay = pg_identity_new();
    other = pg_identity_new();
    we = pg_identity_new();
    if (!relay || !other || !we)
        return 1;
    int status = RUN_SUITE("reservations", tests);
    pg_identity_free(relay);
    pg_identity_free(other);
    pg_identity_free(we);
    return status;
}
