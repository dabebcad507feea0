#!/usr/bin/env python3
"""Runs end-to-end tests with every punchgate under valgrind: what reads memory that nobody wrote, and what is lost at the end.

    valgrind.py BUILD [TEST …]     BUILD: a folder with a punchgate without sanitizers; TEST: names of tests/e2e, a few when none

Slow, so not a part of `make test`; the sanitizers there see most of this, but not memory that was never written. Ends with 1 when
a test fails or valgrind has something to say.
"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
USUAL = ("tunnel_test", "identify_test", "status_test", "endings_test", "strangers_test")
WRAPPER = """#!/bin/sh
exec valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect --log-file={logs}/%p.log \\
    {program} "$@"
"""


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing; install the package valgrind")
    program = pathlib.Path(sys.argv[1]).resolve() / "punchgate"
    place = ROOT / "build-valgrind"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    wrapper = place / "punchgate"
    wrapper.write_text(WRAPPER.format(logs=place, program=program))
    wrapper.chmod(0o755)
    failed = []
    for name in sys.argv[2:] or USUAL:
        print(f"{name}:", flush=True)
        environment = os.environ | {"PG_BUILD": str(place), "PG_ROOT": str(ROOT), "PYTHONPATH": str(ROOT), "PG_PATIENCE": "6"}
        if subprocess.run([sys.executable, ROOT / "tests/e2e" / f"{name}.py"], cwd=ROOT, env=environment).returncode:
            failed.append(name)
    # A program whose standard streams are closed may write its own words there.
    told = [path for path in sorted(place.glob("*.log")) if f"=={path.stem}==" in path.read_text(errors="replace")]
    for path in told:
        print(f"--- {path.name}\n{path.read_text(errors='replace')}")
    runs = len(list(place.glob("*.log")))
    print(f"{runs} programs under valgrind, {len(told)} of them with something to say; failed: {', '.join(failed) or 'none'}")
    sys.exit(1 if failed or told or not runs else 0)


if __name__ == "__main__":
    main()
