/* Fuzz target: any file as configuration: it is taken, or refused in one line that names the file.
 * Run by libFuzzer or by standalone.c; the file is in memory.
 * Serves punchgate(1), "CONFIGURATION FILE". */
#include "cli/config.h"
#include "cli/options.h"
#include "fuzz.h"
#include "memory_file.h"

static bool each(void *context, const char *key, const char *value, unsigned line, struct pg_line *why)
{
    size_t *pairs = context;
    (void)why;
    FUZZ_WANT(key && value && line > 0);
    ++*pairs;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024], path[64], *argv[] = {(char[]){"punchgate"}, (char[]){"--config"}, path, NULL}, *none[] = {NULL};
    struct pg_line why;
    struct pg_options o;
    size_t pairs = 0;
    int fd = memory_file(data, size, path);
    pg_line_init(&why, text, sizeof text);
    enum pg_err err = pg_config_read(path, each, &pairs, &why);
    one_line(err, &why, path);
    FUZZ_WANT(pairs <= size);
    pg_line_init(&why, text, sizeof text);
    err = pg_options_read(&o, 3, argv, none, &why);
    one_line(err, &why, NULL);
    pg_options_free(&o);
    close(fd);
    return 0;
}
