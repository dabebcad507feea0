/* Keys: public keys and what they verify, our own pair and what it signs.
 * Called by Noise, identify, records and the command line; peer ids are in peer_id.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Keys". */
#include "crypto/keys.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "crypto/oracle.h"
#include "crypto/pkix.h"
#include "crypto/secp256k1.h"
#include "keys.pb.gen.h"
#include "mem/secret.h"

#define RAW_LEN crypto_sign_PUBLICKEYBYTES  /* 32 */
#define SECRET_LEN 32                       /* seed, or secret number */
#define PAIR_LEN crypto_sign_SECRETKEYBYTES /* 64: seed, then public key */

static_assert((int)PG_KEY_ED25519 == (int)PG_PB_KEY_TYPE_ED25519 && (int)PG_KEY_ECDSA == (int)PG_PB_KEY_TYPE_ECDSA,
              "one numbering");
static_assert(PG_SIGNATURE_MAX >= crypto_sign_BYTES && SECRET_LEN == crypto_sign_SEEDBYTES, "ed25519");
static_assert(SECRET_LEN == PG_SECP256K1_SECRET && PG_PUBLIC_PROTO_MAX == 5 + PG_PKIX_MAX, "the others");
static_assert(PAIR_LEN <= PG_SECRET_ROOM, "a key pair fits a slot");

struct pg_identity {
    struct pg_secret secret; /* ed25519: seed and public key, as libsodium signs with; secp256k1: the number */
    struct pg_public_key public_key;
    struct pg_peer_id id;
};

static void public_key_set(struct pg_public_key *key, enum pg_key_type type, struct pg_bytes raw)
{
    struct pg_pb_public_key message = {.has_type = true, .type = (int)type, .has_data = true, .data = raw};
    key->type = type;
    key->len_raw = (uint16_t)raw.len;
    struct pg_writer w = pg_writer(key->proto, sizeof key->proto);
    pg_pb_public_key_write(&message, &w);
    assert(!w.failed);
    key->len_proto = (uint16_t)w.len;
}

enum pg_err pg_public_key_read(struct pg_public_key *key, struct pg_bytes protobuf)
{
    struct pg_pb_public_key message;
    uint8_t point[PG_SECP256K1_PUBLIC];
    bool good = false;
    *key = (struct pg_public_key){0};
    if (protobuf.len == 0 || pg_pb_public_key_read(&message, protobuf) != PG_OK)
        return PG_ERR_PUBLIC_KEY_BAD;
    enum pg_key_type type = (enum pg_key_type)message.type;
    struct pg_bytes raw = message.data;
    switch (type) {
    case PG_KEY_ED25519: good = raw.len == RAW_LEN; break;
    case PG_KEY_SECP256K1:
        good = pg_secp256k1_read(raw, point);
        raw = pg_bytes(point, sizeof point);
        break;
    case PG_KEY_RSA: good = pg_pkix_rsa_fits(raw); break;
    case PG_KEY_ECDSA: good = pg_pkix_ecdsa_fits(raw); break;
    }
    if (!good)
        return PG_ERR_PUBLIC_KEY_BAD;
    public_key_set(key, type, raw);
    return PG_OK;
}

struct pg_bytes pg_public_key_protobuf(const struct pg_public_key *key)
{
    return pg_bytes(key->proto, key->len_proto);
}

struct pg_bytes pg_public_key_raw(const struct pg_public_key *key)
{
    return pg_bytes(key->proto + key->len_proto - key->len_raw, key->len_raw);
}

bool pg_verify(const struct pg_public_key *key, struct pg_bytes message, struct pg_bytes signature)
{
    struct pg_bytes raw = pg_public_key_raw(key);
    if (raw.len == 0)
        return false;
    switch (key->type) {
    case PG_KEY_ED25519:
        /* libsodium refuses low-order keys and a signature whose number is not reduced, so that no signature has two forms. */
        return raw.len == RAW_LEN && signature.len == crypto_sign_BYTES &&
               crypto_sign_verify_detached(signature.at, message.at, message.len, raw.at) == 0;
    case PG_KEY_SECP256K1: return raw.len == PG_SECP256K1_PUBLIC && pg_secp256k1_verify(raw.at, message, signature);
    case PG_KEY_RSA:
    case PG_KEY_ECDSA: return pg_pkix_verify(raw, message, signature);
    }
    return false;
}

/* The secret is in its place. */
static bool public_half(struct pg_identity *identity, enum pg_key_type type)
{
    uint8_t raw[PG_SECP256K1_PUBLIC], seed[SECRET_LEN];
    size_t len = PG_SECP256K1_PUBLIC;
    if (type == PG_KEY_SECP256K1) {
        if (!pg_secp256k1_public(identity->secret.at, raw))
            return false;
    } else {
        memcpy(seed, identity->secret.at, sizeof seed);
        crypto_sign_seed_keypair(raw, identity->secret.at, seed);
        sodium_memzero(seed, sizeof seed);
        len = RAW_LEN;
    }
    public_key_set(&identity->public_key, type, pg_bytes(raw, len));
    pg_peer_id_from_key(&identity->id, &identity->public_key);
    return true;
}

enum pg_err pg_identity_from_secret(struct pg_identity **identity, enum pg_key_type type, const uint8_t secret[SECRET_LEN])
{
    *identity = NULL;
    if (type != PG_KEY_ED25519 && type != PG_KEY_SECP256K1)
        return PG_ERR_KEY_UNSUPPORTED;
    struct pg_identity *made = calloc(1, sizeof *made);
    if (!made || !pg_secret_new(&made->secret)) {
        free(made);
        return PG_ERR_NO_MEMORY;
    }
    memcpy(made->secret.at, secret, SECRET_LEN);
    if (!public_half(made, type)) {
        pg_identity_free(made);
        return PG_ERR_KEY_BAD;
    }
    *identity = made;
    return PG_OK;
}

struct pg_identity *pg_identity_of_public(const struct pg_public_key *key)
{
    struct pg_identity *identity = calloc(1, sizeof *identity);
    if (!identity)
        return NULL;
    identity->public_key = *key;
    pg_peer_id_from_key(&identity->id, key);
    return identity;
}

struct pg_identity *pg_identity_from_seed(const uint8_t seed[SECRET_LEN])
{
    struct pg_identity *identity;
    (void)pg_identity_from_secret(&identity, PG_KEY_ED25519, seed);
    return identity;
}

struct pg_identity *pg_identity_new_of(enum pg_key_type type)
{
    struct pg_secret secret;
    struct pg_identity *identity;
    enum pg_err err;
    if (!pg_secret_new(&secret))
        return NULL;
    do { /* one number in 2^128 is none of the group */
        randombytes_buf(secret.at, SECRET_LEN);
        err = pg_identity_from_secret(&identity, type, secret.at);
    } while (err == PG_ERR_KEY_BAD);
    pg_secret_free(&secret);
    return identity;
}

struct pg_identity *pg_identity_new(void)
{
    return pg_identity_new_of(PG_KEY_ED25519);
}

static enum pg_err read_ed25519(struct pg_identity **identity, struct pg_bytes data)
{
    if (data.len != PAIR_LEN && data.len != PAIR_LEN + RAW_LEN)
        return PG_ERR_KEY_BAD;
    const uint8_t *half = data.at + SECRET_LEN;
    if (data.len == PAIR_LEN + RAW_LEN && memcmp(half, half + RAW_LEN, RAW_LEN) != 0)
        return PG_ERR_KEY_BAD;
    TRY(pg_identity_from_secret(identity, PG_KEY_ED25519, data.at));
    /* Signing with a public half of another key would give the secret away. */
    if (memcmp(pg_public_key_raw(&(*identity)->public_key).at, half, RAW_LEN) == 0)
        return PG_OK;
    pg_identity_free(*identity);
    *identity = NULL;
    return PG_ERR_KEY_BAD;
}

enum pg_err pg_identity_read(struct pg_identity **identity, struct pg_bytes private_key_protobuf)
{
    struct pg_pb_private_key m;
    *identity = NULL;
    if (pg_pb_private_key_read(&m, private_key_protobuf) != PG_OK)
        return PG_ERR_KEY_BAD;
    if (m.type == PG_PB_KEY_TYPE_ED25519)
        return read_ed25519(identity, m.data);
    if (m.type != PG_PB_KEY_TYPE_SECP256K1)
        return PG_ERR_KEY_UNSUPPORTED;
    return m.data.len == SECRET_LEN ? pg_identity_from_secret(identity, PG_KEY_SECP256K1, m.data.at) : PG_ERR_KEY_BAD;
}

size_t pg_identity_protobuf(const struct pg_identity *identity, uint8_t out[PG_PRIVATE_PROTO_MAX])
{
    size_t len = identity->public_key.type == PG_KEY_ED25519 ? PAIR_LEN : SECRET_LEN;
    struct pg_pb_private_key message = {.has_type = true, .type = (int)identity->public_key.type, .has_data = true,
                                        .data = pg_bytes(identity->secret.at, len)};
    struct pg_writer w = pg_writer(out, PG_PRIVATE_PROTO_MAX);
    pg_pb_private_key_write(&message, &w);
    assert(!w.failed);
    return w.len;
}

const uint8_t *pg_identity_secret(const struct pg_identity *identity)
{
    return identity->secret.at;
}

void pg_identity_free(struct pg_identity *identity)
{
    if (!identity)
        return;
    pg_secret_free(&identity->secret);
    free(identity);
}

const struct pg_public_key *pg_identity_public(const struct pg_identity *identity)
{
    return &identity->public_key;
}

const struct pg_peer_id *pg_identity_peer_id(const struct pg_identity *identity)
{
    return &identity->id;
}

size_t pg_sign(const struct pg_identity *identity, struct pg_bytes message, uint8_t signature[PG_SIGNATURE_MAX])
{
    size_t len = pg_oracle_recall(PG_ORACLE_SIGNATURE, signature, PG_SIGNATURE_MAX);
    if (len > 0)
        return len;
    assert(identity->secret.at && "an identity without its secret can sign only what was signed before");
    if (identity->public_key.type == PG_KEY_SECP256K1) {
        len = pg_secp256k1_sign(identity->secret.at, message, signature);
    } else {
        crypto_sign_detached(signature, NULL, message.at, message.len, identity->secret.at);
        len = crypto_sign_BYTES;
    }
    pg_oracle_tell(PG_ORACLE_SIGNATURE, signature, len);
    return len;
}
