/* The file that makes us the same peer tomorrow: reading it, or making it once.
 * Called by src/cli at start. Holds the PrivateKey message of libp2p/specs peer-ids/peer-ids.md, "Keys", and nothing else, so
 * that rust-libp2p, kubo and the original Punchgate read it too. */
#pragma once
#include "crypto/keys.h"

#define PG_IDENTITY_WHY 512 /* room that every message fits with a path of 256 letters; longer ones are cut */

#define PG_KEY_FILE_MAX 8192  /* no longer file is read: the private key of the longest RSA that libp2p allows fits */

/* Loads the identity at path, of either type. A symbolic link is followed.
 *
 * PG_OK: why is empty, or a warning to log: others may read the file. That is no refusal, because files of the original
 * Punchgate (0644) and mounted secrets of Kubernetes must work; a file that everybody may write is refused.
 * PG_ERR_IDENTITY_MISSING, PG_ERR_IDENTITY_BAD, PG_ERR_NO_MEMORY: why names the file, the reason and what to do, as one
 * sentence without a full stop. */
enum pg_err pg_identity_load(struct pg_identity **identity, const char *path, char *why, size_t why_room);

/* The same, or makes one of this type when there is none; *created tells which.
 *
 * A new file has mode 0600, is written beside its place, synced and renamed, so that a full disk or a crash leaves no half
 * file; missing folders are made with mode 0700. Two processes that start at once end with one identity. */
enum pg_err pg_identity_load_or_make(struct pg_identity **identity, const char *path, enum pg_key_type, char *why,
                                     size_t why_room, bool *created);

/* Writes the identity to path, too, in the same way. A file that holds the same key is left as it is; another one is
 * PG_ERR_IDENTITY_BAD. */
enum pg_err pg_identity_copy(const struct pg_identity *identity, const char *path, char *why, size_t why_room);

/* A new file with a key in any form; PG_ERR_IDENTITY_BAD when there is one already. */
enum pg_err pg_key_file_make(const char *path, struct pg_bytes text, char *why, size_t why_room);

/* Any file that may hold a key, under the rules of pg_identity_load. The caller wipes out. */
enum pg_err pg_key_file_read(const char *path, uint8_t out[PG_KEY_FILE_MAX], size_t *len, char *why, size_t why_room);
