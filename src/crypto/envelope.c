/* Makes and opens signed envelopes. Called by src/core/peer_record.c and voucher.c.
 * Serves libp2p/specs RFC/0002-signed-envelopes.md, "Signature Production / Verification". */
#include "crypto/envelope.h"

#include "record.pb.gen.h"

#define SIGNED_MAX (PG_ENVELOPE_PAYLOAD_MAX + 256)

static void put_part(struct pg_writer *w, struct pg_bytes part)
{
    pg_put_uvarint(w, part.len);
    pg_put_bytes(w, part);
}

/* What is signed. Empty when it does not fit. */
static struct pg_bytes signed_text(uint8_t out[SIGNED_MAX], struct pg_bytes domain, struct pg_bytes type, struct pg_bytes payload)
{
    struct pg_writer w = pg_writer(out, SIGNED_MAX);
    put_part(&w, domain);
    put_part(&w, type);
    put_part(&w, payload);
    return w.failed ? PG_NONE : pg_written(&w);
}

bool pg_envelope_seal(const struct pg_identity *identity, struct pg_bytes domain, struct pg_bytes type, struct pg_bytes payload,
                      struct pg_writer *out)
{
    uint8_t text[SIGNED_MAX], signature[PG_SIGNATURE_MAX];
    struct pg_bytes said = signed_text(text, domain, type, payload);
    size_t len = said.len && payload.len <= PG_ENVELOPE_PAYLOAD_MAX ? pg_sign(identity, said, signature) : 0;
    if (len == 0)
        return false;
    struct pg_pb_envelope m = {.has_public_key = true, .public_key = pg_public_key_protobuf(pg_identity_public(identity)),
                               .has_payload_type = true, .payload_type = type, .has_payload = true, .payload = payload,
                               .has_signature = true, .signature = pg_bytes(signature, len)};
    pg_pb_envelope_write(&m, out);
    return !out->failed;
}

enum pg_err pg_envelope_open(struct pg_bytes envelope, struct pg_bytes domain, struct pg_bytes type, struct pg_public_key *author,
                             struct pg_bytes *payload)
{
    uint8_t text[SIGNED_MAX];
    struct pg_pb_envelope m;
    *payload = PG_NONE;
    *author = (struct pg_public_key){0};
    TRY(pg_pb_envelope_read(&m, envelope));
    if (!pg_bytes_equal(m.payload_type, type))
        return PG_ERR_ENVELOPE_TYPE;
    TRY(pg_public_key_read(author, m.public_key));
    struct pg_bytes said = signed_text(text, domain, type, m.payload);
    if (said.len == 0 || !pg_verify(author, said, m.signature)) {
        *author = (struct pg_public_key){0};
        return PG_ERR_ENVELOPE_SIGNATURE;
    }
    *payload = m.payload;
    return PG_OK;
}
