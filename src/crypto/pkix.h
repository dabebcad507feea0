/* RSA and ECDSA keys of others, as SubjectPublicKeyInfo in DER; private to keys.c.
 * Serves libp2p/specs peer-ids/peer-ids.md, "RSA" and "ECDSA"; RFC 5280, section 4.1.2.7; RFC 3279, section 2.3.1; RFC 5480. */
#pragma once
#include "mem/bytes.h"

#define PG_PKIX_MAX 1063 /* RSA of 8192 bits with an exponent of 31 */

/* Whether der is an RSA key of 2048 to 8192 bits that may be computed with. Looks at lengths and single bits only. */
bool pg_pkix_rsa_fits(struct pg_bytes der);

/* Whether der is a key on P-256, by name and uncompressed. Whether the point is on the curve shows in verifying. */
bool pg_pkix_ecdsa_fits(struct pg_bytes der);

/* True when signature is the key's, over the SHA-256 of message. der has been found to fit. */
bool pg_pkix_verify(struct pg_bytes der, struct pg_bytes message, struct pg_bytes signature);
