"""A peer as a relay for others: what it logs and shows, its limits as options, and what it offers to whom. Promises 52, 133, 139, 172;
hostile rows 33, 34 and 35."""
import json

from peers import echo, main, same, test, until, want

HOP = "/libp2p/circuit/relay/0.2.0/hop"


def a_relay(bed, *more):
    return bed.peer("relay", "--nat-status", "public", *more)


def behind(bed, relay, *more, name="provider"):
    """A peer that reserves at the relay, and its address there."""
    peer = bed.peer(name, "--nat-status", "private", "--bootstrap", relay.addr, *more)
    return peer, f"{relay.addr}/p2p-circuit/p2p/{peer.id}"


def status(bed, peer):
    code, out, error = bed.run("status", "--identity", peer.key, "--json")
    same(code, 0, error)
    return json.loads(out)


@test
def what_is_relayed_is_logged_and_shown(bed):
    service = bed.service(echo)
    relay = a_relay(bed)
    provider, address = behind(bed, relay, "--expose", f"echo=127.0.0.1:{service.port}")
    relay.saw("Relay reservation requested", peer=provider.id)
    consumer = bed.peer("consumer", "--tunnel", f"{address}:echo@127.0.0.1:0", "--path", "relay")
    relay.saw("CircuitReqAccepted", src_peer_id=consumer.id, dst_peer_id=provider.id)
    client = bed.connect(consumer.tunnel_port("echo"))
    client.sendall(b"x" * 100000)
    got = 0
    while got < 100000:
        got += len(client.recv(65536))
    shown = status(bed, relay)
    relaying = shown["relaying"]
    same((relaying["for_strangers"], relaying["reservations"], relaying["circuits"], relaying["circuits_pending"]), (True, 1, 1, 0))
    want(relaying["bytes"] >= 200000, f"{relaying}")
    same((relaying["most_reservations"], relaying["most_circuits"]), (512, 1024))
    same([shown["counters"][name] for name in ("relay_reserve_ok", "relay_connect_ok", "relay_reservations", "relay_circuits")], [1, 1, 1, 1])
    client.close()
    consumer.stop()
    relay.saw("CircuitClosed", src_peer_id=consumer.id, dst_peer_id=provider.id)
    same(status(bed, relay)["relaying"]["circuits"], 0)
    provider.stop()
    until(lambda: status(bed, relay)["relaying"]["reservations"] == 0, "the reservation has ended with its connection")
    code, out, _ = bed.run("status", "--identity", relay.key)
    want(code == 0 and "relaying    for everybody, 0 reservations, 0 circuits" in out, out)


@test
def a_relay_takes_no_more_than_its_options_say(bed):
    relay = a_relay(bed, "--max-relay-reservations", "1")
    first, _ = behind(bed, relay, name="first")
    relay.saw("Relay reservation requested", peer=first.id)
    second, _ = behind(bed, relay, name="second")
    relay.saw("limit reached, reservation refused", **{"from": second.id, "limit": "relay_reservations", "most": "1", "option": "--max-relay-reservations"})
    same(status(bed, relay)["relaying"]["reservations"], 1)
    want(status(bed, relay)["counters"]["refused_relay_reservations"] >= 1, "the refusal is counted")


@test
def a_circuit_over_its_time_is_reset_and_the_relay_says_why(bed):
    relay = a_relay(bed, "--relay-duration", "2s")
    provider, address = behind(bed, relay)
    provider.saw("relay reservation accepted via " + relay.id)
    consumer = bed.peer("consumer", "--bootstrap", address, "--path", "relay")
    consumer.connected(provider)
    relay.saw("circuit has come to a limit, both its streams are reset", src_peer_id=consumer.id, dst_peer_id=provider.id,
              limit="relay_duration", most="2000", option="--relay-duration")
    want(status(bed, relay)["counters"]["refused_relay_duration"] >= 1, "it is counted")
    consumer.saw("connection closed", peer=provider.id)
    provider.saw("connection closed", peer=consumer.id)
    code, _, error = bed.run("ping", address, "--json")  # the next circuit is a new one
    same(code, 0, error)


@test
def nobody_is_relayed_through_two_relays(bed):
    relay = a_relay(bed)
    second, address = behind(bed, relay, "--relay-mode", "on", name="second")
    second.saw("relay reservation accepted via " + relay.id)
    code, out, error = bed.run("identify", second.addr, "--json")
    want(code == 0 and HOP in json.loads(out)["protocols"], "it relays, as it was told: " + error)
    code, out, error = bed.run("identify", address, "--json")
    same(code, 0, error)
    want(HOP not in json.loads(out)["protocols"], out)


main()
