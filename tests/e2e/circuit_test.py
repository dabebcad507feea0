"""Commands and tunnels over a relay: what passes, what is said when nothing does, and what becomes of it when the relay dies."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

from peers import PUNCHGATE, digest, echo, main, same, test, until, want

A_STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
MANY = 100 * 1024 * 1024


def a_relay(bed, *more, port=0, name="relay"):
    return bed.peer(name, "--nat-status", "public", *more, listen=f"/ip4/127.0.0.1/tcp/{port}")


def behind(bed, relay, *more, name="provider"):
    """A peer that can be reached over the relay alone, and its address there."""
    peer = bed.peer(name, "--nat-status", "private", "--bootstrap", relay.addr, *more)
    peer.saw("relay reservation accepted via " + relay.id)
    return peer, f"{relay.addr}/p2p-circuit/p2p/{peer.id}"


def status(bed, peer):
    code, out, error = bed.run("status", "--identity", peer.key, "--json")
    same(code, 0, error)
    return json.loads(out)


def send_all(client, n):
    """n bytes of a pattern, in a thread; the digest is there when it is joined."""
    sum_of = hashlib.sha256()

    def run():
        left, block = n, os.urandom(1 << 20)
        while left:
            piece = block[:min(left, len(block))]
            client.sendall(piece)
            sum_of.update(piece)
            left -= len(piece)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, sum_of


def read_all(client, patience=240):
    sum_of, n = hashlib.sha256(), 0
    client.settimeout(patience)
    while piece := client.recv(1 << 20):
        sum_of.update(piece)
        n += len(piece)
    return n, sum_of.hexdigest()


@test
def commands_reach_a_peer_over_a_relay(bed):
    service = bed.service(echo)
    relay = a_relay(bed)
    provider, address = behind(bed, relay, "--expose", f"echo=127.0.0.1:{service.port}")
    code, out, error = bed.run("ping", address, "--count", "3", "--json")
    same(code, 0, error)
    same(json.loads(out.splitlines()[-1]), {"event": "summary", "sent": 3, "received": 3})
    code, out, error = bed.run("identify", address, "--json")
    same(code, 0, error)
    said = json.loads(out)
    same(said["peer"], provider.id)
    want("/p2p-circuit" in said["observed_addr"], said["observed_addr"])
    code, out, error = bed.run("perf", address, "--up", "3000000", "--down", "3000000", "--json", patience=60)
    same(code, 0, error)
    text = os.urandom(200000)
    done = subprocess.run([PUNCHGATE, "pipe", "--path", "relay", f"{address}:echo"], input=text, capture_output=True, timeout=60, cwd=bed.path, env=bed.environment(RUST_LOG="off"))
    same((done.returncode, done.stdout == text), (0, True), done.stderr)


@test
def a_tunnel_over_a_relay_carries_100_mib_and_each_half_ends_alone(bed):
    service = bed.service(echo)
    relay = a_relay(bed)
    provider, address = behind(bed, relay, "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--tunnel", f"{address}:echo@127.0.0.1:0", "--path", "relay")
    consumer.connected(provider)
    client = bed.connect(consumer.tunnel_port("echo"))
    sender, sent = send_all(client, MANY)
    n, got = read_all(client)
    sender.join(60)
    same((n, got), (MANY, sent.hexdigest()), "bytes that came back")
    over = [c for c in status(bed, consumer)["connections"] if c["peer"] == provider.id]
    same(len(over), 1, f"connections to the provider, {over}")
    same(over[0]["relay"], relay.id)
    want(over[0]["remote"] == f"{relay.addr}/p2p-circuit" and over[0]["limit_s"] == 3600 and "limit_bytes" not in over[0], f"{over[0]}")


@test
def with_path_relay_a_tunnel_goes_over_the_relay_although_a_direct_connection_stands(bed):
    service = bed.service(echo)
    relay = a_relay(bed)
    provider, address = behind(bed, relay, "--expose", f"echo=127.0.0.1:{service.port}")
    direct = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{address}:echo@127.0.0.1:0", "--path", "relay")
    direct.connected(provider)
    client = bed.connect(direct.tunnel_port("echo"))
    client.sendall(b"hello")
    same(client.recv(5), b"hello")
    over = [c for c in status(bed, direct)["connections"] if c.get("relay") == relay.id and c["peer"] == provider.id]
    same(len(over), 1, "relayed connections to the provider")


@test
def a_relay_that_is_killed_in_mid_transfer_ends_clients_and_is_used_again(bed):
    service = bed.service(echo)
    relay = a_relay(bed)
    provider, address = behind(bed, relay, "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--tunnel", f"{address}:echo@127.0.0.1:0", "--path", "relay")
    consumer.connected(provider)
    port = consumer.tunnel_port("echo")
    client = bed.connect(port)
    client.sendall(b"x" * 100000)
    want(client.recv(1000), "nothing came back")
    relay.kill()
    client.settimeout(30)
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    consumer.saw("relayed connection lost", peer=provider.id)
    provider.saw("relayed connection lost", peer=consumer.id)
    a_relay(bed, port=relay.port)
    again = len(provider.find("relay reservation accepted via " + relay.id))
    until(lambda: len(provider.find("relay reservation accepted via " + relay.id)) > again, "the provider reserves again", 60)

    def works():
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as fresh:
                fresh.settimeout(20)
                fresh.sendall(b"hello")
                return fresh.recv(5) == b"hello"
        except OSError:
            return False

    until(works, "a new client is served", 90)


@test
def a_dial_waits_for_the_reservation_and_says_when_there_is_none(bed):
    relay = a_relay(bed)
    same(bed.run("key", "new", "--out", bed.path / "provider.key")[0], 0)
    code, out, _ = bed.run("id", "--identity", bed.path / "provider.key")
    address = f"{relay.addr}/p2p-circuit/p2p/{out.strip()}"
    early = subprocess.Popen([PUNCHGATE, "ping", address, "--count", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=bed.path,
                             env=bed.environment(RUST_LOG="off"))
    bed.processes.append(early)
    time.sleep(2)
    same(early.poll(), None, "it has not given up")
    behind(bed, relay)
    same(early.wait(30), 0)
    code, out, error = bed.run("ping", f"{relay.addr}/p2p-circuit/p2p/{A_STRANGER}", "--count", "1", RUST_LOG="off", patience=60)
    same((code, out), (69, ""))
    want(": Relay has no reservation for destination; " in error and len(error.splitlines()) == 1, error)


@test
def what_a_relay_lets_through_is_shown_and_told_at_the_end(bed):
    relay = a_relay(bed, "--relay-bytes", "300000", "--relay-duration", "60s")
    provider, address = behind(bed, relay)
    consumer = bed.peer("consumer", "--bootstrap", address)
    consumer.connected(provider)
    over = next(c for c in status(bed, consumer)["connections"] if c["peer"] == provider.id)
    same((over["limit_bytes"], over["limit_s"]), (300000, 60))
    want(0 < over["limit_bytes_left"] < 300000 and 0 < over["limit_s_left"] <= 60, f"{over}")
    code, _, error = bed.run("perf", address, "--up", "2000000", "--down", "1", RUST_LOG="off", patience=60)
    same(code, 69)
    want("lets no more than 300000 bytes through a circuit" in error, error)


@test
def addresses_that_lead_nowhere_are_refused_before_anything_is_dialled(bed):
    relay = f"/ip4/127.0.0.1/tcp/1/p2p/{A_STRANGER}"
    other = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
    for address, words in ((f"{relay}/p2p-circuit/p2p/{A_STRANGER}", "a relay is no way to itself"),
                           (f"{relay}/p2p-circuit", "the peer behind the relay is not named"),
                           (f"{relay}/p2p-circuit/p2p/{other}/p2p-circuit/p2p/{other}", "repeats /p2p or /p2p-circuit"),
                           (f"/ip4/127.0.0.1/tcp/1/p2p-circuit/p2p/{other}", "the relay before /p2p-circuit has to be named"),
                           (f"/ip4/127.0.0.1/udp/1/quic-v1/p2p/{A_STRANGER}/p2p-circuit/p2p/{other}", "only TCP is spoken so far")):
        code, out, error = bed.run("ping", address)
        same((code, out), (2, ""), address)
        want(words in error and len(error.splitlines()) == 1, error)
    name = f"/dns4/relay.invalid/tcp/4001/p2p/{A_STRANGER}/p2p-circuit/p2p/{other}"
    code, _, _ = bed.run("check", "--bootstrap", name, "--tunnel", f"{name}:echo@127.0.0.1:0")
    same(code, 0, "a relay may have a name")


main()
