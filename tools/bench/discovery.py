"""How soon peers find each other, and what it costs when they cannot. Used by bench.py; every peer is a process of its own, with
the options that the README names and no others but files and ports. mDNS is off: what is measured is Kademlia's."""
import itertools
import json
import os
import socket
import statistics
import threading
import time

from lab import Broken, cpu_seconds, free_port

PATIENCE_S = 30
FORMS = ("--tunnel", "--tunnel-by-name")


class Echo:
    """A service that returns every byte."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.target = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    @staticmethod
    def serve(client):
        with client:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                pass

    def close(self):
        self.listener.close()


def answers(port, until):
    """Dials the local port again and again until eight bytes have come back."""
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.settimeout(max(0.01, until - time.monotonic()))
                client.sendall(b"punchgat")
                if client.recv(8, socket.MSG_WAITALL) == b"punchgat":
                    return
        except OSError:
            time.sleep(0.002)
    raise Broken(f"nothing came back through 127.0.0.1:{port} within {PATIENCE_S} s")


def seconds_until_answer(port, since):
    answers(port, since + PATIENCE_S)
    return time.monotonic() - since


class Mesh:
    """Peers of one measurement: their keys are made once, their processes as often as wanted."""

    def __init__(self, lab, tag):
        self.lab, self.tag, self.echo, self.ids = lab, tag, Echo(), {}

    def key(self, name):
        return self.lab.path(f"{self.tag}-{name}.key")

    def peer_id(self, name):
        """The key is made by a run of the program that ends as soon as it stands."""
        if name not in self.ids:
            process, line = self.lab.start(*self.command(name, 0))
            self.lab.stop(process)
            self.ids[name] = json.loads(line)["peer"]
        return self.ids[name]

    def command(self, name, port, *arguments):
        return (self.lab.punchgate, "--identity", self.key(name), "--control", "off", "--no-mdns",
                "--listen", f"/ip4/127.0.0.1/tcp/{port}", "--ready-json", *arguments)

    def address(self, name, port):
        return f"/ip4/127.0.0.1/tcp/{port}/p2p/{self.peer_id(name)}"

    def start(self, name, port, *arguments):
        return self.lab.start(*self.command(name, port, *arguments))[0]

    def start_unready(self, name, port, *arguments):
        return self.lab.start(*self.command(name, port, *arguments), wait=False)[0]

    def end(self, processes):
        for process in processes:
            process.terminate()
        for process in processes:
            self.lab.stop(process)


def three(mesh, order, form, spread):
    """A bootstrap, a provider and a consumer, started in this order over `spread` seconds; seconds from the last start to the answer."""
    first, local = free_port(), free_port()
    bootstrap = ("--bootstrap", mesh.address("bootstrap", first))
    wanted = f"echo@127.0.0.1:{local}"
    commands = {"bootstrap": (first,), "provider": (0, *bootstrap, "--expose", f"echo={mesh.echo.target}"),
                "consumer": (0, *bootstrap, form, wanted if form == "--tunnel-by-name" else f"{mesh.peer_id('provider')}:{wanted}")}
    processes = []
    for i, name in enumerate(order):
        if i:
            time.sleep(spread / (len(order) - 1))
        begun = time.monotonic()
        processes.append(mesh.start_unready(name, *commands[name]))
    try:
        return seconds_until_answer(local, begun)
    finally:
        mesh.end(processes)


def three_nodes(bench):
    """For each form of tunnel: the bootstrap first, with 0.3 s between the starts, ten times; every other order within 1 s."""
    mesh, rows = Mesh(bench.lab, "three"), {}
    usual = ("bootstrap", "provider", "consumer")
    for form in FORMS:
        first = [three(mesh, usual, form, 0.6) for _ in range(10)]
        others = [(order, spread, three(mesh, order, form, spread))
                  for order in itertools.permutations(usual) if order[0] != "bootstrap" for spread in (0, 0.5, 1)]
        rows[form] = {"first": first, "others": others}
    mesh.echo.close()
    return rows


def start_mesh(mesh, count):
    """The first peer, and others that know only it."""
    port = free_port()
    processes = [mesh.start("m0", port)]
    bootstrap = ("--bootstrap", mesh.address("m0", port))
    for i in range(1, count):
        processes.append(mesh.start(f"m{i}", 0, *bootstrap))
    return processes, bootstrap


def publish_to_find(bench):
    """In a mesh that stands: a provider starts, and from its ready line on it is asked for by name at a peer that was there before."""
    mesh, local = Mesh(bench.lab, "mesh"), free_port()
    processes, bootstrap = start_mesh(mesh, bench.options.mesh)
    rows = []
    try:
        for i in range(5):
            name, local = f"echo{i}", free_port()
            provider = mesh.start(f"p{i}", 0, *bootstrap, "--expose", f"{name}={mesh.echo.target}")
            begun = time.monotonic()
            consumer = mesh.start(f"c{i}", 0, *bootstrap, "--tunnel-by-name", f"{name}@127.0.0.1:{local}")
            rows.append(seconds_until_answer(local, begun))
            mesh.end([provider, consumer])
    finally:
        mesh.end(processes)
        mesh.echo.close()
    return rows


def next_provider(bench):
    """Two providers; the one in use is killed, and a client dials at once."""
    mesh, rows = Mesh(bench.lab, "next"), []
    for _ in range(5):
        port, local = free_port(), free_port()
        bootstrap = ("--bootstrap", mesh.address("bootstrap", port))
        running = [mesh.start("bootstrap", port)]
        services = {name: Echo() for name in ("one", "two")}
        providers = {name: mesh.start(name, 0, *bootstrap, "--expose", f"echo={services[name].target}") for name in services}
        used = []
        for name, service in services.items():
            serve = service.serve
            service.serve = lambda client, name=name, serve=serve: (used.append(name), serve(client))
        consumer = mesh.start("consumer", 0, *bootstrap, "--tunnel-by-name", f"echo@127.0.0.1:{local}")
        answers(local, time.monotonic() + PATIENCE_S)
        first = used[-1]
        victim = providers.pop(first)
        victim.kill()
        begun = time.monotonic()
        rows.append(seconds_until_answer(local, begun))
        if used[-1] == first:
            raise Broken("the service behind a killed provider has answered")
        mesh.end([*running, *providers.values(), consumer, victim])
        for service in services.values():
            service.close()
    mesh.echo.close()
    return rows


def missing(bench):
    """Nobody offers it: look-ups that the consumer begins in that time, and its CPU."""
    mesh, port = Mesh(bench.lab, "missing"), free_port()
    bootstrap = mesh.start("bootstrap", port)
    seconds, log = bench.options.missing, bench.lab.path("missing.log")
    consumer, _ = bench.lab.start(*mesh.command("consumer", 0, "--bootstrap", mesh.address("bootstrap", port),
                                                "--tunnel-by-name", f"nowhere@127.0.0.1:{free_port()}"), log=log, level="info,cli::node=debug")
    time.sleep(seconds)
    cpu = cpu_seconds(consumer.pid)
    with open(log, errors="replace") as f:
        lookups = sum("starting DHT provider lookup" in line or "looking again" in line for line in f)
    mesh.end([bootstrap, consumer])
    mesh.echo.close()
    return {"seconds": seconds, "lookups": lookups, "cpu": cpu}


def rows(measures):
    """Rows of: measure, ceiling, punchgate, ratio, bound, whether it holds."""
    for form, got in measures.get("three", {}).items():
        first, worst = statistics.median(got["first"]), max(got["others"], key=lambda other: other[2])
        yield f"three nodes, bootstrap first, {form}, s", "", f"{first:.3f}", "", "<= 0.3", first <= 0.3
        yield f"  the slowest other order ({' '.join(name[0] for name in worst[0])} over {worst[1]} s)", "", f"{worst[2]:.2f}", "", "<= 2.5", \
            worst[2] <= 2.5
    if "find" in measures:
        found = statistics.median(measures["find"])
        yield "publish to find in a mesh of processes, s", "", f"{found:.3f}", "", "<= 1", found <= 1
    if "next" in measures:
        slowest = max(measures["next"])
        yield "the provider in use dies, next one answers, s (slowest)", "", f"{slowest:.3f}", "", "<= 2", slowest <= 2
    if "missing" in measures:
        got = measures["missing"]
        yield f"look-ups of a missing service in {got['seconds']} s", "", str(got["lookups"]), "", "<= 20", 0 < got["lookups"] <= 20
        yield "  CPU s", "", f"{got['cpu']:.4f}", "", "< 0.05", got["cpu"] < 0.05


MEASURES = {"three": three_nodes, "find": publish_to_find, "next": next_provider, "missing": missing}
