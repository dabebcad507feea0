"""A libp2p dialler of a few pages that can misbehave: multistream-select, Noise XX, Yamux, over libsodium through ctypes.

Used by strangers_test.py, which needs a remote that is proven and then does what no library would let it do.
Sources: libp2p/specs noise/README.md, connections/README.md, yamux/README.md, peer-ids/peer-ids.md.
"""
import ctypes
import ctypes.util
import hashlib
import hmac
import os
import socket
import struct
import threading

SODIUM = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
PROLOGUE = b"noise-libp2p-static-key:"
DATA, WINDOW, PING, GOAWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Ended(Exception):
    """The other side has closed or reset the connection."""


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def uvarint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    """A protobuf field of bytes."""
    return uvarint(number << 3 | 2) + uvarint(len(data)) + data


class Key:
    """An Ed25519 identity."""

    def __init__(self):
        self.public, self.secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        SODIUM.crypto_sign_keypair(self.public, self.secret)
        self.protobuf = b"\x08\x01\x12\x20" + self.public.raw
        self.peer_id = base58(b"\x00\x24" + self.protobuf)

    def sign(self, text):
        out = ctypes.create_string_buffer(64)
        SODIUM.crypto_sign_detached(out, None, text, ctypes.c_ulonglong(len(text)), self.secret)
        return out.raw


def x25519(secret, public=None):
    out = ctypes.create_string_buffer(32)
    if public is None:
        SODIUM.crypto_scalarmult_base(out, secret)
    else:
        SODIUM.crypto_scalarmult(out, secret, public)
    return out.raw


class Cipher:
    def __init__(self, key):
        self.key, self.count = key, 0

    def nonce(self):
        self.count += 1
        return struct.pack("<IQ", 0, self.count - 1)

    def seal(self, text, extra=b""):
        out, size = ctypes.create_string_buffer(len(text) + 16), ctypes.c_ulonglong()
        SODIUM.crypto_aead_chacha20poly1305_ietf_encrypt(out, ctypes.byref(size), text, ctypes.c_ulonglong(len(text)), extra,
                                                         ctypes.c_ulonglong(len(extra)), None, self.nonce(), self.key)
        return out.raw

    def open(self, text, extra=b""):
        out, size = ctypes.create_string_buffer(max(1, len(text) - 16)), ctypes.c_ulonglong()
        if SODIUM.crypto_aead_chacha20poly1305_ietf_decrypt(out, ctypes.byref(size), None, text, ctypes.c_ulonglong(len(text)),
                                                            extra, ctypes.c_ulonglong(len(extra)), self.nonce(), self.key):
            raise AssertionError("a message of the peer is forged")
        return out.raw[:size.value]


class Symmetric:
    """Noise's symmetric state."""

    def __init__(self):
        self.chain = self.hash = b"Noise_XX_25519_ChaChaPoly_SHA256"
        self.cipher = None
        self.mix_hash(b"")

    def mix_hash(self, data):
        self.hash = hashlib.sha256(self.hash + data).digest()

    def derive(self, secret):
        temporary = hmac.digest(self.chain, secret, "sha256")
        first = hmac.digest(temporary, b"\1", "sha256")
        return first, hmac.digest(temporary, first + b"\2", "sha256")

    def mix_key(self, secret):
        self.chain, key = self.derive(secret)
        self.cipher = Cipher(key)

    def seal(self, text):
        sealed = self.cipher.seal(text, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        text = self.cipher.open(sealed, self.hash)
        self.mix_hash(sealed)
        return text


class Dialer:
    """A connection to a peer. Each step is a method, so that a test may put something else in its place."""

    def __init__(self, port, key=None, patience=20, host="127.0.0.1", source=None):
        self.key = key or Key()
        self.socket = socket.create_connection((host, port), patience, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.plain, self.next_id = b"", b"", 1
        self.sender = self.receiver = None
        self.streams = {}
        self.away = None

    def close(self):
        self.socket.close()

    # Bytes and messages.

    def take(self, size):
        while len(self.buffer) < size:
            try:
                data = self.socket.recv(65536)
            except ConnectionError as why:
                raise Ended(str(why)) from None
            if not data:
                raise Ended("end of the connection")
            self.buffer += data
        out, self.buffer = self.buffer[:size], self.buffer[size:]
        return out

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError as why:
            raise Ended(str(why)) from None

    def send_message(self, message):
        self.send(struct.pack(">H", len(message)) + message)

    def take_message(self):
        return self.take(struct.unpack(">H", self.take(2))[0])

    def write(self, plain):
        for at in range(0, len(plain), 65000):
            self.send_message(self.sender.seal(plain[at:at + 65000]))

    def read(self, size):
        while len(self.plain) < size:
            self.plain += self.receiver.open(self.take_message())
        out, self.plain = self.plain[:size], self.plain[size:]
        return out

    # Negotiation: `take` and `send` before Noise, `read` and `write` after it.

    def line(self, text):
        data = text.encode() + b"\n"
        return uvarint(len(data)) + data

    def negotiate(self, protocol):
        take, send = (self.read, self.write) if self.sender else (self.take, self.send)
        send(self.line("/multistream/1.0.0") + self.line(protocol))
        answers = [take(take(1)[0]).decode().strip() for _ in range(2)]
        return answers[1]

    # Noise XX as initiator.

    def noise(self, payload=None, static=None):
        """payload(static public key): what proves who we are; the true one when None."""
        state, ephemeral, static = Symmetric(), os.urandom(32), static or os.urandom(32)
        public = x25519(ephemeral)
        state.mix_hash(public)
        state.mix_hash(b"")
        self.send_message(public)
        answer = self.take_message()
        remote = answer[:32]
        state.mix_hash(remote)
        state.mix_key(x25519(ephemeral, remote))
        remote_static = state.open(answer[32:80])
        state.mix_key(x25519(ephemeral, remote_static))
        self.remote_payload = state.open(answer[80:])
        own = x25519(static)
        message = state.seal(own)
        state.mix_key(x25519(static, remote))
        message += state.seal((payload or self.payload)(own))
        self.send_message(message)
        first, second = state.derive(b"")
        self.sender, self.receiver = Cipher(first), Cipher(second)

    def answer_noise(self):
        """As the other side."""
        state, ephemeral, static = Symmetric(), os.urandom(32), os.urandom(32)
        remote = self.take_message()
        state.mix_hash(remote)
        state.mix_hash(b"")
        public = x25519(ephemeral)
        state.mix_hash(public)
        state.mix_key(x25519(ephemeral, remote))
        own = x25519(static)
        message = public + state.seal(own)
        state.mix_key(x25519(static, remote))
        self.send_message(message + state.seal(self.payload(own)))
        answer = self.take_message()
        remote_static = state.open(answer[:48])
        state.mix_key(x25519(ephemeral, remote_static))
        self.remote_payload = state.open(answer[48:])
        first, second = state.derive(b"")
        self.sender, self.receiver = Cipher(second), Cipher(first)

    def payload(self, own):
        return field(1, self.key.protobuf) + field(2, self.key.sign(PROLOGUE + own))

    def secure(self):
        want = self.negotiate("/noise")
        assert want == "/noise", want
        self.noise()
        return self

    def upgrade(self):
        self.secure()
        want = self.negotiate("/yamux/1.0.0")
        assert want == "/yamux/1.0.0", want
        return self

    # Yamux.

    def frame(self, kind, flags, stream, length, body=b""):
        self.write(struct.pack(">BBHII", 0, kind, flags, stream, length) + body)

    def data(self, stream, body, flags=0):
        self.frame(DATA, flags, stream, len(body), body)

    def step(self):
        """Takes one frame, answers pings, grants windows and refuses streams of the other side."""
        version, kind, flags, stream, length = struct.unpack(">BBHII", self.read(12))
        body = self.read(length) if kind == DATA else b""
        if kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, length)
        elif kind == GOAWAY:
            self.away = length
        elif flags & SYN:
            self.frame(WINDOW, RST, stream, 0)
        elif stream in self.streams:
            self.streams[stream].got += body
            self.streams[stream].ends |= flags & (FIN | RST)
            if body:
                self.frame(WINDOW, 0, stream, len(body))

    def open(self, protocol):
        """A stream on which the protocol is agreed."""
        stream = Stream(self)
        stream.send(self.line("/multistream/1.0.0") + self.line(protocol), SYN)
        want = [stream.take(stream.take(1)[0]).decode().strip() for _ in range(2)]
        assert want[1] == protocol, want
        return stream


class Stream:
    def __init__(self, dialer):
        self.dialer, self.id, self.got, self.ends = dialer, dialer.next_id, b"", 0
        dialer.next_id += 2
        dialer.streams[self.id] = self

    def send(self, data, flags=0):
        self.dialer.data(self.id, data, flags)

    def take(self, size):
        while len(self.got) < size:
            if self.ends:
                raise Ended("end of the stream")
            self.dialer.step()
        out, self.got = self.got[:size], self.got[size:]
        return out

    def end(self):
        """How the stream ends, and what came before: ("fin" or "reset", bytes)."""
        while not self.ends:
            self.dialer.step()
        return "reset" if self.ends & RST else "fin", self.got

    def answer(self):
        """The tunnel's framed answer."""
        return self.take(struct.unpack(">I", self.take(4))[0]).decode()


class Host(threading.Thread):
    """A peer that listens. speaks: what it answers on a stream, by protocol; all else is refused."""

    def __init__(self, speaks, key=None):
        super().__init__(daemon=True)
        self.speaks, self.key = speaks, key or Key()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.addr = f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.key.peer_id}"
        self.start()

    def run(self):
        try:
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()
        except OSError:
            pass

    def serve(self, client):
        try:
            Served(self, client).run()
        except (Ended, OSError):
            pass

    def close(self):
        self.listener.close()


class Served(Dialer):
    """One connection of a Host."""

    def __init__(self, host, client):
        client.settimeout(60)
        self.host, self.key, self.socket = host, host.key, client
        self.buffer, self.plain = b"", b""
        self.sender = self.receiver = None
        self.inbound = {}

    def agree(self, protocol):
        take, send = (self.read, self.write) if self.sender else (self.take, self.send)
        for text in ("/multistream/1.0.0", protocol):
            assert take(take(1)[0]).decode().strip() == text
            send(self.line(text))

    def run(self):
        self.agree("/noise")
        self.answer_noise()
        self.agree("/yamux/1.0.0")
        while True:
            _, kind, flags, stream, length = struct.unpack(">BBHII", self.read(12))
            body = self.read(length) if kind == DATA else b""
            if kind == PING and not flags & ACK:
                self.frame(PING, ACK, 0, length)
            if flags & SYN and kind in (DATA, WINDOW):
                self.inbound[stream] = b""
                self.frame(WINDOW, ACK, stream, 0)
            if body and stream in self.inbound:
                self.hear(stream, body)

    def hear(self, stream, body):
        lines = self.inbound[stream] = self.inbound[stream] + body
        if lines.count(b"\n") < 2:
            return
        del self.inbound[stream]
        said = lines.split(b"\n")[1][1:].decode()
        known = said in self.host.speaks
        self.data(stream, self.line("/multistream/1.0.0") + self.line(said if known else "na"))
        if known:
            self.data(stream, self.host.speaks[said](), FIN)
