"""Services by name, with the flags that people have: found in the DHT in whatever order the peers start, moved when a provider
dies, pinned to peers, looked for again with back-off. Promises 1, 16, 38, 45, 151, 152; hostile rows 32 and 88."""
import itertools
import json
import signal
import socket

from peers import (PATIENCE, echo, free_port, how_it_ends, main, read_all, read_exactly, same, speaks, test, until, want)


def new_key(bed, name):
    """A key file and the id that it stands for, before its peer runs."""
    status, out, error = bed.run("key", "new", "--out", bed.path / f"{name}.key", "--json")
    want(status == 0, error)
    return json.loads(out)["peer"]


class Mesh:
    """One bootstrap peer at a port that is known, and whoever comes."""

    def __init__(self, bed):
        self.bed = bed
        self.port = free_port()
        self.id = new_key(bed, "bootstrap")
        self.addr = f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.id}"

    def bootstrap(self, ready=True):
        return self.bed.peer("bootstrap", listen=f"/ip4/127.0.0.1/tcp/{self.port}", ready=ready)

    def member(self, name, *arguments, ready=True):
        return self.bed.peer(name, "--bootstrap", self.addr, *arguments, ready=ready)

    def provider(self, name, service="who", ready=True):
        """Its service says its name."""
        says = self.bed.service(lambda client: client.sendall(name.encode()))
        return self.member(name, "--expose", f"{service}=127.0.0.1:{says.port}", ready=ready)


def status_of(bed, peer):
    code, out, error = bed.run("status", "--identity", peer.key, "--json")
    want(code == 0, error)
    return json.loads(out)


def whose(bed, port):
    return read_all(bed.connect(port)).decode()


@test
def three_peers_find_each_other_with_the_documented_flags_alone_in_every_order_of_starts(bed):
    service = bed.service(echo)
    for order in itertools.permutations(("bootstrap", "provider", "consumer")):
        mesh = Mesh(bed)
        provider_id = new_key(bed, "provider")
        started = {}
        for name in order:
            if name == "bootstrap":
                started[name] = mesh.bootstrap(ready=False)
            elif name == "provider":
                started[name] = mesh.member(name, "--expose", f"echo=127.0.0.1:{service.port}", ready=False)
            else:
                started[name] = mesh.member(name, "--tunnel", f"{provider_id}:echo@127.0.0.1:0", "--tunnel-by-name", "echo@127.0.0.1:0",
                                            ready=False)
        consumer = started["consumer"]
        by_name = consumer.saw("tunnel listening", remote_peer='""').fields["actual_addr"]
        by_peer = consumer.saw("tunnel listening", remote_peer=provider_id).fields["actual_addr"]
        for at in (by_name, by_peer):
            with socket.create_connection(("127.0.0.1", int(at.rsplit(":", 1)[1])), PATIENCE) as client:
                want(speaks(client), f"no tunnel at {at}, started as {order}")
        for peer in started.values():
            same(peer.stop(), 0, f"exit status of {peer.name}, started as {order}")
        for name in ("bootstrap", "provider", "consumer"):
            (bed.path / f"{name}.key").unlink(missing_ok=True)


@test
def what_a_search_says_in_the_log_is_what_the_original_says(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    provider = mesh.provider("provider")
    consumer = mesh.member("consumer", "--tunnel", f"{provider.id}:who@127.0.0.1:0", "--tunnel-by-name", "who@127.0.0.1:0",
                           "--tunnel-by-name", "nobody-has-it@127.0.0.1:0")
    started = consumer.saw("starting DHT provider lookup", service_name="who")
    same((started.level, started.target), ("INFO", "cli::node"))
    nobody = consumer.saw("DHT lookup finished with no providers", service_name="nobody-has-it")
    same((nobody.level, nobody.target), ("WARN", "cli::node"))
    for event in ("ServiceProvidersFound", "ServiceLookupFailed"):
        consumer.saw("event processed", event=event)
    used = consumer.saw("service provider in use", service_name="who")
    same(used.fields["provider"], provider.id)
    # The peer is in the table of the consumer by now, be it by the bootstrap peer's answer or by a look-up: it is dialled or connected.
    until(lambda: consumer.find("dialing tunnel target after DHT lookup", target_peer=provider.id)
          or consumer.find("tunnel target already connected, spawning tunnels", target_peer=provider.id)
          or consumer.find("connection opened", peer=provider.id), "the peer that is named is connected")
    shown = {(t["by_name"], t["service"]): t for t in status_of(bed, consumer)["tunnels"]}
    same(shown[True, "who"]["peer"], provider.id)
    same(shown[True, "who"]["candidates"], [provider.id])
    same(shown[True, "who"]["waits_for"], "")
    same(shown[True, "nobody-has-it"]["peer"], "")
    want(shown[True, "nobody-has-it"]["waits_for"], "a tunnel that nobody serves waits for nothing")
    exposed = status_of(bed, provider)["exposed"][0]
    same(exposed["published"], "Published")
    want(exposed["published_to"] >= 1, exposed)


@test
def a_peer_that_is_named_and_not_there_is_looked_for_and_dialled_when_it_comes(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    provider_id = new_key(bed, "provider")
    consumer = mesh.member("consumer", "--tunnel", f"{provider_id}:who@127.0.0.1:0", "--tunnel-wait", "60s")
    started = consumer.saw("starting DHT lookup for tunnel target", target_peer=provider_id)
    same((started.level, started.target), ("INFO", "cli::node"))
    missing = consumer.saw("DHT lookup did not find tunnel target", target_peer=provider_id)
    same(missing.level, "WARN")
    client = bed.connect(consumer.tunnel_port("who"))  # waits, and is served when the peer is there
    mesh.provider("provider", ready=False)
    same(read_all(client), b"provider")


@test
def when_the_provider_in_use_dies_the_next_connection_goes_to_another_and_back_again(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    first, second = mesh.provider("first"), mesh.provider("second")
    for p in (first, second):
        until(lambda: status_of(bed, p)["exposed"][0]["published"] == "Published", f"{p.name} is published")
    consumer = mesh.member("consumer", "--tunnel-by-name", "who@127.0.0.1:0", "--tunnel-wait", "60s")
    port = consumer.tunnel_port("who")
    used = whose(bed, port)
    want(used in ("first", "second"), used)
    warned = consumer.saw("several peers claim the service, and a name is no authority; say which peers may be used by allow")
    same(sorted(warned.fields["claimants"].split(",")), sorted((first.id, second.id)))
    peers = {"first": first, "second": second}
    peers[used].kill()
    other = "second" if used == "first" else "first"
    same(whose(bed, port), other)
    peers[other].kill()
    client = bed.connect(port)  # nobody has it now: this one waits
    mesh.provider(used)
    same(read_all(client).decode(), used)
    same(len(consumer.find(warned.message)), 1, "warnings about the same claimants")


@test
def a_provider_that_says_nothing_any_more_is_left_for_another_and_its_client_goes_along(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    peers = {name: mesh.provider(name) for name in ("first", "second")}
    for p in peers.values():
        until(lambda: status_of(bed, p)["exposed"][0]["published"] == "Published", f"{p.name} is published")
    consumer = mesh.member("consumer", "--tunnel-by-name", "who@127.0.0.1:0")
    port = consumer.tunnel_port("who")
    used = whose(bed, port)
    consumer.saw("several peers claim the service, and a name is no authority; say which peers may be used by allow")
    peers[used].process.send_signal(signal.SIGSTOP)
    other = "second" if used == "first" else "first"
    same(whose(bed, port), other)  # a client of the time at which nobody knows yet
    same(whose(bed, port), other)
    peers[used].process.send_signal(signal.SIGCONT)
    peers[other].kill()
    same(whose(bed, port), used)


@test
def a_pinned_name_is_never_served_by_anybody_else(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    attacker = mesh.provider("attacker")
    wanted = new_key(bed, "wanted")
    consumer = mesh.member("consumer", "--tunnel-by-name", f"who@127.0.0.1:0,allow={wanted}", "--tunnel-wait", "2s")
    consumer.connected(attacker)  # as neighbours in the DHT are
    port = consumer.tunnel_port("who")
    same(how_it_ends(bed.connect(port))[1], b"", "what the attacker's service has said")
    same(status_of(bed, consumer)["tunnels"][0]["candidates"], [])
    same(attacker.find("tunnel request"), [], "requests to the attacker")
    teller = mesh.provider("teller")  # tells the consumer itself, which is one of the few that serve the DHT here
    until(lambda: status_of(bed, consumer)["counters"]["kad_served_add_provider"] > 0, "the consumer was told")
    same(how_it_ends(bed.connect(port))[1], b"", "what the service of whoever told has said")
    same((status_of(bed, consumer)["tunnels"][0]["candidates"], teller.find("tunnel request")), ([], []))
    genuine = mesh.provider("wanted")
    same(genuine.id, wanted)
    until(lambda: status_of(bed, consumer)["tunnels"][0]["peer"] == wanted, "the pinned peer is used")
    same(whose(bed, port), "wanted")
    same(attacker.find("tunnel request"), [], "requests to the attacker")
    same(consumer.find("several peers claim the service, and a name is no authority; say which peers may be used by allow"), [])


@test
def a_missing_service_is_no_busy_loop_and_is_found_when_somebody_offers_it(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    consumer = mesh.member("consumer", "--tunnel-by-name", "who@127.0.0.1:0", "--tunnel-wait", "60s")
    clients = [bed.connect(consumer.tunnel_port("who")) for _ in range(20)]  # all of them would have it sooner
    until(lambda: status_of(bed, consumer)["counters"]["lookups"] >= 4, "it is looked up again")
    until(lambda: status_of(bed, consumer)["uptime_s"] >= 6, "six seconds have passed")
    want(status_of(bed, consumer)["counters"]["lookups"] <= 20, "the look-ups of a missing service")
    same(len(consumer.find("DHT lookup finished with no providers")), 1, "warnings")
    mesh.provider("late")
    for client in clients:
        same(read_all(client), b"late")


@test
def the_servers_nearest_to_a_peer_are_listed_by_status(bed):
    mesh = Mesh(bed)
    bootstrap = mesh.bootstrap()
    others = [mesh.member(f"m{i}") for i in range(3)]
    until(lambda: len(status_of(bed, others[0])["dht"]["nearest_servers"]) == 3, "all three others are known")
    dht = status_of(bed, others[0])["dht"]
    same(dht["servers"], 3)
    said = {s["peer"]: s for s in dht["nearest_servers"]}
    same(set(said), {p.id for p in (bootstrap, *others[1:])}, "servers")
    same((said[bootstrap.id]["addrs"], said[bootstrap.id]["connected"]), ([f"/ip4/127.0.0.1/tcp/{mesh.port}"], True))
    text = bed.run("status", "--identity", others[0].key)[1]
    want(f"server      {bootstrap.id} at /ip4/127.0.0.1/tcp/{mesh.port}\n" in text, text)


@test
def another_kad_protocol_alone_is_no_border_between_networks(bed):
    """docs/decisions/0015: what /ipfs/kad/1.0.0 has in common stays in common."""
    service = bed.service(echo)
    first = bed.peer("first", "--kad-protocol", "/one/kad/1.0.0", "--expose", f"echo=127.0.0.1:{service.port}")
    second = bed.peer("second", "--kad-protocol", "/two/kad/1.0.0", "--bootstrap", first.addr, "--tunnel-by-name", "echo@127.0.0.1:0")
    want(speaks(bed.connect(second.tunnel_port("echo"))), "no echo")
    said = json.loads(bed.run("identify", first.addr, "--json")[1])["protocols"]
    want({"/one/kad/1.0.0", "/ipfs/kad/1.0.0"} <= set(said) and "/punchgate/kad/1.0.0" not in said, said)


@test
def the_bootstrap_peer_is_not_missed_when_it_has_died(bed):
    mesh = Mesh(bed)
    bootstrap = mesh.bootstrap()
    mesh.provider("provider")
    consumer = mesh.member("consumer", "--tunnel-by-name", "who@127.0.0.1:0")
    port = consumer.tunnel_port("who")
    same(whose(bed, port), "provider")
    bootstrap.kill()
    same(whose(bed, port), "provider")


@test
def what_a_reload_adds_is_announced_and_looked_for_and_what_it_removes_is_not(bed):
    mesh = Mesh(bed)
    mesh.bootstrap()
    says = bed.service(lambda client: client.sendall(b"hello"))
    files = {name: bed.path / f"{name}.conf" for name in ("provider", "consumer")}

    def write(name, *lines):
        files[name].write_text("".join(line + "\n" for line in (f"bootstrap = {mesh.addr}", *lines)))

    def reload(peer, *lines):
        before = len(peer.find("configuration reloaded"))
        write(peer.name, *lines)
        peer.send(signal.SIGHUP)
        return until(lambda: peer.find("configuration reloaded")[before:], f"{peer.name} reads its file again")[0]

    for name in files:
        write(name)
    provider, consumer = (bed.peer(name, "--config", files[name]) for name in files)
    port = free_port()
    reload(consumer, f"tunnel-by-name = added@127.0.0.1:{port}")
    client = until(lambda: opened(bed, port), "the tunnel listens")
    reload(provider, f"expose = added=127.0.0.1:{says.port}")
    same(read_all(client), b"hello")
    same(reload(consumer, f"tunnel-by-name = added@127.0.0.1:{port}").fields["begun"], "0")
    # allow= is a change: that tunnel makes room for another one
    gone = reload(consumer, f"tunnel-by-name = added@127.0.0.1:{port},allow={provider.id}")
    same((gone.fields["begun"], gone.fields["ended"]), ("1", "1"))
    until(lambda: status_of(bed, consumer)["tunnels"][0]["peer"] == provider.id, "the pinned provider is used")
    same(read_all(until(lambda: opened(bed, port), "the tunnel listens")), b"hello")
    reload(provider)
    reload(consumer)
    same(status_of(bed, consumer)["tunnels"], [])
    # Nobody of us answers for it any more: who asks now is told by old records of others at most, and refused by the provider.
    late = mesh.member("late", "--tunnel-by-name", "added@127.0.0.1:0", "--tunnel-wait", "1s")
    want(how_it_ends(bed.connect(late.tunnel_port("added"))), "it is served though it is not offered")
    same(says.clients, 2)


def opened(bed, port):
    try:
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
    except ConnectionRefusedError:
        return None
    bed.sockets.append(client)
    return client


@test
def a_wrong_tunnel_by_name_is_told_with_what_to_write(bed):
    for text, reason in (("nothing", "NAME@HOST:PORT"), ("@127.0.0.1:1", "empty"), ("a@127.0.0.1:70000", "65535"),
                         ("a@127.0.0.1:1,allow=me", "not a peer id"), ("a" * 256 + "@127.0.0.1:1", "255")):
        status, _, error = bed.run("run", "--tunnel-by-name", text, "--control", "off")
        same(status, 2, text[:20])
        want(reason in error and "--tunnel-by-name" in error, error)
    status, _, error = bed.run("run", "--tunnel-by-name", "a@127.0.0.1:5000", "--tunnel-by-name", "b@127.0.0.1:5000", "--control", "off")
    same(status, 2)
    want("stands twice" in error, error)


main()
