"""--expose …,allow=PEER: who may open a service, and what everybody else is told.

Where a request goes and whether it may come from one field of one parsed object, so nothing that a peer writes beside it counts.
"""
import json
import struct

from dialer import FIN, Dialer, Key
from peers import LiveTunnel, echo, main, refused_at, same, speaks, test, want

TUNNEL = "/punchgate/tunnel/1.0.0"


def framed(text):
    data = text.encode()
    return struct.pack(">I", len(data)) + data


def ask(dialer, request):
    """The answer to a request, or "reset"."""
    stream = dialer.open(TUNNEL)
    stream.send(framed(request if isinstance(request, str) else json.dumps(request)), FIN)
    end, got = stream.end()
    return "reset" if end == "reset" else json.loads(got[4:4 + struct.unpack(">I", got[:4])[0]])


class Guarded:
    """A peer with an open service and one that is for a single key."""

    def __init__(self, bed):
        self.friend, self.stranger = Key(), Key()
        self.clients = bed.service(echo)
        target = f"127.0.0.1:{self.clients.port}"
        self.peer = bed.peer("peer", "--expose", f"open={target}", "--expose", f"secret={target},allow={self.friend.peer_id}")
        self.bed = bed

    def dial(self, key):
        dialer = Dialer(self.peer.port, key).upgrade()
        self.bed.sockets.append(dialer.socket)
        return dialer


@test
def only_those_on_the_list_open_a_service_and_the_others_hear_why(bed):
    scene = Guarded(bed)
    friend, stranger = scene.dial(scene.friend), scene.dial(scene.stranger)
    same(ask(friend, {"service_name": "secret"})["accepted"], True)
    same(ask(stranger, {"service_name": "open"})["accepted"], True)
    answer = ask(stranger, {"service_name": "secret"})
    same((answer["accepted"], answer["reason"]), (False, "not allowed: this peer may not open secret"))
    said = scene.peer.saw("tunnel rejected", peer_id=scene.stranger.peer_id, service="secret")
    want("not on the service's allow list" in said.text and said.level == "WARN", said.text)
    same(scene.clients.clients, 2, "clients that the service saw")


@test
def a_list_may_name_several_peers_and_each_service_has_its_own(bed):
    service = bed.service(echo)
    one, two, three = Key(), Key(), Key()
    target = f"127.0.0.1:{service.port}"
    peer = bed.peer("peer", PUNCHGATE_EXPOSE=f"a={target},allow={one.peer_id},allow={two.peer_id},b={target},allow={three.peer_id}")
    wanted = {"a": (True, True, False), "b": (False, False, True)}
    for number, key in enumerate((one, two, three)):
        dialer = Dialer(peer.port, key).upgrade()
        bed.sockets.append(dialer.socket)
        for name, allowed in wanted.items():
            same(ask(dialer, {"service_name": name})["accepted"], allowed[number], f"{name} for peer {number}")


@test
def the_client_of_a_tunnel_that_is_not_allowed_is_closed_with_the_reason_in_the_log(bed):
    service = bed.service(echo)
    consumer = bed.peer("consumer")
    consumer.stop()
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{service.port},allow={Key().peer_id}")
    consumer = bed.peer("consumer", "--tunnel", f"{provider.addr}:echo@127.0.0.1:0")
    consumer.connected(provider)
    same(refused_at(consumer.tunnel_port("echo"))[1], b"")
    consumer.saw("client tunnel rejected", service="echo", reason="not allowed: this peer may not open echo")
    got, out, error = bed.run("pipe", f"{provider.addr}:echo", RUST_LOG="off")
    same((got, out), (1, ""))
    want("not allowed" in error, error)
    same(service.clients, 0, "clients that the service saw")


@test
def nothing_beside_the_one_name_decides_anything(bed):
    scene = Guarded(bed)
    stranger = scene.dial(scene.stranger)
    for request in ('{"service_name":"open","service_name":"secret"}', '{"service_name":"secret","service_name":"open"}',
                    '{"service_name":"open","service\\u005fname":"secret"}', '{"service_name":"secret","service_name":"secret"}'):
        same(ask(stranger, request), "reset", request)
    for request in ('{"Service_Name":"open","service_name":"secret"}', '{"service_name":"secret","SERVICE_NAME":"open"}',
                    '{"service_name":"secret","name":"open","service":"open","allow":["%s"]}' % scene.stranger.peer_id,
                    '{"service_name":"secret","peer_id":"%s","peer":"%s"}' % (scene.friend.peer_id, scene.friend.peer_id),
                    '{"service_name":"secret","x":{"service_name":"open"}}', '{"x":{"service_name":"open"},"service_name":"secret"}'):
        same(ask(stranger, request), {"accepted": False, "reason": "not allowed: this peer may not open secret"}, request)
    for request in ('{"Service_Name":"open"}', '{"x":{"service_name":"open"}}', '[{"service_name":"open"}]'):
        same(ask(stranger, request), "reset", request)
    same(ask(stranger, '{"SERVICE_NAME":"secret","service_name":"open"}')["accepted"], True)
    same(scene.clients.clients, 1, "clients that the service saw")


@test
def names_like_paths_and_with_control_characters_are_rejected_and_logged_escaped(bed):
    scene = Guarded(bed)
    stranger = scene.dial(scene.stranger)
    for name in ("../open", "/open", "./open", "open/", "open\n", "\x1b[2Jopen", "open\t", "a\rINFO cli::node: forged x=1", "‮nepo",
                 "open ", " open", "Open", "open\x7f", "%6fpen", "secret,allow=" + scene.stranger.peer_id):
        answer = ask(stranger, {"service_name": name})
        same(answer, {"accepted": False, "reason": f"unknown service: {name}"}, repr(name))
    text = scene.peer.text()
    want(all(c == "\n" or " " <= c for c in text) and "\x7f" not in text and "‮" not in text, "the log holds control characters")
    want("\\u{1b}[2Jopen" in text and "open\\n" in text, "the names are not in the log as escapes")
    same([e for e in scene.peer.entries() if not e.parsed], [], "log lines that are no lines")
    same([e.text for e in scene.peer.entries() if e.message == "forged"], [], "forged lines")
    same(scene.clients.clients, 0, "clients that the service saw")


@test
def status_shows_who_may(bed):
    scene = Guarded(bed)
    got, out, _ = bed.run("status", "--control", f"{scene.peer.key}.sock", "--json")
    same(got, 0)
    shown = {e["service"]: e["allow"] for e in json.loads(out)["exposed"]}
    same(shown, {"open": [], "secret": [scene.friend.peer_id]})
    same(bed.run("status", "--control", f"{scene.peer.key}.sock")[1].count("for 1 peers only"), 1)


if __name__ == "__main__":
    main()
