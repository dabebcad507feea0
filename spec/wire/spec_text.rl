/* What people write after --expose, --tunnel, --tunnel-by-name and `pipe`, as grammars.
 * Compiled by Ragel; called through runtime/wire/spec_text.h.
 * The original's README, "Options"; IPv6 addresses stand in brackets, as in RFC 3986, section 3.2.2. */
#include "wire/spec_text.h"
#include "wire/utf8.h"

/* Ragel writes gotos where the next state follows anyway, and constants that only some grammars use. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

/* Where the parts begin and end. A separator that comes again moves its part, so that the last one counts. */
struct part {
    const uint8_t *from, *to;
};

struct parts {
    struct part head, name, host, port, path, allow;
};

static struct pg_bytes slice(struct part p)
{
    return pg_bytes(p.from, (size_t)(p.to - p.from));
}

%%{
    machine spec_text;
    alphtype unsigned char;

    action head_from { s->head.from = p; }
    action head_to   { s->head.to = p; }
    action name_from { s->name.from = p; }
    action name_to   { s->name.to = p; s->path.from = s->allow.from = NULL; }
    action host_from { s->host.from = p; }
    action host_to   { s->host.to = p; }
    action port_from { s->port.from = p; }
    action path_from { s->path.from = p; }
    action allow_from { if (!s->allow.from) s->allow.from = p; }

    bare    = (alnum | [._\-])+ >host_from;
    address = '[' (alnum | [:.%_\-])+ >host_from;
    port    = ':' @host_to (any - [:@,])* >port_from >/port_from;
    # ']' belongs to nobody: the host ends before it, its ':' comes behind it
    target  = bare port | address ']' @host_to ':' (any - [:@,])* >port_from >/port_from;
    # A socket of this machine. `unix` may be the name of a host, too: what follows its ':' tells them apart.
    local   = 'unix:' '/' >path_from (any - [@,])*;
    allow   = ( ',' >allow_from 'allow=' [^,]* )*;

    name    = (any - '=')* >name_from;
    expose := name '=' @name_to ( target | local ) allow;

    # A peer id has no ':' in it. An address may (IPv6), but ends at the first ':' that follows a /p2p/ID.
    ended   = any* '/p2p/' alnum+;
    peer    = (any - [:/]) (any - ':')* | ('/' any* & ended) - (ended ':' any*);
    tunnel := peer >head_from ':' @head_to any* >name_from '@' @name_to ( target | local ) allow;

    named  := any* >name_from '@' @name_to ( target | local ) allow;

    pipe   := any+ >head_from ':' @head_to (any - ':')* >name_from >/name_from;

    write data noerror;
}%%

/* Runs one of the grammars over the whole text. */
static bool fits(int cs, struct pg_bytes text, struct parts *s)
{
    const uint8_t *p = text.at, *pe = text.at + text.len, *eof = pe;
    *s = (struct parts){.name = {p, p}};
    %% write exec;
    s->allow.to = pe;
    s->port.to = s->path.to = s->allow.from ? s->allow.from : pe;
    return cs >= spec_text_first_final;
}

static enum pg_err check_text(struct pg_bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < 0x20 || text.at[i] == 0x7f)
            return PG_ERR_TEXT_CONTROL;
    return pg_utf8_valid(text) ? PG_OK : PG_ERR_TEXT_CONTROL;
}

static enum pg_err check_name(struct pg_bytes name)
{
    if (name.len == 0)
        return PG_ERR_NAME_EMPTY;
    return name.len > PG_SERVICE_NAME_MAX ? PG_ERR_NAME_TOO_LONG : PG_OK;
}

static enum pg_err number(struct pg_bytes text, uint16_t least, uint16_t *port)
{
    uint32_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return PG_ERR_PORT_BAD;
        v = v * 10 + (uint32_t)(text.at[i] - '0');
        if (v > UINT16_MAX)
            return PG_ERR_PORT_BAD;
    }
    *port = (uint16_t)v;
    return text.len == 0 || v < least ? PG_ERR_PORT_BAD : PG_OK;
}

/* HOST:PORT or unix:/PATH. */
static enum pg_err place(const struct parts *s, uint16_t least, struct pg_bytes *host, uint16_t *port, struct pg_bytes *path)
{
    if (!s->path.from) {
        *host = slice(s->host);
        enum pg_err err = number(slice(s->port), least, port);
        return err != PG_OK && pg_bytes_equal(*host, PG_LIT("unix")) ? PG_ERR_SOCKET_PATH_BAD : err;
    }
    *path = slice(s->path);
    return path->len > PG_SOCKET_PATH_MAX ? PG_ERR_SOCKET_PATH_LONG : PG_OK;
}

bool pg_allow_next(struct pg_bytes *rest, struct pg_bytes *peer)
{
    static const size_t key = sizeof ",allow=" - 1;
    if (rest->len < key)
        return false;
    *peer = pg_bytes_skip(*rest, key);
    const uint8_t *comma = peer->len ? memchr(peer->at, ',', peer->len) : NULL;
    if (comma)
        peer->len = (size_t)(comma - peer->at);
    *rest = pg_bytes_skip(*rest, key + peer->len);
    return true;
}

enum pg_err pg_expose_parse(struct pg_bytes text, struct pg_expose_text *out)
{
    struct parts s;
    memset(out, 0, sizeof *out);
    TRY(check_text(text));
    if (text.len == 0 || !fits(spec_text_en_expose, text, &s))
        return PG_ERR_EXPOSE_BAD;
    out->name = slice(s.name);
    if (s.allow.from)
        out->allow = slice(s.allow);
    TRY(check_name(out->name));
    return place(&s, 1, &out->host, &out->port, &out->path);
}

enum pg_err pg_tunnel_parse(struct pg_bytes text, struct pg_tunnel_text *out)
{
    struct parts s;
    memset(out, 0, sizeof *out);
    TRY(check_text(text));
    if (text.len == 0 || !fits(spec_text_en_tunnel, text, &s))
        return PG_ERR_TUNNEL_BAD;
    out->peer = slice(s.head);
    out->service = slice(s.name);
    TRY(check_name(out->service));
    TRY(place(&s, 0, &out->host, &out->port, &out->path));
    return s.allow.from ? PG_ERR_TUNNEL_ALLOW : PG_OK;
}

enum pg_err pg_named_parse(struct pg_bytes text, struct pg_named_text *out)
{
    struct parts s;
    memset(out, 0, sizeof *out);
    TRY(check_text(text));
    if (text.len == 0 || !fits(spec_text_en_named, text, &s))
        return PG_ERR_TUNNEL_NAME_BAD;
    out->service = slice(s.name);
    if (s.allow.from)
        out->allow = slice(s.allow);
    TRY(check_name(out->service));
    return place(&s, 0, &out->host, &out->port, &out->path);
}

enum pg_err pg_pipe_parse(struct pg_bytes text, struct pg_pipe_text *out)
{
    struct parts s;
    memset(out, 0, sizeof *out);
    TRY(check_text(text));
    if (text.len == 0 || !fits(spec_text_en_pipe, text, &s))
        return PG_ERR_PIPE_BAD;
    out->addr = slice(s.head);
    s.name.to = text.at + text.len;
    out->service = slice(s.name);
    return check_name(out->service);
}
