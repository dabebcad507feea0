"""What becomes of the way between two peers behind routers when routers, relays and lines fail, and which ways there are besides the
plain ones of path_test.py. Run by nat.py."""
import contextlib
import os
import time

from lab import Lab
from nat import SWITCH, full, slow
from peers import PATIENCE, echo, exchange, pattern, same, speaks, test, until, want
from router import Nat

PORT = 4001
MEGABYTE = 1 << 20
# What is promised is less (docs/MEASURING.md); these bounds find what hangs.
FLOWS_S, NEW_PATH_S = 15, 30


class Town:
    """A laboratory with relays, an office that offers an echo, and a home that has a tunnel to it."""

    def __init__(self, bed, office, home, relays=1, delay_ms=10, more=(), **options):
        self.bed, self.stack = bed, contextlib.ExitStack()
        names = [f"relay{n}" for n in range(relays)]
        self.lab = self.stack.enter_context(Lab(SWITCH, dict.fromkeys(names) | {"office": office, "home": home} | dict(more), delay_ms=delay_ms, **options))
        self.relays = []
        for name in names:
            known = [word for addr in self.relay_addrs() for word in ("--bootstrap", addr)]
            with self.lab[name].host.inside():
                self.relays.append(bed.peer(name, "--nat-status", "public", *known, listen=f"/ip4/0.0.0.0/tcp/{PORT}"))

    def relay_addrs(self):
        return [f"/ip4/{self.lab[f'relay{n}'].address}/tcp/{PORT}/p2p/{relay.id}" for n, relay in enumerate(self.relays)]

    def private(self, site, *more, host=0, port=PORT):
        known = [word for addr in self.relay_addrs() for word in ("--bootstrap", addr)]
        with self.lab[site].hosts[host].inside():
            return self.bed.peer(f"{site}{host}", *known, "--nat-status", "private", *more, listen=f"/ip4/0.0.0.0/tcp/{port}")

    def open_office(self, reservations=None):
        """The provider, when it can be reached over its relays."""
        with self.lab["office"].host.inside():
            self.service = self.bed.service(echo)
        self.office = self.private("office", "--expose", f"echo=127.0.0.1:{self.service.port}")
        reserved(self.office, reservations or min(2, len(self.relays)))
        return self.office

    def tunnel(self, *more, site="home", host=0, port=PORT):
        """A consumer, and what connects a local client of its tunnel to the office."""
        consumer = self.private(site, "--tunnel", f"{self.office.id}:echo@127.0.0.1:0", *more, host=host, port=port)
        local = consumer.tunnel_port("echo")
        def client():  # noqa: E306
            with self.lab[site].hosts[host].inside():
                return self.bed.connect(local)
        return consumer, client

    def bytes_at(self, site):
        return self.lab.counts()[site]["bytes"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Before the laboratory, as peers say farewell.
        for peer in self.bed.peers:
            if peer.ended is None and peer.process.poll() is None:
                peer.stop()
        self.stack.close()


def reserved(peer, count=1):
    """Waits for the ready line that names addresses through so many relays."""
    end = time.monotonic() + PATIENCE
    while sum("/p2p-circuit" in addr for addr in peer.addrs) < count:
        want(time.monotonic() < end, f"{peer.name} has no {count} reservations, but {peer.addrs}")
        peer.wait_ready()


def direct_to(peer, other):
    """Log lines of direct connections to the other peer."""
    return [e for e in peer.find("connection opened", peer=other.id) if "p2p-circuit" not in e.text]


def relayed_to(peer, other):
    return [e for e in peer.find("connection opened", peer=other.id) if "p2p-circuit" in e.text]


def is_served(client, patience=5):
    try:
        with client() as connection:
            connection.settimeout(patience)
            return speaks(connection)
    except (OSError, AssertionError):
        return False


def timed(what, question, patience):
    began = time.monotonic()
    until(question, what, patience)
    took = time.monotonic() - began
    print(f"      {what}: {took:.2f} s", flush=True)
    return took


@test
def after_a_punch_a_tunnel_does_not_touch_the_relay(bed):
    with Town(bed, Nat("port-restricted"), Nat("port-restricted"), delay_ms=1) as town:
        town.open_office()
        consumer, client = town.tunnel()
        timed("a direct connection stands", lambda: is_served(client) and direct_to(consumer, town.office), NEW_PATH_S)
        want(is_served(client))
        before = town.bytes_at("relay0")
        size = 100 * MEGABYTE
        sent = pattern(MEGABYTE)
        with client() as connection:
            connection.settimeout(PATIENCE)
            for _ in range(size // MEGABYTE // 2):
                # Each way counts.
                want(both_ways(connection, sent) == sent, "the echo differs")
        used = town.bytes_at("relay0") - before
        print(f"      the relay got {used} bytes while {size} passed")
        want(used < MEGABYTE, f"the relay got {used} bytes")


def both_ways(connection, data):
    """Sends so much that the echo can be read as it comes."""
    got = bytearray()
    for start in range(0, len(data), 65536):
        connection.sendall(data[start:start + 65536])
        while len(got) < min(start + 65536, len(data)):
            piece = connection.recv(65536)
            want(piece, "the tunnel ended")
            got += piece
    return bytes(got)


@slow
@test
def when_the_only_relay_is_restarted_its_reservations_come_back(bed):
    with Town(bed, Nat("symmetric"), Nat("symmetric")) as town:
        office = town.open_office()
        consumer, client = town.tunnel()
        until(lambda: is_served(client), "bytes flow over the relay", FLOWS_S)
        town.relays[0].kill()
        with town.lab["relay0"].host.inside():
            town.relays[0] = bed.peer("relay0", "--nat-status", "public", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
        timed("the way over the relay is back", lambda: is_served(client, 1), NEW_PATH_S)
        same(office.process.poll(), None)


def serves_again(town, consumer, client, directs=None, patience=NEW_PATH_S):
    """A tunnel carries bytes, and the right ones; where `directs` says how many direct connections there have been, over a new one."""
    timed("a new client is served", lambda: is_served(client, 2), patience)
    if directs is not None:
        timed("a direct connection stands again", lambda: is_served(client, 2) and len(direct_to(consumer, town.office)) > directs, patience)
    sent = pattern(MEGABYTE)
    with client() as connection:
        want(exchange(connection, sent) == sent, "the echo differs")


def broken_path(bed, office, home, breaks, delay_ms=2):
    """A tunnel over a punched hole, `breaks(town)`, and a tunnel again, whose bytes are right."""
    with Town(bed, office, home, delay_ms=delay_ms) as town:
        town.open_office()
        consumer, client = town.tunnel()
        until(lambda: is_served(client) and direct_to(consumer, town.office), "a direct connection stands", NEW_PATH_S)
        breaks(town)
        serves_again(town, consumer, client, len(direct_to(consumer, town.office)), 4 * NEW_PATH_S)


@slow
@test
def a_punched_tunnel_serves_again_after_the_router_at_home_has_rebooted(bed):
    def reboot(town):
        with town.lab["home"].router.rebooting():
            time.sleep(1)
    broken_path(bed, Nat("port-restricted"), Nat("port-restricted"), reboot)


@slow
@test
def a_punched_tunnel_serves_again_after_the_router_at_the_office_has_another_address(bed):
    def move(town):
        town.lab["office"].move(town.lab["office"].address.rsplit(".", 1)[0] + ".9")
    broken_path(bed, Nat("addr-restricted"), Nat("port-restricted"), move)


def goes_by_the_relay(town, client):
    """Whether the relay carries what passes now; None when nothing does."""
    before, sent = town.bytes_at("relay0"), pattern(MEGABYTE // 4)
    try:
        with client() as connection:
            connection.settimeout(5)
            if exchange(connection, sent) != sent:
                return None
    except (OSError, AssertionError):
        return None
    return town.bytes_at("relay0") - before > len(sent)


def silenced(bed, silent_s):
    with Town(bed, Nat("port-restricted"), Nat("port-restricted")) as town:
        town.open_office()
        _, client = town.tunnel()
        until(lambda: goes_by_the_relay(town, client) is False, "a direct connection carries the bytes", NEW_PATH_S)
        with town.lab["home"].router.losing(town.lab["office"].address):
            timed("a new client is served", lambda: is_served(client, 1), NEW_PATH_S)
            same(goes_by_the_relay(town, client), True)
            time.sleep(silent_s)
            same(goes_by_the_relay(town, client), True)
        timed("a direct connection carries the bytes again", lambda: goes_by_the_relay(town, client) is False, 4 * NEW_PATH_S)


@slow
@test
def a_direct_way_that_dies_without_a_word_is_left_for_the_relay_and_taken_again_when_it_is_back(bed):
    silenced(bed, 0)


@full
@test
def a_direct_way_that_was_dead_for_longer_than_its_connection_is_taken_again(bed):
    silenced(bed, 40)


@full
@test
def a_tunnel_lives_through_mappings_that_end_after_30_seconds(bed):
    with Town(bed, Nat("port-restricted", timeout_s=30), Nat("port-restricted", timeout_s=30)) as town:
        town.open_office()
        consumer, client = town.tunnel()
        until(lambda: is_served(client) and direct_to(consumer, town.office), "a direct connection stands", NEW_PATH_S)
        with client() as connection:
            connection.settimeout(2 * PATIENCE)
            want(speaks(connection))
            time.sleep(75)
            want(speaks(connection), "the tunnel that was idle is broken")
        want(is_served(client), "no new client is served")


@slow
@test
def peers_behind_two_routers_in_a_row_reach_each_other(bed):
    with Town(bed, Nat("port-restricted", behind=Nat("full-cone")), Nat("port-restricted", behind=Nat("port-restricted"))) as town:
        town.open_office()
        consumer, client = town.tunnel()
        timed("a direct connection stands", lambda: is_served(client) and direct_to(consumer, town.office), NEW_PATH_S)


def neighbours(kind, hairpin):
    """Two peers behind one router, which find each other by the relay. What they use is theirs to find out; bytes flow."""
    def runs(bed):
        with Town(bed, Nat(kind, hosts=2, hairpin=hairpin), None) as town:
            town.open_office()
            _, client = town.tunnel(site="office", host=1, port=PORT + 1)
            timed("bytes flow", lambda: is_served(client), NEW_PATH_S)
            sent = os.urandom(MEGABYTE)
            with client() as connection:
                want(exchange(connection, sent) == sent, "the echo differs")
    runs.__name__ = (f"neighbours_behind_a_{kind.replace('-', '_')}_router_that_leads_packets_{'back_in' if hairpin else 'nowhere'}"
                     "_reach_each_other")
    return slow(test(runs))


for kind in ("full-cone", "addr-restricted", "port-restricted", "symmetric"):
    neighbours(kind, True)
neighbours("port-restricted", False)


@slow
@test
def a_tunnel_comes_about_over_a_way_that_loses_a_third_of_all_packets(bed):
    with Town(bed, Nat("port-restricted"), Nat("port-restricted")) as town:
        town.open_office()
        town.lab.way(delay_ms=10, loss_percent=30, reorder_percent=5, late_ms=20)
        _, client = town.tunnel()
        timed("bytes flow", lambda: is_served(client, 30), 4 * NEW_PATH_S)
        sent = pattern(20_000)
        with client() as connection:
            connection.settimeout(4 * NEW_PATH_S)
            want(exchange(connection, sent) == sent, "the echo differs")
        town.lab.way()


@full
@test
def a_tunnel_comes_about_over_a_way_of_two_seconds(bed):
    with Town(bed, Nat("port-restricted"), Nat("port-restricted"), delay_ms=0) as town:
        town.open_office()
        town.lab.way(delay_ms=1000)
        _, client = town.tunnel()
        timed("bytes flow", lambda: is_served(client, 30), 4 * NEW_PATH_S)
        town.lab.way()
