/* Reads wire cases out of Markdown: a heading that says why, a block of input, a block of expected events.
 * Called by wire_test.c; the form is described in tests/wire/README.md.
 * Serves docs/SPEC-LANGUAGE.md: the cases are the examples of that page. */
#pragma once
#include "mem/bytes.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A growing piece of memory; dies with the program's patience, not with the case. */
struct heap {
    uint8_t *at;
    size_t len, room;
};

static inline void heap_add(struct heap *h, const void *at, size_t n)
{
    if (h->len + n + 1 > h->room) {
        h->room = (h->len + n + 1) * 2;
        h->at = realloc(h->at, h->room);
        if (!h->at)
            abort();
    }
    if (n > 0)
        memcpy(h->at + h->len, at, n);
    h->len += n;
    h->at[h->len] = 0;
}

static inline void heap_clear(struct heap *h)
{
    h->len = 0;
    heap_add(h, "", 0);
}

__attribute__((format(printf, 2, 3))) static inline void heap_print(struct heap *h, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    heap_add(h, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

/* One case: what stands in the file, decoded. */
struct wire_case {
    const char *file;
    int line;
    char why[200];
    char parser[200]; /* the words behind `hex` or `text` */
    struct heap input, expected;
};

/* --- the input block --- */

static inline const char *hex_string(struct heap *out, const char *p)
{
    for (p++; *p && *p != '"'; p++)
        heap_add(out, p, 1);
    return *p ? p + 1 : p;
}

static inline void repeat(struct heap *out, size_t from, unsigned long times)
{
    size_t n = out->len - from;
    struct heap group = {0};
    heap_add(&group, out->at + from, n);
    for (unsigned long i = 1; i < times; i++)
        heap_add(out, group.at, n);
    free(group.at);
}

/* Bytes in hex, "text", ( … ) x N, comments from # on. False when something else stands there. */
static inline bool decode_hex(struct heap *out, const char *p)
{
    size_t group = 0;
    while (*p) {
        if (isspace((unsigned char)*p)) {
            p++;
        } else if (*p == '#') {
            p += strcspn(p, "\n");
        } else if (*p == '"') {
            p = hex_string(out, p);
        } else if (*p == '(') {
            group = out->len;
            p++;
        } else if (*p == ')') {
            char *end;
            p += strspn(p, ") x");
            repeat(out, group, strtoul(p, &end, 10));
            p = end;
        } else if (isxdigit((unsigned char)p[0]) && isxdigit((unsigned char)p[1])) {
            uint8_t b = (uint8_t)strtoul((char[]){p[0], p[1], 0}, NULL, 16);
            heap_add(out, &b, 1);
            p += 2;
        } else {
            return false;
        }
    }
    return true;
}

/* --- the file --- */

enum block { BLOCK_NONE, BLOCK_HEX, BLOCK_TEXT, BLOCK_EVENTS };

struct case_reader {
    FILE *file;
    const char *name;
    int line;
    char why[200];
};

static inline enum block fence(const char *line)
{
    if (strncmp(line, "```hex ", 7) == 0)
        return BLOCK_HEX;
    if (strncmp(line, "```text ", 8) == 0)
        return BLOCK_TEXT;
    return strncmp(line, "```events", 9) == 0 ? BLOCK_EVENTS : BLOCK_NONE;
}

static inline void take_block(struct case_reader *r, struct heap *into)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    heap_clear(into);
    while ((n = getline(&line, &room, r->file)) > 0) {
        r->line++;
        if (strncmp(line, "```", 3) == 0)
            break;
        heap_add(into, line, (size_t)n);
    }
    free(line);
}

static inline void finish_input(struct wire_case *c, enum block kind, struct heap *raw)
{
    heap_clear(&c->input);
    if (kind == BLOCK_TEXT) { /* without the last newline, which belongs to the fence */
        heap_add(&c->input, raw->at, raw->len > 0 ? raw->len - 1 : 0);
    } else if (!decode_hex(&c->input, (const char *)raw->at)) {
        fprintf(stderr, "%s:%d: neither hex, nor \"text\", nor ( … ) x N\n", c->file, c->line);
        exit(1);
    }
}

/* The next case; false at the end of the file. */
static inline bool next_case(struct case_reader *r, struct wire_case *c)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    struct heap raw = {0};
    while (!found && getline(&line, &room, r->file) > 0) {
        r->line++;
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '#')
            snprintf(r->why, sizeof r->why, "%s", line + strspn(line, "# "));
        enum block kind = fence(line);
        if (kind == BLOCK_HEX || kind == BLOCK_TEXT) {
            c->file = r->name;
            c->line = r->line;
            snprintf(c->why, sizeof c->why, "%s", r->why);
            snprintf(c->parser, sizeof c->parser, "%s", line + (kind == BLOCK_HEX ? 7 : 8));
            take_block(r, &raw);
            finish_input(c, kind, &raw);
        } else if (kind == BLOCK_EVENTS) {
            take_block(r, &c->expected);
            found = true;
        }
    }
    free(raw.at);
    free(line);
    return found;
}
