/* Keys and peer ids beyond the libraries' vectors: broken protobufs, forged signatures, every truncation.
 * Run by ctest. Serves libp2p/specs peer-ids/peer-ids.md. */
#include "crypto_suite.h"

#include "crypto/keys.h"
#include "mem/secret.h"

static const uint8_t seed[32] = {1, 2, 3, 4, 5, 6, 7, 8};

static void a_fresh_identity_is_unlike_any_other_and_survives_writing_and_reading(void)
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX];
    char text[PG_PEER_ID_TEXT];
    struct pg_identity *a = pg_identity_new(), *b = pg_identity_new(), *back = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_FALSE(pg_peer_id_equal(pg_identity_peer_id(a), pg_identity_peer_id(b)));
    CU_ASSERT_EQUAL(pg_identity_protobuf(a, proto), 68);
    CU_ASSERT_EQUAL(memcmp(proto, "\x08\x01\x12\x40", 4), 0);
    CU_ASSERT_EQUAL_FATAL(pg_identity_read(&back, pg_bytes(proto, sizeof proto)), PG_OK);
    CU_ASSERT_TRUE(pg_peer_id_equal(pg_identity_peer_id(a), pg_identity_peer_id(back)));
    CU_ASSERT_EQUAL(pg_peer_id_text(pg_identity_peer_id(a), text), 52);
    CU_ASSERT_EQUAL(memcmp(text, "12D3KooW", 8), 0);
    pg_identity_free(a);
    pg_identity_free(b);
    pg_identity_free(back);
    pg_identity_free(NULL);
    CU_ASSERT_EQUAL(pg_secrets_held(), 0);
}

static void a_signature_holds_for_its_message_and_key_only(void)
{
    uint8_t sig[PG_SIGNATURE_MAX];
    struct pg_identity *a = pg_identity_from_seed(seed), *b = pg_identity_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    const struct pg_public_key *key = pg_identity_public(a);
    CU_ASSERT_EQUAL(pg_sign(a, PG_LIT("text"), sig), 64);
    CU_ASSERT_TRUE(pg_verify(key, PG_LIT("text"), pg_bytes(sig, 64)));
    CU_ASSERT_FALSE(pg_verify(key, PG_LIT("texT"), pg_bytes(sig, 64)));
    CU_ASSERT_FALSE(pg_verify(pg_identity_public(b), PG_LIT("text"), pg_bytes(sig, 64)));
    CU_ASSERT_FALSE(pg_verify(key, PG_LIT("text"), pg_bytes(sig, 63)));
    CU_ASSERT_FALSE(pg_verify(key, PG_LIT("text"), PG_NONE));
    for (size_t i = 0; i < 64; i++) {
        sig[i] ^= 1;
        CU_ASSERT_FALSE(pg_verify(key, PG_LIT("text"), pg_bytes(sig, 64)));
        sig[i] ^= 1;
    }
    pg_sign(a, PG_NONE, sig);
    CU_ASSERT_TRUE(pg_verify(key, PG_NONE, pg_bytes(sig, 64)));
    struct pg_public_key none = {0};
    CU_ASSERT_FALSE(pg_verify(&none, PG_NONE, pg_bytes(sig, 64)));
    pg_identity_free(a);
    pg_identity_free(b);
}

static void a_key_of_low_order_verifies_nothing(void)
{
    struct pg_public_key key;
    uint8_t proto[36] = {0x08, 0x01, 0x12, 0x20, 1}, sig[64] = {1}; /* the neutral point, as key and in the signature */
    CU_ASSERT_EQUAL(pg_public_key_read(&key, pg_bytes(proto, sizeof proto)), PG_OK);
    CU_ASSERT_FALSE(pg_verify(&key, PG_LIT("anything"), pg_bytes(sig, sizeof sig)));
}

static enum pg_err public_hex(const char *hex)
{
    struct pg_public_key key;
    size_t len;
    uint8_t *bytes = unhex(hex, &len);
    enum pg_err err = pg_public_key_read(&key, pg_bytes(bytes, len));
    if (err != PG_OK)
        CU_ASSERT_EQUAL(pg_public_key_protobuf(&key).len, 0);
    free(bytes);
    return err;
}

#define X32 "1111111111111111111111111111111111111111111111111111111111111111"

static void broken_public_keys_are_refused(void)
{
    CU_ASSERT_EQUAL(public_hex("08011220" X32), PG_OK);
    CU_ASSERT_EQUAL(public_hex("1220" X32 "0801"), PG_OK);
    CU_ASSERT_EQUAL(public_hex(""), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("0801"), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("1220" X32), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("08011221" X32 "11"), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("08011220" X32 "13"), PG_ERR_PUBLIC_KEY_BAD);    /* a group begins */
    CU_ASSERT_EQUAL(public_hex("080112ffffffff0f" X32), PG_ERR_PUBLIC_KEY_BAD); /* length past the end */
    CU_ASSERT_EQUAL(public_hex("0804120101"), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("0800120101"), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("08021221" X32 "11"), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(public_hex("0803120101"), PG_ERR_PUBLIC_KEY_BAD);
}

static void every_truncation_and_every_changed_public_half_of_a_private_key_is_refused(void)
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX];
    struct pg_identity *a = pg_identity_from_seed(seed), *back;
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    pg_identity_protobuf(a, proto);
    for (size_t len = 0; len < sizeof proto; len++) {
        uint8_t *cut = exact_copy(proto, len);
        CU_ASSERT_EQUAL(pg_identity_read(&back, pg_bytes(cut, len)), PG_ERR_KEY_BAD);
        CU_ASSERT_PTR_NULL(back);
        free(cut);
    }
    for (size_t i = 4; i < sizeof proto; i++) {
        proto[i] ^= 0x10;
        CU_ASSERT_EQUAL(pg_identity_read(&back, pg_bytes(proto, sizeof proto)), PG_ERR_KEY_BAD);
        proto[i] ^= 0x10;
    }
    uint8_t old[4 + 96] = {0x08, 0x01, 0x12, 0x60};
    memcpy(old + 4, proto + 4, 64);
    memcpy(old + 68, proto + 36, 32);
    CU_ASSERT_EQUAL(pg_identity_read(&back, pg_bytes(old, sizeof old)), PG_OK);
    pg_identity_free(back);
    old[99] ^= 1;
    CU_ASSERT_EQUAL(pg_identity_read(&back, pg_bytes(old, sizeof old)), PG_ERR_KEY_BAD);
    for (uint8_t other = 0; other < 4; other++) { /* of 64 bytes there is ed25519 only; RSA and ECDSA cannot be ours */
        proto[1] = other;
        if (other == PG_KEY_ED25519)
            continue;
        enum pg_err why = other == PG_KEY_SECP256K1 ? PG_ERR_KEY_BAD : PG_ERR_KEY_UNSUPPORTED;
        CU_ASSERT_EQUAL(pg_identity_read(&back, pg_bytes(proto, sizeof proto)), why);
    }
    pg_identity_free(a);
}

static const char *const ids[] = {
    "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
    "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324",
    "k2k4r8l9vr4mu0a7r6oma9tmhnadwfhmaoxsdp0qe7idkh0ex1ynmzsa",
};

static void every_truncation_and_lengthening_of_a_peer_id_s_text_is_refused(void)
{
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct pg_peer_id id, back;
        char text[PG_PEER_ID_TEXT], longer[96];
        size_t len = strlen(ids[i]);
        CU_ASSERT_EQUAL(pg_peer_id_parse(&id, pg_text(ids[i])), PG_OK);
        CU_ASSERT_TRUE(pg_peer_id_text(&id, text) > 0);
        CU_ASSERT_TRUE(pg_peer_id_parse(&back, pg_text(text)) == PG_OK && pg_peer_id_equal(&id, &back));
        for (size_t n = 0; n < len; n++) {
            uint8_t *cut = exact_copy(ids[i], n);
            CU_ASSERT_EQUAL(pg_peer_id_parse(&back, pg_bytes(cut, n)), PG_ERR_PEER_ID_BAD);
            CU_ASSERT_EQUAL(back.len, 0);
            free(cut);
        }
        for (const char *more = "1a /\n-"; *more; more++) {
            snprintf(longer, sizeof longer, "%s%c", ids[i], *more);
            CU_ASSERT_EQUAL(pg_peer_id_parse(&back, pg_text(longer)), PG_ERR_PEER_ID_BAD);
            snprintf(longer, sizeof longer, "%c%s", *more, ids[i]);
            CU_ASSERT_EQUAL(pg_peer_id_parse(&back, pg_text(longer)), PG_ERR_PEER_ID_BAD);
        }
        for (size_t n = 0; n < id.len; n++)
            CU_ASSERT_EQUAL(pg_peer_id_read(&back, pg_bytes(id.at, n)), PG_ERR_PEER_ID_BYTES_BAD);
    }
}

static void peer_ids_of_mixed_alphabets_are_refused(void)
{
    struct pg_peer_id id;
    /* Base58 where a CID is, a CID in capitals, letters that base58 leaves out. */
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, PG_LIT("b12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5")), PG_ERR_PEER_ID_BAD);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, PG_LIT("BAFZAAJAIAEJCBCUI4POXICPRSX6VFWZNHS5F24WKM4E36HMUCIN7G5EIAG2A6324")),
                    PG_ERR_PEER_ID_BAD);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, PG_LIT("12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPHO")), PG_ERR_PEER_ID_BAD);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, PG_LIT("112D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5")), PG_ERR_PEER_ID_BAD);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, pg_bytes("12D3\0KooW", 9)), PG_ERR_PEER_ID_BAD);
}

static void hashes_other_than_sha256_and_identity_of_a_key_are_refused(void)
{
    struct pg_peer_id id;
    uint8_t hash[64] = {0x00, 0x00};
    CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(hash, 2)), PG_ERR_PEER_ID_BYTES_BAD);
    for (uint8_t len = 1; len <= 60; len++) {
        hash[1] = len;
        hash[0] = 0x12;
        CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(hash, 2u + len)), len == 32 ? PG_OK : PG_ERR_PEER_ID_BYTES_BAD);
        hash[0] = 0x11;
        CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(hash, 2u + len)), PG_ERR_PEER_ID_BYTES_BAD);
        hash[0] = 0x00; /* zeros are no key */
        CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(hash, 2u + len)), PG_ERR_PEER_ID_BYTES_BAD);
        if (len < 5)
            continue;
        uint8_t key[64] = {0x00, len, 0x08, 0x03, 0x12, (uint8_t)(len - 4)}; /* an ECDSA key of any length */
        CU_ASSERT_EQUAL(pg_peer_id_read(&id, pg_bytes(key, 2u + len)), len <= 42 ? PG_OK : PG_ERR_PEER_ID_BYTES_BAD);
    }
}

static void the_key_inside_an_ed25519_id_can_be_had_and_of_a_hash_not(void)
{
    struct pg_peer_id id, again;
    struct pg_public_key key;
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&id, pg_text(ids[0])), PG_OK);
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_key(&id, &key), PG_OK);
    pg_peer_id_from_key(&again, &key);
    CU_ASSERT_TRUE(pg_peer_id_equal(&id, &again));
    CU_ASSERT_EQUAL(pg_public_key_raw(&key).len, 32);
    CU_ASSERT_EQUAL(pg_peer_id_parse(&id, pg_text(ids[1])), PG_OK);
    CU_ASSERT_EQUAL(pg_peer_id_key(&id, &key), PG_ERR_KEY_UNSUPPORTED);
}

static void none_prints_as_nothing(void)
{
    struct pg_peer_id none = {0};
    char text[PG_PEER_ID_TEXT] = "x";
    CU_ASSERT_EQUAL(pg_peer_id_text(&none, text), 0);
    CU_ASSERT_STRING_EQUAL(text, "");
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a fresh identity is unlike any other and survives writing and reading",
         a_fresh_identity_is_unlike_any_other_and_survives_writing_and_reading},
        {"a signature holds for its message and key only", a_signature_holds_for_its_message_and_key_only},
        {"a key of low order verifies nothing", a_key_of_low_order_verifies_nothing},
        {"broken public keys are refused", broken_public_keys_are_refused},
        {"every truncation and every changed public half of a private key is refused",
         every_truncation_and_every_changed_public_half_of_a_private_key_is_refused},
        {"every truncation and lengthening of a peer id's text is refused",
         every_truncation_and_lengthening_of_a_peer_id_s_text_is_refused},
        {"peer ids of mixed alphabets are refused", peer_ids_of_mixed_alphabets_are_refused},
        {"hashes other than SHA-256 and identity of a key are refused",
         hashes_other_than_sha256_and_identity_of_a_key_are_refused},
        {"the key inside an ed25519 id can be had, and of a hash not", the_key_inside_an_ed25519_id_can_be_had_and_of_a_hash_not},
        {"none prints as nothing", none_prints_as_nothing},
    };
    return RUN_SUITE("keys and peer ids", sentences);
}
