/* RSA and ECDSA keys of others: looked at before they are computed with, verified by libcrypto. Called by keys.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "RSA" and "ECDSA". What a stranger sends decides what a big number costs, so
 * every length is known before libcrypto sees a byte (CVE-2022-0778 was a curve of the sender's choice). */
#include "crypto/pkix.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "crypto/libcrypto.h"

#define RSA_BITS_LEAST 2048 /* go-libp2p's MinRsaKeyBits and maxRsaKeyBits, core/crypto/rsa_common.go; rust's ring the same */
#define RSA_BITS_MOST 8192
#define EXPONENT_BITS_MOST 31 /* as Go's crypto/rsa: a longer one makes every verification dear */

enum tag { INTEGER = 0x02, BIT_STRING = 0x03, SEQUENCE = 0x30 };

static const uint8_t rsa_algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

/* Everything before the coordinates: id-ecPublicKey, prime256v1, a bit string of 65 bytes, "uncompressed". */
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
#define P256_LEN (sizeof p256_head + 64)

/* Takes the value under a tag from the front of *in. DER has one form for each length: the shortest (X.690, 10.1). */
static bool take(struct pg_bytes *in, enum tag tag, struct pg_bytes *value)
{
    size_t len, head = 2;
    if (in->len < 2 || in->at[0] != tag)
        return false;
    len = in->at[1];
    if (len > 0x82 || len == 0x80) /* longer than 65,535, or not said */
        return false;
    if (len > 0x80) {
        head += len - 0x80;
        if (in->len < head)
            return false;
        len = head == 3 ? in->at[2] : (size_t)in->at[2] << 8 | in->at[3];
        if (len < (head == 3 ? 0x80u : 0x100u))
            return false;
    }
    if (in->len - head < len)
        return false;
    *value = pg_bytes(in->at + head, len);
    *in = pg_bytes_skip(*in, head + len);
    return true;
}

/* Takes a whole number above zero in its shortest form. Returns its length in bits, 0 when it is none. */
static size_t take_number(struct pg_bytes *in, bool *odd)
{
    struct pg_bytes n;
    if (!take(in, INTEGER, &n) || n.len == 0 || n.at[0] >= 0x80)
        return 0;
    if (n.at[0] == 0) {
        n = pg_bytes_skip(n, 1);
        if (n.len == 0 || n.at[0] < 0x80)
            return 0;
    }
    size_t bits = 8 * n.len;
    for (uint8_t first = n.at[0]; first < 0x80; first = (uint8_t)(first << 1))
        bits--;
    *odd = n.at[n.len - 1] & 1;
    return bits;
}

bool pg_pkix_rsa_fits(struct pg_bytes der)
{
    struct pg_bytes whole, bits, pair;
    bool odd_n, odd_e;
    if (der.len > PG_PKIX_MAX || !take(&der, SEQUENCE, &whole) || der.len)
        return false;
    if (!pg_bytes_equal(pg_bytes_head(whole, sizeof rsa_algorithm), pg_bytes(rsa_algorithm, sizeof rsa_algorithm)))
        return false;
    whole = pg_bytes_skip(whole, sizeof rsa_algorithm);
    if (!take(&whole, BIT_STRING, &bits) || whole.len || bits.len == 0 || bits.at[0] != 0)
        return false;
    bits = pg_bytes_skip(bits, 1);
    if (!take(&bits, SEQUENCE, &pair) || bits.len)
        return false;
    size_t n = take_number(&pair, &odd_n), e = take_number(&pair, &odd_e);
    /* Even numbers are no keys; an exponent of 1 would sign everything. */
    return pair.len == 0 && n >= RSA_BITS_LEAST && n <= RSA_BITS_MOST && odd_n && e >= 2 && e <= EXPONENT_BITS_MOST && odd_e;
}

bool pg_pkix_ecdsa_fits(struct pg_bytes der)
{
    return der.len == P256_LEN && pg_bytes_equal(pg_bytes_head(der, sizeof p256_head), pg_bytes(p256_head, sizeof p256_head));
}

/* What libcrypto takes is what the others take: RSA signatures have the modulus' length; ECDSA ones are strict DER of two
 * numbers from 1 to below the order. There a high s is good, as in Go's crypto/ecdsa (which makes such) and in rust's p256. */
bool pg_pkix_verify(struct pg_bytes der, struct pg_bytes message, struct pg_bytes signature)
{
    const unsigned char *at = der.at;
    assert(der.len <= PG_PKIX_MAX);
    if (signature.len == 0)
        return false;
    pg_libcrypto_start();
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.len);
    EVP_MD_CTX *ctx = key ? EVP_MD_CTX_new() : NULL;
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, signature.at, signature.len, message.at, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error(); /* a refusal leaves its story with the thread */
    return good;
}
