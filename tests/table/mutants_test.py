"""The run of mutants must be able to lose: a property that is taken away lets the rows live that it watched, a row that nothing
can tell from another is proved equal and not excused, and what the real spec leaves is a sample away from being noticed."""
import subprocess
import sys
import tempfile

from spec_lab import ROOT, Lab, Score

M = """machine m
from    a test

event   ask    from wire
state   idle   initial
state   busy
state   done   final
flag    twice
fact    able
timer   t  1s

in idle
  on ask    when able   -> busy             do work, t.start
  on ask    when !able
  never t.fired
in busy
  on ask                         set twice  do work, t.start
  on t.fired when twice  -> done  do tell
  on t.fired when !twice -> done  do tell
in done
  ignore ask
  never t.fired
"""
N = "machine n\nfrom    a test\nstate   a initial\nin a\n  on b do c\n"
S = """system  s
  m
hear    m
world
  fair   t.fired
moves   m idle   to  busy  by  ask      when  m.able
moves   m busy   to  done  by  t.fired
after   ask      from  m in idle  when  m.able  does  m work, t.start
after   ask      from  m in busy  does  m work, t.start
after   t.fired  does  m tell
"""


class Small(Lab):
    """A machine of three states that some system watches, and one that none does."""

    def reset(self):
        super().reset()
        for path in [*self.spec.glob("*/*")]:
            path.unlink()
        (self.spec / "machine/m.sm").write_text(M)
        (self.spec / "system/s.sys").write_text(S)

    def mutants(self, *options):
        self.generate()
        sources = [*sorted((ROOT / "tools/verify").glob("*.c")), *sorted((ROOT / "tools/verify/mutants").glob("*.c"))]
        self.link("mutants", [s for s in sources if s.parent.name == "mutants" or s.name != "main.c"], "-DPG_TABLE=", "-DPG_NO_CORE")
        done = subprocess.run([sys.executable, str(ROOT / "tools/verify/mutants.py"), str(self.build), "--spec", str(self.spec), *options],
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def watched(lab, score):
    status, said = lab.mutants("--each")
    score.check(status == 0 and "m: 5 transitions, " in said and " 0 alive" in said, f"a machine that is watched: {status}\n{said}")
    # Both rows of t.fired do the same, so its flag is of no use: proved, not excused.
    for text in ("equivalent  spec/machine/m.sm:17: in busy, ask: does not set twice",
                 "equivalent  spec/machine/m.sm:18: in busy, t.fired: takes twice for its opposite",
                 "killed  spec/machine/m.sm:13: in idle, ask: goes to done, not busy",
                 "killed  spec/machine/m.sm:13: in idle, ask: takes able for its opposite",
                 "killed  spec/machine/m.sm:17: in busy, ask: does not t.start",
                 "killed  spec/machine/m.sm:21: in done, ask: goes to idle, not done"):
        score.check(text in said, f"{text}: not in\n{said}")
    _, again = lab.mutants("--sample", "5", "--seed", "7", "--each")
    _, same = lab.mutants("--sample", "5", "--seed", "7", "--each", "--jobs", "1")
    _, other = lab.mutants("--sample", "5", "--seed", "8", "--each")
    lines = [[line for line in text.splitlines() if line.startswith("  ")] for text in (again, same, other)]
    score.check(len(lines[0]) == 5 and lines[0] == lines[1] != lines[2], f"samples by seed: {lines}")


def unwatched(lab, score):
    for gone, wanted in [
        ("after   t.fired  does  m tell\n", "alive  spec/machine/m.sm:18: in busy, t.fired: does not tell"),
        ("after   ask      from  m in busy  does  m work, t.start\n", "alive  spec/machine/m.sm:17: in busy, ask: does not t.start"),
        ("moves   m busy   to  done  by  t.fired\n", "alive  spec/machine/m.sm:18: in busy, t.fired: goes to idle, not done"),
    ]:
        lab.reset()
        lab.edit("system/s.sys", gone, "")
        if "moves" in gone:
            lab.edit("system/s.sys", "moves   m idle   to  busy  by  ask      when  m.able\n", "")
        _, said = lab.mutants()
        score.check(wanted in said, f"without {gone.strip()}: {said}")


def left_out(lab, score):
    (lab.spec / "machine/n.sm").write_text(N)
    status, said = lab.mutants()
    score.check(status == 1 and "n: 1 transitions, 1 mutants, 0 killed, 0 equivalent, 1 alive" in said and
                "too many live: one in ten may" in said, f"a machine in no system: {status}\n{said}")


def faults(lab, score):
    """`after`, `moves` and counts' ends can fail, and say where."""
    for line, wanted in [
        ("moves m idle to busy by ask", "does not hold: moves m idle to busy by ask"),
        ("moves m busy to done by t.fired", "no `moves` line of m lets it go to busy here"),
        ("after ask from m in idle does m tell", "does not hold: after ask from m in idle does m tell"),
        ("after t.fired does not m tell", "does not hold: after t.fired does not m tell"),
        ("after ask from m in idle when m.able does m t.start, tell", "does not hold: after ask from m in idle when m.able does m t.start, tell"),
        ("after ask from m in busy when m.able holds m in done", "does not hold: after ask from m in busy"),
    ]:
        lab.reset()
        (lab.spec / "system/s.sys").write_text(f"system s\n  m\nhear m\n{line}\n")
        lab.generate()
        lab.link_verifier()
        status, said = lab.verify()
        score.check(status == 1 and wanted in said, f"{line}: {status}\n{said}")


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        lab = Small(folder)
        watched(lab, score)
        unwatched(lab, score)
    with tempfile.TemporaryDirectory() as folder:
        left_out(Small(folder), score)
    with tempfile.TemporaryDirectory() as folder:
        faults(Small(folder), score)
    score.end()


if __name__ == "__main__":
    main()
