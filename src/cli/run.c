/* From options to a running peer: identity, log, configuration of the peer, the loop, the exit status.
 * Called by main.c. The only file that knows both a core and a loop. */
#include "cli/run.h"

#include "cli/addresses.h"
#include "cli/configure.h"
#include "cli/log_sink.h"
#include "cli/reload.h"
#include "cli/trace.h"
#include "crypto/identity_file.h"
#include "crypto/random.h"
#include "loop/loop.h"
#include "service/output.h"
#include "service/peer.h"
#include "service/task_dht.h"
#include "wire/spec_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct run {
    const struct pg_options *options;
    struct pg_log_sink logs;
    struct pg_identity *identity;
    struct pg_configured configured;
    struct pg_recorder *recorder; /* of --trace, or NULL */
    struct pg_peer *peer;
    struct pg_reload reload;
    int unsaid; /* exit status when standard output has not taken a result, else 0 */
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

static void ready(void *context)
{
    static char text[64 * 1024];
    struct run *r = context;
    struct pg_out out;
    struct pg_node_view v;
    if (!r->options->values.ready_json)
        return;
    pg_node_view(pg_peer_node(r->peer), &v);
    pg_out_begin(&out, text, sizeof text, "ready");
    pg_out_peer(&out, "peer", pg_identity_peer_id(r->identity));
    pg_out_addrs(&out, "addrs", v.addrs, v.n_addrs);
    if (!pg_out_write(STDOUT_FILENO, pg_out_end(&out)))
        pg_log_config_warning(&r->logs.log, PG_LIT("standard output did not take the line of --ready-json"));
}

/* false: nobody gets what is said, so there is nothing more to do. */
static bool report(void *context, struct pg_bytes text)
{
    struct run *r = context;
    if (r->unsaid == 0)
        r->unsaid = pg_out_result(text);
    return r->unsaid == 0;
}

static bool reload(void *context, uint8_t **data, size_t *len)
{
    return pg_reload_read(&((struct run *)context)->reload, data, len);
}

static void wrote(void *context, const struct pg_link *link, size_t n)
{
    pg_recorder_wrote(((struct run *)context)->recorder, link, n);
}

static int drive(struct run *r)
{
    struct pg_core plain = pg_peer_core(r->peer), core = r->recorder ? pg_recorder_core(r->recorder, &plain) : plain;
    struct pg_loop *loop = pg_loop_new(&core);
    int in_flags = fcntl(STDIN_FILENO, F_GETFL), out_flags = fcntl(STDOUT_FILENO, F_GETFL);
    bool pipe = r->configured.config.task == PG_TASK_PIPE;
    const struct pg_strings *servers = &r->options->values.dns_server;
    struct pg_endpoint server;
    if (!loop)
        return fail(r, PG_ERR_IO, "the system gives no event loop: memory or open files are short");
    for (size_t i = 0; i < servers->n; i++)
        if (pg_name_server_parse(pg_text(servers->at[i]), &server))
            (void)pg_loop_name_server(loop, &server);
    pg_loop_hooks(loop, (struct pg_loop_hooks){.ready = ready, .report = report, .wrote = r->recorder ? wrote : NULL,
                                              .reload = r->options->command == PG_CLI_RUN ? reload : NULL, .context = r});
    if (pipe)
        (void)pg_loop_adopt(loop, STDIN_FILENO, STDOUT_FILENO);
    int status = pg_loop_run(loop), unwritten = pg_loop_unwritten(loop);
    pg_loop_free(loop);
    if (unwritten && status == 0)
        r->unsaid = pg_out_lost(unwritten);
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
    if (o->key && o->values.json) {
        const char *op = strrchr(pg_cli_command_infos[o->command].name, ' ') + 1;
        pg_out_write(STDOUT_FILENO, pg_task_dht_failure(text, sizeof text, op, error, reason));
        return pg_err_exit(error);
    }
    if (!o->address && !o->key)
        return pg_out_failure(o->values.json, error, reason);
    snprintf(text, sizeof text, "%s%s%s: %.*s", o->key ? o->key : o->address, o->service ? ":" : "", o->service ? o->service : "", (int)reason.len,
             (const char *)reason.at);
    return pg_out_failure(o->values.json, error, pg_text(text));
}

/* Every connection is a file, and so is a tunnel's local side: a system that permits fewer of them is the limit that counts. */
static bool allow_files(struct run *r)
{
    enum { LEAST = 16, OF_OUR_OWN = 64 };
    char text[256];
    uint64_t files = pg_loop_files(), conns = pg_configured_limit(&r->options->values, PG_LIMIT_CONNS);
    if (r->options->command != PG_CLI_RUN || files >= conns + OF_OUR_OWN || files < LEAST)
        return files >= LEAST;
    snprintf(text, sizeof text, "the system permits %llu open files, fewer than --max-conns %llu needs: what finds none is refused; raise "
             "the hard limit (ulimit -Hn, LimitNOFILE= of systemd) or lower --max-conns", (unsigned long long)files, (unsigned long long)conns);
    pg_log_config_warning(&r->logs.log, pg_text(text));
    return true;
}

static int run_peer(struct run *r)
{
    char peer[PG_PEER_ID_TEXT];
    struct pg_bytes reason;
    if (!pg_configure(&r->configured, r->options))
        return fail(r, PG_ERR_USAGE, "more listens (16), bootstraps (32), services or tunnels (64) than this peer takes");
    if (!allow_files(r))
        return fail(r, PG_ERR_IO, "the system permits fewer than 16 open files: raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)");
    r->configured.config.node.identity = r->identity;
    r->configured.config.node.log = &r->logs.log;
    r->configured.config.node.unix_offset_us = pg_loop_unix_offset_us();
    r->configured.config.node.seed = pg_random_u64();
    r->configured.config.node.hash_seed = pg_random_u64();
    char why[512];
    if (r->options->values.trace && !(r->recorder = pg_trace_begin(r->options, &r->configured.config.node, why, sizeof why)))
        return fail(r, PG_ERR_CONFIG_BAD, why);
    r->peer = pg_peer_new(&r->configured.config);
    if (!r->peer)
        return fail(r, PG_ERR_NO_MEMORY, "out of memory at start");
    if (r->options->command == PG_CLI_RUN)
        pg_log_starting(&r->logs.log, pg_bytes(peer, pg_peer_id_text(pg_identity_peer_id(r->identity), peer)));
    pg_reload_init(&r->reload, r->options, &r->logs.log);
    int status = drive(r);
    pg_reload_free(&r->reload);
    enum pg_err error = pg_peer_failure(r->peer, &reason);
    if (r->unsaid != 0)
        status = r->unsaid;
    else if (error != PG_OK)
        status = tell_failure(r, error, reason);
    pg_peer_free(r->peer);
    if (r->recorder && !pg_trace_end(r->recorder, status, why, sizeof why))
        pg_log_config_warning(&r->logs.log, pg_text(why));
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
        choice.most = pg_configured_limit(&options->values, PG_LIMIT_LOG_LINES);
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
    return pg_out_result(pg_text(text));
}
