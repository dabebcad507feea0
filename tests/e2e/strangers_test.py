"""Strangers with a key: what they do wrong in Noise, Yamux and the tunnel protocol ends their stream or connection only."""
import json
import os
import struct

from dialer import ACK, DATA, FIN, GOAWAY, PING, PROLOGUE, RST, SYN, WINDOW, Dialer, Ended, Key, Stream, field
from peers import LiveTunnel, echo, main, same, test, until, want

TUNNEL = "/punchgate/tunnel/1.0.0"


class Scene(LiveTunnel):
    """Strangers with a key try its provider."""

    def dial(self):
        dialer = Dialer(self.provider.port)
        self.bed.sockets.append(dialer.socket)
        return dialer

    def stranger(self):
        return self.dial().upgrade()


def accepted(dialer):
    """A tunnel stream that the provider takes."""
    stream = dialer.open(TUNNEL)
    stream.send(framed('{"service_name":"echo"}'))
    same(stream.answer(), '{"accepted":true}')
    return stream


def framed(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">I", len(data)) + data


def ended(dialer):
    """Reads until the peer has closed the connection."""
    try:
        while True:
            dialer.step()
    except Ended:
        pass


def memory(peer):
    for line in open(f"/proc/{peer.process.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


@test
def a_stranger_that_behaves_is_served(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    scene.provider.saw("connection opened", peer=dialer.key.peer_id)
    stream = accepted(dialer)
    stream.send(b"hello", FIN)
    same(stream.end(), ("fin", b"hello"))
    scene.lives()


@test
def a_request_may_have_other_keys_spaces_and_any_order(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    for request in ('{"service_name":"echo","version":2}', ' { "x" : [1, {"y": null}] ,\n "service_name" : "echo" } ',
                    '{"service_name":"\\u0065cho"}'):
        stream = dialer.open(TUNNEL)
        stream.send(framed(request))
        same(stream.answer(), '{"accepted":true}', request)
        stream.send(b"", RST)
    scene.lives()


@test
def a_request_in_pieces_and_with_its_payload_at_once_is_understood(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    stream = dialer.open(TUNNEL)
    for byte in framed('{"service_name":"echo"}'):
        stream.send(bytes([byte]))
    same(stream.answer(), '{"accepted":true}')
    stream = dialer.open(TUNNEL)
    stream.send(framed('{"service_name":"echo"}') + b"payload", FIN)
    same(stream.answer(), '{"accepted":true}')
    same(stream.end(), ("fin", b"payload"))
    scene.lives()


@test
def an_unknown_service_is_refused_with_its_name(bed):
    scene = Scene(bed)
    stream = scene.stranger().open(TUNNEL)
    stream.send(framed('{"service_name":"nope"}'))
    same(json.loads(stream.answer()), {"accepted": False, "reason": "unknown service: nope"})
    scene.lives()


@test
def requests_that_are_none_reset_their_stream_only(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    requests = [
        framed(""), framed("not json"), framed("{}"), framed('{"service":"echo"}'), framed('{"service_name":5}'),
        framed('{"service_name":null}'), framed('["echo"]'), framed('"echo"'), framed("null"),
        framed('{"service_name":"echo"'), framed('{"service_name":"echo"}x'), framed('{"service_name":"ec'),
        framed('{"service_name":"echo","service_name":"echo"}'), framed('{"service_name":"e\\u0000cho"}'),
        framed(b'{"service_name":"echo\0"}'), framed(b'{"service_name":"\xff\xfe"}'),
        framed('{"service_name":' + "[" * 5000 + "]" * 5000 + "}"), framed('{"a":' * 2000 + "1" + "}" * 2000),
        framed('{"service_name":"' + "e" * 70_000 + '"}')[:65_000], struct.pack(">I", 65_537), struct.pack(">I", 0xFFFFFFFF)]
    for request in requests:
        stream = dialer.open(TUNNEL)
        stream.send(request)
        if len(request) > 4 and struct.unpack(">I", request[:4])[0] > len(request) - 4 and request[:4] < struct.pack(">I", 65_537):
            stream.send(b"", FIN)
        how, came = stream.end()
        same((how, came), ("reset", b""), f"end after {request[:40]!r}")
    scene.provider.saw("tunnel handler failed", peer_id=dialer.key.peer_id)
    stream = dialer.open(TUNNEL)
    stream.send(framed('{"service_name":"echo"}'))
    same(stream.answer(), '{"accepted":true}', "the same connection afterwards")
    scene.lives()


@test
def a_request_of_65536_bytes_is_read_and_a_longer_one_costs_no_memory(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    start, end = '{"service_name":"echo","x":"', '"}'
    stream = dialer.open(TUNNEL)
    stream.send(framed(start + "x" * (65_536 - len(start) - len(end)) + end))
    same(stream.answer(), '{"accepted":true}')
    before = memory(scene.provider)
    for _ in range(200):
        stream = dialer.open(TUNNEL)
        stream.send(struct.pack(">I", 0xFFFFFFFF) + bytes(1000))
        same(stream.end()[0], "reset")
    want(memory(scene.provider) - before < 8192, f"{memory(scene.provider) - before} KiB more")
    scene.lives()


@test
def an_empty_or_long_name_is_refused_or_reset(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    for size in (0, 255, 256, 300, 60_000):
        stream = dialer.open(TUNNEL)
        stream.send(framed(json.dumps({"service_name": "e" * size})))
        try:
            same(json.loads(stream.answer())["accepted"], False, f"a name of {size}")
        except Ended:
            pass
    scene.lives()


@test
def an_identity_that_is_not_proven_ends_the_connection(bed):
    scene = Scene(bed)
    other = Key()
    consumer_key = bytes.fromhex("08011220") + os.urandom(32)
    dialers = []
    for payload in (
            lambda d, own: field(1, other.protobuf) + field(2, d.key.sign(PROLOGUE + own)),       # another's key
            lambda d, own: field(1, d.key.protobuf) + field(2, d.key.sign(own)),                  # without the prefix
            lambda d, own: field(1, d.key.protobuf) + field(2, bytes(64)),                        # a signature of zeros
            lambda d, own: field(1, d.key.protobuf),                                              # no signature
            lambda d, own: field(2, d.key.sign(PROLOGUE + own)),                                  # no key
            lambda d, own: b"",                                                                   # nothing
            lambda d, own: field(1, consumer_key) + field(2, d.key.sign(PROLOGUE + own)),         # a point that is none
            lambda d, own: b"\x0a\xff\xff\xff\x7f",                                               # a length without bytes
            lambda d, own: d.payload(own)[:-1]):                                                  # cut
        dialer = scene.dial()
        dialers.append(dialer)
        same(dialer.negotiate("/noise"), "/noise")
        dialer.noise(payload=lambda own, d=dialer, p=payload: p(d, own))
        try:
            while True:
                dialer.take(1)
        except Ended:
            pass
    for dialer in dialers:
        same(scene.provider.find("connection opened", peer=dialer.key.peer_id), [], "connections of an unproven key")
    same(scene.provider.find("connection opened", peer=other.peer_id), [], "connections under another's name")
    scene.provider.saw("connection failed")
    scene.lives()


@test
def old_muxers_are_refused(bed):
    scene = Scene(bed)
    dialer = scene.dial()
    same(dialer.negotiate("/noise"), "/noise")
    dialer.noise()
    dialer.write(dialer.line("/multistream/1.0.0") + dialer.line("/mplex/6.7.0") + dialer.line("/yamux/0.9.0") + dialer.line("/spdy/3.1"))
    answers = [dialer.read(dialer.read(1)[0]).decode().strip() for _ in range(4)]
    same(answers[1:], ["na", "na", "na"])
    scene.lives()


@test
def a_forged_or_cut_message_ends_the_connection(bed):
    scene = Scene(bed)
    for spoil in (lambda m: m[:-1] + bytes([m[-1] ^ 1]), lambda m: m[:10], lambda m: b""):
        dialer = scene.stranger()
        message = dialer.sender.seal(b"\0" * 12)
        dialer.send_message(spoil(message))
        ended(dialer)
    scene.provider.saw("connection closed")
    scene.lives()


@test
def a_repeated_message_ends_the_connection(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    message = dialer.sender.seal(struct.pack(">BBHII", 0, PING, SYN, 0, 7))
    dialer.send_message(message)
    dialer.send_message(message)
    ended(dialer)
    scene.lives()


@test
def frames_that_break_yamux_end_the_connection(bed):
    scene = Scene(bed)
    for frame in (struct.pack(">BBHII", 1, DATA, SYN, 1, 0),               # another version
                  struct.pack(">BBHII", 0, 9, SYN, 1, 0),                  # an unknown type
                  struct.pack(">BBHII", 0, PING, SYN, 3, 0),               # a ping on a stream
                  struct.pack(">BBHII", 0, DATA, SYN, 0, 0),               # data on the session
                  struct.pack(">BBHII", 0, DATA, SYN, 2, 0),               # a stream with our number
                  struct.pack(">BBHII", 0, DATA, SYN, 5, 0x7FFFFFFF)):     # more than the window
        dialer = scene.stranger()
        dialer.write(frame)
        ended(dialer)
        scene.provider.saw("connection ended, its peer broke a rule", peer=dialer.key.peer_id)
        scene.lives()


@test
def late_frames_for_streams_that_are_gone_do_no_harm(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    stream = dialer.open(TUNNEL)
    stream.send(framed("nonsense"))
    same(stream.end()[0], "reset")
    for flags in (0, FIN, RST, ACK):
        stream.send(b"late", flags)
        dialer.frame(WINDOW, flags, stream.id, 1000)
    accepted(dialer)
    scene.lives()


@test
def a_window_that_is_overrun_ends_the_connection_and_one_that_is_kept_shut_only_its_tunnel(bed):
    scene = Scene(bed)
    stuck = bed.service(lambda client: until(lambda: False, "never", 15))
    provider = bed.peer("second", "--expose", f"stuck=127.0.0.1:{stuck.port}")
    dialer = Dialer(provider.port).upgrade()
    bed.sockets.append(dialer.socket)
    stream = dialer.open(TUNNEL)
    stream.send(framed('{"service_name":"stuck"}'))
    same(stream.answer(), '{"accepted":true}')
    try:
        for _ in range(4000):
            stream.send(bytes(60_000))
        while True:
            dialer.step()
    except Ended:
        pass
    provider.saw("connection closed", peer=dialer.key.peer_id)
    want(memory(provider) < 400_000, f"{memory(provider)} KiB")
    dialer.close()
    scene.lives()


@test
def a_flood_of_streams_is_refused_beyond_the_limit(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    for number in range(1500):
        dialer.frame(DATA, SYN, dialer.next_id, 0)
        dialer.next_id += 2
    dialer.frame(PING, SYN, 0, 99)
    scene.provider.saw("limit reached, stream refused", limit="streams_conn", option="--max-streams-per-conn")
    dialer.close()
    scene.provider.saw("connection closed", peer=dialer.key.peer_id)
    scene.lives()


@test
def opening_and_resetting_at_once_leaves_nothing_behind(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    request = dialer.line("/multistream/1.0.0") + dialer.line(TUNNEL) + framed('{"service_name":"echo"}')
    files = len(os.listdir(f"/proc/{scene.provider.process.pid}/fd"))
    for _ in range(500):
        dialer.data(dialer.next_id, request, SYN)
        dialer.frame(WINDOW, RST, dialer.next_id, 0)
        dialer.next_id += 2
    until(lambda: len(os.listdir(f"/proc/{scene.provider.process.pid}/fd")) <= files + 2, "the descriptors come back")
    accepted(dialer)
    scene.lives()


@test
def a_farewell_is_answered_by_the_end(bed):
    scene = Scene(bed)
    dialer = scene.stranger()
    dialer.frame(GOAWAY, 0, 0, 0)
    ended(dialer)
    scene.provider.saw("connection closed", peer=dialer.key.peer_id)
    scene.lives()


@test
def a_flood_of_errors_is_cut_off_in_the_log_and_every_one_is_counted(bed):
    scene, many = Scene(bed), 3000
    dialer = scene.stranger()
    for _ in range(many // 100):
        streams = [Stream(dialer) for _ in range(100)]
        for stream in streams:
            stream.send(dialer.line("/multistream/1.0.0") + dialer.line(TUNNEL) + b"\xff\xff\xff\xff", SYN)
        for stream in streams:
            same(stream.end()[0], "reset")
    scene.lives()
    scene.provider.stop()
    told = len(scene.provider.find("tunnel handler failed", peer_id=dialer.key.peer_id))
    left_out = [int(e.fields["count"]) for e in scene.provider.find("too many log lines of one kind, some left out", like="tunnel handler failed")]
    want(told < many // 2 and left_out, f"{told} of {many} lines were written, and {left_out} are said to be left out")
    same(told + sum(left_out), many, "errors that were told or counted")


if __name__ == "__main__":
    main()
