/* orders: drives the real core through every ordering of up to k events and compares its data with what must hold.
 *   orders [--allowed FILE] [--depth N] [--seconds N] [--quiet] [--save FILE] [--play FILE]
 *          [--lie M.FACT | --skip M.ACTION | --swap M.ACTION=ACTION] [SUBJECT…]
 * The FILE of --allowed is what tools/verify/core_orders.py writes of the models; --save writes the shortest list of events that shows
 * a fault, which --play or build/replay plays again. Status 1 when something does not hold, 2 for wrong usage.
 * Called by tools/verify/verify.py, tests/table/orders_test.py and build/replay. */
#include "orders.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBJECTS_MOST 16

static bool plant(enum orders_plant kind, char *text)
{
    char *name = strchr(text, '.');
    char *other = name ? strchr(name, '=') : NULL;
    if (!name || (kind == ORDERS_SWAP) != (other != NULL))
        return false;
    *name++ = 0;
    if (other)
        *other++ = 0;
    return orders_plant(kind, text, name, other);
}

static int usage(const char *what)
{
    fprintf(stderr, "orders: %s; orders [--allowed FILE] [--depth N] [--seconds N] [--quiet] [--save FILE] [--play FILE]"
                    " [--lie M.FACT | --skip M.ACTION | --swap M.ACTION=ACTION] [SUBJECT...]\n", what);
    return 2;
}

static bool option(struct orders_limits *limits, const char **played, const char *name, char *value)
{
    if (strcmp(name, "--save") == 0)
        return (limits->save = value) != NULL;
    if (strcmp(name, "--play") == 0)
        return (*played = value) != NULL;
    if (strcmp(name, "--allowed") == 0)
        return orders_read_allowed(value);
    if (strcmp(name, "--depth") == 0)
        return (limits->depth = (unsigned)atoi(value)) > 0 && limits->depth < 200;
    if (strcmp(name, "--seconds") == 0)
        return (limits->seconds = atof(value)) > 0;
    if (strcmp(name, "--lie") == 0)
        return plant(ORDERS_LIE, value);
    if (strcmp(name, "--skip") == 0)
        return plant(ORDERS_SKIP, value);
    return strcmp(name, "--swap") == 0 && plant(ORDERS_SWAP, value);
}

int main(int argc, char **argv)
{
    struct orders_limits limits = {.depth = 4, .seconds = 600};
    bool wanted[SUBJECTS_MOST] = {false}, any = false, failed = false;
    const char *played = NULL;
    for (int n = 1; n < argc; n++) {
        unsigned s = 0;
        while (orders_subjects[s] && strcmp(orders_subjects[s]->word, argv[n]) != 0)
            s++;
        if (orders_subjects[s])
            wanted[s] = any = true;
        else if (strcmp(argv[n], "--quiet") == 0)
            limits.quiet = true;
        else if (n + 1 == argc || !option(&limits, &played, argv[n], argv[n + 1]))
            return usage(argv[n]);
        else
            n++;
    }
    if (played)
        return orders_play(played);
    for (unsigned s = 0; orders_subjects[s]; s++) {
        if (any && !wanted[s])
            continue;
        struct orders_result r = orders_explore(orders_subjects[s], &limits);
        failed = failed || r.failed;
        if (!r.failed && !limits.quiet)
            printf("%s: every order of %u events, %llu runs, %u states that differ\n", orders_subjects[s]->name, r.depth,
                   (unsigned long long)r.orders, r.states);
    }
    return failed;
}
