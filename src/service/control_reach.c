/* What status says of our reachability: the verdict and what it rests on, where others see us, and what a NAT makes of our ports.
 * Called by control.c. Serves docs/ARCHITECTURE.md, "Can others reach us". */
#include "service/control_reach.h"

#include "core/observed.h"
#include "core/reach.h"
#include "service/output.h"

enum { SEEN = 16 };

static const char *const mappings[] = {[PG_MAPPING_UNKNOWN] = "unknown", [PG_MAPPING_INDEPENDENT] = "endpoint-independent",
                                       [PG_MAPPING_DEPENDENT] = "endpoint-dependent"};

static struct pg_bytes text_of(const struct pg_endpoint *at, char out[PG_MULTIADDR_TEXT])
{
    struct pg_multiaddr addr;
    pg_multiaddr_from_tcp(&addr, at);
    return pg_bytes(out, pg_multiaddr_text(&addr, out, PG_MULTIADDR_TEXT));
}

static const char *word(const struct pg_node *n, const struct pg_endpoint *at)
{
    int says = pg_reach_says(n, at);
    return says > 0 ? "reached" : says < 0 ? "not reached" : "unknown";
}

void pg_control_put_reach(struct pg_out *out, struct pg_node *n)
{
    struct pg_reach_view r;
    struct pg_observed_view seen[SEEN];
    char text[PG_MULTIADDR_TEXT];
    pg_reach_view(n, &r);
    uint32_t n_seen = pg_observed_views(n, seen, SEEN);
    pg_out_object(out, "reachability");
    pg_out_text(out, "verdict", pg_text(r.verdict));
    pg_out_bool(out, "given", r.given);
    pg_out_u64(out, "confidence", r.confidence);
    pg_out_u64(out, "networks_reached", r.reached);
    pg_out_u64(out, "networks_not_reached", r.unreached);
    pg_out_u64(out, "since_s", r.age_us / 1000000);
    pg_out_text(out, "mapping", pg_text(mappings[pg_observed_mapping(n)]));
    pg_out_array(out, "observed");
    for (uint32_t i = 0; i < n_seen; i++) {
        pg_out_object(out, NULL);
        pg_out_text(out, "addr", text_of(&seen[i].seen, text));
        pg_out_u64(out, "port", seen[i].port);
        pg_out_u64(out, "networks", seen[i].networks);
        pg_out_text(out, "autonat", pg_text(word(n, &seen[i].seen)));
        pg_out_array(out, "observers");
        for (uint32_t k = 0; k < PG_OBSERVATIONS; k++) {
            struct pg_peer_id id;
            if (!pg_observed_by(n, &seen[i], k, &id))
                break;
            pg_out_peer(out, NULL, &id);
        }
        pg_out_close(out);
        pg_out_close(out);
    }
    pg_out_close(out);
    pg_out_close(out);
}

static void count(struct pg_line *out, uint32_t n, const char *what)
{
    pg_line_u64(out, n);
    pg_line_put(out, what);
}

void pg_control_put_reach_text(struct pg_line *out, const struct pg_node *n)
{
    struct pg_reach_view r;
    struct pg_observed_view seen[SEEN];
    char text[PG_MULTIADDR_TEXT];
    pg_reach_view(n, &r);
    uint32_t n_seen = pg_observed_views(n, seen, SEEN);
    pg_line_put(out, "reachable   ");
    pg_line_put(out, r.verdict);
    if (r.given) {
        pg_line_put(out, ", as --nat-status says");
    } else {
        pg_line_put(out, ", ");
        count(out, r.confidence, " of 3 sure, reached from ");
        count(out, r.reached, " networks, not from ");
        count(out, r.unreached, "");
    }
    pg_line_put(out, "; mapping ");
    pg_line_put(out, mappings[pg_observed_mapping(n)]);
    pg_line_put(out, "\n");
    for (uint32_t i = 0; i < n_seen; i++) {
        pg_line_put(out, "seen at     ");
        pg_line_raw(out, text_of(&seen[i].seen, text));
        pg_line_put(out, " by ");
        count(out, seen[i].networks, " networks, for port ");
        count(out, seen[i].port, ", AutoNAT: ");
        pg_line_put(out, word(n, &seen[i].seen));
        pg_line_put(out, "\n");
    }
}
