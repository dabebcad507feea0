/* Fuzz target: datagrams of whoever shares a network with us. Whatever is read of a message is written again and reads back the same;
 * peers that it tells of have an id and addresses that name them; and answers of our own read back, whatever is asked.
 * Run by libFuzzer or by standalone.c. Serves src/core/dns.c and src/core/mdns_message.c. */
#include "core/mdns_message.h"
#include "fuzz.h"

#define ONE "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
#define NAME "abcdefghijklmnopqrstuvwxyz012345"

enum { ROOM = 200000, KEPT = PG_DNS_RECORDS_MAX };

static void look_at(void *context, const struct pg_mdns_heard *h)
{
    unsigned *n = context;
    struct pg_peer_id id;
    FUZZ_WANT(h->peer.len > 0 && h->n_addrs > 0 && h->n_addrs <= PG_MDNS_ADDRS);
    for (uint32_t i = 0; i < h->n_addrs; i++) {
        pg_multiaddr_peer(&h->addrs[i], &id);
        FUZZ_WANT(pg_peer_id_equal(&id, &h->peer));
    }
    FUZZ_WANT(++*n <= PG_MDNS_PEERS_MAX);
}

static void well_formed(const struct pg_dns_name *n)
{
    size_t at = 0;
    while (at < n->len && n->at[at] != 0)
        at += 1u + n->at[at];
    FUZZ_WANT(n->len > 0 && at == n->len - 1u);
}

/* Questions and records without their data, for that may point into the message. */
static void write_again(struct pg_dns_reader *r)
{
    static struct pg_dns_record records[KEPT];
    static uint8_t out[ROOM];
    struct pg_dns_record again;
    struct pg_dns_writer w;
    struct pg_dns_reader back;
    size_t n = 0, len;
    while (pg_dns_next(r, &records[n])) {
        well_formed(&records[n].name);
        FUZZ_WANT(++n <= KEPT);
    }
    pg_dns_begin(&w, out, sizeof out, r->header.id, r->header.flags);
    for (size_t i = 0; i < n; i++) {
        const struct pg_dns_record *one = &records[i];
        if (one->section == PG_DNS_IN_QUESTION) {
            pg_dns_put_question(&w, &one->name, (enum pg_dns_type)one->type);
            continue;
        }
        pg_dns_put_record(&w, one->section, &one->name, (enum pg_dns_type)one->type, one->flag, one->ttl_s);
        pg_dns_end(&w);
    }
    len = pg_dns_finish(&w);
    FUZZ_WANT(len > 0);
    if (len > PG_DNS_MESSAGE_MAX)
        return;
    FUZZ_WANT(pg_dns_open(&back, pg_bytes(out, len)) && back.header.id == r->header.id);
    for (size_t i = 0; i < n; i++)
        FUZZ_WANT(pg_dns_next(&back, &again) && again.section == records[i].section && again.type == records[i].type &&
                  pg_dns_name_equal(&again.name, &records[i].name) && again.ttl_s == records[i].ttl_s);
    FUZZ_WANT(!pg_dns_next(&back, &again) && !back.failed);
}

static void answer(unsigned asked)
{
    static struct pg_multiaddr addrs[PG_MDNS_ADDRS];
    uint8_t out[PG_MDNS_ANSWER_MAX];
    unsigned heard = 0;
    struct pg_mdns_self self = {.name = NAME, .addrs = addrs, .n_addrs = PG_MDNS_ADDRS, .port = 4001, .n_at = 2,
                                .at = {{.family = 4, .ip = {192, 0, 2, 7}}, {.family = 6, .ip = {0xfd, [15] = 1}}}};
    for (unsigned i = 0; i < PG_MDNS_ADDRS; i++)
        FUZZ_WANT(pg_multiaddr_parse(&addrs[i], pg_text("/ip6/fd00:1111:2222:3333:4444:5555:6666:7777/tcp/40001/p2p/" ONE)) == PG_OK);
    size_t n = pg_mdns_write_answer(out, sizeof out, &self, asked, 120);
    FUZZ_WANT(n > 0);
    pg_mdns_read_answer(pg_bytes(out, n), "another", look_at, &heard);
    FUZZ_WANT(heard == ((asked & PG_MDNS_ASKS_PEERS) != 0));
    heard = 0;
    pg_mdns_read_answer(pg_bytes(out, n), NAME, look_at, &heard);
    FUZZ_WANT(heard == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_dns_reader r;
    struct pg_dns_record record;
    struct pg_dns_name target;
    struct pg_bytes in = pg_bytes(data, size), text;
    unsigned heard = 0, asked = pg_mdns_read_query(in, NAME);
    pg_mdns_read_answer(in, "another", look_at, &heard);
    if (asked)
        answer(asked);
    if (!pg_dns_open(&r, in))
        return 0;
    write_again(&r);
    FUZZ_WANT(pg_dns_open(&r, in));
    while (pg_dns_next(&r, &record)) {
        if (pg_dns_target(&r, &record, 0, &target))
            well_formed(&target);
        for (size_t offset = 0; pg_dns_text(&record, &offset, &text);)
            FUZZ_WANT(offset <= record.data.len);
    }
    return 0;
}
