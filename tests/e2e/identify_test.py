"""Identify over the real wire: pushes are taken, broken ones cost their stream only."""
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
