/* Reservations that others hold with us, counts of their circuits, and what is refused; see relaying.h.
 * Called by hop_serve.c, session.c and node.c. Serves libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/node_internal.h"

#include "core/offered.h"

#include <assert.h>

/* DEAF_US: what a circuit holds goes out within that, or it gives way while memory is short. SLOW_US: the same when hardly any is left. */
enum { DEAF_US = 5000000, SLOW_US = 250000 };
/* A target is asked for by so many times as many as one source may ask for; so one source alone keeps nobody else from it. With few
 * circuits to a peer there is nothing to share. */
enum { FROM_ALL = 4, SHARED_FROM = 8 };
#define OK_ANSWER ((struct pg_refusal){.status = PG_PB_CIRCUIT_STATUS_OK, .limit = PG_LIMITS})

static struct pg_refusal because(enum pg_pb_circuit_status status, const char *why)
{
    return (struct pg_refusal){.status = status, .limit = PG_LIMITS, .why = why};
}

static struct pg_refusal limited(enum pg_pb_circuit_status status, enum pg_limit limit)
{
    return (struct pg_refusal){.status = status, .limit = limit, .why = pg_limit_infos[limit].name};
}

/* Slots. */

static void unlist(struct pg_relaying *r, struct pg_slot *slot)
{
    *(slot->previous ? &slot->previous->next : &r->first) = slot->next;
    *(slot->next ? &slot->next->previous : &r->last) = slot->previous;
}

static void list(struct pg_relaying *r, struct pg_slot *slot)
{
    slot->next = NULL;
    slot->previous = r->last;
    *(r->last ? &r->last->next : &r->first) = slot;
    r->last = slot;
}

/* The connection that the reservation stands on from now, and whose address it is counted for. */
static void seat(struct pg_slot *slot, struct pg_session *s)
{
    if (slot->address)
        slot->address->reservations--;
    slot->session = s;
    slot->address = s ? s->seat.address : NULL;
    if (slot->address)
        slot->address->reservations++;
}

static void free_slot(struct pg_relaying *r, struct pg_slot *slot, const char *why)
{
    struct pg_node *n = r->node;
    pg_log_reservation_ended(n->log, pg_text(slot->session->peer_text), pg_text(why));
    seat(slot, NULL);
    unlist(r, slot);
    slot->peer->slot = NULL;
    pg_budget_release(&n->budget, slot->peer);
    pg_pool_give(&r->slots, slot);
    n->metrics.value[PG_METRIC_RELAY_RESERVATIONS_CLOSED]++;
    n->metrics.value[PG_METRIC_RELAY_RESERVATIONS] = r->slots.used;
}

/* The ends of reservations are looked for when somebody asks; nobody is woken for them. */
static void sweep(struct pg_relaying *r)
{
    while (r->first && r->first->expires_us <= r->node->scope.now_us)
        free_slot(r, r->first, "its time is over");
}

struct pg_slot *pg_slot_of(struct pg_node *n, const struct pg_peer_id *peer)
{
    sweep(&n->relaying);
    struct pg_place *place = pg_budget_peer(&n->budget, peer, false);
    return place ? place->slot : NULL;
}

bool pg_slot_keeps(const struct pg_session *s)
{
    const struct pg_slot *slot = s->place ? s->place->slot : NULL;
    return slot && slot->session == s && slot->expires_us > s->node->scope.now_us;
}

/* A reservation that comes there from elsewhere is one more there. */
static bool address_full(const struct pg_session *s, const struct pg_slot *slot)
{
    const struct pg_place *at = s->seat.address;
    return at && (!slot || slot->address != at) && at->reservations >= pg_node_limit(s->node, PG_LIMIT_RELAY_RESERVATIONS_ADDRESS);
}

void pg_slot_lost(struct pg_session *s)
{
    struct pg_slot *slot = s->place ? s->place->slot : NULL;
    struct pg_session *other = NULL;
    if (!slot || slot->session != s)
        return;
    for (struct pg_session *at = s->place->first; at; at = at->next_same)
        other = at != s && at->up && !pg_session_is_relayed(at) && !address_full(at, slot) ? at : other; /* the youngest */
    if (other)
        seat(slot, other);
    else
        free_slot(&s->node->relaying, slot, "its connection has ended");
}

struct pg_refusal pg_slot_refusal(struct pg_session *s)
{
    struct pg_node *n = s->node;
    const struct pg_multiaddr *addrs;
    enum pg_pb_circuit_status no = PG_PB_CIRCUIT_STATUS_RESERVATION_REFUSED;
    if (n->stopping || !s->place)
        return because(no, "this peer is shutting down");
    if (!pg_node_rate_take(n, &s->place->reserves, PG_LIMIT_RELAY_RESERVE_RATE, 16))
        return limited(no, PG_LIMIT_RELAY_RESERVE_RATE);
    if (pg_relaying_addrs(s, &addrs) == 0) {
        pg_log_relay_unreachable(n->log, pg_text(s->peer_text));
        return because(no, "no address of ours is known that the peer could tell others");
    }
    sweep(&n->relaying);
    if (address_full(s, s->place->slot))
        return limited(no, PG_LIMIT_RELAY_RESERVATIONS_ADDRESS);
    if (s->place->slot)
        return OK_ANSWER; /* renewed, or by a newer connection */
    if (pg_pool_crowded(&n->chunks))
        return limited(no, PG_LIMIT_MEMORY);
    if (n->relaying.slots.used >= pg_node_limit(n, PG_LIMIT_RELAY_RESERVATIONS))
        return limited(no, PG_LIMIT_RELAY_RESERVATIONS);
    return OK_ANSWER;
}

/* A reservation is its peer's, and who reserves on another connection has often lost the last one, which need not be known here yet. */
static void move_questions(struct pg_relaying *r, const struct pg_slot *slot)
{
    for (struct pg_hop_serve *h = r->circuits; h; h = h->next)
        if (!h->stood && h->target_place == slot->peer)
            pg_stop_connect_follow(h, slot->session->conn);
}

void pg_slot_take(struct pg_session *s)
{
    struct pg_node *n = s->node;
    struct pg_relaying *r = &n->relaying;
    struct pg_slot *slot = s->place->slot;
    bool renewed = slot != NULL;
    if (renewed) {
        unlist(r, slot);
    } else {
        slot = pg_pool_take_zero(&r->slots);
        assert(slot && "pg_slot_refusal has seen room");
        slot->peer = s->place;
        s->place->slot = slot;
        pg_budget_hold(&n->budget, slot->peer);
        pg_log_relay_requested(n->log, pg_text(s->peer_text));
    }
    bool moved = renewed && slot->session != s;
    seat(slot, s);
    if (moved)
        move_questions(r, slot);
    slot->expires_us = n->scope.now_us + pg_node_limit(n, PG_LIMIT_RELAY_LEASE) * 1000;
    list(r, slot);
    n->metrics.value[renewed ? PG_METRIC_RELAY_RESERVATIONS_RENEWED : PG_METRIC_RELAY_RESERVATIONS_OPENED]++;
    n->metrics.value[PG_METRIC_RELAY_RESERVATIONS] = r->slots.used;
}

/* Those of use where the peer is; a circuit's address is none, as nobody is relayed through two relays. */
static void list_told(struct pg_told *t, const struct pg_session *s)
{
    struct pg_multiaddr own[PG_NODE_ADDRS];
    uint32_t n_own = pg_node_addrs(s->node, own);
    *t = (struct pg_told){.to = s->conn->remote, .at_us = s->node->scope.now_us, .stands = true};
    for (uint32_t i = 0; i < n_own && t->n < PG_RELAY_ADDRS; i++) {
        if (pg_multiaddr_is_circuit(&own[i]) || !pg_offer_tellable(&s->conn->remote, &own[i]))
            continue;
        t->addrs[t->n] = own[i];
        t->n += pg_multiaddr_append_p2p(&t->addrs[t->n], pg_identity_peer_id(s->node->config.identity));
    }
}

/* Whether we relay, whether a reservation is of use and what it names are asked one after the other for one stream. */
uint32_t pg_relaying_addrs(const struct pg_session *s, const struct pg_multiaddr **out)
{
    struct pg_told *t = &s->node->relaying.told;
    if (!t->stands || !pg_endpoint_equal(&t->to, &s->conn->remote) || t->at_us != s->node->scope.now_us)
        list_told(t, s);
    *out = t->addrs;
    return t->n;
}

/* Circuits. */

void pg_circuit_list(struct pg_hop_serve *h)
{
    struct pg_relaying *r = h->relaying;
    h->previous = NULL;
    h->next = r->circuits;
    if (h->next)
        h->next->previous = h;
    r->circuits = h;
    r->n_circuits++;
}

void pg_circuit_unlist(struct pg_hop_serve *h)
{
    struct pg_relaying *r = h->relaying;
    *(h->previous ? &h->previous->next : &r->circuits) = h->next;
    if (h->next)
        h->next->previous = h->previous;
    r->n_circuits--;
}

/* Since when one of its directions holds bytes and none of them goes out. */
static uint64_t stuck_us(const struct pg_hop_serve *h)
{
    uint64_t out = h->out.held.bytes ? h->out.taken_us : UINT64_MAX, back = h->back.held.bytes ? h->back.taken_us : UINT64_MAX;
    return out < back ? out : back;
}

/* As pg_sessions_relieve, and before it: a connection carries more than one circuit. */
void pg_circuits_relieve(struct pg_node *n)
{
    uint32_t left = n->chunks.count - n->chunks.used;
    while (left < n->chunks.count / 8 && n->relaying.circuits) {
        uint64_t patience_us = left < n->chunks.count / 16 ? SLOW_US : DEAF_US;
        struct pg_hop_serve *longest = NULL;
        for (struct pg_hop_serve *h = n->relaying.circuits; h; h = h->next)
            if (h->stood && (!longest || stuck_us(h) < stuck_us(longest)))
                longest = h;
        if (!longest || stuck_us(longest) == UINT64_MAX || n->scope.now_us - stuck_us(longest) < patience_us)
            return;
        pg_step(&longest->in, PG_HOP_SERVE_ON_MEMORY_SHORT);
        left = n->chunks.count - n->chunks.used;
    }
}

static uint32_t circuits_between(const struct pg_relaying *r, const struct pg_place *source, const struct pg_place *target)
{
    uint32_t n = 0;
    for (const struct pg_hop_serve *h = r->circuits; h; h = h->next)
        n += h->source_place == source && h->target_place == target;
    return n;
}

struct pg_refusal pg_circuit_refusal(struct pg_session *source, const struct pg_peer_id *target)
{
    struct pg_node *n = source->node;
    enum pg_pb_circuit_status full = PG_PB_CIRCUIT_STATUS_RESOURCE_LIMIT_EXCEEDED;
    if (n->stopping || !source->place)
        return because(PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, "this peer is shutting down");
    if (!pg_node_rate_take(n, &source->place->connects, PG_LIMIT_RELAY_CIRCUIT_RATE, 8))
        return limited(full, PG_LIMIT_RELAY_CIRCUIT_RATE);
    if (pg_peer_id_equal(target, pg_identity_peer_id(n->config.identity)))
        return because(PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, "it is connected with us already, and needs no circuit");
    if (pg_peer_id_equal(target, &source->conn->peer))
        return because(PG_PB_CIRCUIT_STATUS_PERMISSION_DENIED, "a circuit from a peer to itself");
    struct pg_slot *slot = pg_slot_of(n, target);
    if (!slot)
        return because(PG_PB_CIRCUIT_STATUS_NO_RESERVATION, "the target has not reserved here");
    uint64_t each_s = FROM_ALL * pg_node_limit(n, PG_LIMIT_RELAY_CIRCUIT_RATE);
    if (!pg_rate_take(&slot->peer->targets, n->scope.now_us, each_s, 8 * each_s))
        return limited(full, PG_LIMIT_RELAY_CIRCUIT_RATE);
    if (pg_pool_crowded(&n->chunks))
        return limited(full, PG_LIMIT_MEMORY);
    if (n->relaying.n_circuits >= pg_node_limit(n, PG_LIMIT_RELAY_CIRCUITS))
        return limited(full, PG_LIMIT_RELAY_CIRCUITS);
    uint64_t most = pg_node_limit(n, PG_LIMIT_RELAY_CIRCUITS_PEER);
    if (source->place->circuits_from >= most || slot->peer->circuits_to >= most ||
        (most >= SHARED_FROM && circuits_between(&n->relaying, source->place, slot->peer) >= most / FROM_ALL))
        return limited(full, PG_LIMIT_RELAY_CIRCUITS_PEER);
    return OK_ANSWER;
}

/* Whom we serve: strangers while our NAT is not known to be private, else those who are in reach of us anyway. */

/* Strangers: those who are neither on this machine nor in our own networks. */
static bool strangers_reach(const struct pg_node *n)
{
    struct pg_multiaddr own[PG_NODE_ADDRS];
    struct pg_endpoint e;
    uint32_t n_own = pg_node_addrs(n, own);
    for (uint32_t i = 0; i < n_own; i++)
        if (!pg_multiaddr_is_circuit(&own[i]) && (!pg_offer_ip(&own[i], &e) || pg_endpoint_is_public(&e)))
            return true;
    return false;
}

bool pg_relaying_serves(const struct pg_node *n, const struct pg_session *s)
{
    const struct pg_multiaddr *addrs;
    uint8_t nat = n->control.nat.in.ctl.state;
    if ((s && pg_session_is_relayed(s)) || n->config.quiet || n->config.aside || n->config.relay_mode == PG_RELAY_MODE_OFF)
        return false;
    if (n->config.relay_mode == PG_RELAY_MODE_ON || nat == PG_NAT_PUBLIC)
        return true;
    return nat == PG_NAT_UNKNOWN && (s ? pg_relaying_addrs(s, &addrs) > 0 : strangers_reach(n));
}

/* Life. */

bool pg_relaying_init(struct pg_relaying *r, struct pg_node *n)
{
    *r = (struct pg_relaying){.node = n};
    uint32_t slots = (uint32_t)pg_node_limit(n, PG_LIMIT_RELAY_RESERVATIONS), hops = (uint32_t)pg_node_limit(n, PG_LIMIT_RELAY_CIRCUITS);
    return pg_node_serve(n, &pg_hop_handler) && pg_pool_init(&r->slots, sizeof(struct pg_slot), slots + 1, 64) &&
           pg_pool_init(&r->hops, sizeof(struct pg_hop_serve), hops + 2 * PG_FIXED_HOP_ASKED, 64);
}

void pg_relaying_free(struct pg_relaying *r)
{
    if (!r->node)
        return;
    pg_relaying_settle(r);
    pg_pool_free(&r->slots);
    pg_pool_free(&r->hops);
}

void pg_relaying_finished(struct pg_relaying *r, struct pg_instance *in)
{
    struct pg_hop_serve *h = in->self;
    h->next = r->ended;
    r->ended = h;
}

void pg_relaying_settle(struct pg_relaying *r)
{
    while (r->ended) {
        struct pg_hop_serve *h = r->ended;
        r->ended = h->next;
        if (h->stop.in.machine)
            pg_instance_end(&h->stop.in);
        if (h->out.in.machine) {
            pg_instance_end(&h->out.in);
            pg_instance_end(&h->back.in);
        }
        pg_instance_end(&h->in);
        pg_pool_give(&r->hops, h);
    }
}

void pg_relaying_view(struct pg_node *n, struct pg_relaying_view *v)
{
    const uint64_t *m = n->metrics.value;
    sweep(&n->relaying);
    bool serves = pg_relaying_serves(n, NULL);
    n->metrics.value[PG_METRIC_RELAY_SERVING] = serves;
    *v = (struct pg_relaying_view){.serves = serves, .reservations = n->relaying.slots.used,
                                   .circuits = (uint32_t)m[PG_METRIC_RELAY_CIRCUITS],
                                   .pending = (uint32_t)m[PG_METRIC_RELAY_CIRCUITS_PENDING], .bytes = m[PG_METRIC_RELAY_BYTES]};
    for (const struct pg_hop_serve *h = n->relaying.circuits; h; h = h->next)
        v->held += h->out.held.bytes + h->back.held.bytes;
}
