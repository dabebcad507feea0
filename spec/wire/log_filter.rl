/* The grammar of RUST_LOG: `info`, `cli=debug`, `cli::node=trace,warn`, `off`.
 * Compiled by Ragel; called through runtime/wire/log_filter.h.
 * tracing-subscriber's EnvFilter, without span and field filters: a directive in brackets counts as a bad one. */
#include "wire/log_filter.h"

/* Ragel writes gotos where the next state follows anyway, and constants that only some grammars use. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

/* The directive that is being read. */
struct item {
    const uint8_t *start, *from, *to;
    enum pg_log_level level;
};

static void begin(struct item *i, const uint8_t *p)
{
    *i = (struct item){.start = p, .from = p, .to = p, .level = PG_LOG_LEVEL_TRACE};
}

static void bad(struct pg_filter *f, const struct item *i, const uint8_t *p)
{
    if (f->n_bad++ == 0)
        f->first_bad = pg_bytes(i->start, (size_t)(p - i->start));
}

/* The same target again overrides. */
static void add(struct pg_filter *f, struct pg_bytes target, enum pg_log_level level)
{
    uint32_t at = 0;
    while (at < f->n_directives && !pg_bytes_equal(f->directives[at].target, target))
        at++;
    f->directives[at].target = target;
    f->directives[at].level = level;
    if (at == f->n_directives)
        f->n_directives++;
}

static void good(struct pg_filter *f, const struct item *i, const uint8_t *p)
{
    if (f->n_directives == PG_FILTER_MOST)
        bad(f, i, p);
    else
        add(f, pg_bytes(i->from, (size_t)(i->to - i->from)), i->level);
}

%%{
    machine log_filter;
    alphtype unsigned char;

    action start    { begin(&item, p); }
    action all      { item.to = item.from; }
    action begins   { item.from = p; }
    action ends     { item.to = p; }
    action good     { good(f, &item, p); }
    action bad      { bad(f, &item, p); }
    action is_error { item.level = PG_LOG_LEVEL_ERROR; }
    action is_warn  { item.level = PG_LOG_LEVEL_WARN; }
    action is_info  { item.level = PG_LOG_LEVEL_INFO; }
    action is_debug { item.level = PG_LOG_LEVEL_DEBUG; }
    action is_trace { item.level = PG_LOG_LEVEL_TRACE; }
    action is_off   { item.level = PG_LOG_LEVEL_OFF; }

    word     = 'off'i | 'error'i | 'warn'i | 'info'i | 'debug'i | 'trace'i | [0-5];
    level    = ('off'i | '0') %is_off | ('error'i | '1') %is_error | ('warn'i | '2') %is_warn
             | ('info'i | '3') %is_info | ('debug'i | '4') %is_debug | ('trace'i | '5') %is_trace;
    follows  = (alnum | [_:.\-/] | 0x80..0xff);
    name     = ((follows - [./]) follows*) - word;
    target   = name >begins %ends;
    # A target alone, or with nothing behind its '=', logs everything.
    directive = level %all | target ('=' level?)?;
    blank    = [ \t]*;
    right    = blank directive blank;
    wrong    = (any - ',')* - right - blank;
    item     = (right %good | wrong %bad | blank) >start;
    main    := item (',' item)*;

    write data noerror noentry;
}%%

enum pg_err pg_filter_parse(struct pg_filter *f, struct pg_bytes text)
{
    struct item item = {0};
    *f = (struct pg_filter){0};
    if (text.len > 0) {
        const uint8_t *p = text.at, *pe = text.at + text.len, *eof = pe;
        int cs;
        %% write init;
        %% write exec;
    }
    if (f->n_directives == 0)
        add(f, PG_NONE, PG_LOG_LEVEL_ERROR);
    return f->n_bad > 0 ? PG_ERR_LOG_FILTER_BAD : PG_OK;
}

enum pg_log_level pg_filter_level(const struct pg_filter *f, const char *target)
{
    struct pg_bytes name = pg_text(target);
    enum pg_log_level level = PG_LOG_LEVEL_OFF;
    size_t longest = 0;
    for (uint32_t i = 0; i < f->n_directives; i++) {
        struct pg_bytes t = f->directives[i].target;
        if (t.len < longest || !pg_bytes_equal(pg_bytes_head(name, t.len), t))
            continue;
        longest = t.len;
        level = f->directives[i].level;
    }
    return level;
}
