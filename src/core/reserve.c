/* What relays have granted us, and what is believed of it. Called by node.c, node_control.c and hop_reserve.c.
 * Source: libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/reserve.h"

#include "core/node_internal.h"
#include "core/offered.h"
#include "core/voucher.h"
#include "trace/line.h"

#include <assert.h>
#include <stddef.h>

/* Shorter ones are not worth the asking; relays grant an hour or two, and who speaks of years has a clock that cannot be believed. */
enum { LEASE_LEAST_S = 5, LEASE_MOST_S = 604800 + 3600 };

static bool is_at(const struct pg_hop_reserve *r, const struct pg_peer_id *relay)
{
    return r->relay.len && !r->leaves && pg_peer_id_equal(&r->relay, relay);
}

bool pg_reservation_held(const struct pg_node *n, const struct pg_peer_id *relay)
{
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        if (is_at(&n->reservations[i], relay))
            return true;
    return false;
}

uint32_t pg_reservations_addrs(const struct pg_node *n, struct pg_multiaddr *out, uint32_t room)
{
    uint32_t count = 0;
    for (uint32_t r = 0; r < PG_RESERVATIONS; r++)
        for (uint32_t i = 0; n->reservations[r].held && i < n->reservations[r].grant.n_addrs && count < room; i++)
            out[count++] = n->reservations[r].grant.addrs[i];
    return count;
}

/* Orders. */

void pg_reservation_ask(struct pg_node *n, const struct pg_peer_id *relay, const struct pg_multiaddr *addr)
{
    struct pg_hop_reserve *r = NULL;
    char id[PG_PEER_ID_TEXT], base[PG_MULTIADDR_TEXT] = "";
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        if (is_at(&n->reservations[i], relay) || (!r && !n->reservations[i].relay.len))
            r = &n->reservations[i];
    assert(r && "as many machines as places, and as many that leave");
    r->node = n;
    r->relay = *relay;
    r->begins = true;
    pg_log_relay_asking(n->log, pg_bytes(id, pg_peer_id_text(relay, id)), addr ? pg_bytes(base, pg_multiaddr_text(addr, base, sizeof base)) : PG_NONE);
}

/* The relay asks us over the connection by which we have reserved last, and cannot know as soon as we do that it is dead. */
void pg_reservation_moved(struct pg_session *newest)
{
    bool doubted = false;
    for (const struct pg_session *s = newest->place->first; s; s = s->next_same)
        doubted |= s != newest && s->suspect && !pg_session_is_relayed(s);
    if (doubted && !pg_session_is_relayed(newest) && pg_reservation_held(newest->node, &newest->conn->peer))
        pg_reservation_ask(newest->node, &newest->conn->peer, NULL);
}

struct pg_session *pg_reservation_way(const struct pg_hop_reserve *r)
{
    struct pg_session *s = pg_node_session(r->node, &r->relay);
    return s && !pg_session_is_relayed(s) ? s : NULL;
}

/* The relay may have been started again before it was connected anew, and knows nothing of us then. */
void pg_reservation_parted(struct pg_session *lost)
{
    struct pg_node *n = lost->node;
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++) {
        struct pg_hop_reserve *r = &n->reservations[i];
        if (r->via != lost)
            continue;
        r->via = NULL;
        if (r->held && pg_reservation_way(r))
            pg_reservation_ask(n, &r->relay, NULL);
    }
}

void pg_reservations_renew(struct pg_node *n)
{
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        if (n->reservations[i].held) /* and does not leave: what leaves is held no more */
            pg_reservation_ask(n, &n->reservations[i].relay, NULL);
}

void pg_reservation_doubt(const struct pg_session *s)
{
    for (uint32_t i = 0; i < PG_RESERVATIONS && !pg_session_is_relayed(s); i++)
        s->node->reservations[i].doubted |= is_at(&s->node->reservations[i], &s->conn->peer);
}

/* What runs over one of them may live yet; where nothing does, a new connection is all that is wanted. */
static void end_doubted(struct pg_hop_reserve *r)
{
    r->doubted = false;
    for (struct pg_session *s = r->node->sessions, *next; s; s = next) {
        next = s->next;
        if (!s->up || !s->suspect || s->conn->yamux.working > 0 || pg_session_is_relayed(s) || !pg_peer_id_equal(&s->conn->peer, &r->relay))
            continue;
        pg_bytes_text(s->reason, sizeof s->reason, PG_LIT("nothing is heard from our relay"));
        pg_session_expel(s, PG_ERR_TIMEOUT);
    }
}

static void tell_held(struct pg_node *n)
{
    struct pg_multiaddr addrs[PG_RESERVATIONS * PG_RESERVATION_ADDRS];
    uint64_t held = 0;
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        held += n->reservations[i].held;
    n->metrics.value[PG_METRIC_AUTORELAY_RESERVATIONS] = held;
    n->metrics.value[PG_METRIC_AUTORELAY_ADDRS] = pg_reservations_addrs(n, addrs, PG_RESERVATIONS * PG_RESERVATION_ADDRS);
    pg_node_addrs_changed(n);
}

void pg_reservation_release(struct pg_node *n, const struct pg_peer_id *relay)
{
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++) {
        struct pg_hop_reserve *r = &n->reservations[i];
        if (!is_at(r, relay))
            continue;
        r->leaves = true;
        r->due = PG_RESERVATION_OPEN;
        if (!r->held)
            continue;
        r->held = false;
        n->metrics.value[PG_METRIC_AUTORELAY_CLOSED]++;
        tell_held(n);
    }
}

void pg_reservation_visit_end(struct pg_visit *v)
{
    v->contact->as_relay--;
    pg_visit_end(v);
}

/* Nobody waits for the answer to a request that is under way any more. */
static void request_end(struct pg_hop_reserve *r)
{
    if (!r->in.machine)
        return;
    if (r->in.ctl.state != PG_HOP_RESERVE_IDLE)
        pg_step(&r->in, PG_HOP_RESERVE_ON_END);
    pg_instance_end(&r->in);
}

static void begin(struct pg_hop_reserve *r)
{
    request_end(r);
    r->begins = false;
    r->due = PG_RESERVATION_OPEN;
    r->reason[0] = 0;
    pg_instance_init(&r->in, &pg_hop_reserve_machine, &pg_hop_reserve_binding, r, &r->node->scope, r->timers, NULL,
                     (uint32_t)(r - r->node->reservations));
    pg_step(&r->in, PG_HOP_RESERVE_ON_BEGIN);
}

static void leave(struct pg_hop_reserve *r)
{
    request_end(r);
    if (r->visit)
        pg_reservation_visit_end(r->visit);
    memset(r, 0, offsetof(struct pg_hop_reserve, room));
}

void pg_reservations_end(struct pg_node *n)
{
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        if (n->reservations[i].relay.len)
            leave(&n->reservations[i]);
}

/* What has come of requests. */

static void take(struct pg_hop_reserve *r)
{
    struct pg_node *n = r->node;
    if (!r->held) {
        r->since_us = n->scope.now_us;
        n->metrics.value[PG_METRIC_AUTORELAY_OPENED]++;
    }
    r->held = true;
    r->grant = r->offer;
    tell_held(n);
}

static void tell(struct pg_hop_reserve *r)
{
    struct pg_node *n = r->node;
    struct pg_peer_id relay = r->relay; /* the control plane may let it go at once */
    char reason[sizeof r->reason];
    bool granted = r->due == PG_RESERVATION_GRANTED;
    memcpy(reason, r->reason, sizeof reason);
    r->due = PG_RESERVATION_OPEN;
    n->metrics.value[granted ? PG_METRIC_AUTORELAY_REQUESTS_OK : PG_METRIC_AUTORELAY_REQUESTS_FAILED]++;
    if (granted)
        take(r);
    pg_node_control_reserved(n, &relay, granted, granted ? r->grant.lease_ms : 0, pg_text(reason));
}

bool pg_reservations_settle(struct pg_node *n)
{
    bool any = false;
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++) {
        struct pg_hop_reserve *r = &n->reservations[i];
        if (!r->relay.len || !(r->leaves || r->begins || r->doubted || r->due))
            continue;
        any = true;
        if (r->doubted)
            end_doubted(r);
        else if (r->leaves)
            leave(r);
        else if (r->begins)
            begin(r);
        else
            tell(r);
    }
    return any;
}

/* What is believed. */

static bool say(char *why, size_t room, const char *text)
{
    pg_bytes_text(why, room, pg_text(text));
    return false;
}

/* In reach of the relay, its own, and not through another relay; a name is as good as the relay's word for it. */
static bool is_of_use(const struct pg_reservation_judge *j, const struct pg_multiaddr *addr)
{
    struct pg_offer offer = {.peer = j->relay, .own_id = j->own, .from = j->seen};
    struct pg_ma_part first = {0};
    struct pg_peer_id named;
    size_t offset = 0;
    if (pg_multiaddr_is_circuit(addr))
        return false;
    (void)pg_multiaddr_next(addr, &offset, &first);
    pg_multiaddr_peer(addr, &named);
    if (first.code >= PG_MA_DNS && first.code <= PG_MA_DNSADDR)
        return named.len == 0 || pg_peer_id_equal(&named, j->relay);
    return pg_offer_keepable(&offer, addr);
}

/* As others dial it: the relay's id behind it, then the circuit. Those that we could dial ourselves come first. */
static void take_addrs(const struct pg_reservation_judge *j, const struct pg_pb_reservation *m, struct pg_grant *out)
{
    struct pg_endpoint e;
    for (unsigned tcp = 2; tcp-- > 0;)
        for (uint32_t i = 0; i < m->n_addrs && out->n_addrs < PG_RESERVATION_ADDRS; i++) {
            struct pg_multiaddr addr;
            if (pg_multiaddr_read(&addr, m->addrs[i]) != PG_OK || (pg_multiaddr_tcp(&addr, &e, NULL) == PG_OK) != (tcp != 0) || !is_of_use(j, &addr))
                continue;
            pg_multiaddr_strip_p2p(&addr);
            if (!pg_multiaddr_append_p2p(&addr, j->relay) || !pg_multiaddr_append_circuit(&addr))
                continue;
            uint32_t same = 0;
            while (same < out->n_addrs && !pg_multiaddr_equal(&out->addrs[same], &addr))
                same++;
            if (same == out->n_addrs)
                out->addrs[out->n_addrs++] = addr;
        }
}

bool pg_reservation_judge(const struct pg_reservation_judge *j, const struct pg_pb_hop_message *m, struct pg_grant *out, char *why, size_t room)
{
    uint64_t vouched_s = 0;
    *out = (struct pg_grant){0};
    if (!m->has_reservation || !m->reservation.has_expire)
        return say(why, room, "its answer holds no reservation; another relay is used");
    if (m->reservation.expire <= j->now_s)
        return say(why, room, "the reservation ends in the past: the relay's clock, or ours, is wrong");
    uint64_t lease_s = m->reservation.expire - j->now_s;
    if (lease_s < LEASE_LEAST_S)
        return say(why, room, "the reservation ends within seconds; another relay is used");
    if (lease_s > LEASE_MOST_S)
        return say(why, room, "the reservation would last for more than a week, which no relay means; another relay is used");
    if (m->reservation.has_voucher) {
        enum pg_err err = pg_voucher_open(m->reservation.voucher, j->relay, j->own, j->now_s, &vouched_s);
        if (err != PG_OK) {
            struct pg_line line;
            pg_line_init(&line, why, room);
            pg_line_put(&line, "its voucher cannot be believed: ");
            pg_line_put(&line, pg_err_text(err));
            return false;
        }
    }
    take_addrs(j, &m->reservation, out);
    if (out->n_addrs == 0)
        return say(why, room, "it names no address at which others could reach it; give the relay one (--external-address)");
    out->vouched = m->reservation.has_voucher;
    out->lease_ms = lease_s * 1000;
    out->expires_us = j->now_us + lease_s * 1000000;
    out->limit_bytes = m->has_limit ? m->limit.data : 0;
    out->limit_us = m->has_limit ? m->limit.duration * 1000000ull : 0;
    return true;
}

/* For people. */

static const struct pg_relay *machine_at(const struct pg_node *n, const struct pg_peer_id *relay)
{
    for (uint32_t i = 0; i < n->control.config.n_relays; i++)
        if (n->control.relays[i].peer.len && pg_peer_id_equal(&n->control.relays[i].peer, relay))
            return &n->control.relays[i];
    return NULL;
}

bool pg_relay_view(const struct pg_node *n, uint32_t number, struct pg_relay_view *v)
{
    const struct pg_relay_candidate *c = NULL;
    for (uint32_t i = 0; i < PG_RELAY_BOOK && !c; i++)
        if (n->control.relays_known.of[i].id.len && number-- == 0)
            c = &n->control.relays_known.of[i];
    if (!c)
        return false;
    const struct pg_relay *machine = machine_at(n, &c->id);
    uint64_t now = n->scope.now_us;
    *v = (struct pg_relay_view){.peer = c->id, .addr = c->addr, .state = machine ? pg_relay_machine.states_as[machine->in.ctl.state] : "Known",
                                .ours = machine != NULL, .connected = c->connected, .rtt_us = c->rtt_us, .granted = c->granted, .failed = c->failed,
                                .rests_us = c->not_before_us > now ? c->not_before_us - now : 0};
    for (uint32_t i = 0; i < PG_RESERVATIONS; i++)
        if (is_at(&n->reservations[i], &c->id) && n->reservations[i].held)
            v->grant = &n->reservations[i].grant;
    v->left_us = v->grant && v->grant->expires_us > now ? v->grant->expires_us - now : 0;
    return true;
}

void pg_relay_policy_view(const struct pg_node *n, struct pg_relay_policy_view *v)
{
    static const char *const modes[] = {[PG_RELAY_MODE_AUTO] = "auto", [PG_RELAY_MODE_ON] = "on", [PG_RELAY_MODE_OFF] = "off"};
    uint16_t port = n->config.relay_port;
    for (uint32_t i = 0; i < n->n_listeners && !port; i++)
        if (pg_listener_stands(&n->listeners[i]))
            port = n->listeners[i].endpoint.port;
    *v = (struct pg_relay_policy_view){.mode = modes[n->config.relay_mode], .serves = pg_relaying_serves(n, NULL), .port = port,
                                       .wanted = n->config.n_relays, .inbound = pg_inbound_peers(n)};
}
