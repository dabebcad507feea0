/* Scenes under an allocator that fails: for every n the n-th call alone, and every call from the n-th on until memory is back.
 * Each run is a process of its own. No run may crash, hang or leak; a peer that has started must serve once memory is there
 * again. Run by ctest; `alloc_test SCENE N [1]` runs one of them in this process, for a debugger. Serves docs/ARCHITECTURE.md,
 * "Memory". The linker puts the calls of our libraries through the wrappers here; libcrypto is asked to call them, too. The
 * scenes' own scaffolding (tests/unit/pair.c, world.c) is compiled to go past them. */
#include "../unit/pair.h"
#include "../unit/world.h"
#include "cli/options.h"
#include "crypto/identity_file.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANG_SECONDS = 60 };

/* The allocator. */

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void __real_free(void *);
void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_munmap(void *, size_t);
void *__real_sodium_malloc(size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void __wrap_free(void *);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);
int __wrap_munmap(void *, size_t);
void *__wrap_sodium_malloc(size_t);

static struct {
    bool armed, for_ever, failed;
    unsigned long fails_at, calls;
    long live; /* blocks and mappings of ours; libcrypto keeps what it likes */
} memory;

static bool fails(void)
{
    if (!memory.armed)
        return false;
    memory.calls++;
    if (memory.calls != memory.fails_at && !(memory.for_ever && memory.calls > memory.fails_at))
        return false;
    memory.failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    void *block = fails() ? NULL : __real_malloc(size);
    memory.live += block != NULL;
    return block;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *block = fails() ? NULL : __real_calloc(n, size);
    memory.live += block != NULL;
    return block;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *block = fails() ? NULL : __real_realloc(old, size);
    memory.live += block && !old;
    return block;
}

void __wrap_free(void *block)
{
    memory.live -= block != NULL;
    __real_free(block);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *range = fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
    memory.live += range != MAP_FAILED;
    return range;
}

int __wrap_munmap(void *at, size_t size)
{
    memory.live--;
    return __real_munmap(at, size);
}

void *__wrap_sodium_malloc(size_t size)
{
    return fails() ? NULL : __real_sodium_malloc(size); /* a slab stays for the process's life */
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : __real_malloc(size);
}

static void *crypto_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : __real_realloc(old, size);
}

static void crypto_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    __real_free(block);
}

/* What a scene wants. Sentences of the scaffolding are wants as well: without CUnit's registry they come here. */

static const char *scene_name;

static void want(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "%s, call %lu%s: not so: %s\n", scene_name, memory.fails_at, memory.for_ever ? " and all after it" : "",
            what);
    _exit(1);
}

CU_BOOL CU_assertImplementation(CU_BOOL truth, unsigned int line, const char *condition, const char *file, const char *function,
                                CU_BOOL fatal)
{
    (void)line;
    (void)file;
    (void)function;
    (void)fatal;
    want(truth, condition);
    return CU_TRUE;
}

static void memory_fails(void)
{
    memory.calls = 0;
    memory.armed = true;
}

static void memory_is_back(void)
{
    memory.armed = false;
}

/* The scenes. */

static bool tunnel_answers(struct world *w)
{
    static const char request[] = "{\"service_name\":\"echo\"}";
    struct raw r;
    if (!w->session || !raw_try(w, &r, pg_bytes(request, sizeof request - 1)))
        return false;
    world_pass(w, 25000);
    bool good = raw_answered(&r, "{\"accepted\":true}");
    if (good && r.stream) {
        r.to_send = 300000;
        raw_send(&r);
        world_pass(w, 1000);
        good = r.got == 4 + 17 + 300000;
    }
    if (r.stream)
        pg_stream_reset(r.stream);
    world_settle(w);
    return good;
}

/* Two cores start, connect, carry a tunnel, lose each other and connect again. */
static void a_world(void)
{
    memory_fails();
    struct world *w = world_try();
    if (!w) {
        want(memory.failed, "a core is made");
        return;
    }
    (void)tunnel_answers(w);
    (void)tunnel_answers(w);
    memory_is_back();
    for (unsigned tries = 0; tries < 5 && !w->session; tries++) {
        world_dial(w);
        world_pass(w, 30000);
    }
    want(w->session != NULL, "the peers find each other once memory is there");
    want(tunnel_answers(w), "a tunnel works once memory is there");
    struct held held = world_held(w);
    want(held.streams <= 2, "no stream is left behind");
    world_drop(w);
}

/* Many streams at once: the tables that find them grow. */
static void many_streams(void)
{
    static struct raw r[300];
    struct world *w = world_new();
    memory_fails();
    for (unsigned i = 0; i < 300 && w->session; i++) {
        (void)raw_try(w, &r[i], PG_LIT("{\"service_name\":\"nosuch\"}"));
        if (i % 100 == 99)
            world_pass(w, 1000);
    }
    memory_is_back();
    for (unsigned i = 0; i < 300; i++)
        if (r[i].stream)
            pg_stream_reset(r[i].stream);
    world_pass(w, 60000);
    for (unsigned tries = 0; tries < 5 && !w->session; tries++)
        world_dial(w);
    want(w->session && tunnel_answers(w), "a tunnel works once memory is there");
    world_drop(w);
}

/* Many tunnels whose connection dies: one turn that has more to order than ever before. */
static void many_endings(void)
{
    static struct raw r[300];
    struct world *w = world_new();
    unsigned open = 0;
    for (unsigned i = 0; i < 300; i++) {
        want(raw_try(w, &r[i], PG_LIT("{\"service_name\":\"echo\"}")), "a stream");
        if (i % 100 == 99)
            world_pass(w, 100);
    }
    for (unsigned i = 0; i < 300; i++)
        open += raw_answered(&r[i], "{\"accepted\":true}");
    want(open == 300, "three hundred tunnels");
    memory_fails();
    pg_conn_close(pg_session_conn(w->session), PG_ERR_CLOSED);
    world_pass(w, 1000);
    memory_is_back();
    want(!w->session && world_held(w).streams == 0, "all of them have ended");
    world_dial(w);
    want(w->session && tunnel_answers(w), "a tunnel works afterwards");
    world_drop(w);
}

/* Options from all three places. */
static void options(void)
{
    char path[] = "/tmp/pg-alloc-XXXXXX", room[1024];
    static const char file[] =
        "listen = /ip4/127.0.0.1/tcp/0\nlisten = /ip6/::1/tcp/0\nexpose = echo=127.0.0.1:7\ntunnel-wait = 5s\n";
    char *argv[] = {(char[]){"punchgate"}, (char[]){"--config"},      path, (char[]){"--expose"}, (char[]){"a=127.0.0.1:1"},
                    (char[]){"--expose"},  (char[]){"b=127.0.0.1:2"}, NULL};
    char *envp[] = {(char[]){"PUNCHGATE_LISTEN=/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2"}, NULL};
    int fd = mkstemp(path);
    want(fd >= 0 && write(fd, file, sizeof file - 1) == (ssize_t)sizeof file - 1, "a file");
    close(fd);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct pg_options o;
        struct pg_line why;
        pg_line_init(&why, room, sizeof room);
        if (turn == 0)
            memory_fails();
        enum pg_err err = pg_options_read(&o, 7, argv, envp, &why);
        memory_is_back();
        want(err == PG_OK ? o.values.expose.n == 2 && o.values.listen.n == 2 : memory.failed && err == PG_ERR_NO_MEMORY,
             "options, or a reason");
        want(turn == 0 || err == PG_OK, "options once memory is there");
        pg_options_free(&o);
    }
    unlink(path);
}

/* An identity is made in a file, and read from it. */
static void identity(void)
{
    char folder[] = "/tmp/pg-alloc-XXXXXX", path[64], why[PG_IDENTITY_WHY];
    want(mkdtemp(folder) != NULL, "a folder");
    snprintf(path, sizeof path, "%s/key", folder);
    for (unsigned turn = 0; turn < 3; turn++) {
        struct pg_identity *i = NULL;
        bool created;
        if (turn == 0)
            memory_fails();
        enum pg_err err = pg_identity_load_or_make(&i, path, PG_KEY_ED25519, why, sizeof why, &created);
        want((err == PG_OK) == (i != NULL), "an identity or an error");
        want(err == PG_OK || (memory.failed && why[0]), "a reason");
        if (turn > 0)
            memory_is_back();
        want(turn < 2 || err == PG_OK, "an identity once memory is there");
        pg_identity_free(i);
    }
    unlink(path);
    want(rmdir(folder) == 0, "nothing is left beside the file");
}

static const struct scene {
    const char *name;
    void (*run)(void);
} scenes[] = {
    {"world", a_world}, {"streams", many_streams}, {"endings", many_endings}, {"options", options}, {"identity", identity}};

/* Runs. */

static void run_scene(const struct scene *s, unsigned long n, bool for_ever)
{
    scene_name = s->name;
    memory.fails_at = n;
    memory.for_ever = for_ever;
    alarm(HANG_SECONDS);
    long before = memory.live;
    s->run();
    memory_is_back();
    want(memory.live == before, "everything is given back");
}

/* In a process of its own; calls, when not NULL, gets how many calls there were. */
static bool run_apart(const struct scene *s, unsigned long n, bool for_ever, unsigned long *calls)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        run_scene(s, n, for_ever);
        if (calls)
            *calls = memory.calls;
        _exit(0);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        continue;
    if (WIFSIGNALED(status))
        printf("%s, call %lu%s: %s\n", s->name, n, for_ever ? " and all after it" : "",
               WTERMSIG(status) == SIGALRM ? "did not come to an end" : strsignal(WTERMSIG(status)));
    return status == 0;
}

static unsigned all_of(const struct scene *s, unsigned *passed)
{
    unsigned failed = 0;
    unsigned long *calls = __real_mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (calls == MAP_FAILED)
        abort();
    if (!run_apart(s, 0, false, calls))
        return 1;
    unsigned long most = *calls;
    for (unsigned long n = 1; n <= most; n++)
        for (unsigned for_ever = 0; for_ever < 2; for_ever++) {
            bool good = run_apart(s, n, for_ever, NULL);
            *passed += good;
            failed += !good;
        }
    printf("%s: %lu calls, each failing once alone and once with all after it\n", s->name, most);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
        abort();
    /* As at start: libcrypto's own first steps do not survive without memory, and nobody is served before them. */
    if (!pg_noise_cipher_ready())
        abort();
    for (unsigned i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        if (argc > 2 && strcmp(argv[1], scenes[i].name) == 0)
            run_scene(&scenes[i], strtoul(argv[2], NULL, 10), argc > 3);
        else if (argc == 1 || (argc == 2 && strcmp(argv[1], scenes[i].name) == 0))
            failed += all_of(&scenes[i], &passed);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
