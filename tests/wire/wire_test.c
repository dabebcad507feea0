/* Runs every case of tests/wire (Markdown): whole, cut in two at every byte, and byte by byte where a parser is fed.
 * Called by ctest in the source folder; with names of files as arguments it runs those,
 * with -v it prints what came, with -w FOLDER it writes each input there, as a corpus for fuzzing.
 * Serves tests/wire/README.md. */
#include "case_reader.h"
#include "core/mdns_message.h"
#include "identify.pb.gen.h"
#include "keys.pb.gen.h"
#include "noise.pb.gen.h"
#include "tunnel.wire.gen.h"
#include "wire/log_filter.h"
#include "wire/mss.h"
#include "wire/spec_text.h"
#include "yamux.wire.gen.h"
#include <glob.h>
#include <stdalign.h>

#define EVERY_SPLIT_UP_TO 1500 /* bytes of input; the work is quadratic */
#define BYTEWISE_UP_TO 200000

/* --- what came, as lines; a line that comes again is counted --- */

struct events {
    struct heap text, last;
    unsigned long times;
};

static void events_flush(struct events *e)
{
    if (e->times > 0)
        heap_add(&e->text, e->last.at, e->last.len);
    if (e->times > 1)
        heap_print(&e->text, " x %lu", e->times);
    if (e->times > 0)
        heap_add(&e->text, "\n", 1);
    e->times = 0;
}

__attribute__((format(printf, 2, 3))) static void event(struct events *e, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (e->times > 0 && strcmp(line, (char *)e->last.at) == 0) {
        e->times++;
        return;
    }
    events_flush(e);
    heap_clear(&e->last);
    heap_add(&e->last, line, strlen(line));
    e->times = 1;
}

/* Text as it is when short and printable, hex for other bytes, a count for what is long. */
static const char *shown(struct pg_bytes b)
{
    static char ring[4][400];
    static unsigned turn;
    char *out = ring[turn++ % 4], *at = out;
    if (b.len > 80) {
        snprintf(out, sizeof ring[0], "(%zu bytes)", b.len);
        return out;
    }
    *at++ = '"';
    for (size_t i = 0; i < b.len; i++) {
        if (b.at[i] < 0x20 || b.at[i] > 0x7e || b.at[i] == '"' || b.at[i] == '\\')
            at += sprintf(at, "\\x%02x", b.at[i]);
        else
            *at++ = (char)b.at[i];
    }
    strcpy(at, "\"");
    return out;
}

static const char *hex(struct pg_bytes b)
{
    static char out[200];
    if (b.len > 80)
        return shown(b);
    out[0] = 0;
    for (size_t i = 0; i < b.len; i++)
        sprintf(out + 2 * i, "%02x", b.at[i]);
    return b.len ? out : "(empty)";
}

/* --- parsers that are fed --- */

struct fed {
    struct pg_mss mss;
    struct pg_frame frame;
    uint8_t *room;
    size_t used;
    bool over;
};

typedef void feed_fn(struct fed *, struct pg_bytes piece, struct events *);

static void feed_multistream(struct fed *f, struct pg_bytes piece, struct events *e)
{
    size_t before = piece.len;
    struct pg_bytes line;
    enum pg_mss_result r;
    while ((r = pg_mss_feed(&f->mss, &piece, &line)) == PG_MSS_LINE)
        event(e, "line %s", shown(line));
    f->used += before - piece.len;
    if (r == PG_MSS_BAD && !f->over)
        event(e, "bad after %zu bytes", f->used);
    f->over |= r == PG_MSS_BAD;
}

static void feed_frame(struct fed *f, struct pg_bytes piece, struct events *e)
{
    struct pg_bytes message;
    enum pg_frame_result r;
    while ((r = pg_frame_feed(&f->frame, &piece, &message)) == PG_FRAME_MESSAGE)
        event(e, "message %s", shown(message));
    if (r == PG_FRAME_BAD && !f->over)
        event(e, "bad %s", pg_err_name(pg_frame_error(&f->frame)));
    f->over |= r == PG_FRAME_BAD;
}

/* Feeds pieces of exactly their size, so that the sanitizer sees every byte read too many. */
static void feed_pieces(struct fed *f, feed_fn *feed, struct pg_bytes in, size_t first, size_t then, struct events *e)
{
    for (size_t at = 0, n = first; at < in.len || at == 0; at += n, n = then) {
        struct pg_bytes piece = pg_bytes_head(pg_bytes_skip(in, at), n);
        uint8_t *copy = malloc(piece.len ? piece.len : 1);
        if (!copy)
            abort();
        memcpy(copy, piece.at, piece.len);
        feed(f, pg_bytes(copy, piece.len), e);
        free(copy);
        if (n == 0 && then == 0)
            break;
    }
}

static void run_fed(const char *parser, struct pg_bytes in, size_t first, size_t then, struct events *e)
{
    struct fed f = {0};
    char kind[20] = "";
    unsigned most = 0;
    if (sscanf(parser, "frame %19s %u", kind, &most) == 2) {
        f.room = malloc(most + 1);
        enum pg_frame_kind k = !strcmp(kind, "uvarint") ? PG_FRAME_UVARINT
                               : !strcmp(kind, "u16be") ? PG_FRAME_U16BE
                                                        : PG_FRAME_U32BE;
        pg_frame_init(&f.frame, k, f.room, most);
        feed_pieces(&f, feed_frame, in, first, then, e);
        if (!f.over && !pg_frame_idle(&f.frame))
            event(e, "unfinished");
    } else {
        pg_mss_init(&f.mss);
        feed_pieces(&f, feed_multistream, in, first, then, e);
        if (!f.over && !pg_mss_idle(&f.mss))
            event(e, "unfinished");
    }
    free(f.room);
    events_flush(e);
}

/* --- parsers that take the whole --- */

static const struct pg_pb_table *const messages[] = {
    &pg_pb_public_key_table,
    &pg_pb_private_key_table,
    &pg_pb_noise_handshake_payload_table,
    &pg_pb_identify_table,
};

static void show_message(const struct pg_pb_table *t, const uint8_t *m, const char *path, struct events *e);

static void show_value(const struct pg_pb_field *f, const uint8_t *at, const char *path, struct events *e)
{
    int32_t small = 0;
    switch ((enum pg_pb_kind)f->kind) {
    case PG_PB_BYTES: event(e, "%s%s %s", path, f->name, hex(*(const struct pg_bytes *)(const void *)at)); break;
    case PG_PB_STRING: event(e, "%s%s %s", path, f->name, shown(*(const struct pg_bytes *)(const void *)at)); break;
    case PG_PB_ENUM:
    case PG_PB_INT32:
    case PG_PB_UINT32:
    case PG_PB_SINT32:
    case PG_PB_FIXED32:
        memcpy(&small, at, sizeof small);
        event(e, "%s%s %d", path, f->name, small);
        break;
    case PG_PB_MESSAGE: {
        char inner[200];
        snprintf(inner, sizeof inner, "%s%s.", path, f->name);
        event(e, "%s%s", path, f->name);
        show_message(f->inner, at, inner, e);
        break;
    }
    case PG_PB_BOOL:
    case PG_PB_INT64:
    case PG_PB_UINT64:
    case PG_PB_SINT64:
    case PG_PB_FIXED64: event(e, "%s%s ?", path, f->name); break;
    }
}

static void show_message(const struct pg_pb_table *t, const uint8_t *m, const char *path, struct events *e)
{
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_pb_field *f = &t->fields[i];
        uint32_t n = f->label == PG_PB_REPEATED ? *(const uint32_t *)(const void *)(m + f->has) : *(const bool *)(m + f->has);
        for (uint32_t k = 0; k < n; k++)
            show_value(f, m + f->at + k * f->room, path, e);
    }
}

static void run_protobuf(const char *name, struct pg_bytes in, struct events *e)
{
    static alignas(16) uint8_t first[65536], second[65536];
    static uint8_t out[65536];
    const struct pg_pb_table *t = NULL;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (strcmp(messages[i]->name, name) == 0)
            t = messages[i];
    if (!t || t->size > sizeof first) {
        event(e, "no message %s", name);
        return;
    }
    enum pg_err err = pg_pb_read(t, first, in);
    if (err != PG_OK) {
        event(e, "error %s", pg_err_name(err));
        return;
    }
    show_message(t, first, "", e);
    struct pg_writer w = pg_writer(out, sizeof out);
    pg_pb_write(t, first, &w);
    if (pg_pb_read(t, second, pg_written(&w)) != PG_OK || !pg_pb_equal(t, first, second))
        event(e, "does not come back");
    event(e, pg_bytes_equal(pg_written(&w), in) ? "written the same" : "written %s", hex(pg_written(&w)));
}

static void run_yamux(struct pg_bytes in, struct events *e)
{
    static const char *const types[] = {"data", "window", "ping", "goaway"};
    struct pg_yamux_header h;
    uint8_t out[PG_YAMUX_HEADER_SIZE];
    if (in.len != sizeof out) {
        event(e, "not %zu bytes", sizeof out);
        return;
    }
    enum pg_err err = pg_yamux_header_read(&h, in.at);
    if (err != PG_OK) {
        event(e, "error %s", pg_err_name(err));
        return;
    }
    event(e, "%s%s%s%s%s stream %u length %u", types[h.type], h.flags & PG_YAMUX_SYN ? " syn" : "",
          h.flags & PG_YAMUX_ACK ? " ack" : "", h.flags & PG_YAMUX_FIN ? " fin" : "", h.flags & PG_YAMUX_RST ? " rst" : "",
          h.stream, h.length);
    pg_yamux_header_write(&h, out);
    if (memcmp(out, in.at, sizeof out) != 0)
        event(e, "does not come back");
}

static void run_json(const char *name, struct pg_bytes in, struct events *e)
{
    static alignas(16) uint8_t scratch[200000];
    static uint8_t out[200000];
    struct pg_arena arena = {scratch, sizeof scratch, 0};
    struct pg_writer w = pg_writer(out, sizeof out);
    struct pg_json_tunnel_request request;
    struct pg_json_tunnel_response response;
    bool asks = strcmp(name, "tunnel_request") == 0;
    enum pg_err err =
        asks ? pg_json_tunnel_request_read(&request, in, &arena) : pg_json_tunnel_response_read(&response, in, &arena);
    if (err != PG_OK) {
        event(e, "error %s", pg_err_name(err));
        return;
    }
    if (asks)
        event(e, "service_name %s", shown(request.service_name));
    else
        event(e, "accepted %d reason %s", response.accepted, response.has_reason ? shown(response.reason) : "-");
    bool whole = asks ? pg_json_tunnel_request_write(&request, &w) : pg_json_tunnel_response_write(&response, &w);
    if (!whole)
        event(e, "cannot be written");
    else if (pg_bytes_equal(pg_written(&w), in))
        event(e, "written the same");
    else if (w.len > 300)
        event(e, "written (%zu bytes)", w.len);
    else
        event(e, "written %.*s", (int)w.len, (char *)w.at);
}

static enum pg_err run_spec(const char *parser, struct pg_bytes in, struct events *e)
{
    struct pg_expose_text x;
    struct pg_tunnel_text t;
    struct pg_pipe_text p;
    if (strcmp(parser, "expose") == 0) {
        TRY(pg_expose_parse(in, &x));
        if (x.path.len)
            event(e, "name %s path %s", shown(x.name), shown(x.path));
        else
            event(e, "name %s host %s port %u", shown(x.name), shown(x.host), x.port);
        for (struct pg_bytes peer; pg_allow_next(&x.allow, &peer);)
            event(e, "allow %s", shown(peer));
    } else if (strcmp(parser, "tunnel") == 0) {
        TRY(pg_tunnel_parse(in, &t));
        if (t.path.len)
            event(e, "peer %s service %s path %s", shown(t.peer), shown(t.service), shown(t.path));
        else
            event(e, "peer %s service %s host %s port %u", shown(t.peer), shown(t.service), shown(t.host), t.port);
    } else {
        TRY(pg_pipe_parse(in, &p));
        event(e, "addr %s service %s", shown(p.addr), shown(p.service));
    }
    return PG_OK;
}

static void show_heard(void *context, const struct pg_mdns_heard *h)
{
    char text[PG_MULTIADDR_TEXT];
    pg_peer_id_text(&h->peer, text);
    event(context, "peer %s for %u s", text, h->ttl_s);
    for (uint32_t i = 0; i < h->n_addrs; i++) {
        pg_multiaddr_text(&h->addrs[i], text, sizeof text);
        event(context, "addr %s", text);
    }
}

/* What a message asks of the peer of that name, and which peers it tells of. */
static void run_mdns(const char *own, struct pg_bytes in, struct events *e)
{
    static const char *const asked[] = {"peers", "services", "instance", "host"};
    unsigned bits = pg_mdns_read_query(in, own);
    for (unsigned i = 0; i < 4; i++)
        if (bits & 1u << i)
            event(e, "asks %s", asked[i]);
    pg_mdns_read_answer(in, own, show_heard, e);
}

static void run_filter(const char *targets, struct pg_bytes in, struct events *e)
{
    static const char *const levels[] = {"off", "error", "warn", "info", "debug", "trace"};
    struct pg_filter f;
    char list[400], *save = NULL;
    if (pg_filter_parse(&f, in) != PG_OK)
        event(e, "%u bad, the first is %s", f.n_bad, shown(f.first_bad));
    snprintf(list, sizeof list, "%s", targets);
    for (char *t = strtok_r(list, " ", &save); t; t = strtok_r(NULL, " ", &save))
        event(e, "%s %s", t, levels[pg_filter_level(&f, t)]);
}

static void run_whole(const char *parser, struct pg_bytes in, struct events *e)
{
    if (strncmp(parser, "protobuf ", 9) == 0)
        run_protobuf(parser + 9, in, e);
    else if (strncmp(parser, "json ", 5) == 0)
        run_json(parser + 5, in, e);
    else if (strncmp(parser, "filter ", 7) == 0)
        run_filter(parser + 7, in, e);
    else if (strcmp(parser, "yamux") == 0)
        run_yamux(in, e);
    else if (strncmp(parser, "mdns ", 5) == 0)
        run_mdns(parser + 5, in, e);
    else if (!strcmp(parser, "expose") || !strcmp(parser, "tunnel") || !strcmp(parser, "pipe")) {
        enum pg_err err = run_spec(parser, in, e);
        if (err != PG_OK)
            event(e, "error %s", pg_err_name(err));
    } else
        event(e, "no parser %s", parser);
    events_flush(e);
}

/* --- cases --- */

static unsigned passed, failed;
static bool verbose;
static const char *corpus;

static bool as_expected(const struct wire_case *c, struct events *e, const char *how)
{
    bool same = e->text.len == c->expected.len && memcmp(e->text.at, c->expected.at, e->text.len) == 0;
    if (!same || verbose)
        printf("%s:%d: %s (%s)%s\n%s%s", c->file, c->line, c->why, how,
               same ? "" : ": not as expected; this came:", (char *)e->text.at, same ? "" : "----\n");
    heap_clear(&e->text);
    return same;
}

static bool run_splits(const struct wire_case *c, struct pg_bytes in, struct events *e)
{
    char how[60];
    for (size_t at = 0; at <= in.len && in.len <= EVERY_SPLIT_UP_TO; at++) {
        run_fed(c->parser, in, at, in.len, e);
        snprintf(how, sizeof how, "cut after %zu bytes", at);
        bool was = verbose;
        verbose = false;
        bool good = as_expected(c, e, how);
        verbose = was;
        if (!good)
            return false;
    }
    if (in.len > BYTEWISE_UP_TO || in.len == 0)
        return true;
    run_fed(c->parser, in, 1, 1, e);
    return as_expected(c, e, "byte by byte");
}

static void run_case(const struct wire_case *c)
{
    struct events e = {0};
    heap_clear(&e.text);
    /* exactly as long as it is, for the sanitizer */
    uint8_t *copy = malloc(c->input.len ? c->input.len : 1);
    if (!copy)
        abort();
    memcpy(copy, c->input.at, c->input.len);
    struct pg_bytes in = pg_bytes(copy, c->input.len);
    bool fed = strcmp(c->parser, "multistream") == 0 || strncmp(c->parser, "frame ", 6) == 0;
    if (fed)
        run_fed(c->parser, in, in.len, 0, &e);
    else
        run_whole(c->parser, in, &e);
    bool good = as_expected(c, &e, "whole");
    if (good && fed)
        good = run_splits(c, in, &e);
    *(good ? &passed : &failed) += 1;
    free(copy);
    free(e.text.at);
    free(e.last.at);
}

static void write_corpus(const struct wire_case *c)
{
    char path[600];
    const char *base = strrchr(c->file, '/') ? strrchr(c->file, '/') + 1 : c->file;
    snprintf(path, sizeof path, "%s/%.*s-%d", corpus, (int)strcspn(base, "."), base, c->line);
    FILE *f = fopen(path, "w");
    if (!f || fwrite(c->input.at, 1, c->input.len, f) != c->input.len || fclose(f) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(1);
    }
}

static void run_file(const char *name)
{
    struct case_reader r = {.file = fopen(name, "r"), .name = name};
    struct wire_case c = {0};
    if (!r.file) {
        fprintf(stderr, "%s: cannot be opened\n", name);
        failed++;
        return;
    }
    while (next_case(&r, &c)) {
        if (corpus)
            write_corpus(&c);
        run_case(&c);
    }
    fclose(r.file);
    free(c.input.at);
    free(c.expected.at);
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0)
            verbose = true;
        else if (strcmp(argv[i], "-w") == 0 && i + 1 < argc)
            corpus = argv[++i];
        else
            run_file(argv[i]), files++;
    }
    if (files == 0) {
        glob_t found;
        if (glob("tests/wire/*.md", 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc; i++)
                run_file(found.gl_pathv[i]);
        globfree(&found);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}
