/* Keys and values of the DHT as users write and read them. Called by src/cli and by the command dht.
 * Serves multiformats/cid README.md, "How does it work?": what is asked for in the DHT is a CID's multihash. */
#pragma once
#include "core/kad_key.h"

/* Text, or with 0x before it what its hex digits mean. False: broken digits, or more than room. */
bool pg_kad_octets_read(struct pg_bytes text, uint8_t *out, size_t room, size_t *len);
/* The same; and a CID (of version 1, in any multibase that we read) or a peer id (which CIDs of version 0 look like) stands for
 * its multihash. False for an empty key, too. */
bool pg_kad_key_read(struct pg_bytes text, uint8_t out[PG_KAD_KEY_MAX], size_t *len);
/* The other way: printable UTF-8 is shown as it is, unless it would be read as hex; all else as 0x and hex. The length without
 * NUL; 0 for nothing, and when it does not fit. */
size_t pg_kad_octets_text(struct pg_bytes octets, char *out, size_t room);
