/* The control plane's other side: what happens becomes the seed's events, and the seed's commands are carried out.
 * Called by node.c, session.c, identify.c. Serves spec/system/node.sys. */
#include "core/node_internal.h"

#include "machines.gen.h"

#include <stddef.h>

static struct pg_bytes peer_text(const struct pg_peer_id *peer, char out[PG_PEER_ID_TEXT])
{
    return peer ? pg_bytes(out, pg_peer_id_text(peer, out)) : PG_NONE;
}

static struct pg_bytes addr_text(const struct pg_multiaddr *addr, char out[PG_MULTIADDR_TEXT])
{
    return addr ? pg_bytes(out, pg_multiaddr_text(addr, out, PG_MULTIADDR_TEXT)) : PG_NONE;
}

/* What becomes of a reservation. */
static void note_relay(struct pg_node *n, const struct pg_seed_command *c, enum pg_seed_event_kind event)
{
    char peer[PG_PEER_ID_TEXT];
    struct pg_bytes relay = peer_text(c->peer, peer);
    if (event == PG_SEED_RELAY_RESERVATION_ACCEPTED)
        pg_log_relay_accepted(n->log, relay);
    else if (event == PG_SEED_NAT_STATUS_CHANGED)
        pg_log_relay_released(n->log);
    else if (event == PG_SEED_CONNECTION_LOST)
        pg_log_relay_lost(n->log, relay);
    else
        pg_log_relay_failed(n->log, relay, event == PG_SEED_RELAY_RESERVATION_FAILED ? c->reason : pg_text(c->text));
}

/* The seed's Log command: the line for people that belongs to the event. */
static void note(struct pg_node *n, const struct pg_seed_command *c, enum pg_seed_event_kind event)
{
    char peer[PG_PEER_ID_TEXT], addr[PG_MULTIADDR_TEXT];
    if (c->machine == PG_MACHINE_RELAY) {
        note_relay(n, c, event);
        return;
    }
    switch (event) {
    case PG_SEED_LISTENING_ON: pg_log_listening_on(n->log, addr_text(c->addr, addr)); return;
    case PG_SEED_BOOTSTRAP_CONNECTED: pg_log_bootstrap_connected(n->log, peer_text(c->peer, peer)); return;
    case PG_SEED_KADEMLIA_BOOTSTRAP_OK: pg_log_kademlia_bootstrap_ok(n->log); return;
    case PG_SEED_KADEMLIA_BOOTSTRAP_FAILED: pg_log_kademlia_bootstrap_failed(n->log, c->reason); return;
    case PG_SEED_CONNECTION_LOST:
        pg_log_peer_disconnected(n->log, peer_text(c->peer, peer));
        if (c->machine == PG_MACHINE_PHASE && n->control.phase.in.ctl.state == PG_PHASE_DISCOVERING && pg_phase_is_alone(&n->control.phase))
            pg_log_all_peers_lost(n->log);
        return;
    case PG_SEED_DISCOVERY_TIMEOUT: pg_log_discovery_timeout(n->log); return;
    case PG_SEED_HOLE_PUNCH_SUCCEEDED: pg_log_hole_punch_succeeded(n->log, peer_text(c->peer, peer)); return;
    case PG_SEED_HOLE_PUNCH_FAILED: pg_log_hole_punch_failed(n->log, peer_text(c->peer, peer), c->reason); return;
    case PG_SEED_NAT_STATUS_CHANGED:
        pg_log_nat_status_changed(n->log, pg_text(n->nat_before), pg_text(pg_control_plane_nat(&n->control)));
        return;
    case PG_SEED_RELAY_RESERVATION_ACCEPTED:
    case PG_SEED_RELAY_RESERVATION_FAILED:
    case PG_SEED_NO_BOOTSTRAP_PEERS:
    case PG_SEED_SHUTDOWN_REQUESTED:
    case PG_SEED_MDNS_DISCOVERED:
    case PG_SEED_MDNS_EXPIRED:
    case PG_SEED_PEER_IDENTIFIED:
    case PG_SEED_SERVICE_PROVIDERS_FOUND:
    case PG_SEED_SERVICE_LOOKUP_FAILED:
    case PG_SEED_NODE_STARTED:
    case PG_SEED_EVENTS: return;
    }
}

static void dial(struct pg_node *n, const struct pg_multiaddr *addr)
{
    struct pg_peer_id named;
    pg_multiaddr_peer(addr, &named);
    if (pg_peer_id_equal(&named, pg_identity_peer_id(n->config.identity)))
        return; /* a list that many peers share may name us, too */
    struct pg_contact *c = pg_node_contact(n, &named);
    if (!c)
        return;
    (void)pg_contact_add(c, addr);
    pg_contact_start(c, true, true);
}

static void name_to(struct pg_node *n, void (*hook)(void *, struct pg_bytes), struct pg_bytes name)
{
    if (hook)
        hook(n->hooks.context, name);
}

/* Carries out what one turn has ordered. `event` made it; PG_SEED_EVENTS for a timer. */
static void carry_out(struct pg_node *n, enum pg_seed_event_kind event)
{
    struct pg_seed_command c;
    while (pg_control_plane_poll(&n->control, &c)) {
        switch (c.kind) {
        case PG_DO_LOG: note(n, &c, event); break;
        case PG_DO_LISTEN: pg_node_listen(n, c.addr); break;
        case PG_DO_DIAL: dial(n, c.addr); break;
        case PG_DO_KADEMLIA_BOOTSTRAP: pg_kad_refresh_asked(n); break;
        case PG_DO_SHUTDOWN: pg_step(&n->shutdown.in, PG_SHUTDOWN_ON_STOP); break;
        /* Who serves Kademlia is known when identify has said so, and then comes into the table with its addresses. */
        case PG_DO_KADEMLIA_ADD_ADDRESS: break;
        case PG_DO_KADEMLIA_START_PROVIDING: name_to(n, n->hooks.provide, c.name); break;
        case PG_DO_KADEMLIA_PUT_RECORD: name_to(n, n->hooks.record, c.name); break;
        case PG_DO_KADEMLIA_GET_PROVIDERS: name_to(n, n->hooks.find, c.name); break;
        case PG_DO_PUBLISH_SERVICES: break; /* opens the round of these; there is nothing that it takes */
        case PG_DO_REQUEST_RELAY_RESERVATION: pg_reservation_ask(n, c.peer, c.addr); break;
        case PG_DO_RELEASE_RELAY_RESERVATION: pg_reservation_release(n, c.peer); break;
        /* Nobody orders it: a circuit's addresses are those of its reservation, and listeners are told of as they stand. */
        case PG_DO_ADD_EXTERNAL_ADDRESS:
        case PG_SEED_COMMANDS: break;
        }
    }
}

static void input(struct pg_node *n, const struct pg_seed_event *event)
{
    if (n->config.quiet)
        return; /* a command does its one thing and has no life of its own */
    pg_node_control_settle(n); /* a timer may have stepped the plane in this turn before something else came in */
    n->nat_before = pg_control_plane_nat(&n->control);
    uint8_t nat = n->control.nat.in.ctl.state;
    pg_control_plane_input(&n->control, event);
    carry_out(n, event->kind);
    if (n->started && nat != n->control.nat.in.ctl.state)
        pg_identify_push(n); /* whom we serve Kademlia, and relay, has changed, and so have our protocols */
}

static void told(void *context, const struct pg_control_turn *turn)
{
    struct pg_node *n = context;
    pg_log_event_processed(n->log, pg_text(turn->event), turn->n_commands);
    if (turn->from != turn->to)
        pg_log_phase_transition(n->log, pg_text(turn->event), pg_text(turn->from), pg_text(turn->to), turn->n_commands);
    if (turn->from != turn->to && n->control.phase.in.ctl.state == PG_PHASE_PARTICIPATING &&
        n->control.phase.in.event != PG_PHASE_ON_DISCOVERY_FIRED)
        pg_log_discovery_complete(n->log);
}

static void take_names(struct pg_node *n)
{
    struct pg_control_config *c = &n->control.config;
    c->exposed = n->exposed_names;
    c->n_exposed = n->n_exposed_names;
    c->wanted = n->wanted_names;
    c->n_wanted = n->n_wanted_names;
}

void pg_node_names(struct pg_node *n, const struct pg_bytes *exposed, uint32_t n_exposed, const struct pg_bytes *wanted, uint32_t n_wanted)
{
    n->exposed_names = exposed;
    n->n_exposed_names = n_exposed < PG_CONTROL_SERVICES ? n_exposed : PG_CONTROL_SERVICES;
    n->wanted_names = wanted;
    n->n_wanted_names = n_wanted < PG_CONTROL_SERVICES ? n_wanted : PG_CONTROL_SERVICES;
    take_names(n);
}

bool pg_node_participates(const struct pg_node *n)
{
    return n->started && n->control.phase.in.ctl.state == PG_PHASE_PARTICIPATING;
}

void pg_node_control_init(struct pg_node *n)
{
    struct pg_control_config c = {.listens = n->config.listens, .n_listens = n->config.n_listens,
                                  .bootstraps = n->config.bootstraps, .n_bootstraps = n->config.n_bootstraps,
                                  .n_relays = n->config.n_relays, .seed = pg_node_random(n), .told = told, .context = n};
    pg_control_plane_init(&n->control, &c, &n->scope);
    n->control.can_reserve = !n->config.quiet;
    take_names(n);
    input(n, &(struct pg_seed_event){.kind = PG_SEED_NODE_STARTED});
    if (n->config.nat_status == 0 || n->config.quiet)
        return;
    bool public = n->config.nat_status > 0;
    pg_log_nat_status_override(n->log, public ? PG_LIT("Public") : PG_LIT("Private"));
    input(n, &(struct pg_seed_event){.kind = PG_SEED_NAT_STATUS_CHANGED,
                                     .nat = public ? PG_SEED_NAT_PUBLIC : PG_SEED_NAT_PRIVATE});
}

void pg_node_control_settle(struct pg_node *n)
{
    if (n->config.quiet)
        return;
    pg_control_plane_settle(&n->control);
    carry_out(n, PG_SEED_DISCOVERY_TIMEOUT); /* the only timer of the plane that says something to people */
}

void pg_node_control_ready(struct pg_node *n)
{
    if (n->config.n_bootstraps == 0)
        input(n, &(struct pg_seed_event){.kind = PG_SEED_NO_BOOTSTRAP_PEERS});
}

void pg_node_control_listening(struct pg_node *n, const struct pg_multiaddr *addr)
{
    input(n, &(struct pg_seed_event){.kind = PG_SEED_LISTENING_ON, .addr = addr});
}

void pg_node_control_peer_up(struct pg_session *s)
{
    const struct pg_contact *c = NULL;
    while ((c = pg_contact_find(s->node, &s->conn->peer, c)))
        if (c->is_bootstrap) {
            input(s->node, &(struct pg_seed_event){.kind = PG_SEED_BOOTSTRAP_CONNECTED, .peer = &c->peer, .addr = &c->addrs[0]});
            return;
        }
}

/* A command with the key of a relay that runs relays for nobody, and that relay does all the same. */
static bool relays_elsewhere(const struct pg_session *s)
{
    for (const struct pg_session *o = s->place ? s->place->first : NULL; o; o = o->next_same)
        if (o != s && o->hop > 0)
            return true;
    return false;
}

void pg_node_control_peer_identified(struct pg_session *s, const struct pg_multiaddr *addrs, uint32_t n_addrs, int hop)
{
    struct pg_seed_place places[64];
    struct pg_multiaddr seen;
    struct pg_endpoint at = s->conn->remote, said = {0};
    for (uint32_t i = 0; i < n_addrs && !said.port; i++)
        (void)pg_multiaddr_tcp(&addrs[i], &said, NULL);
    s->hop = hop ? (int8_t)hop : s->hop;
    hop = hop < 0 && relays_elsewhere(s) ? 0 : hop;
    s->relay_port = said.port ? said.port : s->relay_port;
    if (!s->conn->dialer && s->relay_port)
        at.port = s->relay_port; /* who came to us came from a port of its own choice */
    pg_multiaddr_from_tcp(&seen, &at);
    for (uint32_t i = 0; i < n_addrs; i++)
        places[i] = (struct pg_seed_place){s->conn->peer, addrs[i]};
    input(s->node, &(struct pg_seed_event){.kind = PG_SEED_PEER_IDENTIFIED, .peer = &s->conn->peer, .places = places,
                                           .n_places = n_addrs, .hop = hop, .seen = &seen});
    /* It has become private itself, or was told to stop: nobody is brought to us from there, however long the lease still is. */
    if (hop < 0 && pg_reservation_held(s->node, &s->conn->peer))
        pg_node_control_reserved(s->node, &s->conn->peer, false, 0, PG_LIT("it does not relay any more"));
}

void pg_node_control_reserved(struct pg_node *n, const struct pg_peer_id *relay, bool granted, uint64_t lease_ms, struct pg_bytes reason)
{
    input(n, &(struct pg_seed_event){.kind = granted ? PG_SEED_RELAY_RESERVATION_ACCEPTED : PG_SEED_RELAY_RESERVATION_FAILED, .peer = relay,
                                     .lease_ms = lease_ms, .reason = reason});
}

void pg_node_control_measured(struct pg_session *s)
{
    struct pg_relay_candidate *relay = pg_session_is_relayed(s) ? NULL : pg_relay_book_find(&s->node->control.relays_known, &s->conn->peer);
    if (relay)
        relay->rtt_us = s->rtt_us;
}

void pg_node_control_neighbour(struct pg_node *n, enum pg_seed_event_kind kind, const struct pg_seed_place *places, uint32_t n_places)
{
    input(n, &(struct pg_seed_event){.kind = kind, .peer = &places->peer, .places = places, .n_places = n_places});
}

void pg_node_control_peer_lost(struct pg_node *n, const struct pg_peer_id *peer, uint32_t remaining)
{
    input(n, &(struct pg_seed_event){.kind = PG_SEED_CONNECTION_LOST, .peer = peer, .remaining = remaining});
}

void pg_node_control_kad(struct pg_node *n, bool ok, struct pg_bytes reason)
{
    input(n, &(struct pg_seed_event){.kind = ok ? PG_SEED_KADEMLIA_BOOTSTRAP_OK : PG_SEED_KADEMLIA_BOOTSTRAP_FAILED, .reason = reason});
}

void pg_node_control_punched(struct pg_node *n, const struct pg_peer_id *peer, bool ok, struct pg_bytes reason)
{
    input(n, &(struct pg_seed_event){.kind = ok ? PG_SEED_HOLE_PUNCH_SUCCEEDED : PG_SEED_HOLE_PUNCH_FAILED, .peer = peer, .reason = reason});
}

void pg_node_control_nat(struct pg_node *n, enum pg_seed_nat status)
{
    input(n, &(struct pg_seed_event){.kind = PG_SEED_NAT_STATUS_CHANGED, .nat = status});
}

void pg_node_looked(struct pg_node *n, struct pg_bytes name, uint32_t n_found, enum pg_err why)
{
    if (n_found > 0)
        input(n, &(struct pg_seed_event){.kind = PG_SEED_SERVICE_PROVIDERS_FOUND, .name = name, .n_places = n_found});
    else
        input(n, &(struct pg_seed_event){.kind = PG_SEED_SERVICE_LOOKUP_FAILED, .name = name,
                                         .reason = pg_text(pg_err_text(why ? why : PG_ERR_NOT_FOUND))});
}

void pg_node_control_stop(struct pg_node *n)
{
    input(n, &(struct pg_seed_event){.kind = PG_SEED_SHUTDOWN_REQUESTED});
}
