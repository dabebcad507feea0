"""Little memory and two dozen peers that ask for much and never read: what runs goes on, and who comes anew is served."""
import socket
import threading

from dialer import SYN, WINDOW, Dialer, Ended, Stream
from peers import PATIENCE, exchange, main, pattern, read_all, same, speaks, test, until, want

DEAF, CROWD, STREAMS, SIZE = 24, 80, 4, 4_000_000


def pours(client):
    """A question mark asks for the pattern; whatever else comes is sent back."""
    data = client.recv(65536)
    if data == b"?":
        client.sendall(pattern(SIZE))
        client.shutdown(socket.SHUT_WR)
        return
    while data:
        client.sendall(data)
        data = client.recv(65536)
    client.shutdown(socket.SHUT_WR)


def go_deaf(bed, peer):
    """A peer that has everything sent to it that it can, and reads nothing from its first stream on; False: turned away."""
    try:
        dialer = Dialer(peer.port)
        bed.sockets.append(dialer.socket)
        dialer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        dialer.upgrade()
        request = b'{"service_name":"pours"}'
        for _ in range(STREAMS):
            asked = Stream(dialer)
            asked.send(dialer.line("/multistream/1.0.0") + dialer.line("/punchgate/tunnel/1.0.0"), SYN)
            asked.send(len(request).to_bytes(4, "big") + request + b"?")
            dialer.frame(WINDOW, 0, asked.id, 16 << 20)
        return True
    except (Ended, OSError):
        return False


def scene(bed):
    service = bed.service(pours)
    small = bed.peer("small", "--memory", "8MiB", "--expose", f"pours=127.0.0.1:{service.port}", RUST_LOG="info,machine=off")
    honest = bed.peer("honest", "--bootstrap", small.addr, "--tunnel", f"{small.id}:pours@127.0.0.1:0", RUST_LOG="info,machine=off")
    honest.connected(small)
    return small, honest, honest.tunnel_port("pours")


def poured(bed, port):
    """Whether a new client gets everything that it asks for."""
    try:
        client = bed.connect(port)
        client.settimeout(PATIENCE)
        client.sendall(b"?")
        return read_all(client) == pattern(SIZE)
    except OSError:
        return False


def others_go_on(bed, number):
    small, honest, port = scene(bed)
    live = bed.connect(port)
    want(speaks(live, b"before"))
    deaf = [go_deaf(bed, small) for _ in range(number)]
    want(sum(deaf) >= DEAF // 2, f"only {sum(deaf)} of {number} deaf peers came in")
    came = []
    reader = threading.Thread(target=lambda: came.append(exchange(live, pattern(SIZE))), daemon=True)
    reader.start()
    until(lambda: poured(bed, port), "a new client is served")
    reader.join(PATIENCE)
    same(len(came) and came[0] == pattern(SIZE), True, "the tunnel that ran before has its bytes")
    for _ in range(4):
        until(lambda: poured(bed, port), "another new client is served")
    same(small.find("connection closed", peer=honest.id), [], "ends of the honest peer's connection")
    return small


@test
def two_dozen_peers_that_do_not_read_share_what_there_is_and_leave_room(bed):
    others_go_on(bed, DEAF)


@test
def where_there_is_no_room_left_those_that_have_read_nothing_for_longest_make_some(bed):
    small = others_go_on(bed, CROWD)
    want(small.find("tunnel error", error="a limit of this peer is reached"), "nobody was asked to go")


if __name__ == "__main__":
    main()
