#!/usr/bin/env python3
"""The list reader against small lists: ok/ has a list and the dump expected, fail/ a list and the exact refusal expected.

A file in fail/ is named LIST__what_is_wrong.list and says `# refuse: MESSAGE` somewhere. Every place in gen/listc that
refuses must be reached by one of them. Run by ctest; closing line `N passed, N failed`.
"""
import ast
import pathlib
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))
from gen import listc  # noqa: E402  (needs the path above)
from gen.report import SpecError  # noqa: E402

SCORE = [0, 0]


def check(good, what):
    SCORE[0 if good else 1] += 1
    if not good:
        print(f"FAILED: {what}")


def run(which, name, text):
    with tempfile.TemporaryDirectory() as folder:
        spec = pathlib.Path(folder) / "spec"
        spec.mkdir()
        (spec / name).write_text(text)
        return getattr(listc, which)(spec)


def try_ok(path):
    """The dump is as expected, and what is generated names every row."""
    dump = run("golden", path.name, path.read_text())[path.stem + ".txt"]
    expected = path.with_suffix(".txt").read_text()
    check(dump == expected, f"ok/{path.name}: dump is\n{dump}instead of\n{expected}")
    files = run("generate", path.name, path.read_text())
    check(all(text.endswith("\n") and "\t" not in text for text in files.values()), f"ok/{path.name}: tabs or no last newline")


def try_fail(path, reached):
    text = path.read_text()
    expected = [line.split("# refuse: ", 1)[1] for line in text.splitlines() if "# refuse: " in line]
    try:
        run("generate", path.name.split("__")[0] + ".list", text)
        check(False, f"fail/{path.name}: accepted")
    except SpecError as refusal:
        check([str(refusal)] == expected, f"fail/{path.name}: says {str(refusal)!r} instead of {expected}")
        for frame in traceback.extract_tb(refusal.__traceback__):
            reached.add((pathlib.Path(frame.filename).name, frame.lineno))


def refusals():
    """(file, first line, last line) of every call of a fail() in gen/listc."""
    for path in sorted((ROOT / "gen/listc").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fail":
                yield path.name, node.lineno, node.end_lineno


def main():
    reached = set()
    for path in sorted((HERE / "ok").glob("*.list")):
        try_ok(path)
    for path in sorted((HERE / "fail").glob("*.list")):
        try_fail(path, reached)
    for name, first, last in refusals():
        check(any((name, line) in reached for line in range(first, last + 1)),
              f"gen/listc/{name}:{first}: no file in fail/ reaches this refusal")
    print(f"{SCORE[0]} passed, {SCORE[1]} failed")
    return 1 if SCORE[1] else 0


if __name__ == "__main__":
    sys.exit(main())
