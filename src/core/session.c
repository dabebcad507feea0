/* Sessions: what the core keeps for each connection, from the dial or the accept to its end.
 * Called by node.c, contact.c and src/transport through its hooks. */
#include "core/node_internal.h"

#include "trace/line.h"

#include <stddef.h>

/* DEAF_US: what is sent is taken within that, or whoever should take it gives way while memory is short. SLOW_US: the same when hardly
 * any is left. */
enum { DEAF_US = 5000000, SLOW_US = 250000 };

static struct pg_session *of(struct pg_link_owner *owner)
{
    return (struct pg_session *)owner;
}

static void note_life(struct pg_session *s)
{
    s->pulse.lively = true;
    if (s->pulse.in.machine && (1u << s->pulse.in.ctl.state) & PG_PULSE_LISTENS)
        pg_post(&s->pulse.in, PG_PULSE_ON_HEARD);
}

static void on_connected(struct pg_link_owner *owner, const struct pg_input *in)
{
    pg_conn_linked(of(owner)->conn, &in->remote, &in->local);
    pg_punch_role_dialled(of(owner));
}

static void on_received(struct pg_link_owner *owner, uint8_t *data, size_t len)
{
    struct pg_session *s = of(owner);
    s->bytes_in += len;
    note_life(s);
    s->node->metrics.value[PG_METRIC_BYTES_RECEIVED] += len;
    uint32_t answers = s->conn->yamux.samples;
    pg_conn_received(s->conn, data, len);
    if (s->up && s->conn->yamux.samples != answers && (1u << s->pulse.in.ctl.state) & PG_PULSE_DOUBTS)
        pg_post(&s->pulse.in, PG_PULSE_ON_ANSWERED);
}

static void on_ended(struct pg_link_owner *owner)
{
    struct pg_session *s = of(owner);
    struct pg_link *link = s->conn->link;
    pg_bytes_text(s->reason, sizeof s->reason, PG_LIT("the other side closed the connection"));
    pg_node_close(s->node, &link);
    pg_conn_link_lost(s->conn, PG_ERR_CLOSED);
}

static void on_written(struct pg_link_owner *owner)
{
    struct pg_session *s = of(owner);
    if (s->conn->link && s->conn->link->tx.bytes > 0)
        note_life(s); /* a slow way is none that is dead: what waits for it gets less */
    pg_conn_written(s->conn);
}

static void on_lost(struct pg_link_owner *owner, enum pg_err why, struct pg_bytes reason)
{
    struct pg_session *s = of(owner);
    pg_bytes_text(s->reason, sizeof s->reason, reason);
    s->conn->link = NULL;
    pg_conn_link_lost(s->conn, why);
}

static const struct pg_link_user user = {
    .connected = on_connected, .received = on_received, .ended = on_ended, .written = on_written, .lost = on_lost};

static struct pg_session *session_new(struct pg_node *n, struct pg_link *link, bool dialer, const struct pg_peer_id *expected)
{
    struct pg_session *s = pg_pool_take_zero(&n->session_pool);
    if (!s)
        return NULL;
    s->conn = pg_conn_new(&n->transport, link, dialer, expected);
    if (!s->conn) {
        pg_pool_give(&n->session_pool, s);
        return NULL;
    }
    s->owner.user = &user;
    s->node = n;
    s->conn->above = s;
    s->previous = n->last_session;
    if (n->last_session)
        n->last_session->next = s;
    else
        n->sessions = s;
    n->last_session = s;
    s->listed = true;
    pg_queue_init(&s->identify.text, &n->chunks);
    pg_queue_init(&s->identify.pushed_text, &n->chunks);
    link->owner = &s->owner;
    s->circuit = link->carrier;
    s->relayed = s->circuit != NULL;
    if (s->circuit)
        s->circuit->held = true;
    return s;
}

/* Who may come in. */

static void refuse_at(struct pg_node *n, enum pg_limit limit, const char *what, const struct pg_multiaddr *from)
{
    char text[PG_MULTIADDR_TEXT];
    pg_node_refuse(n, limit, what, pg_bytes(text, pg_multiaddr_text(from, text, sizeof text)));
}

static void refuse_pending(const struct pg_session *s, enum pg_limit limit, const char *what)
{
    struct pg_multiaddr from;
    pg_session_remote(s, &from);
    refuse_at(s->node, limit, what, &from);
}

static void refuse_session(struct pg_node *n, enum pg_limit limit, const char *what, const struct pg_session *s)
{
    if (s->up)
        pg_node_refuse(n, limit, what, pg_text(s->peer_text));
    else
        refuse_pending(s, limit, what);
}

static void leave_pending(struct pg_session *s)
{
    struct pg_node *n = s->node;
    if (!s->previous_pending)
        return;
    *s->previous_pending = s->next_pending;
    if (s->next_pending)
        s->next_pending->previous_pending = s->previous_pending;
    else
        n->pending_end = s->previous_pending;
    s->previous_pending = NULL;
}

/* What it occupied of the budget is free for others at once. */
static void give_way(struct pg_session *s)
{
    struct pg_budget *b = &s->node->budget;
    leave_pending(s);
    pg_budget_leave(b, &s->seat);
    if (s->conn->dialer && s->dialing)
        b->dials--;
    b->conns -= s->conn->dialer;
    s->dialing = false;
}

/* Ends it by a reset, so that nothing of it stays here and nobody waits for its end. */
void pg_session_expel(struct pg_session *s, enum pg_err why)
{
    struct pg_link *link = s->conn->link;
    pg_node_reset(s->node, &link);
    pg_conn_link_lost(s->conn, why);
}

/* How far it has come: those who open connections to block others say nothing, or hardly anything. */
static unsigned progress(const struct pg_session *s)
{
    return 2u * s->conn->upgrade.in.ctl.state + (s->bytes_in > 0);
}

/* Of the prefix that has most of them, so that nobody holds all places by coming far and stopping there. What has no place in the
 * budget, which is loopback, counts as one prefix. */
static bool drop_least_advanced(struct pg_node *n)
{
    struct pg_session *least = NULL;
    uint32_t unplaced = 0, most = 0;
    for (struct pg_session *s = n->pending; s; s = s->next_pending)
        unplaced += !s->seat.prefix;
    for (struct pg_session *s = n->pending; s; s = s->next_pending) {
        uint32_t beside = s->seat.prefix ? s->seat.prefix->pending : unplaced;
        if (!least || beside > most || (beside == most && progress(s) < progress(least))) {
            least = s;
            most = beside;
        }
    }
    if (!least)
        return false;
    refuse_pending(least, PG_LIMIT_PENDING, NULL);
    pg_session_expel(least, PG_ERR_LIMIT_REACHED);
    return true;
}

/* A connection of others that has carried nothing for longer than is promised; looked for once a second at most. */
static bool drop_idle(struct pg_node *n)
{
    struct pg_session *longest = NULL;
    uint64_t now = n->scope.now_us, kept_us = pg_node_limit(n, PG_LIMIT_CONN_IDLE) * 1000;
    if (n->swept_us && now - n->swept_us < 1000000)
        return false;
    n->swept_us = now;
    for (struct pg_session *s = n->sessions; s; s = s->next)
        if (s->up && !s->conn->dialer && s->conn->yamux.working == 0 && !pg_slot_keeps(s) && now - s->idle_us >= kept_us &&
            (!longest || s->idle_us < longest->idle_us))
            longest = s;
    if (!longest)
        return false;
    give_way(longest);
    pg_session_drop(longest, PG_ERR_LIMIT_REACHED);
    return true;
}

/* Whether it holds what only its peer can free, unsent bytes or the start of a message, and for how long. */
static bool holds(const struct pg_session *s, bool scarce, uint64_t *for_us)
{
    const struct pg_link *link = s->conn->link;
    size_t too_much = scarce ? PG_CONN_LOW : PG_CONN_HIGH + PG_NOISE_MESSAGE_MAX;
    return link && !link->closing && pg_conn_waits(s->conn, for_us) &&
           (*for_us >= (scarce ? SLOW_US : DEAF_US) || link->tx.bytes > too_much);
}

static struct pg_session *slowest(struct pg_node *n, bool scarce)
{
    struct pg_session *found = NULL;
    uint64_t longest_us = 0, for_us;
    for (struct pg_session *s = n->sessions; s; s = s->next) {
        if (!holds(s, scarce, &for_us))
            continue;
        if (!found || for_us > longest_us || (for_us == longest_us && s->conn->link->tx.bytes > found->conn->link->tx.bytes)) {
            longest_us = for_us;
            found = s;
        }
    }
    return found;
}

/* While memory is short, whoever keeps it longest without reading on or writing on makes room for those who do; sooner when there
 * is hardly any left. */
void pg_sessions_relieve(struct pg_node *n)
{
    struct pg_session *s;
    uint32_t left = n->chunks.count - n->chunks.used;
    while (left < n->chunks.count / 8 && (s = slowest(n, left < n->chunks.count / 16))) {
        const struct pg_queue *tx = &s->conn->link->tx;
        left += (uint32_t)(tx->bytes / PG_CHUNK_ROOM) + 1; /* when the turn's commands are done */
        refuse_session(n, PG_LIMIT_MEMORY, tx->bytes ? "a connection that does not read what is sent"
                                                     : "a connection that does not end its message", s);
        pg_session_expel(s, PG_ERR_LIMIT_REACHED);
    }
}

static enum pg_limit enter(struct pg_node *n, const struct pg_circuit *over, const struct pg_endpoint *remote, struct pg_seat *seat)
{
    return over ? pg_budget_enter_over(&n->budget, &over->relay, n->scope.now_us, seat) :
                  pg_budget_enter(&n->budget, remote, n->scope.now_us, seat);
}

static enum pg_limit admit(struct pg_node *n, const struct pg_circuit *over, const struct pg_endpoint *remote, struct pg_seat *seat)
{
    if (pg_pool_crowded(&n->chunks))
        return PG_LIMIT_MEMORY;
    enum pg_limit limit = enter(n, over, remote, seat);
    bool again = ((limit == PG_LIMIT_CONNS || limit == PG_LIMIT_CONNS_INBOUND) && drop_idle(n)) ||
                 (limit == PG_LIMIT_PENDING && drop_least_advanced(n));
    return again ? enter(n, over, remote, seat) : limit;
}

/* One that has come in, over a circuit or from an address. */
static struct pg_session *take_in(struct pg_node *n, struct pg_link *link, const struct pg_endpoint *remote, const struct pg_peer_id *expected)
{
    struct pg_seat seat;
    struct pg_multiaddr from;
    const struct pg_circuit *over = link->carrier;
    enum pg_limit limit = admit(n, over, remote, &seat);
    struct pg_session *s = limit == PG_LIMITS ? session_new(n, link, false, expected) : NULL;
    if (s) {
        s->seat = seat;
        s->previous_pending = n->pending_end;
        *n->pending_end = s;
        n->pending_end = &s->next_pending;
        return s;
    }
    if (limit == PG_LIMITS) {
        pg_budget_leave(&n->budget, &seat);
        limit = PG_LIMIT_MEMORY;
    }
    if (!over)
        pg_multiaddr_from_tcp(&from, remote);
    refuse_at(n, limit, NULL, over ? &over->via : &from);
    pg_node_reset(n, &link);
    return NULL;
}

struct pg_session *pg_session_accept(struct pg_node *n, struct pg_link *link, const struct pg_endpoint *remote,
                                     const struct pg_endpoint *local)
{
    struct pg_session *s = take_in(n, link, remote, NULL);
    if (!s)
        return NULL;
    s->accepted = ++n->arrivals;
    pg_conn_linked(s->conn, remote, local);
    pg_punch_role_accepted(s);
    return s;
}

struct pg_session *pg_session_accept_over(struct pg_node *n, struct pg_link *link, const struct pg_peer_id *source)
{
    return take_in(n, link, NULL, source);
}

/* The listener to dial from: of the same family, and able to reach what is dialled. */
static void choose_port(struct pg_node *n, const struct pg_endpoint *to, struct pg_endpoint *from)
{
    for (uint32_t i = 0; i < n->n_listeners; i++) {
        struct pg_listener *l = &n->listeners[i];
        if (!pg_listener_stands(l) || l->endpoint.family != to->family)
            continue;
        if (!pg_endpoint_is_unspecified(&l->endpoint) && pg_endpoint_is_loopback(&l->endpoint) != pg_endpoint_is_loopback(to))
            continue;
        *from = l->endpoint;
        return;
    }
}

/* `beside` dials to the same peer are under way. NULL and *limit as pg_session_dial has them. */
static struct pg_session *dial_new(struct pg_node *n, const struct pg_multiaddr *addr, const struct pg_peer_id *expected,
                                   uint32_t beside, struct pg_command *dial, enum pg_limit *limit)
{
    struct pg_peer_id named;
    char text[PG_MULTIADDR_TEXT];
    *limit = PG_LIMITS;
    bool over = pg_multiaddr_circuit(addr, NULL, NULL, &named) == PG_OK;
    if (!over && pg_multiaddr_tcp(addr, &dial->endpoint, &named) != PG_OK)
        return NULL;
    *limit = pg_budget_dial(&n->budget, beside, n->scope.now_us);
    if (*limit != PG_LIMITS) {
        pg_node_refuse(n, *limit, "dial", pg_bytes(text, pg_multiaddr_text(addr, text, sizeof text)));
        return NULL;
    }
    dial->link = pg_node_link(n, NULL);
    struct pg_hop_connect *hop = over && dial->link ? pg_hop_connect_new(n, dial->link, addr, expected) : NULL;
    struct pg_session *s = dial->link && (hop || !over) ? session_new(n, dial->link, true, named.len ? &named : expected) : NULL;
    if (!s) {
        if (hop)
            pg_node_reset(n, &dial->link);
        else if (dial->link)
            pg_pool_give(&n->links, dial->link);
        n->budget.conns--;
        n->budget.dials--;
        return NULL;
    }
    s->dialing = true;
    s->dialled = *addr;
    choose_port(n, &dial->endpoint, &dial->from);
    pg_log_dialing(n->log, pg_bytes(text, pg_multiaddr_text(addr, text, sizeof text)));
    return s;
}

static void command_dial(struct pg_node *n, const struct pg_command *dial)
{
    if (dial->from.port)
        pg_reach_dialled(n, &dial->endpoint);
    pg_node_command(n, dial);
}

/* Asks the relay, at all the places where it is said to be. */
static void dial_over(struct pg_session *s)
{
    struct pg_multiaddr relay;
    struct pg_peer_id id;
    struct pg_hop_connect *hop = s->circuit->opener;
    for (uint32_t i = 0; i < s->contact->n_targets; i++)
        if (pg_multiaddr_circuit(&s->contact->targets[i], &relay, &id, NULL) == PG_OK && pg_peer_id_equal(&id, &s->circuit->relay))
            pg_hop_connect_add(hop, &relay);
    pg_hop_connect_begin(hop);
}

static bool leads_to(const struct pg_node *n, const struct pg_endpoint *remote)
{
    for (const struct pg_session *s = n->sessions; s; s = s->next)
        if (!s->relayed && pg_endpoint_equal(&s->conn->remote, remote))
            return true;
    return false;
}

struct pg_session *pg_session_dial(struct pg_node *n, struct pg_contact *c, const struct pg_multiaddr *addr, enum pg_limit *limit)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER};
    struct pg_session *s = dial_new(n, addr, &c->peer, c->pending - 1, &dial, limit);
    if (!s)
        return NULL;
    if (!c->wanted && !c->as_relay && pg_reach_wants_strangers(n))
        dial.from = (struct pg_endpoint){0};
    dial.waits = dial.from.family && !leads_to(n, &dial.endpoint);
    s->widens = c->bootstrap.in.ctl.state == PG_BOOTSTRAP_WIDENING;
    s->visits = !c->wanted;
    s->contact = c;
    if (s->relayed)
        dial_over(s);
    else
        command_dial(n, &dial);
    return s;
}

struct pg_session *pg_session_punch(struct pg_node *n, struct pg_hole *hole, const struct pg_peer_id *peer, const struct pg_multiaddr *addr,
                                    bool client, uint32_t beside, enum pg_limit *limit)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER, .meets = true};
    struct pg_session *s = dial_new(n, addr, peer, beside, &dial, limit);
    if (!s)
        return NULL;
    s->hole = hole;
    s->conn->client = client;
    command_dial(n, &dial);
    return s;
}

bool pg_session_reverse(struct pg_node *n, struct pg_path *p, const struct pg_multiaddr *addr)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER};
    enum pg_limit limit;
    struct pg_session *s = dial_new(n, addr, &p->peer, p->n_dialling - 1, &dial, &limit);
    if (!s)
        return false;
    s->reverses = p;
    pg_path_step_tell(n, &p->peer, &(struct pg_path_step){.kind = PG_STEP_DIAL, .addrs = addr, .n_addrs = 1});
    dial.from = (struct pg_endpoint){0};
    pg_node_command(n, &dial);
    return true;
}

void pg_session_punch_again(struct pg_session *s)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER, .meets = true, .link = s->conn->link};
    if (!dial.link || pg_multiaddr_tcp(&s->dialled, &dial.endpoint, NULL) != PG_OK)
        return;
    choose_port(s->node, &dial.endpoint, &dial.from);
    command_dial(s->node, &dial);
}

struct pg_session *pg_session_probe(struct pg_node *n, struct pg_probe *p, const struct pg_peer_id *peer, const struct pg_multiaddr *addr)
{
    struct pg_command dial = {.kind = PG_COMMAND_DIAL, .mode = PG_DIAL_PEER};
    enum pg_limit limit;
    struct pg_session *s = dial_new(n, addr, peer, 0, &dial, &limit);
    if (!s)
        return NULL;
    dial.from = (struct pg_endpoint){0};
    s->probe = p;
    s->probes = true;
    pg_node_command(n, &dial);
    return s;
}

void pg_session_drop(struct pg_session *s, enum pg_err why)
{
    pg_conn_close(s->conn, why);
}

void pg_sessions_drop(struct pg_node *n, bool relayed)
{
    for (struct pg_session *at = n->sessions, *next; at; at = next) {
        next = at->next;
        if (at->relayed == relayed)
            pg_session_drop(at, PG_ERR_SHUTTING_DOWN);
    }
}

/* The endpoint as Rust's Debug prints a ConnectedPoint: that is what the original's readers expect. */
static struct pg_bytes endpoint_text(const struct pg_session *s, char *out, size_t room)
{
    struct pg_multiaddr remote, local;
    char a[PG_MULTIADDR_TEXT], b[PG_MULTIADDR_TEXT];
    pg_multiaddr_from_tcp(&remote, &s->conn->remote);
    pg_multiaddr_from_tcp(&local, &s->conn->local);
    if (s->relayed)
        local = s->circuit->via;
    struct pg_line line;
    pg_line_init(&line, out, room);
    if (s->conn->dialer) {
        pg_multiaddr_text(s->dialled.len ? &s->dialled : &remote, a, sizeof a);
        pg_line_put(&line, "Dialer { address: ");
        pg_line_put(&line, a);
        pg_line_put(&line, s->conn->client ? ", role_override: Dialer, port_use: Reuse }" : ", role_override: Listener, port_use: Reuse }");
    } else {
        pg_multiaddr_text(&local, a, sizeof a);
        if (s->relayed)
            (void)pg_multiaddr_append_p2p(&remote, &s->conn->expected);
        pg_multiaddr_text(&remote, b, sizeof b);
        pg_line_put(&line, "Listener { local_addr: ");
        pg_line_put(&line, a);
        pg_line_put(&line, ", send_back_addr: ");
        pg_line_put(&line, b);
        pg_line_put(&line, " }");
    }
    return pg_line_bytes(&line);
}

/* The sessions of one peer, oldest first, hang on its place in the budget. False when it has as many as it may. */
static bool join_peer(struct pg_session *s)
{
    struct pg_budget *b = &s->node->budget;
    struct pg_place *place = pg_budget_peer(b, &s->conn->peer, true);
    if (!place)
        return false;
    if (place->conns > pg_node_limit(s->node, PG_LIMIT_CONNS_PEER)) {
        pg_budget_unpeer(b, place);
        return false;
    }
    s->place = place;
    struct pg_session *last = place->first;
    while (last && last->next_same)
        last = last->next_same;
    if (last)
        last->next_same = s;
    else
        place->first = s;
    return true;
}

/* Returns how many remain. */
static uint32_t part_from_peer(struct pg_session *s, const struct pg_peer_id *peer)
{
    struct pg_place *place = s->place;
    struct pg_session *before = place->first;
    if (before == s) {
        place->first = s->next_same;
    } else {
        while (before->next_same != s)
            before = before->next_same;
        before->next_same = s->next_same;
    }
    s->place = NULL;
    uint32_t remaining = place->conns - 1;
    if (!place->first)
        place->came_in = false;
    if (place->first)
        pg_path_sessions_changed(s->node, place, peer);
    else if (place->path)
        pg_path_end(place->path);
    pg_budget_unpeer(&s->node->budget, place);
    return remaining;
}

void pg_session_emptied(void *node, struct pg_conn *conn)
{
    struct pg_session *s = conn->above;
    s->idle_us = ((struct pg_node *)node)->scope.now_us;
    s->node->kad.visited_idle |= s->visits;
    if (s->up && s->spares)
        pg_post(&s->spare.in, PG_SPARE_ON_EMPTIED);
    if (s->up)
        pg_path_emptied(s);
}

/* Who comes over a relay although a direct connection stands may have lost that one. */
static void doubt_others(struct pg_session *newest)
{
    for (struct pg_session *s = newest->place->first; s && newest->relayed && !newest->conn->dialer; s = s->next_same)
        if (s->up && !s->relayed)
            pg_post(&s->pulse.in, PG_PULSE_ON_WAY_CHANGED);
}

enum pg_limit pg_session_forbids(void *node, struct pg_conn *conn)
{
    struct pg_node *n = node;
    struct pg_session *s = conn->above;
    uint64_t open = 0;
    if (pg_pool_crowded(&n->chunks))
        return PG_LIMIT_MEMORY;
    for (s = s->place ? s->place->first : NULL; s; s = s->next_same)
        open += s->conn->yamux.inbound;
    return open < pg_node_limit(n, PG_LIMIT_STREAMS_PEER) ? PG_LIMITS : PG_LIMIT_STREAMS_PEER;
}

/* What a peer has refused on one connection it will refuse on the next. */
static void expect_refusals(struct pg_session *s)
{
    struct pg_yamux_session *y = &s->conn->yamux;
    for (const struct pg_session *o = s->place->first; o; o = o->next_same)
        if (o->conn->yamux.refused_us > y->refused_us) {
            y->refused_us = o->conn->yamux.refused_us;
            y->refused_most = o->conn->yamux.refused_most;
        }
}

void pg_session_arrived(void *node, struct pg_conn *conn)
{
    struct pg_node *n = node;
    struct pg_session *s = conn->above;
    char endpoint[2 * PG_MULTIADDR_TEXT];
    pg_peer_id_text(&conn->peer, s->peer_text);
    leave_pending(s);
    pg_punch_role_end(s);
    pg_budget_settle(&n->budget, &s->seat);
    n->budget.dials -= s->dialing;
    s->dialing = false;
    if (s->probes) {
        if (s->probe)
            s->probe->user->reached(s->probe);
        return;
    }
    enum pg_limit forbids = conn->dialer ? PG_LIMITS : pg_inbound_forbids(n, &conn->peer, pg_session_relay(s));
    if (forbids != PG_LIMITS || !join_peer(s)) {
        pg_node_refuse(n, forbids != PG_LIMITS ? forbids : PG_LIMIT_CONNS_PEER, NULL, pg_text(s->peer_text));
        pg_session_drop(s, PG_ERR_LIMIT_REACHED);
        return;
    }
    pg_inbound_note(s);
    doubt_others(s);
    expect_refusals(s);
    s->up = true;
    s->up_us = s->idle_us = n->scope.now_us;
    pg_pulse_begin(s);
    n->metrics.value[conn->dialer ? PG_METRIC_CONNECTIONS_OPENED_OUTBOUND : PG_METRIC_CONNECTIONS_OPENED_INBOUND]++;
    n->metrics.value[PG_METRIC_CONNECTIONS]++;
    pg_log_connection_opened(n->log, pg_text(s->peer_text), endpoint_text(s, endpoint, sizeof endpoint));
    n->kad.n_visited += s->visits;
    n->kad.visited_idle |= s->visits;
    if (s->widens || s->visits)
        pg_spare_begin(s);
    pg_spares_find(s);
    pg_reservation_moved(s);
    pg_contacts_peer_up(s);
    if (s->reverses)
        s->reverses->n_dialling--;
    s->reverses = NULL;
    pg_path_sessions_changed(n, s->place, &conn->peer);
    pg_node_control_peer_up(s);
    pg_punch_session_up(s);
    if (!n->config.quiet || n->config.asks_who || s->place->path)
        pg_identify_start(s);
    if (!n->config.quiet)
        pg_ping_start(&s->ping, s, 15000, 0);
    if (n->hooks.peer_up)
        n->hooks.peer_up(n->hooks.context, s);
}

static void unlist(struct pg_session *s)
{
    struct pg_node *n = s->node;
    if (s->previous)
        s->previous->next = s->next;
    else
        n->sessions = s->next;
    if (s->next)
        s->next->previous = s->previous;
    else
        n->last_session = s->previous;
    s->listed = false;
    s->next_doomed = n->doomed_sessions;
    n->doomed_sessions = s;
}

static void reversal_failed(struct pg_session *s, enum pg_err why, struct pg_bytes reason)
{
    char addr[PG_MULTIADDR_TEXT];
    s->node->metrics.value[PG_METRIC_DIALS_FAILED]++;
    pg_log_offered_dial_failed(s->node->log, pg_bytes(addr, pg_multiaddr_text(&s->dialled, addr, sizeof addr)), reason);
    pg_path_step_tell(s->node, &s->reverses->peer,
                      &(struct pg_path_step){.kind = PG_STEP_DIAL_FAILED, .addrs = &s->dialled, .n_addrs = 1, .reason = reason});
    pg_path_dial_failed(s->reverses, why, reason);
}

static void lost_in_handshake(struct pg_session *s, enum pg_err why)
{
    struct pg_node *n = s->node;
    char endpoint[2 * PG_MULTIADDR_TEXT];
    struct pg_bytes reason = pg_text(s->reason[0] && why != PG_ERR_TIMEOUT ? s->reason : pg_err_text(why));
    if (pg_err_class(why) == PG_CLASS_PEER)
        reason = pg_text(pg_err_text(why));
    n->metrics.value[s->conn->dialer ? PG_METRIC_HANDSHAKES_FAILED_OUTBOUND : PG_METRIC_HANDSHAKES_FAILED_INBOUND]++;
    if (why == PG_ERR_IDENTITY_TWIN)
        pg_log_identity_twin(n->log, endpoint_text(s, endpoint, sizeof endpoint));
    if (s->contact)
        pg_contact_attempt_failed(s->contact, s, why, reason);
    else if (s->reverses)
        reversal_failed(s, why, reason);
    else if (s->hole)
        pg_hole_dial_failed(s, reason);
    else if (!s->conn->dialer && why != PG_ERR_SELF_DIAL && why != PG_ERR_IDENTITY_TWIN && why != PG_ERR_LIMIT_REACHED)
        pg_log_connection_failed(n->log, endpoint_text(s, endpoint, sizeof endpoint), reason);
}

void pg_session_lost(void *node, struct pg_conn *conn, enum pg_err why)
{
    struct pg_node *n = node;
    struct pg_session *s = conn->above;
    if (!s->listed)
        return;
    unlist(s);
    give_way(s);
    pg_punch_role_end(s);
    if (pg_err_class(why) == PG_CLASS_PEER)
        n->metrics.value[PG_METRIC_PROTOCOL_ERRORS]++;
    if (s->probes) {
        pg_probe_lost(s->probe, why);
        return;
    }
    if (!s->up) {
        lost_in_handshake(s, why);
        return;
    }
    if (pg_err_class(why) == PG_CLASS_PEER)
        pg_log_connection_broken(n->log, pg_text(s->peer_text), pg_text(pg_err_text(why)));
    s->up = false;
    pg_slot_lost(s);
    pg_pulse_end(s);
    n->kad.n_visited -= s->visits;
    pg_spare_end(s);
    pg_observed_leave(s);
    if (s->autonat)
        pg_reach_servers_changed(n);
    pg_identify_end(s);
    pg_ping_end(&s->ping);
    uint32_t remaining = part_from_peer(s, &conn->peer);
    pg_reservation_parted(s);
    n->metrics.value[PG_METRIC_CONNECTIONS_CLOSED]++;
    n->metrics.value[PG_METRIC_CONNECTIONS]--;
    if (s->relayed && s->reason[0])
        pg_log_circuit_lost(n->log, pg_text(s->peer_text), pg_text(s->reason));
    pg_log_connection_closed(n->log, pg_text(s->peer_text), remaining);
    pg_node_control_peer_lost(n, &conn->peer, remaining);
    pg_punch_session_lost(n, &conn->peer);
    if (n->hooks.peer_lost)
        n->hooks.peer_lost(n->hooks.context, s);
    if (remaining == 0) {
        pg_address_book_parted(&n->addresses, &conn->peer, n->scope.now_us + PG_FIXED_KNOWN_ADDRS_MS * 1000ull);
        pg_contacts_peer_lost(n, &conn->peer);
    } else if (n->hooks.peer_up) {
        n->hooks.peer_up(n->hooks.context, pg_node_session(n, &conn->peer)); /* whoever waits may go by another */
    }
}

void pg_sessions_reap(struct pg_node *n)
{
    while (n->doomed_sessions) {
        struct pg_session *s = n->doomed_sessions;
        n->doomed_sessions = s->next_doomed;
        pg_queue_clear(&s->identify.text);
        pg_queue_clear(&s->identify.pushed_text);
        if (s->circuit)
            pg_circuit_release(s->circuit);
        pg_pool_give(&n->session_pool, s);
    }
}
