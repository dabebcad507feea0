/* Reader and writer of DNS messages. A name may go on at an earlier place of its message: each step has to lead further back than
 * the one before, and the whole stays within 255 bytes, so that nothing leads in a circle and nothing grows.
 * Called by mdns_message.c. Serves RFC 1035 section 4.1.4 and RFC 6762 sections 18 and 18.14. */
#include "core/dns.h"

#include <assert.h>

enum { HEADER = 12, QUESTION_TAIL = 4, RECORD_TAIL = 10, POINTER = 0xc0, LABEL_MOST = 63, FARTHEST = 0x3fff, OPCODE = 0x7800 };

/* Names. */

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

void pg_dns_name_of(struct pg_dns_name *out, const char *text)
{
    uint8_t *length = out->at, *at = out->at + 1;
    for (;; text++) {
        if (*text && *text != '.') {
            assert(at < out->at + sizeof out->at - 1);
            *at++ = (uint8_t)*text;
            continue;
        }
        *length = (uint8_t)(at - length - 1);
        assert(*length > 0 && *length <= LABEL_MOST);
        length = at++;
        if (!*text)
            break;
    }
    *length = 0;
    out->len = (uint8_t)(at - out->at);
}

bool pg_dns_name_below(struct pg_dns_name *out, struct pg_bytes label, const struct pg_dns_name *name)
{
    if (label.len == 0 || label.len > LABEL_MOST || 1 + label.len + name->len > sizeof out->at)
        return false;
    out->at[0] = (uint8_t)label.len;
    memcpy(out->at + 1, label.at, label.len);
    memcpy(out->at + 1 + label.len, name->at, name->len);
    out->len = (uint8_t)(1 + label.len + name->len);
    return true;
}

/* Lengths are below every letter, so that comparing all bytes alike is right. */
static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool pg_dns_name_equal(const struct pg_dns_name *a, const struct pg_dns_name *b)
{
    return a->len == b->len && same(a->at, b->at, a->len);
}

/* The name at an offset; *end: where what follows it begins. False when it is none. */
static bool read_name(struct pg_bytes message, size_t offset, size_t *end, struct pg_dns_name *out)
{
    size_t lowest = offset; /* of the places that were gone to */
    bool jumped = false;
    out->len = 0;
    for (;;) {
        if (offset >= message.len)
            return false;
        uint8_t length = message.at[offset];
        if ((length & POINTER) == POINTER) {
            if (offset + 2 > message.len)
                return false;
            size_t to = (size_t)(length & ~POINTER) << 8 | message.at[offset + 1];
            if (!jumped)
                *end = offset + 2;
            if (to >= lowest)
                return false;
            lowest = offset = to;
            jumped = true;
            continue;
        }
        if (length > LABEL_MOST || offset + 1 + length > message.len || out->len + 1u + length > sizeof out->at)
            return false;
        memcpy(out->at + out->len, message.at + offset, 1u + length);
        out->len = (uint8_t)(out->len + 1 + length);
        offset += 1u + length;
        if (length == 0)
            break;
    }
    if (!jumped)
        *end = offset;
    return true;
}

/* Reading. */

bool pg_dns_open(struct pg_dns_reader *r, struct pg_bytes message)
{
    *r = (struct pg_dns_reader){.message = message, .at = pg_cursor(message)};
    if (message.len > PG_DNS_MESSAGE_MAX)
        return false;
    struct pg_bytes fixed = pg_take_bytes(&r->at, HEADER);
    if (r->at.failed || pg_dns_header_read(&r->header, fixed.at) != PG_OK || (r->header.flags & OPCODE) != 0)
        return false;
    r->left[PG_DNS_IN_QUESTION] = r->header.questions;
    r->left[PG_DNS_IN_ANSWER] = r->header.answers;
    r->left[PG_DNS_IN_AUTHORITY] = r->header.authority;
    r->left[PG_DNS_IN_ADDITIONAL] = r->header.additional;
    return true;
}

static bool take_tail(struct pg_dns_reader *r, struct pg_dns_record *out)
{
    struct pg_bytes fixed = pg_take_bytes(&r->at, out->section == PG_DNS_IN_QUESTION ? QUESTION_TAIL : RECORD_TAIL);
    if (r->at.failed)
        return false;
    if (out->section == PG_DNS_IN_QUESTION) {
        struct pg_dns_question_header q;
        (void)pg_dns_question_header_read(&q, fixed.at);
        out->type = q.type;
        out->class = q.class & (uint16_t)~PG_DNS_QUESTION_UNICAST;
        out->flag = (q.class & PG_DNS_QUESTION_UNICAST) != 0;
        out->data = PG_NONE;
        out->ttl_s = 0;
        return true;
    }
    struct pg_dns_record_header h;
    (void)pg_dns_record_header_read(&h, fixed.at);
    out->type = h.type;
    out->class = h.class & (uint16_t)~PG_DNS_RECORD_FLUSH;
    out->flag = (h.class & PG_DNS_RECORD_FLUSH) != 0;
    out->ttl_s = h.ttl;
    out->data = pg_take_bytes(&r->at, h.length);
    return !r->at.failed;
}

bool pg_dns_next(struct pg_dns_reader *r, struct pg_dns_record *out)
{
    unsigned section = 0;
    size_t end = 0;
    while (section < PG_DNS_SECTIONS && r->left[section] == 0)
        section++;
    if (section == PG_DNS_SECTIONS || r->failed || r->read == PG_DNS_RECORDS_MAX)
        return false;
    r->left[section]--;
    r->read++;
    out->section = (enum pg_dns_section)section;
    if (!read_name(r->message, (size_t)(r->at.at - r->message.at), &end, &out->name)) {
        r->failed = true;
        return false;
    }
    r->at.at = r->message.at + end;
    r->failed = !take_tail(r, out);
    return !r->failed;
}

bool pg_dns_target(const struct pg_dns_reader *r, const struct pg_dns_record *record, size_t skip, struct pg_dns_name *out)
{
    size_t end = 0, begin = record->data.len > skip ? (size_t)(record->data.at - r->message.at) + skip : r->message.len;
    return read_name(r->message, begin, &end, out) && end == begin - skip + record->data.len;
}

bool pg_dns_text(const struct pg_dns_record *record, size_t *offset, struct pg_bytes *out)
{
    if (*offset >= record->data.len)
        return false;
    size_t n = record->data.at[*offset];
    if (*offset + 1 + n > record->data.len)
        return false;
    *out = pg_bytes(record->data.at + *offset + 1, n);
    *offset += 1 + n;
    return true;
}

/* Writing. */

void pg_dns_begin(struct pg_dns_writer *w, void *to, size_t room, uint16_t id, uint16_t flags)
{
    *w = (struct pg_dns_writer){.to = pg_writer(to, room), .header = {.id = id, .flags = flags}};
    (void)pg_put_room(&w->to, HEADER);
}

/* What is left of the name may stand in the message already. */
static bool point(struct pg_dns_writer *w, const uint8_t *rest, size_t n)
{
    struct pg_dns_name there;
    size_t end;
    for (unsigned i = 0; i < w->n_suffixes; i++)
        if (read_name(pg_written(&w->to), w->suffix[i], &end, &there) && there.len == n && same(there.at, rest, n)) {
            pg_put_u16be(&w->to, (uint16_t)(POINTER << 8 | w->suffix[i]));
            return true;
        }
    return false;
}

void pg_dns_put_name(struct pg_dns_writer *w, const struct pg_dns_name *name)
{
    uint16_t begun[PG_DNS_SUFFIXES];
    unsigned n_begun = 0;
    size_t at = 0;
    for (; name->at[at] != 0; at += 1u + name->at[at]) {
        if (point(w, name->at + at, name->len - at))
            break;
        if (w->to.len <= FARTHEST && w->n_suffixes + n_begun < PG_DNS_SUFFIXES)
            begun[n_begun++] = (uint16_t)w->to.len;
        pg_put_bytes(&w->to, pg_bytes(name->at + at, 1u + name->at[at]));
    }
    if (name->at[at] == 0)
        pg_put_u8(&w->to, 0);
    if (!w->to.failed) /* only now can they be read */
        for (unsigned i = 0; i < n_begun; i++)
            w->suffix[w->n_suffixes++] = begun[i];
}

void pg_dns_put_question(struct pg_dns_writer *w, const struct pg_dns_name *name, enum pg_dns_type type)
{
    pg_dns_put_name(w, name);
    uint8_t *tail = pg_put_room(&w->to, QUESTION_TAIL);
    if (tail)
        pg_dns_question_header_write(&(struct pg_dns_question_header){.type = (uint16_t)type, .class = PG_DNS_IN}, tail);
    w->header.questions++;
}

void pg_dns_put_record(struct pg_dns_writer *w, enum pg_dns_section section, const struct pg_dns_name *name, enum pg_dns_type type,
                       bool flush, uint32_t ttl_s)
{
    struct pg_dns_record_header h = {.type = (uint16_t)type, .class = flush ? PG_DNS_IN | PG_DNS_RECORD_FLUSH : PG_DNS_IN, .ttl = ttl_s};
    assert(w->length_at == 0 && section != PG_DNS_IN_QUESTION);
    pg_dns_put_name(w, name);
    uint8_t *tail = pg_put_room(&w->to, RECORD_TAIL);
    if (tail)
        pg_dns_record_header_write(&h, tail);
    w->length_at = w->to.len - sizeof(uint16_t);
    if (section == PG_DNS_IN_ANSWER)
        w->header.answers++;
    else if (section == PG_DNS_IN_AUTHORITY)
        w->header.authority++;
    else
        w->header.additional++;
}

void pg_dns_put_text(struct pg_dns_writer *w, struct pg_bytes text)
{
    assert(text.len <= 255);
    pg_put_u8(&w->to, (uint8_t)text.len);
    pg_put_bytes(&w->to, text);
}

void pg_dns_end(struct pg_dns_writer *w)
{
    size_t length = w->to.len - w->length_at - sizeof(uint16_t);
    if (!w->to.failed) {
        w->to.at[w->length_at] = (uint8_t)(length >> 8);
        w->to.at[w->length_at + 1] = (uint8_t)length;
    }
    w->length_at = 0;
}

size_t pg_dns_finish(struct pg_dns_writer *w)
{
    if (w->to.failed)
        return 0;
    pg_dns_header_write(&w->header, w->to.at);
    return w->to.len;
}
