"""Interrupts and terminations: what runs may end, then everything closes in order."""
import signal
import socket
import threading
import time

from peers import (echo, exchange, how_it_ends, main, pattern, read_all, read_exactly, refused_at, same, speaks, test, until, want)

TUNNELS = 100


def stop_in_time(peer, number, most=7.0):
    began = time.monotonic()
    same(peer.stop(number), 0, f"exit status of {peer.name}")
    took = time.monotonic() - began
    want(took < most, f"{peer.name} took {took:.1f} s to end")
    return took


def with_live_tunnels(bed, number, which):
    ends = []

    def serve(client):
        client.sendall(client.recv(5))
        ends.append(how_it_ends(client, 30)[0])

    service = bed.service(serve)
    provider, consumer, port = bed.pair("echo", service.port)
    clients = [bed.connect(port) for _ in range(TUNNELS)]
    for client in clients:
        client.sendall(b"hello")
    for client in clients:
        same(read_exactly(client, 5), b"hello")
    peer = provider if which == "provider" else consumer
    stop_in_time(peer, number)
    same([how_it_ends(client)[0] for client in clients], ["eof"] * TUNNELS, "how the clients see it end")
    for client in clients:
        client.close()
    until(lambda: len(ends) == TUNNELS, "the service sees every end")
    same(ends, ["eof"] * TUNNELS, "how the service sees it end")
    peer.saw("shutting down")
    same(peer.saw("shutting down tunnel tasks").fields["count"], str(TUNNELS))
    peer.saw("running tunnels cut, they did not end in time")


@test
def an_interrupted_consumer_ends_100_live_tunnels_without_a_reset(bed):
    with_live_tunnels(bed, signal.SIGINT, "consumer")


@test
def a_terminated_provider_ends_100_live_tunnels_without_a_reset(bed):
    with_live_tunnels(bed, signal.SIGTERM, "provider")


@test
def without_tunnels_both_signals_end_a_peer_at_once(bed):
    for number in (signal.SIGINT, signal.SIGTERM):
        peer = bed.peer(f"peer{int(number)}")
        want(stop_in_time(peer, number) < 2, "that was not at once")
        peer.saw("shutting down")
        moved = peer.saw("phase transition", to="ShuttingDown")
        same(moved.fields["event"], '"ShutdownRequested"')


@test
def a_running_transfer_ends_cleanly_within_the_drain_time(bed):
    size = 3_000_000
    data = pattern(size)

    def slowly(client):
        for at in range(0, size, 200_000):
            client.sendall(data[at:at + 200_000])
            time.sleep(0.1)
        client.shutdown(socket.SHUT_WR)
        read_all(client)

    for which, number in (("consumer", signal.SIGTERM), ("provider", signal.SIGINT)):
        service = bed.service(slowly)
        provider = bed.peer(f"provider-{which}", "--expose", f"slow=127.0.0.1:{service.port}")
        consumer = bed.peer(f"consumer-{which}", "--bootstrap", provider.addr,
                            "--tunnel", f"{provider.id}:slow@127.0.0.1:0")
        client = bed.connect(consumer.tunnel_port("slow"))
        came = read_exactly(client, 1000)
        peer = consumer if which == "consumer" else provider
        peer.send(number)
        peer.saw("shutting down")
        came += read_all(client)
        want(came == data, f"{len(came)} bytes of {size} came, {which} stopped")
        client.close()
        same(peer.wait(), 0, "exit status")
        peer.saw("running tunnels have ended")
        (provider if which == "consumer" else consumer).stop()


@test
def a_stopping_peer_takes_no_new_clients_and_a_stopping_provider_says_so(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    live = bed.connect(port)
    want(speaks(live))
    provider.send(signal.SIGTERM)
    provider.saw("shutting down")
    same(refused_at(port)[1], b"")
    want("shutting down" in consumer.saw("client tunnel rejected").fields["reason"])
    want(speaks(live), "the running tunnel has died")
    live.close()
    same(provider.wait(), 0, "exit status")


@test
def a_second_signal_ends_the_draining(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    live = bed.connect(port)
    want(speaks(live))
    consumer.send(signal.SIGINT)
    consumer.saw("shutting down")
    want(speaks(live))
    want(stop_in_time(consumer, signal.SIGINT) < 2, "the second signal had no effect")
    same(how_it_ends(live)[0], "eof")


if __name__ == "__main__":
    main()
