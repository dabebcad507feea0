"""What `make bench` measures. Each measure is a function of the bench that returns {path name: [figures of each run]};
ceiling and punchgate alternate, because phases of a machine last seconds and must hit both alike."""
import json
import os
import subprocess
import time

from lab import Broken, cpu_seconds, free_port, status_of

GIB = 1 << 30
WAN = {"rate_mbit": 200, "delay_ms": 50, "queue_ms": 100}  # delay each way


class Bench:
    """The server, the ceiling's pair and punchgate's pair, and the measures over them."""

    def __init__(self, lab, options):
        self.lab, self.options = lab, options
        self.server_port = free_port()
        lab.start(lab.tool("load"), "server", self.server_port)
        inner, outer = free_port(), free_port()
        b, _ = lab.start(lab.tool("ceiling"), "inward", inner, self.server_port)
        a, _ = lab.start(lab.tool("ceiling"), "outward", outer, inner)
        self.paths = [{"name": "ceiling", "port": outer, "a": a.pid, "b": b.pid}]
        if os.path.exists(lab.punchgate):
            self.start_punchgate()

    def start_punchgate(self):
        outer = free_port()
        b, self.address, self.peer = self.lab.provider("b.key", f"127.0.0.1:{self.server_port}")
        a = self.lab.consumer("a.key", self.address, self.peer, outer)
        self.paths.append({"name": "punchgate", "port": outer, "a": a.pid, "b": b.pid})

    def load(self, *arguments, before=()):
        return self.lab.ask("load", *arguments, before=before)

    def alternate(self, measure):
        rows = {path["name"]: [] for path in self.paths}
        for path in self.paths:
            measure(path)  # windows and caches grow once; that run is thrown away
        for _ in range(self.options.runs):
            for path in self.paths:
                rows[path["name"]].append(measure(path))
        return rows

    def bulk(self, way, streams):
        def once(path):
            before = [cpu_seconds(path["a"]), cpu_seconds(path["b"])]
            got = self.load(way, path["port"], self.options.bytes, streams)
            after = [cpu_seconds(path["a"]), cpu_seconds(path["b"])]
            scale = GIB / got["bytes"]
            cpu = [(end - start) * scale for start, end in zip(before, after)]
            return {"GB/s": got["bytes"] / got["seconds"] / 1e9, "cpu_a": cpu[0], "cpu_b": cpu[1], "cpu": sum(cpu)}
        return self.alternate(once)

    def ping(self):
        def once(path):
            got = self.load("ping", path["port"], self.options.pings)
            return {"p50": got["p50_us"], "p99": got["p99_us"]}
        return self.alternate(once)

    def connections(self):
        """All of them through the tunnel, in parts between which the direct way and the ceiling are measured."""
        part = max(1, self.options.connections // self.options.runs)
        rows = {"direct": [], **{path["name"]: [] for path in self.paths}}
        for _ in range(self.options.runs):
            for path in [{"name": "direct", "port": self.server_port}, *self.paths]:
                rows[path["name"]].append(self.load("connections", path["port"], part, 8))
        return rows

    def burst(self):
        """As many clients as threads, all of which dial before anybody is done."""
        port = self.paths[-1]["port"]
        return {"punchgate": [self.load("connections", port, self.options.burst, self.options.burst)
                              for _ in range(self.options.runs)]}

    def held(self):
        """Tunnels that stay open: do all live, and what do they cost the two processes?"""
        path, count = self.paths[-1], self.options.held
        before = {side: status_of(path[side], "RssAnon") for side in "ab"}
        client, first = self.lab.start(self.lab.tool("load"), "hold", path["port"], count, stdin=subprocess.PIPE)
        time.sleep(1)
        each = {side: (status_of(path[side], "RssAnon") - before[side]) * 1024 / count for side in "ab"}
        client.stdin.write("\n")
        client.stdin.flush()
        second = client.stdout.readline()
        client.wait(60)
        lost = sum(int('"lost":0' not in line) for line in (first, second))
        return {"punchgate": [{"count": count, "whole": lost == 0, "first": first, "second": second, **each}]}

    def handshakes(self):
        """CPU of the accepting process alone; the bound is what libsodium's functions need for the same."""
        process, address, _ = self.lab.provider("shaken.key", f"127.0.0.1:{self.server_port}")
        port, rows = int(address.split("/")[4]), {"libsodium": [], "punchgate": []}
        for _ in range(self.options.runs):
            alone = self.lab.ask("handshakes", "primitives", self.options.handshakes)
            rows["libsodium"].append(alone["handshakes"] / alone["cpu_seconds"])
            before = cpu_seconds(process.pid)
            done = self.lab.ask("handshakes", "dial", port, self.options.handshakes)
            if done["failed"]:
                raise Broken(f"{done['failed']} of {done['handshakes']} handshakes failed\n{self.lab.log_tail()}")
            rows["punchgate"].append(done["handshakes"] / (cpu_seconds(process.pid) - before))
        self.lab.stop(process)
        return rows

    def first_byte(self):
        port = free_port()
        options = self.lab.consumer_options("first.key", self.address, self.peer, port)
        runs = [self.load("first", port, self.lab.punchgate, *options)["echoed_ms"] for _ in range(1 + self.options.runs * 4)]
        return {"punchgate": runs[1:]}  # the first makes its identity file

    def idle(self):
        """A pair with one connection and nothing to do: the provider's memory, its CPU and how often it wakes up."""
        b, address, peer = self.lab.provider("idle_b.key", f"127.0.0.1:{self.server_port}")
        a = self.lab.consumer("idle_a.key", address, peer, free_port())
        time.sleep(3)
        memory = {field: status_of(b.pid, field) for field in ("VmRSS", "RssAnon")}
        cpu, woken = cpu_seconds(b.pid), status_of(b.pid, "voluntary_ctxt_switches")
        time.sleep(self.options.idle)
        figures = {**memory, "seconds": self.options.idle, "cpu": cpu_seconds(b.pid) - cpu,
                   "woken": status_of(b.pid, "voluntary_ctxt_switches") - woken}
        self.lab.stop(a, b)
        return {"punchgate": [figures]}

    def binary(self):
        stripped = self.lab.path("stripped")
        subprocess.run(["strip", "-o", stripped, self.lab.punchgate], check=True)
        return {"punchgate": [os.path.getsize(stripped)]}

    def wan(self):
        """One stream over a long line, beside plain TCP over the same line. None when there may be no namespaces."""
        try:
            switch, line = self.lab.start(self.lab.switch, "--rate", WAN["rate_mbit"], "--delay", WAN["delay_ms"], "--queue",
                                          WAN["queue_ms"], "left=10.87.1.1/24", "right=10.87.2.1/24", stdin=subprocess.PIPE)
        except Broken as error:
            print(f"bench: no line between namespaces: {error}")
            return None
        ends = json.loads(line)
        left, right = (["nsenter", "--net=" + ends[side]] for side in ("left", "right"))
        port, outer = 4100, 4101
        self.lab.start(self.lab.tool("load"), "server", f"10.87.2.1:{port}", before=right)
        _, address, peer = self.lab.provider("far.key", f"10.87.2.1:{port}", "/ip4/10.87.2.1/tcp/4102", before=right)
        self.lab.consumer("near.key", address, peer, outer, before=left)
        time.sleep(1)
        rows = {"plain TCP": [], "punchgate": []}
        for _ in range(self.options.runs):
            for name, at in (("plain TCP", f"10.87.2.1:{port}"), ("punchgate", outer)):
                got = self.load("up", at, self.options.wan_bytes, 1, before=left)
                rows[name].append(got["bytes"] * 8 / got["seconds"] / 1e6)
        switch.stdin.close()
        return rows
