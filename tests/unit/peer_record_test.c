/* Signed peer records from peers who mean no good: of others, by others, cut, changed; and ours.
 * Run by ctest. Serves libp2p/specs RFC/0002-signed-envelopes.md and RFC/0003-routing-records.md. */
#include "crypto_suite.h"

#include "core/peer_record.h"

#define DOMAIN PG_LIT("libp2p-peer-record")
#define TYPE PG_LIT("\x03\x01")

static struct pg_identity *alice, *mallory;
static struct pg_peer_record record;

static struct pg_multiaddr addr(const char *text)
{
    struct pg_multiaddr a;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&a, pg_text(text)), PG_OK);
    return a;
}

static enum pg_err open_as(const struct pg_identity *who, struct pg_bytes envelope)
{
    uint8_t *exact = exact_copy(envelope.at, envelope.len);
    enum pg_err err = pg_peer_record_open(&record, pg_bytes(exact, envelope.len), pg_identity_peer_id(who));
    free(exact);
    return err;
}

static void a_record_counts_for_its_author_only(void)
{
    uint8_t out[1024];
    struct pg_multiaddr a = addr("/ip4/192.0.2.1/tcp/4001");
    for (int type = PG_KEY_ED25519; type <= PG_KEY_SECP256K1; type++) {
        struct pg_identity *other = pg_identity_new_of((enum pg_key_type)type);
        struct pg_writer w = pg_writer(out, sizeof out);
        CU_ASSERT_TRUE(pg_peer_record_seal(other, 7, &a, 1, &w));
        CU_ASSERT_EQUAL(open_as(other, pg_written(&w)), PG_OK);
        CU_ASSERT_TRUE(record.seq == 7 && record.n_addrs == 1 && pg_multiaddr_equal(&record.addrs[0], &a));
        CU_ASSERT_EQUAL(open_as(mallory, pg_written(&w)), PG_ERR_RECORD_PEER);
        pg_identity_free(other);
    }
}

static void a_record_about_another_peer_under_one_s_own_signature_is_refused(void)
{
    uint8_t payload[256], out[1024];
    struct pg_writer p = pg_writer(payload, sizeof payload), w = pg_writer(out, sizeof out);
    CU_ASSERT_TRUE(pg_peer_record_write(pg_identity_peer_id(alice), 1, NULL, 0, &p));
    CU_ASSERT_TRUE(pg_envelope_seal(mallory, DOMAIN, TYPE, pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_as(mallory, pg_written(&w)), PG_ERR_RECORD_PEER);
    CU_ASSERT_EQUAL(open_as(alice, pg_written(&w)), PG_ERR_RECORD_PEER);
}

static void every_cut_and_every_changed_bit_is_refused(void)
{
    uint8_t out[1024];
    struct pg_multiaddr a = addr("/ip4/192.0.2.1/tcp/4001");
    struct pg_writer w = pg_writer(out, sizeof out);
    CU_ASSERT_TRUE(pg_peer_record_seal(alice, 1, &a, 1, &w));
    for (size_t n = 0; n < w.len; n++)
        CU_ASSERT_NOT_EQUAL(open_as(alice, pg_bytes(out, n)), PG_OK);
    for (size_t at = 0; at < w.len; at++) {
        out[at] ^= 0x04;
        CU_ASSERT_NOT_EQUAL(open_as(alice, pg_written(&w)), PG_OK);
        out[at] ^= 0x04;
    }
    CU_ASSERT_EQUAL(open_as(alice, pg_written(&w)), PG_OK);
}

static void a_signature_for_another_purpose_is_refused(void)
{
    uint8_t payload[256], out[1024];
    struct pg_writer p = pg_writer(payload, sizeof payload), w = pg_writer(out, sizeof out);
    CU_ASSERT_TRUE(pg_peer_record_write(pg_identity_peer_id(alice), 1, NULL, 0, &p));
    CU_ASSERT_TRUE(pg_envelope_seal(alice, PG_LIT("libp2p-routing-state"), TYPE, pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_as(alice, pg_written(&w)), PG_ERR_ENVELOPE_SIGNATURE);
    w = pg_writer(out, sizeof out);
    CU_ASSERT_TRUE(pg_envelope_seal(alice, DOMAIN, PG_LIT("/libp2p/routing-state-record"), pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_as(alice, pg_written(&w)), PG_ERR_ENVELOPE_TYPE);
}

static void more_addresses_than_there_is_room_for_and_broken_ones_are_left_out(void)
{
    static uint8_t payload[PG_ENVELOPE_PAYLOAD_MAX], out[PG_ENVELOPE_PAYLOAD_MAX];
    struct pg_multiaddr a = addr("/ip4/192.0.2.1/tcp/4001");
    struct pg_writer p = pg_writer(payload, sizeof payload), w = pg_writer(out, sizeof out);
    CU_ASSERT_TRUE(pg_peer_record_write(pg_identity_peer_id(alice), UINT64_MAX, NULL, 0, &p));
    pg_put_bytes(&p, PG_LIT("\x1a\x04\x0a\x02\xff\xff")); /* an address that is none */
    for (int i = 0; i < 400; i++) {
        pg_put_u8(&p, 0x1a);
        pg_put_uvarint(&p, a.len + 2u);
        pg_put_u8(&p, 0x0a);
        pg_put_uvarint(&p, a.len);
        pg_put_bytes(&p, pg_bytes(a.at, a.len));
    }
    CU_ASSERT_FALSE_FATAL(p.failed);
    CU_ASSERT_TRUE(pg_envelope_seal(alice, DOMAIN, TYPE, pg_written(&p), &w));
    CU_ASSERT_EQUAL(open_as(alice, pg_written(&w)), PG_OK);
    CU_ASSERT_TRUE(record.seq == UINT64_MAX && record.n_addrs == PG_RECORD_ADDRS - 1);
}

static void what_does_not_fit_is_not_sealed(void)
{
    static uint8_t big[PG_ENVELOPE_PAYLOAD_MAX + 1], out[2 * PG_ENVELOPE_PAYLOAD_MAX];
    struct pg_writer w = pg_writer(out, sizeof out);
    CU_ASSERT_FALSE(pg_envelope_seal(alice, DOMAIN, TYPE, pg_bytes(big, sizeof big), &w));
    w = pg_writer(out, 50);
    CU_ASSERT_FALSE(pg_envelope_seal(alice, DOMAIN, TYPE, PG_LIT("payload"), &w));
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a record counts for its author only", a_record_counts_for_its_author_only},
        {"a record about another peer under one's own signature is refused",
         a_record_about_another_peer_under_one_s_own_signature_is_refused},
        {"every cut and every changed bit is refused", every_cut_and_every_changed_bit_is_refused},
        {"a signature for another purpose is refused", a_signature_for_another_purpose_is_refused},
        {"more addresses than there is room for, and broken ones, are left out",
         more_addresses_than_there_is_room_for_and_broken_ones_are_left_out},
        {"what does not fit is not sealed", what_does_not_fit_is_not_sealed},
    };
    alice = pg_identity_new();
    mallory = pg_identity_new();
    if (!alice || !mallory)
        return 1;
    int status = RUN_SUITE("signed peer records", sentences);
    pg_identity_free(alice);
    pg_identity_free(mallory);
    return status;
}
