/* The real loop with a core of a few lines in place of ours: what becomes of sockets' files.
 * Drives runtime/loop through runtime/port.h. */
#include "crypto_suite.h"
#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Listens at one path, gives that up and listens there again in one turn, and looks a little later. */
static struct {
    struct pg_link links[2];
    struct pg_command commands[4];
    unsigned head, n, standing;
    uint64_t look_us;
    char path[64];
    bool there;
} core;

static void order(struct pg_command c)
{
    core.commands[core.n++] = c;
}

static void listen_at(struct pg_link *link)
{
    order((struct pg_command){.kind = PG_COMMAND_LISTEN, .mode = PG_LISTEN_LOCAL, .link = link, .path = pg_text(core.path)});
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    (void)self;
    if (in->kind == PG_INPUT_START) {
        listen_at(&core.links[0]);
    } else if (in->kind == PG_INPUT_LISTENING && core.standing++ == 0) {
        core.links[0].closing = true;
        order((struct pg_command){.kind = PG_COMMAND_CLOSE, .link = &core.links[0]});
        listen_at(&core.links[1]);
        core.look_us = now_us + 50000;
    } else if (in->kind == PG_INPUT_TICK && core.look_us && now_us >= core.look_us) {
        core.look_us = 0;
        core.there = access(core.path, F_OK) == 0;
        order((struct pg_command){.kind = PG_COMMAND_STOP});
    }
}

static bool poll(void *self, struct pg_command *out)
{
    (void)self;
    if (core.head == core.n) {
        core.head = core.n = 0;
        return false;
    }
    *out = core.commands[core.head++];
    return true;
}

static uint64_t deadline(void *self)
{
    (void)self;
    return core.look_us ? core.look_us : UINT64_MAX;
}

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

static void a_socket_that_is_listened_at_again_at_once_keeps_its_file(void)
{
    struct pg_core port = {.input = input, .poll = poll, .deadline = deadline, .want = want, .link = no_link, .unlink = unlinked};
    snprintf(core.path, sizeof core.path, "/tmp/pg-loop-test-%d.sock", (int)getpid());
    struct pg_loop *loop = pg_loop_new(&port);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL(pg_loop_run(loop), 0);
    pg_loop_free(loop);
    CU_ASSERT_EQUAL(core.standing, 2);
    CU_ASSERT(core.there);
    CU_ASSERT_NOT_EQUAL(access(core.path, F_OK), 0);
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a socket that is listened at again at once keeps its file, and leaves none behind",
         a_socket_that_is_listened_at_again_at_once_keeps_its_file},
    };
    return RUN_SUITE("loop", sentences);
}
