"""A laboratory for specs: a copy of spec/ that a test may edit, built into tables and a verifier of its own.
Used by the *_test.py files beside it."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("PG_ROOT") or pathlib.Path(__file__).resolve().parents[2])
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools/verify"))
from gen import smc  # noqa: E402

CC = os.environ.get("CC", "cc")
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1"]
CONTROL = ("phase", "nat", "relay")


class Lab:
    """The three machines of node.sys, since the rest would only cost time, or the whole spec."""

    def __init__(self, folder, whole=False):
        self.folder, self.whole = pathlib.Path(folder), whole
        self.spec, self.build = self.folder / "spec", self.folder / "build"
        self.objects = {}
        self.reset()

    def reset(self):
        shutil.rmtree(self.spec, ignore_errors=True)
        (self.spec / "machine").mkdir(parents=True)
        (self.spec / "system").mkdir()
        machines = sorted((ROOT / "spec/machine").glob("*.sm"))
        systems = sorted((ROOT / "spec/system").glob("*.sys"))
        for path in [*machines, *systems]:
            if self.whole or path.stem in (*CONTROL, "node"):
                shutil.copy(path, self.spec / path.parent.name)

    def edit(self, file, old, new):
        """Replaces text that must be there exactly once."""
        path = self.spec / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file}: {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new))

    def generate(self):
        self.build.mkdir(exist_ok=True)
        self.files = smc.generate(self.spec)
        for name, text in self.files.items():
            path = self.build / name
            if not path.exists() or path.read_text() != text:
                path.write_text(text)

    def compile(self, source, *flags):
        """An object file, made again only when its text has changed (headers of this lab never change their meaning)."""
        source = pathlib.Path(source)
        text = source.read_text()
        target = self.build / (source.name + ".o")
        if self.objects.get(source) != text:
            subprocess.run([CC, *FLAGS, f"-I{ROOT}/runtime", f"-I{self.build}", *flags, "-c", str(source), "-o", str(target)], check=True)
            self.objects[source] = text
        return str(target)

    def link(self, name, sources, *flags):
        tables = [self.build / f for f in self.files if f.endswith(".gen.c") and not f.endswith(".bind.gen.c")]
        objects = [self.compile(s, *flags) for s in [*sources, ROOT / "runtime/machine/machine.c", ROOT / "runtime/mem/heap.c", *tables]]
        subprocess.run([CC, *objects, "-o", str(self.build / name)], check=True)

    def link_verifier(self):
        self.link("verify", sorted((ROOT / "tools/verify").glob("*.c")))

    def verify(self):
        """Exit status and everything printed by `make verify` on this spec."""
        done = subprocess.run([sys.executable, str(ROOT / "tools/verify/verify.py"), str(self.build), "--spec", str(self.spec)],
                              capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


class Score:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, good, what):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}")

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)
