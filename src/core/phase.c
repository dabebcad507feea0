/* Facts and actions of the phase machine: what a peer does at each step of its life.
 * Called by the generated binding, within a turn of the control plane.
 * Serves spec/machine/phase.sm; libp2p/specs kad-dht/README.md, "Bootstrap process". */
#include "core/control.h"

static struct pg_seed_command *command(struct pg_phase *self, enum pg_seed_command_kind kind)
{
    return pg_control_plane_do(self->plane, kind);
}

bool pg_phase_is_verdict_awaited(const struct pg_phase *self)
{
    return self->plane->judges > 0;
}

bool pg_phase_is_alone(const struct pg_phase *self)
{
    return self->plane->book.used == 0;
}

bool pg_phase_is_seeded(const struct pg_phase *self)
{
    return self->plane->config.n_bootstraps > 0;
}

bool pg_phase_is_circuit(const struct pg_phase *self)
{
    const struct pg_seed_event *event = self->plane->event;
    return event && event->addr && pg_multiaddr_is_circuit(event->addr);
}

void pg_phase_do_listen_open(struct pg_phase *self)
{
    const struct pg_control_config *config = &self->plane->config;
    for (size_t n = 0; n < config->n_listens; n++)
        command(self, PG_DO_LISTEN)->addr = &config->listens[n];
}

void pg_phase_do_bootstrap_dial(struct pg_phase *self)
{
    const struct pg_control_config *config = &self->plane->config;
    for (size_t n = 0; n < config->n_bootstraps; n++)
        command(self, PG_DO_DIAL)->addr = &config->bootstraps[n];
}

void pg_phase_do_kad_bootstrap(struct pg_phase *self)
{
    command(self, PG_DO_KADEMLIA_BOOTSTRAP);
}

/* Every address that the event brought. */
void pg_phase_do_kad_add(struct pg_phase *self)
{
    const struct pg_seed_event *event = self->plane->event;
    if (event->addr && event->peer) {
        struct pg_seed_command *add = command(self, PG_DO_KADEMLIA_ADD_ADDRESS);
        add->peer = event->peer;
        add->addr = event->addr;
    }
    for (size_t n = 0; n < event->n_places && n < PG_CONTROL_PLACES; n++) {
        struct pg_seed_command *add = command(self, PG_DO_KADEMLIA_ADD_ADDRESS);
        add->peer = &event->places[n].peer;
        add->addr = &event->places[n].addr;
    }
}

static void for_names(struct pg_phase *self, enum pg_seed_command_kind kind, const struct pg_bytes *names, size_t n_names)
{
    for (size_t n = 0; n < n_names; n++)
        command(self, kind)->name = names[n];
}

void pg_phase_do_services_publish(struct pg_phase *self)
{
    command(self, PG_DO_PUBLISH_SERVICES)->count = self->plane->config.n_exposed;
}

void pg_phase_do_keys_provide(struct pg_phase *self)
{
    for_names(self, PG_DO_KADEMLIA_START_PROVIDING, self->plane->config.exposed, self->plane->config.n_exposed);
}

void pg_phase_do_records_put(struct pg_phase *self)
{
    for_names(self, PG_DO_KADEMLIA_PUT_RECORD, self->plane->config.exposed, self->plane->config.n_exposed);
}

void pg_phase_do_providers_get(struct pg_phase *self)
{
    for_names(self, PG_DO_KADEMLIA_GET_PROVIDERS, self->plane->config.wanted, self->plane->config.n_wanted);
}

void pg_phase_do_addr_advertise(struct pg_phase *self)
{
    command(self, PG_DO_ADD_EXTERNAL_ADDRESS)->addr = self->plane->event->addr;
}

void pg_phase_do_node_stop(struct pg_phase *self)
{
    command(self, PG_DO_SHUTDOWN);
}

static const char *words(const struct pg_phase *self)
{
    switch ((enum pg_phase_event)self->in.event) {
    case PG_PHASE_ON_LISTEN_OPENED: return "listening";
    case PG_PHASE_ON_BOOTSTRAP_CONNECTED: return "bootstrap peer connected, entering discovery";
    case PG_PHASE_ON_BOOTSTRAP_NONE: return "no bootstrap peers, entering participation";
    case PG_PHASE_ON_KAD_READY: return "kademlia bootstrap complete";
    case PG_PHASE_ON_KAD_FAILED: return "kademlia bootstrap failed";
    case PG_PHASE_ON_DISCOVERY_FIRED: return "discovery timeout, entering participation";
    case PG_PHASE_ON_PEER_LOST: return pg_phase_is_alone(self) ? "all peers lost" : "peer fully disconnected";
    case PG_PHASE_ON_PUNCH_SUCCEEDED: return "hole punch succeeded";
    case PG_PHASE_ON_PUNCH_FAILED: return "hole punch failed";
    case PG_PHASE_ON_LOOKUP_FOUND: return "service providers found";
    case PG_PHASE_ON_LOOKUP_FAILED: return "service lookup failed";
    case PG_PHASE_ON_NODE_STARTED:
    case PG_PHASE_ON_SHUTDOWN_REQUESTED:
    case PG_PHASE_ON_MDNS_DISCOVERED:
    case PG_PHASE_ON_MDNS_EXPIRED:
    case PG_PHASE_ON_PEER_IDENTIFIED:
    case PG_PHASE_ON_VERDICT_FOUND: /* nat has said it */
    case PG_PHASE_ON_RELAY_RESERVED:
    case PG_PHASE_ON_REPUBLISH_FIRED: break;
    }
    return "";
}

void pg_phase_do_note(struct pg_phase *self)
{
    pg_control_plane_note(self->plane, &self->in, words(self));
}
