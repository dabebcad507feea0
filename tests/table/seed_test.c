/* The seed's state tests under their names, on our own machines and their real C; then what ours does better.
 * Run by ctest. Serves the promised rows 5 to 12 and docs/decisions/0002-phase-machine.md. */
#include "plane.h"

static const char *const phases[] = {"Initializing", "Discovering", "Participating", "ShuttingDown"};
static const char *const nats[] = {"Unknown", "Public", "Private"};

/* The seed's own. */

static void initial_state_invariants(void)
{
    fresh(true);
    CU_ASSERT_TRUE(phase_is("Initializing") && nat_is("Unknown") && relay_is("Idle"));
    CU_ASSERT_EQUAL(b->cp.book.used, 0);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_LISTEN), 2);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_DIAL), 1);
}

static void shutdown_absorbs_any_phase(void)
{
    for (unsigned phase = 0; phase < 3; phase++) {
        in_phase(phase, PG_SEED_NAT_PRIVATE);
        simple(PG_SEED_SHUTDOWN_REQUESTED);
        CU_ASSERT_TRUE(phase_is("ShuttingDown") && relay_is("Idle"));
        CU_ASSERT_EQUAL(bench_did(b, PG_DO_SHUTDOWN), 1);
        uint32_t n = b->total[PG_DO_SHUTDOWN];
        bootstrap_connected(2), identified(3), lookup(PG_SEED_SERVICE_PROVIDERS_FOUND), simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
        simple(PG_SEED_SHUTDOWN_REQUESTED), bench_wait(b, 10000000);
        CU_ASSERT_TRUE(phase_is("ShuttingDown"));
        CU_ASSERT_EQUAL(b->total[PG_DO_SHUTDOWN], n);
        CU_ASSERT_EQUAL(pg_timers_next(&b->scope), UINT64_MAX);
    }
}

static void bootstrap_enters_discovering(void)
{
    fresh(true);
    bootstrap_connected(1);
    CU_ASSERT_TRUE(phase_is("Discovering") && knows(1));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_BOOTSTRAP), 1);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_ADD_ADDRESS), 1);
    CU_ASSERT_STRING_EQUAL(b->turn, "BootstrapConnected");
}

static void second_bootstrap_no_reenter(void)
{
    fresh(true);
    bootstrap_connected(1);
    bootstrap_connected(2);
    CU_ASSERT_TRUE(phase_is("Discovering") && knows(2));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_BOOTSTRAP), 0);
}

static void discovery_completion_is_commutative(void)
{
    for (unsigned status = 0; status < 3; status++) {
        struct pg_control ends[2][3];
        for (unsigned order = 0; order < 2; order++) {
            in_phase(1, PG_SEED_NAT_UNKNOWN);
            fresh(true);
            bootstrap_connected(1);
            if (order)
                nat((enum pg_seed_nat)status);
            simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
            CU_ASSERT_EQUAL(phase_is("Participating"), order == 1);
            if (!order)
                nat((enum pg_seed_nat)status);
            CU_ASSERT_TRUE(phase_is("Participating") && nat_is(nats[status]));
            ends[order][0] = b->cp.phase.in.ctl, ends[order][1] = b->cp.nat.in.ctl, ends[order][2] = b->cp.relays[0].in.ctl;
        }
        CU_ASSERT_EQUAL(memcmp(ends[0], ends[1], sizeof ends[0]), 0);
    }
}

static void discovery_timeout_forces_participating(void)
{
    fresh(true);
    bootstrap_connected(1);
    simple(PG_SEED_DISCOVERY_TIMEOUT);
    CU_ASSERT_TRUE(phase_is("Participating"));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_PUBLISH_SERVICES), 1);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_START_PROVIDING), 2);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_PUT_RECORD), 2);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_GET_PROVIDERS), 1);
    CU_ASSERT_STRING_EQUAL(b->turn, "DiscoveryTimeout");
}

static void nat_status_always_updates(void)
{
    for (unsigned phase = 0; phase < 4; phase++)
        for (unsigned status = 0; status < 3; status++) {
            in_phase(phase, PG_SEED_NAT_UNKNOWN);
            nat((enum pg_seed_nat)status);
            CU_ASSERT_TRUE(nat_is(nats[status]));
            CU_ASSERT_TRUE(phase_is(phases[phase]));
        }
}

static void nat_transitions_symmetric(void)
{
    for (unsigned from = 0; from < 3; from++)
        for (unsigned to = 0; to < 3; to++) {
            in_phase(1, (enum pg_seed_nat)from);
            CU_ASSERT_TRUE(nat_is(nats[from]));
            nat((enum pg_seed_nat)to);
            CU_ASSERT_TRUE(nat_is(nats[to]));
        }
}

static void mdns_discovered_preserves_phase_and_nat(void)
{
    for (unsigned phase = 0; phase < 3; phase++)
        for (unsigned status = 0; status < 3; status++) {
            in_phase(phase, (enum pg_seed_nat)status);
            mdns(PG_SEED_MDNS_DISCOVERED, 5, "/ip4/10.0.0.5/tcp/5");
            CU_ASSERT_TRUE(phase_is(phases[phase]) && nat_is(nats[status]) && knows(5));
            CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_ADD_ADDRESS), 1);
        }
}

static void mdns_expired_removes_addresses(void)
{
    fresh(true);
    mdns(PG_SEED_MDNS_DISCOVERED, 5, "/ip4/10.0.0.5/tcp/5");
    mdns(PG_SEED_MDNS_DISCOVERED, 5, "/ip4/10.0.0.5/tcp/6");
    mdns(PG_SEED_MDNS_EXPIRED, 5, "/ip4/10.0.0.5/tcp/5");
    CU_ASSERT_TRUE(knows(5));
    mdns(PG_SEED_MDNS_EXPIRED, 5, "/ip4/10.0.0.5/tcp/6");
    CU_ASSERT_FALSE(knows(5));
}

static void private_nat_requests_relay_from_bootstrap(void)
{
    fresh(true);
    bootstrap_connected(1), relays(1);
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_TRUE(relay_is("Requesting"));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_REQUEST_RELAY_RESERVATION), 1);
    struct pg_peer_id id = peer(1);
    for (uint32_t n = 0; n < b->n_last; n++)
        if (b->last[n].kind == PG_DO_REQUEST_RELAY_RESERVATION)
            CU_ASSERT_TRUE(pg_peer_id_equal(b->last[n].peer, &id) && b->last[n].addr->len);
}

static void early_private_nat_triggers_relay_on_participating(void)
{
    fresh(true);
    nat(PG_SEED_NAT_PRIVATE);
    CU_ASSERT_TRUE(relay_is("Idle"));
    bootstrap_connected(1);
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 0); /* nobody knows yet whether it relays at all */
    relays(1); /* ours asks here already: there is nothing to wait for */
    CU_ASSERT_TRUE(phase_is("Discovering"));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_REQUEST_RELAY_RESERVATION), 1);
    simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
    CU_ASSERT_TRUE(phase_is("Participating") && relay_is("Requesting"));
    CU_ASSERT_EQUAL(b->total[PG_DO_REQUEST_RELAY_RESERVATION], 1);
}

static void reserved(void)
{
    in_phase(2, PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_ACCEPTED, 1, 0);
}

static void relay_accepted_transitions_to_reserved(void)
{
    reserved();
    CU_ASSERT_TRUE(relay_is("Reserved"));
}

static void relay_failed_returns_to_idle(void)
{
    in_phase(1, PG_SEED_NAT_PRIVATE);
    CU_ASSERT_TRUE(relay_is("Requesting"));
    about(PG_SEED_RELAY_RESERVATION_FAILED, 2, 0); /* some other relay's */
    CU_ASSERT_TRUE(relay_is("Requesting"));
    about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0);
    CU_ASSERT_TRUE(relay_is("Idle"));
}

static void what_was_refused_is_not_given_back(void)
{
    in_phase(1, PG_SEED_NAT_PRIVATE);
    about(PG_SEED_RELAY_RESERVATION_FAILED, 1, 0);
    uint32_t before = b->total[PG_DO_RELEASE_RELAY_RESERVATION];
    simple(PG_SEED_SHUTDOWN_REQUESTED);
    CU_ASSERT_EQUAL(b->total[PG_DO_RELEASE_RELAY_RESERVATION], before);
    in_phase(1, PG_SEED_NAT_PRIVATE);
    before = b->total[PG_DO_RELEASE_RELAY_RESERVATION];
    about(PG_SEED_RELAY_RESERVATION_FAILED, 2, 0); /* some other relay's: ours may still say yes */
    simple(PG_SEED_SHUTDOWN_REQUESTED);
    CU_ASSERT_EQUAL(b->total[PG_DO_RELEASE_RELAY_RESERVATION], before + 1);
}

static void public_nat_clears_relay(void)
{
    reserved();
    nat(PG_SEED_NAT_PUBLIC);
    CU_ASSERT_TRUE(relay_is("Idle"));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_RELEASE_RELAY_RESERVATION), 1);
}

static void peer_identified_adds_all_addresses(void)
{
    fresh(true);
    identified(4);
    struct pg_peer_id id = peer(4);
    struct pg_known_peer *known = pg_book_find(&b->cp.book, &id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(known);
    CU_ASSERT_EQUAL(known->n_addrs, 3);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_ADD_ADDRESS), 3);
}

static void connection_lost_removes_peer_and_regresses(void)
{
    in_phase(2, PG_SEED_NAT_PUBLIC);
    simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    CU_ASSERT_TRUE(phase_is("Discovering"));
    CU_ASSERT_FALSE(knows(1));
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_BOOTSTRAP), 1);
    CU_ASSERT_STRING_EQUAL(b->turn, "ConnectionLost");
}

static void connection_lost_with_remaining_keeps_peer(void)
{
    in_phase(2, PG_SEED_NAT_PUBLIC);
    about(PG_SEED_CONNECTION_LOST, 1, 1);
    CU_ASSERT_TRUE(phase_is("Participating") && knows(1));
    CU_ASSERT_EQUAL(b->n_last, 0);
}

static void listening_on_plain_addr_no_external(void)
{
    for (unsigned phase = 0; phase < 3; phase++) {
        in_phase(phase, PG_SEED_NAT_UNKNOWN);
        listening("/ip4/10.0.0.1/tcp/4001");
        CU_ASSERT_TRUE(phase_is(phases[phase]) && nat_is("Unknown"));
        CU_ASSERT_EQUAL(b->n_last, 1);
        CU_ASSERT_EQUAL(bench_did(b, PG_DO_LOG), 1);
    }
}

static void listening_on_circuit_addr_emits_add_external(void)
{
    fresh(true);
    listening("/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/p2p-circuit");
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_ADD_EXTERNAL_ADDRESS), 1);
}

static void service_event_logs_and_preserves(enum pg_seed_event_kind kind)
{
    for (unsigned phase = 0; phase < 3; phase++)
        for (unsigned status = 0; status < 3; status++) {
            in_phase(phase, (enum pg_seed_nat)status);
            lookup(kind);
            CU_ASSERT_TRUE(phase_is(phases[phase]) && nat_is(nats[status]));
            CU_ASSERT_EQUAL(bench_did(b, PG_DO_LOG), 1);
        }
}

static void service_providers_found_logs_and_preserves_state(void)
{
    service_event_logs_and_preserves(PG_SEED_SERVICE_PROVIDERS_FOUND);
}

static void service_lookup_failed_logs_and_preserves_state(void)
{
    service_event_logs_and_preserves(PG_SEED_SERVICE_LOOKUP_FAILED);
}

static void relay_accepted_emits_publish_services(void)
{
    reserved();
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_PUBLISH_SERVICES), 1);
}

/* The document's name for it: over every phase and status, both events, known and unknown peers. */
static void mdns_does_not_affect_phase_or_nat(void)
{
    for (unsigned phase = 0; phase < 4; phase++)
        for (unsigned status = 0; status < 3; status++) {
            in_phase(phase, (enum pg_seed_nat)status);
            struct pg_control before[] = {b->cp.phase.in.ctl, b->cp.nat.in.ctl, b->cp.relays[0].in.ctl};
            mdns(PG_SEED_MDNS_DISCOVERED, 5, "/ip4/10.0.0.5/tcp/5");
            mdns(PG_SEED_MDNS_EXPIRED, 5, "/ip4/10.0.0.5/tcp/5");
            mdns(PG_SEED_MDNS_EXPIRED, 1, "/ip4/192.0.2.1/tcp/4001");
            struct pg_control after[] = {b->cp.phase.in.ctl, b->cp.nat.in.ctl, b->cp.relays[0].in.ctl};
            CU_ASSERT_EQUAL(memcmp(before, after, sizeof before), 0);
        }
}

/* Orders: seven independent events in all 5040 orders end alike, up to the order of the commands. */

static void independent(unsigned number)
{
    switch (number) {
    case 0: simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK); return;
    case 1: nat(PG_SEED_NAT_PRIVATE); return;
    case 2: mdns(PG_SEED_MDNS_DISCOVERED, 5, "/ip4/10.0.0.5/tcp/5"); return;
    case 3: identified(6); return;
    case 4: listening("/ip4/10.0.0.1/tcp/4001"); return;
    case 5: about(PG_SEED_HOLE_PUNCH_SUCCEEDED, 7, 0); return;
    default: lookup(PG_SEED_SERVICE_PROVIDERS_FOUND); return;
    }
}

static struct pg_control wanted_end[3];
static uint32_t wanted_total[PG_SEED_COMMANDS];
static unsigned n_orders, n_same;

static void run_order(const unsigned *order)
{
    fresh(true);
    bootstrap_connected(1), relays(1);
    for (unsigned n = 0; n < 7; n++)
        independent(order[n]);
    struct pg_control end[] = {b->cp.phase.in.ctl, b->cp.nat.in.ctl, b->cp.relays[0].in.ctl};
    if (n_orders++ == 0) {
        memcpy(wanted_end, end, sizeof end);
        memcpy(wanted_total, b->total, sizeof wanted_total);
    }
    n_same += memcmp(end, wanted_end, sizeof end) == 0 && memcmp(b->total, wanted_total, sizeof wanted_total) == 0 &&
              b->cp.book.used == 3;
}

static void permute(unsigned *order, unsigned from)
{
    if (from == 7)
        run_order(order);
    for (unsigned n = from; n < 7; n++) {
        unsigned kept = order[from];
        order[from] = order[n], order[n] = kept;
        permute(order, from + 1);
        order[n] = order[from], order[from] = kept;
    }
}

static void all_orders_of_independent_events_end_alike(void)
{
    unsigned order[] = {0, 1, 2, 3, 4, 5, 6};
    n_orders = n_same = 0;
    permute(order, 0);
    CU_ASSERT_EQUAL(n_orders, 5040);
    CU_ASSERT_EQUAL(n_same, 5040);
    CU_ASSERT_TRUE(phase_is("Participating") && nat_is("Private") && relay_is("Requesting"));
}

/* Better than the original's table: docs/decisions/0002-phase-machine.md. */

static void nobody_to_judge_means_no_wait_for_a_verdict(void)
{
    fresh(true);
    b->cp.judges = 0;
    bootstrap_connected(1);
    simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
    CU_ASSERT_TRUE(phase_is("Participating"));
}

static void the_deadline_comes_30_seconds_after_discovering_begins(void)
{
    fresh(true);
    bench_wait(b, 3000);
    bootstrap_connected(1);
    bench_wait(b, 29999);
    CU_ASSERT_TRUE(phase_is("Discovering"));
    bench_wait(b, 1);
    CU_ASSERT_TRUE(phase_is("Participating"));
    CU_ASSERT_STRING_EQUAL(b->turn, "DiscoveryTimeout");
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_PUBLISH_SERVICES), 1);
}

static void an_unreachable_bootstrap_does_not_keep_us_initializing(void)
{
    fresh(true);
    bench_wait(b, 30000);
    CU_ASSERT_TRUE(phase_is("Participating"));
    bootstrap_connected(1); /* it comes at last: Kademlia is asked now, and success publishes again */
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_BOOTSTRAP), 1);
    simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_PUBLISH_SERVICES), 1);
    CU_ASSERT_EQUAL(bench_did(b, PG_DO_KADEMLIA_GET_PROVIDERS), 1);
}

static void a_node_without_bootstrap_peers_participates_at_once(void)
{
    fresh(false);
    simple(PG_SEED_NO_BOOTSTRAP_PEERS);
    CU_ASSERT_TRUE(phase_is("Participating"));
    CU_ASSERT_STRING_EQUAL(b->turn, "NoBootstrapPeers");
    identified(4);
    about(PG_SEED_CONNECTION_LOST, 4, 0); /* nobody to go back to: nothing to discover */
    CU_ASSERT_TRUE(phase_is("Participating"));
}

static void a_return_to_discovering_has_a_deadline_too(void)
{
    in_phase(2, PG_SEED_NAT_PUBLIC);
    about(PG_SEED_CONNECTION_LOST, 1, 0);
    CU_ASSERT_TRUE(phase_is("Discovering"));
    bench_wait(b, 30000);
    CU_ASSERT_TRUE(phase_is("Participating"));
}

static void services_are_published_again_every_300_seconds(void)
{
    in_phase(2, PG_SEED_NAT_PUBLIC);
    simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK);
    uint32_t before = b->total[PG_DO_PUBLISH_SERVICES];
    bench_wait(b, 3000000);
    CU_ASSERT_EQUAL(b->total[PG_DO_PUBLISH_SERVICES] - before, 10);
}

static void a_full_book_keeps_connected_and_bootstrap_peers(void)
{
    fresh(true);
    bootstrap_connected(1);
    for (unsigned n = 0; n < 1000; n++) {
        struct pg_seed_place place = {peer((uint8_t)(n % 250 + 2)), addr("/ip4/10.0.0.5/tcp/5")};
        place.peer.at[36] = (uint8_t)(n / 250);
        bench_input(b, (struct pg_seed_event){.kind = PG_SEED_MDNS_DISCOVERED, .places = &place, .n_places = 1});
    }
    CU_ASSERT_EQUAL(b->cp.book.used, PG_BOOK_PEERS);
    CU_ASSERT_TRUE(knows(1));
}

/* Long random lives of the real core: what the facts say is what node.sys lets them say, and no assert trips. */
static void random_lives_stay_within_the_model(void)
{
    uint32_t random = 1;
    bool seen[4][3][3] = {{{false}}};
    for (unsigned life = 0; life < 1500; life++) {
        fresh(true);
        for (unsigned step = 0; step < 60; step++) {
            random = random * 1664525u + 1013904223u;
            unsigned r = random >> 8;
            switch (r % 13) {
            case 0: bootstrap_connected((uint8_t)(1 + r / 13 % 2)); break;
            case 1: nat((enum pg_seed_nat)(r / 13 % 3)); break;
            case 2: about(PG_SEED_CONNECTION_LOST, (uint8_t)(1 + r / 13 % 6), r / 100 % 2); break;
            case 3: about(PG_SEED_RELAY_RESERVATION_ACCEPTED, (uint8_t)(1 + r / 13 % 3), 0); break;
            case 4: about(PG_SEED_RELAY_RESERVATION_FAILED, (uint8_t)(1 + r / 13 % 3), 0); break;
            case 5: bench_wait(b, r / 13 % 40000); break;
            case 6: b->cp.judges = r / 13 % 2; break;
            case 7: simple(r / 13 % 2 ? PG_SEED_KADEMLIA_BOOTSTRAP_FAILED : PG_SEED_KADEMLIA_BOOTSTRAP_OK); break;
            case 8: r / 13 % 2 ? identified(4) : relays((uint8_t)(1 + r / 26 % 2)); break;
            case 9: mdns(r / 13 % 2 ? PG_SEED_MDNS_DISCOVERED : PG_SEED_MDNS_EXPIRED, 5, "/ip4/10.0.0.5/tcp/5"); break;
            case 10: bench_wait(b, r / 13 % 4000000); break;
            case 11: if (r / 13 % 10 == 0) simple(PG_SEED_SHUTDOWN_REQUESTED); break;
            default: listening("/ip4/10.0.0.1/tcp/4001"); break;
            }
            for (unsigned p = 0; p < 4; p++)
                if (phase_is(phases[p]))
                    seen[p][b->cp.nat.in.ctl.state][relay_is("Idle") ? 0 : relay_is("Requesting") ? 1 : 2] = true;
        }
    }
    unsigned n = 0;
    for (unsigned p = 0; p < 4; p++)
        for (unsigned s = 0; s < 3; s++)
            for (unsigned r = 0; r < 3; r++)
                n += seen[p][s][r];
    CU_ASSERT_EQUAL(n, 24); /* as many of the 36 as node.sys says */
}

/* The transition function is pure: the same events give the same commands, to the last byte that they carry. */
static uint64_t told_in_a_life(uint32_t random)
{
    uint64_t hash = 14695981039346656037u;
    fresh(true);
    for (unsigned step = 0; step < 100000; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned r = random >> 8;
        switch (r % 6) {
        case 0: bootstrap_connected((uint8_t)(1 + r / 6 % 3)), relays((uint8_t)(1 + r / 6 % 3)); break;
        case 1: nat((enum pg_seed_nat)(r / 6 % 3)); break;
        case 2: about(PG_SEED_CONNECTION_LOST, (uint8_t)(1 + r / 6 % 6), 0); break;
        case 3: about(PG_SEED_RELAY_RESERVATION_ACCEPTED, (uint8_t)(1 + r / 6 % 3), 0); break;
        case 4: bench_wait(b, r / 6 % 40000); break;
        default: simple(PG_SEED_KADEMLIA_BOOTSTRAP_OK); break;
        }
        for (uint32_t n = 0; n < b->n_last; n++)
            hash = (hash ^ (b->last[n].kind + 100u * b->last_peer[n])) * 1099511628211u;
        hash = (hash ^ b->scope.now_us ^ pg_timers_next(&b->scope)) * 1099511628211u;
    }
    return hash;
}

static void the_same_events_give_the_same_commands(void)
{
    uint64_t once = told_in_a_life(1);
    CU_ASSERT_EQUAL(told_in_a_life(1), once);
    CU_ASSERT_NOT_EQUAL(told_in_a_life(2), once);
}

static void events_and_commands_bear_the_seeds_names(void)
{
    static const char *const commands[] = {"Dial", "Listen", "KademliaBootstrap", "KademliaAddAddress", "KademliaStartProviding",
                                           "KademliaPutRecord", "KademliaGetProviders", "RequestRelayReservation",
                                           "AddExternalAddress", "PublishServices", "Log", "Shutdown"};
    for (unsigned n = 0; n < 12; n++) {
        unsigned found = 0;
        CU_ASSERT_STRING_EQUAL(pg_seed_command_name((enum pg_seed_command_kind)n), commands[n]);
        for (unsigned f = 0; f < PG_NODE_FACTORS; f++)
            for (unsigned a = 0; a < pg_node_factors[f]->n_actions; a++)
                found += strcmp(pg_node_factors[f]->actions_as[a], commands[n]) == 0;
        CU_ASSERT_TRUE(found > 0);
    }
    for (unsigned n = 0; n < 17; n++) {
        unsigned found = 0;
        const char *name = pg_seed_event_name((enum pg_seed_event_kind)n);
        for (unsigned f = 0; f < PG_NODE_FACTORS; f++)
            for (unsigned e = 0; e < pg_node_factors[f]->n_events; e++)
                found += strcmp(pg_node_factors[f]->events_as[e], name) == 0;
        CU_ASSERT_TRUE(found > 0);
    }
}

int main(void)
{
    static const struct named_test tests[] = {
        TEST(initial_state_invariants),
        TEST(shutdown_absorbs_any_phase),
        TEST(bootstrap_enters_discovering),
        TEST(second_bootstrap_no_reenter),
        TEST(discovery_completion_is_commutative),
        TEST(discovery_timeout_forces_participating),
        TEST(nat_status_always_updates),
        TEST(nat_transitions_symmetric),
        TEST(mdns_discovered_preserves_phase_and_nat),
        TEST(mdns_expired_removes_addresses),
        TEST(private_nat_requests_relay_from_bootstrap),
        TEST(early_private_nat_triggers_relay_on_participating),
        TEST(relay_accepted_transitions_to_reserved),
        TEST(relay_failed_returns_to_idle),
        TEST(what_was_refused_is_not_given_back),
        TEST(public_nat_clears_relay),
        TEST(peer_identified_adds_all_addresses),
        TEST(connection_lost_removes_peer_and_regresses),
        TEST(connection_lost_with_remaining_keeps_peer),
        TEST(listening_on_plain_addr_no_external),
        TEST(listening_on_circuit_addr_emits_add_external),
        TEST(service_providers_found_logs_and_preserves_state),
        TEST(service_lookup_failed_logs_and_preserves_state),
        TEST(relay_accepted_emits_publish_services),
        TEST(mdns_does_not_affect_phase_or_nat),
        TEST(all_orders_of_independent_events_end_alike),
        TEST(nobody_to_judge_means_no_wait_for_a_verdict),
        TEST(the_deadline_comes_30_seconds_after_discovering_begins),
        TEST(an_unreachable_bootstrap_does_not_keep_us_initializing),
        TEST(a_node_without_bootstrap_peers_participates_at_once),
        TEST(a_return_to_discovering_has_a_deadline_too),
        TEST(services_are_published_again_every_300_seconds),
        TEST(a_full_book_keeps_connected_and_bootstrap_peers),
        TEST(random_lives_stay_within_the_model),
        TEST(the_same_events_give_the_same_commands),
        TEST(events_and_commands_bear_the_seeds_names),
    };
    int status = RUN_TESTS("seed", tests);
    pg_scope_free(&b->scope);
    return status;
}
