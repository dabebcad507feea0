/* Plays a recording: gives the core what came in, and compares what goes out, byte for byte. Called by main.c. */
#include "play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void play_differs(struct play *p, const char *format, ...)
{
    va_list list;
    int n = snprintf(p->difference, sizeof p->difference, "at byte %zu, input %llu, %.6f s after the start: ", (size_t)(p->at - p->begin),
                     (unsigned long long)p->inputs, (double)(p->now_us - p->began_us) / 1e6);
    va_start(list, format);
    vsnprintf(p->difference + n, sizeof p->difference - (size_t)n, format, list);
    va_end(list);
    longjmp(p->stop, 1);
}

static uint8_t byte(struct play *p)
{
    if (p->at == p->end)
        play_differs(p, "the file ends in the middle of a record");
    return *p->at++;
}

uint64_t play_number(struct play *p)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = byte(p);
        n |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return n;
    }
    play_differs(p, "the file is broken: a number has no end");
}

struct pg_bytes play_bytes(struct play *p)
{
    uint64_t n = play_number(p);
    if (n > (uint64_t)(p->end - p->at))
        play_differs(p, "the file is broken: %llu bytes are announced and %zu are left", (unsigned long long)n, (size_t)(p->end - p->at));
    p->at += n;
    return pg_bytes(p->at - n, (size_t)n);
}

static struct pg_endpoint endpoint(struct play *p)
{
    struct pg_endpoint e = {.family = byte(p)};
    for (unsigned i = 0, n = e.family == 4 ? 4 : e.family == 6 ? 16 : 0; i < n; i++)
        e.ip[i] = byte(p);
    e.port = (uint16_t)play_number(p);
    e.zone = (uint32_t)play_number(p);
    return e;
}

static struct pg_link *link_of(struct play *p)
{
    uint32_t number = (uint32_t)play_number(p);
    struct pg_link *link = number ? pg_map_get(&p->links, number) : NULL;
    if (number && !link)
        play_differs(p, "the core has no link %u", number);
    return link;
}

static void know(struct play *p, struct pg_link *link)
{
    if (link && !pg_map_get(&p->links, link->number) && !pg_map_put(&p->links, link->number, link))
        play_differs(p, "out of memory");
}

/* Inputs. */

static void play_input(struct play *p)
{
    static uint8_t buffer[PG_READ_HEADROOM + PG_READ_MAX];
    struct pg_endpoint found[PG_RESOLVED_MOST];
    struct pg_bytes texts[PG_RESOLVED_MOST];
    struct pg_input in = {.kind = (enum pg_input_kind)play_number(p)};
    p->now_us += play_number(p);
    p->began_us = p->inputs++ ? p->began_us : p->now_us;
    in.link = link_of(p);
    uint64_t parts = play_number(p);
    if (parts & PG_RECORD_HAS_FRESH)
        in.fresh = link_of(p);
    if (parts & PG_RECORD_HAS_DATA) {
        struct pg_bytes data = play_bytes(p);
        if (data.len > PG_READ_MAX)
            play_differs(p, "the file is broken: more data at once than any loop reads");
        in.data = memcpy(buffer + PG_READ_HEADROOM, data.at, data.len);
        in.len = data.len;
        p->bytes_in += data.len;
    }
    if (parts & PG_RECORD_HAS_REASON) {
        in.error = (int)play_number(p);
        in.reason = play_bytes(p);
    }
    if (parts & PG_RECORD_HAS_ENDPOINTS) {
        in.remote = endpoint(p);
        in.local = endpoint(p);
    }
    if (parts & PG_RECORD_HAS_ANSWER) {
        in.number = (uint32_t)play_number(p);
        in.n_found = (uint32_t)play_number(p);
        if (in.n_found > PG_RESOLVED_MOST)
            play_differs(p, "the file is broken: more answers than any loop gives");
        for (uint32_t i = 0; i < in.n_found; i++)
            if (parts & PG_RECORD_HAS_TEXTS)
                texts[i] = play_bytes(p);
            else
                found[i] = endpoint(p);
        in.found = parts & PG_RECORD_HAS_TEXTS ? NULL : found;
        in.texts = parts & PG_RECORD_HAS_TEXTS ? texts : NULL;
    }
    if (parts & PG_RECORD_HAS_ORIGIN) {
        in.hops = (uint8_t)play_number(p);
        in.on_link = play_number(p) != 0;
    }
    p->core.input(p->core.self, &in, p->now_us);
}

/* Outputs. */

static const char *const kinds[] = {"listen", "dial", "write", "read", "end", "close", "reset", "resolve", "forget", "bind", "send", "unbind", "ready", "report", "stop"};
_Static_assert(sizeof kinds / sizeof *kinds == PG_COMMAND_STOP + 1, "each command has a name");

/* A command for people: its name and link, and its bytes. */
static void show(struct pg_bytes text, char *out, size_t room)
{
    unsigned kind = text.len ? text.at[0] : 255;
    int n = snprintf(out, room, "%s ", kind <= PG_COMMAND_STOP ? kinds[kind] : "nothing known");
    for (size_t i = 1; i < text.len && i < 200 && n + 3 < (int)room; i++)
        n += snprintf(out + n, room - (size_t)n, "%02x", text.at[i]);
}

static void play_command(struct play *p)
{
    struct pg_bytes recorded = play_bytes(p);
    struct pg_command c;
    uint8_t text[PG_RECORD_COMMAND_MAX];
    char a[512], b[512];
    show(recorded, a, sizeof a);
    if (!p->core.poll(p->core.self, &c))
        play_differs(p, "recorded was the command %s, the core has none", a);
    struct pg_bytes played = pg_bytes(text, pg_record_command(text, &c));
    know(p, c.link);
    p->commands++;
    show(played, b, sizeof b);
    if (!pg_bytes_equal(recorded, played))
        play_differs(p, "recorded was the command %s, the core says %s", a, b);
}

static void play_drained(struct play *p)
{
    struct pg_command c;
    char a[512];
    uint8_t text[PG_RECORD_COMMAND_MAX];
    if (!p->core.poll(p->core.self, &c))
        return;
    show(pg_bytes(text, pg_record_command(text, &c)), a, sizeof a);
    play_differs(p, "recorded was the end of the commands, the core says %s", a);
}

static void play_wrote(struct play *p)
{
    struct pg_link *link = link_of(p);
    uint64_t n = play_number(p), recorded = play_number(p), hash = 0;
    size_t left = (size_t)n;
    if (!link || link->tx.bytes < n)
        play_differs(p, "recorded were %llu bytes written on link %u, the core has %zu", (unsigned long long)n, link ? link->number : 0,
                     link ? link->tx.bytes : 0);
    for (const struct pg_chunk *c = link->tx.first; c && left > 0; c = c->next) {
        struct pg_bytes part = pg_bytes_head(pg_bytes(c->data + c->head, c->tail - c->head), left);
        hash = pg_record_hash(hash, part);
        left -= part.len;
    }
    if (hash != recorded)
        play_differs(p, "of %llu bytes written on link %u some are others", (unsigned long long)n, link->number);
    p->bytes_out += n;
    pg_queue_drop(&link->tx, (size_t)n);
}

static void compare(struct play *p, const char *what, uint64_t recorded, uint64_t played)
{
    if (recorded != played)
        play_differs(p, "%s was %llu and is %llu", what, (unsigned long long)recorded, (unsigned long long)played);
}

static void play_link(struct play *p)
{
    struct pg_link *link = p->core.link(p->core.self);
    compare(p, "the number of a fresh link", play_number(p), link ? link->number : 0);
    know(p, link);
}

static void play_unlink(struct play *p)
{
    struct pg_link *link = link_of(p);
    if (!link)
        play_differs(p, "the file is broken: a link that is none is given back");
    pg_map_remove(&p->links, link->number);
    p->core.unlink(p->core.self, link);
}

static void play_record(struct play *p, uint8_t kind)
{
    struct pg_link *link;
    switch ((enum pg_record_kind)kind) {
    case PG_RECORD_INPUT: play_input(p); return;
    case PG_RECORD_COMMAND: play_command(p); return;
    case PG_RECORD_DRAINED: play_drained(p); return;
    case PG_RECORD_DEADLINE: compare(p, "the deadline", play_number(p), p->core.deadline(p->core.self)); return;
    case PG_RECORD_WANT:
        link = link_of(p);
        compare(p, "what is wanted of a link", play_number(p), link ? p->core.want(p->core.self, link) : 0);
        return;
    case PG_RECORD_LINK: play_link(p); return;
    case PG_RECORD_UNLINK: play_unlink(p); return;
    case PG_RECORD_WROTE: play_wrote(p); return;
    case PG_RECORD_END:
        (void)play_number(p);
        p->ended = true;
        p->at = p->end;
        return;
    case PG_RECORD_ANSWER: play_differs(p, "a secret was used in the recorded run and is not used now");
    case PG_RECORD_FACT: break;
    }
    play_differs(p, "the file is broken: no record begins with %u", kind);
}

bool play_run(struct play *p)
{
    if (setjmp(p->stop) != 0)
        return false;
    while (p->at < p->end && *p->at != 0) /* zeros: the process was killed, and the rest of the file was never written */
        play_record(p, byte(p));
    return true;
}
