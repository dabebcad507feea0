"""The generator's front door: spec/ in, tables out. Pure text to text; CMake calls it.

    python3 -m gen outputs            names of the files that `build` writes
    python3 -m gen build DIR          write them (a file is touched only when its text changes)
    python3 -m gen golden [--check]   rewrite, or compare, the sorted dumps in gen/golden/
"""
import pathlib
import sys

from gen import docs, listc, smc, wirec
from gen.report import SpecError

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARTS = (listc, smc, wirec, docs)  # each: generate(spec) and golden(spec) -> {file name: text}


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def merged(which, spec):
    files = {}
    for part in PARTS:
        files.update(getattr(part, which)(spec))
    return files


def main(argv):
    spec = ROOT / "spec"
    if argv == ["outputs"]:
        print(";".join(sorted(merged("generate", spec))), end="")
    elif len(argv) == 2 and argv[0] == "build":
        for name, text in merged("generate", spec).items():
            put(pathlib.Path(argv[1]), name, text)
    elif argv == ["golden"]:
        for name, text in merged("golden", spec).items():
            put(ROOT / "gen/golden", name, text)
    elif argv == ["golden", "--check"]:
        stale = [n for n, t in merged("golden", spec).items()
                 if not (ROOT / "gen/golden" / n).exists() or (ROOT / "gen/golden" / n).read_text() != t]
        for name in stale:
            print(f"gen/golden/{name}: differs from what spec/ says now; look at it, then run: make golden", file=sys.stderr)
        return 1 if stale else 0
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpecError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(1)
