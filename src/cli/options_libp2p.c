/* The variables LIBP2P_… of Kaspa's bridge, for people whose scripts set them: they become items of --listen and --bootstrap.
 * Called by options_sources.c. Serves the promised row 138; docs/decisions/0014-relays.md says what becomes of each. */
#include "cli/options_reader.h"
#include "crypto/multiaddr.h"

#include <stdio.h>
#include <string.h>

static bool given(const struct pg_reader *r, enum pg_option which, const char *text)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->given[i].option == which && r->given[i].source == PG_FROM_ENVIRONMENT && strcmp(r->given[i].text, text) == 0)
            return true;
    return false;
}

static bool give(struct pg_reader *r, enum pg_option which, const char *text)
{
    if (given(r, which, text))
        return true;
    char *copy = pg_reader_keep_text(r, text, strlen(text));
    if (copy)
        pg_reader_give(r, which, PG_FROM_ENVIRONMENT, 0, copy);
    return copy != NULL;
}

static bool bad(struct pg_reader *r, const char *variable, const char *text)
{
    pg_line_put(r->why, variable);
    pg_line_put(r->why, " ");
    pg_put_value(r->why, text);
    pg_line_put(r->why, ": not a multiaddr; write addresses as in /ip4/192.0.2.7/tcp/4011/p2p/ID, with commas between them");
    return false;
}

/* To listen at a circuit of a relay is to be reached through it: it is connected to, and reserved with, as for a private peer. */
static bool listen(struct pg_reader *r, char *text, const struct pg_multiaddr *addr)
{
    if (!pg_multiaddr_is_circuit(addr))
        return give(r, PG_OPTION_LISTEN, text);
    *strstr(text, "/p2p-circuit") = 0;
    if (!pg_reader_variable(r->envp, pg_option_infos[PG_OPTION_NAT_STATUS].variable) && !give(r, PG_OPTION_NAT_STATUS, "private"))
        return false;
    return give(r, PG_OPTION_BOOTSTRAP, text);
}

static bool remote(struct pg_reader *r, char *text, const struct pg_multiaddr *addr, const char *id)
{
    struct pg_peer_id named;
    char whole[PG_MULTIADDR_TEXT + PG_PEER_ID_TEXT];
    pg_multiaddr_peer(addr, &named);
    snprintf(whole, sizeof whole, named.len || !id ? "%s" : "%s/p2p/%s", text, id);
    return give(r, PG_OPTION_BOOTSTRAP, whole);
}

enum kind { LISTEN, RELAY, REMOTE };

static bool read_list(struct pg_reader *r, const char *variable, enum kind kind)
{
    const char *at = pg_reader_variable(r->envp, variable);
    for (size_t len; at && *at; at += len + (at[len] != 0)) {
        char text[PG_MULTIADDR_TEXT];
        struct pg_multiaddr addr;
        at += strspn(at, " ");
        len = strcspn(at, ",;");
        if (len == 0)
            continue;
        snprintf(text, sizeof text, "%.*s", (int)len, at);
        text[strcspn(text, " ")] = 0;
        if (len >= sizeof text || pg_multiaddr_parse(&addr, pg_text(text)) != PG_OK)
            return bad(r, variable, text);
        bool done = kind == LISTEN ? listen(r, text, &addr)
                  : kind == RELAY ? give(r, PG_OPTION_BOOTSTRAP, text)
                                  : remote(r, text, &addr, pg_reader_variable(r->envp, "LIBP2P_REMOTE_PEER_ID"));
        if (!done)
            return false;
    }
    return true;
}

bool pg_reader_libp2p(struct pg_reader *r)
{
    if (r->out->command != PG_CLI_RUN && r->out->command != PG_CLI_CHECK)
        return true;
    bool listens = pg_reader_variable(r->envp, pg_option_infos[PG_OPTION_LISTEN].variable) != NULL;
    bool peers = pg_reader_variable(r->envp, pg_option_infos[PG_OPTION_BOOTSTRAP].variable) != NULL;
    return (listens || read_list(r, "LIBP2P_LISTEN_MULTIADDRS", LISTEN)) && (peers || read_list(r, "LIBP2P_RELAY_MULTIADDRS", RELAY)) &&
           (peers || read_list(r, "LIBP2P_REMOTE_MULTIADDRS", REMOTE));
}
