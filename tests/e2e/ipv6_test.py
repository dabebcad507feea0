"""A host without IPv4, made as a network namespace of our own: tunnels work, and what needs IPv4 is told."""
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

from peers import echo, main, same, speaks, test, until, want

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
GET_FLAGS, SET_FLAGS, SET_ADDRESS, UP = 0x8913, 0x8914, 0x8916, 1


def loopback_without_ipv4():
    """True when this process now lives in a namespace whose only address is ::1."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack("16sh", fcntl.ioctl(control, GET_FLAGS, struct.pack("16sh14x", b"lo", 0))[:18])[1]
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))
        none = struct.pack("16sH2s4s8x", b"lo", socket.AF_INET, b"\0\0", b"\0\0\0\0")
        fcntl.ioctl(control, SET_ADDRESS, none)
    return True


def serve6(bed):
    """An echo server at [::1]."""
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    bed.sockets.append(server)
    child = os.fork()
    if child == 0:
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                echo(client)
                os._exit(0)
    bed.children = [child]
    return server.getsockname()[1]


@test
def a_tunnel_works_without_ipv4(bed):
    port = serve6(bed)
    try:
        provider = bed.peer("provider", "--expose", f"echo=[::1]:{port}", listen="/ip6/::1/tcp/0")
        consumer = bed.peer("consumer", "--tunnel", f"{provider.addr}:echo@[::1]:0", listen="/ip6/::1/tcp/0")
        bound = consumer.saw("tunnel listening").fields["actual_addr"]
        want(bound.startswith("[::1]:"), bound)
        want(speaks(bed.connect(int(bound.rsplit(":", 1)[1]), host="::1")))
    finally:
        for child in bed.children:
            os.kill(child, 9)
            os.waitpid(child, 0)


@test
def the_default_listens_announce_only_what_exists(bed):
    peer = bed.bare("peer", "--ready-json")
    said = json.loads(peer.read_line())
    want(said["addrs"] and all(a.startswith("/ip6/::1/") for a in said["addrs"]), said["addrs"])


@test
def a_forward_that_needs_ipv4_is_told_and_the_others_live(bed):
    stranger = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    peer = bed.peer("peer", "--tunnel", f"{stranger}:a@127.0.0.1:0", "--tunnel", f"{stranger}:b@[::1]:0",
                    listen="/ip6/::1/tcp/0")
    seen = peer.saw("tunnel failed")
    want("127.0.0.1" in seen.text and "service a" in seen.text, seen.text)
    peer.saw("tunnel listening", service_name="b")


@test
def dialling_ipv4_is_unreachable_and_said_so(bed):
    status, out, _ = bed.run("ping", "/ip4/127.0.0.1/tcp/4001", "--json", "--timeout", "5s")
    same(status, 69, out)
    same(json.loads(out.strip().splitlines()[-1])["code"], "unreachable")


if __name__ == "__main__":
    if loopback_without_ipv4():
        main()
    else:
        print("no right to make a network namespace: not tested here")
        print("0 passed, 0 failed, 4 skipped")
        sys.exit(0)
