"""The processes of a measurement and what /proc says of them. Used by bench.py and measures.py."""
import json
import os
import shutil
import socket
import subprocess
import tempfile

PATIENCE_S = 600


class Broken(Exception):
    """Something did not run at all, as opposed to running slowly."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def realtime_prefix():
    """`chrt -f 20` when we may: other work on the machine then gets only what the kernel reserves for it."""
    chrt = shutil.which("chrt")
    if chrt and subprocess.run([chrt, "-f", "20", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        return [chrt, "-f", "20"]
    return []


def cpu_seconds(pid):
    """CPU time of all threads, in nanosecond steps where the kernel offers them."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def status_of(pid, field):
    """A number of /proc/PID/status: VmRSS and RssAnon in KiB, voluntary_ctxt_switches."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def congestion_control():
    """What sockets to 127.0.0.1 use when they ask for cubic, as every process here does."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        except OSError:
            pass
        return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


class Lab:
    """Starts processes and ends them all; its folder goes with it."""

    def __init__(self, build, punchgate):
        self.build = os.path.abspath(build)
        self.punchgate = os.path.abspath(punchgate)
        self.switch = os.path.join(self.build, "wan")
        self.prefix = realtime_prefix()
        self.work = tempfile.mkdtemp(prefix="punchgate-bench-")
        self.running = []
        # Of the caller's settings nothing may leak into what is measured.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PUNCHGATE_")}
        self.env["RUST_LOG"] = "warn"
        self.env["PUNCHGATE_NO_MDNS"] = "1"  # what else is on the local network has no part in it

    def tool(self, name):
        return os.path.join(self.build, "bench_" + name)

    def path(self, name):
        return os.path.join(self.work, name)

    def close(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self, *command, stdin=subprocess.DEVNULL, before=(), wait=True, log=None, level=None):
        """Starts a process that prints one line when it is ready; returns it and the line (wait=False: None)."""
        with open(log or self.path("log"), "ab") as file:
            process = subprocess.Popen([*before, *self.prefix, *map(str, command)], stdout=subprocess.PIPE, stderr=file, text=True,
                                       env={**self.env, "RUST_LOG": level} if level else self.env, cwd=self.work, stdin=stdin)
        self.running.append(process)
        line = process.stdout.readline() if wait else None
        if line == "":
            raise Broken(f"{' '.join(map(str, command))} did not start\n{self.log_tail()}")
        return process, line

    def stop(self, *processes):
        for process in processes:
            process.terminate()
            process.wait(30)
            self.running.remove(process)

    def log_tail(self):
        try:
            with open(self.path("log"), errors="replace") as f:
                return f.read()[-2000:]
        except OSError:
            return ""

    def ask(self, name, *arguments, before=()):
        """Runs a tool to its end; its last line is JSON."""
        command = [*before, *self.prefix, self.tool(name), *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=self.env, cwd=self.work, timeout=PATIENCE_S)
        if done.returncode != 0 or not done.stdout:
            raise Broken(f"{' '.join(command)}: status {done.returncode}\n{self.log_tail()}")
        return json.loads(done.stdout.splitlines()[-1])

    def provider(self, key, service, listen="/ip4/127.0.0.1/tcp/0", before=()):
        """A peer that exposes `service` (HOST:PORT) as bench; returns process, address and peer id."""
        process, line = self.start(self.punchgate, "--identity", self.path(key), "--control", "off", "--listen", listen,
                                   "--expose", f"bench={service}", "--ready-json", before=before)
        ready = json.loads(line)
        return process, ready["addrs"][0], ready["peer"]

    def consumer_options(self, key, address, peer, port):
        return ["--identity", self.path(key), "--control", "off", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", address,
                "--tunnel", f"{peer}:bench@127.0.0.1:{port}"]

    def consumer(self, key, address, peer, port, before=()):
        process, _ = self.start(self.punchgate, *self.consumer_options(key, address, peer, port), "--ready-json", before=before)
        return process
