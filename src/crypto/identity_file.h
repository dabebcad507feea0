/* The file that makes us the same peer tomorrow: reading it, or making it once.
 * Called by src/cli at start. Holds the PrivateKey message of libp2p/specs peer-ids/peer-ids.md, "Keys", and nothing else, so
 * that rust-libp2p, kubo and the original Punchgate read it too. */
#pragma once
#include "crypto/keys.h"

#define PG_IDENTITY_WHY 512 /* room that every message fits with a path of 256 letters; longer ones are cut */

/* Loads the identity at path, or makes one when there is none and create is true.
 *
 * A new file has mode 0600, is written beside its place, synced and renamed, so that a full disk or a crash leaves no half
 * file; missing folders are made with mode 0700. Two processes that start at once end with one identity. A symbolic link
 * is followed for reading only. With create false nothing is ever made.
 *
 * PG_OK: why is empty, or a warning to log: others may read the file. That is no refusal, because files of the original
 * Punchgate (0644) and mounted secrets of Kubernetes must work; a file that everybody may write is refused.
 * PG_ERR_IDENTITY_MISSING (create was false), PG_ERR_IDENTITY_BAD, PG_ERR_NO_MEMORY: why names the file, the reason and
 * what to do, as one sentence without a full stop. *created, when not NULL, tells whether the file is new. */
enum pg_err pg_identity_load(struct pg_identity **identity, const char *path, bool create, char *why, size_t why_room,
                             bool *created);
