/* Facts and actions of the relay machine: the reservations of a peer behind a NAT, each at a relay of its own.
 * Called by the generated binding, within a turn of the control plane.
 * Serves spec/machine/relay.sm; libp2p/specs relay/circuit-v2.md, "Reservation". */
#include "core/control.h"

enum { LEASE_LEAST_MS = 1000, REST_LEAST_MS = 100 };

static struct pg_relay_book *book(const struct pg_relay *self)
{
    return &self->plane->relays_known;
}

static uint64_t now_us(const struct pg_relay *self)
{
    return self->in.scope->now_us;
}

bool pg_relay_is_usable(const struct pg_relay *self)
{
    return self->plane->can_reserve && pg_relay_book_best(book(self), now_us(self));
}

bool pg_relay_is_hopeful(const struct pg_relay *self)
{
    return self->plane->can_reserve && pg_relay_book_next_us(book(self)) != UINT64_MAX;
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

uint64_t pg_relay_rest_due_ms(const struct pg_relay *self)
{
    uint64_t at = pg_relay_book_next_us(book(self)), now = now_us(self);
    return at <= now || at - now < REST_LEAST_MS * 1000ull ? REST_LEAST_MS : at == UINT64_MAX ? REST_LEAST_MS : (at - now + 999) / 1000;
}

static void request(struct pg_relay *self, const struct pg_relay_candidate *relay)
{
    struct pg_seed_command *ask = pg_control_plane_do(self->plane, PG_DO_REQUEST_RELAY_RESERVATION);
    self->asked = true;
    ask->peer = &self->peer;
    ask->addr = relay && relay->addr.len ? &relay->addr : NULL;
}

void pg_relay_do_hop_reserve(struct pg_relay *self)
{
    struct pg_relay_candidate *relay = pg_relay_book_best(book(self), now_us(self));
    relay->taken = true; /* there is one: `usable` held when the row was chosen, and what was left since is shunned */
    self->peer = relay->id;
    request(self, relay);
}

void pg_relay_do_hop_renew(struct pg_relay *self)
{
    request(self, pg_relay_book_find(book(self), &self->peer));
}

/* Nothing to give back when the answer was no. */
void pg_relay_do_hop_release(struct pg_relay *self)
{
    struct pg_relay_candidate *relay = pg_relay_book_find(book(self), &self->peer);
    if (relay)
        relay->taken = false;
    self->left = self->peer;
    if (self->asked)
        pg_control_plane_do(self->plane, PG_DO_RELEASE_RELAY_RESERVATION)->peer = &self->left;
    self->asked = false;
    self->peer.len = 0;
}

void pg_relay_do_relay_shun(struct pg_relay *self)
{
    struct pg_relay_candidate *relay = pg_relay_book_find(book(self), &self->peer);
    if (relay)
        pg_relay_book_shun(book(self), relay, self->in.event == PG_RELAY_ON_PEER_LOST, now_us(self));
}

void pg_relay_do_backoff_reset(struct pg_relay *self)
{
    struct pg_relay_candidate *relay = pg_relay_book_find(book(self), &self->peer);
    if (relay)
        pg_relay_book_granted(relay);
}

static const char *words(const struct pg_relay *self)
{
    switch ((enum pg_relay_event)self->in.event) {
    case PG_RELAY_ON_HOP_ACCEPTED: return "relay reservation accepted";
    case PG_RELAY_ON_HOP_REFUSED: return "relay reservation failed";
    case PG_RELAY_ON_ANSWER_FIRED: return "relay reservation not answered";
    case PG_RELAY_ON_PEER_LOST: return "relay lost";
    case PG_RELAY_ON_NAT_BECAME_PUBLIC: return "publicly reachable, releasing relay reservation";
    case PG_RELAY_ON_BOOTSTRAP_CONNECTED:
    case PG_RELAY_ON_PEER_IDENTIFIED:
    case PG_RELAY_ON_SHUTDOWN_REQUESTED:
    case PG_RELAY_ON_NAT_BECAME_PRIVATE:
    case PG_RELAY_ON_RELAY_FREED:
    case PG_RELAY_ON_REFRESH_FIRED:
    case PG_RELAY_ON_REST_FIRED: break;
    }
    return "";
}

void pg_relay_do_note(struct pg_relay *self)
{
    pg_control_plane_note(self->plane, &self->in, words(self));
    self->told = self->peer;
    self->plane->commands[self->plane->n_commands - 1].peer = &self->told;
}
