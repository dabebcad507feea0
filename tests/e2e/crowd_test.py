"""Many clients at once: none is lost."""
import hashlib
import socket
import threading
import time

from peers import digest, echo, exchange, main, pattern, read_exactly, same, speaks, test, until, want


def burst(bed, count):
    """Opens them all before the first byte goes; each must hear its own echo."""
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    barrier = threading.Barrier(count)
    failures = []

    def one(number):
        text = f"client {number}".encode() * 20
        try:
            barrier.wait(60)
            with socket.create_connection(("127.0.0.1", port), 60) as client:
                if exchange(client, text) != text:
                    failures.append(f"{number}: another echo")
        except (OSError, threading.BrokenBarrierError) as why:
            failures.append(f"{number}: {why}")

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    same(failures, [], f"failures of {count}")
    same(service.clients, count, "connections at the service")


@test
def none_of_200_connections_at_once_is_lost(bed):
    burst(bed, 200)


@test
def none_of_400_connections_at_once_is_lost(bed):
    burst(bed, 400)


@test
def eight_workers_lose_none_of_800_connections(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    failures = []

    def work():
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", port), 20) as client:
                    if not speaks(client):
                        failures.append("another echo")
            except (OSError, AssertionError) as why:
                failures.append(str(why))

    workers = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    same(failures, [], "failures")


@test
def four_hundred_and_fifty_tunnels_stay_open_side_by_side(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    clients = [bed.connect(port) for _ in range(450)]
    for client in clients:
        want(speaks(client))
    for client in clients:
        want(speaks(client, b"still here"))


@test
def more_tunnels_than_one_connection_carries_wait_or_end_alone(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port, "--tunnel-wait", "1s")
    clients = [bed.connect(port) for _ in range(1100)]
    served = 0
    for client in clients:
        try:
            served += speaks(client)
        except (ConnectionError, AssertionError):
            pass
    # One connection carries 500 streams of ours: rust-libp2p would end it at its 513th.
    want(served >= 495, f"only {served} of 1100 are served")
    want(speaks(clients[0], b"first"), "the first tunnel was cut by the last")
    same(len(consumer.find("connection closed")), 0, "connections that were closed")


@test
def tunnels_that_wait_for_room_get_it_when_others_end(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    clients = [bed.connect(port) for _ in range(600)]
    first, late = clients[:480], clients[520:]
    for client in first:
        want(speaks(client))
    for client in first[:200]:
        client.close()
    for client in late:
        want(speaks(client, b"after some time"))
    want(speaks(first[300], b"still here"))


@test
def eight_big_streams_at_once_arrive_whole(bed):
    service = bed.service(digest)
    provider, consumer, port = bed.pair("digest", service.port)
    answers = {}

    def one(number):
        data = pattern(4_000_000, b"%d" % number)
        with socket.create_connection(("127.0.0.1", port), 60) as client:
            answers[number] = exchange(client, data).decode() == f"{len(data)} {hashlib.sha256(data).hexdigest()}"

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    same(answers, {n: True for n in range(8)})


if __name__ == "__main__":
    main()
