/* The identity file: made once and safely, loaded after, and every broken one refused by name, reason and remedy.
 * Run by ctest, each test in a folder of its own under TMPDIR. */
#include "crypto_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/identity_file.h"
#include "mem/secret.h"

static char folder[64], file[128], why[PG_IDENTITY_WHY];
static struct pg_identity *identity;
static bool created;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void clean(void)
{
    pg_identity_free(identity);
    identity = NULL;
    CU_ASSERT_EQUAL(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void fresh(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/identityXXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(folder))
        abort();
    snprintf(file, sizeof file, "%s/identity.key", folder);
}

static enum pg_err load(bool create)
{
    pg_identity_free(identity);
    memset(why, 'x', sizeof why);
    created = false;
    return create ? pg_identity_load_or_make(&identity, file, PG_KEY_ED25519, why, sizeof why, &created)
                  : pg_identity_load(&identity, file, why, sizeof why);
}

/* Refused, nothing made, and told: the file's name, these words, and something to do after the colon. */
static void refused(enum pg_err expected, const char *words)
{
    CU_ASSERT_EQUAL(load(true), expected);
    CU_ASSERT_PTR_NULL(identity);
    CU_ASSERT_FALSE(created);
    if (!strstr(why, file) || !strstr(why, words) || !strstr(why, ": ")) {
        fprintf(stderr, "\n  expected \"%s\" in: %s\n", words, why);
        CU_FAIL("message");
    }
}

static void put(const void *bytes, size_t len, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || fchmod(fd, mode) != 0 || close(fd) != 0)
        abort();
}

static void put_key(mode_t mode)
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX];
    struct pg_identity *made = pg_identity_new();
    if (!made)
        abort();
    put(proto, pg_identity_protobuf(made, proto), mode);
    pg_identity_free(made);
}

/* Files in the folder, and folders too. */
static int entries(void)
{
    int n = 0;
    char command[128];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *out = popen(command, "r");
    if (!out || fscanf(out, "%d", &n) != 1)
        abort();
    pclose(out);
    return n;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 07777u : 0;
}

static void a_missing_file_is_made_once_and_loaded_after(void)
{
    struct pg_peer_id first;
    mode_t umask_before = umask(0);
    fresh();
    CU_ASSERT_EQUAL_FATAL(load(true), PG_OK);
    CU_ASSERT_TRUE(created);
    CU_ASSERT_STRING_EQUAL(why, "");
    CU_ASSERT_EQUAL(mode_of(file), 0600);
    CU_ASSERT_EQUAL(entries(), 1);
    first = *pg_identity_peer_id(identity);
    for (int create = 0; create < 2; create++) {
        CU_ASSERT_EQUAL_FATAL(load(create), PG_OK);
        CU_ASSERT_FALSE(created);
        CU_ASSERT_TRUE(pg_peer_id_equal(&first, pg_identity_peer_id(identity)));
    }
    clean();
    umask(umask_before);
}

static void missing_folders_are_made_for_the_owner_alone(void)
{
    char inner[160];
    mode_t umask_before = umask(0);
    fresh();
    snprintf(inner, sizeof inner, "%s/a/b//c", folder);
    snprintf(file, sizeof file, "%s/a/b//c/key", folder);
    CU_ASSERT_EQUAL(load(true), PG_OK);
    CU_ASSERT_TRUE(created);
    CU_ASSERT_EQUAL(mode_of(inner), 0700);
    clean();
    umask(umask_before);
}

static void a_file_in_the_working_folder_needs_no_slash(void)
{
    char before[4096];
    fresh();
    if (!getcwd(before, sizeof before) || chdir(folder) != 0)
        abort();
    strcpy(file, "identity.key");
    CU_ASSERT_EQUAL(load(true), PG_OK);
    CU_ASSERT_EQUAL(mode_of("identity.key"), 0600);
    CU_ASSERT_EQUAL(entries(), 1);
    if (chdir(before) != 0)
        abort();
    clean();
}

static void without_leave_to_make_one_nothing_is_made(void)
{
    fresh();
    CU_ASSERT_EQUAL(load(false), PG_ERR_IDENTITY_MISSING);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, file));
    CU_ASSERT_EQUAL(entries(), 0);
    snprintf(file, sizeof file, "%s/a/b", folder);
    CU_ASSERT_EQUAL(load(false), PG_ERR_IDENTITY_MISSING);
    CU_ASSERT_EQUAL(entries(), 0);
    clean();
}

static void empty_truncated_and_foreign_files_are_refused_and_left_alone(void)
{
    uint8_t proto[PG_PRIVATE_PROTO_MAX], long_file[9000] = {0};
    struct pg_identity *key = pg_identity_new();
    if (!key)
        abort();
    pg_identity_protobuf(key, proto);
    pg_identity_free(key);
    fresh();
    put("", 0, 0600);
    refused(PG_ERR_IDENTITY_BAD, "is empty");
    for (size_t len = 1; len < sizeof proto; len++) {
        put(proto, len, 0600);
        refused(PG_ERR_IDENTITY_BAD, "is cut off");
    }
    put("hello", 5, 0600);
    refused(PG_ERR_IDENTITY_BAD, "is not a libp2p private key");
    put("-----BEGIN PRIVATE KEY-----\n", 28, 0600);
    refused(PG_ERR_IDENTITY_BAD, "PEM");
    put("\x08\x03\x12\x20"
        "01234567890123456789012345678901",
        36, 0600);
    refused(PG_ERR_IDENTITY_BAD, "type that is not supported");
    put("\x08\x02\x12\x20"
        "0123456789012345678901234567890",
        35, 0600);
    refused(PG_ERR_IDENTITY_BAD, "is cut off (35 of 36 bytes)");
    proto[67] ^= 1;
    put(proto, sizeof proto, 0600);
    refused(PG_ERR_IDENTITY_BAD, "is not a libp2p private key");
    put(long_file, sizeof long_file, 0600);
    refused(PG_ERR_IDENTITY_BAD, "too long");
    CU_ASSERT_EQUAL(entries(), 1);
    struct stat st;
    CU_ASSERT_TRUE(stat(file, &st) == 0 && st.st_size == sizeof long_file);
    clean();
}

static void folders_pipes_and_devices_are_refused_without_waiting(void)
{
    fresh();
    if (mkdir(file, 0700) != 0)
        abort();
    refused(PG_ERR_IDENTITY_BAD, "is a folder");
    if (rmdir(file) != 0 || mkfifo(file, 0600) != 0)
        abort();
    refused(PG_ERR_IDENTITY_BAD, "no regular file");
    strcpy(file, "/dev/null");
    refused(PG_ERR_IDENTITY_BAD, "no regular file");
    clean();
}

static void a_file_open_to_others_loads_with_a_warning_unless_all_may_write(void)
{
    static const mode_t warned[] = {0640, 0644, 0604, 0660, 0610};
    fresh();
    for (size_t i = 0; i < sizeof warned / sizeof *warned; i++) {
        put_key(warned[i]);
        CU_ASSERT_EQUAL(load(true), PG_OK);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, file));
        CU_ASSERT_PTR_NOT_NULL(strstr(why, "chmod 600"));
        CU_ASSERT_EQUAL(mode_of(file), warned[i]);
    }
    put_key(0666);
    refused(PG_ERR_IDENTITY_BAD, "written by everybody");
    put_key(0400);
    CU_ASSERT_EQUAL(load(true), PG_OK);
    CU_ASSERT_STRING_EQUAL(why, "");
    clean();
}

static void a_symbolic_link_is_read_through_and_never_written_through(void)
{
    char real[128], link_name[128];
    fresh();
    put_key(0600);
    strcpy(real, file);
    snprintf(link_name, sizeof link_name, "%s/link", folder);
    if (symlink(real, link_name) != 0)
        abort();
    strcpy(file, link_name);
    CU_ASSERT_EQUAL(load(true), PG_OK);
    if (unlink(real) != 0)
        abort();
    refused(PG_ERR_IDENTITY_BAD, "link to nothing");
    CU_ASSERT_EQUAL(access(real, F_OK), -1);
    CU_ASSERT_EQUAL(entries(), 1);
    clean();
}

static void a_file_in_the_way_of_a_folder_is_told(void)
{
    fresh();
    put("x", 1, 0600);
    strcat(file, "/key");
    refused(PG_ERR_IDENTITY_BAD, "Not a directory");
    clean();
}

/* In a child of its own, because what is given up does not come back: a user without rights, or a small disk. */
static void in_child(void (*test)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        unsigned before = CU_get_number_of_failures();
        test();
        fflush(stderr);
        _exit(CU_get_number_of_failures() == before ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_TRUE(child > 0 && waitpid(child, &status, 0) == child);
    CU_ASSERT_EQUAL(status, 0);
}

static void read_as_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        abort();
    refused(PG_ERR_IDENTITY_BAD, "may not be read by this user");
    strcat(file, "2");
    refused(PG_ERR_IDENTITY_BAD, "cannot be made (Permission denied)");
}

static void a_file_or_folder_that_this_user_may_not_touch_is_told(void)
{
    fresh();
    put_key(geteuid() == 0 ? 0600 : 0000);
    if (chmod(folder, 0555) != 0)
        abort();
    in_child(read_as_nobody);
    if (chmod(folder, 0700) != 0)
        abort();
    clean();
}

static void make_on_a_full_disk(void)
{
    for (rlim_t room = 0; room < PG_PRIVATE_PROTO_MAX; room += 17) {
        struct rlimit limit = {room, PG_PRIVATE_PROTO_MAX};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            abort();
        CU_ASSERT_EQUAL(load(true), PG_ERR_IDENTITY_BAD);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, "cannot be made (File too large)"));
        CU_ASSERT_PTR_NOT_NULL(strstr(why, file));
        CU_ASSERT_EQUAL(access(file, F_OK), -1);
        CU_ASSERT_EQUAL(pg_secrets_held(), 0);
    }
}

/* A limit on the size of files fails in the same place as a full disk, after any number of bytes. */
static void a_disk_that_fills_while_writing_leaves_nothing_behind(void)
{
    fresh();
    in_child(make_on_a_full_disk);
    CU_ASSERT_EQUAL(entries(), 0);
    clean();
}

static void two_processes_that_start_at_once_get_one_identity(void)
{
    enum { RACERS = 8, ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        int gate[2], answers[2];
        struct pg_peer_id ids[RACERS];
        fresh();
        if (pipe(gate) != 0 || pipe(answers) != 0)
            abort();
        fflush(stdout);
        for (int i = 0; i < RACERS; i++) {
            if (fork() != 0)
                continue;
            char byte;
            struct pg_peer_id none = {0};
            close(gate[1]);
            bool go = read(gate[0], &byte, 1) == 0; /* all of them leave when the gate closes */
            bool good = go && load(true) == PG_OK;
            ssize_t n = write(answers[1], good ? pg_identity_peer_id(identity) : &none, sizeof none);
            _exit(n == (ssize_t)sizeof none ? 0 : 1);
        }
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < RACERS; i++)
            if (read(answers[0], &ids[i], sizeof ids[i]) != (ssize_t)sizeof ids[i])
                abort();
        while (wait(NULL) > 0)
            ;
        close(answers[0]);
        close(answers[1]);
        CU_ASSERT_EQUAL(load(false), PG_OK);
        for (int i = 0; i < RACERS; i++)
            CU_ASSERT_TRUE(ids[i].len && pg_peer_id_equal(&ids[i], pg_identity_peer_id(identity)));
        CU_ASSERT_EQUAL(entries(), 1);
        clean();
    }
}

static void a_short_place_for_the_reason_is_not_overrun(void)
{
    fresh();
    put("", 0, 0600);
    for (size_t room = 0; room < 40; room++) {
        char *small = malloc(room + 1);
        if (!small)
            abort();
        small[room] = 'x';
        CU_ASSERT_EQUAL(pg_identity_load_or_make(&identity, file, PG_KEY_ED25519, small, room, &created), PG_ERR_IDENTITY_BAD);
        CU_ASSERT_TRUE(small[room] == 'x' && (room == 0 || strlen(small) < room));
        free(small);
    }
    clean();
}

int main(void)
{
    static const struct sentence sentences[] = {
        {"a missing file is made once and loaded after", a_missing_file_is_made_once_and_loaded_after},
        {"missing folders are made, for the owner alone", missing_folders_are_made_for_the_owner_alone},
        {"a file in the working folder needs no slash", a_file_in_the_working_folder_needs_no_slash},
        {"without leave to make one nothing is made", without_leave_to_make_one_nothing_is_made},
        {"empty, truncated and foreign files are refused and left alone",
         empty_truncated_and_foreign_files_are_refused_and_left_alone},
        {"folders, pipes and devices are refused without waiting", folders_pipes_and_devices_are_refused_without_waiting},
        {"a file open to others loads with a warning, unless all may write",
         a_file_open_to_others_loads_with_a_warning_unless_all_may_write},
        {"a symbolic link is read through and never written through", a_symbolic_link_is_read_through_and_never_written_through},
        {"a file in the way of a folder is told", a_file_in_the_way_of_a_folder_is_told},
        {"a file or folder that this user may not touch is told", a_file_or_folder_that_this_user_may_not_touch_is_told},
        {"a disk that fills while writing leaves nothing behind", a_disk_that_fills_while_writing_leaves_nothing_behind},
        {"two processes that start at once get one identity", two_processes_that_start_at_once_get_one_identity},
        {"a short place for the reason is not overrun", a_short_place_for_the_reason_is_not_overrun},
    };
    return RUN_SUITE("identity file", sentences);
}
