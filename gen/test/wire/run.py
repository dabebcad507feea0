"""Runs the cases of the wire languages: ok/*.case must give the dumps and outputs written in them, fail/*.case the refusal.

A case is one text file. Lines `--- NAME` begin its parts: files of spec/ by their path there, `expect proto.txt` or
`expect wire.txt` (the golden dump), `main.c` with `expect output` (compiled against the generated C and run), or
`expect refusal`. errors.list is the real one with the case's own lines behind it.
With --write the expected parts are rewritten from what comes; look at the difference before you commit it.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(ROOT))
sys.dont_write_bytecode = True

from gen import wirec  # noqa: E402 (the path above comes first)
from gen.listc import errors  # noqa: E402
from gen.report import SpecError  # noqa: E402

FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wswitch-enum", "-Werror",
         "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def parts_of(text):
    """The lines before the first part (why the case is there), and the parts in order."""
    parts, name = {"": ""}, ""
    for line in text.splitlines(keepends=True):
        if line.startswith("--- "):
            name = line[4:].strip()
            parts[name] = ""
        else:
            parts[name] += line
    return parts


def lay_out(folder, parts):
    """The case's spec/ on disk."""
    spec = folder / "spec"
    for sub in ("proto", "wire"):
        (spec / sub).mkdir(parents=True)
    (spec / "errors.list").write_text((ROOT / "spec/errors.list").read_text() + parts.get("errors.list", ""))
    for name, text in parts.items():
        if name.startswith(("proto/", "wire/")):
            (spec / name).write_text(text)
    return spec


def output_of(folder, spec, main):
    """Compiles main.c with everything that was generated, and runs it."""
    made = {**errors.generate(spec), **wirec.generate(spec), "main.c": main}
    for name, text in made.items():
        (folder / name).write_text(text)
    sources = [folder / n for n in made if n.endswith(".c") and not n.startswith("fuzz_")]
    sources += [ROOT / "runtime/wire/pb.c", ROOT / "runtime/wire/utf8.c"]
    compiler = os.environ.get("CC", "gcc")
    built = subprocess.run([compiler, *FLAGS, f"-I{folder}", f"-I{ROOT}/runtime", "-o", folder / "main", *sources],
                           capture_output=True, text=True)
    if built.returncode:
        return "does not compile:\n" + built.stderr
    ran = subprocess.run([folder / "main"], capture_output=True, text=True)
    return ran.stdout + ran.stderr + (f"exit {ran.returncode}\n" if ran.returncode else "")


def came(folder, parts):
    """What the generator makes of the case, by the names of the parts that expect something."""
    spec = lay_out(folder, parts)
    try:
        wirec.generate(spec)  # refusals that only writers see come here, too
        dumps = wirec.golden(spec)
    except SpecError as refusal:
        return {"expect refusal": f"{refusal}\n"}
    found = {f"expect {name}": text for name, text in dumps.items() if f"expect {name}" in parts}
    if "main.c" in parts:
        found["expect output"] = output_of(folder, spec, parts["main.c"])
    return found


def run(path, write):
    parts = parts_of(path.read_text())
    expected = {name: text for name, text in parts.items() if name.startswith("expect ")}
    with tempfile.TemporaryDirectory() as folder:
        found = came(pathlib.Path(folder), parts)
    if write:
        parts = {n: t for n, t in parts.items() if n not in expected} | found
        path.write_text("".join((f"--- {n}\n" if n else "") + t for n, t in parts.items()))
        return True
    if found == expected:
        return True
    print(f"{path.relative_to(ROOT)}: {parts[''].strip()}")
    for name in sorted(expected | found):
        if expected.get(name) != found.get(name):
            print(f"  {name}, wanted:\n{expected.get(name, '(nothing)')}  but came:\n{found.get(name, '(nothing)')}")
    return False


def main():
    write = "--write" in sys.argv[1:]
    cases = sorted(HERE.glob("ok/*.case")) + sorted(HERE.glob("fail/*.case"))
    failed = sum(not run(path, write) for path in cases)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
