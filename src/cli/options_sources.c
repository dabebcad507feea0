/* Environment and configuration file: lists taken apart, names looked up. Called by options.c.
 * Rules: punchgate(1), "ENVIRONMENT" and "CONFIGURATION FILE". */
#include "cli/config.h"
#include "cli/options_reader.h"
#include <ctype.h>
#include <stdio.h>

/* --- environment --- */

const char *pg_reader_variable(char *const *envp, const char *name)
{
    size_t n = strlen(name);
    for (; envp && *envp; envp++) {
        if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=') {
            return (*envp)[n + 1] ? *envp + n + 1 : NULL; /* empty counts as absent */
        }
    }
    return NULL;
}

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

static bool bad_list(struct pg_reader *r, const struct pg_option_info *option, const char *text, const char *reason)
{
    pg_line_put(r->why, option->variable);
    pg_line_put(r->why, " ");
    pg_put_value(r->why, text);
    pg_line_put(r->why, reason);
    return false;
}

/* A,B or A,key=X,B where key=X belongs to A. */
static bool read_variable_list(struct pg_reader *r, enum pg_option which, const char *text)
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
        char *item = pg_reader_keep_text(r, from, (size_t)(to - from));
        if (!item) {
            return false;
        }
        pg_reader_give(r, which, PG_FROM_ENVIRONMENT, 0, item);
        at = *end ? end + 1 : end;
    }
    return true;
}

/* A misspelt variable would be without effect and without a word. Only names near to ours are told of, because other
 * programs make such names too: Kubernetes sets PUNCHGATE_PORT beside a service that is called punchgate. */
static void look_for_misspelt(struct pg_reader *r)
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
            near = variable && pg_option_distance(name + sizeof prefix - 1, variable + sizeof prefix - 1) < 3 ? variable : near;
        }
        if (!known && near) {
            snprintf(text, sizeof text, "unknown variable %s, did you mean %s?", name, near);
            r->out->warning = pg_reader_keep_text(r, text, strlen(text));
        }
    }
}

bool pg_reader_environment(struct pg_reader *r)
{
    look_for_misspelt(r);
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        const char *text = option->variable ? pg_reader_variable(r->envp, option->variable) : NULL;
        if (!text || !pg_option_taken_by(option, r->out->command, false)) {
            continue;
        }
        if (!option->many) {
            pg_reader_give(r, (enum pg_option)i, PG_FROM_ENVIRONMENT, 0, text);
        } else if (!read_variable_list(r, (enum pg_option)i, text)) {
            return false;
        }
    }
    return pg_reader_libp2p(r);
}

/* --- configuration file --- */

static bool take_pair(struct pg_reader *r, const char *key, const char *value, unsigned line, struct pg_line *why)
{
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        if (!option->in_file || strcmp(option->name, key) != 0) {
            continue;
        }
        for (size_t k = 0; k < r->n && !option->many; k++) {
            if (r->given[k].option == i && r->given[k].source == PG_FROM_FILE && r->given[k].file == r->reading) {
                pg_line_put(why, key);
                pg_line_put(why, " stands already in line ");
                pg_line_u64(why, r->given[k].line);
                pg_line_put(why, "; keep one of them");
                return false;
            }
        }
        char *copy = pg_reader_keep_text(r, value, strlen(value));
        if (copy) {
            pg_reader_give(r, (enum pg_option)i, PG_FROM_FILE, line, copy);
        }
        return copy != NULL;
    }
    pg_line_put(why, "unknown name ");
    pg_put_value(why, key);
    pg_option_suggest(why, key, "", true, "; punchgate --help lists them, without the dashes here");
    return false;
}

static bool read_pair(void *context, const char *key, const char *value, unsigned line, struct pg_line *why)
{
    struct pg_reader *r = context;
    return take_pair(r, key, value, line, why) || (!r->no_memory && pg_reader_note(r, PG_ERR_CONFIG_BAD) == PG_OK);
}

static enum pg_err read_drop_in(void *context, const char *path)
{
    struct pg_reader *r = context;
    r->reading = pg_reader_keep_text(r, path, strlen(path));
    return r->reading ? pg_reader_note(r, pg_config_read(r->reading, read_pair, r, r->why)) : PG_ERR_NO_MEMORY;
}

enum pg_err pg_reader_file(struct pg_reader *r)
{
    enum pg_source source;
    char found[PG_CONFIG_PATH];
    if (!pg_option_taken_by(&pg_option_infos[PG_OPTION_CONFIG], r->out->command, false)) {
        return PG_OK;
    }
    const char *path = pg_reader_strongest(r, PG_OPTION_CONFIG, &source);
    if (!path && pg_config_find(pg_reader_variable(r->envp, "XDG_CONFIG_HOME"), pg_reader_variable(r->envp, "HOME"), found)) {
        path = pg_reader_keep_text(r, found, strlen(found));
    }
    if (!path) {
        return PG_OK;
    }
    if (source != PG_FROM_NOWHERE) {
        uint64_t unused;
        TRY(pg_reader_check(r, &(struct pg_given){.option = PG_OPTION_CONFIG, .source = source, .text = path}, &unused));
    }
    r->out->file = r->reading = path;
    TRY(pg_config_read(path, read_pair, r, r->why));
    return pg_config_drop_ins(path, read_drop_in, r, r->why);
}
