"""Liars that serve the DHT: what their answers, their silence and their claims make a peer do, and that it is not what they want.

A liar connects to the peer, says that it serves Kademlia, and is asked as soon as the peer looks itself up.
"""
import json
import os
import struct
import threading
import time

from dialer import ACK, DATA, FIN, GOAWAY, PING, RST, SYN, WINDOW, Dialer, Ended, Key, field, uvarint
from names import Names
from peers import free_port, main, same, test, until, want

KAD, IDENTIFY = "/punchgate/kad/1.0.0", "/ipfs/id/1.0.0"
FIND_NODE = 4


def packed(address, port):
    return b"\x04" + bytes(map(int, address.split("."))) + b"\x06" + struct.pack(">H", port)


def packed6(address, port):
    return b"\x29" + address + b"\x06" + struct.pack(">H", port)


def invented():
    """An id that nobody has: a multihash of SHA-256."""
    return b"\x12\x20" + os.urandom(32)


def closer(*peers):
    """An answer to FIND_NODE that names these: (id, addresses)."""
    entries = [field(1, i) + b"".join(field(2, a) for a in addrs) for i, addrs in peers]
    return b"\x08\x04" + b"".join(field(8, e) for e in entries)


def line(text):
    return uvarint(len(text) + 1) + text.encode() + b"\n"


def silent(client):
    while client.recv(65536):
        pass


class Liar(Dialer):
    """answer(): the bytes of one answer, None for none, or "reset"."""

    def __init__(self, bed, peer, answer, key=None):
        super().__init__(peer.port, key, patience=60)
        bed.sockets.append(self.socket)
        self.answer, self.asked = answer, 0
        self.listen = bed.service(silent).port
        self.inbound, self.agreed = {}, {}  # what came on a stream; who takes it
        self.upgrade()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                self.step()
        except (Ended, OSError):
            pass

    def step(self):
        _, kind, flags, stream, length = struct.unpack(">BBHII", self.read(12))
        body = self.read(length) if kind == DATA else b""
        if kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, length)
        if kind in (PING, GOAWAY):
            return
        if flags & SYN:
            self.inbound[stream] = b""
            self.frame(WINDOW, ACK, stream, 0)
            self.data(stream, line("/multistream/1.0.0"))
        if stream not in self.inbound:
            return
        if body:
            self.frame(WINDOW, 0, stream, len(body))
        self.inbound[stream] += body
        self.hear(stream)

    def hear(self, stream):
        text = self.inbound[stream]
        if stream not in self.agreed:
            for protocol, take in ((IDENTIFY, self.identify), (KAD, self.kad)):
                if line(protocol) in text:
                    self.agreed[stream] = take
                    self.inbound[stream] = text.split(line(protocol), 1)[1]
                    self.data(stream, line(protocol))
        if stream in self.agreed:
            self.agreed[stream](stream)
        elif text.count(b"\n") >= 2:
            self.inbound[stream] = b""
            self.data(stream, line("na"))

    def identify(self, stream):
        message = (field(1, self.key.protobuf) + field(2, packed("127.0.0.1", self.listen)) + field(3, KAD.encode())
                   + field(3, IDENTIFY.encode()) + field(6, b"liar/1.0"))
        self.data(stream, uvarint(len(message)) + message, FIN)
        del self.agreed[stream], self.inbound[stream]

    def kad(self, stream):
        if len(self.inbound[stream]) < 3:
            return
        self.asked += 1
        said = self.answer()
        if said == "reset":
            self.frame(WINDOW, RST, stream, 0)
        elif said is not None:
            data = uvarint(len(said)) + said
            for at in range(0, len(data), 60000):
                self.data(stream, data[at:at + 60000])
            self.frame(DATA, FIN, stream, 0)
        del self.agreed[stream], self.inbound[stream]


class Late(Liar):
    """Says where it listens only when it is asked for the second time, as the original does at its start."""

    first, times = 1, 0  # at which question it says it; how often it was asked

    def identify(self, stream):
        self.times += 1
        where = field(2, packed("127.0.0.1", self.listen)) if self.times == self.first else b""
        message = field(1, self.key.protobuf) + where + field(3, IDENTIFY.encode()) + field(6, b"late/1.0")
        self.data(stream, uvarint(len(message)) + message, FIN)
        del self.agreed[stream], self.inbound[stream]


def dialled(peer):
    return [e.fields["addr"] for e in peer.find("dialing")]


def decoy(bed):
    return bed.service(lambda client: client.recv(1))


@test
def what_a_liar_names_is_dialled_only_where_it_may_be(bed):
    service, allowed, names = decoy(bed), decoy(bed), Names()
    bed.services.append(names)
    peer = bed.peer("peer", "--dns-server", names.address)
    port, other = service.port, Key()
    bad = [packed("0.0.0.0", port), packed6(bytes(16), port), packed6(bytes(10) + b"\xff\xff\x7f\0\0\1", port),
           packed6(bytes(12) + b"\x7f\0\0\1", port), packed("169.254.169.254", 80), packed("224.0.0.251", 5353),
           packed("255.255.255.255", 80), packed("127.0.0.1", peer.port), packed("127.0.0.1", 0),
           b"\x36\x09localhost\x06" + struct.pack(">H", port), b"\x38\x09liar.test",
           packed("127.0.0.1", port) + b"\xa5\x03" + uvarint(38) + b"\0\x24" + other.protobuf,
           b"\x04\x7f\0\0\1\x91\x02" + struct.pack(">H", port), b"", b"\xff" * 9]
    liar = Liar(bed, peer, lambda: closer(*((invented(), [a]) for a in bad), (invented(), bad),
                                          (b"\0\x24" + peer_key(peer), [packed("127.0.0.1", port)]),
                                          (b"", [packed("127.0.0.1", port)]), (b"\x12\x20short", [packed("127.0.0.1", port)]),
                                          (invented(), [packed("127.0.0.1", allowed.port)])))
    until(lambda: allowed.clients, "the address that may be dialled is dialled")
    peer.saw("look-up ended", op="closest")
    same(set(dialled(peer)), {f"/ip4/127.0.0.1/tcp/{allowed.port}"}, "what was dialled")
    same((service.clients, names.asked), (0, []), "clients of the service that was named, and names that were looked up")
    want(liar.asked > 0)


def peer_key(peer):
    """The public key inside an id that holds it whole."""
    number = 0
    for letter in peer.id:
        number = number * 58 + "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".index(letter)
    return number.to_bytes(38, "big")[2:]


@test
def a_peer_that_names_no_address_at_first_is_asked_again_and_not_for_ever(bed):
    for first, asked in ((1, 1), (2, 2), (3, 3), (99, 3)):
        peer = bed.peer(f"peer{first}", RUST_LOG="debug")
        Late.first = first
        late = Late(bed, peer, lambda: None)
        until(lambda: late.times == asked, f"{asked} questions who it is")
        if first <= 3:
            status, out, error = bed.run("dht", "find", late.key.peer_id, "--bootstrap", peer.addr, "--json")
            same(status, 0, error)
            same(json.loads(out)["peers"], [{"peer": late.key.peer_id, "addrs": [f"/ip4/127.0.0.1/tcp/{late.listen}"]}])
        time.sleep(1.5)
        same(late.times, asked, f"questions to a peer that names an address in answer {first}")


@test
def whoever_names_a_third_party_ever_again_makes_no_storm_of_it(bed):
    victim = decoy(bed)
    rate, most = 10, 8
    peer = bed.peer("peer", "--max-dial-rate", rate, "--max-dials", most)
    began = time.monotonic()
    Liar(bed, peer, lambda: closer(*((invented(), [packed(f"127.0.0.{1 + n % 5}", victim.port), packed("127.0.0.1", victim.port)])
                                     for n in range(200))))
    until(lambda: victim.clients >= 5, "the victim is dialled")
    time.sleep(4)
    tried = len(dialled(peer))
    bound = 2 * rate + rate * (time.monotonic() - began + 1)
    want(tried <= bound, f"{tried} dials, more than {bound:.0f}")
    want(len(victim.open) <= most, f"{len(victim.open)} connections to the victim at once")
    same(bed.run("ping", peer.addr, "--json")[0], 0, "ping meanwhile")


@test
def ten_thousand_addresses_of_one_peer_are_a_few_dials(bed):
    for count, taken in ((10, 8), (700, 8), (1000, 0), (10000, 0)):  # the last two: an entry too long, an answer too long
        port = free_port()
        answer = closer((invented(), [packed(f"127.0.{n // 250}.{1 + n % 250}", port) for n in range(count)]))
        peer = bed.peer(f"peer{count}")
        Liar(bed, peer, lambda answer=answer: answer)
        peer.saw("look-up ended", op="closest")
        until(lambda: len(peer.find("dialing")) >= taken, "dials")
        tried = {a for a in dialled(peer) if f"/tcp/{port}" in a}
        same(len(tried), taken, f"addresses of {count} that are dialled")


@test
def servers_that_reset_or_say_nothing_hold_up_nobody(bed):
    for answer in ("reset", None):
        peer = bed.peer(f"peer-{answer}")
        far = bed.peer(f"far-{answer}", "--bootstrap", peer.addr)
        far.saw("kademlia bootstrap complete")
        liars = [Liar(bed, peer, lambda answer=answer: answer) for _ in range(6)]
        for liar in liars:
            peer.saw("peer identified", peer=liar.key.peer_id)
        for arguments in (("put", "/k", "value"), ("get", "/k")):
            began = time.monotonic()
            status, out, error = bed.run("dht", *arguments, "--bootstrap", peer.addr, "--json", patience=60)
            same(status, 0, out + error)
            want(json.loads(out)["ok"], out)
            want(time.monotonic() - began < 40, f"{arguments} took {time.monotonic() - began:.0f} s")


@test
def unfinished_requests_on_all_places_keep_nobody_out(bed):
    peer = bed.peer("peer")
    strangers = []
    for _ in range(16):
        dialer = Dialer(peer.port)
        bed.sockets.append(dialer.socket)
        dialer.upgrade()
        for _ in range(32):
            dialer.open(KAD).send(b"\x20")
        strangers.append(dialer)
    honest = Dialer(peer.port)
    bed.sockets.append(honest.socket)
    honest.upgrade()
    for _ in range(5):
        stream = honest.open(KAD)
        stream.send(b"\x02\x08\x05")  # a ping
        length = stream.take(1)[0]
        want(b"\x08\x05" in stream.take(length), "no answer")
    same(peer.find("Kademlia request not served", peer=honest.key.peer_id), [])


@test
def peers_with_one_identity_that_meet_over_the_dht_make_no_storm(bed):
    middle = bed.peer("middle")
    first = bed.peer("twin", "--bootstrap", middle.addr)
    second = bed.peer("copy", "--bootstrap", middle.addr, "--control", "off", key="twin")
    same(second.id, first.id, "the identity of the copy")
    for twin in (first, second):
        twin.saw("kademlia bootstrap complete")
    third = bed.peer("third", "--bootstrap", middle.addr)
    third.connected(middle)
    time.sleep(5)  # in which looks and retries would have come
    for twin in (first, second):
        want(len(dialled(twin)) <= 6, dialled(twin))
        want(len(twin.find("connection closed")) <= 1, "connections go up and down")
    want(len(middle.find("connection opened", peer=first.id)) <= 4, "connections of the twins at the middle")
    same(bed.run("ping", first.addr, "--json")[0], 0, "ping of the first")
    same(bed.run("ping", second.addr, "--json")[0], 0, "ping of the copy")


@test
def a_list_of_bootstrap_peers_that_holds_our_own_id_is_served_by_the_others(bed):
    middle = bed.peer("middle")
    port = free_port()
    before = bed.peer("peer", listen=f"/ip4/127.0.0.1/tcp/{port}")
    own = before.addr
    same(before.stop(), 0)
    peer = bed.peer("again", "--bootstrap", own, "--bootstrap", middle.addr, listen=f"/ip4/127.0.0.1/tcp/{port}", key="peer")
    peer.saw("kademlia bootstrap complete")
    time.sleep(2)
    same([a for a in dialled(peer) if f"/tcp/{port}" in a], [], "dials of ourselves")
    same([e.text for e in peer.entries() if e.level in ("WARN", "ERROR")], [], "warnings")


if __name__ == "__main__":
    main()
