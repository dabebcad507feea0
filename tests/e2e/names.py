"""A name server of one page for the end-to-end tests, on loopback with a port of its own, over UDP and TCP.

Answers from a table that the test fills, and misbehaves where the table says so. Source: RFC 1035, sections 4.1 and 4.2.
"""
import contextlib
import socket
import struct
import threading

A, CNAME, TXT, AAAA = 1, 5, 16, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
UDP_MOST = 512  # without EDNS
ALIASES = 12


def wire_name(name):
    parts = [p.encode() for p in name.rstrip(".").split(".") if p]
    return b"".join(bytes([len(p)]) + p for p in parts) + b"\0"


def read_question(message):
    at, labels = 12, []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    kind, = struct.unpack_from(">H", message, at + 1)
    return ".".join(labels).lower(), kind, message[12:at + 5]


def value(kind, data):
    if kind == A:
        return socket.inet_pton(socket.AF_INET, data)
    if kind == AAAA:
        return socket.inet_pton(socket.AF_INET6, data)
    if kind == CNAME:
        return wire_name(data)
    pieces = data if isinstance(data, list) else [data[i:i + 255] for i in range(0, max(1, len(data)), 255)]
    return b"".join(bytes([len(p)]) + (p if isinstance(p, bytes) else p.encode()) for p in pieces)


class Names:
    """records[name, type] is a list of values; names in `silent` get no answer, names in `failing` a SERVFAIL.

    A TXT value that is a list is a record of several strings. CNAME records are followed, in a circle if they lead there.
    With raw[name] set, these bytes follow the header and the question, whatever they are.
    """

    def __init__(self, records=None):
        self.records = dict(records or {})
        self.silent, self.failing, self.raw = set(), set(), {}
        self.asked = []  # (name, type) in order
        self.lock = threading.Lock()
        while True:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp = socket.create_server(("127.0.0.1", self.port))
                break
            except OSError:
                self.udp.close()
        self.address = f"127.0.0.1:{self.port}"
        for serve in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def count(self, name=None):
        with self.lock:
            return sum(name in (None, n) for n, _ in self.asked)

    def answer(self, message, room):
        name, kind, question = read_question(message)
        with self.lock:
            self.asked.append((name, kind))
        if name in self.silent:
            return None
        known = any(n == name for n, _ in self.records) or name in self.raw
        code = SERVFAIL if name in self.failing else NOERROR if known else NXDOMAIN
        values, owner = [], name
        for _ in range(ALIASES):  # as a server that recurses: the aliases with what they stand for
            values += [(owner, kind, v) for v in self.records.get((owner, kind), ())]
            alias = self.records.get((owner, CNAME), ())
            values += [(owner, CNAME, v) for v in alias]
            if not alias:
                break
            owner = alias[0]
        body = b"".join((b"\xc0\x0c" if o == name else wire_name(o)) + struct.pack(">HHIH", t, 1, 0, len(data)) + data
                        for o, t, data in ((o, t, value(t, v)) for o, t, v in values))
        count = len(values)
        if name in self.raw:
            count, body = self.raw[name]
        cut = room is not None and 12 + len(question) + len(body) > room
        flags = 0x8180 | code | (0x0200 if cut else 0)
        head = message[:2] + struct.pack(">HHHHH", flags, 1, 0 if cut else count, 0, 0)
        return head + question + (b"" if cut else body)

    def serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                message, client = self.udp.recvfrom(4096)
                with contextlib.suppress(OSError, IndexError, struct.error):
                    said = self.answer(message, UDP_MOST)
                    if said:
                        self.udp.sendto(said, client)

    def serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.tcp.accept()
                threading.Thread(target=self.serve_client, args=(client,), daemon=True).start()

    def serve_client(self, client):
        with client, contextlib.suppress(OSError, IndexError, struct.error):
            client.settimeout(20)
            while head := client.recv(2, socket.MSG_WAITALL):
                said = self.answer(client.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL), None)
                if said:
                    client.sendall(struct.pack(">H", len(said)) + said)

    def close(self):
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        with contextlib.suppress(OSError):
            self.udp.shutdown(socket.SHUT_RDWR)
        self.udp.close()
