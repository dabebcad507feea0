/* Keys and the names they give: public keys of peers, our own key pair, peer ids.
 * Used by every layer above. Serves libp2p/specs peer-ids/peer-ids.md, "Keys", "Peer Ids" and
 * "String representation". Ours is ed25519 or secp256k1; of others ECDSA and RSA verify, too. */
#pragma once
#include "errors.gen.h"
#include "mem/bytes.h"

/* libp2p's numbers (peer-ids.md, "Keys"). */
enum pg_key_type { PG_KEY_RSA = 0, PG_KEY_ED25519 = 1, PG_KEY_SECP256K1 = 2, PG_KEY_ECDSA = 3 };

#define PG_SIGNATURE_MAX 72      /* of ours: 64 of ed25519, at most 72 of secp256k1 in DER */
#define PG_PUBLIC_PROTO_MAX 1068 /* RSA of 8192 bits, DER of 1063 */
#define PG_PRIVATE_PROTO_MAX 68  /* ed25519: 08 01 12 40, seed, public key; secp256k1 has 36 */
#define PG_PEER_ID_MAX 44        /* identity multihash of a key of 42 bytes; what is longer is hashed */
#define PG_PEER_ID_TEXT 64       /* room for any peer id in base58 and its NUL */
#define PG_PEER_ID_CID 80        /* and as a CID */

/* A binary multihash; len 0 is "none". */
struct pg_peer_id {
    uint8_t len;
    uint8_t at[PG_PEER_ID_MAX];
};

/* Base58btc with a NUL; returns the length without it. "None" gives empty text. */
size_t pg_peer_id_text(const struct pg_peer_id *id, char out[PG_PEER_ID_TEXT]);

/* The same id as CIDv1 in base32 (bafz…), as specifications ask for in new texts. */
size_t pg_peer_id_cid(const struct pg_peer_id *id, char out[PG_PEER_ID_CID]);

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

/* Reads the PublicKey message, its fields in any order. PG_ERR_PUBLIC_KEY_BAD for all that is wrong with it; RSA below
 * 2048 or above 8192 bits is refused by its length, before any arithmetic. Whether a key of ed25519 or ECDSA is a point at
 * all shows in pg_verify. */
enum pg_err pg_public_key_read(struct pg_public_key *key, struct pg_bytes protobuf);

/* Borrowed from the key: canonical protobuf, and the key itself (ed25519: 32 bytes; secp256k1: 33, compressed; RSA and
 * ECDSA: DER of the SubjectPublicKeyInfo). */
struct pg_bytes pg_public_key_protobuf(const struct pg_public_key *key);
struct pg_bytes pg_public_key_raw(const struct pg_public_key *key);

void pg_peer_id_from_key(struct pg_peer_id *id, const struct pg_public_key *key);

/* The key that an identity multihash holds. PG_ERR_KEY_UNSUPPORTED when the id is only a hash. */
enum pg_err pg_peer_id_key(const struct pg_peer_id *id, struct pg_public_key *key);

/* True when signature is the key's, over message: ed25519 of 64 bytes; the others over its SHA-256, RSA as PKCS#1 v1.5,
 * secp256k1 and ECDSA as strict DER of two numbers, neither of them zero. */
bool pg_verify(const struct pg_public_key *key, struct pg_bytes message, struct pg_bytes signature);

/* Our own key pair; the secret half lives in pg_secret. */
struct pg_identity;

/* A fresh pair; NULL when memory is short. The type is ed25519 or secp256k1; without saying it is ed25519. */
struct pg_identity *pg_identity_new(void);
struct pg_identity *pg_identity_new_of(enum pg_key_type);

/* A name without its secret, for a recorded run that is played again: whatever it signs was signed before. NULL: no memory. */
struct pg_identity *pg_identity_of_public(const struct pg_public_key *key);

/* The pair of a known ed25519 seed: tests, and peers whose id must not change. */
struct pg_identity *pg_identity_from_seed(const uint8_t seed[32]);

/* The pair of a seed (ed25519) or of a secret number (secp256k1), 32 bytes. PG_ERR_KEY_BAD for a number that is none of
 * the group, PG_ERR_KEY_UNSUPPORTED for other types, PG_ERR_NO_MEMORY; *identity is NULL then. */
enum pg_err pg_identity_from_secret(struct pg_identity **identity, enum pg_key_type, const uint8_t secret[32]);

/* Reads the PrivateKey message. ed25519: 64 bytes of seed and public key, or the old form of 96 with the public key twice
 * (as go- and js-libp2p do; rust-libp2p refuses it). A public half that is not the seed's is refused. secp256k1: 32 bytes.
 * PG_ERR_KEY_BAD, PG_ERR_KEY_UNSUPPORTED, PG_ERR_NO_MEMORY; *identity is NULL then. */
enum pg_err pg_identity_read(struct pg_identity **identity, struct pg_bytes private_key_protobuf);

/* Writes the PrivateKey message and returns its length, 68 or 36. The caller wipes out. */
size_t pg_identity_protobuf(const struct pg_identity *identity, uint8_t out[PG_PRIVATE_PROTO_MAX]);

/* Seed or secret number, 32 bytes in secret memory, borrowed: for writing the key in other forms. */
const uint8_t *pg_identity_secret(const struct pg_identity *identity);

/* Wipes and frees; NULL is fine. */
void pg_identity_free(struct pg_identity *identity);

const struct pg_public_key *pg_identity_public(const struct pg_identity *identity);
const struct pg_peer_id *pg_identity_peer_id(const struct pg_identity *identity);
/* Signs and returns the length of the signature, 0 when memory is short (secp256k1 only). The same message gives the same signature. */
size_t pg_sign(const struct pg_identity *identity, struct pg_bytes message, uint8_t signature[PG_SIGNATURE_MAX]);
