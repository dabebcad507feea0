"""Hosts behind routers around a switch, as README.md draws them. Used by every *_test.py here, inside enclosure.enclose().

Addresses are public ones of no use to anybody (IANA: special purpose, globally reachable): go-libp2p and rust-libp2p do not count the
ranges for documentation as public and would not punch there. No namespace has a way out: everything leads to the switch.
"""
import contextlib
import errno
import json
import os
import pathlib
import select
import socket
import struct
import subprocess
from dataclasses import replace

from enclosure import WORK, Namespace, name_namespace
from router import OUTER_SHIFT, Nat, rules, settings

# One after another, so that neighbours are in different networks.
PUBLIC = ("192.31.196", "192.52.193", "192.175.48")
PREFIX_BITS = 28
NETNS = pathlib.Path("/run/netns")


class Broken(Exception):
    """The laboratory itself does not work."""


def ran(*argv, text=""):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Broken(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Node:
    """A host or a router: a namespace with at most one address to the outside."""

    def __init__(self, name, path=None):
        self.name, self.address, self.running = name, None, []
        NETNS.mkdir(exist_ok=True)
        (NETNS / name).touch()  # `ip -n NAME` finds it there
        name_namespace(NETNS / name, path)
        self.namespace = Namespace(NETNS / name)
        self.set({"ipv6/conf/all/disable_ipv6": 1})  # its own questions would be all that the switch ever drops

    def inside(self):
        return self.namespace.entered()

    def ip(self, *commands):
        ran("ip", "-n", self.name, "-batch", "-", text="\n".join(commands) + "\n")

    def set(self, values):
        with self.inside():
            for name, value in values.items():
                pathlib.Path("/proc/sys/net", name).write_text(f"{value}\n")

    def socket(self, kind=socket.SOCK_STREAM, port=0, host=""):
        """A socket of this node, bound; others of ours may have the same port."""
        with self.inside():
            made = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        return made

    def start(self, *argv, **options):
        with self.inside():
            process = subprocess.Popen([*map(str, argv)], **options)
        self.running.append(process)
        return process

    def forget(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.namespace.close()
        ran("umount", str(NETNS / self.name))
        (NETNS / self.name).unlink()


class Router(Node):
    """What stands between `hosts` and the outside. Its state is in nft's sets and the kernel's connection tracking."""

    def __init__(self, name, nat, path=None):
        super().__init__(name, path)
        self.nat, self.inner_address = nat, None

    def load(self):
        with self.inside():
            ran("nft", "-f", "-", text=rules(self.nat, self.address, self.inner_address))

    def forget_connections(self):
        """NETLINK_NETFILTER, IPCTNL_MSG_CT_DELETE without a tuple: all of them."""
        with self.inside():
            link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        with link:
            request = struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 0x1 | 0x4, 1, 0, 0, 0, 0)
            link.send(request)
            failed = struct.unpack_from("=i", link.recv(4096), 16)[0]
        if failed not in (0, -errno.ENOENT):
            raise Broken(f"{self.name}: the connections stay: {os.strerror(-failed)}")

    @contextlib.contextmanager
    def rebooting(self):
        """Off while the body runs, and without memory afterwards."""
        self.ip("link set line down")
        try:
            yield
        finally:
            self.load()
            self.forget_connections()
            self.ip("link set line up", *self.ways_out)

    @contextlib.contextmanager
    def losing(self, address):
        """Loses whatever comes from there or goes there while the body runs, and tells nobody."""
        with self.inside():
            ran("nft", "-f", "-", text=f"""table ip lost {{
  chain passing {{
    type filter hook forward priority filter - 1; policy accept;
    ip saddr {address} drop
    ip daddr {address} drop
  }}
}}
""")
        try:
            yield
        finally:
            with self.inside():
                ran("nft", "delete", "table", "ip", "lost")

    def move(self, address):
        """The provider gives the router another address, and it forgets what it had under the old one."""
        bits = PREFIX_BITS
        self.ip(f"addr del {self.address}/{bits} dev line", f"addr add {address}/{bits} dev line", *self.ways_out)
        self.address = address
        self.load()
        self.forget_connections()

    ways_out = ("route replace default dev line",)


class Site:
    """The end of one line: a public host, or hosts behind one or two routers."""

    def __init__(self, name, nat, address):
        self.name, self.nat, self.address = name, nat, address
        self.routers, self.hosts = [], []

    def build(self, path):
        name, nat, address = self.name, self.nat, self.address
        if nat is None:
            self.hosts.append(Node(name, path))
            self.host.address = address
        else:
            chain = [replace(nat.behind, shift=OUTER_SHIFT), nat] if nat.behind else [nat]
            for depth, one in enumerate(chain):
                outside = self.routers[-1] if self.routers else None
                router = Router(f"{name}.r{depth}", one, path if outside is None else None)
                router.address = address if outside is None else self.join(outside, router, f"100.64.{len(self.routers)}")
                router.set(settings(one))
                self.routers.append(router)
            for number in range(nat.hosts):
                host = Node(name if number == 0 else f"{name}{number + 1}")
                host.address = self.join(self.routers[-1], host, f"192.168.{number + 1}")
                self.hosts.append(host)
            for router in self.routers:
                router.load()

    @staticmethod
    def join(router, inner, network, line="line", is_way_out=True):
        """A cable from the router to what is behind it; returns the address of that."""
        port = f"lan{network.rsplit('.', 1)[1]}"
        ran("ip", "link", "add", port, "netns", router.name, "type", "veth", "peer", "name", line, "netns", inner.name)
        router.ip(f"addr add {network}.1/24 dev {port}", f"link set {port} up")
        inner.ip("link set lo up", f"addr add {network}.2/24 dev {line}", f"link set {line} up",
                 *[f"route add default via {network}.1"] * is_way_out)
        router.inner_address = router.inner_address or f"{network}.2"
        return f"{network}.2"

    @property
    def host(self):
        return self.hosts[0]

    @property
    def router(self):
        """The one nearest to the hosts."""
        return self.routers[-1]

    def outside_port(self, port):
        """Where the first host's port is seen by the public; None when nobody can tell."""
        for router in reversed(self.routers):
            port = router.nat.outside_port(port) if port else None
        return port

    def move(self, address):
        """The site has another public address from now on."""
        self.routers[0].move(address)
        self.address = address

    def renumber(self, address, up=True):
        """The first host has another address in the network of its router, as a new lease gives it one."""
        host, gateway = self.host, f"{address.rsplit('.', 1)[0]}.1"
        host.ip(f"addr del {host.address}/24 dev line", f"addr add {address}/24 dev line", *[f"route replace default via {gateway}"] * up)
        if self.router.inner_address == host.address:
            self.router.inner_address = address
            self.router.load()
        host.address = address

    @contextlib.contextmanager
    def unplugged(self):
        """The first host's cable is out while the body runs, and its routes are made again as a client of DHCP does it."""
        host = self.host
        host.ip("link set line down")
        try:
            yield
        finally:
            host.ip("link set line up", f"route replace default via {host.address.rsplit('.', 1)[0]}.1")

    def go_out_by(self, other):
        """The first host goes out by another site's router from now on; the cable to its own one stays in."""
        self.host.ip(f"route replace default via {self.join(other.router, self.host, '192.168.200', 'other', False).rsplit('.', 1)[0]}.1")

    def close(self):
        for node in self.hosts + self.routers:
            node.forget()


class Lab:
    """`sites`: name to Nat, or to None for a public host."""

    def __init__(self, switch, sites, delay_ms=0, seed=1):
        self.sites = {}
        places = {name: f"{PUBLIC[n % 3]}.{16 * (n // 3) + 1}" for n, name in enumerate(sites)}
        with open(WORK / "switch.log", "ab") as log:
            self.switch = subprocess.Popen(
                [switch, "--delay", str(delay_ms), "--seed", str(seed), *(f"{n}={a}/{PREFIX_BITS}" for n, a in places.items())],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        try:
            ends = self.told()
            for name, nat in sites.items():
                self.sites[name] = Site(name, nat, places[name])
                self.sites[name].build(ends[name])
        except BaseException:
            self.close()
            raise

    def told(self):
        if not select.select([self.switch.stdout], [], [], 20)[0]:
            raise Broken("the switch does not answer")
        line = self.switch.stdout.readline()
        if not line:
            raise Broken(f"the switch has ended: {(WORK / 'switch.log').read_text()[-500:]}")
        return json.loads(line)

    def way(self, name="*", delay_ms=0, loss_percent=0, reorder_percent=0, late_ms=0, twice_percent=0, most_bytes=0):
        """What happens from now on to packets on the way to the site, or to all sites. Longer ones than most_bytes vanish; 0: none do."""
        self.switch.stdin.write(f"way {name} {delay_ms} {loss_percent} {reorder_percent} {late_ms} {twice_percent} {most_bytes}\n")
        if not self.told()["ok"]:
            raise Broken(f"the switch knows no {name}")

    def counts(self):
        """Packets and bytes given to each site, and those that belonged nowhere (`no_way`)."""
        self.switch.stdin.write("count\n")
        return self.told()

    def __getitem__(self, name):
        return self.sites[name]

    def close(self):
        for site in self.sites.values():
            site.close()
        self.switch.stdin.close()
        self.switch.wait(10)
        self.switch.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


__all__ = ["Broken", "Lab", "Nat", "Node", "Router", "Site"]
