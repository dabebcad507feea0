"""Limits that strangers run into, each named in the log: places of one peer, idle connections."""
from dialer import Dialer, Ended, Key
from peers import PATIENCE, echo, main, same, speaks, test, until, want


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
def more_tunnels_than_a_peer_takes_on_one_connection_open_further_ones_and_break_none(bed):
    """The peer's limit is said nowhere: its refusals tell of it."""
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{bed.service(echo).port}", "--max-streams-per-conn", "20")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    consumer.connected(provider)
    port = consumer.tunnel_port("echo")
    first = [bed.connect(port) for _ in range(10)]
    want(all(speaks(client) for client in first), "ten are within the limit")
    clients = first + [bed.connect(port) for _ in range(60)]
    for n, client in enumerate(clients):
        want(speaks(client, b"%d" % n), f"tunnel {n} of {len(clients)} does not answer")
    want(len(consumer.find("connection opened", peer=provider.id)) >= 4, "four connections are the least that take them")
    same(consumer.find("client tunnel error") + consumer.find("connection closed"), [], "what broke")
    provider.saw("limit reached, stream refused", limit="streams_conn", option="--max-streams-per-conn")


@test
def a_newcomer_takes_the_place_of_the_connection_that_was_idle_longest(bed):
    peer = bed.peer("peer", "--max-conns", "4", "--idle-timeout", "1s")
    old = [stranger(bed, peer) for _ in range(4)]
    want(all(is_alive(d) for d in old), "four are within the limit")
    until(lambda: is_alive(stranger(bed, peer)), "a newcomer is served")
    want(sum(is_alive(d) for d in old) in (2, 3), "one made room, or two for a newcomer that came again")


if __name__ == "__main__":
    main()
