#!/usr/bin/env python3
"""Runs the tests behind NATs: `nat.py [--quick|--full] [WORD ...]` takes those whose names hold one of the words. Run by `make nat`.

PG_BUILD says where punchgate and the switch are (default: build). What the machine lacks is a reason to skip, and is said; with
REQUIRE_NAT=1 it counts as failed. Behind the last line, `N passed, N failed`, is then `N skipped`.
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
SLOW, FULL = set(), set()


def slow(function):
    """Left out of --quick."""
    SLOW.add(function)
    return function


def full(function):
    """Run by --full only."""
    FULL.add(function)
    return slow(function)


def missing():
    if not os.access(SWITCH, os.X_OK):
        return f"{SWITCH} is not built; run: make"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program):
            return f"there is no `{program}`; install the package {package}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened (root can, where the kernel has it)"
    return None


def without(tests, reason):
    """Says what is not run."""
    for test in tests:
        print(f"NOT RUN  {test.__name__.replace('_', ' ')}: {reason}")
    return len(tests)


def build(tests):
    """Builds the libraries' peers, outside of the enclosure, where there may be a network; (what can run, how many cannot, all is well)."""
    import run as interop
    names = {name for test in tests for name in getattr(test, "libraries", ())}
    wrong = interop.build([peer for peer in interop.PEERS if peer.name in names])
    skipped = 0
    for name, error in wrong.items():
        lost = [test for test in tests if name in getattr(test, "libraries", ())]
        skipped += without(lost, error)
        tests = [test for test in tests if test not in lost]
    return tests, skipped, all(isinstance(error, interop.Unavailable) for error in wrong.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="what takes about a minute")
    parser.add_argument("--full", action="store_true", help="everything, which takes an hour")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    import peers
    import lab_test  # noqa: F401
    import dials_test  # noqa: F401
    import reach_test  # noqa: F401
    import routers_test  # noqa: F401
    import punch_test  # noqa: F401
    import autonat_test  # noqa: F401
    import path_test  # noqa: F401
    import ways_test  # noqa: F401
    import moves_test  # noqa: F401
    import guide_test  # noqa: F401
    import hostile_test  # noqa: F401
    from enclosure import Unavailable, enclose
    chosen = [t for t in peers.TESTS if not (options.quick and t in SLOW) and (options.full or options.words or t not in FULL)]
    chosen = [t for t in chosen if not options.words or any(w in t.__name__ for w in options.words)]
    strict = os.environ.get("REQUIRE_NAT") == "1"
    try:
        if why := missing():
            raise Unavailable(why)
        peers.TESTS[:], skipped, built = build(chosen)
        enclose()
    except Unavailable as error:
        print(f"NO TEST BEHIND NATS HAS RUN: {error}\n0 passed, 0 failed, {len(chosen)} skipped")
        sys.exit(1 if strict else 0)
    del sys.argv[1:]
    try:
        peers.main()
    except SystemExit as end:
        if skipped:
            print(f"{skipped} skipped")
        sys.exit(end.code or (1 if not built or (strict and skipped) else 0))


if __name__ == "__main__":
    main()
