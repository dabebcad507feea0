"""Ten thousand connections that never say a word, from one address, from one network and from many: others still get through.

The test runs in a network namespace of its own, in which every address of 10.0.0.0/8 is this machine."""
import itertools
import os
import resource
import socket
import subprocess
import sys

from dialer import Dialer
from peers import main, same, test, until, want

MANY = 10_000
HERE = "10.9.9.9"


def in_a_namespace():
    """Starts itself again where the network is its own; the second time it only sets that up."""
    if "PG_NAMESPACE" not in os.environ:
        options = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *options, sys.executable, *sys.argv], os.environ | {"PG_NAMESPACE": "1"})
    for command in ("ip link set lo up", "ip route add local 10.0.0.0/8 dev lo"):
        subprocess.run(command.split(), check=True)


def resident_mib(peer):
    with open(f"/proc/{peer.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def connect(port, source):
    client = socket.socket()
    client.settimeout(5)
    client.bind((source, 0))
    try:
        client.connect((HERE, port))
    except OSError:  # turned away already
        client.close()
        return None
    return client


def storm(bed, sources, limits):
    """All connect and stay silent; meanwhile and afterwards somebody from elsewhere is answered."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], MANY + 2000),) * 2)
    peer = bed.peer("victim", listen=f"/ip4/{HERE}/tcp/0")
    before = resident_mib(peer)
    for number, source in zip(range(MANY), sources):
        client = connect(peer.port, source)
        if client:
            bed.sockets.append(client)
        if number % 2500 == 2499:
            status, out, error = bed.run("ping", peer.addr)
            same(status, 0, f"{out}{error}")
    named = {e.fields["limit"] for e in peer.find("limit reached, connection refused")}
    want(named & limits, f"none of {limits} was named, but {named}")
    want(resident_mib(peer) - before < 32, f"{resident_mib(peer):.1f} MiB after {before:.1f}")
    for client in bed.sockets:
        client.close()
    bed.sockets.clear()
    until(lambda: bed.run("ping", peer.addr)[0] == 0, "the peer answers when all is over")


@test
def silent_connections_of_one_address_keep_nobody_out(bed):
    storm(bed, itertools.repeat("10.1.1.1"), {"accept_rate", "pending_address"})


@test
def silent_connections_of_one_network_keep_nobody_out(bed):
    storm(bed, (f"10.1.1.{1 + n % 250}" for n in itertools.count()), {"pending_prefix"})


@test
def silent_connections_from_everywhere_keep_nobody_out(bed):
    storm(bed, (f"10.{10 + n // 250 % 200}.{n % 250}.7" for n in itertools.count()), {"pending"})


def held_nearly_set_up(bed, host, source):
    """One network holds all places with connections that lack the muxer only, and comes again: who came from elsewhere, and has said
    nothing yet, is not the one that makes room."""
    peer = bed.peer("victim", "--max-pending", "32", listen="/ip4/0.0.0.0/tcp/0")
    def dial(host, source):  # noqa: E306
        dialer = Dialer(peer.port, host=host, source=source)
        bed.sockets.append(dialer.socket)
        return dialer
    for number in range(31):
        dial(host, source(number)).secure()
    slow = dial(HERE, "10.2.2.2")
    for number in range(31, 34):
        dial(host, source(number)).secure()
    want(len(peer.find("limit reached, connection refused", limit="pending")) > 0, "nobody had to make room")
    slow.upgrade()
    same(slow.open("/ipfs/ping/1.0.0").ends, 0)


@test
def places_that_one_network_holds_nearly_set_up_are_the_first_to_be_given_up(bed):
    held_nearly_set_up(bed, HERE, lambda number: f"10.1.1.{1 + number}")


@test
def loopback_is_a_network_like_others_when_a_place_is_needed(bed):
    held_nearly_set_up(bed, "127.0.0.1", lambda number: "127.0.0.1")


if __name__ == "__main__":
    in_a_namespace()
    main()
