/* Keys and values of the DHT as users write them, and as they are shown. Run by ctest. Serves src/core/kad_text.c. */
#include "core/kad_text.h"
#include "crypto_suite.h"

/* SHA-256 of "hello world" as a multihash; its CIDs and its text as a CID of version 0 were made with another implementation. */
#define MULTIHASH "1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
#define PEER "12D3KooWE3quQCP6Xu7eXpcmmpwVS1KofWnPCBWYNHCswgaqwCso"

static uint8_t out[PG_KAD_KEY_MAX];
static char text[2 * PG_KAD_KEY_MAX + 3];
static size_t len;

/* The key that is read from it, as hex. */
static const char *key_of(const char *from)
{
    static char hex[2 * PG_KAD_KEY_MAX + 1];
    if (!pg_kad_key_read(pg_text(from), out, &len))
        return "none";
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", out[i]);
    return hex;
}

static void a_key_is_text_or_hex(void)
{
    CU_ASSERT_STRING_EQUAL(key_of("/a"), "2f61");
    CU_ASSERT_STRING_EQUAL(key_of("0x00fF7a"), "00ff7a");
    CU_ASSERT_STRING_EQUAL(key_of("0"), "30");
    CU_ASSERT_STRING_EQUAL(key_of("0X00"), "30583030");
    static const char *const none[] = {"", "0x", "0x0", "0x0g", "0x 0", "0x000"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CU_ASSERT_STRING_EQUAL(key_of(none[i]), "none");
}

static void a_key_is_at_most_1024_bytes_long(void)
{
    char many[2 * PG_KAD_KEY_MAX + 4];
    memset(many, '1', sizeof many);
    CU_ASSERT_TRUE(pg_kad_key_read(pg_bytes(many, PG_KAD_KEY_MAX), out, &len));
    CU_ASSERT_FALSE(pg_kad_key_read(pg_bytes(many, PG_KAD_KEY_MAX + 1), out, &len));
    memcpy(many, "0x", 2);
    CU_ASSERT_TRUE(pg_kad_key_read(pg_bytes(many, 2 + 2 * PG_KAD_KEY_MAX), out, &len));
    CU_ASSERT_EQUAL(len, PG_KAD_KEY_MAX);
    CU_ASSERT_FALSE(pg_kad_key_read(pg_bytes(many, 4 + 2 * PG_KAD_KEY_MAX), out, &len));
}

static void a_cid_stands_for_its_multihash(void)
{
    CU_ASSERT_STRING_EQUAL(key_of("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"), MULTIHASH);
    CU_ASSERT_STRING_EQUAL(key_of("zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn"), MULTIHASH);
    CU_ASSERT_STRING_EQUAL(key_of("k2cwued9o1pvrt3q271rrqbo49x30tbxwpoeaq75z14e5ui2rzygpbe1"), MULTIHASH);
    CU_ASSERT_STRING_EQUAL(key_of("QmaozNR7DZHQK1ZcU9p7QdrshMvXqWK6gpu5rmrkPdT3L4"), MULTIHASH);
}

static void a_peer_id_stands_for_its_multihash(void)
{
    struct pg_peer_id id;
    CU_ASSERT_EQUAL_FATAL(pg_peer_id_parse(&id, PG_LIT(PEER)), PG_OK);
    CU_ASSERT_TRUE(pg_kad_key_read(PG_LIT(PEER), out, &len));
    CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(out, len), pg_bytes(id.at, id.len)));
}

static void what_only_looks_like_a_cid_is_text(void)
{
    /* cut twice, with a digest of no bytes, and words */
    static const char *const words[] = {"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n", "bafkreifzjut3te1", "baeaq", "b", "backup",
                                        "zebra", "kappa"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        CU_ASSERT_TRUE(pg_kad_key_read(pg_text(words[i]), out, &len));
        CU_ASSERT_TRUE(pg_bytes_equal(pg_bytes(out, len), pg_text(words[i])));
    }
}

static const char *shown(const char *at, size_t n)
{
    size_t written = pg_kad_octets_text(pg_bytes(at, n), text, sizeof text);
    CU_ASSERT_EQUAL(written, strlen(text));
    return text;
}

static void octets_are_shown_as_text_where_that_reads_back(void)
{
    CU_ASSERT_STRING_EQUAL(shown("\"echo\"", 6), "\"echo\"");
    CU_ASSERT_STRING_EQUAL(shown("\xc3\xbc", 2), "\xc3\xbc");
    CU_ASSERT_STRING_EQUAL(shown("", 0), "");
    CU_ASSERT_STRING_EQUAL(shown("\xc3", 1), "0xc3");
    CU_ASSERT_STRING_EQUAL(shown("a\n", 2), "0x610a");
    CU_ASSERT_STRING_EQUAL(shown("\x1b[2J", 4), "0x1b5b324a");
    CU_ASSERT_STRING_EQUAL(shown("\0", 1), "0x00");
    CU_ASSERT_STRING_EQUAL(shown("0x12", 4), "0x30783132");
}

static void octets_that_are_shown_are_read_again_as_they_were(void)
{
    uint8_t octets[3], back[3];
    for (unsigned n = 0; n < 1u << 16; n += 7) {
        octets[0] = (uint8_t)n;
        octets[1] = (uint8_t)(n >> 8);
        octets[2] = (uint8_t)(n * 31);
        size_t written = pg_kad_octets_text(pg_bytes(octets, 3), text, sizeof text);
        if (!pg_kad_octets_read(pg_bytes(text, written), back, sizeof back, &len) || len != 3 || memcmp(octets, back, 3) != 0) {
            CU_FAIL("something was read that was not shown");
            return;
        }
    }
}

static void what_does_not_fit_is_not_shown_at_all(void)
{
    char small[6];
    CU_ASSERT_EQUAL(pg_kad_octets_text(PG_LIT("12345"), small, sizeof small), 5);
    CU_ASSERT_EQUAL(pg_kad_octets_text(PG_LIT("123456"), small, sizeof small), 0);
    CU_ASSERT_EQUAL(pg_kad_octets_text(PG_LIT("\xff"), small, sizeof small), 4);
    CU_ASSERT_EQUAL(pg_kad_octets_text(PG_LIT("\xff\xff"), small, sizeof small), 0);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a key is text or hex", a_key_is_text_or_hex},
        {"a key is at most 1024 bytes long", a_key_is_at_most_1024_bytes_long},
        {"a CID stands for its multihash", a_cid_stands_for_its_multihash},
        {"a peer id stands for its multihash", a_peer_id_stands_for_its_multihash},
        {"what only looks like a CID is text", what_only_looks_like_a_cid_is_text},
        {"octets are shown as text where that reads back", octets_are_shown_as_text_where_that_reads_back},
        {"octets that are shown are read again as they were", octets_that_are_shown_are_read_again_as_they_were},
        {"what does not fit is not shown at all", what_does_not_fit_is_not_shown_at_all},
    };
    return RUN_SUITE("keys and values of the DHT as text", sentences);
}
