/* Base58, base32, base36, base64url: known texts, round trips, one text for one value.
 * Run by ctest. Serves multiformats/multibase "Multibase table". */
#include "crypto_suite.h"

#include "crypto/base.h"

static void base58_writes_leading_zeros_as_ones(void)
{
    char out[16];
    CU_ASSERT_EQUAL(pg_base58_write(pg_bytes("\0\0\1", 3), out, sizeof out), 3);
    CU_ASSERT_EQUAL(memcmp(out, "112", 3), 0);
    CU_ASSERT_EQUAL(pg_base58_write(pg_bytes("\0\0\0\0", 4), out, sizeof out), 4);
    CU_ASSERT_EQUAL(memcmp(out, "1111", 4), 0);
    CU_ASSERT_EQUAL(pg_base58_write(PG_LIT("Hello World!"), out, 16), 0); /* 17 letters */
    char more[17];
    CU_ASSERT_EQUAL(pg_base58_write(PG_LIT("Hello World!"), more, sizeof more), 17);
    CU_ASSERT_EQUAL(memcmp(more, "2NEpo7TZRRrLZSi2U", 17), 0);
}

static void every_length_and_many_values_round_trip_in_every_base(void)
{
    uint8_t data[PG_BASE_RADIX_MAX], back[PG_BASE_RADIX_MAX];
    char text[2 * PG_BASE_RADIX_MAX];
    for (size_t len = 1; len <= sizeof data; len++) {
        for (unsigned seed = 0; seed < 16; seed++) {
            for (size_t i = 0; i < len; i++)
                data[i] = seed == 0 ? 0 : seed == 1 ? 0xff : i < seed - 2 ? 0 : (uint8_t)(i * 167 + seed * 31 + len);
            size_t n, got = 0;
            n = pg_base58_write(pg_bytes(data, len), text, sizeof text);
            CU_ASSERT_TRUE(n > 0 && pg_base58_read(pg_bytes(text, n), back, sizeof back, &got));
            CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(data, len), pg_bytes(back, got)));
            CU_ASSERT_FALSE(pg_base58_read(pg_bytes(text, n), back, len - 1, &got));
            for (int i = 0; i < 2; i++) {
                n = pg_multibase_write("bu"[i], pg_bytes(data, len), text, sizeof text);
                CU_ASSERT_TRUE(n > 0 && pg_multibase_read(pg_bytes(text, n), back, sizeof back, &got));
                CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(data, len), pg_bytes(back, got)));
                CU_ASSERT_FALSE(pg_multibase_read(pg_bytes(text, n), back, len - 1, &got));
                CU_ASSERT_EQUAL(pg_multibase_write("bu"[i], pg_bytes(data, len), text, n - 1), 0);
            }
        }
    }
}

static bool reads(const char *text, const char *expected)
{
    uint8_t out[64];
    size_t len;
    return pg_multibase_read(pg_text(text), out, sizeof out, &len) && pg_bytes_equal(pg_bytes(out, len), pg_text(expected));
}

static bool refused(const char *text)
{
    uint8_t out[64];
    size_t len;
    return !pg_multibase_read(pg_text(text), out, sizeof out, &len);
}

static void known_multibase_texts_are_read(void)
{
    /* "yes mani !" as the multibase test vectors have it. */
    CU_ASSERT_TRUE(reads("bpfsxgidnmfxgsibb", "yes mani !"));
    CU_ASSERT_TRUE(reads("z7paNL19xttacUY", "yes mani !"));
    CU_ASSERT_TRUE(reads("k2lcpzo5yikidynfl", "yes mani !"));
    CU_ASSERT_TRUE(reads("ueWVzIG1hbmkgIQ", "yes mani !"));
}

static void foreign_letters_prefixes_and_spare_bits_are_refused(void)
{
    CU_ASSERT_TRUE(refused(""));
    CU_ASSERT_TRUE(refused("f00"));
    CU_ASSERT_TRUE(refused("bPFSXG"));
    CU_ASSERT_TRUE(refused("b1"));
    CU_ASSERT_TRUE(refused("z0"));
    CU_ASSERT_TRUE(refused("zl"));
    CU_ASSERT_TRUE(refused("z 1"));
    CU_ASSERT_TRUE(refused("ueWVzIG1hbmkgIQ=="));
    CU_ASSERT_TRUE(refused("ueW+z"));
    CU_ASSERT_TRUE(refused("bpfsxgidnmfxgsibba")); /* a letter that holds no whole byte */
    CU_ASSERT_TRUE(refused("bab"));                /* spare bits that are not zero */
    CU_ASSERT_TRUE(refused("z"));
}

static void a_very_long_text_is_refused_without_work(void)
{
    enum { LONG = 1 << 20 };
    uint8_t out[PG_BASE_RADIX_MAX];
    size_t len;
    char *text = malloc(LONG);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'z', LONG);
    CU_ASSERT_FALSE(pg_base58_read(pg_bytes(text, LONG), out, sizeof out, &len));
    memset(text, '1', LONG);
    CU_ASSERT_FALSE(pg_base58_read(pg_bytes(text, LONG), out, sizeof out, &len));
    CU_ASSERT_EQUAL(pg_base58_write(pg_bytes(text, PG_BASE_RADIX_MAX + 1), text, LONG), 0);
    free(text);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"base58 writes leading zeros as ones", base58_writes_leading_zeros_as_ones},
        {"every length and many values round-trip in every base", every_length_and_many_values_round_trip_in_every_base},
        {"known multibase texts are read", known_multibase_texts_are_read},
        {"foreign letters, prefixes and spare bits are refused", foreign_letters_prefixes_and_spare_bits_are_refused},
        {"a very long text is refused without work", a_very_long_text_is_refused_without_work},
    };
    return RUN_SUITE("text bases", sentences);
}
