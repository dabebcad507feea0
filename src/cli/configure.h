/* From what the user wants to what a peer is given. Called by run.c and by tools/replay. */
#pragma once
#include "cli/options.h"
#include "service/peer.h"

struct pg_configured {
    struct pg_peer_config config; /* points into the rest, and borrows texts of the options */
    struct pg_peer_expose exposed[64];
    struct pg_peer_forward forwards[PG_OPTION_TUNNEL_MOST + PG_OPTION_TUNNEL_BY_NAME_MOST];
    uint8_t key[PG_KAD_KEY_MAX], value[PG_KAD_VALUE_MAX];
};

/* All but identity, log and seeds. False when there is more of something than a peer takes: all texts have been checked. */
bool pg_configure(struct pg_configured *, const struct pg_options *);
uint64_t pg_configured_limit(const struct pg_option_values *, enum pg_limit);
