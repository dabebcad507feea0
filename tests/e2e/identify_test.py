"""Identify over the real wire: pushes are taken, broken ones cost their stream only."""
import json
import socket

from dialer import FIN, SODIUM, Dialer, Key, field, uvarint
from peers import echo, free_port, main, same, speaks, test, until, want

PUSH = "/ipfs/id/push/1.0.0"


class Scene:
    def __init__(self, bed, *options, key=None):
        self.peer = bed.peer("peer", *options, RUST_LOG="debug")
        self.dialer = Dialer(self.peer.port, key)
        bed.sockets.append(self.dialer.socket)
        self.dialer.upgrade()
        self.peer.saw("connection opened", peer=self.dialer.key.peer_id)

    def push(self, message, pieces=1):
        stream = self.dialer.open(PUSH)
        text = uvarint(len(message)) + message
        size = -(-len(text) // pieces)
        for at in range(0, len(text), size):
            stream.send(text[at:at + size])
        stream.send(b"", FIN)
        return stream

    def lives(self):
        stream = self.dialer.open("/ipfs/ping/1.0.0")
        stream.send(b"p" * 32)
        same(stream.take(32), b"p" * 32)


@test
def a_push_is_taken(bed):
    scene = Scene(bed)
    scene.push(field(6, b"pusher/1.0"))
    scene.peer.saw("peer identified", agent="pusher/1.0")
    scene.lives()


def packed(family, address, port):
    code, kind = {4: (b"\x04", socket.AF_INET), 6: (b"\x29", socket.AF_INET6)}[family]
    return code + socket.inet_pton(kind, address) + b"\x06" + port.to_bytes(2, "big")


@test
def addresses_that_a_peer_has_no_business_with_are_passed_over(bed):
    scene = Scene(bed)
    service = bed.service(lambda client: client.recv(1))
    bad = [packed(4, "0.0.0.0", service.port), packed(6, "::", service.port), packed(6, "::ffff:127.0.0.1", service.port),
           packed(4, "169.254.169.254", 80), packed(4, "224.0.0.251", 80), packed(4, "127.0.0.1", scene.peer.port),
           b"\x36\x0dprinter.local\x06\x00\x50", packed(4, "127.0.0.1", 0)]
    scene.push(b"".join(field(2, a) for a in [*bad, packed(4, "127.0.0.1", 4001), packed(4, "8.8.8.8", 4001)]) + field(6, b"liar/1.0"))
    scene.peer.saw("addresses of a peer passed over", peer=scene.dialer.key.peer_id, count=len(bad))
    scene.lives()
    same((service.clients, scene.peer.find("dialing")), (0, []), "dials")


@test
def a_peer_that_came_to_us_is_found_again_where_it_said_that_it_listens(bed):
    service = bed.service(echo)
    listen = f"/ip4/127.0.0.1/tcp/{free_port()}"
    provider = bed.peer("provider", listen=listen)  # once, to learn its id
    provider.stop()
    consumer = bed.peer("consumer", "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    offers = ["--expose", f"echo=127.0.0.1:{service.port}"]
    provider = bed.peer("provider", "--bootstrap", consumer.addr, *offers, listen=listen)
    consumer.saw("peer identified", peer=provider.id)
    provider.kill()
    consumer.saw("connection closed", peer=provider.id)
    bed.peer("provider", *offers, listen=listen)  # waits to be dialled
    want(speaks(bed.connect(consumer.tunnel_port("echo"))), "no echo")


@test
def of_hundreds_of_addresses_that_a_wanted_peer_offers_a_few_good_ones_are_dialled(bed):
    key = Key()
    scene = Scene(bed, "--tunnel", f"{key.peer_id}:echo@127.0.0.1:0", key=key)
    service = bed.service(lambda client: client.recv(1))
    bad = [packed(4, "0.0.0.0", service.port), packed(6, "::ffff:127.0.0.1", service.port), packed(4, "169.254.169.254", 80),
           packed(4, "127.0.0.1", scene.peer.port)]
    scene.push(b"".join(field(2, a) for a in [*bad, *(packed(4, "127.0.0.1", 1 + n) for n in range(700))]))
    scene.peer.saw("addresses of a peer passed over", peer=key.peer_id)
    scene.dialer.socket.close()
    scene.peer.saw("reconnect dial failed", peer_id=key.peer_id)
    dialled = [e.fields["addr"] for e in scene.peer.find("dial of an offered address failed")]
    want(0 < len(set(dialled)) <= 8, dialled)
    want(all(a.startswith("/ip4/127.0.0.1/tcp/") and f"/tcp/{scene.peer.port}" not in a for a in dialled), dialled)
    same(service.clients, 0, "clients of a service that was offered as the peer's")


@test
def addresses_named_as_external_are_told_at_once_and_first(bed):
    outside = ["/ip4/192.0.2.7/tcp/4001", "/dns4/home.example.org/tcp/4001", "/ip6/2001:db8::7/tcp/4001"]
    peer = bed.peer("announcer", "--external", outside[0], "--external", outside[1], "--external-address", outside[2])
    same(peer.addrs[:3], [f"{a}/p2p/{peer.id}" for a in outside])
    said = bed.run("identify", peer.addrs[3], "--json")[1]
    same(json.loads(said)["listen_addrs"][:3], outside)
    for wrong, why in (("/ip4/0.0.0.0/tcp/1", "not an address that can be dialled"), ("/ip4/192.0.2.7/tcp/0", "port 0"),
                       ("/dnsaddr/example.org", "a list of addresses"), (f"{outside[0]}/p2p/{peer.id}", "leave out /p2p"),
                       (f"{outside[0]}/p2p/{peer.id}/p2p-circuit", "the peer behind the relay is not named"), ("192.0.2.7:1", "not a multiaddr")):
        for option in ("--external", "--external-address"):
            status, _, error = bed.run(option, wrong)
            want(status == 2 and option in error and why in error, error)


@test
def a_push_in_many_pieces_is_taken(bed):
    scene = Scene(bed)
    scene.push(field(5, b"proto") + field(6, b"slow/1.0") + field(3, b"/a") * 50, pieces=40)
    scene.peer.saw("peer identified", agent="slow/1.0")
    scene.lives()


@test
def the_last_of_many_pushes_counts(bed):
    scene = Scene(bed)
    for number in range(50):
        scene.push(field(6, b"pusher/%d" % number))
    scene.peer.saw("peer identified", agent="pusher/49")
    scene.lives()


@test
def a_broken_push_costs_its_stream_only(bed):
    scene = Scene(bed)
    for message in (b"\xff" * 40, field(6, b"x" * 9000), b"\x0a\x7f", b"\x0b"):
        scene.push(message)
        scene.lives()
    want(not scene.peer.find("connection closed"), "the connection has ended")
    until(lambda: scene.peer.process.poll() is None, "the peer lives")


DOMAIN = b"libp2p-peer-record"


def number(tag, value):
    return uvarint(tag << 3) + uvarint(value)


def record(key, seq, addrs=(), about=None, signer=None, domain=DOMAIN, spoil=False):
    """A signed peer record; honest unless something else is said."""
    about, signer = about or key, signer or key
    payload = field(1, b"\x00\x24" + about.protobuf) + number(2, seq) + b"".join(field(3, field(1, a)) for a in addrs)
    text = b"".join(uvarint(len(part)) + part for part in (domain, b"\x03\x01", payload))
    signature = bytearray(signer.sign(text))
    signature[5] ^= spoil
    return field(1, key.protobuf) + field(2, b"\x03\x01") + field(3, payload) + field(5, bytes(signature))


def fields(message):
    """The fields of a protobuf: (number, bytes or int) each."""
    def take():
        nonlocal message
        value = shift = 0
        while True:
            byte, message = message[0], message[1:]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    found = []
    while message:
        tag = take()
        value = take()
        if tag & 7 == 2:
            value, message = message[:value], message[value:]
        found.append((tag >> 3, value))
    return found


def asked(dialer):
    """Our answer to identify, as a list of fields."""
    stream = dialer.open("/ipfs/id/1.0.0")
    stream.send(b"", FIN)
    kind, text = stream.end()
    same(kind, "fin")
    size = shift = at = 0
    while True:
        size |= (text[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if text[at - 1] < 128:
            break
    same(len(text) - at, size, "one whole message")
    want(size <= 4096, f"rust-libp2p reads no {size} bytes")
    return fields(text[at:])


def proven(answer):
    """The record in an answer, its signature checked here: (peer id, number, addresses)."""
    envelope = dict(fields(dict(answer)[8]))
    text = b"".join(uvarint(len(part)) + part for part in (DOMAIN, b"\x03\x01", envelope[3]))
    same(envelope[2], b"\x03\x01")
    same(envelope[1], dict(answer)[1], "the key in identify")
    same(SODIUM.crypto_sign_verify_detached(envelope[5], text, len(text), envelope[1][4:]), 0, "the signature")
    said = fields(envelope[3])
    return said[0][1], dict(said)[2], [dict(fields(v))[1] for n, v in said if n == 3]


@test
def our_record_is_signed_and_its_number_grows_over_restarts(bed):
    scene = Scene(bed)
    answer = asked(scene.dialer)
    peer, first, addrs = proven(answer)
    same(peer, b"\x00\x24" + dict(answer)[1])
    same(addrs, [v for n, v in answer if n == 2], "the plain list")
    same(proven(asked(scene.dialer))[1], first, "nothing has changed, so the record stays")
    scene.peer.stop()
    again = bed.peer("again", key="peer")
    dialer = Dialer(again.port)
    bed.sockets.append(dialer.socket)
    dialer.upgrade()
    want(proven(asked(dialer))[1] > first, "the number did not grow")


@test
def however_many_addresses_we_have_rust_reads_our_answer(bed):
    outside = [f"/dns4/{number:02}.{'long' * 15}.{'name' * 15}.example.org/tcp/4001" for number in range(16)]
    peer = bed.peer("announcer", *[word for address in outside for word in ("--external", address)])
    port = next(a for a in peer.addrs if a.startswith("/ip4/127.")).split("/")[4]
    dialer = Dialer(int(port))
    bed.sockets.append(dialer.socket)
    dialer.upgrade()
    answer = asked(dialer)
    said = [v for n, v in answer if n == 2]
    want(1 < len(said) < len(outside), f"{len(said)} addresses")
    same(proven(answer)[2], said, "the record's addresses")


@test
def a_bad_record_is_dropped_and_counted_and_voids_nothing_else(bed):
    scene = Scene(bed)
    key, other = scene.dialer.key, Key()
    good = record(key, 10)
    bad = {"another peer's": record(other, 10), "about another": record(key, 10, about=other),
           "signed by another": record(key, 10, signer=other), "spoilt": record(key, 10, spoil=True),
           "rust's domain": record(key, 10, domain=b"libp2p-routing-state"), "cut": good[:-1], "empty": b"", "noise": b"\xff" * 50}
    for count, (what, envelope) in enumerate(bad.items(), 1):
        scene.push(field(6, what.encode()) + field(8, envelope))
        scene.peer.saw("peer identified", agent=what)
        same(len(scene.peer.find("peer record dropped")), count, what)
    scene.push(field(6, b"good") + field(8, good))
    scene.peer.saw("peer identified", agent="good")
    same(len(scene.peer.find("peer record dropped")), len(bad))
    scene.lives()


@test
def an_older_number_is_dropped_and_one_from_the_future_is_a_number_like_any_other(bed):
    scene = Scene(bed)
    for turn, (seq, dropped) in enumerate(((5, 0), (5, 0), (4, 1), (2**64 - 1, 1), (6, 2), (2**64 - 1, 2))):
        scene.push(field(6, b"turn-%d" % turn) + field(8, record(scene.dialer.key, seq)))
        scene.peer.saw("peer identified", agent=f"turn-{turn}")
        same(len(scene.peer.find("peer record dropped")), dropped, f"turn {turn}")
    scene.lives()


@test
def more_than_anybody_needs_is_left_out(bed):
    scene = Scene(bed)
    addr = bytes.fromhex("04c0000201060fa1")
    scene.push(field(2, addr) * 600 + field(6, b"a" * 1200) + field(6, b"many addresses"))
    scene.peer.saw("peer identified", agent="many addresses")
    scene.push(field(3, b"/p") * 1900 + field(6, b"many protocols"))
    scene.peer.saw("peer identified", agent="many protocols")
    scene.push(field(3, b"/" + b"p" * 3000) + field(2, b"\xff" * 300) + field(6, b"long ones"))
    scene.peer.saw("peer identified", agent="long ones")
    for message in (field(2, addr) * 10000, field(3, b"/p") * 10000, field(6, b"a" * (1 << 20))):
        stream = scene.dialer.open(PUSH)
        stream.send(uvarint(len(message)) + message[:1000])
        same(stream.end()[0], "reset", "a message that is too long")
    scene.lives()


@test
def an_answer_in_several_messages_is_merged_up_to_ten(bed):
    scene = Scene(bed)
    parts = [field(2, bytes.fromhex("04c0000201060fa1")), field(6, b"second"), field(8, record(scene.dialer.key, 3))]
    stream = scene.dialer.open(PUSH)
    stream.send(b"".join(uvarint(len(p)) + p for p in parts) + uvarint(7) + field(6, b"forth"), FIN)
    scene.peer.saw("peer identified", agent="forth")
    same(scene.peer.find("peer record dropped"), [])
    stream = scene.dialer.open(PUSH)
    stream.send(b"".join(uvarint(len(p)) + p for p in (field(6, b"n%d" % i) for i in range(12))))
    same(stream.end()[0], "reset")
    same(len(scene.peer.find("peer identified", agent="n9")), 1)
    same(scene.peer.find("peer identified", agent="n11"), [])
    scene.lives()


@test
def pushes_beyond_the_rate_are_refused_and_the_limit_is_named(bed):
    scene = Scene(bed)
    for turn in range(300):
        scene.push(field(6, b"push-%d" % turn))
    told = scene.peer.saw("limit reached, identify push refused")
    same((told.fields["limit"], told.fields["option"]), ("push_rate", "--max-push-rate"))
    taken = len(scene.peer.find("peer identified", agent="push-"))
    want(64 <= taken < 300, f"{taken} of 300 were taken")
    scene.lives()


if __name__ == "__main__":
    main()
