/* Vouchers from relays and peers who mean no good, or whose clocks differ. Run by ctest.
 * Serves libp2p/specs relay/circuit-v2.md, "Reservation Vouchers". */
#include "crypto_suite.h"

#include "core/voucher.h"

#define DOMAIN PG_LIT("libp2p-relay-rsvp")
#define TYPE PG_LIT("\x03\x02")

static struct pg_identity *relay, *peer, *mallory;
static uint8_t text[1024];

static const struct pg_peer_id *id(const struct pg_identity *who)
{
    return pg_identity_peer_id(who);
}

static struct pg_bytes sealed(const struct pg_identity *by, const struct pg_identity *names, uint64_t until)
{
    uint8_t payload[256];
    struct pg_writer p = pg_writer(payload, sizeof payload), w = pg_writer(text, sizeof text);
    CU_ASSERT_TRUE(pg_voucher_write(id(names), id(peer), until, &p));
    CU_ASSERT_TRUE(pg_envelope_seal(by, DOMAIN, TYPE, pg_written(&p), &w));
    return pg_written(&w);
}

static enum pg_err open_at(struct pg_bytes envelope, uint64_t now_s)
{
    uint64_t until;
    uint8_t *exact = exact_copy(envelope.at, envelope.len);
    enum pg_err err = pg_voucher_open(pg_bytes(exact, envelope.len), id(relay), id(peer), now_s, &until);
    CU_ASSERT_EQUAL(until > 0, err == PG_OK);
    free(exact);
    return err;
}

static void a_voucher_is_good_until_its_time_is_over(void)
{
    for (int type = PG_KEY_ED25519; type <= PG_KEY_SECP256K1; type++) {
        struct pg_identity *other = pg_identity_new_of((enum pg_key_type)type);
        struct pg_writer w = pg_writer(text, sizeof text);
        uint64_t until;
        CU_ASSERT_TRUE(pg_voucher_seal(other, id(peer), 1000, &w));
        CU_ASSERT_EQUAL(pg_voucher_open(pg_written(&w), id(other), id(peer), 999, &until), PG_OK);
        CU_ASSERT_EQUAL(until, 1000);
        CU_ASSERT_EQUAL(pg_voucher_open(pg_written(&w), id(other), id(peer), 1000, &until), PG_ERR_VOUCHER_EXPIRED);
        pg_identity_free(other);
    }
}

static void a_voucher_counts_for_the_relay_that_signs_it_and_the_peer_in_it(void)
{
    uint64_t until;
    CU_ASSERT_EQUAL(open_at(sealed(relay, relay, 1000), 1), PG_OK);
    CU_ASSERT_EQUAL(open_at(sealed(mallory, relay, 1000), 1), PG_ERR_VOUCHER_RELAY);
    CU_ASSERT_EQUAL(open_at(sealed(relay, mallory, 1000), 1), PG_ERR_VOUCHER_RELAY);
    CU_ASSERT_EQUAL(pg_voucher_open(sealed(relay, relay, 1000), id(relay), id(mallory), 1, &until), PG_ERR_VOUCHER_PEER);
}

static void a_signature_for_another_purpose_is_no_voucher(void)
{
    uint8_t payload[256];
    struct pg_writer p = pg_writer(payload, sizeof payload), w = pg_writer(text, sizeof text);
    CU_ASSERT_TRUE(pg_voucher_write(id(relay), id(peer), 1000, &p));
    CU_ASSERT_TRUE(pg_envelope_seal(relay, PG_LIT("libp2p-peer-record"), TYPE, pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_at(pg_written(&w), 1), PG_ERR_ENVELOPE_SIGNATURE);
    w = pg_writer(text, sizeof text);
    CU_ASSERT_TRUE(pg_envelope_seal(relay, DOMAIN, PG_LIT("\x03\x01"), pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_at(pg_written(&w), 1), PG_ERR_ENVELOPE_TYPE);
}

static void every_cut_and_every_changed_bit_is_refused(void)
{
    struct pg_bytes whole = sealed(relay, relay, 1000);
    for (size_t n = 0; n < whole.len; n++)
        CU_ASSERT_NOT_EQUAL(open_at(pg_bytes(text, n), 1), PG_OK);
    for (size_t at = 0; at < whole.len; at++) {
        text[at] ^= 0x04;
        CU_ASSERT_NOT_EQUAL(open_at(whole, 1), PG_OK);
        text[at] ^= 0x04;
    }
    CU_ASSERT_EQUAL(open_at(whole, 1), PG_OK);
}

static void a_voucher_without_fields_is_refused(void)
{
    struct pg_writer w = pg_writer(text, sizeof text);
    CU_ASSERT_TRUE(pg_envelope_seal(relay, DOMAIN, TYPE, PG_LIT("\x18\x05"), &w));
    CU_ASSERT_EQUAL(open_at(pg_written(&w), 1), PG_ERR_VOUCHER_RELAY);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a voucher is good until its time is over", a_voucher_is_good_until_its_time_is_over},
        {"a voucher counts for the relay that signs it, and the peer in it",
         a_voucher_counts_for_the_relay_that_signs_it_and_the_peer_in_it},
        {"a signature for another purpose is no voucher", a_signature_for_another_purpose_is_no_voucher},
        {"every cut and every changed bit is refused", every_cut_and_every_changed_bit_is_refused},
        {"a voucher without fields is refused", a_voucher_without_fields_is_refused},
    };
    relay = pg_identity_new();
    peer = pg_identity_new();
    mallory = pg_identity_new();
    if (!relay || !peer || !mallory)
        return 1;
    int status = RUN_SUITE("vouchers", sentences);
    pg_identity_free(relay);
    pg_identity_free(peer);
    pg_identity_free(mallory);
    return status;
}
