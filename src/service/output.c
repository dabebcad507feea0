/* Peer ids and addresses in what is printed; see output.h. Called by src/service and src/cli.
 * Serves libp2p/specs peer-ids/peer-ids.md, "String representation", and addressing/README.md. */
#include "service/output.h"

void pg_out_peer(struct pg_out *out, const char *key, const struct pg_peer_id *id)
{
    char text[PG_PEER_ID_TEXT];
    pg_out_text(out, key, pg_bytes(text, pg_peer_id_text(id, text)));
}

void pg_out_addr(struct pg_out *out, const char *key, const struct pg_multiaddr *addr)
{
    char text[PG_MULTIADDR_TEXT];
    pg_out_text(out, key, pg_bytes(text, pg_multiaddr_text(addr, text, sizeof text)));
}

void pg_out_addrs(struct pg_out *out, const char *key, const struct pg_multiaddr *addrs, uint32_t n)
{
    pg_out_array(out, key);
    for (uint32_t i = 0; i < n; i++)
        pg_out_addr(out, NULL, &addrs[i]);
    pg_out_close(out);
}
