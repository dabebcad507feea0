"""perf: what the command prints, what a peer serves, and what strangers can do with it."""
import json
import struct

from dialer import FIN, Dialer, Ended
from peers import LiveTunnel, main, same, test, want


def request(wanted):
    return struct.pack(">Q", wanted)


def memory(peer):
    """Private memory of a running peer in bytes."""
    with open(f"/proc/{peer.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


@test
def perf_prints_bytes_and_times_of_both_directions(bed):
    peer = bed.peer("peer")
    for up, down in ((20_000_000, 30_000_000), (1, 0), (0, 1), (0, 0), (0, 5_000_000), (5_000_000, 0)):
        status, out, error = bed.run("perf", peer.addr, "--up", up, "--down", down, "--json", patience=120)
        same(status, 0, error)
        said = json.loads(out)
        same(list(said), ["event", "up_bytes", "up_us", "down_bytes", "down_us"])
        same((said["event"], said["up_bytes"], said["down_bytes"]), ("perf", up, down))
        same((said["up_us"] > 0, said["down_us"] >= 0), (up > 0, True), out)
        served = peer.saw("perf served", bytes_taken=up, bytes_given=down)
        want(served.level == "INFO", served.text)
    status, out, error = bed.run("perf", peer.addr, "--up", 1_000_000, "--down", 2_000_000)
    same(status, 0, error)
    up, down = out.splitlines()
    want(up.startswith("up   1000000 bytes in ") and down.startswith("down 2000000 bytes in ") and "MB/s" in down, out)


@test
def perf_is_announced_and_leaves_tunnels_alone(bed):
    tunnel = LiveTunnel(bed)
    status, out, _ = bed.run("identify", tunnel.provider.addr, "--json")
    want("/perf/1.0.0" in json.loads(out)["protocols"], out)
    same(bed.run("perf", tunnel.provider.addr, "--up", 30_000_000, "--down", 30_000_000, patience=120)[0], 0)
    tunnel.lives()


@test
def a_peer_that_never_reads_its_bytes_costs_no_memory_and_a_fifth_measurement_is_refused(bed):
    tunnel = LiveTunnel(bed)
    before = memory(tunnel.provider)
    dialer = Dialer(tunnel.provider.port).upgrade()
    streams = [dialer.open("/perf/1.0.0") for _ in range(4)]
    for stream in streams:
        stream.send(request(1 << 62), FIN)
    fifth = dialer.open("/perf/1.0.0")
    refused = tunnel.provider.saw("perf not served", peer=dialer.key.peer_id)
    want("too many measurements for this peer" in refused.text, refused.text)
    try:
        same(fifth.end()[0], "reset")
    except Ended:
        raise AssertionError("the connection ended with the stream")
    tunnel.lives()
    want(memory(tunnel.provider) < before + (16 << 20), f"{before} grew to {memory(tunnel.provider)} bytes")
    same(bed.run("perf", tunnel.provider.addr, "--down", 1000)[0], 0, "another peer's measurement")
    dialer.close()


@test
def half_a_request_is_refused_with_a_line_and_its_connection_lives(bed):
    peer = bed.peer("peer")
    dialer = Dialer(peer.port).upgrade()
    stream = dialer.open("/perf/1.0.0")
    stream.send(b"\0\0\0", FIN)
    same(stream.end()[0], "reset")
    peer.saw("perf not served", error="within the request")
    stream = dialer.open("/perf/1.0.0")
    stream.send(request(70000) + b"x" * 100, FIN)
    same(stream.end(), ("fin", bytes(70000)))
    dialer.close()


@test
def perf_says_what_went_wrong(bed):
    peer = bed.peer("peer")
    status, out, _ = bed.run("perf", peer.addr, "--up", "many", "--json")
    same((status, json.loads(out)["code"]), (2, "usage"))
    status, out, _ = bed.run("perf", "/ip4/127.0.0.1/tcp/1", "--up", "5", "--json")
    same((status, json.loads(out)["event"]), (69, "error"))


if __name__ == "__main__":
    main()
