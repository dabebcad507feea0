"""A go-libp2p that says one thing wrong when it punches or asks, or answers, whether somebody can be reached: any field of a message of DCUtR or
AutoNAT dropped, changed, said twice or late, by name or by seed. It may lose what it wanted, and nobody else loses anything. Run by nat.py.

The faults are explained in ../interop/README.md.
"""
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import run as interop
from lab import Lab
from matrix import Process
from nat import SWITCH, full
from path_test import PORT
from peers import echo, same, speaks, test, until, want
from router import Nat

GO = next(peer for peer in interop.PEERS if peer.name == "go")
READY_S = 20
# After that go gives up; C's tunnels take the relay before.
PUNCH_S = 10
AT_ONCE = 6
SEEDS = range(1, 5)
PRIVATE, RELAYED, NOT_ROUTED = "040a010203060fa1", "040a010203060fa1a202", "047f000001060016"
# CONNECT: type 1 (CONNECT 100, SYNC 300), addresses 2.
ANSWERS = (
    *("2:none", "2:cut", "2:type", "2:many=1000", "2:many=60", f"2:hex={PRIVATE}", f"2:hex={RELAYED}", f"2:hex={NOT_ROUTED}", "1:drop", "1:set=300", "1:zero"),
    *("all:drop", "all:empty", "all:cut", "all:huge", "all:garbage", "all:twice", "all:extra", "all:late=1500"),
)
# Those that do not keep a direct connection from coming about.
HARMLESS = {"2:many=60", "all:twice", "all:extra", "all:late=1500"}
# The side that begins says SYNC as well, its second message; what comes behind CONNECT is taken for that.
BEGINNINGS = (*ANSWERS, "+1:all:drop", "+1:all:twice", "+1:all:late=2500", "+1:1:set=100", "+1:1:zero", "+1:all:garbage", "+1:all:extra")


HARMLESS_BEGINNINGS = {"2:many=60", "all:late=1500", "+1:all:twice", "+1:all:late=2500", "+1:all:extra"}


def faults(protocol, named):
    return [protocol + ("" if fault.startswith("+") else ":") + fault for fault in named] + [f"{protocol}:any:random={seed}" for seed in SEEDS]


def of_go(test):
    test.libraries = ("go",)
    return full(test)


class Ground:
    """A relay in public; a C, another C that does nothing wrong, and those of go, each behind a router of its own."""

    def __init__(self, bed, *sites):
        self.bed = bed
        self.lab = Lab(SWITCH, {"relay": None, **{name: Nat("port-restricted") for name in ("c", "beside", "go")}, **dict.fromkeys(sites)})
        self.relay = self.peer("relay", "--nat-status", "public", "--max-relay-circuit-rate", 1000, "--max-relay-reserve-rate", 1000,
                               "--max-autonat", 1000, "--max-autonat-per-peer", 1000)
        self.at = f"/ip4/{self.lab['relay'].address}/tcp/{PORT}/p2p/{self.relay.id}"

    def peer(self, site, *options):
        host = self.lab[site].host
        with host.inside():
            return self.bed.peer(site, *options, listen=f"/ip4/{host.address}/tcp/{PORT}")

    def provider(self, site, *options):
        """A C that is reached through the relay, with an echo."""
        with self.lab[site].host.inside():
            service = self.bed.service(echo)
        peer = self.peer(site, "--expose", f"echo=127.0.0.1:{service.port}", "--nat-status", "private", "--bootstrap", self.at,
                         "--private-inbound-target", 0, "--relay-inbound-limit", 0, *options)
        peer.saw(f"relay reservation accepted via {self.relay.id}")
        return peer

    def circuit(self, peer):
        return f"{self.at}/p2p-circuit/p2p/{peer}"

    def client(self, site, port):
        with self.lab[site].host.inside():
            return self.bed.connect(port)

    def go(self, number, command, *arguments, site="go"):
        host = self.lab[site].host
        return Process(host, GO.argv(command, *arguments, "--addr", f"/ip4/{host.address}/tcp/{PORT + number}"), self.bed.path / f"go{number}.log")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.__exit__()


def altered(process, fault):
    """A fault that has not been committed proves nothing."""
    want("altered " in process.log.read_text() or "random" in fault, f"{fault} was never done: {process.story()}")


@contextlib.contextmanager
def speaking(client):
    """Somebody who has something to say all the while."""
    over, wrong = threading.Event(), []

    def speak():
        try:
            while not over.wait(0.05):
                want(speaks(client), "the tunnel beside has lost bytes")
        except (AssertionError, OSError) as error:
            wrong.append(error)
    want(speaks(client), "the tunnel beside")
    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    same(wrong, [], "the tunnel beside")


@of_go
@test
def dialers_of_go_that_punch_wrongly_leave_other_peoples_connections_alone(bed):
    """C is the listener, so it begins, and go answers."""
    with Ground(bed) as ground:
        listener = ground.provider("c")
        beside = ground.peer("beside", "--bootstrap", ground.at, "--tunnel", f"{ground.circuit(listener.id)}:echo@127.0.0.1:0")
        live = ground.client("beside", beside.tunnel_port("echo"))
        want(speaks(live))
        beside.saw("hole punch succeeded, spawning tunnel", remote_peer=listener.id)
        nowhere = ground.lab.counts()["no_way"]

        def punch(job):
            number, fault = job
            dialer = ground.go(number, "path", ground.circuit(listener.id), "--wait-direct", "--timeout", PUNCH_S, "--fault", fault)
            try:
                last = dialer.until(lambda said: said["event"] in ("path", "error"), PUNCH_S + READY_S) or {}
                altered(dialer, fault)
                if "random" not in fault:
                    same(last.get("direct"), fault.split(":", 1)[1] in HARMLESS, f"{fault}: a direct connection; {dialer.story()}")
            finally:
                dialer.end()
        jobs = [*enumerate(faults("dcutr", ANSWERS), 1)]
        with speaking(live), ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(punch, jobs))
        failed = [e.text for e in listener.entries() if e.message.startswith("hole punch with")]
        want(len(failed) >= len(ANSWERS) - len(HARMLESS), f"C says of {len(failed)} punches why they failed")
        want(all("failed: tries used up: the peer " in text for text in failed), failed)
        same(ground.lab.counts()["no_way"], nowhere, "packets to addresses that only the peers have named")


def outcome(consumer, peer):
    """What C says became of its punch."""
    said = ("hole punch succeeded, spawning tunnel", "hole punch did not succeed; continuing with relayed tunnel path")
    return until(lambda: [e for e in consumer.entries() if e.message in said and peer in e.text], f"C says what became of the punch with {peer}", 3 * PUNCH_S)[0]


@of_go
@test
def listeners_of_go_that_punch_wrongly_are_reached_through_the_relay(bed):
    with Ground(bed) as ground, ThreadPoolExecutor(AT_ONCE) as pool:
        def listen(job):
            number, fault = job
            listener = ground.go(number, "reserve", ground.at, "--dcutr", "--fault", fault)
            ready = listener.until(lambda said: said["event"] == "ready", READY_S)
            want(ready, f"{fault}: {listener.story()}")
            return listener, ready["peer"]
        jobs = [*enumerate(faults("dcutr", BEGINNINGS), 1)]
        listeners = dict(zip((fault for _, fault in jobs), pool.map(listen, jobs)))
        try:
            honest = ground.provider("beside")
            targets = [honest.id, *(peer for _, peer in listeners.values())]
            consumer = ground.peer("c", "--bootstrap", ground.at, *(f"--tunnel={ground.circuit(peer)}:echo@127.0.0.1:0" for peer in targets))
            until(lambda: len(consumer.find("tunnel listening")) == len(targets), "all tunnels stand")
            ports = {e.fields["remote_peer"]: int(e.fields["actual_addr"].strip('"').rsplit(":", 1)[1]) for e in consumer.find("tunnel listening")}
            clients = list(pool.map(lambda peer: ground.client("c", ports[peer]), targets))
            with speaking(clients[0]):
                for client, fault in zip(clients[1:], listeners):
                    client.settimeout(READY_S)
                    want(speaks(client), f"no tunnel to the peer with {fault}")
                for fault, (listener, peer) in listeners.items():
                    altered(listener, fault)
                    ended = outcome(consumer, peer)
                    harmless = fault.removeprefix("dcutr").removeprefix(":") in HARMLESS_BEGINNINGS
                    want("random" in fault or (ended.message == "hole punch succeeded, spawning tunnel") == harmless, f"{fault}: {ended.text}")
            for client in clients:
                want(speaks(client), "a tunnel has not lasted")
        finally:
            for listener, _ in listeners.values():
                listener.end()


# What servers say. Version 1: message type 1, response 3 (status 1: OK is 0, E_DIAL_ERROR 100; address 3). Version 2: response 2 (status 1: OK 200;
# index 2, what came of the dial 3: OK 200), wants data 3 (index 1, bytes 2); and the nonce on the connection back.
LIES = {
    1: ("1:drop", "1:zero", "3:drop", "3:cut", "3:type", "3.1:drop", "3.1:set=7", "3.1:set=200", "3.3:cut", "3.3:type", "3.3:huge", f"3.3:hex={PRIVATE}",
        "all:drop", "all:empty", "all:cut", "all:long", "all:huge", "all:garbage", "all:twice", "all:extra"),
    2: ("2:drop", "2:cut", "2:type", "2.1:drop", "2.1:zero", "2.1:set=101", "2.1:huge", "2.2:set=9", "2.2:set=18446744073709551615", "2.3:drop", "2.3:zero", "2.3:set=7",
        "all:drop", "all:empty", "all:cut", "all:long", "all:huge", "all:garbage", "all:twice", "all:extra"),
}
BACK = ("1:flip", "1:drop", "1:zero", "1:type", "all:drop", "all:empty", "all:cut", "all:huge", "all:garbage")
ENDS = {0, 1, 69, 75}


def in_bytes(address):
    return "04" + bytes(map(int, address.split("."))).hex() + "060009"


def asks(bed, ground, site, server, version, port, patience=8):
    """What the command of C is told there: its status and its last line."""
    with ground.lab[site].host.inside():
        status, out, _ = bed.run("autonat", server, "--json", "--autonat-version", f"v{version}", "--timeout", f"{patience}s",
                                 "--listen", f"/ip4/0.0.0.0/tcp/{port}", patience=40)
    return status, json.loads(out.splitlines()[-1])


@of_go
@test
def servers_of_AutoNAT_of_go_that_lie_are_told_apart_or_end_with_a_reason(bed):
    """One asker is in public; nobody can dial the other."""
    with Ground(bed, "server", "open") as ground:
        lies = [f"autonat{version}:{fault}" for version in LIES for fault in LIES[version]] + [f"dialback:{fault}" for fault in BACK]

        def ask(job):
            number, fault = job
            server = ground.go(number, "autonat-server", "--fault", fault, site="server")
            try:
                ready = server.until(lambda said: said["event"] == "ready", READY_S)
                addr = f"/ip4/{ground.lab['server'].address}/tcp/{PORT + number}/p2p/{ready['peer']}"
                version = 1 if fault.startswith("autonat1") else 2
                # The first version of go needs 15 s to say that it has reached nobody.
                for site in ("open",) if version == 1 else ("open", "c"):
                    status, said = asks(bed, ground, site, addr, version, PORT + number)
                    want(status in ENDS and bool(said.get("reason")) == (status != 0), f"{fault}: {status} {said}")
                    # Who says so has to have come back with the nonce.
                    want(said.get("reachability") != "public" or site == "open" and "dialback" not in fault, f"{fault}, in {site}: {said}")
                altered(server, fault)
            finally:
                server.end()
        with ThreadPoolExecutor(2 * AT_ONCE) as pool:
            list(pool.map(ask, enumerate(lies + [f"autonat:any:random={seed}" for seed in SEEDS], 1)))
        same(asks(bed, ground, "open", ground.at, 2, PORT)[1].get("reachability"), "public")


# What askers say. Version 1: message type 1, dial 2 (peer 1: id 1, addresses 2). Version 2: request 1 (addresses 1, nonce 2), and the data, 4 (1).
WHOLE = ("all:empty", "all:cut", "all:long", "all:huge", "all:garbage", "all:twice", "all:extra", "all:drop")
QUESTIONS = {
    1: ("1:drop", "1:set=1", "1:set=9", "2:drop", "2:cut", "2:type", "2.1:drop", "2.1.1:drop", "2.1.1:flip", "2.1.1:huge", "2.1.2:none", "2.1.2:many=100",
        "2.1.2:cut", f"2.1.2:hex={PRIVATE}", f"2.1.2:hex={RELAYED}", f"2.1.2:hex={NOT_ROUTED}", *WHOLE),
    2: ("1:drop", "1:cut", "1:type", "1.1:none", "1.1:many=100", "1.1:cut", f"1.1:hex={PRIVATE}", f"1.1:hex={RELAYED}", f"1.1:hex={NOT_ROUTED}", "1.2:drop",
        "1.2:zero", "1.2:type", *WHOLE),
}
DATA = ("+1:all:drop", "+1:4:drop", "+1:4:type", "+1:4.1:zero", "+1:all:cut", "+1:all:garbage", "+1:all:huge", "+1:all:empty")


@of_go
@test
def askers_of_go_that_ask_wrongly_have_nobody_dialled_and_others_are_answered_on(bed):
    with Ground(bed, "open", "other") as ground:
        address = ground.lab["other"].address
        other = f"/ip4/{address}/tcp/9"
        jobs = [(version, fault, ()) for version in QUESTIONS for fault in faults(f"autonat{version}", QUESTIONS[version])]
        # Somebody else is only dialled, by the second version, when the data that this costs has been sent.
        jobs += [(1, f"autonat1:2.1.2:hex={in_bytes(address)}", ()), *((2, f"autonat2{fault}", ("--ask", other)) for fault in DATA)]

        def ask(job):
            number, (version, fault, more) = job
            asker = ground.go(number, "autonat", ground.at, "--version", version, *more, "--fault", fault, site="go")
            try:
                asker.until(lambda said: said["event"] in ("autonat", "error"), 5)
                altered(asker, fault)
            finally:
                asker.end()
        passed = ground.lab.counts()
        with ThreadPoolExecutor(2 * AT_ONCE) as pool:
            asking = pool.map(ask, enumerate(jobs, 1))
            for port in range(PORT, PORT + 3):
                same(asks(bed, ground, "open", ground.at, 2, port)[1].get("reachability"), "public", "what somebody else is told meanwhile")
            list(asking)
        now = ground.lab.counts()
        same(now["other"]["passed"], passed["other"]["passed"], "packets to somebody else")
        same(now["no_way"], passed["no_way"], "packets to addresses that only the askers have named")
        same(asks(bed, ground, "open", ground.at, 1, PORT + 3)[1].get("reachability"), "public")
