/* DNS messages, as far as multicast DNS needs them: names with compression, questions, records. Reads and writes, opens nothing.
 * Used by src/core/mdns_message.c. Serves RFC 1035 section 4.1 and RFC 6762 section 18. */
#pragma once
#include "dns.wire.gen.h"
#include "wire/cursor.h"

#define PG_DNS_MESSAGE_MAX 9000u /* RFC 6762 section 17; what is longer is not read */
#define PG_DNS_RECORDS_MAX 256u  /* that are read of one message, questions among them */
#define PG_DNS_SUFFIXES 24u      /* names and parts of names that a writer remembers */

enum pg_dns_type { PG_DNS_A = 1, PG_DNS_PTR = 12, PG_DNS_TXT = 16, PG_DNS_AAAA = 28, PG_DNS_SRV = 33, PG_DNS_ANY = 255 };
enum { PG_DNS_IN = 1 };
enum pg_dns_section { PG_DNS_IN_QUESTION, PG_DNS_IN_ANSWER, PG_DNS_IN_AUTHORITY, PG_DNS_IN_ADDITIONAL, PG_DNS_SECTIONS };

/* Labels, each behind its length, with the empty one at the end: at most 255 bytes, RFC 1035 section 2.3.4. */
struct pg_dns_name {
    uint8_t len, at[255];
};

/* Of text with dots between labels, which holds nothing but its owner's words. */
void pg_dns_name_of(struct pg_dns_name *, const char *text);
/* LABEL and then the name. False when it does not fit. */
bool pg_dns_name_below(struct pg_dns_name *out, struct pg_bytes label, const struct pg_dns_name *name);
/* Letters of either case are the same, RFC 1035 section 2.3.3. */
bool pg_dns_name_equal(const struct pg_dns_name *, const struct pg_dns_name *);

/* A question or a record. Data is borrowed from the message. */
struct pg_dns_record {
    enum pg_dns_section section;
    uint16_t type, class; /* class without its highest bit */
    bool flag;            /* that bit: QU of a question, cache-flush of a record */
    uint32_t ttl_s;
    struct pg_dns_name name;
    struct pg_bytes data;
};

struct pg_dns_reader {
    struct pg_dns_header header;
    struct pg_bytes message;
    struct pg_cursor at;
    uint16_t left[PG_DNS_SECTIONS];
    uint16_t read; /* questions and records so far */
    bool failed;   /* what follows cannot be read; what came before has been as it should */
};
/* False: not a message that is read: too long, too short, or with another opcode than a query's. */
bool pg_dns_open(struct pg_dns_reader *, struct pg_bytes message);
/* False: nothing more, be it that the rest is broken or that it is too much. */
bool pg_dns_next(struct pg_dns_reader *, struct pg_dns_record *);
/* The name that a record of type PTR holds, or behind `skip` bytes one of another type. */
bool pg_dns_target(const struct pg_dns_reader *, const struct pg_dns_record *, size_t skip, struct pg_dns_name *);
/* The strings of a TXT record: start with *offset 0; false at the end, or when one does not fit. */
bool pg_dns_text(const struct pg_dns_record *, size_t *offset, struct pg_bytes *);

struct pg_dns_writer {
    struct pg_writer to;
    struct pg_dns_header header;
    size_t length_at;                  /* of the record that is being written */
    uint16_t suffix[PG_DNS_SUFFIXES];  /* where names begin that may be pointed to */
    uint8_t n_suffixes;
};
void pg_dns_begin(struct pg_dns_writer *, void *to, size_t room, uint16_t id, uint16_t flags);
void pg_dns_put_question(struct pg_dns_writer *, const struct pg_dns_name *, enum pg_dns_type);
/* Name and fixed part of a record; its data follows, and then pg_dns_end. Sections are written in their order. */
void pg_dns_put_record(struct pg_dns_writer *, enum pg_dns_section, const struct pg_dns_name *, enum pg_dns_type, bool flush, uint32_t ttl_s);
void pg_dns_put_name(struct pg_dns_writer *, const struct pg_dns_name *);
void pg_dns_put_text(struct pg_dns_writer *, struct pg_bytes); /* one string of at most 255 bytes */
void pg_dns_end(struct pg_dns_writer *);
/* The message's length; 0 when something did not fit. */
size_t pg_dns_finish(struct pg_dns_writer *);
