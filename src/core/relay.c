/* Facts and actions of the relay machine: one reservation, at the nearest bootstrap peer that does not refuse.
 * Called by the generated binding, within a turn of the control plane.
 * Serves spec/machine/relay.sm; libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/control.h"

#define BACKOFF_FIRST_MS 5000u
#define BACKOFF_LAST_MS 300000u
#define LEASE_LEAST_MS 1000u

bool pg_relay_is_usable(const struct pg_relay *self)
{
    return self->plane->can_reserve && pg_book_relay(&self->plane->book);
}

bool pg_relay_is_ours(const struct pg_relay *self)
{
    const struct pg_seed_event *event = self->plane->event;
    return event && event->peer && self->peer.len && pg_peer_id_equal(event->peer, &self->peer);
}

/* Asks again when three quarters of the lease are over: leaves time for a second try. */
uint64_t pg_relay_refresh_due_ms(const struct pg_relay *self)
{
    uint64_t due = self->lease_ms / 4 * 3;
    return due < LEASE_LEAST_MS ? LEASE_LEAST_MS : due;
}

/* Doubles with every attempt; up to a fifth less, so that peers that lost the same relay do not come back together. */
uint64_t pg_relay_backoff_ms(const struct pg_relay *self)
{
    unsigned doublings = self->attempts ? self->attempts - 1 : 0;
    uint64_t wait = doublings < 6 ? (uint64_t)BACKOFF_FIRST_MS << doublings : BACKOFF_LAST_MS;
    uint64_t mixed = (self->plane->config.seed + self->attempts) * 0x9e3779b97f4a7c15u;
    return wait - (mixed >> 40) % (wait / 5 + 1);
}

static void request(struct pg_relay *self, struct pg_known_peer *peer)
{
    struct pg_seed_command *ask = pg_control_plane_do(self->plane, PG_DO_REQUEST_RELAY_RESERVATION);
    self->asked = true;
    ask->peer = &self->peer;
    ask->addr = peer ? &peer->addrs[0] : NULL;
    if (self->attempts < UINT16_MAX)
        self->attempts++;
    if (peer && peer->relay_failures < UINT16_MAX)
        peer->relay_failures++; /* until it says yes */
}

void pg_relay_do_hop_reserve(struct pg_relay *self)
{
    struct pg_known_peer *peer = pg_book_relay(&self->plane->book);
    self->peer = peer->id; /* there is one: `usable` held when the row was chosen */
    request(self, peer);
}

void pg_relay_do_hop_renew(struct pg_relay *self)
{
    request(self, pg_book_find(&self->plane->book, &self->peer));
}

/* Nothing to give back when nothing was asked since the last time; an acceptance that comes too late is given back, too. */
void pg_relay_do_hop_release(struct pg_relay *self)
{
    if (self->asked || self->in.event == PG_RELAY_ON_HOP_ACCEPTED)
        pg_control_plane_do(self->plane, PG_DO_RELEASE_RELAY_RESERVATION)->peer = &self->peer;
    self->asked = false;
}

void pg_relay_do_backoff_reset(struct pg_relay *self)
{
    struct pg_known_peer *peer = pg_book_find(&self->plane->book, &self->peer);
    self->attempts = 0;
    if (peer)
        peer->relay_failures = 0;
}

static const char *words(const struct pg_relay *self)
{
    switch ((enum pg_relay_event)self->in.event) {
    case PG_RELAY_ON_HOP_ACCEPTED: return "relay reservation accepted";
    case PG_RELAY_ON_HOP_REFUSED: return "relay reservation failed";
    case PG_RELAY_ON_ANSWER_FIRED: return "relay reservation not answered";
    case PG_RELAY_ON_NAT_BECAME_PUBLIC: return "publicly reachable, releasing relay reservation";
    case PG_RELAY_ON_BOOTSTRAP_CONNECTED:
    case PG_RELAY_ON_PEER_IDENTIFIED:
    case PG_RELAY_ON_PEER_LOST:
    case PG_RELAY_ON_SHUTDOWN_REQUESTED:
    case PG_RELAY_ON_NAT_BECAME_PRIVATE:
    case PG_RELAY_ON_REFRESH_FIRED:
    case PG_RELAY_ON_REST_FIRED: break;
    }
    return "";
}

void pg_relay_do_note(struct pg_relay *self)
{
    pg_control_plane_note(self->plane, &self->in, words(self));
    if (self->in.event == PG_RELAY_ON_HOP_REFUSED && pg_relay_is_ours(self))
        self->asked = false; /* of what was refused nothing can be given back */
}
