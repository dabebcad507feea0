/* JSON messages over constant tables: strict grammar first, then cJSON, then the table's checks.
 * Called through the generated X.wire.gen.h; the only file that knows cJSON.
 * RFC 8259; what serde_json takes is taken here, except limits, NUL characters and keys said twice. */
#include "wire/json.h"
#include "wire/utf8.h"
#include <cjson/cJSON.h>

/* The same key twice is a way to show two readers two messages. Depth is bounded by the scan before. */
static enum pg_err check_keys(const cJSON *node)
{
    unsigned n = 0;
    const cJSON *child;
    cJSON_ArrayForEach(child, node)
    {
        if (cJSON_IsObject(node)) {
            if (++n > PG_JSON_MOST_KEYS)
                return PG_ERR_JSON_LIMIT;
            for (const cJSON *other = node->child; other != child; other = other->next)
                if (strcmp(other->string, child->string) == 0)
                    return PG_ERR_JSON_DUPLICATE;
        }
        TRY(check_keys(child));
    }
    return PG_OK;
}

static enum pg_err read_string(const struct pg_json_field *f, struct pg_bytes *into, const cJSON *value, struct pg_arena *arena)
{
    if (!cJSON_IsString(value))
        return PG_ERR_JSON_TYPE;
    size_t len = strlen(value->valuestring);
    if (len < f->least || len > f->most)
        return PG_ERR_JSON_LIMIT;
    uint8_t *copy = pg_arena_take(arena, len);
    if (!copy)
        return PG_ERR_NO_MEMORY;
    memcpy(copy, value->valuestring, len);
    *into = pg_bytes(copy, len);
    return PG_OK;
}

static enum pg_err read_field(const struct pg_json_field *f, uint8_t *message, const cJSON *root, struct pg_arena *arena)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(root, f->key);
    if (!value || (!f->need && cJSON_IsNull(value)))
        return f->need ? PG_ERR_JSON_MISSING : PG_OK;
    switch ((enum pg_json_kind)f->kind) {
    case PG_JSON_STRING: TRY(read_string(f, (struct pg_bytes *)(void *)(message + f->at), value, arena)); break;
    case PG_JSON_BOOL:
        if (!cJSON_IsBool(value))
            return PG_ERR_JSON_TYPE;
        *(bool *)(message + f->at) = cJSON_IsTrue(value);
        break;
    }
    if (!f->need)
        *(bool *)(message + f->has) = true;
    return PG_OK;
}

static enum pg_err read_fields(const struct pg_json_table *t, void *into, const cJSON *root, struct pg_arena *arena)
{
    if (!cJSON_IsObject(root))
        return PG_ERR_JSON_TYPE;
    TRY(check_keys(root));
    for (uint32_t i = 0; i < t->n_fields; i++)
        TRY(read_field(&t->fields[i], into, root, arena));
    return PG_OK;
}

enum pg_err pg_json_read(const struct pg_json_table *t, void *into, struct pg_bytes text, struct pg_arena *arena)
{
    memset(into, 0, t->size);
    if (text.len > t->limit)
        return PG_ERR_JSON_LIMIT;
    TRY(pg_json_scan(text));
    cJSON *root = cJSON_ParseWithLength((const char *)text.at, text.len);
    if (!root)
        return PG_ERR_JSON_LIMIT; /* the grammar has passed: no memory, or an older cJSON and a very long number */
    enum pg_err err = read_fields(t, into, root, arena);
    cJSON_Delete(root);
    return err;
}

static void put_char(struct pg_writer *w, uint8_t c)
{
    char hex[2];
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        pg_put_u8(w, '\\');
        pg_put_u8(w, (uint8_t)to[at - from]);
    } else if (c < 0x20) {
        pg_put_bytes(w, PG_LIT("\\u00"));
        pg_put_bytes(w, pg_bytes(hex, pg_bytes_hex(pg_bytes(&c, 1), hex)));
    } else {
        pg_put_u8(w, c);
    }
}

bool pg_json_put_string(struct pg_writer *w, struct pg_bytes text)
{
    if (!pg_utf8_valid(text) || (text.len > 0 && memchr(text.at, 0, text.len)))
        w->failed = true;
    pg_put_u8(w, '"');
    for (size_t i = 0; i < text.len && !w->failed; i++)
        put_char(w, text.at[i]);
    pg_put_u8(w, '"');
    return !w->failed;
}

bool pg_json_write(const struct pg_json_table *t, const void *message, struct pg_writer *w)
{
    const uint8_t *base = message;
    bool first = true;
    pg_put_u8(w, '{');
    for (uint32_t i = 0; i < t->n_fields; i++) {
        const struct pg_json_field *f = &t->fields[i];
        if (!f->need && !*(const bool *)(base + f->has))
            continue;
        if (!first)
            pg_put_u8(w, ',');
        first = false;
        pg_json_put_string(w, pg_text(f->key));
        pg_put_u8(w, ':');
        if (f->kind == PG_JSON_BOOL)
            pg_put_bytes(w, *(const bool *)(base + f->at) ? PG_LIT("true") : PG_LIT("false"));
        else
            pg_json_put_string(w, *(const struct pg_bytes *)(const void *)(base + f->at));
    }
    pg_put_u8(w, '}');
    return !w->failed;
}
