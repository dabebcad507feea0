"""tools/new begins a protocol that the generator accepts as it is, and a row that is taken away is missed by line.
Works in a copy of spec/ and gen/, so that the checkout stays as it was."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from spec_lab import CC, FLAGS, ROOT, Score

MACHINE, SOURCE = "spec/machine/lookup_lab.sm", "src/core/lookup_lab.c"
ROW = "  on end                          -> over\n"
GUARDED = "  on start         when !allowed  -> over"


class Copy:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name in ("gen", "spec"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / "tools").mkdir()
        shutil.copy(ROOT / "tools/new", self.folder / "tools/new")

    def new(self, *words):
        return self.run(str(self.folder / "tools/new"), *words)

    def gen(self, *words):
        return self.run("-m", "gen", *words)

    def run(self, *words):
        env = dict(os.environ, PYTHONPATH=str(self.folder), PYTHONDONTWRITEBYTECODE="1")
        return subprocess.run([sys.executable, *words], cwd=self.folder, env=env, capture_output=True, text=True)

    def files(self):
        return {p for p in self.folder.rglob("*") if p.is_file()}


def a_new_machine_is_accepted_as_it_is(score, copy):
    before = copy.files()
    done = copy.new("lookup_lab", "per", "query")
    score.check(done.returncode == 0, f"tools/new ends with {done.returncode}: {done.stderr}")
    added = {p.relative_to(copy.folder).as_posix() for p in copy.files() - before}
    score.check(added == {MACHINE, SOURCE}, f"files that it writes: {sorted(added)}")
    score.check(all(f"  {n}. " in done.stdout for n in range(1, 6)), f"it tells five steps:\n{done.stdout}")
    for place in (MACHINE, SOURCE):
        text = (copy.folder / place).read_text()
        score.check("@" not in text and "\t" not in text and not re.search(r" +$", text, re.M), f"{place} is clean")
    score.check((copy.folder / SOURCE).read_text().count("\n") >= 3, "the C file has its three opening lines")
    outputs = copy.gen("outputs")
    score.check(outputs.returncode == 0, f"the generator accepts the machine: {outputs.stderr}")
    names = outputs.stdout.split(";")
    wanted = ["lookup_lab.gen.h", "lookup_lab.gen.c", "lookup_lab.bind.gen.c", "machines/lookup_lab.md"]
    score.check(all(name in names for name in wanted), "its table, its binding and its page are among the outputs")


def what_comes_out_compiles(score, copy):
    out = copy.folder / "out"
    score.check(copy.gen("build", str(out)).returncode == 0, "gen build writes everything")
    for path in (out / "lookup_lab.gen.c", out / "lookup_lab.bind.gen.c", copy.folder / SOURCE):
        done = subprocess.run([CC, *FLAGS, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{ROOT}/runtime",
                               f"-I{out}", str(path)], capture_output=True, text=True)
        score.check(done.returncode == 0, f"{path.name} compiles: {done.stderr}")
    page = (out / "machines/lookup_lab.md").read_text()
    score.check("`query`" in page and "pg_lookup_lab_is_allowed" in page, "the page says what the machine is per, and its fact")


def a_row_that_is_missing_is_named_by_line(score, copy):
    path = copy.folder / MACHINE
    text = path.read_text()
    lines = text.splitlines()

    def without(row, holder, message):
        """Takes a row away; the complaint stands at the line (of what is left) that holds `holder`."""
        score.check(text.count(row) >= 1, f"the skeleton has the row {row.strip()}")
        left = text.replace(row, "", 1)
        path.write_text(left)
        number = next(n for n, line in enumerate(left.splitlines(), 1) if holder in line)
        done = copy.gen("outputs")
        expected = f"{MACHINE}:{number}: state idle, event {message}"
        score.check(done.returncode == 1 and expected in done.stderr.splitlines(), f"says {done.stderr!r}, not {expected}")

    without(ROW, "when allowed", "end: no row")
    without(next(line + "\n" for line in lines if line.startswith(GUARDED)), "when allowed", "start: no row when allowed=0")
    path.write_text(text)
    score.check(copy.gen("outputs").returncode == 0, "with its rows back it is accepted again")


def names_that_cannot_be_are_refused(score, copy):
    before = {p: p.read_bytes() for p in copy.files()}
    for words, why in (
            (["lookup_lab", "per", "query"], f"{MACHINE} has it"),
            (["relay", "per", "peer"], "spec/machine/relay.sm has it"),
            (["node", "per", "peer"], "spec/system/node.sys has it"),
            (["errors", "per", "peer"], "spec/errors.list has it"),
            (["machines", "per", "peer"], "belong to the list of all machines"),
            (["node_system", "per", "peer"], "belong to the table of a system"),
            (["fuzz_lab", "per", "peer"], "belong to the generated fuzz targets"),
            (["HolePunch", "per", "peer"], "write hole_punch"),
            (["hole-punch", "per", "peer"], "write hole_punch"),
            (["2nd", "per", "peer"], "write nd"),
            (["../escape", "per", "peer"], "write escape"),
            (["", "per", "peer"], "write another one"),
            (["never", "per", "peer"], "a word of the language"),
            (["punch", "per", "Peer"], "key 'Peer'"),
            (["punch", "per", "any"], "key 'any'"),
            (["punch", "peer"], "usage:"),
            (["punch", "for", "peer"], "usage:"),
            ([], "usage:")):
        done = copy.new(*words)
        score.check(done.returncode == 2 and why in done.stderr and not done.stdout and done.stderr.count("\n") == 1,
                    f"tools/new {' '.join(words)}: status {done.returncode}, {done.stderr!r}, expected {why!r}")
    score.check({p: p.read_bytes() for p in copy.files()} == before, "a refusal writes nothing")


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(name)
        a_new_machine_is_accepted_as_it_is(score, copy)
        what_comes_out_compiles(score, copy)
        a_row_that_is_missing_is_named_by_line(score, copy)
        names_that_cannot_be_are_refused(score, copy)
    score.end()


if __name__ == "__main__":
    main()
