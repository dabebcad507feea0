"""Tunnels: echo, three peers, refusals with their reasons, half-closes, byte counts."""
import hashlib
import socket
import struct
import subprocess
import threading
import time

from peers import (Service, digest, echo, exchange, free_port, how_it_ends, main, pattern, read_all, refused_at, same, source, speaks,
                   test, until, want)

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@test
def an_echo_comes_back_through_the_tunnel(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    want(speaks(bed.connect(port)))
    same(service.clients, 1, "connections at the service")
    provider.saw("tunnel accepted", peer_id=consumer.id, service="echo")


@test
def three_peer_tunnel(bed):
    service = bed.service(echo)
    a = bed.peer("a")
    b = bed.peer("b", "--bootstrap", a.addr, "--expose", f"echo=127.0.0.1:{service.port}")
    c = bed.peer("c", "--bootstrap", a.addr, "--bootstrap", b.addr, "--tunnel", f"{b.id}:echo@127.0.0.1:0")
    client = bed.connect(c.tunnel_port("echo"))
    want(speaks(client, b"hello punchgate!"))
    a.connected(b)
    a.connected(c)


@test
def two_services_and_two_tunnels_do_not_mix(bed):
    one, two = bed.service(echo), bed.service(digest)
    try:
        name = socket.gethostbyname("localhost") and "localhost"
    except OSError:
        name = "127.0.0.1"  # a bare chroot knows no names
    provider = bed.peer("provider", "--expose", f"one=127.0.0.1:{one.port}", "--expose", f"two={name}:{two.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:one@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:two@127.0.0.1:0")
    want(speaks(bed.connect(consumer.tunnel_port("one"))))
    answer = exchange(bed.connect(consumer.tunnel_port("two")), b"abc")
    same(answer.decode(), f"3 {hashlib.sha256(b'abc').hexdigest()}")


@test
def both_peers_may_offer_and_use_at_once(bed):
    service = bed.service(echo)
    expose = f"echo=127.0.0.1:{service.port}"
    b_port = free_port()
    a = bed.peer("a", "--expose", expose)
    b = bed.peer("b", "--expose", expose, "--bootstrap", a.addr, "--tunnel", f"{a.id}:echo@127.0.0.1:{b_port}")
    with bed.connect(b_port) as client:
        want(speaks(client))
    a.stop()
    again = bed.peer("a2", "--expose", expose, "--bootstrap", b.addr, "--tunnel", f"{b.id}:echo@127.0.0.1:0", key="a")
    want(speaks(bed.connect(again.tunnel_port("echo"))))


@test
def an_unknown_service_is_refused_with_a_reason_in_both_logs(bed):
    service = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:nope@127.0.0.1:0")
    same(refused_at(consumer.tunnel_port("nope"))[1], b"", "bytes for the client")
    seen = provider.saw("tunnel rejected", peer_id=consumer.id, service="nope")
    same((seen.level, seen.fields["reason"]), ("WARN", '"unknown service"'))
    seen = consumer.saw("client tunnel rejected", service="nope", reason="unknown service: nope")
    same(seen.level, "WARN")


@test
def a_service_that_is_down_is_refused_with_a_reason_that_reaches_the_consumer(bed):
    provider, consumer, port = bed.pair("echo", free_port())
    same(refused_at(port)[1], b"", "bytes for the client")
    seen = consumer.saw("client tunnel rejected", service="echo")
    want("refused" in seen.fields["reason"] or "reached" in seen.fields["reason"], seen.text)
    provider.saw("tunnel rejected", service="echo")


@test
def the_same_tunnel_works_once_its_service_is_up(bed):
    port = free_port()
    provider, consumer, tunnel = bed.pair("echo", port)
    refused_at(tunnel)
    consumer.saw("client tunnel rejected")
    bed.services.append(Service(echo, port))
    want(speaks(bed.connect(tunnel)))


@test
def a_half_close_keeps_the_other_direction_up_for_1_byte_to_40_MB(bed):
    service = bed.service(digest)
    provider, consumer, port = bed.pair("digest", service.port)
    for size in (0, 1, 2, 1000, 65_507, 65_508, 262_144, 5_000_001, 40_000_000):
        data = pattern(size)
        answer = exchange(bed.connect(port), data).decode()
        same(answer, f"{size} {hashlib.sha256(data).hexdigest()}", f"answer after {size} bytes")


@test
def a_half_close_of_the_service_keeps_the_client_talking_for_1_byte_to_40_MB(bed):
    service = bed.service(source)
    provider, consumer, port = bed.pair("source", service.port)
    for size in (1, 65_507, 262_145, 40_000_000):
        client = bed.connect(port)
        client.sendall(f"{size}\n".encode())
        same(read_all(client), pattern(size), f"{size} bytes")
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        same(how_it_ends(client), ("eof", b""))
        provider.saw("tunnel closed", bytes_to_service=len(f"{size}\n") + 10, bytes_from_service=size)
        until(lambda: source.after == b"still here", f"the service reads on after its end of {size} bytes")


@test
def netcat_reads_the_reply_after_its_own_end(bed):
    service = bed.service(digest)
    provider, consumer, port = bed.pair("digest", service.port)
    done = subprocess.run(["nc", "-N", "127.0.0.1", str(port)], input=b"hello", capture_output=True, timeout=20)
    same(done.stdout.decode(), f"5 {hashlib.sha256(b'hello').hexdigest()}")


@test
def both_directions_carry_at_once_what_was_sent(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    data = pattern(20_000_000)
    want(exchange(bed.connect(port), data) == data, "the echo of 20 MB differs")


@test
def the_bytes_in_both_logs_equal_what_was_sent(bed):
    service = bed.service(digest)
    provider, consumer, port = bed.pair("digest", service.port)
    answer = exchange(bed.connect(port), pattern(123_456))
    sent, came = 123_456, len(answer)
    provider.saw("tunnel closed", peer_id=consumer.id, service="digest", bytes_to_service=sent, bytes_from_service=came)
    consumer.saw("client tunnel closed", service="digest", bytes_to_remote=sent, bytes_from_remote=came)


@test
def a_service_that_closes_at_once_ends_the_client_cleanly(bed):
    service = bed.service(lambda client: None)
    provider, consumer, port = bed.pair("short", service.port)
    client = bed.connect(port)
    same(how_it_ends(client), ("eof", b""))
    client.close()
    consumer.saw("client tunnel closed", service="short")


@test
def a_service_that_never_reads_stops_its_client_and_nobody_else(bed):
    hold = threading.Event()
    stuck = bed.service(lambda client: hold.wait(60))
    fine = bed.service(echo)
    provider = bed.peer("provider", "--expose", f"stuck=127.0.0.1:{stuck.port}", "--expose", f"echo=127.0.0.1:{fine.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:stuck@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    client = bed.connect(consumer.tunnel_port("stuck"))
    client.setblocking(False)
    sent, idle = 0, 0
    while idle < 20 and sent < 256 << 20:
        try:
            sent += client.send(bytes(1 << 18))
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.05)
    want(sent < 200 << 20, f"{sent} bytes were taken although the service reads none")
    want(speaks(bed.connect(consumer.tunnel_port("echo"))), "another tunnel is stuck, too")
    client.close()
    hold.set()


@test
def a_reset_by_the_client_reaches_the_service_and_the_reverse(bed):
    ends = []

    def listen(client):
        ends.append(how_it_ends(client)[0])

    def reset(client):
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    service, resetting = bed.service(listen), bed.service(reset)
    provider = bed.peer("provider", "--expose", f"listen=127.0.0.1:{service.port}",
                        "--expose", f"reset=127.0.0.1:{resetting.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:listen@127.0.0.1:0",
                        "--tunnel", f"{provider.id}:reset@127.0.0.1:0")
    client = bed.connect(consumer.tunnel_port("listen"))
    client.sendall(b"x")
    provider.saw("tunnel accepted", service="listen")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.close()
    until(lambda: ends, "the service sees the end")
    same(ends, ["reset"])
    client = bed.connect(consumer.tunnel_port("reset"))
    client.sendall(b"x")
    same(how_it_ends(client)[0], "reset")
    consumer.saw("client tunnel error", service="reset")


if __name__ == "__main__":
    main()
