/* The value of one multiaddr part, as text and as bytes; private to src/crypto's multiaddr files. */
#pragma once
#include "crypto/multiaddr_table.h"

/* Whether bytes are a value that the protocol allows; their number is checked here for protocols of any length only. */
bool pg_ma_value_check(const struct pg_ma_protocol *protocol, struct pg_bytes value);

/* Text between two slashes (for a path: all that is left, with its first slash) to bytes. The result is checked. */
bool pg_ma_value_parse(const struct pg_ma_protocol *protocol, struct pg_bytes text, uint8_t *out, size_t room, size_t *len);

/* A checked value's text without NUL; its length, or 0 when it does not fit room. A path starts with its slash. */
size_t pg_ma_value_text(const struct pg_ma_protocol *protocol, struct pg_bytes value, char *out, size_t room);
