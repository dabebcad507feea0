/* The command status: asks the running peer over its control socket and prints what it says.
 * Called by main.c; the other end is src/service/control.c. */
#include "cli/run.h"
#include "trace/output.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int fail(const struct pg_options *o, enum pg_err err, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "control socket %s: %s; is a peer running there? (--control PATH)", o->values.control, what);
    return pg_out_failure(o->values.json, err, pg_text(text));
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Prints the answer until its end. */
static int print_answer(const struct pg_options *o, int fd)
{
    int64_t until = now_ms() + (int64_t)o->values.timeout_ms;
    char text[16384];
    for (bool any = false;; any = true) {
        int64_t left = until - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, left > 0 ? (int)left : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return fail(o, PG_ERR_TIMEOUT, "no answer in time");
        ssize_t n = read(fd, text, sizeof text);
        if (n < 0)
            return fail(o, PG_ERR_UNREACHABLE, strerror(errno));
        if (n == 0)
            return any ? 0 : fail(o, PG_ERR_CLOSED, "the peer closed it without an answer, perhaps for want of memory");
        int status = pg_out_result(pg_bytes(text, (size_t)n));
        if (status != 0)
            return status;
    }
}

int pg_run_status(const struct pg_options *o)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!o->values.control)
        return pg_out_failure(o->values.json, PG_ERR_USAGE, PG_LIT("--control off leaves nobody to ask; give the peer's socket"));
    if (strlen(o->values.control) >= sizeof a.sun_path)
        return fail(o, PG_ERR_USAGE, "the path is too long for a socket");
    memcpy(a.sun_path, o->values.control, strlen(o->values.control) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(o, PG_ERR_IO, strerror(errno));
    const char *ask = o->values.json ? "status json\n" : "status text\n";
    int status;
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        status = fail(o, errno == EACCES ? PG_ERR_LOCAL_NO_PERMISSION : PG_ERR_UNREACHABLE, strerror(errno));
    else if (!pg_out_write(fd, pg_text(ask)))
        status = fail(o, PG_ERR_UNREACHABLE, strerror(errno));
    else
        status = print_answer(o, fd);
    close(fd);
    return status;
}
