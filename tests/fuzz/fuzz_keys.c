/* Fuzz target: public and private keys in their protobufs: read, written, read again; a private key that is taken can sign.
 * Run by libFuzzer or by standalone.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Keys". */
#include "crypto/keys.h"
#include "fuzz.h"

static void public_key(struct pg_bytes in)
{
    struct pg_public_key key, again;
    struct pg_peer_id id, other;
    if (pg_public_key_read(&key, in) != PG_OK)
        return;
    FUZZ_WANT(pg_public_key_read(&again, pg_public_key_protobuf(&key)) == PG_OK);
    FUZZ_WANT(pg_bytes_equal(pg_public_key_protobuf(&key), pg_public_key_protobuf(&again)));
    pg_peer_id_from_key(&id, &key);
    pg_peer_id_from_protobuf(&other, pg_public_key_protobuf(&key));
    FUZZ_WANT(id.len > 0 && pg_peer_id_equal(&id, &other));
    /* What follows the key stands in for a signature. */
    FUZZ_WANT(!pg_verify(&key, PG_LIT("message"), in));
}

static void private_key(struct pg_bytes in)
{
    struct pg_identity *identity = NULL;
    enum pg_err err = pg_identity_read(&identity, in);
    FUZZ_WANT((err == PG_OK) == (identity != NULL));
    if (!identity)
        return;
    struct pg_public_key key;
    FUZZ_WANT(pg_public_key_read(&key, pg_public_key_protobuf(pg_identity_public(identity))) == PG_OK);
    pg_identity_free(identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    public_key(pg_bytes(data, size));
    private_key(pg_bytes(data, size));
    return 0;
}
