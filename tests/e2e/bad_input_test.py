#!/usr/bin/env python3
"""Everything that a person can get wrong on the command line, in the environment, in files and in addresses.

Each case gives one message that names the wrong thing, says why and what to do, and the documented exit status; nothing is
made or removed on the way. Run by ctest with PG_BUILD; closing line `N passed, N failed`.
"""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

BUILD = pathlib.Path(os.environ.get("PG_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
PROGRAM = BUILD / "punchgate"
PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
SCORE = [0, 0]


def check(good, what):
    SCORE[0 if good else 1] += 1
    if not good:
        print(f"FAILED: {what}")


class Place:
    """A folder of its own for a case, and an environment that knows nothing of this machine's configuration."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def run(self, args, env=None, file=None, timeout=30):
        if file is not None:
            self.config.write_bytes(file if isinstance(file, bytes) else file.encode())
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PUNCHGATE_") and k not in ("RUST_LOG", "NO_COLOR")}
        clean.update({"XDG_CONFIG_HOME": str(self.folder / "xdg"), "HOME": str(self.folder), "PUNCHGATE_NO_MDNS": "1",
                      **(env or {})})
        return subprocess.run([PROGRAM, *args], cwd=self.folder, env=clean, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout)

    @property
    def config(self):
        path = self.folder / "xdg/punchgate/punchgate.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory(prefix="punchgate-bad-") as folder:
        yield Place(folder)


def refused(name, result, status, *parts):
    """One message on standard error and nothing on standard output."""
    out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")[:1500]
    lines = [line for line in err.splitlines() if line.startswith("punchgate: ")]
    wanted = status if isinstance(status, tuple) else (status,)
    check(result.returncode in wanted, f"{name}: status {result.returncode} instead of {status}; said {err!r}")
    check(len(lines) == 1 and out == "", f"{name}: {len(lines)} messages, standard output {out!r}, standard error {err!r}")
    check(all(part in err for part in parts), f"{name}: {[p for p in parts if p not in err]} missing in {err!r}")


# --- before anything starts: command line, environment, file ---

FLAGS = (
    (["--tunel", "x"], "unknown option --tunel; did you mean --tunnel?"),
    (["--frobnicate"], "unknown option --frobnicate"),
    (["-q"], "unknown option -q"),
    (["--expose"], "--expose lacks its value; write --expose NAME=TARGET"),
    (["--ready-json=1"], "--ready-json takes no value"),
    (["--count", "1"], "--count is no option of run"),
    (["status", "--expose", "a=b:1"], "--expose is no option of status"),
    (["serve"], '"serve" is no command; there are run, ping'),
    (["ping"], "ADDR is missing; write punchgate ping ADDR"),
    (["identify"], "ADDR is missing"),
    (["pipe"], "ADDR:SERVICE is missing"),
    (["id", "identity.key"], '"identity.key" is one word too many'),
    (["status", "now"], '"now" is one word too many'),
    (["--identity="], '--identity "": empty; write FILE'),
    (["--config="], '--config "": empty; write FILE'),
    (["--listen", "4001"], '--listen "4001": not a multiaddr; write /ip4/'),
    (["--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"], "only TCP is spoken so far; write /ip4/"),
    (["--listen", "/ip4/0.0.0.0"], "only TCP is spoken so far; write /ip4/"),
    (["--listen", "/ip4/0.0.0.0/tcp/65536"], "a value in the multiaddr does not fit its protocol"),
    (["--listen", "/dns4/localhost/tcp/1"], "one listens on a numeric address, not on a name"),
    (["--listen", f"/ip4/0.0.0.0/tcp/0/p2p/{PEER}"], "names no peer; leave out /p2p"),
    (["--listen", "/ip4/0.0.0.0/tcp/0"] * 17, "--listen: 17 of them; at most 16 are possible"),
    (["--bootstrap", "example.org:4001"], "not a multiaddr; write /ip4/ADDRESS/tcp/PORT/p2p/ID"),
    (["--bootstrap", "/dns4/example..org/tcp/4001"], "a name in the multiaddr is none that DNS knows"),
    (["--bootstrap", "/ip4/192.0.2.1/tcp/0"], "port 0 cannot be dialled"),
    (["--bootstrap", f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}/p2p-circuit/p2p/{PEER}"], "a relay is no way to itself; leave out /p2p-circuit"),
    (["--bootstrap", "/ip4/192.0.2.1/tcp/1/p2p/rubbish"], "a value in the multiaddr does not fit its protocol"),
    (["--expose", "ssh"], '--expose "ssh": not of the form NAME=HOST:PORT'),
    (["--expose", "=127.0.0.1:22"], "the service name is empty"),
    (["--expose", "ssh=127.0.0.1"], "not of the form NAME=HOST:PORT"),
    (["--expose", "ssh=127.0.0.1:ssh"], "the port is not a number"),
    (["--expose", "ssh=127.0.0.1:0"], "the port is not a number from 1 to 65535"),
    (["--expose", "ssh=unix:run/ssh"], "the path of a unix socket does not begin with a slash; write NAME=HOST:PORT or NAME=unix:/PATH"),
    (["--expose", "ssh=::1:22"], "an IPv6 address in brackets"),
    (["--expose", "x" * 256 + "=127.0.0.1:22"], "the service name is longer than 255 bytes"),
    (["--expose", "a\nb=127.0.0.1:22"], 'a\\nb=127.0.0.1:22": a control character'),
    (["--expose", "a=127.0.0.1:1", "--expose", "a=127.0.0.1:2"], 'the service name "a" stands twice'),
    (["--tunnel", "echo@127.0.0.1:9000"], "not of the form PEER:SERVICE@HOST:PORT"),
    (["--tunnel", "bob:echo@127.0.0.1:9000"], "what stands before the first colon is not a peer id"),
    (["--tunnel", f"{PEER}:echo"], "not of the form PEER:SERVICE@HOST:PORT"),
    (["--tunnel", f"{PEER}:@127.0.0.1:1"], "the service name is empty"),
    (["--tunnel", f"{PEER}:echo@127.0.0.1:99999"], "the port is not a number"),
    (["--tunnel", f"{PEER}:a@127.0.0.1:9", "--tunnel", f"{PEER}:b@127.0.0.1:9"], "give each tunnel its own port"),
    (["--nat-status", "maybe"], '--nat-status "maybe": no such choice; write private or public'),
    (["--log-format", "xml"], "no such choice; write text or json"),
    (["--tunnel-wait", "soon"], '--tunnel-wait "soon": not a time; write a whole number and ms, s, min or h'),
    (["--memory", "99999999999999999999GiB"], '--memory "99999999999999999999GiB": too large; write something from 8MiB'),
    (["--max-conns", "99999999999999999999"], "too large; write something from"),
    (["--tunnel-wait", "2h"], "too large; write something from"),
    (["--control", "/" + "x" * 120], "longer than the 107 bytes"),
    (["status", "--control", "off"], "control is off; status needs the socket"),
    (["ping", "localhost"], '"localhost": not a multiaddr'),
    (["ping", "/ip4/127.0.0.1/tcp/1", "--count", "0"], '--count "0": too small'),
    (["ping", "/ip4/127.0.0.1/tcp/1", "--count", "-1"], '--count "-1": not a whole number'),
    (["ping", "/ip4/127.0.0.1/tcp/1", "--timeout", "0"], '--timeout "0": too small'),
    (["pipe", "/ip4/127.0.0.1/tcp/1"], "not of the form ADDR:SERVICE"),
    (["pipe", "/ip4/127.0.0.1/tcp/1:"], "the service name is empty"),
)
VARIABLES = (
    ({"PUNCHGATE_LISTEN": "x"}, 'PUNCHGATE_LISTEN "x": not a multiaddr'),
    ({"PUNCHGATE_EXPOSE": "a=127.0.0.1:1,,b=127.0.0.1:2"}, "PUNCHGATE_EXPOSE", "an item is empty"),
    ({"PUNCHGATE_TUNNEL": "allow=x"}, "PUNCHGATE_TUNNEL", "begins with a part of an item"),
    ({"PUNCHGATE_READY_JSON": "perhaps"}, 'PUNCHGATE_READY_JSON "perhaps": neither yes nor no; write 1 or 0'),
    ({"PUNCHGATE_TUNNEL_WAIT": "1 s"}, 'PUNCHGATE_TUNNEL_WAIT "1 s": not a time'),
    ({"PUNCHGATE_NAT_STATUS": "unknown"}, 'PUNCHGATE_NAT_STATUS "unknown": no such choice'),
)
FILES = (
    ("listn = x\n", ":1: unknown name \"listn\"; did you mean listen?"),
    ("help = 1\n", ":1: unknown name \"help\""),
    ("# fine\n\nno equals\n", ":3: not of the form name = value"),
    ("[tunnel]\nlisten = /ip4/0.0.0.0/tcp/0\n", ":2: unknown section [tunnel]"),
    ("identity = a\nidentity = b\n", ":2: identity stands already in line 1; keep one of them"),
    ("listen = /ip4/0.0.0.0/tcp/0\nlisten = x\n", ":2: listen \"x\": not a multiaddr"),
    ("expose = a=127.0.0.1:1\nexpose = a=127.0.0.1:2\n", ':1: expose: the service name "a" stands twice'),
    ("nat-status = 7\n", ":1: nat-status \"7\": no such choice"),
    ("control = /" + "x" * 120 + "\n", ":1: control \"/xxx", "longer than the 107 bytes"),
    (b"listen = \0\n", ":1: a zero byte"),
    ("bootstrap = " + "x" * 9000 + "\n", ":1: the line is longer than"),
)


def test_command_line():
    for args, *parts in FLAGS:
        with place() as p:
            refused(" ".join(args)[:80], p.run(args), 2, *parts)
            check(not any(p.folder.iterdir()), f"{args}: left {list(p.folder.iterdir())}")


def test_environment():
    for env, *parts in VARIABLES:
        with place() as p:
            refused(str(env), p.run([], env=env), 2, *parts)


def test_files():
    for text, *parts in FILES:
        with place() as p:
            result = p.run([], file=text)
            refused(repr(text[:40]), result, 78, str(p.config) + parts[0], *parts[1:])
            check(not (p.folder / "identity.key").exists(), f"{text[:40]!r}: an identity was made all the same")
    with place() as p:
        refused("--config of a missing file", p.run(["--config", "none.conf"]), 78, "none.conf: No such file", "leave --config out")
        refused("PUNCHGATE_CONFIG of a missing file", p.run([], env={"PUNCHGATE_CONFIG": "/none"}), 78, "/none: No such file")
        refused("--config of a folder", p.run(["--config", "."]), 78, "Is a directory")
        refused("--config without an end", p.run(["--config", "/dev/zero"]), 78, "/dev/zero:1: a zero byte")


def test_json_errors():
    """With --json the failure is one object on standard output, and standard error is free for the log."""
    with place() as p:
        for args, status in ((["ping", "nowhere", "--json"], 2), (["id", "--json", "--identity", "none"], 78),
                             (["status", "--json"], 69), (["--json", "id", "--nonsense"], 2)):
            result = p.run(args)
            lines = result.stdout.decode().splitlines()
            check(result.returncode == status, f"{args}: status {result.returncode} instead of {status}")
            entry = json.loads(lines[0]) if len(lines) == 1 else {}
            check(list(entry) == ["event", "code", "reason"] and entry["event"] == "error", f"{args}: standard output {lines}")
            check(b"punchgate: " not in result.stderr, f"{args}: said it on standard error too")


# --- what shows only when it is opened or dialled ---

def test_identity_files():
    with place() as p:
        key = p.folder / "identity.key"
        refused("id without a file", p.run(["id"]), 78, "identity.key")
        check(not key.exists(), "id made an identity")
        for text in (b"", b"rubbish", b"\x08\x01\x12\x40" + b"x" * 63, b"\x08\x01\x12\x40" + b"x" * 64, b"x" * 100_000):
            key.write_bytes(text)
            key.chmod(0o600)
            refused(f"an identity of {len(text)} bytes", p.run([]), 78, "identity.key")
            check(key.read_bytes() == text, "a wrong identity file was changed")
        refused("a folder as identity", p.run(["--identity", "."]), 78, ".")
        refused("ping with a missing identity", p.run(["ping", "/ip4/127.0.0.1/tcp/1", "--identity", "none"]), 78, "none")
        check(not (p.folder / "none").exists(), "ping made an identity")


@contextlib.contextmanager
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen(8)
        yield holder, holder.getsockname()[1]


def test_local_addresses():
    with place() as p, taken_port() as (_, port):
        refused("a port that is taken", p.run(["--listen", f"/ip4/127.0.0.1/tcp/{port}"]), (1, 2, 78), str(port), "in use")
        refused("an address of another machine", p.run(["--listen", "/ip4/203.0.113.77/tcp/0"]), (1, 2, 78), "203.0.113.77")


def test_control_sockets():
    with place() as p:
        refused("status without a peer", p.run(["status"]), 69, "identity.key.sock")
        refused("a control socket in no folder", p.run(["--control", "none/x.sock"]), (1, 2, 78), "none/x.sock")
        file = p.folder / "precious"
        file.write_text("data")
        refused("a control socket where a file is", p.run(["--control", "precious"]), (1, 2, 78), "precious")
        check(file.exists() and file.read_text() == "data", "the control socket took the place of a file")
        refused("status at a file", p.run(["status", "--control", "precious"]), 69, "precious")


def serve_garbage(holder, text):
    def loop():
        with contextlib.suppress(OSError):
            while True:
                client, _ = holder.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(text)
                    while client.recv(4096):
                        pass
    threading.Thread(target=loop, daemon=True).start()


def test_remotes():
    with place() as p, taken_port() as (holder, port):
        address = f"/ip4/127.0.0.1/tcp/{port}"
        silent = p.run(["ping", address, "--timeout", "400ms"])
        refused("a peer that never answers", silent, 75)
        serve_garbage(holder, b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"<html>" * 50)
        refused("a web server instead of a peer", p.run(["ping", address, "--timeout", "5s"]), 1)
        refused("identify at a web server", p.run(["identify", address, "--timeout", "5s"]), 1)
        refused("pipe at a web server", p.run(["pipe", address + ":ssh", "--timeout", "5s"]), 1)
    with place() as p, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{free.getsockname()[1]}"
        refused("nobody there", p.run(["ping", address]), 69)
        refused("identify, nobody there", p.run(["identify", address]), 69)
        refused("pipe, nobody there", p.run(["pipe", address + ":x"]), 69)


def test_a_running_peer():
    """A wrong peer id, an unknown service and a second peer on the same files, against a peer that works."""
    with place() as p:
        clean = {**os.environ, "XDG_CONFIG_HOME": str(p.folder / "xdg"), "HOME": str(p.folder), "PUNCHGATE_NO_MDNS": "1"}
        peer = subprocess.Popen([PROGRAM, "--ready-json", "--listen", "/ip4/127.0.0.1/tcp/0"], cwd=p.folder, env=clean,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            ready = json.loads(peer.stdout.readline())
            address = ready["addrs"][0]
            wrong = address.split("/p2p/")[0] + "/p2p/" + PEER
            refused("another peer answers", p.run(["ping", wrong]), 1, "another peer")
            refused("a service that is not offered", p.run(["pipe", address + ":nothing"]), 1, "unknown service")
            refused("a second peer with the same control socket", p.run(["--listen", "/ip4/127.0.0.1/tcp/0"]), (1, 2, 78), ".sock")
            check(p.run(["status"]).returncode == 0, "the first peer's control socket works no more")
        finally:
            peer.terminate()
            check(peer.wait(10) == 0, f"the peer ended with {peer.returncode}")


def main():
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build it first")
    only = sys.argv[1:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not only or name in only):
            test()
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
