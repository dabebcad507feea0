"""The rows of peers that do one thing wrong: they may lose what they asked for, and nobody else may lose anything. Called by run.py."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodes import END_SECONDS, PINGS, Failed, Listener, NoEnd, check_ok, check_pings, lines, listening, run, tail

SIZE = 300_000
AT_ONCE = 4
GIVEN_SECONDS = 3
# A pipe that was accepted lasts as long as its connection, and that of a peer that loses frames may last.
PIPE_SECONDS = 8
# What C may end with when the other side is at fault: a broken protocol, out of reach, no answer in time.
ENDS = {0, 1, 69, 75}
# The one payload of Noise that is in order.
RIGHT = "noise-right"
# An answer to identify need not repeat the key that Noise has proved.
NO_KEY = "identify-no-key"
# Frames that break a rule at once, whatever comes before and after them.
BROKEN = {"type", "version", "window", "twice"}
NO_IDENTITY = r"error=(?:the other side did not prove its identity|broken Noise message)"
WORD = b"still here"


def log_of(to: Listener) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", to.log())


def wait_for(what: Callable[[], str], seconds: float = END_SECONDS) -> None:
    """Until nothing is missing."""
    deadline = time.monotonic() + seconds
    while missing := what():
        if time.monotonic() > deadline:
            raise Failed(missing)
        time.sleep(0.05)


class Honest:
    """A tunnel of somebody else to the same C, which has something to say all the time."""

    def __init__(self, tunnels):
        self.tunnels = tunnels
        self.words = 0
        self.error: Exception | None = None
        self.over = threading.Event()

    def talk(self) -> None:
        try:
            with self.tunnels.connect("echo") as client:
                while not self.over.wait(0.02):
                    client.sendall(WORD)
                    answer = b""
                    while len(answer) < len(WORD):
                        if not (data := client.recv(len(WORD) - len(answer))):
                            raise Failed("its client was closed")
                        answer += data
                    if answer != WORD:
                        raise Failed(f"its client got {answer!r}")
                    self.words += 1
        except (Failed, OSError) as error:
            self.error = error

    @contextlib.contextmanager
    def talking(self):
        thread = threading.Thread(target=self.talk)
        thread.start()
        try:
            wait_for(lambda: "" if self.words or self.error else "the tunnel beside carries nothing")
            yield
            before = self.words
            wait_for(lambda: "" if self.words > before or self.error else "the tunnel beside stands still")
        finally:
            self.over.set()
            thread.join()
        if self.error:
            raise Failed(f"the tunnel beside: {self.error}")
        self.tunnels.is_same_connection()


class Hostile:
    """One build of such a peer; `c` starts what is ours."""

    def __init__(self, peer, c_dials, echo: int):
        self.peer, self.c, self.echo = peer, c_dials, echo
        self.faults = lines(run(peer.argv("faults")))[0]["names"]
        if RIGHT not in self.faults or not BROKEN < set(self.faults):
            raise Failed(f"it has no more than {self.faults}")

    def each(self, check: Callable) -> list:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(check, self.faults))

    @contextlib.contextmanager
    def ours(self):
        """A C of its own, so that what it has counted is this peer's doing."""
        home: Path = self.c.options["cwd"]
        identity = home / f"beside-{self.peer.name}"
        env = self.c.options["env"] | {"PUNCHGATE_LOG": "debug,machine=off"}
        with listening([str(self.c.punchgate), "--identity", str(identity), "--listen", "/ip4/127.0.0.1/tcp/0",
                        "--expose", f"echo=127.0.0.1:{self.echo}", "--ready-json"],
                       "", **self.c.options | {"env": env}) as to:
            yield to, identity

    def counters(self, identity: Path) -> dict:
        return lines(self.c.run("status", "--json", "--identity", identity))[0]["counters"]

    def dials_all(self, _) -> None:
        with self.ours() as (to, identity):
            with self.c.tunnels(to, ("echo",)) as tunnels, Honest(tunnels).talking():
                told = dict(zip(self.faults, self.each(lambda fault: self.dial(fault, to))))
            wait_for(lambda: self.untold(log_of(to), told, self.counters(identity)))
            # C serves as before, and is the process that it has been all the while.
            check_pings(lines(self.c.run("ping", to.addr, "--count", PINGS, "--json")))
            if to.process.poll() is not None:
                raise Failed(f"C has ended with {to.process.returncode}: {tail(to.log().encode())}")

    def dial(self, fault: str, to: Listener) -> dict:
        objects = lines(run(self.peer.argv("misbehave", to.addr, fault)))
        check_ok(objects, "misbehave")
        return objects[-1]

    def untold(self, log: str, told: dict[str, dict], counted: dict) -> str:
        """What is missing in C's log and counters; empty if nothing is."""
        broken = 0
        for fault, misbehaved in told.items():
            peer = misbehaved["peer"]
            broken += (reason := f"its peer broke a rule peer={peer} error=" in log)
            if fault in BROKEN and not reason:
                return f"its log has no reason for the end of the connection with fault {fault}"
            identified = "peer identified" if fault == NO_KEY else "identify failed"
            if fault.startswith("identify-") and f"{identified} peer={peer} " not in log:
                return f"its log does not say `{identified}` with fault {fault}"
        bad = sum(fault.startswith("noise-") and fault != RIGHT for fault in told)
        refused = len(re.findall(rf"connection failed endpoint=.* {NO_IDENTITY}", log))
        if refused != bad:
            return f"its log has {refused} of {bad} handshakes that failed with a reason"
        # The right payload, too, is followed by nothing.
        if not bad <= counted["handshakes_failed_inbound"] <= bad + 1:
            return f"it counted {counted['handshakes_failed_inbound']} handshakes that failed, of {bad}"
        if counted["protocol_errors"] < bad + broken:
            return f"it counted {counted['protocol_errors']} broken rules, of {bad + broken} at least"
        return ""

    def is_dialled(self, _) -> None:
        self.each(self.be_dialled)

    def be_dialled(self, fault: str) -> None:
        with listening(self.peer.argv("listen", "--fault", fault), "reset") as bad:
            for arguments in (("identify", bad.addr), ("ping", bad.addr, "--count", 3), ("pipe", f"{bad.addr}:echo"),
                              ("perf", bad.addr, "--up", 100_000, "--down", 100_000)):
                self.use(fault, arguments)
            if fault == RIGHT:
                bad.saw(f"(the other side goes on after {RIGHT})", 4)
            elif "the other side goes on" in bad.log():
                raise Failed(f"fault {fault}: C went on after the handshake")

    def use(self, fault: str, arguments: tuple) -> None:
        seconds = PIPE_SECONDS if arguments[0] == "pipe" else GIVEN_SECONDS + END_SECONDS
        try:
            result = self.c.run(*arguments, "--timeout", f"{GIVEN_SECONDS}s", stdin=bytes(SIZE), seconds=seconds)
        except NoEnd:
            if arguments[0] != "pipe" or "-" in fault:
                raise Failed(f"fault {fault}: {arguments[0]} does not end") from None
            return
        if result.returncode not in ENDS:
            raise Failed(f"fault {fault}: {arguments[0]} ended with {result.returncode}: {tail(result.stderr)}")
        if fault.startswith("noise-") and not result.returncode:
            raise Failed(f"fault {fault}: {arguments[0]} took the peer for one that works")
        if result.returncode and not result.stderr.strip():
            raise Failed(f"fault {fault}: {arguments[0]} gives no reason")

    cases = (
        ("hostile dials", "{} does one thing wrong after another to {}, which says what, counts it and serves another tunnel on",
         dials_all),
        ("is dialled", "{} does one thing wrong after another when a {} dials it, which ends with a reason", is_dialled),
    )
