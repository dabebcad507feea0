/* Private keys in the forms that other programs keep them in. Called by src/cli/key.c.
 * libp2p protobuf: libp2p/specs peer-ids/peer-ids.md, "Keys"; kubo: its base64, as Identity.PrivKey of kubo's docs/config.md;
 * PEM: PKCS#8 (RFC 5958, RFC 8410 for ed25519, RFC 5915 inside it for secp256k1). */
#pragma once
#include "crypto/keys.h"

enum pg_key_format { PG_KEY_PROTOBUF, PG_KEY_KUBO, PG_KEY_PEM };

#define PG_KEY_TEXT_MAX 512  /* longest of all forms */
#define PG_KEY_WHY 160

/* Writes the key with no NUL and returns its length. 0: why says the reason, and nothing of the key is in out. The caller
 * wipes out. */
size_t pg_key_text_write(const struct pg_identity *, enum pg_key_format, uint8_t out[PG_KEY_TEXT_MAX], char why[PG_KEY_WHY]);

/* Finds out the form and reads the key. PG_ERR_KEY_BAD, PG_ERR_KEY_UNSUPPORTED and PG_ERR_NO_MEMORY leave a reason in why
 * that could follow the name of the file, and *identity is NULL. */
enum pg_err pg_key_text_read(struct pg_identity **, struct pg_bytes text, char why[PG_KEY_WHY]);

/* The public key's protobuf in base64 with a NUL, as kubo prints it. Returns the length; keys of our own types only. */
#define PG_KEY_PUBLIC_TEXT 64
size_t pg_key_public_text(const struct pg_public_key *, char out[PG_KEY_PUBLIC_TEXT]);

/* What held a key holds it no longer, whatever the compiler thinks of it. */
void pg_key_wipe(void *at, size_t len);
