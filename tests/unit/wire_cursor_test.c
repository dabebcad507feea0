/* Cursors and writers: what they read and write, and that a failed one stays failed and harmless.
 * Run by ctest. Serves runtime/wire/cursor.h; variable-length numbers by multiformats/unsigned-varint README.md. */
#include "wire/cursor.h"
#include "wire/utf8.h"
#include <stdio.h>

static unsigned passed, failed;

#define CHECK(truth)                                                                                                             \
    do {                                                                                                                         \
        if (truth) {                                                                                                             \
            passed++;                                                                                                            \
        } else {                                                                                                                 \
            failed++;                                                                                                            \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #truth);                                                           \
        }                                                                                                                        \
    } while (0)

static void fixed_numbers_come_back(void)
{
    uint8_t room[32];
    struct pg_writer w = pg_writer(room, sizeof room);
    pg_put_u8(&w, 0xab);
    pg_put_u16be(&w, 0x0102);
    pg_put_u32be(&w, 0xfffefdfc);
    pg_put_u64be(&w, 0x0102030405060708);
    pg_put_bytes(&w, PG_LIT("xyz"));
    pg_put_bytes(&w, PG_NONE);
    CHECK(!w.failed && w.len == 18 && room[1] == 1 && room[2] == 2);
    struct pg_cursor c = pg_cursor(pg_written(&w));
    CHECK(pg_take_u8(&c) == 0xab);
    CHECK(pg_take_u16be(&c) == 0x0102);
    CHECK(pg_take_u32be(&c) == 0xfffefdfc);
    CHECK(pg_take_u64be(&c) == 0x0102030405060708);
    CHECK(pg_cursor_left(&c) == 3 && !pg_cursor_done(&c));
    CHECK(pg_bytes_equal(pg_take_bytes(&c, 3), PG_LIT("xyz")));
    CHECK(pg_cursor_done(&c));
    CHECK(pg_take_bytes(&c, 0).len == 0 && !c.failed);
}

static void a_failed_cursor_reads_zeros(void)
{
    struct pg_cursor c = pg_cursor(PG_LIT("\x01\x02\x03"));
    CHECK(pg_take_u32be(&c) == 0 && c.failed);
    CHECK(pg_take_u8(&c) == 0 && pg_take_uvarint(&c) == 0);
    CHECK(pg_take_bytes(&c, 1).at == NULL && !pg_cursor_done(&c));
    c = pg_cursor(PG_LIT("abc"));
    CHECK(pg_take_bytes(&c, UINT64_MAX).len == 0 && c.failed);
    c = pg_cursor(PG_NONE);
    CHECK(pg_cursor_done(&c));
    CHECK(pg_take_u8(&c) == 0 && c.failed);
}

static void a_failed_writer_writes_nothing_more(void)
{
    uint8_t room[4] = {9, 9, 9, 9};
    struct pg_writer w = pg_writer(room, 3);
    pg_put_u16be(&w, 0x0101);
    pg_put_u16be(&w, 0x0202);
    CHECK(w.failed && w.len == 2 && room[2] == 9);
    pg_put_u8(&w, 3);
    CHECK(w.len == 2 && room[2] == 9 && pg_put_room(&w, 0) == NULL);
}

static void variable_numbers_come_back(void)
{
    static const uint64_t numbers[] = {
        0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, (uint64_t)1 << 62, (uint64_t)1 << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uint8_t room[PG_UVARINT_MAX];
        struct pg_writer w = pg_writer(room, sizeof room);
        pg_put_uvarint(&w, numbers[i]);
        CHECK(!w.failed && w.len == pg_uvarint_size(numbers[i]));
        struct pg_cursor c = pg_cursor(pg_written(&w));
        CHECK(pg_take_uvarint(&c) == numbers[i] && pg_cursor_done(&c));
        c = pg_cursor(pg_bytes_head(pg_written(&w), w.len - 1)); /* and end early */
        CHECK(pg_take_uvarint(&c) == 0 && c.failed);
    }
}

static void numbers_too_long_or_not_shortest_are_refused(void)
{
    const struct {
        struct pg_bytes bytes;
        bool shortest, any; /* is it taken by either reading? */
    } cases[] = {
        {PG_LIT("\x81\x00"), false, true},
        {PG_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), true, true}, /* 2^63 */
        {PG_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), false, true},
        {PG_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"), false, false}, /* 2^64 */
        {PG_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), false, false},
        {PG_LIT("\x00"), true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_cursor strict = pg_cursor(cases[i].bytes), lax = strict;
        (void)pg_take_uvarint(&strict);
        (void)pg_take_varint(&lax, false);
        CHECK(pg_cursor_done(&strict) == cases[i].shortest);
        CHECK(pg_cursor_done(&lax) == cases[i].any);
    }
}

static void text_is_utf8_or_not(void)
{
    const struct pg_bytes good[] = {PG_LIT(""), PG_LIT("a\0b"), PG_LIT("\xc2\x80"),
                                    PG_LIT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"), PG_LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")};
    const struct pg_bytes bad[] = {PG_LIT("\x80"),
                                   PG_LIT("\xc0\x80"),
                                   PG_LIT("\xc1\xbf"),
                                   PG_LIT("\xc2"),
                                   PG_LIT("\xe0\x9f\xbf"),
                                   PG_LIT("\xed\xa0\x80"),
                                   PG_LIT("\xe1\x80"),
                                   PG_LIT("\xf0\x8f\xbf\xbf"),
                                   PG_LIT("\xf4\x90\x80\x80"),
                                   PG_LIT("\xf5\x80\x80\x80"),
                                   PG_LIT("\xff"),
                                   PG_LIT("\xc3\x28")};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(pg_utf8_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!pg_utf8_valid(bad[i]));
}

int main(void)
{
    fixed_numbers_come_back();
    a_failed_cursor_reads_zeros();
    a_failed_writer_writes_nothing_more();
    variable_numbers_come_back();
    numbers_too_long_or_not_shortest_are_refused();
    text_is_utf8_or_not();
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
