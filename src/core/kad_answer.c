/* What an answer brings, and what a request says. Everything that is named by others is looked at here: ids, addresses, values.
 * Called by kad_request.c. Source: libp2p/specs kad-dht/README.md, "RPC messages"; whom to believe about addresses is offered.h's. */
#include "core/kad_validate.h"
#include "core/node_internal.h"
#include "core/offered.h"

#include "kad.pb.gen.h"
#include "mem/heap.h"

static bool is_us(const struct pg_node *n, const struct pg_peer_id *id)
{
    return pg_peer_id_equal(id, pg_identity_peer_id(n->config.identity));
}

/* A peer that somebody at `from` names, with those of its addresses that may be dialled. False: no peer, or ourselves. */
static bool read_peer(struct pg_node *n, const struct pg_endpoint *from, struct pg_bytes text, struct pg_kad_contact *out)
{
    struct pg_pb_kad_peer peer;
    struct pg_multiaddr own[PG_NODE_ADDRS];
    out->n_addrs = 0;
    if (pg_pb_kad_peer_read(&peer, text) != PG_OK || pg_peer_id_read(&out->id, peer.id) != PG_OK || is_us(n, &out->id))
        return false;
    struct pg_offer offer = {&out->id, pg_identity_peer_id(n->config.identity), from, own, pg_node_addrs(n, own), 0};
    for (uint32_t i = 0; i < peer.n_addrs && out->n_addrs < PG_KAD_ADDRS; i++) {
        struct pg_multiaddr *addr = &out->addrs[out->n_addrs];
        if (pg_multiaddr_read(addr, peer.addrs[i]) != PG_OK || !pg_offer_good(&offer, addr))
            continue;
        pg_multiaddr_strip_p2p(addr);
        out->n_addrs++;
    }
    return true;
}

static bool is_told(const struct pg_kad_query *q, const struct pg_peer_id *id)
{
    for (uint32_t i = 0; i < q->n_found; i++)
        if (pg_peer_id_equal(&q->found[i], id))
            return true;
    return false;
}

static bool is_wanted(const struct pg_kad_query *q, const struct pg_peer_id *id)
{
    bool wanted = !q->only;
    for (uint32_t i = 0; i < q->n_only && !wanted; i++)
        wanted = pg_peer_id_equal(&q->only[i], id);
    return wanted;
}

bool pg_kad_query_find(struct pg_kad_query *q, const struct pg_kad_contact *peer)
{
    if (is_told(q, &peer->id)) {
        pg_contacts_hear(q->node, &peer->id, peer->addrs, peer->n_addrs); /* for whoever is about to dial it */
        if (!q->forgotten && q->asker && q->asker->more)
            q->asker->more(q->asker, peer);
        return false;
    }
    if (q->forgotten || q->n_found == PG_KAD_FOUND || !is_wanted(q, &peer->id))
        return false;
    q->found[q->n_found++] = peer->id;
    if (q->asker && q->asker->found)
        q->asker->found(q->asker, peer);
    return true;
}

static bool find(struct pg_kad_query *q, const struct pg_kad_request *r, const struct pg_kad_contact *peer)
{
    if (q->n_found == 0)
        q->hops = pg_kad_frontier_walker(&q->frontier, r->walker)->hops;
    return pg_kad_query_find(q, peer);
}

/* Servers nearer to the key. One without an address that may be dialled is of use only when it is known otherwise. */
static void take_closer(struct pg_kad_query *q, struct pg_kad_request *r, const struct pg_pb_kad_message *m)
{
    struct pg_kad_contact peer;
    for (uint32_t i = 0; i < m->n_closer_peers; i++) {
        if (!read_peer(q->node, &r->session->conn->remote, m->closer_peers[i], &peer))
            continue;
        pg_kad_where(q->node, &peer);
        if (peer.n_addrs == 0 && !pg_node_session(q->node, &peer.id))
            continue;
        if (q->op == PG_KAD_FIND_PEER && pg_bytes_equal(pg_bytes(peer.id.at, peer.id.len), pg_bytes(q->key, q->key_len)))
            (void)find(q, r, &peer);
        pg_kad_frontier_hear(&q->frontier, r->walker, &peer);
    }
}

static void take_providers(struct pg_kad_query *q, struct pg_kad_request *r, const struct pg_pb_kad_message *m)
{
    struct pg_kad_contact peer;
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_provider_peers; i++) {
        if (!read_peer(q->node, &r->session->conn->remote, m->provider_peers[i], &peer))
            continue;
        pg_kad_where(q->node, &peer);
        if (q->each == 0 || n < q->each || is_told(q, &peer.id))
            n += find(q, r, &peer);
    }
}

/* The value that most have said is the best one: a record says nothing of its age, and whoever stores one replaces what the
 * nearest had. Of as many the first. */
static void choose_best(struct pg_kad_query *q)
{
    const struct pg_kad_candidate *best = NULL;
    for (uint32_t i = 0; i < PG_KAD_CANDIDATES; i++)
        if (q->candidates[i].n > (best ? best->n : 0))
            best = &q->candidates[i];
    if (!best)
        return;
    q->value = best->value;
    q->n_equal = best->n;
    q->hops = best->hops;
    q->best = (uint8_t)(best - q->candidates + 1);
}

/* Counts one who says this value; returns the value's number, 0 when it is one too many or memory is short. */
static uint8_t weigh(struct pg_kad_query *q, struct pg_bytes value, uint32_t hops)
{
    uint32_t i = 0;
    while (i < PG_KAD_CANDIDATES && q->candidates[i].n > 0 && !pg_bytes_equal(q->candidates[i].value, value))
        i++;
    if (i == PG_KAD_CANDIDATES)
        return 0;
    struct pg_kad_candidate *c = &q->candidates[i];
    if (c->n == 0) {
        uint8_t *copy = pg_heap_take(value.len);
        if (!copy)
            return 0;
        memcpy(copy, value.at, value.len);
        *c = (struct pg_kad_candidate){.value = pg_bytes(copy, value.len), .hops = hops};
    }
    c->n++;
    choose_best(q);
    return (uint8_t)(i + 1);
}

/* False for a record that is none of this key, or not valid: it comes from a liar, or from somebody who stores anything. */
static bool take_value(struct pg_kad_query *q, struct pg_kad_request *r, const struct pg_pb_kad_record *record)
{
    struct pg_bytes key = pg_bytes(q->key, q->key_len);
    if ((record->has_key && !pg_bytes_equal(record->key, key)) || pg_kad_validate(key, record->value) != PG_OK)
        return false;
    q->said[r->walker] = weigh(q, record->value, pg_kad_frontier_walker(&q->frontier, r->walker)->hops);
    return true;
}

void pg_kad_query_value_here(struct pg_kad_query *q)
{
    struct pg_node *n = q->node;
    struct pg_kad_value value;
    uint8_t *room = pg_heap_take(PG_KAD_VALUE_MAX + PG_PEER_ID_MAX);
    if (room && pg_kad_store_get(&n->kad.store, pg_bytes(q->key, q->key_len), n->scope.now_us, &value, room))
        (void)weigh(q, value.value, 0);
    pg_heap_give(room);
}

bool pg_kad_query_take(struct pg_kad_query *q, struct pg_kad_request *r, struct pg_bytes message)
{
    struct pg_pb_kad_message m;
    if (pg_pb_kad_message_read(&m, message) != PG_OK)
        return false;
    if (r->tells)
        return true; /* PUT_VALUE is answered with the record as it was stored */
    if (q->op == PG_KAD_GET_VALUE && m.has_record && m.record.value.len && !take_value(q, r, &m.record))
        return false;
    if (q->op == PG_KAD_PROVIDERS)
        take_providers(q, r, &m);
    take_closer(q, r, &m);
    return true;
}

/* What a request says. */

static enum pg_pb_kad_message_type type_of(enum pg_kad_op op, bool tells)
{
    switch (op) {
    case PG_KAD_GET_VALUE: return tells ? PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE : PG_PB_KAD_MESSAGE_TYPE_GET_VALUE;
    case PG_KAD_PUT_VALUE: return tells ? PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE : PG_PB_KAD_MESSAGE_TYPE_FIND_NODE;
    case PG_KAD_PROVIDE: return tells ? PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER : PG_PB_KAD_MESSAGE_TYPE_FIND_NODE;
    case PG_KAD_PROVIDERS: return PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS;
    case PG_KAD_CLOSEST:
    case PG_KAD_FIND_PEER: break;
    }
    return PG_PB_KAD_MESSAGE_TYPE_FIND_NODE;
}

/* Ourselves as a provider: where we say that we can be reached, as far as it makes sense to whoever hears it. */
static struct pg_bytes write_self(struct pg_node *n, const struct pg_endpoint *to, uint8_t *room, size_t size)
{
    struct pg_multiaddr addrs[PG_NODE_ADDRS];
    const struct pg_peer_id *own = pg_identity_peer_id(n->config.identity);
    struct pg_pb_kad_peer self = {.has_id = true, .id = pg_bytes(own->at, own->len), .has_connection = true,
                                  .connection = PG_PB_KAD_CONNECTION_CONNECTED};
    struct pg_writer w = pg_writer(room, size);
    uint32_t count = pg_node_addrs(n, addrs);
    for (uint32_t i = 0; i < count && self.n_addrs < PG_KAD_ADDRS; i++)
        if (pg_offer_tellable(to, &addrs[i]))
            self.addrs[self.n_addrs++] = pg_bytes(addrs[i].at, addrs[i].len);
    pg_pb_kad_peer_write(&self, &w);
    return w.failed ? PG_NONE : pg_written(&w);
}

struct pg_bytes pg_kad_question_write(const struct pg_kad_query *q, const struct pg_kad_request *r, uint8_t *room, size_t size)
{
    uint8_t self[2 * 1024];
    struct pg_writer w = pg_writer(room, size);
    struct pg_pb_kad_message m = {.has_type = true, .type = type_of(q->op, r->tells), .has_key = true, .key = pg_bytes(q->key, q->key_len)};
    if (m.type == PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE) {
        m.has_record = true;
        m.record = (struct pg_pb_kad_record){.has_key = true, .key = m.key, .has_value = true, .value = q->value};
    }
    if (m.type == PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER) {
        m.provider_peers[0] = write_self(q->node, &r->session->conn->remote, self, sizeof self);
        m.n_provider_peers = 1;
    }
    pg_pb_kad_message_write_framed(&m, &w);
    return w.failed ? PG_NONE : pg_written(&w);
}
