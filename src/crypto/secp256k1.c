/* Keys and signatures of secp256k1. Called by keys.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Secp256k1"; nonces as RFC 6979, section 3.2, so that the same message has the
 * same signature here as in go-, rust- and js-libp2p. libcrypto makes random nonces and any s, hence another library. */
#include "crypto/secp256k1.h"

#include <secp256k1.h>
#include <secp256k1_preallocated.h>
#include <sodium.h>
#include <stdlib.h>

/* libsecp256k1 stops the process when it finds no memory of its own, so the memory is ours. Blinded, so that what the
 * processor's timing and power tell does not depend on the secret alone. */
static secp256k1_context *context_new(void)
{
    uint8_t blind[32];
    void *room = calloc(1, secp256k1_context_preallocated_size(SECP256K1_CONTEXT_SIGN));
    if (!room)
        return NULL;
    secp256k1_context *context = secp256k1_context_preallocated_create(room, SECP256K1_CONTEXT_SIGN);
    randombytes_buf(blind, sizeof blind);
    if (!secp256k1_context_randomize(context, blind)) {
        secp256k1_context_preallocated_destroy(context);
        free(room);
        context = NULL;
    }
    sodium_memzero(blind, sizeof blind);
    return context;
}

static void context_free(secp256k1_context *context)
{
    secp256k1_context_preallocated_destroy(context); /* wipes; the memory is what we gave */
    free(context);
}

static void compress(const secp256k1_pubkey *key, uint8_t out[PG_SECP256K1_PUBLIC])
{
    size_t len = PG_SECP256K1_PUBLIC;
    secp256k1_ec_pubkey_serialize(secp256k1_context_static, out, &len, key, SECP256K1_EC_COMPRESSED);
}

bool pg_secp256k1_public(const uint8_t secret[PG_SECP256K1_SECRET], uint8_t out[PG_SECP256K1_PUBLIC])
{
    secp256k1_pubkey key;
    secp256k1_context *context = context_new();
    if (!context)
        return false;
    bool good = secp256k1_ec_pubkey_create(context, &key, secret) == 1;
    context_free(context);
    if (good)
        compress(&key, out);
    return good;
}

bool pg_secp256k1_read(struct pg_bytes point, uint8_t out[PG_SECP256K1_PUBLIC])
{
    secp256k1_pubkey key;
    /* go and rust take the long form, too, and name the peer by the short one. The "hybrid" form is go's alone. */
    bool known = (point.len == 33 && (point.at[0] == 2 || point.at[0] == 3)) || (point.len == 65 && point.at[0] == 4);
    if (!known || !secp256k1_ec_pubkey_parse(secp256k1_context_static, &key, point.at, point.len))
        return false;
    compress(&key, out);
    return true;
}

static void hash(struct pg_bytes message, uint8_t out[32])
{
    crypto_hash_sha256(out, message.at, message.len);
}

size_t pg_secp256k1_sign(const uint8_t secret[PG_SECP256K1_SECRET], struct pg_bytes message, uint8_t out[72])
{
    secp256k1_ecdsa_signature signature;
    uint8_t digest[32];
    size_t len = 72;
    secp256k1_context *context = context_new();
    if (!context)
        return 0;
    hash(message, digest);
    if (!secp256k1_ecdsa_sign(context, &signature, digest, secret, secp256k1_nonce_function_rfc6979, NULL) ||
        !secp256k1_ecdsa_signature_serialize_der(secp256k1_context_static, out, &len, &signature))
        len = 0;
    context_free(context);
    return len;
}

/* Which signatures count. Numbers that are zero, negative or not below the order, and anything but strict DER, are refused
 * by go (decred's secp256k1, ecdsa/signature.go, ParseDERSignature), by rust (k256 Signature::from_der) and by js (noble).
 * A high s, the other form of a good signature, is refused by rust (k256, NORMALIZE_S in src/ecdsa.rs, checked since
 * 0.13.2) and by js (noble's default lowS), and taken by go, whose own signatures always have a low one. libsecp256k1
 * refuses it, and so a signature has one form only. Numbers beyond the order are read as zero, which then never verifies. */
bool pg_secp256k1_verify(const uint8_t public_key[PG_SECP256K1_PUBLIC], struct pg_bytes message, struct pg_bytes signature)
{
    secp256k1_ecdsa_signature read;
    secp256k1_pubkey key;
    uint8_t digest[32];
    if (signature.len == 0 || !secp256k1_ec_pubkey_parse(secp256k1_context_static, &key, public_key, PG_SECP256K1_PUBLIC) ||
        !secp256k1_ecdsa_signature_parse_der(secp256k1_context_static, &read, signature.at, signature.len))
        return false;
    hash(message, digest);
    return secp256k1_ecdsa_verify(secp256k1_context_static, &read, digest, &key) == 1;
}
