/* Secret memory: slots are aligned, apart, wiped, given back, and end at a limit.
 * Run by ctest. Serves docs/STYLE.md, "Memory". */
#include "crypto_suite.h"

#include "mem/poison.h"
#include "mem/secret.h"

static void a_fresh_slot_is_zero_aligned_and_counted(void)
{
    static const uint8_t zeros[PG_SECRET_ROOM];
    struct pg_secret a, b;
    uint32_t before = pg_secrets_held();
    CU_ASSERT_TRUE_FATAL(pg_secret_new(&a));
    CU_ASSERT_TRUE_FATAL(pg_secret_new(&b));
    CU_ASSERT_EQUAL(pg_secrets_held(), before + 2);
    CU_ASSERT_EQUAL((uintptr_t)a.at % 64, 0);
    CU_ASSERT_TRUE(a.at + PG_SECRET_ROOM <= b.at || b.at + PG_SECRET_ROOM <= a.at);
    CU_ASSERT_EQUAL(memcmp(a.at, zeros, sizeof zeros), 0);
    pg_secret_free(&a);
    pg_secret_free(&b);
    CU_ASSERT_EQUAL(pg_secrets_held(), before);
}

static void what_was_in_a_slot_is_gone_when_it_is_taken_again(void)
{
    static const uint8_t zeros[PG_SECRET_ROOM];
    struct pg_secret a;
    CU_ASSERT_TRUE_FATAL(pg_secret_new(&a));
    uint8_t *at = a.at;
    memset(a.at, 0xaa, PG_SECRET_ROOM);
    pg_secret_free(&a);
    CU_ASSERT_PTR_NULL(a.at);
    pg_unpoison(at, PG_SECRET_ROOM); /* nobody else may look */
    CU_ASSERT_EQUAL(memcmp(at, zeros, sizeof zeros), 0);
    CU_ASSERT_TRUE_FATAL(pg_secret_new(&a));
    CU_ASSERT_PTR_EQUAL(a.at, at);
    CU_ASSERT_EQUAL(memcmp(at, zeros, sizeof zeros), 0);
    pg_secret_free(&a);
}

static void freeing_none_does_nothing(void)
{
    struct pg_secret none = {0};
    uint32_t before = pg_secrets_held();
    pg_secret_free(&none);
    CU_ASSERT_EQUAL(pg_secrets_held(), before);
}

static void all_slots_can_be_taken_and_then_no_more_until_one_is_freed(void)
{
    static struct pg_secret all[PG_SECRETS_MOST];
    struct pg_secret more;
    uint32_t n = 0;
    while (n < PG_SECRETS_MOST && pg_secret_new(&all[n]))
        n++;
    CU_ASSERT_EQUAL(n, PG_SECRETS_MOST);
    CU_ASSERT_FALSE(pg_secret_new(&more));
    CU_ASSERT_PTR_NULL(more.at);
    pg_secret_free(&all[12345]);
    CU_ASSERT_TRUE(pg_secret_new(&all[12345]));
    CU_ASSERT_FALSE(pg_secret_new(&more));
    for (uint32_t i = 0; i < n; i++)
        pg_secret_free(&all[i]);
    CU_ASSERT_EQUAL(pg_secrets_held(), 0);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a fresh slot is zero, aligned and counted", a_fresh_slot_is_zero_aligned_and_counted},
        {"what was in a slot is gone when it is taken again", what_was_in_a_slot_is_gone_when_it_is_taken_again},
        {"freeing none does nothing", freeing_none_does_nothing},
        {"all slots can be taken, and then no more until one is freed",
         all_slots_can_be_taken_and_then_no_more_until_one_is_freed},
    };
    return RUN_SUITE("secret memory", sentences);
}
