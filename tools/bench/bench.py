#!/usr/bin/env python3
"""Measures punchgate against a ceiling that copies and encrypts and does nothing else, in alternating runs.

Usage: bench.py [BUILD] [--punchgate FILE] [--runs N] [--bytes N] [--connections N] [--only NAME,...] [--json FILE]
Needs bench_load and bench_ceiling beside punchgate (tools/CMakeLists.txt builds them). Four processes as in use:
client, A, B, server. Prints a table with the bounds of the project; figures are information, so the exit status is 0
unless something broke or a connection was lost.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

GIB = 1 << 30
PATIENCE_S = 60


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


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def congestion_control():
    """What sockets to 127.0.0.1 use when they ask for cubic, as every process here does."""
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        except OSError:
            pass
        return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


class Bench:
    def __init__(self, options):
        self.options = options
        self.punchgate = os.path.abspath(options.punchgate)
        self.folder = os.path.dirname(self.punchgate)
        self.load = os.path.join(os.path.abspath(options.build), "bench_load")
        self.ceiling = os.path.join(os.path.abspath(options.build), "bench_ceiling")
        self.prefix = realtime_prefix()
        self.work = tempfile.mkdtemp(prefix="punchgate-bench-")
        self.running = []
        # Of the caller's settings nothing may leak into what is measured.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PUNCHGATE_")}
        self.env["RUST_LOG"] = "warn"

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

    def start(self, *command):
        """Starts a process that prints one line when it is ready; returns it and the line."""
        log = open(os.path.join(self.work, "log"), "ab")
        process = subprocess.Popen([*self.prefix, *command], stdout=subprocess.PIPE, stderr=log, text=True, env=self.env,
                                   cwd=self.work, stdin=subprocess.DEVNULL)
        log.close()
        self.running.append(process)
        line = process.stdout.readline()
        if not line:
            raise Broken(f"{' '.join(command)} did not start\n{self.log_tail()}")
        return process, line

    def log_tail(self):
        try:
            with open(os.path.join(self.work, "log"), errors="replace") as f:
                return f.read()[-2000:]
        except OSError:
            return ""

    def client(self, *arguments):
        done = subprocess.run([*self.prefix, self.load, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=self.env,
                              cwd=self.work, timeout=PATIENCE_S * 10)
        if done.returncode != 0 or not done.stdout:
            raise Broken(f"bench_load {' '.join(map(str, arguments))}: status {done.returncode}\n{self.log_tail()}")
        return json.loads(done.stdout.splitlines()[-1])

    # What is compared.

    def start_server(self):
        self.server_port = free_port()
        self.start(self.load, "server", str(self.server_port))

    def start_ceiling(self):
        inner, outer = free_port(), free_port()
        b, _ = self.start(self.ceiling, "inward", str(inner), str(self.server_port))
        a, _ = self.start(self.ceiling, "outward", str(outer), str(inner))
        return {"name": "ceiling", "port": outer, "a": a.pid, "b": b.pid}

    def identity(self, name):
        return ["--identity", os.path.join(self.work, name), "--control", "off"]

    def start_punchgate(self):
        outer = free_port()
        b, line = self.start(self.punchgate, *self.identity("b.key"), "--listen", "/ip4/127.0.0.1/tcp/0",
                             "--expose", f"bench=127.0.0.1:{self.server_port}", "--ready-json")
        ready = json.loads(line)
        self.provider_addr, self.provider_id = ready["addrs"][0], ready["peer"]
        time.sleep(1)
        self.resident = resident_kib(b.pid)
        a, _ = self.start(self.punchgate, *self.consumer("a.key", outer), "--ready-json")
        return {"name": "punchgate", "port": outer, "a": a.pid, "b": b.pid}

    def consumer(self, key, port):
        return [*self.identity(key), "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", self.provider_addr,
                "--tunnel", f"{self.provider_id}:bench@127.0.0.1:{port}"]

    # Measures: each gives {name: value} for one path.

    def bulk(self, path, way, streams):
        before = [cpu_seconds(path["a"]), cpu_seconds(path["b"])]
        got = self.client(way, path["port"], self.options.bytes, streams)
        after = [cpu_seconds(path["a"]), cpu_seconds(path["b"])]
        scale = GIB / got["bytes"]
        return {"GB/s": got["bytes"] / got["seconds"] / 1e9,
                "cpu_a": (after[0] - before[0]) * scale, "cpu_b": (after[1] - before[1]) * scale}

    def ping(self, path):
        got = self.client("ping", path["port"], self.options.pings)
        return {"p50": got["p50_us"], "p99": got["p99_us"]}

    def crowd(self, port, count):
        return self.client("connections", port, count, 8)

    def first_byte(self):
        return self.client("first", self.first_port, self.punchgate, *self.consumer("first.key", self.first_port))["echoed_ms"]

    # The whole.

    def alternate(self, measure):
        """Ceiling, punchgate, ceiling, punchgate …: phases of the machine last seconds and must hit both alike."""
        rows = {path["name"]: [] for path in self.paths}
        for path in self.paths:
            measure(path)  # windows and caches grow once; that run is thrown away
        for _ in range(self.options.runs):
            for path in self.paths:
                rows[path["name"]].append(measure(path))
        return rows

    def wanted(self, name):
        return not self.options.only or name in self.options.only.split(",")

    def run(self):
        self.start_server()
        self.paths = [self.start_ceiling()]
        if os.path.exists(self.punchgate):
            self.paths.append(self.start_punchgate())
        result = {"runs": self.options.runs, "bytes": self.options.bytes, "congestion_control": congestion_control(),
                  "scheduling": " ".join(self.prefix[1:]) or "as usual", "load": os.getloadavg()[0], "measures": {}}
        measures = result["measures"]
        for name, way, streams in (("up", "up", 1), ("down", "down", 1), ("eight up", "up", 8), ("eight down", "down", 8)):
            if self.wanted(name):
                measures[name] = self.alternate(lambda path, way=way, streams=streams: self.bulk(path, way, streams))
        if self.wanted("ping"):
            measures["ping"] = self.alternate(self.ping)
        if self.wanted("connections"):
            measures["connections"] = self.connections()
        if self.wanted("first") and len(self.paths) > 1:
            self.first_port = free_port()
            self.first_byte()  # makes its identity file
            measures["first"] = {"punchgate": [self.first_byte() for _ in range(self.options.runs * 4)]}
        if len(self.paths) > 1:
            measures["resident"] = {"punchgate": self.resident}
        return result

    def connections(self):
        """All of them through the tunnel, in parts between which the direct way and the ceiling are measured."""
        part = max(1, self.options.connections // self.options.runs)
        rows = {"direct": [], **{path["name"]: [] for path in self.paths}}
        for _ in range(self.options.runs):
            rows["direct"].append(self.crowd(self.server_port, part))
            for path in self.paths:
                rows[path["name"]].append(self.crowd(path["port"], part))
        return rows


def ratio_of(rows, key):
    """Median of the ratios within the runs, and the medians of both."""
    pairs = [(c[key], p[key]) for c, p in zip(rows["ceiling"], rows["punchgate"])]
    return (statistics.median(p / c for c, p in pairs), statistics.median(c for c, _ in pairs),
            statistics.median(p for _, p in pairs))


def table(result):
    """Rows of: measure, ceiling, punchgate, ratio, bound here, bound of the next step, whether the first holds."""
    measures = result["measures"]
    rows = []
    for name in ("up", "down", "eight up", "eight down"):
        if name in measures and "punchgate" in measures[name]:
            ratio, ceiling, ours = ratio_of(measures[name], "GB/s")
            bounds = (">= 0.50", ">= 0.85", ratio >= 0.5) if not name.startswith("eight") else ("", "", None)
            rows.append((f"{name}, GB/s", f"{ceiling:.2f}", f"{ours:.2f}", f"{ratio:.2f}", *bounds))
            for side in ("a", "b"):
                ratio, ceiling, ours = ratio_of(measures[name], f"cpu_{side}")
                rows.append((f"  CPU s/GiB of {side.upper()}", f"{ceiling:.2f}", f"{ours:.2f}", f"{ratio:.2f}", "", "", None))
    if "punchgate" in measures.get("ping", {}):
        for key in ("p50", "p99"):
            ratio, ceiling, ours = ratio_of(measures["ping"], key)
            bounds = ("<= 1.30", "<= 1.15", ratio <= 1.3) if key == "p50" else ("", "", None)
            rows.append((f"64-byte ping-pong, {key}, us", f"{ceiling:.1f}", f"{ours:.1f}", f"{ratio:.2f}", *bounds))
    if "punchgate" in measures.get("connections", {}):
        c = measures["connections"]
        lost, count = sum(r["lost"] for r in c["punchgate"]), sum(r["connections"] for r in c["punchgate"])
        rows.append((f"connections lost of {count}", "", str(lost), "", "0", "0 of 20000", lost == 0))
        per = {name: statistics.median(r["per_second"] for r in c[name]) for name in c}
        rows.append(("connections per second", f"{per['ceiling']:.0f}", f"{per['punchgate']:.0f}",
                     f"{per['punchgate'] / per['ceiling']:.2f}", "", "", None))
        rows.append(("  of the direct rate", f"{per['ceiling'] / per['direct']:.2f}", f"{per['punchgate'] / per['direct']:.2f}",
                     "", "", "", None))
    if "first" in measures:
        ms = statistics.median(measures["first"]["punchgate"])
        rows.append(("start to first echoed byte, ms", "", f"{ms:.1f}", "", "<= 30", "<= 15", ms <= 30))
    if "resident" in measures:
        rows.append(("idle peer, resident MiB", "", f"{measures['resident']['punchgate'] / 1024:.1f}", "", "", "", None))
    return rows


def ceiling_only(result):
    """While there is nothing to compare: the ceiling's own figures."""
    for name, rows in result["measures"].items():
        if isinstance(rows.get("ceiling"), list):
            first = rows["ceiling"][0]
            print(name, {key: round(statistics.median(r[key] for r in rows["ceiling"]), 3) for key in first})


def show(result):
    print(f"medians of {result['runs']} alternating runs, {result['bytes'] / GIB:.2g} GiB each; congestion control "
          f"{result['congestion_control']}; scheduling {result['scheduling']}; load average at the start {result['load']:.1f}")
    head = ("measure", "ceiling", "punchgate", "ratio", "here", "next issue", "")
    rows = [head, *(tuple(r[:6]) + ({True: "yes", False: "NO", None: ""}[r[6]],) for r in table(result))]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", help="folder of bench_load and bench_ceiling (default: punchgate's)")
    parser.add_argument("--punchgate", help="default: punchgate in that folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=GIB)
    parser.add_argument("--pings", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--only", help="up, down, eight up, eight down, ping, connections, first")
    parser.add_argument("--json", metavar="FILE", help="where to write every single figure")
    options = parser.parse_args()
    options.build = options.build or (os.path.dirname(options.punchgate) if options.punchgate else "build")
    options.punchgate = options.punchgate or os.path.join(options.build, "punchgate")
    bench = Bench(options)
    try:
        result = bench.run()
    except (Broken, subprocess.TimeoutExpired, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        bench.close()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=1)
    if len(bench.paths) < 2:
        print(f"bench: no {bench.punchgate}: only the ceiling was measured", file=sys.stderr)
        ceiling_only(result)
        return 1
    show(result)
    lost = sum(r["lost"] for r in result["measures"].get("connections", {}).get("punchgate", []))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
