/* Which values may stand under which keys, namespace by namespace.
 * Run by ctest. Serves src/core/kad_validate.h; libp2p/specs kad-dht/README.md, "Entry validation". */
#include "core/kad_validate.h"
#include "crypto/keys.h"
#include "crypto_suite.h"

static void values_are_what_their_namespace_asks_for(void)
{
    struct pg_public_key key;
    struct pg_peer_id id;
    uint8_t pk[128];
    struct pg_identity *identity = pg_identity_from_seed((const uint8_t[32]){5});
    struct pg_bytes proto = pg_public_key_protobuf(pg_identity_public(identity));
    CU_ASSERT_EQUAL_FATAL(pg_public_key_read(&key, proto), PG_OK);
    pg_peer_id_from_key(&id, &key);
    memcpy(pk, "/pk/", 4);
    memcpy(pk + 4, id.at, id.len);
    const struct { struct pg_bytes key, value; enum pg_err want; } cases[] = {
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("\"echo\""), PG_OK},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("  \"\\u0065cho\"\n"), PG_OK},
        {PG_LIT("/punchgate/svc/a\"b"), PG_LIT("\"a\\\"b\""), PG_OK},
        {PG_LIT("/punchgate/svc/\xc3\xa9"), PG_LIT("\"\xc3\xa9\""), PG_OK},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("\"Echo\""), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("echo"), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("\"echo\",\"x\":1"), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("\"echo\"}"), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("{\"service_name\":\"echo\"}"), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_LIT("\"echo"), PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/echo"), PG_NONE, PG_ERR_KAD_VALUE},
        {PG_LIT("/punchgate/svc/"), PG_LIT("\"\""), PG_ERR_KAD_VALUE},
        {pg_bytes(pk, 4u + id.len), proto, PG_OK},
        {pg_bytes(pk, 3u + id.len), proto, PG_ERR_KAD_VALUE},
        {pg_bytes(pk, 4u + id.len), pg_bytes_head(proto, proto.len - 1), PG_ERR_KAD_VALUE},
        {PG_LIT("/pk/"), PG_NONE, PG_ERR_KAD_VALUE},
        {PG_LIT("/ipns/whatever"), PG_LIT("x"), PG_ERR_KAD_NAMESPACE},
        {PG_LIT("/ipn"), PG_LIT("x"), PG_OK},
        {PG_LIT("anything at all"), PG_NONE, PG_OK},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum pg_err got = pg_kad_validate(cases[i].key, cases[i].value);
        if (got != cases[i].want)
            fprintf(stderr, "\ncase %u: %s\n", i, pg_err_name(got));
        CU_ASSERT_EQUAL(got, cases[i].want);
    }
    pg_identity_free(identity);
}

int main(void)
{
    static const struct sentence all[] = {
        {"values are what their namespace asks for", values_are_what_their_namespace_asks_for},
    };
    return RUN_SUITE("values of records", all);
}
