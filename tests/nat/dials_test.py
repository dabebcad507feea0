"""Which plain dials pass: every dialer against every listener, each behind a router of its kind, before anybody punches a hole.

Run by nat.py. The tables that it prints are what relays and hole punching start from. Dialer and listener are C, go and rust.
"""
import contextlib
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import run as interop
from lab import Lab
from nat import SWITCH, slow
from nodes import listening
from peers import PATIENCE, same, test, until, want
from router import KINDS, Nat

PLACES = ("none", *KINDS)
PORT = 4001
# For dials that must not pass: longer than one that does, and all of them wait at the same time.
BLOCKED_S = 3
KAD = "/punchgate/kad/1.0.0"


class C:
    name = "C"

    def listen(self, bed, stack, host, name, bootstrap):
        more = ("--bootstrap", bootstrap) if bootstrap else ()
        with host.inside():
            return bed.peer(name, *more, listen=f"/ip4/0.0.0.0/tcp/{PORT}").id

    def dial(self, bed, host, addr, seconds):
        with host.inside():
            status, out, _ = bed.run("ping", addr, "--json", "--timeout", f"{seconds}s", patience=seconds + PATIENCE)
        last = json.loads(out.splitlines()[-1])
        if status == 0:
            return "passes" if last["received"] == 1 else f"a ping without an answer: {last}"
        return "dropped" if (status, last["code"]) == (75, "timeout") else last["reason"]


class Library:
    """A peer of tests/interop."""

    def __init__(self, name):
        self.name = name
        self.peer = next(p for p in interop.PEERS if p.name == name)

    def listen(self, bed, stack, host, name, bootstrap):
        more = ("--kad", KAD, "--bootstrap", bootstrap) if bootstrap else ()
        with host.inside():
            # Not 0.0.0.0: rust would dial before it has heard of all its addresses, and then from another port.
            argv = self.peer.argv("listen", "--addr", f"/ip4/{host.address}/tcp/{PORT}", *more)
            return stack.enter_context(listening(argv, "")).peer

    def dial(self, bed, host, addr, seconds):
        with host.inside():
            dialer = subprocess.Popen(self.peer.argv("ping", addr, "--count", 1), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True)
        try:
            last = json.loads(dialer.communicate(timeout=seconds)[0].splitlines()[-1])
        except subprocess.TimeoutExpired:
            dialer.kill()
            dialer.communicate()
            return "dropped"
        return "passes" if last.get("received") == 1 else last.get("reason", str(last))


def table(title, found, dialers):
    width = max(map(len, (*PLACES, *dialers)))
    print(f"      {title}\n      {'':{width}} " + " ".join(f"{place:>{width}}" for place in PLACES))
    for dialer in dialers:
        print(f"      {dialer:{width}} " + " ".join(f"{found[dialer, place]:>{width}}"[:40] for place in PLACES))


def check(bed, lab, side, targets, dialers, may, title):
    """Lets all of `dialers` (name to host) dial all `targets` (place to address) at once, and compares with `may(dialer, place)`."""
    cells = [(dialer, place) for dialer in dialers for place in PLACES]
    wanted = {cell: "passes" if may(*cell) else "dropped" for cell in cells}
    def one(cell):  # noqa: E306
        return side.dial(bed, dialers[cell[0]], targets[cell[1]], PATIENCE if wanted[cell] == "passes" else BLOCKED_S)
    with ThreadPoolExecutor(len(cells) if side.name == "C" else 10) as pool:
        found = dict(zip(cells, pool.map(one, cells)))
    table(title, found, dialers)
    same({cell: got for cell, got in found.items() if got != wanted[cell]}, {}, "cells that are not as they must be")


def laboratory(**router):
    """A listener `l.KIND` and a dialer `d.KIND` behind each kind of router, and a public friend of all listeners."""
    sites = {"friend": None}
    for place in PLACES:
        sites[f"d.{place}"] = Nat(place) if place in KINDS else None
        sites[f"l.{place}"] = Nat(place, **router) if place in KINDS else None
    return Lab(SWITCH, sites)


def hosts(lab):
    return {place: lab[f"d.{place}"].host for place in PLACES}


def unknown_listeners(bed, dialing, answering):
    """Listeners that have dialled nobody: reached where they are public, or where the router forwards a port."""
    with laboratory(forwards=(PORT,)) as lab, contextlib.ExitStack() as stack:
        ids = {place: answering.listen(bed, stack, lab[f"l.{place}"].host, f"l.{place}", None) for place in PLACES}
        def at(port):  # noqa: E306
            return {place: f"/ip4/{lab[f'l.{place}'].address}/tcp/{port(place)}/p2p/{ids[place]}" for place in PLACES}
        mapped = at(lambda place: lab[f"l.{place}"].outside_port(PORT) or PORT ^ 1)
        check(bed, lab, dialing, mapped, hosts(lab), lambda dialer, place: place == "none",
              f"{dialing.name} dials {answering.name}, which nobody has heard of")
        check(bed, lab, dialing, at(lambda place: PORT), hosts(lab), lambda dialer, place: True,
              f"{dialing.name} dials {answering.name} at a port that the router forwards")


def seen_from(friend, peer):
    """The address at which a listener's own dial came to its friend."""
    def line():
        return [e.text for e in friend.entries() if e.message.startswith("connection opened") and f"peer={peer} " in e.text + " "]
    text = until(line, f"{peer} connects to its friend")[0]
    return re.search(r"send_back_addr: (/ip4/[0-9.]+/tcp/(\d+))", text)


def listeners_with_a_friend(bed, dialing, answering):
    """Listeners with a connection to a public friend: reached at the address which that one sees, as far as their routers let others in."""
    with laboratory() as lab, contextlib.ExitStack() as stack:
        with lab["friend"].host.inside():
            friend = bed.peer("friend", "--nat-status", "public", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
        bootstrap = f"/ip4/{lab['friend'].address}/tcp/{PORT}/p2p/{friend.id}"
        targets = {}
        for place in PLACES:
            site = lab[f"l.{place}"]
            peer = answering.listen(bed, stack, site.host, f"l.{place}", bootstrap)
            seen = seen_from(friend, peer)
            if place != "symmetric":  # whoever listens dials from there, so that a cone shows everybody the same port
                same(seen[1], f"/ip4/{site.address}/tcp/{site.outside_port(PORT) if site.routers else PORT}", place)
            want(int(seen[2]) != PORT or place == "none", f"the router of {place} kept the port")
            targets[place] = f"{seen[1]}/p2p/{peer}"
        open_to = {"friend": ("none", "full-cone", "addr-restricted")}
        check(bed, lab, dialing, targets, hosts(lab) | {"friend": lab["friend"].host},
              lambda dialer, place: place in open_to.get(dialer, ("none", "full-cone")),
              f"{dialing.name} dials {answering.name} where a friend of it sees it")


def pair(dialing, answering, attempt, name):
    def runs(bed):
        attempt(bed, dialing, answering)
    runs.libraries = [side.name for side in (dialing, answering) if isinstance(side, Library)]
    runs.__name__ = name.format(dialing=dialing.name, answering=answering.name)
    return test(runs if dialing.name == answering.name == "C" else slow(runs))


GO, RUST = Library("go"), Library("rust")
for sides in ((C(), C()), (C(), GO), (GO, C()), (C(), RUST), (RUST, C())):
    pair(*sides, unknown_listeners, "{dialing}_reaches_{answering}_that_nobody_knows_where_it_is_public_or_a_port_is_forwarded")
    pair(*sides, listeners_with_a_friend, "{dialing}_reaches_{answering}_that_has_a_friend_as_far_as_its_router_lets_others_in")
