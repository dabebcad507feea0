"""Ends that come at a bad moment: nothing hangs, nothing is left, nobody else notices."""
import os
import select
import signal
import socket
import struct
import subprocess
import time

from dialer import FIN, Dialer
from peers import BROKEN, PATIENCE, PUNCHGATE, echo, free_port, main, same, test, until, want

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def sink(client):
    while client.recv(65536):
        pass


def counter(bed, peer, name):
    import json
    status, out, _ = bed.run("status", "--json", "--control", bed.path / f"{peer.name}.key.sock")
    same(status, 0, out)
    return json.loads(out)["counters"][name]


def pipe(bed, peer, service, **streams):
    process = subprocess.Popen([PUNCHGATE, "pipe", f"{peer.addr}:{service}"], cwd=bed.path, env=bed.environment(), **streams)
    bed.processes.append(process)
    return process


@test
def a_request_that_ends_with_its_stream_for_a_dead_service_is_answered(bed):
    peer = bed.peer("peer", "--expose", f"dead=127.0.0.1:{free_port()}")
    dialer = Dialer(peer.port)
    bed.sockets.append(dialer.socket)
    stream = dialer.upgrade().open("/punchgate/tunnel/1.0.0")
    body = b'{"service_name":"dead"}'
    stream.send(struct.pack(">I", len(body)) + body, FIN)
    how, said = stream.end()
    same(how, "fin")
    want(b'"accepted":false' in said and b"cannot be reached" in said, said)
    same(peer.process.poll(), None, "the peer's exit status")


@test
def clients_that_send_and_reset_leave_nothing(bed):
    service = bed.service(sink)
    provider, consumer, port = bed.pair("sink", service.port)
    for _ in range(100):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"y" * 100_000)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        client.close()
    until(lambda: counter(bed, consumer, "tunnels_opened_consumer") > 0, "a tunnel was opened")
    until(lambda: counter(bed, consumer, "tunnels_consumer") == 0, "the consumer's tunnels have ended")
    until(lambda: counter(bed, provider, "tunnels_provider") == 0, "the provider's tunnels have ended")


@test
def a_pipe_whose_input_ends_while_its_output_waits_goes_on(bed):
    size = 8_000_000

    def source(client):
        client.sendall(b"x" * size)
        while client.recv(65536):
            pass

    service = bed.service(source)
    peer = bed.peer("peer", "--expose", f"source=127.0.0.1:{service.port}")
    process = pipe(bed, peer, "source", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(1)  # its output is full now
    process.stdin.close()
    got, out = 0, process.stdout.fileno()
    while select.select([out], [], [], PATIENCE)[0]:
        data = os.read(out, 1 << 20)
        if not data:
            break
        got += len(data)
    same(got, size, "bytes")
    same(process.wait(PATIENCE), 0, "exit status")


@test
def a_pipe_with_nobody_reading_ends_when_it_is_told_to(bed):
    service = bed.service(lambda client: client.sendall(b"x" * 3_000_000))
    peer = bed.peer("peer", "--expose", f"source=127.0.0.1:{service.port}")
    process = pipe(bed, peer, "source", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)


@test
def standard_streams_may_be_closed(bed):
    service = bed.service(echo)
    peer = bed.peer("peer", "--expose", f"echo=127.0.0.1:{service.port}")
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        for command in (f"pipe {peer.addr}:echo", f"ping {peer.addr}"):
            done = subprocess.run(["sh", "-c", f"exec {PUNCHGATE} {command} {closed}"], cwd=bed.path, env=bed.environment(),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=2 * PATIENCE)
            want(done.returncode >= 0, f"{command} {closed}: signal {-done.returncode}, {done.stderr}")
            error = done.stderr.decode(errors="replace")
            want(not any(b in error for b in BROKEN), f"{command} {closed}: {error}")


@test
def a_folder_as_standard_input_cannot_be_read_and_ends_the_pipe(bed):
    service = bed.service(echo)
    peer = bed.peer("peer", "--expose", f"echo=127.0.0.1:{service.port}")
    done = subprocess.run(["sh", "-c", f"exec {PUNCHGATE} pipe {peer.addr}:echo < {bed.path}"], cwd=bed.path, env=bed.environment(),
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=2 * PATIENCE)
    error = done.stderr.decode(errors="replace")
    want(not any(b in error for b in BROKEN), error)
    same(done.returncode, 1, error)


@test
def an_own_address_without_a_peer_id_is_given_up_quietly(bed):
    port = free_port()
    peer = bed.peer("peer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{port}", listen=f"/ip4/127.0.0.1/tcp/{port}")
    time.sleep(2.5)
    warnings = [line for line in peer.text().splitlines() if " WARN " in line or " ERROR " in line]
    same(warnings, [], "warnings")
    want(peer.find("dialing"), "it was not dialled at all")
    want(len(peer.find("dialing")) <= 2, "it is dialled again and again")


if __name__ == "__main__":
    main()
