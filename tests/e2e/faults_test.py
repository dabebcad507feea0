"""A bad machine: a peer killed at each line of its log, hardly any descriptors, no /proc, no room for files.

After each: the same id, the tunnels back, no socket in the way; or a refusal that says what is missing.
"""
import contextlib
import os
import resource
import select
import shutil
import socket
import subprocess
import time

import peers
from peers import PUNCHGATE, PATIENCE, echo, main, same, speaks, test, until, want

ENOUGH_DESCRIPTORS = 32


def lines_until(process, stop, patience=PATIENCE):
    """Lines of its standard error, until one holds the word or so many have come."""
    text, end = b"", time.monotonic() + patience
    while time.monotonic() < end:
        if not select.select([process.stderr], [], [], max(0, end - time.monotonic()))[0]:
            break
        piece = os.read(process.stderr.fileno(), 4096)
        if not piece:
            break
        text += piece
        if stop(text.decode(errors="replace").splitlines()):
            break
    return text.decode(errors="replace").splitlines()


def through(bed, first, *arguments):
    """A peer started by a shell that does something before, in a mount namespace of its own where it may have one."""
    wrapper = bed.path / "wrapper"
    apart = "unshare -m " if first.startswith("mount") else ""
    wrapper.write_text(f'#!/bin/sh\nexec {apart}sh -c \'{first} && exec "$0" "$@"\' {PUNCHGATE} "$@"\n')
    wrapper.chmod(0o755)
    peers.PUNCHGATE = str(wrapper)
    try:
        return bed.peer(*arguments)
    finally:
        peers.PUNCHGATE = PUNCHGATE


def consumer_arguments(bed, provider, port):
    return ["--identity", bed.path / "consumer.key", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", provider.addr,
            "--tunnel", f"{provider.id}:echo@127.0.0.1:{port}"]


@test
def a_peer_killed_at_any_line_of_its_log_comes_back_as_the_same_with_its_tunnels(bed):
    provider = bed.peer("provider", "--expose", f"echo=127.0.0.1:{bed.service(echo).port}")
    first = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    port = first.tunnel_port("echo")
    arguments = consumer_arguments(bed, provider, port)
    want(speaks(bed.connect(port)))
    until(lambda: first.find("ping"), "the first ping")
    lines = len(first.entries())
    first.kill()
    want(lines > 10, f"only {lines} lines to be killed at")
    environment = bed.environment()
    for line in range(1, lines + 1):
        process = subprocess.Popen([PUNCHGATE, *map(str, arguments)], cwd=bed.path, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        bed.processes.append(process)
        said = lines_until(process, lambda all_lines: len(all_lines) >= line, 3)
        process.kill()
        process.wait()
        process.stderr.close()
        want(said, f"nothing was logged in run {line}")
    again = bed.peer("consumer", *arguments[4:], key="consumer")
    same(again.id, first.id, "peer id")
    want(speaks(bed.connect(port)), "the tunnel does not answer")
    same(bed.run("status", "--identity", bed.path / "consumer.key")[0], 0, "status over the control socket")
    same(sorted(p.name for p in bed.path.iterdir() if p.suffix not in (".log",)),
         ["consumer.key", "consumer.key.sock", "provider.key", "provider.key.sock"], "files")


@test
def a_provider_killed_while_it_makes_its_identity_makes_one_identity(bed):
    """Killed at each line of its very first start: there is either no file or a good one."""
    path = bed.path / "fresh.key"
    ids = set()
    for line in range(1, 6):
        process = subprocess.Popen([PUNCHGATE, "--identity", str(path), "--listen", "/ip4/127.0.0.1/tcp/0"], cwd=bed.path,
                                   env=bed.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        bed.processes.append(process)
        if line > 1:
            lines_until(process, lambda all_lines: len(all_lines) >= line - 1, 3)
        else:
            time.sleep(0.01)
        process.kill()
        process.wait()
        process.stderr.close()
        if path.exists():
            status, out, error = bed.run("id", "--identity", path)
            same(status, 0, error)
            ids.add(out)
    same(len(ids), 1, f"identities: {ids}")


@test
def too_few_descriptors_for_anything_are_told_and_nothing_aborts(bed):
    for files in (15, 8, 6, 5, 4):
        for words in (["--identity", "few.key", "--listen", "/ip4/127.0.0.1/tcp/0"], ["ping", "/ip4/127.0.0.1/tcp/1"]):
            done = subprocess.run(["sh", "-c", f'ulimit -n {files} && exec "$0" "$@"', PUNCHGATE, *words], cwd=bed.path, timeout=PATIENCE,
                                  env=bed.environment(RUST_LOG="off"), capture_output=True, check=False)
            same((done.returncode, done.stdout), (1, b""), f"status and output with {files}: {done.stderr}")
            want(b"fewer than 16 open files: raise the hard limit" in done.stderr, done.stderr)


@test
def a_few_descriptors_are_enough_to_serve_and_to_refuse(bed):
    """With 32 of them: strangers beyond that are turned away, and what is there lives on."""
    service = bed.service(echo)
    provider = through(bed, f"ulimit -n {ENOUGH_DESCRIPTORS}", "provider", "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--bootstrap", provider.addr, "--tunnel", f"{provider.id}:echo@127.0.0.1:0")
    consumer.connected(provider)
    port = consumer.tunnel_port("echo")
    live = bed.connect(port)
    want(speaks(live))
    crowd = []
    for _ in range(60):
        try:
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            client.sendall(b"hello")
            crowd.append(client)
        except ConnectionError:
            pass
    want(speaks(live, b"still here"), "the tunnel that was there does not answer")
    for client in crowd:
        client.close()
    strangers = []
    for _ in range(60):
        try:
            strangers.append(socket.create_connection(("127.0.0.1", provider.port), PATIENCE))
        except ConnectionError:
            pass
    want(speaks(live, b"and now"), "the tunnel that was there does not answer")
    for client in strangers:
        client.close()
    until(lambda: bed.run("ping", provider.addr, "--timeout", "5s")[0] == 0, "a ping once the strangers are gone")
    fresh = bed.connect(port)
    want(speaks(fresh), "a new client is not served")


@test
def a_soft_limit_of_descriptors_does_not_count_and_a_hard_one_is_told(bed):
    peer = through(bed, "ulimit -Sn 64", "soft")
    soft, hard = resource.prlimit(peer.process.pid, resource.RLIMIT_NOFILE)
    same(soft, hard, "the limit that the peer runs with")
    warned = "permits 200 open files, fewer than --max-conns 1024 needs"
    want(warned not in peer.text(), peer.text())
    crowd = [bed.connect(peer.port) for _ in range(100)]
    same(bed.run("ping", peer.addr, "--timeout", "10s")[0], 0, "a ping beside more connections than the soft limit was")
    same(peer.find("listener error"), [])
    for client in crowd:
        client.close()
    small = through(bed, "ulimit -n 200", "hard")
    want(warned in small.text(), small.text())


@test
def a_listener_that_found_no_descriptor_listens_again_though_nothing_of_its_own_ends(bed):
    """The table of descriptors may be full of somebody else's: then no connection of ours ends to tell that there is room."""
    peer = bed.peer("peer")
    pid = peer.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    stranger = socket.create_connection(("127.0.0.1", peer.port), PATIENCE)
    until(lambda: peer.find("listener error"), "the refusal in the log")
    stranger.close()
    late = socket.create_connection(("127.0.0.1", peer.port), PATIENCE)
    time.sleep(1)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    late.close()
    same(bed.run("ping", peer.addr, "--count", "1", "--timeout", "10s")[0], 0, "a ping once there are descriptors again")


@test
def without_proc_a_peer_serves_as_ever(bed):
    """In a mount namespace of its own where /proc is empty; needs root, as it may make one."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return
    probe = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && test ! -e /proc/self"], capture_output=True)
    if probe.returncode:
        return
    service = bed.service(echo)
    provider = through(bed, "mount -t tmpfs none /proc", "provider", "--expose", f"echo=127.0.0.1:{service.port}")
    consumer = bed.peer("consumer", "--tunnel", f"{provider.addr}:echo@127.0.0.1:0")
    want(speaks(bed.connect(consumer.tunnel_port("echo"))))
    same(bed.run("status", "--identity", provider.key)[0], 0)
    provider.kill()  # at an end in good order the sanitizers' own leak checker would look for /proc


@test
def a_full_disk_refuses_an_identity_and_leaves_a_running_peer_alone(bed):
    """On a file system of 64 KiB; needs root, as it mounts one."""
    place = bed.path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=100", "none", place], capture_output=True).returncode:
        return
    try:
        peer = bed.peer("peer", key="small/peer")
        filler = os.open(place / "filler", os.O_CREAT | os.O_WRONLY)
        with contextlib.suppress(OSError):
            while os.write(filler, bytes(4096)):
                pass
        os.close(filler)
        status, _, error = bed.run("--identity", place / "other.key", "--listen", "/ip4/127.0.0.1/tcp/0")
        want(status not in (0, 1) or "other.key" in error, f"status {status}: {error}")
        want("No space left" in error or "disk" in error, error)
        same(sorted(p.name for p in place.iterdir() if p.name.startswith("other")), [], "what is left of the identity")
        same(bed.run("ping", peer.addr)[0], 0, "ping of the peer that runs")
        same(peer.stop(), 0)
    finally:
        subprocess.run(["umount", "-l", place], check=False)


if __name__ == "__main__":
    main()
