/* Keys of the other types, from peers who mean no good: what is refused, and what a signature must be.
 * Run by ctest. Serves libp2p/specs peer-ids/peer-ids.md, "Key Types". Good keys and signatures of
 * every type are those of tests/vectors.json. */
#include "crypto_suite.h"

#include "crypto/keys.h"
#include "mem/secret.h"

/* DER with the shortest length, in front of what is in out already: returns the new length. */
static size_t wrap(uint8_t *out, size_t len, uint8_t tag)
{
    size_t head = len < 0x80 ? 2 : len < 0x100 ? 3 : 4;
    memmove(out + head, out, len);
    out[0] = tag;
    out[1] = (uint8_t)(head == 2 ? len : 0x80 + head - 2);
    if (head == 3)
        out[2] = (uint8_t)len;
    if (head == 4) {
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
    }
    return len + head;
}

/* A number whose highest and lowest bits are given. */
static size_t number(uint8_t *out, size_t bits, bool odd)
{
    size_t bytes = bits / 8 + 1;
    memset(out, 0x5a, bytes);
    out[0] = (uint8_t)(1u << bits % 8 >> 1);
    if (bits % 8 == 0)
        out[1] |= 0x80;
    else
        out[1] &= 0x7f;
    out[bytes - 1] = (uint8_t)((out[bytes - 1] & 0xfe) | odd);
    return wrap(out, bytes, 0x02);
}

static size_t rsa(uint8_t *out, size_t bits, size_t e_bits, bool odd)
{
    static const uint8_t algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
    size_t n = number(out, bits, odd);
    n += number(out + n, e_bits, true);
    n = wrap(out, n, 0x30);
    memmove(out + 1, out, n);
    out[0] = 0;
    n = wrap(out, n + 1, 0x03);
    memmove(out + sizeof algorithm, out, n);
    memcpy(out, algorithm, sizeof algorithm);
    return wrap(out, n + sizeof algorithm, 0x30);
}

static enum pg_err read_as(enum pg_key_type type, const uint8_t *data, size_t len, struct pg_public_key *key)
{
    uint8_t *proto = malloc(len + 16);
    if (!proto)
        abort();
    size_t n = 0;
    proto[n++] = 0x08;
    proto[n++] = (uint8_t)type;
    proto[n++] = 0x12;
    size_t left = len;
    for (; left >= 0x80; left >>= 7)
        proto[n++] = (uint8_t)(left | 0x80);
    proto[n++] = (uint8_t)left;
    if (len)
        memcpy(proto + n, data, len);
    n += len;
    uint8_t *exact = exact_copy(proto, n);
    enum pg_err err = pg_public_key_read(key, pg_bytes(exact, n));
    if (err == PG_OK)
        CU_ASSERT_TRUE(pg_bytes_equal(pg_public_key_protobuf(key), pg_bytes(exact, n)));
    free(exact);
    free(proto);
    return err;
}

static void rsa_is_taken_from_2048_to_8192_bits_and_refused_by_length_otherwise(void)
{
    static const size_t bits[] = {512, 1024, 2040, 2047, 2048, 2049, 3072, 4096, 8184, 8191, 8192, 8193, 8200, 16384};
    static uint8_t der[4096];
    struct pg_public_key key;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        size_t len = rsa(der, bits[i], 17, true);
        enum pg_err wanted = bits[i] >= 2048 && bits[i] <= 8192 ? PG_OK : PG_ERR_PUBLIC_KEY_BAD;
        CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, der, len, &key), wanted);
        if (wanted == PG_OK) { /* a made-up key verifies nothing, and does not stop us */
            CU_ASSERT_FALSE(pg_verify(&key, PG_LIT("text"), pg_bytes(der, bits[i] / 8)));
            CU_ASSERT_FALSE(pg_verify(&key, PG_LIT("text"), PG_NONE));
        }
    }
}

static void rsa_exponents_beyond_31_bits_and_even_numbers_are_refused(void)
{
    static uint8_t der[4096];
    struct pg_public_key key;
    for (size_t e = 2; e <= 64; e++)
        CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, der, rsa(der, 2048, e, true), &key), e <= 31 ? PG_OK : PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, der, rsa(der, 2048, 17, false), &key), PG_ERR_PUBLIC_KEY_BAD);
}

static void every_truncation_and_any_other_form_of_an_rsa_key_is_refused(void)
{
    static uint8_t der[4096], other[4096];
    struct pg_public_key key;
    size_t len = rsa(der, 2048, 17, true);
    for (size_t cut = 0; cut < len; cut++)
        CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, der, cut, &key), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, der, len + 1, &key), PG_ERR_PUBLIC_KEY_BAD);
    for (size_t at = 0; at < 32; at++) /* up to the modulus every byte can only be what it is */
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(other, der, len);
            other[at] ^= (uint8_t)(1u << bit);
            CU_ASSERT_EQUAL(read_as(PG_KEY_RSA, other, len, &key), PG_ERR_PUBLIC_KEY_BAD);
        }
    CU_ASSERT_EQUAL(read_as(PG_KEY_ECDSA, der, len, &key), PG_ERR_PUBLIC_KEY_BAD);
    CU_ASSERT_EQUAL(read_as(PG_KEY_SECP256K1, der, len, &key), PG_ERR_PUBLIC_KEY_BAD);
}

static void a_key_of_a_mebibyte_is_refused_whatever_its_type(void)
{
    size_t len = (1 << 20) + 6;
    uint8_t *proto = calloc(1, len);
    struct pg_public_key key;
    if (!proto)
        abort();
    for (uint8_t type = 0; type < 4; type++) {
        memcpy(proto, (uint8_t[6]){0x08, type, 0x12, 0x80, 0x80, 0x40}, 6);
        CU_ASSERT_EQUAL(pg_public_key_read(&key, pg_bytes(proto, len)), PG_ERR_PUBLIC_KEY_BAD);
        struct pg_identity *identity;
        CU_ASSERT_EQUAL(pg_identity_read(&identity, pg_bytes(proto, len)), PG_ERR_KEY_BAD);
    }
    free(proto);
}

#define SECP256K1 "037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
#define P256                                                                                                                     \
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d" \
    "5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"

static struct pg_public_key known_key(enum pg_key_type type, const char *hex)
{
    struct pg_public_key key;
    size_t len;
    uint8_t *bytes = unhex(hex, &len);
    CU_ASSERT_EQUAL_FATAL(read_as(type, bytes, len, &key), PG_OK);
    free(bytes);
    return key;
}

static bool verifies(const struct pg_public_key *key, const char *hex)
{
    size_t len;
    uint8_t *bytes = unhex(hex, &len);
    bool good = pg_verify(key, PG_LIT("hello libp2p"), pg_bytes(bytes, len));
    free(bytes);
    return good;
}

#define R "89318e27829b5f402abb88b832687c1d7150c3fbb35d0019eb9922f1255c164d"
#define S "2701329f3ce6e68a0f15b009f37f0f5b3daf5bd52bd17322e2ec3b3bc7a64aab"
#define ORDER "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"

static void a_secp256k1_signature_has_one_form(void)
{
    struct pg_public_key key = known_key(PG_KEY_SECP256K1, SECP256K1);
    CU_ASSERT_TRUE(verifies(&key, "3045022100" R "0220" S));
    static const char *const others[] = {
        "3046022100" R "022100d8fecd60c3191975f0ea4ff60c80f0a37cff811183772d18dce62351088ff696", /* high s */
        "30250201000220" S,                                                                      /* r is zero */
        "3026022100" R "020100",                                                                 /* s is zero */
        "3006020100020100",                                                                      /* both are */
        "3045022100" ORDER "0220" S,                                                             /* r is the order */
        "304502210189318e27829b5f402abb88b832687c1c2bffa0e262a5a055ab6b817df592578e0220" S,      /* r and once the order */
        "30440220" R "0220" S,                                                                   /* a negative r */
        "304602220000" R "0220" S,                                                               /* a zero too many */
        "308145022100" R "0220" S,                                                               /* a long length */
        "3045022100" R "0220" S "00",                                                            /* something behind */
        "3146022100" R "0220" S,                                                                 /* a set */
        "3044022100" R "0220" S,                                                                 /* too short a length */
        "3046022100" R "0220" S,                                                                 /* too long a length */
        "3080022100" R "0220" S "0000",                                                          /* no length */
        R S,                                                                                     /* no DER */
        "30",
        "",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CU_ASSERT_FALSE(verifies(&key, others[i]));
}

#define P_R "4dfe2ddeebf7f33d06af40173f876b4cb44546d0f7c68557392d28b25b891f1b"
#define P_LOW "728a9135772cf7bba005d4a5005b6a8620820b4e84676d0b627517163ffa9c9b"
#define P_HIGH "8d756ec988d308455ffa2b5affa495799c64ef5f22b031799144b3acbc6888b6"

static void an_ecdsa_signature_may_have_a_high_s_and_is_strict_der(void)
{
    struct pg_public_key key = known_key(PG_KEY_ECDSA, P256);
    CU_ASSERT_TRUE(verifies(&key, "30440220" P_R "0220" P_LOW));
    CU_ASSERT_TRUE(verifies(&key, "30450220" P_R "022100" P_HIGH));
    static const char *const others[] = {
        "30440220" P_R "0220" P_HIGH,     "302502010002" "20" P_LOW, "30250220" P_R "020100", "3006020100020100",
        "3045022100" P_R "0220" P_LOW,    "30440220" P_R "0220" P_LOW "00", "3081440220" P_R "0220" P_LOW,
        "30800220" P_R "0220" P_LOW "0000", P_R P_LOW, "",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CU_ASSERT_FALSE(verifies(&key, others[i]));
}

static void points_off_the_curve_verify_nothing_and_other_curves_are_refused(void)
{
    struct pg_public_key key;
    size_t len;
    uint8_t *p256 = unhex(P256, &len), *point = unhex(SECP256K1, &len);
    p256[90] ^= 1;
    CU_ASSERT_EQUAL(read_as(PG_KEY_ECDSA, p256, 91, &key), PG_OK);
    CU_ASSERT_FALSE(verifies(&key, "30440220" P_R "0220" P_LOW));
    for (size_t at = 0; at < 27; at++) { /* what stands before the point names P-256 */
        p256[at] ^= 1;
        CU_ASSERT_EQUAL(read_as(PG_KEY_ECDSA, p256, 91, &key), PG_ERR_PUBLIC_KEY_BAD);
        p256[at] ^= 1;
    }
    CU_ASSERT_EQUAL(read_as(PG_KEY_ECDSA, p256, 90, &key), PG_ERR_PUBLIC_KEY_BAD);
    for (unsigned head = 0; head < 256; head++) {
        point[0] = (uint8_t)head;
        CU_ASSERT_EQUAL(read_as(PG_KEY_SECP256K1, point, 33, &key), head == 2 || head == 3 ? PG_OK : PG_ERR_PUBLIC_KEY_BAD);
    }
    point[0] = 3;
    memset(point + 1, 0xff, 32); /* not below the field's prime */
    CU_ASSERT_EQUAL(read_as(PG_KEY_SECP256K1, point, 33, &key), PG_ERR_PUBLIC_KEY_BAD);
    free(p256);
    free(point);
}

static void the_long_form_of_a_secp256k1_key_names_the_same_peer(void)
{
    static const char text[] = "08021241" "047777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
                               "15ed53e4edcd28dd06d9b57f4f79fa10c69a9a1c4c2d2c7a1c0b9d5b0a1f1b01";
    struct pg_public_key key;
    size_t len;
    uint8_t *bytes = unhex(text, &len);
    /* That y is made up: no point. */
    CU_ASSERT_EQUAL(pg_public_key_read(&key, pg_bytes(bytes, len)), PG_ERR_PUBLIC_KEY_BAD);
    free(bytes);
    /* The generator of the group, both ways (SEC 2, section 2.4.1). */
    bytes = unhex("0802124104" "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
                  "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8", &len);
    CU_ASSERT_EQUAL(pg_public_key_read(&key, pg_bytes(bytes, len)), PG_OK);
    free(bytes);
    struct pg_public_key compact =
        known_key(PG_KEY_SECP256K1, "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    CU_ASSERT_TRUE(pg_bytes_equal(pg_public_key_protobuf(&key), pg_public_key_protobuf(&compact)));
}

static void a_secp256k1_identity_is_written_read_and_known_by_its_prefix(void)
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX], signature[PG_SIGNATURE_MAX];
    char text[PG_PEER_ID_TEXT];
    for (int i = 0; i < 50; i++) {
        struct pg_identity *a = pg_identity_new_of(PG_KEY_SECP256K1), *back;
        CU_ASSERT_PTR_NOT_NULL_FATAL(a);
        size_t len = pg_identity_protobuf(a, proto);
        CU_ASSERT_EQUAL(len, 36);
        CU_ASSERT_EQUAL_FATAL(pg_identity_read(&back, pg_bytes(proto, len)), PG_OK);
        CU_ASSERT_TRUE(pg_peer_id_equal(pg_identity_peer_id(a), pg_identity_peer_id(back)));
        pg_peer_id_text(pg_identity_peer_id(a), text);
        CU_ASSERT_EQUAL(memcmp(text, "16Uiu2HA", 8), 0);
        size_t sig_len = pg_sign(a, pg_bytes(proto, len), signature);
        CU_ASSERT_TRUE(sig_len > 0 && sig_len <= sizeof signature);
        CU_ASSERT_TRUE(pg_verify(pg_identity_public(back), pg_bytes(proto, len), pg_bytes(signature, sig_len)));
        pg_identity_free(a);
        pg_identity_free(back);
    }
    CU_ASSERT_EQUAL(pg_secrets_held(), 0);
}

static void zero_and_the_order_are_no_secp256k1_secrets(void)
{
    struct pg_identity *identity;
    size_t len;
    uint8_t zero[32] = {0}, *order = unhex(ORDER, &len);
    CU_ASSERT_EQUAL(pg_identity_from_secret(&identity, PG_KEY_SECP256K1, zero), PG_ERR_KEY_BAD);
    CU_ASSERT_EQUAL(pg_identity_from_secret(&identity, PG_KEY_SECP256K1, order), PG_ERR_KEY_BAD);
    order[31]--;
    CU_ASSERT_EQUAL(pg_identity_from_secret(&identity, PG_KEY_SECP256K1, order), PG_OK);
    pg_identity_free(identity);
    CU_ASSERT_EQUAL(pg_identity_from_secret(&identity, PG_KEY_RSA, order), PG_ERR_KEY_UNSUPPORTED);
    CU_ASSERT_EQUAL(pg_identity_from_secret(&identity, PG_KEY_ECDSA, order), PG_ERR_KEY_UNSUPPORTED);
    free(order);
    CU_ASSERT_EQUAL(pg_secrets_held(), 0);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"RSA is taken from 2048 to 8192 bits and refused by length otherwise",
         rsa_is_taken_from_2048_to_8192_bits_and_refused_by_length_otherwise},
        {"RSA exponents beyond 31 bits and even numbers are refused", rsa_exponents_beyond_31_bits_and_even_numbers_are_refused},
        {"every truncation and any other form of an RSA key is refused",
         every_truncation_and_any_other_form_of_an_rsa_key_is_refused},
        {"a key of a mebibyte is refused whatever its type", a_key_of_a_mebibyte_is_refused_whatever_its_type},
        {"a secp256k1 signature has one form", a_secp256k1_signature_has_one_form},
        {"an ECDSA signature may have a high s and is strict DER", an_ecdsa_signature_may_have_a_high_s_and_is_strict_der},
        {"points off the curve verify nothing and other curves are refused",
         points_off_the_curve_verify_nothing_and_other_curves_are_refused},
        {"the long form of a secp256k1 key names the same peer", the_long_form_of_a_secp256k1_key_names_the_same_peer},
        {"a secp256k1 identity is written, read and known by its prefix",
         a_secp256k1_identity_is_written_read_and_known_by_its_prefix},
        {"zero and the order are no secp256k1 secrets", zero_and_the_order_are_no_secp256k1_secrets},
    };
    return RUN_SUITE("keys of other types", sentences);
}
