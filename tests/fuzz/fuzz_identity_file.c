/* Fuzz target: any file as identity: it is an identity that can be written again, or refused in one line that names the file.
 * Run by libFuzzer or by standalone.c; the file is in memory.
 * Serves src/crypto/identity_file.h. */
#include "crypto/identity_file.h"
#include "fuzz.h"
#include "memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[PG_IDENTITY_WHY], path[64];
    struct pg_identity *identity = NULL;
    int fd = memory_file(data, size, path);
    enum pg_err err = pg_identity_load(&identity, path, why, sizeof why);
    struct pg_line line = {.at = why, .len = strlen(why), .room = sizeof why - 1};
    one_line(err, &line, path);
    FUZZ_WANT((err == PG_OK) == (identity != NULL));
    pg_identity_free(identity);
    close(fd);
    return 0;
}
