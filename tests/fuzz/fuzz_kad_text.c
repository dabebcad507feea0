/* Fuzz target: any bytes as a key or a value of the DHT as users write them, and any bytes shown to them: what is shown reads back
 * as the same. Run by libFuzzer or by standalone.c. Serves src/core/kad_text.h. */
#include "core/kad_text.h"
#include "fuzz.h"

static void shown(struct pg_bytes octets)
{
    static char text[8192];
    static uint8_t back[4096];
    size_t len, n = pg_kad_octets_text(octets, text, sizeof text);
    FUZZ_WANT(octets.len == 0 || n > 0 || 2 * octets.len + 3 > sizeof text);
    if (n == 0)
        return;
    FUZZ_WANT(pg_kad_octets_read(pg_bytes(text, n), back, sizeof back, &len));
    FUZZ_WANT(pg_bytes_equal(pg_bytes(back, len), octets));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t octets[4096], key[PG_KAD_KEY_MAX];
    size_t len;
    struct pg_bytes text = pg_bytes(data, size);
    if (size <= sizeof octets)
        shown(text);
    if (pg_kad_octets_read(text, octets, sizeof octets, &len)) {
        FUZZ_WANT(len <= size);
        shown(pg_bytes(octets, len));
    }
    if (pg_kad_key_read(text, key, &len))
        FUZZ_WANT(len > 0 && len <= sizeof key);
    return 0;
}
