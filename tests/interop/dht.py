"""The rows for Kademlia. Called by run.py.

In a scene every library puts, announces, asks and finds through one server, or each through a server of its own. What
one library asks for, the one before it in the ring has put or announced, so nobody is proved by its own mistakes.
"""

import base64
import contextlib
import hashlib
import json
import random
import secrets
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

from nodes import Failed, Listener, check_ok, lines, listening, run, tail

KAD = "/punchgate/kad/1.0.0"
PUBLIC = "/ipfs/kad/1.0.0"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
OPS = ("put", "get", "provide", "providers", "find", "closest")
# What may be put under a key with this: as JSON, what follows it.
PREFIX = "/punchgate/svc/"
K = 20
# Of the nearest servers, how many must be found. js asks only peers nearer than the one that named them, and so finds the
# nearest of all and few besides.
NEAREST = {"js": 1}
MULTIHASHES_ONLY = {"js"}
EACH = 5
WORKERS = 3
SIZE = 20_000
CONNECT_SECONDS = 20
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def place(octets: bytes) -> int:
    """Where a key lies: libp2p/specs kad-dht, "Distance"."""
    return int.from_bytes(hashlib.sha256(octets).digest())


def peer_octets(peer: str) -> bytes:
    number = 0
    for letter in peer:
        number = number * 58 + ALPHABET.index(letter)
    return number.to_bytes(-(-number.bit_length() // 8)).rjust(38, b"\0") if peer.startswith("12D3") else number.to_bytes(34)


class Content:
    """A key of providers: some multihash, as text for C and in hex for the others."""

    def __init__(self) -> None:
        octets = b"\x12\x20" + secrets.token_bytes(32)
        self.hex = "0x" + octets.hex()
        self.cid = "b" + base64.b32encode(b"\x01\x55" + octets).decode().lower().rstrip("=")


class Library:
    """go, rust or js as a server, and as one who asks."""

    def __init__(self, peer, kad: str = KAD):
        self.peer, self.name, self.kad = peer, peer.name, kad

    def serve(self, *arguments: object):
        return listening(self.peer.argv("listen", "--kad", self.kad, *arguments), "")

    def announce(self, content: Content, through: Listener):
        return self.serve("--bootstrap", through.addr, "--provide", content.hex)

    def ask(self, through: Listener, *operands: str) -> dict:
        return answered(run(self.peer.argv("dht", *operands, "--bootstrap", through.addr, "--kad", self.kad)), operands[0])

    def providers(self, through: Listener, content: Content) -> list[dict]:
        return self.ask(through, "providers", content.hex)["providers"]


class Ours:
    """C as a server, and by its command dht."""

    name = "C"

    def __init__(self, c_dials):
        self.c, self.made = c_dials, 0

    def argv(self, *arguments: object) -> list[str]:
        return [*map(str, (self.c.punchgate, *arguments, "--kad-protocol", KAD))]

    def serve(self, *arguments: object):
        self.made += 1
        return listening(self.argv("--identity", self.c.options["cwd"] / f"server{self.made}", "--listen", LOOPBACK,
                                   "--ready-json", "--control", "off", *arguments), "",
                         **self.c.options | {"env": self.c.options["env"] | {"PUNCHGATE_LOG": "debug"}})

    def announce(self, content: Content, through: Listener):
        return listening(self.argv("dht", "provide", content.cid, "--bootstrap", through.addr, "--listen", LOOPBACK, "--json"),
                         "", event="dht", **self.c.options)

    def ask(self, through: Listener, *operands: str) -> dict:
        return answered(run(self.argv("dht", *operands, "--bootstrap", through.addr, "--json"), **self.c.options), operands[0])

    def providers(self, through: Listener, content: Content) -> list[dict]:
        return self.ask(through, "providers", content.cid)["providers"]


def answered(result: subprocess.CompletedProcess, op: str) -> dict:
    told = lines(result)[-1]
    if (told.get("event"), told.get("op"), told.get("ok")) != ("dht", op, True):
        raise Failed(f"unexpected: {told}")
    return told


def bare(addrs: list[str]) -> set[str]:
    return {addr.split("/p2p/")[0] for addr in addrs}


def is_listed(peers: list[dict], wanted: Listener) -> None:
    """With an address at which it is."""
    found = next((entry for entry in peers if entry["peer"] == wanted.peer), None)
    if found is None:
        raise Failed(f"{wanted.peer} is not among the {len(peers)} found")
    if not bare([wanted.addr]) <= bare(found["addrs"]):
        raise Failed(f"of {wanted.peer} it found {found['addrs']}, and not {wanted.addr}")


class Scene:
    """Libraries, and for each of them the server that it is given by name. What failed is in `wrong`."""

    def __init__(self, stack: contextlib.ExitStack, libraries: list, through: dict[str, Listener], servers: list[Listener]):
        self.stack, self.libraries, self.through, self.servers = stack, libraries, through, list(servers)
        self.before = {library.name: libraries[i - 1].name for i, library in enumerate(libraries)}
        self.services = {library.name: f"{library.name}-{secrets.token_hex(4)}" for library in libraries}
        self.contents = {library.name: Content() for library in libraries}
        self.providers: dict[str, Listener] = {}
        self.wrong: dict[tuple[str, str], Exception] = {}
        with ThreadPoolExecutor(WORKERS) as pool:
            # Whoever announces is a server from then on: first of all, so that the others find it.
            for op in (self.provide, self.put, self.get, self.find_providers, self.find, self.closest):
                list(pool.map(op, libraries))

    def provide(self, library) -> None:
        with self.noting(library, "provide"):
            provider = self.stack.enter_context(library.announce(self.contents[library.name], self.through[library.name]))
            self.providers[library.name] = provider
            self.servers.append(provider)

    def put(self, library) -> None:
        with self.noting(library, "put"):
            service = self.services[library.name]
            self.ask(library, "put", PREFIX + service, json.dumps(service))

    def get(self, library) -> None:
        before = self.before[library.name]
        with self.noting(library, "get", (before, "put")):
            service = self.services[before]
            value = self.ask(library, "get", PREFIX + service)["value"]
            if value != json.dumps(service):
                raise Failed(f"{value} instead of what {before} put")

    def find_providers(self, library) -> None:
        before = self.before[library.name]
        with self.noting(library, "providers", (before, "provide")):
            is_listed(library.providers(self.through[library.name], self.contents[before]), self.provider(before))

    def find(self, library) -> None:
        with self.noting(library, "find"):
            wanted = self.provider(self.before[library.name])
            is_listed(self.ask(library, "find", wanted.peer)["peers"], wanted)

    def closest(self, library) -> None:
        with self.noting(library, "closest"):
            key = "closest to " + secrets.token_hex(4)
            found = [entry["peer"] for entry in self.ask(library, "closest", key)["peers"]]
            nearest = sorted((server.peer for server in self.servers),
                             key=lambda peer: place(peer_octets(peer)) ^ place(key.encode()))[:K]
            if strangers := set(found) - {server.peer for server in self.servers}:
                raise Failed(f"{strangers} are no servers here")
            if missing := set(nearest[:NEAREST.get(library.name, K // 2)]) - set(found):
                raise Failed(f"of the nearest {len(nearest)} it found {len(found)}, and not {missing}")

    def ask(self, library, *operands: str) -> dict:
        return library.ask(self.through[library.name], *operands)

    def provider(self, name: str) -> Listener:
        if name not in self.providers:
            raise Failed(f"{name} has not announced anything")
        return self.providers[name]

    @contextlib.contextmanager
    def noting(self, library, op: str, proved: tuple[str, str] | None = None):
        """What goes wrong is kept; with what this would have proved, too."""
        try:
            yield
        except (Failed, OSError) as error:
            for name, column in filter(None, ((library.name, op), proved)):
                self.wrong.setdefault((name, column), error if name == library.name else Failed(f"{library.name}: {error}"))


SENTENCES = {
    "put": "{} puts a record at {}, and another library gets it",
    "get": "{} gets from {} the record that another library put",
    "provide": "{} announces itself at {}, and another library finds it",
    "providers": "{} finds at {} whoever another library announced, and where",
    "find": "{} finds at {} the address of a peer of another library",
    "closest": "{} asks {} and those that it knows for the nearest to a key, and finds them",
}


def note(matrix, names: list[str], to: str, wrong) -> None:
    """The rows of each name; `wrong` is of a scene, or the reason why there was none."""
    for name in names:
        for op, sentence in SENTENCES.items():
            outcome = wrong if isinstance(wrong, Exception) else wrong.get((name, op))
            matrix.note(f"{name} by DHT to {to}", op, sentence.format(name, to), outcome)


def around(matrix, libraries: list, server, shown: list[str]) -> None:
    """The rows of `shown`, with this server."""
    try:
        with contextlib.ExitStack() as stack:
            to = stack.enter_context(server.serve())
            wrong = Scene(stack, libraries, {library.name: to for library in libraries}, [to]).wrong
    except (Failed, OSError) as error:
        wrong = error
    note(matrix, shown, server.name, wrong)


def addressless(matrix, rust: Library, ours: Ours) -> None:
    """As the original announces itself where nobody has confirmed an address."""
    outcome = None
    try:
        with contextlib.ExitStack() as stack:
            to, content = stack.enter_context(ours.serve()), Content()
            provider = stack.enter_context(rust.serve("--bootstrap", to.addr, "--provide", content.hex, "--unconfirmed"))
            is_listed(ours.providers(to, content), provider)
    except (Failed, OSError) as error:
        outcome = error
    matrix.note(f"{rust.name} by DHT to C", "addressless",
                "rust announces itself at C without an address, and C tells others the one that it knows", outcome)


def no_server(matrix, library: Library, ours: Ours) -> None:
    outcome = None
    try:
        with listening(library.peer.argv("listen"), "") as to:
            result = run(ours.argv("dht", "get", "/a", "--bootstrap", to.addr, "--json", "--timeout", "2s"), **ours.c.options)
            told = json.loads(result.stdout or "{}")
            if (result.returncode, told.get("ok"), told.get("code")) != (69, False, "no_peers"):
                raise Failed(f"status {result.returncode}: {told}")
    except (Failed, OSError, ValueError) as error:
        outcome = error
    matrix.note(f"C by DHT to {library.name}", "no server",
                f"C says of a {library.name} that serves no DHT that none is known, with status 69", outcome)


def public_id(matrix, library: Library, ours: Ours) -> None:
    """C has its own id of Kademlia, and speaks that of the public network besides."""
    outcomes: list[Exception | None] = [None, None]
    for i, (server, asker) in enumerate(((library, ours), (ours, library))):
        try:
            with contextlib.ExitStack() as stack:
                to, content = stack.enter_context(server.serve()), Content()
                provider = stack.enter_context(library.announce(content, to))
                is_listed(asker.providers(to, content), provider)
                is_listed(asker.ask(to, "find", provider.peer)["peers"], provider)
        except (Failed, OSError) as error:
            outcomes[i] = error
    for outcome, one, other in zip(outcomes, ("C", library.name), (library.name, "C")):
        matrix.note(f"{one} by DHT to {other}", "public id", f"{one} asks {other} under {PUBLIC}, where C has another id first", outcome)


def by_name(matrix, library: Library, ours: Ours, echo: int) -> None:
    """Each offers its echo under that name at a server of the other, which finds and uses it. As a server js takes keys of
    providers only that are a multihash, so its part of the network is C here."""
    outcome = None
    try:
        with contextlib.ExitStack() as stack:
            to = stack.enter_context(ours.serve())
            stack.enter_context(library.serve("--bootstrap", to.addr, "--provide", PREFIX + "echo"))
            consumer = stack.enter_context(ours.serve("--bootstrap", to.addr, "--tunnel-by-name", "echo@127.0.0.1:0"))
            port = int(consumer.saw(r"tunnel listening .*service_name=echo actual_addr=\S+:(\d+)"))
            if exchanged(port, sent := secrets.token_bytes(SIZE)) != sent:
                raise Failed(f"not all of {SIZE} bytes came back; the log of C ends: {tail(consumer.log().encode())}")
    except (Failed, OSError) as error:
        outcome = error
    matrix.note(f"C by DHT to {library.name}", "by name", f"C has a tunnel to the service that {library.name} announces by its name", outcome)

    outcome = None
    try:
        with contextlib.ExitStack() as stack:
            to = stack.enter_context((ours if library.name in MULTIHASHES_ONLY else library).serve())
            provider = stack.enter_context(ours.serve("--bootstrap", to.addr, "--expose", f"echo=127.0.0.1:{echo}"))
            provider.saw("(service published) service_name=echo")
            is_listed(library.ask(to, "providers", PREFIX + "echo")["providers"], provider)
            check_ok(lines(run(library.peer.argv("echo", provider.addr, "echo", "--bytes", SIZE))), "echo")
    except (Failed, OSError) as error:
        outcome = error
    matrix.note(f"{library.name} by DHT to C", "by name", f"{library.name} finds the service that C exposes by its name, and uses it", outcome)


def exchanged(port: int, sent: bytes) -> bytes:
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while data := client.recv(65536):
            received += data
    return bytes(received)


def mesh(matrix, libraries: list) -> None:
    """The rows of all, each asking a server of another, in a mesh of as many servers of each."""
    names = [library.name for library in libraries]
    try:
        with contextlib.ExitStack() as stack:
            servers = meshed(stack, [library for _ in range(EACH) for library in libraries])
            newest = servers[-len(libraries):]
            wrong = Scene(stack, libraries, dict(zip(names, newest[-1:] + newest[:-1])), servers).wrong
    except (Failed, OSError) as error:
        wrong = error
    note(matrix, names, f"a mesh of {EACH * len(libraries)}", wrong)


def meshed(stack: contextlib.ExitStack, kinds: list) -> list[Listener]:
    """In waves, so that each has one for its bootstrap peer that serves already."""
    chance = random.Random(len(kinds))
    servers = [stack.enter_context(kinds[0].serve())]
    with ThreadPoolExecutor(WORKERS) as pool:
        for wave in (kinds[1:EACH], kinds[EACH:]):
            to = [(kind, chance.choice(servers)) for kind in wave]
            servers += pool.map(lambda pair: stack.enter_context(pair[0].serve("--bootstrap", pair[1].addr)), to)
    return servers


def among_themselves(matrix, peers: list, wrong: dict[str, Exception]) -> None:
    libraries = present(matrix, peers, wrong)
    for server in libraries:
        around(matrix, libraries, server, [library.name for library in libraries])
    mesh(matrix, libraries)


def with_ours(matrix, peers: list, wrong: dict[str, Exception], c_dials, echo: int) -> None:
    libraries, ours = present(matrix, peers, wrong), Ours(c_dials)
    around(matrix, libraries, ours, [library.name for library in libraries])
    for library in libraries:
        if library.name == "rust":
            addressless(matrix, library, ours)
        no_server(matrix, library, ours)
        by_name(matrix, library, ours, echo)
        public_id(matrix, Library(library.peer, PUBLIC), ours)
    for i, server in enumerate(libraries):
        # The one besides C that puts and announces for it is another one each time.
        around(matrix, [ours, libraries[i - 1]], server, [ours.name])
    mesh(matrix, [ours, *libraries])


def present(matrix, peers: list, wrong: dict[str, Exception]) -> list[Library]:
    for peer in peers:
        if peer.name in wrong:
            note(matrix, [peer.name], "others", wrong[peer.name])
    return [Library(peer) for peer in peers if peer.name not in wrong]
