/* Fuzz target: any bytes as a private key in any form: it is a key that comes back the same in every form, or it is refused
 * with a reason. Run by libFuzzer or by standalone.c. Serves src/crypto/key_text.h. */
#include "crypto/key_text.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_identity *identity, *back;
    uint8_t text[PG_KEY_TEXT_MAX];
    char why[PG_KEY_WHY];
    enum pg_err err = pg_key_text_read(&identity, pg_bytes(data, size), why);
    FUZZ_WANT((err == PG_OK) == (identity != NULL) && (err == PG_OK) == (why[0] == 0));
    if (!identity)
        return 0;
    for (int format = PG_KEY_PROTOBUF; format <= PG_KEY_PEM; format++) {
        size_t len = pg_key_text_write(identity, (enum pg_key_format)format, text, why);
        FUZZ_WANT(len > 0 && pg_key_text_read(&back, pg_bytes(text, len), why) == PG_OK);
        FUZZ_WANT(pg_peer_id_equal(pg_identity_peer_id(identity), pg_identity_peer_id(back)));
        pg_identity_free(back);
    }
    pg_identity_free(identity);
    return 0;
}
