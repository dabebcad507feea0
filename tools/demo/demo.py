#!/usr/bin/env python3
"""Shows punchgate at work on this machine: two peers, a service, bytes through the tunnel, and what it costs.

    demo.py [--punchgate build/punchgate] [--mib 256]

Peers, services and files are this program's own and end with it. Every byte is checked: status 1 when one is wrong.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PIECE = 1 << 20
READY_SECONDS = 20
STEP_SECONDS = 60


class Failed(Exception):
    pass


# ---- services ---------------------------------------------------------------------------------------------------


def echo(client):
    while data := client.recv(65536):
        client.sendall(data)
    client.shutdown(socket.SHUT_WR)


def bulk(client):
    """One line says what to do: `get N` wants N MiB of the pattern, `put` reads to the end and tells its digest."""
    line = b""
    while not line.endswith(b"\n"):
        line += client.recv(1)
    words = line.split()
    if words[0] == b"get":
        for number in range(int(words[1])):
            client.sendall(block(number))
        client.shutdown(socket.SHUT_WR)
        return
    sha = hashlib.blake2b()
    while data := client.recv(PIECE):
        sha.update(data)
    client.sendall(sha.hexdigest().encode())


BASE = hashlib.shake_128(b"punchgate").digest(PIECE)


def block(number):
    """A MiB of the pattern: noise, with its number at the start so that no two are alike."""
    return number.to_bytes(8, "big") + BASE[8:]


def serve(handler):
    """A TCP service in threads; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def one(client):
        with client, contextlib.suppress(OSError):
            handler(client)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


# ---- peers ------------------------------------------------------------------------------------------------------


class Peer:
    def __init__(self, program, folder, name, *arguments):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--identity", folder / f"{name}.key", "--listen", "/ip4/127.0.0.1/tcp/0", "--ready-json", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=clean_environment())
        if not select.select([self.process.stdout], [], [], READY_SECONDS)[0]:
            raise Failed(f"{name} was not ready within {READY_SECONDS} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{name} ended before it was ready:\n{self.log.read_text()}")
        said = json.loads(line)
        self.id, self.addr = said["peer"], said["addrs"][0]

    def tunnel_port(self, service):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            for line in self.log.read_text().splitlines():
                if "tunnel listening" in line and f"service_name={service} " in line:
                    return int(line.rsplit(":", 1)[1])
            time.sleep(0.02)
        raise Failed(f"{self.name} did not open the tunnel to {service}")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process.stdout.close()
        return status


def clean_environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("PUNCHGATE", "RUST_LOG"))} | {"PUNCHGATE_NO_MDNS": "1"}


# ---- what is shown ----------------------------------------------------------------------------------------------


def dial(port):
    return socket.create_connection(("127.0.0.1", port), STEP_SECONDS)


def show(what, done, mib, began):
    seconds = max(time.monotonic() - began, 1e-6)
    bar = "#" * int(30 * done / mib)
    if sys.stdout.isatty():
        print(f"\r  {what:<5} [{bar:<30}] {done:4} of {mib} MiB, {done * 1.048576 / seconds:5.0f} MB/s", end="", flush=True)
        if done == mib:
            print(flush=True)
    elif done == mib or done % max(1, mib // 4) == 0:
        print(f"  {what:<5} {done:4} of {mib} MiB, {done * 1.048576 / seconds:5.0f} MB/s", flush=True)


def down(port, mib):
    with dial(port) as client:
        began = time.monotonic()
        client.sendall(b"get %d\n" % mib)
        for number in range(mib):
            data = bytearray()
            while len(data) < PIECE:
                piece = client.recv(PIECE - len(data))
                if not piece:
                    raise Failed(f"the download ended after {number} MiB")
                data += piece
            if data != block(number):
                raise Failed(f"MiB {number} of the download is not what was sent")
            show("down", number + 1, mib, began)
        if client.recv(1):
            raise Failed("the download brought more than was asked for")
        return mib * PIECE / (time.monotonic() - began)


def up(port, mib):
    sha = hashlib.blake2b()
    for number in range(mib):
        sha.update(block(number))
    with dial(port) as client:
        began = time.monotonic()
        client.sendall(b"put\n")
        for number in range(mib):
            client.sendall(block(number))
            show("up", number + 1, mib, began)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(1000):
            answer += data
        if answer.decode() != sha.hexdigest():
            raise Failed("the service got other bytes than were sent")
        return mib * PIECE / (time.monotonic() - began)


def round_trips(port, count=2000):
    times = []
    with dial(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(count):
            text = b"%064d" % number
            began = time.perf_counter()
            client.sendall(text)
            came = b""
            while len(came) < 64:
                came += client.recv(64 - len(came))
            times.append(time.perf_counter() - began)
            if came != text:
                raise Failed("another echo came back")
    times.sort()
    return times[count // 2] * 1e6, times[count * 99 // 100] * 1e6


def connections(port, count=2000, workers=8):
    """New tunnel connections, each with an echo, by several workers at once: (per second, lost)."""
    lost = []

    def work():
        for _ in range(count // workers):
            try:
                with dial(port) as client:
                    client.sendall(b"hello")
                    if client.recv(5) != b"hello":
                        lost.append("no echo")
            except OSError as why:
                lost.append(str(why))

    began = time.monotonic()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.monotonic() - began), lost


def greet(port):
    with dial(port) as client:
        client.sendall(b"hello punchgate")
        client.shutdown(socket.SHUT_WR)
        came = b""
        while data := client.recv(100):
            came += data
    if came != b"hello punchgate":
        raise Failed(f"sent 'hello punchgate', but {came!r} came back")
    print("\nsent      hello punchgate\nreceived  hello punchgate\n", flush=True)


def demonstrate(program, folder, mib, peers):
    echo_port, bulk_port = serve(echo), serve(bulk)
    print(f"an echo service at 127.0.0.1:{echo_port}, a bulk service at 127.0.0.1:{bulk_port}", flush=True)
    provider = Peer(program, folder, "provider", "--expose", f"echo=127.0.0.1:{echo_port}", "--expose", f"bulk=127.0.0.1:{bulk_port}")
    peers.append(provider)
    print(f"provider  {provider.addr}", flush=True)
    began = time.monotonic()
    consumer = Peer(program, folder, "consumer", "--bootstrap", provider.addr,
                    "--tunnel", f"{provider.id}:echo@127.0.0.1:0", "--tunnel", f"{provider.id}:bulk@127.0.0.1:0")
    peers.append(consumer)
    echo_tunnel, bulk_tunnel = consumer.tunnel_port("echo"), consumer.tunnel_port("bulk")
    print(f"consumer  {consumer.addr}\ntunnels   echo at 127.0.0.1:{echo_tunnel}, bulk at 127.0.0.1:{bulk_tunnel}", flush=True)
    greet(echo_tunnel)
    first_byte = (time.monotonic() - began) * 1000
    cpu = provider.cpu_seconds() + consumer.cpu_seconds()
    came, went = down(bulk_tunnel, mib), up(bulk_tunnel, mib)
    cpu = provider.cpu_seconds() + consumer.cpu_seconds() - cpu
    middle, slow = round_trips(echo_tunnel)
    rate, lost = connections(echo_tunnel)
    print(f"""
| what                                         | here               |
| -------------------------------------------- | ------------------ |
| consumer's start to its first echo           | {first_byte:9.0f} ms       |
| one stream down                              | {came / 1e6:9.0f} MB/s     |
| one stream up                                | {went / 1e6:9.0f} MB/s     |
| processor time of both peers for a GiB       | {cpu / (2 * mib / 1024):9.1f} s        |
| round trip of 64 bytes, median               | {middle:9.0f} µs       |
| round trip of 64 bytes, 99 of 100 within     | {slow:9.0f} µs       |
| new connections, 8 at a time                 | {rate:9.0f} a second |
| connections lost                             | {len(lost):9}          |
| memory of provider and consumer              | {provider.resident_mib():4.0f} and {consumer.resident_mib():.0f} MiB    |
""", flush=True)
    if lost:
        raise Failed(f"{len(lost)} connections were lost, the first one: {lost[0]}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--punchgate", default="build/punchgate", help="the program (%(default)s)")
    arguments.add_argument("--mib", type=int, default=256, help="MiB each way (%(default)s)")
    chosen = arguments.parse_args()
    program = str(pathlib.Path(chosen.punchgate).resolve())
    if not os.access(program, os.X_OK):
        sys.exit(f"demo: {chosen.punchgate} is not there; make builds it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peers, status = [], 0
    with tempfile.TemporaryDirectory(prefix="pg-demo-") as folder:
        try:
            demonstrate(program, pathlib.Path(folder), chosen.mib, peers)
        except (Failed, OSError) as why:
            print(f"demo: {why}", file=sys.stderr)
            status = 1
        finally:
            for peer in reversed(peers):
                ended = peer.end()
                if ended != 0 and status == 0:
                    print(f"demo: {peer.name} ended with status {ended}", file=sys.stderr)
                    status = 1
            if status:
                for peer in peers:
                    print(f"--- {peer.name}\n" + "\n".join(peer.log.read_text().splitlines()[-15:]), file=sys.stderr)
    print("done; both peers have ended" if status == 0 else "the demo has failed", flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
