/* Plays a run that punchgate --trace has recorded, without a network and without a key: the same core is given the same inputs
 * at the same times and has to say the same.   replay FILE
 * Exit status 0: equal; 1: the first difference is printed; 2: not a recording.
 * A list of events that `make verify` has saved is played by the program beside this one that has made it: build/orders. */
#include "cli/configure.h"
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ORDERS_MAGIC "punchgate orders" /* of tools/orders/orders.h, any version */
enum { ARGUMENTS = 512, OWN_ARGUMENTS = 3 };

struct beginning {
    char *arguments[ARGUMENTS];
    int n;
    struct pg_public_key key;
    uint64_t seeds[3];
    bool has_key, has_seeds;
};

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "replay: %s: %s\n", path, why);
    return 2;
}

/* The whole file; NULL when it cannot be had, errno says why, or 0: it is empty. */
static const uint8_t *map(const char *path, size_t *len)
{
    struct stat s;
    errno = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &s) == 0 && s.st_size > 0)
        at = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    *len = at == MAP_FAILED ? 0 : (size_t)s.st_size;
    return at == MAP_FAILED ? NULL : at;
}

static void read_facts(struct play *p, struct beginning *b)
{
    while (p->at < p->end && *p->at == PG_RECORD_FACT) {
        p->at++;
        uint64_t fact = play_number(p);
        struct pg_bytes text = play_bytes(p);
        if (fact == PG_RECORD_OPTION && b->n < ARGUMENTS)
            b->arguments[b->n++] = strndup((const char *)text.at, text.len);
        else if (fact == PG_RECORD_PUBLIC_KEY)
            b->has_key = pg_public_key_read(&b->key, text) == PG_OK;
        else if (fact == PG_RECORD_SEEDS && text.len == sizeof b->seeds)
            b->has_seeds = memcpy(b->seeds, text.at, text.len) != NULL;
    }
}

static bool begin(struct play *p, struct beginning *b)
{
    if (setjmp(p->stop) != 0)
        return false;
    read_facts(p, b);
    return b->has_key && b->has_seeds;
}

static struct pg_peer *start(struct play *p, struct pg_configured *c)
{
    if (setjmp(p->stop) != 0)
        return NULL;
    oracle_from(p);
    return pg_peer_new(&c->config);
}

static int play(struct play *p, struct pg_configured *c)
{
    struct pg_peer *peer = start(p, c);
    bool equal = false;
    if (peer) {
        p->core = pg_peer_core(peer);
        equal = play_run(p);
    }
    oracle_from(NULL);
    if (equal)
        printf("equal: %" PRIu64 " inputs, %" PRIu64 " commands, %" PRIu64 " bytes in, %" PRIu64 " bytes out%s\n", p->inputs, p->commands,
               p->bytes_in, p->bytes_out, p->ended ? "" : "; the recording has no end, the process was killed");
    else
        printf("differs: %s\n", p->difference[0] ? p->difference : "the peer cannot be made");
    if (!equal) { /* perhaps in the middle of a turn: the core cannot be freed then */
        fflush(stdout);
        _exit(1);
    }
    pg_peer_free(peer);
    pg_map_free(&p->links);
    return fflush(stdout) == 0 ? 0 : fail("standard output", strerror(errno));
}

/* Only returns when FILE is such a list and cannot be played. */
static int play_list(const char *file)
{
    char folder[PATH_MAX], program[PATH_MAX + 32], allowed[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = 0;
    char *end = strrchr(folder, '/');
    if (end)
        *end = 0;
    snprintf(program, sizeof program, "%s/orders", folder);
    snprintf(allowed, sizeof allowed, "%s/orders_allowed.txt", folder); /* what the models allow, from the last `make verify` */
    if (access(allowed, R_OK) == 0)
        execl(program, program, "--allowed", allowed, "--play", file, (char *)NULL);
    else
        execl(program, program, "--play", file, (char *)NULL);
    return fail(program, strerror(errno));
}

int main(int argc, char *argv[])
{
    static struct play p;
    static struct pg_configured c;
    static struct pg_options options;
    struct beginning b = {.arguments = {"punchgate", "run", "--config=/dev/null"}, .n = OWN_ARGUMENTS};
    char *none[] = {NULL}, text[1024];
    struct pg_line why;
    size_t len;
    bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc != 2 || help) {
        fprintf(help ? stdout : stderr, "usage: replay FILE\nFILE comes from punchgate --trace FILE, or from make verify\n");
        return help ? 0 : 2;
    }
    p.begin = p.at = map(argv[1], &len);
    p.end = p.begin + len;
    if (!p.begin && errno != 0)
        return fail(argv[1], strerror(errno));
    if (p.begin && len >= sizeof ORDERS_MAGIC - 1 && memcmp(p.at, ORDERS_MAGIC, sizeof ORDERS_MAGIC - 1) == 0)
        return play_list(argv[1]);
    if (!p.begin || len < sizeof PG_RECORD_MAGIC - 1 || memcmp(p.at, PG_RECORD_MAGIC, sizeof PG_RECORD_MAGIC - 1) != 0)
        return fail(argv[1], "not a recording of punchgate --trace, nor a list of events of make verify; name one that is");
    p.at += sizeof PG_RECORD_MAGIC - 1;
    if (!begin(&p, &b)) {
        fail(argv[1], p.difference[0] ? p.difference : "a recording without its beginning");
        _exit(2);
    }
    pg_line_init(&why, text, sizeof text);
    if (pg_options_read(&options, b.n, b.arguments, none, &why) != PG_OK || !pg_configure(&c, &options))
        return fail(argv[1], "its options are none of this program's; use the replay that was built with the punchgate that recorded");
    c.config.node.seed = b.seeds[0];
    c.config.node.hash_seed = b.seeds[1];
    c.config.node.unix_offset_us = b.seeds[2];
    struct pg_identity *identity = pg_identity_of_public(&b.key);
    c.config.node.identity = identity;
    int status = play(&p, &c);
    pg_identity_free(identity);
    pg_options_free(&options);
    while (b.n > OWN_ARGUMENTS)
        free(b.arguments[--b.n]);
    return status;
}
