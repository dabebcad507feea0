/* The program. Reads options and hands over to run.c, status.c or key.c. */
#include "cli/run.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

extern char **environ;

/* For a peer SIGHUP means to read its configuration again. One that comes before the peer can do so waits until it can. */
static void hold_hangup(int how)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    (void)sigprocmask(how, &hangup, NULL);
}

int main(int argc, char *argv[])
{
    struct pg_options options;
    hold_hangup(SIG_BLOCK);
    /* A standard stream that the caller has closed must not become a socket of ours. */
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR);
    int status = pg_options_start(&options, argc, argv, environ, PG_VERSION);
    if (status >= 0)
        return status;
    if (options.command != PG_CLI_RUN)
        hold_hangup(SIG_UNBLOCK);
    if (options.command == PG_CLI_CHECK) {
        status = pg_run_check(&options);
    } else if (options.command == PG_CLI_ID) {
        status = pg_run_id(&options);
    } else if (options.command == PG_CLI_STATUS) {
        status = pg_run_status(&options);
    } else if (options.command >= PG_CLI_KEY_NEW && options.command <= PG_CLI_KEY_EXPORT) {
        status = pg_run_key(&options);
    } else {
        status = pg_run(&options);
    }
    pg_options_free(&options);
    return status;
}
