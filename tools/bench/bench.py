#!/usr/bin/env python3
"""Measures punchgate against a ceiling that copies and encrypts and does nothing else, in alternating runs.

Usage: bench.py [BUILD] [--punchgate FILE] [--runs N] [--bytes N] [--connections N] [--only NAME,...] [--json FILE]
Needs the bench_* programs beside punchgate (tools/CMakeLists.txt builds them). Prints a table with the bounds of the
project; figures are information, so the exit status is 0 unless something broke or a connection was lost.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import discovery
import relaying
from lab import Broken, Lab, congestion_control
from measures import GIB, WAN, Bench

BULK = {"up": ("up", 1), "down": ("down", 1), "eight up": ("up", 8), "eight down": ("down", 8)}
OTHERS = {"ping": Bench.ping, "connections": Bench.connections, "burst": Bench.burst, "held": Bench.held,
          "handshakes": Bench.handshakes, "first": Bench.first_byte, "idle": Bench.idle, "binary": Bench.binary, "wan": Bench.wan}
NAMES = [*BULK, *OTHERS, *discovery.MEASURES, *relaying.MEASURES]


def measure(bench, only):
    wanted = only or NAMES
    measures = {name: bench.bulk(*BULK[name]) for name in BULK if name in wanted}
    if len(bench.paths) > 1:
        measures |= {name: function(bench) for name, function in (OTHERS | discovery.MEASURES | relaying.MEASURES).items() if name in wanted}
    return {name: rows for name, rows in measures.items() if rows}


def ratio_of(rows, key):
    """Median of the ratios within the runs, and the medians of both."""
    pairs = [(c[key], p[key]) for c, p in zip(rows["ceiling"], rows["punchgate"])]
    return (statistics.median(p / c for c, p in pairs), statistics.median(c for c, _ in pairs),
            statistics.median(p for _, p in pairs))


def bulk_rows(measures):
    for name in BULK:
        if name not in measures or "punchgate" not in measures[name]:
            continue
        ratio, ceiling, ours = ratio_of(measures[name], "GB/s")
        yield f"{name}, GB/s", f"{ceiling:.2f}", f"{ours:.2f}", f"{ratio:.2f}", ">= 0.85", ratio >= 0.85
        ratio, ceiling, ours = ratio_of(measures[name], "cpu")
        yield "  CPU s/GiB, both peers", f"{ceiling:.2f}", f"{ours:.2f}", f"{ratio:.2f}", "<= 1.20", ratio <= 1.2


def ping_rows(rows):
    for key, bound in (("p50", 1.15), ("p99", 1.5)):
        ratio, ceiling, ours = ratio_of(rows, key)
        yield f"64-byte ping-pong, {key}, us", f"{ceiling:.1f}", f"{ours:.1f}", f"{ratio:.2f}", f"<= {bound:.2f}", ratio <= bound


def connection_rows(rows):
    lost, count = sum(r["lost"] for r in rows["punchgate"]), sum(r["connections"] for r in rows["punchgate"])
    per = {name: statistics.median(r["per_second"] for r in rows[name]) for name in rows}
    share = per["punchgate"] / per["direct"]
    yield "tunnel connections per second, 8 at a time", f"{per['ceiling']:.0f}", f"{per['punchgate']:.0f}", "", "", None
    yield "  of direct connections", f"{per['ceiling'] / per['direct']:.2f}", f"{share:.2f}", "", ">= 0.25", share >= 0.25
    yield f"  lost of {count}", "", str(lost), "", "0", lost == 0


def burst_rows(rows):
    lost = sum(r["lost"] for r in rows["punchgate"])
    yield f"  lost of {len(rows['punchgate'])} bursts of {rows['punchgate'][0]['connections']}", "", str(lost), "", "0", lost == 0


def held_rows(rows):
    got = rows["punchgate"][0]
    yield f"{got['count']} tunnels open at once", "", "all live" if got["whole"] else "LOST SOME", "", "all", got["whole"]
    for side in "ab":
        yield f"  KiB of {side.upper()} for each", "", f"{got[side] / 1024:.1f}", "", "<= 8", got[side] <= 8192


def handshake_rows(rows):
    ratio = statistics.median(p / s for s, p in zip(rows["libsodium"], rows["punchgate"]))
    alone, ours = statistics.median(rows["libsodium"]), statistics.median(rows["punchgate"])
    yield "Noise handshakes a second and core", f"{alone:.0f}", f"{ours:.0f}", f"{ratio:.2f}", ">= 0.50", ratio >= 0.5


def first_rows(rows):
    ms = statistics.median(rows["punchgate"])
    yield "start to first echoed byte, ms", "", f"{ms:.1f}", "", "<= 15", ms <= 15


def idle_rows(rows):
    got = rows["punchgate"][0]
    rss, anon = got["VmRSS"] / 1024, got["RssAnon"] / 1024
    yield "idle peer, resident MiB", "", f"{rss:.1f}", "", "<= 7", rss <= 7
    yield "  of it its own (RssAnon)", "", f"{anon:.1f}", "", "<= 3", anon <= 3
    yield f"  CPU s in {got['seconds']} s", "", f"{got['cpu']:.4f}", "", "< 0.01", got["cpu"] < 0.01
    yield f"  wake-ups in {got['seconds']} s", "", str(got["woken"]), "", "due timers", None


def binary_rows(rows):
    mib = rows["punchgate"][0] / (1 << 20)
    yield "stripped binary, MiB", "", f"{mib:.2f}", "", "<= 1.5", mib <= 1.5


def wan_rows(rows):
    ratio = statistics.median(p / t for t, p in zip(rows["plain TCP"], rows["punchgate"]))
    plain, ours = statistics.median(rows["plain TCP"]), statistics.median(rows["punchgate"])
    what = f"{WAN['rate_mbit']} Mbit/s, {2 * WAN['delay_ms']} ms round trip: Mbit/s (beside plain TCP)"
    yield what, f"{plain:.0f}", f"{ours:.0f}", f"{ratio:.2f}", ">= 0.90", ratio >= 0.9


ROWS = {"ping": ping_rows, "connections": connection_rows, "burst": burst_rows, "held": held_rows, "handshakes": handshake_rows,
        "first": first_rows, "idle": idle_rows, "binary": binary_rows, "wan": wan_rows}


def table(measures):
    """Rows of: measure, ceiling, punchgate, ratio, bound, whether it holds."""
    yield from bulk_rows(measures)
    for name, rows_of in ROWS.items():
        if name in measures:
            yield from rows_of(measures[name])
    yield from discovery.rows(measures)
    yield from relaying.rows(measures)


def show(result):
    print(f"medians of {result['runs']} alternating runs, {result['bytes'] / GIB:.2g} GiB each; congestion control "
          f"{result['congestion_control']}; scheduling {result['scheduling']}; load average at the start {result['load']:.1f}")
    rows = [("measure", "ceiling", "punchgate", "ratio", "bound", "")]
    rows += [(*row[:5], {True: "yes", False: "NO", None: ""}[row[5]]) for row in table(result["measures"])]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip())


def ceiling_only(measures):
    """While there is nothing to compare: the ceiling's own figures."""
    for name, rows in measures.items():
        first = rows["ceiling"][0]
        print(name, {key: round(statistics.median(r[key] for r in rows["ceiling"]), 3) for key in first})


def run(options):
    lab = Lab(options.build, options.punchgate)
    try:
        bench = Bench(lab, options)
        result = {"runs": options.runs, "bytes": options.bytes, "congestion_control": congestion_control(),
                  "scheduling": " ".join(lab.prefix[1:]) or "as usual", "load": os.getloadavg()[0],
                  "measures": measure(bench, options.only)}
    finally:
        lab.close()
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=1)
    if len(bench.paths) < 2:
        print(f"bench: no {lab.punchgate}: only the ceiling was measured", file=sys.stderr)
        ceiling_only(result["measures"])
        return 1
    show(result)
    measures = result["measures"]
    lost = sum(r["lost"] for name in ("connections", "burst") for r in measures.get(name, {}).get("punchgate", []))
    return 1 if lost or not measures.get("held", {"punchgate": [{"whole": True}]})["punchgate"][0]["whole"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", help="folder of the bench_* programs (default: punchgate's)")
    parser.add_argument("--punchgate", help="default: punchgate in that folder")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=GIB)
    parser.add_argument("--wan-bytes", type=int, default=100_000_000)
    parser.add_argument("--pings", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=20000)
    parser.add_argument("--burst", type=int, default=1000)
    parser.add_argument("--held", type=int, default=4000)
    parser.add_argument("--handshakes", type=int, default=2000)
    parser.add_argument("--idle", type=int, default=30, help="seconds")
    parser.add_argument("--mesh", type=int, default=50, help="processes")
    parser.add_argument("--missing", type=int, default=60, help="seconds")
    parser.add_argument("--reservations", type=int, default=10000)
    parser.add_argument("--only", type=lambda text: text.split(","), help=", ".join(NAMES))
    parser.add_argument("--json", metavar="FILE", help="where to write every single figure")
    options = parser.parse_args()
    options.build = options.build or (os.path.dirname(options.punchgate) if options.punchgate else "build")
    options.punchgate = options.punchgate or os.path.join(options.build, "punchgate")
    if options.only and set(options.only) - set(NAMES):
        parser.error(f"--only knows {', '.join(NAMES)}")
    try:
        return run(options)
    except (Broken, subprocess.SubprocessError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
