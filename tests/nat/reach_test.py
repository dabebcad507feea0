"""Whether a peer can be reached, as AutoNAT says: the command, servers and clients of C, go and rust, and what a running peer makes of it.

Run by nat.py. One server in public, and clients behind routers of each kind, with a port forwarded and without.
"""
import json

from dials_test import PLACES, PORT
from lab import Lab
from nat import SWITCH, slow
from peers import same, test, until, want
from router import KINDS, Nat


def sites(**router):
    return {"server": None, **{place: Nat(place, **router) if place in KINDS else None for place in PLACES}}


def serve(bed, lab):
    """A server of AutoNAT in public; its address."""
    host = lab["server"].host
    with host.inside():
        peer = bed.peer("server", "--nat-status", "public", "--no-mdns", listen=f"/ip4/{host.address}/tcp/{PORT}").id
    return f"/ip4/{host.address}/tcp/{PORT}/p2p/{peer}"


def ask(bed, host, server, *more):
    """What the command says, and its status."""
    with host.inside():
        status, out, _ = bed.run("autonat", server, "--json", "--listen", f"/ip4/0.0.0.0/tcp/{PORT}", *more, patience=60)
    return status, json.loads(out.splitlines()[-1])


def reachable(kind, version):
    """Whether a server that the client has dialled from its listening port reaches it where it sees it."""
    return kind in ("none", "full-cone", "addr-restricted")


@slow
@test
def the_command_autonat_hears_from_a_server_of_C_who_is_reached(bed):
    """The pairs with go and rust are in autonat_test.py."""
    with Lab(SWITCH, sites()) as lab:
        server = serve(bed, lab)
        for version in (1, 2):
            for place in PLACES:
                status, said = ask(bed, lab[place].host, server, "--autonat-version", f"v{version}")
                same((status, said.get("reachability")), (0, "public" if reachable(place, version) else "private"),
                     f"C asked by v{version} from behind {place}: {said}")
                same(said["version"], version)


@test
def an_address_of_another_ip_is_tested_for_its_price(bed):
    with Lab(SWITCH, {"server": None, "home": Nat("port-restricted"), "other": None}) as lab:
        server = serve(bed, lab)
        there = f"/ip4/{lab['other'].address}/tcp/9999"
        status, said = ask(bed, lab["home"].host, server, "--external-address", there)
        same((status, said["reachability"], said["addr"], said["version"]), (0, "private", there, 2))
        want(30_000 <= said["dial_data_bytes"] <= 110_000, said)
        # Version 1 dials the asker's own IP and no other.
        before = lab.counts()["other"]["passed"]
        status, said = ask(bed, lab["home"].host, server, "--external-address", there, "--autonat-version", "v1")
        same((status, said.get("reachability")), (0, "private"), said)
        same(lab.counts()["other"]["passed"], before, "packets to somebody else")


@test
def a_forwarded_port_is_found_public(bed):
    with Lab(SWITCH, {"server": None, "home": Nat("symmetric", forwards=(PORT,))}) as lab:
        server = serve(bed, lab)
        there = f"/ip4/{lab['home'].address}/tcp/{PORT}"
        for version in ("v1", "v2"):
            status, said = ask(bed, lab["home"].host, server, "--external-address", there, "--autonat-version", version)
            same((status, said.get("reachability"), said.get("addr"), said.get("dial_data_bytes")), (0, "public", there, 0), said)


def verdict(peer, wanted, seconds=40):
    """Waits for what a running peer holds of its own reachability; its status then."""
    def holds():
        said = json.loads(peer.bed.run("status", "--control", f"{peer.key}.sock", "--json")[1])
        return said if said["nat"] == wanted else None
    return until(holds, f"the verdict {wanted}", seconds)


def client(bed, host, bootstraps, *more):
    words = [word for addr in bootstraps for word in ("--bootstrap", addr)]
    with host.inside():
        return bed.peer("client", "--no-mdns", *words, *more, listen=f"/ip4/0.0.0.0/tcp/{PORT}")


def verdicts(place, wanted, servers_wanted=1):
    def runs(bed):
        with Lab(SWITCH, {"s0": None, "s1": None, "s2": None, "home": Nat(place) if place in KINDS else None}) as lab:
            servers = []
            for n in range(servers_wanted):
                with lab[f"s{n}"].host.inside():
                    peer = bed.peer(f"s{n}", "--nat-status", "public", "--no-mdns", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
                servers.append(f"/ip4/{lab[f's{n}'].address}/tcp/{PORT}/p2p/{peer.id}")
            verdict(client(bed, lab["home"].host, servers), wanted)
    runs.__name__ = f"{servers_wanted}_servers_find_a_peer_behind_{place}_to_be_{wanted}".replace("-", "_")
    return test(runs if place in ("none", "port-restricted") else slow(runs))


# Who has been dialled comes in through a router that goes by addresses, and tells nothing of others: there a peer holds to be private.
for kind in PLACES:
    verdicts(kind, "Public" if kind == "none" else "Private")
verdicts("none", "Public", 3)
verdicts("symmetric", "Private", 3)


@test
def a_port_that_is_forwarded_makes_a_peer_public_within_one_refresh_and_private_again_when_it_is_not(bed):
    with Lab(SWITCH, {"server": None, "home": Nat("port-restricted")}) as lab:
        peer = client(bed, lab["home"].host, [serve(bed, lab)], "--autonat-refresh", "10s", "--autonat-retry", "5s")
        verdict(peer, "Private")
        router = lab["home"].router
        router.nat = Nat("port-restricted", forwards=(PORT,))
        router.load()
        there = f"/ip4/{lab['home'].address}/tcp/{PORT}/p2p/{peer.id}"
        until(lambda: there in verdict(peer, "Public", 60)["addresses"], "the address is told")
        router.nat = Nat("port-restricted")
        router.load()
        verdict(peer, "Private", 120)


@slow
@test
def a_peer_that_is_started_again_at_once_finds_out_again_where_it_stands(bed):
    # Its connections are still on their way out, and hold the port from which the new ones have to leave.
    with Lab(SWITCH, {"server": None, "home": Nat("port-restricted")}, delay_ms=50) as lab:
        server = serve(bed, lab)
        for _ in range(2):
            peer = client(bed, lab["home"].host, [server])
            seen = verdict(peer, "Private")["reachability"]["observed"]
            same([view["addr"] for view in seen], [f"/ip4/{lab['home'].address}/tcp/{PORT ^ 16384}"])
            peer.stop()


@test
def a_port_that_is_forwarded_is_found_by_strangers_where_the_router_keeps_ports(bed):
    """What the router makes of our port, and what is forwarded, is one address: who was dialled from there comes in anyhow."""
    with Lab(SWITCH, {"s0": None, "s1": None, "open": Nat("port-restricted", keep_port=True, forwards=(PORT,)),
                      "shut": Nat("addr-restricted", keep_port=True)}) as lab:
        servers = []
        for place in ("s0", "s1"):
            known = [word for addr in servers for word in ("--bootstrap", addr)]
            with lab[place].host.inside():
                peer = bed.peer(place, "--nat-status", "public", "--no-mdns", *known, listen=f"/ip4/0.0.0.0/tcp/{PORT}")
            servers.append(f"/ip4/{lab[place].address}/tcp/{PORT}/p2p/{peer.id}")
        peers = {}
        for place in ("open", "shut"):
            with lab[place].host.inside():
                peers[place] = bed.peer(place, "--no-mdns", "--bootstrap", servers[0], "--autonat-retry", "5s", listen=f"/ip4/0.0.0.0/tcp/{PORT}")
        there = f"/ip4/{lab['open'].address}/tcp/{PORT}/p2p/{peers['open'].id}"
        until(lambda: there in verdict(peers["open"], "Public", 60)["addresses"], "the address is told")
        verdict(peers["shut"], "Private")
