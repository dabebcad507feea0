#!/usr/bin/env python3
"""Runs the tests behind NATs: `nat.py [--quick] [WORD ...]` takes those whose names hold one of the words. Run by `make nat`.

PG_BUILD says where punchgate and the switch are (default: build). What the machine lacks is a reason to skip, and is said; with
REQUIRE_NAT=1 it counts as failed. The last line is `N passed, N failed`, or `N passed, N failed, N skipped`.
"""
import argparse
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "interop")]
sys.modules["nat"] = sys.modules[__name__]  # for the tests, which ask it what to run
os.environ.setdefault("PG_ROOT", str(ROOT))
SWITCH = str((pathlib.Path(os.environ.get("PG_BUILD", ROOT / "build")) / "wan").resolve())
SLOW = set()


def slow(function):
    """Left out of --quick."""
    SLOW.add(function)
    return function


def missing():
    if not os.access(SWITCH, os.X_OK):
        return f"{SWITCH} is not built; run: make"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program):
            return f"there is no `{program}`; install the package {package}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="what takes about a minute")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    import peers
    import lab_test  # noqa: F401
    from enclosure import Unavailable, enclose
    chosen = [t for t in peers.TESTS if not (options.quick and t in SLOW)]
    try:
        why = missing()
        if why:
            raise Unavailable(why)
        enclose()
    except Unavailable as error:
        print(f"NO TEST BEHIND NATS HAS RUN: {error}\n0 passed, 0 failed, {len(chosen)} skipped")
        sys.exit(1 if os.environ.get("REQUIRE_NAT") == "1" else 0)
    peers.TESTS[:] = chosen
    sys.argv[1:] = options.words
    peers.main()


if __name__ == "__main__":
    main()
