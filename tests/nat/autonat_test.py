"""AutoNAT, both versions: what a server in public says about whoever asks it from behind a router of each kind. Run by nat.py."""
from concurrent.futures import ThreadPoolExecutor

from lab import Lab
from matrix import PLACES, PORT, READY_S, SIDES, Process
from nat import SWITCH, full, slow
from peers import same, test, want
from router import KINDS, Nat

# More than go's server takes for a dial that nobody answers (15 s).
ANSWER_S = 30
# A server dials back from its own address, and another port: whoever has asked it lets that in if its router goes by the address.
PUBLIC = ("none", "full-cone", "addr-restricted")
# rust's server of the second version never says that a dial has failed: it resets the stream after 10 s. There nobody may hear `public`.
SILENT = ("rust", 2)
SILENCE_S = 14


def site(place, **router):
    return Nat(place, **router) if place in KINDS else None


def asked(folder, lab, client, name, server, version, patience):
    """What the server says to a peer at that site."""
    host = lab[name].host
    process = Process(host, client.autonat(folder, host, server, version), folder / f"{name}.log", client.environment(folder))
    try:
        told = process.until(lambda said: said["event"] in ("autonat", "error"), patience)
        want(told or patience < ANSWER_S, f"no answer to {name}: {process.story()}")
        return told or {"reachability": "unknown"}
    finally:
        process.end()


def verdicts(bed, server, client, version):
    """Places and what they are told; besides a place whose router forwards the port, where nobody has dialled before."""
    places = [*PLACES, "forwarded"]
    sites = {"server": None} | {place: site(place) for place in PLACES} | {"forwarded": Nat("port-restricted", keep_port=True, forwards=(PORT,))}
    with Lab(SWITCH, sites) as lab:
        at = lab["server"].host
        runs = Process(at, server.autonat_server(bed.path, at), bed.path / "server.log", server.environment(bed.path))
        try:
            ready = runs.until(lambda said: said["event"] == "ready", READY_S)
            want(ready, f"the server did not get ready: {runs.story()}")
            addr = f"/ip4/{at.address}/tcp/{PORT}/p2p/{ready['peer']}"
            def one(place):  # noqa: E306
                silent = (server.name, version) == SILENT and verdict(server, version, place) != "public"
                return asked(bed.path, lab, client, place, addr, version, SILENCE_S if silent else ANSWER_S)
            with ThreadPoolExecutor(len(places)) as pool:
                return dict(zip(places, pool.map(one, places)))
        finally:
            runs.end()


def verdict(server, version, place):
    if place in (*PUBLIC, "forwarded"):
        return "public"
    return "unknown" if (server.name, version) == SILENT else "private"


def pair(server, client, version, *marks):
    def runs(bed):
        found = verdicts(bed, server, client, version)
        wanted = {place: verdict(server, version, place) for place in found}
        # C tells what has failed, the others that they know nothing.
        told = {place: said.get("reachability") or said["code"].replace("stream_reset", "unknown") for place, said in found.items()}
        same({place: found[place] for place in told if told[place] != wanted[place]}, {}, "places that are told something else")
    runs.libraries = sorted({s.library for s in (server, client) if s.library})
    runs.__name__ = f"{client.name}_learns_of_{server.name}_by_AutoNAT_{version}_where_it_can_be_dialled"
    for mark in marks:
        runs = mark(runs)
    test(runs)


for server in SIDES:
    for client in SIDES:
        for version in (1, 2):
            pair(SIDES[server], SIDES[client], version, slow if "C" in (server, client) else full)
