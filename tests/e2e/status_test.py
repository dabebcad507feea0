"""status: a running peer tells about itself over its control socket."""
import json
import os
import signal
import socket
import stat
import threading

from dialer import FIN, Dialer, field, uvarint
from peers import PATIENCE, echo, main, same, speaks, test, until, want


def status(bed, peer, *more):
    got, out, error = bed.run("status", "--control", f"{peer.key}.sock", "--json", *more)
    same(got, 0, f"{out}{error}")
    return json.loads(out)


@test
def status_has_phase_nat_relay_addresses_connections_tunnels_and_counters(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    want(speaks(bed.connect(port)))
    said = status(bed, consumer)
    for key in ("peer", "phase", "nat", "relay", "addresses", "dht", "relaying", "connections", "tunnels", "counters"):
        want(key in said, f"{key} is missing in {said}")
    same(said["peer"], consumer.id)
    want(said["phase"] in ("Discovering", "Participating"), said["phase"])
    same(said["nat"], "Unknown")
    want(isinstance(said["relay"], str) and said["relay"], f"{said['relay']}")
    same(said["addresses"], consumer.addrs)
    want(any(c["peer"] == provider.id for c in said["connections"]), f"{said['connections']}")
    want(any("echo" in json.dumps(t) and provider.id in json.dumps(t) for t in said["tunnels"]), f"{said['tunnels']}")
    counters = said["counters"]
    same((counters["tunnels_opened_consumer"], counters["tunnels_consumer"], counters["connections"]), (1, 1, 1))
    want(counters["bytes_sent"] > 0 and counters["bytes_received"] > 0, f"{counters}")
    same(status(bed, provider)["counters"]["tunnels_opened_provider"], 1)


@test
def strangers_with_long_names_leave_room_for_all_else_in_the_answer(bed):
    peer = bed.peer("crowded")
    for _ in range(500):
        stranger = Dialer(peer.port)
        bed.sockets.append(stranger.socket)
        stranger.upgrade()
        said = field(6, b"\1" * 64)
        stranger.open("/ipfs/id/push/1.0.0").send(uvarint(len(said)) + said, FIN)
    until(lambda: len(peer.find("peer identified")) == 500, "all have said who they are")
    said = status(bed, peer)
    listed, left_out = len(said["connections"]), said["connections_left_out"]
    want(listed > 100 and left_out > 0 and listed + left_out == 500, f"{listed} listed, {left_out} left out")
    want(said["counters"]["connections"] == 500, f"{said['counters']}")


@test
def bytes_and_clients_are_counted_by_connection_tunnel_and_service(bed):
    service = bed.service(echo)
    provider, consumer, port = bed.pair("echo", service.port)
    open_ones = [bed.connect(port) for _ in range(3)]
    for number, client in enumerate(open_ones):
        want(speaks(client, b"x" * (1000 * (number + 1))))
    want(speaks(ended := bed.connect(port), b"y" * 500))
    ended.close()
    consumer.saw("client tunnel closed")
    provider.saw("tunnel closed")
    at_consumer, at_provider = status(bed, consumer), status(bed, provider)
    tunnel, exposed = at_consumer["tunnels"][0], at_provider["exposed"][0]
    same((tunnel["clients"], tunnel["bytes_to_remote"], tunnel["bytes_from_remote"]), (3, 6500, 6500), f"{tunnel}")
    same((exposed["clients"], exposed["bytes_to_service"], exposed["bytes_from_service"]), (3, 6500, 6500), f"{exposed}")
    want(tunnel["id"] > 0 and exposed["id"] > 0, f"{tunnel} {exposed}")
    for said in (at_consumer, at_provider):
        line = said["connections"][0]
        want(line["bytes_in"] > 6500 and line["bytes_out"] > 6500 and line["id"] > 0, f"{line}")
    out = bed.run("status", "--control", f"{consumer.key}.sock")[1]
    want("3 clients, 6500 bytes out, 6500 in" in out and "bytes in, " in out, out)


@test
def a_verdict_is_no_older_than_its_peer(bed):
    answer = status(bed, bed.peer("peer"))
    want(answer["reachability"]["since_s"] <= answer["uptime_s"], f"{answer['reachability']}, up for {answer['uptime_s']} s")


@test
def the_counters_know_every_metric(bed):
    from peers import ROOT
    peer = bed.peer("peer")
    listed = {line.split()[0] for line in (ROOT / "spec/metrics.list").read_text().splitlines()
              if line.strip() and not line.startswith("#")}
    listed |= {"refused_" + line.split()[1] for line in (ROOT / "spec/limits.list").read_text().splitlines()
               if line.startswith("limit ") and "refuses=" in line}
    same(set(status(bed, peer)["counters"]), listed)


@test
def people_get_text(bed):
    peer = bed.peer("peer")
    got, out, _ = bed.run("status", "--control", f"{peer.key}.sock")
    same(got, 0)
    want(peer.id in out and "Unknown" in out and not out.startswith("{"), out)


@test
def the_socket_stands_beside_the_identity_file_with_mode_0600_and_goes_with_the_peer(bed):
    before = os.umask(0)
    try:
        peer = bed.peer("peer")
    finally:
        os.umask(before)
    socket = bed.path / "peer.key.sock"
    mode = socket.stat().st_mode
    want(stat.S_ISSOCK(mode), "no socket")
    same(stat.S_IMODE(mode), 0o600, "mode")
    same(bed.run("status", "--identity", peer.key)[0], 0)
    peer.stop()
    want(not socket.exists(), "the socket is still there")


@test
def a_nat_status_that_is_given_shows(bed):
    for given, shown in (("private", "Private"), ("public", "Public")):
        peer = bed.peer(given, "--nat-status", given)
        same(status(bed, peer)["nat"], shown)
        same(peer.saw("applying --nat-status override").fields["status"], shown)


@test
def without_a_peer_it_is_status_69(bed):
    got, out, error = bed.run("status", "--control", bed.path / "nobody.sock", "--json")
    same(got, 69, f"{out}{error}")
    same(json.loads(out)["event"], "error")
    got, out, error = bed.run("status", "--control", bed.path / "nobody.sock")
    same((got, out), (69, ""))
    want("nobody.sock" in error, error)


@test
def control_off_opens_no_socket(bed):
    peer = bed.peer("peer", "--control", "off")
    same(list(bed.path.glob("*.sock")), [])
    same(bed.run("status", "--identity", peer.key)[0], 69)


@test
def a_socket_that_a_killed_peer_left_behind_is_replaced(bed):
    peer = bed.peer("peer")
    peer.kill()
    want((bed.path / "peer.key.sock").exists(), "the kill has removed the socket")
    again = bed.peer("peer")
    same(status(bed, again)["peer"], peer.id)


@test
def two_peers_do_not_take_each_others_socket(bed):
    first = bed.peer("first")
    second = bed.peer("second", "--control", bed.path / "first.key.sock", ready=False)
    want(second.wait() not in (0, -9), "a peer without the socket it was told to have must not look healthy")
    same(status(bed, first)["peer"], first.id)
    want("first.key.sock" in second.text(), "the second peer says nothing of the socket that is taken")


@test
def a_socket_path_that_holds_a_file_is_told_and_the_file_is_kept(bed):
    path = bed.path / "precious"
    path.write_text("keep me")
    peer = bed.peer("peer", "--control", path, ready=False)
    want(peer.wait() not in (0, -9), "a peer without the socket it was told to have must not look healthy")
    want("precious" in peer.text(), "not a word about the file")
    same(path.read_text(), "keep me")


@test
def garbage_on_the_socket_ends_that_connection_only(bed):
    import socket
    peer = bed.peer("peer")
    for junk in (b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n", b"{" * 5000 + b"\n"):
        client = socket.socket(socket.AF_UNIX)
        bed.sockets.append(client)
        client.connect(str(bed.path / "peer.key.sock"))
        client.settimeout(10)
        try:
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1000):
                pass
        except OSError:
            pass
    same(status(bed, peer)["peer"], peer.id)


@test
def an_answer_that_does_not_come_is_a_failure(bed):
    """A peer short of memory closes without a word: that is no status of which nothing is to be said."""
    path = bed.path / "mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()

        def close_at_once():
            client = mute.accept()[0]
            client.recv(100)
            client.close()

        thread = threading.Thread(target=close_at_once)
        thread.start()
        status, out, error = bed.run("status", "--control", path)
        thread.join(PATIENCE)
    want(status != 0 and not out, f"status {status}: {out!r}")
    want("mute.sock" in error and "without an answer" in error, error)


if __name__ == "__main__":
    main()
