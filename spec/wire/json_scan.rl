/* JSON as a strict grammar: what passes here may be shown to cJSON, which is laxer than RFC 8259 in a dozen places.
 * Compiled by Ragel; called by runtime/wire/json.c before anything else looks at the text.
 * RFC 8259, sections 2 to 8; UTF-8 by RFC 3629; no NUL, raw or escaped, and no lone surrogate. */
#include "wire/json.h"

/* Ragel writes gotos where the next state follows anyway, and constants that only some grammars use. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

%%{
    machine json_scan;
    alphtype unsigned char;

    action open   { depth < PG_JSON_DEEPEST }
    action object { depth++; fcall object; }
    action array  { depth++; fcall array; }
    action close  { depth--; fret; }

    ws       = [ \t\n\r]*;
    follow   = 0x80..0xbf;
    utf8     = 0xc2..0xdf follow
             | 0xe0 0xa0..0xbf follow | (0xe1..0xec | 0xee..0xef) follow{2} | 0xed 0x80..0x9f follow
             | 0xf0 0x90..0xbf follow{2} | 0xf1..0xf3 follow{3} | 0xf4 0x80..0x8f follow{2};
    plain    = 0x20..0x7f - ["\\];
    hex4     = xdigit{4};
    high     = [dD] [89abAB] xdigit{2};
    low      = [dD] [c-fC-F] xdigit{2};
    code     = 'u' ((hex4 - '0000' - high - low) | high '\\u' low);
    escape   = '\\' (["\\/bfnrt] | code);
    string   = '"' (plain | utf8 | escape)* '"';
    number   = '-'? ('0' | [1-9] digit*) ('.' digit+)? ([eE] [+\-]? digit+)?;
    nest     = '{' when open @object | '[' when open @array;
    value    = string | number | 'true' | 'false' | 'null' | nest;

    member   = string ws ':' ws value ws;
    object  := ws (member (',' ws member)*)? '}' @close;
    array   := ws (value ws (',' ws value ws)*)? ']' @close;
    main    := ws value ws;

    write data noerror;
}%%

enum pg_err pg_json_scan(struct pg_bytes text)
{
    if (text.len == 0)
        return PG_ERR_JSON_BAD;
    const uint8_t *p = text.at, *pe = text.at + text.len;
    int cs, top, stack[PG_JSON_DEEPEST], depth = 0;
    %% write init;
    %% write exec;
    if (cs >= json_scan_first_final)
        return PG_OK;
    bool too_deep = depth == PG_JSON_DEEPEST && p < pe && (*p == '{' || *p == '[');
    return too_deep ? PG_ERR_JSON_LIMIT : PG_ERR_JSON_BAD;
}
