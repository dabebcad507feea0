"""Two running peers with one identity file: who dials the other says so, and does not call for ever.

In Noise XX the listener proves itself first, so the dialler leaves before it has said who it is.
"""
import shutil
import time

from peers import free_port, main, same, test, want


@test
def a_copied_identity_is_told_by_who_dials_it_and_makes_no_storm(bed):
    first = bed.peer("first")
    shutil.copy(first.key, bed.path / "second.key")
    second = bed.peer("second", "--bootstrap", first.addr.split("/p2p/")[0])
    same(second.id, first.id, "the identity of the copy")
    text = "another running peer has our identity; give one of them a key of its own"
    second.saw(text)
    time.sleep(4)  # in which dials would have come after 1 and 2 s
    want(len(second.find("dialing")) <= 2, f"{len(second.find('dialing'))} dials")
    want(len(second.find(text)) <= 2, f"told {len(second.find(text))} times")
    third = bed.peer("third", "--bootstrap", first.addr)
    third.connected(first)


@test
def an_address_of_our_own_is_no_twin(bed):
    port = free_port()
    peer = bed.peer("peer", "--bootstrap", f"/ip4/127.0.0.1/tcp/{port}", listen=f"/ip4/127.0.0.1/tcp/{port}")
    time.sleep(2)
    same([e.text for e in peer.entries() if "our identity" in e.text], [], "lines that speak of a twin")


if __name__ == "__main__":
    main()
