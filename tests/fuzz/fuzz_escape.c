/* Fuzz target: text of strangers on its way to a terminal, a log and a line of JSON: always UTF-8 without control characters,
 * whatever the room, and JSON that reads back.
 * Run by libFuzzer or by standalone.c; the first byte of the input says how much room there is.
 * Serves RFC 8259, section 7, and docs/STYLE.md, "Logs". */
#include "trace/output.h"
#include "wire/utf8.h"
#include "fuzz.h"

enum { ROOM = 4096 };

static void harmless(struct pg_bytes text)
{
    FUZZ_WANT(pg_utf8_valid(text));
    for (size_t i = 0; i < text.len; i++)
        FUZZ_WANT(text.at[i] >= 0x20 && text.at[i] != 0x7f);
}

static void escapes(struct pg_bytes text, size_t room, size_t most)
{
    static const enum pg_escape ways[] = {PG_ESCAPE_DISPLAY, PG_ESCAPE_DEBUG, PG_ESCAPE_JSON};
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        char *buffer = malloc(room);
        struct pg_line line;
        if (!buffer)
            abort();
        pg_line_init(&line, buffer, room);
        pg_line_escaped(&line, text, ways[i], most);
        FUZZ_WANT(line.len < room && strlen(buffer) == line.len);
        harmless(pg_line_bytes(&line));
        free(buffer);
    }
}

static void objects(struct pg_bytes text, size_t room)
{
    static char buffer[8 * ROOM];
    struct pg_out out;
    pg_out_begin(&out, buffer, room, "test");
    pg_out_text(&out, "said", text);
    pg_out_array(&out, "all");
    pg_out_text(&out, NULL, text);
    struct pg_bytes line = pg_out_end(&out);
    if (line.len > 0) {
        FUZZ_WANT(line.at[line.len - 1] == '\n');
        harmless(pg_bytes_head(line, line.len - 1));
        enum pg_err err = pg_json_scan(line);
        FUZZ_WANT(err == PG_OK || memchr(text.at, 0, text.len)); /* our own reader refuses \u0000 */
    }
    line = pg_out_error(buffer, room < 200 ? 200 : room, PG_ERR_IO, text);
    FUZZ_WANT(line.len > 0);
    harmless(pg_bytes_head(line, line.len - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > ROOM)
        return 0;
    struct pg_bytes text = pg_bytes(data + 2, size - 2);
    if (text.len == 0)
        text = PG_LIT("");
    escapes(text, 1 + (size_t)data[0] * 8, 1 + (size_t)data[1] * 4);
    objects(text, 64 + (size_t)data[0] * 64);
    return 0;
}
