"""Strangers at the port: whatever they send ends their own connection and nothing else."""
import os
import random
import socket
import struct
import time

from peers import LiveTunnel, how_it_ends, main, read_exactly, same, test, until, want

HEADER = b"\x13/multistream/1.0.0\n"


def line(text):
    """A multistream-select message."""
    data = text.encode() + b"\n"
    want(len(data) < 128)
    return bytes([len(data)]) + data


def answer(client):
    length = read_exactly(client, 1)[0]
    return read_exactly(client, length).decode()


class Scene(LiveTunnel):
    """Strangers try the port of its provider."""

    def stranger(self):
        return self.bed.connect(self.provider.port)


def closed_by(client, data, patience=20):
    """Sends until the peer closes; says how many bytes it took, and what it had answered."""
    client.settimeout(patience)
    sent = 0
    try:
        for at in range(0, len(data), 4096):
            client.sendall(data[at:at + 4096])
            sent += len(data[at:at + 4096])
        return sent, how_it_ends(client, patience)[1]
    except ConnectionError:
        return sent, b""


@test
def old_security_is_refused_and_noise_still_possible(bed):
    scene = Scene(bed)
    client = scene.stranger()
    client.sendall(HEADER)
    same(answer(client), "/multistream/1.0.0\n")
    for offer in ("/plaintext/2.0.0", "/plaintext/1.0.0", "/secio/1.0.0", "/tls/1.0.0"):
        client.sendall(line(offer))
        same(answer(client), "na\n", f"answer to {offer}")
    client.sendall(line("/noise"))
    same(answer(client), "/noise\n")
    scene.lives()


@test
def muxers_are_not_spoken_without_noise(bed):
    scene = Scene(bed)
    client = scene.stranger()
    client.sendall(HEADER)
    answer(client)
    for offer in ("/yamux/1.0.0", "/mplex/6.7.0", "/ping/1.0.0", "/punchgate/tunnel/1.0.0"):
        client.sendall(line(offer))
        same(answer(client), "na\n", f"answer to {offer}")
    scene.lives()


@test
def raw_bytes_http_and_zeros_end_their_connection_only(bed):
    scene = Scene(bed)
    rng = random.Random(7)
    for junk in (b"\x00" * 1_000_000, b"GET / HTTP/1.1\r\nHost: example\r\n\r\n", rng.randbytes(100_000), b"\xff" * 10_000,
                 b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500)):
        began = time.monotonic()
        sent, said = closed_by(scene.stranger(), junk)
        want(time.monotonic() - began < 15, f"{junk[:12]!r} kept its connection open")
        want(len(said) <= 200, f"{len(said)} bytes were said to {junk[:12]!r}")
        scene.lives()
    scene.provider.saw("connection failed")


@test
def lines_that_are_too_long_or_never_end_are_cut_off(bed):
    scene = Scene(bed)
    for junk in (b"\xff" * 9 + b"\x7f",                      # a length of 2^63
                 b"\x80" * 20,                               # a length that never ends
                 b"\xff\xff\x03" + b"a" * 70_000,            # 65535 bytes
                 HEADER + b"\x05noise",                      # no newline
                 HEADER[:-1] + b"x" + line("/noise")):       # a header that is none
        sent, said = closed_by(scene.stranger(), junk)
        want(len(said) <= 200, f"{len(said)} bytes were said to {junk[:12]!r}")
    scene.lives()


@test
def endless_proposals_and_listings_meet_a_limit(bed):
    scene = Scene(bed)
    for flood in (line("/nope/1.0.0") * 100_000, line("ls") * 100_000, line("na") * 100_000, b"\x01\n" * 500_000):
        client = scene.stranger()
        client.settimeout(20)
        client.sendall(HEADER)
        said = 0
        try:
            for at in range(0, len(flood), 65536):
                client.sendall(flood[at:at + 65536])
            client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                said += len(data)
        except ConnectionError:
            pass
        want(said < 100_000, f"{said} bytes were answered to a flood")
    scene.lives()


@test
def half_a_line_is_given_up_and_its_slot_is_free(bed):
    scene = Scene(bed)
    clients = [scene.stranger() for _ in range(20)]
    for client in clients:
        client.sendall(HEADER[:7])
    began = time.monotonic()
    for client in clients:
        same(how_it_ends(client, 60)[1] in (b"", HEADER), True, "what was said to half a line")
    want(time.monotonic() - began < 45, "the deadline did not come")
    scene.lives()


@test
def one_byte_at_a_time_is_understood_and_bounded(bed):
    scene = Scene(bed)
    client = scene.stranger()
    for byte in HEADER + line("/noise"):
        client.sendall(bytes([byte]))
        time.sleep(0.002)
    same((answer(client), answer(client)), ("/multistream/1.0.0\n", "/noise\n"))
    scene.lives()


@test
def broken_noise_messages_end_the_connection(bed):
    scene = Scene(bed)
    for message in (b"",                                     # no key at all
                    b"\x00" * 31,                            # cut
                    b"\x00" * 32,                            # a point of low order
                    os.urandom(2000),                        # a key and a payload that belongs elsewhere
                    os.urandom(65535)):
        client = scene.stranger()
        client.sendall(HEADER + line("/noise") + struct.pack(">H", len(message)) + message)
        same((answer(client), answer(client)), ("/multistream/1.0.0\n", "/noise\n"))
        # A message that may be a key is answered; what follows cannot be a good third message.
        try:
            client.sendall(struct.pack(">H", 64) + bytes(64))
        except ConnectionError:
            pass
        how_it_ends(client)
    scene.lives()


@test
def connections_that_come_and_go_at_once_leave_nothing_behind(bed):
    scene = Scene(bed)

    def descriptors():
        return len(os.listdir(f"/proc/{scene.provider.process.pid}/fd"))

    before = descriptors()
    for number in range(300):
        client = scene.stranger()
        if number % 3 == 0:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if number % 2:
            client.sendall(HEADER[:number % 19 + 1])
        client.close()
    until(lambda: descriptors() <= before + 2, f"the descriptors go back to {before}")
    scene.lives()


@test
def two_hundred_half_open_connections_keep_nobody_out(bed):
    scene = Scene(bed)
    for _ in range(200):
        scene.stranger()
    began = time.monotonic()
    status, _, error = bed.run("ping", scene.provider.addr)
    same(status, 0, error)
    want(time.monotonic() - began < 2, "the ping had to wait")
    scene.lives()


@test
def more_half_open_connections_than_are_allowed_are_refused_and_the_tunnel_lives(bed):
    scene = Scene(bed)
    crowd = []
    for _ in range(600):
        try:
            crowd.append(scene.stranger())
        except ConnectionError:
            pass
    scene.provider.saw("limit reached, connection refused", limit="pending", option="--max-pending")
    scene.lives()
    for client in crowd:
        client.close()
    until(lambda: bed.run("ping", scene.provider.addr)[0] == 0, "a ping once they are gone")
    scene.lives()


if __name__ == "__main__":
    main()
