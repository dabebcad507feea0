/* Keys: public keys and what they verify, our own pair and what it signs.
 * Called by Noise, identify, records and the command line; peer ids are in peer_id.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Keys". */
#include "crypto/keys.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "keys.pb.gen.h"
#include "mem/secret.h"

#define RAW_LEN crypto_sign_PUBLICKEYBYTES  /* 32 */
#define SEED_LEN crypto_sign_SEEDBYTES      /* 32 */
#define PAIR_LEN crypto_sign_SECRETKEYBYTES /* 64: seed, then public key */

static_assert((int)PG_KEY_ED25519 == (int)PG_PB_KEY_TYPE_ED25519 && (int)PG_KEY_ECDSA == (int)PG_PB_KEY_TYPE_ECDSA,
              "one numbering");
static_assert(PG_SIGNATURE_LEN == crypto_sign_BYTES, "ed25519");
static_assert(PAIR_LEN <= PG_SECRET_ROOM, "a key pair fits a slot");

struct pg_identity {
    struct pg_secret pair; /* seed and public key, as libsodium signs with */
    struct pg_public_key public_key;
    struct pg_peer_id id;
};

static void public_key_set(struct pg_public_key *key, const uint8_t raw[RAW_LEN])
{
    struct pg_pb_public_key message = {
        .has_type = true, .type = PG_PB_KEY_TYPE_ED25519, .has_data = true, .data = pg_bytes(raw, RAW_LEN)};
    *key = (struct pg_public_key){.type = PG_KEY_ED25519, .len_raw = RAW_LEN};
    struct pg_writer w = pg_writer(key->proto, sizeof key->proto);
    pg_pb_public_key_write(&message, &w);
    assert(!w.failed);
    key->len_proto = (uint16_t)w.len;
}

enum pg_err pg_public_key_read(struct pg_public_key *key, struct pg_bytes protobuf)
{
    struct pg_pb_public_key message;
    *key = (struct pg_public_key){0};
    if (pg_pb_public_key_read(&message, protobuf) != PG_OK)
        return PG_ERR_PUBLIC_KEY_BAD;
    if (message.type != PG_PB_KEY_TYPE_ED25519)
        return PG_ERR_KEY_UNSUPPORTED;
    if (message.data.len != RAW_LEN)
        return PG_ERR_PUBLIC_KEY_BAD;
    public_key_set(key, message.data.at);
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
    switch (key->type) {
    case PG_KEY_ED25519:
        /* libsodium refuses low-order keys and a signature whose number is not reduced, so that no signature has two forms. */
        return key->len_raw == RAW_LEN && signature.len == PG_SIGNATURE_LEN &&
               crypto_sign_verify_detached(signature.at, message.at, message.len, pg_public_key_raw(key).at) == 0;
    case PG_KEY_RSA:
    case PG_KEY_SECP256K1:
    case PG_KEY_ECDSA: break;
    }
    return false;
}

struct pg_identity *pg_identity_from_seed(const uint8_t seed[SEED_LEN])
{
    struct pg_identity *identity = calloc(1, sizeof *identity);
    uint8_t raw[RAW_LEN];
    if (!identity || !pg_secret_new(&identity->pair)) {
        free(identity);
        return NULL;
    }
    crypto_sign_seed_keypair(raw, identity->pair.at, seed);
    public_key_set(&identity->public_key, raw);
    pg_peer_id_from_key(&identity->id, &identity->public_key);
    return identity;
}

struct pg_identity *pg_identity_new(void)
{
    struct pg_secret seed;
    if (!pg_secret_new(&seed))
        return NULL;
    randombytes_buf(seed.at, SEED_LEN);
    struct pg_identity *identity = pg_identity_from_seed(seed.at);
    pg_secret_free(&seed);
    return identity;
}

enum pg_err pg_identity_read(struct pg_identity **identity, struct pg_bytes private_key_protobuf)
{
    struct pg_pb_private_key m;
    *identity = NULL;
    if (pg_pb_private_key_read(&m, private_key_protobuf) != PG_OK)
        return PG_ERR_KEY_BAD;
    if (m.type != PG_PB_KEY_TYPE_ED25519)
        return PG_ERR_KEY_UNSUPPORTED;
    if (m.data.len != PAIR_LEN && m.data.len != PAIR_LEN + RAW_LEN)
        return PG_ERR_KEY_BAD;
    const uint8_t *public_half = m.data.at + SEED_LEN;
    if (m.data.len == PAIR_LEN + RAW_LEN && memcmp(public_half, public_half + RAW_LEN, RAW_LEN) != 0)
        return PG_ERR_KEY_BAD;
    struct pg_identity *made = pg_identity_from_seed(m.data.at);
    if (!made)
        return PG_ERR_NO_MEMORY;
    /* Signing with a public half of another key would give the secret away. */
    if (memcmp(pg_public_key_raw(&made->public_key).at, public_half, RAW_LEN) != 0) {
        pg_identity_free(made);
        return PG_ERR_KEY_BAD;
    }
    *identity = made;
    return PG_OK;
}

size_t pg_identity_protobuf(const struct pg_identity *identity, uint8_t out[PG_PRIVATE_PROTO_LEN])
{
    struct pg_pb_private_key message = {
        .has_type = true, .type = PG_PB_KEY_TYPE_ED25519, .has_data = true, .data = pg_bytes(identity->pair.at, PAIR_LEN)};
    struct pg_writer w = pg_writer(out, PG_PRIVATE_PROTO_LEN);
    pg_pb_private_key_write(&message, &w);
    assert(!w.failed && w.len == PG_PRIVATE_PROTO_LEN);
    return w.len;
}

void pg_identity_free(struct pg_identity *identity)
{
    if (!identity)
        return;
    pg_secret_free(&identity->pair);
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

void pg_sign(const struct pg_identity *identity, struct pg_bytes message, uint8_t signature[PG_SIGNATURE_LEN])
{
    crypto_sign_detached(signature, NULL, message.at, message.len, identity->pair.at);
}
