/* Protobuf over constant tables: one reader, one writer and one comparison for all messages.
 * Called through the generated X.pb.gen.h, which gives each message its struct and its typed functions.
 * protobuf.dev "Encoding"; limits and policies come from the .bounds beside each .proto (docs/SPEC-LANGUAGE.md). */
#include "wire/pb.h"
#include "wire/utf8.h"

enum wire_type { WIRE_VARINT, WIRE_64, WIRE_LENGTH, WIRE_GROUP, WIRE_GROUP_END, WIRE_32 };

/* One value as it stood on the wire, before a field has claimed it. */
struct raw {
    uint32_t number;
    uint8_t type; /* enum wire_type */
    uint64_t value;
    struct pg_bytes bytes;
};

static void *place(void *base, uint32_t offset)
{
    return (uint8_t *)base + offset;
}

static const void *look(const void *base, uint32_t offset)
{
    return (const uint8_t *)base + offset;
}

static enum wire_type type_of(const struct pg_pb_field *f)
{
    switch ((enum pg_pb_kind)f->kind) {
    case PG_PB_FIXED32: return WIRE_32;
    case PG_PB_FIXED64: return WIRE_64;
    case PG_PB_BYTES:
    case PG_PB_STRING:
    case PG_PB_MESSAGE: return WIRE_LENGTH;
    case PG_PB_BOOL:
    case PG_PB_ENUM:
    case PG_PB_INT32:
    case PG_PB_INT64:
    case PG_PB_UINT32:
    case PG_PB_UINT64:
    case PG_PB_SINT32:
    case PG_PB_SINT64: break;
    }
    return WIRE_VARINT;
}

static uint64_t take_fixed(struct pg_cursor *c, unsigned width)
{
    struct pg_bytes b = pg_take_bytes(c, width);
    uint64_t v = 0;
    for (size_t i = b.len; i > 0; i--)
        v = v << 8 | b.at[i - 1];
    return v;
}

/* Varints need not be in their shortest form here: the reference decoders take any of up to ten bytes. */
static uint64_t take_value(struct pg_cursor *c, uint8_t type)
{
    switch (type) {
    case WIRE_VARINT: return pg_take_varint(c, false);
    case WIRE_64: return take_fixed(c, 8);
    case WIRE_32: return take_fixed(c, 4);
    default: c->failed = true; return 0;
    }
}

static bool take_raw(struct pg_cursor *c, struct raw *r)
{
    uint64_t key = pg_take_varint(c, false);
    *r = (struct raw){.number = (uint32_t)(key >> 3), .type = key & 7};
    if (key > UINT32_MAX || r->number == 0)
        return false;
    if (r->type == WIRE_LENGTH)
        r->bytes = pg_take_bytes(c, pg_take_varint(c, false));
    else
        r->value = take_value(c, r->type);
    return !c->failed;
}

/* Most senders keep the order of numbers, so the search goes on where the last one ended. */
static const struct pg_pb_field *find(const struct pg_pb_table *t, uint32_t number, uint32_t *hint)
{
    for (uint32_t i = 0; i < t->n_fields; i++) {
        uint32_t at = (*hint + i) % t->n_fields;
        if (t->fields[at].number == number) {
            *hint = at;
            return &t->fields[at];
        }
    }
    return NULL;
}

static bool listed(const struct pg_pb_field *f, int32_t value)
{
    for (uint32_t i = 0; i < f->n_values; i++)
        if (f->values[i] == value)
            return true;
    return false;
}

/* Numbers wider than their field are cut, as the reference decoders do. */
static void store_number(const struct pg_pb_field *f, void *into, uint64_t v)
{
    uint32_t low = (uint32_t)v;
    switch ((enum pg_pb_kind)f->kind) {
    case PG_PB_BOOL: *(bool *)into = v != 0; break;
    case PG_PB_SINT32: low = (low >> 1) ^ (0 - (low & 1)); /* fall through */
    case PG_PB_ENUM:
    case PG_PB_INT32:
    case PG_PB_UINT32:
    case PG_PB_FIXED32: memcpy(into, &low, sizeof low); break;
    case PG_PB_SINT64: v = (v >> 1) ^ (0 - (v & 1)); /* fall through */
    case PG_PB_INT64:
    case PG_PB_UINT64:
    case PG_PB_FIXED64: memcpy(into, &v, sizeof v); break;
    case PG_PB_BYTES:
    case PG_PB_STRING:
    case PG_PB_MESSAGE: break;
    }
}

/* Where the next value of this field goes: the one place, or the next element. NULL when the array is full. */
static void *slot(const struct pg_pb_field *f, void *message)
{
    if (f->label != PG_PB_REPEATED)
        return place(message, f->at);
    uint32_t n = *(uint32_t *)place(message, f->has);
    return n < f->most ? place(message, f->at + n * f->room) : NULL;
}

static void mark(const struct pg_pb_field *f, void *message)
{
    if (f->label == PG_PB_REPEATED)
        ++*(uint32_t *)place(message, f->has);
    else
        *(bool *)place(message, f->has) = true;
}

static enum pg_err read_into(const struct pg_pb_table *t, void *message, struct pg_bytes from);

static enum pg_err put_value(const struct pg_pb_field *f, void *message, const struct raw *r)
{
    bool number = type_of(f) != WIRE_LENGTH;
    if (number && f->known && !listed(f, (int32_t)(uint32_t)r->value))
        return f->drop ? PG_OK : PG_ERR_PROTOBUF_VALUE;
    if (!number && r->bytes.len > f->limit)
        return f->drop ? PG_OK : PG_ERR_PROTOBUF_LIMIT;
    if (f->kind == PG_PB_STRING && !pg_utf8_valid(r->bytes))
        return f->drop ? PG_OK : PG_ERR_PROTOBUF_VALUE;
    void *into = slot(f, message);
    if (!into)
        return f->drop ? PG_OK : PG_ERR_PROTOBUF_LIMIT;
    if (number)
        store_number(f, into, r->value);
    else if (f->kind == PG_PB_MESSAGE)
        TRY(read_into(f->inner, into, r->bytes)); /* a second occurrence is merged into the first */
    else
        *(struct pg_bytes *)into = r->bytes;
    mark(f, message);
    return PG_OK;
}

/* Repeated numbers may come packed in one length-delimited value, whatever the .proto says. */
static enum pg_err put_packed(const struct pg_pb_field *f, void *message, const struct raw *packed)
{
    struct pg_cursor c = pg_cursor(packed->bytes);
    struct raw r = {.number = packed->number, .type = (uint8_t)type_of(f)};
    while (c.at < c.end) {
        r.value = take_value(&c, r.type);
        if (c.failed)
            return PG_ERR_PROTOBUF_BAD;
        TRY(put_value(f, message, &r));
    }
    return PG_OK;
}

static enum pg_err read_into(const struct pg_pb_table *t, void *message, struct pg_bytes from)
{
    struct pg_cursor c = pg_cursor(from);
    uint32_t hint = 0;
    while (c.at < c.end) {
        struct raw r;
        if (!take_raw(&c, &r))
            return PG_ERR_PROTOBUF_BAD;
        const struct pg_pb_field *f = find(t, r.number, &hint);
        if (!f)
            continue;
        enum wire_type want = type_of(f);
        if (r.type == want)
            TRY(put_value(f, message, &r));
        else if (r.type == WIRE_LENGTH && f->label == PG_PB_REPEATED)
            TRY(put_packed(f, message, &r));
        /* any other type makes it an unknown field, which is skipped */
    }
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_pb_field *f = &t->fields[i];
        if (f->label == PG_PB_REQUIRED && !*(bool *)place(message, f->has))
            return PG_ERR_PROTOBUF_MISSING;
    }
    return PG_OK;
}

enum pg_err pg_pb_merge(const struct pg_pb_table *t, void *into, struct pg_bytes from)
{
    if (from.len > t->limit)
        return PG_ERR_PROTOBUF_LIMIT;
    return read_into(t, into, from);
}

enum pg_err pg_pb_read(const struct pg_pb_table *t, void *into, struct pg_bytes from)
{
    memset(into, 0, t->size);
    return pg_pb_merge(t, into, from);
}

static uint32_t count(const struct pg_pb_field *f, const void *message)
{
    if (f->label == PG_PB_REPEATED)
        return *(const uint32_t *)look(message, f->has);
    return f->label == PG_PB_REQUIRED || *(const bool *)look(message, f->has);
}

/* A number as it goes onto the wire: negative ones widened to 64 bits, zigzag where the field asks for it. */
static uint64_t load_number(const struct pg_pb_field *f, const void *from)
{
    uint32_t low = 0;
    uint64_t wide = 0;
    if (f->room == sizeof low)
        memcpy(&low, from, sizeof low);
    else if (f->room == sizeof wide)
        memcpy(&wide, from, sizeof wide);
    switch ((enum pg_pb_kind)f->kind) {
    case PG_PB_BOOL: return *(const bool *)from;
    case PG_PB_ENUM:
    case PG_PB_INT32: return (uint64_t)(int64_t)(int32_t)low;
    case PG_PB_SINT32: return (uint32_t)(low << 1) ^ (0 - (low >> 31));
    case PG_PB_SINT64: return (wide << 1) ^ (0 - (wide >> 63));
    case PG_PB_UINT32:
    case PG_PB_FIXED32: return low;
    case PG_PB_INT64:
    case PG_PB_UINT64:
    case PG_PB_FIXED64: return wide;
    case PG_PB_BYTES:
    case PG_PB_STRING:
    case PG_PB_MESSAGE: break;
    }
    return 0;
}

static size_t value_size(const struct pg_pb_field *f, const void *from)
{
    switch (type_of(f)) {
    case WIRE_32: return 4;
    case WIRE_64: return 8;
    case WIRE_VARINT: return pg_uvarint_size(load_number(f, from));
    case WIRE_LENGTH:
    case WIRE_GROUP:
    case WIRE_GROUP_END: break;
    }
    return f->kind == PG_PB_MESSAGE ? pg_pb_size(f->inner, from) : ((const struct pg_bytes *)from)->len;
}

static uint64_t key_of(const struct pg_pb_field *f)
{
    return (uint64_t)f->number << 3 | type_of(f);
}

size_t pg_pb_size(const struct pg_pb_table *t, const void *message)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_pb_field *f = &t->fields[i];
        for (uint32_t k = 0, n = count(f, message); k < n; k++) {
            size_t value = value_size(f, look(message, f->at + k * f->room));
            size += pg_uvarint_size(key_of(f)) + value;
            if (type_of(f) == WIRE_LENGTH)
                size += pg_uvarint_size(value);
        }
    }
    return size;
}

static void put_fixed(struct pg_writer *w, uint64_t v, unsigned width)
{
    uint8_t *at = pg_put_room(w, width);
    for (unsigned i = 0; at && i < width; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static void write_value(const struct pg_pb_field *f, const void *from, struct pg_writer *w)
{
    enum wire_type type = type_of(f);
    pg_put_uvarint(w, key_of(f));
    if (type == WIRE_32 || type == WIRE_64) {
        put_fixed(w, load_number(f, from), type == WIRE_32 ? 4 : 8);
    } else if (type == WIRE_VARINT) {
        pg_put_uvarint(w, load_number(f, from));
    } else if (f->kind == PG_PB_MESSAGE) {
        pg_put_uvarint(w, pg_pb_size(f->inner, from));
        pg_pb_write(f->inner, from, w);
    } else {
        const struct pg_bytes *b = from;
        pg_put_uvarint(w, b->len);
        pg_put_bytes(w, *b);
    }
}

void pg_pb_write(const struct pg_pb_table *t, const void *message, struct pg_writer *w)
{
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_pb_field *f = &t->fields[t->order[i]];
        for (uint32_t k = 0, n = count(f, message); k < n; k++)
            write_value(f, look(message, f->at + k * f->room), w);
    }
}

static bool equal_value(const struct pg_pb_field *f, const void *a, const void *b)
{
    if (f->kind == PG_PB_MESSAGE)
        return pg_pb_equal(f->inner, a, b);
    if (type_of(f) == WIRE_LENGTH)
        return pg_bytes_equal(*(const struct pg_bytes *)a, *(const struct pg_bytes *)b);
    return load_number(f, a) == load_number(f, b);
}

bool pg_pb_equal(const struct pg_pb_table *t, const void *a, const void *b)
{
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_pb_field *f = &t->fields[i];
        uint32_t n = count(f, a);
        if (n != count(f, b))
            return false;
        for (uint32_t k = 0; k < n; k++)
            if (!equal_value(f, look(a, f->at + k * f->room), look(b, f->at + k * f->room)))
                return false;
    }
    return true;
}
