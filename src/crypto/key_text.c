/* Reads and writes private keys as protobuf, base64 and PEM. Called by src/cli/key.c; libcrypto does the PEM.
 * Serves libp2p/specs peer-ids/peer-ids.md, "Keys", RFC 5958, RFC 8410 and RFC 5915. */
#include "crypto/key_text.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>

#include "mem/secret.h"

#define SECRET_LEN 32
#define PROTO_READ_MAX 8192 /* RSA of others: told from rubbish, not used */

static enum pg_err say(char why[PG_KEY_WHY], enum pg_err err, const char *text)
{
    snprintf(why, PG_KEY_WHY, "%s", text);
    return err;
}

/* --- out --- */

static EVP_PKEY *ed25519_to_libcrypto(const struct pg_identity *identity)
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, pg_identity_secret(identity), SECRET_LEN);
}

static EVP_PKEY *secp256k1_to_libcrypto(const struct pg_identity *identity)
{
    struct pg_bytes point = pg_public_key_raw(pg_identity_public(identity));
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *number = BN_secure_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (build && number && ctx && BN_bin2bn(pg_identity_secret(identity), SECRET_LEN, number) &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "secp256k1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.at, point.len) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params && EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params); /* wipes what came from a secure number */
    OSSL_PARAM_BLD_free(build);
    BN_clear_free(number);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static size_t write_pem(const struct pg_identity *identity, uint8_t out[PG_KEY_TEXT_MAX], char why[PG_KEY_WHY])
{
    bool ed25519 = pg_identity_public(identity)->type == PG_KEY_ED25519;
    EVP_PKEY *key = ed25519 ? ed25519_to_libcrypto(identity) : secp256k1_to_libcrypto(identity);
    BIO *text = BIO_new(BIO_s_secmem());
    char *at = NULL;
    size_t len = 0;
    if (key && text && PEM_write_bio_PKCS8PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long n = BIO_get_mem_data(text, &at);
        if (n > 0 && n <= PG_KEY_TEXT_MAX) {
            len = (size_t)n;
            memcpy(out, at, len);
        }
    }
    if (!len)
        (void)say(why, PG_ERR_KEY_UNSUPPORTED, ed25519 ? "libcrypto cannot write ed25519 as PEM here; take another form"
                                                       : "libcrypto does not know secp256k1 here; take another form");
    BIO_free(text);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return len;
}

size_t pg_key_text_write(const struct pg_identity *identity, enum pg_key_format format, uint8_t out[PG_KEY_TEXT_MAX],
                         char why[PG_KEY_WHY])
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX];
    why[0] = 0;
    if (format == PG_KEY_PEM)
        return write_pem(identity, out, why);
    size_t len = pg_identity_protobuf(identity, proto);
    if (format == PG_KEY_PROTOBUF) {
        memcpy(out, proto, len);
    } else {
        sodium_bin2base64((char *)out, PG_KEY_TEXT_MAX, proto, len, sodium_base64_VARIANT_ORIGINAL);
        len = strlen((char *)out);
        out[len++] = '\n';
    }
    sodium_memzero(proto, sizeof proto);
    return len;
}

size_t pg_key_public_text(const struct pg_public_key *key, char out[PG_KEY_PUBLIC_TEXT])
{
    struct pg_bytes proto = pg_public_key_protobuf(key);
    out[0] = 0;
    if (sodium_base64_ENCODED_LEN(proto.len, sodium_base64_VARIANT_ORIGINAL) <= PG_KEY_PUBLIC_TEXT)
        sodium_bin2base64(out, PG_KEY_PUBLIC_TEXT, proto.at, proto.len, sodium_base64_VARIANT_ORIGINAL);
    return strlen(out);
}

void pg_key_wipe(void *at, size_t len)
{
    sodium_memzero(at, len);
}

/* --- in --- */

/* Nobody is asked for a password: an encrypted key is refused with a remedy. */
static int no_password(char *out, int room, int writing, void *user)
{
    (void)out;
    (void)room;
    (void)writing;
    (void)user;
    return -1;
}

/* The seed or number into secret; *type tells which. */
static enum pg_err take_secret(EVP_PKEY *key, uint8_t secret[SECRET_LEN], enum pg_key_type *type)
{
    char group[32] = "";
    size_t len = SECRET_LEN;
    BIGNUM *number = NULL;
    if (EVP_PKEY_is_a(key, "ED25519")) {
        *type = PG_KEY_ED25519;
        return EVP_PKEY_get_raw_private_key(key, secret, &len) == 1 && len == SECRET_LEN ? PG_OK : PG_ERR_KEY_BAD;
    }
    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1 || strcmp(group, "secp256k1") != 0)
        return PG_ERR_KEY_UNSUPPORTED;
    *type = PG_KEY_SECP256K1;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
                BN_bn2binpad(number, secret, SECRET_LEN) == SECRET_LEN;
    BN_clear_free(number);
    return good ? PG_OK : PG_ERR_KEY_BAD;
}

static bool holds(struct pg_bytes text, const char *word)
{
    return memmem(text.at, text.len, word, strlen(word)) != NULL;
}

static enum pg_err read_pem(struct pg_identity **identity, struct pg_bytes text, char why[PG_KEY_WHY])
{
    struct pg_secret secret;
    enum pg_key_type type = PG_KEY_ED25519;
    if (holds(text, "BEGIN OPENSSH"))
        return say(why, PG_ERR_KEY_UNSUPPORTED, "is a key of OpenSSH: it has a form of its own, and only PKCS#8 is read; make a new key with punchgate key new");
    if (holds(text, "ENCRYPTED"))
        return say(why, PG_ERR_KEY_UNSUPPORTED, "is encrypted: take the password off with openssl pkey -in FILE -out FILE");
    if (!pg_secret_new(&secret))
        return say(why, PG_ERR_NO_MEMORY, "cannot be read, memory is short");
    BIO *in = BIO_new_mem_buf(text.at, (int)text.len);
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;
    enum pg_err err = key ? take_secret(key, secret.at, &type) : PG_ERR_KEY_BAD;
    if (err == PG_OK)
        err = pg_identity_from_secret(identity, type, secret.at);
    EVP_PKEY_free(key);
    BIO_free(in);
    ERR_clear_error();
    pg_secret_free(&secret);
    if (err == PG_ERR_KEY_UNSUPPORTED)
        return say(why, err, "holds a key of another type: a peer of ours has ed25519 or secp256k1; make one with punchgate key new");
    return err == PG_OK ? PG_OK : say(why, err, "is not a private key in PEM form: name a file that openssl pkey -in FILE can read");
}

static enum pg_err read_proto(struct pg_identity **identity, struct pg_bytes proto, char why[PG_KEY_WHY])
{
    enum pg_err err = pg_identity_read(identity, proto);
    if (err == PG_ERR_KEY_UNSUPPORTED)
        return say(why, err, "holds a key of RSA or ECDSA: a peer of ours has ed25519 or secp256k1; make one with punchgate key new");
    return err == PG_OK ? PG_OK : say(why, err, err == PG_ERR_NO_MEMORY ? "cannot be read, memory is short" : "is not a libp2p private key: name a file that holds one whole");
}

enum pg_err pg_key_text_read(struct pg_identity **identity, struct pg_bytes text, char why[PG_KEY_WHY])
{
    uint8_t proto[PROTO_READ_MAX];
    size_t len = 0;
    *identity = NULL;
    why[0] = 0;
    if (text.len == 0)
        return say(why, PG_ERR_KEY_BAD, "is empty: name a file that holds a private key");
    if (holds(text, "-----BEGIN "))
        return read_pem(identity, text, why);
    if (text.at[0] == 0x08) /* the key's type comes first; no letter of base64 */
        return read_proto(identity, text, why);
    enum pg_err err;
    if (sodium_base642bin(proto, sizeof proto, (const char *)text.at, text.len, " \t\r\n", &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) == 0 && len > 0)
        err = read_proto(identity, pg_bytes(proto, len), why);
    else
        err = say(why, PG_ERR_KEY_BAD, "is neither libp2p protobuf nor base64 of it nor PEM: name one that is; openssl pkey -in FILE -out FILE makes PEM of other forms");
    sodium_memzero(proto, sizeof proto);
    return err;
}
