"""ping, identify, id, pipe: what they print, in both forms, and every exit status."""
import json
import os
import re
import select
import socket
import subprocess
import time

from peers import PUNCHGATE, echo, digest, free_port, main, pattern, same, source, test, until, want

A_STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def fails(bed, status, code, *arguments, patience=20):
    """The same failure as JSON on standard output and as one line of text on standard error."""
    got, out, error = bed.run(*arguments, "--json", RUST_LOG="off", patience=patience)
    said = lines(out)
    same(got, status, f"exit status of {arguments}, which said {out}{error}")
    same(len(said), 1, f"lines of {out!r}")
    same(list(said[0]), ["event", "code", "reason"], "keys")
    same((said[0]["event"], said[0]["code"]), ("error", code), f"{said[0]}")
    want(said[0]["reason"], "no reason")
    got, out, error = bed.run(*arguments, RUST_LOG="off", patience=patience)
    same((got, out), (status, ""), "status and output without --json")
    want(error.startswith("punchgate: ") and len(error.splitlines()) == 1, error)
    return error


def black_hole(bed):
    """A port that accepts and says nothing."""
    hole = socket.create_server(("127.0.0.1", 0))
    bed.sockets.append(hole)
    return f"/ip4/127.0.0.1/tcp/{hole.getsockname()[1]}/p2p/{A_STRANGER}"


@test
def ping_prints_a_line_for_each_and_a_summary(bed):
    peer = bed.peer("peer")
    status, out, _ = bed.run("ping", peer.addr, "--count", "3", "--json")
    said = lines(out)
    same(status, 0)
    same([sorted(line) for line in said[:3]], [["event", "rtt_us", "seq"]] * 3)
    same([(line["event"], line["seq"]) for line in said[:3]], [("ping", n) for n in range(3)])
    want(all(0 < line["rtt_us"] < 5_000_000 for line in said[:3]), out)
    same(said[3], {"event": "summary", "sent": 3, "received": 3})
    status, out, _ = bed.run("ping", peer.addr, "--count", "2")
    same(status, 0)
    want(len(out.splitlines()) >= 3 and not out.startswith("{"), out)


@test
def ping_without_a_peer_id_takes_whoever_answers(bed):
    peer = bed.peer("peer")
    same(bed.run("ping", peer.addr.split("/p2p/")[0])[0], 0)


@test
def identify_prints_one_object(bed):
    peer = bed.peer("peer")
    status, out, _ = bed.run("identify", peer.addr, "--json")
    same(status, 0)
    same(len(out.splitlines()), 1, "lines")
    said = json.loads(out)
    for key in ("peer", "agent", "protocol_version", "protocols", "listen_addrs", "observed_addr"):
        want(key in said, f"{key} is missing in {out}")
    same(said["peer"], peer.id)
    want(said["agent"].startswith("punchgate/"), said["agent"])
    same(said["protocol_version"], "/punchgate/id/1.0.0")
    for protocol in ("/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/punchgate/tunnel/1.0.0"):
        want(protocol in said["protocols"], f"{protocol} is not announced")
    want(any(peer.addr.startswith(a) for a in said["listen_addrs"]), f"{said['listen_addrs']}")
    want(re.fullmatch(r"/ip4/127\.0\.0\.1/tcp/\d+", said["observed_addr"]), said["observed_addr"])
    status, out, _ = bed.run("identify", peer.addr)
    same(status, 0)
    want(peer.id in out and "/punchgate/tunnel/1.0.0" in out and not out.startswith("{"), out)


@test
def id_prints_the_peer_id(bed):
    peer = bed.peer("peer")
    same(bed.run("id", "--identity", peer.key)[:2], (0, peer.id + "\n"))
    status, out, _ = bed.run("id", "--identity", peer.key, "--json")
    same((status, json.loads(out)["peer"]), (0, peer.id))


@test
def a_command_shows_its_identity_only_when_it_is_given(bed):
    peer = bed.peer("peer")
    mine = bed.peer("mine")
    mine.stop()
    bed.run("ping", peer.addr, "--identity", mine.key)
    peer.saw("connection opened", peer=mine.id)
    before = set(os.listdir(bed.path))
    bed.run("ping", peer.addr)
    same(set(os.listdir(bed.path)), before, "files after a ping with a passing key")


@test
def a_wrong_peer_id_is_status_1(bed):
    peer = bed.peer("peer")
    for command in ("ping", "identify"):
        error = fails(bed, 1, "noise_wrong_peer", command, peer.addr.replace(peer.id, A_STRANGER))
        want("another peer" in error or peer.id in error, error)
    fails(bed, 1, "noise_wrong_peer", "pipe", peer.addr.replace(peer.id, A_STRANGER) + ":echo")


@test
def nobody_there_is_status_69(bed):
    address = f"/ip4/127.0.0.1/tcp/{free_port()}"
    for command in (["ping", address], ["identify", address], ["pipe", f"{address}/p2p/{A_STRANGER}:echo"]):
        got, out, error = bed.run(*command, "--json", RUST_LOG="off")
        same(got, 69, f"{command}: {out}{error}")
        said = lines(out)[-1]
        same(said["event"], "error")
        want(said["code"] in ("refused", "unreachable"), out)


@test
def a_black_hole_is_status_75_after_the_timeout(bed):
    address = black_hole(bed)
    for command in (["ping", address], ["identify", address], ["pipe", f"{address}:echo"]):
        began = time.monotonic()
        got, out, error = bed.run(*command, "--timeout", "1s", "--json", RUST_LOG="off")
        took = time.monotonic() - began
        same(got, 75, f"{command}: {out}{error}")
        same(lines(out)[-1]["code"], "timeout")
        want(0.9 < took < 5, f"took {took:.1f} s")


@test
def a_port_that_speaks_something_else_is_status_1(bed):
    import threading
    server = bed.service(lambda client: (client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), client.recv(1000)))
    got, out, error = bed.run("ping", f"/ip4/127.0.0.1/tcp/{server.port}", "--json", "--timeout", "5s", RUST_LOG="off")
    same(got, 1, f"{out}{error}")
    same(lines(out)[-1]["event"], "error")


@test
def wrong_usage_is_status_2_and_names_what_is_wrong(bed):
    peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    for arguments, words in (
            (["--nonsense"], "--nonsense"),
            (["ping"], "ADDR"),
            (["ping", "localhost:4001"], "localhost:4001"),
            (["ping", "/ip4/127.0.0.1/udp/1/quic-v1"], "/ip4/127.0.0.1/udp/1/quic-v1"),
            (["ping", "/ip4/127.0.0.1/tcp/1/p2p/12D3bad"], "12D3bad"),
            (["ping", "/ip4/127.0.0.1/tcp/1", "--count", "many"], "many"),
            (["ping", "/ip4/127.0.0.1/tcp/1", "--timeout", "5 parsecs"], "parsecs"),
            (["pipe", "/ip4/127.0.0.1/tcp/1"], "ADDR:SERVICE"),
            (["pipe", f"/ip4/127.0.0.1/tcp/1/p2p/{peer}:"], "service"),
            (["flee"], "flee"),
            (["--expose", "=127.0.0.1:80"], "--expose"),
            (["--expose", "web"], "--expose"),
            (["--expose", "web=127.0.0.1:99999"], "--expose"),
            (["--tunnel", "echo@127.0.0.1:1"], "--tunnel"),
            (["--tunnel", f"{peer}:@127.0.0.1:1"], "--tunnel"),
            (["--tunnel", f"{peer}:echo@127.0.0.1"], "--tunnel"),
            (["--tunnel", "nobody:echo@127.0.0.1:1"], "--tunnel"),
            (["--listen", "0.0.0.0:4001"], "--listen"),
            (["--bootstrap", "127.0.0.1:4001"], "--bootstrap"),
            (["--bootstrap", "/ip4/127.0.0.1/tcp/0"], "--bootstrap"),
            (["--nat-status", "maybe"], "--nat-status"),
            (["--tunnel-wait", "soon"], "--tunnel-wait"),
            (["--log-format", "xml"], "--log-format")):
        status, out, error = bed.run(*arguments)
        same((status, out), (2, ""), f"{arguments}: {error}")
        same(len(error.splitlines()), 1, f"lines of {error!r}")
        want(error.startswith("punchgate: ") and words in error, f"{arguments}: {error}")
    same(list(bed.path.iterdir()), [], "files that a wrong command line has made")


@test
def a_wrong_configuration_is_status_78(bed):
    config = bed.path / "p.conf"
    config.write_text("listen = /ip4/127.0.0.1/tcp/0\nlissten = x\n")
    status, _, error = bed.run("--config", config)
    same(status, 78)
    want(f"{config}:2" in error and "lissten" in error, error)
    status, _, error = bed.run("--config", bed.path / "missing.conf")
    same(status, 78)
    want("missing.conf" in error, error)
    fails(bed, 78, "identity_missing", "id", "--identity", "missing.key")
    status, out, _ = bed.run("ping", "/ip4/127.0.0.1/tcp/1", "--identity", "missing.key", "--json")
    same(status, 78, out)


@test
def help_and_version_go_to_standard_output(bed):
    for command in ([], ["ping"], ["identify"], ["perf"], ["id"], ["pipe"], ["status"]):
        status, out, error = bed.run(*command, "--help")
        same((status, error), (0, ""))
        want(out.startswith("Usage: punchgate"), out)
    status, out, error = bed.run("--version")
    same((status, error), (0, ""))
    want(re.fullmatch(r"punchgate \d+\.\d+\.\d+\n", out), out)


@test
def pipe_joins_standard_input_and_output_to_a_service(bed):
    service = bed.service(digest)
    peer = bed.peer("peer", "--expose", f"digest=127.0.0.1:{service.port}")
    import hashlib
    for size in (0, 5, 10_000_000):
        data = pattern(size)
        status, out, error = bed.run("pipe", f"{peer.addr}:digest", stdin=data, RUST_LOG="warn")
        same((status, out), (0, f"{size} {hashlib.sha256(data).hexdigest()}"), error)
        same(error, "", "standard error")


@test
def pipe_passes_on_bytes_as_they_come(bed):
    service = bed.service(echo)
    peer = bed.peer("peer", "--expose", f"echo=127.0.0.1:{service.port}")
    process = subprocess.Popen([PUNCHGATE, "pipe", f"{peer.addr}:echo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=bed.environment(), cwd=bed.path)
    bed.processes.append(process)
    for word in (b"one", b"two", b"three"):
        process.stdin.write(word)
        process.stdin.flush()
        want(select.select([process.stdout], [], [], 10)[0], "no echo")
        same(os.read(process.stdout.fileno(), 100), word)
    process.stdin.close()
    same(process.stdout.read(), b"")
    same(process.wait(10), 0)
    process.stdout.close()


@test
def pipe_reads_a_file_and_writes_a_file(bed):
    service = bed.service(echo)
    peer = bed.peer("peer", "--expose", f"echo=127.0.0.1:{service.port}")
    data = pattern(3_000_000)
    (bed.path / "in").write_bytes(data)
    with open(bed.path / "in", "rb") as come, open(bed.path / "out", "wb") as gone:
        done = subprocess.run([PUNCHGATE, "pipe", f"{peer.addr}:echo"], stdin=come, stdout=gone, stderr=subprocess.DEVNULL,
                              env=bed.environment(), cwd=bed.path, timeout=30)
    same(done.returncode, 0)
    want((bed.path / "out").read_bytes() == data, "another file came out")


@test
def pipe_of_an_unknown_service_is_status_1_with_the_reason(bed):
    peer = bed.peer("peer")
    got, out, error = bed.run("pipe", f"{peer.addr}:nope", RUST_LOG="off")
    same((got, out), (1, ""))
    want("unknown service: nope" in error, error)
    got, out, error = bed.run("pipe", f"{peer.addr}:nope", "--json", RUST_LOG="off")
    same((got, lines(out)[-1]["code"]), (1, "tunnel_rejected"))


@test
def pipe_ends_when_the_reader_of_its_output_leaves(bed):
    service = bed.service(source)
    peer = bed.peer("peer", "--expose", f"source=127.0.0.1:{service.port}")
    process = subprocess.Popen([PUNCHGATE, "pipe", f"{peer.addr}:source"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, env=bed.environment(), cwd=bed.path)
    bed.processes.append(process)
    process.stdin.write(b"30000000\n")
    process.stdin.flush()
    os.read(process.stdout.fileno(), 100)
    process.stdout.close()
    process.wait(10)
    process.stdin.close()


def to_a_full_disk(bed, *words, stdin=b""):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PUNCHGATE, *map(str, words)], input=stdin, stdout=full, stderr=subprocess.PIPE,
                              env=bed.environment(RUST_LOG="off"), cwd=bed.path, timeout=30)
    return done.returncode, done.stderr.decode()


@test
def a_result_that_finds_a_full_disk_is_a_failure_that_is_told(bed):
    peer = bed.peer("peer")
    for words in (["ping", peer.addr, "--count", "1"], ["ping", peer.addr, "--count", "1", "--json"], ["identify", peer.addr],
                  ["perf", peer.addr, "--up", "5"], ["check"], ["check", "--json"], ["check", "--show-origin"], ["--help"], ["--version"],
                  ["id", "--identity", peer.key], ["key", "show", peer.key], ["status", "--identity", peer.key]):
        status, error = to_a_full_disk(bed, *words)
        same(status, 1, f"status of {words}")
        want(error.startswith("punchgate: standard output: No space left on device; ") and len(error.splitlines()) == 1, f"{words}: {error}")


@test
def pipe_loses_nothing_quietly_when_its_output_finds_a_full_disk(bed):
    def answers_and_ends(client):
        client.recv(100)
        client.sendall(b"the last words")

    service = bed.service(answers_and_ends)
    peer = bed.peer("peer", "--expose", f"words=127.0.0.1:{service.port}")
    for _ in range(20):  # whether words and end come in one piece is up to the system
        status, error = to_a_full_disk(bed, "pipe", f"{peer.addr}:words", stdin=b"?")
        same(status, 1, "status")
        want("No space left on device" in error, error)


@test
def a_command_ends_when_the_reader_of_its_output_has_left(bed):
    peer = bed.peer("peer")
    process = subprocess.Popen([PUNCHGATE, "ping", peer.addr, "--count", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=bed.environment(RUST_LOG="off"), cwd=bed.path)
    bed.processes.append(process)
    want(process.stdout.readline().startswith(b"seq 0"), "no ping")
    process.stdout.close()
    same(process.wait(20), 1, "status")
    same(process.stderr.read(), b"", "standard error")
    process.stderr.close()


@test
def many_commands_at_once_do_not_disturb_the_peer(bed):
    peer = bed.peer("peer")
    running = [subprocess.Popen([PUNCHGATE, "ping", peer.addr, "--count", "5", "--json"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env=bed.environment(), cwd=bed.path) for _ in range(10)]
    bed.processes += running
    for process in running:
        out, _ = process.communicate(timeout=30)
        same((process.returncode, lines(out.decode())[-1]["received"]), (0, 5))


if __name__ == "__main__":
    main()
