"""Limits as users meet them: thousands of tunnels, more of them than one connection carries, bursts, small limits. Rows 57, 58 and 72.

One process holds all clients and the service, on non-blocking sockets: threads would cost more than what is measured.
"""
import contextlib
import json
import pathlib
import resource
import selectors
import socket
import time

from peers import PUNCHGATE, main, same, test, until, want

IDLE_BYTES = 8192  # of user memory that a tunnel may cost each of its two peers while nothing passes


class Crowd:
    """An echo service and any number of clients, in one selector."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.served, self.clients, self.echoed, self.ended = [], [], {}, set()

    def connect(self, port, count):
        """All at once; a connect is under way when this returns."""
        fresh = []
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            fresh.append(client)
            self.selector.register(client, selectors.EVENT_READ, client)
        self.clients += fresh
        return fresh

    def turn(self, patience):
        for key, _ in self.selector.select(patience):
            if key.data is None:
                self.accept()
            else:
                self.read(key.fileobj, key.data)

    def accept(self):
        try:
            while True:
                served = self.listener.accept()[0]
                served.setblocking(False)
                self.served.append(served)
                self.selector.register(served, selectors.EVENT_READ, "service")
        except BlockingIOError:
            pass

    def read(self, sock, role):
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(sock)
            sock.close()
            self.ended.add(sock)
        elif role == "service":
            sock.send(data)
        else:
            self.echoed[sock] = self.echoed.get(sock, b"") + data

    def say(self, clients, text):
        """Each says the text, when its connection stands."""
        waiting = list(clients)
        end = time.monotonic() + 60
        while waiting and time.monotonic() < end:
            left = []
            for client in waiting:
                try:
                    client.send(text)
                except BlockingIOError:
                    left.append(client)
                except OSError:
                    self.ended.add(client)
            waiting = left
            self.turn(0.01 if waiting else 0)
        want(not waiting, f"{len(waiting)} clients could not connect")

    def wait(self, clients, text, patience=120):
        """Until each has heard the text or has been closed: (those that heard, those that were closed)."""
        end = time.monotonic() + patience
        open_ones = set(clients)
        while open_ones and time.monotonic() < end:
            self.turn(1)
            open_ones = {c for c in open_ones if c not in self.ended and len(self.echoed.get(c, b"")) < len(text)}
        heard = [c for c in clients if self.echoed.pop(c, b"") == text]
        return heard, [c for c in clients if c in self.ended]

    def until(self, question, what, patience=60):
        """As until, and the service goes on meanwhile: it must see the ends of its connections."""
        def ask():
            self.turn(0)
            return question()
        return until(ask, what, patience)

    def echo(self, clients, text, patience=120):
        self.say(clients, text)
        return self.wait(clients, text, patience)

    def close(self, clients=None):
        for sock in clients if clients is not None else self.clients + self.served + [self.listener]:
            if sock.fileno() >= 0:
                try:
                    self.selector.unregister(sock)
                except KeyError:
                    pass
                sock.close()
        if clients is None:
            self.selector.close()


def anonymous(peer):
    """User memory of a process, in bytes."""
    for line in open(f"/proc/{peer.process.pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def sanitized():
    return b"__asan_init" in open(PUNCHGATE, "rb").read()


def counters(bed, peer):
    status, out, error = bed.run("status", "--control", f"{peer.key}.sock", "--json")
    same(status, 0, error)
    return json.loads(out)["counters"]


def connections(bed, peer):
    return json.loads(bed.run("status", "--control", f"{peer.key}.sock", "--json")[1])["connections"]


def scene(bed, *of_consumer, of_provider=()):
    """(crowd, provider, consumer, port of the tunnel); quiet logs, for thousands of lines are not what is tested."""
    crowd = Crowd()
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{crowd.port}", *of_provider, RUST_LOG="info,machine=off")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0",
                        "--tunnel-wait", "60s", *of_consumer, RUST_LOG="info,machine=off")
    consumer.connected(provider)
    return crowd, provider, consumer, consumer.tunnel_port("echo")


@contextlib.contextmanager
def soft_limit(files):
    """Whoever starts meanwhile may have so many files at first, and as many as we when it asks for them."""
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, ours[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)


@test
def four_thousand_tunnels_are_open_at_once_and_each_answers_though_the_soft_limit_is_1024_files(bed):
    with soft_limit(1024):
        crowd, provider, consumer, port = scene(bed)
    same(crowd.echo(crowd.connect(port, 1), b"?")[1], [])
    before = [anonymous(p) for p in (provider, consumer)]
    clients = []
    for _ in range(8):
        fresh = crowd.connect(port, 500)
        heard, closed = crowd.echo(fresh, b"a")
        same((len(heard), len(closed)), (500, 0), "tunnels that answer, and that were closed")
        clients += fresh
    heard, closed = crowd.echo(clients, b"b")
    same((len(heard), len(closed)), (4000, 0), "tunnels that still answer when all are open")
    time.sleep(1)
    for peer, was in zip((provider, consumer), before):
        each = (anonymous(peer) - was) / 4000
        print(f"      {peer.name}: {each:.0f} bytes of user memory for each idle tunnel")
        want(sanitized() or each <= IDLE_BYTES, f"{peer.name}: {each:.0f} bytes each")
    same(counters(bed, provider)["tunnels_provider"], 4001)
    streams = sorted(c["streams"] for c in connections(bed, consumer))
    want(len(streams) >= 9 and streams[-1] <= 504, f"streams of the connections: {streams}")
    for peer in (provider, consumer):
        want(len(list(pathlib.Path(f"/proc/{peer.process.pid}/fd").iterdir())) > 4000, "files that are open")
    crowd.close()


@test
def a_thousand_connects_at_once_are_all_served(bed):
    crowd, provider, consumer, port = scene(bed)
    clients = crowd.connect(port, 1000)
    heard, closed = crowd.echo(clients, b"hello")
    same((len(heard), len(closed)), (1000, 0), "clients that were served, and that were closed")
    crowd.close()


@test
def no_connection_ever_carries_the_513th_stream_at_which_rust_ends_it(bed):
    crowd, provider, consumer, port = scene(bed, of_provider=("--max-streams-per-conn", "512"))
    clients = crowd.connect(port, 1500)
    heard, closed = crowd.echo(clients, b"hello")
    same((len(heard), len(closed)), (1500, 0), "clients that were served, and that were closed")
    same(counters(bed, provider)["refused_streams_conn"], 0, "streams that a 512 limit has met")
    crowd.close()


@test
def further_connections_are_closed_again_when_they_have_been_empty_for_a_while(bed):
    crowd, provider, consumer, port = scene(bed, "--max-streams-outbound", "20")
    clients = crowd.connect(port, 100)
    same(len(crowd.echo(clients, b"x")[0]), 100, "clients that were served")
    want(len(connections(bed, consumer)) >= 5, "connections while 100 tunnels run")
    first = clients[0]
    crowd.close(clients[1:])
    crowd.until(lambda: len(connections(bed, consumer)) == 1, "one connection again")
    same(len(crowd.echo([first], b"y")[0]), 1, "the tunnel on the first connection")
    same(len(consumer.find("dialing bootstrap peer")), 1)
    crowd.close()


@test
def ten_thousand_opens_end_in_refusals_that_name_the_limit_and_in_recovery(bed):
    crowd, provider, consumer, port = scene(bed, "--max-streams-outbound", "100", "--max-conns-per-peer", "8", "--tunnel-wait", "5s")
    served = refused = 0
    for _ in range(10):
        fresh = crowd.connect(port, 1000)
        heard, closed = crowd.echo(fresh, b"z")
        served, refused = served + len(heard), refused + len(closed)
    same(served + refused, 10000, "clients that were served or closed")
    want(750 <= served <= 850, f"{served} were served by 8 connections of 100 streams")
    line = consumer.saw("limit reached, tunnel refused", limit="conns_peer", option="--max-conns-per-peer")
    same(line.fields["most"], "8")
    crowd.close(crowd.clients)
    crowd.until(lambda: counters(bed, provider)["tunnels_provider"] == 0, "all tunnels end")
    same(len(crowd.echo(crowd.connect(port, 300), b"again")[0]), 300, "clients that are served afterwards")
    crowd.close()


@test
def clients_that_leave_before_their_stream_opens_leave_nothing_behind(bed):
    crowd, provider, consumer, port = scene(bed)
    for _ in range(20):
        for client in crowd.connect(port, 100):
            crowd.close([client])
    crowd.until(lambda: all(c["streams"] <= 4 for c in connections(bed, consumer)), "only housekeeping streams are left")
    crowd.until(lambda: counters(bed, provider)["tunnels_provider"] == 0, "no tunnel is left")
    same(len(crowd.echo(crowd.connect(port, 10), b"still")[0]), 10)
    crowd.close()


if __name__ == "__main__":
    main()
