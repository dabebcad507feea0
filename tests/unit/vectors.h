/* The vectors of tests/vectors.json, how to ask them, and whose answer counts where the libraries differ.
 * Used by vectors_test.c and vectors_nat_test.c. */
#pragma once
#include "crypto_suite.h"

#include <cjson/cJSON.h>

#include "crypto/keys.h"

static cJSON *vectors;

/* Whose answer is ours where they differ: a library, or nobody's but a refusal. */
static const struct {
    const char *name, *follow, *why;
} choices[] = {
    {"key/ecdsa/public", "go-libp2p", "js writes an ECDSA key that is not DER of a named curve"},
    {"key/rsa1024-rejected", "error", "as go: below 2048 bits a key proves nothing, rust and js find out later"},
    {"key/rsa/private-canonical", "go-libp2p", "rust writes no RSA keys"},
    {"key/ed25519-96-byte-private", "go-libp2p", "old files of go and js must load"},
    {"peer-id/parse/cidv1-base32", "go-libp2p", "peer-ids.md asks for it; only rust cannot"},
    {"peer-id/parse/cidv1-base36", "go-libp2p", "the form of kubo's names; only rust cannot"},
    {"multiaddr/text//p2p/bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "go-libp2p", "as peer ids"},
    {"multiaddr/text//unix/tmp/p2p.sock", "go-libp2p", "the only one that knows the protocol"},
    {"multiaddr/text//memory/5", "go-libp2p", "eight bytes, as rust has it, too"},
    {"multiaddr/text//ip4/1.2.3.4/tcp/00080", "error", "one number, one text"},
    {"multiaddr/text//ip4/1.2.3.4/tcp/4001/", "error", "one address, one text"},
    {"multiaddr/text-invalid/(empty)", "error", "nothing is no address"},
    {"multiaddr/text-invalid//", "error", "nothing is no address"},
    {"multiaddr/text-invalid///ip4/1.2.3.4", "error", "an empty name is no protocol"},
    {"multiaddr/text-invalid//ip4/1.2.3.4//tcp/1", "error", "an empty name is no protocol"},
    {"multiaddr/text-invalid//ip4/1.2.3.4/tcp/1/p2p/bafybeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "error",
     "the CID is of dag-pb, not of a key"},
    {"multiaddr/text-invalid//dns4//tcp/1", "error", "an empty name names no host"},
    {"multiaddr/text-invalid//ip4/1.2.3.4/udp/1/quic-v1/certhash/zzz", "error", "not a multihash"},
    {"multiaddr/bytes/p2p-length-past-end", "error", "go and rust agree"},
    {"multiaddr/bytes/dns-empty", "error", "an empty name names no host"},
    {"multiaddr/bytes/dns-slash", "error", "could not be read again"},
    {"multiaddr/bytes/empty", "error", "nothing is no address"},
    {"multiaddr/bytes/dns-bad-utf8", "error", "could not be printed and read again"},
    {"multiaddr/bytes/p2p-sha1-multihash", "error", "go and rust agree"},
};

enum outcome { GOOD, WRONG, LATER };

static inline const char *text_of(const cJSON *object, const char *field)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, field);
    return cJSON_IsString(found) ? found->valuestring : NULL;
}

static inline const char *input(const cJSON *vector, const char *field)
{
    return text_of(cJSON_GetObjectItemCaseSensitive(vector, "input"), field);
}

static inline int number(const cJSON *vector, const char *field)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(vector, "input"), field)->valueint;
}

/* What we have to answer: hex, text or "error"; NULL when nobody chose. */
static inline const char *expected(const cJSON *vector)
{
    const char *name = text_of(vector, "name"), *all = text_of(vector, "expected");
    if (all)
        return all;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (strcmp(choices[i].name, name) == 0)
            return strcmp(choices[i].follow, "error") == 0
                       ? "error"
                       : text_of(cJSON_GetObjectItemCaseSensitive(vector, "differ"), choices[i].follow);
    return NULL;
}

static inline enum outcome same_text(const cJSON *vector, const char *ours)
{
    const char *theirs = expected(vector);
    if (theirs && strcmp(theirs, ours) == 0)
        return GOOD;
    fprintf(stderr, "\n%s\n  expected %s\n  got      %s\n", text_of(vector, "name"), theirs ? theirs : "(no choice)", ours);
    return WRONG;
}

/* Two digits a byte and a NUL. */
static inline void to_hex(char *out, struct pg_bytes bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes.at[i]);
    out[2 * bytes.len] = 0;
}

static inline enum outcome same_bytes(const cJSON *vector, struct pg_bytes ours)
{
    char *hex = malloc(2 * ours.len + 1);
    if (!hex)
        abort();
    to_hex(hex, ours);
    enum outcome outcome = same_text(vector, hex);
    free(hex);
    return outcome;
}

/* "seed:" and 32 bytes, or a protobuf. */
static inline enum pg_err identity_of(const char *text, struct pg_identity **identity)
{
    size_t len;
    bool seed = strncmp(text, "seed:", 5) == 0;
    uint8_t *bytes = unhex(seed ? text + 5 : text, &len);
    enum pg_err err = PG_OK;
    if (seed)
        *identity = pg_identity_from_seed(bytes);
    else
        err = pg_identity_read(identity, pg_bytes(bytes, len));
    free(bytes);
    return err;
}

/* How often each op came out how. */
struct tally {
    const char *op;
    int good, later;
};
static struct tally tallies[40];
static size_t n_tallies;

static inline void run(const char *op, enum outcome (*check)(const cJSON *))
{
    const cJSON *vector;
    struct tally *tally = &tallies[n_tallies++];
    tally->op = op;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItemCaseSensitive(vectors, "cases"))
    {
        if (strcmp(text_of(vector, "op"), op) != 0)
            continue;
        enum outcome outcome = check(vector);
        CU_ASSERT_NOT_EQUAL(outcome, WRONG);
        tally->good += outcome == GOOD;
        tally->later += outcome == LATER;
    }
    CU_ASSERT_TRUE(tally->good > 0);
}

static inline cJSON *load(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: cannot be opened; run this in the source root\n", path);
        return NULL;
    }
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    return cJSON_ParseWithLength(text, n);
}
