"""The rows for mDNS: each node in a network namespace of its own, all on one bridge. Called by run.py."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time

from nodes import Failed, Listener, Unavailable, end, listening

FOUND_SECONDS = 20
SERVICE_KEY = "/punchgate/kad/1.0.0"


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
        self.name, self.found, self.rest = peer.name, {}, b""
        into, address = lan.join()
        argv = [*into, *peer.argv("listen", "--addr", f"/ip4/{address}/tcp/0", "--mdns")]
        self.listener: Listener = stack.enter_context(listening(argv, ""))

    def read(self, seconds: float) -> None:
        out = self.listener.process.stdout
        if select.select([out], [], [], seconds)[0]:
            *lines, self.rest = (self.rest + os.read(out.fileno(), 65536)).split(b"\n")
            for line in map(json.loads, lines):
                self.found.setdefault(line["peer"], set()).update(line["addrs"])

    def sees(self, other) -> None:
        """With the address on which it listens."""
        deadline = time.monotonic() + FOUND_SECONDS
        wanted = other.listener.addr.split("/p2p/")[0]
        while wanted not in {addr.split("/p2p/")[0] for addr in self.found.get(other.listener.peer, ())}:
            if time.monotonic() > deadline:
                raise Failed(f"within {FOUND_SECONDS} s it found {self.found or 'nobody'}, and not {other.listener.addr}")
            self.read(0.1)
