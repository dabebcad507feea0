/* Fuzz target: any command line and environment: taken, or refused in one line. Each kind of value is tried on the text as well.
 * Run by libFuzzer or by standalone.c; lines of the input are arguments, those that begin with PUNCHGATE_ the environment.
 * Serves spec/options.list. */
#include "cli/options.h"
#include "cli/values.h"
#include "fuzz.h"
#include "memory_file.h"

enum { MOST = 24, ROOM = 4096 };

static void values(const char *text)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        char room[1024];
        struct pg_line why;
        uint64_t number = 0;
        pg_line_init(&why, room, sizeof room);
        bool good = pg_value_read(&pg_option_infos[i], text, &number, &why);
        one_line(good ? PG_OK : PG_ERR_USAGE, &why, NULL);
    }
    char room[1024];
    struct pg_line why;
    const char *colon = NULL;
    pg_line_init(&why, room, sizeof room);
    if (pg_value_pipe(text, &colon, &why))
        FUZZ_WANT(colon > text && *colon == ':');
    pg_line_init(&why, room, sizeof room);
    (void)pg_value_address(text, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[ROOM + 1];
    char *argv[MOST + 2] = {(char[]){"punchgate"}}, *envp[MOST + 1] = {NULL};
    int n_args = 1, n_env = 0;
    if (size > ROOM)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    if (strcasestr(text, "config"))
        return 0; /* no other file than its own is opened by a fuzz target; fuzz_config.c has one */
    if (strlen(text) == size)
        values(text);
    for (char *at = text, *end; at < text + size && n_args < MOST && n_env < MOST; at = end + 1) {
        end = at + strcspn(at, "\n");
        *end = 0;
        if (strncmp(at, "PUNCHGATE_", 10) == 0)
            envp[n_env++] = at;
        else
            argv[n_args++] = at;
    }
    char room[2048];
    struct pg_line why;
    struct pg_options o;
    pg_line_init(&why, room, sizeof room);
    enum pg_err err = pg_options_read(&o, n_args, argv, envp, &why);
    one_line(err, &why, NULL);
    if (err == PG_OK)
        for (unsigned i = 0; i < PG_OPTIONS; i++)
            FUZZ_WANT(o.origin[i].source <= PG_FROM_FLAG);
    pg_options_free(&o);
    return 0;
}
