"""The command path, and which way tunnels take: over a relay first, then directly."""
import json

from peers import echo, main, same, speaks, test, want


def steps(output):
    return [json.loads(line) for line in output.splitlines()]


@test
def path_says_of_a_peer_that_is_dialled_that_the_way_is_direct(bed):
    peer = bed.peer("peer")
    status, out, error = bed.run("path", peer.addr, "--wait-direct", "--json")
    same(status, 0, error)
    said = steps(out)
    same(said[0]["event"], "direct")
    same(said[0]["peer"], peer.id)
    same(said[-1]["event"], "path")
    same(said[-1]["direct"], True)
    want(said[-1]["direct_ms"] >= 0 and said[-1]["rtt_us"] > 0, said)


@test
def path_to_nobody_fails_with_the_reason(bed):
    peer = bed.peer("peer")
    gone = peer.addr
    peer.stop()
    status, out, _ = bed.run("path", gone, "--json")
    same(status, 69)
    same(steps(out)[-1]["event"], "error")


@test
def with_path_direct_a_tunnel_whose_peer_is_reached_directly_is_as_ever(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port, "--path", "direct")
    want(speaks(bed.connect(port)))


if __name__ == "__main__":
    main()
