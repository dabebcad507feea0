/* The control plane with its data, in a world of two bootstrap peers and a stranger: phase, nat and relay, the peer book,
 * what is advertised, reserved and published. Explored by explore.c; what must hold is written from what the words of
 * spec/machine mean, never from their rows. Serves design section 7, point 4; facts and actions of phase.c, nat.c, relay.c. */
#include "plane.h"
#include <stdlib.h>
#include <string.h>

static const struct choice all[] = {
    {"listen.opened on tcp", "listen.opened", PG_SEED_LISTENING_ON, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"listen.opened through the relay", "listen.opened", PG_SEED_LISTENING_ON, NOBODY, SEED, 0, 0, 0, true, 0, 0},
    {"bootstrap.connected first", "bootstrap.connected", PG_SEED_BOOTSTRAP_CONNECTED, BOOT1, SEED, 0, 1, 0, false, 0, 0},
    {"bootstrap.connected second", "bootstrap.connected", PG_SEED_BOOTSTRAP_CONNECTED, BOOT2, SEED, 0, 1, 0, false, 0, 0},
    {"bootstrap.none", "bootstrap.none", PG_SEED_NO_BOOTSTRAP_PEERS, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"peer.identified first", "peer.identified", PG_SEED_PEER_IDENTIFIED, BOOT1, SEED, 0, 3, 0, false, 0, 1},
    {"peer.identified second", "peer.identified", PG_SEED_PEER_IDENTIFIED, BOOT2, SEED, 0, 1, 0, false, 0, 1},
    {"peer.identified first, which relays no more", "peer.identified", PG_SEED_PEER_IDENTIFIED, BOOT1, SEED, 0, 1, 0, false, 0, -1},
    {"peer.identified stranger", "peer.identified", PG_SEED_PEER_IDENTIFIED, STRANGER, SEED, 0, 3, 0, false, 0, 1},
    {"peer.lost first", "peer.lost", PG_SEED_CONNECTION_LOST, BOOT1, SEED, 0, 0, 0, false, 0, 0},
    {"peer.lost second", "peer.lost", PG_SEED_CONNECTION_LOST, BOOT2, SEED, 0, 0, 0, false, 0, 0},
    {"peer.lost stranger", "peer.lost", PG_SEED_CONNECTION_LOST, STRANGER, SEED, 0, 0, 0, false, 0, 0},
    {"one of two connections to the first lost", NULL, PG_SEED_CONNECTION_LOST, BOOT1, SEED, 0, 0, 1, false, 0, 0},
    {"kad.ready", "kad.ready", PG_SEED_KADEMLIA_BOOTSTRAP_OK, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"kad.failed", "kad.failed", PG_SEED_KADEMLIA_BOOTSTRAP_FAILED, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"mdns.discovered stranger", "mdns.discovered", PG_SEED_MDNS_DISCOVERED, STRANGER, SEED, 0, 4, 0, false, 0, 0},
    {"mdns.expired stranger", "mdns.expired", PG_SEED_MDNS_EXPIRED, STRANGER, SEED, 0, 4, 0, false, 0, 0},
    {"mdns.expired first", "mdns.expired", PG_SEED_MDNS_EXPIRED, BOOT1, SEED, 0, 1, 0, false, 0, 0},
    {"nat.found_unknown", "nat.found_unknown", PG_SEED_NAT_STATUS_CHANGED, NOBODY, SEED, PG_SEED_NAT_UNKNOWN, 0, 0, false, 0, 0},
    {"nat.found_public", "nat.found_public", PG_SEED_NAT_STATUS_CHANGED, NOBODY, SEED, PG_SEED_NAT_PUBLIC, 0, 0, false, 0, 0},
    {"nat.found_private", "nat.found_private", PG_SEED_NAT_STATUS_CHANGED, NOBODY, SEED, PG_SEED_NAT_PRIVATE, 0, 0, false, 0, 0},
    {"hop.accepted by the first", "hop.accepted", PG_SEED_RELAY_RESERVATION_ACCEPTED, BOOT1, SEED, 0, 0, 0, false, 0, 0},
    {"hop.accepted by the second, for 20 s", "hop.accepted", PG_SEED_RELAY_RESERVATION_ACCEPTED, BOOT2, SEED, 0, 0, 0, false, 20000, 0},
    {"hop.refused by the first", "hop.refused", PG_SEED_RELAY_RESERVATION_FAILED, BOOT1, SEED, 0, 0, 0, false, 0, 0},
    {"hop.refused by the second", "hop.refused", PG_SEED_RELAY_RESERVATION_FAILED, BOOT2, SEED, 0, 0, 0, false, 0, 0},
    {"punch.succeeded", "punch.succeeded", PG_SEED_HOLE_PUNCH_SUCCEEDED, STRANGER, SEED, 0, 0, 0, false, 0, 0},
    {"punch.failed", "punch.failed", PG_SEED_HOLE_PUNCH_FAILED, STRANGER, SEED, 0, 0, 0, false, 0, 0},
    {"lookup.found", "lookup.found", PG_SEED_SERVICE_PROVIDERS_FOUND, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"lookup.failed", "lookup.failed", PG_SEED_SERVICE_LOOKUP_FAILED, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"shutdown.requested", "shutdown.requested", PG_SEED_SHUTDOWN_REQUESTED, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"the discovery deadline, at once", NULL, PG_SEED_DISCOVERY_TIMEOUT, NOBODY, SEED, 0, 0, 0, false, 0, 0},
    {"the next timer fires", NULL, PG_SEED_EVENTS, NOBODY, TICK, 0, 0, 0, false, 0, 0},
    {"somebody who could judge us comes", NULL, PG_SEED_EVENTS, NOBODY, JUDGE_COMES, 0, 0, 0, false, 0, 0},
    {"the first is measured to be near", NULL, PG_SEED_EVENTS, BOOT1, MEASURED, 0, 0, 0, false, 0, 0},
    {"there is a relay client", NULL, PG_SEED_EVENTS, NOBODY, CLIENT_COMES, 0, 0, 0, false, 0, 0},
    {"there is no relay client", NULL, PG_SEED_EVENTS, NOBODY, CLIENT_GOES, 0, 0, 0, false, 0, 0},
    {"a second passes", NULL, PG_SEED_EVENTS, NOBODY, WAIT, 0, 0, 0, false, 0, 0},
    {"who could judge us goes", NULL, PG_SEED_EVENTS, NOBODY, JUDGE_GOES, 0, 0, 0, false, 0, 0},
};

struct pg_scope plane_scope;
struct pg_control_plane plane_cp;
struct notes plane_notes;
static struct pg_multiaddr listens[2], bootstraps[2], addrs[PEERS][ADDRS], plain, circuit;
static const struct pg_bytes exposed[] = {{(const uint8_t *)"echo", 4}, {(const uint8_t *)"ssh", 3}};
static const struct pg_bytes wanted[] = {{(const uint8_t *)"web", 3}};
static bool seeded;

static void parse(struct pg_multiaddr *out, const char *text)
{
    if (pg_multiaddr_parse(out, pg_text(text)) != PG_OK)
        abort();
}

static void make_addresses(void)
{
    static const char *const texts[PEERS][ADDRS] = {
        [BOOT1] = {"/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/tcp/1", "/ip4/10.0.0.1/tcp/1"},
        [BOOT2] = {"/ip4/192.0.2.2/tcp/4001", "/ip4/192.0.2.2/tcp/1", "/ip4/10.0.0.2/tcp/1"},
        [STRANGER] = {"/ip4/192.0.2.3/tcp/4001", "/ip4/192.0.2.3/tcp/1", "/ip4/10.0.0.3/tcp/1"}};
    for (unsigned who = BOOT1; who < PEERS; who++)
        for (unsigned n = 0; n < ADDRS; n++)
            parse(&addrs[who][n], texts[who][n]);
    parse(&listens[0], "/ip4/0.0.0.0/tcp/0");
    parse(&listens[1], "/ip6/::/tcp/0");
    bootstraps[0] = addrs[BOOT1][PLAIN];
    bootstraps[1] = addrs[BOOT2][PLAIN];
    parse(&plain, "/ip4/192.0.2.9/tcp/4001");
    parse(&circuit, "/ip4/192.0.2.1/tcp/4001/p2p-circuit");
}

static struct pg_instance *next(struct pg_scope *s, unsigned machine, const struct pg_instance *from, struct pg_instance *after)
{
    (void)s, (void)from;
    return pg_control_plane_hearer(&cp, machine, after);
}

/* Commands that an action has just appended, or that are polled: each is noted once, when it appears. */
static bool is_alone(void)
{
    return !notes.peers[BOOT1].known && !notes.peers[BOOT2].known && !notes.peers[STRANGER].known;
}

static void commanded(const struct pg_seed_command *c)
{
    uint64_t hash = orders_mix(7, (uint64_t)c->kind);
    notes.did[c->kind]++;
    hash = orders_mix(hash, plane_who(c->peer));
    hash = c->addr ? orders_mix_bytes(hash, c->addr->at, c->addr->len) : hash;
    hash = orders_mix_bytes(hash, c->name.at, c->name.len);
    hash = c->text ? orders_mix_bytes(hash, c->text, strlen(c->text)) : hash;
    notes.commanded += hash;
    if (c->kind == PG_DO_KADEMLIA_BOOTSTRAP) {
        ORDERS_HOLDS(!notes.kad_out, "a bootstrap of Kademlia is asked for while one is out");
        notes.kad_out = notes.now->kind != PG_SEED_CONNECTION_LOST; /* then nobody is there to answer */
    }
}

/* Facts, as the notes have them. */

static int truth(const struct pg_machine *m, const void *self, unsigned fact)
{
    const char *name = m->facts[fact];
    const struct choice *c = notes.now;
    if (strcmp(name, "verdict_awaited") == 0)
        return notes.judges > 0;
    if (strcmp(name, "seeded") == 0)
        return seeded;
    if (strcmp(name, "circuit") == 0)
        return c->circuit;
    if (strcmp(name, "alone") == 0)
        return is_alone();
    if (strcmp(name, "usable") == 0)
        return plane_can_reserve();
    if (strcmp(name, "hopeful") == 0)
        return plane_can_hope();
    if (strcmp(name, "ours") == 0)
        return c->who != NOBODY && c->who == notes.slots[plane_slot(self)].asked;
    return -1;
}

static bool group(const struct pg_machine *m, const void *self, struct orders_group *g)
{
    (void)m, (void)self;
    *g = (struct orders_group){"node", {&pg_phase_machine, &pg_nat_machine, &pg_relay_machine, &pg_relay_machine},
                               {&cp.phase.in, &cp.nat.in, &cp.relays[0].in, &cp.relays[1].in}, 4, true};
    return true;
}

/* Actions. */

static void before_act(const struct pg_machine *m, const void *self, unsigned action)
{
    (void)m, (void)self, (void)action;
    notes.before = cp.n_commands;
}

static unsigned event_addrs(void)
{
    return (unsigned)__builtin_popcount(notes.now->addrs);
}

/* How many commands an action gives by its name, as the least and the most. */
static void expected(const char *name, const void *self, unsigned *least, unsigned *most)
{
    static const struct {
        const char *name;
        unsigned n;
    } fixed[] = {{"listen.open", 2}, {"kad.bootstrap", 1}, {"keys.provide", 2}, {"records.put", 2}, {"providers.get", 1},
                 {"addr.advertise", 1}, {"services.publish", 1}, {"note", 1}, {"node.stop", 1}, {"hop.reserve", 1},
                 {"hop.renew", 1}, {"backoff.reset", 0}, {"relay.shun", 0}};
    *least = 0, *most = UINT32_MAX;
    for (unsigned n = 0; n < sizeof fixed / sizeof *fixed; n++)
        if (strcmp(fixed[n].name, name) == 0)
            *least = *most = fixed[n].n;
    if (strcmp(name, "bootstrap.dial") == 0)
        *least = *most = seeded ? 2 : 0;
    else if (strcmp(name, "kad.add") == 0)
        *least = *most = event_addrs();
    else if (strcmp(name, "hop.release") == 0) {
        const struct slot *slot = &notes.slots[plane_slot(self)];
        *least = slot->out || slot->granted;
        *most = slot->asked != NOBODY;
    }
}

static void check_command(const char *action, const void *self, const struct pg_seed_command *c, unsigned n)
{
    enum who who = plane_who(c->peer);
    const struct choice *now = notes.now;
    bool good = true;
    if (strcmp(action, "listen.open") == 0)
        good = c->addr == &listens[n];
    else if (strcmp(action, "bootstrap.dial") == 0)
        good = c->addr == &bootstraps[n];
    else if (strcmp(action, "hop.reserve") == 0)
        good = notes.client && plane_best_choice(who);
    else if (strcmp(action, "hop.renew") == 0 || strcmp(action, "hop.release") == 0)
        good = who != NOBODY && who == notes.slots[plane_slot(self)].asked;
    else if (strcmp(action, "addr.advertise") == 0)
        good = c->addr && pg_multiaddr_equal(c->addr, now->circuit ? &circuit : &plain);
    else if (strcmp(action, "kad.add") == 0)
        good = who == now->who && c->addr;
    else if (strcmp(action, "keys.provide") == 0 || strcmp(action, "records.put") == 0)
        good = pg_bytes_equal(c->name, exposed[n]);
    else if (strcmp(action, "providers.get") == 0)
        good = pg_bytes_equal(c->name, wanted[n]);
    else if (strcmp(action, "note") == 0)
        good = c->text && c->text[0];
    ORDERS_HOLDS(good, "action %s gives %s with something else in it than what it is about", action, pg_seed_command_name(c->kind));
}

/* An action does what its name says: the commands of its shown name, as many as there must be, about what they must be. */
static void after_act(const struct pg_machine *m, const void *self, unsigned action)
{
    const char *name = m->actions[action];
    unsigned least, most, n = cp.n_commands - notes.before;
    expected(name, self, &least, &most);
    ORDERS_HOLDS(n >= least && n <= most, "action %s of %s gives %u commands, and %u to %u belong to it", name, m->name, n, least, most);
    for (unsigned i = 0; i < n && !orders_failed(); i++) {
        const struct pg_seed_command *c = &cp.commands[notes.before + i];
        ORDERS_HOLDS(strcmp(pg_seed_command_name(c->kind), m->actions_as[action]) == 0, "action %s of %s gives %s, not %s", name, m->name,
                     pg_seed_command_name(c->kind), m->actions_as[action]);
        check_command(name, self, c, i);
        commanded(c);
    }
    if (m == &pg_relay_machine && !orders_failed())
        plane_slot_after(name, plane_slot(self));
}

/* Events. */

static void learn(const struct choice *c)
{
    switch (c->kind) {
    case PG_SEED_BOOTSTRAP_CONNECTED:
        notes.peers[c->who].boot = notes.peers[c->who].up = true; /* fall through */
    case PG_SEED_PEER_IDENTIFIED:
    case PG_SEED_MDNS_DISCOVERED:
        notes.peers[c->who].known = true;
        notes.peers[c->who].addrs |= c->addrs;
        if (c->hop)
            plane_learn_relay(c->who, c->hop > 0);
        break;
    case PG_SEED_MDNS_EXPIRED: {
        bool had = notes.peers[c->who].addrs & c->addrs;
        notes.peers[c->who].addrs &= (uint8_t)~c->addrs;
        if (had && !notes.peers[c->who].addrs && !(notes.peers[c->who].boot && notes.peers[c->who].up))
            memset(&notes.peers[c->who], 0, sizeof notes.peers[c->who]);
        break;
    }
    case PG_SEED_CONNECTION_LOST:
        if (c->remaining)
            break;
        memset(&notes.peers[c->who], 0, sizeof notes.peers[c->who]);
        notes.relays[c->who].up = false;
        notes.kad_out = notes.kad_out && !(is_alone() && seeded && cp.phase.in.ctl.state == PG_PHASE_PARTICIPATING);
        break;
    case PG_SEED_KADEMLIA_BOOTSTRAP_OK: notes.ready = notes.ready || cp.phase.in.ctl.state != PG_PHASE_INITIALIZING; /* fall through */
    case PG_SEED_KADEMLIA_BOOTSTRAP_FAILED: notes.kad_out = false; break;
    case PG_SEED_NAT_STATUS_CHANGED:
        notes.nat = c->nat;
        notes.judged = true;
        notes.needed = c->nat == PG_SEED_NAT_UNKNOWN ? notes.needed : c->nat == PG_SEED_NAT_PRIVATE;
        break;
    case PG_SEED_RELAY_RESERVATION_ACCEPTED:
        for (unsigned n = 0; n < SLOTS; n++)
            if (notes.slots[n].asked == c->who && !notes.stopping) {
                notes.slots[n].granted = true, notes.slots[n].out = false;
                notes.slots[n].lease_end_us = scope.now_us + (c->lease_ms ? c->lease_ms : HOUR_MS) * 1000;
            }
        break;
    case PG_SEED_RELAY_RESERVATION_FAILED: break;
    case PG_SEED_SHUTDOWN_REQUESTED: notes.stopping = true; break;
    case PG_SEED_LISTENING_ON:
    case PG_SEED_DISCOVERY_TIMEOUT:
    case PG_SEED_HOLE_PUNCH_SUCCEEDED:
    case PG_SEED_HOLE_PUNCH_FAILED:
    case PG_SEED_SERVICE_PROVIDERS_FOUND:
    case PG_SEED_SERVICE_LOOKUP_FAILED:
    case PG_SEED_NODE_STARTED:
    case PG_SEED_NO_BOOTSTRAP_PEERS:
    case PG_SEED_EVENTS: break;
    }
}

static void send(const struct choice *c)
{
    struct pg_peer_id id = plane_id(c->who);
    struct pg_seed_place places[ADDRS];
    struct pg_seed_event event = {.kind = c->kind, .nat = (enum pg_seed_nat)c->nat, .remaining = c->remaining,
                                  .lease_ms = c->lease_ms, .reason = PG_LIT("because"), .name = wanted[0],
                                  .hop = c->hop, .seen = &addrs[c->who][PLAIN]};
    event.peer = c->who ? &id : NULL;
    if (c->kind == PG_SEED_LISTENING_ON)
        event.addr = c->circuit ? &circuit : &plain;
    else if (c->kind == PG_SEED_BOOTSTRAP_CONNECTED)
        event.addr = &addrs[c->who][PLAIN];
    else if (c->addrs) {
        event.places = places;
        for (unsigned n = 0; n < ADDRS; n++)
            if (c->addrs >> n & 1u)
                places[event.n_places++] = (struct pg_seed_place){id, addrs[c->who][n]};
    }
    pg_control_plane_input(&cp, &event);
}

static void turn_holds(const struct choice *);

/* What the spec says an event leaves alone, it leaves alone. */
static void apart_holds(const struct choice *c, const struct pg_control before[4])
{
    const struct pg_instance *in[4] = {&cp.phase.in, &cp.nat.in, &cp.relays[0].in, &cp.relays[1].in};
    for (unsigned f = 0; f < 4 && c->event; f++) {
        const struct pg_machine *m = in[f]->machine;
        const char *name = f == 3 ? "second" : m->name; /* as node.sys calls it */
        bool same = in[f]->ctl.state == before[f].state && in[f]->ctl.flags == before[f].flags;
        ORDERS_HOLDS(same || !orders_apart("node", c->event, name, ""), "%s moves %s", c->event, name);
        for (unsigned n = 0; n < m->n_flags; n++)
            ORDERS_HOLDS(!((in[f]->ctl.flags ^ before[f].flags) >> n & 1u) || !orders_apart("node", c->event, name, m->flags[n]),
                         "%s moves flag %s of %s", c->event, m->flags[n], name);
    }
}

static void drain(void)
{
    struct pg_seed_command command;
    while (pg_control_plane_poll(&cp, &command)) {
    }
}

static void do_choice(const struct choice *c)
{
    notes.now = c;
    memset(notes.did, 0, sizeof notes.did);
    notes.from_phase = cp.phase.in.ctl.state;
    notes.was_ready = notes.ready, notes.was_nat = notes.nat;
    const struct pg_timer *due = scope.timers.used ? scope.timers.heap[1] : NULL;
    for (unsigned n = 0; n < SLOTS; n++) {
        notes.slots[n].from = cp.relays[n].in.ctl.state;
        notes.had[n] = notes.slots[n].asked;
        notes.slots[n].before = orders_mix_instance(1, &cp.relays[n].in);
        notes.slots[n].fired = c->what == TICK && due && due->in == &cp.relays[n].in ? due->number + 1u : 0;
    }
    notes.fired = c->what == TICK && due ? due->in->machine->timers[due->number] : "";
    bool was_stopping = notes.stopping;
    const struct pg_control before[4] = {cp.phase.in.ctl, cp.nat.in.ctl, cp.relays[0].in.ctl, cp.relays[1].in.ctl};
    switch (c->what) {
    case SEED:
        learn(c);
        send(c);
        break;
    case TICK:
        scope.now_us = pg_timers_next(&scope);
        pg_timers_run(&scope);
        pg_control_plane_settle(&cp);
        break;
    case JUDGE_COMES: notes.judges = cp.judges = 1; break;
    case JUDGE_GOES: notes.judges = cp.judges = 0; break;
    case WAIT: scope.now_us += 1000000, notes.waited = true; break;
    case CLIENT_COMES:
    case CLIENT_GOES: notes.client = cp.can_reserve = c->what == CLIENT_COMES; break;
    case MEASURED: {
        struct pg_peer_id id = plane_id(c->who);
        pg_relay_book_find(&cp.relays_known, &id)->rtt_us = 5000;
        notes.relays[c->who].near = true;
        break;
    }
    }
    drain();
    apart_holds(c, before);
    if (was_stopping) {
        for (unsigned kind = 0; kind < PG_SEED_COMMANDS; kind++)
            ORDERS_HOLDS(!notes.did[kind] || kind == PG_DO_LOG, "%s is ordered after the end", pg_seed_command_name((enum pg_seed_command_kind)kind));
        return;
    }
    turn_holds(c);
}

static void begin(bool with_bootstraps)
{
    static const struct choice start = {"node.started", "node.started", PG_SEED_NODE_STARTED, NOBODY, SEED, 0, 0, 0, false, 0, 0};
    if (!plain.len)
        make_addresses();
    seeded = with_bootstraps;
    pg_scope_free(&scope);
    if (!pg_scope_init(&scope, PG_CONTROL_TIMERS, PG_CONTROL_PENDING))
        abort();
    scope.next = next;
    memset(&notes, 0, sizeof notes);
    notes.judges = 1;
    notes.client = true;
    struct pg_control_config config = {.listens = listens, .n_listens = 2, .bootstraps = bootstraps, .n_bootstraps = seeded ? 2 : 0,
                                       .exposed = exposed, .n_exposed = 2, .wanted = wanted, .n_wanted = 1, .n_relays = SLOTS, .seed = 7};
    pg_control_plane_init(&cp, &config, &scope);
    cp.can_reserve = notes.client;
    cp.judges = notes.judges;
    do_choice(&start);
}

static void begin_seeded(void)
{
    begin(true);
}

/* One that lasts 20 s: what comes late in a reservation's life would be many events away. */
static void begin_reserved(void)
{
    static const char *const way[] = {"bootstrap.connected second", "peer.identified second", "nat.found_private", "hop.accepted by the second, for 20 s"};
    begin(true);
    for (unsigned i = 0; i < sizeof way / sizeof *way; i++)
        for (unsigned n = 0; n < sizeof all / sizeof *all; n++)
            if (strcmp(all[n].name, way[i]) == 0)
                do_choice(&all[n]);
}

static void begin_alone(void)
{
    begin(false);
}

static void end(void)
{
    pg_scope_free(&scope);
}

static bool possible(unsigned n)
{
    const struct choice *c = &all[n];
    if (c->what == JUDGE_COMES || c->what == JUDGE_GOES)
        return (c->what == JUDGE_COMES) == !notes.judges;
    if (c->what == CLIENT_COMES || c->what == CLIENT_GOES)
        return (c->what == CLIENT_COMES) == !notes.client;
    if (c->what == WAIT)
        return !notes.waited && scope.timers.used && pg_timers_next(&scope) > scope.now_us + 1000000;
    if (c->what == TICK)
        return scope.timers.used > 0;
    if (c->what == MEASURED)
        return notes.relays[c->who].hop && !notes.relays[c->who].near;
    if (c->kind == PG_SEED_CONNECTION_LOST)
        return notes.peers[c->who].known;
    if (c->kind == PG_SEED_BOOTSTRAP_CONNECTED)
        return seeded && !notes.peers[c->who].up;
    if (c->kind == PG_SEED_NO_BOOTSTRAP_PEERS)
        return !seeded;
    return true;
}

static void apply(unsigned n)
{
    do_choice(&all[n]);
}

static const char *choice_name(unsigned n)
{
    return all[n].name;
}

static const char *choice_event(unsigned n)
{
    return all[n].event;
}

/* What one turn must have ordered, by what it has changed. */

static void gives(const char *why, enum pg_seed_command_kind kind, unsigned n)
{
    ORDERS_HOLDS(notes.did[kind] == n, "%s: %u times %s, and %u belong to it", why, notes.did[kind], pg_seed_command_name(kind), n);
}

static bool says_something(const struct choice *c)
{
    switch (c->kind) {
    case PG_SEED_LISTENING_ON:
    case PG_SEED_KADEMLIA_BOOTSTRAP_FAILED:
    case PG_SEED_NAT_STATUS_CHANGED:
    case PG_SEED_HOLE_PUNCH_SUCCEEDED:
    case PG_SEED_HOLE_PUNCH_FAILED:
    case PG_SEED_SERVICE_PROVIDERS_FOUND:
    case PG_SEED_SERVICE_LOOKUP_FAILED:
    case PG_SEED_KADEMLIA_BOOTSTRAP_OK: return true;
    case PG_SEED_RELAY_RESERVATION_ACCEPTED:
    case PG_SEED_RELAY_RESERVATION_FAILED: return false; /* slot_turn_holds knows whose it is */
    case PG_SEED_CONNECTION_LOST: return !c->remaining;
    case PG_SEED_BOOTSTRAP_CONNECTED: return notes.from_phase == PG_PHASE_INITIALIZING;
    case PG_SEED_NO_BOOTSTRAP_PEERS: return notes.from_phase == PG_PHASE_INITIALIZING;
    case PG_SEED_NODE_STARTED:
    case PG_SEED_PEER_IDENTIFIED:
    case PG_SEED_MDNS_DISCOVERED:
    case PG_SEED_MDNS_EXPIRED:
    case PG_SEED_SHUTDOWN_REQUESTED:
    case PG_SEED_DISCOVERY_TIMEOUT:
    case PG_SEED_EVENTS: break;
    }
    return false;
}

/* Who we are, and who knows of it. */
static void phase_turn_holds(const struct choice *c)
{
    uint8_t phase = cp.phase.in.ctl.state, from = notes.from_phase;
    bool came = phase != from, participates = phase == PG_PHASE_PARTICIPATING;
    bool dialable = false;
    for (unsigned n = 0; n < SLOTS; n++)
        dialable = dialable || (participates && cp.relays[n].in.ctl.state == PG_RELAY_HELD && notes.slots[n].from == PG_RELAY_ASKING);
    bool again = strcmp(notes.fired, "republish") == 0;
    bool first = participates && c->kind == PG_SEED_KADEMLIA_BOOTSTRAP_OK && !notes.was_ready;
    bool publishes = (came && participates) || dialable || again || first;
    uint64_t left = 0;
    gives("node.started", PG_DO_LISTEN, c->kind == PG_SEED_NODE_STARTED ? 2 : 0);
    gives("node.started", PG_DO_DIAL, c->kind == PG_SEED_NODE_STARTED && seeded ? 2 : 0);
    gives("the end", PG_DO_SHUTDOWN, c->kind == PG_SEED_SHUTDOWN_REQUESTED);
    gives("a circuit that stands", PG_DO_ADD_EXTERNAL_ADDRESS, c->kind == PG_SEED_LISTENING_ON && c->circuit);
    gives("addresses that are told", PG_DO_KADEMLIA_ADD_ADDRESS, c->kind == PG_SEED_MDNS_EXPIRED ? 0 : event_addrs());
    gives("publishing", PG_DO_PUBLISH_SERVICES, publishes);
    gives("publishing", PG_DO_KADEMLIA_START_PROVIDING, publishes ? 2 : 0);
    gives("publishing", PG_DO_KADEMLIA_PUT_RECORD, publishes ? 2 : 0);
    gives("participating", PG_DO_KADEMLIA_GET_PROVIDERS, (came && participates) || first);
    if (came && phase == PG_PHASE_DISCOVERING) {
        gives("discovering", PG_DO_KADEMLIA_BOOTSTRAP, 1);
        notes.ready = false;
        ORDERS_HOLDS(orders_runs(&cp.phase.in, "discovery", &left) && left == 30000000, "discovering, and the deadline is not anew");
    }
    if (from == PG_PHASE_DISCOVERING && c->kind == PG_SEED_KADEMLIA_BOOTSTRAP_OK)
        ORDERS_HOLDS(participates == (notes.judged || !notes.judges), "kad.ready: %s for a verdict that %s come", participates ? "no waiting" : "waiting",
                     notes.judges ? "may" : "cannot");
    if (from == PG_PHASE_PARTICIPATING && c->kind == PG_SEED_CONNECTION_LOST && !c->remaining)
        ORDERS_HOLDS((phase == PG_PHASE_DISCOVERING) == (is_alone() && seeded), "peer.lost: %s", is_alone() ? "nobody is left" : "somebody is left");
    if (((c->kind == PG_SEED_BOOTSTRAP_CONNECTED && seeded) || again))
        ORDERS_HOLDS(notes.ready || notes.kad_out, "Kademlia is not ready, and nobody is asked");
    if (from == PG_PHASE_PARTICIPATING && !came && notes.was_ready)
        gives("Kademlia is ready", PG_DO_KADEMLIA_BOOTSTRAP, 0);
    if (strcmp(notes.fired, "discovery") == 0 || (c->kind == PG_SEED_DISCOVERY_TIMEOUT && came))
        ORDERS_HOLDS(notes.did[PG_DO_LOG] > 0, "the discovery deadline: nobody is told of it");
}

static void turn_holds(const struct choice *c)
{
    phase_turn_holds(c);
    for (unsigned n = 0; n < SLOTS; n++)
        plane_slot_turn_holds(c, n, notes.had[n]);
    if (says_something(c))
        ORDERS_HOLDS(notes.did[PG_DO_LOG] > 0, "%s: nobody is told of it", c->name);
}

/* What holds between turns. */

static void book_holds(void)
{
    unsigned n_known = 0;
    for (enum who who = BOOT1; who < PEERS; who++) {
        struct pg_peer_id id = plane_id(who);
        const struct pg_known_peer *peer = pg_book_find(&cp.book, &id);
        n_known += notes.peers[who].known;
        ORDERS_HOLDS(!peer == !notes.peers[who].known, "peer %u is %s the book", who, peer ? "in" : "not in");
        if (!peer || orders_failed())
            continue;
        ORDERS_HOLDS(peer->bootstrap == notes.peers[who].boot && (!peer->bootstrap || peer->connected == notes.peers[who].up),
                     "the book is wrong about bootstrap peer %u", who);
        ORDERS_HOLDS(peer->n_addrs == (unsigned)__builtin_popcount(notes.peers[who].addrs), "peer %u has %u addresses", who, peer->n_addrs);
        for (unsigned n = 0; n < ADDRS; n++) {
            bool there = false;
            for (unsigned i = 0; i < peer->n_addrs; i++)
                there = there || peer->addrs[i] == pg_book_mark(&addrs[who][n]);
            ORDERS_HOLDS(there == ((unsigned)notes.peers[who].addrs >> n & 1u), "address %u of peer %u is %s the book", n, who, there ? "in" : "not in");
        }
    }
    ORDERS_HOLDS(cp.book.used == n_known, "the book counts %u peers, and %u are known", cp.book.used, n_known);
}

static void check(void)
{
    struct orders_group g;
    const struct pg_instance *phase = &cp.phase.in;
    uint8_t p = phase->ctl.state;
    (void)group(NULL, NULL, &g);
    orders_check_group(&g);
    plane_timer_holds(phase, "discovery", p == PG_PHASE_DISCOVERING || p == PG_PHASE_INITIALIZING, 0, 30000);
    plane_timer_holds(phase, "republish", p == PG_PHASE_PARTICIPATING, 0, 300000);
    book_holds();
    plane_relays_hold();
    for (unsigned n = 0; n < SLOTS; n++)
        plane_reservation_holds(n);
    ORDERS_HOLDS((p == PG_PHASE_STOPPING) == notes.stopping, "phase is %s, and the end was %s asked for", phase->machine->states[p], notes.stopping ? "" : "not");
    ORDERS_HOLDS(cp.nat.in.ctl.state == notes.nat, "nat is %s, which is not the last verdict", cp.nat.in.machine->states[cp.nat.in.ctl.state]);
    ORDERS_HOLDS(notes.stopping || orders_has(phase, "judged") == notes.judged, "judged is not so");
    ORDERS_HOLDS(orders_has(phase, "ready") == notes.ready || notes.stopping, "ready is not whether Kademlia has succeeded since");
    ORDERS_HOLDS(orders_has(phase, "asked") == notes.kad_out || notes.stopping, "asked, and a bootstrap of Kademlia is %s", notes.kad_out ? "out" : "not out");
}

static uint64_t state(bool exact)
{
    uint64_t hash = orders_mix_instance(orders_mix_instance(orders_mix_instance(orders_mix_instance(3, &cp.phase.in), &cp.nat.in), &cp.relays[0].in), &cp.relays[1].in);
    uint64_t book = 0;
    for (unsigned n = 0; n < PG_BOOK_PEERS; n++) {
        const struct pg_known_peer *peer = &cp.book.peers[n];
        if (!peer->id.len)
            continue;
        uint64_t one = orders_mix(plane_who(&peer->id), (uint64_t)peer->bootstrap | (uint64_t)peer->connected << 1), sum = 0;
        for (unsigned i = 0; i < peer->n_addrs; i++) {
            uint64_t addr = orders_mix(5, peer->addrs[i]);
            sum = exact ? orders_mix(sum, addr) : sum + addr;
        }
        one = orders_mix(one, sum);
        book = exact ? orders_mix(book, orders_mix(one, n)) : book + one;
    }
    hash = orders_mix(orders_mix(hash, book), cp.book.used);
    for (unsigned n = 0; n < SLOTS; n++)
        hash = orders_mix(orders_mix(hash, plane_who(&cp.relays[n].peer)), cp.relays[n].asked);
    hash = orders_mix(orders_mix(hash, plane_mix_relays()), cp.judges | (unsigned)cp.can_reserve << 8);
    if (!exact)
        return orders_mix(hash, notes.commanded);
    hash = orders_mix(orders_mix(hash, notes.ready), (uint64_t)notes.kad_out | (uint64_t)notes.waited << 1);
    for (unsigned n = 0; n < SLOTS; n++) {
        hash = orders_mix(hash, (uint64_t)notes.slots[n].out | (uint64_t)notes.slots[n].granted << 1);
        hash = orders_mix(hash, notes.slots[n].granted ? notes.slots[n].lease_end_us - scope.now_us : 0);
    }
    return hash;
}

static const char *const machines[] = {"phase", "nat", "relay", NULL};
#define PLANE(called, title, start) \
    {.word = called, .name = title, .machines = machines, .depth = 5, .system = "node", .n_choices = sizeof all / sizeof *all, .choice = choice_name, .event = choice_event, .begin = start, \
     .end = end, .possible = possible, .apply = apply, .check = check, .state = state, .truth = truth, .group = group, .before_act = before_act, \
     .after_act = after_act}
const struct orders_subject orders_plane_seeded = PLANE("plane", "control plane with bootstrap peers", begin_seeded);
const struct orders_subject orders_plane_reserved = PLANE("reserved", "control plane with a reservation", begin_reserved);
const struct orders_subject orders_plane_alone = PLANE("alone", "control plane without bootstrap peers", begin_alone);
