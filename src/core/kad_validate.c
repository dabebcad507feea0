/* What values must be under keys of namespaces that we know; see kad_validate.h. Called by kad_serve.c.
 * Serves libp2p/specs kad-dht/README.md, "Entry validation"; services are the original Punchgate's. */
#include "core/kad_validate.h"

#include "crypto/keys.h"
#include "tunnel.wire.gen.h"

/* What follows the prefix; false when the key has another one. */
static bool behind(struct pg_bytes key, struct pg_bytes prefix, struct pg_bytes *rest)
{
    *rest = pg_bytes_skip(key, prefix.len);
    return key.len >= prefix.len && pg_bytes_equal(pg_bytes_head(key, prefix.len), prefix);
}

/* Whether the text is the name as a JSON string, however it is escaped: read as a tunnel's request that names the service. */
static bool is_json_of(struct pg_bytes text, struct pg_bytes name)
{
    uint8_t request[2048], scratch[1024];
    struct pg_writer w = pg_writer(request, sizeof request);
    struct pg_arena arena = {scratch, sizeof scratch, 0};
    struct pg_json_tunnel_request m;
    if (pg_json_scan(text) != PG_OK) /* alone it must be JSON, so nothing can hide behind the string */
        return false;
    pg_put_bytes(&w, PG_LIT("{\"service_name\":"));
    pg_put_bytes(&w, text);
    pg_put_bytes(&w, PG_LIT("}"));
    return !w.failed && pg_json_tunnel_request_read(&m, pg_written(&w), &arena) == PG_OK && pg_bytes_equal(m.service_name, name);
}

static bool is_key_of(struct pg_bytes protobuf, struct pg_bytes id)
{
    struct pg_public_key key;
    struct pg_peer_id made;
    if (pg_public_key_read(&key, protobuf) != PG_OK)
        return false;
    pg_peer_id_from_key(&made, &key);
    return pg_bytes_equal(pg_bytes(made.at, made.len), id);
}

enum pg_err pg_kad_validate(struct pg_bytes key, struct pg_bytes value)
{
    struct pg_bytes rest;
    if (behind(key, PG_LIT("/punchgate/svc/"), &rest))
        return rest.len > 0 && rest.len <= 255 && is_json_of(value, rest) ? PG_OK : PG_ERR_KAD_VALUE;
    if (behind(key, PG_LIT("/pk/"), &rest))
        return is_key_of(value, rest) ? PG_OK : PG_ERR_KAD_VALUE;
    if (behind(key, PG_LIT("/ipns/"), &rest))
        return PG_ERR_KAD_NAMESPACE;
    return PG_OK;
}
