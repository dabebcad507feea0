"""Relays as a private peer uses them: who is asked, what others may dial, and what becomes of it when relays die, restart and change."""
import json

from peers import echo, free_port, main, same, speaks, test, until, want

PRIVATE = ("--nat-status", "private", "--no-mdns")
PUBLIC = ("--nat-status", "public", "--no-mdns")


def status(bed, peer):
    code, out, error = bed.run("status", "--identity", peer.key, "--json")
    same(code, 0, error)
    return json.loads(out)


def held(bed, peer):
    return {relay["peer"]: relay for relay in status(bed, peer)["relays"] if relay["state"] == "Reserved"}


def relay(bed, name, *more, **where):
    return bed.peer(name, *PUBLIC, *more, **where)


def both(first, *others):
    return [word for peer in (first, *others) for word in ("--bootstrap", peer.addr)]


def circuit(through, peer):
    return f"{through.addr}/p2p-circuit/p2p/{peer.id}"


@test
def a_private_peer_holds_two_reservations_and_is_reached_through_either(bed):
    first, second = relay(bed, "first"), relay(bed, "second")
    service = bed.service(echo)
    private = bed.peer("private", *PRIVATE, *both(first, second), "--expose", f"echo=127.0.0.1:{service.port}")
    private.saw("relay reservation accepted via " + first.id)
    private.saw("relay reservation accepted via " + second.id)
    said = status(bed, private)
    same(said["relay"], "Reserved")
    for through in (first, second):
        want(circuit(through, private) in said["addresses"], said["addresses"])
        mine = held(bed, private)[through.id]
        want(3500 < mine["lease_left_s"] <= 3600 and mine["voucher"] and mine["granted"] == 1 and mine["failed"] == 0, mine)
        code, out, error = bed.run("pipe", circuit(through, private) + ":echo", stdin=b"through " + through.id.encode())
        same((code, out), (0, "through " + through.id), error)
    code, out, error = bed.run("identify", private.addr, "--json")
    want(any("p2p-circuit" in addr and first.id in addr for addr in json.loads(out)["listen_addrs"]), out)


@test
def a_relay_that_dies_is_replaced_at_once_and_what_it_gave_is_withdrawn(bed):
    relays = [relay(bed, name) for name in ("first", "second", "third")]
    private = bed.peer("private", *PRIVATE, *both(*relays))
    until(lambda: len(held(bed, private)) == 2, "two reservations")
    dies = next(peer for peer in relays if peer.id in held(bed, private))
    dies.kill()
    private.saw("relay lost, withdrawing its addresses", relay_peer=dies.id)
    until(lambda: len(held(bed, private)) == 2 and dies.id not in held(bed, private), "another relay in its place")
    want(not any(dies.id in addr for addr in status(bed, private)["addresses"]))


@test
def a_relay_that_restarts_with_its_key_and_port_is_reserved_with_again(bed):
    port = free_port()
    only = relay(bed, "only", listen=f"/ip4/127.0.0.1/tcp/{port}")
    private = bed.peer("private", *PRIVATE, *both(only))
    until(lambda: held(bed, private), "a reservation")
    only.kill()
    until(lambda: not held(bed, private), "no reservation")
    again = relay(bed, "again", listen=f"/ip4/127.0.0.1/tcp/{port}", key="only")
    same(again.id, only.id)
    until(lambda: only.id in held(bed, private), "the reservation again")


@test
def a_bootstrap_peer_that_restarts_is_back_by_the_next_try_and_the_relay_beside_it_stays(bed):
    port = free_port()
    first = bed.peer("first", "--no-mdns", "--relay-mode", "off", listen=f"/ip4/127.0.0.1/tcp/{port}")
    beside = relay(bed, "beside", "--bootstrap", first.addr)
    private = bed.peer("private", *PRIVATE, *both(first, beside))
    until(lambda: beside.id in held(bed, private) and private.find("connection opened", peer=first.id), "both are there")
    first.kill()
    until(lambda: len(private.find("reconnect dial failed", peer_id=first.id)) >= 2, "two tries in vain")
    again = bed.peer("again", "--no-mdns", "--relay-mode", "off", listen=f"/ip4/127.0.0.1/tcp/{port}", key="first")
    same(again.id, first.id)
    in_vain = len(private.find("reconnect dial failed", peer_id=first.id))
    until(lambda: len(private.find("connection opened", peer=first.id)) == 2, "the bootstrap peer again")
    want(len(private.find("reconnect dial failed", peer_id=first.id)) <= in_vain + 1, "a whole step of the back-off went by without a try that succeeds")
    same(len(private.find("relay lost, withdrawing its addresses", relay_peer=beside.id)), 0)
    want(beside.id in held(bed, private))


@test
def status_says_that_a_private_peer_relays_for_nobody_and_where_it_has_reserved(bed):
    only = relay(bed, "only")
    private = bed.peer("private", *PRIVATE, *both(only))
    until(lambda: held(bed, private), "a reservation")
    code, out, error = bed.run("status", "--identity", private.key)
    same(code, 0, error)
    want("relaying    for nobody, as we are private" in out and f"reserved    at {only.id}" in out, out)


@test
def another_key_at_a_pinned_address_gets_no_reservation(bed):
    port = free_port()
    only = relay(bed, "only", listen=f"/ip4/127.0.0.1/tcp/{port}")
    private = bed.peer("private", *PRIVATE, *both(only))
    until(lambda: held(bed, private), "a reservation")
    only.kill()
    until(lambda: not held(bed, private), "no reservation")
    relay(bed, "impostor", listen=f"/ip4/127.0.0.1/tcp/{port}")
    private.saw(f"relay reservation with {only.id} failed: it cannot be reached: another peer answers at this address")
    same(held(bed, private), {})


@test
def who_is_public_gives_its_reservations_no_thought(bed):
    first = relay(bed, "first")
    public = bed.peer("public", *PUBLIC, *both(first))
    first.connected(public)
    same(held(bed, public), {})
    policy = status(bed, public)["relay_policy"]
    same((policy["role"], policy["services"], policy["relayPort"]), ("public-relay", 1, public.port))


@test
def services_and_relay_port_of_every_peer_are_told_and_who_has_none_is_never_asked(bed):
    client_only = bed.peer("client-only", *PUBLIC, "--relay-mode", "off")
    private = bed.peer("private", *PRIVATE, *both(client_only))
    private.connected(client_only)
    until(lambda: status(bed, private)["connections"][0]["agent"], "who it is")
    same((status(bed, private)["connections"][0]["services"], status(bed, private)["connections"][0]["relayPort"]), (0, 0))
    same((status(bed, private)["relay"], held(bed, private), status(bed, private)["relays"]), ("Idle", {}, []))
    same(status(bed, client_only)["relay_policy"]["role"], "client-only")
    other = relay(bed, "other", *both(client_only))
    until(lambda: other.id in held(bed, private), "a relay that Kademlia has met")
    mine = next(at for at in status(bed, private)["connections"] if at["peer"] == other.id)
    same((mine["services"], mine["relayPort"]), (1, other.port))


@test
def a_relay_port_is_listened_on_besides(bed):
    port, extra = free_port(), free_port()
    two = relay(bed, "two", "--relay-port", str(extra), listen=f"/ip4/127.0.0.1/tcp/{port}")
    same(status(bed, two)["relay_policy"]["relayPort"], extra)
    same(bed.run("ping", f"/ip4/127.0.0.1/tcp/{extra}/p2p/{two.id}")[0], 0)
    same(bed.run("ping", f"/ip4/127.0.0.1/tcp/{port}/p2p/{two.id}")[0], 0)


@test
def the_ninth_peer_that_comes_to_a_private_one_is_refused_and_the_log_says_why(bed):
    private = bed.peer("private", *PRIVATE)
    for number in range(8):
        private.connected(bed.peer(f"guest-{number}", *PUBLIC, "--bootstrap", private.addr))
    bed.peer("ninth", *PUBLIC, "--bootstrap", private.addr)
    private.saw("limit reached, connection refused", limit="private_inbound")
    same(status(bed, private)["relay_policy"]["inboundPeers"], 8)


@test
def the_third_peer_over_one_relay_is_refused_and_over_the_other_taken(bed):
    first, second = relay(bed, "first"), relay(bed, "second")
    private = bed.peer("private", *PRIVATE, *both(first, second))
    until(lambda: len(held(bed, private)) == 2, "two reservations")
    for number in range(2):
        private.connected(bed.peer(f"guest-{number}", *PUBLIC, "--path", "relay", "--bootstrap", circuit(first, private)))
    bed.peer("third", *PUBLIC, "--path", "relay", "--bootstrap", circuit(first, private))
    private.saw("limit reached, connection refused", limit="relay_inbound")
    private.connected(bed.peer("fourth", *PUBLIC, "--path", "relay", "--bootstrap", circuit(second, private)))


@test
def the_documents_variables_start_a_server_behind_a_relay_and_a_client_that_reaches_it(bed):
    """Promise row 138; the commands are those of the hole-punch workspace."""
    through, port = relay(bed, "relay"), free_port()
    server = bed.peer("server", listen=None, LIBP2P_LISTEN_MULTIADDRS=f"/ip4/127.0.0.1/tcp/{port},{through.addr}/p2p-circuit",
                      LIBP2P_RELAY_MULTIADDRS=through.addr)
    server.saw("relay reservation accepted via " + through.id)
    same(server.port, port)
    client = bed.peer("client", *PUBLIC, LIBP2P_REMOTE_PEER_ID=server.id,
                      LIBP2P_REMOTE_MULTIADDRS=f"/ip4/127.0.0.1/tcp/{free_port()};{through.addr}/p2p-circuit")
    client.connected(server)
    same(len(through.find("CircuitReqAccepted", src_peer_id=client.id, dst_peer_id=server.id)) > 0, True)
    code, _, error = bed.run("--listen", "/ip4/127.0.0.1/tcp/0", LIBP2P_RELAY_MULTIADDRS="nonsense")
    want(code != 0 and "LIBP2P_RELAY_MULTIADDRS" in error and "multiaddr" in error, error)


if __name__ == "__main__":
    main()
