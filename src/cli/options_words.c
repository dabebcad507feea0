/* The command line: flags and words, and whether they belong together. Called by options.c.
 * getopt_long reads, with a table made from spec/options.list. */
#include "cli/options_reader.h"
#include <getopt.h>
#include <stdio.h>

#define FIRST_LONG 256 /* getopt's value of option 0: above every character */

static bool bad_flag(struct pg_reader *r, int code, const char *word)
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
    pg_option_suggest(r->why, cut, "--", false, "; punchgate --help lists them");
    return false;
}

static void add_word(struct pg_reader *r, const char *word)
{
    if (r->n_words < sizeof r->words / sizeof *r->words) {
        r->words[r->n_words++] = word;
    }
}

bool pg_reader_flags(struct pg_reader *r, int argc, char *const argv[])
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
            pg_reader_give(r, PG_OPTION_HELP, PG_FROM_FLAG, 0, "1");
        } else if (code >= FIRST_LONG) {
            pg_reader_give(r, (enum pg_option)(code - FIRST_LONG), PG_FROM_FLAG, 0, optarg ? optarg : "1");
        } else {
            return bad_flag(r, code, argv[optind - 1]);
        }
    }
    for (; optind < argc; optind++) {
        add_word(r, argv[optind]);
    }
    return true;
}

/* How many words of the command line are the command's name; 0 when it is another one. */
static unsigned name_words(const struct pg_reader *r, const char *name)
{
    unsigned n = 0;
    for (;;) {
        size_t len = strcspn(name, " ");
        if (n == r->n_words || strlen(r->words[n]) != len || strncmp(r->words[n], name, len) != 0) {
            return 0;
        }
        n++;
        if (!name[len]) {
            return n;
        }
        name += len + 1;
    }
}

static const struct pg_cli_group_info *find_group(const char *word)
{
    for (const struct pg_cli_group_info *group = pg_cli_group_infos; group->name; group++) {
        if (strcmp(group->name, word) == 0) {
            return group;
        }
    }
    return NULL;
}

static bool in_group(const char *command, const char *group)
{
    size_t n = strlen(group);
    return strncmp(command, group, n) == 0 && command[n] == ' ';
}

bool pg_reader_command(struct pg_reader *r)
{
    const char *separator = "";
    if (r->n_words == 0) {
        return true; /* run */
    }
    for (unsigned c = 0; c < PG_CLI_COMMANDS; c++) {
        r->n_command = name_words(r, pg_cli_command_infos[c].name);
        if (r->n_command) {
            r->out->command = (enum pg_cli_command)c;
            return true;
        }
    }
    const struct pg_cli_group_info *group = find_group(r->words[0]);
    if (group && r->n_words == 1 && pg_reader_flag_given(r, PG_OPTION_HELP)) {
        r->out->group_help = group->help;
        return true;
    }
    pg_put_value(r->why, r->words[0]);
    if (group && r->n_words > 1) {
        pg_line_put(r->why, " ");
        pg_put_value(r->why, r->words[1]);
    }
    pg_line_put(r->why, " is no command; there are ");
    for (unsigned c = 0; c < PG_CLI_COMMANDS; c++) {
        if (!group || in_group(pg_cli_command_infos[c].name, group->name)) {
            pg_line_put(r->why, separator);
            pg_line_put(r->why, pg_cli_command_infos[c].name);
            separator = ", ";
        }
    }
    return false;
}

bool pg_reader_flag_given(const struct pg_reader *r, enum pg_option option)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->given[i].option == option && r->given[i].source == PG_FROM_FLAG) {
            return true;
        }
    }
    return false;
}

/* Every flag must belong to the command: one that would be ignored is a mistake of somebody. */
bool pg_reader_check_flags(struct pg_reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct pg_option_info *option = &pg_option_infos[r->given[i].option];
        if (!pg_option_taken_by(option, r->out->command, true)) {
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

static unsigned words_of(const char *argument)
{
    return argument ? (strchr(argument, ' ') ? 2 : 1) : 0;
}

bool pg_reader_check_words(struct pg_reader *r)
{
    const struct pg_cli_command_info *command = &pg_cli_command_infos[r->out->command];
    unsigned n = r->n_command, wanted = n + words_of(command->argument);
    if (r->n_words > wanted) {
        pg_put_value(r->why, r->words[wanted]);
        pg_line_put(r->why, " is one word too many; punchgate ");
        pg_line_put(r->why, command->name);
        pg_line_put(r->why, " --help shows what belongs there");
        return false;
    }
    if (r->n_words < wanted) {
        const char *second = strchr(command->argument, ' ');
        pg_line_put(r->why, second && r->n_words == n + 1 ? second + 1 : command->argument);
        pg_line_put(r->why, " is missing; write punchgate ");
        pg_line_put(r->why, command->name);
        pg_line_put(r->why, " ");
        pg_line_put(r->why, command->argument);
        return false;
    }
    return true;
}
