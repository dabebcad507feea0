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
def what_the_relay_has_answered_is_told_also_when_the_time_is_over_before_the_peer_is_there(bed):
    relay, absent = bed.peer("relay", "--nat-status", "public"), bed.peer("absent")
    way = f"{relay.addr}/p2p-circuit/p2p/{absent.id}"
    for command in (("path", way), ("ping", way), ("pipe", f"{way}:echo")):
        status, out, _ = bed.run(*command, "--json", "--timeout", "2s")
        same(status, 75, command)
        said = steps(out)[-1]
        same((said["event"], said["code"]), ("error", "timeout"))
        want("--timeout" in said["reason"] and "Relay has no reservation for destination" in said["reason"], said)


@test
def with_path_direct_a_tunnel_whose_peer_is_reached_directly_is_as_ever(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port, "--path", "direct")
    want(speaks(bed.connect(port)))


if __name__ == "__main__":
    main()
