#!/usr/bin/env python3
"""The pages made from the tables: every machine has one, it leaves nothing out, its drawing can be read, its tables hold.

Works on the spec that ships and on one of its own, below, with what the other may not use. Closing line `N passed, N failed`.
"""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))
from gen import docs, listc, smc, wirec  # noqa: E402  (needs the path above)
from gen.listc import errors, logs, metrics  # noqa: E402
from gen.smc import system  # noqa: E402

SPEC = ROOT / "spec"
SCORE = [0, 0]
MOST_EDGES, MOST_LETTERS = 500, 50000  # what Mermaid draws unless it is told otherwise

SMALL = """\
# A door | with <two> sides. It shows what a page has to say.
# (Second line.)
machine door  per house * floor  at most 7
from    a book, "Doors # and locks"
owner   keeper

event   push     from wire  as Pushed     # somebody leans on it;
                                          # they may be several
state   shut     initial  as Closed
state   ajar                              # not `a | b`, and not *closed*
state   gone     final
flag    oiled                             # it makes no noise
fact    locked
count   tries    0..3                     # leaning in vain
timer   swing    3s                       # until it falls shut
timer   rest     nap
action  bell.ring  as Ring                # twice, < loud
export  open  in ajar

in shut
  on push  when !locked & !oiled    -> ajar  set oiled  do swing.start, tries.zero   # the first time
  on push  when !locked & oiled     -> ajar  do swing.start
  on push  when locked & tries < 3           do tries.up, bell.ring
  on push  else                     -> gone  emit door.broken to owner
  ignore blow
  never swing.fired, rest.fired

in ajar
  on swing.fired                    -> shut  do rest.stop
  on rest.fired                              do rest.start
  on blow                                    do rest.start
  reject push  when locked          -> gone  do swing.stop, rest.stop
  reject push  else

in gone
  ignore push, blow
  never swing.fired, rest.fired
"""
KEEPER = """\
# Who looks after the door.
machine keeper
from    a book
state   calm  initial
state   sad   final
in calm
  on door.broken  -> sad
in sad
  ignore door.broken
"""


def check(good, what):
    SCORE[0 if good else 1] += 1
    if not good:
        print(f"FAILED: {what}")


# ---- a reader of the drawings that knows nothing of their writer ------------------------------------------------

DECLARED = re.compile(r'    state "([^"]+)" as (s_[a-z0-9_]+)\Z')
ARROW = re.compile(r"    (s_[a-z0-9_]+|\[\*\]) --> (s_[a-z0-9_]+|\[\*\])(?:: (.*))?\Z")
INSIDE = re.compile(r"    (s_[a-z0-9_]+): (.*)\Z")


def balanced(label):
    """A label has no letter that would end it, and at most one guard, closed."""
    return not set(label) & set(":;\"<>{}|`\n") and re.fullmatch(r"[^\[\]/]+( \[[^\[\]/]+\])?( / [^\[\]/]+)?", label) is not None


def check_drawing(name, text, machine):
    blocks = re.findall(r"^```mermaid\n(.*?)^```$", text, re.M | re.S)
    check(len(blocks) == 1 and text.count("```") == 2, f"{name}: one drawing, opened and closed")
    lines = blocks[0].splitlines()
    check(lines[0] == "stateDiagram-v2", f"{name}: the drawing says what it is")
    declared, arrows, inside = {}, [], []
    for line in lines[1:]:
        found = [form.fullmatch(line) for form in (DECLARED, ARROW, INSIDE)]
        check(any(found), f"{name}: Mermaid cannot read {line!r}")
        if found[0]:
            declared[found[0][2]] = found[0][1]
        elif found[1]:
            arrows.append(found[1].groups())
        elif found[2]:
            inside.append(found[2].groups())
    shown = {"s_" + s.name: s.name + (f" ({s.shown})" if s.shown else "") for s in machine.states.values()}
    check(declared == shown, f"{name}: the states drawn are {declared}")
    ends = {end for arrow in arrows for end in arrow[:2]} | {state for state, _ in inside}
    check(ends <= {*declared, "[*]"}, f"{name}: a line leads to a state that is not there: {ends - set(declared)}")
    labels = [label for *_, label in arrows if label is not None] + [label for _, label in inside]
    check(all(map(balanced, labels)), f"{name}: labels that do not close: {[x for x in labels if not balanced(x)]}")
    moves = sorted((f"s_{s}", f"s_{r.to}") for r in machine.rows if r.verdict == "on" for s in r.states if r.to not in ("", s))
    drawn = sorted((a, b) for a, b, label in arrows if label is not None)
    check(drawn == moves, f"{name}: an arrow for every row that moves, and no other")
    stays = sorted(f"s_{s}" for r in machine.rows if r.verdict == "on" for s in r.states if r.to in ("", s))
    check(sorted(state for state, _ in inside) == stays, f"{name}: a line for every row that stays")
    check(len(arrows) <= MOST_EDGES and len(blocks[0]) <= MOST_LETTERS, f"{name}: more than Mermaid draws")


# ---- pages --------------------------------------------------------------------------------------------------------


def cells(line):
    return re.split(r"(?<!\\)\|", line)[1:-1]


def check_text(name, text, names):
    check(text.startswith("<!-- Made by gen/docs from ") and text.endswith("\n") and not text.endswith("\n\n"),
          f"{name}: says what made it, and ends with its last line")
    check(not re.search(r"[ \t]+$|\t|\r", text, re.M), f"{name}: white space at the end of a line, or a tab")
    check("\n\n\n" not in text, f"{name}: two empty lines")
    width, odd = 0, []
    for line in text.splitlines():
        width = (width or len(cells(line))) if line.startswith("|") else 0
        odd += [line] if width and len(cells(line)) != width else []
    check(not odd, f"{name}: lines of tables with too many cells or too few: {odd}")
    check(not re.search(r"(\[[a-z_]+\]\([a-z_]+\.md\) emits it); ([^|]*; )?\1", text), f"{name}: says twice who emits an event")
    lost = [to for to in re.findall(r"\]\(([^)]+)\)", text) if str(pathlib.PurePosixPath(name).parent / to) not in names]
    check(not lost, f"{name}: links to {lost}, which are no pages")


def check_machine(name, text, machine):
    said = set(re.findall(r"`([^`]+)`", text.split("```")[0] + text.split("```")[-1]))
    for kind in ("states", "events", "flags", "facts", "counts", "timers", "actions", "exports"):
        missing = [x for x in getattr(machine, kind) if x not in said]
        check(not missing, f"{name}: says nothing of its {kind} {missing}")
    shown = {x.shown for kind in ("states", "events", "actions") for x in getattr(machine, kind).values() if x.shown}
    check(shown <= said, f"{name}: does not tell the shown names {shown - said}")
    rows = [cells(line) for line in text.split("## Rows")[1].split("\n## ")[0].splitlines() if re.match(r"\| [0-9]", line)]
    found = [(int(row[0]), row[1].replace("`", "").strip(), row[2].strip(), row[3].replace("`", "").strip()) for row in rows]
    wanted = [(r.line, ", ".join(r.states), r.verdict, ", ".join(r.events)) for r in machine.rows]
    check(found == wanted, f"{name}: the rows are not those of the machine")
    quiet = text.split("## Rows")[0]
    for r in machine.rows:
        if r.verdict != "on":
            lines = [next((x for x in quiet.splitlines() if x.startswith(f"- `{s}` ")), "") for s in r.states]
            check(all(f"`{e}`" in line for line in lines for e in r.events), f"{name}: line {r.line} is neither drawn nor listed")


def every_machine_has_its_page(pages):
    checked = smc.load(SPEC)
    stems = sorted(path.stem for path in (SPEC / "machine").glob("*.sm"))
    check(sorted(n for n in pages if n.startswith("machines/")) == sorted(["machines/README.md", *(f"machines/{s}.md" for s in stems)]),
          "a page for every machine, and the index")
    for c in checked:
        name = f"machines/{c.machine.name}.md"
        check_machine(name, pages[name], c.machine)
        check_drawing(name, pages[name], c.machine)
    index = pages["machines/README.md"].splitlines()
    for c in checked:
        m = c.machine
        line = [line for line in index if line.startswith(f"| [{m.name}]({m.name}.md) |")]
        check(len(line) == 1 and [x.strip() for x in cells(line[0])[1:3]] == [str(len(m.states)), str(len(m.rows))],
              f"the index has one line for {m.name}, with its states and rows")
    for s in system.load(SPEC, {c.machine.name: c.machine for c in checked}):
        check(sum(line.startswith(f"| `{s.name}` |") for line in index) == 1, f"the index has one line for the system {s.name}")


def the_lists_are_told_whole(pages):
    for name, reader in (("errors.md", errors), ("logs.md", logs), ("metrics.md", metrics)):
        for row in reader.read(SPEC):
            check(f"`{row[0]}`" in pages[name], f"{name}: says nothing of {row[0]}")
    messages, wires = wirec.read(SPEC)
    wire = pages["wire.md"]
    names = [m.name for f in messages for m in f.messages.values()] + [x.name for f in messages for m in f.messages.values() for x in m.fields]
    names += [x.name for f in wires for kind in (f.headers, f.frames, f.jsons) for x in kind]
    names += [x.name for f in wires for h in f.headers for x in h.fields] + [x.name for f in wires for j in f.jsons for x in j.keys]
    names += [text for *_, text in listc.protocols.read(SPEC)]
    missing = [name for name in names if f"`{name}`" not in wire]
    check(not missing, f"wire.md: says nothing of {missing}")
    for file in messages:
        for message in file.messages.values():
            for field in message.fields:
                check(not field.limit or f" {field.limit} bytes" in wire, f"wire.md: the limit of {message.name}.{field.name} is not told")


def a_page_tells_everything(folder):
    spec = pathlib.Path(folder) / "spec"
    (spec / "machine").mkdir(parents=True)
    (spec / "machine/door.sm").write_text(SMALL)
    (spec / "machine/keeper.sm").write_text(KEEPER)
    pages = docs.generate(spec)
    page, names = pages["machines/door.md"], set(pages)
    for name, text in pages.items():
        check_text(name, text, names)
    for c in smc.load(spec):
        check_machine(f"machines/{c.machine.name}.md", pages[f"machines/{c.machine.name}.md"], c.machine)
        check_drawing(f"machines/{c.machine.name}.md", pages[f"machines/{c.machine.name}.md"], c.machine)
    for text in ("A door | with &lt;two> sides. It shows what a page has to say. (Second line.)",
                 "There is one for each `house` and `floor`, at most 7. Its owner is [keeper](keeper.md).",
                 '- from a book, "Doors # and locks"',
                 "    s_shut: push [locked & tries below 3] / tries.up, bell.ring\n",
                 "    s_shut --> s_ajar: push [!locked & !oiled] / set oiled, swing.start, tries.zero\n",
                 "    s_shut --> s_gone: push [else] / emit door.broken to owner\n",
                 "    s_ajar: rest.fired / rest.start\n",
                 "- `ajar` rejects `push` when `locked` -> `gone`, `push` else\n",
                 "- `shut` ignores `blow`; never gets `swing.fired`, `rest.fired`\n",
                 "`locked & tries < 3` | | `tries.up`, `bell.ring` |", "| the first time |",
                 "| `push` | `Pushed` | bytes of a remote | somebody leans on it; they may be several |",
                 "not `a \\| b`, and not \\*closed\\* |", "| `bell.ring` | `Ring` | `pg_door_do_bell_ring` | twice, &lt; loud |",
                 "| `rest` | `nap` | `pg_door_nap_ms` | `rest.fired` |", "| `swing` | `3s` | | `swing.fired` | until it falls shut |",
                 "| `tries` | 0 to 3 | leaning in vain |", "| `open` | `ajar` | `PG_DOOR_OPEN` |", "| `locked` | `pg_door_is_locked` |"):
        check(text in page, f"door.md does not say: {text}")
    check("| `door.broken` | [door](door.md) emits it |" in pages["machines/keeper.md"], "keeper.md: who emits its event")
    check("[door](door.md) | 3 | 13 | `house * floor` | 7 | A door \\| with &lt;two> sides. |" in pages["machines/README.md"], "the index's line")


def nothing_changes_between_two_runs(pages):
    """Sets and dictionaries of Python may come in another order in every process; pages may not."""
    program = ("import hashlib, pathlib, sys; from gen import docs; f = docs.generate(pathlib.Path(sys.argv[1])); "
               "print(hashlib.sha256(repr(sorted(f.items())).encode()).hexdigest())")
    said = set()
    for seed in ("1", "2"):
        env = dict(os.environ, PYTHONHASHSEED=seed, PYTHONPATH=str(ROOT))
        said.add(subprocess.run([sys.executable, "-c", program, str(SPEC)], env=env, capture_output=True, text=True, check=True).stdout.strip())
    check(said == {hashlib.sha256(repr(sorted(pages.items())).encode()).hexdigest()}, "two runs write the same pages")
    check(docs.golden(SPEC) == {}, "pages are not golden: the tables are")


def the_generator_writes_them(folder, pages):
    out = pathlib.Path(folder) / "out"
    stamps = []
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "gen", "build", str(out)], cwd=ROOT, check=True)
        stamps.append({name: (out / name).stat().st_mtime_ns for name in pages if (out / name).exists()})
    check(all((out / name).exists() and (out / name).read_text() == text for name, text in pages.items()), "gen build writes the pages")
    check(stamps[0] == stamps[1], "a second build touches none of them")
    names = subprocess.run([sys.executable, "-m", "gen", "outputs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    check(set(pages) <= set(names.split(";")), "the build knows of them")


def main():
    pages = docs.generate(SPEC)
    names = set(pages)
    for name, text in pages.items():
        check_text(name, text, names)
    every_machine_has_its_page(pages)
    the_lists_are_told_whole(pages)
    nothing_changes_between_two_runs(pages)
    with tempfile.TemporaryDirectory() as folder:
        a_page_tells_everything(folder)
        the_generator_writes_them(folder, pages)
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
