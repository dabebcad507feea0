"""A DHT server over the real wire: what floods, spam, lies and nonsense do to it and to the others that it serves."""
import json
import threading
import time

from dialer import Dialer, Ended, Key, field, uvarint
from peers import PATIENCE, main, same, test, want

KAD = "/punchgate/kad/1.0.0"
PUT_VALUE, GET_VALUE, ADD_PROVIDER, GET_PROVIDERS, FIND_NODE, KAD_PING = range(6)
LOCAL = b"\x04\x7f\x00\x00\x01\x06\x0f\xa1"  # /ip4/127.0.0.1/tcp/4001


def framed(message):
    return uvarint(len(message)) + message


def request(kind, key=b"", *more):
    return framed(b"\x08" + uvarint(kind) + (field(2, key) if key else b"") + b"".join(more))


def provider(peer_id, *addrs):
    return field(9, field(1, peer_id) + b"".join(field(2, a) for a in addrs))


def fields(message):
    """Number and value of each field."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = number()
        value = number()
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        yield tag >> 3, value


class Client:
    """A peer that speaks Kademlia by hand."""

    def __init__(self, bed, peer, key=None):
        self.dialer = Dialer(peer.port, key)
        bed.sockets.append(self.dialer.socket)
        self.dialer.upgrade()
        self.peer_id = b"\x00\x24" + self.dialer.key.protobuf
        self.stream = None

    def open(self):
        self.stream = self.dialer.open(KAD)
        return self.stream

    def ask(self, *arguments):
        if not self.stream or self.stream.ends:
            self.open()
        self.stream.send(request(*arguments))
        return self.take()

    def take(self):
        length = shift = 0
        while True:
            byte = self.stream.take(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return list(fields(self.stream.take(length)))

    def say(self, data):
        """On a stream of its own; how that ends."""
        stream = self.dialer.open(KAD)
        for at in range(0, len(data), 60000):
            stream.send(data[at:at + 60000])
        return stream

    def providers(self, key):
        return [dict(fields(value)) for number, value in self.ask(GET_PROVIDERS, key) if number == 9]

    def provide(self, key, *addrs):
        stream = self.stream if self.stream and not self.stream.ends else self.open()
        stream.send(request(ADD_PROVIDER, key, provider(self.peer_id, *(addrs or (LOCAL,)))))

    def lives(self):
        same(dict(self.ask(KAD_PING))[1], KAD_PING)


def status(bed, peer):
    got, out, error = bed.run("status", "--control", f"{peer.key}.sock", "--json")
    same(got, 0, f"{out}{error}")
    return json.loads(out)


def memory_kib(peer):
    with open(f"/proc/{peer.process.pid}/status", encoding="ascii") as text:
        return int(next(line for line in text if line.startswith("VmRSS:")).split()[1])


@test
def what_is_left_with_a_server_is_found_by_another(bed):
    peer = bed.peer("server")
    left, right = Client(bed, peer), Client(bed, peer)
    left.provide(b"/punchgate/svc/echo")
    left.lives()  # the announcement has no answer of its own
    same([p[1] for p in right.providers(b"/punchgate/svc/echo")], [left.peer_id])
    record = field(1, b"/punchgate/svc/echo") + field(2, b'"echo"')
    same(dict(left.ask(PUT_VALUE, b"/punchgate/svc/echo", field(3, record)))[3], record)
    kept = dict(fields(dict(right.ask(GET_VALUE, b"/punchgate/svc/echo"))[3]))
    same((kept[2], kept[777] > 170000), (b'"echo"', True))
    dht = status(bed, peer)["dht"]
    same((dht["mode"], dht["values"], dht["providers"], dht["own_records"], dht["streams_served"]), ("server", 1, 1, 0, 2))


@test
def a_provider_record_that_names_another_peer_is_refused(bed):
    peer = bed.peer("server")
    liar, other = Client(bed, peer), Client(bed, peer)
    victim = b"\x00\x24" + Key().protobuf
    same(liar.say(request(ADD_PROVIDER, b"key", provider(victim, LOCAL))).end()[0], "reset")
    same(other.providers(b"key"), [])
    liar.lives()
    same(status(bed, peer)["counters"]["kad_refused"], 1)


@test
def nonsense_ends_its_stream_at_once_and_takes_no_memory(bed):
    peer = bed.peer("server")
    client = Client(bed, peer)
    client.lives()
    before = memory_kib(peer)
    entry = field(8, field(1, client.peer_id))
    cases = [uvarint(1 << 20) + b"\x08\x04\x12",                   # a mebibyte of key, by its length
             framed(b"\x08\x04" + field(2, b"k" * 1025)),           # a key that is a little too long
             uvarint(10**5 * len(entry)) + entry * 100,             # 10^5 closer peers, the same one each
             framed(b"\x08\x63" + field(2, b"key")),                # no such type
             framed(b"\xff" * 50), uvarint(2**63)[:9] + b"\xff\x01",
             request(PUT_VALUE, b"/punchgate/svc/echo", field(3, field(1, b"/punchgate/svc/echo") + field(2, b'"other"'))),
             request(PUT_VALUE, b"a", field(3, field(1, b"b") + field(2, b"value"))),
             request(PUT_VALUE, b"/ipns/x", field(3, field(1, b"/ipns/x") + field(2, b"value"))),
             request(FIND_NODE), request(GET_PROVIDERS), request(ADD_PROVIDER, b"key")]
    for round_number in range(3):
        for data in cases:
            same(client.say(data).end()[0], "reset", f"end of {data[:20]!r} in round {round_number}")
    client.lives()
    same(status(bed, peer)["counters"]["kad_refused"], 3 * len(cases))
    want(memory_kib(peer) - before < 8192, f"{memory_kib(peer) - before} KiB more")


@test
def a_life_below_zero_is_no_longer_than_any_other(bed):
    client = Client(bed, bed.peer("server"))
    below = b"\xc8\x30" + b"\xff" * 9 + b"\x01"
    client.ask(PUT_VALUE, b"key", field(3, field(1, b"key") + field(2, b"value") + below))
    kept = dict(fields(dict(client.ask(GET_VALUE, b"key"))[3]))
    want(kept[777] <= 48 * 3600, f"{kept[777]} s")


@test
def spam_of_one_peer_pushes_out_itself_and_never_more_is_kept_than_allowed(bed):
    peer = bed.peer("server", "--max-kad-rate", "1000000", "--max-kad-records", "500", "--max-kad-records-peer", "100")
    honest = [Client(bed, peer) for _ in range(3)]
    for number, client in enumerate(honest):
        client.provide(b"honest %d" % number)
        client.lives()
    spammers = [Client(bed, peer) for _ in range(10)]
    for number in range(2000):
        for who, client in enumerate(spammers):
            client.provide(b"spam %d of %d" % (number, who))
    for client in spammers:
        client.lives()
    same(status(bed, peer)["dht"]["providers"], 500)
    for number in range(3):
        same(len(honest[0].providers(b"honest %d" % number)), 1, f"providers of honest {number}")
    for number in range(300):  # one alone has its own share
        spammers[0].provide(b"more %d" % number)
    want(status(bed, peer)["dht"]["providers"] <= 500, "more than allowed")
    same(len(honest[0].providers(b"honest 0")), 1)


class Flood(threading.Thread):
    """Asks as fast as it can, on new streams when one was reset, until told to stop."""

    def __init__(self, bed, peer, messages):
        super().__init__(daemon=True)
        self.client, self.messages, self.over, self.asked, self.resets = Client(bed, peer), messages, False, 0, 0

    def run(self):
        dialer = self.client.dialer
        dialer.socket.settimeout(PATIENCE)
        while not self.over:
            try:
                stream = dialer.open(KAD)
                for _ in range(20):
                    stream.send(self.messages)
                    self.asked += 50
                while not stream.ends and not self.over:
                    dialer.step()
                self.resets += 1
            except (Ended, OSError, AssertionError):
                return


@test
def floods_are_cut_and_others_are_served_meanwhile(bed):
    peer = bed.peer("server")
    honest = Client(bed, peer)
    honest.provide(b"service")
    honest.lives()
    before = memory_kib(peer)
    floods = [Flood(bed, peer, request(FIND_NODE, b"any key") * 50) for _ in range(4)]
    for flood in floods:
        flood.start()
    served, until_then = 0, time.monotonic() + 4
    while time.monotonic() < until_then:
        same(len(honest.providers(b"service")), 1)
        served += 1
        time.sleep(0.02)
    for flood in floods:
        flood.over = True
    peer.saw("limit reached, request refused", limit="kad_rate")
    want(served >= 20, f"{served} answers while others flooded")
    for flood in floods:
        flood.join(2 * PATIENCE)
        want(not flood.is_alive() and flood.resets > 0, "a flood was not cut")
    honest.lives()
    want(memory_kib(peer) - before < 65536, f"{memory_kib(peer) - before} KiB more")
    want(status(bed, peer)["counters"]["refused_kad_rate"] > 0, "nothing was refused")


@test
def idle_streams_give_way_and_a_connection_has_its_share(bed):
    peer = bed.peer("server", "--max-conns-per-peer", "100")
    clients = [Client(bed, peer) for _ in range(20)]
    streams = [[c.dialer.open(KAD) for _ in range(32)] for c in clients]  # 640, of which 512 are served at once
    same(status(bed, peer)["dht"]["streams_served"], 512)
    for client, own in zip(clients, streams):
        client.stream = own[31]
    clients[19].lives()
    same(streams[0][0].end()[0], "fin")  # that one was idle for longest, and has ended in good order
    own = Client(bed, peer)
    extra = [own.dialer.open(KAD) for _ in range(33)]
    same(extra[32].end()[0], "reset")
    own.stream = extra[31]
    own.lives()
    same(status(bed, peer)["dht"]["streams_served"], 512)


@test
def a_request_that_stops_in_its_middle_is_let_go(bed):
    peer = bed.peer("server")
    slow, other = Client(bed, peer), Client(bed, peer)
    stream = slow.say(request(FIND_NODE, b"key")[:4])
    other.lives()
    same(stream.end()[0], "reset")
    slow.lives()


@test
def behind_a_nat_only_those_near_are_served(bed):
    peer = bed.peer("server", "--nat-status", "private")
    Client(bed, peer).lives()  # we are on loopback
    same(status(bed, peer)["dht"]["mode"], "client")


if __name__ == "__main__":
    main()
