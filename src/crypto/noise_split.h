/* What the handshake needs of the ciphers that it leaves behind; private to src/crypto's two Noise files. */
#pragma once
#include "crypto/noise_cipher.h"

/* A direction under key, from message 0 on; NULL when memory is short. The key is copied. */
struct pg_noise_cipher *pg_noise_cipher_new(const uint8_t key[PG_NOISE_KEY], bool encrypts);
