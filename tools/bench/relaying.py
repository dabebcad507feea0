"""What a relay costs. Used by bench.py: memory of reservations, and a tunnel over a relay beside the same tunnel without one."""
import json
import statistics
import subprocess
import time

from lab import Broken, cpu_seconds, free_port, status_of

GIB = 1 << 30


def reservations(bench):
    """Clients that connect, reserve and stay: the relay's own memory for each, its kernel buffers not counted."""
    lab, count = bench.lab, bench.options.reservations
    relay, line = lab.start(lab.punchgate, "--identity", lab.path("slots.key"), "--control", "off", "--listen", "/ip4/127.0.0.1/tcp/0",
                            "--max-conns", count + 128, "--max-conns-inbound", count + 64, "--max-relay-reservations", count,
                            "--ready-json", level="error")
    ready = json.loads(line)
    before, cpu = status_of(relay.pid, "RssAnon"), cpu_seconds(relay.pid)
    clients, line = lab.start(lab.tool("reserve"), ready["addrs"][0].split("/")[4], ready["peer"], count, stdin=subprocess.PIPE)
    said, cpu = json.loads(line), cpu_seconds(relay.pid) - cpu
    time.sleep(35)  # a keep-alive of each
    each = (status_of(relay.pid, "RssAnon") - before) / count
    clients.stdin.close()
    left = json.loads(clients.stdout.readline())["left"]
    lab.stop(clients, relay)
    return {"punchgate": [{"count": count, "reserved": said["reserved"], "left": left, "kib": each, "cpu_us": cpu / count * 1e6}]}


def start_relayed(bench):
    """A relay, a provider that is private and reserves there, and two consumers: one over the relay, one that dials the provider."""
    lab = bench.lab
    relay, line = lab.start(lab.punchgate, "--identity", lab.path("relay.key"), "--control", "off", "--listen", "/ip4/127.0.0.1/tcp/0",
                            "--nat-status", "public", "--ready-json")
    at = json.loads(line)["addrs"][0]
    provider, line = lab.start(lab.punchgate, "--identity", lab.path("behind.key"), "--control", "off", "--listen", "/ip4/127.0.0.1/tcp/0",
                               "--bootstrap", at, "--nat-status", "private", "--expose", f"bench=127.0.0.1:{bench.server_port}",
                               "--ready-json")
    ready, consumers, ports = json.loads(line), {}, {}
    ways = {"relayed": (f"{at}/p2p-circuit/p2p/{ready['peer']}", "relay"), "direct": (ready["addrs"][0], "direct")}
    for name, (to, path) in ways.items():
        ports[name] = free_port()
        consumers[name], _ = lab.start(lab.punchgate, "--identity", lab.path(name + ".key"), "--control", "off", "--listen",
                                       "/ip4/127.0.0.1/tcp/0", "--tunnel", f"{to}:bench@127.0.0.1:{ports[name]}", "--path", path, "--ready-json")
    return relay, provider, consumers, ports


def relayed(bench):
    """One stream up and down over the relay and without it, in turns."""
    relay, provider, consumers, ports = start_relayed(bench)
    rows = []
    time.sleep(3)
    for run in range(1 + bench.options.runs):
        for way in ("up", "down"):
            row = {"way": way}
            for name, port in ports.items():
                watched = {"relay": relay.pid, "provider": provider.pid, "consumer": consumers[name].pid}
                before = {who: cpu_seconds(pid) for who, pid in watched.items()}
                got = bench.load(way, port, bench.options.bytes, 1)
                if not got.get("whole", True):
                    raise Broken(f"the {name} tunnel lost bytes\n{bench.lab.log_tail()}")
                row[name] = {"GB/s": got["bytes"] / got["seconds"] / 1e9,
                             **{who: (cpu_seconds(pid) - before[who]) * GIB / got["bytes"] for who, pid in watched.items()}}
            if run > 0:
                rows.append(row)
    bench.lab.stop(*consumers.values(), provider, relay)
    return {"punchgate": rows}


MEASURES = {"reservations": reservations, "relayed": relayed}


def reservation_rows(rows):
    got = rows["punchgate"][0]
    whole = got["reserved"] == got["left"] == got["count"]
    yield f"{got['count']} reservations at one relay", "", "all live" if whole else "LOST SOME", "", "all", whole
    yield "  KiB of the relay for each, connection included", "", f"{got['kib']:.1f}", "", "<= 40", got["kib"] <= 40
    yield "  CPU us for each, handshake included", "", f"{got['cpu_us']:.0f}", "", "", None


def relayed_rows(rows):
    for way in ("up", "down"):
        runs = [row for row in rows["punchgate"] if row["way"] == way]
        middle = {name: statistics.median(row[name]["GB/s"] for row in runs) for name in ("direct", "relayed")}
        ratio = statistics.median(row["relayed"]["GB/s"] / row["direct"]["GB/s"] for row in runs)
        yield f"one stream {way} over a relay, GB/s (beside direct)", f"{middle['direct']:.2f}", f"{middle['relayed']:.2f}", f"{ratio:.2f}", \
            ">= 0.38", ratio >= 0.38
        ends = statistics.median((row["relayed"]["provider"] + row["relayed"]["consumer"]) / 2 for row in runs)
        relay = statistics.median(row["relayed"]["relay"] for row in runs)
        yield "  CPU s/GiB of the relay (beside one end)", f"{ends:.2f}", f"{relay:.2f}", f"{relay / ends:.2f}", "<= 1.30", relay / ends <= 1.3


ROWS = {"reservations": reservation_rows, "relayed": relayed_rows}


def rows(measures):
    for name, rows_of in ROWS.items():
        if name in measures:
            yield from rows_of(measures[name])
