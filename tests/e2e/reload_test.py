"""SIGHUP: the configuration is read again, and what is in the old and the new one stays untouched. Hostile rows 67 and 73."""
import json
import os
import signal
import socket
import threading

from dialer import Key
from peers import (echo, free_port, how_it_ends, main, pattern, read_exactly, refused_at, same, speaks, test, until, want)

HUP, TERM = signal.SIGHUP, signal.SIGTERM


class Scene:
    """A provider and a consumer that are configured by files alone."""

    def __init__(self, bed):
        self.bed = bed
        self.service = bed.service(echo)
        self.conf = {name: bed.path / f"{name}.conf" for name in ("provider", "consumer")}
        self.write("provider", self.expose("echo"))
        self.provider = self.start("provider")
        self.port = free_port()
        self.tunnel = f"tunnel = {self.provider.addr}:echo@127.0.0.1:{self.port}"
        self.write("consumer", self.tunnel)
        self.consumer = self.start("consumer")
        self.consumer.connected(self.provider)
        self.consumer.saw("tunnel listening")

    def expose(self, name, more=""):
        return f"expose = {name}=127.0.0.1:{self.service.port}{more}"

    def start(self, name, ready=True):
        return self.bed.peer(name, "--config", self.conf[name], ready=ready)

    def write(self, name, *lines):
        self.conf[name].write_text("".join(line + "\n" for line in lines))

    def reload(self, peer, *lines, message="configuration reloaded"):
        """Writes the file anew, sends the signal, and returns the line that tells what came of it."""
        if lines:
            self.write(peer.name, *lines)
        before = len(peer.find(message))
        peer.send(HUP)
        return until(lambda: peer.find(message)[before:], f"{peer.name} logs {message!r} again")[0]

    def at(self, port):
        return self.bed.connect(port)


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


class Transfer:
    """Bytes that go around an echo service without a pause until they are asked about."""

    def __init__(self, client):
        self.client, self.done, self.rounds, self.failure = client, threading.Event(), 0, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        data = pattern(200_000)
        try:
            while not self.done.is_set():
                sender = threading.Thread(target=self.client.sendall, args=(data,), daemon=True)
                sender.start()
                want(read_exactly(self.client, len(data)) == data, "other bytes came back")
                sender.join()
                self.rounds += 1
        except Exception as failure:  # told by end()
            self.failure = failure

    def more(self):
        seen = self.rounds
        until(lambda: self.rounds > seen + 1 or self.failure, "bytes go on")
        want(self.failure is None, f"{self.failure}")

    def end(self):
        self.more()
        self.done.set()
        self.thread.join(30)
        want(self.failure is None and not self.thread.is_alive(), f"{self.failure}")


@test
def services_and_tunnels_come_and_go_while_bytes_pass_undisturbed(bed):
    s = Scene(bed)
    transfer = Transfer(s.at(s.port))
    other = free_port()
    told = s.reload(s.provider, s.expose("echo"), s.expose("second"))
    same((told.fields["begun"], told.fields["ended"], told.fields["changed"]), ("1", "0", "0"))
    told = s.reload(s.consumer, s.tunnel, f"tunnel = {s.provider.id}:second@127.0.0.1:{other}")
    same((told.fields["begun"], told.fields["ended"]), ("1", "0"))
    s.consumer.saw("tunnel listening", service_name="second")
    want(speaks(s.at(other)), "the new tunnel")
    transfer.more()
    told = s.reload(s.consumer, s.tunnel)
    same((told.fields["begun"], told.fields["ended"]), ("0", "1"))
    want(refuses(other), "the listener of a tunnel that is gone")
    s.reload(s.provider, s.expose("echo"))
    want(speaks(s.at(s.port)), "a new client of the tunnel that stayed")
    transfer.end()
    for peer in (s.provider, s.consumer):
        same(len(peer.find("connection opened")), 1, f"connections of {peer.name}")
        same(peer.find("connection closed"), [])


@test
def clients_of_what_is_removed_go_on_to_their_end_and_new_ones_are_refused(bed):
    s = Scene(bed)
    by_tunnel = s.at(s.port)
    want(speaks(by_tunnel))
    s.reload(s.consumer, "# no tunnel")
    want(refuses(s.port), "the listener is gone")
    want(speaks(by_tunnel), "the client of the removed tunnel")
    s.reload(s.provider, "# no service")
    want(speaks(by_tunnel), "the client of the removed service")
    s.reload(s.consumer, s.tunnel)
    s.consumer.saw("tunnel listening")
    same(refused_at(s.port)[1], b"", "a new client")
    s.consumer.saw("client tunnel rejected")
    want(speaks(by_tunnel))
    by_tunnel.shutdown(socket.SHUT_WR)
    same(how_it_ends(by_tunnel), ("eof", b""))
    status, out, _ = bed.run("status", "--json", "--identity", s.provider.key)
    same((status, json.loads(out)["exposed"]), (0, []), out)


@test
def who_may_open_a_service_changes_for_new_clients_only(bed):
    s = Scene(bed)
    client = s.at(s.port)
    want(speaks(client))
    told = s.reload(s.provider, s.expose("echo", f",allow={Key().peer_id}"))
    same((told.fields["begun"], told.fields["ended"], told.fields["changed"]), ("0", "0", "1"))
    same(refused_at(s.port)[1], b"")
    s.consumer.saw("client tunnel rejected", reason="not allowed")
    want(speaks(client), "the client from before")
    s.reload(s.provider, s.expose("echo", f",allow={s.consumer.id}"))
    want(speaks(s.at(s.port)), "allowed again")


@test
def a_broken_or_missing_file_changes_nothing_and_the_log_names_the_line(bed):
    s = Scene(bed)
    client = s.at(s.port)
    kept = "configuration not reloaded, the old one stays"
    file = s.conf["consumer"]
    for lines, words in (((s.tunnel, "tunnnel = x"), (f"{file}:2: ", "unknown name", "did you mean tunnel?")),
                         (("tunnel = nobody:echo@127.0.0.1:1",), (f"{file}:1: tunnel", "nobody")),
                         (("# one", "bootstrap = /ip4/1.2.3.4/tcp/99999"), (f"{file}:2: bootstrap",)),
                         (("tunnel-wait = soon",), (f"{file}:1: tunnel-wait", "soon")),
                         (("no equals sign",), (f"{file}:1: ", "not of the form name = value"))):
        told = s.reload(s.consumer, *lines, message=kept)
        same(told.level, "WARN")
        want(all(word in told.text for word in words), f"{words} in {told.text}")
        want(speaks(client) and speaks(s.at(s.port)), f"the tunnel works after {lines}")
    os.unlink(file)
    told = s.reload(s.consumer, message=kept)
    want(str(file) in told.text and "No such file" in told.text, told.text)
    want(speaks(client) and speaks(s.at(s.port)), "the tunnel works without its file")
    same(s.consumer.find("configuration reloaded"), [])
    s.reload(s.consumer, s.tunnel)
    want(speaks(client))


@test
def a_file_that_nobody_named_may_not_vanish_without_a_word(bed):
    folder = bed.path / ".config" / "punchgate"
    folder.mkdir(parents=True)
    (folder / "punchgate.conf").write_text("expose = a=127.0.0.1:1\n")
    peer = bed.peer("peer")
    (folder / "punchgate.conf").unlink()
    peer.send(HUP)
    told = peer.saw("configuration not reloaded, the old one stays")
    want("punchgate.conf: No such file" in told.text and "put it back" in told.text, told.text)
    same(peer.find("configuration reloaded"), [])


@test
def a_changed_option_that_needs_a_restart_is_named_and_the_rest_is_taken_over(bed):
    s = Scene(bed)
    s.reload(s.consumer, s.tunnel, "tunnel-wait = 3s", "external = /ip4/192.0.2.1/tcp/1", "max-conns = 77")
    told = s.consumer.saw("changed options wait for a restart")
    same(set(told.fields["options"].split(",")), {"tunnel-wait", "external", "max-conns"})
    same(s.reload(s.consumer, s.tunnel).fields["begun"], "0")
    same(len(s.consumer.find("changed options wait for a restart")), 1, "back to what it was")


@test
def a_drop_in_file_adds_a_tunnel_and_takes_it_away_again(bed):
    s = Scene(bed)
    folder, other = bed.path / "consumer.conf.d", free_port()
    folder.mkdir()
    (folder / "more.conf").write_text(f"tunnel = {s.provider.id}:echo@127.0.0.1:{other}\n")
    same(s.reload(s.consumer).fields["begun"], "1")
    until(lambda: not refuses(other), "it stands")
    client = s.at(other)
    want(speaks(client) and speaks(s.at(s.port)))
    (folder / "more.conf").write_text("# a comment\ntunnel = x\n")
    told = s.reload(s.consumer, message="configuration not reloaded, the old one stays")
    want(f"{folder}/more.conf:2: tunnel" in told.text, told.text)
    (folder / "more.conf").unlink()
    same(s.reload(s.consumer).fields["ended"], "1")
    want(refuses(other) and speaks(client) and speaks(s.at(s.port)))


@test
def a_bind_moves_from_one_tunnel_to_another(bed):
    s = Scene(bed)
    path = bed.path / "moving.sock"
    s.reload(s.provider, s.expose("echo"), f"expose = shout=127.0.0.1:{bed.service(lambda c: c.sendall(c.recv(99).upper())).port}")
    s.reload(s.consumer, s.tunnel, f"tunnel = {s.provider.id}:echo@unix:{path}")
    until(path.exists, "the socket is there")
    client = s.at(s.port)
    want(speaks(client))
    told = s.reload(s.consumer, f"tunnel = {s.provider.addr}:shout@127.0.0.1:{s.port}", f"tunnel = {s.provider.id}:shout@unix:{path}")
    same((told.fields["begun"], told.fields["ended"]), ("2", "2"))
    until(lambda: len(s.consumer.find("tunnel listening", service_name="shout")) == 2, "both stand at their new tunnels")
    moved = s.at(s.port)
    moved.sendall(b"loud")
    same(read_exactly(moved, 4), b"LOUD")
    with socket.socket(socket.AF_UNIX) as local:
        local.connect(str(path))
        local.sendall(b"too")
        same(read_exactly(local, 3), b"TOO")
    want(speaks(client), "the client of the tunnel that had the bind before")
    same(s.consumer.find("tunnel failed"), [])


@test
def bootstrap_peers_come_and_go_and_their_places_are_used_again(bed):
    provider = bed.peer("provider")
    conf = bed.path / "peer.conf"
    conf.write_text("")
    peer = bed.peer("peer", "--config", conf)
    for round in range(6):
        # More peers than there are places for, were they not given back.
        nobody = [f"bootstrap = /ip4/127.0.0.1/tcp/1/p2p/{Key().peer_id}\n" for _ in range(31)] + [f"bootstrap = {provider.addr}\n"] * (round % 2)
        for half in range(2):
            conf.write_text("".join(nobody[half:]))
            before = len(peer.find("configuration reloaded"))
            peer.send(HUP)
            until(lambda: len(peer.find("configuration reloaded")) > before, "reloaded")
    conf.write_text(f"bootstrap = {provider.addr}\n")
    peer.send(HUP)
    peer.connected(provider)
    conf.write_text("")
    before = len(peer.find("configuration reloaded"))
    peer.send(HUP)
    until(lambda: len(peer.find("configuration reloaded")) > before, "reloaded")
    tries = len(peer.find("dial failed"))
    provider.stop()
    peer.saw("connection closed", peer=provider.id)
    same(peer.find("scheduling bootstrap reconnect", peer_id=provider.id), [], "it is not wanted any more")
    joined = len(peer.find("event processed", event="BootstrapConnected"))
    want(joined > 0, "it was one")
    provider = bed.peer("provider", "--bootstrap", peer.addr)
    until(lambda: len(peer.find("connection opened", peer=provider.id)) == 2, "it comes on its own")
    provider.connected(peer)
    same(len(peer.find("event processed", event="BootstrapConnected")), joined, "it is no bootstrap peer any more")
    provider.stop()
    provider = bed.peer("provider")
    conf.write_text(f"bootstrap = {provider.addr}\n")
    peer.send(HUP)
    until(lambda: len(peer.find("connection opened", peer=provider.id)) == 3, "wanted again, dialled again")
    want(tries >= 1, "those that nobody is at were dialled")


@test
def signals_in_a_heap_leave_the_last_file_in_force(bed):
    s = Scene(bed)
    client = s.at(s.port)
    other = free_port()
    for round in range(10):
        s.write("consumer", s.tunnel, *([f"tunnel = {s.provider.id}:echo@127.0.0.1:{other}"] if round % 2 else []))
        s.consumer.send(HUP)
        s.consumer.send(HUP)
    until(lambda: not refuses(other), "the last file holds")
    want(speaks(client) and speaks(s.at(other)))


@test
def a_signal_during_the_start_waits_until_the_peer_can_answer_it(bed):
    conf = bed.path / "p.conf"
    conf.write_text("expose = a=127.0.0.1:1\n")
    for _ in range(5):
        peer = bed.peer("p", "--config", conf, ready=False)
        # Held back from the first line of main on: until then the signal ends the process, as it does every other one.
        until(lambda: int(next(line for line in open(f"/proc/{peer.process.pid}/status") if line.startswith("SigBlk")).split()[1], 16)
              & 1 or peer.text(), "the process has begun")
        peer.send(HUP)
        peer.wait_ready()
        peer.saw("configuration reloaded", begun=0, ended=0)
        same(peer.stop(), 0)


@test
def a_termination_right_behind_a_reload_ends_the_peer_in_order(bed):
    s = Scene(bed)
    client = s.at(s.port)
    want(speaks(client))
    s.write("consumer", "# nothing")
    s.consumer.send(HUP)
    s.consumer.send(TERM)
    s.consumer.send(HUP)
    client.shutdown(socket.SHUT_WR)
    same(how_it_ends(client), ("eof", b""))
    same(s.consumer.wait(), 0)
    # and in the middle of a handshake, which is not waited for
    with socket.create_connection(("127.0.0.1", s.provider.port)) as stranger:
        stranger.sendall(b"\x13/multistream/1.0.0\n")
        read_exactly(stranger, 20)
        s.provider.send(HUP)
        s.provider.send(TERM)
        same(s.provider.wait(), 0)


@test
def a_reload_is_played_again_like_every_other_input(bed):
    import subprocess
    from peers import PUNCHGATE
    service = bed.service(echo)
    conf, trace = bed.path / "p.conf", bed.path / "p.trace"
    conf.write_text("")
    peer = bed.peer("p", "--config", conf, "--trace", trace)
    conf.write_text(f"expose = echo=127.0.0.1:{service.port}\ntunnel = {Key().peer_id}:x@127.0.0.1:0\n")
    peer.send(HUP)
    peer.saw("tunnel listening")
    got, out, error = bed.run("pipe", f"{peer.addr}:echo", stdin=b"hello")
    same((got, out), (0, "hello"), error)
    conf.write_text("")
    peer.send(HUP)
    peer.saw("configuration reloaded", ended=2)
    same(peer.stop(), 0)
    replay = os.path.join(os.path.dirname(PUNCHGATE), "replay")
    done = subprocess.run([replay, str(trace)], capture_output=True, text=True, timeout=60)
    want(done.returncode == 0 and "equal" in done.stdout, done.stdout + done.stderr)


@test
def a_tunnel_finds_the_address_of_a_peer_that_was_connected_before(bed):
    service = bed.service(echo)
    conf = bed.path / "consumer.conf"
    conf.write_text("")
    consumer = bed.peer("consumer", "--config", conf)
    expose, port = ("--expose", f"echo=127.0.0.1:{service.port}"), free_port()
    provider = bed.peer("provider", *expose, "--bootstrap", consumer.addr, listen=f"/ip4/127.0.0.1/tcp/{port}")
    consumer.saw("peer identified", peer=provider.id)
    provider.kill()
    consumer.saw("connection closed", peer=provider.id)
    again = bed.peer("provider", *expose, listen=f"/ip4/127.0.0.1/tcp/{port}")
    same(again.id, provider.id, "the provider's id")
    conf.write_text(f"tunnel = {provider.id}:echo@127.0.0.1:0\n")
    consumer.send(HUP)
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))
    want(len(consumer.find("connection opened", peer=provider.id)) == 2)


@test
def clients_that_wait_for_the_peer_of_a_tunnel_that_goes_are_ended_at_once_and_others_wait_on(bed):
    s = Scene(bed)
    s.consumer.stop()
    absent, gone, stays = Key().peer_id, free_port(), free_port()
    left = f"tunnel = {absent}:stays@127.0.0.1:{stays}"
    s.write("consumer", s.tunnel, left, f"tunnel = {absent}:gone@127.0.0.1:{gone}", "tunnel-wait = 60s")
    s.consumer = s.start("consumer")
    s.consumer.connected(s.provider)
    waiting, other, live = s.at(gone), s.at(stays), s.at(s.port)
    want(speaks(live))
    s.consumer.saw("local client waits for its peer", service="gone")
    s.consumer.saw("local client waits for its peer", service="stays")
    s.reload(s.consumer, left, "tunnel-wait = 60s")
    same(how_it_ends(waiting)[0], "reset")
    s.consumer.saw("client tunnel error", service="gone", error="is gone from the configuration")
    want(speaks(live, b"still"), "the tunnel that ran")
    other.settimeout(1)
    try:
        want(other.recv(1) is None, "a client whose tunnel stays was ended")
    except TimeoutError:
        pass


if __name__ == "__main__":
    main()
