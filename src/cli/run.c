/* From options to a running peer: identity, log, configuration of the peer, the loop, the exit status.
 * Called by main.c. The only file that knows both a core and a loop. */
#include "cli/run.h"

#include "cli/addresses.h"
#include "cli/log_sink.h"
#include "crypto/identity_file.h"
#include "crypto/random.h"
#include "loop/loop.h"
#include "service/peer.h"
#include "trace/output.h"
#include "wire/spec_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct run {
    const struct pg_options *options;
    struct pg_log_sink logs;
    struct pg_identity *identity;
    struct pg_peer_config config;
    struct pg_peer_expose exposed[64];
    struct pg_peer_forward forwards[64];
    struct pg_peer *peer;
};

static int fail(const struct run *r, enum pg_err err, const char *reason)
{
    return pg_out_failure(r->options->values.json, err, pg_text(reason));
}

/* --identity-out: the identity that is in use, for later. */
static enum pg_err write_copy(struct run *r, char *why, size_t room)
{
    enum pg_err error = pg_identity_copy(r->identity, r->options->values.identity_out, why, room);
    if (error == PG_OK && why[0])
        pg_log_identity_warning(&r->logs.log, pg_text(why));
    return error;
}

/* The peer's own key from its file; a passing one for commands, unless a file is named. */
static enum pg_err load_identity(struct run *r, char *why, size_t room)
{
    const struct pg_option_values *v = &r->options->values;
    char peer[PG_PEER_ID_TEXT];
    bool created = false, run = r->options->command == PG_CLI_RUN;
    if (!v->identity) {
        r->identity = pg_identity_new();
        return r->identity ? PG_OK : PG_ERR_NO_MEMORY;
    }
    enum pg_key_type type = v->identity_type == PG_OPTION_IDENTITY_TYPE_SECP256K1 ? PG_KEY_SECP256K1 : PG_KEY_ED25519;
    enum pg_err error = run ? pg_identity_load_or_make(&r->identity, v->identity, type, why, room, &created)
                            : pg_identity_load(&r->identity, v->identity, why, room);
    if (error != PG_OK)
        return error;
    if (r->options->warning)
        pg_log_config_warning(&r->logs.log, pg_text(r->options->warning));
    if (r->options->file)
        pg_log_config_read(&r->logs.log, pg_text(r->options->file));
    if (why[0])
        pg_log_identity_warning(&r->logs.log, pg_text(why));
    if (run) {
        struct pg_bytes id = pg_bytes(peer, pg_peer_id_text(pg_identity_peer_id(r->identity), peer));
        if (created)
            pg_log_identity_generated(&r->logs.log, id);
        else
            pg_log_identity_loaded(&r->logs.log, id);
        if (r->options->origin[PG_OPTION_IDENTITY_TYPE].source > PG_FROM_DEFAULT && pg_identity_public(r->identity)->type != type)
            pg_log_identity_warning(&r->logs.log, PG_LIT("--identity-type is for new keys: the identity file has one of another type"));
    }
    return run && v->identity_out ? write_copy(r, why, room) : PG_OK;
}

/* Counts, sizes and times are all kept as 64 bits. */
static uint64_t limit_given(const struct pg_option_values *v, enum pg_limit limit)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++)
        if (pg_option_infos[i].limit == (int)limit)
            return *(const uint64_t *)((const char *)v + pg_option_infos[i].offset);
    return pg_limit_infos[limit].standard;
}

static void configure_limits(struct run *r)
{
    for (unsigned i = 0; i < PG_LIMITS; i++)
        r->config.node.limits.value[i] = limit_given(&r->options->values, (enum pg_limit)i);
}

/* All texts have been checked when the options were read; what fails here all the same is too many of something. */
static bool configure_peer(struct run *r)
{
    const struct pg_option_values *v = &r->options->values;
    struct pg_peer_config *c = &r->config;
    configure_limits(r);
    if (v->listen.n > PG_MAX_LISTENS || v->bootstrap.n > PG_MAX_BOOTSTRAPS || v->expose.n > 64 || v->tunnel.n > 64)
        return false;
    for (size_t i = 0; i < v->listen.n; i++)
        if (pg_multiaddr_parse(&c->node.listens[c->node.n_listens++], pg_text(v->listen.at[i])) != PG_OK)
            return false;
    for (size_t i = 0; i < v->bootstrap.n; i++)
        if (pg_multiaddr_parse(&c->node.bootstraps[c->node.n_bootstraps++], pg_text(v->bootstrap.at[i])) != PG_OK)
            return false;
    const struct pg_strings *externals[] = {&v->external, &v->external_address};
    for (size_t list = 0; list < 2; list++)
        for (size_t i = 0; i < externals[list]->n && c->node.n_externals < PG_MAX_EXTERNALS; i++)
            if (pg_multiaddr_parse(&c->node.externals[c->node.n_externals++], pg_text(externals[list]->at[i])) != PG_OK)
                return false;
    for (size_t i = 0; i < v->expose.n; i++) {
        struct pg_expose_text e;
        if (pg_expose_parse(pg_text(v->expose.at[i]), &e) != PG_OK)
            return false;
        struct pg_peer_expose *is = &r->exposed[c->n_exposed++];
        *is = (struct pg_peer_expose){.name = e.name, .host = e.host, .path = e.path, .port = e.port};
        for (struct pg_bytes peer; is->n_allowed < PG_EXPOSE_ALLOWED && pg_allow_next(&e.allow, &peer);)
            if (pg_peer_id_parse(&is->allowed[is->n_allowed++], peer) != PG_OK)
                return false;
    }
    for (size_t i = 0; i < v->tunnel.n; i++) {
        struct pg_tunnel_text t;
        struct pg_peer_forward *f = &r->forwards[c->n_forwards++];
        if (pg_tunnel_parse(pg_text(v->tunnel.at[i]), &t) != PG_OK)
            return false;
        *f = (struct pg_peer_forward){.service = t.service, .host = t.host, .path = t.path, .port = t.port};
        if (t.peer.len && t.peer.at[0] == '/') {
            if (pg_multiaddr_parse(&f->addr, t.peer) != PG_OK)
                return false;
            pg_multiaddr_peer(&f->addr, &f->peer);
        } else if (pg_peer_id_parse(&f->peer, t.peer) != PG_OK) {
            return false;
        }
    }
    c->exposed = r->exposed;
    c->forwards = r->forwards;
    c->tunnel_wait_ms = v->tunnel_wait_ms;
    c->control = pg_text(v->control);
    c->control_needed = r->options->origin[PG_OPTION_CONTROL].source > PG_FROM_DEFAULT;
    c->node.nat_status = v->nat_status == PG_OPTION_NAT_STATUS_PUBLIC ? 1 : v->nat_status == PG_OPTION_NAT_STATUS_PRIVATE ? -1 : 0;
    return true;
}

static bool configure_task(struct run *r)
{
    static const enum pg_task_kind kinds[PG_CLI_COMMANDS] = {
        [PG_CLI_PING] = PG_TASK_PING, [PG_CLI_IDENTIFY] = PG_TASK_IDENTIFY, [PG_CLI_PERF] = PG_TASK_PERF, [PG_CLI_PIPE] = PG_TASK_PIPE};
    struct pg_peer_config *c = &r->config;
    c->task = kinds[r->options->command];
    c->node.quiet = true;
    c->node.limits.value[PG_LIMIT_CONNS] = 8;
    c->node.limits.value[PG_LIMIT_STREAMS] = 256;
    c->node.limits.value[PG_LIMIT_MEMORY] = (uint64_t)64 << 20;
    c->timeout_ms = r->options->values.timeout_ms;
    c->count = (uint32_t)r->options->values.count;
    c->up = r->options->values.up;
    c->down = r->options->values.down;
    c->json = r->options->values.json;
    c->service = pg_text(r->options->service);
    return pg_multiaddr_parse(&c->address, pg_text(r->options->address)) == PG_OK;
}

static void ready(void *context)
{
    static char text[64 * 1024];
    struct run *r = context;
    struct pg_out out;
    struct pg_node_view v;
    char id[PG_PEER_ID_TEXT], addr[PG_MULTIADDR_TEXT];
    if (!r->options->values.ready_json)
        return;
    pg_node_view(pg_peer_node(r->peer), &v);
    pg_out_begin(&out, text, sizeof text, "ready");
    pg_out_text(&out, "peer", pg_bytes(id, pg_peer_id_text(pg_identity_peer_id(r->identity), id)));
    pg_out_array(&out, "addrs");
    for (uint32_t i = 0; i < v.n_addrs; i++)
        pg_out_text(&out, NULL, pg_bytes(addr, pg_multiaddr_text(&v.addrs[i], addr, sizeof addr)));
    pg_out_write(STDOUT_FILENO, pg_out_end(&out));
}

static void report(void *context, struct pg_bytes text)
{
    (void)context;
    pg_out_write(STDOUT_FILENO, text);
}

static int drive(struct run *r)
{
    struct pg_core core = pg_peer_core(r->peer);
    struct pg_loop *loop = pg_loop_new(&core);
    int in_flags = fcntl(STDIN_FILENO, F_GETFL), out_flags = fcntl(STDOUT_FILENO, F_GETFL);
    bool pipe = r->config.task == PG_TASK_PIPE;
    const struct pg_strings *servers = &r->options->values.dns_server;
    struct pg_endpoint server;
    if (!loop)
        return fail(r, PG_ERR_IO, "the system gives no event loop");
    for (size_t i = 0; i < servers->n; i++)
        if (pg_name_server_parse(pg_text(servers->at[i]), &server))
            (void)pg_loop_name_server(loop, &server);
    pg_loop_hooks(loop, (struct pg_loop_hooks){.ready = ready, .report = report, .context = r});
    if (pipe)
        (void)pg_loop_adopt(loop, STDIN_FILENO, STDOUT_FILENO);
    int status = pg_loop_run(loop);
    pg_loop_free(loop);
    if (pipe) { /* the terminal may be shared with a shell that does not expect this */
        (void)fcntl(STDIN_FILENO, F_SETFL, in_flags);
        (void)fcntl(STDOUT_FILENO, F_SETFL, out_flags);
    }
    return status;
}

/* Names what a command was aimed at. */
static int tell_failure(const struct run *r, enum pg_err error, struct pg_bytes reason)
{
    char text[1024];
    const struct pg_options *o = r->options;
    if (!o->address)
        return pg_out_failure(o->values.json, error, reason);
    snprintf(text, sizeof text, "%s%s%s: %.*s", o->address, o->service ? ":" : "", o->service ? o->service : "", (int)reason.len,
             (const char *)reason.at);
    return pg_out_failure(o->values.json, error, pg_text(text));
}

static uint64_t unix_offset_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - pg_loop_now_us();
}

static int run_peer(struct run *r)
{
    char peer[PG_PEER_ID_TEXT];
    struct pg_bytes reason;
    pg_node_config_default(&r->config.node);
    if (!(r->options->command == PG_CLI_RUN ? configure_peer(r) : configure_task(r)))
        return fail(r, PG_ERR_USAGE, "more listens (16), bootstraps (32), services or tunnels (64) than this peer takes");
    r->config.node.identity = r->identity;
    r->config.node.log = &r->logs.log;
    r->config.node.unix_offset_us = unix_offset_us();
    r->config.node.seed = pg_random_u64();
    r->config.node.hash_seed = pg_random_u64();
    r->peer = pg_peer_new(&r->config);
    if (!r->peer)
        return fail(r, PG_ERR_NO_MEMORY, "out of memory at start");
    if (r->options->command == PG_CLI_RUN)
        pg_log_starting(&r->logs.log, pg_bytes(peer, pg_peer_id_text(pg_identity_peer_id(r->identity), peer)));
    int status = drive(r);
    enum pg_err error = pg_peer_failure(r->peer, &reason);
    if (error != PG_OK)
        status = tell_failure(r, error, reason);
    pg_peer_free(r->peer);
    return status;
}

int pg_run(const struct pg_options *options)
{
    struct run *r = calloc(1, sizeof *r);
    char why[PG_IDENTITY_WHY] = "";
    if (!r)
        return pg_out_failure(options->values.json, PG_ERR_NO_MEMORY, PG_NONE);
    r->options = options;
    struct pg_log_choice choice = pg_log_choice_here(STDERR_FILENO, options->values.log_format == PG_OPTION_LOG_FORMAT_JSON);
    if (options->command != PG_CLI_RUN && !getenv("PUNCHGATE_LOG") && !getenv("RUST_LOG"))
        choice.filter = "off"; /* a command's result is its message */
    if (options->command == PG_CLI_RUN)
        choice.most = limit_given(&options->values, PG_LIMIT_LOG_LINES);
    pg_log_sink_init(&r->logs, STDERR_FILENO, choice);
    enum pg_err error = load_identity(r, why, sizeof why);
    int status = error == PG_OK ? run_peer(r) : fail(r, error, why[0] ? why : pg_err_text(error));
    pg_log_sink_flush(&r->logs);
    pg_identity_free(r->identity);
    free(r);
    return status;
}

int pg_run_id(const struct pg_options *options)
{
    struct pg_identity *identity = NULL;
    char why[PG_IDENTITY_WHY] = "", peer[PG_PEER_ID_TEXT], text[256];
    enum pg_err error = pg_identity_load(&identity, options->values.identity, why, sizeof why);
    if (error != PG_OK)
        return pg_out_failure(options->values.json, error, pg_text(why[0] ? why : pg_err_text(error)));
    pg_peer_id_text(pg_identity_peer_id(identity), peer);
    snprintf(text, sizeof text, options->values.json ? "{\"event\":\"id\",\"peer\":\"%s\"}\n" : "%s\n", peer);
    pg_identity_free(identity);
    return pg_out_write(STDOUT_FILENO, pg_text(text)) ? 0 : 1;
}
