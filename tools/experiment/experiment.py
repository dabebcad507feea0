#!/usr/bin/env python3
"""Runs experiments in simulated worlds and keeps what came of them: one CSV file and one picture (PNG) for each.

Usage: experiment.py --out FOLDER BUILD mesh [--peers N] [--services N] [--lookups N] [--dead PERMILLE] [--minutes N] [--churn PERMILLE] [--seed N]
  mesh   many peers find each other's services: hops, messages and times of the look-ups in calm, after a part of all peers
         has died at one blow, and under churn (build/mesh, tests/mesh/mesh.c)
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


def mesh(options, arguments):
    rows, picture = (os.path.join(options.out, "mesh." + kind) for kind in ("csv", "png"))
    done = subprocess.run([os.path.join(options.build, "mesh"), "--rows", rows, *arguments], check=False)
    if done.returncode not in (0, 1):
        return done.returncode
    written = [rows]
    try:
        draw_mesh(read_rows(rows), picture)
        written.append(picture)
    except ImportError:
        print(f"experiment: matplotlib is not installed, so {picture} was not drawn", file=sys.stderr)
    print("wrote", " and ".join(written))
    return done.returncode


EXPERIMENTS = {"mesh": mesh}


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
