"""The laboratory proves itself: each NAT does what its name says, a wrong one is found out, and nothing is left behind.

Run by nat.py. A kind of NAT that is not what it is called would make every figure that is taken behind it worthless.
"""
import contextlib
import itertools
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time

from lab import Lab, ran
from nat import SWITCH, full
from peers import same, test, until, want
from rfc4787 import EVERYBODY, FIRST, SAME_ADDRESS, SAME_PORT, THIRD, Examination, accepted, dialled, listener, outcome, properties
from router import FILTERING, KINDS, MAPPING, Nat

STRICT = (EVERYBODY, SAME_ADDRESS, SAME_PORT)
PUBLIC = {"one": None, "two": None}


def laboratory(sites=None, **options):
    return Lab(SWITCH, PUBLIC | (sites or {}), **options)


def examined(lab, name):
    return properties(lab[name], lab["one"].host, lab["two"].host)


def strictest(values):
    return max(values, key=STRICT.index)


def expected(site):
    """What the names of a site's routers promise."""
    nats = [router.nat for router in site.routers]
    mapping, filtering = strictest(MAPPING[n.kind] for n in nats), strictest(FILTERING[n.kind] for n in nats)
    random = mapping != EVERYBODY
    port = "random" if random else "kept" if all(n.keep_port for n in nats) else "shifted"
    promised = {}
    for name in ("UDP", "TCP"):
        promised |= {f"{name} mapping": mapping, f"{name} address": site.address, f"{name} port": port,
                     f"{name} filtering": filtering, f"{name} unasked": "dropped"}
    if random:
        promised["TCP filtering"] = "nobody"  # who is asked next is asked from another port, so there is none to answer to
    return promised


@test
def each_kind_of_nat_maps_and_filters_as_its_name_says(bed):
    nats = {kind: Nat(kind) for kind in KINDS} | {f"{kind}.kept": Nat(kind, keep_port=True) for kind in KINDS}
    with laboratory(nats) as lab:
        for name in nats:
            same(examined(lab, name), expected(lab[name]), name)


@test
def behind_two_routers_the_stricter_rule_holds(bed):
    nats = {f"{inner}.{outer}": Nat(inner, behind=Nat(outer)) for inner, outer in itertools.product(KINDS, KINDS)}
    with laboratory(nats) as lab:
        for name in nats:
            same(examined(lab, name), expected(lab[name]), name)


@test
def a_public_host_is_reached_by_everybody(bed):
    with laboratory({"public": None}) as lab:
        found = examined(lab, "public")
        for name in ("UDP", "TCP"):
            same([found[f"{name} {what}"] for what in ("mapping", "filtering", "port", "unasked", "address")],
                 [EVERYBODY, EVERYBODY, "kept", "passes", lab["public"].address])


LEARNS = "meta l4proto { tcp, udp } ct direction original update @opened"
ACCEPTS = 'iifname "lo" accept'
WRONG = (
    ("it is open before anybody inside has sent", "full-cone", (("meta l4proto . th dport map @opened", "192.168.1.2"),),
     {"UDP unasked", "TCP unasked"}),
    ("it asks nobody where he comes from", "addr-restricted", (("meta l4proto . th dport . ip saddr @permitted", ""),),
     {"UDP filtering", "TCP filtering"}),
    ("it takes another port each time", "port-restricted", (("snat ip to 192.175.48.1 : th sport", "masquerade fully-random"),),
     {"UDP mapping", "TCP mapping", "UDP port", "TCP port", "TCP filtering"}),
    ("it takes the same port each time", "symmetric", (("masquerade fully-random", "masquerade"),),
     {"UDP mapping", "TCP mapping", "UDP port", "TCP port", "TCP filtering"}),
    ("it knows no TCP", "full-cone", ((LEARNS, LEARNS.replace("{ tcp, udp }", "udp")),), {"TCP filtering"}),
    ("it knows no UDP", "addr-restricted", ((LEARNS, LEARNS.replace("{ tcp, udp }", "tcp")),), {"UDP filtering"}),
    ("it moves ports", "full-cone", (("192.175.48.1 : th sport", "192.175.48.1 : th sport ^ 4096"),), {"UDP port", "TCP port"}),
    ("it refuses aloud", "port-restricted", ((ACCEPTS, f"{ACCEPTS}\n    reject"),),
     {"UDP unasked", "TCP unasked", "TCP filtering"}),  # whoever comes early to a simultaneous open gives up
    ("it resets", "symmetric", ((ACCEPTS, f"{ACCEPTS}\n    meta l4proto tcp reject with tcp reset"),), {"TCP unasked"}),
)


@test
def a_router_that_is_not_what_it_is_called_is_found_out(bed):
    for why, kind, spoiled, wrong in WRONG:
        with laboratory({"nat": Nat(kind, keep_port=True, spoiled=spoiled)}) as lab:
            found, promised = examined(lab, "nat"), expected(lab["nat"])
            same({name for name in promised if found[name] != promised[name]}, wrong, f"{kind}, but {why}")


@test
def a_neighbour_is_reached_by_its_outside_address_where_the_router_hairpins(bed):
    with laboratory({"turns": Nat("full-cone", hosts=2, hairpin=True), "not": Nat("full-cone", hosts=2)}) as lab:
        for name, wanted in (("turns", [(b"hairpin", (lab["turns"].address, lab["turns"].outside_port(4101)))]), ("not", [])):
            near, far = lab[name].hosts
            with near.socket(socket.SOCK_DGRAM, 4100) as inside, far.socket(socket.SOCK_DGRAM, 4101) as neighbour, \
                    Examination(near, lab["one"].host, lab["two"].host) as ask:
                inside.sendto(b"open", (lab["one"].address, FIRST))
                ask.fence()
                neighbour.sendto(b"hairpin", (lab[name].address, lab[name].outside_port(4100)))
                # The way is through the router alone, and a fence beside it is as long.
                until(lambda: select.select([inside], [], [], 0)[0] or not wanted, "the neighbour's datagram comes")
                ask.fence()
                same([inside.recvfrom(100)] if select.select([inside], [], [], 0)[0] else [], wanted, name)


def met(site):
    """Two neighbours that dial each other's outside address, first one, then both: who gets through, as (alone, together)."""
    near, far = site.hosts
    ports = (4100, 4101)
    outside = [(site.address, site.outside_port(port) or port) for port in ports]
    with listener(near, ports[0]), listener(far, ports[1]):
        alone = dialled(near, ports[0], outside[1])
        time.sleep(0.3)
        first = outcome(alone)
        if first == "passes":
            alone.close()
            return first, first
        together = dialled(far, ports[1], outside[0])
        until(lambda: outcome(together) == "passes" or site.nat.kind == "symmetric", "the simultaneous open")
        results = first, outcome(together)
        alone.close()
        together.close()
        return results


@test
def neighbours_dial_each_other_by_a_hairpin_as_their_router_lets_others_in(bed):
    wanted = {"full-cone": ("passes", "passes"), "addr-restricted": ("dropped", "passes"), "port-restricted": ("dropped", "passes"),
              "symmetric": ("dropped", "dropped")}
    with laboratory({kind: Nat(kind, hosts=2, hairpin=True) for kind in wanted}) as lab:
        for kind in wanted:
            # A mapping that others can use is there when each has dialled somebody from its port.
            for host, port in zip(lab[kind].hosts, (4100, 4101)):
                with listener(lab["one"].host, FIRST) as friend, dialled(host, port, (lab["one"].address, FIRST)):
                    accepted(friend)[0].close()
        same({kind: met(lab[kind]) for kind in wanted}, wanted)


def stranger_comes(ask, site, port, from_port):
    """One who has not been heard before sends to where the inside port was seen; returns when his word is there or dropped."""
    with ask.two.socket(socket.SOCK_DGRAM, from_port) as stranger:
        stranger.sendto(b"%d" % from_port, (site.address, site.outside_port(port)))
        ask.fence()


def heard(sock):
    words = []
    while select.select([sock], [], [], 0)[0]:
        words.append(int(sock.recv(100)))
    return words


def mappings_end(seconds):
    """Strangers come from ever new ports, as what the kernel knows of one is kept up by himself."""
    with laboratory({"cone": Nat("full-cone", timeout_s=seconds)}) as lab:
        site, numbers = lab["cone"], itertools.count(20000)
        with Examination(site.host, lab["one"].host, lab["two"].host) as ask, site.host.socket(socket.SOCK_DGRAM, 4100) as inside:
            def passes():
                number = next(numbers)
                stranger_comes(ask, site, 4100, number)
                return number in heard(inside)
            began = time.monotonic()
            while time.monotonic() - began < seconds + 2:
                inside.sendto(b"open", (lab["one"].address, FIRST))
                time.sleep(seconds / 8)
            want(passes(), "the inside has sent all the time, and still the mapping ended")
            ended = time.monotonic()
            until(lambda: time.sleep(seconds / 8) or not passes(), "a mapping ends though strangers use it", 4 * seconds)
            # Not before its time, counted from the last packet of the inside, which was an eighth before.
            want(time.monotonic() - ended > seconds / 2, f"it ended after {time.monotonic() - ended:.1f} s")


@test
def a_mapping_ends_when_the_inside_is_silent_for_four_seconds(bed):
    mappings_end(4)


@full
@test
def a_mapping_ends_when_the_inside_is_silent_for_thirty_seconds(bed):
    mappings_end(30)


def connected(lab, site, port):
    """A TCP connection from the site's host to a public one: both ends."""
    with lab["one"].host.socket(socket.SOCK_STREAM, FIRST) as listener:
        listener.listen()
        inside = site.host.socket(socket.SOCK_STREAM, port)
        inside.connect_ex((lab["one"].address, FIRST))
        want(select.select([listener], [], [], 20)[0], "no connection came")
        outside, _ = listener.accept()
    return inside, outside


@test
def a_router_that_reboots_is_silent_and_has_forgotten_everything(bed):
    for kind in ("full-cone", "symmetric"):
        with laboratory({"nat": Nat(kind, keep_port=True)}) as lab:
            site = lab["nat"]
            old, other_end = connected(lab, site, 4100)
            with old, other_end, site.host.socket(socket.SOCK_DGRAM, 4200) as inside, \
                    lab["one"].host.socket(socket.SOCK_DGRAM, FIRST) as outside:
                inside.sendto(b"1", (lab["one"].address, FIRST))
                until(lambda: heard(outside) == [1], "the router works")
                with site.router.rebooting():
                    inside.sendto(b"2", (lab["one"].address, FIRST))
                old.send(b"lost")
                # A fence is a dial of its own: it also says that the router works again.
                with Examination(site.host, lab["one"].host, lab["two"].host) as ask:
                    ask.fence()
                    same(heard(outside), [], "what came out of a router that was off")
                    if kind == "full-cone":
                        stranger_comes(ask, site, 4200, 20000)
                        same(heard(inside), [], "what came by a mapping from before")
                same(select.select([other_end], [], [], 0)[0], [], "what came over the connection from before")
                for end in connected(lab, site, 4101):
                    end.close()


@test
def a_router_with_a_new_address_is_no_longer_at_the_old_one(bed):
    for kind in KINDS:
        with laboratory({"nat": Nat(kind)}) as lab:
            site, old = lab["nat"], lab["nat"].address
            same(examined(lab, "nat"), expected(site))
            moved = old.rsplit(".", 1)[0] + ".2"
            site.move(moved)
            same(site.address, moved)
            same(properties(site, lab["one"].host, lab["two"].host, port=4011), expected(site), kind)
            with Examination(site.host, lab["one"].host, lab["two"].host) as ask:
                before = (old, site.outside_port(4011) or 4011)
                same([ask.udp_unasked(4020, before), ask.tcp_unasked(4021, before)], ["dropped", "dropped"])


@test
def nothing_leads_out_of_the_laboratory(bed):
    nats = {"cone": Nat("full-cone"), "double": Nat("symmetric", behind=Nat("port-restricted"))}
    with laboratory(nats) as lab:
        for site in lab.sites.values():
            before = lab.counts()
            with site.host.socket(socket.SOCK_DGRAM) as sock, site.host.socket() as stream:
                for number, somewhere in enumerate(("1.1.1.1", "192.168.1.77", "10.0.0.1"), 1):
                    sock.sendto(b"out", (somewhere, 53))
                stream.connect_ex(("1.1.1.1", 443))
                until(lambda: lab.counts()["no_way"] - before["no_way"] >= 2, f"the switch drops what leaves {site.name}")
                same([lab.counts()[name]["passed"] for name in lab.sites], [before[name]["passed"] for name in lab.sites])
                same(outcome(stream), "dropped")
    same(ran("ip", "route"), "", "ways out beside the laboratory")


@test
def the_switch_loses_as_many_packets_as_it_is_told(bed):
    with Lab(SWITCH, PUBLIC) as lab:
        lab.way("two", loss_percent=25)
        with lab["one"].host.socket(socket.SOCK_DGRAM, FIRST) as out:
            for number in range(2000):
                out.sendto(b"maybe", (lab["two"].address, THIRD))
                if number % 100 == 99:  # what a line holds is bounded
                    until(lambda: sum(lab.counts()["two"][k] for k in ("passed", "lost", "dropped")) > number, "all are counted")
        lost = lab.counts()["two"]["lost"]
        want(400 <= lost <= 600, f"{lost} of 2000 packets were lost")


@test
def the_switch_delays_packets_and_lets_others_overtake_them(bed):
    with Lab(SWITCH, PUBLIC, delay_ms=30) as lab:
        one, two = lab["one"].host, lab["two"].host
        with one.socket(socket.SOCK_DGRAM, FIRST) as near, two.socket(socket.SOCK_DGRAM, THIRD) as far:
            began = time.monotonic()
            near.sendto(b"0", (two.address, THIRD))
            want(select.select([far], [], [], 20)[0], "nothing came")
            far.sendto(b"1", (one.address, FIRST))
            want(select.select([near], [], [], 20)[0], "nothing came back")
            want(time.monotonic() - began >= 0.06, "there and back in less than twice the delay")
            lab.way("two", delay_ms=1, reorder_percent=20, late_ms=30)
            heard(far)
            for number in range(100):
                near.sendto(b"%d" % number, (two.address, THIRD))
            came = []
            until(lambda: came.extend(heard(far)) or len(came) == 100, "all hundred packets come")
            same(sorted(came), list(range(100)))
            want(came != sorted(came), "nobody was overtaken")
            same(lab.counts()["two"]["overtaken"] > 5, True, "packets that were held back are counted")


def processes():
    """Those that have not ended, whether or not somebody has asked how."""
    running = set()
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if status.read_text().rsplit(")", 1)[1].split()[0] != "Z":
                running.add(int(status.parent.name))
    return running


HOLD = """
import sys, tempfile
sys.path[:0] = %r
from enclosure import enclose
enclose()
from lab import Lab, Nat
with Lab(%r, {"one": None, "two": None, "nat": Nat("full-cone")}) as lab:
    lab["nat"].host.start("sleep", "1000")
    print(tempfile.mkdtemp(), flush=True)
    sys.stdin.read()
"""


def another():
    """A laboratory with the names and addresses that all have, held by a runner of its own."""
    code = HOLD % ([str(pathlib.Path(__file__).parent)], SWITCH)
    runner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return runner, runner.stdout.readline().decode().strip()


@test
def two_laboratories_at_a_time_do_not_meet(bed):
    runner, _ = another()
    with runner.stdin, runner.stdout:
        with laboratory({"nat": Nat("full-cone")}) as lab:
            same(examined(lab, "nat"), expected(lab["nat"]))
    same(runner.wait(20), 0)


@test
def a_runner_that_is_killed_leaves_no_process_and_no_file(bed):
    """Nothing else could outlive it: namespaces and devices are held by processes and by mounts, and mounts by namespaces."""
    before = processes()
    for victim in ("outer", "inner", "switch"):
        runner, folder = another()
        children = sorted(processes() - before - {runner.pid})
        want(len(children) >= 3, f"a runner has its inner self, a switch and a sleeper, here are {children}")
        names = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in children}
        killed = {"outer": runner.pid, "inner": children[0], "switch": next(p for p in children if names[p] == SWITCH.encode())}[victim]
        os.kill(killed, signal.SIGKILL)
        runner.stdin.close()
        runner.stdout.close()
        runner.wait(20)
        until(lambda: not processes() - before, f"all processes end when the {victim} one is killed")
        want(folder and not os.path.exists(folder), f"the folder {folder} is left when the {victim} one is killed")
