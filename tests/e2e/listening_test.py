"""Ports that are taken, addresses that are ours, the ready line."""
import json
import os
import pathlib
import signal
import socket
import struct

from peers import echo, free_port, main, same, speaks, test, until, want


def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@test
def the_ready_line_has_the_peer_id_and_every_address(bed):
    listens = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0"] + (["/ip6/::1/tcp/0"] if ipv6() else [])
    peer = bed.bare("peer", "--ready-json", *(w for at in listens for w in ("--listen", at)))
    line = peer.read_line()
    said = json.loads(line)
    same(list(said), ["event", "peer", "addrs"], "keys")
    same(said["event"], "ready")
    want(said["peer"].startswith("12D3KooW"), said["peer"])
    same(len(said["addrs"]), len(listens), "addresses")
    for address in said["addrs"]:
        parts = address.split("/")
        want(parts[1] in ("ip4", "ip6") and parts[3] == "tcp" and int(parts[4]) > 0, address)
        same(parts[5:], ["p2p", said["peer"]])
        peer.saw("listening on " + "/".join(parts[:5]))


@test
def without_an_address_it_listens_everywhere_and_shows_where_it_can_be_reached(bed):
    peer = bed.bare("peer", "--ready-json")
    said = json.loads(peer.read_line())
    want(said["addrs"], "no addresses")
    want(not any("/0.0.0.0/" in a or "/::/" in a for a in said["addrs"]), f"{said['addrs']}")
    port = next(a for a in said["addrs"] if a.startswith("/ip4/")).split("/")[4]
    status, out, _ = bed.run("ping", f"/ip4/127.0.0.1/tcp/{port}/p2p/{said['peer']}", "--json")
    same(status, 0, out)


@test
def without_ready_json_standard_output_stays_empty(bed):
    peer = bed.bare("peer", "--listen", "/ip4/127.0.0.1/tcp/0", RUST_LOG="info")
    until(lambda: "listening on" in peer.text(), "the peer listens")
    same(peer.stop(), 0)
    same(peer.process.stdout.read(), b"")


@test
def a_port_of_a_forward_that_is_taken_is_told_and_the_other_forwards_live(bed):
    service = bed.service(echo)
    taken = socket.create_server(("127.0.0.1", 0))
    bed.sockets.append(taken)
    port = taken.getsockname()[1]
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr,
                        "--tunnel", f"{provider.id}:taken@127.0.0.1:{port}",
                        "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    seen = consumer.saw("tunnel failed")
    same((seen.level, seen.target), ("ERROR", "cli::node"))
    want(f"127.0.0.1:{port}" in seen.text and "in use" in seen.text, seen.text)
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))


@test
def an_address_of_a_forward_that_is_not_ours_is_told(bed):
    peer = bed.peer("peer", "--tunnel", "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN:x@192.0.2.1:0")
    want("192.0.2.1" in peer.saw("tunnel failed").fields["error"])


@test
def a_second_peer_on_the_same_port_is_told_that_it_is_in_use(bed):
    first = bed.peer("first")
    second = bed.peer("second", listen=f"/ip4/127.0.0.1/tcp/{first.port}", ready=False)
    want(second.wait() not in (0, -signal.SIGKILL), "a peer without a listener must not look healthy")
    seen = second.saw("listen failed", addr=f"/ip4/127.0.0.1/tcp/{first.port}")
    want("in use" in seen.fields["error"], seen.text)
    same(bed.run("ping", first.addr)[0], 0)


@test
def one_listener_of_two_is_enough_to_run(bed):
    first = bed.peer("first")
    second = bed.peer("second", "--listen", f"/ip4/127.0.0.1/tcp/{first.port}")
    second.saw("listen failed", addr=f"/ip4/127.0.0.1/tcp/{first.port}")
    same(bed.run("ping", second.addr)[0], 0)


@test
def the_own_address_among_the_bootstraps_is_refused_quietly(bed):
    peer = bed.peer("peer")
    peer.stop()
    again = bed.peer("peer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{peer.port}/p2p/{peer.id}",
                     listen=f"/ip4/127.0.0.1/tcp/{peer.port}")
    friend = bed.peer("friend", "--bootstrap", again.addr)
    friend.connected(again)
    loud = [e.text for e in again.entries() if e.level in ("WARN", "ERROR")]
    same(loud, [], "warnings")
    same(again.find("connection opened", peer=again.id), [], "connections to itself")


@test
def the_own_address_without_a_peer_id_does_not_connect_to_itself(bed):
    port = free_port()
    peer = bed.peer("peer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{port}", listen=f"/ip4/127.0.0.1/tcp/{port}")
    friend = bed.peer("friend", "--bootstrap", peer.addr)
    friend.connected(peer)
    same(peer.find("connection opened", peer=peer.id), [], "connections to itself")


@test
def a_port_that_was_just_left_can_be_used_again_at_once(bed):
    service = bed.service(echo)
    for _ in range(3):
        provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port}", listen="/ip4/127.0.0.1/tcp/0")
        consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
        want(speaks(bed.connect(consumer.tunnel_port("echo"))))
        provider.kill()
        again = bed.peer("provider", listen=f"/ip4/127.0.0.1/tcp/{provider.port}")
        again.stop()
        consumer.stop()


@test
def dials_leave_from_the_listening_port(bed):
    a = bed.peer("a")
    b = bed.peer("b", "--bootstrap", a.addr)
    seen = a.saw("connection opened", peer=b.id)
    want(f"send_back_addr: /ip4/127.0.0.1/tcp/{b.port} " in seen.fields["endpoint"], seen.text)


@test
def a_privileged_port_is_told_to_people_without_the_right(bed):
    if os.geteuid() == 0 and not drop_possible():
        return
    status, out, error = run_unprivileged(bed, "--listen", "/ip4/127.0.0.1/tcp/1")
    want(status not in (0, None), "it listens on port 1")
    want("/ip4/127.0.0.1/tcp/1" in error and "ermission" in error, error)


def drop_possible():
    return pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() != "0"


def run_unprivileged(bed, *arguments):
    import subprocess
    from peers import PUNCHGATE
    bed.path.chmod(0o777)
    drop = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        done = subprocess.run([PUNCHGATE, *arguments], cwd=bed.path, env=bed.environment(), capture_output=True,
                              timeout=20, **drop)
    except PermissionError:
        return 1, "", "/ip4/127.0.0.1/tcp/1 Permission: the build folder itself is closed to others"
    return done.returncode, done.stdout.decode(), done.stderr.decode()


if __name__ == "__main__":
    main()
