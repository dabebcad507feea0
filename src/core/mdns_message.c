/* libp2p's form of multicast DNS. Go's library drops an answer without SRV and A or AAAA, rust reads TXT out of the additional records
 * alone, JavaScript writes it among the answers: so everything is written, TXT behind the answers, and TXT is read from anywhere.
 * Called by mdns.c. Serves libp2p/specs discovery/mdns.md, "Peer Discovery" and "DNS Service Discovery". */
#include "core/mdns_message.h"

#include <assert.h>

#define SERVICE "_p2p._udp.local"
#define SERVICES "_services._dns-sd._udp.local"
#define ATTRIBUTE "dnsaddr="

enum { TEXT_MOST = 255 };

/* All names that matter here: the service, the list of services, our own instance and host. */
struct names {
    struct pg_dns_name service, services, instance, host;
};

static void make_names(const char *own, struct names *n)
{
    struct pg_dns_name local;
    pg_dns_name_of(&local, "local");
    pg_dns_name_of(&n->service, SERVICE);
    pg_dns_name_of(&n->services, SERVICES);
    bool fit = pg_dns_name_below(&n->instance, pg_text(own), &n->service) && pg_dns_name_below(&n->host, pg_text(own), &local);
    assert(fit);
    (void)fit;
}

/* Writing. */

size_t pg_mdns_write_query(uint8_t *to, size_t room, uint16_t id)
{
    struct pg_dns_name service;
    struct pg_dns_writer w;
    pg_dns_name_of(&service, SERVICE);
    pg_dns_begin(&w, to, room, id, 0);
    pg_dns_put_question(&w, &service, PG_DNS_PTR);
    return pg_dns_finish(&w);
}

static void put_pointer(struct pg_dns_writer *w, const struct pg_dns_name *from, const struct pg_dns_name *to, uint32_t ttl_s)
{
    pg_dns_put_record(w, PG_DNS_IN_ANSWER, from, PG_DNS_PTR, false, ttl_s);
    pg_dns_put_name(w, to);
    pg_dns_end(w);
}

/* One string for each address. What does not fit is left out: the others lead to the same peer. */
static void put_texts(struct pg_dns_writer *w, enum pg_dns_section section, const struct pg_dns_name *instance,
                      const struct pg_mdns_self *self, size_t keep, uint32_t ttl_s)
{
    char text[TEXT_MOST + 1], addr[PG_MULTIADDR_TEXT];
    const size_t prefix = sizeof ATTRIBUTE - 1;
    pg_dns_put_record(w, section, instance, PG_DNS_TXT, true, ttl_s);
    memcpy(text, ATTRIBUTE, prefix);
    for (uint32_t i = 0; i < self->n_addrs; i++) {
        size_t n = pg_multiaddr_text(&self->addrs[i], addr, sizeof addr);
        if (n == 0 || prefix + n > TEXT_MOST || w->to.len + 1 + prefix + n + keep > w->to.room)
            continue;
        memcpy(text + prefix, addr, n);
        pg_dns_put_text(w, pg_bytes(text, prefix + n));
    }
    pg_dns_end(w);
}

static void put_server(struct pg_dns_writer *w, enum pg_dns_section section, const struct pg_dns_name *instance,
                       const struct pg_dns_name *host, uint16_t port, uint32_t ttl_s)
{
    enum { FIXED = 6 };
    pg_dns_put_record(w, section, instance, PG_DNS_SRV, true, ttl_s);
    uint8_t *fixed = pg_put_room(&w->to, FIXED);
    if (fixed)
        pg_dns_srv_header_write(&(struct pg_dns_srv_header){.port = port}, fixed);
    pg_dns_put_name(w, host);
    pg_dns_end(w);
}

static void put_hosts(struct pg_dns_writer *w, enum pg_dns_section section, const struct pg_dns_name *host, const struct pg_mdns_self *self,
                      uint32_t ttl_s)
{
    for (uint32_t i = 0; i < self->n_at; i++) {
        bool four = self->at[i].family == 4;
        pg_dns_put_record(w, section, host, four ? PG_DNS_A : PG_DNS_AAAA, true, ttl_s);
        pg_put_bytes(&w->to, pg_bytes(self->at[i].ip, four ? 4 : 16));
        pg_dns_end(w);
    }
}

size_t pg_mdns_write_answer(uint8_t *to, size_t room, const struct pg_mdns_self *self, unsigned asked, uint32_t ttl_s)
{
    enum { SERVER_ROOM = 64, HOST_ROOM = 28 };
    bool peers = asked & PG_MDNS_ASKS_PEERS, instance_asked = asked & PG_MDNS_ASKS_INSTANCE, host_asked = asked & PG_MDNS_ASKS_HOST;
    struct names n;
    struct pg_dns_writer w;
    make_names(self->name, &n);
    pg_dns_begin(&w, to, room, 0, PG_DNS_RESPONSE | PG_DNS_AUTHORITATIVE);
    if (asked & PG_MDNS_ASKS_SERVICES)
        put_pointer(&w, &n.services, &n.service, ttl_s);
    if (peers)
        put_pointer(&w, &n.service, &n.instance, ttl_s);
    /* Answers come before what is added to them: so what was asked for by its own name stands before the rest. */
    for (unsigned section = PG_DNS_IN_ANSWER; section <= PG_DNS_IN_ADDITIONAL; section++) {
        bool answers = section == PG_DNS_IN_ANSWER, more = section == PG_DNS_IN_ADDITIONAL;
        bool own = (instance_asked && answers) || (peers && !instance_asked && more);
        if (own)
            put_texts(&w, (enum pg_dns_section)section, &n.instance, self, SERVER_ROOM + self->n_at * HOST_ROOM, ttl_s);
        if (own)
            put_server(&w, (enum pg_dns_section)section, &n.instance, &n.host, self->port, ttl_s);
        if ((host_asked && answers) || ((peers || instance_asked) && !host_asked && more))
            put_hosts(&w, (enum pg_dns_section)section, &n.host, self, ttl_s);
    }
    return pg_dns_finish(&w);
}

/* Reading. */

static bool is_type(const struct pg_dns_record *r, enum pg_dns_type a, enum pg_dns_type b)
{
    return r->type == a || r->type == b || r->type == PG_DNS_ANY;
}

unsigned pg_mdns_read_query(struct pg_bytes message, const char *own)
{
    struct names n;
    struct pg_dns_reader r;
    struct pg_dns_record q;
    unsigned asked = 0;
    if (!pg_dns_open(&r, message) || (r.header.flags & PG_DNS_RESPONSE))
        return 0;
    make_names(own, &n);
    while (pg_dns_next(&r, &q) && q.section == PG_DNS_IN_QUESTION) {
        if (q.class != PG_DNS_IN && q.class != PG_DNS_ANY)
            continue;
        if (is_type(&q, PG_DNS_PTR, PG_DNS_PTR) && pg_dns_name_equal(&q.name, &n.service))
            asked |= PG_MDNS_ASKS_PEERS;
        else if (is_type(&q, PG_DNS_PTR, PG_DNS_PTR) && pg_dns_name_equal(&q.name, &n.services))
            asked |= PG_MDNS_ASKS_SERVICES;
        else if (is_type(&q, PG_DNS_SRV, PG_DNS_TXT) && pg_dns_name_equal(&q.name, &n.instance))
            asked |= PG_MDNS_ASKS_INSTANCE;
        else if (is_type(&q, PG_DNS_A, PG_DNS_AAAA) && pg_dns_name_equal(&q.name, &n.host))
            asked |= PG_MDNS_ASKS_HOST;
    }
    return asked;
}

/* The first id that is named is whom the record tells of. Addresses of other transports would only take the place of those that
 * can be dialled. */
static void take_text(struct pg_mdns_heard *h, struct pg_bytes text)
{
    const size_t prefix = sizeof ATTRIBUTE - 1;
    struct pg_multiaddr addr;
    struct pg_endpoint at;
    struct pg_peer_id id;
    if (text.len <= prefix || memcmp(text.at, ATTRIBUTE, prefix) != 0 || h->n_addrs == PG_MDNS_ADDRS)
        return;
    if (pg_multiaddr_parse(&addr, pg_bytes_skip(text, prefix)) != PG_OK)
        return;
    if (pg_multiaddr_tcp(&addr, &at, &id) != PG_OK || !id.len || (h->peer.len && !pg_peer_id_equal(&id, &h->peer)))
        return;
    h->peer = id;
    h->addrs[h->n_addrs++] = addr;
}

static void take_texts(struct pg_bytes message, const struct pg_dns_name *instance, struct pg_mdns_heard *h)
{
    struct pg_dns_reader r;
    struct pg_dns_record record;
    struct pg_bytes text;
    bool open = pg_dns_open(&r, message);
    assert(open && "it has been opened before");
    (void)open;
    while (pg_dns_next(&r, &record)) {
        bool of_it = record.section != PG_DNS_IN_QUESTION && record.type == PG_DNS_TXT && pg_dns_name_equal(&record.name, instance);
        for (size_t offset = 0; of_it && pg_dns_text(&record, &offset, &text);)
            take_text(h, text);
    }
}

/* rust-libp2p's instances have names of one label, which stand in no service. */
void pg_mdns_read_answer(struct pg_bytes message, const char *own, void (*each)(void *, const struct pg_mdns_heard *), void *context)
{
    struct pg_dns_name target;
    struct names n;
    struct pg_dns_reader r;
    struct pg_dns_record record;
    struct pg_mdns_heard heard;
    unsigned peers = 0;
    if (!pg_dns_open(&r, message) || !(r.header.flags & PG_DNS_RESPONSE))
        return;
    make_names(own, &n);
    while (peers < PG_MDNS_PEERS_MAX && pg_dns_next(&r, &record)) {
        if (record.section == PG_DNS_IN_QUESTION || record.type != PG_DNS_PTR || record.class != PG_DNS_IN ||
            !pg_dns_name_equal(&record.name, &n.service) || !pg_dns_target(&r, &record, 0, &target) ||
            pg_dns_name_equal(&target, &n.instance))
            continue;
        peers++;
        heard = (struct pg_mdns_heard){.ttl_s = record.ttl_s};
        take_texts(message, &target, &heard);
        if (heard.peer.len)
            each(context, &heard);
    }
}
