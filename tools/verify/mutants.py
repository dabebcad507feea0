"""make mutants: is every row of spec/machine needed, and would somebody notice if it were wrong?

    python3 tools/verify/mutants.py BUILD_DIR [--spec DIR] [--machine NAME] [--sample N] [--seed S] [--jobs N] [--each]

BUILD_DIR holds the program `mutants`, linked with the generated tables made writable; it breaks one row at a time in memory and
runs the systems of spec/system on it, those with the line `large` apart. --machine tries those of one machine only, --sample takes N
of the mutants, chosen by --seed; --each names every one with its fate.
One line for each machine; exit status 1 when more live than may."""
import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from gen import smc  # noqa: E402
from gen.report import SpecError  # noqa: E402
from gen.smc import system, write_system  # noqa: E402


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--spec", type=pathlib.Path, default=ROOT / "spec")
    for option in ("--sample", "--seed", "--jobs"):
        parser.add_argument(option, type=int)
    parser.add_argument("--machine")
    parser.add_argument("--each", action="store_true")
    args = parser.parse_args(argv)
    begun = time.monotonic()
    machines = {c.machine.name: c.machine for c in smc.load(args.spec)}
    text = "\n".join(write_system.listing(s) for s in system.load(args.spec, machines) if not s.large)
    options = [word for name in ("machine", "sample", "seed", "jobs") if getattr(args, name) is not None for word in (f"--{name}", str(getattr(args, name)))]
    options += ["--each"] if args.each else []
    status = subprocess.run([str(args.build / "mutants"), *options], input=text, text=True).returncode
    print(f"mutants tried in {time.monotonic() - begun:.1f} s")
    return 1 if status else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpecError as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
