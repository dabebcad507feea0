"""The commands of dht: what they print, and how they end."""
import json

from peers import main, same, test, want


def failure(bed, *arguments):
    """(status, code, reason) of a question that fails, as JSON; as text it has the same status and reason."""
    status, out, error = bed.run("dht", *arguments, "--json", RUST_LOG="off")
    said = json.loads(out)
    same((said["event"], said["op"], said["ok"], error), ("dht", arguments[0], False, ""))
    plain, out, error = bed.run("dht", *arguments, RUST_LOG="off")
    same((plain, out), (status, ""))
    want(error.startswith("punchgate: ") and said["reason"] in error, error)
    return status, said["code"], said["reason"]


@test
def a_question_whose_bootstrap_peers_cannot_be_reached_ends_with_69(bed):
    nobody = "/ip4/127.0.0.1/tcp/9"
    same(failure(bed, "get", "/a", "--bootstrap", nobody),
         (69, "refused", "the bootstrap peer cannot be reached: Connection refused"))
    status, code, reason = failure(bed, "put", "/a", "1", "--bootstrap", nobody, "--bootstrap", "/ip4/127.0.0.1/tcp/19")
    same((status, code), (69, "refused"))
    want(reason.startswith("none of 2 bootstrap peers can be reached; the last: "), reason)


@test
def a_question_to_a_peer_without_that_network_ends_with_69_and_names_it(bed):
    peer = bed.peer("p")
    same(failure(bed, "get", "/a", "--bootstrap", peer.addr, "--kad-protocol", "/other/kad/1.0.0", "--timeout", "1s"),
         (69, "no_peers", "no peer of the Kademlia network is known: the bootstrap peers do not serve /other/kad/1.0.0"))


@test
def wrong_keys_and_missing_words_are_told_with_status_2(bed):
    for arguments, reason in ((("get",), "KEY is missing"), (("put", "k"), "VALUE is missing"), (("get", "k"), "--bootstrap is missing"),
                              (("find", "me", "--bootstrap", "/ip4/127.0.0.1/tcp/9"), '"me": not a peer id')):
        status, _, error = bed.run("dht", *arguments)
        same(status, 2)
        want(reason in error, error)


if __name__ == "__main__":
    main()
