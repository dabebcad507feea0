"""make verify: the tables that ship against the spec that was written.

    python3 tools/verify/verify.py BUILD_DIR [--spec DIR]

BUILD_DIR holds the program `verify`, linked with the generated tables; --spec names another spec/ (for tests).
One line for each machine and system; exit status 1 and the shortest way to the fault when something does not hold."""
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import channels  # noqa: E402
import core_orders  # noqa: E402
import ragel  # noqa: E402
import second  # noqa: E402
import ties  # noqa: E402
from gen import smc  # noqa: E402
from gen.report import SpecError  # noqa: E402
from gen.smc import system, write_system  # noqa: E402
from reference import Reference  # noqa: E402

ORDERS_DEPTH, ORDERS_SECONDS = "6", "7"  # of each subject, whichever is reached first


class Fault(Exception):
    pass


def run(program, *args, text=""):
    done = subprocess.run([str(program), *args], input=text, capture_output=True, text=True)
    if done.returncode:
        raise Fault((done.stdout + done.stderr).strip() or f"{program} {' '.join(args)}: status {done.returncode}")
    return done.stdout


def check_machine(program, machine, folder):
    """Bisimulations A and B; what the machine's line says about them."""
    lines = run(program, "answers", machine.name).splitlines()
    n, difference = Reference(machine).compare(lines)
    if difference:
        raise Fault(f"{machine.path}: table and reference differ: {difference}")
    automaton, letters = ragel.compile_machine(machine, folder)
    n_met, difference = ragel.compare(machine, automaton, letters, lines)
    if difference:
        raise Fault(f"{machine.path}: table and Ragel differ: {difference}")
    return f"{n} answers as the reference, {n_met} states and {letters.n} letters as Ragel"


def main(argv):
    spec = ROOT / "spec"
    if len(argv) == 3 and argv[1] == "--spec":
        spec = pathlib.Path(argv[2])
    elif len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    program = pathlib.Path(argv[0]) / "verify"
    begun = time.monotonic()
    checked = smc.load(spec)
    machines = {c.machine.name: c.machine for c in checked}
    run(program, "tables")
    summary = {words[0]: words[1:] for words in map(str.split, run(program, "summary").splitlines())}
    if set(summary) != set(machines):
        raise Fault(f"the program knows {sorted(summary)}, the spec {sorted(machines)}: build first")
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        notes = pool.map(lambda c: check_machine(program, c.machine, pathlib.Path(folder)), checked)
        for c, note in zip(checked, notes):
            states, transitions, orders = summary[c.machine.name]
            print(f"{c.machine.name}: {states} states, {transitions} transitions, {orders} orders; "
                  f"{c.configurations} configurations, {note}")
    systems = system.load(spec, machines)
    for s in systems:
        print(run(program, "system", text=write_system.listing(s)), end="")
    print("\n".join(second.check_all(program.resolve(), systems)))
    if (program.parent / "orders").exists():  # a laboratory of tests has tables, and no core
        print(core_orders.run(program.parent.resolve(), systems, "--depth", ORDERS_DEPTH, "--seconds", ORDERS_SECONDS))
    mapped = ties.mapped_events(spec)
    files = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.c"))}
    loose = ties.problems(machines.values(), [s.name for s in systems if s.table], mapped, "".join(files.values()))
    loose += channels.problems(list(machines.values()), systems, files)
    if loose:
        raise Fault("\n".join(loose))
    print("\n".join(ties.summary(machines.values(), systems, mapped)))
    print(channels.summary(systems))
    print(f"verified in {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Fault, SpecError, RuntimeError, second.Disagreement) as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
