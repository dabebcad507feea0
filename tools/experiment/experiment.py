#!/usr/bin/env python3
"""Runs experiments in simulated worlds and keeps what came of them: one CSV file and one picture (PNG) for each.

Usage: experiment.py --out FOLDER BUILD mesh [--peers N] [--services N] [--lookups N] [--dead PERMILLE] [--minutes N] [--churn PERMILLE] [--seed N]
       experiment.py --out FOLDER BUILD punch [--count N] [--seed N]
       experiment.py --out FOLDER BUILD churn [--minutes N] [--pairs N] [--relays N] [--seed N]
  mesh   many peers find each other's services: hops, messages and times of the look-ups in calm, after a part of all peers
         has died at one blow, and under churn (build/mesh, tests/mesh/mesh.c)
  punch  two peers behind drawn routers, with drawn round trips and losses, come to a direct connection: which pairs do, and how fast
         (build/punch, tests/punch/punch.c)
  churn  peers that nobody can dial keep reservations while half of all relays die each minute (build/punch, tests/punch/churn.c)
The pictures need matplotlib (Debian: python3-matplotlib); without it there is only the CSV, and a word about it.
"""
import argparse
import csv
import os
import subprocess
import sys


def read_rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def draw_mesh(rows, path):
    """Hops, messages and time of what was found, one curve for each part: the share of look-ups that took at most so much."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    parts = list(dict.fromkeys(row["part"] for row in rows))
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for axis, (column, title) in zip(axes, (("hops", "hops"), ("messages", "messages"), ("ms", "time until found, ms"))):
        for part in parts:
            values = sorted(float(row[column]) for row in rows if row["part"] == part and row["found"] == "1")
            every = sum(row["part"] == part for row in rows)
            axis.step(values, [(i + 1) / every for i in range(len(values))], where="post", label=f"{part}: {len(values)} of {every}")
        axis.set_xlabel(title)
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of look-ups")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def draw_punch(rows, path):
    """Above: the share of punches that were made within so much time, by the listener's router. Below: time against round trip."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    kinds = list(dict.fromkeys(row["listener"] for row in rows))
    figure, axes = pyplot.subplots(2, max(2, len(kinds)), figsize=(16, 8), layout="constrained", squeeze=False, sharex="row")
    for column, listener in enumerate(kinds):
        above, below = axes[0][column], axes[1][column]
        for dialler in dict.fromkeys(row["dialler"] for row in rows):
            cell = [row for row in rows if (row["dialler"], row["listener"]) == (dialler, listener)]
            made = [row for row in cell if row["direct"] == "1"]
            times = sorted(float(row["direct_ms"]) for row in made)
            above.step(times, [(i + 1) / len(cell) for i in range(len(times))], where="post", label=f"{dialler}: {len(made)} of {len(cell)}")
            below.plot([float(row["rtt_direct_ms"]) for row in made], [float(row["direct_ms"]) for row in made], ".", markersize=3)
        above.set_title(f"listener {listener}")
        above.set_xlabel("time to a direct connection, ms")
        above.set_ylim(0, 1.02)
        above.set_xscale("symlog", linthresh=100)
        above.legend(title="dialler", fontsize="small")
        below.set_xlabel("round trip between the two, ms")
        for axis in (above, below):
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("share of tries")
    axes[1][0].set_ylabel("time to a direct connection, ms")
    figure.savefig(path, dpi=100)


def draw_churn(rows, path):
    """How many of the private peers hold no, one, two reservations, second by second; and how many pairs have which connection."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    seconds = sorted({int(row["second"]) for row in rows})
    by_second = {second: [] for second in seconds}
    for row in rows:
        by_second[int(row["second"])].append(row)
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(12, 6), layout="constrained", sharex=True)
    shares = [[sum(min(int(row["reservations"]), 2) == held for row in by_second[s]) for s in seconds] for held in range(3)]
    above.stackplot(seconds, shares, labels=["none", "one", "two"], colors=["#c33", "#fb4", "#4a4"])
    above.set_ylabel("peers, by reservations held")
    above.legend(loc="lower right")
    for name in ("direct", "relayed"):
        below.plot(seconds, [sum(row[name] == "1" for row in by_second[s]) for s in seconds], label=name)
    below.set_ylabel("pairs with such a connection")
    below.set_xlabel("seconds; half of the relays die each minute")
    below.legend(loc="lower right")
    figure.savefig(path, dpi=100)


def run(options, name, program, draw, arguments):
    rows, picture = (os.path.join(options.out, f"{name}.{kind}") for kind in ("csv", "png"))
    done = subprocess.run([os.path.join(options.build, program), "--rows", rows, *arguments], check=False)
    if done.returncode not in (0, 1):
        return done.returncode
    written = [rows]
    try:
        draw(read_rows(rows), picture)
        written.append(picture)
    except ImportError:
        print(f"experiment: matplotlib is not installed, so {picture} was not drawn", file=sys.stderr)
    print("wrote", " and ".join(written))
    return done.returncode


def mesh(options, arguments):
    return run(options, "mesh", "mesh", draw_mesh, arguments)


def punch(options, arguments):
    return run(options, "punch", "punch", draw_punch, arguments)


def churn(options, arguments):
    minutes = [] if "--minutes" in arguments else ["--minutes", "10"]
    return run(options, "churn", "punch", draw_churn, [*minutes, *arguments])


EXPERIMENTS = {"mesh": mesh, "punch": punch, "churn": churn}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="folder of the built programs")
    parser.add_argument("--out", required=True, help="folder for what comes of it")
    parser.add_argument("name", choices=EXPERIMENTS)
    options, arguments = parser.parse_known_args()
    os.makedirs(options.out, exist_ok=True)
    return EXPERIMENTS[options.name](options, arguments)


if __name__ == "__main__":
    sys.exit(main())
