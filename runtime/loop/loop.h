/* The real world: libuv, sockets and a clock, driving one core through runtime/port.h.
 * Called by src/cli only. */
#pragma once
#include "port.h"

struct pg_loop;

/* NULL when the system gives no event loop. The core must outlive the loop. */
struct pg_loop *pg_loop_new(const struct pg_core *);
/* Makes a link of two open file descriptors (may be equal); they stay the caller's and are not closed.
 * Call before pg_loop_run; the core gets PG_INPUT_CONNECTED for it right after PG_INPUT_START. */
bool pg_loop_adopt(struct pg_loop *, int read_fd, int write_fd);
/* Asks these servers about names, at most eight, instead of the system's; before pg_loop_run. */
bool pg_loop_name_server(struct pg_loop *, const struct pg_endpoint *);
/* Lets this process open as many files as the system permits it, and says how many: what a shell starts may be held to 1024,
 * which was meant for programs that use select(). */
uint64_t pg_loop_files(void);
/* Runs until PG_COMMAND_STOP; returns its status. */
int pg_loop_run(struct pg_loop *);
/* After it: errno of an adopted descriptor that did not take all that its link had left when the core closed it, else 0. */
int pg_loop_unwritten(const struct pg_loop *);
void pg_loop_free(struct pg_loop *);

/* What PG_COMMAND_READY and PG_COMMAND_REPORT are given to. */
struct pg_loop_hooks {
    void (*ready)(void *context);
    bool (*report)(void *context, struct pg_bytes text); /* false: it did not arrive, and the core is asked to stop */
    void (*wrote)(void *context, const struct pg_link *, size_t n); /* the first n bytes of its queue, which go now; may be NULL */
    /* SIGHUP: what PG_INPUT_RELOAD is to bring, or false when everything stays. NULL: the signal does what it usually does. */
    bool (*reload)(void *context, uint8_t **data, size_t *len);
    void *context;
};
void pg_loop_hooks(struct pg_loop *, struct pg_loop_hooks);

/* The clock that cores are told: microseconds since the machine started, never set back. */
uint64_t pg_loop_now_us(void);
/* What makes that time the one since 1970. It changes when the machine's clock is set, and when the machine sleeps. */
uint64_t pg_loop_unix_offset_us(void);
