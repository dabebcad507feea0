/* Relays in the answer to `status`. Called by control.c. The names of `relay_policy` are those of Kaspa's getlibpstatus and
 * getpeeraddresses (promised rows 108 to 111), which scripts read. */
#include "service/control_relays.h"

#include "core/reach.h"
#include "core/reserve.h"
#include "service/output.h"

#include <stdio.h>

void pg_control_put_policy(struct pg_out *out, const struct pg_node *n)
{
    struct pg_relay_policy_view v;
    pg_relay_policy_view(n, &v);
    pg_out_object(out, "relay_policy");
    pg_out_bool(out, "enabled", true);
    pg_out_text(out, "mode", pg_text(v.mode));
    pg_out_text(out, "role", v.serves ? PG_LIT("public-relay") : PG_LIT("client-only"));
    pg_out_u64(out, "services", v.serves);
    pg_out_u64(out, "relayPort", v.port);
    pg_out_u64(out, "relaysWanted", v.wanted);
    pg_out_u64(out, "inboundPeers", v.inbound);
    pg_out_u64(out, "privateInboundTarget", pg_node_limit(n, PG_LIMIT_PRIVATE_INBOUND));
    pg_out_u64(out, "relayInboundLimit", pg_node_limit(n, PG_LIMIT_RELAY_INBOUND));
    pg_out_close(out);
}

void pg_control_put_relays(struct pg_out *out, const struct pg_node *n)
{
    struct pg_relay_view v;
    pg_out_array(out, "relays");
    for (uint32_t i = 0; pg_relay_view(n, i, &v); i++) {
        pg_out_object(out, NULL);
        pg_out_peer(out, "peer", &v.peer);
        pg_out_addr(out, "addr", &v.addr);
        pg_out_text(out, "state", pg_text(v.state));
        pg_out_bool(out, "connected", v.connected);
        pg_out_u64(out, "rtt_us", v.rtt_us);
        pg_out_u64(out, "granted", v.granted);
        pg_out_u64(out, "failed", v.failed);
        pg_out_u64(out, "rests_s", (v.rests_us + 999999) / 1000000);
        if (v.grant) {
            pg_out_u64(out, "lease_left_s", v.left_us / 1000000);
            pg_out_u64(out, "limit_bytes", v.grant->limit_bytes);
            pg_out_u64(out, "limit_s", v.grant->limit_us / 1000000);
            pg_out_bool(out, "voucher", v.grant->vouched);
            pg_out_addrs(out, "addresses", v.grant->addrs, v.grant->n_addrs);
        }
        pg_out_close(out);
    }
    pg_out_close(out);
}

const char *pg_control_relays_whom(const struct pg_node *n)
{
    struct pg_relay_policy_view v;
    struct pg_reach_view r;
    pg_relay_policy_view(n, &v);
    pg_reach_view(n, &r);
    if (v.serves)
        return "for everybody";
    if (strcmp(v.mode, "off") == 0)
        return "for nobody, as the relay mode says";
    return strcmp(r.verdict, "Private") == 0 ? "for nobody, as we are private" : "in our own network only";
}

void pg_control_put_relays_text(struct pg_line *out, const struct pg_node *n)
{
    struct pg_relay_view v;
    for (uint32_t i = 0; pg_relay_view(n, i, &v); i++) {
        char peer[PG_PEER_ID_TEXT], text[PG_MULTIADDR_TEXT], number[96];
        if (!v.ours)
            continue;
        text[v.addr.len ? pg_multiaddr_text(&v.addr, text, sizeof text) : 0] = 0;
        pg_peer_id_text(&v.peer, peer);
        pg_line_put(out, "reserved    at ");
        pg_line_put(out, peer);
        pg_line_put(out, " ");
        pg_line_put(out, text);
        int len = v.grant ? snprintf(number, sizeof number, ", for %llu s more", (unsigned long long)(v.left_us / 1000000))
                          : snprintf(number, sizeof number, ", not granted yet");
        pg_line_raw(out, pg_bytes(number, (size_t)len));
        len = snprintf(number, sizeof number, ", %u granted and %u failed so far\n", v.granted, v.failed);
        pg_line_raw(out, pg_bytes(number, (size_t)len));
    }
}
