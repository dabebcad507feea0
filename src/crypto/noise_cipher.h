/* Noise_XX_25519_ChaChaPoly_SHA256 as libp2p uses it: the handshake's messages and the two ciphers it leaves behind.
 * Called by src/transport/noise; knows no socket, no frame length and no machine. Serves noiseprotocol.org rev. 34,
 * sections 5 and 7.5, and libp2p/specs noise/README.md, "The Noise Handshake". */
#pragma once
#include "crypto/keys.h"
#include "mem/bytes.h"
#include "mem/secret.h"

#define PG_NOISE_KEY 32
#define PG_NOISE_TAG 16
#define PG_NOISE_MESSAGE_MAX 65535                               /* noiseprotocol.org, section 3 */
#define PG_NOISE_PLAIN_MAX (PG_NOISE_MESSAGE_MAX - PG_NOISE_TAG) /* 65519 */
#define PG_NOISE_PAYLOAD_MAX 113                                 /* key and longest signature of secp256k1 */

/* Our static X25519 pair and the libp2p payload that ties it to our identity: once per process, because a signature
 * a connection costs a quarter of the handshake (measured: 183 us a side with a kept key, 233 us without). */
struct pg_noise_static {
    uint8_t public_key[PG_NOISE_KEY];
    struct pg_secret secret;               /* 32 bytes used */
    uint8_t payload[PG_NOISE_PAYLOAD_MAX]; /* NoiseHandshakePayload with fields 1 and 2; extensions (4) may be appended */
    uint16_t payload_len;
};

/* A fresh pair signed by identity. False when memory is short. */
bool pg_noise_static_new(struct pg_noise_static *s, const struct pg_identity *identity);

/* The pair of a known secret, for tests against other libraries' transcripts. */
bool pg_noise_static_from_secret(struct pg_noise_static *s, const struct pg_identity *identity,
                                 const uint8_t secret[PG_NOISE_KEY]);

void pg_noise_static_free(struct pg_noise_static *s);

/* The payload for any static public key; returns its length, 0 when memory is short. README.md, "The libp2p Handshake Payload". */
size_t pg_noise_payload(const struct pg_identity *identity, const uint8_t static_public[PG_NOISE_KEY],
                        uint8_t out[PG_NOISE_PAYLOAD_MAX]);

/* Whether fields 1 and 2 of the remote's payload prove that its identity owns the static key of the handshake.
 * *key is the identity then. PG_ERR_NOISE_BAD_IDENTITY for missing fields, a broken key or a signature over anything
 * but "noise-libp2p-static-key:" and the static key. */
enum pg_err pg_noise_check_identity(struct pg_public_key *key, struct pg_bytes identity_key, struct pg_bytes identity_sig,
                                    const uint8_t static_public[PG_NOISE_KEY]);

/* What every cipher needs of libcrypto, had once for the process. False when memory is short: to be asked at start, where one
 * can still refuse. */
bool pg_noise_cipher_ready(void);

/* One side of one handshake. Fields are for noise_cipher.c only. */
struct pg_noise_handshake {
    const struct pg_noise_static *own; /* borrowed until free */
    struct pg_secret state;            /* chaining key, then cipher key */
    struct pg_secret ephemeral;
    uint64_t nonce;
    uint8_t hash[PG_NOISE_KEY];
    uint8_t ephemeral_public[PG_NOISE_KEY];
    uint8_t remote_ephemeral[PG_NOISE_KEY];
    uint8_t remote_static[PG_NOISE_KEY];
    uint8_t message; /* 0 to 2: the next one; 3: done */
    bool initiator, keyed, have_ephemeral, broken;
};

/* Starts with an empty prologue. False when secret memory is short; hs needs no free then. */
bool pg_noise_handshake_init(struct pg_noise_handshake *hs, bool initiator, const struct pg_noise_static *s);

/* Wipes all keys. Fine for a zeroed or freed handshake. */
void pg_noise_handshake_free(struct pg_noise_handshake *hs);

/* Tests only: the ephemeral key to use instead of a random one; before the first write. */
void pg_noise_fix_ephemeral(struct pg_noise_handshake *hs, const uint8_t secret[PG_NOISE_KEY]);

/* Whether all three messages have passed. */
bool pg_noise_done(const struct pg_noise_handshake *hs);

/* Writes the next message around payload (the first one's is not encrypted: leave it empty) and returns its length:
 * 32, 96 or 64 more than payload.len. 0 when it is not our turn, room is short, or a remote key is a low-order point.
 * out and payload may not overlap. */
size_t pg_noise_write(struct pg_noise_handshake *hs, struct pg_bytes payload, uint8_t *out, size_t room);

/* Reads the next message and writes its payload. PG_ERR_NOISE_BAD_MESSAGE when it is too short or long, forged, out of
 * turn, holds a low-order point (an all-zero DH), or its payload does not fit room; the handshake is wiped and dead then. */
enum pg_err pg_noise_read(struct pg_noise_handshake *hs, struct pg_bytes message, uint8_t *payload, size_t room,
                          size_t *payload_len);

/* 32 bytes each, valid until free: the remote's static key (once message 2 or 3 has brought it), the handshake hash. */
const uint8_t *pg_noise_remote_static(const struct pg_noise_handshake *hs);
const uint8_t *pg_noise_hash(const struct pg_noise_handshake *hs);

/* One direction of the transport. */
struct pg_noise_cipher;

/* Makes both ciphers of a finished handshake and wipes its keys; hash and remote key stay. False, with both NULL, when
 * it is not finished or memory is short. */
bool pg_noise_split(struct pg_noise_handshake *hs, struct pg_noise_cipher **send, struct pg_noise_cipher **receive);

void pg_noise_cipher_free(struct pg_noise_cipher *c);

/* One message of a followed by b: a.len + b.len + 16 bytes to out. out may overlap neither, except that out == a.at with
 * an empty b encrypts in place. False when they are more than PG_NOISE_PLAIN_MAX, at the last nonce, or after a failure. */
bool pg_noise_encrypt(struct pg_noise_cipher *c, struct pg_bytes a, struct pg_bytes b, uint8_t *out);

/* One message in place: len bytes with the tag become len - 16 of plain text. False when it is forged, replayed or out of
 * order: text is zeroed and the cipher refuses everything from then on. */
bool pg_noise_decrypt(struct pg_noise_cipher *c, uint8_t *text, size_t len);

/* Tests only: the number of the next message, to come to the end of 2^64 - 1. */
void pg_noise_cipher_skip_to(struct pg_noise_cipher *c, uint64_t nonce);
