/* What the loop asks of a core about its links, for the cores of a few lines that tests put in place of ours: they open none that carries bytes.
 * Used by datagram_test.c and loop_test.c; serves runtime/port.h. */
#pragma once
#include "port.h"

static size_t want(void *self, struct pg_link *link)
{
    (void)self;
    return link->credit;
}

static struct pg_link *no_link(void *self)
{
    (void)self;
    return NULL;
}

static void unlinked(void *self, struct pg_link *link)
{
    (void)self;
    (void)link;
}
