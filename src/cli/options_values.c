/* The strongest value of each option, checked and put in its place. Called by options.c.
 * The kinds of spec/options.list are checked in values.c. */
#include "cli/options_reader.h"

#define SOCKET_PATH_MOST 107 /* sun_path of unix(7), without its zero */

const char *pg_reader_strongest(const struct pg_reader *r, enum pg_option option, enum pg_source *source)
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

/* Says which option is wrong and where it stands; the reason follows. text NULL: no single value is to blame. */
static enum pg_err blame(struct pg_reader *r, enum pg_option which, struct pg_origin origin, const char *text)
{
    const struct pg_option_info *option = &pg_option_infos[which];
    bool from_file = origin.source == PG_FROM_FILE;
    if (from_file) {
        pg_line_escaped(r->why, pg_text(origin.file), PG_ESCAPE_DISPLAY, 256);
        pg_line_put(r->why, ":");
        pg_line_u64(r->why, origin.line);
        pg_line_put(r->why, ": ");
    }
    bool from_environment = origin.source == PG_FROM_ENVIRONMENT;
    pg_line_put(r->why, from_file || from_environment ? "" : "--");
    pg_line_put(r->why, from_environment ? option->variable : option->name);
    if (text) {
        pg_line_put(r->why, " ");
        pg_put_value(r->why, text);
    }
    pg_line_put(r->why, ": ");
    return from_file ? PG_ERR_CONFIG_BAD : PG_ERR_USAGE;
}

enum pg_err pg_reader_check(struct pg_reader *r, const struct pg_given *given, uint64_t *number)
{
    char reason[PG_OPTION_WHY];
    struct pg_line why;
    pg_line_init(&why, reason, sizeof reason);
    if (pg_value_read(&pg_option_infos[given->option], given->text, number, &why)) {
        return PG_OK;
    }
    struct pg_origin origin = {.source = given->source, .line = given->line, .file = given->file};
    enum pg_err err = blame(r, given->option, origin, given->text);
    pg_line_put(r->why, reason);
    return err;
}

static enum pg_err store_list(struct pg_reader *r, enum pg_option which, enum pg_source source)
{
    struct pg_strings *list = (struct pg_strings *)((char *)&r->out->values + pg_option_infos[which].offset);
    const char **at = pg_reader_keep(r, (r->n + 1) * sizeof *at);
    uint64_t unused;
    if (!at) {
        return PG_ERR_NO_MEMORY;
    }
    list->at = at;
    for (size_t i = 0; i < r->n; i++) {
        if (r->given[i].option == which && r->given[i].source == source) {
            enum pg_err err = pg_reader_check(r, &r->given[i], &unused);
            TRY(pg_reader_note(r, err));
            if (err == PG_OK) {
                at[list->n++] = r->given[i].text;
            }
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

static enum pg_err store_one(struct pg_reader *r, const struct pg_given *given)
{
    const struct pg_option_info *option = &pg_option_infos[given->option];
    char *place = (char *)&r->out->values + option->offset;
    uint64_t number = 0;
    TRY(pg_reader_check(r, given, &number));
    if (option->kind == PG_KIND_FLAG) {
        *(bool *)place = number != 0;
    } else if (option->kind == PG_KIND_WORD) {
        *(unsigned *)place = (unsigned)number;
    } else if (option->kind == PG_KIND_COUNT || option->kind == PG_KIND_DURATION || option->kind == PG_KIND_SIZE) {
        *(uint64_t *)place = number;
    } else {
        *(const char **)place = given->text;
    }
    return PG_OK;
}

static enum pg_err store(struct pg_reader *r, enum pg_option which)
{
    enum pg_source source;
    const char *text = pg_reader_strongest(r, which, &source);
    struct pg_origin *origin = &r->out->origin[which];
    origin->source = source;
    if (source == PG_FROM_NOWHERE) {
        return PG_OK;
    }
    for (size_t i = r->n; i-- > 0;) {
        if (r->given[i].option == which && r->given[i].source == source) {
            origin->line = r->given[i].line; /* ends at the first of a list */
            origin->file = r->given[i].file;
            if (!pg_option_infos[which].many)
                break; /* and at the last of what can be only one: a drop-in file overrides those before it */
        }
    }
    if (pg_option_infos[which].many) {
        return store_list(r, which, source);
    }
    return store_one(r, &(struct pg_given){.option = which, .source = source, .line = origin->line, .text = text, .file = origin->file});
}

static void give_defaults(struct pg_reader *r)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        for (const char *const *text = option->defaults; text && *text && pg_option_taken_by(option, r->out->command, false); text++) {
            pg_reader_give(r, (enum pg_option)i, PG_FROM_DEFAULT, 0, *text);
        }
    }
}

/* The control socket stands beside the identity file unless something else is said. */
static enum pg_err settle_control(struct pg_reader *r)
{
    struct pg_options *out = r->out;
    const char *path = out->values.control;
    if (!pg_option_taken_by(&pg_option_infos[PG_OPTION_CONTROL], out->command, false)) {
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
    if (r->no_memory) { /* a default may be missing that is always there otherwise */
        return PG_ERR_NO_MEMORY;
    }
    if (!path) {
        size_t n = strlen(out->values.identity);
        char *derived = pg_reader_keep(r, n + sizeof ".sock");
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

static enum pg_err refuse_word(struct pg_reader *r, const char *word, const struct pg_line *why)
{
    pg_put_value(r->why, word);
    pg_line_put(r->why, ": ");
    pg_line_escaped(r->why, pg_line_bytes(why), PG_ESCAPE_DISPLAY, PG_OPTION_WHY);
    return PG_ERR_USAGE;
}

/* KEY, KEY VALUE or PEER. */
static enum pg_err check_dht(struct pg_reader *r, const char *argument, struct pg_line *why)
{
    struct pg_options *out = r->out;
    out->key = r->words[r->n_command];
    out->value = strchr(argument, ' ') ? r->words[r->n_command + 1] : NULL;
    if (!(argument[0] == 'P' ? pg_value_peer(out->key, why) : pg_value_key(out->key, why))) {
        return refuse_word(r, out->key, why);
    }
    if (out->value && !pg_value_octets(out->value, why)) {
        return refuse_word(r, out->value, why);
    }
    if (out->values.bootstrap.n == 0) {
        pg_line_put(r->why, "--bootstrap is missing: the DHT is asked through a peer that serves it; write --bootstrap MULTIADDR");
        return PG_ERR_USAGE;
    }
    if (out->command == PG_CLI_DHT_PROVIDE && out->values.listen.n == 0 && !out->values.identity) {
        pg_line_put(r->why, "--listen is missing: nobody could reach a provider that ends with this command; write --listen MULTIADDR, "
                            "or --identity FILE for a peer that runs elsewhere with that key");
        return PG_ERR_USAGE;
    }
    return PG_OK;
}

static enum pg_err check_argument(struct pg_reader *r)
{
    struct pg_options *out = r->out;
    const char *word = r->words[r->n_command], *colon = NULL, *argument = pg_cli_command_infos[out->command].argument;
    char reason[PG_OPTION_WHY];
    struct pg_line why;
    if (!argument) {
        return PG_OK;
    }
    if (strcmp(argument, "FILE") == 0) {
        out->input = word;
        return PG_OK;
    }
    pg_line_init(&why, reason, sizeof reason);
    if (strncmp(argument, "KEY", 3) == 0 || strcmp(argument, "PEER") == 0) {
        return check_dht(r, argument, &why);
    }
    bool good = out->command == PG_CLI_PIPE ? pg_value_pipe(word, &colon, &why) : pg_value_address(word, &why);
    if (!good) {
        return refuse_word(r, word, &why);
    }
    out->address = word;
    if (colon) {
        out->address = pg_reader_keep_text(r, word, (size_t)(colon - word));
        out->service = colon + 1;
    }
    return r->no_memory ? PG_ERR_NO_MEMORY : PG_OK;
}

static enum pg_err check_agreement(struct pg_reader *r)
{
    enum pg_option which;
    char reason[PG_OPTION_WHY];
    struct pg_line why;
    pg_line_init(&why, reason, sizeof reason);
    if (pg_values_agree(&r->out->values, &which, &why)) {
        return PG_OK;
    }
    enum pg_err err = blame(r, which, r->out->origin[which], NULL);
    pg_line_put(r->why, reason);
    return err;
}

enum pg_err pg_reader_settle(struct pg_reader *r)
{
    give_defaults(r);
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        if (pg_option_taken_by(&pg_option_infos[i], r->out->command, true)) {
            TRY(pg_reader_note(r, store(r, (enum pg_option)i)));
        }
    }
    TRY(check_argument(r));
    TRY(pg_reader_note(r, settle_control(r)));
    return pg_reader_note(r, check_agreement(r));
}
