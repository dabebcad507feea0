/* The program. Reads options and hands over to run.c or status.c. */
#include "cli/run.h"

extern char **environ;

int main(int argc, char *argv[])
{
    struct pg_options options;
    int status = pg_options_start(&options, argc, argv, environ, PG_VERSION);
    if (status >= 0)
        return status;
    if (options.command == PG_CLI_ID) {
        status = pg_run_id(&options);
    } else if (options.command == PG_CLI_STATUS) {
        status = pg_run_status(&options);
    } else {
        status = pg_run(&options);
    }
    pg_options_free(&options);
    return status;
}
