/* A run of a core, written down at its border (runtime/port.h): everything that went in, everything that came out.
 * Made by src/cli for --trace and read by tools/replay. Knows no protocol, and no core.
 *
 * A file is the letters of PG_RECORD_MAGIC and then records: a letter, numbers as variable-length integers (7 bits a byte, the
 * lowest first), and bytes behind their length. It ends with a record End, or with zeros when the process was killed. */
#pragma once
#include "port.h"

#define PG_RECORD_MAGIC "punchgate trace 1\n"

enum pg_record_kind {
    PG_RECORD_END = 'E',      /* status */
    PG_RECORD_FACT = 'F',     /* enum pg_record_fact, bytes: what the run began with */
    PG_RECORD_ANSWER = 'O',   /* kind, bytes: what a secret gave, of src/crypto/oracle.h */
    PG_RECORD_INPUT = 'I',    /* see pg_record_input */
    PG_RECORD_COMMAND = 'C',  /* bytes: see pg_record_command */
    PG_RECORD_DRAINED = 'N',  /* poll had no more */
    PG_RECORD_DEADLINE = 'D', /* microseconds, when it is another than before */
    PG_RECORD_WANT = 'A',     /* link, how much */
    PG_RECORD_LINK = 'L',     /* number of the fresh link, 0: too many */
    PG_RECORD_UNLINK = 'U',   /* link */
    PG_RECORD_WROTE = 'W',    /* link, n, hash of the first n bytes of its queue, which are dropped then */
};

enum pg_record_fact { PG_RECORD_OPTION, PG_RECORD_PUBLIC_KEY, PG_RECORD_SEEDS /* seed, hash_seed, unix_offset_us */ };

#define PG_RECORD_COMMAND_MAX 4096u
/* The command as it stands in the file: kind, link, mode, status, number, both endpoints, then host, path and text, of each
 * its length, at most 1,000 bytes, and a hash when it is longer. Returns the length. */
size_t pg_record_command(uint8_t out[PG_RECORD_COMMAND_MAX], const struct pg_command *);
uint64_t pg_record_hash(uint64_t before, struct pg_bytes);
size_t pg_record_number(uint8_t out[10], uint64_t);
size_t pg_record_endpoint(uint8_t out[40], const struct pg_endpoint *);

/* Which parts of an input stand in its record, in this order, behind kind, microseconds since the last one, link. */
enum {
    PG_RECORD_HAS_FRESH = 1,     /* link */
    PG_RECORD_HAS_DATA = 2,      /* bytes */
    PG_RECORD_HAS_REASON = 4,    /* error, bytes */
    PG_RECORD_HAS_ENDPOINTS = 8, /* remote, local */
    PG_RECORD_HAS_ANSWER = 16,   /* number (of a question or a socket), n_found; endpoints or texts (with HAS_TEXTS) */
    PG_RECORD_HAS_TEXTS = 32,
    PG_RECORD_HAS_ORIGIN = 64,   /* of a datagram: hops, on_link */
};

struct pg_recorder;
/* A new file of mode 0600 that nobody else can have put there; NULL with errno else. */
struct pg_recorder *pg_recorder_new(const char *path);
void pg_recorder_fact(struct pg_recorder *, enum pg_record_fact, struct pg_bytes);
void pg_recorder_answer(struct pg_recorder *, unsigned kind, struct pg_bytes);
/* A core that passes everything on and writes it down. */
struct pg_core pg_recorder_core(struct pg_recorder *, const struct pg_core *inner);
/* The loop is about to drop the first n bytes of the link's queue. */
void pg_recorder_wrote(struct pg_recorder *, const struct pg_link *, size_t n);
/* 0, or errno of what has ended the recording before its time; the run went on without. */
int pg_recorder_free(struct pg_recorder *, int status);
