/* From what the user wants to what a peer is given. Called by run.c, and by tools/replay for a run that was recorded. */
#include "cli/configure.h"

#include "cli/addresses.h"
#include "core/kad_text.h"

/* Counts, sizes and times are all kept as 64 bits. */
uint64_t pg_configured_limit(const struct pg_option_values *v, enum pg_limit limit)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++)
        if (pg_option_infos[i].limit == (int)limit)
            return *(const uint64_t *)((const char *)v + pg_option_infos[i].offset);
    return pg_limit_infos[limit].standard;
}

static void configure_limits(struct pg_configured *r, const struct pg_options *options)
{
    for (unsigned i = 0; i < PG_LIMITS; i++)
        r->config.node.limits.value[i] = pg_configured_limit(&options->values, (enum pg_limit)i);
}

static bool read_addrs(const struct pg_strings *texts, struct pg_multiaddr *out, uint32_t *n, uint32_t room)
{
    for (size_t i = 0; i < texts->n; i++)
        if (*n == room || pg_multiaddr_parse(&out[(*n)++], pg_text(texts->at[i])) != PG_OK)
            return false;
    return true;
}

/* All texts have been checked when the options were read; what fails here all the same is too many of something. */
/* Kaspa's rule: a relay's port is that of the peer and one more, unless it is said. Where --listen leaves the port to the system there
 * is none to count from, and the system chooses this one as well. */
static void add_relay_port(struct pg_node_config *c, uint64_t port)
{
    uint32_t n = c->n_listens;
    for (uint32_t i = 0; i < n && c->n_listens < PG_MAX_LISTENS; i++) {
        struct pg_endpoint at;
        struct pg_peer_id none;
        if (pg_multiaddr_tcp(&c->listens[i], &at, &none) != PG_OK)
            continue;
        at.port = port ? (uint16_t)port : at.port && at.port < 65535 ? (uint16_t)(at.port + 1) : 0;
        c->relay_port = c->relay_port ? c->relay_port : at.port;
        pg_multiaddr_from_tcp(&c->listens[c->n_listens++], &at);
    }
}

static bool configure_peer(struct pg_configured *r, const struct pg_options *options)
{
    const struct pg_option_values *v = &options->values;
    struct pg_peer_config *c = &r->config;
    configure_limits(r, options);
    if (v->listen.n > PG_MAX_LISTENS || v->bootstrap.n > PG_MAX_BOOTSTRAPS || v->expose.n > PG_OPTION_EXPOSE_MOST ||
        v->tunnel.n > PG_OPTION_TUNNEL_MOST || v->tunnel_by_name.n > PG_OPTION_TUNNEL_BY_NAME_MOST)
        return false;
    if (!read_addrs(&v->listen, c->node.listens, &c->node.n_listens, PG_MAX_LISTENS) ||
        !read_addrs(&v->bootstrap, c->node.bootstraps, &c->node.n_bootstraps, PG_MAX_BOOTSTRAPS))
        return false;
    const struct pg_strings *externals[] = {&v->external, &v->external_address};
    for (size_t list = 0; list < 2; list++)
        for (size_t i = 0; i < externals[list]->n && c->node.n_externals < PG_MAX_EXTERNALS; i++)
            if (pg_multiaddr_parse(&c->node.externals[c->node.n_externals++], pg_text(externals[list]->at[i])) != PG_OK)
                return false;
    for (size_t i = 0; i < v->expose.n; i++)
        if (!pg_peer_expose_read(&r->exposed[c->n_exposed++], pg_text(v->expose.at[i])))
            return false;
    for (size_t i = 0; i < v->tunnel.n; i++)
        if (!pg_peer_forward_read(&r->forwards[c->n_forwards++], pg_text(v->tunnel.at[i])))
            return false;
    for (size_t i = 0; i < v->tunnel_by_name.n; i++)
        if (!pg_peer_named_read(&r->forwards[c->n_forwards++], pg_text(v->tunnel_by_name.at[i])))
            return false;
    c->exposed = r->exposed;
    c->forwards = r->forwards;
    c->tunnel_wait_ms = v->tunnel_wait_ms;
    c->control = pg_text(v->control);
    c->control_needed = options->origin[PG_OPTION_CONTROL].source > PG_FROM_DEFAULT;
    c->node.nat_status = v->nat_status == PG_OPTION_NAT_STATUS_PUBLIC ? 1 : v->nat_status == PG_OPTION_NAT_STATUS_PRIVATE ? -1 : 0;
    c->node.n_relays = (uint32_t)v->relays;
    c->node.relay_mode = v->relay_mode == PG_OPTION_RELAY_MODE_ON ? PG_RELAY_MODE_ON : v->relay_mode == PG_OPTION_RELAY_MODE_OFF ? PG_RELAY_MODE_OFF : PG_RELAY_MODE_AUTO;
    if (options->origin[PG_OPTION_RELAY_PORT].source > PG_FROM_DEFAULT)
        add_relay_port(&c->node, v->relay_port);
    c->node.mdns = !v->no_mdns;
    c->node.kad_protocol = pg_text(v->kad_protocol);
    return true;
}

/* A question to the DHT. Whoever asks is nobody's server, and no more than a command; whoever provides something has to be
 * reached, and so is a peer like any other, if it is to stay. */
static bool configure_dht(struct pg_configured *r, const struct pg_options *options)
{
    static const enum pg_kad_op ops[PG_CLI_COMMANDS] = {
        [PG_CLI_DHT_PUT] = PG_KAD_PUT_VALUE, [PG_CLI_DHT_GET] = PG_KAD_GET_VALUE, [PG_CLI_DHT_PROVIDE] = PG_KAD_PROVIDE,
        [PG_CLI_DHT_PROVIDERS] = PG_KAD_PROVIDERS, [PG_CLI_DHT_FIND] = PG_KAD_FIND_PEER, [PG_CLI_DHT_CLOSEST] = PG_KAD_CLOSEST};
    const struct pg_option_values *v = &options->values;
    struct pg_peer_config *c = &r->config;
    size_t key = 0, value = 0;
    if (!pg_kad_key_read(pg_text(options->key), r->key, &key) ||
        (options->value && !pg_kad_octets_read(pg_text(options->value), r->value, sizeof r->value, &value)))
        return false;
    c->dht = ops[options->command];
    c->key = pg_bytes(r->key, key);
    c->value = pg_bytes(r->value, value);
    c->node.quiet = v->listen.n == 0;
    c->node.asks_who = true;
    c->node.limits.value[PG_LIMIT_CONNS] = 256;
    c->node.limits.value[PG_LIMIT_STREAMS] = 1024;
    c->node.kad_protocol = pg_text(v->kad_protocol);
    return read_addrs(&v->bootstrap, c->node.bootstraps, &c->node.n_bootstraps, PG_MAX_BOOTSTRAPS) &&
           read_addrs(&v->listen, c->node.listens, &c->node.n_listens, PG_MAX_LISTENS);
}

/* Where it listens, which is anywhere unless the user says otherwise. */
static bool listen_somewhere(struct pg_node_config *c, const struct pg_strings *said)
{
    static const char *const anywhere[] = {"/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"};
    for (unsigned i = 0; said->n == 0 && i < 2; i++)
        if (pg_multiaddr_parse(&c->listens[c->n_listens++], pg_text(anywhere[i])) != PG_OK)
            return false;
    return read_addrs(said, c->listens, &c->n_listens, PG_MAX_LISTENS);
}

/* A question about our reachability: it listens, and what comes in while it does is the answer. */
static bool configure_autonat(struct pg_configured *r, const struct pg_options *options)
{
    const struct pg_option_values *v = &options->values;
    struct pg_node_config *c = &r->config.node;
    c->asks_who = true;
    r->config.autonat_version = v->autonat_version == PG_OPTION_AUTONAT_VERSION_V1 ? 1 : v->autonat_version == PG_OPTION_AUTONAT_VERSION_V2 ? 2 : 0;
    return listen_somewhere(c, &v->listen) && read_addrs(&v->external_address, c->externals, &c->n_externals, PG_MAX_EXTERNALS);
}

/* Whoever comes over a relay and wants more has to be reached, too: by dials of the other side, and by punches, which leave from a
 * listening port. */
static bool configure_way(struct pg_configured *r, const struct pg_options *options)
{
    struct pg_peer_config *c = &r->config;
    bool over_relay = strstr(options->address, "/p2p-circuit") != NULL;
    if (c->task != PG_TASK_PATH && (c->task != PG_TASK_PIPE || !over_relay || c->node.path == PG_PATH_RELAY))
        return true;
    c->node.quiet = false;
    c->node.aside = true;
    return listen_somewhere(&c->node, &options->values.listen);
}

static bool configure_task(struct pg_configured *r, const struct pg_options *options)
{
    static const enum pg_task_kind kinds[PG_CLI_COMMANDS] = {
        [PG_CLI_PING] = PG_TASK_PING, [PG_CLI_IDENTIFY] = PG_TASK_IDENTIFY, [PG_CLI_PERF] = PG_TASK_PERF, [PG_CLI_PIPE] = PG_TASK_PIPE,
        [PG_CLI_AUTONAT] = PG_TASK_AUTONAT, [PG_CLI_PATH] = PG_TASK_PATH};
    struct pg_peer_config *c = &r->config;
    c->task = options->key ? PG_TASK_DHT : kinds[options->command];
    c->node.quiet = true;
    c->node.limits.value[PG_LIMIT_CONNS] = 8;
    c->node.limits.value[PG_LIMIT_STREAMS] = 256;
    c->node.limits.value[PG_LIMIT_MEMORY] = (uint64_t)64 << 20;
    c->timeout_ms = options->values.timeout_ms;
    c->count = (uint32_t)options->values.count;
    c->up = options->values.up;
    c->down = options->values.down;
    c->json = options->values.json;
    c->service = pg_text(options->service);
    c->wait_direct = c->node.direct_awaited = options->values.wait_direct;
    if (c->task == PG_TASK_DHT)
        return configure_dht(r, options);
    if (c->task == PG_TASK_AUTONAT && !configure_autonat(r, options))
        return false;
    return pg_multiaddr_parse(&c->address, pg_text(options->address)) == PG_OK && configure_way(r, options);
}

bool pg_configure(struct pg_configured *r, const struct pg_options *options)
{
    static const enum pg_path_mode paths[] = {[PG_OPTION_PATH_UNSET] = PG_PATH_AUTO, [PG_OPTION_PATH_AUTO] = PG_PATH_AUTO,
                                              [PG_OPTION_PATH_DIRECT] = PG_PATH_DIRECT, [PG_OPTION_PATH_RELAY] = PG_PATH_RELAY};
    pg_node_config_default(&r->config.node);
    r->config.node.path = paths[options->values.path];
    r->config.node.unpunched = r->config.node.path == PG_PATH_RELAY;
    return options->command == PG_CLI_RUN ? configure_peer(r, options) : configure_task(r, options);
}
