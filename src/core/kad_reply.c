/* What is asked of the DHT, and what is answered; see kad_reply.h. Called by kad_serve.c.
 * Serves libp2p/specs kad-dht/README.md, "RPC messages"; what libraries make of them is in comments. */
#include "core/node_internal.h"

#include "core/kad_reply.h"
#include "core/kad_validate.h"
#include "core/offered.h"

#include <assert.h>

/* rust-libp2p reads no more than 16 KiB a message: what is beyond it is left out, but for a value. Providers come first, and
 * leave some of it to the servers that are nearer. */
enum { ANSWER_MOST = 16384 - 64, PROVIDERS_MOST = 12288, SECOND_US = 1000000 };

struct reply {
    struct pg_kad_serve *v;
    struct pg_pb_kad_message m;
    struct pg_writer peers; /* the messages inside it */
    size_t left;            /* bytes of them that still fit */
    uint8_t room[ANSWER_MOST];
};

static struct pg_node *node_of(const struct pg_kad_serve *v)
{
    return v->server->node;
}

static const struct pg_endpoint *asker(const struct pg_kad_serve *v)
{
    return &v->session->conn->remote;
}

/* Peers in answers. */

/* What is known of a peer that has said no address: the original announces itself like that. */
static void look_up(struct pg_node *n, struct pg_kad_contact *c)
{
    struct pg_multiaddr own[PG_NODE_ADDRS];
    if (c->n_addrs > 0)
        return;
    if (pg_peer_id_equal(&c->id, pg_identity_peer_id(n->config.identity))) {
        uint32_t n_own = pg_node_addrs(n, own);
        while (c->n_addrs < n_own && c->n_addrs < PG_KAD_ADDRS)
            c->addrs[c->n_addrs] = own[c->n_addrs], c->n_addrs++;
        return;
    }
    pg_kad_where(n, c);
}

static bool has_addr(const struct pg_kad_contact *c, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < c->n_addrs; i++)
        if (pg_bytes_equal(pg_bytes(c->addrs[i].at, c->addrs[i].len), pg_bytes(addr->at, addr->len)))
            return true;
    return false;
}

/* Who has reserved with us is reached through us. identify keeps no such address, as we ourselves have no use for it, and a peer that
 * serves no DHT has told it to nobody else. */
static void add_through_us(struct reply *r, struct pg_kad_contact *c)
{
    const struct pg_multiaddr *own;
    if (!pg_slot_of(node_of(r->v), &c->id) || !pg_relaying_serves(node_of(r->v), r->v->session))
        return;
    uint32_t n = pg_relaying_addrs(r->v->session, &own);
    for (uint32_t i = 0; i < n && c->n_addrs < PG_KAD_ADDRS; i++) {
        struct pg_multiaddr through = own[i];
        if (pg_multiaddr_append_circuit(&through) && !has_addr(c, &through))
            c->addrs[c->n_addrs++] = through;
    }
}

/* Adds a peer with those of its addresses that the asker may know. Without any it is left out: nobody could use it. */
static bool put_peer(struct reply *r, struct pg_kad_contact *c, struct pg_bytes *out)
{
    struct pg_node *n = node_of(r->v);
    struct pg_pb_kad_peer peer = {.has_id = true, .id = pg_bytes(c->id.at, c->id.len), .has_connection = true};
    look_up(n, c);
    add_through_us(r, c);
    for (uint32_t i = 0; i < c->n_addrs; i++)
        if (pg_offer_tellable(asker(r->v), &c->addrs[i]))
            peer.addrs[peer.n_addrs++] = pg_bytes(c->addrs[i].at, c->addrs[i].len);
    const struct pg_session *s = pg_node_session(n, &c->id);
    peer.connection = s && pg_session_is_up(s) ? PG_PB_KAD_CONNECTION_CONNECTED : PG_PB_KAD_CONNECTION_NOT_CONNECTED;
    size_t size = pg_pb_kad_peer_size(&peer), start = r->peers.len;
    if (peer.n_addrs == 0 || size + 4 > r->left)
        return false;
    pg_pb_kad_peer_write(&peer, &r->peers);
    assert(!r->peers.failed);
    r->left -= size + 4; /* its tag and length */
    *out = pg_bytes(r->peers.at + start, size);
    return true;
}

static void put_closer(struct reply *r, struct pg_kad_contact *c)
{
    r->m.n_closer_peers += put_peer(r, c, &r->m.closer_peers[r->m.n_closer_peers]);
}

/* The nearest servers that we know, the asker apart: it knows itself. */
static void put_nearest(struct reply *r, struct pg_bytes raw, const struct pg_peer_id *said)
{
    const struct pg_kad_server *near[PG_KAD_K + 1];
    struct pg_kad_contact c;
    struct pg_kad_key key;
    pg_kad_key_of(&key, raw);
    uint32_t n = pg_kad_table_nearest_servers(r->v->server->table, &key, PG_KAD_K + 1, near);
    for (uint32_t i = 0; i < n && r->m.n_closer_peers < PG_KAD_K; i++) {
        if (pg_peer_id_equal(&near[i]->id, pg_stream_peer(r->v->stream)) || (said && pg_peer_id_equal(&near[i]->id, said)))
            continue;
        pg_kad_table_contact(r->v->server->table, near[i], &c);
        put_closer(r, &c);
    }
}

/* Whoever looks for one peer gets it, also when it is none of the servers: as long as it is connected to us, or is ourselves.
 * That is how peers are found that cannot serve the DHT. */
static void answer_find_node(struct reply *r, struct pg_bytes raw)
{
    struct pg_node *n = node_of(r->v);
    struct pg_kad_contact c = {0};
    bool is_peer = pg_peer_id_read(&c.id, raw) == PG_OK && !pg_peer_id_equal(&c.id, pg_stream_peer(r->v->stream));
    bool said = is_peer && (pg_node_session(n, &c.id) || pg_peer_id_equal(&c.id, pg_identity_peer_id(n->config.identity)));
    if (said)
        put_closer(r, &c);
    put_nearest(r, raw, said ? &c.id : NULL);
}

static void answer_providers(struct reply *r, struct pg_bytes raw)
{
    const struct pg_kad_record *found[PG_FIXED_KAD_PROVIDERS];
    struct pg_kad_serving *k = r->v->server;
    struct pg_kad_contact c;
    uint32_t n = pg_kad_store_providers(k->store, raw, node_of(r->v)->scope.now_us, PG_FIXED_KAD_PROVIDERS, found);
    size_t kept = ANSWER_MOST - PROVIDERS_MOST;
    r->left -= r->left < kept ? r->left : kept;
    for (uint32_t i = 0; i < n; i++) {
        pg_kad_store_contact(k->store, found[i], &c);
        r->m.n_provider_peers += put_peer(r, &c, &r->m.provider_peers[r->m.n_provider_peers]);
    }
    r->left += kept;
    put_nearest(r, raw, NULL);
}

/* The value goes out of here, for it lies in a chunk that the caller gives back. */
static void put_value(struct reply *r, struct pg_bytes raw, uint8_t *room)
{
    struct pg_kad_value value;
    if (!pg_kad_store_get(r->v->server->store, raw, node_of(r->v)->scope.now_us, &value, room))
        return;
    r->m.has_record = true;
    r->m.record = (struct pg_pb_kad_record){.has_key = true, .key = raw, .has_value = true, .value = value.value,
                                            .has_publisher = value.publisher.len > 0, .publisher = value.publisher,
                                            .has_ttl = true, .ttl = (uint32_t)((value.ttl_us + SECOND_US - 1) / SECOND_US)};
    size_t size = pg_pb_kad_record_size(&r->m.record);
    r->left -= r->left < size ? r->left : size;
}

static enum pg_err finish(struct reply *r)
{
    struct pg_kad_serve *v = r->v;
    v->answer = pg_pool_take(&node_of(v)->chunks);
    if (!v->answer)
        return PG_ERR_NO_MEMORY;
    struct pg_writer w = pg_writer(v->answer, PG_CHUNK_SLOT);
    pg_pb_kad_message_write_framed(&r->m, &w);
    assert(!w.failed && "an answer fits a chunk: value, key twice, and peers where the value leaves room");
    v->answer_len = (uint32_t)w.len;
    return PG_OK;
}

static enum pg_err answer(struct pg_kad_serve *v, const struct pg_pb_kad_message *m)
{
    struct reply r = {.v = v, .m = {.has_type = true, .type = m->type, .has_key = true, .key = m->key}};
    uint8_t *value = NULL;
    r.peers = pg_writer(r.room, sizeof r.room);
    r.left = sizeof r.room - m->key.len;
    if (m->type == PG_PB_KAD_MESSAGE_TYPE_GET_VALUE) {
        value = pg_pool_take(&node_of(v)->chunks);
        if (!value)
            return PG_ERR_NO_MEMORY;
        put_value(&r, m->key, value);
        put_nearest(&r, m->key, NULL);
    } else if (m->type == PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS) {
        answer_providers(&r, m->key);
    } else if (m->type == PG_PB_KAD_MESSAGE_TYPE_FIND_NODE) {
        answer_find_node(&r, m->key);
    }
    enum pg_err err = finish(&r);
    if (value)
        pg_pool_give(&node_of(v)->chunks, value);
    return err;
}

/* What requests bring. */

/* The answer is the request, as in all three libraries: go-libp2p compares the value. */
static enum pg_err check_value(struct pg_kad_serve *v, const struct pg_pb_kad_message *m)
{
    const struct pg_pb_kad_record *record = &m->record;
    if (!m->has_record || record->key.len == 0)
        return PG_ERR_PROTOBUF_MISSING;
    if (m->key.len && !pg_bytes_equal(m->key, record->key))
        return PG_ERR_KAD_KEY_DIFFERS;
    TRY(pg_kad_validate(record->key, record->value));
    if (!pg_kad_store_takes(v->server->store, record->key.len, record->value.len + PG_PEER_ID_MAX))
        return PG_ERR_LIMIT_REACHED;
    struct reply r = {.v = v, .m = {.has_type = true, .has_key = true, .key = record->key, .has_record = true, .record = *record}};
    return finish(&r);
}

/* The provider is the sender, whoever else may be named: those are passed over, and without the sender the request is refused. */
static enum pg_err check_provider(struct pg_kad_serve *v, const struct pg_pb_kad_message *m)
{
    struct pg_node *n = node_of(v);
    struct pg_kad_contact *c = &v->server->hand.provider;
    const struct pg_peer_id *sender = pg_stream_peer(v->stream);
    struct pg_offer offer = {.peer = sender, .own_id = pg_identity_peer_id(n->config.identity), .from = asker(v)};
    struct pg_pb_kad_peer peer;
    *c = (struct pg_kad_contact){.id = *sender};
    if (m->key.len == 0)
        return PG_ERR_PROTOBUF_MISSING;
    bool named = false;
    for (uint32_t i = 0; i < m->n_provider_peers && !named; i++)
        named = pg_pb_kad_peer_read(&peer, m->provider_peers[i]) == PG_OK &&
                pg_bytes_equal(peer.id, pg_bytes(sender->at, sender->len));
    if (!named)
        return PG_ERR_KAD_NOT_PROVIDER;
    for (uint32_t i = 0; i < peer.n_addrs && c->n_addrs < PG_KAD_ADDRS; i++) {
        struct pg_multiaddr *addr = &c->addrs[c->n_addrs];
        if (pg_multiaddr_read(addr, peer.addrs[i]) != PG_OK || !pg_offer_keepable(&offer, addr))
            continue;
        pg_multiaddr_strip_p2p(addr);
        c->n_addrs++;
    }
    return pg_kad_store_takes(v->server->store, m->key.len, 0) ? PG_OK : PG_ERR_LIMIT_REACHED;
}

enum pg_err pg_kad_hand_read(struct pg_kad_serve *v, struct pg_bytes text)
{
    struct pg_pb_kad_message *m = &v->server->hand.m;
    TRY(pg_pb_kad_message_read(m, text));
    switch (m->type) {
    case PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE: return check_value(v, m);
    case PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER: return check_provider(v, m);
    case PG_PB_KAD_MESSAGE_TYPE_PING: return answer(v, m);
    case PG_PB_KAD_MESSAGE_TYPE_GET_VALUE:
    case PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS:
    case PG_PB_KAD_MESSAGE_TYPE_FIND_NODE: break;
    }
    return m->key.len ? answer(v, m) : PG_ERR_PROTOBUF_MISSING;
}

void pg_kad_hand_take(struct pg_kad_serve *v)
{
    static const enum pg_metric served[] = {
        [PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE] = PG_METRIC_KAD_SERVED_PUT_VALUE,
        [PG_PB_KAD_MESSAGE_TYPE_GET_VALUE] = PG_METRIC_KAD_SERVED_GET_VALUE,
        [PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER] = PG_METRIC_KAD_SERVED_ADD_PROVIDER,
        [PG_PB_KAD_MESSAGE_TYPE_GET_PROVIDERS] = PG_METRIC_KAD_SERVED_GET_PROVIDERS,
        [PG_PB_KAD_MESSAGE_TYPE_FIND_NODE] = PG_METRIC_KAD_SERVED_FIND_NODE,
        [PG_PB_KAD_MESSAGE_TYPE_PING] = PG_METRIC_KAD_SERVED_PING,
    };
    struct pg_kad_serving *k = v->server;
    const struct pg_pb_kad_message *m = &k->hand.m;
    const struct pg_pb_kad_record *r = &m->record;
    uint64_t now_us = node_of(v)->scope.now_us;
    node_of(v)->metrics.value[served[m->type]]++;
    if (m->type == PG_PB_KAD_MESSAGE_TYPE_PUT_VALUE) {
        struct pg_kad_value value = {.key = r->key, .value = r->value, .ttl_us = (uint64_t)r->ttl * SECOND_US};
        struct pg_peer_id publisher;
        if (r->has_publisher && pg_peer_id_read(&publisher, r->publisher) == PG_OK)
            value.publisher = r->publisher;
        (void)pg_kad_store_put(k->store, &value, pg_stream_peer(v->stream), now_us);
    } else if (m->type == PG_PB_KAD_MESSAGE_TYPE_ADD_PROVIDER) {
        (void)pg_kad_store_provide(k->store, m->key, &k->hand.provider, 0, now_us);
        if (node_of(v)->hooks.provided)
            node_of(v)->hooks.provided(node_of(v)->hooks.context, m->key, &k->hand.provider);
    }
}
