/* The peers that multicast DNS has told of: what may be believed of them, what they are good for, and their one dial; facts and
 * actions of the machine mdns_peer. Anybody on the network can say anything here. So addresses pass the rule of offered.h, peers are few,
 * few of them of one source, and dials are rare; who answers a dial has to prove its id as everywhere.
 * Called by mdns.c. Serves spec/machine/mdns_peer.sm and libp2p/specs discovery/mdns.md, "Response". */
#include "core/mdns_internal.h"

#include "core/offered.h"

#include <stddef.h>

/* DIALS: in a second. HEAD: behind our own next answer, so that whoever is dialled has heard where to find us. HEAD_START: how long who has the greater id waits for the other's dial. */
enum { SAME_SOURCE_MOST = 16, CALLS_MOST = 8, DIALS = 8, HEAD_MS = 50, HEAD_JITTER_MS = 80, HEAD_START_MS = 600 };

static struct pg_node *node(const struct pg_mdns_peer *p)
{
    return p->mdns->node;
}

/* Facts and times. */

bool pg_mdns_peer_is_connected(const struct pg_mdns_peer *p)
{
    return pg_node_session(node(p), &p->id) != NULL;
}

bool pg_mdns_peer_is_room(const struct pg_mdns_peer *p)
{
    struct pg_rate rate = p->mdns->dials; /* a copy: what is asked costs nothing */
    return p->mdns->calls < CALLS_MOST && node(p)->may_dial && pg_rate_take(&rate, node(p)->scope.now_us, DIALS, DIALS);
}

uint64_t pg_mdns_peer_life_ms(const struct pg_mdns_peer *p)
{
    return (uint64_t)p->life_s * 1000;
}

uint64_t pg_mdns_peer_head_start_ms(const struct pg_mdns_peer *p)
{
    return p->head_ms;
}

uint64_t pg_mdns_shortest_life_ms(const struct pg_mdns *m)
{
    uint64_t least = 0;
    for (unsigned i = 0; i < PG_MDNS_PEERS; i++)
        if (m->peers[i].id.len && m->peers[i].in.ctl.state != PG_MDNS_PEER_GONE && (least == 0 || m->peers[i].life_s < least))
            least = m->peers[i].life_s;
    return least * 1000;
}

/* The one dial. */

static void up(struct pg_visitor *visitor, struct pg_session *s)
{
    (void)s;
    pg_step(&HOST_OF(pg_mdns_peer, visitor, visitor)->in, PG_MDNS_PEER_ON_VISIT_UP);
}

static void failed(struct pg_visitor *visitor, enum pg_err why, struct pg_bytes reason)
{
    struct pg_mdns_peer *p = HOST_OF(pg_mdns_peer, visitor, visitor);
    (void)why;
    (void)reason;
    p->unreachable = true;
    pg_step(&p->in, PG_MDNS_PEER_ON_VISIT_FAILED);
}

void pg_mdns_peer_do_visit_begin(struct pg_mdns_peer *p)
{
    struct pg_kad_contact c = {.id = p->id, .n_addrs = p->n_addrs < PG_KAD_ADDRS ? p->n_addrs : PG_KAD_ADDRS};
    memcpy(c.addrs, p->addrs, c.n_addrs * sizeof *c.addrs);
    (void)pg_rate_take(&p->mdns->dials, node(p)->scope.now_us, DIALS, DIALS);
    p->mdns->calls++;
    p->visitor = (struct pg_visitor){.up = up, .failed = failed};
    p->visit = pg_node_visit(node(p), &p->visitor, &c);
    if (!p->visit)
        pg_post(&p->in, PG_MDNS_PEER_ON_VISIT_FAILED);
}

void pg_mdns_peer_do_visit_end(struct pg_mdns_peer *p)
{
    p->mdns->calls--;
    if (p->visit)
        pg_visit_end(p->visit);
    p->visit = NULL;
}

/* What others are told. */

static void tell_plane(struct pg_mdns_peer *p, enum pg_seed_event_kind kind, const struct pg_multiaddr *addrs, uint32_t n)
{
    struct pg_seed_place places[PG_MDNS_ADDRS];
    for (uint32_t i = 0; i < n; i++)
        places[i] = (struct pg_seed_place){p->id, addrs[i]};
    if (n > 0)
        pg_node_control_neighbour(node(p), kind, places, n);
}

static bool has(const struct pg_multiaddr *addrs, uint32_t n, const struct pg_multiaddr *addr)
{
    for (uint32_t i = 0; i < n; i++)
        if (pg_multiaddr_equal(&addrs[i], addr))
            return true;
    return false;
}

/* What is no longer said is taken back, what is new is told; whoever wants the peer has its addresses at once. */
void pg_mdns_peer_do_discovery_tell(struct pg_mdns_peer *p)
{
    struct pg_node *n = node(p);
    struct pg_multiaddr less[PG_MDNS_ADDRS], more[PG_MDNS_ADDRS];
    uint32_t n_less = 0, n_more = 0;
    char id[PG_PEER_ID_TEXT], addr[PG_MULTIADDR_TEXT];
    p->until_us = n->scope.now_us + p->life_s * 1000000ull;
    /* Anybody on the network can speak for it: what the peer itself has said does not give way to that. */
    if (pg_address_book_find(&n->addresses, &p->id, n->scope.now_us, less) == 0)
        pg_address_book_learn(&n->addresses, &p->id, p->addrs, p->n_addrs, p->until_us);
    for (uint32_t i = 0; i < p->n_told; i++)
        if (!has(p->addrs, p->n_addrs, &p->told[i]))
            less[n_less++] = p->told[i];
    for (uint32_t i = 0; i < p->n_addrs; i++)
        if (!has(p->told, p->n_told, &p->addrs[i]))
            more[n_more++] = p->addrs[i];
    if (p->n_told == 0)
        pg_log_neighbour_found(n->log, pg_bytes(id, pg_peer_id_text(&p->id, id)),
                               pg_bytes(addr, pg_multiaddr_text(&p->addrs[0], addr, sizeof addr)));
    p->n_told = p->n_addrs;
    memcpy(p->told, p->addrs, p->n_addrs * sizeof *p->told);
    tell_plane(p, PG_SEED_MDNS_EXPIRED, less, n_less);
    tell_plane(p, PG_SEED_MDNS_DISCOVERED, more, n_more);
    if (n_more > 0)
        pg_contacts_hear(n, &p->id, p->addrs, p->n_addrs);
}

void pg_mdns_peer_do_loss_tell(struct pg_mdns_peer *p)
{
    char id[PG_PEER_ID_TEXT];
    node(p)->metrics.value[PG_METRIC_MDNS_PEERS]--;
    pg_log_neighbour_gone(node(p)->log, pg_bytes(id, pg_peer_id_text(&p->id, id)));
    tell_plane(p, PG_SEED_MDNS_EXPIRED, p->told, p->n_told);
}

/* Places. */

static void release(struct pg_mdns_peer *p)
{
    struct pg_mdns *m = p->mdns;
    pg_instance_end(&p->in);
    *p = (struct pg_mdns_peer){.mdns = m};
}

/* Places of those that have gone are given back here: an instance cannot end in its own turn. */
static struct pg_mdns_peer *find(struct pg_mdns *m, const struct pg_peer_id *id)
{
    struct pg_mdns_peer *found = NULL;
    for (unsigned i = 0; i < PG_MDNS_PEERS; i++) {
        if (m->peers[i].id.len && m->peers[i].in.ctl.state == PG_MDNS_PEER_GONE)
            release(&m->peers[i]);
        if (m->peers[i].id.len && pg_peer_id_equal(&m->peers[i].id, id))
            found = &m->peers[i];
    }
    return found;
}

/* A free place, else that of a peer which could not be reached. A machine that is known of too many peers gets no more. */
static struct pg_mdns_peer *place(struct pg_mdns *m, const struct pg_endpoint *from)
{
    struct pg_mdns_peer *free_one = NULL, *worst = NULL;
    unsigned same = 0;
    for (unsigned i = 0; i < PG_MDNS_PEERS; i++) {
        struct pg_mdns_peer *p = &m->peers[i];
        if (!p->id.len) {
            free_one = p;
            continue;
        }
        same += p->from.family == from->family && memcmp(p->from.ip, from->ip, sizeof from->ip) == 0;
        if (p->unreachable && p->in.ctl.state == PG_MDNS_PEER_KNOWN && !pg_mdns_peer_is_connected(p) &&
            (!worst || p->until_us < worst->until_us))
            worst = p;
    }
    if (same >= SAME_SOURCE_MOST)
        return NULL;
    if (!free_one && worst) {
        pg_step(&worst->in, PG_MDNS_PEER_ON_FAREWELL);
        release(worst);
        return worst;
    }
    return free_one;
}

static struct pg_mdns_peer *begin(struct pg_mdns *m, const struct pg_peer_id *id, const struct pg_endpoint *from)
{
    struct pg_mdns_peer *p = place(m, from);
    const struct pg_peer_id *own = pg_identity_peer_id(m->node->config.identity);
    if (!p) {
        m->node->metrics.value[PG_METRIC_MDNS_DROPPED]++;
        return NULL;
    }
    size_t shorter = own->len < id->len ? own->len : id->len;
    *p = (struct pg_mdns_peer){.mdns = m, .id = *id, .from = *from};
    p->head_ms = HEAD_MS + pg_node_random(m->node) % HEAD_JITTER_MS + pg_mdns_answer_pause_ms(m) +
                 (memcmp(own->at, id->at, shorter) > 0 ? HEAD_START_MS : 0);
    pg_instance_init(&p->in, &pg_mdns_peer_machine, &pg_mdns_peer_binding, p, &m->node->scope, p->timers, NULL, (uint32_t)(p - m->peers));
    m->node->metrics.value[PG_METRIC_MDNS_PEERS]++;
    return p;
}

/* Those that may be dialled, without the id. A link-local address is of the interface that it was heard by. */
static uint32_t take_addrs(struct pg_mdns *m, const struct pg_mdns_heard *h, const struct pg_input *in, struct pg_multiaddr out[PG_MDNS_ADDRS])
{
    struct pg_multiaddr own[PG_NODE_ADDRS];
    struct pg_offer offer = {.peer = &h->peer, .own_id = pg_identity_peer_id(m->node->config.identity), .from = &in->remote, .own = own,
                             .n_own = pg_node_addrs(m->node, own), .on_link = in->local.zone};
    struct pg_endpoint e;
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->n_addrs; i++) {
        out[n] = h->addrs[i];
        pg_multiaddr_strip_p2p(&out[n]);
        if (pg_multiaddr_tcp(&out[n], &e, NULL) == PG_OK && e.family == 6 && e.ip[0] == 0xfe && (e.ip[1] & 0xc0) == 0x80 && !e.zone) {
            e.zone = in->local.zone;
            pg_multiaddr_from_tcp(&out[n], &e);
        }
        n += pg_offer_good(&offer, &out[n]) && !has(out, n, &out[n]);
    }
    return n;
}

void pg_mdns_heard(struct pg_mdns *m, const struct pg_mdns_heard *h, const struct pg_input *in)
{
    struct pg_multiaddr addrs[PG_MDNS_ADDRS];
    struct pg_mdns_peer *p = find(m, &h->peer);
    uint32_t n = take_addrs(m, h, in, addrs);
    if (h->ttl_s == 0) {
        if (p)
            pg_step(&p->in, PG_MDNS_PEER_ON_FAREWELL);
    } else if (n > 0 && (p || (p = begin(m, &h->peer, &in->remote)))) {
        p->n_addrs = n;
        memcpy(p->addrs, addrs, n * sizeof *addrs);
        p->life_s = h->ttl_s < PG_MDNS_LIFE_LEAST_S ? PG_MDNS_LIFE_LEAST_S : h->ttl_s > PG_MDNS_LIFE_MOST_S ? PG_MDNS_LIFE_MOST_S : h->ttl_s;
        pg_step(&p->in, PG_MDNS_PEER_ON_HEARD);
    }
}

void pg_mdns_peers_stop(struct pg_mdns *m)
{
    for (unsigned i = 0; i < PG_MDNS_PEERS; i++)
        if (m->peers[i].id.len)
            pg_step(&m->peers[i].in, PG_MDNS_PEER_ON_STOP);
}

bool pg_mdns_view(const struct pg_node *n, uint32_t number, struct pg_mdns_view *v)
{
    for (unsigned i = 0; n->mdns && i < PG_MDNS_PEERS; i++) {
        const struct pg_mdns_peer *p = &n->mdns->peers[i];
        if (!p->id.len || p->in.ctl.state == PG_MDNS_PEER_GONE || number-- > 0)
            continue;
        *v = (struct pg_mdns_view){.peer = p->id, .addrs = p->addrs, .n_addrs = p->n_addrs, .connected = pg_mdns_peer_is_connected(p),
                                   .left_us = p->until_us > n->scope.now_us ? p->until_us - n->scope.now_us : 0};
        return true;
    }
    return false;
}
