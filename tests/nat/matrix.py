"""Hole punching, every dialer against every listener, each behind a router of its kind: what runs, is timed and put into tables.

Used by punch_test.py. A try begins with routers that remember nothing and a listener and a dialer that are new; both know one relay in
public. A time is from the relayed connection to a ping that was answered on the direct one, as the dialer tells it.
"""
import contextlib
import itertools
import json
import os
import pathlib
import select
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import run as interop
from lab import Lab
from nat import SWITCH
from peers import PATIENCE, PUNCHGATE
from router import KINDS, Nat

PLACES = ("none", *KINDS)
PORT = 4001
DELAY_MS = 10
READY_S = 30
# Longer than whatever gives up by itself: three rounds of 10 s.
PUNCH_S = 40
FOLDER = pathlib.Path(os.environ.get("PG_BUILD", "build")).resolve() / "nat"


class Process:
    """A program that prints JSON lines, in the namespace of a host."""

    def __init__(self, host, argv, log, environment=None):
        self.log = log
        with host.inside(), open(log, "wb") as err:
            self.process = subprocess.Popen([*map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, bufsize=0,
                                            env=environment, cwd=log.parent)
        self.rest, self.said = b"", []

    def line(self, patience):
        """The next object, or None when the time is over or the program has ended."""
        end = time.monotonic() + patience
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return None
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self.rest += data
        text, self.rest = self.rest.split(b"\n", 1)
        said = json.loads(text)
        self.said.append(said)
        return said

    def until(self, wanted, patience):
        """The first line of which `wanted` is true; None when none comes."""
        end = time.monotonic() + patience
        while said := self.line(max(0, end - time.monotonic())):
            if wanted(said):
                return said
        return None

    def story(self, lines=15):
        log = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([*map(json.dumps, self.said[-lines:]), *log])

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Side:
    """One implementation: what it runs as relay, listener and dialer."""

    name = library = None
    # Whether a cone has to keep ports: rust-libp2p tells others its listen port, whatever port they see.
    keeps_port = False
    # Relays that it is told of. From two that see different ports a peer knows that its router is symmetric.
    relays = 1

    def environment(self, folder):
        return None

    def attempts(self, process, last):
        return last.get("attempts", 0)


class Library(Side):
    def __init__(self, name, keeps_port=False):
        self.name = self.library = name
        self.keeps_port = keeps_port
        self.peer = next(p for p in interop.PEERS if p.name == name)

    def relay(self, folder, host):
        # Not 0.0.0.0: its reservations would name loopback as well.
        return self.peer.argv("relay", "--addr", f"/ip4/{host.address}/tcp/{PORT}", "--circuit-bytes", 0)

    def listen(self, folder, host, relays, port=PORT):
        # Not 0.0.0.0: rust would dial before it has heard of all its addresses, and then from another port.
        return self.peer.argv("reserve", relays[0], "--dcutr", "--addr", f"/ip4/{host.address}/tcp/{port}")

    def dial(self, folder, host, addr, seconds, port=PORT):
        return self.peer.argv("path", addr, "--wait-direct", "--timeout", seconds, "--addr", f"/ip4/{host.address}/tcp/{port}")

    def autonat_server(self, folder, host):
        return self.peer.argv("autonat-server", "--addr", f"/ip4/{host.address}/tcp/{PORT}")

    def autonat(self, folder, host, server, version, *more):
        return self.peer.argv("autonat", server, "--version", version, "--addr", f"/ip4/{host.address}/tcp/{PORT}", *more)


class Ours(Side):
    name, relays = "C", 2

    def environment(self, folder):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNCHGATE", "RUST_LOG", "XDG_"))}
        return kept | {"HOME": str(folder), "RUST_LOG": "debug,machine=off", "PUNCHGATE_NO_MDNS": "1"}

    def attempts(self, process, last):
        return process.log.read_text(errors="replace").count("both sides dial")

    def run(self, folder, name, *arguments, port=PORT):
        return [PUNCHGATE, "--identity", folder / f"{name}.key", "--listen", f"/ip4/0.0.0.0/tcp/{port}", "--ready-json",
                "--control", "off", *arguments]

    def relay(self, folder, host):
        return self.run(folder, f"relay{time.monotonic_ns()}", "--nat-status", "public")

    def listen(self, folder, host, relays, port=PORT):
        known = [word for relay in relays for word in ("--bootstrap", relay)]
        return self.run(folder, f"listener{time.monotonic_ns()}", *known, "--nat-status", "private", port=port)

    def dial(self, folder, host, addr, seconds, port=PORT):
        return [PUNCHGATE, "path", addr, "--wait-direct", "--json", "--listen", f"/ip4/0.0.0.0/tcp/{port}", "--timeout", f"{seconds}s"]

    def autonat_server(self, folder, host):
        return self.relay(folder, host)

    def autonat(self, folder, host, server, version, *more):
        return [PUNCHGATE, "autonat", server, "--json", "--autonat-version", f"v{version}", "--listen", f"/ip4/0.0.0.0/tcp/{PORT}", *more]


SIDES = {"C": Ours(), "go": Library("go"), "rust": Library("rust", keeps_port=True)}


@dataclass
class Try:
    ok: bool
    ms: float = 0
    attempts: int = 0
    reason: str = ""
    took_s: float = 0
    story: str = field(default="", repr=False)


def circuits(said):
    """The listener's addresses through relays, in this line."""
    return [a for a in said.get("addrs", ()) if "/p2p-circuit" in a] if said.get("event") == "ready" else []


class Matrix:
    """One laboratory with a relay and a pair of sites for each kind, and what came of the tries in it."""

    def __init__(self, folder, relay, delay_ms=DELAY_MS, seed=1, pairs=None, **router):
        """`pairs`: a list of (name, dialer's place, listener's place); without, one site of each kind on both sides."""
        self.folder, self.stack, self.tries, self.ports = folder, contextlib.ExitStack(), {}, itertools.count(PORT)
        sites = {"relay": None, "relay2": None}
        def nat(place):  # noqa: E306
            return Nat(place, **router) if place in KINDS else None
        for name, dialer, listener in pairs or [(place, place, place) for place in PLACES]:
            sites |= {f"d.{name}": nat(dialer), f"l.{name}": nat(listener)}
        self.lab = self.stack.enter_context(Lab(SWITCH, sites, delay_ms=delay_ms, seed=seed))
        self.running, self.relays = [], []
        try:
            for name in ("relay", "relay2"):
                self.start_relay(name, relay)
        except BaseException:
            self.close()
            raise

    def start_relay(self, name, side):
        host = self.lab[name].host
        process = self.process(name, side, side.relay(self.folder, host))
        self.running.append(process)
        ready = process.until(lambda said: said["event"] == "ready", READY_S)
        if ready is None:
            raise AssertionError(f"the relay of {side.name} did not get ready: {process.story()}")
        self.relays.append(f"/ip4/{host.address}/tcp/{PORT}/p2p/{ready['peer']}")

    def close(self):
        for process in self.running:
            process.end()
        self.stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def process(self, site, side, argv):
        log = self.folder / f"{site}-{time.monotonic_ns()}.log"
        return Process(self.lab[site].host, argv, log, side.environment(self.folder))

    def forget(self, site):
        for router in self.lab[site].routers:
            router.load()
            router.forget_connections()

    def one(self, dialing, answering, dialer, listener, patience=PUNCH_S):
        """A try between two sites."""
        began = time.monotonic()
        here, there = f"d.{dialer}", f"l.{listener}"
        self.forget(here)
        self.forget(there)
        # Another port each time: the connections of those who were killed before have not ended yet.
        port = next(self.ports)
        listens = self.process(there, answering, answering.listen(self.folder, self.lab[there].host, self.relays[:answering.relays], port))
        dials = None
        try:
            ready = listens.until(lambda said: len(circuits(said)) >= answering.relays, READY_S)
            if ready is None:
                return Try(False, reason="the listener has no reservation", story=listens.story())
            through = next(a for a in circuits(ready) if self.relays[0] in a)
            dials = self.process(here, dialing, dialing.dial(self.folder, self.lab[here].host, through, patience, port))
            last = dials.until(lambda said: said["event"] in ("path", "error"), patience + PATIENCE) or {}
            told = Try(bool(last.get("direct")), last.get("direct_ms", 0), dialing.attempts(dials, last), last.get("reason", ""))
            if not told.ok:
                # What follows an end without a direct connection is the reason.
                told.reason = (dials.line(5) or {}).get("reason", told.reason)
                told.story = f"--- dialer\n{dials.story()}\n--- listener\n{listens.story()}"
            self.last = dials.said
            told.took_s = round(time.monotonic() - began, 1)
            return told
        finally:
            for process in (dials, listens):
                if process:
                    process.end()

    def note(self, cell, told):
        self.tries.setdefault(cell, []).append(told)

    def measure(self, dialing, answering, cells, tries):
        """One after another, so that no try takes time from another."""
        for cell in cells:
            for _ in range(tries):
                self.note(cell, self.one(dialing, answering, *cell))


def at_once(folder, relay, dialing, answering, cells, tries, delay_ms=DELAY_MS, width=9, **router):
    """Tries that are not timed, as many at once as `width`, each between two sites of its own; cell to its tries."""
    jobs = [(f"{n}", cell) for n, cell in enumerate(cell for cell in cells for _ in range(tries))]
    found = {}
    with Matrix(folder, relay, delay_ms, pairs=[(name, *cell) for name, cell in jobs], **router) as matrix:
        with ThreadPoolExecutor(width) as pool:
            results = pool.map(lambda job: matrix.one(dialing, answering, job[0], job[0]), jobs)
            for (_, cell), told in zip(jobs, results):
                found.setdefault(cell, []).append(told)
    return found


def text_of(tries):
    """`3/3 164 h1`: successes, the median of their milliseconds, and how: by a plain dial or that many attempts."""
    good = [t for t in tries if t.ok]
    if not good:
        return f"0/{len(tries)}"
    attempts = round(statistics.median(t.attempts for t in good))
    how = f"h{attempts}" if attempts else "d"
    return f"{len(good)}/{len(tries)} {statistics.median(t.ms for t in good):.0f} {how}"


def table(found, dialers=PLACES, listeners=PLACES):
    rows = [["A \\ B", *listeners]]
    rows += [[a, *(text_of(found[a, b]) if (a, b) in found else "-" for b in listeners)] for a in dialers]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * (len(listeners) + 1) + "|", *lines[1:]])


def write(name, found, **about):
    """Beside what was built, for whoever compares."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    cells = [{"dialer": a, "listener": b, "tries": [{k: v for k, v in asdict(t).items() if k != "story"} for t in tries]}
             for (a, b), tries in found.items()]
    (FOLDER / f"{name}.json").write_text(json.dumps(about | {"cells": cells}, indent=1) + "\n")
