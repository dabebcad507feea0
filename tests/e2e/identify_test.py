"""Identify over the real wire: pushes are taken, broken ones cost their stream only."""
import json
import socket

from dialer import FIN, Dialer, field, uvarint
from peers import main, same, test, until, want

PUSH = "/ipfs/id/push/1.0.0"


class Scene:
    def __init__(self, bed):
        self.peer = bed.peer("peer", RUST_LOG="debug")
        self.dialer = Dialer(self.peer.port)
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
def addresses_named_as_external_are_told_at_once_and_first(bed):
    outside = ["/ip4/192.0.2.7/tcp/4001", "/dns4/home.example.org/tcp/4001", "/ip6/2001:db8::7/tcp/4001"]
    peer = bed.peer("announcer", "--external", outside[0], "--external", outside[1], "--external-address", outside[2])
    same(peer.addrs[:3], [f"{a}/p2p/{peer.id}" for a in outside])
    said = bed.run("identify", peer.addrs[3], "--json")[1]
    same(json.loads(said)["listen_addrs"][:3], outside)
    for wrong, why in (("/ip4/0.0.0.0/tcp/1", "not an address that can be dialled"), ("/ip4/192.0.2.7/tcp/0", "port 0"),
                       ("/dnsaddr/example.org", "a list of addresses"), (f"{outside[0]}/p2p/{peer.id}", "leave out /p2p"),
                       (f"{outside[0]}/p2p/{peer.id}/p2p-circuit", "relay circuits"), ("192.0.2.7:1", "not a multiaddr")):
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


if __name__ == "__main__":
    main()
