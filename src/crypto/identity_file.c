/* Files with private keys: read with every doubt spoken out, or made once by temporary file, sync and rename.
 * Called by src/cli. Holds the PrivateKey message of libp2p/specs peer-ids/peer-ids.md, "Keys". */
#include "crypto/identity_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX PG_KEY_FILE_MAX

/* The file in question, and where the reason of a refusal goes. */
struct attempt {
    const char *what; /* it is to the user */
    const char *path;
    char *why;
    size_t room;
};

static const char identity_file[] = "identity file";

/* A format that begins with a space goes on after the file's name. */
__attribute__((format(printf, 3, 4))) static enum pg_err say(const struct attempt *a, enum pg_err err, const char *format, ...)
{
    va_list list;
    int n = 0;
    if (!a->room)
        return err;
    if (format[0] == ' ')
        n = snprintf(a->why, a->room, "%s \"%s\"", a->what, a->path);
    if (n < 0 || (size_t)n >= a->room)
        return err;
    va_start(list, format);
    vsnprintf(a->why + n, a->room - (size_t)n, format, list);
    va_end(list);
    return err;
}

static enum pg_err say_open(const struct attempt *a, int reason)
{
    struct stat st;
    /* Only a link counts: a file may have come into being since we looked, and making one finds it then. */
    if (reason == ENOENT && lstat(a->path, &st) == 0 && S_ISLNK(st.st_mode))
        return say(a, PG_ERR_IDENTITY_BAD,
                   " is a symbolic link to nothing: make what it points to, or remove it");
    if (reason == ENOENT)
        return say(a, PG_ERR_IDENTITY_MISSING,
                   "there is no %s \"%s\": name another one%s", a->what, a->path,
                   a->what == identity_file ? ", or run a peer once to make it" : "");
    if (reason == EACCES)
        return say(a, PG_ERR_IDENTITY_BAD,
                   " may not be read by this user: give it to the user who runs punchgate");
    return say(a, PG_ERR_IDENTITY_BAD, " cannot be opened (%s): mend its place or name another file",
               strerror(reason));
}

/* What can be said before a byte is read. PG_OK may leave a warning. */
static enum pg_err look_at(const struct attempt *a, const struct stat *st)
{
    unsigned mode = st->st_mode & 07777u;
    if (S_ISDIR(st->st_mode))
        return say(a, PG_ERR_IDENTITY_BAD, " is a folder: name a file, for example \"%s/identity.key\"", a->path);
    if (!S_ISREG(st->st_mode))
        return say(a, PG_ERR_IDENTITY_BAD, " is no regular file: name one that is");
    if (st->st_size == 0)
        return say(a, PG_ERR_IDENTITY_BAD,
                   " is empty: bring it back from a copy, or remove it to become a new peer");
    if (st->st_size > FILE_MAX)
        return say(a, PG_ERR_IDENTITY_BAD, " is too long for a key (%lld bytes): name the right file", (long long)st->st_size);
    if (mode & S_IWOTH)
        return say(a, PG_ERR_IDENTITY_BAD,
                   " may be written by everybody (mode %04o): check it and run chmod 600 \"%s\"",
                   mode, a->path);
    if (mode & 077)
        return say(a, PG_OK, " is open to other users (mode %04o): run chmod 600 \"%s\"", mode,
                   a->path);
    return PG_OK;
}

/* A whole file's length, by the type in its second byte. */
static size_t expected_len(struct pg_bytes file)
{
    return file.len > 1 && file.at[1] == PG_KEY_SECP256K1 ? 36 : PG_PRIVATE_PROTO_MAX;
}

static enum pg_err say_key(const struct attempt *a, enum pg_err err, struct pg_bytes file)
{
    if (err == PG_ERR_NO_MEMORY)
        return say(a, err, "out of memory for the key in %s \"%s\": free some", a->what, a->path);
    if (err == PG_ERR_KEY_UNSUPPORTED)
        return say(a, PG_ERR_IDENTITY_BAD, " holds a key of a type that is not supported: "
                   "only ed25519 and secp256k1 are");
    if (pg_bytes_equal(pg_bytes_head(file, 11), PG_LIT("-----BEGIN ")))
        return say(a, PG_ERR_IDENTITY_BAD, " is in PEM form: "
                   "make it a libp2p protobuf with punchgate key import \"%s\" --out FILE", a->path);
    if (file.len < expected_len(file) && file.at[0] == 0x08)
        return say(
            a, PG_ERR_IDENTITY_BAD,
            " is cut off (%zu of %zu bytes): bring it back from a copy, or remove it to become a new peer", file.len, expected_len(file));
    return say(a, PG_ERR_IDENTITY_BAD,
               " is not a libp2p private key: name the right file, or remove it to become a new peer");
}

/* As many bytes as there are, at most room; -1 with errno. */
static ssize_t read_all(int fd, uint8_t *out, size_t room)
{
    size_t n = 0;
    while (n < room) {
        ssize_t got = read(fd, out + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static enum pg_err read_key(struct pg_identity **identity, const struct attempt *a, int fd)
{
    uint8_t file[FILE_MAX];
    ssize_t n = read_all(fd, file, sizeof file);
    enum pg_err err;
    if (n < 0)
        err = say(a, PG_ERR_IDENTITY_BAD, " cannot be read (%s): check the disk", strerror(errno));
    else if (n == 0) /* emptied since we looked */
        err = say(a, PG_ERR_IDENTITY_BAD, " is empty: bring it back from a copy");
    else {
        err = pg_identity_read(identity, pg_bytes(file, (size_t)n));
        if (err != PG_OK)
            err = say_key(a, err, pg_bytes(file, (size_t)n));
    }
    sodium_memzero(file, sizeof file);
    return err;
}

static enum pg_err load(struct pg_identity **identity, const struct attempt *a)
{
    struct stat st;
    /* Non-blocking, so that a named pipe does not hold us up. */
    int fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return say_open(a, errno);
    enum pg_err err = fstat(fd, &st) == 0 ? look_at(a, &st) : say_open(a, errno);
    if (err == PG_OK)
        err = read_key(identity, a, fd);
    close(fd);
    return err;
}

/* Makes the folders before the last slash. */
static bool make_folders(const char *path)
{
    char folder[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof folder) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(folder, path, n + 1);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

/* The folder must be on disk, too, or a crash takes the new name back. Not all file systems can; then nothing is lost. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    memcpy(folder, path, n);
    folder[n] = 0;
    int fd = open(slash ? (n ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Gives the finished file its name, unless the name is taken (EEXIST): another process may have been quicker. */
static bool publish(const char *temporary, const char *path)
{
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    /* An old file system: a hard link refuses a taken name just as well; where there are none, plain renaming is left. */
    if (link(temporary, path) == 0) {
        unlink(temporary);
        return true;
    }
    return errno != EEXIST && rename(temporary, path) == 0;
}

/* The text into fd and down to the disk; closes fd. */
static bool write_text(int fd, struct pg_bytes text)
{
    size_t done = 0;
    int reason = 0;
    while (done < text.len && !reason) {
        ssize_t n = write(fd, text.at + done, text.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            reason = n ? errno : ENOSPC;
    }
    if (!reason && fsync(fd) != 0)
        reason = errno;
    if (close(fd) != 0 && !reason)
        reason = errno;
    errno = reason;
    return reason == 0;
}

/* False with errno; nothing is left behind then. */
static bool make_file(const char *path, struct pg_bytes text)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (!make_folders(path))
        return false;
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return false;
    if (write_text(fd, text) && publish(temporary, path)) {
        sync_folder(path);
        return true;
    }
    int reason = errno;
    unlink(temporary);
    errno = reason;
    return false;
}

static bool make_protobuf(const char *path, const struct pg_identity *identity)
{
    uint8_t file[PG_PRIVATE_PROTO_MAX];
    bool made = make_file(path, pg_bytes(file, pg_identity_protobuf(identity, file)));
    int reason = errno;
    sodium_memzero(file, sizeof file);
    errno = reason;
    return made;
}

static enum pg_err say_unmade(const struct attempt *a, int reason)
{
    return say(a, PG_ERR_IDENTITY_BAD, " cannot be made (%s): mend that, or name a file in another place", strerror(reason));
}

static enum pg_err make(struct pg_identity **identity, enum pg_key_type type, const struct attempt *a, bool *created)
{
    struct pg_identity *fresh = pg_identity_new_of(type);
    if (!fresh)
        return say(a, PG_ERR_NO_MEMORY, "out of memory for a new key: free some");
    if (make_protobuf(a->path, fresh)) {
        *identity = fresh;
        *created = true;
        return PG_OK;
    }
    int reason = errno;
    pg_identity_free(fresh);
    return reason == EEXIST ? load(identity, a) : say_unmade(a, reason);
}

static struct attempt attempt_new(const char *what, const char *path, char *why, size_t room)
{
    if (room)
        why[0] = 0;
    return (struct attempt){what, path, why, room};
}

enum pg_err pg_identity_load(struct pg_identity **identity, const char *path, char *why, size_t why_room)
{
    struct attempt a = attempt_new(identity_file, path, why, why_room);
    *identity = NULL;
    return load(identity, &a);
}

enum pg_err pg_identity_load_or_make(struct pg_identity **identity, const char *path, enum pg_key_type type, char *why,
                                     size_t why_room, bool *created)
{
    struct attempt a = attempt_new(identity_file, path, why, why_room);
    *identity = NULL;
    *created = false;
    enum pg_err err = load(identity, &a);
    if (err != PG_ERR_IDENTITY_MISSING)
        return err;
    a = attempt_new(identity_file, path, why, why_room);
    return make(identity, type, &a, created);
}

enum pg_err pg_identity_copy(const struct pg_identity *identity, const char *path, char *why, size_t why_room)
{
    struct attempt a = attempt_new(identity_file, path, why, why_room);
    struct pg_identity *there;
    if (make_protobuf(path, identity))
        return PG_OK;
    if (errno != EEXIST)
        return say_unmade(&a, errno);
    TRY(load(&there, &a)); /* may leave a warning */
    bool same = pg_peer_id_equal(pg_identity_peer_id(there), pg_identity_peer_id(identity));
    pg_identity_free(there);
    return same ? PG_OK : say(&a, PG_ERR_IDENTITY_BAD, " holds another key: remove it, or name another file");
}

enum pg_err pg_key_file_make(const char *path, struct pg_bytes text, char *why, size_t why_room)
{
    struct attempt a = attempt_new("key file", path, why, why_room);
    if (make_file(path, text))
        return PG_OK;
    if (errno == EEXIST)
        return say(&a, PG_ERR_IDENTITY_BAD, " is there already, and keys are never written over: name a new file with --out FILE");
    return say_unmade(&a, errno);
}

enum pg_err pg_key_file_read(const char *path, uint8_t out[PG_KEY_FILE_MAX], size_t *len, char *why, size_t why_room)
{
    struct attempt a = attempt_new("key file", path, why, why_room);
    struct stat st;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return say_open(&a, errno);
    enum pg_err err = fstat(fd, &st) == 0 ? look_at(&a, &st) : say_open(&a, errno);
    ssize_t n = err == PG_OK ? read_all(fd, out, PG_KEY_FILE_MAX) : 0;
    if (n < 0)
        err = say(&a, PG_ERR_IDENTITY_BAD, " cannot be read (%s): check the disk", strerror(errno));
    else
        *len = (size_t)n;
    close(fd);
    return err;
}
