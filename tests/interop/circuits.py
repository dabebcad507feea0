"""The rows for relays: every triple of relay, listener and dialer. Called by run.py.

Each relay has a listener of every kind that holds a reservation there, and every dialer reaches each of them through the relay. A
dialer says itself that there is no other way to the listener than the relayed one; what C dials says it, too.
"""

import contextlib
import json
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from nodes import Failed, Listener, check_ok, lines, listening, run, tail

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
CIRCUIT = "/p2p-circuit"
SIZE = 20_000
READY_SECONDS = 20
WORKERS = 3


def check_relayed(told: dict) -> None:
    if told.get("relayed") is not True:
        raise Failed(f"not over the relay: {told}")


class Library:
    """go, rust or js in each part."""

    def __init__(self, peer):
        self.peer, self.name = peer, peer.name

    def relay(self, *options: object):
        return listening(self.peer.argv("relay", *options), "reset")

    def reserve(self, relay: Listener):
        return listening(self.peer.argv("reserve", relay.addr), "reset")

    def reach(self, to: Listener) -> None:
        *_, summary = lines(run(self.peer.argv("ping", to.addr, "--count", 2)))
        if summary.get("received") != 2:
            raise Failed(f"not all pings were answered: {summary}")
        check_relayed(summary)
        echoed = lines(run(self.peer.argv("echo", to.addr, "echo", "--bytes", SIZE)))
        check_ok(echoed, "echo")
        check_relayed(echoed[-1])


class Ours:
    """C in each part."""

    name = "C"

    def __init__(self, dials, echo: int):
        self.dials, self.echo = dials, echo

    def run(self, name: str, *arguments: object):
        argv = [self.dials.punchgate, "--identity", self.dials.options["cwd"] / f"{name}{time.monotonic_ns()}", "--listen", LOOPBACK,
                "--control", "off", "--ready-json", *arguments]
        environment = self.dials.options["env"] | {"PUNCHGATE_LOG": "debug"}
        return listening([*map(str, argv)], "", **self.dials.options | {"env": environment})

    def relay(self, *options: object):
        return self.run("relay", "--nat-status", "public", *options)

    @contextlib.contextmanager
    def reserve(self, relay: Listener):
        with self.run("reserve", "--nat-status", "private", "--bootstrap", relay.addr, "--expose", f"echo=127.0.0.1:{self.echo}") as listener:
            yield replace(listener, addr=circuit_address(listener))

    def reach(self, to: Listener) -> None:
        *_, summary = lines(self.dials.run("ping", to.addr, "--count", 2, "--json"))
        if summary.get("received") != 2:
            raise Failed(f"not all pings were answered: {summary}")
        sent = os.urandom(SIZE)
        self.dials.pipe(to, "echo", sent, sent)


def circuit_address(listener: Listener) -> str:
    """Of a C that says anew where it can be reached, when it holds a reservation."""
    deadline, text = time.monotonic() + READY_SECONDS, b""
    if CIRCUIT in listener.addr:
        return listener.addr
    while select.select([listener.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
        data = os.read(listener.process.stdout.fileno(), 65536)
        if not data:
            break
        *whole, text = (text + data).split(b"\n")
        for line in whole:
            for addr in json.loads(line).get("addrs", ()):
                if CIRCUIT in addr:
                    return addr
    raise Failed(f"it holds no reservation after {READY_SECONDS} s; its log ends: {tail(listener.log().encode())}")


def begin(stack: contextlib.ExitStack, node):
    try:
        return stack.enter_context(node)
    except (Failed, OSError, ValueError) as error:
        return Failed(str(error))


def outcome_of(check, *ends) -> Exception | None:
    try:
        for end in ends:
            if isinstance(end, Exception):
                raise end
        check(*ends)
        return None
    except (Failed, OSError, ValueError) as error:
        return error


def triples(matrix, kinds: list, answering: list, dialing: list) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(WORKERS) as pool:
        relays = {relay.name: begin(stack, relay.relay()) for relay in kinds}
        def reserved(pair):  # noqa: E306
            relay, kind = pair
            to = relays[relay.name]
            return Failed(f"the relay: {to}") if isinstance(to, Exception) else begin(stack, kind.reserve(to))
        pairs = [(relay, kind) for relay in kinds for kind in answering]
        listeners = dict(zip(((relay.name, kind.name) for relay, kind in pairs), pool.map(reserved, pairs)))
        jobs = [(relay, kind, dialer) for dialer in dialing for relay in kinds for kind in answering]
        def reached(job):  # noqa: E306
            relay, kind, dialer = job
            return outcome_of(dialer.reach, listeners[relay.name, kind.name])
        for (relay, kind, dialer), outcome in zip(jobs, pool.map(reached, jobs)):
            matrix.note(f"{dialer.name} through {relay.name}", f"to {kind.name}",
                        f"{dialer.name} pings {kind.name}, and has {SIZE} bytes echoed, through the relay of {relay.name}", outcome)


def present(peers: list, wrong: dict[str, Exception]) -> list[Library]:
    return [Library(peer) for peer in peers if peer.name not in wrong]


def among_themselves(matrix, peers: list, wrong: dict[str, Exception]) -> None:
    libraries = present(peers, wrong)
    kinds = [Ours(c_dials, echo), *libraries]
    triples(matrix, kinds, kinds, kinds)


def with_ours(matrix, peers: list, wrong: dict[str, Exception], c_dials, echo: int) -> None:
    libraries = present(peers, wrong)
    kinds = [Ours(c_dials, echo), *libraries]
    triples(matrix, kinds, kinds, kinds)
