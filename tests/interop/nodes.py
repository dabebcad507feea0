"""What runs in an interop test: programs to their end, listeners, and what their lines must say. Used by run.py and keys.py."""

import contextlib
import json
import os
import re
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass

PINGS = 5
PROTOCOLS = {"/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/punchgate/tunnel/1.0.0"}

READY_SECONDS = 20
# More than the 30 s after which a peer gives up by itself, and says what it waited for.
COMMAND_SECONDS = 40
END_SECONDS = 5


class Failed(Exception):
    pass


class NoEnd(Failed):
    """A program still ran when it should have ended."""


class Unavailable(Exception):
    """The machine lacks something: a reason to skip."""


def run(argv: list[str], stdin: bytes = b"", hold_stdin: bool = False, seconds: int = COMMAND_SECONDS,
        **options) -> subprocess.CompletedProcess:
    """Runs a program to its end. Held, its stdin stays open for as long as it runs."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err, **options)
        try:
            with contextlib.suppress(BrokenPipeError):
                if hold_stdin:
                    process.stdin.write(stdin)
                    process.stdin.flush()
                    process.wait(seconds)
                else:
                    process.communicate(stdin, seconds)
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NoEnd(f"no end within {seconds} s") from None
        finally:
            end(process)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, process.returncode, out.read(), err.read())


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def tail(output: bytes) -> str:
    return " | ".join(output.decode(errors="replace").strip().splitlines()[-3:])


def lines(result: subprocess.CompletedProcess) -> list[dict]:
    """The JSON lines of a command that succeeded."""
    try:
        objects = [json.loads(line) for line in result.stdout.splitlines()]
    except ValueError:
        raise Failed(f"not JSON: {tail(result.stdout)}") from None
    if result.returncode != 0:
        reason = objects[-1].get("reason") if objects else tail(result.stderr)
        raise Failed(f"status {result.returncode}: {reason}")
    if not objects:
        raise Failed("no output")
    return objects


@dataclass(frozen=True)
class Listener:
    """A node that has said it is ready, and the name of its service that resets."""

    peer: str
    addr: str
    reset_service: str
    argv: list[str]
    process: subprocess.Popen
    err: int
    key: str = ""
    # How many it takes on one connection, at least.
    streams: int = 1000

    def log(self) -> str:
        # Not by seeking, as the process writes where this file stands.
        return os.pread(self.err, 1 << 24, 0).decode(errors="replace")

    def saw(self, pattern: str, times: int = 1) -> str:
        """Waits for lines in the log; answers the first group of the last one."""
        deadline = time.monotonic() + END_SECONDS
        while len(found := re.findall(pattern, self.log())) < times:
            if time.monotonic() > deadline:
                raise Failed(f"its log has {len(found)} of {times} lines with `{pattern}`")
            time.sleep(0.02)
        return found[times - 1]


@contextlib.contextmanager
def listening(argv: list[str], reset_service: str, event: str = "ready", **options):
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, bufsize=0,
                                   **options)
        try:
            line = b""
            deadline = time.monotonic() + READY_SECONDS
            while not line.endswith(b"\n"):
                if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                    raise Failed(f"not ready within {READY_SECONDS} s")
                byte = process.stdout.read(1)
                if not byte:
                    err.seek(0)
                    raise Failed(f"ended before it was ready: {tail(line + err.read())}")
                line += byte
            try:
                ready = json.loads(line)
                if ready["event"] != event:
                    raise ValueError
                listener = Listener(ready["peer"], ready["addrs"][0], reset_service, argv, process, err.fileno(),
                                    ready.get("key", ""))
            except (ValueError, KeyError, IndexError, TypeError):
                raise Failed(f"not a ready line: {tail(line)}") from None
            yield listener
        finally:
            end(process)
            process.stdout.close()


def check_pings(objects: list[dict]) -> None:
    *pings, summary = objects
    if [p.get("seq") for p in pings] != list(range(PINGS)) or not all(p.get("rtt_us", -1) >= 0 for p in pings):
        raise Failed(f"not {PINGS} pings: {pings}")
    if (summary.get("event"), summary.get("sent"), summary.get("received")) != ("summary", PINGS, PINGS):
        raise Failed(f"not all received: {summary}")


def check_identity(objects: list[dict], listener: Listener) -> None:
    [info] = objects
    if info.get("peer") != listener.peer:
        raise Failed(f"peer {info.get('peer')} instead of {listener.peer}")
    if missing := PROTOCOLS - set(info.get("protocols", ())):
        raise Failed(f"no word of {', '.join(sorted(missing))}")
    if listener.addr.split("/p2p/")[0] not in [addr.split("/p2p/")[0] for addr in info.get("listen_addrs", ())]:
        raise Failed(f"the listen address is not among {info.get('listen_addrs')}")
    if not (info.get("observed_addr") or "").startswith("/ip4/127.0.0.1/tcp/"):
        raise Failed(f"observed address {info.get('observed_addr')}")
    if not info.get("agent") or not info.get("protocol_version"):
        raise Failed(f"agent {info.get('agent')!r}, protocol version {info.get('protocol_version')!r}")


def check_ok(objects: list[dict], event: str) -> None:
    if objects[-1].get("event") != event or objects[-1].get("ok") is not True:
        raise Failed(f"unexpected: {objects[-1]}")
