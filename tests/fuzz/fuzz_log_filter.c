/* Fuzz target: any text makes a filter of at most 32 directives, each a piece of the text.
 * Run by libFuzzer or by standalone.c.
 * Serves spec/wire/log_filter.rl. */
#include "wire/log_filter.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_filter f;
    enum pg_err err = pg_filter_parse(&f, pg_bytes(data, size));
    FUZZ_WANT((err == PG_OK) == (f.n_bad == 0));
    FUZZ_WANT(f.n_directives >= 1 && f.n_directives <= PG_FILTER_MOST);
    FUZZ_WANT(f.n_bad == 0 || (f.first_bad.at >= data && f.first_bad.at + f.first_bad.len <= data + size));
    for (uint32_t i = 0; i < f.n_directives; i++) {
        struct pg_bytes t = f.directives[i].target;
        FUZZ_WANT(t.len == 0 || (t.at >= data && t.at + t.len <= data + size));
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)t.len, t.len ? (const char *)t.at : "");
        if (t.len < sizeof name && !memchr(name, 0, t.len)) /* its own target finds it */
            FUZZ_WANT(pg_filter_level(&f, name) == f.directives[i].level);
    }
    return 0;
}
