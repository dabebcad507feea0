/* Merges what the command line, the environment and the configuration file say, in this order of authority.
 * Called by src/cli/main.c. Table: spec/options.list; getopt_long reads, the kinds are checked in values.c. */
#include "cli/options.h"
#include "cli/config.h"
#include "trace/output.h"
#include "cli/values.h"
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define FIRST_LONG 256 /* getopt's value of option 0: above every character */
#define WHY_MOST 1024
#define SHOWN_MOST 160 /* bytes of a wrong value that a message repeats */
#define SOCKET_PATH_MOST 107 /* sun_path of unix(7), without its zero */

/* One value as somebody gave it. */
struct given {
    enum pg_option option;
    enum pg_source source;
    unsigned line;
    const char *text;
};

struct reader {
    struct pg_options *out;
    struct pg_line *why;
    char *const *envp;
    struct given *given;
    size_t n, room;
    const char *words[3]; /* command, argument, one too many */
    unsigned n_words;
    bool no_memory;
};

struct block {
    struct block *next;
};

static void *keep(struct reader *r, size_t size)
{
    struct block *block = malloc(sizeof *block + size);
    if (!block) {
        r->no_memory = true;
        return NULL;
    }
    block->next = r->out->memory;
    r->out->memory = block;
    return block + 1;
}

static char *keep_text(struct reader *r, const char *at, size_t len)
{
    char *copy = keep(r, len + 1);
    if (copy) {
        memcpy(copy, at, len);
        copy[len] = '\0';
    }
    return copy;
}

static void give(struct reader *r, enum pg_option option, enum pg_source source, unsigned line, const char *text)
{
    if (r->n == r->room) {
        size_t room = r->room ? 2 * r->room : 32;
        struct given *more = realloc(r->given, room * sizeof *more);
        if (!more) {
            r->no_memory = true;
            return;
        }
        r->given = more;
        r->room = room;
    }
    r->given[r->n++] = (struct given){.option = option, .source = source, .line = line, .text = text};
}

static bool taken_by(const struct pg_option_info *option, enum pg_cli_command command, bool from_flag)
{
    return ((option->commands | (from_flag ? option->flag_only : 0)) >> command & 1) != 0;
}

static const char *lookup(char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; envp && *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=') {
            return (*envp)[n + 1] ? *envp + n + 1 : NULL; /* empty counts as absent */
        }
    }
    return NULL;
}

static void put_value(struct pg_line *why, const char *text)
{
    pg_line_put(why, "\"");
    pg_line_escaped(why, pg_text(text), PG_ESCAPE_DISPLAY, SHOWN_MOST);
    pg_line_put(why, "\"");
}

/* Letters to change, add or remove to get from a to b; more than 3 is all the same to the caller. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32], n = (unsigned)strlen(b);
    if (n >= 32 || strlen(a) >= 32) {
        return 99;
    }
    for (unsigned j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned changed = diagonal + (*a != b[j - 1]), above = row[j] + 1, left = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = changed < above ? (changed < left ? changed : left) : (above < left ? above : left);
        }
    }
    return row[n];
}

/* "; did you mean …?" when a name is near enough, else what to do instead. */
static void suggest(struct pg_line *why, const char *name, const char *dashes, bool file, const char *otherwise)
{
    const char *best = NULL;
    unsigned least = 3;
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        if (file && !pg_option_infos[i].in_file) {
            continue;
        }
        unsigned d = distance(name, pg_option_infos[i].name);
        if (d < least) {
            least = d;
            best = pg_option_infos[i].name;
        }
    }
    pg_line_put(why, best ? "; did you mean " : otherwise);
    if (best) {
        pg_line_put(why, dashes);
        pg_line_put(why, best);
        pg_line_put(why, "?");
    }
}

/* --- command line --- */

static bool bad_flag(struct reader *r, int code, const char *word)
{
    const char *name = word + strspn(word, "-");
    const char *equals = strchr(name, '=');
    char cut[64];
    if (code == ':') {
        pg_line_put(r->why, "--");
        pg_line_put(r->why, pg_option_infos[optopt - FIRST_LONG].name);
        pg_line_put(r->why, " lacks its value; write --");
        pg_line_put(r->why, pg_option_infos[optopt - FIRST_LONG].name);
        pg_line_put(r->why, " ");
        pg_line_put(r->why, pg_option_infos[optopt - FIRST_LONG].placeholder);
        return false;
    }
    if (optopt >= FIRST_LONG) {
        pg_line_put(r->why, "--");
        pg_line_put(r->why, pg_option_infos[optopt - FIRST_LONG].name);
        pg_line_put(r->why, " takes no value; leave out what follows the =");
        return false;
    }
    if (optopt != 0) { /* one letter */
        char letter[2] = {(char)optopt, '\0'};
        pg_line_put(r->why, "unknown option -");
        pg_line_escaped(r->why, pg_text(letter), PG_ESCAPE_DISPLAY, 8);
        pg_line_put(r->why, "; punchgate --help lists them");
        return false;
    }
    snprintf(cut, sizeof cut, "%.*s", (int)(equals ? equals - name : (long)strlen(name)), name);
    pg_line_put(r->why, "unknown option --");
    pg_line_escaped(r->why, pg_text(cut), PG_ESCAPE_DISPLAY, sizeof cut);
    suggest(r->why, cut, "--", false, "; punchgate --help lists them");
    return false;
}

static void add_word(struct reader *r, const char *word)
{
    if (r->n_words < 3) {
        r->words[r->n_words++] = word;
    }
}

static bool read_flags(struct reader *r, int argc, char *const argv[])
{
    struct option table[PG_OPTIONS + 1] = {{0}};
    for (int i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        int has = option->kind == PG_KIND_FLAG ? no_argument : required_argument;
        table[i] = (struct option){.name = option->name, .has_arg = has, .val = FIRST_LONG + i};
    }
    opterr = 0;
    optind = 0; /* so that tests may read several command lines */
    int code;
    while ((code = getopt_long(argc, argv, "-:h", table, NULL)) != -1) {
        if (code == 1) {
            add_word(r, optarg);
        } else if (code == 'h') {
            give(r, PG_OPTION_HELP, PG_FROM_FLAG, 0, "1");
        } else if (code >= FIRST_LONG) {
            give(r, (enum pg_option)(code - FIRST_LONG), PG_FROM_FLAG, 0, optarg ? optarg : "1");
        } else {
            return bad_flag(r, code, argv[optind - 1]);
        }
    }
    for (; optind < argc; optind++) {
        add_word(r, argv[optind]);
    }
    return true;
}

static bool read_command(struct reader *r)
{
    if (r->n_words == 0) {
        return true; /* run */
    }
    for (unsigned c = 0; c < PG_CLI_COMMANDS; c++) {
        if (strcmp(r->words[0], pg_cli_command_infos[c].name) == 0) {
            r->out->command = (enum pg_cli_command)c;
            return true;
        }
    }
    put_value(r->why, r->words[0]);
    pg_line_put(r->why, " is no command; there are");
    for (unsigned c = 0; c < PG_CLI_COMMANDS; c++) {
        pg_line_put(r->why, c ? ", " : " ");
        pg_line_put(r->why, pg_cli_command_infos[c].name);
    }
    return false;
}

static bool flag_given(const struct reader *r, enum pg_option option)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->given[i].option == option && r->given[i].source == PG_FROM_FLAG) {
            return true;
        }
    }
    return false;
}

/* Every flag must belong to the command: one that would be ignored is a mistake of somebody. */
static bool check_flags(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct pg_option_info *option = &pg_option_infos[r->given[i].option];
        if (!taken_by(option, r->out->command, true)) {
            const char *command = pg_cli_command_infos[r->out->command].name;
            pg_line_put(r->why, "--");
            pg_line_put(r->why, option->name);
            pg_line_put(r->why, " is no option of ");
            pg_line_put(r->why, command);
            pg_line_put(r->why, "; punchgate ");
            pg_line_put(r->why, command);
            pg_line_put(r->why, " --help lists them");
            return false;
        }
    }
    return true;
}

static bool check_words(struct reader *r)
{
    const struct pg_cli_command_info *command = &pg_cli_command_infos[r->out->command];
    unsigned wanted = command->argument ? 2 : 1;
    if (r->n_words > wanted) {
        put_value(r->why, r->words[wanted]);
        pg_line_put(r->why, " is one word too many; punchgate ");
        pg_line_put(r->why, command->name);
        pg_line_put(r->why, " --help shows what belongs there");
        return false;
    }
    if (command->argument && r->n_words < 2) {
        pg_line_put(r->why, command->argument);
        pg_line_put(r->why, " is missing; write punchgate ");
        pg_line_put(r->why, command->name);
        pg_line_put(r->why, " ");
        pg_line_put(r->why, command->argument);
        return false;
    }
    return true;
}

/* --- environment --- */

/* Does this item begin with key= where key belongs to the item before? */
static bool is_part(const struct pg_option_info *option, const char *item)
{
    for (const char *const *part = option->parts; part && *part; part++) {
        size_t n = strlen(*part);
        if (strncmp(item, *part, n) == 0 && item[n] == '=') {
            return true;
        }
    }
    return false;
}

static bool bad_list(struct reader *r, const struct pg_option_info *option, const char *text, const char *reason)
{
    pg_line_put(r->why, option->variable);
    pg_line_put(r->why, " ");
    put_value(r->why, text);
    pg_line_put(r->why, reason);
    return false;
}

/* A,B or A,key=X,B where key=X belongs to A. */
static bool read_variable_list(struct reader *r, enum pg_option which, const char *text)
{
    const struct pg_option_info *option = &pg_option_infos[which];
    if (is_part(option, text)) {
        return bad_list(r, option, text, ": begins with a part of an item; write the item first");
    }
    for (const char *at = text; *at;) {
        const char *end = at + strcspn(at, ",");
        while (*end == ',' && is_part(option, end + 1)) {
            end += 1 + strcspn(end + 1, ",");
        }
        const char *from = at, *to = end;
        while (from < to && isspace((unsigned char)*from)) {
            from++;
        }
        while (to > from && isspace((unsigned char)to[-1])) {
            to--;
        }
        if (from == to || (*end == ',' && !end[1])) {
            return bad_list(r, option, text, ": an item is empty; leave out the comma that is too many");
        }
        char *item = keep_text(r, from, (size_t)(to - from));
        if (!item) {
            return false;
        }
        give(r, which, PG_FROM_ENVIRONMENT, 0, item);
        at = *end ? end + 1 : end;
    }
    return true;
}

/* A misspelt variable would be without effect and without a word. Only names near to ours are told of, because other
 * programs make such names too: Kubernetes sets PUNCHGATE_PORT beside a service that is called punchgate. */
static void look_for_misspelt(struct reader *r)
{
    static const char prefix[] = "PUNCHGATE_";
    for (char *const *entry = r->envp; entry && *entry; entry++) {
        char name[64], text[192];
        size_t n = strcspn(*entry, "=");
        const char *near = NULL;
        if (strncmp(*entry, prefix, sizeof prefix - 1) != 0 || n >= sizeof name) {
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)n, *entry);
        bool known = strcmp(name, "PUNCHGATE_LOG") == 0;
        for (unsigned i = 0; i < PG_OPTIONS && !known; i++) {
            const char *variable = pg_option_infos[i].variable;
            known = variable && strcmp(name, variable) == 0;
            near = variable && distance(name + sizeof prefix - 1, variable + sizeof prefix - 1) < 3 ? variable : near;
        }
        if (!known && near) {
            snprintf(text, sizeof text, "unknown variable %s, did you mean %s?", name, near);
            r->out->warning = keep_text(r, text, strlen(text));
        }
    }
}

static bool read_environment(struct reader *r)
{
    look_for_misspelt(r);
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        const char *text = option->variable ? lookup(r->envp, option->variable) : NULL;
        if (!text || !taken_by(option, r->out->command, false)) {
            continue;
        }
        if (!option->many) {
            give(r, (enum pg_option)i, PG_FROM_ENVIRONMENT, 0, text);
        } else if (!read_variable_list(r, (enum pg_option)i, text)) {
            return false;
        }
    }
    return true;
}

/* --- configuration file --- */

static bool read_pair(void *context, const char *key, const char *value, unsigned line, struct pg_line *why)
{
    struct reader *r = context;
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        if (!option->in_file || strcmp(option->name, key) != 0) {
            continue;
        }
        for (size_t k = 0; k < r->n && !option->many; k++) {
            if (r->given[k].option == i && r->given[k].source == PG_FROM_FILE) {
                pg_line_put(why, key);
                pg_line_put(why, " stands already in line ");
                pg_line_u64(why, r->given[k].line);
                pg_line_put(why, "; keep one of them");
                return false;
            }
        }
        char *copy = keep_text(r, value, strlen(value));
        if (copy) {
            give(r, (enum pg_option)i, PG_FROM_FILE, line, copy);
        }
        return copy != NULL;
    }
    pg_line_put(why, "unknown name ");
    put_value(why, key);
    suggest(why, key, "", true, "; punchgate --help lists them, without the dashes here");
    return false;
}

static const char *strongest(const struct reader *r, enum pg_option option, enum pg_source *source)
{
    const char *text = NULL;
    *source = PG_FROM_NOWHERE;
    for (size_t i = 0; i < r->n; i++) {
        if (r->given[i].option == option && r->given[i].source >= *source) {
            *source = r->given[i].source;
            text = r->given[i].text; /* the last one of the command line wins */
        }
    }
    return text;
}

/* --- values --- */

/* Says which option is wrong and where it stands; the reason follows. text NULL: no single value is to blame. */
static enum pg_err blame(struct reader *r, enum pg_option which, struct pg_origin origin, const char *text)
{
    const struct pg_option_info *option = &pg_option_infos[which];
    bool from_file = origin.source == PG_FROM_FILE;
    if (from_file) {
        pg_line_escaped(r->why, pg_text(r->out->file), PG_ESCAPE_DISPLAY, 256);
        pg_line_put(r->why, ":");
        pg_line_u64(r->why, origin.line);
        pg_line_put(r->why, ": ");
    }
    bool from_environment = origin.source == PG_FROM_ENVIRONMENT;
    pg_line_put(r->why, from_file || from_environment ? "" : "--");
    pg_line_put(r->why, from_environment ? option->variable : option->name);
    if (text) {
        pg_line_put(r->why, " ");
        put_value(r->why, text);
    }
    pg_line_put(r->why, ": ");
    return from_file ? PG_ERR_CONFIG_BAD : PG_ERR_USAGE;
}

static enum pg_err check_value(struct reader *r, const struct given *given, uint64_t *number)
{
    char reason[WHY_MOST];
    struct pg_line why;
    pg_line_init(&why, reason, sizeof reason);
    if (pg_value_read(&pg_option_infos[given->option], given->text, number, &why)) {
        return PG_OK;
    }
    struct pg_origin origin = {.source = given->source, .line = given->line};
    enum pg_err err = blame(r, given->option, origin, given->text);
    pg_line_put(r->why, reason);
    return err;
}

static enum pg_err read_file(struct reader *r)
{
    enum pg_source source;
    char found[PG_CONFIG_PATH];
    const char *path = strongest(r, PG_OPTION_CONFIG, &source);
    if (!path && pg_config_find(lookup(r->envp, "XDG_CONFIG_HOME"), lookup(r->envp, "HOME"), found)) {
        path = keep_text(r, found, strlen(found));
    }
    if (!path) {
        return PG_OK;
    }
    if (source != PG_FROM_NOWHERE) {
        uint64_t unused;
        TRY(check_value(r, &(struct given){.option = PG_OPTION_CONFIG, .source = source, .text = path}, &unused));
    }
    r->out->file = path;
    return pg_config_read(path, read_pair, r, r->why);
}

static enum pg_err store_list(struct reader *r, enum pg_option which, enum pg_source source)
{
    struct pg_strings *list = (struct pg_strings *)((char *)&r->out->values + pg_option_infos[which].offset);
    const char **at = keep(r, (r->n + 1) * sizeof *at);
    uint64_t unused;
    if (!at) {
        return PG_ERR_NO_MEMORY;
    }
    list->at = at;
    for (size_t i = 0; i < r->n; i++) {
        if (r->given[i].option == which && r->given[i].source == source) {
            TRY(check_value(r, &r->given[i], &unused));
            at[list->n++] = r->given[i].text;
        }
    }
    if (list->n > pg_option_infos[which].most) {
        enum pg_err err = blame(r, which, r->out->origin[which], NULL);
        pg_line_u64(r->why, list->n);
        pg_line_put(r->why, " of them; at most ");
        pg_line_u64(r->why, pg_option_infos[which].most);
        pg_line_put(r->why, " are possible, leave out the others");
        return err;
    }
    return PG_OK;
}

static enum pg_err store_one(struct reader *r, const struct given *given)
{
    const struct pg_option_info *option = &pg_option_infos[given->option];
    char *place = (char *)&r->out->values + option->offset;
    uint64_t number = 0;
    TRY(check_value(r, given, &number));
    if (option->kind == PG_KIND_FLAG) {
        *(bool *)place = number != 0;
    } else if (option->kind == PG_KIND_WORD) {
        *(unsigned *)place = (unsigned)number;
    } else if (option->kind == PG_KIND_COUNT || option->kind == PG_KIND_DURATION) {
        *(uint64_t *)place = number;
    } else {
        *(const char **)place = given->text;
    }
    return PG_OK;
}

static enum pg_err store(struct reader *r, enum pg_option which)
{
    enum pg_source source;
    const char *text = strongest(r, which, &source);
    struct pg_origin *origin = &r->out->origin[which];
    origin->source = source;
    if (source == PG_FROM_NOWHERE) {
        return PG_OK;
    }
    for (size_t i = r->n; i-- > 0;) {
        if (r->given[i].option == which && r->given[i].source == source) {
            origin->line = r->given[i].line; /* ends at the first of them */
        }
    }
    if (pg_option_infos[which].many) {
        return store_list(r, which, source);
    }
    return store_one(r, &(struct given){.option = which, .source = source, .line = origin->line, .text = text});
}

static void give_defaults(struct reader *r)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        for (const char *const *text = option->defaults; text && *text && taken_by(option, r->out->command, false); text++) {
            give(r, (enum pg_option)i, PG_FROM_DEFAULT, 0, *text);
        }
    }
}

/* The control socket stands beside the identity file unless something else is said. */
static enum pg_err settle_control(struct reader *r)
{
    struct pg_options *out = r->out;
    const char *path = out->values.control;
    if (!taken_by(&pg_option_infos[PG_OPTION_CONTROL], out->command, false)) {
        return PG_OK;
    }
    if (path && strcmp(path, "off") == 0) {
        out->values.control = NULL;
        if (out->command == PG_CLI_STATUS) {
            pg_line_put(r->why, "control is off; status needs the socket of a running peer, name it with --control PATH");
            return PG_ERR_USAGE;
        }
        return PG_OK;
    }
    if (!path) {
        size_t n = strlen(out->values.identity);
        char *derived = keep(r, n + sizeof ".sock");
        if (!derived) {
            return PG_ERR_NO_MEMORY;
        }
        memcpy(derived, out->values.identity, n);
        memcpy(derived + n, ".sock", sizeof ".sock");
        out->values.control = path = derived;
    }
    if (strlen(path) > SOCKET_PATH_MOST) {
        bool derived = out->origin[PG_OPTION_CONTROL].source == PG_FROM_NOWHERE;
        enum pg_err err = blame(r, PG_OPTION_CONTROL, out->origin[derived ? PG_OPTION_IDENTITY : PG_OPTION_CONTROL], path);
        pg_line_put(r->why, "longer than the 107 bytes that a unix socket may have; name a shorter one with --control PATH");
        return err;
    }
    return PG_OK;
}

static enum pg_err check_argument(struct reader *r)
{
    struct pg_options *out = r->out;
    const char *word = r->words[1], *colon = NULL;
    char reason[WHY_MOST];
    struct pg_line why;
    if (!pg_cli_command_infos[out->command].argument) {
        return PG_OK;
    }
    pg_line_init(&why, reason, sizeof reason);
    bool good = out->command == PG_CLI_PIPE ? pg_value_pipe(word, &colon, &why) : pg_value_address(word, &why);
    if (!good) {
        put_value(r->why, word);
        pg_line_put(r->why, ": ");
        pg_line_put(r->why, reason);
        return PG_ERR_USAGE;
    }
    out->address = word;
    if (colon) {
        out->address = keep_text(r, word, (size_t)(colon - word));
        out->service = colon + 1;
    }
    return r->no_memory ? PG_ERR_NO_MEMORY : PG_OK;
}

static enum pg_err check_agreement(struct reader *r)
{
    enum pg_option which;
    char reason[WHY_MOST];
    struct pg_line why;
    pg_line_init(&why, reason, sizeof reason);
    if (pg_values_agree(&r->out->values, &which, &why)) {
        return PG_OK;
    }
    enum pg_err err = blame(r, which, r->out->origin[which], NULL);
    pg_line_put(r->why, reason);
    return err;
}

static enum pg_err settle(struct reader *r)
{
    give_defaults(r);
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        if (taken_by(&pg_option_infos[i], r->out->command, true)) {
            TRY(store(r, (enum pg_option)i));
        }
    }
    TRY(check_argument(r));
    TRY(settle_control(r));
    return check_agreement(r);
}

static enum pg_err read_all(struct reader *r, int argc, char *const argv[])
{
    if (!read_flags(r, argc, argv) || !read_command(r)) {
        return PG_ERR_USAGE;
    }
    r->out->values.help = flag_given(r, PG_OPTION_HELP);
    r->out->values.version = flag_given(r, PG_OPTION_VERSION);
    if (r->out->values.help || r->out->values.version) {
        return PG_OK;
    }
    if (!check_flags(r) || !check_words(r) || !read_environment(r)) {
        return PG_ERR_USAGE;
    }
    TRY(read_file(r));
    return settle(r);
}

/* Whether failures are to be told in JSON must be known before anything can fail. */
static bool json_asked(int argc, char *const argv[])
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

enum pg_err pg_options_read(struct pg_options *out, int argc, char *const argv[], char *const envp[], struct pg_line *why)
{
    *out = (struct pg_options){.command = PG_CLI_RUN};
    out->values.json = json_asked(argc, argv);
    struct reader r = {.out = out, .why = why, .envp = envp};
    enum pg_err err = read_all(&r, argc, argv);
    free(r.given);
    return r.no_memory ? PG_ERR_NO_MEMORY : err;
}

void pg_options_free(struct pg_options *options)
{
    struct block *block = options->memory;
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
    *options = (struct pg_options){.command = PG_CLI_RUN};
}

int pg_options_start(struct pg_options *options, int argc, char *const argv[], char *const envp[], const char *version)
{
    char reason[WHY_MOST];
    struct pg_line why;
    int status = -1;
    pg_line_init(&why, reason, sizeof reason);
    enum pg_err err = pg_options_read(options, argc, argv, envp, &why);
    if (err != PG_OK) {
        status = pg_out_failure(options->values.json, err, err == PG_ERR_NO_MEMORY ? PG_NONE : pg_line_bytes(&why));
    } else if (options->values.help || options->values.version) {
        char text[128];
        snprintf(text, sizeof text, "punchgate %s\n", version);
        const char *help = pg_cli_command_infos[options->command].help;
        status = pg_out_write(STDOUT_FILENO, pg_text(options->values.help ? help : text)) ? 0 : pg_err_exit(PG_ERR_IO);
    }
    if (status >= 0) {
        pg_options_free(options);
    }
    return status;
}
