/* --trace: what a run begins with, and the answers of its secrets, go to the recorder. See trace.h. */
#include "cli/trace.h"

#include "crypto/oracle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* The n-th of the words that a placeholder lists, from 1. */
static struct pg_bytes word(const char *choices, unsigned n)
{
    while (n > 1 && (choices = strchr(choices, '|')) != NULL) {
        choices++;
        n--;
    }
    return choices ? pg_bytes(choices, strcspn(choices, "|")) : PG_NONE;
}

static void put_option(struct pg_recorder *r, const struct pg_option_info *o, const char *value, size_t len)
{
    char text[2048];
    int n = snprintf(text, sizeof text, "--%s%s%.*s", o->name, o->kind == PG_KIND_FLAG ? "" : "=", (int)len, value);
    pg_recorder_fact(r, PG_RECORD_OPTION, pg_bytes(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1));
}

/* As one would write it on a command line. */
static void put_value(struct pg_recorder *r, const struct pg_option_info *o, const void *place)
{
    char number[32];
    const struct pg_strings *list = place;
    struct pg_bytes chosen;
    switch (o->kind) {
    case PG_KIND_FLAG: put_option(r, o, "", 0); return;
    case PG_KIND_WORD:
        chosen = word(o->placeholder, *(const unsigned *)place);
        put_option(r, o, (const char *)chosen.at, chosen.len);
        return;
    case PG_KIND_COUNT:
    case PG_KIND_SIZE:
    case PG_KIND_DURATION:
        snprintf(number, sizeof number, "%" PRIu64 "%s", *(const uint64_t *)place, o->kind == PG_KIND_DURATION ? "ms" : "");
        put_option(r, o, number, strlen(number));
        return;
    case PG_KIND_PATH:
    case PG_KIND_CONTROL:
    case PG_KIND_PROTOCOL:
    case PG_KIND_LISTEN:
    case PG_KIND_BOOTSTRAP:
    case PG_KIND_EXPOSE:
    case PG_KIND_TUNNEL:
    case PG_KIND_NAMED:
    case PG_KIND_EXTERNAL:
    case PG_KIND_NAMESERVER: break;
    }
    if (!o->many) {
        const char *text = *(const char *const *)place;
        put_option(r, o, text ? text : "off", strlen(text ? text : "off"));
        return;
    }
    for (size_t i = 0; i < list->n; i++)
        put_option(r, o, list->at[i], strlen(list->at[i]));
}

static void tell(void *context, enum pg_oracle kind, struct pg_bytes answer)
{
    pg_recorder_answer(context, (unsigned)kind, answer);
}

struct pg_recorder *pg_trace_begin(const struct pg_options *options, const struct pg_node_config *node, char *why, size_t room)
{
    struct pg_recorder *r = pg_recorder_new(options->values.trace);
    uint64_t seeds[3] = {node->seed, node->hash_seed, node->unix_offset_us};
    if (!r) {
        snprintf(why, room, "--trace %s: %s; name a file that does not exist yet, in a folder that you may write to", options->values.trace,
                 strerror(errno));
        return NULL;
    }
    for (unsigned i = 0; i < PG_OPTIONS; i++) {
        bool matters = i != PG_OPTION_TRACE && i != PG_OPTION_CONFIG && i != PG_OPTION_IDENTITY_OUT;
        if (matters && options->origin[i].source > PG_FROM_DEFAULT)
            put_value(r, &pg_option_infos[i], (const char *)&options->values + pg_option_infos[i].offset);
    }
    pg_recorder_fact(r, PG_RECORD_PUBLIC_KEY, pg_public_key_protobuf(pg_identity_public(node->identity)));
    pg_recorder_fact(r, PG_RECORD_SEEDS, pg_bytes(seeds, sizeof seeds));
    pg_oracle_listen(tell, r);
    return r;
}

bool pg_trace_end(struct pg_recorder *r, int status, char *why, size_t room)
{
    pg_oracle_listen(NULL, NULL);
    int error = pg_recorder_free(r, status);
    if (error)
        snprintf(why, room, "--trace: %s; the recording ends before the run does", strerror(error));
    return error == 0;
}
