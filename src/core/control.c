/* The control plane: turns the seed's events into those of phase, nat and relay, and their actions into its commands.
 * Called by node.c, one event at a time, and by nothing else.
 * Serves spec/system/node.sys: who hears what, and in which order, comes from its table. */
#include "core/control.h"
#include "machines.gen.h"
#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char *const event_names[PG_SEED_EVENTS] = {
    [PG_SEED_LISTENING_ON] = "ListeningOn",
    [PG_SEED_BOOTSTRAP_CONNECTED] = "BootstrapConnected",
    [PG_SEED_SHUTDOWN_REQUESTED] = "ShutdownRequested",
    [PG_SEED_KADEMLIA_BOOTSTRAP_OK] = "KademliaBootstrapOk",
    [PG_SEED_KADEMLIA_BOOTSTRAP_FAILED] = "KademliaBootstrapFailed",
    [PG_SEED_MDNS_DISCOVERED] = "MdnsDiscovered",
    [PG_SEED_MDNS_EXPIRED] = "MdnsExpired",
    [PG_SEED_PEER_IDENTIFIED] = "PeerIdentified",
    [PG_SEED_NAT_STATUS_CHANGED] = "NatStatusChanged",
    [PG_SEED_DISCOVERY_TIMEOUT] = "DiscoveryTimeout",
    [PG_SEED_RELAY_RESERVATION_ACCEPTED] = "RelayReservationAccepted",
    [PG_SEED_RELAY_RESERVATION_FAILED] = "RelayReservationFailed",
    [PG_SEED_HOLE_PUNCH_SUCCEEDED] = "HolePunchSucceeded",
    [PG_SEED_HOLE_PUNCH_FAILED] = "HolePunchFailed",
    [PG_SEED_CONNECTION_LOST] = "ConnectionLost",
    [PG_SEED_SERVICE_PROVIDERS_FOUND] = "ServiceProvidersFound",
    [PG_SEED_SERVICE_LOOKUP_FAILED] = "ServiceLookupFailed",
    [PG_SEED_NODE_STARTED] = "NodeStarted",
    [PG_SEED_NO_BOOTSTRAP_PEERS] = "NoBootstrapPeers",
};

static const char *const command_names[PG_SEED_COMMANDS] = {
    [PG_DO_DIAL] = "Dial",
    [PG_DO_LISTEN] = "Listen",
    [PG_DO_KADEMLIA_BOOTSTRAP] = "KademliaBootstrap",
    [PG_DO_KADEMLIA_ADD_ADDRESS] = "KademliaAddAddress",
    [PG_DO_KADEMLIA_START_PROVIDING] = "KademliaStartProviding",
    [PG_DO_KADEMLIA_PUT_RECORD] = "KademliaPutRecord",
    [PG_DO_KADEMLIA_GET_PROVIDERS] = "KademliaGetProviders",
    [PG_DO_REQUEST_RELAY_RESERVATION] = "RequestRelayReservation",
    [PG_DO_ADD_EXTERNAL_ADDRESS] = "AddExternalAddress",
    [PG_DO_PUBLISH_SERVICES] = "PublishServices",
    [PG_DO_LOG] = "Log",
    [PG_DO_SHUTDOWN] = "Shutdown",
    [PG_DO_RELEASE_RELAY_RESERVATION] = "ReleaseRelayReservation",
};

const char *pg_seed_event_name(enum pg_seed_event_kind kind)
{
    return event_names[kind];
}

const char *pg_seed_command_name(enum pg_seed_command_kind kind)
{
    return command_names[kind];
}

void pg_control_plane_init(struct pg_control_plane *cp, const struct pg_control_config *config, struct pg_scope *scope)
{
    memset(cp, 0, offsetof(struct pg_control_plane, commands));
    cp->config = *config;
    assert(config->n_listens <= PG_CONTROL_ADDRS && config->n_bootstraps <= PG_CONTROL_ADDRS);
    assert(config->n_exposed <= PG_CONTROL_SERVICES && config->n_wanted <= PG_CONTROL_SERVICES);
    assert(config->n_relays <= PG_MAX_RELAYS);
    cp->phase.plane = cp->nat.plane = cp;
    cp->relays_known.seed = config->seed;
    pg_instance_init(&cp->phase.in, &pg_phase_machine, &pg_phase_binding, &cp->phase, scope, cp->phase.timers, NULL, 0);
    pg_instance_init(&cp->nat.in, &pg_nat_machine, &pg_nat_binding, &cp->nat, scope, NULL, NULL, 0);
    for (uint32_t n = 0; n < config->n_relays; n++) {
        struct pg_relay *r = &cp->relays[n];
        r->plane = cp;
        pg_instance_init(&r->in, &pg_relay_machine, &pg_relay_binding, r, scope, r->timers, NULL, n);
    }
    cp->phase_told = cp->phase.in.ctl.state;
}

void pg_control_plane_end(struct pg_control_plane *cp)
{
    pg_instance_end(&cp->phase.in);
    pg_instance_end(&cp->nat.in);
    for (uint32_t n = 0; n < cp->config.n_relays; n++)
        pg_instance_end(&cp->relays[n].in);
}

struct pg_instance *pg_control_plane_hearer(struct pg_control_plane *cp, unsigned machine, const struct pg_instance *after)
{
    switch (machine) {
    case PG_MACHINE_PHASE: return after ? NULL : &cp->phase.in;
    case PG_MACHINE_NAT: return after ? NULL : &cp->nat.in;
    case PG_MACHINE_RELAY: {
        uint32_t next = after ? after->key + 1 : 0;
        return next < cp->config.n_relays ? &cp->relays[next].in : NULL;
    }
    default: return NULL;
    }
}

/* Notes what the event says about peers, before anybody asks for facts. */
static void absorb(struct pg_control_plane *cp, const struct pg_seed_event *event)
{
    size_t n_places = event->n_places < PG_CONTROL_PLACES ? event->n_places : PG_CONTROL_PLACES;
    switch (event->kind) {
    case PG_SEED_BOOTSTRAP_CONNECTED: {
        pg_book_add_addr(&cp->book, event->peer, event->addr);
        struct pg_known_peer *peer = pg_book_find(&cp->book, event->peer);
        if (peer)
            peer->bootstrap = peer->connected = true;
        break;
    }
    case PG_SEED_MDNS_DISCOVERED:
    case PG_SEED_PEER_IDENTIFIED:
        for (size_t n = 0; n < n_places; n++)
            pg_book_add_addr(&cp->book, &event->places[n].peer, &event->places[n].addr);
        if (event->kind == PG_SEED_PEER_IDENTIFIED && event->hop)
            pg_relay_book_heard(&cp->relays_known, event->peer, event->seen, event->hop > 0, cp->phase.in.scope->now_us);
        break;
    case PG_SEED_MDNS_EXPIRED:
        for (size_t n = 0; n < n_places; n++)
            pg_book_drop_addr(&cp->book, &event->places[n].peer, &event->places[n].addr);
        break;
    case PG_SEED_CONNECTION_LOST:
        if (event->remaining)
            break;
        pg_book_drop(&cp->book, event->peer);
        pg_relay_book_lost(&cp->relays_known, event->peer);
        break;
    case PG_SEED_RELAY_RESERVATION_ACCEPTED:
        for (uint32_t n = 0; n < cp->config.n_relays; n++)
            if (event->peer && pg_peer_id_equal(event->peer, &cp->relays[n].peer))
                cp->relays[n].lease_ms = event->lease_ms ? event->lease_ms : 3600000;
        break;
    case PG_SEED_LISTENING_ON:
    case PG_SEED_SHUTDOWN_REQUESTED:
    case PG_SEED_KADEMLIA_BOOTSTRAP_OK:
    case PG_SEED_KADEMLIA_BOOTSTRAP_FAILED:
    case PG_SEED_NAT_STATUS_CHANGED:
    case PG_SEED_DISCOVERY_TIMEOUT:
    case PG_SEED_RELAY_RESERVATION_FAILED:
    case PG_SEED_HOLE_PUNCH_SUCCEEDED:
    case PG_SEED_HOLE_PUNCH_FAILED:
    case PG_SEED_SERVICE_PROVIDERS_FOUND:
    case PG_SEED_SERVICE_LOOKUP_FAILED:
    case PG_SEED_NODE_STARTED:
    case PG_SEED_NO_BOOTSTRAP_PEERS:
    case PG_SEED_EVENTS: break;
    }
}

/* The system's event that this one is; PG_NODE_EVENTS when nobody hears it. */
static enum pg_node_event chosen(const struct pg_seed_event *event)
{
    switch (event->kind) {
    case PG_SEED_LISTENING_ON: return PG_NODE_ON_LISTEN_OPENED;
    case PG_SEED_BOOTSTRAP_CONNECTED: return PG_NODE_ON_BOOTSTRAP_CONNECTED;
    case PG_SEED_SHUTDOWN_REQUESTED: return PG_NODE_ON_SHUTDOWN_REQUESTED;
    case PG_SEED_KADEMLIA_BOOTSTRAP_OK: return PG_NODE_ON_KAD_READY;
    case PG_SEED_KADEMLIA_BOOTSTRAP_FAILED: return PG_NODE_ON_KAD_FAILED;
    case PG_SEED_MDNS_DISCOVERED: return PG_NODE_ON_MDNS_DISCOVERED;
    case PG_SEED_MDNS_EXPIRED: return PG_NODE_ON_MDNS_EXPIRED;
    case PG_SEED_PEER_IDENTIFIED: return PG_NODE_ON_PEER_IDENTIFIED;
    case PG_SEED_NAT_STATUS_CHANGED:
        return event->nat == PG_SEED_NAT_PUBLIC    ? PG_NODE_ON_NAT_FOUND_PUBLIC
               : event->nat == PG_SEED_NAT_PRIVATE ? PG_NODE_ON_NAT_FOUND_PRIVATE
                                                   : PG_NODE_ON_NAT_FOUND_UNKNOWN;
    case PG_SEED_RELAY_RESERVATION_ACCEPTED: return PG_NODE_ON_HOP_ACCEPTED;
    case PG_SEED_RELAY_RESERVATION_FAILED: return PG_NODE_ON_HOP_REFUSED;
    case PG_SEED_HOLE_PUNCH_SUCCEEDED: return PG_NODE_ON_PUNCH_SUCCEEDED;
    case PG_SEED_HOLE_PUNCH_FAILED: return PG_NODE_ON_PUNCH_FAILED;
    case PG_SEED_CONNECTION_LOST: return event->remaining ? PG_NODE_EVENTS : PG_NODE_ON_PEER_LOST;
    case PG_SEED_SERVICE_PROVIDERS_FOUND: return PG_NODE_ON_LOOKUP_FOUND;
    case PG_SEED_SERVICE_LOOKUP_FAILED: return PG_NODE_ON_LOOKUP_FAILED;
    case PG_SEED_NODE_STARTED: return PG_NODE_ON_NODE_STARTED;
    case PG_SEED_NO_BOOTSTRAP_PEERS: return PG_NODE_ON_BOOTSTRAP_NONE;
    case PG_SEED_DISCOVERY_TIMEOUT:
    case PG_SEED_EVENTS: break;
    }
    return PG_NODE_EVENTS;
}

static unsigned timer_of(const struct pg_machine *machine, unsigned event)
{
    unsigned timer = 0;
    while (machine->timer_event[timer] != event)
        timer++;
    return timer;
}

/* The discovery deadline, now: only a test or an impatient caller says so, and only while it runs. */
static void discovery_timeout(struct pg_control_plane *cp)
{
    unsigned timer = timer_of(&pg_phase_machine, PG_PHASE_ON_DISCOVERY_FIRED);
    if (!pg_timer_runs(&cp->phase.in, timer))
        return;
    pg_timer_stop(&cp->phase.in, timer);
    pg_step(&cp->phase.in, PG_PHASE_ON_DISCOVERY_FIRED);
}

static void tell(struct pg_control_plane *cp, const char *event)
{
    const struct pg_machine *m = cp->phase.in.machine;
    struct pg_control_turn turn = {event, m->states_as[cp->phase_told], m->states_as[cp->phase.in.ctl.state], cp->n_commands};
    cp->phase_told = cp->phase.in.ctl.state;
    if (cp->config.told)
        cp->config.told(cp->config.context, &turn);
}

void pg_control_plane_input(struct pg_control_plane *cp, const struct pg_seed_event *event)
{
    assert(cp->polled == cp->n_commands && "the last turn's commands were not drained");
    cp->polled = cp->n_commands = 0;
    absorb(cp, event);
    cp->event = event;
    enum pg_node_event number = chosen(event);
    if (event->kind == PG_SEED_DISCOVERY_TIMEOUT)
        discovery_timeout(cp);
    for (unsigned n = 0; number != PG_NODE_EVENTS && n < PG_NODE_FACTORS; n++)
        for (struct pg_instance *in = NULL; pg_node_hears[number][n] != PG_NODE_DEAF &&
                                            (in = pg_control_plane_hearer(cp, pg_node_factors[n]->id, in));)
            pg_step(in, (unsigned)pg_node_hears[number][n]);
    cp->event = NULL;
    tell(cp, pg_seed_event_name(event->kind));
}

void pg_control_plane_settle(struct pg_control_plane *cp)
{
    if (cp->polled == cp->n_commands && cp->phase.in.ctl.state == cp->phase_told)
        return;
    const struct pg_instance *in = &cp->phase.in;
    for (uint32_t n = 0; n < cp->config.n_relays && in->ctl.state == cp->phase_told; n++)
        if (cp->relays[n].in.event >= pg_relay_machine.n_events - PG_RELAY_TIMERS)
            in = &cp->relays[n].in; /* one whose timer has fired; several have the same names for it */
    tell(cp, in->machine->events_as[in->event]);
}

bool pg_control_plane_poll(struct pg_control_plane *cp, struct pg_seed_command *command)
{
    if (cp->polled == cp->n_commands) {
        cp->polled = cp->n_commands = 0;
        return false;
    }
    *command = cp->commands[cp->polled++];
    return true;
}

struct pg_seed_command *pg_control_plane_do(struct pg_control_plane *cp, enum pg_seed_command_kind kind)
{
    assert(cp->n_commands < PG_CONTROL_COMMANDS);
    struct pg_seed_command *command = &cp->commands[cp->n_commands++];
    *command = (struct pg_seed_command){.kind = kind};
    return command;
}

void pg_control_plane_note(struct pg_control_plane *cp, const struct pg_instance *from, const char *words)
{
    struct pg_seed_command *log = pg_control_plane_do(cp, PG_DO_LOG);
    log->text = words;
    log->machine = from->machine->id;
    if (!cp->event)
        return;
    log->peer = cp->event->peer;
    log->addr = cp->event->addr;
    log->name = cp->event->name;
    log->reason = cp->event->reason;
    log->count = cp->event->n_places;
}

static const char *shown(const struct pg_instance *in)
{
    return in->machine->states_as[in->ctl.state];
}

const char *pg_control_plane_phase(const struct pg_control_plane *cp)
{
    return shown(&cp->phase.in);
}

const char *pg_control_plane_nat(const struct pg_control_plane *cp)
{
    return shown(&cp->nat.in);
}

const char *pg_control_plane_relay(const struct pg_control_plane *cp)
{
    uint8_t best = PG_RELAY_IDLE;
    for (uint32_t n = 0; n < cp->config.n_relays; n++) {
        uint8_t state = cp->relays[n].in.ctl.state;
        if (state == PG_RELAY_HELD || state == PG_RELAY_RENEWING)
            best = PG_RELAY_HELD;
        else if (state == PG_RELAY_ASKING && best == PG_RELAY_IDLE)
            best = state;
    }
    return pg_relay_machine.states_as[best];
}
