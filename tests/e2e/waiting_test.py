"""Peers that come late, die, come back, or are not who they should be."""
import signal
import socket
import struct
import threading
import time

from dialer import ACK, DATA, PING, Dialer, Key
from peers import PATIENCE, echo, free_port, how_it_ends, main, read_exactly, refused_at, same, speaks, test, until, want

A_STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


def learn_id(bed, name):
    """The peer id of an identity file that a peer makes and leaves behind."""
    peer = bed.peer(name)
    peer.stop()
    return peer.id


@test
def a_client_that_comes_early_waits_for_the_provider(bed):
    service = bed.service(echo)
    provider_id, port = learn_id(bed, "provider"), free_port()
    consumer = bed.peer("consumer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{port}/p2p/{provider_id}",
                        "--tunnel", f"{provider_id}:echo@127.0.0.1:0")
    client = bed.connect(consumer.tunnel_port("echo"))
    client.sendall(b"early")
    consumer.saw("local client waits for its peer", service="echo")
    bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", listen=f"/ip4/127.0.0.1/tcp/{port}")
    same(read_exactly(client, 5), b"early")


class Silent(Dialer):
    """A peer that says nothing on any stream of ours, but keeps the connection."""
    asked = 0

    def step(self):
        version, kind, flags, stream, length = struct.unpack(">BBHII", self.read(12))
        body = self.read(length) if kind == DATA else b""
        self.asked += b"/punchgate/tunnel/" in body
        if kind == PING and not flags & ACK:
            self.frame(PING, ACK, 0, length)


@test
def a_stream_that_stays_silent_on_a_living_connection_is_asked_for_again(bed):
    key = Key()
    consumer = bed.peer("consumer", "--tunnel", f"{key.peer_id}:echo@127.0.0.1:0", "--tunnel-wait", "40s")
    peer = Silent(consumer.port, key, patience=PATIENCE)
    bed.sockets.append(peer.socket)
    peer.upgrade()
    consumer.saw("connection opened", peer=key.peer_id)
    bed.connect(consumer.tunnel_port("echo"))
    end = time.monotonic() + 2 * PATIENCE
    while peer.asked < 2 and time.monotonic() < end:  # the first is given up after 10 s
        peer.step()
    same(peer.asked, 2, "requests")


@test
def an_early_client_is_closed_after_tunnel_wait_with_a_logged_reason(bed):
    consumer = bed.peer("consumer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{free_port()}/p2p/{A_STRANGER}",
                        "--tunnel", f"{A_STRANGER}:echo@127.0.0.1:0", "--tunnel-wait", "1s")
    began = time.monotonic()
    client = bed.connect(consumer.tunnel_port("echo"))
    same(how_it_ends(client)[1], b"")
    waited = time.monotonic() - began
    want(0.9 < waited < 4, f"closed after {waited:.2f} s")
    seen = consumer.saw("local client closed, its peer did not come in time", service="echo", peer=A_STRANGER)
    same(seen.level, "WARN")


@test
def an_early_client_that_leaves_is_forgotten(bed):
    consumer = bed.peer("consumer", "--tunnel", f"{A_STRANGER}:echo@127.0.0.1:0", "--tunnel-wait", "1s")
    client = bed.connect(consumer.tunnel_port("echo"))
    consumer.saw("local client waits for its peer")
    client.close()
    time.sleep(1.5)
    bed.connect(consumer.tunnel_port("echo"))  # the forward is still there
    until(lambda: len(consumer.find("local client waits for its peer")) == 2, "the second client waits")


def a_provider_to_be_killed(bed):
    """What starts it, again and again at one port; the provider, its consumer and the port of the tunnel."""
    service, port = bed.service(echo), free_port()

    def start():
        return bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", listen=f"/ip4/127.0.0.1/tcp/{port}")

    provider = start()
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    return start, provider, consumer, consumer.tunnel_port("echo")


@test
def a_killed_provider_that_comes_back_is_used_by_the_same_consumer(bed):
    start, provider, consumer, tunnel = a_provider_to_be_killed(bed)
    live = bed.connect(tunnel)
    want(speaks(live))
    provider.kill()
    how_it_ends(live)
    consumer.saw("connection closed", peer=provider.id)
    waiting = bed.connect(tunnel)
    waiting.sendall(b"are you back?")
    back = start()
    same(back.id, provider.id, "peer id after the restart")
    same(read_exactly(waiting, 13), b"are you back?")
    want(speaks(bed.connect(tunnel)))
    same(consumer.process.poll(), None)


@test
def clients_that_came_in_vain_do_not_cost_the_next_one_its_wait(bed):
    start, provider, consumer, tunnel = a_provider_to_be_killed(bed)
    want(speaks(bed.connect(tunnel)))
    provider.kill()
    consumer.saw("connection closed", peer=provider.id)
    for _ in range(40):
        bed.connect(tunnel).close()
    dials = len(consumer.find("dialing"))
    want(dials < 10, f"{dials} dials for 40 clients")
    waiting = bed.connect(tunnel)
    waiting.sendall(b"are you back?")
    start()
    same(read_exactly(waiting, 13), b"are you back?")


@test
def a_bootstrap_that_is_down_at_start_is_dialled_until_it_comes(bed):
    service = bed.service(echo)
    provider_id, port = learn_id(bed, "provider"), free_port()
    consumer = bed.peer("consumer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{port}/p2p/{provider_id}",
                        "--tunnel", f"{provider_id}:echo@127.0.0.1:0")
    consumer.saw("outgoing connection error", peer=provider_id)
    consumer.saw("scheduling bootstrap reconnect", peer_id=provider_id)
    consumer.saw("attempting bootstrap reconnect", peer_id=provider_id)
    consumer.saw("reconnect dial failed", peer_id=provider_id)
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", listen=f"/ip4/127.0.0.1/tcp/{port}")
    consumer.connected(provider)
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))


@test
def reconnects_back_off(bed):
    consumer = bed.peer("consumer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{free_port()}/p2p/{A_STRANGER}")
    until(lambda: len(consumer.find("attempting bootstrap reconnect")) == 5, "five more tries", 30)
    delays = [int(e.fields["delay_secs"]) for e in consumer.find("scheduling bootstrap reconnect")]
    want(delays[0] == 0 and delays[1] in (0, 1) and delays[2] == 1 and delays[3] == 2 and 3 <= delays[4] <= 5, f"delays {delays}")


@test
def another_peer_at_the_address_of_a_pinned_one_is_never_used(bed):
    service = bed.service(echo)
    impostor = bed.peer("impostor", "--expose", f"echo=127.0.0.1:{service.port}")
    address = impostor.addr.replace(impostor.id, A_STRANGER)
    consumer = bed.peer("consumer", "--bootstrap", address, "--tunnel", f"{A_STRANGER}:echo@127.0.0.1:0",
                        "--tunnel-wait", "2s")
    client = bed.connect(consumer.tunnel_port("echo"))
    client.sendall(b"secret")
    same(how_it_ends(client)[1], b"", "bytes from the impostor")
    same(service.clients, 0, "clients of the impostor's service")
    seen = consumer.saw("outgoing connection error", peer=A_STRANGER)
    want("another peer" in seen.fields["error"], seen.text)
    same(consumer.find("connection opened"), [], "connections of the consumer")


@test
def a_connected_peer_with_the_same_service_does_not_stand_in_for_the_pinned_one(bed):
    service = bed.service(echo)
    other = bed.peer("other", "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--bootstrap", other.addr, "--tunnel", f"{A_STRANGER}:echo@127.0.0.1:0",
                        "--tunnel-wait", "1s")
    consumer.connected(other)
    same(refused_at(consumer.tunnel_port("echo"))[1], b"")
    same(service.clients, 0, "clients of the other peer's service")


@test
def a_slow_service_holds_up_its_own_clients_only(bed):
    # A listener whose queue is full takes no connection and refuses none.
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    bed.sockets += [full, *fillers]
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"slow=127.0.0.1:{full.getsockname()[1]}",
                        "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:slow@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    slow = bed.connect(consumer.tunnel_port("slow"))
    provider.saw("tunnel request", service="slow")
    began = time.monotonic()
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))
    want(time.monotonic() - began < 5, "the other tunnel had to wait, too")
    same(how_it_ends(slow, 30)[1], b"")
    seen = consumer.saw("client tunnel rejected", service="slow")
    want("in time" in seen.fields["reason"], seen.text)


@test
def clients_that_wait_for_a_free_stream_get_it_when_one_of_another_kind_ends(bed):
    service = bed.service(echo)
    small = bed.peer("small", "--expose", f"echo=127.0.0.1:{service.port}", "--max-streams", "16")
    big = bed.peer("big", "--bootstrap", small.addr, "--expose", f"echo=127.0.0.1:{service.port}", "--tunnel", f"{small.id}:echo@127.0.0.1:0")
    small.stop()
    small = bed.peer("small", "--expose", f"echo=127.0.0.1:{service.port}", "--max-streams", "16", "--tunnel-wait", "90s",
                     "--tunnel", f"{big.id}:echo@127.0.0.1:0", listen=small.addr.split("/p2p/")[0])
    big.saw("connection opened", peer=small.id)
    small.connected(big)
    inbound = [bed.connect(big.tunnel_port("echo")) for _ in range(7)]
    for client in inbound:
        want(speaks(client))
    outbound = [bed.connect(small.tunnel_port("echo")) for _ in range(8)]
    for client in outbound:
        client.sendall(b"now")
    small.saw("local client waits for its peer", service="echo")
    for client in inbound:
        client.close()
    for client in outbound:
        same(read_exactly(client, 3), b"now")


if __name__ == "__main__":
    main()
