/* Fuzz target: base58 and multibase, text to bytes to the same text, bytes to text to the same bytes.
 * Run by libFuzzer or by standalone.c.
 * Serves multiformats/multibase, "Multibase table". */
#include "crypto/base.h"
#include "fuzz.h"

static void text_first(struct pg_bytes text)
{
    uint8_t bytes[256];
    char again[600];
    size_t n = 0;
    if (pg_base58_read(text, bytes, sizeof bytes, &n)) {
        FUZZ_WANT(n > 0 && n <= PG_BASE_RADIX_MAX);
        FUZZ_WANT(pg_bytes_equal(text, pg_bytes(again, pg_base58_write(pg_bytes(bytes, n), again, sizeof again))));
    }
    if (pg_multibase_read(text, bytes, sizeof bytes, &n) && n > 0) {
        char prefix = (char)text.at[0];
        if (prefix == 'b' || prefix == 'u')
            FUZZ_WANT(pg_bytes_equal(text, pg_bytes(again, pg_multibase_write(prefix, pg_bytes(bytes, n), again, sizeof again))));
    }
    if (pg_base32_read(text, bytes, sizeof bytes, &n) && n > 0)
        FUZZ_WANT(pg_base32_write(pg_bytes(bytes, n), again, sizeof again) == text.len);
    uint8_t small[5]; /* too small a room is refused, never overrun */
    (void)pg_base58_read(text, small, sizeof small, &n);
    (void)pg_multibase_read(text, small, sizeof small, &n);
    (void)pg_base32_read(text, small, sizeof small, &n);
}

static void bytes_first(struct pg_bytes bytes)
{
    char text[600];
    uint8_t again[300];
    size_t n = pg_base58_write(bytes, text, sizeof text), len = 0;
    FUZZ_WANT((n == 0) == (bytes.len == 0 || bytes.len > PG_BASE_RADIX_MAX));
    if (n > 0)
        FUZZ_WANT(pg_base58_read(pg_bytes(text, n), again, sizeof again, &len) && pg_bytes_equal(bytes, pg_bytes(again, len)));
    for (const char *prefix = "bu"; *prefix && bytes.len > 0 && bytes.len <= 256; prefix++) {
        n = pg_multibase_write(*prefix, bytes, text, sizeof text);
        FUZZ_WANT(n > 1 && pg_multibase_read(pg_bytes(text, n), again, sizeof again, &len));
        FUZZ_WANT(pg_bytes_equal(bytes, pg_bytes(again, len)));
    }
    char little[9];
    FUZZ_WANT(pg_base58_write(bytes, little, sizeof little) <= sizeof little);
    FUZZ_WANT(pg_multibase_write('u', bytes, little, sizeof little) <= sizeof little);
    FUZZ_WANT(pg_base32_write(bytes, little, sizeof little) <= sizeof little);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    text_first(pg_bytes(data, size));
    bytes_first(pg_bytes(data, size));
    return 0;
}
