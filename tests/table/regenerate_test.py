"""Regenerating after an edit is one command: edit a row, build, and the behaviour and the golden dump have changed, nothing else.
Also: the step function and the tables need nothing of the outside world (promise row 2)."""
import difflib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from spec_lab import CC, FLAGS, ROOT, Lab, Score

OLD = "on nat.became_public                   -> idle      clear needed  do rest.stop"
NEW = "on nat.became_public                   -> gone      clear needed  do rest.stop"

ASKS = r"""
#include "relay.gen.h"
#include <stdio.h>
int main(void)
{
    const struct pg_row *row = pg_pick(&pg_relay_machine, PG_RELAY_RESTING, PG_RELAY_ON_NAT_BECAME_PUBLIC, 0);
    puts(pg_relay_machine.states[row->to]);
    return 0;
}
"""

# What C may leave open: memory for the heap and the queue at init, and the assert.
PURE = {"calloc", "realloc", "free", "__assert_fail", "memset", "memcpy", "__stack_chk_fail"}


def copy(folder):
    """A repository of its own, as far as the generator goes."""
    for name in ("gen", "spec"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def build(folder):
    """The one command, as CMake calls it; then the golden dumps, then what the table answers."""
    env = dict(os.environ, PYTHONPATH=str(folder))
    for what in (["build", str(folder / "out")], ["golden"]):
        subprocess.run([sys.executable, "-m", "gen", *what], cwd=folder, env=env, check=True)
    (folder / "asks.c").write_text(ASKS)
    tables = [str(p) for p in sorted((folder / "out").glob("*.gen.c")) if p.name in ("relay.gen.c",)]
    subprocess.run([CC, *FLAGS, f"-I{ROOT}/runtime", f"-I{folder}/out", str(folder / "asks.c"), *tables,
                    str(ROOT / "runtime/machine/machine.c"), str(ROOT / "runtime/mem/heap.c"), "-o", str(folder / "asks")], check=True)
    answer = subprocess.run([str(folder / "asks")], capture_output=True, text=True, check=True).stdout.strip()
    return answer, {p.name: p.read_text() for p in (folder / "gen/golden").iterdir()}


def a_row_changes_what_it_says(score):
    with tempfile.TemporaryDirectory() as name:
        folder = copy(pathlib.Path(name))
        env = dict(os.environ, PYTHONPATH=str(folder))
        before, dumps = build(folder)
        row = folder / "spec/machine/relay.sm"
        text = row.read_text()
        score.check(text.count(OLD) == 1, "the row to edit stands once in relay.sm")
        row.write_text(text.replace(OLD, NEW))
        stale = subprocess.run([sys.executable, "-m", "gen", "golden", "--check"], cwd=folder, env=env, capture_output=True, text=True)
        score.check(stale.returncode == 1 and "relay.machine.txt" in stale.stderr, "golden --check sees the edit")
        after, dumps_after = build(folder)
        score.check((before, after) == ("idle", "gone"), f"the table's answer: {before}, then {after}")
        changed = [n for n in dumps_after if dumps_after[n] != dumps[n]]
        score.check(changed == ["relay.machine.txt"], f"dumps that changed: {changed}")
        lines = [x for x in difflib.ndiff(dumps["relay.machine.txt"].splitlines(), dumps_after["relay.machine.txt"].splitlines())
                 if x[0] in "+-"]
        score.check(lines == ["- row resting nat.became_public : on -> idle clear needed do rest.stop",
                              "+ row resting nat.became_public : on -> gone clear needed do rest.stop"], f"the dump's difference: {lines}")
        out = folder / "out/phase.gen.c"
        stamp = out.stat().st_mtime_ns
        build(folder)
        score.check(out.stat().st_mtime_ns == stamp, "files whose text is the same are not touched")


def tables_and_step_are_pure(score):
    with tempfile.TemporaryDirectory() as name:
        lab = Lab(name)
        lab.generate()
        for source in [ROOT / "runtime/machine/machine.c", ROOT / "runtime/mem/heap.c", *(lab.build / f for f in lab.files if f.endswith(".gen.c") and ".bind." not in f)]:
            said = subprocess.run(["nm", "-u", lab.compile(source)], capture_output=True, text=True, check=True).stdout
            wanted = {word for word in said.split() if word != "U"}
            wanted = {w for w in wanted if not w.startswith("pg_")}
            score.check(wanted <= PURE, f"{source.name} needs {sorted(wanted - PURE)}")


def main():
    score = Score()
    a_row_changes_what_it_says(score)
    tables_and_step_are_pure(score)
    score.end()


if __name__ == "__main__":
    main()
