/* Peer ids: multihashes of public keys, and their texts.
 * Called by everything that names a peer. Serves libp2p/specs peer-ids/peer-ids.md, "Peer Ids" and
 * "String representation". */
#include "crypto/keys.h"

#include <assert.h>
#include <sodium.h>

#include "crypto/base.h"
#include "keys.pb.gen.h"

#define IDENTITY 0x00 /* multihash codes */
#define SHA2_256 0x12
#define INLINE_MAX 42 /* longest key that is its own hash */
#define CID_V1 0x01
#define LIBP2P_KEY 0x72 /* the CID's codec */

static_assert(PG_PEER_ID_MAX == 2 + INLINE_MAX && PG_PEER_ID_MAX >= 2 + crypto_hash_sha256_BYTES, "room for both hashes");

/* An id that holds its key must hold one, of any type: otherwise "16U" would name a peer, because a mistyped id is often
 * an identity hash of something. Libraries take any bytes here; nobody can ever prove to be them. */
static bool is_key(struct pg_bytes digest)
{
    struct pg_pb_public_key message;
    return pg_pb_public_key_read(&message, digest) == PG_OK;
}

enum pg_err pg_peer_id_read(struct pg_peer_id *id, struct pg_bytes multihash)
{
    *id = (struct pg_peer_id){0};
    if (multihash.len < 3 || multihash.at[1] != multihash.len - 2)
        return PG_ERR_PEER_ID_BYTES_BAD;
    struct pg_bytes digest = pg_bytes_skip(multihash, 2);
    bool fits = multihash.at[0] == IDENTITY ? digest.len <= INLINE_MAX && is_key(digest)
                                            : multihash.at[0] == SHA2_256 && digest.len == crypto_hash_sha256_BYTES;
    if (!fits)
        return PG_ERR_PEER_ID_BYTES_BAD;
    id->len = (uint8_t)multihash.len;
    memcpy(id->at, multihash.at, multihash.len);
    return PG_OK;
}

enum pg_err pg_peer_id_parse(struct pg_peer_id *id, struct pg_bytes text)
{
    uint8_t bytes[2 + PG_PEER_ID_MAX];
    size_t len = 0;
    struct pg_bytes hash;
    *id = (struct pg_peer_id){0};
    /* Every base58 multihash of ours starts with 1 (identity) or Qm (SHA-256), and no CID does. */
    if (text.len && (text.at[0] == '1' || text.at[0] == 'Q')) {
        if (!pg_base58_read(text, bytes, PG_PEER_ID_MAX, &len))
            return PG_ERR_PEER_ID_BAD;
        hash = pg_bytes(bytes, len);
    } else {
        if (!pg_multibase_read(text, bytes, sizeof bytes, &len) || len < 2 || bytes[0] != CID_V1 || bytes[1] != LIBP2P_KEY)
            return PG_ERR_PEER_ID_BAD;
        hash = pg_bytes(bytes + 2, len - 2);
    }
    return pg_peer_id_read(id, hash) == PG_OK ? PG_OK : PG_ERR_PEER_ID_BAD;
}

size_t pg_peer_id_text(const struct pg_peer_id *id, char out[PG_PEER_ID_TEXT])
{
    size_t n = pg_base58_write(pg_bytes(id->at, id->len), out, PG_PEER_ID_TEXT - 1);
    out[n] = 0;
    return n;
}

size_t pg_peer_id_cid(const struct pg_peer_id *id, char out[PG_PEER_ID_CID])
{
    uint8_t cid[2 + PG_PEER_ID_MAX] = {CID_V1, LIBP2P_KEY};
    memcpy(cid + 2, id->at, id->len);
    size_t n = id->len ? pg_multibase_write('b', pg_bytes(cid, 2u + id->len), out, PG_PEER_ID_CID - 1) : 0;
    out[n] = 0;
    return n;
}

bool pg_peer_id_equal(const struct pg_peer_id *a, const struct pg_peer_id *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

void pg_peer_id_from_protobuf(struct pg_peer_id *id, struct pg_bytes protobuf)
{
    *id = (struct pg_peer_id){0};
    if (protobuf.len == 0)
        return;
    if (protobuf.len <= INLINE_MAX) {
        id->at[0] = IDENTITY;
        id->at[1] = (uint8_t)protobuf.len;
        memcpy(id->at + 2, protobuf.at, protobuf.len);
    } else {
        id->at[0] = SHA2_256;
        id->at[1] = crypto_hash_sha256_BYTES;
        crypto_hash_sha256(id->at + 2, protobuf.at, protobuf.len);
    }
    id->len = (uint8_t)(2 + id->at[1]);
}

void pg_peer_id_from_key(struct pg_peer_id *id, const struct pg_public_key *key)
{
    pg_peer_id_from_protobuf(id, pg_public_key_protobuf(key));
}

enum pg_err pg_peer_id_key(const struct pg_peer_id *id, struct pg_public_key *key)
{
    *key = (struct pg_public_key){0};
    if (id->len < 3 || id->at[0] != IDENTITY)
        return PG_ERR_KEY_UNSUPPORTED;
    return pg_public_key_read(key, pg_bytes(id->at + 2, id->len - 2u));
}
