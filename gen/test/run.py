#!/usr/bin/env python3
"""The machine and system reader against small specs: ok/ with the dump expected, fail/ with the exact refusal expected.

A case is machine m, or several files with lines `=== NAME.sm` (or .sys) between them. A case in fail/ says
`# refuse: MESSAGE` (several lines: several findings). Every place in gen/smc that refuses must be reached by one of them.
Run by ctest; closing line `N passed, N failed`. With --write, expected texts are written instead of compared: look at them.
"""
import ast
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))
from gen import smc  # noqa: E402  (needs the path above)
from gen.report import SpecError  # noqa: E402
from gen.smc import check as checker  # noqa: E402

SCORE = [0, 0]
checker.MAX_CONFIGURATIONS = 1000  # else the case that is too large takes a minute
WRITE = sys.argv[1:] == ["--write"]


def check(good, what):
    SCORE[0 if good else 1] += 1
    if not good:
        print(f"FAILED: {what}")


def parts(path):
    """File name -> text. Lines of other files are blanked, so that line numbers are those of the case."""
    name, files = "m.sm", {}
    lines = path.read_text().splitlines()
    for line in lines:
        if line.startswith("=== "):
            name = line[4:].strip()
        files.setdefault(name, [])
    name = "m.sm"
    for line in lines:
        if line.startswith("=== "):
            name, line = line[4:].strip(), ""
        for other, text in files.items():
            text.append(line if other == name else "")
    return {n: "\n".join(text) + "\n" for n, text in files.items() if any(text)}


def run(which, path):
    with tempfile.TemporaryDirectory() as folder:
        spec = pathlib.Path(folder) / "spec"
        for name, text in parts(path).items():
            file = spec / ("system" if name.endswith(".sys") else "machine") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return getattr(smc, which)(spec)


def try_ok(path):
    dump = "".join(text for _, text in sorted(run("golden", path).items()))
    expected = path.with_suffix(".txt")
    if WRITE:
        expected.write_text(dump)
    check(dump == expected.read_text(), f"ok/{path.name}: dump is\n{dump}instead of\n{expected.read_text()}")
    for name, text in run("generate", path).items():
        check(text.endswith("\n") and "\t" not in text, f"ok/{path.name}: {name}: tabs or no last newline")


def try_fail(path):
    text = path.read_text()
    expected = [line.split("# refuse: ", 1)[1] for line in text.splitlines() if line.startswith("# refuse: ")]
    try:
        run("generate", path)
        check(False, f"fail/{path.name}: accepted")
    except SpecError as refusal:
        found = str(refusal).splitlines()
        if WRITE and found != expected:
            body = [line for line in text.splitlines() if not line.startswith("# refuse: ")]
            while body and not body[-1]:
                body.pop()
            path.write_text("\n".join(body + [f"# refuse: {line}" for line in found]) + "\n")
        check(found == expected or WRITE, f"fail/{path.name}: says {found} instead of {expected}")


def refusals():
    """(file, first line, last line, text) of everything in gen/smc that refuses."""
    for path in sorted((ROOT / "gen/smc").glob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            what = None
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                what = node if getattr(node.exc.func, "id", "") in ("SpecError", "Problem") else None
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "fail":
                what = node
            elif path.name == "check.py" and isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("append", "add") \
                    and node.args and isinstance(node.args[0], ast.Tuple) and len(node.args[0].elts) == 2 \
                    and any(isinstance(x, ast.JoinedStr) for x in ast.walk(node)):
                what = node
            if what is not None:
                yield path.name, what.lineno, what.end_lineno, text.splitlines()[what.lineno - 1].strip()


def watched(work):
    """Runs work and gives the lines of gen/smc that ran."""
    ran = set()
    folder = str(ROOT / "gen/smc")

    def local(frame, event, _):
        if event == "line":
            ran.add((pathlib.Path(frame.f_code.co_filename).name, frame.f_lineno))
        return local

    def enter(frame, *_):
        return local if frame.f_code.co_filename.startswith(folder) else None

    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(None)
    return ran


def main():
    for path in sorted((HERE / "ok").glob("*.sm")):
        try_ok(path)
    ran = watched(lambda: [try_fail(path) for path in sorted((HERE / "fail").glob("*.sm"))])
    for name, first, last, text in refusals():
        reached = any((name, line) in ran for line in range(first, last + 1))
        check(reached, f"gen/smc/{name}:{first}: no case reaches this: {text}")
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
