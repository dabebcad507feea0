/* Secret memory: fixed slots for keys, in a few locked slabs that core dumps leave out.
 * Used by src/crypto for every private, chaining and handshake key; knows no protocol. One mapping per key
 * would exhaust the kernel's limit (65,530 mappings, each sodium_malloc costs four), hence slabs. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PG_SECRET_ROOM 64 /* bytes in every slot: an ed25519 key pair, or two 32-byte keys */
#define PG_SECRETS_MOST 524288u /* as the connections of ten thousand peers in one process need */

/* A handle, not the secret: copying or printing it reveals an address at most. All zero means "none". */
struct pg_secret {
    uint8_t *at;   /* PG_SECRET_ROOM bytes, 64-byte aligned */
    uint32_t slot; /* which slot it is; for pg_secret_free only */
};

/* Takes a slot, all zero. False when memory is short or all PG_SECRETS_MOST slots are taken; *s is "none" then.
 * May be called from any thread. Starts libsodium, so whoever holds a secret may call libsodium. */
bool pg_secret_new(struct pg_secret *s);

/* Wipes the slot, gives it back and makes *s "none"; does nothing for "none". Freeing a copy of a handle
 * that was freed already stops the program. */
void pg_secret_free(struct pg_secret *s);

/* Slots taken now: tests and the status page ask whether anything leaks. */
uint32_t pg_secrets_held(void);
