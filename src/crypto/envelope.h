/* Signed envelopes: a statement with its author's key and signature. Called by src/core/peer_record.c and voucher.c.
 * Serves libp2p/specs RFC/0002-signed-envelopes.md. */
#pragma once
#include "crypto/keys.h"
#include "wire/cursor.h"

#define PG_ENVELOPE_PAYLOAD_MAX 8192

/* Appends the envelope of a payload. The domain keeps a signature for one purpose from being used for another. False when
 * out is full, the payload too long, or memory short. */
bool pg_envelope_seal(const struct pg_identity *, struct pg_bytes domain, struct pg_bytes type, struct pg_bytes payload,
                      struct pg_writer *out);

/* Whether the envelope is whole, of this type and signed for this domain: its author and what it says, borrowed from the
 * envelope. PG_ERR_PROTOBUF_BAD and its kin, PG_ERR_PUBLIC_KEY_BAD, PG_ERR_ENVELOPE_TYPE, PG_ERR_ENVELOPE_SIGNATURE. */
enum pg_err pg_envelope_open(struct pg_bytes envelope, struct pg_bytes domain, struct pg_bytes type, struct pg_public_key *author,
                             struct pg_bytes *payload);
