#!/usr/bin/env python3
"""Records what real libp2p peers say, decrypted, as seeds of the fuzz targets.

    record.py NAME=PEER … -- DIR     PEER: the command of an interop peer (tests/interop/README.md); writes DIR/TARGET/NAME-…

Each peer is dialled and lets itself be dialled; a Noise end of a few lines of Python (tests/e2e/dialer.py) writes down lines of
multistream-select, Noise payloads, Yamux frames, identify messages and tunnel answers as they come.
"""
import json
import pathlib
import shlex
import socket
import struct
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import dialer  # noqa: E402
from dialer import ACK, DATA, RST, SYN, WINDOW, Cipher, Dialer, Ended, Key, Symmetric, field, x25519  # noqa: E402


class Tapped(Dialer):
    """A dialler that keeps every byte of the other side: before Noise, and decrypted after it."""

    def __init__(self, *arguments, **options):
        self.before, self.after = b"", b""
        super().__init__(*arguments, **options)

    def take(self, size):
        data = super().take(size)
        if not self.sender:
            self.before += data
        return data

    def read(self, size):
        data = super().read(size)
        self.after += data
        return data


class Answerer(Tapped):
    """The listening side: the same steps in the other order."""

    def __init__(self, client):
        self.before, self.after = b"", b""
        self.key, self.socket = Key(), client
        self.buffer, self.plain, self.next_id = b"", b"", 2
        self.sender = self.receiver = None
        self.streams, self.away = {}, None

    def agree(self, *spoken):
        take, send = (self.read, self.write) if self.sender else (self.take, self.send)
        while True:
            text = take(take(1)[0]).decode().strip()
            send(self.line(text if text == "/multistream/1.0.0" or text in spoken else "na"))
            if text in spoken:
                return

    def noise(self):
        state, ephemeral, static = Symmetric(), dialer.os.urandom(32), dialer.os.urandom(32)
        remote = self.take_message()
        state.mix_hash(remote)
        state.mix_hash(b"")
        public = x25519(ephemeral)
        state.mix_hash(public)
        state.mix_key(x25519(ephemeral, remote))
        message = public + state.seal(x25519(static))
        state.mix_key(x25519(static, remote))
        self.send_message(message + state.seal(self.payload(x25519(static))))
        answer = self.take_message()
        remote_static = state.open(answer[:48])
        state.mix_key(x25519(ephemeral, remote_static))
        self.remote_payload = state.open(answer[48:])
        first, second = state.derive(b"")
        self.sender, self.receiver = Cipher(second), Cipher(first)


def uvarint(data):
    number = shift = at = 0
    while True:
        number |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return number, data[at:]


def payload_fields(data):
    """The byte fields of a protobuf."""
    while data:
        tag, data = uvarint(data)
        length, data = uvarint(data)
        yield tag >> 3, data[:length]
        data = data[length:]


class Book:
    """Where seeds go."""

    def __init__(self, place):
        self.place, self.number = pathlib.Path(place), 0

    def put(self, target, data):
        folder = self.place / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"recorded-{self.number}").write_bytes(data)
        self.number += 1

    def connection(self, tapped, dialled):
        """Everything that one connection has brought. dialled: the other side listened."""
        self.put("fuzz_handshake", bytes([0 if dialled else 1]) + tapped.before)
        self.put("fuzz_negotiate", b"\x07" + tapped.before[:300])
        self.put("fuzz_mss", b"\x07" + tapped.before[:60])
        self.put("fuzz_noise_handshake_payload", tapped.remote_payload)
        for way in range(6):
            self.put("fuzz_noise_payload", bytes([way]) + tapped.remote_payload)
        for number, value in payload_fields(tapped.remote_payload):
            if number == 1:
                self.put("fuzz_public_key", value)
                self.put("fuzz_keys", value)
                self.put("fuzz_peer_id", b"\x00" + bytes([len(value)]) + value)
            if number == 4:
                self.put("fuzz_noise_payload", b"\x04" + value)
        for way in range(4):
            self.put("fuzz_session", bytes([way | (4 if dialled else 0)]) + tapped.after[:4000])
        rest = tapped.after
        while len(rest) >= 12:
            self.put("fuzz_yamux_header", rest[:12])
            kind, length = rest[1], struct.unpack(">I", rest[8:12])[0]
            body, rest = (rest[12:12 + length], rest[12 + length:]) if kind == DATA else (b"", rest[12:])
            if body[:1] in (b"\x13", b"\x03"):
                self.put("fuzz_negotiate", b"\x05" + body)

    def identify(self, framed):
        _, message = uvarint(framed)
        self.put("fuzz_identify", message)
        self.put("fuzz_frame", b"\x09" + framed)
        for way in (0x01, 0x21):
            self.put("fuzz_streams", bytes([way, 3]) + framed)
        for number, value in payload_fields(message):
            if number in (2, 4):
                self.put("fuzz_multiaddr", value)


def dial(book, addr):
    """What a listener says when it is dialled, asked who it is, and asked for a service."""
    port = int(addr.split("/")[4])
    tapped = Tapped(port)
    tapped.negotiate("/noise")
    tapped.noise()
    tapped.negotiate("/yamux/1.0.0")
    tapped.after = b""  # frames begin here
    stream = tapped.open("/ipfs/id/1.0.0")
    book.identify(stream.end()[1])
    for service in ("echo", "nosuch"):
        stream = tapped.open("/punchgate/tunnel/1.0.0")
        request = json.dumps({"service_name": service}).encode()
        stream.send(struct.pack(">I", len(request)) + request + b"hello")
        answer = stream.answer().encode()
        book.put("fuzz_json_tunnel_response", answer)
        book.put("fuzz_json_tunnel_request", request)
        book.put("fuzz_streams", b"\x00\x05" + struct.pack(">I", len(request)) + request + b"hello")
        stream.send(b"", 4)
    book.put("fuzz_streams", b"\x03\x05" + bytes(range(32)))
    book.put("fuzz_multiaddr", addr.encode())
    book.put("fuzz_peer_id", addr.split("/")[-1].encode())
    book.put("fuzz_base", addr.split("/")[-1].encode())
    book.connection(tapped, True)
    tapped.close()


def be_dialled(book, peer):
    """What a dialler says: the first seconds of an identify and a tunnel, until nothing more comes."""
    server = socket.create_server(("127.0.0.1", 0))
    key = Key()
    command = [*peer, "echo", f"/ip4/127.0.0.1/tcp/{server.getsockname()[1]}/p2p/{key.peer_id}", "echo"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client, _ = server.accept()
    client.settimeout(3)
    tapped = Answerer(client)
    tapped.key = key
    try:
        tapped.agree("/noise")
        tapped.noise()
        tapped.agree("/yamux/1.0.0")
        tapped.after = b""
        while True:
            answer(tapped)
    except (Ended, TimeoutError):
        pass
    finally:
        process.kill()
        process.wait()
    book.connection(tapped, False)


def answer(tapped):
    """One frame, and what a friendly listener would say to it."""
    _, kind, flags, stream, length = struct.unpack(">BBHII", tapped.read(12))
    body = tapped.read(length) if kind == DATA else b""
    if kind == 2 and not flags & ACK:
        tapped.frame(2, ACK, 0, length)
    if flags & SYN:
        tapped.frame(WINDOW, ACK, stream, 0)
    if body[:1] == b"\x13":
        tapped.data(stream, body if b"ping" in body or b"tunnel" in body else body[:20] + tapped.line("na"))
    elif body and b"service_name" in body:
        reply = b'{"accepted":true}'
        tapped.data(stream, struct.pack(">I", len(reply)) + reply)
    elif len(body) == 32:
        tapped.data(stream, body)
    elif kind == DATA and length > 32:
        tapped.frame(WINDOW, RST, stream, 0)


def main():
    cut = sys.argv.index("--")
    book = Book(sys.argv[cut + 1])
    for argument in sys.argv[1:cut]:
        name, command = argument.split("=", 1)
        peer = shlex.split(command)
        process = subprocess.Popen([*peer, "listen"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            dial(book, json.loads(process.stdout.readline())["addrs"][0])
            watchdog = threading.Timer(60, lambda: sys.exit(f"{name} does not come to an end"))
            watchdog.daemon = True
            watchdog.start()
            be_dialled(book, peer)
            watchdog.cancel()
        finally:
            process.kill()
            process.wait()
        print(f"{name}: {book.number} seeds so far")


if __name__ == "__main__":
    main()
