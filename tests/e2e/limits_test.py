"""Limits that strangers run into, each named in the log: places of one peer, idle connections."""
from dialer import Dialer, Ended, Key
from peers import PATIENCE, main, test, until, want


def stranger(bed, peer, key=None):
    """Connected, or None when it was turned away."""
    try:
        dialer = Dialer(peer.port, key, patience=PATIENCE)
        bed.sockets.append(dialer.socket)
        return dialer.upgrade()
    except (Ended, OSError):
        return None


def is_alive(dialer):
    if not dialer:
        return False
    try:
        stream = dialer.open("/ipfs/ping/1.0.0")
        stream.send(b"p" * 32)
        return stream.take(32) == b"p" * 32
    except (Ended, OSError):
        return False


@test
def a_peer_may_have_so_many_connections_and_no_more(bed):
    peer, key = bed.peer("peer", "--max-conns-per-peer", "2"), Key()
    first, second = stranger(bed, peer, key), stranger(bed, peer, key)
    want(is_alive(first) and is_alive(second), "two are within the limit")
    want(not is_alive(stranger(bed, peer, key)), "the third is served")
    peer.saw("limit reached, connection refused", limit="conns_peer", option="--max-conns-per-peer")
    want(is_alive(first) and is_alive(second) and is_alive(stranger(bed, peer)), "the others were touched")


@test
def a_newcomer_takes_the_place_of_the_connection_that_was_idle_longest(bed):
    peer = bed.peer("peer", "--max-conns", "4", "--idle-timeout", "1s")
    old = [stranger(bed, peer) for _ in range(4)]
    want(all(is_alive(d) for d in old), "four are within the limit")
    until(lambda: is_alive(stranger(bed, peer)), "a newcomer is served")
    want(sum(is_alive(d) for d in old) in (2, 3), "one made room, or two for a newcomer that came again")


if __name__ == "__main__":
    main()
