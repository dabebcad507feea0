"""The commands of dht: what they print, and how they end."""
import json
import signal
import time

from dialer import Host, field, uvarint
from peers import main, same, test, until, want

# SHA-256 of "hello world": as a CID, and as the multihash that it stands for.
CID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
MULTIHASH = "0x1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
NOBODY = "/ip4/127.0.0.1/tcp/9"
KAD = "/punchgate/kad/1.0.0"


def mesh(bed, n=4):
    """Peers of which all but the first know the first only."""
    first = bed.peer("p0")
    rest = [bed.peer(f"p{i}", "--bootstrap", first.addr) for i in range(1, n)]
    for peer in rest:
        peer.saw("kademlia bootstrap complete")
    return [first, *rest]


def ask(bed, to, *arguments):
    """What a question that succeeds prints, without how long it was on its way."""
    status, out, error = bed.run("dht", *arguments, "--bootstrap", to.addr, "--json", RUST_LOG="off")
    same((status, error), (0, ""), out)
    said = json.loads(out)
    want(said.pop("hops") >= 1 and said.pop("messages") >= 1, out)
    same((said.pop("event"), said.pop("op"), said.pop("ok")), ("dht", arguments[0], True))
    return said


def text(bed, to, *arguments):
    status, out, error = bed.run("dht", *arguments, "--bootstrap", to.addr, RUST_LOG="off")
    same((status, error), (0, ""), out)
    return out


def entry(peer):
    return {"peer": peer.id, "addrs": [peer.addr.split("/p2p/")[0]]}


def failure(bed, *arguments, once=False):
    """(status, code, reason) of a question that fails, as JSON; as text, unless it is asked once, it has the same status and reason."""
    status, out, error = bed.run("dht", *arguments, "--json", RUST_LOG="off")
    said = json.loads(out)
    same((said["event"], said["op"], said["ok"], error), ("dht", arguments[0], False, ""))
    if once:
        return status, said["code"], said["reason"]
    plain, out, error = bed.run("dht", *arguments, RUST_LOG="off")
    same((plain, out), (status, ""))
    want(error.startswith("punchgate: ") and said["reason"] in error, error)
    return status, said["code"], said["reason"]


@test
def a_value_that_was_put_at_one_peer_is_got_at_another(bed):
    peers = mesh(bed)
    for key, value in (("/a/b", "one two"), ("/a/c", "0x00ff10"), ("/punchgate/svc/x", '"x"'), (CID, "of the CID")):
        same(ask(bed, peers[1], "put", key, value), {"stored": 4})
        same(ask(bed, peers[2], "get", key), {"value": value})
    same(ask(bed, peers[3], "get", MULTIHASH), {"value": "of the CID"})
    same(text(bed, peers[3], "put", "/a/b", "three"), "stored by 4 peers\n")
    same(text(bed, peers[1], "get", "/a/b"), "three\n")


@test
def what_nobody_has_is_not_found_with_status_1(bed):
    peers = mesh(bed, 2)
    for op in ("get", "providers"):
        same(failure(bed, op, "/no/such", "--bootstrap", peers[0].addr), (1, "not_found", "nobody who was asked knows it"))


@test
def a_value_that_its_key_does_not_allow_is_refused_before_anybody_is_asked(bed):
    [peer] = mesh(bed, 1)
    same(failure(bed, "put", "/punchgate/svc/x", '"y"', "--bootstrap", peer.addr)[1:],
         ("kad_value", "the value is not what its key asks for"))
    same(failure(bed, "get", "/punchgate/svc/x", "--bootstrap", peer.addr)[0], 1)


@test
def a_value_that_nobody_takes_is_told_as_refused_and_not_as_if_nobody_were_there(bed):
    def says_who_it_is():
        message = field(1, host.key.protobuf) + field(3, KAD.encode()) + field(6, b"picky/1.0")
        return uvarint(len(message)) + message

    def knows_nobody_and_takes_nothing():
        asked.append(1)
        return b"\x02\x08\x04" if len(asked) == 1 else b""

    asked = []
    host = Host({"/ipfs/id/1.0.0": says_who_it_is, KAD: knows_nobody_and_takes_nothing})
    bed.services.append(host)
    same(failure(bed, "put", "/a", "v", "--bootstrap", host.addr, once=True),
         (1, "kad_not_taken", "none of the peers nearest to the key has taken it"))
    same(len(asked), 2)


@test
def whoever_provides_with_a_listener_is_found_there_until_it_is_interrupted(bed):
    peers = mesh(bed)
    provider = bed.bare("provider", "dht", "provide", CID, "--bootstrap", peers[1].addr, "--listen", "/ip4/127.0.0.1/tcp/0", "--json")
    said = json.loads(provider.read_line())
    same((said["event"], said["op"], said["ok"], said["stored"]), ("dht", "provide", True, 4))
    [addr] = said["addrs"]
    wanted = [{"peer": said["peer"], "addrs": [addr.split("/p2p/")[0]]}]
    same(ask(bed, peers[2], "providers", MULTIHASH), {"providers": wanted})
    same(text(bed, peers[3], "providers", CID), f"{said['peer']} {wanted[0]['addrs'][0]}\n")
    same(json.loads(bed.run("identify", addr, "--json")[1])["peer"], said["peer"])
    same(provider.process.poll(), None)
    same(provider.stop(signal.SIGINT), 0)


@test
def whoever_provides_without_a_listener_announces_the_peer_with_its_key_and_ends(bed):
    peers = mesh(bed)
    said = ask(bed, peers[1], "provide", CID, "--identity", peers[3].key)
    same(said, {"peer": peers[3].id, "addrs": [], "stored": 4} | {"stored": said["stored"]})
    want(said["stored"] >= 2, said)
    same(ask(bed, peers[2], "providers", CID), {"providers": [entry(peers[3])]})


@test
def a_command_with_the_key_of_a_running_peer_does_not_take_its_place_in_the_tables_of_others(bed):
    peers = mesh(bed)
    ask(bed, peers[0], "provide", CID, "--identity", peers[3].key)
    for other in peers[:3]:
        want(peers[3].id in str(ask(bed, other, "closest", "any")["peers"]), f"{other.name} has forgotten it as a server")
        status, out, error = bed.run("status", "--identity", other.key, "--json")
        same((status, error), (0, ""))
        want(peers[3].id in str(json.loads(out)["relays"]), f"{other.name} has forgotten it as a relay")


@test
def a_peer_is_found_by_its_id_and_the_nearest_to_a_key_are_all_that_serve(bed):
    peers = mesh(bed)
    same(ask(bed, peers[1], "find", peers[3].id), {"peers": [entry(peers[3])]})
    same(text(bed, peers[2], "find", peers[3].id), f"{peers[3].id} {entry(peers[3])['addrs'][0]}\n")
    found = ask(bed, peers[1], "closest", "anything")["peers"]
    same(sorted(found, key=str), sorted((entry(peer) for peer in peers), key=str))
    same(ask(bed, peers[2], "closest", peers[3].id)["peers"][0], entry(peers[3]))
    # Whoever only asked is nobody's server.
    same(failure(bed, "find", "12D3KooWE3quQCP6Xu7eXpcmmpwVS1KofWnPCBWYNHCswgaqwCso", "--bootstrap", peers[0].addr)[:2], (1, "not_found"))


@test
def a_question_whose_bootstrap_peers_cannot_be_reached_ends_with_69(bed):
    same(failure(bed, "get", "/a", "--bootstrap", NOBODY),
         (69, "refused", "the bootstrap peer cannot be reached: Connection refused"))
    status, code, reason = failure(bed, "put", "/a", "1", "--bootstrap", NOBODY, "--bootstrap", "/ip4/127.0.0.1/tcp/19")
    same((status, code), (69, "refused"))
    want(reason.startswith("none of 2 bootstrap peers can be reached; the last: "), reason)


@test
def a_bootstrap_peer_that_does_not_serve_the_dht_is_told_at_once_and_not_waited_for(bed):
    def says_who_it_is():
        message = field(1, host.key.protobuf) + field(3, b"/ipfs/id/1.0.0") + field(3, b"/ipfs/ping/1.0.0") + field(6, b"simple/1.0")
        return uvarint(len(message)) + message

    host, silent = Host({"/ipfs/id/1.0.0": says_who_it_is}), Host({})
    bed.services += [host, silent]
    reason = "no peer of the Kademlia network is known: the bootstrap peers serve neither /punchgate/kad/1.0.0 nor /ipfs/kad/1.0.0"
    began = time.monotonic()
    for peers in ((host,), (silent,), (host, silent)):
        bootstraps = [word for peer in peers for word in ("--bootstrap", peer.addr)]
        for arguments in (("get", "/a"), ("put", "/a", "1"), ("provide", "/a", "--listen", "/ip4/127.0.0.1/tcp/0")):
            same(failure(bed, *arguments, *bootstraps, "--timeout", "60s"), (69, "no_peers", reason))
    same(failure(bed, "get", "/a", "--bootstrap", NOBODY, "--bootstrap", host.addr, "--timeout", "60s"), (69, "no_peers", reason))
    want(time.monotonic() - began < 60, "it waits for its time to be over")
    [peer] = mesh(bed, 1)
    same(ask(bed, peer, "closest", "/a", "--bootstrap", host.addr), {"peers": [entry(peer)]})


@test
def one_bootstrap_peer_of_several_is_enough(bed):
    [peer] = mesh(bed, 1)
    status, out, _ = bed.run("dht", "closest", "k", "--bootstrap", NOBODY, "--bootstrap", peer.addr, "--json")
    same((status, json.loads(out)["peers"]), (0, [entry(peer)]))


@test
def wrong_keys_and_missing_words_are_told_with_status_2(bed):
    for arguments, reason in ((("get",), "KEY is missing"), (("put", "k"), "VALUE is missing"), (("get", "k"), "--bootstrap is missing"),
                              (("put", "k", "", "--bootstrap", NOBODY), "not a value of 1 byte"),
                              (("provide", "k", "--bootstrap", NOBODY), "--listen is missing: nobody could reach"),
                              (("find", "me", "--bootstrap", NOBODY), '"me": not a peer id')):
        status, _, error = bed.run("dht", *arguments)
        same(status, 2)
        want(reason in error, error)


if __name__ == "__main__":
    main()
