"""The rows for mDNS: each node in a network namespace of its own, all on one bridge. Called by run.py."""

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import time

from nodes import Failed, Listener, Unavailable, end, listening

FOUND_SECONDS = 20


def command(*arguments: object) -> None:
    result = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=10)
    if result.returncode != 0:
        raise Failed(f"`{' '.join(map(str, arguments))}` ended with {result.returncode}: {result.stderr.strip()}")


class Lan:
    """A bridge; `join` makes a host on it, and answers what runs a program there, and the host's address."""

    def __init__(self, stack: contextlib.ExitStack):
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
            raise Unavailable("network namespaces want root, and ip, nsenter and unshare")
        self.stack, self.hosts = stack, 0
        self.switch = self.namespace()
        command(*self.inside(self.switch), "ip", "link", "add", "lan", "type", "bridge")
        command(*self.inside(self.switch), "ip", "link", "set", "lan", "up")

    def namespace(self) -> int:
        """Lives as long as the process in it does, which ends with its input."""
        process = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo && exec cat"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(process.stdout.close)
        self.stack.callback(end, process)
        if process.stdout.readline() != b"\n":
            raise Unavailable("no network namespace can be made")
        return process.pid

    @staticmethod
    def inside(pid: int) -> list[str]:
        return ["nsenter", "-t", str(pid), "-n"]

    def join(self) -> tuple[list[str], str]:
        self.hosts += 1
        host, port, address = self.namespace(), f"port{self.hosts}", f"10.77.0.{self.hosts}"
        into = self.inside(host)
        command(*self.inside(self.switch), "ip", "link", "add", port, "type", "veth", "peer", "name", "lan", "netns", host)
        command(*self.inside(self.switch), "ip", "link", "set", port, "master", "lan", "up")
        command(*into, "ip", "addr", "add", f"{address}/24", "dev", "lan")
        command(*into, "ip", "link", "set", "lan", "up")
        command(*into, "ip", "route", "add", "default", "dev", "lan")
        return into, address


class Seer:
    """A node of go, rust or js, which writes a line for each peer that it finds."""

    def __init__(self, peer, stack: contextlib.ExitStack, lan: Lan):
        self.name, self.rest = peer.name, b""
        self.found: dict[str, set[str]] = {}
        into, address = lan.join()
        argv = [*into, *peer.argv("listen", "--addr", f"/ip4/{address}/tcp/0", "--mdns")]
        self.listener: Listener = stack.enter_context(listening(argv, ""))

    def look(self, seconds: float) -> None:
        out = self.listener.process.stdout
        if select.select([out], [], [], seconds)[0]:
            *lines, self.rest = (self.rest + os.read(out.fileno(), 65536)).split(b"\n")
            for line in map(json.loads, lines):
                self.found.setdefault(line["peer"], set()).update(line["addrs"])


class Ours:
    """C, which logs whom it finds."""

    name = "C"

    def __init__(self, c_dials, stack: contextlib.ExitStack, lan: Lan):
        into, address = lan.join()
        env = {name: value for name, value in c_dials.options["env"].items() if name != "PUNCHGATE_NO_MDNS"}
        argv = [*into, c_dials.punchgate, "--identity", c_dials.options["cwd"] / f"at {address}", "--listen", f"/ip4/{address}/tcp/0",
                "--ready-json", "--control", "off"]
        self.listener: Listener = stack.enter_context(listening([*map(str, argv)], "", cwd=c_dials.options["cwd"],
                                                                env=env | {"PUNCHGATE_LOG": "info"}))
        self.found: dict[str, set[str]] = {}

    def look(self, seconds: float) -> None:
        time.sleep(seconds)
        for peer, addr in re.findall(r"peer found on the local network peer=(\S+) addr=(\S+)", self.listener.log()):
            self.found.setdefault(peer, set()).add(addr)


def sees(one, other) -> None:
    """With the address on which the other listens."""
    deadline = time.monotonic() + FOUND_SECONDS
    wanted, peer = other.listener.addr.split("/p2p/")[0], other.listener.peer
    while wanted not in {addr.split("/p2p/")[0] for addr in one.found.get(peer, ())}:
        if time.monotonic() > deadline:
            raise Failed(f"within {FOUND_SECONDS} s it found {one.found or 'nobody'}, and not {other.listener.addr}")
        one.look(0.1)


# One C is there before the other three, one comes last: whoever asks only at its start must hear of it all the same.
CASES = (
    ("sees C", "{} finds by mDNS the C that was there before it", lambda first, late, other: sees(other, first)),
    ("C sees", "{} is found by mDNS by the C that was there before it", lambda first, late, other: sees(first, other)),
    ("sees late C", "{} finds by mDNS the C that comes after it", lambda first, late, other: sees(other, late)),
    ("late C sees", "{} is found by mDNS by the C that comes after it", lambda first, late, other: sees(late, other)),
)


def rows(matrix, peers: list, wrong: dict[str, Exception], c_dials) -> None:
    with contextlib.ExitStack() as stack:
        seers = dict(wrong)
        first = late = None
        try:
            lan = Lan(stack)
            first = Ours(c_dials, stack, lan)
            seers |= {peer.name: Seer(peer, stack, lan) for peer in peers if peer.name not in wrong}
            late = Ours(c_dials, stack, lan)
        except (Failed, Unavailable, OSError) as error:
            seers = {peer.name: error for peer in peers}
        for peer in peers:
            for column, sentence, check in CASES:
                outcome = seers[peer.name] if isinstance(seers[peer.name], Exception) else None
                try:
                    if outcome is None:
                        check(first, late, seers[peer.name])
                except (Failed, OSError) as error:
                    outcome = error
                matrix.note(f"{peer.name} on a LAN with C", column, sentence.format(peer.name), outcome)
