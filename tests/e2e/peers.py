"""What the end-to-end tests share: peers that start and end, their logs, services, clients, and the score.

A test is a function with @test; its name is a sentence and its argument a Bed, which ends whatever it has started.
Run by ctest with PG_BUILD (where punchgate is) and PG_ROOT; by hand: PG_BUILD=build tests/e2e/tunnel_test.py [WORD …]
runs the tests whose names hold one of the words. Processes are ended by their ids, never by name.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(os.environ.get("PG_ROOT", pathlib.Path(__file__).resolve().parents[2]))
PUNCHGATE = str((pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build")) / "punchgate").resolve())
# Seconds for anything that normally takes a fraction of one; more of them under valgrind.
PATIENCE = 20 * int(os.environ.get("PG_PATIENCE", "1"))
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) +(ERROR|WARN|INFO|DEBUG|TRACE) ([\w:]+): (.*)")
FIELD = re.compile(r'(?:^| )(\w+)=("(?:[^"\\]|\\.)*"|.*?)(?= \w+=|$)')
BROKEN = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "Assertion")

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def main():
    words = sys.argv[1:]
    chosen = [t for t in TESTS if not words or any(w in t.__name__ for w in words)]
    failed = 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    for function in chosen:
        began = time.monotonic()
        name = function.__name__.replace("_", " ")
        bed = Bed()
        try:
            try:
                function(bed)
            finally:
                bed.close()
            print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}{bed.story()}", flush=True)
        finally:
            bed.folder.cleanup()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


class LiveTunnel:
    """A tunnel that must go on living whatever strangers do to its provider."""

    def __init__(self, bed):
        self.bed = bed
        self.service = bed.service(echo)
        self.provider, self.consumer, port = bed.pair("echo", self.service.port)
        self.live = bed.connect(port)
        want(speaks(self.live))

    def lives(self):
        want(speaks(self.live, os.urandom(1000)), "the tunnel does not answer")
        same(self.provider.find("connection closed", peer=self.consumer.id), [], "ends of the consumer's connection")
        same(self.provider.process.poll(), None)


def want(truth, why="not as expected"):
    if not truth:
        raise AssertionError(why)


def same(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r}, not {wanted!r}")


def until(question, what, patience=PATIENCE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: did not happen within {patience} s")
        time.sleep(0.02)


class Entry:
    """One log line."""

    def __init__(self, text):
        self.text = text
        match = LINE.fullmatch(text)
        self.parsed = match is not None
        self.level = self.target = self.message = ""
        self.fields = {}
        if match:
            self.level, self.target, rest = match[2], match[3], match[4]
            first = FIELD.search(rest)
            self.message = (rest[:first.start()] if first else rest).strip()
            self.fields = {m[1]: m[2] for m in FIELD.finditer(rest)}


class Peer:
    """A running `punchgate`."""

    def __init__(self, bed, name, arguments, environment, ready, user=None, inside=()):
        self.name, self.bed = name, bed
        self.key = bed.path / f"{name}.key"
        self.log_path = bed.path / f"{name}-{len(bed.peers)}.log"
        self.ended = None
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*inside, PUNCHGATE, *map(str, arguments)], cwd=bed.path, env=environment, user=user,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        bed.peers.append(self)
        self.id, self.addrs = None, []
        if ready:
            self.wait_ready()

    def wait_ready(self):
        line = self.read_line()
        said = json.loads(line) if line else {}
        want(said.get("event") == "ready", f"{self.name} did not get ready, but said {line!r}")
        self.id, self.addrs = said["peer"], said["addrs"]

    def read_line(self, patience=PATIENCE):
        end = time.monotonic() + patience
        text = b""
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not readable:
                break
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                break
            text += byte
        return text.decode()

    @property
    def addr(self):
        return self.addrs[0]

    @property
    def port(self):
        return int(self.addr.split("/")[4])

    def text(self):
        return self.log_path.read_text(errors="replace")

    def entries(self):
        return [Entry(line) for line in self.text().splitlines()]

    def find(self, message, **fields):
        """Entries with these words whose fields hold these values (a value may be a part of the field)."""
        return [e for e in self.entries() if e.message == message
                and all(k in e.fields and str(v) in e.fields[k] for k, v in fields.items())]

    def saw(self, message, patience=PATIENCE, **fields):
        return until(lambda: self.find(message, **fields), f"{self.name} logs {message!r} {fields or ''}", patience)[0]

    def tunnel_port(self, service):
        return int(self.saw("tunnel listening", service_name=service).fields["actual_addr"].rsplit(":", 1)[1])

    def connected(self, peer, patience=PATIENCE):
        self.saw("connection opened", peer=peer.id, patience=patience)

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        self.ended = self.process.wait(patience)
        return self.ended

    def stop(self, number=signal.SIGTERM, patience=PATIENCE):
        if self.process.poll() is None:
            self.send(number)
        return self.wait(patience)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.ended = -signal.SIGKILL


class Bed:
    """What one test has running."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pg-")
        self.path = pathlib.Path(self.folder.name)
        self.peers, self.sockets, self.services, self.processes = [], [], [], []

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items()
                if not k.startswith(("PUNCHGATE", "RUST_LOG", "XDG_")) and k not in ("NO_COLOR", "CLICOLOR_FORCE")}
        # Peers of several tests share this machine's networks and must not find each other.
        return kept | {"HOME": str(self.path), "RUST_LOG": "debug,machine=off", "PUNCHGATE_NO_MDNS": "1"} | {k: str(v) for k, v in more.items()}

    def peer(self, name, *arguments, listen="/ip4/127.0.0.1/tcp/0", ready=True, key=None, inside=(), **environment):
        """Starts one with an identity file, a listener on loopback and --ready-json, and waits for its ready line. inside: words
        before the command that put it elsewhere and exec it."""
        fixed = ["--identity", self.path / f"{key or name}.key"]
        fixed += ["--listen", listen] if listen else []
        return Peer(self, name, [*fixed, "--ready-json", *arguments], self.environment(**environment), ready, inside=inside)

    def bare(self, name, *arguments, ready=False, **environment):
        """Starts one with these arguments and no other."""
        return Peer(self, name, arguments, self.environment(**environment), ready)

    def as_user(self, uid, name, *arguments):
        """Starts one as another user, with these arguments; root only."""
        return Peer(self, name, arguments, self.environment(), True, uid)

    def pair(self, service="echo", port=None, *more):
        """A provider of a service, and a consumer that is connected to it: (provider, consumer, port of the tunnel)."""
        provider = self.peer("provider", "--expose", f"{service}=127.0.0.1:{port}")
        consumer = self.peer("consumer", "--bootstrap", provider.addr,
                             "--tunnel", f"{provider.id}:{service}@127.0.0.1:0", *more)
        consumer.connected(provider)
        return provider, consumer, consumer.tunnel_port(service)

    def run(self, *arguments, patience=PATIENCE, stdin=b"", **environment):
        """Runs a command to its end: (status, standard output, standard error)."""
        done = subprocess.run([PUNCHGATE, *map(str, arguments)], input=stdin, cwd=self.path, timeout=patience,
                              env=self.environment(**environment), capture_output=True)
        error = done.stderr.decode(errors="replace")
        want(not any(b in error for b in BROKEN), error)
        return done.returncode, done.stdout.decode(errors="replace"), error

    def service(self, handler, **where):
        service = Service(handler, **where)
        self.services.append(service)
        return service

    def connect(self, port, patience=PATIENCE, host="127.0.0.1"):
        client = socket.create_connection((host, port), patience)
        self.sockets.append(client)
        return client

    def close(self):
        for client in self.sockets:
            client.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for service in self.services:
            service.close()
        running = [p for p in self.peers if p.ended is None]
        for peer in running:
            if peer.process.poll() is None:
                peer.send(signal.SIGTERM)
        try:
            for peer in running:
                same(peer.wait(), 0, f"exit status of {peer.name}")
            for peer in self.peers:
                want(not any(b in peer.text() for b in BROKEN), f"{peer.name} broke")
        finally:
            for peer in self.peers:
                if peer.process.poll() is None:
                    peer.kill()
                peer.process.stdout.close()

    def story(self):
        """The ends of all logs, for a test that failed."""
        parts = []
        for peer in self.peers:
            lines = peer.text().splitlines()
            parts.append(f"--- {peer.name} (status {peer.process.poll()})\n" + "\n".join(lines[-40:]))
        return "\n".join(parts)


class Service:
    """A service at a TCP port or a unix socket, in threads of this process; handler(connection) for each client, or None: nobody accepts."""

    def __init__(self, handler, port=0, path=None, backlog=1024, host="127.0.0.1"):
        self.handler = handler
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.listener.listen(backlog)
        else:
            self.listener = socket.create_server((host, port), backlog=backlog)
            self.port = self.listener.getsockname()[1]
        self.clients = 0
        self.open = set()
        self.lock = threading.Lock()
        if handler:
            threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.clients += 1
                self.open.add(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError):
            self.handler(client)
        with self.lock:
            self.open.discard(client)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            clients = list(self.open)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)
    client.shutdown(socket.SHUT_WR)


def digest(client):
    """Reads to the end, then tells how much it was and its SHA-256."""
    total, sha = 0, hashlib.sha256()
    while data := client.recv(1 << 18):
        total += len(data)
        sha.update(data)
    client.sendall(f"{total} {sha.hexdigest()}".encode())


def source(client):
    """Reads a number and a newline, writes that many bytes and ends them; then tells in .after what still came."""
    line = read_line(client)
    client.sendall(pattern(int(line)))
    client.shutdown(socket.SHUT_WR)
    source.after = b""
    while data := client.recv(65536):
        source.after += data


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv(1)
        if not byte:
            raise OSError("the line has no end")
        line += byte
    return line.decode()


def pattern(size, seed=b"punchgate"):
    """Bytes that are the same every time, and nowhere alike."""
    return hashlib.shake_128(seed).digest(size)


def read_all(client):
    data = bytearray()
    while piece := client.recv(1 << 18):
        data += piece
    return bytes(data)


def read_exactly(client, size):
    data = bytearray()
    while len(data) < size:
        piece = client.recv(min(1 << 18, size - len(data)))
        if not piece:
            raise AssertionError(f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


def exchange(client, data):
    """Sends all and ends it, reads all at the same time; returns what came."""
    def send():
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    came = read_all(client)
    sender.join()
    return came


def speaks(client, text=b"hello punchgate"):
    """Whether an echo service answers on this connection, which stays open."""
    client.sendall(text)
    return read_exactly(client, len(text)) == text


def refused_at(port, patience=PATIENCE):
    """Connects to a tunnel that is going to refuse, and says how it ends; a reset may come before the connect returns."""
    try:
        with socket.create_connection(("127.0.0.1", port), patience) as client:
            return how_it_ends(client, patience)
    except ConnectionError:
        return "reset", b""


def how_it_ends(client, patience=PATIENCE):
    """Reads to the end: "eof" or "reset", and what came before."""
    client.settimeout(patience)
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
        return "eof", data
    except ConnectionError:
        return "reset", data


# Below the ports that the system gives to those who ask for any: nobody gets one of these by chance.
OWN_PORTS = range(20000, 32000)
claims = []


def free_port():
    """A port for somebody who binds it later. Other tests that run now are told by a claim, which ends with this process."""
    while True:
        port, claim = random.choice(OWN_PORTS), socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0punchgate test port {port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        claims.append(claim)
        return port
