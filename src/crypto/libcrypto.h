/* libcrypto's start: by our own code alone, without openssl.cnf. Called by every file here that uses libcrypto, before it does.
 * The system's file is of no use to a peer, whose ciphers the wire names; reading it costs 0.7 MiB and a millisecond. */
#pragma once
#include <openssl/crypto.h>

static inline void pg_libcrypto_start(void)
{
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL); /* does nothing from the second time on */
}
