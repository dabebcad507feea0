/* Runs a fuzz target without libFuzzer: a bounded number of seconds of mutated cases, so that any compiler can do it.
 * Linked with one target; called by ctest as `fuzz_X [-seconds=N] [-seed=N] [-runs=N] CORPUS.hex … CASES.md … INPUT …`.
 * It starts from the lines of its corpus (tests/fuzz/README.md), chosen more often than the inputs of the Markdown cases
 * (tests/wire/README.md); other files are taken as they are. */
#include "../wire/case_reader.h"
#include "fuzz.h"
#include <signal.h>
#include <time.h>

#define MOST_SEEDS 2000
#define LONGEST_SEED 5000 /* longer cases test limits, not grammar */
#define LONGEST (2 * LONGEST_SEED)

static struct pg_bytes seeds[MOST_SEEDS];
static size_t n_seeds, n_own; /* the target's own corpus comes first */
static uint64_t state = 0x9e3779b97f4a7c15u;
static uint8_t input[LONGEST];
static size_t input_len;

/* What was being tried, when it ends badly: to be put into a case. */
static void tell(void)
{
    fprintf(stderr, "the input was:\n```hex …\n");
    for (size_t i = 0; i < input_len; i++)
        fprintf(stderr, "%02x%s", input[i], i % 32 == 31 ? "\n" : "");
    fprintf(stderr, "\n```\n");
}

static void aborted(int number)
{
    (void)number;
    tell();
    _Exit(1);
}

extern void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static uint64_t any(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static void add_seed(const void *at, size_t len)
{
    if (n_seeds == MOST_SEEDS || len > LONGEST_SEED)
        return;
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        abort();
    memcpy(copy, at, len);
    seeds[n_seeds++] = pg_bytes(copy, len);
}

static void add_cases(const char *name)
{
    struct case_reader r = {.file = fopen(name, "r"), .name = name};
    struct wire_case c = {0};
    if (!r.file) {
        fprintf(stderr, "%s: cannot be opened\n", name);
        exit(2);
    }
    while (next_case(&r, &c))
        add_seed(c.input.at, c.input.len);
    fclose(r.file);
    free(c.input.at);
    free(c.expected.at);
}

/* A line of a corpus: hex, then perhaps a comment. */
static void add_corpus(const char *name)
{
    FILE *f = fopen(name, "r");
    char *line = NULL;
    size_t room = 0;
    if (!f) {
        fprintf(stderr, "%s: cannot be opened\n", name);
        exit(2);
    }
    while (getline(&line, &room, f) > 0) {
        struct heap bytes = {0};
        heap_clear(&bytes);
        if (!decode_hex(&bytes, line)) {
            fprintf(stderr, "%s: not hex: %s", name, line);
            exit(2);
        }
        if (bytes.len > 0)
            add_seed(bytes.at, bytes.len);
        free(bytes.at);
    }
    free(line);
    fclose(f);
    n_own = n_seeds;
}

static void add_file(const char *name)
{
    static uint8_t all[LONGEST_SEED + 1];
    FILE *f = fopen(name, "r");
    if (!f) {
        fprintf(stderr, "%s: cannot be opened\n", name);
        exit(2);
    }
    add_seed(all, fread(all, 1, sizeof all, f));
    fclose(f);
}

static void overwrite(size_t at)
{
    static const uint8_t telling[] = {0, 1, 2, 0x0a, 0x12, 0x1a, 0x22, 0x7f, 0x80, 0xff, '"', '\\', '{', '[', ':', '=', '@', ','};
    input[at] = any(2) ? telling[any(sizeof telling)] : (uint8_t)any(256);
}

/* One small change; a piece of another seed now and then. */
static void mutate(void)
{
    size_t at = (size_t)any(input_len + 1), n = 1 + (size_t)any(8);
    switch (any(5)) {
    case 0: /* change */
        if (at < input_len)
            overwrite(at);
        break;
    case 1: /* cut out */
        n = n < input_len - at ? n : input_len - at;
        memmove(input + at, input + at + n, input_len - at - n);
        input_len -= n;
        break;
    case 2: /* put in */
        if (input_len == LONGEST)
            break;
        memmove(input + at + 1, input + at, input_len - at);
        input_len++;
        overwrite(at);
        break;
    case 3: { /* join with another */
        struct pg_bytes other = seeds[any(n_seeds)];
        size_t take = pg_bytes_head(other, LONGEST - at).len;
        memcpy(input + at, other.at, take);
        input_len = at + take;
        break;
    }
    default: /* end early */ input_len = at; break;
    }
}

static void try_one(void)
{
    uint8_t *copy = malloc(input_len ? input_len : 1); /* exactly as long as it is, for the sanitizer */
    if (!copy)
        abort();
    memcpy(copy, input, input_len);
    (void)LLVMFuzzerTestOneInput(copy, input_len);
    free(copy);
}

static void take_seed(size_t number)
{
    memcpy(input, seeds[number].at, seeds[number].len);
    input_len = seeds[number].len;
}

int main(int argc, char **argv)
{
    double seconds = 1;
    unsigned long runs = 0, most = ~0ul;
    add_seed("", 0);
    for (int i = 1; i < argc; i++) {
        const char *dot = strrchr(argv[i], '.');
        if (strncmp(argv[i], "-seconds=", 9) == 0)
            seconds = atof(argv[i] + 9);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            state ^= strtoull(argv[i] + 6, NULL, 10) << 1;
        else if (strncmp(argv[i], "-runs=", 6) == 0)
            most = strtoul(argv[i] + 6, NULL, 10);
        else if (dot && strcmp(dot, ".hex") == 0)
            add_corpus(argv[i]);
        else if (dot && strcmp(dot, ".md") == 0)
            add_cases(argv[i]);
        else
            add_file(argv[i]);
    }
    signal(SIGABRT, aborted);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(tell);
    for (size_t i = 0; i < n_seeds; i++, runs++) {
        take_seed(i);
        try_one();
    }
    while (runs < most && (double)clock() / CLOCKS_PER_SEC < seconds) {
        take_seed((size_t)any(n_own > 1 && any(4) ? n_own : n_seeds));
        for (uint64_t n = 1 + any(6); n > 0; n--)
            mutate();
        try_one();
        runs++;
    }
    printf("%lu inputs, none of them broke it\n", runs);
    for (size_t i = 0; i < n_seeds; i++)
        free((void *)(uintptr_t)seeds[i].at);
    return 0;
}
