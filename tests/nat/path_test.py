"""Which way a tunnel takes between peers behind NATs: over a relay, then directly; and what a user is told. Run by nat.py."""
import contextlib
import json
import subprocess
import time

from lab import Lab
from nat import SWITCH, slow
from peers import PUNCHGATE, echo, how_it_ends, same, speaks, test, until, want
from router import Nat

PORT = 4001


class Scene:
    """Relays in public, a provider with a reservation at each of them, and a consumer; each where it is told to be."""

    def __init__(self, bed, provider, consumer, *options, relays=1, delay_ms=10):
        self.bed = bed
        self.lab = Lab(SWITCH, {"provider": provider, "consumer": consumer, **{f"relay{i}": None for i in range(relays)}}, delay_ms=delay_ms)
        self.options = options
        self.relays = [self.relay(i) for i in range(relays)]
        with self.lab["provider"].host.inside():
            service = bed.service(echo)
            self.provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", "--nat-status", "private",
                                     *(f"--bootstrap={self.at(i)}" for i in range(relays)), listen=f"/ip4/0.0.0.0/tcp/{PORT}")
        for i in range(relays):
            self.provider.saw(f"relay reservation accepted via {self.relays[i].id}")

    def relay(self, i):
        with self.lab[f"relay{i}"].host.inside():
            return self.bed.peer(f"relay{i}", "--nat-status", "public", "--external", f"/ip4/{self.lab[f'relay{i}'].address}/tcp/{PORT}",
                                 listen=f"/ip4/0.0.0.0/tcp/{PORT}")

    def at(self, i=0):
        return f"/ip4/{self.lab[f'relay{i}'].address}/tcp/{PORT}/p2p/{self.relays[i].id}"

    def circuit(self, i=0):
        return f"{self.at(i)}/p2p-circuit/p2p/{self.provider.id}"

    def consume(self, *more):
        with self.lab["consumer"].host.inside():
            self.consumer = self.bed.peer("consumer", *(f"--bootstrap={self.at(i)}" for i in range(len(self.relays))),
                                          "--tunnel", f"{self.circuit()}:echo@127.0.0.1:0", *self.options, *more, listen=f"/ip4/0.0.0.0/tcp/{PORT}")
        self.port = self.consumer.tunnel_port("echo")

    def client(self):
        with self.lab["consumer"].host.inside():
            return self.bed.connect(self.port)

    def connections(self):
        status, out, _ = self.bed.run("status", "--identity", self.consumer.key, "--json")
        same(status, 0)
        return [c for c in json.loads(out)["connections"] if c["peer"] == self.provider.id]

    def path(self, *options):
        with self.lab["consumer"].host.inside():
            status, out, error = self.bed.run("path", self.circuit(), "--json", *options, patience=60)
        return status, [json.loads(line) for line in out.splitlines()], error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.__exit__(*_)


def is_direct(connection):
    return "/p2p-circuit" not in connection["remote"]


@test
def who_is_in_public_is_dialled_back_and_path_tells_each_step(bed):
    with Scene(bed, Nat("port-restricted"), None) as scene:
        status, said, error = scene.path("--wait-direct")
        same(status, 0, f"{said} {error}")
        same([s["event"] for s in said if s["event"] not in ("identified", "dial", "dial_failed")], ["relayed", "direct", "path"])
        same(said[-1]["direct"], True)


@test
def of_a_punch_path_tells_what_was_named_each_try_and_its_end(bed):
    with Scene(bed, Nat("port-restricted"), Nat("port-restricted")) as scene:
        status, said, error = scene.path("--wait-direct", "--listen", f"/ip4/0.0.0.0/tcp/{PORT}")
        same(status, 0, f"{said} {error}")
        steps = {step["event"]: step for step in said}
        same([s["event"] for s in said if s["event"] in ("connect", "sync", "try", "direct", "path")], ["connect", "sync", "try", "direct", "path"])
        same(steps["connect"]["own"], [f"/ip4/{scene.lab['consumer'].address}/tcp/{PORT ^ 16384}"])
        same(steps["connect"]["addrs"], [f"/ip4/{scene.lab['provider'].address}/tcp/{PORT ^ 16384}"])
        want(steps["sync"]["rtt_us"] > 30_000, steps["sync"])
        same((steps["try"]["attempt"], steps["try"]["role"]), (1, "client"))
        times = [s["ms"] for s in said if "ms" in s]
        same(times, sorted(times))


@slow
@test
def path_waits_for_a_direct_way_as_long_as_it_is_told_and_then_says_why_there_is_none(bed):
    with Scene(bed, Nat("symmetric"), Nat("symmetric")) as scene:
        began = time.monotonic()
        status, said, _ = scene.path("--wait-direct", "--timeout", "24s", "--listen", f"/ip4/0.0.0.0/tcp/{PORT}")
        took = time.monotonic() - began
        want(status != 0 and took > 23, f"{status} after {took} s")
        events = [s["event"] for s in said]
        failed = [s for s in said if s["event"] == "try_failed"]
        want([s["attempt"] for s in failed][:3] == [1, 2, 3] and all(s["reason"] for s in failed), said)
        want(events.index("barred") < len(events) - events[::-1].index("try") - 1, f"there was no second round: {said}")
        same([(s["event"], s.get("direct")) for s in said[-2:]], [("path", False), ("error", None)])
        want(said[-2]["reason"] and said[-2]["reason"] in said[-1]["reason"], said[-2:])


@test
def two_behind_routers_talk_directly_and_the_tunnel_that_was_there_goes_on(bed):
    with Scene(bed, Nat("port-restricted"), Nat("port-restricted")) as scene:
        scene.consume()
        early = scene.client()  # before there is any connection
        want(speaks(early))
        scene.consumer.saw("connected to tunnel target via relay, waiting for DCUtR hole punch", peer_id=scene.provider.id)
        scene.consumer.saw("hole punch succeeded, spawning tunnel", remote_peer=scene.provider.id)
        want(speaks(early))
        until(lambda: [is_direct(c) for c in scene.connections()] == [True], "the relayed connection is closed, being of no use")
        want(speaks(scene.client()))
        want(speaks(early))


@slow
@test
def where_no_hole_can_be_punched_a_client_is_served_over_the_relay_within_six_seconds(bed):
    with Scene(bed, Nat("symmetric"), Nat("symmetric")) as scene:
        scene.consume()
        began = time.monotonic()
        client = scene.client()
        want(speaks(client))
        print(f"      bytes over the relay after {time.monotonic() - began:.1f} s")
        scene.consumer.saw("hole punch did not succeed; continuing with relayed tunnel path", peer=scene.provider.id)
        want(speaks(client))
        same([is_direct(c) for c in scene.connections()], [False])
        same([c["direct"] for c in scene.connections()], ["barred"])


@slow
@test
def with_path_direct_a_client_hears_why_there_is_no_tunnel(bed):
    with Scene(bed, Nat("symmetric"), Nat("symmetric"), "--path", "direct") as scene:
        scene.consume()
        pipe = scene.lab["consumer"].host.start(PUNCHGATE, "pipe", f"{scene.circuit()}:echo", "--path", "direct", "--json",
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=bed.environment(RUST_LOG="off"))
        began = time.monotonic()
        same(how_it_ends(scene.client())[1], b"")
        print(f"      told after {time.monotonic() - began:.1f} s")
        scene.consumer.saw("hole punch failed — tunnel cannot be established (direct connection required)", remote_peer=scene.provider.id)
        said = json.loads(pipe.communicate(timeout=20)[0].splitlines()[-1])
        same((pipe.returncode, said["code"]), (69, "unreachable"))
        want("--path direct" in said["reason"] and "no direct connection" not in said["reason"], said)


@slow
@test
def with_path_relay_nothing_is_punched(bed):
    with Scene(bed, Nat("full-cone"), None, "--path", "relay") as scene:
        scene.consume()
        client = scene.client()
        want(speaks(client))
        time.sleep(2)
        want(speaks(client))
        want(any(not is_direct(c) for c in scene.connections()))
        want(speaks(scene.client()))


@contextlib.contextmanager
def killed(scene, number):
    scene.relays[number].kill()
    yield


@contextlib.contextmanager
def silenced(scene, number):
    """Nothing comes from it or gets there any more, and nobody says so."""
    address = scene.lab[f"relay{number}"].address
    with scene.lab["consumer"].router.losing(address), scene.lab["provider"].router.losing(address):
        yield


def without_the_relay_in_use(bed, ends, patience_s):
    with Scene(bed, Nat("symmetric"), Nat("symmetric"), relays=2) as scene:
        scene.consume()
        want(speaks(scene.client()))
        via = scene.connections()[0]["relay"]
        with ends(scene, next(n for n, relay in enumerate(scene.relays) if relay.id == via)):
            began = time.monotonic()

            def served():
                try:
                    with scene.client() as client:
                        client.settimeout(patience_s)
                        return speaks(client)
                except (OSError, AssertionError):
                    return False
            until(served, "the tunnel serves over the other relay")
            print(f"      served again after {time.monotonic() - began:.1f} s")


@slow
@test
def when_the_relay_in_use_is_killed_tunnels_go_by_the_other_one(bed):
    without_the_relay_in_use(bed, killed, 10)


@slow
@test
def when_nothing_is_heard_of_the_relay_in_use_tunnels_go_by_the_other_one(bed):
    without_the_relay_in_use(bed, silenced, 1)
