"""Every stage of a connection under attack at once, while another peer's `punchgate ping` goes on.

Stages: before the header, after it, after /noise was agreed, after our first Noise message was answered. At each: garbage,
silence, one byte a second, an end. Behind Noise, by a stranger with a key: the muxer, a stream's protocol, a tunnel's request.
tests/unit/conn_test.c and hostile_tunnel_test.c look closer, at every byte, in memory.
"""
import json
import os
import select
import socket
import struct
import threading
import time

from dialer import SYN, Dialer, Ended, Stream
from peers import echo, how_it_ends, main, read_exactly, same, test, until, want

HEADER = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"
# An ephemeral key that is a good point: the base point of Curve25519.
KEY = struct.pack(">H", 32) + b"\x09" + bytes(31)
STAGES = {"before the header": b"", "after the header": HEADER, "after /noise": HEADER + NOISE,
          "after the first message": HEADER + NOISE + KEY}


class Pinger:
    """Pings the peer all the while over its own connections, and counts."""

    def __init__(self, bed, addr):
        self.bed, self.addr, self.rounds, self.failed, self.going = bed, addr, 0, [], True
        self.thread = threading.Thread(target=self.go)
        self.thread.start()

    def go(self):
        while self.going:
            status, out, _ = self.bed.run("ping", self.addr, "--count", "5", "--json", "--timeout", "15s")
            self.rounds += 1
            if status != 0:
                self.failed.append((status, out))

    def end(self):
        self.going = False
        self.thread.join()
        same(self.failed, [], "pings that failed under attack")
        want(self.rounds > 0, "no ping was tried")


def at_stage(bed, peer, opening):
    client = bed.connect(peer.port)
    client.sendall(opening)
    if opening:
        same(read_exactly(client, 20), HEADER, "header")
    if opening.startswith(HEADER + NOISE):
        same(read_exactly(client, 8), NOISE, "agreement")
    if opening.endswith(KEY):
        length = struct.unpack(">H", read_exactly(client, 2))[0]
        want(length > 96, "second Noise message")
        read_exactly(client, length)
    return client


@test
def garbage_at_each_stage_ends_its_connection_while_pings_go_on(bed):
    peer = bed.peer("b")
    pinger = Pinger(bed, peer.addr)
    for name, opening in STAGES.items():
        for junk in (b"\xff" * 70000, os.urandom(70000), b"GET / HTTP/1.1\r\n\r\n" + bytes(70000), bytes(70000)):
            client = at_stage(bed, peer, opening)
            began = time.monotonic()
            try:
                client.sendall(junk)
            except ConnectionError:
                pass
            how_it_ends(client)
            want(time.monotonic() - began < 9, f"{name}: only the deadline ended it")
            client.close()
    pinger.end()


@test
def a_recorded_handshake_said_again_is_refused(bed):
    peer = bed.peer("b")
    recorded = []

    def record(client):
        with socket.create_connection(("127.0.0.1", peer.port)) as far:
            def back():
                try:
                    while data := far.recv(65536):
                        client.sendall(data)
                except OSError:
                    pass
            thread = threading.Thread(target=back)
            thread.start()
            try:
                while data := client.recv(65536):
                    recorded.append(data)
                    far.sendall(data)
                far.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            thread.join()

    middle = bed.service(record)
    status = bed.run("ping", peer.addr.replace(f"/tcp/{peer.port}/", f"/tcp/{middle.port}/"), "--json")[0]
    same(status, 0, "ping through the recorder")
    until(lambda: recorded, "a recording")
    before = len(peer.entries())
    client = bed.connect(peer.port)
    client.sendall(b"".join(recorded))
    how_it_ends(client)
    until(lambda: any("Noise" in e.text for e in peer.entries()[before:]), "the reason in the log")
    same(bed.run("ping", peer.addr, "--json")[0], 0, "ping afterwards")


@test
def silence_and_single_bytes_are_ended_by_the_deadline_of_each_stage(bed):
    peer = bed.peer("b")
    pinger = Pinger(bed, peer.addr)
    took = {}

    def silent(name, opening, drip):
        client = at_stage(bed, peer, opening)
        began = time.monotonic()
        client.settimeout(1)
        while time.monotonic() - began < 30:
            try:
                if drip:
                    client.sendall(drip[:1])
                    drip = drip[1:]
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        took[name] = time.monotonic() - began
        client.close()

    # What drips is the start of something long and good, so that only the clock can object.
    drips = {"before the header": HEADER, "after the header": b"\x80\x08" + b"/" * 60,
             "after /noise": struct.pack(">H", 32) + bytes(32), "after the first message": struct.pack(">H", 200) + bytes(60)}
    threads = [threading.Thread(target=silent, args=(f"{name}, {'dripping' if drip else 'silent'}", opening, drip))
               for name, opening in STAGES.items() for drip in (b"", drips[name])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(len(took), len(threads), "connections that were tried")
    for name, seconds in took.items():
        want(8 < seconds < 14, f"{name}: ended after {seconds:.1f} s, not about 10")
    pinger.end()


def drip_or_wait(dialer, is_over, drip):
    """A byte a second of what drips, reading meanwhile; returns how long it took until it was over."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        try:
            if dialer.plain or dialer.buffer or select.select([dialer.socket], [], [], 1)[0]:
                dialer.step()
            elif drip:
                dialer.write(drip[0]) if isinstance(drip[0], bytes) else drip[0]()
                drip = drip[1:]
        except Ended:
            break
        if is_over():
            break
    return time.monotonic() - began


@test
def silence_and_single_bytes_behind_noise_are_ended_by_the_deadline_of_each_stage(bed):
    service = bed.service(echo)
    peer = bed.peer("b", "--expose", f"echo=127.0.0.1:{service.port}")
    took = {}

    def dial():
        dialer = Dialer(peer.port)
        bed.sockets.append(dialer.socket)
        return dialer

    def muxer(name, drips):
        dialer = dial().secure()
        line = dialer.line("/multistream/1.0.0")
        took[name] = drip_or_wait(dialer, lambda: False, [line[n:n + 1] for n in range(len(line))] if drips else [])

    def on_stream(name, dialer, stream, text, drips):
        pieces = [lambda n=n: stream.send(text[n:n + 1]) for n in range(len(text))] if drips else []
        took[name] = drip_or_wait(dialer, lambda: stream.ends, pieces)
        stream = dialer.open("/ipfs/ping/1.0.0")  # the connection goes on
        stream.send(b"p" * 32)
        same(stream.take(32), b"p" * 32)

    def protocol(name, drips):
        dialer = dial().upgrade()
        stream = Stream(dialer)
        stream.send(b"", SYN)
        on_stream(name, dialer, stream, dialer.line("/multistream/1.0.0"), drips)

    def request(name, drips):
        dialer = dial().upgrade()
        on_stream(name, dialer, dialer.open("/punchgate/tunnel/1.0.0"), struct.pack(">I", 60000) + b" " * 60, drips)

    stages = {"muxer": muxer, "protocol of a stream": protocol, "request of a tunnel": request}
    threads = [threading.Thread(target=stage, args=(f"{name}, {'dripping' if drips else 'silent'}", drips))
               for name, stage in stages.items() for drips in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(len(took), len(threads), "stages that were tried")
    for name, seconds in took.items():
        want(8 < seconds < 14, f"{name}: ended after {seconds:.1f} s, not about 10")


@test
def a_ping_is_answered_within_a_second_beside_two_hundred_half_open_connections(bed):
    peer = bed.peer("b")
    clients = [bed.connect(peer.port) for _ in range(200)]
    for client in clients:
        client.sendall(HEADER[:5])
    began = time.monotonic()
    status, out = bed.run("ping", peer.addr, "--json")[:2]
    same(status, 0, "ping")
    want(time.monotonic() - began < 1, "it took longer than a second")
    same(json.loads(out.splitlines()[-1])["received"], 1, "answers")
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
