/* A file that exists in memory only, for targets that read files; and what its refusal must look like.
 * Used by fuzz_config.c, fuzz_options.c and fuzz_identity_file.c.
 * Serves docs/STYLE.md, "Messages for people". */
#pragma once
#include "errors.gen.h"
#include "trace/line.h"
#include "fuzz.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its path goes into `path`; the descriptor is the caller's. */
static inline int memory_file(const uint8_t *data, size_t size, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) != 0 || (size > 0 && write(fd, data, size) != (ssize_t)size))
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* Success says nothing; a failure says one line without control characters, and names what it is about. */
static inline void one_line(enum pg_err err, const struct pg_line *why, const char *about)
{
    FUZZ_WANT((err == PG_OK) == (why->len == 0));
    for (size_t i = 0; i < why->len; i++)
        FUZZ_WANT((unsigned char)why->at[i] >= 0x20 && why->at[i] != 0x7f);
    FUZZ_WANT(err == PG_OK || !about || strstr(why->at, about));
}
