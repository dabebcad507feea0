/* The command check: every mistake is told, not only the first, and every value with its origin.
 * Called by the other option files and by main.c. Output: punchgate(1), "check". */
#include "cli/options_reader.h"
#include "cli/run.h"
#include "crypto/identity_file.h"
#include "trace/output.h"

#define SHOWN_ROOM 16384 /* bytes of one option and its value */

enum pg_err pg_reader_note(struct pg_reader *r, enum pg_err err)
{
    if (err == PG_OK || err == PG_ERR_NO_MEMORY || r->out->command != PG_CLI_CHECK) {
        return err;
    }
    (void)pg_out_failure(r->out->values.json, PG_ERR_CONFIG_BAD, pg_line_bytes(r->why));
    r->out->problems++;
    r->why->len = 0;
    r->why->cut = false;
    r->why->at[0] = '\0';
    return PG_OK;
}

static const char *const sources[] = {"none", "default", "file", "environment", "flag"};

/* default, /etc/punchgate/punchgate.conf:3, PUNCHGATE_LISTEN or --listen. */
static void put_origin(struct pg_line *line, const struct pg_option_info *option, const struct pg_given *given)
{
    if (given->source == PG_FROM_FILE) {
        pg_line_escaped(line, pg_text(given->file), PG_ESCAPE_DISPLAY, 4096);
        pg_line_put(line, ":");
        pg_line_u64(line, given->line);
    } else if (given->source == PG_FROM_FLAG) {
        pg_line_put(line, "--");
        pg_line_put(line, option->name);
    } else {
        pg_line_put(line, given->source == PG_FROM_ENVIRONMENT ? option->variable : sources[given->source]);
    }
}

/* A result that did not arrive is told once. */
static void say(int *unsaid, struct pg_bytes text)
{
    if (*unsaid == 0)
        *unsaid = pg_out_result(text);
}

static void show(const struct pg_reader *r, const struct pg_option_info *option, const struct pg_given *given)
{
    char room[SHOWN_ROOM], origin[4200];
    struct pg_line where, text;
    struct pg_out out;
    pg_line_init(&where, origin, sizeof origin);
    put_origin(&where, option, given);
    if (r->out->values.json) {
        pg_out_begin(&out, room, sizeof room, "option");
        pg_out_text(&out, "name", pg_text(option->name));
        if (given->text) {
            pg_out_text(&out, "value", pg_text(given->text));
        } else {
            pg_out_null(&out, "value");
        }
        pg_out_text(&out, "source", pg_text(sources[given->source]));
        pg_out_text(&out, "origin", pg_line_bytes(&where));
        say(&r->out->unsaid, pg_out_end(&out));
        return;
    }
    pg_line_init(&text, room, sizeof room);
    pg_line_put(&text, given->text ? "" : "# ");
    pg_line_put(&text, option->name);
    pg_line_put(&text, " = ");
    pg_line_escaped(&text, pg_text(given->text ? given->text : ""), PG_ESCAPE_DISPLAY, SHOWN_ROOM / 2);
    pg_line_put(&text, given->text ? " ; " : "; ");
    pg_line_raw(&text, given->text ? pg_line_bytes(&where) : PG_LIT("not set"));
    pg_line_put(&text, "\n");
    say(&r->out->unsaid, pg_line_bytes(&text));
}

void pg_reader_show(const struct pg_reader *r)
{
    if (r->out->command != PG_CLI_CHECK || !r->out->values.show_origin) {
        return;
    }
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        const struct pg_option_info *option = &pg_option_infos[i];
        enum pg_source source;
        const char *strongest = pg_reader_strongest(r, (enum pg_option)i, &source);
        if (!pg_option_taken_by(option, PG_CLI_RUN, false) || !option->in_file) {
            continue;
        }
        if (source == PG_FROM_NOWHERE) {
            show(r, option, &(struct pg_given){.text = NULL});
        }
        for (size_t k = 0; source != PG_FROM_NOWHERE && k < r->n; k++) {
            if (r->given[k].option == i && r->given[k].source == source && (option->many || r->given[k].text == strongest)) {
                show(r, option, &r->given[k]);
            }
        }
    }
}

int pg_run_check(const struct pg_options *o)
{
    struct pg_identity *identity = NULL;
    char why[PG_IDENTITY_WHY] = "", room[PG_IDENTITY_WHY + 256];
    unsigned problems = o->problems;
    int unsaid = o->unsaid;
    struct pg_out out;
    enum pg_err err = o->values.identity ? pg_identity_load(&identity, o->values.identity, why, sizeof why) : PG_OK;
    pg_identity_free(identity);
    if (err != PG_OK && err != PG_ERR_IDENTITY_MISSING) { /* the first run makes it */
        (void)pg_out_failure(o->values.json, err, pg_text(why[0] ? why : pg_err_text(err)));
        problems++;
    }
    if (o->values.json) {
        pg_out_begin(&out, room, sizeof room, "check");
        pg_out_bool(&out, "ok", problems == 0);
        pg_out_u64(&out, "problems", problems);
        say(&unsaid, pg_out_end(&out));
    } else if (problems == 0 && !o->values.show_origin) {
        say(&unsaid, PG_LIT("the configuration is good\n"));
    }
    return problems == 0 ? unsaid : pg_err_exit(PG_ERR_CONFIG_BAD);
}
