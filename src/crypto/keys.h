/* Keys and the names they give: public keys of peers, our own key pair, peer ids.
 * Used by every layer above. Serves libp2p/specs peer-ids/peer-ids.md, "Keys", "Peer Ids" and
 * "String representation". Only ed25519 verifies and signs as yet; everything carries its type. */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"

/* libp2p's numbers (peer-ids.md, "Keys"). */
enum pg_key_type { PG_KEY_RSA = 0, PG_KEY_ED25519 = 1, PG_KEY_SECP256K1 = 2, PG_KEY_ECDSA = 3 };

#define PG_SIGNATURE_LEN 64     /* ed25519 */
#define PG_PUBLIC_PROTO_MAX 36  /* longest protobuf of a public key of the types above that we verify */
#define PG_PRIVATE_PROTO_LEN 68 /* 08 01 12 40, seed, public key */
#define PG_PEER_ID_MAX 44       /* identity multihash of a key of 42 bytes; what is longer is hashed */
#define PG_PEER_ID_TEXT 64      /* room for any peer id in base58 and its NUL */

/* A binary multihash; len 0 is "none". */
struct pg_peer_id {
    uint8_t len;
    uint8_t at[PG_PEER_ID_MAX];
};

/* Base58btc with a NUL; returns the length without it. "None" gives empty text. */
size_t pg_peer_id_text(const struct pg_peer_id *id, char out[PG_PEER_ID_TEXT]);

/* Base58btc (12D3…, Qm…, 16Uiu2…) or a CIDv1 with the libp2p-key codec in base32, base36 or base58 (bafz…, k…, z…).
 * PG_ERR_PEER_ID_BAD and "none" for all else: another codec, spaces, a hash that is neither identity nor SHA-256. */
enum pg_err pg_peer_id_parse(struct pg_peer_id *id, struct pg_bytes text);

/* A whole multihash: SHA-256 (34 bytes), or identity of a PublicKey message of at most 42 bytes, whatever the key's type.
 * PG_ERR_PEER_ID_BYTES_BAD and "none" otherwise. */
enum pg_err pg_peer_id_read(struct pg_peer_id *id, struct pg_bytes multihash);

bool pg_peer_id_equal(const struct pg_peer_id *a, const struct pg_peer_id *b);

/* The id that a public key's canonical protobuf gives, whatever its type: identity up to 42 bytes, else SHA-256.
 * peer-ids.md, "Peer Ids". */
void pg_peer_id_from_protobuf(struct pg_peer_id *id, struct pg_bytes protobuf);

/* A public key and its canonical protobuf, which names it. The raw key is the tail of the protobuf. */
struct pg_public_key {
    enum pg_key_type type;
    uint16_t len_raw;
    uint16_t len_proto;
    uint8_t proto[PG_PUBLIC_PROTO_MAX];
};

/* Reads the PublicKey message, its fields in any order. PG_ERR_KEY_UNSUPPORTED for a type that we do not verify,
 * PG_ERR_PUBLIC_KEY_BAD for anything else that is wrong. Whether the key is a point at all shows in pg_verify. */
enum pg_err pg_public_key_read(struct pg_public_key *key, struct pg_bytes protobuf);

/* Borrowed from the key: canonical protobuf, and the key itself (32 bytes for ed25519). */
struct pg_bytes pg_public_key_protobuf(const struct pg_public_key *key);
struct pg_bytes pg_public_key_raw(const struct pg_public_key *key);

void pg_peer_id_from_key(struct pg_peer_id *id, const struct pg_public_key *key);

/* The key that an identity multihash holds. PG_ERR_KEY_UNSUPPORTED when the id is only a hash. */
enum pg_err pg_peer_id_key(const struct pg_peer_id *id, struct pg_public_key *key);

/* True when signature is the key's, over message. */
bool pg_verify(const struct pg_public_key *key, struct pg_bytes message, struct pg_bytes signature);

/* Our own key pair; the secret half lives in pg_secret. */
struct pg_identity;

/* A fresh ed25519 pair; NULL when secret memory is short. */
struct pg_identity *pg_identity_new(void);

/* The pair of a known seed: tests, and peers whose id must not change. */
struct pg_identity *pg_identity_from_seed(const uint8_t seed[32]);

/* Reads the PrivateKey message: 64 bytes of seed and public key, or the old form of 96 with the public key twice
 * (as go- and js-libp2p do; rust-libp2p refuses it). A public half that is not the seed's is refused.
 * PG_ERR_KEY_BAD, PG_ERR_KEY_UNSUPPORTED, PG_ERR_NO_MEMORY; *identity is NULL then. */
enum pg_err pg_identity_read(struct pg_identity **identity, struct pg_bytes private_key_protobuf);

/* Writes the 68-byte PrivateKey message and returns 68. The caller wipes out. */
size_t pg_identity_protobuf(const struct pg_identity *identity, uint8_t out[PG_PRIVATE_PROTO_LEN]);

/* Wipes and frees; NULL is fine. */
void pg_identity_free(struct pg_identity *identity);

const struct pg_public_key *pg_identity_public(const struct pg_identity *identity);
const struct pg_peer_id *pg_identity_peer_id(const struct pg_identity *identity);
void pg_sign(const struct pg_identity *identity, struct pg_bytes message, uint8_t signature[PG_SIGNATURE_LEN]);
