/* The protocols that a multiaddr may name; private to src/crypto's multiaddr files. */
#pragma once
#include <stdint.h>

#include "mem/bytes.h"

/* How the value of a protocol looks, as text and as bytes. */
enum pg_ma_kind {
    PG_MA_KIND_NONE,     /* no value */
    PG_MA_KIND_IP4,      /* dotted quad; 4 bytes */
    PG_MA_KIND_IP6,      /* 16 bytes */
    PG_MA_KIND_PORT,     /* 0 to 65535; 2 bytes, big-endian */
    PG_MA_KIND_BITS,     /* 0 to 128; 1 byte */
    PG_MA_KIND_NUMBER,   /* up to 2^64 - 1; 8 bytes, big-endian */
    PG_MA_KIND_NAME,     /* UTF-8 without slash, space or control letters */
    PG_MA_KIND_PATH,     /* UTF-8 path from its first slash to the end of the address */
    PG_MA_KIND_PEER,     /* peer id; multihash */
    PG_MA_KIND_ONION3,   /* base32 and port; 35 and 2 bytes */
    PG_MA_KIND_GARLIC32, /* base32; 32 bytes, or 35 and more */
    PG_MA_KIND_CERTHASH, /* multibase; multihash */
};

struct pg_ma_protocol {
    uint16_t code; /* enum pg_ma_code */
    int16_t size;  /* bytes of the value; -1: its length stands before it as a varint */
    uint8_t kind;  /* enum pg_ma_kind */
    const char *name;
};

/* NULL when there is no such protocol. By name, ipfs is p2p. */
const struct pg_ma_protocol *pg_ma_protocol_by_code(uint64_t code);
const struct pg_ma_protocol *pg_ma_protocol_by_name(struct pg_bytes name);
