"""A local network inside network namespaces: bridges in the test's own one, and hosts with a namespace each, joined by veth pairs.

in_a_namespace() begins a script anew where the network is its own. With it comes what speaks multicast DNS from the outside:
messages made and read without any code of the program."""
import itertools
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

GROUP, PORT = "224.0.0.251", 5353
SERVICE = "_p2p._udp.local"
PTR, TXT, SRV, A, AAAA = 12, 16, 33, 1, 28


def in_a_namespace():
    if "PG_NAMESPACE" not in os.environ:
        options = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *options, sys.executable, *sys.argv], os.environ | {"PG_NAMESPACE": "1"})
    run("ip link set lo up")


def run(command):
    subprocess.run(command.split(), check=True)


class Bridge:
    """A network 10.N.0.0/24 with IPv6 fd00:N::/64; the test itself is at .254 in it."""

    numbers = itertools.count(1)

    def __init__(self):
        self.number = next(Bridge.numbers)
        self.name = f"lan{self.number}"
        run(f"ip link add {self.name} type bridge mcast_snooping 0")
        run(f"ip addr add {self.own}/24 dev {self.name}")
        run(f"ip addr add fd00:{self.number}::fe/64 dev {self.name} nodad")
        run(f"ip link set {self.name} up")

    @property
    def own(self):
        return f"10.{self.number}.0.254"

    def remove(self):
        run(f"ip link del {self.name}")


class Host:
    """A namespace with one interface on each bridge: eth0, eth1 …"""

    ends = itertools.count(1)

    def __init__(self, bed, number, *bridges):
        self.number = number
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        bed.processes.append(self.holder)
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            time.sleep(0.01)
        self.inside = ["nsenter", "-t", str(self.holder.pid), "-n"]
        self.run("ip link set lo up")
        for place, bridge in enumerate(bridges):
            self.join(place, bridge)

    def join(self, place, bridge):
        outer = f"end{next(Host.ends)}"
        run(f"ip link add {outer} type veth peer name eth{place} netns {self.holder.pid}")
        run(f"ip link set {outer} master {bridge.name} up")
        self.run(f"ip addr add 10.{bridge.number}.0.{self.number}/24 dev eth{place}")
        self.run(f"ip addr add fd00:{bridge.number}::{self.number}/64 dev eth{place} nodad")
        self.run(f"ip link set eth{place} up")

    def at(self, bridge):
        return f"10.{bridge.number}.0.{self.number}"

    def run(self, command):
        run(" ".join(self.inside) + " " + command)

    def udp_ports(self):
        """Local ports of all UDP sockets here."""
        ports = set()
        for table in ("udp", "udp6"):
            for line in pathlib.Path(f"/proc/{self.holder.pid}/net/{table}").read_text().splitlines()[1:]:
                ports.add(int(line.split()[1].rsplit(":", 1)[1], 16))
        return ports


# Messages.

def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def record(owner, kind, data, ttl=120):
    return name(owner) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def texts(*strings):
    return b"".join(bytes([len(s)]) + s.encode() for s in strings)


def query(owner=SERVICE, kind=PTR):
    return struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name(owner) + struct.pack(">HH", kind, 1)


def response(answers, additional=()):
    return struct.pack(">6H", 0, 0x8400, 0, len(answers), 0, len(additional)) + b"".join([*answers, *additional])


def told(instance, addrs, ttl=120):
    """What a peer says of itself."""
    owner = f"{instance}.{SERVICE}"
    return response([record(SERVICE, PTR, name(owner), ttl)], [record(owner, TXT, texts(*(f"dnsaddr={a}" for a in addrs)), ttl)])


def read_name(message, at):
    labels, end = [], None
    while message[at]:
        if message[at] >= 0xc0:
            end = end or at + 2
            at = (message[at] & 0x3f) << 8 | message[at + 1]
            continue
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), end or at + 1


def read(message):
    """(flags, questions, sections): each record is (owner, type, class, ttl, data), where PTR and SRV have names and TXT strings."""
    _, flags, *counts = struct.unpack(">6H", message[:12])
    at, questions, sections = 12, [], []
    for _ in range(counts[0]):
        owner, at = read_name(message, at)
        questions.append((owner, *struct.unpack(">HH", message[at:at + 4])))
        at += 4
    for count in counts[1:]:
        records = []
        for _ in range(count):
            owner, at = read_name(message, at)
            kind, group, ttl, length = struct.unpack(">HHIH", message[at:at + 10])
            at += 10
            data = message[at:at + length]
            if kind == PTR:
                data = read_name(message, at)[0]
            elif kind == SRV:
                data = (struct.unpack(">HHH", data[:6]), read_name(message, at + 6)[0])
            elif kind == TXT:
                strings, rest = [], data
                while rest:
                    strings.append(rest[1:1 + rest[0]].decode())
                    rest = rest[1 + rest[0]:]
                data = strings
            records.append((owner, kind, group, ttl, data))
            at += length
        sections.append(records)
    return flags, questions, sections


def speaker(address, source=None):
    """A socket of the test's own namespace on the bridge of that address. It hears what is said there, unless it speaks from a
    source of its own."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    s.bind((source or "", PORT))
    if not source:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
    return s


def say(s, message):
    s.sendto(message, (GROUP, PORT))


def hear(s, accept, patience):
    """The first message for which accept(flags, questions, sections) is true."""
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        s.settimeout(left)
        try:
            message = s.recv(9000)
        except TimeoutError:
            break
        parts = read(message)
        if accept(*parts):
            return parts
    raise AssertionError(f"no such message within {patience} s")
