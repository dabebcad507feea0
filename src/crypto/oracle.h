/* What secrets give, seen from outside: so that a run can be recorded without the long-lived ones, and played again without any.
 * Called by keys.c and noise_handshake.c around each use of a secret; the recorder of --trace listens.
 *
 * A recording has the ephemeral keys of its handshakes, results of Diffie-Hellman with the static key, and signatures. With
 * these one can read the recorded connections, which stand in it in the clear anyway, but be nobody: neither the identity's key
 * nor the static key is told. */
#pragma once
#include "mem/bytes.h"

enum pg_oracle { PG_ORACLE_EPHEMERAL, PG_ORACLE_STATIC_PUBLIC, PG_ORACLE_SHARED, PG_ORACLE_SIGNATURE };

/* Who hears the answers; NULL: nobody, as at the start. */
void pg_oracle_listen(void (*tell)(void *context, enum pg_oracle, struct pg_bytes), void *context);
void pg_oracle_tell(enum pg_oracle, const uint8_t *at, size_t n);
/* The recorded answer in place of the secret's: its length, 0 for none. In the program that ships there is never one; tools/replay
 * is linked with another oracle.c. */
size_t pg_oracle_recall(enum pg_oracle, uint8_t *out, size_t room);
