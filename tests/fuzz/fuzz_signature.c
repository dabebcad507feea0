/* Fuzz target: signatures of strangers, under keys of ours and of theirs: the true one holds, one for other words never does.
 * Run by libFuzzer or by standalone.c. Input: how many bytes are a public key's protobuf, these, then a signature.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Keys". */
#include "crypto/keys.h"
#include "fuzz.h"

static const struct pg_identity *of_type(enum pg_key_type type)
{
    static struct pg_identity *known[4];
    static const uint8_t secret[32] = {1, 2, 3};
    if (!known[type] && pg_identity_from_secret(&known[type], type, secret) != PG_OK)
        abort();
    return known[type];
}

static void ours(enum pg_key_type type, struct pg_bytes signature)
{
    const struct pg_identity *identity = of_type(type);
    uint8_t made[PG_SIGNATURE_MAX];
    struct pg_bytes words = PG_LIT("words"), truth = pg_bytes(made, pg_sign(identity, words, made));
    FUZZ_WANT(pg_verify(pg_identity_public(identity), words, truth));
    FUZZ_WANT(!pg_verify(pg_identity_public(identity), PG_LIT("other words"), truth));
    bool holds = pg_verify(pg_identity_public(identity), words, signature);
    FUZZ_WANT(holds == pg_bytes_equal(truth, signature)); /* no other spelling, and no stranger can sign for us */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct pg_bytes rest = pg_bytes(data + 1, size - 1);
    struct pg_bytes key_text = pg_bytes_head(rest, (size_t)data[0] * 4), signature = pg_bytes_skip(rest, key_text.len);
    struct pg_public_key key;
    if (pg_public_key_read(&key, key_text) == PG_OK) {
        bool first = pg_verify(&key, PG_LIT("words"), signature);
        FUZZ_WANT(first == pg_verify(&key, PG_LIT("words"), signature));
        FUZZ_WANT(!first || !pg_verify(&key, PG_LIT("other words"), signature));
    }
    ours(PG_KEY_ED25519, signature);
    ours(PG_KEY_SECP256K1, signature);
    return 0;
}
