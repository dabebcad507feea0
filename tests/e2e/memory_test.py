"""The program with an allocator that fails at its n-th call, for every n: a command ends with a documented status and a reason, a
peer refuses to start or serves. tests/alloc/alloc_test.c does the same to scenes in memory, and looks for what is left behind."""
import os
import pathlib
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import peers
from peers import BROKEN, PATIENCE, Peer, main, test, want

STARVED = str(pathlib.Path(peers.PUNCHGATE).parent / "tests" / "starved")
ENDS = (0, 1, 69, 75)
MOST = 400


def told_calls(text):
    found = re.search(r"starve: (\d+) calls", text)
    return int(found[1]) if found else None


def every_call(check):
    """check(n) answers how many calls there were, or None when the program ended before it could tell."""
    calls = check("0")
    want(calls and 10 < calls < MOST, f"{calls} calls without a failure")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, [f"{n}{mode}" for n in range(1, calls + 1) for mode in ("", "+")]))


@test
def a_command_without_memory_ends_with_a_reason(bed):
    peer = bed.peer("peer")

    def check(starve):
        done = subprocess.run([STARVED, "ping", peer.addr, "--timeout", "5s"], cwd=bed.path, timeout=PATIENCE, capture_output=True,
                              stdin=subprocess.DEVNULL, env=bed.environment(PG_STARVE=starve))
        said = done.stderr.decode(errors="replace")
        want(done.returncode in ENDS and not any(b in said for b in BROKEN), f"call {starve}: {done.returncode}, {said}")
        reason = re.sub(r"starve: .*", "", said).strip()
        want(done.returncode == 0 or reason, f"call {starve}: ended with {done.returncode} and no reason")
        return told_calls(said)

    every_call(check)


@test
def a_peer_without_memory_refuses_to_start_or_serves(bed):
    lock, number = threading.Lock(), [0]

    def check(starve):
        with lock:
            number[0] += 1
            name = f"peer{number[0]}"
        log = bed.path / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen([STARVED, "--identity", str(bed.path / f"{name}.key"), "--listen", "/ip4/127.0.0.1/tcp/0",
                                        "--ready-json"], cwd=bed.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out,
                                       env=bed.environment(PG_STARVE=starve))
        bed.processes.append(process)
        line = Peer.read_line(_Reader(process))
        if line:
            addr = re.search(r'"addrs":\["([^"]+)"', line)
            want(addr, f"call {starve}: {line}")
            # Served, or turned away while there is no memory; with memory back there is no excuse.
            status, _, error = bed.run("ping", addr[1], "--timeout", "5s")
            want(status == 0 or starve.endswith("+") or bed.run("ping", addr[1], "--timeout", "10s")[0] == 0, f"call {starve}: {error}")
            process.send_signal(signal.SIGTERM)
        status = process.wait(PATIENCE)
        process.stdout.close()
        text = log.read_text(errors="replace")
        want(not any(b in text for b in BROKEN), f"call {starve}: {text}")
        want(status in (0, 1, 71, 78) or status > 0, f"call {starve}: status {status}: {text}")
        want(line or status > 0, f"call {starve}: neither ready nor refused")
        return told_calls(text)

    every_call(check)


class _Reader:
    """What Peer.read_line needs."""

    def __init__(self, process):
        self.process = process


if __name__ == "__main__":
    os.environ.setdefault("ASAN_OPTIONS", "")
    main()
