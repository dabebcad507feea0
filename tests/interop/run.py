#!/usr/bin/env python3
"""Runs punchgate against go-libp2p, rust-libp2p and js-libp2p, in both directions.

    run.py build                         builds the three peers, or finds them up to date
    run.py --punchgate build/punchgate   builds what is stale, then checks C against each of them
    run.py --self                        the same among the three, which proves the peers and this runner

What a missing tool prevents is skipped and counted; with REQUIRE_INTEROP=1 it counts as failed.
"""

import argparse
import contextlib
import hashlib
import os
import re
import resource
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import circuits
import dht
import keys
import mdns
from hostile import Hostile
from hostile_relays import HostileRelays
from nodes import PINGS, Failed, Listener, Unavailable, check_identity, check_ok, check_pings, lines, listening, run, tail

HERE = Path(__file__).resolve().parent
SIZE = 300_000
SMALL = 1000
CROWD = 8
CROWD_SIZE = 20_000
PERF_SIZE = 64_000_000
# At once on one connection, whoever opens them. rust-libp2p ends a connection at its 513th stream.
STREAMS = {"rust": 500}
MANY = 1000
# Of tunnels, more than one connection may have: we open 500 streams on each, and a ping's is among them.
CLIENTS = 1000
CONNECTIONS = range(2, 4)
WAVE = 10
SEED = 7
SEEDED_PEER = "12D3KooWE3quQCP6Xu7eXpcmmpwVS1KofWnPCBWYNHCswgaqwCso"

BUILD_SECONDS = 1800
LONG_SECONDS = 130
# From the moment at which a peer that was killed is ready again.
BACK_SECONDS = 15


# ---- building -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    program: str
    arguments: tuple[str, ...]
    minimum: tuple[int, ...]

    def version(self) -> str:
        wanted = f"{self.program} {'.'.join(map(str, self.minimum))} or newer"
        if shutil.which(self.program) is None:
            raise Unavailable(f"{wanted} is missing")
        answer = subprocess.run([self.program, *self.arguments], capture_output=True, text=True, timeout=60,
                                env=BUILD_ENVIRONMENT)
        found = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout)
        if found is None or tuple(map(int, found[0].split("."))) < self.minimum:
            raise Unavailable(f"{wanted} is needed, here is {answer.stdout.strip() or 'an unknown version'}")
        return found[0]


@dataclass(frozen=True)
class Peer:
    name: str
    tools: tuple[Tool, ...]
    sources: tuple[str, ...]
    build: tuple[str, ...]
    stamp: str
    command: tuple[str, ...]
    hostile: bool = False

    @property
    def folder(self) -> Path:
        return HERE / self.name

    def argv(self, *arguments: object) -> list[str]:
        program, *rest = self.command
        return [str(self.folder / program), *(str(self.folder / r) for r in rest), *map(str, arguments)]

    def make(self) -> None:
        """Builds the peer unless its sources, its tools and what they made are those of the last time."""
        digest = hashlib.sha256(repr([tool.version() for tool in self.tools]).encode())
        for pattern in self.sources:
            for source in sorted(self.folder.glob(pattern)):
                digest.update(source.read_bytes())
        stamp = self.folder / self.stamp
        program = self.folder / self.command[0]
        if program.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
            print(f"{self.name}: up to date", flush=True)
            return
        start = time.monotonic()
        with tempfile.TemporaryFile("w+") as log:
            try:
                status = subprocess.run(["nice", "-n", "10", *self.build], cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=subprocess.STDOUT, timeout=BUILD_SECONDS,
                                        env=BUILD_ENVIRONMENT).returncode
            except subprocess.TimeoutExpired:
                status = f"no end within {BUILD_SECONDS} s"
            if status != 0 or not program.exists():
                log.seek(0)
                print("".join(log.readlines()[-40:]))
                raise Failed(f"`{' '.join(self.build)}` ended with {status}" if status != 0
                             else f"`{' '.join(self.build)}` made no {self.command[0]}")
        stamp.write_text(digest.hexdigest())
        print(f"{self.name}: built in {time.monotonic() - start:.0f} s", flush=True)


BUILD_ENVIRONMENT = os.environ | {
    "CARGO_TARGET_DIR": str(HERE / "rust" / "target"),
    # An older go would otherwise download a newer one.
    "GOTOOLCHAIN": "local",
}

PEERS = (
    Peer("go",
         tools=(Tool("go", ("version",), (1, 26)),),
         sources=("go.mod", "go.sum", "*.go"),
         build=("go", "build", "-o", "bin/peer", "."),
         stamp="bin/stamp",
         command=("bin/peer",),
         hostile=True),
    Peer("rust",
         tools=(Tool("cargo", ("--version",), (1, 88)), Tool("openssl", ("version",), (1, 1))),
         sources=("Cargo.toml", "src/*.rs"),
         build=("cargo", "build", "--release"),
         stamp="target/stamp",
         command=("target/release/peer",),
         hostile=True),
    # The machine's own node may be an old one: it runs npm, which brings the node that the peer runs on.
    Peer("js",
         tools=(Tool("node", ("--version",), (18,)), Tool("npm", ("--version",), (9,))),
         sources=("package.json", "package-lock.json"),
         build=("npm", "ci", "--no-audit", "--no-fund"),
         stamp="node_modules/.stamp",
         command=("node_modules/node/bin/node", "peer.mjs")),
)


def build(peers: list[Peer]) -> dict[str, Exception]:
    """Builds the peers; answers what went wrong, by name."""
    wrong = {}
    for peer in peers:
        try:
            peer.make()
        except (Failed, Unavailable) as error:
            print(f"{peer.name}: {error}", flush=True)
            wrong[peer.name] = error
    return wrong


# ---- local services and clients of punchgate ------------------------------------------------------------------


def abort(connection: socket.socket) -> None:
    """Closes with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def receive(connection: socket.socket, most: int) -> bytes:
    """So many bytes, or fewer if they end before."""
    received = bytearray()
    while data := connection.recv(most - len(received)):
        received += data
    return bytes(received)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


class Slam(socketserver.BaseRequestHandler):
    """Resets the connection after the first byte."""

    def handle(self) -> None:
        self.request.recv(1)
        # Closed here, as the server would say FIN before it closes.
        abort(self.request)


@contextlib.contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]):
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


# ---- checks ---------------------------------------------------------------------------------------------------


class PeerDials:
    """The checks in which go, rust or js dials; `self.peer` does, `to` is dialled."""

    def __init__(self, peer: Peer):
        self.peer = peer

    def lines(self, *arguments: object, **options) -> list[dict]:
        return lines(run(self.peer.argv(*arguments), **options))

    def ping(self, to: Listener) -> None:
        check_pings(self.lines("ping", to.addr, "--count", PINGS))

    def identify(self, to: Listener) -> None:
        check_identity(self.lines("identify", to.addr), to)

    def echo(self, to: Listener) -> None:
        check_ok(self.lines("echo", to.addr, "echo", "--bytes", SIZE), "echo")

    def half_close(self, to: Listener) -> None:
        check_ok(self.lines("halfclose", to.addr, "echo", "--bytes", SIZE), "halfclose")

    def reset(self, to: Listener) -> None:
        check_ok(self.lines("reset", to.addr, "echo"), "reset")

    def is_reset(self, to: Listener) -> None:
        check_ok(self.lines("expect-reset", to.addr, to.reset_service), "expect-reset")

    def is_refused(self, to: Listener) -> None:
        result = run(self.peer.argv("echo", to.addr, "nosuch"))
        if result.returncode != 1 or b"unknown service: nosuch" not in result.stdout:
            raise Failed(f"status {result.returncode}: {tail(result.stdout)}")

    def perf(self, to: Listener) -> None:
        for up, down in ((PERF_SIZE, 0), (0, PERF_SIZE)):
            check_ok(self.lines("perf", to.addr, "--up", up, "--down", down, seconds=LONG_SECONDS), "perf")

    def streams(self, to: Listener) -> None:
        count = min(STREAMS.get(self.peer.name, MANY), to.streams)
        check_ok(self.lines("streams", to.addr, "echo", "--count", count, seconds=LONG_SECONDS), "streams")

    cases = (
        ("ping", "{} pings {}", ping),
        ("identify", "{} identifies {}", identify),
        ("echo", f"{{}} gets {SIZE} bytes echoed by {{}}", echo),
        ("half-close", f"{{}} half-closes a stream to {{}} and still gets {SIZE} bytes", half_close),
        ("reset", "{} resets one stream to {} and the connection lives", reset),
        ("is reset", "{} sees the reset of a stream by {}", is_reset),
        ("refused", "{} is refused an unknown service by {}", is_refused),
        ("perf", f"{{}} moves {PERF_SIZE} bytes each way to and from {{}}", perf),
        ("streams", f"{{}} has {MANY} streams (with rust 500) to {{}} at once, and all of them echo", streams),
    )


class PunchgateDials:
    """The checks in which C dials."""

    def __init__(self, punchgate: Path, home: Path):
        self.punchgate = punchgate
        # A node's own files, and the user's settings, have no place in a test.
        self.options = {"cwd": home, "env": os.environ | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
                                                          "XDG_CONFIG_HOME": str(home / "config"),
                                                          "PUNCHGATE_NO_MDNS": "1"}}

    @contextlib.contextmanager
    def tunnels(self, to: Listener, services: tuple[str, ...] = ("echo", "sink")):
        argv = [self.punchgate, "--identity", self.options["cwd"] / "tunnels", "--listen", "/ip4/127.0.0.1/tcp/0",
                "--bootstrap", to.addr, "--control", "off", "--ready-json",
                "--relay-mode", "off"]  # or whoever looks for relays on loopback takes it for one
        for service in services:
            argv += ["--tunnel", f"{to.peer}:{service}@127.0.0.1:0"]
        env = self.options["env"] | {"PUNCHGATE_LOG": "info"}
        with listening([*map(str, argv)], "", **self.options | {"env": env}) as consumer:
            yield Tunnels(consumer, services)

    def run(self, *arguments: object, **stdin) -> subprocess.CompletedProcess:
        return run([str(self.punchgate), *map(str, arguments)], **stdin, **self.options)

    def pipe(self, to: Listener, service: str, sent: bytes, wanted: bytes) -> None:
        result = self.run("pipe", f"{to.addr}:{service}", stdin=sent)
        if result.returncode != 0:
            raise Failed(f"status {result.returncode}: {tail(result.stderr)}")
        if result.stdout != wanted:
            raise Failed(f"{len(wanted)} bytes were due, and the {len(result.stdout)} received differ")

    def ping(self, to: Listener) -> None:
        check_pings(lines(self.run("ping", to.addr, "--count", PINGS, "--json")))

    def identify(self, to: Listener) -> None:
        check_identity(lines(self.run("identify", to.addr, "--json")), to)

    def echo(self, to: Listener) -> None:
        sent = os.urandom(SIZE)
        self.pipe(to, "echo", sent, sent)

    def sink(self, to: Listener) -> None:
        self.pipe(to, "sink", os.urandom(SIZE), str(SIZE).encode())

    def source(self, to: Listener) -> None:
        self.pipe(to, "source", b"%d\n" % SIZE, bytes(SIZE))

    def is_reset(self, to: Listener) -> None:
        # Held open, as after an end of its input a peer may close the stream before it would reset it.
        result = self.run("pipe", f"{to.addr}:{to.reset_service}", stdin=b"x", hold_stdin=True)
        if result.returncode == 0 or not result.stderr.strip():
            raise Failed(f"status {result.returncode}: {tail(result.stderr) or 'no reason on stderr'}")

    def is_refused(self, to: Listener) -> None:
        result = self.run("pipe", f"{to.addr}:nosuch")
        if result.returncode != 1 or b"unknown service: nosuch" not in result.stderr:
            raise Failed(f"status {result.returncode}: {tail(result.stderr)}")

    def perf(self, to: Listener) -> None:
        for up, down in ((PERF_SIZE, 0), (0, PERF_SIZE)):
            result = self.run("perf", to.addr, "--up", up, "--down", down, "--json", "--timeout", f"{LONG_SECONDS - 10}s",
                              seconds=LONG_SECONDS)
            told = lines(result)[-1]
            if (told.get("event"), told.get("up_bytes"), told.get("down_bytes")) != ("perf", up, down):
                raise Failed(f"unexpected: {told}")

    cases = (
        ("ping", "{} pings {}", ping),
        ("identify", "{} identifies {}", identify),
        ("echo", f"{{}} pipes {SIZE} bytes through the echo of {{}}", echo),
        ("sink", f"{{}} pipes {SIZE} bytes into the sink of {{}}", sink),
        ("source", f"{{}} pipes {SIZE} bytes out of the source of {{}}", source),
        ("is reset", "{} reports the reset of a stream by {}", is_reset),
        ("refused", "{} reports the refusal of an unknown service by {}", is_refused),
        ("perf", f"{{}} moves {PERF_SIZE} bytes each way to and from {{}}", perf),
    )


def explained(check):
    """What went wrong, and what C has to say about it."""
    def explaining(tunnels: "Tunnels", to: Listener) -> None:
        try:
            check(tunnels, to)
        except (Failed, OSError) as error:
            raise Failed(f"{error}; the log of C ends: {tail(tunnels.consumer.log().encode())}") from None
    return explaining


class Tunnels:
    """The checks in which C runs as a peer with tunnels to services of go, rust or js, for local clients.

    They share one process and, until there are many of them, one connection; the last check breaks all.
    """

    def __init__(self, consumer: Listener, services: tuple[str, ...]):
        self.consumer = consumer
        self.ports = {service: int(consumer.saw(rf"tunnel listening .*service_name={service} actual_addr=\S+:(\d+)"))
                      for service in services}

    def connect(self, service: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[service]), BACK_SECONDS)

    def exchange(self, service: str, sent: bytes, wanted: bytes) -> None:
        """Sends, ends that half, and wants the answer and its end."""
        with self.connect(service) as client, ThreadPoolExecutor(1) as pool:
            def send() -> None:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)

            sending = pool.submit(send)
            received = receive(client, len(wanted) + 1)
            sending.result()
        if received != wanted:
            raise Failed(f"{len(wanted)} bytes were due from {service}, and the {len(received)} received differ")

    def echo(self, size: int) -> None:
        sent = os.urandom(size)
        self.exchange("echo", sent, sent)

    def connections(self) -> tuple[int, int]:
        log = self.consumer.log()
        return log.count("connection opened"), log.count("connection closed")

    def is_same_connection(self) -> None:
        if self.connections() != (1, 0):
            raise Failed("{} connections opened and {} closed, instead of one kept".format(*self.connections()))

    @explained
    def half_close(self, to: Listener) -> None:
        self.echo(SIZE)
        self.exchange("sink", os.urandom(SIZE), str(SIZE).encode())
        self.is_same_connection()

    @explained
    def reset(self, to: Listener) -> None:
        # First while the service is being asked for or hardly open, then when bytes have passed both ways.
        for heard in (0, SMALL):
            client = self.connect("echo")
            client.sendall(bytes(SMALL))
            if len(receive(client, heard)) < heard:
                raise Failed("the echo ended early")
            abort(client)
        self.consumer.saw("(client tunnel error) service=echo")
        self.echo(SMALL)
        self.is_same_connection()

    @explained
    def crowd(self, to: Listener) -> None:
        with contextlib.ExitStack() as stack:
            clients = [(stack.enter_context(self.connect("echo")), os.urandom(CROWD_SIZE)) for _ in range(CROWD)]
            for client, sent in clients:
                client.sendall(sent)
            # All have their answer before the first of them ends, so that the streams are open at the same time.
            lost = sum(receive(client, CROWD_SIZE) != sent for client, sent in clients)
            for client, _ in clients:
                client.shutdown(socket.SHUT_WR)
            surplus = sum(receive(client, 1) != b"" for client, _ in clients)
        if lost or surplus:
            raise Failed(f"of {CROWD} clients {lost} lost bytes and {surplus} got too many")
        self.is_same_connection()

    @explained
    def many(self, to: Listener) -> None:
        with contextlib.ExitStack() as stack:
            clients, lost = [], 0
            # In waves: rust's streams are handed on one by one, and those that come while nobody takes them are reset.
            while len(clients) < CLIENTS:
                wave = [stack.enter_context(self.connect("echo")) for _ in range(WAVE)]
                for client in wave:
                    client.settimeout(LONG_SECONDS)
                    client.sendall(bytes(SMALL))
                lost += sum(len(receive(client, SMALL)) != SMALL for client in wave)
                clients += wave
            for number, client in enumerate(clients):
                client.sendall(b"%08d" % number)
            lost += sum(receive(client, 8) != b"%08d" % number for number, client in enumerate(clients))
        if lost:
            raise Failed(f"of {CLIENTS} clients at once {lost} were not answered")
        # The first of them is still there, and there is another one rather than a stream too many.
        opened, closed = self.connections()
        if opened not in CONNECTIONS or closed:
            raise Failed(f"{opened} connections opened and {closed} closed, instead of two or three kept")

    @explained
    def comes_back(self, to: Listener) -> None:
        opened, _ = self.connections()
        to.process.kill()
        to.process.wait()
        self.consumer.saw("(connection closed)", opened)
        with listening([*to.argv, "--addr", to.addr.split("/p2p/")[0]], to.reset_service) as again:
            if again.addr != to.addr:
                raise Failed(f"it came back as {again.addr} instead of {to.addr}")
            start = time.monotonic()
            self.echo(SMALL)
            if (waited := time.monotonic() - start) > BACK_SECONDS:
                raise Failed(f"the first client had to wait {waited:.1f} s")
            self.consumer.saw("(connection opened)", opened + 1)

    cases = (
        ("half-close", f"a local client of {{}} half-closes and still gets all of {SIZE} bytes from {{}}", half_close),
        ("reset", "the reset of a local client of {} ends one stream to {} and the connection lives", reset),
        (f"{CROWD} clients", f"{CROWD} clients of {{}} at once get {CROWD_SIZE} bytes each echoed by {{}}", crowd),
        (f"{CLIENTS} clients", f"{CLIENTS} clients of {{}} are answered by the echo of {{}} while all of them are open", many),
        ("comes back", "a local client of {} is served soon after a kill and a new start of {}", comes_back),
    )


# ---- the matrix -----------------------------------------------------------------------------------------------


class Matrix:
    def __init__(self) -> None:
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.rows: dict[str, dict[str, str]] = {}

    def note(self, row: str, column: str, name: str, outcome: Exception | None) -> None:
        match outcome:
            case None:
                mark, reason = "ok", ""
            case Unavailable() if os.environ.get("REQUIRE_INTEROP") != "1":
                mark, reason = "skip", f": {outcome}"
            case _:
                mark, reason = "FAIL", f": {outcome}"
        self.counts[mark] += 1
        self.rows.setdefault(row, {})[column] = mark
        print(f"{mark:4} {name}{reason}", flush=True)

    def dial(self, kind: type, dialer_name: str, dialer, listener_name: str, listener) -> None:
        """Runs the checks of one kind and pair. An end that is an exception is the reason why they cannot run."""
        for column, sentence, check in kind.cases:
            outcome = next((end for end in (dialer, listener) if isinstance(end, Exception)), None)
            if outcome is None:
                try:
                    check(dialer, listener)
                except Failed as error:
                    outcome = error
            self.note(f"{dialer_name} to {listener_name}", column, sentence.format(dialer_name, listener_name), outcome)

    def table(self) -> str:
        columns = list(dict.fromkeys(column for row in self.rows.values() for column in row))
        cells = [["", *columns]] + [[name, *(row.get(c, "-") for c in columns)] for name, row in self.rows.items()]
        widths = [max(map(len, column)) for column in zip(*cells)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


@contextlib.contextmanager
def known(peer: Peer):
    with listening(peer.argv("listen", "--seed", SEED), "reset") as listener:
        yield replace(listener, streams=STREAMS.get(peer.name, MANY))


def start(stack: contextlib.ExitStack, node):
    """What runs, or the reason why it does not."""
    try:
        return stack.enter_context(node)
    except (Failed, OSError) as error:
        return Failed(f"the node: {error}")


def test(peers: list[Peer], punchgate: Path | None) -> Matrix:
    matrix = Matrix()
    wrong = build(peers)
    with contextlib.ExitStack() as stack:
        dialers = {peer.name: wrong.get(peer.name) or PeerDials(peer) for peer in peers}
        listeners = {
            peer.name: wrong.get(peer.name) or start(stack, known(peer))
            for peer in peers
        }
        if punchgate is None:
            for name, listener in listeners.items():
                outcome = listener if isinstance(listener, Exception) else None
                if outcome is None and listener.peer != SEEDED_PEER:
                    outcome = Failed(f"{listener.peer} instead of {SEEDED_PEER}")
                matrix.note(f"{name} alone", "seed", f"{name} makes the known peer id from seed {SEED}", outcome)
            for dialer in dialers:
                for listener in listeners:
                    matrix.dial(PeerDials, dialer, dialers[dialer], listener, listeners[listener])
            dht.among_themselves(matrix, peers, wrong)
            circuits.among_themselves(matrix, peers, wrong)
            return matrix

        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        c_dials = PunchgateDials(punchgate, home)
        echo = stack.enter_context(serving(Echo))
        slam = stack.enter_context(serving(Slam))
        c_listens = start(stack, listening([
            str(punchgate), "--identity", str(home / "k"), "--listen", "/ip4/127.0.0.1/tcp/0",
            "--expose", f"echo=127.0.0.1:{echo}", "--expose", f"slam=127.0.0.1:{slam}",
            "--ready-json", "--control", "off"], "slam", **c_dials.options))
        ours = start(stack, keys.ours(c_dials, echo))
        for peer in peers:
            listener = listeners[peer.name]
            matrix.dial(PeerDials, peer.name, dialers[peer.name], "C", c_listens)
            matrix.dial(PunchgateDials, "C", c_dials, peer.name, listener)
            with contextlib.ExitStack() as short:
                tunnels = listener if isinstance(listener, Exception) else start(short, c_dials.tunnels(listener))
                matrix.dial(Tunnels, "C", tunnels, peer.name, listener)
            ends = wrong.get(peer.name) or ours
            keys.rows(matrix, peer, ends if isinstance(ends, Exception) else keys.Keys(peer, ends))
            if peer.hostile:
                hostile = wrong.get(peer.name) or Hostile(peer, c_dials, echo)
                matrix.dial(Hostile, f"hostile {peer.name}", hostile, "C", None)
                relays = wrong.get(peer.name) or HostileRelays(peer, c_dials, echo)
                matrix.dial(HostileRelays, f"hostile {peer.name}", relays, "C", None)
        dht.with_ours(matrix, peers, wrong, c_dials, echo)
        mdns.rows(matrix, peers, wrong, c_dials)
        circuits.with_ours(matrix, peers, wrong, c_dials, echo)
        return matrix


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=("build", "test"), default="test")
    parser.add_argument("--punchgate", type=Path, help="the binary to test")
    parser.add_argument("--self", action="store_true", help="test the peers among themselves")
    parser.add_argument("--peers", default="go,rust,js", help="which of the peers, with commas (default: all)")
    options = parser.parse_args()
    names = options.peers.split(",")
    if unknown := set(names) - {peer.name for peer in PEERS}:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    peers = [peer for peer in PEERS if peer.name in names]
    # A request to end must end the children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The clients are descriptors of this process.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    if options.action == "build":
        wrong = build(peers).values()
        strict = os.environ.get("REQUIRE_INTEROP") == "1"
        return int(any(strict or isinstance(error, Failed) for error in wrong))
    if options.self == (options.punchgate is not None):
        parser.error("one of --punchgate and --self is needed")
    if options.punchgate is not None and not os.access(options.punchgate, os.X_OK):
        parser.error(f"no such program: {options.punchgate}")

    matrix = test(peers, options.punchgate and options.punchgate.resolve())
    print(f"\n{matrix.table()}\n")
    print("{ok} passed, {FAIL} failed, {skip} skipped".format(**matrix.counts))
    return int(matrix.counts["FAIL"] > 0)


if __name__ == "__main__":
    sys.exit(main())
