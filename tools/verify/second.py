"""The second engine: every system as Promela (promela.py), searched by spin's own program, and the set of control vectors
that it reaches compared with what `verify vectors` reaches over the tables that ship.

    python3 tools/verify/second.py BUILD_DIR [--spec DIR] [--keep DIR]

Called by verify.py, too. --keep leaves model and search program of each system in DIR. Needs `spin` and a C compiler.
Partial-order reduction is compiled out, and one process has no symmetry to reduce. Serves design section 7, point 6."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from gen import smc  # noqa: E402
from gen.smc import system, write_system  # noqa: E402
from promela import Writer  # noqa: E402

DEPTH = 2_000_000
LARGE = 20_000   # control vectors, from where on compiling well pays
SHOWN = 5


class Disagreement(Exception):
    pass


def spin_path():
    path = shutil.which("spin")
    if not path:
        raise Disagreement("spin is not installed, and without it there is no second engine: install the Debian package `spin`")
    return path


def call(command, folder):
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Disagreement(f"{command[0]} in {folder}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def translate(s, folder):
    """The search program's source; every statement its own (-o3), so that a trail names them."""
    for whole in (True, False):
        writer = Writer(s, whole)
        (folder / "model.pml").write_text(writer.model())
        try:
            call([spin_path(), "-o3", "-a", "model.pml"], folder)
            return writer
        except Disagreement as refusal:
            if "d_step sequence too long" not in str(refusal) or not whole:
                raise
    return None


def search(folder, large):
    """Everything that the search program prints."""
    compile_search(folder, "pan", "-O2" if large else "-O0")
    return call(["./pan", "-n", "-w20", f"-m{DEPTH}"], folder)


def compile_search(folder, name, *more):
    call([os.environ.get("CC", "cc"), "-w", "-DSAFETY", "-DNOREDUCE", "-DPRINTF", *more, "-o", name, "pan.c"], folder)


def vectors(text):
    return {tuple(map(int, line.split()[1:])) for line in text.splitlines() if line.split()[:1] == ["vector"]}


def trouble(said, writer, folder):
    """Why the search stopped before its end: an assert of the model, or no room. Empty when it did not."""
    summary = re.search(r"errors: (\d+)", said)
    if summary and summary[1] == "0" and "max search depth too small" not in said:
        return ""
    why = [line.strip() for line in said.splitlines() if re.match(r"\s*(spec:|error:|pan:.*assertion|pan:.*block)", line)]
    text = "\n".join(why[:SHOWN]) or said[-500:]
    if (folder / "model.pml.trail").exists():
        compile_search(folder, "shortest", "-DREACH")
        try:  # the trail that is there is good enough when a shorter one takes long
            subprocess.run(["./shortest", "-n", "-w20", "-i", f"-m{DEPTH}"], cwd=folder, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            pass
        causes = [cause for cause, *_ in writer.causes()]
        replay = subprocess.run(["./pan", "-r"], cwd=folder, capture_output=True, text=True).stdout
        for step in re.finditer(r"\[(?:cause = ([1-9]\d*)|(\w+)__a_(\w+) = 1)\]", replay):
            text += f"\n  {causes[int(step[1]) - 1]}" if step[1] else f" {step[2]}.{step[3]}=1"
    return text


def describe(s, names, vector):
    """A vector in the words of the spec, as the C verifier prints configurations."""
    values = dict(zip(names, vector))
    lines = []
    for m in s.factors:
        if not values[f"{m.name}__lives"]:
            lines.append(f"  {m.name} does not live")
            continue
        text = f"  {m.name} is {list(m.states)[values[f'{m.name}__state']]}"
        text += "".join(f" has {flag}" for flag in m.flags if values[f"{m.name}__f_{flag}"])
        text += "".join(f" {count}={values[f'{m.name}__c_{count}']}" for count in m.counts)
        text += "".join(f" runs {timer}" for timer in m.timers if values[f"{m.name}__t_{timer}"])
        lines.append(text)
    for n, c in enumerate(s.channels):
        under_way = [values[f"c{n}__m{k}"] for k in range(values[f"c{n}__n"])]
        lines.append(f"  {c.name}{' is broken,' if values[f'c{n}__broken'] else ''} messages {under_way}")
    return ("" if values["started__"] else "  nothing has begun\n") + "\n".join(lines)


def difference(s, names, first, second):
    """first, second: the sets of the two engines. Empty when they are equal."""
    out = []
    for engine, only in (("verify", first - second), ("spin", second - first)):
        if only:
            out.append(f"{s.name}: {len(only)} control vectors that only {engine} reaches, of {len(first)} and {len(second)}:")
            out += [describe(s, names, vector) for vector in sorted(only)[:SHOWN]]
    return "\n".join(out)


def check(program, s, folder, seen=None):
    """One system; what its line says. Raises Disagreement. seen: what spin sees instead of s, for tests."""
    done = subprocess.run([str(program), "vectors"], input=write_system.listing(s), capture_output=True, text=True)
    if done.returncode:
        raise Disagreement((done.stdout + done.stderr).strip())
    folder.mkdir(exist_ok=True)
    writer = translate(seen or s, folder)
    first = vectors(done.stdout)
    said = search(folder, len(first) > LARGE)
    why = trouble(said, writer, folder)
    if why:
        raise Disagreement(f"{s.name}, as spin sees it:\n{why}")
    names = [name for name, _ in writer.vector()]
    second = vectors(said)
    differs = difference(s, names, first, second)
    if differs or not first:
        raise Disagreement(differs or f"{s.name}: neither engine reaches anything")
    turns = re.search(r"(\d+) transitions", said)
    return f"{s.name}: {len(second)} control vectors as spin, in {turns[1]} transitions"


def check_all(program, systems, keep=None):
    with tempfile.TemporaryDirectory() as temporary, concurrent.futures.ThreadPoolExecutor(2) as pool:
        top = pathlib.Path(keep or temporary)
        top.mkdir(parents=True, exist_ok=True)
        jobs = [pool.submit(check, program, s, top / s.name) for s in systems]
        concurrent.futures.wait(jobs)
        wrong = [str(job.exception()) for job in jobs if isinstance(job.exception(), Disagreement)]
        if wrong:
            raise Disagreement("\n".join(wrong))
        return [job.result() for job in jobs]


def main(argv):
    options = {argv[n]: argv[n + 1] for n in range(1, len(argv) - 1, 2)}
    if len(argv) % 2 == 0 or set(options) - {"--spec", "--keep"}:
        print(__doc__, file=sys.stderr)
        return 2
    spec = pathlib.Path(options.get("--spec", ROOT / "spec"))
    machines = {c.machine.name: c.machine for c in smc.load(spec)}
    program = (pathlib.Path(argv[0]) / "verify").resolve()
    print("\n".join(check_all(program, system.load(spec, machines), options.get("--keep"))))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Disagreement as found:
        print(found, file=sys.stderr)
        sys.exit(1)
