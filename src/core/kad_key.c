/* Places in the key space and distances between them; see kad_key.h. Called by everything of Kademlia.
 * Serves libp2p/specs kad-dht/README.md, "Distance": XOR of SHA-256, read as a big-endian number. */
#include "core/kad_key.h"

#include "crypto/hash.h"

#include <assert.h>

static_assert(sizeof(struct pg_kad_key) == PG_SHA256, "a place is a SHA-256");

void pg_kad_key_of(struct pg_kad_key *key, struct pg_bytes raw)
{
    pg_sha256(key->at, raw);
}

void pg_kad_key_of_peer(struct pg_kad_key *key, const struct pg_peer_id *id)
{
    pg_sha256(key->at, pg_bytes(id->at, id->len));
}

int pg_kad_nearer(const struct pg_kad_key *target, const struct pg_kad_key *a, const struct pg_kad_key *b)
{
    for (unsigned i = 0; i < sizeof target->at; i++)
        if (a->at[i] != b->at[i])
            return (a->at[i] ^ target->at[i]) - (b->at[i] ^ target->at[i]);
    return 0;
}

void pg_kad_distance(const struct pg_kad_key *a, const struct pg_kad_key *b, struct pg_kad_key *out)
{
    for (unsigned i = 0; i < sizeof out->at; i++)
        out->at[i] = a->at[i] ^ b->at[i];
}

uint32_t pg_kad_common_bits(const struct pg_kad_key *a, const struct pg_kad_key *b)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < sizeof a->at; i++, bits += 8)
        for (uint8_t differ = a->at[i] ^ b->at[i]; differ; differ = (uint8_t)(differ << 1), bits++)
            if (differ & 0x80)
                return bits;
    return bits;
}

bool pg_kad_service_key(struct pg_bytes name, uint8_t out[PG_KAD_SERVICE_KEY_MAX], size_t *len)
{
    static const char prefix[] = "/punchgate/svc/";
    if (name.len == 0 || name.len > 255)
        return false;
    memcpy(out, prefix, sizeof prefix - 1);
    memcpy(out + sizeof prefix - 1, name.at, name.len);
    *len = sizeof prefix - 1 + name.len;
    return true;
}

size_t pg_kad_addrs_pack(const struct pg_multiaddr *addrs, uint32_t n_addrs, uint8_t *out, size_t room, uint8_t *n)
{
    size_t used = 0;
    *n = 0;
    for (uint32_t i = 0; i < n_addrs && *n < PG_KAD_ADDRS; i++) {
        if (addrs[i].len == 0 || addrs[i].len > UINT8_MAX || used + 1 + addrs[i].len > room)
            continue;
        out[used++] = (uint8_t)addrs[i].len;
        memcpy(out + used, addrs[i].at, addrs[i].len);
        used += addrs[i].len;
        ++*n;
    }
    return used;
}

uint32_t pg_kad_addrs_unpack(struct pg_bytes packed, struct pg_multiaddr out[PG_KAD_ADDRS])
{
    uint32_t n = 0;
    while (packed.len > 0 && n < PG_KAD_ADDRS) {
        out[n].len = packed.at[0];
        memcpy(out[n].at, packed.at + 1, out[n].len);
        packed = pg_bytes_skip(packed, 1u + out[n++].len);
    }
    return n;
}
