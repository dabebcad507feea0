/* The three messages of Noise XX, by a table of their tokens, and the libp2p payload inside them.
 * Called by the noise machines of src/transport. Serves noiseprotocol.org rev. 34, sections 5.2, 5.3 and 7.5, and
 * libp2p/specs noise/README.md, "The libp2p Handshake Payload". */
#include "crypto/noise_cipher.h"

#include <assert.h>
#include <sodium.h>

#include "crypto/noise_split.h"
#include "crypto/oracle.h"
#include "noise.pb.gen.h"

#define SIGN_PREFIX "noise-libp2p-static-key:"
#define SIGNED_LEN (sizeof SIGN_PREFIX - 1 + PG_NOISE_KEY)

/* XX, by message: the side that writes, and what comes before the payload. Two letters name a shared secret: the
 * initiator's key first. */
enum token { TOKEN_END, TOKEN_E, TOKEN_S, TOKEN_EE, TOKEN_ES, TOKEN_SE };
static const uint8_t pattern[3][5] = {
    {TOKEN_E},
    {TOKEN_E, TOKEN_EE, TOKEN_S, TOKEN_ES},
    {TOKEN_S, TOKEN_SE},
};

static const char protocol_name[PG_NOISE_KEY + 1] = "Noise_XX_25519_ChaChaPoly_SHA256"; /* 32 letters: is its own hash */

static_assert(sizeof protocol_name == crypto_hash_sha256_BYTES + 1, "section 5.2, InitializeSymmetric");
static_assert(2 * PG_NOISE_KEY <= PG_SECRET_ROOM, "chaining and cipher key share a slot");

static uint8_t *chaining_key(struct pg_noise_handshake *hs)
{
    return hs->state.at;
}

static uint8_t *cipher_key(struct pg_noise_handshake *hs)
{
    return hs->state.at + PG_NOISE_KEY;
}

/* No key outlives a failure; what is public stays readable. */
static void give_up(struct pg_noise_handshake *hs)
{
    pg_secret_free(&hs->state);
    pg_secret_free(&hs->ephemeral);
    hs->broken = true;
}

bool pg_noise_handshake_init(struct pg_noise_handshake *hs, bool initiator, const struct pg_noise_static *s)
{
    *hs = (struct pg_noise_handshake){.own = s, .initiator = initiator};
    if (!pg_secret_new(&hs->state) || !pg_secret_new(&hs->ephemeral)) {
        give_up(hs);
        return false;
    }
    memcpy(hs->hash, protocol_name, PG_NOISE_KEY);
    memcpy(chaining_key(hs), protocol_name, PG_NOISE_KEY);
    crypto_hash_sha256(hs->hash, hs->hash, PG_NOISE_KEY); /* MixHash of the empty prologue */
    return true;
}

void pg_noise_handshake_free(struct pg_noise_handshake *hs)
{
    give_up(hs);
}

static void mix_hash(struct pg_noise_handshake *hs, struct pg_bytes data)
{
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, hs->hash, PG_NOISE_KEY);
    crypto_hash_sha256_update(&state, data.at, data.len);
    crypto_hash_sha256_final(&state, hs->hash);
}

static void hmac(uint8_t out[PG_NOISE_KEY], const uint8_t key[PG_NOISE_KEY], struct pg_bytes a, struct pg_bytes b)
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, PG_NOISE_KEY);
    crypto_auth_hmacsha256_update(&state, a.at, a.len);
    crypto_auth_hmacsha256_update(&state, b.at, b.len);
    crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

/* HKDF with two outputs (section 4.3). out is 64 bytes and may not overlap key or input. */
static void hkdf(uint8_t *out, const uint8_t key[PG_NOISE_KEY], struct pg_bytes input)
{
    uint8_t mid[PG_NOISE_KEY];
    hmac(mid, key, input, PG_NONE);
    hmac(out, mid, pg_bytes("\1", 1), PG_NONE);
    hmac(out + PG_NOISE_KEY, mid, pg_bytes(out, PG_NOISE_KEY), pg_bytes("\2", 1));
    sodium_memzero(mid, sizeof mid);
}

/* MixKey of a Diffie-Hellman. False for a point of low order, whose result is zero for every secret (section 12.1 leaves
 * that check to us: libp2p peers do it). */
static bool mix_dh(struct pg_noise_handshake *hs, const uint8_t *secret, const uint8_t *point)
{
    uint8_t shared[PG_NOISE_KEY], keys[2 * PG_NOISE_KEY];
    bool own_static = secret == hs->own->secret.at, recalled = own_static && pg_oracle_recall(PG_ORACLE_SHARED, shared, sizeof shared);
    bool ok = recalled || crypto_scalarmult_curve25519(shared, secret, point) == 0;
    if (own_static && !recalled)
        pg_oracle_tell(PG_ORACLE_SHARED, shared, ok ? sizeof shared : 0);
    if (ok) {
        hkdf(keys, chaining_key(hs), pg_bytes(shared, sizeof shared));
        memcpy(hs->state.at, keys, sizeof keys);
        hs->nonce = 0;
        hs->keyed = true;
    }
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(keys, sizeof keys);
    return ok;
}

/* DH of the token, from our side of the table. */
static bool mix_token(struct pg_noise_handshake *hs, enum token token)
{
    bool own_static = token == (hs->initiator ? TOKEN_SE : TOKEN_ES);
    bool their_static = token == (hs->initiator ? TOKEN_ES : TOKEN_SE);
    return mix_dh(hs, own_static ? hs->own->secret.at : hs->ephemeral.at,
                  their_static ? hs->remote_static : hs->remote_ephemeral);
}

static void nonce_bytes(struct pg_noise_handshake *hs, uint8_t out[crypto_aead_chacha20poly1305_ietf_NPUBBYTES])
{
    memset(out, 0, crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
    out[4] = (uint8_t)hs->nonce++; /* at most two messages a key */
}

/* EncryptAndHash: writes plain.len bytes, and a tag once there is a key; returns how many. */
static size_t seal(struct pg_noise_handshake *hs, struct pg_bytes plain, uint8_t *out)
{
    size_t n = plain.len;
    if (hs->keyed) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
        nonce_bytes(hs, nonce);
        crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.at, plain.len, hs->hash, PG_NOISE_KEY, NULL, nonce,
                                                  cipher_key(hs));
        n += PG_NOISE_TAG;
    } else if (n) {
        memcpy(out, plain.at, n);
    }
    mix_hash(hs, pg_bytes(out, n));
    return n;
}

/* DecryptAndHash: the other way; text.len is checked against the tag by the caller. */
static bool unseal(struct pg_noise_handshake *hs, struct pg_bytes text, uint8_t *out)
{
    bool ok = true;
    if (hs->keyed) {
        uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
        nonce_bytes(hs, nonce);
        ok = crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, text.at, text.len, hs->hash, PG_NOISE_KEY, nonce,
                                                       cipher_key(hs)) == 0;
    } else if (text.len) {
        memcpy(out, text.at, text.len);
    }
    if (ok)
        mix_hash(hs, text);
    return ok;
}

void pg_noise_fix_ephemeral(struct pg_noise_handshake *hs, const uint8_t secret[PG_NOISE_KEY])
{
    memcpy(hs->ephemeral.at, secret, PG_NOISE_KEY);
    hs->have_ephemeral = true;
}

static void make_ephemeral(struct pg_noise_handshake *hs)
{
    if (!hs->have_ephemeral && !pg_oracle_recall(PG_ORACLE_EPHEMERAL, hs->ephemeral.at, PG_NOISE_KEY)) {
        randombytes_buf(hs->ephemeral.at, PG_NOISE_KEY);
        pg_oracle_tell(PG_ORACLE_EPHEMERAL, hs->ephemeral.at, PG_NOISE_KEY);
    }
    hs->have_ephemeral = true;
    crypto_scalarmult_curve25519_base(hs->ephemeral_public, hs->ephemeral.at);
}

bool pg_noise_done(const struct pg_noise_handshake *hs)
{
    return hs->message == 3;
}

static bool our_turn(const struct pg_noise_handshake *hs)
{
    return !hs->broken && hs->message < 3 && hs->initiator == (hs->message % 2 == 0);
}

/* How long the next message is without its payload's plain text. */
static size_t overhead(const struct pg_noise_handshake *hs)
{
    static const uint8_t by_message[] = {PG_NOISE_KEY, 2 * PG_NOISE_KEY + 2 * PG_NOISE_TAG, PG_NOISE_KEY + 2 * PG_NOISE_TAG};
    return by_message[hs->message];
}

size_t pg_noise_write(struct pg_noise_handshake *hs, struct pg_bytes payload, uint8_t *out, size_t room)
{
    if (room > PG_NOISE_MESSAGE_MAX)
        room = PG_NOISE_MESSAGE_MAX;
    if (!our_turn(hs) || room < overhead(hs) || payload.len > room - overhead(hs))
        return 0;
    size_t n = 0;
    for (const uint8_t *token = pattern[hs->message]; *token != TOKEN_END; token++) {
        if (*token == TOKEN_E) {
            make_ephemeral(hs);
            memcpy(out + n, hs->ephemeral_public, PG_NOISE_KEY);
            mix_hash(hs, pg_bytes(out + n, PG_NOISE_KEY));
            n += PG_NOISE_KEY;
        } else if (*token == TOKEN_S) {
            n += seal(hs, pg_bytes(hs->own->public_key, PG_NOISE_KEY), out + n);
        } else if (!mix_token(hs, *token)) {
            give_up(hs);
            return 0;
        }
    }
    n += seal(hs, payload, out + n);
    hs->message++;
    return n;
}

/* The tokens before the payload; *in is the rest then. Lengths were checked. */
static bool read_tokens(struct pg_noise_handshake *hs, struct pg_bytes *in)
{
    for (const uint8_t *token = pattern[hs->message]; *token != TOKEN_END; token++) {
        if (*token == TOKEN_E) {
            memcpy(hs->remote_ephemeral, in->at, PG_NOISE_KEY);
            mix_hash(hs, pg_bytes_head(*in, PG_NOISE_KEY));
            *in = pg_bytes_skip(*in, PG_NOISE_KEY);
        } else if (*token == TOKEN_S) {
            if (!unseal(hs, pg_bytes_head(*in, PG_NOISE_KEY + PG_NOISE_TAG), hs->remote_static))
                return false;
            *in = pg_bytes_skip(*in, PG_NOISE_KEY + PG_NOISE_TAG);
        } else if (!mix_token(hs, *token)) {
            return false;
        }
    }
    return true;
}

enum pg_err pg_noise_read(struct pg_noise_handshake *hs, struct pg_bytes message, uint8_t *payload, size_t room,
                          size_t *payload_len)
{
    *payload_len = 0;
    bool ours_to_read = !hs->broken && hs->message < 3 && !our_turn(hs);
    if (!ours_to_read || message.len < overhead(hs) || message.len > PG_NOISE_MESSAGE_MAX || message.len - overhead(hs) > room) {
        give_up(hs);
        return PG_ERR_NOISE_BAD_MESSAGE;
    }
    size_t len = message.len - overhead(hs);
    if (!read_tokens(hs, &message) || !unseal(hs, message, payload)) {
        sodium_memzero(payload, len);
        give_up(hs);
        return PG_ERR_NOISE_BAD_MESSAGE;
    }
    hs->message++;
    *payload_len = len;
    return PG_OK;
}

const uint8_t *pg_noise_remote_static(const struct pg_noise_handshake *hs)
{
    return hs->remote_static;
}

const uint8_t *pg_noise_hash(const struct pg_noise_handshake *hs)
{
    return hs->hash;
}

bool pg_noise_split(struct pg_noise_handshake *hs, struct pg_noise_cipher **send, struct pg_noise_cipher **receive)
{
    struct pg_secret keys = {0};
    *send = *receive = NULL;
    if (hs->broken || !pg_noise_done(hs) || !pg_secret_new(&keys))
        return false;
    hkdf(keys.at, chaining_key(hs), PG_NONE);
    const uint8_t *first = keys.at, *second = keys.at + PG_NOISE_KEY; /* the initiator writes under the first */
    *send = pg_noise_cipher_new(hs->initiator ? first : second, true);
    *receive = pg_noise_cipher_new(hs->initiator ? second : first, false);
    pg_secret_free(&keys);
    give_up(hs);
    if (*send && *receive)
        return true;
    pg_noise_cipher_free(*send);
    pg_noise_cipher_free(*receive);
    *send = *receive = NULL;
    return false;
}

static void signed_text(uint8_t out[SIGNED_LEN], const uint8_t static_public[PG_NOISE_KEY])
{
    memcpy(out, SIGN_PREFIX, sizeof SIGN_PREFIX - 1);
    memcpy(out + sizeof SIGN_PREFIX - 1, static_public, PG_NOISE_KEY);
}

size_t pg_noise_payload(const struct pg_identity *identity, const uint8_t static_public[PG_NOISE_KEY],
                        uint8_t out[PG_NOISE_PAYLOAD_MAX])
{
    uint8_t text[SIGNED_LEN], signature[PG_SIGNATURE_MAX];
    signed_text(text, static_public);
    size_t len = pg_sign(identity, pg_bytes(text, sizeof text), signature);
    if (len == 0)
        return 0;
    struct pg_pb_noise_handshake_payload payload = {
        .has_identity_key = true,
        .identity_key = pg_public_key_protobuf(pg_identity_public(identity)),
        .has_identity_sig = true,
        .identity_sig = pg_bytes(signature, len),
    };
    struct pg_writer w = pg_writer(out, PG_NOISE_PAYLOAD_MAX);
    pg_pb_noise_handshake_payload_write(&payload, &w);
    assert(!w.failed);
    return w.len;
}

enum pg_err pg_noise_check_identity(struct pg_public_key *key, struct pg_bytes identity_key, struct pg_bytes identity_sig,
                                    const uint8_t static_public[PG_NOISE_KEY])
{
    uint8_t text[SIGNED_LEN];
    signed_text(text, static_public);
    if (pg_public_key_read(key, identity_key) == PG_OK && pg_verify(key, pg_bytes(text, sizeof text), identity_sig))
        return PG_OK;
    *key = (struct pg_public_key){0}; /* an unproved name is no name */
    return PG_ERR_NOISE_BAD_IDENTITY;
}

/* The secret is in its place already. */
static bool static_finish(struct pg_noise_static *s, const struct pg_identity *identity)
{
    if (!pg_oracle_recall(PG_ORACLE_STATIC_PUBLIC, s->public_key, sizeof s->public_key)) {
        crypto_scalarmult_curve25519_base(s->public_key, s->secret.at);
        pg_oracle_tell(PG_ORACLE_STATIC_PUBLIC, s->public_key, sizeof s->public_key);
    }
    s->payload_len = (uint16_t)pg_noise_payload(identity, s->public_key, s->payload);
    if (s->payload_len == 0)
        pg_noise_static_free(s);
    return s->payload_len != 0;
}

bool pg_noise_static_new(struct pg_noise_static *s, const struct pg_identity *identity)
{
    *s = (struct pg_noise_static){0};
    if (!pg_noise_cipher_ready() || !pg_secret_new(&s->secret))
        return false;
    randombytes_buf(s->secret.at, PG_NOISE_KEY);
    return static_finish(s, identity);
}

bool pg_noise_static_from_secret(struct pg_noise_static *s, const struct pg_identity *identity,
                                 const uint8_t secret[PG_NOISE_KEY])
{
    *s = (struct pg_noise_static){0};
    if (!pg_secret_new(&s->secret))
        return false;
    memcpy(s->secret.at, secret, PG_NOISE_KEY);
    return static_finish(s, identity);
}

void pg_noise_static_free(struct pg_noise_static *s)
{
    pg_secret_free(&s->secret);
    *s = (struct pg_noise_static){0};
}
