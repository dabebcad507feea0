/* The control plane's reservations and the relays that it knows, beside what the explorer has noted of them.
 * Called by plane.c. Serves design section 7, point 4; facts and actions of relay.c. */
#include "plane.h"
#include <string.h>

struct pg_peer_id plane_id(enum who who)
{
    struct pg_peer_id id = {.len = 38, .at = {0, 36, 8, 1, 18, 32}};
    id.at[37] = (uint8_t)who;
    return id;
}

enum who plane_who(const struct pg_peer_id *id)
{
    return id && id->len == 38 && id->at[37] < PEERS ? (enum who)id->at[37] : NOBODY;
}

static bool is_free(enum who who)
{
    bool taken = false;
    for (unsigned n = 0; n < SLOTS; n++)
        taken = taken || notes.slots[n].asked == who;
    return notes.relays[who].hop && !taken;
}

static bool is_usable(enum who who)
{
    return is_free(who) && notes.relays[who].not_before_us <= scope.now_us;
}

bool plane_can_reserve(void)
{
    return notes.client && (is_usable(BOOT1) || is_usable(BOOT2) || is_usable(STRANGER));
}

bool plane_can_hope(void)
{
    return notes.client && (is_free(BOOT1) || is_free(BOOT2) || is_free(STRANGER));
}

unsigned plane_slot(const void *self)
{
    return (unsigned)((const struct pg_relay *)self - cp.relays);
}

static uint64_t distance(enum who who)
{
    return (notes.relays[who].near ? 5000u : 1000000u) * (1 + 2 * (uint64_t)notes.relays[who].failed / (1 + notes.relays[who].granted));
}

/* All are in one network here; that others are better is a test of its own. */
bool plane_best_choice(enum who who)
{
    for (enum who other = BOOT1; other < PEERS; other++) {
        if (other == who || !is_usable(other))
            continue;
        if (notes.relays[other].failures != notes.relays[who].failures) {
            if (notes.relays[other].failures < notes.relays[who].failures)
                return false;
        } else if (notes.relays[other].up != notes.relays[who].up) {
            if (notes.relays[other].up)
                return false;
        } else if (distance(other) < distance(who))
            return false;
    }
    return is_usable(who);
}

/* What an action of one reservation has made of the relay that it is at. */
void plane_slot_after(const char *name, unsigned number)
{
    struct slot *slot = &notes.slots[number];
    struct pg_peer_id id = plane_id(slot->asked);
    const struct pg_relay_candidate *known = pg_relay_book_find(&cp.relays_known, &id);
    if (strcmp(name, "hop.reserve") == 0)
        *slot = (struct slot){.asked = plane_who(cp.commands[cp.n_commands - 1].peer), .out = true, .from = slot->from, .before = slot->before, .fired = slot->fired};
    else if (strcmp(name, "hop.renew") == 0)
        slot->out = true;
    else if (strcmp(name, "hop.release") == 0)
        slot->asked = NOBODY, slot->out = slot->granted = false;
    else if (strcmp(name, "backoff.reset") == 0) {
        notes.relays[slot->asked].failures = 0;
        notes.relays[slot->asked].granted++;
    } else if (strcmp(name, "relay.shun") == 0 && known) {
        unsigned doublings = notes.relays[slot->asked].failures++;
        uint64_t most = doublings < 6 ? UINT64_C(5000000) << doublings : UINT64_C(300000000), wait = known->not_before_us - scope.now_us;
        ORDERS_HOLDS(wait <= most && wait >= most / 5 * 4, "a relay that has failed is asked again after %llu ms", (unsigned long long)wait / 1000);
        notes.relays[slot->asked].failed++;
        notes.relays[slot->asked].dropped = notes.now->kind == PG_SEED_CONNECTION_LOST;
        notes.relays[slot->asked].away = notes.now->kind != PG_SEED_CONNECTION_LOST && !notes.relays[slot->asked].up;
        notes.relays[slot->asked].not_before_us = known->not_before_us;
    }
}

void plane_learn_relay(enum who who, bool hop)
{
    bool taken = false;
    for (unsigned n = 0; n < SLOTS; n++)
        taken = taken || notes.slots[n].asked == who;
    if (!hop && !taken) {
        memset(&notes.relays[who], 0, sizeof notes.relays[who]);
        return;
    }
    if (!notes.relays[who].up && (notes.relays[who].away || (notes.relays[who].dropped && notes.relays[who].failures <= 1)))
        notes.relays[who].not_before_us = scope.now_us;
    notes.relays[who].hop = hop;
    notes.relays[who].up = true;
}

/* A reservation: asked for when it is needed and possible, kept by nobody else's doing, given back when it is not needed. */
void plane_slot_turn_holds(const struct choice *c, unsigned number, enum who had_before)
{
    const struct pg_instance *in = &cp.relays[number].in;
    const struct slot *slot = &notes.slots[number];
    uint8_t relay = in->ctl.state, from = slot->from;
    bool had = from == PG_RELAY_ASKING || from == PG_RELAY_HELD || from == PG_RELAY_RENEWING;
    bool accepted = c->kind == PG_SEED_RELAY_RESERVATION_ACCEPTED, refused = c->kind == PG_SEED_RELAY_RESERVATION_FAILED;
    bool lost = c->kind == PG_SEED_CONNECTION_LOST && !c->remaining && from != PG_RELAY_ASKING, ours = had && c->who == had_before;
    bool rested = slot->fired && strcmp(in->machine->timers[slot->fired - 1], "rest") == 0;
    bool told = c->kind == PG_SEED_BOOTSTRAP_CONNECTED || c->kind == PG_SEED_PEER_IDENTIFIED ||
                (c->kind == PG_SEED_NAT_STATUS_CHANGED && c->nat == PG_SEED_NAT_PRIVATE && notes.was_nat != PG_SEED_NAT_PRIVATE && from == PG_RELAY_IDLE);
    uint64_t left = 0;
    if ((told || rested || ((accepted || refused || lost) && ours)) && notes.needed && plane_can_reserve())
        ORDERS_HOLDS(relay == PG_RELAY_HELD || relay == PG_RELAY_ASKING || relay == PG_RELAY_RENEWING,
                     "%s: a reservation is needed and possible, and nobody asks for it", c->name);
    if ((told || rested) && notes.needed && relay == PG_RELAY_IDLE)
        ORDERS_HOLDS(!plane_can_hope(), "%s: a relay may be asked later, and nobody waits for it", c->name);
    if (accepted && !ours)
        ORDERS_HOLDS(orders_mix_instance(1, in) == slot->before, "%s: it is not about us, and moves our reservation", c->name);
    if ((refused || lost) && !ours && had)
        ORDERS_HOLDS(orders_mix_instance(1, in) == slot->before, "%s: it is not about us, and moves our reservation", c->name);
    if (accepted && ours) {
        ORDERS_HOLDS(relay == PG_RELAY_HELD && slot->granted, "granted, and it is not held");
        ORDERS_HOLDS(notes.did[PG_DO_LOG] > 0, "%s: nobody is told of it", c->name);
        ORDERS_HOLDS(orders_runs(in, "refresh", &left) && left * 100 > (slot->lease_end_us - scope.now_us) * 74, "a new lease, and it is renewed as the old one");
    }
    if (accepted && ours && from != PG_RELAY_HELD)
        ORDERS_HOLDS(notes.relays[c->who].failures == 0, "granted, and failures are counted");
    if ((refused || lost) && ours) {
        ORDERS_HOLDS(relay == PG_RELAY_RESTING || relay == PG_RELAY_ASKING, "%s: and it goes on as if nothing were", c->name);
        ORDERS_HOLDS(slot->asked != c->who, "%s: and it is asked again at once", c->name);
        ORDERS_HOLDS(notes.did[PG_DO_LOG] > 0, "%s: nobody is told of it", c->name);
    }
    if (c->kind == PG_SEED_NAT_STATUS_CHANGED && had && relay == PG_RELAY_IDLE)
        ORDERS_HOLDS(notes.did[PG_DO_LOG] >= 2, "what is given back: nobody is told of it");
    if (slot->fired && strcmp(in->machine->timers[slot->fired - 1], "answer") == 0)
        ORDERS_HOLDS(notes.did[PG_DO_LOG] > 0, "no answer: nobody is told of it");
}

void plane_timer_holds(const struct pg_instance *in, const char *timer, bool runs, uint64_t least_ms, uint64_t most_ms)
{
    uint64_t left = 0;
    bool is = orders_runs(in, timer, &left);
    ORDERS_HOLDS(is == runs, "%s is %s, and timer %s %s", in->machine->name, in->machine->states[in->ctl.state], timer,
                 is ? "runs" : "does not run");
    ORDERS_HOLDS(!is || (left >= least_ms * 1000 && left <= most_ms * 1000), "timer %s of %s has %llu ms left, and %llu to %llu are its name's",
                 timer, in->machine->name, (unsigned long long)left / 1000, (unsigned long long)least_ms, (unsigned long long)most_ms);
}

void plane_reservation_holds(unsigned number)
{
    const struct pg_instance *in = &cp.relays[number].in;
    const struct slot *slot = &notes.slots[number];
    uint8_t relay = in->ctl.state;
    bool asking = relay == PG_RELAY_ASKING, held = relay == PG_RELAY_HELD, renewing = relay == PG_RELAY_RENEWING;
    const char *name = in->machine->states[relay];
    plane_timer_holds(in, "answer", asking || renewing, 0, 30000);
    plane_timer_holds(in, "refresh", held, 0, HOUR_MS);
    plane_timer_holds(in, "rest", relay == PG_RELAY_RESTING, 0, 300000);
    ORDERS_HOLDS(slot->out == (asking || renewing), "relay is %s, and a request is %s", name, slot->out ? "out" : "not out");
    ORDERS_HOLDS(slot->granted == (held || renewing), "relay is %s, and a circuit %s", name, slot->granted ? "stands" : "does not stand");
    ORDERS_HOLDS((slot->asked != NOBODY) == (asking || held || renewing), "relay is %s, and a relay is %s", name, slot->asked ? "ours" : "not ours");
    ORDERS_HOLDS(plane_who(&cp.relays[number].peer) == slot->asked, "the reservation is not at the peer that was asked");
    ORDERS_HOLDS(slot->asked == NOBODY || slot->asked != notes.slots[!number].asked, "both reservations are at one relay");
    ORDERS_HOLDS(!(slot->out || slot->granted) || (notes.needed && !notes.stopping), "a reservation is kept that nobody needs");
    ORDERS_HOLDS(notes.stopping || orders_has(in, "needed") == notes.needed, "needed is not what AutoNAT said last");
    if (held && !orders_failed()) {
        uint64_t left = slot->lease_end_us - scope.now_us, due = 0;
        (void)orders_runs(in, "refresh", &due);
        ORDERS_HOLDS(due < left, "the reservation is renewed after its end");
    }
}

void plane_relays_hold(void)
{
    for (enum who who = BOOT1; who < PEERS; who++) {
        struct pg_peer_id id = plane_id(who);
        const struct pg_relay_candidate *c = pg_relay_book_find(&cp.relays_known, &id);
        bool taken = notes.slots[0].asked == who || notes.slots[1].asked == who;
        ORDERS_HOLDS(!c || c->taken == taken, "relay %u is %s ours", who, taken ? "one of" : "none of");
        ORDERS_HOLDS((c && c->hop) == notes.relays[who].hop, "peer %u %s", who, notes.relays[who].hop ? "relays" : "does not relay");
        ORDERS_HOLDS(!c || !c->hop || (c->connected == notes.relays[who].up && c->not_before_us == notes.relays[who].not_before_us),
                     "the book of relays is wrong about peer %u", who);
    }
}

uint64_t plane_mix_relays(void)
{
    uint64_t sum = 0;
    for (unsigned n = 0; n < PG_RELAY_BOOK; n++) {
        const struct pg_relay_candidate *c = &cp.relays_known.of[n];
        if (!c->id.len)
            continue;
        uint64_t one = orders_mix(plane_who(&c->id), (uint64_t)c->hop | (uint64_t)c->connected << 1 | (uint64_t)c->taken << 2 | (uint64_t)c->dropped << 3 | (uint64_t)c->away << 4);
        one = orders_mix(orders_mix(one, c->failures | (uint64_t)c->failed << 16 | (uint64_t)c->granted << 32), c->rtt_us);
        sum += orders_mix(one, c->not_before_us > scope.now_us ? c->not_before_us - scope.now_us : 0);
    }
    return sum;
}
